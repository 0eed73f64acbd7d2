"""The folder that an array in chunks is: what lies there, and whose it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from cottoncandy import keys
from cottoncandy.backends.base import Backend, ObjectInfo
from cottoncandy.chunkedarrays.leftovers import forgotten, is_left, objects_in, others_are_at_work
from cottoncandy.chunkedarrays.names import (
    LARGEST_TABLE,
    PREFIX,
    TABLE,
    belongs_to,
    chunk_name,
    chunk_number,
    is_mark,
    naming_array,
    version_at,
)
from cottoncandy.chunkedarrays.standing import Standing, is_part, is_staged
from cottoncandy.chunkedarrays.table import ChunkTable
from cottoncandy.documents import load_document
from cottoncandy.errors import CorruptObject, ObjectNotFound
from cottoncandy.parallel import gather
from cottoncandy.stream import TransferSettings


class Outdated(NamedTuple):
    """What nobody needs when a new array stands.

    Attributes
    ----------
    version : str or None
        The upload that stood before.
    chunks : list of str
        The objects' names of its chunks, and of what was left long ago and whose names nobody takes.
    parts : frozenset of str
        What it is called in the folder that has other names: those of another kind of array.
    """

    version: str | None
    chunks: list[str]
    parts: frozenset[str]


@dataclass(frozen=True)
class ChunkFolder:
    """Where the chunks of one array lie, and their table; pickles.

    Attributes
    ----------
    backend : Backend
    directory : str
        A clean name, without a trailing ``/``.
    settings : TransferSettings
    """

    backend: Backend
    directory: str
    settings: TransferSettings

    def key(self, name: str) -> str:
        """The object's name of what is called ``name`` in this folder."""
        return keys.join(self.directory, name)

    def chunk(self, number: int) -> str:
        """The object's name of a chunk."""
        return self.key(chunk_name(number))

    def describe(self) -> str:
        """How an error names the array."""
        return self.backend.describe(self.directory)

    def named(self, *, reads: bool = False) -> AbstractContextManager[None]:
        """Have errors about its table and chunks name the array; see `naming_array`."""
        return naming_array(self.backend, self.directory, reads=reads)

    def read_table(self) -> tuple[ChunkTable, str | None]:
        """What ``metadata.json`` tells, and its e_tag.

        Raises
        ------
        ObjectNotFound
        CorruptObject
        """
        with self.named(reads=True):
            text, e_tag = self._read()
        return ChunkTable.from_json(text, self.describe()), e_tag

    def _read(self) -> tuple[bytes, str | None]:
        return load_document(self.backend, self.key(TABLE), self.settings, LARGEST_TABLE)

    def current(self) -> ChunkTable | None:
        """The table of the array that readers get; None where there is none that can be read."""
        try:
            return self.read_table()[0]
        except (ObjectNotFound, CorruptObject):
            return None

    def standing(self) -> Standing:
        """What readers get here, of whatever kind that array is."""
        try:
            return Standing.from_json(self._read()[0])
        except (ObjectNotFound, CorruptObject):
            return Standing()

    def version_at(self, key: str) -> str | None:
        """The upload that an object belongs to; None where it is gone, or of none that we know."""
        return version_at(self.backend, key)

    def numbers(self) -> dict[int, ObjectInfo]:
        """The chunks that lie here, by number; of whatever upload."""
        found = ((chunk_number(keys.basename(info.key)), info) for info in self._listed())
        return {number: info for number, info in found if number is not None}

    def unnamed(self, table: ChunkTable | None) -> list[str]:
        """The chunks that a table does not name: those of uploads that are under way, or were broken off."""
        named = {keys.basename(key) for key in table.keys} if table else set()
        return [info.key for info in self.numbers().values() if keys.basename(info.key) not in named]

    def outdated(self, old: Standing, new: Collection[str]) -> Outdated:
        """What nobody needs when a new array stands: all of the old one, and what was left long ago.

        Other chunks may be those of an upload that is under way.

        Parameters
        ----------
        old : Standing
        new : collection of str
            The objects' names of the new array's chunks.
        """
        there, sent = objects_in(self.backend, self.directory), set(map(keys.basename, new))
        left = set(forgotten(self.backend, there, old.names | sent, self.settings.threads))
        parts = {name for name in left if is_part(name) or is_staged(name)}
        chunks = old.chunks.union(left - parts) - sent  # a task that is run again finds its own table
        return Outdated(old.version, [info.key for name, info in there.items() if name in chunks], old.parts | parts)

    def remove_parts(self, outdated: Outdated) -> None:
        """Remove the parts of an array of another kind, when a new one stands.

        Others may take their names, and a deletion has no condition: so they stay where somebody is about to do so.
        """
        there = objects_in(self.backend, self.directory)
        if others_are_at_work(there):
            return

        def is_old(key: str) -> bool:
            return belongs_to(self.backend, key, outdated.version) or is_left(self.backend, key)

        named = [info.key for name, info in there.items() if name in outdated.parts]
        verdicts = gather(is_old, named, len(named))
        self.backend.delete([key for key, old in zip(named, verdicts, strict=True) if old])

    def _listed(self) -> Iterator[ObjectInfo]:
        """The chunks, and the marks of uploads: no other object is touched."""
        prefix = keys.as_directory(self.directory)
        for info in self.backend.list_objects(f"{prefix}{PREFIX}"):
            name = info.key.removeprefix(prefix)
            if chunk_number(name) is not None or is_mark(name):
                yield info

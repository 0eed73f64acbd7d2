"""Sending an array in chunks: readers see the old array until the table of the new one stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from cottoncandy.allornothing import Parts, logging_failures
from cottoncandy.backends.base import Receipt, WriteOptions
from cottoncandy.chunkedarrays.folder import ChunkFolder, Outdated
from cottoncandy.chunkedarrays.names import TABLE, VERSION, new_version
from cottoncandy.chunkedarrays.table import ChunkTable, free_numbers
from cottoncandy.chunking import Chunks
from cottoncandy.documents import store_document
from cottoncandy.errors import ObjectChanged, ObjectExists, UnsupportedArray, WrongKey
from cottoncandy.interrupts import shielded
from cottoncandy.parallel import gather
from cottoncandy.plainarrays import is_sparse
from cottoncandy.rawarrays import CompressionDefaults, store_array

_SPARSE = (
    "Make all of them dense (arr.map_blocks(lambda block: block.toarray(), dtype=arr.dtype)), or store the array as "
    "one sparse array (upload_sparse_array(name, arr.compute()))"
)
#: What a chunk is in the table: its object's name, and its shape.
Sent = tuple[str, tuple[int, ...]]
#: The table, and what nobody needs when it stands.
Prepared = tuple[ChunkTable, Outdated]


@dataclass(frozen=True)
class ChunkFormat:
    """How the chunks of an array are stored; pickles.

    Attributes
    ----------
    dtype : numpy.dtype
    compression : str, bool or None
        As `upload_raw_array` takes it.
    defaults : CompressionDefaults
    metadata : Mapping of str to str
        The caller's own.
    acl : str or None
    threads : int
        Connections for one chunk.
    """

    dtype: np.dtype[Any]
    compression: str | bool | None
    defaults: CompressionDefaults
    metadata: Mapping[str, str]
    acl: str | None = None
    threads: int = 1

    def codec(self, chunks: Chunks, describe: Callable[[], str]) -> str | None:
        """What the largest chunk is packed with; see `CompressionDefaults.choose`."""
        return self.defaults.choose(self.compression, math.prod(map(max, chunks)) * self.dtype.itemsize, describe)


@dataclass(frozen=True)
class ChunkUpload:
    """One upload of an array in chunks, as each task that works on it needs it; pickles.

    Attributes
    ----------
    folder : ChunkFolder
    format : ChunkFormat
    version : str
        Ties its chunks together.
    first : int
        The number of the first chunk.
    """

    folder: ChunkFolder
    format: ChunkFormat
    version: str
    first: int

    @classmethod
    def start(cls, folder: ChunkFolder, format: ChunkFormat, count: int) -> ChunkUpload:  # noqa: A002 - its name
        """Choose a version, and numbers for so many chunks that no other chunk has."""
        return cls(folder, format, new_version(), free_numbers(folder.numbers(), count).start)

    def send(self, number: int, chunk: Any) -> Sent:
        """Store the chunk of a position of the grid, in C order; where it lies then.

        Raises
        ------
        ValueError
            If it is not of the dtype that the table will tell.
        UnsupportedArray
            If it is sparse.
        ObjectExists
            If others take the names that it could have.
        """
        if is_sparse(chunk):
            raise UnsupportedArray(f"{self.folder.describe()}: chunk {number} is sparse. {_SPARSE}")
        array = _chunk_array(chunk, self.format.dtype)
        if array.dtype != self.format.dtype:
            raise ValueError(
                f"{self.folder.describe()}: chunk {number} is of dtype {array.dtype}, the array of "
                f"{self.format.dtype}. Tell dask the right one (map_blocks(..., dtype=...)), or convert it (astype)"
            )
        for place in self._places(number):
            if self._store(place, array):
                return place, array.shape
        raise ObjectExists(f"{self.folder.describe()}: other uploads take the names of chunk {number}: try again")

    def _places(self, number: int) -> Iterator[str]:
        """Where a chunk may lie: at its number or, where another upload took that meanwhile, at a number far away."""
        yield self.folder.chunk(self.first + number)
        yield self.folder.chunk(self.first + int(self.version[:6], 16) + number)

    def _store(self, key: str, array: Any) -> bool:
        """Store a chunk where there is none, or an earlier attempt at the same one."""
        try:
            self._put(key, array, if_absent=True)
        except ObjectExists:
            if self.folder.version_at(key) != self.version:
                return False
            self._put(key, array, if_absent=False)
        return True

    def _put(self, key: str, array: Any, *, if_absent: bool) -> None:
        how = self.format
        store_array(
            self.folder.backend,
            key,
            array,
            compression=how.compression,
            defaults=how.defaults,
            metadata={**how.metadata, VERSION: self.version},
            options=WriteOptions(acl=how.acl, if_absent=if_absent),
            settings=self.folder.settings,
            threads=how.threads,
        )

    def parts(self) -> Parts:
        """The chunks, which are removed when something fails before a table names them."""
        return Parts(self.discard)

    def discard(self) -> None:
        """Remove the chunks of an upload that failed."""
        remove_chunks(self.folder, self.version)

    def prepare(self, chunks: Chunks, sent: Sequence[Sent]) -> Prepared:
        """What `publish` needs.

        Parameters
        ----------
        chunks : tuple of tuple of int
            Per axis the sizes of the chunks.
        sent : sequence of (str, tuple of int)
            What `send` gave, in the C order of the grid.

        Raises
        ------
        ValueError
            If a chunk is not of the shape that it should be.
        """
        table = self._table(chunks, sent)
        return table, self.folder.outdated(self.folder.standing(), table.keys)

    def publish(self, prepared: Prepared, parts: Parts | None = None) -> Receipt:
        """Write the table: from here on, readers get the new array. Then remove the old one.

        Parameters
        ----------
        prepared : tuple
        parts : Parts, optional
            The context in which the chunks were sent.

        Raises
        ------
        ObjectChanged
            If another writer came while an array of another kind was removed: parts of its array may be gone with it.
        """
        table, outdated = prepared
        parts = parts or self.parts()
        with parts, parts.naming():
            receipt = self._write_table(table)
        self.folder.backend.delete(outdated.chunks)
        if self._is_outdone(outdated.version):
            self.discard()
        elif outdated.parts and self._stands():  # its writer may have written the old table once more
            self.folder.remove_parts(outdated)
            if not self._stands():  # a writer that came meanwhile may have had parts of these names
                raise ObjectChanged(f"{self.folder.describe()}: others write it at the same time: upload it again")
        return receipt

    def _stands(self) -> bool:
        return self.folder.standing().version == self.version

    def _is_outdone(self, before: str | None) -> bool:
        """Whether another upload, at the same time, has put its table over ours: it does not know our chunks.

        A store that still shows what was there before tells nothing.
        """
        now = self.folder.standing()
        return bool(now.names) and now.version not in {self.version, before}

    def _table(self, chunks: Chunks, sent: Sequence[Sent]) -> ChunkTable:
        for (key, shape), expected in zip(sent, product(*chunks), strict=True):
            if shape != expected:
                raise ValueError(
                    f"{self.folder.describe()}: chunk {key!r} is of shape {shape}, and the array says {expected}: tell "
                    "dask the right chunks (map_blocks(..., chunks=...))"
                )
        shape, names = tuple(map(sum, chunks)), tuple(key for key, _ in sent)
        return ChunkTable(
            shape, self.format.dtype, chunks, names, self.version, self.format.codec(chunks, self.folder.describe)
        )

    def _write_table(self, table: ChunkTable) -> Receipt:
        folder, options = self.folder, WriteOptions(acl=self.format.acl)
        return store_document(folder.backend, folder.key(TABLE), table.to_json().encode(), options, folder.settings)


def _chunk_array(chunk: Any, dtype: np.dtype[Any]) -> Any:
    """A chunk as an array. Of a 0-d one numpy often gives a scalar, which has neither byte order nor width of text."""
    array = np.asanyarray(chunk)
    casting: Literal["safe", "equiv"] = "safe" if dtype.kind in "SU" else "equiv"
    is_same = array.dtype.kind == dtype.kind and np.can_cast(array.dtype, dtype, casting)
    return array.astype(dtype) if np.isscalar(chunk) and is_same else array


def remove_chunks(folder: ChunkFolder, version: str) -> None:
    """Remove the chunks of an upload that failed; the error that tells why is the first one."""
    with logging_failures(), shielded():
        others = folder.unnamed(_readable_table(folder))
        versions = gather(folder.version_at, others, folder.settings.threads)
        folder.backend.delete([key for key, found in zip(others, versions, strict=True) if found == version])


def _readable_table(folder: ChunkFolder) -> ChunkTable | None:
    """The table of the array that readers get; None where no key opens it, so that it is of no upload of ours."""
    try:
        return folder.current()
    except WrongKey:
        return None

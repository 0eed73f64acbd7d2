"""What the table of an array tells, whatever kind of array it is: one of another kind may take its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cottoncandy import keys
from cottoncandy.chunkedarrays.names import TABLE, VERSION, chunk_number
from cottoncandy.errors import CorruptObject, NotAnArray
from cottoncandy.partedarrays import masked, sparse

#: The call that reads an array in chunks.
CHUNKS_READER = "download_dask_array"
#: The kinds of arrays of named parts.
FORMS = (sparse.FORM, masked.FORM)


def is_staged(name: str) -> bool:
    """Whether this may be a part of a sparse or masked array that has not its name yet: its writer may be at work."""
    return any(form.is_staged(name) for form in FORMS)


def is_part(name: str) -> bool:
    """Whether a part of a sparse or masked array may have this name."""
    return any(form.is_part(name) for form in FORMS)


def refuse_other_kind(document: Any, reader: str) -> None:
    """Raise NotAnArray if a table describes an array that another call than this reads.

    Examples
    --------
    >>> refuse_other_kind({"type": "csr", "attrs": [], "shape": [2, 2]}, "download_sparse_array")
    """
    found = reader_by_table(document)
    if found not in {None, reader}:
        raise NotAnArray(f"this is another kind of array: {found} reads it")


def reader_by_table(document: Any) -> str | None:
    """The call that reads the array that a table describes; None where it is no table of ours.

    Examples
    --------
    >>> reader_by_table({"type": "csr", "attrs": [], "shape": [2, 2]}), reader_by_table({"type": "notes"})
    ('download_sparse_array', None)
    """
    if not isinstance(document, dict):
        return None
    kind = document.get("type")
    found = next((form.reader for form in FORMS if isinstance(kind, str) and kind in form.parts), None)
    return CHUNKS_READER if found is None and {"chunks", "dask"} <= document.keys() else found


def reader_by_names(names: Iterable[str]) -> str | None:
    """The call that reads what is in a directory, of which these are the first names; None where there are none.

    Examples
    --------
    >>> reader_by_names(["metadata.json", "pt0000"]), reader_by_names(["bold", "mask"])
    ('download_dask_array', 'cloud2dict')
    """
    there = set(names)
    if TABLE not in there:
        return "cloud2dict" if there else None
    if any(chunk_number(name) is not None for name in there):
        return CHUNKS_READER
    kinds = ((form.reader, parts) for form in FORMS for parts in form.parts.values())
    return next((reader for reader, parts in kinds if there.issuperset(parts)), "cloud2dict")


@dataclass(frozen=True, slots=True)
class Standing:
    """The objects of an array that readers get, as far as its table can be read.

    Attributes
    ----------
    names : frozenset of str
        How they are called in the folder of the table.
    version : str or None
        Of the upload; None for one of 0.4.0.
    """

    names: frozenset[str] = frozenset()
    version: str | None = None

    @classmethod
    def from_json(cls, text: bytes | str) -> Standing:
        """Read ``metadata.json``. Of what makes no sense, nothing is taken for a part.

        Examples
        --------
        >>> sorted(Standing.from_json('{"type": "csr", "attrs": [], "shape": [2, 2]}').names)
        ['data', 'indices', 'indptr']
        >>> Standing.from_json('{"dask": [[[0], "exp/arr/pt0007"]], "version": "0123456789abcdef"}')
        Standing(names=frozenset({'pt0007'}), version='0123456789abcdef')
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(document, dict):
            return cls()
        version = document.get(VERSION)
        names = frozenset([*_chunks(document.get("dask")), *_parts(document)])
        return cls(names, version if isinstance(version, str) else None)

    @property
    def chunks(self) -> frozenset[str]:
        """The names of chunks: an upload takes none that are there."""
        return frozenset(name for name in self.names if chunk_number(name) is not None)

    @property
    def parts(self) -> frozenset[str]:
        """The names of all else: the next array may have a part of that name."""
        return self.names - self.chunks


def _chunks(entries: Any) -> Iterator[str]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str):
            name = keys.basename(entry[1])
            if chunk_number(name) is not None:  # a table is not trusted to name other objects
                yield name


def _parts(document: dict[str, Any]) -> Iterator[str]:
    for form in FORMS:
        with suppress(CorruptObject):
            names = form.part_names(document)
            yield from names
            yield from names.values()  # where they lie until they have these names

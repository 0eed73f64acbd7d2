"""What is stored under a name as an array, of one object or of several, and which files take it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cottoncandy.backends.base import ObjectHead
from cottoncandy.chunkedarrays.names import TABLE, first_names
from cottoncandy.chunkedarrays.standing import CHUNKS_READER, FORMS, reader_by_table
from cottoncandy.cli.formats import FORMATS, Format, Metadata
from cottoncandy.diskfiles import replacing_path
from cottoncandy.errors import CottonCandyError, ObjectNotFound, UnsupportedArray
from cottoncandy.partedarrays import masked, sparse

if TYPE_CHECKING:
    from cottoncandy.chunkedarrays.reader import StoredChunks
    from cottoncandy.interfaces import DefaultInterface


@dataclass(frozen=True)
class Contents:
    """An array, or a tree of them, as it goes to a file.

    Attributes
    ----------
    what : str
        How a sentence calls it.
    formats : Mapping of str to Format
        The files that take it, by their extensions.
    load : callable
        Gives what a file of the chosen extension is written from, and metadata.
    usual : str
        The extension of the file where nothing is said; ``''`` where something has to be.
    reader : str
        The call that reads it in Python.
    """

    what: str
    formats: Mapping[str, Format]
    load: Callable[[DefaultInterface, str, str], tuple[Any, Metadata]]
    usual: str = ""
    reader: str = ""

    def require(self, name: str, extension: str) -> None:
        """Refuse files that do not take it.

        Raises
        ------
        UnsupportedArray
        """
        if extension not in self.formats:
            raise UnsupportedArray(
                f"{name!r} ({self.what}) goes to {', '.join(self.formats)}, and to no {extension}; "
                f"in Python, {self.reader} reads what is below that name"
            )

    def save(self, cci: DefaultInterface, name: str, path: Path, extension: str, *, through_link: bool) -> None:
        """Write it to a file, which takes its place when it is whole."""
        found = self.formats[extension]
        value, metadata = self.load(cci, name, extension)
        # as it is known: libraries take .NPY for no extension, and append theirs
        where = cci.backend_interface.describe(name)
        with replacing_path(path, where, extension, through_link=through_link) as part:
            if found.holds_tree and not isinstance(value, dict):
                value = {path.name.split(".")[0]: value}
            found.save(part, value, metadata, path)


def raw_array(head: ObjectHead) -> Contents:
    """An array that is one object."""

    def load(cci: DefaultInterface, name: str, _: str) -> tuple[Any, Metadata]:
        return cci.download_raw_array(name), dict(head.metadata)

    return Contents("array", FORMATS, load, ".npy", "download_raw_array")


def below(cci: DefaultInterface, name: str) -> Contents | None:
    """What is below a name: an array of several objects, else a tree; None where nothing is.

    One listing, and where that shows a table, one request for it.
    """
    names = first_names(cci.backend_interface, name)
    if not names:
        return None
    document = _document(cci._table_in(name)) if TABLE in names else None  # noqa: SLF001 - no call tells it unread
    return _BY_READER[reader_by_table(document)]


def array_facts(cci: DefaultInterface, name: str) -> dict[str, Any]:
    """What the table in a directory tells of an array; nothing where it is no table of ours. One request."""
    try:
        text = cci._table_in(name)  # noqa: SLF001 - no call tells it unread
        document = _document(text)
        reader = reader_by_table(document)
        if text is None or reader is None:
            return {}
        described = _in_chunks if reader == CHUNKS_READER else _in_parts
        facts = described(text, cci.backend_interface.describe(name))
        return {"kind": _BY_READER[reader].what, **facts, "read_by": reader}
    except CottonCandyError as error:  # what is known besides may tell how it came so
        return {"array_error": str(error)}


def _document(text: bytes | None) -> Any:
    try:
        return json.loads(text or b"null")
    except (ValueError, RecursionError):  # a file of that name
        return None


def _in_chunks(text: bytes, where: str) -> dict[str, Any]:
    from cottoncandy.chunkedarrays.table import ChunkTable

    table = ChunkTable.from_json(text, where)
    return {"array": f"{table.dtype} {table.shape}", "chunks": len(table.keys)}


def _in_parts(text: bytes, _: str) -> dict[str, Any]:
    document = _document(text)
    form = next(form for form in FORMS if document["type"] in form.parts)
    form.part_names(document)  # refuses what makes no sense
    return {"array": f"{document['type']} {tuple(document['shape'])}"}


# ---------------------------------------------------------------------- how each is read, and written
def _load_tree(cci: DefaultInterface, name: str, _: str) -> tuple[Any, Metadata]:
    found = cci.cloud2dict(name, verbose=False)
    if not found:
        where = cci.backend_interface.describe(name)
        raise ObjectNotFound(f"{where}: no arrays are below this name: get what is there with -r")
    return found, {}


def _load_chunks(cci: DefaultInterface, name: str, extension: str) -> tuple[Any, Metadata]:
    stored, _ = cci._stored_chunks(name)  # noqa: SLF001 - what is public needs dask
    return (stored if extension == ".npy" else stored.load()), {}


def _save_chunks(path: Path, stored: StoredChunks, _: Mapping[str, str]) -> None:
    """Write a .npy file chunk by chunk, none of it before the disk has room for all: a write to a map cannot fail."""
    on_disk = np.lib.format.open_memmap(path, "w+", stored.dtype, stored.shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file, _where_it_is_known():
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    stored.fill(on_disk)
    on_disk.flush()


@contextlib.contextmanager
def _where_it_is_known() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
            raise


def _load_sparse(cci: DefaultInterface, name: str, _: str) -> tuple[Any, Metadata]:
    return cci.download_sparse_array(name), {}


def _save_sparse(path: Path, array: Any, _: Mapping[str, str]) -> None:
    from scipy.sparse import save_npz

    save_npz(path, array)


def _load_masked(cci: DefaultInterface, name: str, _: str) -> tuple[Any, Metadata]:
    return masked.take_apart(cci.download_masked_array(name))[1], {}


_OF_TREES = {extension: found for extension, found in FORMATS.items() if found.holds_tree}
#: What is below a name, by the call that reads it.
_BY_READER: dict[str | None, Contents] = {
    None: Contents("tree", _OF_TREES, _load_tree),
    CHUNKS_READER: Contents(
        "array in chunks",
        {**FORMATS, ".npy": replace(FORMATS[".npy"], write=_save_chunks)},
        _load_chunks,
        ".npy",
        CHUNKS_READER,
    ),
    sparse.FORM.reader: Contents(
        sparse.FORM.name,
        {".npz": replace(FORMATS[".npz"], write=_save_sparse, holds_tree=False)},
        _load_sparse,
        ".npz",
        sparse.FORM.reader,
    ),
    masked.FORM.reader: Contents(masked.FORM.name, _OF_TREES, _load_masked, ".npz", masked.FORM.reader),
}

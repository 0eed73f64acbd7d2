"""Arrays of several objects: whether all that their table names is there, and belongs to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from cottoncandy import keys
from cottoncandy.arrayformat import ArrayDescription, is_array
from cottoncandy.backends.base import Backend, ObjectHead
from cottoncandy.backends.encrypted.mark import refuse_encrypted
from cottoncandy.chunkedarrays.names import LARGEST_TABLE, TABLE, VERSION, version_of
from cottoncandy.chunkedarrays.standing import FORMS
from cottoncandy.chunkedarrays.table import ChunkTable
from cottoncandy.errors import CorruptObject, ObjectNotFound, OutOfMemory, UnknownCodec, UnsupportedArray, WrongKey

__all__ = ["UNREADABLE", "Part", "may_be_table", "part_damage", "parts_of"]

#: What cannot be read here; elsewhere, where there is the key or the codec, it can.
UNREADABLE = (UnknownCodec, UnsupportedArray, WrongKey, OutOfMemory)


@dataclass(frozen=True, slots=True)
class Part:
    """What a table says of one of its parts.

    Attributes
    ----------
    places : tuple of str
        The object's name; the second is where 0.4.0 says that it lies, and counts where the first is not there.
    version : str or None
        Of the upload.
    form : tuple, optional
        The dtype and shape that it must have.
    """

    places: tuple[str, ...]
    version: str | None
    form: tuple[Any, tuple[int, ...]] | None = None


def may_be_table(head: ObjectHead) -> bool:
    """Whether an object may be a table. A leaf of a tree may have its name, and what is larger is another program's."""
    return keys.basename(head.key) == TABLE and head.size <= LARGEST_TABLE and not is_array(head.metadata)


def parts_of(key: str, text: bytes) -> Iterator[Part]:
    """The parts that a table names; none where it is another program's file.

    Raises
    ------
    CorruptObject
        If it is a table, and contradicts itself.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return iter(())
    directory = keys.parent(key)
    if isinstance(document, dict) and {"dask", "chunks"} <= document.keys():
        return _chunks(directory, ChunkTable.from_json(text, "its table"))
    if isinstance(document, dict) and {"type", "attrs"} <= document.keys():
        return _named_parts(directory, document)
    return iter(())


def _chunks(directory: str, table: ChunkTable) -> Iterator[Part]:
    for name, shape in zip(table.keys, product(*table.chunks), strict=True):
        beside = keys.join(directory, keys.basename(name))
        places = (beside,) if name == beside else (beside, keys.clean_object(name))
        yield Part(places, table.version, (table.dtype, shape))


def _named_parts(directory: str, document: dict[str, Any]) -> Iterator[Part]:
    for form in FORMS:
        if document["type"] in list(form.parts):  # of whatever type another program's is
            for name in form.part_names(document).values():
                yield Part((keys.clean_object(keys.join(directory, name)),), document.get(VERSION))


def part_damage(backend: Backend, part: Part) -> str | None:
    """Why a table cannot be read with this part; None where all is well. Its bytes are looked at elsewhere."""
    try:
        head = _find(backend, part.places)
        refuse_encrypted(backend, head)
        if version_of(head.metadata) != part.version:
            return "it belongs to another upload than its table"
        return _form_damage(head, part)
    except ObjectNotFound:
        return "it is missing, and its table names it"
    except CorruptObject as error:
        return str(error)
    except UNREADABLE:
        return None


def _form_damage(head: ObjectHead, part: Part) -> str | None:
    array = ArrayDescription.from_metadata(head.metadata, head.size, "it")
    if part.form is None or part.form == (array.dtype, array.shape):
        return None
    dtype, shape = part.form
    return f"it is {array.dtype}{array.shape}, and its table says {dtype}{shape}"


def _find(backend: Backend, places: tuple[str, ...]) -> ObjectHead:
    for place in places[:-1]:
        try:
            return backend.stat(place)
        except ObjectNotFound:
            continue
    return backend.stat(places[-1])

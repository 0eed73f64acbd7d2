"""The names of what an array in chunks is made of, and of what ties it together. See `docs/wire`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING

from cottoncandy import arrayformat, keys
from cottoncandy.errors import CorruptObject, CottonCandyError, ObjectNotFound, WrongKey

if TYPE_CHECKING:
    from cottoncandy.backends.base import Backend

TABLE = "metadata.json"
#: Bytes: a table has about 100 for each chunk.
LARGEST_TABLE = 2**28
#: Names in a directory that tell what array it is: the table and the parts of one come among the first.
_TELLING = 16
PREFIX = "pt"
#: The metadata key that ties the chunks of one upload together.
VERSION = "version"
_VERSION = re.compile("[0-9a-f]{16}")
#: The metadata key of leaves of trees, which have a version, too: no part of an array.
LEAF = "tree"
#: Parts that no table names, and that are older, were left by an upload that was killed.
FORGOTTEN = timedelta(days=1)
_MARK = re.compile(rf"{PREFIX}-[0-9a-f]{{16}}")
_NUMBER = re.compile("[0-9]{1,18}")


def first_names(backend: Backend, directory: str) -> list[str]:
    """The first names in a directory, as many as tell what array it is. One short listing."""
    prefix = keys.as_directory(directory)
    listed = backend.level_names(prefix, page_size=_TELLING)
    return [name.removeprefix(prefix) for name in islice(listed, _TELLING)]


def new_version() -> str:
    """What names an upload."""
    return os.urandom(8).hex()  # as `secrets.token_hex` makes it, whose module brings much


def forgotten_since() -> datetime:
    """What is older than this moment, and stands in no table, was left by an upload that was killed."""
    return datetime.now(timezone.utc) - FORGOTTEN


def version_of(metadata: Mapping[str, str]) -> str | None:
    """The upload that a part belongs to; None for one of 0.4.0, whose caller may have given it a version of his own."""
    version = arrayformat.lowered(metadata).get(VERSION, "")
    return version if _VERSION.fullmatch(version) else None


def version_at(backend: Backend, key: str) -> str | None:
    """The upload that an object belongs to; None where it is gone, or of none that we know."""
    try:
        return version_of(backend.stat(key).metadata)
    except (ObjectNotFound, WrongKey):
        return None  # what is ours, our key opens


def belongs_to(backend: Backend, key: str, version: str | None) -> bool:
    """Whether a raw array that an upload has written lies there still; None is one of 0.4.0."""
    try:
        metadata = backend.stat(key).metadata
    except (ObjectNotFound, WrongKey):
        return False
    return arrayformat.is_array(metadata) and version_of(metadata) == version


@contextmanager
def naming_array(backend: Backend, directory: str, *, reads: bool = False) -> Iterator[None]:
    """Have an error about an object of an array begin with the array, which is what the caller named.

    One that names none of these objects is about the bucket, or about what is sent there, and stays as it is. With
    ``reads``, an error that something is damaged is about one of them in any case.
    """
    try:
        yield
    except CottonCandyError as error:
        where, told = backend.describe(directory), str(error)
        is_of_it = (reads and isinstance(error, CorruptObject)) or f"{directory!r}"[:-1] + keys.SEPARATOR in told
        if told.startswith(where) or not is_of_it:
            raise
        raise type(error)(f"{where}: {told.replace(f' in {backend.describe()}', '')}") from error


def chunk_name(number: int) -> str:
    """The name of a chunk beside its table: ``pt0000``."""
    return f"{PREFIX}{number:04d}"


def chunk_number(name: str) -> int | None:
    """The number in a chunk's name; None for another name."""
    digits = name.removeprefix(PREFIX)
    return int(digits) if digits != name and _NUMBER.fullmatch(digits) else None


def mark_name(token: str) -> str:
    """The name, beside the chunks, of what tells that an upload is under way."""
    return f"{PREFIX}-{token}"


def is_mark(name: str) -> bool:
    """Whether `mark_name` gave that name."""
    return _MARK.fullmatch(name) is not None

"""What uploads that were killed have left in the folder of an array, of whatever kind that was."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

from cottoncandy import arrayformat, keys
from cottoncandy.backends.base import Backend, ObjectInfo
from cottoncandy.chunkedarrays.names import LEAF, chunk_number, forgotten_since, is_mark, version_of
from cottoncandy.chunkedarrays.standing import is_part, is_staged
from cottoncandy.errors import ObjectNotFound, WrongKey
from cottoncandy.parallel import gather

# As `new_version` gives them: callers may have metadata of that name.
_VERSION = re.compile("[0-9a-f]{16}")


def objects_in(backend: Backend, directory: str) -> dict[str, ObjectInfo]:
    """What lies in a folder itself, by the names there."""
    prefix = keys.as_directory(directory)
    return {info.key.removeprefix(prefix): info for info in backend.list_level(prefix) if isinstance(info, ObjectInfo)}


def others_are_at_work(there: Mapping[str, ObjectInfo], own: Container[str] = ()) -> bool:
    """Whether somebody may be about to give parts the names of old ones: a deletion has no condition."""
    since = forgotten_since()
    return any(is_staged(name) and name not in own and not info.is_older(since) for name, info in there.items())


def forgotten(backend: Backend, there: Mapping[str, ObjectInfo], spared: Container[str], threads: int) -> list[str]:
    """The names of those that an upload wrote long ago, and that are not ``spared``: what no table names.

    By its name alone nothing is an upload's: patients may be called ``pt0001``. So those that are old and have such a
    name are looked at, a request each. What 0.4.0 wrote has no version, and is known by a table alone.
    """
    since = forgotten_since()
    old = [name for name, info in there.items() if name not in spared and _may_be_left(name) and info.is_older(since)]
    verdicts = gather(lambda name: is_left(backend, there[name].key), old, threads)
    return [name for name, verdict in zip(old, verdicts, strict=True) if verdict]


def is_left(backend: Backend, key: str) -> bool:
    """Whether an upload of an array wrote this object, long ago."""
    try:
        head = backend.stat(key)
    except (ObjectNotFound, WrongKey):
        return False  # what is ours, our key opens
    metadata, name = arrayformat.lowered(head.metadata), keys.basename(key)
    is_ours = _VERSION.fullmatch(version_of(metadata) or "") is not None and LEAF not in metadata
    return is_ours and head.is_older(forgotten_since()) and (is_mark(name) or arrayformat.is_array(metadata))


def _may_be_left(name: str) -> bool:
    return chunk_number(name) is not None or is_mark(name) or is_part(name) or is_staged(name)

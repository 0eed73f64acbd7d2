"""Names of other tools that each call here takes for another object: ``/raw/b`` and ``raw//b``, which are ``raw/b``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from cottoncandy.backends.base import ObjectInfo, ObjectPrefix

__all__ = ["distinct", "distinct_names"]

log = logging.getLogger(__name__)

Listed = TypeVar("Listed")
Entry = TypeVar("Entry", bound=ObjectInfo | ObjectPrefix)


def distinct(entries: Iterable[Entry], describe: Callable[[str], str]) -> Iterator[Entry]:
    """Leave out of a listing what `keys.clean` would take for another; a warning tells of the first, and how many.

    To read, move or remove such a name would hit the other object. What goes through all of a branch, as ``rm`` with
    ``recursive``, takes the keys as they are.

    Parameters
    ----------
    entries : iterable of ObjectInfo or ObjectPrefix
    describe : callable
        How the warning names an object.
    """
    return _distinct(entries, lambda entry: entry.key, describe)


def distinct_names(names: Iterable[str], describe: Callable[[str], str]) -> Iterator[str]:
    """Do what `distinct` does, for the names alone."""
    return _distinct(names, str, describe)


def _distinct(
    listed: Iterable[Listed], key: Callable[[Listed], str], describe: Callable[[str], str]
) -> Iterator[Listed]:
    first, count = "", 0
    try:
        for each in listed:
            name = key(each)
            if "//" in name or name.startswith("/"):
                first, count = first or name, count + 1
            else:
                yield each
    finally:
        if count:
            which = f"{describe(first)}, and {count - 1} more, are" if count > 1 else f"{describe(first)} is"
            log.warning("%s left out of the listing: each call takes it for another object", which)

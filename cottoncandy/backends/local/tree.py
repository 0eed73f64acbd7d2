"""The directories of a store: what lies in them in the order of keys, and removing those that hold nothing."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar

from cottoncandy import heldfiles
from cottoncandy.backends.local import locks, names
from cottoncandy.keys import SEPARATOR, clean

log = logging.getLogger(__name__)

Found = TypeVar("Found")

# Seconds that the clock of a file system may be behind ours.
_CLOCK = 1.0


# ------------------------------------------------------------------ listing
@dataclass(frozen=True, slots=True)
class Entry:
    """A file that is an object, or a directory; a directory's key ends with ``/``."""

    key: str
    path: str
    is_directory: bool


def entries(root: str, prefix: str) -> list[Entry]:
    """The objects and directories of one directory that a listing of ``prefix`` starts from, in order."""
    directory, separator, start = prefix.rpartition(SEPARATOR)
    example = directory + separator + "-"
    if clean(example) != example or names.is_behind_link(root, os.path.join(root, example)):
        return []
    return _scan(root, directory + separator, start)


def walk(root: str, prefix: str, of: Callable[[Entry], Found | None]) -> Iterator[Found]:
    """What ``of`` makes of all objects whose key starts with the prefix, in order; it gives None for what has gone.

    Holds the siblings on the way, not the tree. Where an object, a directory, or what was in it has gone since it was
    looked up, those that are yet to come are looked up anew, if there may be others by now: the removal may have been
    the last step of something that made them.
    """
    began, looked = time.time() - _CLOCK, dict[str, float]()
    stack = entries(root, prefix)[::-1]
    while stack:
        entry = stack.pop()
        if entry.is_directory:
            inside = _scan(root, entry.key)
            stack += inside[::-1]
            has_gone = not inside and _changed_since(entry.path, began)
        else:
            found = of(entry)
            has_gone = found is None
            if found is not None:
                yield found
        if has_gone and any(_may_differ(os.path.join(root, level), looked) for level in _levels(entry.key, prefix)):
            stack = list(_following(root, entry.key, prefix))[::-1]


def _following(root: str, key: str, prefix: str) -> Iterator[Entry]:
    """What comes behind a key in a listing, of the directories around it."""
    for level in _levels(key, prefix):
        yield from (one for one in _scan(root, level) if one.key > key and one.key.startswith(prefix))


def _levels(key: str, prefix: str) -> Iterator[str]:
    """The directories around what has this key, as far as a listing of the prefix goes up; the innermost first."""
    first = prefix.rpartition(SEPARATOR)[0]
    while len(key) > len(first) and key:
        directory, separator, _ = key.rstrip(SEPARATOR).rpartition(SEPARATOR)
        key = directory + separator
        if len(directory) >= len(first):
            yield key


def _may_differ(directory: str, looked: dict[str, float]) -> bool:
    """Whether anything may have come to a directory, or gone, since this was asked."""
    try:
        changed = os.stat(directory).st_mtime
    except OSError:
        return True
    if looked.get(directory) == changed:
        return False
    if changed < time.time() - _CLOCK:  # what comes now gives it another time
        looked[directory] = changed
    return True


def _changed_since(directory: str, moment: float) -> bool:
    """Whether a directory is gone, or something in it came or went."""
    try:
        return os.lstat(directory).st_mtime >= moment
    except OSError:
        return True


def _scan(root: str, parent: str, start: str = "") -> list[Entry]:
    """What lies in one directory under names that begin with ``start``, in the order of the keys' UTF-8 bytes.

    Because a directory's key ends with ``/``, ``a.b`` comes before all that is in ``a``, and ``a0`` behind it.
    The order of `str` is that of UTF-8 bytes.
    """
    found: list[os.DirEntry[str]] = []
    with names.passing_over_absence():
        found = _inside(os.path.join(root, parent))
    listed = (_entry(root, parent, one) for one in found if one.name.startswith(start))
    return sorted(filter(None, listed), key=attrgetter("key"))


def drafts(root: str, prefix: str) -> Iterator[Entry]:
    """The files of unfinished writes to keys that start with the prefix, under the keys that they were to be."""
    folders = [os.path.join(root, prefix.rpartition(SEPARATOR)[0])]
    while folders:
        found: list[os.DirEntry[str]] = []
        with suppress(OSError):  # what may not be listed is somebody else's
            found = _inside(folders.pop())
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif names.is_draft(entry.name):
                key = names.key_of_draft(os.path.relpath(entry.path, root).replace(os.sep, SEPARATOR))
                if key.startswith(prefix):
                    yield Entry(key, entry.path, is_directory=False)


def _inside(directory: str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return list(entries)


def _entry(root: str, parent: str, found: os.DirEntry[str]) -> Entry | None:
    """None for what is no object and no directory: sidecars, links that lead out, devices, what the system keeps."""
    if names.is_of_the_system(found.name):
        return None
    key, is_directory = parent + found.name, found.is_dir(follow_symlinks=False)
    if is_directory:
        return Entry(key + SEPARATOR, found.path, is_directory=True) if _is_text(key) else None
    if found.name.endswith(names.SIDECAR) or not (_is_file(found) and _is_text(key)):
        return None
    return None if names.link_leads_out(root, found.path) else Entry(key, found.path, is_directory=False)


def _is_file(found: os.DirEntry[str]) -> bool:
    try:
        return found.is_file()
    except OSError:  # a link in a circle, or to where we may not look
        return False


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        log.warning("file %r is left out of the listing: its name is no UTF-8, so no object can have it", key)
        return False
    return True


# ------------------------------------------------------------------ removing what is empty
def prune(path: str, root: str) -> None:
    """Remove the directories in which a file lay, as far as they hold nothing else; the root stays."""
    all(map(remove_if_empty, names.parents(root, path)))  # `all` stops at the first that stays


def remove_if_empty(directory: str) -> bool:
    """Remove a directory in which nothing lies but what interrupted writers left; whether it is gone."""
    if _remove(directory):
        return True
    with names.passing_over_absence():
        _sweep(directory)
    return _remove(directory)


def gives_way(root: str, key: str, is_deleted: Callable[[str], bool]) -> bool:
    """Whether a directory, where there is one of this key, can be removed as soon as these objects are."""
    found = [key]
    for parent in found:  # grows as it goes
        inside: list[os.DirEntry[str]] = []
        with names.passing_over_absence():
            inside = _inside(os.path.join(root, parent))
        found += [parent + SEPARATOR + entry.name for entry in inside if entry.is_dir(follow_symlinks=False)]
        files = [entry for entry in inside if not entry.is_dir(follow_symlinks=False)]
        if not all(is_deleted(parent + SEPARATOR + entry.name) or _goes_with_directory(entry) for entry in files):
            return False
    return True


def _goes_with_directory(entry: os.DirEntry[str]) -> bool:
    """Whether it is removed with an empty directory, or is gone already."""
    with names.passing_over_absence():
        return _is_left_over(entry) and not _is_at_work(entry)
    return True  # type: ignore[unreachable] # mypy does not see that failures end there


def remove_empty_tree(directory: str) -> bool:
    """Remove a directory with all the empty ones below; whether it is gone."""
    found = [directory]
    for parent in found:  # grows as it goes: parents stand before what is in them
        with names.passing_over_absence():
            found += [entry.path for entry in _inside(parent) if entry.is_dir(follow_symlinks=False)]
    for one in reversed(found):
        remove_if_empty(one)
    return not os.path.lexists(directory)


def _remove(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _sweep(directory: str) -> None:
    """Remove what interrupted writers left in a directory that holds nothing else.

    Without an object beside it, a sidecar describes nothing. The lock keeps out writers that are about to publish;
    a draft that is still written is spared.
    """
    with locks.locked(directory):
        left = _inside(directory)
        if not all(map(_is_left_over, left)):
            return
        for entry in left:
            with suppress(OSError):
                remove = heldfiles.remove_abandoned if entry.name.endswith(names.DRAFT) else os.unlink
                remove(entry.path)


def _is_at_work(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(names.DRAFT) and not heldfiles.is_abandoned(entry.path)


def _is_left_over(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(names.SIDECAR) and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)

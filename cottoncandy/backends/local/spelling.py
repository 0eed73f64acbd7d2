"""Disks that take two spellings for one name: those of macOS and Windows, and what is mounted from there.

On them ``run/Bold`` and ``run/bold`` lead to one file. It is the object of the name that stands on the disk; by any
other spelling there is none, and none can be written. Else what is moved from one to the other would be deleted, and
of two objects that are written, one would be left.
"""

from __future__ import annotations

import os
import stat
import sys
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from cottoncandy.backends.local import names
from cottoncandy.diskpaths import answers_to_others, folded, spelled_file
from cottoncandy.keys import SEPARATOR

# Names that were listed, by directory; one directory may hold many.
Listed = dict[str, frozenset[str]]

# Seconds that the clock of a file system may be behind ours.
_CLOCK = 1.0
# Directories whose names are remembered.
_MOST_REMEMBERED = 64


class Spelling:
    """How the names below a directory are spelled on disk.

    The disk is asked once what it takes for one name. Where it tells all spellings apart, nothing else is ever asked.
    Elsewhere a name that is there already is looked for in its directory, whose names are remembered for as long as
    nothing comes to it or goes.

    Parameters
    ----------
    root : str
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._is_ignored: bool | None = None
        self._is_tried = False
        self._kept: Callable[[str], str] = str  # what the disk makes of a new name
        self._remembered: dict[str, tuple[float, frozenset[str]]] = {}

    def __reduce__(self) -> tuple[type[Spelling], tuple[str]]:
        return Spelling, (self._root,)

    def other(self, path: str, *, writing: bool = False, listed: Listed | None = None) -> str | None:
        """What a file, or the first such directory on the way to it, is called on disk, if that is another key.

        Parameters
        ----------
        path : str
            A file below the root.
        writing : bool
            Whether something is to be changed: then the disk is tried where looking does not tell.
        listed : dict, optional
            What one call for many names has listed; it goes by that to its end.

        Returns
        -------
        str or None
            None where nothing is there, by whatever spelling, and where it is spelled so.
        """
        if not self._ignores_spelling(writing):
            return None
        parent, key = self._root, ""
        for part in os.path.relpath(path, self._root).split(os.sep):
            twin = self._twin(parent, part, listed)
            if twin != part:
                return None if twin is None else key + twin
            parent, key = os.path.join(parent, part), key + part + SEPARATOR
        return None

    def flaw(self, key: str) -> str | None:
        """Why no new object of this key would be found again here by it; None if it would."""
        if not self._ignores_spelling(writing=True):
            return None
        if folded(key).endswith(names.SIDECAR):
            return f"this disk takes its ending for {names.SIDECAR!r}, which is kept for the metadata of other objects"
        if self._kept(key) != key:
            return f"this disk would call it {self._kept(key)!r}: give the name as it is there"
        return None

    # ------------------------------------------------------------------ the disk
    def _ignores_spelling(self, writing: bool) -> bool:
        if writing and not self._is_tried:
            self._try()
        if self._is_ignored is None:
            self._is_ignored = sys.platform == "darwin" or _seems_to_ignore_case(self._root)
        return bool(self._is_ignored)

    def _try(self) -> None:
        # where we may not write, or the disk's names are not Unicode, it may still be seen
        with suppress(OSError, UnicodeError):
            with spelled_file(Path(self._root), names.SIDECAR) as path:
                self._is_ignored = answers_to_others(path)
                if self._is_ignored:
                    self._kept = _what_is_kept(path)
            self._is_tried = True

    # ------------------------------------------------------------------ one name
    def _twin(self, parent: str, part: str, listed: Listed | None) -> str | None:
        """The name that a directory has for what a name in it leads to; None where that is nothing."""
        try:
            facts = os.lstat(os.path.join(parent, part))
            if part in self._names(parent, listed):
                return part
            found = os.listdir(parent)  # anew: it may have come since
        except OSError:
            return None
        if part in found:
            return part
        alike = (name for name in found if folded(name) == folded(part))
        return next(alike, None) or next((name for name in found if _is(os.path.join(parent, name), facts)), None)

    def _names(self, directory: str, listed: Listed | None) -> frozenset[str]:
        if listed is not None:
            if directory not in listed:
                listed[directory] = frozenset(os.listdir(directory))
            return listed[directory]
        changed = os.stat(directory).st_mtime
        when, found = self._remembered.get(directory, (None, frozenset[str]()))
        if when != changed:
            found = frozenset(os.listdir(directory))
            if changed < time.time() - _CLOCK:  # what comes now gives it another time
                self._remember(directory, changed, found)
        return found

    def _remember(self, directory: str, changed: float, found: frozenset[str]) -> None:
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[directory] = changed, found


def _what_is_kept(path: Path) -> Callable[[str], str]:
    """What the disk made of a file's name: nearly all keep it, and HFS+ and some mounts have one spelling for all."""
    listed = next((name for name in os.listdir(path.parent) if folded(name) == folded(path.name)), path.name)
    ways: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper, partial(unicodedata.normalize, "NFD"))
    return next((way for way in ways if way(path.name) == listed), str)


def _seems_to_ignore_case(root: str) -> bool:
    """Whether what lies in a directory answers to its name in other letters, too. Nothing is written."""
    with suppress(OSError), os.scandir(root) as found:
        for entry in found:
            other = entry.name.swapcase()
            if entry.name.isascii() and other != entry.name:
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode) or facts.st_nlink == 1:  # of two links one may be called so
                    return _is(os.path.join(root, other), os.lstat(entry.path))
    return False


def _is(path: str, facts: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), facts)
    except OSError:
        return False

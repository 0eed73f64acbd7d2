"""All objects below a folder in the order of their keys; folders that come next are listed ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from cottoncandy.backends.gdrive.files import DriveFile
from cottoncandy.backends.gdrive.tree import Level
from cottoncandy.pools import Call

Lister = Callable[[str], Level]


class Entry(NamedTuple):
    """A name in a level: an object, or a folder, whose key ends with ``/``."""

    key: str
    object: DriveFile | None


def entries(level: Level, folder: str, beginning: str = "") -> list[Entry]:
    """A level in the order of the keys' UTF-8 bytes, in which ``a/`` comes after ``a.`` and before ``a0``.

    Parameters
    ----------
    level : Level
    folder : str
        Its key, ``''`` or with a ``/`` at its end.
    beginning : str
        Of the names to take.
    """
    found = [Entry(folder + name, file) for name, file in level.objects.items() if name.startswith(beginning)]
    found += [Entry(f"{folder}{name}/", None) for name in level.folders if name.startswith(beginning)]
    return sorted(found, key=lambda entry: entry.key.encode())


def walk(lister: Lister, folder: str, beginning: str, threads: int) -> Iterator[Entry]:
    """The objects below a folder, in the order of their keys.

    Parameters
    ----------
    lister : callable
        Gives the level of a folder's key.
    folder, beginning : str
        Where to begin, and how the names there begin.
    threads : int
        Folders that are listed at a time.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="cottoncandy") as pool:
        todo = list(reversed(entries(lister(folder), folder, beginning)))
        ahead = _Ahead(lister, pool, threads)
        ahead.push(todo)
        try:
            while todo:
                entry = todo.pop()
                if entry.object is not None:
                    yield entry
                    continue
                inside = list(reversed(entries(ahead.pop(), entry.key)))
                ahead.push(inside)
                todo += inside
        finally:
            ahead.stop()


class _Ahead:
    """The folders still to be listed, the next one last; the listings of the next few are under way."""

    def __init__(self, lister: Lister, pool: ThreadPoolExecutor, most: int) -> None:
        self._lister = lister
        self._pool = pool
        self._most = most
        self._keys: list[str] = []
        self._calls: dict[str, Call[Level]] = {}

    def push(self, entries: list[Entry]) -> None:
        """Add the folders among the entries."""
        self._keys += [entry.key for entry in entries if entry.object is None]
        self._start()

    def pop(self) -> Level:
        """The level of the next folder."""
        self._start()
        return self._calls.pop(self._keys.pop()).result()

    def _start(self) -> None:
        for key in self._keys[-self._most :]:
            if key not in self._calls:
                self._calls[key] = Call(self._pool, partial(self._lister, key))

    def stop(self) -> None:
        """Start no more."""
        for call in self._calls.values():
            call.cancel()

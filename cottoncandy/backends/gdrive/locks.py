"""Locks that a forked child does not inherit locked."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

_all: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


class ForkSafeLock:
    """A lock that is free again in a forked child: the thread that held it is not there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)

    def renew(self) -> None:
        """Forget who held it."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


# Two interfaces of one process that make the same folder must wait for each other, so these belong to the process.
# A fixed number of them: a lock per folder would never be thrown away.
_folder_locks = tuple(ForkSafeLock() for _ in range(64))


def folder_lock(endpoint: str, parent: str, name: str) -> ForkSafeLock:
    """The lock of whoever makes or removes the folder of that name in a parent. Hold only one at a time."""
    return _folder_locks[hash((endpoint, parent, name)) % len(_folder_locks)]


def _renew_all() -> None:
    for lock in list(_all):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)

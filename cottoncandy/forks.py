"""What a forked child must not take over: locks that are held, and what its parent is in the middle of."""

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
        """Forget which thread held it."""
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


_generation = 0


def generation() -> int:
    """How many forks this process is away from the first: what was noted with another number is the parent's."""
    return _generation


def _after_fork() -> None:
    global _generation  # noqa: PLW0603 - of the process
    _generation += 1
    for lock in list(_all):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

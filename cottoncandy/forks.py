"""What a forked child must not take over: locks that are held, and what its parent is in the middle of."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar

Function = TypeVar("Function", bound=Callable[[], object])


class Renewed(Protocol):
    """What is a child's own."""

    def renew(self) -> None:
        """Forget what is the parent's."""


_renewed: weakref.WeakSet[Renewed] = weakref.WeakSet()
_generation = 0


def in_child(function: Function) -> Function:
    """Have a function be called in each forked child; Windows has none."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


def renewed_in_child(thing: Renewed) -> None:
    """Have a thing be renewed in each forked child, for as long as somebody holds it."""
    _renewed.add(thing)


def generation() -> int:
    """How many forks this process is away from the first: what was noted with another number is the parent's."""
    return _generation


@in_child
def _after_fork() -> None:
    global _generation  # noqa: PLW0603 - of the process
    _generation += 1
    for thing in list(_renewed):
        thing.renew()


class ForkSafeLock:
    """A lock that is free again in a forked child: the thread that held it is not there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        renewed_in_child(self)

    def renew(self) -> None:
        """Forget which thread held it."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

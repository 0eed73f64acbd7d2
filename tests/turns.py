"""Several callers of one store, one call at a time: chance decides who is next, and a seed decides chance."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from cottoncandy.errors import AccessDenied
from cottoncandy.interfaces import DefaultInterface

#: The calls that wait for their turn.
STEPS = ("put", "copy", "delete", "stat", "list_objects")


class Stopped(BaseException):
    """Stands for the end of a process: nothing gets through any more."""


class Turns:
    """One call of several writers gets through at a time, and chance, which a seed fixes, decides whose.

    Parameters
    ----------
    look : callable
        Is called before each of them, while nobody else does anything.
    lives : dict
        How many calls a writer makes before he is stopped.
    failures : dict
        The calls of a writer that fail, by their numbers.
    """

    def __init__(
        self,
        seed: int,
        writers: set[int],
        look: Callable[[], None],
        lives: dict[int, int],
        failures: Mapping[int, Container[int]] = {},
    ) -> None:
        self._chance, self._look, self._lives, self._failures = random.Random(seed), look, lives, failures
        self._calls = Counter[int]()
        self._inside = threading.local()
        self._changed = threading.Condition()
        self._working, self._waiting = set(writers), Counter[int]()
        self._turn: int | None = None
        self._is_busy, self._last, self._again = False, 0, self._chance.choice([0.0, 0.5, 0.8, 0.95])

    def take(self, cci: DefaultInterface, writer: int, patch: pytest.MonkeyPatch, steps: Sequence[str] = STEPS) -> None:
        """Have this one make his calls in turn."""
        for name in steps:
            patch.setattr(cci.backend_interface, name, self._in_turn(getattr(cci.backend_interface, name), writer))

    def _in_turn(self, function: Any, writer: int) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if getattr(self._inside, "a_call", False):  # a call of the backend's own
                return function(*arguments, **named)
            with self._one(writer):
                result = function(*arguments, **named)
                return iter(list(result)) if isinstance(result, Iterator) else result

        return call

    @contextmanager
    def _one(self, writer: int) -> Iterator[None]:
        with self._changed:
            self._waiting[writer] += 1
            self._choose()
            self._changed.wait_for(lambda: self._turn == writer)
            self._turn, self._is_busy = None, True
            self._waiting[writer] -= 1
        try:
            self._calls[writer] += 1
            if self._calls[writer] > self._lives.get(writer, 10**6):
                raise Stopped
            if self._calls[writer] in self._failures.get(writer, ()):
                raise AccessDenied("this call fails")
            self._look()
            self._inside.a_call = True
            yield
        finally:
            self._inside.a_call = self._is_busy = False
            with self._changed:
                self._choose()

    def leave(self, writer: int) -> None:
        """This one makes no more calls."""
        with self._changed:
            self._working.discard(writer)
            self._choose()

    def _choose(self) -> None:
        if not self._is_busy and self._turn is None and all(self._waiting[writer] for writer in self._working):
            if self._last not in self._working or self._chance.random() >= self._again:
                self._last = self._chance.choice(sorted(self._working) or [0])
            self._turn = self._last or None
            self._changed.notify_all()

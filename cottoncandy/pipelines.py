"""Many small requests by one thread: the next ones are sent while the answers of the first are under way.

Threads that wait for one answer each do the same, but two thirds of what Python then computes goes into handing the
interpreter from one to the other. Here nobody is patient: what has no answer soon, or fails, is left to those who try
again (`cottoncandy.parallel.for_each`).
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar

from cottoncandy.interrupts import put_off

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")

#: Bytes: what goes out, and is answered, without either side waiting until the other has read.
SMALL = 2**16
#: Requests under way at first. They become more as long as the first answer is not there when the last one was sent.
_WIDTH = 8
#: With so many under way it is no matter that no more can be begun.
_ENOUGH = 32
#: Seconds that an answer is waited for; and all that are still to come together, when one has failed.
_PATIENCE, _REST = 2.0, 3.0


class Busy(Exception):
    """Nothing more can be begun before something else has ended."""


class Begun(ABC, Generic[Result]):
    """A request that was sent, and whose answer is still to be read. It is read, or dropped, once."""

    @abstractmethod
    def answered(self, seconds: float) -> bool:
        """Whether there is news of it, within so many seconds."""

    @abstractmethod
    def result(self) -> Result:
        """Read the answer. Nothing is tried again when that fails; what it was is logged."""

    @abstractmethod
    def drop(self) -> None:
        """Read nothing; if it was read, nothing is done."""

    def then(self, function: Callable[[Result], Other]) -> Begun[Other]:
        """What a function makes of the result."""
        return _Then(self, function)


class _Then(Begun[Other], Generic[Result, Other]):
    __slots__ = ("_begun", "_function")

    def __init__(self, begun: Begun[Result], function: Callable[[Result], Other]) -> None:
        self._begun = begun
        self._function = function

    def answered(self, seconds: float) -> bool:
        return self._begun.answered(seconds)

    def result(self) -> Other:
        return self._function(self._begun.result())

    def drop(self) -> None:
        self._begun.drop()


#: Begins what is to be done for an item; None where that takes more than a request and its answer.
Begin = Callable[[Item], "Begun[Result] | None"]


def run_ahead(begin: Begin[Item, Any], items: Iterable[Item], most: int) -> Iterator[Item]:
    """Do what can be done with one request each, up to ``most`` at a time, as long as all goes well.

    Parameters
    ----------
    begin : callable
    items : iterable
    most : int

    Returns
    -------
    iterator
        The items that are left: those that cannot be begun, those that failed, and all behind the first that did.
        Each is to be done as if nothing had been done for it.
    """
    following = iter(items)
    with put_off() as came:  # nothing may be under way then that nobody knows of
        pipeline = _Pipeline(begin, most, came)
        try:
            for item in following:
                if not pipeline.take(item) or came:
                    break
            pipeline.drain()
        except BaseException:
            pipeline.abandon()
            raise
    return chain(pipeline.left, following)


class _Pipeline(Generic[Item]):
    """The requests that are under way, the oldest first."""

    def __init__(self, begin: Begin[Item, Any], most: int, interrupts: list[int]) -> None:
        self.left: list[Item] = []
        self._begin = begin
        self._most = most
        self._interrupts = interrupts
        self._width = min(_WIDTH, most)
        self._waiting: deque[tuple[Item, Begun[Any]]] = deque()
        self._end = math.inf  # by `time.monotonic`

    def take(self, item: Item) -> bool:
        """Begin with an item; whether all went well up to now."""
        try:
            begun = self._begun(item)
        except Busy:
            self.left.append(item)
            return False
        except Exception:  # noqa: BLE001 - it is raised when the item is done in the other way
            self._give_up(item)
            return False
        if begun is None:
            self.left.append(item)
            return True
        self._waiting.append((item, begun))
        return len(self._waiting) < self._width or self._widened() or self._finish(_PATIENCE)

    def _begun(self, item: Item) -> Begun[Any] | None:
        while True:
            try:
                return self._begin(item)
            except Busy:
                # a few that all wait are slower than threads, which have as many connections as they like
                is_starved = len(self._waiting) < _ENOUGH and not (self._waiting and self._waiting[0][1].answered(0))
                if is_starved or not self._finish(_PATIENCE):
                    raise
                self._width = len(self._waiting) + 1

    def _widened(self) -> bool:
        """More at a time, where that is of use."""
        if self._width >= self._most or self._waiting[0][1].answered(0):
            return False
        self._width = min(2 * self._width, self._most)
        return True

    def _finish(self, seconds: float) -> bool:
        """Read the oldest answer, if it comes; whether all went well."""
        item, begun = self._waiting.popleft()
        try:
            if begun.answered(seconds):
                begun.result()
                return True
        except Exception:  # noqa: BLE001, S110 - as above
            pass
        finally:
            begun.drop()
        self._give_up(item)
        return False

    def _give_up(self, item: Item) -> None:
        self._hurry()
        self.left.append(item)

    def drain(self) -> None:
        """Read the answers that are still to come: each in good time, but all soon when one has failed."""
        while self._waiting:
            if self._interrupts:
                self._hurry()
            self._finish(max(0.0, min(_PATIENCE, self._end - time.monotonic())))

    def abandon(self) -> None:
        """Wait until nothing is under way, but not long."""
        self._hurry()
        try:
            self.drain()
        finally:
            for _, begun in self._waiting:
                begun.drop()

    def _hurry(self) -> None:
        self._end = min(self._end, time.monotonic() + _REST)

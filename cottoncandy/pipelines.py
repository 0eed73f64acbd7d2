"""Many small requests by one thread: the next ones are sent while the answers of the first are under way.

Threads that wait for one answer each do the same, but two thirds of what Python then computes goes into handing the
interpreter from one to the other. What fails here is tried again elsewhere (`cottoncandy.parallel.for_each`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from itertools import chain
from selectors import EVENT_READ, BaseSelector, DefaultSelector
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cottoncandy.interrupts import go_on, put_off

if TYPE_CHECKING:
    from typing_extensions import Self

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")

#: Bytes: what goes out, and is answered, without either side waiting until the other has read.
SMALL = 2**16
#: Requests under way at first. They become more as long as the first answer is not there when the last one was sent.
_WIDTH = 8
#: The failure of an item that is done again, for code that counts attempts, which takes it out of here.
FAILED: ContextVar[list[Exception] | None] = ContextVar("cottoncandy_failed", default=None)


class Busy(Exception):
    """Nothing more can be begun before something else has ended."""


class Begun(ABC, Generic[Result]):
    """A request that was sent, and whose answer is still to be read. It is read, or dropped, once."""

    #: Until when the answer is waited for, by `time.monotonic`; None for ever.
    until: float | None = None

    @abstractmethod
    def fileno(self) -> int:
        """The socket at which the answer comes."""

    @abstractmethod
    def answered(self) -> bool:
        """Whether what came there is an answer, or the end of the connection."""

    @abstractmethod
    def late(self) -> Exception:
        """What came of it when no answer was there in time: an attempt that failed."""

    @abstractmethod
    def result(self) -> Result:
        """Read the answer; a request that failed is not sent again."""

    @abstractmethod
    def drop(self) -> None:
        """Read nothing; if it was read, nothing is done."""

    def then(self, function: Callable[[Result], Other]) -> Begun[Other]:
        """What a function makes of the result."""
        return _Then(self, function)


class _Then(Begun[Other], Generic[Result, Other]):
    def __init__(self, begun: Begun[Result], function: Callable[[Result], Other]) -> None:
        self._begun = begun
        self._function = function
        self.until = begun.until

    def fileno(self) -> int:
        return self._begun.fileno()

    def answered(self) -> bool:
        return self._begun.answered()

    def late(self) -> Exception:
        return self._begun.late()

    def result(self) -> Other:
        return self._function(self._begun.result())

    def drop(self) -> None:
        self._begun.drop()


#: Begins what is to be done for an item; None where that takes more than a request and its answer.
Begin = Callable[[Item], "Begun[Result] | None"]


def run_ahead(
    begin: Begin[Item, Any], items: Iterable[Item], most: int, *, only_reads: bool = False
) -> Iterator[tuple[Item, Exception | None]]:
    """Do what can be done with one request each, up to ``most`` at a time, as long as all goes well.

    Parameters
    ----------
    begin : callable
    items : iterable
    most : int
    only_reads : bool
        Whether a request that is under way may be forgotten. Ctrl-C waits for others: else the store might still do
        something after the clean-up.

    Returns
    -------
    iterator
        The items that are left, each with what went wrong, if something did: those that cannot be begun, those that
        failed, and all behind the first that did. `again` does one.
    """
    following = iter(items)
    try:
        selector = DefaultSelector()
    except OSError:  # no file may be opened any more
        return ((item, None) for item in following)
    context: AbstractContextManager[list[int]] = nullcontext([]) if only_reads else put_off()
    with context as came, _Pipeline(begin, most, selector) as pipeline:
        try:
            for item in following:
                go_on()
                if not pipeline.take(item) or came:
                    break
            pipeline.drain()
        except Exception:
            pipeline.drain()
            raise
        except BaseException:  # a second Ctrl-C is not kept waiting
            pipeline.drop()
            raise
    return chain(pipeline.left, ((item, None) for item in following))


def again(function: Callable[[Item], Result], item: Item, failure: Exception | None) -> Result:
    """Call the function for an item; code that counts attempts in there takes a failure for the first one."""
    if failure is None:
        return function(item)
    token = FAILED.set([failure])
    try:
        return function(item)
    finally:
        FAILED.reset(token)


class _Pipeline(Generic[Item]):
    """The requests that are under way, by the sockets at which their answers come; the oldest first."""

    def __init__(self, begin: Begin[Item, Any], most: int, selector: BaseSelector) -> None:
        self.left: list[tuple[Item, Exception | None]] = []
        self._begin = begin
        self._most = most
        self._width = min(_WIDTH, most)
        self._waiting: dict[int, tuple[Item, Begun[Any]]] = {}
        self._news: deque[int] = deque()
        self._selector = selector

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._selector.close()

    def take(self, item: Item) -> bool:
        """Begin with an item; whether all went well up to now."""
        try:
            begun = self._begun(item)
        except Busy:
            self.left.append((item, None))
            return False
        except Exception as failure:  # noqa: BLE001 - it is raised, or overcome, when the item is done again
            self.left.append((item, failure))
            return False
        if begun is None:
            self.left.append((item, None))
            return True
        try:
            self._selector.register(begun, EVENT_READ)
        except Exception as failure:  # noqa: BLE001 - as above
            begun.drop()
            self.left.append((item, failure))
            return False
        self._waiting[begun.fileno()] = item, begun
        return len(self._waiting) < self._width or self._widened() or self._finish()

    def _begun(self, item: Item) -> Begun[Any] | None:
        while True:
            try:
                return self._begin(item)
            except Busy:
                if not (self._waiting and self._finish()):
                    raise
                self._width = len(self._waiting) + 1

    def _widened(self) -> bool:
        """More at a time, where that is of use."""
        if self._width >= self._most or self._has_answer():
            return False
        self._width = min(2 * self._width, self._most)
        return True

    def _has_answer(self) -> bool:
        if not self._news:
            self._look(0)
        while self._news and not self._waiting[self._news[0]][1].answered():
            self._news.popleft()
        return bool(self._news)

    def _look(self, seconds: float | None) -> None:
        """Look where something has come, or comes within some seconds; None waits for ever."""
        self._news.extend([key.fd for key, _ in self._selector.select(seconds)])

    def _finish(self) -> bool:
        """Read an answer, as soon as one is there; whether all went well."""
        item, begun, is_there = self._next()
        try:
            if not is_there:
                self.left.append((item, begun.late()))
                return False
            begun.result()
        except Exception as failure:  # noqa: BLE001 - as above
            self.left.append((item, failure))
            return False
        finally:
            begun.drop()
        return True

    def _next(self) -> tuple[Item, Begun[Any], bool]:
        """One of those under way that is answered, and True; or the oldest, whose time is up."""
        while True:
            while self._news:
                if self._waiting[number := self._news.popleft()][1].answered():
                    return *self._out(number), True
            oldest, (_, begun) = next(iter(self._waiting.items()))
            left = None if begun.until is None else max(0.0, begun.until - time.monotonic())
            self._look(left)
            if left == 0 and oldest not in self._news:
                self._news.clear()  # none of them was asked whether it is answered: they are told of again
                return *self._out(oldest), False

    def _out(self, number: int) -> tuple[Item, Begun[Any]]:
        self._selector.unregister(number)
        return self._waiting.pop(number)

    def drain(self) -> None:
        """Read the answers that are still to come."""
        while self._waiting:
            self._finish()

    def drop(self) -> None:
        """Forget what is under way."""
        for _, begun in self._waiting.values():
            begun.drop()

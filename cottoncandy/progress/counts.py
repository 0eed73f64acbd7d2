"""What a call has done so far, counted by all threads that work for it, and drawn by one at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cottoncandy.pipelines import Begin, Begun
from cottoncandy.progress.bars import Bar, MakeBar, readable_size

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BYTES", "NO_CALL", "Call", "Count", "NoCall", "current", "done_counter"]

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds between two drawings.
_INTERVAL = 0.1
#: What bars are told that count bytes.
BYTES = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}


class Count:
    """What a call has done so far, and its bar where it lasts. Any thread counts; one at a time draws."""

    def __init__(self, make_bar: MakeBar, delay: float, label: str, total: int | None, how: dict[str, Any]) -> None:
        self._make_bar = make_bar
        self._arguments = {"desc": label, "total": total, **how}
        self._counts_bytes = how is BYTES
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._due = self._began + delay
        self._bytes = self._objects = self._shown = 0
        self._bar: Bar | None = None

    def add(self, count: int) -> None:
        """So many bytes have moved; a negative number takes back those that have to move again."""
        with self._lock:
            self._bytes += count
            self._draw_if_due()

    def done(self, count: int = 1) -> None:
        """One of the things is done, or so many."""
        with self._lock:
            self._objects += count
            self._draw_if_due()

    def through(self, items: Iterable[Item]) -> Iterable[Item]:
        """The items; each counts as one when the next is asked for, or as `done_counter` says."""
        return Counted(self, items)

    def _draw_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _INTERVAL
            self._guarded(self._draw)

    def _guarded(self, draw: Callable[[], None]) -> None:
        try:
            draw()
        except Exception as error:  # noqa: BLE001 - a terminal that is gone, a bar that is broken: the data is not
            log.warning("the progress bar of %r failed: %s: %s", self._arguments["desc"], type(error).__name__, error)
            self._bar, self._due = None, float("inf")

    def _draw(self) -> None:
        if self._bar is None:  # a bar of tqdm's has no truth without a total
            self._bar = self._new_bar()
        bar = self._bar
        count = self._bytes if self._counts_bytes else self._objects
        if not self._counts_bytes and self._bytes and hasattr(bar, "set_postfix_str"):
            bar.set_postfix_str(readable_size(self._bytes), refresh=False)
        bar.update(count - self._shown)
        self._shown = count

    def _new_bar(self) -> Bar:
        bar: Any = self._make_bar(**self._arguments)
        if hasattr(bar, "start_t"):  # tqdm's: the call began before there was a bar
            bar.start_t -= time.monotonic() - self._began
            bar.last_print_t = bar.start_t
        return cast("Bar", bar)

    def _finish(self) -> None:
        self._draw()
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            if self._bar is not None:
                self._guarded(self._finish)
            self._due = float("inf")  # what is counted after the end draws nothing


class Call(Count):
    """A count that is found by all that works for the call."""

    def __enter__(self) -> Self:
        self._token: Token[Count | None] = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        super().__exit__(kind, error, traceback)

    def wrap(self, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
        """The function; each call that comes back counts as one."""

        def counted(item: Item) -> Result:
            result = function(item)
            self.done()
            return result

        return counted

    def wrap_begin(self, begin: Begin[Item, Result]) -> Begin[Item, Result]:
        """The function that begins something; each that comes to its end counts as one."""

        def ended(result: Result) -> Result:
            self.done()
            return result

        def counted(item: Item) -> Begun[Result] | None:
            begun = begin(item)
            return None if begun is None else begun.then(ended)

        return counted


class Counted(Iterable[Item]):
    """Items that are counted while they are drawn, or by the code that draws them."""

    def __init__(self, count: Count, items: Iterable[Item]) -> None:
        self._items = items
        self._count = count
        self._is_told = False

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            yield item
            if not self._is_told:
                self._count.done()

    def told(self) -> Callable[[int], None]:
        """What is called from here on with how many are done."""
        self._is_told = True
        return self._count.done


class NoCall:
    """Counts nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def done(self, count: int = 1) -> None:
        """Nobody is told."""

    def wrap(self, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
        """The function itself."""
        return function

    def wrap_begin(self, begin: Begin[Item, Result]) -> Begin[Item, Result]:
        """The function itself."""
        return begin

    def through(self, items: Iterable[Item]) -> Iterable[Item]:
        """The items themselves."""
        return items


_current: ContextVar[Count | None] = ContextVar("cottoncandy_progress", default=None)
NO_CALL = NoCall()


def current() -> Count | None:
    """What the bytes that move here are to be counted for; None for nobody."""
    return _current.get()


def done_counter(items: Iterable[Any]) -> Callable[[int], object]:
    """A function to tell how many of the items are done, for code that draws many before the first one is done.

    They are not counted as they are drawn any more, where they were; where nobody counts, it does nothing.
    """
    return items.told() if isinstance(items, Counted) else NO_CALL.done

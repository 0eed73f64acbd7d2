"""Results in the order of what they are made of, and streams that are read ahead: a bounded pool of threads.

The threads work in the caller's context, so that what they do is counted for the caller's `cottoncandy.progress`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cottoncandy.interrupts import CancelScope, put_off

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Item = TypeVar("Item")
Result = TypeVar("Result")

_END = object()


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, *, window: int | None = None
) -> Iterator[Result]:
    """``map(function, items)`` with several threads; results come in the order of the items.

    At most ``window`` items are taken before their results are asked for, so an endless or large stream of
    items needs bounded memory. When a call fails, or the caller stops, no further one starts, and those under
    way are waited for: nothing works on behind the caller's back.

    Parameters
    ----------
    function : callable
    items : iterable
        Drawn from in the caller's thread.
    threads : int
        1 calls the function in the caller's thread.
    window : int, optional
        Twice the threads by default.
    """
    if threads <= 1:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    pending: deque[Call[Result]] = deque()
    window, scope = window or 2 * threads, CancelScope()
    with ThreadPoolExecutor(threads, thread_name_prefix="cottoncandy") as pool:
        try:
            for item in items:
                if len(pending) >= window:
                    yield pending.popleft().result()
                pending.append(scope.run(partial(Call, pool, partial(function, item))))
            while pending:
                yield pending.popleft().result()
        except BaseException:
            scope.cancel()
            raise
        finally:
            for call in pending:
                call.cancel()


class Call(Generic[Result]):
    """A call in a pool of the standard library's, which Ctrl-C may not disturb.

    Where it comes to the main thread between the taking of a lock and what the lock is for, a `threading.Condition` or
    a semaphore of the pool stays locked, and the threads that need it never end. So the main thread is at such places
    only while Ctrl-C is put off, and waits on a bare lock.
    """

    def __init__(self, pool: ThreadPoolExecutor, function: Callable[[], Result]) -> None:
        self._done = done = threading.Lock()
        done.acquire()
        with put_off():
            self._future = pool.submit(copy_context().run, function)
            self._future.add_done_callback(lambda _: done.release())

    def result(self) -> Result:
        """What the function gave, or raised; it is waited for."""
        with self._done:
            pass
        try:
            with put_off():
                return self._future.result()
        finally:
            del self  # with the traceback of a failure it would be a circle, which keeps the items' memory

    def cancel(self) -> None:
        """Keep it from being made, if it is not being made already."""
        with put_off():
            self._future.cancel()


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The same items; the next one is made in a thread of its own while the caller works on one."""
    yield from chained([items], 1, 2)


def chained(streams: Iterable[Generator[Item, None, None]], threads: int, waiting: int) -> Generator[Item, None, None]:
    """The items of all streams, one stream behind the other, while the next ones are read ahead.

    Parameters
    ----------
    streams : iterable of generator
        Drawn from in the caller's thread.
    threads : int
        Streams that are read at a time, each by a thread of its own.
    waiting : int
        Items of each that wait for the caller at most.
    """
    following, scope = iter(streams), CancelScope()
    drawing: deque[_Ahead[Item]] = deque()
    try:
        while True:
            while len(drawing) < threads and (stream := next(following, None)) is not None:
                with put_off():  # Ctrl-C would leave one at work that nobody knows of
                    drawing.append(_Ahead(stream, waiting, scope))
            if not drawing:
                return
            yield from drawing[0].items()
            drawing.popleft().close()
    except BaseException:
        scope.cancel()
        raise
    finally:
        for one in drawing:
            one.stop()
        for one in drawing:
            one.close()


class _Ahead(Generic[Item]):
    """One stream that a thread of its own draws from, some items before they are asked for.

    The thread waits for work, never for room: a caller who forgets the stream does not keep the interpreter from its
    end.
    """

    def __init__(self, stream: Generator[Item, None, None], count: int, scope: CancelScope) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._stream = stream
        self._scope = scope
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cottoncandy")
        self._pending = deque(self._draw() for _ in range(count))

    def _draw(self) -> Call[Any]:
        return self._scope.run(partial(Call, self._thread, self._next))

    def _next(self) -> object:
        return next(self._stream, _END)

    def items(self) -> Iterator[Item]:
        """The items as they come; and what made the stream fail."""
        while (item := self._pending.popleft().result()) is not _END:
            yield item
            self._pending.append(self._draw())

    def stop(self) -> None:
        """Draw no further."""
        for call in self._pending:
            call.cancel()

    def close(self) -> None:
        """Wait until nothing is drawn any more, and have whatever works for the stream stop, too."""
        self.stop()
        self._thread.shutdown()
        self._stream.close()

"""Many small jobs at once: a bounded crew of threads, the first failure stops the rest.

The threads work in the caller's context, so that what they do is counted for the caller's `cottoncandy.progress`.
"""

from __future__ import annotations

import math
import operator
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from itertools import chain
from typing import Any, Generic, TypeVar, cast

from cottoncandy import interrupts
from cottoncandy.errors import ConfigurationError
from cottoncandy.pipelines import Begin, Begun, again, run_ahead

Item = TypeVar("Item")
Result = TypeVar("Result")

_END = object()


def number_of_threads(asked: Any, configured: int) -> int:
    """As many threads as a caller asks for; as are configured where that is None.

    Raises
    ------
    ConfigurationError
        If it is no whole number of at least 1. A text would be found out with large objects only.
    """
    if asked is None:
        return configured
    try:
        number = operator.index(asked)
    except TypeError:
        number = 0
    if number < 1:
        raise ConfigurationError(f"threads={asked!r}: threads are counted, from 1 on; None is what is configured")
    return number


class Worker(threading.Thread):
    """A thread in the context of the thread that makes it, which keeps sight of it through Ctrl-C.

    Ctrl-C may come while the thread is being started, when nobody can tell whether it runs; then it can still be
    cancelled. And it may break off the waiting, so that one waits again: before Python 3.13 a `Thread.join` that is
    interrupted takes a thread that runs for one that has ended, https://github.com/python/cpython/issues/90882. Bare
    locks are all that waits here: a `threading.Condition` that Ctrl-C comes to at a bad moment raises RuntimeError.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__(target=copy_context().run, args=(self._call, function), name="cottoncandy")
        self._claim, self._working = threading.Lock(), threading.Lock()
        self._cancelled = False
        self._working.acquire()

    def _call(self, function: Callable[[], None]) -> None:
        try:
            if self._claim.acquire(blocking=False):
                function()
        finally:
            self._working.release()

    def started(self) -> bool:
        """Start; False where the system has no thread left, or the interpreter is about to exit."""
        try:
            with interrupts.put_off():
                self.start()
        except RuntimeError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # the second one, where `start` waits for a condition
                raise KeyboardInterrupt from error
            return False
        return True

    def cancelled(self) -> bool:
        """Keep it from calling the function; False where it has begun."""
        self._cancelled = self._cancelled or self._claim.acquire(blocking=False)
        return self._cancelled

    def wait(self) -> None:
        """Until it has called the function."""
        with self._working:
            pass
        self.join()


def for_each(
    function: Callable[[Item], object],
    items: Iterable[Item],
    threads: int,
    *,
    most: int | None = None,
    pace: Pace | None = None,
    begin: Begin[Item, Any] | None = None,
    only_reads: bool = False,
) -> None:
    """Call the function on every item with several threads; the first failure is raised, and stops the rest.

    The caller's thread is one of them. An item is drawn when a thread is free for it, so no more than ``threads``
    are under way; in any of the threads, but never in two at once. Those under way are waited for, also on Ctrl-C; they
    try nothing again then, and what they only read is broken off (`cottoncandy.interrupts.CancelScope`).

    Parameters
    ----------
    function : callable
    items : iterable
    threads : int
        1 calls the function in the caller's thread.
    most : int, optional
        Up to so many threads work while the function spends its time waiting, as small requests do over a
        network: how many are of use is measured as the work goes on.
    pace : Pace, optional
        Where the items are known to be small: what was measured before. As many threads as were of use then begin at
        once.
    begin : callable, optional
        Begins what the function does for an item, in the caller's thread; see `run_ahead`. The function is called for
        those that are left.
    only_reads : bool
        Whether what is begun only reads.
    """
    if begin is None:
        _work_through(function, items, threads, most, pace)
        return
    left = run_ahead(begin, items, most or threads, only_reads=only_reads)
    first = next(left, None)
    if first is not None:
        _work_through(lambda one: again(function, *one), chain([first], left), threads, most, pace)


def _work_through(
    function: Callable[[Item], object], items: Iterable[Item], threads: int, most: int | None, pace: Pace | None
) -> None:
    if threads <= 1 and (most or 1) <= 1:
        for item in items:
            interrupts.go_on()
            function(item)
    else:
        _Crew(function, items, threads, most or threads, pace or Pace()).work_to_the_end()


def gather(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    threads: int,
    *,
    most: int | None = None,
    pace: Pace | None = None,
    begin: Begin[Item, Result] | None = None,
) -> list[Result]:
    """``[function(item) for item in items]`` with several threads, as `for_each` does it. What is begun only reads."""
    results: list[Any] = [None] * len(items)

    def work(numbered: tuple[int, Item]) -> None:
        results[numbered[0]] = function(numbered[1])

    def begin_one(numbered: tuple[int, Item]) -> Begun[None] | None:
        begun = begin(numbered[1]) if begin else None
        return None if begun is None else begun.then(partial(results.__setitem__, numbered[0]))

    numbered = enumerate(items)
    for_each(work, numbered, threads, most=most, pace=pace, begin=begin_one if begin else None, only_reads=True)
    return results


# Threads are added up to where they would use so many cores: Python runs on one at a time, and half of what a small
# request costs is the kernel's, which runs on others.
_BUSY = 1.8
# Seconds: what takes longer is no small request, and more of its kind at once would only take more memory.
_SMALL = 0.25


class Pace:
    """The shortest of the small calls that were made together: how much of it was waiting.

    Examples
    --------
    >>> pace = Pace()
    >>> pace.of_use  # nothing is known yet
    1
    >>> pace.took(seconds=0.02, computing=0.0004)
    >>> pace.of_use
    90
    """

    __slots__ = ("_shortest",)

    def __init__(self) -> None:
        self._shortest = (math.inf, math.inf)

    def begin(self) -> int:
        """How many threads are of use by what was measured last; from here on it is measured anew."""
        of_use, self._shortest = self.of_use, (math.inf, math.inf)
        return of_use

    def took(self, seconds: float, computing: float) -> None:
        """Take note of a call. The shortest one waited for the store alone; the others for each other, too."""
        self._shortest = min(self._shortest, (seconds, computing))

    @property
    def of_use(self) -> int:
        """How many threads keep the processors busy with such calls."""
        seconds, computing = self._shortest
        return 1 if math.isinf(seconds) else math.ceil(_BUSY * seconds / max(computing, 1e-6))


class _Crew(Generic[Item]):
    """Threads that take items from one iterator until it ends or one of them fails.

    A tenth of what futures in a pool cost for each item, and nobody waits for the slowest of a window.
    """

    def __init__(
        self, function: Callable[[Item], object], items: Iterable[Item], threads: int, most: int, pace: Pace
    ) -> None:
        self._function = function
        self._items = iter(items)
        self._few = threads
        self._wanted = max(threads, min(pace.begin(), most))
        self._most = most
        self._working = 1
        self._pace = pace
        self._lock = threading.Lock()
        self._scope = interrupts.CancelScope()
        self._helpers: list[Worker] = []
        self._failures: list[BaseException] = []

    def work_to_the_end(self) -> None:
        try:
            self._scope.run(self._work)
            self._join()
        except BaseException as interrupt:  # noqa: BLE001 - Ctrl-C, which is raised when no helper works any more
            self._take_note(interrupt)
            while self._is_interrupted():
                pass
        if self._failures:
            self._raise()

    def _is_interrupted(self) -> bool:
        """Wait for the helpers; whether Ctrl-C came meanwhile."""
        try:
            self._join()
        except BaseException as interrupt:  # noqa: BLE001 - as above
            self._take_note(interrupt)
            return True
        return False

    def _take_note(self, interrupt: BaseException) -> None:
        """Of Ctrl-C, which came to the caller's thread: it goes on to wait, but for less."""
        insists = isinstance(interrupt, interrupts.Insistence) or any(
            not isinstance(failure, Exception) for failure in self._failures
        )
        self._failures.insert(0, interrupts.Insistence() if insists else interrupt)
        self._scope.cancel_writes() if insists else self._scope.cancel()

    def _work(self) -> None:
        try:
            while (item := self._draw()) is not _END:
                began, used = time.perf_counter(), time.thread_time()
                self._function(cast("Item", item))
                del item  # not held while the next one is made
                if not self._goes_on(time.perf_counter() - began, time.thread_time() - used):
                    return
        except BaseException as failure:  # noqa: BLE001 - raised in the caller's thread
            self._failures.append(failure)
            self._scope.cancel_writes() if isinstance(failure, interrupts.Insistence) else self._scope.cancel()

    def _draw(self) -> object:
        with self._lock:
            if not self._failures:
                interrupts.go_on()  # else a part of the items would be taken for all
            item = _END if self._failures else next(self._items, _END)
            if item is not _END and self._working < self._wanted:
                self._start_helper()
                if self._few <= self._working < self._wanted:  # many are wanted: each one brings two
                    self._start_helper()
            return item

    def _start_helper(self) -> None:
        helper = Worker(self._work)
        self._helpers.append(helper)  # before it starts: Ctrl-C may come while it does
        if helper.started():
            self._working += 1
        else:  # those that there are do the work
            self._wanted = self._most = self._working

    def _goes_on(self, seconds: float, computing: float) -> bool:
        """Take more threads where all together mostly wait; one less where the items have become large.

        Whether the thread that asks goes on.
        """
        with self._lock:
            if seconds > _SMALL and self._working > self._few and threading.current_thread() in self._helpers:
                self._working -= 1
                self._most = self._wanted = 0
                return False
            if seconds < _SMALL:
                self._pace.took(seconds, computing)
                if self._working < self._most:
                    self._wanted = max(self._wanted, min(self._pace.of_use, 2 * self._wanted, self._most))
            return True

    def _join(self) -> None:
        # grows while it is walked: a helper starts the next one before it ends
        for helper in self._helpers:
            if not helper.cancelled():
                helper.wait()

    def _raise(self) -> None:
        # Ctrl-C makes others fail, and is what is told
        failure = next((one for one in self._failures if not isinstance(one, Exception)), self._failures[0])
        self._failures.clear()
        try:
            raise failure
        finally:
            del failure  # with its traceback it would be a circle, which keeps the items' memory

"""Many small jobs at once: a bounded pool of threads, the first failure stops the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    pending: deque[Future[Result]] = deque()
    window = window or 2 * threads
    with ThreadPoolExecutor(threads, thread_name_prefix="cottoncandy") as pool:
        try:
            for item in items:
                if len(pending) >= window:
                    yield pending.popleft().result()
                pending.append(pool.submit(function, item))
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def for_each(function: Callable[[Item], object], items: Iterable[Item], threads: int) -> None:
    """Call the function on every item with several threads; the first failure is raised, and stops the rest."""
    for _ in map_threads(function, items, threads):
        pass

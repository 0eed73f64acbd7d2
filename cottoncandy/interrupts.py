"""Ctrl-C, put off until it does no harm; and work that is cancelled, which several threads share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from functools import partial
from types import FrameType
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")

# Seconds after which a waiting thread looks whether waiting is still of use.
_LOOK = 0.1
_AT_ONCE: AbstractContextManager[object] = nullcontext()


class Insistence(KeyboardInterrupt):
    """Ctrl-C, for the second time: what was sent to be written may still arrive."""


class Cancelled(Exception):
    """What was to be done is of no more use: what it is a part of has failed, or is interrupted, and raises why."""


class _Main:
    """Of the main thread, while Ctrl-C is put off.

    Attributes
    ----------
    came : list of int or None
        What has come; None where it is raised at once.
    handler : callable or None
        What is called when it is put off no longer.
    """

    came: list[int] | None = None
    handler: Callable[[int, FrameType | None], object] | None = None


# ------------------------------------------------------------------ Ctrl-C
@contextmanager
def put_off() -> Iterator[list[int]]:
    """Raise Ctrl-C, if it comes, when the context is left; a second one is raised at once.

    The list that it gives is no longer empty then, so that code that looks at it may come to an end. Nothing is tried
    again by then (`cottoncandy.retry`). If a program has a handler of its own, that is called: it may not want to end.
    """
    if _Main.came is not None and _is_main():  # the outer context that put it off raises it
        yield _Main.came
        return
    came: list[int] = []
    # elsewhere than to the main thread it does not come; where it is ignored, or not Python's, neither
    on_ctrl_c = signal.getsignal(signal.SIGINT) if _is_main() else None
    if not callable(on_ctrl_c) or not _handled_by(partial(_take_note, came, _SCOPE.get(), on_ctrl_c)):
        yield came
        return
    try:
        _Main.came, _Main.handler = came, on_ctrl_c
        yield came
    finally:
        _Main.came = _Main.handler = None
        signal.signal(signal.SIGINT, on_ctrl_c)
        if came:
            _tell(on_ctrl_c, came[0], None, insists=len(came) > 1)


def put_off_if(condition: bool) -> AbstractContextManager[object]:
    """`put_off` where the condition holds; elsewhere Ctrl-C is raised at once."""
    return put_off() if condition else _AT_ONCE


def _handled_by(handler: Callable[[int, FrameType | None], object]) -> bool:
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:  # what `threading` takes for the main thread is another one: Python is part of a program
        return False
    return True


def _take_note(
    came: list[int], scope: CancelScope | None, on_ctrl_c: Any, number: int, frame: FrameType | None
) -> None:
    """Cancel what it was put off in; not what is begun since then, as to clean up."""
    came.append(number)
    insists = len(came) > 1
    if scope is not None and on_ctrl_c is signal.default_int_handler:
        scope.cancel_writes() if insists else scope.cancel()
    if insists:
        _tell(on_ctrl_c, number, frame, insists=True)


def _tell(on_ctrl_c: Any, number: int, frame: FrameType | None, *, insists: bool) -> None:
    try:
        on_ctrl_c(number, frame)
    except KeyboardInterrupt:
        if insists:
            raise Insistence from None
        raise


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_to_end() -> bool:
    """Whether Ctrl-C came to the caller's thread while it was put off, and is going to be raised."""
    return bool(_Main.came) and _Main.handler is signal.default_int_handler and _is_main()


def undisturbed(function: Callable[[], Result], undo: Callable[[Result], object]) -> Result:
    """Call the function while Ctrl-C is put off; if it came, what the call gave is undone."""
    given: list[Result] = []
    try:
        with put_off():
            given.append(function())
    except BaseException:
        if given:
            undo(given[0])
        raise
    return given[0]


# ------------------------------------------------------------------ work that is cancelled
class Breakable(Protocol):
    """What a thread waits at."""

    def break_off(self) -> None:
        """Have it fail at once."""


class CancelScope:
    """What several threads do together, and whether it is still of use.

    Examples
    --------
    >>> scope = CancelScope()
    >>> scope.run(lambda: (is_cancelled(), scope.cancel(), is_cancelled()))
    (False, None, True)
    >>> is_cancelled()
    False
    """

    def __init__(self) -> None:
        self._outer = _SCOPE.get()
        self._is_cancelled = self._cancels_writes = False
        self._under_way: dict[Breakable, bool] = {}
        # held to break off and to end; the handler of Ctrl-C may come between the steps of the thread that holds it
        self._lock = threading.RLock()

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled, or the scope around it."""
        return self._is_cancelled or (self._outer is not None and self._outer.is_cancelled)

    def run(self, function: Callable[[], Result]) -> Result:
        """Call a function. What it does, and threads that it starts, belongs to the scope.

        Wherever Ctrl-C comes: what is done behind the call does not.
        """
        context = copy_context()
        context.run(_SCOPE.set, self)
        return context.run(function)

    def cancel(self) -> None:
        """Have nothing be tried again, and break off what only reads; writing requests go on up to the answer.

        Else the store might still do something after the clean-up.
        """
        self._is_cancelled = True
        self._break_off()

    def cancel_writes(self) -> None:
        """Break off what writes as well."""
        self._is_cancelled = self._cancels_writes = True
        self._break_off()

    def _break_off(self) -> None:
        with self._lock:  # what is ended meanwhile may be another's by then
            for one, only_reads in list(self._under_way.items()):
                if only_reads or self._cancels_writes:
                    one.break_off()

    def begin(self, one: Breakable, *, only_reads: bool) -> None:
        """Take note of what a thread waits at, until its `end`."""
        with self._lock:
            self._under_way[one] = only_reads
        if self._cancels_writes or (self._is_cancelled and only_reads):
            self._break_off()
        if self._outer is not None:
            self._outer.begin(one, only_reads=only_reads)

    def end(self, one: Breakable) -> None:
        """Nobody waits there any more."""
        with self._lock:
            self._under_way.pop(one, None)
        if self._outer is not None:
            self._outer.end(one)


_SCOPE: ContextVar[CancelScope | None] = ContextVar("cottoncandy_cancel_scope", default=None)


def current_scope() -> CancelScope | None:
    """The scope that what the caller does belongs to."""
    return _SCOPE.get()


def go_on() -> None:
    """Raise `Cancelled` where the scope that the caller's work belongs to is cancelled."""
    scope = _SCOPE.get()
    if scope is not None and scope.is_cancelled:
        raise Cancelled


@contextmanager
def shielded() -> Iterator[None]:
    """What is done in this context is of use in any case."""
    before = _SCOPE.get()
    try:
        _SCOPE.set(None)
        yield
    finally:
        _SCOPE.set(before)


def wait_in_spite(wait: Callable[[], object]) -> None:
    """Wait for what writes, though Ctrl-C came; the caller raises it behind. Raise `Insistence` where it comes again.

    Costs nothing where it does not come: to `put_off` each small request would take a tenth longer.
    """
    scope = _SCOPE.get()
    try:
        if scope is not None:
            scope.cancel()
        wait()
    except KeyboardInterrupt:
        if scope is not None:
            scope.cancel_writes()
        raise Insistence from None


def is_cancelled() -> bool:
    """Whether what the caller does is of no more use: its scope is cancelled, or Ctrl-C came while it was put off."""
    scope = _SCOPE.get()
    return (scope is not None and scope.is_cancelled) or _is_to_end()


def wait(seconds: float, sleep: Callable[[float], object]) -> None:
    """Sleep, but no longer than that is of use."""
    if _SCOPE.get() is None and not (_Main.came is not None and _is_main()):
        sleep(seconds)
        return
    while seconds > 0 and not is_cancelled():
        sleep(min(seconds, _LOOK))
        seconds -= _LOOK


# ------------------------------------------------------------------ forked children
class _Fork:
    by_main = True


def _before_fork() -> None:
    _Fork.by_main = _is_main()


def _after_fork() -> None:
    """In a child of another thread nobody leaves the context in which the main thread was."""
    if not _Fork.by_main and _Main.handler is not None:
        signal.signal(signal.SIGINT, _Main.handler)
        _Main.came = _Main.handler = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)

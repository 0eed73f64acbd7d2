"""Ctrl-C, put off until it does no harm; and work that is cancelled, which several threads share."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Protocol, TypeVar

Result = TypeVar("Result")

# Seconds after which who waits looks whether it is still of use.
_LOOK = 0.1


class Insistence(KeyboardInterrupt):
    """Ctrl-C, for the second time: what was sent to be written may still arrive."""


class _Main:
    """Of the main thread.

    Attributes
    ----------
    came : list of int or None
        What has come while Ctrl-C is put off; None where it is raised at once.
    """

    came: list[int] | None = None


# ------------------------------------------------------------------ Ctrl-C
@contextmanager
def put_off() -> Iterator[list[int]]:
    """Raise Ctrl-C, if it comes, when the context is left; a second one is raised at once.

    The list that it gives is no longer empty then, so that who sees it may come to an end. Nothing is tried again by
    then (`cottoncandy.retry`).
    """
    if _Main.came is not None and _is_main():  # whoever put it off before raises it
        yield _Main.came
        return
    came: list[int] = []
    # elsewhere than to the main thread it does not come; where it is ignored, or not Python's, neither
    on_ctrl_c = signal.getsignal(signal.SIGINT) if _is_main() else None
    if not callable(on_ctrl_c):
        yield came
        return

    def take_note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        scope, insists = _SCOPE.get(), len(came) > 1
        if scope is not None:
            scope.cancel_writes() if insists else scope.cancel()
        if insists:
            hear(number, frame)

    def hear(number: int, frame: FrameType | None) -> None:
        try:
            on_ctrl_c(number, frame)
        except KeyboardInterrupt:
            if len(came) > 1:
                raise Insistence from None
            raise

    signal.signal(signal.SIGINT, take_note)
    try:
        _Main.came = came
        yield came
    finally:
        _Main.came = None
        signal.signal(signal.SIGINT, on_ctrl_c)
        if came:
            hear(came[0], None)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


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
    >>> with scope.entered():
    ...     is_cancelled(), scope.cancel(), is_cancelled()
    (False, None, True)
    >>> is_cancelled()
    False
    """

    def __init__(self) -> None:
        self._outer = _SCOPE.get()
        self._is_cancelled = False
        self._under_way: dict[Breakable, bool] = {}

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled, or the scope around it."""
        return self._is_cancelled or (self._outer is not None and self._outer.is_cancelled)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is done in this context, and in threads that are started in it, belongs to the scope."""
        token = _SCOPE.set(self)
        try:
            yield
        finally:
            _SCOPE.reset(token)

    def cancel(self) -> None:
        """Have nothing be tried again, and break off what only reads; who writes goes on up to the answer.

        What the store still did would come behind the back of who cleans up.
        """
        self._is_cancelled = True
        self._break_off(also_writes=False)

    def cancel_writes(self) -> None:
        """Break off what writes as well."""
        self._is_cancelled = True
        self._break_off(also_writes=True)

    def _break_off(self, *, also_writes: bool) -> None:
        for one, only_reads in list(self._under_way.items()):
            if only_reads or also_writes:
                one.break_off()

    def begin(self, one: Breakable, *, only_reads: bool) -> None:
        """Take note of what a thread waits at, until its `end`."""
        self._under_way[one] = only_reads
        if self._outer is not None:
            self._outer.begin(one, only_reads=only_reads)

    def end(self, one: Breakable) -> None:
        """Nobody waits there any more."""
        self._under_way.pop(one, None)
        if self._outer is not None:
            self._outer.end(one)


_SCOPE: ContextVar[CancelScope | None] = ContextVar("cottoncandy_cancel_scope", default=None)


def current_scope() -> CancelScope | None:
    """The scope that what the caller does belongs to."""
    return _SCOPE.get()


@contextmanager
def shielded() -> Iterator[None]:
    """What is done in this context is of use in any case."""
    token = _SCOPE.set(None)
    try:
        yield
    finally:
        _SCOPE.reset(token)


def is_cancelled() -> bool:
    """Whether what the caller does is of no more use: its scope is cancelled, or Ctrl-C came while it was put off."""
    scope = _SCOPE.get()
    return (scope is not None and scope.is_cancelled) or bool(_Main.came and _is_main())


def wait(seconds: float, sleep: Callable[[float], object]) -> None:
    """Sleep, but no longer than that is of use."""
    if _SCOPE.get() is None and not (_Main.came is not None and _is_main()):
        sleep(seconds)
        return
    while seconds > 0 and not is_cancelled():
        sleep(min(seconds, _LOOK))
        seconds -= _LOOK

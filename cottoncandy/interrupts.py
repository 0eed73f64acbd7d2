"""Ctrl-C, put off until it does no harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def put_off() -> Iterator[list[int]]:
    """Raise Ctrl-C, if it comes, when the context is left; a second one is raised at once.

    The list that it gives is no longer empty then, so that who sees it may come to an end.
    """
    # elsewhere than to the main thread it does not come; where it is ignored, or not Python's, neither
    on_ctrl_c = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    came: list[int] = []
    if not callable(on_ctrl_c):
        yield came
        return

    def take_note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            on_ctrl_c(number, frame)

    signal.signal(signal.SIGINT, take_note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, on_ctrl_c)
        if came:
            on_ctrl_c(came[0], None)


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

"""Questions of somebody who types: they are answered soon or not at all, and nothing is written into the line."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TypeVar

from cottoncandy.interrupts import CancelScope
from cottoncandy.retry import once

Result = TypeVar("Result")

#: Seconds after which an answer is of no more use.
LONGEST = 2.0


def soon(ask: Callable[[], Result], longest: float = LONGEST) -> Result | None:
    """What a function gives, or None where it fails or takes longer; it tries nothing again, and logs nothing.

    Parameters
    ----------
    ask : callable
        It only reads. It is broken off when its time is over, and may go on for a while in a thread of its own where
        that cannot be done.
    longest : float
        Seconds.
    """
    scope = CancelScope()
    given: list[Result] = []

    def answer() -> None:
        with suppress(Exception):  # whatever it is, who types cannot do anything about it now
            given.append(once(ask))

    # a daemon: where it hangs, as in the search for a host's address, it is not waited for at the end either
    thread = threading.Thread(target=copy_context().run, args=(scope.run, answer), name="cottoncandy", daemon=True)
    with _no_log():
        thread.start()
        try:
            thread.join(longest)
        finally:  # Ctrl-C may be quicker
            scope.cancel()
    return given[0] if given else None


@contextmanager
def _no_log() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)

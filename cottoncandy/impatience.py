"""Questions of somebody who types: they are answered soon or not at all, and nothing is written into the line."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import TypeVar

from cottoncandy.interrupts import CancelScope
from cottoncandy.retry import once

Result = TypeVar("Result")

#: Seconds after which an answer is of no more use.
LONGEST = 2.0
# In the thread of such a question, and in those that it starts.
_IS_ASKED: ContextVar[bool] = ContextVar("cottoncandy_is_asked", default=False)


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
        _IS_ASKED.set(True)
        with suppress(Exception):  # whatever it is, who types cannot do anything about it now
            given.append(once(ask))

    # a daemon: where it hangs, as in the search for a host's address, it is not waited for at the end either
    thread = threading.Thread(target=copy_context().run, args=(scope.run, answer), name="cottoncandy", daemon=True)
    _quieten()
    thread.start()
    try:
        thread.join(longest)
    finally:  # Ctrl-C may be quicker
        scope.cancel()
    return given[0] if given else None


class _NotForWhoTypes(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - all of them
        return not _IS_ASKED.get()


_NOT_FOR_WHO_TYPES = _NotForWhoTypes()


def _quieten() -> None:
    """Keep what is logged for such a question from all that writes logs, and nothing else.

    Other threads go on with their work, and with its log. The filter stays where it is: who asks at the same time
    needs it, too.
    """
    for handler in _handlers():
        handler.addFilter(_NOT_FOR_WHO_TYPES)  # which adds it once


def _handlers() -> Iterator[logging.Handler]:
    loggers = [logging.root, *list(logging.root.manager.loggerDict.values())]  # another thread may add one
    for logger in loggers:
        yield from getattr(logger, "handlers", ())  # of a mere placeholder there are none
    if logging.lastResort is not None:
        yield logging.lastResort

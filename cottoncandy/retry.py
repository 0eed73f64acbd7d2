"""When to try again, and how long to wait before: one policy for every request of every backend."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from cottoncandy import interrupts

if TYPE_CHECKING:
    from cottoncandy.config import Options

log = logging.getLogger(__name__)

#: From this failure of one request on the log warns: what passes by itself has mostly passed by then.
_TROUBLE = 3
#: Bytes that have to arrive before the failures so far are forgotten: an answer that brings one and breaks would be
#: asked for without end, and a bad line brings as much in a few tries.
_WORTH = 64 * 1024


_ONCE: ContextVar[bool] = ContextVar("cottoncandy_once", default=False)
Result = TypeVar("Result")


def once(function: Callable[[], Result]) -> Result:
    """Call a function, in which nothing is tried again: for who would rather have no answer than a late one."""
    context = copy_context()
    context.run(_ONCE.set, True)
    return context.run(function)


def is_once() -> bool:
    """Whether the caller works for somebody who would rather have no answer than a late one."""
    return _ONCE.get()


def _draw() -> float:
    # a policy travels by pickle, and is to be equal there: not with the generator's state
    import random

    return random.random()  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter, a cap, and a bound on the whole.

    Attributes
    ----------
    attempts : int
        How often a request is sent at most, the first time included.
    base : float
        Seconds: the first wait is drawn between 0 and this, each further one between 0 and twice as much.
    cap : float
        Seconds that one wait lasts at most, but for a ``Retry-After`` of the server.
    total : float
        Seconds after the first failure (from the beginning of a time-out, where it is one) from which on nothing is
        tried again.
    connect_timeout, read_timeout : float
        Seconds that are waited for a connection, and for the next byte on it.
    sleep, clock, draw : callable
        The world, for tests: `time.sleep`, `time.monotonic`, a number below 1 by chance.

    Notes
    -----
    Full jitter spreads many clients best:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Examples
    --------
    >>> RetryPolicy(attempts=3, total=30.0).start('bucket/object').failures
    0
    """

    attempts: int = 8
    base: float = 0.2
    cap: float = 20.0
    total: float = 180.0
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    draw: Callable[[], float] = field(default=_draw, repr=False)

    @classmethod
    def from_options(cls, options: Options, base: float = 0.2) -> RetryPolicy:
        """Take the policy from the configuration. No time-out is longer than the total."""
        total = options.number("retry", "total_time")
        return cls(
            attempts=options.integer("retry", "attempts"),
            base=base,
            cap=options.number("retry", "longest_wait"),
            total=total,
            connect_timeout=min(total, options.number("retry", "connect_timeout")),
            read_timeout=min(total, options.number("retry", "read_timeout")),
        )

    def with_timeouts(self, connect: float | None, read: float | None) -> RetryPolicy:
        """The same with other time-outs, where they are told."""
        connect, read = connect or self.connect_timeout, read or self.read_timeout
        return replace(self, connect_timeout=connect, read_timeout=read)

    def start(self, where: str) -> Retries:
        """Begin to count the failures of one request.

        Parameters
        ----------
        where : str
            How the log names it.
        """
        return Retries(self, where)


class Retries:
    """The failures of one request.

    Examples
    --------
    >>> retries = RetryPolicy().start("object 'a' in bucket 'b'")
    >>> while True:
    ...     try:
    ...         answer = 'the request'
    ...         break
    ...     except ConnectionError as error:
    ...         retries.wait(error)
    """

    def __init__(self, policy: RetryPolicy, where: str) -> None:
        self._policy = policy
        self._where = where
        self._began = 0.0
        self._arrived = 0
        self.failures = 0

    def wait(
        self, error: BaseException, retry_after: float | None = None, idle: float = 0.0, reason: str | None = None
    ) -> None:
        """Wait until it is sensible to try again; raise the error where it is not, and when that is of no more use.

        Parameters
        ----------
        error : BaseException
            Why the request failed.
        retry_after : float, optional
            Seconds that the server asked for.
        idle : float
            Seconds that were waited in vain before the failure, as it was a time-out. Nothing is tried again that
            would end behind the total if it ended as this did.
        reason : str, optional
            How the log tells the error; its text by default.
        """
        if is_once() or interrupts.is_cancelled():
            raise error
        policy = self._policy
        now = policy.clock()
        if not self.failures:
            self._began = now - idle
        self.failures += 1
        delay = policy.draw() * min(policy.cap, policy.base * 2 ** (self.failures - 1))
        delay = max(delay, retry_after or 0.0)
        spent = now - self._began
        said = (self._where, reason or str(error).removeprefix(f"{self._where}: "))
        if self.failures >= policy.attempts or spent + delay + idle > policy.total:
            log.info("%s: %s: given up after %d of %d tries, %.1f s", *said, self.failures, policy.attempts, spent)
            raise error
        level = logging.INFO if self.failures < _TROUBLE else logging.WARNING
        log.log(level, "%s: %s: try %d of %d in %.2f s", *said, self.failures + 1, policy.attempts, delay)
        interrupts.wait(delay, policy.sleep)
        if interrupts.is_cancelled():
            raise error

    def progressed(self, count: int) -> None:
        """Count bytes that have arrived since; when they are worth it, forget the failures so far."""
        if self.failures:
            self._arrived += count
        if self._arrived >= _WORTH:
            self.failures = self._arrived = 0


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a ``Retry-After`` header: a number or a date; None where it is neither.

    Examples
    --------
    >>> retry_after('7'), retry_after('soon')
    (7.0, None)
    """
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None

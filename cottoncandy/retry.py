"""When to try again, and how long to wait before: one policy for every request of every backend."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cottoncandy import progress
from cottoncandy.errors import TransientError

if TYPE_CHECKING:
    from cottoncandy.backends.base import ObjectReader

log = logging.getLogger(__name__)


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
        Seconds after the first failure from which on nothing is tried again.
    sleep, clock, draw : callable
        The world, for tests: `time.sleep`, `time.monotonic`, `random.random`.

    Notes
    -----
    Full jitter spreads many clients best:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    attempts: int = 5
    base: float = 0.2
    cap: float = 20.0
    total: float = 120.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    draw: Callable[[], float] = field(default=random.random, repr=False)

    def start(self) -> Retries:
        """Begin to count the failures of one request."""
        return Retries(self)


class Retries:
    """The failures of one request.

    Examples
    --------
    >>> retries = RetryPolicy().start()
    >>> while True:
    ...     try:
    ...         answer = 'the request'
    ...         break
    ...     except ConnectionError as error:
    ...         retries.wait(error)
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._began = 0.0
        self.failures = 0

    def wait(self, error: BaseException, retry_after: float | None = None) -> None:
        """Wait until it is sensible to try again; raise the error where it is not.

        Parameters
        ----------
        error : BaseException
            Why the request failed.
        retry_after : float, optional
            Seconds that the server asked for.
        """
        policy = self._policy
        if not self.failures:
            self._began = policy.clock()
        self.failures += 1
        delay = policy.draw() * min(policy.cap, policy.base * 2 ** (self.failures - 1))
        delay = max(delay, retry_after or 0.0)
        spent = policy.clock() - self._began
        if self.failures >= policy.attempts or spent + delay > policy.total:
            raise error
        policy.sleep(delay)

    def progressed(self) -> None:
        """Forget the failures so far: bytes have arrived since."""
        self.failures = 0


_POLICY = RetryPolicy()


def read_resuming(
    view: memoryview, open_at: Callable[[int], ObjectReader], where: str, reader: ObjectReader | None = None
) -> None:
    """Read into all of a view; where an answer breaks, the next one goes on from that byte.

    Parameters
    ----------
    view : memoryview
    open_at : callable
        ``open_at(count)`` asks for what comes behind the first ``count`` bytes of the view, of the same version.
    where : str
        How the log and errors name the object.
    reader : ObjectReader, optional
        An answer that is there already.

    Raises
    ------
    TransientError
        When it broke too often with no byte between.
    """
    done, retries, count = 0, _POLICY.start(), progress.current()
    step = len(view) if count is None else progress.STEP
    while True:
        try:
            with reader or open_at(done) as answer:
                while done < len(view):
                    arrived = _read_some(answer, view[done : done + step], where)
                    done += arrived
                    retries.progressed()
                    if count is not None:
                        count.add(arrived)
        except TransientError as error:
            log.info("%s: broke after %d of %d bytes: %s", where, done, len(view), error)
            retries.wait(error)
            reader = None
        else:
            return


def _read_some(answer: ObjectReader, view: memoryview, where: str) -> int:
    count = answer.readinto(view)
    if not count:
        raise TransientError(f"{where}: the answer ended early")
    return count

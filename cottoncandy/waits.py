"""How much time goes into waiting: what tells whether several at work would be quicker than one."""

from __future__ import annotations

import time

# A share of the time: a thread that waits so little gains nothing by more connections. On loopback it is 0.01 to 0.19.
_FEW = 0.25
# Seconds for one item: a disk of the machine itself takes a twentieth of that for a small file, one of a network
# several times as much. Then threads that wait beside each other are quicker than one that never waits for the store.
_LONG = 0.002
# Items after which the average tells something: on a shared processor a thread may stand still for some milliseconds.
_SOME = 16


class Waits:
    """How much one thread waits in the blocks that this surrounds. Entered by that thread alone.

    Examples
    --------
    >>> waits = Waits()
    >>> for _ in range(20):
    ...     with waits:
    ...         total = sum(range(1000))
    >>> waits.are_long
    False
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = self._entered = 0.0
        self._blocks = 0

    def __enter__(self) -> None:
        self._entered = _idle()

    def __exit__(self, *_: object) -> None:
        self._waited += _idle() - self._entered
        self._blocks += 1

    @property
    def are_few(self) -> bool:
        """Whether they are a small share of the time since the beginning."""
        return self._waited <= _FEW * (time.perf_counter() - self._began)

    @property
    def are_long(self) -> bool:
        """Whether a block waits for so long that others should be under way meanwhile."""
        return self._blocks >= _SOME and self._waited > _LONG * self._blocks


def _idle() -> float:
    # grows while this thread does nothing: to copy out of the kernel, or to decrypt, is no waiting
    return time.perf_counter() - time.thread_time()

"""What the worker processes share: counts, and how long an answer waits."""

from __future__ import annotations

import mmap
import threading

_KINDS = ("requests", "bytes_in", "bytes_out")


class Counts:
    """Numbers in memory that lives on in forked processes; each of them counts in a row of its own.

    Parameters
    ----------
    workers : int
        How many processes there will be.
    """

    def __init__(self, workers: int) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 8 * (1 + len(_KINDS) * workers))).cast("q")
        self._row = 1
        self._lock = threading.Lock()

    def be_worker(self, number: int) -> None:
        """Count in the row of this worker from now on."""
        self._row = 1 + number * len(_KINDS)

    def add(self, bytes_in: int, bytes_out: int) -> None:
        """Count one request."""
        with self._lock:
            for place, number in enumerate((1, bytes_in, bytes_out), self._row):
                self._numbers[place] += number

    def totals(self) -> dict[str, int]:
        """What all of them counted."""
        return {kind: sum(self._numbers[1 + place :: len(_KINDS)]) for place, kind in enumerate(_KINDS)}

    @property
    def latency(self) -> float:
        """Seconds that each answer waits."""
        return self._numbers[0] / 1e6

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._numbers[0] = round(seconds * 1e6)

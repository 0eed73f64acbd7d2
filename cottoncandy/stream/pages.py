"""Small reads of a file: pages of the object that are kept, and more ahead the longer the reads go on in a row."""

from __future__ import annotations

import numpy as np

from cottoncandy.backends.base import MIB
from cottoncandy.stream.source import ObjectSource

__all__ = ["LARGEST_READ", "PAGE", "Pages"]

#: Bytes of a page: what a header or a few attributes take, and little to throw away.
PAGE = 128 * 1024
#: Bytes of a read up to which it is worth a copy to have it from pages.
LARGEST_READ = 4 * MIB
# Formats jump between their tables and the data: the tables stay for a while.
_MOST_KEPT = 128
# Pages that are read at once at most, and how many times as many as the last time while reads go on in a row.
_MOST_AHEAD = 8 * MIB // PAGE
_GROWTH = 2


class Pages:
    """The pages of an object, read when they are needed.

    Parameters
    ----------
    source : ObjectSource
    threads : int
        Connections.
    """

    def __init__(self, source: ObjectSource, threads: int) -> None:
        self._source = source
        self._threads = threads
        self._kept: dict[int, memoryview] = {}
        self._ahead = 1
        self._next = 0

    def read(self, start: int, view: memoryview) -> None:
        """Fill the view with the bytes from ``start`` on; there are so many."""
        done = 0
        while done < len(view):
            number, offset = divmod(start + done, PAGE)
            if number not in self._kept:
                self._fetch(number, (start + len(view) - 1) // PAGE)
            part = self._kept[number][offset : offset + len(view) - done]
            view[done : done + len(part)] = part
            done += len(part)

    def _fetch(self, first: int, last: int) -> None:
        """Read pages up to the last one that is needed; and beyond it where they follow those of the time before."""
        self._ahead = min(_GROWTH * self._ahead, _MOST_AHEAD) if first == self._next else 1
        self._next = max(last + 1, first + self._ahead)
        start, stop = first * PAGE, min(self._next * PAGE, self._source.head.size)
        data = np.empty(stop - start, np.uint8).data
        self._source.fill(start, data, self._threads)
        for begin in range(0, len(data), PAGE):
            number = first + begin // PAGE
            self._kept.pop(number, None)
            self._kept[number] = data[begin : begin + PAGE]
        # the oldest first: pages that came together go together, and their memory with them
        for number in list(self._kept)[:-_MOST_KEPT]:
            del self._kept[number]

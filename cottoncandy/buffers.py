"""Memory that passing bytes lie in, used again and again."""

from __future__ import annotations

import weakref

import numpy as np

__all__ = ["BufferPool"]


class BufferPool:
    """Hands out memory that nobody holds any more before it asks the system for more.

    An allocator keeps what is freed for the thread that had asked for it, so that buffers which one thread makes and
    another drops take many times the memory that is in use at a time; and memory that is new costs more than to copy
    into it. What was handed out comes back by itself when the last view of it is gone. For threads, too.

    Examples
    --------
    >>> pool = BufferPool()
    >>> view = pool.take(5)
    >>> view[:] = b'sugar'
    >>> part, view = view[1:3], None
    >>> len(pool.take(5)), bytes(part)  # other memory: of this one, a part is still held
    (5, b'ug')
    """

    __slots__ = ("_free", "_size")

    def __init__(self) -> None:
        self._free: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []
        self._size = 0

    def take(self, nbytes: int) -> memoryview:
        """Writeable memory of any content.

        Parameters
        ----------
        nbytes : int
        """
        self._size = max(self._size, nbytes)
        try:
            whole = self._free.pop()
        except IndexError:
            whole = np.empty(0, np.uint8)
        if whole.size < nbytes:  # as large as any that was asked for, so that the next one fits
            whole = np.empty(self._size, np.uint8)
        lent = whole[:nbytes]
        # every view of it, also a view of a view, holds this array
        weakref.finalize(lent, self._free.append, whole).atexit = False
        return lent.data

"""Memory that passing bytes lie in, used again and again."""

from __future__ import annotations

import weakref

import numpy as np

__all__ = ["BufferPool"]

_Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


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

    __slots__ = ("_back", "_lent", "_size")

    def __init__(self) -> None:
        self._back: list[weakref.ref[_Bytes]] = []
        self._lent: dict[int, tuple[weakref.ref[_Bytes], _Bytes]] = {}
        self._size = 0

    def take(self, nbytes: int) -> memoryview:
        """Writeable memory of any content.

        Parameters
        ----------
        nbytes : int
        """
        whole = self._returned()
        if whole is None or whole.size < nbytes:  # as large as any that was asked for, so that the next one fits
            self._size = max(self._size, _rounded(nbytes))
            whole = np.empty(self._size, np.uint8)
        # every view of it holds this array: numpy looks for what is below an array, but not behind a memoryview
        lent = np.frombuffer(whole.data, np.uint8, nbytes)
        # a callback in C, which Ctrl-C does not break off
        lost = weakref.ref(lent, self._back.append)
        self._lent[id(lost)] = lost, whole
        return lent.data

    def _returned(self) -> _Bytes | None:
        """Memory that nobody holds any more."""
        try:
            lost = self._back.pop()
        except IndexError:
            return None
        return self._lent.pop(id(lost))[1]


def _rounded(nbytes: int) -> int:
    """A little more: what is packed differs a little from piece to piece, and each larger one would be new memory."""
    step = 1 << max(nbytes.bit_length() - 4, 0)
    return max(-(-nbytes // step) * step, 1)

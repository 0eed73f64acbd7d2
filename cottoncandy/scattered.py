"""The bytes of an array in another order than that in which they lie, gathered piece by piece. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cottoncandy.bodies import BytesLike
from cottoncandy.buffers import BufferPool
from cottoncandy.partsizes import spans

__all__ = ["Bytes", "Scattered", "contiguous"]

Array = npt.NDArray[Any]
Memory = TypeVar("Memory", bound=BytesLike)

# Bytes: an item of more is gathered byte by byte, so that a piece may end within it.
_LARGE_ITEM = 2**16
# Where the items that lie side by side come from rows that are far from each other, they are copied in boxes: so many
# rows of so many bytes. Of a row, whole cache lines are read, and in a box each of them once: both sides of it stay in
# the cache. Three to five times as fast as numpy's own copy for matrices, and never much slower.
_ROWS, _ROW = 512, 256


class Scattered:
    """The bytes of an array in the C order of its items, wherever these lie: strides of any kind.

    It has a length, and is sliced as a memoryview is; neither copies anything. `gather` makes the copy: call it for a
    slice, in the thread that needs it, and drop what it gives.

    Parameters
    ----------
    array : numpy.ndarray
        Of any dtype without references, with one axis at least.
    start, stop : int, optional
        Which of the bytes; all of them by default.

    Examples
    --------
    >>> scattered = Scattered(np.arange(6, dtype='u1').reshape(2, 3).T)
    >>> len(scattered), scattered[1:4].gather().tolist()
    (6, [3, 1, 4])
    """

    __slots__ = ("_items", "_start", "_stop")

    def __init__(self, array: Array, start: int = 0, stop: int | None = None) -> None:
        # numpy copies a structure field by field, and what lies between them not at all
        if array.itemsize > _LARGE_ITEM:
            self._items: Array = array.view([("bytes", np.uint8, (array.itemsize,))])["bytes"]
        else:
            self._items = array.view(f"V{array.itemsize}")
        self._start, self._stop = start, array.nbytes if stop is None else stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, where: slice) -> Scattered:
        start, stop, _ = where.indices(len(self))
        return Scattered(self._items, self._start + start, self._start + max(start, stop))

    def gather(self, buffers: BufferPool | None = None) -> memoryview:
        """A copy of the bytes, contiguous; in memory of a pool, or in new one."""
        size = self._items.itemsize
        first, last = self._start // size, -(-self._stop // size)
        memory = (buffers or BufferPool()).take((last - first) * size)
        _copy(self._items, first, last, np.frombuffer(memory, self._items.dtype))
        return memory[self._start - first * size : self._stop - first * size]


#: Bytes in memory, or such as can be gathered there.
Bytes = memoryview | Scattered


def contiguous(view: Memory | Scattered, buffers: BufferPool | None = None) -> Memory | memoryview:
    """The bytes themselves: those of a `Scattered` are gathered.

    Examples
    --------
    >>> bytes(contiguous(memoryview(b'sugar'))), bytes(contiguous(Scattered(np.frombuffer(b'ragus', 'S1')[::-1])))
    (b'sugar', b'sugar')
    """
    return view.gather(buffers) if isinstance(view, Scattered) else view


def _copy(array: Array, start: int, stop: int, out: Array) -> None:
    """Items ``start <= i < stop``, as they are counted in C order: whole rows, and parts of one before and behind."""
    if array.ndim == 1:
        out[:] = array[start:stop]
        return
    row = math.prod(array.shape[1:])
    first, last = -(-start // row), stop // row
    if last < first:  # all of it is in one row
        _copy(array[last], start - last * row, stop - last * row, out)
        return
    before, behind = first * row - start, stop - last * row
    if before:
        _copy(array[first - 1], row - before, row, out[:before])
    if first < last:
        _copy_rows(array[first:last], out[before : len(out) - behind].reshape(last - first, *array.shape[1:]))
    if behind:
        _copy(array[last], 0, behind, out[len(out) - behind :])


def _copy_rows(array: Array, out: Array) -> None:
    """Copy all of an array into one in C order."""
    near = _nearest(array)
    if near == _nearest(out):
        out[...] = array
        return
    for box in _boxes(array.shape, near, max(1, _ROW // array.itemsize)):
        out[box] = array[box]


def _nearest(array: Array) -> int:
    """The axis whose items lie nearest to each other, each in a place of its own; the last one of several."""
    distances = [
        abs(step) if step and length > 1 else math.inf for step, length in zip(array.strides, array.shape, strict=True)
    ]
    return min(range(array.ndim), key=lambda axis: (distances[axis], -axis))


def _boxes(shape: Sequence[int], near: int, items: int) -> Iterator[tuple[slice, ...]]:
    """Boxes of `_ROWS` rows along the axis ``near``, of ``items`` items each; of more, where there are fewer rows."""
    sizes, left = list(shape), _ROWS
    for axis in range(len(shape) - 1, -1, -1):
        if axis != near:
            sizes[axis] = max(1, min(shape[axis], left))
            left //= sizes[axis]
    sizes[near] = items * max(1, left)
    cuts = ([slice(*ends) for ends in spans(length, size)] for length, size in zip(shape, sizes, strict=True))
    return product(*cuts)

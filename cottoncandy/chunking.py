"""How an array is cut into chunks. Pure functions."""

from __future__ import annotations

import math
import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any

from cottoncandy.partsizes import spans

Chunks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One chunk of an array.

    Attributes
    ----------
    index : tuple of int
        Its position in the grid of chunks.
    slices : tuple of slice
        What cuts it out of the array.
    shape : tuple of int
    """

    index: tuple[int, ...]
    slices: tuple[slice, ...]
    shape: tuple[int, ...]


def array_chunks(shape: Sequence[int], itemsize: int, axis: int | None, buffersize: int) -> Chunks:
    """Cut an array into chunks, none of them empty; an array without bytes is one chunk.

    Parameters
    ----------
    shape : sequence of int
    itemsize : int
        Bytes.
    axis : int or None
        The axis to cut, where negative numbers count from the end. None cuts all of them, into blocks that are as
        near to cubes as the shape allows.
    buffersize : int
        Bytes that a chunk has at most. One that cannot be so small (a slab one item thick, or a single item) is
        as small as it can be.

    Returns
    -------
    tuple of tuple of int
        Per axis the sizes of the chunks, as dask has them: all equal but the last.

    Raises
    ------
    ValueError
        If there is no such axis, or no size.

    Examples
    --------
    >>> array_chunks((100, 30), itemsize=8, axis=0, buffersize=40 * 30 * 8)
    ((34, 34, 32), (30,))
    >>> array_chunks((100, 30), itemsize=1, axis=None, buffersize=400)
    ((20, 20, 20, 20, 20), (15, 15))
    """
    if buffersize < 1:
        raise ValueError(f"buffersize is {buffersize}: give a number of bytes")
    axis = axis if axis is None else _axis(axis, len(shape))
    if not shape or not itemsize * math.prod(shape):
        return tuple((length,) for length in shape)
    items = max(1, buffersize // itemsize)
    edges = _isotropic_edges(shape, items) if axis is None else _slab_edges(shape, items, axis)
    return tuple(_cut(length, edge) for length, edge in zip(shape, edges, strict=True))


def _axis(axis: int, ndim: int) -> int:
    try:
        axis = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis is the number of one axis, or None for blocks, not {axis!r}") from None
    # a 0-d array has nothing to cut, along the last axis either
    if not -max(1, ndim) <= axis < max(1, ndim):
        raise ValueError(f"there is no axis {axis} in an array of {ndim} dimensions")
    return axis % max(1, ndim)


def _slab_edges(shape: Sequence[int], items: int, axis: int) -> list[int]:
    slab = math.prod(shape) // shape[axis]
    return [max(1, items // slab) if i == axis else length for i, length in enumerate(shape)]


def _isotropic_edges(shape: Sequence[int], items: int) -> list[int]:
    """Edges of a block of at most ``items`` items: what the short axes cannot use falls to the longer ones."""
    edges = [1] * len(shape)
    for rank, i in enumerate(sorted(range(len(shape)), key=lambda i: shape[i])):
        edges[i] = min(shape[i], round(items ** (1 / (len(shape) - rank))))
        items //= edges[i]
    return edges


def _cut(length: int, most: int) -> tuple[int, ...]:
    """A length in as few pieces of at most ``most`` as can be: equal ones, and what is left."""
    size = -(-length // -(-length // most))
    return tuple(stop - start for start, stop in spans(length, size))


def blocks(chunks: Chunks) -> Iterator[Block]:
    """The chunks of an array, in the C order of their grid.

    Parameters
    ----------
    chunks : tuple of tuple of int
        As `array_chunks` gives them, and dask.

    Examples
    --------
    >>> [block.slices for block in blocks(((2, 1), (5,)))]
    [(slice(0, 2, None), slice(0, 5, None)), (slice(2, 3, None), slice(0, 5, None))]
    """
    stops = [list(accumulate(sizes)) for sizes in chunks]
    for index in product(*(range(len(sizes)) for sizes in chunks)):
        shape = tuple(sizes[i] for sizes, i in zip(chunks, index, strict=True))
        ends = (axis_stops[i] for axis_stops, i in zip(stops, index, strict=True))
        slices = tuple(slice(stop - length, stop) for stop, length in zip(ends, shape, strict=True))
        yield Block(index, slices, shape)


def without_empty(chunks: Chunks) -> Chunks:
    """The same chunks but for those that are empty; an array without bytes is one chunk.

    Examples
    --------
    >>> without_empty(((0, 2, 0, 1), (5,)))
    ((2, 1), (5,))
    """
    shape = tuple(map(sum, chunks))
    if 0 in shape:
        return tuple((length,) for length in shape)
    return tuple(tuple(size for size in sizes if size) for sizes in chunks)


# ---------------------------------------------------------------------- parts of arrays in chunks
Item = int | slice | list[int]


@dataclass(frozen=True, slots=True)
class Pick:
    """What an index takes of one chunk, along one axis.

    Attributes
    ----------
    block : int
        The chunk's position in the grid.
    local : slice or list of int
        The index in the chunk; slices go forward.
    target : slice or list of int
        Where that lies in the result.
    count : int
        How many items it is.
    """

    block: int
    local: slice | list[int]
    target: slice | list[int]
    count: int

    @property
    def backward(self) -> bool:
        """Whether the result has the items in the other direction."""
        return isinstance(self.target, slice) and self.target.step == -1


def expand(index: object, ndim: int) -> tuple[Item, ...]:
    """A numpy index as one item for each axis.

    Raises
    ------
    IndexError
        If it is not made of integers, slices, ``...`` and a list of integers along one axis.

    Examples
    --------
    >>> expand((..., 3), 3)
    (slice(None, None, None), slice(None, None, None), 3)
    """
    items = list(index) if isinstance(index, tuple) else [index]
    where = [i for i, item in enumerate(items) if item is Ellipsis] or [len(items)]
    missing = ndim - len([item for item in items if item is not Ellipsis])
    if missing < 0 or len(where) > 1:
        raise IndexError(f"index {index!r:.100} is too long for an array of {ndim} dimensions")
    items[where[0] : where[0] + 1] = [slice(None)] * missing
    expanded = tuple(map(_item, items))
    if sum(isinstance(item, list) for item in expanded) > 1:
        raise IndexError("lists of integers along several axes: index with one after the other")
    return expanded


def _item(item: Any) -> Item:
    if isinstance(item, slice):
        return item
    kind = getattr(getattr(item, "dtype", None), "kind", None)
    values = item if isinstance(item, list) or getattr(item, "ndim", 0) == 1 else [item]
    if kind == "b" or any(isinstance(value, bool) for value in values):
        raise IndexError("booleans index no array in chunks: give the numbers (numpy.flatnonzero)")
    try:
        numbers = [operator.index(value) for value in values]
    except TypeError:
        raise IndexError(f"{item!r:.100} is no integer, slice or list of integers") from None
    return numbers if values is item else numbers[0]


def picks(item: Item, sizes: Sequence[int]) -> list[Pick]:
    """What an index along one axis takes of which chunks.

    Parameters
    ----------
    item : int, slice or list of int
    sizes : sequence of int
        Of the chunks along the axis.

    Returns
    -------
    list of Pick
        None of them empty, in the order of the chunks.

    Raises
    ------
    IndexError

    Examples
    --------
    >>> [(pick.block, pick.local, pick.target) for pick in picks(slice(1, None, 2), (4, 4))]
    [(0, slice(1, 5, 2), slice(0, 2, None)), (1, slice(1, 5, 2), slice(2, 4, None))]
    """
    stops = list(accumulate(sizes))
    length = stops[-1] if stops else 0
    if isinstance(item, list):
        places: Sequence[int] = [_place(number, length) for number in item]
    elif isinstance(item, slice):
        places = range(*item.indices(length))
    else:
        places = range(_place(item, length), _place(item, length) + 1)
    if not places:
        return []
    ends = (places[0], places[-1]) if isinstance(places, range) else places
    pick: Callable[..., Pick] = _pick_range if isinstance(places, range) else _pick_list
    # of thousands of chunks a slice that reads one is to look at one
    touched = range(bisect_right(stops, min(ends)), bisect_right(stops, max(ends)) + 1)
    found = (pick(places, block, stops[block] - sizes[block], stops[block]) for block in touched)
    return [one for one in found if one.count]


def _place(number: int, length: int) -> int:
    if not -length <= number < length:
        raise IndexError(f"index {number} is out of bounds for an axis of length {length}")
    return number % length


def _pick_range(places: range, block: int, start: int, stop: int) -> Pick:
    """What a slice takes of the chunk that has ``start <= i < stop``."""
    forward = places if places.step > 0 else places[::-1]
    first, last = bisect_left(forward, start), bisect_left(forward, stop)
    taken = forward[first:last]
    local = slice(taken.start - start, taken.stop - start, taken.step)
    target = slice(first, last)
    if places.step < 0:
        # numpy's end of a slice that goes backward to the beginning is None
        target = slice(len(places) - 1 - first, len(places) - 1 - last if last < len(places) else None, -1)
    return Pick(block, local, target, len(taken))


def _pick_list(places: Sequence[int], block: int, start: int, stop: int) -> Pick:
    """What a list takes of the chunk that has ``start <= i < stop``."""
    target = [i for i, place in enumerate(places) if start <= place < stop]
    return Pick(block, [places[i] - start for i in target], target, len(target))

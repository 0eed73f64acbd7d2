"""What a numpy index asks for, as runs of stored bytes. Pure functions."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy.partsizes import spans

__all__ = ["Runs", "Selection", "select", "slabs"]

Array = npt.NDArray[Any]

#: Gaps are read over while that costs no more bytes than this, or than a tenth of what is needed.
SPARE = 64 * 2**10
# Where that would be more requests than this for one list of runs, more gaps are read over, the small ones first.
_MOST_SPANS = 128
# But none larger than this: it takes as long as a request does (some 20 ms, at some 10 MB/s of a connection's own).
_LARGEST_GAP = 128 * 2**10
# Bytes of a span with gaps: it is read into memory that is thrown away.
_LARGEST_SPAN = 8 * 2**20
# Runs that are looked at together: 8 bytes each for their places, some times over.
_MOST_RUNS = 2**18


# ---------------------------------------------------------------------- axes
@dataclass(frozen=True)
class _Every:
    """Places at equal distances, in items of the whole array."""

    start: int
    step: int
    count: int

    def take(self, numbers: Array) -> Array:
        return self.start + numbers * self.step


@dataclass(frozen=True)
class _Points:
    """Places anywhere: those of all axes that lists of integers index together."""

    places: Array

    @property
    def count(self) -> int:
        return len(self.places)

    def take(self, numbers: Array) -> Array:
        taken: Array = self.places[numbers]
        return taken


_Places = _Every | _Points


def _points(places: Array) -> _Places:
    """Sorted places; as `_Every` where they are that."""
    first, last, count = int(places[0]), int(places[-1]), len(places)
    step = int(places[1]) - first if count > 1 else 1
    # where they do not even end at the right place, nothing is computed of all of them
    if last - first == step * (count - 1) and (np.diff(places) == step).all():
        return _Every(first, step, count)
    return _Points(places)


# ---------------------------------------------------------------------- selections
@dataclass(frozen=True)
class Selection:
    """What an index asks for: a sub-array that is read, and the index that makes the result of it.

    Attributes
    ----------
    rest : tuple
        A numpy index: ``sub_array[rest]`` is what numpy gives for the whole index on the whole array.
    """

    rest: tuple[Any, ...]
    _axes: tuple[_Places, ...]
    _order: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the sub-array; it has as many axes as the whole."""
        return tuple(axis.count for axis in self._axes)

    def is_all_of(self, size: int) -> bool:
        """Whether it is all of an array of ``size`` items, in the order in which they are stored."""
        run, _, outer = self._rows()
        return run == size and not outer

    def runs(self, itemsize: int) -> Iterator[Runs]:
        """The stored bytes of the sub-array, for items of ``itemsize`` bytes; in lists of bounded length."""
        run, start, outer = self._rows()
        counts = tuple(axis.count for axis in outer)
        total = math.prod(counts)
        for first in range(0, total, _MOST_RUNS):
            numbers = np.arange(first, min(first + _MOST_RUNS, total))
            places = np.full(len(numbers), start)
            for axis, along in zip(outer, np.unravel_index(numbers, counts) if counts else (), strict=True):
                places += axis.take(along)
            yield Runs.of(places * itemsize, run * itemsize, first)

    def _rows(self) -> tuple[int, int, list[_Places]]:
        """How many items lie in a row; where the first row starts; the axes along which there are more of them."""
        run, start = 1, 0
        outer: list[_Places] = []
        for axis in self._axes[::-1] if self._order == "C" else self._axes:
            if isinstance(axis, _Every) and (axis.count == 1 or (axis.step == run and not outer)):
                run, start = run * axis.count, start + axis.start
            else:
                outer.insert(0, axis)
        return run, start, outer


def select(index: Any, shape: Sequence[int], order: str = "C") -> Selection:
    """What a numpy index asks for of an array. It is right, and gives something: see `masks.result_shape`.

    Parameters
    ----------
    index : int, slice, Ellipsis, None, list, numpy.ndarray or a tuple of them
    shape : sequence of int
    order : str
        ``'C'`` or ``'F'``: how the array is stored.

    Examples
    --------
    >>> selection = select((slice(1, 3), [0, 5, 5]), (4, 6))
    >>> selection.shape
    (2, 2)
    >>> [runs.starts.tolist() for runs in selection.runs(itemsize=8)]
    [[48, 88, 96, 136]]
    """
    rest = _expand(index, len(shape))
    taking = [n for n, item in enumerate(rest) if _takes_an_axis(item)]
    axes: list[_Places] = []
    for n, length, stride in zip(taking, shape, _strides(shape, order), strict=True):
        places, rest[n] = _along(rest[n], length, stride)
        axes.append(places)
    _join_lists([(axis, n) for axis, n in enumerate(taking) if isinstance(rest[n], np.ndarray)], axes, rest)
    return Selection(tuple(rest), tuple(axes), order)


def _expand(index: Any, ndim: int) -> list[Any]:
    """One item for each axis, beside those that take none; Ellipsis stays, behind the slices that it stands for."""
    items = [item for one in (index if isinstance(index, tuple) else (index,)) for item in _items(one)]
    taking = sum(map(_takes_an_axis, items))
    all_of = [slice(None)] * (ndim - taking)
    if not any(item is ... for item in items):
        return items + all_of
    place = next(n for n, item in enumerate(items) if item is ...)
    return [*items[:place], *all_of, *items[place:]]


def _items(item: Any) -> list[Any]:
    """An item of an index; a mask is the places where it is true."""
    if item is None or item is ... or isinstance(item, slice):
        return [item]
    array = np.asarray(item)
    if array.dtype == bool:
        return [*array.nonzero()] if array.ndim else [bool(array)]
    return [array.astype(np.int64, copy=False)] if array.ndim else [operator.index(item)]


def _takes_an_axis(item: Any) -> bool:
    return item is not None and item is not ... and not isinstance(item, bool)


def _strides(shape: Sequence[int], order: str) -> list[int]:
    """How many items lie between neighbours along each axis."""
    if order == "C":
        return _strides(shape[::-1], "F")[::-1]
    return [math.prod(shape[:axis]) for axis in range(len(shape))]


def _along(item: Any, length: int, stride: int) -> tuple[_Places, Any]:
    """The places on one axis, and what is left of the item for the sub-array: the order in which they are wanted."""
    if isinstance(item, np.ndarray):
        numbers = item * stride
        numbers[item < 0] += length * stride
        return _Every(0, 1, 1), numbers
    if not isinstance(item, slice):
        return _Every(item % length * stride, 1, 1), 0
    places = range(*item.indices(length))
    upwards = places if places.step > 0 else places[::-1]
    every = _Every(upwards.start * stride, upwards.step * stride, len(upwards))
    return every, slice(None, None, None if places.step > 0 else -1)


def _join_lists(lists: list[tuple[int, int]], axes: list[_Places], rest: list[Any]) -> None:
    """Lists of integers go together: each place that they name is read once, and what is left is its number.

    Lists that each run along an axis of their own, as those of `numpy.ix_`, name the places of each axis; others name
    points, all of which lie along the first list's axis.
    """
    if not lists:
        return
    if not _is_mesh([rest[n] for _, n in lists]):
        (axis, first), *others = lists
        rest[first] = sum(rest[n] for _, n in lists)
        for _, n in others:
            rest[n] = 0
        lists = [(axis, first)]
    numbers = []
    for axis, n in lists:
        places, number = _distinct(rest[n].reshape(-1))
        axes[axis] = _points(places)
        numbers.append(number)
    is_as_read = all(number is None for number in numbers) and _lie_as_slices([n for _, n in lists], rest)
    for (_, n), number in zip(lists, numbers, strict=True):
        along = np.arange(rest[n].size) if number is None and not is_as_read else number
        rest[n] = slice(None) if along is None else along.reshape(rest[n].shape)


def _is_mesh(lists: list[Array]) -> bool:
    """Whether lists run along axes of their own, where numpy broadcasts them: they pick out an outer product."""
    along = [axis - places.ndim for places in lists for axis, length in enumerate(places.shape) if length != 1]
    return len(set(along)) == len(along) and all(max(places.shape) == places.size for places in lists)


def _distinct(places: Array) -> tuple[Array, Array | None]:
    """Places in their order, each once, and which of them each one is; None where that is how they lie."""
    if (places[1:] > places[:-1]).all():
        return places, None
    return np.unique(places, return_inverse=True)


def _lie_as_slices(lists: list[int], rest: list[Any]) -> bool:
    """Whether slices in the place of these lists, which leave nothing out, would give what numpy gives for the lists.

    It would put their axes to the front where they and integers do not stand side by side.
    """
    if any(isinstance(item, bool) for item in rest):
        return False
    picking = [n for n, item in enumerate(rest) if isinstance(item, (int, np.ndarray))]
    ndim = max(rest[n].ndim for n in lists)
    own_axes = ndim == len(lists) and all(
        ((1,) * (ndim - rest[n].ndim) + rest[n].shape)[axis] == rest[n].size for axis, n in enumerate(lists)
    )
    return own_axes and picking[-1] - picking[0] == len(picking) - 1


def slabs(shape: Sequence[int], itemsize: int, order: str, nbytes: int) -> tuple[tuple[int, ...], ...]:
    """Cut an array into chunks that are stored in one piece each, of at most ``nbytes``; in dask's form.

    Examples
    --------
    >>> slabs((10, 30), itemsize=8, order="C", nbytes=1000)
    ((4, 4, 2), (30,))
    """
    if not itemsize * math.prod(shape):
        return tuple((length,) for length in shape)
    edges = (nbytes // (stride * itemsize) for stride in _strides(shape, order))
    sizes = [min(length, max(1, edge)) for length, edge in zip(shape, edges, strict=True)]
    return tuple(
        tuple(stop - start for start, stop in spans(length, size)) for length, size in zip(shape, sizes, strict=True)
    )


# ---------------------------------------------------------------------- bytes
@dataclass(frozen=True)
class Runs:
    """Stored bytes that are wanted: runs of one length, sorted, and where each goes.

    Attributes
    ----------
    starts : numpy.ndarray
        Where each begins, in bytes.
    length : int
        Bytes of each.
    rows : numpy.ndarray
        Which run of the memory that is filled each is.
    """

    starts: Array
    length: int
    rows: Array

    @classmethod
    def of(cls, starts: Array, length: int, first: int) -> Runs:
        """Runs in the order of the memory, whose first one is number ``first`` there."""
        if (starts[1:] > starts[:-1]).all():
            return cls(starts, length, np.arange(first, first + len(starts)))
        order = np.argsort(starts)
        return cls(starts[order], length, order + first)

    def spans(self) -> list[tuple[int, int]]:
        """The ranges of bytes to read: a run each, or several with the gaps between them where these are small."""
        if len(self.starts) == 1:
            return [(int(self.starts[0]), int(self.starts[0]) + self.length)]
        gaps = np.diff(self.starts) - self.length
        broken = ~_read_over(gaps, len(self.starts) * self.length)
        begins = self.starts[np.flatnonzero(np.r_[True, broken])]
        inside = self.starts - begins[np.r_[0, np.cumsum(broken)]]
        broken |= np.diff(inside // _LARGEST_SPAN) != 0
        begins = self.starts[np.r_[True, broken]]
        ends = self.starts[np.r_[broken, True]] + self.length
        return list(zip(begins.tolist(), ends.tolist(), strict=True))

    def blocks(self, size: int) -> Array:
        """The numbers of the blocks of ``size`` bytes that the runs touch."""
        first, last = self.starts // size, (self.starts + self.length - 1) // size
        most = int((last - first).max()) + 1
        return np.unique(np.concatenate([np.minimum(first + more, last) for more in range(most)]))

    def within(self, start: int, stop: int, memory: Array) -> Array | None:
        """The part of the memory where these bytes go, if they are of one run; else None."""
        number = int(np.searchsorted(self.starts, start, "right")) - 1
        if number < 0 or stop > self.starts[number] + self.length:
            return None
        place = int(self.rows[number] * self.length + start - self.starts[number])
        return memory[place : place + stop - start]

    def scatter(self, start: int, data: Array, memory: Array) -> None:
        """Copy what is wanted of the bytes from ``start`` on to where it goes."""
        stop = start + len(data)
        low, first = np.searchsorted(self.starts, [start - self.length + 1, start])
        last, high = np.searchsorted(self.starts, [stop - self.length + 1, stop])
        if first < last:
            self._scatter_whole(slice(first, last), start, data, memory)
        for number in {*range(low, min(first, high)), *range(max(last, low), high)}:
            begin = int(self.starts[number])
            cut = slice(max(start, begin), min(stop, begin + self.length))
            place = int(self.rows[number]) * self.length + cut.start - begin
            memory[place : place + cut.stop - cut.start] = data[cut.start - start : cut.stop - start]

    def _scatter_whole(self, numbers: slice, start: int, data: Array, memory: Array) -> None:
        # a run that begins at each byte: a view, of which one copy takes the right ones
        begins = np.ndarray(len(data) - self.length + 1, f"V{self.length}", data, strides=(1,))
        memory.view(f"V{self.length}")[self.rows[numbers]] = begins[self.starts[numbers] - start]


def _read_over(gaps: Array, needed: int) -> Array:
    """Which gaps between runs are read over, rather than asked around with one request more."""
    over = np.zeros(len(gaps), bool)
    smallest_first = np.argsort(gaps)
    spare = np.cumsum(gaps[smallest_first]) <= max(SPARE, needed // 10)
    over[smallest_first[spare]] = True
    over &= gaps <= _LARGEST_GAP
    if len(gaps) - over.sum() >= _MOST_SPANS:
        over |= gaps <= min(_LARGEST_GAP, np.partition(gaps, -_MOST_SPANS)[-_MOST_SPANS])
    return over

"""A picture of a stored array, for which little of it is read. Imports matplotlib where it draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from cottoncandy import display
from cottoncandy.errors import UnsupportedArray
from cottoncandy.extras import with_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_BYTES", "MOST_PIECES", "Stored", "histogram", "preview", "sample", "spread"]

Array = npt.NDArray[Any]
#: A slice for each axis that is shown, a number for the others; or of an array of one axis the items.
Index = tuple[Any, ...]

#: Bytes of the array that are read for a picture, at most; where it is compressed as a whole, packed ones.
MOST_BYTES = 16 * 2**20
#: Pieces of a sample that lie far from each other, at most: each is a request.
MOST_PIECES = 64
# Items of a piece of a line: what a screen can show.
_ITEMS = 1024
# Of the histogram.
_BINS = 100
# Values whose distance is less than such a part of them have the same first digits.
_NEAR = 1e-4
# From such numbers on, what lies between two of them, and around all, may be more than the largest float.
_LARGEST_DRAWN = 1e300
# Items of a line whose points are drawn, too.
_FEW = 50


class Stored(Protocol):
    """What a picture needs to know of an array."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    stored: int

    @property
    def piece(self) -> int | None:
        """Bytes that have to be read for any item of them; None where that is all of it."""

    def __getitem__(self, index: Any) -> Any:
        """What numpy gives for the index."""


def preview(array: Stored, ax: Axes | None = None, *, whole: bool = False) -> Axes:
    """Draw an array; see `cottoncandy.datasets.Dataset.preview`."""
    if array.dtype.kind not in "biufcmM" or 0 in array.shape or not array.shape:
        raise UnsupportedArray(f"{array.name}: there is no picture of shape {array.shape} and dtype {array.dtype}")
    if array.piece is None and array.stored > MOST_BYTES and not whole:
        raise ValueError(
            f"{array.name} is compressed as a whole: a picture needs all of its {display.size(array.stored)}. "
            "preview(whole=True) reads them; of an array in blocks (compression='Zstd-blocks') a few are enough"
        )
    ax = with_extra("matplotlib.pyplot", "preview").figure().add_subplot() if ax is None else ax
    index = sample(array)
    data = _numbers(np.asarray(array[index]))
    _draw(ax, array, index, data)
    ax.set_title(_title(array, index), parse_math=False)
    return ax


# ---------------------------------------------------------------------- what is read
def sample(array: Stored) -> Index:
    """The part that a picture shows.

    Of an image the rows, of other arrays evenly spaced pieces; of the axes that are slowest in the stored order, where
    there are more than an image has, the middle.
    """
    pieces = max(1, min(MOST_PIECES, MOST_BYTES // (array.piece or MOST_BYTES)))
    shape, itemsize = array.shape, array.dtype.itemsize
    if len(shape) > 4:
        return spread(array, MOST_BYTES // itemsize, MOST_PIECES)
    if len(shape) == 1 and shape[0] * itemsize > MOST_BYTES:
        return (_windows(shape[0], min(_ITEMS, MOST_BYTES // pieces // itemsize), pieces),)
    fastest_first = range(len(shape)) if array.order == "F" else range(len(shape) - 1, -1, -1)
    axes = 3 if _is_colour(array) else 2
    index: list[Any] = [length // 2 for length in shape]
    taken, apart = itemsize, 0  # bytes so far, and in how many pieces; 0: in one, to which more may be joined
    for axis in list(fastest_first)[:axes]:
        most = min(MOST_BYTES // taken, pieces // apart) if apart else MOST_BYTES // taken
        index[axis] = part = _along(shape[axis], most, itemsize, pieces if taken > itemsize else 0)
        count = len(range(part.start, part.stop, part.step))
        if apart or count < shape[axis]:
            apart = max(1, apart) * (count if part.step > 1 or apart else 1)
        taken *= count
    return tuple(index)


def spread(array: Stored, items: int, pieces: int) -> Index:
    """A sample of all axes for a histogram: runs of neighbours, evenly spread.

    Parameters
    ----------
    array : Stored
    items : int
        Items in all, at most.
    pieces : int
        Runs, at most; fewer where each costs a large block.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> spread(SimpleNamespace(shape=(1000, 20000), order='C', piece=None), 4096, 16)
    (slice(0, 1000, 63), slice(9872, 10128, 1))
    """
    shape = array.shape
    if math.prod(shape) <= items:
        return tuple(slice(0, length, 1) for length in shape)
    pieces = max(1, min(pieces, MOST_BYTES // (array.piece or 1)))
    run = max(1, items // pieces)
    if len(shape) == 1:
        return (_windows(shape[0], run, pieces),)
    fastest_first = shape if array.order == "F" else shape[::-1]
    whole = next(count for count in range(len(shape)) if math.prod(fastest_first[: count + 1]) > run)
    taken = [slice(0, length, 1) for length in fastest_first[:whole]] or [_middle(fastest_first[0], run)]
    slow = fastest_first[len(taken) :]
    each = max(1, int(pieces ** (1 / len(slow)) + 1e-9)) if slow else 1
    index = (*taken, *(slice(0, length, -(-length // each)) for length in slow))
    return index if array.order == "F" else index[::-1]


def _middle(length: int, count: int) -> slice:
    return slice((length - count) // 2, (length - count) // 2 + count, 1)


def _along(length: int, most: int, itemsize: int, pieces: int) -> slice:
    """All of an axis where that is little, else some items: evenly spaced, or side by side where ``pieces`` is 0."""
    if length <= most:
        return slice(0, length, 1)
    count = max(1, min(pieces, most)) if pieces else MOST_BYTES // MOST_PIECES // itemsize
    if pieces and count > 1:
        return slice(0, length, -(-length // count))
    return _middle(length, count)


def _windows(length: int, width: int, count: int) -> Array:
    starts = np.linspace(0, length - width, count).astype(np.intp)
    return np.unique((starts[:, None] + np.arange(max(1, width))).ravel())


def _is_colour(array: Stored) -> bool:
    """Whether the last axis is one of colours."""
    return len(array.shape) == 3 and array.shape[2] in {3, 4} and array.dtype == np.uint8 and array.order == "C"


# ---------------------------------------------------------------------- what is drawn
def _numbers(data: Array) -> Array:
    """The values as what matplotlib draws."""
    if data.dtype.kind in "mM":
        return np.where(np.isnat(data), np.nan, data.astype(np.int64))
    if data.dtype.kind == "c":
        return np.abs(data).astype(np.float64)
    return data if data.dtype == np.uint8 else data.astype(np.float32 if data.dtype.itemsize < 4 else np.float64)


def _draw(ax: Axes, array: Stored, index: Index, data: Array) -> None:
    if len(array.shape) == 1:
        # a line through one point is not seen
        ax.plot(*_line(np.arange(array.shape[0])[index], data), marker="." if len(data) < _FEW else None)
        ax.set_ylabel(_meaning(array.dtype))
    elif len(array.shape) <= 4:
        _draw_image(ax, array, index, data)
    else:
        _draw_histogram(ax, array, data[np.isfinite(data)])
    if not np.isfinite(data).any():
        ax.text(0.5, 0.5, "no finite values", transform=ax.transAxes, ha="center", va="center")


def _meaning(dtype: np.dtype[Any]) -> str:
    """What is drawn, where that is not the values themselves."""
    return "absolute value" if dtype.kind == "c" else f"{dtype}, as a number" if dtype.kind in "mM" else ""


def _line(places: Array, data: Array) -> tuple[Array, Array]:
    """Where each value stands; nothing is drawn where values were left out."""
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    return np.insert(places.astype(float), breaks, np.nan), np.insert(data.astype(float), breaks, np.nan)


def _draw_image(ax: Axes, array: Stored, index: Index, data: Array) -> None:
    rows, columns = [part for part in index if isinstance(part, slice)][:2]
    edges = (columns.start - 0.5, columns.stop - 0.5, rows.stop - 0.5, rows.start - 0.5)
    even = rows.step == columns.step and max(data.shape[:2]) < 20 * min(data.shape[:2])
    image = ax.imshow(data, extent=edges, aspect="equal" if even else "auto", interpolation="nearest")
    shown: Sequence[int] = [axis for axis, part in enumerate(index) if isinstance(part, slice)]
    ax.set_xlabel(f"axis {shown[1]}")
    ax.set_ylabel(f"axis {shown[0]}")
    if not _is_colour(array):
        ax.figure.colorbar(image, ax=ax, label=_meaning(array.dtype))


def _draw_histogram(ax: Axes, array: Stored, values: Array) -> None:
    counts, edges, start = histogram(values, _BINS)
    unit = _LARGEST_DRAWN if np.abs(edges).max() > _LARGEST_DRAWN else 1.0
    edges = edges / unit
    ax.bar(edges[:-1], counts, np.diff(edges), align="edge")
    since, scale = f"distance from {start}" if start else "", f"in units of {unit}" if unit > 1 else ""
    ax.set_xlabel(", ".join(filter(None, (_meaning(array.dtype), since, scale))))


def histogram(values: Array, bins: int) -> tuple[Array, Array, Any]:
    """How many values are in each of some bins, for numbers of any size, and as close to each other as may be.

    Parameters
    ----------
    values : numpy.ndarray
        Finite numbers.
    bins : int
        One is made where all values are the same.

    Returns
    -------
    counts, edges : numpy.ndarray
    start : number
        What the edges are counted from: 0, or the smallest value where all have the same first digits.

    Examples
    --------
    >>> histogram(np.array([1e20, 1e20]), 12)
    (array([2]), array([-0.5,  0.5]), np.float64(1e+20))
    """
    if not values.size:
        return np.zeros(0, int), np.zeros(1), 0
    smallest, largest = values.min(), values.max()
    distances = _half_distances(values, smallest)
    reach = float(distances.max())
    counts, places = np.histogram(distances / (reach or 1), bins if reach else 1, (0, 1))
    if reach <= _NEAR * max(abs(float(smallest)), abs(float(largest))):
        edges = 2 * reach * places if reach else places - 0.5
        return counts, edges, smallest
    return counts, float(smallest) * (1 - places) + float(largest) * places, 0


def _half_distances(values: Array, smallest: Any) -> Array:
    """How far each is from the smallest: exact for integers; halves, as the whole of 1e308 and -1e308 is no number."""
    distances: Array = values / 2 - smallest / 2
    if values.dtype.kind in "iu":  # without a sign differences are right where they pass the largest number, too
        distances = (values.astype(np.uint64) - smallest.astype(np.uint64)) / 2
    return distances


def _title(array: Stored, index: Index) -> str:
    parts = [_part(part, length) for part, length in zip(index, array.shape, strict=True)]
    return array.name if set(parts) == {":"} else f"{array.name}[{', '.join(parts)}]"


def _part(part: Any, length: int) -> str:
    if isinstance(part, np.ndarray):
        return f"{len(part):,} of {length:,}"
    if not isinstance(part, slice):
        return str(part)
    ends = f"{part.start or ''}:{part.stop if part.stop < length else ''}"
    return ends if part.step == 1 else f"{ends}:{part.step}"

"""How a transfer and an array are cut. Pure functions."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, product

from cottoncandy.backends.base import TIB, TransferLimits
from cottoncandy.errors import NotSupported

#: What a stream of unknown length may come to: the largest object that S3 had for most of its life.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
LARGEST_STREAM = 5 * TIB


# ---------------------------------------------------------------------- transfers
def spans(size: int, part: int) -> list[tuple[int, int]]:
    """``size`` bytes in parts of ``part``: where each starts and stops.

    Examples
    --------
    >>> spans(10, 4)
    [(0, 4), (4, 8), (8, 10)]
    """
    return [(start, min(start + part, size)) for start in range(0, size, part)]


def part_size(size: int, wanted: int, limits: TransferLimits) -> int:
    """The size of the parts of an upload: as wanted, or as near to it as the store allows.

    Parameters
    ----------
    size : int
        Bytes of the whole.
    wanted : int
        Bytes.
    limits : TransferLimits

    Raises
    ------
    NotSupported
        If the store cannot take so large an object.
    """
    part = _allowed(max(wanted, -(-size // limits.most_parts)), limits)
    if part * limits.most_parts < size:
        raise NotSupported(
            f"{size} bytes are too many for one object of this store: it takes {limits.most_parts} parts of "
            f"{limits.largest_part} bytes. Cut the array (upload_dask_array)"
        )
    return part


def growing_part_sizes(wanted: int, limits: TransferLimits, most: int = LARGEST_STREAM) -> Iterator[int]:
    """Sizes of the parts of a stream whose length is not known, without end.

    They begin as wanted and grow in proportion to their number, so that the parts that the store takes come to
    ``most`` bytes in all. For S3 and parts of 32 MiB: 10 GiB before they grow, 150 MiB at 100 GiB, 1.1 GiB at the end.
    """
    # the sum of 1 to n is over n * n / 2
    step = -(-2 * most // limits.most_parts**2)
    return (_allowed(max(wanted, number * step), limits) for number in count(1))


def _allowed(part: int, limits: TransferLimits) -> int:
    part = min(max(part, limits.smallest_part, 1), limits.largest_part)
    up = -(-part // limits.part_multiple) * limits.part_multiple
    return up if up <= limits.largest_part else up - limits.part_multiple


# ---------------------------------------------------------------------- arrays
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
    axis = operator.index(axis)
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

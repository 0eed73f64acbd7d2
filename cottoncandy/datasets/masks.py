"""What a numpy index gives, before anything is read: its shape, and whether it is as good as a mask. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["dense_mask", "result_shape", "takes_less_whole"]

Array = npt.NDArray[Any]

# A mask that picks out more than one item of so many is read with what lies between.
_DENSE = 16
# Bytes that it takes to find out where an item lies of those that lists pick out in any order.
_EACH = 48
# Places that are looked at together: 8 bytes each, some times over.
_AT_ONCE = 2**18


def result_shape(index: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of what a numpy index gives of an array.

    Raises
    ------
    IndexError
        numpy's own: it looks itself, on an array of that shape that takes no memory.

    Examples
    --------
    >>> result_shape((slice(None, None, 2), None, [0, 5]), (4, 6))
    (2, 1, 2)
    """
    items, shape = _tuple(index), tuple(shape)
    if (mask := _full_mask(index, shape)) is not None:  # numpy would make lists of it where there is more than the mask
        count = int(np.count_nonzero(mask))
        return tuple(1 if item is None else count for item in items if item is not ...)
    # with an axis more, of no length, numpy has nothing to copy of what lists pick out
    with suppress(IndexError, ValueError):
        index_of_more = (slice(None), *items)
        found: tuple[int, ...] = _none(0, *shape)[index_of_more].shape
        if found.count(0) == 1:
            place = found.index(0)
            return found[:place] + found[place + 1 :]
    return np.shape(_none(*shape)[index])


def _none(*shape: int) -> Array:
    """An array of that shape that takes no memory."""
    return np.broadcast_to(np.int8(0), shape)


def _tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def dense_mask(index: Any, shape: Sequence[int]) -> Array | None:
    """A mask over all axes that picks out what the index does, in the same order, if that is one item of sixteen.

    The index may be the mask, alone or beside ``...`` and `numpy.newaxis`, or the lists that `numpy.nonzero` makes of
    it. What the mask picks out has one axis; numpy's result may have more, of one item each, or those of the lists.

    Examples
    --------
    >>> dense_mask((..., np.array([True, False])), (2,))
    array([ True, False])
    >>> dense_mask((np.array([0, 1]), np.array([1, 0])), (2, 2))
    array([[False,  True],
           [ True, False]])
    """
    shape = tuple(shape)
    mask = _full_mask(index, shape)
    if mask is not None:
        return mask if np.count_nonzero(mask) * _DENSE > mask.size else None
    lists = _picked(index)
    if not _are_lists(lists, shape) or lists[0].size * _DENSE <= math.prod(shape) or not _are_rising(lists, shape):
        return None
    mask = np.zeros(shape, bool)
    mask[tuple(lists)] = True
    return mask


def takes_less_whole(index: Any, shape: Sequence[int], itemsize: int) -> bool:
    """Whether all of an array takes less memory than the places of what lists, one for each axis, pick out of it."""
    lists = _picked(index)
    return _are_lists(lists, tuple(shape)) and math.prod(shape) * itemsize <= lists[0].size * _EACH


def _full_mask(index: Any, shape: tuple[int, ...]) -> Array | None:
    """The mask, if the index is one over all axes; it may have axes of one item added."""
    picked = _picked(index)
    if len(picked) != 1 or not isinstance(picked[0], np.ndarray) or sum(item is ... for item in _tuple(index)) > 1:
        return None
    return picked[0] if picked[0].dtype == bool and picked[0].shape == shape and shape else None


def _picked(index: Any) -> list[Any]:
    """The items of an index that pick something out."""
    return [item for item in _tuple(index) if item is not None and item is not ...]


def _are_lists(lists: list[Any], shape: tuple[int, ...]) -> bool:
    """Whether these are arrays of integers, one for each axis, and of one shape."""
    if len(lists) != len(shape) or not all(isinstance(item, np.ndarray) and item.dtype.kind in "iu" for item in lists):
        return False
    return len({item.shape for item in lists}) == 1 and lists[0].ndim > 0


def _are_rising(lists: list[Array], shape: tuple[int, ...]) -> bool:
    """Whether lists, one for each axis, name places in C order, each once, and none of them from the end."""
    flat = [along.reshape(-1) for along in lists]
    for start in range(0, len(flat[0]), _AT_ONCE):
        piece = tuple(along[start : start + _AT_ONCE + 1].astype(np.int64) for along in flat)
        if any((along < 0).any() for along in piece) or not (np.diff(np.ravel_multi_index(piece, shape)) > 0).all():
            return False
    return True

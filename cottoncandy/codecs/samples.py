"""Whether data is worth packing: told by a sample."""

from __future__ import annotations

from cottoncandy.codecs.blosc import pack

__all__ = ["is_compressible"]

#: Bytes of data: less is packed as fast as a sample is taken.
_LEAST = 4 * 2**20
#: How many slices are looked at, spread over all the data, and their bytes: a quarter of a millisecond's work.
_SLICES, _SLICE = 8, 2**14
#: What packs into more than this share travels as fast as it is: noise of floating-point numbers packs into 0.9.
_WORTH = 0.85


def is_compressible(view: memoryview, itemsize: int) -> bool:
    """Whether it pays to pack the data.

    Parameters
    ----------
    view : memoryview
        Contiguous, of format ``B``.
    itemsize : int
        Bytes of an item.

    Examples
    --------
    >>> import os
    >>> is_compressible(memoryview(os.urandom(2**23)), 8), is_compressible(memoryview(bytes(2**23)), 8)
    (False, True)
    """
    items, each = len(view) // itemsize, max(1, _SLICE // itemsize)
    if len(view) < _LEAST or items < _SLICES * each:
        return True
    starts = [number * (items - each) // (_SLICES - 1) * itemsize for number in range(_SLICES)]
    samples = [view[start : start + each * itemsize] for start in starts]
    return sum(len(pack(sample, itemsize)) for sample in samples) < _WORTH * sum(map(len, samples))

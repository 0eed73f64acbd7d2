"""How data is packed inside a buffer, told by a sample of it; and whether that is worth while."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cottoncandy.codecs.blosc.format import BLOCK, library
from cottoncandy.scattered import Bytes, contiguous

__all__ = ["WAYS", "Way", "choose", "is_compressible", "pack"]


class Way(NamedTuple):
    """A compressor that Blosc has inside, its level, and what is shuffled before: 1 for bytes, 2 for bits."""

    compressor: bytes
    level: int
    shuffle: int


#: zstd's level 1 behind the shuffle is the densest that keeps up with a fast network.
_DENSE = Way(b"zstd", 1, 1)
#: From the fastest on; see the table in `cottoncandy.codecs`.
WAYS = (Way(b"lz4", 5, 1), Way(b"lz4", 5, 2), _DENSE)
#: A faster one is taken where what it makes is so many times as large at most.
_ALIKE = 1.1
#: Into so many streams a block is split at most (MAX_SPLITS).
_MOST_STREAMS = 16
#: Bytes of data: of less, each way takes as long as the look at a sample.
_FEW = 2**18
#: The bytes of a slice of the sample, and how many there are at most, spread over all the data.
_SLICE, _SLICES = 2**15, 8
#: What packs into more than this share travels as fast as it is: noise of floating-point numbers packs into 0.9.
_WORTH = 0.85
#: Bytes of data: less is packed as fast as it is decided whether it should be.
_LEAST = 4 * 2**20


def pack(data: Bytes, itemsize: int, way: Way = _DENSE) -> bytes:
    """One buffer."""
    # numcodecs takes the item's size from the array; Blosc itself takes items over 255 bytes for bytes
    packed: bytes = library().compress(
        np.frombuffer(contiguous(data), f"V{itemsize}"), *way, _wanted_block(itemsize, way)
    )
    return packed


def _wanted_block(itemsize: int, way: Way) -> int:
    """What to ask for, to have blocks of `BLOCK` bytes of data; of single bytes lz4 has half of it at most.

    Where blocks are split into a stream for each byte of the items, the library takes it for the size of a stream
    (split_block, compute_blocksize): https://github.com/Blosc/c-blosc/blob/main/blosc/blosc.c
    """
    return BLOCK // itemsize if way.compressor == b"lz4" and itemsize <= _MOST_STREAMS else BLOCK


def choose(view: Bytes, itemsize: int) -> Way:
    """The fastest way of those that pack the data about as densely as any.

    Parameters
    ----------
    view : memoryview or Scattered
        A memoryview is contiguous, of format ``B``.
    itemsize : int
        Bytes of an item.

    Examples
    --------
    >>> import numpy as np
    >>> choose(np.cumsum(np.random.default_rng(0).integers(-3, 4, 2**20)).astype('f4').data.cast('B'), 4)
    Way(compressor=b'lz4', level=5, shuffle=2)
    >>> choose(memoryview(bytes(2**20)), 8)
    Way(compressor=b'zstd', level=1, shuffle=1)
    """
    sample = _sample(view, itemsize) if len(view) >= _FEW else None
    if not sample:
        return _DENSE
    sizes = _sizes(sample, itemsize)
    return next(way for way, size in zip(WAYS, sizes, strict=True) if size <= _ALIKE * min(sizes))


def is_compressible(view: Bytes, itemsize: int) -> bool:
    """Whether it pays to pack the data.

    Parameters
    ----------
    view : memoryview or Scattered
        A memoryview is contiguous, of format ``B``.
    itemsize : int
        Bytes of an item.

    Examples
    --------
    >>> import os
    >>> is_compressible(memoryview(os.urandom(2**23)), 8), is_compressible(memoryview(bytes(2**23)), 8)
    (False, True)
    """
    sample = _sample(view, itemsize) if len(view) >= _LEAST else None
    return not sample or min(_sizes(sample, itemsize)) < _WORTH * len(sample)


def _sizes(sample: memoryview, itemsize: int) -> list[int]:
    """What each way makes of it, in bytes."""
    return [len(pack(sample, itemsize, way)) for way in WAYS]


def _sample(view: Bytes, itemsize: int) -> memoryview | None:
    """Some slices of the data, one behind the other; None where the items are too large, or too few."""
    each, items = _SLICE // itemsize, len(view) // itemsize
    count = min(_SLICES, max(2, len(view) // 2**20))
    if not each or items < count * each:
        return None
    starts = (number * (items - each) // (count - 1) * itemsize for number in range(count))
    return memoryview(b"".join(contiguous(view[start : start + each * itemsize]) for start in starts))

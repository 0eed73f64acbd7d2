"""Making Blosc buffers slice by slice, on several processors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from cottoncandy.bodies import BytesLike, Late
from cottoncandy.buffers import BufferPool
from cottoncandy.codecs.blosc.format import (
    BITS,
    BLOCK,
    HEADER,
    UNSPLIT,
    Header,
    beginning,
    block_starts,
)
from cottoncandy.codecs.blosc.ways import Way, choose, pack
from cottoncandy.codecs.pieces import THREADS, slices
from cottoncandy.pools import map_threads
from cottoncandy.scattered import Bytes, contiguous

#: Bytes of data that are packed at once.
_WHOLE = 4 * 2**20
#: Blocks of one slice.
_BLOCKS = 2
#: Bytes of data in one buffer. The format's own limit is that the packed size, too, is below 2**31, however badly the
#: data packs (BLOSC_MAX_BUFFERSIZE): https://github.com/Blosc/c-blosc/blob/main/blosc/blosc.h
LARGEST = 2**31 - 2**24
#: Bytes of data in one buffer of BloscChunks: several of them, and what becomes of them, are in memory at a time.
_CHUNK = 2 * 2**20


def encode(view: Bytes, itemsize: int) -> Iterator[BytesLike | Late]:
    """One buffer, its header and table first: those of a large one are known last."""
    way = choose(view, itemsize)
    if len(view) <= _WHOLE or itemsize > BLOCK:
        yield _in_order(pack(view, itemsize, way))
        return
    form = _form(itemsize, way)
    lengths: list[int] = []
    late = Late(HEADER + 4 * (-(-len(view) // form.block)))
    yield late
    make = partial(_pack_slice, BufferPool(), form, way)
    for packed in map_threads(make, _cut(view, form.block), max(2, THREADS)):
        lengths += packed.lengths
        yield packed.blocks
    late.value = beginning(form._replace(size=len(view)), lengths)


def encode_chunks(view: Bytes, itemsize: int) -> Iterator[BytesLike]:
    """Buffer behind buffer: each tells its own length, so nothing else is needed."""
    way = choose(view, itemsize)
    parts, buffers = slices(view, max(1, _CHUNK // itemsize) * itemsize), BufferPool()

    def make(part: Bytes) -> bytes:
        return _in_order(pack(contiguous(part, buffers), itemsize, way))

    yield from map_threads(make, parts, THREADS, window=THREADS)


@lru_cache
def _form(itemsize: int, way: Way) -> Header:
    """The header of a buffer of several blocks of such items: the size of its blocks follows from that of the items."""
    return Header.parse(pack(memoryview(bytes(2 * BLOCK // itemsize * itemsize)), itemsize, way))


def _cut(view: Bytes, block: int) -> Iterator[Bytes]:
    """Slices of some blocks.

    A last block that is smaller goes with the one before: Blosc never splits it, unless it is the only one.
    """
    starts = range(0, len(view) - block + 1, _BLOCKS * block)
    return (view[start:end] for start, end in pairwise([*starts, len(view)]))


class _Packed(NamedTuple):
    """Some blocks, and how long each is."""

    lengths: list[int]
    blocks: memoryview


def _pack_slice(buffers: BufferPool, form: Header, way: Way, view: Bytes) -> _Packed:
    """Blocks of the common size; the last one may be smaller."""
    data = contiguous(view, buffers)
    raw = pack(data, form.itemsize, way)
    header = Header.parse(raw[:HEADER])
    if header.form != form.form:
        return _shuffled(form, data)
    starts = block_starts(header, memoryview(raw)[HEADER:])
    if np.any(np.diff(starts) < 0):  # threads of Blosc's own put the blocks where there was room
        return _sorted(raw, starts)
    return _Packed(np.diff(starts, append=len(raw)).tolist(), memoryview(raw)[HEADER + 4 * header.blocks :])


def _in_order(raw: bytes) -> bytes:
    """A buffer whose blocks lie in the order of their data: Blosc's own threads put them where there is room."""
    header = Header.parse(raw[:HEADER])
    if header.blocks <= 1:
        return raw
    starts = block_starts(header, memoryview(raw)[HEADER:])
    if not np.any(np.diff(starts) < 0):
        return raw
    ordered = _sorted(raw, starts)
    return beginning(header, ordered.lengths) + ordered.blocks


def _sorted(raw: bytes, starts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> _Packed:
    """The blocks in the order of their data."""
    ends = dict(pairwise([*sorted(starts.tolist()), len(raw)]))
    blocks = [raw[start : ends[start]] for start in starts.tolist()]
    return _Packed([len(block) for block in blocks], memoryview(b"".join(blocks)))


# ------------------------------------------------------------------ data that cannot be packed
def _shuffled(form: Header, data: memoryview) -> _Packed:
    """Blocks of the shuffle alone: the library lays such data down as it is, which only a whole buffer may be."""
    blocks = [_shuffle(form, block) for block in slices(data, form.block)]
    return _Packed([len(block) for block in blocks], memoryview(b"".join(blocks)))


def _shuffle(form: Header, block: memoryview) -> bytes:
    items: np.ndarray[Any, Any] = np.frombuffer(block, np.uint8).reshape(-1, form.itemsize)
    shuffled = _shuffle_bits(items) if form.flags & BITS else items.T
    is_split = not form.flags & UNSPLIT and len(block) == form.block
    streams = shuffled.reshape(form.itemsize if is_split else 1, -1)
    return b"".join(stream.size.to_bytes(4, "little") + stream.tobytes() for stream in streams)


def _shuffle_bits(items: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """For each bit of an item, those of all items; whole eights of items only are shuffled, as the library does it."""
    if len(items) % 8:
        return items
    bits = np.unpackbits(items.T[..., None], axis=-1, bitorder="little")
    return np.packbits(bits.swapaxes(1, 2), axis=-1, bitorder="little")

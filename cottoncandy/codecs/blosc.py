"""Blosc: one Blosc-1 buffer, shuffled by bytes; and BloscChunks, several of them, for what one cannot hold.

A buffer is made of blocks that are packed alone, behind a table of where each begins. So a large one is made and
read here in slices of some blocks, on several processors, and never lies in memory as a whole: the header and the
table, which come first, are made last (`Late`).

The format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from cottoncandy.bodies import BytesLike, Late
from cottoncandy.codecs.pieces import Source, reading, slices
from cottoncandy.codecs.registry import Codec
from cottoncandy.errors import CorruptObject, UnknownCodec
from cottoncandy.parallel import map_threads

# zstd's level 1 behind the shuffle is the densest that keeps up with a fast network; see the table in `codecs`.
_COMPRESSOR, _LEVEL, _SHUFFLE = b"zstd", 1, 1
#: Bytes of data in a block, or a little less: large ones pack better, and half as fast again.
_BLOCK = 2**20
#: Bytes of data that are packed at once.
_WHOLE = 4 * 2**20
#: Blosc makes none of less than 128 bytes, or a whole number of items in them (blosc.c, MIN_BUFFERSIZE): of such a lie
#: the table would take many times the memory of the data.
_LEAST_BLOCK = 64
#: Blocks of one slice, and how many slices are worked on at a time.
_BLOCKS = 2
_THREADS = min(4, os.cpu_count() or 1)
#: Bytes of data in one buffer. The format's own limit is that the packed size, too, is below 2**31, however badly the
#: data packs (BLOSC_MAX_BUFFERSIZE): https://github.com/Blosc/c-blosc/blob/main/blosc/blosc.h
LARGEST = 2**31 - 2**24
#: Of a buffer; and the most that a whole one is larger than its data.
_HEADER = 16
#: Data in one buffer of BloscChunks.
_CHUNK = 8 * 2**20
# zstd's, the densest that Blosc has inside
_EXPANSION = 2**15
#: Flags: the data lies as it is; the blocks are not split into a stream for each byte of the items.
_COPIED, _UNSPLIT = 0x02, 0x10


def _library() -> Any:
    # imported when it is needed: it brings many codecs
    try:
        from numcodecs import blosc
    except ImportError as error:
        raise UnknownCodec("the codec Blosc needs numcodecs: pip install numcodecs") from error
    return blosc


# ------------------------------------------------------------------ the format
class Header(NamedTuple):
    """The first bytes of a buffer; sizes in bytes."""

    versions: bytes
    flags: int
    itemsize: int
    size: int
    block: int
    packed: int

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Read 16 bytes."""
        sizes = (int.from_bytes(raw[start : start + 4], "little") for start in (4, 8, 12))
        return cls(raw[:2], raw[2], raw[3], *sizes)

    @property
    def blocks(self) -> int:
        """How many there are; the last one may be smaller."""
        return 0 if self.flags & _COPIED or not self.size else -(-self.size // self.block)

    def raw(self) -> bytes:
        """The 16 bytes."""
        sizes = b"".join(size.to_bytes(4, "little") for size in (self.size, self.block, self.packed))
        return self.versions + bytes((self.flags, self.itemsize)) + sizes


def _buffer(header: Header, lengths: Iterable[int], blocks: BytesLike) -> bytes:
    """A whole buffer of blocks that lie behind each other."""
    table = _table(lengths)
    packed = header._replace(packed=_HEADER + len(table) + len(blocks))
    return b"".join((packed.raw(), table, blocks))


def _table(lengths: Iterable[int]) -> bytes:
    sizes = np.fromiter(lengths, np.int64)
    first = _HEADER + 4 * len(sizes)
    return (first + np.cumsum(sizes) - sizes).astype("<u4").tobytes()


def _starts(header: Header, raw: BytesLike) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where the blocks begin, by the table."""
    return np.frombuffer(raw, "<u4", header.blocks).astype(np.int64)


# ------------------------------------------------------------------ packing
def pack(data: memoryview, itemsize: int) -> bytes:
    """One buffer."""
    # numcodecs takes the item's size from the array; Blosc itself takes items over 255 bytes for bytes
    packed: bytes = _library().compress(np.frombuffer(data, f"V{itemsize}"), _COMPRESSOR, _LEVEL, _SHUFFLE, _BLOCK)
    return packed


@lru_cache
def _form(itemsize: int) -> Header:
    """The header of a buffer of several blocks of such items: the size of its blocks follows from that of the items."""
    return Header.parse(pack(memoryview(bytes(2 * _BLOCK // itemsize * itemsize)), itemsize))


def _encode(view: memoryview, itemsize: int) -> Iterator[BytesLike | Late]:
    if len(view) <= _WHOLE or itemsize > _BLOCK:
        yield pack(view, itemsize)
        return
    form = _form(itemsize)
    lengths: list[int] = []
    late = Late(_HEADER + 4 * (-(-len(view) // form.block)))
    yield late
    for packed in map_threads(partial(_pack_slice, form), slices(view, _BLOCKS * form.block), max(2, _THREADS)):
        lengths += packed.lengths
        yield packed.blocks
    header = form._replace(size=len(view), packed=late.size + sum(lengths))
    late.value = header.raw() + _table(lengths)


class _Packed(NamedTuple):
    """Some blocks, and how long each is."""

    lengths: list[int]
    blocks: memoryview


def _pack_slice(form: Header, data: memoryview) -> _Packed:
    """Blocks of the common size; the last one may be smaller."""
    raw = pack(data, form.itemsize)
    header = Header.parse(raw[:_HEADER])
    if header.flags & _COPIED or (header.block != form.block and header.blocks != 1):
        return _shuffled(form, data)
    starts = _starts(header, memoryview(raw)[_HEADER:])
    if np.any(np.diff(starts) < 0):  # threads of Blosc's own put the blocks where there was room
        return _sorted(raw, starts)
    return _Packed(np.diff(starts, append=len(raw)).tolist(), memoryview(raw)[_HEADER + 4 * header.blocks :])


def _sorted(raw: bytes, starts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> _Packed:
    """The blocks in the order of their data."""
    ends = dict(pairwise([*sorted(starts.tolist()), len(raw)]))
    blocks = [raw[start : ends[start]] for start in starts.tolist()]
    return _Packed([len(block) for block in blocks], memoryview(b"".join(blocks)))


def _shuffled(form: Header, data: memoryview) -> _Packed:
    """Blocks of data that cannot be packed: the shuffle alone."""
    blocks = [_shuffle(form.itemsize, block) for block in slices(data, form.block)]
    return _Packed([len(block) for block in blocks], memoryview(b"".join(blocks)))


def _shuffle(itemsize: int, block: memoryview) -> bytes:
    items: np.ndarray[Any, Any] = np.frombuffer(block, np.uint8).reshape(-1, itemsize)
    shuffled: bytes = items.T.tobytes()
    return len(block).to_bytes(4, "little") + shuffled


def _encode_chunks(view: memoryview, itemsize: int) -> Iterator[BytesLike]:
    """Buffer behind buffer: each tells its own length, so nothing else is needed."""
    pieces = slices(view, max(1, _CHUNK // itemsize) * itemsize)
    yield from map_threads(lambda piece: pack(piece, itemsize), pieces, _THREADS, window=_THREADS)


# ------------------------------------------------------------------ unpacking
def _decode(chunks: Iterator[BytesLike], out: memoryview) -> None:
    def unpack(group: _Group) -> None:
        _unpack(group, out[group.start : group.stop])

    for _ in map_threads(unpack, _all_groups(chunks, len(out)), _threads(len(out))):
        pass


def _pieces(chunks: Iterator[BytesLike], nbytes: int) -> Iterator[BytesLike]:
    """The data in order: what comes before its turn, as in buffers that others' threads made, is held back."""

    def unpack(group: _Group) -> tuple[int, memoryview]:
        data = np.empty(group.stop - group.start, np.uint8).data
        _unpack(group, data)
        return group.start, data

    early: dict[int, memoryview] = {}
    position = 0
    for start, data in map_threads(unpack, _all_groups(chunks, nbytes), _threads(nbytes)):
        early[start] = data
        while (piece := early.pop(position, None)) is not None:
            yield piece
            position += len(piece)


def _threads(nbytes: int) -> int:
    return _THREADS if nbytes > _BLOCK else 1


def _all_groups(chunks: Iterator[BytesLike], nbytes: int) -> Iterator[_Group]:
    """What is to be unpacked, buffer by buffer, until the stream ends."""
    source, start = Source("Blosc", chunks), 0
    while source.more():
        header = _read_header(source, nbytes - start)
        yield from _groups(source, header, start)
        start += header.size
    if start < nbytes:
        raise CorruptObject(f"there are {start} bytes of data, and the array has {nbytes}")


def _read_header(source: Source, most: int) -> Header:
    header = Header.parse(bytes(source.read(_HEADER)))
    if header.size > most:
        raise CorruptObject(f"there is more data than the {most} bytes that are left of the array")
    sound = not header.size or min(_LEAST_BLOCK, header.size) <= header.block <= header.size
    if header.flags & _COPIED or not header.size:
        sound = sound and header.packed == header.size + _HEADER
    if not (sound and _HEADER + 4 * header.blocks <= header.packed):
        raise CorruptObject("the Blosc stream is broken: its header makes no sense")
    return header


class _Group(NamedTuple):
    """A buffer of some blocks, or data as it is, and which bytes of the array it holds."""

    packed: BytesLike
    start: int
    stop: int
    copied: bool = False


def _groups(source: Source, header: Header, origin: int) -> Iterator[_Group]:
    """A buffer, which begins at ``origin`` of the array, cut into small ones in the order of their bytes.

    Its blocks lie in any order.
    """
    if not header.size:
        return
    if header.flags & _COPIED:
        for start in range(origin, origin + header.size, _BLOCK):
            stop = min(start + _BLOCK, origin + header.size)
            yield _Group(bytes(source.read(stop - start)), start, stop, copied=True)
        return
    starts = _starts(header, source.read(4 * header.blocks))
    order = np.argsort(starts, kind="stable")
    lengths = np.diff(starts[order], append=header.packed)
    if starts[order[0]] != _HEADER + 4 * header.blocks or lengths.min() < 1:
        raise CorruptObject("the Blosc stream is broken: its blocks do not lie one behind the other")
    for begin, end in _runs(order, max(1, _BLOCK // header.block)):
        blocks = source.read(int(lengths[begin:end].sum()))
        first = int(order[begin]) * header.block
        last = min(int(order[end - 1] + 1) * header.block, header.size)
        alone = _alone(header, last - first, lengths[begin:end], blocks)
        yield _Group(alone, origin + first, origin + last)


def _runs(order: np.ndarray[tuple[int], np.dtype[np.int64]], most: int) -> Iterator[tuple[int, int]]:
    """Where blocks follow each other in the data as well, ``most`` at a time."""
    breaks = np.flatnonzero(np.diff(order) != 1) + 1
    for low, high in pairwise(np.concatenate([[0], breaks, [len(order)]])):
        for begin in range(int(low), int(high), most):
            yield begin, min(begin + most, int(high))


def _alone(header: Header, size: int, lengths: Iterable[int], blocks: BytesLike) -> bytes:
    """A buffer of these blocks alone."""
    part = header._replace(size=size, block=min(header.block, size))
    if size < header.block:  # the last block is never split, and here it is the first
        part = part._replace(flags=header.flags | _UNSPLIT)
    return _buffer(part, lengths, blocks)


def _unpack(group: _Group, out: memoryview) -> None:
    if group.copied:
        out[:] = group.packed
        return
    blosc = _library()
    with reading("Blosc"):
        blosc.decompress(group.packed, out)


BLOSC = Codec("Blosc", _encode, _decode, largest=LARGEST, beyond="BloscChunks", expansion=_EXPANSION, pieces=_pieces)
BLOSC_CHUNKS = Codec("BloscChunks", _encode_chunks, _decode, expansion=_EXPANSION, pieces=_pieces)

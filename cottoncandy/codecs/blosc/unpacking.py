"""Reading Blosc buffers block by block, on several processors, while they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from cottoncandy.bodies import BytesLike
from cottoncandy.buffers import BufferPool
from cottoncandy.codecs.blosc.format import (
    BLOCK,
    COPIED,
    HEADER,
    UNSPLIT,
    Header,
    beginning,
    block_starts,
    library,
)
from cottoncandy.codecs.pieces import THREADS, Source, reading
from cottoncandy.errors import CorruptObject
from cottoncandy.parallel import for_each
from cottoncandy.pools import map_threads

#: Blosc makes none of less than 128 bytes, or a whole number of items in them (blosc.c, MIN_BUFFERSIZE): of such a lie
#: the table would take many times the memory of the data.
_LEAST_BLOCK = 64
#: Bytes of data: less is unpacked while threads would start.
_THREADED = 2 * 2**20
_ONE_BLOCK = np.zeros(1, np.int64)


def decode(chunks: Iterator[BytesLike], out: memoryview) -> None:
    """Fill the memory of an array."""

    def unpack(group: _Group) -> None:
        _unpack(group, out[group.start : group.stop])

    # a group is drawn when a thread is free for it: no more than one for each is in memory
    for_each(unpack, _all_groups(chunks, len(out)), _threads(len(out)))


def pieces(chunks: Iterator[BytesLike], nbytes: int) -> Iterator[BytesLike]:
    """The data in order: what comes before its turn, as in buffers that others' threads made, is held back."""

    def unpack(group: _Group) -> tuple[int, memoryview]:
        data = buffers.take(group.stop - group.start)
        _unpack(group, data)
        return group.start, data

    early: dict[int, memoryview] = {}
    position, buffers = 0, BufferPool()
    for start, data in map_threads(unpack, _all_groups(chunks, nbytes), _threads(nbytes)):
        early[start] = data
        while (piece := early.pop(position, None)) is not None:
            yield piece
            position += len(piece)


def _threads(nbytes: int) -> int:
    return THREADS if nbytes > _THREADED else 1


def _all_groups(chunks: Iterator[BytesLike], nbytes: int) -> Iterator[_Group]:
    """What is to be unpacked, buffer by buffer, until the stream ends."""
    source, buffers, start = Source("Blosc", chunks), BufferPool(), 0
    while source.more():
        ahead = source.ahead
        header = _read_header(source, nbytes - start)
        if nbytes <= _THREADED and header.size > 0 and header.packed <= len(ahead):
            yield _at_once(source, header, ahead[: header.packed], start)
        else:
            yield from _groups(source, buffers, header, start)
        start += header.size
    if start < nbytes:
        raise CorruptObject(f"there are {start} bytes of data, and the array has {nbytes}")


def _read_header(source: Source, most: int) -> Header:
    header = Header.parse(bytes(source.read(HEADER)))
    if header.size > most:
        raise CorruptObject(f"there is more data than the {most} bytes that are left of the array")
    sound = not header.size or min(_LEAST_BLOCK, header.size) <= header.block <= header.size
    if header.flags & COPIED or not header.size:
        sound = sound and header.packed == header.size + HEADER
    if not (sound and HEADER + 4 * header.blocks <= header.packed):
        raise CorruptObject("the Blosc stream is broken: its header makes no sense")
    return header


class _Group(NamedTuple):
    """A buffer of some blocks, or data as it is, and which bytes of the array it holds."""

    packed: memoryview
    start: int
    stop: int
    copied: bool = False


def _at_once(source: Source, header: Header, packed: memoryview, origin: int) -> _Group:
    """A buffer that has arrived whole, where it lies: a thread that unpacks alone need not have it cut."""
    rest = source.read(header.packed - HEADER)
    if not header.flags & COPIED:
        _layout(header, rest)
    return _Group(packed, origin, origin + header.size)


def _layout(header: Header, table: BytesLike) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], list[int]]:
    """The numbers of the blocks in the order of their bytes, and how many each has."""
    starts = block_starts(header, table)
    if header.blocks == 1:  # as of most small arrays, of which there are many
        order, lengths = _ONE_BLOCK, [header.packed - int(starts[0])]
    else:
        order = np.argsort(starts, kind="stable")
        lengths = np.diff(starts[order], append=header.packed).tolist()
    if starts[order[0]] != HEADER + 4 * header.blocks or min(lengths) < 1:
        raise CorruptObject("the Blosc stream is broken: its blocks do not lie one behind the other")
    if max(lengths) > header.largest_block:
        raise CorruptObject("the Blosc stream is broken: a block is larger than any data of its size is packed")
    return order, lengths


def _groups(source: Source, buffers: BufferPool, header: Header, origin: int) -> Iterator[_Group]:
    """A buffer, which begins at ``origin`` of the array, cut into small ones in the order of their bytes.

    Its blocks lie in any order.
    """
    if not header.size:
        return
    if header.flags & COPIED:
        for start in range(origin, origin + header.size, BLOCK):
            stop = min(start + BLOCK, origin + header.size)
            data = buffers.take(stop - start)
            source.readinto(data)
            yield _Group(data, start, stop, copied=True)
        return
    order, lengths = _layout(header, source.read(4 * header.blocks))
    for begin, end in _runs(order, max(1, BLOCK // header.block)):
        first = int(order[begin]) * header.block
        last = min(int(order[end - 1] + 1) * header.block, header.size)
        head = _beginning_alone(header, last - first, lengths[begin:end])
        alone = buffers.take(len(head) + sum(lengths[begin:end]))
        alone[: len(head)] = head
        source.readinto(alone[len(head) :])
        yield _Group(alone, origin + first, origin + last)


def _runs(order: np.ndarray[tuple[int], np.dtype[np.int64]], most: int) -> Iterator[tuple[int, int]]:
    """Where blocks follow each other in the data as well, ``most`` at a time."""
    breaks = np.flatnonzero(np.diff(order) != 1) + 1
    for low, high in pairwise(np.concatenate([[0], breaks, [len(order)]])):
        for begin in range(int(low), int(high), most):
            yield begin, min(begin + most, int(high))


def _beginning_alone(header: Header, size: int, lengths: Sequence[int]) -> bytes:
    """The header and the table of a buffer of these blocks alone."""
    part = header._replace(size=size, block=min(header.block, size))
    if size < header.block:  # the last block is never split, and here it is the first
        part = part._replace(flags=header.flags | UNSPLIT)
    return beginning(part, lengths)


def _unpack(group: _Group, out: memoryview) -> None:
    if group.copied:
        out[:] = group.packed
        return
    blosc = library()
    with reading("Blosc"):
        blosc.decompress(group.packed, out)

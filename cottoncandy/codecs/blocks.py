"""Blocks: a layout for any codec. The data is cut, and each block packed alone, so that a slice needs few of them.

::

    block 0, block 1, ..., index
    block = bytes of data, bytes packed, CRC-32 of the packed bytes (three little-endian uint32), packed bytes
    index = for each block the bytes packed (uint32), bytes of data in all (uint64), CRC-32 of these numbers, "CCBI"

A block holds as many whole items as fit into 2 MiB, and at least one; the last one holds what is left. So the number
of blocks, and with it the length of the index at the object's end, follows from the array's description.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cottoncandy.bodies import in_order
from cottoncandy.buffers import BufferPool
from cottoncandy.codecs.pieces import THREADS, Source, deflate, slices
from cottoncandy.codecs.registry import BytesLike, Codec, get_codec
from cottoncandy.errors import ChecksumMismatch, CorruptObject
from cottoncandy.parallel import for_each
from cottoncandy.pools import map_threads
from cottoncandy.scattered import Bytes, contiguous

__all__ = ["SUFFIX", "BlockIndex", "block_size", "in_blocks", "packed_in_blocks"]

#: Behind a codec's name: ``Zstd-blocks``.
SUFFIX = "blocks"
# Bytes of data in a block: codecs find little more in larger ones, and a slice reads one at least.
_BLOCK = 2 * 2**20
_HEADER = struct.Struct("<III")
_TOTAL = struct.Struct("<Q")
_TAIL = struct.Struct("<I4s")
_MAGIC = b"CCBI"


def block_size(itemsize: int) -> int:
    """Bytes of data in each block but the last.

    Examples
    --------
    >>> block_size(8), block_size(12)
    (2097152, 2097144)
    """
    return max(1, _BLOCK // itemsize) * itemsize


def in_blocks(codec: Codec) -> Codec:
    """The codec that packs block by block, on several processors, with another codec."""
    return Codec(
        f"{codec.name}-{SUFFIX}",
        partial(_encode, codec),
        partial(_decode, codec),
        pieces=partial(_pieces, codec),
        fortran=True,  # 0.4.0 does not know it at all
        expansion=codec.expansion,
        gathers=True,
    )


def packed_in_blocks(name: str | None) -> Codec | None:
    """The codec of the single blocks, for the name of a layout in blocks; None for another name."""
    stem, _, layout = (name or "").lower().rpartition("-")
    return get_codec(stem) if layout == SUFFIX and stem else None


# ---------------------------------------------------------------------- packing
def _encode(codec: Codec, view: Bytes, itemsize: int) -> Iterator[BytesLike]:
    size, lengths = block_size(itemsize), []
    pack = partial(_pack, codec, itemsize, BufferPool())
    for block in map_threads(pack, slices(view, size), _threads(len(view), size)):
        lengths.append(len(block) - _HEADER.size)
        yield block
    yield _index_of(lengths, len(view))


def _threads(nbytes: int, size: int) -> int:
    return min(THREADS, -(-nbytes // size))


def _pack(codec: Codec, itemsize: int, buffers: BufferPool, view: Bytes) -> bytearray:
    block, data = bytearray(_HEADER.size), contiguous(view, buffers)
    for piece in in_order(partial(codec.encode, data, itemsize)):
        block += piece
    packed = len(block) - _HEADER.size
    _HEADER.pack_into(block, 0, len(data), packed, deflate.crc32(memoryview(block)[_HEADER.size :]))
    return block


def _index_of(lengths: list[int], nbytes: int) -> bytes:
    table = np.array(lengths, "<u4").tobytes() + _TOTAL.pack(nbytes)
    return table + _TAIL.pack(deflate.crc32(table), _MAGIC)


# ---------------------------------------------------------------------- unpacking
class _Block(NamedTuple):
    """A block with its header, and which bytes of the data it holds."""

    packed: memoryview
    start: int
    stop: int


def _decode(codec: Codec, chunks: Iterator[BytesLike], out: memoryview) -> None:
    def unpack(block: _Block) -> None:
        _unpack(codec, block.packed, out[block.start : block.stop])

    # a block is drawn when a thread is free for it: no more than one for each is in memory
    for_each(unpack, _split(codec, chunks, len(out)), _threads(len(out), _BLOCK))


def _pieces(codec: Codec, chunks: Iterator[BytesLike], nbytes: int) -> Iterator[BytesLike]:
    buffers = BufferPool()

    def unpack(block: _Block) -> memoryview:
        data = buffers.take(block.stop - block.start)
        _unpack(codec, block.packed, data)
        return data

    return map_threads(unpack, _split(codec, chunks, nbytes), _threads(nbytes, _BLOCK))


def _split(codec: Codec, chunks: Iterator[BytesLike], nbytes: int) -> Iterator[_Block]:
    """Each block of a stream; behind the last one, the index is looked at."""
    source, buffers, start = Source(f"{codec.name}-{SUFFIX}", chunks), BufferPool(), 0
    lengths: list[int] = []
    while start < nbytes:
        header = bytes(source.read(_HEADER.size))
        size, packed, _ = _HEADER.unpack(header)
        if not 0 < size <= nbytes - start or packed > _most_packed(size):
            raise CorruptObject(f"block {len(lengths)} makes no sense: {size} bytes, packed {packed}")
        lengths.append(packed)
        # not kept here: its memory takes another one as soon as it is unpacked
        yield _Block(_read_block(source, buffers.take(len(header) + packed), header), start, start + size)
        start += size
    index = _index_of(lengths, nbytes)
    if source.rest(len(index)) != index:
        raise CorruptObject("the index does not fit the blocks before it")


def _read_block(source: Source, memory: memoryview, header: bytes) -> memoryview:
    memory[: len(header)] = header
    source.readinto(memory[len(header) :])
    return memory


def _most_packed(size: int) -> int:
    """What a block may take, packed by whatever codec: no lie of a length makes us take more memory."""
    return 2 * size + 2**16


def _unpack(codec: Codec, block: BytesLike, out: memoryview) -> None:
    """Unpack a block with its header."""
    size, packed, checksum = _HEADER.unpack_from(block)
    body = memoryview(block)[_HEADER.size :]
    if size != len(out) or packed != len(body):
        raise CorruptObject(f"a block has {size} bytes, packed {packed}: not the {len(out)}, {len(body)} of its place")
    if deflate.crc32(body) != checksum:
        raise ChecksumMismatch("the bytes of a block are not those that were stored")
    codec.decode(iter([body]), out)


# ---------------------------------------------------------------------- single blocks
@dataclass(frozen=True)
class BlockIndex:
    """Where the blocks of an object lie.

    Attributes
    ----------
    block : int
        Bytes of data in each block but the last.
    nbytes : int
        Bytes of data in all.
    starts : numpy.ndarray
        Where each block begins in the object; and, last, where the index does.
    """

    block: int
    nbytes: int
    starts: npt.NDArray[Any]

    @staticmethod
    def length(nbytes: int, itemsize: int) -> int:
        """Bytes of the index at the end of an object."""
        return -(-nbytes // block_size(itemsize)) * 4 + _TOTAL.size + _TAIL.size

    @classmethod
    def parse(cls, data: BytesLike, nbytes: int, itemsize: int, size: int) -> BlockIndex:
        """Read the index.

        Parameters
        ----------
        data : bytes-like
            The last `length` bytes of the object.
        nbytes, itemsize : int
            Of the array.
        size : int
            Of the object.

        Raises
        ------
        CorruptObject
            If it is no index, is damaged, or does not fit the object.
        """
        table = memoryview(data)[: -_TAIL.size]
        checksum, magic = _TAIL.unpack_from(data, len(table))
        if magic != _MAGIC or deflate.crc32(table) != checksum:
            raise CorruptObject("there is no index of blocks at its end, or it is damaged")
        (total,) = _TOTAL.unpack(table[-_TOTAL.size :])
        if total != nbytes:
            raise CorruptObject(f"its metadata tells of {nbytes} bytes, its index of {total}")
        blocks = np.frombuffer(table[: -_TOTAL.size], "<u4").astype(np.int64) + _HEADER.size
        starts = np.concatenate([[0], np.cumsum(blocks)])
        most = _HEADER.size + _most_packed(block_size(itemsize))
        if starts[-1] + len(data) != size or (len(blocks) and blocks.max() > most):
            raise CorruptObject(f"the index tells of {starts[-1]} bytes of blocks, in an object of {size}")
        return cls(block_size(itemsize), nbytes, starts)

    def span(self, number: int) -> tuple[int, int]:
        """The bytes of the object that are a block."""
        return int(self.starts[number]), int(self.starts[number + 1])

    def data_span(self, number: int) -> tuple[int, int]:
        """The bytes of the data that are in a block."""
        return number * self.block, min((number + 1) * self.block, self.nbytes)

    def unpack(self, codec: Codec, block: BytesLike, out: memoryview) -> None:
        """Unpack a block, as it lies in the object, into memory of the size of its data.

        Raises
        ------
        CorruptObject
        """
        _unpack(codec, block, out)

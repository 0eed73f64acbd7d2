"""LZ4: a block behind its length; and LZ4Frame, the standard frame, for what no block can hold."""

from __future__ import annotations

from collections.abc import Iterator

import cramjam
import lz4.frame
import numpy as np

from cottoncandy.codecs.pieces import Source, reading, slices
from cottoncandy.codecs.registry import BytesLike, Codec
from cottoncandy.codecs.standard import decoder, unpacker
from cottoncandy.errors import CorruptObject

#: LZ4_MAX_INPUT_SIZE: bytes of data in one block. https://github.com/lz4/lz4/blob/dev/lib/lz4.h
LARGEST = 0x7E000000
#: A match takes a byte for each 255 of its length.
_EXPANSION = 255


def _encode(view: memoryview, _itemsize: int) -> Iterator[BytesLike]:
    """4 bytes of length, and the block. A block cannot be made piece by piece: it lies in memory, packed."""
    # pages of it that are not written to take no memory
    packed = np.empty(4 + cramjam.lz4.compress_block_bound(view), np.uint8).data
    yield packed[: cramjam.lz4.compress_block_into(view, packed, store_size=True)]


def _decode(chunks: Iterator[BytesLike], out: memoryview) -> None:
    source = Source("LZ4", chunks)
    size = int.from_bytes(source.read(4), "little")
    if size != len(out):
        raise CorruptObject(f"there are {size} bytes of data, and the array has {len(out)}")
    # LZ4_compressBound: the most that a block of so much data has
    packed = source.rest(size + size // 255 + 16)
    # the engine takes no empty memory
    target = out or memoryview(bytearray(1))
    with reading("LZ4"):
        count = cramjam.lz4.decompress_block_into(packed, target, output_len=len(target))
    if count != size:
        raise CorruptObject(f"there are {count} bytes of data, and the array has {size}")


def _encode_frame(view: memoryview, _itemsize: int) -> Iterator[BytesLike]:
    engine = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB, content_checksum=True)
    yield engine.begin(len(view))
    for piece in slices(view):
        if packed := engine.compress(piece):
            yield packed
    yield engine.flush()


LZ4 = Codec("LZ4", _encode, _decode, largest=LARGEST, beyond="LZ4Frame", expansion=_EXPANSION)
# a name of its own: no old reader may take a frame for a block
# https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
_FRAME_PIECES = unpacker("LZ4Frame", lz4.frame.LZ4FrameDecompressor)
LZ4_FRAME = Codec("LZ4Frame", _encode_frame, decoder(_FRAME_PIECES), expansion=_EXPANSION, pieces=_FRAME_PIECES)

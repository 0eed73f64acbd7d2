"""LZ4: a block behind its length; and LZ4Frame, the standard frame, for what no block can hold.

The engine makes a block of all the data, and unpacks one that it has as a whole. Here it is packed slice by slice
(`cottoncandy.codecs.lz4block`), and unpacked in the memory of the data itself, whose end it fills at first.
"""

from __future__ import annotations

from collections.abc import Iterator

import cramjam
import lz4.frame

from cottoncandy.codecs.lz4block import pack
from cottoncandy.codecs.pieces import Source, one_by_one, reading
from cottoncandy.codecs.registry import BytesLike, Codec, InPlace
from cottoncandy.codecs.standard import decoder, unpacker
from cottoncandy.errors import CorruptObject
from cottoncandy.scattered import Bytes

#: LZ4_MAX_INPUT_SIZE: bytes of data in one block. https://github.com/lz4/lz4/blob/dev/lib/lz4.h
LARGEST = 0x7E000000
#: A match takes a byte for each 255 of its length.
_EXPANSION = 255
#: Bytes of the length before a block.
_LENGTH = 4


def _encode(view: Bytes, _itemsize: int) -> Iterator[BytesLike]:
    yield len(view).to_bytes(_LENGTH, "little")
    yield from pack(view)


def _decode(chunks: Iterator[BytesLike], out: memoryview) -> None:
    """For memory of the data alone: the packed bytes lie in other memory meanwhile."""
    source = Source("LZ4", chunks)
    _check_length(source.read(_LENGTH), len(out))
    _unpack(source.rest(_most_packed(len(out))), out)


def _most_packed(nbytes: int) -> int:
    """The most that a block of so much data has (LZ4_compressBound)."""
    return nbytes + nbytes // 255 + 16


def _check_length(told: BytesLike, nbytes: int) -> None:
    size = int.from_bytes(told, "little")
    if size != nbytes:
        raise CorruptObject(f"there are {size} bytes of data, and the array has {nbytes}")


def _unpack(block: BytesLike, out: memoryview) -> None:
    # the engine takes no empty memory
    target = out or memoryview(bytearray(1))
    with reading("LZ4"):
        count = cramjam.lz4.decompress_block_into(block, target, output_len=len(target))
    if count != len(out):
        raise CorruptObject(f"there are {count} bytes of data, and the array has {len(out)}")


# ---------------------------------------------------------------------- in place
def _room(packed: int, nbytes: int) -> int:
    """How far behind its beginning the end of a block must lie, to be read before it is written over.

    LZ4_DECOMPRESS_INPLACE_MARGIN of lz4.h is 32 bytes of this: too few, as the engine writes up to 31 bytes more than
    a match has, and the end of a block may have 2 bytes more than that share beside its data.
    """
    if packed - _LENGTH > _most_packed(nbytes):
        raise CorruptObject("the LZ4 stream goes on behind its end")
    return nbytes + (packed >> 8) + 64


def _unpack_in_place(memory: memoryview, packed: int, nbytes: int) -> None:
    body = memory[len(memory) - packed :]
    if packed <= _LENGTH:
        raise CorruptObject("the LZ4 stream ends too early")
    _check_length(body[:_LENGTH], nbytes)
    _unpack(body[_LENGTH:], memory[:nbytes])


# ---------------------------------------------------------------------- frames
def _encode_frame(view: Bytes, _itemsize: int) -> Iterator[BytesLike]:
    # with blocks of 4 MiB the engine, and what is on its way, take three times the memory; none packs better
    engine = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX1MB, content_checksum=True)
    yield engine.begin(len(view))
    for piece in one_by_one(view):
        if packed := engine.compress(piece):
            yield packed
    yield engine.flush()


LZ4 = Codec(
    "LZ4",
    _encode,
    _decode,
    largest=LARGEST,
    beyond="LZ4Frame",
    expansion=_EXPANSION,
    in_place=InPlace(_room, _unpack_in_place),
    gathers=True,
)
# a name of its own: no old reader may take a frame for a block
# https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
_FRAME_PIECES = unpacker("LZ4Frame", lz4.frame.LZ4FrameDecompressor)
LZ4_FRAME = Codec(
    "LZ4Frame",
    _encode_frame,
    decoder(_FRAME_PIECES),
    expansion=_EXPANSION,
    pieces=_FRAME_PIECES,
    gathers=True,
)

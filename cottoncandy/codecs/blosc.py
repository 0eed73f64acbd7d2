"""Blosc: one Blosc-1 buffer, shuffled by bytes; and BloscChunks, several of them, for what one cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cottoncandy.codecs.pieces import Source, reading, slices
from cottoncandy.codecs.registry import BytesLike, Codec
from cottoncandy.errors import CorruptObject, UnknownCodec

#: BLOSC_MAX_BUFFERSIZE: bytes of data in one buffer. https://github.com/Blosc/c-blosc/blob/main/blosc/blosc.h
LARGEST = 2**31 - 17
#: A buffer's header, and the most that it is larger than its data.
_OVERHEAD = 16
#: Data in one buffer of BloscChunks.
_CHUNK = 8 * 2**20
# zstd's, the densest that Blosc has inside
_EXPANSION = 2**15


def _library() -> Any:
    try:
        from numcodecs import blosc
    except ImportError as error:
        raise UnknownCodec("the codec Blosc needs numcodecs: pip install 'cottoncandy[blosc]'") from error
    return blosc


def _encode(view: memoryview, itemsize: int) -> Iterator[BytesLike]:
    # numcodecs takes the item's size from the array; Blosc itself takes items over 255 bytes for bytes
    yield _library().compress(np.frombuffer(view, f"V{itemsize}"), b"zstd", 1, 1)


def _encode_chunks(view: memoryview, itemsize: int) -> Iterator[BytesLike]:
    """Buffer behind buffer: each tells its own length, so nothing else is needed."""
    for piece in slices(view, max(1, _CHUNK // itemsize) * itemsize):
        yield from _encode(piece, itemsize)


def _decode(chunks: Iterator[BytesLike], out: memoryview) -> None:
    source, left = Source("Blosc", chunks), out
    while source.more():
        left = left[_fill_from_buffer(source, left) :]
    if left:
        raise CorruptObject(f"there are {len(out) - len(left)} bytes of data, and the array has {len(out)}")


def _fill_from_buffer(source: Source, out: memoryview) -> int:
    """Unpack the next buffer into the beginning of ``out``; how much data that was.

    The format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
    """
    header = bytes(source.read(_OVERHEAD))
    size, packed_size = (int.from_bytes(header[start : start + 4], "little") for start in (4, 12))
    if size > len(out):
        raise CorruptObject(f"there is more data than the {len(out)} bytes that are left of the array")
    if not _OVERHEAD <= packed_size <= size + _OVERHEAD:
        raise CorruptObject("the Blosc stream is broken: its header makes no sense")
    packed = source.read(packed_size - _OVERHEAD, header)
    if size:
        blosc = _library()
        with reading("Blosc"):
            blosc.decompress(packed, out[:size])
    return size


BLOSC = Codec("Blosc", _encode, _decode, largest=LARGEST, beyond="BloscChunks", expansion=_EXPANSION)
BLOSC_CHUNKS = Codec("BloscChunks", _encode_chunks, _decode, expansion=_EXPANSION)

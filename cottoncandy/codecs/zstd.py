"""Zstd: one frame, with the size of its content in the header."""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

from cottoncandy.codecs.pieces import THREADS, Source, reading
from cottoncandy.codecs.registry import BytesLike, Codec
from cottoncandy.codecs.standard import Packer, decoder, encoder
from cottoncandy.errors import CorruptObject

#: From here on threads pack the frame: 1.6 times as fast with 2 of them. Below, starting them costs more.
THREADED = 4 * 2**20
# Bytes of data that a thread packs at a time, half of what they are by default: the engine holds half as much. Each
# time it looks back as far as one thread that packs all of it would (by default an eighth of that): rows of 200 kB that
# repeat pack into 1/338 instead of 1/12, all else as well, and about as fast as with larger ones.
_JOB = 2**20
_LOOKS_BACK = 9


def _packer(nbytes: int) -> Packer:
    if nbytes < THREADED:
        return zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj(size=nbytes)
    # one thread makes the same bytes as three, none makes others: the body must not depend on the machine. Nor on
    # chance: where the last job is a full one, and is begun before the end is told, an empty block comes behind it
    job = _JOB + (nbytes % _JOB == 0)
    settings = zstandard.ZstdCompressionParameters.from_level(
        1,
        source_size=nbytes,
        threads=THREADS,
        job_size=job,
        overlap_log=_LOOKS_BACK,
        write_checksum=True,
        write_content_size=True,
    )
    return zstandard.ZstdCompressor(compression_params=settings).compressobj(size=nbytes)


def _pieces(chunks: Iterator[BytesLike], nbytes: int) -> Iterator[BytesLike]:
    source = Source("Zstd", chunks)
    head = bytes(source.read(5))
    with reading("Zstd"):
        size = zstandard.frame_header_size(head)
    head = bytes(source.read(size - len(head), head))
    with reading("Zstd"):
        frame = zstandard.get_frame_parameters(head)
    if frame.content_size not in {nbytes, zstandard.CONTENTSIZE_UNKNOWN}:
        raise CorruptObject(f"there are {frame.content_size} bytes of data, and the array has {nbytes}")
    yield from _blocks(source, head, checksum=frame.has_checksum)
    source.rest(0)


def _blocks(source: Source, head: bytes, *, checksum: bool) -> Iterator[bytes]:
    """A frame's data, block by block: each gives 128 KiB at most, where the engine itself knows no bound.

    The format: https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
    """
    engine = zstandard.ZstdDecompressor().decompressobj()
    packed: BytesLike = head
    last = False
    while not last:
        with reading("Zstd"):
            data = engine.decompress(packed)
        yield data
        header = int.from_bytes(source.read(3), "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        # a block of kind 1 is one byte, to be repeated ``size`` times
        packed = source.read(1 if kind == 1 else size, header.to_bytes(3, "little"))
    packed = source.read(4 if checksum else 0, packed)
    with reading("Zstd"):
        data = engine.decompress(packed)
    yield data
    if not engine.eof:
        raise CorruptObject("the Zstd stream ends too early")


# 128 KiB in a block of kind 1, which has 4 bytes
ZSTD = Codec("Zstd", encoder(_packer), decoder(_pieces), expansion=2**15, pieces=_pieces, gathers=True)

"""gzip, Zlib and BZ2; and decoding for all engines that have the manners of `bz2.BZ2Decompressor`."""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from cottoncandy.codecs.pieces import SLICE, deflate, fill, one_by_one, reading, slices
from cottoncandy.codecs.registry import BytesLike, Codec, Decode, Encode, Pieces
from cottoncandy.errors import CorruptObject
from cottoncandy.scattered import Bytes

#: Packed bytes go into an engine in slices of this size: it keeps a copy of what it could not use yet.
_FEED = 2**16


class Packer(Protocol):
    """An engine that packs a stream, slice by slice."""

    def compress(self, data: memoryview, /) -> bytes:
        """Take data; give what is packed so far."""
        ...

    def flush(self) -> bytes:
        """Give the rest."""
        ...


class Unpacker(Protocol):
    """An engine with the manners of `bz2.BZ2Decompressor`."""

    @property
    def eof(self) -> bool:
        """Whether the stream's end was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether it has nothing more to give for what it was given."""
        ...

    @property
    def unused_data(self) -> bytes | None:
        """What it was given behind the stream's end, if anything."""
        ...

    def decompress(self, data: BytesLike, max_length: int) -> bytes:
        """Take packed bytes; give ``max_length`` bytes of data at most."""
        ...


def encoder(new: Callable[[int], Packer]) -> Encode:
    """Encoding by an engine that ``new(nbytes)`` makes; it gathers what lies scattered."""

    def encode(view: Bytes, _itemsize: int) -> Iterator[BytesLike]:
        engine = new(len(view))
        for piece in one_by_one(view):
            if packed := engine.compress(piece):
                yield packed
        yield engine.flush()

    return encode


def unpacker(name: str, new: Callable[[], Unpacker]) -> Pieces:
    """Unpacking by engines that ``new()`` makes: one for each of the streams that follow each other in a body."""

    def pieces(chunks: Iterator[BytesLike], _nbytes: int) -> Iterator[BytesLike]:
        return _unpack(name, new, chunks)

    return pieces


def decoder(pieces: Pieces) -> Decode:
    """Decoding by an unpacker."""

    def decode(chunks: Iterator[BytesLike], out: memoryview) -> None:
        fill(pieces(chunks, len(out)), out)

    return decode


def _unpack(name: str, new: Callable[[], Unpacker], chunks: Iterator[BytesLike]) -> Iterator[bytes]:
    engine = new()
    for packed in (piece for chunk in chunks for piece in slices(chunk, _FEED)):
        rest: BytesLike = packed
        while len(rest):
            # gzip and bzip2 allow several streams in one file
            engine = new() if engine.eof else engine
            yield from _drain(name, engine, rest)
            rest = engine.unused_data or b""
    if not engine.eof:
        raise CorruptObject(f"the {name} stream ends too early")


def _drain(name: str, engine: Unpacker, packed: BytesLike) -> Iterator[bytes]:
    """All data that some packed bytes give, in pieces: 64 KiB of gzip may be 64 MiB of zeros."""
    while True:
        with reading(name):
            piece = engine.decompress(packed, SLICE)
        yield piece
        if engine.eof or engine.needs_input:
            return
        packed = b""


class _Inflater:
    """A deflate stream (gzip's or zlib's) with the manners of `bz2.BZ2Decompressor`."""

    def __init__(self, wbits: int) -> None:
        self._engine = deflate.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def unused_data(self) -> bytes:
        return self._engine.unused_data

    def decompress(self, data: BytesLike, max_length: int) -> bytes:
        piece = self._engine.decompress(self._engine.unconsumed_tail or data, max_length)
        # a full piece: there may be more of it inside the engine, though all the input is used
        self.needs_input = not self._engine.unconsumed_tail and len(piece) < max_length
        return piece


def _deflater(wbits: int, _nbytes: int) -> Packer:
    # the header of a gzip stream has no file name and no time: the same data makes the same bytes
    return deflate.compressobj(1, deflate.DEFLATED, wbits)


def _deflate_codec(name: str, wbits: int, *, fortran: bool) -> Codec:
    pieces = unpacker(name, partial(_Inflater, wbits))
    return Codec(
        name,
        encoder(partial(_deflater, wbits)),
        decoder(pieces),
        fortran=fortran,
        pieces=pieces,
        # the longest match, 258 bytes, takes 2 bits: https://zlib.net/zlib_tech.html
        expansion=1032,
        gathers=True,
    )


# wbits: https://docs.python.org/3/library/zlib.html#zlib.compressobj
GZIP = _deflate_codec("gzip", 31, fortran=True)
ZLIB = _deflate_codec("Zlib", 15, fortran=False)
_BZ2_PIECES = unpacker("BZ2", bz2.BZ2Decompressor)
BZ2 = Codec(
    "BZ2",
    encoder(lambda _nbytes: bz2.BZ2Compressor(9)),
    decoder(_BZ2_PIECES),
    pieces=_BZ2_PIECES,
    # in a block of 900 kB 5 bytes may stand for 259, and it packs into some 40 bytes: about 2**20
    expansion=2**21,
    gathers=True,
)

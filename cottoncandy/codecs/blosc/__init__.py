"""Blosc: one Blosc-1 buffer of shuffled items; and BloscChunks, several of them, for what one cannot hold.

A buffer is made of blocks that are packed alone, behind a table of where each begins. So a large one is made and
read here in slices of some blocks, on several processors, and never lies in memory as a whole: the header and the
table, which come first, are made last (`cottoncandy.bodies.Late`). Imports go one way: ``format`` knows no other
module, ``ways`` chooses how the blocks are packed, ``packing`` makes buffers, ``unpacking`` reads them.
"""

from __future__ import annotations

from cottoncandy.codecs.blosc.packing import LARGEST, encode, encode_chunks
from cottoncandy.codecs.blosc.unpacking import decode, pieces
from cottoncandy.codecs.blosc.ways import is_compressible
from cottoncandy.codecs.registry import Codec

__all__ = ["BLOSC", "BLOSC_CHUNKS", "is_compressible"]

# of zstd, the densest that Blosc has inside
_EXPANSION = 2**15

BLOSC = Codec(
    "Blosc",
    encode,
    decode,
    largest=LARGEST,
    beyond="BloscChunks",
    expansion=_EXPANSION,
    pieces=pieces,
    gathers=True,
)
BLOSC_CHUNKS = Codec("BloscChunks", encode_chunks, decode, expansion=_EXPANSION, pieces=pieces, gathers=True)

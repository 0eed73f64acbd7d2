"""Compression: a registry of codecs, each a name and two functions over a stream of bytes.

Encoding takes the memory of an array and yields the packed bytes as they are made; decoding takes them as they
arrive and writes straight into the memory of the new array. Neither makes a second copy of the data.

Levels and libraries were chosen by measurement. MB/s of data in and out, and the ratio, of 128 MB on 2 cores of a
Xeon with AVX-512, the median or best of 2 to 5 runs (they vary by a fifth):

=========================  ===================  ===================
codec                      random float64       smooth float32
=========================  ===================  ===================
gzip, isal 1 (chosen)      330, 240, 1.04       350, 510, 3.77
gzip, isal 3               120, 250, 1.04       160, 650, 3.93
gzip, zlib 1               26, 120, 1.04        52, 138, 3.86
Zstd 1 (chosen)            370, 790, 1.04       400, 690, 4.07
Zstd 3                     280, 700, 1.04       320, 720, 4.15
LZ4, cramjam               770, 10000, 1.00     510, 2200, 2.61
LZ4, in slices (chosen)    7000, 16700, 1.00    720, 3500, 2.61
LZ4, python-lz4            690, 700, 1.00       440, 410, 2.61
Blosc, zstd 1              520, 1490, 1.07      660, 1270, 5.20
Blosc, lz4 5               1620, 6100, 1.06     1690, 3740, 3.31
BZ2 9                      6, 17, 1.02          12, 37, 9.38
=========================  ===================  ===================

(LZ4's slices were measured later: two threads pack, one unpacks, in place.)

Blosc packs in blocks. Of one processor's time (an EPYC, 32 MB, the best of 3), MB/s in and out, and the ratio:

==============================  ===================  ===================
Blosc, byte shuffle             random float64       smooth float32
==============================  ===================  ===================
zstd 1, blocks of 32 KiB        285, 1010, 1.07      380, 635, 5.37
zstd 1, of 256 KiB              444, 1024, 1.10      391, 902, 5.72
zstd 1, of 1 MiB                526, 1800, 1.13      521, 1417, 5.62
zstd 5, of 1 MiB                120, 1890, 1.14      52, 943, 6.39
==============================  ===================  ===================

Blocks have 512 KiB: as fast as those of 1 MiB, some per cent larger at worst, and half the memory while they are
unpacked, which is twice their size for each thread. Those of 256 KiB would do for most data (within 5 %), but rows of
200 kB that repeat would take twice the bytes.

What is inside such a buffer, a sample of the data tells: no way to pack is good at everything. lz4 behind a shuffle of
bits takes half the time of zstd for smooth numbers, and as many bytes; masks it packs twenty times worse. The fastest
way is taken whose bytes are within a tenth of the fewest: a network is slower than any of them, so bytes count.
``python -m benchmarks.ways`` prints them for ten kinds of data; the page on performance has the table.

So ``small_array`` is Blosc. ``large_array``, from where one buffer ends, is Zstd, which 0.4.0 reads.

isal's levels 1 and 2 find little in long repeats of noise (equal rows of random numbers: ratio 2.7, where level 3
has 169 and Zstd more): Zstd is the codec for such data.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cottoncandy.codecs.registry import (
    BytesLike,
    Codec,
    InPlace,
    codec_for,
    codec_names,
    get_codec,
    register,
    register_later,
    register_layout,
)

if TYPE_CHECKING:
    from cottoncandy.codecs.blosc.ways import is_compressible
    from cottoncandy.codecs.pieces import fill

__all__ = [
    "BytesLike",
    "Codec",
    "InPlace",
    "codec_for",
    "codec_names",
    "fill",
    "get_codec",
    "is_compressible",
    "register",
    "register_layout",
]

for _name, _where in (
    ("gzip", "standard.GZIP"),
    ("Zlib", "standard.ZLIB"),
    ("BZ2", "standard.BZ2"),
    ("Zstd", "zstd.ZSTD"),
    ("LZ4", "lz4.LZ4"),
    ("LZ4Frame", "lz4.LZ4_FRAME"),
    ("Blosc", "blosc.BLOSC"),
    ("BloscChunks", "blosc.BLOSC_CHUNKS"),
):
    register_later(_name, f"{__name__}.{_where}")


def _in_blocks(codec: Codec) -> Codec:
    from cottoncandy.codecs.blocks import in_blocks

    return in_blocks(codec)


register_layout("blocks", _in_blocks)


#: What an array that is not packed needs nothing of: where it is.
_ELSEWHERE = {"fill": "pieces", "is_compressible": "blosc.ways"}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ELSEWHERE})

"""Compression: a registry of codecs, each a name and two functions over a stream of bytes.

Encoding takes the memory of an array and yields the packed bytes as they are made; decoding takes them as they
arrive and writes straight into the memory of the new array. Neither makes a second copy of the data. Libraries, levels
and the size of blocks were chosen by measurement, which ``docs/performance.md`` reports ("How arrays are packed").
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

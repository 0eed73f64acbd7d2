"""One LZ4 block, made slice by slice on several processors.

A block is made of sequences: a token with two lengths, literals, and where a match lies that is copied behind them.
The last one has literals alone. So the blocks of slices become one where the literals that end one of them and those
that begin the next are written as one run; what they say of matches stays as it is, as it counts backwards.

Source: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import cramjam

from cottoncandy.buffers import BufferPool
from cottoncandy.codecs.pieces import THREADS, one_by_one, slices
from cottoncandy.codecs.registry import BytesLike
from cottoncandy.pools import map_threads
from cottoncandy.scattered import Bytes, contiguous

__all__ = ["SLICE", "pack"]

#: Bytes of data that are packed alone. A match is 64 KiB away at most, so little is lost between two.
SLICE = 2**20
# A length up to here stands in the token; bytes of 255 and a last one that is less go on.
_IN_TOKEN = 15
_GOES_ON = 255
_FULL_BYTES = re.compile(b"\xff*")
# Literals that end a block, at least (LASTLITERALS, in lz4.c).
_LEAST_LAST = 5
# Literals of the two ends with which a place is tried: a match has so many bytes behind it, at least (MFLIMIT).
_ENDS = (12, 13)
# How a long run begins, and the bytes of the longest one that is none: a token, two full bytes, a last one of 254, and
# literals.
_LONG_RUN = b"\xf0\xff\xff\xff"
_LONGEST_SHORT = 1 + 3 + _IN_TOKEN + 2 * _GOES_ON + 254


class _Literals(NamedTuple):
    """The literals of a sequence: how many, and where in the block."""

    length: int
    start: int


class _Packed(NamedTuple):
    """The block of a slice, but for the literals at both ends.

    Attributes
    ----------
    first, last : int
        How many literals there are at its beginning, and at its end.
    match : int
        The lower half of the first token: of the length of the match behind the first literals.
    between : memoryview
        What lies behind the first literals, up to the last sequence.
    """

    first: int
    last: int
    match: int
    between: memoryview


def pack(view: Bytes) -> Iterator[BytesLike]:
    """The block of some data, in pieces. Literals are those of the data's own memory, or gathered once more."""
    if len(view) <= SLICE:
        yield memoryview(cramjam.lz4.compress_block(contiguous(view), store_size=False))
        return
    buffers, start, written = BufferPool(), 0, 0
    for packed, size in map_threads(lambda data: (_pack(buffers, data), len(data)), slices(view, SLICE), THREADS):
        if packed is not None:
            literals = view[written : start + packed.first]
            yield _token(len(literals), packed.match)
            yield from one_by_one(literals)
            yield packed.between
            written = start + size - packed.last
        start += size
    yield _token(len(view) - written, 0)
    yield from one_by_one(view[written:])


def _token(literals: int, match: int) -> bytes:
    """What stands before a run of literals."""
    if literals < _IN_TOKEN:
        return bytes([literals << 4 | match])
    full, rest = divmod(literals - _IN_TOKEN, _GOES_ON)
    return bytes([_IN_TOKEN << 4 | match]) + b"\xff" * full + bytes([rest])


def _pack(buffers: BufferPool, data: Bytes) -> _Packed | None:
    """A slice; None where all of it is literals, or may as well be."""
    block = bytes(cramjam.lz4.compress_block(contiguous(data, buffers), store_size=False))
    if len(block) >= len(data):
        return None
    first, last = _literals(block, 0), _last_sequence(block, buffers.take(len(data) + max(_ENDS)))
    if not last:  # it is the first one, or none was found
        return None
    between = memoryview(block)[first.start + first.length : last]
    return _Packed(first.length, len(block) - _literals(block, last).start, block[0] & 0xF, between)


def _literals(block: bytes, token: int) -> _Literals:
    """The literals of the sequence whose token stands there."""
    length, start = block[token] >> 4, token + 1
    if length < _IN_TOKEN:
        return _Literals(length, start)
    match = _FULL_BYTES.match(block, start)
    end = match.end() if match else start
    # where the block ends before the length does, that is no token
    rest = block[end] if end < len(block) else len(block)
    return _Literals(length + _GOES_ON * (end - start) + rest, end + 1)


# ---------------------------------------------------------------------- the last sequence
def _last_sequence(block: bytes, scratch: memoryview) -> int:
    """Where the token of the last sequence stands; 0 where that is not found.

    What looks like it is tried, though it be the only one: what is joined at a wrong place would be lost.
    """
    found = (token for token in _tokens_before_the_end(block) if _reaches_the_end(block, token))
    return next((token for token in found if _is_boundary(block, token, scratch)), 0)


def _tokens_before_the_end(block: bytes) -> Iterator[int]:
    """Where it may stand; the encoder leaves the lower half of the token empty."""
    nearest, far = len(block) - 1 - _LEAST_LAST, len(block) - _LONGEST_SHORT
    yield from (token for token in range(nearest, max(far, 0) - 1, -1) if not block[token] & 0xF)
    while (far := block.rfind(_LONG_RUN, 0, far + len(_LONG_RUN) - 1)) >= 0:
        yield far


def _reaches_the_end(block: bytes, token: int) -> bool:
    literals = _literals(block, token)
    return literals.start + literals.length == len(block)


def _is_boundary(block: bytes, token: int, scratch: memoryview) -> bool:
    """Whether a sequence begins there, and not only what looks like one: other ends fit to what is before it.

    Taken as a part of an earlier sequence, the bytes of these ends tell of more than there is; and as the literals of
    one they cannot have both lengths.
    """
    return all(_is_sound(block[:token] + _token(literals, 0) + b"\xff" * literals, scratch) for literals in _ENDS)


def _is_sound(block: bytes, scratch: memoryview) -> bool:
    try:
        cramjam.lz4.decompress_block_into(block, scratch, output_len=len(scratch))
    except (cramjam.DecompressionError, ValueError):
        return False
    return True

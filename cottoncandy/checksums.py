"""One checksum for bytes that arrive in any order: XXH3 of the XXH3 of each MiB. No I/O.

The bytes are cut into blocks of 1 MiB; the last one holds what is left. The checksum is XXH3 (64 bits, seed 0) of the
digests of all blocks, one behind the other, each in its canonical form of 8 big-endian bytes. So threads can work on
one array, and the reader of a range can hash its blocks while they are in the processor's cache.

One core of a Xeon hashes 14 GB/s that come from memory, in blocks of 1 and of 4 MiB; 11 in those of 256 KiB, which cost
more calls. What is in the cache it hashes with 36 GB/s, if that is 1 MiB, and 33, if it is 4.

The algorithm: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import partial

import xxhash

from cottoncandy.bodies import BytesLike
from cottoncandy.buffers import BufferPool
from cottoncandy.errors import ChecksumMismatch, CorruptObject
from cottoncandy.parallel import gather
from cottoncandy.scattered import Bytes, Scattered, contiguous

__all__ = ["BLOCK", "KEY", "Filled", "Running", "checksum", "compare", "of_pieces", "of_texts", "parse"]

#: The metadata key, in lower case. It tells the algorithm.
KEY = "xxh3-list"
#: Bytes of a block.
BLOCK = 2**20
# Bytes that one job of a thread takes; less than two of them are hashed before a thread has started.
_JOB = 16 * BLOCK
# Bytes that all threads gather at a time, of what lies scattered: the more, the less often what is near each other is
# read, and nothing else takes memory meanwhile.
_GATHERED = 32 * BLOCK
_CORES = os.cpu_count() or 1
_FORM = re.compile("[0-9a-f]{16}")


def checksum(view: BytesLike | Scattered, threads: int = 1) -> str:
    """The checksum of bytes in memory: 16 hexadecimal digits.

    Parameters
    ----------
    view : bytes-like or Scattered
    threads : int
        How many may work on it, where it is large.

    Examples
    --------
    >>> checksum(b'array'), checksum(bytes(3 * 2**20)) == checksum(bytes(3 * 2**20), threads=2)
    ('dce13278cc08caca', True)
    """
    view = view if isinstance(view, Scattered) else memoryview(view)
    if 0 < len(view) <= BLOCK:
        return xxhash.xxh3_64_hexdigest(xxhash.xxh3_64_digest(contiguous(view)))
    threads = max(1, min(threads, _CORES)) if len(view) >= 2 * _JOB else 1
    size = _JOB if isinstance(view, memoryview) else max(1, min(_JOB, _GATHERED // threads) // BLOCK) * BLOCK
    jobs = [view[start : start + size] for start in range(0, len(view), size)]
    return _combined(gather(partial(_digests, BufferPool()), jobs, threads))


def of_pieces(pieces: Iterable[BytesLike]) -> str:
    """The checksum of bytes that come one behind the other.

    Examples
    --------
    >>> of_pieces([b'arr', b'ay']) == checksum(b'array')
    True
    """
    running = Running()
    for piece in pieces:
        running.update(piece)
    return running.hexdigest()


def of_texts(texts: Iterable[str]) -> str:
    """XXH3 of texts that have no line break, one on each line: 16 hexadecimal digits.

    Examples
    --------
    >>> of_texts(['<f8', '4,5,6'])
    '4499d8890cbf2e3a'
    """
    # what has a lone surrogate was never written by us
    return xxhash.xxh3_64_hexdigest("\n".join(texts).encode(errors="backslashreplace"))


def _digests(buffers: BufferPool, view: Bytes) -> bytes:
    data = contiguous(view, buffers)
    return b"".join([xxhash.xxh3_64_digest(data[start : start + BLOCK]) for start in range(0, len(data), BLOCK)])


def _combined(digests: Iterable[bytes]) -> str:
    return xxhash.xxh3_64_hexdigest(b"".join(digests))


def parse(text: str | None) -> str | None:
    """The checksum that a metadata value tells; None where there is none.

    Raises
    ------
    CorruptObject
        If the value is no checksum.

    Examples
    --------
    >>> parse('DCE13278CC08CACA'), parse(None)
    ('dce13278cc08caca', None)
    """
    if text is None or _FORM.fullmatch(text):
        return text
    lower = text.strip().lower()
    if _FORM.fullmatch(lower) is None:
        raise CorruptObject(f"its metadata has {text!r:.50} for {KEY}, which is no checksum of 16 hexadecimal digits")
    return lower


def compare(found: str, expected: str) -> None:
    """Hold what was computed to what was stored.

    Raises
    ------
    ChecksumMismatch
    """
    if found != expected:
        raise ChecksumMismatch("the bytes that arrived are not those that were stored")


class Filled:
    """The checksum of memory that is being filled, from several ends by several threads.

    Parameters
    ----------
    view : memoryview

    Examples
    --------
    >>> memory = bytearray(2 * 2**20 + 5)
    >>> filled = Filled(memoryview(memory))
    >>> filled.grown(2**20, len(memory))  # the second block and the rest, while the first one is still on its way
    >>> filled.grown(0, 2**20)
    >>> filled.hexdigest() == checksum(memory)
    True
    """

    __slots__ = ("_digests", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._digests: list[bytes] = [b""] * -(-len(view) // BLOCK)

    def grown(self, start: int, stop: int) -> None:
        """Bytes ``start <= i < stop`` are there, to stay: those blocks of them that are whole are hashed.

        Call it again with the same ``start`` while a range grows. Each block belongs to one range alone.
        """
        last = len(self._digests) if stop == len(self._view) else stop // BLOCK
        # backwards: before one that is done all are, up to the beginning of the range
        for number in range(last - 1, -(-start // BLOCK) - 1, -1):
            if self._digests[number]:
                return
            self._hash(number)

    def _hash(self, number: int) -> None:
        self._digests[number] = xxhash.xxh3_64_digest(self._view[number * BLOCK : (number + 1) * BLOCK])

    def hexdigest(self) -> str:
        """The checksum, when all of the memory is filled: blocks that two ranges share are hashed now."""
        for number, digest in enumerate(self._digests):
            if not digest:
                self._hash(number)
        return _combined(self._digests)


class Running:
    """The checksum of pieces that come one behind the other, and are not kept.

    Examples
    --------
    >>> running = Running()
    >>> for piece in (b'arr', b'ay'):
    ...     running.update(piece)
    >>> running.hexdigest() == checksum(b'array')
    True
    """

    __slots__ = ("_block", "_digests", "_room")

    def __init__(self) -> None:
        self._digests = xxhash.xxh3_64()
        self._block, self._room = xxhash.xxh3_64(), BLOCK

    def update(self, piece: BytesLike) -> None:
        """Take the next bytes."""
        rest = memoryview(piece).cast("B")
        while rest:
            part = rest[: self._room]
            self._block.update(part)
            self._room -= len(part)
            rest = rest[len(part) :]
            if not self._room:
                self._close_block()

    def _close_block(self) -> None:
        self._digests.update(self._block.digest())
        self._block, self._room = xxhash.xxh3_64(), BLOCK

    def hexdigest(self) -> str:
        """The checksum, when all pieces were given; no more may follow."""
        if self._room < BLOCK:
            self._close_block()
        return self._digests.hexdigest()

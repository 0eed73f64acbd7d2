"""What a Blosc-1 buffer is: a header, a table of where each block begins, and the blocks, each packed alone.

Source: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cottoncandy.bodies import BytesLike
from cottoncandy.errors import UnknownCodec

#: Bytes of a header; and the most that a whole buffer is larger than its data.
HEADER = 16
#: Bytes of data in a block of ours, or a little less: large ones pack better, and half as fast again. The library takes
#: many times its size while it works, for each thread.
BLOCK = 2**19
#: Flags: the data lies as it is; bits are shuffled, not bytes; the blocks are not split into a stream for each byte of
#: the items.
COPIED, BITS, UNSPLIT = 0x02, 0x04, 0x10


def library() -> Any:
    """The library that numcodecs has, imported when it is needed: it brings many codecs.

    In the main thread it would work with threads of its own, behind one lock for all processes that were forked: one
    that is interrupted or killed at a bad moment leaves it locked, and all others wait for ever. Its threads are
    switched off, as zarr does it, unless somebody has chosen; what is large is cut into slices here.
    """
    try:
        from numcodecs import blosc
    except ImportError as error:
        raise UnknownCodec("the codec Blosc needs numcodecs: pip install numcodecs") from error
    if blosc.use_threads is None:
        blosc.use_threads = False
    if not _THREAD.is_settled:
        _THREAD.is_settled = True
        _settle(blosc)
    return blosc


class _Thread(threading.local):
    is_settled = False


_THREAD = _Thread()
#: Scraps of a size that glibc keeps for a thread (TCACHE_FILL_COUNT), and one more:
#: https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.c
_KEPT = 8


def _settle(blosc: Any) -> None:
    """Let the allocator keep its scraps while they are small.

    For each call the library takes aligned memory, twice the size of a block, and glibc cuts what it has to that size.
    The first seven scraps of a size stay with the thread, unmerged, where they are: memory that was freed below one is
    too short for the next call, which takes new one. So each thread came to hold seven times the memory it used.
    """
    few = bytes(256)
    for _ in range(_KEPT):
        blosc.decompress(blosc.compress(few, b"lz4", 1, 1, 0))


class Header(NamedTuple):
    """The first bytes of a buffer; sizes in bytes."""

    versions: bytes
    flags: int
    itemsize: int
    size: int
    block: int
    packed: int

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Read 16 bytes."""
        sizes = (int.from_bytes(raw[start : start + 4], "little") for start in (4, 8, 12))
        return cls(raw[:2], raw[2], raw[3], *sizes)

    @property
    def form(self) -> tuple[int, int, int]:
        """What blocks of one buffer have in common."""
        return self.flags, self.itemsize, self.block

    @property
    def blocks(self) -> int:
        """How many there are; the last one may be smaller."""
        return 0 if self.flags & COPIED or not self.size else -(-self.size // self.block)

    @property
    def largest_block(self) -> int:
        """Bytes that a block may take, packed: its data and the length of each stream; and what snappy may add."""
        return self.block + 4 * max(1, self.itemsize) + self.block // 6 + 32

    def raw(self) -> bytes:
        """The 16 bytes."""
        sizes = b"".join(size.to_bytes(4, "little") for size in (self.size, self.block, self.packed))
        return self.versions + bytes((self.flags, self.itemsize)) + sizes


def beginning(header: Header, lengths: Sequence[int]) -> bytes:
    """The header and the table of a buffer whose blocks have such lengths and lie behind each other."""
    first = HEADER + 4 * len(lengths)
    starts = first + np.cumsum([0, *lengths])
    packed = header._replace(packed=int(starts[-1]))
    return packed.raw() + starts[:-1].astype("<u4").tobytes()


def block_starts(header: Header, raw: BytesLike) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where the blocks begin, by the table."""
    return np.frombuffer(raw, "<u4", header.blocks).astype(np.int64)

"""What the codecs share: cutting memory into slices, filling it from pieces, reading exact counts of bytes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, overload

from cottoncandy.buffers import BufferPool
from cottoncandy.codecs.registry import BytesLike
from cottoncandy.errors import CorruptObject
from cottoncandy.extras import loaded_kinds
from cottoncandy.scattered import Bytes, Scattered, contiguous

try:
    from isal import isal_zlib as deflate
except ImportError:  # a platform that isal has no wheel for: the same formats, slower
    import zlib as deflate  # type: ignore[no-redef]

__all__ = ["SLICE", "THREADS", "Source", "deflate", "fill", "one_by_one", "reading", "slices"]

#: Threads of a codec at most: with four, what they hold and what is being sent come to more than 64 MiB.
THREADS = min(3, os.cpu_count() or 1)
#: Data passes a codec in slices of this size: the interpreter's share is small, and a slice stays in the cache.
SLICE = 2**20
# What lies scattered is gathered in larger ones: more of what is near to each other goes at once.
_GATHERED = 4 * SLICE

#: What the engines raise for bytes that they cannot make sense of.
_ENGINE_ERRORS: tuple[Any, ...] = (
    deflate.error,
    zlib.error,
    OSError,  # bz2
    EOFError,
    RuntimeError,  # lz4.frame, numcodecs
    ValueError,
)
#: Modules and the errors that they raise.
_ELSEWHERE = (("zstandard", "ZstdError"), ("cramjam", "DecompressionError"))


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Call an engine: what it raises becomes `CorruptObject`.

    Around calls of an engine only: an OSError of the connection that brings the bytes means something else.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (*_ENGINE_ERRORS, *loaded_kinds(_ELSEWHERE))):
            raise
        raise CorruptObject(f"the {name} stream is broken: {error}") from error


@overload
def slices(view: BytesLike, size: int = SLICE) -> Iterator[memoryview]: ...
@overload
def slices(view: Bytes, size: int = SLICE) -> Iterator[Bytes]: ...
def slices(view: BytesLike | Bytes, size: int = SLICE) -> Iterator[Bytes]:
    """Bytes in slices of at most ``size``; none when there are none. What lies scattered is not gathered yet."""
    view = view if isinstance(view, Scattered) else memoryview(view)
    return (view[start : start + size] for start in range(0, len(view), size))


def one_by_one(view: Bytes) -> Iterator[memoryview]:
    """Contiguous slices, to be used one after the other; what lies scattered is gathered as they are drawn."""
    buffers = BufferPool()
    for part in slices(view, _GATHERED):
        yield from slices(contiguous(part, buffers))


def fill(pieces: Iterator[BytesLike], out: memoryview) -> None:
    """Write pieces of data into a memoryview, one behind the other.

    Raises
    ------
    CorruptObject
        If they are more or fewer bytes than it takes.
    """
    filled = 0
    for piece in pieces:
        end = filled + len(piece)
        if end > len(out):
            raise CorruptObject(f"there is more data than the {len(out)} bytes of the array")
        out[filled:end] = piece
        filled = end
    if filled < len(out):
        raise CorruptObject(f"there are {filled} bytes of data, and the array has {len(out)}")


class Source:
    """Reads exact counts of bytes out of a stream of chunks."""

    def __init__(self, name: str, chunks: Iterator[BytesLike]) -> None:
        self._name = name
        self._chunks = chunks
        self._rest = memoryview(b"")

    def more(self) -> bool:
        """Whether there is another byte."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = memoryview(chunk)
        return True

    @property
    def ahead(self) -> memoryview:
        """What has arrived and was not read yet, where it lies."""
        return self._rest

    def _take(self, most: int) -> memoryview:
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken

    def read(self, count: int, head: BytesLike = b"") -> BytesLike:
        """``head``, and behind it the next ``count`` bytes; use them before the next call.

        Raises
        ------
        CorruptObject
            If there are not so many.
        """
        if not head and count <= len(self._rest):
            return self._take(count)
        taken, count = bytearray(head), count + len(head)
        while len(taken) < count:
            if not self.more():
                raise CorruptObject(f"the {self._name} stream ends too early")
            taken += self._take(count - len(taken))
        return taken

    def readinto(self, view: memoryview) -> None:
        """Fill the view with the next bytes.

        Raises
        ------
        CorruptObject
            If there are not so many.
        """
        filled = 0
        while filled < len(view):
            if not self.more():
                raise CorruptObject(f"the {self._name} stream ends too early")
            piece = self._take(len(view) - filled)
            view[filled : filled + len(piece)] = piece
            filled += len(piece)

    def rest(self, most: int) -> bytearray:
        """All that is left.

        Raises
        ------
        CorruptObject
            If that is more than ``most`` bytes.
        """
        taken = bytearray()
        while self.more():
            taken += self._take(most + 1 - len(taken))
            if len(taken) > most:
                raise CorruptObject(f"the {self._name} stream goes on behind its end")
        return taken

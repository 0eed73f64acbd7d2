"""What an object's bytes are made of on their way: memory, or pieces of it one behind the other."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

BytesLike = bytes | bytearray | memoryview
Arrived = TypeVar("Arrived")


class Late:
    """The beginning of a body, which is known when all the rest is made: a table of where things lie.

    An encoder yields it first, and sets `value` before it ends.

    Attributes
    ----------
    size : int
        Bytes.
    value : bytes or None
    """

    __slots__ = ("size", "value")

    def __init__(self, size: int) -> None:
        self.size = size
        self.value: bytes | None = None


def in_order(encode: Callable[[], Iterator[BytesLike | Late]]) -> Iterator[BytesLike]:
    """The bytes of a body one behind the other. Where its beginning is known last, it is made twice."""
    pieces = encode()
    first = next(pieces, b"")
    if not isinstance(first, Late):
        yield first
        yield from cast("Iterator[BytesLike]", pieces)
        return
    for _ in pieces:
        pass
    again = encode()
    second = cast("Late", next(again))
    yield first.value or b""
    yield from cast("Iterator[BytesLike]", again)
    if second.value != first.value:
        raise ValueError("an encoder made another body of the same data the second time")


def arrived(given: Arrived | None, file: Any) -> Arrived:
    """What a file of the caller's gave.

    Raises
    ------
    BlockingIOError
        If it gave None: it does not block, and nothing is there yet. That is not its end.
    """
    if given is None:
        name = getattr(file, "name", type(file).__name__)
        raise BlockingIOError(
            errno.EAGAIN, f"file {name!r} gives nothing now, and is not at its end: make it blocking (os.set_blocking)"
        )
    return given


def read_bytes(file: Any, most: int) -> bytes:
    """The next bytes of a file of the caller's, to keep; none at its end. What was opened as text gives str.

    Raises
    ------
    BlockingIOError
    """
    block = arrived(file.read(most), file)
    if isinstance(block, str):
        return block.encode()
    # other memory than bytes may be filled anew by the next read
    return block if isinstance(block, bytes) else bytes(memoryview(block))

"""What an object's bytes are made of on their way: memory, or pieces of it one behind the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

BytesLike = bytes | bytearray | memoryview


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

"""An encrypted object on its way down."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cottoncandy.backends.base import ObjectHead, ObjectReader
from cottoncandy.backends.encrypted.segments import OVERHEAD, Segments
from cottoncandy.errors import DecryptionError, TransientError

if TYPE_CHECKING:
    from typing_extensions import Self

# Bytes that were asked for and are not needed: up to so many are read, so that the connection can be used again.
_DRAINED = 128 * 1024


class _Over(ObjectReader):
    """A reader of some bytes over another one, which may bring more behind them."""

    def __init__(self, source: ObjectReader, head: ObjectHead, start: int, stop: int) -> None:
        self._source, self._left = source, source.stop - source.start
        self.head, self.start, self.stop = head, start, stop
        self._position = start

    def close(self) -> None:
        # a connection with bytes left cannot be used again: where they are few, they are read
        if self._position == self.stop and 0 < self._left <= _DRAINED:
            with contextlib.suppress(TransientError):
                self._source.readexactly(memoryview(bytearray(self._left)))
        self._left = 0
        self._source.close()


class Shortened(_Over):
    """Some bytes of an answer that brings more of them behind, or of which none are wanted."""

    def __init__(self, source: ObjectReader, start: int, stop: int) -> None:
        super().__init__(source, source.head, start, stop)

    def readinto(self, buffer: memoryview) -> int:
        count = self._source.readinto(buffer[: self.stop - self._position]) if self._position < self.stop else 0
        self._position += count
        self._left -= count
        return count


class SealedTag(str):
    """The e_tag of an encrypted object, which also tells its seal.

    A reader of an object holds its several requests to one version. An e_tag is the store's word, and the store
    could give each answer another object's mark with it: the seal is what our side compares.

    Attributes
    ----------
    stored : str or None
        As the store gives it. It is what this is equal to, but for a store that gives none.
    seal : str
    """

    __slots__ = ("seal", "stored")
    stored: str | None
    seal: str

    def __new__(cls, stored: str | None, seal: str) -> Self:
        self = super().__new__(cls, seal if stored is None else stored)
        self.stored, self.seal = stored, seal
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stored, self.seal)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted object.

    Attributes
    ----------
    head : ObjectHead
        With the size of the plain text, the user's metadata, and a `SealedTag`.
    segments : Segments
    seal : str
        What tells it from all others.
    where : str
        How errors name it.
    """

    head: ObjectHead
    segments: Segments
    seal: str
    where: str

    @property
    def last(self) -> int:
        """The number of the last segment."""
        return self.head.size // self.segments.layout.size

    def length(self, number: int) -> int:
        """Bytes of the plain text in a segment."""
        size = self.segments.layout.size
        return min(size, self.head.size - number * size)

    def unseal(self, number: int, sealed: memoryview, plain: memoryview) -> None:
        """Decrypt a segment into memory of its length."""
        try:
            self.segments.unseal(number, sealed, plain, last=number == self.last)
        except DecryptionError as error:
            raise DecryptionError(f"{self.where}: {error}") from None


class EncryptedReader(_Over):
    """Bytes of an encrypted object: each is handed out when its segment has been verified.

    Parameters
    ----------
    source : ObjectReader
        The stored bytes of the segments that hold them, from the beginning of the first one.
    sealed : Sealed
    start, stop : int
        Of the plain text, none of them behind its end.
    """

    def __init__(self, source: ObjectReader, sealed: Sealed, start: int, stop: int) -> None:
        super().__init__(source, sealed.head, start, stop)
        self._sealed = sealed
        self._scratch = memoryview(b"")
        self._kept = memoryview(b"")
        if not self.head.size:
            self._next_segment(0, memoryview(bytearray()))  # that it is empty is no word of the store's

    def readinto(self, buffer: memoryview) -> int:
        buffer = buffer[: self.stop - self._position]
        if not buffer:
            return 0
        if not self._kept:
            number, skipped = divmod(self._position, self._sealed.segments.layout.size)
            length = self._sealed.length(number)
            if not skipped and len(buffer) >= length:  # straight to where it is wanted
                self._unseal(number, buffer[:length])
                self._position += length
                return length
            plain = memoryview(bytearray(length))
            self._unseal(number, plain)
            self._kept = plain[skipped:]
        count = min(len(buffer), len(self._kept))
        buffer[:count] = self._kept[:count]
        self._kept = self._kept[count:]
        self._position += count
        return count

    def _unseal(self, number: int, plain: memoryview) -> None:
        self._next_segment(number, plain)
        if number + 1 == self._sealed.last and self.stop == self.head.size and not self._sealed.length(number + 1):
            self._next_segment(number + 1, memoryview(bytearray()))  # the end is the end only if it says so

    def _next_segment(self, number: int, plain: memoryview) -> None:
        size = len(plain) + OVERHEAD
        if len(self._scratch) < size:
            self._scratch = memoryview(bytearray(size))
        sealed = self._scratch[:size]
        count = self._source.readexactly(sealed)
        self._left -= count
        if count < size:
            raise TransientError(f"{self._sealed.where}: the answer ended within a segment")
        self._sealed.unseal(number, sealed, plain)

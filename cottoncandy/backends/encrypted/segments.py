"""The format of an encrypted body: sealed segments one behind the other. No I/O.

Each full segment holds `size` bytes of the plain text, and the last one less: what is left, perhaps nothing. So an
object of ``n`` bytes has ``n // size + 1`` segments, and the last of them is always there: where one was cut off, the
end is missing. A segment is stored as ``nonce (12) | cipher text | tag (16)``; its number and whether it is the last
are its associated data. The key is the object's own, so no segment of another object fits.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cottoncandy.errors import DecryptionError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12
TAG = 16
#: Bytes that a segment takes in the store beside its own.
OVERHEAD = NONCE + TAG
#: Bytes: no segment is larger, whatever metadata say.
LARGEST_SEGMENT = 64 * 2**20
_PLACE = struct.Struct(">Q?")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the bytes of an object lie.

    Attributes
    ----------
    size : int
        Bytes of the plain text in a full segment.
    """

    size: int

    @property
    def stored(self) -> int:
        """Bytes of a full segment in the store."""
        return self.size + OVERHEAD

    def stored_size(self, plain: int) -> int:
        """Bytes that an object of ``plain`` bytes takes in the store.

        Examples
        --------
        >>> Layout(100).stored_size(250), Layout(100).stored_size(0)
        (334, 28)
        """
        return plain + OVERHEAD * (plain // self.size + 1)

    def plain_size(self, stored: int) -> int | None:
        """Bytes of the object that takes ``stored`` bytes; None if there is none: its end is cut off."""
        full, rest = divmod(stored, self.stored)
        return full * self.size + rest - OVERHEAD if rest >= OVERHEAD else None

    def most(self, stored: int) -> int:
        """Bytes of the largest object that takes at most ``stored`` bytes."""
        full, rest = divmod(stored, self.stored)
        return max(0, full * self.size + max(rest - OVERHEAD, -1))

    def asked(self, start: int, stop: int | None) -> tuple[int, int | None]:
        """The stored bytes to ask for, where the object's size is not known: those that may be needed.

        Where the range ends with a segment, the next one may be the last and empty, which is to be seen, too.
        """
        first = start // self.size * self.stored
        if stop is None:
            return first, None
        full, rest = divmod(max(start, stop), self.size)
        return first, full * self.stored + (self.stored if rest else OVERHEAD)

    def needed(self, start: int, stop: int, plain: int) -> tuple[int, int]:
        """The stored bytes that must be read for ``start <= i < stop`` of ``plain`` bytes; up to the end, also that."""
        if start == stop and plain:
            return 0, 0
        last = plain // self.size if stop == plain else (stop - 1) // self.size
        return start // self.size * self.stored, min((last + 1) * self.stored, self.stored_size(plain))


class Segments:
    """The segments of one object: how they lie, and its key.

    Attributes
    ----------
    layout : Layout
    """

    __slots__ = ("_cipher", "layout")

    def __init__(self, cipher: AESGCM, layout: Layout) -> None:
        self._cipher = cipher
        self.layout = layout

    def sealed_size(self, plain: int, *, final: bool) -> int:
        """Bytes that `seal` makes of ``plain`` bytes."""
        return plain + OVERHEAD * (plain // self.layout.size + final)

    def seal(self, plain: memoryview, first: int, sealed: memoryview, *, final: bool) -> None:
        """Encrypt bytes into memory of `sealed_size`, as segments from number ``first`` on.

        With ``final``, what is left behind the full ones, perhaps nothing, is the last segment of the object.
        """
        size, stored = self.layout.size, self.layout.stored
        count = len(plain) // size + final
        # drawn at random, not counted: sending a part twice, with other bytes, breaks nothing
        nonces = os.urandom(NONCE * count)
        for i in range(count):
            part, nonce = plain[i * size : (i + 1) * size], nonces[i * NONCE : (i + 1) * NONCE]
            place, start = _PLACE.pack(first + i, final and i == count - 1), i * stored
            sealed[start : start + NONCE] = nonce
            self._cipher.encrypt_into(nonce, part, place, sealed[start + NONCE : start + OVERHEAD + len(part)])

    def unseal(self, number: int, sealed: memoryview, plain: memoryview, *, last: bool) -> None:
        """Decrypt one segment into memory of exactly its length.

        Raises
        ------
        DecryptionError
            If it is not what was sealed as this segment of this object.
        """
        from cryptography.exceptions import InvalidTag

        try:
            self._cipher.decrypt_into(sealed[:NONCE], sealed[NONCE:], _PLACE.pack(number, last), plain)
        except InvalidTag:
            raise DecryptionError(f"segment {number} of its encrypted bytes is not what was stored there") from None

"""The body of an upload: bytes that are sent from where they lie."""

from __future__ import annotations

import io

from cottoncandy import progress
from cottoncandy.backends.base import MIB, BytesLike

#: Bytes. urllib3 asks for 16 KiB at a time, which costs a call and a system call each.
_LEAST_BLOCK = 1 * MIB


class Payload:
    """A file over memory, whose reads are views of that memory.

    botocore takes no memoryview, and would copy a slice. It takes a file that it can read, rewind and measure.

    Attributes
    ----------
    view : memoryview
        All of the bytes: a client that can send a buffer takes them from here.
    ended : bool
        Whether all was asked for, or more than there is: a client that reads block by block has sent them all then.
    """

    def __init__(self, body: BytesLike) -> None:
        self.view = memoryview(body).cast("B")
        self._position = 0
        self.ended = not len(self.view)
        self._sent = progress.sent_counter()

    def __len__(self) -> int:
        return len(self.view)

    def read(self, size: int | None = -1) -> memoryview | bytes:
        """The next bytes; more than ``size`` where that is little: at least `_LEAST_BLOCK`."""
        everything = size is None or size < 0
        stop = len(self.view) if everything else self._position + max(size or 0, _LEAST_BLOCK)
        block = self.view[self._position : stop]
        if self._sent is not None:
            self._sent(self._position)  # a client that asks for more has sent what came before
        self._position += len(block)
        self.ended = everything or not len(block)
        # a client that reads to the end looks for b"", which a memoryview of nothing is not for all
        return block if len(block) else b""

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill (a part of) the buffer; how much it was. awscrt reads so."""
        block = self.view[self._position : self._position + len(buffer)]
        buffer[: len(block)] = block
        self._position += len(block)
        self.ended = self._position >= len(self.view)
        return len(block)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another position; the new one."""
        self._position = offset + (0, self._position, len(self.view))[whence]
        self.ended = not len(self.view)
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

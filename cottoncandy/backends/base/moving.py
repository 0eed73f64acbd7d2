"""Objects on their way down and up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from cottoncandy.backends.base.facts import BytesLike, ObjectHead, Receipt

if TYPE_CHECKING:
    from typing_extensions import Self


class ObjectReader(ABC):
    """The answer to one read request: the object's head at once, its bytes as they come.

    Use it as a context manager: closing gives the connection back, or drops it where bytes were
    left unread. It belongs to one thread.

    Attributes
    ----------
    head : ObjectHead
        Of the whole object, whatever range was asked for.
    start, stop : int
        The bytes of the object that this reader yields, ``start <= i < stop``.
    """

    head: ObjectHead
    start: int
    stop: int

    @abstractmethod
    def readinto(self, buffer: memoryview) -> int:
        """Fill (a part of) a writeable buffer of bytes; 0 means that ``stop`` is reached.

        Raises
        ------
        TransientError
            If the connection breaks or ends early; what was read so far is right.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection or file. May be called twice."""

    def take(self, view: memoryview) -> bool:
        """Fill the view with all that is left, and close, if so many bytes are at hand; else do nothing.

        A small object comes whole with its answer: taken so, it passes by all that reading may need.
        """
        return False

    def extend(self) -> bool:
        """Go on to the end of the object, if the answer brings all of it anyway: `stop` is there then.

        For who wants all of it: some servers know no ranges, and send the whole object each time. Whether this is one.
        """
        return False

    def readexactly(self, buffer: memoryview) -> int:
        """Fill the buffer, or as much of it as there are bytes; how much it was."""
        filled = 0
        while filled < len(buffer):
            count = self.readinto(buffer[filled:])
            if not count:
                break
            filled += count
        return filled

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class MultipartUpload(ABC):
    """An object on its way up in parts. Nothing of it can be seen before `complete`."""

    @abstractmethod
    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        """Send part ``number`` (from 1). May run in several threads where the limits say so.

        Parameters
        ----------
        number : int
        body : bytes-like
        start : int, optional
            Where in the object the part begins, in bytes. Callers that send parts out of order tell it: a backend that
            changes the bytes on their way, as to encrypt them, needs it.
        """

    @abstractmethod
    def complete(self) -> Receipt:
        """Make one object of the parts, in the order of their numbers."""

    @abstractmethod
    def abort(self) -> None:
        """Throw the parts away. May be called after a failed `complete`; never raises for a gone upload."""

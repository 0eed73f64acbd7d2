"""Bodies of HTTP/1.1, read strictly: of known length, in chunks, or up to the end of their connection.

Source: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from cottoncandy.backends.s3.lean.answers import LARGEST_HEAD, Head
from cottoncandy.backends.s3.lean.connections import RECEIVE, BadAnswer, ClosedEarly, Connection
from cottoncandy.backends.s3.lean.failures import body_failure

if TYPE_CHECKING:
    from typing_extensions import Self

#: Bytes of a line between chunks at most.
LARGEST_LINE = 2**12
#: Bytes that are read at once where the caller has no buffer of their own: a false length must not exhaust the memory.
_BLOCK = 2**22
_WITHOUT_BODY = frozenset({204, 304})
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


class Check(Protocol):
    """What looks at a body as it is read.

    Attributes
    ----------
    algorithm : str
    """

    algorithm: str

    def update(self, piece: memoryview) -> None:
        """Take the next piece."""

    def finish(self) -> None:
        """Raise if the body, now at its end, is not what was stored."""


class Asked(Protocol):
    """What an error tells of a request."""

    @property
    def url(self) -> str:
        """Where it went."""


class ResponseBody:
    """The body of an answer, as boto3's ``StreamingBody``: read it, or read it straight into memory.

    When all is read, its connection goes back to the pool; closed before, the connection is closed with it.
    This one is of known length.

    Parameters
    ----------
    connection : Connection
    length : int
    request : Asked
        For errors.
    release : callable
        Takes the connection back; None where it cannot be used again.

    Attributes
    ----------
    ended : bool
        Whether all is read.
    check : Check or None
        To be set before the first byte is read.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_count",
        "_failure",
        "_left",
        "_length",
        "_release",
        "_request",
        "check",
        "closed",
        "ended",
    )

    def __init__(
        self, connection: Connection, length: int | None, request: Asked, release: Callable[[Connection], None] | None
    ) -> None:
        self.ended = False
        self.closed = False
        self.check: Check | None = None
        self._connection = connection
        self._length = length
        self._left = length or 0  # bytes of which it is known that they come next
        self._count = 0
        self._request = request
        self._release = release
        self._failure: Exception | None = None
        if length == 0:
            self._finish()
        else:
            connection.close_with(self)

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or as much of it as there are bytes; 0 at the end.

        Raises
        ------
        IncompleteReadError, ReadTimeoutError, ResponseStreamingError
            Of `botocore.exceptions`. What earlier calls read is right.
        """
        if self.closed:
            raise ValueError("the body is closed")
        view = memoryview(buffer).cast("B")
        start = self._count
        while self._count - start < len(view) and not self.ended and self._failure is None:
            try:
                self._count += self._read_some(view[self._count - start :])
            except (OSError, BadAnswer) as error:
                self._failure = body_failure(error, self._request.url, self._count, self._length)
                self._connection.close()
        if self._failure is not None and self._count == start:  # else the next call tells
            raise self._failure
        if self.check is not None:
            self._look_at(self.check, view[: self._count - start])
        return self._count - start

    def take(self, view: memoryview) -> bool:
        """Fill the view with all that is left, if so many bytes are here already."""
        if self._left != len(view) or not self._is_here():
            return False
        self._connection.read_into(view)
        self._end_here()
        return True

    def _is_here(self) -> bool:
        """Whether all that is left was received already, and can be handed over as it is."""
        known = self._length is not None and self._left <= self._connection.buffered
        return known and self.check is None and not (self.ended or self.closed)

    def _end_here(self) -> None:
        self._count += self._left
        self._left = 0
        self._finish()

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes, fewer only at the end; without a size all there are."""
        wanted = math.inf if size is None or size < 0 else size
        if self._left <= wanted and self._is_here():
            content = self._connection.received(self._left)
            self._end_here()
            return content
        pieces = []
        while wanted > 0 and not self.ended:
            piece = bytearray(int(min(wanted, self._left or RECEIVE, _BLOCK)))
            count = self.readinto(piece)
            if not count:
                break
            pieces.append(memoryview(piece)[:count])
            wanted -= count
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection up; it is kept where the whole rest of the body is here already."""
        if not self.ended and self._length is not None and self._connection.skip(self._left):
            self._finish()
        self.closed = True
        if not self.ended:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read_some(self, view: memoryview) -> int:
        """Read at least a byte, or none at the end."""
        count = self._connection.read_into(view[: self._left])
        if not count:
            raise ClosedEarly("the connection was closed before the end of the body")
        self._left -= count
        if not self._left and self._length is not None:
            self._finish()
        return count

    def _finish(self) -> None:
        self.ended = True
        if self._release is None:
            self._connection.close()
        else:
            self._release(self._connection)

    def _look_at(self, check: Check, piece: memoryview) -> None:
        check.update(piece)
        if self.ended:
            self.check = None
            check.finish()


class _ChunkedBody(ResponseBody):
    """A body in chunks; trailers are read and passed over."""

    __slots__ = ("_between",)

    def __init__(
        self, connection: Connection, length: int | None, request: Asked, release: Callable[[Connection], None] | None
    ) -> None:
        super().__init__(connection, length, request, release)
        self._between = False  # whether a chunk was read, and the end of its line is still to come

    def _read_some(self, view: memoryview) -> int:
        if not self._left:
            self._next_chunk()
        return 0 if self.ended else super()._read_some(view)

    def _next_chunk(self) -> None:
        connection = self._connection
        if self._between and connection.read_until(b"\r\n", LARGEST_LINE):
            raise BadAnswer("a chunk is longer than it says")
        self._between = True
        size = connection.read_until(b"\r\n", LARGEST_LINE).partition(b";")[0].strip()
        if _CHUNK_SIZE.fullmatch(size) is None:
            raise BadAnswer(f"no size of a chunk: {size[:100]!r}")
        self._left = int(size, 16)
        if not self._left:
            self._pass_over_trailers()
            self._finish()

    def _pass_over_trailers(self) -> None:
        size = 0
        while line := self._connection.read_until(b"\r\n", LARGEST_LINE):
            size += len(line)
            if size > LARGEST_HEAD:
                raise BadAnswer("trailers without end")


class _UnboundedBody(ResponseBody):
    """A body that ends with its connection."""

    __slots__ = ()

    def _read_some(self, view: memoryview) -> int:
        count = self._connection.read_into(view)
        if not count:
            self._finish()
        return count


def open_body(
    connection: Connection, method: str, head: Head, request: Asked, release: Callable[[Connection], None]
) -> ResponseBody:
    """The body behind a head (RFC 9112, 6.3)."""
    reuse = release if head.keep_alive else None
    if method == "HEAD" or head.status in _WITHOUT_BODY:
        return ResponseBody(connection, 0, request, reuse)
    coding = head.headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise BadAnswer(f"transfer coding {coding[:100]!r}")
        # with a length as well, somebody on the way may see another end of it: what follows is not trusted
        return _ChunkedBody(connection, None, request, None if "content-length" in head.headers else reuse)
    length = head.headers.get("content-length")
    if length is None:
        return _UnboundedBody(connection, None, request, None)
    if not (length.isdecimal() and len(length) < 19):
        raise BadAnswer(f"content length {length[:100]!r}")
    return ResponseBody(connection, int(length), request, reuse)

"""Answers of HTTP/1.1, read strictly: what is no plain answer is an error, never a guess.

Source: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cottoncandy.backends.s3.lean.connections import RECEIVE, BadAnswer, ClosedEarly, Connection
from cottoncandy.backends.s3.lean.failures import body_failure

if TYPE_CHECKING:
    from typing_extensions import Self

#: Bytes of a head at most: what `http.client` takes for a single line.
LARGEST_HEAD = 2**16
#: S3 sends one, `100 Continue`; a server that never comes to the point is not waited for.
_MOST_INTERIM = 16
#: Bytes of a line between chunks at most.
LARGEST_LINE = 2**12
#: Bytes that are read at once where the caller has no buffer of their own: a false length must not exhaust the memory.
_BLOCK = 2**22
_METADATA = "x-amz-meta-"
_BEFORE = len(_METADATA)
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([0-9]{3})(?: .*)?", re.DOTALL)
_NAME = re.compile(r"[^\s:]+")
_FIELD = re.compile(r"[^\s:]+:[^\r\n]*")
_WITHOUT_BODY = frozenset({204, 304})
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


# ------------------------------------------------------------------ heads
class HeadNames(NamedTuple):
    """The names of the headers of an answer.

    Attributes
    ----------
    lower : tuple of str
        All, in lower case.
    metadata : tuple of tuple of str
        Those of the user's metadata, without their prefix as the server spells them, and in lower case as they are.
    repeated : bool
        Whether one is there more than once.
    """

    lower: tuple[str, ...]
    metadata: tuple[tuple[str, str], ...]
    repeated: bool


# the answers of a server to one operation have few different ones
@lru_cache(maxsize=256)
def names_of(names: tuple[str, ...]) -> HeadNames | None:
    """What there is to know of the names of headers; None where one of them is no name."""
    if not all(map(_NAME.fullmatch, names)):
        return None
    lower = tuple([name.lower() for name in names])
    metadata = [(name[_BEFORE:], low) for name, low in zip(names, lower, strict=True) if low.startswith(_METADATA)]
    return HeadNames(lower, tuple(metadata), len(set(lower)) < len(lower))


class Head(NamedTuple):
    """The head of an answer.

    Attributes
    ----------
    status : int
    headers : dict
        By lower-case name; the values of a repeated one are joined by commas.
    names : HeadNames
        The names as they came.
    keep_alive : bool
        Whether the connection may be used again.
    """

    status: int
    headers: dict[str, str]
    names: HeadNames
    keep_alive: bool

    @property
    def metadata(self) -> dict[str, str]:
        """The ``x-amz-meta-`` headers without that prefix, spelled as the server spells them."""
        headers = self.headers
        return {name: headers[lower] for name, lower in self.names.metadata}


def read_head(connection: Connection) -> Head:
    """Read the head of the final answer; interim ones (1xx) are passed over, some of them."""
    for _ in range(_MOST_INTERIM):
        head = parse_head(connection.read_until(b"\r\n\r\n", LARGEST_HEAD))
        if head.status >= 200:
            return head
    raise BadAnswer(f"{_MOST_INTERIM} interim answers, and no final one")


def parse_head(raw: bytes) -> Head:
    """Parse a head, given without the blank line that ends it."""
    text = raw.decode("latin-1")
    first, *lines = text.split("\r\n")
    status_line = _read_status_line(first)
    fields = [line.partition(":") for line in lines]
    names = names_of(tuple([name for name, _, _ in fields]))
    # no line ends in another way; what has no colon has no value
    strict = text.count("\n") == text.count("\r") == len(lines) and "" not in [colon for _, colon, _ in fields]
    if status_line is None or names is None or not strict:
        raise BadAnswer(f"no head of HTTP/1: {_first_wrong_line(first, lines)[:100]!r}")
    values = [value.strip() for _, _, value in fields]
    headers = _joined(names.lower, values) if names.repeated else dict(zip(names.lower, values, strict=True))
    version, status = status_line
    connection = headers.get("connection")
    keep_alive = version == 1 if connection is None else _keeps_alive(version, connection.lower())
    return Head(status, headers, names, keep_alive)


@lru_cache(maxsize=64)
def _read_status_line(line: str) -> tuple[int, int] | None:
    """The minor version of HTTP/1, and the status."""
    match = _STATUS_LINE.fullmatch(line)
    return (int(match[1]), int(match[2])) if match else None


def _keeps_alive(version: int, connection: str) -> bool:
    return "close" not in connection if version == 1 else "keep-alive" in connection


def _first_wrong_line(first: str, lines: list[str]) -> str:
    if not _STATUS_LINE.fullmatch(first) or "\n" in first or "\r" in first:
        return first
    wrong = (line for line in lines if "\n" in line or "\r" in line or not _FIELD.fullmatch(line))
    return next(wrong, first)


def _joined(names: tuple[str, ...], values: list[str]) -> dict[str, str]:
    """The headers where one is repeated."""
    headers: dict[str, str] = {}
    for name, value in zip(names, values, strict=True):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


# ------------------------------------------------------------------ bodies
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

    def readable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """How many bytes were read."""
        return self._count

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

    def iter_chunks(self, chunk_size: int = 1024) -> Iterator[bytes]:
        """The body in pieces of this size."""
        return iter(lambda: self.read(chunk_size), b"")

    def close(self) -> None:
        """Give the connection up; it is kept where the whole rest of the body is here already."""
        if not self.ended and self._length is not None and self._connection.skip(self._left):
            self._finish()
        self.closed = True
        if not self.ended:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self.ended:
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

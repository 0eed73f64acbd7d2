"""One connection: heads are read through a buffer, bodies go past it."""

from __future__ import annotations

import mmap
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

#: Bytes that are taken from a socket at once: as few as are still in the processor's cache when they are written, and
#: enough that the calls cost little. Of 2**17 to 2**20 the fastest.
_PIECE = 1 << 20
#: Smaller bodies go out in one piece with their head.
_SMALL = 1 << 16
#: Larger heads are none of a client of ours.
_LARGEST_HEAD = 1 << 16

Sink = Callable[[memoryview], object]


class Closed(Exception):
    """The client has closed the connection, or sends what is no HTTP."""


@dataclass(frozen=True)
class Request:
    """The head of a request.

    Attributes
    ----------
    headers : Mapping
        With names in lower case.
    """

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Body

    @classmethod
    def parse(cls, head: str, connection: Connection) -> Request:
        """Take a head apart."""
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        asked = dict(parse_qsl(query, keep_blank_values=True))
        return cls(method, bucket, key, asked, headers, Body(headers, connection))


class Connection:
    """A socket, and what was read from it too early."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._is_plain = not isinstance(sock, ssl.SSLSocket)
        self._all_of_it = socket.MSG_WAITALL if self._is_plain else 0
        self._early = bytearray()
        self._piece = memoryview(bytearray(_PIECE))

    # ------------------------------------------------------------------ reading
    def read_request(self) -> Request:
        """Wait for the next request."""
        head = self._read_until(b"\r\n\r\n").decode("latin-1")
        try:
            return Request.parse(head, self)
        except ValueError as error:
            raise Closed(f"no request: {head[:100]!r}") from error

    def _read_until(self, end: bytes) -> bytes:
        while (at := self._early.find(end)) < 0:
            if len(self._early) > _LARGEST_HEAD:
                raise Closed("the head is too long")
            self._early += self._receive(_SMALL)
        text = bytes(self._early[:at])
        del self._early[: at + len(end)]
        return text

    def _receive(self, most: int, flags: int = 0) -> memoryview:
        count = self._socket.recv_into(self._piece[:most], 0, flags)
        if not count:
            raise Closed("closed")
        return self._piece[:count]

    def read(self, size: int, sink: Sink) -> None:
        """Hand so many bytes over, piece by piece."""
        early = bytes(self._early[:size])
        del self._early[:size]
        if early:
            sink(memoryview(early))
        size -= len(early)
        while size:
            piece = self._receive(min(size, _PIECE), self._all_of_it)
            sink(piece)
            size -= len(piece)

    def read_chunks(self, sink: Sink) -> None:
        """Hand the bytes over that come in chunks."""
        while size := int(self._read_until(b"\r\n").partition(b";")[0], 16):
            self.read(size, sink)
            self._read_until(b"\r\n")
        while self._read_until(b"\r\n"):
            pass  # trailers

    # ------------------------------------------------------------------ writing
    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def send_file(self, file: int, offset: int, size: int) -> None:
        """Send a part of an open file, without a copy where the connection is not encrypted."""
        if self._is_plain:
            self._send_plain(file, offset, size)
        else:
            start = offset - offset % mmap.ALLOCATIONGRANULARITY
            length = offset + size - start
            with (
                mmap.mmap(file, length, prot=mmap.PROT_READ, offset=start) as mapped,
                memoryview(mapped) as view,
                view[offset - start :] as wanted,
            ):
                self._socket.sendall(wanted)

    def _send_plain(self, file: int, offset: int, size: int) -> None:
        end = offset + size
        while offset < end:
            sent = os.sendfile(self._socket.fileno(), file, offset, end - offset)
            if not sent:
                raise Closed("the file ends early")
            offset += sent


class Body:
    """The body of a request, which can be read once."""

    def __init__(self, headers: Mapping[str, str], connection: Connection) -> None:
        self._connection = connection
        self._length = int(headers.get("content-length", 0))
        self._in_chunks = "chunked" in headers.get("transfer-encoding", "").lower()
        # chunks of Amazon's own, with a checksum behind them:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
        self._in_aws_chunks = headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        self._expected = headers.get("expect", "").lower() == "100-continue"
        self._is_read = False
        self.received = 0

    def copy(self, sink: Sink) -> None:
        """Hand it over, piece by piece."""
        self._is_read = True
        if self._expected:
            self._connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")

        def count(piece: memoryview) -> None:
            self.received += len(piece)
            sink(piece)

        self._copy(count)

    def _copy(self, sink: Sink) -> None:
        if self._in_chunks and self._in_aws_chunks:
            outer = bytearray()
            self._connection.read_chunks(outer.extend)
            sink(memoryview(unchunked(bytes(outer))))
        elif self._in_chunks or self._in_aws_chunks:
            self._connection.read_chunks(sink)
        else:
            self._connection.read(self._length, sink)

    def read(self) -> bytes:
        """All of it."""
        data = bytearray()
        self.copy(data.extend)
        return bytes(data)

    def skip(self) -> None:
        """Read what nobody has read: the next request comes behind it."""
        if not self._is_read:
            self.copy(len)


def unchunked(data: bytes) -> bytes:
    """The bytes in chunks: each is its length in hexadecimal, perhaps a signature, a line break, and so many bytes."""
    body, at = bytearray(), 0
    while True:
        line = data.index(b"\r\n", at)
        size = int(data[at:line].partition(b";")[0], 16)
        if not size:
            return bytes(body)
        body += data[line + 2 : line + 2 + size]
        at = line + 2 + size + 2


def is_small(size: int) -> bool:
    """Whether a body goes out together with its head."""
    return size <= _SMALL

"""A loopback HTTP proxy that records what goes over the wire, and can break it.

As a reverse proxy it stands before a server::

    with RecordingProxy(server.endpoint) as proxy:
        client = boto3.client("s3", endpoint_url=proxy.url, ...)
        ...
        assert [request.method for request in proxy.requests] == ["GET"]

The ``Host`` header goes through unchanged: the client signed for the proxy's own host, and that is what the server
verifies. As a forward proxy (``Config(proxies={"http": proxy.url})``, with ``use_ssl=False``) it sees requests for
hosts that the tests must not reach; then a hook answers them::

    with RecordingProxy(hook=lambda request: Response(200)) as proxy: ...
"""

from __future__ import annotations

import http.client
import itertools
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self

#: How many bytes are moved at a time.
_PIECE = 256 * 1024
#: Headers of one connection, not of the message (RFC 9110, 7.6.1); the body is framed anew.
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "transfer-encoding"}


@dataclass
class Request:
    """What a client sent, and what became of it.

    Attributes
    ----------
    target : str
        As it stood in the request line.
    path : str
        Without the host and the query, percent-decoded.
    query : dict
        Decoded; a name without a value has ``''``.
    headers : email.message.Message
        Look up without regard to case.
    length : int
        Bytes of the body that were received.
    body : bytes or None
        Kept where the proxy was asked to.
    status : int or None
        Of the answer; None while there is none.
    answered : int
        Bytes of the answer's body that were sent on.
    connection : int
        A number for each connection of a client.
    """

    method: str
    target: str
    headers: Message
    connection: int
    length: int = 0
    body: bytes | None = None
    status: int | None = None
    answered: int = 0
    path: str = field(init=False)
    query: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))


@dataclass(frozen=True)
class Response:
    """An answer of the proxy's own; nothing is forwarded."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """How to break one exchange.

    Attributes
    ----------
    kind : str
        - ``drop``: nothing is forwarded; the connection is reset.
        - ``lose``: the request is done, its answer is lost; the connection is reset.
        - ``reset``: the connection is reset after ``amount`` bytes of the answer's body.
        - ``truncate``: the connection is closed in good order after ``amount`` bytes of the answer's body.
        - ``flip``: one bit of byte ``amount`` of the answer's body is turned over.
        - ``delay``: ``amount`` seconds pass before the request is forwarded.
    """

    kind: Literal["drop", "lose", "reset", "truncate", "flip", "delay"]
    amount: float = 0


_BODY_FAULTS = {"reset", "truncate", "flip"}
#: Is asked about every request, before its body is read: None lets it pass. Runs in the connection's thread.
Hook = Callable[[Request], "Fault | Response | None"]


class RecordingProxy:
    """Record every request, and forward it to ``upstream``.

    Parameters
    ----------
    upstream : str, optional
        The URL of a server. Without one the hook must answer everything.
    hook : callable, optional
        See `Hook`; ``proxy.hook`` may be set at any time.
    keep_bodies : bool
        Whether to keep the bytes of the requests' bodies.
    ca_bundle : str, optional
        What verifies an https upstream.
    rewrite : callable, optional
        Gives the value that a header of an answer gets, by its name and value.
    """

    def __init__(
        self,
        upstream: str | None = None,
        *,
        hook: Hook | None = None,
        keep_bodies: bool = False,
        ca_bundle: str | None = None,
        rewrite: Callable[[str, str], str] = lambda _, value: value,
    ) -> None:
        self.upstream = urlsplit(upstream) if upstream else None
        self.hook = hook
        self.keep_bodies = keep_bodies
        self.rewrite = rewrite
        self.requests: list[Request] = []
        self.errors: list[Exception] = []
        self._tls = ssl.create_default_context(cafile=ca_bundle) if upstream and upstream.startswith("https") else None
        self._listener = _Listener(self)
        self.url = f"http://127.0.0.1:{self._listener.server_port}"

    def __enter__(self) -> Self:
        # it looks for an end every so many seconds
        threading.Thread(target=self._listener.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._listener.end_connections()
        if self.errors and kind is None:
            raise self.errors[0]

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self.requests.clear()

    def count(self, method: str | None = None) -> int:
        """How many requests there were, of one method or of all."""
        return sum(method in (None, request.method) for request in self.requests)

    @property
    def connections(self) -> int:
        """How many connections the recorded requests came on."""
        return len({request.connection for request in self.requests})

    def dial(self) -> http.client.HTTPConnection:
        """A new connection to the upstream."""
        if self.upstream is None:
            raise RuntimeError("this proxy has no upstream: its hook must answer every request")
        host, port = self.upstream.hostname or "", self.upstream.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, context=self._tls)
        return http.client.HTTPConnection(host, port)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: RecordingProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy
        self.numbers = itertools.count(1)
        self._open: set[socket.socket] = set()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self._open.add(request)
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Wake the threads that wait for a next request on a connection that is kept alive."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet when a connection breaks, that is what the tests are about; keep a hook's own failure."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, OSError | http.client.HTTPException):
            self.proxy.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, and at most one to the upstream behind it."""

    protocol_version = "HTTP/1.1"
    server: _Listener
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._proxy = self.server.proxy
        self._number = next(self.server.numbers)
        self._up: http.client.HTTPConnection | None = None

    def finish(self) -> None:
        if self._up is not None:
            self._up.close()
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._exchange
        raise AttributeError(name)

    def handle_expect_100(self) -> bool:
        """Wait with ``100 Continue`` until the hook was asked."""
        return True

    # -------------------------------------------------------------- one exchange
    def _exchange(self) -> None:
        request = Request(self.command, self.path, self.headers, self._number)
        self._proxy.requests.append(request)
        verdict = self._proxy.hook(request) if self._proxy.hook else None
        if isinstance(verdict, Fault) and verdict.kind == "drop":
            self._reset()
            return
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if isinstance(verdict, Response):
            self._answer(request, verdict)
            return
        if verdict is not None and verdict.kind == "delay":
            time.sleep(verdict.amount)
        self._forward(request, verdict)

    def _answer(self, request: Request, response: Response) -> None:
        for _ in self._body(request):
            pass
        headers = {"Content-Length": str(len(response.body))} | dict(response.headers)
        self._send_head(request, response.status, headers.items())
        body = b"" if request.method == "HEAD" else response.body
        request.answered = len(body)
        self.wfile.write(body)

    def _forward(self, request: Request, fault: Fault | None) -> None:
        try:
            answer = self._ask(request)
        except (OSError, http.client.HTTPException):
            self._reset()  # the upstream's failure is the client's
            return
        if fault is not None and fault.kind == "lose":
            self._reset()
            return
        chunked = answer.chunked and request.method != "HEAD"
        self._send_head(request, answer.status, self._answer_headers(answer, chunked=chunked))
        try:
            with answer:
                self._send_body(request, _broken(_pieces(answer), fault), chunked=chunked)
        except _Cut:
            self._reset() if fault and fault.kind == "reset" else self._close()

    def _answer_headers(self, answer: http.client.HTTPResponse, *, chunked: bool) -> Iterator[tuple[str, str]]:
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                yield name, self._proxy.rewrite(name, value)
        if chunked:
            yield "Transfer-Encoding", "chunked"
        elif answer.length is None:
            yield "Connection", "close"  # nothing else tells where the body ends; this closes ours as well

    def _ask(self, request: Request) -> http.client.HTTPResponse:
        up = self._up = self._up or self._proxy.dial()
        up.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                up.putheader(name, value)
        chunked = self._is_chunked()
        if chunked:
            up.putheader("Transfer-Encoding", "chunked")
        up.endheaders()
        for piece in self._body(request):
            up.send(_chunk(piece) if chunked else piece)
        if chunked:
            up.send(_chunk(b""))
        return up.getresponse()

    # -------------------------------------------------------------- bodies
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _body(self, request: Request) -> Iterator[bytes]:
        kept = []
        for piece in self._chunks() if self._is_chunked() else self._plain(int(self.headers.get("Content-Length", 0))):
            request.length += len(piece)
            if self._proxy.keep_bodies:
                kept.append(piece)
            yield piece
        if self._proxy.keep_bodies:
            request.body = b"".join(kept)

    def _plain(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self.rfile.read1(min(length, _PIECE))  # type: ignore[attr-defined]
            if not piece:
                raise ConnectionResetError("the client went away in the middle of its body")
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield from self._plain(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass  # trailers

    # -------------------------------------------------------------- answering
    def _send_head(self, request: Request, status: int, headers: Iterable[tuple[str, str]]) -> None:
        request.status = status
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, request: Request, pieces: Iterator[bytes], *, chunked: bool) -> None:
        for piece in filter(None, pieces):
            request.answered += len(piece)
            self.wfile.write(_chunk(piece) if chunked else piece)
        if chunked:
            self.wfile.write(_chunk(b""))

    def _reset(self) -> None:
        # no lingering: close() sends a RST instead of a FIN
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def _close(self) -> None:
        self.close_connection = True
        self.rfile.close()  # it holds the socket open
        self.connection.close()


class _Cut(Exception):
    """The answer ends here."""


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read1(_PIECE):
        yield piece


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _broken(pieces: Iterator[bytes], fault: Fault | None) -> Iterator[bytes]:
    """The pieces of an answer's body, as far as the fault lets them through."""
    position = 0
    for piece in pieces:
        inside = int(fault.amount) - position if fault and fault.kind in _BODY_FAULTS else -1
        position += len(piece)
        if not 0 <= inside < len(piece):
            yield piece
        elif fault and fault.kind == "flip":
            yield piece[:inside] + bytes([piece[inside] ^ 1]) + piece[inside + 1 :]
        else:
            yield piece[:inside]
            raise _Cut

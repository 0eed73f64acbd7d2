"""The HTTP side: one thread per connection, on loopback."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from fake_drive.errors import ApiError, invalid
from fake_drive.faults import Request
from fake_drive.items import Item
from fake_drive.methods import check_parameters, route
from fake_drive.sessions import CHUNK, Session
from fake_drive.tokens import TokenError

if TYPE_CHECKING:
    from fake_drive import FakeDrive

_BLOCK = 2**20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class _Reset(Exception):
    """The connection is to be reset."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, drive: FakeDrive) -> None:
        self.drive = drive
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.drive.crashes.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

    # ------------------------------------------------------------------ one request
    def _answer(self) -> None:
        drive, address = self.server.drive, urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length", 0))
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        request = Request(self.command, address.path, query, headers, length)
        if address.path in {"/token", "/consent"}:
            self._token_service(address.path, query, self._read(length))
            return
        drive.requests.append(request)
        request.fault = drive.faults.choose(request)
        try:
            self._faulty(request)
        except _Reset:
            self._reset()

    def _faulty(self, request: Request) -> None:
        fault, drive = request.fault, self.server.drive
        if fault == "reset":
            raise _Reset
        if fault == "half":
            self._take_half(request)
            raise _Reset
        body = self._read(request.length)
        if fault in {"500", "503", "429", "rate", "daily", "401"}:
            self._refuse(request, fault)
            return
        try:
            drive.tokens.check(request.headers.get("authorization"))
            with drive.items.lock:
                status, headers, answer = self._act(request, body)
        except ApiError as error:
            status, headers, answer = error.status, error.headers, error.body()
        request.status = status
        if fault == "lost":
            raise _Reset
        self._send(status, headers, answer, truncated=fault == "truncated")

    def _take_half(self, request: Request) -> None:
        data = self._read(request.length // 2)
        if "upload_id" in request.query and data:
            sessions = self.server.drive.sessions
            with contextlib.suppress(ApiError), self.server.drive.items.lock:
                sessions.take_some(request.query["upload_id"], request.headers.get("content-range", ""), data)

    def _refuse(self, request: Request, fault: str) -> None:
        drive = self.server.drive
        error = {
            "500": ApiError(500, "internalError"),
            "503": ApiError(503, "backendError"),
            "429": ApiError(429, "rateLimitExceeded", headers={"Retry-After": drive.faults.retry_after}),
            "rate": ApiError(403, "userRateLimitExceeded"),
            "daily": ApiError(403, "dailyLimitExceeded"),
            "401": ApiError(401, "authError", "Invalid Credentials"),
        }[fault]
        if fault == "401":
            drive.tokens.refuse(request.headers.get("authorization"))
        request.status = error.status
        self._send(error.status, error.headers, error.body())

    # ------------------------------------------------------------------ what is asked
    def _act(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes | memoryview]:
        if request.path.startswith("/upload/drive/v3/"):
            return self._upload(request, body)
        if not request.path.startswith("/drive/v3/"):
            raise ApiError(404, "notFound", request.path)
        method, target = route(request.method, request.path.removeprefix("/drive/v3/"))
        check_parameters(method, request.query)
        if method == "files.get" and request.query.get("alt") == "media":
            return self._media(target or "", request)
        answer = self.server.drive.methods.call(method, target, request.query, json.loads(body or b"{}"))
        return (204, {}, b"") if answer is None else _as_json(200, answer)

    def _media(self, target: str, request: Request) -> tuple[int, dict[str, str], bytes | memoryview]:
        item = self.server.drive.items.find(target, all_drives=request.query.get("supportsAllDrives") == "true")
        if item.content is None:
            raise ApiError(403, "fileNotDownloadable", "Only files with binary content can be downloaded.")
        match = _RANGE.fullmatch(request.headers.get("range", ""))
        if not match:
            return 200, {"Content-Type": item.type}, item.content
        size, start = len(item.content), int(match.group(1))
        if start >= size:
            raise ApiError(416, "requestedRangeNotSatisfiable", headers={"Content-Range": f"bytes */{size}"})
        stop = min(int(match.group(2) or size - 1) + 1, size)
        headers = {"Content-Type": item.type, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return 206, headers, memoryview(item.content)[start:stop]

    def _upload(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        drive, query = self.server.drive, request.query
        if "upload_id" in query:
            return self._session(request, body)
        http_method = request.method
        method, target = route(http_method, request.path.removeprefix("/upload/drive/v3/"))
        check_parameters(method, query)
        kind, content_type = query.get("uploadType"), request.headers.get("content-type", "")
        if kind == "resumable":
            size = request.headers.get("x-upload-content-length")
            upload_id = drive.sessions.begin(target, json.loads(body or b"{}"), query, size)
            fields = f"&fields={query['fields']}" if "fields" in query else ""
            place = f"{drive.url}/upload/drive/v3/files?uploadType=resumable{fields}&upload_id={upload_id}"
            return 200, {"Location": place}, b""
        if kind == "multipart":
            item = drive.sessions.write_related(target, query, content_type, body)
        elif kind == "media":
            item = drive.sessions.write(target, {"mimeType": content_type}, query, body)
        else:
            raise invalid(f"uploadType = {kind}")
        return _as_json(200, drive.methods.shown(item, query))

    def _session(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        sessions, upload_id = self.server.drive.sessions, request.query["upload_id"]
        if request.method == "DELETE":
            sessions.cancel(upload_id)
            return 499, {}, b""
        result = sessions.take(upload_id, request.headers.get("content-range", ""), body)
        if isinstance(result, Item):
            return _as_json(200, self.server.drive.methods.shown(result, request.query))
        return 308, _received(result), b""

    def _token_service(self, path: str, query: dict[str, str], body: bytes) -> None:
        tokens = self.server.drive.tokens
        if path == "/consent":
            self._send(302, {"Location": tokens.consent(query)}, b"")
            return
        try:
            self._send(*_as_json(200, tokens.grant(dict(parse_qsl(body.decode())))))
        except TokenError as error:
            self._send(*_as_json(400, {"error": error.args[0], "error_description": "Bad Request"}))

    # ------------------------------------------------------------------ the connection
    def _read(self, length: int) -> bytes:
        data = bytearray(length)
        view, done = memoryview(data), 0
        while done < length:
            count = self.rfile.readinto(view[done : done + _BLOCK])
            if not count:
                raise ConnectionResetError
            done += count
        return bytes(data) if length < CHUNK else data  # type: ignore[return-value] - a copy saved

    def _send(self, status: int, headers: dict[str, str], body: bytes | memoryview, *, truncated: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if truncated else body)
        if truncated:
            self._reset(linger=False)

    def _reset(self, *, linger: bool = True) -> None:
        """End the connection: with a reset, or only at its end."""
        self.close_connection = True
        if linger:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.wfile.flush()
        self.connection.close()


def _as_json(status: int, answer: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(answer).encode()


def _received(session: Session) -> dict[str, str]:
    return {"Range": f"bytes=0-{len(session.received) - 1}"} if session.received else {}

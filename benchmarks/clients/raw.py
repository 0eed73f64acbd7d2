"""The limit: bytes between sockets and an array's memory, with as little in between as Python can have."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

from benchmarks.clients.base import Array, BytesClient, Like, flat, name_of
from benchmarks.place import Place

_NO_HASH = "UNSIGNED-PAYLOAD"
#: Below it an upload is one request: parts have at least 5 MiB.
_SMALLEST_SHARE = 8 << 20
#: Bodies that go out with their head in one piece.
_JOINED = 1 << 16
_MOST_IN_A_DELETE = 1000
#: Bytes that are received at once. By way of the processor's cache they reach new memory some 20 % faster than straight
#: from the socket: a system call is slow at memory whose pages are not there yet.
_PIECE = 1 << 18

Answer = tuple[dict[str, str], memoryview]


class Raw(BytesClient):
    """Sockets that are open already, one for each of a few threads.

    Parameters
    ----------
    place : Place
    connections : int
        How many share the work.
    """

    def __init__(self, place: Place, connections: int) -> None:
        self._count = connections
        super().__init__(place)

    def connect(self) -> None:
        """Open the connections."""
        self._pool = ThreadPoolExecutor(self._count)
        self._connections = [Connection(self.place) for _ in range(self._count)]

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    # ------------------------------------------------------------------ one array
    def put(self, key: str, data: memoryview | bytes) -> None:
        """Upload in one request, or in as many parts as there are connections."""
        view = memoryview(data)
        if self._count == 1 or len(view) < self._count * _SMALLEST_SHARE:
            self._connections[0].call("PUT", key, body=view)
        else:
            self._put_parts(key, view)

    def _put_parts(self, key: str, view: memoryview) -> None:
        first = self._connections[0]
        upload = text(first.call("POST", key, {"uploads": ""}), "UploadId")

        def send(number: int, start: int, end: int) -> str:
            query = {"partNumber": str(number + 1), "uploadId": upload}
            headers, _ = self._connections[number].call("PUT", key, query, body=view[start:end])
            return f"<Part><PartNumber>{number + 1}</PartNumber><ETag>{headers['etag']}</ETag></Part>"

        try:
            parts = "".join(self._share(send, len(view)))
        except OSError:
            first.call("DELETE", key, {"uploadId": upload})
            raise
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        first.call("POST", key, {"uploadId": upload}, body=memoryview(body))

    def get(self, key: str) -> memoryview:
        """Download what has any length, over one connection."""
        return self._connections[0].call("GET", key)[1]

    def get_into(self, key: str, memory: memoryview) -> None:
        """Download with as many ranges as there are connections."""

        def receive(number: int, start: int, end: int) -> None:
            headers = {"range": f"bytes={start}-{end - 1}"}
            self._connections[number].call("GET", key, headers=headers, into=memory[start:end])

        if self._count == 1 or len(memory) < self._count * _SMALLEST_SHARE:
            self._connections[0].call("GET", key, into=memory)
        else:
            self._share(receive, len(memory))

    def _share(self, function: Callable[[int, int, int], Any], size: int) -> list[Any]:
        """Call a function for each connection, with its number and its share of something."""
        cuts = [size * number // self._count for number in range(self._count + 1)]
        return list(self._pool.map(function, range(self._count), cuts, cuts[1:]))

    # ------------------------------------------------------------------ many
    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Upload, each connection its share."""
        self.put_keys([f"{prefix}/{name}" for name in arrays], [flat(array) for array in arrays.values()])

    def put_keys(self, keys: Sequence[str], bodies: Sequence[memoryview]) -> None:
        """Upload many objects."""

        def send(number: int, start: int, end: int) -> None:
            for key, body in zip(keys[start:end], bodies[start:end], strict=True):
                self._connections[number].call("PUT", key, body=body)

        self._share(send, len(keys))

    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """List, then download, each connection its share."""
        keys = self.list(prefix)

        def receive(number: int, start: int, end: int) -> list[tuple[str, Array]]:
            arrays = [(name_of(key), like.empty()) for key in keys[start:end]]
            for key, (_, array) in zip(keys[start:end], arrays, strict=True):
                self._connections[number].call("GET", key, into=flat(array))
            return arrays

        return {name: array for share in self._share(receive, len(keys)) for name, array in share}

    def list(self, prefix: str) -> list[str]:
        """All keys below a prefix; they are plain here, and need no unquoting."""
        keys: list[str] = []
        query = {"list-type": "2", "prefix": f"{prefix}/"}
        while True:
            page = bytes(self._connections[0].call("GET", "", query)[1]).decode()
            keys += re.findall("<Key>(.*?)</Key>", page)
            token = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", page)
            if token is None:
                return keys
            query["continuation-token"] = token[1]

    def remove(self, prefix: str) -> None:
        """List, then delete in batches."""
        keys = self.list(prefix)
        for start in range(0, len(keys), _MOST_IN_A_DELETE):
            lines = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys[start : start + _MOST_IN_A_DELETE])
            body = f"<Delete><Quiet>true</Quiet>{lines}</Delete>".encode()
            md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
            self._connections[0].call("POST", "", {"delete": ""}, {"content-md5": md5}, memoryview(body))


class Connection:
    """One socket that is kept open, and as much of HTTP as is needed."""

    def __init__(self, place: Place) -> None:
        self._place = place
        parts = urlsplit(place.endpoint)
        host, port = parts.hostname or "", parts.port or (443 if place.is_encrypted else 80)
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._piece = memoryview(bytearray(_PIECE))
        self._flags = 0 if place.is_encrypted else socket.MSG_WAITALL
        if place.is_encrypted:
            context = ssl.create_default_context(cafile=place.authority or None)
            self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def call(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        body: memoryview | None = None,
        into: memoryview | None = None,
    ) -> Answer:
        """Send one request; gives the headers and the body of the answer.

        Raises
        ------
        OSError
            If the answer is an error.
        """
        body = memoryview(b"") if body is None else body
        head = self._head(method, key, query, {**headers, "content-length": str(len(body))})
        if len(body) <= _JOINED:
            self._socket.sendall(head + body)
        else:
            self._socket.sendall(head)
            self._socket.sendall(body)
        return self._receive(into)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _head(self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        path = quote(f"/{self._place.bucket}/{key}" if key else f"/{self._place.bucket}")
        arguments = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
        lines = signed(self._place, method, path, arguments, headers)
        target = f"{path}?{arguments}" if arguments else path
        return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode()

    def _receive(self, into: memoryview | None) -> Answer:
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._some()
        status, *lines = got[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = self._body(headers, memoryview(got)[end + 4 :], into)
        if status[9] != "2":
            raise OSError(f"{status}: {bytes(body[:300])!r}")
        return headers, body

    def _body(self, headers: Mapping[str, str], early: memoryview, into: memoryview | None) -> memoryview:
        if "chunked" in headers.get("transfer-encoding", ""):
            return self._chunks(early)
        length = int(headers.get("content-length", 0))
        # an error's body is not for the caller's memory
        memory = into if into is not None and len(into) == length else memoryview(bytearray(length))
        memory[: len(early)] = early
        at = len(early)
        while at < length:
            count = self._socket.recv_into(self._piece[: length - at], 0, self._flags)
            if not count:
                raise OSError("the connection was closed")
            memory[at : at + count] = self._piece[:count]
            at += count
        return memory

    def _chunks(self, early: memoryview) -> memoryview:
        from benchmarks.server.connection import unchunked

        got = bytes(early)
        while not got.endswith(b"0\r\n\r\n"):
            got += self._some()
        return memoryview(unchunked(got))

    def _some(self) -> bytes:
        received = self._socket.recv(1 << 14)
        if not received:
            raise OSError("the connection was closed")
        return received


def text(answer: Answer, tag: str) -> str:
    """The text of an element."""
    found = re.search(f"<{tag}>(.*?)</{tag}>", bytes(answer[1]).decode())
    if found is None:
        raise OSError(f"no {tag} in {bytes(answer[1][:300])!r}")
    return found[1]


def signed(place: Place, method: str, path: str, arguments: str, headers: Mapping[str, str]) -> list[str]:
    """The lines of a signed head.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/{place.region}/s3/aws4_request"
    all_headers = {**headers, "host": place.host, "x-amz-content-sha256": _NO_HASH, "x-amz-date": now}
    if place.token:
        all_headers["x-amz-security-token"] = place.token
    lines, names = [f"{name}:{all_headers[name]}" for name in sorted(all_headers)], ";".join(sorted(all_headers))
    canonical = "\n".join([method, path, arguments, *lines, "", names, _NO_HASH])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{place.secret_key}".encode()
    for word in [*scope.split("/"), to_sign]:
        key = hmac.digest(key, word.encode(), "sha256")
    credential = f"AWS4-HMAC-SHA256 Credential={place.access_key}/{scope}"
    return [*lines, f"authorization: {credential}, SignedHeaders={names}, Signature={key.hex()}"]

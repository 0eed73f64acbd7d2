"""A server that does as a script says, right or wrong, to the byte; and keeps what it was asked."""

from __future__ import annotations

import io
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

if TYPE_CHECKING:
    from typing_extensions import Self

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ERROR = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>no</Message></Error>"


@dataclass
class Asked:
    """One request as it came over the wire."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def by_botocore(self) -> bool:
        """Whether botocore's own way sent it."""
        return "amz-sdk-invocation-id" in self.headers


@dataclass
class Step:
    """What is done about one request.

    Attributes
    ----------
    act : callable
        Gets the socket; says whether the connection stays open.
    reads_body : bool
        Whether the request's body is read before.
    """

    act: Callable[[socket.socket], bool]
    reads_body: bool = True


def reply(status: int = 200, body: bytes = b"", *, reads_body: bool = True, **headers: str) -> Step:
    """A well-formed answer of a store; ``_`` in the names of headers stands for ``-``."""
    return foreign(status, body, reads_body=reads_body, **{"x_amz_request_id": "1", **headers})


def foreign(status: int = 200, body: bytes = b"", *, reads_body: bool = True, **headers: str) -> Step:
    """The same without what tells that it is a store's."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    lines = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return raw(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body, reads_body=reads_body)


def error(status: int, code: str, **headers: str) -> Step:
    """An error as S3 sends it."""
    return reply(status, ERROR % code.encode(), **headers)


def raw(data: bytes, *, close: bool = False, reads_body: bool = True) -> Step:
    """These bytes, whatever they are."""

    def act(sock: socket.socket) -> bool:
        sock.sendall(data)
        return not close

    return Step(act, reads_body)


def reset(data: bytes = b"", *, reads_body: bool = True) -> Step:
    """These bytes, and then a connection that is reset."""

    def act(sock: socket.socket) -> bool:
        sock.sendall(data)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return Step(act, reads_body)


def hold(until: threading.Event, data: bytes = b"", *, reads_body: bool = True) -> Step:
    """These bytes, and then nothing while the event is not set."""

    def act(sock: socket.socket) -> bool:
        sock.sendall(data)
        until.wait(30)
        return False

    return Step(act, reads_body)


class ScriptedServer:
    """Answers the requests that come, in their order, with the steps of a script.

    Parameters
    ----------
    steps : iterable of Step
    tls : ssl.SSLContext, optional

    Attributes
    ----------
    url : str
    requests : list of Asked
    """

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None) -> None:
        self._steps = deque(steps)
        self._tls = tls
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.requests: list[Asked] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._start(self._accept)

    def then(self, *steps: Step) -> None:
        """Go on with these steps."""
        self._steps.extend(steps)

    def skip(self) -> None:
        """Leave out the steps that are left."""
        self._steps.clear()

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock = self._listener.accept()[0]
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # TLS writes twice before it is answered
                self._open.append(sock)
                self.connections += 1
                self._start(lambda sock=sock, number=self.connections: self._serve(sock, number))

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError), sock:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as file:
                while line := file.readline():
                    step = self._hear(line, file, sock, number)
                    if not step.act(sock):
                        break

    def _hear(self, line: bytes, file: io.BufferedReader, sock: socket.socket, number: int) -> Step:
        method, target, _ = line.decode().split(" ", 2)
        headers = {}
        while field := file.readline().decode().rstrip("\r\n"):
            name, _, text = field.partition(":")
            headers[name.lower()] = text.strip()
        asked = Asked(number, method, target, headers, b"")
        with self._lock:
            self.requests.append(asked)
            step = self._steps.popleft() if self._steps else reply(599)
        if step.reads_body:
            if headers.get("expect") == "100-continue":  # botocore waits a second for it
                sock.sendall(CONTINUE)
            length = int(headers.get("content-length", 0))
            asked.body = file.read(length)
            if len(asked.body) < length:
                raise ConnectionAbortedError("the client left in the middle of its request")
        return step

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # it wakes the thread that waits in `accept`
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


def needs_arguments(client: Any, method: str, arguments: Mapping[str, Any]) -> None:
    """Skip the test where the installed botocore does not know these arguments yet."""
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    if missing := set(arguments) - set(model.input_shape.members):
        pytest.skip(f"this botocore knows no {', '.join(sorted(missing))}")


@lru_cache
def _session() -> Any:
    return boto3.session.Session()  # its models take long to load


def plain_client(url: str | None, *, arguments: Mapping[str, Any] = {}, **config: Any) -> Any:
    """A boto3 client of a server that is no Amazon's, which tries once.

    What of ``config`` the installed botocore knows goes to its Config.
    """
    defaults = {
        "s3": {"addressing_style": "path"},
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    settings = {
        "endpoint_url": url,
        "aws_access_key_id": "access",
        "aws_secret_access_key": "secret-key",
        "region_name": "us-east-1",
        "config": Config(
            **{name: value for name, value in (defaults | config).items() if name in Config.OPTION_DEFAULTS}
        ),
    }
    return _session().client("s3", **settings | dict(arguments))

"""A worker: requests in, answers out, a thread for each connection."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
import time
from http import HTTPStatus
from urllib.parse import unquote

from benchmarks.server.connection import Closed, Connection, Request, is_small
from benchmarks.server.counts import Counts
from benchmarks.server.errors import S3Error
from benchmarks.server.operations import Answer, Operations, refusal

#: No bucket has such a name: here the benchmark asks for counts, and sets the latency.
CONTROL = "_benchmark"


class Worker:
    """Serves connections of one listening socket.

    Parameters
    ----------
    operations : Operations
    counts : Counts
    tls : ssl.SSLContext, optional
    """

    def __init__(self, operations: Operations, counts: Counts, tls: ssl.SSLContext | None) -> None:
        self._operations = operations
        self._counts = counts
        self._tls = tls

    def serve_in_background(self, listening: socket.socket) -> None:
        """Serve, in threads, until the process ends."""
        threading.Thread(target=self._serve, args=(listening,), daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        while True:
            accepted, _ = listening.accept()
            threading.Thread(target=self._serve_connection, args=(accepted,), daemon=True).start()

    def _serve_connection(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(Closed, OSError), contextlib.ExitStack() as stack:
            stack.enter_context(accepted)
            sock = stack.enter_context(self._tls.wrap_socket(accepted, server_side=True)) if self._tls else accepted
            connection = Connection(sock)
            while self._serve_request(connection):
                pass

    def _serve_request(self, connection: Connection) -> bool:
        """Answer one request; whether there may be another."""
        request = connection.read_request()
        if request.bucket == CONTROL:
            send(connection, self._control(unquote(request.key)))
            return True
        try:
            with self._operations.answer(request) as answer:
                self._reply(connection, request, answer)
        except S3Error as error:
            self._reply(connection, request, refusal(request, error))
        return request.headers.get("connection", "").lower() != "close"

    def _reply(self, connection: Connection, request: Request, answer: Answer) -> None:
        request.body.skip()
        if latency := self._counts.latency:
            time.sleep(latency)
        self._counts.add(request.body.received, answer.size)
        send(connection, answer, request.method == "HEAD")

    def _control(self, command: str) -> Answer:
        if command:
            self._counts.latency = float(command) / 1000
        return Answer(body=json.dumps(self._counts.totals()).encode())


def send(connection: Connection, answer: Answer, only_head: bool = False) -> None:
    """Send an answer: its head, and its body from memory or from a file."""
    head = _head(answer)
    if only_head or answer.file < 0:
        connection.send(head + answer.body)
    elif is_small(answer.size):
        connection.send(head + b"".join(os.pread(answer.file, size, offset) for offset, size in answer.spans))
    else:
        connection.send(head)
        for offset, size in answer.spans:
            connection.send_file(answer.file, offset, size)


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", "x-amz-request-id: 0"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if answer.body:
        lines.append("Content-Type: application/xml")
    if answer.status not in {204, 304}:
        lines.append(f"Content-Length: {answer.size}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")

"""The servers of one test session: started at first use, shared by all workers, never left behind.

A keeper, a small process of its own (``python -m servers NAME``), starts a server and stops it when its standard
input ends. The session holds the other end of that pipe. However the session ends, be it by Ctrl-C or SIGKILL,
the pipe closes and the keeper cleans up.

Under pytest-xdist the controller holds the pool, and its workers ask for servers over a socket.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Protocol

from servers._process import ProgramMissing, Server


class ServerPool(Protocol):
    """Where a test session gets its servers from."""

    def get(self, name: str) -> Server:
        """The server of that name, started when it is not yet there."""

    def close(self) -> None:
        """Stop what was started."""


class Pool:
    """Starts each server once and keeps it until the pool is closed."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, object]] = {}
        self._keepers: list[subprocess.Popen[str]] = []
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._listener: Listener | None = None
        self._environment = dict(os.environ)  # as it was before any test changed it

    def get(self, name: str) -> Server:
        return _unpack(self.answer(name))

    def answer(self, name: str) -> dict[str, object]:
        """What the keeper said: the server, or why there is none."""
        with self._locks[name]:
            if name not in self._answers:
                self._answers[name] = self._start(name)
            return self._answers[name]

    def _start(self, name: str) -> dict[str, object]:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "servers", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for the session; the keeper must live to clean up
        )
        self._keepers.append(keeper)
        line = keeper.stdout.readline() if keeper.stdout else ""
        return json.loads(line or '{"failed": "the keeper ended without a word"}')  # type: ignore[no-any-return]

    def share(self) -> tuple[str, bytes]:
        """Where the workers of this session can ask: an address and its key."""
        if self._listener is None:
            self._key = os.urandom(16)
            self._listener = Listener(authkey=self._key)
            threading.Thread(target=self._serve, args=[self._listener], daemon=True).start()
        return str(self._listener.address), self._key

    def _serve(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except (OSError, EOFError):
                return
            threading.Thread(target=self._reply, args=[connection], daemon=True).start()

    def _reply(self, connection: Connection) -> None:
        with connection, suppress(EOFError, OSError):
            connection.send(self.answer(connection.recv()))

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for keeper in self._keepers:
            if keeper.stdin:
                keeper.stdin.close()
        for keeper in self._keepers:
            keeper.wait()
            if keeper.stdout:
                keeper.stdout.close()


class SharedPool:
    """A worker's view of the controller's pool."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address = address
        self._key = key

    def get(self, name: str) -> Server:
        with Client(self._address, authkey=self._key) as connection:
            connection.send(name)
            return _unpack(connection.recv())

    def close(self) -> None:
        """Nothing: the servers are the controller's."""


def _unpack(answer: dict[str, object]) -> Server:
    if "missing" in answer:
        raise ProgramMissing(answer["missing"])
    if "failed" in answer:
        raise RuntimeError(answer["failed"])
    return server_from_json(answer["server"])


def server_from_json(facts: object) -> Server:
    """A `Server` from what ``dataclasses.asdict`` made of it."""
    if not isinstance(facts, dict):
        raise TypeError(f"these are no facts of a server: {facts!r}")
    tls = server_from_json(facts["tls"]) if facts["tls"] else None
    return Server(**{**facts, "tls": tls})

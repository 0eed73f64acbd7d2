"""Ctrl-C before each step of one exchange: a write is waited for up to its answer, and no longer."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from lean_faults import ScriptedServer, Step, plain_client, reply
from test_lean_tls import self_signed

from cottoncandy.backends.s3.lean import LeanClient, answers, connections, talk

pytestmark = [
    pytest.mark.lean_wire("botocore's connections are not ours"),
    # what is interrupted while it connects is closed by the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

EXCHANGE = {module.__file__ for module in (answers, connections, ssl, talk)}
#: Seconds for which an answer is waited for; one that never comes would take as long.
TIMEOUT = 20


@contextmanager
def pressing(moment: int) -> Iterator[list[int]]:
    """Press Ctrl-C before the step of this number; gives how many steps were left to it."""
    left = [moment]

    def step(frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                os.kill(os.getpid(), signal.SIGINT)
        return step

    def enter(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in EXCHANGE:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    sys.settrace(enter)
    try:
        yield left
    finally:
        sys.settrace(None)


class SlowStore(ScriptedServer):
    """Answers each request a little later than it does what is asked.

    Attributes
    ----------
    done : int
        Requests that were done.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(tls=tls)
        self.done = 0

    def expect(self) -> None:
        self.skip()
        self.then(Step(self._do))

    def _do(self, sock: socket.socket) -> bool:
        threading.Event().wait(0.003)
        self.done += 1
        return reply(ETag='"1"').act(sock)

    def settle(self) -> None:
        """Wait for all that was sent over connections that are closed."""
        for thread in self._threads[1:]:
            while thread.ident is None:
                time.sleep(0)  # it is about to be started
            thread.join(10)
        del self._threads[1:]


@pytest.mark.parametrize("size", [10, connections.SMALL_BODY + 1])
@pytest.mark.parametrize("tls", [False, True])
def test_a_write_is_waited_for_up_to_its_answer(tls: bool, size: int, tmp_path: Path) -> None:
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed(tmp_path / "certificate.pem", "127.0.0.1"))
    with SlowStore(context) as server:
        options = {"verify": str(tmp_path / "certificate.pem")} if tls else {}
        client = LeanClient(plain_client(server.url, arguments=options, read_timeout=TIMEOUT))
        for moment in itertools.count(1):
            server.expect()
            before, began = server.done, time.monotonic()
            try:
                with pressing(moment) as left:
                    client.put_object(Bucket="bucket", Key="key", Body=bytes(size))
            except KeyboardInterrupt:
                assert time.monotonic() - began < TIMEOUT / 2, moment
            done = server.done
            client.close()
            server.settle()
            assert server.done == done, moment  # nothing came behind
            if left[0] > 0:
                break
        assert before < done
        assert moment > 100

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
from lean_faults import CONTINUE, ScriptedServer, Step, plain_client, reply
from test_lean_tls import self_signed

from cottoncandy.backends.s3.lean import LeanClient, answers, connections, talk
from cottoncandy.parallel import for_each

pytestmark = [
    pytest.mark.lean_wire("botocore's connections are not ours"),
    # what is interrupted while it connects is closed by the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

EXCHANGE = {module.__file__ for module in (answers, connections, ssl, talk)}
#: Seconds for which an answer is waited for; one that never comes would take as long.
TIMEOUT = 20
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/xml\r\n\r\n"
SPACES = b"3\r\n   \r\n"


def chunks(document: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(document), document)


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


COPIED = b'<CopyObjectResult><ETag>"1"</ETag><LastModified>2020-01-01T00:00:00.000Z</LastModified></CopyObjectResult>'
COMPLETED = b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'


@pytest.mark.parametrize(
    ("method", "arguments", "first", "last"),
    [
        ("copy_object", {"CopySource": {"Bucket": "bucket", "Key": "other"}}, HEAD + SPACES, chunks(COPIED)),
        (
            "complete_multipart_upload",
            {"UploadId": "1", "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "1"}]}},
            HEAD + SPACES,
            chunks(COMPLETED),
        ),
        ("put_object", {"Body": b"x"}, CONTINUE, b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n'),
    ],
    ids=["copy", "completion", "interim"],
)
def test_what_comes_before_all_is_done_is_not_the_answer(
    method: str, arguments: dict[str, Any], first: bytes, last: bytes
) -> None:
    """Of long copies and completions Amazon sends the head, and spaces, while it is at work."""
    pressed, done = threading.Event(), []

    def act(sock: socket.socket) -> bool:
        sock.sendall(first)
        pressed.wait(0.05)  # nobody sets it: until the client has read that
        os.kill(os.getpid(), signal.SIGINT)
        pressed.wait(0.3)  # and for a client that does not wait to go on
        done.append(True)
        sock.sendall(last)
        return True

    with ScriptedServer(Step(act)) as server:
        client = LeanClient(plain_client(server.url, read_timeout=TIMEOUT))
        with pytest.raises(KeyboardInterrupt):
            getattr(client, method)(Bucket="bucket", Key="key", **arguments)
        assert done
        client.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_a_part_that_has_not_gone_whole_is_broken_off(threads: int) -> None:
    """Over a slow line it would take minutes; a server does nothing with the beginning of a request."""
    under_way, over = threading.Semaphore(0), threading.Event()

    def act(sock: socket.socket) -> bool:
        under_way.release()
        over.wait(TIMEOUT)  # it reads no more
        return False

    def press() -> None:
        if all(under_way.acquire(timeout=TIMEOUT) for _ in range(threads)):
            os.kill(os.getpid(), signal.SIGINT)

    with ScriptedServer(*[Step(act, reads_body=False)] * 8) as server:
        client = LeanClient(plain_client(server.url, read_timeout=TIMEOUT))
        body, began = bytes(2**24), time.monotonic()

        def send(number: int) -> None:
            client.upload_part(Bucket="bucket", Key="key", UploadId="1", PartNumber=number, Body=body)

        threading.Thread(target=press, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            for_each(send, range(1, 9), threads)
        over.set()
        assert time.monotonic() - began < TIMEOUT / 2
        client.close()

"""The lean way when the other side does what it should not: botocore's errors, and no byte that is wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import exceptions as boto
from lean_faults import ScriptedServer, Step, error, hold, plain_client, raw, reply, reset

from cottoncandy.backends.s3.lean import LeanClient
from cottoncandy.retry import RetryPolicy

pytestmark = pytest.mark.lean_wire("it is about our own connections, or sets them beside botocore's")

BODY = os.urandom(300_000)
Make = Callable[..., tuple[LeanClient, ScriptedServer]]


@pytest.fixture
def make() -> Iterator[Make]:
    """``make(*steps)``: a server with this script, and a lean client of it that never sleeps."""
    made: list[tuple[LeanClient, ScriptedServer]] = []

    def start(
        *steps: Step, attempts: int = 3, read_timeout: float = 5, **config: Any
    ) -> tuple[LeanClient, ScriptedServer]:
        server = ScriptedServer(*steps)
        client = plain_client(server.url, read_timeout=read_timeout, **config)
        lean = LeanClient(client, policy=RetryPolicy(attempts=attempts, sleep=lambda _: None))
        made.append((lean, server))
        return lean, server

    yield start
    for lean, server in made:
        lean.close()
        server.__exit__(None, None, None)


def get(lean: LeanClient) -> Any:
    return lean.get_object(Bucket="bucket", Key="key")


def put(lean: LeanClient, body: bytes = b"x") -> Any:
    return lean.put_object(Bucket="bucket", Key="key", Body=body)


def read(lean: LeanClient) -> bytes:
    with get(lean)["Body"] as body:
        content = body.read()
    assert isinstance(content, bytes)
    return content


# ------------------------------------------------------------------ errors that pass, and errors that stay
@pytest.mark.parametrize(
    "fault",
    [
        error(503, "SlowDown"),
        error(500, "InternalError"),
        error(429, "TooManyRequests"),
        error(400, "RequestTimeout"),
        reply(502, b"<html>bad gateway</html>"),
        reply(504),
        reset(),
        raw(b"", close=True),
        raw(b"HTTP/1.1 200 OK\r\nContent-", close=True),
        reset(b"HTTP/1.1 200 OK\r\nContent-"),
        raw(b"SSH-2.0-OpenSSH\r\n\r\n", close=True),
        raw(b"HTTP/1.1 200 OK\r\n folded: header\r\n\r\n", close=True),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", close=True),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", close=True),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", close=True),
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", close=True),
    ],
)
def test_what_may_pass_is_tried_again(make: Make, fault: Step) -> None:
    lean, server = make(fault, fault, reply(body=BODY))
    response = get(lean)
    assert response["Body"].read() == BODY
    assert response["ResponseMetadata"]["RetryAttempts"] == 2
    assert len(server.requests) == 3
    assert len({asked.headers["authorization"] for asked in server.requests} | {""}) >= 2


def test_attempts_end_with_botocores_error(make: Make) -> None:
    lean, server = make(*[error(503, "SlowDown")] * 3)
    with pytest.raises(boto.ClientError, match=r"\(SlowDown\).*\(reached max retries: 2\)") as caught:
        get(lean)
    assert caught.value.response["ResponseMetadata"]["MaxAttemptsReached"]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NoSuchKey"), (403, "AccessDenied"), (412, "PreconditionFailed"), (501, "NotImplemented")],
)
def test_what_stays_is_not_tried_again(make: Make, status: int, code: str) -> None:
    lean, server = make(error(status, code))
    with pytest.raises(boto.ClientError, match=code):
        get(lean)
    assert len(server.requests) == 1


def test_a_body_is_sent_whole_again(make: Make) -> None:
    lean, server = make(error(503, "SlowDown"), reset(), reply())
    put(lean, BODY)
    assert [asked.body for asked in server.requests] == [BODY] * 3


def test_the_server_names_the_wait() -> None:
    waits: list[float] = []
    with ScriptedServer(
        error(503, "SlowDown", Retry_After="7"), error(503, "x", x_amz_retry_after="1500"), reply()
    ) as server:
        lean = LeanClient(plain_client(server.url), policy=RetryPolicy(sleep=waits.append, draw=lambda: 0.0))
        put(lean)
        lean.close()
    assert waits == [7.0, 1.5]


def test_nobody_there() -> None:
    with ScriptedServer() as server:
        url = server.url
    lean = LeanClient(plain_client(url), policy=RetryPolicy(attempts=2, sleep=lambda _: None))
    with pytest.raises(boto.EndpointConnectionError, match=r"http://127\.0\.0\.1"):
        get(lean)


def test_no_such_host() -> None:
    lean = LeanClient(plain_client("http://no-such-host.invalid"), policy=RetryPolicy(attempts=1))
    with pytest.raises(boto.EndpointConnectionError):
        get(lean)


# ------------------------------------------------------------------ bodies that break
def test_a_body_that_ends_early(make: Make) -> None:
    lean, _ = make(raw(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 300000\r\n\r\n" + BODY[:200_000], close=True))
    buffer = bytearray(300_000)
    body = get(lean)["Body"]
    assert body.readinto(buffer) == 200_000
    assert buffer[:200_000] == BODY[:200_000]
    with pytest.raises(boto.IncompleteReadError, match="200000 read, but total bytes expected is 300000"):
        body.readinto(buffer)
    with pytest.raises(boto.IncompleteReadError):
        body.read()


def test_a_body_that_is_reset(make: Make) -> None:
    lean, _ = make(reset(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 300000\r\n\r\n" + BODY[:100_000]))
    with pytest.raises((boto.ResponseStreamingError, boto.IncompleteReadError)):
        read(lean)


def test_a_body_that_stalls(make: Make) -> None:
    done = threading.Event()
    lean, _ = make(
        hold(done, b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 300000\r\n\r\n" + BODY[:1000]), read_timeout=0.3
    )
    body = get(lean)["Body"]
    assert body.readinto(bytearray(300_000)) == 1000
    with pytest.raises(boto.ReadTimeoutError):
        body.readinto(bytearray(1000))
    done.set()


def test_an_answer_that_does_not_come(make: Make) -> None:
    done = threading.Event()
    lean, server = make(hold(done), hold(done), reply(body=b"late"), read_timeout=0.3, attempts=2)
    with pytest.raises(boto.ReadTimeoutError):
        get(lean)
    assert read(lean) == b"late"
    assert len({asked.connection for asked in server.requests}) == 3
    done.set()


def test_a_listing_that_breaks_is_asked_for_again(make: Make) -> None:
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    cut = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + page, close=True)
    no_xml = reply(body=page[:30])
    hidden = reply(body=b"<?xml version='1.0'?>\n<Error><Code>InternalError</Code></Error>")
    lean, server = make(cut, no_xml, hidden, reply(body=page), attempts=4)
    assert lean.list_page(Bucket="bucket").objects == []
    assert len(server.requests) == 4
    server.then(cut, no_xml, hidden, reply(body=page))
    assert lean.list_objects_v2(Bucket="bucket")["IsTruncated"] is False
    server.then(hidden, reply(body=b"<DeleteResult/>"))
    lean.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "x"}]})
    assert len(server.requests) == 10


def test_an_error_behind_a_yes_is_an_error_where_it_is_read_later_too(make: Make) -> None:
    lean, server = make(reply(), error(200, "SlowDown"), reply(), error(200, "SlowDown"), reply())
    for _ in range(2):
        put(lean)  # its connection is at hand then
        begun = lean.begin_put_object(Bucket="bucket", Key="key", Body=b"x")
        assert begun is not None
        with pytest.raises(boto.ClientError, match="SlowDown"):
            begun.result()
    put(lean)
    assert len(server.requests) == 5


def test_a_refusal_before_the_body_is_read(make: Make) -> None:
    """The server answers and closes while we still send: its answer counts, not the broken pipe."""
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 47\r\n\r\n<Error><Code>AccessDenied</Code></Error>       "
    lean, server = make(raw(refusal, close=True, reads_body=False))
    with pytest.raises(boto.ClientError, match="AccessDenied"):
        put(lean, bytes(50 << 20))
    assert len(server.requests) == 1


# ------------------------------------------------------------------ framing
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nETag: e\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;name=x\r\npedia\r\n0\r\n\r\n",
        b"HTTP/1.1 200\r\nETag: e\r\nTransfer-Encoding: Chunked\r\n\r\n00009\r\nwikipedia\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 9\r\n\r\nwikipedia",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nETag: e\r\ncontent-length:9\r\n\r\nwikipedia",
        b"HTTP/1.1 200\r\nETag: e\r\nContent-Length: 9\r\n\r\nwikipedia",
        b"HTTP/1.0 200 OK\r\nETag: e\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\nwikipedia",
    ],
)
def test_bodies_in_all_frames_keep_the_connection(make: Make, answer: bytes) -> None:
    lean, server = make(raw(answer), raw(answer))
    assert [read(lean), read(lean)] == [b"wikipedia"] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nETag: e\r\nConnection: close\r\nContent-Length: 9\r\n\r\nwikipedia",
        b"HTTP/1.0 200 OK\r\nETag: e\r\nContent-Length: 9\r\n\r\nwikipedia",
        b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 9\r\n\r\nwikipedia and more",
    ],
)
def test_a_connection_that_cannot_be_used_again_is_not(make: Make, answer: bytes) -> None:
    lean, server = make(raw(answer), raw(answer))
    assert [read(lean), read(lean)] == [b"wikipedia"] * 2
    assert server.connections == 2


def test_a_body_that_ends_with_the_connection(make: Make) -> None:
    lean, _ = make(raw(b"HTTP/1.1 200 OK\r\nETag: e\r\n\r\n" + BODY, close=True))
    assert read(lean) == BODY


@pytest.mark.parametrize(
    "answer", [b"5\r\nwikipedia\r\n0\r\n\r\n", b"xyz\r\n", b"-5\r\n", b"9\r\nwiki", b"9\r\nwikipedia\r\n", b"1" * 5000]
)
def test_broken_chunks_are_errors(make: Make, answer: bytes) -> None:
    lean, _ = make(raw(b"HTTP/1.1 200 OK\r\nETag: e\r\nTransfer-Encoding: chunked\r\n\r\n" + answer, close=True))
    with pytest.raises(boto.ResponseStreamingError):
        read(lean)


def test_answers_without_bodies(make: Make) -> None:
    lean, server = make(
        reply(body=b"", Content_Length="12345"),
        raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
        reply(404, Content_Length="99"),
        reply(),
    )
    assert lean.head_object(Bucket="bucket", Key="x")["ContentLength"] == 12345
    lean.delete_object(Bucket="bucket", Key="x")
    with pytest.raises(boto.ClientError, match="404"):
        lean.head_object(Bucket="bucket", Key="x")
    put(lean)
    assert server.connections == 1


def test_pieces_of_any_size(make: Make) -> None:
    lean, _ = make(*[reply(body=BODY)] * 4)
    with get(lean)["Body"] as body:
        assert b"".join(iter(lambda: body.read(1777), b"")) == BODY
        assert body.read() == b""
    body = get(lean)["Body"]
    assert body.read(10) + body.read(0) + body.read(299_980) + body.read(100) + body.read(5) == BODY
    buffer = bytearray(len(BODY) + 5)
    assert get(lean)["Body"].readinto(buffer) == len(BODY)
    assert buffer == BODY + bytes(5)
    assert get(lean)["Body"].read(1 << 20) == BODY


# ------------------------------------------------------------------ connections
def test_one_connection_serves_a_thread(make: Make) -> None:
    lean, server = make(*[reply(body=BODY)] * 20)
    for _ in range(20):
        read(lean)
    assert server.connections == 1


def test_threads_have_connections_of_their_own(make: Make) -> None:
    lean, server = make(*[reply(body=BODY)] * 80, max_pool_connections=4)
    wrong: list[int] = []

    def run() -> None:
        wrong.extend(i for i in range(10) if read(lean) != BODY)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(server.requests) == 80


def test_an_idle_connection_that_was_closed_is_replaced_without_a_word(make: Make) -> None:
    lean, server = make(
        raw(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 2\r\n\r\nok", close=True), reply(body=b"ok"), attempts=1
    )
    assert [read(lean), read(lean)] == [b"ok", b"ok"]
    assert [asked.connection for asked in server.requests] == [1, 2]


def test_an_answer_too_many_is_not_the_answer_to_what_comes_next(make: Make) -> None:
    lean, server = make(reply(body=b"one"), reply(body=b"two"), attempts=1)
    assert read(lean) == b"one"
    server._open[-1].sendall(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 3\r\n\r\none")
    assert read(lean) == b"two"
    assert [asked.connection for asked in server.requests] == [1, 2]


def test_a_connection_that_dies_under_the_request_is_replaced_once(make: Make) -> None:
    # the second request is read, and then the connection closed: nothing of an answer was received
    lean, server = make(reply(), raw(b"", close=True), reply(), reply(), raw(b"", close=True), reset(), attempts=1)
    put(lean)
    assert put(lean, b"again")["ResponseMetadata"]["RetryAttempts"] == 1
    assert [asked.connection for asked in server.requests] == [1, 1, 2]
    put(lean)
    with pytest.raises(boto.ConnectionClosedError):
        put(lean)
    assert len(server.requests) == 6


def test_a_body_that_is_left_unread_takes_its_connection_along(make: Make) -> None:
    lean, server = make(reply(body=BODY), reply(body=b"next"), reply(body=b"small"), reply(body=b"next"))
    get(lean)["Body"].close()
    assert read(lean) == b"next"
    assert server.connections == 2
    get(lean)["Body"].close()  # it was all there already
    assert read(lean) == b"next"
    assert server.connections == 2


def test_a_closed_body_does_not_read(make: Make) -> None:
    lean, _ = make(reply(body=BODY))
    body = get(lean)["Body"]
    body.close()
    with pytest.raises(ValueError, match="closed"):
        body.read()


def test_close_closes_and_the_client_lives_on(make: Make) -> None:
    lean, server = make(*[reply(body=BODY)] * 3)
    read(lean)
    in_use = get(lean)["Body"]
    lean.close()
    assert in_use.read() == BODY
    assert read(lean) == BODY
    assert [asked.connection for asked in server.requests] == [1, 1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_makes_connections_of_its_own(make: Make) -> None:
    lean, server = make(*[reply(body=BODY)] * 3)
    read(lean)
    child = os.fork()
    if not child:
        os._exit(0 if read(lean) == BODY else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert read(lean) == BODY
    assert [asked.connection for asked in server.requests] == [1, 2, 1]


def test_an_interrupted_call_leaves_no_connection_behind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    lean, server = make(reply(body=BODY), reply(body=b"right"))
    body = get(lean)["Body"]

    monkeypatch.setattr(type(body._connection), "read_into", interrupt)
    with pytest.raises(KeyboardInterrupt):
        body.read()
    monkeypatch.undo()
    assert read(lean) == b"right"
    assert server.connections == 2


def interrupt(*_: Any) -> int:
    raise KeyboardInterrupt

"""One policy for what is tried again: the same on both ways to S3, and a store that is gone is an error in time."""

from __future__ import annotations

import json
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.client import Config
from lean_faults import CONTINUE, ERROR, ScriptedServer, Step, error, hold, raw, reply, reset
from lean_faults import foreign as page_of

from cottoncandy.backends.s3 import S3Backend, foreign
from cottoncandy.config import Options
from cottoncandy.errors import AccessDenied, NotSupported, TransientError
from cottoncandy.retry import Retries, RetryPolicy, retry_after
from cottoncandy.stream import TransferSettings, read_range

Open = Callable[..., tuple[S3Backend, ScriptedServer]]


# ------------------------------------------------------------------ the policy
def fail(retries: Retries, failure: Exception, pause: Callable[[], None] = lambda: None, idle: float = 0.0) -> None:
    """Try something that always fails, until the failure is raised."""
    with suppress(type(failure)):
        while True:
            pause()
            retries.wait(failure, idle=idle)


def test_waits_grow_up_to_the_cap_and_end_with_the_attempts() -> None:
    waits: list[float] = []
    policy = RetryPolicy(attempts=6, base=1.0, cap=5.0, sleep=waits.append, draw=lambda: 1.0)
    retries = policy.start("it")
    retries.wait(ConnectionError(), retry_after=7.0)
    fail(retries, ConnectionError())
    assert waits == [7.0, 2.0, 4.0, 5.0, 5.0]


def test_nothing_is_tried_behind_the_total() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    world: dict[str, Any] = {"clock": lambda: now[0], "sleep": sleep, "draw": lambda: 1.0}
    policy = RetryPolicy(attempts=99, base=1.0, cap=1.0, total=10.0, **world)
    fail(policy.start("it"), ConnectionError())
    assert now[0] == 10.0
    # a time-out counts from its beginning, and none is begun that would end too late
    now[0] = 0.0
    fail(policy.start("it"), TimeoutError(), lambda: sleep(3.0), idle=3.0)
    assert now[0] == 7.0
    with pytest.raises(ConnectionError):  # what the store asks for is longer than the user wants to wait
        policy.start("it").wait(ConnectionError(), retry_after=11.0)


def test_failures_are_forgotten_for_what_is_worth_it() -> None:
    retries = RetryPolicy(attempts=3, sleep=lambda _: None).start("it")
    for _ in range(9):  # each time a share of it: together they are enough
        retries.wait(ConnectionError())
        retries.progressed(2**15)
    assert retries.failures == 1
    fail(retries, ConnectionError(), lambda: retries.progressed(1))
    assert retries.failures == 3


def test_what_a_server_asks_for() -> None:
    soon = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert 90 < (retry_after(soon.strftime("%a, %d %b %Y %H:%M:%S GMT")) or 0) <= 100
    assert [retry_after(text) for text in ("12", "Mon, 01 Jan 2001 00:00:00 GMT", "x", "", None, "-1")] == [
        *(12.0, 0.0, None, None, None, None)
    ]


def test_it_travels() -> None:
    policy = RetryPolicy(attempts=3)
    assert pickle.loads(pickle.dumps(policy)) == policy


# ------------------------------------------------------------------ both ways to S3
@pytest.fixture(params=["lean", "botocore"])
def open_s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """``open_s3(*steps, option=value)``: a backend with these options of [retry], and a server with this script."""
    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", str(request.param == "lean"))
    made: list[Any] = []

    def start(*steps: Step, keys: Any = ("access", "secret-key"), **options: Any) -> tuple[S3Backend, ScriptedServer]:
        arguments = {name: options.pop(name) for name in ("config", "profile_name") if name in options}
        for name, value in options.items():
            monkeypatch.setenv(f"COTTONCANDY_RETRY_{name.upper()}", str(value))
        server = ScriptedServer(*steps)
        backend = S3Backend.connect("bucket", *keys, server.url, Options.load(create=False), **arguments)
        made.extend([backend, server])
        return backend, server

    yield start
    for one in made:
        one.close() if isinstance(one, S3Backend) else one.__exit__(None, None, None)


def read(backend: S3Backend) -> bytes:
    buffer = bytearray(2)
    backend.read_range("key", 0, memoryview(buffer))
    return bytes(buffer)


@pytest.mark.parametrize(
    "fault",
    [
        error(503, "SlowDown"),
        error(400, "RequestTimeout"),
        error(409, "OperationAborted"),
        reply(520),
        reply(502, b"<!DOCTYPE html><html><body>Bad gateway<br></body></html>"),
        reset(),
    ],
    ids=["busy", "timeout", "aborted", "520", "page", "reset"],
)
def test_what_may_pass_is_tried_again(open_s3: Open, fault: Step, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cottoncandy")
    backend, server = open_s3(fault, fault, fault, reply(206, b"ok", Content_Range="bytes 0-1/2"), attempts=4)
    assert read(backend) == b"ok"
    assert len(server.requests) == 4
    # each once, with the object and the reason: the first two tell, then it is trouble
    said = [(record.levelname, record.getMessage()) for record in caplog.records if "try" in record.getMessage()]
    assert [level for level, _ in said] == ["INFO", "INFO", "WARNING"]
    assert all(f"GetObject {server.url}/bucket/key: " in text and "of 4 in 0.0" in text for _, text in said), said
    assert "secret-key" not in caplog.text


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (501, "NotImplemented"), (507, "Full")])
def test_what_stays_is_not_tried_again(open_s3: Open, status: int, code: str) -> None:
    backend, server = open_s3(error(status, code))
    with pytest.raises((OSError, NotImplementedError), match=code):
        read(backend)
    assert len(server.requests) == 1


def test_attempts_end(open_s3: Open) -> None:
    backend, server = open_s3(*[error(503, "SlowDown")] * 9, attempts=5)
    with pytest.raises(TransientError, match=r"'key' in bucket 'bucket'.*SlowDown") as caught:
        read(backend)
    assert len(server.requests) == 5
    metadata = caught.value.__cause__.response["ResponseMetadata"]  # type: ignore[union-attr]
    assert (metadata["RetryAttempts"], metadata["MaxAttemptsReached"]) == (4, True)


def test_the_users_config_wins_over_the_options(open_s3: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(retries={"total_max_attempts": 2, "mode": "standard"})
    backend, server = open_s3(*[reset()] * 9, config=config, attempts=5)
    with pytest.raises(TransientError):
        read(backend)
    assert len(server.requests) == 2
    monkeypatch.delenv("COTTONCANDY_RETRY_ATTEMPTS")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")  # boto3's variable, over the default
    backend, server = open_s3(*[reset()] * 9)
    with pytest.raises(TransientError):
        read(backend)
    assert len(server.requests) == 3


def test_the_store_names_the_wait(open_s3: Open) -> None:
    backend, server = open_s3(error(503, "SlowDown", Retry_After="600"), total_time=5)
    with pytest.raises(TransientError, match="SlowDown"):  # that is more than the user waits
        read(backend)
    server.then(error(503, "SlowDown", x_amz_retry_after="300"), reply(206, b"ok", Content_Range="bytes 0-1/2"))
    began = time.monotonic()
    assert read(backend) == b"ok"
    assert time.monotonic() - began >= 0.3


def test_an_answer_200_that_holds_an_error(open_s3: Open) -> None:
    """A server that begins to answer before it is done may fail after its 200."""
    done = b"<CompleteMultipartUploadResult><ETag>&quot;e-1&quot;</ETag></CompleteMultipartUploadResult>"
    copied = b"<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>"
    deleted = b"<DeleteResult></DeleteResult>"
    failed = reply(200, b"<?xml version='1.0'?>\n<Error><Code>InternalError</Code></Error>")
    begun = reply(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    backend, server = open_s3(begun, reply(ETag='"p"'), failed, failed, reply(200, done))
    upload = backend.start_upload("key", {})
    upload.send_part(1, b"x")
    assert upload.complete()["ETag"] == '"e-1"'
    server.then(reply(Content_Length="1", ETag='"e"'), failed, reply(200, copied))
    assert backend.copy("key", "other")["ETag"] == '"e"'
    server.then(failed, reply(200, deleted))
    assert backend.delete(["a", "b"]) == 2
    assert [asked.method for asked in server.requests] == [
        *("POST", "PUT"),
        *["POST"] * 3,
        *("HEAD", "PUT", "PUT"),
        *["POST"] * 2,
    ]


# ------------------------------------------------------------------ an answer before the body was sent
LARGE = bytes(50 << 20)


def before_the_body(answer: bytes) -> Step:
    """An answer, and a connection that is closed, while the body is still to be read."""
    return raw(answer, close=True, reads_body=False)


@pytest.mark.parametrize("interim", [b"", CONTINUE], ids=["at once", "continue"])
def test_a_yes_before_the_body_is_none(open_s3: Open, interim: bytes) -> None:
    """botocore sends no body where the answer comes in the place of ``100 Continue``, and forgives broken pipes."""
    early = before_the_body(interim + b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "e"\r\n\r\n')
    backend, server = open_s3(early, reply(ETag='"e"'), longest_wait=0.01)
    backend.put("key", LARGE, {})
    assert [len(asked.body) for asked in server.requests] == [0, len(LARGE)]
    server.then(*[early] * 9)
    with pytest.raises(TransientError, match="'key' in bucket 'bucket'"):
        backend.put("key", LARGE, {})
    assert len(server.requests) == 2 + 8


@pytest.mark.parametrize("interim", [b"", CONTINUE], ids=["at once", "continue"])
def test_a_no_before_the_body_counts(open_s3: Open, interim: bytes) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>"
    backend, server = open_s3(before_the_body(interim + refusal))
    with pytest.raises(AccessDenied):
        backend.put("key", LARGE, {})
    assert len(server.requests) == 1


# ------------------------------------------------------------------ a page in the place of an answer
PAGES = {
    "html": page_of(200, b"<!DOCTYPE html>\n<html><body>Please log in<br></body></html>", Content_Type="text/html"),
    "xhtml": page_of(200, b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body/></html>"),
    "text": page_of(200, b"Please log in", Content_Type="text/html; charset=utf-8"),
    "script": page_of(200, b"<script>location = '/login'</script>", Content_Type="text/html"),
    "error": error(200, "InternalError"),
}
#: What no store answers to bytes that are read or written.
NOBODYS = {
    **{name: PAGES[name] for name in ("html", "text", "script")},
    "error": page_of(200, ERROR % b"InternalError", Content_Type="application/xml"),
    "nothing": page_of(200),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
}
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;e-1&quot;</ETag></CompleteMultipartUploadResult>"


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_a_login_page_stores_and_deletes_nothing(open_s3: Open, page: Step) -> None:
    """Such networks answer each request with their own page, and with 200."""
    backend, server = open_s3(page, reply(ETag='"e"'), attempts=2, longest_wait=0.01)
    assert backend.put("key", b"x", {})["ETag"] == '"e"'
    server.then(reply(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"))
    upload = backend.start_upload("key", {})
    server.then(page, reply(ETag='"p"'), page, reply(204))
    upload.send_part(1, b"x")
    assert backend.delete(["a"]) == 1
    assert len(server.requests) == 2 + 1 + 2 + 2
    calls: list[Callable[[], object]] = [
        lambda: backend.put("key", b"x", {}),
        lambda: backend.start_upload("key", {}),
        lambda: upload.send_part(1, b"x"),
        upload.complete,
        lambda: backend.delete(["a", "b"]),
        lambda: backend.delete(["a"]),
        upload.abort,
    ]
    for call in calls:
        server.then(page, page)
        with pytest.raises(TransientError, match="bucket 'bucket'"):
            call()
        server.skip()  # what botocore cannot parse is not asked for again


@pytest.mark.parametrize("body", [b"<ErrorResponse>&#27;</ErrorResponse>", b"<html>\x1b[31m</html>", b"\x1b[31mfailed"])
def test_a_failure_whose_text_xml_cannot_hold_is_a_failure(open_s3: Open, body: bytes) -> None:
    backend, server = open_s3(*[reply(500, body)] * 9, attempts=1)
    for call in (
        lambda: backend.put("key", b"x", {}),
        lambda: backend.delete(["key"]),
        lambda: backend.start_upload("key", {}),
        lambda: backend.open("key"),
        lambda: list(backend.list_objects()),
    ):
        with pytest.raises(TransientError, match="bucket 'bucket'"):
            call()
    assert len(server.requests) == 5


def test_a_page_that_a_store_gives_out_is_an_object(open_s3: Open) -> None:
    page, told = b"<html></html>", {"Content_Type": "text/html"}
    backend, _ = open_s3(reply(200, page, **told), reply(200, page, **told))
    assert backend.stat("key").size == len(page)
    assert bytes(read_range(backend, "key", TransferSettings())) == page


@pytest.mark.parametrize("page", NOBODYS.values(), ids=list(NOBODYS))
def test_a_login_page_is_no_object(open_s3: Open, page: Step) -> None:
    backend, _ = open_s3(*[page] * 9, attempts=2, longest_wait=0.01)
    for call in (
        lambda: backend.open("key"),
        lambda: backend.stat("key"),
        lambda: backend.exists("key"),
        lambda: read_range(backend, "key", TransferSettings()),
    ):
        with pytest.raises(TransientError, match=r"'key'.* makes no sense, each .*: an answer that is no store's"):
            call()


@pytest.mark.parametrize("page", NOBODYS.values(), ids=list(NOBODYS))
def test_what_no_store_answers_is_asked_for_again(open_s3: Open, page: Step) -> None:
    backend, server = open_s3(page, reply(206, b"ok", Content_Range="bytes 0-1/2"), attempts=2, longest_wait=0.01)
    assert read(backend) == b"ok"
    server.then(page, reply(200, b"ok", Content_Type="text/html"))
    assert bytes(read_range(backend, "key", TransferSettings())) == b"ok"
    server.then(page, reply(Content_Length="2"))
    assert backend.stat("key").size == 2
    assert len(server.requests) == 6


@pytest.mark.parametrize("page", NOBODYS.values(), ids=list(NOBODYS))
def test_what_no_store_answers_has_stored_nothing(open_s3: Open, page: Step) -> None:
    backend, server = open_s3(page, reply(ETag='"e"'), attempts=2, longest_wait=0.01)
    assert backend.put("key", b"x", {})["ETag"] == '"e"'
    server.then(reply(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"))
    upload = backend.start_upload("key", {})
    server.then(page, reply(ETag='"p"'), reply(200, COMPLETED))
    upload.send_part(1, b"x")
    upload.complete()
    assert b"<ETag>&quot;p&quot;</ETag>" in server.requests[-1].body.replace(b'"', b"&quot;")
    assert len(server.requests) == 2 + 1 + 2 + 1


def test_a_part_that_does_not_say_which_is_no_object(open_s3: Open) -> None:
    part = reply(206, b"ok", ETag='"e"')
    backend, server = open_s3(part, reply(206, b"ok", Content_Range="bytes 0-1/2"), attempts=2, longest_wait=0.01)
    assert read(backend) == b"ok"
    server.then(part, part)
    with pytest.raises(TransientError, match="no Content-Range that says which"):
        read_range(backend, "key", TransferSettings())
    assert len(server.requests) == 4


#: A captive portal's, which is XML; a page that does not say whether it is the last one; and another listing.
NO_PAGES = {
    "portal": b"<WISPAccessGatewayParam><Redirect/></WISPAccessGatewayParam>",
    "cut off": b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
    "another": b"<ListAllMyBucketsResult><IsTruncated>false</IsTruncated></ListAllMyBucketsResult>",
}


@pytest.mark.parametrize("body", NO_PAGES.values(), ids=list(NO_PAGES))
def test_what_is_no_listing_says_of_nothing_that_it_is_not_there(open_s3: Open, body: bytes) -> None:
    page = reply(200, body, Content_Type="application/xml")
    backend, server = open_s3(attempts=1)
    for call in (
        lambda: list(backend.list_objects("a/")),
        lambda: list(backend.list_names("a/")),
        lambda: backend.list_versions("a"),
        lambda: list(backend.unfinished_uploads("a/")),
    ):
        server.then(page)
        with pytest.raises((TransientError, NotSupported), match=r"makes no sense|it does not know List"):
            call()


def test_a_server_that_does_not_know_a_call_is_asked_once(open_s3: Open) -> None:
    """It passes over the parameter that names the call, and lists objects."""
    page = reply(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    backend, server = open_s3(page, page)
    for call in (lambda: backend.list_versions("a"), lambda: list(backend.unfinished_uploads())):
        with pytest.raises(NotSupported, match=r"bucket 'bucket': the store cannot do that .*it does not know List"):
            call()
    assert len(server.requests) == 2


@pytest.mark.parametrize("root", ["CopyPartResult", "CopyObjectResult"])
def test_a_part_that_was_copied(open_s3: Open, root: str) -> None:
    """S3Proxy answers as to a copy of a whole object."""
    copied = reply(200, f"<{root}><ETag>&quot;p&quot;</ETag></{root}>".encode())
    backend, server = open_s3(copied, attempts=1)
    told = backend._bucket.client.upload_part_copy(
        Bucket="bucket", Key="key", PartNumber=1, UploadId="u", CopySource="bucket/other"
    )
    assert told["CopyPartResult"]["ETag"] == '"p"'
    assert len(server.requests) == 1


@pytest.mark.parametrize(("length", "told"), [(12, "0-1/2"), (2, "0-2/3"), (2, "0-1/1"), (2, "1-0/2"), (2, "all")])
def test_a_length_that_contradicts_the_range_is_asked_for_again(open_s3: Open, length: int, told: str) -> None:
    head = f'HTTP/1.1 206 x\r\nContent-Length: {length}\r\nContent-Range: bytes {told}\r\nETag: "e"\r\n\r\n'
    wrong = raw(head.encode() + b"ok", close=True)
    right = reply(206, b"ok", Content_Range="bytes 0-1/2", ETag='"e"')
    backend, server = open_s3(wrong, right, attempts=2, longest_wait=0.01)
    assert read(backend) == b"ok"
    server.then(wrong, wrong)
    with pytest.raises(TransientError, match=r"'key'.*Content-Range"):
        backend.open("key", 0, 2)
    assert len(server.requests) == 4


def test_nobody_waits_for_what_stands_before_a_document() -> None:
    for piece, end in ((b"<!---->", b""), (b" ", b""), (b"<?x?>", b"<"), (b"<!--", b"")):
        assert not foreign.is_page(piece * 100_000 + end)
    assert foreign.is_page(b"\xef\xbb\xbf<?xml version='1.0'?> <!-- a --><!DOCTYPE html>\n<HTML>")


def test_a_login_page_where_botocore_tries_again_by_its_own(open_s3: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    backend, server = open_s3(*[PAGES["html"]] * 2)
    with pytest.raises(TransientError, match="bucket 'bucket'"):
        list(backend.list_objects())
    server.then(*[PAGES["html"]] * 2)
    with pytest.raises(TransientError, match="bucket 'bucket'"):
        backend.delete(["a", "b"])
    server.then(PAGES["html"], reply(ETag='"e"'))
    assert backend.put("key", b"x", {})["ETag"] == '"e"'
    assert len(server.requests) == 6


def test_nothing_is_sent_at_once(open_s3: Open) -> None:
    """Nobody needs to be told to go on with a body of no bytes."""
    backend, server = open_s3(reply(ETag='"e"'))
    assert backend.put("key", b"", {})["ETag"] == '"e"'
    assert len(server.requests) == 1


def test_another_document_is_no_list_of_failures(open_s3: Open) -> None:
    listing = reply(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    backend, _ = open_s3(listing, listing, attempts=2, longest_wait=0.01)
    with pytest.raises(TransientError, match="bucket 'bucket'"):
        backend.delete(["a", "b"])


def test_a_page_can_be_an_object(open_s3: Open) -> None:
    page = b"<!DOCTYPE html><html></html>"
    backend, _ = open_s3(
        reply(206, page, Content_Type="text/html", Content_Range=f"bytes 0-{len(page) - 1}/{len(page)}")
    )
    assert bytes(read_range(backend, "key", TransferSettings())) == page


def test_a_copy_that_a_login_page_answers(open_s3: Open) -> None:
    """Who moves an object deletes the source then."""
    backend, server = open_s3(reply(Content_Length="1", ETag='"e"'), *[PAGES["xhtml"]] * 2, attempts=2)
    with pytest.raises(TransientError, match="'other' in bucket 'bucket'"):
        backend.copy("key", "other")
    assert [asked.method for asked in server.requests] == ["HEAD", "PUT", "PUT"]


# ------------------------------------------------------------------ a server that is gone
def test_a_server_that_never_answers_is_an_error_in_time(open_s3: Open) -> None:
    over = threading.Event()
    backend, server = open_s3(*[hold(over)] * 9, read_timeout=0.4, total_time=1.5)
    began = time.monotonic()
    with pytest.raises(TransientError, match=f"'key'.*{server.url}.*ReadTimeout"):
        read(backend)
    over.set()
    assert 0.4 <= time.monotonic() - began < 1.5 + 0.4
    assert len(server.requests) == 3  # a fourth time-out would not end in time


def test_a_total_is_never_shorter_than_a_time_out(open_s3: Open) -> None:
    over = threading.Event()
    backend, server = open_s3(*[hold(over)] * 9, total_time=0.5)  # read_timeout is 60 by itself
    began = time.monotonic()
    with pytest.raises(TransientError):
        read(backend)
    over.set()
    assert time.monotonic() - began < 5
    assert len(server.requests) == 1


def test_a_body_that_stalls_is_an_error_in_time(open_s3: Open) -> None:
    over = threading.Event()
    head = b'HTTP/1.1 206 x\r\nContent-Length: 2\r\nContent-Range: bytes 0-1/2\r\nETag: "e"\r\n\r\n'
    backend, _ = open_s3(*[hold(over, head)] * 9, read_timeout=0.2, total_time=0.5)
    began = time.monotonic()
    with pytest.raises(TransientError, match="'key'"):
        read(backend)
    over.set()
    assert time.monotonic() - began < 5


def test_nobody_there_is_an_error_in_time(open_s3: Open) -> None:
    backend, server = open_s3(longest_wait=10, total_time=0.3, attempts=99)
    server.__exit__(None, None, None)
    began = time.monotonic()
    with pytest.raises(TransientError, match=f"no connection to {server.url}"):
        read(backend)
    assert time.monotonic() - began < 3


# ------------------------------------------------------------------ a line that breaks again and again
def broken_answers(size: int, step: int) -> list[Step]:
    """Answers that bring so many bytes each, and then break: each begins where the one before broke."""
    head = 'HTTP/1.1 206 x\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{}\r\nETag: "e"\r\n\r\n'
    return [
        raw(head.format(size - start, start, size - 1, size).encode() + b"x" * min(step, size - start), close=True)
        for start in range(0, size, step)
    ]


def test_a_line_that_stalls_is_gone_on_with(open_s3: Open) -> None:
    over, size, came = threading.Event(), 3 * 2**16, 2**16
    head = 'HTTP/1.1 206 x\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{}\r\nETag: "e"\r\n\r\n'
    stalls = hold(over, head.format(size, 0, size - 1, size).encode() + b"x" * came)
    rest = raw(head.format(size - came, came, size - 1, size).encode() + b"y" * (size - came))
    backend, server = open_s3(stalls, rest, read_timeout=0.3, attempts=3, longest_wait=0.01)
    content = read_range(backend, "key", TransferSettings())
    over.set()
    assert bytes(content) == b"x" * came + b"y" * (size - came)
    assert len(server.requests) == 2


def test_an_answer_of_one_byte_is_no_progress(open_s3: Open) -> None:
    backend, server = open_s3(*broken_answers(100, 1), attempts=5, longest_wait=0.01)
    with pytest.raises(TransientError, match="'key' in bucket 'bucket'"):
        read_range(backend, "key", TransferSettings())
    assert len(server.requests) == 5


def test_a_line_that_breaks_and_moves_on_is_gone_on_with(open_s3: Open) -> None:
    backend, server = open_s3(*broken_answers(20 * 2**16, 2**16), attempts=2, longest_wait=0.01)
    content = read_range(backend, "key", TransferSettings())
    assert bytes(content) == b"x" * 20 * 2**16
    assert len(server.requests) == 20


# ------------------------------------------------------------------ credentials that have expired
@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What opens a backend with keys that a program gives for an hour: token-1, token-2, and so on."""
    expiry = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    keys = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "s", "Expiration": expiry, "SessionToken": "token-"}
    giver, config = tmp_path / "giver.sh", tmp_path / "config"
    giver.write_text(
        f"echo x >> {tmp_path}/n; n=$(wc -l < {tmp_path}/n); echo '{json.dumps(keys)}' | sed s/token-/token-$((n))/"
    )
    config.write_text(f"[profile lab]\ncredential_process = sh {giver}\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    return {"keys": (None, None), "profile_name": "lab"}


def tokens(server: ScriptedServer) -> list[str]:
    return [asked.headers["x-amz-security-token"] for asked in server.requests]


def test_an_expired_token_is_renewed_once(open_s3: Open, caplog: pytest.LogCaptureFixture, lab: dict[str, Any]) -> None:
    """The store takes the token for expired an hour before we do: its clock is another, or it was revoked."""
    backend, server = open_s3(
        *(
            error(400, "ExpiredToken"),
            reply(206, b"ok", Content_Range="bytes 0-1/2"),
            *[error(400, "ExpiredToken")] * 9,
        ),
        **lab,
    )
    caplog.set_level(logging.INFO, "cottoncandy")
    assert read(backend) == b"ok"
    assert tokens(server) == ["token-1", "token-2"]
    with pytest.raises(AccessDenied, match="the session token has expired"):
        read(backend)
    assert len(server.requests) == 4  # new keys are tried once
    assert "renewed" in caplog.text
    assert "token-" not in caplog.text


def test_a_token_may_expire_while_the_store_is_busy(open_s3: Open, lab: dict[str, Any]) -> None:
    busy, expired = error(503, "SlowDown"), error(400, "ExpiredToken")
    backend, server = open_s3(
        *(busy, expired, busy, reply(206, b"ok", Content_Range="bytes 0-1/2"), busy, *[expired] * 9), **lab
    )
    assert read(backend) == b"ok"
    assert tokens(server) == ["token-1"] * 2 + ["token-2"] * 2
    with pytest.raises(AccessDenied, match="the session token has expired"):
        read(backend)
    assert len(server.requests) == 7  # the renewed ones are tried once


def test_keys_that_cannot_be_renewed(open_s3: Open) -> None:
    backend, server = open_s3(*[error(400, "ExpiredToken")] * 3)
    with pytest.raises(AccessDenied, match="the session token has expired"):
        read(backend)
    assert len(server.requests) == 1


# ------------------------------------------------------------------ what was done though the answer was lost
def test_a_bucket_that_the_first_try_removed(open_s3: Open) -> None:
    backend, _ = open_s3(reset(), error(404, "NoSuchBucket"))
    backend.remove_container("bucket")

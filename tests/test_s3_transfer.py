"""Bytes on their way to and from S3, with faults on the way."""

from __future__ import annotations

import base64
import hashlib
import threading
import urllib.request
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.config import Config
from recorder import Fault, Hook, RecordingProxy, Request, Response
from s3_wire import MD5_OF_X, ONCE, before, connect, elsewhere, error, is_get, nth, ok, operation
from stores import BOTH_WIRES, Store

from cottoncandy.backends.base import MIB, ObjectHead, ObjectReader, WriteOptions
from cottoncandy.errors import (
    ChecksumMismatch,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    ServiceError,
    TransientError,
)
from cottoncandy.stream import ObjectSource, TransferSettings, read_range

HAVE_CHECKSUMS = "request_checksum_calculation" in Config.OPTION_DEFAULTS
BODY = hashlib.shake_256(b"body").digest(3 * MIB + 17)
ATTEMPTS = {"config": Config(retries=ONCE)}
TWICE = {"config": Config(retries={"total_max_attempts": 2, "mode": "standard"})}
SERVERS = pytest.mark.stores("moto", "seaweedfs", "ceph", "ceph-tls")


def read(reader: ObjectReader) -> bytes:
    with reader:
        buffer = bytearray(reader.stop - reader.start)
        assert reader.readexactly(memoryview(buffer)) == len(buffer)
        assert reader.readinto(memoryview(bytearray(1))) == 0
    return bytes(buffer)


# ------------------------------------------------------------------ reading
@BOTH_WIRES
@SERVERS
def test_ranges(store: Store) -> None:
    store.raw.put("key", BODY)
    e_tag = store.backend().stat("key").e_tag
    for start, stop in [(0, None), (5, 10), (0, 10**9), (MIB, 2 * MIB + 1), (len(BODY) - 1, None), (7, 7)]:
        with store.backend().open("key", start, stop) as reader:
            assert (reader.head.size, reader.head.e_tag) == (len(BODY), e_tag)
            assert (reader.start, reader.stop) == (start, min(len(BODY), len(BODY) if stop is None else stop))
            assert read(reader) == BODY[start:stop]


@BOTH_WIRES
@SERVERS
def test_ranges_behind_the_end(store: Store) -> None:
    store.raw.put("key", BODY)
    backend = store.backend()
    tag = backend.stat("key").e_tag
    for start in (len(BODY), len(BODY) + 1):
        for version in (None, tag):
            reader = backend.open("key", start, start + 5, e_tag=version)
            assert reader.start == reader.stop
            assert read(reader) == b""
            assert reader.head.size == len(BODY)
        with pytest.raises(ObjectChanged):
            backend.open("key", start, start + 5, e_tag=MD5_OF_X)


@SERVERS
def test_an_empty_object_can_be_opened(store: Store) -> None:
    store.raw.put("empty", b"", {"a": "1"})
    for start, stop in ((0, None), (0, 100), (0, 0)):
        reader = store.backend().open("empty", start, stop)
        assert (read(reader), reader.head.size, reader.head.metadata) == (b"", 0, {"a": "1"})


@BOTH_WIRES
@SERVERS
def test_only_the_version_that_was_asked_for(store: Store) -> None:
    backend = store.backend()
    backend.put("key", b"first", {})
    tag = backend.stat("key").e_tag
    assert tag is not None
    assert backend.read_range("key", 0, memoryview(bytearray(5)), e_tag=tag) == 5
    assert backend.read_range("key", 0, memoryview(bytearray(5)), e_tag=tag.strip('"')) == 5
    backend.put("key", b"other", {})
    for start, stop in ((0, None), (1, 3), (9, 10), (2, 2)):
        with pytest.raises(ObjectChanged, match="object 'key' in bucket"):
            backend.open("key", start, stop, e_tag=tag)


def whole_answers(headers: dict[str, str]) -> Hook:
    """A server that knows neither ranges nor conditions."""

    def hook(request: Request) -> Response:
        return Response(200, BODY, {"ETag": MD5_OF_X} | headers)

    return hook


def weakened(store: Store) -> RecordingProxy:
    """A proxy that could compress, so that no ETag says that bytes are alike."""
    assert store.server is not None
    weak = {"etag": "W/"}
    return RecordingProxy(store.server.endpoint, rewrite=lambda name, value: weak.get(name.lower(), "") + value)


@BOTH_WIRES
@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_weak_etags_hold_reads_to_one_version(store: Store) -> None:
    store.raw.put("key", BODY)
    settings = TransferSettings(download_threshold=MIB, download_part=MIB, threads=1)
    with weakened(store) as proxy:
        backend = store.backend(endpoint_url=proxy.url)
        head = backend.stat("key")
        assert (head.e_tag or "").startswith('W/"')
        with ObjectSource(backend, "key", settings) as source:
            buffer = bytearray(len(BODY))
            source.fill(0, memoryview(buffer), 1)
            assert buffer == BODY
        assert read(backend.open_version(head, 5, 10)) == BODY[5:10]
        listed = next(backend.list_objects())  # an ETag in XML is as the store says it
        assert read(backend.open_version(ObjectHead("key", listed.size, listed.last_modified, listed.e_tag))) == BODY
        assert not any((request.headers["If-Match"] or "").startswith("W/") for request in proxy.requests)
        for start, stop in ((0, 5), (7, 7), (len(BODY), None)):
            backend.open("key", start, stop, e_tag=head.e_tag).close()
        store.raw.put("key", BODY[::-1])
        for start, stop in ((0, 5), (7, 7), (len(BODY), None)):
            with pytest.raises(ObjectChanged, match="object 'key' in bucket"):
                backend.open("key", start, stop, e_tag=head.e_tag)


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_weak_etags_keep_nobody_from_writing(store: Store) -> None:
    with weakened(store) as proxy:
        backend = in_parts(store.backend(endpoint_url=proxy.url))
        upload(backend).complete()
        backend.copy("key", "to")
        assert store.raw.get("to")[0] == store.raw.get("key")[0] == EXPECTED
        tag = backend.stat("key").e_tag
        backend.put("key", b"small", {})
        with pytest.raises(ObjectChanged):
            backend.copy("key", "to", e_tag=tag)
        backend.copy("key", "to", e_tag=backend.stat("key").e_tag)
        assert store.raw.get("to")[0] == b"small"


@BOTH_WIRES
@pytest.mark.parametrize(("start", "stop"), [(0, 10), (5, 10), (2 * MIB, None), (len(BODY), len(BODY) + 5)])
def test_a_server_that_answers_a_range_with_the_whole(start: int, stop: int | None) -> None:
    with elsewhere(whole_answers({})) as (backend, proxy):
        reader = backend.open("key", start, stop)
        assert (reader.start, reader.stop) == (start, min(stop or len(BODY), len(BODY)))
        assert read(reader) == BODY[start:stop]
        assert proxy.requests[0].headers["Range"]
        with pytest.raises(ObjectChanged):
            backend.open("key", start, stop, e_tag='"another"')


@BOTH_WIRES
@pytest.mark.parametrize("threads", [1, 4])
def test_what_is_wanted_whole_comes_with_one_such_answer(threads: int) -> None:
    settings = TransferSettings(download_threshold=MIB, download_part=MIB)
    with elsewhere(whole_answers({})) as (backend, proxy):
        with ObjectSource(backend, "key", settings) as source:
            memory = bytearray(len(BODY))
            source.fill(0, memoryview(memory), threads)
        with ObjectSource(backend, "key", settings) as source:
            parts = b"".join(bytes(part) for part in source.parts(threads))
        with ObjectSource(backend, "key", settings, 10) as source:  # of one whose head is wanted no more is read
            head = bytearray(10)
            source.fill(0, memoryview(head), threads)
        assert (memory, parts, head) == (BODY, BODY, BODY[:10])
        assert [request.method for request in proxy.requests] == ["GET"] * 3


@BOTH_WIRES
def test_such_an_answer_that_breaks_is_gone_on_with() -> None:
    faults = [Fault("truncate", 2 * MIB)]
    with (
        elsewhere(whole_answers({})) as (_, server),
        RecordingProxy(server.url, hook=lambda _: faults.pop() if faults else None) as proxy,
        ObjectSource(connect(proxy.url), "key", TransferSettings(download_threshold=MIB)) as source,
    ):
        assert b"".join(bytes(part) for part in source.parts(4)) == BODY
        assert len(proxy.requests) == 3  # the part that broke is read to its end; then the rest is asked for


@BOTH_WIRES
@pytest.mark.parametrize("content_range", ["bytes 3-7/100", "lines 5-9/10"])
def test_an_answer_of_another_range(content_range: str) -> None:
    answer = Response(206, b"12345", {"ETag": MD5_OF_X, "Content-Range": content_range})
    with elsewhere(lambda _: answer) as (backend, _):
        for start in (2, 5):
            with pytest.raises(ServiceError, match=r"object 'key'|Content-Range"):
                backend.open("key", start, 8)


@BOTH_WIRES
@pytest.mark.parametrize("expires", ["5d", "never", "9" * 17, "9" * 400, "Fri, 31 Dec 99999 23:59:59 GMT", ""])
def test_expires_is_the_writers_own_text(expires: str) -> None:
    with elsewhere(lambda _: Response(200, b"hello", {"ETag": '"e"', "Expires": expires})) as (backend, proxy):
        assert read(backend.open("key")) == b"hello"
        assert backend.stat("key").e_tag == '"e"'
        assert backend.exists("key")
        assert [request.method for request in proxy.requests] == ["GET", "HEAD", "HEAD"]


@BOTH_WIRES
@pytest.mark.parametrize("second", [0, 5])
def test_without_etags_size_and_date_are_the_version(second: int) -> None:
    asked: list[str] = []

    def hook(request: Request) -> Response:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        date = f"Sun, 22 Nov 2026 19:33:0{second if asked else 0} GMT"
        asked.append(request.headers["Range"])
        return Response(
            206, BODY[first : last + 1], {"Content-Range": f"bytes {first}-{last}/100", "Last-Modified": date}
        )

    with elsewhere(hook) as (backend, _):
        settings = TransferSettings(download_threshold=30, download_part=30)
        if second:
            with pytest.raises(ObjectChanged, match="object 'key'"):
                read_range(backend, "key", settings, 0, 100)
        else:
            assert read_range(backend, "key", settings, 0, 100) == BODY[:100]
        assert len(asked) > 1


def test_a_size_that_is_not_told_is_asked_for() -> None:
    def hook(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(200, b"", {"ETag": MD5_OF_X, "Content-Length": "100"})
        return Response(206, b"12345", {"ETag": MD5_OF_X, "Content-Range": "bytes 5-9/*"})

    with elsewhere(hook) as (backend, proxy):
        reader = backend.open("key", 5, 10)
        assert (reader.head.size, read(reader)) == (100, b"12345")
        assert [request.method for request in proxy.requests] == ["GET", "HEAD"]
        assert proxy.requests[-1].headers["If-Match"] == MD5_OF_X


@BOTH_WIRES
@pytest.mark.stores("moto", "ceph")
@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_broken_answer_keeps_what_was_read(store: Store, kind: Any) -> None:
    store.raw.put("key", BODY)
    with before(store, nth(1, is_get, Fault(kind, 2 * MIB + 5)), **ATTEMPTS) as (backend, proxy):
        buffer, counts = memoryview(bytearray(len(BODY))), [0]
        with backend.open("key") as reader, pytest.raises(TransientError, match="object 'key' in bucket"):
            counts += iter(lambda: reader.readinto(buffer[sum(counts) :]), 0)
        filled = sum(counts)
        # no more than the last block is lost; but a reset may overtake what was sent before it
        assert (MIB if kind == "truncate" else 0) <= filled <= 2 * MIB + 5
        assert buffer[:filled] == BODY[:filled]
        # a new request goes on from there
        assert backend.read_range("key", filled, buffer[filled:], e_tag=reader.head.e_tag) == len(BODY) - filled
        assert buffer == BODY
        assert [request.method for request in proxy.requests] == ["GET", "GET"]


@BOTH_WIRES
def test_an_answer_that_stalls_is_transient() -> None:
    gate = threading.Event()

    def hook(request: Request) -> Response:
        gate.wait(60)
        return Response(200)

    with elsewhere(hook, config=Config(retries=ONCE, read_timeout=0.2)) as (backend, _):
        with pytest.raises(TransientError, match=r"object 'key' in bucket .*ReadTimeoutError"):
            backend.open("key")
        gate.set()


@BOTH_WIRES
def test_a_body_that_stalls_is_transient() -> None:
    """The server promises ten bytes, sends five, and keeps the connection open."""
    answer = Response(200, b"12345", {"ETag": MD5_OF_X, "Content-Length": "10"})
    with elsewhere(lambda _: answer, config=Config(retries=ONCE, read_timeout=0.2)) as (backend, _):
        buffer = memoryview(bytearray(10))
        with backend.open("key") as reader, pytest.raises(TransientError, match="TimeoutError"):
            reader.readexactly(buffer)


@BOTH_WIRES
@pytest.mark.stores("seaweedfs", "ceph", "ceph-tls")  # moto's server closes every connection
def test_connections_are_used_again(store: Store) -> None:
    store.raw.put("key", BODY)
    with before(store) as (backend, proxy):
        for _ in range(3):
            assert read(backend.open("key", 0, 100)) == BODY[:100]
            backend.stat("key")
        assert proxy.connections == 1
        backend.open("key").close()  # bytes are left unread
        backend.open("key", 0, 10).close()
        assert read(backend.open("key")) == BODY


class Chunks(BaseHTTPRequestHandler):
    """A server that tells the length of no answer to GET."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("ETag", MD5_OF_X)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("ETag", MD5_OF_X)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(BODY), 100_000):
            piece = BODY[start : start + 100_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@BOTH_WIRES
def test_answers_in_chunks_are_read_too() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Chunks) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        backend = connect(f"http://127.0.0.1:{server.server_port}")
        for start, stop in ((0, None), (5, 2 * MIB)):
            reader = backend.open("key", start, stop)
            assert reader.head.size == len(BODY)
            assert read(reader) == BODY[start:stop]
        backend.close()
        server.shutdown()


@BOTH_WIRES
@pytest.mark.skipif(not HAVE_CHECKSUMS, reason="an older botocore verifies none")
@pytest.mark.parametrize("flip", [False, True])
def test_a_checksum_of_the_server_is_verified_where_botocore_does(flip: bool) -> None:
    body = b"0123456789" * 1000
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    headers = {"ETag": MD5_OF_X, "x-amz-checksum-crc32": crc}
    answer = Response(200, body[:-1] + b"!" if flip else body, headers)
    config = Config(retries=ONCE, response_checksum_validation="when_supported")
    with elsewhere(lambda _: answer, config=config) as (backend, _):
        if flip:
            with pytest.raises(ChecksumMismatch, match="object 'key' in bucket"):
                read(backend.open("key"))
            with ObjectSource(backend, "key", TransferSettings()) as source, pytest.raises(ChecksumMismatch):
                source.fill(0, memoryview(bytearray(len(body))), 1)
        else:
            assert read(backend.open("key")) == body


def test_a_small_body_is_taken_where_it_came_with_its_head(store: Store) -> None:
    backend = store.interface().backend_interface
    backend.put("key", b"0123456789", {})
    for start, stop in ((0, 10), (3, 7), (3, 100)):
        with backend.open("key", start, stop) as reader:
            view = memoryview(bytearray(reader.stop - start))
            assert not reader.take(view[:-1])
            assert reader.take(view) or reader.readexactly(view) == len(view)
            assert bytes(view) == b"0123456789"[start:stop]
            assert reader.readinto(view) == 0
            assert not reader.take(view)


@SERVERS
def test_a_missing_object_and_a_missing_bucket(store: Store) -> None:
    backend = store.backend()
    nowhere = backend.at(f"{store.container}-missing")
    for call in (lambda b: b.stat("key"), lambda b: b.open("key"), lambda b: b.open("key", 5, 10)):
        with pytest.raises(ObjectNotFound, match="object 'key' in bucket"):
            call(backend)
        with pytest.raises(FileNotFoundError, match=f"bucket '{store.container}-missing'") as caught:
            call(nowhere)
        assert type(caught.value).__name__ == "ContainerNotFound"


@pytest.mark.stores("moto")
def test_a_bucket_is_looked_for_once(store: Store) -> None:
    with before(store) as (backend, proxy):
        for _ in range(3):
            assert not backend.exists("missing")
        assert [request.path.count("/") for request in proxy.requests] == [2, 1, 2, 2]


# ------------------------------------------------------------------ uploads
PART = 5 * MIB


def upload(backend: Any, options: WriteOptions = WriteOptions(), parts: int = 2) -> Any:
    sending = backend.start_upload("key", {"a": "1"}, options)
    for number in range(parts, 0, -1):  # in any order
        sending.send_part(number, bytes([number]) * PART)
    return sending


EXPECTED = bytes([1]) * PART + bytes([2]) * PART


@BOTH_WIRES
@SERVERS
def test_uploads(store: Store) -> None:
    backend = store.backend()
    receipt = upload(backend).complete()
    assert store.raw.get("key") == (EXPECTED, {"a": "1"})
    assert receipt["ETag"] == backend.stat("key").e_tag
    assert receipt["ETag"].startswith('"')
    assert receipt["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert store.raw.leftovers() == []


@SERVERS
def test_an_upload_of_no_parts_is_an_empty_object(store: Store) -> None:
    backend = store.backend()
    backend.start_upload("key", {"a": "1"}).complete()
    assert store.raw.get("key") == (b"", {"a": "1"})


@SERVERS
def test_an_abort_leaves_nothing(store: Store) -> None:
    backend = store.backend()
    sending = upload(backend)
    sending.abort()
    sending.abort()
    assert store.raw.leftovers() == []
    assert not backend.exists("key")
    done = upload(backend)
    done.complete()
    done.abort()
    assert backend.exists("key")


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_abandoned_uploads_can_be_found_and_cleaned(store: Store) -> None:
    backend = store.backend()
    for key in ("exp/1", "exp/2", "exp2/1"):
        backend.start_upload(key, {}).send_part(1, b"x")
    found = list(backend.unfinished_uploads("exp/"))
    assert sorted(sending.key for sending in found) == ["exp/1", "exp/2"]
    for sending in found:
        sending.abort()
    assert [sending.key for sending in backend.unfinished_uploads()] == ["exp2/1"]


def is_complete(request: Request) -> bool:
    return operation(request) == "POST uploadId"


def error_in_200(times: int) -> Hook:
    seen = 0

    def hook(request: Request) -> Response | None:
        nonlocal seen
        seen += is_complete(request)
        inside = error("InternalError", 200).body
        return Response(200, inside) if is_complete(request) and seen <= times else None

    return hook


@pytest.mark.stores("moto")
@pytest.mark.parametrize("times", [1, 2])
def test_an_error_inside_an_answer_200(store: Store, times: int) -> None:
    with before(store, error_in_200(times), **TWICE) as (backend, proxy):
        sending = upload(backend)
        if times == 1:
            sending.complete()
            assert store.raw.get("key")[0] == EXPECTED
        else:
            with pytest.raises(TransientError, match="object 'key' in bucket"):
                sending.complete()
        assert sum(map(is_complete, proxy.requests)) == 2


def lost_then(verdict: Response) -> Hook:
    """The first CompleteMultipartUpload is done and its answer lost; the second is answered like this."""
    first, second = nth(1, is_complete, Fault("lose")), nth(2, is_complete, verdict)

    def hook(request: Request) -> Any:
        verdicts = [first(request), second(request)]
        return next(filter(None, verdicts), None)

    return hook


GONE = error("NoSuchUpload", 404)
HELD = error("PreconditionFailed", 412)


@pytest.mark.stores("moto", "seaweedfs", "ceph")
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("answer", [GONE, HELD])
def test_an_upload_whose_answer_was_lost_is_a_success(store: Store, answer: Response, absent: bool) -> None:
    with before(store, lost_then(answer), **TWICE) as (backend, proxy):
        receipt = upload(backend, WriteOptions(if_absent=absent)).complete()
        assert sum(map(is_complete, proxy.requests)) == 2
        assert receipt["ETag"] == backend.stat("key").e_tag
    assert store.raw.get("key")[0] == EXPECTED


@pytest.mark.stores("moto")
@pytest.mark.parametrize(("answer", "expected"), [(GONE, ServiceError), (HELD, ObjectChanged)])
@pytest.mark.parametrize("theirs", [b"theirs", None])
def test_an_upload_that_was_not_ours_is_none(
    store: Store, answer: Response, expected: type[Exception], theirs: bytes | None
) -> None:
    def hook(request: Request) -> Response | None:
        if is_complete(request) and theirs:
            store.raw.put("key", theirs)
        return answer if is_complete(request) else None

    with before(store, hook, **ATTEMPTS) as (backend, _):
        sending = upload(backend)
        with pytest.raises(expected, match="object 'key' in bucket"):
            sending.complete()


@pytest.mark.stores("moto", "ceph")
def test_a_put_whose_answer_was_lost_is_a_success(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", "False")

    def is_put(request: Request) -> bool:
        return request.method == "PUT"

    with before(store, nth(1, is_put, Fault("lose")), **TWICE) as (backend, proxy):
        if not backend._bucket.connection.accepts("PutObject", "IfNoneMatch"):
            pytest.skip("this botocore knows no If-None-Match")
        receipt = backend.put("key", b"ours", {}, WriteOptions(if_absent=True))
        assert [request.status for request in proxy.requests if is_put(request)] == [None, 412]
        assert receipt["ETag"] == backend.stat("key").e_tag
        with pytest.raises(ObjectExists):
            backend.put("key", b"ours", {}, WriteOptions(if_absent=True))


def no_md5(name: str, value: str) -> str:
    """ETags as those of encrypted objects: nobody can say how they are made."""
    return f'"{hashlib.md5(value.encode()).hexdigest()}"' if name.lower() == "etag" else value


@BOTH_WIRES
@pytest.mark.stores("moto")
@pytest.mark.parametrize("theirs", [None, b"Ours", b"ours, and more"], ids=["ours", "bytes", "size"])
def test_a_put_whose_answer_was_lost_where_etags_are_no_md5(store: Store, theirs: bytes | None) -> None:
    first = nth(1, lambda request: request.method == "PUT", Fault("drop" if theirs else "lose"))

    real = f'"{hashlib.md5(theirs or b"ours").hexdigest()}"'

    def hook(request: Request) -> Any:
        verdict = first(request)
        if verdict and theirs:
            store.raw.put("key", theirs, {})
        if request.headers.get("If-Match") == no_md5("ETag", real):
            request.headers.replace_header("If-Match", real)
        return verdict

    options = WriteOptions(if_absent=True, seen_absent=True)
    with before(store, hook, **TWICE) as (backend, proxy):
        proxy.rewrite = no_md5
        if theirs:
            with pytest.raises(ObjectExists, match="object 'key'"):
                backend.put("key", b"ours", {}, options)
        else:
            assert backend.put("key", b"ours", {}, options)["ETag"] == backend.stat("key").e_tag
        assert [request.status for request in proxy.requests if request.method == "PUT"] == [None, 412]
        assert sum(map(is_get, proxy.requests)) == (
            theirs != b"ours, and more"
        )  # where the size tells, nothing is read
    assert store.raw.get("key")[0] == (theirs or b"ours")


@pytest.mark.stores("moto")
def test_a_put_with_other_metadata_is_not_ours(store: Store) -> None:
    """What marks an upload has the same bytes whoever writes it: its metadata tells whose it is."""
    first = nth(1, lambda request: request.method == "PUT", Fault("drop"))

    def hook(request: Request) -> Any:
        verdict = first(request)
        if verdict:
            store.raw.put("key", b"mark", {"version": "theirs"})
        return verdict

    with before(store, hook, **TWICE) as (backend, _):
        if not backend._bucket.connection.accepts("PutObject", "IfNoneMatch"):
            pytest.skip("this botocore knows no If-None-Match")
        with pytest.raises(ObjectExists):
            backend.put("key", b"mark", {"version": "ours"}, WriteOptions(if_absent=True))


@BOTH_WIRES
@pytest.mark.stores("moto")
def test_a_put_that_breaks_is_sent_again_whole(store: Store) -> None:
    faults = nth(1, lambda request: request.method == "PUT", Fault("drop"))
    with before(store, faults, **TWICE) as (backend, proxy):
        backend.put("key", BODY, {})
        assert proxy.count("PUT") == 2
    assert store.raw.get("key")[0] == BODY


@BOTH_WIRES
@pytest.mark.stores("moto")
@pytest.mark.skipif(not HAVE_CHECKSUMS, reason="older releases differ")
def test_checksums_of_parts_go_with_the_end(store: Store) -> None:
    with before(store) as (backend, proxy):
        upload(backend, WriteOptions(extra={"ChecksumAlgorithm": "SHA256"})).complete()
        body = (proxy.requests[-1].body or b"").decode()
        assert body.count("<ChecksumSHA256>") == 2


@pytest.mark.stores("moto", "seaweedfs")
def test_an_upload_replaces_nothing(store: Store) -> None:
    """Ceph 16 completes without a look at the condition: there the question beforehand is all there is."""
    store.raw.put("key", b"old")
    absent = WriteOptions(if_absent=True)
    backend = store.backend()
    with pytest.raises(ObjectExists):
        backend.start_upload("key", {}, absent)
    store.raw.delete("key")
    sending = upload(backend, absent)
    store.raw.put("key", b"theirs")
    with pytest.raises(ObjectExists):
        sending.complete()
    sending.abort()
    assert store.raw.get("key")[0] == b"theirs"
    assert store.raw.leftovers() == []


# ------------------------------------------------------------------ copies
@SERVERS
def test_large_copies_under_a_plain_name_stay_on_the_server(store: Store) -> None:
    store.raw.put("from", EXPECTED)
    with before(store) as (backend, proxy):
        in_parts(backend).copy("from", "to")
        assert proxy.count("GET") == 0
    assert store.raw.get("to")[0] == EXPECTED


def in_parts(backend: Any) -> Any:
    backend.largest_copy, backend.copy_part = PART, PART
    return backend


@SERVERS
def test_large_copies_go_in_parts(store: Store) -> None:
    body = EXPECTED + b"tail"
    other = store.second_container()
    with before(store) as (backend, proxy):
        extra = {"ContentType": "text/x", "CacheControl": "no-cache"}
        backend.put("from a%20b/+\u00e9", body, {"a": "1"}, WriteOptions(extra=extra))
        proxy.clear()
        target = in_parts(backend.at(other.container))
        receipt = target.copy("from a%20b/+\u00e9", "to", source_container=store.container)
        assert receipt["ETag"] == target.stat("to").e_tag
        copied = [request for request in proxy.requests if operation(request) == "PUT uploadId partNumber copy"]
        assert {request.headers["x-amz-copy-source-range"] for request in copied} == {
            f"bytes=0-{PART - 1}",
            f"bytes={PART}-{2 * PART - 1}",
            f"bytes={2 * PART}-{2 * PART + 3}",
        }
        # Ceph 16 does not find such a name when it copies parts: then they go through this machine
        assert proxy.count("GET") == (3 if store.name.startswith("ceph") else 0)
        head = target._bucket.head("to")
        assert (head["ContentType"], head["CacheControl"]) == ("text/x", "no-cache")
    assert other.raw.get("to") == (body, {"a": "1"})
    assert other.raw.leftovers() == []


@pytest.mark.stores("moto")
def test_parts_that_the_server_cannot_copy_go_through_this_machine(store: Store) -> None:
    def is_part(request: Request) -> bool:
        return operation(request) == "PUT uploadId partNumber copy"

    broken = nth(1, lambda request: request.headers.get("Range", "").startswith("bytes=0-"), Fault("truncate", 2 * MIB))

    def hook(request: Request) -> Any:
        return error("NotImplemented", 501) if is_part(request) else broken(request)

    store.raw.put("from", EXPECTED + b"tail")
    with before(store, hook) as (backend, proxy):
        in_parts(backend).copy("from", "to")
        assert proxy.count("GET") == 4  # three parts, one of them in two pieces
    assert store.raw.get("to")[0] == EXPECTED + b"tail"


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_a_copy_is_of_one_version(store: Store) -> None:
    def hook(request: Request) -> None:
        if "partNumber=2" in request.target:
            store.raw.put("from", b"other" * 3 * MIB)

    store.raw.put("from", EXPECTED)
    with before(store, hook) as (backend, _), pytest.raises(ObjectChanged, match=r"'(from|to)'"):
        in_parts(backend).copy("from", "to")
    assert store.raw.keys() == ["from"]
    assert store.raw.leftovers() == []


@pytest.mark.stores("moto")
def test_a_copy_that_fails_leaves_nothing(store: Store) -> None:
    store.raw.put("from", EXPECTED)
    faults = nth(2, lambda request: "partNumber" in request.query, error("AccessDenied", 403))
    with before(store, faults) as (backend, _), pytest.raises(PermissionError):
        in_parts(backend).copy("from", "to")
    assert store.raw.keys() == ["from"]
    assert store.raw.leftovers() == []


def is_copy(request: Request) -> bool:
    return operation(request) == "PUT copy"


def copied_once_then_held(store: Store, theirs: Any = None) -> Hook:
    """The first CopyObject is done and its answer lost; or it is dropped, and another one is faster.

    The second one finds the condition broken.
    """
    first = nth(1, is_copy, Fault("drop" if theirs else "lose"))
    second = nth(2, is_copy, HELD)

    def hook(request: Request) -> Any:
        broken, held = first(request), second(request)
        if broken and theirs:
            store.raw.put("to", *theirs)
        return broken or held

    return hook


@pytest.mark.stores("moto", "seaweedfs", "ceph")
@pytest.mark.parametrize("size", [None, len(EXPECTED)], ids=["looked at", "listed"])
@pytest.mark.parametrize("in_parts", [False, True])
def test_a_copy_whose_answer_was_lost_is_a_success(store: Store, in_parts: bool, size: int | None) -> None:
    """An object that came in parts may have another ETag than its copy: then the bytes are compared."""
    with before(store, copied_once_then_held(store), **TWICE) as (backend, proxy):
        if not backend._bucket.connection.accepts("CopyObject", "IfNoneMatch"):
            pytest.skip("this botocore knows no If-None-Match in a copy")
        upload(backend).complete() if in_parts else backend.put("key", EXPECTED, {"kind": "test"})
        receipt = backend.copy("key", "to", options=WriteOptions(if_absent=True), size=size)
        assert sum(map(is_copy, proxy.requests)) == 2
        assert receipt["ETag"] == backend.stat("to").e_tag
        with pytest.raises(ObjectExists):
            backend.copy("key", "to", options=WriteOptions(if_absent=True), size=size)
    assert store.raw.get("to") == store.raw.get("key")


@pytest.mark.stores("moto")
@pytest.mark.parametrize(
    "theirs",
    [(b"OURS", {"kind": "test"}), (b"ours", {"kind": "other"}), (b"ours, and more", {"kind": "test"})],
    ids=["bytes", "metadata", "size"],
)
def test_anothers_object_is_not_taken_for_our_copy(store: Store, theirs: Any) -> None:
    store.raw.put("key", b"ours", {"kind": "test"})
    with before(store, copied_once_then_held(store, theirs), **TWICE) as (_, proxy):
        cci = store.interface(endpoint_url=proxy.url)
        with pytest.raises(ObjectExists, match="'to'"):
            cci.mv("key", "to", overwrite=False)
    assert store.raw.get("key") == (b"ours", {"kind": "test"})
    assert store.raw.get("to") == theirs


@SERVERS
def test_a_copy_onto_itself_is_left_alone(store: Store) -> None:
    backend = store.backend()
    backend.put("key", b"x", {"a": "1"})
    assert backend.copy("key", "key")["ETag"] == backend.stat("key").e_tag
    assert backend.copy("key", "key", source_container=store.container)["ETag"] == backend.stat("key").e_tag
    assert store.raw.get("key") == (b"x", {"a": "1"})
    with pytest.raises(ObjectExists):
        backend.copy("key", "key", options=WriteOptions(if_absent=True))
    with pytest.raises(ObjectNotFound):
        backend.copy("missing", "missing")


@pytest.mark.stores("moto", "ceph", "ceph-tls")  # SeaweedFS answers 500 for a missing target
@pytest.mark.parametrize("size", [None, 1], ids=["looked at", "listed"])
def test_what_a_copy_misses_is_named(store: Store, size: int | None) -> None:
    backend = store.backend()
    store.raw.put("key", b"x")
    with pytest.raises(ObjectNotFound, match=f"object 'missing' in bucket '{store.container}'"):
        backend.copy("missing", "to", size=size)
    with pytest.raises(FileNotFoundError, match="bucket 'no-such-bucket'"):
        backend.copy("key", "to", source_container="no-such-bucket", size=size)
    with pytest.raises(FileNotFoundError, match="bucket 'no-such-bucket'"):
        backend.at("no-such-bucket").copy("key", "to", source_container=store.container, size=size)


@SERVERS
def test_what_was_listed_is_copied_with_one_request(store: Store) -> None:
    other = store.second_container()
    with before(store) as (backend, proxy):
        for key in ("small", "large", "itself"):
            backend.put(key, EXPECTED if key == "large" else b"x", {"kind": key})
        sizes = {info.key: info.size for info in backend.list_objects()}
        target = in_parts(backend.at(other.container))
        proxy.clear()
        for key in ("small", "large"):
            target.copy(key, "to " + key, source_container=store.container, size=sizes[key])
        operations = [operation(request) for request in proxy.requests]
        assert operations[0] == "PUT copy"
        assert operations.count("PUT copy") == 1  # the large one goes in parts, for which it is looked at
        assert backend.copy("itself", "itself", size=1)["ETag"] == backend.stat("itself").e_tag
    assert other.raw.get("to small") == (b"x", {"kind": "small"})
    assert other.raw.get("to large") == (EXPECTED, {"kind": "large"})


@pytest.mark.stores("moto", "ceph")
def test_a_listed_version_is_copied_or_none(store: Store) -> None:
    backend = store.backend()
    backend.put("key", b"first", {})
    old = backend.stat("key").e_tag
    backend.put("key", b"newer", {})
    with pytest.raises(ObjectChanged, match="'key'"):
        backend.copy("key", "to", e_tag=old, size=5)  # moto and Ceph 16 copy in spite of CopySourceIfMatch
    assert store.raw.keys() == ["key"]


# ------------------------------------------------------------------ deleting
@BOTH_WIRES
@SERVERS
def test_deletes_go_in_batches(store: Store) -> None:
    keys = [f"k/{number:04}" for number in range(2500)] if store.name == "moto" else ["a", "b", "c"]
    with before(store) as (backend, proxy):
        for key in keys[:3] + keys[-3:]:
            store.raw.put(key, b"x")
        assert backend.delete(iter(keys)) == len(keys)
        expected = 8 if len(keys) == 2500 else 1  # two for each thread
        assert [operation(request) for request in proxy.requests] == ["POST delete"] * expected
        assert store.raw.keys() == []
        assert backend.delete(["missing"]) == 1
        assert [operation(request) for request in proxy.requests[expected:]] == ["DELETE"]
        assert backend.delete([]) == 0


@BOTH_WIRES
@pytest.mark.stores("seaweedfs", "ceph")  # moto has no such keys
def test_keys_that_xml_cannot_carry(store: Store) -> None:
    odd = ["a\x01b", "a\nb", "a\rb", "a\tb", "a\x7fb", "a\uffffb"]
    plain = ["a b", "a%20b", "a+b", "<a>", "&amp;", '"', "'", " a", "\U0001f600"]
    for key in odd + plain:
        store.raw.put(key, b"x")
    with before(store) as (backend, proxy):
        assert backend.delete(odd + plain) == len(odd + plain)
        assert sorted(operation(request) for request in proxy.requests) == ["DELETE"] * len(odd) + ["POST delete"]
    assert store.raw.keys() == []


def failures(*pairs: tuple[str, str]) -> Response:
    rows = "".join(f"<Error><Key>{key}</Key><Code>{code}</Code></Error>" for key, code in pairs)
    return ok(f"<DeleteResult>{rows}</DeleteResult>")


@BOTH_WIRES
@pytest.mark.stores("moto")
def test_what_cannot_be_deleted_is_named_and_the_rest_is_gone(store: Store) -> None:
    for key in "abcd":
        store.raw.put(key, b"x")
    refused = nth(
        1,
        lambda request: operation(request) == "POST delete",
        failures(("b", "AccessDenied"), ("c", "InternalError"), ("d", "NoSuchKey"), ("a", "AccessDenied")),
    )
    with before(store, refused) as (backend, proxy):
        with pytest.raises(PermissionError, match=r"object 'b' in bucket .*1 more"):
            backend.delete(list("abcd"))
        # what the server was too busy for was asked for once more
        assert [(request.method, request.path[-1]) for request in proxy.requests[1:]] == [("DELETE", "c")]
    assert "c" not in store.raw.keys()  # noqa: SIM118 - a method of the raw store


def test_a_server_without_batches() -> None:
    def hook(request: Request) -> Response:
        if request.method == "POST":
            return error("NotImplemented", 501)
        return error("AccessDenied", 403) if request.path.endswith("b") else Response(204)

    with elsewhere(hook) as (backend, proxy):
        for _ in range(2):
            with pytest.raises(PermissionError, match="object 'b'"):
                backend.delete(["a", "b", "c"])
        assert proxy.count("POST") == 1
        assert proxy.count("DELETE") == 6


# ------------------------------------------------------------------ listings
def as_version_one(store: Store, *, says: bool) -> Callable[[Request], Response | None]:
    """A server of before 2016: it answers a list of the second version by an error, or as one of the first."""

    def hook(request: Request) -> Response | None:
        if request.query.get("list-type") != "2":
            return None
        if says:
            return error("NotImplemented", 501)
        target = request.target.replace("list-type=2", "").replace("continuation-token", "unknown")
        assert store.server is not None
        with urllib.request.urlopen(store.server.endpoint + target, timeout=60) as answer:
            return Response(200, answer.read())

    return hook


@BOTH_WIRES
@pytest.mark.stores("moto")  # it verifies no signatures, so the hook may change what was asked
@pytest.mark.parametrize("says", [True, False])
def test_a_server_with_the_first_version_of_lists(store: Store, says: bool) -> None:
    keys = sorted(["a b", "a+b", "a/1", "a/2", "a-b/1", "b%20c", "d/1", "\u00e9", *(f"n{i}" for i in range(9))])
    keys.sort(key=str.encode)
    for key in keys:
        store.raw.put(key, b"x")
    with before(store, as_version_one(store, says=says)) as (backend, _):
        for _ in range(2):
            assert [info.key for info in backend.list_objects(page_size=3)] == keys
        level = [entry.key for entry in backend.list_level(page_size=3)]
        assert len(level) == len(set(level))
        assert set(level) == {"a/", "a-b/", "d/"} | {key for key in keys if "/" not in key}

"""A hostile S3 server: listings without an end, answers that do not fit what was asked, XML that explodes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from hostile_s3 import page
from lean_faults import ScriptedServer, Step, raw, reply
from recorder import Request, Response
from s3_wire import ONCE, connect, elsewhere
from stores import BOTH_WIRES

from cottoncandy.backends.s3.lean.listing import ListPage
from cottoncandy.backends.s3.listing import _MOST_IDLE, _Progress
from cottoncandy.errors import CottonCandyError, ServiceError

LAUGHS = "<!DOCTYPE a [<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
FILE = "<!DOCTYPE a [<!ENTITY a9 SYSTEM 'file:///etc/passwd'>"
BOMBS = [
    f"<?xml version='1.0'?>{declared}]><ListBucketResult><IsTruncated>false</IsTruncated>"
    "<Contents><Key>exp/&a9;</Key><Size>1</Size></Contents></ListBucketResult>"
    for declared in (LAUGHS, FILE)
]
TAGS = "<ListBucketResult><IsTruncated>false</IsTruncated>" + "<a/>" * 600_000 + "</ListBucketResult>"


# ------------------------------------------------------------------ listings
Answers = Callable[[], Callable[[Request], Response]]  # each call begins anew


def _pages(*pages: Response) -> Answers:
    """These pages, and the last one for ever."""
    return _endless(lambda n: pages[min(n, len(pages) - 1)])


def _endless(make: Callable[[int], Response]) -> Answers:
    def begin() -> Callable[[Request], Response]:
        numbers = itertools.count()
        return lambda _: make(next(numbers))

    return begin


LISTINGS = {
    "a token that is repeated": _pages(page(["exp/a"], "t1"), page(["exp/b"], "t1")),
    "tokens that go in a circle": _endless(lambda n: page([f"exp/{n:09}"], f"t{n % 3}")),
    "the same names for ever": _endless(lambda n: page(["exp/a", "exp/b"], f"t{n}")),
    "the same prefixes for ever": _endless(lambda n: page([], f"t{n}", prefixes=["exp/a/"])),
    "nothing for ever": _endless(lambda n: page([], f"t{n}")),
    "names behind those that come": _pages(page(["exp/b"], "t1"), page(["exp/a"])),
    "other names": _pages(page(["exp/a", "exp2/b"])),
    "names above": _pages(page(["exp/a", "precious"])),
    "an object of less than no bytes": _pages(page(["exp/a"], size=-5)),
    "a size that is none": _pages(page(["exp/a"], size="9" * 5000)),
    "a page behind nothing": _pages(
        Response(200, b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>")
    ),
    "a date that is none": _pages(
        Response(200, page(["exp/a"]).body.replace(b"2026-01-02T03:04:05.000Z", b"the day before"))
    ),
}
#: What no name tells.
OF_FACTS = {"an object of less than no bytes", "a date that is none"}


@BOTH_WIRES
@pytest.mark.parametrize(
    ("name", "call"),
    [
        *zip(LISTINGS, itertools.repeat("list_level")),
        *zip(sorted(LISTINGS.keys() - OF_FACTS), itertools.repeat("level_names")),
    ],
)
def test_a_listing_that_cannot_be_ends_with_an_error(name: str, call: str) -> None:
    with elsewhere(LISTINGS[name]()) as (backend, proxy):
        with pytest.raises(ServiceError, match="bucket"):
            for _ in itertools.islice(getattr(backend, call)("exp/"), 100_000):
                pass
        assert len(proxy.requests) <= _MOST_IDLE + 10


def _circle(root: str, entry: str) -> Answers:
    """Pages that say each second time where the next one is, and then where the one before it was."""
    markers = "<NextKeyMarker>k{0}</NextKeyMarker><NextVersionIdMarker>u</NextVersionIdMarker>"
    markers += "<NextUploadIdMarker>u</NextUploadIdMarker><ContinuationToken>t{0}</ContinuationToken>"
    xml = f"<{root}><IsTruncated>true</IsTruncated>{markers}{entry}</{root}>"
    return _endless(lambda n: Response(200, xml.format(n % 2).encode()) if n < 100 else Response(403))


CIRCLES = {
    "list_containers": _circle("ListAllMyBucketsResult", "<Buckets><Bucket><Name>a</Name></Bucket></Buckets>"),
    "unfinished_uploads": _circle("ListMultipartUploadsResult", "<Upload><Key>k</Key><UploadId>u</UploadId></Upload>"),
    "list_versions": _circle(
        "ListVersionsResult", "<Version><Key>k</Key><VersionId>u</VersionId><ETag>e</ETag><Size>1</Size></Version>"
    ),
}


@pytest.mark.parametrize("call", CIRCLES)
def test_no_listing_goes_in_a_circle(call: str) -> None:
    arguments = [] if call == "list_containers" else ["k"]
    with elsewhere(CIRCLES[call]()) as (backend, proxy):
        with pytest.raises(ServiceError, match="listing without an end"):
            list(getattr(backend, call)(*arguments))
        assert len(proxy.requests) == 3


def test_amazons_directory_buckets_have_no_order() -> None:
    pages = [ListPage([("b", 1, "", None)], [], "t1", truncated=True), ListPage([("a", 1, "", None)], [], None, False)]
    for ordered in (True, False):
        progress = _Progress("bucket", ordered=ordered)
        with contextlib.nullcontext() if not ordered else pytest.raises(ServiceError, match="out of order"):
            for one in pages:
                progress.check(one)


# ------------------------------------------------------------------ XML
@BOTH_WIRES
@pytest.mark.parametrize("bomb", [*BOMBS, TAGS], ids=["laughs", "file", "tags"])
def test_xml_that_explodes_is_not_read(bomb: str) -> None:
    refused = bomb.replace("ListBucketResult", "Error").replace("Contents><Key", "Code><a").replace("Key", "a")
    with elsewhere(lambda _: Response(200, bomb.encode())) as (backend, proxy):
        with pytest.raises(ServiceError) as told:
            list(backend.list_objects("exp/"))
        proxy.hook = lambda _: Response(403, refused.encode())
        with pytest.raises(CottonCandyError) as refusal:
            backend.put("key", b"x", {})
    for error in (told, refusal):
        assert "root:" not in str(error.value)
        assert "haha" not in str(error.value)


# ------------------------------------------------------------------ heads and ranges
def _head(*lines: str, status: int = 200, body: bytes = b"") -> Step:
    text = "".join(f"{line}\r\n" for line in ["x-amz-request-id: 1", *lines])
    return raw(f"HTTP/1.1 {status} X\r\n{text}\r\n".encode("latin-1") + body, close=True)


def _flood(*pieces: bytes) -> Step:
    """The pieces, the last one until the other side has had enough."""

    def act(sock: Any) -> bool:
        for piece in itertools.chain(pieces[:-1], itertools.repeat(pieces[-1], 20_000)):
            sock.sendall(piece)
        return False

    return Step(act)


RANGE = "Content-Range: bytes {}"
READS = {  # an answer to `bytes=10-19` of an object
    "another start": _head("Content-Length: 10", RANGE.format("0-9/100"), status=206, body=b"x" * 10),
    "a later start": _head("Content-Length: 10", RANGE.format("20-29/100"), status=206, body=b"x" * 10),
    "a start behind its end": _head("Content-Length: 10", RANGE.format("10-5/100"), status=206, body=b"x" * 10),
    "an end behind the object's": _head("Content-Length: 10", RANGE.format("10-19/12"), status=206, body=b"x" * 10),
    "a range of another length": _head("Content-Length: 10", RANGE.format("10-12/100"), status=206, body=b"x" * 10),
    "numbers without end": _head("Content-Length: 10", RANGE.format(f"10-{'9' * 5000}/*"), status=206),
    "no range": _head("Content-Length: 10", "Content-Range: everything", status=206, body=b"x" * 10),
    "two lengths": _head("Content-Length: 30", "Content-Length: 5", body=b"x" * 30),
    "a negative length": _head("Content-Length: -30"),
    "a length that is none": _head("Content-Length: 0x1e", body=b"x" * 30),
    "a coding that is none": _head("Transfer-Encoding: gzip, chunked", "Content-Length: 30", body=b"x" * 30),
    "a negative chunk": _head("Transfer-Encoding: chunked", body=b"-5\r\nxxxxx\r\n0\r\n\r\n"),
    "a date that is none": _head("Content-Length: 30", "Last-Modified: " + "9" * 400, body=b"x" * 30),
    "a number that is none": _head("Content-Length: 30", "x-amz-missing-meta: many", body=b"x" * 30),
    "a folded line": _head("Content-Length: 30", "ETag: a", " b", body=b"x" * 30),
    "a head without end": _flood(b"HTTP/1.1 200 X\r\n", b"x-amz-meta-a: " + b"a" * 1000 + b"\r\n"),
    "a line without end": _flood(b"HTTP/1.1 200 ", b"a" * 1000),
    "interim answers without end": _flood(b"HTTP/1.1 100 Continue\r\n\r\n"),
}
LENIENT = pytest.mark.lean_wire("http.client, below botocore, takes it; no byte comes of it that was not sent")
TAKEN = {"a coding that is none", "a folded line"}


@pytest.fixture
def scripted() -> Iterator[Callable[..., tuple[Any, ScriptedServer]]]:
    opened: list[Any] = []

    def make(*steps: Step) -> tuple[Any, ScriptedServer]:
        server = ScriptedServer(*steps)
        backend = connect(server.url, config=Config(retries=ONCE))
        opened.extend((backend, server))
        return backend, server

    yield make
    for one in opened:
        one.close() if hasattr(one, "close") else one.__exit__(None, None, None)


@BOTH_WIRES
@pytest.mark.parametrize("name", [pytest.param(name, marks=LENIENT if name in TAKEN else ()) for name in READS])
def test_an_answer_that_does_not_fit_is_refused(name: str, scripted: Any) -> None:
    backend, _ = scripted(READS[name])
    with pytest.raises(ServiceError, match="key"):
        backend.read_range("key", 10, memoryview(bytearray(10)))


@LENIENT
def test_trailers_without_end(scripted: Any) -> None:
    body = page(["exp/a"]).body
    chunked = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(body), body)
    backend, _ = scripted(_flood(chunked, b"a: b\r\n" * 200))
    with pytest.raises(ServiceError, match="bucket"):
        list(backend.list_objects("exp/"))


def test_a_coding_of_the_content_is_not_undone(scripted: Any) -> None:
    import gzip

    body = gzip.compress(bytes(10_000))
    backend, _ = scripted(reply(200, body, Content_Encoding="gzip", ETag='"e"'))
    with backend.open("key") as reader:
        found = bytearray(reader.stop)
        assert reader.readexactly(memoryview(found)) == len(body)
    assert bytes(found) == body


def test_a_length_beside_chunks_ends_the_connection(scripted: Any) -> None:
    chunked = (
        b"HTTP/1.1 200 X\r\nETag: e\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1e\r\n"
        + b"x" * 30
        + b"\r\n0\r\n\r\n"
    )
    backend, server = scripted(raw(chunked), reply(200, b"y"))
    for _ in range(2):
        with backend.open("key", 0, None) as reader:
            reader.readexactly(memoryview(bytearray(max(1, reader.stop))))
    assert server.connections == 2


@pytest.mark.parametrize("name", ["a date that is none", "a number that is none", "a negative length"])
def test_botocores_own_way_refuses_it_too(name: str, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", "False")
    backend, _ = scripted(READS[name], READS[name])
    with pytest.raises(ServiceError, match="key"):
        backend.stat("key")
    with pytest.raises(ServiceError, match="key"):
        backend.read_range("key", 10, memoryview(bytearray(10)))
    backend, _ = scripted(reply(200, page(["exp/a"]).body.replace(b"<Size>", b"<Size>many")))
    with pytest.raises(ServiceError, match="bucket"):
        list(backend.list_objects("exp/"))


def test_a_head_of_a_negative_size(scripted: Any) -> None:
    for length in ("-5", "many", "9" * 5000):
        backend, _ = scripted(_head(f"Content-Length: {length}"))
        with pytest.raises(ServiceError, match="key"):
            backend.stat("key")

"""The recording proxy: what other tests count on the wire must be what went over it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.client import Config
from recorder import Fault, RecordingProxy, Request, Response
from servers import Server
from stores import Store

BODY = bytes(range(256)) * 4096


@contextmanager
def ask(
    proxy: RecordingProxy, method: str = "GET", target: str = "/", **kwargs: Any
) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(proxy.url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as connection:
        connection.request(method, target, **kwargs)
        yield connection.getresponse()


def canned(_: Request) -> Response:
    return Response(200, BODY, {"ETag": '"1"'})


@pytest.fixture
def upstream() -> Iterator[RecordingProxy]:
    with RecordingProxy(hook=canned) as proxy:
        yield proxy


def test_a_canned_answer_and_what_was_asked() -> None:
    with RecordingProxy(hook=canned, keep_bodies=True) as proxy:
        with ask(
            proxy, "PUT", "/b/a%20b?partNumber=1&uploads", body=b"12345", headers={"X-Amz-Acl": "private"}
        ) as answer:
            assert (answer.status, answer.read(), answer.headers["ETag"]) == (200, BODY, '"1"')
        (request,) = proxy.requests
        assert (request.method, request.path, request.query) == ("PUT", "/b/a b", {"partNumber": "1", "uploads": ""})
        assert (request.headers["x-amz-acl"], request.length, request.body) == ("private", 5, b"12345")
        assert (request.status, request.answered) == (200, len(BODY))
        proxy.clear()
        assert proxy.count() == 0


def test_forwards_bodies_both_ways_and_keeps_the_host(upstream: RecordingProxy) -> None:
    upstream.keep_bodies = True
    with RecordingProxy(upstream.url) as proxy:
        with ask(proxy, "PUT", "/k", body=BODY) as answer:
            assert answer.read() == BODY
        with ask(
            proxy,
            "PUT",
            "/k",
            body=iter([BODY[:3], BODY[3:]]),
            headers={"Transfer-Encoding": "chunked"},
            encode_chunked=True,
        ) as answer:
            assert answer.read() == BODY
        assert [request.body for request in upstream.requests] == [BODY, BODY]
        assert {request.headers["Host"] for request in upstream.requests} == {urlsplit(proxy.url).netloc}
        assert proxy.connections == 2


def test_as_a_forward_proxy_it_answers_for_amazon() -> None:
    with RecordingProxy(hook=lambda request: Response(200, headers={"ETag": '"x"'})) as proxy:
        client = boto3.session.Session().client(
            "s3",
            use_ssl=False,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="s",
            config=Config(proxies={"http": proxy.url}),
        )
        client.put_object(Bucket="lab", Key="k", Body=b"1")
        (request,) = proxy.requests
        assert request.target == "http://lab.s3.amazonaws.com/k"
        assert request.path == "/k"


def _read(proxy: RecordingProxy) -> bytes:
    """What arrives of the body, until the connection breaks."""
    received = b""
    with ask(proxy) as answer:
        try:
            while piece := answer.read1(1000):
                received += piece
        except ConnectionResetError:
            received += b"RESET"
    return received


def test_an_answer_is_cut_off_in_good_order(upstream: RecordingProxy) -> None:
    with RecordingProxy(upstream.url, hook=lambda request: Fault("truncate", 300_000)) as proxy:
        assert _read(proxy) == BODY[:300_000]
        assert proxy.requests[0].answered == 300_000


def test_a_connection_is_reset_in_the_middle(upstream: RecordingProxy) -> None:
    with RecordingProxy(upstream.url, hook=lambda request: Fault("reset", 300_000)) as proxy:
        received = _read(proxy)
        assert received.endswith(b"RESET")
        assert len(received) <= 300_005  # a reset may overtake bytes that were sent


def test_a_bit_is_flipped(upstream: RecordingProxy) -> None:
    with RecordingProxy(upstream.url, hook=lambda request: Fault("flip", 300_000)) as proxy:
        received = _read(proxy)
        assert len(received) == len(BODY)
        assert [i for i, (a, b) in enumerate(zip(received, BODY, strict=True)) if a != b] == [300_000]


@pytest.mark.parametrize(("kind", "forwarded"), [("drop", 0), ("lose", 1)])
def test_a_request_or_its_answer_is_lost(upstream: RecordingProxy, kind: str, forwarded: int) -> None:
    with RecordingProxy(upstream.url, hook=lambda request: Fault(kind)) as proxy:  # type: ignore[arg-type]
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)), ask(proxy):
            pass
        assert (upstream.count(), proxy.count()) == (forwarded, 1)


def test_an_upstream_that_is_gone_resets() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with (
            RecordingProxy(f"http://127.0.0.1:{unused.getsockname()[1]}") as proxy,
            pytest.raises(ConnectionResetError),
            ask(proxy),
        ):
            pass


def test_a_failing_hook_is_no_secret() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        RecordingProxy(hook=lambda request: Response(1 // 0)) as proxy,
        pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)),
        ask(proxy),
    ):
        pass


@pytest.mark.stores(exclude=["local", "gdrive", "swift"])  # botocore alone deletes no many on Swift
def test_signatures_stay_valid_and_bodies_whole(store: Store) -> None:
    """Through the proxy with boto3 alone: put, get, a range, a list and a delete."""
    assert store.server
    with RecordingProxy(store.server.endpoint, ca_bundle=store.server.ca_bundle) as proxy:
        client = _client(proxy.url, store.server)
        client.put_object(Bucket=store.container, Key="a b+c%20d/ü", Body=BODY, Metadata={"dtype": "<f8"})
        with client.get_object(Bucket=store.container, Key="a b+c%20d/ü")["Body"] as body:
            assert body.read() == BODY
        with client.get_object(Bucket=store.container, Key="a b+c%20d/ü", Range="bytes=5-9")["Body"] as body:
            assert body.read() == BODY[5:10]
        assert client.head_object(Bucket=store.container, Key="a b+c%20d/ü")["ContentLength"] == len(BODY)
        assert [entry["Key"] for entry in client.list_objects_v2(Bucket=store.container)["Contents"]] == ["a b+c%20d/ü"]
        client.delete_objects(Bucket=store.container, Delete={"Objects": [{"Key": "a b+c%20d/ü"}]})
        assert [request.method for request in proxy.requests] == ["PUT", "GET", "GET", "HEAD", "GET", "POST"]
        assert proxy.requests[2].answered == 5
    assert store.raw.keys() == []


@pytest.mark.stores(exclude=["local", "gdrive"])
def test_connections_are_kept_alive(store: Store) -> None:
    assert store.server
    with RecordingProxy(store.server.endpoint, ca_bundle=store.server.ca_bundle) as proxy:
        client = _client(proxy.url, store.server)
        for number in range(3):
            client.put_object(Bucket=store.container, Key="k", Body=BODY[:number])
        assert client.get_object(Bucket=store.container, Key="k")["Body"].read() == BODY[:2]
        assert (proxy.count("PUT"), proxy.count("GET"), proxy.count(), proxy.connections) == (3, 1, 4, 1)


@pytest.mark.stores("seaweedfs", "ceph")
def test_a_wrong_signature_is_refused_through_the_proxy(store: Store) -> None:
    assert store.server
    with RecordingProxy(store.server.endpoint) as proxy:
        client = _client(proxy.url, store.server, secret_key="wrong")
        with pytest.raises(client.exceptions.ClientError, match="SignatureDoesNotMatch"):
            client.list_objects_v2(Bucket=store.container)


def _client(url: str, server: Server, secret_key: str | None = None) -> object:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        region_name="us-east-1",
        config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
    )

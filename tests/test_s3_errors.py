"""What becomes of the errors of botocore, the servers and the network."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from recorder import Request, Response
from s3_wire import ONCE, answer_writes, connect, elsewhere, error, shown
from stores import BOTH_WIRES, Store

import cottoncandy
from cottoncandy import errors
from cottoncandy.backends.base import WriteOptions
from cottoncandy.backends.s3 import S3Backend
from cottoncandy.backends.s3.errors import Place, translation
from cottoncandy.config import Options

BUCKET = "bucket 'bucket'"
OBJECT = f"object 'key' in {BUCKET}"


@pytest.mark.parametrize(
    ("code", "status", "expected", "told"),
    [
        ("NoSuchKey", 404, errors.ObjectNotFound, "no such object"),
        ("NoSuchBucket", 404, errors.ContainerNotFound, "no such bucket"),
        ("AccessDenied", 403, errors.AccessDenied, "denied"),
        ("InvalidAccessKeyId", 403, errors.AccessDenied, "access key"),
        ("SignatureDoesNotMatch", 403, errors.AccessDenied, "secret key"),
        ("RequestTimeTooSkewed", 403, errors.AccessDenied, "clock"),
        ("ExpiredToken", 400, errors.AccessDenied, "log in again"),
        ("SomethingForbidden", 403, errors.AccessDenied, "the store refused .SomethingForbidden"),
        ("QuotaExceeded", 403, errors.ServiceError, "a quota is used up"),
        ("InvalidObjectState", 403, errors.ServiceError, "archived"),
        ("ProxyAuthenticationRequired", 407, errors.ServiceError, "a proxy between wants a login"),
        ("SlowDown", 503, errors.TransientError, "try again"),
        ("TooManyRequests", 429, errors.TransientError, "try again"),
        ("InternalError", 500, errors.TransientError, "try again"),
        ("BadGateway", 502, errors.TransientError, "BadGateway"),
        ("RequestTimeout", 400, errors.TransientError, "try again"),
        ("NotImplemented", 501, errors.NotSupported, "cannot do that"),
        ("AuthorizationHeaderMalformed", 400, errors.ServiceError, "region_name="),
        ("PermanentRedirect", 301, errors.ServiceError, "region_name="),
        ("KeyTooLongError", 400, errors.InvalidObjectName, "1024 bytes"),
        ("PreconditionFailed", 412, errors.ObjectChanged, "in the meantime"),
        ("Teapot", 418, errors.ServiceError, "as told"),
    ],
)
def test_answers(code: str, status: int, expected: type[Exception], told: str) -> None:
    with elsewhere(lambda _: error(code, status)) as (backend, _):
        with pytest.raises(expected, match=told) as caught:
            backend.open("key")
        assert type(caught.value) is expected
        assert OBJECT in str(caught.value)
        with pytest.raises(errors.CottonCandyError, match=BUCKET):
            list(backend.list_objects())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, errors.AccessDenied),
        (412, errors.ObjectChanged),
        (500, errors.TransientError),
        (503, errors.TransientError),
    ],
)
def test_answers_without_a_body(status: int, expected: type[Exception]) -> None:
    with elsewhere(lambda _: Response(status)) as (backend, _), pytest.raises(expected, match=OBJECT):
        backend.stat("key")


@pytest.mark.parametrize("call", ["stat", "open", "put", "copy"])
def test_a_refusal_without_words_of_a_name_that_is_too_long(call: str) -> None:
    def refuse_long(request: Request) -> Response:
        return Response(400) if "j" * 1025 in request.path else answer_writes(request)

    with elsewhere(refuse_long) as (backend, _):
        calls: dict[str, Callable[[str], object]] = {
            "stat": backend.stat,
            "open": backend.open,
            "put": lambda key: backend.put(key, b"x", {}),
            "copy": lambda key: backend.copy("there", key, options=WriteOptions(if_absent=True)),
        }
        with pytest.raises(errors.InvalidObjectName, match="1 to 1024 bytes"):
            calls[call]("j" * 1025)
        calls["put"]("j" * 1024)


@pytest.mark.parametrize("status", [400, 431])
@pytest.mark.parametrize("call", ["put", "start_upload", "copy"])
def test_a_refusal_without_words_of_much_metadata(call: str, status: int) -> None:
    def refuse_writes(request: Request) -> Response:
        return answer_writes(request) if request.method in {"GET", "HEAD"} else Response(status)

    with elsewhere(refuse_writes) as (backend, _):
        calls: dict[str, Callable[[dict[str, str]], object]] = {
            "put": lambda metadata: backend.put("key", b"x", metadata),
            "start_upload": lambda metadata: backend.start_upload("key", metadata),
            "copy": lambda metadata: backend.copy("there", "key", metadata=metadata),
        }
        with pytest.raises(errors.ServiceError, match=rf"^{OBJECT}: .*metadata has 3004 bytes.*2 KB.*\({status}\)$"):
            calls[call]({"note": "x" * 3000})
        with pytest.raises(errors.ServiceError, match=rf"^{OBJECT}: the store refused \({status}\)$"):
            calls[call]({"note": "x" * 300})


def test_a_refusal_in_words_keeps_them() -> None:
    with elsewhere(lambda _: error("InvalidRequest", 400)) as (backend, _):
        with pytest.raises(errors.ServiceError, match=r"metadata has .* \(InvalidRequest: as told\)$"):
            backend.put("key", b"x", {"note": "x" * 3000})
        with pytest.raises(errors.ServiceError, match=r"the store refused \(InvalidRequest: as told\)$"):
            backend.put("key", b"x", {})


NO_BUCKETS = Response(200, b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>")


@pytest.mark.parametrize(
    ("call", "code", "status", "expected"),
    [
        (lambda backend: backend.create_container("b-1"), "BucketAlreadyExists", 409, errors.ContainerExists),
        (lambda backend: backend.create_container("b-1"), "InvalidBucketName", 400, errors.ConfigurationError),
        (lambda backend: backend.remove_container("b-1"), "BucketNotEmpty", 409, errors.ContainerNotEmpty),
        (lambda backend: backend.remove_container("b-1"), "NoSuchBucket", 404, errors.ContainerNotFound),
    ],
)
def test_answers_about_buckets(call: Any, code: str, status: int, expected: type[Exception]) -> None:
    with elsewhere(lambda _: error(code, status)) as (backend, proxy):
        proxy.hook = lambda request: error(code, status) if request.path != "/" else NO_BUCKETS
        with pytest.raises(expected, match="bucket 'b-1'"):
            call(backend)


def test_a_bucket_of_our_own_is_left_as_it_is() -> None:
    with elsewhere(lambda _: error("BucketAlreadyOwnedByYou", 409)) as (backend, _):
        assert backend.create_container("b-1")["ResponseMetadata"]["HTTPStatusCode"] == 409


@pytest.mark.parametrize("name", ["a b", "", "b/c"])
def test_names_that_no_bucket_can_have(name: str) -> None:
    with elsewhere() as (backend, proxy):
        for call in (backend.create_container, backend.remove_container):
            with pytest.raises(errors.ConfigurationError):
                call(name)
        assert not backend.container_exists(name)
        assert not proxy.requests


def test_an_empty_name_is_no_objects() -> None:
    with elsewhere() as (backend, proxy):
        for call in (backend.stat, backend.open, lambda key: backend.put(key, b"", {})):
            with pytest.raises(errors.InvalidObjectName, match="1 to 1024 bytes"):
                call("")
        assert not proxy.requests


# ------------------------------------------------------------------ the network
def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    backend = connect(url, config=Config(retries=ONCE))
    for call in (
        lambda: backend.stat("key"),
        lambda: backend.put("key", b"x", {}),
        lambda: list(backend.list_objects()),
    ):
        with pytest.raises(errors.TransientError, match=f"no connection to {url}: is the address right"):
            call()


def test_no_such_host() -> None:
    backend = connect("http://no-such-host.invalid", config=Config(retries=ONCE))
    with pytest.raises(ConnectionError, match=r"no connection to http://no-such-host\.invalid: .*between\?$"):
        backend.stat("key")


@BOTH_WIRES
def test_no_such_host_of_a_bucket() -> None:
    """The endpoint may well answer: a name server without a wildcard knows it alone."""
    config = Config(retries=ONCE, s3={"addressing_style": "virtual"})
    backend = connect("http://no-such-host.invalid:8080", config=config)
    told = r"no connection to http://bucket\.no-such-host\.invalid:8080: .* Or use .*'addressing_style': 'path'"
    with pytest.raises(ConnectionError, match=told):
        backend.stat("key")


def test_amazons_hosts_of_buckets_are_there() -> None:
    error = EndpointConnectionError(endpoint_url="https://bucket.s3.amazonaws.com/key?x=1", error=OSError())
    ours, _ = translation(error, Place(OBJECT, "https://s3.amazonaws.com"))
    assert "no connection to https://bucket.s3.amazonaws.com: is the address right" in str(ours)
    assert "addressing_style" not in str(ours)


@BOTH_WIRES
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_version_that_says_that_the_object_was_deleted(method: str) -> None:
    """As Amazon answers: a method is not allowed where nothing may be read."""
    marker = error("MethodNotAllowed", 405) if method == "GET" else Response(405)
    marked = Response(405, marker.body, {**marker.headers, "x-amz-delete-marker": "true"})
    with elsewhere(lambda request: marked if "versionId" in request.query else answer_writes(request)) as (backend, _):
        old = backend.at_version("v1")
        with pytest.raises(errors.ObjectNotFound, match=r"^version 'v1' of object 'key' .*was deleted here"):
            old.open("key") if method == "GET" else old.stat("key")
        assert not old.exists("key")
    with elsewhere(lambda _: marker) as (backend, _), pytest.raises(errors.ServiceError, match="the store refused"):
        backend.stat("key")  # whoever else says so means something else


@pytest.mark.stores("ceph-tls")
def test_a_certificate_that_is_not_trusted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(retries=ONCE)
    with pytest.raises(
        errors.ServiceError, match=r"\(.*certificate.*\): .*verify=, --ca-bundle or AWS_CA_BUNDLE"
    ) as caught:
        store.backend(verify=None, config=config).stat("key")
    assert not isinstance(caught.value, errors.TransientError)
    monkeypatch.setenv("AWS_CA_BUNDLE", store.access["verify"])
    assert not store.backend(verify=None, config=config).exists("key")


@pytest.mark.stores("swift")
def test_a_metadata_value_that_swift_does_not_take(store: Store) -> None:
    backend = store.backend(config=Config(retries=ONCE))
    with pytest.raises(errors.TransientError, match=r"'key'.* its metadata has 30\d bytes: .*max_meta_value_length"):
        backend.put("key", b"x", {"long": "v" * 300})
    backend.put("key", b"x", {"long": "v" * 256})
    assert store.raw.get("key")[1] == {"long": "v" * 256}


# ------------------------------------------------------------------ secrets
@pytest.mark.stores("seaweedfs", "ceph")
@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
def test_refused_keys_are_not_shown(store: Store, wrong: str) -> None:
    store.raw.put("key", b"x")
    backend = store.backend(**{wrong: "AKFORGOTTEN12345"})
    for call in (lambda: backend.open("key"), lambda: backend.stat("key"), lambda: backend.put("key", b"x", {})):
        with pytest.raises(PermissionError) as caught:
            call()
        assert "object 'key' in bucket" in str(caught.value)
        for secret in ("AKFORGOTTEN12345", store.access["access_key"], store.access["secret_key"]):
            assert secret not in shown(caught.value)


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidToken"])
def test_what_a_server_says_of_keys_is_not_repeated(code: str) -> None:
    told = "the key AKID signed Credential=AKID/20260101 wrongly"
    with elsewhere(lambda _: error(code, 403, told)) as (backend, _), pytest.raises(errors.AccessDenied) as caught:
        backend.open("key")
    assert "AKID" not in shown(caught.value)


def test_other_causes_are_kept() -> None:
    with elsewhere(lambda _: error("NoSuchKey", 404)) as (backend, _), pytest.raises(FileNotFoundError) as caught:
        backend.open("key")
    assert isinstance(caught.value.__cause__, ClientError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


# ---------------------------------------------------------------------- too large
@pytest.mark.stores("ceph")
def test_names_and_metadata_that_are_too_large(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("a", b"x")
    for call in (
        lambda: cci.upload_object("j" * 1025, b""),
        lambda: cci.cp("a", "j" * 1025),
        lambda: cci.download_object("j" * 1025),
    ):
        with pytest.raises(errors.InvalidObjectName, match="1 to 1024 bytes"):
            call()
    with pytest.raises(errors.CottonCandyError, match=r"object 'm' in .*metadata .*2 KB.*object of its own"):
        cci.upload_object("m", b"", note="x" * 70_000)
    assert store.raw.keys() == ["a"]


def test_no_bucket_is_named_where_none_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    url = "http://127.0.0.1:9"
    of_one = S3Backend.connect("lab", None, None, url, Options.load(create=False))
    for listed in (lambda: cottoncandy.get_interface(endpoint_url=url), of_one.list_containers):
        with pytest.raises(errors.CredentialsNotFound, match=f"^S3 at {url}: no credentials were found"):
            listed()
    with pytest.raises(errors.CredentialsNotFound, match=r"^object 'x' in bucket 'lab': no credentials were found"):
        of_one.stat("x")
    of_one.close()

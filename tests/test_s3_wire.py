"""What the S3 backend sends: counted and read from the wire."""

from __future__ import annotations

import base64
import hashlib
import logging
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from recorder import Request, Response
from s3_wire import ONCE, amazon, answer_writes, before, elsewhere, error, operation
from stores import BOTH_WIRES, Store

from cottoncandy.backends.base import MIB, WriteOptions
from cottoncandy.backends.s3 import S3Backend
from cottoncandy.backends.s3.body import Payload
from cottoncandy.errors import (
    ConfigurationError,
    NotSupported,
    ObjectExists,
    ObjectNotFound,
    ServiceError,
    TransientError,
)

HAVE_CHECKSUMS = "request_checksum_calculation" in Config.OPTION_DEFAULTS
NO_ACL = "AccessControlListNotSupported"
#: As the interfaces write: a copy, too, may be a step of an upload.
UPLOAD = WriteOptions(is_upload=True)


WRITES: dict[str, Callable[[S3Backend, WriteOptions], Any]] = {
    "put": lambda backend, options: backend.put("key", b"x", {}, options),
    "upload": lambda backend, options: backend.start_upload("key", {}, options),
    "copy": lambda backend, options: backend.copy("there", "key", options=options),
    "create": lambda backend, options: backend.create_container("other", acl=options.acl),
}


def acls(requests: list[Request]) -> list[str | None]:
    """The ACL header of each write."""
    return [request.headers["x-amz-acl"] for request in requests if request.method in {"PUT", "POST"}]


# ------------------------------------------------------------------ ACLs
@pytest.mark.parametrize("write", WRITES)
def test_amazon_gets_no_acl_by_default(write: str) -> None:
    with amazon() as (backend, proxy):
        WRITES[write](backend, WriteOptions())
        assert acls(proxy.requests) == [None]


@pytest.mark.parametrize("write", WRITES)
def test_amazon_gets_the_acl_of_the_users_own_file_or_environment(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("~/.config/cottoncandy/options.cfg").expanduser()
    path.parent.mkdir(parents=True)
    path.write_text("[basic]\ndefault_acl = bucket-owner-read\n")
    with amazon() as (backend, proxy):
        WRITES[write](backend, WriteOptions())
        monkeypatch.setenv("COTTONCANDY_BASIC_DEFAULT_ACL", "private")
        with amazon() as (second, other):
            WRITES[write](second, WriteOptions())
        assert acls(proxy.requests) + acls(other.requests) == ["bucket-owner-read", "private"]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("where", [amazon, elsewhere])
def test_the_callers_acl_goes_everywhere(write: str, where: Any) -> None:
    with where() as (backend, proxy):
        WRITES[write](backend, WriteOptions(acl="public-read"))
        WRITES[write](backend, WriteOptions(acl=""))
        assert acls(proxy.requests) == ["public-read", None]


@pytest.mark.parametrize("write", WRITES)
def test_other_servers_get_the_default(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere() as (backend, proxy):
        WRITES[write](backend, UPLOAD)
        monkeypatch.setenv("COTTONCANDY_BASIC_DEFAULT_ACL", "False")
        with elsewhere() as (second, other):
            WRITES[write](second, UPLOAD)
        assert acls(proxy.requests) + acls(other.requests) == ["authenticated-read", None]


@pytest.mark.parametrize("large", [False, True], ids=["at once", "in parts"])
@pytest.mark.parametrize(
    ("chosen", "sent"),
    [
        ("", None),
        ("authenticated-read", None),
        ("public-read", None),
        ("private", "private"),
        ("bucket-owner-full-control", "bucket-owner-full-control"),
    ],
)
def test_a_copy_gets_no_acl_that_lets_others_read(
    chosen: str, sent: str | None, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen:
        monkeypatch.setenv("COTTONCANDY_BASIC_DEFAULT_ACL", chosen)
    with elsewhere() as (backend, proxy):
        if large:
            monkeypatch.setattr(backend, "largest_copy", 0)
            monkeypatch.setattr(backend._bucket.client, "upload_part_copy", lambda **_: {"CopyPartResult": {}})
        backend.copy("there", "key")
        backend.copy("there", "key", options=WriteOptions(acl="public-read"))
        backend.copy("there", "key", options=WriteOptions(extra={"ACL": "public-read"}))
        writes = [request for request in proxy.requests if operation(request) in {"PUT copy", "POST uploads"}]
        assert acls(writes) == [sent, "public-read", "public-read"]


def test_acls_among_the_extra_arguments() -> None:
    with elsewhere() as (backend, proxy):
        backend.put("key", b"x", {}, WriteOptions(extra={"ACL": "public-read"}))
        backend.put("key", b"x", {}, WriteOptions(extra={"GrantRead": "id=1"}))
        backend.put("key", b"x", {}, WriteOptions(acl="private", extra={"ACL": "public-read"}))
        backend.put("key", b"x", {}, WriteOptions(extra={"ACL": False}))
        assert acls(proxy.requests) == ["public-read", None, "private", None]
        assert [request.headers["x-amz-grant-read"] for request in proxy.requests] == [None, "id=1", None, None]


@pytest.mark.stores("ceph", "ceph-tls")
@pytest.mark.parametrize("write", ["put", "upload", "copy"])
def test_the_default_lets_other_users_of_a_server_read(store: Store, write: str) -> None:
    assert store.server is not None
    store.raw.put("there", b"x")
    writes = WRITES | {"upload": lambda backend, options: backend.start_upload("key", {}, options).complete()}
    backend = store.backend()
    theirs = store.backend(access_key=store.server.alt_access_key, secret_key=store.server.alt_secret_key)
    writes[write](backend, UPLOAD)
    assert theirs.stat("key").size == backend.stat("key").size
    for acl in ("", "private"):
        writes[write](backend, WriteOptions(acl=acl))
        with pytest.raises(PermissionError, match="object 'key' in bucket"):
            theirs.stat("key")


def refusing(code: str, status: int, message: str = "", bucket: str = "") -> Callable[[Request], Response]:
    def hook(request: Request) -> Response:
        refuses = request.headers["x-amz-acl"] and bucket in request.path
        return error(code, status, message) if refuses else answer_writes(request)

    return hook


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        (NO_ACL, 400, "The bucket does not allow ACLs"),
        ("NotImplemented", 501, "A header you provided implies functionality that is not implemented."),
        ("InvalidArgument", 400, "Unsupported value for canned acl 'authenticated-read'"),
        ("InvalidRequest", 400, "Uniform access is on: no ACL may be set"),
    ],
)
def test_a_server_that_refuses_acls_is_asked_without(write: str, code: str, status: int, message: str) -> None:
    with elsewhere(refusing(code, status, message)) as (backend, proxy):
        WRITES[write](backend, UPLOAD)
        WRITES[write](backend, UPLOAD)
        WRITES[write](backend, WriteOptions(acl="public-read"))
        assert acls(proxy.requests) == ["authenticated-read", None, None, None]
        assert all(request.body == b"x" for request in proxy.requests if operation(request) == "PUT" == write)


def test_a_bucket_that_refuses_acls_says_nothing_of_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cottoncandy")
    with elsewhere(refusing(NO_ACL, 400, bucket="/bucket/")) as (backend, proxy):
        backend.put("key", b"x", {})
        backend.at("other").put("key", b"x", {})
        backend.at("bucket").put("key", b"x", {})
        default = "authenticated-read"
        assert acls(proxy.requests) == [default, None, default, None]
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "'bucket'" in caplog.text


def test_a_server_without_acls_is_asked_once_for_all_buckets() -> None:
    with elsewhere(refusing("NotImplemented", 501)) as (backend, proxy):
        backend.put("key", b"x", {})
        backend.at("other").put("key", b"x", {})
        assert acls(proxy.requests) == ["authenticated-read", None, None]


def test_an_acl_that_the_caller_named_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with amazon(refusing(NO_ACL, 400)) as (backend, proxy):
        backend.put("key", b"x", {}, WriteOptions(acl="public-read"))
        assert acls(proxy.requests) == ["public-read", None]
    assert [record.levelname for record in caplog.records if record.levelno > logging.DEBUG] == ["WARNING"]


def test_another_refusal_is_not_taken_for_one_of_acls() -> None:
    with elsewhere(lambda _: error("NotImplemented", 501)) as (backend, proxy):
        with pytest.raises(NotSupported):
            backend.put("key", b"x", {}, WriteOptions(extra={"StorageClass": "ODD"}))
        assert acls(proxy.requests) == ["authenticated-read", None]
        proxy.hook = answer_writes
        backend.put("key", b"x", {})
        assert acls(proxy.requests)[-1] == "authenticated-read"
        proxy.clear()
        proxy.hook = lambda _: error("InvalidRequest", 400, "This acts of something else")
        with pytest.raises(ServiceError):
            backend.put("key", b"x", {})
        assert acls(proxy.requests) == ["authenticated-read"]


# ------------------------------------------------------------------ extra arguments and metadata
def test_extra_arguments_go_with_the_write() -> None:
    extra = {"ContentType": "text/x", "StorageClass": "GLACIER", "Tagging": "a=b", "Metadata": {"one": "1"}}
    with elsewhere() as (backend, proxy):
        backend.put("key", b"x", {"two": "2"}, WriteOptions(extra=extra))
        upload = backend.start_upload("key", {"two": "2"}, WriteOptions(extra=extra))
        upload.send_part(1, b"x")
        upload.complete()
        put, create, part, complete = proxy.requests
    names = ["content-type", "x-amz-storage-class", "x-amz-tagging", "x-amz-meta-one", "x-amz-meta-two"]
    for request in (put, create):
        assert [request.headers[name] for name in names] == ["text/x", "GLACIER", "a=b", "1", "2"]
    for request in (part, complete):
        assert [request.headers[name] for name in names[1:]] == [None] * 4


def test_encryption_keys_go_with_every_part() -> None:
    key = "k" * 32
    extra = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    # botocore sends such keys over https only where it is asked to; this server has none
    with elsewhere() as (backend, proxy):
        upload = backend.start_upload("key", {}, WriteOptions(extra=extra))
        upload.send_part(1, b"x")
        upload.complete()
    expected = base64.b64encode(key.encode()).decode()
    sent = [request.headers["x-amz-server-side-encryption-customer-key"] for request in proxy.requests]
    assert sent == [expected] * 3


@pytest.mark.parametrize("name", ["Colour", "Bucket", "Body", "contenttype"])
def test_unknown_extra_arguments_are_refused(name: str) -> None:
    with elsewhere() as (backend, proxy):
        for write in ("put", "upload", "copy"):
            with pytest.raises(ConfigurationError, match=name):
                WRITES[write](backend, WriteOptions(extra={name: "x"}))
        assert not acls(proxy.requests)


def test_a_wrong_value_is_told_without_itself() -> None:
    with elsewhere() as (backend, _), pytest.raises(ConfigurationError, match="parameter Tagging") as caught:
        backend.put("key", b"x", {}, WriteOptions(extra={"Tagging": 12345}))
    assert "12345" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"name": "caf\u00e9"}, "'name'"),
        ({"caf\u00e9": "x"}, "'caf\u00e9'"),
        ({"name": "a\nb"}, "'name'"),
        ({"name": "a\rb"}, "'name'"),
        ({"a b": "x"}, "'a b'"),
        ({"": "x"}, "''"),
        ({"name": 1}, "'name'"),
    ],
)
def test_metadata_that_no_header_can_hold(metadata: dict[str, str], expected: str) -> None:
    with elsewhere() as (backend, proxy):
        for write in (backend.put, lambda key, _, metadata: backend.start_upload(key, metadata)):
            with pytest.raises(ConfigurationError, match="ASCII") as caught:
                write("key", b"x", metadata)  # type: ignore[operator]
            assert f"metadata key {expected}" in str(caught.value) or f"metadata {expected}" in str(caught.value)
            assert "object 'key' in bucket 'bucket'" in str(caught.value)
        assert not proxy.requests


def test_metadata_that_is_too_large() -> None:
    with (
        elsewhere(lambda _: error("MetadataTooLarge", 400)) as (backend, _),
        pytest.raises(ConfigurationError, match="2 KB"),
    ):
        backend.put("key", b"x", {"a": "x" * 3000})


# ------------------------------------------------------------------ checksums
def checksums(request: Request) -> set[str]:
    """Headers that say that botocore sums up by itself."""
    names = {name.lower() for name in request.headers}
    told = {name for name in names if name.startswith(("x-amz-checksum", "x-amz-sdk-checksum", "x-amz-trailer"))}
    return told | (names & {"content-md5", "x-amz-decoded-content-length"})


def write_all(backend: S3Backend) -> None:
    backend.put("key", b"x" * 1000, {})
    upload = backend.start_upload("key", {})
    upload.send_part(1, b"x" * 1000)
    upload.complete()
    backend.copy("there", "key")
    backend.open("there").close()


@BOTH_WIRES
def test_other_servers_get_no_checksums() -> None:
    with elsewhere() as (backend, proxy):
        write_all(backend)
        # botocore before 1.36 sends Content-MD5 with the requests that move bytes: every server knows that
        known = set() if HAVE_CHECKSUMS else {"content-md5"}
        assert all(checksums(request) <= known for request in proxy.requests)
        assert all("aws-chunked" not in request.headers.get("Content-Encoding", "") for request in proxy.requests)
        assert proxy.requests[0].body == b"x" * 1000
        assert proxy.requests[-1].headers["x-amz-checksum-mode"] is None


@pytest.mark.skipif(not HAVE_CHECKSUMS, reason="an older botocore sends none")
def test_amazon_gets_them_and_the_users_config_wins() -> None:
    with amazon() as (backend, proxy):
        write_all(backend)
        assert checksums(proxy.requests[0])
    config = Config(request_checksum_calculation="when_supported", retries=ONCE)
    with elsewhere(config=config) as (backend, proxy):
        write_all(backend)
        assert checksums(proxy.requests[0])


@BOTH_WIRES
def test_deletes_have_content_md5_on_other_servers() -> None:
    with elsewhere() as (backend, proxy):
        backend.delete(["a", "b"])
        (request,) = proxy.requests
    assert checksums(request) == {"content-md5"}
    body = request.body or b""
    assert request.headers["Content-MD5"] == base64.b64encode(hashlib.md5(body).digest()).decode()


# ------------------------------------------------------------------ one request, no copy
@BOTH_WIRES
@pytest.mark.stores("moto", "ceph")
def test_an_object_is_one_get_and_an_upload_one_put(store: Store) -> None:
    with before(store) as (backend, proxy):
        body = bytes(range(256)) * 4096
        backend.put("key", body, {"a": "1"})
        buffer = bytearray(len(body))
        with backend.open("key", 0, 64 * MIB) as reader:
            assert reader.readexactly(memoryview(buffer)) == len(body)
        assert bytes(buffer) == body
        assert reader.head.metadata == {"a": "1"}
        assert reader.head.size == len(body)
        assert [request.method for request in proxy.requests] == ["PUT", "GET"]
        assert proxy.requests[-1].headers["Range"] == f"bytes=0-{64 * MIB - 1}"
        assert backend.read_range("key", 3, memoryview(buffer)[:5]) == 5
        backend.open("key").close()
        assert [request.headers["Range"] for request in proxy.requests[2:]] == ["bytes=3-7", None]


@BOTH_WIRES
@pytest.mark.stores("moto")
def test_bytes_are_sent_and_received_without_a_copy(store: Store) -> None:
    array = bytearray(64 * MIB)
    with before(store) as (backend, proxy):
        proxy.keep_bodies = False
        backend.put("warm", b"x", {})
        backend.read_range("warm", 0, memoryview(array)[:1])
        tracemalloc.start()
        try:
            backend.put("key", memoryview(array), {})
            backend.read_range("key", 0, memoryview(array))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 8 * MIB


def test_a_payload_is_a_file_over_memory() -> None:
    memory = bytearray(range(256)) * 12288  # 3 MiB
    payload = Payload(memory)
    assert len(payload) == len(memory)
    first = payload.read(16384)
    assert isinstance(first, memoryview)
    assert first.obj is memory
    assert len(first) == MIB  # more than asked: a system call for 16 KiB costs as much
    assert payload.tell() == MIB
    assert bytes(payload.read(2 * MIB)) + bytes(payload.read(1)) == memory[MIB:]
    assert payload.read() == b""
    assert payload.seek(-1, 2) == len(memory) - 1
    assert bytes(payload.read()) == b"\xff"
    payload.seek(0)
    buffer = bytearray(1000)
    assert payload.readinto(buffer) == 1000  # awscrt wants no more than it has room for
    assert buffer == memory[:1000]
    assert payload.seek(10, 1) == 1010


def test_a_payload_may_be_of_any_item_size() -> None:
    assert bytes(Payload(memoryview(bytearray(8)).cast("d")).read()) == bytes(8)


# ------------------------------------------------------------------ write only what is not there
ABSENT = WriteOptions(if_absent=True)


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_nothing_is_replaced(store: Store) -> None:
    with before(store) as (backend, proxy):
        store.raw.put("there", b"old")
        with pytest.raises(ObjectExists, match="object 'there'"):
            backend.put("there", b"new", {}, ABSENT)
        backend.put("new", b"new", {}, ABSENT)
        if backend._bucket.connection.accepts("PutObject", "IfNoneMatch"):
            assert proxy.requests[-1].headers["If-None-Match"] == "*"
        assert store.raw.get("there")[0] == b"old"
        assert store.raw.get("new")[0] == b"new"


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_nothing_is_replaced_by_one_who_comes_between(store: Store) -> None:
    """The server compares again: what was written after the question is not lost."""

    def hook(request: Request) -> None:
        if request.method == "PUT" and "partNumber" not in request.query:
            store.raw.put("key", b"theirs")

    with before(store, hook) as (backend, _):
        if not backend._bucket.connection.accepts("PutObject", "IfNoneMatch"):
            pytest.skip("this botocore knows no If-None-Match")
        with pytest.raises(ObjectExists):
            backend.put("key", b"ours", {}, ABSENT)
    assert store.raw.get("key")[0] == b"theirs"


def test_amazon_is_not_asked_beforehand() -> None:
    with amazon() as (backend, proxy):
        if not backend._bucket.connection.accepts("PutObject", "IfNoneMatch"):
            pytest.skip("this botocore knows no If-None-Match")
        backend.put("key", b"x", {}, ABSENT)
        assert [request.method for request in proxy.requests] == ["PUT"]
        proxy.hook = lambda _: error("PreconditionFailed", 412)
        with pytest.raises(ObjectExists):
            backend.put("key", b"x", {}, ABSENT)


def test_a_conflict_is_no_object_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amazon has not looked then: another write or deletion was under way."""
    monkeypatch.setenv("COTTONCANDY_RETRY_LONGEST_WAIT", "0.01")
    with amazon(config=Config(retries={"total_max_attempts": 3})) as (backend, proxy):
        if not backend._bucket.connection.accepts("PutObject", "IfNoneMatch"):
            pytest.skip("this botocore knows no If-None-Match")
        conflicts = [error("ConditionalRequestConflict", 409)] * 2
        proxy.hook = lambda request: conflicts.pop() if conflicts else answer_writes(request)
        backend.put("key", b"x", {}, ABSENT)
        assert [request.method for request in proxy.requests] == ["PUT"] * 3
        proxy.hook = lambda _: error("ConditionalRequestConflict", 409)
        with pytest.raises(TransientError, match=r"'key'.*under way"):
            backend.put("key", b"x", {}, ABSENT)
        assert len(proxy.requests) == 6


def test_metadata_that_are_one_to_the_server_are_refused() -> None:
    with elsewhere() as (backend, proxy):
        with pytest.raises(ConfigurationError, match=r"'key'.*'unit' is there twice"):
            backend.put("key", b"x", {"Unit": "s", "unit": "ms"})
        assert not proxy.requests


def test_a_server_without_conditions_is_asked_once() -> None:
    def hook(request: Request) -> Response:
        return error("NotImplemented", 501) if request.headers["If-None-Match"] else answer_writes(request)

    with elsewhere(hook) as (backend, proxy):
        if not backend._bucket.connection.accepts("PutObject", "IfNoneMatch"):
            pytest.skip("this botocore knows no If-None-Match")
        for _ in range(2):
            backend.put("key", b"x", {}, ABSENT)
        # with an ACL, without, then without a condition, and the second time so from the start
        sent = [(request.method, request.headers["If-None-Match"]) for request in proxy.requests]
        unconditional = sent.index(("PUT", None))
        assert ("PUT", "*") in sent[:unconditional]
        assert ("PUT", "*") not in sent[unconditional:]
        assert proxy.requests[-1].headers["x-amz-acl"] == "authenticated-read"
        with pytest.raises(ObjectExists):
            backend.put("there", b"x", {}, ABSENT)


@pytest.mark.parametrize("write", ["put", "upload", "copy"])
def test_a_botocore_without_conditions_asks_beforehand(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with amazon() as (backend, proxy):
        connection = type(backend._bucket.connection)
        knows = connection.accepts
        monkeypatch.setattr(connection, "accepts", lambda self, *what: what[1] != "IfNoneMatch" and knows(self, *what))
        again: dict[str, Callable[[], Any]] = {
            "put": lambda: backend.put("there", b"", {}, ABSENT),
            "upload": lambda: backend.start_upload("there", {}, ABSENT),
            "copy": lambda: backend.copy("there", "there", options=ABSENT),
        }
        WRITES[write](backend, ABSENT)
        with pytest.raises(ObjectExists):
            again[write]()
        assert not any(request.headers["If-None-Match"] for request in proxy.requests)


@BOTH_WIRES
def test_what_only_a_whole_body_can_have_is_refused_for_parts(wire: str) -> None:
    md5 = WriteOptions(extra={"ContentMD5": "XUFAKrxLKna5cZ2REBfFkg==", "ContentType": "text/plain"})
    with elsewhere() as (backend, proxy):
        backend.put("key", b"hello", {}, md5)
        assert proxy.requests[-1].headers["Content-MD5"] == md5.extra["ContentMD5"]
        proxy.clear()
        with pytest.raises(ConfigurationError, match=r"'key' in bucket .*'ContentMD5'.* in parts"):
            backend.start_upload("key", {}, md5)
        assert not proxy.requests


# ------------------------------------------------------------------ buckets
def test_the_region_of_a_new_bucket() -> None:
    with amazon() as (backend, proxy):
        backend.create_container("other")
        assert not proxy.requests[-1].body
    with amazon(region_name="eu-west-2") as (backend, proxy):
        backend.create_container("other")
        assert b"<LocationConstraint>eu-west-2</LocationConstraint>" in (proxy.requests[-1].body or b"")
    with elsewhere(region_name="eu-west-2") as (backend, proxy):
        backend.create_container("other")
        assert not proxy.requests[-1].body


@BOTH_WIRES
@pytest.mark.parametrize(("status", "expected"), [(200, True), (404, False), (403, True), (400, True)])
def test_whether_a_bucket_exists(status: int, expected: bool, wire: str) -> None:
    with elsewhere(lambda _: Response(status)) as (backend, proxy):
        assert backend.container_exists("other") is expected
        # what may be a redirection our own way asks again by botocore, which knows how to follow one
        times = 2 if wire == "lean" and status == 400 else 1
        assert [(request.method, request.path) for request in proxy.requests] == [("HEAD", "/other")] * times
        assert not backend.container_exists("no such name")


@BOTH_WIRES
def test_a_bucket_of_another_region_exists() -> None:
    there = Response(301, headers={"x-amz-bucket-region": "eu-west-1"})
    with elsewhere(lambda _: there) as (backend, _):
        assert backend.container_exists("other")


@BOTH_WIRES
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_address_is_no_bucket(status: int) -> None:
    def told(location: str) -> str:
        away = Response(status, headers={"Location": location})
        with elsewhere(lambda _: away) as (backend, _):
            with pytest.raises(ServiceError, match=r"^bucket 'other': ") as caught:
                backend.container_exists("other")
            with pytest.raises(ServiceError, match=r"^object 'key' in bucket 'bucket': "):
                backend.put("key", b"x", {})
        return str(caught.value)

    assert f"the server sends on to https://127.0.0.1:8: use that as endpoint_url ({status})" in told(
        "https://127.0.0.1:8/other?secret=1"
    )
    elsewhere_told = told("https://user:word@login.example.org/next?token=1")
    assert "sends on to https://login.example.org: use that as endpoint_url if it is the store's" in elsewhere_told
    assert "word" not in elsewhere_told
    assert "check endpoint_url" in told("/other/")


def test_buckets_of_all_pages() -> None:
    def hook(request: Request) -> Response:
        names, more = (("c", "b"), "<ContinuationToken>t</ContinuationToken>")
        if request.query.get("continuation-token"):
            names, more = ("a",), ""
        buckets = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in names)
        return Response(
            200, f"<ListAllMyBucketsResult><Buckets>{buckets}</Buckets>{more}</ListAllMyBucketsResult>".encode()
        )

    with elsewhere(hook) as (backend, _):
        if not backend._bucket.connection.accepts("ListBuckets", "ContinuationToken"):
            pytest.skip("this botocore knows no pages of buckets")
        assert backend.list_containers() == ["a", "b", "c"]


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_owners(store: Store) -> None:
    backend = store.backend()
    store.raw.put("a/b", b"x")
    store.raw.put("a-b", b"x")
    assert backend.owner("a/b")
    assert backend.owner("a-b") == backend.owner("a/b")
    if store.name == "ceph":
        assert backend.owner("a/b") == "main"
    with pytest.raises(ObjectNotFound):
        backend.owner("a")


@pytest.mark.stores("moto", "seaweedfs", "ceph-tls")
def test_boto3s_own_objects(store: Store) -> None:
    backend = store.backend()
    backend.put("key", b"body", {"a": "1"})
    native = backend.native_object("key")
    assert (native.bucket_name, native.key) == (store.container, "key")
    assert native.get()["Body"].read() == b"body"
    info = next(backend.list_objects())
    summary = next(iter(backend.native_container().objects.all()))
    assert (info.key, info.size, info.e_tag) == (summary.key, summary.size, native.e_tag)
    assert isinstance(info.last_modified, datetime)
    assert info.last_modified.tzinfo is not None
    assert abs((info.last_modified - datetime.now(timezone.utc)).total_seconds()) < 3600
    native.delete()
    assert not backend.exists("key")

"""The lean way and botocore's own, side by side on real servers: the same calls, the same answers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from lean_faults import needs_arguments
from stores import RawBucket, Store, s3_client

from cottoncandy.backends.s3.lean import LeanClient

pytestmark = [
    pytest.mark.lean_wire("it is about our own connections, or sets them beside botocore's"),
    pytest.mark.stores(exclude=["local", "gdrive"]),
]

KEYS = [
    "plain",
    "a b",
    "a+b",
    "a%20b",
    "a%2Fb",
    "~tilde",
    "d//e",
    "deep/er/and/deeper",
    "it's",
    'say "x"',
    "what?now=1&then=2",
    "a#fragment",
    "<tag>&amp;",
    "grün/日本語/🍬",
    "a:b;c,d=e@f$g!h*i(j)k",
    "trailing/",
    "dot.",
    ".hidden",
    "tab\tand",
]


class Pair:
    """A client and a lean client around it, on one bucket."""

    def __init__(self, store: Store) -> None:
        assert isinstance(store.raw, RawBucket)
        assert store.server is not None
        self.bucket = store.raw.bucket
        self.boto = s3_client(store.server)
        self.lean = LeanClient(self.boto)
        self.strays = False  # whether some calls go botocore's way

    def same(self, method: str, **arguments: Any) -> Any:
        """Call both ways; the outcomes are equal, and the common one is returned."""
        arguments = {"Bucket": self.bucket, **arguments}
        if not self.strays:
            needs_arguments(self.boto, method, arguments)
        lean, boto = (outcome(getattr(client, method), arguments) for client in (self.lean, self.boto))
        assert lean == boto
        return lean


@pytest.fixture
def pair(store: Store, caplog: pytest.LogCaptureFixture) -> Iterator[Pair]:
    """Both ways to a fresh bucket; a call that should go the lean way and does not would prove nothing."""
    caplog.set_level(logging.DEBUG, "cottoncandy.backends.s3.lean")
    pair = Pair(store)
    yield pair
    strays = [record.getMessage() for record in caplog.get_records("call") if "botocore's way" in record.getMessage()]
    strays = [stray for stray in strays if "a refusal without a word" not in stray]  # 400 to a HEAD is for botocore
    assert bool(strays) == pair.strays
    pair.lean._exchange.close()


def outcome(method: Callable[..., dict[str, Any]], arguments: dict[str, Any]) -> Any:
    """What a call gave, without what differs from request to request."""
    try:
        response = method(**arguments)
    except ClientError as error:
        return type(error).__name__, without_identity(error.response), error.operation_name
    except BotoCoreError as error:
        return type(error).__name__, str(error)
    if "CopyObjectResult" in response:  # the date of a copy, which is as long as its fraction of a second
        response["CopyObjectResult"].pop("LastModified", None)
        response["ResponseMetadata"]["HTTPHeaders"].pop("content-length", None)
    if "Deleted" in response:  # Ceph deletes side by side, and tells in the order in which it was done
        response["Deleted"].sort(key=lambda entry: entry["Key"])
    if "Body" in response:
        with response["Body"] as body:
            response["Body"] = body.read()
    return without_identity(response)


def without_identity(response: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(response["ResponseMetadata"])
    for name in ("RequestId", "HostId"):
        assert metadata.pop(name, "") is not None
    headers = metadata["HTTPHeaders"]
    changing = {"date", "last-modified", "x-amz-request-id", "x-amz-id-2", "x-amzn-requestid", "server"}
    changing |= {"x-trans-id", "x-openstack-request-id", "x-timestamp"}  # Swift's
    metadata["HTTPHeaders"] = {name: text for name, text in headers.items() if name not in changing}
    return {**response, "ResponseMetadata": metadata}


def usable(store: Store) -> list[str]:
    keys = KEYS if store.has("no-newline") else [*KEYS, "line\nfeed"]
    return [key for key in keys if not (store.name == "seaweedfs" and (key.endswith("/") or "//" in key))]


def test_objects_with_odd_names_come_and_go_both_ways(pair: Pair, store: Store) -> None:
    for number, key in enumerate(usable(store)):
        body = f"{number} {key}".encode()
        writer, other = (pair.lean, pair.boto) if number % 2 else (pair.boto, pair.lean)
        written = writer.put_object(
            Bucket=pair.bucket, Key=key, Body=body, Metadata={"shape": "3,4", "Mixed-Case": "x  y"}
        )
        again = other.put_object(
            Bucket=pair.bucket, Key=key, Body=body, Metadata={"shape": "3,4", "Mixed-Case": "x  y"}
        )
        assert without_identity(written) == without_identity(again)
        found = pair.same("get_object", Key=key)
        assert found["Body"] == body
        assert found["Metadata"]["shape"] == "3,4"
        assert pair.same("head_object", Key=key)["ContentLength"] == len(body)
    listed = pair.same("list_objects_v2")
    assert {entry["Key"] for entry in listed["Contents"]} == set(usable(store))


@pytest.mark.parametrize(
    "arguments",
    [
        {"Range": "bytes=10-19"},
        {"Range": "bytes=100-"},
        {"Range": "bytes=-7"},
        {"Range": "bytes=0-999999"},
        {"Range": "bytes=5000-6000"},
        {"IfMatch": '"0"'},
        {"IfMatch": "TAG"},
        {"IfNoneMatch": "TAG"},
        {"Range": "bytes=3-9", "IfMatch": "TAG"},
        {"ResponseContentType": "text/x-test", "ResponseCacheControl": "no-store, max-age=0"},
        {"VersionId": "null"},
        {"RequestPayer": "requester"},
        {"PartNumber": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["get_object", "head_object"])
def test_reading(pair: Pair, method: str, arguments: dict[str, Any]) -> None:
    body = bytes(range(256)) * 4
    pair.boto.put_object(Bucket=pair.bucket, Key="x", Body=body, ContentType="image/x-test", CacheControl="max-age=3")
    tag = f'"{hashlib.md5(body).hexdigest()}"'
    pair.same(method, Key="x", **{name: tag if value == "TAG" else value for name, value in arguments.items()})


def test_what_is_not_there(pair: Pair) -> None:
    for method in ("get_object", "head_object"):
        kind, response, _ = pair.same(method, Key="missing")
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 404
        assert kind == ("NoSuchKey" if method == "get_object" else "ClientError")
        pair.same(method, Bucket=f"{pair.bucket}-missing", Key="x")
    pair.same("list_objects_v2", Bucket=f"{pair.bucket}-missing")
    pair.same("put_object", Bucket=f"{pair.bucket}-missing", Key="x", Body=b"")
    pair.same("upload_part", Key="x", UploadId="none", PartNumber=1, Body=b"x")
    pair.same("delete_object", Key="missing")


def test_what_is_refused_before_it_is_sent(pair: Pair) -> None:
    pair.strays = True  # botocore refuses best
    assert pair.same("get_object", Key="")[0] == "ParamValidationError"
    assert pair.same("get_object", Key="x", Colour="red")[0] == "ParamValidationError"
    assert pair.same("get_object", Key=3)[0] == "ParamValidationError"
    assert pair.same("put_object", Key="x", Metadata={"a": "ü"})[0] == "ParamValidationError"
    assert pair.same("get_object", Key="x", Bucket="no such/bucket")[0] == "ParamValidationError"


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_bodies_arrive_whole(pair: Pair, size: int, form: Callable[[bytes], Any]) -> None:
    body = bytes(i * 7 % 251 for i in range(251)) * (size // 251 + 1)
    pair.lean.put_object(Bucket=pair.bucket, Key="x", Body=form(body[:size]), ContentType="text/x-test")
    found = pair.same("get_object", Key="x")
    assert found["Body"] == body[:size]
    assert found["ContentType"] == "text/x-test"


def test_parts_of_an_upload(pair: Pair) -> None:
    parts = [b"a" * (5 << 20), b"b" * 77]
    answers = []
    for client in (pair.lean, pair.boto):
        where = {"Bucket": pair.bucket, "Key": "a b/ü&<x>"}
        started = client.create_multipart_upload(**where, Metadata={"shape": "3"}, ContentType="text/x-test")
        where["UploadId"] = started.pop("UploadId")
        done = [
            {"PartNumber": number, "ETag": pair.same("upload_part", **where, PartNumber=number, Body=part)["ETag"]}
            for number, part in enumerate(parts, 1)
        ]
        ended = client.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
        found = pair.same("get_object", Key=where["Key"])
        assert found["Body"] == b"".join(parts)
        assert found["ContentType"] == "text/x-test"
        answers.append([without_identity(started), without_identity(ended)])
        for answer in answers[-1]:  # moto's upload ids are not all of one length
            answer["ResponseMetadata"]["HTTPHeaders"].pop("content-length", None)
    assert answers[0] == answers[1]


def test_uploads_that_are_given_up(pair: Pair, store: Store) -> None:
    for client, other in ((pair.lean, pair.boto), (pair.boto, pair.lean)):
        upload = client.create_multipart_upload(Bucket=pair.bucket, Key="x")["UploadId"]
        assert store.raw.leftovers() == ["x"]
        other.abort_multipart_upload(Bucket=pair.bucket, Key="x", UploadId=upload)
        assert store.raw.leftovers() == []
    pair.same("abort_multipart_upload", Key="x", UploadId=upload)
    part = [{"PartNumber": 1, "ETag": '"e"'}]
    pair.same("complete_multipart_upload", Key="x", UploadId=upload, MultipartUpload={"Parts": part})


@pytest.mark.stores(exclude=["local", "gdrive", "swift"])  # Swift knows no conditional PUT
def test_conditional_writes(pair: Pair) -> None:
    needs_arguments(pair.boto, "put_object", {"IfNoneMatch": "*"})
    pair.lean.put_object(Bucket=pair.bucket, Key="x", Body=b"1", IfNoneMatch="*")
    _, response, _ = pair.same("put_object", Key="x", Body=b"2", IfNoneMatch="*")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert pair.same("get_object", Key="x")["Body"] == b"1"


def test_copies(pair: Pair) -> None:
    source = {"Bucket": pair.bucket, "Key": "a b+c%20/~ü?#&=:@!$'()*,;"}
    pair.boto.put_object(**source, Body=b"1", Metadata={"shape": "3"}, ContentType="text/x-test")
    assert pair.same("copy_object", Key="x", CopySource=source)["CopyObjectResult"]["ETag"]
    found = pair.same("get_object", Key="x")
    assert (found["Body"], found["Metadata"], found["ContentType"]) == (b"1", {"shape": "3"}, "text/x-test")
    pair.same("copy_object", Key="x", CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "b"})
    assert pair.same("get_object", Key="x")["Metadata"] == {"a": "b"}
    pair.same("copy_object", Key="x", CopySource={**source, "Key": "missing"})
    pair.same("copy_object", Key="x", CopySource={**source, "Bucket": f"{pair.bucket}-missing"})
    pair.strays = True
    pair.same("copy_object", Key="x", CopySource=f"{pair.bucket}/x")
    pair.same("copy_object", Key="x", CopySource={"Bucket": pair.bucket})
    encrypted = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": "k" * 32}
    pair.same("copy_object", Key="x", CopySource=source, **encrypted)


def test_pages_of_a_listing(pair: Pair) -> None:
    names = [f"d{i % 3}/run {i:03d}+%20&<>'" for i in range(30)]
    for name in names:
        pair.boto.put_object(Bucket=pair.bucket, Key=name, Body=name.encode())
    pair.same("list_objects_v2", Prefix="d1/", Delimiter="/")
    pair.same("list_objects_v2", Delimiter="/", MaxKeys=2)
    pair.same("list_objects_v2", Prefix="none")
    pair.same("list_objects_v2", MaxKeys=0)
    pair.same("list_objects_v2", StartAfter="d1/", EncodingType="url")
    pair.same("list_objects_v2", FetchOwner=True, MaxKeys=5)
    first = pair.boto.list_objects_v2(Bucket=pair.bucket, MaxKeys=7)
    pair.same("list_objects_v2", MaxKeys=7, ContinuationToken=first["NextContinuationToken"])

    found, token, pages = [], {}, 0
    while pages == 0 or token:
        page = pair.lean.list_page(Bucket=pair.bucket, MaxKeys=7, **token)
        assert page.truncated == (page.token is not None)
        token = {"ContinuationToken": page.token} if page.token else {}
        found, pages = found + page.objects, pages + 1
    assert pages == 5
    assert [key for key, *_ in found] == sorted(names)
    expected = pair.boto.list_objects_v2(Bucket=pair.bucket)["Contents"]
    assert [(size, e_tag) for _, size, _, e_tag in found] == [(entry["Size"], entry["ETag"]) for entry in expected]
    assert [written[:19] for _, _, written, _ in found] == [
        f"{entry['LastModified']:%Y-%m-%dT%H:%M:%S}" for entry in expected
    ]
    assert pair.lean.list_page(Bucket=pair.bucket, Prefix="d", Delimiter="/").prefixes == ["d0/", "d1/", "d2/"]


@pytest.mark.stores(exclude=["local", "gdrive", "swift"])  # botocore alone deletes no many on Swift
def test_deletions(pair: Pair, store: Store) -> None:
    for quiet in ({}, {"Quiet": True}, {"Quiet": False}):
        for key in usable(store):
            pair.boto.put_object(Bucket=pair.bucket, Key=key, Body=b"x")
        entries = [{"Key": key} for key in (*usable(store), "missing")]
        pair.same("delete_objects", Delete={"Objects": entries, **quiet})
        assert store.raw.keys() == []


def test_the_other_way_deletes_the_same(pair: Pair, store: Store) -> None:
    for key in usable(store):
        pair.lean.put_object(Bucket=pair.bucket, Key=key, Body=b"x")
        pair.lean.delete_object(Bucket=pair.bucket, Key=key)
    assert store.raw.keys() == []


@pytest.mark.stores(exclude=["local", "moto", "gdrive", "swift"])
def test_wrong_keys(pair: Pair, store: Store) -> None:
    assert store.server is not None
    pair.boto = s3_client(replace(store.server, secret_key="wrong"))
    pair.lean = LeanClient(pair.boto)
    for method in ("get_object", "put_object", "list_objects_v2", "delete_objects"):
        arguments: dict[str, Any] = {
            "list_objects_v2": {},
            "delete_objects": {"Delete": {"Objects": [{"Key": "x"}]}},
        }.get(method, {"Key": "x"})
        kind, response, _ = pair.same(method, **arguments)
        assert kind == "ClientError"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 403

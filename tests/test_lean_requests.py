"""What the lean way sends: the requests that botocore would, signed as it would, for all that it serves itself."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import re
import socket
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import botocore
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import ClientError, FlexibleChecksumError
from botocore.handlers import disable_signing
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from lean_faults import Asked, ScriptedServer, Step, error, needs_arguments, plain_client, reply

from cottoncandy.backends.s3.body import Payload
from cottoncandy.backends.s3.lean import LeanClient
from cottoncandy.backends.s3.lean.operations import Unserved, _keys_alone, _texts
from cottoncandy.backends.s3.lean.signing import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, Signer
from cottoncandy.backends.s3.lean.wiring import Wiring

pytestmark = pytest.mark.lean_wire("it is about our own connections, or sets them beside botocore's")

#: Headers that need not be the same: of one connection, of botocore's bookkeeping, and those that sign the moment.
FREE = {"authorization", "x-amz-date", "x-amz-content-sha256", "amz-sdk-invocation-id", "amz-sdk-request", "expect"}
#: Checksums by default came with botocore 1.36.
sums_by_default = pytest.mark.skipif(
    "request_checksum_calculation" not in Config.OPTION_DEFAULTS, reason="this botocore makes no checksums by default"
)
#: What answers a request has this root, by what is asked for in the query.
ROOTS = {
    "delete": "DeleteResult",
    "uploads": "InitiateMultipartUploadResult",
    "uploadId": "CompleteMultipartUploadResult",
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that says yes to everything."""
    with ScriptedServer() as server:

        def say_yes(sock: socket.socket) -> bool:
            asked = sent(server).target.partition("?")[2].partition("=")[0]
            copies = "x-amz-copy-source" in sent(server).headers
            root = "CopyObjectResult" if copies else ROOTS.get(asked, "ListBucketResult")
            return reply(body=f"<{root}><IsTruncated>false</IsTruncated></{root}>".encode()).act(sock)

        server.then(*[Step(say_yes)] * 50)
        yield server


_open: list[LeanClient] = []


def lean_client(client: Any, **options: Any) -> LeanClient:
    """A lean client that is closed when the test ends."""
    _open.append(LeanClient(client, **options))
    return _open[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def sent(server: ScriptedServer) -> Asked:
    """The last request."""
    return server.requests[-1]


def comparable(asked: Asked) -> Any:
    headers = {name: text for name, text in asked.headers.items() if name not in FREE}
    headers["user-agent"] = re.sub(r" m/\S+", "", headers["user-agent"])  # what it says of checksums differs
    flag = "x-amz-server-side-encryption-bucket-key-enabled"
    headers |= {flag: headers[flag].lower()} if flag in headers else {}  # old releases of botocore write `True`
    target, _, query = asked.target.partition("?")
    return asked.method, target, sorted(query.replace("=&", "&").removesuffix("=").split("&")), headers, asked.body


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_object", {"Key": "x"}),
    ("get_object", {"Key": "a b+c%20/~ü?#&=//:@!$'()*,;", "Range": "bytes=1-2", "IfMatch": '"e"'}),
    ("get_object", {"Key": "x", "VersionId": "a/b+c =", "PartNumber": 3, "ResponseContentType": "a/b; c=d"}),
    ("get_object", {"Key": "x", "SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}),
    ("get_object", {"Key": "x", "SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}),
    ("head_object", {"Key": "x", "SSECustomerKey": "a2V5", "SSECustomerKeyMD5": "c3Vt", "ChecksumMode": "ENABLED"}),
    ("head_object", {"Key": "x", "ExpectedBucketOwner": "1234", "RequestPayer": "requester"}),
    ("put_object", {"Key": "x", "Body": b"body", "Metadata": {"Dtype": "<f8", "shape": "", "blanks": " a  b "}}),
    (
        "put_object",
        {"Key": "x", "Body": bytearray(b"body"), "ACL": "private", "IfNoneMatch": "*", "Tagging": "a=b&c=d"},
    ),
    (
        "put_object",
        {"Key": "x", "Body": b"1", "ContentDisposition": 'attachment; filename="ü"', "BucketKeyEnabled": True},
    ),
    ("put_object", {"Key": "x", "Body": b"body", "ContentMD5": "AAAA", "ChecksumSHA256": "BBBB"}),
    ("copy_object", {"Key": "x", "CopySource": {"Bucket": "other", "Key": "a b+c%20/~ü?#&=//:@!$'()*,;"}}),
    (
        "copy_object",
        {
            "Key": "ü",
            "CopySource": {"Bucket": "other", "Key": "x", "VersionId": "a.b_c-"},
            "CopySourceIfMatch": '"e"',
            "MetadataDirective": "REPLACE",
            "Metadata": {"shape": "3"},
            "ContentType": "a/b",
            "ACL": "private",
            "RequestPayer": "requester",
        },
    ),
    ("upload_part", {"Key": "x", "Body": b"part", "UploadId": "a/b+c=&d", "PartNumber": 7}),
    ("create_multipart_upload", {"Key": "x", "Metadata": {"a": "b"}, "ACL": "private", "ContentType": "a/b"}),
    (
        "complete_multipart_upload",
        {"Key": "x", "UploadId": "u", "MultipartUpload": {"Parts": [{"ETag": '"<e>"', "PartNumber": 1}]}},
    ),
    (
        "complete_multipart_upload",
        {
            "Key": "x",
            "UploadId": "u",
            "MultipartUpload": {"Parts": [{"PartNumber": 10, "ChecksumCRC32": "A=="}] * 3},
            "IfNoneMatch": "*",
        },
    ),
    ("abort_multipart_upload", {"Key": "x", "UploadId": "u&="}),
    ("delete_object", {"Key": "x", "VersionId": "v"}),
    (
        "delete_objects",
        {"Delete": {"Objects": [{"Key": "a<&>\"'\r\n"}, {"Key": "b", "VersionId": "v"}], "Quiet": True}},
    ),
    ("list_objects_v2", {}),
    ("list_objects_v2", {"Prefix": "a b/+%&=?ü~*", "Delimiter": "/", "MaxKeys": 5, "ContinuationToken": "t+/="}),
    ("list_objects_v2", {"EncodingType": "url", "FetchOwner": True, "StartAfter": "x"}),
]


@pytest.mark.parametrize("checksums", ["when_required", pytest.param("when_supported", marks=sums_by_default)])
@pytest.mark.parametrize(("method", "arguments"), CALLS, ids=str)
def test_the_request_is_botocores(
    server: ScriptedServer, method: str, arguments: dict[str, Any], checksums: str
) -> None:
    client = plain_client(server.url, request_checksum_calculation=checksums, response_checksum_validation=checksums)
    needs_arguments(client, method, arguments)
    getattr(client, method)(Bucket="bucket", **arguments)
    theirs = sent(server)
    lean = lean_client(client)
    getattr(lean, method)(Bucket="bucket", **arguments)
    ours = sent(server)
    assert theirs.by_botocore
    assert not ours.by_botocore
    if method == "delete_objects":  # they sum by CRC32, we by MD5, which older servers know as well
        assert ours.headers.pop("content-md5") == base64.b64encode(hashlib.md5(ours.body).digest()).decode()
        for name in ("content-md5", "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"):
            theirs.headers.pop(name, None)
    elif "ContentMD5" not in arguments:
        theirs.headers.pop("content-md5", None)  # botocore before 1.36 summed every body
    assert comparable(ours) == comparable(theirs)


# ------------------------------------------------------------------ signatures
def verified(asked: Asked, secret: str = "secret-key", token: str | None = None) -> bool:
    """Whether the signature is the one that botocore makes for what went over the wire."""
    authorization = asked.headers["authorization"]
    scope, names, signature = (part.partition("=")[2] for part in authorization.split(", "))
    access, _, region, service, _ = scope.split("/")
    headers = {name: asked.headers[name] for name in names.split(";")}
    request = AWSRequest(asked.method, f"http://{asked.headers['host']}{asked.target}", headers=headers)
    request.context["timestamp"] = asked.headers["x-amz-date"]
    signer = S3SigV4Auth(Credentials(access, secret, token), service, region)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    unsigned = {"user-agent", "accept-encoding", "content-length", "authorization"}
    return bool(expected == signature) and set(asked.headers) - set(headers) == unsigned & set(asked.headers)


@pytest.mark.parametrize(("method", "arguments"), CALLS, ids=str)
def test_the_signature_covers_all_that_is_sent(server: ScriptedServer, method: str, arguments: dict[str, Any]) -> None:
    lean = lean_client(plain_client(server.url))
    needs_arguments(lean, method, arguments)
    getattr(lean, method)(Bucket="bucket", **arguments)
    assert verified(sent(server))


def test_the_example_of_amazons_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "Example: GET Object"
    moment = datetime(2013, 5, 24, tzinfo=timezone.utc).timestamp()
    monkeypatch.setattr("cottoncandy.backends.s3.lean.signing.time.time", lambda: moment)
    signer = Signer(Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
    headers = {"Host": "examplebucket.s3.amazonaws.com", "Range": "bytes=0-9"}
    signed = signer.sign("GET", "/test.txt", "", "us-east-1", EMPTY_PAYLOAD, headers)
    assert signed.endswith("=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\r\n")


@given(
    st.dictionaries(
        st.from_regex(r"x-amz-meta-[a-zA-Z0-9-]{1,9}", fullmatch=True),
        st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
    ),
    st.sampled_from(["GET", "PUT"]),
)
def test_any_headers_are_signed_as_botocore_signs_them(headers: dict[str, str], method: str) -> None:
    headers = {name.lower(): text for name, text in headers.items()} | {"host": "h:1"}
    signed = Signer(Credentials("access", "secret-key", "token")).sign(
        method, "/a%20b/c", "a=&b=%2F", "here", UNSIGNED_PAYLOAD, headers
    )
    pairs = (line.partition(": ") for line in signed.removesuffix("\r\n").split("\r\n"))
    asked = Asked(0, method, "/a%20b/c?a=&b=%2F", {name.lower(): text for name, _, text in pairs}, b"")
    assert asked.headers.items() >= headers.items()
    assert verified(asked, token="token")


def test_credentials_that_rotate_are_used_at_once(server: ScriptedServer) -> None:
    client = plain_client(server.url)
    turn = iter("ABC")

    def refresh() -> dict[str, str]:
        name = next(turn)
        # about to expire, so that the next call asks again
        expiry = (datetime.now(timezone.utc) + timedelta(minutes=5)).isoformat()
        return {
            "access_key": name,
            "secret_key": f"secret of {name}",
            "token": f"token of {name}",
            "expiry_time": expiry,
        }

    client._request_signer._credentials = RefreshableCredentials.create_from_metadata(refresh(), refresh, "test")
    lean = lean_client(client)
    for name in "BC":
        lean.get_object(Bucket="bucket", Key="x")
        assert f"Credential={name}/" in sent(server).headers["authorization"]
        assert sent(server).headers["x-amz-security-token"] == f"token of {name}"
        assert verified(sent(server), f"secret of {name}", f"token of {name}")


def test_nothing_is_signed_for_public_data(server: ScriptedServer) -> None:
    client = plain_client(server.url, signature_version=botocore.UNSIGNED)
    lean = lean_client(client)
    lean.put_object(Bucket="bucket", Key="x", Body=b"1")
    assert not sent(server).by_botocore
    assert not {"authorization", "x-amz-date", "x-amz-content-sha256"} & set(sent(server).headers)


def test_the_old_way_of_not_signing(server: ScriptedServer) -> None:
    client = plain_client(server.url)
    client.meta.events.register("choose-signer.s3.GetObject", disable_signing)
    lean = lean_client(client)
    lean.get_object(Bucket="bucket", Key="x")
    assert "authorization" not in sent(server).headers
    lean.head_object(Bucket="bucket", Key="x")
    assert verified(sent(server))


@pytest.mark.parametrize(
    ("config", "body", "payload"),
    [
        ({}, b"12", UNSIGNED_PAYLOAD),
        ({}, b"", EMPTY_PAYLOAD),
        ({"s3": {"payload_signing_enabled": False, "addressing_style": "path"}}, b"12", UNSIGNED_PAYLOAD),
        (
            {"s3": {"payload_signing_enabled": True, "addressing_style": "path"}},
            b"12",
            hashlib.sha256(b"12").hexdigest(),
        ),
    ],
)
def test_bodies_are_signed_where_the_user_wants_it(
    server: ScriptedServer, config: Any, body: bytes, payload: str
) -> None:
    lean = lean_client(plain_client(server.url, **config))
    lean.put_object(Bucket="bucket", Key="x", Body=body)
    assert sent(server).headers["x-amz-content-sha256"] == payload
    assert verified(sent(server))


def test_secrets_show_nowhere(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cottoncandy")
    server._steps.clear()
    server.then(error(403, "InvalidAccessKeyId"))
    lean = lean_client(plain_client(server.url))
    with pytest.raises(ClientError) as caught:
        lean.get_object(Bucket="bucket", Key="x", SSECustomerKey="k" * 32, SSECustomerAlgorithm="AES256")
    shown = f"{caught.value!r} {lean!r} {lean._exchange!r} {lean._exchange and lean._exchange._signer!r} {caplog.text}"
    assert "secret-key" not in shown
    assert "k" * 32 not in shown
    assert base64.b64encode(b"k" * 32).decode() not in shown


# ------------------------------------------------------------------ checksums
@sums_by_default
def test_a_default_checksum_is_of_the_body(server: ScriptedServer) -> None:
    lean = lean_client(plain_client(server.url, request_checksum_calculation="when_supported"))
    body = bytes(range(256)) * 1000
    lean.put_object(Bucket="bucket", Key="x", Body=memoryview(body))
    expected = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert sent(server).headers["x-amz-checksum-crc32"] == expected
    assert sent(server).headers["x-amz-sdk-checksum-algorithm"] == "CRC32"
    lean.upload_part(Bucket="bucket", Key="x", UploadId="u", PartNumber=1, Body=b"", ChecksumSHA1="mine")
    assert "x-amz-checksum-crc32" not in sent(server).headers


@sums_by_default
@pytest.mark.parametrize(
    ("headers", "right"),
    [
        ({"x_amz_checksum_crc32": base64.b64encode(zlib.crc32(b"body").to_bytes(4, "big")).decode()}, True),
        ({"x_amz_checksum_crc32": "AAAAAA=="}, False),
        ({"x_amz_checksum_crc32": "AAAAAA==-3"}, True),
        ({"x_amz_checksum_sha256": base64.b64encode(hashlib.sha256(b"body").digest()).decode()}, True),
        ({"x_amz_checksum_sha256": "AAAA"}, False),
        ({"x_amz_checksum_unheard_of": "AAAA"}, True),
        ({}, True),
    ],
)
def test_what_comes_is_compared_with_its_checksum(headers: dict[str, str], right: bool) -> None:
    with ScriptedServer(*[reply(body=b"body", **headers)] * 3) as server:
        client = plain_client(server.url, response_checksum_validation="when_supported")
        lean = lean_client(client)
        theirs = client.get_object(Bucket="bucket", Key="x")
        ours = lean.get_object(Bucket="bucket", Key="x")
        assert sent(server).headers["x-amz-checksum-mode"] == "ENABLED"
        checked = "ChecksumAlgorithm"
        assert ours["ResponseMetadata"].get(checked) == theirs["ResponseMetadata"].get(checked)
        buffer = bytearray(4)
        for response in (ours, theirs):
            if right:
                assert response["Body"].read() == b"body"
            else:
                with pytest.raises(FlexibleChecksumError):
                    response["Body"].read()
        whole = lean.get_object(Bucket="bucket", Key="x")["Body"]
        if right:
            assert whole.readinto(buffer) == 4
        else:  # the last byte tells, no further call is needed
            with pytest.raises(FlexibleChecksumError):
                whole.readinto(buffer)


@pytest.mark.parametrize("expires", ["Sun, 22 Nov 2026 19:33:06 GMT", "2030-01-01", "0", "-1", "5d", "9" * 17])
def test_expires_comes_as_a_text_and_as_the_date_that_it_may_be(expires: str) -> None:
    with ScriptedServer(*[reply(Expires=expires)] * 2) as server:
        client = plain_client(server.url)
        ours, theirs = (each.head_object(Bucket="bucket", Key="x") for each in (lean_client(client), client))
        assert [asked.by_botocore for asked in server.requests] == [False, True]
    assert ours["ExpiresString"] == theirs["ExpiresString"] == expires
    assert ours.get("Expires") == theirs.get("Expires")


# ------------------------------------------------------------------ botocore's way
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get_object", {"IfModifiedSince": datetime(2020, 1, 1, tzinfo=timezone.utc)}),
        ("put_object", {"Body": io.BytesIO(b"body")}),
        ("put_object", {"Body": "text"}),
        ("put_object", {"Body": b"body", "ContentLength": 4}),
        ("put_object", {"Body": b"body", "ChecksumAlgorithm": "SHA256"}),
        ("put_object", {"Body": b"body", "Expires": datetime(2030, 1, 1, tzinfo=timezone.utc)}),
        ("complete_multipart_upload", {"UploadId": "u", "MultipartUpload": {"Parts": []}}),
    ],
    ids=["condition", "file", "text", "length", "checksum", "date", "no-parts"],
)
def test_unusual_arguments_go_botocores_way(server: ScriptedServer, method: str, arguments: dict[str, Any]) -> None:
    lean = lean_client(plain_client(server.url))
    getattr(lean, method)(Bucket="bucket", Key="x", **arguments)
    assert sent(server).by_botocore
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [memoryview(b"body"), Payload(b"body")])
def test_memory_goes_both_ways(server: ScriptedServer, body: Any) -> None:
    lean = lean_client(plain_client(server.url))
    lean.put_object(Bucket="bucket", Key="x", Body=body)
    assert not sent(server).by_botocore
    lean.put_object(Bucket="bucket", Key="x", Body=body, ChecksumAlgorithm="SHA1")
    assert sent(server).by_botocore
    assert [asked.body for asked in server.requests] == [b"body"] * 2


@pytest.mark.parametrize("size", [10, 2**17, 2**20])
def test_an_idle_connection_holds_no_memory(server: ScriptedServer, size: int) -> None:
    lean, memory = lean_client(plain_client(server.url)), bytearray(size)
    lean.put_object(Bucket="bucket", Key="key", Body=memoryview(memory))
    memory.append(1)  # which raises where there is still a view of it


@pytest.mark.parametrize(
    "config",
    [
        {"signature_version": "s3"},
        {"retries": {"mode": "adaptive"}},
        {"proxies": {"http": "PROXY"}},
    ],
    ids=str,
)
def test_unusual_clients_go_botocores_way(server: ScriptedServer, config: dict[str, Any]) -> None:
    if "proxies" in config:
        config = {"proxies": {"http": server.url}}
    lean = lean_client(plain_client(server.url, **config))
    lean.get_object(Bucket="bucket", Key="x")
    assert lean.list_page(Bucket="bucket").objects == []
    assert all(asked.by_botocore for asked in server.requests)


@pytest.mark.parametrize(
    "event", ["before-call.s3", "before-send", "before-sign.s3.GetObject", "after-call.*.GetObject", "needs-retry.s3"]
)
def test_handlers_of_the_user_are_called(server: ScriptedServer, event: str) -> None:
    client, called = plain_client(server.url), []
    lean = lean_client(client)
    lean.get_object(Bucket="bucket", Key="x")
    assert not sent(server).by_botocore

    def handler(**_: Any) -> None:
        called.append(event)

    client.meta.events.register(event, handler)
    lean.get_object(Bucket="bucket", Key="x")
    assert sent(server).by_botocore
    assert called
    client.meta.events.unregister(event, handler)
    lean.get_object(Bucket="bucket", Key="x")
    assert not sent(server).by_botocore


def test_handlers_of_one_operation_leave_the_others_lean(server: ScriptedServer) -> None:
    client = plain_client(server.url)
    client.meta.events.register("before-call.s3.PutObject", lambda **_: None)
    lean = lean_client(client)
    lean.get_object(Bucket="bucket", Key="x")
    assert not sent(server).by_botocore
    lean.put_object(Bucket="bucket", Key="x")
    assert sent(server).by_botocore


def test_known_handlers_are_not_called(server: ScriptedServer) -> None:
    def pay(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-amz-request-payer"] = "requester"

    client = plain_client(server.url)
    client.meta.events.register("before-call.s3", pay)
    lean = lean_client(client, headers={"x-amz-request-payer": "requester"}, known_handlers=[pay])
    for method in ("get_object", "put_object", "delete_object"):
        getattr(lean, method)(Bucket="bucket", Key="x")
        assert sent(server).headers["x-amz-request-payer"] == "requester"
        assert verified(sent(server))


def test_a_stubbed_client_stays_stubbed(server: ScriptedServer) -> None:
    client = plain_client(server.url)
    lean = lean_client(client)
    with Stubber(client) as stub:
        stub.add_response("put_object", {"ETag": "stubbed"})
        assert lean.put_object(Bucket="bucket", Key="x")["ETag"] == "stubbed"
    assert server.requests == []


def test_everything_else_is_the_clients(server: ScriptedServer) -> None:
    client = plain_client(server.url)
    lean = lean_client(client)
    assert lean.meta is client.meta
    assert lean.exceptions is client.exceptions
    lean.get_object_acl(Bucket="bucket", Key="x")
    assert sent(server).by_botocore
    with pytest.raises(AttributeError):
        lean.no_such_method  # noqa: B018


@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (307, "TemporaryRedirect"), (400, "AuthorizationHeaderMalformed")]
)
def test_another_region_is_found_and_kept(status: int, code: str) -> None:
    moved = reply(status, f"<Error><Code>{code}</Code><Region>eu-west-1</Region></Error>".encode())
    with ScriptedServer(moved, moved, reply(body=b"1"), reply(body=b"2")) as server:
        lean = lean_client(plain_client(server.url))
        assert lean.get_object(Bucket="bucket", Key="x")["Body"].read() == b"1"
        assert lean.get_object(Bucket="bucket", Key="x")["Body"].read() == b"2"
    assert [asked.by_botocore for asked in server.requests] == [False, True, True, False]
    regions = [asked.headers["authorization"].split("/")[2] for asked in server.requests]
    assert regions == ["us-east-1", "us-east-1", "eu-west-1", "eu-west-1"]


def test_a_redirection_that_leads_nowhere_is_not_followed_for_ever() -> None:
    moved = error(301, "PermanentRedirect", x_amz_bucket_region="us-east-1")
    with ScriptedServer(*[moved] * 20) as server:
        lean = lean_client(plain_client(server.url))
        for _ in range(3):
            with pytest.raises(ClientError, match="PermanentRedirect"):
                lean.get_object(Bucket="bucket", Key="x")
    assert [asked.by_botocore for asked in server.requests].count(False) == 1


def test_a_head_that_is_refused_without_a_word_may_be_a_redirection() -> None:
    bad, moved = reply(400), reply(400, x_amz_bucket_region="eu-west-1")
    refused = [bad, bad, reply()]  # to us, to botocore, and to its question where the bucket is
    with ScriptedServer(*refused, reply(), moved, moved, reply(), reply()) as server:
        lean = lean_client(plain_client(server.url))
        with pytest.raises(ClientError, match="400"):
            lean.head_object(Bucket="bucket", Key="x")
        for _ in range(3):
            lean.head_object(Bucket="bucket", Key="x")
    regions = [asked.headers["authorization"].split("/")[2] for asked in server.requests if not asked.by_botocore]
    assert regions == ["us-east-1", "us-east-1", "us-east-1", "eu-west-1"]
    assert len(server.requests) == 8


# ------------------------------------------------------------------ endpoints
@pytest.mark.parametrize(
    ("endpoint", "bucket", "config", "expected"),
    [
        (None, "bucket", {"s3": {}}, "https://bucket.s3.eu-west-1.amazonaws.com"),
        (None, "bucket", {"s3": {"addressing_style": "path"}}, "https://s3.eu-west-1.amazonaws.com/bucket"),
        (None, "dotted.bucket", {"s3": {}}, "https://s3.eu-west-1.amazonaws.com/dotted.bucket"),
        (
            None,
            "bucket",
            {"s3": {}, "use_dualstack_endpoint": True},
            "https://bucket.s3.dualstack.eu-west-1.amazonaws.com",
        ),
        (None, "bucket", {"s3": {"use_accelerate_endpoint": True}}, "https://bucket.s3-accelerate.amazonaws.com"),
        ("http://localhost:9000", "bucket", {}, "http://localhost:9000/bucket"),
        ("http://localhost:9000/", "bucket", {}, "http://localhost:9000/bucket"),
        (
            "https://store.example:443",
            "bucket",
            {"s3": {"addressing_style": "virtual"}},
            "https://bucket.store.example",
        ),
        ("http://[::1]:9000", "bucket", {}, "http://[::1]:9000/bucket"),
        ("https://gate.example/base", "bucket", {}, "https://gate.example/base/bucket"),
        (None, "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", {"s3": {}}, None),
        pytest.param(None, "bucket--euw1-az1--x-s3", {"s3": {}}, None, marks=sums_by_default),
    ],
)
def test_where_requests_go(endpoint: str | None, bucket: str, config: dict[str, Any], expected: str | None) -> None:
    wiring = Wiring(plain_client(endpoint, arguments={"region_name": "eu-west-1"}, **config), ())
    if expected is None:
        with pytest.raises(Unserved):
            wiring.route("GetObject", bucket)
        return
    _, target = wiring.route("GetObject", bucket)
    assert target.url == expected
    assert target.region == "eu-west-1"


def test_botocore_that_has_changed_inside_is_left_alone(server: ScriptedServer) -> None:
    client = plain_client(server.url)
    endpoint = client._endpoint
    client._endpoint = SimpleNamespace(host=endpoint.host, make_request=endpoint.make_request, close=endpoint.close)
    lean = lean_client(client)
    lean.get_object(Bucket="bucket", Key="x")
    assert sent(server).by_botocore


@pytest.mark.parametrize(
    ("mode", "attempts"),
    [
        ({"mode": "standard"}, 3),
        ({"mode": "legacy"}, 5),
        ({"max_attempts": 8, "mode": "standard"}, 9),
        ({"total_max_attempts": 2, "mode": "standard"}, 2),
    ],
)
def test_as_many_attempts_as_the_client_would_make(mode: dict[str, Any], attempts: int) -> None:
    with ScriptedServer(*[error(503, "SlowDown")] * 20) as server:
        lean = lean_client(plain_client(server.url, retries=mode))
        lean._exchange._policy = replace(lean._exchange._policy, sleep=lambda _: None)
        with pytest.raises(ClientError):
            lean.get_object(Bucket="bucket", Key="x")
    assert len(server.requests) == attempts


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_keys_are_escaped_all_at_once_as_one_by_one(keys: list[str]) -> None:
    objects: list[dict[str, Any]] = [{"Key": key} for key in keys]
    assert _keys_alone(objects) in {None, _texts("Object", objects)}
    assert ("\0" in "".join(keys)) == (_keys_alone(objects) is None)
    assert _keys_alone([*objects, {"Key": "a", "VersionId": "1"}]) is None
    assert _keys_alone([*objects, {"Key": 1}]) is None
    assert _keys_alone([*objects, {}]) is None

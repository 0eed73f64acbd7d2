"""What a server can do, tried on objects of our own under a random name."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import attrgetter
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cottoncandy.backends.base import MIB
from cottoncandy.backends.s3.bucket import Bucket
from cottoncandy.backends.s3.listing import list_objects
from cottoncandy.backends.s3.refusals import code_of, is_precondition, status_of
from cottoncandy.backends.s3.versions import versions_below
from cottoncandy.errors import CottonCandyError
from cottoncandy.findings import Finding, fail, ok, warn

_KEPT = (
    "delete them with keys that may (s3:ListBucketVersions, s3:DeleteObjectVersion), or let a lifecycle rule do it; "
    "--read-only writes nothing"
)


def probe(bucket: Bucket, prefix: str) -> Iterator[Finding]:
    """Try ACLs, checksums, conditional writes and uploads in parts; what is written is below ``prefix`` and deleted."""
    for name, check in (
        ("acl", _acl),
        ("checksums", _checksums),
        ("conditions", _conditions),
        ("multipart", _multipart),
    ):
        key = f"{prefix}{name}"
        try:
            yield check(bucket, key)
        except (ClientError, BotoCoreError) as error:
            said = code_of(error) or status_of(error) if isinstance(error, ClientError) else type(error).__name__
            yield fail(name, f"the server refuses ({said})", "ask the bucket's owner whether these keys may write")
        finally:
            with suppress(ClientError, BotoCoreError):
                bucket.client.delete_object(Bucket=bucket.name, Key=key)


def clear(bucket: Bucket, prefix: str) -> Finding | None:
    """Delete what is below a prefix, and for good: a bucket that keeps versions would fill with each try."""
    listed = list(list_objects(bucket, prefix, None))
    keeps_versions = [_delete(bucket, info.key) for info in listed]
    if listed and not any(keeps_versions):
        return None
    left = sum(info.size for info in listed)
    try:
        versions = versions_below(bucket, prefix)
        left = sum(version.size for version in versions)
        # markers last: without the one that hides it, a version that may not be deleted would be an object again
        for version in sorted(versions, key=attrgetter("is_delete_marker")):
            _delete(bucket, version.key, version.version_id)
            left -= version.size
    except CottonCandyError as error:
        said = f"versions of what was written and deleted stay below {prefix!r} ({left / MIB:.0f} MiB): {error}"
        return warn("kept", said, _KEPT)
    return None


def _delete(bucket: Bucket, key: str, version_id: str | None = None) -> bool:
    """Delete an object, or a version of it for good; whether the bucket keeps versions, as the answer tells.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
    """
    version = {} if version_id is None else {"VersionId": version_id}
    with bucket.door(key):
        response = bucket.client.delete_object(Bucket=bucket.name, Key=key, **version, **bucket.connection.payer)
    return bool(response.get("DeleteMarker"))


def _refusal(call: Callable[[], Any]) -> ClientError | None:
    try:
        call()
    except ClientError as error:
        return error
    return None


def _acl(bucket: Bucket, key: str) -> Finding:
    acl = bucket.connection.acl
    if acl is None:
        return ok("acl", "none is sent: Amazon gets one only where you chose it")
    refusal = _refusal(lambda: bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"", ACL=acl))
    if refusal is None and (acl == "private" or _is_shared(bucket, key)):
        return ok("acl", f"default_acl {acl!r} is sent, and taken")
    if refusal is None:
        said = f"default_acl {acl!r} is taken and forgotten"
        return warn("acl", said, "who may read what is told to this server in another way, as by a bucket policy")
    advice = "they go up without one; to save a request each session: `cottoncandy config basic.default_acl False`"
    return warn("acl", f"default_acl {acl!r} is refused ({code_of(refusal) or status_of(refusal)})", advice)


def _is_shared(bucket: Bucket, key: str) -> bool:
    """Whether an object is granted to anybody but its owner."""
    try:
        grants = bucket.client.get_object_acl(Bucket=bucket.name, Key=key).get("Grants", [])
    except ClientError:
        return True  # it may not be looked at, and says nothing
    return any("URI" in grant.get("Grantee", {}) for grant in grants)


def _checksums(bucket: Bucket, key: str) -> Finding:
    if not bucket.connection.accepts("PutObject", "ChecksumAlgorithm"):
        return ok("checksums", "this botocore sends none of the newer ones")
    body = io.BytesIO(b"cottoncandy")  # a stream: over TLS its checksum comes behind it, which not every server takes
    refusal = _refusal(
        lambda: bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body, ChecksumAlgorithm="CRC32")
    )
    setting = getattr(bucket.client.meta.config, "request_checksum_calculation", "when_required")
    if refusal is None:
        return ok("checksums", f"those of boto3 >= 1.36 are taken; sent {setting.replace('_', ' ')}")
    reason = code_of(refusal) or status_of(refusal)
    if setting == "when_required":
        return ok("checksums", f"those of boto3 >= 1.36 are refused ({reason}), and not sent")
    advice = "unset request_checksum_calculation in your Config, profile or environment: then none are sent"
    return fail("checksums", f"those of boto3 >= 1.36 are refused ({reason}), and sent", advice)


def _conditions(bucket: Bucket, key: str) -> Finding:
    advice = "overwrite=False asks beforehand: between two writers at once it is no guarantee"
    if not bucket.connection.accepts("PutObject", "IfNoneMatch"):
        return warn("conditions", "this botocore knows no conditional writes", "pip install --upgrade boto3")
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"")
    refusal = _refusal(lambda: bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"", IfNoneMatch="*"))
    if refusal is not None and is_precondition(refusal):
        return ok("conditions", "an object is not replaced where that is asked for (If-None-Match)")
    said = "passes over" if refusal is None else "does not know"
    return warn("conditions", f"the server {said} If-None-Match", advice)


def _multipart(bucket: Bucket, key: str) -> Finding:
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    place = {"Bucket": bucket.name, "Key": key, "UploadId": upload}
    try:
        part = bucket.client.upload_part(**place, PartNumber=1, Body=b"cottoncandy")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        bucket.client.complete_multipart_upload(**place, MultipartUpload=parts)
    except BaseException:
        with suppress(ClientError, BotoCoreError):
            bucket.client.abort_multipart_upload(**place)
        raise
    return ok("multipart", "large objects go up in parts")

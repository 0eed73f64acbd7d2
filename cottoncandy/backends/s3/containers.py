"""Buckets as such: list, make and remove them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy.backends.base import Receipt, WriteOptions
from cottoncandy.backends.s3.bucket import Bucket, Response
from cottoncandy.backends.s3.errors import InvalidBucketName
from cottoncandy.backends.s3.positions import Positions
from cottoncandy.backends.s3.refusals import code_of, was_retried
from cottoncandy.backends.s3.writing import with_acl


def list_buckets(bucket: Bucket) -> list[str]:
    """The names of all buckets of these credentials, sorted."""
    names: list[str] = []
    position: dict[str, str] = {}
    service = Bucket(bucket.connection, None)  # it is not about the bucket that is chosen
    positions = Positions(service.describe())
    with service.door():
        while True:
            page = bucket.client.list_buckets(**position)
            names += (entry["Name"] for entry in page.get("Buckets", []))
            if not page.get("ContinuationToken"):
                return sorted(names)
            position = {"ContinuationToken": page["ContinuationToken"]}
            positions.go_on(page["ContinuationToken"])


def bucket_exists(bucket: Bucket) -> bool:
    """Whether there is such a bucket; a name that no bucket can have is that of none."""
    try:
        return bool(bucket.container) and bucket.exists()
    except InvalidBucketName:
        return False


def create_bucket(bucket: Bucket, acl: str | None) -> Receipt:
    """Make a bucket; one that is there and ours is left as it is."""

    def call(more: Mapping[str, Any]) -> Response:
        response: Response = bucket.client.create_bucket(Bucket=bucket.name, **_location(bucket), **more)
        return response

    with bucket.door():
        try:
            response = with_acl(bucket, WriteOptions(acl=acl), call)
        except ClientError as error:
            # SeaweedFS gives the second answer for a bucket of one's own too, if it has an ACL
            ours = code_of(error) == "BucketAlreadyOwnedByYou"
            if not ours and not (code_of(error) == "BucketAlreadyExists" and bucket.name in list_buckets(bucket)):
                raise
            response = {"ResponseMetadata": error.response["ResponseMetadata"]}
    bucket.facts.buckets_seen.add(bucket.name)
    return response


def _location(bucket: Bucket) -> dict[str, Any]:
    region = bucket.client.meta.region_name
    # us-east-1 must not be named, and other services know other names or none
    if not bucket.connection.amazon or region in {"us-east-1", "aws-global"}:
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": region}}


def remove_bucket(bucket: Bucket) -> Receipt:
    """Remove an empty bucket."""
    with bucket.door():
        try:
            response: Response = bucket.client.delete_bucket(Bucket=bucket.name)
        except ClientError as error:
            if not (code_of(error) == "NoSuchBucket" and was_retried(error)):
                raise
            response = {"ResponseMetadata": error.response["ResponseMetadata"]}  # gone by a try whose answer was lost
    bucket.facts.buckets_seen.discard(bucket.name)
    return response


def owner_of(bucket: Bucket, key: str) -> str:
    """The name of an object's owner, or the id where the server tells no name."""
    with bucket.door(key):
        page = bucket.data.list_objects_v2(
            Bucket=bucket.name, Prefix=key, MaxKeys=1, FetchOwner=True, **bucket.connection.payer
        )
        owner = next((entry.get("Owner") for entry in page.get("Contents", []) if entry["Key"] == key), None)
        if not owner:  # not every server tells owners in a list
            bucket.head(key)
            owner = bucket.client.get_object_acl(Bucket=bucket.name, Key=key).get("Owner", {})
    return str(owner.get("DisplayName") or owner.get("ID") or "")

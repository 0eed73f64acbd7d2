"""The versions of an object, in a bucket that keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from cottoncandy.backends.base import ObjectVersion
from cottoncandy.backends.s3.bucket import Bucket, quoted
from cottoncandy.backends.s3.positions import Positions

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


def list_versions(bucket: Bucket, key: str) -> list[ObjectVersion]:
    """All versions of one object, the newest first."""
    with bucket.door(key):
        versions = list(_versions(bucket, key))
    # a store gives versions and delete markers as two lists, each in its order, with dates of whole seconds
    return sorted(versions, key=lambda one: (one.is_latest, one.last_modified or _LONG_AGO), reverse=True)


def versions_below(bucket: Bucket, prefix: str) -> list[ObjectVersion]:
    """All versions of all objects whose key starts with ``prefix``, in no order that is of use."""
    with bucket.door():
        pages = bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix=prefix)
        return [_version(entry) for page in pages for entry in _entries(page)]


def _entries(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]


def _versions(bucket: Bucket, key: str) -> Iterator[ObjectVersion]:
    positions = Positions(bucket.describe(key))
    pages = bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix=key)
    for page in pages:
        entries = _entries(page)
        yield from (_version(entry) for entry in entries if entry["Key"] == key)
        if any(entry["Key"] != key for entry in entries):
            return  # keys are in order: the rest are of longer names
        if page.get("IsTruncated"):
            positions.go_on((page.get("NextKeyMarker"), page.get("NextVersionIdMarker")))


def _version(entry: dict[str, Any]) -> ObjectVersion:
    return ObjectVersion(
        entry["Key"],
        entry.get("Size", 0),
        entry.get("LastModified"),
        quoted(entry.get("ETag")),
        version_id=entry["VersionId"],
        is_latest=bool(entry.get("IsLatest")),
        is_delete_marker="ETag" not in entry,
    )

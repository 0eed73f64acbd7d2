"""Copies inside the store, of any size."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cottoncandy.backends.base import ObjectReader, Receipt, WriteOptions
from cottoncandy.backends.s3.bucket import Bucket, Response, quoted, receipt
from cottoncandy.backends.s3.reader import open_object
from cottoncandy.backends.s3.upload import start_upload
from cottoncandy.backends.s3.writing import (
    accepted,
    precondition,
    refuse_existing,
    with_acl,
    with_condition,
)
from cottoncandy.errors import CottonCandyError, NotSupported, ObjectChanged, ObjectNotFound
from cottoncandy.parallel import for_each
from cottoncandy.retry import read_resuming

log = logging.getLogger(__name__)

#: Of the object's own, beside its metadata: where that is not copied with it, a request must repeat them.
_KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "StorageClass",
    "WebsiteRedirectLocation",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How copies are cut.

    Attributes
    ----------
    at_once, part : int
        Bytes: what is larger than the first goes in parts of the second, or larger ones.
    most_parts : int
    """

    at_once: int
    part: int
    most_parts: int


def copy_object(
    source: Bucket,
    source_key: str,
    bucket: Bucket,
    key: str,
    options: WriteOptions,
    sizes: Sizes,
    metadata: Mapping[str, str] | None = None,
    e_tag: str | None = None,
) -> Receipt:
    """Copy an object with its metadata, or with others, whatever its size; ``e_tag`` holds it to one version."""
    head = source.head(source_key, e_tag)
    if (source.name, source_key, source.version_id) == (bucket.name, key, None) and metadata is None:
        if options.if_absent:
            refuse_existing(bucket, key)
        return receipt(head, head.get("ETag"))  # S3 refuses to copy an object onto itself
    place = source.source(source_key)
    if head["ContentLength"] <= sizes.at_once:
        more: dict[str, Any] = {"CopySourceIfMatch": e_tag} if e_tag else {}
        if metadata is not None:
            more |= _kept(head) | {"MetadataDirective": "REPLACE", "Metadata": dict(metadata)}
        return _copy_at_once(place, bucket, key, options, more)
    if metadata is not None:
        head = {**head, "Metadata": metadata}
    part = max(sizes.part, -(-head["ContentLength"] // sizes.most_parts))
    return _copy_in_parts(place, head, bucket, key, options, part)


def _kept(head: Response) -> dict[str, Any]:
    return {name: head[name] for name in _KEPT if head.get(name)}


def _copy_at_once(
    place: Mapping[str, str], bucket: Bucket, key: str, options: WriteOptions, own: Mapping[str, Any]
) -> Receipt:
    parameters = {**own, **accepted(bucket, "CopyObject", options.extra)}

    def call(more: Mapping[str, Any]) -> Response:
        response: Response = bucket.client.copy_object(
            Bucket=bucket.name, Key=key, CopySource=place, **{**parameters, **more}
        )
        return response

    with bucket.door(key, precondition(options)):
        response = with_condition(bucket, key, "CopyObject", options, partial(with_acl, bucket, options, call))
    return receipt(response, response["CopyObjectResult"].get("ETag"))


def _copy_in_parts(
    place: Mapping[str, str], head: Response, bucket: Bucket, key: str, options: WriteOptions, part: int
) -> Receipt:
    size, e_tag = head["ContentLength"], quoted(head.get("ETag"))
    extra = _kept(head) | dict(options.extra)
    options = WriteOptions(options.acl, options.if_absent, extra)
    upload = start_upload(bucket, key, head.get("Metadata", {}), options)

    def copy_part(start: int) -> None:
        stop = min(start + part, size)
        try:
            upload.copy_part(start // part + 1, place, start, stop, e_tag)
        except (NotSupported, ObjectNotFound):
            # Ceph 16 does not find a source whose name is percent-encoded, others copy no parts at all
            upload.send_part(start // part + 1, _read(bucket, place, start, stop, e_tag))

    try:
        for_each(copy_part, range(0, size, part), bucket.connection.settings.threads)
        _require_unchanged(bucket, place, e_tag)
        return upload.complete()
    except BaseException:
        # Ctrl-C as well: no part may stay behind, and the error that tells why is the first one
        try:
            upload.abort()
        except CottonCandyError as error:
            log.warning("%s: the parts already copied could not be removed: %s", bucket.describe(key), error)
        raise


def _read(bucket: Bucket, place: Mapping[str, str], start: int, stop: int, e_tag: str | None) -> bytearray:
    source = Bucket(bucket.connection, place["Bucket"], place.get("VersionId"))
    buffer = bytearray(stop - start)

    def open_at(done: int) -> ObjectReader:
        return open_object(source, place["Key"], start + done, stop, e_tag)

    read_resuming(bucket.connection.settings.retry, memoryview(buffer), open_at, source.describe(place["Key"]))
    return buffer


def _require_unchanged(bucket: Bucket, place: Mapping[str, str], e_tag: str | None) -> None:
    # Ceph 16 and moto pass over CopySourceIfMatch: the parts might be of two versions
    source = Bucket(bucket.connection, place["Bucket"], place.get("VersionId"))
    if quoted(source.head(place["Key"]).get("ETag")) != e_tag:
        raise ObjectChanged(f"{source.describe(place['Key'])} was replaced while it was copied: copy it again")

"""Copies inside the store, of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy import partsizes
from cottoncandy.allornothing import give_up
from cottoncandy.backends.base import MIB, ObjectReader, Receipt, WriteOptions
from cottoncandy.backends.s3.bucket import Bucket, Response, held, opaque, quoted, receipt
from cottoncandy.backends.s3.reader import open_object
from cottoncandy.backends.s3.upload import start_upload
from cottoncandy.backends.s3.writing import (
    accepted,
    has_metadata,
    lost_answer,
    of_copy,
    precondition,
    refuse_existing,
    welcome_acl,
    with_acl,
    with_condition,
)
from cottoncandy.errors import ContainerNotFound, NotSupported, ObjectChanged, ObjectNotFound
from cottoncandy.parallel import for_each
from cottoncandy.pipelines import Begun
from cottoncandy.resuming import read_resuming

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
#: Bytes that are compared at a time, where only they can tell whether an object is a copy.
_COMPARED = 8 * MIB


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
    size: int | None = None,
) -> Receipt:
    """Copy an object with its metadata, or with others, whatever its size; ``e_tag`` holds it to one version.

    It is looked at first, but for one whose ``size`` is known, and which goes as it is, in whichever version.
    """
    options = of_copy(bucket, options)
    is_itself = (source.name, source_key, source.version_id) == (bucket.name, key, None)
    if size is not None and size <= sizes.at_once and metadata is None and e_tag is None and not is_itself:
        return _copy_listed(source, source_key, bucket, key, options)
    head = source.head(source_key, e_tag)
    if is_itself and metadata is None:
        if options.if_absent:
            refuse_existing(bucket, key)
        return receipt(head, head.get("ETag"))  # S3 refuses to copy an object onto itself
    place = source.source(source_key)
    if metadata is not None:
        head = {**head, "Metadata": metadata}
    if head["ContentLength"] <= sizes.at_once:
        more: dict[str, Any] = held(e_tag, "CopySourceIfMatch")
        if metadata is not None:
            more |= _kept(head) | {"MetadataDirective": "REPLACE", "Metadata": dict(metadata)}
        return _copy_at_once(place, lambda: head, bucket, key, options, more)
    part = max(sizes.part, -(-head["ContentLength"] // sizes.most_parts))
    return _copy_in_parts(place, head, bucket, key, options, part)


def _copy_listed(source: Bucket, source_key: str, bucket: Bucket, key: str, options: WriteOptions) -> Receipt:
    """Copy an object that a listing has shown."""
    look = partial(source.head, source_key)
    try:
        return _copy_at_once(source.source(source_key), look, bucket, key, options, {})
    except (ObjectNotFound, ContainerNotFound):
        look()  # tells which of the two names is meant
        raise


def begin_copy(
    source: Bucket, source_key: str, bucket: Bucket, key: str, options: WriteOptions
) -> Begun[Receipt] | None:
    """Copy an object with one request, whose answer is read later; None where more may be needed."""
    if options.if_absent or options.extra or (source.name, source_key) == (bucket.name, key):
        return None
    options = of_copy(bucket, options)
    begun: Begun[Response] | None = bucket.data.begin_copy_object(
        Bucket=bucket.name,
        Key=key,
        CopySource=source.source(source_key),
        **bucket.connection.payer,
        **welcome_acl(bucket, options),
    )
    return begun and begun.then(_receipt)


def _receipt(response: Response) -> Receipt:
    return receipt(response, response["CopyObjectResult"].get("ETag"))


def _kept(head: Response) -> dict[str, Any]:
    return {name: head[name] for name in _KEPT if head.get(name)}


def _copy_at_once(
    place: Mapping[str, str],
    look: Callable[[], Response],
    bucket: Bucket,
    key: str,
    options: WriteOptions,
    own: Mapping[str, Any],
) -> Receipt:
    """Copy an object with one request. Its head is looked at where only that tells whether it was."""
    parameters = {**own, **accepted(bucket, "CopyObject", options.extra)}

    def call(more: Mapping[str, Any]) -> Response:
        connection = bucket.connection
        response: Response = connection.data.copy_object(
            Bucket=bucket.name, Key=key, CopySource=place, **{**connection.payer, **parameters, **more}
        )
        return response

    with bucket.door(key, precondition(options), own.get("Metadata", {})):
        try:
            response = with_condition(bucket, key, "CopyObject", options, partial(with_acl, bucket, options, call))
        except ClientError as error:
            made = lost_answer(bucket, key, error, lambda found: _is_copy(place, look(), bucket, key, found))
            return receipt(made, made.get("ETag"))
    return _receipt(response)


def _is_copy(place: Mapping[str, str], head: Response, bucket: Bucket, key: str, found: Response) -> bool:
    """Whether what was found under the key is the source once more; a move deletes the source then.

    A copy's ETag is another one where the source came in parts or is encrypted: then the bytes tell.
    """
    if found["ContentLength"] != head["ContentLength"] or not has_metadata(found, head.get("Metadata", {})):
        return False
    of_source, of_copy = quoted(head.get("ETag")), quoted(found.get("ETag"))
    return (of_source is not None and opaque(of_source) == opaque(of_copy)) or all(
        _read(bucket, place, start, stop, of_source) == _read(bucket, bucket.source(key), start, stop, of_copy)
        for start, stop in partsizes.spans(head["ContentLength"], _COMPARED)
    )


def _copy_in_parts(
    place: Mapping[str, str], head: Response, bucket: Bucket, key: str, options: WriteOptions, part: int
) -> Receipt:
    size, e_tag = head["ContentLength"], quoted(head.get("ETag"))
    extra = _kept(head) | dict(options.extra)
    options = replace(options, extra=extra)
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
    except BaseException:  # Ctrl-C as well
        give_up(upload, bucket.describe(key))
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
    if opaque(source.head(place["Key"]).get("ETag")) != opaque(e_tag):
        raise ObjectChanged(f"{source.describe(place['Key'])} was replaced while it was copied: copy it again")

"""What goes with a write: metadata, the caller's extra arguments, an ACL where it is welcome, and a condition."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy.backends.base import BytesLike, Receipt, WriteOptions
from cottoncandy.backends.s3.bucket import Bucket, Response, opaque, quoted, receipt
from cottoncandy.backends.s3.comparing import holds
from cottoncandy.backends.s3.errors import Kind
from cottoncandy.backends.s3.refusals import (
    code_of,
    is_conflict,
    is_not_implemented,
    is_precondition,
    message_of,
    was_retried,
)
from cottoncandy.backends.s3.retrying import client_policy, wait_for
from cottoncandy.errors import ConfigurationError, InvalidObjectName, ObjectChanged, ObjectExists, ObjectNotFound
from cottoncandy.keys import IS_DIRECTORYS, SEPARATOR
from cottoncandy.pipelines import Begun
from cottoncandy.retry import Retries

log = logging.getLogger(__name__)

#: Send a request with some parameters more.
Call = Callable[[Mapping[str, Any]], Response]

_NO_MORE: Mapping[str, Any] = {}
_WRITES = ("PutObject", "CreateMultipartUpload", "CompleteMultipartUpload", "CopyObject")
_ACL = ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")
#: Canned ACLs with which those alone read to whom the object or the bucket belongs.
_OF_OWNERS = {"private", "bucket-owner-read", "bucket-owner-full-control"}
#: What the library itself says in a write.
_OURS = {"Bucket", "Key", "Body", "ContentLength", "UploadId", "MultipartUpload", "CopySource"}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


@lru_cache(maxsize=256)
def _are_names(names: tuple[object, ...]) -> bool:
    """Whether all of them can be part of a header's name; few different ones are used again and again."""
    plain = [name for name in names if isinstance(name, str) and _HEADER_NAME.fullmatch(name)]
    return len({name.lower() for name in plain}) == len(names)


def put_object(
    bucket: Bucket, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions
) -> Receipt:
    """Write an object with one request."""
    if len(body):
        refuse_directory_name(bucket, key)
    checked = user_metadata(bucket, key, metadata, options)
    parameters = accepted(bucket, "PutObject", options.extra) if options.extra else _NO_MORE

    def call(more: Mapping[str, Any]) -> Response:
        connection = bucket.connection
        response: Response = connection.data.put_object(
            Bucket=bucket.name, Key=key, Body=body, Metadata=checked, **connection.payer, **parameters, **more
        )
        return response

    try:
        response = with_condition(bucket, key, "PutObject", options, partial(with_acl, bucket, options, call))
    except ClientError as error:
        with bucket.door(key, precondition(options), checked):
            response = lost_answer(bucket, key, error, partial(_has_stored, bucket, key, body, checked))
    except Exception as error:
        bucket.let_out(error, key, precondition(options), checked)
        raise
    return receipt(response, response.get("ETag"))


def begin_put(
    bucket: Bucket, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions
) -> Begun[Receipt] | None:
    """Send an object with one request, whose answer is read later; None where more may be needed."""
    if options.if_absent or options.extra:
        return None
    if len(body):
        refuse_directory_name(bucket, key)
    checked = user_metadata(bucket, key, metadata, options)
    begun: Begun[Response] | None = bucket.data.begin_put_object(
        Bucket=bucket.name,
        Key=key,
        Body=body,
        Metadata=checked,
        **bucket.connection.payer,
        **welcome_acl(bucket, options),
    )
    return begun and begun.then(lambda response: receipt(response, response.get("ETag")))


def lost_answer(bucket: Bucket, key: str, error: ClientError, is_ours: Callable[[Response], bool]) -> Response:
    """The head of what a write made though it failed, if it did: the answer was lost, and the request sent again.

    The second request then finds the upload gone, or the object there; ``is_ours`` says of a head whether it is what
    was written. What is another's stays an error.
    """
    gone = code_of(error) == "NoSuchUpload"
    if not (gone or (is_precondition(error) and was_retried(error))):
        raise error
    try:
        head = bucket.head(key)
    except ObjectNotFound:
        raise error from None
    if not is_ours(head):
        raise error
    return head


def _has_stored(bucket: Bucket, key: str, body: BytesLike, metadata: Mapping[str, str], head: Response) -> bool:
    """Whether an object is what was sent. The ETag of one that is encrypted is no MD5: then the bytes tell."""
    view = memoryview(body)
    if head["ContentLength"] != len(view) or not has_metadata(head, metadata):
        return False
    e_tag = quoted(hashlib.md5(view, usedforsecurity=False).hexdigest())
    return opaque(head.get("ETag")) == e_tag or holds(bucket, key, head, lambda start, stop: view[start:stop])


def has_metadata(head: Response, metadata: Mapping[str, str]) -> bool:
    """Whether an object has this metadata, as it comes back from servers.

    Headers have names in any case, and no blanks around values; Ceph 16 makes ``-`` of ``_``, and SeaweedFS loses what
    is empty.
    """
    return _as_headers(head.get("Metadata", {})) == _as_headers(metadata)


def _as_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    stripped = ((name.lower().replace("_", "-"), value.strip()) for name, value in metadata.items())
    return {name: value for name, value in stripped if value}


# ---------------------------------------------------------------------- names
def refuse_directory_name(bucket: Bucket, key: str) -> None:
    """Refuse a body under a name that ends with ``/``: only what is empty may have one, and stands for a directory.

    SeaweedFS answers 200 and keeps nothing of the body; elsewhere no file and no name in a tree can be that object's.

    Raises
    ------
    InvalidObjectName
    """
    if key.endswith(SEPARATOR):
        raise InvalidObjectName(f"{bucket.describe(key)}: {IS_DIRECTORYS}")


# ---------------------------------------------------------------------- parameters
def user_metadata(bucket: Bucket, key: str, metadata: Mapping[str, str], options: WriteOptions) -> dict[str, str]:
    """The metadata, that of the extra arguments included, checked: it travels as headers."""
    merged = {**(options.extra.get("Metadata") or {}), **metadata} if options.extra else dict(metadata)
    if _is_plain(merged):
        return merged
    for name, value in merged.items():
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise ConfigurationError(
                f"{bucket.describe(key)}: metadata key {name!r}: only ASCII letters, digits and - are sure on S3"
            )
        if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            raise ConfigurationError(
                f"{bucket.describe(key)}: metadata {name!r}: only ASCII text without line breaks on S3, not {value!r}"
            )
    lowered = sorted(map(str.lower, merged))
    if same := next((name for name, other in pairwise(lowered) if name == other), None):
        raise ConfigurationError(
            f"{bucket.describe(key)}: metadata key {same!r} is there twice, in capitals and not: to S3 they are one"
        )
    return merged


def _is_plain(metadata: Mapping[str, Any]) -> bool:
    """Whether headers can hold it, all at once."""
    try:
        values = "".join(metadata.values())
    except TypeError:
        return False
    return values.isascii() and values.isprintable() and _are_names(tuple(metadata))


def refuse_unknown(bucket: Bucket, extra: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an extra argument that no operation knows which writes."""
    accepts = bucket.connection.accepts
    for name in extra:
        if name in _OURS or not any(accepts(write, name) for write in _WRITES):
            raise ConfigurationError(f"ExtraArgs: S3 knows no {name!r} in a write")


def accepted(bucket: Bucket, operation: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's extra arguments that an operation knows; ACLs and metadata have their own ways.

    Raises
    ------
    ConfigurationError
        If no operation that writes knows one.
    """
    refuse_unknown(bucket, extra)
    accepts = bucket.connection.accepts
    return {
        name: value
        for name, value in extra.items()
        if name not in _ACL and name != "Metadata" and accepts(operation, name)
    }


# ---------------------------------------------------------------------- write only what is not there
def precondition(options: WriteOptions) -> Kind:
    """What an answer 412 to a write means."""
    return ObjectExists if options.if_absent or "IfNoneMatch" in options.extra else ObjectChanged


def refuse_existing(bucket: Bucket, key: str) -> None:
    """Raise ObjectExists if there is such an object. Between this and a write another may come."""
    try:
        bucket.head(key)
    except ObjectNotFound:
        return
    raise ObjectExists(f"{bucket.describe(key)}: it is there already")


def with_condition(bucket: Bucket, key: str, operation: str, options: WriteOptions, call: Call) -> Response:
    """Send a write; with ``if_absent`` only if nothing is there.

    Amazon's own PutObject and CompleteMultipartUpload look and write in one. Other servers may pass over the
    condition in silence (Ceph 16 does so when it completes or copies), so they are asked beforehand as well, unless
    somebody just did, which guarantees nothing where they do.
    """
    if not options.if_absent:
        own = partial(call, _NO_MORE)
        return _until_no_conflict(bucket, key, operation, own) if "IfNoneMatch" in options.extra else own()
    known = bucket.connection.accepts(operation, "IfNoneMatch") and not bucket.facts.no_conditions
    if not (options.seen_absent or (known and bucket.connection.amazon and operation != "CopyObject")):
        refuse_existing(bucket, key)
    if not known:
        return call({})
    try:
        return _until_no_conflict(bucket, key, operation, partial(call, {"IfNoneMatch": "*"}))
    except ClientError as error:
        if not is_not_implemented(error):
            raise
    response = call({})
    bucket.facts.no_conditions = True
    return response


def _until_no_conflict(bucket: Bucket, key: str, operation: str, call: Callable[[], Response]) -> Response:
    """Send a conditional write, again where another write or deletion was under way. An upload is to be sent anew then.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    retries: Retries | None = None
    while True:
        try:
            return call()
        except ClientError as error:
            if not is_conflict(error) or operation == "CompleteMultipartUpload":
                raise
            policy = client_policy(bucket.connection.settings.retry, bucket.client)
            retries = retries or policy.start(bucket.describe(key))
            wait_for(retries, error, policy)


# ---------------------------------------------------------------------- ACLs
def with_acl(bucket: Bucket, options: WriteOptions, call: Call, more: Mapping[str, Any] = _NO_MORE) -> Response:
    """Send a write with the ACL that belongs to it; where the server refuses ACLs, without, from then on.

    Amazon's buckets made since April 2023 refuse them, other services do not know them at all.
    """
    acl, named = _acl(bucket, options)
    if not acl or _is_without_acl(bucket):
        return call(more)
    try:
        return call({**more, **acl} if more else acl)
    except ClientError as error:
        if not _refuses_acl(error):
            raise
        refusal = error
    response = call(more)
    _remember(bucket, refusal)
    level = logging.WARNING if named else logging.INFO
    log.log(level, "%s refuses ACLs (%s): nothing is sent with one", bucket.describe(), code_of(refusal))
    return response


def welcome_acl(bucket: Bucket, options: WriteOptions) -> dict[str, str]:
    """The parameters of the ACL that belongs to a write; none where it is known that the server refuses them."""
    return {} if _is_without_acl(bucket) else _acl(bucket, options)[0]


def _is_without_acl(bucket: Bucket) -> bool:
    """Whether it is known that ACLs are refused."""
    return bucket.facts.no_acl or bucket.container in bucket.facts.buckets_without_acl


def of_copy(bucket: Bucket, options: WriteOptions) -> WriteOptions:
    """How a copy is written: of the configured ACLs it gets none that would let more people read than the source did.

    What that had is not told in its head. Without an ACL a copy is its owner's alone.
    """
    if options.acl is not None or options.is_upload or not options.extra.keys().isdisjoint(_ACL):
        return options
    connection = bucket.connection
    chosen = connection.acl if connection.settings.acl_chosen and connection.acl in _OF_OWNERS else None
    return replace(options, acl=chosen or "")


def _acl(bucket: Bucket, options: WriteOptions) -> tuple[dict[str, str], bool]:
    """The parameters, and whether the caller named them."""
    if options.acl is not None:
        return ({"ACL": options.acl} if options.acl else {}), True
    if options.extra and (named := {name: options.extra[name] for name in _ACL if name in options.extra}):
        return {name: value for name, value in named.items() if value}, True
    acl = bucket.connection.acl
    return ({"ACL": acl} if acl else {}), False


def _refuses_acl(error: ClientError) -> bool:
    if code_of(error) == "AccessControlListNotSupported" or is_not_implemented(error):
        return True
    return code_of(error) in {"InvalidRequest", "InvalidArgument"} and bool(
        re.search(r"\bacls?\b", message_of(error), re.IGNORECASE)
    )


def _remember(bucket: Bucket, refusal: ClientError) -> None:
    if is_not_implemented(refusal):
        bucket.facts.no_acl = True
    else:
        bucket.facts.buckets_without_acl.add(bucket.name)

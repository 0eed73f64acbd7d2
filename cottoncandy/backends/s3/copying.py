"""Copies inside the store, of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from cottoncandy.allornothing import give_up
from cottoncandy.backends.base import Receipt, WriteOptions
from cottoncandy.backends.s3.bucket import Bucket, Response, held, opaque, quoted, receipt
from cottoncandy.backends.s3.comparing import holds, read_span
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


class Sizes(NamedTuple):
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


class Copy:
    """An object of one bucket, on its way into another, or under another name.

    Parameters
    ----------
    source : Bucket
    source_key : str
    bucket : Bucket
    key : str
    options : WriteOptions
    sizes : Sizes
    """

    def __init__(
        self, source: Bucket, source_key: str, bucket: Bucket, key: str, options: WriteOptions, sizes: Sizes
    ) -> None:
        self._source, self._source_key = source, source_key
        self._bucket, self._key = bucket, key
        self._options = of_copy(bucket, options)
        self._place = source.source(source_key)
        self._sizes = sizes

    def make(
        self, metadata: Mapping[str, str] | None = None, e_tag: str | None = None, size: int | None = None
    ) -> Receipt:
        """Copy it with its metadata, or with others, whatever its size; ``e_tag`` holds it to one version.

        It is looked at first, but for one whose ``size`` is known, and which goes as it is, in whichever version.
        """
        sizes, is_itself = self._sizes, self._place == {"Bucket": self._bucket.name, "Key": self._key}
        if size is not None and size <= sizes.at_once and metadata is None and e_tag is None and not is_itself:
            return self._listed()
        head = self._head(e_tag)
        if is_itself and metadata is None:
            if self._options.if_absent:
                refuse_existing(self._bucket, self._key)
            return receipt(head, head.get("ETag"))  # S3 refuses to copy an object onto itself
        if metadata is not None:
            head = {**head, "Metadata": metadata}
        if head["ContentLength"] <= sizes.at_once:
            more: dict[str, Any] = held(e_tag, "CopySourceIfMatch")
            if metadata is not None:
                more |= _kept(head) | {"MetadataDirective": "REPLACE", "Metadata": dict(metadata)}
            return self._at_once(lambda: head, more)
        return self._in_parts(head, max(sizes.part, -(-head["ContentLength"] // sizes.most_parts)))

    def begin(self, size: int) -> Begun[Receipt] | None:
        """Copy it with one request, whose answer is read later; None where more may be needed."""
        bucket, options = self._bucket, self._options
        if size > self._sizes.at_once:
            return None
        if options.if_absent or options.extra or (self._source.name, self._source_key) == (bucket.name, self._key):
            return None
        begun: Begun[Response] | None = bucket.data.begin_copy_object(
            Bucket=bucket.name,
            Key=self._key,
            CopySource=self._place,
            **bucket.connection.payer,
            **welcome_acl(bucket, options),
        )
        return begun and begun.then(_receipt)

    def _head(self, e_tag: str | None = None) -> Response:
        return self._source.head(self._source_key, e_tag)

    # ------------------------------------------------------------------ with one request
    def _listed(self) -> Receipt:
        """Copy what a listing has shown."""
        try:
            return self._at_once(self._head, {})
        except (ObjectNotFound, ContainerNotFound):
            self._head()  # tells which of the two names is meant
            raise

    def _at_once(self, look: Callable[[], Response], own: Mapping[str, Any]) -> Receipt:
        """Copy it with one request. Its head is looked at where only that tells whether it was."""
        bucket, key, options = self._bucket, self._key, self._options
        parameters = {**own, **accepted(bucket, "CopyObject", options.extra)}

        def call(more: Mapping[str, Any]) -> Response:
            connection = bucket.connection
            response: Response = connection.data.copy_object(
                Bucket=bucket.name, Key=key, CopySource=self._place, **{**connection.payer, **parameters, **more}
            )
            return response

        with bucket.door(key, precondition(options), own.get("Metadata", {})):
            try:
                response = with_condition(bucket, key, "CopyObject", options, partial(with_acl, bucket, options, call))
            except ClientError as error:
                made = lost_answer(bucket, key, error, lambda found: self._is_copy(look(), found))
                return receipt(made, made.get("ETag"))
        return _receipt(response)

    def _is_copy(self, head: Response, found: Response) -> bool:
        """Whether what was found under the key is the source once more; a move deletes the source then.

        A copy's ETag is another one where the source came in parts or is encrypted: then the bytes tell.
        """
        if found["ContentLength"] != head["ContentLength"] or not has_metadata(found, head.get("Metadata", {})):
            return False
        of_source, of_found = quoted(head.get("ETag")), opaque(found.get("ETag"))
        if of_source is not None and opaque(of_source) == of_found:
            return True
        source = partial(read_span, self._source, self._source_key, e_tag=of_source)
        return holds(self._bucket, self._key, found, source)

    # ------------------------------------------------------------------ in parts
    def _in_parts(self, head: Response, part: int) -> Receipt:
        size, e_tag = head["ContentLength"], quoted(head.get("ETag"))
        options = replace(self._options, extra=_kept(head) | dict(self._options.extra))
        upload = start_upload(self._bucket, self._key, head.get("Metadata", {}), options)

        def copy_part(start: int) -> None:
            number, stop = start // part + 1, min(start + part, size)
            try:
                upload.copy_part(number, self._place, start, stop, e_tag)
            except (NotSupported, ObjectNotFound):
                # Ceph 16 does not find a source whose name is percent-encoded, others copy no parts at all
                upload.send_part(number, read_span(self._source, self._source_key, start, stop, e_tag))

        try:
            for_each(copy_part, range(0, size, part), self._bucket.connection.settings.threads)
            self._require_unchanged(e_tag)
            return upload.complete()
        except BaseException:  # Ctrl-C as well
            give_up(upload, self._bucket.describe(self._key))
            raise

    def _require_unchanged(self, e_tag: str | None) -> None:
        # Ceph 16 and moto pass over CopySourceIfMatch: the parts might be of two versions
        if opaque(self._head().get("ETag")) != opaque(e_tag):
            where = self._source.describe(self._source_key)
            raise ObjectChanged(f"{where} was replaced while it was copied: copy it again")


def _receipt(response: Response) -> Receipt:
    return receipt(response, response["CopyObjectResult"].get("ETag"))


def _kept(head: Response) -> dict[str, Any]:
    return {name: head[name] for name in _KEPT if head.get(name)}

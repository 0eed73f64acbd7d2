"""Copies inside the store, of any size."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from botocore.exceptions import ClientError

from cottoncandy.allornothing import give_up
from cottoncandy.backends.base import Receipt, WriteOptions
from cottoncandy.backends.s3.bucket import Bucket, Response, held, opaque, quoted, receipt
from cottoncandy.backends.s3.comparing import holds, read_span
from cottoncandy.backends.s3.deleting import delete_objects
from cottoncandy.backends.s3.refusals import is_precondition
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
from cottoncandy.errors import (
    AccessDenied,
    ContainerNotFound,
    CottonCandyError,
    NotSupported,
    ObjectChanged,
    ObjectNotFound,
)
from cottoncandy.parallel import for_each
from cottoncandy.pipelines import Begun

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
#: The ETag of no object.
_NO_VERSION = '"00000000000000000000000000000000"'


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
        One request copies a version where the server heeds that condition. Elsewhere the copy would be of another one
        that came meanwhile, under the metadata of the first: so it is made of parts, and the source looked at again
        before it takes its name.
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
        if head["ContentLength"] <= sizes.at_once and (e_tag is None or self._is_held(e_tag)):
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

    # ------------------------------------------------------------------ of one version
    def _is_held(self, e_tag: str) -> bool:
        """Whether the server copies this version or none with one request."""
        if not held(e_tag):
            return False  # it cannot be told a weak one
        facts = self._bucket.facts
        if facts.holds_copies is None and not self._bucket.connection.amazon:
            facts.holds_copies = self._heeds_condition()
        return self._bucket.connection.amazon or bool(facts.holds_copies)

    def _heeds_condition(self) -> bool | None:
        """Whether a version that there is not is not copied; None where the server refuses it for another reason.

        Not onto the name itself: where it is copied all the same, under a name of our own, it is removed.
        """
        bucket, key = self._bucket, f"{self._key}.{secrets.token_hex(8)}"
        more = {**bucket.connection.payer, **held(_NO_VERSION, "CopySourceIfMatch")}
        may_be_there = True
        with bucket.door(key):
            try:
                bucket.data.copy_object(Bucket=bucket.name, Key=key, CopySource=self._place, **more)
            except ClientError as error:
                may_be_there = False
                return is_precondition(error) or None
            finally:
                if may_be_there:
                    _remove(bucket, key)
        return False

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
        tags = [] if "Tagging" in self._options.extra else self._tags(head)
        options = replace(self._options, extra=_kept(head) | _tagging(tags) | dict(self._options.extra))
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
            made = upload.complete()
        except BaseException:  # Ctrl-C as well
            give_up(upload, self._bucket.describe(self._key))
            raise
        self._require_tags(tags)
        return made

    def _tags(self, head: Response) -> list[dict[str, str]]:
        """The source's tags, which a copy with one request takes along by itself."""
        if not _has_tags(head):
            return []
        try:
            with self._source.door(self._source_key):
                tags: list[dict[str, str]] = self._source.client.get_object_tagging(**self._place).get("TagSet", [])
        except (AccessDenied, NotSupported) as error:  # what may pass is raised: a copy onto itself would lose them
            log.warning("its tags cannot be read, so its copy has none: %s", error)
            return []
        return tags

    def _require_tags(self, tags: list[dict[str, str]]) -> None:
        """Give the copy its tags where the server did not: Ceph 16 passes over those of an upload in parts."""
        if not tags or _has_tags(self._bucket.head(self._key)):
            return
        try:
            with self._bucket.door(self._key):
                self._bucket.client.put_object_tagging(
                    Bucket=self._bucket.name, Key=self._key, Tagging={"TagSet": tags}
                )
        except CottonCandyError as error:  # the copy itself is made
            log.warning("it has no tags: %s", error)

    def _require_unchanged(self, e_tag: str | None) -> None:
        # Ceph 16 and moto pass over CopySourceIfMatch: the parts might be of two versions
        if opaque(self._head().get("ETag")) != opaque(e_tag):
            where = self._source.describe(self._source_key)
            raise ObjectChanged(f"{where} was replaced while it was copied: copy it again")


def _remove(bucket: Bucket, key: str) -> None:
    """Delete a copy that was only to be tried: what it was tried for goes on in any case."""
    try:
        delete_objects(bucket, [key])
    except CottonCandyError as error:
        log.warning("a copy that is of no more use could not be removed: %s", error)


def _receipt(response: Response) -> Receipt:
    return receipt(response, response["CopyObjectResult"].get("ETag"))


def _kept(head: Response) -> dict[str, Any]:
    return {name: _as_sent(head[name]) for name in _KEPT if head.get(name)}


def _has_tags(head: Response) -> bool:
    # older releases of botocore know the header in an answer to GET alone
    return bool(head["ResponseMetadata"]["HTTPHeaders"].get("x-amz-tagging-count", "").strip("0"))


def _tagging(tags: list[dict[str, str]]) -> dict[str, str]:
    """Tags as the parameter of a write. Ceph 16 takes a ``+`` for one, so blanks are ``%20``."""
    pairs = [(tag["Key"], tag["Value"]) for tag in tags]
    return {"Tagging": urlencode(pairs, quote_via=quote)} if pairs else {}


def _as_sent(value: Any) -> Any:
    """A header's value as it was sent: the text of a request goes as UTF-8, that of an answer is read as latin-1."""
    try:
        return value.encode("latin-1").decode() if isinstance(value, str) else value
    except UnicodeError:  # it came in another encoding
        return value

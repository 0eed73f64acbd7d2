"""Multipart uploads."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from cottoncandy.backends import ending
from cottoncandy.backends.base import BytesLike, MultipartUpload, Receipt, UnfinishedUpload, WriteOptions
from cottoncandy.backends.s3.bucket import Bucket, Response, held, opaque, receipt
from cottoncandy.backends.s3.lean import LOST
from cottoncandy.backends.s3.positions import Positions
from cottoncandy.backends.s3.refusals import code_of
from cottoncandy.backends.s3.writing import (
    accepted,
    lost_answer,
    precondition,
    refuse_existing,
    user_metadata,
    with_acl,
    with_condition,
)
from cottoncandy.errors import ConfigurationError

log = logging.getLogger(__name__)

_MD5 = re.compile(r"[0-9a-f]{32}")
_MARKERS = ("KeyMarker", "UploadIdMarker")
#: What takes a caller's extra arguments in an upload in parts.
_OF_PARTS = ("CreateMultipartUpload", "CompleteMultipartUpload")
#: The caller's extra arguments that each part must repeat.
_OF_EACH_PART = (
    "ChecksumAlgorithm",
    "ExpectedBucketOwner",
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
)


def start_upload(bucket: Bucket, key: str, metadata: Mapping[str, str], options: WriteOptions) -> S3Upload:
    """Begin a multipart upload."""
    parameters = accepted(bucket, "CreateMultipartUpload", options.extra)
    _refuse_what_is_of_whole_bodies(bucket, key, options.extra)
    if options.if_absent:
        refuse_existing(bucket, key)  # before gigabytes are sent; `complete` looks again
    checked = user_metadata(bucket, key, metadata, options)
    parameters |= bucket.connection.payer | {"Metadata": checked}

    def create(more: Mapping[str, Any]) -> Response:
        response: Response = bucket.data.create_multipart_upload(Bucket=bucket.name, Key=key, **{**parameters, **more})
        return response

    def start() -> S3Upload:
        with bucket.door(key, metadata=checked):
            response = with_acl(bucket, options, create)
        if response["ResponseMetadata"].get("RetryAttempts"):
            log.info(
                "%s: a try whose answer was lost may have left an empty upload: clean_uploads()", bucket.describe(key)
            )
        return S3Upload(bucket, key, response["UploadId"], options)

    return ending.begin(start)


def _refuse_what_is_of_whole_bodies(bucket: Bucket, key: str, extra: Mapping[str, Any]) -> None:
    """Refuse what S3 takes only beside a whole body, as its MD5: passed over, it would seem to have been looked at."""
    accepts = bucket.connection.accepts
    for name in extra:
        if not any(accepts(operation, name) for operation in _OF_PARTS) and accepts("PutObject", name):
            raise ConfigurationError(
                f"{bucket.describe(key)}: ExtraArgs: S3 takes no {name!r} with what goes up in parts: leave it out"
            )


def unfinished_uploads(bucket: Bucket, prefix: str) -> Iterator[UnfinishedUpload]:
    """Multipart uploads that were begun and neither completed nor aborted."""
    position, positions = {"Prefix": prefix}, Positions(bucket.describe())
    while True:
        page = _page_of_uploads(bucket, position)
        for entry in page.get("Uploads", []):
            upload = S3Upload(bucket, entry["Key"], entry["UploadId"])
            yield UnfinishedUpload(entry["Key"], entry.get("Initiated"), upload.abort)
        # SeaweedFS tells the id alone, and wants no more; Ceph tells both on the last page, too
        behind = {name: page[f"Next{name}"] for name in _MARKERS if page.get("IsTruncated") and page.get(f"Next{name}")}
        if not behind:
            return
        positions.go_on(tuple(behind.values()))
        position |= behind


def _page_of_uploads(bucket: Bucket, position: Mapping[str, str]) -> Response:
    """A page of them. Names that XML cannot hold are asked for once more, percent-encoded.

    Not at once: SeaweedFS says that it encodes them, and does not.
    """

    def ask(**more: str) -> Response:
        with bucket.door():
            page: Response = bucket.client.list_multipart_uploads(
                Bucket=bucket.name, **position, **more, **bucket.connection.payer
            )
        return page

    page = ask()
    if not any(LOST in entry["Key"] for entry in page.get("Uploads", [])):
        return page
    page = ask(EncodingType="url")
    uploads = page.get("Uploads", [])
    if any(LOST in entry["Key"] for entry in uploads):
        return page  # they are not encoded: the others are as they are
    for entry in uploads:
        entry["Key"] = unquote_plus(entry["Key"])
    # Ceph does not encode the marker, which is the last name
    return {**page, "NextKeyMarker": uploads[-1]["Key"]} if uploads and page.get("NextKeyMarker") else page


class S3Upload(MultipartUpload):
    """An open multipart upload.

    Attributes
    ----------
    key : str
        The object that it becomes.
    upload_id : str
        The server's name for it.
    """

    def __init__(self, bucket: Bucket, key: str, upload_id: str, options: WriteOptions = WriteOptions()) -> None:
        self.key = key
        self.upload_id = upload_id
        self._bucket = bucket
        self._options = options
        self._parts: dict[int, dict[str, Any]] = {}
        self._of_each_part = {name: options.extra[name] for name in _OF_EACH_PART if name in options.extra}

    @property
    def _where(self) -> dict[str, str]:
        named = {"Bucket": self._bucket.name, "Key": self.key, "UploadId": self.upload_id}
        return named | self._bucket.connection.payer

    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        """Send part ``number``. May run in several threads."""
        with self._bucket.door(self.key):
            response = self._bucket.data.upload_part(**self._where, PartNumber=number, Body=body, **self._of_each_part)
        self.add_part(number, response)

    def copy_part(self, number: int, source: Mapping[str, str], start: int, stop: int, e_tag: str | None) -> None:
        """Take part ``number`` from an object that lies in the store."""
        with self._bucket.door(self.key):
            response = self._bucket.client.upload_part_copy(
                **self._where,
                PartNumber=number,
                CopySource=source,
                CopySourceRange=f"bytes={start}-{stop - 1}",
                **held(e_tag, "CopySourceIfMatch"),
            )
        self.add_part(number, response["CopyPartResult"])

    def add_part(self, number: int, response: Response) -> None:
        """Note what the server said of a part: its ETag, and checksums where there are some."""
        said = {name: value for name, value in response.items() if name.startswith("Checksum")}
        if e_tag := opaque(response.get("ETag")):
            said["ETag"] = e_tag
        self._parts[number] = said | {"PartNumber": number}

    # ------------------------------------------------------------------ the end
    def complete(self) -> Receipt:
        """Make one object of the parts."""
        if not self._parts:
            self.send_part(1, b"")  # S3 makes no object of no part
        with self._bucket.door(self.key, precondition(self._options)):
            try:
                response = with_condition(
                    self._bucket, self.key, "CompleteMultipartUpload", self._options, self._complete
                )
            except ClientError as error:
                response = lost_answer(self._bucket, self.key, error, self._has_made)
        ending.ended(self)
        # Ceph 16 answers an empty ETag
        return receipt(response, response.get("ETag") or self._bucket.head(self.key).get("ETag"))

    def _complete(self, more: Mapping[str, Any]) -> Response:
        parameters = accepted(self._bucket, "CompleteMultipartUpload", self._options.extra)
        parts = [self._parts[number] for number in sorted(self._parts)]
        response: Response = self._bucket.data.complete_multipart_upload(
            **self._where, MultipartUpload={"Parts": parts}, **{**parameters, **more}
        )
        return response

    def _has_made(self, head: Response) -> bool:
        return opaque(head.get("ETag")) == self._expected_e_tag()

    def _expected_e_tag(self) -> str | None:
        """MD5 of the parts' MD5s; None where the server's ETags are something else."""
        e_tags = [str(self._parts[number]["ETag"]).strip('"') for number in sorted(self._parts)]
        if not all(_MD5.fullmatch(e_tag) for e_tag in e_tags):
            return None
        digest = hashlib.md5(b"".join(map(bytes.fromhex, e_tags)), usedforsecurity=False).hexdigest()
        return f'"{digest}-{len(e_tags)}"'

    def abort(self) -> None:
        """Throw the parts away."""
        with ending.once(self), self._bucket.door(self.key):
            try:
                self._bucket.data.abort_multipart_upload(**self._where)
            except ClientError as error:
                # the second is Swift's word for an upload that is complete
                if code_of(error) not in {"NoSuchUpload", "NoSuchKey"}:
                    raise

"""Small facts of stores and objects, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cottoncandy import bodies

BytesLike = bodies.BytesLike
#: What a write answers, in the shape of a boto3 response: at least ``ETag`` and
#: ``ResponseMetadata`` with its ``HTTPStatusCode``.
Receipt = dict[str, Any]

MIB = 2**20
GIB = 2**30
TIB = 2**40


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """What a store can take, as data. Sizes are in bytes.

    Attributes
    ----------
    largest_put : int
        The largest object that one request may carry.
    smallest_part, largest_part : int
        Bounds of a part of a multipart upload; the last part may be smaller.
    most_parts : int
        How many parts one upload may have.
    part_multiple : int
        Every part but the last is a multiple of this.
    parallel_parts : bool
        Whether parts may be sent at the same time and out of order.
    ranges : bool
        Whether a part of an object can be read.
    copies_parts : bool
        Whether sending a part takes as much memory again, as encryption does.
    """

    largest_put: int = 5 * GIB
    smallest_part: int = 5 * MIB
    largest_part: int = 5 * GIB
    most_parts: int = 10_000
    part_multiple: int = 1
    parallel_parts: bool = True
    ranges: bool = True
    copies_parts: bool = False


# Nobody changes them once they are made. Dataclasses that are frozen take three times as long to make, and a listing
# makes one for each object.
@dataclass(slots=True, unsafe_hash=True)
class ObjectInfo:
    """One object of a listing; the attributes have boto3's names.

    Attributes
    ----------
    key : str
        The object's name in its container.
    size : int
        Bytes.
    last_modified : datetime.datetime or None
        With a time zone; None where the store does not tell.
    e_tag : str or None
        A mark that changes when the content does. Compare it, nothing else.
    """

    key: str
    size: int
    last_modified: datetime | None = None
    e_tag: str | None = None

    def is_older(self, than: datetime) -> bool:
        """Whether the store tells that it was written before then."""
        return self.last_modified is not None and self.last_modified < than


@dataclass(slots=True, unsafe_hash=True)
class ObjectPrefix:
    """A "directory" in a listing of one level. ``key`` ends with ``/``."""

    key: str


@dataclass(slots=True, unsafe_hash=True)
class ObjectHead(ObjectInfo):
    """All that is known of an object without its bytes: a listing's facts and the user metadata.

    `metadata` keys are as the store gives them back: look them up in lower case.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, unsafe_hash=True)
class ObjectVersion(ObjectInfo):
    """One version of an object, where the container keeps them.

    Attributes
    ----------
    version_id : str
        What `Backend.at_version` takes.
    is_latest : bool
        Whether it is what is read when no version is named.
    is_delete_marker : bool
        It stands for "was deleted then": there are no bytes to read.
    """

    version_id: str = ""
    is_latest: bool = False
    is_delete_marker: bool = False


_EXTRA_ARGUMENTS = (
    "ACL BucketKeyEnabled CacheControl ChecksumAlgorithm ChecksumCRC32 ChecksumCRC32C ChecksumCRC64NVME ChecksumMD5 "
    "ChecksumSHA1 ChecksumSHA256 ChecksumSHA512 ChecksumType ChecksumXXHASH128 ChecksumXXHASH3 ChecksumXXHASH64 "
    "ContentDisposition ContentEncoding ContentLanguage ContentMD5 ContentType ExpectedBucketOwner Expires "
    "GrantFullControl GrantRead GrantReadACP GrantWriteACP IfMatch IfNoneMatch Metadata MpuObjectSize "
    "ObjectLockEventHold ObjectLockEventHoldDurationDays ObjectLockEventHoldDurationYears ObjectLockLegalHoldStatus "
    "ObjectLockMode ObjectLockRetainUntilDate RequestPayer SSECustomerAlgorithm SSECustomerKey SSECustomerKeyMD5 "
    "SSEKMSEncryptionContext SSEKMSKeyId ServerSideEncryption StorageClass Tagging WebsiteRedirectLocation "
    "WriteOffsetBytes"
)
#: What boto3 knows in an upload (November 2026), by which stores other than S3 tell its words from mistakes.
EXTRA_ARGUMENTS = frozenset(_EXTRA_ARGUMENTS.split())


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How an object is written.

    Attributes
    ----------
    acl : str or None
        A canned ACL that the caller named; ``''`` asks for none; None leaves it to the backend, which gives what is
        uploaded the configured one. A copy may be read by those alone whom its owner is, or the container's.
    if_absent : bool
        Write only if there is no such object; raise `ObjectExists` otherwise. Where the store has a
        conditional write it is atomic, else it is a check that guarantees nothing.
    extra : Mapping
        The caller's ``ExtraArgs`` in boto3's names (``ContentType``, ``StorageClass``...). A backend
        takes those that mean something to it and passes over the others.
    is_upload : bool
        A copy is a step of an upload, and gets the ACL of one.
    seen_absent : bool
        Whoever writes ``if_absent`` has just seen, in a listing, that nothing is there: the check can be left out.
    """

    acl: str | None = None
    if_absent: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    is_upload: bool = False
    seen_absent: bool = False


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload that was begun and not ended: it is under way, or its process was killed.

    Attributes
    ----------
    key : str
        The object that it was to become.
    started : datetime.datetime or None
        With a time zone; None where the store does not tell.
    """

    key: str
    started: datetime | None
    _abort: Callable[[], None] = field(repr=False, compare=False)

    def abort(self) -> None:
        """Throw away what it has sent. One that was ended meanwhile is left as it is."""
        self._abort()

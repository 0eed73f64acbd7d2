"""The contract between the interfaces and a store.

A `Backend` is bound to one container: a bucket, a directory, a folder. The interfaces call nothing
but what stands here and never ask which backend they have: what differs is data (`TransferLimits`)
or a method that answers with a clear `NotSupported`. Pagination, part receipts, folder ids, metadata
sidecars and foreign error codes stay inside a backend.

To add one, subclass `Backend`, and name the class in the entry-point group ``cottoncandy.backends``.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from cottoncandy import bodies
from cottoncandy.errors import NotSupported, ObjectNotFound, TransientError
from cottoncandy.retry import RetryPolicy

if TYPE_CHECKING:
    from typing_extensions import Self

    from cottoncandy.config import Options
    from cottoncandy.findings import Finding

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
    """

    largest_put: int = 5 * GIB
    smallest_part: int = 5 * MIB
    largest_part: int = 5 * GIB
    most_parts: int = 10_000
    part_multiple: int = 1
    parallel_parts: bool = True
    ranges: bool = True


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class ObjectPrefix:
    """A "directory" in a listing of one level. ``key`` ends with ``/``."""

    key: str


@dataclass(frozen=True, slots=True)
class ObjectHead(ObjectInfo):
    """All that is known of an object without its bytes: a listing's facts and the user metadata.

    `metadata` keys are as the store gives them back: look them up in lower case.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How an object is written.

    Attributes
    ----------
    acl : str or None
        A canned ACL that the caller named; ``''`` asks for none; None leaves it to the backend.
    if_absent : bool
        Write only if there is no such object; raise `ObjectExists` otherwise. Where the store has a
        conditional write it is atomic, else it is a check that guarantees nothing.
    extra : Mapping
        The caller's ``ExtraArgs`` in boto3's names (``ContentType``, ``StorageClass``...). A backend
        takes those that mean something to it and passes over the others.
    """

    acl: str | None = None
    if_absent: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


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


class ObjectReader(ABC):
    """The answer to one read request: the object's head at once, its bytes as they come.

    Use it as a context manager: closing gives the connection back, or drops it where bytes were
    left unread. It belongs to one thread.

    Attributes
    ----------
    head : ObjectHead
        Of the whole object, whatever range was asked for.
    start, stop : int
        The bytes of the object that this reader yields, ``start <= i < stop``.
    """

    head: ObjectHead
    start: int
    stop: int

    @abstractmethod
    def readinto(self, buffer: memoryview) -> int:
        """Fill (a part of) a writeable buffer of bytes; 0 means that ``stop`` is reached.

        Raises
        ------
        TransientError
            If the connection breaks or ends early; what was read so far is right.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection or file. May be called twice."""

    def readexactly(self, buffer: memoryview) -> int:
        """Fill the buffer, or as much of it as there are bytes; how much it was."""
        filled = 0
        while filled < len(buffer):
            count = self.readinto(buffer[filled:])
            if not count:
                break
            filled += count
        return filled

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class MultipartUpload(ABC):
    """An object on its way up in parts. Nothing of it can be seen before `complete`."""

    @abstractmethod
    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        """Send part ``number`` (from 1). May run in several threads where the limits say so.

        Parameters
        ----------
        number : int
        body : bytes-like
        start : int, optional
            Where in the object the part begins, in bytes. Whoever sends parts out of order tells it: a backend that
            changes the bytes on their way, as to encrypt them, needs it.
        """

    @abstractmethod
    def complete(self) -> Receipt:
        """Make one object of the parts, in the order of their numbers."""

    @abstractmethod
    def abort(self) -> None:
        """Throw the parts away. May be called after a failed `complete`; never raises for a gone upload."""


class Backend(ABC):
    """One container of a store.

    Instances may be used from many threads at once, pickle, and work after a fork.

    Attributes
    ----------
    name : str
        What ``get_interface(backend=...)`` calls it.
    limits : TransferLimits
        What transfers must keep to.
    look_only : Mapping
        Arguments of `connect` for somebody who only looks, so that nothing is made.
    retry : RetryPolicy
        When what failed is tried again. A request is tried again inside the backend; a read that broke goes on in
        another request, which is its caller's affair.
    container : str or None
        The bucket, directory or folder; None where none was chosen or the store has none.
    """

    name: str
    limits: TransferLimits = TransferLimits()
    look_only: ClassVar[Mapping[str, Any]] = {}
    retry: RetryPolicy = RetryPolicy()
    container: str | None

    # ------------------------------------------------------------------ making one
    @classmethod
    @abstractmethod
    def connect(
        cls,
        container: str | None,
        access_key: str | None,
        secret_key: str | None,
        endpoint_url: str | None,
        options: Options,
        **kwargs: Any,
    ) -> Backend:
        """Make the backend of a container; what is None is looked up in the options.

        Does no more than it must: whether the container exists is asked later, by `container_exists`.
        """

    @classmethod
    def default_container(cls, options: Options) -> str | None:
        """The container that is opened when none is named: none, but for backends that have an option for it."""
        return None

    @abstractmethod
    def at(self, container: str | None) -> Backend:
        """The same store and connections, bound to another container."""

    @property
    def location(self) -> str | None:
        """What `at`, and ``source_container`` of `copy`, take for this container, where it has a name or not."""
        return self.container

    @property
    def address(self) -> str:
        """What tells this container from all others, on other servers too; it holds no secret."""
        return f"{self.name}:{self.location}"

    # ------------------------------------------------------------------ reading
    @abstractmethod
    def stat(self, key: str) -> ObjectHead:
        """What is known of an object.

        Raises
        ------
        ObjectNotFound
        """

    @abstractmethod
    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> ObjectReader:
        """Begin to read an object: one request, which brings its head and its first bytes together.

        Parameters
        ----------
        key : str
        start, stop : int
            The bytes wanted, ``start <= i < stop``; None reads to the end. ``stop`` may lie behind the
            end: the reader's own ``stop`` tells what there is. An empty object can be opened.
        e_tag : str, optional
            Read only this version.

        Raises
        ------
        ObjectNotFound
        ObjectChanged
            If the object is no longer the one that ``e_tag`` names.
        """

    def read_range(self, key: str, start: int, buffer: memoryview, *, e_tag: str | None = None) -> int:
        """Read bytes from ``start`` on into the caller's buffer; how many there were.

        Raises
        ------
        ObjectNotFound, ObjectChanged, TransientError
        """
        with self.open(key, start, start + len(buffer), e_tag=e_tag) as reader:
            count = reader.readexactly(buffer[: reader.stop - reader.start])
            if count < reader.stop - reader.start:
                raise TransientError(f"{self.describe(key)}: the answer ended after {count} bytes")
            return count

    # ------------------------------------------------------------------ writing
    @abstractmethod
    def put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Receipt:
        """Write a whole object with one request: all of it or nothing.

        ``body`` is contiguous bytes; it is sent from where it lies.
        """

    @abstractmethod
    def start_upload(
        self, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> MultipartUpload:
        """Begin an upload in parts."""

    def unfinished_uploads(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """The uploads to keys that start with ``prefix`` of which the store keeps parts, in any order.

        None for a store that keeps none, or drops them by itself.
        """
        return iter(())

    @abstractmethod
    def copy(
        self,
        source_key: str,
        key: str,
        *,
        source_container: str | None = None,
        options: WriteOptions = WriteOptions(),
        metadata: Mapping[str, str] | None = None,
        e_tag: str | None = None,
    ) -> Receipt:
        """Copy an object with its metadata inside the store, whatever its size, onto ``key`` of this container.

        Parameters
        ----------
        source_key, key : str
        source_container : str, optional
            This one by default.
        options : WriteOptions
        metadata : Mapping of str to str, optional
            What the copy gets in the place of the source's. So an object gets other metadata: by a copy onto itself.
        e_tag : str, optional
            Copy only this version.

        Raises
        ------
        ObjectNotFound
        ObjectExists
            With ``options.if_absent``.
        ObjectChanged
            If the source is no longer the one that ``e_tag`` names.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str], *, trash: bool = False) -> int:
        """Delete objects, in batches where the store has them; how many names were given to it.

        A name that is not there is no error. ``trash`` asks for the store's trash instead, where it has
        one. If some cannot be deleted, the others are, and the error names the first that could not.
        """

    # ------------------------------------------------------------------ listing
    @abstractmethod
    def list_objects(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo]:
        """All objects whose key starts with the string ``prefix``, in the order of their UTF-8 bytes.

        Lazy: pages are fetched as they are needed. A prefix is no directory: ``exp`` finds ``exp2/a``.
        """

    @abstractmethod
    def list_level(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo | ObjectPrefix]:
        """The objects whose key starts with ``prefix`` and has no ``/`` behind it, and the prefixes up to that ``/``.

        In the order of the keys' UTF-8 bytes, lazily; each prefix once.
        """

    def listed_sizes(self, size: int) -> tuple[int, ...]:
        """What a listing may tell of an object of so many bytes: several sizes, where bytes change on their way."""
        return (size,)

    # ------------------------------------------------------------------ containers
    def list_containers(self) -> list[str]:
        """The names of all containers that can be seen, sorted."""
        raise self._cannot("list containers")

    def container_exists(self, container: str) -> bool:
        """Whether there is such a container (one that may not be looked at does exist)."""
        raise self._cannot("look for containers")

    def create_container(self, container: str, *, acl: str | None = None) -> Receipt:
        """Make a container; one that is there and ours is left as it is."""
        raise self._cannot("create containers")

    def remove_container(self, container: str) -> Receipt:
        """Remove an empty container.

        Raises
        ------
        ContainerNotEmpty, ContainerNotFound
        """
        raise self._cannot("remove containers")

    # ------------------------------------------------------------------ versions
    def list_versions(self, key: str) -> list[ObjectVersion]:
        """The versions of an object, the newest first; none where there never was one."""
        raise self._cannot("keep versions of objects")

    def at_version(self, version_id: str) -> Backend:
        """The same container, where `stat` and `open` give that version of an object, and all else is refused.

        A version belongs to one object: of others there is none, which is `ObjectNotFound`.
        """
        raise self._cannot("keep versions of objects")

    def restore_version(self, key: str, version_id: str) -> Receipt:
        """Make a version the newest one: a copy inside the store, with its metadata. All versions stay.

        Raises
        ------
        ObjectNotFound
        """
        raise self._cannot("keep versions of objects")

    # ------------------------------------------------------------------ what a store may have beside
    def presigned_url(self, key: str, method: str, seconds: int) -> str:
        """A URL by which anybody can read (``get``) or write (``put``) the object for some time."""
        raise self._cannot("make URLs for others")

    def owner(self, key: str) -> str:
        """The name of who owns an object."""
        raise self._cannot("tell an object's owner")

    def native_object(self, key: str) -> Any:
        """The store's own object, of its own library (boto3's ``Object`` on S3)."""
        return StoredObject(self, key)

    def native_container(self) -> Any:
        """The store's own container (boto3's ``Bucket`` on S3)."""
        raise self._cannot("give a container object")

    def diagnose(self) -> Iterator[Finding]:
        """What is right and wrong with the way to the container, for ``cottoncandy doctor``; nothing is written.

        The first that fails is the last.
        """
        return iter(())

    def probe(self, prefix: str) -> Iterator[Finding]:
        """What the store can do that others cannot, tried on objects below ``prefix``, which are deleted again."""
        return iter(())

    def rotate_key(self, key: str) -> bool:
        """Close an encrypted object with the current key, in the place of an older one; whether there was need to.

        Its bytes stay as they are.
        """
        raise self._cannot("rotate an encryption key: it has none, give get_interface(encryption_key=...)")

    # ------------------------------------------------------------------ for all
    def exists(self, key: str) -> bool:
        """Whether there is an object of exactly this name."""
        try:
            self.stat(key)
        except ObjectNotFound:
            return False
        return True

    def size(self) -> int:
        """The bytes of all objects together."""
        return sum(info.size for info in self.list_objects())

    def close(self) -> None:
        """Close connections that are kept open. The backend may be used again: it opens new ones."""

    def describe(self, key: str | None = None) -> str:
        """How an error names the container, or an object in it."""
        place = f"{self.name} container {self.container!r}"
        return place if key is None else f"object {key!r} in {place}"

    def _cannot(self, what: str) -> NotSupported:
        return NotSupported(f"the {self.name} backend cannot {what}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.container!r}>"


class StoredObject:
    """One object of a backend that has no object type of its own, with the names of boto3's ``Object``.

    Nothing is fetched before it is asked for.

    Attributes
    ----------
    key : str
    bucket_name : str or None
    """

    def __init__(self, backend: Backend, key: str) -> None:
        self._backend = backend
        self.key = key
        self.bucket_name = backend.container
        self._head: ObjectHead | None = None

    def load(self) -> None:
        """Ask the store for size, date and metadata (again)."""
        self._head = self._backend.stat(self.key)

    @property
    def head(self) -> ObjectHead:
        """What the store tells of the object; asked for once."""
        if self._head is None:
            self.load()
        if self._head is None:  # pragma: no cover - `load` sets it or raises
            raise ObjectNotFound(self._backend.describe(self.key))
        return self._head

    @property
    def content_length(self) -> int:
        """Bytes."""
        return self.head.size

    size = content_length

    @property
    def last_modified(self) -> datetime | None:
        """When it was written."""
        return self.head.last_modified

    @property
    def e_tag(self) -> str | None:
        """A mark of the content."""
        return self.head.e_tag

    @property
    def metadata(self) -> dict[str, str]:
        """The user metadata."""
        return dict(self.head.metadata)

    def get(self) -> dict[str, Any]:
        """Read it, as boto3 does: ``Body`` is a binary file, beside ``Metadata``, ``ETag`` and others."""
        with self._backend.open(self.key) as reader:
            data = bytearray(reader.stop - reader.start)
            reader.readexactly(memoryview(data))
        head = reader.head
        return {
            "Body": io.BytesIO(data),
            "ContentLength": head.size,
            "ETag": head.e_tag,
            "LastModified": head.last_modified,
            "Metadata": dict(head.metadata),
        }

    def delete(self) -> None:
        """Delete the object."""
        self._backend.delete([self.key])

    def __repr__(self) -> str:
        return f"{self._backend.name}.Object(bucket_name={self.bucket_name!r}, key={self.key!r})"

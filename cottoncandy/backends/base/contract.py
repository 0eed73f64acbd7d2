"""The abstract base class of all backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cottoncandy import keys
from cottoncandy.backends.base.facts import (
    EXTRA_ARGUMENTS,
    BytesLike,
    ObjectHead,
    ObjectInfo,
    ObjectPrefix,
    ObjectVersion,
    Receipt,
    TransferLimits,
    UnfinishedUpload,
    WriteOptions,
)
from cottoncandy.backends.base.moving import MultipartUpload, ObjectReader
from cottoncandy.backends.base.stored import StoredObject
from cottoncandy.errors import (
    ConfigurationError,
    CorruptObject,
    NotSupported,
    ObjectChanged,
    ObjectNotFound,
    TransientError,
)
from cottoncandy.pipelines import Begun
from cottoncandy.retry import RetryPolicy

if TYPE_CHECKING:
    from cottoncandy.config import Options
    from cottoncandy.findings import Finding


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
        Arguments of `connect` for a caller that only looks, so that nothing is made.
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

    def place(self, prefix: str) -> str:
        """How that begins which tells an object from all others, also where one container is a directory of another."""
        return f"{self.address.rstrip(keys.SEPARATOR)}{keys.SEPARATOR}{prefix}"

    def on_disk(self, prefix: str = "") -> Path | None:
        """The directory of this machine in which what begins so lies as files, without links; None elsewhere."""
        return None

    # ------------------------------------------------------------------ sent now, answered later
    def answers_later(self, of_use: int) -> bool:
        """Whether `begin_open` and `begin_put` are of use, where so many requests at a time would be."""
        return False

    def begin_open(self, key: str, stop: int, *, e_tag: str | None = None) -> Begun[ObjectReader] | None:
        """Ask for the first bytes of an object, up to ``stop``: `open`, whose answer is read later.

        Nothing is tried again: what fails is to be opened as if nothing had been asked. None where more than a
        request and its answer is needed.
        """
        return None

    def begin_put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Begun[Receipt] | None:
        """Send an object, in the same manner: `put`, whose answer is read later."""
        return None

    def begin_copy(
        self,
        source_key: str,
        key: str,
        size: int,
        options: WriteOptions = WriteOptions(),
        *,
        source_container: str | None = None,
    ) -> Begun[Receipt] | None:
        """Copy an object of so many bytes, in the same manner: `copy`, whose answer is read later."""
        return None

    def begin_names(self, prefix: str) -> Begun[list[str]] | None:
        """Ask for the names of all objects that begin so, in the same manner.

        It fails where they are more than one answer holds.
        """
        return None

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

    def open_version(self, head: ObjectHead, start: int = 0, stop: int | None = None) -> ObjectReader:
        """Begin to read the version of an object that a head tells of; see `open`.

        Where the store gives no ETag, size and date stand for it.

        Raises
        ------
        ObjectNotFound, ObjectChanged
        """
        reader = self.open(head.key, start, stop, e_tag=head.e_tag)
        if head.e_tag is None and (reader.head.size, reader.head.last_modified) != (head.size, head.last_modified):
            reader.close()
            raise ObjectChanged(f"{self.describe(head.key)}: it was replaced in the meantime")
        return reader

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

    def refuse_unknown(self, extra: Mapping[str, Any]) -> None:
        """Refuse a caller's ``ExtraArgs`` that no store knows: passed over, a misspelt ``Metadata`` would be lost.

        Raises
        ------
        ConfigurationError
        """
        if unknown := sorted(map(str, extra.keys() - EXTRA_ARGUMENTS)):
            raise ConfigurationError(f"ExtraArgs: boto3 knows no {', '.join(map(repr, unknown))} in an upload")

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
        size: int | None = None,
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
        size : int, optional
            Its bytes, where a listing has told: then it need not be looked at first.

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

    def list_names(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[str]:
        """The keys that `list_objects` gives."""
        return (info.key for info in self.list_objects(prefix, page_size=page_size))

    def level_names(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[str]:
        """The keys that `list_level` gives: those of prefixes end with ``/``."""
        return (entry.key for entry in self.list_level(prefix, page_size=page_size))

    def holds(self, name: str) -> bool:
        """Whether there is an object or a directory of a name; of a directory where it ends with ``/``. One listing."""
        directory = keys.as_directory(name)
        beginning_so = self.level_names(directory.rstrip(keys.SEPARATOR))
        return any(key in {name, directory} for key in takewhile(lambda key: key <= directory, beginning_so))

    def listed_sizes(self, size: int) -> tuple[int, ...]:
        """What a listing may tell of an object of so many bytes: several sizes, where bytes change on their way."""
        return (size,)

    def has_md5(self, key: str) -> bool:
        """Whether an object's ETag is the MD5 of its bytes, if it looks like one: what does not fit it differs."""
        return True

    def gives_way(self, key: str, is_deleted: Callable[[str], bool]) -> bool:
        """Whether an object can have this key as soon as others, below it, are deleted.

        Not where a store keeps among them what no listing tells of.
        """
        return True

    # ------------------------------------------------------------------ containers
    def list_containers(self) -> list[str]:
        """The names of all containers that can be seen, sorted."""
        raise self._has_no_containers("list containers")

    def container_exists(self, container: str) -> bool:
        """Whether there is such a container (one that may not be looked at does exist)."""
        raise self._has_no_containers("look for containers")

    def create_container(self, container: str, *, acl: str | None = None) -> Receipt:
        """Make a container; one that is there and ours is left as it is."""
        raise self._has_no_containers("create containers")

    def remove_container(self, container: str) -> Receipt:
        """Remove an empty container.

        Raises
        ------
        ContainerNotEmpty, ContainerNotFound
        """
        raise self._has_no_containers("remove containers")

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
        """The name of an object's owner."""
        raise self._cannot("tell an object's owner")

    def native_object(self, key: str) -> Any:
        """The store's own object, of its own library (boto3's ``Object`` on S3)."""
        return StoredObject(self, key)

    def native_container(self) -> Any:
        """The store's own container (boto3's ``Bucket`` on S3)."""
        raise self._has_no_containers("give a container object")

    def diagnose(self) -> Iterator[Finding]:
        """What is right and wrong with the way to the container, for ``cottoncandy doctor``; nothing is written.

        The first that fails is the last.
        """
        return iter(())

    def probe(self, prefix: str) -> Iterator[Finding]:
        """What the store can do that others cannot, tried on objects below ``prefix``, which are deleted again."""
        return iter(())

    def clear_probes(self, prefix: str) -> Finding | None:
        """Delete all that was written below ``prefix`` to try the store, versions too; what stays there is a finding.

        Not for data: a store that keeps versions keeps none of these.
        """
        self.delete([info.key for info in self.list_objects(prefix)])
        return None

    def rotate_key(self, key: str) -> bool:
        """Close an encrypted object with the current key, in the place of an older one; whether there was need to.

        Its bytes stay as they are.
        """
        raise self._cannot("rotate an encryption key: it has none, give get_interface(encryption_key=...)")

    # ------------------------------------------------------------------ for all
    def entry(self, key: str) -> ObjectInfo:
        """What a listing tells of one object, also of one that is damaged, or that no key at hand opens.

        Raises
        ------
        ObjectNotFound
        """
        try:
            head = self.stat(key)
        except CorruptObject:
            listed = next(self.list_objects(key, page_size=1), None)
            if listed is None or listed.key != key:
                raise
            return listed
        return ObjectInfo(head.key, head.size, head.last_modified, head.e_tag)

    def exists(self, key: str) -> bool:
        """Whether there is an object of exactly this name; a damaged one is there, too."""
        try:
            self.stat(key)
        except ObjectNotFound:
            return False
        except CorruptObject:
            return True
        return True

    def size(self) -> int:
        """The bytes of all objects together."""
        return sum(info.size for info in self.list_objects())

    def close(self) -> None:
        """Close connections that are kept open. The backend may be used again: it opens new ones."""

    def describe(self, key: str | None = None) -> str:
        """How an error names the container, or an object in it."""
        place = f"the {self.name} store" if self.container is None else f"{self.name} container {self.container!r}"
        return place if key is None else f"object {key!r} in {place}"

    def _cannot(self, what: str) -> NotSupported:
        return NotSupported(f"the {self.name} backend cannot {what}")

    def _has_no_containers(self, what: str) -> NotSupported:
        """What is raised where the store has none: a backend may tell what it has in their place."""
        return self._cannot(what)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.container!r}>"

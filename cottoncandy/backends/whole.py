"""Backends of stores that take and give whole objects: ranges, parts, copies and levels come from here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping

from cottoncandy.backends.base import (
    Backend,
    BytesLike,
    MultipartUpload,
    ObjectHead,
    ObjectInfo,
    ObjectPrefix,
    ObjectReader,
    Receipt,
    WriteOptions,
)
from cottoncandy.errors import ObjectChanged

__all__ = ["WholeBackend", "WholeReader", "WholeUpload", "one_level"]


class WholeBackend(Backend):
    """A store that takes and gives whole objects: `get`, `put`, `delete` and `list_objects` are all that it needs.

    What the store can do better (a range, a copy inside the store, one level of a listing) is a method to override.
    """

    @abstractmethod
    def get(self, key: str) -> tuple[ObjectHead, BytesLike]:
        """All that is known of an object, and its bytes.

        Raises
        ------
        ObjectNotFound
        """

    def stat(self, key: str) -> ObjectHead:
        """What is known of an object."""
        return self.get(key)[0]

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> WholeReader:
        """Get all of it, and read a range."""
        head, body = self.get(key)
        if e_tag not in (None, head.e_tag):
            raise ObjectChanged(f"{self.describe(key)} was replaced in the meantime")
        return WholeReader(head, body, start, stop)

    def start_upload(
        self, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> MultipartUpload:
        """Gather the parts in memory."""
        return WholeUpload(self, key, metadata, options)

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
        """Get it and put it."""
        with self.at(source_container or self.container).open(source_key, e_tag=e_tag) as reader:
            body = bytearray(reader.head.size)
            reader.readexactly(memoryview(body))
        return self.put(key, body, reader.head.metadata if metadata is None else metadata, options)

    def list_level(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo | ObjectPrefix]:
        """What is directly below a prefix, out of all that is below it."""
        return one_level(self.list_objects(prefix, page_size=page_size), prefix)


class WholeReader(ObjectReader):
    """Reads a range of an object whose bytes are in memory.

    Parameters
    ----------
    head : ObjectHead
    body : bytes-like
        Of the whole object.
    start, stop : int
        As `Backend.open` takes them.
    """

    def __init__(self, head: ObjectHead, body: BytesLike, start: int = 0, stop: int | None = None) -> None:
        self.head = head
        self.stop = len(body) if stop is None else min(stop, len(body))
        self.start = min(start, self.stop)
        self._rest = memoryview(body)[self.start : self.stop]

    def readinto(self, buffer: memoryview) -> int:
        """Fill (a part of) the buffer."""
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""


class WholeUpload(MultipartUpload):
    """Keeps the parts in memory, and puts the whole object with one request.

    Parameters
    ----------
    backend : Backend
    key, metadata, options
        As `Backend.start_upload` takes them.
    """

    def __init__(
        self, backend: Backend, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> None:
        self._backend, self._key, self._metadata, self._options = backend, key, metadata, options
        self._parts: dict[int, bytes] = {}

    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        """Keep a part."""
        self._parts[number] = bytes(body)

    def complete(self) -> Receipt:
        """Put all of them."""
        body = b"".join(self._parts[number] for number in sorted(self._parts))
        return self._backend.put(self._key, body, self._metadata, self._options)

    def abort(self) -> None:
        """Forget them."""
        self._parts.clear()


def one_level(objects: Iterable[ObjectInfo], prefix: str) -> Iterator[ObjectInfo | ObjectPrefix]:
    """What `Backend.list_level` gives, from all objects below a prefix in the order of their keys' bytes.

    Examples
    --------
    >>> from cottoncandy.backends.base import ObjectInfo
    >>> [found.key for found in one_level([ObjectInfo('a/b', 1), ObjectInfo('a/c/d', 1), ObjectInfo('a/c/e', 1)], 'a/')]
    ['a/b', 'a/c/']
    """
    last = None
    for info in objects:
        name, slash, _ = info.key.removeprefix(prefix).partition("/")
        if not slash:
            yield info
        elif name != last:
            last = name
            yield ObjectPrefix(f"{prefix}{name}/")

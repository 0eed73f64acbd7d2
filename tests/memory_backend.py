"""A third party's backend: the contract in as few lines as it takes, over a dictionary."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, ClassVar, NamedTuple

from cottoncandy.backends.base import (
    Backend,
    BytesLike,
    MultipartUpload,
    ObjectHead,
    ObjectInfo,
    ObjectPrefix,
    ObjectReader,
    Receipt,
    TransferLimits,
    WriteOptions,
)
from cottoncandy.errors import ContainerNotFound, ObjectChanged, ObjectExists, ObjectNotFound


class Stored(NamedTuple):
    body: bytes
    metadata: dict[str, str]
    written: datetime


class MemoryReader(ObjectReader):
    def __init__(self, head: ObjectHead, body: bytes, start: int, stop: int) -> None:
        self.head, self.start, self.stop = head, start, stop
        self._rest = memoryview(body)[start:stop]

    def readinto(self, buffer: memoryview) -> int:
        # a short answer is allowed, as sockets give it
        count = min(len(buffer), len(self._rest), 70_001)
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        pass


class MemoryUpload(MultipartUpload):
    def __init__(self, backend: MemoryBackend, key: str, metadata: Mapping[str, str], options: WriteOptions) -> None:
        self._finish = lambda body: backend.put(key, body, metadata, options)
        self._limits, self._open = backend.limits, backend.open_uploads
        self.parts: dict[int, bytes] = {}
        self._open.append(key)
        self._key = key

    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        if not self._limits.parallel_parts and number != len(self.parts) + 1:
            raise RuntimeError(f"part {number} came out of order")
        self.parts[number] = bytes(body)

    def complete(self) -> Receipt:
        *others, last = [self.parts[number] for number in sorted(self.parts)]
        limits = self._limits
        for part in others:
            if not limits.smallest_part <= len(part) <= limits.largest_part or len(part) % limits.part_multiple:
                raise RuntimeError(f"a part of {len(part)} bytes breaks the limits")
        if len(others) + 1 > limits.most_parts:
            raise RuntimeError("too many parts")
        self._open.remove(self._key)
        return self._finish(b"".join([*others, last]))

    def abort(self) -> None:
        self._open.remove(self._key)


class MemoryBackend(Backend):
    """Containers of this process; each begins with `memory-`."""

    name = "memory"
    limits: TransferLimits = TransferLimits(
        largest_put=300_000, smallest_part=1, part_multiple=1000, largest_part=200_000
    )
    containers: ClassVar[dict[str, dict[str, Stored]]] = {}
    open_uploads: ClassVar[list[str]] = []
    connected_with: ClassVar[list[Any]] = []
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, container: str | None) -> None:
        self.container = container

    @classmethod
    def connect(
        cls,
        container: str | None,
        access_key: str | None = None,
        secret_key: str | None = None,
        endpoint_url: str | None = None,
        options: Any = None,
        **kwargs: Any,
    ) -> MemoryBackend:
        cls.connected_with.append((access_key, secret_key, endpoint_url, kwargs))
        return cls(container)

    def at(self, container: str | None) -> MemoryBackend:
        return type(self)(container)

    @property
    def _objects(self) -> dict[str, Stored]:
        if self.container not in self.containers:
            raise ContainerNotFound(f"there is no {self.container!r}")
        return self.containers[self.container]

    def _head(self, key: str) -> tuple[ObjectHead, bytes]:
        try:
            body, metadata, written = self._objects[key]
        except KeyError:
            raise ObjectNotFound(f"{self.describe(key)} does not exist") from None
        return ObjectHead(key, len(body), written, hashlib.md5(body).hexdigest(), metadata), body

    def stat(self, key: str) -> ObjectHead:
        return self._head(key)[0]

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> MemoryReader:
        head, body = self._head(key)
        if e_tag not in {None, head.e_tag}:
            raise ObjectChanged(self.describe(key))
        return MemoryReader(head, body, start, head.size if stop is None else min(stop, head.size))

    def put(
        self, key: str, body: BytesLike, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> Receipt:
        with self._lock:
            if options.if_absent and key in self._objects:
                raise ObjectExists(self.describe(key))
            self._objects[key] = Stored(bytes(body), dict(metadata), datetime.now(timezone.utc))
        return {"ETag": self.stat(key).e_tag, "ResponseMetadata": {}}

    def start_upload(
        self, key: str, metadata: Mapping[str, str], options: WriteOptions = WriteOptions()
    ) -> MemoryUpload:
        return MemoryUpload(self, key, metadata, options)

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
        source = self if source_container is None else self.at(source_container)
        head, body = source._head(source_key)
        if e_tag not in {None, head.e_tag}:
            raise ObjectChanged(self.describe(source_key))
        return self.put(key, body, head.metadata if metadata is None else metadata, options)

    def delete(self, keys: Iterable[str], *, trash: bool = False) -> int:
        names = list(keys)
        for key in names:
            self._objects.pop(key, None)
        return len(names)

    def list_objects(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo]:
        for key in sorted(self._objects, key=str.encode):
            if key.startswith(prefix):
                head = self.stat(key)
                yield ObjectInfo(key, head.size, head.last_modified, head.e_tag)

    def list_level(self, prefix: str = "", *, page_size: int | None = None) -> Iterator[ObjectInfo | ObjectPrefix]:
        seen = set()
        for info in self.list_objects(prefix):
            below, slash, _ = info.key.removeprefix(prefix).partition("/")
            if not slash:
                yield info
            elif below not in seen:
                seen.add(below)
                yield ObjectPrefix(f"{prefix}{below}/")

    def container_exists(self, container: str) -> bool:
        return container in self.containers

    def create_container(self, container: str, *, acl: str | None = None) -> Receipt:
        self.containers.setdefault(container, {})
        return {"ResponseMetadata": {}}


class OrderlyBackend(MemoryBackend):
    """Takes parts one after the other only."""

    name = "orderly"
    limits = TransferLimits(largest_put=1000, smallest_part=1, part_multiple=7, parallel_parts=False)


class NoBackend:
    """An entry point that is a mistake."""

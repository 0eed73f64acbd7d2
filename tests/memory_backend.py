"""A third party's backend in as few lines as it takes, over a dictionary; and what it is strict about."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, ClassVar, NamedTuple

from cottoncandy.backends.base import (
    BytesLike,
    MultipartUpload,
    ObjectHead,
    ObjectInfo,
    ObjectReader,
    Receipt,
    TransferLimits,
    WriteOptions,
)
from cottoncandy.backends.whole import WholeBackend, WholeReader
from cottoncandy.errors import ContainerNotFound, ObjectExists, ObjectNotFound


class Stored(NamedTuple):
    body: bytes
    metadata: dict[str, str]
    written: datetime


class HastyReader(ObjectReader):
    """Gives less than there is room for, as sockets do."""

    def __init__(self, reader: WholeReader) -> None:
        self.head, self.start, self.stop = reader.head, reader.start, reader.stop
        self._reader = reader

    def readinto(self, buffer: memoryview) -> int:
        return self._reader.readinto(buffer[:70_001])

    def break_off(self, count: int) -> None:
        """Come to an end behind so many bytes, as a connection does that breaks."""
        self._reader._rest = self._reader._rest[:count]

    def close(self) -> None:
        self._reader.close()


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


class MemoryBackend(WholeBackend):
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

    def get(self, key: str) -> tuple[ObjectHead, bytes]:
        try:
            body, metadata, written = self._objects[key]
        except KeyError:
            raise ObjectNotFound(f"{self.describe(key)} does not exist") from None
        return ObjectHead(key, len(body), written, hashlib.md5(body).hexdigest(), metadata), body

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> HastyReader:
        return HastyReader(super().open(key, start, stop, e_tag=e_tag))

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

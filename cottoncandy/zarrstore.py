"""A prefix of any store as a store of zarr 3: ``cci.zarr_store('exp.zarr')``. Needs the extra ``zarr``.

Thin over the contract of `cottoncandy.backends.base`: a key of zarr is an object, a chunk costs one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from cottoncandy import forks, keys
from cottoncandy.backends.base import Backend, ObjectInfo, WriteOptions
from cottoncandy.errors import ObjectExists, ObjectNotFound
from cottoncandy.stream import TransferSettings, read_range, upload

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ZarrStore"]

Result = TypeVar("Result")

# Names that one visit to a thread brings: as many as a page of S3 has.
_PAGE = 1000


@lru_cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """The threads in which zarr's coroutines wait for the store: of all stores together, started as they are needed."""
    return ThreadPoolExecutor(threads, thread_name_prefix="cottoncandy-zarr")


forks.in_child(_workers.cache_clear)


class ZarrStore(Store):
    """What lies below a prefix of a container, as a store of zarr.

    It pickles, may be used from many threads and event loops at once, and holds no connection of its own. Writes of
    zarr are whole objects: each is seen as it was or as it is. A prefix is no directory: the store ``exp`` has nothing
    of ``exp2``.

    Parameters
    ----------
    backend : Backend
    prefix : str
        The directory of the store; the whole container by default.
    settings : TransferSettings, optional
        How large chunks are cut; the largest number of threads that wait at a time.
    read_only : bool
        Refuse to write and to delete.

    Notes
    -----
    zarr asks for so many chunks at a time as its option ``async.concurrency`` says, 10 by default. Up to
    ``settings.most_threads`` are worked on. Reading a shard's index costs two requests, since the contract of the
    backends has no range that counts from the end.

    Examples
    --------
    >>> import zarr
    >>> grid = zarr.create_array(cci.zarr_store('exp.zarr'), data=arr, name='bold')
    >>> zarr.open_group(cci.zarr_store('exp.zarr'), mode='r')['bold'].shape
    (4, 5, 6)
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(
        self, backend: Backend, prefix: str = "", *, settings: TransferSettings | None = None, read_only: bool = False
    ) -> None:
        super().__init__(read_only=read_only)
        self._backend = backend
        self._prefix = keys.as_directory(prefix)
        self._settings = settings or TransferSettings()

    def with_read_only(self, read_only: bool = False) -> Self:
        """Give the same store, not yet open, that refuses to write, or does not."""
        return type(self)(self._backend, self._prefix, settings=self._settings, read_only=read_only)

    def _identity(self) -> tuple[str, str, bool]:
        return self._backend.address, self._prefix, self.read_only

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZarrStore) and self._identity() == other._identity()

    __hash__ = None  # type: ignore[assignment] # as zarr's own

    def __repr__(self) -> str:
        return f"<ZarrStore {self._prefix!r} in {self._backend.describe()}>"

    def __str__(self) -> str:
        return f"{self._backend.address}/{self._prefix}".rstrip("/")

    def _key(self, key: str) -> str:
        return self._prefix + keys.clean_object(key)

    async def _run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Wait for a call of the contract without blocking the event loop."""
        workers = _workers(self._settings.most_threads)
        return await asyncio.get_running_loop().run_in_executor(workers, function, *args)

    # ------------------------------------------------------------------ reading
    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object or a part of it; None where there is no such object."""
        await self._ensure_open()
        try:
            data = await self._run(self._read, self._key(key), byte_range)
        except ObjectNotFound:
            return None
        buffer: Buffer = prototype.buffer.from_bytes(data)
        return buffer

    def _read(self, key: str, wanted: ByteRequest | None) -> memoryview:
        read = partial(read_range, self._backend, key, self._settings)
        match wanted:
            case None:
                return read()
            case RangeByteRequest():
                return read(wanted.start, wanted.end)
            case OffsetByteRequest():
                return read(wanted.offset)
            case SuffixByteRequest():
                head = self._backend.stat(key)
                return read(max(0, head.size - wanted.suffix), e_tag=head.e_tag)
        raise ValueError(f"Unexpected byte_range, got {wanted}.")

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of many objects at the same time; in the order in which they were asked for."""
        return await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges))

    async def exists(self, key: str) -> bool:
        """Whether there is an object of exactly this name."""
        return await self._run(self._backend.exists, self._key(key))

    async def getsize(self, key: str) -> int:
        """Ask for the bytes of an object, without reading it.

        Raises
        ------
        ObjectNotFound
        """
        return (await self._run(self._backend.stat, self._key(key))).size

    async def getsize_prefix(self, prefix: str) -> int:
        """Sum up the bytes of all objects in a directory, from its listing."""

        def total() -> int:
            return sum(info.size for info in self._below(keys.as_directory(prefix)))

        return await self._run(total)

    # ------------------------------------------------------------------ writing
    async def set(self, key: str, value: Buffer) -> None:
        """Write an object, as a whole."""
        await self._write(key, value, WriteOptions())

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object unless there is one: atomically where the store has conditional writes."""
        with suppress(ObjectExists):
            await self._write(key, value, WriteOptions(if_absent=True))

    async def _write(self, key: str, value: Buffer, options: WriteOptions) -> None:
        self._check_writable()
        if not isinstance(value, Buffer):
            raise TypeError(f"the value is a Buffer of zarr, not {type(value).__name__}")
        await self._ensure_open()
        body = value.as_numpy_array().data if len(value) else b""
        await self._run(upload, self._backend, self._key(key), body, {}, options, self._settings)

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        self._check_writable()
        await self._run(self._backend.delete, [self._key(key)])

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects in a directory, in batches."""
        self._check_writable()

        def remove() -> None:
            self._backend.delete([info.key for info in self._below(keys.as_directory(prefix))])

        await self._run(remove)

    # ------------------------------------------------------------------ listing
    def _below(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._backend.list_objects(self._prefix + prefix)

    async def list(self) -> AsyncIterator[str]:
        """List all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the keys that begin with a string, relative to the store."""
        names = (info.key for info in self._below(prefix))
        async for name in self._each(name for name in names if not name.endswith(keys.SEPARATOR)):
            yield name.removeprefix(self._prefix)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List one level of a directory: names without the directory, and without a trailing ``/``."""
        directory = self._prefix + keys.as_directory(prefix)
        async for name in self._each(name for name in self._backend.level_names(directory) if name != directory):
            yield name.removeprefix(directory).rstrip(keys.SEPARATOR)

    async def _each(self, names: Iterator[str]) -> AsyncIterator[str]:
        """Take from a blocking iterator, a page at a time, in a thread."""
        while page := await self._run(lambda: [*islice(names, _PAGE)]):
            for name in page:
                yield name

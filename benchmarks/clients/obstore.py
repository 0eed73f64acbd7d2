"""obstore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from obstore.store import S3Store

from benchmarks.clients.base import CHUNK, Array, BytesClient, Like, flat, name_of
from benchmarks.place import Place

#: Requests at once, where there are many small objects.
_AT_ONCE = 64


def make_store(place: Place, prefix: str = "") -> Any:
    """A store for the bucket, or for what is below a prefix in it."""
    # it takes no authority of one's own: over TLS it is told to trust
    client = {"allow_http": True, "allow_invalid_certificates": bool(place.authority)}
    token = {"session_token": place.token} if place.token else {}
    return S3Store(
        place.bucket,
        prefix=prefix or None,
        endpoint=place.endpoint,
        region=place.region,
        access_key_id=place.access_key,
        secret_access_key=place.secret_key,
        virtual_hosted_style_request=False,
        client_options=client,
        **token,
    )


class Obstore(BytesClient):
    """Ranges by threads for large objects, tasks for many small ones: what was fastest of what it offers."""

    def connect(self) -> None:
        """Make a store."""
        self._store = make_store(self.place)

    def put(self, key: str, data: memoryview | bytes) -> None:
        """Upload."""
        self._store.put(key, data)

    def get(self, key: str) -> memoryview:
        """Download bytes."""
        return memoryview(self._store.get(key).bytes())

    def get_into(self, key: str, memory: memoryview) -> None:
        """Download ranges at once where it is large."""

        def receive(start: int) -> None:
            end = min(start + CHUNK, len(memory))
            memory[start:end] = memoryview(self._store.get_range(key, start=start, end=end))

        if len(memory) < 2 * CHUNK:
            memory[:] = self.get(key)
        else:
            self._map(receive, range(0, len(memory), CHUNK))

    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Upload all at once."""

        async def put(name: str) -> None:
            await self._store.put_async(f"{prefix}/{name}", flat(arrays[name]))

        gather(put, arrays)

    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """List, then download all at once."""

        async def get(key: str) -> tuple[str, Array]:
            array = like.empty()
            flat(array)[:] = memoryview(await (await self._store.get_async(key)).bytes_async())
            return name_of(key), array

        return dict(gather(get, self.list(prefix)))

    def list(self, prefix: str) -> list[str]:
        """All paths below a prefix."""
        return [entry["path"] for page in self._store.list(prefix) for entry in page]

    def remove(self, prefix: str) -> None:
        """List, then delete in batches."""
        self._store.delete(self.list(prefix))


def gather(function: Callable[[str], Awaitable[Any]], items: Iterable[str]) -> list[Any]:
    """Call a function on all items, on many of them at once."""

    async def run() -> list[Any]:
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(item: str) -> Any:
            async with free:
                return await function(item)

        return await asyncio.gather(*map(one, items))

    return asyncio.run(run())

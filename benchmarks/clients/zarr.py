"""zarr, on obstore where it is installed, else on s3fs."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import zarr

from benchmarks.clients.base import CHUNK, THREADS, Array, Client, Like
from benchmarks.place import Place


def chunks(array: Array) -> tuple[int, ...]:
    """Chunks of some 16 MB along the first axis, or all where it is smaller."""
    rows = max(1, CHUNK // max(1, array.nbytes // len(array)))
    return (min(rows, len(array)), *array.shape[1:])


def make_store(place: Place) -> Any:
    """A store of zarr, below the prefix: zarr writes to the root of its store, too."""
    try:
        from zarr.storage import ObjectStore

        from benchmarks.clients.obstore import make_store as make_obstore
    except ImportError:
        from zarr.storage import FsspecStore

        client = {"endpoint_url": place.endpoint, "region_name": place.region}
        options = {"client_kwargs": client, "use_listings_cache": False}
        return FsspecStore.from_url(f"s3://{place.bucket}/{place.prefix}", storage_options=options)
    return ObjectStore(make_obstore(place, place.prefix))


class Zarr(Client):
    """Arrays in chunks of 16 MB; many arrays are a group."""

    def connect(self) -> None:
        """Make a store."""
        self._store = make_store(self.place)

    def _path(self, key: str) -> str:
        return key.removeprefix(f"{self.place.prefix}/")

    def up(self, key: str, array: Array, packing: str) -> None:
        """Create an array and write it."""
        options: dict[str, Any] = {} if packing else {"compressors": None}
        created = zarr.create_array(
            self._store, name=self._path(key), shape=array.shape, dtype=array.dtype, chunks=chunks(array), **options
        )
        created[:] = array

    def down(self, key: str, like: Like, packing: str) -> Array:
        """Open an array and read it."""
        del like, packing
        stored: Any = zarr.open_array(self._store, path=self._path(key), mode="r")
        array: Array = stored[:]
        return array

    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Make a group, with several threads."""
        group = zarr.create_group(self._store, path=self._path(prefix))

        def create(name: str) -> None:
            group.create_array(name, data=arrays[name], compressors=None)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(create, arrays))

    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """Read a group, with several threads."""
        del like
        members = list(zarr.open_group(self._store, path=self._path(prefix), mode="r").arrays())
        with ThreadPoolExecutor(THREADS) as pool:
            return dict(pool.map(lambda member: (member[0], member[1][:]), members))

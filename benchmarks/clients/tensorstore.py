"""tensorstore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorstore

from benchmarks.clients.base import CHUNK, Array, Client, Like


class Tensorstore(Client):
    """Arrays in zarr's format, in chunks of 16 MB; many arrays are opened and written at once."""

    def connect(self) -> None:
        """Nothing: a spec tells all."""

    def _store(self, path: str) -> dict[str, Any]:
        place = self.place
        return {
            "driver": "s3",
            "bucket": place.bucket,
            "path": f"{path}/",
            "endpoint": place.endpoint,
            "aws_region": place.region,
            "aws_credentials": {"type": "environment"},
        }

    def _create(self, key: str, array: Array, packing: str) -> Any:
        codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        if packing:
            codecs.append({"name": packing, "configuration": {"level": 3}})
        rows = max(1, CHUNK // max(1, array.nbytes // len(array)))
        grid = {"chunk_shape": (min(rows, len(array)), *array.shape[1:])}
        metadata = {
            "shape": array.shape,
            "data_type": array.dtype.name,
            "codecs": codecs,
            "chunk_grid": {"name": "regular", "configuration": grid},
        }
        return tensorstore.open({"driver": "zarr3", "kvstore": self._store(key), "metadata": metadata}, create=True)

    def _open(self, key: str) -> Any:
        return tensorstore.open({"driver": "zarr3", "kvstore": self._store(key)}, open=True)

    def up(self, key: str, array: Array, packing: str) -> None:
        """Create an array and write it."""
        self._create(key, array, packing).result().write(array).result()

    def down(self, key: str, like: Like, packing: str) -> Array:
        """Open an array and read it."""
        del like, packing
        array: Array = self._open(key).result().read().result()
        return array

    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Create all, then write all."""
        created = [(self._create(f"{prefix}/{name}", array, ""), array) for name, array in arrays.items()]
        for writing in [opened.result().write(array) for opened, array in created]:
            writing.result()

    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """List, open all, then read all."""
        del like
        listed = tensorstore.KvStore.open(self._store(prefix)).result().list().result()
        names = sorted({key.decode().partition("/")[0] for key in listed})
        opened = [self._open(f"{prefix}/{name}") for name in names]
        reading = [array.result().read() for array in opened]
        return {name: array.result() for name, array in zip(names, reading, strict=True)}

"""s3fs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import s3fs

from benchmarks.clients.base import Array, BytesClient, Like, flat, name_of


class S3FS(BytesClient):
    """The file system, with its own calls for many files."""

    def connect(self) -> None:
        """Make a file system that remembers no listing."""
        place = self.place
        client = {"endpoint_url": place.endpoint, "region_name": place.region}
        self._fs: Any = s3fs.S3FileSystem(client_kwargs=client, use_listings_cache=False)

    def _path(self, key: str) -> str:
        return f"{self.place.bucket}/{key}"

    def put(self, key: str, data: memoryview | bytes) -> None:
        """Upload; it takes bytes only."""
        self._fs.pipe_file(self._path(key), bytes(data))

    def get(self, key: str) -> bytes:
        """Download bytes."""
        data: bytes = self._fs.cat_file(self._path(key))
        return data

    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Upload all at once."""
        self._fs.pipe({self._path(f"{prefix}/{name}"): bytes(flat(array)) for name, array in arrays.items()})

    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """List, then download all at once."""
        found = self._fs.cat(self.list(prefix))
        return {name_of(key): np.frombuffer(data, like.dtype).reshape(like.shape).copy() for key, data in found.items()}

    def list(self, prefix: str) -> Sequence[str]:
        """All files below a prefix."""
        paths: list[str] = self._fs.find(self._path(prefix))
        return paths

    def glob(self, pattern: str) -> Sequence[str]:
        """All files that match."""
        paths: list[str] = self._fs.glob(self._path(pattern))
        return paths

    def remove(self, prefix: str) -> None:
        """Remove a branch."""
        self._fs.rm(self._path(prefix), recursive=True)

"""cottoncandy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cottoncandy
from benchmarks.clients.base import Array, Client, Like


class Cottoncandy(Client):
    """The interface as anybody would use it."""

    def connect(self) -> None:
        """Open the bucket."""
        place = self.place
        more: dict[str, Any] = {"aws_session_token": place.token} if place.token else {}
        self._cci = cottoncandy.get_interface(
            place.bucket, place.access_key, place.secret_key, place.endpoint, verbose=False, **more
        )

    def up(self, key: str, array: Array, packing: str) -> None:
        """Upload a raw array."""
        compression = {"": False, "default": True}.get(packing, packing)
        self._cci.upload_raw_array(key, array, compression=compression)

    def down(self, key: str, like: Like, packing: str) -> Array:
        """Download a raw array."""
        del like, packing  # it knows
        array: Array = self._cci.download_raw_array(key)
        return array

    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Upload a tree."""
        self._cci.dict2cloud(prefix, dict(arrays), compression=False, verbose=False)

    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """Download a tree."""
        del like
        return dict(self._cci.cloud2dict(prefix, verbose=False))

    def list(self, prefix: str) -> Sequence[str]:
        """All names below a prefix."""
        return self._cci.glob(prefix)

    def glob(self, pattern: str) -> Sequence[str]:
        """All names that match."""
        return self._cci.glob(pattern)

    def remove(self, prefix: str) -> None:
        """Remove a branch."""
        self._cci.rm(prefix, recursive=True)

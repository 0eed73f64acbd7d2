"""minio."""

from __future__ import annotations

import io
from typing import Any

import minio
import urllib3
from minio.deleteobjects import DeleteObject

from benchmarks.clients.base import CHUNK, THREADS, BytesClient, fill


class Minio(BytesClient):
    """minio's client, with a pool as large as the threads."""

    def connect(self) -> None:
        """Make a client."""
        place = self.place
        self._client: Any = minio.Minio(
            endpoint=place.host,
            access_key=place.access_key,
            secret_key=place.secret_key,
            session_token=place.token or None,
            secure=place.is_encrypted,
            region=place.region,
            http_client=urllib3.PoolManager(maxsize=THREADS, ca_certs=place.authority or None),
        )

    def put(self, key: str, data: memoryview | bytes) -> None:
        """Upload from a file in memory."""
        self._client.put_object(
            bucket_name=self.place.bucket, object_name=key, data=io.BytesIO(data), length=len(data), part_size=CHUNK
        )

    def get(self, key: str) -> bytes:
        """Download bytes."""
        with self._response(key) as response:
            data: bytes = response.read()
            return data

    def get_into(self, key: str, memory: memoryview) -> None:
        """Download into memory."""
        with self._response(key) as response:
            fill(memory, response)

    def _response(self, key: str) -> Any:
        return self._client.get_object(bucket_name=self.place.bucket, object_name=key)

    def list(self, prefix: str) -> list[str]:
        """All names below a prefix."""
        entries = self._client.list_objects(bucket_name=self.place.bucket, prefix=f"{prefix}/", recursive=True)
        return [entry.object_name for entry in entries]

    def remove(self, prefix: str) -> None:
        """List, then delete in batches."""
        wanted = (DeleteObject(key) for key in self.list(prefix))
        if errors := list(self._client.remove_objects(bucket_name=self.place.bucket, delete_object_list=wanted)):
            raise OSError(str(errors[0]))

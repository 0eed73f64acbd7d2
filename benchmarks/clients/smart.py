"""smart_open."""

from __future__ import annotations

from typing import Any

import boto3
import smart_open
from botocore.config import Config

from benchmarks.clients.base import THREADS, BytesClient, fill


class SmartOpen(BytesClient):
    """Files that smart_open opens."""

    def connect(self) -> None:
        """Make the client that it uses."""
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS)
        self._s3: Any = boto3.client("s3", endpoint_url=self.place.endpoint, config=config)

    def _open(self, key: str, mode: str) -> Any:
        return smart_open.open(f"s3://{self.place.bucket}/{key}", mode, transport_params={"client": self._s3})

    def put(self, key: str, data: memoryview | bytes) -> None:
        """Write a file."""
        with self._open(key, "wb") as file:
            file.write(data)

    def get(self, key: str) -> bytes:
        """Read a file."""
        with self._open(key, "rb") as file:
            data: bytes = file.read()
            return data

    def get_into(self, key: str, memory: memoryview) -> None:
        """Read a file into memory."""
        with self._open(key, "rb") as file:
            fill(memory, file)

    def list(self, prefix: str) -> list[str]:
        """What boto3 lists: smart_open has no call that only lists."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=f"{prefix}/")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

"""boto3: as it is, and over the CRT."""

from __future__ import annotations

import io
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from benchmarks.clients.base import THREADS, BytesClient

_PATH_STYLE = Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS)
_MOST_IN_A_DELETE = 1000


class Memory(io.RawIOBase):
    """A file that is written into memory that is there."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._at = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        self._at = offset + (0, self._at, len(self._memory))[whence]
        return self._at

    def write(self, data: Any) -> int:
        """Write at this place."""
        self._memory[self._at : self._at + len(data)] = data
        self._at += len(data)
        return len(data)


class Boto(BytesClient):
    """boto3's managed transfers; single calls for small objects."""

    def connect(self) -> None:
        """Make a client."""
        self._s3: Any = boto3.client("s3", endpoint_url=self.place.endpoint, config=_PATH_STYLE)

    def put(self, key: str, data: memoryview | bytes) -> None:
        """Upload from a file in memory."""
        self._s3.upload_fileobj(io.BytesIO(data), self.place.bucket, key)

    def get(self, key: str) -> memoryview:
        """Download to a file in memory."""
        file = io.BytesIO()
        self._s3.download_fileobj(self.place.bucket, key, file)
        return file.getbuffer()

    def get_into(self, key: str, memory: memoryview) -> None:
        """Download to a file that is the memory."""
        self._s3.download_fileobj(self.place.bucket, key, Memory(memory))

    def put_small(self, key: str, data: memoryview) -> None:
        """Upload with one call."""
        self._s3.put_object(Bucket=self.place.bucket, Key=key, Body=bytes(data))

    def get_small(self, key: str, memory: memoryview) -> None:
        """Download with one call."""
        memory[:] = self._s3.get_object(Bucket=self.place.bucket, Key=key)["Body"].read()

    def list(self, prefix: str) -> list[str]:
        """All pages of a listing."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=f"{prefix}/")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def remove(self, prefix: str) -> None:
        """List, then delete in batches."""
        keys = self.list(prefix)
        for start in range(0, len(keys), _MOST_IN_A_DELETE):
            batch = [{"Key": key} for key in keys[start : start + _MOST_IN_A_DELETE]]
            self._s3.delete_objects(Bucket=self.place.bucket, Delete={"Objects": batch, "Quiet": True})


class BotoCrt(Boto):
    """The manager that boto3's ``preferred_transfer_client='crt'`` uses.

    boto3 itself gives it no endpoint of one's own, so it is made here as boto3 makes it.
    """

    def connect(self) -> None:
        """Make the manager."""
        from awscrt.auth import AwsCredentialsProvider
        from s3transfer.crt import BotocoreCRTRequestSerializer, CRTTransferManager, create_s3_crt_client

        super().connect()
        place = self.place
        keys = AwsCredentialsProvider.new_static(place.access_key, place.secret_key, place.token or None)
        client = create_s3_crt_client(
            place.region, crt_credentials_provider=keys, use_ssl=place.is_encrypted, verify=place.authority or None
        )
        options = {"region_name": place.region, "endpoint_url": place.endpoint, "config": _PATH_STYLE}
        serializer = BotocoreCRTRequestSerializer(botocore.session.get_session(), options)
        self._manager: Any = CRTTransferManager(client, serializer)

    def put(self, key: str, data: memoryview | bytes) -> None:
        """Upload from a file in memory."""
        self._manager.upload(io.BytesIO(data), self.place.bucket, key).result()

    def get(self, key: str) -> memoryview:
        """Download to a file in memory."""
        file = io.BytesIO()
        self._manager.download(self.place.bucket, key, file).result()
        return file.getbuffer()

    def get_into(self, key: str, memory: memoryview) -> None:
        """Download to a file that is the memory."""
        self._manager.download(self.place.bucket, key, Memory(memory)).result()

"""The stores that the tests run on: one registry, one face, and access behind the library's back."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from botocore.client import Config
from drive_store import drive_store
from raw import Raw
from recorder import RecordingProxy
from servers import Server, ServerPool

from cottoncandy.backends import backend_class
from cottoncandy.config import Options

if TYPE_CHECKING:
    from cottoncandy.backends.base import Backend
    from cottoncandy.interfaces import DefaultInterface

#: Whose connections lead to S3: our own, or botocore's (`lean_wire` in the configuration).
WIRES = ["lean", "botocore"]
#: For tests that run on both, whatever ``--wire`` says.
BOTH_WIRES = pytest.mark.parametrize("wire", WIRES, indirect=True)
#: Of boto3's DeleteObjects.
_MOST_KEYS_IN_A_DELETE = 1000


@dataclass
class RawBucket(Raw):
    client: Any
    bucket: str

    def put(self, key: str, body: bytes, metadata: Mapping[str, str] = {}) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=dict(metadata))

    def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key)
        except self.client.exceptions.NoSuchKey:
            raise KeyError(key) from None
        with answer["Body"] as body:
            return body.read(), answer["Metadata"]

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted((entry["Key"] for page in pages for entry in page.get("Contents", [])), key=str.encode)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def _uploads(self) -> Iterator[dict[str, Any]]:
        for page in self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
            yield from page.get("Uploads", [])

    def leftovers(self) -> list[str]:
        return [upload["Key"] for upload in self._uploads()]

    def remove(self) -> None:
        try:
            keys = self.keys()
        except self.client.exceptions.NoSuchBucket:
            return
        for start in range(0, len(keys), _MOST_KEYS_IN_A_DELETE):
            batch = [{"Key": key} for key in keys[start : start + _MOST_KEYS_IN_A_DELETE]]
            self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
        for upload in self._uploads():
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        try:
            self.client.delete_bucket(Bucket=self.bucket)
        except self.client.exceptions.ClientError:
            self._remove_versions()
            self.client.delete_bucket(Bucket=self.bucket)

    def _remove_versions(self) -> None:
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                self.client.delete_object(Bucket=self.bucket, Key=entry["Key"], VersionId=entry["VersionId"])


@dataclass
class RawDirectory(Raw):
    root: Path

    def put(self, key: str, body: bytes, metadata: Mapping[str, str] = {}) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        if metadata:
            self._sidecar(key).write_text(json.dumps(metadata))

    def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        path, sidecar = self.root / key, self._sidecar(key)
        if not path.is_file():
            raise KeyError(key)
        return path.read_bytes(), json.loads(sidecar.read_text()) if sidecar.exists() else {}

    def keys(self, prefix: str = "") -> list[str]:
        names = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        objects = (name for name in names if name.startswith(prefix) and not name.endswith(".meta.json"))
        return sorted(objects, key=str.encode)

    def delete(self, key: str) -> None:
        (self.root / key).unlink()
        self._sidecar(key).unlink(missing_ok=True)

    def leftovers(self) -> list[str]:
        paths = [path for path in self.root.rglob("*") if self._is_left_over(path)]
        return [path.relative_to(self.root).as_posix() for path in paths]

    def _is_left_over(self, path: Path) -> bool:
        if path.is_dir():
            return not any(path.iterdir())
        return path.name.endswith(".meta.json") and not Path(str(path).removesuffix(".meta.json")).exists()

    def _sidecar(self, key: str) -> Path:
        return self.root / f"{key}.meta.json"

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass
class Store:
    """A fresh container of one store, and how to reach it.

    Attributes
    ----------
    name : str
        Of the registry `STORES`.
    container : str
        The bucket's name, or the directory.
    raw : Raw
        Access behind the library's back.
    access : dict
        The arguments of `Backend.connect` that lead here, and of the library that it uses (``verify``...).
    """

    name: str
    backend_name: str
    container: str
    raw: Raw
    access: dict[str, Any]
    server: Server | None
    make: Callable[[], Store]
    _opened: list[Any] = field(default_factory=list)

    @property
    def quirks(self) -> frozenset[str]:
        """What this store cannot do, or does otherwise than Amazon's: names of `QUIRKS`."""
        return frozenset(_QUIRKS_OF[self.name])

    @property
    def arguments(self) -> dict[str, Any]:
        """What of ``access`` is given to `get_interface`, by its names there."""
        names = {"access_key": "ACCESS_KEY", "secret_key": "SECRET_KEY"}
        return {names.get(name, name): value for name, value in self.access.items()}

    def give_keys(self, environment: pytest.MonkeyPatch) -> None:
        """Have the keys to it in the environment, as boto3 looks for them."""
        environment.setenv("AWS_ACCESS_KEY_ID", self.access["access_key"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", self.access["secret_key"])

    def backend(self, **changes: Any) -> Backend:
        """A new backend bound to the container; ``changes`` go to `Backend.connect`."""
        arguments = {"container": self.container, "options": Options.load(create=False)} | self.access | changes
        backend = backend_class(self.backend_name).connect(**arguments)
        self._opened.append(backend)
        return backend

    def interface(self, **changes: Any) -> DefaultInterface:
        """A new interface on the container; ``changes`` go to `get_interface`."""
        from cottoncandy import get_interface

        named = {"bucket_name": self.container, "backend": self.backend_name, "verbose": False}
        arguments = named | self.arguments | changes
        interface = get_interface(**arguments)
        self._opened.append(interface.backend_interface)
        return interface

    def second_container(self) -> Store:
        """Another fresh container of the same store."""
        second = self.make()
        self._opened.append(second)
        return second

    def has(self, quirk: str) -> bool:
        """Whether the store has a quirk."""
        return self.name not in stores_without(quirk)

    def close(self) -> None:
        """Close what was opened, remove the container."""
        for opened in self._opened:
            opened.close()
        self.raw.remove()


class Recorded(NamedTuple):
    """A store, and the proxy that the library reaches it through; `Store.raw` goes past the proxy."""

    store: Store
    proxy: RecordingProxy


#: What a store cannot do, or does otherwise than Amazon's.
QUIRKS = {
    "no-acl": "has no ACLs, or takes them and forgets them",
    "no-backslash": r"takes a \ in a key for a /",
    "no-newline": "a key with a line feed fails",
    "no-file-and-directory": "`a` and `a/b` cannot both be objects",
    "no-long-component": "a part of a key between two / has at most 255 bytes",
    "empty-metadata-lost": "a metadata key with an empty value is lost",
    "metadata-underscore": "`_` in a metadata key comes back as `-`",
    "no-conditional-complete": "completing a multipart upload passes over If-None-Match",
    "no-conditional-put": "refuses a PUT with If-None-Match, as not implemented",
    "short-metadata": "a metadata value has at most 256 bytes: longer ones fail as an InternalError",
    "no-checks": "verifies neither signatures nor checksums nor permissions",
    "no-containers": "has no buckets: the container is a folder, made by the first write, and `container` is None",
}

_QUIRKS_OF = {
    "local": {"no-acl", "no-file-and-directory", "no-long-component"},
    "moto": {"no-checks", "no-newline"},
    "seaweedfs": {"no-acl", "no-backslash", "no-long-component", "empty-metadata-lost"},
    "ceph": {"metadata-underscore", "no-conditional-complete"},
    "ceph-tls": {"metadata-underscore", "no-conditional-complete"},
    "swift": {"no-acl", "no-conditional-put", "no-conditional-complete", "short-metadata"},
    "gdrive": {"no-acl", "no-containers"},
}


def stores_without(quirk: str) -> list[str]:
    """The names of the stores that do not have a quirk; a misspelt one is an error."""
    if quirk not in QUIRKS:
        raise ValueError(f"there is no quirk {quirk!r}; there are: {', '.join(sorted(QUIRKS))}")
    return [name for name in STORES if quirk not in _QUIRKS_OF[name]]


@lru_cache
def s3_client(server: Server) -> Any:
    """A plain boto3 client of the server's main user."""
    return _new_client(server)


@lru_cache
def _raw_client(server: Server) -> Any:
    """One that gives Swift what botocore has given up for newer checksums."""
    client = _new_client(server)
    client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
    return client


def _add_md5(params: dict[str, Any], **_: object) -> None:
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _new_client(server: Server) -> Any:
    # checksums that older servers do not know are left out; botocore before 1.36 sends none, and has no such options
    checksums = {"request_checksum_calculation", "response_checksum_validation"} & set(Config.OPTION_DEFAULTS)
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        **dict.fromkeys(checksums, "when_required"),
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        verify=server.ca_bundle,
        config=config,
    )


def s3_store(server: Server, endpoint: str | None = None) -> Store:
    """A fresh bucket of a server; ``endpoint`` leads the library there by another way (a `RecordingProxy`)."""
    client, bucket = _raw_client(server), f"cc-{uuid.uuid4().hex[:16]}"
    client.create_bucket(Bucket=bucket)
    access = {
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "endpoint_url": endpoint or server.endpoint,
    }
    if server.ca_bundle:
        access["verify"] = server.ca_bundle
    raw = RawBucket(client, bucket)
    return Store(server.name, "s3", bucket, raw, access, server, lambda: s3_store(server, endpoint))


def local_store(folder: Path) -> Store:
    """A fresh directory."""
    root = folder / f"cc-{uuid.uuid4().hex[:16]}"
    root.mkdir()
    access = dict.fromkeys(("access_key", "secret_key", "endpoint_url"))
    return Store("local", "local", str(root), RawDirectory(root), access, None, lambda: local_store(folder))


def _over_tls(server: Server) -> Server:
    if server.tls is None:
        raise ValueError(f"{server.name} has no https endpoint")
    return server.tls


#: How to make a fresh container of each store. A new kind of store is one more line here, and one
#: in _QUIRKS_OF.
STORES: dict[str, Callable[[ServerPool, Path], Store]] = {
    "local": lambda _, folder: local_store(folder),
    "moto": lambda servers, _: s3_store(servers.get("moto")),
    "seaweedfs": lambda servers, _: s3_store(servers.get("seaweedfs")),
    "ceph": lambda servers, _: s3_store(servers.get("ceph")),
    "ceph-tls": lambda servers, _: s3_store(_over_tls(servers.get("ceph"))),
    "swift": lambda servers, _: s3_store(servers.get("swift")),
    "gdrive": lambda *_: drive_store(Store),
}


def table_of(store: Store, name: str) -> dict[str, Any]:
    """What the table of an array in parts says."""
    table: dict[str, Any] = json.loads(store.raw.get(f"{name}/metadata.json")[0])
    return table

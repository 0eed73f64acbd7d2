"""The gdrive store of the tests: a fake Drive of its own, and a folder on it in the place of a bucket."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_drive import FOLDER, FakeDrive, Item
from raw import Raw

from cottoncandy.retry import RetryPolicy

if TYPE_CHECKING:
    from stores import Store

#: Tries as often as the default one, and does not wait for it.
QUICK = RetryPolicy(attempts=8, base=0.001, cap=0.01, total=30.0)
_PIECE = re.compile(r"#\d+")


@dataclass
class RawFolder(Raw):
    """A folder as the service has it."""

    drive: FakeDrive
    folder: str
    owns_drive: bool = True

    def put(self, key: str, body: bytes, metadata: Mapping[str, str] = {}) -> None:
        with self.drive.items.lock:
            if (item := self._files().get(key)) is None:
                self.drive.put(key, body, metadata, self.folder)
                return
            change = {"properties": dict.fromkeys(item.properties) | dict(metadata)}
            self.drive.items.change(item.id, change, body, {"supportsAllDrives": "true"})

    def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        item = self._files()[key]
        return bytes(item.content or b""), unpacked(item.properties)

    def keys(self, prefix: str = "") -> list[str]:
        return sorted((key for key in self._files() if key.startswith(prefix)), key=str.encode)

    def delete(self, key: str) -> None:
        self.drive.items.delete(self._files()[key].id)

    def leftovers(self) -> list[str]:
        below = self.drive.below(self.folder)
        empty = [path for path, items in below.items() for item in items if self._is_empty_folder(item)]
        doubled = [path for path, items in below.items() if len(items) > 1]
        return [*empty, *doubled, *(f"session of {s.body.get('name')}" for s in self.drive.sessions.open_ones())]

    def _is_empty_folder(self, item: Item) -> bool:
        return item.type == FOLDER and not self.drive.inside(item.id)

    def _files(self) -> dict[str, Item]:
        return {path: items[0] for path, items in self.drive.below(self.folder).items() if items[0].type != FOLDER}

    def remove(self) -> None:
        if self.owns_drive:
            self.drive.close()
            if self.drive.crashes:
                raise AssertionError("\n".join(self.drive.crashes))


def unpacked(properties: Mapping[str, str]) -> dict[str, str]:
    """The metadata in properties, by the documented layout: long entries are JSON in the pieces #0, #1..."""
    plain = {name: value for name, value in properties.items() if not _PIECE.fullmatch(name)}
    text = "".join(properties[f"#{index}"] for index in range(len(properties) - len(plain)))
    return plain | (json.loads(text) if text else {})


def drive_store(make: Callable[..., Store], drive: FakeDrive | None = None) -> Store:
    """A fresh folder; on a drive of its own, or on one that is there."""
    owns_drive, drive = drive is None, drive or FakeDrive()
    name = f"cc-{uuid.uuid4().hex[:16]}"
    raw = RawFolder(drive, drive.folder(name), owns_drive)
    access: dict[str, Any] = {"access_key": None, "secret_key": None, "endpoint_url": drive.url}
    access |= {"credentials": drive.credentials(), "retry": QUICK}
    return make("gdrive", "gdrive", name, raw, access, None, lambda: drive_store(make, drive))


@lru_cache
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


def write_key_file(drive: FakeDrive, path: Path) -> None:
    """The key file of a service account."""
    account = {
        "type": "service_account",
        "client_email": "robot@project.iam.example.org",
        "private_key": private_key(),
        "token_uri": f"{drive.url}/token",
    }
    path.write_text(json.dumps(account))


def sign_a_reader_in(drive: FakeDrive, folder: Path) -> None:
    """What an earlier sign-in left in the configuration's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "client_secrets.json").write_text(json.dumps(drive.client_secrets()))
    (folder / "credentials.txt").write_text(drive.credentials().to_json())
    (folder / "credentials.txt").chmod(0o600)

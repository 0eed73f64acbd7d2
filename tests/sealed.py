"""The encrypted format, read and written a second time: from the docs' page alone, in as few lines as it takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from stores import Raw

NAME = "cottoncandy encryption 1"


def expand(key: bytes, purpose: str, size: int) -> bytes:
    return HKDFExpand(SHA256(), size, f"{NAME} {purpose}".encode()).derive(key)


def key_id(key: bytes) -> str:
    return expand(key, "key id", 8).hex()


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def opened(key: bytes, sealed: bytes, purpose: str) -> bytes:
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], f"{NAME} {purpose}".encode())


def closed(key: bytes, plain: bytes, purpose: str, nonce: bytes) -> bytes:
    return nonce + AESGCM(key).encrypt(nonce, plain, f"{NAME} {purpose}".encode())


def place(number: int, last: bool) -> bytes:
    return number.to_bytes(8, "big") + bytes([last])


def decrypt(key: bytes, body: bytes, metadata: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """An object as it lies in the store: its plain bytes and metadata."""
    version, owner, segment, wrapped, sealed = metadata["cc-encryption"].split(".")
    assert (version, owner) == ("1", key_id(key))
    data_key = opened(expand(key, "wrapping key", 32), unpacked(wrapped), f"object key, segments of {segment}")
    step = int(segment) + 28
    pieces = [body[start : start + step] for start in range(0, len(body), step)]
    assert len(pieces[-1]) < step
    plain = [
        AESGCM(data_key).decrypt(piece[:12], piece[12:], place(i, i == len(pieces) - 1))
        for i, piece in enumerate(pieces)
    ]
    return b"".join(plain), json.loads(opened(data_key, unpacked(sealed), "metadata"))


def encrypt(
    key: bytes, body: bytes, metadata: Mapping[str, str], segment: int, data_key: bytes, nonces: list[bytes]
) -> tuple[bytes, dict[str, str]]:
    """What lies in the store; the first two nonces are those of the key and of the metadata."""
    wrapped = closed(expand(key, "wrapping key", 32), data_key, f"object key, segments of {segment}", nonces[0])
    text = json.dumps(dict(metadata), separators=(",", ":")).encode()
    sealed = closed(data_key, text, "metadata", nonces[1])
    count = len(body) // segment + 1
    stored = b"".join(
        nonce + AESGCM(data_key).encrypt(nonce, body[i * segment : (i + 1) * segment], place(i, i == count - 1))
        for i, nonce in zip(range(count), nonces[2:], strict=True)
    )
    mark = ".".join(["1", key_id(key), str(segment), packed(wrapped), packed(sealed)])
    return stored, {"cc-encryption": mark}


class DecryptedRaw(Raw):
    """A container as its store shows it to somebody who has the key."""

    def __init__(self, raw: Raw, key: bytes) -> None:
        self.raw, self.key = raw, key

    def put(self, key: str, body: bytes, metadata: Mapping[str, str] = {}) -> None:
        self.raw.put(key, body, metadata)  # a plain object beside the others

    def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        body, metadata = self.raw.get(key)
        return decrypt(self.key, body, metadata) if "cc-encryption" in metadata else (body, metadata)

    def keys(self, prefix: str = "") -> list[str]:
        return self.raw.keys(prefix)

    def delete(self, key: str) -> None:
        self.raw.delete(key)

    def leftovers(self) -> list[str]:
        return self.raw.leftovers()

    def remove(self) -> None:
        self.raw.remove()

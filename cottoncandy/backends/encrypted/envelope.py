"""What an encrypted object's metadata say: its key, wrapped by the user's, and the user's metadata, sealed by it.

One entry, the mark, of five fields joined by full stops: ``1.KEY-ID.SEGMENT.WRAPPED-KEY.SEALED-METADATA``. The last two
are ``nonce (12) | cipher text | tag (16)`` of AES-256-GCM as URL-safe base64 without padding.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cottoncandy.backends.encrypted.keys import KEY_SIZE, EncryptionKeys, UserKey, aead
from cottoncandy.backends.encrypted.segments import LARGEST_SEGMENT, NONCE, Layout, Segments
from cottoncandy.errors import DecryptionError, WrongKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORM = re.compile(r"1\.([0-9a-f]{16})\.([1-9][0-9]{0,8})\.([\w-]{80})\.([\w-]{38,})", re.ASCII)
_METADATA = b"cottoncandy encryption 1 metadata"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the mark of an object says.

    Attributes
    ----------
    key_id : str
        Of the user's key that wraps the object's.
    segment : int
        Bytes of the plain text in a full segment.
    wrapped, sealed : bytes
        The object's key, and the user's metadata.
    """

    key_id: str
    segment: int
    wrapped: bytes
    sealed: bytes

    @classmethod
    def parse(cls, text: str, where: str) -> Envelope:
        """Read a mark.

        Raises
        ------
        DecryptionError
            If it is none that this release knows.
        """
        found = _FORM.fullmatch(text.strip())
        # base64 has no text of 4n + 1 digits
        if found is None or int(found[2]) > LARGEST_SEGMENT or len(found[4]) % 4 == 1:
            raise DecryptionError(f"{where} is marked as encrypted in a way that is not known here: {text[:40]!r}")
        return cls(found[1], int(found[2]), _bytes(found[3]), _bytes(found[4]))

    def __str__(self) -> str:
        return f"1.{self.key_id}.{self.segment}.{_text(self.wrapped)}.{_text(self.sealed)}"

    @property
    def seal(self) -> str:
        """What tells this object from all others: its metadata, sealed by its own key. A new user key leaves it."""
        return hashlib.sha256(self.sealed).hexdigest()

    def open(self, keys: EncryptionKeys, where: str) -> tuple[Segments, dict[str, str]]:
        """The object's segments, and the user's metadata.

        Raises
        ------
        WrongKey
        DecryptionError
        """
        cipher = aead(self._unwrap(keys, where))
        text = _unsealed(cipher, self.sealed, _METADATA, f"{where}: its encrypted metadata were changed")
        metadata: dict[str, str] = json.loads(text)
        return Segments(cipher, Layout(self.segment)), metadata

    def rewrapped(self, keys: EncryptionKeys, where: str) -> Envelope:
        """The same, wrapped by the current key; the object's own key, and so its bytes, stay."""
        secret = self._unwrap(keys, where)
        return replace(self, key_id=keys.current.id, wrapped=_wrapped(keys.current, secret, self.segment))

    def _unwrap(self, keys: EncryptionKeys, where: str) -> bytes:
        key = keys.find(self.key_id)
        if key is None:
            raise WrongKey(
                f"{where} is encrypted with the key {self.key_id}, and what is at hand is {keys}: "
                "add that key to the older ones"
            )
        reason = f"{where}: its wrapped key was changed"
        return _unsealed(key.wrapping, self.wrapped, _wrapping(self.segment), reason)


def new_envelope(keys: EncryptionKeys, segment: int, metadata: Mapping[str, str]) -> tuple[Segments, Envelope]:
    """The segments of a new object under a key of its own, and what its metadata say."""
    secret = os.urandom(KEY_SIZE)
    cipher = aead(secret)
    sealed = _sealed(cipher, json.dumps(dict(metadata), separators=(",", ":")).encode(), _METADATA)
    wrapped = _wrapped(keys.current, secret, segment)
    return Segments(cipher, Layout(segment)), Envelope(keys.current.id, segment, wrapped, sealed)


def _wrapped(key: UserKey, secret: bytes, segment: int) -> bytes:
    return _sealed(key.wrapping, secret, _wrapping(segment))


def _wrapping(segment: int) -> bytes:
    return b"cottoncandy encryption 1 object key, segments of %d" % segment


def _sealed(cipher: AESGCM, plain: bytes, purpose: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + cipher.encrypt(nonce, plain, purpose)


def _unsealed(cipher: AESGCM, sealed: bytes, purpose: bytes, reason: str) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(sealed[:NONCE], sealed[NONCE:], purpose)
    except InvalidTag:
        raise DecryptionError(reason) from None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

"""The user's keys: where they come from, and the wrapping of the objects' own keys."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cottoncandy.config import Options
from cottoncandy.configfiles import warn_if_public
from cottoncandy.errors import ConfigurationError
from cottoncandy.extras import with_extra
from cottoncandy.redaction import Secret, hidden

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Bytes of a key, the user's and an object's: AES-256.
KEY_SIZE = 32
_ID = b"cottoncandy encryption 1 key id"
_WRAPPING = b"cottoncandy encryption 1 wrapping key"
_ID_SIZE = 8
_WHAT_A_KEY_IS = "an encryption key is 32 bytes, or their base64 text as cottoncandy.generate_encryption_key() makes it"


def generate_encryption_key() -> str:
    """Make a new key: 32 random bytes of the system, as base64 text.

    Without it the data are lost: keep it in two places, neither of them the store.

    Returns
    -------
    str
        44 characters.

    Examples
    --------
    >>> import cottoncandy as cc
    >>> key = cc.generate_encryption_key()
    >>> safe = cc.get_interface('my_store', backend='local', verbose=False, encryption_key=key)
    >>> response = safe.upload_object('diary.txt', b'slept well')
    >>> safe.download_object('diary.txt')
    b'slept well'
    """
    import secrets

    return base64.b64encode(secrets.token_bytes(KEY_SIZE)).decode()


def aead(key: bytes) -> AESGCM:
    """AES-256-GCM with a key.

    Raises
    ------
    ConfigurationError
        If the library is not installed.
    """
    module = with_extra("cryptography.hazmat.primitives.ciphers.aead", "encryption")
    if not hasattr(module.AESGCM, "decrypt_into"):
        raise ConfigurationError("encryption needs cryptography 47 or later: pip install 'cottoncandy[encryption]'")
    cipher: AESGCM = module.AESGCM(key)
    return cipher


def _derived(secret: bytes, purpose: bytes, size: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869): what is known of one purpose tells nothing of another, or of the key."""
    hashes = with_extra("cryptography.hazmat.primitives.hashes", "encryption")
    module = with_extra("cryptography.hazmat.primitives.kdf.hkdf", "encryption")
    derived: bytes = hidden(module.HKDFExpand(hashes.SHA256(), size, purpose).derive(secret))
    return derived


def _secret(key: object) -> bytes:
    """The bytes of a key as the user has it. No error quotes it."""
    if isinstance(key, str):
        try:
            key = hidden(base64.b64decode(key.strip().translate({ord("-"): "+", ord("_"): "/"}), validate=True))
        except ValueError:
            raise ConfigurationError(_WHAT_A_KEY_IS) from None
    if not isinstance(key, (bytes, bytearray, memoryview)) or len(key) != KEY_SIZE:
        raise ConfigurationError(_WHAT_A_KEY_IS)
    return hidden(bytes(key))


class UserKey:
    """One key of the user.

    Attributes
    ----------
    id : str
        16 hexadecimal digits that tell keys apart and reveal nothing of them.
    wrapping : AESGCM
        What wraps the keys of objects.
    """

    __slots__ = ("id", "wrapping")

    def __init__(self, secret: bytes) -> None:
        self.id = _derived(secret, _ID, _ID_SIZE).hex()
        self.wrapping = aead(_derived(secret, _WRAPPING, KEY_SIZE))


class EncryptionKeys:
    """The key that new objects are encrypted with, and older ones that still open what they once closed.

    It travels in a pickle, as it was passed by hand; keys that were found in the configuration are looked up again
    where the pickle is opened. No repr, log or error shows a key.

    Parameters
    ----------
    current : bytes or str
        32 bytes, or their base64 text.
    *older : bytes or str

    Attributes
    ----------
    current : UserKey

    Examples
    --------
    >>> old, new = cc.generate_encryption_key(), cc.generate_encryption_key()
    >>> keys = cc.EncryptionKeys(new, old)
    >>> cci = cc.get_interface('my_store', backend='local', verbose=False, encryption_key=keys)
    """

    # of one that could not be made, a traceback that shows variables asks for the repr
    _user_keys: tuple[UserKey, ...] = ()

    def __init__(self, current: bytes | str, *older: bytes | str) -> None:
        current, older = hidden(current), tuple(map(hidden, older))
        given = [_secret(key) for key in (current, *older)]
        texts = tuple(Secret(base64.b64encode(secret).decode()) for secret in given)
        self._remade: tuple[Callable[..., EncryptionKeys], tuple[Any, ...]] = (EncryptionKeys, texts)
        self._user_keys = tuple(UserKey(secret) for secret in given)
        self.current = self._user_keys[0]

    def find(self, key_id: str) -> UserKey | None:
        """The key of that id, if it is one of these."""
        return next((key for key in self._user_keys if key.id == key_id), None)

    def remade_by(self, remake: Callable[..., EncryptionKeys], *arguments: Any) -> EncryptionKeys:
        """The same keys; a pickle of them holds this call in their place."""
        twin = object.__new__(EncryptionKeys)
        twin.current, twin._user_keys, twin._remade = self.current, self._user_keys, (remake, arguments)
        return twin

    def __reduce__(self) -> tuple[Callable[..., EncryptionKeys], tuple[Any, ...]]:
        return self._remade

    def __repr__(self) -> str:
        return f"<EncryptionKeys {', '.join(dict.fromkeys(key.id for key in self._user_keys))}>"


#: What ``encryption_key=`` takes.
KeySource = bytes | str | EncryptionKeys | Callable[[], bytes | str | EncryptionKeys]


def gather_keys(source: KeySource | None, options: Options) -> EncryptionKeys | None:
    """The keys that an argument names, else those of the configuration; None where there are none.

    Raises
    ------
    ConfigurationError
    """
    if source is None:
        return _found(options)
    if callable(source):
        return _called(source)
    return source if isinstance(source, EncryptionKeys) else EncryptionKeys(source)


def _called(source: Callable[[], bytes | str | EncryptionKeys]) -> EncryptionKeys:
    """The keys that a function gives; what travels in a pickle is the function."""
    given = source()
    keys = given if isinstance(given, EncryptionKeys) else EncryptionKeys(given)
    return keys.remade_by(_called, source)


def _found(options: Options) -> EncryptionKeys | None:
    """The keys of the configuration; they do not travel."""
    key, file_name = options.text("encryption", "key"), options.text("encryption", "key_file")
    path = options.resolve(file_name) if file_name else None
    texts = ([key] if key else []) + (_read(path) if path else [])
    if not texts:
        return None
    try:
        return EncryptionKeys(*texts).remade_by(_found_again)
    except ConfigurationError as error:
        places = [*([options.describe("encryption", "key")] if key else []), *([f"key_file {path}"] if path else [])]
        raise ConfigurationError(f"{' or '.join(places)}: {error}") from None


def _found_again() -> EncryptionKeys:
    keys = _found(Options.load())
    if keys is None:
        raise ConfigurationError(
            "what was pickled had its encryption key from the configuration, and there is none here: "
            "set [encryption] key_file, or pass the key by hand before pickling"
        )
    return keys


def _read(path: Path) -> list[str]:
    """The keys of a file, one a line; the first is the current one."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"[encryption] key_file {path} cannot be read: {type(error).__name__}") from None
    warn_if_public(path)
    found: list[str] = [Secret(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise ConfigurationError(f"[encryption] key_file {path} holds no key: one a line, the current one first")
    return found

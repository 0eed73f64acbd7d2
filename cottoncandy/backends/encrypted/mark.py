"""How an encrypted object is told from a plain one: by an entry of its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from cottoncandy.backends.base import Backend, ObjectHead
from cottoncandy.errors import WrongKey

#: The one metadata entry of an encrypted object; letters and `-` only, which no server changes but for their case.
MARK = "cc-encryption"


def find_mark(metadata: Mapping[str, str]) -> str | None:
    """What the mark says; None for a plain object."""
    name = _marked(tuple(metadata))
    return None if name is None else metadata[name]


# every read passes here, and objects that are read one after the other have few different ones
@lru_cache(maxsize=256)
def _marked(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name.lower() == MARK), None)


def refuse_mark(names: Iterable[str], describe: Callable[[], str]) -> None:
    """Refuse a caller's metadata of this name: nobody could read the object, which looks encrypted and is not.

    Raises
    ------
    ValueError
        With what ``describe`` says of the object.
    """
    if _marked(tuple(names)) is not None:
        raise ValueError(f"{describe()}: metadata {MARK}: encrypted objects are told by that name; take another")


def refuse_encrypted(backend: Backend, head: ObjectHead) -> None:
    """Refuse an object that is encrypted, where nothing decrypts it.

    Raises
    ------
    WrongKey
    """
    if find_mark(head.metadata) is not None:
        raise WrongKey(
            f"{backend.describe(head.key)} is encrypted, and no key is at hand: "
            "pass get_interface(encryption_key=...), or set [encryption] key_file"
        )

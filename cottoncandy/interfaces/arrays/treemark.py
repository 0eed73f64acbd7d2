"""What tells of a leaf which tree it is of, and how many that one has: in its metadata. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from cottoncandy import keys
from cottoncandy.arrayformat import lowered
from cottoncandy.chunkedarrays.names import VERSION

#: The metadata key of leaves that dict2cloud wrote: how many components of their name lie below the tree's root, a
#: digest of the root's name, which tells a leaf that was copied from another tree, and how many leaves the tree has.
MARK = "tree"


class Origin(NamedTuple):
    """The call of `dict2cloud` that a leaf came with.

    Attributes
    ----------
    root : str
        The tree's name.
    version : str or None
        The mark of the upload.
    total : int
        Leaves of the tree; 0 where that was not noted.
    """

    root: str
    version: str | None
    total: int


def mark(key: str, root: str, count: int) -> dict[str, str]:
    """The metadata that `origin` reads."""
    return {MARK: f"{_depth(key, root)}-{_digest(root)}-{count}"}


def origin(key: str, metadata: Mapping[str, str]) -> Origin | None:
    """Where an object comes from; None for what is no leaf of a tree, or was copied from one."""
    facts = lowered(metadata)
    levels, _, rest = facts.get(MARK, "").partition("-")
    digest, _, count = rest.partition("-")
    parts = key.split(keys.SEPARATOR)
    if not levels.isdecimal() or not 0 < int(levels) < len(parts):
        return None
    root = keys.SEPARATOR.join(parts[: -int(levels)])
    return Origin(root, facts.get(VERSION), int(count) if count.isdecimal() else 0) if _digest(root) == digest else None


def is_leaf(metadata: Mapping[str, str], key: str, root: str) -> bool:
    """Whether `dict2cloud` wrote it, for this root or one above it."""
    # deeper: the leaf is of a tree that this one is a branch of
    levels = lowered(metadata).get(MARK, "").partition("-")[0]
    return levels.isdecimal() and int(levels) >= _depth(key, root)


def _depth(key: str, root: str) -> int:
    """How many components of a leaf's name lie below the root."""
    return key.removeprefix(f"{root}/").count("/") + 1


@lru_cache
def _digest(root: str) -> str:
    """A root's name in metadata, which take ASCII only."""
    return hashlib.sha256(root.encode()).hexdigest()[:8]

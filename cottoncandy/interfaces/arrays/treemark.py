"""The metadata of a leaf that tell which tree it belongs to, and how many leaves that tree has. Pure functions.

A reader sees by them whether all leaves came with one call of `dict2cloud`; a writer, which old leaves it may remove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from cottoncandy import keys
from cottoncandy.arrayformat import lowered
from cottoncandy.chunkedarrays.names import VERSION

#: The metadata key of leaves that dict2cloud wrote. Its value is DEPTH-DIGEST-COUNT: how many components of the leaf's
#: name lie below the tree's root; a digest of the root's name, by which a leaf that was copied elsewhere is told; and
#: how many leaves the tree has.
MARK = "tree"


class Origin(NamedTuple):
    """The call of `dict2cloud` that a leaf came with.

    Attributes
    ----------
    root : str
        The tree's name.
    version : str or None
        The version of that upload.
    total : int
        How many leaves the tree has; 0 where that was not noted.
    """

    root: str
    version: str | None
    total: int


def mark(key: str, root: str, count: int) -> dict[str, str]:
    """The metadata that `origin` reads."""
    return {MARK: f"{_depth(key, root)}-{_digest(root)}-{count}"}


def origin(key: str, metadata: Mapping[str, str]) -> Origin | None:
    """The upload that an object came with; None for what is no leaf of a tree, or is a copy of one elsewhere."""
    facts = lowered(metadata)
    levels, _, rest = facts.get(MARK, "").partition("-")
    digest, _, count = rest.partition("-")
    parts = key.split(keys.SEPARATOR)
    if not levels.isdecimal() or not 0 < int(levels) < len(parts):
        return None
    root = keys.SEPARATOR.join(parts[: -int(levels)])
    return Origin(root, facts.get(VERSION), int(count) if count.isdecimal() else 0) if _digest(root) == digest else None


def is_leaf(metadata: Mapping[str, str], key: str, root: str) -> bool:
    """Whether `dict2cloud` wrote the object as a leaf of the tree of this root, or of a root above it."""
    # deeper than this root: a leaf of a larger tree, of which this one is a branch
    levels = lowered(metadata).get(MARK, "").partition("-")[0]
    return levels.isdecimal() and int(levels) >= _depth(key, root)


def _depth(key: str, root: str) -> int:
    """How many components of a leaf's name lie below the root."""
    return key.removeprefix(f"{root}/").count("/") + 1


@lru_cache
def _digest(root: str) -> str:
    """A root's name as metadata can hold it: they take ASCII only."""
    return hashlib.sha256(root.encode()).hexdigest()[:8]

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

#: The metadata key of leaves that dict2cloud wrote. Its value is DEPTH-DIGEST-COUNT-DIGEST: how many components of the
#: leaf's name lie below the tree's root; a digest of the root's name; how many leaves the tree has; and a digest of the
#: name below the root. By the digests a leaf that was copied or renamed is told from one that is where it was written.
MARK = "tree"


class Origin(NamedTuple):
    """The call of `dict2cloud` that a leaf came with.

    Attributes
    ----------
    root : str
        The tree's name, if the leaf lies where it was written.
    digest : str
        The digest of the name that the root had when the leaf was written.
    version : str or None
        The version of that upload.
    total : int
        How many leaves the tree has; 0 where that was not noted.
    """

    root: str
    digest: str
    version: str | None
    total: int

    @property
    def is_moved(self) -> bool:
        """Whether the leaf was written for another root: it was copied, alone or with its tree."""
        return _digest(self.root) != self.digest


def mark(key: str, root: str, count: int) -> dict[str, str]:
    """The metadata that `origin` reads."""
    return {MARK: f"{_depth(key, root)}-{_digest(root)}-{count}-{_digest(key.removeprefix(f'{root}/'))}"}


def claimed(key: str, metadata: Mapping[str, str]) -> Origin | None:
    """The upload that an object came with, also if its tree was copied here; None if its name in the tree changed."""
    facts = lowered(metadata)
    levels, _, rest = facts.get(MARK, "").partition("-")
    digest, count, below = [*rest.split("-"), "", ""][:3]
    parts = key.split(keys.SEPARATOR)
    if not levels.isdecimal() or not 0 < int(levels) < len(parts):
        return None
    root, name = (keys.SEPARATOR.join(some) for some in (parts[: -int(levels)], parts[-int(levels) :]))
    if below and below != _digest(name):
        return None
    return Origin(root, digest, facts.get(VERSION), int(count) if count.isdecimal() else 0)


def origin(key: str, metadata: Mapping[str, str]) -> Origin | None:
    """The upload that an object came with; None for what is no leaf of a tree, or was copied or renamed."""
    found = claimed(key, metadata)
    return None if found is None or found.is_moved else found


def is_leaf(metadata: Mapping[str, str], key: str, root: str) -> bool:
    """Whether `dict2cloud` wrote the object to this place, as a leaf of the tree of this root or of a root above it."""
    found = origin(key, metadata)
    return found is not None and keys.as_directory(root).startswith(keys.as_directory(found.root))


def of_moved_tree(found: Mapping[str, Mapping[str, str]], root: str) -> dict[Origin, list[str]]:
    """The leaves of trees that were written for another root and lie here as they lay there, by the upload of each.

    Parameters
    ----------
    found : Mapping
        The metadata of objects, by their names.
    root : str
    """
    groups: dict[Origin, list[str]] = {}
    for key, metadata in found.items():
        told = claimed(key, metadata)
        if told is not None and told.is_moved and told.root == root:
            groups.setdefault(told, []).append(key)
    return groups


def _depth(key: str, root: str) -> int:
    """How many components of a leaf's name lie below the root."""
    return key.removeprefix(f"{root}/").count("/") + 1


@lru_cache
def _digest(name: str) -> str:
    """A name as metadata can hold it: they take ASCII only."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]

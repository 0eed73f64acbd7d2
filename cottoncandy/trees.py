"""Nested dictionaries and the object names of their leaves. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cottoncandy import keys
from cottoncandy.errors import CorruptObject, InvalidObjectName


def flatten(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """The leaves of a nested dictionary by their names: ``{'a': {'b': 1}}`` gives ``{'a/b': 1}``.

    Raises
    ------
    InvalidObjectName
        If two leaves get one name, or a name is a leaf and a group at the same time.
    """
    if not isinstance(tree, Mapping):
        raise TypeError(f"a tree is a dictionary of arrays and dictionaries, not {type(tree).__name__}")
    leaves: dict[str, Any] = {}
    for name, value in _walk(tree):
        if name in leaves:
            raise InvalidObjectName(f"two leaves of the tree are named {name!r}")
        leaves[name] = value
    for name in leaves:
        if group := next((parent for parent in _parents(name) if parent in leaves), None):
            raise InvalidObjectName(f"{group!r} is a leaf of the tree, and {name!r} is below it: rename one")
    return leaves


def _walk(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = keys.clean_object(str(key)).rstrip(keys.SEPARATOR)
        if isinstance(value, Mapping):
            yield from ((f"{name}/{below}", leaf) for below, leaf in _walk(value))
        else:
            yield name, value


def _parents(name: str) -> Iterator[str]:
    while name := keys.parent(name):
        yield name


def nest(leaves: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The complement of `flatten`."""
    tree: dict[str, Any] = {}
    for name, leaf in leaves:
        *groups, last = name.split(keys.SEPARATOR)
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
            if not isinstance(node, dict):
                raise CorruptObject(f"{group!r} is an array, and {name!r} is below it: load them one by one")
        if last in node:
            raise CorruptObject(f"{name!r} is an array and a group at the same time: load them one by one")
        node[last] = leaf
    return tree


def select(names: Iterable[str], wanted: Iterable[str] | None) -> list[str]:
    """The names that are wanted, or lie in a wanted group; all for None.

    Raises
    ------
    KeyError
        For a wanted name that is not there.
    """
    names = list(names)
    if wanted is None:
        return names
    chosen: set[str] = set()
    for want in wanted:
        name = keys.clean(want).rstrip(keys.SEPARATOR)
        found = {other for other in names if other == name or other.startswith(f"{name}/")}
        if not found:
            raise KeyError(want)
        chosen |= found
    return [name for name in names if name in chosen]

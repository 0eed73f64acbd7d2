"""Nested dictionaries and the object names of their leaves. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cottoncandy import keys
from cottoncandy.errors import CorruptObject, InvalidObjectName


def flatten(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """The leaves of a nested dictionary by their names: ``{'a': {'b': 1}}`` gives ``{'a/b': 1}``.

    Raises
    ------
    InvalidObjectName
        If two leaves get one name, a name is a leaf and a group at the same time, or one is that of what an upload has
        beside the leaves.
    """
    branches = _branches(tree)
    if branches is None:
        raise TypeError(f"a tree is a dictionary of arrays and dictionaries, not {type(tree).__name__}")
    leaves: dict[str, Any] = {}
    for name, value in _walk(branches):
        if name in leaves:
            raise InvalidObjectName(f"two leaves of the tree are named {name!r}: rename one")
        leaves[name] = value
    for name in leaves:
        if group := next((parent for parent in keys.parents(name) if parent in leaves), None):
            raise InvalidObjectName(f"{group!r} is a leaf of the tree, and {name!r} is below it: rename one")
    return leaves


def _walk(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = keys.clean_object(str(key)).rstrip(keys.SEPARATOR)
        if any(map(is_stage, name.split(keys.SEPARATOR))):
            raise InvalidObjectName(f"{name!r} is what an upload has beside a tree, and would not be read: rename it")
        branches = _branches(value)
        if branches is None:
            yield name, value
        else:
            yield from ((f"{name}/{below}", leaf) for below, leaf in _walk(branches))


def _branches(value: Any) -> Mapping[Any, Any] | None:
    """What is below a value; None for a leaf. A browser's node knows when it is asked whether it is a group."""
    if isinstance(value, Mapping):
        return value
    ask = getattr(type(value), "_branches", None)
    branches: Mapping[Any, Any] | None = ask(value) if ask else None
    return branches


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


def select(names: Iterable[str], wanted: Iterable[str] | None, where: str | None = None) -> list[str]:
    """The names that are wanted, or lie in a wanted group; all for None.

    Raises
    ------
    KeyError
        Naming ``where``, for a wanted name that is not there; it is passed over where that is None.
    """
    names = list(names)
    if wanted is None:
        return names
    chosen: set[str] = set()
    for want in wanted:
        name = keys.clean(want).rstrip(keys.SEPARATOR)
        found = {other for other in names if other == name or other.startswith(f"{name}/")}
        if not found and where is not None:
            raise KeyError(f"{where}: the tree has nothing named {want!r}")
        chosen |= found
    return [name for name in names if name in chosen]


# ---------------------------------------------------------------------- trees whose upload is under way
# What lies below a tree's root while it is uploaded. Leaves in their places do not count as long as a mark says that
# they are being sent. The leaves of a tree that replaces another wait aside; once a mark says that they are all there,
# they are the tree, until they have taken their places. Of two uploads at the same time each sees the other's marks.
_STAGE = re.compile(r"(?:(?P<root>.*?)/)?\.upload-(?P<version>[0-9a-f]{16})/(?P<rest>.+)", re.DOTALL)
_STAGE_NAME = re.compile(r"\.upload-[0-9a-f]{16}")
_COMPLETE = re.compile(r"complete-(\d+)-(\d+)")
_STARTED = "started"
_LEAVES = "leaves/"


@dataclass(slots=True)
class Stage:
    """What one upload of a tree has beside the tree's leaves.

    Attributes
    ----------
    root, version : str
        The tree's name, and the mark of the upload.
    leaves : dict of str to str
        The names of leaves that wait, and of their objects.
    marks : list of str
        The names of its marks.
    started : bool
        Its leaves, which are in their places, do not count yet. Who sent them is at work, or was killed.
    order : int
        Those that wait are the tree, before the ones of a lower order; 0 where they are not all there.
    dates : list of datetime or None
        When its objects were written.
    """

    root: str
    version: str
    leaves: dict[str, str] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    started: bool = False
    order: int = 0
    dates: list[datetime | None] = field(default_factory=list)
    _count: int = -1

    def name(self, rest: str) -> str:
        """The object's name of what is called ``rest`` in here."""
        return keys.join(self.root, f".upload-{self.version}", rest)

    @property
    def started_mark(self) -> str:
        """The mark that leaves are being sent, of which those in their places do not count."""
        return self.name(_STARTED)

    @property
    def below(self) -> str:
        """How the names begin of all that is below the tree's root."""
        return keys.as_directory(self.root)

    def leaf(self, name: str) -> str:
        """Where a leaf waits."""
        return self.name(_LEAVES + name)

    def complete(self, order: int, count: int) -> str:
        """The mark that so many leaves are all there."""
        return self.name(f"complete-{order}-{count}")

    def add(self, rest: str, date: datetime | None = None) -> None:
        """Take note of an object that lies in here."""
        self.dates.append(date)
        if rest.startswith(_LEAVES):
            self.leaves[rest.removeprefix(_LEAVES)] = self.name(rest)
            return
        self.marks.append(self.name(rest))
        self.started |= rest == _STARTED
        if match := _COMPLETE.fullmatch(rest):
            self.order, self._count = map(int, match.groups())

    @property
    def is_complete(self) -> bool:
        """Whether the leaves that wait are the tree: not any more when the first of them is removed."""
        return self.order > 0 and self._count == len(self.leaves)

    @property
    def is_bare(self) -> bool:
        """Whether there is a mark that leaves are being sent, and nothing of one who lets them wait."""
        return self.started and not (self.order or self.leaves)

    @property
    def rank(self) -> tuple[int, str]:
        """Which of two that are complete is the tree: the higher one. Two that counted at the same time differ, too."""
        return self.order, self.version

    @property
    def objects(self) -> list[str]:
        """The names of all that lies in here; its marks first."""
        return [*self.marks, *self.leaves.values()]

    def is_older(self, than: datetime) -> bool:
        """Whether nothing was written here since then."""
        return all(date is not None and date < than for date in self.dates)


def is_stage(name: str) -> bool:
    """Whether this is the name of what an upload has beside a tree's leaves: SeaweedFS lists it for a while when gone.

    Examples
    --------
    >>> is_stage('.upload-0123456789abcdef'), is_stage('motion')
    (True, False)
    """
    return _STAGE_NAME.fullmatch(name) is not None


def stages(dates: Mapping[str, datetime | None]) -> tuple[list[str], list[Stage]]:
    """Tell the names of leaves from what uploads that are under way, or were broken off, have beside them.

    Parameters
    ----------
    dates : Mapping of str to datetime or None
        When the objects of these names were written.
    """
    plain: list[str] = []
    found: dict[tuple[str, str], Stage] = {}
    for name, date in dates.items():
        match = _STAGE.fullmatch(name) if ".upload-" in name else None
        if match is None:
            plain.append(name)
            continue
        root, version, rest = match["root"] or "", match["version"], match["rest"]
        found.setdefault((root, version), Stage(root, version)).add(rest, date)
    return plain, list(found.values())


def newest(found: Iterable[Stage]) -> dict[str, Stage]:
    """For each tree of which leaves wait that are the tree, the last upload of these."""
    return {stage.root: stage for stage in sorted(found, key=lambda stage: stage.rank) if stage.is_complete}

"""Nested dictionaries and the object names of their leaves. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from cottoncandy import keys
from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.errors import CorruptObject, CottonCandyError, InvalidObjectName, UnsupportedArray
from cottoncandy.plainarrays import why_unread

Entry = TypeVar("Entry", bound=ObjectInfo | ObjectPrefix)


def flatten(tree: Mapping[Any, Any], see: Callable[[str, Any], object] | None = None) -> dict[str, Any]:
    """The leaves of a nested dictionary by their names: ``{'a': {'b': 1}}`` gives ``{'a/b': 1}``.

    Parameters
    ----------
    tree : Mapping
    see : callable, optional
        ``see(name, branch)`` is called of each dictionary before what is in it; the name of the tree itself is ``''``.

    Raises
    ------
    UnsupportedArray
        If a branch cannot be read: a group of an HDF5 file that is closed.
    InvalidObjectName
        If two leaves get one name, a name is a leaf and a group at the same time, or one is that of what an upload has
        beside the leaves.
    """
    branches = _branches(tree)
    if branches is None:
        raise TypeError(f"a tree is a dictionary of arrays and dictionaries, not {type(tree).__name__}")
    leaves: dict[str, Any] = {}
    for name, value in _walk(branches, "", see or (lambda *_: None)):
        if name in leaves:
            raise InvalidObjectName(f"two leaves of the tree are named {name!r}: rename one")
        leaves[name] = value
    for name in leaves:
        if group := next((parent for parent in keys.parents(name) if parent in leaves), None):
            raise InvalidObjectName(f"{group!r} is a leaf of the tree, and {name!r} is below it: rename one")
    return leaves


def _walk(tree: Mapping[Any, Any], above: str, see: Callable[[str, Any], object]) -> Iterator[tuple[str, Any]]:
    see(above, tree)
    for key, value in _items(tree, above):
        name = keys.join(above, keys.clean_object(str(key)).rstrip(keys.SEPARATOR))
        if _is_staged(name):
            raise InvalidObjectName(f"{name!r} is what an upload has beside a tree, and would not be read: rename it")
        branches = _branches(value)
        if branches is None:
            yield name, value
        else:
            yield from _walk(branches, name, see)


def _items(tree: Mapping[Any, Any], name: str) -> list[tuple[Any, Any]]:
    try:
        return list(tree.items())
    except CottonCandyError:
        raise  # it is a group that is in a store
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        branch = f"its branch {name!r}" if name else "the tree"
        raise UnsupportedArray(f"{branch} cannot be read: {error}{why_unread(tree)}") from error


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
# An upload keeps its own objects below the tree's root, in ROOT/.upload-VERSION/: its stage.
#
#   started              the started mark: leaves of this VERSION that are in their places do not count
#   leaves/NAME          a leaf that waits, beside its place ROOT/NAME
#   complete-N-COUNT     the complete mark: the COUNT leaves that wait are the tree, before those of a lower order N
#   replaces-DIGEST-V    leaves of version V, written for the root of DIGEST, are replaced, also where all was copied
#   settled              the settled mark: these leaves are in their places, too, where others may replace them now
#
# A tree that replaces another waits there until the complete mark is written; from then on readers get it from where it
# waits, until its leaves are copied to their places. Two uploads at the same time see each other's marks.
# `cottoncandy.interfaces.arrays.treeupload` draws the order of the steps.
_BEGINS = ".upload-"
_STAGE = re.compile(r"(?:(?P<root>.*?)/)?\.upload-(?P<version>[0-9a-f]{16})/(?P<rest>.+)", re.DOTALL)
_STAGE_NAME = re.compile(r"\.upload-[0-9a-f]{16}")
_IN_STAGE = re.compile(r"(?:.*?/)?\.upload-[0-9a-f]{16}/", re.DOTALL)
_COMPLETE = re.compile(r"complete-(\d+)-(\d+)")
_REPLACES = re.compile(r"replaces-([0-9a-f]{8})-([0-9a-f]{16})?")
_STARTED = "started"
_SETTLED = "settled"
_LEAVES = "leaves/"


@dataclass(slots=True)
class Stage:
    """What one upload of a tree has below the tree's root, beside leaves that are in their places.

    Attributes
    ----------
    root, version : str
        The tree's name, and the version of the upload: 16 random hexadecimal digits.
    leaves : dict of str to str
        The leaves that wait: their names below the root, and the names of the objects that hold them.
    marks : list of str
        The names of its marks' objects.
    started : bool
        Whether it has the started mark. Then its leaves that are in their places do not count: the writer is at work,
        or was killed.
    order : int
        The order of the complete mark, 0 where there is none. Of several complete stages, that of the highest order is
        the tree.
    replaces : set of (str, str or None)
        Digests of the first root, and versions, of trees that are replaced: of this root, and copied here as a whole.
    settled : bool
        Whether it has the settled mark: its leaves have taken their places, and wait only because another writer may
        yet write there.
    dates : list of datetime or None
        When its objects were written.
    """

    root: str
    version: str
    leaves: dict[str, str] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    started: bool = False
    order: int = 0
    replaces: set[tuple[str, str | None]] = field(default_factory=set)
    settled: bool = False
    dates: list[datetime | None] = field(default_factory=list)
    _count: int = -1

    def name(self, rest: str) -> str:
        """The name of the object that is called ``rest`` in this stage."""
        return keys.join(self.root, f".upload-{self.version}", rest)

    @property
    def started_mark(self) -> str:
        """The name of the started mark: while it is there, leaves of this version in their places do not count."""
        return self.name(_STARTED)

    @property
    def settled_mark(self) -> str:
        """The name of the settled mark: the leaves have taken their places."""
        return self.name(_SETTLED)

    def replaces_mark(self, digest: str, version: str | None) -> str:
        """The name of the mark that a tree is replaced, whose leaves may be known by nothing else in a copy."""
        return self.name(f"replaces-{digest}-{version or ''}")

    @property
    def below(self) -> str:
        """The prefix of all names below the tree's root."""
        return keys.as_directory(self.root)

    def leaf(self, name: str) -> str:
        """The name of the object in which a leaf waits."""
        return self.name(_LEAVES + name)

    def complete(self, order: int, count: int) -> str:
        """The name of the complete mark: this many leaves wait, and they are all."""
        return self.name(f"complete-{order}-{count}")

    def add(self, rest: str, date: datetime | None = None) -> None:
        """Take note of an object of this stage that was listed."""
        self.dates.append(date)
        if rest.startswith(_LEAVES):
            self.leaves[rest.removeprefix(_LEAVES)] = self.name(rest)
            return
        self.marks.append(self.name(rest))
        self.started |= rest == _STARTED
        self.settled |= rest == _SETTLED
        if match := _REPLACES.fullmatch(rest):
            self.replaces.add((match[1], match[2]))
        if (match := _COMPLETE.fullmatch(rest)) and int(match[1]) > self.order:
            self.order, self._count = map(int, match.groups())

    @property
    def is_complete(self) -> bool:
        """Whether the leaves that wait are the tree. They are not any more once the first of them was removed."""
        return self.order > 0 and self._count == len(self.leaves)

    @property
    def is_bare(self) -> bool:
        """Whether there is only the started mark: the writer may be sending leaves straight to their places."""
        return self.started and not (self.order or self.leaves)

    @property
    def rank(self) -> tuple[int, str]:
        """Of two complete stages, the one of higher rank is the tree. Their orders may be the same; versions differ."""
        return self.order, self.version

    @property
    def objects(self) -> list[str]:
        """The names of all objects of this stage, its marks first."""
        return [*self.marks, *self.leaves.values()]

    def is_older(self, than: datetime) -> bool:
        """Whether all objects of this stage were written before then."""
        return all(date is not None and date < than for date in self.dates)

    @property
    def told(self) -> str:
        """What it is, as a sentence for who sees its bytes, and not its names."""
        if self.is_complete:
            reason = "is stored, and cloud2dict reads it; its leaves wait beside their places until the next dict2cloud"
        else:
            reason = "is being uploaded, or what a killed upload left: a dict2cloud removes that when it is a day old"
        return f"the tree {self.root or keys.SEPARATOR!r} {reason}"


def stage_prefix(root: str) -> str:
    """The prefix of the names of all stages of a tree."""
    return f"{keys.as_directory(root)}.upload-"


def is_stage(name: str) -> bool:
    """Whether this is the name of a stage, which SeaweedFS goes on to list for a while after it was removed.

    Examples
    --------
    >>> is_stage('.upload-0123456789abcdef'), is_stage('motion')
    (True, False)
    """
    return _STAGE_NAME.fullmatch(name) is not None


def stages_of(names: Iterable[str]) -> set[str]:
    """The prefixes of the stages that names are in, or are.

    Examples
    --------
    >>> stages_of(['exp/.upload-0123456789abcdef/leaves/mean', 'exp/.upload-0123456789abcdef/', 'exp/std'])
    {'exp/.upload-0123456789abcdef/'}
    """
    found = (_IN_STAGE.match(name) for name in names if _BEGINS in name)
    return {match[0] for match in found if match}


def _is_staged(name: str) -> bool:
    return _BEGINS in name and any(map(is_stage, name.split(keys.SEPARATOR)))


def shown(entries: Iterable[Entry], asked: str) -> Iterator[Entry]:
    """Leave out of a listing what uploads have beside their trees: it is no data yet, or not any more.

    All calls that show names pass through here, or through `shown_names`. What removes, copies, moves, downloads or
    mirrors a branch takes all of it: a tree may be read from where it waits, and without it would be another. What
    measures a branch counts all of it: these bytes are stored, and paid for.

    Parameters
    ----------
    entries : iterable of ObjectInfo or ObjectPrefix
    asked : str
        The name, prefix or pattern that was asked for. If a part of it begins as a stage does, nothing is left out.
    """
    if _asks_for_stages(asked):
        return iter(entries)
    # one test of most names, and no call: there may be millions
    return (entry for entry in entries if _BEGINS not in entry.key or not _is_staged(entry.key))


def shown_names(names: Iterable[str], asked: str) -> Iterator[str]:
    """Do what `shown` does, for the names alone.

    Examples
    --------
    >>> names = ['exp/mean', 'exp/.upload-0123456789abcdef/leaves/mean']
    >>> list(shown_names(names, 'exp/*')), list(shown_names(names, 'exp/.upload-*')) == names
    (['exp/mean'], True)
    """
    if _asks_for_stages(asked):
        return iter(names)
    return (name for name in names if _BEGINS not in name or not _is_staged(name))


def _asks_for_stages(asked: str) -> bool:
    return _BEGINS in asked and any(part.startswith(_BEGINS) for part in asked.split(keys.SEPARATOR))


def stages(dates: Mapping[str, datetime | None]) -> tuple[list[str], list[Stage]]:
    """Tell plain objects, which are in their places, from the stages of uploads under way or broken off.

    Parameters
    ----------
    dates : Mapping of str to datetime or None
        The names that were listed, and when these objects were written.

    Returns
    -------
    list of str
        The names of the plain objects.
    list of Stage
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


def told_of(found: Iterable[Stage]) -> str | None:
    """What stages are, as a sentence; None where there are none. A tree that can be read is what counts."""
    first = min(found, key=lambda stage: not stage.is_complete, default=None)
    return None if first is None else first.told


def newest(found: Iterable[Stage]) -> dict[str, Stage]:
    """The complete stage of the highest rank for each root that has a complete one: readers get its leaves."""
    return {stage.root: stage for stage in sorted(found, key=lambda stage: stage.rank) if stage.is_complete}

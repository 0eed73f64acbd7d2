"""Reading a tree of arrays: one whole tree, even if writers replace it meanwhile.

A leaf is read from its place, or from where it waits if its upload has a complete mark
(`cottoncandy.interfaces.arrays.treeupload` draws this). Leaves of a version that still has a started mark do not count.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.arrayformat import lowered
from cottoncandy.backends.base import ObjectInfo, ObjectReader
from cottoncandy.chunkedarrays.names import VERSION
from cottoncandy.errors import CorruptObject, NotAnArray, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.interfaces.arrays.treelooks import is_at_work
from cottoncandy.interfaces.arrays.treemark import Origin, claimed, origin
from cottoncandy.pipelines import SMALL, Begun
from cottoncandy.rawarrays import load_array

log = logging.getLogger(__name__)

# An array and its metadata.
_Leaf = tuple[npt.NDArray[Any], dict[str, str]]
# How many listings a reader makes at most, where what is below the root changes between them.
_LISTINGS = 8


class _Listing:
    """What one listing shows below a prefix. All names are relative to the prefix.

    Attributes
    ----------
    infos : dict of str to ObjectInfo
        All objects that were listed.
    places : dict of str to str
        The names of leaves, and of the objects that hold them now: in their places, or waiting in a complete stage.
    instead : dict of str to str
        The leaves of settled stages, and the objects in which they wait: these are read if the place holds a leaf of
        another writer that does not count.
    latest : list of Stage
        For each tree that waits, the stage of its newest upload.
    unsent : set of str or None
        The versions of uploads with a started mark: their leaves that are in their places do not count.
    is_at_rest : bool
        Whether there is no stage: no upload is under way, or was broken off.
    """

    def __init__(self, prefix: str, there: Iterable[ObjectInfo]) -> None:
        self.infos = {info.key.removeprefix(prefix): info for info in there}
        plain, stages = trees.stages({name: info.last_modified for name, info in self.infos.items()})
        self.places = {name: name for name in plain if name and not name.endswith(keys.SEPARATOR)}
        self.instead: dict[str, str] = {}
        self.unsent: set[str | None] = {stage.version for stage in stages if stage.started}
        self.is_at_rest = not stages
        self.latest = list(trees.newest(stages).values())
        for stage in self.latest:
            self._add(stage, has_rivals=any(one.root == stage.root and is_at_work(one) for one in stages))

    def _add(self, stage: trees.Stage, *, has_rivals: bool) -> None:
        """Take note of a complete stage: the leaves of a tree, which wait."""
        waiting = {keys.join(stage.root, leaf): place for leaf, place in stage.leaves.items()}
        if not stage.settled:
            self.places |= waiting
            return
        for name, place in waiting.items():
            if name in self.places:
                self.instead[name] = place
            elif has_rivals:  # a rival may have written over the leaf, failed, and removed it
                self.places[name] = place

    def held(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        """The objects that hold these leaves."""
        return {name: self.infos[self.places[name]] for name in names}


@dataclass
class _Read:
    """The arrays that one look below a prefix gave.

    Attributes
    ----------
    leaves : dict of str to _Leaf
        The leaves that count, by their names.
    hidden : set of str
        The names of leaves that do not count.
    are_of_one : bool
        Whether, for each tree, all leaves came with one upload.
    is_new : bool
        Whether some leaves were loaded only by this look, and not by an earlier one.
    """

    leaves: dict[str, _Leaf]
    hidden: set[str]
    are_of_one: bool
    is_new: bool


class _Loaded:
    """The arrays that were loaded by now, as long as listings show the same objects: none is loaded twice."""

    def __init__(self) -> None:
        self._leaves: dict[str, tuple[ObjectInfo, _Leaf | None]] = {}

    def missing(self, infos: Iterable[ObjectInfo]) -> list[ObjectInfo]:
        """Those of these objects that are to be loaded; what no listing shows any more is forgotten."""
        wanted = {info.key: info for info in infos}
        self._leaves = {key: (info, leaf) for key, (info, leaf) in self._leaves.items() if wanted.get(key) == info}
        return [info for key, info in wanted.items() if key not in self._leaves]

    def add(self, infos: Sequence[ObjectInfo], leaves: Sequence[_Leaf | None]) -> None:
        """Take note of arrays; None for what is no array."""
        self._leaves |= {info.key: (info, leaf) for info, leaf in zip(infos, leaves, strict=True)}

    def clear(self) -> None:
        """Forget all."""
        self._leaves = {}

    def __getitem__(self, info: ObjectInfo) -> _Leaf | None:
        return self._leaves[info.key][1]


@dataclass
class _Asked:
    """One call of `cloud2dict`.

    Attributes
    ----------
    prefix : str
    wanted : sequence of str or None
        The names of leaves and groups below the prefix; None is all.
    threads : int or None
    loaded : _Loaded
        What came of it by now.
    """

    prefix: str
    wanted: Sequence[str] | None
    threads: int | None
    loaded: _Loaded = field(default_factory=_Loaded)


class TreeDownloads(FolderArrays):
    """How a tree is read while writers may replace it."""

    def _load_tree(self, object_root: str, wanted: Iterable[str] | None, threads: int | None) -> dict[str, Any]:
        """Read the leaves of a tree that count.

        A listing may show one part of a tree before it was replaced, and another part after that. So the leaves of a
        listing are taken in these cases only:

        - all are of one upload, whose metadata tell how many leaves it has;
        - the next listing is the same;
        - the next listing differs, as writers are at work, but the same leaves count.

        They may be of several uploads only if there is no stage and the next listing is the same: then somebody has put
        an old leaf back.
        """
        prefix, where = keys.as_directory(object_root), self.backend_interface.describe(object_root)
        wanted = None if wanted is None else list(wanted)
        asked = _Asked(prefix, wanted, threads)
        seen: _Listing | None = None
        read: _Read | None = None
        for _ in range(_LISTINGS):
            # before the next listing: if no upload is under way now, and that listing is the same, none was before
            root = None if read is None else self._root_at_work(prefix)
            if root is not None:
                return self._load_branch(root, prefix, wanted, threads)
            before, earlier, seen = seen, read, _Listing(prefix, self._listed(prefix))
            is_same = before is not None and seen.infos == before.infos
            # where the listing is the same though an object was replaced, the store tells no versions of objects:
            # then no leaf is held to the version that was listed
            read = self._read_if_possible(asked, seen, is_held=not is_same)
            if read is not None and (_is_whole_tree(prefix, read) or _is_certain(read, seen, earlier, before)):
                trees.select(seen.places.keys() - read.hidden, wanted, where)  # raises for what is not there
                return _nested(read.leaves, where)
        raise ObjectChanged(
            f"the leaves of tree {where} are of several uploads: one is under way. Wait, upload the tree again, or "
            "load the arrays one by one (download_raw_array)"
        )

    def _root_at_work(self, prefix: str) -> str | None:
        """The root above a branch of which an upload is under way or was broken off; of several, the topmost."""
        above = sorted(keys.parents(prefix.rstrip(keys.SEPARATOR)), key=len)
        return next((root for root in above if self._has_stage(root)), None)

    def _has_stage(self, root: str) -> bool:
        """Whether a tree has a stage: an upload is under way, or was broken off."""
        listed = self.backend_interface.list_names(trees.stage_prefix(root))
        return any(trees.stages({name: None})[1] for name in listed)

    def _load_branch(self, root: str, prefix: str, wanted: Sequence[str] | None, threads: int | None) -> dict[str, Any]:
        """Read a branch by way of the root of its tree, whose stages tell what counts."""
        branch = prefix.removeprefix(keys.as_directory(root)).rstrip(keys.SEPARATOR)
        names = [branch] if wanted is None else [keys.join(branch, name) for name in wanted]
        try:
            tree = self._load_tree(root, names, threads)
        except KeyError:
            if wanted is None:
                return {}
            raise
        for name in branch.split(keys.SEPARATOR):
            tree = tree.get(name, {})
            if not isinstance(tree, dict):
                return {}
        return tree

    def _read_if_possible(self, asked: _Asked, seen: _Listing, *, is_held: bool) -> _Read | None:
        """The leaves of a listing that count; None if the tree was replaced since the listing."""
        try:
            return self._read(asked, seen, is_held=is_held)
        except (ObjectNotFound, ObjectChanged):
            log.info("%s is being replaced: begin again", self.backend_interface.describe(asked.prefix))
            asked.loaded.clear()
            return None

    def _read(self, asked: _Asked, seen: _Listing, *, is_held: bool) -> _Read:
        """The leaves of a listing that count."""
        prefix, loaded = asked.prefix, asked.loaded
        places, names = seen.places, trees.select(seen.places, asked.wanted)

        def load(some: Iterable[str]) -> bool:
            """Load what lies in these places; whether there was need to."""
            missing = loaded.missing([seen.infos[place] for place in some])
            loaded.add(missing, self._load_each(missing, prefix, asked.threads, is_held=is_held))
            return bool(missing)

        is_new = load([places[name] for name in names])
        for name in names:
            if name in seen.instead and self._is_outdone(prefix, seen, name, loaded[seen.infos[places[name]]]):
                places[name] = seen.instead[name]
        is_new = load([places[name] for name in names]) or is_new

        def counts(name: str, metadata: Mapping[str, str]) -> bool:
            return places[name] != name or metadata.get(VERSION) not in seen.unsent

        found = {name: leaf for name in names if (leaf := loaded[seen.infos[places[name]]])}
        standing = {name: leaf for name, leaf in found.items() if not self._newer(prefix, seen, name, leaf[1])}
        leaves = {name: leaf for name, leaf in standing.items() if counts(name, leaf[1])}
        # those that do not count are looked at, too: they may lie where leaves of the old tree were
        are_of_one = _are_of_one_upload(prefix, standing)
        return _Read(leaves, found.keys() - leaves.keys(), are_of_one, is_new)

    def _is_outdone(self, prefix: str, seen: _Listing, name: str, leaf: _Leaf | None) -> bool:
        """Whether a leaf of a settled tree is read from where it waits: its place has what another writer sent."""
        if leaf is None:
            return False
        newer = self._newer(prefix, seen, name, leaf[1])
        return leaf[1].get(VERSION) in seen.unsent or (bool(newer) and all(stage.settled for stage in newer))

    def _newer(self, prefix: str, seen: _Listing, name: str, metadata: Mapping[str, str]) -> list[trees.Stage]:
        """Of the trees that wait, or that have settled, those that replaced the one whose leaf is in this place."""
        key = prefix + name
        told = claimed(key, metadata) if seen.places[name] == name else None
        if told is None:
            return []
        above, newer = keys.as_directory(told.root), []
        for stage in seen.latest:
            directory = keys.as_directory(prefix + stage.root)
            if not key.startswith(directory):
                continue
            is_of_root = above == directory
            if stage.settled:  # what was there before was removed; another writer may have brought it once more
                is_older = told.version in seen.unsent or (
                    is_of_root and not told.is_moved and told.version != stage.version
                )
            elif told.is_moved:
                is_older = is_of_root and (told.digest, told.version) in stage.replaces
            else:
                is_older = directory.startswith(above)
            if is_older:
                newer.append(stage)
        return newer

    def _load_each(
        self, infos: Sequence[ObjectInfo], prefix: str, threads: int | None, *, is_held: bool
    ) -> list[_Leaf | None]:
        """The arrays that these objects hold, and None for each object that is no array."""

        def begin(info: ObjectInfo) -> Begun[_Leaf | None] | None:
            if not 0 < info.size <= SMALL:
                return None
            begun = self.backend_interface.begin_open(info.key, info.size, e_tag=info.e_tag if is_held else None)
            return None if begun is None else begun.then(partial(self._load_leaf, info, is_held=is_held))

        load, largest = partial(self._load_leaf, is_held=is_held), max((info.size for info in infos), default=0)
        return self._gather(load, infos, threads, "download", prefix, largest=largest, begin=begin)

    def _load_leaf(self, info: ObjectInfo, opened: ObjectReader | None = None, *, is_held: bool) -> _Leaf | None:
        e_tag = info.e_tag if is_held else None
        try:
            array, metadata = load_array(
                self.backend_interface, info.key, self._settings, 1, e_tag=e_tag, opened=opened
            )
            return array, lowered(metadata)
        except NotAnArray:
            log.warning("%s is no raw array: passed over", self.backend_interface.describe(info.key))
            return None


def _nested(leaves: Mapping[str, _Leaf], where: str) -> dict[str, Any]:
    try:
        return trees.nest((name, array) for name, (array, _) in leaves.items())
    except CorruptObject as error:
        raise CorruptObject(f"{where}: {error}") from None


def _origins(prefix: str, leaves: Mapping[str, _Leaf]) -> set[Origin | None]:
    return {origin(prefix + name, metadata) for name, (_, metadata) in leaves.items()}


def _is_certain(read: _Read, seen: _Listing, earlier: _Read | None, before: _Listing | None) -> bool:
    """Whether two listings agree on the leaves that count."""
    if before is None:
        return False
    if seen.infos == before.infos and not read.is_new:
        return read.are_of_one or seen.is_at_rest
    return read.are_of_one and earlier is not None and seen.held(read.leaves) == before.held(earlier.leaves)


def _are_of_one_upload(prefix: str, leaves: Mapping[str, _Leaf]) -> bool:
    """Whether, for each root, all leaves came with one call of `dict2cloud`."""
    found = {each for each in _origins(prefix, leaves) if each}
    return len(found) == len({each.root for each in found})


def _is_whole_tree(prefix: str, read: _Read) -> bool:
    """Whether these are all leaves of one tree with this root, and nothing else."""
    found, *others = _origins(prefix, read.leaves) or {None}
    if others or found is None or not read.are_of_one:
        return False
    return keys.as_directory(found.root) == prefix and found.total == len(read.leaves)

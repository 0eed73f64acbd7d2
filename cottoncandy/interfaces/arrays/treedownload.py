"""Reading a tree of arrays: one whole tree, even if writers replace it meanwhile.

A leaf is read from its place, or from where it waits if its upload has a complete mark
(`cottoncandy.interfaces.arrays.treeupload` draws this). Leaves of a version that still has a started mark do not count.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.arrayformat import lowered
from cottoncandy.backends.base import ObjectInfo, ObjectReader
from cottoncandy.chunkedarrays.names import VERSION
from cottoncandy.errors import CorruptObject, NotAnArray, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.interfaces.arrays.treemark import Origin, is_leaf, origin
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
    latest : dict of str to Stage
        For each root whose tree waits, the complete stage of the highest rank.
    unsent : set of str or None
        The versions of uploads with a started mark: their leaves that are in their places do not count.
    """

    def __init__(self, prefix: str, there: Iterable[ObjectInfo]) -> None:
        self.infos = {info.key.removeprefix(prefix): info for info in there}
        plain, stages = trees.stages({name: info.last_modified for name, info in self.infos.items()})
        self.latest = trees.newest(stages)
        self.places = {name: name for name in plain if name and not name.endswith(keys.SEPARATOR)}
        for root, stage in self.latest.items():
            self.places |= {keys.join(root, leaf): place for leaf, place in stage.leaves.items()}
        self.unsent: set[str | None] = {stage.version for stage in stages if stage.started}

    def held(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        """The objects that hold these leaves."""
        return {name: self.infos[self.places[name]] for name in names}


class TreeDownloads(FolderArrays):
    """How a tree is read while writers may replace it."""

    def _load_tree(self, object_root: str, wanted: Iterable[str] | None, threads: int | None) -> dict[str, Any]:
        """Read the leaves of a tree that count.

        A listing may show one part of a tree before it was replaced, and another part after that. So the leaves of a
        listing are taken in three cases only:

        - all are of one upload, whose metadata tell how many leaves it has;
        - the next listing is the same;
        - the next listing differs, as writers are at work, but the same leaves count.
        """
        prefix, where = keys.as_directory(object_root), self.backend_interface.describe(object_root)
        wanted = None if wanted is None else list(wanted)
        seen = _Listing(prefix, ())
        leaves: dict[str, _Leaf] | None = None
        for _ in range(_LISTINGS):
            before, earlier, seen = seen, leaves, _Listing(prefix, self._listed(prefix))
            is_same = seen.infos == before.infos
            if earlier is None or not is_same:
                # where the listing is the same though an object was replaced, the store tells no versions of objects:
                # then no leaf is held to the version that was listed
                leaves = self._load_if_at_rest(prefix, seen, wanted, threads, is_held=not is_same)
                is_same = None not in (leaves, earlier) and seen.held(leaves or ()) == before.held(earlier or ())
            if leaves is not None and (is_same or _is_whole_tree(prefix, leaves)):
                trees.select(seen.places, wanted, where)  # raises for what is not there
                return _nested(leaves, where)
        raise ObjectChanged(
            f"the leaves of tree {where} are of several uploads: one is under way. Wait, upload the tree again, or "
            "load the arrays one by one (download_raw_array)"
        )

    def _load_if_at_rest(
        self, prefix: str, seen: _Listing, wanted: Iterable[str] | None, threads: int | None, *, is_held: bool
    ) -> dict[str, _Leaf] | None:
        """The leaves of a listing that count; None if the tree was replaced since the listing, or is being replaced."""
        try:
            return self._load_leaves(prefix, seen, wanted, threads, is_held=is_held)
        except (ObjectNotFound, ObjectChanged):
            log.info("%s is being replaced: begin again", self.backend_interface.describe(prefix))
            return None

    def _load_leaves(
        self, prefix: str, seen: _Listing, wanted: Iterable[str] | None, threads: int | None, *, is_held: bool
    ) -> dict[str, _Leaf]:
        """The leaves of a listing that count.

        Raises
        ------
        ObjectChanged
            If the leaves of one tree are of several uploads.
        """
        places = seen.places
        names = trees.select(places, wanted)
        leaves = self._load_each([seen.infos[places[name]] for name in names], prefix, threads, is_held=is_held)

        def is_replaced(name: str, metadata: Mapping[str, str]) -> bool:
            roots = (root for root in seen.latest if f"{name}/".startswith(keys.as_directory(root)))
            return places[name] == name and any(is_leaf(metadata, name, root) for root in roots)

        def counts(name: str, metadata: Mapping[str, str]) -> bool:
            return places[name] != name or metadata.get(VERSION) not in seen.unsent

        loaded = {name: leaf for name, leaf in zip(names, leaves, strict=True) if leaf}
        standing = {name: leaf for name, leaf in loaded.items() if not is_replaced(name, leaf[1])}
        # those that do not count are looked at, too: they may lie where leaves of the old tree were
        if not _are_of_one_upload(prefix, standing):
            raise ObjectChanged(self.backend_interface.describe(prefix))
        return {name: leaf for name, leaf in standing.items() if counts(name, leaf[1])}

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


def _are_of_one_upload(prefix: str, leaves: Mapping[str, _Leaf]) -> bool:
    """Whether, for each root, all leaves came with one call of `dict2cloud`."""
    found = {each for each in _origins(prefix, leaves) if each}
    return len(found) == len({each.root for each in found})


def _is_whole_tree(prefix: str, leaves: Mapping[str, _Leaf]) -> bool:
    """Whether these are all leaves of one tree with this root, and nothing else."""
    found, *others = _origins(prefix, leaves) or {None}
    return not others and found is not None and keys.as_directory(found.root) == prefix and found.total == len(leaves)

"""Reading a tree of arrays: one whole tree, though others replace it meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.arrayformat import lowered
from cottoncandy.backends.base import ObjectInfo, ObjectReader
from cottoncandy.chunkedarrays.names import VERSION
from cottoncandy.errors import NotAnArray, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.interfaces.arrays.treemark import Origin, is_leaf, origin
from cottoncandy.pipelines import SMALL, Begun
from cottoncandy.rawarrays import load_array

log = logging.getLogger(__name__)

# An array and its metadata.
_Leaf = tuple[npt.NDArray[Any], dict[str, str]]
# How often what is below a root is listed, where it changes under a reader's hands.
_LISTINGS = 8


class _Listing:
    """What a listing shows below a prefix; names are those below it.

    Attributes
    ----------
    infos : dict of str to ObjectInfo
    places : dict of str to str
        The names of leaves, and of the objects that hold them now.
    latest : dict of str to Stage
        For each tree of which the leaves wait that are the tree, its upload.
    unsent : set of str or None
        The uploads whose leaves do not count yet.
    """

    def __init__(self, prefix: str, there: Iterable[ObjectInfo]) -> None:
        self.infos = {info.key.removeprefix(prefix): info for info in there}
        plain, self._stages = trees.stages({name: info.last_modified for name, info in self.infos.items()})
        self._plain = [name for name in plain if name and not name.endswith(keys.SEPARATOR)]
        self.latest = trees.newest(self._stages)
        self.places = {name: name for name in self._plain}
        for root, stage in self.latest.items():
            self.places |= {keys.join(root, leaf): place for leaf, place in stage.leaves.items()}
        self.unsent: set[str | None] = {stage.version for stage in self._stages if stage.started}

    def essence(self, counted: Collection[str]) -> dict[str, ObjectInfo]:
        """What decides which tree is there, when these leaves are the ones that count.

        What is being sent is left out: leaves that wait, and are not all there; those in their places, as long as a
        mark says that they do not count; and what others, which wait and are all there, take the places of. But where
        some that lie in their places count, more may do so: a listing may show one part of them, and the mark of an
        upload that came when they were all there.
        """
        waiting = tuple(keys.as_directory(stage.root) for stage in self._stages if stage.started and stage.order)
        bare = {keys.as_directory(stage.root) for stage in self._stages if stage.is_bare}
        sending = (*waiting, *(root for root in bare if not any(name.startswith(root) for name in counted)))
        names = [name for name in self._plain if name in counted or not name.startswith(sending)]
        for stage in self._stages:
            names += stage.objects if stage.order else stage.marks
        return {name: self.infos[name] for name in names}


class TreeDownloads(FolderArrays):
    """How a tree is read while others may replace it."""

    def _load_tree(self, object_root: str, wanted: Iterable[str] | None, threads: int | None) -> dict[str, Any]:
        """Read what counts of a tree.

        A listing may show one part of a tree before it was replaced, and another one after that. So leaves are taken
        where they are all of one upload, which tells how many it has; or where the next listing shows the same: then
        all of it stood at the moment between the two.
        """
        prefix = keys.as_directory(object_root)
        wanted = None if wanted is None else list(wanted)
        seen, leaves = _Listing(prefix, ()), None
        for _ in range(_LISTINGS):
            before, seen = seen, _Listing(prefix, self._listed(prefix))
            if leaves is not None and seen.essence(leaves) == before.essence(leaves):
                trees.select(before.places, wanted)  # raises for what is not there
                return trees.nest((name, array) for name, (array, _) in leaves.items())
            # a store whose listing is the same, though an object was another, does not tell of objects' versions
            is_held = seen.infos != before.infos
            leaves = self._load_if_at_rest(prefix, seen, wanted, threads, is_held=is_held)
            if leaves and _is_whole_tree(prefix, leaves):
                return trees.nest((name, array) for name, (array, _) in leaves.items())
        raise ObjectChanged(
            f"the leaves of tree {self.backend_interface.describe(object_root)} are of several uploads: one is under "
            "way. Wait, upload the tree again, or load the arrays one by one (download_raw_array)"
        )

    def _load_if_at_rest(
        self, prefix: str, seen: _Listing, wanted: Iterable[str] | None, threads: int | None, *, is_held: bool
    ) -> dict[str, _Leaf] | None:
        """The leaves of a listing that count; None where another tree has come since then, or is coming."""
        try:
            return self._load_leaves(prefix, seen, wanted, threads, is_held=is_held)
        except (ObjectNotFound, ObjectChanged):
            log.info("%s is being replaced: begin again", self.backend_interface.describe(prefix))
            return None

    def _load_leaves(
        self, prefix: str, seen: _Listing, wanted: Iterable[str] | None, threads: int | None, *, is_held: bool
    ) -> dict[str, _Leaf]:
        """The leaves of a listing that count; ObjectChanged where they are of several uploads."""
        places = seen.places
        names = trees.select(places, wanted, missing_ok=True)
        leaves = self._load_each([seen.infos[places[name]] for name in names], prefix, threads, is_held=is_held)

        def is_replaced(name: str, metadata: Mapping[str, str]) -> bool:
            roots = (root for root in seen.latest if f"{name}/".startswith(keys.as_directory(root)))
            return places[name] == name and any(is_leaf(metadata, name, root) for root in roots)

        def counts(name: str, metadata: Mapping[str, str]) -> bool:
            return places[name] != name or metadata.get(VERSION) not in seen.unsent

        loaded = {name: leaf for name, leaf in zip(names, leaves, strict=True) if leaf}
        standing = {name: leaf for name, leaf in loaded.items() if not is_replaced(name, leaf[1])}
        # also with those that do not count: they may lie where others were
        if not _are_of_one_upload(prefix, standing):
            raise ObjectChanged(self.backend_interface.describe(prefix))
        return {name: leaf for name, leaf in standing.items() if counts(name, leaf[1])}

    def _load_each(
        self, infos: Sequence[ObjectInfo], prefix: str, threads: int | None, *, is_held: bool
    ) -> list[_Leaf | None]:
        """The arrays of these objects, and None for what is none."""

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


def _origins(prefix: str, leaves: Mapping[str, _Leaf]) -> set[Origin | None]:
    return {origin(prefix + name, metadata) for name, (_, metadata) in leaves.items()}


def _are_of_one_upload(prefix: str, leaves: Mapping[str, _Leaf]) -> bool:
    """Whether the leaves of each tree, as `dict2cloud` wrote it, came with one call of it."""
    found = {each for each in _origins(prefix, leaves) if each}
    return len(found) == len({each.root for each in found})


def _is_whole_tree(prefix: str, leaves: Mapping[str, _Leaf]) -> bool:
    """Whether these are the leaves of one tree whose root this is, all of them and nothing else."""
    found, *others = _origins(prefix, leaves)
    return not others and found is not None and keys.as_directory(found.root) == prefix and found.total == len(leaves)

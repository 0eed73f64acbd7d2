"""Trees of arrays: nested dictionaries."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.arrayformat import lowered
from cottoncandy.backends.base import ObjectInfo, ObjectReader
from cottoncandy.chunkedarrays.names import VERSION, new_version
from cottoncandy.errors import NotAnArray, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.treeupload import MARK, TreeUploads, depth, is_leaf
from cottoncandy.pipelines import SMALL, Begun
from cottoncandy.rawarrays import as_array, load_array, refuse_names

log = logging.getLogger(__name__)

# An array and its metadata.
_Leaf = tuple[npt.NDArray[Any], dict[str, str]]
# How often a reader starts again when a tree is replaced under its hands.
_ATTEMPTS = 3
# Dates of files stand still for so long.
_TICK = timedelta(milliseconds=10)


class ArrayTrees(TreeUploads):
    """Nested dictionaries of arrays."""

    def dict2cloud(
        self,
        object_name: str,
        array_dict: Mapping[str, Any],
        acl: str | None = None,
        verbose: bool = True,
        threads: int | None = None,
        **metadata: Any,
    ) -> None:
        """Upload a dictionary of arrays and dictionaries, of any depth.

        Each leaf is a raw array under the name of its keys. Readers get the old tree until the new one is all there. Of
        two calls at the same time, the tree of one stays, whole. Leaves that an earlier `dict2cloud` wrote below the
        same name, and that are no longer in the dictionary, are removed when the new ones stand; other objects there
        are left alone.

        Parameters
        ----------
        object_name : str
        array_dict : dict
            What is neither a dictionary nor an array goes through `numpy.asarray`.
        acl : str, optional
            A canned ACL.
        verbose : bool
            Print the name when all is done.
        threads : int, optional
            Arrays at a time; by default as many as are of use, up to the configured ``most_threads``.
        **metadata
            For each array: ``compression``, and user metadata.

        See Also
        --------
        cloud2dict

        Examples
        --------
        >>> import numpy as np
        >>> cci.dict2cloud('sub01.grp', {'bold': np.zeros(3), 'anat': {'mask': np.ones(2)}}, verbose=False)
        >>> cci.cloud2dict('sub01.grp', verbose=False)
        {'anat': {'mask': array([1., 1.])}, 'bold': array([0., 0., 0.])}
        """
        root = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        arrays = {
            (key := keys.join(root, name)): as_array(leaf, partial(self.backend_interface.describe, key))
            for name, leaf in trees.flatten(array_dict).items()
        }
        compression = metadata.pop("compression", True)
        refuse_names(metadata, {MARK, VERSION})
        metadata[VERSION] = version = new_version()

        def send(key: str, place: str, later: bool) -> Any:
            mark = {MARK: f"{depth(key, root)}-{_digest(root)}"}
            return self._store(place, arrays[key], compression, acl, 1, {**metadata, **mark}, later=later)

        stage = trees.Stage(root, version)
        with self._all_or_none([stage.started_mark]):
            if not self._is_sent_alone(stage, arrays, send, threads, acl):
                self._replace_tree(stage, arrays, send, threads, acl)
        if verbose:
            print(f"uploaded arrays in {root!r}")  # noqa: T201 - documented to print

    def cloud2dict(
        self,
        object_root: str,
        verbose: bool = True,
        keys: Iterable[str] | None = None,
        threads: int | None = None,
        **metadata: Any,  # noqa: ARG002 - published
    ) -> dict[str, Any]:
        """Download all arrays below a name as a nested dictionary.

        Objects that are no raw arrays are passed over, with a warning in the log.

        Parameters
        ----------
        object_root : str
        verbose : bool
            Print the name when all is done.
        keys : list of str, optional
            Download these only: names of arrays, or of groups, below the root (``['bold', 'anat/mask']``).
        threads : int, optional
            Arrays at a time; by default as many as are of use, up to the configured ``most_threads``.

        Returns
        -------
        dict
            Empty where there is nothing.

        Raises
        ------
        KeyError
            For one of the ``keys`` that is not there.
        ObjectChanged
            If the tree is replaced again and again while it is read: old and new leaves are never mixed.
        """
        tree = self._load_tree(object_root, keys, threads)
        if verbose:
            print(f"downloaded arrays in {object_root!r}")  # noqa: T201 - documented to print
        return tree

    def _load_tree(self, object_root: str, wanted: Iterable[str] | None, threads: int | None) -> dict[str, Any]:
        prefix = keys.as_directory(object_root)
        there: list[ObjectInfo] = []
        wanted = None if wanted is None else list(wanted)
        for _ in range(_ATTEMPTS):
            before = there
            try:
                there = self._listed_at_rest(prefix)
                # a store whose listing is the same, though an object was another, does not tell of objects' versions
                leaves = self._load_leaves(prefix, there, wanted, threads, is_held=there != before)
            except (ObjectNotFound, ObjectChanged):
                # another tree stands there since it was listed
                log.info("%s is being replaced: begin again", self.backend_interface.describe(object_root))
            else:
                return trees.nest((name, array) for name, (array, _) in leaves.items())
        raise ObjectChanged(
            f"the leaves of tree {self.backend_interface.describe(object_root)} are of several uploads: one is under "
            "way. Wait, upload the tree again, or load the arrays one by one (download_raw_array)"
        )

    def _listed_at_rest(self, prefix: str) -> list[ObjectInfo]:
        """A listing that shows one moment. What was written while it was made tells that it may show several.

        A store whose clock is ahead of ours has it made once more, as long as its objects are that young.
        """
        there: list[ObjectInfo] = []
        for _ in range(_ATTEMPTS):
            before, began = there, datetime.now(timezone.utc) - _TICK
            there = list(self._listed(prefix))
            if there == before or not any(info.last_modified and info.last_modified > began for info in there):
                return there
        raise ObjectChanged(f"{self.backend_interface.describe(prefix)} changes while it is listed")

    def _load_leaves(
        self,
        prefix: str,
        there: Sequence[ObjectInfo],
        wanted: Iterable[str] | None,
        threads: int | None,
        *,
        is_held: bool,
    ) -> dict[str, _Leaf]:
        """The leaves of a listing that count; ObjectChanged where they are of several uploads."""
        infos = {info.key.removeprefix(prefix): info for info in there}
        plain, found = trees.stages({name: info.last_modified for name, info in infos.items()})
        latest = trees.newest(found)
        places = {name: name for name in plain if name and not name.endswith(keys.SEPARATOR)}
        for root, stage in latest.items():
            places |= {keys.join(root, leaf): place for leaf, place in stage.leaves.items()}
        names = trees.select(places, wanted)
        leaves = self._load_each([infos[places[name]] for name in names], prefix, threads, is_held=is_held)
        unsent = {stage.version for stage in found if stage.started}

        def is_replaced(name: str, metadata: Mapping[str, str]) -> bool:
            roots = (root for root in latest if places[name] == name and f"{name}/".startswith(keys.as_directory(root)))
            return any(is_leaf(metadata, name, root) for root in roots)

        def counts(name: str, metadata: Mapping[str, str]) -> bool:
            return places[name] != name or lowered(metadata).get(VERSION) not in unsent

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


def _are_of_one_upload(prefix: str, leaves: Mapping[str, _Leaf]) -> bool:
    """Whether the leaves of each tree, as `dict2cloud` wrote it, came with one call of it."""
    versions: dict[str, str | None] = {}
    for name, (_, metadata) in leaves.items():
        facts = lowered(metadata)
        levels, _, digest = facts.get(MARK, "").partition("-")
        parts = f"{prefix}{name}".split(keys.SEPARATOR)
        if not levels.isdecimal() or not 0 < int(levels) < len(parts):
            continue
        root = keys.SEPARATOR.join(parts[: -int(levels)])
        # of another digest are leaves that were copied or moved here
        if _digest(root) == digest and versions.setdefault(root, facts.get(VERSION)) != facts.get(VERSION):
            return False
    return True


@lru_cache
def _digest(root: str) -> str:
    """A root's name in metadata, which take ASCII only."""
    return hashlib.sha256(root.encode()).hexdigest()[:8]

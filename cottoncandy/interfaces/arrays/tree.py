"""Trees of arrays: nested dictionaries."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache, partial
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.arrayformat import lowered
from cottoncandy.backends.base import ObjectInfo
from cottoncandy.chunkedarrays import FORGOTTEN, VERSION
from cottoncandy.errors import NotAnArray, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.parallel import for_each
from cottoncandy.rawarrays import as_array, load_array, refuse_names

log = logging.getLogger(__name__)

# An array and its metadata; what sends the array of a name to a place.
_Leaf = tuple[npt.NDArray[Any], dict[str, str]]
_Send = Callable[[str, str], None]
_Arrays = Mapping[str, npt.NDArray[Any]]
_STARTED = b"A tree of arrays is being uploaded to this folder. If this has lain here for days, it was broken off.\n"
_COMPLETE = (
    b"The arrays beside this are the tree above, and take their places there. Upload the tree again to end it.\n"
)

# The metadata key of leaves that dict2cloud wrote: how many components of their name lie below the tree's root, and
# a digest of the root's name, which tells a leaf that was copied from another tree.
_MARK = "tree"
# How often a reader starts again when a tree is replaced under its hands.
_ATTEMPTS = 3


class ArrayTrees(FolderArrays):
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

        Each leaf is a raw array under the name of its keys. Readers get the old tree until the new one is all there.
        Leaves that an earlier `dict2cloud` wrote below the same
        name, and that are no longer in the dictionary, are removed when the new ones stand; other objects there
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
        refuse_names(metadata, {_MARK, VERSION})
        metadata[VERSION] = version = secrets.token_hex(8)

        def send(key: str, place: str) -> None:
            mark = {_MARK: f"{_depth(key, root)}-{_digest(root)}"}
            self._store(place, arrays[key], compression, acl, 1, {**metadata, **mark})

        stage = trees.Stage(root, version)
        with self._all_or_none([stage.started_mark]):
            there = self._begin_tree(stage, acl)
            if there:
                self._replace_tree(stage, there, arrays, send, threads, acl)
            else:
                self._send_tree(stage, arrays, send, threads)
        if verbose:
            print(f"uploaded arrays in {root!r}")  # noqa: T201 - documented to print

    def _begin_tree(self, stage: trees.Stage, acl: str | None) -> list[ObjectInfo]:
        """Say that a tree is being sent, and look meanwhile what is there."""
        there: list[ObjectInfo] = []

        def look() -> None:
            there.extend(self._listed(keys.as_directory(stage.root)))

        def begin() -> None:
            self._upload(stage.started_mark, _STARTED, {}, acl)

        for_each(lambda step: step(), (begin, look), 2, pace=self._pace)
        return [info for info in there if info.key != stage.started_mark]

    def _send_tree(self, stage: trees.Stage, arrays: _Arrays, send: _Send, threads: int | None) -> None:
        """Send a tree where there is nothing: its leaves do not count before the last one stands."""
        with self._all_or_none(arrays):
            self._send_leaves(stage, {key: key for key in arrays}, arrays, send, threads)
        self.backend_interface.delete([stage.started_mark])

    def _replace_tree(
        self,
        stage: trees.Stage,
        there: Sequence[ObjectInfo],
        arrays: _Arrays,
        send: _Send,
        threads: int | None,
        acl: str | None,
    ) -> None:
        """Send a tree where there may be one: its leaves wait until they are all there, then take their places."""
        old, others = trees.stages(info.key for info in there)
        others = [other for other in others if other.root == stage.root]
        waiting = {key: stage.leaf(key.removeprefix(f"{stage.root}/")) for key in arrays}
        with self._all_or_none(waiting.values()):
            self._send_leaves(stage, waiting, arrays, send, threads)
        mark = stage.complete(1 + max((other.order for other in others), default=0), len(waiting))
        self._write_last(mark, _COMPLETE, waiting.values(), acl)

        def settle(key: str) -> None:
            self.backend_interface.copy(waiting[key], key, options=self._write_options(acl))

        # first: a directory cannot hold `a` and `a/b`
        self._remove_leaves(stage.root, [key for key in old if key not in arrays], threads)
        self._for_each(settle, arrays, threads, "copy", stage.root, largest=0)
        # first those that this one is newer than: they must not be the newest again
        self.backend_interface.delete([*_outdated(others, there), stage.started_mark])
        self.backend_interface.delete([mark, *waiting.values()])

    def _send_leaves(
        self, stage: trees.Stage, places: Mapping[str, str], arrays: _Arrays, send: _Send, threads: int | None
    ) -> None:
        largest = max(array.nbytes for array in arrays.values()) if arrays else 0
        self._for_each(lambda key: send(key, places[key]), arrays, threads, "upload", stage.root, largest=largest)

    def _remove_leaves(self, root: str, candidates: Sequence[str], threads: int | None) -> None:
        """Remove those objects that an earlier `dict2cloud` of this root, or of one above it, wrote."""

        def is_leaf(key: str) -> bool:
            try:
                return _is_leaf(self.backend_interface.stat(key).metadata, key, root)
            except ObjectNotFound:
                return False

        verdicts = self._gather(is_leaf, candidates, threads, "look at", root)
        stale = [key for key, leaf in zip(candidates, verdicts, strict=True) if leaf]
        if len(stale) < len(candidates):
            log.info(
                "%d objects below %r were not written by dict2cloud: left alone", len(candidates) - len(stale), root
            )
        self._deleted(root, stale)

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
            If `dict2cloud` is replacing the tree, or was broken off: old and new leaves are never mixed.
        """
        tree = self._load_tree(object_root, keys, threads)
        if verbose:
            print(f"downloaded arrays in {object_root!r}")  # noqa: T201 - documented to print
        return tree

    def _load_tree(self, object_root: str, wanted: Iterable[str] | None, threads: int | None) -> dict[str, Any]:
        for attempt in range(_ATTEMPTS):
            try:
                leaves = self._load_leaves(object_root, wanted, threads)
            except ObjectNotFound:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue  # taken away since it was listed: another tree stands there
            if _are_of_one_upload(keys.as_directory(object_root), leaves):
                return trees.nest((name, array) for name, (array, _) in leaves.items())
        raise ObjectChanged(
            f"the leaves of tree {self.backend_interface.describe(object_root)} are of several uploads: one is under "
            "way, or two were at the same time. Wait, upload the tree again, or load the arrays one by one "
            "(download_raw_array)"
        )

    def _load_leaves(self, object_root: str, wanted: Iterable[str] | None, threads: int | None) -> dict[str, _Leaf]:
        prefix = keys.as_directory(object_root)
        there = list(self._listed(prefix))
        plain, found = trees.stages(info.key.removeprefix(prefix) for info in there)
        latest = trees.newest(found)
        places = {name: name for name in plain if name and not name.endswith(keys.SEPARATOR)}
        for root, stage in latest.items():
            places |= {keys.join(root, leaf): place for leaf, place in stage.leaves.items()}
        names = trees.select(places, wanted)
        largest = max((info.size for info in there), default=0)
        leaves = self._gather(
            lambda name: self._load_leaf(prefix + places[name]), names, threads, "download", prefix, largest=largest
        )
        unsent = {stage.version for stage in found if stage.started}

        def counts(name: str, metadata: Mapping[str, str]) -> bool:
            if lowered(metadata).get(VERSION) in unsent and places[name] == name:
                return False
            roots = (root for root in latest if places[name] == name and f"{name}/".startswith(keys.as_directory(root)))
            return not any(_is_leaf(metadata, name, root) for root in roots)

        return {name: leaf for name, leaf in zip(names, leaves, strict=True) if leaf and counts(name, leaf[1])}

    def _load_leaf(self, key: str) -> tuple[npt.NDArray[Any], dict[str, str]] | None:
        try:
            return load_array(self.backend_interface, key, self._settings, 1)
        except NotAnArray:
            log.warning("%s is no raw array: passed over", self.backend_interface.describe(key))
            return None


def _is_leaf(metadata: Mapping[str, str], key: str, root: str) -> bool:
    """Whether `dict2cloud` wrote it, for this root or one above it."""
    # deeper: the leaf is of a tree that this one is a branch of
    depth = lowered(metadata).get(_MARK, "").partition("-")[0]
    return depth.isdecimal() and int(depth) >= _depth(key, root)


def _are_of_one_upload(prefix: str, leaves: Mapping[str, _Leaf]) -> bool:
    """Whether the leaves of each tree, as `dict2cloud` wrote it, came with one call of it."""
    versions: dict[str, str | None] = {}
    for name, (_, metadata) in leaves.items():
        facts = lowered(metadata)
        depth, _, digest = facts.get(_MARK, "").partition("-")
        parts = f"{prefix}{name}".split(keys.SEPARATOR)
        if not depth.isdecimal() or not 0 < int(depth) < len(parts):
            continue
        root = keys.SEPARATOR.join(parts[: -int(depth)])
        # of another digest are leaves that were copied or moved here
        if _digest(root) == digest and versions.setdefault(root, facts.get(VERSION)) != facts.get(VERSION):
            return False
    return True


def _outdated(others: Iterable[trees.Stage], there: Iterable[ObjectInfo]) -> list[str]:
    """What other uploads left: those that were complete, and those that lie there for long."""
    dates = {info.key: info.last_modified for info in there}
    forgotten = datetime.now(timezone.utc) - FORGOTTEN
    outdated: list[str] = []
    for other in others:
        names = [*other.marks, *other.leaves.values()]
        if other.order or all(date and date < forgotten for date in map(dates.get, names)):
            outdated += names
    return outdated


def _depth(key: str, root: str) -> int:
    return key.removeprefix(f"{root}/").count("/") + 1


@lru_cache
def _digest(root: str) -> str:
    """A root's name in metadata, which take ASCII only."""
    return hashlib.sha256(root.encode()).hexdigest()[:8]

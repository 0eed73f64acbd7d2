"""Trees of arrays: nested dictionaries."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.arrayformat import lowered
from cottoncandy.chunkedarrays import VERSION
from cottoncandy.errors import NotAnArray, ObjectChanged, ObjectNotFound
from cottoncandy.interfaces.arrays.raw import RawArrays
from cottoncandy.rawarrays import as_array, load_array, refuse_names

log = logging.getLogger(__name__)

# The metadata key of leaves that dict2cloud wrote: how many components of their name lie below the tree's root, and
# a digest of the root's name, which tells a leaf that was copied from another tree.
_MARK = "tree"
# How often a reader starts again when a tree is replaced under its hands.
_ATTEMPTS = 3


class ArrayTrees(RawArrays):
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

        Each leaf is a raw array under the name of its keys. Leaves that an earlier `dict2cloud` wrote below the same
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
            keys.join(root, name): as_array(leaf, self.backend_interface.describe(keys.join(root, name)))
            for name, leaf in trees.flatten(array_dict).items()
        }
        compression = metadata.pop("compression", True)
        refuse_names(metadata, {_MARK, VERSION})
        metadata[VERSION] = secrets.token_hex(8)

        def send(key: str) -> None:
            mark = {_MARK: f"{_depth(key, root)}-{_digest(root)}"}
            self._store(key, arrays[key], compression, acl, 1, {**metadata, **mark})

        with ThreadPoolExecutor(1) as aside:
            listing = aside.submit(self._names_below, root)
            self._for_each(send, arrays, threads, "upload", root)
            old = listing.result()
        self._remove_leaves(root, [key for key in old if key not in arrays], threads)
        if verbose:
            print(f"uploaded arrays in {root!r}")  # noqa: T201 - documented to print

    def _names_below(self, root: str) -> list[str]:
        return [info.key for info in self._listed(keys.as_directory(root))]

    def _remove_leaves(self, root: str, candidates: Sequence[str], threads: int | None) -> None:
        """Remove those objects that an earlier `dict2cloud` of this root, or of one above it, wrote."""

        def is_leaf(key: str) -> bool:
            try:
                mark = lowered(self.backend_interface.stat(key).metadata).get(_MARK, "")
            except ObjectNotFound:
                return False
            # deeper: the leaf is of a tree that this one is a branch of
            depth = mark.partition("-")[0]
            return depth.isdecimal() and int(depth) >= _depth(key, root)

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
        for _ in range(_ATTEMPTS):
            leaves = self._load_leaves(object_root, wanted, threads)
            if self._is_one_upload(object_root, leaves):
                return trees.nest((name, array) for name, (array, _) in leaves.items())
        raise ObjectChanged(
            f"the leaves of tree {self.backend_interface.describe(object_root)} are of several uploads: one is under "
            "way, or was broken off. Wait, upload the tree again, or load the arrays one by one (download_raw_array)"
        )

    def _load_leaves(
        self, object_root: str, wanted: Iterable[str] | None, threads: int | None
    ) -> dict[str, tuple[npt.NDArray[Any], dict[str, str]]]:
        prefix = keys.as_directory(object_root)
        names = [key.removeprefix(prefix) for key in self._names_below(object_root)]
        names = trees.select([name for name in names if name and not name.endswith(keys.SEPARATOR)], wanted)
        arrays = self._gather(lambda name: self._load_leaf(prefix + name), names, threads, "download", prefix)
        return {name: array for name, array in zip(names, arrays, strict=True) if array is not None}

    def _is_one_upload(self, object_root: str, leaves: Mapping[str, tuple[Any, Mapping[str, str]]]) -> bool:
        """Whether those leaves that `dict2cloud` wrote for this root came with one call of it."""
        digest = _digest(keys.as_directory(object_root).rstrip(keys.SEPARATOR))
        known = [lowered(metadata) for _, metadata in leaves.values()]
        ours = {facts.get(VERSION) for facts in known if facts.get(_MARK, "").endswith(f"-{digest}")}
        return len(ours) < 2

    def _load_leaf(self, key: str) -> tuple[npt.NDArray[Any], dict[str, str]] | None:
        try:
            return load_array(self.backend_interface, key, self._settings, 1)
        except NotAnArray:
            log.warning("%s is no raw array: passed over", self.backend_interface.describe(key))
            return None


def _depth(key: str, root: str) -> int:
    return key.removeprefix(f"{root}/").count("/") + 1


def _digest(root: str) -> str:
    """A root's name in metadata, which take ASCII only."""
    return hashlib.sha256(root.encode()).hexdigest()[:8]

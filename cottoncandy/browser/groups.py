"""Nodes of arrays, and of groups of them."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from cottoncandy import arrayformat, keys
from cottoncandy.backends.base import ObjectHead
from cottoncandy.browser.listing import PAGE, Children
from cottoncandy.browser.nodes import S3FSLike
from cottoncandy.errors import ObjectNotFound

__all__ = ["S3HDF5"]

# What a node of an array has of `Dataset`. An array has no children, so none of these hides one.
_OF_AN_ARRAY = frozenset(
    {"shape", "dtype", "ndim", "size", "nbytes", "order", "compression", "chunks", "metadata", "to_dask", "preview"}
)
# What numpy's functions, and users, ask of an array in memory beside that.
_OF_NUMPY = frozenset(name for name in dir(np.ndarray) if not name.startswith("_")) - _OF_AN_ARRAY


class S3HDF5(S3FSLike):
    """A group of arrays, or an array (a dataset), as in an HDF5 file.

    A group is a mapping of names to nodes, which `dict2cloud` takes for a tree. (It is no `collections.abc.Mapping`: of
    a name alone nobody knows whether it is a group's or an array's.) An array has `shape`, `dtype`, `to_dask` and the
    like of `cottoncandy.datasets.Dataset`, and numpy's slices; it is opened with one request when it is first asked for
    them.

    Examples
    --------
    >>> cci.dict2cloud('sub01.grp', {'bold': arr, 'mask': arr > 0}, verbose=False, compression=False)
    >>> group = cci.cloud2dataset('sub01.grp')
    >>> list(group), 'bold' in group
    (['bold', 'mask'], True)
    >>> group.bold.shape, group['bold'][1:3, 0].shape
    ((4, 5, 6), (2, 6))
    """

    def __getattr__(self, attribute: str) -> Any:
        if attribute in _OF_AN_ARRAY and self._is_array():
            return self._with_array(lambda array: getattr(array, attribute))
        if attribute in _OF_NUMPY and self._is_array():
            # np.mean(node) asks for a method of that name, and reads the array where there is none
            raise AttributeError(f"an array in the store has no {attribute!r}: read it first, node[...].{attribute}")
        return super().__getattr__(attribute)

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *_OF_AN_ARRAY] if self._is_leaf else super().__dir__()

    def _is_array(self) -> bool:
        """Whether it is one; a request where that is not known, and the name does not tell."""
        if self._is_leaf is None and not self._is_told_to_be_a_group():
            self._look(PAGE)
        return bool(self._is_leaf)

    def _seems_a_group(self) -> bool:
        return self._as_group or self._is_told_to_be_a_group()

    def _is_told_to_be_a_group(self) -> bool:
        """By what was listed, or by the name."""
        return bool(self._children) or self._extensions.is_group(self._fullpath)

    def keys(self) -> list[str]:
        """The names of the arrays and groups in a group; none for an array."""
        found = self._look() if self._is_leaf else self._list()
        return list(found) if isinstance(found, dict) else []

    def values(self) -> list[S3FSLike]:
        """The nodes of the arrays and groups in a group."""
        return [self._child(name) for name in self.keys()]

    def items(self) -> list[tuple[str, S3FSLike]]:
        """The names in a group, and their nodes."""
        return [(name, self._child(name)) for name in self.keys()]

    def get(self, key: str, default: Any = None) -> Any:
        """The node of this name in a group; the default where there is none."""
        try:
            return self[key]
        except KeyError:
            return default

    def load(self, key: str | None = None) -> Any:
        """Download the array, or the whole group as a dictionary.

        Parameters
        ----------
        key : str, optional
            Load this array (or group) of the group only.

        Returns
        -------
        numpy.ndarray or dict

        Raises
        ------
        ObjectNotFound
        """
        if key is not None:
            return self._child(keys.clean_object(key).rstrip(keys.SEPARATOR)).load()
        found = self._load()
        if found is None and self._resolve():
            found = self._load()
        if found is None:
            raise ObjectNotFound(f"{self._interface.backend_interface.describe(self._fullpath)} does not exist")
        return found

    def _load(self) -> Any:
        kinds = [self._load_array, self._load_group]
        is_group_first = self._as_group if self._is_leaf is None else not self._is_leaf
        found = (load() for load in (kinds[::-1] if is_group_first else kinds))
        return next((loaded for loaded in found if loaded is not None), None)

    def _load_array(self) -> Any:
        with contextlib.suppress(ObjectNotFound):
            return self._interface._load_raw(self._fullpath)  # noqa: SLF001 - what else is there is asked here

    def _load_group(self) -> dict[str, Any] | None:
        return self._interface._load_tree(self._fullpath, None, None) or None  # noqa: SLF001 - see `_load_array`

    def __repr__(self) -> str:
        return self._text(self._look(PAGE))

    def _text(self, found: ObjectHead | Children) -> str:
        bucket = f"bucket:{self._interface.bucket_name}"
        if isinstance(found, dict):
            count = f"{len(found)}{'' if self._is_all else '+'}"
            return f"<cottoncandy-group <{bucket}> ({self._fullpath}: {count} keys)>"
        shape = arrayformat.lowered(found.metadata).get("shape", "")
        return f"<cottoncandy-dataset <{bucket} [{found.size / 2**20:.2f}MB:shape=({shape})]>"

"""Trees of arrays: nested dictionaries."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.arrayformat import RESERVED_KEYS, is_array
from cottoncandy.chunkedarrays.names import VERSION, new_version
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.arrays.treedownload import TreeDownloads
from cottoncandy.interfaces.arrays.treemark import MARK, mark
from cottoncandy.interfaces.arrays.treeupload import TreeUpload, TreeUploads
from cottoncandy.plainarrays import as_array, gives_arrays, tell_lost, unlabelled
from cottoncandy.rawarrays import refuse_names


class _Unread:
    """A leaf that is read when it is sent, so that not all of them are in memory at the same time.

    They are read one after the other, as they were before: not every library of files bears several threads.

    Parameters
    ----------
    value : array_like
        What `gives_arrays`.
    describe : callable
    reading : threading.Lock
        Of all leaves of the tree.
    """

    def __init__(self, value: Any, describe: Callable[[], str], reading: threading.Lock) -> None:
        self._value, self._describe, self._reading = value, describe, reading
        as_array(np.empty(0, value.dtype), describe)  # what cannot be stored is refused before anything is sent
        size = math.prod(value.shape) * value.dtype.itemsize
        self.nbytes = math.inf if math.isnan(size) else size  # dask does not always know how much it makes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        with self._reading:
            return as_array(self._value, self._describe)


class ArrayTrees(TreeUploads, TreeDownloads):
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
        are left alone. If another writer comes while a first tree is sent, the tree may be sent twice: an error of
        the second time leaves what was sent the first time.

        Parameters
        ----------
        object_name : str
        array_dict : dict
            Or another mapping: a group of h5py, or one of `cloud2dataset`; of one of xarray the coordinates and
            attributes are not stored, which is logged (`zarr_store` is for these). What is neither a mapping nor an
            array goes through `numpy.asarray`. Arrays that are not in memory (datasets of h5py, dask arrays,
            `open_array`) are read one after the other, each when it is sent. An empty dictionary is stored as nothing,
            and does not come back.
        acl : str, optional
            A canned ACL.
        verbose : bool
            Print the name when all is done.
        threads : int, optional
            Arrays at a time; by default as many as are of use, up to the configured ``most_threads``.
        **metadata
            For each array: ``compression``, and user metadata.

        Raises
        ------
        WrongKey
            If something that lies below that name, and that the dictionary has no leaf for, is encrypted, and no key at
            hand tells whether it is a leaf of the old tree. That one stays as it is.

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
        describe = partial(self.backend_interface.describe, root)
        compression = metadata.pop("compression", True)
        refuse_names(metadata, {MARK, VERSION, *RESERVED_KEYS}, describe)
        self._compression.choose(compression, 0, describe)  # refuses what is none
        arrays = self._leaves(root, array_dict)

        def anew() -> TreeUpload:
            version = new_version()

            def send(key: str, place: str, later: bool) -> Any:
                facts = {**metadata, **mark(key, root, len(arrays)), VERSION: version}
                if later and isinstance(arrays[key], _Unread):
                    return None  # in this thread nothing else would be sent while it is read
                return self._store(place, np.asarray(arrays[key]), compression, acl, 1, facts, later=later)

            return TreeUpload(trees.Stage(root, version), arrays, send, threads, acl)

        while not self._upload_tree(anew()):
            pass
        if verbose:
            print(f"uploaded arrays in {root!r}")  # noqa: T201 - documented to print

    def _leaves(self, root: str, array_dict: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays of a dictionary by the names of their objects; those that are not in memory as `_Unread`."""
        describe = self.backend_interface.describe
        told: list[str] = []  # branches of xarray: what is lost is told of the uppermost, and of nothing in it

        def is_told(name: str) -> bool:
            return any(not above or name == above or name.startswith(f"{above}/") for above in told)

        def see(name: str, branch: Any) -> None:
            if not is_told(name) and tell_lost(branch, partial(describe, keys.join(root, name) if name else root)):
                told.append(name)

        try:
            leaves = trees.flatten(array_dict, see)
        except (InvalidObjectName, TypeError) as error:
            raise type(error)(f"{describe(root)}: {error}") from None
        reading = threading.Lock()

        def leaf(name: str, key: str, value: Any) -> Any:
            where = partial(describe, key)
            value = unlabelled(value, None if is_told(name) else where)
            return _Unread(value, where, reading) if gives_arrays(value) else as_array(value, where)

        return {(key := keys.join(root, name)): leaf(name, key, value) for name, value in leaves.items()}

    def cloud2dict(
        self,
        object_root: str,
        verbose: bool = True,
        keys: str | Iterable[str] | None = None,
        threads: int | None = None,
        **metadata: Any,  # noqa: ARG002 - published
    ) -> dict[str, Any]:
        """Download all arrays below a name as a nested dictionary.

        Objects that are no raw arrays are passed over, with a warning in the log.

        Parameters
        ----------
        object_root : str
        verbose : bool
            Print the name when all is done, or that nothing was found.
        keys : str or list of str, optional
            Download these only: one name or several, of arrays or of groups below the root (``['bold', 'anat/mask']``).
        threads : int, optional
            Arrays at a time; by default as many as are of use, up to the configured ``most_threads``.

        Returns
        -------
        dict
            Empty where there is nothing.

        Raises
        ------
        ObjectNotFound
            If nothing is below that name, but an object has it: `download_raw_array` reads one array.
        KeyError
            For one of the ``keys`` that is not there.
        ObjectChanged
            If the tree is replaced again and again while it is read: old and new leaves are never mixed.
        """
        wanted = [keys] if isinstance(keys, str) else keys
        if not isinstance(wanted, Iterable | None):
            raise TypeError(f"keys are names below {object_root!r}, as ['bold', 'anat/mask'], not {keys!r}")
        tree = self._load_tree(object_root, wanted, threads)
        if not tree and wanted is None:
            self._refuse_object(object_root)
        if verbose:
            found = bool(tree) or wanted is not None
            said = f"downloaded arrays in {object_root!r}" if found else f"no arrays are below {object_root!r}"
            print(said)  # noqa: T201 - documented to print
        return tree

    def _refuse_object(self, object_root: str) -> None:
        """Raise ObjectNotFound if there is an object of that name, where somebody looked for a tree."""
        name, backend = keys.clean(object_root), self.backend_interface
        if not name or name.endswith(keys.SEPARATOR):
            return
        try:
            metadata = backend.stat(name).metadata
        except ObjectNotFound:
            return
        reader = "download_raw_array" if is_array(metadata) else "download_object"
        raise ObjectNotFound(f"{backend.describe(name)} is one object, and no tree of arrays: {reader} reads it")

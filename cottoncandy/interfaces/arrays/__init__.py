"""Arrays: raw, npy, sparse, chunked, and trees of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cottoncandy.interfaces.arrays.chunked import ChunkedArrays
from cottoncandy.interfaces.arrays.masked import MaskedArrays
from cottoncandy.interfaces.arrays.sparse import SparseArrays
from cottoncandy.interfaces.arrays.tree import ArrayTrees

if TYPE_CHECKING:
    from cottoncandy.browser import BrowserObject

__all__ = ["ArrayInterface"]


class ArrayInterface(ArrayTrees, ChunkedArrays, SparseArrays, MaskedArrays):
    """numpy, scipy.sparse and dask arrays, and trees of them.

    The parameters are those of `BasicInterface`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def cloud2dataset(self, object_root: str, **metadata: Any) -> BrowserObject:  # noqa: ARG002 - published
        """Open a branch as a group with ``keys()`` and ``load()``, as h5py or pytables would; or an array.

        Nothing is asked of the store yet. The group is a mapping of names to groups and arrays; these are sliced, and
        have ``shape``, ``dtype``, ``to_dask``..., as what `open_array` gives.

        Parameters
        ----------
        object_root : str

        Returns
        -------
        BrowserObject

        Examples
        --------
        >>> cci.dict2cloud('sub01', {'bold': arr, 'anat': {'mask': arr > 0}}, verbose=False, compression=False)
        >>> subject = cci.cloud2dataset('sub01')
        >>> subject.keys(), 'anat/mask' in subject
        (['anat', 'bold'], True)
        >>> subject['bold'].shape, subject.anat.mask[0, 1:3].shape
        ((4, 5, 6), (2, 6))
        """
        return self._browse(object_root, as_group=True)

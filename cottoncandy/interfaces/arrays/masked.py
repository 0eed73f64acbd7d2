"""Masked arrays: a folder of parts each."""

from __future__ import annotations

from typing import Any

import numpy as np

from cottoncandy.interfaces.arrays.parted import PartedArrays


class MaskedArrays(PartedArrays):
    """Arrays of `numpy.ma`."""

    def upload_masked_array(
        self,
        object_name: str,
        array: np.ma.MaskedArray[Any, Any],
        compression: str | bool | None = True,
        acl: str | None = None,
        threads: int | None = None,
        **metadata: Any,
    ) -> None:
        """Upload a masked array as a folder of its parts: ``data``, ``mask`` and ``fill_value``.

        Each is a raw array, which `download_raw_array` and older releases read by themselves. What lies under the mask
        is stored too. An array that is there already is replaced as a whole: until the new one stands, readers get the
        old one.

        Parameters
        ----------
        object_name : str
        array : numpy.ma.MaskedArray
        compression : str or bool
            As in `upload_raw_array`.
        acl : str, optional
            A canned ACL.
        threads : int, optional
            Parts at a time; by default as many as are of use, up to the configured ``most_threads``.
        **metadata
            User metadata, for each part.

        Raises
        ------
        UnsupportedArray
            For what is no masked array, and for one of ``object``.

        See Also
        --------
        download_masked_array

        Examples
        --------
        >>> import numpy as np
        >>> bold = np.ma.masked_greater(np.array([1.0, 2.0, 99.0]), 50)
        >>> cci.upload_masked_array('sub01/bold', bold)
        >>> cci.download_masked_array('sub01/bold')
        masked_array(data=[1.0, 2.0, --],
                     mask=[False, False,  True],
               fill_value=1e+20)
        >>> cci.download_raw_array('sub01/bold/data')
        array([ 1.,  2., 99.])
        """
        from cottoncandy.partedarrays import masked

        self._upload_parts(
            masked.FORM, object_name, array, threads, compression=compression, acl=acl, metadata=metadata
        )

    def download_masked_array(self, object_name: str, threads: int | None = None) -> np.ma.MaskedArray[Any, Any]:
        """Download a masked array that `upload_masked_array` stored.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Parts at a time; by default as many as are of use, up to the configured ``most_threads``.

        Returns
        -------
        numpy.ma.MaskedArray
            With its mask, a hard one too, and its fill value.

        Raises
        ------
        ObjectNotFound
            If it, or a part of it, is missing.
        NotAnArray
            If it is another kind of array; the error tells which call reads it.
        ObjectChanged
            If it is replaced again and again while it is read.
        """
        from cottoncandy.partedarrays import masked

        array: np.ma.MaskedArray[Any, Any] = self._download_parts(masked.FORM, object_name, threads)
        return array

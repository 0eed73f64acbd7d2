"""Sparse arrays: a folder of parts each."""

from __future__ import annotations

from typing import Any

from cottoncandy.interfaces.arrays.parted import PartedArrays


class SparseArrays(PartedArrays):
    """scipy.sparse arrays."""

    def upload_sparse_array(self, object_name: str, arr: Any, threads: int | None = None) -> None:
        """Upload a scipy.sparse array as a folder of its parts.

        An array that is there already is replaced as a whole: until the new one stands, readers get the old one.

        Parameters
        ----------
        object_name : str
        arr : scipy.sparse.sparray or scipy.sparse.spmatrix
            CSR, CSC, COO, BSR or DIA; DOK and LIL are stored as CSR.
        threads : int, optional
            Parts at a time; by default as many as are of use, up to the configured ``most_threads``.

        Raises
        ------
        UnsupportedArray
            For what is no sparse array, and for one of other than two dimensions.
        """
        from cottoncandy.partedarrays import sparse

        self._upload_parts(sparse.FORM, object_name, arr, threads)

    def download_sparse_array(self, object_name: str, threads: int | None = None) -> Any:
        """Download a scipy.sparse array.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Parts at a time; by default as many as are of use, up to the configured ``most_threads``.

        Returns
        -------
        scipy.sparse.sparray or scipy.sparse.spmatrix
            What was uploaded; a matrix where 0.4.0 wrote it.

        Raises
        ------
        ObjectNotFound
            If it, or a part of it, is missing.
        NotAnArray
            If it is another kind of array; the error tells which call reads it.
        ObjectChanged
            If it is replaced again and again while it is read.
        """
        from cottoncandy.partedarrays import sparse

        return self._download_parts(sparse.FORM, object_name, threads)

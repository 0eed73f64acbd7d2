"""One array, one object: raw and npy."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt

from cottoncandy import checksums, keys, npyfiles
from cottoncandy.arrayformat import is_array, laid_out, read_checksum
from cottoncandy.backends.base import ObjectHead, Receipt
from cottoncandy.bodies import BytesLike
from cottoncandy.errors import (
    ChecksumMismatch,
    CorruptObject,
    CottonCandyError,
    NotAnArray,
    ObjectNotFound,
    OutOfMemory,
    UnsupportedArray,
)
from cottoncandy.interfaces.basic import BasicInterface
from cottoncandy.parallel import number_of_threads
from cottoncandy.plainarrays import as_array
from cottoncandy.rawarrays import CompressionDefaults, load_array, refuse_names, store_array
from cottoncandy.stream import ObjectSource

if TYPE_CHECKING:
    from cottoncandy.datasets import Dataset

log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded")


class RawArrays(BasicInterface):
    """Arrays as one object each."""

    def _load_options(self) -> None:
        super()._load_options()
        self._compression = CompressionDefaults.from_options(self._options)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_compression"}

    def upload_raw_array(
        self,
        object_name: str,
        array: npt.ArrayLike,
        compression: str | bool | None = True,
        acl: str | None = None,
        threads: int | None = None,
        **metadata: Any,
    ) -> Receipt:
        """Upload an array as it lies in memory, with its shape and dtype as metadata.

        No array is copied as a whole: an uncompressed one is sent from its own memory, and what does not lie in the
        order in which it is stored (``array[::-1]``; Fortran order, for any codec but gzip and those in blocks) is
        gathered piece by piece. So a `numpy.memmap` is not loaded.

        Parameters
        ----------
        object_name : str
        array : numpy.ndarray
            Of any shape, and any dtype that has bytes of its own (structured, datetime64, big-endian, unicode...), or
            numpy 2's ``StringDType``. Subclasses go up as plain arrays: for masked ones there is
            `upload_masked_array`.
        compression : str or bool
            True takes what the configuration says, and none where a sample tells that it does not pay; False is none.
            Or one of ``'Blosc'``, ``'Zstd'``, ``'LZ4'``, ``'gzip'``, ``'Zlib'``, ``'BZ2'``; or one of them in blocks
            (``'Zstd-blocks'``), for arrays that are read in slices (`open_array`): 0.4.0 cannot read these.
        acl : str, optional
            A canned ACL.
        threads : int, optional
            Connections; the configured ``threads`` by default.
        **metadata
            More user metadata; values are turned into text.

        Returns
        -------
        dict
            The boto3 response, or one in its shape.

        Raises
        ------
        ValueError
            For metadata under a name that describes the array (``order``, ``descr``, ``gzip``...).
        UnsupportedArray
            For ``object`` arrays, which hold references.
        UnknownCodec
        InvalidObjectName
            For a name that ends with ``/``, which is a directory's.

        See Also
        --------
        download_raw_array

        Examples
        --------
        >>> import numpy as np
        >>> response = cci.upload_raw_array('sub01/bold', np.arange(6).reshape(2, 3))
        >>> cci.download_raw_array('sub01/bold')
        array([[0, 1, 2],
               [3, 4, 5]])
        """
        receipt: Receipt = self._store(object_name, array, compression, acl, threads, metadata)
        return receipt

    def _store(
        self,
        object_name: str,
        array: Any,
        compression: str | bool | None = True,
        acl: str | None = None,
        threads: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        later: bool = False,
        if_absent: bool = False,
    ) -> Any:
        """Send an array; all raw arrays pass through here. See `store_array` for ``later``, and for what it gives."""
        options = self._write_options(acl)
        return store_array(
            self.backend_interface,
            keys.clean_object(object_name),
            array,
            compression=compression,
            defaults=self._compression,
            metadata={name: str(value) for name, value in metadata.items()} if metadata else {},
            options=replace(options, if_absent=True) if if_absent else options,
            settings=self._settings,
            threads=threads,
            later=later,
        )

    def download_raw_array(
        self,
        object_name: str,
        buffersize: int = 65536,  # noqa: ARG002 - published; the bytes go straight into the array
        threads: int | None = None,
        *,
        out: npt.NDArray[Any] | None = None,
        **kwargs: Any,  # noqa: ARG002 - published
    ) -> npt.NDArray[Any]:
        """Download an array that `upload_raw_array` stored.

        The memory is allocated once, and an uncompressed array's bytes go there as they arrive.

        Parameters
        ----------
        object_name : str
        buffersize : int
            Has no effect any more.
        threads : int, optional
            Connections; the configured ``threads`` by default.
        out : numpy.ndarray, optional
            Fill this array (or `numpy.memmap`) of the same shape and dtype, and give it back. Where its memory lies in
            the stored order, the bytes go there as they arrive. Else its items get there by way of an intermediate:
            some MiB at a time; but one as large as the array where that is compressed. ``'LZ4'`` needs its packed bytes
            in memory as well.

        Returns
        -------
        numpy.ndarray
            Writeable, of the shape, dtype and order that were stored; or ``out``. What ``'LZ4'`` had packed lies in
            memory that is 1/256 of the packed bytes larger, and does not own it.

        Raises
        ------
        ObjectNotFound
        CorruptObject
            If the object is no raw array, or its bytes do not fit its description.
        OutOfMemory
            If there is less memory than it takes: see ``out``, and `open_array`.
        TypeError, ValueError
            If ``out`` cannot be filled; it is as it was.

        See Also
        --------
        open_array : Reads only what is sliced.

        Examples
        --------
        >>> response = cci.upload_raw_array('sub01/bold', arr)
        >>> on_disk = np.lib.format.open_memmap('bold.npy', 'w+', arr.dtype, arr.shape)
        >>> bold = cci.download_raw_array('sub01/bold', out=on_disk)
        >>> bold is on_disk, np.array_equal(bold, arr)
        (True, True)
        """
        key = keys.clean_object(object_name)
        return self._naming_reader(key, self._load_raw, threads, out)

    def _load_raw(self, key: str, threads: int | None = None, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        return load_array(self.backend_interface, key, self._settings, threads, out=out)[0]

    def _naming_reader(self, key: str, load: Callable[..., Loaded], *arguments: Any) -> Loaded:
        """Load an object; where none has its name, but an array of several objects, say which call reads that one."""
        try:
            return load(key, *arguments)
        except ObjectNotFound as error:
            reader = self._reader_below(key)
            if reader is None:
                raise
            raise ObjectNotFound(f"{error}; {reader} reads what is below that name") from error

    def _reader_below(self, key: str) -> str | None:
        """The call that reads what is in a directory, as one short listing tells; None where there is nothing."""
        from cottoncandy.chunkedarrays.names import first_names
        from cottoncandy.chunkedarrays.standing import reader_by_names

        with contextlib.suppress(CottonCandyError):
            return reader_by_names(first_names(self.backend_interface, key))
        return None

    def open_array(self, object_name: str, threads: int | None = None) -> Dataset:
        """Open an array without reading it: what is sliced out of it is read, and no more.

        One request. The handle has `shape`, `dtype` and the like, numpy's slices, and `to_dask`.

        Parameters
        ----------
        object_name : str
            Of an array that `upload_raw_array` stored, or a leaf of a tree.
        threads : int, optional
            Connections for one slice; by default as many as are of use.

        Returns
        -------
        cottoncandy.datasets.Dataset

        Raises
        ------
        ObjectNotFound
        NotAnArray
            If the object is no raw array.

        Notes
        -----
        Store what you mean to slice with ``compression=False``, or in blocks (``compression='Zstd-blocks'``): an array
        that is compressed as a whole is read whole at the first slice, and kept.

        Examples
        --------
        >>> response = cci.upload_raw_array('sub01/bold', arr, compression='Zstd-blocks')
        >>> bold = cci.open_array('sub01/bold')
        >>> bold.shape
        (4, 5, 6)
        >>> np.array_equal(bold[1:3, ..., ::-2], arr[1:3, ..., ::-2])
        True
        """
        key = keys.clean_object(object_name)
        return self._naming_reader(key, self._open, threads)

    def _open(self, key: str, threads: int | None) -> Dataset:
        return self._dataset(key, self.backend_interface.stat(key), threads)

    def _dataset(self, key: str, head: ObjectHead, threads: int | None = None) -> Dataset:
        """The array of an object whose head is known."""
        from cottoncandy.datasets import Dataset

        return Dataset(self.backend_interface, key, head, self._settings, threads)

    def upload_npy_array(
        self,
        object_name: str,
        array: npt.ArrayLike,
        acl: str | None = None,
        threads: int | None = None,
        **metadata: Any,
    ) -> Receipt:
        """Upload an array as a ``.npy`` file, which other programs can read.

        The parts of a large one are copied one by one: `upload_raw_array` needs no copy. The array must not change
        meanwhile: it would not fit its checksum.

        Parameters
        ----------
        object_name : str
        array : numpy.ndarray
        acl : str, optional
            A canned ACL.
        threads : int, optional
            Connections; the configured ``threads`` by default.
        **metadata
            User metadata.

        Returns
        -------
        dict
            The boto3 response, or one in its shape.

        Raises
        ------
        UnsupportedArray
            For ``object`` arrays: they would be pickled, and `download_npy_array` reads no pickles. And for structured
            ones whose fields do not lie in their order, which such files cannot tell.
        """
        from cottoncandy.codecs.pieces import one_by_one  # it brings codecs, which few need

        describe = partial(self.backend_interface.describe, keys.clean_object(object_name))
        refuse_names(metadata, {checksums.KEY}, describe)
        array = as_array(array, describe, fixed_width=True)
        header, (_, view) = npyfiles.header_of(array, describe), laid_out(array, keeps_order=True)

        def pieces() -> Iterator[BytesLike]:
            return chain((header,), one_by_one(view))

        size = len(header) + len(view)
        # what is sent whole is one moment of the array, though others write into it
        whole = b"".join(pieces()) if size <= self._settings.upload_threshold else None
        own: dict[str, Any] = {}
        if self._settings.checksum:
            own[checksums.KEY] = checksums.of_pieces(pieces() if whole is None else [whole])
        body = pieces() if whole is None else whole
        return self._upload(object_name, body, {**metadata, **own}, acl, threads, size=size)

    def download_npy_array(self, object_name: str, threads: int | None = None) -> npt.NDArray[Any]:
        """Download a ``.npy`` file as an array. Pickled (``object``) arrays are refused; of several the first is given.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Connections; the configured ``threads`` by default.

        Returns
        -------
        numpy.ndarray

        Raises
        ------
        ObjectNotFound
        NotAnArray
            If it is a raw array, which `download_raw_array` reads.
        UnsupportedArray
            If it is of Python objects: where you trust its writer, `download_to_file` and
            ``numpy.load(file, allow_pickle=True)`` read it.
        CorruptObject
        ChecksumMismatch
            If its bytes are not those that were stored, the second time, too.
        """
        key = keys.clean_object(object_name)
        try:
            return self._naming_reader(key, self._load_npy, threads)
        except NotAnArray:
            raise
        except CorruptObject as error:
            log.warning("%s: reading it once more", error)
            return self._load_npy(key, threads)

    def _load_npy(self, key: str, threads: int | None) -> npt.NDArray[Any]:
        where = self.backend_interface.describe(key)
        with ObjectSource(self.backend_interface, key, self._settings) as source:
            metadata, threads = source.head.metadata, number_of_threads(threads, self._settings.threads)
            expected = read_checksum(metadata, where)
            try:
                with self._settings.progress.transfer("download", key, source.head.size):
                    array, found = npyfiles.read_array(source.head.size, partial(source.fill, threads=threads))
            except MemoryError as error:
                raise OutOfMemory.of(where, source.head.size) from error
            except UnsupportedArray as error:
                raise UnsupportedArray(f"{where}: {error}") from None
            except ChecksumMismatch:
                raise  # of an encrypted file, as it was read
            except CorruptObject as error:
                if is_array(metadata):
                    raise NotAnArray(f"{where} is no .npy file but a raw array: download_raw_array reads it") from error
                kind = CorruptObject if expected is None else ChecksumMismatch
                raise kind(f"{where} is no .npy file: {error}") from error
            try:
                checksums.compare(found, expected or found)
            except ChecksumMismatch as error:
                raise ChecksumMismatch(f"{where}: {error}") from None
            return array

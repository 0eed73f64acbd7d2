"""Arrays in chunks, for dask."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cottoncandy import arrayformat, keys
from cottoncandy.backends.base import Receipt
from cottoncandy.chunkedarrays.names import VERSION
from cottoncandy.extras import with_extra
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.parallel import gather, number_of_threads
from cottoncandy.plainarrays import as_array, gives_arrays, unlabelled
from cottoncandy.rawarrays import refuse_names

if TYPE_CHECKING:
    import dask.array

    from cottoncandy.chunkedarrays.folder import ChunkFolder
    from cottoncandy.chunkedarrays.graphs import DelayedUpload
    from cottoncandy.chunkedarrays.reader import StoredChunks
    from cottoncandy.chunkedarrays.upload import ChunkFormat, ChunkUpload, Sent
    from cottoncandy.chunking import Block, Chunks


class _Unchosen(int):
    """A default that can be told from the same number typed by a caller."""


_LAST_AXIS: Final = _Unchosen(-1)


class ChunkedArrays(FolderArrays):
    """Arrays that are stored in chunks."""

    def upload_dask_array(
        self,
        object_name: str,
        arr: Any,
        axis: int | None = _LAST_AXIS,
        buffersize: int | None = None,
        threads: int | None = None,
        **metakwargs: Any,
    ) -> Any:
        """Upload an array in chunks, for `download_dask_array`.

        A dask array is computed where dask computes: each chunk goes up from the task that has it, on threads, in
        processes or on a cluster, and the array is never in one place. Others are cut here, and go up in parallel.

        An array that is there already is replaced as a whole: until the new one stands, readers get the old one.
        When a chunk fails, those that were sent are removed.

        Parameters
        ----------
        object_name : str
        arr : dask.array.Array or numpy.ndarray
            Or what gives a numpy array when it is sliced: an h5py dataset, a memory map.
        axis : int or None
            The axis to cut, the last one by default; None cuts into nearly isotropic blocks. A dask array keeps its
            own chunks, unless ``axis`` or ``buffersize`` is given: then it is cut as any other array.
        buffersize : int, optional
            The size of a chunk in bytes; the configured ``dask_chunksize`` (100 MB) by default.
        threads : int, optional
            Chunks at a time; the configured ``threads`` by default. Of a dask array: connections for one chunk, 1 by
            default, as it is dask that says how many chunks are sent at a time.
        **metakwargs
            For each chunk: ``compression``, ``acl``, and user metadata. And ``compute=False`` uploads nothing yet: it
            returns a `dask.delayed.Delayed`, whose `compute` uploads the array and gives the response.

        Returns
        -------
        dict
            The boto3 response for ``metadata.json``, or one in its shape.

        Raises
        ------
        ValueError
            If the sizes of a dask array's chunks are not known, or a chunk is not what dask says of it.
        UnsupportedArray

        Notes
        -----
        The chunks are raw arrays ``NAME/pt0000``, ``NAME/pt0001``...; ``NAME/metadata.json``, written last, tells
        where they lie in the array.

        Examples
        --------
        >>> import numpy as np
        >>> arr = np.random.default_rng(0).standard_normal((10, 60, 100))
        >>> response = cci.upload_dask_array('test_dim', arr, axis=-1, buffersize=100_000)
        >>> dask_array = cci.download_dask_array('test_dim')
        >>> np.array_equal(np.asarray(dask_array[..., :20]), arr[..., :20])
        True
        >>> response = cci.upload_dask_array('doubled', dask_array * 2)  # computed chunk by chunk, never in one place
        """
        compute = metakwargs.pop("compute", True)
        together, of_one = number_of_threads(threads, self._settings.threads), number_of_threads(threads, 1)
        folder = self._chunk_folder(object_name)
        arr = unlabelled(arr, folder.describe)  # what is lost of it is told once, not of each chunk
        if not gives_arrays(arr):
            arr = as_array(arr, folder.describe)
        as_array(np.empty(0, arr.dtype), folder.describe, fixed_width=True)  # refuses what cannot be stored
        if compute and not _is_dask(arr):
            from cottoncandy.chunkedarrays.upload import ChunkUpload

            chunks, how = self._cut(arr, axis, buffersize), self._chunk_format(folder, arr, metakwargs)
            with folder.named():
                upload = ChunkUpload.start(folder, how, math.prod(map(len, chunks)))
                return _send_all(arr, chunks, upload, together)
        how = self._chunk_format(folder, arr, metakwargs, of_one)
        delayed = self._delayed_upload(folder, arr, axis, buffersize, how)
        return delayed.compute() if compute else delayed

    def _chunk_folder(self, object_name: str) -> ChunkFolder:
        from cottoncandy.chunkedarrays.folder import ChunkFolder

        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        return ChunkFolder(self.backend_interface, directory, self._settings)

    def _chunk_format(
        self, folder: ChunkFolder, arr: Any, metakwargs: Mapping[str, Any], threads: int = 1
    ) -> ChunkFormat:
        from cottoncandy.chunkedarrays.upload import ChunkFormat

        refuse_names(metakwargs, {VERSION, *arrayformat.RESERVED_KEYS} - {"compression"}, folder.describe)
        metadata = {name: str(value) for name, value in metakwargs.items() if name not in {"compression", "acl"}}
        compression, acl = metakwargs.get("compression", True), metakwargs.get("acl")
        self._compression.choose(compression, 0, folder.describe)  # refuses what is none
        return ChunkFormat(arr.dtype, compression, self._compression, metadata, acl, threads)

    def _cut(self, arr: Any, axis: int | None, buffersize: int | None) -> Chunks:
        from cottoncandy import chunking

        wanted = buffersize or self._options.megabytes("upload_settings", "dask_chunksize")
        try:
            size = int(wanted)  # 1e8 is usual
        except (TypeError, ValueError, OverflowError) as error:
            raise type(error)(f"buffersize is {wanted!r}: give a number of bytes") from None
        return chunking.array_chunks(arr.shape, arr.dtype.itemsize, axis, size)

    def _delayed_upload(
        self, folder: ChunkFolder, arr: Any, axis: int | None, buffersize: int | None, how: ChunkFormat
    ) -> DelayedUpload:
        from cottoncandy import chunking

        graphs = with_extra("cottoncandy.chunkedarrays.graphs", "dask")
        if not _is_dask(arr):
            arr = with_extra("dask.array", "dask").from_array(arr, chunks=self._cut(arr, axis, buffersize))
        elif any(math.isnan(size) for sizes in arr.chunks for size in sizes):
            raise ValueError(
                f"{folder.describe()}: the sizes of the dask array's chunks are not known: call "
                "arr.compute_chunk_sizes() first, which computes it once"
            )
        elif axis is _LAST_AXIS and buffersize is None:
            arr = arr.rechunk(chunking.without_empty(arr.chunks))
        else:
            arr = arr.rechunk(self._cut(arr, axis, buffersize))
        delayed: DelayedUpload = graphs.upload_graph(arr, folder, how)
        return delayed

    def download_dask_array(
        self, object_name: str, dask_name: str = "array", threads: int | None = None
    ) -> dask.array.Array:
        """Open an array in chunks as a dask array. Tasks read only what the computation touches.

        Parameters
        ----------
        object_name : str
        dask_name : str
            What the array's name in graphs begins with. A token of bucket, object and version follows.
        threads : int, optional
            Connections for one chunk, 1 by default: dask reads several chunks at a time.

        Returns
        -------
        dask.array.Array
            A slice reads the chunks that it touches, and of one that is not compressed the bytes of the slice.

        Raises
        ------
        ObjectNotFound
            Here if there is no such array; when computing, if a chunk of it is missing.
        NotAnArray
            If it is another kind of array; the error tells which call reads it.
        ObjectChanged
            When computing, if the array was replaced meanwhile: old and new chunks are never mixed.
        """
        graphs, count = with_extra("cottoncandy.chunkedarrays.graphs", "dask"), number_of_threads(threads, 1)
        stored, e_tag = self._stored_chunks(object_name, count)
        array: dask.array.Array = graphs.stored_array(stored, dask_name, e_tag)
        return array

    def _stored_chunks(self, object_name: str, threads: int = 1) -> tuple[StoredChunks, str | None]:
        """An array in chunks, of which nothing but the table is read yet, and the table's e_tag."""
        from cottoncandy.chunkedarrays.reader import StoredChunks

        folder = self._chunk_folder(object_name)
        table, e_tag = folder.read_table()
        return StoredChunks(folder, table, threads), e_tag


def _is_dask(arr: Any) -> bool:
    """Whether it is a dask array: where dask was never imported, nothing is."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(arr, module.Array)


def _send_all(arr: Any, chunks: Chunks, upload: ChunkUpload, threads: int) -> Receipt:
    """Send the chunks of an array that is sliced here."""
    from cottoncandy import chunking

    def send(numbered: tuple[int, Block]) -> Sent:
        number, block = numbered
        return upload.send(number, arr[block.slices])

    folder, blocks = upload.folder, list(enumerate(chunking.blocks(chunks)))
    with (
        upload.parts() as parts,
        folder.settings.progress.many("upload", folder.directory, len(blocks), "chunks") as count,
    ):
        sent = gather(count.wrap(send), blocks, threads)
        prepared = upload.prepare(chunks, sent)
        return upload.publish(prepared, parts)

"""Arrays in chunks, for dask."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from cottoncandy import chunkedarrays, chunking, keys
from cottoncandy.backends.base import ObjectInfo, Receipt
from cottoncandy.chunkedarrays import TABLE, VERSION, ChunkReader, ChunkTable
from cottoncandy.errors import CorruptObject, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.parallel import for_each
from cottoncandy.rawarrays import refuse_names

if TYPE_CHECKING:
    import dask.array


# Chunks that no table names, and that are older, were left by an upload that was killed.
_FORGOTTEN = timedelta(days=1)


class ChunkedArrays(FolderArrays):
    """Arrays that are stored in chunks."""

    def upload_dask_array(
        self,
        object_name: str,
        arr: Any,
        axis: int | None = -1,
        buffersize: int | None = None,
        threads: int | None = None,
        **metakwargs: Any,
    ) -> Receipt:
        """Upload an array in chunks, for `download_dask_array`.

        An array that is there already is replaced as a whole: until the new one stands, readers get the old one.

        Parameters
        ----------
        object_name : str
        arr : numpy.ndarray
            Or what gives one when it is sliced: a dask array, an h5py dataset, a memory map.
        axis : int or None
            The axis to cut; None cuts into nearly isotropic blocks.
        buffersize : int, optional
            The size of a chunk in bytes; the configured ``dask_chunksize`` (100 MB) by default.
        threads : int, optional
            Chunks at a time; the configured ``threads`` by default.
        **metakwargs
            For each chunk: ``compression``, ``acl``, and user metadata.

        Returns
        -------
        dict
            The boto3 response for ``metadata.json``, or one in its shape.

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
        """
        if not hasattr(arr, "dtype") or not hasattr(arr, "shape"):
            arr = np.asarray(arr)
        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        buffersize = buffersize or self._options.megabytes("upload_settings", "dask_chunksize")
        chunks = chunking.array_chunks(arr.shape, arr.dtype.itemsize, axis, buffersize)
        refuse_names(metakwargs, {VERSION})
        there = self._chunks_in(directory)
        old = self._old_chunks(directory, there)
        blocks = list(chunking.blocks(chunks))
        numbers = chunkedarrays.free_numbers(there, len(blocks))
        names = tuple(keys.join(directory, chunkedarrays.chunk_name(number)) for number in numbers)
        table = ChunkTable(arr.shape, arr.dtype, chunks, names, version=secrets.token_hex(8))
        with self._all_or_none(names):
            self._store_chunks(arr, table, blocks, threads, metakwargs)
        receipt = self._publish(directory, table.to_json(), names, metakwargs.get("acl"))
        self.backend_interface.delete(old)
        return receipt

    def _chunks_in(self, directory: str) -> dict[int, ObjectInfo]:
        """The chunks that lie in a directory, by number."""
        prefix = keys.as_directory(directory)
        listed = self.backend_interface.list_objects(f"{prefix}pt")
        found = ((chunkedarrays.chunk_number(info.key.removeprefix(prefix)), info) for info in listed)
        return {number: info for number, info in found if number is not None}

    def _old_chunks(self, directory: str, there: Mapping[int, ObjectInfo]) -> list[str]:
        """The chunks that nobody needs when a new array stands: those of the table, and what was left long ago.

        Others may be those of an upload that is under way.
        """
        try:
            named = {keys.basename(key) for key in self._read_table(directory)[0].keys}
        except (ObjectNotFound, CorruptObject):
            named = set()
        forgotten = datetime.now(timezone.utc) - _FORGOTTEN
        return [
            info.key
            for info in there.values()
            if keys.basename(info.key) in named or (info.last_modified and info.last_modified < forgotten)
        ]

    def _read_table(self, directory: str) -> tuple[ChunkTable, str | None]:
        """What ``metadata.json`` tells, and its e_tag."""
        with self._whole(keys.join(directory, TABLE), 1) as stream:
            return ChunkTable.from_json(stream.read(), self.backend_interface.describe(directory)), stream.e_tag

    def _store_chunks(
        self,
        arr: Any,
        table: ChunkTable,
        blocks: Sequence[chunking.Block],
        threads: int | None,
        metakwargs: Mapping[str, Any],
    ) -> None:
        metadata = dict(metakwargs)
        compression, acl = metadata.pop("compression", True), metadata.pop("acl", None)
        metadata[VERSION] = table.version

        def send(job: tuple[str, chunking.Block]) -> None:
            name, block = job
            self._store(name, np.asarray(arr[block.slices]), compression, acl, 1, metadata)

        for_each(send, zip(table.keys, blocks, strict=True), threads or self._settings.threads)

    def download_dask_array(
        self, object_name: str, dask_name: str = "array", threads: int | None = None
    ) -> dask.array.Array:
        """Open an array in chunks as a dask array. Only the chunks that a computation touches are read.

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

        Raises
        ------
        ObjectNotFound
            Here if there is no such array; when computing, if a chunk of it is missing.
        """
        import dask.array
        from dask.base import tokenize

        directory = keys.clean_object(object_name).rstrip(keys.SEPARATOR)
        table, e_tag = self._read_table(directory)
        read = ChunkReader(self.backend_interface, directory, table, self._settings, threads or 1)
        token = tokenize(self.backend_interface.address, directory, e_tag, table.version)
        return dask.array.map_blocks(  # type: ignore[no-any-return, no-untyped-call] # dask has no hints here
            read,
            name=f"{dask_name}-{token}",
            chunks=table.chunks,
            dtype=table.dtype,
            meta=np.empty((0,) * len(table.shape), table.dtype),
        )

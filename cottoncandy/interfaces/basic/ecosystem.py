"""The store handed over to other libraries: zarr, xarray, fsspec, pandas."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from cottoncandy.extras import with_extra
from cottoncandy.interfaces.basic.core import InterfaceCore

if TYPE_CHECKING:
    from cottoncandy.fsspecfs import ObjectFileSystem
    from cottoncandy.zarrstore import ZarrStore


class Ecosystem(InterfaceCore):
    """The current bucket, as other libraries take it."""

    # One for each thread: what others write meanwhile is in no transaction of this one's.
    _filesystems: threading.local | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_filesystems"}

    def zarr_store(self, prefix: str = "", read_only: bool = False) -> ZarrStore:
        """Give what is below a name as a store of zarr 3, for `zarr` and `xarray`.

        Needs ``pip install 'cottoncandy[zarr]'``. Nothing is asked of the store yet.

        Parameters
        ----------
        prefix : str
            The directory of the store; all of the bucket by default.
        read_only : bool
            Refuse to write and to delete.

        Returns
        -------
        cottoncandy.zarrstore.ZarrStore

        Raises
        ------
        ConfigurationError
            If zarr 3 is not installed.

        Examples
        --------
        >>> import zarr
        >>> grid = zarr.create_array(cci.zarr_store('exp.zarr'), data=arr, chunks=(2, 5, 6))
        >>> grid = zarr.open_array(cci.zarr_store('exp.zarr'), mode='r')
        >>> bool((grid[2:3] == arr[2:3]).all())
        True
        """
        module = with_extra("cottoncandy.zarrstore", "zarr")
        store: ZarrStore = module.ZarrStore(
            self.backend_interface, prefix, settings=self._settings, read_only=read_only
        )
        return store

    @property
    def fs(self) -> ObjectFileSystem:
        """The bucket as a file system of fsspec, for pandas, dask and all that take one; paths are object names.

        Needs ``pip install 'cottoncandy[fsspec]'``. The same one each time for a thread, until `set_bucket` goes
        elsewhere; one that was given before does not follow.

        Raises
        ------
        ConfigurationError
            If fsspec is not installed.

        Examples
        --------
        >>> with cci.fs.open('notes/day1.txt', 'w') as file:
        ...     count = file.write('slept well')
        >>> cci.fs.cat('notes/day1.txt')
        b'slept well'
        """
        kept = self._filesystems = self._filesystems or threading.local()
        filesystem: ObjectFileSystem | None = getattr(kept, "filesystem", None)
        if filesystem is None or not filesystem.is_of(self.backend_interface, self._settings):
            module = with_extra("cottoncandy.fsspecfs", "fsspec")
            filesystem = kept.filesystem = module.ObjectFileSystem(self.backend_interface, self._settings)
        return filesystem

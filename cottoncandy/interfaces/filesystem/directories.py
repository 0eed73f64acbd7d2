"""Branches of a store on disk."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from cottoncandy import keys
from cottoncandy.backends.base import ObjectReader
from cottoncandy.errors import ObjectNotFound
from cottoncandy.interfaces.basic import BasicInterface
from cottoncandy.pipelines import Begun
from cottoncandy.stream import begin_fetch
from cottoncandy.waits import Waits

log = logging.getLogger(__name__)


class Directories(BasicInterface):
    """Branches as directories on disk. See `BasicInterface`."""

    def download_directory(self, directory: str, disk_name: str, threads: int | None = None) -> None:
        """Download all objects below a name to a directory on disk, several at a time.

        Files have no metadata: raw arrays are to be copied with `cp`, or downloaded with `cloud2dict`.

        Parameters
        ----------
        directory : str
        disk_name : str
            Where to put them; made where it does not exist. Files of other names in it stay. A link to a file in it
            is replaced, and what it leads to stays as it was.
        threads : int, optional
            Objects at a time; by default as many as are of use, up to the configured ``most_threads``.

        Raises
        ------
        ObjectNotFound
            If nothing is below that name.
        InvalidObjectName
            If an object's name would leave the directory (also through a symbolic link that lies in it), or cannot be
            a file's here, or two names would be one file; nothing is written then.
        NotADirectoryError, IsADirectoryError
            If there is a file where a directory is to be, or the other way round; nothing is written then.
        """
        from cottoncandy.diskfiles import make_directory, parts_in, remove_abandoned
        from cottoncandy.diskpaths import disk_paths

        prefix, root, waits = keys.as_directory(directory), Path(disk_name), Waits()
        sizes = {info.key.removeprefix(prefix): info.size for info in self._listed(prefix)}
        if not sizes:
            raise ObjectNotFound(f"nothing is below {self.backend_interface.describe(directory)}")
        # the marker of the directory itself has no name in it
        files = disk_paths(root, filter(None, sizes))
        for name in (name for name, size in sizes.items() if size and name not in files):
            log.warning("%s: %s: not downloaded", self.backend_interface.describe(prefix + name), keys.IS_DIRECTORYS)
        make_directory(root)
        for folder in {path.parent for path in files.values()}:
            remove_abandoned(parts_in(folder))

        def fetch(name: str, opened: ObjectReader | None = None) -> None:
            make_directory(files[name].parent)
            first = self._settings.opening_of(sizes[name])
            self._download_key(prefix + name, files[name], 1, through_link=False, first=first, opened=opened)

        def begin(name: str) -> Begun[None] | None:
            return begin_fetch(self.backend_interface, prefix + name, sizes[name], partial(fetch, name), waits)

        self._for_each(fetch, files, threads, "download", directory, begin=begin)

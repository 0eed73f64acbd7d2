"""A container as a file system of fsspec."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK

from cottoncandy import keys
from cottoncandy.copies import Copies
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.fsspecfs.bulk import branches, in_safe_order, plan, require_inside
from cottoncandy.fsspecfs.files import Files


class ObjectFileSystem(Files):
    """A container of any backend as a file system of fsspec; paths are object names.

    Nothing is cached: each call asks the store, and sees what others wrote meanwhile. Directories are there while an
    object is in them; making one does nothing. Calls for many objects work on several at a time.

    Parameters
    ----------
    backend : Backend
    settings : TransferSettings, optional

    See Also
    --------
    CottonCandyFileSystem : the same, opened by URL.
    """

    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Download objects, several at a time; which go where is fsspec's own rule.

        Parameters
        ----------
        rpath : str or list of str
            Names or patterns. A directory with a trailing ``/`` is what is in it; one without comes into a directory
            that is there, under its own name.
        lpath : path, or list of paths
            With a trailing ``/``, or where one is there, a directory that they come into; else the new name.
        recursive : bool
            Directories, too: with all that is below them.
        callback : fsspec.callbacks.Callback, optional
            Told of each file that has arrived.
        maxdepth : int, optional
            How many levels of a directory.

        Raises
        ------
        InvalidObjectName
            If one would be written outside of ``lpath``, or two to one file; nothing is written then.
        """
        lpath = os.fspath(lpath) if isinstance(lpath, os.PathLike) else lpath
        jobs = plan(self._with_stages(), "get", rpath, lpath, recursive=recursive, maxdepth=maxdepth)
        if isinstance(lpath, str):
            require_inside(Path(lpath), jobs)

        def fetch(job: tuple[Any, Any]) -> None:
            named = not isinstance(lpath, str) or job[1] == lpath  # by the caller: what is below may be another's
            self.get_file(*job, **{"through_link": named, **kwargs})

        self._transfer(fetch, jobs, callback)

    def put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Upload files, several at a time; which go where is fsspec's own rule, as in `get`.

        Parameters
        ----------
        lpath : str or list of str
            Names on disk, or patterns.
        rpath : str or list of str
        recursive : bool
            Directories, too: with all that is below them.
        callback : fsspec.callbacks.Callback, optional
            Told of each file that has arrived.
        maxdepth : int, optional
            How many levels of a directory.
        """
        jobs = plan(self, "put", lpath, rpath, recursive=recursive, maxdepth=maxdepth)
        self._transfer(lambda job: self.put_file(*job, **kwargs), jobs, callback)

    # ------------------------------------------------------------------ copying, moving, removing
    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy an object inside the store, with its metadata."""
        self._backend.copy(*(keys.clean_object(self._strip_protocol(path)) for path in (path1, path2)))

    def copy(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        on_error: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Copy objects inside the store, several at a time; which go where is fsspec's own rule, as in `get`.

        Parameters
        ----------
        path1 : str or list of str
            Names or patterns.
        path2 : str or list of str
        recursive : bool
            Directories, too: with all that is below them.
        maxdepth : int, optional
            How many levels of a directory.
        on_error : str, optional
            ``'raise'`` or, by default with ``recursive``, ``'ignore'``: what has vanished is passed over.
        """
        jobs = plan(self._with_stages(), "copy", path1, path2, recursive=recursive, maxdepth=maxdepth)
        self._copied(jobs, on_error or ("ignore" if recursive else "raise"))

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move objects: copy them, and when all copies stand, delete the old ones.

        What is moved onto itself or into its own directory is not lost.

        Raises
        ------
        ObjectNotFound
        IsADirectoryError
            For a directory, without ``recursive``; nothing is moved then.
        """
        jobs = plan(self._with_stages(), "copy", path1, path2, recursive=recursive, maxdepth=maxdepth)
        if isinstance(path1, str) and not recursive:
            self._require_all(path1, jobs)
        self._copied(jobs, "raise").delete_sources()

    def _require_all(self, path: str, jobs: list[tuple[Any, Any]]) -> None:
        """Refuse what fsspec's rule leaves out: directories."""
        planned = {self._strip_protocol(old) for old, _ in jobs}
        for name in self.expand_path(path) if has_magic(path) else [self._strip_protocol(path)]:
            if name not in planned:
                self._require_object(name, "mv(..., recursive=True) moves it")

    def _copied(self, jobs: list[tuple[Any, Any]], on_error: str) -> Copies:
        pairs = [(self._strip_protocol(old), self._strip_protocol(new)) for old, new in jobs]
        folders = branches(old for old, _ in pairs)
        copies = Copies(self._backend, self._backend, "", in_safe_order(pairs), overwrite=True)

        def copy(pair: tuple[str, str]) -> None:
            try:
                copies.copy(pair)
            except ObjectNotFound:
                if on_error == "raise" and pair[0] not in folders:
                    raise

        self._for_each(copy, copies.pairs, 1 if copies.overlap() else None)
        return copies

    def rm_file(self, path: str) -> None:
        """Delete the object of this name, which is no pattern.

        Raises
        ------
        ObjectNotFound
        IsADirectoryError
        """
        name = keys.clean_object(self._strip_protocol(path))
        self._require_object(name)
        self._backend.delete([name])

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete objects, in batches; with ``recursive`` all below a name too.

        A name is a directory and no prefix: ``rm('exp', recursive=True)`` leaves ``exp2`` alone. A pattern deletes what
        it matches; but where an object or directory has a name like ``a[1]``, that one is meant, and no other.

        Raises
        ------
        ObjectNotFound
            If one is not there; nothing is deleted then.
        IsADirectoryError
            For a directory, without ``recursive``.
        """
        if path == "":
            raise InvalidObjectName("'' names nothing: rm('/', recursive=True) removes all objects of the bucket")
        names = self._with_stages().expand_path(path, recursive=recursive, maxdepth=maxdepth)
        if not recursive:
            self._for_each(self._require_object, names)
        elif maxdepth is None:
            # what some programs and servers keep of a directory, as an empty object, goes after what was in it
            folders = sorted(branches(names), reverse=True)
            names = sorted({*names} - {*folders})
            names += [key for folder in folders for key in (folder, f"{folder}/")]
        self._backend.delete([name for name in names if name])

    def _require_object(self, name: str, advice: str = "rm(..., recursive=True) removes it") -> None:
        if self._entry(name)["type"] == "directory":
            where = self._backend.describe(name)
            raise IsADirectoryError(f"{where} is a directory: {advice}")

    def _transfer(self, function: Callable[[Any], object], jobs: Sequence[Any], callback: Any) -> None:
        """Move files, and tell of each that has arrived."""
        lock = threading.Lock()
        callback.set_size(len(jobs))

        def move(job: Any) -> None:
            function(job)
            with lock:
                callback.relative_update()

        self._for_each(move, jobs)

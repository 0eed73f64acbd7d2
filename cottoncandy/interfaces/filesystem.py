"""The store as if it were a file system."""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cottoncandy import keys
from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.basic.listing import ALL_OF_A_THOUSAND, describe_object, limited, printable
from cottoncandy.interfaces.sync import Synchronizing
from cottoncandy.pools import Call

if TYPE_CHECKING:
    from cottoncandy.browser import BrowserObject
    from cottoncandy.copies import Copies

Entry = ObjectInfo | ObjectPrefix


class FileSystemInterface(Synchronizing):
    """The names of a store as directories: ``ls``, ``glob``, ``cp``, ``mv``, ``rm``.

    The parameters are those of `BasicInterface`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    # ------------------------------------------------------------------ looking
    def lsdir(self, path: str = "/", limit: int | None = ALL_OF_A_THOUSAND) -> list[str]:
        """List one level of a directory.

        Parameters
        ----------
        path : str
            The bucket's root by default.
        limit : int
            The most names to give; all by default.

        Returns
        -------
        list of str
            The full names of the objects and directories in it, without a trailing ``/``; empty where there is
            nothing.

        Examples
        --------
        >>> response = cci.upload_json('exp/run1/info', {})
        >>> response = cci.upload_json('exp/notes', {})
        >>> cci.lsdir('exp')
        ['exp/notes', 'exp/run1']
        """
        prefix = keys.as_directory(keys.without_trivial_magic(keys.clean(path)))
        return list(limited(_names(self._level(prefix)), limit))

    def _level(self, prefix: str, page_size: int | None = None) -> Iterator[Entry]:
        """What is in a directory; its own marker object, where there is one, is not in it."""
        listed = self.backend_interface.list_level(prefix, page_size=page_size)
        return (entry for entry in listed if entry.key != prefix)

    def ls(
        self,
        pattern: str,
        page_size: int | None = 1000,
        limit: int | None = ALL_OF_A_THOUSAND,
        verbose: bool = False,
    ) -> list[str]:
        """List names as the shell's ``ls`` does: a directory's children, or what matches a pattern.

        Parameters
        ----------
        pattern : str
            A name or a pattern; ``*``, ``?`` and ``[...]`` match within one component of a name.
        page_size : int
            How many names the store is asked for at once.
        limit : int
            The most names to give; all by default.
        verbose : bool
            Print them as well.

        Returns
        -------
        list of str
            Full names of objects and directories, without a trailing ``/``.

        Examples
        --------
        >>> response = cci.upload_json('exp/run1/info', {})
        >>> response = cci.upload_json('exp/run2/info', {})
        >>> cci.ls('exp/run*')
        ['exp/run1', 'exp/run2']
        """
        names = list(limited(_names(self.scandir(pattern, page_size)), limit))
        if verbose:
            print("\n".join(map(printable, names)))  # noqa: T201 - documented to print
        return names

    def scandir(self, pattern: str = "/", page_size: int | None = None) -> Iterator[ObjectInfo | ObjectPrefix]:
        """Go through what `ls` lists, with what the listing tells of it; pages are fetched as they are needed.

        Parameters
        ----------
        pattern : str
            As `ls` takes it; the bucket's root by default.
        page_size : int, optional
            How many names the store is asked for at once.

        Yields
        ------
        ObjectInfo or ObjectPrefix
            Of an object ``key``, ``size``, ``last_modified`` and ``e_tag``; of a directory its ``key``, which ends with
            ``/``.

        Examples
        --------
        >>> response = cci.upload_object('exp/notes.txt', 'slept well')
        >>> [(entry.key, entry.size) for entry in cci.scandir('exp')]
        [('exp/notes.txt', 10)]
        """
        pattern = keys.without_trivial_magic(keys.clean(pattern))
        if keys.has_magic(pattern):
            yield from self._walk("", pattern.rstrip(keys.SEPARATOR).split(keys.SEPARATOR), page_size)
            return
        children = self._level(keys.as_directory(pattern), page_size)
        first = next(children, None)
        if first is not None:
            yield first
            yield from children
        elif pattern and not pattern.endswith(keys.SEPARATOR):
            with contextlib.suppress(ObjectNotFound):
                yield self.backend_interface.stat(pattern)

    def _walk(self, directory: str, components: list[str], page_size: int | None) -> Iterator[Entry]:
        """Match the components of a pattern level by level: only what can match is listed."""
        plain = 0
        while plain < len(components) - 1 and not keys.has_magic(components[plain]):
            plain += 1
        directory += "".join(f"{component}/" for component in components[:plain])
        component, rest = components[plain], components[plain + 1 :]
        matches = re.compile(fnmatch.translate(component)).match
        prefix = directory + keys.literal_prefix(component)
        for entry in self.backend_interface.list_level(prefix, page_size=page_size):
            name = entry.key.rstrip(keys.SEPARATOR)
            if entry.key == directory or not matches(name.removeprefix(directory)):
                continue
            if not rest:
                yield entry
            elif isinstance(entry, ObjectPrefix):
                yield from self._walk(entry.key, rest, page_size)

    def glob(self, pattern: str, **kwargs: Any) -> list[str]:
        """Find the objects whose full name matches a pattern.

        Parameters
        ----------
        pattern : str
            As in `fnmatch`: ``*`` matches everything, ``/`` as well. Without ``*``, ``?`` or ``[``, all objects
            below the name are given.
        verbose : bool, optional
            Print date, size and name of each as well.
        limit : int, optional
            The most names to give; all by default.
        page_size : int, optional
            How many names the store is asked for at once.

        Returns
        -------
        list of str
            The names of objects, in the order of their bytes.

        Examples
        --------
        >>> for name in ['my/file01a.grp/image', 'my/file02a.grp/image', 'your/file01b.grp/image']:
        ...     response = cci.upload_json(name, {})
        >>> cci.glob('/*/file01*.grp/image')
        ['my/file01a.grp/image', 'your/file01b.grp/image']
        """
        verbose = kwargs.pop("verbose", False)
        found = list(self.find(pattern, **kwargs))
        if verbose:
            for info in found:
                print(describe_object(info))  # noqa: T201 - documented to print
        return [info.key for info in found]

    def glob_s3(self, pattern: str, **kwargs: Any) -> list[str]:
        """Do what `glob` does; kept for older scripts."""
        return self.glob(pattern, **kwargs)

    def glob_google_drive(self, pattern: str) -> list[str]:
        """Do what `glob` does; kept for older scripts."""
        return self.glob(pattern)

    def search(self, pattern: str, **kwargs: Any) -> None:
        """Print the objects whose name matches a pattern, with date and size. See `glob`."""
        self.glob(pattern, **{**kwargs, "verbose": True})

    def find(self, pattern: str, limit: int | None = None, page_size: int | None = None) -> Iterator[ObjectInfo]:
        """Go through the objects that `glob` finds, with size and date; pages are fetched as they are needed.

        Parameters and names are those of `glob`.

        Yields
        ------
        ObjectInfo

        Examples
        --------
        >>> response = cci.upload_object('exp/notes.txt', 'slept well')
        >>> sum(info.size for info in cci.find('exp'))
        10
        """
        pattern = keys.without_trivial_magic(keys.clean(pattern))
        if not keys.has_magic(pattern):
            return limited(self._below(pattern, page_size), limit)
        matches = keys.matcher(pattern)
        listed = self._listed(keys.literal_prefix(pattern), page_size)
        return limited((info for info in listed if matches(info.key)), limit)

    def _below(self, name: str, page_size: int | None = None) -> Iterator[ObjectInfo]:
        """All objects below a name; the object itself where there is nothing below it."""
        listed = self._listed(keys.as_directory(name), page_size)
        first = next(listed, None)
        if first is not None:
            yield first
            yield from listed
        elif name and not name.endswith(keys.SEPARATOR):
            with contextlib.suppress(ObjectNotFound):
                yield self.backend_interface.stat(name)

    def get_object_owner(self, object_name: str) -> str:
        """Print, and give, the name of an object's owner."""
        owner = self.backend_interface.owner(keys.clean_object(object_name))
        print(owner)  # noqa: T201 - documented to print
        return owner

    def get_browser(self) -> BrowserObject:
        """Give an object whose attributes, completed with tab, are the names in the bucket.

        See Also
        --------
        cottoncandy.get_browser
        """
        return self._browse()

    # ------------------------------------------------------------------ copying and moving
    def cp(
        self,
        source_name: str,
        dest_name: str,
        source_bucket: str | None = None,
        dest_bucket: str | None = None,
        overwrite: bool = False,
    ) -> Any:
        """Copy an object, or all objects below a name, inside the store. Metadata goes along.

        Parameters
        ----------
        source_name : str
        dest_name : str
            The new name; one that ends with ``/`` is a directory to copy into.
        source_bucket : str, optional
            The current bucket by default.
        dest_bucket : str, optional
            The source's bucket by default.
        overwrite : bool
            Whether what is there may be replaced.

        Returns
        -------
        object
            The store's own object of the new name: on S3 boto3's ``Object``.

        Raises
        ------
        ObjectNotFound
            If there is neither an object of that name nor one below it.
        ObjectExists
            If the new name is taken and ``overwrite`` is False.
        """
        plan = self._plan_copy(source_name, dest_name, source_bucket, dest_bucket, overwrite)
        self._copy_all(plan)
        return plan.target.native_object(plan.name)

    def mv(
        self,
        source_name: str,
        dest_name: str,
        source_bucket: str | None = None,
        dest_bucket: str | None = None,
        overwrite: bool = False,
    ) -> Any:
        """Move an object, or all objects below a name: copy them, and when all copies stand, delete the old ones.

        An object that is moved onto itself stays. Parameters, result and errors are those of `cp`.
        """
        plan = self._plan_copy(source_name, dest_name, source_bucket, dest_bucket, overwrite)
        self._copy_all(plan)
        with self._settings.progress.many("delete", plan.name, len(plan.pairs)) as count:
            plan.delete_sources(count.through)
        return plan.target.native_object(plan.name)

    def _copy_all(self, plan: Copies) -> None:
        plan.require_absent()
        self._for_each(plan.copy, plan.pairs, 1 if plan.overlap() else None, "copy", plan.name)

    def _plan_copy(
        self,
        source_name: str,
        dest_name: str,
        source_bucket: str | None,
        dest_bucket: str | None,
        overwrite: bool,
    ) -> Copies:
        from cottoncandy.copies import plan_copies

        source, target = self._bound_backend(source_bucket), self._bound_backend(dest_bucket or source_bucket)
        return plan_copies(source, target, keys.clean_object(source_name), keys.clean(dest_name), overwrite)

    # ------------------------------------------------------------------ removing
    def rm(self, object_name: str, recursive: bool = False, delete: bool = True) -> dict[str, int] | None:
        """Delete an object, or with ``recursive`` all objects below a name.

        Parameters
        ----------
        object_name : str
            A prefix is no directory: ``rm('exp', recursive=True)`` leaves ``exp2`` alone.
        recursive : bool
            Needed to remove a branch; without it, a message is printed instead.
        delete : bool
            On Google Drive, False moves to the trash. Other stores have none and delete.

        Returns
        -------
        dict or None
            ``{'DeletedCount': n}``; None where nothing was done.

        Raises
        ------
        ObjectNotFound
            Without ``recursive``, if there is neither an object of that name nor one below it.

        Examples
        --------
        >>> response = cci.upload_json('exp/a', {})
        >>> cci.rm('exp')
        cannot remove 'exp': use `recursive` to remove branch
        >>> response = cci.rm('exp', recursive=True)
        deleting 1 objects...
        """
        name = keys.clean(object_name)
        backend = self.backend_interface
        if recursive and not object_name:
            raise InvalidObjectName("'' names nothing: rm('/', recursive=True) removes all objects of the bucket")
        if recursive:
            return self._rm_branch(name, delete)
        if name and not name.endswith(keys.SEPARATOR) and backend.exists(name):
            return {"DeletedCount": backend.delete([name], trash=not delete)}
        if next(backend.list_objects(keys.as_directory(name), page_size=1), None) is None:
            raise ObjectNotFound(f"{backend.describe(name)} does not exist, and nothing is below that name")
        print(f"cannot remove {object_name!r}: use `recursive` to remove branch")  # noqa: T201 - documented to print
        return None

    def _rm_branch(self, name: str, delete: bool) -> dict[str, int]:
        backend = self.backend_interface
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1, thread_name_prefix="cottoncandy") as aside:
            may_be_one = bool(name) and not name.endswith(keys.SEPARATOR)
            is_one = Call(aside, partial(backend.exists, name)) if may_be_one else None
            names = [info.key for info in self._listed(keys.as_directory(name))]
            if is_one is not None and is_one.result():
                names.append(name)
        print(f"deleting {len(names)} objects...")  # noqa: T201 - documented to print
        return {"DeletedCount": self._deleted(name or "all", names, trash=not delete)}

    # ------------------------------------------------------------------ directories
    def download_directory(self, directory: str, disk_name: str, threads: int | None = None) -> None:
        """Download all objects below a name to a directory on disk, several at a time.

        Files have no metadata: raw arrays are to be copied with `cp`, or downloaded with `cloud2dict`.

        Parameters
        ----------
        directory : str
        disk_name : str
            Where to put them; made where it does not exist. Files of other names in it stay.
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
        from cottoncandy.diskpaths import disk_paths

        prefix, root = keys.as_directory(directory), Path(disk_name)
        names = [info.key for info in self._listed(prefix)]
        if not names:
            raise ObjectNotFound(f"nothing is below {self.backend_interface.describe(directory)}")
        # the marker of the directory itself has no name in it
        files = disk_paths(root, (name.removeprefix(prefix) for name in names if name != prefix))
        root.mkdir(parents=True, exist_ok=True)

        def fetch(name: str) -> None:
            files[name].parent.mkdir(parents=True, exist_ok=True)
            self._download_key(prefix + name, files[name], 1)

        self._for_each(fetch, files, threads, "download", directory)


def _names(entries: Iterator[Entry]) -> Iterator[str]:
    """Each name once: on S3 ``a`` may be an object and a directory at the same time."""
    seen: set[str] = set()
    for entry in entries:
        name = entry.key.rstrip(keys.SEPARATOR)
        if name not in seen:
            seen.add(name)
            yield name

"""What lies in a store: levels, patterns, branches."""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, TypeVar

from cottoncandy import keys
from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.errors import ObjectNotFound
from cottoncandy.interfaces.basic import BasicInterface
from cottoncandy.interfaces.basic.listing import ALL_OF_A_THOUSAND, describe_object, is_limited, limited, printable
from cottoncandy.namesakes import distinct, distinct_names
from cottoncandy.trees import shown, shown_names

Entry = ObjectInfo | ObjectPrefix
Found = TypeVar("Found", bound=Entry)
# What counts the names that are listed.
Through = Callable[[Iterable[Entry]], Iterable[Entry]]
# Lists one level.
Level = Callable[[str], Iterator[Entry]]


class Looking(BasicInterface):
    """Names found as in a shell. See `BasicInterface`."""

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
            nothing. Names of other tools that each call takes for another object (``/raw/b``, ``raw//b``) are left
            out, as `ls` and `glob` leave them out, and a warning in the log counts them.

        Examples
        --------
        >>> response = cci.upload_json('exp/run1/info', {})
        >>> response = cci.upload_json('exp/notes', {})
        >>> cci.lsdir('exp')
        ['exp/notes', 'exp/run1']
        """
        prefix = keys.as_directory(keys.without_trivial_magic(keys.clean(path)))
        listed = shown_names(self.backend_interface.level_names(prefix), prefix)
        listed = distinct_names(listed, self.backend_interface.describe)
        names = self._settings.progress.through("list", prefix or "all", listed)
        return _each_once(filter(prefix.__ne__, names), limit)

    def _level(self, prefix: str, page_size: int | None, *, stages: bool) -> Iterator[Entry]:
        listed = self.backend_interface.list_level(prefix, page_size=page_size)
        return distinct(listed if stages else shown(listed, prefix), self.backend_interface.describe)

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
        names = _each_once((entry.key for entry in self.scandir(pattern, page_size)), limit)
        if verbose:
            print("\n".join(map(printable, names)))  # noqa: T201 - documented to print
        return names

    def scandir(
        self, pattern: str = "/", page_size: int | None = None, *, literal: bool = False, stages: bool = False
    ) -> Iterator[ObjectInfo | ObjectPrefix]:
        """Go through what `ls` lists, with what the listing tells of it; pages are fetched as they are needed.

        Parameters
        ----------
        pattern : str
            As `ls` takes it; the bucket's root by default.
        page_size : int, optional
            How many names the store is asked for at once.
        literal : bool
            Whether it is a name, whatever is in it: ``run[1]`` is no pattern then.
        stages : bool
            With what uploads have beside their trees, as for what is to go as a whole.

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
        name = keys.clean(pattern)
        if not literal:
            name = keys.without_trivial_magic(name)
        level = partial(self._level, page_size=page_size, stages=stages)
        return (self._matching if keys.has_magic(name) and not literal else self._children)(name, level)

    def _children(self, name: str, level: Level) -> Iterator[Entry]:
        """What is in a directory, without its own marker object; the object itself where it is none."""
        prefix = keys.as_directory(name)
        children = (entry for entry in level(prefix) if entry.key != prefix)
        return self._or_itself(name, self._settings.progress.through("list", name or "all", children))

    def _matching(self, pattern: str, level: Level) -> Iterator[Entry]:
        components = pattern.rstrip(keys.SEPARATOR).split(keys.SEPARATOR)
        with self._settings.progress.counter("list", pattern) as count:
            yield from self._walk("", components, level, count.through)

    def _walk(self, directory: str, components: list[str], level: Level, through: Through) -> Iterator[Entry]:
        """Match the components of a pattern level by level: only what can match is listed."""
        plain = 0
        while plain < len(components) - 1 and not keys.has_magic(components[plain]):
            plain += 1
        directory += "".join(f"{component}/" for component in components[:plain])
        component, rest = components[plain], components[plain + 1 :]
        matches = re.compile(fnmatch.translate(component)).match
        prefix = directory + keys.literal_prefix(component)
        for entry in through(level(prefix)):
            name = entry.key.rstrip(keys.SEPARATOR)
            if entry.key == directory or not matches(name.removeprefix(directory)):
                continue
            if not rest:
                yield entry
            elif isinstance(entry, ObjectPrefix):
                yield from self._walk(entry.key, rest, level, through)

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
        if unknown := kwargs.keys() - {"verbose", "limit", "page_size"}:
            raise TypeError(f"unknown arguments: {', '.join(sorted(unknown))}; verbose, limit and page_size are known")
        if not kwargs.pop("verbose", False):
            return list(self._found_names(pattern, **kwargs))
        limit = kwargs.pop("limit", None)
        found = list(limited(distinct(self.find(pattern, **kwargs), self.backend_interface.describe), limit))
        for info in found:
            print(describe_object(info))  # noqa: T201 - documented to print
        return [info.key for info in found]

    def _found_names(self, pattern: str, limit: int | None = None, page_size: int | None = None) -> Iterator[str]:
        """The names of what `find` finds."""
        pattern = keys.without_trivial_magic(keys.clean(pattern))
        names: Iterator[str]
        if keys.has_magic(pattern):
            listed = self._listed_names(keys.literal_prefix(pattern), page_size)
            names = filter(keys.matcher(pattern), shown_names(listed, pattern))
        else:
            names = (info.key for info in self.find(pattern, None, page_size))
        return limited(distinct_names(names, self.backend_interface.describe), limit)

    def glob_s3(self, pattern: str, **kwargs: Any) -> list[str]:
        """Do what `glob` does; kept for older scripts."""
        return self.glob(pattern, **kwargs)

    def glob_google_drive(self, pattern: str) -> list[str]:
        """Do what `glob` does; kept for older scripts."""
        return self.glob(pattern)

    def search(self, pattern: str, **kwargs: Any) -> None:
        """Print the objects whose name matches a pattern, with date and size.

        Parameters
        ----------
        pattern : str
            As `glob` takes it.
        **kwargs
            ``limit`` and ``page_size``, as there.
        """
        self.glob(pattern, **{**kwargs, "verbose": True})

    def find(
        self,
        pattern: str,
        limit: int | None = None,
        page_size: int | None = None,
        *,
        literal: bool = False,
        stages: bool = False,
    ) -> Iterator[ObjectInfo]:
        """Go through the objects that `glob` finds, with size and date; pages are fetched as they are needed.

        Parameters and names are those of `glob`; ``literal`` and ``stages`` are those of `scandir`. Keys are given
        as they are, also those of other tools that each call takes for another object, which `glob` leaves out.

        Yields
        ------
        ObjectInfo

        Examples
        --------
        >>> response = cci.upload_object('exp/notes.txt', 'slept well')
        >>> sum(info.size for info in cci.find('exp'))
        10
        """
        pattern = keys.clean(pattern)
        if not literal:
            pattern = keys.without_trivial_magic(pattern)
        is_name = literal or not keys.has_magic(pattern)
        prefix = keys.as_directory(pattern) if is_name else keys.literal_prefix(pattern)
        listed = self._listed(prefix, page_size)
        found = listed if stages else shown(listed, pattern)
        if is_name:
            return limited(self._or_itself(pattern, found), limit)
        matches = keys.matcher(pattern)
        return limited((info for info in found if matches(info.key)), limit)

    def _or_itself(self, name: str, below: Iterator[Found]) -> Iterator[Found | ObjectInfo]:
        """What is below a name; where that is nothing, the object of the name."""
        nothing = True
        for entry in below:
            nothing = False
            yield entry
        if nothing and name and not name.endswith(keys.SEPARATOR):
            with contextlib.suppress(ObjectNotFound):
                yield self.backend_interface.entry(name)


def _each_once(names: Iterable[str], limit: int | None) -> list[str]:
    """Each name once: on S3 ``a`` may be an object and a directory at the same time."""
    plain = map(str.rstrip, names, repeat(keys.SEPARATOR))
    return list(limited(_unique(plain), limit) if is_limited(limit) else dict.fromkeys(plain))


def _unique(names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name not in seen:
            seen.add(name)
            yield name

"""What fsspec's calls for many objects would do: its own rules of which goes where, without the waiting."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from glob import has_magic
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem

from cottoncandy import keys
from cottoncandy.diskpaths import disk_paths
from cottoncandy.errors import InvalidObjectName

Pair = tuple[Any, Any]

# The call of fsspec for one object that a call for many makes of each.
_ONE_OF = {"get": "get_file", "put": "put_file", "copy": "cp_file"}
_MAGIC = re.compile(r"[*?\[]")


def plan(filesystem: AbstractFileSystem, many: str, *paths: Any, **options: Any) -> list[Pair]:
    """What a call of fsspec for many objects would do to each, one after the other.

    Parameters
    ----------
    filesystem : AbstractFileSystem
    many : str
        ``'get'``, ``'put'`` or ``'copy'``.
    *paths, **options
        Its arguments.

    Returns
    -------
    list of (path, path)
    """
    planned: list[Pair] = []
    source, *rest = paths
    asked, known = source, {}
    if many != "put" and isinstance(source, str) and has_magic(source):
        known["assume_literal"] = filesystem.is_literal(source)
        # fsspec looks at it to tell a pattern, which goes elsewhere than an object or a directory does
        asked = _MAGIC.sub("_", source) if known["assume_literal"] else source

    def expand(names: Any, **how: Any) -> list[str]:
        found = filesystem.expand_path(source if names is asked else names, **how, **known)
        return [keys.SEPARATOR + name for name in found]

    # a twin that looks where the file system looks, and writes down what it should do
    twin = object.__new__(type(filesystem))
    vars(twin).update(vars(filesystem))
    # fsspec's rule finds the name of a directory behind a `/`: what is in no other has one here, as long as it is asked
    twin.expand_path = expand
    setattr(twin, _ONE_OF[many], lambda first, second, **_: planned.append((first, second)))
    getattr(AbstractFileSystem, many)(twin, asked, *rest, **options)
    if many == "put":
        return planned
    named = ((first.removeprefix(keys.SEPARATOR), second) for first, second in planned)
    return [(first, second) for first, second in named if first]  # the bucket is no object


def branches(names: Iterable[str], root: str | None = None) -> set[str]:
    """The directories that these names are in; those from ``root`` on, itself included, where it is given.

    Examples
    --------
    >>> sorted(branches(['a/b/c', 'a/d']))
    ['a', 'a/b']
    """
    found: set[str] = set()
    for name in names:
        folder = keys.parent(name)
        while folder and folder not in found and len(folder) >= len(root or ""):
            found.add(folder)
            folder = keys.parent(folder)
    return found


def require_inside(root: Path, downloads: Iterable[Pair]) -> None:
    """Refuse downloads of which one would leave the directory, or two would be one file.

    Raises
    ------
    InvalidObjectName, NotADirectoryError, IsADirectoryError
    """
    downloads = list(downloads)
    for name, place in downloads:
        if keys.clean(name) != name:  # also refuses `.` and `..`
            raise InvalidObjectName(f"object {name!r} would be written outside of {root}, to {place}")
    folders = branches(name for name, _ in downloads)
    places = (os.path.relpath(place, root) for name, place in downloads if name not in folders)
    # what the caller named itself may lie where it will
    disk_paths(root, (Path(place).as_posix() for place in places if place != os.curdir))


def in_safe_order(pairs: list[Pair]) -> list[Pair]:
    """Copies in the order in which none replaces what another has yet to read.

    Down a branch the deepest goes first, up it goes last.
    """
    down = any(len(new) > len(old) for old, new in pairs)
    return sorted(pairs, key=lambda pair: len(pair[0]), reverse=down)

"""Where objects may lie on disk: a foreign store's names are not trusted to stay below a directory."""

from __future__ import annotations

import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cottoncandy.errors import InvalidObjectName
from cottoncandy.keys import SEPARATOR

__all__ = [
    "answers_to_others",
    "disk_paths",
    "folded",
    "is_reserved_on_windows",
    "leads_out",
    "spelled_file",
]

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_WINDOWS_CHARACTERS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
# Of one component: bytes on Linux and macOS, characters on Windows.
_LONGEST_NAME = 255
# Bytes of a whole path: PATH_MAX of Linux, less what a file that is being written adds. S3's longest key has 1,024.
_LONGEST_PATH = 4095 - 64
_INSTEAD = "download it under another name, with download_to_file"


def disk_paths(root: Path, names: Iterable[str]) -> dict[str, Path]:
    """The files below a directory in which objects of these names may lie.

    Parameters
    ----------
    root : Path
        It need not exist yet, and may be a symbolic link.
    names : iterable of str
        Relative to it, with ``/``. One that ends with ``/`` is checked, and gets no file.

    Raises
    ------
    InvalidObjectName
        If one would leave the directory (also through a symbolic link that lies in it), cannot be a file's on this
        system, or two would be one file, or one a file and a directory.
    NotADirectoryError, IsADirectoryError
        If there is a file where a directory is to be, or the other way round.
    """
    paths = distinct_paths(root, names)
    _require_writable(root.resolve(), paths.values())
    return paths


def distinct_paths(root: Path, names: Iterable[str]) -> dict[str, Path]:
    """What `disk_paths` gives, whatever is in the way on disk.

    Raises
    ------
    InvalidObjectName
    """
    parts = {name: tuple(_parts(root, name)) for name in names}
    files = {name: path for name, path in parts.items() if not name.endswith(SEPARATOR)}
    _require_distinct(root, files)
    return {name: root.joinpath(*path) for name, path in files.items()}


def leads_out(root: Path, path: Path) -> bool:
    """Whether a path below the root ends elsewhere, by way of a symbolic link. What is not there yet is looked at too.

    ``root`` is resolved.
    """
    return not path.resolve().is_relative_to(root)


def is_reserved_on_windows(name: str) -> bool:
    """Whether one component of a path means something else to Windows."""
    return bool(_WINDOWS_CHARACTERS.search(name) or _WINDOWS_DEVICES.fullmatch(name))


# ---------------------------------------------------------------------- names
def _parts(root: Path, name: str) -> Iterator[str]:
    """The components of a name, each of which is the name of a file or directory and no more."""
    if name.startswith(SEPARATOR) or not name.strip(SEPARATOR):
        raise _outside(root, name)
    if len(str(root.absolute())) + len(name.encode(errors="replace")) > _LONGEST_PATH:
        raise InvalidObjectName(f"object {name!r:.1100} cannot be a file in {root}: its path is too long: {_INSTEAD}")
    for part in filter(None, name.split(SEPARATOR)):
        if part in {".", ".."} or "\0" in part:
            raise _outside(root, name)
        if fault := _fault(part):
            raise InvalidObjectName(f"object {name!r:.1100} cannot be a file on this system ({fault}): {_INSTEAD}")
        yield part


def _fault(part: str) -> str | None:
    if os.name == "nt" and is_reserved_on_windows(part):
        return f"{part!r} means something else to Windows"
    try:
        length = len(part if os.name == "nt" else os.fsencode(part))
    except UnicodeEncodeError:
        return "it is no valid Unicode text"
    return f"one of its components is longer than {_LONGEST_NAME} bytes" if length > _LONGEST_NAME else None


def _outside(root: Path, name: str) -> InvalidObjectName:
    return InvalidObjectName(f"object {name!r:.1100} would be written outside of {root}: {_INSTEAD}")


# ---------------------------------------------------------------------- names that are one
def _require_distinct(root: Path, files: Mapping[str, tuple[str, ...]]) -> None:
    clash = find_clash(files, SEPARATOR.join) or find_clash(_behind_links(root, files), SEPARATOR.join)
    if clash is None:
        alike = find_clash(files, lambda path: folded(SEPARATOR.join(path)))
        # most file systems tell `A` from `a`: ask this one only where it matters
        clash = alike if alike and ignores_spelling(root) else None
    if clash:
        raise InvalidObjectName(
            f"objects {clash[0]!r:.1100} and {clash[1]!r:.1100} cannot both lie in {root}: they would be one file, "
            f"or a file and a directory; {_INSTEAD}"
        )


def _behind_links(root: Path, files: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The files as the system finds them where links to directories are on the way; none where there are no links."""
    if len(files) < 2 or not root.exists():
        return {}
    folders = {path[:-1] for path in files.values()} - {()}
    real = {folder: root.joinpath(*folder).resolve().parts for folder in folders} | {(): root.resolve().parts}
    if all(place == real[()] + folder for folder, place in real.items()):
        return {}
    return {name: (*real[path[:-1]], path[-1]) for name, path in files.items()}


def find_clash(
    files: Mapping[str, tuple[str, ...]], spelled: Callable[[tuple[str, ...]], str]
) -> tuple[str, str] | None:
    """Two names that are one file, or a file and a directory, where the file system takes equal spellings for one.

    Parameters
    ----------
    files : Mapping
        The components of each name.
    spelled : callable
        The spelling of a path.
    """
    taken: dict[str, str] = {}
    for name, path in files.items():
        other = taken.setdefault(spelled(path), name)
        if other != name:
            return other, name
    for place, name in taken.items():
        folder = place
        while folder := folder.rpartition(SEPARATOR)[0]:
            if folder in taken:
                return taken[folder], name
    return None


def folded(text: str) -> str:
    """What is equal of names that a file system may take for one."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def ignores_spelling(root: Path) -> bool:
    """Whether the file system takes two spellings for one name: asked with a file that is there for a moment."""
    with spelled_file(next(parent for parent in (root, *root.absolute().parents) if parent.is_dir())) as path:
        return answers_to_others(path)


@contextmanager
def spelled_file(directory: Path, ending: str = "") -> Iterator[Path]:
    """A file that is there for a moment, by a name that may be spelled otherwise.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    path = directory / f".cottoncandy-Á{uuid.uuid4().hex}{ending}"
    path.touch(exist_ok=False)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def answers_to_others(path: Path) -> bool:
    """Whether such a file is found by other spellings, too."""
    others = (path.name.swapcase(), unicodedata.normalize("NFD", path.name))
    return any(path.with_name(other).exists() for other in others)


# ---------------------------------------------------------------------- what lies there
def _require_writable(root: Path, paths: Iterable[Path]) -> None:
    """Refuse to write files through links out of the root, or below files, or onto directories."""
    seen: set[Path] = set()
    for path in paths:
        if path.parent not in seen:
            _require_directory(root, path.parent)
            seen.add(path.parent)
        if path.is_symlink():
            _require_inside(root, path)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a directory, where a file is to be written: remove it first")


def _require_directory(root: Path, directory: Path) -> None:
    _require_inside(root, directory)
    there = next(parent for parent in (directory, *directory.parents) if os.path.lexists(parent))
    if not there.is_dir():
        raise NotADirectoryError(f"{there} is no directory, and files are to be written below it: remove it first")


def _require_inside(root: Path, path: Path) -> None:
    if leads_out(root, path):
        raise InvalidObjectName(
            f"{path} leads outside of {root} through a symbolic link: remove the link, or download to another directory"
        )

"""Files on disk: those that take their place when they are whole, and those below a directory."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from cottoncandy import heldfiles
from cottoncandy.errors import CottonCandyError

_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
# What `replacing` writes to; one stays behind only where a process was killed. Its writer holds it.
_PART = ".cottoncandy-"
# Nanoseconds since 1970: the time of a part that is there for its mode, as long as nobody wrote to it.
_UNTOUCHED = 0
# Seconds for which a part that nobody holds is left alone: one may be held on another machine of a cluster that does
# not tell, or be written by a library.
_LEFT_ALONE = 3600
_IS_PART = re.compile(rf"{re.escape(_PART)}[0-9a-f]{{16}}(?:\..+)?")


@contextlib.contextmanager
def replacing(target: Path, what: str, *, through_link: bool = True, mode: int | None = None) -> Iterator[BinaryIO]:
    """A file to write that takes the target's place when all went well.

    Parameters
    ----------
    target : Path
    what : str
        How an error names what is written.
    through_link : bool
        Where the target is a link, replace the file that it leads to, as for a name that the user gave. One of many
        files of a tree takes the place of the link itself: what that leads to may be another one of them.
    mode : int, optional
        Who may do what with it, from its first byte on; by default as with the file that is replaced.
    """
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a directory: name a file")
    target = _place(target, through_link=through_link)
    if not target.is_symlink() and target.exists() and not target.is_file():
        with _naming(target, what), target.open("wb") as file:  # a device or a pipe is written to, not replaced
            yield file
        return
    with _taking_the_place(target, _part(target), what, mode) as part, _created(part, target, mode) as file:
        yield file


@contextlib.contextmanager
def replacing_path(target: Path, what: str, extension: str, *, through_link: bool = True) -> Iterator[Path]:
    """A path to write to, with an extension for libraries that go by it, that takes the target's place in the end."""
    target = _place(target, through_link=through_link)
    with _taking_the_place(target, _part(target, extension), what) as part:
        if _mode(target) is not None:
            with _created(part, target):
                os.utime(part, ns=(_UNTOUCHED, _UNTOUCHED))
        yield part
        if part.stat().st_mtime_ns == _UNTOUCHED:
            raise FileNotFoundError(errno.ENOENT, "nothing was written", str(part))


def _place(target: Path, *, through_link: bool) -> Path:
    return target.resolve() if through_link else target.parent.resolve() / target.name


def _part(target: Path, extension: str = "") -> Path:
    return target.parent / f"{_PART}{os.urandom(8).hex()}{extension}"


def _mode(target: Path) -> int | None:
    """The permissions of the file that is replaced, which are to stay; None where there is none."""
    try:
        return target.stat().st_mode & 0o777
    except OSError:
        return None


def _set_mode(part: Path, mode: int | None) -> None:
    if mode is not None:
        with contextlib.suppress(OSError):  # of a file system that has no modes
            part.chmod(mode)


@contextlib.contextmanager
def _created(part: Path, target: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    mode = _mode(target) if mode is None else mode
    # users that may not read the file must not open its part either, before that has the mode
    first = 0o666 if mode is None else stat.S_IRUSR | stat.S_IWUSR
    with open(part, "xb", opener=lambda path, flags: os.open(path, flags, first)) as file:
        if mode is not None:
            _set_mode(part, mode | stat.S_IWUSR)
        heldfiles.hold(file.fileno())
        yield file


@contextlib.contextmanager
def _taking_the_place(target: Path, part: Path, what: str, mode: int | None = None) -> Iterator[Path]:
    try:
        with _naming(target, what, part):
            yield part
            _set_mode(part, _mode(target) if mode is None else mode)
            part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _naming(target: Path, what: str, part: Path | None = None) -> Iterator[None]:
    """Name the file, and what was to be in it: where a disk is full, the system tells neither."""
    try:
        yield
    except OSError as error:
        is_of_disk = error.filename is None and error.errno in _OF_DISKS  # those of a connection have others
        if isinstance(error, CottonCandyError) or not (is_of_disk or (part and error.filename == str(part))):
            raise
        raise OSError(error.errno, f"{what} is not written: {error.strerror}", str(target)) from error


def make_directory(directory: Path) -> None:
    """Make a directory, and those above it, however deep it lies: `Path.mkdir` calls itself for each of them."""
    missing = takewhile(lambda one: not one.is_dir(), (directory, *directory.parents))
    for one in reversed(list(missing)):
        one.mkdir(exist_ok=True)


def remove_abandoned(parts: Iterable[Path]) -> None:
    """Remove what killed downloads left behind, of the parts that are told."""
    for part in parts:
        with contextlib.suppress(OSError):  # it is gone, or another user's
            if time.time() - part.lstat().st_ctime > _LEFT_ALONE:
                heldfiles.remove_abandoned(str(part))


def parts_in(directory: Path) -> list[Path]:
    """The parts of files in a directory, of downloads that go on or were killed."""
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if _is_part(entry)]
    except OSError:
        return []


def _is_part(entry: os.DirEntry[str]) -> bool:
    return bool(_IS_PART.fullmatch(entry.name)) and not entry.is_dir(follow_symlinks=False)


def files_below(
    root: Path,
    on_error: Callable[[Path, OSError], object] | None = None,
    on_part: Callable[[Path], object] = lambda _: None,
) -> Iterator[os.DirEntry[str]]:
    """What is below a directory and no directory: files, and links, pipes and devices. No link is followed.

    Parts of files, as a killed download leaves them, are told to ``on_part`` and left out. A directory that cannot be
    listed is told to ``on_error``, where it is given, and passed over.
    """
    pending = _listed(root, on_error)[::-1]
    while pending:
        entry = pending.pop()
        if entry.is_dir(follow_symlinks=False):
            pending += _listed(Path(entry.path), on_error)[::-1]
        elif _is_part(entry):
            on_part(Path(entry.path))
        else:
            yield entry


def files_in(root: Path) -> Iterator[os.DirEntry[str]]:
    """What is in a directory itself, of what `files_below` gives."""
    return (entry for entry in _listed(root) if not (entry.is_dir(follow_symlinks=False) or _is_part(entry)))


def _listed(directory: Path, on_error: Callable[[Path, OSError], object] | None = None) -> list[os.DirEntry[str]]:
    """What is in a directory, by name."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if on_error is None:
            raise
        on_error(directory, error)
        return []

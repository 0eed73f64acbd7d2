"""Which file is an object's, which names no object can have here, and which files are no objects. No writes."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from cottoncandy.diskpaths import is_reserved_on_windows
from cottoncandy.errors import InvalidObjectName
from cottoncandy.keys import IS_DIRECTORYS, SEPARATOR, clean_object

#: The user metadata of object ``KEY`` is in the file ``KEY.meta.json``; no such name is an object.
SIDECAR = ".meta.json"
# Files of a write under way. They end like the sidecar of a sidecar, which no object has: no key can ever
# collide with one, and every reader of this format, older releases too, leaves them out of its listings.
_OURS = ".cottoncandy-"
DRAFT = f".draft{SIDECAR}{SIDECAR}"
PENDING = f".pending{SIDECAR}{SIDECAR}"
# What a file is called that is removed or replaced while somebody has it open, until nobody has any more: on NFS
# (Linux: fs/nfs/unlink.c; BSD and macOS: nfs_sillyrename), by libfuse's hard_remove, and by lowntfs-3g.
_OF_THE_SYSTEM = re.compile(
    r"\.nfs(?:[0-9a-f]{16,}|(?:\.[0-9a-f]{4,}){2,})|\.fuse_hidden[0-9a-f]{16}|\.ghost-ntfs-3g-[0-9]{20}", re.IGNORECASE
)
# What stands before the object's name in a draft's: with a uuid and a dot.
_STEM = len(_OURS) + 33
# Bytes of a file's name on all usual file systems.
_LONGEST = 255

#: What the system says where there is no such file, and where there can be none.
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


def require_clean(key: str) -> None:
    """Refuse a key that `keys.clean` would change or refuse: it could leave the container.

    Raises
    ------
    InvalidObjectName
    """
    if clean_object(key) != key:
        raise InvalidObjectName(f"object name {key!r} starts with '/' or holds '//': leave that out")


def flaw(key: str, *, windows: bool = os.name == "nt") -> str | None:
    """Why no file can hold an object of this (clean) key; None if one can."""
    if key.endswith(SEPARATOR):
        return IS_DIRECTORYS
    if key.endswith(SIDECAR):
        return f"names that end with {SIDECAR!r} are kept for the metadata of other objects"
    if any(map(is_of_the_system, key.split(SEPARATOR))):
        return "the system gives such names to files that are removed while they are open"
    if windows and any(map(is_reserved_on_windows, key.split(SEPARATOR))):
        return r"on Windows no name holds one of < > : \" | ? * \, ends with '.' or ' ', or is a device like NUL"
    return None


def is_of_the_system(name: str) -> bool:
    """Whether the system gives such a name to a file that is removed while it is open: it is no object (any more)."""
    return name.startswith(".") and _OF_THE_SYSTEM.fullmatch(name) is not None


def parents(root: str, path: str) -> Iterator[str]:
    """The directories below the root in which an object's file lies, the innermost first."""
    while (path := os.path.dirname(path)) != root:
        yield path


def is_behind_link(root: str, path: str) -> bool:
    """Whether one of these directories is a symbolic link.

    Such a directory is not entered, wherever it leads: its objects would have two names, and to remove a branch
    here would empty a directory elsewhere. The root itself may well be a link.
    """
    return any(map(os.path.islink, parents(root, path)))


def link_leads_out(root: str, path: str) -> bool:
    """Whether a file is a symbolic link to somewhere outside of the root; one that stays inside is followed."""
    if not os.path.islink(path):
        return False
    real = os.path.realpath(root)
    return os.path.commonpath([real, os.path.realpath(path)]) != real


def sidecar(path: str) -> str:
    """The file with the metadata of the object in the file ``path``."""
    return path + SIDECAR


def draft(path: str) -> str:
    """A new file for the bytes of an object that is on its way to ``path``: it tells as much of the name as fits."""
    directory, name = os.path.split(path)
    room = _LONGEST - _STEM - len(DRAFT)
    return os.path.join(directory, f"{_OURS}{uuid.uuid4().hex}.{name.encode()[:room].decode(errors='ignore')}{DRAFT}")


def is_draft(name: str) -> bool:
    """Whether a file's name is one that `draft` gives."""
    return name.startswith(_OURS) and name.endswith(DRAFT)


def key_of_draft(draft: str) -> str:
    """The key that a draft's key is made of: the object's, but for the end of a very long name."""
    directory, separator, name = draft.rpartition(SEPARATOR)
    return f"{directory}{separator}{name[_STEM:].removesuffix(DRAFT)}"


def pending(path: str, facts: os.stat_result) -> str:
    """Where the metadata of one version of an object waits for its sidecar's place."""
    return os.path.join(os.path.dirname(path), f"{_OURS}{version(facts)}{PENDING}")


def version(facts: os.stat_result) -> str:
    """What names one version of a file: no two versions share inode, time of writing and size."""
    return f"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}"


@contextmanager
def passing_over_absence() -> Iterator[None]:
    """End the block quietly when a file that it needs is not there."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise

"""An object is a pair of files, bytes and metadata; it is read and written as one.

Two files cannot be renamed at once. So metadata first waits under a name made of the version of the bytes that
they belong to::

    write    KEY's bytes to a draft, its metadata to PENDING(version of the draft)
    rename   draft   -> KEY                 the moment of change
    rename   PENDING -> KEY.meta.json       from here on older releases read the pair, too

A reader opens KEY, and takes the metadata that wait for just this version, else the sidecar; if KEY is another file
by then, it begins anew. So it sees the old pair or the new one, also when the writer was killed between any two
steps; the next writer of KEY does the last step in its place. Writers do these steps under a lock of the directory.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from cottoncandy import heldfiles
from cottoncandy.backends.base import GIB, MIB, BytesLike
from cottoncandy.backends.local import locks, names, tree
from cottoncandy.errors import ContainerNotFound, CorruptObject, ObjectChanged, TransientError

if TYPE_CHECKING:
    from typing_extensions import Self

# A writer needs about 0.1 ms for one object, a reader less than half: to lose this often is no accident.
_ATTEMPTS = 1000
# Bytes: other stores take some thousand.
_LARGEST_METADATA = 2**24
# Opening a pipe would wait for somebody at its other end.
_DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0)


# ------------------------------------------------------------------ reading
def open_pair(root: str, path: str) -> tuple[io.FileIO, os.stat_result, dict[str, str]]:
    """Open an object: its bytes, their facts, and the metadata that belong to them.

    Raises
    ------
    FileNotFoundError, CorruptObject, TransientError
    """
    for _ in range(_ATTEMPTS):
        with ExitStack() as undo:
            file = undo.enter_context(_open_file(root, path))
            facts = os.fstat(file.fileno())
            metadata = _metadata(root, path, facts)
            if locks.is_still(file.fileno(), path):
                undo.pop_all()
                return file, facts, metadata
    raise TransientError(f"{path} is replaced again and again while it is read")


def _open_file(root: str, path: str) -> io.FileIO:
    """Open a regular file; all else is not found."""
    if names.link_leads_out(root, path):
        raise FileNotFoundError(errno.ENOENT, "Symbolic link leads out of the store", path)
    try:
        file = io.FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | _DO_NOT_WAIT))
    except OSError as error:
        if error.errno in names.NOT_THERE:
            raise FileNotFoundError(errno.ENOENT, error.strerror, path) from error
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "No regular file", path)
    return file


def _metadata(root: str, path: str, facts: os.stat_result) -> dict[str, str]:
    for place in (names.pending(path, facts), names.sidecar(path)):
        try:
            with _open_file(root, place) as file:
                # a file without a buffer takes as much memory as it is asked for bytes
                size = min(os.fstat(file.fileno()).st_size, _LARGEST_METADATA)
                return _parse(file.read(size + 1), place)
        except FileNotFoundError:
            continue
    return {}


def _parse(text: bytes, place: str) -> dict[str, str]:
    if len(text) > _LARGEST_METADATA:
        raise CorruptObject(f"metadata file {place!r} has more than {_LARGEST_METADATA} bytes: restore or remove it")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptObject(f"metadata file {place!r} is no JSON: restore or remove it") from error
    if not isinstance(metadata, dict):
        raise CorruptObject(f"metadata file {place!r} is no JSON object: restore or remove it")
    return {key: _as_text(value) for key, value in metadata.items()}


def _as_text(value: Any) -> str:
    """A value as metadata hold it. Releases before 0.5 put down whatever JSON can hold."""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


# ------------------------------------------------------------------ writing
def _write_all(file: io.FileIO, body: BytesLike) -> None:
    view = memoryview(body)
    while view.nbytes:
        # one call of the system writes 2 GiB - 4096 at most, or less on a full disk
        view = view.cast("B")[file.write(view) :]


class Draft:
    """Bytes on their way to become an object: nothing of them can be seen before `publish`.

    Nothing is made before `create`: inside of a ``with`` block, where Ctrl-C finds somebody to throw it away.

    Parameters
    ----------
    root, path : str
        The store, and the file in it that the object will be.
    if_absent : bool
        Never replace an object.
    fsync : bool
        Wait until all is on the disk before and after the change, so that it survives a power failure.
    require_spelling : callable
        Fails where the disk takes the name for another's; asked again while no other writer can come in between.

    Raises
    ------
    FileExistsError
        With ``if_absent``, if there is an object; from `publish` as well.
    """

    def __init__(
        self, root: str, path: str, *, if_absent: bool, fsync: bool, require_spelling: Callable[[], None]
    ) -> None:
        self._root, self._path = root, path
        self._if_absent, self._fsync, self._require_spelling = if_absent, fsync, require_spelling
        self._name = names.draft(path)
        self._opened = ExitStack()
        self._require_room()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.discard()

    def create(self) -> Self:
        """Make the file, beside the place where it will be, and the directories down to it."""
        for _ in range(_ATTEMPTS):
            try:
                file = io.FileIO(self._name, "xb")
            except FileNotFoundError:
                self._make_directory()
                continue
            self._file = self._opened.enter_context(file)
            if heldfiles.hold(file.fileno()):
                return self
            file.close()
        raise TransientError(f"the directory of {self._path} is removed again and again while it is written to")

    def write(self, body: BytesLike) -> None:
        """Append bytes, from where they lie."""
        _write_all(self._file, body)

    def append_file(self, source: io.FileIO, size: int) -> None:
        """Append another file of this size: inside the kernel where it can do that, or share the blocks.

        Raises
        ------
        ObjectChanged
            If somebody writes into it meanwhile.
        """
        if sys.platform == "linux":
            with suppress(OSError):
                while os.copy_file_range(source.fileno(), self._file.fileno(), GIB):
                    pass
        while chunk := source.read(MIB):
            self.write(chunk)
        if self._file.tell() != size:
            raise ObjectChanged(f"{source.name!r} was changed while it was copied: copy it again")

    def publish(self, metadata: bytes) -> str:
        """Make it the object, in one step, with metadata as `encoded` gives them; the version that it is."""
        try:
            return self._publish(metadata)
        except FileNotFoundError as error:
            self._require_container()
            removed = "what was written of it was removed meanwhile, or its directory was: write it again"
            raise FileNotFoundError(errno.ENOENT, removed) from error

    def _publish(self, metadata: bytes) -> str:
        facts = self._finish_bytes()
        pending = names.pending(self._path, facts)
        with locks.locked(os.path.dirname(self._path)):
            self._file.close()  # Windows renames no open file
            try:
                self._write_metadata(pending, metadata)
                self._require_spelling()
                _settle(self._path)
                self._move_bytes()
            finally:
                # an interrupt may come before or behind the move: if it is done, the metadata follow
                _settle(self._path)
                _unlink(pending)
        self._sync_directories()
        return names.version(facts)

    def discard(self) -> None:
        """Throw it away; once it is published, this does nothing."""
        self._opened.close()
        if _unlink(self._name):
            tree.prune(self._path, self._root)

    def _require_room(self) -> None:
        """Find out now what would stop the last step: something in one of the two places, or a name too long."""
        for place in (self._path, names.sidecar(self._path)):
            with suppress(FileNotFoundError):
                is_directory = stat.S_ISDIR(os.lstat(place).st_mode)
                if is_directory and (
                    any(tree.walk(place, "", lambda entry: entry)) or not tree.remove_empty_tree(place)
                ):
                    raise IsADirectoryError(errno.EISDIR, "Is a directory", place)
        if self._if_absent:
            self._require_absence()

    def _require_absence(self) -> None:
        if os.path.lexists(self._path):
            raise FileExistsError(errno.EEXIST, "File exists", self._path)

    def _require_container(self) -> None:
        if not os.path.isdir(self._root):
            raise ContainerNotFound(f"directory {self._root!r} does not exist (any more)")

    def _make_directory(self) -> None:
        self._require_container()
        # another process that removes the last object of a directory may just now remove it, and the ones above
        with suppress(FileNotFoundError):
            for directory in reversed([*names.parents(self._root, self._path)]):
                with suppress(FileExistsError):
                    os.mkdir(directory)

    def _finish_bytes(self) -> os.stat_result:
        """Give the bytes their version."""
        # the kernel's own mark is as coarse as 4 ms: too little to tell two versions apart
        now = time.time_ns()
        os.utime(self._name, ns=(now, now))
        if self._fsync:
            os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno())

    def _write_metadata(self, place: str, text: bytes) -> None:
        with io.FileIO(place, "wb") as file:
            _write_all(file, text)
            if self._fsync:
                os.fsync(file.fileno())

    def _move_bytes(self) -> None:
        if not self._if_absent:
            os.replace(self._name, self._path)
            return
        try:
            os.link(self._name, self._path)
        except FileExistsError:
            raise
        except OSError:  # no hard links here: then the lock alone keeps others out
            self._require_absence()
            os.replace(self._name, self._path)
        else:
            os.unlink(self._name)

    def _sync_directories(self) -> None:
        """Keep the names, too: those of the files, and of the directories that were made for them."""
        if not self._fsync or os.name == "nt":
            return
        for directory in (*names.parents(self._root, self._path), self._root):
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def encoded(metadata: Mapping[str, str]) -> bytes:
    """Metadata as their file holds them.

    Raises
    ------
    OSError
        If they are more than a reader takes.
    """
    # in ASCII: older releases read it as their locale has it
    text = json.dumps(dict(metadata)).encode("ascii")
    if len(text) > _LARGEST_METADATA:
        fault = f"its metadata have {len(text)} bytes, and may have {_LARGEST_METADATA}: put less into them"
        raise OSError(errno.E2BIG, fault)
    return text


def remove_draft(draft: str) -> None:
    """Remove a draft whose writer is no more, with the metadata that it left; do nothing where there is none."""
    with names.passing_over_absence(), locks.locked(os.path.dirname(draft)):
        facts = os.lstat(draft)
        # with a second link it has become the object, and the metadata are that object's
        if heldfiles.remove_abandoned(draft) and facts.st_nlink == 1:
            _unlink(names.pending(draft, facts))


def remove_pair(root: str, path: str) -> None:
    """Remove an object, or what is left of it; a directory or a link that leads out is none."""
    with names.passing_over_absence(), locks.locked(os.path.dirname(path)):
        if os.path.isdir(path) or names.link_leads_out(root, path):
            return
        _settle(path)
        _unlink(path)  # first: bytes without their metadata would be another object
        _unlink(names.sidecar(path))


def _settle(path: str) -> None:
    """Do the last step of a writer that was killed before it."""
    with names.passing_over_absence():
        os.replace(names.pending(path, os.lstat(path)), names.sidecar(path))


def _unlink(path: str) -> bool:
    """Remove a file; False if there was none."""
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno not in names.NOT_THERE:
            raise
        return False
    return True

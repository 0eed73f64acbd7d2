"""Keeping other writers out of a directory, between threads and between processes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from cottoncandy.interrupts import put_off

# Where directories cannot be locked (Windows, NFS), the writers of this process still wait for each other.
_lock = threading.Lock()
# Seconds for which Ctrl-C is put off while one waits for it.
_LOOK = 0.1


def _renew_lock() -> None:
    # another thread may have held it at the moment of a fork, and that thread is not in the child
    global _lock  # noqa: PLW0603 - a lock that is held by nobody cannot be released
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def is_still(descriptor: int, path: str) -> bool:
    """Whether the path leads to the file that is open here, not to another one that has taken its place."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


if sys.platform == "win32":

    def locked(_directory: str) -> AbstractContextManager[object]:
        """Keep other writers of this process out of a directory for as long as a block runs."""
        return _lock

    def hold(_descriptor: int) -> bool:
        """Mark an open file as being worked on; there, an open file is never removed."""
        return True

    def is_abandoned(path: str) -> bool:
        """Whether nobody has a file open."""
        try:
            os.rename(path, path)
        except OSError:
            return False
        return True

    def remove_abandoned(path: str) -> bool:
        """Remove a file that nobody has open."""
        os.unlink(path)
        return True

else:
    import fcntl

    class locked:  # noqa: N801 - it reads as a verb
        """Keep other writers out of a directory for as long as a block runs.

        Ctrl-C is put off until it is released: between two steps it would leave the lock behind, and all who write
        there, other processes too, would wait for ever.

        Raises
        ------
        FileNotFoundError
            If there is no such directory.
        """

        def __init__(self, directory: str) -> None:
            self._directory = directory
            self._substitute: threading.Lock | None = None

        def __enter__(self) -> None:
            while True:
                self._descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    self._acquire()
                    # while this waited, the directory may have been removed, and made anew
                    if is_still(self._descriptor, self._directory):
                        self._interrupts = put_off()
                        self._interrupts.__enter__()
                        return
                except BaseException:
                    self._release()
                    raise
                self._release()

        def __exit__(self, *error: object) -> None:
            try:
                self._release()
            finally:
                self._interrupts.__exit__(None, None, None)

        def _acquire(self) -> None:
            if _flock(self._descriptor, fcntl.LOCK_EX):
                return
            while self._substitute is None:
                with put_off():  # between the two it would leave the lock behind
                    if _lock.acquire(timeout=_LOOK):
                        self._substitute = _lock

        def _release(self) -> None:
            if self._substitute is not None:
                self._substitute.release()
                self._substitute = None
            # closing alone would not do: a process that was forked meanwhile has the descriptor, too
            _flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)

    def hold(descriptor: int) -> bool:
        """Mark an open file as being worked on; False if it has been taken for abandoned, and removed, before."""
        _flock(descriptor, fcntl.LOCK_EX)
        return os.fstat(descriptor).st_nlink > 0

    def is_abandoned(path: str) -> bool:
        """Whether the process that was to `hold` a file is no more; False where that is not certain."""
        return _if_abandoned(path, lambda: None)

    def remove_abandoned(path: str) -> bool:
        """Remove a file if it `is_abandoned`; whether that was done."""
        return _if_abandoned(path, lambda: os.unlink(path))

    def _if_abandoned(path: str, action: Callable[[], None]) -> bool:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            is_free = _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_free:
                action()
            return is_free
        finally:
            os.close(descriptor)

    def _flock(descriptor: int, operation: int) -> bool:
        try:
            fcntl.flock(descriptor, operation)
        except OSError:
            return False
        return True

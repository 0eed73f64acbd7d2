"""Keeping other writers out of a directory, between threads and between processes."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import AbstractContextManager

from cottoncandy import forks
from cottoncandy.interrupts import put_off

# Where directories cannot be locked (Windows, NFS), the writers of this process still wait for each other.
_lock = threading.Lock()
# Seconds for which Ctrl-C is put off while one waits for it.
_LOOK = 0.1


@forks.in_child
def _renew_lock() -> None:
    # another thread may have held it at the moment of a fork, and that thread is not in the child
    global _lock  # noqa: PLW0603 - a lock that is held by nobody cannot be released
    _lock = threading.Lock()


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

else:
    import fcntl

    from cottoncandy.heldfiles import flock

    class locked:  # noqa: N801 - it reads as a verb
        """Keep other writers out of a directory for as long as a block runs.

        Ctrl-C is put off until it is released: between two steps it would leave the lock behind, and all writers
        there, of other processes too, would wait for ever.

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
            if flock(self._descriptor, fcntl.LOCK_EX):
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
            flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)

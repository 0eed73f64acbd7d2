"""Files that a process works on, and those whose process is no more, as when it was killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

if sys.platform == "win32":

    def hold(_descriptor: int) -> bool:
        """Mark an open file as being worked on; there, an open file is never removed."""
        return True

    def is_abandoned(path: str) -> bool:
        """Whether nobody has a file open."""
        try:
            Path(path).rename(path)
        except OSError:
            return False
        return True

    def remove_abandoned(path: str) -> bool:
        """Remove a file that nobody has open."""
        Path(path).unlink()
        return True

else:
    import fcntl

    def hold(descriptor: int) -> bool:
        """Mark an open file as being worked on; False if it has been taken for abandoned, and removed, before."""
        flock(descriptor, fcntl.LOCK_EX)
        return os.fstat(descriptor).st_nlink > 0

    def is_abandoned(path: str) -> bool:
        """Whether the process that was to `hold` a file is no more; False where that is not certain."""
        return _if_abandoned(path, lambda: None)

    def remove_abandoned(path: str) -> bool:
        """Remove a file if it `is_abandoned`; whether that was done."""
        return _if_abandoned(path, Path(path).unlink)

    def _if_abandoned(path: str, action: Callable[[], object]) -> bool:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            is_free = flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_free:
                action()
            return is_free
        finally:
            os.close(descriptor)

    def flock(descriptor: int, operation: int) -> bool:
        """Lock an open file or directory, or release it; False where that cannot be done, or not now."""
        try:
            fcntl.flock(descriptor, operation)
        except OSError:
            return False
        return True

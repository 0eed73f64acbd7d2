"""The locks of folders."""

from __future__ import annotations

from cottoncandy.forks import ForkSafeLock

# Two interfaces of one process that make the same folder must wait for each other, so these belong to the process.
# A fixed number of them: a lock per folder would never be thrown away.
_folder_locks = tuple(ForkSafeLock() for _ in range(64))


def folder_lock(endpoint: str, parent: str, name: str) -> ForkSafeLock:
    """The lock for making or removing the folder of that name in a parent. Hold only one at a time."""
    return _folder_locks[hash((endpoint, parent, name)) % len(_folder_locks)]

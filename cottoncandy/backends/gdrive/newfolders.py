"""Which folders were made from here a moment ago, and hold nothing but what their maker put there."""

from __future__ import annotations

import os
import time

# Seconds in which a folder that was just made here is taken for empty but for what was put there from here. If another
# program was faster after all, `Tree.settled` shows it.
_LAST = 60.0
# They only save requests: when there are too many, all are forgotten.
_MOST = 20_000

# The maker of a folder, by the folder's id, and until when that counts. It belongs to the process: what one interface
# puts into a folder that another one made is seen by that one here, before any listing shows it.
_made: dict[str, tuple[object, float]] = {}


def note(folder: str, maker: object) -> None:
    """A folder is about to be made."""
    if len(_made) >= _MOST:
        _made.clear()
    _made[folder] = maker, time.monotonic() + _LAST


def fill(folder: str, writer: object) -> None:
    """Something is about to be put into a folder: if not by its maker, the maker knows the folder no longer."""
    maker, _ = _made.get(folder, (writer, 0.0))
    if maker is not writer:
        forget(folder)


def forget(folder: str) -> None:
    """A folder holds, or may hold, what its maker does not know of."""
    _made.pop(folder, None)


def is_new(folder: str, asking: object) -> bool:
    """Whether the asking one made a folder a moment ago, and no other of this process has put anything there."""
    maker, until = _made.get(folder, (None, 0.0))
    return maker is asking and time.monotonic() < until


if hasattr(os, "register_at_fork"):
    # of two processes neither knows what the other one puts there
    os.register_at_fork(before=_made.clear)

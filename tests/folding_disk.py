"""A directory that ignores how names are spelled, as disks of macOS and Windows do: made of one that does not."""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# What takes paths, and how many: all that the backend calls, also by way of os.path, pathlib and io.
_CALLS = {"stat": 1, "lstat": 1, "open": 1, "mkdir": 1, "rmdir": 1, "unlink": 1, "utime": 1, "scandir": 1}
_CALLS |= {"listdir": 1, "replace": 2, "rename": 2, "link": 2, "readlink": 1}


def without_case(name: str) -> str:
    return unicodedata.normalize("NFD", name).casefold()


def without_form(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def fold(
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
    alike: Callable[[str], str] = without_case,
    kept: Callable[[str], str] = str,
) -> None:
    """Have the system take names below a directory for one where ``alike`` makes the same of them.

    ``kept`` is what the disk makes of a new name.
    """
    listdir = os.listdir

    def found(path: str) -> str:
        """The path as it is on the real disk."""
        place = str(root)
        if not path.startswith(place + os.sep):
            return path
        for part in Path(path[len(place) + 1 :]).parts:
            names = listdir(place) if real_isdir(place) else []
            twin = next((name for name in names if alike(name) == alike(part)), kept(part))
            place = f"{place}{os.sep}{twin}"
        return place

    def folded(call: Callable[..., Any], count: int) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            paths = [found(os.fspath(each)) if _is_path(each) else each for each in arguments[:count]]
            return call(*paths, *arguments[count:], **named)

        return called

    real_stat = os.stat

    def real_isdir(path: str) -> bool:
        try:
            return bool(real_stat(path).st_mode & 0o040000)
        except OSError:
            return False

    class File(io.FileIO):
        def __init__(self, file: Any, *arguments: Any, **named: Any) -> None:
            super().__init__(found(os.fspath(file)) if _is_path(file) else file, *arguments, **named)

    for name, count in _CALLS.items():
        monkeypatch.setattr(os, name, folded(getattr(os, name), count))
    monkeypatch.setattr(io, "FileIO", File)


def _is_path(argument: Any) -> bool:
    return isinstance(argument, str | os.PathLike)

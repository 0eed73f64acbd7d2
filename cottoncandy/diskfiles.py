"""Files on disk that take their place when they are whole."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the target's place when all went well."""
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a directory: name a file")
    target = target.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:  # a device or a pipe is written to, not replaced
            yield file
        return
    part = target.parent / f".cottoncandy-{secrets.token_hex(8)}"
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

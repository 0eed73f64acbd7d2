"""A file on disk as the body of an upload: as it was when that began, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from cottoncandy.bodies import arrived
from cottoncandy.buffers import BufferPool
from cottoncandy.errors import ObjectChanged
from cottoncandy.stream.settings import TransferSettings
from cottoncandy.stream.up import stream_part


def file_body(file: BinaryIO, settings: TransferSettings) -> bytes | Iterator[memoryview]:
    """What `upload` takes for a file: its bytes where they are few, else pieces.

    Raises
    ------
    ObjectChanged
        If somebody writes to the file meanwhile; pieces raise it at their end, before the upload is completed.
    """
    if os.fstat(file.fileno()).st_size > settings.upload_threshold:
        return file_pieces(file, settings)
    with unchanged(file):
        return arrived(file.read(), file)


def file_pieces(file: BinaryIO, settings: TransferSettings) -> Iterator[memoryview]:
    """What a file holds from its position on, in pieces that are parts already: no more of it is in memory.

    Raises
    ------
    ObjectChanged
        At their end, if somebody wrote to the file meanwhile.
    BlockingIOError
        If the file does not block, and gives nothing before it is at its end.
    """
    size, buffers = stream_part(settings), BufferPool()
    with unchanged(file):
        while True:
            memory = buffers.take(size)
            count = arrived(file.readinto(memory), file)  # type: ignore[attr-defined] # of io.BufferedReader
            if not count:
                return
            yield memory[:count]
            del memory  # its sender may be done with it: the next piece takes its place


@contextmanager
def unchanged(file: BinaryIO) -> Iterator[None]:
    """Raise ObjectChanged at the end of a block if somebody wrote to a file since its beginning."""
    before = os.fstat(file.fileno())
    yield
    after = os.fstat(file.fileno())
    # a pipe has no size and no time of its own, and neither has a file of /proc, which tells 0
    has_size = stat.S_ISREG(after.st_mode) and (before.st_size or after.st_size)
    if has_size and (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ObjectChanged(f"{file.name}: it was written to while it was uploaded: upload it again")

"""Small files, many at a time: one thread asks for the next ones before the first are answered.

As long as the disk does not keep it waiting: then `begin_file` and `begin_fetch` give None, and threads do the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cottoncandy.backends.base import Backend, ObjectReader, Receipt, WriteOptions
from cottoncandy.pipelines import SMALL, Begun
from cottoncandy.stream.diskbody import unchanged
from cottoncandy.stream.up import begin_upload
from cottoncandy.waits import Waits


def begin_file(
    backend: Backend,
    key: str,
    path: Path,
    metadata: Callable[[os.stat_result], Mapping[str, str]],
    options: WriteOptions,
    waits: Waits,
) -> Begun[Receipt] | None:
    """Send a small file, whose receipt comes later; None where `upload` is to send it.

    Raises
    ------
    OSError
    ObjectChanged
        If somebody writes to the file meanwhile.
    """
    if waits.are_long:
        return None
    with waits, path.open("rb", buffering=0) as file:
        facts = os.fstat(file.fileno())
        if facts.st_size > SMALL:
            return None
        with unchanged(file):
            body = file.read()
    return begin_upload(backend, key, body, metadata(facts), options)


def begin_fetch(
    backend: Backend, key: str, size: int, write: Callable[[ObjectReader], None], waits: Waits
) -> Begun[None] | None:
    """Ask for a small object, which is written to a file when it is there; None where that is to be opened."""
    if waits.are_long or not 0 < size <= SMALL:
        return None
    begun = backend.begin_open(key, size)
    return None if begun is None else begun.then(lambda reader: _written(reader, write, waits))


def _written(reader: ObjectReader, write: Callable[[ObjectReader], None], waits: Waits) -> None:
    with waits, reader:
        write(reader)

"""A range of an object, read into memory of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from cottoncandy import chunking
from cottoncandy.backends.base import Backend, ObjectReader
from cottoncandy.errors import TransientError
from cottoncandy.parallel import for_each
from cottoncandy.retry import RetryPolicy
from cottoncandy.stream import TransferSettings

log = logging.getLogger(__name__)

_RETRY = RetryPolicy()


def read_range(
    backend: Backend,
    key: str,
    settings: TransferSettings,
    start: int = 0,
    stop: int | None = None,
    e_tag: str | None = None,
) -> memoryview:
    """Read bytes ``start <= i < stop`` of one version of an object: one request, or several in threads where large.

    Parameters
    ----------
    backend : Backend
    key : str
        A clean object name.
    settings : TransferSettings
    start, stop : int
        None reads to the end. What lies behind the end is left out.
    e_tag : str, optional
        Read only this version.

    Returns
    -------
    memoryview
        Writeable memory of its own.

    Raises
    ------
    ObjectNotFound, ObjectChanged
    """
    most = start + settings.download_threshold
    opened = backend.open(key, start, most if stop is None else min(stop, most), e_tag=e_tag)
    start, head = opened.start, opened.head
    stop = head.size if stop is None else min(stop, head.size)
    view: memoryview = np.empty(max(0, stop - start), np.uint8).data  # not zeroed, as a bytearray would be

    def read(job: tuple[int, int, ObjectReader | None]) -> None:
        low, high, reader = job
        _fill(backend, key, low, view[low - start : high - start], head.e_tag, reader)

    jobs = _jobs(opened, start + len(view), settings.download_part)
    for_each(read, jobs, settings.threads if len(view) > opened.stop - start else 1)
    return view


def _jobs(opened: ObjectReader, stop: int, part: int) -> Iterator[tuple[int, int, ObjectReader | None]]:
    """What the first answer brings, and the parts that are still to be asked for."""
    yield opened.start, opened.stop, opened
    for low, high in chunking.spans(stop - opened.stop, part):
        yield opened.stop + low, opened.stop + high, None


def _fill(
    backend: Backend, key: str, start: int, view: memoryview, e_tag: str | None, reader: ObjectReader | None
) -> None:
    """Read into all of the view; where an answer breaks, go on from that byte, held to the same version."""
    done, retries = 0, _RETRY.start()
    while True:
        try:
            with reader or backend.open(key, start + done, start + len(view), e_tag=e_tag) as answer:
                while done < len(view):
                    done += _some(answer, view[done:])
                    retries.progressed()
        except TransientError as error:
            log.info("%s: broke at byte %d: %s", backend.describe(key), start + done, error)
            retries.wait(error)
            reader = None
        else:
            return


def _some(reader: ObjectReader, view: memoryview) -> int:
    count = reader.readinto(view)
    if not count:
        raise TransientError("the answer ended early")
    return count

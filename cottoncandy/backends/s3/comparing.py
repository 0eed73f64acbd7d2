"""Bytes of objects, for where nothing else tells whether two are the same."""

from __future__ import annotations

from collections.abc import Callable

from cottoncandy import partsizes
from cottoncandy.backends.base import MIB, BytesLike, ObjectReader
from cottoncandy.backends.s3.bucket import Bucket, Response, quoted
from cottoncandy.backends.s3.reader import open_object
from cottoncandy.resuming import read_resuming

#: Bytes that are compared at a time.
_COMPARED = 8 * MIB


def holds(bucket: Bucket, key: str, head: Response, expected: Callable[[int, int], BytesLike]) -> bool:
    """Whether the object of a head, whose size fits, is made of these bytes.

    Parameters
    ----------
    bucket : Bucket
    key : str
    head : dict
        The answer of HeadObject.
    expected : callable
        ``expected(start, stop)`` gives the bytes that should be there.
    """
    return all(
        read_span(bucket, key, start, stop, quoted(head.get("ETag"))) == expected(start, stop)
        for start, stop in partsizes.spans(head["ContentLength"], _COMPARED)
    )


def read_span(bucket: Bucket, key: str, start: int, stop: int, e_tag: str | None) -> bytearray:
    """Bytes ``start <= i < stop`` of a version of an object."""
    buffer = bytearray(stop - start)

    def open_at(done: int) -> ObjectReader:
        return open_object(bucket, key, start + done, stop, e_tag)

    read_resuming(bucket.connection.settings.retry, memoryview(buffer), open_at, bucket.describe(key))
    return buffer

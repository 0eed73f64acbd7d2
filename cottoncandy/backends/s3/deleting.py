"""Deleting objects, in batches where they can be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from cottoncandy.backends.s3.bucket import Bucket
from cottoncandy.backends.s3.errors import refusal
from cottoncandy.errors import ContainerNotFound, CottonCandyError, CredentialsNotFound, NotSupported, TransientError
from cottoncandy.pools import map_threads
from cottoncandy.progress import done_counter

#: Keys of one DeleteObjects at most: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
BATCH = 1000
#: Keys of a batch that is worth a request of its own: a server deletes one after the other.
_LEAST_BATCH = 250
#: What XML 1.0 cannot carry, or changes on its way: https://www.w3.org/TR/xml/#charsets
_NOT_FOR_XML = re.compile("[\x00-\x1f\x7f\ufffe\uffff]")

Item = TypeVar("Item")


def delete_objects(bucket: Bucket, keys: Iterable[str]) -> int:
    """Delete objects; how many names were given.

    All are tried. The error names the first that could not be deleted, and says how many others.
    """
    count, done = 0, done_counter(keys)
    failures: list[CottonCandyError] = []

    def failed(batch: list[str]) -> tuple[int, list[CottonCandyError]]:
        return len(batch), _delete(bucket, batch)

    threads = bucket.connection.settings.threads
    for size, errors in map_threads(failed, _batches(keys, threads), threads):
        count += size
        done(size)
        failures += errors
    if failures:
        others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise type(failures[0])(f"{failures[0]}{others}") from failures[0]
    return count


def _batches(items: Iterable[Item], threads: int) -> Iterator[list[Item]]:
    """Cut into batches: two for each of several threads, so that a thread that is served faster takes more of them."""
    shares = 2 * threads if threads > 1 else 1
    remaining = iter(items)
    while some := list(islice(remaining, BATCH * threads)):
        size = max(_LEAST_BATCH, -(-len(some) // shares))
        yield from (some[start : start + size] for start in range(0, len(some), size))


def _delete(bucket: Bucket, keys: list[str]) -> list[CottonCandyError]:
    single, plain = [], keys
    if _NOT_FOR_XML.search("".join(keys)):
        single = [key for key in keys if _NOT_FOR_XML.search(key)]
        plain = [key for key in keys if not _NOT_FOR_XML.search(key)]
    if len(plain) < 2 or bucket.facts.no_batches:
        return _delete_singly(bucket, keys)
    try:
        failures = _delete_batch(bucket, plain)
    except NotSupported:
        bucket.facts.no_batches = True
        return _delete_singly(bucket, keys)
    # a busy server may leave out some keys of a batch; botocore tries again with single ones only
    again = [key for key, error in failures.items() if key and isinstance(error, TransientError)]
    lasting = [error for key, error in failures.items() if key not in again]
    single += again
    return lasting + _delete_singly(bucket, single)


def _delete_batch(bucket: Bucket, keys: list[str]) -> dict[str, CottonCandyError]:
    request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    with bucket.door():
        response = bucket.data.delete_objects(Bucket=bucket.name, Delete=request, **bucket.connection.payer)
    return {
        error.get("Key", ""): refusal(
            bucket.place(error.get("Key")), error.get("Code", ""), 0, error.get("Message", "")
        )
        for error in response.get("Errors", [])
        if error.get("Code") != "NoSuchKey"
    }


def _delete_singly(bucket: Bucket, keys: list[str]) -> list[CottonCandyError]:
    failures: list[CottonCandyError] = []
    for key in keys:
        try:
            with bucket.door(key):
                bucket.data.delete_object(Bucket=bucket.name, Key=key, **bucket.connection.payer)
        except (ContainerNotFound, CredentialsNotFound):
            raise
        except CottonCandyError as error:  # of this key: the others may go
            failures.append(error)
    return failures

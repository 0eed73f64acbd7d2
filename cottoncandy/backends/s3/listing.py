"""Listings: pages, in the order of the keys' UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from operator import attrgetter
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.backends.s3.bucket import Bucket, quoted
from cottoncandy.backends.s3.errors import is_not_implemented
from cottoncandy.backends.s3.lean import ListPage, parse_time

Entry = ObjectInfo | ObjectPrefix

# Amazon gives no more on a page whatever it is asked for, and SeaweedFS refuses to be asked for 10**6:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
_MOST_KEYS = 1000
#: The order of code points is that of UTF-8's bytes.
_BY_KEY = attrgetter("key")
#: Of the `Server` header. They list directory by directory: `a/x` before `a-b`, which is not the order of bytes.
_BY_DIRECTORY = ("SeaweedFS",)


def list_objects(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[ObjectInfo]:
    """All objects whose key starts with ``prefix``."""
    for entry in _entries(bucket, {"Prefix": prefix}, page_size):
        if isinstance(entry, ObjectInfo):
            yield entry


def list_level(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[Entry]:
    """The objects of one level, and each prefix once."""
    last = ""
    for entry in _entries(bucket, {"Prefix": prefix, "Delimiter": "/"}, page_size):
        # lists of the first version may repeat prefixes on every page
        if isinstance(entry, ObjectPrefix):
            if entry.key <= last:
                continue
            last = entry.key
        yield entry


def _entries(bucket: Bucket, what: dict[str, Any], page_size: int | None) -> Iterator[Entry]:
    size = {"MaxKeys": min(page_size, _MOST_KEYS)} if page_size else {}
    prefix = what["Prefix"]
    pages = _pages(bucket, {**what, **size, **bucket.connection.payer})
    for page in pages:
        if page.server.startswith(_BY_DIRECTORY):
            entries = (entry for other in chain((page,), pages) for entry in sorted(_of_page(other), key=_components))
            # it also drops a / at the beginning of a prefix
            yield from in_byte_order((entry for entry in entries if entry.key.startswith(prefix)), prefix)
            return
        yield from sorted(_of_page(page), key=_BY_KEY)


def in_byte_order(entries: Iterable[Entry], prefix: str) -> Iterator[Entry]:
    """Entries in the order of their bytes, of a list that goes directory by directory.

    Behind a directory ``a/`` may come ``a-b`` and ``a.b/``, which belong before it. So what is in a directory waits
    until a name comes that belongs behind it.
    """
    waiting: list[Entry] = []
    directory = ""
    for entry in entries:
        if waiting and not (entry.key.startswith(directory) and entry.key[len(directory) :][:1] <= "/"):
            yield from sorted(waiting, key=_BY_KEY)
            waiting.clear()
        if not waiting:
            slash = entry.key.find("/", len(prefix))
            directory = entry.key[:slash]
            if slash < 0:
                yield entry
                continue
        waiting.append(entry)
    yield from sorted(waiting, key=_BY_KEY)


def _components(entry: Entry) -> str:
    return entry.key.replace("/", "\0")  # as a list by directories is sorted: / before all


def _of_page(page: ListPage) -> list[Entry]:
    entries: list[Entry] = [
        ObjectInfo(key, size, parse_time(date) if date else None, quoted(e_tag))
        for key, size, date, e_tag in page.objects
    ]
    entries += map(ObjectPrefix, page.prefixes)
    return entries


# ---------------------------------------------------------------------- pages
def _pages(bucket: Bucket, what: dict[str, Any]) -> Generator[ListPage, None, None]:
    """Pages: from the third on, of a long listing, the next is asked for while the caller works on one."""
    page = _page(bucket, what, None)
    yield page
    if not page.truncated:
        return
    page = _page(bucket, what, page)
    yield page
    if not page.truncated:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="cottoncandy") as ahead:
        page = _page(bucket, what, page)
        while page.truncated:
            following = ahead.submit(_page, bucket, what, page)
            yield page
            page = following.result()
    yield page


def _page(bucket: Bucket, what: dict[str, Any], before: ListPage | None) -> ListPage:
    """The first page, or the one behind another; by the first version of lists where a server has no second."""
    position = {}
    if before is not None and before.token:
        position = {"ContinuationToken": before.token}
    elif before is not None:  # the server answered as the first version does, whatever it was asked
        bucket.facts.no_list_v2 = True
        position = {"Marker": before.marker}
    first = "Marker" in position or (bucket.facts.no_list_v2 and not position)
    arguments = {"Bucket": bucket.name, **what, **position}
    with bucket.door():
        try:
            page: ListPage = (bucket.data.list_page_v1 if first else bucket.data.list_page)(**arguments)
        except ClientError as error:
            if first or not is_not_implemented(error):
                raise
            bucket.facts.no_list_v2 = True
            page = bucket.data.list_page_v1(**arguments)
    return page

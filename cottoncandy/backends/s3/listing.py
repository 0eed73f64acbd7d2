"""Listings: pages, in the order of the keys' UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import Any

from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.backends.s3.bucket import Bucket, quoted
from cottoncandy.backends.s3.lean import parse_time
from cottoncandy.backends.s3.lean.listing import ListPage
from cottoncandy.backends.s3.pages import goes_by_directory, is_ordered, list_pages
from cottoncandy.errors import ServiceError
from cottoncandy.pipelines import Begun

Entry = ObjectInfo | ObjectPrefix

# Amazon gives no more on a page whatever it is asked for, and SeaweedFS refuses to be asked for 10**6:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
_MOST_KEYS = 1000
#: The order of code points is that of UTF-8's bytes.
_BY_KEY = attrgetter("key")
#: Pages on end that bring nothing new; a bucket full of deleted versions has some that are empty.
_MOST_IDLE = 200


def list_objects(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[ObjectInfo]:
    """All objects whose key starts with ``prefix``."""
    for entries in _entries(bucket, {"Prefix": prefix}, page_size):
        yield from [entry for entry in entries if isinstance(entry, ObjectInfo)]


def list_level(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[Entry]:
    """The objects of one level, and each prefix once."""
    last = ""
    for entries in _entries(bucket, {"Prefix": prefix, "Delimiter": "/"}, page_size):
        # lists of the first version may repeat prefixes on every page
        new = [entry for entry in entries if entry.key > last or isinstance(entry, ObjectInfo)] if last else entries
        yield from new
        last = max(last, next((entry.key for entry in reversed(entries) if isinstance(entry, ObjectPrefix)), ""))


def begin_names(bucket: Bucket, prefix: str) -> Begun[list[str]] | None:
    """Send one LIST, for all keys that start with ``prefix``; ValueError for more than a page of them.

    Not to a server that lists by directories: of these, one is read long after the other.
    """
    if bucket.facts.no_list_v2 or bucket.facts.lists_by_directory:
        return None

    def names(page: ListPage) -> list[str]:
        if page.truncated:
            raise ValueError("a page does not hold all names")
        return [key for key, _, _, _ in page.objects if key.startswith(prefix)]

    begun: Begun[ListPage] | None = bucket.data.begin_list_page(
        Bucket=bucket.name, Prefix=prefix, **bucket.connection.payer
    )
    return None if begun is None else begun.then(names)


def _entries(bucket: Bucket, what: dict[str, Any], page_size: int | None) -> Iterator[list[Entry]]:
    """The entries, by the page, sorted."""
    size = {"MaxKeys": min(page_size, _MOST_KEYS)} if page_size else {}
    prefix = what["Prefix"]
    pages = _checked(bucket, prefix, list_pages(bucket, {**what, **size, **bucket.connection.payer}))
    for by_directory, entries in pages:
        if by_directory:
            found = in_byte_order(chain(entries, chain.from_iterable(others for _, others in pages)), prefix)
            yield from ([entry] for entry in found)
            return
        yield entries


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


# ---------------------------------------------------------------------- what a server may not say
def _checked(bucket: Bucket, prefix: str, pages: Iterator[ListPage]) -> Iterator[tuple[bool, list[Entry]]]:
    """The entries of each page, sorted, and whether the server lists by directories.

    Raises
    ------
    ServiceError
        If the listing begins anew, has no end, or tells of what was not asked for: whoever reads on would read for
        ever, or touch what he was not to touch.
    """
    progress = _Progress(bucket.describe(), ordered=is_ordered(bucket))
    for page in pages:
        by_directory = goes_by_directory(page)
        bucket.facts.lists_by_directory |= by_directory
        try:
            entries = _of_page(page)
        except (ValueError, OverflowError) as error:
            raise ServiceError(f"{bucket.describe()}: S3 gave a listing that cannot be read: {error}") from error
        if by_directory:  # it also drops a / at the beginning of a prefix
            entries = [entry for entry in entries if entry.key.startswith(prefix)]
        entries.sort(key=_components if by_directory else _BY_KEY)
        # what lies between two names that begin alike begins so, too
        if not all(entry.key.startswith(prefix) for entry in (*entries[:1], *entries[-1:])):
            raise ServiceError(f"{bucket.describe()}: S3 listed names that do not begin with {prefix!r}, as was asked")
        progress.check(page, entries, _components if by_directory else _BY_KEY)
        yield by_directory, entries


class _Progress:
    """How far a listing has come."""

    def __init__(self, where: str, *, ordered: bool) -> None:
        self._where = where
        self._ordered = ordered
        self._last = self._last_object = ""
        self._idle = 0
        self._positions: set[str] = set()

    def check(self, page: ListPage, entries: list[Entry], order: Callable[[Entry], str]) -> None:
        """Refuse a page that does not bring the listing further."""
        first, last_object = map(_first_object, (entries, reversed(entries)) if page.objects else ((), ()))
        if self._ordered and first and order(first) <= self._last_object:
            raise ServiceError(f"{self._where}: S3 gave a listing out of order, at {first.key!r}")
        last = order(entries[-1]) if entries else ""
        self._idle = 0 if last > self._last else self._idle + 1
        self._last = max(self._last, last)
        self._last_object = max(self._last_object, order(last_object)) if last_object else self._last_object
        if page.truncated:
            self._go_on(page.token or page.marker)

    def _go_on(self, position: str | None) -> None:
        if not position or position in self._positions or self._idle > _MOST_IDLE:
            raise ServiceError(f"{self._where}: S3 gave a listing without an end")
        self._positions.add(position)


def _first_object(entries: Iterable[Entry]) -> ObjectInfo | None:
    return next((entry for entry in entries if isinstance(entry, ObjectInfo)), None)


def _of_page(page: ListPage) -> list[Entry]:
    if min([size for _, size, _, _ in page.objects], default=0) < 0:
        raise ValueError("an object of less than no bytes")
    entries: list[Entry] = [
        ObjectInfo(key, size, parse_time(date) if date else None, e_tag if e_tag and e_tag[0] == '"' else quoted(e_tag))
        for key, size, date, e_tag in page.objects
    ]
    entries += map(ObjectPrefix, filter(None, dict.fromkeys(page.prefixes)))
    return entries

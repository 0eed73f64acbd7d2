"""Listings: pages, in the order of the keys' UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.backends.s3.bucket import Bucket, quoted
from cottoncandy.backends.s3.lean import parse_time
from cottoncandy.backends.s3.lean.listing import ListPage
from cottoncandy.backends.s3.pages import goes_by_directory, is_ordered, list_pages
from cottoncandy.backends.s3.positions import Positions
from cottoncandy.errors import ServiceError
from cottoncandy.pipelines import Begun

Entry = ObjectInfo | ObjectPrefix
Item = TypeVar("Item")

# Amazon gives no more on a page whatever it is asked for, and SeaweedFS refuses to be asked for 10**6:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
_MOST_KEYS = 1000
#: Pages on end that bring nothing new; a bucket full of deleted versions has some that are empty.
_MOST_IDLE = 200
_FIRST = itemgetter(0)
# The order of code points is that of UTF-8's bytes.
_KEY: Callable[[Entry], str] = attrgetter("key")


def list_objects(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[ObjectInfo]:
    """All objects whose key starts with ``prefix``."""
    return _listed(bucket, {"Prefix": prefix}, page_size, _infos, _KEY)


def list_names(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[str]:
    """Their keys."""
    return _listed(bucket, {"Prefix": prefix}, page_size, _keys, str)


def list_level(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[Entry]:
    """The objects of one level, and each prefix once."""
    return _listed(bucket, {"Prefix": prefix, "Delimiter": "/"}, page_size, _entries, _KEY)


def level_names(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[str]:
    """Their keys."""
    return _listed(bucket, {"Prefix": prefix, "Delimiter": "/"}, page_size, _all_names, str)


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


# ---------------------------------------------------------------------- what is made of a page
def _infos(page: ListPage) -> list[ObjectInfo]:
    if min([size for _, size, _, _ in page.objects], default=0) < 0:
        raise ValueError("an object of less than no bytes")
    return [
        ObjectInfo(key, size, parse_time(date) if date else None, e_tag if e_tag and e_tag[0] == '"' else quoted(e_tag))
        for key, size, date, e_tag in page.objects
    ]


def _keys(page: ListPage) -> list[str]:
    return list(map(_FIRST, page.objects))


def _entries(page: ListPage) -> list[Entry]:
    return [*_infos(page), *map(ObjectPrefix, page.prefixes)]


def _all_names(page: ListPage) -> list[str]:
    return _keys(page) + page.prefixes


# ---------------------------------------------------------------------- order
def _listed(
    bucket: Bucket,
    what: dict[str, Any],
    page_size: int | None,
    of_page: Callable[[ListPage], list[Item]],
    name: Callable[[Item], str],
) -> Iterator[Item]:
    """What is made of each page, in the order of the names."""
    size = {"MaxKeys": min(page_size, _MOST_KEYS)} if page_size else {}
    prefix = what["Prefix"]
    pages = _checked(bucket, prefix, list_pages(bucket, {**what, **size, **bucket.connection.payer}))

    def items(page: ListPage) -> list[Item]:
        try:
            found = of_page(page)
        except (ValueError, OverflowError) as error:
            raise _unreadable(bucket, error) from error
        if page.objects and page.prefixes:
            order = _order(page)
            found.sort(key=lambda item: order(name(item)))
        return found

    for page in pages:
        if goes_by_directory(page):
            yield from in_byte_order(chain.from_iterable(map(items, chain((page,), pages))), prefix, name)
            return
        yield from items(page)


def in_byte_order(items: Iterable[Item], prefix: str, name: Callable[[Item], str]) -> Iterator[Item]:
    """Items in the order of the bytes of their names, of a list that goes directory by directory.

    Behind a directory ``a/`` may come ``a-b`` and ``a.b/``, which belong before it. So what is in a directory waits
    until a name comes that belongs behind it.
    """
    waiting: list[Item] = []
    directory = ""
    for item in items:
        key = name(item)
        if waiting and not (key.startswith(directory) and key[len(directory) :][:1] <= "/"):
            yield from sorted(waiting, key=name)
            waiting.clear()
        if not waiting:
            slash = key.find("/", len(prefix))
            directory = key[:slash]
            if slash < 0:
                yield item
                continue
        waiting.append(item)
    yield from sorted(waiting, key=name)


def _order(page: ListPage) -> Callable[[str], str]:
    """What the names of a page are sorted by."""
    return _components if goes_by_directory(page) else str


def _components(name: str) -> str:
    return name.replace("/", "\0")  # as a list by directories is sorted: / before all


# ---------------------------------------------------------------------- what a server may not say
def _unreadable(bucket: Bucket, error: Exception) -> ServiceError:
    return ServiceError(f"{bucket.describe()}: S3 gave a listing that cannot be read: {error}")


def _checked(bucket: Bucket, prefix: str, pages: Iterator[ListPage]) -> Iterator[ListPage]:
    """The pages, the objects and the prefixes of each sorted, and each prefix once.

    Raises
    ------
    ServiceError
        If the listing begins anew, has no end, or tells of what was not asked for: a caller that reads on would
        read for ever, or touch what it was not to touch.
    """
    progress, last = _Progress(bucket.describe(), ordered=is_ordered(bucket)), ""
    for read in pages:
        page = _sorted(read, prefix)
        bucket.facts.lists_by_directory |= goes_by_directory(page)
        # what lies between two names that begin alike begins so, too
        ends = [*map(_FIRST, page.objects[:1] + page.objects[-1:]), *page.prefixes[:1], *page.prefixes[-1:]]
        if not all(name.startswith(prefix) for name in ends):
            raise ServiceError(f"{bucket.describe()}: S3 listed names that do not begin with {prefix!r}, as was asked")
        progress.check(page)
        prefixes, order = page.prefixes, _order(page)
        # lists of the first version may repeat prefixes on every page
        yield page._replace(prefixes=[one for one in prefixes if order(one) > last]) if last and prefixes else page
        last = max(last, order(prefixes[-1])) if prefixes else last


def _sorted(page: ListPage, prefix: str) -> ListPage:
    prefixes: Iterable[str] = filter(None, dict.fromkeys(page.prefixes))
    if not goes_by_directory(page):
        return page._replace(objects=sorted(page.objects, key=_FIRST), prefixes=sorted(prefixes))
    # it also drops a / at the beginning of a prefix
    objects = [entry for entry in page.objects if entry[0].startswith(prefix)]
    prefixes = (name for name in prefixes if name.startswith(prefix))
    objects.sort(key=lambda entry: _components(entry[0]))
    return page._replace(objects=objects, prefixes=sorted(prefixes, key=_components))


class _Progress:
    """How far a listing has come."""

    def __init__(self, where: str, *, ordered: bool) -> None:
        self._where = where
        self._ordered = ordered
        self._last = self._last_object = ""
        self._idle = 0
        self._positions = Positions(where)

    def check(self, page: ListPage) -> None:
        """Refuse a page, sorted, that does not bring the listing further."""
        order = _order(page)
        last_objects = [order(name) for name, *_ in page.objects[-1:]]
        if self._ordered and page.objects and order(page.objects[0][0]) <= self._last_object:
            raise ServiceError(f"{self._where}: S3 gave a listing out of order, at {page.objects[0][0]!r}")
        last = max([*last_objects, *map(order, page.prefixes[-1:])], default="")
        self._idle = 0 if last > self._last else self._idle + 1
        self._last = max(self._last, last)
        self._last_object = max([self._last_object, *last_objects])
        if page.truncated:
            if self._idle > _MOST_IDLE:
                raise self._positions.endless()
            self._positions.go_on(page.token or page.marker)

"""The pages of a listing: the next one is asked for ahead, and parts of a long one are read side by side."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from itertools import chain, groupby
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy.backends.s3.bucket import Bucket
from cottoncandy.backends.s3.lean.listing import ListPage
from cottoncandy.backends.s3.refusals import is_not_implemented
from cottoncandy.pools import Call, chained

Entry = tuple[str, int, str, str | None]

#: Of the `Server` header. They list directory by directory: `a/x` before `a-b`, which is not the order of bytes.
_BY_DIRECTORY = ("SeaweedFS",)
#: Ends the names of Amazon's directory buckets.
_UNORDERED = "--x-s3"
#: Pages that are read one behind the other before branches are looked at.
_FIRST = 4
#: Branches of a level that may be looked into: each costs a request at least, and the further ones may be small.
_MOST_BRANCHES = 256
#: Branches, or ranges of them, that are listed side by side, and pages of each that wait for the caller: 32,000 keys in
#: all.
_BRANCHES = 8
_WAITING = 4
#: Pages of a range of branches at least: what it costs beyond them is its last page, which is not full.
_LEAST_RANGE = 3


def goes_by_directory(page: ListPage) -> bool:
    """Whether the server lists directory by directory."""
    return page.server.startswith(_BY_DIRECTORY)


def is_ordered(bucket: Bucket) -> bool:
    """Whether listings come in the order of the names: but for Amazon's directory buckets, they do."""
    return not bucket.name.endswith(_UNORDERED)


def list_pages(bucket: Bucket, what: dict[str, Any]) -> Generator[ListPage, None, None]:
    """The pages of a listing, in its order.

    Parameters
    ----------
    bucket : Bucket
    what : dict
        Arguments of ListObjectsV2.
    """
    page = _page(bucket, what, None)
    first = [page]
    yield page
    while page.truncated and len(first) < _FIRST:
        page = _page(bucket, what, page)
        first.append(page)
        yield page
    if not page.truncated:
        return
    may_fork = "Delimiter" not in what and is_ordered(bucket)
    branches = _branches(what["Prefix"], first) if may_fork else set()
    if not branches:
        yield from _pages(bucket, what, page)
    elif len(branches) <= len(first):
        yield from _side_by_side(bucket, what, page.objects[-1][0])
    else:
        yield from _by_ranges(bucket, what, page, len(branches) / len(first))


# ---------------------------------------------------------------------- branches
def _branches(prefix: str, pages: list[ListPage]) -> set[str]:
    """The branches in which all keys of the pages lie; none where some lie beside them, or nothing can be said."""
    if any(goes_by_directory(page) or not page.token or not page.objects for page in pages):
        return set()
    start = len(prefix)
    branches = {key[: key.find("/", start) + 1] for page in pages for key, *_ in page.objects}
    return set() if "" in branches else branches


def _by_ranges(bucket: Bucket, what: dict[str, Any], before: ListPage, branches_of_a_page: float) -> Iterator[ListPage]:
    """All pages behind one, where the branches are small: some ranges of them side by side.

    Parameters
    ----------
    branches_of_a_page : float
        How many the pages so far had, on the average.
    """
    last = before.objects[-1][0]
    names = [name for name in _level(bucket, what).prefixes if _is_behind(name, last)]
    count = min(_BRANCHES, int(len(names) / branches_of_a_page) // _LEAST_RANGE)
    if count < 2:
        yield from _pages(bucket, what, before)
        return
    # the first one goes on from the page; the last one has no end: behind a thousand branches there may be more
    ends = [names[number * len(names) // count] for number in range(1, count)]
    first = _pages(bucket, what, before, ends[0])
    others = (
        _pages(bucket, {**what, "StartAfter": start}, stop=stop)
        for start, stop in zip(ends, [*ends[1:], None], strict=True)
    )
    yield from chained(chain((first,), others), _BRANCHES, _WAITING)


def _level(bucket: Bucket, what: dict[str, Any]) -> ListPage:
    """The first thousand branches of the level at which a listing begins, and the objects between them."""
    return _page(bucket, {**{name: value for name, value in what.items() if name != "MaxKeys"}, "Delimiter": "/"}, None)


def _side_by_side(bucket: Bucket, what: dict[str, Any], last: str) -> Iterator[ListPage]:
    """All pages behind a key: the branches of its level, and the objects that lie between them."""
    level = _level(bucket, what)
    names = [name for name in level.prefixes if _is_behind(name, last)]
    if level.truncated or len(names) > _MOST_BRANCHES:
        yield from _pages(bucket, {**what, "StartAfter": last})
    elif len(names) == 1 and _goes_on_in(names[0], what["Prefix"], last) and not _behind(level.objects, last):
        yield from _side_by_side(bucket, {**what, "Prefix": names[0]}, last)  # it may fork further down
    else:
        yield from chained(_spans(bucket, what, level, last), _BRANCHES, _WAITING)


def _goes_on_in(branch: str, prefix: str, last: str) -> bool:
    return last.startswith(branch) and len(branch) > len(prefix)


def _spans(
    bucket: Bucket, what: dict[str, Any], level: ListPage, last: str
) -> Iterator[Generator[ListPage, None, None]]:
    """The pages of each branch of a level, and its objects, in the order of the keys."""
    branches = [(name, None) for name in level.prefixes if _is_behind(name, last)]
    entries = [*branches, *((entry[0], entry) for entry in _behind(level.objects, last))]
    for is_object, group in groupby(sorted(entries, key=_by_bytes), key=lambda pair: pair[1] is not None):
        if is_object:
            yield _between(level, [entry for _, entry in group if entry])
            continue
        for name, _ in group:
            # the first branch is known up to the key
            start = {"StartAfter": last} if last.startswith(name) else {}
            yield _pages(bucket, {**what, **start, "Prefix": name})


def _between(level: ListPage, objects: list[Entry]) -> Generator[ListPage, None, None]:
    yield level._replace(objects=objects, prefixes=[])


def _by_bytes(pair: tuple[str, object]) -> bytes:
    return pair[0].encode()


def _is_behind(branch: str, last: str) -> bool:
    """Whether a branch has keys behind one that is known."""
    return last.startswith(branch) or _is_after(branch, last)


def _behind(objects: list[Entry], last: str) -> list[Entry]:
    return [entry for entry in objects if _is_after(entry[0], last)]


def _is_after(key: str, other: str) -> bool:
    return key.encode() > other.encode()


# ---------------------------------------------------------------------- one behind the other
def _pages(
    bucket: Bucket, what: dict[str, Any], before: ListPage | None = None, stop: str | None = None
) -> Generator[ListPage, None, None]:
    """The pages from the beginning, or behind one; to the end, or with the keys up to ``stop``.

    The next one is asked for while the caller works on one; from the beginning only from the third one on, as few
    listings are long.
    """
    page = _cut(_page(bucket, what, before), stop)
    for _ in range(0 if before else 2):
        yield page
        if not page.truncated:
            return
        page = _cut(_page(bucket, what, page), stop)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="cottoncandy") as ahead:
        while page.truncated:
            following = Call(ahead, partial(_page, bucket, what, page))
            yield page
            page = _cut(following.result(), stop)
    yield page


def _cut(page: ListPage, stop: str | None) -> ListPage:
    """The page, or the last one, with the keys up to ``stop``."""
    if stop is None or not page.objects or not _is_after(page.objects[-1][0], stop):
        return page
    within = [entry for entry in page.objects if not _is_after(entry[0], stop)]
    return page._replace(objects=within, token=None, truncated=False)


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

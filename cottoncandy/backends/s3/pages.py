"""The pages of a listing: the next one is asked for ahead, and large branches are listed side by side."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy.backends.s3.bucket import Bucket
from cottoncandy.backends.s3.errors import is_not_implemented
from cottoncandy.backends.s3.lean import ListPage
from cottoncandy.parallel import chained

Entry = tuple[str, int, str, str | None]

#: Of the `Server` header. They list directory by directory: `a/x` before `a-b`, which is not the order of bytes.
_BY_DIRECTORY = ("SeaweedFS",)
#: Ends the names of Amazon's directory buckets.
_UNORDERED = "--x-s3"
#: Pages that are read one behind the other before branches are looked at.
_FIRST = 4
#: Branches of a level that may be looked into: each costs a request at least, and the further ones may be small.
_MOST_BRANCHES = 256
#: Branches that are listed side by side, and pages of each that wait for the caller: 32,000 keys in all.
_BRANCHES = 8
_WAITING = 4


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
    pages = _pages(bucket, what)
    first = []
    for page in islice(pages, _FIRST):
        first.append(page)
        yield page
    is_long = first[-1].truncated and "Delimiter" not in what and is_ordered(bucket)
    if not is_long or not _has_large_branches(what["Prefix"], first):
        yield from pages
        return
    pages.close()
    yield from _side_by_side(bucket, what, first[-1].objects[-1][0])


# ---------------------------------------------------------------------- branches
def _has_large_branches(prefix: str, pages: list[ListPage]) -> bool:
    """Whether a branch has a page full of keys, as far as one can see: else more requests would be sent, not less."""
    if any(goes_by_directory(page) or not page.token or not page.objects for page in pages):
        return False
    start = len(prefix)
    branches = {key[: key.find("/", start) + 1] for page in pages for key, *_ in page.objects}
    return len(branches) <= len(pages) and "" not in branches


def _side_by_side(bucket: Bucket, what: dict[str, Any], last: str) -> Iterator[ListPage]:
    """All pages behind a key: the branches of its level, and the objects that lie between them."""
    whole = {name: value for name, value in what.items() if name != "MaxKeys"}
    level = _page(bucket, {**whole, "Delimiter": "/"}, None)
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
    return last.startswith(branch) or branch.encode() > last.encode()


def _behind(objects: list[Entry], last: str) -> list[Entry]:
    return [entry for entry in objects if entry[0].encode() > last.encode()]


# ---------------------------------------------------------------------- one behind the other
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

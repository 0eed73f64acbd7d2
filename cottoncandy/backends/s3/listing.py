"""Listings: pages, in the order of the keys' UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from botocore.exceptions import ClientError

from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.backends.s3.bucket import Bucket, Response, quoted
from cottoncandy.backends.s3.errors import is_not_implemented

Entry = ObjectInfo | ObjectPrefix

# Amazon gives no more on a page whatever it is asked for, and SeaweedFS refuses to be asked for 10**6:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
_MOST_KEYS = 1000
#: Of the `Server` header. They list directory by directory: `a/x` before `a-b`, which is not the order of bytes.
_BY_DIRECTORY = ("SeaweedFS",)


def list_objects(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[ObjectInfo]:
    """All objects whose key starts with ``prefix``."""
    for entry in _entries(bucket, {"Prefix": prefix}, page_size):
        if isinstance(entry, ObjectInfo):
            yield entry


def list_level(bucket: Bucket, prefix: str, page_size: int | None) -> Iterator[Entry]:
    """The objects of one level, and each prefix once."""
    last = b""
    for entry in _entries(bucket, {"Prefix": prefix, "Delimiter": "/"}, page_size):
        # lists of the first version may repeat prefixes on every page
        if isinstance(entry, ObjectPrefix):
            if _bytes(entry) <= last:
                continue
            last = _bytes(entry)
        yield entry


def _entries(bucket: Bucket, what: dict[str, Any], page_size: int | None) -> Iterator[Entry]:
    size = {"MaxKeys": min(page_size, _MOST_KEYS)} if page_size else {}
    prefix = what["Prefix"]
    pages = _pages(bucket, {**what, **size})
    for page in pages:
        if _server(page).startswith(_BY_DIRECTORY):
            entries = (entry for other in chain((page,), pages) for entry in sorted(_of_page(other), key=_components))
            # it also drops a / at the beginning of a prefix
            yield from in_byte_order((entry for entry in entries if entry.key.startswith(prefix)), prefix)
            return
        yield from sorted(_of_page(page), key=_bytes)


def in_byte_order(entries: Iterable[Entry], prefix: str) -> Iterator[Entry]:
    """Entries in the order of their bytes, of a list that goes directory by directory.

    Behind a directory ``a/`` may come ``a-b`` and ``a.b/``, which belong before it. So what is in a directory waits
    until a name comes that belongs behind it.
    """
    waiting: list[Entry] = []
    directory = ""
    for entry in entries:
        if waiting and not (entry.key.startswith(directory) and entry.key[len(directory) :][:1] <= "/"):
            yield from sorted(waiting, key=_bytes)
            waiting.clear()
        if not waiting:
            slash = entry.key.find("/", len(prefix))
            directory = entry.key[:slash]
            if slash < 0:
                yield entry
                continue
        waiting.append(entry)
    yield from sorted(waiting, key=_bytes)


def _bytes(entry: Entry) -> bytes:
    return entry.key.encode()


def _components(entry: Entry) -> bytes:
    return _bytes(entry).replace(b"/", b"\0")  # as a list by directories is sorted: / before all


def _server(page: Response) -> str:
    return str(page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("server", ""))


def _of_page(page: Response) -> Iterable[Entry]:
    for entry in page.get("Contents", []):
        yield ObjectInfo(entry["Key"], entry.get("Size", 0), entry.get("LastModified"), quoted(entry.get("ETag")))
    for entry in page.get("CommonPrefixes", []):
        yield ObjectPrefix(entry["Prefix"])


# ---------------------------------------------------------------------- pages
def _pages(bucket: Bucket, what: dict[str, Any]) -> Iterator[Response]:
    """Pages as they are needed, by the second version of lists, or the first where a server has no other."""
    position: dict[str, str] = {}
    while True:
        page = _page(bucket, {"Bucket": bucket.name, **what, **position, **bucket.connection.payer})
        yield page
        if not page.get("IsTruncated"):
            return
        if token := page.get("NextContinuationToken"):
            position = {"ContinuationToken": token}
        else:  # the server answered as the first version does, whatever it was asked
            bucket.facts.no_list_v2 = True
            position = {"Marker": page.get("NextMarker") or _last(page)}


def _last(page: Response) -> str:
    return max((entry.key for entry in _of_page(page)), key=str.encode)


def _page(bucket: Bucket, arguments: dict[str, Any]) -> Response:
    # no EncodingType: botocore asks for `url` itself, and decodes only where it was the one who asked
    first = "Marker" in arguments or (bucket.facts.no_list_v2 and "ContinuationToken" not in arguments)
    with bucket.door():
        try:
            response: Response = (bucket.client.list_objects if first else bucket.data.list_objects_v2)(**arguments)
        except ClientError as error:
            if first or not is_not_implemented(error):
                raise
            bucket.facts.no_list_v2 = True
            response = bucket.client.list_objects(**arguments)
    return response

"""Listings, page by page. What was listed once is kept until something changes in the bucket."""

from __future__ import annotations

import bisect
import itertools
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from benchmarks.server.errors import S3Error
from benchmarks.server.storage import Storage, etag_of

#: Nanoseconds. Clocks of file systems go in steps of some milliseconds: two changes within one look like one.
_SETTLED = 50_000_000
#: Above every key that begins with what it is appended to.
_END = "\U0010ffff"
_MOST_KEYS = 1000


@dataclass(frozen=True)
class Entry:
    """What a page has a line for: an object, or all that lies below a common prefix."""

    name: str
    is_prefix: bool


@dataclass
class _Snapshot:
    """A bucket as it was at a time of its directory."""

    changed: int
    keys: Sequence[str]
    pages: dict[frozenset[tuple[str, str]], bytes] = field(default_factory=dict)


class Listings:
    """Pages of ListObjectsV2."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._snapshots: dict[str, _Snapshot] = {}
        self._lock = threading.Lock()

    def page(self, bucket: str, query: Mapping[str, str]) -> bytes:
        """The XML of one page."""
        snapshot = self._snapshot(bucket)
        asked = frozenset(query.items())
        if asked not in snapshot.pages:
            snapshot.pages[asked] = self._page(bucket, snapshot.keys, query)
        return snapshot.pages[asked]

    def _snapshot(self, bucket: str) -> _Snapshot:
        with self._lock:
            changed = os.stat(self._storage.bucket(bucket)).st_mtime_ns  # noqa: PTH116
            known = self._snapshots.get(bucket)
            if known and known.changed == changed:
                return known
            snapshot = _Snapshot(changed, self._storage.names(bucket))
            if time.time_ns() - changed > _SETTLED:
                self._snapshots[bucket] = snapshot
            return snapshot

    def _page(self, bucket: str, keys: Sequence[str], query: Mapping[str, str]) -> bytes:
        most = min(_number(query.get("max-keys", str(_MOST_KEYS))), _MOST_KEYS)
        wanted = entries(keys, query.get("prefix", ""), query.get("delimiter", ""), _first(keys, query))
        found = list(itertools.islice(wanted, most + 1))
        shown = found[:most]
        lines = [self._line(bucket, entry, query.get("encoding-type") == "url") for entry in shown]
        if shown and len(found) > most:
            last = shown[-1]
            lines.append(f"<NextContinuationToken>{'pk'[not last.is_prefix]}{quote(last.name)}</NextContinuationToken>")
        more = str(len(found) > most).lower()
        return _document(bucket, query, [f"<IsTruncated>{more}</IsTruncated><KeyCount>{len(shown)}</KeyCount>", *lines])

    def _line(self, bucket: str, entry: Entry, quoted: bool) -> str:
        name = quote(entry.name) if quoted else escape(entry.name)
        if entry.is_prefix:
            return f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
        status = self._storage.status(bucket, entry.name)
        if status is None:
            return ""  # deleted in between
        return (
            f"<Contents><Key>{name}</Key><LastModified>{_iso(status.st_mtime)}</LastModified>"
            f"<ETag>{escape(etag_of(status))}</ETag><Size>{self._storage.size(bucket, entry.name, status)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


def entries(keys: Sequence[str], prefix: str, delimiter: str, at: int) -> Iterator[Entry]:
    """The lines of a listing, from a place in the sorted keys on."""
    at = max(at, bisect.bisect_left(keys, prefix))
    while at < len(keys) and keys[at].startswith(prefix):
        cut = keys[at].find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            yield Entry(keys[at], is_prefix=False)
            at += 1
        else:
            common = keys[at][: cut + len(delimiter)]
            yield Entry(common, is_prefix=True)
            at = bisect.bisect_left(keys, common + _END, at)


def _first(keys: Sequence[str], query: Mapping[str, str]) -> int:
    """The place in the keys at which a page begins."""
    token = query.get("continuation-token", "")
    if not token:
        return bisect.bisect_right(keys, query.get("start-after", ""))
    name = unquote(token[1:])
    return bisect.bisect_left(keys, name + _END) if token[0] == "p" else bisect.bisect_right(keys, name)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise S3Error(400, "InvalidArgument", f"max-keys={text}")
    return int(text)


def _document(bucket: str, query: Mapping[str, str], lines: Sequence[str]) -> bytes:
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{escape(query.get('prefix', ''))}</Prefix>"
    )
    if query.get("encoding-type") == "url":
        head += "<EncodingType>url</EncodingType>"
    return (head + "".join(lines) + "</ListBucketResult>").encode()


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))

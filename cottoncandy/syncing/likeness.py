"""Whether a file and an object are alike: by time and by checksum."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import BinaryIO

from cottoncandy.backends.base import MIB, Backend
from cottoncandy.stream import TransferSettings, stream_part_sizes

#: The metadata key of a file's time, in seconds since 1970, as rclone and s3fs have it.
MTIME = "mtime"
_SECOND = 10**9  # ns
# ns: what is lost between a file's time, and the one that a store tells in microseconds or that passed through a float.
_SAME_TIME = 2_000
# ns: below this age, by our clock, an object may be replaced within the second that it was written in. No other
# object is so young by a server's clock that differs as much as clocks do.
_YOUNG = 60 * 10**9
# Eleven digits of seconds last until 5138; no file system goes further. Before 1970 they are negative.
_TIME = re.compile(r"(-?)([0-9]{1,11})(?:\.([0-9]{1,9})[0-9]*)?")
_MD5 = re.compile(r'"?([0-9a-f]{32})(?:-(\d+))?"?')


# ---------------------------------------------------------------------- times
def time_text(nanoseconds: int) -> str:
    """A file's time as metadata.

    Examples
    --------
    >>> time_text(1_700_000_000_123_456_789)
    '1700000000.123456789'
    >>> time_text(-1_500_000_000)
    '-1.500000000'
    """
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    return f"{'-' if nanoseconds < 0 else ''}{seconds}.{rest:09d}"


def recorded_time(metadata: Mapping[str, str]) -> int | None:
    """The time that `time_text` wrote, or s3fs or rclone, in ns; None where there is none."""
    text = next((value for name, value in metadata.items() if name.lower() == MTIME), "")
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    since = int(match[2]) * 10**9 + int((match[3] or "").ljust(9, "0"))
    return -since if match[1] else since


def nanoseconds(date: datetime | None) -> int | None:
    """A date of a listing as a file's time."""
    return None if date is None else int(date.timestamp()) * 10**9 + date.microsecond * 1000


def may_hide_a_change(date: int) -> bool:
    """Whether a listing's date, in ns, has whole seconds: what was written later in that second has the same one."""
    return date % _SECOND == 0


def time_of_download(metadata: Mapping[str, str], written: int | None, now: int) -> int | None:
    """The time that a file gets which holds an object, in ns.

    It is the recorded one, or that of writing: what is not written again is alike by that. Where it may be written
    again with the same date, the file is a second older: then it is looked at once more.

    Examples
    --------
    >>> time_of_download({}, 1_700_000_000_000_000_000, now=1_800_000_000_000_000_000)
    1700000000000000000
    >>> time_of_download({}, 1_700_000_000_000_000_000, now=1_700_000_000_400_000_000)
    1699999999000000000
    """
    recorded = recorded_time(metadata)
    if recorded is not None or written is None:
        return recorded
    return written - _SECOND if may_hide_a_change(written) and now - written < _YOUNG else written


def same_time(one: int | None, other: int | None) -> bool:
    """Whether two times are the same, but for what rounding takes; one that is not known is not."""
    return one is not None and other is not None and abs(one - other) <= _SAME_TIME


# ---------------------------------------------------------------------- checksums
def fits_e_tag(path: Path, e_tag: str | None, backend: Backend, settings: TransferSettings) -> bool | None:
    """Whether a file has the bytes that an ETag tells of; None where the ETag tells nothing of bytes.

    It is the MD5 of an object that came with one request, and of the MD5s of its parts where it came in several: then
    it is known how we cut files ourselves.
    """
    match = _MD5.fullmatch(e_tag or "")
    if match is None:
        return None
    if not match[2]:
        return _md5(block for part in _parts(path, repeat(2**63)) for block in part).hex() == match[1]
    sizes = stream_part_sizes(settings, backend.limits, path.stat().st_size)
    digests = [_md5(part) for part in _parts(path, sizes)]
    return _md5(digests).hex() == match[1] if len(digests) == int(match[2]) else None


def differ_by_md5(one: str | None, other: str | None) -> bool:
    """Whether two ETags, if they are MD5s of whole objects, tell of other bytes."""
    first, second = (_whole_md5(e_tag) for e_tag in (one, other))
    return first is not None and second is not None and first != second


def _whole_md5(e_tag: str | None) -> str | None:
    match = _MD5.fullmatch(e_tag or "")
    return match[1] if match and not match[2] else None


def _md5(blocks: Iterable[bytes]) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return digest.digest()


def _parts(path: Path, sizes: Iterator[int]) -> Iterator[Iterator[bytes]]:
    """A file in parts of these sizes, each in blocks; a part is read to its end before the next is asked for."""
    left = path.stat().st_size
    with path.open("rb") as file:
        while left > 0:
            size = min(next(sizes), left)
            yield _blocks(file, size)
            left -= size


def _blocks(file: BinaryIO, left: int) -> Iterator[bytes]:
    while left and (block := file.read(min(left, MIB))):
        yield block
        left -= len(block)

"""How a transfer is cut into parts. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat

from cottoncandy.backends.base import TIB, TransferLimits
from cottoncandy.errors import NotSupported

#: What a stream of unknown length may come to: the largest object that S3 had for most of its life.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
LARGEST_STREAM = 5 * TIB
# Per cent of the parts that a store takes, for what is thought to come; the others are for what may be more.
_EXPECTED = 90
# Of parts that are gathered some at least are on their way at a time, however large they are.
_LEAST_AT_A_TIME = 2


def spans(size: int, part: int) -> list[tuple[int, int]]:
    """``size`` bytes in parts of ``part``: where each starts and stops.

    Examples
    --------
    >>> spans(10, 4)
    [(0, 4), (4, 8), (8, 10)]
    """
    return [(start, min(start + part, size)) for start in range(0, size, part)]


def part_size(size: int, wanted: int, limits: TransferLimits) -> int:
    """The size of the parts of an upload: as wanted, or as near to it as the store allows; in even shares.

    Parameters
    ----------
    size : int
        Bytes of the whole.
    wanted : int
        Bytes.
    limits : TransferLimits

    Raises
    ------
    NotSupported
        If the store cannot take so large an object.
    """
    part = _allowed(max(wanted, -(-size // limits.most_parts)), limits)
    if part * limits.most_parts < size:
        raise NotSupported(
            f"{size} bytes are too many for one object of this store: it takes {limits.most_parts} parts of "
            f"{limits.largest_part} bytes. Cut the array (upload_dask_array)"
        )
    # the threads end at the same time
    count = max(1, -(-size // part))
    return min(part, _allowed(-(-size // count), limits))


def at_a_time(threads: int, part: int, room: int) -> int:
    """How many gathered parts are on their way at a time: one for each configured thread, as far as memory has room.

    Examples
    --------
    >>> at_a_time(4, 5, 25), at_a_time(16, 5, 25), at_a_time(16, 100, 25)
    (4, 5, 2)
    """
    return min(threads, max(_LEAST_AT_A_TIME, room // max(1, part)))


def growing_part_sizes(wanted: int, limits: TransferLimits, most: int | None = None) -> Iterator[int]:
    """Sizes of the parts of what comes in pieces, without end.

    What is thought to come to ``most`` bytes goes in equal parts: as wanted, or as large as they must be. Where more
    comes, or nobody knows how much, they grow in proportion to their number where they must, so that the parts that
    the store takes come to the largest stream. For S3, parts of 32 MiB and any length: 10 GiB before they grow,
    150 MiB at 100 GiB, 1.1 GiB at the end.
    """
    size, sent, left = wanted, 0, limits.most_parts
    if most is not None:
        size = _allowed(max(wanted, -(-most // max(1, left * _EXPECTED // 100))), limits)
        equal = -(-most // size)
        yield from repeat(size, equal)
        sent, left = sent + equal * size, left - equal
    # the sum of 1 to n is over n * n / 2
    step = -(-2 * LARGEST_STREAM // max(left, 1) ** 2)
    numbers = count(1)
    while sent < LARGEST_STREAM:
        size = _allowed(max(size, next(numbers) * step), limits)
        yield size
        sent += size
    yield from repeat(_allowed(size, limits))


def _allowed(part: int, limits: TransferLimits) -> int:
    part = min(max(part, limits.smallest_part, 1), limits.largest_part)
    up = -(-part // limits.part_multiple) * limits.part_multiple
    return up if up <= limits.largest_part else up - limits.part_multiple

"""How a transfer is cut into parts. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat

from cottoncandy.backends.base import TIB, TransferLimits
from cottoncandy.errors import NotSupported

#: What a stream of unknown length may come to: the largest object that S3 had for most of its life.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
LARGEST_STREAM = 5 * TIB


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


def growing_part_sizes(wanted: int, limits: TransferLimits, most: int = LARGEST_STREAM) -> Iterator[int]:
    """Sizes of the parts of a stream whose length is not known, without end.

    They begin as wanted and grow in proportion to their number where they must: so that the parts that the store takes
    come to ``most`` bytes; and where more come than were thought, those that are left to the largest stream. For S3,
    parts of 32 MiB and any length: 10 GiB before they grow, 150 MiB at 100 GiB, 1.1 GiB at the end.
    """
    size, sent, left = wanted, 0, limits.most_parts
    for expected in (most, LARGEST_STREAM):
        # the sum of 1 to n is over n * n / 2
        step = -(-2 * expected // max(left, 1) ** 2)
        numbers = count(1)
        while sent < expected:
            size = _allowed(max(wanted, next(numbers) * step), limits)
            yield size
            sent, left = sent + size, left - 1
    yield from repeat(_allowed(size, limits))


def _allowed(part: int, limits: TransferLimits) -> int:
    part = min(max(part, limits.smallest_part, 1), limits.largest_part)
    up = -(-part // limits.part_multiple) * limits.part_multiple
    return up if up <= limits.largest_part else up - limits.part_multiple

"""Limits and lines of listings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from operator import index
from typing import Any, TypeGuard

from cottoncandy.backends.base import ObjectInfo


class DefaultLimit(int):
    """A documented default of ``limit`` that stands for "all there are".

    The published signatures say 1,000 and 1,000,000, at which listings were once cut off without a word. The
    number is kept in the signature, the cut is not; a number that the caller gives is kept to.
    """


ALL_OF_A_THOUSAND = DefaultLimit(1000)
ALL_OF_A_MILLION = DefaultLimit(10**6)


def is_limited(limit: int | None) -> TypeGuard[int]:
    """Whether a caller has said how many items there may be."""
    return limit is not None and not isinstance(limit, DefaultLimit)


def limited(items: Iterator[Any], limit: int | None) -> Iterator[Any]:
    """At most ``limit`` items; None and a documented default mean all."""
    if not is_limited(limit):
        return items
    try:
        count = index(limit)
    except TypeError:
        raise TypeError(f"limit is the most names to give, as a whole number, not {limit!r}") from None
    if count < 0:
        raise ValueError(f"limit is the most names to give, not {limit}")
    return islice(items, count)


def describe_object(info: ObjectInfo) -> str:
    """One line of a listing: date, size in MB, name."""
    date = info.last_modified.strftime("%Y/%m/%d (%H:%M)") if info.last_modified else "-"
    return f"{date:<19}{info.size / 2**20:9.2f}MB {printable(info.key)}"


def printable(name: str) -> str:
    """A name for a terminal: what would move its cursor or give it orders is escaped."""
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)

"""A node of the browser as a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from cottoncandy import display
from cottoncandy.backends.base import ObjectHead, ObjectInfo
from cottoncandy.datasets import Dataset

_COLUMNS = ("name", "size", "shape", "dtype", "codec", "date")


def children_html(
    title: str, children: Mapping[str, ObjectInfo | None], opened: Mapping[str, Dataset], *, complete: bool
) -> str:
    """A table of children. What a listing does not tell is shown of those arrays that were opened before.

    Parameters
    ----------
    title : str
    children : Mapping
        What the listing tells of each object; None for what has children itself.
    opened : Mapping
        The arrays that are known.
    complete : bool
        Whether the listing ended.
    """
    count = display.counted(len(children), "name", complete=complete)
    more = len(children) - display.ROWS
    note = count if more <= 0 else f"{count}; {more:,}{'' if complete else '+'} more are not shown"
    rows = (_row(name, info, opened.get(name)) for name, info in islice(children.items(), display.ROWS))
    return display.table(title, _COLUMNS, rows, note)


def _row(name: str, info: ObjectInfo | None, array: Dataset | None) -> tuple[str, ...]:
    if info is None:
        return (f"{name}/", *[""] * (len(_COLUMNS) - 1))
    known = ("", "", "") if array is None else (str(array.shape), str(array.dtype), array.compression or "-")
    return (name, display.size(info.size), *known, display.date(info.last_modified))


def object_html(title: str, head: ObjectHead) -> str:
    """What is known of an object that is no array."""
    return display.facts(title, _facts(head))


def _facts(head: ObjectHead) -> Iterator[tuple[str, str]]:
    yield "size", display.size(head.size)
    yield "date", display.date(head.last_modified)
    yield from head.metadata.items()

"""Many small jobs of one command at once, as the interface does its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from cottoncandy.config import Options
from cottoncandy.parallel import for_each, gather
from cottoncandy.progress import MakeBar, Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def do_each(
    function: Callable[[Item], object], items: Sequence[Item], doing: str, name: str, show: bool | str | MakeBar
) -> None:
    """Call a function on each, and show how far it has come."""
    threads, most = _crew()
    with Progress(show).many(doing, name, len(items)) as count:
        for_each(count.wrap(function), items, threads, most=most)


def ask_of_each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What a function gives for each, in order."""
    threads, most = _crew()
    return gather(function, items, threads, most=most)


def _crew() -> tuple[int, int]:
    options = Options.load()
    return options.integer("basic", "threads"), options.integer("basic", "most_threads")

"""How far a long call has come: counted by all threads that work for it, shown as one bar by tqdm.

A call that may take long opens a count, and what works below finds it by a context variable, also in the threads that
`cottoncandy.parallel` starts. A call inside another one opens none: what it does is counted for the outer one. Nothing
is made, and tqdm is not imported, before a call has lasted for a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from cottoncandy.errors import ConfigurationError
from cottoncandy.progress.bars import Bar, MakeBar, is_interactive, short_name, tqdm_bars
from cottoncandy.progress.counts import BYTES, NO_CALL, Call, Count, NoCall, current, done_counter
from cottoncandy.progress.uploads import sending, sent_counter

__all__ = [
    "LEAST",
    "QUIET",
    "STEP",
    "Bar",
    "MakeBar",
    "Progress",
    "current",
    "done_counter",
    "is_interactive",
    "sending",
    "sent_counter",
]

Item = TypeVar("Item")
Counting = TypeVar("Counting", bound=Count)

#: Bytes that are moved between two counts, so that a bar also moves where a part takes minutes.
STEP = 512 * 1024
# Bytes: what is smaller takes less than a second, and is not worth an object.
LEAST = 2**20


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether, and with what, the long calls of an interface show how far they are.

    It pickles without a bar of the user's own: what arrives in another process shows none unless that is interactive.

    Attributes
    ----------
    show : bool or 'auto' or callable
        ``'auto'`` shows bars to somebody who types: in notebooks, and at a prompt on a terminal; in the main thread
        only. A callable makes the bars: it takes the arguments of `tqdm.tqdm`, and gives what has `update` and `close`.
    delay : float
        Seconds that a call lasts before its bar is made.

    Examples
    --------
    >>> from tqdm import tqdm
    >>> progress = Progress(tqdm)
    >>> with progress.transfer('download', 'sub01/bold', total=2**30):
    ...     meter = current()
    ...     meter.add(2**20)
    """

    show: bool | str | MakeBar = "auto"
    delay: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.show, bool) or self.show == "auto" or callable(self.show)):
            raise ConfigurationError(f"progress is True, False, 'auto' or what makes a bar, not {self.show!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (False if self.show is False else "auto", self.delay)

    def transfer(self, doing: str, name: str, total: int | None = None) -> AbstractContextManager[object]:
        """Count the bytes that move while the context is open.

        Parameters
        ----------
        doing : str
            A verb, as ``'download'``.
        name : str
            The object.
        total : int, optional
            How many bytes there will be.
        """
        if (total is not None and total < LEAST) or self._is_off():
            return NO_CALL
        return self._new(Call, doing, name, total, BYTES)

    def many(self, doing: str, name: str, total: int | None = None, unit: str = "objects") -> Call | NoCall:
        """Count things, and beside them the bytes that move; see `transfer`.

        The context gives `done`, to be called for each; `wrap` makes a function call it, and `through` an iterator.
        """
        if (total is not None and total < 2) or self._is_off():
            return NO_CALL
        return self._new(Call, doing, name, total, {"unit": f" {unit}"})

    def counter(self, doing: str, name: str) -> Count | NoCall:
        """Count things for a generator: it is not found by what works below, which may be at work for others, too.

        A generator that set what `current` gives would leave it set in its caller while it waits.
        """
        return NO_CALL if self._is_off() else self._new(Count, doing, name, None, {"unit": " objects"})

    def through(self, doing: str, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, counted as they are drawn."""
        return iter(items) if self._is_off() else self._counted(doing, name, items)

    def _counted(self, doing: str, name: str, items: Iterable[Item]) -> Iterator[Item]:
        with self.counter(doing, name) as count:
            yield from count.through(items)

    def _is_off(self) -> bool:
        return self.show is False or current() is not None or (self.show == "auto" and not is_interactive())

    def _new(self, kind: type[Counting], doing: str, name: str, total: int | None, how: dict[str, Any]) -> Counting:
        return kind(self.make_bar, self.delay, f"{doing} {short_name(name)}", total, how)

    def make_bar(self, **arguments: Any) -> Bar:
        """Make the bar of a call that lasts."""
        make = self.show if callable(self.show) else tqdm_bars()
        bar: Bar = make(**arguments)
        return bar


#: Shows nothing.
QUIET = Progress(False)

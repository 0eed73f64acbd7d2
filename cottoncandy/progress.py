"""How far a long call has come: counted by all threads that work for it, shown as one bar by tqdm.

A call that may take long opens a count, and what works below finds it by a context variable, also in the threads that
`cottoncandy.parallel` starts. A call inside another one opens none: what it does is counted for the outer one. Nothing
is made, and tqdm is not imported, before a call has lasted for a second.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from cottoncandy.errors import ConfigurationError
from cottoncandy.pipelines import Begin, Begun

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["QUIET", "STEP", "Bar", "Progress", "current", "done_counter", "sending", "sent_counter"]

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Bytes that are moved between two counts, so that a bar also moves where a part takes minutes.
STEP = 512 * 1024
# Bytes: what is smaller takes less than a second, and is not worth an object.
LEAST = 2**20
# Seconds between two drawings.
_INTERVAL = 0.1
# Characters of a name beside a bar.
_NAME = 32


class Bar(Protocol):
    """What draws: tqdm's bars are such."""

    def update(self, n: float) -> Any:
        """Go on by so many; back, if it is negative."""

    def close(self) -> None:
        """Nothing more comes."""


#: ``make(total=..., desc=..., unit=..., unit_scale=..., unit_divisor=...)``: tqdm's own arguments.
MakeBar = Callable[..., Bar]


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
            return _NOTHING
        return _Call(self, f"{doing} {_short(name)}", total, _BYTES)

    def many(self, doing: str, name: str, total: int | None = None, unit: str = "objects") -> _Call | _NoCall:
        """Count things, and beside them the bytes that move; see `transfer`.

        The context gives `done`, to be called for each; `wrap` makes a function call it, and `through` an iterator.
        """
        if (total is not None and total < 2) or self._is_off():
            return _NO_CALL
        return _Call(self, f"{doing} {_short(name)}", total, {"unit": f" {unit}"})

    def counter(self, doing: str, name: str) -> _Count | _NoCall:
        """Count things for a generator: it is not found by what works below, which may be at work for others, too.

        A generator that set what `current` gives would leave it set in its caller while it waits.
        """
        return _NO_CALL if self._is_off() else _Count(self, f"{doing} {_short(name)}", None, {"unit": " objects"})

    def through(self, doing: str, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, counted as they are drawn."""
        return iter(items) if self._is_off() else self._counted(doing, name, items)

    def _counted(self, doing: str, name: str, items: Iterable[Item]) -> Iterator[Item]:
        with self.counter(doing, name) as count:
            yield from count.through(items)

    def _is_off(self) -> bool:
        return self.show is False or _current.get() is not None or (self.show == "auto" and not is_interactive())

    def make_bar(self, **arguments: Any) -> Bar:
        """Make the bar of a call that lasts."""
        make = self.show if callable(self.show) else _tqdm()
        bar: Bar = make(**arguments)
        return bar


#: Shows nothing.
QUIET = Progress(False)


# ---------------------------------------------------------------------- counting
_BYTES = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}


class _Count:
    """What a call has done so far, and its bar where it lasts. Any thread counts; one at a time draws."""

    def __init__(self, progress: Progress, label: str, total: int | None, how: dict[str, Any]) -> None:
        self._progress = progress
        self._arguments = {"desc": label, "total": total, **how}
        self._counts_bytes = how is _BYTES
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._due = self._began + progress.delay
        self._bytes = self._objects = self._shown = 0
        self._bar: Bar | None = None

    def add(self, count: int) -> None:
        """So many bytes have moved; a negative number takes back those that have to move again."""
        with self._lock:
            self._bytes += count
            self._draw_if_due()

    def done(self, count: int = 1) -> None:
        """One of the things is done, or so many."""
        with self._lock:
            self._objects += count
            self._draw_if_due()

    def through(self, items: Iterable[Item]) -> Iterable[Item]:
        """The items; each counts as one when the next is asked for, or as `done_counter` says."""
        return _Counted(self, items)

    def _draw_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _INTERVAL
            self._guarded(self._draw)

    def _guarded(self, draw: Callable[[], None]) -> None:
        try:
            draw()
        except Exception as error:  # noqa: BLE001 - a terminal that is gone, a bar that is broken: the data is not
            log.warning("the progress bar of %r failed: %s: %s", self._arguments["desc"], type(error).__name__, error)
            self._bar, self._due = None, float("inf")

    def _draw(self) -> None:
        if self._bar is None:  # a bar of tqdm's has no truth without a total
            self._bar = self._new_bar()
        bar = self._bar
        count = self._bytes if self._counts_bytes else self._objects
        if not self._counts_bytes and self._bytes and hasattr(bar, "set_postfix_str"):
            bar.set_postfix_str(_size(self._bytes), refresh=False)
        bar.update(count - self._shown)
        self._shown = count

    def _new_bar(self) -> Bar:
        bar: Any = self._progress.make_bar(**self._arguments)
        if hasattr(bar, "start_t"):  # tqdm's: the call began before there was a bar
            bar.start_t -= time.monotonic() - self._began
            bar.last_print_t = bar.start_t
        return cast("Bar", bar)

    def _finish(self) -> None:
        self._draw()
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            if self._bar is not None:
                self._guarded(self._finish)
            self._due = float("inf")  # who counts late draws nothing


class _Call(_Count):
    """A count that is found by all that works for the call."""

    def __enter__(self) -> Self:
        self._token: Token[_Count | None] = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        super().__exit__(kind, error, traceback)

    def wrap(self, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
        """The function; each call that comes back counts as one."""

        def counted(item: Item) -> Result:
            result = function(item)
            self.done()
            return result

        return counted

    def wrap_begin(self, begin: Begin[Item, Result]) -> Begin[Item, Result]:
        """The function that begins something; each that comes to its end counts as one."""

        def ended(result: Result) -> Result:
            self.done()
            return result

        def counted(item: Item) -> Begun[Result] | None:
            begun = begin(item)
            return None if begun is None else begun.then(ended)

        return counted


class _Counted(Iterable[Item]):
    """Items that are counted while they are drawn, or by who draws them."""

    def __init__(self, count: _Count, items: Iterable[Item]) -> None:
        self._items = items
        self._count = count
        self._is_told = False

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            yield item
            if not self._is_told:
                self._count.done()

    def told(self) -> Callable[[int], None]:
        """What is called from here on with how many are done."""
        self._is_told = True
        return self._count.done


class _NoCall:
    """Counts nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def done(self, count: int = 1) -> None:
        pass

    def wrap(self, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
        return function

    def wrap_begin(self, begin: Begin[Item, Result]) -> Begin[Item, Result]:
        return begin

    def through(self, items: Iterable[Item]) -> Iterable[Item]:
        return items


_current: ContextVar[_Count | None] = ContextVar("cottoncandy_progress", default=None)
_sent: ContextVar[_Sent | None] = ContextVar("cottoncandy_sent", default=None)
_NOTHING: AbstractContextManager[object] = nullcontext()
_NO_CALL = _NoCall()


def current() -> _Count | None:
    """What the bytes that move here are to be counted for; None for nobody."""
    return _current.get()


def done_counter(items: Iterable[Any]) -> Callable[[int], object]:
    """What is to be told how many of the items are done, by who draws many before the first one is.

    They are not counted as they are drawn any more, where they were; where nobody counts, it does nothing.
    """
    return items.told() if isinstance(items, _Counted) else _NO_CALL.done


# ---------------------------------------------------------------------- bodies on their way up
class _Sent:
    """How much of one body has been sent: what is sent again counts once."""

    def __init__(self, count: _Count, size: int) -> None:
        self._count = count
        self._size = size
        self._position = 0

    def reached(self, position: int) -> None:
        """All before this position was sent."""
        self._count.add(position - self._position)
        self._position = position

    def __enter__(self) -> Self:
        self._token: Token[_Sent | None] = _sent.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _sent.reset(self._token)
        self.reached(self._size if kind is None else 0)


def sending(size: int) -> AbstractContextManager[object]:
    """Count a body of so many bytes while it is sent: as it goes where the backend tells, else when it is there."""
    count = _current.get()
    return _NOTHING if count is None else _Sent(count, size)


def sent_counter() -> Callable[[int], None] | None:
    """What a backend tells how many bytes of the body that it sends have gone; None where nobody wants to know."""
    sent = _sent.get()
    return None if sent is None else sent.reached


# ---------------------------------------------------------------------- looks
def is_interactive() -> bool:
    """Whether somebody looks on: in a notebook, or at a prompt on a terminal; and this is the main thread."""
    # what is false in scripts comes first: short listings ask, too
    if not (_in_notebook() or (hasattr(sys, "ps1") and sys.stderr is not None and sys.stderr.isatty())):
        return False
    return threading.current_thread() is threading.main_thread() and not _is_child()


def _is_child() -> bool:
    """Whether this is a worker of multiprocessing, which has the prompt's memory but no prompt."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", ())


def _tqdm() -> MakeBar:
    """The bar of tqdm for where we are, as `tqdm.auto` chooses it; no warning where widgets are not installed."""
    if _in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm_notebook

        return tqdm_notebook  # type: ignore[no-any-return] # tqdm has no hints
    from tqdm.std import tqdm

    return tqdm  # type: ignore[no-any-return]


def _short(name: str) -> str:
    """A name as it may stand in one line of a terminal: what it means to a terminal is taken out."""
    plain = "".join(character if character.isprintable() else "?" for character in name)
    return plain if len(plain) <= _NAME else f"...{plain[3 - _NAME :]}"


def _size(nbytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.3g} TB"

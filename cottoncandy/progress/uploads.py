"""How much of a body has been sent, told by the backend while it sends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

from cottoncandy.progress.counts import NO_CALL, Count, current

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["sending", "sent_counter"]


class _Sent:
    """How much of one body has been sent: what is sent again counts once."""

    def __init__(self, count: Count, size: int) -> None:
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


_sent: ContextVar[_Sent | None] = ContextVar("cottoncandy_sent", default=None)


def sending(size: int) -> AbstractContextManager[object]:
    """Count a body of so many bytes while it is sent: as it goes where the backend tells, else when it is there."""
    count = current()
    return NO_CALL if count is None else _Sent(count, size)


def sent_counter() -> Callable[[int], None] | None:
    """What a backend tells how many bytes of the body that it sends have gone; None where nobody wants to know."""
    sent = _sent.get()
    return None if sent is None else sent.reached

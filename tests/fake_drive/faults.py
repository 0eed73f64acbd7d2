"""What goes wrong on purpose."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

#: What can happen to a request.
KINDS = {
    "reset": "the connection is reset, and nothing was done",
    "half": "the connection is reset in the middle of the request; an upload session keeps whole blocks of it",
    "lost": "all is done, and the connection is reset instead of an answer",
    "truncated": "all is done, and the answer ends in the middle",
    "500": "internalError, nothing done",
    "503": "backendError, nothing done",
    "429": "rateLimitExceeded with a Retry-After, nothing done",
    "rate": "403 userRateLimitExceeded, nothing done",
    "daily": "403 dailyLimitExceeded, nothing done",
    "401": "the token is refused, and does not count from now on",
}


@dataclass
class Request:
    """A request as the server saw it, for tests to look at."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    length: int
    fault: str | None = None
    status: int | None = None


@dataclass
class _Rule:
    kind: str
    matches: Callable[[Request], bool]
    times: int


class Faults:
    """Which requests fail, and how."""

    def __init__(self) -> None:
        self.retry_after = "0"
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._every = 0
        self._kinds = itertools.cycle(["reset"])
        self._count = 0

    def every(self, number: int, kinds: Iterable[str]) -> None:
        """Each so many-th request fails, in each of these ways in turn; 0 ends it."""
        self._every, self._kinds, self._count = number, itertools.cycle(self._known(kinds)), 0

    def once(self, kind: str, matches: Callable[[Request], bool] = lambda request: True, times: int = 1) -> None:
        """The next request that matches fails (or the next so many)."""
        self._rules.append(_Rule(*self._known([kind]), matches, times))

    def clear(self) -> None:
        self._rules, self._every = [], 0

    def choose(self, request: Request) -> str | None:
        with self._lock:
            for rule in self._rules:
                if rule.times and rule.matches(request):
                    rule.times -= 1
                    return rule.kind
            self._count += 1
            return next(self._kinds) if self._every and self._count % self._every == 0 else None

    def _known(self, kinds: Iterable[str]) -> list[str]:
        chosen = list(kinds)
        if unknown := set(chosen) - KINDS.keys():
            raise ValueError(f"no such fault: {unknown}")
        return chosen

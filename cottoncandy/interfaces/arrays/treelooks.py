"""Looks for others below the root of a tree, before its leaves are sent there and while they are; what they show."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cottoncandy import keys, trees
from cottoncandy.backends.base import ObjectInfo
from cottoncandy.chunkedarrays.names import FORGOTTEN
from cottoncandy.pipelines import Begun

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

# One whose mark is so much older than one's own has taken so long that he looks again himself, whatever a store's
# clocks say.
_LONG = timedelta(seconds=10)


class NotAlone(Exception):
    """Something else is there, or was there a moment ago.

    Parameters
    ----------
    others : iterable of Stage or None
        The uploads that may have found nobody when they began; None where these are to be looked for.
    """

    def __init__(self, others: Iterable[trees.Stage] | None) -> None:
        super().__init__()
        self.others = others


class Look:
    """The names of all that is there.

    Parameters
    ----------
    begun : Begun or None
        Where they were asked for, and the answer is still to be read.
    usual : callable
        Asks in the usual way, also where what was begun has failed.
    """

    def __init__(self, begun: Begun[list[str]] | None, usual: Callable[[], Iterable[str]]) -> None:
        self._begun = begun
        self._usual = usual
        self._names: frozenset[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._begun is not None:
            self._begun.drop()

    @property
    def is_under_way(self) -> bool:
        """Whether the answer is still to come."""
        return self._names is None and self._begun is not None and not self._begun.answered()

    @property
    def was_begun(self) -> bool:
        """Whether other things can be done before the names are asked for."""
        return self._begun is not None

    @property
    def names(self) -> frozenset[str]:
        """They are waited for."""
        if self._names is None:
            self._names = frozenset(self._answer())
        return self._names

    def _answer(self) -> Iterable[str]:
        if self._begun is not None:
            try:
                return self._begun.result()
            except Exception as failure:  # noqa: BLE001 - what is wrong is told where it is asked in the usual way
                log.debug("%s", failure)
        return self._usual()


class Looks:
    """Two looks: who found a name at neither that is not his own is alone.

    The first one may miss somebody who ended meanwhile: a listing shows one name before the other. The second one finds
    his leaves, but for those of the same names where it is answered while the leaves are sent.

    Parameters
    ----------
    look : callable
        Begins one.
    mark : str
        The name of one's own mark, which stands.
    is_ahead : bool
        Whether leaves are sent before the first one is answered, each if nothing is there yet. Else it has been made.
    """

    def __init__(self, look: Callable[[], Look], mark: str, *, is_ahead: bool) -> None:
        self._look = look
        self._own = {mark}
        self._ahead: set[str] = set()
        self._lock = threading.Lock()
        self._first = look() if is_ahead else None
        self._second: Look | None = None

    def __enter__(self) -> Self:
        if self._first is None:
            self._begin_second()
        return self

    def __exit__(self, *error: object) -> None:
        for look in (self._first, self._second):
            if look is not None:
                look.__exit__(*error)

    def sends_ahead(self, key: str) -> bool:
        """Take note that a leaf is about to be sent; whether that may take no other's place.

        Raises
        ------
        NotAlone
            If the first look has been answered, and shows others.
        """
        is_ahead = self._first is not None and self._first.is_under_way
        if is_ahead:
            self._ahead.add(key)
        else:
            self.await_first()
        self._own.add(key)
        return is_ahead

    def sends_again(self, key: str) -> bool:
        """Take note that a leaf is about to be sent, maybe once more; whether that may take no other's place."""
        self.await_first()
        self._own.add(key)
        return key in self._ahead

    def await_first(self) -> None:
        """Wait for the first look; NotAlone where it shows others."""
        with self._lock:
            if self._first is not None:
                self._refuse_others(self._first)
                self._first = None
                self._begin_second()

    def await_second(self) -> None:
        """Wait for both; NotAlone where they show others."""
        self.await_first()
        if self._second is not None:
            self._refuse_others(self._second)

    def _begin_second(self) -> None:
        self._second = self._look()
        if not self._second.was_begun:
            self._refuse_others(self._second)

    def _refuse_others(self, look: Look) -> None:
        if look.names - self._own:
            raise NotAlone(None if look is self._first else ())


@dataclass(frozen=True)
class Seen:
    """What a listing shows of a tree and of its uploads.

    Attributes
    ----------
    plain : list of str
        The names of objects in their places.
    others : list of Stage
        What other uploads have there.
    own : Stage
        What this one has there.
    sizes : Mapping of str to int
        Bytes of each object that was listed.
    """

    plain: list[str]
    others: list[trees.Stage]
    own: trees.Stage
    sizes: Mapping[str, int]

    @property
    def newest(self) -> trees.Stage:
        """The tree that readers get, when this upload is complete."""
        return trees.newest([*self.others, self.own])[self.own.root]

    @property
    def waiting(self) -> dict[str, str]:
        """The places of the newest tree's leaves, and of the objects that wait to come there."""
        return {keys.join(self.newest.root, name): place for name, place in self.newest.leaves.items()}

    @property
    def strangers(self) -> list[str]:
        """Objects in their places that are no leaves of the newest tree."""
        waiting = self.waiting
        return [key for key in self.plain if key not in waiting]

    @property
    def rivals(self) -> list[trees.Stage]:
        """Uploads that are at work, or that were killed not long ago."""
        return [other for other in self.others if other.started and not other.is_older(_forgotten())]

    @property
    def ended(self) -> list[trees.Stage]:
        """What is of no more use, beside the newest tree: who is at work keeps what is his."""
        idle = [other for other in self.others if other not in self.rivals]
        left = [other for other in idle if other.order or other.is_older(_forgotten())]
        return [upload for upload in [*left, self.own] if upload is not self.newest]


def alone_with(own: trees.Stage, there: Iterable[ObjectInfo]) -> list[trees.Stage]:
    """The uploads that may have found nobody when they began, and that began not long before this one."""
    found = {stage.version: stage for stage in trees.stages({info.key: info.last_modified for info in there})[1]}
    mine = found.pop(own.version, own).dates
    since = mine[0] - _LONG if mine and mine[0] else None
    return [
        stage
        for stage in found.values()
        if stage.root == own.root and stage.is_bare and not (since and stage.is_older(since))
    ]


def _forgotten() -> datetime:
    return datetime.now(timezone.utc) - FORGOTTEN

"""What a look below the root of a tree shows: of one's own upload, and of those of others. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cottoncandy import keys, trees
from cottoncandy.backends.base import ObjectInfo
from cottoncandy.chunkedarrays.names import FORGOTTEN

# One whose mark is so much older than one's own has taken so long that he looks again himself, whatever a store's
# clocks say.
_LONG = timedelta(seconds=10)


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
    def is_waiting(self) -> bool:
        """Whether there is a tree that is complete and waits."""
        return any(stage.is_complete for stage in (*self.others, self.own))

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
        return [other for other in self.others if is_at_work(other)]

    @property
    def ended(self) -> list[str]:
        """The names of what is of no more use, beside the newest tree: who is at work keeps what is his."""
        idle = [other for other in self.others if other not in self.rivals]
        left = [other for other in idle if other.order or other.is_older(_forgotten())]
        return [name for upload in [*left, self.own] if upload is not self.newest for name in upload.objects]


def is_at_work(upload: trees.Stage) -> bool:
    """Whether an upload may yet write to the places: it is at work, or was killed not long ago."""
    return upload.started and not upload.is_older(_forgotten())


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

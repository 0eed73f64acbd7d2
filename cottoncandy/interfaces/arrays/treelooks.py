"""What one listing below the root of a tree shows to a writer: its own upload, and those of other writers. No I/O.

The steps that follow from it are in `cottoncandy.interfaces.arrays.treeupload`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cottoncandy import keys, trees
from cottoncandy.backends.base import ObjectInfo
from cottoncandy.chunkedarrays.names import forgotten_since

# A writer whose started mark is so much older than one's own looks again by itself, as its upload takes longer than
# `_SOON` of treeupload.py. The difference is large beside what a store's clocks may be wrong by.
_LONG = timedelta(seconds=10)


@dataclass(frozen=True)
class Seen:
    """What a listing shows of a tree and of its uploads.

    Attributes
    ----------
    plain : list of str
        The names of objects that are in no stage: leaves in their places, and objects of other calls.
    others : list of Stage
        The stages of other writers of this root.
    own : Stage
        This writer's own stage.
    sizes : Mapping of str to int
        Bytes of each object that was listed.
    nested : sequence of Stage
        The stages of uploads of branches.
    """

    plain: list[str]
    others: list[trees.Stage]
    own: trees.Stage
    sizes: Mapping[str, int]
    nested: Sequence[trees.Stage] = ()

    @property
    def is_waiting(self) -> bool:
        """Whether a complete tree waits to be brought to its places."""
        return any(stage.is_complete for stage in (*self.others, self.own))

    @property
    def newest(self) -> trees.Stage:
        """The stage that readers get; there must be a complete one."""
        return trees.newest([*self.others, self.own])[self.own.root]

    @property
    def waiting(self) -> dict[str, str]:
        """The newest tree: the place of each leaf, and the object in which the leaf waits."""
        return {keys.join(self.newest.root, name): place for name, place in self.newest.leaves.items()}

    @property
    def strangers(self) -> list[str]:
        """Plain objects that are no places of the newest tree: stale leaves, and objects of other calls."""
        waiting = self.waiting
        return [key for key in self.plain if key not in waiting]

    @property
    def is_outdone_by_settled(self) -> bool:
        """Whether the newest tree is another one, which has settled, and whose writer has gone."""
        return self.own.is_complete and self.newest is not self.own and self.newest.settled and not self.newest.started

    @property
    def ended_branches(self) -> list[str]:
        """The names of what uploads of branches have there that came before this tree, or were killed long ago."""
        ended = [stage for stage in self.nested if stage.is_complete or stage.is_older(forgotten_since())]
        return [name for stage in ended for name in stage.objects]

    @property
    def rivals(self) -> list[trees.Stage]:
        """Other writers that are at work, or were killed less than `FORGOTTEN` ago, which looks the same."""
        return [other for other in self.others if is_at_work(other)]

    @property
    def ended(self) -> list[str]:
        """The objects of stages that are of no more use: the newest tree and rivals keep theirs."""
        idle = [other for other in self.others if other not in self.rivals]
        left = [other for other in idle if other.order or other.is_older(forgotten_since())]
        return [name for upload in [*left, self.own] if upload is not self.newest for name in upload.objects]


def is_at_work(upload: trees.Stage) -> bool:
    """Whether a writer may yet write to the places: it is at work, or was killed less than `FORGOTTEN` ago."""
    return upload.started and not upload.is_older(forgotten_since())


def alone_with(own: trees.Stage, there: Iterable[ObjectInfo]) -> list[trees.Stage]:
    """The other writers that may send leaves straight to their places, having found nothing else when they began.

    Those that began long before this one look again by themselves, and are left out.
    """
    found = {stage.version: stage for stage in trees.stages({info.key: info.last_modified for info in there})[1]}
    mine = found.pop(own.version, own).dates
    since = mine[0] - _LONG if mine and mine[0] else None
    return [
        stage
        for stage in found.values()
        if stage.root == own.root and stage.is_bare and not (since and stage.is_older(since))
    ]

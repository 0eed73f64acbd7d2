"""Sending a tree of arrays: readers see the old one until the new one is all there, also where several send one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import numpy.typing as npt

from cottoncandy import keys, trees
from cottoncandy.backends.base import Receipt
from cottoncandy.chunkedarrays.names import FORGOTTEN
from cottoncandy.errors import CottonCandyError, InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.interfaces.arrays.treemark import is_leaf
from cottoncandy.pipelines import SMALL, Begun

log = logging.getLogger(__name__)

# What sends the array of a name to a place; a small one so that it is answered later, if that is wished.
_Send = Callable[[str, str, bool], Any]
_Arrays = Mapping[str, npt.NDArray[Any]]
_STARTED = b"A tree of arrays is being uploaded to this folder. If this has lain here for days, it was broken off.\n"
_COMPLETE = (
    b"The arrays beside this are the tree above, and take their places there. Upload the tree again to end it.\n"
)

# How often a writer brings a tree to its places while others, at the same time, do so, too.
_ROUNDS = 4


@dataclass(frozen=True)
class _Seen:
    """What a listing shows of a tree and of its uploads.

    Attributes
    ----------
    plain : list of str
        The names of objects in their places.
    others : list of Stage
        What other uploads have there.
    own : Stage
        What this one has there.
    """

    plain: list[str]
    others: list[trees.Stage]
    own: trees.Stage

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


def _forgotten() -> datetime:
    return datetime.now(timezone.utc) - FORGOTTEN


class TreeUploads(FolderArrays):
    """How a tree takes the place of another."""

    def _is_sent_alone(
        self, stage: trees.Stage, arrays: _Arrays, send: _Send, threads: int | None, acl: str | None
    ) -> bool:
        """Send a tree where there is nothing; False where there is something, or somebody else sends one.

        It is looked for others when the mark stands, not before: who came and went meanwhile would lose his leaves. Of
        two who do so, one finds in the end the other's mark.
        """
        self._mark_started(stage, acl)
        there = [info.key for info in self._listed(stage.below)]
        return there == [stage.started_mark] and self._send_tree(stage, arrays, send, threads)

    def _send_tree(self, stage: trees.Stage, arrays: _Arrays, send: _Send, threads: int | None) -> bool:
        """Send the leaves to their places, where they do not count as long as the mark stands.

        When the last one stands, it is looked whether somebody else has anything under that prefix: he would not know
        of these leaves. Whoever's mark comes later writes his leaves over all of these.
        """
        with self._all_or_none(arrays):
            self._send_leaves(stage, {key: key for key in arrays}, arrays, send, threads)
        is_alone = all(info.key in arrays or info.key == stage.started_mark for info in self._listed(stage.below))
        # not before: if both took their marks away meanwhile, neither would find the other's, and their leaves be mixed
        if is_alone:
            self.backend_interface.delete([stage.started_mark])
        return is_alone

    def _mark_started(self, stage: trees.Stage, acl: str | None) -> None:
        self._upload(stage.started_mark, _STARTED, {}, acl)

    def _replace_tree(
        self, stage: trees.Stage, arrays: _Arrays, send: _Send, threads: int | None, acl: str | None
    ) -> None:
        """Send a tree where there may be one: its leaves wait until they are all there, then take their places."""
        waiting = {key: stage.leaf(key.removeprefix(f"{stage.root}/")) for key in arrays}
        with self._all_or_none(waiting.values()):
            self._send_leaves(stage, waiting, arrays, send, threads)
            seen = self._look_at_tree(stage)
        mark = stage.complete(1 + max((other.order for other in seen.others), default=0), len(waiting))
        self._write_last(mark, _COMPLETE, waiting.values(), acl)
        (own,) = trees.stages(dict.fromkeys([stage.started_mark, mark, *waiting.values()]))[1]
        self._settle_tree(replace(seen, own=own), threads, acl)

    def _look_at_tree(self, own: trees.Stage) -> _Seen:
        """What is below the root of a tree now; what this upload has there is known."""
        there = self._listed(own.below)
        plain, found = trees.stages({info.key: info.last_modified for info in there})
        others = [other for other in found if other.root == own.root and other.version != own.version]
        return _Seen(plain, others, own)

    def _settle_tree(self, seen: _Seen, threads: int | None, acl: str | None) -> None:
        """Bring the newest tree that is complete to its places, whoever sent it; then it need not wait any longer.

        While others are at work it goes on to wait, and readers get it there: they may still write to the places. Each
        of them looks, when it has written, whether another tree is the newest; so the last one to look leaves that one.
        """
        for _ in range(_ROUNDS):
            before, failure = seen, self._take_places(seen, threads, acl)
            seen = self._look_at_tree(seen.own)
            is_same = seen.newest.version == before.newest.version
            # of another who came and went since the look before, leaves may have stayed
            came = set(seen.strangers).difference(before.strangers)
            if is_same and not (before.rivals or seen.rivals or came):
                if failure:
                    raise failure
                self._end_tree(seen, alone=True)
                return
            if is_same and seen.newest is seen.own and seen.rivals:
                break  # the rivals end it, when they have come so far
        self._end_tree(seen, alone=False)

    def _take_places(self, seen: _Seen, threads: int | None, acl: str | None) -> CottonCandyError | None:
        """Copy the newest tree to its places; what kept it from that and may be a rival's doing."""
        newest, waiting = seen.newest, seen.waiting

        def settle(key: str) -> None:
            self.backend_interface.copy(waiting[key], key, options=self._write_options(acl))

        # first: a directory cannot hold `a` and `a/b`
        self._remove_leaves(newest.root, seen.strangers, threads)
        try:
            self._for_each(settle, waiting, threads, "copy", newest.root, largest=0)
        except (ObjectNotFound, InvalidObjectName) as error:
            return error
        return None

    def _end_tree(self, seen: _Seen, *, alone: bool) -> None:
        """Remove what is of no more use: all but the newest tree and, where nobody else is at work, that one, too."""
        newest, ended = seen.newest, [name for upload in seen.ended for name in upload.objects]
        started = [upload.started_mark for upload in ([seen.own, newest] if alone else [seen.own])]
        # first those that are older: they must not be the newest again
        self.backend_interface.delete(dict.fromkeys([*ended, *started]))
        if alone:
            self.backend_interface.delete([name for name in newest.objects if name not in started])

    def _send_leaves(
        self,
        stage: trees.Stage,
        places: Mapping[str, str],
        arrays: _Arrays,
        send: _Send,
        threads: int | None,
    ) -> None:
        def begin(key: str) -> Begun[Receipt] | None:
            begun: Begun[Receipt] | None = send(key, places[key], True) if arrays[key].nbytes <= SMALL else None
            return begun

        self._for_each(
            lambda key: send(key, places[key], False),
            arrays,
            threads,
            "upload",
            stage.root,
            largest=max(array.nbytes for array in arrays.values()) if arrays else 0,
            begin=begin,
        )

    def _remove_leaves(self, root: str, candidates: Sequence[str], threads: int | None) -> None:
        """Remove those objects that an earlier `dict2cloud` of this root, or of one above it, wrote."""

        def is_ours(key: str) -> bool:
            try:
                return is_leaf(self.backend_interface.stat(key).metadata, key, root)
            except ObjectNotFound:
                return False

        verdicts = self._gather(is_ours, candidates, threads, "look at", root)
        stale = [key for key, leaf in zip(candidates, verdicts, strict=True) if leaf]
        if len(stale) < len(candidates):
            log.info(
                "%d objects below %r were not written by dict2cloud: left alone", len(candidates) - len(stale), root
            )
        self._deleted(root, stale)

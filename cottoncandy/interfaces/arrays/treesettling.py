"""Bringing a tree that is complete to its places, whichever writer sent it, and removing what is left beside it.

`cottoncandy.interfaces.arrays.treeupload` draws the order of the steps.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cottoncandy import keys, trees
from cottoncandy.allornothing import logging_failures
from cottoncandy.backends.base import Receipt
from cottoncandy.backends.encrypted.mark import refuse_encrypted
from cottoncandy.chunkedarrays.names import new_version
from cottoncandy.errors import CottonCandyError, InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.interfaces.arrays.treelooks import Seen
from cottoncandy.interfaces.arrays.treemark import Origin, claimed, is_leaf, of_moved_tree, origin
from cottoncandy.interrupts import Insistence, shielded
from cottoncandy.pipelines import Begun

log = logging.getLogger(__name__)

#: What is written into the marks, for who finds one.
STARTED = b"A tree of arrays is being uploaded to this folder. If this has lain here for days, it was broken off.\n"
COMPLETE = b"The arrays beside this are the tree above, and take their places there. Upload the tree again to end it.\n"
_SETTLED = b"The arrays beside this have taken their places. They wait for another upload that may be at work.\n"

# How often a writer brings a tree to its places, at most, while other writers do so at the same time.
_ROUNDS = 4


@dataclass
class Left:
    """What an upload leaves in the store if it fails at this moment.

    Attributes
    ----------
    leaves : iterable of str
        Its leaves in their places, which do not count yet: they are removed.
    is_unknown : bool
        Whether the complete mark may have been written, though the answer did not come. Then the leaves in the places
        may be those of a tree that counts: they stay, and the started mark too.
    """

    leaves: Iterable[str] = ()
    is_unknown: bool = False


class TreeSettling(FolderArrays):
    """How the leaves of a tree that wait take their places."""

    @contextlib.contextmanager
    def _marked(self, stage: trees.Stage, threads: int | None, acl: str | None) -> Iterator[Left]:
        """If the upload fails, remove its leaves from the places, then its mark: leaves that stay must not count.

        The tree of another writer, which waited for this one, is brought to its places then, as nobody else may come.
        """
        left = Left()
        try:
            yield left
        except BaseException as failure:
            is_gone = not left.is_unknown and self._are_taken_back(stage.root, left.leaves)
            if is_gone and not isinstance(failure, Insistence):  # else requests may still arrive: keep the mark
                self._discard([stage.started_mark])
                if left.leaves != () and isinstance(failure, Exception):
                    with logging_failures(), shielded():
                        self._come_back(stage.root, threads, acl)
            raise

    def _are_taken_back(self, root: str, leaves: Iterable[str]) -> bool:
        """Remove leaves from their places; whether they are gone.

        They may have been written over leaves of a tree that has settled there meanwhile, and still waits. Readers are
        to take the leaves that wait then. So the settled marks are removed before the leaves, and once more after that.
        """
        if leaves == ():
            return True
        with logging_failures(), shielded():
            self._unsettle(root)
            self.backend_interface.delete(leaves)
            self._unsettle(root)
            return True
        return False  # type: ignore[unreachable] # mypy does not see that failures end there

    def _look_at_tree(self, own: trees.Stage) -> Seen:
        """List what is below the root of a tree; this upload's own stage too, which others may have ended."""
        there = list(self._listed(own.below))
        plain, found = trees.stages({info.key: info.last_modified for info in there})
        stages = {stage.version: stage for stage in found if stage.root == own.root}
        now = stages.pop(own.version, trees.Stage(own.root, own.version))
        nested = [stage for stage in found if stage.root != own.root]
        return Seen(plain, [*stages.values()], now, {info.key: info.size for info in there}, nested)

    def _settle_tree(self, seen: Seen, stale: Sequence[str], threads: int | None, acl: str | None) -> None:
        """Bring the newest complete tree to its places, whichever writer sent it; then it need not wait any longer.

        While other writers are at work it goes on to wait, and readers get it there. Two writers may each leave it to
        the other; so a writer that has left looks once more, and comes back if a tree waits and no writer is at work.
        """
        with self._stored(seen.own):
            self.backend_interface.delete(seen.ended_branches)  # readers would take them for newer
            is_settled = self._is_settled(seen, stale, threads, acl)
        if not is_settled:
            try:
                self._come_back(seen.own.root, threads, acl)
            except CottonCandyError as error:  # all is stored, and readers get it
                where = self.backend_interface.describe(seen.own.root)
                log.warning("%s: the newest tree waits beside its places until the next upload: %s", where, error)

    @contextlib.contextmanager
    def _stored(self, own: trees.Stage) -> Iterator[None]:
        """Whatever fails here, the error says that the tree is stored; older stages are removed."""
        try:
            yield
        except CottonCandyError as error:
            with logging_failures():
                self._unsettle(own.root)  # of another's tree, the stale leaves are gone by now, and some copies came
                self._leave_tree(self._look_at_tree(own))
            raise type(error)(
                f"{self.backend_interface.describe(own.root)}: the tree is stored, and cloud2dict reads it; but its "
                f"leaves wait beside their places until the next dict2cloud: {error}"
            ) from error

    def _come_back(self, root: str, threads: int | None, acl: str | None) -> None:
        """Bring a tree that waits to its places, if no writer is at work; with a started mark of a new version."""
        for _ in range(_ROUNDS):
            # a new version, with a started mark and nothing else: other writers may remove all of the old stage by now
            own = trees.Stage(root, new_version())
            seen = self._look_at_tree(own)
            if seen.rivals or not seen.is_waiting:
                return
            with self._marked(own, threads, acl):
                self._upload(own.started_mark, STARTED, {}, acl)
                seen = self._look_at_tree(own)
                stale = self._stale_leaves(seen, threads)[0] if seen.is_waiting else []
                if self._is_settled(seen, stale, threads, acl):
                    return

    def _is_settled(self, seen: Seen, stale: Sequence[str], threads: int | None, acl: str | None) -> bool:
        """Bring the newest tree to its places, again while other writers do so too; whether no tree waits any longer.

        Other writers may still write to the places. Each of them lists again when it has written, and starts over if
        another tree is the newest; so what the last one of them leaves in the places is the newest tree.
        """
        for _ in range(_ROUNDS):
            if not seen.is_waiting:  # another writer has ended it
                break
            if seen.is_outdone_by_settled:
                seen = self._put_ahead(seen, acl)
                stale, _ = self._stale_leaves(seen, threads)
            before, failure = seen, self._take_places(seen, stale, threads, acl)
            seen = self._look_at_tree(seen.own)
            if not seen.is_waiting:
                break
            is_same = seen.newest.version == before.newest.version
            # leaves may have come, or come back, of a writer that came and went since the listing before
            came = set(seen.strangers).difference(set(before.strangers).difference(stale))
            if is_same and not (before.rivals or seen.rivals or came):
                if failure:
                    raise failure
                self._end_tree(seen)
                return True
            if is_same and seen.newest is seen.own and seen.rivals and not came:
                if failure is None:
                    self._settle_for_now(seen, acl)
                break  # the rivals bring it to its places when they get there
            stale, _ = self._stale_leaves(seen, threads)
        else:
            self._unsettle(seen.own.root)  # a tree that has settled meanwhile may have lost leaves to this one
        self._leave_tree(seen)
        return False

    def _put_ahead(self, seen: Seen, acl: str | None) -> Seen:
        """Give this upload's tree a higher order than that of another writer, which has gone.

        To copy the other tree to the places once more would undo what was written there since it settled.
        """
        own = seen.own
        mark = own.complete(seen.newest.order + 1, len(own.leaves))
        self._write_table(mark, COMPLETE, acl)
        older = [name for name in own.marks if name != own.started_mark and "/complete-" in name]
        self.backend_interface.delete(older)
        names = [mark, *(name for name in own.objects if name not in older)]
        (ahead,) = trees.stages(dict.fromkeys(names))[1]
        return replace(seen, own=ahead)

    def _settle_for_now(self, seen: Seen, acl: str | None) -> None:
        """Write the settled mark: the leaves have taken their places, though they go on to wait because of a rival.

        From then on, what others write to the places counts, but for leaves of the rival's upload.
        """
        mark = seen.own.settled_mark
        if not set(seen.waiting).difference(seen.plain):
            try:
                self._upload(mark, _SETTLED, {}, acl)
                missing = set(seen.waiting).difference(self._look_at_tree(seen.own).plain)
            except BaseException:
                self._discard([mark])
                raise
            if missing:  # a rival failed, and removed its leaves from there
                self.backend_interface.delete([mark])

    def _unsettle(self, root: str) -> None:
        """Remove all settled marks: some of these leaves may no longer be in their places."""
        there = dict.fromkeys(self.backend_interface.list_names(trees.stage_prefix(root)))
        marks = [stage.settled_mark for stage in trees.stages(there)[1] if stage.settled]
        if marks:
            self.backend_interface.delete(marks)

    def _take_places(
        self, seen: Seen, stale: Sequence[str], threads: int | None, acl: str | None
    ) -> CottonCandyError | None:
        """Remove stale leaves and copy the newest tree to its places; the error, if it may be a rival's doing."""
        newest, waiting = seen.newest, seen.waiting
        # who may read another writer's tree is not known here: its owner alone, as with any copy
        options = self._write_options(acl if newest is seen.own else "")

        def settle(key: str) -> None:
            self.backend_interface.copy(waiting[key], key, options=options, size=seen.sizes.get(waiting[key]))

        def begin(key: str) -> Begun[Receipt] | None:
            size = seen.sizes.get(waiting[key])
            return None if size is None else self.backend_interface.begin_copy(waiting[key], key, size, options)

        # before the copies: a directory cannot hold `a` and `a/b`
        self._deleted(newest.root, stale)
        try:
            self._for_each(settle, waiting, threads, "copy", newest.root, largest=0, begin=begin)
        except (ObjectNotFound, InvalidObjectName) as error:
            return error
        return None

    def _end_tree(self, seen: Seen) -> None:
        """Remove what is beside the places, when no other writer is at work."""
        newest, marks = seen.newest, [seen.own.started_mark, seen.newest.started_mark]
        # older complete stages first: they must not become the newest again
        self.backend_interface.delete(dict.fromkeys([*seen.ended, *marks]))
        self.backend_interface.delete([name for name in newest.objects if name not in marks])

    def _leave_tree(self, seen: Seen) -> None:
        """Remove what is of no more use, and this upload's started mark; the newest tree, if any, goes on to wait."""
        ended = seen.ended if seen.is_waiting else []
        self.backend_interface.delete(dict.fromkeys([*ended, seen.own.started_mark]))

    def _stale_leaves(self, seen: Seen, threads: int | None) -> tuple[list[str], set[tuple[str, str | None]]]:
        """The leaves of an older tree that the newest one does not have, and that are to be removed.

        These are what an earlier `dict2cloud`, of this root or of one above it, wrote of `Seen.strangers`; and the
        leaves of a tree that was copied to this root as a whole, or with another one that waits here. A leaf that was
        copied here alone is somebody's own. Told as well are the trees of this root that go, as `Stage.replaces` has
        them.

        Raises
        ------
        WrongKey
            If an object is encrypted, and no key at hand tells whether it is a leaf.
        """
        root, candidates = seen.own.root, seen.strangers
        found = self._metadata_of(candidates, threads, root)
        stale = {key for key, metadata in found.items() if is_leaf(metadata, key, root)}
        # in a copy of what lies here, only the name of the upload tells these leaves from those of somebody's own
        told = [origin(key, found[key]) for key in stale]
        gone = {(tree.digest, tree.version) for tree in told if tree is not None and tree.root == root}
        for tree, leaves in self._copied_trees(found, seen, threads).items():
            stale.update(leaves)
            gone.add((tree.digest, tree.version))
        if len(stale) < len(candidates):
            log.info(
                "%d objects below %r were not written there by dict2cloud: left alone",
                len(candidates) - len(stale),
                root,
            )
        return [key for key in candidates if key in stale], gone

    def _copied_trees(
        self, found: Mapping[str, Mapping[str, str]], seen: Seen, threads: int | None
    ) -> dict[Origin, list[str]]:
        """The leaves of trees that were copied to this root as a whole, or with another one that waits here.

        Of a tree whose removal was begun, or over which another one was being copied, not all leaves are there.
        """
        moved = of_moved_tree(found, seen.own.root)
        if not moved:
            return moved
        known = set[tuple[str, str | None]]().union(*(one.replaces for one in (*seen.others, seen.own)))
        first = self._first_root(seen, threads)
        return {
            tree: leaves
            for tree, leaves in moved.items()
            if tree.digest == first
            or (tree.digest, tree.version) in known
            or 1 < tree.total == len(leaves) + self._replaced(tree, seen, threads)
        }

    def _first_root(self, seen: Seen, threads: int | None) -> str | None:
        """The digest of the root for which the tree was written that waited here before; None where none did."""
        root = seen.own.root
        waited = trees.newest(seen.others).get(root)
        for name, place in waited.leaves.items() if waited else ():
            for metadata in self._metadata_of([place], threads, root).values():
                tree = claimed(keys.join(root, name), metadata)
                return None if tree is None else tree.digest
        return None

    def _replaced(self, tree: Origin, seen: Seen, threads: int | None) -> int:
        """How many leaves of a copied tree lie in places of the newest tree."""
        waiting = seen.waiting
        found = self._metadata_of([key for key in seen.plain if key in waiting], threads, tree.root)
        return len(of_moved_tree(found, tree.root).get(tree, ()))

    def _metadata_of(self, names: Sequence[str], threads: int | None, root: str) -> dict[str, Mapping[str, str]]:
        """The metadata of these objects, by their names; those that are not there are left out."""

        def look(key: str) -> Mapping[str, str] | None:
            try:
                head = self.backend_interface.stat(key)
            except ObjectNotFound:
                return None
            refuse_encrypted(self.backend_interface, head)
            return head.metadata

        found = zip(names, self._gather(look, names, threads, "look at", root), strict=True)
        return {key: metadata for key, metadata in found if metadata is not None}

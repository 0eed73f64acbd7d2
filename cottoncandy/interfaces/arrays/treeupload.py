"""Sending a tree of arrays: readers see the old one until the new one is all there, also where several send one."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from cottoncandy import trees
from cottoncandy.allornothing import logging_failures
from cottoncandy.backends.base import Receipt
from cottoncandy.backends.encrypted.mark import refuse_encrypted
from cottoncandy.chunkedarrays.names import new_version
from cottoncandy.errors import CottonCandyError, InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.interfaces.arrays.treelooks import Seen, alone_with
from cottoncandy.interfaces.arrays.treemark import Origin, is_leaf, of_moved_tree
from cottoncandy.interrupts import Insistence, shielded
from cottoncandy.pipelines import SMALL, Begun

log = logging.getLogger(__name__)

# What sends the array of a name to a place; a small one so that it is answered later, if that is wished.
_Send = Callable[[str, str, bool], Any]
_Arrays = Mapping[str, npt.NDArray[Any]]
_STARTED = b"A tree of arrays is being uploaded to this folder. If this has lain here for days, it was broken off.\n"
_SETTLED = b"The arrays beside this have taken their places. They wait for another upload that may be at work.\n"
_COMPLETE = (
    b"The arrays beside this are the tree above, and take their places there. Upload the tree again to end it.\n"
)

# Seconds: who found nobody else looks again where sending his leaves took longer than that.
_SOON = 1.0
# Seconds for which others wait for him, from when they found his mark on: more than he may take without that look. Else
# their leaves would go on to wait beside his. Readers get theirs in any case.
_PATIENCE = 2.0
# How often a writer brings a tree to its places while others, at the same time, do so, too.
_ROUNDS = 4


class _Watch:
    """How long something takes; with the time for which the machine sleeps, which not every clock counts."""

    def __init__(self) -> None:
        self._began = time.monotonic(), time.time()

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self._began[0], time.time() - self._began[1])


@dataclass(frozen=True)
class TreeUpload:
    """One call of `dict2cloud`.

    Attributes
    ----------
    stage : Stage
        What it has beside the leaves while it is at work.
    arrays : Mapping
        The leaves by the names of their objects.
    send : callable
    threads : int or None
    acl : str or None
    """

    stage: trees.Stage
    arrays: _Arrays
    send: _Send
    threads: int | None
    acl: str | None


@dataclass
class _Left:
    """What an upload that fails has left.

    Attributes
    ----------
    leaves : iterable of str
        Those in their places, that nobody knows of yet.
    is_unknown : bool
        Whether these may be of a tree that is complete, though the answer did not come: then they and the mark stay.
    """

    leaves: Iterable[str] = ()
    is_unknown: bool = False


class TreeUploads(FolderArrays):
    """How a tree takes the place of another."""

    def _upload_tree(self, upload: TreeUpload) -> bool:
        """Send a tree; False where it is to be sent once more, under another version.

        It is looked for others when the mark stands: who comes later finds it, and is told by it. Of two at the same
        time one finds the other's, or each does. Who finds nobody, and nothing else, sends the leaves to their places.
        """
        mark = upload.stage.started_mark
        with self._marked(upload.stage) as left:
            watch = _Watch()
            with self._in_stead_of(upload.stage.root, mark):
                self._upload(mark, _STARTED, {}, upload.acl)
            there = list(self._listed(upload.stage.below))
            if [info.key for info in there] != [mark]:
                self._replace_tree(upload, alone_with(upload.stage, there), _Watch(), left)
                return True
            if not self._is_sent_alone(upload, watch, left):
                self._replace_tree(upload, [], watch, left)
                return True
            left.leaves = ()
            self.backend_interface.delete([mark])
        # who found the mark, and did not wait for so long, leaves it to this upload to bring his leaves to their places
        return watch.seconds < _SOON or self._is_alone(upload)

    @contextlib.contextmanager
    def _marked(self, stage: trees.Stage) -> Iterator[_Left]:
        """Remove what is left in the places when the upload fails, and then its mark: what stays must not count."""
        left = _Left()
        try:
            yield left
        except BaseException as failure:
            is_gone = not left.is_unknown and self._are_taken_back(stage.root, left.leaves)
            if is_gone and not isinstance(failure, Insistence):  # of what may still arrive nothing must count
                self._discard([stage.started_mark])
            raise

    def _are_taken_back(self, root: str, leaves: Iterable[str]) -> bool:
        """Remove leaves from their places; whether they are gone.

        They may have been written over those of a tree that has settled there meanwhile, and waits beside it: readers
        are to take these then, before and behind.
        """
        if leaves == ():
            return True
        with logging_failures(), shielded():
            self._unsettle(root)
            self.backend_interface.delete(leaves)
            self._unsettle(root)
            return True
        return False  # type: ignore[unreachable] # mypy does not see that failures end there

    def _is_sent_alone(self, upload: TreeUpload, watch: _Watch, left: _Left) -> bool:
        """Send the leaves to their places, where they do not count as long as the mark stands; whether nobody has come.

        The first look may have missed one who ended meanwhile: a listing shows one name before the other. A second one
        finds his leaves, but for those of the same names where it is answered while the leaves are sent.
        """
        look = self._begin_look(upload)
        try:
            if look is None and [info.key for info in self._listed(upload.stage.below)] != [upload.stage.started_mark]:
                return False
            left.leaves = self._of_upload(upload.stage.version, upload.stage.root, upload.arrays)
            self._send_leaves(upload, {key: key for key in upload.arrays})
            is_alone = look is None or self._is_alone(upload, look)
        finally:
            if look is not None:
                look.drop()
        return is_alone and (watch.seconds < _SOON or self._is_alone(upload))

    def _begin_look(self, upload: TreeUpload) -> Begun[list[str]] | None:
        """Ask for the names of all that is there; None where that is not answered later."""
        try:
            return self.backend_interface.begin_names(upload.stage.below)
        except Exception as failure:  # noqa: BLE001 - what is wrong is told where it is asked in the usual way
            log.debug("%s", failure)
            return None

    def _is_alone(self, upload: TreeUpload, look: Begun[list[str]] | None = None) -> bool:
        """Whether there are no other names than one's own, by a look that was begun, or else a new one."""
        names: Iterable[str] | None = None
        if look is not None:
            try:
                names = look.result()
            except Exception as failure:  # noqa: BLE001 - as above
                log.debug("%s", failure)
        if names is None:
            names = (info.key for info in self._listed(upload.stage.below))
        return all(name in upload.arrays or name == upload.stage.started_mark for name in names)

    def _replace_tree(self, upload: TreeUpload, alone: Collection[trees.Stage], watch: _Watch, left: _Left) -> None:
        """Send a tree where there is something: its leaves wait until they are all there, then take their places.

        But not before those have ended who may have found nobody, and so need not look again. What keeps old leaves
        from being told from other objects is found out before the new tree counts: then the old one stays.
        """
        stage = upload.stage
        waiting = {key: stage.leaf(key.removeprefix(stage.below)) for key in upload.arrays}
        with self._all_or_none(waiting.values()) as parts:
            self._send_leaves(upload, waiting)
            seen = self._look_at_tree(stage)
            mark = stage.complete(1 + max((other.order for other in seen.others), default=0), len(waiting))
            (own,) = trees.stages(dict.fromkeys([stage.started_mark, mark, *waiting.values()]))[1]
            seen = replace(seen, own=own)
            stale = self._stale_leaves(seen, upload.threads)
            try:
                with self._in_stead_of(stage.root, mark), parts.naming():
                    self._write_table(mark, _COMPLETE, upload.acl)
            except BaseException:
                # where the tree may be there, they may be its own: others bring it to its places
                left.is_unknown = parts.may_be_named and bool(left.leaves)
                raise
        left.leaves = ()
        if alone:
            self._wait_for(alone, watch)
            seen = self._look_at_tree(own)
            stale = self._stale_leaves(seen, upload.threads)  # that took long, and others were at work
        self._settle_tree(seen, stale, upload.threads, upload.acl)

    def _wait_for(self, alone: Collection[trees.Stage], watch: _Watch) -> None:
        """Wait until these uploads are over; or for so long that they look again themselves when they are.

        Readers get the tree that waits: what is interrupted here is brought to its places by the next upload.
        """
        delay = 0.01
        while watch.seconds < _PATIENCE and any(map(self._is_still_alone, alone)):
            time.sleep(delay)
            delay = min(2 * delay, 0.2)

    def _is_still_alone(self, stage: trees.Stage) -> bool:
        now = trees.stages(dict.fromkeys(info.key for info in self._listed(stage.name(""))))[1]
        return any(upload.is_bare for upload in now)

    def _look_at_tree(self, own: trees.Stage) -> Seen:
        """What is below the root of a tree now; what this upload has there is known."""
        there = list(self._listed(own.below))
        plain, found = trees.stages({info.key: info.last_modified for info in there})
        others = [other for other in found if other.root == own.root and other.version != own.version]
        return Seen(plain, others, own, {info.key: info.size for info in there})

    def _settle_tree(self, seen: Seen, stale: Sequence[str], threads: int | None, acl: str | None) -> None:
        """Bring the newest tree that is complete to its places, whoever sent it; then it need not wait any longer.

        Where others are at work it goes on to wait, and readers get it there. Each may then leave it to the other; so
        who has left looks once more, and comes back where a tree waits and nobody is at work.
        """
        with self._stored(seen.own):
            is_settled = self._is_settled(seen, stale, threads, acl)
        if not is_settled:
            try:
                self._come_back(seen.own.root, threads, acl)
            except CottonCandyError as error:  # all is stored, and readers get it
                where = self.backend_interface.describe(seen.own.root)
                log.warning("%s: the newest tree waits beside its places until the next upload: %s", where, error)

    @contextlib.contextmanager
    def _stored(self, own: trees.Stage) -> Iterator[None]:
        """Tell that the tree is there, whatever fails from now on; of trees before it nothing stays beside it."""
        try:
            yield
        except CottonCandyError as error:
            with logging_failures():
                self._leave_tree(self._look_at_tree(own))
            raise type(error)(
                f"{self.backend_interface.describe(own.root)}: the tree is stored, and cloud2dict reads it; but its "
                f"leaves wait beside their places until the next dict2cloud: {error}"
            ) from error

    def _come_back(self, root: str, threads: int | None, acl: str | None) -> None:
        for _ in range(_ROUNDS):
            # another upload, that has a mark and nothing else: of this one's own, others may make away with all
            own = trees.Stage(root, new_version())
            seen = self._look_at_tree(own)
            if seen.rivals or not seen.is_waiting:
                return
            with self._marked(own):
                self._upload(own.started_mark, _STARTED, {}, acl)
                seen = self._look_at_tree(own)
                stale = self._stale_leaves(seen, threads) if seen.is_waiting else []
                if self._is_settled(seen, stale, threads, acl):
                    return

    def _is_settled(self, seen: Seen, stale: Sequence[str], threads: int | None, acl: str | None) -> bool:
        """Bring it to its places as long as others do so, too; whether it need not wait any longer.

        Others may still write to the places. Each of them looks, when it has written, whether another tree is the
        newest; so the last one to look leaves that one.
        """
        for _ in range(_ROUNDS):
            if not seen.is_waiting:  # who came back was not the only one
                break
            before, failure = seen, self._take_places(seen, stale, threads, acl)
            seen = self._look_at_tree(seen.own)
            if not seen.is_waiting:
                break
            is_same = seen.newest.version == before.newest.version
            # of another who came and went since the look before, leaves may have stayed
            came = set(seen.strangers).difference(before.strangers)
            if is_same and not (before.rivals or seen.rivals or came):
                if failure:
                    raise failure
                self._end_tree(seen)
                return True
            if is_same and seen.newest is seen.own and seen.rivals:
                if failure is None:
                    self._settle_for_now(seen, acl)
                break  # the rivals end it, when they have come so far
            stale = self._stale_leaves(seen, threads)
        self._leave_tree(seen)
        return False

    def _settle_for_now(self, seen: Seen, acl: str | None) -> None:
        """Say that the leaves have taken their places, though a rival keeps them from being removed here.

        From then on what others write to the places counts, but for what the rival may have under way.
        """
        mark = seen.own.settled_mark
        if not set(seen.waiting).difference(seen.plain):
            self._upload(mark, _SETTLED, {}, acl)
            seen = self._look_at_tree(seen.own)
            if set(seen.waiting).difference(seen.plain):  # a rival has failed, and removed its own leaves from there
                self.backend_interface.delete([mark])

    def _unsettle(self, root: str) -> None:
        """Take back what others said of their leaves: some may be in their places no more."""
        there = dict.fromkeys(self.backend_interface.list_names(trees.stage_prefix(root)))
        marks = [stage.settled_mark for stage in trees.stages(there)[1] if stage.settled]
        if marks:
            self.backend_interface.delete(marks)

    def _take_places(
        self, seen: Seen, stale: Sequence[str], threads: int | None, acl: str | None
    ) -> CottonCandyError | None:
        """Copy the newest tree to the places of the stale one; what kept it from that and may be a rival's doing."""
        newest, waiting, options = seen.newest, seen.waiting, self._write_options(acl)

        def settle(key: str) -> None:
            self.backend_interface.copy(waiting[key], key, options=options, size=seen.sizes.get(waiting[key]))

        def begin(key: str) -> Begun[Receipt] | None:
            size = seen.sizes.get(waiting[key])
            return None if size is None else self.backend_interface.begin_copy(waiting[key], key, size, options)

        # first: a directory cannot hold `a` and `a/b`
        self._deleted(newest.root, stale)
        try:
            self._for_each(settle, waiting, threads, "copy", newest.root, largest=0, begin=begin)
        except (ObjectNotFound, InvalidObjectName) as error:
            return error
        return None

    def _end_tree(self, seen: Seen) -> None:
        """Remove all that there is beside the places, where nobody else is at work."""
        newest, marks = seen.newest, [seen.own.started_mark, seen.newest.started_mark]
        # first those that are older: they must not be the newest again
        self.backend_interface.delete(dict.fromkeys([*seen.ended, *marks]))
        self.backend_interface.delete([name for name in newest.objects if name not in marks])

    def _leave_tree(self, seen: Seen) -> None:
        """Remove what is of no more use, and one's own mark; the newest tree goes on to wait, where there is one."""
        ended = seen.ended if seen.is_waiting else []
        self.backend_interface.delete(dict.fromkeys([*ended, seen.own.started_mark]))

    def _send_leaves(self, upload: TreeUpload, places: Mapping[str, str]) -> None:
        arrays, send = upload.arrays, upload.send

        def send_one(key: str) -> None:
            with self._in_stead_of(key, places[key]):
                send(key, places[key], False)

        def begin(key: str) -> Begun[Receipt] | None:
            begun: Begun[Receipt] | None = send(key, places[key], True) if arrays[key].nbytes <= SMALL else None
            return begun

        self._for_each(
            send_one,
            arrays,
            upload.threads,
            "upload",
            upload.stage.root,
            largest=max(array.nbytes for array in arrays.values()) if arrays else 0,
            begin=begin,
        )

    def _stale_leaves(self, seen: Seen, threads: int | None) -> list[str]:
        """Those of the strangers that an earlier `dict2cloud` of this root, or of one above it, wrote to their places.

        And those of a tree that was copied to this root as a whole: what was copied here by itself is somebody's own.

        Raises
        ------
        WrongKey
            If one is encrypted, and no key at hand tells.
        """
        root, candidates = seen.own.root, seen.strangers
        found = self._metadata_of(candidates, threads, root)
        stale = {key for key, metadata in found.items() if is_leaf(metadata, key, root)}
        for tree, leaves in of_moved_tree(found, root).items():
            if tree.total > 1 and len(leaves) + self._replaced(tree, seen, threads) == tree.total:
                stale.update(leaves)
        if len(stale) < len(candidates):
            log.info(
                "%d objects below %r were not written there by dict2cloud: left alone",
                len(candidates) - len(stale),
                root,
            )
        return [key for key in candidates if key in stale]

    def _replaced(self, tree: Origin, seen: Seen, threads: int | None) -> int:
        """How many leaves of a tree lie in places that the newest one takes."""
        waiting = seen.waiting
        found = self._metadata_of([key for key in seen.plain if key in waiting], threads, tree.root)
        return len(of_moved_tree(found, tree.root).get(tree, ()))

    def _metadata_of(self, names: Sequence[str], threads: int | None, root: str) -> dict[str, Mapping[str, str]]:
        """The metadata of those of these objects that are there."""

        def look(key: str) -> Mapping[str, str] | None:
            try:
                head = self.backend_interface.stat(key)
            except ObjectNotFound:
                return None
            refuse_encrypted(self.backend_interface, head)
            return head.metadata

        found = zip(names, self._gather(look, names, threads, "look at", root), strict=True)
        return {key: metadata for key, metadata in found if metadata is not None}

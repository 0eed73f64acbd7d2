"""Sending a tree of arrays: readers see the old one until the new one is all there, also with several writers.

A writer is one call of `dict2cloud`. It has a version of its own, and these objects below the tree's ROOT
(`cottoncandy.trees.Stage`); every leaf has the version in its metadata:

=====================================  =========================================================================
``ROOT/NAME``                          the place of a leaf
``ROOT/.upload-VERSION/started``       started mark: the leaves of VERSION that are in places do not count
``ROOT/.upload-VERSION/leaves/NAME``   a leaf that waits
``ROOT/.upload-VERSION/complete-N-C``  complete mark: the C leaves that wait are the tree; the highest N wins
``ROOT/.upload-VERSION/settled``       settled mark: they are in their places, too, but another writer is at work
=====================================  =========================================================================

The way of one writer, and what readers get at each step::

    write the started mark, list what is below ROOT                        readers get
      |
      |-- nothing else is there: send the leaves to their places           nothing yet
      |     |-- still nothing else: remove the started mark                the new tree, in its places
      |     `-- another writer has come: go on below, with all leaves      nothing yet
      |
    send the leaves to where they wait                                     the old tree
    write the complete mark                                                the new tree, where it waits
    wait for writers that may be sending straight to the places
    remove stale leaves, copy the waiting leaves to their places           the new tree, where it waits
      |
      |-- no other writer: remove the marks, then the waiting leaves       the new tree, in its places
      `-- another writer: write the settled mark, if the newest tree is    the newest tree, in its places;
          one's own; remove one's own started mark; look once more, in     without a settled mark, where it waits
          case the other writer has left the tree waiting as well

Two writers at the same time: each writes its mark before it lists, so at least one of them finds the other's mark. The
writer that finds a mark lets its leaves wait. The one that found none may not know of the other. If it took long
(`_SOON`), it looks again in the end, and sends its tree once more if it finds another writer. If it was quick, the
other one has waited for it (`_PATIENCE`).

A writer that is killed leaves its started mark, and its leaves do not count; or its complete mark, and readers get its
tree from where it waits. The next upload of ROOT clears up, started marks after a day (`FORGOTTEN`).
"""

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

# Sends the array of a name to a place. Where the third argument is true, the answer is read later.
_Send = Callable[[str, str, bool], Any]
_Arrays = Mapping[str, npt.NDArray[Any]]
_STARTED = b"A tree of arrays is being uploaded to this folder. If this has lain here for days, it was broken off.\n"
_SETTLED = b"The arrays beside this have taken their places. They wait for another upload that may be at work.\n"
_REPLACES = b"A tree that was copied here is replaced by the arrays beside this.\n"
_COMPLETE = (
    b"The arrays beside this are the tree above, and take their places there. Upload the tree again to end it.\n"
)

# Seconds. A writer that found no other one looks again if sending its leaves took longer than that.
_SOON = 1.0
# Seconds for which other writers wait for it, from when they found its mark. That is more than `_SOON`: a writer that
# took longer looks again, so one of the two always brings the leaves that wait to their places. Readers get them in any
# case.
_PATIENCE = 2.0
# How often a writer brings a tree to its places, at most, while other writers do so at the same time.
_ROUNDS = 4


class _Watch:
    """How long something takes, the time included for which the machine sleeps: not every clock counts that."""

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
        Its own objects below the tree's root while it is at work.
    arrays : Mapping
        The leaves by the names of their places.
    send : callable
        Sends the leaf of a place's name to a place, or to where it waits.
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


class TreeUploads(FolderArrays):
    """How a tree takes the place of another."""

    def _upload_tree(self, upload: TreeUpload) -> bool:
        """Send a tree; False where it is to be sent once more, under another version.

        A writer lists after it has written its started mark, so a later writer finds the mark. Of two writers at the
        same time one finds the mark of the other, or each does. A writer that finds nothing but its own mark sends the
        leaves to their places.
        """
        mark = upload.stage.started_mark
        with self._marked(upload.stage, upload.threads, upload.acl) as left:
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
        # another writer may have found the mark and given up waiting for it: then it is for this upload to bring the
        # other one's leaves to their places, which happens when it sends its tree once more
        return watch.seconds < _SOON or self._is_alone(upload)

    @contextlib.contextmanager
    def _marked(self, stage: trees.Stage, threads: int | None, acl: str | None) -> Iterator[_Left]:
        """If the upload fails, remove its leaves from the places, then its mark: leaves that stay must not count.

        The tree of another writer, which waited for this one, is brought to its places then, as nobody else may come.
        """
        left = _Left()
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

    def _is_sent_alone(self, upload: TreeUpload, watch: _Watch, left: _Left) -> bool:
        """Send the leaves to their places, where they do not count while the mark stands; whether no other came.

        The listing of `_upload_tree` may have missed a writer that ended at that moment, as a listing is not made at
        once: the mark was gone when it came to it, and the leaves were not there yet. A second listing finds these
        leaves. It is asked for before the leaves are sent, and answered meanwhile where the store serves that; leaves
        of the same names are not told from one's own then.
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
        """Send the request for a listing, whose answer is read later; None where the store does not serve that."""
        try:
            return self.backend_interface.begin_names(upload.stage.below)
        except Exception as failure:  # noqa: BLE001 - what is wrong is told where it is asked in the usual way
            log.debug("%s", failure)
            return None

    def _is_alone(self, upload: TreeUpload, look: Begun[list[str]] | None = None) -> bool:
        """Whether a listing has no names but those of this upload: the listing that was begun, or else a new one."""
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

        They do not take them before the uploads in ``alone`` are over: these may have found no other writer, and may
        end without another look. The stale leaves are found before the complete mark is written. If that fails, as with
        an encrypted object that no key opens, the old tree stays.
        """
        stage = upload.stage
        waiting = {key: stage.leaf(key.removeprefix(stage.below)) for key in upload.arrays}
        written = [*waiting.values()]
        with self._all_or_none(written) as parts:
            self._send_leaves(upload, waiting)
            seen = self._look_at_tree(stage)
            mark = stage.complete(1 + max((other.order for other in seen.others), default=0), len(waiting))
            (own,) = trees.stages(dict.fromkeys([stage.started_mark, mark, *waiting.values()]))[1]
            seen = replace(seen, own=own)
            stale, moved = self._stale_leaves(seen, upload.threads)
            for tree in moved:
                written.append(own.replaces_mark(*tree))
                self._upload(written[-1], _REPLACES, {}, upload.acl)
                own.add(written[-1].removeprefix(own.name("")))
            try:
                with self._in_stead_of(stage.root, mark), parts.naming():
                    self._write_table(mark, _COMPLETE, upload.acl)
            except BaseException:
                # if the mark is there, another writer may have copied the tree to its places: those leaves are its own
                left.is_unknown = parts.may_be_named and bool(left.leaves)
                raise
        left.leaves = ()
        if alone:
            self._wait_for(alone, watch)
            seen = self._look_at_tree(own)
            stale, _ = self._stale_leaves(seen, upload.threads)  # it took long, and other writers were at work
        self._settle_tree(seen, stale, upload.threads, upload.acl)

    def _wait_for(self, alone: Collection[trees.Stage], watch: _Watch) -> None:
        """Wait until these uploads are over, but no longer than `_PATIENCE`: slower ones look again by themselves.

        Readers get the tree from where it waits. If this is interrupted, the next upload brings the tree to its places.
        """
        delay = 0.01
        while watch.seconds < _PATIENCE and any(map(self._is_still_alone, alone)):
            time.sleep(delay)
            delay = min(2 * delay, 0.2)

    def _is_still_alone(self, stage: trees.Stage) -> bool:
        now = trees.stages(dict.fromkeys(info.key for info in self._listed(stage.name(""))))[1]
        return any(upload.is_bare for upload in now)

    def _look_at_tree(self, own: trees.Stage) -> Seen:
        """List what is below the root of a tree; what this upload itself has there is known."""
        there = list(self._listed(own.below))
        plain, found = trees.stages({info.key: info.last_modified for info in there})
        others = [other for other in found if other.root == own.root and other.version != own.version]
        nested = [stage for stage in found if stage.root != own.root]
        return Seen(plain, others, own, {info.key: info.size for info in there}, nested)

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
                self._upload(own.started_mark, _STARTED, {}, acl)
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
            # leaves may have stayed of a writer that came and went since the listing before
            came = set(seen.strangers).difference(before.strangers)
            if is_same and not (before.rivals or seen.rivals or came):
                if failure:
                    raise failure
                self._end_tree(seen)
                return True
            if is_same and seen.newest is seen.own and seen.rivals:
                if failure is None:
                    self._settle_for_now(seen, acl)
                break  # the rivals bring it to its places when they get there
            stale, _ = self._stale_leaves(seen, threads)
        self._leave_tree(seen)
        return False

    def _put_ahead(self, seen: Seen, acl: str | None) -> Seen:
        """Give this upload's tree a higher order than that of another writer, which has gone.

        To copy the other tree to the places once more would undo what was written there since it settled.
        """
        own = seen.own
        mark = own.complete(seen.newest.order + 1, len(own.leaves))
        self._write_table(mark, _COMPLETE, acl)
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
        newest, waiting, options = seen.newest, seen.waiting, self._write_options(acl)

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

    def _send_leaves(self, upload: TreeUpload, places: Mapping[str, str]) -> None:
        """Send all leaves to these places, or to where they wait; small ones are answered later."""
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

    def _stale_leaves(self, seen: Seen, threads: int | None) -> tuple[list[str], set[tuple[str, str | None]]]:
        """The leaves of an older tree that the newest one does not have, and that are to be removed.

        These are what an earlier `dict2cloud`, of this root or of one above it, wrote of `Seen.strangers`; and the
        leaves of a tree that was copied to this root as a whole, as `Stage.replaces` names it, which is told as well. A
        leaf that was copied here alone is somebody's own.

        Raises
        ------
        WrongKey
            If an object is encrypted, and no key at hand tells whether it is a leaf.
        """
        root, candidates = seen.own.root, seen.strangers
        found = self._metadata_of(candidates, threads, root)
        stale = {key for key, metadata in found.items() if is_leaf(metadata, key, root)}
        # of a tree whose removal was begun, not all leaves are there
        known, moved = set[tuple[str, str | None]]().union(*(one.replaces for one in (*seen.others, seen.own))), set()
        for tree, leaves in of_moved_tree(found, root).items():
            name = tree.digest, tree.version
            if name in known or 1 < tree.total == len(leaves) + self._replaced(tree, seen, threads):
                stale.update(leaves)
                moved.add(name)
        if len(stale) < len(candidates):
            log.info(
                "%d objects below %r were not written there by dict2cloud: left alone",
                len(candidates) - len(stale),
                root,
            )
        return [key for key in candidates if key in stale], moved

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

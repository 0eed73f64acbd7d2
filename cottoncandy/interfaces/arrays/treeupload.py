"""Sending a tree of arrays: readers see the old one until the new one is all there, also where several send one."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy.typing as npt

from cottoncandy import trees
from cottoncandy.backends.base import Receipt
from cottoncandy.backends.encrypted.mark import refuse_encrypted
from cottoncandy.errors import CottonCandyError, InvalidObjectName, ObjectExists, ObjectNotFound
from cottoncandy.interfaces.arrays.folder import FolderArrays
from cottoncandy.interfaces.arrays.treelooks import Look, Looks, NotAlone, Seen, alone_with
from cottoncandy.interfaces.arrays.treemark import is_leaf
from cottoncandy.interrupts import Insistence
from cottoncandy.pipelines import SMALL, Begun, run_ahead

log = logging.getLogger(__name__)

_Arrays = Mapping[str, npt.NDArray[Any]]
_STARTED = b"A tree of arrays is being uploaded to this folder. If this has lain here for days, it was broken off.\n"
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


class _Send(Protocol):
    """Sends the array of a name to a place: a small one so that it is answered later, or if nothing is there."""

    def __call__(self, key: str, place: str, *, later: bool = False, if_absent: bool = False) -> Any: ...


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
        with self._marked(mark) as left:
            watch = _Watch()
            is_free = self._set_mark(upload)
            try:
                self._send_alone(upload, watch, left, is_free=is_free)
            except NotAlone as found:
                others = found.others
                if others is None:
                    others = alone_with(upload.stage, self._listed(upload.stage.below))
                self._replace_tree(upload, list(others), left)
                return True
            left.leaves = ()
            self.backend_interface.delete([mark])
        # who found the mark, and did not wait for so long, leaves it to this upload to bring his leaves to their places
        return watch.seconds < _SOON or self._is_alone(upload)

    @contextlib.contextmanager
    def _marked(self, mark: str) -> Iterator[_Left]:
        """Remove what is left in the places when the upload fails, and then its mark: what stays must not count."""
        left = _Left()
        try:
            yield left
        except BaseException as failure:
            is_gone = not left.is_unknown and self._discard(left.leaves)
            if is_gone and not isinstance(failure, Insistence):  # of what may still arrive nothing must count
                self._discard([mark])
            raise

    def _set_mark(self, upload: TreeUpload) -> bool:
        """Say that leaves are being sent; whether nothing was there, and the store keeps to ``if_absent``.

        Between that look and the mark another may have come. But who sends many leaves may begin with them while he
        looks for that one: they take nobody's place.
        """
        stage, backend = upload.stage, self.backend_interface
        mark, most = stage.started_mark, upload.threads or self._settings.most_threads
        pays = len(upload.arrays) > most and self._answers_later()
        keeps = pays and backend.keeps_conditions()
        with self._look(upload) if keeps else contextlib.nullcontext() as look:
            with self._in_stead_of(stage.root, mark):
                self._upload(mark, _STARTED, {}, upload.acl)
            is_free = look is not None and look.was_begun and look.names <= {mark}
        if pays and not keeps:
            run_ahead(partial(backend.begin_trial, body=_STARTED), [mark], 1)
        return is_free

    def _send_alone(self, upload: TreeUpload, watch: _Watch, left: _Left, *, is_free: bool) -> None:
        """Send the leaves to their places, where they do not count as long as the mark stands.

        Raises
        ------
        NotAlone
            If others have come, or were there.
        """
        stage = upload.stage
        if not is_free:
            there = list(self._listed(stage.below))
            if [info.key for info in there] != [stage.started_mark]:
                raise NotAlone(alone_with(stage, there))
        with Looks(partial(self._look, upload), stage.started_mark, is_ahead=is_free) as looks:
            left.leaves = self._of_upload(stage.version, stage.root, upload.arrays)
            self._send_leaves(upload, {key: key for key in upload.arrays}, looks)
            looks.await_second()
        if watch.seconds >= _SOON and not self._is_alone(upload):
            raise NotAlone(())

    def _look(self, upload: TreeUpload) -> Look:
        """Ask for the names of all that is there, so that it is answered later where the store does that."""
        below, begun = upload.stage.below, None
        try:
            begun = self.backend_interface.begin_names(below)
        except Exception as failure:  # noqa: BLE001 - what is wrong is told where it is asked in the usual way
            log.debug("%s", failure)
        return Look(begun, lambda: (info.key for info in self._listed(below)))

    def _is_alone(self, upload: TreeUpload) -> bool:
        """Whether there are no other names than one's own now."""
        own = {upload.stage.started_mark, *upload.arrays}
        return all(info.key in own for info in self._listed(upload.stage.below))

    def _replace_tree(self, upload: TreeUpload, alone: Collection[trees.Stage], left: _Left) -> None:
        """Send a tree where there is something: its leaves wait until they are all there, then take their places.

        But not before those have ended who may have found nobody, and so need not look again. What keeps old leaves
        from being told from other objects is found out before the new tree counts: then the old one stays.
        """
        stage, watch = upload.stage, _Watch()
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

        While others are at work it goes on to wait, and readers get it there: they may still write to the places. Each
        of them looks, when it has written, whether another tree is the newest; so the last one to look leaves that one.
        """
        for _ in range(_ROUNDS):
            before, failure = seen, self._take_places(seen, stale, threads, acl)
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
            stale = self._stale_leaves(seen, threads)
        self._end_tree(seen, alone=False)

    def _take_places(
        self, seen: Seen, stale: Sequence[str], threads: int | None, acl: str | None
    ) -> CottonCandyError | None:
        """Copy the newest tree to the places of the stale one; what kept it from that and may be a rival's doing."""
        newest, waiting, options = seen.newest, seen.waiting, self._write_options(acl)

        def settle(key: str) -> None:
            self.backend_interface.copy(waiting[key], key, options=options)

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

    def _end_tree(self, seen: Seen, *, alone: bool) -> None:
        """Remove what is of no more use: all but the newest tree and, where nobody else is at work, that one, too."""
        newest, ended = seen.newest, [name for upload in seen.ended for name in upload.objects]
        started = [upload.started_mark for upload in ([seen.own, newest] if alone else [seen.own])]
        # first those that are older: they must not be the newest again
        self.backend_interface.delete(dict.fromkeys([*ended, *started]))
        if alone:
            self.backend_interface.delete([name for name in newest.objects if name not in started])

    def _send_leaves(self, upload: TreeUpload, places: Mapping[str, str], looks: Looks | None = None) -> None:
        """Send the leaves to these places; NotAlone where looks that are under way show others."""
        arrays, send = upload.arrays, upload.send

        def send_one(key: str) -> None:
            if_absent = looks is not None and looks.sends_again(key)
            try:
                with self._in_stead_of(key, places[key]):
                    send(key, places[key], if_absent=if_absent)
            except ObjectExists:
                if not if_absent:
                    raise
                if self._version_at(places[key]) != upload.stage.version:  # else it was sent, but not answered
                    raise NotAlone(None) from None

        def begin(key: str) -> Begun[Receipt] | None:
            if arrays[key].nbytes > SMALL:
                return None
            if_absent = looks is not None and looks.sends_ahead(key)
            begun: Begun[Receipt] | None = send(key, places[key], later=True, if_absent=if_absent)
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
        """Those of the strangers that an earlier `dict2cloud` of this root, or of one above it, wrote.

        Raises
        ------
        WrongKey
            If one is encrypted, and no key at hand tells.
        """
        root, candidates = seen.own.root, seen.strangers

        def is_ours(key: str) -> bool:
            try:
                head = self.backend_interface.stat(key)
            except ObjectNotFound:
                return False
            refuse_encrypted(self.backend_interface, head)
            return is_leaf(head.metadata, key, root)

        verdicts = self._gather(is_ours, candidates, threads, "look at", root)
        stale = [key for key, leaf in zip(candidates, verdicts, strict=True) if leaf]
        if len(stale) < len(candidates):
            log.info(
                "%d objects below %r were not written by dict2cloud: left alone", len(candidates) - len(stale), root
            )
        return stale

"""Sending a tree of arrays: readers see the old one until the new one is all there, also with several writers.

A writer is one call of `dict2cloud`. It has a version of its own, and these objects below the tree's ROOT
(`cottoncandy.trees.Stage`); every leaf has the version in its metadata:

=====================================  =========================================================================
``ROOT/NAME``                          the place of a leaf
``ROOT/.upload-VERSION/started``       started mark: the leaves of VERSION that are in places do not count
``ROOT/.upload-VERSION/leaves/NAME``   a leaf that waits
``ROOT/.upload-VERSION/complete-N-C``  complete mark: the C leaves that wait are the tree; the highest N wins
``ROOT/.upload-VERSION/replaces-D-V``  leaves of version V, written for the root of digest D, go: also in a copy
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

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from cottoncandy import trees
from cottoncandy.backends.base import Receipt
from cottoncandy.interfaces.arrays.treelooks import alone_with
from cottoncandy.interfaces.arrays.treesettling import COMPLETE, STARTED, Left, TreeSettling
from cottoncandy.pipelines import SMALL, Begun

log = logging.getLogger(__name__)

# Sends the array of a name to a place. Where the third argument is true, the answer is read later.
_Send = Callable[[str, str, bool], Any]
_Arrays = Mapping[str, npt.NDArray[Any]]
_REPLACES = b"A tree that was here is replaced by the arrays beside this.\n"

# Seconds. A writer that found no other one looks again if sending its leaves took longer than that.
_SOON = 1.0
# Seconds for which other writers wait for it, from when they found its mark. That is more than `_SOON`: a writer that
# took longer looks again, so one of the two always brings the leaves that wait to their places. Readers get them in any
# case.
_PATIENCE = 2.0


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


class TreeUploads(TreeSettling):
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
                self._upload(mark, STARTED, {}, upload.acl)
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

    def _is_sent_alone(self, upload: TreeUpload, watch: _Watch, left: Left) -> bool:
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

    def _replace_tree(self, upload: TreeUpload, alone: Collection[trees.Stage], watch: _Watch, left: Left) -> None:
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
            stale, gone = self._stale_leaves(seen, upload.threads)
            for tree in gone:
                written.append(own.replaces_mark(*tree))
                self._upload(written[-1], _REPLACES, {}, upload.acl)
                own.add(written[-1].removeprefix(own.name("")))
            try:
                with self._in_stead_of(stage.root, mark), parts.naming():
                    self._write_table(mark, COMPLETE, upload.acl)
            except BaseException:
                # if the mark is there, another writer may have copied the tree to its places: those leaves are its own
                left.is_unknown = parts.may_be_named and bool(left.leaves)
                raise
        left.leaves = ()
        if alone:
            with self._stored(own):
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

"""An upload whose chunks are sent by tasks that cannot be called back: on dask's threads, or on a cluster.

A task may be run twice, and may go on after its upload failed and was cleaned up. So a mark lies beside the chunks
while the upload is under way. It holds what all tasks agree on, so that one that is run again finds it; and a task that
finds the mark gone, once its chunk is stored, takes that chunk back. In the process where an upload is given up, no
thread sends any more of it when that is done: its user gets the error then, and finds nothing of it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from cottoncandy.allornothing import logging_failures
from cottoncandy.arrayformat import lowered
from cottoncandy.backends.base import Receipt, WriteOptions
from cottoncandy.chunkedarrays.folder import ChunkFolder
from cottoncandy.chunkedarrays.names import VERSION, mark_name
from cottoncandy.chunkedarrays.upload import ChunkFormat, ChunkUpload, Sent, remove_chunks
from cottoncandy.chunking import Chunks
from cottoncandy.errors import ObjectChanged, ObjectExists, ObjectNotFound, TransientError

_EXPLANATION = (
    b"The array in this folder is being uploaded. If this has lain here for days, the upload was broken off.\n"
)
# Metadata keys of the mark. Where the second is set the table may stand, and needs its chunks.
_FIRST, _PUBLISHING = "first", "publishing"


class _Senders:
    """The tasks of this process that send chunks, by the upload's version."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sending: Counter[str] = Counter()
        self._dismissed: set[str] = set()

    @contextmanager
    def one_more(self, version: str) -> Iterator[bool]:
        """While a chunk is sent; whether it may be."""
        with self._changed:
            allowed = version not in self._dismissed
            self._sending[version] += allowed
        try:
            yield allowed
        finally:
            with self._changed:
                self._sending[version] -= allowed
                if not self._sending[version]:
                    del self._sending[version]
                self._changed.notify_all()

    def dismiss(self, version: str) -> None:
        """Let no more of them begin."""
        with self._changed:
            self._dismissed.add(version)

    def wait(self, version: str) -> None:
        """Until those that have begun are done."""
        with self._changed:
            self._changed.wait_for(lambda: version not in self._sending)


_SENDERS = _Senders()


def _after_fork() -> None:
    # those that send, and perhaps hold the lock, are the parent's threads
    global _SENDERS  # noqa: PLW0603 - one for each process
    _SENDERS = _Senders()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class Mark:
    """What tells that an upload is under way; pickles.

    Attributes
    ----------
    folder : ChunkFolder
    token : str
        Names the upload before it has begun.
    """

    folder: ChunkFolder
    token: str

    @property
    def key(self) -> str:
        """The object's name."""
        return self.folder.key(mark_name(self.token))

    def begin(self, how: ChunkFormat, count: int) -> SharedUpload:
        """The upload of so many chunks that all tasks work on: a new one, or that which is under way."""
        with self.folder.named():
            upload = ChunkUpload.start(self.folder, how, count)
            try:
                self.put(upload, WriteOptions(acl=how.acl, if_absent=True))
            except ObjectExists:  # this task is run again
                known = self._metadata()
                upload = replace(upload, version=known[VERSION], first=int(known[_FIRST]))
        return SharedUpload(self, upload)

    def put(self, upload: ChunkUpload, options: WriteOptions, **more: str) -> None:
        """Write down what the upload's tasks agree on."""
        metadata = {VERSION: upload.version, _FIRST: str(upload.first), **more}
        self.folder.backend.put(self.key, _EXPLANATION, metadata, options)

    def give_up(self) -> None:
        """Remove what tasks have sent, and have those that still run remove theirs.

        The error that tells why is the one before: what goes wrong here is logged.
        """
        with logging_failures(), suppress(ObjectNotFound):  # it never began, or all is done
            self._dismiss()

    def _dismiss(self) -> None:
        known = self._metadata()
        if _PUBLISHING in known:
            return  # the table may stand, and needs its chunks
        version = known[VERSION]
        _SENDERS.dismiss(version)
        self.remove()
        _SENDERS.wait(version)
        remove_chunks(self.folder, version)

    def remove(self) -> None:
        """Nothing is under way any more."""
        self.folder.backend.delete([self.key])

    def _metadata(self) -> dict[str, str]:
        return lowered(self.folder.backend.stat(self.key).metadata)


@dataclass(frozen=True)
class SharedUpload:
    """One upload of an array in chunks, as dask's tasks share it; pickles.

    Attributes
    ----------
    mark : Mark
    upload : ChunkUpload
    """

    mark: Mark
    upload: ChunkUpload

    def send(self, number: int, chunk: object) -> Sent:
        """Store a chunk; where it lies then.

        Raises
        ------
        ObjectChanged
            If the upload was given up meanwhile.
        """
        with self.mark.folder.named(), _SENDERS.one_more(self.upload.version) as allowed:
            if not allowed:
                raise self._given_up()
            key, shape = self.upload.send(number, chunk)
            if not self._goes_on():
                self._take_back(key)
                raise self._given_up()
            return key, shape

    def publish(self, chunks: Chunks, sent: Sequence[Sent]) -> Receipt:
        """Write the table; see `ChunkUpload.prepare` and `ChunkUpload.publish`.

        Raises
        ------
        ObjectChanged
            If the upload was given up meanwhile.
        """
        with self.mark.folder.named():
            return self._publish(chunks, sent)

    def _publish(self, chunks: Chunks, sent: Sequence[Sent]) -> Receipt:
        if not self._goes_on():
            raise self._given_up()
        prepared = self.upload.prepare(chunks, sent)
        self.mark.put(self.upload, WriteOptions(acl=self.upload.format.acl), **{_PUBLISHING: "True"})
        try:
            receipt = self.upload.publish(prepared)
        except TransientError:
            raise  # the table may stand: so does the mark, for this task may be run again
        except BaseException:
            self.mark.remove()
            raise
        self.mark.remove()
        return receipt

    def _take_back(self, key: str) -> None:
        if self.mark.folder.version_at(key) == self.upload.version:
            self.mark.folder.backend.delete([key])

    def _goes_on(self) -> bool:
        """Whether the upload is under way, or done: a task may end, or be run again, after that."""
        folder, version = self.mark.folder, self.upload.version
        if folder.version_at(self.mark.key) == version:
            return True
        table = folder.current()
        return table is not None and table.version == version

    def _given_up(self) -> ObjectChanged:
        where = self.mark.folder.describe()
        return ObjectChanged(f"{where}: this upload failed, and was cleaned up: upload the array again")

"""An upload whose chunks are sent by tasks that nobody can call back: on dask's threads, or on a cluster.

A task may be run twice, and may go on after its upload failed and was cleaned up. So a mark lies beside the chunks
while the upload is under way. It holds what all tasks agree on, so that one that is run again finds it; and a task that
finds the mark gone, once its chunk is stored, takes that chunk back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cottoncandy.arrayformat import lowered
from cottoncandy.backends.base import Receipt, WriteOptions
from cottoncandy.chunkedarrays.folder import ChunkFolder
from cottoncandy.chunkedarrays.table import VERSION, mark_name
from cottoncandy.chunkedarrays.upload import ChunkFormat, ChunkUpload, Sent, remove_chunks
from cottoncandy.chunking import Chunks
from cottoncandy.errors import ObjectChanged, ObjectExists, ObjectNotFound, TransientError

_EXPLANATION = (
    b"The array in this folder is being uploaded. If this has lain here for days, the upload was broken off.\n"
)
# Metadata keys of the mark. Where the second is set the table may stand, and needs its chunks.
_FIRST, _PUBLISHING = "first", "publishing"


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
        """Remove what tasks have sent, and have those that still run remove theirs."""
        try:
            known = self._metadata()
        except ObjectNotFound:
            return  # it never began, or all is done
        if _PUBLISHING in known:
            return  # the table may stand, and needs its chunks
        self.remove()
        remove_chunks(self.folder, known[VERSION])

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

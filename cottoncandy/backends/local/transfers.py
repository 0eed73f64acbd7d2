"""One object on its way out of or into a directory."""

from __future__ import annotations

import io
from collections.abc import Mapping

from cottoncandy.backends import ending
from cottoncandy.backends.base import BytesLike, MultipartUpload, ObjectHead, ObjectReader, Receipt
from cottoncandy.backends.local.door import translated
from cottoncandy.backends.local.pair import Draft, encoded
from cottoncandy.errors import ObjectChanged


class LocalReader(ObjectReader):
    """The bytes of one version of an object: they stay within reach though it be replaced or removed."""

    def __init__(self, file: io.FileIO, head: ObjectHead, start: int, stop: int | None, where: str) -> None:
        self.head = head
        self.start = min(start, head.size)
        self.stop = max(self.start, head.size if stop is None else min(stop, head.size))
        self._file, self._where = file, where
        self._position = file.seek(self.start)

    def readinto(self, buffer: memoryview) -> int:
        wanted = buffer[: self.stop - self._position]
        if not wanted:
            return 0
        with translated(self._where):
            count = self._file.readinto(wanted)
        if not count:
            raise ObjectChanged(f"{self._where} was cut short while it was read: read it again")
        self._position += count
        return count

    def close(self) -> None:
        self._file.close()


class LocalUpload(MultipartUpload):
    """Parts that are appended to a file; they come one after the other."""

    def __init__(self, draft: Draft, metadata: Mapping[str, str], where: str) -> None:
        self._metadata, self._draft, self._where = encoded(metadata), draft.create(), where
        self._parts = 0

    def send_part(self, number: int, body: BytesLike, start: int | None = None) -> None:
        if number != self._parts + 1:
            raise ValueError(f"{self._where}: part {number} after part {self._parts}: send them in order, each once")
        with translated(self._where):
            self._draft.write(body)
        self._parts = number

    def complete(self) -> Receipt:
        with translated(self._where):
            version = self._draft.publish(self._metadata)
        ending.ended(self)
        return receipt(version)

    def abort(self) -> None:
        with ending.once(self), translated(self._where):
            self._draft.discard()


def receipt(version: str | None = None) -> Receipt:
    """What a write answers, in the shape of boto3's."""
    answer: Receipt = {"ResponseMetadata": {"HTTPStatusCode": 200}}
    return answer if version is None else {"ETag": version, **answer}

"""Bytes on their way down, held to one version of the file.

Drive has no "only if it is still this version" on a read of bytes. So what was read is compared with the file's
checksum when all of it was read, and else the file is asked for again after the last byte: content that was the same
before and after was the same in between.
"""

from __future__ import annotations

import io
import re

from cottoncandy.backends.base import ObjectHead, ObjectReader
from cottoncandy.backends.gdrive.api import Api
from cottoncandy.backends.gdrive.errors import wait_for
from cottoncandy.backends.gdrive.files import DriveFile
from cottoncandy.backends.gdrive.uploads import new_md5
from cottoncandy.backends.gdrive.wire import Answer
from cottoncandy.errors import ChecksumMismatch, ObjectChanged, TransientError

_SIZE = re.compile(r"bytes \d+-\d+/(\d+)")


def _size(answer: Answer) -> int | None:
    """How many bytes the file has by now, where the answer tells."""
    if answer.status == 200:
        length = answer.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None
    match = _SIZE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None


class BytesReader(ObjectReader):
    """What is in memory already."""

    def __init__(self, head: ObjectHead, start: int, data: bytearray) -> None:
        self.head = head
        self.start, self.stop = start, start + len(data)
        self._file = io.BytesIO(data)

    def readinto(self, buffer: memoryview) -> int:
        """Fill (a part of) the buffer."""
        return self._file.readinto(buffer)

    def close(self) -> None:
        """Free the memory."""
        self._file = io.BytesIO()


class DriveReader(ObjectReader):
    """A range of a file; where the connection breaks, it goes on from that byte.

    Parameters
    ----------
    api : Api
    file : DriveFile
        As it was just before.
    head : ObjectHead
    start, stop : int
        Within the file, and not empty.
    where : str
        How an error names the object.
    """

    def __init__(self, api: Api, file: DriveFile, head: ObjectHead, start: int, stop: int, where: str) -> None:
        self._api = api
        self._file = file
        self._where = where
        self.head = head
        self.start, self.stop = start, stop
        self._position = start
        self._digest = new_md5() if file.md5 and stop - start == file.size else None
        self._retries = api.settings.retry.start(where)
        self._answer: Answer | None = self._opened()

    def _opened(self) -> Answer:
        answer = self._api.media(self._file, self._position, self.stop, self._where)
        if _size(answer) not in {None, self._file.size}:
            answer.close()
            raise self._changed()
        return answer

    def readinto(self, buffer: memoryview) -> int:
        """Fill (a part of) the buffer.

        Raises
        ------
        ObjectChanged
            With the last byte at the latest, if they are not all of the file's version in `head`.
        ChecksumMismatch, TransientError
        """
        view = buffer[: self.stop - self._position]
        if not len(view):
            return 0
        count = self._read(view)
        self._position += count
        self._retries.progressed(count)
        if self._digest is not None:
            self._digest.update(view[:count])
        if self._position == self.stop:
            self._verify()
        return count

    def _read(self, view: memoryview) -> int:
        while True:
            try:
                self._answer = self._answer or self._opened()
                return self._answer.readinto(view)
            except TransientError as error:
                self.close()
                wait_for(self._retries, error, self._api.settings)

    def _verify(self) -> None:
        if self._digest is not None and self._digest.hexdigest() == self._file.md5:
            return
        if self._api.get(self._file.id, self._where).e_tag != self._file.e_tag:
            raise self._changed()
        if self._digest is not None:
            raise ChecksumMismatch(f"{self._where}: other bytes arrived than Google Drive has: read it again")

    def _changed(self) -> ObjectChanged:
        return ObjectChanged(f"{self._where} was replaced while it was read: read it again")

    def close(self) -> None:
        """Give the connection back."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

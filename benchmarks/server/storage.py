"""Objects as files.

A file begins with a header: its length in 4 bytes, then JSON with the headers that were sent with the object and the
places of its parts. The bytes of a plain object follow at 4 KiB. Those of part N of a multipart upload lie N GiB from
the start: the file has holes, which take no room, and completing an upload moves no byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from benchmarks.server.errors import S3Error

_HEADER = 4096
#: The largest part of a multipart upload here. Amazon's own is 5 GiB; 10,000 of these still are a file that
#: ext4 (16 TiB at most) can have.
SLOT = 1 << 30
#: Of a file name, on nearly every file system.
_LONGEST_NAME = 255

Span = tuple[int, int]


@dataclass(frozen=True)
class StoredObject:
    """An object that is open for reading.

    Attributes
    ----------
    headers : Mapping
        As they were sent with it.
    spans : sequence of (int, int)
        Where its bytes lie: offset in the file, and length.
    """

    file: int
    headers: Mapping[str, str]
    spans: Sequence[Span]
    status: os.stat_result

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(size for _, size in self.spans)

    @property
    def etag(self) -> str:
        """See `etag_of`."""
        return etag_of(self.status)

    def between(self, start: int, end: int) -> Iterator[Span]:
        """Where the bytes of a range lie."""
        for offset, size in self.spans:
            first, last = max(start, 0), min(end, size)
            if first < last:
                yield offset + first, last - first
            start, end = start - size, end - size


def etag_of(status: os.stat_result) -> str:
    """An entity tag: another version of an object is another file. The dash says that it is no MD5."""
    return f'"{status.st_ino:x}-{status.st_mtime_ns:x}"'


class Storage:
    """Buckets as directories of one folder, which several processes share.

    Parameters
    ----------
    folder : Path
        On a file system in memory, if the disk is not to be measured.
    """

    def __init__(self, folder: Path) -> None:
        self._buckets = folder / "buckets"
        self._uploads = folder / "uploads"
        self._buckets.mkdir(exist_ok=True)
        self._uploads.mkdir(exist_ok=True)

    # ------------------------------------------------------------------ buckets
    def create_bucket(self, bucket: str) -> None:
        """Make a bucket, if there is none of the name."""
        (self._buckets / bucket).mkdir(exist_ok=True)

    def bucket(self, bucket: str) -> str:
        """The directory of a bucket."""
        path = f"{self._buckets}/{bucket}"
        if not os.path.isdir(path):  # noqa: PTH112 - each request comes by here
            raise S3Error(404, "NoSuchBucket", bucket)
        return path

    def _path(self, bucket: str, key: str) -> str:
        # no name of a file that does not come from here begins with a quoted dot
        name = quote(key, safe="").replace(".", "%2E")
        if len(name) > _LONGEST_NAME:
            raise S3Error(400, "KeyTooLongError", key)
        return f"{self._buckets}/{bucket}/{name}"

    def names(self, bucket: str) -> list[str]:
        """The keys of a bucket, in order."""
        return sorted(map(unquote, os.listdir(self.bucket(bucket))))  # noqa: PTH208

    # ------------------------------------------------------------------ objects
    @contextlib.contextmanager
    def open(self, bucket: str, key: str) -> Iterator[StoredObject]:
        """Open an object; while it is open, it stays as it is."""
        try:
            file = os.open(self._path(bucket, key), os.O_RDONLY)
        except FileNotFoundError:
            self.bucket(bucket)
            raise S3Error(404, "NoSuchKey", key) from None
        try:
            yield _read(file)
        finally:
            os.close(file)

    def status(self, bucket: str, key: str) -> os.stat_result | None:
        """What the file system knows of an object; None where there is none."""
        try:
            return os.stat(self._path(bucket, key))  # noqa: PTH116
        except FileNotFoundError:
            return None

    def size(self, bucket: str, key: str, status: os.stat_result) -> int:
        """The length of an object, which is opened only where the file's own length does not tell."""
        if status.st_size <= SLOT:
            return max(0, status.st_size - _HEADER)
        with self.open(bucket, key) as stored:
            return stored.size

    @contextlib.contextmanager
    def create(self, bucket: str, key: str) -> Iterator[Writer]:
        """Write an object; it is there when the block ends well, as a whole."""
        self.bucket(bucket)
        path = f"{self._uploads}/{uuid.uuid4().hex}"
        writer = Writer(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), _HEADER)
        try:
            yield writer
            writer.finish([(_HEADER, writer.size)])
            os.rename(path, self._path(bucket, key))  # noqa: PTH104
        except BaseException:
            os.unlink(path)  # noqa: PTH108
            raise
        finally:
            os.close(writer.file)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(bucket, key))  # noqa: PTH108

    # ------------------------------------------------------------------ multipart uploads
    def begin_upload(self, headers: Mapping[str, str]) -> str:
        """Begin an upload; gives its name."""
        name = uuid.uuid4().hex
        file = os.open(self._uploads / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            Writer(file, 0, headers).finish([])
        finally:
            os.close(file)
        return name

    @contextlib.contextmanager
    def open_upload(self, name: str) -> Iterator[int]:
        """The file of an upload."""
        if not name.isalnum():
            raise S3Error(404, "NoSuchUpload", name)
        try:
            file = os.open(self._uploads / name, os.O_RDWR)
        except FileNotFoundError:
            raise S3Error(404, "NoSuchUpload", name) from None
        try:
            yield file
        finally:
            os.close(file)

    @contextlib.contextmanager
    def write_part(self, name: str, number: int) -> Iterator[Writer]:
        """Write a part of an upload."""
        with self.open_upload(name) as file:
            yield Writer(file, number * SLOT)

    def complete_upload(self, name: str, bucket: str, key: str, spans: Sequence[Span]) -> str:
        """Make an object of the parts of an upload; gives its entity tag."""
        with self.open_upload(name) as file:
            Writer(file, 0, _read(file).headers).finish(spans)
            os.rename(self._uploads / name, self._path(bucket, key))  # noqa: PTH104
            return etag_of(os.fstat(file))

    def abort_upload(self, name: str) -> None:
        """Forget an upload."""
        with self.open_upload(name):
            (self._uploads / name).unlink(missing_ok=True)


class Writer:
    """Writes bytes one after the other, from a place in a file on."""

    def __init__(self, file: int, offset: int, headers: Mapping[str, str] | None = None) -> None:
        self.file = file
        self.headers = headers or {}
        self.size = 0
        self._offset = offset

    def write(self, piece: memoryview) -> None:
        """Write a piece behind those before it."""
        if self._offset >= SLOT and self.size + len(piece) > SLOT:
            raise S3Error(400, "EntityTooLarge", f"a part has at most {SLOT} bytes here")
        while len(piece):
            written = os.pwrite(self.file, piece, self._offset + self.size)
            self.size += written
            piece = piece[written:]

    def finish(self, spans: Sequence[Span]) -> None:
        """Write the header."""
        header = json.dumps({"headers": dict(self.headers), "spans": spans}).encode()
        if spans and 4 + len(header) > spans[0][0]:
            raise S3Error(400, "MetadataTooLarge", f"{len(header)} bytes of headers")
        os.pwrite(self.file, struct.pack("<I", len(header)) + header, 0)


def _read(file: int) -> StoredObject:
    start = os.pread(file, _HEADER, 0)
    (length,) = struct.unpack_from("<I", start)
    text = start[4 : 4 + length] if length <= _HEADER - 4 else os.pread(file, length, 4)
    header = json.loads(text)
    return StoredObject(file, header["headers"], header["spans"], os.fstat(file))

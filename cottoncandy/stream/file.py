"""An object as a binary file."""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from cottoncandy.backends.base import MIB, Backend
from cottoncandy.stream.pages import LARGEST_READ, PAGE, Pages
from cottoncandy.stream.settings import TransferSettings
from cottoncandy.stream.source import ObjectSource

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What opening a file brings at most: most headers, and all of many a file. Of what is not read little is on its way.
_FIRST = 1 * MIB
# Bytes that are read at a time where all is read: enough for several connections.
_PIECE = 64 * MIB


class _ObjectFile(io.RawIOBase):
    """The unbuffered file over a source: what `CloudStream` buffers."""

    def __init__(self, source: ObjectSource, threads: int) -> None:
        super().__init__()
        self.source = source
        self.threads = threads
        self.name = source.key
        self._pages = Pages(source, threads)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.source.head.size}
        if whence not in base:
            raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        if base[whence] + offset < 0:
            raise ValueError(f"cannot seek to {base[whence] + offset}: a position is not negative")
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.source.head.size - self._position))
        if count > LARGEST_READ:
            self.source.fill(self._position, view[:count], self.threads)
        else:
            self._pages.read(self._position, view[:count])
        self._position += count
        return count

    def readall(self) -> bytes:
        # BytesIO hands its own memory over as bytes: no second copy of a large object
        gathered = io.BytesIO()
        while (rest := self.source.head.size - self._position) > 0:
            # of its own: a BytesIO cannot grow while a failure that was overcome still holds a view of it somewhere;
            # and a size that is a lie must not exhaust the memory
            piece = np.empty(min(rest, _PIECE), np.uint8).data
            self.readinto(piece)
            gathered.write(piece)
        return gathered.getvalue()

    def close(self) -> None:
        if not self.closed:
            self.source.close()
        super().close()


class CloudStream(io.BufferedReader):
    """An object of the store as a readable, seekable binary file.

    `numpy.load`, `pandas.read_csv`, ``h5py.File`` and others that take a binary file take it. Large reads go
    straight into the reader's memory, in ranges over several connections. Small ones come from pages of 128 KiB, which
    are kept for a while, and read ahead while the reads go on in a row. All that is read is of one version: if the
    object is replaced meanwhile, `ObjectChanged` is raised.

    Parameters
    ----------
    backend : Backend
    key : str
        A clean object name.
    settings : TransferSettings
    threads : int, optional
        Connections for large reads.
    first : int, optional
        How many bytes the opening request brings at most, 1 MiB by default.

    Attributes
    ----------
    metadata : dict of str to str
        The user metadata, as the store gives it back.
    content : CloudStream
        The stream itself: scripts that read ``stream.content`` find the bytes there.
    size : int
        Bytes.
    e_tag : str or None
        The version.

    Raises
    ------
    ObjectNotFound
    """

    def __init__(
        self,
        backend: Backend,
        key: str,
        settings: TransferSettings,
        threads: int | None = None,
        first: int = _FIRST,
    ) -> None:
        self._source = ObjectSource(backend, key, settings, first)
        self._threads = threads or settings.threads
        super().__init__(_ObjectFile(self._source, self._threads), buffer_size=PAGE)

    @property
    def metadata(self) -> dict[str, str]:
        """The user metadata of the object."""
        return dict(self._source.head.metadata)

    def parts(self) -> Generator[memoryview, None, None]:
        """All bytes from the beginning, a part at a time; the next parts are on their way meanwhile."""
        return self._source.parts(self._threads)

    def fill(self, view: memoryview) -> None:
        """Read all bytes into memory of exactly their number, over several connections."""
        self._source.fill(0, view, self._threads)

    @property
    def content(self) -> CloudStream:
        """The bytes: the stream itself."""
        return self

    @property
    def size(self) -> int:
        """Bytes of the whole object."""
        return self._source.head.size

    @property
    def e_tag(self) -> str | None:
        """The version of the object that is read."""
        return self._source.head.e_tag

    def __repr__(self) -> str:
        if not hasattr(self, "_source"):  # a traceback that shows variables, of an object that could not be opened
            return "<cottoncandy.CloudStream>"
        return f"<cottoncandy.CloudStream {self._source.backend.describe(self._source.key)}, {self.size} bytes>"

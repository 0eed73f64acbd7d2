"""An object as a binary file."""

from __future__ import annotations

import gc
import io
import traceback
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cottoncandy.backends.base import MIB, Backend, ObjectHead
from cottoncandy.parallel import number_of_threads
from cottoncandy.stream.pages import LARGEST_READ, PAGE, Pages
from cottoncandy.stream.settings import TransferSettings
from cottoncandy.stream.source import ObjectSource

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What opening a file brings at most: most headers, and all of many a file. Of what is not read little is on its way.
_FIRST = 1 * MIB
# Memory that is taken at first where all is read.
_LEAST_TAKEN = 128 * MIB


class _ObjectFile(io.RawIOBase):
    """The unbuffered file over a source: what `CloudStream` buffers."""

    def __init__(self, source: ObjectSource, threads: int) -> None:
        super().__init__()
        self.source = source
        self.threads = threads
        self.name, self.mode = source.key, "rb"
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
            done = gathered.tell()
            # a size that is a lie must not exhaust the memory: no more is taken than came already, and some
            count = min(rest, done + _LEAST_TAKEN)
            gathered.seek(done + count - 1)
            gathered.write(b"\0")
            with gathered.getbuffer() as view:
                try:
                    self.readinto(view[done:])
                except BaseException as error:
                    _clear_variables(error)
                    raise
            _free_views(gathered)
        return gathered.getvalue()

    def close(self) -> None:
        if not self.closed:
            self.source.close()
        super().close()


def _clear_variables(error: BaseException | None) -> None:
    """Take the views out of what a failure has passed: the garbage collector takes a BytesIO with views on it badly."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _free_views(gathered: io.BytesIO) -> None:
    """See to it that nobody holds a view of it, so that it can grow.

    A failure that was overcome may be left in a circle, with the variables of all that it passed.
    """
    try:
        gathered.truncate()  # at its end; refused where there is a view
    except BufferError:
        gc.collect()


class CloudStream(io.BufferedReader):
    """An object of the store as a readable, seekable binary file.

    `numpy.load`, `pandas.read_csv`, ``h5py.File`` and others that take a binary file take it. Large reads go
    straight into the reader's memory, in ranges over several connections. Small ones come from pages of 128 KiB, which
    are kept for a while, and read ahead while the reads go on in a row. All that is read is of one version: if the
    object is replaced meanwhile, `ObjectChanged` is raised. A pickle of it, as libraries send to other processes, opens
    the same version again where it arrives, and stands at the same byte.

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
    head : ObjectHead, optional
        Read only this version.

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
        *,
        head: ObjectHead | None = None,
    ) -> None:
        self._threads, count = threads, number_of_threads(threads, settings.threads)
        opened = None if head is None else backend.open_version(head, 0, first)
        self._source = ObjectSource(backend, key, settings, first, opened=opened)
        super().__init__(_ObjectFile(self._source, count), buffer_size=PAGE)

    @property
    def metadata(self) -> dict[str, str]:
        """The user metadata of the object."""
        return dict(self._source.head.metadata)

    def parts(self) -> Generator[memoryview, None, None]:
        """All bytes from the beginning, a part at a time; what comes next is on its way meanwhile."""
        return self._source.parts(self._threads)

    def fill(self, view: memoryview) -> None:
        """Read all bytes into memory of exactly their number, over several connections."""
        self._source.fill(0, view, self._threads or self._source.settings.threads)

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

    def __reduce__(self) -> tuple[Any, ...]:
        source = self._source
        if self.closed:
            raise ValueError(f"{source.where}: the file is closed, and does not travel")
        version = replace(source.head, metadata={})  # which is read again
        return _reopened, (source.backend, source.settings, self._threads, version, self.tell())

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()  # a BufferedReader has one of its own, which refuses

    def __repr__(self) -> str:
        if not hasattr(self, "_source"):  # a traceback that shows variables, of an object that could not be opened
            return "<cottoncandy.CloudStream>"
        return f"<cottoncandy.CloudStream {self._source.backend.describe(self._source.key)}, {self.size} bytes>"


def _reopened(
    backend: Backend, settings: TransferSettings, threads: int | None, version: ObjectHead, position: int
) -> CloudStream:
    """Give what was pickled."""
    stream = CloudStream(backend, version.key, settings, threads, head=version)
    stream.seek(position)
    return stream

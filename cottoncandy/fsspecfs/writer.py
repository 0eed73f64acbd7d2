"""An object as a binary file to write."""

from __future__ import annotations

import io
import logging
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import fsspec.transaction

from cottoncandy import forks, partsizes
from cottoncandy.allornothing import give_up
from cottoncandy.backends.base import MIB, Backend, MultipartUpload, WriteOptions
from cottoncandy.errors import NotSupported
from cottoncandy.pools import Call
from cottoncandy.stream import TransferSettings

if TYPE_CHECKING:
    from typing_extensions import Buffer

log = logging.getLogger(__name__)

# Bytes that are gathered before they are sent.
_PART = 8 * MIB
# Bytes of such parts that are on their way at a time, however many threads are configured; the file gathers one more.
_MOST_GATHERED = 32 * MIB


class Discardable(io.BufferedIOBase):
    """A file whose content counts when it is closed, and that can be thrown away before."""

    def discard(self) -> None:
        """Throw away what was written, and close the file."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # a file that nobody closed was not finished by anybody; a file's own would store it now
        # at the interpreter's end its upload has been aborted already, and half of what a request needs is gone
        if not self.closed and not sys.is_finalizing():
            self.discard()


class Transaction(fsspec.transaction.Transaction):  # type: ignore[misc] # fsspec has no type hints
    """One that is over in any case: releases of fsspec before 2026 keep what a commit that failed has left for ever."""

    def complete(self, commit: bool = True) -> None:
        """Commit all that was written, or throw it away; what comes behind one that fails is thrown away."""
        filesystem = self.fs
        try:
            super().complete(commit)
        finally:
            while self.files:
                self.files.popleft().discard()
            filesystem._intrans, filesystem._transaction = False, None  # noqa: SLF001 - as its own releases do


class ObjectWriter(Discardable):
    """An object on its way up as it is written: the whole of it is seen when the file is closed, or nothing ever.

    Full parts go up in threads meanwhile; memory holds a few of them. What is left by an error (in a ``with`` block),
    or never closed, is thrown away.

    A process that was forked since does not have it: there it can be closed, by an error, and nothing else. What its
    parent has under way stays as it is.

    Parameters
    ----------
    backend : Backend
    key : str
        A clean object name.
    settings : TransferSettings
    options : WriteOptions
    autocommit : bool
        False leaves it to `commit` to make the object seen, after the file was closed.
    """

    def __init__(
        self,
        backend: Backend,
        key: str,
        settings: TransferSettings,
        options: WriteOptions = WriteOptions(),
        *,
        autocommit: bool = True,
    ) -> None:
        super().__init__()
        self.name, self.mode = key, "wb"
        self._backend, self._key, self._options, self._autocommit = backend, key, options, autocommit
        self._threads = settings.threads if backend.limits.parallel_parts else 1
        self._sizes = partsizes.growing_part_sizes(min(settings.upload_part, _PART), backend.limits)
        self._size, self._part, self._position = next(self._sizes), bytearray(), 0
        self._number, self._sent = 0, 0
        self._is_discarded = False
        self._generation = forks.generation()
        self._upload: MultipartUpload | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[Call[None]] = deque()

    def writable(self) -> bool:
        """Tell that it can be written: True."""
        return True

    def tell(self) -> int:
        """Count the bytes written so far."""
        return self._position

    def write(self, data: Buffer) -> int:
        """Write bytes; full parts are sent.

        Raises
        ------
        CottonCandyError
            If an earlier part could not be sent: the file is closed then, and nothing of it was stored.
        NotSupported
            In a process that was forked since it was opened.
        """
        if self.closed:
            raise ValueError(f"{self._backend.describe(self._key)}: the file is closed")
        view = memoryview(data)
        rest = view.cast("B") if view.nbytes else memoryview(b"")
        with self._all_or_nothing():
            self._require_own()
            while rest:
                room = self._size - len(self._part)
                self._part += rest[:room]
                rest = rest[room:]
                if len(self._part) == self._size:
                    self._send_part()
        self._position += view.nbytes
        return view.nbytes

    def _send_part(self) -> None:
        if self._upload is None:
            self._upload = self._backend.start_upload(self._key, {}, self._options)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="cottoncandy")
        while len(self._pending) >= partsizes.at_a_time(self._threads, len(self._part), _MOST_GATHERED):
            self._pending.popleft().result()
        self._number += 1
        self._pending.append(Call(self._pool, partial(self._upload.send_part, self._number, self._part, self._sent)))
        self._sent += len(self._part)
        self._part, self._size = bytearray(), next(self._sizes)

    def close(self) -> None:
        """Send the rest, and make the object seen."""
        if self.closed:
            return
        if self._autocommit:
            self.commit()
        super().close()

    def commit(self) -> None:
        """Make the object seen: what closing does, unless it was opened in a transaction.

        A transaction commits all that was opened in it: of that, what was closed, and was not thrown away.
        """
        if self._is_discarded:
            return
        if not (self._autocommit or self.closed):
            log.warning("%s is not stored: nobody closed the file", self._backend.describe(self._key))
            self.discard()
            return
        with self._all_or_nothing():
            self._require_own()
            if self._upload is None:
                self._backend.put(self._key, self._part, {}, self._options)
                return
            if self._part:
                self._send_part()
            while self._pending:
                self._pending.popleft().result()
            self._upload.complete()
            self._stop()

    def discard(self) -> None:
        """Throw away what was written, and close the file. No error is raised for what cannot be removed."""
        self._is_discarded = True
        if self._is_own:
            for call in self._pending:
                call.cancel()
            self._stop()
            if self._upload is not None:
                give_up(self._upload, self._backend.describe(self._key))
        self._pending.clear()
        self._part, self._upload, self._pool = bytearray(), None, None
        super().close()

    @property
    def _is_own(self) -> bool:
        """Whether this process opened it: what is under way is its parent's else, and the threads are there."""
        return self._generation == forks.generation()

    def _require_own(self) -> None:
        if not self._is_own:
            raise NotSupported(
                f"{self._backend.describe(self._key)}: the file was opened before this process was forked, and is "
                "written by its parent: open another one here"
            )

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # Ctrl-C as well
            self.discard()
            raise


class TextWriter(io.TextIOWrapper):
    """Text over a file that can be discarded: what is left by an error, or never closed, is thrown away."""

    def close(self) -> None:
        """Hand on the last characters, and close the file below: where that fails, nothing is stored."""
        if not self.closed:
            try:
                self.flush()
            except BaseException:  # Ctrl-C as well: a text's own `close` closes the file below all the same
                self.buffer.discard()  # type: ignore[attr-defined] # a Discardable
                raise
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.buffer.discard()  # type: ignore[attr-defined] # a Discardable
        self.close()

    def __del__(self) -> None:
        with suppress(ValueError):  # one that was detached has no buffer
            if not self.closed and not sys.is_finalizing():
                self.buffer.discard()  # type: ignore[attr-defined]


class Compressor(Discardable):
    """A compressing file and the object below it, as one: closed together, discarded together.

    Parameters
    ----------
    packer : file
        The compressing file; it writes into ``target``.
    target : ObjectWriter
    """

    def __init__(self, packer: Any, target: ObjectWriter) -> None:
        super().__init__()
        self._packer, self._target = packer, target
        self.name, self.mode = target.name, target.mode

    def writable(self) -> bool:
        """Tell that it can be written: True."""
        return True

    def write(self, data: Buffer) -> int:
        """Compress bytes into the object: where that fails, nothing is stored."""
        try:
            count: int = self._packer.write(data)
        except BaseException:  # Ctrl-C as well: some of them may be in it
            self.discard()
            raise
        return count

    def close(self) -> None:
        """Compress the rest, and make the object seen."""
        if not self.closed:
            try:
                self._packer.close()
            except BaseException:
                self._target.discard()
                raise
            finally:
                super().close()
            self._target.close()

    def discard(self) -> None:
        """Throw away what was written."""
        self._target.discard()
        with suppress(ValueError):  # it writes its last bytes into a closed file
            self._packer.close()
        super().close()

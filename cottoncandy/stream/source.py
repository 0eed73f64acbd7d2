"""Receiving: one version of an object, in ranges, by threads, into the caller's memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from mmap import mmap
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from cottoncandy import forks, partsizes, progress
from cottoncandy.backends.base import MIB, Backend, ObjectHead, ObjectReader
from cottoncandy.backends.encrypted.mark import refuse_encrypted
from cottoncandy.buffers import BufferPool
from cottoncandy.errors import TransientError, WrongKey
from cottoncandy.parallel import for_each, number_of_threads
from cottoncandy.pools import map_threads
from cottoncandy.resuming import read_resuming
from cottoncandy.stream.settings import TransferSettings
from cottoncandy.waits import Waits

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

# Bytes of a part that is handed on and thrown away: the least and the most of one for which a request is sent, and of
# one that is read from an answer that is there. And such a share of an object, so that all together are few per cent of
# the array: of the parts that threads ask for, and of the one that is read.
_ASKED = (MIB // 2, 2 * MIB)
_READ = (MIB // 4, MIB)
_ASKED_OF = 32
_READ_OF = 128
# Threads that ask for parts, though the least ones come to more of a small object; and the share of more of them that a
# caller asked for, who waits long for each answer, and has the memory.
_FEW = 4
# Bytes of a range that is worth a request of its own; and of one that is read in parts.
_LEAST_RANGE = 8 * MIB
_MOST_RANGE = 32 * MIB
# Bytes that are read before they are looked at: they are in the processor's cache then.
_HOT = 1 * MIB
# Bytes of an object from which on it comes by way of the cache. Smaller arrays often lie where others were: 16 MB came
# as fast straight.
_COLD = 64 * MIB

#: Is told, by whichever thread reads them, that bytes ``start <= i < stop`` of the object stand in the memory. For a
#: range that grows it is called again and again, with the same start.
Watch = Callable[[int, int], None]

# Where a range starts and stops, and the answer that brings it, where there is one already.
_Job = tuple[int, int, "ObjectReader | None"]


class ObjectSource:
    """One version of an object, readable in any order and by many threads.

    Parameters
    ----------
    backend : Backend
    key : str
    settings : TransferSettings
    first : int, optional
        How many bytes the opening request brings at most; ``settings.opening`` by default.
    start : int
        Where the opening request begins.
    e_tag : str, optional
        Read only this version; by default the one that the opening request finds.
    opened : ObjectReader, optional
        The answer to the opening request, where it is there already (`Backend.begin_open`).

    Attributes
    ----------
    head : ObjectHead
        Size, metadata and e_tag of the version that all reads are held to.
    where : str
        How errors name the object.
    """

    def __init__(
        self,
        backend: Backend,
        key: str,
        settings: TransferSettings,
        first: int | None = None,
        *,
        start: int = 0,
        e_tag: str | None = None,
        opened: ObjectReader | None = None,
    ) -> None:
        self.backend = backend
        self.key = key
        self.where = backend.describe(key)
        self.settings = settings
        stop = start + (settings.opening if first is None else first)
        self._reader: ObjectReader | None = opened or backend.open(key, start, stop, e_tag=e_tag)
        # of a server that knows no ranges each further request would bring the whole object
        self._comes_whole = self._reader.extend()
        self._position = self._reader.start
        self._generation = forks.generation()
        self.head: ObjectHead = self._reader.head
        try:
            refuse_encrypted(backend, self.head)
        except WrongKey:
            self.close()
            raise

    def fill(self, start: int, view: memoryview, threads: int, watch: Watch | None = None) -> None:
        """Read ``len(view)`` bytes from ``start`` on into the view, in ranges over several threads."""
        self._leave_to_parent()
        if len(view) < progress.LEAST and self._take(start, view):
            return
        jobs = list(self._jobs(start, start + len(view), threads))
        if len(jobs) == 1 and len(view) < progress.LEAST:
            self._read(start, view, jobs[0][2], watch)
            return

        def read(job: _Job) -> None:
            self._read(job[0], view[job[0] - start : job[1] - start], job[2], watch)

        with self.settings.progress.transfer("download", self.key, len(view)):
            for_each(read, jobs, min(threads, len(jobs)) if self.backend.limits.ranges else 1)

    def _take(self, start: int, view: memoryview) -> bool:
        """Fill the view where all of it came with the opening answer, and nobody counts bytes."""
        reader = self._reader
        if reader is None or start != self._position or progress.current() is not None or not reader.take(view):
            return False
        self._reader = None
        return True

    def parts(self, threads: int | None) -> Generator[memoryview, None, None]:
        """All bytes in order, up to some MiB at a time.

        As long as one connection keeps up, the caller that takes the parts reads it: what comes meanwhile waits in the
        kernel. Else several bring the rest.

        Memory: a few parts, whatever the size of the object; where the caller names the number of threads, as many.

        Parameters
        ----------
        threads : int or None
            None for as many of those that are configured as few per cent of the object are enough for.
        """
        buffers, waits, start, size = BufferPool(), Waits(), 0, self.head.size
        count, share = self._at_a_time(threads)
        self._leave_to_parent()
        reader, generation = self._opening_answer(), forks.generation()
        try:
            while start < size and (reader is not None or count <= 1 or waits.are_few):
                if generation != forks.generation():
                    reader, generation = None, forks.generation()  # the parent reads that one on
                with waits:
                    reader = reader or self._answer_from(start)
                    part = buffers.take(min(_within(size // _READ_OF, _READ), reader.stop - start))
                    reader = self._read_on(reader, start, part)
                start += len(part)
                yield part
                del part  # its memory takes another one
        finally:
            if reader is not None:
                reader.close()
        jobs = ((start + low, start + high, None) for low, high in partsizes.spans(size - start, share))
        yield from map_threads(partial(self._part, buffers), jobs, count, window=count)

    def _at_a_time(self, threads: int | None) -> tuple[int, int]:
        """How many threads ask for parts, and for how many bytes each time."""
        if self._comes_whole:
            return 1, _ASKED[1]
        all_of_them = self.head.size // _ASKED_OF
        if threads is not None:
            return number_of_threads(threads, 1), _within(all_of_them // _FEW, _ASKED)
        count = min(self.settings.threads, max(_FEW, all_of_them // _ASKED[0]))
        return count, _within(all_of_them // count, _ASKED)

    def copy_to(self, file: BinaryIO, threads: int | None) -> None:
        """Write all bytes to a file, as `parts` brings them."""
        with contextlib.closing(self.parts(threads)) as parts:
            file.writelines(parts)

    def _leave_to_parent(self) -> None:
        """After a fork, forget the answer that is open: the parent reads it on, and both would get parts of it."""
        if self._generation != forks.generation():
            self._reader, self._generation = None, forks.generation()

    def _opening_answer(self) -> ObjectReader | None:
        """The answer to the opening request, for the caller alone, if nothing of it was read."""
        reader, self._reader = self._reader, None
        if reader is None or (self._position == reader.start == 0 < reader.stop):
            return reader
        reader.close()
        return None

    def _answer_from(self, start: int) -> ObjectReader:
        """The answer to a request for the next bytes, as many as are worth one; behind them one may go on otherwise."""
        count = min(max(self.settings.download_part, _LEAST_RANGE), _MOST_RANGE)
        stop = min(self.head.size, start + count)
        reader = self.backend.open_version(self.head, start, stop)
        reader.extend()
        if reader.stop <= start:
            reader.close()
            raise TransientError(f"{self.where}: the answer ended at byte {start} of {self.head.size}")
        return reader

    def _read_on(self, reader: ObjectReader, start: int, part: memoryview) -> ObjectReader | None:
        """Fill a part; the reader again, where it has more, and did not break."""
        shared = _Shared(reader)
        self._read(start, part, shared)
        if shared.broken or start + len(part) >= reader.stop:
            reader.close()
            return None
        return reader

    def _part(self, buffers: BufferPool, job: _Job) -> memoryview:
        start, stop, reader = job
        part = buffers.take(stop - start)
        self._read(start, part, reader)
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back, or drop it where bytes were left unread."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _jobs(self, start: int, stop: int, threads: int) -> Iterator[_Job]:
        """Cut a range into jobs: what the open answer still has comes first, from there; the rest in even shares."""
        reader = self._reader
        if reader is not None and self._position == start and start < reader.stop:
            middle = min(stop, reader.stop)
            if middle == reader.stop:
                self._reader = None  # the job reads it to its end, and closes it
                yield start, middle, reader
            else:
                self._position = middle
                yield start, middle, _Shared(reader, self.close)
            start = middle
            threads -= 1  # one is busy with that
        if start < stop:
            share = max(_LEAST_RANGE, -(-(stop - start) // max(threads, 1) // MIB) * MIB)
            share = stop - start if self._comes_whole else min(share, self.settings.download_part)
            for low, high in partsizes.spans(stop - start, share):
                yield start + low, start + high, None

    def _read(
        self, start: int, view: memoryview, reader: ObjectReader | None = None, watch: Watch | None = None
    ) -> None:
        """Read one range, held to the version of the source."""
        if len(view) < _HOT:
            watch = None  # it will be in the cache anyway
        # mapped: an allocator would keep it for each thread that is gone
        stage = np.frombuffer(mmap(-1, _HOT), np.uint8) if self._is_cold(view) else None

        def on_its_way(answer: ObjectReader, position: int) -> ObjectReader:
            staged = answer if stage is None else _Staged(answer, stage)
            return staged if watch is None else _Watched(staged, start, position, watch)

        def open_at(done: int) -> ObjectReader:
            answer = self.backend.open_version(self.head, start + done, start + len(view))
            return on_its_way(answer, start + done)

        read_resuming(self.backend.retry, view, open_at, self.where, reader and on_its_way(reader, start))

    def _is_cold(self, view: memoryview) -> bool:
        """Whether a range goes to memory that no cache holds: a part of a large array, and no buffer."""
        return self.head.size >= _COLD and len(view) >= _LEAST_RANGE


def _within(size: int, bounds: tuple[int, int]) -> int:
    least, most = bounds
    return min(max(size, least), most)


def read_range(
    backend: Backend,
    key: str,
    settings: TransferSettings,
    start: int = 0,
    stop: int | None = None,
    e_tag: str | None = None,
) -> memoryview:
    """Read bytes ``start <= i < stop`` of one version of an object: one request, or several in threads where large.

    Parameters
    ----------
    backend : Backend
    key : str
        A clean object name.
    settings : TransferSettings
    start, stop : int
        None reads to the end. What lies behind the end is left out.
    e_tag : str, optional
        Read only this version.

    Returns
    -------
    memoryview
        Writeable memory of its own.

    Raises
    ------
    ObjectNotFound, ObjectChanged
    """
    first = settings.opening if stop is None else settings.opening_of(stop - start)
    with ObjectSource(backend, key, settings, first, start=start, e_tag=e_tag) as source:
        end = source.head.size if stop is None else min(stop, source.head.size)
        view: memoryview = np.empty(max(0, end - start), np.uint8).data  # not zeroed, as a bytearray would be
        source.fill(start, view, settings.threads)
        return view


class _Around(ObjectReader):
    """A reader around another one, which it is closed with."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self.head, self.start, self.stop = reader.head, reader.start, reader.stop

    def close(self) -> None:
        self._reader.close()

    def __exit__(self, *error: object) -> None:
        self._reader.__exit__(*error)


class _Shared(_Around):
    """A reader that a job leaves open for the next one; where it breaks, nobody goes on with it from the wrong byte."""

    def __init__(self, reader: ObjectReader, lost: Callable[[], None] | None = None) -> None:
        super().__init__(reader)
        self._lost = lost or reader.close
        self.broken = False

    def readinto(self, buffer: memoryview) -> int:
        return self._reader.readinto(buffer)

    def close(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.broken = True
            self._lost()


class _Staged(_Around):
    """Bytes come to where they belong by way of a piece of memory that stays in the processor's cache.

    The kernel is slow at writing to memory that no cache holds. How much that is stands in ``docs/performance.md``.
    """

    def __init__(self, reader: ObjectReader, stage: npt.NDArray[np.uint8]) -> None:
        super().__init__(reader)
        self._stage = stage

    def readinto(self, buffer: memoryview) -> int:
        count = self._reader.readinto(self._stage.data[: len(buffer)])
        if count:  # numpy lets other threads go on meanwhile
            np.frombuffer(buffer, np.uint8, count)[:] = self._stage[:count]
        return count


class _Watched(_Around):
    """Somebody is told what has arrived of a range, before it has left the processor's cache."""

    def __init__(self, reader: ObjectReader, first: int, position: int, watch: Watch) -> None:
        super().__init__(reader)
        self._first = first
        self._position = position
        self._watch = watch

    def readinto(self, buffer: memoryview) -> int:
        # up to where a block may end
        count = self._reader.readinto(buffer[: _HOT - self._position % _HOT])
        self._position += count
        self._watch(self._first, self._position)
        return count

"""Reading a part of a stored array: which bytes of the object it needs, and from there into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from cottoncandy import arrayformat, partsizes, slicing
from cottoncandy.arrayformat import ArrayDescription
from cottoncandy.backends.base import Backend, ObjectHead, ObjectReader
from cottoncandy.codecs import Codec
from cottoncandy.codecs.blocks import BlockIndex
from cottoncandy.errors import CorruptObject
from cottoncandy.forks import ForkSafeLock
from cottoncandy.parallel import for_each, number_of_threads
from cottoncandy.resuming import read_resuming
from cottoncandy.stream import TransferSettings

__all__ = ["BlockReader", "Kept", "Memory", "PlainReader", "Version"]

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Value = TypeVar("Value")

# Packed bytes of blocks that lie side by side and come with one request.
_TOGETHER = 4 * 2**20
# Blocks that are kept, unpacked.
_MOST_RECENT = 4
# Bytes: what is read over is worth a word in the log from here on, and no more is kept.
_MUCH = 64 * 2**20


class Kept(Generic[Value]):
    """A value that is made when it is first needed, once for all threads; it stays where it is made."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._values: list[Value] = []
        self._lock = ForkSafeLock()

    def get(self) -> Value:
        """The value."""
        with self._lock:
            if not self._values:
                self._values.append(self._make())
            return self._values[0]

    @property
    def is_made(self) -> bool:
        """Whether it was needed before."""
        return bool(self._values)

    def __getstate__(self) -> dict[str, Any]:
        return {"_make": self._make}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_make"])  # type: ignore[misc] # the lock and the value do not travel


@dataclass(frozen=True)
class Version:
    """One version of an object, of which ranges are read.

    Attributes
    ----------
    backend : Backend
    key : str
    head : ObjectHead
        What is known of that version.
    settings : TransferSettings
    threads : int or None
        Connections; by default as many as are of use.
    """

    backend: Backend
    key: str
    head: ObjectHead
    settings: TransferSettings
    threads: int | None = None

    @property
    def where(self) -> str:
        """How an error names it."""
        return self.backend.describe(self.key)

    def read(self, start: int, view: memoryview) -> None:
        """Read the bytes from ``start`` on into all of the view; where an answer breaks, go on from there.

        Raises
        ------
        ObjectNotFound, ObjectChanged
        """

        def open_at(done: int) -> ObjectReader:
            return self.backend.open_version(self.head, start + done, start + len(view))

        read_resuming(self.backend.retry, view, open_at, self.where)

    def for_each(self, function: Callable[[Any], object], jobs: Iterator[Any]) -> None:
        """Call a function that reads on each of the jobs; with several threads, where there are several jobs."""
        drawn = list(islice(jobs, 2))
        if len(drawn) == 1:
            function(drawn[0])
            return
        few = number_of_threads(self.threads, self.settings.threads)
        most = number_of_threads(self.threads, self.settings.most_threads)
        for_each(function, chain(drawn, jobs), few, most=most)


@dataclass(frozen=True)
class Memory:
    """A sub-array that is to be read.

    Attributes
    ----------
    array : numpy.ndarray
    data : numpy.ndarray
        Its bytes, in the order in which they are stored.
    selection : slicing.Selection
        What of the whole array it is.
    """

    array: Array
    data: Array
    selection: slicing.Selection

    @classmethod
    def for_index(cls, index: Any, description: ArrayDescription) -> Memory:
        """Memory for what a numpy index asks for."""
        selection = slicing.select(index, description.shape, description.order)
        part = ArrayDescription(description.dtype, selection.shape, description.order, None)
        array, view = arrayformat.allocate(part)
        return cls(array, np.frombuffer(view, np.uint8), selection)

    def runs(self) -> Iterator[slicing.Runs]:
        """Where its bytes lie among those of the whole array."""
        return self.selection.runs(self.array.itemsize)


@dataclass(frozen=True)
class PlainReader:
    """Reads parts of an array whose bytes lie in the object as they are.

    Attributes
    ----------
    version : Version
    """

    version: Version

    def fill(self, memory: Memory) -> None:
        """Read what the memory is for, over several connections: near ranges at once, far ones each on its own."""

        def read(job: tuple[slicing.Runs, int, int]) -> None:
            runs, start, stop = job
            target = runs.within(start, stop, memory.data)
            if target is not None:
                self.version.read(start, target.data)
            else:
                data = np.empty(stop - start, np.uint8)
                self.version.read(start, data.data)
                runs.scatter(start, data, memory.data)

        self.version.for_each(read, self._jobs(memory))

    def _jobs(self, memory: Memory) -> Iterator[tuple[slicing.Runs, int, int]]:
        part = self.version.settings.download_part
        for runs in memory.runs():
            spans = runs.spans()
            self._tell(spans, len(runs.starts) * runs.length)
            for start, stop in spans:
                # only a single run is so long that it is cut
                for low, high in partsizes.spans(stop - start, part):
                    yield runs, start + low, start + high

    def _tell(self, spans: list[tuple[int, int]], needed: int) -> None:
        over = sum(stop - start for start, stop in spans) - needed
        if over > max(_MUCH, needed):
            log.warning(
                "%s: %d MB are read for the %d MB of this slice, which lies in many pieces. Slice the array the way it "
                "is stored, or store it in chunks (upload_dask_array)",
                *(self.version.where, (over + needed) >> 20, needed >> 20),
            )


class _Recent:
    """The blocks that were used in part last: the next slice often begins where one ended. They do not travel."""

    def __init__(self) -> None:
        self._blocks: dict[int, Array] = {}
        self._lock = ForkSafeLock()

    def get(self, number: int) -> Array | None:
        return self._blocks.get(number)

    def keep(self, number: int, data: Array) -> None:
        with self._lock:
            self._blocks[number] = data
            while len(self._blocks) > _MOST_RECENT or sum(map(len, self._blocks.values())) > _MUCH:
                del self._blocks[next(iter(self._blocks))]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


class BlockReader:
    """Reads parts of an array that is packed in blocks.

    Parameters
    ----------
    version : Version
    description : ArrayDescription
    """

    def __init__(self, version: Version, description: ArrayDescription) -> None:
        self.version = version
        self.description = description
        self._index = Kept(partial(self._twice, self._read_index))
        self._recent = _Recent()

    @property
    def index(self) -> BlockIndex:
        """Where the blocks lie: one request, once."""
        return self._index.get()

    def _read_index(self) -> BlockIndex:
        size, nbytes, itemsize = self.version.head.size, self.description.nbytes, self.description.dtype.itemsize
        length = BlockIndex.length(nbytes, itemsize)
        if length > size:
            raise CorruptObject(f"{size} bytes are too few for the index of {nbytes} bytes of data")
        data = np.empty(length, np.uint8).data
        self.version.read(size - length, data)
        return BlockIndex.parse(data, nbytes, itemsize, size)

    def fill(self, memory: Memory, codec: Codec) -> None:
        """Read and unpack the blocks that the memory needs, several at a time.

        Raises
        ------
        CorruptObject
        """
        index = self.index

        def read(job: tuple[slicing.Runs, list[int]]) -> None:
            runs, numbers = job
            start, stop = index.span(numbers[0])[0], index.span(numbers[-1])[1]
            packed = np.empty(stop - start, np.uint8).data
            self.version.read(start, packed)
            for number in numbers:
                first, last = index.span(number)
                self._unpack(codec, number, packed[first - start : last - start], runs, memory)

        self.version.for_each(lambda job: self._twice(partial(read, job)), self._jobs(memory))

    def _twice(self, read: Callable[[], Value]) -> Value:
        """Read something that tells whether it is damaged; once more, where it is."""
        try:
            return read()
        except CorruptObject as error:
            log.warning("%s: %s: reading it once more", self.version.where, error)
            return read()

    def _jobs(self, memory: Memory) -> Iterator[tuple[slicing.Runs, list[int]]]:
        """The blocks, those together that come with one request."""
        for runs in memory.runs():
            together: list[int] = []
            for number in runs.blocks(self.index.block).tolist():
                if (data := self._recent.get(number)) is not None:
                    runs.scatter(self.index.data_span(number)[0], data, memory.data)
                    continue
                if together and not self._fits(together, number):
                    yield runs, together
                    together = []
                together.append(number)
            if together:
                yield runs, together

    def _fits(self, together: list[int], number: int) -> bool:
        span = self.index.span(number)[1] - self.index.span(together[0])[0]
        return number == together[-1] + 1 and span <= _TOGETHER

    def _unpack(self, codec: Codec, number: int, packed: memoryview, runs: slicing.Runs, memory: Memory) -> None:
        start, stop = self.index.data_span(number)
        target = runs.within(start, stop, memory.data)
        data = np.empty(stop - start, np.uint8) if target is None else target
        self.index.unpack(codec, packed, data.data)
        if target is None:
            runs.scatter(start, data, memory.data)
            self._recent.keep(number, data)

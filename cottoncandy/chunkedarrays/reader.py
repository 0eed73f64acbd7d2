"""A stored array in chunks, as what gives numpy arrays when it is sliced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy import chunking, keys
from cottoncandy.chunkedarrays.folder import ChunkFolder
from cottoncandy.chunkedarrays.names import version_of
from cottoncandy.chunkedarrays.table import ChunkTable
from cottoncandy.chunking import Block, Pick
from cottoncandy.datasets import Dataset
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectNotFound, OutOfMemory
from cottoncandy.parallel import for_each
from cottoncandy.rawarrays import load_array

Array = npt.NDArray[Any]

# Bytes of chunks that are in memory at the same time where all are read one after the other; one chunk is, in any case.
_IN_MEMORY = 2**28


@dataclass(frozen=True)
class StoredChunks:
    """An array in chunks; slicing it reads the chunks that the slice touches. Pickles, so that workers read theirs.

    Attributes
    ----------
    folder : ChunkFolder
        Where the table was found. Chunks lie beside it, also after a branch was moved.
    table : ChunkTable
    threads : int
        Connections for one chunk.
    """

    folder: ChunkFolder
    table: ChunkTable
    threads: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.table.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of an item."""
        return self.table.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> Array:
        """What numpy gives for the index: integers, slices, and a list of integers along one axis.

        Raises
        ------
        IndexError
        ObjectNotFound
            If a chunk is missing: it never reads as zeros.
        ObjectChanged
            If a chunk belongs to another upload than the table.

        Notes
        -----
        Of a chunk that is not compressed, or is packed in blocks, no more is read than the slice needs.
        """
        items = chunking.expand(index, self.ndim)
        picks = [chunking.picks(item, sizes) for item, sizes in zip(items, self.table.chunks, strict=True)]
        with self.folder.named(reads=True):
            try:
                picked = self._assemble(picks)
            except OutOfMemory:
                raise  # of a chunk
            except MemoryError as error:
                count = math.prod([sum(pick.count for pick in along) for along in picks])
                raise OutOfMemory.of(self.folder.describe(), count * self.dtype.itemsize) from error
        # an integer takes its axis away; the dots keep an array what numpy would make a scalar, without the byte order
        kept = (*(0 if isinstance(item, int) else slice(None) for item in items), ...)
        return picked[kept]

    def load(self) -> Array:
        """All of it, in memory.

        Raises
        ------
        OutOfMemory
        """
        try:
            whole: Array = np.empty(self.shape, self.dtype)
        except MemoryError as error:
            raise OutOfMemory.of(self.folder.describe(), math.prod(self.shape) * self.dtype.itemsize) from error
        self.fill(whole)
        return whole

    def fill(self, out: Array) -> None:
        """Read all of it into an array of its shape, as one on disk: chunk by chunk, and few large ones at a time."""
        settings, blocks = self.folder.settings, list(chunking.blocks(self.table.chunks))
        largest = math.prod(map(max, self.table.chunks)) * self.dtype.itemsize
        together = max(1, min(settings.threads, _IN_MEMORY // max(1, largest)))
        each = replace(self, threads=max(1, settings.threads // together))

        def read(block: Block) -> None:
            out[block.slices] = each[block.slices]

        with settings.progress.many("download", self.folder.directory, len(blocks), "chunks") as count:
            for_each(count.wrap(read), blocks, together)

    def _assemble(self, picks: Sequence[Sequence[Pick]]) -> Array:
        if all(len(along) == 1 and not along[0].backward for along in picks):
            return self._read([along[0] for along in picks])
        shape = [sum(pick.count for pick in along) for along in picks]
        whole: Array = np.empty(shape, self.dtype)
        for piece in product(*picks):
            whole[tuple(pick.target for pick in piece)] = self._read(piece)
        return whole

    def _read(self, piece: Sequence[Pick]) -> Array:
        """The part that is wanted of one chunk."""
        position = tuple(pick.block for pick in piece)
        number = int(np.ravel_multi_index(position, self.table.grid)) if position else 0
        expected = tuple(sizes[i] for sizes, i in zip(self.table.chunks, position, strict=True))
        index = (*(pick.local for pick in piece), ...)
        try:
            chunk, metadata = self._find(
                self.table.keys[number], whole=index[:-1] == tuple(slice(0, n, 1) for n in expected)
            )
        except ObjectNotFound as error:
            if self._replaced():
                raise self._changed(number) from error
            raise
        if version_of(metadata) != self.table.version:
            raise self._changed(number)
        if chunk.shape != expected or chunk.dtype != self.dtype:
            raise CorruptObject(
                f"{self._describe(number)} is {chunk.dtype}{chunk.shape}, its table says {self.dtype}{expected}"
            )
        part: Array = chunk[index]
        return part

    def _replaced(self) -> bool:
        """Whether another array stands here now: its upload took the chunks of the old one away."""
        current = self.folder.current()
        return current is not None and current.version != self.table.version

    def _changed(self, number: int) -> ObjectChanged:
        return ObjectChanged(f"{self._describe(number)} was uploaded anew: download the array again")

    def _describe(self, number: int) -> str:
        # beside the table, where it is looked for first: the array may have been copied here
        return f"{self.folder.describe()}: chunk {self.folder.key(keys.basename(self.table.keys[number]))!r}"

    def _find(self, key: str, *, whole: bool) -> tuple[Array | Dataset, dict[str, str]]:
        """A chunk and its metadata: beside the table or, where it is not there, at the place that the table tells."""
        beside = keys.clean_object(self.folder.key(keys.basename(key)))
        # a chunk that is one compressed stream is read whole in any case: one request is enough
        load = self._load if whole or self.table.in_one_stream else self._open
        try:
            return load(beside)
        except ObjectNotFound:
            if key != beside:
                with suppress(ObjectNotFound):  # the first place is that of an array which was moved
                    return load(keys.clean_object(key))
            raise

    def _load(self, key: str) -> tuple[Array, dict[str, str]]:
        return load_array(self.folder.backend, key, self.folder.settings, self.threads)

    def _open(self, key: str) -> tuple[Dataset, dict[str, str]]:
        chunk = Dataset.open(self.folder.backend, key, self.folder.settings, self.threads)
        return chunk, chunk.metadata

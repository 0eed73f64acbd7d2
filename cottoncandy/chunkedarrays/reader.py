"""A stored array in chunks, as what gives numpy arrays when it is sliced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy import chunking, keys
from cottoncandy.chunkedarrays.folder import ChunkFolder
from cottoncandy.chunkedarrays.table import ChunkTable, version_of
from cottoncandy.chunking import Pick
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectNotFound
from cottoncandy.rawarrays import load_array

Array = npt.NDArray[Any]


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
        """
        items = chunking.expand(index, self.ndim)
        picks = [chunking.picks(item, sizes) for item, sizes in zip(items, self.table.chunks, strict=True)]
        picked = self._assemble(picks)
        # an integer takes its axis away
        return picked[tuple(0 if isinstance(item, int) else slice(None) for item in items)]

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
        part, metadata, found = self._load(self.table.keys[number], tuple(pick.local for pick in piece))
        if version_of(metadata) != self.table.version:
            raise ObjectChanged(f"{self._describe(number)} was uploaded anew: download the array again")
        if found != expected or part.dtype != self.dtype:
            raise CorruptObject(
                f"{self._describe(number)} is {part.dtype}{found}, its table says {self.dtype}{expected}"
            )
        return part

    def _describe(self, number: int) -> str:
        return f"chunk {self.table.keys[number]!r} of {self.folder.describe()}"

    def _load(self, key: str, index: tuple[Any, ...]) -> tuple[Array, dict[str, str], tuple[int, ...]]:
        beside = self.folder.key(keys.basename(key))
        try:
            return self._load_part(beside, index)
        except ObjectNotFound:
            if key == beside:
                raise
            return self._load_part(keys.clean_object(key), index)

    def _load_part(self, key: str, index: tuple[Any, ...]) -> tuple[Array, dict[str, str], tuple[int, ...]]:
        """A part of a chunk, the chunk's metadata and its shape."""
        array, metadata = load_array(self.folder.backend, key, self.folder.settings, self.threads)
        return array[index], metadata, array.shape

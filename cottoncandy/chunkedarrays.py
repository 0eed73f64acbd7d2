"""Arrays in chunks: the table that ``metadata.json`` holds, and a reader of single chunks. See `docs/wire`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy import arrayformat, keys
from cottoncandy.backends.base import Backend
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectNotFound
from cottoncandy.rawarrays import load_array
from cottoncandy.stream import TransferSettings

TABLE = "metadata.json"
_PREFIX = "pt"
# Among how many places the chunks of an upload that replaces another may begin.
_SPREAD = 1000
#: The metadata key that ties the chunks of one upload together.
VERSION = "version"


def version_of(metadata: Mapping[str, str]) -> str | None:
    """The upload that a part belongs to; None for one of 0.4.0."""
    return arrayformat.lowered(metadata).get(VERSION)


def chunk_name(number: int) -> str:
    """The name of a chunk beside its table: ``pt0000``."""
    return f"{_PREFIX}{number:04d}"


def chunk_number(name: str) -> int | None:
    """The number in a chunk's name; None for another name."""
    digits = name.removeprefix(_PREFIX)
    return int(digits) if digits != name and digits.isascii() and digits.isdigit() else None


def free_numbers(taken: Iterable[int], count: int) -> range:
    """``count`` consecutive numbers of which none is taken: from 0 on where that is possible.

    The chunks of a new upload never overwrite those of the old one, which stays whole until the new table stands.
    """
    taken = set(taken)
    if taken.isdisjoint(range(count)):
        return range(count)
    # another upload may look for free numbers at the same time: they are to take others
    first = max(taken) + 1 + secrets.randbelow(_SPREAD)
    return range(first, first + count)


@dataclass(frozen=True, slots=True)
class ChunkTable:
    """What ``metadata.json`` tells of a chunked array.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    chunks : tuple of tuple of int
        Per axis the sizes of the chunks, as dask has them.
    keys : tuple of str
        The chunks' object names as the writer knew them, in the C order of the grid.
    version : str or None
        Of the upload; None for one of 0.4.0.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[tuple[int, ...], ...]
    keys: tuple[str, ...]
    version: str | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each axis."""
        return tuple(len(sizes) for sizes in self.chunks)

    def to_json(self) -> str:
        """The text of ``metadata.json``."""
        indices = list(product(*map(range, self.grid)))
        document: dict[str, Any] = {
            "shape": list(self.shape),
            "dtype": self.dtype.str,
            "dask": [[list(index), key] for index, key in zip(indices, self.keys, strict=True)],
            "chunk_sizes": [list(sizes) for sizes in product(*self.chunks)],
            "chunks": [list(sizes) for sizes in self.chunks],
        }
        if self.dtype.names:
            document["descr"] = arrayformat.descr_of(self.dtype)
        if self.version:
            document[VERSION] = self.version
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: bytes, where: str) -> ChunkTable:
        """Read ``metadata.json``.

        Raises
        ------
        CorruptObject
            If it is no table of a chunked array, or contradicts itself.
        """
        try:
            return cls._from_document(json.loads(text))
        except CorruptObject as error:
            raise CorruptObject(f"{where}: {error}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptObject(f"{where} is no table of a chunked array: {error}") from error

    @classmethod
    def _from_document(cls, document: Mapping[str, Any]) -> ChunkTable:
        chunks = tuple(tuple(int(size) for size in sizes) for sizes in document["chunks"])
        shape = tuple(int(length) for length in document["shape"])
        if tuple(map(sum, chunks)) != shape or any(size < 0 for sizes in chunks for size in sizes):
            raise ValueError("the chunks do not make up the shape")
        by_index = {tuple(index): str(key) for index, key in document["dask"]}
        indices = list(product(*(range(len(sizes)) for sizes in chunks)))
        if missing := [index for index in indices if index not in by_index]:
            raise ValueError(f"no chunk is named for grid position {list(missing[0])}")
        return cls(
            shape=shape,
            dtype=arrayformat.parse_dtype(document["dtype"], document.get("descr")),
            chunks=chunks,
            keys=tuple(by_index[index] for index in indices),
            version=document.get(VERSION),
        )


@dataclass(frozen=True)
class ChunkReader:
    """Reads single chunks of an array; pickles, so that workers read their chunks themselves.

    Attributes
    ----------
    backend : Backend
    directory : str
        Where the table was found. Chunks lie beside it, also after a branch was moved.
    table : ChunkTable
    settings : TransferSettings
    threads : int
        Connections for one chunk.
    """

    backend: Backend
    directory: str
    table: ChunkTable
    settings: TransferSettings
    threads: int = 1

    def __call__(self, block_id: Sequence[int]) -> npt.NDArray[Any]:
        """The chunk at a position of the grid.

        Raises
        ------
        ObjectNotFound
            If it is missing: it never reads as zeros.
        ObjectChanged
            If it belongs to another upload than the table.
        """
        number = int(np.ravel_multi_index(tuple(block_id), self.table.grid)) if block_id else 0
        array, metadata = self._load(self.table.keys[number])
        if version_of(metadata) != self.table.version:
            raise ObjectChanged(f"{self._describe(number)} was uploaded anew: download the array again")
        expected = tuple(sizes[i] for sizes, i in zip(self.table.chunks, block_id, strict=True))
        if array.shape != expected or array.dtype != self.table.dtype:
            raise CorruptObject(
                f"{self._describe(number)} is {array.dtype}{array.shape}, its table says {self.table.dtype}{expected}"
            )
        return array

    def _describe(self, number: int) -> str:
        return f"chunk {self.table.keys[number]!r} of {self.backend.describe(self.directory)}"

    def _load(self, key: str) -> tuple[npt.NDArray[Any], dict[str, str]]:
        beside = keys.join(self.directory, keys.basename(key))
        try:
            return load_array(self.backend, beside, self.settings, self.threads)
        except ObjectNotFound:
            if key == beside:
                raise
            return load_array(self.backend, keys.clean_object(key), self.settings, self.threads)

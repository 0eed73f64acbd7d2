"""What ``metadata.json`` tells of an array in chunks. No I/O. See `docs/wire`."""

from __future__ import annotations

import json
import math
import operator
import reprlib
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, overload

import numpy as np

from cottoncandy import dtypes
from cottoncandy.chunkedarrays.names import VERSION
from cottoncandy.chunkedarrays.standing import CHUNKS_READER, refuse_other_kind
from cottoncandy.codecs.blocks import packed_in_blocks
from cottoncandy.errors import CorruptObject

# Among how many places the chunks of an upload that replaces another may begin.
_SPREAD = 1000


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
class NumberedKeys(Sequence[str]):
    """The object names of chunks with consecutive numbers, without holding or pickling each of them.

    Attributes
    ----------
    stem : str
        The names without their numbers.
    first, length : int
    """

    stem: str
    first: int
    length: int

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        numbers = range(self.first, self.first + self.length)[index]
        return f"{self.stem}{numbers:04d}" if isinstance(numbers, int) else [f"{self.stem}{n:04d}" for n in numbers]


def in_short(keys: Sequence[str]) -> Sequence[str]:
    """The same names, as `NumberedKeys` where they are that."""
    stem = keys[0].rstrip("0123456789") if keys else ""
    digits = keys[0].removeprefix(stem) if keys else ""
    short = NumberedKeys(stem, int(digits or 0), len(keys))
    return short if all(ours == key for ours, key in zip(short, keys, strict=True)) else tuple(keys)


def _lengths(values: Iterable[Any]) -> tuple[int, ...]:
    lengths = tuple(map(operator.index, values))
    if any(not 0 <= length <= sys.maxsize for length in lengths):
        raise ValueError(f"an axis or a chunk of such a length cannot be: {reprlib.repr(lengths)}")
    return lengths


@dataclass(frozen=True, slots=True)
class ChunkTable:
    """What ``metadata.json`` tells of a chunked array.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    chunks : tuple of tuple of int
        Per axis the sizes of the chunks, as dask has them.
    keys : sequence of str
        The chunks' object names as the writer knew them, in the C order of the grid.
    version : str or None
        Of the upload; None for one of 0.4.0.
    compression : str or None
        What the chunks were to be packed with, as far as that is known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[tuple[int, ...], ...]
    keys: Sequence[str]
    version: str | None = None
    compression: str | None = None

    @property
    def in_one_stream(self) -> bool:
        """Whether a chunk is known to be of use only as a whole."""
        return bool(self.compression) and packed_in_blocks(self.compression) is None

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
            document["descr"] = dtypes.descr_of(self.dtype)
        if self.version:
            document[VERSION] = self.version
        if self.compression:
            document["compression"] = self.compression
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: bytes, where: str) -> ChunkTable:
        """Read ``metadata.json``.

        Raises
        ------
        CorruptObject
            If it is no table of a chunked array, or contradicts itself. NotAnArray, if it is that of another kind.
        """
        try:
            document = json.loads(text)
            refuse_other_kind(document, CHUNKS_READER)
            return cls._from_document(document)
        except CorruptObject as error:
            raise type(error)(f"{where}: {error}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptObject(f"{where} is no table of a chunked array: {error}") from error

    @classmethod
    def _from_document(cls, document: Mapping[str, Any]) -> ChunkTable:
        chunks, shape = tuple(map(_lengths, document["chunks"])), _lengths(document["shape"])
        if tuple(map(sum, chunks)) != shape or not all(chunks):
            raise ValueError("the chunks do not make up the shape")
        dtype = dtypes.parse_dtype(document["dtype"], document.get("descr"))
        if math.prod(shape) * dtype.itemsize > sys.maxsize:
            raise ValueError(f"an array of shape {reprlib.repr(shape)} cannot be")
        by_index = {tuple(index): str(key) for index, key in document["dask"]}
        indices = partial(product, *(range(len(sizes)) for sizes in chunks))
        # one by one: a few bytes of a table that lies may tell of more positions than fit into memory
        for index in indices():
            if index not in by_index:
                raise ValueError(f"no chunk is named for grid position {list(index)}")
        return cls(
            shape=shape,
            dtype=dtype,
            chunks=chunks,
            keys=in_short([by_index[index] for index in indices()]),
            version=document.get(VERSION),
            compression=str(document.get("compression") or "") or None,
        )

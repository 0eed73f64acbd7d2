"""What a client does for the workloads, and what those have in common that know nothing of arrays."""

from __future__ import annotations

import fnmatch
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from benchmarks.place import Place

Array = NDArray[Any]

#: Bytes of a part, a range or a chunk, for clients that leave the choice to their caller.
CHUNK = 16 << 20
#: For clients that have no call of their own for many objects.
THREADS = 16


class Like(NamedTuple):
    """What an array is like."""

    dtype: DTypeLike
    shape: tuple[int, ...]

    def empty(self) -> Array:
        """Memory for one."""
        return np.empty(self.shape, self.dtype)


class Client(ABC):
    """One library, connected to one bucket.

    Every download ends as an array of its own memory, which can be written. Clients that store plain bytes are told
    dtype and shape; those that store arrays look them up.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.connect()

    @abstractmethod
    def connect(self) -> None:
        """Import the library and make what it connects with."""

    @abstractmethod
    def up(self, key: str, array: Array, packing: str) -> None:
        """Upload an array; ``packing`` is the kind of compression, or empty."""

    @abstractmethod
    def down(self, key: str, like: Like, packing: str) -> Array:
        """Download an array."""

    @abstractmethod
    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Upload many small arrays."""

    @abstractmethod
    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """Download all arrays that are below a prefix."""

    def list(self, prefix: str) -> Sequence[Any]:
        """All that is below a prefix."""
        raise NotImplementedError

    def glob(self, pattern: str) -> Sequence[Any]:
        """All keys that match a pattern."""
        literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        return fnmatch.filter(self.list(literal.rpartition("/")[0]), pattern)

    def remove(self, prefix: str) -> None:
        """Remove all that is below a prefix."""
        raise NotImplementedError


class BytesClient(Client):
    """A client that stores bytes; compression is done by hand, with zstandard."""

    @abstractmethod
    def put(self, key: str, data: memoryview | bytes) -> None:
        """Upload bytes."""

    @abstractmethod
    def get(self, key: str) -> Any:
        """Download bytes of any length."""

    def get_into(self, key: str, memory: memoryview) -> None:
        """Download bytes into memory that is there."""
        memory[:] = memoryview(self.get(key)).cast("B")

    def put_small(self, key: str, data: memoryview) -> None:
        """Upload a few bytes."""
        self.put(key, data)

    def get_small(self, key: str, memory: memoryview) -> None:
        """Download a few bytes."""
        self.get_into(key, memory)

    def up(self, key: str, array: Array, packing: str) -> None:
        """Upload the bytes of an array."""
        self.put(key, packed(array) if packing else flat(array))

    def down(self, key: str, like: Like, packing: str) -> Array:
        """Download bytes as an array."""
        if packing:
            return unpacked(self.get(key), like)
        array = like.empty()
        self.get_into(key, flat(array))
        return array

    def up_many(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Upload with several threads."""

        def put(name: str) -> None:
            self.put_small(f"{prefix}/{name}", flat(arrays[name]))

        self._map(put, list(arrays))

    def down_many(self, prefix: str, like: Like) -> dict[str, Array]:
        """List, then download with several threads."""

        def get(key: str) -> Array:
            array = like.empty()
            self.get_small(key, flat(array))
            return array

        keys = self.list(prefix)
        arrays = self._map(get, keys)
        return {name_of(key): array for key, array in zip(keys, arrays, strict=True)}

    def _map(self, function: Any, items: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(function, items))


def flat(array: Array) -> memoryview:
    """The bytes of an array, where they are."""
    return array.reshape(-1).data.cast("B")


def name_of(key: str) -> str:
    """The last part of a key."""
    return key.rpartition("/")[2]


def packed(array: Array) -> bytes:
    """The bytes of an array, compressed with zstandard's default level."""
    import zstandard

    return zstandard.ZstdCompressor().compress(flat(array))


def unpacked(data: Any, like: Like) -> Array:
    """An array of compressed bytes, without a second copy."""
    import zstandard

    array = like.empty()
    with zstandard.ZstdDecompressor().stream_reader(memoryview(data)) as reader:
        fill(flat(array), reader)
    return array


def fill(memory: memoryview, reader: Any) -> None:
    """Read into memory until it is full, in pieces that stay in the processor's cache."""
    at = 0
    while at < len(memory):
        count = reader.readinto(memory[at : at + (1 << 20)])
        if not count:
            raise EOFError(f"{at} bytes of {len(memory)}")
        at += count

"""A small reader of the wire format, written from its description alone: it shares no code with the package.

It is as strict as release 0.4.0: what 0.4.0 would read wrong or not at all is an AssertionError here. What 0.4.0
does not know (the fields of structured dtypes, LZ4Frame, BloscChunks) is read from the description of ours.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import lz4.block
import lz4.frame
import numpy as np
import zstandard

Array = np.ndarray[Any, Any]
WIRE = Path(__file__).parent / "data" / "wire"


class Store(Protocol):
    """Where objects are read from: their bytes and user metadata by key, and the keys that begin with a prefix."""

    def get(self, key: str) -> tuple[bytes, Mapping[str, str]]: ...
    def keys(self, prefix: str) -> list[str]: ...


class Directory:
    """The files of the local backend."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> tuple[bytes, Mapping[str, str]]:
        beside = self.root / f"{key}.meta.json"
        return (self.root / key).read_bytes(), json.loads(beside.read_text()) if beside.exists() else {}

    def keys(self, prefix: str) -> list[str]:
        paths = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        return sorted(path for path in paths if path.startswith(prefix) and not path.endswith(".meta.json"))


# ---------------------------------------------------------------------- raw arrays
def raw(body: bytes, metadata: Mapping[str, str]) -> Array:
    """A raw array from an object's bytes and metadata."""
    known = {key.lower(): value for key, value in metadata.items()}
    shape = tuple(int(length) for length in known["shape"].split(",")) if known.get("shape") else ()
    plain = np.dtype(known["dtype"])
    nbytes = int(np.prod(shape, dtype=object)) * plain.itemsize
    name = known["compression"] if "compression" in known else {"True": "gzip", "False": "False"}[known["gzip"]]
    order = known.get("order", "C")
    assert order == "C" or name in {"gzip", "False", "None"}, f"0.4.0 reads {name} in C order, whatever it is told"
    data = body if name in {"False", "None"} else UNPACK[name.lower()](body, nbytes)
    assert len(data) == nbytes
    dtype = structured(json.loads(unpacked(known["descr"]))) if "descr" in known else plain
    assert dtype.itemsize == plain.itemsize
    return np.ndarray(shape, dtype, bytearray(data), order=order)


def unpacked(text: str) -> str:
    """A long value of the metadata, which is zlib and base64."""
    return text if text[0] in '{["' else zlib.decompress(base64.b64decode(text)).decode()


def structured(descr: Any) -> np.dtype[Any]:
    """The dtype of our own key ``descr``."""
    if isinstance(descr, str):
        return np.dtype(descr)
    if isinstance(descr, list):
        return np.dtype((structured(descr[0]), tuple(descr[1])))
    fields = {
        name: (structured(kind), offset, *title) if title else (structured(kind), offset)
        for name, offset, kind, *title in descr["fields"]
    }
    layout: dict[str, Any] = {
        "names": list(fields),
        "formats": [field[0] for field in fields.values()],
        "offsets": [field[1] for field in fields.values()],
        "itemsize": descr["size"],
    }
    if any(len(field) > 2 for field in fields.values()):
        layout["titles"] = [field[2] if len(field) > 2 else None for field in fields.values()]
    return np.dtype(layout)


def _unzstd(body: bytes, nbytes: int) -> bytes:
    # old readers size their buffer by the header; ONE frame
    assert zstandard.get_frame_parameters(body).content_size == nbytes
    engine = zstandard.ZstdDecompressor().decompressobj()
    data = engine.decompress(body)
    assert engine.eof
    assert not engine.unused_data
    return data


def _unlz4(body: bytes, nbytes: int) -> bytes:
    (length,) = struct.unpack("<I", body[:4])
    assert length == nbytes < 2**31
    return lz4.block.decompress(body[4:], uncompressed_size=length)


def _unblosc(body: bytes, nbytes: int) -> bytes:
    (packed_size,) = struct.unpack("<I", body[12:16])
    assert packed_size == len(body), "0.4.0 reads one buffer"
    return _blosc_buffer(body)


def _unblosc_chunks(body: bytes, nbytes: int) -> bytes:
    data = b""
    while body:
        (packed_size,) = struct.unpack("<I", body[12:16])
        data += _blosc_buffer(body[:packed_size])
        body = body[packed_size:]
    return data


def _ungzip(body: bytes, nbytes: int) -> bytes:
    engine = zlib.decompressobj(31)
    data = engine.decompress(body)
    assert engine.eof
    assert not engine.unused_data, "one gzip stream"
    assert data == gzip.decompress(body)
    return data


#: By lower-case name: an object's body, and how many bytes of data it must hold, to the data.
UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _ungzip,
    "zlib": lambda body, nbytes: zlib.decompress(body),
    "bz2": lambda body, nbytes: bz2.decompress(body),
    "zstd": _unzstd,
    "lz4": _unlz4,
    "lz4frame": lambda body, nbytes: lz4.frame.decompress(body),
    "blosc": _unblosc,
    "bloscchunks": _unblosc_chunks,
}


def _blosc_buffer(body: bytes) -> bytes:
    """Blosc-1, from https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst, as far as we write it."""
    version, _, flags, itemsize, nbytes, blocksize, _ = struct.unpack("<4B3I", body[:16])
    assert version == 2
    if flags & 0x02:
        return body[16:]
    if not nbytes:
        return b""
    data = b""
    starts = struct.unpack_from(f"<{-(-nbytes // blocksize)}I", body, 16)
    for number, start in enumerate(starts):
        size = min(blocksize, nbytes - number * blocksize)
        block = _blosc_block(body, start, size, flags, itemsize if size == blocksize else 1)
        data += _unshuffle(block, itemsize) if flags & 0x01 and itemsize > 1 else block
    return data


def _blosc_block(body: bytes, start: int, size: int, flags: int, itemsize: int) -> bytes:
    splits = itemsize if not flags & 0x10 and itemsize <= 16 and size // itemsize >= 128 else 1
    data = b""
    for _ in range(splits):
        (packed_size,) = struct.unpack_from("<i", body, start)
        packed = body[start + 4 : start + 4 + packed_size]
        data += packed if packed_size == size // splits else _blosc_inner(packed, flags >> 5, size // splits)
        start += 4 + packed_size
    return data


def _blosc_inner(packed: bytes, kind: int, size: int) -> bytes:
    if kind == 1:
        return lz4.block.decompress(packed, uncompressed_size=size)
    assert kind == 4, f"the inner codec {kind} is not expected here"
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)


def _unshuffle(block: bytes, itemsize: int) -> bytes:
    whole = len(block) // itemsize * itemsize
    planes = np.frombuffer(block[:whole], np.uint8).reshape(itemsize, -1)
    return planes.T.tobytes() + block[whole:]


# ---------------------------------------------------------------------- several objects
def array(store: Store, key: str) -> Array:
    """The raw array of an object."""
    return raw(*store.get(key))


def dask(store: Store, name: str) -> Array:
    """A chunked array, put together."""
    table = json.loads(store.get(f"{name}/metadata.json")[0])
    dtype = structured(table["descr"]) if "descr" in table else np.dtype(table["dtype"])
    whole = np.zeros(table["shape"], dtype)
    edges = [np.cumsum([0, *sizes]) for sizes in table["chunks"]]
    for (index, key), shape in zip(table["dask"], table["chunk_sizes"], strict=True):
        chunk = array(store, f"{name}/{key.rpartition('/')[2]}")
        assert list(chunk.shape) == shape
        whole[tuple(slice(axis[i], axis[i + 1]) for axis, i in zip(edges, index, strict=True))] = chunk
    return whole


def sparse(store: Store, name: str) -> Array:
    """A sparse array, made dense, by the definition of each format."""
    table = json.loads(store.get(f"{name}/metadata.json")[0])
    parts = {part: array(store, f"{name}/{part}") for part in table["attrs"]}
    dense = np.zeros(table["shape"], parts["data"].dtype)
    for row, column, value in _ENTRIES[table["type"]](parts, dense.shape):
        dense[row, column] += value
    return dense


Entries = Iterator[tuple[int, int, Any]]


def _coo(parts: Mapping[str, Array], shape: tuple[int, ...]) -> Entries:
    return zip(parts["row"], parts["col"], parts["data"], strict=True)


def _csr(parts: Mapping[str, Array], shape: tuple[int, ...]) -> Entries:
    for row, (start, stop) in enumerate(zip(parts["indptr"], parts["indptr"][1:], strict=False)):
        for i in range(start, stop):
            yield row, parts["indices"][i], parts["data"][i]


def _csc(parts: Mapping[str, Array], shape: tuple[int, ...]) -> Entries:
    return ((row, column, value) for column, row, value in _csr(parts, shape))


def _bsr(parts: Mapping[str, Array], shape: tuple[int, ...]) -> Entries:
    height, width = parts["data"].shape[1:]
    for block_row, block_column, block in _csr(parts, shape):
        for (i, j), value in np.ndenumerate(block):
            yield block_row * height + i, block_column * width + j, value


def _dia(parts: Mapping[str, Array], shape: tuple[int, ...]) -> Entries:
    for offset, diagonal in zip(parts["offsets"], parts["data"], strict=True):
        for column, value in enumerate(diagonal[: shape[1]]):
            if 0 <= column - offset < shape[0]:
                yield column - offset, column, value


_ENTRIES = {"coo": _coo, "csr": _csr, "csc": _csc, "bsr": _bsr, "dia": _dia}


def tree(store: Store, root: str) -> dict[str, Any]:
    """A tree of raw arrays, as nested dictionaries."""
    whole: dict[str, Any] = {}
    for key in store.keys(f"{root}/"):
        *branches, leaf = key.removeprefix(f"{root}/").split("/")
        place = whole
        for branch in branches:
            place = place.setdefault(branch, {})
        place[leaf] = array(store, key)
    return whole

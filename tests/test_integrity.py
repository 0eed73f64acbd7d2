"""Every array carries a checksum of its bytes: no flipped bit becomes a number."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse
import xxhash
from hypothesis import given
from recorder import Fault, RecordingProxy, Request
from samples import assert_same
from stores import Recorded, Store
from test_objects import small_parts
from test_verify import CODECS, flip

from cottoncandy import checksums
from cottoncandy.errors import ChecksumMismatch, CorruptObject, NotAnArray

MIB = 2**20
KEY = "xxh3-list"
SIZES = [1, 1000, MIB - 1, MIB, MIB + 1, 2 * MIB + 3]


def reference(data: bytes) -> str:
    """The checksum, as the page on the wire format tells it."""
    digests = [xxhash.xxh3_64(data[start : start + MIB]).digest() for start in range(0, len(data), MIB)]
    return xxhash.xxh3_64(b"".join(digests)).hexdigest()


def noise(size: int) -> np.ndarray[Any, Any]:
    """Bytes of which the codecs pack some."""
    data = np.random.default_rng(size).integers(0, 255, size, np.uint8)
    data[size // 3 : size // 2] = 7
    return data


# ---------------------------------------------------------------------- the checksum
@pytest.mark.parametrize("size", [0, *SIZES, 40 * MIB + 1])
def test_what_the_checksum_is(size: int) -> None:
    data = noise(size).data
    assert checksums.checksum(data) == checksums.checksum(data, threads=3) == reference(bytes(data))


@given(st.integers(0, 3 * MIB + 7), st.lists(st.integers(0, 3 * MIB + 7), max_size=8), st.randoms())
def test_whatever_comes_first(size: int, cuts: list[int], draw: random.Random) -> None:
    """Ranges that grow in any order, and pieces in a row, have the checksum of the whole."""
    data = noise(size).data
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    ranges = list(pairwise(edges))
    running = checksums.Running()
    for start, stop in ranges:
        running.update(data[start:stop])
    assert running.hexdigest() == reference(bytes(data))

    memory = np.zeros(size, np.uint8)
    filled = checksums.Filled(memory.data)
    draw.shuffle(ranges)
    for start, stop in ranges:
        for there in (draw.randint(start, stop), stop):
            memory[start:there] = data[start:there]
            filled.grown(start, there)
    assert filled.hexdigest() == reference(bytes(data))


# ---------------------------------------------------------------------- the description
DESCRIBED = ("dtype", "shape", "compression", "order", "descr", "utf8", KEY)
SUM = "xxh3-description"
ARRAYS = {
    "numbers": np.arange(64, dtype="i2").reshape(8, 8),
    "0-d": np.array(2.5),
    "times": np.arange(6).astype("m8[s]"),
    "structured": np.zeros(3, [("onset", "f8"), ("code", "i4")]),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_the_description_has_a_checksum(store: Store, array: np.ndarray[Any, Any]) -> None:
    cci = store.interface()
    cci.upload_raw_array("x", array)
    kept = {key.lower(): value for key, value in store.raw.get("x")[1].items()}
    assert kept[SUM] == xxhash.xxh3_64_hexdigest("\n".join(kept.get(key, "") for key in DESCRIBED).encode())
    assert_same(cci.download_raw_array("x"), array)


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", [False, "Blosc"])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_no_bit_of_a_description_makes_other_numbers(
    store: Store, array: np.ndarray[Any, Any], compression: str | bool
) -> None:
    cci = store.interface()
    cci.upload_raw_array("x", array, compression=compression)
    body, kept = store.raw.get("x")
    assert SUM in kept
    for key, text in kept.items():
        for place, bit in product(range(len(text)), range(7)):
            turned = text[:place] + chr(ord(text[place]) ^ 1 << bit) + text[place + 1 :]
            if key in {KEY, SUM} and turned.lower() == text:
                continue  # the same digits
            store.raw.put("x", body, kept | {key: turned})
            for read in (cci.download_raw_array, cci.open_array):
                with pytest.raises(CorruptObject, match=r"'x' in local container .*metadata"):
                    read("x")
        others = {other: told for other, told in kept.items() if other != key}
        store.raw.put("x", body, others)
        if key == SUM or not text:  # of an earlier release; or of a store that drops what is empty
            assert_same(cci.download_raw_array("x"), array)
        else:
            with pytest.raises((ChecksumMismatch, NotAnArray)):
                cci.download_raw_array("x")
    store.raw.put("x", body, kept | {"dtype": "|V1"})
    assert [damage.name for damage in cci.verify("x").damaged] == ["x"]


@pytest.mark.stores("local", "moto")
def test_what_stands_in_the_metadata(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    array = noise(3 * MIB).reshape(3, 1024, 1024)
    for codec in CODECS:
        cci.upload_raw_array("fortran", array.T, compression=codec)
        metadata = store.raw.get("fortran")[1]
        stored = array if metadata["order"] == "F" else np.ascontiguousarray(array.T)
        assert metadata[KEY] == reference(stored.tobytes())
    cci.upload_raw_array("empty", np.empty((0, 2)))
    assert store.raw.get("empty")[1][KEY] == reference(b"")
    with pytest.raises(ValueError, match=KEY):
        cci.upload_raw_array("x", array, **{KEY: "mine"})
    monkeypatch.setenv("COTTONCANDY_INTEGRITY_CHECKSUM", "False")
    plain = store.interface()
    plain.upload_raw_array("none", array)
    plain.upload_sparse_array("sparse", scipy.sparse.eye(3).tocsr())
    assert not any(KEY in store.raw.get(key)[1] for key in ("none", "sparse/data", "sparse/metadata.json"))
    assert_same(plain.download_raw_array("none"), array)
    assert_same(plain.download_sparse_array("sparse").toarray(), np.eye(3))
    flip(store, "fortran", 2000)
    with pytest.raises(ChecksumMismatch):  # those that are there are looked at
        plain.download_raw_array("fortran")


@pytest.mark.stores("local")
def test_a_checksum_that_is_none(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("x", np.arange(5), compression=False)
    data, metadata = store.raw.get("x")
    for lie in ("", "xyz", "0" * 15, "0" * 17, "-" + "0" * 15, "٣" * 16, "0x" + "0" * 14):
        store.raw.put("x", data, {**metadata, KEY: lie})
        with pytest.raises(CorruptObject, match=f"object 'x' in .*{KEY}.* no checksum") as caught:
            cci.download_raw_array("x")
        assert type(caught.value) is CorruptObject
        assert not cci.verify("x").ok
    store.raw.put("x", data, {**metadata, KEY: metadata[KEY].upper() + " "})  # as some servers change it
    assert_same(cci.download_raw_array("x"), np.arange(5))


# ---------------------------------------------------------------------- damage in the store
def _ways(cci: Any, size: int) -> list[Callable[[], Any]]:
    """How a whole array is read."""
    return [
        lambda: cci.download_raw_array("x", threads=1),
        lambda: cci.download_raw_array("x", threads=4),
        lambda: cci.download_raw_array("x", threads=3, out=np.zeros(size, np.uint8)),
        lambda: cci.download_raw_array("x", out=np.zeros((size, 2), np.uint8)[:, 1]),
        lambda: cci.open_array("x")[...],
        lambda: np.asarray(cci.open_array("x", threads=2)[::-1])[::-1],
    ]


def _attempt(read: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "", read()
    except ChecksumMismatch as error:
        return str(error), None


@pytest.mark.stores("local")
def test_flipped_bits_are_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 of 200. A few bits of some formats' headers mean nothing: there, the array is right."""
    small_parts(monkeypatch, 5, 0.3)  # ranges that end inside of blocks
    cci = store.interface()
    draw = random.Random(6)
    stored = []
    for codec, size in product(CODECS, (1000, MIB, 2 * MIB + 3)):
        cci.upload_raw_array("x", noise(size), compression=codec)
        stored.append((codec, size, *store.raw.get("x")))
    found, harmless = 0, []
    while found < 200:
        codec, size, data, metadata = draw.choice(stored)
        array, length = noise(size), len(data)
        edges = [at for at in (0, length - 1, MIB - 1, MIB, 2 * MIB - 1, 2 * MIB) if at < length]
        position = draw.choice([*edges, *(draw.randrange(length) for _ in edges)])
        store.raw.put("x", data, metadata)
        flip(store, "x", position)
        reason, arrived = _attempt(draw.choice(_ways(cci, size)))
        if arrived is None:
            assert "object 'x' in" in reason
            found += 1
        else:
            assert_same(np.ascontiguousarray(arrived), array)
            harmless.append((codec, position))
    assert all(position < 32 and codec != "False" for codec, position in harmless), harmless
    assert len(harmless) < 20


@pytest.mark.stores("local", "moto")
def test_flipped_bits_of_a_npy_file(store: Store) -> None:
    cci = store.interface()
    cci.upload_npy_array("a.npy", np.arange(1000.0))
    data, metadata = store.raw.get("a.npy")
    for position in (3, 8, 40, 130, len(data) - 1):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        store.raw.put("a.npy", bytes(damaged), metadata)
        with pytest.raises(ChecksumMismatch, match=r"'a\.npy'"):
            cci.download_npy_array("a.npy")
        assert [damage.name for damage in cci.verify("a.npy").damaged] == ["a.npy"]
    store.raw.delete("a.npy")
    store.raw.put("a.npy", bytes(damaged))  # of another program, and of releases before: read as it is
    assert cci.download_npy_array("a.npy").shape == (1000,)


def test_damage_in_arrays_of_several_objects(store: Store) -> None:
    cci = store.interface()
    array = np.arange(90_000.0).reshape(300, 300)
    cci.upload_dask_array("chunks", array, axis=0, buffersize=250_000)
    cci.upload_sparse_array("sparse", scipy.sparse.eye(30).tocsr())
    cci.upload_masked_array("masked", np.ma.masked_less(array, 5))
    cci.dict2cloud("tree", {"a": {"x": array}}, verbose=False)
    reads: dict[str, Callable[[], Any]] = {
        "chunks/pt0001": lambda: cci.download_dask_array("chunks").compute(scheduler="sync"),
        "sparse/indptr": lambda: cci.download_sparse_array("sparse"),
        "masked/mask": lambda: cci.download_masked_array("masked"),
        "tree/a/x": lambda: cci.cloud2dict("tree", verbose=False),
        "sparse/metadata.json": lambda: cci.download_sparse_array("sparse"),
    }
    for key, read in reads.items():
        flip(store, key, len(store.raw.get(key)[0]) // 2)
        with pytest.raises(ChecksumMismatch, match=key):
            read()
    # one chunk in two places would be a wrong array, without any error
    table, metadata = store.raw.get("chunks/metadata.json")
    store.raw.put("chunks/metadata.json", table.replace(b"pt0001", b"pt0000"), metadata)
    with pytest.raises(ChecksumMismatch, match=r"chunks/metadata\.json"):
        cci.download_dask_array("chunks")
    assert {damage.name for damage in cci.verify().damaged} == {*reads, "chunks/metadata.json"}


# ---------------------------------------------------------------------- damage on the way
@pytest.fixture
def opened(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, RecordingProxy, Store]:
    small_parts(monkeypatch, 5, 1)
    store, proxy = recorded
    return store.interface(), proxy, store


def _flips(proxy: RecordingProxy, start: int, then: Callable[[], object] = lambda: None) -> list[Request]:
    """Turn a bit of the first answer that begins at a byte of an object; what is done at the same time."""
    flipped: list[Request] = []
    lock = threading.Lock()

    def hook(request: Request) -> Fault | None:
        with lock:
            if request.method != "GET" or flipped or not (request.headers["Range"] or "").startswith(f"bytes={start}-"):
                return None
            flipped.append(request)
        then()
        return Fault("flip", 1000)

    proxy.hook = hook
    return flipped


def test_a_bit_that_turns_in_a_range(
    opened: tuple[Any, RecordingProxy, Store], caplog: pytest.LogCaptureFixture
) -> None:
    """All of the array is read once more, and nothing is asked for a third time."""
    cci, proxy, _ = opened
    array = noise(3 * MIB).reshape(3, MIB)
    cci.upload_raw_array("x", array, compression=False)
    for threads in (1, 4):
        proxy.clear()
        flipped = _flips(proxy, MIB)
        with caplog.at_level(logging.WARNING, "cottoncandy"):
            assert_same(cci.download_raw_array("x", threads=threads), array)
        assert "object 'x' in bucket" in caplog.text
        assert "reading it once more" in caplog.text
        assert len(flipped) == 1
        ranges = [request.headers["Range"] for request in proxy.requests]
        assert sorted(ranges) == sorted(2 * list(dict.fromkeys(ranges)))
    flipped = _flips(proxy, 0)
    assert cci.verify("x").ok
    assert flipped


def test_a_bit_that_turns_in_a_block(opened: tuple[Any, RecordingProxy, Store]) -> None:
    """A slice asks for the block once more."""
    cci, proxy, _ = opened
    array = noise(3 * MIB).reshape(3, MIB)
    cci.upload_raw_array("x", array, compression="Zstd-blocks")
    stored = cci.open_array("x")
    assert_same(stored[2:, -5:], array[2:, -5:])
    flipped = _flips(proxy, 0)
    assert_same(stored[:1, :5], array[:1, :5])
    assert flipped


def test_another_object_has_a_second_try_of_its_own(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, store = opened
    cci.upload_raw_array("new", np.arange(1000.0), compression="LZ4")
    new = store.raw.get("new")
    cci.upload_raw_array("x", noise(1500), compression=False)
    old = store.raw.get("x")
    _flips(proxy, 0, lambda: store.raw.put("x", *new))
    # the flip is in the answer about the old object or the new one: whichever, the new one is read in the end
    assert_same(cci.download_raw_array("x"), np.arange(1000.0))
    store.raw.put("x", *old)
    flipped = _flips(proxy, 0, lambda: store.raw.put("x", b"{}", {}))
    with pytest.raises(NotAnArray):
        cci.download_raw_array("x")
    assert flipped

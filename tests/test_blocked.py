"""Arrays in blocks, arrays into memory of the caller's, and memory maps."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as some
from recorder import Request
from samples import ALL, assert_same
from stores import Recorded, Store
from test_objects import small_parts

from cottoncandy import codecs
from cottoncandy.codecs import blocks
from cottoncandy.codecs.blocks import BlockIndex
from cottoncandy.errors import ChecksumMismatch, CorruptObject, NotAnArray, UnknownCodec

MIB = 2**20
CODECS = ["gzip", "Zlib", "BZ2", "Zstd", "LZ4", "LZ4Frame", "Blosc", "BloscChunks"]
NAMES = [f"{name}-blocks" for name in CODECS]
#: 6 MB that pack well, in 3 blocks.
_SMOOTH = (np.arange(1_500_000) // 7 % 251).astype("<i4").reshape(1500, 1000)


# ---------------------------------------------------------------------- as it went
@pytest.mark.stores("local")
@pytest.mark.parametrize("name", NAMES)
def test_every_array_in_blocks_of_every_codec(store: Store, name: str) -> None:
    cci = store.interface()
    for sample in ALL.values():
        cci.upload_raw_array("a", sample, compression=name)
        assert_same(cci.download_raw_array("a"), np.asarray(sample))
    cci.upload_raw_array("a", _SMOOTH[:700], compression=name)
    assert_same(cci.download_raw_array("a"), _SMOOTH[:700])


def test_in_blocks_on_every_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)
    cci = store.interface()
    noise = np.random.default_rng(0).standard_normal((1000, 1700))
    for array in (noise, np.asfortranarray(noise), _SMOOTH):
        for name, threads in (("Zstd-blocks", 3), ("lz4-BLOCKS", 1)):
            cci.upload_raw_array("a", array, compression=name, threads=threads)
            back = cci.download_raw_array("a", threads=threads)
            assert_same(back, array)
            assert back.flags.fnc == array.flags.fnc
            assert np.array_equal(cci.open_array("a")[300:500:7, ::-100], array[300:500:7, ::-100])
    assert store.raw.get("a")[1]["compression"] == "LZ4-blocks"
    assert store.raw.leftovers() == []


@pytest.mark.stores("local")
def test_a_codec_of_ones_own_goes_in_blocks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs.registry, "_CODECS", dict(codecs.registry._CODECS))
    codecs.register(
        codecs.Codec(
            "Mirror",
            lambda view, _: iter([bytes(view)[::-1]]),
            lambda chunks, out: codecs.fill(iter([b"".join(map(bytes, chunks))[::-1]]), out),
        )
    )
    cci = store.interface()
    cci.upload_raw_array("a", _SMOOTH, compression="mirror-blocks")
    assert store.raw.get("a")[1]["compression"] == "Mirror-blocks"
    assert np.array_equal(cci.open_array("a")[700], _SMOOTH[700])


@pytest.mark.parametrize("name", ["lzma-blocks", "-blocks", "blocks", "Zstd-", "Zstd-blocks-blocks", "Zstd-chunks"])
def test_other_names_are_unknown(name: str) -> None:
    with pytest.raises(UnknownCodec, match="-blocks"):
        codecs.get_codec(name)


# ---------------------------------------------------------------------- the layout
def pack(array: Any, name: str = "Zstd-blocks") -> bytes:
    return b"".join(codecs.get_codec(name).encode(memoryview(array).cast("B"), array.itemsize))


def test_the_layout_is_as_documented() -> None:
    body, parts, lengths = pack(_SMOOTH), [], []
    *numbers, total, checksum, magic = struct.unpack("<3IQI4s", body[-28:])
    assert magic == b"CCBI"
    assert checksum == zlib.crc32(body[-28:-8])
    assert total == _SMOOTH.nbytes
    while sum(map(len, parts)) < _SMOOTH.nbytes:
        size, packed, crc = struct.unpack("<III", body[:12])
        assert crc == zlib.crc32(body[12 : 12 + packed])
        parts.append(zstandard.ZstdDecompressor().decompress(body[12 : 12 + packed], max_output_size=size))
        lengths.append(packed)
        body = body[12 + packed :]
    assert b"".join(parts) == _SMOOTH.tobytes()
    assert [len(part) for part in parts] == [2 * MIB, 2 * MIB, _SMOOTH.nbytes - 4 * MIB]
    assert lengths == numbers


def test_blocks_hold_whole_items() -> None:
    assert blocks.block_size(1) == 2 * MIB
    assert blocks.block_size(7) == 2 * MIB // 7 * 7
    assert blocks.block_size(5 * MIB) == 5 * MIB


def test_the_bytes_do_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack(_SMOOTH)
    monkeypatch.setattr(blocks, "THREADS", 1)
    assert pack(_SMOOTH) == one


def test_an_old_reader_does_not_know_the_name(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", _SMOOTH, compression="gzip-blocks")
    assert store.raw.get("a")[1]["compression"] not in CODECS
    cci.upload_raw_array("empty", np.empty((0, 3)), compression="gzip-blocks")
    assert store.raw.get("empty")[1]["compression"] == "False"


# ---------------------------------------------------------------------- what is transferred
def test_a_slice_reads_its_blocks(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    noise = np.random.default_rng(0).integers(0, 2**62, (4000, 500))  # 16 MB, 8 blocks
    cci.upload_raw_array("a", noise, compression="LZ4-blocks")
    proxy.clear()
    opened = cci.open_array("a")
    assert np.array_equal(opened[100:110], noise[100:110])
    sizes = [request.answered for request in proxy.requests]
    assert [request.method for request in proxy.requests] == ["HEAD", "GET", "GET"]
    assert sizes[0] == 0
    assert sizes[1] == 8 * 4 + 16
    assert sizes[2] < 2.1 * MIB
    proxy.clear()
    assert np.array_equal(opened[[1000, 3999]], noise[[1000, 3999]])  # the index is known
    assert [request.answered < 2.1 * MIB for request in proxy.requests] == [True, True]
    proxy.clear()
    assert np.array_equal(opened[...], noise)
    assert sum(request.answered for request in proxy.requests) < 1.01 * noise.nbytes
    proxy.clear()
    assert np.array_equal(cci.download_raw_array("a"), noise)
    assert [request.method for request in proxy.requests] == ["GET"]


def test_rows_one_by_one_read_each_block_once(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("a", _SMOOTH, compression="Zstd-blocks")
    opened = cci.open_array("a")
    proxy.clear()
    for row in (*range(0, 1500, 10), 1499):
        assert np.array_equal(opened[row], _SMOOTH[row])
    assert len(proxy.requests) <= 1 + 3
    again = pickle.loads(pickle.dumps(opened))
    assert len(pickle.dumps(opened)) < 20_000
    assert np.array_equal(again[3], _SMOOTH[3])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("compression", ["Zstd", "Zstd-blocks"])
def test_a_slice_in_a_forked_child_while_another_thread_slices(recorded: Recorded, compression: str) -> None:
    """The thread that was reading, and held others back from it, is not in the child."""
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("a", _SMOOTH, compression=compression)
    opened = cci.open_array("a")
    reads, forked, first = threading.Event(), threading.Event(), threading.Lock()

    def hook(request: Request) -> None:
        if request.method == "GET" and first.acquire(blocking=False):
            reads.set()
            forked.wait(30)

    proxy.hook = hook
    sliced: list[Any] = []
    thread = threading.Thread(target=lambda: sliced.append(opened[5]))
    thread.start()
    assert reads.wait(30)
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(15)
        try:
            os._exit(0 if np.array_equal(opened[7], _SMOOTH[7]) else 1)
        finally:
            os._exit(2)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        forked.set()
        thread.join()
    assert np.array_equal(sliced[0], _SMOOTH[5])


# ---------------------------------------------------------------------- lies
def _with(body: bytes, at: int, number: int) -> bytes:
    at %= len(body)
    return body[:at] + struct.pack("<I", number) + body[at + 4 :]


def _lies(body: bytes) -> dict[str, bytes]:
    first, second, *rest = struct.unpack("<3IQ", body[-28:-8])
    swapped = struct.pack("<3IQ", second, first, *rest)
    huge = struct.pack("<3IQ", *[2**32 - 1] * 3, rest[-1])
    return {
        "no index": body[:-28],
        "cut": body[:-1],
        "longer": body + b"x",
        "empty": b"",
        "magic": body[:-1] + b"?",
        "index": _with(body, -28, 17),
        "swapped, with its checksum": body[:-28] + swapped + struct.pack("<I", zlib.crc32(swapped)) + b"CCBI",
        "huge, with its checksum": body[:-28] + huge + struct.pack("<I", zlib.crc32(huge)) + b"CCBI",
        "bytes of a block": _with(body, 0, 2 * MIB - 4),
        "huge block": _with(body, 0, 2**32 - 1),
        "huge packed": _with(body, 4, 2**32 - 1),
        "no bytes": _with(body, 0, 0),
        "checksum": _with(body, 8, 5),
        "packed bytes": _with(body, 100, 5),
    }


@pytest.mark.stores("local")
def test_lies_are_found_and_take_no_memory(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", _SMOOTH, compression="Zstd-blocks")
    body, metadata = store.raw.get("a")
    for lie in _lies(body).values():
        store.raw.put("a", lie, metadata)
        with pytest.raises(CorruptObject, match="'a'"):
            cci.download_raw_array("a")
        with pytest.raises(CorruptObject, match="'a'"):
            cci.open_array("a")[:1]
    store.raw.put("a", _with(body, 100, 5), metadata)
    with pytest.raises(ChecksumMismatch):
        cci.download_raw_array("a")
    for shape in ("99999999999999", "1500,1001", "1500,999", "2000000,1000"):
        store.raw.put("a", body, {**metadata, "shape": shape})
        with pytest.raises(CorruptObject, match="'a'"):
            cci.download_raw_array("a")
        with pytest.raises(CorruptObject, match="'a'"):
            cci.open_array("a")[:1]


@given(data=some.data())
def test_any_damage_is_found(data: some.DataObject) -> None:
    array = np.arange(300, dtype="<i4")
    body = bytearray(pack(array, "LZ4-blocks"))
    place = data.draw(some.integers(0, len(body) - 1))
    body[place] ^= data.draw(some.integers(1, 255))
    with pytest.raises(CorruptObject):
        codecs.get_codec("LZ4-blocks").decode(iter([bytes(body)]), memoryview(bytearray(array.nbytes)))


def test_an_index_of_another_array() -> None:
    body = pack(_SMOOTH)
    good = BlockIndex.parse(body[-28:], _SMOOTH.nbytes, 4, len(body))
    assert good.span(0)[0] == 0
    assert good.data_span(2) == (4 * MIB, _SMOOTH.nbytes)
    with pytest.raises(CorruptObject):
        BlockIndex.parse(body[-28:], _SMOOTH.nbytes, 4, len(body) + 1)


# ---------------------------------------------------------------------- into memory of the caller's
def _targets(array: Any, folder: Path) -> dict[str, Any]:
    """Arrays of that shape and dtype, by how they lie in memory."""
    shape, dtype = array.shape, array.dtype
    return {
        "C": np.empty(shape, dtype),
        "F": np.empty(shape, dtype, order="F"),
        "strided": np.empty([2 * length for length in shape], dtype)[(slice(None, None, 2),) * len(shape)],
        "backward": np.empty(shape, dtype)[::-1],
        "memory map": np.memmap(folder / "c", dtype, "w+", shape=shape),
        "memory map in F order": np.memmap(folder / "f", dtype, "w+", shape=shape, order="F"),
    }


@pytest.mark.parametrize("compression", [False, "gzip", "Zstd", "Zstd-blocks"], ids=str)
def test_into_an_array_of_the_callers(store: Store, tmp_path: Path, compression: Any) -> None:
    cci = store.interface()
    array = np.arange(24_000, dtype="<i4").reshape(20, 30, 40)
    for order in "CF":
        cci.upload_raw_array("a", np.asarray(array, order=order), compression=compression)
        for name, out in _targets(array, tmp_path).items():
            out[...] = -1
            assert cci.download_raw_array("a", out=out) is out, name
            assert np.array_equal(out, array), name


@pytest.mark.stores("local", "moto")
def test_into_an_array_of_every_kind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cottoncandy.rawarrays._SLAB", 50)
    cci = store.interface()
    for sample in ALL.values():
        array = np.asarray(sample)
        cci.upload_raw_array("a", sample, compression=False)
        for out in (np.zeros(array.shape, array.dtype), np.zeros((*array.shape, 2), array.dtype)[..., 0]):
            assert cci.download_raw_array("a", out=out) is out
            assert_same(out, array)


def test_what_does_not_fit_is_refused_before_a_byte_is_moved(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("some/a", np.ones((3, 4)), compression=False)
    read_only = np.zeros((3, 4))
    read_only.flags.writeable = False
    for out, error, text in (
        (np.zeros((4, 3)), ValueError, r"some/a.*\(3, 4\).*\(4, 3\)"),
        (np.zeros((3, 4), "f4"), ValueError, "some/a.*float64.*float32"),
        (np.zeros((3, 4), ">f8"), ValueError, "some/a.*float64.*>f8"),
        (read_only, ValueError, "some/a.*read-only"),
        ([[0.0] * 4] * 3, TypeError, "some/a.*list"),
    ):
        with pytest.raises(error, match=text):
            cci.download_raw_array("some/a", out=out)
        assert not np.any(out)
    cci.upload_json("json", {})
    with pytest.raises(NotAnArray):
        cci.download_raw_array("json", out=np.zeros(3))


# ---------------------------------------------------------------------- memory
MEASURE = """
import os, sys
import numpy as np
import cottoncandy

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))

class Peak:
    def __enter__(self):
        import threading
        self.most, self.before, self.over = 0, anonymous(), threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self
    def watch(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, anonymous())
    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        print(max(self.most, anonymous()) - self.before)

folder = sys.argv[1]
cci = cottoncandy.get_interface(folder + "/store", backend="local", verbose=False)
cci.upload_raw_array("warm", np.arange(10), compression="Zstd")
cci.download_raw_array("warm")
"""


def _peaks(code: str, tmp_path: Path) -> list[int]:
    """MiB of anonymous memory that each part of a script of its own takes at most."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE + textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells of anonymous memory")
def test_a_memory_map_is_never_loaded(tmp_path: Path) -> None:
    code = """
    mapped = np.memmap(folder + "/map", "<f4", "w+", shape=(300, 2**18))
    for row in range(300):
        mapped[row] = row + np.arange(2**18) // 100
    mapped.flush()
    for compression in (False, True, "Zstd", "Zstd-blocks", "LZ4-blocks"):
        with Peak():
            cci.upload_raw_array(f"a-{compression}", mapped, compression=compression)
    target = np.memmap(folder + "/target", "<f4", "w+", shape=(300, 2**18))
    for compression in (False, True, "Zstd", "Zstd-blocks", "LZ4-blocks"):
        target[...] = 0
        with Peak():
            cci.download_raw_array(f"a-{compression}", out=target)
        if not np.array_equal(target, mapped):
            sys.exit("not the same")
    opened = cci.open_array("a-Zstd-blocks")
    with Peak():
        total = sum(float(row[0]) for row in opened)
    with Peak():
        opened[:, 5]
    """
    peaks = _peaks(code, tmp_path)
    assert len(peaks) == 12
    # 300 MiB of data; parts of 8 MiB for each of 4 threads, and what the codecs take
    assert max(peaks) < 100, peaks
    assert peaks[0] < 10
    assert peaks[5] < 10

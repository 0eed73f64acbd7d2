"""Blosc buffers made and read block by block: they are those of the library, byte for byte where it matters."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from numcodecs import blosc

from cottoncandy.bodies import in_order
from cottoncandy.codecs import get_codec, is_compressible
from cottoncandy.codecs.blosc import packing, ways
from cottoncandy.errors import CorruptObject

RNG = np.random.default_rng(0)
MIB = 2**20


def encode(data: bytes, itemsize: int) -> bytes:
    return b"".join(in_order(functools.partial(get_codec("Blosc").encode, memoryview(data), itemsize)))


def decode(body: bytes, size: int, step: int = 1_000_003) -> bytearray:
    out = bytearray(size)
    get_codec("Blosc").decode((body[start : start + step] for start in range(0, len(body), step)), memoryview(out))
    return out


def smooth(size: int) -> bytes:
    return np.cumsum(RNG.integers(-3, 4, size // 4 + 1)).astype("f4").tobytes()[:size]


def sample(kind: str, size: int) -> bytes:
    if kind == "zeros":
        return bytes(size)
    if kind == "noise":
        return RNG.bytes(size)
    return smooth(size) if kind == "smooth" else smooth(size // 2) + RNG.bytes(size - size // 2)


@pytest.mark.parametrize("itemsize", [1, 2, 3, 4, 8, 12, 17, 255, 256, 1000, MIB + 1])
@pytest.mark.parametrize("kind", ["smooth", "noise", "mixed", "zeros"])
@pytest.mark.parametrize("mib", [0.5, 4.1, 6, 9.3])
def test_the_library_reads_what_is_made_in_slices(itemsize: int, kind: str, mib: float) -> None:
    data = sample(kind, max(1, int(mib * MIB) // itemsize) * itemsize)
    body = encode(data, itemsize)
    assert len(body) <= len(data) + 2**16
    assert bytes(blosc.decompress(body)) == data
    assert decode(body, len(data)) == data


@pytest.mark.parametrize("way", [*ways.WAYS, ways.Way(b"zstd", 1, 2)], ids=repr)
@pytest.mark.parametrize("itemsize", [1, 3, 4, 8, 16, 17, 200, 300])
@pytest.mark.parametrize("items", [0, 1, 5])
@pytest.mark.parametrize("end", ["smooth", "noise"])
def test_however_it_is_packed(
    monkeypatch: pytest.MonkeyPatch, way: ways.Way, itemsize: int, items: int, end: str
) -> None:
    """Noise in the middle, which cannot be packed; and a last block of any length."""
    monkeypatch.setattr(packing, "choose", lambda *_: way)
    block = packing._form(itemsize, way).block
    data = smooth(4 * block) + RNG.bytes(3 * block) + sample(end, block // 3 + items * itemsize)
    data = data[: len(data) // itemsize * itemsize]
    body = encode(data, itemsize)
    assert body[2] & 7 == {1: 1, 2: 4}[way.shuffle]
    assert bytes(blosc.decompress(body)) == data
    assert decode(body, len(data)) == data


@pytest.mark.parametrize("compressor", [b"lz4", b"zstd", b"blosclz", b"zlib", b"lz4hc"])
@pytest.mark.parametrize("shuffle", [blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE])
@pytest.mark.parametrize("block", [0, 4096, 100_000])
@pytest.mark.parametrize("itemsize", [1, 4, 12])
def test_what_the_library_makes_is_read(
    compressor: bytes, shuffle: int, block: int, itemsize: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blosc, "use_threads", True)
    data = smooth(5_000_000 // itemsize * itemsize)
    # its threads put the blocks where there is room, in any order
    body = blosc.compress(np.frombuffer(data, f"V{itemsize}"), compressor, 3, shuffle, block)
    assert decode(body, len(data)) == data


@pytest.mark.parametrize("step", [1, 7919, 3 * MIB], ids=["bytes", "pieces", "whole"])
@pytest.mark.parametrize("kind", ["smooth", "noise", "zeros"])
@pytest.mark.parametrize("size", [0, 8, 100_000, 3 * 2**19])
def test_a_small_buffer_arrives_in_pieces_or_whole(kind: str, size: int, step: int) -> None:
    if step == 1 and size > 8:
        size = 20_000
    data = sample(kind, size)
    # several, as BloscChunks has them; the library packs those of more blocks than one in any order
    body = encode(data, 4) + blosc.compress(np.frombuffer(data, "f4"), b"lz4", 3, 1, 2**16)
    assert decode(body, 2 * len(data), step) == 2 * data
    with pytest.raises(CorruptObject):
        decode(body[:-1], 2 * len(data), step)


@pytest.mark.parametrize("threads", [True, False, None])
def test_whatever_others_let_the_library_do(threads: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blosc, "use_threads", threads)
    data = smooth(9 * MIB)
    body = encode(data, 4)
    assert bytes(blosc.decompress(body)) == data
    assert decode(body, len(data)) == data


@pytest.mark.parametrize("mib", [1.5, 6])
def test_a_table_that_lies_is_refused(mib: float) -> None:
    data = smooth(int(mib * MIB))
    body = bytearray(encode(data, 4))
    for wrong in (0, 15, 17, len(body), 2**32 - 1):
        broken = body.copy()
        broken[16:20] = wrong.to_bytes(4, "little")
        with pytest.raises(CorruptObject):
            decode(bytes(broken), len(data), 2 * MIB)
    broken = body.copy()
    broken[20:24] = broken[16:20]  # two blocks at one place
    with pytest.raises(CorruptObject):
        decode(bytes(broken), len(data), 2 * MIB)


@pytest.mark.parametrize("mib", [2, 3, 4, 9])
def test_the_same_data_makes_the_same_bytes(mib: int) -> None:
    """Also in the main thread, where the library lets threads of its own put the blocks where there is room."""
    data = smooth(mib * MIB)
    assert len({encode(data, 4) for _ in range(60)}) == 1


def packings(data: np.ndarray) -> dict[ways.Way, int]:
    """What each way makes of the data."""
    return {way: len(blosc.compress(data, *way, MIB)) for way in ways.WAYS}


@pytest.mark.parametrize(
    "data",
    [
        np.cumsum(RNG.integers(-3, 4, 3 * MIB)).astype("f4"),
        (1000 * np.abs(np.sin(np.linspace(0, 300, 4 * MIB))) + RNG.integers(0, 30, 4 * MIB)).astype("i2"),
        np.cumsum(RNG.standard_normal(MIB)),
        np.sin(np.linspace(0, 3000, 8 * MIB)) > 0.3,
        np.repeat(RNG.integers(0, 90, 2**14), 64),
        np.sort(RNG.integers(0, 10**9, MIB)),
        np.zeros(MIB),
        np.zeros(10),
        np.zeros(5, "V300000"),
    ],
    ids=["f4", "i2", "f8", "mask", "labels", "i8", "zeros", "few", "large items"],
)
def test_the_fastest_of_the_dense_ways_is_taken(data: np.ndarray) -> None:
    """Within a tenth of the densest, and what a sample shows less of than there is."""
    sizes = packings(data)
    way = ways.choose(memoryview(data).cast("B"), data.dtype.itemsize)
    assert sizes[way] <= 1.15 * min(sizes.values())
    assert len(encode(data.tobytes(), data.dtype.itemsize)) <= 1.01 * sizes[way] + 1000  # its blocks are smaller


def test_data_of_all_kinds_is_packed_in_all_ways() -> None:
    smooth_numbers, labels = np.cumsum(RNG.integers(-3, 4, MIB)).astype("f4"), np.repeat(np.arange(2**14), 64)
    sorted_numbers = np.sort(RNG.integers(0, 10**9, MIB))
    taken = [ways.choose(memoryview(one).cast("B"), one.itemsize) for one in (sorted_numbers, smooth_numbers, labels)]
    assert taken == [*ways.WAYS]


@pytest.mark.parametrize("itemsize", [1, 8, 12, 10**6])
def test_a_sample_tells_what_is_worth_packing(itemsize: int) -> None:
    size = 8 * MIB // itemsize * itemsize
    assert is_compressible(memoryview(smooth(size)), itemsize)
    assert not is_compressible(memoryview(RNG.bytes(size)), itemsize) or itemsize == 10**6
    assert not is_compressible(memoryview(RNG.standard_normal(MIB).tobytes()), 8)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("nbytes", [1000, 2**19, 2**20 + 8, 3 * 2**20, 9 * 2**20])
def test_a_lock_that_an_interrupt_left_behind_keeps_nobody_waiting(
    nbytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own, of the main thread: processes that were forked share it, too."""
    monkeypatch.setattr(blosc, "use_threads", None)
    data = smooth(nbytes)
    with blosc.get_mutex():
        assert decode(encode(data, 8), len(data)) == data


# what three threads hold at most, in MiB, while they unpack blocks of 512 KiB
_HELD = """
import threading
import numpy as np
from pathlib import Path
from cottoncandy.codecs.blosc import ways
from cottoncandy.codecs.blosc.format import library

def hwm():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

def work(out):
    for _ in range(30):
        library().decompress(packed, out)

packed = ways.pack(memoryview(np.arange(2**18, dtype="f4")).cast("B"), 4)
outs = np.zeros((3, 2**20), "u1")
library().decompress(packed, outs[0])
Path("/proc/self/clear_refs").write_text("5")
before = hwm()
threads = [threading.Thread(target=work, args=(out,)) for out in outs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print((hwm() - before) / 2**10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from Linux's /proc")
def test_a_thread_holds_no_more_than_it_uses() -> None:
    """Whatever the allocator: none of its variables is set here, as in tests of how much is in use."""
    command = [sys.executable, "-W", "error", "-c", _HELD]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert float(done.stdout) < 8  # in each thread, the library takes twice the size of a block

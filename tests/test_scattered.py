"""Arrays that do not lie in their stored order: gathered piece by piece, and stored as their copies are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as some
from stores import Store
from test_objects import small_parts

from cottoncandy import codecs, scattered
from cottoncandy.arrayformat import memory
from cottoncandy.checksums import checksum
from cottoncandy.scattered import Scattered

CODECS = ["gzip", "Zlib", "BZ2", "Zstd", "LZ4", "LZ4Frame", "Blosc", "BloscChunks"]
DTYPES = ["u1", "?", "<i2", ">i4", "f8", "c16", "S3", "U5", "M8[D]", "V7", "u1,f8", "S70000"]
PADDED = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 24})
MIB = 2**20


def _views(noise: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Views of an array of three axes, none in one piece and in C order."""
    return {
        "Fortran": noise.T,
        "backwards": noise[::-1],
        "gaps": noise[:, ::2],
        "turned": noise.transpose(1, 2, 0)[:, ::-1],
        "repeated": np.broadcast_to(noise[:2, None, 1:], (2, 3, noise.shape[1] - 1, noise.shape[2])),
    }


@pytest.mark.parametrize("dtype", [*DTYPES, PADDED], ids=str)
@pytest.mark.parametrize("box", [(512, 256), (3, 8), (1, 1)])
def test_what_is_gathered_is_what_numpy_copies(
    dtype: str | np.dtype[Any], box: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scattered, "_ROWS", box[0])
    monkeypatch.setattr(scattered, "_ROW", box[1])
    kind, shape = np.dtype(dtype), (3, 2, 3) if dtype == "S70000" else (7, 5, 11)
    raw = np.random.default_rng(0).bytes(int(np.prod(shape)) * kind.itemsize)
    for view in _views(np.frombuffer(raw, f"V{kind.itemsize}").reshape(shape).view(kind)).values():
        copied = view.view(f"V{kind.itemsize}").tobytes()
        whole = Scattered(view)
        assert len(whole) == len(copied)
        assert whole.gather() == copied
        edges = np.random.default_rng(1).integers(0, len(copied) + 1, (30, 2))
        for start, stop in (*np.sort(edges).tolist(), (5, 5), (len(copied) - 1, 2 * len(copied)), (9, 2)):
            assert whole[start:stop].gather() == copied[start:stop]


@given(some.lists(some.integers(1, 7), min_size=1, max_size=4), some.data())
def test_any_range_of_any_order(shape: list[int], data: some.DataObject) -> None:
    array = (
        np.arange(np.prod(shape), dtype="<i4").reshape(shape).transpose(data.draw(some.permutations(range(len(shape)))))
    )
    array = array[tuple(slice(None, None, data.draw(some.sampled_from([1, -1, 2, -3]))) for _ in shape)]
    start, stop = (data.draw(some.integers(0, array.nbytes)) for _ in range(2))
    part = Scattered(array)[start:stop]
    assert part.gather() == array.tobytes()[start:stop]
    assert part[3:7].gather() == array.tobytes()[start:stop][3:7]


def test_its_checksum_is_that_of_its_copy() -> None:
    for rows in (3, 150_000, 600_000):
        array = np.random.default_rng(0).integers(0, 255, (rows, 67), "u1").T
        for threads in (1, 3):
            assert checksum(Scattered(array), threads) == checksum(np.ascontiguousarray(array).data.cast("B"))


# ---------------------------------------------------------------------- stored
def _stored(store: Store, array: npt.NDArray[Any], compression: str | bool) -> tuple[bytes, dict[str, str]]:
    store.interface().upload_raw_array("a", array, compression=compression)
    body, metadata = store.raw.get("a")
    return bytes(body), dict(metadata)


@pytest.fixture
def piecewise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of some MiB are gathered piece by piece, too."""
    monkeypatch.setattr(memory, "_GATHERED_AT_ONCE", MIB)


@pytest.mark.usefixtures("piecewise")
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("compression", [False, True, *CODECS, *(f"{name}-blocks" for name in CODECS)], ids=str)
def test_it_is_stored_as_its_copy_is(store: Store, compression: str | bool) -> None:
    # numbers that pack, noise and both: what a codec does with each is something else
    smooth = np.cumsum(np.random.default_rng(0).integers(-3, 4, 1_600_000)).astype("<i4")
    smooth[500_000:700_000] = np.random.default_rng(1).integers(-(2**31), 2**31, 200_000)
    views = _views(smooth.reshape(40, 160, 250)) if compression != "BZ2" else {"backwards": smooth[::-1]}
    keeps_order = compression in {False, "gzip"} or str(compression).endswith("-blocks")
    for view in views.values():
        if not (keeps_order and view.flags.fnc):  # such a one goes as it lies
            assert _stored(store, view, compression) == _stored(store, np.ascontiguousarray(view), compression)
    assert store.raw.leftovers() == []


@pytest.mark.usefixtures("piecewise")
@pytest.mark.parametrize("threads", [1, 3])
def test_it_comes_back_from_every_store(store: Store, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)
    noise = np.random.default_rng(0).standard_normal((30, 80, 110))
    for view in (noise[::-1], noise.T, noise[:, ::-1]):
        for compression in (False, "Blosc", "LZ4", "Zstd-blocks"):
            store.interface().upload_raw_array("a", view, compression=compression, threads=threads)
            assert np.array_equal(store.interface().download_raw_array("a"), view)
    assert store.raw.leftovers() == []


@pytest.mark.usefixtures("piecewise")
@pytest.mark.stores("local")
def test_codecs_of_others_get_contiguous_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def encode(view: memoryview, _itemsize: int) -> Iterator[memoryview]:
        given.append(view)
        yield view

    monkeypatch.setattr(codecs.registry, "_CODECS", dict(codecs.registry._CODECS))
    codecs.register(codecs.Codec("Same", encode, codecs.fill))
    array = np.arange(MIB).reshape(1024, 1024).T
    store.interface().upload_raw_array("a", array, compression="Same")
    assert np.array_equal(store.interface().download_raw_array("a"), array)
    (view,) = given
    assert isinstance(view, memoryview)
    assert (view.format, view.c_contiguous) == ("B", True)


@pytest.mark.usefixtures("piecewise")
@pytest.mark.stores("local")
def test_what_lies_between_the_fields_of_a_structure_is_stored(store: Store) -> None:
    array = np.zeros((2000, 50), PADDED)
    array.view("V24").view("u1")[...] = 7
    body, _ = _stored(store, array[::-1], False)
    assert body == bytes([7]) * array.nbytes
    body, _ = _stored(store, array[:100:-1][:9], False)
    assert body == bytes([7]) * (9 * 50 * 24)


# ---------------------------------------------------------------------- memory
# how much more memory than its array an upload needs at its peak, in MiB
_PEAKS = """
import sys
import numpy as np
from pathlib import Path
import cottoncandy

def hwm():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) >> 10

cci = cottoncandy.get_interface(sys.argv[1], backend="local", verbose=False)
smooth = np.cumsum(np.random.default_rng(0).integers(-3, 4, 2**26, dtype="i1"), dtype="f4")  # 256 MiB
array = smooth.reshape(128, 512, 1024)
views = {"Fortran": array.T, "backwards": array[::-1], "gaps": array[:, ::2]}
for name, compression in (case.split("-") for case in sys.argv[2:]):
    compression = compression != "False" and compression
    cci.upload_raw_array("warm", np.ones((3000, 2000), "f4").T, compression=compression)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    before = hwm()
    cci.upload_raw_array("a", views[name], compression=compression)
    print(hwm() - before)
    if not np.array_equal(cci.download_raw_array("a"), views[name]):
        sys.exit("not the same")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from Linux's /proc")
@pytest.mark.parametrize(
    "case",
    ["Fortran-Blosc", "Fortran-Zstd", "Fortran-LZ4", "backwards-False", "backwards-Blosc", "gaps-False", "gaps-Blosc"],
)
def test_an_upload_takes_no_memory_of_the_size_of_its_array(case: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PEAKS, str(tmp_path), case]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    # of 256, and of 128 with gaps
    assert int(done.stdout) < 64

"""zarr and xarray on every store: zarr's own suite for stores, and what it does not ask."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from recorder import Fault
from stores import Recorded, Store
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.buffer.cpu import Buffer
from zarr.testing.store import StoreTests

from cottoncandy.errors import ObjectChanged
from cottoncandy.stream import TransferSettings
from cottoncandy.zarrstore import ZarrStore

ROOT = Path(__file__).parent.parent
#: The rest of S3 would tell nothing new here.
pytestmark = pytest.mark.stores("local", "moto", "seaweedfs", "gdrive")
PREFIX = "lab/exp"
PROTOTYPE = default_buffer_prototype()


def _buffer(data: bytes) -> Buffer:
    return Buffer.from_bytes(data)


# ---------------------------------------------------------------------- zarr's own suite
class TestZarrsOwnSuite(StoreTests[ZarrStore, Buffer]):
    """All of it; what the suite asks for goes past the library (`Store.raw`)."""

    store_cls = ZarrStore
    buffer_cls = Buffer

    # An optional protocol of stores in memory: a caller that finds it waits for chunk after chunk in its own thread,
    # which a store over a network must not be asked to do.
    test_get_sync = test_get_sync_missing = test_set_sync = None  # type: ignore[assignment]
    test_delete_sync = test_delete_sync_missing = None  # type: ignore[assignment]

    @pytest.fixture
    def store_kwargs(self, place: Store) -> dict[str, Any]:
        self.raw = place.raw
        return {"backend": place.backend(), "prefix": PREFIX}

    async def set(self, store: ZarrStore, key: str, value: Buffer) -> None:
        self.raw.put(f"{PREFIX}/{key}", value.to_bytes())

    async def get(self, store: ZarrStore, key: str) -> Buffer:
        return _buffer(self.raw.get(f"{PREFIX}/{key}")[0])

    def test_store_repr(self, store: ZarrStore) -> None:
        assert PREFIX in repr(store)
        assert str(store).endswith(f"/{PREFIX}")

    def test_store_supports_writes(self, store: ZarrStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: ZarrStore) -> None:
        assert store.supports_listing


# ---------------------------------------------------------------------- what it does not ask
async def _collect(names: Any) -> list[str]:
    return sorted([name async for name in names])


async def test_a_sibling_is_no_part_of_a_store(store: Store) -> None:
    for name in ("exp/a", "exp/c/0", "exp2/a", "experiment"):
        store.raw.put(name, b"12")
    exp = store.interface().zarr_store("exp")
    assert await _collect(exp.list()) == ["a", "c/0"]
    assert await _collect(exp.list_dir("")) == ["a", "c"]
    assert await exp.getsize_prefix("") == 4
    await exp.clear()
    assert store.raw.keys() == ["exp2/a", "experiment"]


async def test_a_directory_in_a_store_has_siblings_too(store: Store) -> None:
    for name in ("exp/c/0", "exp/c2/0"):
        store.raw.put(name, b"123")
    exp = store.interface().zarr_store("exp")
    assert await exp.getsize_prefix("c") == 3
    await exp.delete_dir("c")
    assert store.raw.keys() == ["exp/c2/0"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (RangeByteRequest(2, 5), b"234"),
        (RangeByteRequest(8, 99), b"89"),
        (RangeByteRequest(4, 4), b""),
        (RangeByteRequest(50, 60), b""),
        (OffsetByteRequest(7), b"789"),
        (OffsetByteRequest(10), b""),
        (SuffixByteRequest(3), b"789"),
        (SuffixByteRequest(99), b"0123456789"),
    ],
    ids=str,
)
async def test_ranges(store: Store, wanted: Any, expected: bytes) -> None:
    store.raw.put("exp/x", b"0123456789")
    got = await store.interface().zarr_store("exp").get("x", PROTOTYPE, wanted)
    assert got is not None
    assert got.to_bytes() == expected


async def test_many_parts_at_once_in_order(store: Store) -> None:
    exp = store.interface().zarr_store()
    for i in range(30):
        store.raw.put(f"c/{i}", b"%04d" % i)
    wanted = [(f"c/{i}", RangeByteRequest(2, 4)) for i in range(30)] + [("missing", None)]
    *found, missing = await exp.get_partial_values(PROTOTYPE, wanted)
    assert [part.to_bytes() for part in found if part] == [b"%02d" % i for i in range(30)]
    assert missing is None


async def test_the_first_of_many_writers_wins(store: Store) -> None:
    """On SeaweedFS too, whose conditional writes are checks: so here the writers come one after the other."""
    exp = store.interface().zarr_store("exp")
    for text in (b"first", b"second"):
        await exp.set_if_not_exists("x", _buffer(text))
    assert store.raw.get("exp/x")[0] == b"first"


@pytest.mark.stores("local", "moto")
async def test_of_writers_at_the_same_time_one_wins(store: Store) -> None:
    exp = store.interface().zarr_store("exp")
    texts = [b"%d" % i for i in range(16)]
    await asyncio.gather(*(exp.set_if_not_exists("x", _buffer(text)) for text in texts))
    winner = store.raw.get("exp/x")[0]
    assert winner in texts
    await asyncio.gather(*(exp.set_if_not_exists("x", _buffer(b"late")) for _ in range(4)))
    assert store.raw.get("exp/x")[0] == winner


@pytest.mark.stores("local", "moto")
async def test_large_chunks_move_in_parts(store: Store) -> None:
    mib = 2**20
    settings = TransferSettings(
        upload_threshold=6 * mib, upload_part=5 * mib, download_threshold=2 * mib, download_part=mib
    )
    exp = ZarrStore(store.backend(), "exp", settings=settings)
    body = np.random.default_rng(0).bytes(12 * mib + 17)
    await exp.set("chunk", _buffer(body))
    assert store.raw.get("exp/chunk")[0] == body
    got = await exp.get("chunk", PROTOTYPE, RangeByteRequest(mib + 1, 9 * mib))
    assert got is not None
    assert got.to_bytes() == body[mib + 1 : 9 * mib]
    assert store.raw.leftovers() == []


async def test_what_is_no_buffer_is_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="bytes"):
        await store.interface().zarr_store().set("x", b"bytes")  # type: ignore[arg-type]
    assert store.raw.keys() == []


@pytest.mark.stores("moto")
def test_neither_name_nor_pickle_of_a_store_tells_a_secret(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = store.access["secret_key"]
    exp = store.interface().zarr_store("exp")
    assert secret not in repr(exp) + str(exp) + f"{vars(exp)}"
    store.give_keys(monkeypatch)
    found = store.interface(ACCESS_KEY=None, SECRET_KEY=None).zarr_store("exp")
    assert secret.encode() not in pickle.dumps(found)


def test_stores_are_equal_when_they_are_the_same_place(store: Store) -> None:
    cci = store.interface()
    exp = cci.zarr_store("exp")
    assert exp == store.interface().zarr_store("/exp/") == pickle.loads(pickle.dumps(exp))
    assert exp != cci.zarr_store("exp2")
    assert exp != cci.zarr_store("exp", read_only=True)
    assert exp != store.second_container().interface().zarr_store("exp")


# ---------------------------------------------------------------------- on the wire
async def test_a_chunk_costs_one_request(recorded: Recorded) -> None:
    exp = recorded.store.interface().zarr_store("exp")
    recorded.proxy.clear()
    for i in range(2):
        await exp.set(f"c/{i}", _buffer(b"0123456789"))
    await exp.get("c/0", PROTOTYPE)
    await exp.get("c/0", PROTOTYPE, RangeByteRequest(2, 4))
    await exp.delete_dir("c")
    methods = [request.method for request in recorded.proxy.requests]
    assert methods == ["PUT", "PUT", "GET", "GET", "GET", "POST"]  # the last two list the directory, and empty it


async def test_a_chunk_that_breaks_goes_on_from_there(recorded: Recorded) -> None:
    body = np.random.default_rng(0).bytes(1_000_000)
    recorded.store.raw.put("exp/c", body)
    exp = recorded.store.interface().zarr_store("exp")
    faults = iter([Fault("truncate", 400_000)])
    recorded.proxy.hook = lambda request: next(faults, None) if request.method == "GET" else None
    got = await exp.get("c", PROTOTYPE, OffsetByteRequest(1000))
    assert got is not None
    assert got.to_bytes() == body[1000:]
    again = recorded.proxy.requests[-1]
    assert again.headers["Range"] == "bytes=401000-999999"
    assert again.headers["If-Match"]


async def test_a_suffix_is_of_one_version(recorded: Recorded) -> None:
    """Its request comes after one for the size: the object may have been replaced in between."""
    recorded.store.raw.put("exp/c", b"0123456789")
    exp = recorded.store.interface().zarr_store("exp")

    def replace(request: Any) -> None:
        if request.method == "GET":
            recorded.store.raw.put("exp/c", b"another, and a longer one")

    recorded.proxy.hook = replace
    with pytest.raises(ObjectChanged):
        await exp.get("c", PROTOTYPE, SuffixByteRequest(3))


# ---------------------------------------------------------------------- zarr and xarray
def test_an_array_of_zarr(store: Store) -> None:
    exp = store.interface().zarr_store("exp.zarr")
    data = np.arange(60, dtype="<i4").reshape(10, 6)
    grid = zarr.create_array(exp, name="bold", data=data, chunks=(3, 6))
    grid[2:5] = 7
    data[2:5] = 7
    again = zarr.open_group(store.interface().zarr_store("exp.zarr", read_only=True), mode="r")["bold"]
    np.testing.assert_array_equal(again[:], data)  # type: ignore[index]
    np.testing.assert_array_equal(again[4:9, 2], data[4:9, 2])  # type: ignore[index]
    assert "exp.zarr/bold/c/0/0" in store.raw.keys("exp.zarr/")
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1  # type: ignore[index]


def test_a_sharded_array_reads_the_chunks_that_it_needs(recorded: Recorded) -> None:
    exp = recorded.store.interface().zarr_store("exp.zarr")
    data = np.random.default_rng(0).integers(0, 255, (64, 64, 64), dtype=np.uint8)
    zarr.create_array(exp, data=data, chunks=(8, 64, 64), shards=(64, 64, 64), compressors=None)
    grid = zarr.open_array(exp, mode="r")
    recorded.proxy.clear()
    np.testing.assert_array_equal(grid[8:16], data[8:16])
    assert sum(request.answered for request in recorded.proxy.requests) < 2 * data[8:16].nbytes


def _dataset() -> xr.Dataset:
    bold = np.random.default_rng(0).standard_normal((6, 4, 5)).astype("f4")
    times = np.datetime64("2026-01-01") + np.arange(6).astype("m8[D]")
    return xr.Dataset(
        {"bold": (("time", "y", "x"), bold), "motion": ("time", np.arange(6.0))},
        coords={"time": times.astype("M8[ns]")},
        attrs={"subject": "S01"},
    )


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")  # zarr's note about its format 3
def test_a_dataset_of_xarray(store: Store, consolidated: bool) -> None:
    dataset = _dataset()
    dataset.to_zarr(store.interface().zarr_store("lab/exp.zarr"), consolidated=consolidated)
    opened = xr.open_zarr(store.interface().zarr_store("lab/exp.zarr"), consolidated=consolidated, chunks=None)
    xr.testing.assert_identical(opened.load(), dataset)
    assert store.raw.keys() == store.raw.keys("lab/exp.zarr/") != []


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_dataset_in_chunks_of_dask(store: Store, zarr_format: Any) -> None:
    dataset = _dataset()
    place = store.interface().zarr_store("exp.zarr")
    dataset.chunk({"time": 2}).to_zarr(place, zarr_format=zarr_format)
    opened = xr.open_zarr(pickle.loads(pickle.dumps(place)))
    assert opened["bold"].chunks[0] == (2, 2, 2)
    np.testing.assert_array_equal(opened["bold"][1:5].compute(), dataset["bold"][1:5])
    assert opened["motion"].mean().compute() == dataset["motion"].mean()
    dataset.isel(time=slice(0, 2)).to_zarr(place, region={"time": slice(4, 6)})
    np.testing.assert_array_equal(xr.open_zarr(place)["bold"][4:].values, dataset["bold"][:2])


# SeaweedFS goes on listing the directories of objects that are gone; zarr finds no node there, and says so
@pytest.mark.filterwarnings("ignore:Object at .* is not recognized as a component of a Zarr hierarchy")
def test_a_dataset_written_anew_is_the_new_one(store: Store) -> None:
    place = store.interface().zarr_store("exp.zarr")
    store.raw.put("exp.zarr2/zarr.json", b"{}")
    for size in (6, 2):
        _dataset()[["motion"]].isel(time=slice(size)).to_zarr(place, mode="w", consolidated=False)
    assert xr.open_zarr(place, consolidated=False)["motion"].shape == (2,)
    assert store.raw.get("exp.zarr2/zarr.json")[0] == b"{}"


@pytest.mark.stores("local")
def test_a_store_survives_a_fork(store: Store) -> None:
    """The threads of the parent are not in the child: it starts its own."""
    exp = store.interface().zarr_store("exp")
    assert not asyncio.run(exp.exists("x"))
    child = os.fork()
    if child == 0:
        asyncio.run(exp.set("x", _buffer(b"from the child")))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert store.raw.get("exp/x")[0] == b"from the child"


# ---------------------------------------------------------------------- the extras
def test_without_a_library_an_error_says_what_to_install(tmp_path: Path) -> None:
    code = """
    import sys
    for name in ("zarr", "fsspec", "dask"):
        sys.modules[name] = None  # what an import of something that is not there meets
    import cottoncandy, numpy
    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    array = numpy.ones(3)
    cci.upload_raw_array("a", array)
    cci.upload_dask_array("chunks", array)
    calls = [cci.zarr_store, lambda: cci.fs, lambda: cci.download_dask_array("chunks")]
    calls += [cci.open_array("a").to_dask, lambda: cci.upload_dask_array("chunks", array, compute=False)]
    for ask in calls:
        try:
            ask()
        except cottoncandy.errors.ConfigurationError as error:
            print(error)
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
    told = [line.partition("pip install ")[2] for line in done.stdout.splitlines()]
    assert told == [f"'cottoncandy[{extra}]'" for extra in ("zarr", "fsspec", "dask", "dask", "dask")]

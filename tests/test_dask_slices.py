"""Slices of arrays in chunks: numpy's results, few bytes on the wire, small graphs."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import Recorded, Store

from cottoncandy.chunkedarrays.folder import ChunkFolder
from cottoncandy.chunkedarrays.reader import StoredChunks
from cottoncandy.chunkedarrays.table import ChunkTable
from cottoncandy.errors import CorruptObject, ObjectChanged, ObjectNotFound
from cottoncandy.stream import TransferSettings

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

#: 1,000 rows of 8 kB: 8 MB in four chunks of 250 rows.
ROWS = np.arange(10**6, dtype="f8").reshape(1000, 1000)
SPARE = 64 * 1024  # bytes that a slice may transfer beside its own


@pytest.fixture
def rows(recorded: Recorded) -> Recorded:
    recorded.store.interface().upload_dask_array("a", ROWS, axis=0, buffersize=250 * 8000, compression=False)
    return recorded


def transferred(recorded: Recorded) -> tuple[set[str], int]:
    """The objects that were read of since the proxy was cleared, and the bytes."""
    reads = [request for request in recorded.proxy.requests if request.method == "GET" and "/pt" in request.path]
    return {request.path.rpartition("/")[2] for request in reads}, sum(request.answered for request in reads)


# ---------------------------------------------------------------------- bytes
@pytest.mark.parametrize(
    ("index", "chunks"),
    [
        (np.s_[100:110], ["pt0000"]),
        (np.s_[245:255], ["pt0000", "pt0001"]),
        (np.s_[999], ["pt0003"]),
        (np.s_[300:310, 20:30], ["pt0001"]),
        (np.s_[300:310:3], ["pt0001"]),
        (np.s_[500:500], []),
    ],
    ids=str,
)
def test_a_slice_transfers_its_chunks_and_of_them_its_bytes(rows: Recorded, index: Any, chunks: list[str]) -> None:
    array = rows.store.interface().download_dask_array("a")
    rows.proxy.clear()
    assert np.array_equal(array[index].compute(), ROWS[index])
    found, nbytes = transferred(rows)
    assert found == set(chunks)
    assert nbytes <= ROWS[index].nbytes * 1.1 + SPARE * len(chunks)


def test_a_slice_of_a_slice_and_what_is_computed_of_it(rows: Recorded) -> None:
    array = rows.store.interface().download_dask_array("a")
    rows.proxy.clear()
    assert float((array[200:400][60:70] * 2).mean().compute()) == (ROWS[260:270] * 2).mean()
    found, nbytes = transferred(rows)
    assert found == {"pt0001"}
    # dask joins one slice with what reads the chunk, and makes the next one of what was read
    assert nbytes <= ROWS[250:400].nbytes + SPARE


@pytest.mark.parametrize(
    ("index", "chunks"), [(np.s_[300:310, ::-1], ["pt0001"]), (np.s_[[3, 600, 4]], ["pt0000", "pt0002"])], ids=str
)
def test_other_indices_read_the_chunks_that_they_touch(rows: Recorded, index: Any, chunks: list[str]) -> None:
    """dask does not join them with what reads the chunk."""
    array = rows.store.interface().download_dask_array("a")
    rows.proxy.clear()
    assert np.array_equal(array[index].compute(), ROWS[index])
    assert transferred(rows)[0] == set(chunks)


def test_a_whole_chunk_is_one_request(rows: Recorded) -> None:
    array = rows.store.interface().download_dask_array("a")
    rows.proxy.clear()
    assert np.array_equal(array.compute(), ROWS)
    assert [request.method for request in rows.proxy.requests] == ["GET"] * 4


@pytest.mark.parametrize("compression", ["Zstd", "Zstd-blocks"])
def test_compressed_chunks(recorded: Recorded, compression: str) -> None:
    cci = recorded.store.interface()
    cci.upload_dask_array("a", ROWS, axis=0, buffersize=500 * 8000, compression=compression)
    array = cci.download_dask_array("a")
    recorded.proxy.clear()
    assert np.array_equal(array[10:12].compute(), ROWS[10:12])
    assert transferred(recorded)[0] == {"pt0000"}
    if compression == "Zstd":  # known to be read whole in any case
        assert [request.method for request in recorded.proxy.requests] == ["GET"]


def test_a_table_that_does_not_tell_of_compression(recorded: Recorded) -> None:
    """Those of 0.4.0 do not."""
    cci = recorded.store.interface()
    for compression in ("gzip", False):
        cci.upload_dask_array("a", ROWS, axis=0, buffersize=500 * 8000, compression=compression)
        table = json.loads(recorded.store.raw.get("a/metadata.json")[0])
        table.pop("compression", None)
        recorded.store.raw.put("a/metadata.json", json.dumps(table).encode())
        array = cci.download_dask_array("a")
        assert np.array_equal(array[10:12].compute(), ROWS[10:12])
        assert np.array_equal(array.compute(), ROWS)


# ---------------------------------------------------------------------- errors
@pytest.mark.stores("local", "moto")
def test_a_slice_of_what_is_not_there_or_not_the_same(store: Store) -> None:
    cci = store.interface()
    array = ROWS[:6, :4].copy()
    cci.upload_dask_array("a", array, axis=0, buffersize=64, compression=False)
    old = cci.download_dask_array("a")
    body, metadata = store.raw.get("a/pt0001")
    store.raw.put("a/pt0001", body, {**metadata, "version": "another"})
    with pytest.raises(ObjectChanged, match=r"a/pt0001.*download the array again"):
        old[3, 1:2].compute()
    described = {name: value for name, value in metadata.items() if name != "xxh3-description"}
    store.raw.put("a/pt0001", body[:32], {**described, "shape": "1,4"})
    with pytest.raises(CorruptObject, match=r"a/pt0001.*\(1, 4\).*\(2, 4\)"):
        old[2, 1:2].compute()
    store.raw.delete("a/pt0001")
    with pytest.raises(ObjectNotFound, match="a/pt0001"):
        old[3, 1:2].compute()
    assert np.array_equal(old[1, 1:2].compute(), array[1, 1:2])


def test_who_reads_an_array_that_was_replaced_is_told_so(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", ROWS[:6, :4], axis=0, buffersize=64)
    old = cci.download_dask_array("a")
    cci.upload_dask_array("a", -ROWS[:6, :4], axis=0, buffersize=64)
    for part in (old, old[3, 1:2]):
        with pytest.raises(ObjectChanged, match="download the array again"):
            part.compute()
    assert np.array_equal(np.asarray(cci.download_dask_array("a")), -ROWS[:6, :4])


# ---------------------------------------------------------------------- all slices
SIZES = ((3, 4, 3), (5,), (2, 0, 2, 1))
SHAPE = tuple(map(sum, SIZES))
WHOLE = np.arange(np.prod(SHAPE)).reshape(SHAPE)


def _items(length: int) -> st.SearchStrategy[Any]:
    numbers = st.integers(-length, length - 1)
    ends = st.none() | st.integers(-length - 2, length + 2)
    slices = st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, 3, -1, -2]))
    return slices | numbers


@st.composite
def indices(draw: st.DrawFn) -> tuple[Any, ...]:
    """Integers and slices, one list at most, and perhaps an ellipsis."""
    items: list[Any] = [draw(_items(length)) for length in SHAPE[: draw(st.integers(0, 3))]]
    if items and draw(st.booleans()):
        axis = draw(st.integers(0, len(items) - 1))
        items = [item if isinstance(item, slice) else slice(item, item + 1 or None) for item in items]
        items[axis] = draw(st.lists(st.integers(-SHAPE[axis], SHAPE[axis] - 1), max_size=6))
    if draw(st.booleans()):
        items.append(...)
    return tuple(items)


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", [False, "gzip"])
def test_every_slice_is_that_of_numpy(store: Store, compression: Any) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", da.from_array(WHOLE, chunks=((3, 4, 3), (5,), (2, 2, 1))), compression=compression)
    array = cci.download_dask_array("a")
    stored = StoredChunks(cci._chunk_folder("a"), cci._chunk_folder("a").read_table()[0])

    @settings(max_examples=150)
    @given(index=indices())
    def check(index: tuple[Any, ...]) -> None:
        expected = WHOLE[tuple(np.array(item, int) if isinstance(item, list) else item for item in index)]
        found = stored[index]
        assert found.shape == expected.shape
        assert np.array_equal(found, expected)

    check()
    for index in (np.s_[::2, 1, ::-1], np.s_[4], np.s_[[5, 1, 5], :, 1:3], np.s_[None, 2:9, ..., None]):
        assert np.array_equal(array[index].compute(scheduler="synchronous"), WHOLE[index])


# ---------------------------------------------------------------------- graphs
COUNT = 10_000


class Unused:
    """A backend that is never asked."""

    address = "nowhere"


def big(backend: Any) -> StoredChunks:
    names = [f"some/where/pt{number:04d}" for number in range(COUNT)]
    written = ChunkTable((COUNT, 5), np.dtype("f8"), ((1,) * COUNT, (5,)), names, version="v")
    table = ChunkTable.from_json(written.to_json().encode(), "the table")
    assert list(table.keys) == names
    return StoredChunks(ChunkFolder(backend, "some/where", TransferSettings()), table)


def test_the_graph_of_many_chunks_is_small() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    from cottoncandy.chunkedarrays.graphs import stored_array

    array = stored_array(big(Unused()), "array", None)
    assert array.npartitions == COUNT
    assert len(cloudpickle.dumps(array)) < 100_000
    # what is sent for one chunk: slices, and the name of what all share
    (optimized,) = dask.optimize(array[17:19, 2:4])
    graph = dict(optimized.__dask_graph__())
    tasks = [task for task in graph.values() if not isinstance(getattr(task, "value", task), StoredChunks)]
    assert tasks
    assert all(len(pickle.dumps(task)) < 2000 for task in tasks)
    assert len(graph) == 1 + len(tasks)


@pytest.mark.stores("local", "moto")
def test_the_mean_of_a_difference(store: Store) -> None:
    cci = store.interface()
    a, b = np.random.default_rng(0).standard_normal((2, 40, 50))
    for name, array in (("a", a), ("b", b)):
        cci.upload_dask_array(name, da.from_array(array, chunks=(15, 20)))
    found = cci.download_dask_array("a") - cci.download_dask_array("b")
    assert np.isclose(found.mean().compute(), (a - b).mean(), rtol=1e-12)
    assert np.array_equal(found[3:20, 19:21].compute(), (a - b)[3:20, 19:21])

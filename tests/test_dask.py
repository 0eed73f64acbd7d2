"""Arrays in chunks: what is in the store, what comes back, and that nobody ever reads a mixture."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest
from recorder import Fault, Request, Response
from s3_wire import error
from samples import ALL, assert_equal
from stores import Recorded, Store, table_of

from cottoncandy.errors import AccessDenied, CorruptObject, ObjectChanged, ObjectNotFound

da = pytest.importorskip("dask.array")

CUBE = np.random.default_rng(4).standard_normal((12, 10, 8))
CHUNK = 2000  # bytes: a dozen blocks of the cube, or so


# ---------------------------------------------------------------------- there and back
def test_there_and_back(store: Store) -> None:
    cci = store.interface()
    for axis in (-1, 0, 1, None):
        receipt = cci.upload_dask_array("dir/cube", CUBE, axis=axis, buffersize=CHUNK)
        assert receipt["ResponseMetadata"]
        found = cci.download_dask_array("dir/cube")
        assert isinstance(found, da.Array)
        assert (found.shape, found.dtype) == (CUBE.shape, CUBE.dtype)
        assert found.npartitions > 1
        assert_equal(np.asarray(found), CUBE)
        assert_equal(np.asarray(found[..., 2:5]), CUBE[..., 2:5])


def test_what_lies_in_the_store(store: Store) -> None:
    store.interface().upload_dask_array("dir/cube", CUBE, buffersize=CHUNK)
    table = table_of(store, "dir/cube")
    assert table["shape"] == [12, 10, 8]
    assert table["dtype"] == "<f8"
    assert table["chunks"][:2] == [[12], [10]]
    assert sum(table["chunks"][2]) == 8
    assert 0 not in table["chunks"][2]
    assert table["chunk_sizes"] == [[12, 10, size] for size in table["chunks"][2]]
    count = len(table["chunks"][2])
    assert table["dask"] == [[[0, 0, number], f"dir/cube/pt{number:04d}"] for number in range(count)]
    assert store.raw.keys() == sorted([key for _, key in table["dask"]] + ["dir/cube/metadata.json"])
    first = store.interface().download_raw_array("dir/cube/pt0000")
    assert np.array_equal(first, CUBE[..., : table["chunks"][2][0]])


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("axis", [0, -1, None], ids=str)
@pytest.mark.parametrize(
    "name",
    ["<f4", ">i4", "structured", "datetime days", "bool", "unicode", "0-d", "empty", "empty 2-d", "empty inside", "F"],
)
def test_every_kind_of_array(store: Store, name: str, axis: int | None) -> None:
    cci = store.interface()
    array = ALL[name]
    cci.upload_dask_array("a", array, axis=axis, buffersize=30)
    assert_equal(np.asarray(cci.download_dask_array("a").compute()), np.array(array))


@pytest.mark.stores("local")
@pytest.mark.stores("local")
@pytest.mark.parametrize("given", ["numpy", "dask", "sliced"])
@pytest.mark.parametrize(
    "item",
    [
        np.array(b"ab", "S5"),
        np.array("hey", "<U7"),
        np.array("hey", ">U7"),
        np.array("", "U3"),
        np.array(5, ">i4"),
        np.array("2020-01-02", ">M8[D]"),
        np.array((1, 2.5, "x"), [("a", ">i4"), ("b", "<f8"), ("c", "U4")]),
        np.array(b"abcdefgh", "V8"),
        np.array(3.5),
    ],
    ids=lambda item: item.dtype.str,
)
def test_a_0_d_array_of_every_kind(store: Store, given: str, item: Any) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", {"numpy": item, "dask": da.from_array(item), "sliced": Sliced(item)}[given])
    found = np.asarray(cci.download_dask_array("a").compute())
    assert (found.dtype, found.shape) == (item.dtype, ())
    assert found.tobytes() == item.tobytes()
    cci.upload_dask_array("a", np.full(2, item, item.dtype), compression=False)
    one = np.asarray(cci.download_dask_array("a")[1].compute())
    assert (one.dtype, one.tobytes()) == (item.dtype, item.tobytes())


@pytest.mark.stores("local")
def test_the_only_chunk_of_a_0_d_array_is_of_the_dtype_that_is_told(store: Store) -> None:
    cci = store.interface()
    for item, dtype in ((3.5, "<i8"), (np.int16(3), "<i8"), ("four", "<U3"), ("a", "S1")):
        with pytest.raises(ValueError, match="is of dtype"):
            cci.upload_dask_array("a", Sliced(np.array(item), np.dtype(dtype)))
    assert store.raw.keys() == []


class Sliced:
    """Gives what numpy gives where it is sliced: of a 0-d array a scalar."""

    def __init__(self, array: Any, dtype: Any = None) -> None:
        self._array, self.shape, self.dtype = array, array.shape, dtype or array.dtype

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]


def test_chunks_are_no_larger_than_asked(store: Store) -> None:
    cci = store.interface()
    for axis in (-1, 0, 1, None):
        cci.upload_dask_array(f"a{axis}", CUBE, axis=axis, buffersize=CHUNK)
        sizes = np.array(table_of(store, f"a{axis}")["chunk_sizes"])
        assert (sizes.prod(axis=1) * 8).max() <= CHUNK
        assert sizes.min() >= 1


@pytest.mark.stores("local")
def test_one_slice_may_be_larger_than_a_chunk(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, axis=0, buffersize=1)
    assert table_of(store, "a")["chunks"] == [[1] * 12, [10], [8]]
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)


@pytest.mark.stores("local")
def test_an_axis_that_is_not_there(store: Store) -> None:
    with pytest.raises((ValueError, IndexError), match="axis"):
        store.interface().upload_dask_array("a", CUBE, axis=3)
    assert store.raw.keys() == []


@pytest.mark.stores("local")
def test_what_gives_arrays_when_it_is_sliced(store: Store, tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py")
    cci = store.interface()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = CUBE
        cci.upload_dask_array("h5", file["cube"], buffersize=CHUNK)
    cci.upload_dask_array("dask", da.from_array(CUBE, chunks=(5, 4, 3)), buffersize=CHUNK)
    cci.upload_dask_array("list", CUBE.tolist(), buffersize=CHUNK)
    for name in ("h5", "dask", "list"):
        assert_equal(np.asarray(cci.download_dask_array(name)), CUBE)


@pytest.mark.stores("local")
def test_options_of_the_chunks(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, buffersize=CHUNK, compression=False, subject="S01")
    body, metadata = store.raw.get("a/pt0000")
    assert metadata["compression"] == "False"
    assert metadata["subject"] == "S01"
    assert len(body) == np.prod(table_of(store, "a")["chunk_sizes"][0]) * 8


@pytest.mark.stores("local")
def test_the_configured_size_of_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_DASK_CHUNKSIZE", "0.002")
    store.interface().upload_dask_array("a", CUBE)
    assert len(table_of(store, "a")["dask"]) > 2


def test_only_what_is_needed_is_read(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, axis=0, buffersize=960 * 2)
    proxy.clear()
    found = cci.download_dask_array("a")
    assert [request.method for request in proxy.requests] == ["GET"]
    proxy.clear()
    assert_equal(np.asarray(found[3:4]), CUBE[3:4])
    assert [(request.method, request.path.rpartition("/")[2]) for request in proxy.requests] == [("GET", "pt0001")]


# ---------------------------------------------------------------------- names in graphs
def test_two_arrays_side_by_side(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("x", CUBE, buffersize=CHUNK)
    cci.upload_dask_array("y", CUBE * 2, buffersize=CHUNK)
    x, y = cci.download_dask_array("x"), cci.download_dask_array("y")
    assert x.name != y.name
    assert x.name.startswith("array-")
    assert cci.download_dask_array("x", dask_name="mine").name.startswith("mine-")
    assert np.allclose((y - x).compute(), CUBE)
    assert np.isclose((y - x).mean().compute(), CUBE.mean())


def test_the_name_is_of_the_content(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("x", CUBE, buffersize=CHUNK)
    first = cci.download_dask_array("x").name
    assert store.interface().download_dask_array("/x/").name == first
    cci.upload_dask_array("x", -CUBE, buffersize=CHUNK)
    assert cci.download_dask_array("x").name != first
    other = store.second_container()
    other.interface().upload_dask_array("x", CUBE, buffersize=CHUNK)
    assert other.interface().download_dask_array("x").name != first


# ---------------------------------------------------------------------- replaced
@pytest.mark.parametrize("sizes", [(1000, 4000), (4000, 1000)], ids=str)
def test_an_array_is_replaced_whole(store: Store, sizes: tuple[int, int]) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, buffersize=sizes[0])
    smaller = CUBE[:7, :, :5] * 3
    cci.upload_dask_array("a", smaller, buffersize=sizes[1])
    assert_equal(np.asarray(cci.download_dask_array("a")), smaller)
    named = sorted(key for _, key in table_of(store, "a")["dask"])
    assert store.raw.keys() == sorted([*named, "a/metadata.json"])
    cci.upload_dask_array("a", CUBE, buffersize=sizes[0])
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)
    assert len(store.raw.keys()) == len(table_of(store, "a")["dask"]) + 1


def test_other_objects_beside_the_chunks_stay(store: Store) -> None:
    cci = store.interface()
    others = ["a/notes.txt", "a/points", "a/pt", "a/ptx", "a/pt0000.bak", "a/sub/pt0000", "a2/pt0000"]
    for name in others:
        store.raw.put(name, b"mine")
    cci.upload_dask_array("a", CUBE, buffersize=CHUNK)
    cci.upload_dask_array("a", CUBE, buffersize=4 * CHUNK)
    assert [store.raw.get(name)[0] for name in others] == [b"mine"] * len(others)


def test_who_holds_the_old_array_gets_an_error_and_no_mixture(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, buffersize=CHUNK)
    old = cci.download_dask_array("a")
    cci.upload_dask_array("a", -CUBE, buffersize=CHUNK)
    with pytest.raises(OSError, match="'a"):
        old.compute()
    # not even when the numbers of the chunks are in use again
    cci.upload_dask_array("a", CUBE * 2, buffersize=CHUNK)
    with pytest.raises(OSError, match="'a"):
        old.compute()


@pytest.mark.stores("local", "moto")
def test_who_reads_while_it_is_replaced(store: Store) -> None:
    """Old or new, or an error that says so: never some of each."""
    cci = store.interface()
    arrays = [np.full((6, 5), value, dtype="<i4") for value in range(8)]
    cci.upload_dask_array("a", arrays[0], axis=0, buffersize=20)
    done = threading.Event()
    seen: list[np.ndarray[Any, Any] | BaseException] = []

    def read() -> None:
        mine = store.interface()
        while not done.is_set():
            try:
                seen.append(mine.download_dask_array("a").compute(scheduler="synchronous"))
            except Exception as error:  # noqa: BLE001 - looked at below
                seen.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for array in arrays[1:]:
            cci.upload_dask_array("a", array, axis=0, buffersize=20)
    finally:
        done.set()
        reader.join()
    assert seen
    for found in seen:
        if isinstance(found, np.ndarray):
            assert len(np.unique(found)) == 1
        else:
            assert isinstance(found, OSError)
    assert_equal(np.asarray(cci.download_dask_array("a")), arrays[-1])


class Unwilling:
    """An array whose last slice cannot be had."""

    shape, dtype, ndim = CUBE.shape, CUBE.dtype, CUBE.ndim

    def __getitem__(self, index: Any) -> Any:
        if index[-1].stop == self.shape[-1]:
            raise RuntimeError("the disk is gone")
        return -CUBE[index]


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("threads", [1, 4])
def test_an_upload_that_fails_leaves_the_old_array(store: Store, threads: int) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, buffersize=CHUNK)
    before = store.raw.keys()
    with pytest.raises(RuntimeError, match="the disk is gone"):
        cci.upload_dask_array("a", Unwilling(), buffersize=CHUNK, threads=threads)
    assert store.raw.keys() == before
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)


@pytest.mark.stores("local", "moto")
def test_a_first_upload_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError, match="the disk is gone"):
        store.interface().upload_dask_array("a", Unwilling(), buffersize=CHUNK)
    assert store.raw.keys() == []
    assert store.raw.leftovers() == []


def test_a_table_that_is_refused_leaves_the_old_array(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, buffersize=CHUNK)
    before = store.raw.keys()

    def refuse(request: Request) -> Response | None:
        table = request.method == "PUT" and request.path.endswith("metadata.json")
        return error("AccessDenied", 403) if table else None

    proxy.hook = refuse
    with pytest.raises(AccessDenied):
        cci.upload_dask_array("a", -CUBE, buffersize=CHUNK)
    proxy.hook = None
    assert store.raw.keys() == before
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)


def test_a_table_whose_answer_is_lost_keeps_the_chunks_it_names(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, buffersize=CHUNK)
    lost = lambda request: request.method == "PUT" and request.path.endswith("metadata.json")  # noqa: E731
    proxy.hook = lambda request: Fault("lose") if lost(request) else None
    with pytest.raises(OSError, match=r"metadata\.json"):
        cci.upload_dask_array("a", -CUBE, buffersize=CHUNK)
    proxy.hook = None
    assert_equal(np.asarray(cci.download_dask_array("a")), -CUBE)
    cci.upload_dask_array("a", CUBE, buffersize=CHUNK)
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)


# ---------------------------------------------------------------------- broken
def test_a_missing_chunk_is_an_error_and_no_zeros(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, axis=0, buffersize=CHUNK)
    store.raw.delete("a/pt0001")
    found = cci.download_dask_array("a")
    assert_equal(np.asarray(found[:1]), CUBE[:1])
    with pytest.raises(ObjectNotFound, match="a/pt0001"):
        found.compute()


@pytest.mark.stores("local")
def test_a_chunk_of_another_array_is_noticed(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, axis=0, buffersize=CHUNK)
    cci.upload_dask_array("b", -CUBE, axis=0, buffersize=CHUNK)
    store.raw.put("a/pt0001", *store.raw.get("b/pt0001"))
    with pytest.raises(OSError, match="pt0001"):
        cci.download_dask_array("a").compute()


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", b"\xff", b'{"shape": [2], "dtype": "<f8", "chunks": [[1]], "dask": []}']
)
def test_a_table_that_is_none(store: Store, text: bytes) -> None:
    store.raw.put("dir/a/metadata.json", text)
    with pytest.raises(CorruptObject, match="dir/a"):
        store.interface().download_dask_array("dir/a")


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    ("shape", "chunks", "what"),
    [
        ([], [], r"position \[\]"),
        ([20_000] * 8, [[1] * 20_000] * 8, "cannot be"),
        ([0, 4], [[], [4]], "make up"),
        ([-1, 4], [[-1], [4]], "length"),
        ([1.5, 4], [[1.5], [4]], "float"),
        ([float("inf")], [[float("inf")]], "float"),
        ([10**30], [[10**30]], "length"),
    ],
    ids=["0-d", "many", "none", "negative", "half", "infinite", "huge"],
)
def test_a_table_that_lies_is_refused_at_once(store: Store, shape: Any, chunks: Any, what: str) -> None:
    zero = [0] * max(1, len(shape))
    table = {"shape": shape, "dtype": "<f8", "chunks": chunks, "dask": [[zero, "a/pt0000"]]}
    store.raw.put("a/metadata.json", json.dumps(table).encode())
    with pytest.raises(CorruptObject, match=rf"'a'.*{what}"):
        store.interface().download_dask_array("a")


@pytest.mark.stores("local")
def test_the_table_of_a_sparse_array_is_no_table_of_chunks(store: Store) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    cci = store.interface()
    cci.upload_sparse_array("s", sparse.eye(3))
    with pytest.raises(CorruptObject, match="'s'"):
        cci.download_dask_array("s")
    cci.upload_dask_array("d", CUBE)
    with pytest.raises(CorruptObject, match="'d'"):
        cci.download_sparse_array("d")


# ---------------------------------------------------------------------- moved
@pytest.mark.parametrize("call", ["cp", "mv"])
def test_a_branch_that_was_moved_still_reads(store: Store, call: str) -> None:
    cci = store.interface()
    cci.upload_dask_array("old/a", CUBE, buffersize=CHUNK)
    getattr(cci, call)("old", "new/place")
    if call == "cp":
        cci.upload_dask_array("old/a", -CUBE, buffersize=CHUNK)
    assert_equal(np.asarray(cci.download_dask_array("new/place/a")), CUBE)
    # an error names the chunk that was read
    cci.upload_dask_array("other", CUBE, buffersize=CHUNK)
    chunk = store.raw.keys("new/place/a/pt")[1]
    store.raw.put(chunk, *store.raw.get(chunk.replace("new/place/a", "other")))
    with pytest.raises(ObjectChanged, match=f"chunk '{chunk}'"):
        cci.download_dask_array("new/place/a").compute()


# ---------------------------------------------------------------------- workers
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_schedulers(store: Store, scheduler: str) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, axis=None, buffersize=CHUNK)
    assert_equal(cci.download_dask_array("a").compute(scheduler=scheduler), CUBE)


@pytest.mark.stores("local", "moto")
def test_a_graph_pickles(store: Store) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, axis=None, buffersize=CHUNK)
    again = cloudpickle.loads(cloudpickle.dumps(cci.download_dask_array("a")))
    assert_equal(again.compute(scheduler="synchronous"), CUBE)


@pytest.mark.stores("moto")
def test_a_graph_goes_to_other_processes(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", CUBE, axis=0, buffersize=CHUNK)
    assert_equal(cci.download_dask_array("a").compute(scheduler="processes", num_workers=2), CUBE)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("own", ["2", "v1.0", "0123456789ABCDEF"])
def test_a_version_of_the_callers_own_that_0_4_0_stored(store: Store, own: str) -> None:
    cci, array = store.interface(), np.arange(12.0).reshape(6, 2)
    cci.upload_dask_array("a", array, axis=0, buffersize=48)
    for key in [*store.raw.keys("a/")]:
        body, metadata = store.raw.get(key)
        if key.endswith("metadata.json"):
            body = json.dumps({name: value for name, value in json.loads(body).items() if name != "version"}).encode()
            metadata = {}
        else:
            metadata["version"] = own
        store.raw.delete(key)
        store.raw.put(key, body, metadata)
    assert np.array_equal(cci.download_dask_array("a").compute(), array)
    assert np.array_equal(cci.download_dask_array("a")[2:4].compute(), array[2:4])
    assert not [*cci.verify("a").damaged]

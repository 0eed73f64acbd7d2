"""Arrays in the store that are read as they are sliced: numpy's results, and few bytes."""

from __future__ import annotations

import copy
import logging
import pickle
import tracemalloc
from itertools import pairwise
from typing import Any

import dask
import dask.array
import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from recorder import Fault, RecordingProxy
from samples import arrays_for, assert_equal
from stores import Recorded, Store

from cottoncandy import slicing
from cottoncandy.codecs import blocks
from cottoncandy.datasets import Dataset, masks
from cottoncandy.errors import CorruptObject, NotAnArray, ObjectChanged, ObjectNotFound

MIB = 2**20
COMPRESSIONS = [False, "Zstd-blocks", "gzip"]


# ---------------------------------------------------------------------- indices
def _items(length: int) -> some.SearchStrategy[Any]:
    """What may stand in an index for an axis."""
    if not length:
        return some.slices(0)
    numbers = some.integers(-length, length - 1)
    return some.one_of(
        some.slices(length),
        numbers,
        numbers.map(np.int16),
        numbers.map(np.array),
        some.lists(numbers, max_size=5),
        some.lists(numbers, min_size=1, max_size=3).map(lambda row: np.array([row, row])),
        arrays_of.arrays(bool, length),
    )


@some.composite
def indices(draw: some.DrawFn, shape: tuple[int, ...]) -> Any:
    kinds = [
        arrays_of.basic_indices(shape, allow_newaxis=True),
        arrays_of.arrays(bool, shape),
        some.tuples(*map(_items, shape)).filter(_go_together),
    ]
    if shape and 0 not in shape:
        kinds.append(arrays_of.integer_array_indices(shape))
        kinds.append(arrays_of.arrays(bool, shape).map(np.nonzero))
        kinds.append(arrays_of.arrays(bool, shape).map(lambda mask: (mask,)))
        kinds.append(some.tuples(*map(_lists, shape)).map(lambda lists: np.ix_(*lists)))
    index = draw(some.one_of(kinds))
    extra = draw(some.sampled_from(["nothing", None, True, ...]))
    if extra == "nothing" or not isinstance(index, tuple) or (extra is ... and any(item is ... for item in index)):
        return index
    place = draw(some.integers(0, len(index)))
    return (*index[:place], extra, *index[place:])


def _lists(length: int) -> some.SearchStrategy[list[int]]:
    numbers = some.lists(some.integers(-length, length - 1), min_size=1, max_size=5)
    return some.one_of(numbers, numbers.map(sorted), some.just([*range(length)]))


def _go_together(index: tuple[Any, ...]) -> bool:
    lists = [np.asarray(item) for item in index if isinstance(item, (list, np.ndarray))]
    lists = [np.empty(item.sum()) if item.dtype == bool else item for item in lists]
    try:
        np.broadcast(*lists[:32])
    except ValueError:
        return False
    return True


def _shapes() -> some.SearchStrategy[tuple[int, ...]]:
    return arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


def _shapes_and_indices() -> some.SearchStrategy[tuple[tuple[int, ...], list[Any]]]:
    return _shapes().flatmap(
        lambda shape: some.tuples(some.just(shape), some.lists(indices(shape), min_size=3, max_size=3))
    )


def numpy_gives(array: Any, index: Any) -> Any:
    """The result, or the text of the error."""
    try:
        return array[index]
    except IndexError as error:
        return str(error)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of arrays of some MiB, for those of some bytes."""
    for name, value in {"_MOST_RUNS": 3, "SPARE": 7, "_LARGEST_SPAN": 20, "_MOST_SPANS": 4, "_LARGEST_GAP": 9}.items():
        monkeypatch.setattr(slicing, name, value)
    monkeypatch.setattr(masks, "_AT_ONCE", 3)
    monkeypatch.setattr(blocks, "_BLOCK", 24)


DTYPES = ["<i4", ">f8", "u1", "<M8[s]", [("a", ">i2"), ("b", "<f4", (2,))]]


@pytest.mark.stores("local")
@settings(max_examples=150)
@given(
    asked=_shapes_and_indices(),
    dtype=some.sampled_from(DTYPES),
    order=some.sampled_from("CF"),
    compression=some.sampled_from(COMPRESSIONS),
)
def test_any_slice_of_any_array(
    store: Store, tight: None, asked: Any, dtype: Any, order: Any, compression: Any
) -> None:
    shape, wanted = asked
    array = (
        np.arange(int(np.prod(shape)) * np.dtype(dtype).itemsize, dtype="u1").view(dtype).reshape(shape, order=order)
    )
    cci = store.interface()
    cci.upload_raw_array("a", array, compression=compression)
    opened = cci.open_array("a")
    for index in wanted:
        expected, found = numpy_gives(array, index), numpy_gives(opened, index)
        assert type(found) is type(expected)
        if isinstance(expected, np.ndarray):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            assert found.tobytes() == expected.tobytes()
        else:
            assert np.array_equal(found, expected)


@pytest.mark.stores("local")
@pytest.mark.parametrize("order", ["C", "F"])
def test_lists_of_all_places(store: Store, order: str) -> None:
    """They make one axis of several, and what is read in one piece is the array with all of its axes."""
    array = np.arange(24.0).reshape((2, 3, 4), order=order)
    cci = store.interface()
    cci.upload_raw_array("a", array, compression=False)
    places = np.indices(array.shape).reshape(3, -1)
    for index in (
        tuple(places),
        tuple(places[:, ::-1]),
        (*places[:2],),
        np.ones((2, 3), bool),
        (slice(None), *places[1:]),
    ):
        assert np.array_equal(cci.open_array("a")[index], array[index])


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
def test_every_kind_of_array(store: Store, compression: Any) -> None:
    cci = store.interface()
    for name, sample in arrays_for(store).items():
        array = np.asarray(sample)
        cci.upload_raw_array(f"raw/{name}", array, compression=compression)
        opened = cci.open_array(f"raw/{name}")
        assert (opened.shape, opened.dtype, opened.ndim) == (array.shape, array.dtype, array.ndim)
        assert (opened.size, opened.nbytes) == (array.size, array.nbytes)
        assert_equal(opened[...], array)
        assert_equal(np.asarray(opened), array)
        if array.ndim:
            assert_equal(opened[::-2], array[::-2])
            assert len(opened) == len(array)


def test_some_slices_of_every_store(store: Store) -> None:
    cci = store.interface()
    array = np.random.default_rng(0).integers(0, 9, (300, 70, 50), dtype="u2").cumsum(0)
    mask = array[:, 0, 0] % 2 == 0
    for order in "CF":
        for compression in COMPRESSIONS:
            cci.upload_raw_array("a", np.asarray(array, order=order), compression=compression, scanner="3T")
            opened = cci.open_array("a")
            assert opened.metadata["scanner"] == "3T"
            for index in (np.s_[7], np.s_[7:30:3], np.s_[..., -1], np.s_[mask], np.s_[[5, 1], ::-9], np.s_[:, 4, 4]):
                assert np.array_equal(opened[index], array[index])


def test_wrong_indices_are_refused_as_numpy_does_it(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    array = np.arange(12).reshape(3, 4)
    cci.upload_raw_array("a", array, compression=False)
    opened = cci.open_array("a")
    proxy.clear()
    for index in (3, (0, 4), (0, 0, 0), "name", 1.5, [0, 9], np.zeros(5, bool), ([0, 1], [0, 1, 2]), (..., ...)):
        with pytest.raises(IndexError) as expected:
            array[index]  # type: ignore[call-overload]
        with pytest.raises(IndexError) as found:
            opened[index]
        assert str(found.value) == str(expected.value)
    assert opened[3:].shape == (0, 4)
    assert proxy.requests == []


def test_what_comes_is_the_callers_own(store: Store) -> None:
    cci = store.interface()
    for compression in COMPRESSIONS:
        cci.upload_raw_array("a", np.zeros((4, 5)), compression=compression)
        opened = cci.open_array("a")
        part = opened[1:3]
        part[...] = 1
        assert not opened[...].any()


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_record_is_the_callers_own(store: Store, compression: Any) -> None:
    cci = store.interface()
    for shape, index in (((5,), 3), ((2, 3), (1, 2)), ((), ())):
        cci.upload_raw_array("a", np.zeros(shape, [("x", "<f8"), ("y", "<i4", (2,))]), compression=compression)
        opened = cci.open_array("a")
        record = opened[index]
        assert isinstance(record, np.void)
        record["x"], record["y"][1] = 99, 7
        assert opened[index] == opened.load()[index] == np.zeros((), opened.dtype)[()]


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_read_lies_in_the_order_in_which_it_is_stored(store: Store, compression: Any) -> None:
    cci = store.interface()
    for order in "CF":
        cci.upload_raw_array("a", np.arange(24.0).reshape((2, 3, 4), order=order), compression=compression)
        opened = cci.open_array("a")
        for found in (opened.load(), np.asarray(opened), opened[:, 1:], opened[:, 1:, None]):
            assert (found.flags.c_contiguous, found.flags.f_contiguous) == (order == "C", order == "F")
            assert found.flags.writeable


# ---------------------------------------------------------------------- what is transferred
#: 16 MB each: rows of 8 KB.
_WIDE = np.random.default_rng(1).integers(0, 2**60, (2000, 1000)).astype("<f8")


@pytest.fixture
def wide(recorded: Recorded) -> tuple[Any, Dataset, RecordingProxy]:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("wide", _WIDE, compression=False)
    opened = cci.open_array("wide")
    proxy.clear()
    return cci, opened, proxy


@pytest.mark.parametrize(
    ("index", "requests"),
    [
        (np.s_[1000:1010], 1),
        (np.s_[5], 1),
        (np.s_[5, 7], 1),
        (np.s_[::-1], 1),
        (np.s_[10:20, 100:200], 1),
        (np.s_[::500], 4),
        (np.s_[[1999, 3, 700, 3]], 3),
        (np.s_[:400:40, 10:20], 10),
        (np.s_[[0, 1000, 1999], [0, 0, 999]], 3),
        (np.s_[100:900, :], 1),
        (np.s_[:, ::-1], 1),
    ],
    ids=str,
)
def test_a_slice_transfers_its_bytes(wide: tuple[Any, Dataset, RecordingProxy], index: Any, requests: int) -> None:
    _, opened, proxy = wide
    assert np.array_equal(opened[index], _WIDE[index])
    needed = np.unique(np.arange(_WIDE.size).reshape(_WIDE.shape)[index]).size * 8
    moved = sum(request.answered for request in proxy.requests)
    assert needed <= moved <= max(needed + 64 * 1024, 1.1 * needed)
    assert len(proxy.requests) <= requests


def test_opening_is_one_request_without_a_body(wide: tuple[Any, Dataset, RecordingProxy]) -> None:
    cci, _, proxy = wide
    opened = cci.open_array("wide")
    assert "(2000, 1000)" in repr(opened)
    assert [(request.method, request.answered) for request in proxy.requests] == [("HEAD", 0)]


def test_a_column_of_many_rows_takes_a_bounded_number_of_requests(
    wide: tuple[Any, Dataset, RecordingProxy], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, opened, proxy = wide
    assert np.array_equal(opened[:, 3], _WIDE[:, 3])
    assert len(proxy.requests) <= 4
    assert all(request.answered <= 9 * MIB for request in proxy.requests)
    assert not caplog.records
    monkeypatch.setattr("cottoncandy.datasets.readers._MUCH", MIB)
    with caplog.at_level(logging.WARNING):
        opened[:, 3]
    assert "'wide'" in caplog.text


def test_a_large_slice_goes_by_several_connections(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_DOWNLOAD_SETTINGS_MPD_CHUNKSIZE", "1")
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("wide", _WIDE, compression=False)
    proxy.clear()
    assert np.array_equal(cci.open_array("wide", threads=3)[100:1900], _WIDE[100:1900])
    assert 10 < len(proxy.requests) < 20
    assert 2 <= proxy.connections <= 4


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_dense_mask_reads_some_rows_at_a_time(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, compression: Any
) -> None:
    monkeypatch.setattr("cottoncandy.datasets.dataset._BATCH", 10_000)
    store, proxy = recorded
    cci = store.interface()
    arr = np.random.default_rng(0).integers(0, 200, (100, 1000), dtype=np.uint8)
    cci.upload_raw_array("a", arr, compression=compression)
    dataset = cci.open_array("a")
    mask = arr > 100
    mask[30:60] = False
    proxy.clear()
    assert_equal(dataset[mask], arr[mask])
    if not compression:
        assert len(proxy.requests) == 7  # of 10 rows each; those without a true item are not read
    assert_equal(dataset[(mask,)], arr[mask])


@pytest.mark.stores("local")
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_spelling_of_what_is_dense(store: Store, tight: None, order: Any) -> None:
    arr = np.arange(24).reshape((2, 3, 4), order=order)
    cci = store.interface()
    cci.upload_raw_array("a", arr, compression=False)
    dataset, mask = cci.open_array("a"), arr % 3 > 0
    lists, mesh, all_of = np.nonzero(mask), np.ix_([0, 1], [0, 2], [1, 2, 3]), slice(None)
    wanted: list[Any] = [mask, (..., mask), (mask, ...), (None, mask), (None, mask, None), (True, mask)]
    wanted += [lists, (*lists[:2], None, lists[2]), (*lists[:2], ..., lists[2]), (None, *lists, None)]
    wanted += [tuple(part[:8].reshape(2, 4) for part in lists), tuple(part[::-1] for part in lists)]
    wanted += [tuple(part.astype(kind) for part in lists) for kind in ("u1", "i1", "u8")]
    wanted += [
        tuple(part - length for part, length in zip(lists, arr.shape, strict=True)),
        tuple(np.indices(arr.shape)),
    ]
    wanted += [mask[0, :, 0].nonzero()[0][[0, 0]], (all_of, mask[0]), (mask[..., 0], slice(1, 3)), (mask[..., 0], 1)]
    wanted += [(1, mask[1]), (1, all_of, mask[1, 0]), (all_of, 1, mask[1, 0]), (mask[:, 0, 1], all_of, 1)]
    wanted += [mesh, mesh[:2], (mesh[0], None, *mesh[1:]), (mesh[0], ..., mesh[2]), tuple(part.T for part in mesh)]
    for index in wanted:
        assert_equal(dataset[index], arr[index])


def with_peak(dataset: Any, index: Any) -> tuple[Any, int]:
    """What a slice gives, and the most memory that it took meanwhile, in bytes."""
    tracemalloc.start()
    try:
        return dataset[index], tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", [False, "Zstd-blocks"])
def test_what_is_dense_takes_little_more_memory_than_its_index(store: Store, compression: Any) -> None:
    arr = np.random.default_rng(0).integers(0, 255, (2000, 2000), dtype="u1")
    cci = store.interface()
    cci.upload_raw_array("a", arr, compression=compression)
    mask, every_other = arr > 20, np.arange(0, 2000, 2)
    rows = np.flatnonzero(np.arange(2000) % 20 < 18)
    backwards = tuple(places[::-1] for places in np.nonzero(mask))
    from_the_end = tuple(places - 2000 for places in backwards)
    spelled = ((..., mask), (mask, ...), (None, mask), np.nonzero(mask), backwards, from_the_end)
    for index in (*spelled, np.ix_(rows, every_other), rows):
        dataset = cci.open_array("a")
        found, peak = with_peak(dataset, index)
        assert_equal(found, arr[index])
        # what is read at a time, and the tables of so many runs
        assert peak < found.nbytes + 40 * MIB


@pytest.mark.stores("local")
def test_sorted_rows_are_not_copied_once_more(store: Store) -> None:
    arr = np.arange(600 * 30_000, dtype="f4").reshape(600, 30_000)
    cci = store.interface()
    cci.upload_raw_array("a", arr, compression=False)
    rows = np.arange(600) % 20 < 18
    for index in (rows, np.flatnonzero(rows)):
        dataset = cci.open_array("a", threads=1)
        found, peak = with_peak(dataset, index)
        assert np.array_equal(found, arr[index])
        assert peak < 1.25 * found.nbytes


def test_what_is_compressed_as_a_whole_is_read_once(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("a", _WIDE[:100], compression="Zstd")
    opened = cci.open_array("a")
    proxy.clear()
    for row in (3, 4, 5):
        assert np.array_equal(opened[row], _WIDE[row])
    assert [request.method for request in proxy.requests] == ["GET"]


def test_a_walk_reads_some_rows_at_a_time(wide: tuple[Any, Dataset, RecordingProxy]) -> None:
    _, opened, proxy = wide
    for number, row in enumerate(opened):
        assert np.array_equal(row, _WIDE[number])
    assert number == len(_WIDE) - 1
    assert len(proxy.requests) <= 3
    proxy.clear()
    assert np.array_equal(next(iter(opened)), _WIDE[0])
    assert sum(request.answered for request in proxy.requests) <= 17 * MIB
    with pytest.raises(TypeError):
        iter(next(iter(opened[0, :1])))


@pytest.mark.parametrize("compression", [False, "LZ4-blocks"])
def test_a_walk_across_the_stored_order_does_not_read_all_for_every_few_items(
    recorded: Recorded, compression: str | bool
) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("a", np.asfortranarray(_WIDE), compression=compression)
    opened = cci.open_array("a")
    assert opened.order == "F"
    proxy.clear()
    assert all(np.array_equal(row, _WIDE[number]) for number, row in enumerate(opened))
    assert sum(request.answered for request in proxy.requests) <= opened.stored + 64 * 1024


# ---------------------------------------------------------------------- one version
def test_a_handle_is_held_to_its_version(store: Store) -> None:
    cci = store.interface()
    for compression in COMPRESSIONS:
        cci.upload_raw_array("a", np.arange(100.0), compression=compression)
        opened = cci.open_array("a")
        cci.upload_raw_array("a", np.arange(100.0) + 1, compression=compression)
        with pytest.raises(ObjectChanged, match=r"'a'.*open it again"):
            opened[3:5]
        assert np.array_equal(cci.open_array("a")[3:5], [4.0, 5.0])


def test_what_is_not_there(store: Store) -> None:
    cci = store.interface()
    cci.upload_json("some/json", {})
    with pytest.raises(ObjectNotFound, match="nothing"):
        cci.open_array("nothing")
    with pytest.raises(NotAnArray, match="some/json"):
        cci.open_array("some/json")
    cci.upload_raw_array("gone", np.arange(3), compression=False)
    opened = cci.open_array("gone")
    store.raw.delete("gone")
    with pytest.raises(ObjectNotFound, match="gone"):
        opened[0]


def test_a_connection_that_breaks(wide: tuple[Any, Dataset, RecordingProxy]) -> None:
    _, opened, proxy = wide
    faults = [Fault("reset", 3000), Fault("truncate", 2000), Fault("drop")]
    proxy.hook = lambda request: faults.pop() if faults else None
    assert np.array_equal(opened[10:20], _WIDE[10:20])
    assert not faults


def test_a_broken_body_names_the_object(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(1000), compression="gzip")
    body, metadata = store.raw.get("a")
    store.raw.put("a", body[:-20] + bytes(20), metadata)
    with pytest.raises(CorruptObject, match="'a'"):
        cci.open_array("a")[0]


# ---------------------------------------------------------------------- handles
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
def test_handles_pickle(store: Store, compression: Any) -> None:
    cci = store.interface()
    array = np.random.default_rng(0).standard_normal((500, 40))
    cci.upload_raw_array("a", array, compression=compression)
    opened = cci.open_array("a")
    assert np.array_equal(opened[3], array[3])
    again = pickle.dumps(opened)
    assert len(again) < 20_000
    for handle in (pickle.loads(again), copy.copy(opened), copy.deepcopy(opened)):
        assert np.array_equal(handle[4:6], array[4:6])


@pytest.mark.stores("local")
def test_as_an_array(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(6.0).reshape(2, 3), compression=False)
    cci.upload_raw_array("scalar", np.array(2.5))
    opened = cci.open_array("a")
    assert np.asarray(opened, dtype="i4").dtype == np.int32
    assert np.mean(opened) == 2.5
    assert np.array_equal(opened.load(), np.arange(6.0).reshape(2, 3))
    with pytest.raises(ValueError, match="copy"):
        opened.__array__(copy=False)
    scalar = cci.open_array("scalar")
    assert float(np.asarray(scalar)) == 2.5
    assert isinstance(scalar[()], np.float64)
    assert type(scalar[...]) is np.ndarray
    with pytest.raises(TypeError, match="0-d"):
        len(scalar)
    with pytest.raises(TypeError, match="0-d"):
        iter(scalar).__next__()


@pytest.mark.stores("local")
def test_a_handle_tells_what_it_is(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a/b", np.asfortranarray(np.zeros((256, 1024))), compression="gzip")
    opened = cci.open_array("a/b")
    assert (opened.order, opened.compression, opened.name) == ("F", "gzip", "a/b")
    text = repr(opened)
    assert all(part in text for part in ("a/b", "(256, 1024)", "float64", "gzip", "2.00", str(store.container)))
    cci.upload_raw_array("large", np.broadcast_to(np.int8(1), (64, 2**20)), compression=False)
    assert cci.open_array("large").chunks == (8, 2**20)


# ---------------------------------------------------------------------- dask
def test_as_a_dask_array(store: Store) -> None:
    cci = store.interface()
    for compression in COMPRESSIONS:
        for order in "CF":
            cci.upload_raw_array("a", np.asarray(_WIDE[:128], order=order), compression=compression)
            array = cci.open_array("a").to_dask(chunks=(64, -1))
            assert array.chunks[0] == (64, 64)
            assert np.array_equal(array.compute(), _WIDE[:128])
            assert np.array_equal(array[5:70:3, [4, 2]].compute(scheduler="sync"), _WIDE[:128][5:70:3, [4, 2]])


@pytest.mark.stores("local")
def test_the_graph_is_small_and_its_name_is_of_the_version(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.zeros((1000, 1000)), compression=False)
    cci.upload_raw_array("b", np.ones((1000, 1000)), compression=False)
    a, again, b = (cci.open_array(name).to_dask(chunks=(10, 1000)) for name in "aab")
    assert a.name == again.name != b.name
    assert a.name.startswith("dataset-")
    assert (b - a).mean().compute() == 1
    assert len(pickle.dumps(dask.delayed(a))) < 50_000
    cci.upload_raw_array("a", np.ones((1000, 1000)), compression=False)
    assert cci.open_array("a").to_dask(chunks=(10, 1000)).name != a.name
    with pytest.raises(ObjectChanged):
        a.sum().compute()


def test_dask_slices_read_what_they_need(wide: tuple[Any, Dataset, RecordingProxy]) -> None:
    _, opened, proxy = wide
    array = opened.to_dask(chunks=(500, -1))
    assert proxy.requests == []
    assert np.array_equal(array[495:505].compute(), _WIDE[495:505])
    assert sum(request.answered for request in proxy.requests) <= 10 * 8000 + 64 * 1024


@pytest.mark.stores("local")
def test_chunks_of_their_own_are_stored_in_one_piece(store: Store) -> None:
    cci = store.interface()
    for order, chunks in (("C", ((64, 36), (2**20,))), ("F", ((100,), (671088, 377488)))):
        array: Any = np.broadcast_to(np.int8(1), (100, 2**20))
        array = array if order == "C" else np.broadcast_to(np.int8(1), (2**20, 100)).T.copy(order="F")
        cci.upload_raw_array("a", array, compression=False)
        assert cci.open_array("a").order == order
        assert cci.open_array("a").to_dask().chunks == chunks


# ---------------------------------------------------------------------- plans
@given(
    starts=some.lists(some.integers(0, 10**7), min_size=1, max_size=60, unique=True),
    length=some.integers(1, 10**5),
    most=some.integers(1, 30),
)
def test_the_ranges_cover_the_runs_and_little_more(starts: list[int], length: int, most: int) -> None:
    places = np.array(sorted(starts)) * length
    runs = slicing.Runs.of(places, length, 0)
    spans = runs.spans()
    assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))
    covered = sum(((places >= start) & (places + length <= stop)).sum() for start, stop in spans)
    assert covered == len(places)
    moved, needed = sum(stop - start for start, stop in spans), len(places) * length
    assert moved <= needed + max(slicing.SPARE, needed // 10)


@pytest.mark.parametrize("order", ["C", "F"])
def test_slabs(order: str) -> None:
    for shape in ((10, 20, 30), (1, 5000), (7,), (), (3, 0)):
        chunks = slicing.slabs(shape, 8, order, 4000)
        assert tuple(map(sum, chunks)) == shape
        stored = chunks if order == "C" else chunks[::-1]
        assert all(
            not cut or set(before) <= {1}
            for axis, sizes in enumerate(stored)
            for cut in [len(sizes) > 1]
            for before in stored[:axis]
        )
    assert slicing.slabs((10, 20, 30), 8, "C", 4000) == ((1,) * 10, (16, 4), (30,))


@pytest.mark.stores("local", "moto")
def test_workers_of_their_own_read_their_parts(store: Store) -> None:
    cci = store.interface()
    for compression in ("Zstd-blocks", False):
        cci.upload_raw_array("a", _WIDE[:128], compression=compression)
        array = cci.open_array("a").to_dask(chunks=(64, -1))
        total = array.sum().compute(scheduler="processes", num_workers=2)
        assert np.isclose(total, _WIDE[:128].sum())


# ---------------------------------------------------------------------- no operand
@pytest.mark.stores("local")
def test_it_is_no_operand_of_python_itself(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(3.0))
    stored, other = cci.open_array("a"), cci.open_array("a")
    for compute in (
        lambda: stored == 1,
        lambda: stored != other,
        lambda: stored == None,  # noqa: E711 - it would just be False
        lambda: stored < 1,
        lambda: stored >= other,
        lambda: stored + 1,
        lambda: 2 * stored,
        lambda: stored**2,
        lambda: stored @ [1, 2, 3],
        lambda: stored & 1,
        lambda: -stored,
        lambda: abs(stored),
    ):
        with pytest.raises(TypeError, match=r"'a' in .* slice it first \(array\[\.\.\.\]\), .*array\.to_dask\(\)"):
            compute()
    assert {stored: 1}[stored] == 1
    assert stored in [stored, other]
    assert len({stored, other, stored}) == 2


@pytest.mark.stores("local")
def test_beside_an_array_it_is_one(store: Store) -> None:
    cci, array = store.interface(), np.arange(3.0)
    cci.upload_raw_array("a", array)
    stored = cci.open_array("a")
    for found in (stored == array, array == stored, stored - array == 0, array - stored == 0, stored >= np.float64(0)):
        assert found.tolist() == [True] * 3
    assert float((stored + dask.array.ones(3)).sum().compute()) == 6
    assert np.mean(stored) == 1

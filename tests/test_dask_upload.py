"""Dask arrays go up chunk by chunk: what lies in the store, and that nothing stays behind of what failed."""

from __future__ import annotations

import math
import os
import pickle
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from recorder import Fault, Request, Response
from s3_wire import error
from samples import ALL, assert_equal
from stores import Recorded, Store, table_of

from cottoncandy.chunkedarrays.upload import ChunkFormat, ChunkUpload
from cottoncandy.errors import AccessDenied, ObjectChanged, TransientError, UnsupportedArray

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
Delayed = pytest.importorskip("dask.delayed").Delayed
NO_CUBE = np.empty((0, 0, 0))

CUBE = np.random.default_rng(5).standard_normal((12, 10, 8))
CHUNKS = ((5, 5, 2), (10,), (3, 5))


def lazy(array: np.ndarray[Any, Any] = CUBE, chunks: Any = CHUNKS) -> Any:
    return da.from_array(array, chunks=chunks)


def is_stored(store: Store, name: str, array: np.ndarray[Any, Any]) -> bool:
    """Whether that array is there, and nothing beside it."""
    named = sorted(key for _, key in table_of(store, name)["dask"])
    assert_equal(np.asarray(store.interface().download_dask_array(name)), array)
    return store.raw.keys() == sorted([*named, f"{name}/metadata.json"]) and store.raw.leftovers() == []


# ---------------------------------------------------------------------- there and back
def test_a_dask_array_keeps_its_chunks(store: Store) -> None:
    receipt = store.interface().upload_dask_array("dir/a", lazy())
    assert receipt["ResponseMetadata"]
    assert table_of(store, "dir/a")["chunks"] == [list(sizes) for sizes in CHUNKS]
    assert [key for _, key in table_of(store, "dir/a")["dask"]] == [f"dir/a/pt{number:04d}" for number in range(6)]
    assert is_stored(store, "dir/a", CUBE)
    found = store.interface().download_dask_array("dir/a")
    assert found.chunks == CHUNKS
    assert_equal(store.interface().download_raw_array("dir/a/pt0003"), CUBE[5:10, :, 3:])


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    ("given", "chunks"),
    [
        ({"axis": -1}, ((12,), (10,), (8,))),
        ({"axis": 0, "buffersize": 2000}, ((3,) * 4, (10,), (8,))),
        ({"axis": 0, "buffersize": 2e3}, ((3,) * 4, (10,), (8,))),
        ({"buffersize": 2000}, ((12,), (10,), (2,) * 4)),
        ({"axis": None, "buffersize": 512}, ((4, 4, 4), (4, 4, 2), (4, 4))),
        ({}, CHUNKS),
    ],
    ids=str,
)
def test_it_is_cut_anew_where_that_is_asked_for(store: Store, given: dict[str, Any], chunks: Any) -> None:
    store.interface().upload_dask_array("a", lazy(), **given)
    assert table_of(store, "a")["chunks"] == [list(sizes) for sizes in chunks]
    assert is_stored(store, "a", CUBE)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_on_each_scheduler(store: Store, scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler, num_workers=2):
        store.interface().upload_dask_array("a", lazy() * 2)
    assert is_stored(store, "a", CUBE * 2)


def _process_id(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.full(block.shape, os.getpid())


@pytest.mark.stores("local")
def test_a_chunk_is_made_and_sent_by_one_task(store: Store) -> None:
    """What was made in one task and sent by another would travel between workers."""
    made = da.ones(CUBE.shape, chunks=CHUNKS).map_blocks(_process_id, dtype=int) + 1
    upload = store.interface().upload_dask_array("a", made, compute=False)
    graph = dict(upload.__dask_optimize__(upload.dask, upload.__dask_keys__()))
    assert len(graph) <= made.npartitions + len(("begin", "publish"))
    with dask.config.set(scheduler="processes", num_workers=2):
        upload.compute()
    assert os.getpid() + 1 not in np.asarray(store.interface().download_dask_array("a"))


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    "name", ["<f4", ">i4", "structured", "datetime days", "bool", "unicode", "0-d", "empty inside"]
)
def test_every_kind_of_array(store: Store, name: str) -> None:
    store.interface().upload_dask_array("a", lazy(ALL[name], chunks=2 if ALL[name].ndim else ()))
    assert_equal(np.asarray(store.interface().download_dask_array("a")), np.array(ALL[name]))


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    ("chunks", "stored"),
    [
        (((0, 3, 0, 2), (4, 0)), [[3, 2], [4]]),
        (((0, 0), (2, 2)), [[0], [4]]),
        (((3, 3), (0,)), [[6], [0]]),
    ],
    ids=str,
)
def test_no_chunk_is_empty_but_that_of_an_empty_array(store: Store, chunks: Any, stored: Any) -> None:
    array = np.arange(math.prod(map(sum, chunks))).reshape(tuple(map(sum, chunks)))
    store.interface().upload_dask_array("a", lazy(array, chunks))
    assert table_of(store, "a")["chunks"] == stored
    assert is_stored(store, "a", array)


def test_an_array_is_made_of_itself(store: Store) -> None:
    """The tasks read the old chunks until the last of the new ones is there."""
    cci = store.interface()
    cci.upload_dask_array("a", lazy())
    for _ in range(2):
        cci.upload_dask_array("a", cci.download_dask_array("a") + 1)
    assert is_stored(store, "a", CUBE + 1 + 1)


# ---------------------------------------------------------------------- options
@pytest.mark.stores("local")
@pytest.mark.parametrize("array", [CUBE, lazy()], ids=["numpy", "dask"])
def test_options_reach_the_chunks(store: Store, array: Any) -> None:
    store.interface().upload_dask_array("a", array, compression="Zstd", subject=7)
    metadata = store.raw.get("a/pt0000")[1]
    assert (metadata["compression"], metadata["subject"]) == ("Zstd", "7")
    for name in ("version", "dtype"):
        with pytest.raises(ValueError, match=name):
            store.interface().upload_dask_array("a", array, **{name: "mine"})
    assert store.raw.get("a/pt0000")[1] == metadata


@pytest.mark.parametrize("array", [CUBE, lazy()], ids=["numpy", "dask"])
def test_the_acl_reaches_all_objects(recorded: Recorded, array: Any) -> None:
    store, proxy = recorded
    store.interface().upload_dask_array("a", array, acl="public-read", threads=2)
    puts = [request for request in proxy.requests if request.method == "PUT"]
    assert len(puts) > 1
    assert {request.headers["x-amz-acl"] for request in puts} == {"public-read"}


@pytest.mark.stores("local")
def test_a_memory_map(store: Store, tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "a", "f8", "w+", shape=CUBE.shape)
    mapped[...] = CUBE
    store.interface().upload_dask_array("a", mapped, buffersize=2000)
    assert is_stored(store, "a", CUBE)


# ---------------------------------------------------------------------- refused
@pytest.mark.stores("local")
def test_what_cannot_be_stored(store: Store) -> None:
    cci, array = store.interface(), lazy()
    with pytest.raises(ValueError, match=r"'dir/a'.*compute_chunk_sizes"):
        cci.upload_dask_array("dir/a", array[array > 0])
    with pytest.raises(UnsupportedArray, match="'dir/a'"):
        cci.upload_dask_array("dir/a", array.astype(object))
    with pytest.raises(ValueError, match="axis"):
        cci.upload_dask_array("dir/a", array, axis=3)
    assert store.raw.keys() == []


@pytest.mark.stores("local")
def test_a_chunk_that_is_not_what_dask_says_of_it(store: Store) -> None:
    cci = store.interface()
    with pytest.raises(ValueError, match=r"'a'.*float64.*float32"):
        cci.upload_dask_array("a", da.map_blocks(np.float64, lazy(), dtype="f4", meta=np.empty((0, 0, 0), "f4")))
    shorter = lazy().map_blocks(lambda block: block[:1], meta=NO_CUBE)
    with pytest.raises(ValueError, match=r"pt0000.*\(1, 10, 3\).*\(5, 10, 3\)"):
        cci.upload_dask_array("a", shorter)
    assert store.raw.keys() == []
    assert store.raw.leftovers() == []


# ---------------------------------------------------------------------- delayed
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("array", [CUBE, lazy()], ids=["numpy", "dask"])
def test_compute_false_uploads_when_it_is_computed(store: Store, array: Any) -> None:
    upload = store.interface().upload_dask_array("a", array, compute=False)
    assert isinstance(upload, Delayed)
    assert store.raw.keys() == []
    assert upload.compute()["ETag"]
    assert is_stored(store, "a", CUBE)


@pytest.mark.stores("local", "moto")
def test_a_delayed_upload_is_computed_again_and_elsewhere(store: Store) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    upload = store.interface().upload_dask_array("a", lazy(), compute=False)
    for again in (upload, upload, pickle.loads(cloudpickle.dumps(upload))):
        again.compute(scheduler="synchronous")
        assert is_stored(store, "a", CUBE)
    (receipt,) = dask.compute(upload)
    assert receipt["ETag"]
    assert is_stored(store, "a", CUBE)


@pytest.mark.stores("local", "moto")
def test_tasks_are_run_again(store: Store) -> None:
    """A scheduler that loses a result computes it once more: the tasks agree all the same."""
    upload = store.interface().upload_dask_array("a", lazy(), compute=False)
    tasks = {str(key): key for key in upload.dask}
    begin = next(key for name, key in tasks.items() if name.startswith("begin"))
    sends = [key for name, key in tasks.items() if "send-upload" in name]
    get = dask.get
    first = get(upload.dask, begin)
    assert get(upload.dask, begin).upload.version == first.upload.version
    before = get(upload.dask, sends)
    assert get(upload.dask, sends) == before
    upload.compute(scheduler="synchronous")
    assert is_stored(store, "a", CUBE)


# ---------------------------------------------------------------------- failures
def fail_at(index: tuple[int, ...]) -> Callable[..., np.ndarray[Any, Any]]:
    def fail(block: np.ndarray[Any, Any], block_id: Any = None) -> np.ndarray[Any, Any]:
        if block_id == index:
            raise RuntimeError("the disk is gone")
        return -block

    return fail


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("there", [True, False], ids=["an old array", "nothing before"])
def test_what_fails_leaves_the_old_array_and_nothing_else(store: Store, scheduler: str, there: bool) -> None:
    cci = store.interface()
    if there:
        cci.upload_dask_array("a", lazy())
    before = store.raw.keys()
    failing = lazy().map_blocks(fail_at((2, 0, 0)), meta=NO_CUBE)
    with dask.config.set(scheduler=scheduler), pytest.raises(RuntimeError, match="the disk is gone"):
        cci.upload_dask_array("a", failing)
    assert store.raw.keys() == before
    assert store.raw.leftovers() == []
    if there:
        assert is_stored(store, "a", CUBE)


def test_nothing_is_being_sent_any_more_when_the_error_comes(recorded: Recorded) -> None:
    """dask does not wait for the tasks beside the one that failed."""
    store, proxy = recorded
    sending = threading.Event()
    turns = iter(["sends"])

    def hook(request: Request) -> Fault | None:
        if not (request.method == "PUT" and "/pt0" in request.path):
            return None
        sending.set()
        return Fault("delay", 0.5)

    def work(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if next(turns, None):
            return block
        assert sending.wait(60)
        raise RuntimeError("the disk is gone")

    proxy.hook = hook
    with dask.config.set(num_workers=2), pytest.raises(RuntimeError, match="the disk is gone"):
        store.interface().upload_dask_array("a", lazy().map_blocks(work, meta=NO_CUBE))
    assert all(request.status for request in proxy.requests)
    assert store.raw.keys() == []


@pytest.mark.stores("local", "moto")
def test_a_task_that_outlives_its_upload_takes_its_chunk_back(store: Store) -> None:
    cci = store.interface()
    failed, started = threading.Event(), threading.Event()

    turns = iter(["waits"])

    def work(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if next(turns, None):
            started.set()
            assert failed.wait(60)
            return block
        assert started.wait(60)
        raise RuntimeError("the disk is gone")

    with ThreadPoolExecutor(2) as pool, dask.config.set(pool=pool):
        with pytest.raises(RuntimeError, match="the disk is gone"):
            cci.upload_dask_array("a", lazy().map_blocks(work, meta=NO_CUBE))
        failed.set()
    assert store.raw.keys() == []
    assert store.raw.leftovers() == []


@pytest.mark.stores("local", "moto")
def test_a_chunk_of_an_upload_that_was_given_up_is_refused(store: Store) -> None:
    upload = store.interface().upload_dask_array("a", lazy(), compute=False)
    begin = next(key for key in upload.dask if str(key).startswith("begin"))
    shared = dask.get(upload.dask, begin)
    shared.send(0, CUBE[:5, :, :3])
    shared.mark.give_up()
    assert store.raw.keys() == []
    with pytest.raises(ObjectChanged, match="'a'"):
        shared.send(1, CUBE[:5, :, 3:])
    with pytest.raises(ObjectChanged, match="'a'"):
        shared.publish(CHUNKS, [])
    assert store.raw.keys() == []


def _refuse(path: str) -> Callable[[Request], Response | None]:
    return lambda request: (
        error("AccessDenied", 403) if request.method == "PUT" and request.path.endswith(path) else None
    )


@pytest.mark.parametrize("path", ["pt0002", "metadata.json"])
def test_what_is_refused_leaves_nothing(recorded: Recorded, path: str) -> None:
    store, proxy = recorded
    proxy.hook = _refuse(path)
    with pytest.raises(AccessDenied, match=path):
        store.interface().upload_dask_array("a", lazy())
    proxy.hook = None
    assert store.raw.keys() == []


def test_a_table_whose_answer_is_lost_keeps_the_chunks_it_names(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_dask_array("a", lazy())
    lost = lambda request: request.method == "PUT" and request.path.endswith("metadata.json")  # noqa: E731
    proxy.hook = lambda request: Fault("lose") if lost(request) else None
    with pytest.raises(TransientError, match=r"metadata\.json"):
        cci.upload_dask_array("a", -lazy())
    proxy.hook = None
    assert_equal(np.asarray(cci.download_dask_array("a")), -CUBE)


# ---------------------------------------------------------------------- several at a time
@pytest.mark.stores("local", "moto")
def test_two_uploads_of_one_array(store: Store) -> None:
    """Both began when nothing was there: the later one wins, and no chunk of one is overwritten by the other."""
    cci = store.interface()
    how = ChunkFormat(CUBE.dtype, False, cci._compression, {})
    halves = ((6, 6), (10,), (8,))
    first, second = (ChunkUpload.start(cci._chunk_folder("a"), how, 2) for _ in range(2))
    sent = [
        [upload.send(number, sign * CUBE[6 * number : 6 * number + 6]) for number in range(2)]
        for upload, sign in ((first, 1), (second, -1))
    ]
    first.publish(first.prepare(halves, sent[0]))
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)
    second.publish(second.prepare(halves, sent[1]))
    assert is_stored(store, "a", -CUBE)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("there", [True, False])
def test_an_upload_that_is_outdone_takes_its_chunks_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """Both tables were made before one was written; the later one does not know the chunks of the other."""
    cci = store.interface()
    if there:
        cci.upload_dask_array("a", CUBE * 3, compression=False)
    how = ChunkFormat(CUBE.dtype, False, cci._compression, {})
    whole = ((12,), (10,), (8,))
    first, second = (ChunkUpload.start(cci._chunk_folder("a"), how, 1) for _ in range(2))
    prepared = [one.prepare(whole, [one.send(0, sign * CUBE)]) for one, sign in ((first, 1), (second, -1))]
    delete = cci.backend_interface.delete

    def between(keys: Iterable[str]) -> int:
        monkeypatch.undo()
        second.publish(prepared[1])
        return delete(keys)

    monkeypatch.setattr(cci.backend_interface, "delete", between)
    first.publish(prepared[0])
    assert is_stored(store, "a", -CUBE)


@pytest.mark.stores("local")
def test_an_upload_that_fails_leaves_the_chunks_of_another_alone(store: Store) -> None:
    cci = store.interface()
    how = ChunkFormat(CUBE.dtype, False, cci._compression, {})
    other = ChunkUpload.start(cci._chunk_folder("a"), how, 1)
    sent = other.send(0, CUBE)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        cci.upload_dask_array("a", lazy().map_blocks(fail_at((2, 0, 1)), meta=NO_CUBE))
    assert store.raw.keys() == [sent[0]]
    other.publish(other.prepare(((12,), (10,), (8,)), [sent]))
    assert is_stored(store, "a", CUBE)

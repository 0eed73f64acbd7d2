"""On a cluster: workers that are processes of their own make, send and read the chunks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT
from samples import assert_equal
from stores import Store

import cottoncandy

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

CUBE = np.random.default_rng(6).standard_normal((12, 10, 8))
NO_CUBE = np.empty((0, 0, 0))
SECRET = "wJalrXUtnFEMIofTheWorkers"

# distributed opens and closes loops of its own
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two workers, for all tests of this file: they take seconds to start."""
    folder = str(tmp_path_factory.mktemp("workers"))
    with distributed.LocalCluster(
        processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", local_directory=folder
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster) as client:
        yield client


def lazy() -> Any:
    return da.from_array(CUBE, chunks=(5, 10, 4))


@pytest.mark.stores("local", "moto", "seaweedfs")
def test_there_and_back(store: Store, client: Any) -> None:
    cci = store.interface()
    receipt = cci.upload_dask_array("a", lazy() * 2)
    assert receipt["ResponseMetadata"]
    found = cci.download_dask_array("a")
    assert_equal(found.compute(), CUBE * 2)
    assert np.isclose((found - lazy()).mean().compute(), CUBE.mean())
    assert len(store.raw.keys()) == found.npartitions + 1


@pytest.mark.stores("local", "moto")
def test_the_workers_do_the_work(store: Store, client: Any) -> None:
    """The chunks that hold the number of the process that made them."""
    number = lambda block: np.full(block.shape, os.getpid())  # noqa: E731
    cci = store.interface()
    cci.upload_dask_array("a", da.ones((40, 3), chunks=(2, 3)).map_blocks(number, dtype=int))
    workers = set(client.run(os.getpid).values())
    assert set(np.unique(np.asarray(cci.download_dask_array("a").compute()))) <= workers


@pytest.mark.stores("local", "moto")
def test_a_delayed_upload_is_computed_by_the_cluster(store: Store, client: Any) -> None:
    """Also its last task, which writes the table: this process has only the receipt."""
    cci = store.interface()
    upload = cci.upload_dask_array("a", lazy(), compute=False)
    assert store.raw.keys() == []
    assert client.compute(upload).result()["ETag"]
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)
    assert len(store.raw.keys()) == lazy().npartitions + 1


def _fail_at_last(block: np.ndarray[Any, Any], block_id: Any = None) -> np.ndarray[Any, Any]:
    if block_id == (2, 0, 1):
        raise RuntimeError("the disk is gone")
    return -block


@pytest.mark.stores("local", "moto")
def test_a_task_that_fails_leaves_the_old_array_and_nothing_else(store: Store, client: Any) -> None:
    cci = store.interface()
    cci.upload_dask_array("a", lazy())
    before = store.raw.keys()
    with pytest.raises(RuntimeError, match="the disk is gone"):
        cci.upload_dask_array("a", lazy().map_blocks(_fail_at_last, meta=NO_CUBE))
    # no task works on: what they left would be seen below
    client.run(_wait_until_idle)
    assert store.raw.keys() == before
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)


async def _wait_until_idle(dask_worker: Any) -> None:
    import asyncio

    while dask_worker.state.executing_count:  # noqa: ASYNC110 - a thread of the worker counts it down
        await asyncio.sleep(0.01)


@pytest.mark.stores("local", "moto")
def test_what_the_cluster_left_is_discarded(store: Store, client: Any) -> None:
    """Nobody is told when a future fails: who waits for it says what becomes of the chunks."""
    cci = store.interface()
    upload = cci.upload_dask_array("a", lazy().map_blocks(_fail_at_last, meta=NO_CUBE), compute=False)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        client.compute(upload).result()
    client.run(_wait_until_idle)
    upload.discard()
    assert store.raw.keys() == []
    upload.discard()  # there is nothing to do


@pytest.mark.stores("local", "moto")
def test_a_worker_that_dies(store: Store, client: Any) -> None:
    """What it had, and what it was about, is done by another one."""
    victim = next(iter(client.run(os.getpid).values()))
    made = lazy().map_blocks(_kill, victim, meta=NO_CUBE)
    store.interface().upload_dask_array("a", made)
    assert_equal(np.asarray(store.interface().download_dask_array("a")), CUBE)
    assert len(store.raw.keys()) == made.npartitions + 1


def _kill(block: np.ndarray[Any, Any], victim: int) -> np.ndarray[Any, Any]:
    if os.getpid() == victim:
        os.kill(victim, signal.SIGKILL)
    return block


_fails = iter([True])


def _fail_once(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if next(_fails, False):
        raise ConnectionError("not this time")
    return block


@pytest.mark.stores("local")
def test_retries_of_the_scheduler(store: Store, client: Any) -> None:
    cci = store.interface()
    upload = cci.upload_dask_array("a", lazy().map_blocks(_fail_once, meta=NO_CUBE), compute=False)
    upload.compute(retries=5)
    assert_equal(np.asarray(cci.download_dask_array("a")), CUBE)
    assert len(store.raw.keys()) == lazy().npartitions + 1


# ---------------------------------------------------------------------- interfaces travel
def _sum(cci: Any, name: str) -> tuple[int, float]:
    return os.getpid(), float(cci.download_raw_array(name).sum())


@pytest.mark.stores("local", "moto", "seaweedfs")
def test_an_interface_is_used_by_tasks(store: Store, client: Any) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", CUBE)
    futures = [client.submit(_sum, cci, "a", pure=False) for _ in range(8)]
    results = client.gather(futures)
    assert {total for _, total in results} == {CUBE.sum()}
    assert os.getpid() not in {process for process, _ in results}


def _set_keys(keys: dict[str, str]) -> None:
    os.environ.update(keys)


def _unset_keys(keys: dict[str, str]) -> None:
    for name in keys:
        os.environ.pop(name, None)


@pytest.mark.stores("seaweedfs", "ceph")
def test_keys_of_the_environment_are_the_workers_own(
    store: Store, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process finds other keys than the workers, and its own do not reach them."""
    assert store.server is not None
    keys = {"AWS_ACCESS_KEY_ID": store.server.access_key, "AWS_SECRET_ACCESS_KEY": store.server.secret_key}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    cci = store.interface(ACCESS_KEY=None, SECRET_KEY=None)
    cci.upload_raw_array("a", CUBE)
    with pytest.raises(PermissionError):
        client.submit(_sum, cci, "a", pure=False).result()
    client.run(_set_keys, keys)
    try:
        assert client.submit(_sum, cci, "a", pure=False).result()[1] == CUBE.sum()
        cci.upload_dask_array("b", lazy())
        assert cci.download_dask_array("b").sum().compute() == pytest.approx(CUBE.sum())
    finally:
        client.run(_unset_keys, keys)


@pytest.mark.stores("moto")
def test_no_key_that_was_found_is_in_a_graph(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDFROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    cci = store.interface(ACCESS_KEY=None, SECRET_KEY=None)
    upload = cci.upload_dask_array("a", lazy(), compute=False)
    upload.compute(scheduler="synchronous")
    for graph in (upload, cci.download_dask_array("a"), cci.download_dask_array("a")[3:4].mean()):
        text = cloudpickle.dumps(graph)
        assert SECRET.encode() not in text
        assert b"AKIDFROMENVIRONMENT" not in text


# ---------------------------------------------------------------------- memory
@pytest.mark.stores("seaweedfs")
def test_an_array_that_is_larger_than_this_process(store: Store) -> None:
    """The example, smaller: it fails where a number is wrong, or where its process grew to 300 MB."""
    command = [sys.executable, str(ROOT / "examples" / "cluster.py"), "--gigabytes", "0.384"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cottoncandy.__file__).parent.parent)}
    if store.server is None:
        command += ["--store", store.container]
    else:
        command += ["--endpoint-url", store.server.endpoint, "--bucket", store.container]
        environment["AWS_ACCESS_KEY_ID"] = store.server.access_key
        environment["AWS_SECRET_ACCESS_KEY"] = store.server.secret_key
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "largest difference 0.0" in done.stdout
    assert store.raw.keys() == []

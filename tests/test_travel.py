"""Interfaces go to other processes: what they take along, and what they find there."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from recorder import RecordingProxy, Request, Response
from stores import Store

SECRET = "wJalrXUtnFEMIofSomebody"
ROWS = np.arange(400.0).reshape(100, 4)

# Python warns of every fork while threads run, as they do in data loaders
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
METHODS = [name for name in ("fork", "spawn") if name in multiprocessing.get_all_start_methods()]


# ---------------------------------------------------------------------- data loaders
class Rows:
    """What a data loader takes: it is made here, and indexed in the workers."""

    def __init__(self, cci: Any) -> None:
        self.cci = cci
        self.opened = cci.open_array("raw")
        self.chunked = cci.download_dask_array("chunked")

    def __len__(self) -> int:
        return len(self.opened)

    def __getitem__(self, row: int) -> tuple[np.ndarray[Any, Any], ...]:
        chunked = self.chunked[row].compute(scheduler="synchronous")
        return self.opened[row], chunked, self.cci.download_raw_array(f"rows/{row % 10}")


def _load(rows: Rows, wanted: Any, loaded: Any) -> None:
    for row in iter(wanted.get, None):
        loaded.put((row, rows[row]))


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("method", METHODS)
def test_a_data_loader(store: Store, method: str) -> None:
    pytest.importorskip("dask.array")
    cci = store.interface()
    cci.upload_raw_array("raw", ROWS, compression=False)
    cci.upload_dask_array("chunked", ROWS, axis=0, buffersize=1000)
    for row in range(10):
        cci.upload_raw_array(f"rows/{row}", ROWS[row])
    rows = Rows(cci)
    assert np.array_equal(rows[3][0], ROWS[3])  # connections are open when the workers start
    context = multiprocessing.get_context(method)
    wanted, loaded = context.Queue(), context.Queue()
    workers = [context.Process(target=_load, args=(rows, wanted, loaded)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for row in [*range(0, 100, 7), *[None] * len(workers)]:
        wanted.put(row)
    found = dict(loaded.get(timeout=120) for _ in range(0, 100, 7))
    for worker in workers:
        worker.join()
    for row, (raw, chunked, single) in found.items():
        assert np.array_equal(raw, ROWS[row])
        assert np.array_equal(chunked, ROWS[row])
        assert np.array_equal(single, ROWS[row % 10])
    assert np.array_equal(rows[5][1], ROWS[5])  # and the parent goes on
    assert [worker.exitcode for worker in workers] == [0, 0]


# ---------------------------------------------------------------------- keys
@pytest.fixture
def role(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingProxy]:
    """The keys of a container's role, as ECS and EKS hand them out, good for a quarter of an hour."""
    assert store.server is not None
    answer = {
        "AccessKeyId": store.server.access_key,
        "SecretAccessKey": store.server.secret_key,
        "Token": "",
        "Expiration": (datetime.now(timezone.utc) + timedelta(minutes=20)).isoformat(),
    }

    def hand_out(request: Request) -> Response:
        return Response(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    with RecordingProxy(hook=hand_out) as proxy:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{proxy.url}/role")
        yield proxy


def _read(cci: Any) -> float:
    return float(cci.download_raw_array("a").sum())


@pytest.mark.stores("seaweedfs", "ceph")
@pytest.mark.parametrize("method", METHODS)
def test_the_keys_of_a_role_are_asked_for_where_they_are_used(store: Store, role: RecordingProxy, method: str) -> None:
    assert store.server is not None
    cci = store.interface(ACCESS_KEY=None, SECRET_KEY=None)
    cci.upload_raw_array("a", ROWS)
    text = pickle.dumps(cci)
    assert store.server.secret_key.encode() not in text
    role.clear()
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_read, [cci]) == ROWS.sum()
    assert [request.path for request in role.requests] == ["/role"]


@pytest.mark.stores("seaweedfs", "ceph")
def test_keys_that_were_passed_by_hand_go_along(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.server is not None
    cci = store.interface()
    cci.upload_raw_array("a", ROWS)
    assert store.server.secret_key.encode() in pickle.dumps(cci)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFSOMEBODYELSE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_read, [cci]) == ROWS.sum()

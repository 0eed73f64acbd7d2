"""Google Drive as users hold it: `get_interface(backend='gdrive')`."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from drive_store import QUICK
from fake_drive import FakeDrive, Lag

import cottoncandy as cc
from cottoncandy.errors import NotSupported, ObjectNotFound
from cottoncandy.interfaces import DefaultInterface

OpenInterface = Callable[..., DefaultInterface]


@pytest.fixture
def interface(drive: FakeDrive) -> Iterator[OpenInterface]:
    opened: list[DefaultInterface] = []

    def make(bucket_name: str | None = None, **arguments: Any) -> DefaultInterface:
        arguments = {"credentials": drive.credentials(), "retry": QUICK, "verbose": False} | arguments
        opened.append(cc.get_interface(bucket_name, backend="gdrive", endpoint_url=drive.url, **arguments))
        return opened[-1]

    yield make
    for one in opened:
        one.backend_interface.close()


def test_all_kinds_of_things(interface: OpenInterface, tmp_path: Path) -> None:
    cci, other = interface(), interface()
    array = np.arange(24.0).reshape(2, 3, 4)
    records = np.zeros(3, [(f"a_rather_long_field_name_{i}", "<f8", (2,)) for i in range(30)])
    matrix = scipy.sparse.random(20, 30, 0.2, "csr", random_state=1)
    cci.upload_raw_array("dir/raw", array, note="slept well")
    cci.upload_raw_array("dir/records", records)
    cci.upload_npy_array("dir/npy", array)
    cci.upload_sparse_array("dir/sparse", matrix)
    cci.upload_dask_array("dir/dask", array, axis=0)
    cci.dict2cloud("dir/tree", {"a": {"b": array}, "c": array[0]}, verbose=False)
    cci.upload_json("dir/info.json", {"TR": 2.0})
    cci.upload_pickle("dir/pickle", {"x": {1, 2}})
    (tmp_path / "up" / "sub").mkdir(parents=True)
    (tmp_path / "up" / "sub" / "file.txt").write_text("text")
    cci.upload_from_directory(str(tmp_path / "up"), "dir/files", recursive=True)

    assert np.array_equal(other.download_raw_array("dir/raw"), array)
    assert np.array_equal(other.download_raw_array("dir/records"), records)
    assert other.download_raw_array("dir/records").dtype == records.dtype
    assert np.array_equal(other.download_npy_array("dir/npy"), array)
    assert (other.download_sparse_array("dir/sparse") != matrix).nnz == 0
    assert np.array_equal(other.download_dask_array("dir/dask").compute(), array)
    assert np.array_equal(other.cloud2dict("dir/tree", verbose=False)["a"]["b"], array)
    assert other.download_json("dir/info.json") == {"TR": 2.0}
    assert other.download_pickle("dir/pickle") == {"x": {1, 2}}
    assert other.download_stream("dir/raw").metadata["note"] == "slept well"
    other.download_directory("dir/files", str(tmp_path / "down"))
    assert (tmp_path / "down" / "sub" / "file.txt").read_text() == "text"


def test_names_as_directories(drive: FakeDrive, interface: OpenInterface, capsys: pytest.CaptureFixture[str]) -> None:
    cci = interface()
    for name in ("exp/run1/bold.arr", "exp/run2/bold.arr", "exp/notes", "exp2/x", "experiment"):
        cci.upload_object(name, name)
    assert cci.ls("exp") == ["exp/notes", "exp/run1", "exp/run2"]
    assert cci.lsdir() == ["exp", "exp2", "experiment"]
    assert cci.glob("*/bold.arr") == ["exp/run1/bold.arr", "exp/run2/bold.arr"]
    assert cci.glob_google_drive("exp2/*") == cci.glob_s3("exp2/*") == ["exp2/x"]
    cci.cp("exp/notes", "copies/notes")
    cci.mv("exp/notes", "moved")
    assert cci.download_object("moved") == cci.download_object("copies/notes") == b"exp/notes"
    assert not cci.exists_object("exp/notes")
    cci.rm("moved", delete=False)
    assert [item.name for item in drive.trash()] == ["moved"]
    assert cci.rm("exp", recursive=True) == {"DeletedCount": 2}
    assert cci.glob("") == ["copies/notes", "exp2/x", "experiment"]
    assert cci.get_size() == cci.get_bucket_size() == len("exp/notes" + "exp2/x" + "experiment")
    assert cci.get_object_owner("experiment") == "Ada Tester"
    with pytest.raises(ObjectNotFound, match="Google Drive"):
        cci.download_object("exp/notes")
    capsys.readouterr()


def test_the_browser(interface: OpenInterface) -> None:
    cci = interface()
    cci.upload_raw_array("sub01.grp/bold.arr", np.arange(10.0))
    browser = interface().get_browser()
    assert "sub01_DOT_grp" in dir(browser)
    assert np.array_equal(browser.sub01_DOT_grp.load("bold.arr"), np.arange(10.0))


def test_buckets(drive: FakeDrive, interface: OpenInterface, capsys: pytest.CaptureFixture[str]) -> None:
    cci = interface(verbose=True)
    assert cci.bucket_name is None
    assert "None" in capsys.readouterr().out
    folder = interface("lab/data")
    assert folder.bucket_name is None
    folder.upload_object("x", b"x")
    assert list(drive.below()) == ["lab/", "lab/data/", "lab/data/x"]
    for act in (cci.show_buckets, cci.get_bucket, lambda: cci.create_bucket("x"), lambda: cci.exists_bucket("x")):
        with pytest.raises(NotSupported, match="has no buckets"):
            act()


def test_the_bucket_of_the_configuration_is_not_for_drive(
    drive: FakeDrive, interface: OpenInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_DEFAULT_BUCKET", "on-s3")
    interface().upload_object("x", b"x")
    assert list(drive.below()) == ["x"]


def test_files_named_by_the_caller(drive: FakeDrive, tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps(drive.client_secrets()))
    (tmp_path / "saved.json").write_text(drive.credentials().to_json())
    cci = cc.get_interface(
        backend="gdrive",
        ACCESS_KEY=str(tmp_path / "secrets.json"),
        SECRET_KEY=str(tmp_path / "saved.json"),
        endpoint_url=drive.url,
        verbose=False,
    )
    cci.upload_object("x", b"x")
    clone = pickle.loads(pickle.dumps(cci))
    assert clone.download_object("x") == b"x"
    for one in (cci, clone):
        one.backend_interface.close()


# ---------------------------------------------------------------------- it shows
def test_200_mb_with_a_fault_in_every_tenth_request(
    drive: FakeDrive, interface: OpenInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    # small parts, so that there are many requests
    for section, key in (
        ("UPLOAD_SETTINGS", "MPU_CHUNKSIZE"),
        ("DOWNLOAD_SETTINGS", "MPD_CHUNKSIZE"),
        ("DOWNLOAD_SETTINGS", "MPD_USE_THRESHOLD"),
    ):
        monkeypatch.setenv(f"COTTONCANDY_{section}_{key}", "8")
    array = np.arange(25_000_000, dtype="<f8")
    cci = interface()
    drive.faults.every(10, ["reset", "half", "lost", "503", "truncated", "401", "rate"])
    cci.upload_raw_array("array", array, compression=False)
    assert np.array_equal(interface().download_raw_array("array"), array)
    assert sum(request.fault is not None for request in drive.requests) >= 7
    assert list(drive.below()) == ["array"]


def test_eight_threads_on_one_interface(drive: FakeDrive, interface: OpenInterface) -> None:
    cci = interface()
    drive.faults.every(10, ["lost", "reset", "503", "401", "truncated"])

    def work(number: int) -> None:
        for turn in range(3):
            array = np.full((50, 40), number * 10 + turn)
            cci.upload_raw_array(f"shared/{number}", array, who=str(number))
            assert np.array_equal(cci.download_raw_array(f"shared/{number}"), array)
            assert cci.download_stream(f"shared/{number}").metadata["who"] == str(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    drive.faults.clear()
    assert cci.ls("shared") == [f"shared/{number}" for number in range(8)]
    assert all(len(items) == 1 for items in drive.below().values())


def test_a_content_manager_of_a_shared_drive_can_do_everything(drive: FakeDrive, interface: OpenInterface) -> None:
    lab, drive.items.may_delete = drive.items.make_drive("Our lab"), False
    cci = interface(drive="Our lab")
    for size in (40, 4):
        cci.upload_dask_array("chunks", np.arange(100.0 * size).reshape(size, 100), axis=0, buffersize=4000)
        cci.dict2cloud("tree", {str(number): np.arange(3) for number in range(size)}, verbose=False)
    assert cci.download_dask_array("chunks").shape == (4, 100)
    assert cci.cloud2dict("tree", verbose=False).keys() == set("0123")
    cci.mv("tree/0", "moved")
    cci.rm("tree", recursive=True)
    assert {path for path in drive.below(lab) if not path.startswith("chunks")} == {"moved"}


@pytest.mark.parametrize("lag", [Lag(), Lag(by_parent=0.3, by_name=60.0)], ids=["prompt", "lagging"])
def test_a_tree_is_read_by_a_second_interface(drive: FakeDrive, interface: OpenInterface, lag: Lag) -> None:
    drive.items.lag = lag
    tree = {f"sub{i}": {f"run{j}": np.full(5, 10 * i + j) for j in range(3)} for i in range(3)}
    interface().dict2cloud("tree", tree, verbose=False)
    found = interface().cloud2dict("tree", verbose=False)
    assert {i: {j: list(array) for j, array in runs.items()} for i, runs in found.items()} == {
        i: {j: list(array) for j, array in runs.items()} for i, runs in tree.items()
    }


def test_another_process(interface: OpenInterface) -> None:
    cci = interface("lab")
    cci.upload_raw_array("x", np.arange(5))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_sum, cci).result() == 10
    assert cci.download_json("from there") == [1]


def _sum(cci: DefaultInterface) -> int:
    cci.upload_json("from there", [1])
    return int(cci.download_raw_array("x").sum())

"""Backends of third parties: found by entry point, used by name, and the interfaces never ask which one they have."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_backend import MemoryBackend
from samples import ALL, assert_equal, assert_same
from test_trees import TREE, assert_same_tree

import cottoncandy
from cottoncandy.backends import backend_class, backend_names
from cottoncandy.errors import ConfigurationError, ContainerNotFound, NotSupported, ObjectExists, ObjectNotFound

ENTRY_POINTS = """
[cottoncandy.backends]
memory = memory_backend:MemoryBackend
orderly = memory_backend:OrderlyBackend
mistake = memory_backend:NoBackend
absent = no_such_module:Backend
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another distribution that names its backends, as pip would have installed it."""
    folder = tmp_path / "site" / "others_backends-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: others-backends\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(folder.parent))
    importlib.invalidate_caches()
    MemoryBackend.containers["box"] = {}
    MemoryBackend.connected_with.clear()
    yield
    assert MemoryBackend.open_uploads == []
    MemoryBackend.containers.clear()


def test_they_are_found_by_name() -> None:
    assert {"s3", "local", "gdrive", "memory", "orderly"} <= set(backend_names())
    assert backend_class("memory") is MemoryBackend
    with pytest.raises(ConfigurationError, match="NoBackend"):
        backend_class("mistake")
    with pytest.raises(ConfigurationError, match="memory"):
        backend_class("memoryy")


def test_they_get_what_the_caller_gave() -> None:
    cottoncandy.get_interface("box", "key", "secret", "url", verbose=False, backend="memory", extra=1)
    assert MemoryBackend.connected_with == [("key", "secret", "url", {"extra": 1})]
    with pytest.raises(ContainerNotFound, match="nothing"):
        cottoncandy.get_interface("nothing", verbose=False, backend="memory")
    made = cottoncandy.get_interface("new", verbose=False, backend="memory", force_bucket_creation=True)
    assert made.exists_bucket("new")


@pytest.fixture(params=["memory", "orderly"])
def cci(request: pytest.FixtureRequest) -> Any:
    return cottoncandy.get_interface("box", verbose=False, backend=request.param)


def test_every_array(cci: Any) -> None:
    for name, array in ALL.items():
        cci.upload_raw_array(f"raw/{name}", array)
        assert_same(cci.download_raw_array(f"raw/{name}"), array)


@pytest.mark.parametrize("threads", [1, 5])
def test_parts_keep_to_the_limits(cci: Any, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_MPU_CHUNKSIZE", "0.1")
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_MPU_USE_THRESHOLD", "0.2")
    monkeypatch.setenv("COTTONCANDY_DOWNLOAD_SETTINGS_MPD_CHUNKSIZE", "0.13")
    monkeypatch.setenv("COTTONCANDY_DOWNLOAD_SETTINGS_MPD_USE_THRESHOLD", "0.2")
    cci = pickle.loads(pickle.dumps(cci))  # it looks its options up again
    array = np.random.default_rng(1).standard_normal(123_457)
    for compression in (False, "gzip", "LZ4"):
        cci.upload_raw_array("big", array, compression=compression, threads=threads)
        assert_same(cci.download_raw_array("big", threads=threads), array)
    with cci.download_stream("big") as stream:
        assert b"".join(iter(lambda: stream.read(10_000), b"")) == cci.download_object("big")


def test_the_other_arrays(cci: Any) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    cube = np.random.default_rng(1).standard_normal((6, 5, 4))
    for array in (cube, cube[:2]):
        cci.upload_dask_array("d", array, axis=None, buffersize=300)
        assert_equal(np.asarray(cci.download_dask_array("d")), array)
    for _ in range(2):
        cci.upload_sparse_array("s", sparse.eye(4))
        assert (cci.download_sparse_array("s") != sparse.eye(4)).nnz == 0
    cci.dict2cloud("t", TREE, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)


def test_the_file_system(cci: Any, tmp_path: Path) -> None:
    for name in ("exp/a", "exp/b/c", "exp2/a"):
        cci.upload_object(name, name.encode())
    assert cci.lsdir() == ["exp", "exp2"]
    assert cci.ls("exp*/a") == ["exp/a", "exp2/a"]
    assert cci.glob("*/c") == ["exp/b/c"]
    cci.mv("exp", "moved/exp")
    assert cci.glob("moved") == ["moved/exp/a", "moved/exp/b/c"]
    with pytest.raises(ObjectExists):
        cci.cp("exp2/a", "moved/exp/a")
    cci.download_directory("moved", str(tmp_path / "down"))
    assert (tmp_path / "down" / "exp" / "b" / "c").read_text() == "exp/b/c"
    cci.rm("moved/exp", recursive=True)
    assert cci.glob("") == ["exp2/a"]
    with pytest.raises(ObjectNotFound):
        cci.download_object("exp/a")


def test_what_a_backend_cannot_do_is_said(cci: Any, capsys: pytest.CaptureFixture[str]) -> None:
    name = cci.backend_interface.name
    for call in (lambda: cci.get_object_owner("a"), cci.show_buckets, lambda: cci.rm_bucket("box"), cci.get_bucket):
        with pytest.raises(NotSupported, match=name) as caught:
            call()
        assert isinstance(caught.value, NotImplementedError)
    # but opening an interface prints what there is to print
    opened = cottoncandy.get_interface("box", backend=name)
    assert opened.bucket_name == "box"
    assert "Current bucket: box" in capsys.readouterr().out


def test_objects_without_a_type_of_their_own(cci: Any) -> None:
    cci.upload_object("a", b"abc", subject="S01")
    found = cci.get_object("a")
    assert (found.key, found.bucket_name, found.content_length) == ("a", "box", 3)
    assert found.metadata == {"subject": "S01"}
    assert found.get()["Body"].read() == b"abc"
    assert "a" in repr(found)


def test_the_browser(cci: Any) -> None:
    cci.dict2cloud("x.grp", {"a": np.arange(3)}, verbose=False)
    browser = cci.get_browser()
    assert_same(browser.x_DOT_grp.a.load(), np.arange(3))
    assert repr(browser.x_DOT_grp) == "<cottoncandy-group <bucket:box> (x.grp: 1 keys)>"


def test_a_subclass_without_its_methods_says_which() -> None:
    class Half(MemoryBackend.__mro__[1]):  # type: ignore[misg]
        name = "half"

    with pytest.raises(TypeError, match="abstract"):
        Half()

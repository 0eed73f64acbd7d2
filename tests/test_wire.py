"""What 0.4.0 wrote reads back, and what we write is read by a reader that shares no code with us."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wire
from samples import ALL, DTYPES, LAYOUTS, arrays_for, assert_equal, assert_same
from stores import Store

import cottoncandy

EXPECTED = json.loads((wire.WIRE / "expected.json").read_text())
OLD_STORE = wire.WIRE / "store"
COMPRESSIONS = [True, False, None, "gzip", "Zlib", "BZ2", "Zstd", "LZ4"]


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    with np.load(wire.WIRE / "expected.npz") as archive:
        return {key: archive[facts["array"]] for key, facts in EXPECTED.items()}


@pytest.fixture
def old_local(tmp_path: Path) -> Iterator[Any]:
    """The old store as it is; reading changes nothing, and needs no right to write."""
    shutil.copytree(OLD_STORE, tmp_path / "old")
    paths = [tmp_path / "old", *(tmp_path / "old").rglob("*")]
    for path in reversed(paths):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = [(path, path.stat().st_mtime_ns) for path in paths]
    yield cottoncandy.get_interface(str(tmp_path / "old"), backend="local", verbose=False)
    assert [(path, path.stat().st_mtime_ns) for path in paths] == before
    for path in paths:
        path.chmod(0o755)


def _upload_old(store: Store, prefix: str = "") -> None:
    """As it lay in the old store, byte for byte, with its metadata."""
    for path in OLD_STORE.rglob("*"):
        if path.is_file() and not path.name.endswith(".meta.json"):
            metadata = json.loads(Path(f"{path}.meta.json").read_text())
            store.raw.put(prefix + path.relative_to(OLD_STORE).as_posix(), path.read_bytes(), metadata)


def _assert_reads(cci: Any, arrays: dict[str, Any], prefix: str = "") -> None:
    for key, facts in EXPECTED.items():
        found = getattr(cci, f"download_{facts['kind']}_array")(prefix + key)
        if facts["kind"] == "raw":
            assert_same(found, arrays[key])
        else:
            dense = found.toarray() if facts["kind"] == "sparse" else found.compute(scheduler="synchronous")
            assert_equal(dense, arrays[key])


def _assert_reads_the_others(cci: Any, prefix: str = "") -> None:
    assert cci.download_json(prefix + "other/j.json") == {"a": [1, None, "é"]}
    assert cci.download_pickle(prefix + "other/p.pkl") == {"a": (1, 2)}
    assert cci.download_object(prefix + "other/o.bin") == (OLD_STORE / "other" / "o.bin").read_bytes()
    with cci.download_stream(prefix + "other/o.bin") as stream:
        assert {name.lower(): value for name, value in stream.metadata.items()} == {"subject": "S01", "session": "2"}
    assert_same(cci.download_npy_array(prefix + "other/npy"), np.load(OLD_STORE / "other" / "npy"))


def _assert_reads_the_tree(cci: Any, prefix: str = "") -> None:
    expected = wire.tree(wire.Directory(OLD_STORE), "tree.grp")
    found = cci.cloud2dict(prefix + "tree.grp", verbose=False)
    assert set(found) == {"deep", "w"}
    assert set(found["deep"]["more"]) == {"f", "y"}
    _assert_same_tree(found, expected)
    assert_same(cci.get_browser()[prefix + "tree.grp"].load("deep")["x"], expected["deep"]["x"])


def _assert_same_tree(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            _assert_same_tree(found[key], value)
    else:
        assert_same(found, expected)


def test_the_table_is_whole() -> None:
    assert len(EXPECTED) == 110
    assert {facts["kind"] for facts in EXPECTED.values()} == {"raw", "dask", "sparse"}


def test_the_old_store_in_its_place(old_local: Any, arrays: dict[str, Any]) -> None:
    _assert_reads(old_local, arrays)
    _assert_reads_the_others(old_local)
    _assert_reads_the_tree(old_local)
    assert old_local.lsdir("raw/gzip") == sorted(
        f"raw/gzip/{path.name}" for path in _objects(OLD_STORE / "raw" / "gzip")
    )
    assert len(old_local.glob("")) == len(_objects(OLD_STORE))


def _objects(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".meta.json")]


def test_the_old_store_anywhere(store: Store, arrays: dict[str, Any]) -> None:
    _upload_old(store)
    cci = store.interface()
    _assert_reads(cci, arrays)
    _assert_reads_the_others(cci)
    _assert_reads_the_tree(cci)


@pytest.mark.stores("local", "moto")
def test_the_old_store_under_another_name(store: Store, arrays: dict[str, Any]) -> None:
    """The keys in a dask table are the old ones: the chunks lie beside it all the same."""
    _upload_old(store)
    cci = store.interface()
    for name in ("dask", "sparse", "tree.grp"):
        cci.mv(name, f"moved/here/{name}")
    moved = {key: arrays[key] for key in EXPECTED if key.startswith(("dask/", "sparse/"))}
    for key, array in moved.items():
        kind = EXPECTED[key]["kind"]
        found = getattr(cci, f"download_{kind}_array")(f"moved/here/{key}")
        assert_equal(found.toarray() if kind == "sparse" else np.asarray(found), array)
    _assert_reads_the_tree(cci, "moved/here/")
    assert store.raw.keys("dask/") == []


@pytest.mark.stores("local", "moto")
def test_an_old_table_that_was_moved_alone_finds_its_chunks(store: Store, arrays: dict[str, Any]) -> None:
    _upload_old(store)
    store.raw.put("elsewhere/metadata.json", store.raw.get("dask/first/metadata.json")[0])
    found = store.interface().download_dask_array("elsewhere")
    assert_equal(np.asarray(found), arrays["dask/first"])


@pytest.mark.stores("local", "moto")
def test_old_arrays_are_replaced_whole(store: Store) -> None:
    _upload_old(store)
    cci = store.interface()
    small = np.arange(12.0).reshape(3, 4)
    cci.upload_dask_array("dask/iso", small, buffersize=32)
    assert_equal(np.asarray(cci.download_dask_array("dask/iso")), small)
    assert len(store.raw.keys("dask/iso/")) == 4 + 1
    eye = pytest.importorskip("scipy.sparse").eye(3, format="dia")
    cci.upload_sparse_array("sparse/coo", eye)
    assert np.array_equal(cci.download_sparse_array("sparse/coo").toarray(), np.eye(3))
    assert store.raw.keys("sparse/coo/") == [f"sparse/coo/{name}" for name in ("data", "metadata.json", "offsets")]


@pytest.mark.stores("local")
def test_names_of_codecs_and_keys_in_any_case(store: Store, arrays: dict[str, Any]) -> None:
    for key in ("raw/Zstd/f8", "raw/LZ4/f8", "raw/BZ2/f8", "raw/Zlib/f8", "raw/gzip/fortran"):
        body, metadata = wire.Directory(OLD_STORE).get(key)
        for change in (str.upper, str.lower, str.title):
            store.raw.put("a", body, {change(name): value for name, value in metadata.items()})
            assert_same(store.interface().download_raw_array("a"), arrays[key])
            store.raw.put("a", body, {**metadata, "compression": change(metadata["compression"])})
            assert_same(store.interface().download_raw_array("a"), arrays[key])


# ---------------------------------------------------------------------- what we write
def test_raw_arrays_for_others(store: Store) -> None:
    cci = store.interface()
    for number, (name, array) in enumerate(arrays_for(store).items()):
        cci.upload_raw_array(f"raw/{name}", array, compression=COMPRESSIONS[number % len(COMPRESSIONS)])
    for name, array in arrays_for(store).items():
        assert_equal(wire.array(store.raw, f"raw/{name}"), np.array(array))


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
def test_raw_arrays_for_others_with_every_codec(store: Store, compression: Any) -> None:
    cci = store.interface()
    for name, array in ALL.items():
        cci.upload_raw_array(name, array, compression=compression)
        assert_equal(wire.array(store.raw, name), np.array(array))


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
def test_the_metadata_are_those_of_the_page(store: Store, compression: Any) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(6, dtype=">i4").reshape(2, 3), compression=compression)
    metadata = store.raw.get("a")[1]
    assert metadata["dtype"] == ">i4"
    assert metadata["shape"] == "2,3"
    assert metadata["order"] == "C"
    names = {"True": "Blosc", "None": "False"}
    assert metadata["compression"] == names.get(str(compression), str(compression))
    cci.upload_raw_array("b", np.asfortranarray(np.ones((2, 3))), compression=compression)
    metadata = store.raw.get("b")[1]
    assert metadata["order"] == ("F" if metadata["compression"] in {"False", "gzip"} else "C")
    cci.upload_raw_array("c", np.array(3.5), compression=compression)
    assert store.raw.get("c")[1]["shape"] == ""


@pytest.mark.stores("local", "moto", "ceph")
def test_no_key_of_ours_holds_an_underscore(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", DTYPES["nested"])
    cci.upload_dask_array("d", LAYOUTS["C"])
    cci.dict2cloud("t", {"a": LAYOUTS["C"]}, verbose=False)
    for name in ("a", "d/pt0000", "t/a"):
        assert not [key for key in store.raw.get(name)[1] if "_" in key]


def test_chunked_sparse_and_other_objects_for_others(store: Store) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    cci = store.interface()
    cube = np.random.default_rng(7).standard_normal((6, 5, 4))
    for axis in (-1, 0, None):
        cci.upload_dask_array(f"dask/{axis}", cube, axis=axis, buffersize=300)
        assert_equal(wire.dask(store.raw, f"dask/{axis}"), cube)
    matrix = sparse.random(9, 6, 0.3, random_state=1)
    for form in ("csr", "csc", "coo", "dia", "dok", "lil"):
        cci.upload_sparse_array(f"sparse/{form}", matrix.asformat(form))
        assert_equal(wire.sparse(store.raw, f"sparse/{form}"), matrix.toarray())
    blocks = sparse.bsr_matrix(np.kron(np.eye(2), np.arange(6.0).reshape(2, 3)), blocksize=(2, 3))
    cci.upload_sparse_array("sparse/bsr", blocks)
    assert_equal(wire.sparse(store.raw, "sparse/bsr"), blocks.toarray())
    tree = {"w": np.arange(3), "deep": {"x": np.ones((2, 2)), "more": {"y": np.array(2.5)}}}
    cci.dict2cloud("tree.grp", tree, verbose=False)
    _assert_same_tree(wire.tree(store.raw, "tree.grp"), tree)
    cci.upload_json("j", {"a": "é"})
    assert json.loads(store.raw.get("j")[0].decode("utf-8")) == {"a": "é"}
    cci.upload_pickle("p", {"a": (1, 2)})
    assert pickle.loads(store.raw.get("p")[0]) == {"a": (1, 2)}


@pytest.mark.stores("local", "moto")
def test_replaced_arrays_for_others(store: Store) -> None:
    """After a replacement as well, older readers find the parts at the names they look for."""
    sparse = pytest.importorskip("scipy.sparse")
    cci = store.interface()
    cube = np.random.default_rng(7).standard_normal((6, 5, 4))
    for array in (cube, cube[:2] * 2, cube[:, :1] * 3):
        cci.upload_dask_array("d", array, buffersize=300)
        assert_equal(wire.dask(store.raw, "d"), array)
    for form in ("csr", "coo", "dia", "csr"):
        matrix = sparse.random(9, 6, 0.3, random_state=1, format=form)
        cci.upload_sparse_array("s", matrix)
        assert_equal(wire.sparse(store.raw, "s"), matrix.toarray())


@pytest.mark.stores("local")
def test_the_local_layout(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("dir/a.bin", b"x", subject="S01")
    root = Path(cci.backend_interface.path)
    assert (root / "dir" / "a.bin").read_bytes() == b"x"
    assert json.loads((root / "dir" / "a.bin.meta.json").read_text()) == {"subject": "S01"}
    cci.rm("dir/a.bin")
    assert list(root.iterdir()) == []

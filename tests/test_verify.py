"""A branch is read and held to its checksums; what is damaged or missing is reported."""

from __future__ import annotations

import gc
import io
import json
import time
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from stores import Store
from test_objects import small_parts

import cottoncandy as cc
from cottoncandy.cli import run
from cottoncandy.cli.contents import array_facts
from cottoncandy.errors import NotAnArray, ObjectNotFound
from cottoncandy.verification import Damage
from cottoncandy.verification.objects import FIRST

SMOOTH = np.arange(200_000.0).reshape(400, 500)
CODECS = ["False", "gzip", "Zlib", "BZ2", "Zstd", "LZ4", "LZ4Frame", "Blosc", "BloscChunks", "Zstd-blocks"]


def flip(store: Store, key: str, position: int) -> None:
    """Turn a bit behind the back of the library; the metadata stays."""
    data, metadata = store.raw.get(key)
    damaged = bytearray(data)
    damaged[position] ^= 0x10
    store.raw.put(key, bytes(damaged), metadata)


def fill(cci: Any) -> None:
    for codec in CODECS:
        cci.upload_raw_array(f"b/raw/{codec}", SMOOTH.T, compression=codec)
    cci.upload_raw_array("b/empty", np.empty((0, 3)))
    cci.dict2cloud("b/tree", {"x": SMOOTH[:3], "y": {"z": np.float32(1)}}, verbose=False)
    cci.upload_sparse_array("b/sparse", scipy.sparse.eye(30).tocsr())
    cci.upload_dask_array("b/chunks", SMOOTH, axis=0, buffersize=400_000)
    cci.upload_npy_array("b/x.npy", SMOOTH)
    cci.upload_object("b/notes.txt", "slept well")
    cci.upload_json("b/other/metadata.json", {"of": "another program"})
    cci.upload_raw_array("bold", SMOOTH)


def test_a_branch_and_its_damage(store: Store) -> None:
    cci = store.interface()
    fill(cci)
    report = cci.verify("b")
    assert report.ok
    assert report.damaged == report.without_checksum == ()
    assert (report.checked, report.unchecked) == (len(CODECS) + 1 + 2 + 4 + 5 + 1, 2)
    assert report.nbytes > SMOOTH.nbytes
    assert cci.verify().checked == report.checked + 1
    assert cci.verify("bold").checked == cci.verify("b/tree/x").checked == 1
    with pytest.raises(ObjectNotFound, match=r"'nothing'.* nothing is below that name"):
        cci.verify("nothing")

    damaged = {f"b/raw/{codec}" for codec in CODECS} | {"b/chunks/pt0001", "b/sparse/indices"}
    for key in damaged:
        flip(store, key, len(store.raw.get(key)[0]) // 2)
    store.raw.delete("b/chunks/pt0002")
    data, metadata = store.raw.get("b/x.npy")
    store.raw.put("b/x.npy", data[:-8], metadata)
    report = cci.verify("b")
    assert not report.ok
    assert {damage.name for damage in report.damaged} == damaged | {"b/chunks/pt0002", "b/x.npy"}
    reasons = {damage.name: damage.reason for damage in report.damaged}
    assert reasons["b/chunks/pt0002"] == "it is missing, and its table names it"
    assert reasons["b/raw/False"] == "the bytes that arrived are not those that were stored"
    assert "bytes that arrived" in reasons["b/x.npy"]
    assert repr(report).count("\n") == 11
    assert repr(report).endswith(f"and {len(reasons) - 10} more>")
    assert len(str(report).splitlines()) == len(reasons) + 1
    assert cci.verify("bold").ok
    assert cci.verify("b/tree").ok


def test_npy_files_of_others(store: Store) -> None:
    """Only fewer bytes than a header tells of are damage: numpy's own documentation saves two arrays to one file."""
    one, two, objects, long_header = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(one, SMOOTH)
    np.save(two, np.array([1, 2]))
    np.save(two, np.array([1, 3]))
    np.save(objects, np.array(["a", None, {"x": 1}], dtype=object), allow_pickle=True)
    with pytest.warns(UserWarning, match="format 2.0"):
        np.save(long_header, np.zeros(3, [(f"{number}-{'x' * 50}", "f8") for number in range(2000)]))
    assert len(long_header.getvalue()) > 2 * FIRST
    files = {"one": one, "two": two, "objects": objects, "long": long_header}
    for name, file in files.items():
        store.raw.put(f"n/{name}.npy", file.getvalue())
    report = store.interface().verify("n")
    assert (report.damaged, report.unchecked) == ((), len(files))
    for name, file in files.items():
        cut = 4 if name != "two" else 144 + 4
        store.raw.put(f"n/{name}.npy", file.getvalue()[:-cut])
    report = store.interface().verify("n")
    assert {damage.name for damage in report.damaged} == {"n/long.npy", "n/one.npy", "n/two.npy"}
    assert report.damaged[2].reason == "its .npy header tells of 144 bytes, and there are 140"


@pytest.mark.stores("local")
def test_long_headers_are_read_by_several_threads(store: Store) -> None:
    """While Python 3.11 parses one, the garbage collector may let another thread do so, and then it fails."""
    file = io.BytesIO()
    with pytest.warns(UserWarning, match="format 2.0"):
        np.save(file, np.zeros(3, [(f"{number}-{'x' * 50}", "f8") for number in range(2000)]))
    for number in range(40):
        store.raw.put(f"n/{number}.npy", file.getvalue())

    def let_others_go_on(*_: object) -> None:
        time.sleep(0.0001)

    gc.callbacks.append(let_others_go_on)
    try:
        assert store.interface().verify("n", threads=8).ok
    finally:
        gc.callbacks.remove(let_others_go_on)


@pytest.mark.stores("local", "moto")
def test_parts_that_do_not_belong_to_their_table(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("one", SMOOTH, axis=0, buffersize=400_000)
    cci.upload_dask_array("two", SMOOTH[:, ::2], axis=0, buffersize=200_000)
    data, metadata = store.raw.get("one/pt0000")
    other = store.raw.get("two/pt0000")[1]
    version = {"version": other["version"]}
    store.raw.put("one/pt0001", *store.raw.get("two/pt0001"))
    store.raw.put("two/pt0003", data, metadata | version)
    (of_another,) = cci.verify("one").damaged
    assert of_another == Damage("one/pt0001", "it belongs to another upload than its table")
    (of_another_form,) = cci.verify("two").damaged
    assert of_another_form == Damage("two/pt0003", "it is float64(100, 500), and its table says float64(100, 250)")

    # as 0.4.0 leaves them: no checksum, no version, and names of the place where they were written
    table = json.loads(store.raw.get("one/metadata.json")[0])
    del table["version"]
    store.raw.put("old/metadata.json", json.dumps(table).encode())
    for number in (0, 2, 3):
        data, metadata = store.raw.get(f"one/pt{number:04d}")
        kept = {name: metadata[name] for name in ("dtype", "shape", "compression", "order")}
        store.raw.put(f"old/pt{number:04d}", data, kept)
    store.raw.delete("one/pt0001")
    report = cci.verify("old")
    assert report.without_checksum == ("old/pt0000", "old/pt0002", "old/pt0003")
    assert report.damaged == (Damage("old/pt0001", "it is missing, and its table names it"),)
    store.raw.put("one/pt0001", data, kept)  # where the table says that it lies
    assert cci.verify("old").ok


@pytest.mark.stores("local", "moto")
def test_what_cannot_be_read_here_is_not_damaged(store: Store) -> None:
    key, other = bytes(range(32)), bytes(range(32, 64))
    safe, plain = store.interface(encryption_key=key), store.interface()
    safe.upload_raw_array("b/secret", SMOOTH)
    safe.upload_dask_array("b/chunks", SMOOTH, axis=0, buffersize=800_000)
    plain.upload_raw_array("b/plain", SMOOTH)
    plain.upload_raw_array("b/codec", SMOOTH, compression="gzip")
    data, metadata = store.raw.get("b/codec")
    del metadata["xxh3-description"]  # whoever wrote it knew that codec
    store.raw.put("b/codec", data, {**metadata, "compression": "another's"})
    sealed = ("b/chunks/metadata.json", "b/chunks/pt0000", "b/chunks/pt0001", "b/secret")
    assert safe.verify("b").ok
    (unknown,) = safe.verify("b").unreadable
    assert unknown.name == "b/codec"
    assert unknown.reason.startswith('no codec "another\'s"')
    for reader in (plain, store.interface(encryption_key=other)):
        report = reader.verify("b")
        assert report.ok
        assert [one.name for one in report.unreadable] == [*sealed[:3], "b/codec", "b/secret"]
        assert report.unreadable[-1].reason.startswith("is encrypted")
        assert (report.checked, report.unchecked, report.without_checksum) == (1, 0, ())
        assert "1 checked, 0 damaged, 0 without checksum, 0 unchecked, 5 not readable here" in str(report)

    flip(store, "b/plain", len(store.raw.get("b/plain")[0]) // 2)
    flip(store, "b/secret", len(store.raw.get("b/secret")[0]) // 2)
    assert [damage.name for damage in plain.verify("b").damaged] == ["b/plain"]
    assert [damage.name for damage in safe.verify("b").damaged] == ["b/plain", "b/secret"]
    # a table that can be read, of chunks that no key at hand opens
    plain.upload_object("b/chunks/metadata.json", safe.download_object("b/chunks/metadata.json"))
    for reader in (plain, store.interface(encryption_key=other)):
        assert tuple(one.name for one in reader.verify("b/chunks").unreadable) == sealed[1:3]
        assert reader.verify("b/chunks").ok


@pytest.mark.stores("local")
def test_the_command_lists_what_cannot_be_read_here(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    store.interface(encryption_key=bytes(32)).upload_raw_array("b/secret", SMOOTH)
    assert run(["verify", "b", "--backend", "local", "--bucket", store.container]) == 1
    told, counts = capfd.readouterr().out.splitlines()
    assert told.startswith("not readable here b/secret: is encrypted, and no key is at hand")
    assert counts == "0 checked, 0 damaged, 0 without a checksum, 0 no arrays"


def test_what_makes_no_sense_ends_no_verification(tmp_path: Any) -> None:
    cci = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    cci.upload_raw_array("b/sound", SMOOTH)
    cci.upload_object("b/deep/metadata.json", "[" * 100_000)
    assert (cci.verify("b").checked, cci.verify("b").unchecked) == (1, 1)
    cci.upload_raw_array("b/damaged", SMOOTH)
    (tmp_path / "b" / "damaged.meta.json").write_text("{")
    for name in ("b", "b/damaged"):
        assert [damage.name for damage in cci.verify(name).damaged] == ["b/damaged"]
    assert cci.rm("b/damaged") == {"DeletedCount": 1}
    assert cci.verify("b").ok


@pytest.mark.parametrize("compression", [False, "Zstd"])
def test_a_leaf_that_is_called_as_a_table_is_no_table(store: Store, compression: Any) -> None:
    """Its checksum is that of the array, and not of the bytes that are stored."""
    cci = store.interface()
    cci.dict2cloud("t", {"metadata.json": SMOOTH, "x": SMOOTH[:2]}, compression=compression, verbose=False)
    assert (cci.verify("t").checked, cci.verify("t").damaged) == (2, ())
    for read in (cci.download_dask_array, cci.download_sparse_array, cci.download_masked_array):
        with pytest.raises(NotAnArray, match=r"'t/metadata.json'.* is a raw array: .*cloud2dict a tree"):
            read("t")
    assert array_facts(cci, "t") == {}
    # and where an array of parts takes the tree's name, the leaf is nothing that was in its way
    cci.upload_sparse_array("t", scipy.sparse.eye(3).tocsr())
    assert cci.download_sparse_array("t").sum() == 3
    flip(store, "t/x", 20)
    assert [damage.name for damage in cci.verify("t").damaged] == ["t/x"]


@pytest.mark.parametrize("known", [1, 3, 5, 6])
def test_a_branch_of_more_than_is_listed_beforehand(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, known: int) -> None:
    monkeypatch.setattr("cottoncandy.verification.branch._KNOWN", known)
    cci = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    for number in range(5):
        cci.upload_raw_array(f"a/{number}", np.arange(3))
    assert cci.verify("a").checked == 5


def test_memory_is_bounded_by_parts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array of 64 MB needs some MiB."""
    import tracemalloc

    small_parts(monkeypatch, 8, 2)
    cci = cc.get_interface(str(tmp_path), backend="local", verbose=False)
    large = np.tile(np.arange(65_536.0), 128)
    for codec in ("False", "Blosc", "Zstd"):
        cci.upload_raw_array(f"large/{codec}", large, compression=codec)
    for key in cci.glob("large/*"):
        tracemalloc.start()
        try:
            assert cci.verify(key).checked == 1
            assert tracemalloc.get_traced_memory()[1] < large.nbytes / 2
        finally:
            tracemalloc.stop()

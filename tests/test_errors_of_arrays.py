"""What uploads of arrays say of what they cannot store, or not all of: which object it is, and what to do."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from recorder import Request, Response
from s3_wire import error
from stores import Recorded, Store

from cottoncandy import arrayformat
from cottoncandy.chunkedarrays.reader import StoredChunks
from cottoncandy.errors import (
    AccessDenied,
    ChecksumMismatch,
    ConfigurationError,
    CorruptObject,
    DecryptionError,
    InvalidObjectName,
    NotAnArray,
    ObjectNotFound,
    OutOfMemory,
    UnknownCodec,
    UnsupportedArray,
)
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.stream.file import _ObjectFile

MASKED = np.ma.masked_greater(np.arange(4.0), 1)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ---------------------------------------------------------------------- masks
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda cci, array: cci.upload_raw_array("a", array), "a"),
        (lambda cci, array: cci.upload_npy_array("a.npy", array), "a.npy"),
        (lambda cci, array: cci.upload_dask_array("a", array, axis=0, buffersize=8), "a"),
        (lambda cci, array: cci.dict2cloud("t", {"plain": 1, "deep": {"a": array}}, verbose=False), "t/deep/a"),
    ],
    ids=["raw", "npy", "chunks", "tree"],
)
def test_a_mask_that_is_not_stored_is_told_once_of_each_array(
    store: Store, caplog: pytest.LogCaptureFixture, call: Any, named: str
) -> None:
    cci = store.interface()
    for _ in range(2):  # where nothing is, and in the place of another
        caplog.clear()
        call(cci, MASKED)
        (told,) = warnings_in(caplog)
        assert told.startswith(f"object '{named}' in ")
        assert "upload_masked_array" in told


@pytest.mark.stores("local")
def test_what_other_libraries_have_is_told_of_with_its_name(store: Store, tmp_path: Any) -> None:
    h5py, cci = pytest.importorskip("h5py"), store.interface()
    words = pd.Series(["a", "b"])
    refused = [words.astype("category"), words.astype("string"), pd.Series([1]).astype("datetime64[ns, UTC]")]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["nothing"] = h5py.Empty("f8")
        for value in (*refused, file["nothing"], cci.get_browser()):
            for upload in (cci.upload_dask_array, cci.upload_raw_array):
                with pytest.raises(UnsupportedArray, match=r"^object 'a' in "):
                    upload("a", value)
    assert not store.raw.keys()
    cci.upload_dask_array("a", pd.Series([1, 2], dtype="Int64", index=[1.0, 0.0]), buffersize=8)
    assert cci.download_dask_array("a").compute().tolist() == [1, 2]


@pytest.mark.stores("local")
def test_a_mask_of_records_is_told_of(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    cci = store.interface()
    plain = np.zeros(2, [("a", "i4"), ("b", "f8", (2,))])
    cci.upload_raw_array("none", np.ma.array(plain))
    assert not warnings_in(caplog)
    cci.upload_raw_array("some", np.ma.array(plain, mask=[(False, [False, True])] * 2))
    assert len(warnings_in(caplog)) == 1
    assert cci.download_raw_array("some").dtype == plain.dtype


@pytest.mark.stores("local")
def test_nothing_is_said_where_nothing_is_lost(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    cci = store.interface()
    cci.upload_npy_array("a.npy", np.ma.array([1.0, 2.0]))
    cci.upload_raw_array("a", np.ma.array([1.0, 2.0], mask=[False, False]))
    cci.upload_masked_array("m", MASKED)
    assert not warnings_in(caplog)


# ---------------------------------------------------------------------- what makes no array
CALLS: dict[str, tuple[Any, str]] = {
    "raw": (lambda cci, value: cci.upload_raw_array("sub/x", value), "sub/x"),
    "npy": (lambda cci, value: cci.upload_npy_array("sub/x", value), "sub/x"),
    "chunks": (lambda cci, value: cci.upload_dask_array("sub/x", value), "sub/x"),
    "tree": (lambda cci, value: cci.dict2cloud("t", {"ok": 1, "deep": {"x": value}}, verbose=False), "t/deep/x"),
}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("name", CALLS)
def test_a_ragged_list_is_told_of_with_its_name(store: Store, name: str) -> None:
    call, key = CALLS[name]
    with pytest.raises(UnsupportedArray, match=r"inhomogeneous.*equal length.*upload_pickle") as caught:
        call(store.interface(), [[1], [2, 3]])
    assert str(caught.value).startswith(f"{store.backend().describe(key)}: ")
    assert isinstance(caught.value, ValueError)  # as which numpy raises it
    assert not store.raw.keys()


@pytest.mark.stores("local")
def test_an_array_that_cannot_be_read_is_no_ragged_list(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(3), compression=False)
    body, metadata = store.raw.get("a")
    store.raw.put("a", b"!" + body[1:], metadata)
    with pytest.raises(ChecksumMismatch, match="object 'a'"):
        cci.upload_raw_array("b", cci.open_array("a"))


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("name", CALLS)
def test_an_array_whose_file_is_closed_is_told_of_with_its_name(store: Store, tmp_path: Path, name: str) -> None:
    call, key = CALLS[name]
    with pytest.importorskip("h5py").File(tmp_path / "x.h5", "w") as file:
        array = file.create_dataset("x", data=np.arange(4))
    with pytest.raises(UnsupportedArray, match="HDF5 file is closed: keep it open") as caught:
        call(store.interface(), array)
    assert str(caught.value).startswith(f"{store.backend().describe(key)}: ")
    assert not store.raw.keys()


@pytest.mark.stores("local")
@pytest.mark.parametrize("name", CALLS)
def test_what_has_no_items_in_a_hdf5_file_is_told_of_with_its_name(store: Store, name: str, tmp_path: Path) -> None:
    h5py, cci, (call, key) = pytest.importorskip("h5py"), store.interface(), CALLS[name]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["nothing"] = file.attrs["nothing"] = h5py.Empty("f4")
        for value in (file["nothing"], file.attrs["nothing"]):
            with pytest.raises(UnsupportedArray, match=r"h5py\.Empty has a dtype, and no shape and no items") as caught:
                call(cci, value)
            assert str(caught.value).startswith(f"{store.backend().describe(key)}: ")
            assert not store.raw.keys()
            call(cci, np.empty(0, value.dtype))  # as it advises
            stored = store.raw.keys()
            assert stored
            for made in stored:
                store.raw.delete(made)


@pytest.mark.stores("local")
@pytest.mark.parametrize("name", CALLS)
def test_what_a_library_says_of_an_array_that_it_cannot_give_is_told_with_its_name(store: Store, name: str) -> None:
    class Tensor:
        def __array__(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")  # PyTorch's words

    call, key = CALLS[name]
    with pytest.raises(UnsupportedArray, match="requires grad") as caught:
        call(store.interface(), Tensor())
    assert str(caught.value).startswith(f"{store.backend().describe(key)}: ")
    assert not store.raw.keys()


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("name", CALLS)
def test_a_sparse_array_is_sent_to_the_call_for_it(store: Store, name: str) -> None:
    call, key = CALLS[name]
    for array in (scipy.sparse.csr_array(np.eye(3)), scipy.sparse.lil_matrix(np.eye(3))):
        with pytest.raises(UnsupportedArray, match="upload_sparse_array") as caught:
            call(store.interface(), array)
        assert str(caught.value).startswith(f"{store.backend().describe(key)}: ")
        assert "pickle" not in str(caught.value)
    assert not store.raw.keys()


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("kind", [scipy.sparse.csr_array, scipy.sparse.coo_matrix])
def test_sparse_chunks_are_told_of_with_what_to_do(store: Store, kind: Any) -> None:
    cci, arr = store.interface(), dask.array.eye(4, chunks=2).map_blocks(kind)
    with pytest.raises(UnsupportedArray, match=r"chunk \d is sparse.*toarray.*upload_sparse_array") as caught:
        cci.upload_dask_array("sub/x", arr)
    assert str(caught.value).startswith(f"{store.backend().describe('sub/x')}: ")
    assert not store.raw.keys()
    # as the error says
    cci.upload_dask_array("sub/x", arr.map_blocks(lambda block: block.toarray(), dtype=arr.dtype))
    assert np.array_equal(cci.download_dask_array("sub/x").compute(), np.eye(4))
    cci.upload_sparse_array("sub/x", arr.compute())
    assert np.array_equal(cci.download_sparse_array("sub/x").toarray(), np.eye(4))


# ---------------------------------------------------------------------- no bucket
@pytest.mark.stores("moto")
@pytest.mark.parametrize(
    "call",
    [
        *(call for call, _ in CALLS.values()),
        lambda cci, array: cci.upload_dask_array("x", dask.array.from_array(array)),
        lambda cci, array: cci.upload_sparse_array("x", scipy.sparse.csr_array(np.diag(array))),
        lambda cci, array: cci.upload_masked_array("x", np.ma.array(array)),
        lambda cci, array: cci.download_raw_array("x"),
        lambda cci, array: cci.download_npy_array("x"),
        lambda cci, array: cci.download_dask_array("x"),
        lambda cci, array: cci.download_sparse_array("x"),
        lambda cci, array: cci.download_masked_array("x"),
        lambda cci, array: cci.cloud2dict("x"),
    ],
)
def test_without_a_bucket_all_calls_say_so(store: Store, caplog: pytest.LogCaptureFixture, call: Any) -> None:
    cci = store.interface(bucket_name=None)
    with pytest.raises(ConfigurationError, match=r"^no bucket was chosen: "):
        call(cci, np.arange(3))
    assert not warnings_in(caplog)  # nothing was sent, so nothing need be removed


@pytest.mark.stores("local")
def test_a_npy_file_that_is_not_what_was_encrypted_is_told_of_as_such(store: Store) -> None:
    cci = store.interface(encryption_key=bytes(32))
    cci.upload_npy_array("a.npy", np.arange(2**21))
    body, metadata = store.raw.get("a.npy")
    store.raw.put("a.npy", body[:-1] + bytes([body[-1] ^ 1]), metadata)
    with pytest.raises(DecryptionError, match=r"^object 'a\.npy' in .*segment"):
        cci.download_npy_array("a.npy")


# ---------------------------------------------------------------------- what a call does not take
FIELDS = np.zeros(3, [("a", "i4"), ("b", "f8")])[["b", "a"]]
TREE = {"ok": np.arange(3)}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize(
    ("call", "kind", "key", "told"),
    [
        (lambda cci: cci.upload_sparse_array("x", scipy.sparse.coo_array(np.arange(3))), UnsupportedArray, "x", "two"),
        (lambda cci: cci.upload_sparse_array("x", np.eye(2)), UnsupportedArray, "x", "upload_raw_array"),
        (lambda cci: cci.upload_masked_array("x", np.eye(2)), UnsupportedArray, "x", "upload_raw_array"),
        (lambda cci: cci.upload_npy_array("x", FIELDS), ValueError, "x", "repack_fields.*upload_raw_array"),
        (lambda cci: cci.upload_raw_array("x", [1], "foo"), UnknownCodec, "x", "'foo'.*Zstd"),
        (lambda cci: cci.upload_raw_array("x", [1], 7), ConfigurationError, "x", "a codec's name"),
        (lambda cci: cci.upload_masked_array("x", MASKED, "foo"), UnknownCodec, "x", "'foo'"),
        (lambda cci: cci.upload_dask_array("x", [1], compression="foo"), UnknownCodec, "x", "'foo'"),
        (lambda cci: cci.dict2cloud("t", TREE, compression="foo", verbose=False), UnknownCodec, "t", "'foo'"),
        (lambda cci: cci.upload_raw_array("x", [1], shape=1), ValueError, "x", "metadata shape.*take another"),
        (lambda cci: cci.upload_masked_array("x", MASKED, version=1), ValueError, "x", "metadata version"),
        (lambda cci: cci.upload_masked_array("x", MASKED, dtype=1), ValueError, "x", "metadata dtype"),
        (lambda cci: cci.dict2cloud("t", TREE, shape=1, verbose=False), ValueError, "t", "metadata shape"),
        (lambda cci: cci.upload_dask_array("x", [1], dtype=1), ValueError, "x", "metadata dtype"),
        (lambda cci: cci.dict2cloud("t", TREE, tree=1, verbose=False), ValueError, "t", "metadata tree"),
        (lambda cci: cci.dict2cloud("t", {1: 1, "1": 2}, verbose=False), InvalidObjectName, "t", "named '1'.*rename"),
        (lambda cci: cci.dict2cloud("t", {"a": 1, "a/b": 2}, verbose=False), InvalidObjectName, "t", "'a/b' is below"),
        (lambda cci: cci.dict2cloud("t", {"a": {"": 1}}, verbose=False), InvalidObjectName, "t", "give a name"),
        (lambda cci: cci.dict2cloud("t", [1], verbose=False), TypeError, "t", "a dictionary"),
    ],
)
def test_what_a_call_does_not_take_is_told_of_with_the_object(
    store: Store, call: Any, kind: type[Exception], key: str, told: str
) -> None:
    with pytest.raises(kind, match=told) as caught:
        call(store.interface())
    assert str(caught.value).startswith(f"{store.backend().describe(key)}: ")
    assert not store.raw.keys()


@pytest.mark.stores("local", "moto")
def test_an_old_array_stays_where_a_new_one_is_not_taken(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", TREE, verbose=False)
    cci.upload_masked_array("m", MASKED)
    before = store.raw.keys()
    with pytest.raises(UnknownCodec, match=r"^object 't' in"):
        cci.dict2cloud("t", TREE, compression="foo", verbose=False)
    with pytest.raises(UnknownCodec, match=r"^object 'm' in"):
        cci.upload_masked_array("m", MASKED, "foo")
    assert store.raw.keys() == before


@pytest.mark.stores("local", "moto")
def test_what_a_tree_does_not_have_is_told_of_with_its_name(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", TREE, verbose=False)
    with pytest.raises(KeyError) as caught:
        cci.cloud2dict("t", verbose=False, keys=["ok", "z"])
    assert caught.value.args == (f"{store.backend().describe('t')}: the tree has nothing named 'z'",)


@pytest.mark.stores("moto")
def test_a_tree_that_no_dictionary_can_be_is_told_of_with_its_name(store: Store) -> None:
    cci = store.interface()
    for key in ("t/a", "t/a/b"):
        cci.upload_raw_array(key, np.arange(3))
    with pytest.raises(CorruptObject, match="one by one") as caught:
        cci.cloud2dict("t", verbose=False)
    assert str(caught.value).startswith(f"{store.backend().describe('t')}: ")


# ---------------------------------------------------------------------- parts
PARTED: dict[str, tuple[str, Any, Any]] = {
    "sparse": (
        "data",
        lambda cci: cci.upload_sparse_array("sub/x", scipy.sparse.csr_array(np.eye(3))),
        lambda cci: cci.download_sparse_array("sub/x"),
    ),
    "masked": (
        "mask",
        lambda cci: cci.upload_masked_array("sub/x", MASKED),
        lambda cci: cci.download_masked_array("sub/x"),
    ),
    "chunks": (
        "pt0001",
        lambda cci: cci.upload_dask_array("sub/x", np.arange(4), axis=0, buffersize=16),
        lambda cci: cci.download_dask_array("sub/x").compute(),
    ),
    "dask": (
        "pt0001",
        lambda cci: cci.upload_dask_array("sub/x", dask.array.arange(4, chunks=2)),
        lambda cci: cci.download_dask_array("sub/x")[3:].compute(),
    ),
}


def assert_names_array_first(store: Store, told: str, part: str) -> None:
    assert told.startswith(f"{store.backend().describe('sub/x')}: ")
    assert f"'sub/x/{part}'" in told
    assert told.count(store.backend().describe()) == 1


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("kind", PARTED)
def test_an_error_about_a_part_names_the_array_first(store: Store, kind: str) -> None:
    (part, upload, download), cci = PARTED[kind], store.interface()
    upload(cci)
    body, metadata = store.raw.get(f"sub/x/{part}")
    store.raw.put(f"sub/x/{part}", body[:-1] + bytes([body[-1] ^ 255]), metadata)
    with pytest.raises(ChecksumMismatch) as caught:
        download(cci)
    assert_names_array_first(store, str(caught.value), part)
    for gone in (part, "metadata.json"):
        store.raw.delete(f"sub/x/{gone}")
        with pytest.raises(ObjectNotFound) as missed:
            download(cci)
        assert_names_array_first(store, str(missed.value), gone)


@pytest.mark.parametrize("kind", PARTED)
def test_a_part_that_may_not_be_stored_is_told_of_with_the_array(recorded: Recorded, kind: str) -> None:
    part, upload, _ = PARTED[kind]

    def refuse(request: Request) -> Response | None:
        is_refused = request.method == "PUT" and request.path.endswith(part)
        return error("AccessDenied", 403) if is_refused else None

    recorded.proxy.hook = refuse
    with pytest.raises(AccessDenied) as caught:
        upload(recorded.store.interface())
    assert_names_array_first(recorded.store, str(caught.value), part)


@pytest.mark.stores("local", "moto")
def test_a_chunk_of_an_array_that_was_moved_is_told_of_with_its_new_name(store: Store) -> None:
    cci = store.interface()
    cci.upload_dask_array("old/x", np.arange(4), axis=0, buffersize=16)
    for name in ("metadata.json", "pt0000"):
        store.raw.put(f"sub/x/{name}", *store.raw.get(f"old/x/{name}"))
    cci.rm("old", recursive=True)
    with pytest.raises(ObjectNotFound) as caught:
        cci.download_dask_array("sub/x").compute()
    assert_names_array_first(store, str(caught.value), "pt0001")


@pytest.mark.stores("local")
def test_of_what_is_copied_the_damaged_one_is_named(store: Store) -> None:
    """Not the array that it was to become."""
    cci = store.interface()
    cci.upload_raw_array("source/x", np.arange(1000.0), compression="Zstd-blocks")
    data, metadata = store.raw.get("source/x")
    store.raw.put("source/x", data[:-8] + bytes(8), metadata)
    with pytest.raises(CorruptObject, match=r"^object 'source/x' in") as caught:
        cci.upload_dask_array("dest/y", cci.open_array("source/x"), axis=0, buffersize=800)
    assert "dest" not in str(caught.value)


def test_a_chunk_of_another_shape_is_told_of_with_the_array(store: Store) -> None:
    short = dask.array.arange(8, chunks=4).map_blocks(lambda block: block[:3])
    with pytest.raises(ValueError, match=r"is of shape \(3,\)") as caught:
        store.interface().upload_dask_array("sub/x", short)
    assert_names_array_first(store, str(caught.value), "pt0000")


# ---------------------------------------------------------------------- names that cannot be
ARRAY_CALLS: list[Any] = [
    lambda cci, name: cci.dict2cloud(name, TREE, verbose=False),
    lambda cci, name: cci.upload_sparse_array(name, scipy.sparse.csr_array(np.eye(3))),
    lambda cci, name: cci.upload_masked_array(name, MASKED),
    lambda cci, name: cci.upload_dask_array(name, np.arange(3)),
    lambda cci, name: cci.upload_raw_array(f"{name}/x", np.arange(3)),
]


@pytest.mark.stores("local")
@pytest.mark.parametrize("call", ARRAY_CALLS, ids=["tree", "sparse", "masked", "chunks", "raw"])
@pytest.mark.parametrize("name", ["sub/arr", "sub/arr/below/it"])
def test_an_object_in_the_way_is_named(store: Store, call: Any, name: str) -> None:
    cci = store.interface()
    cci.upload_raw_array("sub/arr", np.arange(3))
    with pytest.raises(InvalidObjectName, match=r"'sub/arr' is an object.*remove it, or take another name") as caught:
        call(cci, name)
    assert str(caught.value).startswith(f"object '{name}")
    assert ".upload-" not in str(caught.value)
    assert "bytes" not in str(caught.value)
    assert cci.glob("sub*") == ["sub/arr"]


def stored(store: Store) -> dict[str, Any]:
    return {key: store.raw.get(key) for key in store.raw.keys()}  # noqa: SIM118 - it is no mapping


def long_name(size: int) -> str:
    """A name of so many bytes, whose parts are short enough for a directory."""
    return "/".join(["k" * 99] * 11)[: size - 1] + "x"


@pytest.fixture
def strict(recorded: Recorded) -> Store:
    """A store whose names have 1,024 bytes at most, as on Amazon and Ceph; moto takes longer ones."""

    def refuse_long(request: Request) -> Response | None:
        is_long = len(request.path.encode()) > len(f"/{recorded.store.container}/") + 1024
        return error("KeyTooLongError", 400) if is_long else None

    recorded.proxy.hook = refuse_long
    return recorded.store


def test_a_tree_that_is_replaced_needs_room_for_longer_names(strict: Store) -> None:
    cci, leaf = strict.interface(), long_name(1024 - 2 - 31)
    cci.dict2cloud("t", {leaf: np.arange(3), "b": 1}, verbose=False)
    before = stored(strict)
    with pytest.raises(
        InvalidObjectName, match=r"32 bytes longer, 1025 in all.*1 to 1024 bytes.*shorter name"
    ) as caught:
        cci.dict2cloud("t", {leaf: np.arange(4), "b": 2}, verbose=False)
    assert str(caught.value).startswith(f"object 't/{leaf}' in bucket ")
    assert ".upload-" not in str(caught.value)
    assert stored(strict) == before
    fits = long_name(1024 - 2 - 32)
    for value in (3, 4):
        cci.dict2cloud("f", {fits: np.arange(value), "b": value}, verbose=False)
        assert len(cci.download_raw_array(f"f/{fits}")) == value
    cci.rm("t", recursive=True)  # as the error says
    cci.dict2cloud("t", {leaf: np.arange(4)}, verbose=False)


def test_a_trees_own_name_needs_room_for_marks(strict: Store) -> None:
    cci, fits, root = strict.interface(), long_name(1024 - 38), long_name(1024 - 32)
    with pytest.raises(
        InvalidObjectName, match=r"33 bytes longer, 1025 in all.*1 to 1024 bytes.*shorter name"
    ) as caught:
        cci.dict2cloud(root, {"a": 1}, verbose=False)
    assert str(caught.value).startswith(f"object '{root}' in bucket ")
    assert not strict.raw.keys()
    for value in (1, 2):
        cci.dict2cloud(fits, {"a": value}, verbose=False)
    once = long_name(1024 - 37)
    cci.dict2cloud(once, {"a": 1}, verbose=False)
    with pytest.raises(InvalidObjectName, match=r"38 bytes longer, 1025 in all") as caught:
        cci.dict2cloud(once, {"a": 2}, verbose=False)
    assert str(caught.value).startswith(f"object '{once}' in bucket ")
    assert int(cci.cloud2dict(once, verbose=False)["a"]) == 1
    assert not [key for key in stored(strict) if ".upload-" in key]


def test_an_array_in_parts_that_is_replaced_needs_room_for_longer_names(strict: Store) -> None:
    cci, name = strict.interface(), long_name(1024 - 14)
    cci.upload_masked_array(name, MASKED)
    before = strict.raw.keys()
    with pytest.raises(InvalidObjectName, match=r"17 bytes longer, 10\d\d in all.*shorter name") as caught:
        cci.upload_masked_array(name, -MASKED)
    assert str(caught.value).startswith(f"object '{name}' in bucket ")
    assert "-" not in str(caught.value).partition(" in bucket ")[0]
    assert strict.raw.keys() == before
    assert (cci.download_masked_array(name) == MASKED).all()


# ---------------------------------------------------------------------- memory
#: Bytes that no machine has, and how many of BZ2 may stand for them: a file with a hole takes none on disk.
HUGE, PACKED = 2**57, 2**36


def nothing_left(*_: object) -> Any:
    raise MemoryError


@pytest.mark.stores("local")
def test_an_array_that_does_not_fit_into_memory_is_named(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("tree", {"a": np.arange(3), "b": np.arange(3)}, compression=False, verbose=False)
    store.raw.put("tree/a", b"", {"dtype": "|u1", "shape": str(HUGE), "compression": "BZ2"})
    os.truncate(Path(store.container) / "tree/a", PACKED)
    said = r"'tree/a' in local container .* 134217728\.0 GiB do not fit into memory.*open_array.*out=numpy\.memmap"
    reads = (
        lambda: cci.download_raw_array("tree/a"),
        lambda: cci.open_array("tree/a")[:3],
        lambda: cci.cloud2dict("tree", verbose=False),
    )
    for read in reads:
        with pytest.raises(OutOfMemory, match=said) as caught:
            read()
        assert isinstance(caught.value, MemoryError)


@pytest.mark.stores("local")
def test_chunks_that_do_not_fit_into_memory_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    cci.upload_dask_array("chunks", dask.array.zeros((4, 2**17), chunks=(2, 2**17)))
    monkeypatch.setattr(StoredChunks, "_assemble", nothing_left)
    with pytest.raises(OutOfMemory, match=r"'chunks' in local container .* 2 MiB do not fit"):
        cci.download_dask_array("chunks").compute(scheduler="sync")


@pytest.mark.stores("local", "moto")
def test_files_that_do_not_fit_into_memory_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    cci.upload_npy_array("a.npy", np.arange(3 * 2**20))
    monkeypatch.setattr(arrayformat, "allocate", nothing_left)
    with pytest.raises(OutOfMemory, match=r"'a\.npy' in .* 24 MiB do not fit"):
        cci.download_npy_array("a.npy")
    monkeypatch.setattr(_ObjectFile, "readall", nothing_left)
    with pytest.raises(OutOfMemory, match=r"'a\.npy' in .* 24 MiB do not fit"):
        cci.download_object("a.npy")


# ---------------------------------------------------------------------- which call reads it
READERS = {
    "raw": "download_raw_array",
    "chunks": "download_dask_array",
    "masked": "download_masked_array",
    "sparse": "download_sparse_array",
    "tree": "cloud2dict",
    "deep": "cloud2dict",
}


def one_of_each(cci: DefaultInterface) -> None:
    cci.upload_raw_array("raw", np.ones(2))
    cci.upload_dask_array("chunks", np.ones((4, 4)), axis=0, buffersize=32)
    cci.upload_masked_array("masked", MASKED)
    cci.upload_sparse_array("sparse", scipy.sparse.eye(3, format="coo"))
    cci.dict2cloud("tree", {"mask": np.ones(2), "data": np.ones(2)}, verbose=False)
    cci.dict2cloud("deep", {"a": {"b": np.ones(2)}}, verbose=False)


@pytest.mark.stores("local", "moto", "seaweedfs", "gdrive")
@pytest.mark.parametrize("call", ["download_raw_array", "open_array", "download_npy_array"])
def test_where_no_object_is_it_is_told_which_call_reads_it(store: Store, call: str) -> None:
    cci = store.interface()
    one_of_each(cci)
    for name in ("chunks", "masked", "sparse", "tree", "deep"):
        with pytest.raises(ObjectNotFound, match=f"object '{name}' .*; {READERS[name]} reads what is below that name$"):
            getattr(cci, call)(name)
    with pytest.raises(ObjectNotFound) as caught:
        getattr(cci, call)("tree2")
    assert "reads" not in str(caught.value)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("call", ["download_masked_array", "download_sparse_array", "download_dask_array"])
def test_an_array_of_another_kind_is_not_damaged(store: Store, call: str) -> None:
    cci = store.interface()
    one_of_each(cci)
    for name in {"chunks", "masked", "sparse"} - {name for name, reader in READERS.items() if reader == call}:
        with pytest.raises(NotAnArray, match=f"'{name}' .*: this is another kind of array: {READERS[name]} reads it$"):
            getattr(cci, call)(name)
    for name in ("raw", "tree"):
        with pytest.raises(ObjectNotFound, match=r"download_raw_array reads .*, and cloud2dict a tree"):
            getattr(cci, call)(name)


def test_it_is_asked_only_where_nothing_is_found(recorded: Recorded) -> None:
    cci, proxy = recorded.store.interface(), recorded.proxy
    one_of_each(cci)
    cci.cloud2dict("tree", verbose=False)
    for call, name, count in (
        (cci.download_raw_array, "raw", 1),
        (cci.open_array, "raw", 1),
        (cci.download_raw_array, "chunks", 2),
        (cci.download_raw_array, "absent", 2),
    ):
        proxy.clear()
        with contextlib.suppress(ObjectNotFound):
            call(name)
        assert proxy.count() == count


def test_what_cannot_be_listed_is_not_found_all_the_same(recorded: Recorded) -> None:
    cci = recorded.store.interface()

    def refused(request: Request) -> Response | None:
        return error("AccessDenied", 403) if "list-type" in request.target else None

    recorded.proxy.hook = refused
    with pytest.raises(ObjectNotFound, match="'absent'"):
        cci.download_raw_array("absent")


@pytest.mark.stores("local", "moto", "gdrive")
def test_a_tree_that_is_none(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    cci = store.interface()
    one_of_each(cci)
    cci.upload_json("sub01/info", {})
    with pytest.raises(ObjectNotFound, match=r"'raw' .* is one object, .*: download_raw_array reads it"):
        cci.cloud2dict("raw")
    with pytest.raises(ObjectNotFound, match=r"'sub01/info' .* is one object, .*: download_object reads it"):
        cci.cloud2dict("sub01/info")
    assert capsys.readouterr().out == ""
    for name in ("sub0", "sub01", "raw/", "/tree2"):
        assert cci.cloud2dict(name) == {}
        assert capsys.readouterr().out == f"no arrays are below {name!r}\n"
    assert cci.cloud2dict("tree", keys=[]) == {}
    assert cci.cloud2dict("tree").keys() == {"mask", "data"}
    assert capsys.readouterr().out == "downloaded arrays in 'tree'\n" * 2


# ---------------------------------------------------------------------- tables
@pytest.mark.stores("local")
def test_a_frame_is_told_of_its_call(store: Store) -> None:
    cci = store.interface()
    frame = pd.DataFrame({"onset": [1.5], "word": ["cat"]})
    for call in (
        lambda: cci.upload_raw_array("a", frame),
        lambda: cci.upload_dask_array("a", frame),
        lambda: cci.dict2cloud("t", {"a": frame}, verbose=False),
    ):
        with pytest.raises(UnsupportedArray, match=r"a' in .*: a table of .* goes by upload_dataframe"):
            call()
    cci.upload_raw_array("a", frame[["onset"]])
    assert cci.download_raw_array("a").tolist() == [[1.5]]

"""Masked arrays, and records."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest
from recorder import Response
from samples import assert_equal
from stores import Recorded, Store

from cottoncandy.errors import AccessDenied, CorruptObject, NotAnArray, ObjectNotFound, UnsupportedArray

RECORDS = np.dtype([("onset", "<f8"), ("word", "<U3"), ("xyz", "<i2", (3,))])


def samples() -> dict[str, Any]:
    values = np.random.default_rng(0).standard_normal((4, 5, 6)).astype("f4")
    records = np.ma.array(np.zeros(3, RECORDS), mask=[(True, False, [True, False, False])] * 3)
    records["onset"] = [1, 2, 3]
    return {
        "floats": np.ma.masked_where(values > 0, values, copy=True),
        "fortran": np.ma.masked_less(np.asfortranarray(values), 0),
        "filling": np.ma.array([1, 2, 3], mask=[1, 0, 0], fill_value=-7),
        "hard": np.ma.array([1, 2, 3], mask=[1, 0, 0], hard_mask=True),
        "no mask": np.ma.array([1.0, 2.0]),
        "0-d": np.ma.array(5, mask=True),
        "empty": np.ma.array(np.zeros((0, 3)), mask=True),
        "dates": np.ma.array(["2020-01-01", "NaT"], dtype="M8[D]", mask=[0, 1]),
        "text": np.ma.array(["a", "ü"], mask=[0, 1], fill_value="?"),
        "records": records,
        "strided": np.ma.masked_greater(values, 0)[::2, ..., ::-1],
    }


def assert_same_masked(found: Any, expected: Any) -> None:
    assert type(found) is np.ma.MaskedArray
    assert_equal(found.data, np.ma.getdata(expected))  # what lies under the mask too
    assert_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
    fillings = [np.asarray(one.fill_value, one.dtype).tobytes() for one in (found, expected)]
    assert fillings[0] == fillings[1]
    assert found.hardmask == expected.hardmask
    assert found.flags.writeable


@pytest.mark.stores("local", "moto", "gdrive")
def test_there_and_back(store: Store) -> None:
    cci = store.interface()
    for name, array in samples().items():
        cci.upload_masked_array(f"//dir/{name}", array, subject="S01")
        assert_same_masked(cci.download_masked_array(f"dir/{name}/"), array)
    assert set(store.raw.keys("dir/hard/")) == {
        f"dir/hard/{part}" for part in ("data", "mask", "fill_value", "metadata.json")
    }
    table = json.loads(store.raw.get("dir/hard/metadata.json")[0])
    assert (table["type"], table["attrs"], table["shape"]) == ("masked", ["data", "mask", "fill_value"], [3])
    assert store.raw.get("dir/hard/data")[1]["subject"] == "S01"
    # each part is an array by itself
    assert_equal(cci.download_raw_array("dir/filling/data"), np.array([1, 2, 3]))
    assert_equal(cci.cloud2dict("dir/filling", verbose=False)["mask"], np.array([True, False, False]))

    # another takes its place; both move as one
    new = np.ma.array(np.arange(6.0).reshape(2, 3), mask=np.eye(2, 3))
    cci.upload_masked_array("dir/filling", new, compression=False)
    assert len(store.raw.keys("dir/filling/")) == 4
    assert store.raw.get("dir/filling/data")[0] == new.data.tobytes()
    cci.mv("dir/filling", "moved")
    assert_same_masked(cci.download_masked_array("moved"), new)


DTYPES: list[Any] = ["?", "u1", "i1", ">i2", "u8", "f2", "c8", "S1", "U2", "M8[D]", [("a", "u1"), ("b", "f2")]]


@pytest.mark.stores("local")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_fill_value_that_nobody_chose_stays_the_default(store: Store, dtype: Any) -> None:
    """For some of these dtypes numpy's own is too large."""
    with np.errstate(all="ignore"):
        cci, array = store.interface(), np.ma.array(np.zeros(3, dtype), mask=[0, 1, 0])
    cci.upload_masked_array("a", array)
    found = cci.download_masked_array("a")
    with np.errstate(all="ignore"):
        assert repr(found.fill_value) == repr(array.fill_value)
        assert found.filled().tobytes() == array.filled().tobytes()
        if array.dtype.kind in "iuf":
            assert found.astype("f8").fill_value == array.astype("f8").fill_value

    # one that was chosen, though the dtype can hold no more of the default either
    stored = cci.download_raw_array("a/fill_value")
    if array.dtype.str in {"|u1", "|i1", ">i2"}:
        chosen = np.ma.array(array, fill_value=stored)
        cci.upload_masked_array("a", chosen)
        assert cci.download_masked_array("a").astype("f8").fill_value == chosen.astype("f8").fill_value == stored
    # as it was stored before the table told whether it was
    table = json.loads(store.raw.get("a/metadata.json")[0])
    del table["default_fill_value"]
    store.raw.delete("a/metadata.json")  # with its checksum
    store.raw.put("a/metadata.json", json.dumps(table).encode())
    with np.errstate(all="ignore"):
        assert np.asarray(cci.download_masked_array("a").fill_value, dtype).tobytes() == stored.tobytes()


@pytest.mark.stores("local")
def test_the_masked_constant(store: Store) -> None:
    cci = store.interface()
    cci.upload_masked_array("a", np.ma.masked)
    found = cci.download_masked_array("a")
    assert_same_masked(found, np.ma.array(0.0, mask=True))
    assert found is not np.ma.masked
    found[...] = 5  # numpy's own is read-only


@pytest.mark.stores("local")
def test_other_kinds_say_what_they_are(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    import scipy.sparse

    cci = store.interface()
    cci.upload_sparse_array("sparse", scipy.sparse.eye(3, format="csr"))
    with pytest.raises(NotAnArray, match=r"'sparse' in .* another kind of array: download_sparse_array reads it"):
        cci.download_masked_array("sparse")
    cci.upload_masked_array("masked", np.ma.array([1, 2], mask=[0, 1]))
    with pytest.raises(NotAnArray, match=r"'masked' in .* another kind of array: download_masked_array reads it"):
        cci.download_sparse_array("masked")
    with pytest.raises(ObjectNotFound, match="no array of chunks or parts has this name"):
        cci.download_masked_array("absent")
    with pytest.raises(UnsupportedArray, match="ndarray is no masked array: use upload_raw_array"):
        cci.upload_masked_array("plain", np.zeros(3))
    with pytest.raises(UnsupportedArray, match="references"):
        cci.upload_masked_array("objects", np.ma.array([{}, 1], dtype=object))
    with pytest.raises(ValueError, match="metadata version"):
        cci.upload_masked_array("objects", np.ma.array([1]), version="2")
    assert not store.raw.keys("objects")
    store.raw.put("masked/mask", b"\0\0\0", {**store.raw.get("masked/mask")[1], "shape": "3", "compression": "False"})
    with pytest.raises(CorruptObject, match="'masked'"):
        cci.download_masked_array("masked")
    # a plain upload says what it leaves out, and does so no more where nothing is masked
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        cci.upload_raw_array("raw", np.ma.array([1, 2], mask=[0, 0]))
        assert not caplog.records
        cci.upload_raw_array("raw", np.ma.array([1, 2], mask=[0, 1]))
    assert "upload_masked_array stores it" in caplog.text


def test_a_failure_leaves_the_old_one(recorded: Recorded) -> None:
    cci, old = recorded.store.interface(), np.ma.array([1, 2, 3], mask=[0, 1, 0])
    cci.upload_masked_array("name", old)
    recorded.proxy.hook = lambda request: Response(403) if request.method == "PUT" and "mask-" in request.path else None
    with pytest.raises(AccessDenied):
        cci.upload_masked_array("name", np.ma.array([4.0], mask=[1]))
    recorded.proxy.hook = None
    assert_same_masked(cci.download_masked_array("name"), old)
    assert len(recorded.store.raw.keys()) == 4


@pytest.mark.stores("local", "moto")
def test_records_come_back_as_structured_arrays(store: Store) -> None:
    cci = store.interface()
    records = np.rec.array([(1.5, "moth", 3), (2.5, "owl", 4)], dtype=[("onset", "<f8"), ("word", "<U4"), ("n", "i2")])
    cci.upload_raw_array("records", records)
    cci.dict2cloud("tree", {"one": records[:1], "row": records[0]}, verbose=False)
    found = cci.download_raw_array("records")
    assert type(found) is np.ndarray
    assert_equal(found, np.asarray(records).view(records.dtype.fields and np.dtype(records.dtype.descr)))
    assert found.view(np.recarray).word.tolist() == ["moth", "owl"]
    assert cci.cloud2dict("tree", verbose=False)["row"]["word"] == "moth"
    assert cci.open_array("records")[1]["n"] == 4

"""Trees of arrays: nested dictionaries, up and down."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import count
from threading import Semaphore
from typing import Any

import dask.array
import numpy as np
import pytest
from s3_wire import error
from samples import DTYPES, assert_same
from stores import Recorded, Store

from cottoncandy.errors import AccessDenied, CorruptObject, InvalidObjectName, UnsupportedArray

TREE: dict[str, Any] = {
    "w": np.arange(12.0).reshape(3, 4),
    "deep": {"x": np.ones((2, 2), dtype="<i4"), "more": {"y": np.array(2.5), "z": np.empty((0, 3))}},
    "deeper": {"er": {"and": {"deeper": np.arange(3)}}},
    "structured": DTYPES["structured"],
}
NAMES = ["deep/more/y", "deep/more/z", "deep/x", "deeper/er/and/deeper", "structured", "w"]


def assert_same_tree(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert {str(key) for key in expected} == set(found)
        for key, value in expected.items():
            assert_same_tree(found[str(key)], value)
    else:
        assert_same(found, expected)


def test_there_and_back(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("exp/tree.grp", TREE, verbose=False)
    assert store.raw.keys() == [f"exp/tree.grp/{name}" for name in NAMES]
    assert_same_tree(cci.cloud2dict("exp/tree.grp", verbose=False), TREE)
    assert_same_tree(cci.cloud2dict("/exp//tree.grp/", verbose=False), TREE)
    assert_same_tree(cci.cloud2dict("exp", verbose=False), {"tree.grp": TREE})
    assert_same(cci.download_raw_array("exp/tree.grp/deep/x"), TREE["deep"]["x"])


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("threads", [1, 7])
def test_threads(store: Store, threads: int) -> None:
    cci = store.interface()
    many = {f"{i:02d}": {"a": np.full(3, i), "b": np.full((2, 2), -i)} for i in range(20)}
    cci.dict2cloud("many", many, verbose=False, threads=threads)
    assert_same_tree(cci.cloud2dict("many", verbose=False, threads=threads), many)


@pytest.mark.stores("local", "moto")
def test_keys(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", TREE, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False, keys=["w"]), {"w": TREE["w"]})
    assert_same_tree(cci.cloud2dict("t", verbose=False, keys=["deep"]), {"deep": TREE["deep"]})
    found = cci.cloud2dict("t", verbose=False, keys=["deep/more/y", "/w"])
    assert_same_tree(found, {"deep": {"more": {"y": TREE["deep"]["more"]["y"]}}, "w": TREE["w"]})
    assert cci.cloud2dict("t", verbose=False, keys=[]) == {}
    assert_same_tree(
        cci.cloud2dict("t", verbose=False, keys="deep/more/y"), {"deep": {"more": {"y": TREE["deep"]["more"]["y"]}}}
    )
    with pytest.raises(KeyError, match="the tree has nothing named 'wz'"):
        cci.cloud2dict("t", verbose=False, keys="wz")  # not its letters, of which one is there
    with pytest.raises(KeyError, match="the tree has nothing named 'dee'"):
        cci.cloud2dict("t", verbose=False, keys=["w", "dee"])


def test_odd_keys(store: Store) -> None:
    cci = store.interface()
    tree = {
        "a b": np.arange(1),
        "a+b": np.arange(2),
        "a%20b": np.arange(3),
        "é": {"ü": np.arange(4)},
        7: {8: np.arange(5)},
    }
    cci.dict2cloud("t", tree, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False), tree)
    assert sorted(store.raw.keys()) == sorted(["t/a b", "t/a+b", "t/a%20b", "t/é/ü", "t/7/8"])


@pytest.mark.stores("local", "moto")
def test_a_key_with_a_slash_is_a_path(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", {"a/b": np.arange(2), "a": {"c": np.arange(3)}}, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False), {"a": {"b": np.arange(2), "c": np.arange(3)}})


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize(
    "tree",
    [
        {"..": np.ones(1)},
        {"a": {"../../x": np.ones(1)}},
        {"": np.ones(1)},
        {"a\0": np.ones(1)},
        {"/": {"/": np.ones(1)}},
        {".upload-0123456789abcdef": {"x": np.ones(1)}},
        {"a": {"b/.upload-0123456789abcdef": np.ones(1)}},
    ],
    ids=repr,
)
def test_keys_that_no_object_has(store: Store, tree: Any) -> None:
    with pytest.raises(InvalidObjectName):
        store.interface().dict2cloud("t", {"good": np.ones(1), **tree}, verbose=False)
    assert store.raw.keys() == []


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize(
    "tree",
    [{"a": np.ones(1), "a/b": np.ones(1)}, {"a": np.ones(1), "/a": np.ones(2)}, {1: np.ones(1), "1": np.ones(2)}],
    ids=lambda tree: str([*tree]),
)
def test_keys_that_are_in_each_others_way(store: Store, tree: Any) -> None:
    with pytest.raises(InvalidObjectName, match=r"'(a|1)'"):
        store.interface().dict2cloud("t", tree, verbose=False)
    assert store.raw.keys() == []


@pytest.mark.stores("local", "moto")
def test_what_is_no_array_is_made_one(store: Store) -> None:
    cci = store.interface()
    tree = {"list": [1, 2, 3], "number": 2.5, "text": "slept well", "tuple": ((1, 2), (3, 4)), "flag": True}
    cci.dict2cloud("t", tree, verbose=False)
    found = cci.cloud2dict("t", verbose=False)
    assert_same_tree(found, {key: np.asarray(value) for key, value in tree.items()})


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize(
    "leaf", [None, {1, 2}, object(), np.array([{}]), [[1], [2, 3]]], ids=lambda leaf: type(leaf).__name__
)
def test_what_cannot_be_an_array_is_refused_before_anything_is_sent(store: Store, leaf: Any) -> None:
    with pytest.raises((UnsupportedArray, ValueError)):
        store.interface().dict2cloud("t", {"a": np.ones(2), "b": {"c": leaf}}, verbose=False)
    assert store.raw.keys() == []


class Unread:
    """An array that is in no memory before it is asked for."""

    shape = (3,)

    def __init__(self, dtype: str, read: Any) -> None:
        self.dtype, self._read = np.dtype(dtype), read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._read()


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("threads", [1, 4])
def test_what_is_not_in_memory_is_read_when_it_is_sent(store: Store, threads: int, there: bool) -> None:
    cci, sent, reading = store.interface(), [], Semaphore()
    if there:
        cci.dict2cloud("t", {"old": 1}, verbose=False)

    def read() -> Any:
        assert reading.acquire(blocking=False), "libraries of files are asked by one thread at a time"
        sent.append(sum(key.rpartition("/")[2].startswith("leaf") for key in store.raw.keys("t/")))
        reading.release()
        return np.arange(3.0)

    cci.dict2cloud("t", {f"leaf{number}": Unread("f8", read) for number in range(9)}, verbose=False, threads=threads)
    assert all(before > number - threads for number, before in enumerate(sent)), sent
    assert_same_tree(cci.cloud2dict("t", verbose=False), {f"leaf{number}": np.arange(3.0) for number in range(9)})


@pytest.mark.stores("local", "moto")
def test_what_is_not_in_memory_and_cannot_be_stored(store: Store) -> None:
    cci, was_read = store.interface(), []
    with pytest.raises(UnsupportedArray, match=r"'t/b' in .*dtype object"):
        cci.dict2cloud("t", {"a": Unread("f8", was_read.append), "b": Unread("O", was_read.append)})
    assert not was_read
    assert not store.raw.keys()

    def fail() -> Any:
        raise TypeError("the file is closed")

    with pytest.raises(UnsupportedArray, match=r"'t/b' in .*the file is closed"):
        cci.dict2cloud("t", {"a": 1, "b": Unread("f8", fail)})
    assert not store.raw.keys()


@pytest.mark.stores("local", "moto")
def test_arrays_of_other_libraries(store: Store, tmp_path: Any) -> None:
    cci, there = store.interface(), np.arange(6.0).reshape(2, 3)
    dask_array = dask.array.from_array(there, chunks=2)
    cci.upload_raw_array("raw", there)
    tree = {
        "dask": dask_array,
        "unknown": dask_array[dask_array > 2],
        "open": cci.open_array("raw"),
        "n": np.float32(3),
    }
    expected = {"dask": there, "unknown": there[there > 2], "open": there, "n": np.asarray(np.float32(3))}
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/b"] = there
        cci.dict2cloud("t", tree | {"file": file}, verbose=False)
        file["nothing"] = h5py.Empty("f8")
        with pytest.raises(UnsupportedArray, match="'t/file/nothing' in "):
            cci.dict2cloud("t", {"file": file}, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False), expected | {"file": {"a": {"b": there}}})


@pytest.mark.stores("local")
def test_a_group_of_a_closed_file_is_named(store: Store, tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/b"] = np.ones(3)
        group = file["a"]
    cci = store.interface()
    for tree in (file, group):
        with pytest.raises(
            UnsupportedArray, match=r"^object 't' in .*: the tree cannot be read: .* file is closed: keep"
        ):
            cci.dict2cloud("t", tree, verbose=False)
    with pytest.raises(
        UnsupportedArray, match=r"^object 't' in .*: its branch 'x/y' cannot be read: .* is closed: keep"
    ):
        cci.dict2cloud("t", {"first": np.ones(3), "x": {"y": group}}, verbose=False)
    assert store.raw.keys() == []


@pytest.mark.stores("local")
def test_labels_of_xarray_are_lost_with_a_word(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    xarray, cci = pytest.importorskip("xarray"), store.interface()
    numbers = np.arange(6.0).reshape(3, 2)
    labelled = xarray.Dataset({"bold": (("t", "x"), numbers), "mean": ("x", numbers[0])}, coords={"x": [1, 2]})
    described = xarray.Dataset({"bold": (("t", "x"), numbers, {"unit": "percent"})})
    plain = xarray.Dataset({"bold": (("t", "x"), numbers), "inner": ((), 3)})
    cci.upload_raw_array("before", numbers)
    for tree, told in [
        (labelled, ["object 't'", "Dataset"]),
        ({"run": {"a": labelled}}, ["object 't/run/a'", "Dataset"]),
        (described, ["object 't'", "Dataset"]),
        ({"one": labelled.bold, "numpy": numbers}, ["object 't/one'", "DataArray"]),
        (xarray.DataTree.from_dict({"/": labelled, "/run1": labelled}), ["object 't'", "DataTree"]),
        (plain, []),
        ({"one": plain.bold, "numpy": numbers}, []),
    ]:
        caplog.clear()
        cci.dict2cloud("t", tree, verbose=False)
        assert len(caplog.messages) == bool(told), caplog.messages
        assert all(word in message for word in told for message in caplog.messages)
        assert all("to_zarr(cci.zarr_store(name))" in message for message in caplog.messages)
    for upload in (cci.upload_raw_array, cci.upload_npy_array, cci.upload_dask_array):
        caplog.clear()
        upload(f"{upload.__name__}/plain", plain.bold)
        assert caplog.messages == []
        upload(f"{upload.__name__}/labelled", labelled.bold)
        (message,) = caplog.messages
        assert f"'{upload.__name__}/labelled" in message
    cci.dict2cloud("t", labelled, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False), {"bold": numbers, "mean": numbers[0]})


@pytest.mark.stores("local")
@pytest.mark.parametrize("tree", [[1, 2], np.ones(3), None, "text"], ids=lambda tree: type(tree).__name__)
def test_what_is_no_tree(store: Store, tree: Any) -> None:
    with pytest.raises(TypeError, match="dict"):
        store.interface().dict2cloud("t", tree, verbose=False)
    assert store.raw.keys() == []


@pytest.mark.stores("local", "moto")
def test_an_empty_tree(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", {}, verbose=False)
    cci.dict2cloud("t", {"a": {}}, verbose=False)
    assert store.raw.keys() == []
    assert cci.cloud2dict("t", verbose=False) == {}


@pytest.mark.stores("local", "moto")
def test_options_of_the_arrays(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", {"a": {"b": np.arange(100)}}, verbose=False, compression=False, subject="S01")
    body, metadata = store.raw.get("t/a/b")
    assert body == np.arange(100).tobytes()
    assert metadata["subject"] == "S01"


# ---------------------------------------------------------------------- replaced
def test_a_smaller_tree_leaves_nothing_of_the_larger_one(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", TREE, verbose=False)
    cci.dict2cloud("t2", {"sibling": np.ones(2)}, verbose=False)
    smaller = {"w": np.zeros(2), "deep": {"x": np.ones(3)}, "new": np.arange(4)}
    cci.dict2cloud("t", smaller, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False), smaller)
    assert store.raw.keys() == ["t/deep/x", "t/new", "t/w", "t2/sibling"]


@pytest.mark.stores("local", "moto")
def test_objects_that_are_no_leaves_are_left_alone(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    cci = store.interface()
    cci.dict2cloud("t", TREE, verbose=False)
    store.raw.put("t/notes.txt", b"mine")
    store.raw.put("t/deep/notes.json", b"{}", {"subject": "S01"})
    cci.upload_raw_array("t/by_hand", np.ones(3))
    cci.dict2cloud("t", {"w": np.zeros(2)}, verbose=False)
    assert store.raw.keys() == ["t/by_hand", "t/deep/notes.json", "t/notes.txt", "t/w"]
    with caplog.at_level(logging.WARNING):
        assert_same_tree(cci.cloud2dict("t", verbose=False), {"w": np.zeros(2), "by_hand": np.ones(3)})
    assert "t/notes.txt" in caplog.text
    assert "t/deep/notes.json" in caplog.text


@pytest.mark.stores("local", "moto")
def test_a_tree_inside_a_tree_is_replaced_alone(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", TREE, verbose=False)
    cci.dict2cloud("t/deep/more", {"y": np.zeros(1)}, verbose=False)
    found = cci.cloud2dict("t", verbose=False)
    assert_same(found["deep"]["more"]["y"], np.zeros(1))
    assert_same(found["w"], TREE["w"])
    assert_same(found["deep"]["x"], TREE["deep"]["x"])


@pytest.mark.stores("moto", "ceph")
def test_an_array_and_a_group_of_one_name_are_not_mixed_up(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("t/a", np.ones(2))
    cci.upload_raw_array("t/a/b", np.ones(3))
    with pytest.raises(CorruptObject, match="'a"):
        cci.cloud2dict("t", verbose=False)


def test_a_tree_that_is_broken_says_where(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("t", TREE, verbose=False, compression=False)
    body, metadata = store.raw.get("t/deep/x")
    store.raw.put("t/deep/x", body[:-1], metadata)
    with pytest.raises(CorruptObject, match="t/deep/x"):
        cci.cloud2dict("t", verbose=False)


class Stopped(Exception):
    """Stands for the end of a process: nothing of ours catches it."""


def stopped(cci: Any, monkeypatch: pytest.MonkeyPatch, number: int, tree: Any, name: str = "exp/t") -> bool:
    """Upload a tree, but no write gets through from the n-th on, as of a dead process; whether it came to that."""
    backend, calls = cci.backend_interface, count(1)
    gone = False

    def stop(write: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal gone
            gone = gone or next(calls) >= number
            if gone:
                raise Stopped
            return write(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for method in ("put", "copy", "delete"):
            patch.setattr(backend, method, stop(getattr(backend, method)))
        for method in ("begin_put", "begin_copy"):
            patch.setattr(backend, method, lambda *arguments, **named: None)
        try:
            cci.dict2cloud(name, tree, verbose=False, threads=1)
        except Stopped:
            return True
    return False


@pytest.mark.stores("local")
@pytest.mark.parametrize("there", [True, False], ids=["there", "absent"])
def test_broken_off_before_each_write(store: Store, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """A reader gets the old tree or the new one, also by the name above; the next upload ends it."""
    old = {"w": np.zeros(3), "gone": np.zeros(1), "a": {"b": np.zeros(2)}} if there else {}
    new = {"w": np.ones(4), "new": np.ones(1), "gone": {"deeper": np.ones(2)}}
    seen = []
    for number in count(1):
        cci = store.interface()
        cci.upload_raw_array("exp/t/by_hand" if there else "exp/other", np.full(2, 7))
        if old:
            cci.dict2cloud("exp/t", old, verbose=False)
        was_stopped = stopped(cci, monkeypatch, number, new)
        found = cci.cloud2dict("exp/t", verbose=False)
        above = cci.cloud2dict("exp", verbose=False)
        assert_same_tree(above.get("t", {}), found)
        if there:
            assert_same(found.pop("by_hand"), np.full(2, 7))
        seen.append("new" in found)
        assert_same_tree(found, new if seen[-1] else old)
        cci.dict2cloud("exp/t", {"w": np.zeros(1)}, verbose=False)
        found = cci.cloud2dict("exp/t", verbose=False)
        found.pop("by_hand", None)
        assert_same_tree(found, {"w": np.zeros(1)})
        cci.rm("exp", recursive=True)
        if not was_stopped:
            break
    assert seen == sorted(seen)  # there is one moment of change
    assert number > 5


# ---------------------------------------------------------------------- printing and datasets
@pytest.mark.stores("local")
def test_they_print_the_name_when_they_are_told_to(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    cci = store.interface()
    cci.dict2cloud("dir/t", {"a": np.ones(1)})
    assert "dir/t" in capsys.readouterr().out
    cci.cloud2dict("dir/t")
    assert "dir/t" in capsys.readouterr().out
    cci.dict2cloud("dir/t", {"a": np.ones(1)}, verbose=False)
    cci.cloud2dict("dir/t", verbose=False)
    assert capsys.readouterr() == ("", "")


def test_a_dataset_of_a_branch(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("exp/plain", TREE, verbose=False)
    found = cci.cloud2dataset("exp/plain")
    assert isinstance(found, __import__("cottoncandy").browser.BrowserObject)
    assert sorted(found.keys()) == ["deep", "deeper", "structured", "w"]
    assert_same(found.load("w"), TREE["w"])
    assert_same(found.load("deep/x"), TREE["deep"]["x"])
    assert_same_tree(found.load(), TREE)
    assert_same_tree(found.load("deep"), TREE["deep"])
    assert_same(found.w.load(), TREE["w"])
    assert sorted(found.deep.keys()) == ["more", "x"]


# ---------------------------------------------------------------------- requests
def test_one_request_for_each_array(recorded: Recorded) -> None:
    store, proxy = recorded
    names = [f"{i}/{j}" for i in range(4) for j in range(3)]
    cci = store.interface()
    proxy.clear()
    cci.dict2cloud("t", {name: np.arange(5) for name in names}, verbose=False)
    methods = [request.method for request in proxy.requests]
    # a mark that is there while the arrays are on their way, and a list before and beside the first of them
    assert methods.count("PUT") == len(names) + 1
    assert methods.count("GET") == 2
    assert len(methods) == len(names) + 4
    proxy.clear()
    cci.cloud2dict("t", verbose=False)
    assert sorted(request.path.partition("/t/")[2] for request in proxy.requests if "/t/" in request.path) == names
    assert len(proxy.requests) == len(names) + 1
    assert {request.method for request in proxy.requests} == {"GET"}


def test_who_fails_looks_at_what_is_there_alone(recorded: Recorded) -> None:
    """Which of its leaves have come so far, a listing tells; whether they are still its own, a look at each."""
    store, proxy = recorded
    cci, names = store.interface(), [f"{number:03}" for number in range(300)]
    refusal = error("AccessDenied", 403)
    proxy.hook = lambda request: refusal if request.method == "PUT" and request.path.endswith("/t/007") else None
    proxy.clear()
    with pytest.raises(AccessDenied, match="'t/007'"):
        cci.dict2cloud("t", dict.fromkeys(names, np.arange(5)), verbose=False, threads=1)
    assert store.raw.keys() == []
    looks = [request.path.rpartition("/")[2] for request in proxy.requests if request.method == "HEAD"]
    assert sorted(looks) == names[:7]
    # before and beside the first leaf, and when it failed: which stand, twice whether others wait, and who waits
    assert [request.method for request in proxy.requests].count("GET") == 6


@pytest.mark.lean_wire("botocore's way looks at each leaf before it is copied")
def test_the_requests_of_a_tree_that_is_replaced(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    store, proxy = recorded
    names = [f"{i}/{j}" for i in range(4) for j in range(3)]
    cci = store.interface()
    # where it takes time to connect, threads send the leaves, and look at each before it is copied
    monkeypatch.setattr(cci.backend_interface, "answers_later", lambda of_use: True)
    cci.dict2cloud("t", {**dict.fromkeys(names, np.arange(5)), "gone": np.arange(2)}, verbose=False)
    proxy.clear()
    cci.dict2cloud("t", {name: np.arange(6) for name in names}, verbose=False)
    methods = Counter(request.method for request in proxy.requests)
    # two marks; one more, as an object is not of the new tree, and looked at; each leaf is sent and copied
    assert methods["PUT"] == 2 * len(names) + 3
    assert methods["HEAD"] == 1
    # before, when the leaves are there, and when they have taken their places
    assert methods["GET"] == 3
    # what is of the old tree only; the mark; what waited
    assert methods["POST"] + methods["DELETE"] == 3

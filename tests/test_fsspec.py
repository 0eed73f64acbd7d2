"""fsspec on every store: fsspec's own abstract suites, and what they do not ask."""

from __future__ import annotations

import contextlib
import gc
import gzip
import os
import pickle
import posixpath
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import register_implementation
from fsspec.spec import AbstractFileSystem
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)
from pages import ROOT, tomllib
from recorder import Request, Response
from s3_wire import error
from stores import Recorded, Store
from test_contract import _exit_with

from cottoncandy import generate_encryption_key
from cottoncandy.errors import (
    AccessDenied,
    InvalidObjectName,
    NotSupported,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
)
from cottoncandy.fsspecfs import CottonCandyFileSystem, ObjectFileSystem, ObjectWriter
from cottoncandy.stream import TransferSettings

#: The rest of S3 would tell nothing new here.
pytestmark = pytest.mark.stores("local", "moto", "seaweedfs", "gdrive")
MIB = 2**20
SMALL_PARTS = TransferSettings(upload_part=5 * MIB, download_threshold=MIB, download_part=MIB)


@pytest.fixture(autouse=True)
def _registered() -> None:
    """What the entry point does where cottoncandy is installed."""
    register_implementation("cottoncandy", CottonCandyFileSystem, clobber=True)


@pytest.fixture
def fs(store: Store) -> ObjectFileSystem:
    return store.interface().fs


# ---------------------------------------------------------------------- fsspec's own suites
class _OurFixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self, fs: ObjectFileSystem) -> ObjectFileSystem:
        return fs

    @pytest.fixture
    def local_fs(self) -> LocalFileSystem:
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def fs_path(self) -> str:
        return "lab"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return posixpath.join

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


@pytest.mark.stores("local")  # 180 cases each, of names
class TestCopy(AbstractCopyTests, _OurFixtures): ...


@pytest.mark.stores("local")  # 180 cases each, of names
class TestGet(AbstractGetTests, _OurFixtures): ...


@pytest.mark.stores("local")  # 180 cases each, of names
class TestPut(AbstractPutTests, _OurFixtures): ...


class TestOpen(AbstractOpenTests, _OurFixtures): ...


class TestPipe(AbstractPipeTests, _OurFixtures): ...


# ---------------------------------------------------------------------- looking
TREE = {"exp/a.txt": b"1", "exp/run1/b.txt": b"22", "exp/run1/c/d.txt": b"333", "exp2/e.txt": b"4", "f.txt": b"5"}


@pytest.fixture
def tree(store: Store, fs: ObjectFileSystem) -> ObjectFileSystem:
    for name, body in TREE.items():
        store.raw.put(name, body)
    return fs


def test_what_is_there(tree: ObjectFileSystem) -> None:
    assert tree.ls("exp", detail=False) == ["exp/a.txt", "exp/run1"]
    assert tree.ls("/", detail=False) == ["exp", "exp2", "f.txt"]
    assert tree.ls("f.txt", detail=False) == ["f.txt"]
    assert tree.find("exp") == ["exp/a.txt", "exp/run1/b.txt", "exp/run1/c/d.txt"]
    assert tree.find("f.txt") == ["f.txt"]
    assert tree.find("exp", withdirs=True) == sorted([*tree.find("exp"), "exp", "exp/run1", "exp/run1/c"])
    assert tree.find("exp", maxdepth=1) == ["exp/a.txt"]
    assert tree.glob("exp*/*.txt") == ["exp/a.txt", "exp2/e.txt"]
    assert tree.glob("exp/**/*.txt") == tree.find("exp")
    assert tree.glob("exp/r*") == ["exp/run1"]
    assert [(path, sorted(files)) for path, _, files in tree.walk("exp")] == [
        ("exp", ["a.txt"]),
        ("exp/run1", ["b.txt"]),
        ("exp/run1/c", ["d.txt"]),
    ]
    assert tree.du("exp") == 6
    assert tree.du("exp", total=False, maxdepth=1) == {"exp/a.txt": 1}


def test_facts(store: Store, tree: ObjectFileSystem) -> None:
    head = store.backend().stat("exp/run1/b.txt")
    facts = tree.info("exp/run1/b.txt")
    assert facts == {
        "name": "exp/run1/b.txt",
        "size": 2,
        "type": "file",
        "LastModified": head.last_modified,
        "ETag": head.e_tag,
    }
    (listed,) = [other for other in tree.ls("exp/run1") if other["type"] == "file"]
    assert listed | {"LastModified": None} == facts | {"LastModified": None}  # Ceph lists with milliseconds
    assert tree.info("exp/run1") == {"name": "exp/run1", "size": 0, "type": "directory"}
    assert tree.modified("f.txt") == store.backend().stat("f.txt").last_modified
    before = tree.ukey("f.txt")
    store.raw.put("f.txt", b"another")
    assert tree.ukey("f.txt") != before


def test_what_is_not_there(tree: ObjectFileSystem) -> None:
    for name in ("ex", "exp/run", "exp/a.tx", "f.txt/a"):
        assert not tree.exists(name)
        assert not tree.isfile(name)
        assert not tree.isdir(name)
        assert tree.find(name) == []
        for ask in (tree.info, tree.ls, tree.cat_file, tree.open, tree.rm):
            with pytest.raises(FileNotFoundError):
                ask(name)
    assert tree.isdir("exp")
    assert tree.isfile("f.txt")


def test_nothing_is_cached(store: Store, fs: ObjectFileSystem) -> None:
    assert not fs.exists("a/b")
    assert fs.ls("/") == []
    store.raw.put("a/b", b"1")
    assert fs.ls("a", detail=False) == ["a/b"]
    store.raw.delete("a/b")
    assert not fs.exists("a/b")


def test_refused_is_not_absent(recorded: Recorded) -> None:
    fs = recorded.store.interface().fs
    recorded.proxy.hook = lambda _: error("AccessDenied", 403)
    for ask in (fs.exists, fs.isfile, fs.isdir):
        with pytest.raises(AccessDenied):
            ask("a")


# ---------------------------------------------------------------------- bytes
def test_ranges(store: Store, fs: ObjectFileSystem) -> None:
    body = bytes(range(100))
    store.raw.put("a", body)
    for start, end in [
        (None, None),
        (3, 7),
        (90, 300),
        (-5, None),
        (None, -98),
        (10, -10),
        (-20, -10),
        (7, 3),
        (100, None),
    ]:
        assert fs.cat_file("a", start, end) == body[start:end], (start, end)
    assert fs.head("a", 4) == body[:4]
    assert fs.tail("a", 4) == body[-4:]
    assert fs.read_block("a", 10, 10) == body[10:20]
    first, missing, last = fs.cat_ranges(["a", "missing", "a"], [0, 0, 95], [5, 5, 200])
    assert (first, last) == (body[:5], body[95:])
    assert isinstance(missing, ObjectNotFound)
    with pytest.raises(ObjectNotFound):
        fs.cat_ranges(["a", "missing"], 0, 5, on_error="raise")


def test_ranges_travel_at_the_same_time(recorded: Recorded) -> None:
    """Four requests meet at the server: none is answered before all are there."""
    recorded.store.raw.put("a", bytes(1000))
    fs = recorded.store.interface().fs
    together = threading.Barrier(4, timeout=30)

    def meet(request: Any) -> None:
        if request.method == "GET":
            together.wait()

    recorded.proxy.hook = meet
    assert fs.cat_ranges(["a"] * 4, [0, 10, 20, 30], [10, 20, 30, 40], on_error="raise") == [bytes(10)] * 4


def test_many_objects_at_once(tree: ObjectFileSystem) -> None:
    assert tree.cat("exp", recursive=True) == {name: TREE[name] for name in tree.find("exp")}
    assert tree.cat(["f.txt", "exp/a.txt"]) == {"exp/a.txt": b"1", "f.txt": b"5"}
    assert tree.cat("exp*/*.txt") == {"exp/a.txt": b"1", "exp2/e.txt": b"4"}
    assert tree.cat("f.txt") == b"5"
    assert tree.cat(["f.txt", "missing"], on_error="omit") == {"f.txt": b"5"}
    with pytest.raises(FileNotFoundError):
        tree.cat(["f.txt", "missing"])
    tree.pipe({f"many/{i}": b"%d" % i for i in range(20)})
    assert tree.cat("many", recursive=True) == {f"many/{i}": b"%d" % i for i in range(20)}


def test_only_where_nothing_is(store: Store, fs: ObjectFileSystem) -> None:
    store.raw.put("a", b"old")
    for write in (
        lambda: fs.pipe_file("a", b"new", mode="create"),
        lambda: fs.open("a", "xb"),
        lambda: fs.open("a", "x"),
    ):
        with pytest.raises(ObjectExists):
            write()
    with fs.open("b", "x") as file:
        file.write("new")
    assert store.raw.get("a")[0] + store.raw.get("b")[0] == b"oldnew"


# ---------------------------------------------------------------------- files
@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 11 * MIB + 3])
def test_what_is_written_is_read(store: Store, size: int) -> None:
    body = np.random.default_rng(size).bytes(size)
    fs = ObjectFileSystem(store.backend(), SMALL_PARTS)
    with fs.open("dir/x", "wb") as file:
        for start in range(0, size, 700_001):
            assert file.write(memoryview(body)[start : start + 700_001])
        assert file.tell() == size
        assert not fs.exists("dir/x")
    assert store.raw.get("dir/x")[0] == body
    with fs.open("dir/x") as file:
        assert file.seek(size // 2) == size // 2
        assert file.read() == body[size // 2 :]
    assert store.raw.leftovers() == []


def test_parts_go_up_while_it_is_written(recorded: Recorded) -> None:
    fs = ObjectFileSystem(recorded.store.backend(), SMALL_PARTS)
    with fs.open("x", "wb") as file:
        recorded.proxy.clear()
        file.write(bytes(5 * MIB))
        file.write(b"1")
    sent = [(request.method, request.length) for request in recorded.proxy.requests if "partNumber" in request.query]
    assert sorted(sent) == [("PUT", 1), ("PUT", 5 * MIB)]


def test_few_parts_are_in_memory_however_many_threads_are_configured(recorded: Recorded) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def slow(request: Request) -> Response | None:
        nonlocal under_way, most
        if "partNumber" not in request.query:
            return None
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.05)  # so that those that may be are under way together
        with lock:
            under_way -= 1
        return None

    recorded.proxy.hook = slow
    fs = ObjectFileSystem(recorded.store.backend(), TransferSettings(threads=32))
    with fs.open("x", "wb") as file:
        for _ in range(12):
            file.write(bytes(8 * MIB))
    assert 1 < most <= 4
    assert recorded.store.backend().stat("x").size == 96 * MIB


@pytest.mark.parametrize("mode", ["w", "wb"])
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("size", [10, 11 * MIB])
def test_a_block_that_is_left_by_an_error_stores_nothing(
    store: Store, mode: str, compression: str | None, size: int
) -> None:
    store.raw.put("x", b"old")
    fs = ObjectFileSystem(store.backend(), SMALL_PARTS)
    data = np.random.default_rng(0).bytes(size // 2).hex()

    def write() -> None:
        with fs.open("x", mode, compression=compression) as file:
            file.write(data if mode == "w" else data.encode())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert store.raw.get("x")[0] == b"old"
    assert store.raw.leftovers() == []


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("in_block", [True, False])
def test_a_text_whose_last_characters_were_interrupted_is_not_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch, compression: str | None, in_block: bool
) -> None:
    store.raw.put("t", b"the one before")
    file = store.interface().fs.open("t", "wt", compression=compression)
    write = ObjectWriter.write

    def interrupted(self: ObjectWriter, data: bytes) -> int:
        write(self, data)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), file if in_block else contextlib.closing(file):  # noqa: PT012
        file.write("line\n" * 20_000)
        file.write("the last")
        monkeypatch.setattr(ObjectWriter, "write", interrupted)
    monkeypatch.undo()
    file.close()
    assert store.raw.get("t")[0] == b"the one before"


@pytest.mark.stores("local")
@pytest.mark.parametrize("mode", ["wb", "wt"])
def test_what_was_interrupted_while_it_was_compressed_is_not_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    store.raw.put("t", b"the one before")
    file = store.interface().fs.open("t", mode, compression="gzip")
    monkeypatch.setattr(type((file.buffer if "t" in mode else file)._packer), "write", raises_interrupt)
    with pytest.raises(KeyboardInterrupt):
        file.write("x" * MIB if "t" in mode else b"x" * MIB)
    monkeypatch.undo()
    file.close()
    assert store.raw.get("t")[0] == b"the one before"


def raises_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_file_that_is_never_closed_is_not_stored(store: Store) -> None:
    fs = ObjectFileSystem(store.backend(), SMALL_PARTS)
    for size in (10, 6 * MIB):
        file = fs.open("x", "wb")
        file.write(bytes(size))
        del file
    assert store.raw.keys() == store.raw.leftovers() == []


def test_a_part_that_fails_ends_the_file(recorded: Recorded) -> None:
    fs = ObjectFileSystem(recorded.store.backend(), SMALL_PARTS)
    recorded.proxy.hook = lambda request: error("AccessDenied", 403) if "partNumber" in request.query else None
    file = fs.open("x", "wb")
    with pytest.raises(AccessDenied):
        file.write(bytes(40 * MIB))
    assert file.closed
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"1")
    assert recorded.store.raw.keys() == recorded.store.raw.leftovers() == []


def test_text_and_compression(store: Store, fs: ObjectFileSystem) -> None:
    with fs.open("a.txt.gz", "wt", encoding="latin-1", newline="\r\n", compression="infer") as file:
        file.write("früh\nspät\n")
    assert gzip.decompress(store.raw.get("a.txt.gz")[0]).decode("latin-1") == "früh\r\nspät\r\n"
    with fs.open("a.txt.gz", "r", encoding="latin-1", compression="infer") as file:
        assert file.read() == "früh\nspät\n"
    fs.write_text("b.txt", "spät")
    assert fs.read_text("b.txt", encoding="utf-8") == "spät"


def test_a_transaction_is_seen_at_its_end(store: Store) -> None:
    fs = ObjectFileSystem(store.backend(), SMALL_PARTS)

    def write(*names: str, error: type[Exception] | None = None) -> None:
        with fs.transaction:
            for name, size in zip(names, (3, 6 * MIB), strict=True):
                with fs.open(name, "wb") as file:
                    file.write(bytes(size))
            assert not set(names) & set(store.raw.keys(""))
            if error:
                raise error

    write("small", "large")
    assert store.raw.keys() == ["large", "small"]
    with pytest.raises(ZeroDivisionError):
        write("third", "fourth", error=ZeroDivisionError)
    assert store.raw.keys() == ["large", "small"]
    assert store.raw.leftovers() == []


@pytest.mark.parametrize("how", [{"mode": "wb"}, {"mode": "w"}, {"mode": "wb", "compression": "gzip"}])
@pytest.mark.parametrize("left", ["an error", "thrown away", "never closed"])
def test_what_was_not_finished_in_a_transaction_replaces_nothing(store: Store, how: Any, left: str) -> None:
    fs = ObjectFileSystem(store.backend(), SMALL_PARTS)
    sizes = {"small": 3, "large": 12 * MIB}
    for name in sizes:
        store.raw.put(name, b"precious")
    with fs.transaction:
        for name, size in sizes.items():
            file = fs.open(name, **how)
            file.write("x" * size if how["mode"] == "w" else os.urandom(size))
            if left == "an error":
                with pytest.raises(KeyError), file:
                    raise KeyError(name)
            elif left == "thrown away":
                getattr(file, "buffer", file).discard()
            del file
        with fs.open("other", "wb") as file:
            file.write(b"whole")
    assert store.raw.keys() == ["large", "other", "small"]
    assert store.raw.get("other")[0] == b"whole"
    assert store.raw.get("large")[0] == store.raw.get("small")[0] == b"precious"
    assert store.raw.leftovers() == []


@pytest.mark.parametrize("mode", ["wb", "w"])
@pytest.mark.parametrize("compression", [None, "gzip", "bz2", "xz", "zstd"])
def test_a_file_that_nobody_closes_replaces_nothing(store: Store, mode: str, compression: str | None) -> None:
    fs = ObjectFileSystem(store.backend(), SMALL_PARTS)
    store.raw.put("key", b"precious")

    def fail() -> None:
        file = fs.open("key", mode, compression=compression)
        file.write("half" if mode == "w" else b"half")
        raise KeyError("key")

    with pytest.raises(KeyError):
        fail()
    gc.collect()
    assert store.raw.get("key")[0] == b"precious"


def test_all_that_writes_in_a_transaction_is_seen_at_its_end(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    (tmp_path / "file").write_bytes(b"on disk")

    def write(error: type[Exception] | None) -> None:
        with cci.fs.transaction:  # `fs` is the same one each time
            cci.fs.pipe({"piped": b"1", "piped too": b"2"})
            cci.fs.pipe_file("created", b"3", mode="create")
            cci.fs.put_file(tmp_path / "file", "put")
            cci.fs.put(str(tmp_path / "file"), "put too")
            cci.fs.write_bytes("bytes", b"4")
            cci.fs.write_text("text", "5")
            cci.fs.touch("touched")
            assert store.raw.keys() == []
            if error:
                raise error

    with pytest.raises(ZeroDivisionError):
        write(ZeroDivisionError)
    assert store.raw.keys() == []
    write(None)
    assert store.raw.keys() == ["bytes", "created", "piped", "piped too", "put", "put too", "text", "touched"]
    assert store.raw.get("put too")[0] == b"on disk"
    other = store.interface()
    other.__setstate__(cci.__getstate__())
    assert other.fs is not cci.fs


def test_a_transaction_that_fails_is_over(store: Store) -> None:
    cci = store.interface()

    def write() -> None:
        with cci.fs.transaction:
            cci.fs.pipe_file("taken", b"new", mode="create")
            cci.fs.pipe_file("behind", b"it")
            store.raw.put("taken", b"another's")

    with pytest.raises(ObjectExists):
        write()
    cci.fs.pipe_file("later", b"important")
    assert store.raw.keys() == ["later", "taken"]
    assert store.raw.leftovers() == []


def test_what_another_thread_writes_is_in_no_transaction_of_this_one(store: Store) -> None:
    cci = store.interface()

    def fail() -> None:
        with cci.fs.transaction:
            pool.submit(lambda: cci.fs.pipe_file("theirs", b"x")).result()
            cci.fs.pipe_file("ours", b"x")
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        fail()
    assert store.raw.keys() == ["theirs"]


@pytest.mark.parametrize("mode", ["ab", "a", "r+b"])
def test_objects_are_not_changed_in_place(fs: ObjectFileSystem, mode: str) -> None:
    with pytest.raises(NotSupported, match="anew"):
        fs.open("a", mode)


# ---------------------------------------------------------------------- copying, moving, removing
def test_siblings_survive(store: Store, tree: ObjectFileSystem) -> None:
    store.raw.put("experiment", b"6")
    tree.rm("exp", recursive=True)
    assert store.raw.keys() == ["exp2/e.txt", "experiment", "f.txt"]
    assert store.raw.leftovers() == []


def test_a_name_that_is_there_is_no_pattern(store: Store, fs: ObjectFileSystem, tmp_path: Path) -> None:
    there = ["d/a1", "d/a[1]", "d/g1/x", "d/g[1]/x", "d/q?", "d/qq", "d/res*", "d/res1"]
    for name in there:
        store.raw.put(name, name.encode())
    assert fs.cat(fs.find("d")) == {name: name.encode() for name in there}
    assert fs.cat("d/a[1]") == b"d/a[1]"
    assert fs.cat("d/[aq][1q]") == {"d/a1": b"d/a1", "d/qq": b"d/qq"}
    fs.get("d/a[1]", str(tmp_path / "file"))
    fs.get("d/g[1]", str(tmp_path / "folder"), recursive=True)
    assert (tmp_path / "file").read_bytes() == b"d/a[1]"
    assert (tmp_path / "folder" / "x").read_bytes() == b"d/g[1]/x"
    fs.mv("d/q?", "d/moved")
    fs.copy("d/g[1]", "copied", recursive=True)
    assert store.raw.get("d/moved")[0] == b"d/q?"
    assert store.raw.get("copied/x")[0] == b"d/g[1]/x"
    fs.rm_file("d/res*")
    fs.rm("d/g[1]", recursive=True)
    fs.rm(["d/a[1]"])
    assert store.raw.keys() == ["copied/x", "d/a1", "d/g1/x", "d/moved", "d/qq", "d/res1"]
    with pytest.raises(ObjectNotFound, match=re.escape("d/res*")):
        fs.rm_file("d/res*")
    with pytest.raises(IsADirectoryError):
        fs.rm_file("d")
    fs.rm("d/[ag]*", recursive=True)
    assert store.raw.keys() == ["copied/x", "d/moved", "d/qq", "d/res1"]


def test_removing_names_what_is_not_right_and_removes_nothing(store: Store, tree: ObjectFileSystem) -> None:
    with pytest.raises(IsADirectoryError, match="recursive=True"):
        tree.rm(["f.txt", "exp"])
    with pytest.raises(ObjectNotFound, match="missing"):
        tree.rm(["f.txt", "missing"])
    with pytest.raises(InvalidObjectName):
        tree.rm("", recursive=True)
    assert store.raw.keys() == sorted(TREE)
    tree.rm_file("f.txt")
    tree.rm("exp", recursive=True, maxdepth=1)
    assert store.raw.keys() == ["exp/run1/b.txt", "exp/run1/c/d.txt", "exp2/e.txt"]
    tree.rm("/", recursive=True)
    assert store.raw.keys() == []


def test_many_are_removed_with_one_request(recorded: Recorded) -> None:
    fs = recorded.store.interface().fs
    fs.pipe({f"many/{i}": b"" for i in range(50)})
    recorded.proxy.clear()
    fs.rm("many", recursive=True)
    assert recorded.proxy.count("POST") == 1
    assert recorded.proxy.count("DELETE") == 0
    assert recorded.store.raw.keys() == []


def test_moving(store: Store, tree: ObjectFileSystem) -> None:
    store.raw.put("g", b"meta", {"subject": "S01"})
    tree.mv("g", "h")
    assert store.raw.get("h") == (b"meta", {"subject": "S01"})
    tree.mv("exp", "moved/exp", recursive=True)
    expected = {name.replace("exp/", "moved/exp/"): body for name, body in TREE.items()} | {"h": b"meta"}
    assert {key: store.raw.get(key)[0] for key in store.raw.keys("")} == expected
    tree.mv("h", "h")
    assert tree.exists("h")


@pytest.mark.parametrize("target", ["exp/run1", "exp/new"])
def test_moving_into_its_own_directory_loses_nothing(store: Store, tree: ObjectFileSystem, target: str) -> None:
    bodies = sorted(TREE.values())
    tree.mv("exp", target, recursive=True)
    assert sorted(store.raw.get(key)[0] for key in store.raw.keys("")) == bodies


@pytest.mark.parametrize("source", ["exp", "exp/", "/exp", "e*", "exp/run[1]"])
def test_a_directory_is_moved_with_recursive_only(store: Store, tree: ObjectFileSystem, source: str) -> None:
    with pytest.raises(IsADirectoryError, match="recursive=True"):
        tree.mv(source, "new")
    assert store.raw.keys() == sorted(TREE)
    tree.mv("f.tx[t]", "new")
    assert "new/f.txt" in store.raw.keys()  # noqa: SIM118 - no dictionary


def test_copying_what_is_not_there(tree: ObjectFileSystem) -> None:
    with pytest.raises(FileNotFoundError):
        tree.copy("missing", "new")
    with pytest.raises(FileNotFoundError):
        tree.mv("missing", "new")


# ---------------------------------------------------------------------- files on disk
def test_a_tree_down_and_up(store: Store, tree: ObjectFileSystem, tmp_path: Path) -> None:
    counted = fsspec.callbacks.Callback()
    tree.get("exp", f"{tmp_path}/down", recursive=True, callback=counted)
    files = {path.relative_to(tmp_path / "down").as_posix(): path for path in (tmp_path / "down").rglob("*.txt")}
    assert {f"exp/{name}": path.read_bytes() for name, path in files.items()} == {k: TREE[k] for k in tree.find("exp")}
    assert counted.value == counted.size
    tree.put(f"{tmp_path}/down", "up", recursive=True)
    assert tree.cat("up", recursive=True) == {f"up/{name}": path.read_bytes() for name, path in files.items()}


def model() -> MemoryFileSystem:
    """fsspec's own, with the same objects."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    memory = MemoryFileSystem()
    memory.pipe({f"/{name}": body for name, body in TREE.items()})
    return memory


def downloaded(fs: Any, source: str, target: Path, ending: str, options: dict[str, Any]) -> dict[str, bytes]:
    fs.get(source, f"{target}{ending}", **options)
    return {path.relative_to(target.parent).as_posix(): path.read_bytes() for path in target.parent.rglob("*.txt")}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("options", [{}, {"recursive": True}, {"recursive": True, "maxdepth": 2}], ids=str)
@pytest.mark.parametrize("ending", ["", "/"])
@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("source", ["exp", "exp/", "exp/run1", "exp/*", "ex*", "f.txt", "f*", "**", "", "/"])
def test_what_is_downloaded_lies_where_fsspec_says(
    tree: ObjectFileSystem, tmp_path: Path, source: str, is_there: bool, ending: str, options: dict[str, Any]
) -> None:
    """https://filesystem-spec.readthedocs.io/en/latest/copying.html"""
    ours, expected = tmp_path / "ours/there", tmp_path / "model/there"
    for target in (ours, expected):
        (target if is_there else target.parent).mkdir(parents=True)
    assert downloaded(tree, source, ours, ending, options) == downloaded(model(), source, expected, ending, options)


@pytest.mark.stores("moto")
@pytest.mark.parametrize("target", ["exp2", "exp2/", "new", "new/"])
@pytest.mark.parametrize("source", ["exp", "exp/", "exp/run1", "exp/*", "f.txt", "", "/"])
def test_what_is_copied_lies_where_fsspec_says(store: Store, tree: ObjectFileSystem, source: str, target: str) -> None:
    memory = model()
    for fs in (tree, memory):
        fs.copy(source, target, recursive=True)
    expected = {name.removeprefix("/"): memory.cat_file(name) for name in memory.find("/")}
    assert {key: store.raw.get(key)[0] for key in store.raw.keys("")} == expected


@pytest.mark.stores("local")
def test_a_path_is_a_place_to_download_to(tree: ObjectFileSystem, tmp_path: Path) -> None:
    tree.get("exp", tmp_path, recursive=True)
    assert (tmp_path / "exp/run1/b.txt").read_bytes() == b"22"


def test_a_download_that_fails_leaves_the_file_as_it_was(recorded: Recorded, tmp_path: Path) -> None:
    recorded.store.raw.put("a", bytes(9 * MIB))
    fs = ObjectFileSystem(recorded.store.backend(), SMALL_PARTS)
    opened = recorded.proxy.count("GET")
    # the second request is the last one where one connection keeps up with who writes
    recorded.proxy.hook = lambda _: error("AccessDenied", 403) if recorded.proxy.count("GET") > opened + 1 else None
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(AccessDenied):
        fs.get("a", f"{tmp_path}/a")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_file_costs_one_request(recorded: Recorded, tmp_path: Path) -> None:
    fs = recorded.store.interface().fs
    (tmp_path / "a").write_bytes(b"123")
    recorded.proxy.clear()
    fs.put_file(f"{tmp_path / 'a'}", "a")
    fs.get_file("a", f"{tmp_path / 'b'}")
    assert [request.method for request in recorded.proxy.requests] == ["PUT", "GET"]
    assert (tmp_path / "b").read_bytes() == b"123"


# ---------------------------------------------------------------------- by URL
def _options(store: Store) -> dict[str, Any]:
    return {"bucket": store.container, "backend": store.backend_name, **store.arguments}


def test_by_protocol(store: Store) -> None:
    fs = fsspec.filesystem("cottoncandy", **_options(store))
    fs.pipe_file("a/b", b"1")
    assert store.raw.get("a/b")[0] == b"1"
    for again in (fsspec.filesystem("cottoncandy", **_options(store)), pickle.loads(pickle.dumps(fs))):
        assert again is not fs
        assert again.fsid == fs.fsid
        assert again.cat("a/b") == b"1"
        again._backend.close()
    url = fs.unstrip_protocol("a/b")
    with fsspec.open(url, "rb", **_options(store)) as file:
        assert file.read() == b"1"
    fs._backend.close()


def test_the_bucket_stands_in_the_url(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(store.container).parent if store.name == "local" else tmp_path)
    options = _options(store)
    bucket = posixpath.basename(options.pop("bucket"))
    with fsspec.open(f"cottoncandy://{bucket}/a/b", "wb", **options) as file:
        file.write(b"1")
    assert store.raw.get("a/b")[0] == b"1"
    assert fsspec.core.url_to_fs(f"cottoncandy://{bucket}/a//b/", **options)[1] == "a/b"


@pytest.mark.stores("local")
def test_what_the_arguments_mean_is_looked_up_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with fsspec.open(f"cottoncandy://store/{name}", "wb", backend="local") as file:
            file.write(b"1")
        made.append(fsspec.filesystem("cottoncandy", bucket="store", backend="local"))
    assert [fs.ls("", detail=False) for fs in made] == [["one"], ["two"]]
    assert made[0] != made[1]
    assert made[0]._fs_token != made[1]._fs_token


@pytest.mark.stores("local")
def test_a_key_that_came_later_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"bucket": str(tmp_path), "backend": "local"}
    for name in ("plain", "sealed"):
        with fsspec.open(f"cottoncandy:///{name}", "wb", **options) as file:
            file.write(b"1234")
        monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY", generate_encryption_key())
    assert (tmp_path / "plain").read_bytes() == b"1234"
    assert b"1234" not in (tmp_path / "sealed").read_bytes()


@pytest.mark.stores("local")
@pytest.mark.parametrize("positional", [True, False])
def test_what_travels_leads_to_the_same_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, positional: bool
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fs = (
        CottonCandyFileSystem("store", "local")
        if positional
        else CottonCandyFileSystem(bucket="store", backend="local")
    )
    fs.pipe("a", b"1")
    pickled, text = pickle.dumps(fs), fs.to_json()
    monkeypatch.chdir(tmp_path / "there")
    for again in (pickle.loads(pickled), AbstractFileSystem.from_json(text)):
        assert again.ls("", detail=False) == ["a"]
        assert again.fsid == fs.fsid
    assert pickle.loads(pickled).cat("cottoncandy://store/a") == b"1"
    assert not (tmp_path / "there/store").exists()


def test_another_bucket_in_the_url_is_refused(store: Store) -> None:
    fs = store.interface().fs
    store.raw.put("a", b"1")
    with pytest.raises(InvalidObjectName, match="another"):
        fs.cat("cottoncandy://another/a")
    assert fs.cat(fs.unstrip_protocol("a")) == b"1"


def test_an_interface_s_own_travels(store: Store) -> None:
    fs = store.interface().fs
    again = pickle.loads(pickle.dumps(fs))
    again.pipe_file("a", b"1")
    assert store.raw.get("a")[0] == b"1"
    again._backend.close()
    for make in (fs.to_json, fs.to_dict):
        with pytest.raises(NotSupported, match=r"fsspec\.filesystem\('cottoncandy', bucket=.*\)$") as caught:
            make()
        assert repr(store.container)[1:-1] in str(caught.value)
        assert not any(str(secret) in str(caught.value) for secret in store.access.values() if secret)


@pytest.mark.stores("moto")
def test_no_repr_tells_a_secret(store: Store) -> None:
    secret = store.access["secret_key"]
    for fs in (store.interface().fs, fsspec.filesystem("cottoncandy", **_options(store))):
        assert store.container in repr(fs)
        assert secret not in f"{fs!r} {fs} {fs.fsid} {fs.info('/')} {fs.open('x', 'wb')!r}"


def test_libraries_find_the_protocol_where_it_is_installed(tmp_path: Path) -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["fsspec.specs"]
    info = tmp_path / "cottoncandy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: cottoncandy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[fsspec.specs]", *(f"{k} = {v}" for k, v in points.items())]))
    code = """
    import fsspec, sys
    fs = fsspec.filesystem("cottoncandy", bucket="store", backend="local")
    fs.pipe("a", b"1")
    print(type(fs).__name__, fs.cat("cottoncandy://store/a"))
    """
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "CottonCandyFileSystem b'1'\n"


# ---------------------------------------------------------------------- pandas, h5py, mappings
def test_tables_of_pandas(store: Store) -> None:
    table = pd.DataFrame({"subject": ["S01", "S02"], "age": [31, 28]})
    fs, options = store.interface().fs, _options(store)
    url = fs.unstrip_protocol("sub/table.csv.gz")
    table.to_csv(url, index=False, storage_options=options)
    assert gzip.decompress(store.raw.get("sub/table.csv.gz")[0]) == b"subject,age\nS01,31\nS02,28\n"
    pd.testing.assert_frame_equal(pd.read_csv(url, storage_options=options), table)
    with fs.open("sub/table.csv.gz") as file:
        pd.testing.assert_frame_equal(pd.read_csv(file, compression="gzip"), table)
    fsspec.filesystem("cottoncandy", **options)._backend.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("mode", ["wb", "wt"])
@pytest.mark.parametrize("does", ["leaves the block by an error", "leaves the block", "writes", "closes", "forgets"])
@pytest.mark.stores("local", "moto")
def test_a_forked_child_leaves_the_parent_s_file_alone(
    store: Store, mode: str, compression: str | None, does: str
) -> None:
    piece: Any = "0123456789abcdef" * (9 * MIB // 16)
    piece = piece if "t" in mode else piece.encode()
    file = store.interface().fs.open("name", mode, compression=compression)
    file.write(piece)
    child = os.fork()
    if not child:
        _exit_with(lambda: _in_child(file, piece, does))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    file.write(piece)
    file.close()
    body = store.raw.get("name")[0]
    expected = (piece if "b" in mode else piece.encode()) * 2
    assert (gzip.decompress(body) if compression else body) == expected


def _in_child(file: Any, piece: Any, does: str) -> None:
    if does == "leaves the block by an error":
        with contextlib.suppress(SystemExit), file:
            sys.exit()
    elif does == "forgets":
        file.__del__()
    else:
        with pytest.raises(NotSupported, match="before this process was forked"):
            {"leaves the block": lambda: file.__exit__(None, None, None), "closes": file.close}.get(
                does, lambda: file.write(piece) and file.close()
            )()
    assert file.closed


@pytest.mark.parametrize("key", [False, b"k" * 32])
def test_a_file_that_is_read_travels(store: Store, key: Any) -> None:
    cci = store.interface(encryption_key=key)
    body = bytes(range(256)) * 8192
    cci.upload_object("name", body, note="mine")
    with cci.fs.open("name") as file, cci.download_stream("name") as stream:
        for each in (file, stream):
            each.seek(100_001)
            with pickle.loads(pickle.dumps(each)) as again:
                assert (again.tell(), again.e_tag, again.mode) == (100_001, each.e_tag, "rb")
                assert again.read() == body[100_001:]
                assert again.metadata["note"] == "mine"
            assert each.read(10) == body[100_001:100_011]
        pickled = pickle.dumps(file)
    cci.upload_object("name", body[::-1])
    with pytest.raises(ObjectChanged):
        pickle.loads(pickled)
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(file)


def test_files_tell_their_mode(store: Store, fs: ObjectFileSystem) -> None:
    for name in ("a", "a.gz"):
        for mode in ("wb", "wt", "w", "rb", "rt", "r"):
            with fs.open(name, mode, compression="infer") as file:
                if name == "a" or mode != "rb":  # what decompresses is another library's
                    assert file.mode == mode


def test_a_file_of_hdf5_reads_what_it_needs(recorded: Recorded, tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_normal((400, 5000))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = data
    recorded.store.raw.put("x.h5", (tmp_path / "x.h5").read_bytes())
    with recorded.store.interface().fs.open("x.h5") as stream, h5py.File(stream, "r") as file:
        np.testing.assert_array_equal(file["data"][200:202], data[200:202])
    assert sum(request.answered for request in recorded.proxy.requests) < data.nbytes / 2


def test_a_mapping(store: Store, fs: ObjectFileSystem) -> None:
    mapping = fs.get_mapper("map")
    mapping["a/b"] = b"1"
    mapping.setitems({"c": b"2", "d": b"3"})
    assert sorted(mapping) == ["a/b", "c", "d"]
    assert mapping.getitems(["c", "d", "e"], on_error="omit") == {"c": b"2", "d": b"3"}
    del mapping["c"]
    assert store.raw.keys() == ["map/a/b", "map/d"]
    with pytest.raises(KeyError):
        mapping["c"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr 3 needs Python 3.11")
def test_zarr_by_url(store: Store) -> None:
    import zarr

    options, data = _options(store), np.arange(20).reshape(4, 5)
    url = store.interface().fs.unstrip_protocol("exp.zarr")
    zarr.create_array(url, data=data, chunks=(2, 5), storage_options=options)
    np.testing.assert_array_equal(zarr.open_array(url, mode="r", storage_options=options)[1:3], data[1:3])
    np.testing.assert_array_equal(zarr.open_array(store.interface().zarr_store("exp.zarr"))[:], data)


def test_a_writer_alone(store: Store) -> None:
    with ObjectWriter(store.backend(), "x", SMALL_PARTS) as file:
        np.save(file, np.arange(5))
    with store.interface().download_stream("x") as stream:
        np.testing.assert_array_equal(np.load(stream), np.arange(5))

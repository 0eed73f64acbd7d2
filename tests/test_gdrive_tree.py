"""Paths on a Drive, where names are not unique, and listings lag behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from fake_drive import FOLDER, FakeDrive, Lag, Request

from cottoncandy.backends.base import ObjectPrefix, WriteOptions
from cottoncandy.backends.gdrive import GoogleDriveBackend
from cottoncandy.errors import (
    ConfigurationError,
    ContainerNotFound,
    InvalidObjectName,
    NotSupported,
    ObjectExists,
    ObjectNotFound,
)

OpenDrive = Callable[..., GoogleDriveBackend]

GOOGLE = "application/vnd.google-apps."


def read(backend: GoogleDriveBackend, key: str) -> bytes:
    with backend.open(key) as reader:
        data = bytearray(reader.stop)
        assert reader.readexactly(memoryview(data)) == len(data)
        return bytes(data)


def listed(backend: GoogleDriveBackend, prefix: str = "") -> list[str]:
    return [info.key for info in backend.list_objects(prefix)]


def _wait(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have so much time pass."""
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + seconds)


def calls(drive: FakeDrive) -> list[str]:
    """The requests since the last look, in short."""
    short = [f"{'UPLOAD' if r.path.startswith('/upload') else r.method} {_what(r)}" for r in drive.requests]
    drive.requests.clear()
    return short


def _what(request: Request) -> str:
    if request.query.get("alt") == "media":
        return "media"
    return "list" if "q" in request.query else request.path.removeprefix("/upload").split("/")[3]


# ---------------------------------------------------------------------- the same name twice
def test_the_last_one_made_is_the_object(drive: FakeDrive, open_drive: OpenDrive) -> None:
    drive.add("x", b"new", age=10)
    drive.add("x", b"old", age=100)
    drive.add("x", b"older", age=1000)
    for backend in (open_drive(), open_drive()):
        assert read(backend, "x") == b"new"
        assert listed(backend) == ["x"]
        assert backend.size() == 3


def test_overwriting_changes_the_object_and_leaves_the_others(drive: FakeDrive, open_drive: OpenDrive) -> None:
    drive.add("x", b"old", age=100)
    new = drive.add("x", b"new", age=10)
    open_drive().put("x", b"newest", {})
    assert sorted(bytes(item.content or b"") for item in drive.inside()) == [b"newest", b"old"]
    assert drive.items.find(new.id).content == b"newest"


@pytest.mark.parametrize("names", [["x"], ["x", *(f"other{i}" for i in range(20))]], ids=["one", "many"])
def test_deleting_takes_all_of_a_name(drive: FakeDrive, open_drive: OpenDrive, names: list[str]) -> None:
    for age in (1000, 100, 10):
        drive.add("x", b"x", age=age)
    drive.add("X", b"another")
    backend = open_drive()
    assert backend.delete(names) == len(names)
    assert not backend.exists("x")
    assert [item.name for item in drive.inside()] == ["X"]


def test_folders_of_one_name_are_read_as_one(drive: FakeDrive, open_drive: OpenDrive) -> None:
    first, second = drive.add("a", kind=FOLDER, age=100), drive.add("a", kind=FOLDER, age=10)
    drive.add("x", b"1", parent=first.id)
    drive.add("y", b"2", parent=second.id)
    backend = open_drive()
    assert listed(backend) == listed(backend, "a/") == ["a/x", "a/y"]
    assert list(backend.list_level()) == [ObjectPrefix("a/")]
    assert (read(open_drive(), "a/x"), read(open_drive(), "a/y")) == (b"1", b"2")
    open_drive().put("a/z", b"3", {})
    assert [item.name for item in drive.inside(first.id)] == ["x", "z"]
    backend.delete(["a/x", "a/y", "a/z"])
    assert drive.inside() == []


def test_a_file_and_a_folder_share_a_name(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("a", b"file", {})
    backend.put("a/b", b"below", {})
    assert (read(open_drive(), "a"), read(open_drive(), "a/b")) == (b"file", b"below")
    assert [entry.key for entry in backend.list_level()] == ["a", "a/"]
    backend.delete(["a"])
    assert listed(backend) == ["a/b"]


# ---------------------------------------------------------------------- what is no object
def test_documents_shortcuts_and_trash_are_no_objects(drive: FakeDrive, open_drive: OpenDrive) -> None:
    drive.add("doc", kind=f"{GOOGLE}document")
    drive.add("link", kind=f"{GOOGLE}shortcut")
    drive.add("gone", b"x").trashed = True
    drive.put("trashed folder/x", b"x")
    drive.items.find(drive.folder("trashed folder")).trashed = True
    backend = open_drive()
    for name in ("doc", "link", "gone", "trashed folder/x"):
        with pytest.raises(ObjectNotFound, match=name):
            backend.stat(name)
    assert listed(backend) == []
    assert list(backend.list_level()) == []
    backend.put("doc", b"an object beside it", {})
    assert read(open_drive(), "doc") == b"an object beside it"
    assert sorted(item.type for item in drive.inside() if item.name == "doc") == [
        "application/octet-stream",
        f"{GOOGLE}document",
    ]


@pytest.mark.parametrize("name", ["a/b", "/", "..", ".", "../../etc/x"])
def test_names_that_no_key_can_have(drive: FakeDrive, open_drive: OpenDrive, name: str) -> None:
    hidden = drive.add(name, b"hidden")
    drive.put("a/b", b"the object")
    backend = open_drive()
    assert listed(backend) == ["a/b"]
    assert read(backend, "a/b") == b"the object"
    backend.delete(["a/b", name])
    assert [item.id for item in drive.inside()] == [hidden.id]


def test_a_folder_that_holds_only_such_names_stays(drive: FakeDrive, open_drive: OpenDrive) -> None:
    drive.put("dir/x", b"x")
    hidden = drive.add("a/b", b"hidden", parent=drive.folder("dir"))
    open_drive().delete(["dir/x"])
    assert drive.items.find(hidden.id).content == b"hidden"
    assert not drive.items.is_trashed(hidden)


@pytest.mark.parametrize("key", ["", "a/", "/a", "a//b", "../x", "a/./b", "a\0b"])
def test_keys_that_no_file_has(open_drive: OpenDrive, key: str) -> None:
    backend = open_drive()
    with pytest.raises(InvalidObjectName):
        backend.put(key, b"x", {})
    with pytest.raises(InvalidObjectName):
        backend.start_upload(key, {})
    assert not backend.exists(key)
    assert backend.delete([key]) == 1


@pytest.mark.parametrize("name", ["it's", "a\\b", "\\'", "' or name = 'x", "a' and trashed = true or 'b"])
def test_quotes_do_not_leave_the_query(drive: FakeDrive, open_drive: OpenDrive, name: str) -> None:
    drive.put("x", b"x")
    drive.put(f"{name}/{name}", b"quoted")
    assert read(open_drive(), f"{name}/{name}") == b"quoted"
    with pytest.raises(ObjectNotFound):
        open_drive().stat(f"{name}'")


def test_case_matters(drive: FakeDrive, open_drive: OpenDrive) -> None:
    drive.put("Dir/X", b"upper")
    drive.put("dir/x", b"lower")
    assert (read(open_drive(), "Dir/X"), read(open_drive(), "dir/x")) == (b"upper", b"lower")
    assert not open_drive().exists("DIR/x")


# ---------------------------------------------------------------------- what others do meanwhile
def test_what_was_moved_renamed_or_removed_is_found_anew(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend, other = open_drive(), open_drive()
    backend.put("a/x", b"1", {})
    item = drive.below()["a/x"][0]
    drive.items.change(item.id, {"name": "y"}, None, {"supportsAllDrives": "true"})
    assert not backend.exists("a/x")
    assert read(backend, "a/y") == b"1"
    # the folder goes, and comes back as another one
    other.delete(["a/y"])
    other.put("a/y", b"2", {})
    assert read(backend, "a/y") == b"2"
    assert listed(backend, "a/") == ["a/y"]
    other.delete(["a/y"])
    other.put("a/y", b"3", {})
    assert listed(backend, "a/") == ["a/y"]
    other.delete(["a/y"])
    backend.put("a/z", b"4", {})
    assert listed(open_drive()) == ["a/z"]


def test_a_copy_over_an_object_is_seen_by_who_knew_the_old_one(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend, other = open_drive(), open_drive()
    backend.put("x", b"old", {"v": "1"})
    other.put("y", b"new", {"v": "2"})
    other.copy("y", "x")
    assert read(backend, "x") == b"new"
    assert backend.stat("x").metadata == {"v": "2"}
    assert [bytes(item.content or b"") for item in drive.trash()] == [b"old"]


def test_a_folder_that_gets_a_file_while_it_is_removed_stays(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("a/x", b"1", {})
    folder = drive.folder("a")

    def sneak_in(request: Request) -> bool:
        # the folder looked empty, and is about to go to the trash
        if request.method == "PATCH" and request.path.endswith(folder):
            drive.add("late", b"2", parent=folder)
        return False

    drive.faults.once("500", sneak_in)
    backend.delete(["a/x"])
    assert listed(open_drive()) == ["a/late"]
    assert drive.trash() == []


def test_a_writer_whose_folder_is_removed_takes_its_file_elsewhere(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("a/first", b"1", {})
    folder = drive.folder("a")

    def remove_folder(request: Request) -> bool:
        if request.path.startswith("/upload/"):
            drive.items.find(folder).trashed = True
        return False

    drive.faults.once("500", remove_folder)
    backend.put("a/second", b"2", {})
    assert read(open_drive(), "a/second") == b"2"
    assert listed(backend) == ["a/second"]


def test_a_folder_that_is_gone_for_good_is_made_again(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("a/b/first", b"1", {})
    drive.items.delete(drive.folder("a"))
    backend.put("a/b/second", b"2", {})
    assert listed(backend) == ["a/b/second"]


# ---------------------------------------------------------------------- parallel writers
@pytest.mark.parametrize("lag", [Lag(), Lag(by_name=0.3), Lag(by_parent=0.3)], ids=["prompt", "names lag", "all lags"])
def test_parallel_writers_make_one_folder(drive: FakeDrive, open_drive: OpenDrive, lag: Lag) -> None:
    drive.items.lag = lag
    backends = [open_drive() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: backends[i % 4].put(f"a/b/{i}", b"x", {}), range(8)))
    below = drive.below()
    assert [path for path, items in below.items() if len(items) > 1] == []
    assert sum(r.method == "POST" and r.path == "/drive/v3/files" for r in drive.requests) == 2
    assert sorted(below) == ["a/", "a/b/", *(f"a/b/{i}" for i in range(8))]


@pytest.mark.parametrize("settle", [0.0, 10.0])
def test_a_folder_that_two_interfaces_fill_has_each_name_once(
    drive: FakeDrive, open_drive: OpenDrive, settle: float
) -> None:
    maker, other = open_drive(settle=settle), open_drive(settle=settle)
    maker.put("a/x", b"1", {})
    other.put("a/b/x", b"2", {})
    other.put("a/y", b"3", {})
    maker.put("a/b/y", b"4", {})  # made the folder "a" just now, but not all that is in it
    maker.put("a/y", b"5", {})
    assert sum(r.method == "POST" and r.path == "/drive/v3/files" for r in drive.requests) == 2
    assert {path: len(items) for path, items in drive.below().items()} == dict.fromkeys(
        ["a/", "a/b/", "a/b/x", "a/b/y", "a/x", "a/y"], 1
    )
    assert drive.trash() == []  # the file that was there was changed


def test_other_programs_that_make_a_folder_first_win(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()

    def make_it_too(request: Request) -> bool:
        if request.method == "POST" and request.path == "/drive/v3/files":
            drive.folder("a")
        return False

    drive.faults.once("500", make_it_too)
    backend.put("a/x", b"x", {})
    (folder,) = [item for item in drive.items.all() if item.name == "a"]
    assert [item.name for item in drive.inside(folder.id)] == ["x"]


def test_of_two_new_objects_of_one_name_the_later_one_stays(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backends = [open_drive() for _ in range(6)]
    ready = threading.Barrier(6)

    def write(number: int) -> None:
        ready.wait()
        backends[number].put("x", f"{number}".encode(), {"who": f"{number}"})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    (left,) = drive.inside()
    assert left.content == left.properties["who"].encode() == read(open_drive(), "x")


def test_if_absent_yields_to_who_was_faster(drive: FakeDrive, open_drive: OpenDrive) -> None:
    def be_faster(request: Request) -> bool:
        if request.path.startswith("/upload/"):
            drive.put("x", b"theirs")
        return False

    drive.faults.once("500", be_faster)
    with pytest.raises(ObjectExists, match="x"):
        open_drive().put("x", b"ours", {}, WriteOptions(if_absent=True))
    assert [item.content for item in drive.items.all() if item.name == "x"] == [b"theirs"]


def test_properties_of_a_writer_at_the_same_time_do_not_mix(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("x", b"1", {"old": "1"})
    item = drive.inside()[0]

    def write_too(request: Request) -> bool:
        if request.path.startswith("/upload/"):
            drive.items.change(item.id, {"properties": {"theirs": "2"}}, None, {"supportsAllDrives": "true"})
        return False

    drive.faults.once("500", write_too)
    backend.put("x", b"3", {"ours": "3"})
    assert drive.items.find(item.id).properties == {"ours": "3"}


# ---------------------------------------------------------------------- listings that lag
@pytest.mark.parametrize(
    "lag", [Lag(by_name=30.0), Lag(by_parent=0.2), Lag(by_parent=0.2, by_name=30.0)], ids=["names", "all", "both"]
)
def test_a_tree_is_read_by_another_at_once(drive: FakeDrive, open_drive: OpenDrive, lag: Lag) -> None:
    drive.items.lag = lag
    tree = {f"tree/{i % 3}/{i}": f"{i}".encode() for i in range(12)}
    writer = open_drive()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: writer.put(key, tree[key], {"key": key}), tree))
    assert listed(open_drive()) == sorted(tree, key=str.encode)
    for key, body in tree.items():
        reader = open_drive()
        assert (read(reader, key), reader.stat(key).metadata) == (body, {"key": key})
    writer.put("tree/0/0", b"changed", {})
    assert read(open_drive(), "tree/0/0") == b"changed"
    assert len(drive.below()["tree/0/0"]) == 1


def test_what_was_deleted_here_is_gone_here_at_once(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("a/x", b"x", {})
    backend.put("a/y", b"y", {})
    drive.items.lag = Lag(by_parent=30.0)
    for item in drive.items.all():
        item.created -= 60
    backend.delete(["a/x"])
    assert not backend.exists("a/x")
    assert listed(backend) == ["a/y"]
    with pytest.raises(ObjectNotFound):  # to others the listing shows it; its bytes are gone all the same
        open_drive().open("a/x")


def test_a_write_does_not_wait_for_ever(
    drive: FakeDrive, open_drive: OpenDrive, caplog: pytest.LogCaptureFixture
) -> None:
    drive.items.lag = Lag(by_parent=1000.0)
    backend = open_drive(settle=0.1)
    backend.put("a/x", b"x", {})
    assert "listings do not show it" in caplog.text
    assert read(backend, "a/x") == b"x"
    backend.put("a/x", b"again", {})
    assert read(backend, "a/x") == b"again"
    assert len(drive.below()["a/x"]) == 1
    backend.delete(["a/x"])
    assert "a/x" not in drive.below()


# ---------------------------------------------------------------------- how many requests
def test_requests_are_few(drive: FakeDrive, open_drive: OpenDrive) -> None:
    drive.put("a/b/x", b"x")
    backend = open_drive()
    read(backend, "a/b/x")
    assert calls(drive) == ["GET list"] * 3 + ["GET media"]
    read(backend, "a/b/x")
    assert calls(drive) == ["GET files", "GET media"]
    backend.stat("a/b/x")
    assert calls(drive) == ["GET files"]
    backend.put("a/b/x", b"new", {"shape": "1", "old": "1"})
    assert calls(drive) == ["GET files", "UPLOAD files"]
    backend.put("a/b/x", b"newer", {"shape": "2"})
    assert calls(drive) == ["GET files", "UPLOAD files"]
    assert drive.below()["a/b/x"][0].properties == {"shape": "2"}
    backend.put("new/x", b"x", {})
    calls(drive)
    backend.put("new/y", b"y", {})
    assert calls(drive) == ["UPLOAD files", "GET list"]
    assert len(list(backend.list_objects())) == 3
    assert calls(drive) == ["GET list"] * 4


def test_folders_are_listed_ahead(drive: FakeDrive, open_drive: OpenDrive) -> None:
    keys = [f"{i:02}/{j}" for i in range(30) for j in range(2)]
    for key in keys:
        drive.put(key, b"x")
    found = open_drive().list_objects()
    assert next(found).key == "00/0"
    assert len(calls(drive)) < 10
    assert [info.key for info in found] == keys[1:]
    assert len(calls(drive)) < 31


def test_a_large_folder_comes_by_pages(drive: FakeDrive, open_drive: OpenDrive) -> None:
    names = [f"{i:03}" for i in range(250)]
    for name in names:
        drive.put(f"many/{name}", b"x")
    drive.methods.largest_page = 100
    assert listed(open_drive()) == [f"many/{name}" for name in names]
    assert [r.query.get("pageSize") for r in drive.requests if "q" in r.query] == ["1000"] * 4


# ---------------------------------------------------------------------- roots
@pytest.mark.parametrize("by", ["path", "id", "address", "container"])
def test_a_root_folder(drive: FakeDrive, open_drive: OpenDrive, by: str) -> None:
    folder = drive.folder("lab/data")
    drive.put("elsewhere", b"x")
    root = {"path": "lab/data", "id": f"id:{folder}", "address": f"https://drive.google.com/drive/u/0/folders/{folder}"}
    backend = open_drive("lab/data") if by == "container" else open_drive(root=root[by])
    backend.put("a/x", b"x", {})
    assert [item.name for item in drive.inside(folder)] == ["a"]
    assert listed(backend) == ["a/x"]
    assert backend.size() == 1
    assert backend.container is None
    backend.delete(["a/x"])
    assert drive.inside(folder) == []
    assert not drive.items.is_trashed(drive.items.find(folder))


def test_a_plain_id_serves_as_root(drive: FakeDrive, open_drive: OpenDrive) -> None:
    folder = drive.folder("lab")
    drive.put("x", b"x", top=folder)
    assert listed(open_drive(root=folder)) == ["x"]
    assert listed(open_drive(root="not-there-yet")) == []


def test_a_root_is_made_by_the_first_write(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive("lab", root="new/place")
    assert listed(backend) == []
    assert not backend.exists("x")
    assert drive.inside() == []
    backend.put("x", b"x", {})
    assert list(drive.below()) == ["new/", "new/place/", "new/place/lab/", "new/place/lab/x"]


def test_other_roots_of_one_drive(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive("one", root="lab")
    backend.put("x", b"1", {})
    two = backend.at("two")
    two.put("x", b"2", {})
    assert sorted(drive.below()) == ["lab/", "lab/one/", "lab/one/x", "lab/two/", "lab/two/x"]
    assert (read(backend, "x"), read(two, "x"), read(backend.at(None), "x")) == (b"1", b"2", b"1")
    two.copy("x", "from one", source_container="one")
    assert read(two, "from one") == b"1"


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_shared_drive(drive: FakeDrive, open_drive: OpenDrive, by: str) -> None:
    lab = drive.items.make_drive("The lab's drive")
    drive.items.make_drive("another")
    drive.put("mine", b"x")
    backend = open_drive(drive="The lab's drive" if by == "name" else lab)
    backend.put("a/x", b"1", {"shape": "1"})
    backend.put("a/x", b"2", {"shape": "2"})
    backend.copy("a/x", "b/y")
    assert sorted(drive.below(lab)) == ["a/", "a/x", "b/", "b/y"]
    assert listed(open_drive(drive=lab)) == ["a/x", "b/y"]
    assert read(open_drive(drive=lab), "b/y") == b"2"
    assert backend.owner("a/x") == "The lab's drive"
    backend.delete(["a/x"], trash=True)
    assert listed(backend) == ["b/y"]
    assert repr("The lab's drive" if by == "name" else lab) in repr(backend)


@pytest.mark.parametrize(
    "root", ["https://drive.google.com/open?id=1AbCdEfGhI", "https://drive.google.com/drive/my-drive"]
)
def test_an_address_that_is_no_folders(drive: FakeDrive, open_drive: OpenDrive, root: str) -> None:
    with pytest.raises(ConfigurationError, match=r"drive/folders/"):
        open_drive(root=root)
    assert drive.inside() == []


def test_a_shared_drive_that_is_not_there(drive: FakeDrive, open_drive: OpenDrive) -> None:
    with pytest.raises(ContainerNotFound, match=r"'nowhere'.*sees none"):
        open_drive(drive="nowhere").exists("x")
    for _ in range(2):
        drive.items.make_drive("double")
    with pytest.raises(ContainerNotFound, match=r"'double'.*give its id"):
        open_drive(drive="double").exists("x")


# ---------------------------------------------------------------------- trash, owner, buckets
def test_trash_keeps_what_is_removed(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    for key in ("a/x", "a/y", "b"):
        backend.put(key, key.encode(), {})
    assert backend.delete(["a/x", "b"], trash=True) == 2
    assert sorted(item.name for item in drive.trash()) == ["b", "x"]
    assert listed(backend) == ["a/y"]
    backend.delete(["a/y"], trash=True)
    assert list(backend.list_level()) == []
    assert sorted(item.name for item in drive.trash()) == ["a", "b", "x", "y"]
    backend.put("a/x", b"new", {})
    assert read(backend, "a/x") == b"new"


def test_deleting_for_ever_leaves_empty_folders_in_the_trash(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    for i in range(12):
        backend.put(f"a/{i % 2}/{i}", b"x", {})
    backend.delete(listed(backend))
    assert [item.name for item in drive.inside()] == []
    assert sorted(item.name for item in drive.trash()) == ["0", "1", "a"]
    assert all(item.content is None for item in drive.items.all())


def test_a_folder_with_what_this_account_does_not_see_is_not_deleted(drive: FakeDrive, open_drive: OpenDrive) -> None:
    """With the scope drive.file that is what others put there."""
    backend = open_drive()
    backend.put("a/x", b"1", {})
    notes = drive.put("a/notes", b"by hand")
    drive.items.hidden.add(notes.id)
    backend.delete(["a/x"])
    assert drive.items.find(notes.id).content == b"by hand"
    assert [item.name for item in drive.trash()] == ["a"]


def test_what_is_taken_out_of_the_trash_is_there_again(
    drive: FakeDrive, open_drive: OpenDrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_drive()
    for name in ("a/x", "a/y"):
        backend.put(name, b"precious", {})
    file = drive.below()["a/x"][0].id
    backend.delete(["a/x"], trash=True)
    drive.items.change(file, {"trashed": False}, None, {"supportsAllDrives": "true"})  # in the browser
    _wait(monkeypatch, 11)
    assert listed(backend) == ["a/x", "a/y"]
    with pytest.raises(ObjectExists):
        backend.put("a/x", b"new", {}, WriteOptions(if_absent=True))
    backend.delete(["a/y"])
    assert read(backend, "a/x") == b"precious"


def test_a_folder_that_somebody_else_removes_is_gone(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("a/b/x", b"1", {})
    folder = drive.folder("a/b")

    def be_faster(request: Request) -> bool:
        if request.method == "PATCH" and request.path.endswith(folder):
            drive.items.delete(folder)
        return False

    drive.faults.once("500", be_faster)
    assert backend.delete(["a/b/x"]) == 1
    assert drive.inside() == []


def test_a_folder_stays_new_when_another_one_is_removed(drive: FakeDrive, open_drive: OpenDrive) -> None:
    """In a new folder nothing is looked for."""
    backend = open_drive(settle=0.0)
    for name in ("new/1", "old/1"):
        backend.put(name, b"x", {})
    drive.requests.clear()
    backend.put("new/2", b"x", {})
    before = len(drive.requests)
    backend.delete(["old/1"])
    drive.requests.clear()
    backend.put("new/3", b"x", {})
    assert len(drive.requests) == before


# ---------------------------------------------------------------------- what people do in the browser meanwhile
@pytest.mark.parametrize("how", ["renamed", "moved"])
def test_a_folder_that_was_renamed_or_moved_is_another_one(
    drive: FakeDrive, open_drive: OpenDrive, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    backend = open_drive()
    backend.put("results/fit", b"first run", {})
    kept, everything = drive.folder("results"), {"supportsAllDrives": "true"}
    if how == "renamed":
        drive.items.change(kept, {"name": "kept"}, None, everything)
    else:
        away = {"addParents": drive.folder("kept"), "removeParents": drive.items.root}
        drive.items.change(kept, {}, None, everything | away)
    _wait(monkeypatch, 61)
    assert not backend.exists("results/fit")
    backend.put("results/fit", b"second run", {})
    assert read(backend, "results/fit") == read(open_drive(), "results/fit") == b"second run"
    backend.delete(["results/fit"])
    assert [bytes(item.content or b"") for item in drive.inside(kept)] == [b"first run"]


def _upload_while(drive: FakeDrive, backend: Any, meanwhile: Callable[[], object]) -> None:
    upload = backend.start_upload("model", {})
    upload.send_part(1, b"n" * 300 * 1024)
    meanwhile()
    upload.complete()


def test_an_object_that_is_removed_while_it_is_replaced_comes_back(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("model", b"old", {})
    file = drive.below()["model"][0].id
    trash: Mapping[str, Any] = {"trashed": True}
    _upload_while(drive, backend, lambda: drive.items.change(file, trash, None, {"supportsAllDrives": "true"}))
    assert read(backend, "model") == read(open_drive(), "model") == b"n" * 300 * 1024
    assert drive.trash() == []


def test_of_two_that_replace_an_object_the_last_to_end_stays(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend, other = open_drive(), open_drive()
    backend.put("model", b"old", {})
    other.put("source", b"copied", {})
    _upload_while(drive, backend, lambda: other.copy("source", "model"))
    assert read(backend, "model") == read(open_drive(), "model") == b"n" * 300 * 1024
    assert [bytes(item.content or b"") for item in drive.trash()] == [b"copied"]


@pytest.mark.parametrize("settle", [0.0, 10.0])
def test_a_copy_takes_the_place_of_what_is_there(drive: FakeDrive, open_drive: OpenDrive, settle: float) -> None:
    backend = open_drive(settle=settle)
    backend.put("a", b"new", {})
    backend.put("b", b"old", {})
    backend.copy("a", "b")
    assert [bytes(item.content or b"") for item in drive.below()["b"]] == [b"new"]
    assert [bytes(item.content or b"") for item in drive.trash()] == [b"old"]


@pytest.mark.parametrize("settle", [0.0, 10.0])
def test_what_is_put_into_a_folder_in_the_trash_does_not_lie_there(
    drive: FakeDrive, open_drive: OpenDrive, settle: float
) -> None:
    backend = open_drive(settle=settle)
    backend.put("a/x", b"1", {})
    drive.items.change(drive.folder("a"), {"trashed": True}, None, {"supportsAllDrives": "true"})
    backend.put("a/y", b"2", {})
    assert list(drive.below()) == ["a/", "a/y"]


# ---------------------------------------------------------------------- who may not delete
def test_what_a_content_manager_deletes_goes_to_the_trash(
    drive: FakeDrive, open_drive: OpenDrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, drive.items.may_delete = drive.items.make_drive("Our lab"), False
    backend, other = open_drive(drive="Our lab"), open_drive(drive="Our lab")
    backend.put("a/x", b"1", {})
    assert backend.delete(["a/x"]) == 1
    assert drive.inside(lab) == []
    assert sorted(item.name for item in drive.trash()) == ["a", "x"]

    backend.put("b", b"2", {})
    taken_out = drive.inside(lab)[0].id
    backend.delete(["b"])
    drive.items.change(taken_out, {"trashed": False}, None, {"supportsAllDrives": "true"})
    with monkeypatch.context() as later:
        _wait(later, 11)
        assert listed(backend) == ["b"]

    def be_faster(request: Request) -> bool:
        if request.path.startswith("/upload/"):
            drive.put("new", b"the first", top=lab)
        return False

    drive.faults.once("500", be_faster)
    with pytest.raises(ObjectExists):
        other.put("new", b"the second", {}, WriteOptions(if_absent=True))
    assert read(open_drive(drive="Our lab"), "new") == b"the first"


def test_one_that_cannot_be_deleted_does_not_keep_the_others(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    for key in ("a", "b", "c"):
        backend.put(key, b"x", {})
    stuck = drive.below()["b"][0].id
    drive.faults.once("daily", lambda request: request.method == "DELETE" and request.path.endswith(stuck), times=9)
    with pytest.raises(OSError, match="b: Google Drive answered 403 dailyLimitExceeded"):
        backend.delete(["a", "b", "c"])
    assert listed(backend) == ["b"]


def test_what_the_reference_says_of_buckets(open_drive: OpenDrive) -> None:
    backend = open_drive("lab")
    assert backend.container is None
    backend.put("x", b"x", {})
    assert backend.owner("x") == "Ada Tester"
    assert backend.native_object("x").content_length == 1
    for act in (
        backend.list_containers,
        lambda: backend.container_exists("x"),
        lambda: backend.create_container("x"),
        lambda: backend.remove_container("x"),
        backend.native_container,
    ):
        with pytest.raises(NotSupported, match="Google Drive has no buckets"):
            act()


def test_arguments_that_are_not_known(drive: FakeDrive, open_drive: OpenDrive) -> None:
    with pytest.raises(ConfigurationError, match=r"does not know rot; it knows .*root"):
        open_drive(rot="x")


def test_keys_keep_the_order_of_bytes(drive: FakeDrive, open_drive: OpenDrive) -> None:
    keys = ["a", "a b", "a-b/x", "a.b", "a/b/c", "a0", "B", "é", "𝄞", "z/z"]
    for key in reversed(keys):
        drive.put(key, b"")
    found = listed(open_drive())
    assert found == sorted(keys, key=str.encode)
    assert all(first.encode() < second.encode() for first, second in pairwise(found))

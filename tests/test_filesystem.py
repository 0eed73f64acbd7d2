"""The store as a file system: looking, copying, moving, removing; a prefix is no directory, nothing is cut off."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from recorder import Request, Response
from stores import Recorded, Store

from cottoncandy.errors import InvalidObjectName, ObjectExists, ObjectNotFound

NAMES = [
    *("data/exp/run1/bold.arr", "data/exp/run1/info.json", "data/exp/run2/bold.arr", "data/exp/notes.txt"),
    *("data/exp.txt", "data/exp2/run1/bold.arr", "data/experiment", "datum", "data-old/x", "other/é ü/a+b", "top.txt"),
]


def _fill(store: Store, names: list[str] = NAMES) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.raw.put(name, name.encode(), {"was": "here"}), names))


def _contents(store: Store) -> dict[str, str]:
    return {key: store.raw.get(key)[0].decode() for key in store.raw.keys("")}


# ---------------------------------------------------------------------- looking
def _lsdir(cci: Any) -> None:
    top = ["data", "data-old", "datum", "other", "top.txt"]
    for path in ("/", "", "*", "/*", "//"):
        assert sorted(cci.lsdir(path)) == top
    assert sorted(cci.lsdir()) == top
    for path in ("data", "/data", "data/", "data/*", "//data//"):
        assert sorted(cci.lsdir(path)) == ["data/exp", "data/exp.txt", "data/exp2", "data/experiment"]
    assert sorted(cci.lsdir("data/exp/run1")) == ["data/exp/run1/bold.arr", "data/exp/run1/info.json"]
    assert cci.lsdir("other") == ["other/é ü"]
    assert cci.lsdir("nothing") == []
    assert cci.lsdir("dat") == []
    assert cci.lsdir("top.txt") == []


def _ls(cci: Any) -> None:
    assert sorted(cci.ls("/")) == ["data", "data-old", "datum", "other", "top.txt"]
    assert sorted(cci.ls("data/exp")) == ["data/exp/notes.txt", "data/exp/run1", "data/exp/run2"]
    assert cci.ls("data/exp/*") == cci.ls("data/exp/") == cci.ls("/data//exp")
    assert sorted(cci.ls("data/exp*")) == ["data/exp", "data/exp.txt", "data/exp2", "data/experiment"]
    assert cci.ls("data/exp?") == ["data/exp2"]
    assert sorted(cci.ls("data/exp/run*/bold.arr")) == ["data/exp/run1/bold.arr", "data/exp/run2/bold.arr"]
    assert sorted(cci.ls("*/exp*/run1")) == ["data/exp/run1", "data/exp2/run1"]
    assert cci.ls("data/exp/run[2-9]/*") == ["data/exp/run2/bold.arr"]
    assert cci.ls("top.txt") == ["top.txt"]
    assert cci.ls("data/nothing") == []
    assert cci.ls("nothing*") == []
    assert cci.ls("DATA/*xp") == []


def _glob(cci: Any) -> None:
    assert cci.glob("") == cci.glob("/") == cci.glob("*") == sorted(NAMES, key=str.encode)
    below = ["data/exp/notes.txt", "data/exp/run1/bold.arr", "data/exp/run1/info.json", "data/exp/run2/bold.arr"]
    assert cci.glob("data/exp") == cci.glob("data/exp/") == cci.glob("/data/exp/*") == below
    assert cci.glob("data/*/bold.arr") == [name for name in sorted(NAMES) if name.endswith("bold.arr")]
    assert cci.glob("/data/exp/run?/bold*") == ["data/exp/run1/bold.arr", "data/exp/run2/bold.arr"]
    assert cci.glob("*.txt") == ["data/exp.txt", "data/exp/notes.txt", "top.txt"]
    assert cci.glob("data/exp[0-9]*") == ["data/exp2/run1/bold.arr"]
    assert cci.glob("data/exp[!0-9]*xt") == ["data/exp.txt", "data/exp/notes.txt"]
    assert cci.glob("*BOLD*") == []
    assert cci.glob("nothing") == []
    assert cci.glob("top.txt") == ["top.txt"]
    assert cci.glob("other/é*/a+?") == ["other/é ü/a+b"]
    assert cci.glob_s3("*.txt") == cci.glob_google_drive("*.txt") == cci.glob("*.txt")


def _page_sizes(cci: Any) -> None:
    everything = sorted(NAMES, key=str.encode)
    for page_size in (1, 3, 1000, 10**7):
        assert cci.glob("*", page_size=page_size) == everything
        assert len(cci.ls("data/exp*", page_size=page_size)) == 4
        assert [info.key for info in cci.get_bucket_objects(page_size=page_size)] == everything
        assert cci.get_bucket_size(page_size=page_size) == sum(len(name.encode()) for name in NAMES)


def _objects_and_sizes(cci: Any) -> None:
    everything = sorted(NAMES, key=str.encode)
    found = cci.get_bucket_objects()
    assert [info.key for info in found] == everything
    assert [info.size for info in found] == [len(name.encode()) for name in everything]
    assert all(info.last_modified.tzinfo is not None for info in found)
    assert all(info.e_tag for info in found)
    below = [info.key for info in cci.get_objects(filter={"Prefix": "data/exp"})]
    assert below == [name for name in everything if name.startswith("data/exp")]
    assert [info.key for info in cci.get_objects(filter={"Prefix": "/"})] == everything
    assert cci.get_bucket_size() == cci.get_size() == sum(len(name.encode()) for name in NAMES)


def test_looking(store: Store) -> None:
    _fill(store)
    cci = store.interface()
    for look in (_lsdir, _ls, _glob, _page_sizes, _objects_and_sizes):
        look(cci)


@pytest.mark.stores("local", "moto")
def test_the_example_of_the_reference(store: Store) -> None:
    found = ["path/to/my/file01a.grp/image_data", "path/to/my/file01b.grp/image_data"]
    found += ["path/to/your/file01a.grp/image_data", "path/to/your/file01b.grp/image_data"]
    others = [
        "path/to/my/file02a.grp/image_data",
        "path/to/my/file02a.grp/text_data",
        "path/to/my/file02b.grp/image_data",
    ]
    _fill(store, found + others)
    cci = store.interface()
    assert cci.glob("/path/to/*/file01*.grp/image_data") == found
    assert cci.glob("/path/to/my/file02*.grp/*") == others


@pytest.mark.stores("moto", "ceph")
def test_a_name_that_is_an_object_and_a_directory(store: Store) -> None:
    _fill(store, ["a", "a/b", "a-c", "d"])
    cci = store.interface()
    assert sorted(cci.lsdir()) == ["a", "a-c", "d"]
    assert sorted(cci.ls("?")) == ["a", "d"]
    assert len(cci.lsdir(limit=3)) == 3
    assert len(cci.ls("", limit=3)) == 3
    assert cci.ls("a") == ["a/b"]
    cci.rm("a")
    assert store.raw.keys() == ["a-c", "a/b", "d"]
    store.raw.put("a", b"x")
    cci.rm("a", recursive=True)
    assert store.raw.keys() == ["a-c", "d"]


@pytest.mark.stores("moto", "ceph")
def test_directory_markers_of_other_programs(store: Store) -> None:
    """The web consoles of S3 make empty objects with a trailing slash."""
    _fill(store, ["dir/a"])
    store.raw.put("dir/", b"")
    store.raw.put("empty/", b"")
    cci = store.interface()
    assert cci.lsdir("dir") == ["dir/a"]
    assert sorted(cci.lsdir()) == ["dir", "empty"]
    assert cci.exists_object("dir") is False
    cci.rm("dir", recursive=True)
    cci.rm("empty", recursive=True)
    assert store.raw.keys() == []


@pytest.mark.stores("moto", "ceph")
def test_no_listing_gives_a_name_that_is_taken_for_another(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    _fill(store, ["/raw/b", "raw//b", "raw//c/d", "raw/b", "raw/c"])
    cci = store.interface()
    assert (cci.ls("/"), cci.lsdir(), cci.ls("")) == (["raw"], ["raw"], ["raw"])
    for found in (cci.ls("raw"), cci.lsdir("raw"), cci.ls("raw/*"), cci.glob("*"), cci.glob("raw"), cci.glob("r*")):
        assert found == ["raw/b", "raw/c"]
    assert [entry.key for entry in cci.scandir("raw")] == cci.fs.ls("raw", detail=False) == ["raw/b", "raw/c"]
    assert cci.fs.ls("", detail=False) == ["raw"]
    assert [name for name in dir(cci.get_browser().raw) if len(name) < 3] == ["b", "c"]

    caplog.clear()
    cci.glob("raw/*")
    told = (
        "object 'raw//b' in bucket '%s', and 1 more, are left out of the listing: each call takes it for another object"
    )
    assert caplog.messages == [told % store.container]
    caplog.clear()
    cci.ls("raw/b*")
    assert caplog.messages == []

    # who takes all of a branch, or of the bucket, takes them as they are
    keys = ["/raw/b", "raw//b", "raw//c/d", "raw/b", "raw/c"]
    assert [info.key for info in cci.get_bucket_objects()] == keys
    assert [info.key for info in cci.find("*")] == keys
    assert [info.key for info in cci.find("raw")] == keys[1:]
    assert cci.get_bucket_size() == sum(map(len, keys))
    cci.cp("raw", "copy")
    assert _contents(store)["copy//b"] == "raw//b"
    cci.rm("raw", recursive=True)
    assert store.raw.keys("raw") == []
    assert store.raw.keys("/raw") == ["/raw/b"]


@pytest.mark.stores("local", "moto")
def test_limits_are_kept(store: Store) -> None:
    _fill(store)
    cci = store.interface()
    for limit in (0, 1, 2, 3):
        assert cci.glob("*", limit=limit) == sorted(NAMES, key=str.encode)[:limit]
        assert cci.lsdir("", limit=limit) == cci.lsdir("")[:limit]
        assert cci.ls("data/exp*", limit=limit) == cci.ls("data/exp*")[:limit]
        assert [info.key for info in cci.get_objects(limit=limit)] == sorted(NAMES, key=str.encode)[:limit]
    assert cci.glob("*", limit=None) == cci.glob("*", limit=10**9) == cci.glob("*")
    with pytest.raises(ValueError, match="limit"):
        cci.lsdir("", limit=-1)
    unclear: Any = "3"
    for call in (cci.glob, cci.lsdir, cci.ls, cci.search, cci.find):
        with pytest.raises(TypeError, match=r"limit is .* not '3'"):
            call("data", limit=unclear)
    with pytest.raises(TypeError, match=r"limit is .* not '3'"):
        cci.get_objects(limit=unclear)


@pytest.mark.stores("local", "moto")
def test_the_third_place_of_a_copy_is_a_bucket(store: Store) -> None:
    _fill(store)
    cci, names, true = store.interface(), store.raw.keys(), True
    one, other = names[:2]
    for call in (cci.cp, cci.mv):
        with pytest.raises(TypeError, match=r"source_bucket is .* not True; to replace: overwrite=True"):
            call(one, other, true)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"dest_bucket is .* not 5"):
            call(one, other, dest_bucket=5)  # type: ignore[arg-type]
    assert store.raw.keys() == names


@pytest.mark.stores("local", "moto", "gdrive")  # the contract asks the others for as many
def test_nothing_is_cut_off(store: Store) -> None:
    count = 2500 if store.name == "local" else 1100
    names = [f"many/{number:05d}" for number in range(count)]
    _fill(store, [*names, "many2", "many.txt", "many-more/a"])
    cci = store.interface()
    assert cci.lsdir("many") == names
    assert cci.ls("many") == names
    assert cci.ls("many/*1") == [name for name in names if name.endswith("1")]
    assert cci.glob("many") == names
    assert cci.glob("*/*99") == [name for name in names if name.endswith("99")]
    assert len(cci.get_objects()) == count + 3
    assert cci.get_bucket_size() > count * 10
    assert cci.lsdir("many", limit=1000) == names[:1000]
    assert cci.ls("many", limit=1050) == names[:1050]
    assert len(cci.get_browser()["many"]._ls()) == count
    assert cci.rm("many", recursive=True)
    assert store.raw.keys() == ["many-more/a", "many.txt", "many2"]


@pytest.mark.stores("local", "moto")
def test_printing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(store)
    cci = store.interface()
    assert cci.ls("data/exp*", verbose=True) == cci.ls("data/exp*")
    assert capsys.readouterr().out.split() == cci.ls("data/exp*")
    cci.search("*/run1/*")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in printed] == cci.glob("*/run1/*")
    assert all("MB" in line and "20" in line for line in printed)
    assert cci.glob("*/run1/*", verbose=True) == cci.glob("*/run1/*")
    assert capsys.readouterr().out.splitlines() == printed
    cci.show_objects()
    assert len(capsys.readouterr().out.splitlines()) == len(NAMES)
    cci.show_objects(limit=2)
    assert len(capsys.readouterr().out.splitlines()) == 2
    cci.glob("*")
    cci.ls("*")
    cci.lsdir()
    assert capsys.readouterr() == ("", "")


@pytest.mark.stores("local", "moto", "ceph")
def test_the_owner_of_an_object(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(store, ["dir/a"])
    cci = store.interface()
    owner = cci.get_object_owner("/dir//a")
    assert owner
    assert capsys.readouterr().out.strip() == str(owner)
    with pytest.raises(FileNotFoundError):
        cci.get_object_owner("dir/b")


# ---------------------------------------------------------------------- copying
def test_copy_an_object(store: Store) -> None:
    _fill(store)
    cci = store.interface()
    found = cci.cp("//data/exp.txt", "/copies//a b.txt")
    assert found.key == "copies/a b.txt"
    assert store.raw.get("copies/a b.txt") == (b"data/exp.txt", {"was": "here"})
    assert store.raw.get("data/exp.txt")[0] == b"data/exp.txt"
    cci.cp("other/é ü/a+b", "%41")
    assert store.raw.get("%41")[0].decode() == "other/é ü/a+b"


def test_copies_replace_nothing_unless_told_to(store: Store) -> None:
    _fill(store)
    before = _contents(store)
    cci = store.interface()
    for call in (cci.cp, cci.mv):
        with pytest.raises(ObjectExists, match="overwrite=True") as caught:
            call("data/exp.txt", "top.txt")
        assert isinstance(caught.value, FileExistsError)
        with pytest.raises(ObjectExists):
            call("data/exp/run1", "data/exp/run2")
    assert _contents(store) == before
    cci.cp("data/exp.txt", "top.txt", overwrite=True)
    assert store.raw.get("top.txt")[0] == b"data/exp.txt"
    cci.cp("data/exp/run1", "data/exp/run2", overwrite=True)
    assert store.raw.get("data/exp/run2/bold.arr")[0] == b"data/exp/run1/bold.arr"
    assert store.raw.get("data/exp/run2/info.json")[0] == b"data/exp/run1/info.json"


@pytest.mark.stores("local", "moto")
def test_a_branch_is_copied_into_one_where_nothing_is_in_the_way(store: Store) -> None:
    _fill(store, ["a/x", "a/y", "b/z"])
    store.interface().cp("a", "b")
    assert _contents(store) == {"a/x": "a/x", "a/y": "a/y", "b/x": "a/x", "b/y": "a/y", "b/z": "b/z"}


def test_copy_a_branch(store: Store) -> None:
    _fill(store)
    before = _contents(store)
    store.interface().cp("data/exp", "/new//place/")
    branch = {name: body for name, body in before.items() if name.startswith("data/exp/")}
    copied = {f"new/place/exp{name.removeprefix('data/exp')}": body for name, body in branch.items()}
    assert _contents(store) == {**before, **copied}
    store.interface().cp("data/exp/", "again")
    assert store.raw.keys("again/") == [f"again{name.removeprefix('data/exp')}" for name in sorted(branch)]
    assert store.raw.get("again/notes.txt")[1] == {"was": "here"}


@pytest.mark.stores("local", "moto")
def test_copy_into_a_directory(store: Store) -> None:
    _fill(store)
    cci = store.interface()
    assert cci.cp("data/exp.txt", "other/").key == "other/exp.txt"
    assert cci.cp("data/exp.txt", "/").key == "exp.txt"
    assert store.raw.get("other/exp.txt")[0] == store.raw.get("exp.txt")[0] == b"data/exp.txt"


def test_copies_between_buckets(store: Store) -> None:
    _fill(store)
    other = store.second_container()
    cci = store.interface()
    cci.cp("top.txt", "top.txt", dest_bucket=other.container)
    cci.cp("data/exp", "exp", dest_bucket=other.container)
    assert other.raw.get("top.txt") == (b"top.txt", {"was": "here"})
    assert len(other.raw.keys("exp/")) == 4
    other.raw.put("theirs", b"x")
    cci.cp("theirs", "in/their/bucket", source_bucket=other.container)
    assert other.raw.get("in/their/bucket")[0] == b"x"
    cci.mv("theirs", "mine", source_bucket=other.container, dest_bucket=store.container)
    assert store.raw.get("mine")[0] == b"x"
    assert "theirs" not in other.raw.keys("")
    assert cci.bucket_name == store.backend().container
    assert len(store.raw.keys("")) == len(NAMES) + 1


@pytest.mark.stores("local", "moto")
def test_what_is_not_there_is_not_copied(store: Store) -> None:
    _fill(store, ["dir/a"])
    cci = store.interface()
    for call in (cci.cp, cci.mv):
        for name in ("nothing", "di", "dir/b"):
            with pytest.raises(ObjectNotFound, match=name):
                call(name, "copy")
    assert store.raw.keys() == ["dir/a"]


# ---------------------------------------------------------------------- moving
def test_move_an_object(store: Store) -> None:
    _fill(store)
    found = store.interface().mv("//data//exp.txt", "/new/name")
    assert found.key == "new/name"
    assert store.raw.get("new/name") == (b"data/exp.txt", {"was": "here"})
    assert set(store.raw.keys("")) == {*NAMES, "new/name"} - {"data/exp.txt"}
    assert store.raw.leftovers() == []


def test_move_a_branch(store: Store) -> None:
    _fill(store)
    before = _contents(store)
    store.interface().mv("data/exp", "moved/exp")
    moved = {name.replace("data/exp/", "moved/exp/"): body for name, body in before.items()}
    assert _contents(store) == moved
    assert store.raw.leftovers() == []


def test_what_is_moved_onto_itself_stays(store: Store) -> None:
    _fill(store)
    before = _contents(store)
    cci = store.interface()
    for name in ("top.txt", "/top.txt", "data/exp", "data"):
        cci.mv(name, name, overwrite=True)
        with contextlib.suppress(ObjectExists):
            cci.mv(name, name)
        assert _contents(store) == before
    assert store.raw.get("top.txt")[1] == {"was": "here"}


@pytest.mark.stores("local", "moto")
def test_move_a_branch_into_itself(store: Store) -> None:
    _fill(store, ["a/x", "a/b/y"])
    store.interface().mv("a", "a/b")
    assert _contents(store) == {"a/b/x": "a/x", "a/b/b/y": "a/b/y"}
    store.interface().mv("a/b", "a", overwrite=True)
    assert _contents(store) == {"a/x": "a/x", "a/b/y": "a/b/y"}


@pytest.mark.stores("local", "moto")
def test_no_copy_replaces_what_another_has_yet_to_read(store: Store) -> None:
    names = ["a/x", "a/b/x", "a/b/b/x", "a/b/b/b/x"]
    _fill(store, names)
    store.interface().cp("a", "a/b", overwrite=True)
    assert _contents(store) == {"a/x": "a/x"} | {name.replace("a/", "a/b/", 1): name for name in names}
    store.interface().rm("a", recursive=True)
    _fill(store, names)
    store.interface().mv("a/b", "a", overwrite=True)
    assert _contents(store) == {name.replace("a/b/", "a/", 1): name for name in names[1:]}


@pytest.mark.stores("moto")
def test_a_name_of_an_object_and_of_a_branch(store: Store) -> None:
    cci = store.interface()
    both = {name: name for name in ("a", "a/x", "a/a/y", "a/a")}
    _fill(store, [*both])
    cci.cp("a", "alone")
    cci.cp("a/", "branch")
    cci.cp("a", "both", recursive=True)
    branch = {f"branch/{name[2:]}": name for name in both if name != "a"}
    copied = {"alone": "a"} | branch | {f"both{name[1:]}": name for name in both}
    assert _contents(store) == both | copied
    store.raw.put("whole", b"mine")
    before = _contents(store)
    with pytest.raises(ObjectExists, match="'whole'"):
        cci.mv("a", "whole", recursive=True)
    with pytest.raises(ObjectExists, match="'both"):
        cci.cp("a", "both", recursive=True)
    assert _contents(store) == before
    for name in [*copied, "whole"]:
        store.raw.delete(name)
    cci.mv("a", "a/a", overwrite=True, recursive=True)  # down and up again: each goes before it is replaced
    assert _contents(store) == {f"a/{name}": name for name in both}
    cci.mv("a/a", "a", overwrite=True, recursive=True)
    assert _contents(store) == both


@pytest.mark.stores("local", "moto")
def test_many_are_moved(store: Store) -> None:
    names = [f"many/{number:03d}" for number in range(40)]
    _fill(store, [*names, "many2/x"])
    store.interface().mv("many", "few")
    assert _contents(store) == {name.replace("many/", "few/"): name for name in names} | {"many2/x": "many2/x"}


# ---------------------------------------------------------------------- removing
def test_remove_an_object(store: Store) -> None:
    _fill(store)
    cci = store.interface()
    assert cci.rm("/data//exp.txt")
    assert set(store.raw.keys("")) == {*NAMES} - {"data/exp.txt"}
    assert cci.rm("data/experiment", recursive=True)
    assert set(store.raw.keys("")) == {*NAMES} - {"data/exp.txt", "data/experiment"}
    assert store.raw.leftovers() == []


def test_a_prefix_is_no_directory(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(store)
    cci = store.interface()
    for name in ("data/exp", "data/exp/", "/data//exp"):
        cci.rm(name)
        assert capsys.readouterr().out == f"cannot remove {name!r}: use `recursive` to remove branch\n"
    assert set(store.raw.keys("")) == {*NAMES}
    assert cci.rm(name, recursive=True)
    assert capsys.readouterr().out == "deleting 4 objects...\n"
    assert set(store.raw.keys("")) == {other for other in NAMES if not other.startswith("data/exp/")}
    assert store.raw.leftovers() == []


@pytest.mark.stores("local", "moto")
def test_remove_everything(store: Store) -> None:
    _fill(store)
    cci = store.interface()
    cci.rm("/", recursive=True)
    assert store.raw.keys() == []
    assert store.has("no-containers") or cci.exists_bucket(store.container)
    with pytest.raises(InvalidObjectName, match="names nothing"):  # as an empty variable in a script
        cci.rm("", recursive=True)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("name", ["nothing", "dat", "data/ex", "*", "data/*", "data/exp*", "data/exp/run?"])
def test_patterns_and_prefixes_remove_nothing(store: Store, name: str) -> None:
    _fill(store)
    cci = store.interface()
    with pytest.raises(ObjectNotFound, match="does not exist"):
        cci.rm(name)
    cci.rm(name, recursive=True)
    assert set(store.raw.keys("")) == {*NAMES}


@pytest.mark.stores("local", "moto")
def test_names_with_the_characters_of_patterns(store: Store) -> None:
    names = ["a[1]", "a*", "a?/b", "ax/b", "a1"]
    _fill(store, names)
    cci = store.interface()
    cci.cp("a*", "copy")
    assert store.raw.get("copy")[0] == b"a*"
    cci.rm("copy")
    cci.rm("a?", recursive=True)
    assert set(store.raw.keys("")) == {*names} - {"a?/b"}
    cci.rm("a[1]")
    cci.rm("a*")
    assert set(store.raw.keys("")) == {"ax/b", "a1"}


# ---------------------------------------------------------------------- hostile names
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("name", ["..", "../x", "a/../../b", "./a", "a\0b"])
def test_names_that_leave_the_bucket(store: Store, name: str, tmp_path: Path) -> None:
    _fill(store, ["a/b"])
    (tmp_path / "x").write_text("mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    cci = store.interface()
    calls: list[Any] = [
        *(
            lambda call=call: call(name)
            for call in (cci.ls, cci.lsdir, cci.glob, cci.search, cci.rm, cci.get_object_owner)
        ),
        lambda: cci.rm(name, recursive=True),
        lambda: cci.cp("a/b", name),
        lambda: cci.mv("a/b", name),
        lambda: cci.mv("a", f"{name}/"),
        lambda: cci.download_directory(name, str(tmp_path / "down")),
    ]
    for call in calls:
        with pytest.raises(InvalidObjectName):
            call()
    assert store.raw.keys() == ["a/b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "name",
    ["exp/../../escaped", "exp/a/../../../escaped", "exp/..", "exp//etc/escaped", "exp/a\0b", "exp/../escaped/b"],
)
def test_a_foreign_listing_writes_nothing_outside(recorded: Recorded, tmp_path: Path, name: str) -> None:
    store, proxy = recorded
    _fill(store, ["exp/good"])
    cci = store.interface()
    listed = "".join(f"<Contents><Key>{quote(key)}</Key><Size>1</Size></Contents>" for key in ("exp/good", name))
    body = (
        f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
    )

    def hook(request: Request) -> Response | None:
        if "list-type" in request.query:
            return Response(200, body.encode(), {"Content-Type": "application/xml"})
        return Response(200, b"x", {"ETag": '"e"'}) if "good" not in request.path else None

    proxy.hook = hook
    target = tmp_path / "a" / "b" / "down"
    with pytest.raises(InvalidObjectName, match="outside"):
        cci.download_directory("exp", str(target))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not target.exists()


@pytest.mark.stores("local")
def test_the_root_is_the_directory_of_the_store(store: Store) -> None:
    _fill(store, ["a/b"])
    cci = store.interface()
    assert cci.lsdir("/") == cci.ls("/") == ["a"]
    assert cci.lsdir("/etc") == []
    assert cci.exists_object("/etc/passwd") is False
    with pytest.raises(FileNotFoundError):
        cci.download_object("/etc/passwd")


@pytest.mark.stores("local", "moto")
def test_all_of_it_with_arrays(store: Store) -> None:
    """The day of a scientist: store, look, rename, read, clean."""
    cci = store.interface()
    for run in (1, 2):
        cci.upload_raw_array(f"sub01/run{run}/bold", np.full((2, 3), run))
    assert cci.glob("sub01/run*/bold") == ["sub01/run1/bold", "sub01/run2/bold"]
    cci.mv("sub01", "sub02")
    assert [cci.download_raw_array(name).sum() for name in cci.glob("sub02/*")] == [6, 12]
    cci.rm("sub02", recursive=True)
    assert cci.lsdir() == []


@pytest.mark.stores("local")
def test_a_directory_and_one_inside_of_it_are_one_store(store: Store) -> None:
    cci, inside = store.interface(), f"{store.container}/sub"
    cci.upload_object("sub/a", b"1")
    cci.upload_object("sub/deep/b", b"2")
    cci.mv("sub/a", "a", dest_bucket=inside, overwrite=True)
    cci.mv("sub", "/", dest_bucket=store.container, overwrite=True)
    assert cci.download_object("sub/a") == b"1"
    assert cci.download_object("sub/deep/b") == b"2"


@pytest.mark.stores("local")
def test_arguments_that_glob_does_not_know(store: Store) -> None:
    cci = store.interface()
    for call in (cci.glob, cci.glob_s3, cci.search):
        with pytest.raises(TypeError, match="unknown arguments: most; verbose, limit and page_size are known"):
            call("a/*", most=1)

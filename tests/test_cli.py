"""The `cottoncandy` command: what it prints, what it leaves in the store and on disk, and how it ends."""

from __future__ import annotations

import ast
import copy
import errno
import fcntl
import io
import itertools
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse
from recorder import Fault, Request
from stores import Recorded, Store
from test_progress import Bars

import cottoncandy
from cottoncandy.cli import removing, run
from cottoncandy.cli.app import _ADVICE, COMMANDS
from cottoncandy.cli.formats import FORMATS, Format, extension
from cottoncandy.cli.output import size_text
from cottoncandy.cli.places import Access, Place, place
from cottoncandy.errors import UnsupportedArray
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.progress import Progress

ROOT = Path(__file__).parent.parent


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def cc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty directory, on the directory ``store`` in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COTTONCANDY_BACKEND", "local")
    monkeypatch.setenv("COTTONCANDY_BUCKET", "store")

    def call(*arguments: str) -> Done:
        capfd.readouterr()
        code = run(arguments)
        return Done(code, *capfd.readouterr())

    return call


def ok(done: Done) -> str:
    assert (done.code, done.err) == (0, "")
    return done.out


def on_server(store: Store) -> list[str]:
    """The options that lead a command to a store of the tests."""
    assert store.access["endpoint_url"]
    return ["--backend", "s3", "--bucket", store.container, "--endpoint-url", store.access["endpoint_url"]]


@pytest.fixture
def s3(store: Store, cc: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command, with the options that lead it to the store of the test."""
    store.give_keys(monkeypatch)
    return lambda command, *names: cc(command, *on_server(store), *names)


# ---------------------------------------------------------------------- a session
def test_a_session(cc: Run, tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    np.save("bold.npy", array)
    Path("notes.txt").write_text("slept well")
    assert ok(cc("put", "bold.npy", "sub01/bold")) == "put local://store/sub01/bold\n"
    ok(cc("put", "bold.npy", "notes.txt", "sub01/", "-m", "scanner=3T"))
    assert ok(cc("ls")) == "sub01/\n"
    assert ok(cc("ls", "sub01", "cottoncandy:///sub01/b*")).split() == [
        *("sub01/bold", "sub01/bold.npy", "sub01/notes.txt"),
        *("sub01/bold", "sub01/bold.npy"),
    ]
    size, _, _, name = ok(cc("ls", "-lh", "sub01/notes.txt")).split()
    assert (size, name) == ("10", "sub01/notes.txt")
    listed = json.loads(ok(cc("ls", "-r", "--json")))
    assert (listed[0]["name"], listed[0]["type"], listed[2]["size"]) == ("sub01/bold", "object", 10)
    assert ok(cc("tree", "--size", "-L", "2")).splitlines()[-1] == "    └── notes.txt  [10]"
    assert ok(cc("tree")) == ok(cc("tree", "-L", "5"))
    known = json.loads(ok(cc("info", "sub01/bold", "--json")))
    assert (known["array"], known["bytes_unpacked"]) == ("float64 (3, 4)", 96)
    assert "metadata       scanner: 3T" in ok(cc("info", "sub01/notes.txt"))
    assert json.loads(ok(cc("info", "sub01", "--json")))["objects"] == 3
    assert ok(cc("du", "-s")).split()[1:] == ["3", "local://store/"]
    assert [row["objects"] for row in json.loads(ok(cc("du", "sub01", "--json")))] == [1, 1, 1, 3]

    assert ok(cc("get", "sub01/bold", "back.npy")) == "got back.npy\n"
    assert np.array_equal(np.load("back.npy"), array)
    assert ok(cc("get", "sub01/notes.txt", "-")) == "slept well"
    assert cc("get", "-r", "sub01", "all").err.endswith("would both be written to all/bold.npy: get one at a time\n")
    assert "would get" in ok(cc("get", "sub01/*.txt", "some", "-n"))
    ok(cc("get", "sub01/*.txt", "some"))
    assert Path("some/notes.txt").read_text() == "slept well"
    Path("some/notes.txt").write_text("mine")
    ok(cc("get", "sub01/*.txt", "some", "--no-clobber"))
    assert Path("some/notes.txt").read_text() == "mine"

    ok(cc("cp", "sub01/bold", "sub01/notes.txt", "sub02/"))
    there = cc("cp", "sub01/bold", "sub02/bold")
    assert (there.code, there.err.endswith(": use --overwrite to replace it\n")) == (1, True)
    ok(cc("cp", "-f", "sub01/bold", "sub02/bold"))
    assert "is a directory: use -r" in cc("mv", "sub02", "sub03").err
    ok(cc("mv", "-r", "sub02", "sub03"))
    ok(cc("mv", "sub03/b*", "sub04/"))
    assert ok(cc("ls", "-r", "sub0[234]*")).split() == ["sub03/notes.txt", "sub04/bold"]

    assert ok(cc("rm", "-r", "sub03", "-n")) == "would delete local://store/sub03/notes.txt\n"
    assert "is a directory: use -r" in cc("rm", "sub03").err
    assert ok(cc("rm", "sub0?/notes.txt")) == "deleted 2 objects\n"
    assert json.loads(ok(cc("rm", "-r", "sub01", "--json")))["deleted"] == ["sub01/bold", "sub01/bold.npy"]
    assert cc("rm", "-r", "/").code == 2  # the whole bucket, and nobody to ask
    assert ok(cc("rm", "-ry", "/")) == "deleted 1 object\n"
    assert ok(cc("clean-uploads")) == "no uploads were left\n"


def test_a_name_that_looks_like_a_pattern_is_the_object_of_that_name(cc: Run) -> None:
    for name in ("scan[1].txt", "scan1.txt", "other"):
        Path(name).write_text(name)
        ok(cc("put", name, "odd/"))
    assert ok(cc("get", "odd/scan[1].txt", "-")) == "scan[1].txt"
    assert ok(cc("get", "odd/scan[1].txt", "back.txt")) == "got back.txt\n"
    ok(cc("cp", "odd/scan[1].txt", "odd/copy"))
    assert ok(cc("rm", "odd/scan[1].txt")) == "deleted 1 object\n"
    assert ok(cc("ls", "odd")).split() == ["odd/copy", "odd/other", "odd/scan1.txt"]
    assert ok(cc("ls", "odd/scan[1].txt")) == "odd/scan1.txt\n"  # now it is a pattern, which matches that
    ok(cc("put", "other", "odd/a[b"))
    assert ok(cc("ls", "odd/a[b")) == "odd/a[b\n"
    assert "nothing has this name" in cc("ls", "odd/a[c").err
    assert "nothing has this name" in cc("du", "odds").err


def test_what_is_there_under_a_name_as_it_is_written_is_no_pattern(cc: Run) -> None:
    for name in ("run[1]/a", "run1/b", "run[1]/s[2]", "run[1]/s2"):
        Path("x").write_text(name)
        ok(cc("put", "x", f"w/{name}"))
    inside = ["w/run[1]/a", "w/run[1]/s2", "w/run[1]/s[2]"]
    for name in ("w/run[1]", "w/run[1]/"):
        assert ok(cc("ls", name)).split() == ok(cc("ls", "-r", name)).split() == inside
        assert (
            ok(cc("tree", name))
            == ok(cc("tree", "-L", "1", name))
            == f"local://store/{name}\n├── a\n├── s2\n└── s[2]\n"
        )
        assert json.loads(ok(cc("info", "--json", name)))["objects"] == 3
        assert [line.split()[2] for line in ok(cc("du", name)).splitlines()] == [*inside, f"local://store/{name}"]
        assert ok(cc("rm", "-rn", name)).split()[2::3] == [f"local://store/{key}" for key in inside]
    one = "w/run[1]/s[2]"
    assert ok(cc("ls", "-r", one)) == f"{one}\n"
    assert ok(cc("du", one)).split()[:3] == ["11", "1", one]
    assert ok(cc("du", "w/r?n1/*")).split()[:3] == ["6", "1", "w/run1/"]
    assert ok(cc("get", "-r", one, "one")) == "got one/s[2]\n"
    assert Path("one/s[2]").read_text() == "run[1]/s[2]"
    ok(cc("get", "-r", "w/run[1]", "all"))
    assert {path.name for path in Path("all").iterdir()} == {"a", "s2", "s[2]"}
    ok(cc("mv", "-r", "w/run[1]", "away"))
    assert ok(cc("ls", "-r")).split() == ["away/a", "away/s2", "away/s[2]", "w/run1/b"]
    assert ok(cc("ls", "w/run[1]")) == "w/run1/\n"  # now it is a pattern, which matches that


def test_sync(cc: Run) -> None:
    Path("here/sub").mkdir(parents=True)
    Path("here/a").write_text("a")
    Path("here/sub/b.tmp").write_text("b")
    planned = ok(cc("sync", "here", "cottoncandy:///exp", "-n", "--exclude", "*.tmp"))
    assert planned.splitlines()[0] == "would transfer a"
    assert json.loads(ok(cc("sync", "here", "local://store/exp", "--json")))["transferred"] == ["a", "sub/b.tmp"]
    assert ok(cc("sync", "here", "local://store/exp")) == "0 transferred (0.0 MB), 0 deleted, 2 unchanged\n"
    Path("here/a").unlink()
    Path("here/out").symlink_to("/")
    told = ok(cc("sync", "here", "local://store/exp", "--delete")).splitlines()
    assert told[:2] == ["delete a", "skip out: a link that is not followed, or no file"]
    ok(cc("sync", "cottoncandy:///exp", "there", "-q"))
    assert Path("there/sub/b.tmp").read_text() == "b"
    Path("other_store").mkdir()
    ok(cc("sync", "local://store/exp", "local://other_store/exp"))
    assert Path("other_store/exp/sub/b.tmp").read_text() == "b"
    assert cc("sync", "here", "there").code == 2
    for command in ("sync", "cp"):  # not by way of a directory, which would take dtype and shape from arrays
        told = cc(command, "s3://b/here", "local://store/there")
        assert (told.code, "directory" in told.err) == (2, False)
        assert "'Between two stores'" in " ".join(told.err.split())
    assert "\n## Between two stores\n" in (ROOT / "docs" / "howto" / "backup.md").read_text()


def test_sync_makes_a_directory_for_what_there_is_to_store_alone(cc: Run) -> None:
    Path("here").mkdir()
    Path("here/a").write_text("a")
    ok(cc("sync", "here", "local://one/x", "-q"))
    before = sorted(Path().rglob("*"))
    for source in ("here", "local://one/x"):
        assert ok(cc("sync", "-n", source, "local://new/x")).splitlines()[0] == "would transfer a"
        assert sorted(Path().rglob("*")) == before
    for command, said in [
        ("sync typo local://new/x", "typo is no directory"),
        ("sync here/a local://new/x", "here/a is no directory"),
        (
            "sync local://typo/x local://new/x",
            "'typo' does not exist: check its name and the endpoint, or make it (a dir",
        ),
        ("sync local://typo/x there", "'typo' does not exist"),
        ("sync local://one/typo local://new/x", "local://one/typo: nothing is below this name"),
    ]:
        done = cc(*command.split())
        assert (done.code, done.out, sorted(Path().rglob("*"))) == (1, "", before)
        assert said in done.err
    ok(cc("sync", "local://one/x", "local://new/x", "-q"))
    assert Path("new/x/a").read_text() == "a"


# ---------------------------------------------------------------------- files that hold arrays
ARRAYS = {
    ".npy": np.arange(6, dtype=">i2").reshape(2, 3),
    ".csv": np.array([[1.5, 1 / 3], [np.pi, -2e300]]),
    ".nii": np.arange(24, dtype="int16").reshape(2, 3, 4),
    ".nii.gz": np.arange(24, dtype="float32").reshape(2, 3, 4),
}
TREE = {"a": np.arange(3.0).reshape(1, 3), "b": {"c": np.ones((2, 2), "int32")}}


@pytest.mark.parametrize("kind", sorted({*FORMATS} - {".hdf5"}))
def test_a_file_goes_up_as_arrays_and_comes_back(kind: str, cc: Run, tmp_path: Path) -> None:
    import cottoncandy

    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    path, back = Path(f"made{kind}"), Path(f"back{kind}")
    if not FORMATS[kind].holds_tree:
        affine = {"affine": json.dumps(np.diag([2.0, 2, 2, 1]).tolist())} if "nii" in kind else {}
        FORMATS[kind].save(path, ARRAYS[kind], affine)
        ok(cc("put", str(path), "x/arr"))
        stored = cci.download_raw_array("x/arr")
        assert np.array_equal(stored, ARRAYS[kind])
        ok(cc("get", "x/arr", str(back)))
        (again, told), (_, before) = FORMATS[kind].load(back), FORMATS[kind].load(path)
        assert np.array_equal(again, ARRAYS[kind])
        assert told == before
        return
    FORMATS[kind].save(path, TREE if kind != ".mat" else {"a": TREE["a"]}, {})
    ok(cc("put", str(path), "x/tree"))
    assert np.array_equal(cci.cloud2dict("x/tree", verbose=False)["a"], TREE["a"])
    ok(cc("get", "x/tree", str(back)))
    again, _ = FORMATS[kind].load(back)
    assert np.array_equal(again["a"], TREE["a"])
    assert kind == ".mat" or np.array_equal(again["b"]["c"], TREE["b"]["c"])  # type: ignore[call-overload]
    ok(cc("get", "x/tree/a", f"one{kind}"))
    assert np.array_equal(FORMATS[kind].load(Path(f"one{kind}"))[0]["one"], TREE["a"])


def test_what_a_file_cannot_hold(cc: Run) -> None:
    table = np.array([(1, 2.5), (2, 0.1)], dtype=[("onset", "i8"), ("duration", "f8")])
    FORMATS[".csv"].save(Path("events.csv"), table, {})
    assert Path("events.csv").read_text().splitlines()[:2] == ["onset,duration", "1,2.5"]
    back, _ = FORMATS[".csv"].load(Path("events.csv"))
    assert back.dtype.names == table.dtype.names
    assert back.tolist() == table.tolist()
    with pytest.raises(UnsupportedArray):
        FORMATS[".csv"].save(Path("x.csv"), np.ones((2, 2, 2)), {})
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    done = cc("put", "objects.npy", "x")  # a pickle, which is not read
    assert (done.code, Path("store/x").exists()) == (1, False)
    np.save("cube.npy", np.ones((2, 2, 2)))
    ok(cc("put", "cube.npy", "cube"))
    failed = cc("get", "cube", "cube.csv")
    assert (failed.code, list(Path().glob("*cube.csv*"))) == (1, [])
    assert failed.err.startswith("cottoncandy: cube.csv: a .csv holds")
    assert not list(Path().glob(".cottoncandy-*"))
    assert cc("put", "events.csv", "--as", "array", "t/events.csv").code == 0
    assert Path("store/t/events").exists()
    assert extension("a.NII.GZ") == ".nii.gz"


Records = list[tuple[str, str]]


def records(dtype: Records, *rows: tuple[object, ...]) -> np.ndarray:
    return np.array([*rows], dtype)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Dtype, but for the width of text, and every value; a nan is one."""
    names = [[(name, one.dtype[name].kind) for name in one.dtype.names or ()] for one in (one, other)]
    kinds = (one.dtype.kind, one.shape) == (other.dtype.kind, other.shape)
    return kinds and names[0] == names[1] and repr(one.tolist()) == repr(other.tolist())


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("1,2,3\n", np.array([[1, 2, 3]])),
        ("1\r\n2\r\n\r\n", np.array([[1], [2]])),
        ("1,2\n3,\n", np.array([[1, 2], [3, np.nan]])),
        ("1,NA\n", np.array([[1, np.nan]])),
        ("a\n1\n\n2\n", records([("a", "f8")], (1,), (np.nan,), (2,))),
        ("\ufeffsub-01,x # y\n1,2.5\n", records([("sub-01", "i8"), ("x # y", "f8")], (1, 2.5))),
        ("id,v\n1,\n2,3.5\n", records([("id", "i8"), ("v", "f8")], (1, np.nan), (2, 3.5))),
        ("Ann # 1,3\nBob,4\n", records([("f0", "U7"), ("f1", "i8")], ("Ann # 1", 3), ("Bob", 4))),
        ('name,n\n"Smith, J",1\n', records([("name", "U8"), ("n", "i8")], ("Smith, J", 1))),
        ('n\n"a ""b""\nc"\n1', records([("f0", "U7")], ("n",), ('a "b"\nc',), ("1",))),
        ("x,NA\n1,2\n", records([("x", "i8"), ("NA", "i8")], (1, 2))),
        ("name,city\nAnn,Rome\n", records([("f0", "U4"), ("f1", "U4")], ("name", "city"), ("Ann", "Rome"))),
        # as pandas has it by default, with an index that has no name
        (",a,b\n0,1.5,2\n1,2.5,3\n", records([("f0", "i8"), ("a", "f8"), ("b", "i8")], (0, 1.5, 2), (1, 2.5, 3))),
        (",a\nx,1\ny,2\n", records([("f0", "U1"), ("a", "i8")], ("x", 1), ("y", 2))),
        (",2\n3,4\n", np.array([[np.nan, 2], [3, 4]])),
        (",\n1,x\n", records([("f0", "f8"), ("f1", "U1")], (np.nan, ""), (1, "x"))),
        # no digit gets lost
        ("007\n1_0\n", records([("f0", "U3")], ("007",), ("1_0",))),
        ("1,9007199254740993\n.5,2\n", records([("f0", "f8"), ("f1", "i8")], (1, 2**53 + 1), (0.5, 2))),
        ("99999999999999999999\n", records([("f0", "U20")], ("9" * 20,))),
        # nor a number that float64 has no place for
        ("x,n\n1e400,1\n2,2\n", records([("x", "U5"), ("n", "i8")], ("1e400", 1), ("2", 2))),
        ("1,-1.5E+400\n1,2\n", records([("f0", "i8"), ("f1", "U9")], (1, "-1.5E+400"), (1, "2"))),
        ("1e-400,1\n", records([("f0", "U6"), ("f1", "i8")], ("1e-400", 1))),
        (f"{'9' * 300}e50,1\n", records([("f0", "U303"), ("f1", "i8")], (f"{'9' * 300}e50", 1))),
        ("inf,-Infinity\n0e400,-0.0e-400\n", np.array([[np.inf, -np.inf], [0.0, -0.0]])),
        ("1e308,5e-324\n", np.array([[1e308, 5e-324]])),
    ],
)
def test_a_table_goes_up_with_all_that_it_says_and_comes_back(text: str, table: np.ndarray, cc: Run) -> None:
    import cottoncandy

    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    Path("made.csv").write_bytes(text.encode())
    ok(cc("put", "made.csv", "table"))
    assert same(cci.download_raw_array("table"), table)
    ok(cc("get", "table", "back.csv"))
    ok(cc("put", "back.csv", "again"))
    assert same(cci.download_raw_array("again"), table)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2\n\n3\n", "bad.csv, line 3: cells in this row: 1, in the first one: 2;"),
        ('a,b\n1,"2\n', "bad.csv, line 2: unexpected end of data"),
        ("a,a\n1,2\n", "bad.csv: two columns are named 'a': rename one"),
        (",f0\n1,2\n", "bad.csv: two columns are named 'f0': rename one"),
        ("\n", "bad.csv is empty"),
        ("\udcff\n", "bad.csv is no UTF-8"),
    ],
)
def test_what_is_no_table(text: str, said: str, cc: Run) -> None:
    Path("bad.csv").write_bytes(text.encode(errors="surrogateescape"))
    done = cc("put", "bad.csv", "x")
    assert (done.code, Path("store/x").exists()) == (1, False)
    assert done.err.startswith(f"cottoncandy: {said}")


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.arange(2), "0\n1\n"),
        (np.array([[1.0, np.nan], [-0.0, 1e300]]), "1.0,nan\n-0.0,1e+300\n"),
        (np.array([[True, False]]), "1,0\n"),
        (records([("a,b", "U3"), ("n", "f4")], ('q"', 0.5), ("", np.nan)), '"a,b",n\n"q""",0.5\n,nan\n'),
        (records([("f0", "i4"), ("f1", "i4")], (1, 2)), "f0,f1\n1,2\n"),
        (np.ones((0, 3)), None),
        (np.array([[2**64 - 1]], "uint64"), None),
        (records([("name", "U3"), ("city", "U4")], ("Ann", "Rome")), None),  # the names would be a row
        (records([("code", "U3"), ("n", "i8")], ("1", 2)), None),  # the text would be a number
        (records([("day", "M8[D]")], ("2020-01-01",)), None),
        (records([("z", "c8")], (1j,)), None),
    ],
)
def test_a_table_is_written_where_it_can_be_read_again(array: np.ndarray, text: str | None, cc: Run) -> None:
    np.save("made.npy", array)
    ok(cc("put", "made.npy", "x"))
    done = cc("get", "x", "x.csv")
    if text is None:
        assert (done.code, [*Path().glob("*.csv")]) == (1, [])
        assert done.err.endswith(": get it as .npy\n")
        return
    assert Path("x.csv").read_text() == text
    table, _ = FORMATS[".csv"].load(Path("x.csv"))
    assert repr(np.ravel(table).tolist()) == repr((array + 0 if array.dtype == bool else array).ravel().tolist())


@pytest.mark.skipif(not hasattr(getattr(np, "dtypes", None), "StringDType"), reason="numpy 2 has text of any width")
@pytest.mark.parametrize("kind", [".npy", ".npz", ".h5", ".mat", ".csv"])
def test_text_of_any_width_becomes_text_of_one(kind: str, cc: Run) -> None:
    import cottoncandy

    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    words = np.array(["a", "bcd", "", "ü"], np.dtypes.StringDType(na_object=None))
    value = records([("f0", "U3")], *[(word,) for word in words]) if kind == ".csv" else words
    cci.dict2cloud("tree", {"grp": {"words": value, "missing": np.where(words == "", None, words).astype(words.dtype)}})
    ok(cc("get", "tree/grp/words", f"words{kind}"))
    ok(cc("put", f"words{kind}", "again"))  # of a pickle nothing is read
    again = cci.download_raw_array("again" if not FORMATS[kind].holds_tree else "again/words")
    expected = np.array([*words], "U3")
    assert [word.rstrip() for word in np.ravel(again.astype("U3"))] == expected.tolist()
    failed = cc("get", "tree" if FORMATS[kind].holds_tree else "tree/grp/missing", f"missing{kind}")
    assert (failed.code, [*Path().glob("missing*")]) == (1, [])
    what = "leaf 'grp/missing'" if FORMATS[kind].holds_tree else ""
    assert failed.err.startswith(f"cottoncandy: missing{kind}: {what}")


def test_an_npz_file_holds_arrays_of_any_name(cc: Run) -> None:
    import cottoncandy

    tree = {name: np.arange(3) for name in ("allow_pickle", "args", "file", "kwds")}
    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    cci.dict2cloud("names", tree, verbose=False)
    ok(cc("get", "names", "names.npz"))
    with np.load("names.npz") as archive:
        assert {name: archive[name].tolist() for name in archive.files} == {name: [0, 1, 2] for name in tree}


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def write_zip(path: str, *members: tuple[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)


def test_an_npz_file_in_which_numpy_finds_one_array_for_another_is_not_written(cc: Run) -> None:
    import cottoncandy

    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    tree = {"grp": {"bold": np.arange(3), "bold.npy": -np.arange(3), "mask": np.ones(2)}}
    cci.dict2cloud("t", tree, verbose=False)
    failed = cc("get", "t", "t.npz")
    assert (failed.code, failed.out, [*Path().glob("t.*")]) == (1, "", [])
    said = "numpy would find one in the place of the other: rename 'grp/bold' and 'grp/bold.npy', or get them as .h5\n"
    assert failed.err == f"cottoncandy: t.npz: of two arrays in an .npz, one called as the file of the other, {said}"
    ok(cc("get", "t", "t.h5"))
    ok(cc("put", "t.h5", "again"))
    again = cci.cloud2dict("again", verbose=False)
    assert {name: leaf.tolist() for name, leaf in again["grp"].items()} == {
        name: leaf.tolist() for name, leaf in tree["grp"].items()
    }


def test_an_npz_file_of_somebody_else_is_read_by_the_names_of_its_members(cc: Run) -> None:
    import cottoncandy

    members = [("readme.txt", b"by hand"), ("grp/", b""), ("grp/bold.npy", npy(np.arange(3)))]
    write_zip("t.npz", *members, ("grp/bold.npy.npy", npy(-np.arange(3))), ("bare", npy(np.ones(2))))
    done = cc("put", "t.npz", "t")
    assert (done.code, done.err) == (0, "cottoncandy: t.npz: passed over, since they hold no arrays: 'readme.txt'\n")
    tree = cottoncandy.get_interface("store", backend="local", verbose=False).cloud2dict("t", verbose=False)
    assert {name: leaf.tolist() for name, leaf in tree["grp"].items()} == {"bold": [0, 1, 2], "bold.npy": [0, -1, -2]}
    assert (tree["bare"].tolist(), [*tree]) == ([1, 1], ["bare", "grp"])


OBJECTS, NUMBERS = npy(np.array([None])), npy(np.arange(3))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "made", "said"),
    [
        ("objects.npy", OBJECTS, ": it holds pickled Python objects: put the file as it is with --as file"),
        ("objects.npz", [("a/x.npy", OBJECTS)], ": leaf 'a/x': it holds pickled Python objects: put the file as it is"),
        ("cut.npy", NUMBERS[:-4], ": its .npy header tells of 152 bytes, and there are 148"),
        ("cut.npz", [("x.npy", NUMBERS[:-4])], ": leaf 'x': its .npy header tells of 152 bytes"),
        ("huge.npz", [("x.npy", NUMBERS.replace(b"(3,)", b"(9**15,)"))], ": leaf 'x': its .npy header "),
        ("zip.npy", [("x.npy", NUMBERS)], ": its .npy header is damaged: "),
        ("npy.npz", NUMBERS, ": BadZipFile: File is not a zip file"),
        ("absolute.npz", [("/abs.npy", NUMBERS)], ": leaf '/abs' has no name of an object: rename it"),
        ("none.npz", [(".npy", NUMBERS)], ": leaf '' has no name of an object: rename it"),
        ("end.npz", [("a/.npy", NUMBERS)], ": leaf 'a/' has no name of an object: rename it"),
        ("out.npz", [("../x.npy", NUMBERS)], ": leaf '../x' has no name of an object: rename it"),
        ("twice.npz", [("x.npy", NUMBERS), ("x.npy", NUMBERS)], ": 'x' is an array and a group at the same time: "),
        ("below.npz", [("x.npy", NUMBERS), ("x/y.npy", NUMBERS)], ": 'x' is an array, and 'x/y' is below it: "),
        *((f"empty{kind}", b"", "") for kind in FORMATS),
        *((f"junk{kind}", b"\0junk" * 200, "") for kind in FORMATS if kind != ".csv"),
    ],
)
def test_an_error_names_the_file_that_cannot_be_read(
    name: str, made: bytes | list[tuple[str, bytes]], said: str, cc: Run
) -> None:
    Path(name).write_bytes(made) if isinstance(made, bytes) else write_zip(name, *made)
    done = cc("put", name, "x")
    assert (done.code, done.out, [*Path("store").glob("*")]) == (1, "", [])
    assert done.err.startswith(f"cottoncandy: {name}{said}")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("kind", [".nii", ".nii.gz", ".mat", ".h5"])
def test_an_error_names_the_file_that_was_cut_off(kind: str, cc: Run) -> None:
    array = np.random.default_rng(0).normal(size=(9, 9, 9))
    path = Path(f"cut{kind}")
    FORMATS[kind].save(path, {"x": array} if FORMATS[kind].holds_tree else array, {})
    path.write_bytes(path.read_bytes()[:-4000])
    done = cc("put", str(path), "x")
    assert (done.code, done.out, [*Path("store").glob("*")]) == (1, "", [])
    assert done.err.startswith(f"cottoncandy: {path}")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("no room"), "MemoryError: {}: no room (--debug tells where)"),
        (OSError(errno.EIO, "Input/output error"), "{}: Input/output error"),
        (OSError("broken"), "{}: OSError: broken"),
        (KeyError("a"), "{}: KeyError: 'a'"),
    ],
)
def test_an_error_of_any_library_names_the_file(
    error: Exception, told: str, cc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise copy.copy(error)

    np.save("x.npy", np.arange(3))
    ok(cc("put", "x.npy", "x"))
    monkeypatch.setitem(FORMATS, ".npy", Format(fail, fail))  # type: ignore[arg-type]
    assert cc("put", "x.npy", "y").err == f"cottoncandy: {told.format('x.npy')}\n"
    failed = cc("get", "x", "back.npy")
    assert (failed.code, [*Path().glob("*back*"), *Path().glob(".cottoncandy-*")]) == (1, [])
    if isinstance(error, OSError) and error.errno:  # a disk's, which names the object as well
        told = f"{tmp_path}/{{}}: object 'x' in local container 'store' is not written: Input/output error"
    assert failed.err == f"cottoncandy: {told.format('back.npy')}\n"


@pytest.mark.filterwarnings("ignore:Using large vector Freesurfer hack")
@pytest.mark.parametrize("kind", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("shape", "held"),
    [
        *((shape, True) for shape in [(1,), (5, 1), (1, 5), (2, 3, 1), (2, 1, 1), (2, 3, 4, 1, 1), (1,) * 7, (32767,)]),
        *((shape, True) for shape in [(40000, 1, 1), (163842, 1, 1)]),  # of surfaces, as FreeSurfer has them
        *((shape, False) for shape in [(), (0,), (0, 3), (2, 0, 3), (1,) * 8, (2,) * 7 + (1,), (40000,), (1, 40000)]),
        ((27307, 1, 6), False),  # which nibabel takes for one of FreeSurfer's
    ],
)
def test_a_nifti_image_has_the_shape_of_its_array_or_is_not_written(
    kind: str, shape: tuple[int, ...], held: bool, cc: Run
) -> None:
    array = (np.arange(int(np.prod(shape))) % 1000 + 5).astype("i2").reshape(shape)
    np.save("x.npy", array)
    ok(cc("put", "x.npy", "x"))
    done = cc("get", "x", f"x{kind}")
    if held:
        back, _ = FORMATS[kind].load(Path(f"x{kind}"))
        assert (back.shape, back.tolist()) == (shape, array.tolist())
        return
    assert (done.code, done.out, [*Path().glob("*.nii*")]) == (1, "", [])
    assert done.err == (
        f"cottoncandy: x{kind}: a NIfTI image has 1 to 7 dimensions of 1 to 32767, and comes back with them; "
        f"this array is of shape {shape}: get it as .npy\n"
    )


@pytest.mark.parametrize("dtype", ["e", "S3", "U3", "V2", "M8[s]", [("a", "i4")]])
def test_a_nifti_image_of_what_it_does_not_hold_is_not_written(dtype: str, cc: Run) -> None:
    with pytest.raises(UnsupportedArray, match=r"^x\.nii: a NIfTI image holds no .*: get it as \.npy$"):
        FORMATS[".nii"].save(Path("x.nii"), np.zeros(3, dtype), {})


@pytest.mark.skipif(not hasattr(getattr(np, "dtypes", None), "StringDType"), reason="numpy 2 has text of any width")
def test_a_nifti_image_of_text_of_any_width_is_not_written(cc: Run) -> None:
    with pytest.raises(UnsupportedArray, match=r"^x\.nii: a NIfTI image holds no <U2: get it as \.npy$"):
        FORMATS[".nii"].save(Path("x.nii"), np.array(["ab"], np.dtypes.StringDType()), {})


@pytest.mark.parametrize("dtype", ["?", "i1", "i2", ">i4", "i8", "u1", "u2", "u4", ">u8", "f", ">d", "F", "D"])
def test_a_nifti_image_keeps_every_value(dtype: str, cc: Run) -> None:
    whole = np.dtype(dtype).kind in "iu" and np.iinfo(dtype)
    array = np.array([whole.min, 7, whole.max] if whole else [1 / 3, np.inf, 0], dtype)
    FORMATS[".nii"].save(Path("x.nii"), array, {})
    back, _ = FORMATS[".nii"].load(Path("x.nii"))
    assert (back.tolist(), back.dtype) == (array.tolist(), array.dtype.newbyteorder("=") if dtype != "?" else "u1")


@pytest.mark.parametrize("affine", ["mine", "[[1, 0], [0, 1]]", "5"])
def test_an_affine_that_is_none_is_named(affine: str, cc: Run) -> None:
    np.save("x.npy", np.arange(3))
    ok(cc("put", "x.npy", "x", "-m", f"affine={affine}"))
    failed = cc("get", "x", "x.nii")
    assert failed.err == f"cottoncandy: x.nii: its metadata 'affine' is no matrix of 4 x 4: {affine!r}\n"
    assert not [*Path().glob("*.nii")]


def test_a_mat_file_holds_the_whole_tree_or_is_not_written(cc: Run) -> None:
    import cottoncandy

    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    cci.dict2cloud("good", {**TREE, "b": {"c": TREE["b"], "x" * 63: np.ones((1, 1))}})
    ok(cc("get", "good", "good.mat"))
    ok(cc("put", "good.mat", "again"))
    again = cci.cloud2dict("again", verbose=False)
    assert [*again] == ["a", "b"]
    assert np.array_equal(again["b"]["c"]["c"], TREE["b"]["c"])  # type: ignore[call-overload]
    assert again["b"]["x" * 63].shape == (1, 1)

    leaf = np.ones(2)
    cci.dict2cloud("names", {"_hid": leaf, "fine": leaf, "grp": {"_x": leaf, "2y": leaf, "ж": leaf, "z" * 64: leaf}})
    cci.dict2cloud("dates", {"grp": {"day": np.array(["2020-01-01"], "M8[D]"), "x": leaf}})
    for name, said in [
        ("names", f"rename '_hid', 'grp/2y', 'grp/_x', 'grp/{'z' * 64}', 'grp/ж', or get it as .npz or .h5\n"),
        ("dates", "no dates and no spans of time, as 'grp/day': get it as .npz\n"),
    ]:
        failed = cc("get", name, "bad.mat")
        assert (failed.code, [*Path().glob("bad*")]) == (1, [])
        assert failed.err.startswith("cottoncandy: bad.mat: ")
        assert failed.err.endswith(said)


WIDE = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant


@pytest.mark.parametrize(
    ("leaf", "said"),
    [
        *((np.array([1], dtype) / 3, "numbers of more than 64 bits") for dtype in "gG" if WIDE),
        (np.zeros(2, "V2"), "records and no raw bytes"),
        (np.zeros(2, [("a", "i4")]), "records and no raw bytes"),
        (np.zeros((), [("a", "i4")]), "records and no raw bytes"),
        (np.array(["a\0b", "c"]), "text with a NUL"),
        (np.array([b"a\0b", b"c"]), "text with a NUL"),
        (np.array(["a\ud800"]), "text with half a character"),
        (np.array([b"a\xff"]), "text in bytes that are not ASCII"),
        (np.array(["", ""]), "text without a character"),
        (np.array(""), "text without a character"),
        (np.zeros((0, 3), "U2"), "text without a character"),
        (np.zeros((0, 3), "S2"), "text without a character"),
    ],
)
def test_what_a_mat_file_would_change_is_not_written(leaf: np.ndarray, said: str, cc: Run) -> None:
    import cottoncandy

    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    cci.dict2cloud("t", {"grp": {"bad": leaf, "fine": np.ones(2)}}, verbose=False)
    failed = cc("get", "t", "t.mat")
    assert (failed.code, failed.out, [*Path().glob("*.mat")]) == (1, "", [])
    assert failed.err.startswith(f"cottoncandy: t.mat: a .mat holds no {said}")
    assert failed.err.endswith(", as 'grp/bad': get it as .npz\n")
    ok(cc("get", "t", "t.npz"))
    ok(cc("get", "t/grp/bad", "bad.npy"))
    assert np.load("bad.npy").tobytes() == leaf.tobytes()


@pytest.mark.parametrize("dtype", ["?", "i1", ">i2", "i4", "i8", "u1", "u2", "u4", ">u8", "e", "f", "d", "F", "D"])
def test_a_mat_file_keeps_every_number(dtype: str, cc: Run) -> None:
    whole = np.dtype(dtype).kind in "iu" and np.iinfo(dtype)
    array = np.array([whole.min, 7, whole.max] if whole else [1 / 3, np.inf, 0], dtype)
    FORMATS[".mat"].save(Path("x.mat"), {"x": array}, {})
    assert FORMATS[".mat"].load(Path("x.mat"))[0]["x"].tolist() == [array.tolist()]


def test_a_mat_file_keeps_text_but_for_its_width(cc: Run) -> None:
    for text in (["a", "bcd"], ["", "ü😀"], [["日本", "b"], ["a\nb", ""]], [b"ab", b"c"]):
        FORMATS[".mat"].save(Path("x.mat"), {"x": np.array(text)}, {})
        back = FORMATS[".mat"].load(Path("x.mat"))[0]["x"]
        assert np.char.rstrip(back).tolist() == np.array(text).astype("U").tolist()


def test_a_mat_file_keeps_the_shape_of_what_has_no_items(cc: Run) -> None:
    for shape, back in {(0,): (1, 0), (0, 3): (0, 3), (2, 0): (2, 0)}.items():
        FORMATS[".mat"].save(Path("x.mat"), {"x": np.zeros(shape)}, {})
        assert FORMATS[".mat"].load(Path("x.mat"))[0]["x"].shape == back


@pytest.mark.parametrize("kind", sorted(kind for kind in FORMATS if FORMATS[kind].holds_tree))
def test_a_file_without_arrays_is_not_taken_for_stored(kind: str, cc: Run) -> None:
    FORMATS[kind].save(Path(f"x{kind}"), {}, {})
    assert cc("put", f"x{kind}", "x") == Done(1, "", f"cottoncandy: x{kind}: no arrays are in it\n")


def test_a_mat_file_with_what_is_no_array(cc: Run) -> None:
    from scipy import io

    io.savemat("cell.mat", {"s": {"c": np.array(["a", 1.0], dtype=object)}})
    failed = cc("put", "cell.mat", "x")
    assert (failed.code, Path("store/x").exists()) == (1, False)
    assert failed.err.startswith("cottoncandy: cell.mat: s.c is no array")


def test_an_hdf5_file_with_more_than_arrays(cc: Run) -> None:
    import cottoncandy

    h5py = pytest.importorskip("h5py")
    with h5py.File("more.h5", "w") as file:
        file["grp/x"] = np.arange(3)
        file["grp/text"] = np.array([["ü", "bc"]], object)
        file["word"] = "hello"
        file["grp/type"] = np.dtype("f8")
        file["grp/up"] = h5py.SoftLink("/")
        file["nothing"] = h5py.SoftLink("/nowhere")
        file["elsewhere"] = h5py.ExternalLink("no_such.h5", "/x")
    done = cc("put", "more.h5", "more")
    assert done.code == 0
    assert done.err == (
        "cottoncandy: more.h5: passed over, since they hold no arrays: 'elsewhere', 'grp/type', 'grp/up', 'nothing'\n"
    )
    tree = cottoncandy.get_interface("store", backend="local", verbose=False).cloud2dict("more", verbose=False)
    assert (tree["word"], tree["grp"]["text"].tolist(), [*tree["grp"]]) == ("hello", [["ü", "bc"]], ["text", "x"])
    assert tree["grp"]["text"].dtype == "U2"


def test_hdf5_of_what_no_array_is(cc: Run) -> None:
    import cottoncandy

    h5py = pytest.importorskip("h5py")
    made = {
        "references": lambda group: group.__setitem__("x", group.ref),
        "ragged": lambda group: group.create_dataset("x", (2,), h5py.vlen_dtype("i4")),
        "empty": lambda group: group.__setitem__("x", h5py.Empty("f8")),
        "bytes": lambda group: group.create_dataset("x", data=[b"\xff"], dtype=h5py.string_dtype()),
    }
    for name, make in made.items():
        with h5py.File(f"{name}.h5", "w") as file:
            make(file.create_group("grp"))
        failed = cc("put", f"{name}.h5", "x")
        assert (failed.code, Path("store/x").exists()) == (1, False)
        assert failed.err.startswith(f"cottoncandy: {name}.h5: grp/x ")
    cci = cottoncandy.get_interface("store", backend="local", verbose=False)
    cci.dict2cloud("dates", {"grp": {"day": np.array(["2020-01-01"], "M8[D]")}}, verbose=False)
    failed = cc("get", "dates", "bad.h5")
    assert (failed.code, [*Path().glob("bad*")]) == (1, [])
    assert failed.err.startswith("cottoncandy: bad.h5: leaf 'grp/day', of datetime64[D], is nothing that HDF5 holds")


@pytest.mark.parametrize("metadata", [{"DType": "<f8", "Compression": "False"}, {"dtype": "<f8", "shape": ""}])
def test_an_array_is_one_whatever_a_store_did_to_its_metadata(metadata: dict[str, str], cc: Run) -> None:
    """Some stores change the case of names, others lose what is empty, as the shape of a 0-d array."""
    import cottoncandy

    backend = cottoncandy.get_interface("store", backend="local", verbose=False).backend_interface
    backend.put("number", np.float64(2.5).tobytes(), metadata)
    ok(cc("get", "number"))
    assert np.load("number.npy") == 2.5


def test_an_array_goes_to_the_output_as_npy(cc: Run) -> None:
    array = np.zeros((2, 3), ">i2")
    np.save("bold.npy", array)
    ok(cc("put", "bold.npy", "bold"))
    ok(cc("put", "bold.npy", "bold.npy"))
    stored = Path("store/bold").read_bytes()
    for arguments, written in [
        (("bold", "-"), Path("bold.npy").read_bytes()),
        (("bold", "-", "--as", "array"), Path("bold.npy").read_bytes()),
        (("bold", "-", "--as", "file"), stored),
        (("bold.npy", "-"), Path("bold.npy").read_bytes()),
    ]:
        process = start("get", *arguments)
        assert process.communicate(timeout=30) == (written, b"")
        assert process.returncode == 0
    no_array = cc("get", "bold.npy", "-", "--as", "array")
    assert (no_array.code, no_array.out) == (1, "")


def test_what_get_writes_to_the_output_is_put_as_an_array_again(cc: Run) -> None:
    array = np.arange(6, dtype=">i2").reshape(2, 3)
    np.save("bold.npy", array)
    Path("bold.npy").rename("bold")
    assert ok(cc("put", "bold", "bold", "--as", "array")) == "put local://store/bold\n"
    with start("get", "bold", "-") as source, start("put", "-", "again", "--as", "array", stdin=source.stdout) as sink:
        assert sink.communicate(timeout=30) == (b"put local://store/again\n", b"")
    known = json.loads(ok(cc("info", "again", "--json")))
    assert known["array"] == ">i2 (2, 3)"
    assert ok(cc("get", "again", "x.npy")) == "got x.npy\n"
    assert Path("x.npy").read_bytes() == Path("bold").read_bytes()
    # of a pipe the size is not known before its end
    os.mkfifo("pipe")
    with start("put", "pipe", "piped", "--as", "array") as process:
        Path("pipe").write_bytes(Path("bold").read_bytes())
        assert process.communicate(timeout=30) == (b"put local://store/piped\n", b"")
    assert ok(cc("get", "piped", "y.npy")) == "got y.npy\n"
    assert np.array_equal(np.load("y.npy"), array)


def test_what_is_no_array_is_not_put_as_one(cc: Run) -> None:
    kinds = ".npy, .npz, .csv, .mat, .h5, .hdf5, .nii.gz, .nii"
    Path("notes.txt").write_text("slept well")
    np.save("bold.npy", np.arange(3))
    Path("bold.npy").rename("bold")
    for names in (["notes.txt", "x"], ["bold", "notes.txt", "x/"]):
        refused = cc("put", *names, "--as", "array")
        assert (refused.code, refused.out) == (2, "")
        said = " ".join(refused.err.split())
        assert f"notes.txt is no .npy file: without one of the extensions {kinds} it is read as .npy" in said
    for given in (b"slept well", b"", b"\x93NUMPY"):
        process = start("put", "-", "x", "--as", "array", stdin=subprocess.PIPE)
        out, errors = process.communicate(given, timeout=30)
        assert (process.returncode, out) == (1, b"")
        told = errors.decode()
        assert told.startswith("cottoncandy: the input: its .npy header is damaged: ")
        assert f"without one of the extensions {kinds} it is read as .npy" in told
    assert not Path("store/x").exists()


def test_r_of_put_is_about_directories_on_disk(cc: Run) -> None:
    shown = " ".join(ok(cc("put", "--help")).split())
    assert "--recursive Directories on disk, with all that is below them." in shown
    assert "All objects below the name" not in shown


def test_a_tree_of_nothing_prints_its_error_alone(cc: Run) -> None:
    Path("store").mkdir()
    for options in ([], ["-L", "1"]):
        done = cc("tree", "nothing", *options)
        assert (done.code, done.out) == (1, "")
        assert "nothing is below this name" in done.err


def test_the_output_takes_one_object(cc: Run) -> None:
    for name in ("a.txt", "b.txt"):
        Path(name).write_text(name)
    ok(cc("put", "a.txt", "b.txt", "t/"))
    for names in (("t/*.txt",), ("t/a.txt", "t/b.txt"), ("-r", "t"), ("-n", "t/a*")):
        done = cc("get", *names, "-")
        assert (done.code, done.out, Path("-").exists()) == (2, "", False)
        assert "get several into a directory" in " ".join(done.err.split())
    assert ok(cc("get", "-n", "t/a.txt", "-")) == "would get local://store/t/a.txt to -\n"
    assert ok(cc("get", "t/a.txt", "-", "--no-clobber")) == "a.txt"
    assert ok(cc("get", "t/a.txt", "./-")) == "got -\n"  # a file, as elsewhere
    assert Path("-").read_text() == "a.txt"


def test_the_input_is_read_whatever_is_called_so(cc: Run) -> None:
    Path("-").mkdir()
    process = start("put", "-", "x", stdin=subprocess.PIPE)
    assert process.communicate(b"given", timeout=30) == (b"put local://store/x\n", b"")
    assert Path("store/x").read_bytes() == b"given"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of another kind")
def test_an_input_that_does_not_block_is_read_to_its_end(cc: Run) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)  # as node, asyncio and ssh leave them
    with start("put", "-", "x", stdin=reading) as process:
        while not os.get_blocking(reading) and process.poll() is None:  # it looks before anything is there
            time.sleep(0.01)
        os.close(reading)
        os.write(writing, b"given")
        os.close(writing)
        assert process.communicate(timeout=30) == (b"put local://store/x\n", b"")
    assert Path("store/x").read_bytes() == b"given"


@pytest.mark.stores("moto")
def test_a_bucket_ends_at_the_first_slash(store: Store, s3: Run) -> None:
    Path("x").write_text("x")
    for command in (("put", "x"), ("ls",), ("rm", "-r")):
        done = s3(*command[:1], *command[1:], f"s3://{store.container}/sub01//x")
        assert (done.code, done.out) == (1, "")
        assert f"bucket '{store.container}/sub01' does not exist" in done.err
        assert done.err.endswith("; it is what stands before //: write a / in a name once\n")


@pytest.mark.stores("moto")
def test_get_of_a_directory_with_names_that_are_no_files(store: Store, s3: Run) -> None:
    for name in ("mark/", "mark/x", "mark/sub/", "mark/sub/y", "double/a//b", "double/ok", "O", "O/a"):
        store.raw.put(name, name.encode())
    ok(s3("get", "-r", "mark", "mark"))
    ok(s3("get", "-r", "ma*", "again"))
    for folder in ("mark", "again/mark"):
        assert {str(path): path.read_text() for path in Path(folder).rglob("*") if path.is_file()} == {
            f"{folder}/x": "mark/x",
            f"{folder}/sub/y": "mark/sub/y",
        }
    done = s3("get", "-r", "double", "double")
    assert (done.code, done.out, [*Path("double").rglob("*")]) == (1, "got double/ok\n", [Path("double/ok")])
    assert "object 'double/a//b'" in done.err
    ok(s3("get", "-r", "O", "both"))
    assert {path.name: path.read_text() for path in Path("both").iterdir()} == {"O": "O", "a": "O/a"}


@pytest.mark.parametrize("options", [[], ["-n"]])
@pytest.mark.parametrize(
    ("source", "lost"),
    [
        ("x.npy", "threads compression acl object_name array self"),
        ("x.npz", "threads compression acl object_name array_dict verbose"),
        ("-", "threads acl body object_name"),
    ],
)
def test_metadata_that_would_not_be_stored_is_refused(source: str, lost: str, options: list[str], cc: Run) -> None:
    np.save("x.npy", np.arange(3))
    np.savez("x.npz", a=np.arange(3))
    for key in lost.split():
        done = cc("put", source, "name", "-m", "scanner=3T", "-m", f"{key}=2", *options)
        assert (done.code, done.out, Path("store").exists()) == (2, "", False)
        assert f"metadata of 'name' cannot be called {key}" in " ".join(done.err.split())


def test_metadata_of_any_other_name_is_stored(cc: Run) -> None:
    np.save("x.npy", np.arange(3))
    ok(cc("put", "x.npy", "array", "-m", "verbose=1", "-m", "body=b"))
    ok(cc("put", "--as", "file", "x.npy", "file", "-m", "threads=2", "-m", "acl=x"))
    assert json.loads(ok(cc("info", "array", "--json")))["metadata"].items() >= {"verbose": "1", "body": "b"}.items()
    assert json.loads(ok(cc("info", "file", "--json")))["metadata"].items() >= {"threads": "2", "acl": "x"}.items()


@pytest.mark.parametrize("kind", [*FORMATS])
def test_an_extension_is_one_in_capitals_too(kind: str, cc: Run) -> None:
    array = np.arange(6.0).reshape(2, 3)
    np.save("x.npy", array)
    ok(cc("put", "x.npy", "x"))
    for called in (f"BIG{kind.upper()}", f"Big{kind.title()}"):
        assert ok(cc("get", "x", called)) == f"got {called}\n"
        if called.startswith("Big.Nii"):  # nibabel reads all capitals or none
            assert cc("put", called, "nii").err.endswith("write its extension small\n")
            Path(called).rename(called := called.lower())
        ok(cc("put", called, f"back/{kind}/{called[:3]}"))
        ok(cc("get", f"back/{kind}/{called[:3]}" + (f"/{called[:3]}" if FORMATS[kind].holds_tree else ""), "back.npy"))
        assert np.array_equal(np.load("back.npy"), array)
        Path(called).unlink()
    assert sorted(path.name for path in Path().iterdir()) == ["back.npy", "store", "x.npy"]


def test_a_long_name_with_a_dot_in_it_is_a_files(cc: Run) -> None:
    np.save("x.npy", np.arange(3))
    ok(cc("put", "x.npy", "x"))
    name = f"v.{'a' * 245}.npy"
    assert ok(cc("get", "x", name)) == f"got {name}\n"
    assert np.load(name).tolist() == [0, 1, 2]


# ---------------------------------------------------------------------- arrays of several objects
@pytest.fixture
def cci(cc: Run) -> DefaultInterface:
    """The store of the commands, from Python."""
    return cottoncandy.get_interface("store", backend="local", verbose=False)


_RECORDS = np.array([(1, 2.5), (3, 4.5)], [("number", ">i4"), ("value", "<f8")])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1000.0).reshape(10, 100),
        np.arange(24, dtype=">i2").reshape(2, 3, 4),
        _RECORDS,
        np.array(["one", "three"]),
        np.array(7.5),
        np.zeros((0, 3)),
    ],
    ids=["floats", "big-endian", "records", "text", "0-d", "empty"],
)
def test_an_array_in_chunks_is_written_as_an_array(array: np.ndarray, cc: Run, cci: DefaultInterface) -> None:
    cci.upload_dask_array("series", array, axis=-1 if array.ndim else None, buffersize=max(16, array.nbytes // 4))
    np.save("expected.npy", array)
    expected = Path("expected.npy").read_bytes()
    assert ok(cc("get", "series", "whole.npy")) == "got whole.npy\n"
    assert ok(cc("get", "series")) == "got series.npy\n"
    assert ok(cc("get", "series", "in/")) == "got in/series.npy\n"
    assert {Path(name).read_bytes() for name in ("whole.npy", "series.npy", "in/series.npy")} == {expected}
    assert start("get", "series", "-").communicate(timeout=60) == (expected, b"")
    assert ok(cc("get", "series", "s.npz", "--as", "array")) == "got s.npz\n"
    with np.load("s.npz") as archive:
        assert archive.files == ["s"]
        assert archive["s"].dtype == array.dtype
        assert np.array_equal(archive["s"], array)


def test_an_array_in_chunks_is_written_in_any_format(cc: Run, cci: DefaultInterface) -> None:
    array = np.arange(24.0).reshape(6, 4)
    cci.upload_dask_array("series", array, axis=0, buffersize=64)
    for kind in FORMATS:
        ok(cc("get", "series", f"s{kind}"))
        ok(cc("put", f"s{kind}", f"back/{kind[1:]}"))
        name = f"back/{kind[1:]}" + ("/s" if FORMATS[kind].holds_tree else "")
        assert np.array_equal(cci.download_raw_array(name), array), kind


def test_an_array_in_chunks_is_read_chunk_by_chunk(cc: Run, cci: DefaultInterface) -> None:
    array = np.random.default_rng(0).standard_normal((64, 2**17))  # 64 MiB
    cci.upload_dask_array("series", array, axis=0, buffersize=2**20, compression=False)
    cc("get", "nothing", "x.npy")  # imports all that it takes
    tracemalloc.start()
    try:
        ok(cc("get", "series", "s.npy"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(np.load("s.npy", mmap_mode="r"), array)
    assert most < 16 * 2**20


@pytest.mark.parametrize("kind", [".npy", ".npz", ".csv"])
def test_a_chunk_that_is_missing_is_an_error(kind: str, cc: Run, cci: DefaultInterface) -> None:
    cci.upload_dask_array("series", np.arange(40.0).reshape(4, 10), axis=0, buffersize=80)
    cci.rm("series/pt0001")
    Path(f"s{kind}").write_text("mine")
    done = cc("get", "series", f"s{kind}")
    assert (done.code, done.out) == (1, "")
    assert "object 'series/pt0001' does not exist" in done.err
    assert Path(f"s{kind}").read_text() == "mine"
    assert sorted(path.name for path in Path().iterdir()) == [f"s{kind}", "store"]
    # with -r it is its objects, of which these are there
    assert ok(cc("get", "-r", "series", "objects")) == "got 4 to objects\n"
    assert sorted(path.name for path in Path("objects").iterdir()) == [
        *("metadata.json", "pt0000.npy", "pt0002.npy", "pt0003.npy")
    ]


def test_an_array_in_chunks_that_the_disk_has_no_room_for(cc: Run, cci: DefaultInterface) -> None:
    cci.upload_dask_array("series", np.zeros((4, 1000)), axis=0, buffersize=8000)
    Path("s.npy").write_text("mine")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        done = cc("get", "series", "s.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("s.npy: object 'series' in local container 'store' is not written: File too large\n")
    assert Path("s.npy").read_text() == "mine"
    assert sorted(path.name for path in Path().iterdir()) == ["s.npy", "store"]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia"])
def test_a_sparse_array_is_written_as_scipy_does(kind: str, cc: Run, cci: DefaultInterface) -> None:
    array = scipy.sparse.random_array((20, 30), density=0.1, format=kind, rng=np.random.default_rng(0))
    cci.upload_sparse_array("sub/design", array)
    assert ok(cc("get", "sub/design", "d.npz")) == "got d.npz\n"
    assert ok(cc("get", "sub/design")) == "got design.npz\n"
    for name in ("d.npz", "design.npz"):
        back = scipy.sparse.load_npz(name)
        assert (type(back), back.shape, back.dtype) == (type(array), array.shape, array.dtype)
        assert np.array_equal(back.toarray(), array.toarray())


def test_a_masked_array_is_written_as_its_parts(cc: Run, cci: DefaultInterface) -> None:
    array = np.ma.masked_greater(np.array([[1, 9], [3, 4]], np.int16), 5)
    array.fill_value = -1
    cci.upload_masked_array("bold", array)
    for name in ("b.npz", "bold.npz"):
        assert ok(cc("get", "bold", *([name] if name == "b.npz" else []))) == f"got {name}\n"
        with np.load(name) as archive:
            found = {part: archive[part] for part in archive.files}
        assert {part: value.dtype for part, value in found.items()} == {"data": "i2", "mask": bool, "fill_value": "i2"}
        assert (found["mask"].tolist(), found["fill_value"][()]) == ([[False, True], [False, False]], -1)
        assert np.array_equal(np.ma.MaskedArray(found["data"], found["mask"]), array)
    ok(cc("get", "bold", "b.h5"))
    ok(cc("put", "b.h5", "back"))
    assert sorted(cci.cloud2dict("back", verbose=False)) == ["data", "fill_value", "mask"]


def test_what_a_file_of_this_kind_does_not_hold_is_read_from_python(cc: Run, cci: DefaultInterface) -> None:
    cci.upload_sparse_array("design", scipy.sparse.eye_array(3, format="csr"))
    cci.upload_masked_array("masked", np.ma.masked_greater([1.0, 9], 5))
    trees = ".npz, .mat, .h5, .hdf5"
    for name, to, told in [
        ("design", "d.npy", "(sparse array) goes to .npz, and to no .npy; in Python, download_sparse_array reads"),
        ("design", "-", "(sparse array) goes to .npz, and to no .npy; in Python, download_sparse_array reads"),
        ("masked", "m.csv", f"(masked array) goes to {trees}, and to no .csv; in Python, download_masked_array reads"),
        ("masked", "-", f"(masked array) goes to {trees}, and to no .npy; in Python, download_masked_array reads"),
    ]:
        done = cc("get", name, to)
        assert (done.code, done.out) == (1, "")
        assert done.err == f"cottoncandy: '{name}' {told} what is below that name\n"
    for name in ("design", "masked"):
        done = cc("get", name, "x.npz", "--as", "file")
        assert done.code == 1
        assert "is a directory: get it with -r" in done.err
    assert [path.name for path in Path().iterdir()] == ["store"]


def test_a_tree_with_a_file_that_is_called_as_a_table_is_a_tree(cc: Run, cci: DefaultInterface) -> None:
    for text in ("{}", "no JSON", '{"type": "notes"}', "[" * 10_000):
        cci.dict2cloud("tree", {"data": np.arange(3), "pt0000": np.arange(4)}, verbose=False)
        cci.upload_object("tree/metadata.json", text)
        assert cc("get", "tree", "t.npz").code == 0
        with np.load("t.npz") as archive:
            assert sorted(archive.files) == ["data", "pt0000"]
        done = cc("get", "tree", "t.npy")
        assert "'tree' is a directory: get it with -r, or its arrays to a .npz, .mat or .h5" in done.err
        assert json.loads(ok(cc("info", "tree", "--json"))).keys() == {"place", "type", "objects", "size"}


def test_info_tells_what_array_the_objects_are(cc: Run, cci: DefaultInterface) -> None:
    cci.upload_dask_array("series", np.zeros((10, 100), ">f4"), axis=-1, buffersize=1000)
    cci.upload_sparse_array("design", scipy.sparse.eye_array(5, 6, format="csc"))
    cci.upload_masked_array("masked", np.ma.masked_greater([1.0, 9], 5))
    for name, facts in {
        "series": {"kind": "array in chunks", "array": ">f4 (10, 100)", "chunks": 4, "read_by": "download_dask_array"},
        "design": {"kind": "sparse array", "array": "csc (5, 6)", "read_by": "download_sparse_array"},
        "masked": {"kind": "masked array", "array": "masked (2,)", "read_by": "download_masked_array"},
    }.items():
        known = json.loads(ok(cc("info", name, "--json")))
        assert known.pop("type") == "directory"
        assert facts.items() <= known.items()
        assert known.keys() == {"place", "objects", "size", *facts}
    cci.upload_object("series/metadata.json", '{"chunks": [[1]], "dask": [], "shape": [2]}')
    broken = json.loads(ok(cc("info", "series", "--json")))
    assert "the chunks do not make up the shape" in broken["array_error"]


def test_what_is_below_a_name_costs_a_request_only_where_a_table_is(
    recorded: Recorded, cc: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, proxy = recorded
    store.give_keys(monkeypatch)
    cci = store.interface()
    cci.upload_raw_array("plain", np.arange(5.0))
    cci.dict2cloud("tree", {"a": np.arange(3), "g": {"b": np.arange(4)}}, verbose=False)
    cci.upload_dask_array("series", np.arange(40.0).reshape(4, 10), axis=0, buffersize=160)

    def asked(*arguments: str) -> list[str]:
        proxy.clear()
        ok(cc(arguments[0], *on_server(store), *arguments[1:]))
        last = [request.path.partition("?")[0].removeprefix(f"/{store.container}") for request in proxy.requests]
        return sorted(f"{request.method} {name}" for request, name in zip(proxy.requests, last, strict=True))

    assert asked("get", "plain", "p.npy") == ["GET /plain", "HEAD ", "HEAD /plain"]
    # two listings: what is below the name, and the tree's own
    assert asked("get", "tree", "t.npz") == ["GET ", "GET ", "GET /tree/a", "GET /tree/g/b", "HEAD ", "HEAD /tree"]
    assert asked("info", "tree") == ["GET ", "HEAD ", "HEAD /tree"]
    table, chunks = "GET /series/metadata.json", ["GET /series/pt0000", "GET /series/pt0001"]
    assert asked("info", "series") == ["GET ", table, "HEAD ", "HEAD /series"]
    assert asked("get", "series", "s.npy") == ["GET ", table, table, *chunks, "HEAD ", "HEAD /series"]


def test_npy_is_appended_to_a_name_of_no_known_extension(cc: Run) -> None:
    np.save("x.npy", np.arange(3))
    ok(cc("put", "x.npy", "x"))
    for name in ("out", "out.xyz", "sub-01_v1.2"):
        assert ok(cc("get", "x", name)) == f"got {name}.npy\n"
        assert np.load(f"{name}.npy").tolist() == [0, 1, 2]
    shown = " ".join(ok(cc("get", "--help")).split())
    assert "To a name with none of these, .npy is appended" in shown


# ---------------------------------------------------------------------- what is left alone
@pytest.mark.parametrize("kind", [".npy", *sorted(kind for kind in FORMATS if FORMATS[kind].holds_tree)])
def test_a_file_is_not_replaced_by_what_is_not_there(kind: str, cc: Run) -> None:
    Path(f"mine{kind}").write_text("mine")
    ok(cc("put", "--as", "file", f"mine{kind}", "plain/file.txt"))
    for arguments, said in [
        (("get", "typo", f"mine{kind}"), "does not exist"),
        (("get", "typo", f"mine{kind}", "-n"), "does not exist"),
        (("get", "plain", f"mine{kind}"), "is a directory" if kind == ".npy" else "no arrays are below this name"),
    ]:
        done = cc(*arguments)
        assert (done.code, done.out) == (1, "")
        assert said in done.err
    assert Path(f"mine{kind}").read_text() == "mine"
    assert not list(Path().glob(".cottoncandy-*"))


def test_a_pattern_stops_at_a_slash_and_takes_directories_with_r_only(cc: Run) -> None:
    def stored() -> list[str]:
        return ok(cc("ls", "-r")).split()

    Path("x").write_text("x")
    for name in ("sub01", "sub02/bold", "sub03/run[1]/bold", "sub03/run1/bold", "other"):
        ok(cc("put", "--as", "file", "x", name))
    before = stored()
    only_directories = cc("rm", "sub*/r*", "--yes")
    assert (only_directories.code, only_directories.out) == (1, "")
    assert "local://store/sub03/run1 is a directory: use -r" in only_directories.err
    for action in (("cp",), ("get",)):
        refused = cc(*action, "sub0[23]", "out")
        assert (refused.code, refused.out) == (1, "")
        assert "only directories match it: use -r" in refused.err
    assert "no match" in cc("rm", "sub*/typo").err
    assert (stored(), Path("out").exists()) == (before, False)

    ok(cc("get", "sub*", "out"))
    assert [path.name for path in Path("out").rglob("*")] == ["sub01"]
    ok(cc("get", "-r", "sub0[23]", "branches"))
    assert sorted(str(path) for path in Path("branches").rglob("bold")) == [
        *("branches/sub02/bold", "branches/sub03/run1/bold", "branches/sub03/run[1]/bold"),
    ]
    objects_go = cc("rm", "sub*")
    assert (objects_go.code, objects_go.out) == (1, "deleted 1 object\n")
    assert "local://store/sub02 is a directory: use -r" in objects_go.err
    assert stored() == [name for name in before if name != "sub01"]
    assert ok(cc("rm", "-r", "sub03/run[[]*")) == "deleted 1 object\n"
    assert ok(cc("rm", "-r", "sub*", "-n")).split()[2::3] == [
        "local://store/sub02/bold",
        "local://store/sub03/run1/bold",
    ]
    assert cc("rm", "-r", "*").code == 2  # the whole bucket, and nobody to ask
    assert ok(cc("rm", "-r", "sub*")) == "deleted 2 objects\n"
    assert stored() == ["other"]


@pytest.fixture
def full(cc: Run) -> Callable[[], dict[str, str]]:
    """Files in the store and on disk; what there is of them now."""
    for name in ("x", "sub/x", "here/x", "mine/kept"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"disk {name}")
        if not name.startswith(("here", "mine")):
            Path("other").write_text(f"store {name}")
            ok(cc("put", "other", name))
    Path("other").unlink()
    return lambda: {str(path): path.read_text() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "name",
    [
        *("/", "//", "*", "/*", "**", "?*", "local://store", "local://store/", "cottoncandy:///"),
        *("[!.]*", "[a-z]*", "[!]]*"),
    ],
)
def test_a_bucket_is_emptied_where_that_is_said(name: str, full: Callable[[], dict[str, str]], cc: Run) -> None:
    before = full()
    refused = cc("rm", "-r", name)
    assert (refused.code, refused.out) == (2, "")
    assert "this would empty the bucket: say --yes" in " ".join(refused.err.split())
    assert full() == before
    ok(cc("rm", "-r", name, "--yes"))
    assert ok(cc("ls")) == ""


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [(b"n\n", 1, "nothing is removed\n"), (b"\n", 1, "nothing is removed\n"), (b"y\n", 0, "")],
)
def test_rm_asks_who_is_at_a_terminal(full: Callable[[], dict[str, str]], answer: bytes, code: int, told: str) -> None:
    before = full()
    terminal, other_end = os.openpty()
    os.write(terminal, answer)
    process = start("rm", "-r", "sub", "--quiet", stdin=other_end, stderr=subprocess.PIPE)
    asked, errors = (said.decode() for said in process.communicate(timeout=60))
    os.close(other_end)
    os.close(terminal)
    assert (process.returncode, errors) == (code, told)
    assert asked.strip() == "Delete 1 objects below local://store/sub? [y/N]:"
    assert [*full()] == [name for name in before if code or not name.startswith("store/sub/")]


def test_what_is_typed_ends_with_one_ctrl_d(cc: Run) -> None:
    for typed in (b"hello\nworld\n\x04", b"\x04", b"no line break\x04\x04"):
        terminal, other_end = os.openpty()
        os.write(terminal, typed)
        process = start("put", "-", "typed", stdin=other_end)
        os.close(other_end)
        assert process.communicate(timeout=30)[0] == b"put local://store/typed\n"
        os.close(terminal)
        assert ok(cc("get", "typed", "-")).encode() == typed.strip(b"\x04")


def test_a_pattern_with_a_letter_of_a_name_is_removed_without_asking(cc: Run) -> None:
    for name in ("sub01", "sub[2"):
        Path(name).write_text("x")
        ok(cc("put", name, "/"))
    ok(cc("rm", "-r", "[s]ub0*"))
    assert ok(cc("ls")) == "sub[2\n"


@pytest.mark.parametrize(
    "command",
    [
        *("rm -r --yes|", "rm -r|", "rm -r -n|", "rm -r --yes|sub|"),
        *("sync --delete||cottoncandy:///sub", "sync||cottoncandy:///sub", "sync --delete|cottoncandy:///sub|"),
        *("mv -f|sub/x|", "mv -rf||sub", "cp -f|sub/x|", "cp -rf||sub", "put|here/x|", "put -r||sub", "put||sub"),
        *("get|sub/x|", "get -r||mine", "rm|x|", "clean-uploads --older-than 0|"),
    ],
)
def test_nothing_is_destroyed_where_a_variable_is_not_set(
    command: str, full: Callable[[], dict[str, str]], cc: Run
) -> None:
    words, *names = command.split("|")
    before = full()
    refused = cc(*words.split(), *names)
    assert (refused.code, refused.out) == (2, "")
    assert "as where a variable is not set" in " ".join(refused.err.split())
    assert full() == before


def test_a_whole_bucket_is_mirrored(full: Callable[[], dict[str, str]], cc: Run) -> None:
    ok(cc("sync", "cottoncandy:///", "mine", "--delete", "-q"))
    assert sorted(str(path) for path in Path("mine").rglob("*")) == ["mine/sub", "mine/sub/x", "mine/x"]
    ok(cc("sync", "here", "local://store", "-q"))
    assert ok(cc("ls", "-r")).split() == ["sub/x", "x"]
    ok(cc("sync", "here", "local://store", "-q", "--delete"))
    assert ok(cc("ls", "-r")).split() == ["x"]
    ok(cc("mv", "x", "a/x"))
    ok(cc("mv", "a/x", "/"))  # to the root, which is said
    assert ok(cc("ls", "-r")).split() == ["x"]
    assert ok(cc("clean-uploads")) == "no uploads were left\n"


def test_of_several_with_one_base_name_none_is_lost(cc: Run) -> None:
    for name in ("s1/x", "s2/x", "s2/y", "s3/t.npy", "s3/t.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
        ok(cc("put", "--as", "file", name, name))
    listed = ok(cc("ls", "-r"))
    for arguments, target in [
        (("put", "s1/x", "s2/x", "all/"), "local://store/all/x"),
        (("put", "s1/x", "s2/x", "all/", "-n"), "local://store/all/x"),
        (("put", "-r", "s1", "s2", "all/"), "local://store/all/x"),
        (("put", "--as", "array", "s3/t.npy", "s3/t.csv", "all/"), "local://store/all/t"),
        (("mv", "-f", "s?/x", "all/"), "local://store/all/x"),
        (("cp", "-f", "s1/x", "s2/x", "all/"), "local://store/all/x"),
        (("cp", "s1/x", "s2/x", "local://elsewhere/all/"), "local://elsewhere/all/x"),
        (("get", "s1/x", "s2/x", "all"), "all/x"),
    ]:
        done = cc(*arguments)
        assert (done.code, done.out) == (1, "")
        assert f"would both be written to {target}: {arguments[0]} one at a time" in done.err
    assert (ok(cc("ls", "-r")), Path("all").exists()) == (listed, False)
    assert ok(cc("mv", "s2/x", "s2/*", "all/")).count("mv ") == 2  # named twice, it is one
    assert ok(cc("ls", "all")).split() == ["all/x", "all/y"]


@pytest.mark.stores("moto")
def test_of_an_object_and_a_directory_of_one_name_none_is_lost(store: Store, s3: Run) -> None:
    def stored() -> dict[str, bytes]:
        return {key: store.raw.get(key)[0] for key in store.raw.keys("")}

    both = {"O": b"0", "O/a": b"1", "O/b": b"2"}
    for name, body in both.items():
        store.raw.put(name, body)
    ok(s3("cp", "-r", "O", "P"))
    ok(s3("cp", "O", "alone"))
    ok(s3("cp", "-r", "O/", "branch"))
    copied = {"alone": b"0", "branch/a": b"1", "branch/b": b"2", "P": b"0", "P/a": b"1", "P/b": b"2"}
    assert stored() == both | copied
    ok(s3("rm", "-r", "alone", "branch", "P"))
    ok(s3("mv", "-r", "O*", "in/"))
    assert stored() == {f"in/{name}": body for name, body in both.items()}


# ---------------------------------------------------------------------- how it ends
def test_it_fails_in_one_line(cc: Run) -> None:
    Path("store").mkdir()
    for arguments, code, said in [
        (("ls", "nothing"), 1, "local://store/nothing: nothing has this name"),
        (("info", "nothing"), 1, "does not exist"),
        (("get", "nothing"), 1, "does not exist"),
        (("get", "local://nowhere/x"), 1, "does not exist"),
        (("put", "nothing", "x"), 1, "nothing does not exist"),
        (("ls", "../etc"), 1, "'..'"),
        (("ls", "ftp://host/x"), 1, "no backend 'ftp'"),
        (("config", "basic.no_such"), 1, "there is no option"),
        (("put", "x"), 2, "where to put"),
        (("rm",), 2, "Missing argument"),
        (("bogus",), 2, "No such command"),
        (("cp", "a", "s3://bucket/x"), 2, "inside of one store"),
    ]:
        done = cc(*arguments)
        assert (done.code, done.out) == (code, ""), arguments
        assert said in done.err, arguments
        assert "Traceback" not in done.err
        assert code == 2 or done.err.count("\n") == 1
    assert not Path("nowhere").exists()
    assert "Traceback" in cc("info", "nothing", "--debug").err


def test_keys_are_not_told(cc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_LOGIN_ACCESS_KEY", "AKIASECRET")
    monkeypatch.setenv("COTTONCANDY_LOGIN_SECRET_KEY", "verysecret")
    done = cc("ls", "s3://bucket/x", "--endpoint-url", "http://127.0.0.1:9", "--debug")
    assert done.code == 1
    assert "no connection to http://127.0.0.1:9" in done.err
    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY", "verysecret")
    listed = cc("config", "--json")
    assert [json.loads(listed.out)[f"{name}_key"]["value"] for name in ("login.access", "login.secret")] == ["***"] * 2
    assert "verysecret" not in ok(cc("config"))
    assert ok(cc("config", "encryption.key")) == "***\n"
    assert "secret" not in (done.out + done.err + listed.err).lower().replace("secret_key", "")
    assert "verysecret" not in listed.out


def test_config(cc: Run) -> None:
    path = Path(ok(cc("config", "--path")).strip())
    assert ok(cc("config", "basic.threads")) == "4\n"
    ok(cc("config", "basic.threads", "7"))
    ok(cc("config", "basic.threads", "9"))
    ok(cc("config", "basic.default_bucket", "100% mine"))
    assert (ok(cc("config", "basic.threads")), ok(cc("config", "basic.default_bucket"))) == ("9\n", "100% mine\n")
    assert path.stat().st_mode & 0o777 == 0o600
    for option, value, said in [
        ("basic.threads", "many", "give a number above 0"),
        ("basic.lean_wire", "perhaps", "give True or False"),
        ("basic.thread", "8", "near is basic.threads"),
        ("progress.show", "maybe", "give True or False or auto"),
        ("compression.small_array", "foo", "foo"),
        ("compression.large_array", "True", "True"),
    ]:
        refused = cc("config", option, value)
        assert (refused.code, refused.out) == (1, "")
        assert said in refused.err
    for option, value in [
        *(("progress.show", "auto"), ("progress.show", "False")),
        *(("compression.small_array", "zstd-blocks"), ("compression.large_array", "None")),
    ]:
        ok(cc("config", option, value))
    assert path.read_text().count("\nthreads = 9\n") == 1
    assert "# Connections of one call" in path.read_text()
    path.write_text("[login]\naccess_key = x")
    ok(cc("config", "basic.threads", "5"))
    assert path.read_text() == "[login]\naccess_key = x\n\n[basic]\nthreads = 5\n"


@pytest.mark.stores("moto")
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"shape": "3,x"}, "'3,x' is no shape"),
        ({"dtype": "nonsense"}, "nonsense"),
        ({"shape": "7"}, "it holds 12"),
        ({"compression": "NoSuchCodec"}, "NoSuchCodec"),
    ],
)
def test_info_of_an_array_with_broken_metadata(store: Store, s3: Run, broken: dict[str, str], said: str) -> None:
    metadata = {"dtype": "<f4", "shape": "3", "order": "C", **broken}
    store.raw.put("a/broken", bytes(12), metadata)
    told = json.loads(ok(s3("info", "a/broken", "--json")))
    assert (told["type"], told["size"], told["metadata"]) == ("object", 12, metadata)
    assert "array" not in told
    assert said in told["array_error"]
    assert f"object 'a/broken' in bucket '{store.container}'" in told["array_error"]
    assert f"array error    {told['array_error']}\n" in ok(s3("info", "a/broken"))


def test_advice_for_python_is_what_the_library_says() -> None:
    """What is replaced in errors has to be in them, letter by letter."""
    said = {
        node.value
        for path in (ROOT / "cottoncandy").rglob("*.py")
        if path.name != "app.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for advice in _ADVICE:
        assert any(advice in text for text in said), advice


@pytest.fixture
def options_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's file, which is not there yet."""
    monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", str(tmp_path / "own.cfg"))
    return tmp_path / "own.cfg"


@pytest.mark.parametrize("option", ["login.secret_key", "login.access_key", "encryption.key"])
def test_config_keeps_keys_from_others(cc: Run, options_file: Path, option: str) -> None:
    options_file.write_text("[basic]\nthreads = 4\n")
    options_file.chmod(0o644)
    ok(cc("config", "basic.threads", "5"))
    assert options_file.stat().st_mode & 0o777 == 0o644
    ok(cc("config", option, "verysecret"))
    assert "verysecret" in options_file.read_text()
    assert options_file.stat().st_mode & 0o777 == 0o600
    options_file.chmod(0o644)  # a key is in it, whatever is set
    assert cc("config", "basic.threads", "6").code == 0
    assert options_file.stat().st_mode & 0o777 == 0o600


def test_config_writes_to_files_only(cc: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").chmod(0o666)
    for path in (Path("/dev/null"), tmp_path / "pipe", tmp_path):
        monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", str(path))
        before = path.stat().st_mode
        refused = cc("config", "basic.threads", "4")
        assert (refused.code, refused.out) == (1, "")
        assert refused.err == f"cottoncandy: {path} is no file that options could be kept in\n"
        assert path.stat().st_mode == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  [basic]\n  default_acl = private\n", "  [basic]\n  threads = 7\n  default_acl = private\n"),
        ("[basic]\n#threads = 4\n  threads = 3\n", "[basic]\n#threads = 4\n  threads = 7\n"),
        ("[basic]\n  threads = 3\n  default_acl = private\n", "[basic]\n  threads = 7\n  default_acl = private\n"),
        ("[basic]\n\t#threads = 4\n\tlean_wire = 1\n", "[basic]\n\tthreads = 7\n\tlean_wire = 1\n"),
        ("[basic] # mine\nthreads = 3\n  # why\n[local]\n", "[basic] # mine\nthreads = 7\n  # why\n[local]\n"),
        ("[local]\n  fsync = 1\n  [basic]\nthreads : 3", "[local]\n  fsync = 1\n  [basic]\nthreads = 7\n"),
        ("[local]\nfsync = 1\n  [basic]\nthreads : 3", "[local]\nfsync = 1\n  [basic]\nthreads : 3"),
        ("[basic]\nthreads = 3\n\n  4\n", "[basic]\nthreads = 3\n\n  4\n"),
        ("", "\n[basic]\nthreads = 7\n"),
    ],
)
def test_config_keeps_the_layout_of_a_file_or_leaves_it_alone(
    cc: Run, options_file: Path, before: str, after: str
) -> None:
    options_file.write_text(before)
    done = cc("config", "basic.threads", "7")
    assert options_file.read_text() == after
    if before == after:
        assert (done.code, done.out) == (1, "")
        assert "basic.threads cannot be set in" in done.err
    else:
        ok(done)
        assert ok(cc("config", "basic.threads")) == "7\n"
    assert [one.name for one in options_file.parent.iterdir()] == [options_file.name]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\xef\xbb\xbf[basic]\r\nthreads = 3\r\n\r\n", b"\xef\xbb\xbf[basic]\r\nthreads = 7\r\n\r\n"),
        (b"\xef\xbb\xbf[local]", b"\xef\xbb\xbf[local]\n\n[basic]\nthreads = 7\n"),
        (b"[local]\r\n#x\r\n", b"[local]\r\n#x\r\n\r\n[basic]\r\nthreads = 7\r\n"),
        (b"[local]\r\n[basic]", b"[local]\r\n[basic]\r\nthreads = 7\r\n"),
        (b"[basic]\nmost_threads = 9\r\nthreads =\n", b"[basic]\nmost_threads = 9\r\nthreads = 7\r\n"),
    ],
)
def test_config_keeps_what_editors_of_windows_write(cc: Run, options_file: Path, before: bytes, after: bytes) -> None:
    options_file.write_bytes(before)
    assert json.loads(ok(cc("config", "basic.threads", "7", "--json"))) == {
        "basic.threads": {"value": "7", "from": "user file"}
    }
    assert options_file.read_bytes() == after


def test_config_of_one_option_as_json(cc: Run, options_file: Path) -> None:
    options_file.write_text("[basic]\nthreads = 3\n[login]\nsecret_key = verysecret\n")
    options_file.chmod(0o600)
    assert json.loads(ok(cc("config", "basic.threads", "--json"))) == {
        "basic.threads": {"value": "3", "from": "user file"}
    }
    assert json.loads(ok(cc("config", "login.secret_key", "--json")))["login.secret_key"]["value"] == "***"


def test_config_shows_what_is_in_use(cc: Run, options_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options_file.write_text("[basic]\nthreads = 3\nlean_wire = no\n")
    for name in ("BASIC_THREADS", "BASIC_LEAN_WIRE", "BASIC_DEFAULT_ACL", "RETRY_ATTEMPTS"):
        monkeypatch.setenv(f"COTTONCANDY_{name}", "None")
    told = json.loads(ok(cc("config", "--json")))
    for name, value, source in (
        ("basic.threads", "3", "user file"),
        ("basic.lean_wire", "no", "user file"),
        ("basic.default_acl", "not set", "environment"),
        ("basic.requester_pays", "False", "defaults"),
        ("retry.attempts", "8", "defaults"),
    ):
        assert told[name] == {"value": value, "from": source}
    refused = cc("config", "local.fsync", "perhaps")
    assert "give True or False" in refused.err
    assert "fsync" not in options_file.read_text()


def test_config_says_why_its_file_cannot_be_made(cc: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", str(tmp_path / "file" / "own.cfg"))
    refused = cc("config", "basic.threads", "6")
    assert (refused.code, refused.out) == (1, "")
    assert "Not a directory" in refused.err
    assert str(tmp_path / "file") in refused.err
    assert ok(cc("config", "basic.threads")) == "4\n"


def test_places() -> None:
    access = Access(None, "lab", {})
    assert place("s3:///x", access) == place("x", access) == Place("s3", "lab", "x")
    assert place("local:///data/store//a/b", access) == Place("local", "/data/store", "a/b")
    assert place("local:///data/store//", access) == Place("local", "/data/store", "")
    assert place("gdrive:///lab/x", Access("s3", None, {})) == Place("gdrive", None, "lab/x")
    assert place("cottoncandy://b/x", Access("local", None, {})) == Place("local", "b", "x")
    for text in ("s3://b/x", "local:///data/store//a/b", "gdrive:///lab/x"):
        where = place(text, Access(None, None, {}))
        assert where.at(where.name) == text
    assert [size_text(size, human=True) for size in (0, 1023, 1024, 2**20 - 1, 2**20)] == [
        *("0", "1023", "1.0K", "1.0M", "1.0M"),
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, cc: Run) -> None:
    told = ok(cc(name, "--help"))
    assert told.startswith(f"Usage: cottoncandy {name}")
    assert name in ok(cc("--help"))
    assert "\\b" not in told  # click's mark for lines that stay as they are


# ---------------------------------------------------------------------- as a process
def start(*arguments: str, **more: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cottoncandy", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(command, env=environment, **pipes)  # type: ignore[call-overload, no-any-return]


def test_help_is_light(cc: Run) -> None:
    code = "import sys; from cottoncandy.cli import run; run(['--help']); print({'boto3', 'numpy'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_closed_pipe_is_quiet(cc: Run) -> None:
    Path("store").mkdir()
    for number in range(3000):
        Path(f"store/{'x' * 100}{number}").touch()
    process = start("ls", "-l")
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    process.stderr.close()


#: Each command, and how it ends, whatever is closed.
ENDS = [
    *(("put f a", 0), ("put -q f dir/b", 0), ("put - in", 0), ("cp a c", 0), ("mv c d", 0), ("get a out", 0)),
    *((f"{look}{option}", 0) for look in ("ls", "info a", "du", "config") for option in ("", " --json")),
    *((told, 0) for told in ("ls -r", "tree", "verify", "doctor", "clean-uploads", "completion bash", "--help")),
    *(("sync -n dir cottoncandy:///x", 0), ("sync dir cottoncandy:///y", 0), ("rm -r dir", 0), ("rm d", 0)),
    *(("ls nope", 1), ("info nope --debug", 1), ("get nope", 1), ("bogus", 2), ("put f", 2)),
]


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_it_ends_as_ever_where_the_shell_closed_its_streams(closed: str, cc: Run) -> None:
    Path("f").write_text("hi")
    Path("input").write_text("given")
    Path("dir").mkdir()
    Path("dir/g").write_text("there")
    commands = [*(told.split() for told, _ in ENDS), ["get", "a", "-"]]
    code = f"""
import json, pathlib
from cottoncandy.cli import run, streams
streams.hold_closed()
pathlib.Path("codes").write_text(json.dumps([run(command) for command in {commands!r}]))
"""
    script = f'exec "$0" -c "$1" <input >out.txt 2>err.txt {closed}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-c", script, sys.executable, code], env=environment, check=True)
    *codes, to_output = json.loads(Path("codes").read_text())
    no_input = closed.startswith("<")
    assert dict(zip(map(" ".join, commands), codes, strict=False)) == {**dict(ENDS), "put - in": int(no_input)}
    assert to_output == int(" >&-" in f" {closed}")  # bytes that nobody gets are no success
    assert Path("out").read_text() == Path("store/a").read_text() == "hi"
    assert {path.name.split(".")[0] for path in Path("store").iterdir()} == {
        "a",
        "y",
        *(["in"] if not no_input else []),
    }
    assert no_input or Path("store/in").read_text() == "given"
    told, failed = Path("out.txt").read_text(), Path("err.txt").read_text()
    assert (told == "") == (to_output == 1)
    assert "nope" not in told  # an error is no output
    assert (failed == "") == ("2>&-" in closed)
    assert "AttributeError" not in failed


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(closed: str, cc: Run) -> None:
    Path("f").write_text("hi")
    script = f'exec "$0" -m cottoncandy put f a {closed}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", script, sys.executable], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr, Path("store/a").read_text()) == (0, b"", "hi")
    code = "import os; from cottoncandy.cli import streams; streams.hold_closed(); os._exit(os.open('f', 0))"
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], env=environment, check=False)
    assert done.returncode > 2


@pytest.mark.parametrize(("command", "code"), [("ls nope", 1), ("ls nope --debug", 1), ("bogus", 2)])
def test_an_error_that_nobody_reads_ends_as_every_other(command: str, code: int, cc: Run) -> None:
    process = start(*command.split())
    assert process.stdout
    assert process.stderr
    process.stderr.close()
    assert process.stdout.read() == b""
    assert process.wait(30) == code
    process.stdout.close()


def finished(*arguments: str, **more: object) -> tuple[int, bytes]:
    """Run it as a process to its end; what it printed."""
    process = start(*arguments, **more)
    told, failed = process.communicate(timeout=60)
    assert (failed or b"") == b""
    return process.returncode, told or b""


def test_a_name_that_the_terminal_has_no_letters_for_ends_nothing(cc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")  # as in most locales
    Path("here").mkdir()
    Path("here/a").write_text("a")
    bare = os.fsdecode(b"p\xff")
    os.mkfifo(f"here/{bare}")
    code, told = finished("sync", "here", "cottoncandy:///n")
    assert (code, told.split(b"\n")[:2]) == (
        0,
        [b"transfer a", b"skip p\\udcff: a link that is not followed, or no file"],
    )
    code, told = finished("sync", "here", "cottoncandy:///n", "--json")
    assert (code, json.loads(told)["skipped"]) == (0, [bare])
    assert finished("get", "n/a", bare) == (0, b"got p\\udcff\n")
    assert finished("put", "-n", bare, "x") == (0, b"would put p\\udcff to local://store/x\n")
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    names = ["m/a", "m/Ω", "m/😀"]
    for name in names:
        ok(cc("put", "here/a", name))
    code, told = finished("ls", "m", "--json")
    assert (code, [entry["name"] for entry in json.loads(told)]) == (0, names)
    code, told = finished("mv", "m/Ω", "m/😀", "m/a", "new/")
    assert (code, told.split(b"\n")[0]) == (0, b"mv local://store/m/\\u03a9 local://store/new/\\u03a9")
    assert ok(cc("ls", "-r")).split() == ["n/a", *(name.replace("m/", "new/") for name in names)]


def test_a_name_with_orders_for_a_terminal_is_whole_in_a_pipe_and_harmless_on_a_terminal(cc: Run) -> None:
    name = "e/red\033[31m name\x9b"
    Path("x").write_text("x")
    ok(cc("put", "x", name))
    assert finished("ls", "e") == (0, f"{name}\n".encode())
    terminal, other_end = os.openpty()
    for command in (
        ["ls", "e"],
        ["ls", "-l", "e"],
        ["ls", "--json", "e"],
        ["get", name, "y"],
        ["cp", name, f"{name}2"],
    ):
        assert finished(*command, stdout=other_end) == (0, b"")
        shown = os.read(terminal, 10000)
        assert shown.isascii()
        assert b"\x1b" not in shown
        assert b"name" in shown or b"got y" in shown
    assert finished("get", "nope\033[31m", "y", stderr=other_end)[0] == 1
    assert b"\x1b" not in os.read(terminal, 10000)
    os.close(other_end)
    os.close(terminal)


@pytest.mark.parametrize(
    ("asked", "ignored"),
    [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM in the background, where Ctrl-C does not come"],
)
def test_who_is_asked_to_end_leaves_nothing_half_done(
    asked: signal.Signals, ignored: bool, recorded: Recorded, cc: Run, monkeypatch: pytest.MonkeyPatch
) -> None:

    store, proxy = recorded
    store.give_keys(monkeypatch)
    store.raw.put("large", bytes(5 * 2**20))

    def slowly(request: Request) -> Fault | None:
        return Fault("delay", 5) if request.path.endswith("/large") and request.method == "GET" else None

    proxy.hook = slowly
    # a shell has what it starts in the background ignore it
    background = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)} if ignored else {}
    process = start("get", "large", "here", *on_server(store), **background)
    deadline = time.monotonic() + 30
    while not proxy.count("GET") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(asked)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (128 + asked, b"cottoncandy: interrupted\n")
    assert list(Path().glob("*here*")) == []
    assert not list(Path().glob(".cottoncandy-*"))


def test_bars_are_for_terminals(recorded: Recorded, cc: Run, monkeypatch: pytest.MonkeyPatch) -> None:

    store, proxy = recorded
    store.give_keys(monkeypatch)
    proxy.hook = lambda request: Fault("delay", 1.1) if request.method == "PUT" else None
    for name in ("a", "b"):
        Path(name).write_text(name)
    terminal, other_end = os.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start("put", "a", "b", "up/", *on_server(store), stderr=other_end)
    told, _ = process.communicate(timeout=60)
    os.close(other_end)
    assert (process.returncode, told) == (0, b"put 2 to up/\n")
    assert b"put up" in os.read(terminal, 10000)
    os.close(terminal)
    assert store.raw.keys() == ["up/a", "up/b"]


@pytest.mark.stores("moto")
def test_sync_tells_what_can_be_no_file(store: Store, s3: Run) -> None:
    store.raw.put("exp/a", b"a")
    store.raw.put("exp/d/", b"x")
    assert "skip d/: no file has such a name" in ok(s3("sync", "cottoncandy:///exp", "there")).splitlines()


@pytest.mark.stores("moto")
@pytest.mark.parametrize(("action", "method"), [("get", "HEAD"), ("get", "GET"), ("put", "PUT")])
def test_many_files_are_under_way_at_once(
    recorded: Recorded, cc: Run, monkeypatch: pytest.MonkeyPatch, action: str, method: str
) -> None:
    """The first of the answers comes when the third request has, also to what tells of each object."""
    store, proxy = recorded
    store.give_keys(monkeypatch)
    Path("here").mkdir()
    for number in range(6):
        Path(f"here/{number}").write_text(f"{number}")
        store.raw.put(f"old/{number}", f"{number}".encode())
    come, third = itertools.count(1), threading.Event()

    def hook(request: Request) -> None:
        if request.method == method and request.path[-2] == "/":
            if next(come) >= 3:
                third.set()
            assert third.wait(30)

    proxy.hook = hook
    ok(cc(action, "-r", "-q", *on_server(store), *(("old", "there/") if action == "get" else ("here", "new/"))))
    found = (
        {name: store.raw.get(f"new/{name}")[0] for name in "012345"}
        if action == "put"
        else {name: Path(f"there/{name}").read_bytes() for name in "012345"}
    )
    assert found == {name: name.encode() for name in "012345"}


def test_a_deletion_shows_a_bar(cc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = Bars()
    monkeypatch.setattr(removing, "shows_progress", lambda quiet: not quiet and bars)
    monkeypatch.setattr(removing, "Progress", partial(Progress, delay=0))
    for name in "abc":
        Path(name).touch()
    ok(cc("put", "a", "b", "c", "many/"))
    ok(cc("rm", "many/a", "many/b", "-q"))
    assert bars.take() == []
    ok(cc("put", "a", "b", "many/"))
    ok(cc("rm", "-r", "many", "--yes"))
    assert bars.take() == [("delete many", 3, 3)]


@pytest.mark.stores("moto")
def test_no_bar_is_drawn_into_the_lines_of_a_listing(
    recorded: Recorded, cc: Run, monkeypatch: pytest.MonkeyPatch
) -> None:

    store, proxy = recorded
    store.give_keys(monkeypatch)
    for name in ("many/a", "many/b"):
        store.raw.put(name, b"", {})
    proxy.hook = lambda request: Fault("delay", 1.1) if request.method == "GET" else None
    terminal, other_end = os.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    for options, told in (({"stdout": other_end}, b""), ({}, b"list many")):  # to a file, a bar is in nobody's way
        process = start("ls", "-r", "many", *on_server(store), stderr=other_end, **options)
        assert (process.communicate(timeout=60)[0] or b"many/a\nmany/b\n").split() == [b"many/a", b"many/b"]
        shown = os.read(terminal, 10000)
        assert (told in shown) if told else (shown.split() == [b"many/a", b"many/b"])
    os.close(other_end)
    os.close(terminal)


# ---------------------------------------------------------------------- completion
def completed(words: str, monkeypatch: pytest.MonkeyPatch, cc: Run) -> list[str]:
    line = f"cottoncandy {words}"
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_WORD", line.rpartition(" ")[2])
    monkeypatch.setenv("_COTTONCANDY_COMPLETE", "bash_complete")
    done = cc()
    monkeypatch.delenv("_COTTONCANDY_COMPLETE")
    return [answer.partition(",")[2] for answer in done.out.splitlines() if answer]


def test_completion(cc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sub01/bold", "sub01/mask", "sub02/bold", "other/deep/leaf"):
        Path(f"store/{name}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"store/{name}").touch()
    assert completed("s", monkeypatch, cc) == ["sync"]
    assert completed("ls --rec", monkeypatch, cc) == ["--recursive"]
    assert completed("ls s", monkeypatch, cc) == ["sub01/", "sub02/"]
    assert completed("get sub01/", monkeypatch, cc) == ["sub01/bold", "sub01/mask"]
    assert completed("ls o", monkeypatch, cc) == ["other/deep/leaf"]
    assert completed("info local://store/sub02/", monkeypatch, cc) == ["local://store/sub02/bold"]
    assert completed("ls --bucket nowhere x", monkeypatch, cc) == []
    for url in (
        "local://store",
        "cottoncandy://store",
    ):  # bash puts in what follows, of which the `:` ends no part here
        assert completed(f"info {url}", monkeypatch, cc) == [f"{url}/{name}" for name in ("other/", "sub01/", "sub02/")]
    assert completed("info cottoncandy://", monkeypatch, cc)[0] == "cottoncandy:///other/"
    assert completed("info sub01//b", monkeypatch, cc) == []
    assert completed("config basic.th", monkeypatch, cc) == ["basic.threads"]


def test_completion_asks_by_the_way_that_the_line_tells(
    recorded: Recorded, cc: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, proxy = recorded
    store.raw.put("song", b"!")
    store.give_keys(monkeypatch)
    line = f"ls --backend s3 -b {store.container} --endpoint-url {proxy.url}"
    for more in ("--region eu-north-1 --request-payer", "--no-sign-request"):
        assert completed(f"{line} {more} s", monkeypatch, cc) == ["song"]
    signed, unsigned = (request.headers for request in proxy.requests if "delimiter" in request.target)
    assert "/eu-north-1/s3/" in signed["Authorization"]
    assert signed["x-amz-request-payer"] == "requester"
    assert "Authorization" not in unsigned


def test_completion_of_files(cc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ok(cc("put", __file__, "sub01/"))
    # what is completed to itself has a kind, by which the shell completes files
    assert completed("put s", monkeypatch, cc) == ["s"]
    assert completed("put cottoncandy:///s", monkeypatch, cc) == ["cottoncandy:///sub01/test_cli.py"]
    assert completed("put bold.npy s", monkeypatch, cc) == ["s", "sub01/test_cli.py"]
    assert completed("get s", monkeypatch, cc) == ["sub01/test_cli.py"]
    assert completed("get sub01/test_cli.py h", monkeypatch, cc) == ["h"]
    assert completed("sync s", monkeypatch, cc) == ["s"]
    assert completed("sync here cottoncandy:///s", monkeypatch, cc) == ["cottoncandy:///sub01/test_cli.py"]
    assert not Path("nowhere").exists()
    for shell in ("bash", "zsh", "fish"):
        assert "_COTTONCANDY_COMPLETE" in ok(cc("completion", shell))


def test_get_of_a_directory_replaces_links_and_of_one_object_writes_through_them(cc: Run) -> None:
    for name in ("run1.txt", "latest.txt"):
        Path(name).write_text(name)
    np.save("array.npy", np.arange(3))
    ok(cc("put", "run1.txt", "latest.txt", "x/"))
    ok(cc("put", "array.npy", "x/array"))
    for folder in ("tree", "one"):
        Path(folder).mkdir()
        Path(folder, "run1.txt").write_text("old")
        Path(folder, "latest.txt").symlink_to("run1.txt")
        Path(folder, "array.npy").symlink_to("run1.txt")
    ok(cc("get", "-r", "x", "tree"))
    assert [Path("tree", name).read_text() for name in ("run1.txt", "latest.txt")] == ["run1.txt", "latest.txt"]
    assert np.load("tree/array.npy").tolist() == [0, 1, 2]
    ok(cc("get", "x/latest.txt", "one/latest.txt"))
    assert Path("one/latest.txt").is_symlink()
    assert Path("one/run1.txt").read_text() == "latest.txt"


def test_put_of_a_directory_tells_what_it_leaves_out(cc: Run) -> None:
    Path("here/deep").mkdir(parents=True)
    Path("here/a").write_text("a")
    Path("here/dangling").symlink_to("nowhere")
    Path("here/folder").symlink_to("deep")
    Path("here/link").symlink_to("a")
    os.mkfifo("here/pipe")
    done = cc("put", "-r", "here", "n")
    assert (done.code, done.out) == (0, "put 2 to n\n")
    assert done.err.splitlines() == [
        f"skip here/{name}: a link that is not followed, or no file" for name in ("dangling", "folder", "pipe")
    ]
    assert ok(cc("ls", "-r")).split() == ["n/a", "n/link"]

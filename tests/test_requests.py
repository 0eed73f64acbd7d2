"""What goes over the wire: how many requests, with which prefix, and none that nobody needs."""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT
from recorder import RecordingProxy, Request
from stores import Recorded
from test_objects import small_parts

from cottoncandy.errors import ObjectExists
from cottoncandy.interfaces.arrays import treeupload
from cottoncandy.stream import source

MIB = 2**20


@pytest.fixture
def opened(recorded: Recorded) -> tuple[Any, RecordingProxy, Any]:
    store, proxy = recorded
    cci = store.interface()
    proxy.clear()
    return cci, proxy, store.raw


def _methods(proxy: RecordingProxy) -> list[str]:
    return [request.method for request in proxy.requests]


def _prefixes(proxy: RecordingProxy) -> list[str]:
    return [request.query.get("prefix", "") for request in proxy.requests if "list-type" in request.query]


def test_opening(recorded: Recorded) -> None:
    store, proxy = recorded
    store.interface()
    assert len(proxy.requests) <= 1
    proxy.clear()
    store.interface(verbose=True)
    assert len(proxy.requests) <= 2


@pytest.mark.parametrize("name", ["object", "json", "pickle", "raw_array", "npy_array"])
def test_one_put_and_one_get(opened: tuple[Any, RecordingProxy, Any], name: str) -> None:
    cci, proxy, _ = opened
    value = np.arange(1000.0) if "array" in name else b"x" * 1000 if name == "object" else {"a": 1}
    getattr(cci, f"upload_{name}")("dir/a", value)
    assert _methods(proxy) == ["PUT"]
    proxy.clear()
    getattr(cci, f"download_{name}")("dir/a")
    assert _methods(proxy) == ["GET"]
    assert proxy.requests[0].answered < 5000 + 8000


def _costs() -> dict[str, str]:
    """The requests that the page tells, by what they are for; 'the same ...' by what comes before it, too."""
    costs, what = {}, ""
    for row, requests in re.findall(r"^\| (.+?) \| (.+?) \|", (ROOT / "docs/choosing.md").read_text(), re.MULTILINE):
        what = row if not row.startswith("the same") else what
        costs[row if row == what else f"{what}: {row}"] = requests
    return costs


@pytest.mark.lean_wire("botocore's way looks at each leaf before it is copied")
def test_what_the_page_says_that_it_costs(
    opened: tuple[Any, RecordingProxy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cci, proxy, _ = opened
    # on a slow machine it takes time to connect, and who sends a tree looks once more
    monkeypatch.setattr(cci.backend_interface, "answers_later", lambda of_use: True)
    monkeypatch.setattr(treeupload, "_SOON", math.inf)
    told = _costs()
    scipy_sparse, from_array = pytest.importorskip("scipy.sparse"), pytest.importorskip("dask.array").from_array

    def count(call: str, *arguments: Any, **settings: Any) -> int:
        proxy.clear()
        getattr(cci, call)(*arguments, **settings)
        return len(proxy.requests)

    def count_slice(array: Any, index: Any) -> int:
        proxy.clear()
        np.asarray(array[index])
        return len(proxy.requests)

    rows = np.random.default_rng(0).standard_normal((100_000, 160))
    up, down = count("upload_raw_array", "s", np.arange(9)), count("download_raw_array", "s")
    assert f"{up}" == f"{down}" == told["a small array, up or down"]
    assert f"{count('upload_raw_array', 'r', rows, compression=False)}" == told["128 MB up, uncompressed"]
    assert f"{count('download_raw_array', 'r')}, up to 4 at the same time" == told["128 MB down"]
    assert f"{count('open_array', 'r')}" == told["`open_array`"]
    plain = cci.open_array("r")
    assert f"{count_slice(plain, slice(10, 20))}" == told["10 rows of an uncompressed array"]
    assert f"{count_slice(plain, (slice(None), 3))}" == told["1 column of 160, stored by rows"]
    cci.upload_raw_array("b", rows, compression="Zstd-blocks")
    blocks = cci.open_array("b")
    first, then = count_slice(blocks, slice(10, 20)), count_slice(blocks, slice(50_000, 50_010))
    assert f"{first} at first, then {then}" == told["10 rows of `Zstd-blocks`"]

    tree, row = {str(i): np.arange(5) for i in range(100)}, "a tree of 100 small arrays, up"
    for key in (row, f"{row}: the same where there is one"):
        requests = count("dict2cloud", "t", tree, verbose=False)
        assert f"{requests}" == told[key].removesuffix(", up to 64 at the same time")
    down = count("cloud2dict", "t", verbose=False)
    assert f"{down}, up to 64 at the same time" == told[f"{row}: the same, down"]
    row = "a sparse array (of csr) or a masked one, up"
    masked = np.ma.masked_greater(np.arange(9.0), 3)
    for kind, array in (("sparse", scipy_sparse.eye(5, format="csr")), ("masked", masked)):
        for key in (row, f"{row}: the same where there is one"):
            assert f"{count(f'upload_{kind}_array', kind, array)}" == told[key]
        assert f"{count(f'download_{kind}_array', kind)}" == told[f"{row}: the same, down"]
    less = rows[:8000]
    chunks = count("upload_dask_array", "c", less, axis=0, buffersize=less.nbytes // 8, compression=False)
    of_dask = count("upload_dask_array", "d", from_array(less, chunks=(1000, -1)), compression=False)
    assert f"{chunks}; {of_dask} from dask" == told["8 chunks up"]
    assert count_slice(cci.download_dask_array("d"), slice(500, 510)) == 2
    assert told["10 rows of an array in chunks, uncompressed"] == "2 for each chunk that they touch"
    proxy.clear()
    cci.download_dask_array("d").compute()
    assert len(proxy.requests) == 1 + 8
    assert told["8 chunks down, as dask reads them"] == "1, and 1 for each chunk"
    for number in range(100):
        cci.upload_object(f"many/{number}", b"x")
    for row, name in (("`cp` of an object", "s"), ("`cp` of 100 objects below a name", "many")):
        once, over = count("cp", name, f"{name} once"), count("cp", name, f"{name} over", overwrite=True)
        assert f"{once}; {over} with `overwrite=True`" == told[row]


def _told_sizes(option: str) -> list[int]:
    """The sizes that the page of the configuration tells beside an option."""
    text = (ROOT / "docs/configuration.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith(f"| `{option}` |"))
    return [int(size) * MIB for size in re.findall(r"(\d+) MiB", row)]


def test_files_and_what_is_packed_take_the_parts_that_the_page_tells(
    opened: tuple[Any, RecordingProxy, Any], tmp_path: Path
) -> None:
    """And not those of the options, which are for memory."""
    cci, proxy, _ = opened
    noise = np.random.default_rng(0).integers(0, 255, 36 * MIB, np.uint8)
    (tmp_path / "file").write_bytes(noise.tobytes())
    (part,) = _told_sizes("mpu_chunksize")

    def sent() -> set[int]:
        sizes = {request.query["partNumber"]: request.length for request in proxy.requests if request.method == "PUT"}
        proxy.clear()
        return {sizes[number] for number in list(sizes) if int(number) < len(sizes)}  # the last is what is left

    cci.upload_raw_array("plain", noise, compression=False)
    assert sent() == {18 * MIB}
    cci.upload_from_file(str(tmp_path / "file"), "file")
    assert sent() == {part}
    cci.upload_raw_array("packed", noise, compression="Zstd")
    assert sent() == {part}
    # how soon several connections take over is the network's
    assert _told_sizes("mpd_chunksize") == [source._ASKED[1]]


def test_files_are_one_request_each(opened: tuple[Any, RecordingProxy, Any], tmp_path: Path) -> None:
    cci, proxy, _ = opened
    for number in range(5):
        (tmp_path / str(number)).write_text("x")
    cci.upload_from_directory(tmp_path, "dir")
    assert _methods(proxy) == ["PUT"] * 5
    proxy.clear()
    cci.download_directory("dir", str(tmp_path / "down"))
    assert _methods(proxy) == ["GET"] * 6
    proxy.clear()
    cci.download_to_file("dir/0", str(tmp_path / "one"))
    assert _methods(proxy) == ["GET"]


def test_files_without_a_byte_are_one_request_each(opened: tuple[Any, RecordingProxy, Any], tmp_path: Path) -> None:
    """They were two, where a listing had told that there is nothing to ask a range of."""
    cci, proxy, raw = opened
    for number in range(3):
        raw.put(f"dir/{number}", b"", {"subject": "S01"})
    for download in (cci.download_directory, lambda name, place: cci.sync(name, Path(place))):
        proxy.clear()
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        download("dir", str(place))
        assert sorted(_methods(proxy)) == ["GET"] + ["HEAD"] * 3
        assert {path.name: path.read_bytes() for path in place.iterdir()} == dict.fromkeys("012", b"")


@pytest.mark.parametrize("listed", [b"", b"abc"])
def test_what_grows_after_it_was_listed_comes_whole(
    opened: tuple[Any, RecordingProxy, Any], tmp_path: Path, listed: bytes
) -> None:
    cci, proxy, raw = opened
    raw.put("dir/a", listed)

    def grow(request: Request) -> None:
        if "list-type" not in request.query:
            proxy.hook = None
            raw.put("dir/a", b"longer than before")

    for download in (cci.download_directory, lambda name, place: cci.sync(name, Path(place))):
        raw.put("dir/a", listed)
        proxy.hook = grow
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        download("dir", str(place))
        assert (place / "a").read_bytes() == b"longer than before"


def test_a_file_of_a_few_bytes_takes_no_parts(opened: tuple[Any, RecordingProxy, Any], tmp_path: Path) -> None:
    cci, proxy, _ = opened
    (tmp_path / "file").write_bytes(b"x" * (6 * MIB))
    cci.upload_from_file(tmp_path / "file", "file")
    assert _methods(proxy) == ["PUT"]


def test_parts(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch, 5, 5)
    store, proxy = recorded
    cci = store.interface()
    array = np.random.default_rng(1).bytes(12 * MIB)
    proxy.clear()
    cci.upload_object("big", array)
    assert Counter(_methods(proxy)) == {"POST": 2, "PUT": 3}
    assert sorted(request.length for request in proxy.requests if request.method == "PUT") == [
        2 * MIB,
        5 * MIB,
        5 * MIB,
    ]
    proxy.clear()
    assert cci.download_object("big") == array
    ranges = [request.headers["Range"] for request in proxy.requests]
    assert sorted(ranges) == sorted(
        [f"bytes=0-{5 * MIB - 1}", f"bytes={5 * MIB}-{10 * MIB - 1}", f"bytes={10 * MIB}-{12 * MIB - 1}"]
    )
    # all but the first are held to the version of the first
    assert [request.headers["If-Match"] is not None for request in proxy.requests].count(True) == 2
    assert sum(request.answered for request in proxy.requests) == 12 * MIB


def test_arrays_go_as_many_at_a_time_as_there_are_connections(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    names = {f"a{number:02d}": np.arange(10) for number in range(30)}
    proxy.clear()
    cci.dict2cloud("t", names, verbose=False, threads=6)
    assert 2 <= proxy.connections <= 7
    proxy.clear()
    cci.cloud2dict("t", verbose=False, threads=1)
    assert proxy.connections == 1


# ---------------------------------------------------------------------- listings
def test_the_literal_prefix_is_sent(opened: tuple[Any, RecordingProxy, Any]) -> None:
    cci, proxy, raw = opened
    for name in ("data/sub01/run1", "data/sub02/run1", "data/sub02/run2", "other/x"):
        raw.put(name, b"x")
    for pattern, prefix in (
        ("data/sub0?/run*", "data/sub0"),
        ("/data/sub01/*", "data/sub01/"),
        ("data/sub01", "data/sub01/"),
        ("data/*/run1", "data/"),
        ("data/sub02/run[12]", "data/sub02/run"),
    ):
        proxy.clear()
        cci.glob(pattern)
        assert _prefixes(proxy) == [prefix]
        assert len(proxy.requests) == 1


def test_ls_walks_only_what_can_match(opened: tuple[Any, RecordingProxy, Any]) -> None:
    cci, proxy, raw = opened
    for name in ("data/sub01/run1/x", "data/sub02/run1/x", "data/old/run1/x", "other/sub01/run1/x"):
        raw.put(name, b"x")
    assert cci.ls("data/sub*/run?") == ["data/sub01/run1", "data/sub02/run1"]
    assert sorted(_prefixes(proxy)) == ["data/sub", "data/sub01/run", "data/sub02/run"]
    assert all(request.query["delimiter"] == "/" for request in proxy.requests)
    proxy.clear()
    assert cci.ls("data/sub01") == ["data/sub01/run1"]
    assert _prefixes(proxy) == ["data/sub01/"]
    proxy.clear()
    cci.lsdir("data")
    assert _prefixes(proxy) == ["data/"]


def test_a_limit_spares_pages(opened: tuple[Any, RecordingProxy, Any]) -> None:
    cci, proxy, raw = opened
    for number in range(30):
        raw.put(f"a/{number:02d}", b"x")
    assert len(cci.glob("a/*", limit=5, page_size=3)) == 5
    assert len(proxy.requests) == 2
    proxy.clear()
    assert len(cci.ls("a", limit=4, page_size=3)) == 4
    assert len(proxy.requests) == 2


# ---------------------------------------------------------------------- copying and removing
def test_removing_goes_in_batches(opened: tuple[Any, RecordingProxy, Any]) -> None:
    cci, proxy, raw = opened
    for number in range(40):
        raw.put(f"a/{number:02d}", b"x")
    cci.rm("a", recursive=True)
    assert raw.keys() == []
    assert len(proxy.requests) <= 5
    raw.put("b", b"x")
    proxy.clear()
    cci.rm("b")
    assert len(proxy.requests) <= 2


def test_a_copy_moves_no_bytes(opened: tuple[Any, RecordingProxy, Any]) -> None:
    cci, proxy, raw = opened
    raw.put("a", b"x" * MIB)
    for call in (cci.cp, cci.mv):
        proxy.clear()
        call("a", f"copy-{call.__name__}")
        assert sum(request.length for request in proxy.requests) < 10_000
        assert len(proxy.requests) <= 6
        assert "GET" not in _methods(proxy)


@pytest.mark.parametrize("method", ["cp", "mv"])
def test_a_branch_is_copied_with_a_request_for_each_object(
    opened: tuple[Any, RecordingProxy, Any], method: str
) -> None:
    cci, proxy, raw = opened
    for number in range(30):
        raw.put(f"a/{number:02d}", b"x%d" % number, {"number": str(number)})

    def count(target: str, **named: Any) -> Counter[str]:
        proxy.clear()
        getattr(cci, method)("a", target, **named)
        assert raw.get(f"{target}/07") == (b"x7", {"number": "7"})
        for number in range(30):
            raw.put(f"a/{number:02d}", b"x%d" % number, {"number": str(number)})
        return Counter(_methods(proxy))

    assert count("b", overwrite=True)["PUT"] == 30
    assert count("b", overwrite=True)["HEAD"] <= 1  # whether there is an object of that name
    once = count("c")
    assert (once["PUT"], once["HEAD"]) == (30, 1)  # a listing tells whether there is one in the place of each
    assert once["GET"] == 2
    with pytest.raises(ObjectExists):
        count("c")
    assert "PUT" not in _methods(proxy)


def test_an_object_is_copied_with_few_requests(opened: tuple[Any, RecordingProxy, Any]) -> None:
    cci, proxy, raw = opened
    raw.put("a", b"x")
    cci.cp("a", "before")  # asks once whether there is such a bucket
    proxy.clear()
    cci.cp("a", "b")
    assert _methods(proxy) == ["HEAD", "HEAD", "PUT"]
    proxy.clear()
    cci.cp("a", "b", overwrite=True)
    assert _methods(proxy) == ["HEAD", "PUT"]
    proxy.clear()
    cci.mv("b", "c")
    assert _methods(proxy) == ["HEAD", "HEAD", "PUT", "DELETE"]
    assert raw.get("c") == (b"x", {})


def test_connections_are_kept(opened: tuple[Any, RecordingProxy, Any]) -> None:
    cci, proxy, _ = opened
    for number in range(12):
        cci.upload_raw_array(f"a{number}", np.arange(100))
        cci.download_raw_array(f"a{number}")
    assert proxy.connections <= 3


@pytest.mark.lean_wire("botocore's connections answer at once")
@pytest.mark.parametrize("by_directory", [False, True])
def test_when_a_first_tree_is_looked_for_others(
    opened: Any, monkeypatch: pytest.MonkeyPatch, by_directory: bool
) -> None:
    """One look when the mark stands; and one beside the leaves, or before them where a list takes its time."""
    cci, proxy, _ = opened
    monkeypatch.setattr("cottoncandy.backends.s3.listing.goes_by_directory", lambda page: by_directory)
    looks, leaf_came, came_beside = [], threading.Event(), []

    def hook(request: Request) -> None:
        if "/leaf" in request.path:
            leaf_came.set()
        elif "list-type" in request.query:
            looks.append(request)
            if len(looks) == 2:  # held back: only who does not wait for it sends a leaf
                came_beside.append(leaf_came.wait(0.5 if by_directory else 10))

    proxy.hook = hook
    cci.dict2cloud("tree", {f"leaf{number}": np.arange(9.0) for number in range(40)}, verbose=False)
    assert came_beside == [not by_directory]
    assert [request.method for request in proxy.requests if "/leaf" in request.path] == ["PUT"] * 40

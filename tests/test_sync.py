"""Trees made alike: only what differs moves, nothing is lost on the way, and nothing leaves the directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from recorder import Request, Response
from stores import Recorded, Store

from cottoncandy.errors import CottonCandyError, InvalidObjectName, ObjectNotFound
from cottoncandy.syncing import selection
from cottoncandy.syncing.likeness import nanoseconds, recorded_time, time_text

FILES = {"a.txt": b"one", "empty": b"", "sub/é +1.bin": b"two", "sub/deep/x.npy": bytes(2000), "tmp/scratch.tmp": b"!"}


def make(root: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, body in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def on_disk(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def stored(store: Store, prefix: str) -> dict[str, bytes]:
    return {key.removeprefix(prefix): store.raw.get(key)[0] for key in store.raw.keys(prefix)}


def test_a_directory_goes_up_and_comes_back(store: Store, tmp_path: Path) -> None:
    cci, here, there = store.interface(), make(tmp_path / "here"), tmp_path / "there"
    store.raw.put("exp2/sibling", b"stays")
    plan = cci.sync(here, "exp", exclude="*.tmp", dry_run=True)
    assert (plan.transferred, plan.dry_run) == (("a.txt", "empty", "sub/deep/x.npy", "sub/é +1.bin"), True)
    assert stored(store, "exp/") == {}
    assert cci.sync(here, "exp", exclude="*.tmp").transferred == plan.transferred
    assert stored(store, "exp/") == {name: body for name, body in FILES.items() if name != "tmp/scratch.tmp"}
    again = cci.sync(here, "exp", exclude=["*.tmp"])
    assert (again.transferred, again.deleted, again.unchanged, again.nbytes) == ((), (), 4, 0)
    assert cci.sync(here, "exp", exclude="*.tmp", checksum=True).unchanged == 4

    down = cci.sync("exp", there)
    assert (len(down.transferred), down.nbytes) == (4, 2006)
    assert on_disk(there) == stored(store, "exp/")
    assert (there / "a.txt").stat().st_mtime_ns == (here / "a.txt").stat().st_mtime_ns
    assert cci.sync("exp", there).unchanged == 4

    (here / "a.txt").write_bytes(b"ONE")  # as long as before
    os.utime(here / "a.txt", ns=(10**18, 10**18))  # and older than the object
    (here / "empty").unlink()
    kept = cci.sync(here, "exp", exclude="*.tmp")
    assert (kept.transferred, kept.deleted, kept.unchanged) == (("a.txt",), (), 2)
    gone = cci.sync(here, "exp", exclude="*.tmp", delete=True)
    assert (gone.transferred, gone.deleted) == ((), ("empty",))
    assert "exp/empty" not in store.raw.keys("exp/")
    (there / "mine" / "notes").mkdir(parents=True)
    (there / "mine" / "notes" / "n").write_bytes(b"n")
    (there / "mine" / "bare").mkdir()
    last = cci.sync("exp/", there, delete=True)
    assert (last.transferred, last.deleted) == (("a.txt",), ("empty", "mine/notes/n"))
    assert on_disk(there) == stored(store, "exp/")
    assert (there / "mine" / "bare").is_dir()  # it was empty before
    assert not (there / "mine" / "notes").exists()
    assert store.raw.get("exp2/sibling")[0] == b"stays"
    assert store.raw.leftovers() == []


@pytest.mark.stores("local")
def test_a_store_inside_of_the_other_is_refused(store: Store) -> None:
    store.raw.put("sub/a", b"1")
    for one, other in (("", f"{store.container}/sub"), ("sub/a", f"{store.container}/sub")):
        with pytest.raises(InvalidObjectName, match="inside"):
            store.interface().sync(one, "", dest_bucket=other, delete=True)
    assert store.raw.keys() == ["sub/a"]


@pytest.mark.stores("local", "moto", "ceph", "gdrive")
def test_two_branches(store: Store) -> None:
    cci = store.interface()
    for name in ("exp/a", "exp/sub/b", "exp2/a", "copy/old"):
        store.raw.put(name, name.encode())
    report = cci.sync("exp", "copy", delete=True)
    assert (report.transferred, report.deleted) == (("a", "sub/b"), ("old",))
    assert stored(store, "copy/") == {"a": b"exp/a", "sub/b": b"exp/sub/b"}
    assert cci.sync("exp", "copy").transferred == ()
    with pytest.raises(InvalidObjectName, match="inside"):
        cci.sync("exp", "exp/sub")
    if not store.has("no-containers"):
        other = store.second_container()
        assert len(cci.sync("exp", "exp", dest_bucket=other.container).transferred) == 2
        assert stored(other, "exp/") == stored(store, "exp/")


def test_what_is_refused(tmp_path: Path) -> None:
    import cottoncandy as cc

    cci = cc.get_interface(str(tmp_path / "store"), backend="local", verbose=False)
    cci.upload_object("exp/a", b"a")
    (tmp_path / "bare").mkdir()
    with pytest.raises(TypeError, match="str"):
        cci.sync(tmp_path, tmp_path)
    with pytest.raises(NotADirectoryError):
        cci.sync(tmp_path / "nowhere", "exp")
    with pytest.raises(ObjectNotFound, match="pathlib"):
        cci.sync("nothing", tmp_path / "bare")
    with pytest.raises(ObjectNotFound, match="nothing is deleted"):
        cci.sync(tmp_path / "bare", "exp", delete=True)  # a disk that is not mounted
    with pytest.raises(ObjectNotFound, match="nothing is deleted"):
        cci.sync("exp", tmp_path / "bare", delete=True, include="*.npy")
    assert cci.ls("exp") == ["exp/a"]


def test_links(tmp_path: Path) -> None:
    import cottoncandy as cc

    cci = cc.get_interface(str(tmp_path / "store"), backend="local", verbose=False)
    here, outside = make(tmp_path / "here", {"a": b"a"}), make(tmp_path / "outside", {"secret": b"s"})
    (here / "inside").symlink_to(here / "a")
    (here / "out").symlink_to(outside / "secret")
    (here / "out_dir").symlink_to(outside)
    (here / "nowhere").symlink_to(here / "gone")
    (here / f".cottoncandy-{'0' * 16}").write_bytes(b"of a killed download")
    cci.upload_object("exp/out_dir/x", b"x")
    report = cci.sync(here, "exp", delete=True)
    assert (report.transferred, report.deleted) == (("a", "inside"), ())
    assert report.skipped == ("nowhere", "out", "out_dir")
    assert cci.glob("exp") == ["exp/a", "exp/inside", "exp/out_dir/x"]
    for target in ("exp/out_dir/x", "exp/out"):
        cci.rm("exp", recursive=True)
        cci.upload_object(target, b"x")
        cci.upload_object("exp/b", b"b")
        with pytest.raises(InvalidObjectName, match="leads out"):
            cci.sync("exp", here)
        assert not (here / "b").exists()  # nothing was written
    assert on_disk(outside) == {"secret": b"s"}


def test_names_that_leave_the_directory(recorded: Recorded, tmp_path: Path) -> None:
    cci, raw = recorded.store.interface(), recorded.store.raw
    for name in ("exp/../../evil", "exp//evil", "exp/a//b"):
        raw.put(name, b"!")
        raw.put("exp/a-good-one", b"g")
        with pytest.raises(InvalidObjectName):
            cci.sync("exp", tmp_path / "down")
        assert not (tmp_path / "down").exists()
        raw.delete(name)


def test_a_second_run_goes_on_where_the_first_was_stopped(recorded: Recorded, tmp_path: Path) -> None:
    store, proxy = recorded
    cci, here = store.interface(), make(tmp_path / "here", {f"{i:02}": bytes([i]) * 100 for i in range(20)})

    def refuse_the_tenth(request: Request) -> Response | None:
        return Response(403) if request.method == "PUT" and request.path.endswith("/10") else None

    proxy.hook = refuse_the_tenth
    with pytest.raises(CottonCandyError):
        cci.sync(here, "exp", threads=2)
    proxy.hook = None
    done = set(stored(store, "exp/"))
    assert 5 < len(done) < 20
    proxy.clear()
    assert set(cci.sync(here, "exp").transferred) == set(on_disk(here)) - done
    assert proxy.count("PUT") == 20 - len(done)
    proxy.clear()
    assert cci.sync(here, "exp").unchanged == 20
    assert (proxy.count("GET"), proxy.count("HEAD"), proxy.count()) == (1, 20, 21)


def test_where_the_times_differ_the_checksum_decides(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_MPU_USE_THRESHOLD", "5")
    store = recorded.store
    cci = store.interface()
    here = make(tmp_path / "here", {"small": b"s" * 9, "large": os.urandom(12 * 2**20 + 1), "empty": b""})
    cci.sync(here, "exp")
    assert store.backend().stat("exp/large").e_tag[-3:-1] == "-3"  # type: ignore[index]
    for path in here.iterdir():
        os.utime(path)
    assert cci.sync(here, "exp").unchanged == 3
    assert cci.sync(here, "exp", checksum=True).unchanged == 3
    time = (here / "large").stat()
    with (here / "large").open("r+b") as file:
        file.seek(11 * 2**20)
        file.write(b"changed")
    os.utime(here / "large", ns=(time.st_atime_ns, time.st_mtime_ns))  # as an archiver does
    assert cci.sync(here, "exp", checksum=True, dry_run=True).transferred == ("large",)
    os.utime(here / "large")
    assert cci.sync(here, "exp").transferred == ("large",)
    store.raw.put("exp/large", bytes(12 * 2**20 + 1), {"Mtime": "1.5"})  # written by somebody else
    assert cci.sync("exp", here).transferred == ("large",)
    assert (here / "large").stat().st_mtime == 1.5


def test_times_and_patterns() -> None:
    for time in (0, 1, 1_700_000_000_123_456_789):
        assert recorded_time({"Mtime": time_text(time)}) == time
    assert recorded_time({"mtime": "12"}) == 12 * 10**9
    assert recorded_time({"mtime": "yesterday"}) is None
    assert recorded_time({}) is None
    assert nanoseconds(None) is None
    takes: Any = selection("*.npy", "tmp/*")
    assert [takes(name) for name in ("a.npy", "x/a.npy", "tmp/a.npy", "a.txt")] == [True, True, False, False]

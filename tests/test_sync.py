"""Trees made alike: only what differs moves, nothing is lost on the way, and nothing leaves the directory."""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_files import files, write
from recorder import Request, Response
from s3_wire import error
from stores import Recorded, Store

from cottoncandy.diskfiles import replacing
from cottoncandy.errors import AccessDenied, ContainerNotFound, CottonCandyError, InvalidObjectName, ObjectNotFound
from cottoncandy.stream import source, up
from cottoncandy.syncing import selection
from cottoncandy.syncing.likeness import nanoseconds, recorded_time, time_text
from cottoncandy.waits import Waits

FILES = {"a.txt": b"one", "empty": b"", "sub/é +1.bin": b"two", "sub/deep/x.npy": bytes(2000), "tmp/scratch.tmp": b"!"}
#: Before a command: root may read all, unless it is without its privileges.
_AS_A_USER = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []


def make(root: Path, named: dict[str, bytes] = FILES) -> Path:
    return write(root, named)


def test_a_directory_goes_up_and_comes_back(store: Store, tmp_path: Path) -> None:
    cci, here, there = store.interface(), make(tmp_path / "here"), tmp_path / "there"
    store.raw.put("exp2/sibling", b"stays")
    plan = cci.sync(here, "exp", exclude="*.tmp", dry_run=True)
    assert (plan.transferred, plan.dry_run) == (("a.txt", "empty", "sub/deep/x.npy", "sub/é +1.bin"), True)
    assert store.raw.bodies("exp/") == {}
    assert cci.sync(here, "exp", exclude="*.tmp").transferred == plan.transferred
    assert store.raw.bodies("exp/") == {name: body for name, body in FILES.items() if name != "tmp/scratch.tmp"}
    again = cci.sync(here, "exp", exclude=["*.tmp"])
    assert (again.transferred, again.deleted, again.unchanged, again.nbytes) == ((), (), 4, 0)
    assert cci.sync(here, "exp", exclude="*.tmp", checksum=True).unchanged == 4

    down = cci.sync("exp", there)
    assert (len(down.transferred), down.nbytes) == (4, 2006)
    assert files(there) == store.raw.bodies("exp/")
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
    assert files(there) == store.raw.bodies("exp/")
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


@pytest.mark.stores("local")
@pytest.mark.parametrize("key", [None, os.urandom(32)], ids=["plain", "encrypted"])
def test_a_store_inside_of_the_directory_is_refused(key: bytes | None, tmp_path: Path) -> None:
    import cottoncandy as cc

    make(tmp_path, {"work/a": b"a", "work/sub/b": b"b"})
    (tmp_path / "link").symlink_to("work")
    store = tmp_path / "work" / "lab"
    cci = cc.get_interface(str(store), backend="local", verbose=False, encryption_key=key)
    cci.upload_object("other/x", b"x")
    cci.upload_object("exp/a", b"a")
    before = files(tmp_path)
    there = "one is inside of the other"
    for root in (tmp_path / "link", tmp_path, store, store / "exp", store / "exp" / "deeper"):
        for ends in ((root, "exp"), ("exp", root)):
            if ends == (store / "exp" / "deeper", "exp"):
                continue  # it is not there
            for options in ({}, {"delete": True}, {"include": "*a"}):
                with pytest.raises(InvalidObjectName, match=there):
                    cci.sync(*ends, **options)  # type: ignore[arg-type] # of a test
                assert files(tmp_path) == before
    assert cci.sync(tmp_path / "work", "backup", exclude="lab/*").transferred == ("a", "sub/b")
    assert cci.sync(tmp_path / "work", "backup", include="sub/*").unchanged == 1
    assert cci.sync("backup", tmp_path / "work", delete=True, exclude="lab/*").unchanged == 2
    assert cci.sync("backup", tmp_path / "beside").transferred == ("a", "sub/b")


@pytest.mark.stores("local", "moto", "ceph", "gdrive")
def test_two_branches(store: Store) -> None:
    cci = store.interface()
    for name in ("exp/a", "exp/sub/b", "exp2/a", "copy/old"):
        store.raw.put(name, name.encode())
    report = cci.sync("exp", "copy", delete=True)
    assert (report.transferred, report.deleted) == (("a", "sub/b"), ("old",))
    assert store.raw.bodies("copy/") == {"a": b"exp/a", "sub/b": b"exp/sub/b"}
    assert cci.sync("exp", "copy").transferred == ()
    with pytest.raises(InvalidObjectName, match="inside"):
        cci.sync("exp", "exp/sub")
    if not store.has("no-containers"):
        other = store.second_container()
        assert len(cci.sync("exp", "exp", dest_bucket=other.container).transferred) == 2
        assert other.raw.bodies("exp/") == store.raw.bodies("exp/")


def _until_a_second_begins() -> None:
    """What comes next is within one second, as far as a store tells the time."""
    time.sleep(1 - time.time() % 1)


@pytest.mark.stores("moto")
def test_what_is_replaced_within_the_second_of_a_download_comes_down_too(store: Store, tmp_path: Path) -> None:
    cci, here = store.interface(), tmp_path / "here"
    _until_a_second_begins()
    store.raw.put("exp/a", b"old")
    cci.sync("exp", here)
    store.raw.put("exp/a", b"new")
    assert cci.sync("exp", here).transferred == ("a",)
    assert files(here) == {"a": b"new"}
    assert cci.sync("exp", here).unchanged == 1


@pytest.mark.stores("moto")
def test_of_two_branches_a_newer_source_is_copied_whatever_its_bytes(store: Store) -> None:
    """The bytes of an array may be the same, and the array another."""
    cci = store.interface()
    for wait in (0.0, 1.1):  # within the second of the first copy, and behind it
        _until_a_second_begins()
        cci.upload_raw_array("exp/a", np.zeros((2, 3), "f4"), compression=False)
        assert cci.sync("exp", "copy").transferred == ("a",)
        time.sleep(wait)
        cci.upload_raw_array("exp/a", np.zeros((3, 2), "i4"), compression=False)
        assert cci.sync("exp", "copy").transferred == ("a",)
        copied = cci.download_raw_array("copy/a")
        assert (copied.dtype, copied.shape) == (np.int32, (3, 2))
        assert cci.sync("exp", "copy").unchanged == 1
        time.sleep(1.1)


@pytest.mark.stores("moto")
def test_of_two_branches_other_bytes_in_a_newer_copy_are_replaced(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    store.raw.put("exp/a", b"good")
    cci.sync("exp", "copy")
    time.sleep(1.1)
    store.raw.put("copy/a", b"evil")
    assert cci.sync("exp", "copy").transferred == ("a",)
    assert store.raw.bodies("copy/") == {"a": b"good"}
    # with keys of a KMS, ETags tell nothing of bytes
    time.sleep(1.1)
    client, bucket = store.raw.client, store.container  # type: ignore[attr-defined]
    client.put_object(Bucket=bucket, Key="copy/a", Body=b"evil", ServerSideEncryption="aws:kms")
    assert cci.sync("exp", "copy").unchanged == 1
    assert cci.sync("exp", "copy", checksum=True, dry_run=True).transferred == ("a",)
    client.put_object(Bucket=bucket, Key="copy/a", Body=b"good", ServerSideEncryption="aws:kms")
    time.sleep(1.1)
    proxy.clear()
    assert cci.sync("exp", "copy").unchanged == 1
    assert (proxy.count("HEAD"), proxy.count("PUT")) == (0, 0)


@pytest.mark.stores("local", "moto", "gdrive")
def test_the_checksum_of_two_branches_is_of_bytes_and_metadata(store: Store) -> None:
    cci = store.interface()
    for name, body in FILES.items():
        cci.upload_object(f"exp/{name}", body, subject="S01")
    assert len(cci.sync("exp", "copy", checksum=True).transferred) == len(FILES)
    assert cci.sync("exp", "copy", checksum=True).unchanged == len(FILES)
    cci.upload_object("copy/a.txt", b"ONE", subject="S01")
    cci.upload_object("copy/empty", b"", subject="S02")
    assert cci.sync("exp", "copy", checksum=True).transferred == ("a.txt", "empty")
    assert cci.get_object("copy/empty").metadata["subject"] == "S01"
    assert cci.sync("exp", "copy", checksum=True).unchanged == len(FILES)


@pytest.mark.stores("moto")
def test_the_checksum_of_two_branches_reads_what_came_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_MPU_USE_THRESHOLD", "5")
    cci, body = store.interface(), os.urandom(12 * 2**20 + 1)
    cci.upload_object("exp/large", body)
    store.raw.put("copy/large", body)  # whose ETag is of another form
    assert cci.sync("exp", "copy", checksum=True).unchanged == 1
    store.raw.put("copy/large", body[:-1] + bytes([body[-1] ^ 1]))
    assert cci.sync("exp", "copy", checksum=True).transferred == ("large",)
    assert store.raw.bodies("copy/") == {"large": body}


@pytest.fixture
def few_calls() -> Iterator[int]:
    """More than functions may call each other, which is less than elsewhere: what lies so deep takes its time."""
    before, most = sys.getrecursionlimit(), 300
    sys.setrecursionlimit(len(inspect.stack()) + most)
    yield most + 50
    sys.setrecursionlimit(before)


@pytest.mark.skipif(os.name == "nt", reason="paths are shorter there, and rm is another")
def test_directories_may_lie_as_deep_as_the_system_lets_them(tmp_path: Path, few_calls: int) -> None:
    """Deeper than functions may call each other."""
    import cottoncandy as cc

    cci = cc.get_interface(str(tmp_path / "store"), backend="local", verbose=False)
    here, deep = tmp_path / "here", "/".join("d" * few_calls)
    place = here
    place.mkdir()
    for _ in range(few_calls):
        place /= "d"
        place.mkdir()
    (here / deep / "f").write_bytes(b"f")
    (here / "d0").write_bytes(b"behind")
    try:
        assert cci.sync(here, "exp").transferred == (f"{deep}/f", "d0")
        cci.upload_from_directory(here, "put", recursive=True)
        assert cci.glob("put") == [f"put/{deep}/f", "put/d0"]
        assert cci.sync("exp", tmp_path / "down").transferred == (f"{deep}/f", "d0")
        cci.download_directory("exp", str(tmp_path / "directory"))
        for root in ("down", "directory"):
            assert (tmp_path / root / deep / "f").read_bytes() == b"f"
        cci.rm("exp", recursive=True)
        cci.upload_object("exp/d", b"a file")
        assert cci.sync("exp", tmp_path / "down", delete=True).deleted == (f"{deep}/f", "d0")
        assert files(tmp_path / "down") == {"d": b"a file"}
        assert cci.clean_uploads() == []
    finally:
        for tree in tmp_path.iterdir():
            subprocess.run(["rm", "-rf", str(tree)], check=True)  # shutil.rmtree does not come so deep


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
    assert files(outside) == {"secret": b"s"}


@pytest.mark.stores("local", "moto")
def test_a_link_in_the_destination_gives_way_to_the_file_that_is_to_be_there(store: Store, tmp_path: Path) -> None:
    cci, here = store.interface(), make(tmp_path / "here", {"run1": b"run1", "run2": b"run2"})
    (here / "chain").symlink_to("latest")
    (here / "latest").symlink_to("run1")
    assert len(cci.sync(here, "exp").transferred) == 4
    assert cci.sync("exp", here).unchanged == 4  # a link to the same bytes stays one
    assert (here / "latest").is_symlink()

    cci.upload_object("exp/latest", b"RUN2")
    assert cci.sync("exp", here).transferred == ("chain", "latest")  # the bytes of both are other ones by now
    assert files(here) == {"run1": b"run1", "run2": b"run2", "latest": b"RUN2", "chain": b"run1"}
    assert cci.sync("exp", here).unchanged == 4

    (here / "chain").unlink()
    (here / "chain").symlink_to("run1")
    cci.rm("exp/run1")
    report = cci.sync("exp", here, delete=True)  # what the link leads to goes
    assert (report.transferred, report.deleted) == (("chain",), ("run1",))
    assert files(here) == store.raw.bodies("exp/") == {"run2": b"run2", "latest": b"RUN2", "chain": b"run1"}
    assert cci.sync("exp", here, delete=True).unchanged == 3


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
    done = set(store.raw.bodies("exp/"))
    assert 5 < len(done) < 20
    proxy.clear()
    assert set(cci.sync(here, "exp").transferred) == set(files(here)) - done
    assert proxy.count("PUT") == 20 - len(done)
    proxy.clear()
    assert cci.sync(here, "exp").unchanged == 20
    assert (proxy.count("GET"), proxy.count("HEAD"), proxy.count()) == (1, 20, 21)


def test_a_file_that_cannot_be_stored_keeps_no_other_from_its_place(store: Store, tmp_path: Path) -> None:
    cci, here = store.interface(), make(tmp_path / "here")
    here.joinpath("b\udcff").write_bytes(b"no text")  # as an old archive leaves names
    here.joinpath("z\udcff").write_bytes(b"no text")
    store.raw.put("exp/old", b"stays")
    for _ in range(2):  # it is told each time
        with pytest.raises(InvalidObjectName, match=r"here/b\\udcff: .*no valid Unicode text \(and 1 more\)"):
            cci.sync(here, "exp", delete=True)
        assert store.raw.bodies("exp/") == {**FILES, "old": b"stays"}  # nothing is deleted
    done = cci.sync(here, "exp", delete=True, exclude="?\udcff")
    assert (done.deleted, done.unchanged) == (("old",), len(FILES))


@pytest.mark.stores("local")
def test_a_name_that_the_store_refuses_keeps_no_other_from_its_place(store: Store, tmp_path: Path) -> None:
    cci, here = store.interface(), make(tmp_path / "here", {**FILES, "0.meta.json": b"!"})
    with pytest.raises(InvalidObjectName, match=rf"{here}/0\.meta\.json: .*are kept for the metadata"):
        cci.sync(here, "exp", threads=1)
    assert store.raw.bodies("exp/") == FILES


def test_what_may_not_be_read_keeps_no_other_from_its_place(tmp_path: Path) -> None:
    here, there = make(tmp_path / "here", {f"{i:03}": b"%d" % i for i in range(31)}), tmp_path / "there"
    make(here, {"closed/in": b"not listed", "half/in": b"listed"})
    make(there, {"exp/old": b"stays"})
    for name, mode in (("010", 0), ("020", 0), ("closed", 0), ("half", 0o600)):
        (here / name).chmod(mode)
    call = [*_AS_A_USER, sys.executable, "-m", "cottoncandy", "sync", str(here), f"local://{there}//exp", "--delete"]
    try:
        for _ in range(2):
            done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
            told = f"cottoncandy: {here}/010: Permission denied (and 3 more)\n"
            assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
            assert len(files(there / "exp")) >= 29 + 1
        assert files(there / "exp")["030"] == b"30"
        assert (there / "exp" / "old").exists()
        (here / "010").chmod(0o600)
        (here / "020").chmod(0o600)
        left_out = ["--exclude", "closed", "--exclude", "half/*"]
        done = subprocess.run([*call, *left_out], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout.splitlines()[:3]) == (0, ["transfer 010", "transfer 020", "delete old"])
    finally:
        for name in ("closed", "half"):
            (here / name).chmod(0o700)


def test_what_vanishes_is_passed_over(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, proxy = recorded
    cci, here = store.interface(), make(tmp_path / "here", {**FILES, "gone/x": b"x", "z": b"z"})
    for name in ("gone/x", "gone/y", "z", "a.txt"):
        store.raw.put(f"exp/{name}", b"of the last run")
    scandir = os.scandir

    def scan(path: Any) -> Any:
        if path == here / "gone":  # z is listed already
            shutil.rmtree(path)
            (here / "z").unlink()
        return scandir(path)

    def lose(_: Request) -> Response | None:
        (here / "a.txt").unlink(missing_ok=True)  # when all has been listed
        return None

    monkeypatch.setattr(os, "scandir", scan)
    proxy.hook = lose
    done = cci.sync(here, "exp", delete=True)
    proxy.hook = None
    assert (set(done.transferred), done.deleted) == (FILES.keys() - {"a.txt"}, ())
    assert store.raw.bodies("exp/")["gone/y"] == b"of the last run"  # a disk that goes away deletes no backup
    assert set(cci.sync(here, "exp", delete=True).deleted) == {"gone/x", "gone/y", "z", "a.txt"}


def test_an_object_that_vanishes_is_passed_over(recorded: Recorded, tmp_path: Path) -> None:
    store, proxy = recorded
    cci = store.interface()
    for name in ("a", "b", "c"):
        store.raw.put(f"exp/{name}", name.encode())

    def lose(request: Request) -> Response | None:
        if request.path.endswith("/b"):
            store.raw.delete("exp/b")
        return None

    proxy.hook = lose
    assert cci.sync("exp", tmp_path / "here").transferred == ("a", "c")
    assert files(tmp_path / "here") == {"a": b"a", "c": b"c"}


def test_a_file_that_became_a_directory_and_one_in_the_way_of_one(recorded: Recorded, tmp_path: Path) -> None:
    store, proxy = recorded
    cci, here, there = store.interface(), make(tmp_path / "here"), make(tmp_path / "there", {"a.txt/mine": b"1"})

    def change(_: Request) -> Response | None:
        if (here / "a.txt").is_file():
            (here / "a.txt").unlink()
            (here / "a.txt").mkdir()
        return None

    proxy.hook = change
    with pytest.raises(IsADirectoryError, match=f"^{here}/a.txt: "):
        cci.sync(here, "exp")
    proxy.hook = None
    others = {name: body for name, body in FILES.items() if name != "a.txt"}
    assert store.raw.bodies("exp/") == others
    store.raw.put("exp/a.txt", b"a")
    make(there, {"sub": b"2"})
    with pytest.raises(IsADirectoryError, match=r"a\.txt.* remove it first \(and 2 more\)"):
        cci.sync("exp", there)
    assert files(there) == {"a.txt/mine": b"1", "sub": b"2", "empty": b"", "tmp/scratch.tmp": b"!"}


KEPT = {"kept/x": b"1", "other": b"2"}
FILE = {**KEPT, "a": b"a file"}
DIRECTORY = {**KEPT, "a/b": b"deep", "a/c/d": b"deeper"}


@pytest.mark.parametrize(("before", "after"), [(FILE, DIRECTORY), (DIRECTORY, FILE)], ids=["file", "directory"])
def test_what_was_the_other_kind(
    before: dict[str, bytes], after: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    """Where a place cannot be both, its old content goes first: it is deleted anyway."""
    cci, here, there = store.interface(), make(tmp_path / "here", before), tmp_path / "there"
    cci.sync(here, "exp")
    cci.sync("exp", there)
    shutil.rmtree(here / "a") if (here / "a").is_dir() else (here / "a").unlink()
    make(here, {name: body for name, body in after.items() if name not in KEPT})
    changes = tuple(sorted(after.keys() - KEPT.keys())), tuple(sorted(before.keys() - KEPT.keys()))
    plan = cci.sync(here, "exp", delete=True, dry_run=True)
    assert (plan.transferred, plan.deleted) == changes
    assert store.raw.bodies("exp/") == before
    for run in ("first", "second"):
        up, down = cci.sync(here, "exp", delete=True), cci.sync("exp", there, delete=True)
        for report in (up, down):
            assert (report.transferred, report.deleted) == (changes if run == "first" else ((), ()))
        assert store.raw.bodies("exp/") == files(there) == after


def test_a_file_that_may_not_be_read_deletes_nothing(tmp_path: Path) -> None:
    """Neither what is in its way, nor what else only the destination has."""
    here, there = make(tmp_path / "here", FILE), tmp_path / "there"
    make(there / "exp", {**DIRECTORY, "old": b"stays"})
    (here / "a").chmod(0)
    call = [*_AS_A_USER, sys.executable, "-m", "cottoncandy", "sync", str(here), f"local://{there}//exp", "--delete"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, f"cottoncandy: {here}/a: Permission denied\n")
    assert files(there / "exp") == {**DIRECTORY, "old": b"stays"} | {
        name: body for name, body in files(there / "exp").items() if name.endswith(".meta.json")
    }


@pytest.mark.stores("moto")
def test_an_object_that_may_not_be_read_deletes_nothing(recorded: Recorded, tmp_path: Path) -> None:
    store, proxy = recorded
    there = make(tmp_path / "there", {**DIRECTORY, "old": b"stays"})
    for name, body in FILE.items():
        store.raw.put(f"exp/{name}", body)
    proxy.hook = lambda request: (
        error("AccessDenied", 403) if request.method == "GET" and request.path.endswith("/a") else None
    )
    with pytest.raises(AccessDenied, match="exp/a"):
        store.interface().sync("exp", there, delete=True)
    assert files(there) == {**DIRECTORY, "old": b"stays"}


@pytest.mark.stores("moto", "gdrive")
def test_two_that_cannot_both_be_on_disk_change_nothing(store: Store, tmp_path: Path) -> None:
    store.raw.put("exp/c/x", b"1")
    store.raw.put("exp/c/x/y", b"2")
    there = make(tmp_path / "there", {"c": b"mine", "d/z": b"3"})
    for dry_run in (True, False):
        with pytest.raises(InvalidObjectName, match="cannot both lie"):
            store.interface().sync("exp", there, delete=True, dry_run=dry_run)
    assert files(there) == {"c": b"mine", "d/z": b"3"}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("how", ["sync", "download_directory"])
def test_what_a_killed_download_left_is_removed(
    how: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, body = make(tmp_path / "there", {"sub/mine": b"mine"}), os.urandom(2**20)
    store.raw.put("exp/sub/a", body)
    code = f"""if 1:
        import os, signal
        from pathlib import Path
        from cottoncandy.diskfiles import replacing
        with replacing(Path({str(there / "sub" / "gone")!r}), "an object") as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", code], check=False)
    with replacing(there / "sub" / "held", "an object") as held:
        (abandoned,) = {path for path in there.rglob(".cottoncandy-*") if path != Path(held.name)}

        def download() -> None:
            if how == "sync":
                store.interface().sync("exp", there, delete=True, exclude="mine")
            else:
                store.interface().download_directory("exp", str(there))

        download()
        assert abandoned.exists()  # for an hour: it may be held on another machine
        monkeypatch.setattr("cottoncandy.diskfiles._LEFT_ALONE", 0, raising=False)
        if how == "sync":
            store.interface().sync("exp", there, dry_run=True)
            assert abandoned.exists()
        download()
        assert not abandoned.exists()
        held.write(b"whole")
    assert files(there) == {"sub/mine": b"mine", "sub/a": body, "sub/held": b"whole"}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("more", ["link", "pipe", "directory"])
def test_what_is_in_no_listing_keeps_a_directory(more: str, store: Store, tmp_path: Path) -> None:
    there = make(tmp_path / "there", DIRECTORY)
    store.raw.put("exp/a", b"x")
    store.raw.put("exp/other", b"2")
    match more:
        case "link":
            (there / "a/more").symlink_to(tmp_path)
        case "pipe":
            os.mkfifo(there / "a/more")
        case "directory":
            (there / "a/more").mkdir()
    with pytest.raises(IsADirectoryError, match="exp/a"):
        store.interface().sync("exp", there, delete=True)
    assert files(there) == DIRECTORY


@pytest.mark.stores("local")
@pytest.mark.parametrize("more", ["link", "linked directory", "pipe", "file without a name", "write under way"])
def test_what_is_in_no_listing_keeps_objects_where_an_object_is_to_be(more: str, store: Store, tmp_path: Path) -> None:
    cci, here, root = store.interface(), make(tmp_path / "here", FILE), Path(store.container)
    for branch in ("exp", "else"):
        cci.sync(make(tmp_path / branch, DIRECTORY if branch == "exp" else FILE), branch)
    place = root / "exp/a/c"
    with contextlib.ExitStack() as stack:
        match more:
            case "link":
                (place / "more").symlink_to(tmp_path / "else/a")
            case "linked directory":
                (place / "more").symlink_to(root / "exp/kept")
            case "pipe":
                os.mkfifo(place / "more")
            case "file without a name":
                Path(os.fsdecode(bytes(place) + b"/\xff")).write_bytes(b"")
            case "write under way":
                stack.callback(cci.backend_interface.start_upload("exp/a/c/more", {}).abort)
        for source in (here, "else"):
            with pytest.raises(InvalidObjectName, match=r"exp/a' in .* is a directory"):
                cci.sync(source, "exp", delete=True)
            assert {name: (root / "exp" / name).read_bytes() for name in DIRECTORY} == DIRECTORY


@pytest.mark.stores("local")
def test_what_a_store_removes_itself_keeps_no_object(store: Store, tmp_path: Path) -> None:
    """Empty directories, and metadata without an object."""
    cci, here, root = store.interface(), make(tmp_path / "here", FILE), Path(store.container)
    cci.sync(make(tmp_path / "there", DIRECTORY), "exp")
    (root / "exp/a/empty/deep").mkdir(parents=True)
    (root / "exp/a/c/gone.meta.json").write_text("{}")
    cci.sync(here, "exp", delete=True)
    assert store.raw.bodies("exp/") == FILE


@pytest.mark.stores("local", "moto")
def test_a_directory_with_more_in_it_stays(store: Store, tmp_path: Path) -> None:
    cci, here, there = store.interface(), make(tmp_path / "here", FILE), make(tmp_path / "there", DIRECTORY)
    make(there, {"a/notes.tmp": b"mine"})
    cci.sync(here, "exp")
    with pytest.raises(IsADirectoryError, match="exp/a"):
        cci.sync("exp", there, delete=True, exclude="*.tmp")
    assert files(there) == {**DIRECTORY, "a/notes.tmp": b"mine"}
    with pytest.raises(IsADirectoryError, match="exp/a"):
        cci.sync("exp", there)


def test_bare_bytes_in_the_place_of_a_raw_array_are_warned_of(
    recorded: Recorded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, proxy = recorded
    cci, here = store.interface(), make(tmp_path / "here", {"same/size": bytes(24), "longer": b"!" * 999, "new": b"n"})
    for name in ("same/size", "longer"):
        cci.upload_raw_array(f"exp/{name}", np.arange(3.0), compression=False)
    assert len(cci.sync("exp", tmp_path / "down").transferred) == 2
    assert cci.sync(tmp_path / "down", "exp").unchanged == 2  # as it was: nothing is replaced
    proxy.clear()
    assert len(cci.sync(here, "exp").transferred) == 3
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sorted(told) == [
        f"{store.backend().describe(f'exp/{name}')} is a raw array: the bare bytes of {here / name} take its place, "
        "without dtype and shape"
        for name in ("longer", "same/size")
    ]
    assert proxy.count("HEAD") == 2  # one for each that is replaced
    caplog.clear()
    make(here, {"longer": b"?" * 998})
    assert cci.sync(here, "exp").transferred == ("longer",)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_what_concerns_all_stops_at_once(recorded: Recorded, tmp_path: Path) -> None:
    store, proxy = recorded
    cci, here = store.interface(), make(tmp_path / "here", {f"{i:02}": b"!" for i in range(50)})
    proxy.hook = lambda request: error("NoSuchBucket", 404) if request.method == "PUT" else None
    with pytest.raises(ContainerNotFound):
        cci.sync(here, "exp", threads=1)
    assert proxy.count("PUT") <= 2  # what was sent ahead and failed is sent once more


@pytest.mark.parametrize("asked", [None, 12])
@pytest.mark.stores("moto")
def test_the_configured_threads_keep_to_little_memory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int | None
) -> None:
    """As those of one upload or download do; so does a look for damage. Those that the caller asks for are taken."""
    monkeypatch.setenv("COTTONCANDY_BASIC_THREADS", "32")
    monkeypatch.setattr(Waits, "are_few", False)  # as where each answer takes long
    cci, here = store.interface(), make(tmp_path / "here", {"large": os.urandom(60 * 2**20)})
    up_at_a_time = _noted(monkeypatch, up, "for_each")
    cci.sync(here, "exp", threads=asked)
    assert up_at_a_time == [asked or 5]
    down_at_a_time = _noted(monkeypatch, source, "map_threads")
    cci.sync("exp", tmp_path / "there", threads=asked)
    assert down_at_a_time == [asked or 4]
    assert files(tmp_path / "there") == files(here)


@pytest.mark.stores("moto")
def test_a_look_for_damage_keeps_to_little_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_THREADS", "32")
    monkeypatch.setenv("COTTONCANDY_DOWNLOAD_SETTINGS_MPD_USE_THRESHOLD", "5")
    monkeypatch.setattr(Waits, "are_few", False)
    cci = store.interface()
    cci.upload_raw_array("exp/a", np.random.default_rng(0).bytes(40 * 2**20), compression=False)
    at_a_time = _noted(monkeypatch, source, "map_threads")
    assert cci.verify("exp").ok
    assert at_a_time == [4]


def _noted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[int]:
    """How many threads a function of a module is told to take, call by call."""
    function: Any = getattr(module, name)
    noted: list[int] = []

    def noting(action: Any, items: Any, threads: int, **others: Any) -> Any:
        noted.append(threads)
        return function(action, items, threads, **others)

    monkeypatch.setattr(module, name, noting)
    return noted


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


def test_files_of_before_1970_and_of_far_from_now(store: Store, tmp_path: Path) -> None:
    cci, here, there = store.interface(), make(tmp_path / "here", {f"{i}": b"!" for i in range(3)}), tmp_path / "there"
    for name, seconds in (("0", -1_500_000_000), ("1", 11_000_000_000), ("2", 10**12)):
        os.utime(here / name, (seconds, seconds))
    assert len(cci.sync(here, "exp").transferred) == 3
    assert cci.sync(here, "exp").unchanged == 3
    cci.sync("exp", there)
    assert cci.sync("exp", there).unchanged == 3
    for name in "012":
        assert (there / name).stat().st_mtime_ns == (here / name).stat().st_mtime_ns


@pytest.mark.parametrize("told", ["99999999999", "-99999999999.5", "1e5", "-", "nan"])
def test_a_time_that_no_file_can_have(store: Store, tmp_path: Path, told: str) -> None:
    store.raw.put("exp/a", b"!", {"mtime": told})
    store.interface().sync("exp", tmp_path / "there")
    assert files(tmp_path / "there") == {"a": b"!"}


def test_times_and_patterns() -> None:
    for moment in (0, 1, -1, -1_500_000_000, 1_700_000_000_123_456_789, 15_032_385_535 * 10**9):
        assert recorded_time({"Mtime": time_text(moment)}) == moment
    assert recorded_time({"mtime": "12"}) == 12 * 10**9
    assert recorded_time({"mtime": "yesterday"}) is None
    assert recorded_time({}) is None
    assert nanoseconds(None) is None
    takes: Any = selection("*.npy", "tmp/*")
    assert [takes(name) for name in ("a.npy", "x/a.npy", "tmp/a.npy", "a.txt")] == [True, True, False, False]


@pytest.mark.stores("moto", "ceph")
@pytest.mark.parametrize("to_disk", [False, True], ids=["to a branch", "to disk"])
def test_what_no_file_can_be_is_told(store: Store, tmp_path: Path, to_disk: bool) -> None:
    """0.4.0 stored such objects; of other programs, empty ones stand for directories."""
    for key, body in {"exp/": b"own", "exp/d/": b"body", "exp/e/": b"", "exp/a": b"one"}.items():
        store.raw.put(key, body)
    cci, target = store.interface(), tmp_path / "there" if to_disk else "copy"
    report = cci.sync("exp", target, delete=True)
    assert (report.transferred, report.skipped) == (("a",), ("/", "d/"))
    assert (files(tmp_path / "there") if to_disk else store.raw.bodies("copy/")) == {"a": b"one"}
    again = cci.sync("exp", target)
    assert (again.transferred, again.unchanged, again.skipped) == ((), 1, ("/", "d/"))
    store.raw.delete("exp/a")
    assert cci.sync("exp", target).skipped == ("/", "d/")
    for key in ("exp/", "exp/d/"):
        store.raw.delete(key)
    with pytest.raises(ObjectNotFound, match="nothing is below"):
        cci.sync("exp", target)

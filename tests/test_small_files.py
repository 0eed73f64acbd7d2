"""Directories of small files: one request each, whose answers are read later. On the wire, and when it breaks."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_files import files, write
from recorder import Fault, Request
from s3_wire import error
from stores import Recorded

from cottoncandy import waits
from cottoncandy.backends.s3.lean import connections
from cottoncandy.errors import AccessDenied
from cottoncandy.waits import Waits

pytestmark = pytest.mark.lean_wire("botocore's connections answer at once")

FILES = {f"{number % 3}/{number:02}": os.urandom(2000) for number in range(40)}
MIXED = {**FILES, "large": os.urandom(200_000), "none": b"", "1/none": b""}

Interface = Any
Way = Callable[[Interface, Path, Path], Any]


def upload(cci: Interface, source: Path, _: Path) -> None:
    cci.upload_from_directory(source, "new", recursive=True)


def sync_up(cci: Interface, source: Path, _: Path) -> None:
    cci.sync(source, "new")


def download(cci: Interface, _: Path, target: Path) -> None:
    cci.download_directory("old", str(target))


def sync_down(cci: Interface, _: Path, target: Path) -> None:
    cci.sync("old", target)


def sync_across(cci: Interface, _: Path, __: Path) -> None:
    cci.sync("old", "new")


WAYS: dict[str, tuple[Way, str]] = {
    "upload": (upload, "PUT"),
    "sync up": (sync_up, "PUT"),
    "download": (download, "GET"),
    "sync down": (sync_down, "GET"),
    "sync across": (sync_across, "PUT"),
}
each_way = pytest.mark.parametrize("way", WAYS)


class Ends:
    """A branch of the store and a directory that hold the same files, and where these go to."""

    def __init__(self, recorded: Recorded, folder: Path, way: str, files: dict[str, bytes]) -> None:
        self.store, self.proxy = recorded
        self.cci, self.files = self.store.interface(), files
        self._way, self.method = WAYS[way]
        self.source, self.target = write(folder / "source", files), folder / "target"
        for name, body in files.items():
            self.store.raw.put(f"old/{name}", body)

    def go(self) -> None:
        self._way(self.cci, self.source, self.target)

    def takes_part(self, request: Request) -> bool:
        return request.method == self.method and request.path.rpartition("/")[2][:2].isdecimal()

    def counts(self) -> Counter[str]:
        """How often each of the small files moved."""
        return Counter(request.path.rpartition("/")[2] for request in self.proxy.requests if self.takes_part(request))

    def require_all(self) -> None:
        found = files(self.target) if self.method == "GET" else self.store.raw.bodies("new/")
        assert found == self.files


@each_way
def test_one_request_each(recorded: Recorded, tmp_path: Path, way: str) -> None:
    ends = Ends(recorded, tmp_path, way, MIXED)
    ends.go()
    ends.require_all()
    assert ends.counts() == Counter(dict.fromkeys((name[2:] for name in FILES), 1))


@each_way
def test_many_are_under_way_at_once(
    recorded: Recorded, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the caller's thread alone: the first answer comes when the twentieth request has."""
    monkeypatch.setattr(connections, "_AT_ONCE", 60)  # however busy the machine is
    monkeypatch.setattr(waits, "_LONG", 60)
    ends = Ends(recorded, tmp_path, way, FILES)
    come, twenty, started = itertools.count(1), threading.Event(), list[str]()
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        if thread.name == "cottoncandy":
            started.append(thread.name)
        start(thread)

    def hook(request: Request) -> None:
        if ends.takes_part(request):
            if next(come) >= 20:
                twenty.set()
            assert twenty.wait(30)

    monkeypatch.setattr(threading.Thread, "start", note)
    ends.proxy.hook = hook
    ends.go()
    ends.require_all()
    assert not started


@each_way
def test_a_slow_disk_is_left_to_threads(
    recorded: Recorded, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "_LONG", -1.0)  # any disk is
    monkeypatch.setattr(waits, "_SOME", 5)
    ends = Ends(recorded, tmp_path, way, FILES)
    ends.go()
    ends.require_all()
    assert max(ends.counts().values()) == 1


def test_waits() -> None:
    busy, idle = Waits(), Waits()
    for _ in range(20):
        with busy:
            sum(range(1000))
        with idle:
            time.sleep(0.005)
    assert not busy.are_long
    assert idle.are_long


FAULTS = [
    error("SlowDown", 503),
    Fault("drop"),
    Fault("lose"),
    Fault("reset", 100),
    Fault("truncate", 100),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@each_way
def test_what_fails_is_done_again(recorded: Recorded, tmp_path: Path, way: str, fault: Any) -> None:
    ends = Ends(recorded, tmp_path, way, MIXED)
    left = itertools.count(1, -1)
    ends.proxy.hook = lambda request: (
        fault if ends.takes_part(request) and request.path.endswith("/07") and next(left) > 0 else None
    )
    ends.go()
    ends.proxy.hook = None
    ends.require_all()


@each_way
def test_an_error_names_the_object_and_no_part_of_a_file_stays(recorded: Recorded, tmp_path: Path, way: str) -> None:
    ends = Ends(recorded, tmp_path, way, FILES)
    refusal = error("AccessDenied", 403)
    ends.proxy.hook = lambda request: refusal if ends.takes_part(request) and request.path.endswith("/23") else None
    with pytest.raises(AccessDenied, match="2/23"):
        ends.go()
    assert not [name for name in files(tmp_path) if ".cottoncandy-" in name]


# where Ctrl-C comes between `open` and its block, Python closes the file itself, and warns of it
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@each_way
def test_ctrl_c(recorded: Recorded, tmp_path: Path, way: str) -> None:
    ends = Ends(recorded, tmp_path, way, FILES)

    def interrupt(request: Request) -> None:
        if ends.takes_part(request) and request.path.endswith("/07"):
            os.kill(os.getpid(), signal.SIGINT)

    ends.proxy.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        ends.go()
    ends.proxy.hook = None
    assert not [name for name in files(tmp_path) if ".cottoncandy-" in name]
    ends.go()
    ends.require_all()


@pytest.mark.parametrize("way", ["download", "sync down"])
@pytest.mark.parametrize("size", [0, 10, 3_000, 300_000])
def test_an_object_that_has_another_size_by_then(recorded: Recorded, tmp_path: Path, way: str, size: int) -> None:
    ends = Ends(recorded, tmp_path, way, FILES)
    new = os.urandom(size)

    def hook(request: Request) -> None:
        if ends.takes_part(request) and ends.files["2/20"] != new:
            ends.files = {**ends.files, "2/20": new}
            ends.store.raw.put("old/2/20", new)

    ends.proxy.hook = hook
    ends.go()
    ends.require_all()


@pytest.mark.parametrize("way", ["upload", "sync up"])
def test_a_file_that_vanishes(recorded: Recorded, tmp_path: Path, way: str) -> None:
    """`sync` passes it over; who names a directory is told."""
    ends = Ends(recorded, tmp_path, way, FILES)
    ends.proxy.hook = lambda request: (
        (ends.source / "2/38").unlink(missing_ok=True) if ends.takes_part(request) else None
    )
    if way == "upload":
        with pytest.raises(FileNotFoundError, match="2/38"):
            ends.go()
        return
    ends.go()
    assert ends.store.raw.bodies("new/") == {name: body for name, body in FILES.items() if name != "2/38"}


def test_metadata_of_each(recorded: Recorded, tmp_path: Path) -> None:
    ends = Ends(recorded, tmp_path, "upload", FILES)
    extra = {"Metadata": {"subject": "S01"}, "ACL": "private"}
    ends.cci.upload_from_directory(ends.source, "new", recursive=True, ExtraArgs=extra)
    assert {tuple(ends.store.raw.get(f"new/{name}")[1].items()) for name in FILES} == {(("subject", "S01"),)}
    ends.cci.upload_from_directory(ends.source, "more", recursive=True, ExtraArgs={"ContentType": "text/plain"})
    assert (
        ends.store.raw.client.head_object(Bucket=ends.store.raw.bucket, Key="more/2/38")["ContentType"] == "text/plain"
    )

"""Many writers of a local store at once; killed and interrupted ones, and what they leave."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest
from local_files import files, keys, read

from cottoncandy.backends.base import WriteOptions
from cottoncandy.backends.local import LocalBackend, locks, names
from cottoncandy.errors import (
    ContainerNotEmpty,
    InvalidObjectName,
    ObjectExists,
    ObjectNotFound,
)

ONLY_IF_ABSENT = WriteOptions(if_absent=True)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_posix = pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def backend(root: Path) -> LocalBackend:
    return LocalBackend.connect(str(root))


# ------------------------------------------------------------------ many writers at once
def pair_of(number: int) -> tuple[bytes, dict[str, str]]:
    """Bytes and metadata that name each other."""
    return f"{number}-".encode() * (1 + number % 3000), {"number": str(number)}


def is_a_pair(found: tuple[bytes, dict[str, str]]) -> bool:
    return "number" in found[1] and found == pair_of(int(found[1]["number"]))


def race(backend: LocalBackend) -> None:
    """Threads write, copy, remove and read the same two objects, and must never see a mixture."""
    ends = time.monotonic() + 60
    seen: list[int] = []

    def goes_on() -> bool:
        assert time.monotonic() < ends
        return len(seen) < 200 and not any(future.done() for future in done)

    def write(worker: int) -> None:
        for number in itertools.takewhile(lambda _: goes_on(), itertools.count(worker, 10)):
            body, metadata = pair_of(number)
            backend.put("dir/sub/one", body, metadata)
            with contextlib.suppress(ObjectNotFound, ObjectExists):
                backend.copy("dir/sub/one", "dir/sub/two", options=WriteOptions(if_absent=number % 2 == 0))
            if number % 4 == 0:
                backend.delete(["dir/sub/two", "dir/sub/one"])

    def watch(_: int) -> None:
        while goes_on():
            for key in ("dir/sub/one", "dir/sub/two"):
                with contextlib.suppress(ObjectNotFound):
                    found = read(backend, key)
                    assert is_a_pair(found)
                    seen.append(int(found[1]["number"]))
            assert set(keys(backend)) <= {"dir/sub/one", "dir/sub/two"}

    done: list[Future[None]] = []
    with ThreadPoolExecutor(5) as pool:
        done += [pool.submit(work, i) for i, work in enumerate((write, write, write, watch, watch))]
    for future in done:
        future.result()


def test_threads_race(root: Path, backend: LocalBackend) -> None:
    race(backend)
    backend.delete(["dir/sub/one", "dir/sub/two"])
    assert list(root.iterdir()) == []


def test_threads_race_where_directories_cannot_be_locked(
    root: Path, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "as NFS does")

    monkeypatch.setattr(fcntl, "flock", refuse)
    race(backend)
    backend.delete(["dir/sub/one", "dir/sub/two"])
    assert list(root.iterdir()) == []


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_race(root: Path, backend: LocalBackend) -> None:
    children = [in_a_child(lambda: race(backend)) for _ in range(2)]
    try:
        race(backend)
    finally:
        results = [os.waitpid(child, 0)[1] for child in children]
    assert results == [0, 0]
    backend.delete(["dir/sub/one", "dir/sub/two"])
    assert list(root.iterdir()) == []


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_one_of_many_makes_it(root: Path, backend: LocalBackend) -> None:
    barrier = threading.Barrier(8)

    def attempt(number: int, name: str) -> bool:
        body, metadata = pair_of(number)
        barrier.wait()
        try:
            backend.put(name, body, metadata, ONLY_IF_ABSENT)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for i in range(30):
            won = list(pool.map(attempt, range(8), [f"dir{i}/name"] * 8))
            assert sum(won) == 1
            assert read(backend, f"dir{i}/name") == pair_of(won.index(True))
    assert len(files(root)) == 60


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_lock_that_a_forked_child_has_inherited(root: Path, backend: LocalBackend) -> None:
    with locks.locked(str(root)):
        child = in_a_child(lambda: time.sleep(60))
    try:
        backend.put("name", b"x", {})  # the child lives on with a copy of the lock's descriptor
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert read(backend, "name") == (b"x", {})


@needs_posix
def test_a_lock_is_of_the_directory_that_is_there(
    root: Path, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a writer waits for the lock, the directory may be removed and made anew."""
    import fcntl

    real = fcntl.flock

    def replaced_meanwhile(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        (root / "dir").rmdir()
        (root / "dir").mkdir()
        real(descriptor, operation)

    (root / "dir").mkdir()
    monkeypatch.setattr(fcntl, "flock", replaced_meanwhile)
    with locks.locked(str(root / "dir")):
        other = os.open(root / "dir", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)


# ------------------------------------------------------------------ killed and interrupted
def in_a_child(work: Callable[[], object]) -> int:
    """Run in a forked process, without pytest's own ways out of it; its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.alarm(60)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing of this process goes on from here
        traceback.print_exc()
    finally:
        os._exit(status)


def killed_before_call(number: int, root: Path, work: Callable[[], object]) -> bool:
    """Run in a child that is killed before its n-th call that touches the store; whether it came to that."""
    count = itertools.count(1)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.utime", "fcntl.flock"}:
            inside = event == "fcntl.flock" or str(arguments[0]).startswith(str(root))
            if inside and next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def hooked() -> None:
        sys.addaudithook(hook)
        work()

    _, status = os.waitpid(in_a_child(hooked), 0)
    assert status in {0, signal.SIGKILL}
    return status != 0


WRITES: dict[str, Callable[[LocalBackend], object]] = {
    "put": lambda backend: backend.put("dir/name", *pair_of(2)),
    "put if absent": lambda backend: put_if_absent(backend, "dir/name", *pair_of(2)),
    "copy": lambda backend: backend.copy("source", "dir/name"),
    "delete": lambda backend: backend.delete(["dir/name"]),
}


def put_if_absent(backend: LocalBackend, key: str, body: bytes, metadata: dict[str, str]) -> None:
    with contextlib.suppress(ObjectExists):
        backend.put(key, body, metadata, ONLY_IF_ABSENT)


def state(backend: LocalBackend, key: str = "dir/name") -> tuple[bytes, dict[str, str]] | None:
    return read(backend, key) if backend.exists(key) else None


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("there", [True, False], ids=["there", "absent"])
@pytest.mark.parametrize("kind", ["put", "copy", "delete", "put if absent"])
def test_killed_before_each_call_of_the_system(root: Path, backend: LocalBackend, kind: str, there: bool) -> None:
    backend.put("source", *pair_of(2))
    old = pair_of(1) if there else None
    new = None if kind == "delete" else old if kind == "put if absent" and there else pair_of(2)
    seen = []
    for number in itertools.count(1):
        backend.delete(["dir/name"])
        if old:
            backend.put("dir/name", *old)
        was_killed = killed_before_call(number, root, lambda: WRITES[kind](backend))
        seen.append(state(backend))
        assert seen[-1] in ([old, new] if was_killed else [new])
        assert keys(backend) == (["dir/name"] if seen[-1] else []) + ["source"]
        if not was_killed:
            break
        # whatever is left stands in nobody's way
        backend.put("dir/name", *pair_of(3))
        assert read(backend, "dir/name") == pair_of(3)
        assert json.loads((root / "dir/name.meta.json").read_bytes()) == pair_of(3)[1]
        if new and seen[-1] == new:  # what was killed last has not left its last step undone
            assert not any(name.endswith(names.PENDING) for name in files(root))
    assert number > 5 or old == new
    assert seen == sorted(seen, key=lambda one: one == new)  # there is one moment of change
    backend.delete(["dir/name", "source"])
    backend.remove_container(str(root))
    assert not root.exists()


# a file that was opened at that very moment is closed by the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("kind", WRITES)
def test_interrupted_behind_each_call(root: Path, backend: LocalBackend, kind: str) -> None:
    """Ctrl-C comes when a call has done its work and nobody has taken note of it yet."""
    backend.put("source", *pair_of(2))
    old, new = (None if kind == "put if absent" else pair_of(1)), (None if kind == "delete" else pair_of(2))
    for number in itertools.count(1):
        backend.delete(["dir/name"])
        if old:
            backend.put("dir/name", *old)
        was_interrupted = interrupted_behind_call(number, lambda: WRITES[kind](backend))
        assert state(backend) in ([old, new] if was_interrupted else [new])
        if not was_interrupted:
            break
    assert number > 20
    with ThreadPoolExecutor(1) as pool:  # no lock was left behind
        pool.submit(backend.put, "dir/name", b"x", {}).result(timeout=20)
    backend.delete(["dir/name", "source"])
    backend.remove_container(str(root))
    assert not root.exists()


def interrupted_behind_call(number: int, work: Callable[[], object]) -> bool:
    count = itertools.count(1)

    def profile(frame: object, event: str, argument: object) -> None:
        if event == "c_return" and next(count) == number:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.setprofile(profile)
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGINT, before)
    return False


WRITER = """
import itertools, sys
from cottoncandy.backends.local import LocalBackend
backend = LocalBackend.connect(sys.argv[1])
print("ready", flush=True)
for number in itertools.count():
    backend.put("dir/name", f"{number}-".encode() * (1 + number % 3000), {"number": str(number)})
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is of POSIX")
def test_kill_minus_nine(root: Path, backend: LocalBackend) -> None:
    chance = random.Random(9)
    last = -1
    for _ in range(15):
        with writer(root):
            ends = time.monotonic() + chance.uniform(0.01, 0.08)
            while time.monotonic() < ends:
                assert state(backend) is None or is_a_pair(read(backend, "dir/name"))
        found = read(backend, "dir/name")
        assert is_a_pair(found)
        assert keys(backend) == ["dir/name"]
        last = max(last, int(found[1]["number"]))
    assert last > 3
    backend.put("dir/name", b"x", {})
    backend.delete(["dir/name"])
    assert list(root.iterdir()) == []  # what the killed ones left is gone with the last object


class writer:  # noqa: N801 - a context manager
    """A process that overwrites one object, until it is killed."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE)

    def __enter__(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL


# ------------------------------------------------------------------ what others left
@pytest.fixture
def abandoned(root: Path, backend: LocalBackend) -> Callable[[str], None]:
    """Leave what a process leaves that is killed in the middle of an upload."""

    def leave(key: str) -> None:
        def upload() -> None:
            backend.start_upload(key, {}).send_part(1, b"half")
            os.kill(os.getpid(), signal.SIGKILL)

        os.waitpid(in_a_child(upload), 0)

    return leave


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_abandoned_files_go_with_the_last_object(
    root: Path, backend: LocalBackend, abandoned: Callable[[str], None]
) -> None:
    backend.put("a/b/real", b"x", {})
    for _ in range(3):
        abandoned("a/b/name")
    assert len(files(root)) == 5
    assert keys(backend) == ["a/b/real"]
    backend.delete(["a/b/real"])
    assert list(root.iterdir()) == []

    abandoned("name")
    abandoned("x/y/name")
    assert keys(backend) == []
    backend.remove_container(str(root))
    assert not root.exists()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_is_still_written_is_spared(root: Path, backend: LocalBackend, abandoned: Callable[[str], None]) -> None:
    abandoned("dir/other")
    upload = backend.start_upload("dir/name", {"k": "v"})
    upload.send_part(1, b"first")
    backend.put("dir/real", b"x", {})
    backend.delete(["dir/real"])
    assert len(files(root)) == 1
    with pytest.raises(ContainerNotEmpty):
        backend.remove_container(str(root))
    upload.send_part(2, b"second")
    upload.complete()
    assert read(backend, "dir/name") == (b"firstsecond", {"k": "v"})
    assert set(files(root)) == {"dir/name", "dir/name.meta.json"}


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_no_key_collides_with_our_own_files(
    root: Path, backend: LocalBackend, abandoned: Callable[[str], None]
) -> None:
    abandoned("name")
    (ours,) = files(root)
    assert ours.endswith(".meta.json")  # older releases do not list such names
    with pytest.raises(InvalidObjectName):
        backend.put(ours, b"", {})
    with pytest.raises(InvalidObjectName):
        backend.put(ours.removesuffix(".meta.json"), b"", {})  # whose metadata it would be


@needs_posix
@pytest.mark.parametrize("step", ["__exit__", "_release"])
def test_ctrl_c_does_not_leave_a_directory_locked(backend: LocalBackend, root: Path, step: str) -> None:
    """It comes when the lock is about to be released; others, also other processes, would wait for ever."""
    import fcntl

    backend.put("dir/a", b"old", {})

    def interrupt(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name == step and code.co_filename.endswith("locks.py"):
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            backend.put("dir/a", b"new", {})
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGINT, before)
    descriptor = os.open(root / "dir", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
    assert read(backend, "dir/a") == (b"new", {})

"""Connections that break, servers that are busy, objects that change under one's hands."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorder import Fault, RecordingProxy, Request, Response
from s3_wire import error, is_get
from samples import assert_same
from stores import Recorded, Store
from test_objects import small_parts

from cottoncandy.errors import (
    AccessDenied,
    ChecksumMismatch,
    ObjectChanged,
    ServiceError,
    TransientError,
)
from cottoncandy.stream import ObjectSource

MIB = 2**20
ARRAY = np.random.default_rng(8).standard_normal(3 * MIB // 8)
BODY = np.random.default_rng(9).bytes(12 * MIB)


@pytest.fixture
def opened(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, RecordingProxy, Store]:
    small_parts(monkeypatch, 5, 1)
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("array", ARRAY, compression=False)
    cci.upload_object("big", BODY)
    proxy.clear()
    return cci, proxy, store


def _times(count: int, verdict: Fault | Response, when: Callable[[Request], bool]) -> Callable[[Request], Any]:
    """A hook: the first so many requests of a kind are broken."""
    left, lock = [count], threading.Lock()

    def hook(request: Request) -> Any:
        with lock:
            if not when(request) or not left[0]:
                return None
            left[0] -= 1
            return verdict

    return hook


# ---------------------------------------------------------------------- downloads that break
@pytest.fixture(params=[False, True], ids=["straight", "by way of the cache"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As small arrays go into memory, and as large ones do."""
    monkeypatch.setattr(ObjectSource, "_is_cold", lambda source, view: request.param)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_download_goes_on_where_it_broke(opened: tuple[Any, RecordingProxy, Store], kind: Any) -> None:
    cci, proxy, _ = opened
    proxy.hook = _times(1, Fault(kind, 700_001), is_get)
    assert_same(cci.download_raw_array("array", threads=1), ARRAY)
    broken = next(request for request in proxy.requests if request.answered == 700_001)
    end = broken.headers["Range"].partition("-")[2]
    (again,) = [other for other in proxy.requests if other is not broken and other.headers["Range"].endswith(f"-{end}")]
    assert again.headers["If-Match"]
    resumed, start = (int(one.headers["Range"].removeprefix("bytes=").partition("-")[0]) for one in (again, broken))
    # what lies unread in a socket goes away with a reset; nothing that was read is asked for twice
    assert start < resumed <= start + 700_001
    if kind == "truncate":
        assert resumed == start + 700_001
        assert sum(request.answered for request in proxy.requests) == ARRAY.nbytes


def test_what_a_broken_answer_leaves_keeps_nothing_from_growing(
    opened: tuple[Any, RecordingProxy, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the garbage collector comes by, the failure holds views of the memory that was being filled."""
    cci, proxy, _ = opened
    monkeypatch.setattr("cottoncandy.stream.file._LEAST_TAKEN", MIB)
    proxy.hook = _times(3, Fault("reset", 300_000), is_get)
    gc.disable()
    try:
        assert cci.download_object("big") == BODY
    finally:
        gc.enable()


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("kind", ["reset", "truncate"])
@pytest.mark.parametrize("call", ["object", "to_file", "stream", "compressed", "small"])
def test_every_download_survives(
    opened: tuple[Any, RecordingProxy, Store], tmp_path: Any, kind: Any, call: str
) -> None:
    cci, proxy, _ = opened
    cci.upload_raw_array("compressed", ARRAY)
    cci.upload_object("small", b"0123456789" * 100)
    # a stream reads few bytes at a time at first; of what passes by in parts, the rest of one is asked for
    amount = {"small": 300, "object": 300_000}.get(call, 50_000)
    proxy.hook = _times(3, Fault(kind, amount), is_get)
    if call == "to_file":
        cci.download_to_file("big", tmp_path / "big")
        assert (tmp_path / "big").read_bytes() == BODY
    elif call == "stream":
        with cci.download_stream("big") as stream:
            assert b"".join(iter(lambda: stream.read(99_999), b"")) == BODY
    elif call == "compressed":
        assert_same(cci.download_raw_array("compressed"), ARRAY)
    elif call == "small":
        assert cci.download_object("small") == b"0123456789" * 100
    else:
        assert cci.download_object("big") == BODY
    assert sum(request.answered == amount for request in proxy.requests) == 3


@pytest.mark.usefixtures("either_way")
def test_a_line_that_breaks_again_and_again_but_moves_on(opened: tuple[Any, RecordingProxy, Store]) -> None:
    """Tries are counted from the last byte that came, not from the first."""
    cci, proxy, _ = opened
    proxy.hook = lambda request: Fault("reset", 150_000) if is_get(request) else None
    assert_same(cci.download_raw_array("array", threads=2), ARRAY)
    assert len(proxy.requests) > 15


def test_a_line_that_is_dead_is_given_up(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, store = opened
    proxy.hook = lambda request: Fault("drop")
    with pytest.raises(TransientError, match="array") as caught:
        cci.download_raw_array("array")
    assert isinstance(caught.value, ConnectionError)
    assert store.container in str(caught.value)
    assert 8 <= len(proxy.requests) <= 8 + 8  # an idle connection that broke is replaced at once


# ---------------------------------------------------------------------- a server that is busy
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_busy_server_is_asked_again(opened: tuple[Any, RecordingProxy, Store], status: int) -> None:
    cci, proxy, store = opened
    answer = error("SlowDown" if status == 503 else "InternalError", status)
    calls: list[Callable[[], Any]] = [
        lambda: cci.download_raw_array("array"),
        lambda: cci.upload_object("new", b"x"),
        lambda: cci.exists_object("array"),
        cci.lsdir,
        lambda: cci.cp("array", "copy"),
        lambda: cci.rm("copy"),
    ]
    for call in calls:
        proxy.hook = _times(2, answer, lambda request: True)
        call()
    assert store.raw.keys() == ["array", "big", "new"]


def test_a_server_that_stays_busy_is_given_up(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, _ = opened
    proxy.hook = lambda request: error("SlowDown", 503)
    with pytest.raises(TransientError, match=r"(?s)'array'.*SlowDown"):
        cci.download_raw_array("array")
    assert 8 <= len(proxy.requests) <= 8 + 8  # an idle connection that broke is replaced at once


def test_what_is_refused_is_not_asked_again(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, _ = opened
    proxy.hook = lambda request: error("AccessDenied", 403)
    with pytest.raises(AccessDenied, match="'array'"):
        cci.download_raw_array("array")
    assert len(proxy.requests) == 1
    proxy.clear()
    proxy.hook = lambda request: error("SomethingNew", 400)
    with pytest.raises(ServiceError, match="SomethingNew"):
        cci.download_raw_array("array")
    assert len(proxy.requests) == 1


def test_an_upload_whose_answer_is_lost(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, store = opened
    proxy.hook = _times(1, Fault("lose"), lambda request: request.method == "PUT")
    cci.upload_object("new", b"x", subject="S01")
    assert store.raw.get("new") == (b"x", {"subject": "S01"})


# ---------------------------------------------------------------------- uploads that break
def _part(number: int) -> Callable[[Request], bool]:
    return lambda request: request.query.get("partNumber") == str(number)


def test_a_part_that_breaks_is_sent_again(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, store = opened
    for fault in (Fault("drop"), Fault("lose"), error("SlowDown", 503)):
        proxy.hook = _times(2, fault, _part(2))
        cci.upload_object("new", BODY)
        assert store.raw.get("new")[0] == BODY
        store.raw.delete("new")
    assert store.raw.leftovers() == []


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_part_that_fails_leaves_nothing(opened: tuple[Any, RecordingProxy, Store], number: int, threads: int) -> None:
    cci, proxy, store = opened
    proxy.hook = lambda request: error("AccessDenied", 403) if _part(number)(request) else None
    with pytest.raises(AccessDenied, match="'big'"):
        cci.upload_object("big", bytes(12 * MIB), threads=threads)
    assert store.raw.leftovers() == []
    assert store.raw.get("big")[0] == BODY


def test_a_completion_that_fails_leaves_nothing(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, store = opened
    complete = lambda request: request.method == "POST" and "uploadId" in request.query  # noqa: E731
    proxy.hook = lambda request: error("AccessDenied", 403) if complete(request) else None
    with pytest.raises(AccessDenied, match="'big'"):
        cci.upload_raw_array("big", np.zeros(2 * MIB), compression=False)
    assert store.raw.leftovers() == []
    assert store.raw.get("big")[0] == BODY


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_a_source_that_fails_leaves_nothing(
    opened: tuple[Any, RecordingProxy, Store], failure: type[BaseException]
) -> None:
    """The bytes to send come from somewhere, and that may break as well; or there is Ctrl-C."""
    cci, _, store = opened

    class Disk:
        left = 3

        def read(self, count: int) -> bytes:
            self.left -= 1
            if not self.left:
                raise failure("the disk is gone")
            return bytes(count)

    with pytest.raises(failure, match="the disk is gone"):
        cci.upload_object("big", Disk())
    assert store.raw.leftovers() == []
    assert store.raw.get("big")[0] == BODY


# ---------------------------------------------------------------------- objects that change
def test_an_object_that_changes_between_two_ranges(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, store = opened
    metadata = store.raw.get("array")[1]
    cci.upload_raw_array("array", -ARRAY, compression=False)
    other = store.raw.get("array")
    for call in (lambda: cci.download_raw_array("array"), lambda: cci.download_object("array")):
        store.raw.put("array", ARRAY.tobytes(), metadata)
        changed = threading.Event()

        def change(request: Request, changed: threading.Event = changed) -> None:
            if request.headers["If-Match"] and not changed.is_set():
                changed.set()
                store.raw.put("array", *other)

        proxy.hook = change
        with pytest.raises(ObjectChanged, match="'array'"):
            call()
        assert changed.is_set()
    proxy.hook = None
    assert_same(cci.download_raw_array("array"), -ARRAY)


def test_an_object_that_changes_while_its_line_is_broken(opened: tuple[Any, RecordingProxy, Store]) -> None:
    """The rest of a small object, too, is asked for by its version."""
    cci, proxy, store = opened
    store.raw.put("small", b"old" * 1000)

    def hook(request: Request) -> Fault | None:
        if request.headers["If-Match"]:
            store.raw.put("small", b"new" * 1000)
            return None
        return Fault("reset", 100)

    proxy.hook = hook
    with pytest.raises(ObjectChanged, match="'small'"):
        cci.download_object("small")


def test_a_stream_is_of_one_version(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, _, store = opened
    with cci.download_stream("big") as stream:
        assert stream.read(10) == BODY[:10]
        store.raw.put("big", bytes(len(BODY)))
        stream.seek(8 * MIB)
        with pytest.raises(ObjectChanged, match="'big'"):
            stream.read(10)


def test_an_object_that_is_removed_while_it_is_read(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, store = opened
    proxy.hook = lambda request: (
        store.raw.delete("array") if request.headers["If-Match"] and store.raw.keys("arr") else None
    )
    with pytest.raises(FileNotFoundError, match="'array'"):
        cci.download_raw_array("array")


# ---------------------------------------------------------------------- bytes that change
@pytest.mark.parametrize("compression", ["False", "Blosc", "LZ4", "gzip", "Zstd", "Zstd-blocks"])
def test_a_bit_that_turns_on_the_way(opened: tuple[Any, RecordingProxy, Store], compression: str) -> None:
    """It is noticed, and the array read once more."""
    cci, proxy, _ = opened
    cci.upload_raw_array("packed", ARRAY, compression=compression)
    proxy.hook = _times(1, Fault("flip", 1000), is_get)
    assert_same(cci.download_raw_array("packed"), ARRAY)
    proxy.hook = _times(100, Fault("flip", 1000), is_get)
    with pytest.raises(ChecksumMismatch, match="'packed' in bucket"):
        cci.download_raw_array("packed")


def test_trees_stop_at_the_first_failure(opened: tuple[Any, RecordingProxy, Store]) -> None:
    cci, proxy, _ = opened
    cci.dict2cloud("t", {f"a{number:02d}": np.arange(4) for number in range(40)}, verbose=False)
    proxy.clear()
    proxy.hook = lambda request: error("AccessDenied", 403) if request.path.endswith("a01") else None
    with pytest.raises(AccessDenied, match="t/a01"):
        cci.cloud2dict("t", verbose=False, threads=2)
    assert len(proxy.requests) < 20

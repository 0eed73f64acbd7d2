"""Bytes on their way to a Drive and back: sessions, ranges, checksums, versions, faults."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from drive_store import QUICK
from fake_drive import FakeDrive, Request

from cottoncandy.backends.base import WriteOptions
from cottoncandy.backends.gdrive import GoogleDriveBackend
from cottoncandy.errors import (
    AccessDenied,
    ChecksumMismatch,
    CredentialsNotFound,
    ObjectChanged,
    ServiceError,
    TransientError,
)
from cottoncandy.retry import RetryPolicy

OpenDrive = Callable[..., GoogleDriveBackend]

MIB = 2**20
BLOCK = 256 * 1024
DATA = np.random.default_rng(4).integers(0, 256, 7 * MIB + 11, dtype=np.uint8).tobytes()
ALL_FAULTS = ["reset", "lost", "503", "half", "429", "truncated", "rate", "500", "401"]


def read(backend: GoogleDriveBackend, key: str, start: int = 0, stop: int | None = None) -> bytes:
    with backend.open(key, start, stop) as reader:
        data = bytearray(reader.stop - reader.start)
        assert reader.readexactly(memoryview(data)) == len(data)
        return bytes(data)


def send(backend: GoogleDriveBackend, key: str, data: bytes | memoryview, step: int, **metadata: str) -> None:
    upload = backend.start_upload(key, metadata)
    try:
        for number, start in enumerate(range(0, len(data), step), 1):
            upload.send_part(number, memoryview(data)[start : start + step])
        upload.complete()
    except BaseException:
        upload.abort()
        raise


def only(drive: FakeDrive, path: str) -> bytes:
    """The one file of a path."""
    (item,) = drive.below()[path]
    return bytes(item.content or b"")


def is_chunk(request: Request) -> bool:
    return request.method == "PUT" and request.length > 0


def is_status_query(request: Request) -> bool:
    return request.method == "PUT" and request.length == 0


def is_media(request: Request) -> bool:
    return request.query.get("alt") == "media"


def makes_a_file(request: Request) -> bool:
    return request.method == "POST" and "uploadType" in request.query


# ---------------------------------------------------------------------- up
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 4_999_000, 5_000_001, len(DATA)])
@pytest.mark.parametrize("way", ["put", "parts"])
def test_any_size_arrives(drive: FakeDrive, open_drive: OpenDrive, size: int, way: str) -> None:
    backend, data = open_drive(), DATA[:size]
    for _ in range(2):  # a new file, then one that is there
        if way == "put":
            backend.put("dir/x", data, {"shape": str(size)})
        else:
            send(backend, "dir/x", data, BLOCK, shape=str(size))
    assert only(drive, "dir/x") == data
    assert drive.below()["dir/x"][0].properties == {"shape": str(size)}
    assert drive.sessions.open_ones() == []
    assert read(open_drive(), "dir/x") == data


@pytest.mark.parametrize("step", [BLOCK, MIB, 3 * BLOCK, 100_000, 1])
def test_parts_of_any_size_are_sent_in_blocks(drive: FakeDrive, open_drive: OpenDrive, step: int) -> None:
    data = DATA[: 40 if step == 1 else 2 * MIB + 5]
    send(open_drive(), "x", data, step)
    assert only(drive, "x") == data
    chunks = [request.length for request in drive.requests if is_chunk(request)]
    assert all(length % BLOCK == 0 for length in chunks[:-1])


def test_parts_come_in_their_order(open_drive: OpenDrive) -> None:
    upload = open_drive().start_upload("x", {})
    with pytest.raises(ServiceError, match="part 2 came where part 1 was due"):
        upload.send_part(2, b"x")


@pytest.mark.parametrize("way", ["put", "parts"])
def test_memory_of_an_upload(drive: FakeDrive, open_drive: OpenDrive, way: str) -> None:
    # in another process: the fake's own memory is not the library's
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_peak_of_upload, open_drive(), way).result() < 4 * MIB
    assert only(drive, "x") == bytes(32 * MIB)


def _peak_of_upload(backend: GoogleDriveBackend, way: str) -> int:
    array = np.zeros(32 * MIB, np.uint8)
    backend.put("warm", b"", {})
    tracemalloc.start()
    if way == "put":
        backend.put("x", memoryview(array), {})
    else:
        send(backend, "x", memoryview(array), 16 * MIB)
    return tracemalloc.get_traced_memory()[1]


def test_content_types(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("a", b"x", {}, WriteOptions(extra={"ContentType": "text/csv", "StorageClass": "x"}, acl="public-read"))
    backend.put("b", b"x", {}, WriteOptions(extra={"ContentType": "application/vnd.google-apps.document"}))
    kinds = {item.name: item.type for item in drive.inside()}
    assert kinds == {"a": "text/csv", "b": "application/octet-stream"}
    assert read(backend, "b") == b"x"


def test_wrong_bytes_are_sent_again(drive: FakeDrive, open_drive: OpenDrive, monkeypatch: pytest.MonkeyPatch) -> None:
    flips = [1]
    real = drive.sessions.write

    def flip(file_id: str | None, body: dict, query: dict, content: bytes) -> object:
        if flips:
            flips.pop()
            content = b"?" + content[1:]
        return real(file_id, body, query, content)

    monkeypatch.setattr(drive.sessions, "write", flip)
    backend = open_drive()
    backend.put("x", b"right", {})
    assert only(drive, "x") == b"right"
    flips += [1, 2]
    with pytest.raises(ChecksumMismatch, match="'x'"):
        backend.put("x", b"other", {})
    flips += [1]
    with pytest.raises(ChecksumMismatch, match="'y'"):
        send(backend, "y", DATA, MIB)


# ---------------------------------------------------------------------- down
def test_ranges_are_held_to_a_version(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend, other = open_drive(), open_drive()
    backend.put("x", DATA, {"v": "1"})
    e_tag = backend.stat("x").e_tag
    assert read(backend, "x", 10, 30) == DATA[10:30]
    other.put("x", DATA[::-1], {"v": "1"})
    with pytest.raises(ObjectChanged, match="'x'"):
        backend.open("x", 10, 30, e_tag=e_tag)
    # the same bytes as before are the same version; with other metadata they are another one
    other.put("x", DATA, {"v": "1"})
    assert backend.stat("x").e_tag == e_tag
    other.put("x", DATA, {"v": "2"})
    with pytest.raises(ObjectChanged):
        backend.read_range("x", 0, memoryview(bytearray(10)), e_tag=e_tag)


@pytest.mark.parametrize("stop", [None, len(DATA) - 1], ids=["whole", "range"])
def test_a_file_that_is_replaced_in_the_middle(drive: FakeDrive, open_drive: OpenDrive, stop: int | None) -> None:
    backend = open_drive()
    backend.put("x", DATA, {})
    drive.faults.once("truncated", is_media)
    with backend.open("x", 0, stop) as reader:
        buffer = memoryview(bytearray(reader.stop))
        done = reader.readinto(buffer[:BLOCK])
        open_drive().put("x", DATA[::-1], {})
        with pytest.raises(ObjectChanged, match=r"'x' .*replaced"):
            reader.readexactly(buffer[done:])


def test_a_small_file_that_is_replaced_in_the_middle_is_read_anew(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    for new in (b"other", b"longer than before", b"s"):
        backend.put("x", b"first", {"v": "1"})

        def replace(request: Request, new: bytes = new) -> bool:
            if is_media(request):
                drive.faults.clear()
                item = drive.inside()[0]
                drive.items.change(item.id, {"properties": {"v": "2"}}, new, {"supportsAllDrives": "true"})
            return False

        drive.faults.once("500", replace)
        with backend.open("x") as reader:
            data = bytearray(reader.stop)
            reader.readexactly(memoryview(data))
            assert (bytes(data), reader.head.metadata) == (new, {"v": "2"})


def test_bytes_that_are_wrong_on_the_way_are_found(
    drive: FakeDrive, open_drive: OpenDrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_drive()
    backend.put("small", b"right", {})
    backend.put("large", DATA, {})
    for item in drive.inside():
        item.content = bytes([item.content[0] ^ 1]) + bytes(item.content[1:])
    for name in ("small", "large"):
        with pytest.raises(ChecksumMismatch, match=name):
            read(backend, name)


def test_memory_of_a_download(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("x", bytes(32 * MIB), {})
    buffer = memoryview(bytearray(32 * MIB))
    tracemalloc.start()
    with backend.open("x") as reader:
        assert reader.readexactly(buffer) == len(buffer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


# ---------------------------------------------------------------------- faults
@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_each_fault_at_each_request(drive: FakeDrive, open_drive: OpenDrive, fault: str) -> None:
    for number in (3, 4, 5, 7):
        backend = open_drive()
        drive.faults.every(number, [fault])
        name = f"{number}/dir/x"
        backend.put(name, b"small", {"v": "1"})
        backend.put(name, DATA[:MIB], {"v": "2"})
        send(backend, f"{number}/big", DATA, 2 * MIB, v="3")
        backend.copy(name, f"{number}/copy")
        assert read(backend, name) == DATA[:MIB]
        assert read(backend, f"{number}/big") == DATA
        assert backend.stat(f"{number}/copy").metadata == {"v": "2"}
        keys = [f"{number}/{rest}" for rest in ("big", "copy", "dir/x")]
        assert [info.key for info in backend.list_objects(f"{number}/")] == keys
        backend.delete([name])
        assert not backend.exists(name)
        drive.faults.clear()
    below = drive.below()
    assert [path for path, items in below.items() if len(items) > 1] == []
    assert sorted(path for path in below if not path.endswith("/")) == sorted(
        f"{number}/{rest}" for number in (3, 4, 5, 7) for rest in ("big", "copy")
    )
    assert not [path for path in below if path.endswith("dir/")]


@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_a_lost_answer_doubles_nothing(drive: FakeDrive, open_drive: OpenDrive, fault: str) -> None:
    backend = open_drive()
    backend.put("warm", b"x", {})
    drive.faults.once(fault, makes_a_file)
    backend.put("new", b"body", {"v": "1"})
    assert only(drive, "new") == b"body"
    drive.faults.once(fault, lambda request: request.path.endswith("/copy"))
    backend.copy("new", "copy")
    assert only(drive, "copy") == b"body"
    drive.faults.once(fault, lambda request: request.method == "POST" and request.path.endswith("/files"))
    backend.put("dir/x", b"in a new folder", {})
    assert only(drive, "dir/x") == b"in a new folder"
    made = [
        r.status
        for r in drive.requests
        if r.method == "POST" and r.path.endswith("/files") and not r.query.get("uploadType")
    ]
    assert made == [200, 409]
    drive.faults.once(fault, lambda request: is_chunk(request) and not request.headers["content-range"].endswith("*"))
    send(backend, "parts", DATA, MIB)
    assert only(drive, "parts") == DATA
    drive.faults.once(fault, makes_a_file)
    with pytest.raises(FileExistsError):
        backend.put("new", b"other", {}, WriteOptions(if_absent=True))


@pytest.mark.parametrize("fault", ["reset", "half", "lost", "503", "rate", "401"])
def test_a_chunk_goes_on_from_where_it_broke(drive: FakeDrive, open_drive: OpenDrive, fault: str) -> None:
    backend = open_drive()
    times = 1 if fault == "401" else 2
    drive.faults.once(fault, lambda request: is_chunk(request) and "/*" in request.headers["content-range"], times)
    drive.faults.once("503", is_status_query)
    send(backend, "x", DATA, 4 * MIB)
    assert only(drive, "x") == DATA
    sent = sum(request.length for request in drive.requests if is_chunk(request) and not request.fault)
    if fault in {"half", "lost"}:  # the service has some of it already
        assert sent < len(DATA)


def test_a_session_that_is_lost(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()

    def forget(request: Request) -> bool:
        if is_chunk(request):
            drive.faults.clear()
            drive.sessions.forget_all()
        return False

    drive.faults.once("500", forget)
    backend.put("whole", DATA, {})  # begins again by itself
    assert only(drive, "whole") == DATA
    drive.faults.once("500", forget)
    with pytest.raises(TransientError, match=r"'parts'.* no longer knows this upload: start it again"):
        send(backend, "parts", DATA, MIB)
    assert "parts" not in drive.below()


def test_a_broken_download_goes_on_from_where_it_broke(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("x", DATA, {})
    drive.requests.clear()
    drive.faults.once("truncated", is_media, times=3)
    assert read(backend, "x") == DATA
    ranges = [r.headers.get("range", "bytes=0-") for r in drive.requests if is_media(r)]
    starts = [text.removeprefix("bytes=").split("-")[0] for text in ranges]
    assert len(starts) == 4
    assert list(map(int, starts)) == sorted(map(int, starts))
    assert int(starts[1]) > 0


def test_tokens_that_end_in_the_middle_are_renewed(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    upload = backend.start_upload("x", {})
    for number in range(4):
        upload.send_part(number + 1, memoryview(DATA)[number * MIB : (number + 1) * MIB])
        drive.tokens.expire_all()
    upload.complete()
    assert only(drive, "x") == DATA[: 4 * MIB]
    assert drive.tokens.given == 4
    drive.tokens.expire_all()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: read(backend, "x", 0, 10), range(16))) == {DATA[:10]}
    assert drive.tokens.given == 5  # once for all threads


def test_retry_after_is_respected(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("x", b"x", {})
    drive.faults.retry_after = "1"
    drive.faults.once("429")
    before = time.monotonic()
    backend.stat("x")
    assert time.monotonic() - before >= 1.0
    drive.faults.retry_after = "3600"
    drive.faults.once("429")
    with pytest.raises(TransientError, match="429 rateLimitExceeded"):
        backend.stat("x")  # nobody waits that long


def test_waits_grow_and_have_an_end(drive: FakeDrive, open_drive: OpenDrive) -> None:
    waits: list[float] = []
    policy = RetryPolicy(attempts=6, base=0.5, cap=2.0, sleep=waits.append, draw=lambda: 1.0)
    backend = open_drive(retry=policy)
    drive.faults.once("rate", times=100)
    with pytest.raises(TransientError, match=r"403 userRateLimitExceeded.*try again later"):
        backend.stat("x")
    assert waits == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_server_that_is_gone(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("x", b"x", {})
    drive.close()
    with pytest.raises(TransientError, match=r"x: the connection failed: ") as caught:
        backend.stat("x")
    assert "fileId" not in str(caught.value)
    with pytest.raises(TransientError):
        backend.put("y/z", b"x", {})


def test_no_more_room(open_drive: OpenDrive, drive: FakeDrive) -> None:
    drive.items.quota = 10
    backend = open_drive()
    with pytest.raises(ServiceError, match=r"'dir/x'.*storageQuotaExceeded.*the Drive is full") as caught:
        backend.put("dir/x", bytes(11), {})
    assert not isinstance(caught.value, TransientError)
    assert drive.below() == {}
    with pytest.raises(ServiceError, match="the Drive is full"):
        send(backend, "dir/x", DATA, MIB)
    assert drive.below() == {}


def test_errors_show_no_secret(drive: FakeDrive, open_drive: OpenDrive, caplog: pytest.LogCaptureFixture) -> None:
    import traceback

    caplog.set_level("INFO")
    credentials = drive.credentials()
    backend = open_drive(credentials=credentials)
    drive.faults.once("reset", is_chunk, times=100)
    with pytest.raises(TransientError) as caught:
        send(backend, "x", DATA, MIB)
    said = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(backend) + repr(vars(backend))
    uploads = [request.query["upload_id"] for request in drive.requests if "upload_id" in request.query]
    assert uploads
    assert "trying again" in caplog.text or "connection failed" in said
    for secret in (credentials.token, credentials.refresh_token, credentials.client_secret, *uploads):
        assert secret not in said


# ---------------------------------------------------------------------- large, and many at once
def test_200_mb_with_a_fault_in_every_tenth_request(drive: FakeDrive, open_drive: OpenDrive) -> None:
    array = np.arange(25_000_000, dtype="<f8")
    view = memoryview(array).cast("B")
    backend = open_drive()
    drive.faults.every(10, ["reset", "half", "lost", "503", "truncated", "401", "rate"])
    send(backend, "array", view, 4 * MIB, shape=str(array.size))
    target = np.zeros_like(array)
    into, step = memoryview(target).cast("B"), 8 * MIB
    head = backend.stat("array")
    for start in range(0, len(into), step):
        backend.read_range("array", start, into[start : start + step], e_tag=head.e_tag)
    assert np.array_equal(target, array)
    target[:] = 0
    with backend.open("array") as reader:
        assert reader.readexactly(into) == len(into)
    assert np.array_equal(target, array)
    assert sum(request.fault is not None for request in drive.requests) >= 10
    assert len(drive.below()["array"]) == 1


def test_eight_threads_mix_nothing_up(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    drive.faults.every(10, ALL_FAULTS)

    def work(number: int) -> None:
        for turn in range(4):
            body = np.random.default_rng(number * 100 + turn).bytes(1000 + number * 200_000)
            key, metadata = f"t{number % 3}/{number}", {"who": f"{number}-{turn}", "long": f"{number}" * 300}
            if turn % 2:
                backend.put(key, body, metadata)
            else:
                send(backend, key, body, BLOCK, **metadata)
            with backend.open(key) as reader:
                data = bytearray(reader.stop)
                reader.readexactly(memoryview(data))
                assert (bytes(data), reader.head.metadata) == (body, metadata)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    drive.faults.clear()
    assert sorted(path for path in drive.below() if not path.endswith("/")) == sorted(f"t{n % 3}/{n}" for n in range(8))
    assert all(len(items) == 1 for items in drive.below().values())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_gives_out_ids_of_its_own(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive()
    backend.put("warm", b"x", {})
    stock = list(backend._api._ids)
    assert stock
    child = os.fork()
    if child == 0:
        try:
            backend.put("from the child", b"x", {})
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert drive.below()["from the child"][0].id not in stock
    assert list(backend._api._ids) == stock


def test_what_travels_in_a_pickle(drive: FakeDrive, open_drive: OpenDrive) -> None:
    backend = open_drive("lab", settle=1.0)
    backend.put("x", b"x", {})
    clone = pickle.loads(pickle.dumps(backend))
    assert read(clone, "x") == b"x"
    assert clone._tree.settings.settle == 1.0
    clone.close()


@pytest.mark.parametrize(("reason", "kind"), [("revoked", CredentialsNotFound)])
def test_signed_out(drive: FakeDrive, open_drive: OpenDrive, reason: str, kind: type[Exception]) -> None:
    backend = open_drive()
    drive.tokens.revoke_all()
    with pytest.raises(kind, match=r"invalid_grant.*seven days") as caught:
        backend.stat("x")
    assert isinstance(caught.value, PermissionError)
    assert not isinstance(caught.value, AccessDenied)
    assert QUICK.total > 0

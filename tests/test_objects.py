"""Objects, files, directories, json, pickles and streams."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
from boto3.s3.transfer import S3Transfer
from local_files import files, write
from recorder import Request, Response
from stores import Recorded, Store

from cottoncandy import generate_encryption_key
from cottoncandy.diskfiles import replacing, replacing_path
from cottoncandy.errors import ConfigurationError, InvalidObjectName, ObjectChanged, ObjectExists, ObjectNotFound
from cottoncandy.stream import TransferSettings, file_pieces
from cottoncandy.waits import Waits

MIB = 2**20
BYTES = np.random.default_rng(1).bytes(3 * MIB + 17)


def small_parts(monkeypatch: pytest.MonkeyPatch, megabytes: float = 5, down: float = 1) -> None:
    """Transfers of small data go in parts; 5 MB is the least that S3 takes."""
    for name, value in (("UPLOAD_SETTINGS_MPU", megabytes), ("DOWNLOAD_SETTINGS_MPD", down)):
        monkeypatch.setenv(f"COTTONCANDY_{name}_CHUNKSIZE", str(value))
        monkeypatch.setenv(f"COTTONCANDY_{name}_USE_THRESHOLD", str(value))


# ---------------------------------------------------------------------- bytes
def test_bytes_come_back(store: Store) -> None:
    cci = store.interface()
    for body in (BYTES, b"", b"x", b"\0\xff" * 1000):
        receipt = cci.upload_object("a/b", body)
        assert receipt["ETag"]
        assert receipt["ResponseMetadata"]
        assert store.raw.get("a/b")[0] == body
        found = cci.download_object("a/b")
        assert type(found) is bytes
        assert found == body


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize(
    "body",
    [
        lambda: bytearray(b"abc"),
        lambda: memoryview(b"xabcx")[1:4],
        lambda: memoryview(b"axbxc")[::2],
        lambda: memoryview(b"cba")[::-1],
        lambda: memoryview(np.frombuffer(b"abc", "S1").reshape(1, 3).T),
        lambda: "abc",
        lambda: io.BytesIO(b"abc"),
        lambda: io.StringIO("abc"),
    ],
    ids=["bytearray", "memoryview", "strided", "backwards", "transposed", "str", "BytesIO", "StringIO"],
)
def test_what_a_body_may_be(store: Store, body: Callable[[], Any]) -> None:
    store.interface().upload_object("a", body())
    assert store.raw.get("a")[0] == b"abc"


@pytest.mark.stores("local")
def test_memory_that_does_not_lie_in_one_piece_goes_up_as_its_bytes(store: Store) -> None:
    cci, numbers = store.interface(), np.arange(24, dtype="i4").reshape(4, 6)
    for array in (np.asfortranarray(numbers), numbers[:, ::2], numbers.T, np.zeros((0, 3))):
        cci.upload_object("a", memoryview(array))
        assert store.raw.get("a")[0] == bytes(memoryview(array)) == array.tobytes()


@pytest.mark.stores("local")
@pytest.mark.parametrize("body", [None, 3, ["a"], {"a": 1}])
def test_what_no_body_is(store: Store, body: Any) -> None:
    with pytest.raises(TypeError, match=type(body).__name__):
        store.interface().upload_object("a", body)
    assert store.raw.keys() == []


def test_a_file_goes_up_from_where_it_stands(store: Store) -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    store.interface().upload_object("a", file)
    assert store.raw.get("a")[0] == b"456789"


class Gives:
    """A file that gives one thing after the other."""

    def __init__(self, *given: Any) -> None:
        self._given = iter(given)

    def read(self, _most: int = -1) -> Any:
        return next(self._given, b"")


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("first", [(), (b"a",), (bytes(6 * MIB), bytes(6 * MIB))], ids=["none", "few", "parts"])
def test_a_file_that_gives_nothing_yet_is_not_at_its_end(store: Store, first: tuple[bytes, ...]) -> None:
    cci = store.interface()
    cci.upload_object("a", b"before")
    with pytest.raises(BlockingIOError, match=r"Gives.*make it blocking"):
        cci.upload_object("a", cast("BinaryIO", Gives(*first, None, b"more")))
    assert store.raw.get("a")[0] == b"before"
    assert store.raw.leftovers() == []


@pytest.mark.stores("local")
@pytest.mark.parametrize("buffering", [0, -1])
def test_a_pipe_that_does_not_block_is_not_cut_off(store: Store, buffering: int) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering) as file, open(writing, "wb") as other:  # noqa: PTH123 - they have no path
        other.write(b"first")
        other.flush()
        with pytest.raises(BlockingIOError, match="gives nothing now"):
            store.interface().upload_object("a", file)
        with pytest.raises(BlockingIOError, match="gives nothing now"):
            list(file_pieces(file, TransferSettings()))
    assert store.raw.keys() == []


@pytest.mark.stores("local", "moto")
def test_a_file_may_read_into_the_same_memory_again(store: Store) -> None:
    class Same:
        def __init__(self) -> None:
            self.memory, self.numbers = bytearray(5 * MIB), iter(range(1, 5))

        def read(self, _most: int) -> memoryview:
            if not (number := next(self.numbers, 0)):
                return memoryview(b"")
            self.memory[:] = bytes([number]) * len(self.memory)
            return memoryview(self.memory)

    store.interface().upload_object("a", cast("BinaryIO", Same()))
    assert store.raw.get("a")[0] == b"".join(bytes([number]) * (5 * MIB) for number in range(1, 5))


@pytest.mark.parametrize("threads", [1, 4])
def test_in_parts_both_ways(store: Store, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    small_parts(monkeypatch)
    cci = store.interface()
    body = BYTES * 4
    cci.upload_object("big", body, threads=threads)
    cci.upload_object("file", io.BytesIO(body), threads=threads)
    assert store.raw.get("big")[0] == body
    assert store.raw.get("file")[0] == body
    assert cci.download_object("big", threads=threads) == body
    assert store.raw.leftovers() == []


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("size", [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 10 * MIB + 1])
def test_at_the_borders_of_parts(store: Store, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    small_parts(monkeypatch)
    cci = store.interface()
    body = (BYTES * 4)[:size]
    for name, sent in (("bytes", body), ("file", io.BytesIO(body))):
        cci.upload_object(name, sent)
        assert store.raw.get(name)[0] == body
        assert cci.download_object(name) == body


def test_metadata_of_the_user(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("a", b"x", subject="S01", run=3)
    assert store.raw.get("a")[1] == {"subject": "S01", "run": "3"}
    with cci.download_stream("a") as stream:
        assert stream.metadata == {"subject": "S01", "run": "3"}


def test_an_object_is_replaced_with_its_metadata(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("a", b"old and long", subject="S01")
    cci.upload_object("a", b"new")
    assert store.raw.get("a") == (b"new", {})


NAMES = [
    "a b",
    "a+b",
    "a%20b",
    "a%41",
    "é/ü",
    "a&b=c?d#e",
    "a;b,c:d@e!$'()",
    "deep/er/and/deeper",
    "日本語",
    "~tilde",
    "a..b",
    ".dot",
]


def test_odd_names(store: Store) -> None:
    cci = store.interface()
    for name in NAMES:
        cci.upload_object(name, name.encode())
        assert cci.download_object(name) == name.encode()
        assert cci.exists_object(name)
    everything = sorted(NAMES, key=str.encode)
    assert store.raw.keys() == cci.glob("") == everything
    cci.rm("deep", recursive=True)
    for name in NAMES:
        if not name.startswith("deep/"):
            cci.rm(name)
    assert store.raw.keys() == []


def test_names_that_look_alike_are_apart(store: Store) -> None:
    cci = store.interface()
    alike = ["a b", "a%20b", "a+b", "A b"]
    for name in alike:
        cci.upload_object(name, name.encode())
    assert [cci.download_object(name) for name in alike] == [name.encode() for name in alike]
    assert sorted(cci.lsdir()) == sorted(alike)


def test_slashes_are_cleaned_in_every_call(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("/a//b", b"x")
    assert store.raw.keys() == ["a/b"]
    assert cci.download_object("//a/b") == b"x"
    assert cci.exists_object("///a///b")
    assert cci.get_object("/a//b").key == "a/b"
    with cci.download_stream("/a//b") as stream:
        assert stream.read() == b"x"


HOSTILE = ["..", "../x", "a/../../b", "a/..", "./a", "a/./b", "a\0b", "/../x", "x/\udc80"]


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("name", ["", "/", *HOSTILE])
def test_names_that_no_object_has(store: Store, name: str) -> None:
    cci = store.interface()
    calls = [
        lambda: cci.upload_object(name, b"x"),
        lambda: cci.upload_raw_array(name, np.arange(3)),
        lambda: cci.upload_json(name, {}),
        lambda: cci.download_object(name),
        lambda: cci.download_raw_array(name),
        lambda: cci.exists_object(name),
        lambda: cci.upload_dask_array(name, np.arange(3)),
        lambda: cci.dict2cloud(name, {"a": np.arange(3)}, verbose=False),
        lambda: cci.cp(name, "copy"),
        lambda: cci.mv(name, "copy"),
    ]
    for call in calls:
        with pytest.raises(InvalidObjectName):
            call()
    assert store.raw.keys() == []


@pytest.mark.stores("local")
def test_nothing_leaves_the_directory(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    before = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "secret").write_text("x")
    for name in ("../secret", "a/../../secret"):
        for call in (cci.download_object, cci.rm, cci.lsdir, cci.ls, cci.glob, cci.cloud2dict):
            with pytest.raises(InvalidObjectName):
                call(name)
    cci.upload_object(str(tmp_path / "absolute"), b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "secret"])
    cci.upload_object("/etc/x", b"x")
    assert store.raw.get("etc/x")[0] == b"x"
    assert not Path("/etc/x").exists()


def test_what_is_not_there_is_not_found(store: Store) -> None:
    cci = store.interface()
    store.raw.put("dir/a", b"x")
    for call in ("object", "json", "pickle", "npy_array", "raw_array", "stream", "sparse_array", "dask_array"):
        for name in ("nothing", "dir", "dir/b"):
            with pytest.raises(FileNotFoundError, match=name) as caught:
                getattr(cci, f"download_{call}")(name)
            assert isinstance(caught.value, ObjectNotFound)
            assert store.container in str(caught.value)


def test_a_prefix_is_no_object(store: Store) -> None:
    cci = store.interface()
    store.raw.put("dir/a", b"x")
    assert cci.exists_object("dir/a") is True
    assert cci.exists_object("dir") is False
    assert cci.exists_object("dir/") is False
    assert cci.exists_object("di") is False
    with pytest.raises(FileNotFoundError, match="'dir'"):
        cci.exists_object("dir", raise_err=True)


def test_objects_of_another_bucket(store: Store) -> None:
    other = store.second_container()
    other.raw.put("a", b"x")
    cci = store.interface()
    assert cci.exists_object("a") is False
    assert cci.exists_object("a", bucket_name=other.container) is True
    assert cci.get_object("a", bucket_name=other.container).get()["Body"].read() == b"x"


def test_the_stores_own_object(store: Store) -> None:
    cci = store.interface()
    found = cci.get_object("not/yet")  # asks for nothing
    assert found.key == "not/yet"
    assert found.bucket_name == cci.bucket_name
    cci.upload_object("not/yet", b"abc", subject="S01")
    assert found.get()["Body"].read() == b"abc"
    assert found.content_length == 3
    assert found.metadata == {"subject": "S01"}
    found.delete()
    assert store.raw.keys() == []


# ---------------------------------------------------------------------- json and pickles
def test_json(store: Store) -> None:
    cci = store.interface()
    for document in ({"a": [1, None, "é"]}, {}, [1.5, True], "text", None, {"deep": {"er": {}}}):
        cci.upload_json("j.json", document, subject="S01")
        body, metadata = store.raw.get("j.json")
        assert json.loads(body.decode("utf-8")) == document
        assert metadata == {"subject": "S01"}
        assert cci.download_json("j.json") == document


@pytest.mark.stores("local")
def test_what_no_json_can_hold_is_refused_before_it_is_sent(store: Store) -> None:
    with pytest.raises(TypeError):
        store.interface().upload_json("j", {"a": {1, 2}})
    assert store.raw.keys() == []


class _Own(ValueError):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first, second)


class _Unwilling:
    def __reduce__(self) -> str:
        raise _Own("not", "me")


@pytest.mark.stores("local", "moto")
def test_what_cannot_be_written_so_is_named(store: Store) -> None:
    cci = store.interface()
    for value in ({"n": np.int64(3)}, [np.ones(2)], {np.int64(3): 1}):
        with pytest.raises(TypeError, match=r"object 'j' in .*: numpy numbers .*item\(\) .*upload_raw_array"):
            cci.upload_json("j", value)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match=r"object 'j' in .*: Circular reference detected$"):
        cci.upload_json("j", circle)
    # which of the two it is depends on Python's release
    with pytest.raises(
        (AttributeError, pickle.PicklingError), match=r"object 'p' in .*: functions and classes have to"
    ):
        cci.upload_pickle("p", lambda: 1)
    with Path(os.devnull).open() as file, pytest.raises(TypeError, match=r"object 'p' in .*open files"):
        cci.upload_pickle("p", file)
    with pytest.raises(_Own):
        cci.upload_pickle("p", _Unwilling())
    assert store.raw.keys() == []


def test_pickles(store: Store) -> None:
    cci = store.interface()
    for value in ({"a": (1, 2)}, [np.arange(3)], None, {1, 2}):
        cci.upload_pickle("p.pkl", value)
        assert repr(pickle.loads(store.raw.get("p.pkl")[0])) == repr(value)
        assert repr(cci.download_pickle("p.pkl")) == repr(value)


# ---------------------------------------------------------------------- files
def test_files(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    source, target = tmp_path / "up.bin", tmp_path / "down.bin"
    source.write_bytes(BYTES)
    cci.upload_from_file(str(source), "a/file", ExtraArgs={"Metadata": {"subject": "S01"}})
    assert store.raw.get("a/file") == (BYTES, {"subject": "S01"})
    cci.download_to_file("a/file", str(target))
    assert target.read_bytes() == BYTES
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["down.bin", "up.bin"]


def _wait_for_each_other(count: int, is_one: Callable[[Request], bool]) -> Callable[[Request], None]:
    """No answer to the first requests of a kind before all of them have come; with fewer at a time none would."""
    barrier, numbers = threading.Barrier(count, timeout=60), itertools.count()

    def hook(request: Request) -> None:
        if is_one(request) and next(numbers) < count:
            barrier.wait()

    return hook


@pytest.mark.stores("moto")
def test_a_file_takes_the_threads_that_are_asked_for(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever memory they take; what is configured keeps to little."""
    monkeypatch.setenv("COTTONCANDY_BASIC_THREADS", "32")
    store, proxy = recorded
    cci, source = store.interface(), tmp_path / "file"
    source.write_bytes(np.random.default_rng(3).bytes(12 * 5 * 2**20))
    for threads, at_a_time in ((12, 12), (None, 5)):
        proxy.hook = _wait_for_each_other(at_a_time, lambda request: "partNumber" in request.query)
        cci.upload_from_file(str(source), "file", threads=threads)
    monkeypatch.setattr(Waits, "are_few", False)  # as where each answer takes long
    for threads, at_a_time in ((12, 12), (None, 4)):
        proxy.hook = _wait_for_each_other(
            at_a_time, lambda request: not (request.headers["Range"] or "bytes=0-").startswith("bytes=0-")
        )
        cci.download_to_file("file", str(tmp_path / "down"), threads=threads)
        assert (tmp_path / "down").read_bytes() == source.read_bytes()


@pytest.mark.stores("moto")
def test_extra_arguments_are_boto3s(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    store.interface().upload_from_file(
        path, "a", ExtraArgs={"ContentType": "text/plain", "StorageClass": "STANDARD_IA"}
    )
    head = store.raw.client.head_object(Bucket=store.container, Key="a")
    assert head["ContentType"] == "text/plain"
    assert head["StorageClass"] == "STANDARD_IA"


@pytest.mark.stores("local", "moto", "gdrive")
@pytest.mark.parametrize("encryption_key", [None, generate_encryption_key()], ids=["plain", "encrypted"])
@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ("private", "ExtraArgs is a dictionary, .* not 'private'"),
        ({"Metadata": "x"}, "Metadata of ExtraArgs is a dictionary, .* not 'x'"),
        ({"metadata": {"subject": "S01"}}, "ExtraArgs: .* knows no 'metadata'"),  # of which nothing would be left
        ({"Foo": 1, "ACL": "private"}, "ExtraArgs: .* knows no 'Foo'"),
    ],
)
def test_extra_arguments_of_no_store_are_passed_over_by_none(
    store: Store, tmp_path: Path, extra: Any, error: str, encryption_key: str | None
) -> None:
    cci = store.interface(encryption_key=encryption_key)
    (tmp_path / "a.txt").write_text("x")
    for call, source in ((cci.upload_from_file, tmp_path / "a.txt"), (cci.upload_from_directory, tmp_path)):
        with pytest.raises((TypeError, ConfigurationError), match=error):
            call(source, "a", ExtraArgs=extra)
    assert not store.raw.keys()


@pytest.mark.stores("local", "gdrive")
def test_extra_arguments_that_boto3_knows_do_no_harm_elsewhere(store: Store, tmp_path: Path) -> None:
    known, path = set(S3Transfer.ALLOWED_UPLOAD_ARGS), tmp_path / "a.txt"
    path.write_text("x")
    extra = dict.fromkeys(known - {"Metadata"}, "text/plain") | {"Metadata": {"subject": "S01"}}
    store.interface().upload_from_file(path, "a", ExtraArgs=extra)
    assert store.raw.get("a") == (b"x", {"subject": "S01"})


@pytest.mark.stores("local", "moto", "seaweedfs", "ceph", "gdrive")
@pytest.mark.parametrize("encryption_key", [None, generate_encryption_key()], ids=["plain", "encrypted"])
@pytest.mark.parametrize("size", [5, 12 * 2**20], ids=["at once", "in parts"])
def test_what_is_to_replace_nothing_in_boto3s_words_replaces_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, encryption_key: str | None
) -> None:
    """Ceph 16 passes over that condition where an upload in parts is completed."""
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_MPU_USE_THRESHOLD", "6")
    cci, path, extra = store.interface(encryption_key=encryption_key), tmp_path / "a.bin", {"IfNoneMatch": "*"}
    path.write_bytes(bytes(size))
    store.raw.put("a.bin", b"precious")
    for call, source, name in ((cci.upload_from_file, path, "a.bin"), (cci.upload_from_directory, tmp_path, "/")):
        with pytest.raises(ObjectExists, match=r"a\.bin"):
            call(source, name, ExtraArgs=extra)
    assert store.raw.get("a.bin")[0] == b"precious"
    cci.upload_from_file(path, "b.bin", ExtraArgs=extra)
    assert cci.download_object("b.bin") == bytes(size)
    assert extra == {"IfNoneMatch": "*"}


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(BYTES)


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


@pytest.mark.parametrize("how", ["upload_from_file", "upload_from_directory", "sync", "fsspec"])
@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_file_that_changes_while_it_goes_up_is_not_stored_torn(
    change: Callable[[Path], None], how: str, recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts(monkeypatch)
    monkeypatch.setenv("COTTONCANDY_BASIC_THREADS", "1")  # none reads ahead to the end
    store, proxy = recorded
    cci, path = store.interface(), tmp_path / "here" / "f"
    path.parent.mkdir()
    store.raw.put("exp/f", b"as it was")
    with path.open("wb") as file:
        file.write(BYTES * 5)
    os.utime(path, (1, 1))
    (path.parent / "other").write_bytes(b"other")
    calls: dict[str, Callable[[], object]] = {
        "upload_from_file": lambda: cci.upload_from_file(path, "exp/f"),
        "upload_from_directory": lambda: cci.upload_from_directory(path.parent, "exp"),
        "sync": lambda: cci.sync(path.parent, "exp"),
        "fsspec": lambda: cci.fs.put(str(path), "exp/f"),
    }

    def at_the_first_part(request: Request) -> Response | None:
        if request.method == "PUT" and "partNumber" in request.query and path.stat().st_mtime == 1:
            change(path)
        return None

    proxy.hook = at_the_first_part
    with pytest.raises(ObjectChanged, match=f"{path}: it was written to while it was uploaded"):
        calls[how]()
    assert path.stat().st_mtime > 1
    assert (store.raw.get("exp/f")[0], store.raw.leftovers()) == (b"as it was", [])
    if how == "sync":
        assert store.raw.get("exp/other")[0] == b"other"  # it goes on with the others
    calls[how]()
    assert store.raw.get("exp/f")[0] == path.read_bytes()


@pytest.mark.stores("local")
@pytest.mark.parametrize("change", [grow, shrink, rewrite])
@pytest.mark.parametrize("threshold", ["100", "5"])
def test_a_file_that_changes_while_it_is_read_is_not_stored(
    threshold: str, change: Callable[[Path], None], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_MPU_USE_THRESHOLD", threshold)
    cci, path = store.interface(), tmp_path / "f"
    path.write_bytes(BYTES * 3)
    os.utime(path, (1, 1))
    opened = Path.open

    def change_once() -> None:
        if path.stat().st_mtime == 1:
            change(path)

    class Reading(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            change_once()
            return data

        def readinto(self, buffer: Any, /) -> int:
            count = super().readinto(buffer)
            change_once()
            return count

    def open_changing(self: Path, *args: Any, **kwargs: Any) -> Any:
        return Reading(io.FileIO(self)) if self == path and args == ("rb",) else opened(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", open_changing)
        with pytest.raises(ObjectChanged, match="written to while"):
            cci.upload_from_file(path, "exp/f")
    assert (store.raw.keys(), store.raw.leftovers()) == ([], [])


@pytest.mark.stores("local", "moto")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at /proc")
def test_what_has_no_size_of_its_own_is_uploaded(store: Store, tmp_path: Path) -> None:
    cci, pipe = store.interface(), tmp_path / "pipe"
    cci.upload_from_file("/proc/self/status", "status")
    assert store.raw.get("status")[0].startswith(b"Name:")
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(pipe.write_bytes, BYTES)
        cci.upload_from_file(pipe, "piped")
        assert written.result() == len(BYTES)
    assert store.raw.get("piped")[0] == BYTES


@contextmanager
def files_end_at(nbytes: int) -> Iterator[None]:
    """While the disk is nearly full: no file grows beyond so many bytes."""
    resource = pytest.importorskip("resource")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.stores("local")
@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_disk_that_is_full_names_the_file_and_the_object(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    cci.upload_object("big", BYTES)
    target, other = tmp_path / "target", tmp_path / "other"
    target.write_bytes(b"old")
    calls: dict[Path, Callable[[], object]] = {
        target: lambda: cci.download_to_file("big", target),
        other: lambda: cci.fs.get_file("big", str(other)),
        tmp_path / "synced" / "big": lambda: cci.sync("", tmp_path / "synced"),
    }
    if Path("/dev/full").exists():
        calls[Path("/dev/full")] = lambda: cci.download_to_file("big", "/dev/full")
    for path, call in calls.items():
        with files_end_at(100_000), pytest.raises(OSError, match=r"object 'big'.*is not written") as caught:
            call()
        assert str(path) in str(caught.value)
        if path.parent != tmp_path / "synced":  # which goes on with the other files, and tells of this one then
            assert caught.value.filename == str(path)
            assert caught.value.errno in {errno.EFBIG, errno.ENOSPC}
    assert target.read_bytes() == b"old"
    assert list(tmp_path.rglob(".cottoncandy-*")) == []


@pytest.mark.stores("local", "moto")
@pytest.mark.skipif(os.name == "nt", reason="there, files have no mode")
def test_a_file_that_is_replaced_keeps_its_mode(store: Store, tmp_path: Path) -> None:
    cci, here = store.interface(), tmp_path / "here"
    target, same = here / "target", here / "big"
    here.mkdir()
    cci.upload_object("exp/big", BYTES)
    downloads: list[Callable[[], object]] = [
        lambda: cci.download_to_file("exp/big", target),
        lambda: cci.download_directory("exp", str(here)),
        lambda: cci.sync("exp", here),
        lambda: cci.fs.get("exp/big", str(target)),
    ]
    for download in downloads:
        for mode in (0o600, 0o755, 0o444):
            for path in (target, same):
                path.unlink(missing_ok=True)
                path.write_bytes(b"old")
                path.chmod(mode)
            download()
            replaced = [path for path in (target, same) if path.read_bytes() == BYTES]
            assert [path.stat().st_mode & 0o777 for path in replaced] == [mode]
    target.unlink()
    cci.download_to_file("exp/big", target)
    plain = tmp_path / "plain"
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="there, files have no mode")
def test_a_file_that_is_replaced_is_at_no_time_open_to_others(tmp_path: Path) -> None:
    target = tmp_path / "target.npy"
    target.touch(mode=0o600)
    with replacing(target, "an array") as file:
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
        file.write(b"new")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o600)
    with replacing_path(target, "an array", ".npy") as part:
        assert part.stat().st_mode & 0o777 == 0o600
        part.write_bytes(b"newer")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"newer", 0o600)
    with pytest.raises(FileNotFoundError, match="an array is not written"), replacing_path(target, "an array", ".npy"):
        pass  # as what writes under a name of its own
    assert target.read_bytes() == b"newer"
    assert [path.name for path in tmp_path.iterdir()] == ["target.npy"]


@pytest.mark.stores("local", "moto")
def test_a_files_full_name_is_its_objects_name(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_bytes(b"x")
    store.interface().upload_from_file(str(path))
    assert store.raw.keys() == [str(path).lstrip("/")]


@pytest.mark.stores("local", "moto")
def test_an_empty_file(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    (tmp_path / "empty").touch()
    cci.upload_from_file(tmp_path / "empty", "empty")
    assert store.raw.get("empty")[0] == b""
    cci.download_to_file("empty", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == b""


@pytest.mark.stores("local", "moto")
def test_a_download_that_fails_leaves_the_file_as_it_was(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    target = tmp_path / "kept"
    target.write_text("old")
    with pytest.raises(FileNotFoundError):
        cci.download_to_file("nothing", str(target))
    assert target.read_text() == "old"
    with pytest.raises(FileNotFoundError):
        cci.upload_from_file(str(tmp_path / "absent"), "a")
    cci.upload_object("a", b"x")
    with pytest.raises(IsADirectoryError):
        cci.download_to_file("a", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        cci.download_to_file("a", str(tmp_path / "no" / "such" / "directory"))
    assert store.raw.keys() == ["a"]


# ---------------------------------------------------------------------- directories
FILES = {"a.txt": b"1", "b c.txt": b"", "sub/é.bin": b"3", "sub/deep/er": BYTES[:1000], ".hidden": b"5", "a+b%41": b"6"}


def test_directories(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    source = write(tmp_path / "up", FILES)
    cci.upload_from_directory(str(source), "exp/data", recursive=True)
    assert {key: store.raw.get(key)[0] for key in store.raw.keys("")} == {f"exp/data/{k}": v for k, v in FILES.items()}
    store.raw.put("exp/data2/sibling", b"x")
    target = tmp_path / "down" / "new"
    cci.download_directory("exp/data", str(target))
    assert files(target) == FILES
    cci.download_directory("/exp//data/", str(target))
    assert files(target) == FILES


@pytest.mark.stores("local", "moto")
def test_a_directory_without_its_directories(store: Store, tmp_path: Path) -> None:
    source = write(tmp_path / "up", FILES)
    store.interface().upload_from_directory(str(source), "exp")
    assert store.raw.keys() == sorted(f"exp/{name}" for name in FILES if "/" not in name)


@pytest.mark.stores("local", "moto")
def test_a_directorys_full_name_is_the_default(store: Store, tmp_path: Path) -> None:
    source = write(tmp_path / "up", {"a": b"1"})
    store.interface().upload_from_directory(str(source))
    assert store.raw.keys() == [f"{source}/a".lstrip("/")]


@pytest.mark.stores("local")
def test_a_directory_that_is_none(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    (tmp_path / "file").touch()
    for name in ("absent", "file"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            cci.upload_from_directory(str(tmp_path / name), "exp")
    with pytest.raises(FileNotFoundError, match="nothing"):
        cci.download_directory("nothing", str(tmp_path / "down"))
    assert not (tmp_path / "down").exists()


@pytest.mark.parametrize("recursive", [True, False])
def test_a_directory_that_may_not_be_listed_is_an_error(recursive: bool, tmp_path: Path) -> None:
    source = write(tmp_path / "up", {"a": b"1", "closed/b": b"2"})
    closed = source / "closed" if recursive else source
    code = f"""if 1:
        import cottoncandy
        cci = cottoncandy.get_interface({str(tmp_path / "store")!r}, backend="local", verbose=False)
        cci.upload_from_directory({str(source)!r}, "exp", recursive={recursive})
    """
    # root may list all, unless it is without its privileges
    as_a_user = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    closed.chmod(0)
    try:
        done = subprocess.run([*as_a_user, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    finally:
        closed.chmod(0o700)
    assert done.stderr.endswith(f"PermissionError: [Errno 13] Permission denied: {str(closed)!r}\n")
    assert files(tmp_path / "store") == {}


@pytest.mark.stores("local")
def test_a_directory_that_links_to_itself(store: Store, tmp_path: Path) -> None:
    source = write(tmp_path / "up", {"sub/a": b"1"})
    (source / "sub" / "loop").symlink_to(source)
    (source / "dangling").symlink_to(tmp_path / "nowhere")
    store.interface().upload_from_directory(str(source), "exp", recursive=True)
    assert store.raw.keys() == ["exp/sub/a"]


# ---------------------------------------------------------------------- streams
def test_a_stream_is_a_file(store: Store) -> None:
    cci = store.interface()
    lines = [b"first\n", b"second\n", b"\n", b"last"]
    cci.upload_object("text", b"".join(lines), subject="S01")
    with cci.download_stream("text") as stream:
        assert stream.readable()
        assert stream.seekable()
        assert not stream.writable()
        assert stream.size == len(b"".join(lines))
        assert stream.readline() == lines[0]
        assert stream.tell() == len(lines[0])
        assert list(stream) == lines[1:]
        assert stream.read() == b""
        assert stream.seek(-4, io.SEEK_END) == stream.size - 4
        assert stream.read(100) == b"last"
        stream.seek(2)
        buffer = bytearray(3)
        assert stream.readinto(buffer) == 3
        assert buffer == b"rst"
        stream.seek(-1, io.SEEK_CUR)
        assert stream.read(1) == b"t"
        stream.seek(10**9)
        assert stream.read(1) == b""
        with pytest.raises(ValueError, match="seek"):
            stream.seek(-1)
        assert stream.content.seek(0) == 0
        assert stream.content.read() == b"".join(lines)
    assert stream.closed
    with pytest.raises(ValueError, match="closed"):
        stream.read()
    with io.TextIOWrapper(cci.download_stream("text"), encoding="utf-8") as text:
        assert text.read().encode() == b"".join(lines)


def test_an_empty_stream(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("empty", b"")
    with cci.download_stream("empty") as stream:
        assert stream.size == 0
        assert stream.read(3) == b""
        assert stream.read() == b""
        assert list(stream) == []


@pytest.mark.stores("local", "moto")
def test_a_stream_reads_anywhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)
    cci = store.interface()
    store.raw.put("big", BYTES)
    random = np.random.default_rng(2)
    with cci.download_stream("big") as stream:
        for _ in range(60):
            start, count = int(random.integers(len(BYTES) + 5)), int(random.choice([0, 1, 100, 70_000, 2 * MIB]))
            stream.seek(start)
            assert stream.read(count) == BYTES[start : start + count]
            assert stream.tell() == min(start + count, max(start, len(BYTES)))


def test_streams_for_numpy_pandas_and_h5py(store: Store, tmp_path: Path) -> None:
    h5py, pandas = pytest.importorskip("h5py"), pytest.importorskip("pandas")
    cci = store.interface()
    array = np.arange(200_000, dtype=">f8").reshape(2, -1)
    np.savez(tmp_path / "many.npz", a=array, b=array.T)
    np.save(tmp_path / "one.npy", array)
    (tmp_path / "table.csv").write_text("name,score\nx,1.5\ny,2.5\n")
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["group/array"] = array
    cci.upload_from_directory(tmp_path, "files")
    with cci.download_stream("files/one.npy") as stream:
        assert np.array_equal(np.load(stream), array)
    with cci.download_stream("files/many.npz") as stream, np.load(stream) as archive:
        assert np.array_equal(archive["b"], array.T)
    with cci.download_stream("files/table.csv") as stream:
        assert pandas.read_csv(stream)["score"].sum() == 4
    with cci.download_stream("files/file.h5") as stream, h5py.File(stream) as file:
        assert np.array_equal(file["group/array"][1, 10:20], array[1, 10:20])


def test_many_small_reads_cost_few_requests(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    store, proxy = recorded
    store.raw.put("big", BYTES * 8)
    cci = store.interface()
    proxy.clear()
    with cci.download_stream("big") as stream:
        pieces = list(iter(lambda: stream.read(1000), b""))
    assert b"".join(pieces) == BYTES * 8
    assert 1 <= proxy.count("GET") <= 8
    assert proxy.count("HEAD") == 0
    # and hardly a byte is fetched twice
    assert sum(request.answered for request in proxy.requests) < 1.2 * len(BYTES * 8)


def test_h5py_reads_what_it_needs(recorded: Recorded) -> None:
    h5py = pytest.importorskip("h5py")
    store, proxy = recorded
    cci = store.interface()
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for number in range(10):
            h5[f"run{number}/bold"] = np.full((500, 200), number, "<f8")  # 800 KB each
            h5[f"run{number}"].attrs["task"] = f"task{number}"
    cci.upload_object("x.h5", file.getvalue() + bytes(20 * 2**20))
    proxy.clear()
    with cci.download_stream("x.h5") as stream, h5py.File(stream) as h5:
        assert [h5[name].attrs["task"] for name in h5] == [f"task{number}" for number in range(10)]
        looked = len(proxy.requests)
        assert (h5["run7/bold"][100:110] == 7).all()
    # a page or two for each group, and nothing twice
    assert looked <= 12
    assert len(proxy.requests) - looked <= 2
    assert sum(request.answered for request in proxy.requests) < 5 * 2**20


def test_a_small_stream_is_one_request(recorded: Recorded) -> None:
    store, proxy = recorded
    store.raw.put("small", b"abc", {"subject": "S01"})
    cci = store.interface()
    proxy.clear()
    with cci.download_stream("small") as stream:
        assert stream.metadata == {"subject": "S01"}
        assert stream.size == 3
        assert stream.read() == b"abc"
    assert [request.method for request in proxy.requests] == ["GET"]


@pytest.mark.stores("local")
def test_a_stream_has_a_telling_repr(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("dir/a", b"abc")
    with cci.download_stream("dir/a") as stream:
        assert "dir/a" in repr(stream)
        assert "3" in repr(stream)


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc/self/fd")
@pytest.mark.stores("local", "moto")
def test_a_stream_gives_back_what_it_opened(store: Store) -> None:
    """A stream that is dropped unread leaks no socket or file: warnings are errors here."""
    cci = store.interface()
    store.raw.put("big", BYTES * 4)
    before = _open_files()
    for _ in range(30):
        with cci.download_stream("big") as stream:
            stream.read(10)
    assert _open_files() < before + 20


UPLOADS_TO_A_DIRECTORY: dict[str, Any] = {
    "object": lambda cci: cci.upload_object("exp/", b"x"),
    "file": lambda cci: cci.upload_object("exp/", io.BytesIO(b"x")),
    "json": lambda cci: cci.upload_json("exp/", {}),
    "pickle": lambda cci: cci.upload_pickle("exp/", {}),
    "npy": lambda cci: cci.upload_npy_array("exp/", np.arange(3)),
    "raw": lambda cci: cci.upload_raw_array("exp/", np.arange(3)),
    "no items": lambda cci: cci.upload_raw_array("/exp//", np.empty((0, 3)), compression=False),
    "a large one": lambda cci: cci.upload_raw_array("exp/", np.zeros(10**6, "u8"), compression=False),
    "many parts": lambda cci: cci.upload_object("exp/", io.BytesIO(bytes(12 * 2**20))),
}


@pytest.mark.parametrize("upload", UPLOADS_TO_A_DIRECTORY)
def test_a_name_that_ends_with_a_slash_is_a_directorys(store: Store, upload: str) -> None:
    with pytest.raises(InvalidObjectName, match="'exp/'"):
        UPLOADS_TO_A_DIRECTORY[upload](store.interface())
    assert store.raw.keys() == []
    assert store.raw.leftovers() == []


@pytest.mark.stores("moto", "ceph")
def test_what_0_4_0_stored_under_such_a_name_is_read(store: Store) -> None:
    store.raw.put("exp/", np.arange(3).tobytes(), {"dtype": "<i8", "shape": "3", "gzip": "False", "order": "C"})
    store.raw.put("run/", b"{}")
    cci = store.interface()
    assert cci.download_raw_array("exp/").tolist() == [0, 1, 2]
    assert cci.download_json("run/") == {}
    cci.cp("exp/", "other")
    assert cci.download_raw_array("other/").tolist() == [0, 1, 2]


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_an_empty_object_stands_for_a_directory(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("exp/", b"")
    assert store.raw.keys() == ["exp/"]
    assert cci.lsdir() == ["exp"]

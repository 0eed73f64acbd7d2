"""What every backend does, on every store: the contract of `cottoncandy.backends.base`, seen from both sides."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial

import numpy as np
import pytest
from stores import Store

from cottoncandy.backends.base import (
    Backend,
    MultipartUpload,
    ObjectInfo,
    ObjectPrefix,
    ObjectReader,
    StoredObject,
    WriteOptions,
)
from cottoncandy.errors import (
    ContainerNotEmpty,
    ContainerNotFound,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
)
from cottoncandy.stream import CloudStream

pytestmark = pytest.mark.botocore_too("moto")

ONLY_IF_ABSENT = WriteOptions(if_absent=True)
METADATA = {"dtype": "<f8", "shape": "3,5,6", "note": "a b=c; d/%41+", "x-y": "1"}
BODY = bytes(range(256)) * 4

# Names that servers, XML, URLs and file systems like to change.
ODD_NAMES = [
    "a b/c d",
    " a /  b ",
    "a+b",
    "a%20b",
    "%41",
    "~a/b~",
    "..a/b../...",
    ".a/.b",
    'it\'s "q"',
    "<a>&amp;</a>",
    "a?b=c&d#e",
    "s3:a:b@c",
    "a*[b]{c}",
    "caf\u00e9",  # one letter, and two that look the same
    "cafe\u0301",
    "\u00fc/\u4e2d\u6587",
    "\U0001f36d/\U0001f9e0",
    "A",
    "/".join("abcdefghij" * 5),
    "/".join(["x" * 100] * 8),
]


@pytest.fixture
def backend(store: Store) -> Backend:
    return store.backend()


def listed(backend: Backend, prefix: str = "", **options: int) -> list[str]:
    names = [info.key for info in backend.list_objects(prefix, **options)]
    assert list(backend.list_names(prefix, **options)) == names
    return names


def level(backend: Backend, prefix: str = "", **options: int) -> list[str]:
    names = [entry.key for entry in backend.list_level(prefix, **options)]
    assert list(backend.level_names(prefix, **options)) == names
    return names


def read(backend: Backend, key: str, start: int = 0, stop: int | None = None, **options: str) -> bytes:
    with backend.open(key, start, stop, **options) as reader:
        return drain(reader)


def drain(reader: ObjectReader) -> bytes:
    buffer = bytearray(reader.stop - reader.start + 1)  # more than there is: it must stop by itself
    return bytes(buffer[: reader.readexactly(memoryview(buffer))])


def put_many(backend: Backend, keys: Iterable[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: backend.put(key, b"", {}), keys))


@contextlib.contextmanager
def uploading(backend: Backend, key: str, options: WriteOptions = WriteOptions()) -> Iterator[MultipartUpload]:
    upload = backend.start_upload(key, METADATA, options)
    try:
        yield upload
    finally:
        upload.abort()


# ------------------------------------------------------------------ round trips
def test_put_arrives_whole(store: Store, backend: Backend) -> None:
    bodies = {
        "dir/empty": b"",
        "dir/one byte": b"x",
        "dir/bytes": BODY,
        "dir/bytearray": bytearray(BODY),
        "dir/slice": memoryview(BODY)[3:-5],
        "larger": memoryview(bytearray(300_000)),
    }
    for key, body in bodies.items():
        receipt = backend.put(key, body, METADATA)
        assert receipt["ETag"]
        assert receipt["ResponseMetadata"]["HTTPStatusCode"] == 200

    assert store.raw.keys() == sorted(bodies)
    for key, body in bodies.items():
        assert store.raw.get(key) == (bytes(body), METADATA)


def test_put_takes_an_arrays_own_memory(store: Store, backend: Backend) -> None:
    array = np.arange(1000.0)
    array.flags.writeable = False
    backend.put("array", memoryview(array).cast("B"), {})
    assert store.raw.get("array")[0] == array.tobytes()


def test_what_others_wrote_is_read(store: Store, backend: Backend) -> None:
    for key, body in {"empty": b"", "dir/full": BODY}.items():
        store.raw.put(key, body, METADATA)
        with backend.open(key) as reader:
            assert drain(reader) == body
            assert (reader.start, reader.stop) == (0, len(body))
            assert reader.head.metadata == METADATA
        assert backend.stat(key).metadata == METADATA
        assert backend.stat(key).size == len(body)


def test_an_object_without_metadata(store: Store, backend: Backend) -> None:
    store.raw.put("name", BODY)
    assert backend.stat("name").metadata == {}
    backend.put("other", BODY, {})
    assert store.raw.get("other") == (BODY, {})


def test_empty_metadata_values(store: Store, backend: Backend) -> None:
    backend.put("name", BODY, {"shape": "", "dtype": "<f8"})
    expected = {"dtype": "<f8"} if store.has("empty-metadata-lost") else {"shape": "", "dtype": "<f8"}
    assert backend.stat("name").metadata == expected


def test_put_replaces_bytes_and_metadata(store: Store, backend: Backend) -> None:
    backend.put("name", BODY, METADATA)
    backend.put("name", b"new", {"other": "2"})
    assert store.raw.get("name") == (b"new", {"other": "2"})
    assert backend.stat("name").metadata == {"other": "2"}
    assert read(backend, "name") == b"new"


def test_all_ways_to_look_tell_the_same(backend: Backend) -> None:
    before = datetime.now(timezone.utc)
    backend.put("name", BODY, METADATA)

    head = backend.stat("name")
    with backend.open("name") as reader:
        opened = reader.head
    (entry,) = backend.list_objects()
    (sibling,) = backend.list_level()

    for info in (head, opened, entry, sibling):
        assert (info.key, info.size, info.e_tag) == ("name", len(BODY), head.e_tag)
        assert abs(info.last_modified - before) < timedelta(minutes=5)
    assert backend.exists("name")
    assert backend.size() == len(BODY)


def test_odd_names(store: Store, backend: Backend) -> None:
    check_names(store, backend, ODD_NAMES)


@pytest.mark.stores(without="no-backslash")
def test_a_backslash_in_a_name(store: Store, backend: Backend) -> None:
    check_names(store, backend, ["a\\b", "a/b", "\\c"])


@pytest.mark.stores(without="no-newline")
def test_a_line_feed_in_a_name(store: Store, backend: Backend) -> None:
    check_names(store, backend, ["a\nb", "a b"])


def check_names(store: Store, backend: Backend, names: list[str]) -> None:
    """Each name is one object and stays as it is, on every way."""
    for name in names:
        backend.put(name, name.encode(), {"length": str(len(name))})
    assert store.raw.keys() == listed(backend) == sorted(names, key=str.encode)
    assert {name: read(backend, name, 1) for name in names} == {name: name.encode()[1:] for name in names}
    for name in names:
        assert store.raw.get(name) == (name.encode(), {"length": str(len(name))})
        assert name in listed(backend, name[:-1])
        assert name in level(backend, name[: name.rfind("/") + 1])
        backend.copy(name, "copies/" + name)
    assert backend.delete(names) == len(names)
    assert store.raw.keys() == sorted(("copies/" + name for name in names), key=str.encode)


# ------------------------------------------------------------------ ranges
def test_ranges(store: Store, backend: Backend) -> None:
    store.raw.put("name", BODY, METADATA)
    for start, stop in [(0, None), (10, 20), (0, 1), (1023, 1024), (1000, 5000), (1000, None), (0, 5000)]:
        with backend.open("name", start, stop) as reader:
            assert (reader.start, reader.stop) == (start, min(stop or len(BODY), len(BODY)))
            assert reader.head.size == len(BODY)
            assert reader.head.metadata == METADATA
            assert drain(reader) == BODY[start:stop]


def test_ranges_that_hold_nothing(store: Store, backend: Backend) -> None:
    store.raw.put("full", BODY, METADATA)
    store.raw.put("empty", b"", METADATA)
    ranges = {
        "full": [(0, 0), (7, 7), (1024, None), (1024, 2000), (5000, None), (5000, 6000)],
        "empty": [(0, None), (0, 0), (0, 10), (5, 10), (5, None)],
    }
    for key, start, stop in ((key, *one) for key, several in ranges.items() for one in several):
        with backend.open(key, start, stop) as reader:
            assert reader.start == reader.stop
            assert reader.head.size == (len(BODY) if key == "full" else 0)
            assert drain(reader) == b""


def test_a_reader_fills_buffers_of_any_size(store: Store, backend: Backend) -> None:
    store.raw.put("name", BODY)
    with backend.open("name", 10, 110) as reader:
        pieces = []
        while count := reader.readinto(memoryview(buffer := bytearray(7))):
            pieces.append(bytes(buffer[:count]))
        assert b"".join(pieces) == BODY[10:110]
        assert reader.readinto(memoryview(bytearray(7))) == 0


def test_read_range_writes_where_it_is_told(store: Store, backend: Backend) -> None:
    store.raw.put("name", BODY)
    target = bytearray(b"." * 30)
    assert backend.read_range("name", 100, memoryview(target)[10:20]) == 10
    assert target == b"." * 10 + BODY[100:110] + b"." * 10
    assert backend.read_range("name", len(BODY) - 4, memoryview(target)) == 4
    assert backend.read_range("name", len(BODY), memoryview(target)) == 0


def test_a_reader_may_be_closed_early_and_twice(store: Store, backend: Backend) -> None:
    store.raw.put("large", bytes(2_000_000))
    for _ in range(20):
        reader = backend.open("large")
        reader.readinto(memoryview(bytearray(10)))
        reader.close()
        reader.close()
    assert read(backend, "large", 1_999_990) == bytes(10)


# ------------------------------------------------------------------ versions
def test_e_tag_holds_a_read_to_one_version(backend: Backend) -> None:
    backend.put("name", b"first", {})
    first = backend.stat("name").e_tag
    assert read(backend, "name", e_tag=first) == b"first"
    assert read(backend, "name", 1, 3, e_tag=first) == b"ir"

    backend.put("name", b"other", {})
    assert backend.stat("name").e_tag != first
    with pytest.raises(ObjectChanged):
        backend.open("name", 1, 3, e_tag=first)
    with pytest.raises(ObjectChanged):
        backend.read_range("name", 0, memoryview(bytearray(5)), e_tag=first)

    backend.delete(["name"])
    with pytest.raises((ObjectNotFound, ObjectChanged)):
        backend.open("name", e_tag=first)


def test_if_absent_never_replaces(store: Store, backend: Backend) -> None:
    backend.put("name", b"first", METADATA, ONLY_IF_ABSENT)
    backend.put("source", b"other", {})
    with pytest.raises(ObjectExists, match="name"):
        backend.put("name", b"second", {}, ONLY_IF_ABSENT)
    with pytest.raises(ObjectExists, match="name"):
        backend.copy("source", "name", options=ONLY_IF_ABSENT)
    with pytest.raises(ObjectExists, match="name"):
        upload_all(backend, "name", [b"second"], ONLY_IF_ABSENT)
    assert store.raw.get("name") == (b"first", METADATA)
    assert store.raw.leftovers() == []

    backend.delete(["name"])
    backend.copy("source", "name", options=ONLY_IF_ABSENT)
    upload_all(backend, "uploaded", [b"third"], ONLY_IF_ABSENT)
    assert store.raw.get("name") == (b"other", {})
    assert store.raw.get("uploaded") == (b"third", METADATA)


# ------------------------------------------------------------------ what is not there
def test_a_missing_object(store: Store, backend: Backend) -> None:
    backend.put("there", b"x", {})
    for act in (
        lambda: backend.stat("missing/name"),
        lambda: backend.open("missing/name"),
        lambda: backend.open("missing/name", 5, 10),
        lambda: backend.read_range("missing/name", 0, memoryview(bytearray(5))),
        lambda: backend.copy("missing/name", "there"),
        lambda: StoredObject(backend, "missing/name").size,
    ):
        with pytest.raises(FileNotFoundError) as caught:
            act()
        assert isinstance(caught.value, ObjectNotFound)
        assert "missing/name" in str(caught.value)
        assert store.container in str(caught.value)
    assert store.raw.get("there") == (b"x", {})


def test_a_prefix_is_no_object(backend: Backend) -> None:
    backend.put("a/b/c", b"x", {})
    assert [backend.exists(key) for key in ("a", "a/b", "a/b/c", "a/b/c/d", "a/b/", "a/", "A/b/c")] == [
        False,
        False,
        True,
        False,
        False,
        False,
        False,
    ]


def test_an_empty_container(backend: Backend) -> None:
    assert listed(backend) == listed(backend, "a/") == level(backend) == level(backend, "a/") == []
    assert backend.size() == 0
    assert backend.delete([]) == 0


# ------------------------------------------------------------------ uploads in parts
def upload_all(backend: Backend, key: str, parts: list[bytes], options: WriteOptions = WriteOptions()) -> None:
    with uploading(backend, key, options) as upload:
        for number, part in enumerate(parts, 1):
            upload.send_part(number, part)
        upload.complete()


def parts_for(backend: Backend) -> list[bytes]:
    size = backend.limits.smallest_part
    size += -size % backend.limits.part_multiple
    return [b"1" * size, memoryview(b"2" * size), b"3" * 11]


def test_parts_become_one_object(store: Store, backend: Backend) -> None:
    backend.put("dir/name", b"old", {"old": "1"})
    parts = parts_for(backend)
    order = [3, 1, 2] if backend.limits.parallel_parts else [1, 2, 3]

    with uploading(backend, "dir/name") as upload:
        for number in order:
            upload.send_part(number, parts[number - 1], (number - 1) * len(parts[0]))
            assert read(backend, "dir/name") == b"old"
            assert listed(backend) == ["dir/name"]
        receipt = upload.complete()

    # and the `abort` behind it did no harm
    assert store.raw.get("dir/name") == (b"".join(parts), METADATA)
    assert receipt["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert receipt["ETag"]
    assert store.raw.leftovers() == []
    assert backend.stat("dir/name").metadata == METADATA
    size = len(parts[0])
    assert read(backend, "dir/name", size - 1, 2 * size + 1) == b"1" + b"2" * size + b"3"


def test_parts_in_threads(store: Store, backend: Backend) -> None:
    order, threads = ([2, 3, 1], 3) if backend.limits.parallel_parts else ([1, 2, 3], 1)
    parts = dict(enumerate(parts_for(backend), 1))
    with uploading(backend, "name") as upload, ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda number: upload.send_part(number, parts[number], (number - 1) * len(parts[1])), order))
        upload.complete()
    assert store.raw.get("name")[0] == b"".join(parts.values())


def test_one_small_part(store: Store, backend: Backend) -> None:
    upload_all(backend, "name", [b"x"])
    assert store.raw.get("name") == (b"x", METADATA)


def test_an_aborted_upload_leaves_nothing(store: Store, backend: Backend) -> None:
    backend.put("there", b"x", {})
    for key in ("new/dir/name", "there"):
        upload = backend.start_upload(key, METADATA)
        upload.send_part(1, parts_for(backend)[0])
        assert store.raw.keys() == ["there"]
        upload.abort()
        upload.abort()
    assert store.raw.keys() == ["there"]
    assert store.raw.leftovers() == []
    assert store.raw.get("there") == (b"x", {})


# ------------------------------------------------------------------ copies
def test_copy_keeps_bytes_and_metadata(store: Store, backend: Backend) -> None:
    backend.put("a/source", BODY, METADATA)
    receipt = backend.copy("a/source", "b/copy")
    assert receipt["ETag"]
    assert store.raw.get("b/copy") == store.raw.get("a/source") == (BODY, METADATA)

    backend.put("b/copy", b"other", {"other": "1"})
    assert store.raw.get("a/source") == (BODY, METADATA)
    backend.copy("a/source", "b/copy")
    assert store.raw.get("b/copy") == (BODY, METADATA)


def test_copy_of_an_empty_object(store: Store, backend: Backend) -> None:
    backend.put("source", b"", METADATA)
    backend.copy("source", "copy")
    assert store.raw.get("copy") == (b"", METADATA)


def test_copy_from_another_container(store: Store, backend: Backend) -> None:
    other = store.second_container()
    other.raw.put("a/source", BODY, METADATA)
    backend.copy("a/source", "b/copy", source_container=other.container)
    assert store.raw.keys() == ["b/copy"]
    assert store.raw.get("b/copy") == (BODY, METADATA)
    assert other.raw.get("a/source") == (BODY, METADATA)
    with pytest.raises(ObjectNotFound):
        backend.copy("b/copy", "c", source_container=other.container)


def test_copy_onto_itself_changes_nothing(store: Store, backend: Backend) -> None:
    backend.put("name", BODY, METADATA)
    backend.copy("name", "name")
    assert store.raw.get("name") == (BODY, METADATA)
    backend.copy("name", "name", source_container=store.container)
    assert store.raw.get("name") == (BODY, METADATA)
    with pytest.raises(ObjectNotFound):
        backend.copy("missing", "missing")


def test_a_copy_with_other_metadata(store: Store, backend: Backend) -> None:
    backend.put("name", BODY, METADATA, WriteOptions(extra={"ContentType": "text/plain"}))
    tag = backend.stat("name").e_tag
    backend.copy("name", "copy", metadata={"other": "1"}, e_tag=tag)
    assert store.raw.get("copy") == (BODY, {"other": "1"})
    assert store.raw.get("name") == (BODY, METADATA)
    backend.copy("name", "name", metadata={"note": "2"}, e_tag=tag)  # this one onto itself
    assert store.raw.get("name") == (BODY, {"note": "2"})
    backend.copy("name", "name", metadata={})
    assert store.raw.get("name") == (BODY, {})
    assert store.raw.leftovers() == []

    backend.put("name", b"new", METADATA)
    with pytest.raises(ObjectChanged, match="name"):
        backend.copy("name", "name", metadata={"lost": "1"}, e_tag=tag)
    with pytest.raises(ObjectChanged, match="name"):
        backend.copy("name", "other", e_tag=tag)
    assert store.raw.get("name") == (b"new", METADATA)
    assert not backend.exists("other")


# ------------------------------------------------------------------ deleting
def test_delete_takes_these_names_and_no_others(store: Store, backend: Backend) -> None:
    keys = ["exp/a", "exp/b/c", "exp2/a", "exp2/b", "experiment", "a+b", "a b", "a%20b"]
    put_many(backend, keys)
    gone = ["exp/a", "exp/b/c", "missing", "missing/too", "exp2", "a b", "exp/b"]

    assert backend.delete(iter(gone)) == len(gone)
    assert store.raw.keys() == sorted(set(keys) - set(gone), key=str.encode)
    assert store.raw.leftovers() == []
    assert backend.delete(gone) == len(gone)
    assert store.raw.keys() == sorted(set(keys) - set(gone), key=str.encode)


@pytest.mark.stores(exclude=["ceph-tls"])
def test_thousands_of_names(store: Store, backend: Backend) -> None:
    # more than one page; of three pages and more, where that takes less time
    count = 1100 if store.name in {"gdrive", "moto"} else 2500
    keys = [f"many/{i:04}" for i in range(count)]
    put_many(backend, [*keys, "many2", "man", "many-too/x"])

    assert listed(backend, "many/") == keys
    assert level(backend, "many/") == keys
    assert level(backend) == ["man", "many-too/", "many/", "many2"]
    assert len(listed(backend)) == count + 3
    assert backend.delete([*keys, "many/missing"]) == count + 1
    assert store.raw.keys() == ["man", "many-too/x", "many2"]
    assert store.raw.leftovers() == []


# ------------------------------------------------------------------ listing
TREE = [
    "a-b/x",
    "a.b",
    "a/b/c",
    "a/d",
    "a0",
    "exp/1",
    "exp/2/x",
    "exp/2/y",
    "exp2/1",
    "experiment",
    "\u00e9",
    "\U0001f36d",
]


@pytest.fixture
def tree(store: Store) -> Backend:
    for key in reversed(TREE):
        store.raw.put(key, key.encode())
    return store.backend()


def test_listings_are_in_the_order_of_bytes(tree: Backend) -> None:
    assert sorted(TREE, key=str.encode) == TREE
    for page_size in (None, 1, 5):
        infos = list(tree.list_objects(page_size=page_size))
        assert [info.key for info in infos] == TREE
        assert [info.size for info in infos] == [len(key.encode()) for key in TREE]
        assert all(type(info) is ObjectInfo for info in infos)
    assert tree.size() == sum(len(key.encode()) for key in TREE)


def test_a_prefix_is_a_string(tree: Backend) -> None:
    expected = {
        "exp": ["exp/1", "exp/2/x", "exp/2/y", "exp2/1", "experiment"],
        "exp/": ["exp/1", "exp/2/x", "exp/2/y"],
        "exp/2": ["exp/2/x", "exp/2/y"],
        "exp/2/x": ["exp/2/x"],
        "exp/2/x/": [],
        "experiment/": [],
        "a": ["a-b/x", "a.b", "a/b/c", "a/d", "a0"],
        "a/b": ["a/b/c"],
        "A": [],
        "missing/dir/x": [],
        "/": [],
        "/a": [],
        "a//b": [],
        "\U0001f36d": ["\U0001f36d"],
    }
    assert {prefix: listed(tree, prefix) for prefix in expected} == expected


def test_one_level(tree: Backend) -> None:
    expected = {
        "": ["a-b/", "a.b", "a/", "a0", "exp/", "exp2/", "experiment", "\u00e9", "\U0001f36d"],
        "exp": ["exp/", "exp2/", "experiment"],
        "exp/": ["exp/1", "exp/2/"],
        "exp/2": ["exp/2/"],
        "exp/2/": ["exp/2/x", "exp/2/y"],
        "a.b": ["a.b"],
        "a.b/": [],
        "missing/": [],
        "/": [],
    }
    for page_size in (None, 1, 2):
        assert {prefix: level(tree, prefix, page_size=page_size) for prefix in expected} == expected
    for entry in tree.list_level():
        assert type(entry) is (ObjectPrefix if entry.key.endswith("/") else ObjectInfo)


def test_listings_are_lazy(store: Store, backend: Backend) -> None:
    keys = [f"{i:02}/x" for i in range(60)]
    put_many(backend, keys)
    for entries in (backend.list_objects(page_size=2), backend.list_level(page_size=2)):
        assert next(entries).key.startswith("00/")
    walk = backend.list_objects(page_size=2)
    assert next(walk).key == "00/x"
    store.raw.delete("59/x")
    assert [info.key for info in walk] == keys[1:-1]


# ------------------------------------------------------------------ containers
@pytest.mark.stores(without="no-containers")
@pytest.mark.stores(without="no-containers")
def test_containers_come_and_go(store: Store, backend: Backend) -> None:
    name = f"{store.container}-new"
    assert not backend.container_exists(name)
    assert backend.container_exists(store.container)
    backend.put("name", b"x", {})

    backend.create_container(name)
    backend.create_container(name)
    assert backend.container_exists(name)
    other = backend.at(name)
    assert (other.name, other.container, backend.container) == (backend.name, name, store.container)
    assert listed(other) == []
    other.put("dir/other", BODY, METADATA)
    assert listed(backend) == ["name"]

    with pytest.raises(ContainerNotEmpty):
        backend.remove_container(name)
    assert read(other, "dir/other") == BODY
    other.delete(["dir/other"])
    backend.remove_container(name)
    assert not backend.container_exists(name)
    assert store.raw.get("name") == (b"x", {})


@pytest.mark.stores(without="no-containers")
@pytest.mark.stores(without="no-containers")
def test_containers_are_listed(store: Store, backend: Backend) -> None:
    containers = backend.list_containers()
    assert store.container in containers
    assert containers == sorted(containers)


@pytest.mark.stores(without="no-containers")
@pytest.mark.stores(without="no-containers")
def test_a_missing_container(store: Store, backend: Backend) -> None:
    missing = backend.at(f"{store.container}-missing")
    for act in (
        lambda: listed(missing),
        lambda: level(missing),
        lambda: missing.put("name", b"x", {}),
        lambda: upload_all(missing, "name", [b"x"]),
        lambda: backend.remove_container(f"{store.container}-missing"),
    ):
        with pytest.raises(FileNotFoundError, match=f"{store.container}-missing") as caught:
            act()
        assert isinstance(caught.value, ContainerNotFound)
    assert not backend.container_exists(f"{store.container}-missing")


# ------------------------------------------------------------------ the rest
def test_the_stores_own_object(store: Store, backend: Backend) -> None:
    backend.put("dir/name", BODY, METADATA)
    native = backend.native_object("dir/name")
    assert (native.key, native.bucket_name) == ("dir/name", backend.container)
    assert native.content_length == len(BODY)
    assert native.metadata == METADATA
    with native.get()["Body"] as body:
        assert body.read() == BODY
    native.delete()
    assert store.raw.keys() == []


def test_errors_and_reprs_name_the_place(store: Store, backend: Backend) -> None:
    assert store.container in repr(backend)
    assert "dir/name" in backend.describe("dir/name")
    assert store.container in backend.describe("dir/name")
    assert store.container in backend.describe()
    for secret in (store.access.get("access_key"), store.access.get("secret_key")):
        assert not secret or secret not in repr(backend) + repr(vars(backend)) + backend.describe("name")


def test_it_may_be_used_after_close(store: Store, backend: Backend) -> None:
    backend.put("name", BODY, METADATA)
    backend.close()
    backend.close()
    assert read(backend, "name") == BODY


def test_it_pickles(store: Store, backend: Backend) -> None:
    backend.put("name", BODY, METADATA)
    clone = pickle.loads(pickle.dumps(backend))
    assert clone.container == backend.container
    assert read(clone, "name") == BODY
    clone.put("clone", b"x", {})
    assert store.raw.get("clone") == (b"x", {})
    clone.close()


def test_many_threads_share_one(store: Store, backend: Backend) -> None:
    def work(number: int) -> None:
        for i in range(12):
            key, body = f"thread{number}/{i % 3}", f"{number}-{i}-".encode() * (1 + i * 50)
            backend.put(key, body, {"who": f"{number}-{i}"})
            with backend.open(key) as reader:
                assert (drain(reader), reader.head.metadata) == (body, {"who": f"{number}-{i}"})
            assert listed(backend, f"thread{number}/") == [f"thread{number}/{j}" for j in range(min(i, 2) + 1)]
        backend.delete([f"thread{number}/0"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert store.raw.keys() == [f"thread{n}/{i}" for n in range(8) for i in (1, 2)]


def test_what_it_holds_under_a_name(store: Store, backend: Backend) -> None:
    for key in ("a[1]-x", "a[1]/x", "b", "b.x"):
        store.raw.put(key, b"x")
    there = ["a[1]", "a[1]/", "a[1]/x", "a[1]-x", "b", "b.x"]
    absent = ["a", "a/", "a[", "a1", "a[1]/x/", "b/", "b.", "c"]
    assert [name for name in [*there, *absent] if backend.holds(name)] == there


# Python warns of every fork while threads run, as they do under dask and data loaders
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_it_works_after_a_fork(store: Store, backend: Backend) -> None:
    backend.put("name", BODY, METADATA)
    half_read = backend.open("name")
    child = os.fork()
    if not child:
        _exit_with(lambda: _work_in_child(backend))
    try:
        for i in range(20):
            assert read(backend, "name", i) == BODY[i:]
        assert drain(half_read) == BODY
    finally:
        half_read.close()
        _, status = os.waitpid(child, 0)
    assert status == 0
    assert store.raw.get("child") == (b"from the child", {"i": "19"})


def _work_in_child(backend: Backend) -> None:
    for i in range(20):
        backend.put("child", b"from the child", {"i": str(i)})
        assert read(backend, "name", i) == BODY[i:]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parent_and_child_read_an_open_stream_on(store: Store) -> None:
    """Both would get parts of the one answer: bytes are missing then, and no error tells of it."""
    body = np.random.default_rng(0).bytes(8 * 2**20)
    store.raw.put("name", body)
    cci = store.interface()
    for _ in range(3):
        stream, parts = cci.download_stream("name"), cci.download_stream("name").parts()
        both = cci.download_stream("name")
        third = (both.parts(), both)
        ahead = bytes(next(third[0]))
        first, second = stream.read(100), bytes(next(parts))

        child = os.fork()
        if not child:
            _exit_with(partial(_read_on, body, first, stream, second, parts, ahead, third))
        try:
            _read_on(body, first, stream, second, parts, ahead, third)
        finally:
            _, status = os.waitpid(child, 0)
        assert status == 0


def _read_on(
    body: bytes,
    first: bytes,
    stream: CloudStream,
    second: bytes,
    parts: Iterator[memoryview],
    ahead: bytes,
    both: tuple[Iterator[memoryview], CloudStream],
) -> None:
    pieces = [first]
    while piece := stream.read(300_000):
        pieces.append(piece)
    assert b"".join(pieces) == body
    assert second + b"".join(map(bytes, parts)) == body
    assert both[1].read(100) == body[:100]  # of one object in two ways
    assert ahead + b"".join(map(bytes, both[0])) == body


def _exit_with(work: Callable[[], None]) -> None:
    """Run in a forked child, without pytest's own ways out of the process."""
    signal.alarm(60)
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing of this process goes on from here
        traceback.print_exc()
    os._exit(status)

"""Encryption on this side: nothing readable leaves, nothing changed comes back, and what went wrong is told."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sealed
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_backend import MemoryBackend, OrderlyBackend, Stored
from stores import Recorded, Store

import cottoncandy as cc
from cottoncandy.backends.base import Backend, ObjectReader, TransferLimits, WriteOptions
from cottoncandy.backends.encrypted.backend import EncryptedBackend
from cottoncandy.backends.encrypted.keys import EncryptionKeys
from cottoncandy.backends.encrypted.reader import SealedTag
from cottoncandy.backends.opening import encrypted
from cottoncandy.config import Options
from cottoncandy.errors import (
    AccessDenied,
    ConfigurationError,
    DecryptionError,
    NotSupported,
    ObjectChanged,
    TransientError,
    WrongKey,
)
from cottoncandy.fsspecfs import CottonCandyFileSystem
from cottoncandy.rawarrays import load_array
from cottoncandy.stream import ObjectSource, TransferSettings, read_range, upload

OLD, KEY, OTHER = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
KEYS = EncryptionKeys(KEY)
MARK = "cc-encryption"
SEGMENT = 65536
STORED = SEGMENT + 28
METADATA = {"shape": "3,5", "Subject": "S01"}
SETTINGS = TransferSettings(upload_threshold=100_000, upload_part=131_072, download_part=200_000)


class RoomyBackend(MemoryBackend):
    """Takes parts of any size, as S3 does, in any order."""

    name = "roomy"
    limits = TransferLimits(largest_put=10**7, smallest_part=1000, largest_part=10**7)


@pytest.fixture
def roomy() -> Iterator[RoomyBackend]:
    MemoryBackend.containers["memory-encrypted"] = {}
    yield RoomyBackend("memory-encrypted")
    del MemoryBackend.containers["memory-encrypted"]


@pytest.fixture
def backend(roomy: RoomyBackend) -> EncryptedBackend:
    return EncryptedBackend(roomy, KEYS)


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def read(backend: Backend, key: str = "name", start: int = 0, stop: int | None = None) -> bytes:
    return bytes(read_range(backend, key, SETTINGS, start, stop))


# ------------------------------------------------------------------ what lies in the store
@pytest.mark.stores(exclude=["ceph-tls"], without="short-metadata")
def test_nothing_readable_lies_in_the_store(store: Store) -> None:
    cci, secret = store.interface(encryption_key=KEY), b"subject S01 slept well. "
    cci.upload_object("small", secret, subject="S01 slept well")
    cci.upload_object("large", secret * 10_000)
    cci.upload_json("json", {"subject": "S01 slept well"})
    cci.upload_raw_array("array", np.frombuffer(secret * 10_000, "u1"), compression=False)
    cci.dict2cloud("tree", {"slept": {"well": np.frombuffer(secret * 100, "u1")}}, verbose=False)
    for key in [*store.raw.keys()]:
        body, metadata = store.raw.get(key)
        assert [name.lower() for name in metadata] == [MARK]
        text = body + str(metadata).encode()
        # no shorter ones: noise of this length has each word of three letters now and then
        assert not any(word in text for word in (b"subject", b"slept", b"dtype", b"shape"))
        assert len(set(re.findall(rb"(?s).{16}", body))) == len(body) // 16  # no two blocks alike
        assert KEY not in text
    assert cci.download_object("small") == secret
    assert cci.download_stream("small").metadata == {"subject": "S01 slept well"}
    assert cci.download_object("large") == secret * 10_000
    assert cci.cloud2dict("tree", verbose=False)["slept"]["well"].tobytes() == secret * 100


def test_known_answers() -> None:
    """What is written today is read in twenty years; the second implementation wrote these, and reads them."""
    answers = json.loads((Path(__file__).parent / "data" / "encryption.json").read_text())
    MemoryBackend.containers["memory-known"] = stored = {}
    backend = EncryptedBackend(RoomyBackend("memory-known"), EncryptionKeys(bytes.fromhex(answers["key"])))
    for name, answer in answers["objects"].items():
        body, plain = base64.b64decode(answer["body"]), base64.b64decode(answer["plain"])
        stored[name] = Stored(body, answer["metadata"], None)
        assert sealed.decrypt(bytes.fromhex(answers["key"]), body, answer["metadata"]) == (plain, answer["sealed"])
        assert backend.stat(name).metadata == answer["sealed"]
        assert backend.stat(name).size == len(plain)
        assert read(backend, name) == plain
        assert read(backend, name, 3, 20) == plain[3:20]
    assert {answer["metadata"][MARK].split(".")[2] for answer in answers["objects"].values()} == {"10", "65536"}
    assert EncryptionKeys(bytes.fromhex(answers["key"])).current.id == answers["key_id"]


@pytest.mark.parametrize("size", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + 17])
def test_sizes(roomy: RoomyBackend, backend: EncryptedBackend, size: int) -> None:
    body = noise(size)
    backend.put("put", body, METADATA)
    upload(backend, "parts", iter([body[:5], body[5:]]), METADATA, WriteOptions(), SETTINGS, 3)
    for key in ("put", "parts"):
        stored = roomy._objects[key]
        assert len(stored.body) == size + 28 * (size // SEGMENT + 1)
        assert sealed.decrypt(KEY, stored.body, stored.metadata) == (body, METADATA)
        assert backend.stat(key).size == size
        assert read(backend, key) == body
    assert roomy._objects["put"].metadata != roomy._objects["parts"].metadata


@given(
    start=st.integers(0, 5 * SEGMENT),
    length=st.integers(0, 5 * SEGMENT) | st.none(),
    size=st.sampled_from([0, 5, SEGMENT, 3 * SEGMENT, 3 * SEGMENT + 1, 4 * SEGMENT - 1]),
    step=st.sampled_from([1000, SEGMENT, 10**6]),
    kind=st.sampled_from(["sealed", "plain", "other"]),
)
@settings(max_examples=150)
def test_ranges_are_those_of_the_plain_bytes(start: int, length: int | None, size: int, step: int, kind: str) -> None:
    MemoryBackend.containers["memory-ranges"] = {}
    inner = RoomyBackend("memory-ranges")
    body, backend = noise(size), EncryptedBackend(inner, KEYS)
    others = {"sealed": backend, "plain": inner, "other": EncryptedBackend(OrderlyBackend("memory-ranges"), KEYS)}
    others[kind].put("name", body, METADATA)
    stop = None if length is None else start + length
    for _ in range(2):  # the second time it may be known how it lies
        with backend.open("name", start, stop) as reader:
            expected = body[start:stop]
            assert (reader.stop - reader.start, reader.head.size) == (len(expected), size)
            assert not expected or reader.start == start
            got = bytearray()
            while count := reader.readinto(memoryview(buffer := bytearray(step))):
                got += buffer[:count]
            assert bytes(got) == expected


def test_a_range_costs_the_segments_that_it_touches(recorded: Recorded) -> None:
    store, proxy = recorded
    cci, body = store.interface(encryption_key=KEY), noise(40 * SEGMENT)
    cci.upload_object("name", body)
    with cci.download_stream("name") as stream:
        stream.read(10)
        for start, length in [(20 * SEGMENT, 5), (39 * SEGMENT, SEGMENT), (30 * SEGMENT - 1, 2)]:
            proxy.clear()
            assert read(cci.backend_interface, "name", start, start + length) == body[start : start + length]
            (request,) = proxy.requests
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["range"]).groups())
            assert first == start // SEGMENT * STORED
            assert last - first + 1 <= ((start + length - 1) // SEGMENT - start // SEGMENT + 1) * STORED + 28


# ------------------------------------------------------------------ parts
def test_parts_go_in_any_order_and_in_threads(roomy: RoomyBackend, backend: EncryptedBackend) -> None:
    body = noise(10 * SEGMENT)
    sizes = [4 * SEGMENT, SEGMENT, 5 * SEGMENT]
    starts = [0, 4 * SEGMENT, 5 * SEGMENT]
    for order in ([2, 0, 1], [1, 2, 0]):
        sending = backend.start_upload("name", METADATA)
        for i in order:
            sending.send_part(i + 1, body[starts[i] : starts[i] + sizes[i]], starts[i])
        sending.complete()
        stored = roomy._objects["name"]
        assert sealed.decrypt(KEY, stored.body, stored.metadata) == (body, METADATA)
    in_turn = backend.start_upload("in turn", {})
    for number in (1, 2, 3):
        in_turn.send_part(number, noise(SEGMENT))
    in_turn.complete()
    assert read(backend, "in turn") == noise(SEGMENT) * 3


def test_parts_that_cannot_be_placed_are_refused(backend: EncryptedBackend) -> None:
    def sending(*parts: tuple[int, int, int | None]) -> None:
        sending = backend.start_upload("name", {})
        try:
            for number, size, start in parts:
                sending.send_part(number, noise(size), start)
            sending.complete()
        finally:
            sending.abort()

    for parts in (
        [(2, SEGMENT, None)],
        [(1, SEGMENT, 0), (2, SEGMENT, 5)],
        [(1, SEGMENT, 0), (2, SEGMENT, 0)],
        [(1, SEGMENT, 0), (3, SEGMENT, 3 * SEGMENT)],
        [(1, 5000, 0), (2, SEGMENT, SEGMENT)],
    ):
        with pytest.raises(ValueError, match="name"):
            sending(*parts)
    assert list(backend.list_objects()) == []


@pytest.mark.parametrize("multiple", [1, 7, 1000, 2**18])
def test_the_stores_own_limits_are_kept(multiple: int) -> None:
    inner = MemoryBackend("memory-limits")
    MemoryBackend.containers["memory-limits"] = {}
    inner.limits = TransferLimits(
        largest_put=500_000, smallest_part=300_000, part_multiple=multiple, largest_part=2_000_000, most_parts=5
    )
    backend, body = EncryptedBackend(inner, KEYS), noise(3_000_000)
    upload(backend, "name", body, METADATA, WriteOptions(), SETTINGS, 2)  # the memory backend checks each part
    assert read(backend) == body
    assert backend.limits.largest_put <= 500_000
    backend.put("largest", bytes(backend.limits.largest_put), {})
    assert 500_000 - 28 <= len(inner._objects["largest"].body) <= 500_000


def test_large_objects_move_in_parallel_parts(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    for option in (
        "UPLOAD_SETTINGS_MPU_USE_THRESHOLD",
        "UPLOAD_SETTINGS_MPU_CHUNKSIZE",
        "DOWNLOAD_SETTINGS_MPD_USE_THRESHOLD",
    ):
        monkeypatch.setenv(f"COTTONCANDY_{option}", "5")
    store, proxy = recorded
    cci = store.interface(encryption_key=KEY)
    array = np.random.default_rng(0).integers(0, 200, (16, 2**20), "u1")
    for compression in (False, "Blosc-blocks"):
        cci.upload_raw_array("array", array, compression=compression)
        np.testing.assert_array_equal(cci.download_raw_array("array"), array)
        np.testing.assert_array_equal(cci.open_array("array")[3:5, 10:-10:7], array[3:5, 10:-10:7])
        parts = [one for one in proxy.requests if one.method == "PUT" and "partNumber" in one.target]
        assert len(parts) >= 4
        proxy.clear()
    assert store.raw.leftovers() == []
    body, metadata = store.raw.get("array")
    assert len(sealed.decrypt(KEY, body, metadata)[0]) == cci.download_stream("array").size


# ------------------------------------------------------------------ what was changed is found
@pytest.fixture
def change(roomy: RoomyBackend) -> Callable[..., None]:
    def change(body: bytes | None = None, mark: str | None = None, key: str = "name") -> None:
        was = roomy._objects[key]
        metadata = was.metadata if mark is None else {MARK: mark}
        roomy._objects[key] = Stored(was.body if body is None else body, metadata, was.written)

    return change


@pytest.mark.parametrize("size", [0, 10, 2 * SEGMENT, 2 * SEGMENT + 10])
def test_every_changed_byte_is_found(
    roomy: RoomyBackend, backend: EncryptedBackend, change: Callable[..., None], size: int
) -> None:
    backend.put("name", noise(size), METADATA)
    body, mark = roomy._objects["name"].body, roomy._objects["name"].metadata[MARK]
    places = {0, 11, 12, len(body) // 2, len(body) - 17, len(body) - 1, *range(0, len(body), 9999)}
    for place in sorted(one for one in places if one < len(body)):
        change(body[:place] + bytes([body[place] ^ 4]) + body[place + 1 :])
        with pytest.raises(DecryptionError, match="name"):
            read(backend)
    change(body)
    for place in range(len(mark)):
        swapped = "B" if mark[place] != "B" else "C"
        change(mark=mark[:place] + swapped + mark[place + 1 :])
        # the last letter of a field may hold bits of no byte
        if place == len(mark) - 1 and len(mark.split(".")[-1]) % 4:
            continue
        with pytest.raises((DecryptionError, WrongKey), match="name"):
            backend.stat("name")
        with pytest.raises((DecryptionError, WrongKey), match="name"):
            backend.open("name")
    change(mark=mark)
    assert read(backend) == noise(size)


def test_every_rearrangement_is_found(
    roomy: RoomyBackend, backend: EncryptedBackend, change: Callable[..., None]
) -> None:
    plain = noise(3 * SEGMENT)
    backend.put("name", plain, METADATA)
    backend.put("twin", plain, METADATA)
    body, twin = roomy._objects["name"].body, roomy._objects["twin"].body
    a, b, c, end = (body[i * STORED : (i + 1) * STORED] for i in range(4))
    A, B, C, END = (twin[i * STORED : (i + 1) * STORED] for i in range(4))  # noqa: N806
    forged = {
        "swapped": b + a + c + end,
        "dropped": a + c + end,
        "doubled": a + a + b + c + end,
        "cut off": a + b + c,
        "cut within": a + b + c[:-1],
        "cut in the tag": a + b + c[:20],
        "cut, with the end": a + b + end,
        "cut, with noise for the end": a + b + noise(28),
        "only the end": end,
        "nothing": b"",
        "28 bytes of noise": noise(28),
        "longer": body + b"x",
        "longer by an end": body + end,
        "longer by a segment": a + b + c + c + end,
        "of its twin": A + b + c + end,
        "the end of its twin": a + b + c + END,
        "all of its twin": A + B + C + END,
    }
    for name, forgery in forged.items():
        change(forgery)
        with pytest.raises(DecryptionError, match="'name'"):
            pytest.fail(f"{name}: {len(read(backend))} bytes")


def test_metadata_belong_to_their_bytes(
    roomy: RoomyBackend, backend: EncryptedBackend, change: Callable[..., None]
) -> None:
    backend.put("name", b"first", {"order": "C"})
    backend.put("other", b"other", {"order": "F"})
    ours, theirs = roomy._objects["name"].metadata[MARK], roomy._objects["other"].metadata[MARK]
    change(mark=theirs)
    with pytest.raises(DecryptionError):
        read(backend)
    *first, _ = ours.split(".")
    change(mark=".".join([*first, theirs.split(".")[-1]]))
    with pytest.raises(DecryptionError, match="metadata"):
        backend.stat("name")
    for text in (
        "",
        "1",
        "2" + ours[1:],
        ours.replace(".65536.", ".0."),
        ours.replace(".65536.", ".999999999."),
        "x" * 200,
    ):
        change(mark=text)
        with pytest.raises(DecryptionError, match="name"):
            backend.stat("name")
    # what others add beside is passed over, and what case their server gives the mark
    roomy._objects["name"] = Stored(
        roomy._objects["name"].body, {"Cc-Encryption": ours, "order": "F", "mtime": "1"}, None
    )
    assert backend.stat("name").metadata == {"order": "C"}
    assert read(backend) == b"first"


class Liar(RoomyBackend):
    """Gives another object from its second answer on, and says that it is the same version."""

    tells: str | None = '"the same"'
    twin = "twin"
    asked = 0

    def open(self, key: str, start: int = 0, stop: int | None = None, *, e_tag: str | None = None) -> ObjectReader:
        assert e_tag in (None, self.tells)
        assert not isinstance(e_tag, SealedTag)
        self.asked += 1
        reader = super().open(key if self.asked == 1 else self.twin, start, stop)
        reader.head = replace(reader.head, key=key, e_tag=self.tells)
        return reader


@pytest.mark.parametrize("tells", ['"the same"', None])
@pytest.mark.parametrize("twin", ["name", "twin", "plain"])
def test_several_answers_are_of_one_object(roomy: RoomyBackend, twin: str, tells: str | None) -> None:
    size = 2 * SETTINGS.download_part
    liar = Liar("memory-encrypted")
    backend, liar.tells, liar.twin = EncryptedBackend(liar, KEYS), tells, twin
    for key in ("name", "twin"):
        backend.put(key, key[:1].encode() * size, METADATA)
    roomy.put("plain", bytes(2 * size), {})
    with ObjectSource(backend, "name", SETTINGS, first=SEGMENT) as source:
        head, view = pickle.loads(pickle.dumps(source.head)), memoryview(bytearray(size))
        assert head.e_tag == source.head.e_tag
        if twin == "name":
            source.fill(0, view, 1)
            assert view == b"n" * size
            assert bytes(read_range(backend, "name", SETTINGS, 5, 9, head.e_tag)) == b"nnnn"
            return
        with pytest.raises(ObjectChanged, match="'name'"):
            source.fill(0, view, 1)
        assert set(view) <= {0, ord("n")}
    with pytest.raises(ObjectChanged, match="'name'"):
        read_range(backend, "name", SETTINGS, 5, 9, head.e_tag)
    with pytest.raises(ObjectChanged, match="'name'"):
        load_array(backend, "name", SETTINGS, e_tag=head.e_tag)


def test_no_byte_comes_out_before_it_is_verified(
    roomy: RoomyBackend, backend: EncryptedBackend, change: Callable[..., None]
) -> None:
    body = noise(3 * SEGMENT)
    backend.put("name", body, {})
    stored = bytearray(roomy._objects["name"].body)
    stored[STORED + 100] ^= 1
    change(bytes(stored))
    buffer = bytearray(3 * SEGMENT)
    with backend.open("name") as reader, pytest.raises(DecryptionError, match="segment 1"):
        reader.readexactly(memoryview(buffer))
    assert read(backend, "name", 2 * SEGMENT) == body[2 * SEGMENT :]


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("compression", [False, "Blosc", "gzip-blocks"])
def test_an_array_that_was_changed_in_the_store_is_told_however_it_is_read(store: Store, compression: Any) -> None:
    cci, array = store.interface(encryption_key=KEY), np.arange(1000.0)
    cci.upload_raw_array("array", array, compression=compression)
    body, metadata = store.raw.get("array")
    store.raw.put("array", body[:50] + bytes([body[50] ^ 1]) + body[51:], metadata)
    for read_it in (cci.download_raw_array, lambda name: cci.open_array(name)[3:900], cci.download_object):
        with pytest.raises(DecryptionError, match="'array'"):
            read_it("array")


def test_a_broken_connection_goes_on_at_a_segment(backend: EncryptedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    body, opened = noise(5 * SEGMENT + 100), []
    backend.put("name", body, {})
    open_plain = RoomyBackend.open

    def breaking(self: Any, key: str, start: int = 0, stop: int | None = None, **options: Any) -> Any:
        reader = open_plain(self, key, start, stop, **options)
        opened.append((start, stop))
        if len(opened) < 3:
            reader.break_off(2 * STORED + 1000)
        return reader

    monkeypatch.setattr(RoomyBackend, "open", breaking)
    assert read(backend) == body
    assert [start for start, _ in opened] == [0, 2 * STORED, 4 * STORED]


# ------------------------------------------------------------------ keys
@pytest.mark.stores(exclude=["ceph-tls"], without="short-metadata")
def test_without_the_key_it_is_told_and_no_noise_is_given(store: Store) -> None:
    store.interface(encryption_key=KEY).upload_raw_array("dir/array", np.arange(5))
    plain = store.interface()
    for act in (
        plain.download_object,
        plain.download_raw_array,
        plain.download_stream,
        plain.open_array,
        plain.download_json,
        lambda name: plain.fs.cat_file(name, 0, 5),
    ):
        with pytest.raises(WrongKey, match=r"'dir/array'.*encryption_key") as caught:
            act("dir/array")
        assert isinstance(caught.value, PermissionError)
    with pytest.raises(WrongKey, match=f"'dir/array'.*{KEYS.current.id}.*{EncryptionKeys(OTHER).current.id}"):
        store.interface(encryption_key=OTHER).download_raw_array("dir/array")
    with pytest.raises(NotSupported, match="encryption_key"):
        plain.rotate_encryption_key()
    # names are no secret
    assert plain.exists_object("dir/array")
    plain.mv("dir/array", "dir/moved")
    assert store.interface(encryption_key=KEY).download_raw_array("dir/moved").tolist() == [0, 1, 2, 3, 4]


# The argument of one who has not the key `KEY`.
STRANGERS = pytest.mark.parametrize("key", [OTHER, False], ids=["another key", "no key"])


@pytest.mark.parametrize("key", [bytes(range(1, 33)), False])
def test_what_needs_no_key_asks_for_none(store: Store, key: bytes | bool) -> None:
    store.interface(encryption_key=KEY).upload_object("s/x", b"1" * 1000)
    cci = store.interface(encryption_key=key)
    stored = len(store.raw.get("s/x")[0])
    assert (cci.ls("s/x"), cci.glob("s/x"), cci.ls("s")) == (["s/x"], ["s/x"], ["s/x"])
    assert [entry.size for name in ("s", "s/x") for entry in cci.scandir(name)] == [stored, stored]
    assert [entry.size for name in ("s", "s/x") for entry in cci.find(name)] == [stored, stored]
    fs = cci.fs
    assert (fs.exists("s/x"), fs.isfile("s/x"), fs.isdir("s/x"), fs.isdir("s")) == (True, True, False, True)
    # a listing may tell dates in milliseconds, a HEAD in seconds
    named, alone = ({**fs.ls(name)[0], "LastModified": None} for name in ("s", "s/x"))
    assert named == alone
    assert (alone["name"], alone["size"]) == ("s/x", stored)
    assert (fs.find("s/x"), fs.du("s/x"), fs.glob("s/x"), bool(fs.ukey("s/x"))) == (["s/x"], stored, ["s/x"], True)
    for tell in (fs.info, fs.size) if key else ():  # without any, what is in the store is the object
        with pytest.raises(WrongKey):
            tell("s/x")
    fs.cp("s/x", "s/y")
    fs.mv("s/y", "s/z")
    cci.cp("s/z", "t/z")
    assert store.interface(encryption_key=KEY).fs.info("t/z")["size"] == 1000
    fs.rm("s/x")
    fs.rm_file("s/z")
    cci.rm("t/z")
    assert store.raw.keys() == []


@pytest.mark.stores("local")
def test_what_is_cut_off_can_be_listed_and_removed(store: Store) -> None:
    cci = store.interface(encryption_key=KEY)
    for name in ("x", "y"):
        cci.upload_object(name, b"1" * 1000)
        (Path(store.container) / name).write_bytes(b"12345")
    assert (cci.ls("x"), cci.fs.exists("x"), cci.fs.du("x")) == (["x"], True, 5)
    cci.fs.rm("x")
    cci.rm("y")
    assert cci.ls("") == []


@pytest.mark.parametrize("key", [KEY, False])
def test_the_mark_is_no_metadata_of_a_caller(store: Store, key: bytes | bool, tmp_path: Path) -> None:
    cci, array = store.interface(encryption_key=key), np.arange(6.0).reshape(2, 3)
    (tmp_path / "file").write_bytes(b"1")
    mine, extra = {"CC-Encryption": "mine"}, {"Metadata": {"cc-encryption": "mine"}}
    for stored in (
        lambda: cci.upload_object("a", b"1", **mine),
        lambda: cci.upload_from_file(str(tmp_path / "file"), "a", ExtraArgs=extra),
        lambda: cci.upload_from_directory(str(tmp_path), "a", ExtraArgs=extra),
        lambda: cci.upload_json("a", {}, **mine),
        lambda: cci.upload_pickle("a", {}, **mine),
        lambda: cci.upload_raw_array("a", array, **mine),
        lambda: cci.upload_npy_array("a", array, **mine),
        lambda: cci.upload_dask_array("a", array, **mine),
        lambda: cci.dict2cloud("a", {"b": array}, verbose=False, **mine),
    ):
        with pytest.raises(ValueError, match="metadata cc-encryption"):
            stored()
    assert store.raw.keys() == []


def everything(store: Store) -> dict[str, tuple[bytes, dict[str, str]]]:
    """All that lies in the store."""
    return {name: store.raw.get(name) for name in [*store.raw.keys()]}


@pytest.mark.stores("local", "moto")
@STRANGERS
def test_a_tree_whose_old_leaves_cannot_be_told_stays(store: Store, key: bytes | bool) -> None:
    owner, other = store.interface(encryption_key=KEY), store.interface(encryption_key=key)
    owner.dict2cloud("t", {"a": np.zeros(2), "b": {"c": np.ones(2)}}, verbose=False)
    before = everything(store)
    with pytest.raises(WrongKey, match="'t/b/c'"):
        other.dict2cloud("t", {"a": np.full(2, 7.0)}, verbose=False)
    assert everything(store) == before
    assert owner.cloud2dict("t", verbose=False).keys() == {"a", "b"}


@pytest.mark.stores("local", "moto")
@STRANGERS
def test_a_tree_of_which_no_leaf_goes_is_replaced_without_its_key(store: Store, key: bytes | bool) -> None:
    owner, other = store.interface(encryption_key=KEY), store.interface(encryption_key=key)
    owner.dict2cloud("t", {"a": np.zeros(2)}, verbose=False)
    other.dict2cloud("t", {"a": np.full(2, 7.0), "b": np.ones(2)}, verbose=False)
    assert store.raw.keys() == ["t/a", "t/b"]
    for reader in [other, *([] if key else [owner])]:
        found = reader.cloud2dict("t", verbose=False)
        assert {name: leaf.tolist() for name, leaf in found.items()} == {"a": [7, 7], "b": [1, 1]}


@pytest.mark.stores("local", "moto")
@STRANGERS
@pytest.mark.parametrize("is_lazy", [False, True])
def test_an_array_in_chunks_whose_table_cannot_be_read_stays(store: Store, key: bytes | bool, is_lazy: bool) -> None:
    dask = pytest.importorskip("dask.array")
    owner, other = store.interface(encryption_key=KEY), store.interface(encryption_key=key)
    owner.upload_dask_array("d", np.arange(6))
    before = everything(store)
    with pytest.raises(WrongKey, match=r"'d/metadata\.json'"):
        other.upload_dask_array("d", dask.from_array(np.arange(8), chunks=4) if is_lazy else np.arange(8))
    assert everything(store) == before


@pytest.mark.stores("local", "moto")
def test_who_fails_leaves_what_his_key_does_not_open(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else has put an object in the place of a leaf that was sent."""
    owner, other = store.interface(encryption_key=KEY), store.interface(encryption_key=OTHER)
    put = other.backend_interface.put

    def put_or_fail(key: str, *arguments: Any, **named: Any) -> Any:
        if key == "t/c":
            owner.upload_raw_array("t/a", np.ones(3))
            raise AccessDenied("no room")
        return put(key, *arguments, **named)

    monkeypatch.setattr(other.backend_interface, "put", put_or_fail)
    monkeypatch.setattr(other.backend_interface, "begin_put", lambda *arguments, **named: None)
    with pytest.raises(AccessDenied):
        other.dict2cloud("t", {"a": np.zeros(2), "b": np.zeros(2), "c": np.zeros(2)}, verbose=False, threads=1)
    assert store.raw.keys() == ["t/a"]
    assert owner.download_raw_array("t/a").tolist() == [1, 1, 1]


@pytest.mark.stores(exclude=["ceph-tls"], without="short-metadata")
def test_plain_objects_beside(store: Store) -> None:
    plain, safe, array = store.interface(), store.interface(encryption_key=KEY), np.arange(60_000.0).reshape(300, 200)
    plain.upload_raw_array("plain", array, compression=False)
    plain.upload_raw_array("packed", array, compression="Zstd-blocks")
    safe.upload_raw_array("sealed", array)
    for name in ("plain", "packed", "sealed"):
        np.testing.assert_array_equal(safe.download_raw_array(name), array)
        np.testing.assert_array_equal(safe.open_array(name)[250:260, 3], array[250:260, 3])
    strict = EncryptedBackend(store.backend(), KEYS, require=True)
    with pytest.raises(DecryptionError, match=r"'plain'.*require"):
        strict.stat("plain")
    with pytest.raises(DecryptionError, match=r"'plain'.*require"):
        strict.open("plain")
    assert strict.stat("sealed").metadata["shape"] == "300,200"


@pytest.mark.stores(exclude=["ceph-tls"])
def test_rotation(store: Store) -> None:
    old, both = store.interface(encryption_key=OLD), EncryptionKeys(KEY, OLD)
    body = noise(3 * SEGMENT)
    for name in ("exp/a", "exp/b", "exp2", "other"):
        old.upload_object(name, body, subject="S01")
    store.interface().upload_object("exp/plain", b"plain", note="x")
    before, plain = {name: store.raw.get(name) for name in [*store.raw.keys()]}, store.raw.get("exp/plain")
    rotating = store.interface(encryption_key=both)
    rotating.upload_object("exp/new", body)

    assert rotating.rotate_encryption_key("exp") == 2
    assert rotating.rotate_encryption_key("exp") == 0
    new = store.interface(encryption_key=KEY)
    for name in ("exp/a", "exp/b"):
        assert store.raw.get(name)[0] == before[name][0]
        assert store.raw.get(name)[1] != before[name][1]
        assert new.download_object(name) == body
        assert new.download_stream(name).metadata == {"subject": "S01"}
        with pytest.raises(WrongKey):
            old.download_object(name)
    assert store.raw.get("exp2") == before["exp2"]
    assert store.raw.get("exp/plain") == plain
    assert old.download_object("other") == body
    with pytest.raises(WrongKey, match=r"'exp2'|'other'"):
        new.rotate_encryption_key()
    assert rotating.rotate_encryption_key() == 2
    assert new.download_object("exp2") == new.download_object("other") == body


@pytest.mark.stores("local", "moto")
def test_a_rotation_passes_over_what_it_cannot_rotate(store: Store) -> None:
    old, rotating = store.interface(encryption_key=OLD), store.interface(encryption_key=EncryptionKeys(KEY, OLD))
    for number in range(20):
        old.upload_object(f"exp/{number:02d}", b"body", subject="S01")
    store.interface(encryption_key=OTHER).upload_object("exp/00", b"another's")
    for name, cut in [("exp/05", 60), ("exp/11", 1)]:
        body, metadata = store.raw.get(name)
        mark = metadata[MARK]
        short = mark[: mark.rindex(".") + 42] if cut == 1 else mark[:cut]  # 41 digits of base64 are never whole bytes
        store.raw.put(name, body, {**metadata, MARK: short})
    before = {name: store.raw.get(name) for name in ("exp/00", "exp/05", "exp/11")}

    with pytest.raises(WrongKey, match=r"17 objects were given .* 3 could not be.*'exp/00'.*'exp/05'.*'exp/11'"):
        rotating.rotate_encryption_key("exp", threads=1)
    new = store.interface(encryption_key=KEY)
    others = sorted({*store.raw.keys()} - before.keys())
    assert [new.download_object(name) for name in others] == [b"body"] * 17
    assert {name: store.raw.get(name) for name in before} == before
    with pytest.raises(WrongKey, match=r"0 objects were given .* 3 could not be"):
        rotating.rotate_encryption_key("exp")
    store.raw.delete("exp/00")
    with pytest.raises(DecryptionError, match=r"0 objects .* 2 could not be"):
        rotating.rotate_encryption_key("exp")


@pytest.mark.stores("local", "moto")
def test_what_is_deleted_during_a_rotation_is_none_that_is_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old, rotating = store.interface(encryption_key=OLD), store.interface(encryption_key=EncryptionKeys(KEY, OLD))
    for name in ("a", "b", "c"):
        old.upload_object(name, b"body")
    inner = type(rotating.backend_interface.inner)
    stat = inner.stat

    def losing(self: Any, key: str) -> Any:
        if key == "a":
            store.raw.delete("b")
        return stat(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(inner, "stat", losing)
        assert rotating.rotate_encryption_key(threads=1) == 2
    new = store.interface(encryption_key=KEY)
    assert [new.download_object(name) for name in ("a", "c")] == [b"body"] * 2


def test_a_rotation_does_not_undo_what_is_written_meanwhile(
    backend: EncryptedBackend, roomy: RoomyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    EncryptedBackend(roomy, EncryptionKeys(OLD)).put("name", b"first", {})
    rotating, stat = EncryptedBackend(roomy, EncryptionKeys(KEY, OLD)), RoomyBackend.stat

    def racing(self: Any, key: str) -> Any:
        head = stat(self, key)
        backend.put("name", b"second", {})
        return head

    with monkeypatch.context() as patch:
        patch.setattr(RoomyBackend, "stat", racing)
        with pytest.raises((ObjectChanged, RecursionError)):
            rotating.rotate_key("name")
    assert read(backend) == b"second"


def test_keys_as_they_are_given(tmp_path: Path) -> None:
    text = base64.b64encode(KEY).decode()
    forms: list[Any] = [
        KEY,
        text,
        text.replace("+", "-").replace("/", "_"),
        f" {text}\n",
        EncryptionKeys(KEY),
        lambda: text,
    ]
    for form in forms:
        cci = cc.get_interface(str(tmp_path), backend="local", verbose=False, encryption_key=form)
        cci.upload_object("name", b"slept well")
        assert sealed.decrypt(
            KEY, (tmp_path / "name").read_bytes(), json.loads((tmp_path / "name.meta.json").read_text())
        )[0]
    assert len(base64.b64decode(cc.generate_encryption_key())) == 32
    assert cc.generate_encryption_key() != cc.generate_encryption_key()
    for wrong in (b"short", "c2hvcnQ=", "my secret passphrase, which is long", text[:-1], bytearray(33), 5, [KEY]):
        with pytest.raises(ConfigurationError, match="32 bytes") as caught:
            EncryptionKeys(wrong)
        assert "passphrase" not in str(caught.value)


def test_keys_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file, new = tmp_path / "keys", base64.b64encode(KEY).decode()
    file.write_text(f"# the lab's\n{new}\n\n{base64.b64encode(OLD).decode()}\n")
    file.chmod(0o600)

    def opened(**options: Any) -> Any:
        return cc.get_interface(str(tmp_path / "store"), backend="local", verbose=False, **options)

    opened(encryption_key=OLD).upload_object("old", b"old")
    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY_FILE", str(file))
    cci = opened()
    cci.upload_object("name", b"new")
    assert cci.download_object("old") == b"old"
    assert opened(encryption_key=KEY).download_object("name") == b"new"
    assert caplog.messages == []
    with pytest.raises(WrongKey):
        opened(encryption_key=False).download_object("name")

    fs = CottonCandyFileSystem(str(tmp_path / "store"), backend="local", skip_instance_cache=True)
    assert fs.cat_file("name") == b"new"

    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        opened()
    assert "chmod 600" in caplog.text
    assert new not in caplog.text

    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match="missing"):
        opened()
    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY_FILE", str(file))
    file.write_text(new[:-3])
    with pytest.raises(ConfigurationError, match=f"key_file {file}: an encryption key is 32 bytes") as raised:
        opened()
    assert new[:-3] not in str(raised.value)
    monkeypatch.delenv("COTTONCANDY_ENCRYPTION_KEY_FILE")
    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_REQUIRE", "True")
    with pytest.raises(ConfigurationError, match="key_file"):
        opened()
    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY", new)
    assert opened().download_object("name") == b"new"


def test_found_keys_do_not_travel_and_given_ones_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(**options: Any) -> Any:
        return cc.get_interface(str(tmp_path), backend="local", verbose=False, **options)

    given = opened(encryption_key=KEY)
    given.upload_object("name", b"slept well")
    assert pickle.loads(pickle.dumps(given)).download_object("name") == b"slept well"
    assert base64.b64encode(KEY) in pickle.dumps(given)

    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY", base64.b64encode(KEY).decode())
    for pickled in (pickle.dumps(opened()), pickle.dumps(opened(encryption_key=_key_of_the_test))):
        assert KEY not in pickled
        assert base64.b64encode(KEY) not in pickled
        assert pickle.loads(pickled).download_object("name") == b"slept well"
    found = pickle.dumps(opened())
    monkeypatch.delenv("COTTONCANDY_ENCRYPTION_KEY")
    with pytest.raises(ConfigurationError, match="pickled"):
        pickle.loads(found)


def _key_of_the_test() -> bytes:
    return KEY


def test_no_key_is_shown(backend: EncryptedBackend, caplog: pytest.LogCaptureFixture) -> None:
    shown = repr(backend) + repr(vars(backend)) + repr(KEYS) + repr(vars(KEYS)) + repr(KEYS.current)
    with caplog.at_level(logging.DEBUG):
        backend.put("name", b"x", {})
        with pytest.raises(WrongKey) as caught:
            EncryptedBackend(backend.inner, EncryptionKeys(OTHER)).stat("name")
    text = shown + caplog.text + str(caught.value)
    for key in (KEY, OTHER):
        assert not any(form in text for form in (base64.b64encode(key).decode(), key.hex(), repr(key)[2:-1]))


def test_sync_knows_what_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, back = tmp_path / "files", tmp_path / "back"
    source.mkdir()
    (source / "a").write_bytes(noise(100_000))
    (source / "b").write_bytes(b"plain")
    cc.get_interface(str(tmp_path / "store"), backend="local", verbose=False).sync(source, "exp", include="b")
    cci = cc.get_interface(str(tmp_path / "store"), backend="local", verbose=False, encryption_key=KEY)
    assert cci.sync(source, "exp").transferred == ("a",)
    assert cci.sync(source, "exp").transferred == ()
    assert cci.sync(source, "exp", checksum=True).transferred == ()
    (source / "a").write_bytes(noise(100_000)[::-1])
    assert cci.sync(source, "exp", checksum=True).transferred == ("a",)
    cci.sync("exp", back)
    assert (back / "a").read_bytes() == noise(100_000)[::-1]
    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_REQUIRE", "True")
    strict = cc.get_interface(str(tmp_path / "store"), backend="local", verbose=False, encryption_key=KEY)
    assert strict.sync(source, "exp").transferred == ("b",)  # plain until now
    assert strict.sync(source, "exp").transferred == ()
    assert strict.download_object("exp/b") == b"plain"


# ------------------------------------------------------------------ the rest of the contract
def test_every_method_of_the_contract_is_passed_on() -> None:
    ours = {"native_object", "read_range", "default_container", "open_version", "place"}  # these work by the others
    methods = {
        name
        for name, thing in vars(Backend).items()
        if not name.startswith("_") and (callable(thing) or isinstance(thing, (property, classmethod)))
    }
    assert methods - ours <= set(vars(EncryptedBackend))


def test_what_makes_no_sense_is_refused(backend: EncryptedBackend, roomy: RoomyBackend) -> None:
    backend.put("name", b"x", {})
    with pytest.raises(NotSupported, match="encryption_key=False"):
        backend.presigned_url("name", "get", 5)
    with pytest.raises(NotSupported, match="metadata"):
        backend.copy("name", "copy", metadata={"a": "1"})
    with pytest.raises(ConfigurationError):
        EncryptedBackend.connect(None, None, None, None, Options.load(create=False))
    assert encrypted(roomy, None, Options.load(create=False)) is roomy


def test_extra_arguments_keep_their_metadata_secret(backend: EncryptedBackend, roomy: RoomyBackend) -> None:
    seen = []
    roomy.put = lambda *arguments: seen.append(arguments) or {}  # type: ignore[method-assign]
    extra = {"Metadata": {"subject": "S01", "a": "1"}, "ContentType": "text/plain"}
    backend.put("name", b"x", {"a": "2"}, WriteOptions(acl="private", if_absent=True, extra=extra))
    ((_, body, metadata, options),) = seen
    assert sealed.decrypt(KEY, bytes(body), metadata) == (b"x", {"subject": "S01", "a": "2"})
    assert (options.acl, options.if_absent, options.extra) == ("private", True, {"ContentType": "text/plain"})


def test_a_reader_that_ends_early_may_be_tried_again(backend: EncryptedBackend, roomy: RoomyBackend) -> None:
    backend.put("name", noise(100), {})
    with backend.open("name") as reader:
        reader._source.break_off(50)  # type: ignore[attr-defined]
        with pytest.raises(TransientError, match="name"):
            reader.readinto(memoryview(bytearray(100)))

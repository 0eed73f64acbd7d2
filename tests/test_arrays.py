"""Raw and npy arrays: every dtype, shape and order comes back as it went; how much memory that takes."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from samples import ALL, LAYOUTS, arrays_for, assert_equal, assert_same
from stores import Recorded, Store
from test_objects import small_parts

from benchmarks.server.running import running
from cottoncandy.checksums import checksum
from cottoncandy.dtypes import LONGEST, text_of
from cottoncandy.errors import ChecksumMismatch, CorruptObject, NotAnArray, UnknownCodec, UnsupportedArray

CODECS = ["gzip", "LZ4", "Zlib", "Zstd", "BZ2"]
COMPRESSIONS = [True, False, None, *CODECS]
MIB = 2**20


# ---------------------------------------------------------------------- as it went
def test_every_array_comes_back_as_it_went(store: Store) -> None:
    cci = store.interface()
    for number, (name, array) in enumerate(arrays_for(store).items()):
        compression = COMPRESSIONS[number % len(COMPRESSIONS)]
        cci.upload_raw_array(f"raw/{name}", array, compression=compression)
    for name, array in arrays_for(store).items():
        assert_same(cci.download_raw_array(f"raw/{name}"), array)


@pytest.mark.stores("local")
@pytest.mark.parametrize("name", ALL)
def test_every_array_with_every_codec(store: Store, name: str) -> None:
    cci = store.interface()
    before = np.array(ALL[name], subok=False)
    for compression in COMPRESSIONS:
        cci.upload_raw_array("a", ALL[name], compression=compression)
        assert_same(cci.download_raw_array("a"), before)
        assert_equal(np.asarray(ALL[name]), before)  # the caller's own is as it was


def test_arrays_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)
    cci = store.interface()
    array = np.random.default_rng(3).standard_normal((1000, 1700))
    for compression, threads in ((False, 3), ("gzip", 3), ("Zstd", 1), (False, 1)):
        cci.upload_raw_array("big", array, compression=compression, threads=threads)
        assert_same(cci.download_raw_array("big", threads=threads), array)
        assert store.raw.leftovers() == []


@pytest.mark.stores("local", "moto")
def test_a_large_fortran_array_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)
    cci = store.interface()
    array = np.asfortranarray(np.random.default_rng(3).standard_normal((1000, 1700)))
    for compression in (False, "gzip", "LZ4"):
        cci.upload_raw_array("big", array, compression=compression)
        assert_same(cci.download_raw_array("big"), array)


@pytest.mark.stores("local")
def test_numpys_truth_values_are_ours(store: Store) -> None:
    cci, noise = store.interface(), np.random.default_rng(0).integers(0, 256, 200_000, dtype="u1")
    for ours in (True, False):
        for array in (np.arange(1000), noise):
            stored = []
            for compression in (ours, np.bool_(ours)):
                cci.upload_raw_array("a", array, compression=compression)
                cci.upload_dask_array("b", array, compression=compression)
                stored.append((store.raw.get("a"), store.raw.get("b/pt0000")[0]))
                cci.rm("b", recursive=True)
            assert stored[0] == stored[1]


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", [False, "gzip"], ids=str)
def test_the_order_is_kept_where_the_format_can(store: Store, compression: Any) -> None:
    cci = store.interface()
    cci.upload_raw_array("f", np.asfortranarray(np.ones((3, 4))), compression=compression)
    assert cci.download_raw_array("f").flags.f_contiguous
    cci.upload_raw_array("c", np.ones((3, 4)), compression=compression)
    assert cci.download_raw_array("c").flags.c_contiguous


def _dtypes() -> some.SearchStrategy[np.dtype[Any]]:
    return arrays_of.scalar_dtypes() | arrays_of.array_dtypes(arrays_of.scalar_dtypes(), max_size=3)


@pytest.mark.stores("local")
@settings(max_examples=60)
@given(data=some.data(), compression=some.sampled_from(COMPRESSIONS))
def test_any_array(store: Store, data: some.DataObject, compression: Any) -> None:
    shape = data.draw(arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    array = data.draw(arrays_of.arrays(data.draw(_dtypes()), shape))
    index = data.draw(arrays_of.basic_indices(shape, allow_ellipsis=False))
    view = np.asarray(array[index]).transpose()
    cci = store.interface()
    cci.upload_raw_array("a", view, compression=compression)
    assert_same(cci.download_raw_array("a"), np.array(view))


@pytest.mark.stores("local", "moto")
def test_a_memory_map(store: Store, tmp_path: Any) -> None:
    array = np.arange(100_000, dtype="<f4").reshape(100, -1)
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    cci = store.interface()
    cci.upload_raw_array("c", mapped, compression=False)
    cci.upload_raw_array("t", mapped.T[::2])
    assert_same(cci.download_raw_array("c"), array)
    assert_same(cci.download_raw_array("t"), array.T[::2])


@pytest.mark.stores("local")
@pytest.mark.parametrize("value", [3, 2.5, True, [1, 2, 3], [[1.0], [2.0]], "text", b"bytes", np.float32(3)], ids=repr)
def test_what_is_no_array_is_made_one(store: Store, value: Any) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", value)
    assert_same(cci.download_raw_array("a"), np.asarray(value))


@pytest.mark.stores("local")
def test_a_masked_array_does_not_pass_off_what_is_masked(store: Store) -> None:
    """As a plain array, as all subclasses do: its data."""
    cci = store.interface()
    masked = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=[False, True, False])
    cci.upload_raw_array("a", masked)
    assert_same(cci.download_raw_array("a"), masked.data)


@pytest.mark.stores("local")
def test_subclasses_go_as_plain_arrays(store: Store) -> None:
    cci = store.interface()
    numbers = np.arange(6.0).reshape(2, 3)
    for array in (numbers.view(np.matrix), numbers.view(np.recarray), np.ma.array(numbers)):
        cci.upload_raw_array("a", array, compression="gzip")
        assert_same(cci.download_raw_array("a"), np.asarray(array))


# ---------------------------------------------------------------------- refused
_REFERENCES = {
    "object": np.array([{}, None], dtype=object),
    "ragged": np.array([[1], [2, 3]], dtype=object),
    "object field": np.zeros(2, dtype=[("a", "i4"), ("b", object)]),
    "object deep inside": np.zeros(2, dtype=[("a", [("b", object, (2,))])]),
}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("name", _REFERENCES)
def test_references_are_refused(store: Store, name: str) -> None:
    cci = store.interface()
    for upload in (cci.upload_raw_array, cci.upload_npy_array, cci.upload_dask_array):
        with pytest.raises(UnsupportedArray, match=r"(?s)some/where.*(pickle|json)") as caught:
            upload("some/where", _REFERENCES[name])
        assert isinstance(caught.value, TypeError)
    with pytest.raises(UnsupportedArray, match="some/where/b"):
        cci.dict2cloud("some/where", {"a": np.ones(2), "b": _REFERENCES[name]}, verbose=False)
    assert store.raw.keys() == []


@pytest.mark.stores("local")
@pytest.mark.parametrize("name", ["Zst", "snappy", "../x"])
def test_an_unknown_codec(store: Store, name: str) -> None:
    with pytest.raises(UnknownCodec, match=name) as caught:
        store.interface().upload_raw_array("a", np.ones(3), compression=name)
    assert "gzip" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert store.raw.keys() == []


@pytest.mark.stores("local")
@pytest.mark.parametrize("name", ["GZIP", "zstd", "lz4", "bz2", "ZLIB"])
def test_codec_names_in_any_case(store: Store, name: str) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(100), compression=name)
    assert store.raw.get("a")[1]["compression"] in CODECS
    assert_same(cci.download_raw_array("a"), np.arange(100))


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("key", ["dtype", "shape", "compression", "order", "DType"])
def test_metadata_may_not_describe_the_array_otherwise(store: Store, key: str) -> None:
    cci = store.interface()
    with pytest.raises((ValueError, TypeError), match=f"(?i){key}"):
        cci._store("a", np.arange(3), metadata={key: "|S1"})
    assert store.raw.keys() == []


def test_metadata_of_the_user_lies_beside(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(3.0), subject="S01", run=2)
    metadata = store.raw.get("a")[1]
    assert (metadata["subject"], metadata["run"], metadata["dtype"], metadata["shape"]) == ("S01", "2", "<f8", "3")


# ---------------------------------------------------------------------- broken
def _damage(body: bytes, metadata: dict[str, str], how: str) -> tuple[bytes, dict[str, str]]:
    return {
        "short": (body[:-1], metadata),
        "long": (body + b"x", metadata),
        "none": (b"", metadata),
        "shape": (body, {**metadata, "shape": "7"}),
        "negative": (body, {**metadata, "shape": "-1"}),
        "huge": (body, {**metadata, "shape": "99999999999999"}),
        "no number": (body, {**metadata, "shape": "x"}),
        "dtype": (body, {**metadata, "dtype": "<z9"}),
        "object": (body, {**metadata, "dtype": "|O"}),
        "codec": (body, {**metadata, "compression": "none such"}),
    }[how]


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    "how", ["short", "long", "none", "shape", "negative", "huge", "no number", "dtype", "object", "codec"]
)
@pytest.mark.parametrize("compression", [False, "gzip", "Zstd", "LZ4"], ids=str)
def test_what_does_not_fit_is_said_and_not_guessed(store: Store, how: str, compression: Any) -> None:
    cci = store.interface()
    cci.upload_raw_array("dir/a", np.arange(10.0), compression=compression)
    store.raw.put("dir/a", *_damage(*store.raw.get("dir/a"), how))
    with pytest.raises(ValueError, match="dir/a") as caught:
        cci.download_raw_array("dir/a")
    assert isinstance(caught.value, (CorruptObject, UnknownCodec))


@pytest.mark.stores("local")
@pytest.mark.parametrize("compression", ["gzip", "Zlib", "BZ2"])
def test_a_turned_bit_is_noticed(store: Store, compression: str) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.random.default_rng(1).standard_normal(1000), compression=compression)
    body, metadata = store.raw.get("a")
    middle = len(body) // 2
    store.raw.put("a", body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :], metadata)
    with pytest.raises(CorruptObject):
        cci.download_raw_array("a")


def test_what_is_no_array_is_not_read_as_one(store: Store) -> None:
    store.raw.put("a", b"12345678")
    with pytest.raises(NotAnArray, match="'a'"):
        store.interface().download_raw_array("a")


@pytest.mark.stores("local")
def test_the_oldest_descriptions(store: Store) -> None:
    store.raw.put("a", np.arange(3).tobytes(), {"dtype": "<i8", "shape": "3", "gzip": "False"})
    assert_same(store.interface().download_raw_array("a"), np.arange(3))


# ---------------------------------------------------------------------- npy
def _saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("layout", ["C", "F", "backwards"])
def test_npy_in_parts(store: Store, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts begin with the header, and end anywhere."""
    small_parts(monkeypatch)
    numbers = np.arange(3 * MIB, dtype="i4").reshape(-1, 3)
    array = {"C": numbers, "F": np.asfortranarray(numbers), "backwards": numbers[::-1]}[layout]
    store.interface().upload_npy_array("a.npy", array)
    data, metadata = store.raw.get("a.npy")
    assert data == _saved(array)
    assert metadata == {"xxh3-list": checksum(data)}


@pytest.mark.stores("local")
@pytest.mark.parametrize("version", [1, 2, 3])
def test_npy_headers_of_each_version(store: Store, version: int) -> None:
    names = {1: ["a"], 2: [f"a{number}" for number in range(5000)], 3: ["\N{GREEK SMALL LETTER BETA}"]}[version]
    array = np.zeros(2, [(name, "u1") for name in names])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # numpy's: older ones cannot read it
        store.interface().upload_npy_array("a.npy", array)
        saved = _saved(array)
    data, _ = store.raw.get("a.npy")
    assert data == saved
    assert data[6] == version


def test_npy(store: Store) -> None:
    cci = store.interface()
    for name in ("<f8", ">i4", "unicode", "structured", "datetime days", "0-d", "empty 2-d", "F", "negative strides"):
        cci.upload_npy_array(f"npy/{name}", ALL[name], subject="S01")
        assert_same(cci.download_npy_array(f"npy/{name}"), ALL[name])
        data, metadata = store.raw.get(f"npy/{name}")
        assert data == _saved(ALL[name])
        assert metadata == {"subject": "S01", "xxh3-list": checksum(data)}


@pytest.mark.stores("local")
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("items", [0, 3, 100_000])
@pytest.mark.parametrize("behind", [0, 10, 3_000_000])
def test_what_stands_behind_the_array_of_a_npy_file_counts(store: Store, items: int, behind: int) -> None:
    cci, array = store.interface(), np.arange(items, dtype="i4")
    cci.upload_npy_array("a.npy", array)
    data = store.raw.get("a.npy")[0] + bytes(behind)
    store.raw.put("a.npy", data, {"xxh3-list": checksum(data)})
    assert_same(cci.download_npy_array("a.npy"), array)
    store.raw.put("a.npy", data[:-1] + b"!", {"xxh3-list": checksum(data)})
    with pytest.raises(ChecksumMismatch, match=r"a\.npy"):
        cci.download_npy_array("a.npy")


def test_npy_files_of_many_fields(store: Store) -> None:
    """More than numpy reads where nobody tells it that a header may be so long."""
    cci = store.interface()
    for count in (500, 5000):
        array = np.ones(3, [(f"field{number:04}", "<i2") for number in range(count)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy's: older ones cannot read it
            cci.upload_npy_array("a", array)
        assert_same(cci.download_npy_array("a"), array)


@pytest.mark.stores("local")
def test_a_npy_file_that_would_not_be_read_is_refused(store: Store) -> None:
    cci, fields = store.interface(), [(f"f{number:04}", "V0") for number in range(9_000)]
    fields[0] = ("f" * (LONGEST - len(str(text_of(np.dtype(fields)))) + 5), "V0")
    array = np.zeros(1, fields)
    assert len(str(text_of(array.dtype))) == LONGEST
    warnings.simplefilter("ignore", UserWarning)  # numpy's: older ones cannot read it; pytest puts this back
    with pytest.raises(UnsupportedArray, match=r"'a'.* 1048576 characters.*upload_raw_array"):
        cci.upload_npy_array("a", array)
    assert store.raw.keys() == []
    cci.upload_raw_array("a", array)  # as it advises
    assert_same(cci.download_raw_array("a"), array)


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    ("upload", "named"),
    [
        (lambda cci, array: cci.upload_raw_array("a", array), "a"),
        (lambda cci, array: cci.upload_npy_array("a", array), "a"),
        (lambda cci, array: cci.upload_dask_array("a", array), "a"),
        (lambda cci, array: cci.dict2cloud("t", {"few": np.ones(2), "a": array}, verbose=False), "t/a"),
    ],
    ids=["raw", "npy", "chunks", "tree"],
)
def test_more_fields_than_are_read_again_are_refused(store: Store, upload: Any, named: str) -> None:
    cci, array = store.interface(), np.zeros(3, [(f"field{number}", "<i2") for number in range(50_000)])
    reason = r"a dtype of 50000 fields, which \d+ characters describe; 1048576 are the most .* or use upload_pickle$"
    with pytest.raises(UnsupportedArray, match=rf"^object '{named}' in \S+ container '[^']*': {reason}"):
        upload(cci, array)
    assert store.raw.keys() == []


@pytest.mark.stores("local")
@pytest.mark.parametrize("packs", [True, False])
def test_as_many_fields_as_are_read_come_back(store: Store, packs: bool) -> None:
    """Names without any pattern are more characters when they are packed."""
    names, cci = random.Random(0), store.interface()
    alphabet = "".join(map(chr, range(0x5D, 0x7F))) + "".join(map(chr, range(0x23, 0x5C)))
    letters = alphabet[:1] if packs else alphabet
    array = np.zeros(2, [(f"{number:04}{''.join(names.choices(letters, k=850))}", "<i2") for number in range(1200)])
    cci.upload_raw_array("a", array)
    stored = store.raw.get("a")[1]["descr"]
    assert (len(stored) < 100_000, stored.startswith("eN"), len(stored) <= 2**20) == (packs, packs, True)
    assert_same(cci.download_raw_array("a"), array)


def test_npy_is_a_file_for_others(store: Store, tmp_path: Any) -> None:
    cci = store.interface()
    cci.upload_npy_array("a.npy", LAYOUTS["C"])
    cci.download_to_file("a.npy", tmp_path / "a.npy")
    assert np.array_equal(np.load(tmp_path / "a.npy"), LAYOUTS["C"])


@pytest.mark.stores("local")
def test_a_pickled_npy_is_refused(store: Store, tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    store.raw.put("o", (tmp_path / "o.npy").read_bytes())
    store.raw.put("text", b"text")
    store.raw.put("empty", b"")
    for name in ("text", "empty"):
        with pytest.raises(CorruptObject, match=f"'{name}'"):
            store.interface().download_npy_array(name)
    caplog.clear()
    with pytest.raises(
        UnsupportedArray, match=r"^object 'o' in local container .*: it holds pickled.*allow_pickle=True"
    ):
        store.interface().download_npy_array("o")
    assert caplog.messages == []  # it is not read once more: it is what it says


# ---------------------------------------------------------------------- what is configured
@pytest.mark.stores("local")
def test_the_configured_compression(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_COMPRESSION_SMALL_ARRAY", "Zstd")
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(10))
    cci.upload_raw_array("b", np.arange(10), compression=False)
    assert store.raw.get("a")[1]["compression"] == "Zstd"
    assert store.raw.get("b")[1]["compression"] == "False"
    monkeypatch.setenv("COTTONCANDY_COMPRESSION_DO_COMPRESSION", "False")
    store.interface().upload_raw_array("a", np.arange(10))
    assert store.raw.get("a")[1]["compression"] == "False"


def test_an_array_is_replaced_with_its_description(store: Store) -> None:
    cci = store.interface()
    for name in ("longdouble", "structured", "0-d", "empty 2-d", "F"):
        cci.upload_raw_array("a", ALL[name], compression=False)
        assert_same(cci.download_raw_array("a"), ALL[name])


# ---------------------------------------------------------------------- memory
_MEASURE = """
import json, sys
import numpy as np
import cottoncandy
access, call, compression, mib = json.loads(sys.argv[1])

def kilobytes(which):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(which))

cci = cottoncandy.get_interface(verbose=False, **access)
if call in {"upload", "npy"}:
    array = np.empty(mib * 2**17)
    array.reshape(mib // 8, -1)[:] = np.random.default_rng(0).standard_normal(2**20)
last = np.random.default_rng(0).standard_normal(2**20)[-1]
cci.upload_raw_array("warm", np.ones(10), compression=compression)
cci.download_raw_array("warm")
if call == "file":
    with open("big", "wb") as file:
        for _ in range(256):
            file.write(bytes(2**20))
before = kilobytes("VmRSS")
if call == "upload":
    cci.upload_raw_array("big", array, compression=compression)
elif call == "npy":
    cci.upload_npy_array("big.npy", array)
elif call == "file":
    cci.upload_from_file("big", "big")
elif call == "object":
    found = cci.download_object("big")
elif call == "read npy":
    assert cci.download_npy_array("big.npy")[-1] == last
else:
    found = cci.download_raw_array("big")
    assert found[-1] == last
print((kilobytes("VmHWM") - before) / 2**10)
"""


@pytest.fixture(scope="module")
def far_away() -> Iterator[dict[str, Any]]:
    """A server that each request waits for: how it is reached."""
    with running(workers=1) as server:
        server.create_bucket("memory")
        server.set_latency(10)
        keys = {"ACCESS_KEY": "key", "SECRET_KEY": "secret"}
        yield {"bucket_name": "memory", "backend": "s3", "endpoint_url": server.endpoint, **keys}


@pytest.fixture(params=["local", "far away"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """How a store is reached that takes hundreds of MB in little time."""
    if request.param == "local":
        return {"bucket_name": str(tmp_path / "store"), "backend": "local"}
    found: dict[str, Any] = request.getfixturevalue("far_away")
    return found


# glibc gives freed blocks back instead of keeping them for each thread: what is in use counts, at any speed
_GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**17)}


def _measure(
    access: dict[str, Any],
    call: str,
    compression: Any = False,
    mib: int = 256,
    allocator: Mapping[str, str] = _GIVEN_BACK,
) -> float:
    """MB that a process needs at most beside what it had."""
    command = [sys.executable, "-c", _MEASURE, json.dumps([access, call, compression, mib])]
    environment = {**os.environ, **allocator}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_the_memory_that_256_mb_take(access: dict[str, Any]) -> None:
    assert _measure(access, "upload") < 0.05 * 256
    assert 256 <= _measure(access, "download") < 1.05 * 256
    assert _measure(access, "object") < 1.05 * 256


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("access", ["local"], indirect=True)
@pytest.mark.parametrize("codec", [False, "LZ4"])
def test_what_passes_by_the_cache_is_not_kept(access: dict[str, Any], codec: Any) -> None:
    """Each thread has a piece of memory for it, which an allocator as it is would keep: noise is as large packed."""
    _measure(access, "upload", codec, 64)
    assert 64 <= _measure(access, "download", codec, 64, allocator={}) < 1.05 * 64


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("call", ["npy", "file"])
def test_the_memory_that_a_file_of_256_mb_takes(
    access: dict[str, Any], call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part for each thread, and one that is read."""
    monkeypatch.chdir(tmp_path)
    assert _measure(access, call) < 40


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_the_memory_that_a_npy_file_of_256_mb_takes_down(access: dict[str, Any]) -> None:
    _measure(access, "npy")
    assert 256 <= _measure(access, "read npy") < 1.05 * 256


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("access", ["local"], indirect=True)
@pytest.mark.parametrize("codec", ["Blosc", "Zstd", "Zstd-blocks", "gzip", "Zlib", "LZ4", "LZ4Frame", "BloscChunks"])
def test_the_memory_that_256_compressed_mb_take(access: dict[str, Any], codec: str) -> None:
    """Parts of 5 MiB are on their way up; down, one that is read, and what the codec takes in up to three threads."""
    assert _measure(access, "upload", codec) < 64
    assert _measure(access, "download", codec) < 1.07 * 256


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("access", ["far away"], indirect=True)
@pytest.mark.parametrize("codec", ["Blosc", "Zstd"])
def test_the_memory_that_256_compressed_mb_take_from_far_away(access: dict[str, Any], codec: str) -> None:
    """The defaults. Where one waits for the server, five parts of 2 MiB are on their way down."""
    assert _measure(access, "upload", codec) < 64
    assert _measure(access, "download", codec) < 1.1 * 256


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("access", ["far away"], indirect=True)
@pytest.mark.parametrize("codec", ["Zstd", "LZ4Frame", "gzip-blocks"])
def test_the_memory_does_not_grow_with_the_threads(access: dict[str, Any], codec: str) -> None:
    many = {**_GIVEN_BACK, "COTTONCANDY_BASIC_THREADS": "16"}
    assert _measure(access, "upload", codec, allocator=many) < 64
    assert _measure(access, "download", codec, allocator=many) < 1.08 * 256


def test_one_get_reads_a_small_array(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    for compression in (False, "gzip"):
        proxy.clear()
        cci.upload_raw_array("a", np.arange(1000.0), compression=compression)
        assert [request.method for request in proxy.requests] == ["PUT"]
        proxy.clear()
        cci.download_raw_array("a")
        assert [request.method for request in proxy.requests] == ["GET"]


@pytest.mark.stores("local", "moto")
def test_a_raw_array_is_no_damaged_npy_file(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.arange(9))
    with pytest.raises(NotAnArray, match=r"'a'.*download_raw_array"):
        cci.download_npy_array("a")
    assert not caplog.records  # it is not read twice
    cci.upload_npy_array("b.npy", np.arange(9), dtype="of mine")
    assert_same(cci.download_npy_array("b.npy"), np.arange(9))

"""Arrays of text of any width: numpy 2's StringDType."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from stores import Store

from cottoncandy import stringarrays
from cottoncandy.errors import ChecksumMismatch, CorruptObject, UnknownCodec, UnsupportedArray

StringDType: Any = getattr(getattr(np, "dtypes", None), "StringDType", None)
pytestmark = pytest.mark.skipif(StringDType is None, reason="numpy 2 has text of any width")
WORDS = ["", "a", "a\0b\0", "ünder", "🦉" * 3, " b ", "x" * 100_000, "\ufeff"]


def samples() -> dict[str, Any]:
    words = np.array(WORDS, StringDType())
    return {
        "words": words,
        "fortran": np.asfortranarray(words.reshape(2, 4)),
        "strided": words.reshape(2, 4)[::-1, ::2],
        "0-d": np.array("owl", StringDType()),
        "empty": np.empty((0, 3), StringDType()),
        "all empty": np.full(5, "", StringDType()),
        "many": np.array([f"item {number}" for number in range(70_000)], StringDType()),
        "strict": np.array(["a"], StringDType(coerce=False)),
        "none": np.array(["a", None, ""], StringDType(na_object=None)),
        "nan": np.array([["a", math.nan]], StringDType(na_object=math.nan)),
        "text": np.array(["a", "N/A ü"], StringDType(na_object="N/A ü")),
    }


def assert_same_text(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    assert found.dtype.coerce == expected.dtype.coerce
    assert found.shape == expected.shape
    assert repr(found.tolist()) == repr(expected.tolist())  # nan is not itself
    assert found.flags.writeable


def test_bytes() -> None:
    """The bytes that the page on the wire format tells of."""
    array = np.array([["a", None], ["üb", ""]], StringDType(na_object=None))
    assert bytes(stringarrays.pack(array)) == np.array([1, -1, 3, 0], "<i4").tobytes() + "aüb".encode()
    body = np.frombuffer(stringarrays.pack(array), np.uint8)
    assert_same_text(stringarrays.unpack(body, (2, 2), array.dtype), array)


@pytest.mark.stores("local", "moto", "gdrive")
def test_there_and_back(store: Store) -> None:
    cci = store.interface()
    for name, array in samples().items():
        cci.upload_raw_array(name, array)
        assert_same_text(cci.download_raw_array(name), array)
    _, metadata = store.raw.get("none")
    expected = {"dtype": "StringDType", "shape": "3", "order": "C", "descr": '{"na":"None"}', "utf8": "13"}
    assert expected.items() <= metadata.items()
    words = samples()["words"]
    for codec in (False, "gzip", "Zstd", "LZ4", "Blosc", "BZ2", "Zlib", "Zstd-blocks"):
        cci.upload_raw_array("packed", words, compression=codec)
        assert_same_text(cci.download_raw_array("packed"), words)
    report = cci.verify("packed")
    assert (report.ok, report.checked) == (True, 1)

    tree = {"words": words, "numbers": np.arange(3), "deep": {"none": samples()["none"]}}
    cci.dict2cloud("tree", tree, verbose=False)
    found = cci.cloud2dict("tree", verbose=False)
    assert_same_text(found["words"], words)
    assert_same_text(found["deep"]["none"], tree["deep"]["none"])


@pytest.mark.stores("local", "moto")
def test_slices_and_memory_of_the_callers(store: Store) -> None:
    cci = store.interface()
    words = np.array(WORDS, StringDType()).reshape(2, 4)
    for codec in (False, "Zstd", "Zstd-blocks"):
        cci.upload_raw_array("words", words, compression=codec)
        opened = pickle.loads(pickle.dumps(cci.open_array("words")))
        assert (opened.shape, opened.dtype) == (words.shape, words.dtype)
        for index in (np.s_[:, 1:3], np.s_[0], np.s_[..., ::-1], np.s_[1, [0, 2]], words == "a", np.s_[:0]):
            assert_same_text(opened[index], words[index])
        assert opened[1, 0] == "🦉" * 3
        assert [row.tolist() for row in opened] == words.tolist()
        out = np.empty_like(words)
        assert cci.download_raw_array("words", out=out) is out
        assert_same_text(out, words)
        across = np.empty((4, 2), StringDType()).T
        assert_same_text(cci.download_raw_array("words", out=across), words)
    with pytest.raises(ValueError, match="cannot be read into out"):
        cci.download_raw_array("words", out=np.empty((2, 4), "U3"))


@pytest.mark.stores("local")
def test_what_is_refused(store: Store) -> None:
    cci = store.interface()
    words = np.array(["a", "bc"], StringDType())
    odd = np.array(["a"], StringDType(na_object=object()))
    with pytest.raises(UnsupportedArray, match=r"object 'a' in .*na_object=None"):
        cci.upload_raw_array("a", odd)
    for call in (cci.upload_npy_array, cci.upload_dask_array):
        with pytest.raises(UnsupportedArray, match=r"'a' in .*upload_raw_array"):
            call("a", words)
    with pytest.raises(UnsupportedArray, match="StringDType"):  # what to do with texts in an object array
        cci.upload_raw_array("a", np.array(["a", "bc"], object))
    with pytest.raises(UnknownCodec):
        cci.upload_raw_array("a", words, compression="snappy")
    assert store.raw.keys() == []


DAMAGE: dict[str, tuple[dict[str, str], bytes]] = {
    "too few lengths": ({"shape": "3"}, b""),
    "an enormous shape": ({"shape": "1000000000000"}, b""),
    "no size": ({"utf8": ""}, b""),
    "a sign": ({"utf8": "-1"}, b""),
    "another size": ({"utf8": "12"}, b""),
    "a missing one, and none can be": ({}, np.array([-1, 3], "<i4").tobytes() + b"abc"),
    "a negative length": ({"descr": '{"na":"None"}'}, np.array([-2, 3], "<i4").tobytes() + b"abc"),
    "other lengths": ({}, np.array([1, 1], "<i4").tobytes() + b"abc"),
    "longer lengths": ({}, np.array([1, 2**31 - 1], "<i4").tobytes() + b"abc"),
    "no UTF-8": ({}, np.array([1, 2], "<i4").tobytes() + b"a\xff\xff"),
    "an unknown missing one": ({"descr": '{"na":"pandas"}'}, b""),
    "an unknown key": ({"descr": '{"size":3}'}, b""),
    "a list": ({"descr": "[1,2]"}, b""),
}


@pytest.mark.stores("local")
def test_damage_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.array(["a", "bc"], StringDType()), compression=False)
    body, metadata = store.raw.get("a")
    without = {
        key: value for key, value in metadata.items() if key in {"dtype", "shape", "order", "compression", "utf8"}
    }
    for changes, bad in DAMAGE.values():
        store.raw.put("a", bad or body, {**without, **changes})
        with pytest.raises(CorruptObject, match="object 'a' in local container"):
            cci.download_raw_array("a")
    store.raw.put("a", body[:-1] + b"x", metadata)
    with pytest.raises(ChecksumMismatch):
        cci.download_raw_array("a")
    # an older numpy, and an older reader: numpy has no dtype of the stored name
    store.raw.put("a", body, without)
    with pytest.raises(TypeError, match="not understood"):
        np.dtype(metadata["dtype"])
    with monkeypatch.context() as old:
        from cottoncandy.arrayformat.metadata import _parse_texts, _read

        _read.cache_clear()
        _parse_texts.cache_clear()
        old.delattr(np.dtypes, "StringDType")
        with pytest.raises(UnsupportedArray, match=r"'a' in .*numpy 2 or later"):
            cci.download_raw_array("a")


@pytest.mark.stores("local")
def test_a_text_that_is_too_long_is_told_of_with_its_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stringarrays, "LENGTH", np.dtype("<i1"))  # as if 128 bytes were 2 GiB
    cci, words = store.interface(), np.array(["a", "x" * 128], StringDType())
    for upload, key in (
        (lambda: cci.upload_raw_array("sub/x", words), "sub/x"),
        (lambda: cci.dict2cloud("sub", {"y": words}, verbose=False), "sub/y"),
    ):
        with pytest.raises(UnsupportedArray, match=r"2 GiB or more.*upload_object") as caught:
            upload()
        assert str(caught.value).startswith(f"{store.backend().describe(key)}: ")
    assert not store.raw.keys()

"""Arrays as metadata and bytes, and back: what 0.4.0 wrote, every dtype and layout, and metadata that lies."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable, Mapping
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import wire
from hypothesis import given, settings
from hypothesis import strategies as st

from cottoncandy import arrayformat, codecs, dtypes
from cottoncandy.arrayformat import ArrayDescription, allocate, describe
from cottoncandy.errors import CorruptObject, CottonCandyError, UnknownCodec, UnsupportedArray

Array = np.ndarray[Any, Any]
COMPRESSIONS = [None, "gzip", "Zlib", "BZ2", "Zstd", "LZ4", "LZ4Frame", "Blosc", "BloscChunks"]
WHERE = "object 'a' in local container 'b'"


def same(one: Array, other: Array) -> bool:
    """Whether two arrays have the same dtype, shape and bytes; what lies between fields is nobody's."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.names is not None:
        return all(same(one[name], other[name]) for name in one.dtype.names)
    return one.tobytes() == other.tobytes()


def pack(array: Array, compression: str | None) -> tuple[bytes, dict[str, str]]:
    description, view = describe(array, compression)
    if description.compression is None:
        return bytes(view), description.metadata()
    codec = codecs.get_codec(description.compression)
    return b"".join(codec.encode(view, description.dtype.itemsize)), description.metadata()


def unpack(body: bytes, metadata: Mapping[str, str]) -> Array:
    description = ArrayDescription.from_metadata(metadata, len(body), WHERE)
    array, out = allocate(description)
    if description.compression is None:
        codecs.fill(iter([body]), out)
    else:
        codecs.get_codec(description.compression).decode(iter([body]), out)
    return array


def assert_round_trip(array: Array, compression: str | None) -> None:
    body, metadata = pack(array, compression)
    assert all(f"{key}{value}".isascii() and "_" not in key for key, value in metadata.items())
    back = unpack(body, metadata)
    assert type(back) is np.ndarray
    assert back.flags.writeable
    assert back.flags.owndata
    assert same(back, np.asarray(array))
    assert same(wire.raw(body, metadata), np.asarray(array))


# ---------------------------------------------------------------------- what 0.4.0 wrote
EXPECTED = json.loads((wire.WIRE / "expected.json").read_text())
ARRAYS = np.load(wire.WIRE / "expected.npz")
OLD = wire.Directory(wire.WIRE / "store")


@pytest.mark.parametrize("key", [key for key, entry in EXPECTED.items() if entry["kind"] == "raw"])
def test_what_0_4_0_wrote_reads_back(key: str) -> None:
    back = unpack(*OLD.get(key))
    expected = ARRAYS[EXPECTED[key]["array"]]
    assert same(back, expected)
    assert back.flags.writeable


@pytest.mark.parametrize("kind", ["dask", "sparse"])
def test_parts_of_larger_things_that_0_4_0_wrote_read_back(kind: str) -> None:
    keys = [key for key in OLD.keys(f"{kind}/") if not key.endswith("metadata.json")]
    assert len(keys) >= 20
    for key in keys:
        assert same(unpack(*OLD.get(key)), wire.array(OLD, key))


def test_the_independent_reader_reads_what_0_4_0_wrote() -> None:
    readers: dict[str, Callable[[wire.Store, str], Array]] = {
        "raw": wire.array,
        "dask": wire.dask,
        "sparse": wire.sparse,
    }
    for key, entry in EXPECTED.items():
        assert same(readers[entry["kind"]](OLD, key), ARRAYS[entry["array"]]), key


# ---------------------------------------------------------------------- there and back
def _random(dtype: Any, shape: tuple[int, ...] = (3, 4), seed: int = 1) -> Array:
    """An array of a dtype whose memory holds anything at all."""
    dtype = np.dtype(dtype)
    memory = bytearray(np.random.default_rng(seed).bytes(math.prod(shape) * dtype.itemsize))
    return np.ndarray(shape, dtype, memory)


STRUCTURED = [
    np.dtype([("a", "<f4"), ("b", ">i8")]),
    np.dtype([("a", "<f4"), ("b", "i1"), ("c", "<f8")], align=True),
    np.dtype(
        [("when", "<M8[25s]"), ("place", [("x", "<f4"), ("y", ">c16")]), ("code", "S3"), ("trace", "<i2", (2, 2))]
    ),
    np.dtype({"names": ["late", "early"], "formats": ["<i4", "<u2"], "offsets": [8, 2], "itemsize": 17}),
    np.dtype({"names": ["all", "low"], "formats": ["<u4", "<u2"], "offsets": [0, 0]}),
    np.dtype([(("the title", "name"), "<i4"), ("other", "<f4"), (("title 3", "ü \ud800"), "?")]),
    np.dtype([("é à", "<U4"), ("a,b", "<f4"), ('"quoted"', "V3"), ("", "i1")]),
    np.dtype([("deep", [("deeper", [("deepest", "<m8[ns]", (1, 3))], (2,))], (2,))]),
    np.dtype([]),
    np.zeros(3, [("x", "i4"), ("y", "f8"), ("z", "i2")])[["z", "x"]].dtype,
    np.rec.array([(1, 2.0)], dtype=[("r", "i4"), ("s", "f8")]).dtype,
]
DTYPES = [
    *"?bBhHiIlLqQefdgFDG",
    *(">i2", ">u4", ">f2", ">f8", ">c8", ">c16"),
    *("<U3", ">U2", "<U0", "S5", "S0", "V8", "V1", "V0", "V300"),
    *("<M8[D]", ">M8[ns]", "<M8[25s]", "<m8[7W]", "<M8", "<m8[as]", "<M8[us]"),
    *STRUCTURED,
]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_comes_back_as_it_went(dtype: Any, compression: str | None) -> None:
    assert_round_trip(_random(dtype), compression)


@pytest.mark.skipif(
    not hasattr(np, "dtypes") or not hasattr(np.dtypes, "StringDType"), reason="a dtype of numpy 2 shows it"
)
def test_every_kind_of_dtype_that_numpy_has_is_in_the_list() -> None:
    assert {np.dtype(dtype).type for dtype in DTYPES} >= {
        kind for kind in np.sctypeDict.values() if kind is not np.object_ and np.dtype(kind).kind != "O"
    }


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda array: array,
    "F": np.asfortranarray,
    "transposed": lambda array: array.T,
    "axes swapped": lambda array: array.swapaxes(0, 1),
    "backwards": lambda array: array[::-1],
    "columns backwards": lambda array: array[..., ::-1],
    "strided": lambda array: array[:, ::2],
    "inner": lambda array: array[1:, 1:-1],
    "a column": lambda array: array[:, 1:2],
    "a row": lambda array: array[1:2],
    "broadcast": lambda array: np.broadcast_to(array[:1], array.shape),
    "broadcast more": lambda array: np.broadcast_to(array, (2, *array.shape)),
    "0-d": lambda array: array[0, 1, 2],
    "1-d": lambda array: array[0, 1],
    "a new axis": lambda array: array[None],
    "empty": lambda array: array[:0],
    "empty inside": lambda array: array[:, :0].swapaxes(0, 2),
}


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_comes_back_as_it_went(layout: str, compression: str | None, writeable: bool) -> None:
    array = np.asarray(LAYOUTS[layout](_random("<f4", (3, 4, 5)))).view()
    if not writeable:
        array.flags.writeable = False
    assert_round_trip(array, compression)


_ANY_DTYPE = st.one_of(
    hnp.scalar_dtypes(),
    hnp.unicode_string_dtypes(max_len=4),
    hnp.byte_string_dtypes(max_len=5),
    hnp.array_dtypes(),
    hnp.nested_dtypes(max_itemsize=64),
    st.sampled_from(STRUCTURED),
)
_ANY_SHAPE = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Arrays of any dtype, shape and layout."""
    array = _random(draw(_ANY_DTYPE), draw(_ANY_SHAPE), draw(st.integers(0, 99)))
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    # the last `...` keeps what is left of a text an array: its memory may hold no text at all
    index = draw(hnp.basic_indices(array.shape, allow_newaxis=True, allow_ellipsis=False)) if array.ndim else ()
    return array[(*index, ...)] if isinstance(index, tuple) else array[index, ...]


@settings(max_examples=150, deadline=None)
@given(array=arrays(), compression=st.sampled_from(COMPRESSIONS))
def test_any_array_comes_back_as_it_went(array: Array, compression: str | None) -> None:
    assert_round_trip(array, compression)


# ---------------------------------------------------------------------- memory
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", ["<f8", "<M8[s]", "V7", "g", STRUCTURED[1], STRUCTURED[2]], ids=str)
def test_a_contiguous_array_is_not_copied(dtype: Any, compression: str | None) -> None:
    array = _random(dtype, (4, 5))
    for variant in (array, array[1:3], array[2], array[:1], array[3, 2, ...], array.reshape(2, 10)):
        description, view = describe(variant, compression)
        assert description.order == "C"
        assert np.frombuffer(view, np.uint8).ctypes.data == variant.ctypes.data
        assert view.format == "B"
        assert view.nbytes == len(view) == variant.nbytes


@pytest.mark.parametrize(("compression", "copied"), [(None, False), ("gzip", False), ("Zstd", True), ("Blosc", True)])
def test_a_fortran_array_goes_as_it_lies_where_0_4_0_reads_that(compression: str | None, copied: bool) -> None:
    array = np.asfortranarray(_random("<M8[s]", (4, 5, 3)))
    description, view = describe(array, compression)
    assert description.order == ("C" if copied else "F")
    assert (np.frombuffer(view, np.uint8).ctypes.data != array.ctypes.data) == copied


def test_a_memory_map_is_not_read(tmp_path: Any) -> None:
    array = np.memmap(tmp_path / "map", "<f8", "w+", shape=(1000, 100))
    _, view = describe(array, None)
    assert np.frombuffer(view, np.uint8).ctypes.data == array.ctypes.data


def test_the_view_keeps_the_memory_alive() -> None:
    _, view = describe(np.arange(1000)[::2], None)
    assert np.frombuffer(view, int).tolist() == list(range(0, 1000, 2))


# ---------------------------------------------------------------------- what has no bytes of its own
@pytest.mark.parametrize(
    "array",
    [
        np.array([None, 1]),
        np.array([], object),
        np.zeros(2, [("a", "f4"), ("b", [("c", "O")])]),
        np.zeros(2, [("a", "O", (2,))]),
    ],
    ids=["objects", "empty", "nested", "sub-array"],
)
def test_objects_are_refused_with_what_to_do_instead(array: Array) -> None:
    with pytest.raises(UnsupportedArray, match="upload_pickle"):
        describe(array, "gzip")


def test_a_dtype_that_would_come_back_as_another_is_refused() -> None:
    halves = np.dtype((np.int32, {"low": (np.int16, 0), "high": (np.int16, 2)}))
    with pytest.raises(UnsupportedArray, match="view"):
        describe(np.zeros(3, halves), None)
    title = np.dtype({"names": ["a"], "formats": ["f4"], "titles": [b"bytes"]})
    with pytest.raises(UnsupportedArray, match="described"):
        describe(np.zeros(3, title), None)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UnknownCodec, match="lzma"):
        describe(np.zeros(3), "lzma")


# ---------------------------------------------------------------------- what is written
@pytest.mark.parametrize(
    ("array", "compression", "metadata"),
    [
        (np.zeros((2, 3)), None, {"dtype": "<f8", "shape": "2,3", "compression": "False", "order": "C"}),
        (np.zeros(3, ">i4"), "GZIP", {"dtype": ">i4", "shape": "3", "compression": "gzip", "order": "C"}),
        (np.zeros((2, 3), "?", "F"), "gzip", {"dtype": "|b1", "shape": "2,3", "compression": "gzip", "order": "F"}),
        (np.zeros((2, 3), "<U4", "F"), "zstd", {"dtype": "<U4", "shape": "2,3", "compression": "Zstd", "order": "C"}),
        (np.zeros((), "<M8[D]"), "lz4", {"dtype": "<M8[D]", "shape": "", "compression": "LZ4", "order": "C"}),
        (np.zeros((0, 3)), "Zstd", {"dtype": "<f8", "shape": "0,3", "compression": "False", "order": "C"}),
        (np.zeros((1, 3), order="F"), None, {"dtype": "<f8", "shape": "1,3", "compression": "False", "order": "C"}),
        (
            np.zeros(2, STRUCTURED[1]),
            "BZ2",
            {
                "dtype": "|V16",
                "shape": "2",
                "compression": "BZ2",
                "order": "C",
                "descr": '{"size":16,"fields":[["a",0,"<f4"],["b",4,"|i1"],["c",8,"<f8"]]}',
            },
        ),
    ],
)
def test_the_metadata_is_as_documented(array: Array, compression: str | None, metadata: dict[str, str]) -> None:
    assert describe(array, compression)[0].metadata() == metadata
    assert set(metadata) <= arrayformat.RESERVED_KEYS


def test_forty_fields_fit_into_the_metadata_of_s3() -> None:
    dtype = np.dtype([(f"channel_{number:02d}", "<f4") for number in range(40)])
    metadata = describe(np.zeros(2, dtype), "gzip")[0].metadata()
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    assert sum(len(key) + len(value) for key, value in metadata.items()) < 2048


# ---------------------------------------------------------------------- what is read
def read(size: int = 24, **metadata: Any) -> ArrayDescription:
    return ArrayDescription.from_metadata(metadata, size, WHERE)


@pytest.mark.parametrize(
    ("metadata", "compression", "order"),
    [
        ({"compression": "False"}, None, "C"),
        ({"compression": "None"}, None, "C"),
        ({"compression": "none"}, None, "C"),
        ({"compression": "FALSE"}, None, "C"),
        ({}, None, "C"),
        ({"gzip": "False"}, None, "C"),
        ({"gzip": "True"}, "gzip", "C"),
        ({"GZip": "true", "Order": "f"}, "gzip", "F"),
        ({"gzip": "True", "compression": "False"}, None, "C"),
        ({"compression": "ZSTD", "order": "c"}, "Zstd", "C"),
        ({"Compression": "lz4"}, "LZ4", "C"),
        # as 0.4.0 writes read-only arrays, whose bytes run in C order, and as it reads them
        ({"compression": "Zstd", "order": "F"}, "Zstd", "C"),
        ({"compression": "Blosc", "order": "F"}, "Blosc", "C"),
        ({"compression": "Zstd-blocks", "order": "F"}, "Zstd-blocks", "F"),
        ({"descr": "bold, detrended"}, None, "C"),  # a caller's own word
        ({"compression": "False", "Content-Type": "x", "version": "1"}, None, "C"),
    ],
)
def test_old_and_changed_metadata_is_understood(metadata: dict[str, str], compression: str | None, order: str) -> None:
    description = read(DType="<f8", SHAPE="3", **metadata)
    assert description == ArrayDescription(np.dtype("<f8"), (3,), order, compression)
    assert description.nbytes == 24


def test_a_lost_empty_shape_is_that_of_a_0_d_array() -> None:
    # SeaweedFS drops a key whose value is empty
    assert read(8, dtype="<f8", compression="False", order="C").shape == ()


@pytest.mark.parametrize("metadata", [{}, {"shape": "3"}, {"dtype": ""}, {"compression": "gzip", "order": "C"}])
def test_an_object_that_is_no_raw_array(metadata: dict[str, str]) -> None:
    with pytest.raises(
        CorruptObject, match=r"object 'a' in local container 'b': .*download_object or download_npy_arr"
    ):
        read(**metadata)


LIES: dict[str, dict[str, Any]] = {
    "a negative length": {"shape": "-3"},
    "an enormous shape": {"shape": "9" * 5000},
    "a product over 2**63": {"shape": "4294967296,4294967296"},
    "that, and empty": {"shape": "0,4294967296,4294967296", "size": 0},
    "no number": {"shape": "3,x"},
    "a comma too many": {"shape": "3,"},
    "an axis that is no number": {"shape": "3,,1"},
    "brackets": {"shape": "(3,)"},
    "other digits": {"shape": "٣"},
    "a sign": {"shape": "+3"},
    "65 dimensions": {"shape": ",".join(["1"] * 65), "size": 8},
    "too few bytes": {"size": 23},
    "too many bytes": {"size": 25},
    "no bytes": {"size": 0},
    "a bomb": {"shape": "1000000000000", "compression": "gzip", "size": 100},
    "another": {"shape": "100000000", "compression": "Zstd", "size": 100},
    "a third": {"compression": "BZ2", "size": 0},
    "an unknown dtype": {"dtype": "<f3"},
    "objects by name": {"dtype": "object"},
    "text of any width": {"dtype": "StringDType()"},
    "several dtypes": {"dtype": "<f4,<f4"},
    "a sub-array": {"dtype": "(3,)<f8"},
    "an expression": {"dtype": "__import__('os').system('true')"},
    "an old spelling": {"dtype": "|a8"},
    "a unit without a time": {"dtype": "<f8[s]"},
    "an unknown unit": {"dtype": "<M8[parsec]"},
    "an enormous item": {"dtype": "|V4294967304", "shape": "3"},
    "an enormous text": {"dtype": "<U1073741826", "shape": "3"},
    "an unknown order": {"order": "K"},
    "no JSON": {"dtype": "|V8", "descr": "{"},
    "deep JSON": {"dtype": "|V8", "descr": "[" * 100_000},
    "deep JSON that closes": {"dtype": "|V8", "descr": "[" * 900 + "]" * 900},
    "fields of another size": {"dtype": "|V8", "descr": '{"size":4,"fields":[["a",0,"<f4"]]}'},
    "fields with objects": {"dtype": "|V8", "descr": '{"size":8,"fields":[["a",0,"|O"]]}'},
    "fields that are none": {"dtype": "|V8", "descr": '"<f8"'},
    "fields out of bounds": {"dtype": "|V8", "descr": '{"size":8,"fields":[["a",4,"<f8"]]}'},
    "a negative offset": {"dtype": "|V8", "descr": '{"size":8,"fields":[["a",-4,"<f4"]]}'},
    "an offset that is no int": {"dtype": "|V8", "descr": '{"size":8,"fields":[["a",0.0,"<f4"]]}'},
    "a field twice": {"dtype": "|V8", "descr": '{"size":8,"fields":[["a",0,"<f4"],["a",4,"<f4"]]}'},
    "an enormous sub-array": {"dtype": "|V8", "descr": '{"size":8,"fields":[["a",0,["<f4",[65536,65536]]]]}'},
    "a top sub-array": {"dtype": "|V8", "descr": '["<f4",[2]]'},
    "null": {"dtype": "|V8", "descr": '{"size":8,"fields":null}'},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_metadata_that_lies_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(CorruptObject, match=r"^object 'a' in local container 'b': "):
        read(**{"dtype": "<f8", "shape": "3", "compression": "False", "order": "C", **lie})


@pytest.mark.parametrize("dtype", ["|O", "|O8", "<O4"])
def test_objects_that_an_old_release_lost_are_told_from_junk(dtype: str) -> None:
    with pytest.raises(
        UnsupportedArray, match=r"^object 'a' in local container 'b': .*0\.4\.0 stored where.*upload_pickle"
    ):
        read(dtype=dtype, shape="3", compression="False", order="C")


def test_an_unknown_codec_names_the_object() -> None:
    with pytest.raises(UnknownCodec, match=r"^object 'a' in local container 'b': no codec 'lzma'"):
        read(dtype="<f8", shape="3", compression="lzma")


def test_a_longdouble_of_another_platform_is_told_from_junk() -> None:
    other = "<f12" if np.dtype(np.longdouble).itemsize != 12 else "<f16"
    with pytest.raises(UnsupportedArray, match=r"^object 'a' .* platform"):
        read(dtype=other, shape="3")
    size = int(other[2:])
    with pytest.raises(UnsupportedArray, match=r"^object 'a' .* platform"):
        read(dtype=f"|V{size}", shape="3", descr=json.dumps({"size": size, "fields": [["x", 0, other]]}))


# ---------------------------------------------------------------------- fuzz
_NUMBERS = st.one_of(
    st.integers(-2, 20), st.sampled_from([2**31 - 1, 2**31, 2**63, 10**30]), st.floats(), st.booleans()
)
_KINDS = st.sampled_from(["<f8", "|V8", "<U2", "|O", "|S0", ">M8[s]", "<c8", "|V0", "f4"])
_DESCR = st.recursive(
    st.one_of(st.none(), _NUMBERS, _KINDS, st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, st.lists(_NUMBERS, max_size=3)),
        st.fixed_dictionaries(
            {
                "size": _NUMBERS,
                "fields": st.lists(
                    st.tuples(st.text(max_size=2), st.integers(-1, 20), inner, st.text(max_size=1)), max_size=3
                ),
            }
        ),
    ),
    max_leaves=8,
).map(json.dumps)
_VALUES = {
    "dtype": st.one_of(
        st.builds(
            "{}{}{}{}".format,
            st.sampled_from(["<", ">", "|", "=", ""]),
            st.sampled_from(string.ascii_letters + "?"),
            st.one_of(st.integers(0, 40), st.integers(), st.just("")),
            st.sampled_from(["", "[s]", "[25us]", "[D/3]", "[9999999999D]", "[μs]", "[]"]),
        ),
        st.text(),
    ),
    "shape": st.one_of(
        st.lists(st.integers(-1, 5) | st.integers(), max_size=40).map(lambda n: ",".join(map(str, n))), st.text()
    ),
    "compression": st.one_of(st.sampled_from(["False", "None", *(name or "" for name in COMPRESSIONS)]), st.text()),
    "order": st.one_of(st.sampled_from("CFcf"), st.text()),
    "gzip": st.one_of(st.sampled_from(["True", "False"]), st.text()),
    "descr": st.one_of(_DESCR, st.text()),
}


@settings(max_examples=400, deadline=None)
@given(metadata=st.fixed_dictionaries({}, optional=_VALUES), size=st.one_of(st.integers(0, 300), st.integers(0, 2**50)))
def test_no_metadata_raises_anything_else(metadata: dict[str, str], size: int) -> None:
    try:
        description = ArrayDescription.from_metadata(metadata, size, WHERE)
    except CottonCandyError as error:
        assert str(error).startswith(WHERE)  # noqa: PT017 - most metadata is junk, some is not
        return
    assert not description.dtype.hasobject
    assert description.nbytes <= size * 2**21
    if description.nbytes < 2**20:
        array, view = allocate(description)
        assert (array.shape, array.dtype, array.nbytes) == (description.shape, description.dtype, len(view))


@settings(max_examples=200, deadline=None)
@given(descr=_DESCR, size=st.integers(0, 40))
def test_no_descr_raises_anything_else(descr: str, size: int) -> None:
    try:
        dtype = dtypes.parse_dtype(f"|V{size}", json.loads(descr))
    except CottonCandyError:
        return
    assert dtype.itemsize == size
    assert not dtype.hasobject
    dtypes.check_dtype(dtype)

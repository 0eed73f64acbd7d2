"""Arrays of every kind, and what it means that one came back as it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stores import Store

_RANDOM = np.random.default_rng(20240601)

_NESTED = np.dtype(
    [("when", "<M8[s]"), ("place", [("x", "<f4"), ("y", ">f4")]), ("code", "S3"), ("trace", "<i2", (2, 2))]
)
_ALIGNED = np.dtype([("flag", "?"), ("value", "<f8"), ("name", "<U2")], align=True)
_SCATTERED = np.dtype({"names": ["late", "early"], "formats": ["<i4", "<u2"], "offsets": [8, 2], "itemsize": 16})


def _numbers(dtype: str) -> np.ndarray[Any, Any]:
    return (_RANDOM.standard_normal((3, 4)) * 50).astype(dtype)


def _filled(dtype: np.dtype[Any], count: int = 5) -> np.ndarray[Any, Any]:
    """Every field of a structured array with values of its own."""
    array = np.zeros(count, dtype)
    for name in dtype.names or ():
        field = array[name]
        field[...] = (
            _filled(field.dtype, count) if field.dtype.names else np.arange(field.size).reshape(field.shape) % 2
        )
    return array


#: By dtype.
DTYPES: dict[str, np.ndarray[Any, Any]] = {
    **{code: _numbers(code) for code in ("<f2", "<f4", "<f8", ">f8", "<i2", ">i4", "<i8", "i1", "<c8", "<c16", ">c16")},
    **{code: np.abs(_numbers(code.replace("u", "i"))).astype(code) for code in ("u1", "<u2", ">u4", "<u8")},
    "extremes": np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, 5e-324, 1.8e308]),
    "bool": _numbers("<f8") > 0,
    "longdouble": _numbers("<f8").astype(np.longdouble) / 3,
    "clongdouble": _numbers("<f8").astype(np.clongdouble) / 3,
    "bytes": np.array([b"ab", b"", b"c\0d"], dtype="S4"),
    "unicode": np.array(["été", "", "𝜋\0x"], dtype="<U4"),
    "big-endian unicode": np.array(["été", "x"], dtype=">U3"),
    "void": np.frombuffer(b"0123456789", dtype="V5"),
    "datetime days": np.array(["2020-02-29", "NaT", "1815-12-10"], dtype="<M8[D]"),
    "datetime 25ns": np.arange(4).astype("<M8[25ns]"),
    "big-endian datetime": np.array(["2020-02-29T12:00"], dtype=">M8[us]"),
    "timedelta": np.array([1, -7, 0], dtype="<m8[h]"),
    "structured": _filled(np.dtype([("id", "<i4"), ("score", ">f8")])),
    "structured 2-d": _filled(np.dtype([("id", "<i4"), ("score", ">f8")]), 6).reshape(2, 3),
    "many fields": _filled(np.dtype([(f"field {number:03}", "<i2") for number in range(120)])),
    "nested": _filled(_NESTED),
    "aligned": _filled(_ALIGNED),
    "scattered offsets": _filled(_SCATTERED),
    "titles": _filled(np.dtype([(("the title", "name"), "<i4"), ("other", "<f4")])),
    "odd field names": _filled(np.dtype([("é à", "<i4"), ("a,b", "<f4"), ('"quoted"', "<i2"), ("", "i1")])),
}

_CUBE = _RANDOM.standard_normal((4, 5, 6))


def _read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array = array.copy(order="K")
    array.flags.writeable = False
    return array


#: By shape and by how they lie in memory.
LAYOUTS: dict[str, np.ndarray[Any, Any]] = {
    "0-d": np.array(3.25),
    "one": np.array([7], dtype="<i2"),
    "empty": np.empty(0),
    "empty 2-d": np.empty((0, 3), dtype="<i4"),
    "empty inside": np.empty((2, 0, 5), dtype="<f4"),
    "many axes": np.arange(2**10, dtype="<u2").reshape((2,) * 10),
    "C": _CUBE,
    "F": np.asfortranarray(_CUBE),
    "F read-only": _read_only(np.asfortranarray(_CUBE)),
    "C read-only": _read_only(_CUBE),
    "transposed": _CUBE.transpose(1, 0, 2),
    "strided": _CUBE[::2, 1::3, :],
    "negative strides": _CUBE[::-1, :, ::-1],
    "reversed 1-d": np.arange(10)[::-1],
    "broadcast": np.broadcast_to(np.arange(3, dtype="<i4"), (4, 3)),
    "unaligned": np.frombuffer(b"x" + np.arange(5, dtype="<f8").tobytes(), dtype="<f8", offset=1),
    "column": _CUBE[:, :1, :1],
    "row of F": np.asfortranarray(_CUBE[0])[:1],
    "matrix": np.arange(6).reshape(2, 3).view(np.matrix) if hasattr(np, "matrix") else np.ones((2, 3)),
    "record array": _filled(np.dtype([("id", "<i4"), ("score", ">f8")])).view(np.recarray),
    "memory of others": np.frombuffer(bytearray(b"abcdef"), dtype="u1"),
}

ALL = {**DTYPES, **LAYOUTS}


def arrays_for(store: Store) -> dict[str, np.ndarray[Any, Any]]:
    """All but what a store cannot describe in its metadata."""
    return {name: array for name, array in ALL.items() if name != "many fields" or not store.has("short-metadata")}


def assert_same(found: Any, expected: Any) -> None:
    """What came back is a writeable plain array with the values, shape and dtype of what went."""
    assert type(found) is np.ndarray
    assert found.flags.writeable
    assert_equal(found, np.asarray(expected))


def assert_equal(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    """Of the same shape and dtype, and equal bit for bit but for bytes that mean nothing."""
    plain = np.dtype((np.void, expected.dtype)) if expected.dtype.names else expected.dtype
    assert found.dtype == plain
    assert found.dtype.fields == plain.fields
    assert found.shape == expected.shape
    if expected.dtype.names:
        for name in expected.dtype.names:
            assert_equal(found[name], np.asarray(expected[name]))
    elif expected.dtype.char in "gG":
        # a longdouble has padding
        assert np.array_equal(found, expected, equal_nan=True)
    else:
        assert found.tobytes() == expected.tobytes()

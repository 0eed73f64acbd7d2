"""Arrays of text of any width, numpy 2's ``StringDType``, as bytes and back. No I/O.

The bytes are the length of each item (``<i4``, in bytes of UTF-8; -1 where it is missing), in C order, and then the
texts, one behind the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy.errors import CorruptObject, UnsupportedArray

__all__ = ["LENGTH", "NAME", "descr_of", "is_text", "pack", "parse_dtype", "unpack"]

Array = npt.NDArray[Any]

#: What stands for the dtype in metadata: no numpy takes it for one of its own.
NAME = "StringDType"
#: The type of a length.
LENGTH = np.dtype("<i4")
# What it is of a missing item.
_MISSING = -1
# Items that are Python's texts at a time: they take some 60 bytes each beside their characters.
_SLAB = 2**16
_NOTHING = object()


def is_text(dtype: np.dtype[Any]) -> bool:
    """Whether it is text of any width."""
    return dtype.kind == "T"


def descr_of(dtype: Any) -> dict[str, Any] | None:
    """What distinguishes it from a plain ``StringDType()``, as what JSON can hold; None where nothing does.

    Raises
    ------
    UnsupportedArray
        If a missing item is an object that cannot be described.
    """
    missing = getattr(dtype, "na_object", _NOTHING)
    descr: dict[str, Any] = {} if dtype.coerce else {"coerce": False}
    if isinstance(missing, str):
        descr["na_text"] = missing
    elif missing is None or (isinstance(missing, float) and math.isnan(missing)):
        descr["na"] = str(missing)
    elif missing is not _NOTHING:
        raise UnsupportedArray(
            f"dtype {dtype!r}: of missing items None, nan and a text can be stored: "
            "use array.astype(np.dtypes.StringDType(na_object=None))"
        )
    return descr or None


def parse_dtype(descr: Any) -> np.dtype[Any]:
    """The dtype of what `descr_of` gave.

    Raises
    ------
    CorruptObject
    UnsupportedArray
        If this numpy has no such dtype.
    """
    make: Any = getattr(getattr(np, "dtypes", None), "StringDType", None)
    if make is None:
        raise UnsupportedArray(f"text of any width is read with numpy 2 or later, and this is {np.__version__}")
    descr = {} if descr is None else descr
    if not isinstance(descr, dict) or not descr.keys() <= {"coerce", "na", "na_text"}:
        raise CorruptObject(f"descr {descr!r:.100} describes no text of any width")
    return make(coerce=descr.get("coerce", True) is not False, **_missing(descr))  # type: ignore[no-any-return]


def _missing(descr: Mapping[str, Any]) -> dict[str, Any]:
    if "na_text" in descr:
        return {"na_object": str(descr["na_text"])}
    known = {"None": None, "nan": math.nan}
    if "na" not in descr:
        return {}
    if descr["na"] not in known:
        raise CorruptObject(f"{descr['na']!r:.100} is no missing item")
    return {"na_object": known[descr["na"]]}


def pack(array: Array) -> memoryview:
    """The bytes of an array of text.

    Raises
    ------
    UnsupportedArray
        If an item has 2 GiB or more.
    """
    body = bytearray(array.size * LENGTH.itemsize)
    lengths = np.empty(array.size, LENGTH)
    items = array.reshape(-1)
    for slab in _slabs(array.size):
        texts = [item.encode() if isinstance(item, str) else None for item in items[slab].tolist()]
        try:
            lengths[slab] = [_MISSING if text is None else len(text) for text in texts]
        except OverflowError:
            reason = (
                "no text in an array may have 2 GiB or more: cut it, or give it an object of its own (upload_object)"
            )
            raise UnsupportedArray(reason) from None
        body += b"".join(filter(None, texts))
    body[: lengths.nbytes] = lengths.tobytes()
    return memoryview(body)


def unpack(body: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """The array of text that these bytes hold.

    Raises
    ------
    CorruptObject
    """
    count = math.prod(shape)
    array: Array = np.empty(shape, dtype)
    lengths = body[: count * LENGTH.itemsize].view(LENGTH).astype(np.int64)
    missing = getattr(dtype, "na_object", _NOTHING)
    lowest = 0 if missing is _NOTHING or isinstance(missing, str) else _MISSING
    ends = np.cumsum(np.maximum(lengths, 0))
    text = body[lengths.size * LENGTH.itemsize :].data
    if (count and int(lengths.min()) < lowest) or int(ends[-1] if count else 0) != len(text):
        raise CorruptObject("its texts have other lengths than it tells")
    starts, items = ends - np.maximum(lengths, 0), array.reshape(-1)
    try:
        for slab in _slabs(count):
            places = zip(lengths[slab].tolist(), starts[slab].tolist(), ends[slab].tolist(), strict=True)
            items[slab] = [
                missing if length == _MISSING else str(text[start:stop], "utf-8") for length, start, stop in places
            ]
    except UnicodeDecodeError as error:
        raise CorruptObject(f"its texts are no UTF-8: {error}") from error
    return array


def _slabs(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _SLAB, count)) for start in range(0, count, _SLAB))

"""numpy's dtypes as text and JSON, and back. No I/O."""

from __future__ import annotations

import json
import re
import reprlib
from functools import lru_cache
from typing import Any

import numpy as np

from cottoncandy import stringarrays
from cottoncandy.errors import CorruptObject, UnsupportedArray

__all__ = ["LONGEST", "Dtype", "check_dtype", "descr_of", "parse_dtype", "text_of"]

Dtype = np.dtype[Any]

# what `dtype.str` gives, but for objects; the size is in characters for U and in bytes for all others
_DTYPE = re.compile(r"[<>|=](?P<kind>[biufcmMSUV])(?P<size>[0-9]{1,10})(?P<unit>\[([1-9][0-9]{0,8})?[A-Za-zμ]{1,7}\])?")
# numpy's own bound: an itemsize is a C int
_LARGEST_ITEM = 2**31 - 1
#: Characters of the text that tells of a dtype's fields. No longer one is read: it would take memory and time.
LONGEST = 2**20
# of Python's objects; numpy's oldest releases told the bytes of an address
_OBJECTS = re.compile(r"[<>|=]O[48]?")
_ADDRESSES = (
    "an array of Python objects, of which release 0.4.0 stored where they lay in memory, not what they were: nothing "
    "can be read from it. Make it anew, and store numbers, text (astype('U')), or upload_pickle"
)


@lru_cache
def check_dtype(dtype: Dtype) -> None:
    """Refuse a dtype whose arrays hold no bytes of their own, or that cannot be described.

    Raises
    ------
    UnsupportedArray
        With what to do instead.
    """
    if stringarrays.is_text(dtype):
        text_of(dtype)
        return
    if dtype.hasobject:
        raise UnsupportedArray(
            f"dtype {dtype} holds references to Python objects, not bytes: convert the array to numbers, "
            "to text (astype('U'), or numpy 2's astype(np.dtypes.StringDType())) or to a structured dtype, "
            "or use upload_pickle"
        )
    text = text_of(dtype)
    try:
        described = parse_dtype(dtype.str, None if text is None else json.loads(text))
    except (CorruptObject, TypeError) as error:
        raise UnsupportedArray(f"dtype {dtype} cannot be described: {error}") from error
    if described != dtype:
        raise UnsupportedArray(
            f"dtype {dtype} is not numpy's own, and would come back as {described}: upload a view of it, "
            "as array.view('u2'), and view it again after the download"
        )


def descr_of(dtype: Dtype) -> Any:
    """The fields of a structured dtype as what JSON can hold; None for a plain dtype, which `dtype.str` tells whole.

    A type is a plain dtype's string, or ``[type, shape]`` for a sub-array, or ``{"size": bytes, "fields": [...]}``
    with a ``[name, offset, type]`` or ``[name, offset, type, title]`` for each field. numpy's own ``descr`` knows no
    fields out of order.
    """
    if stringarrays.is_text(dtype):
        return stringarrays.descr_of(dtype)
    return _to_json(dtype) if dtype.names is not None else None


def text_of(dtype: Dtype) -> str | None:
    """What `descr_of` gives, as the text that is stored.

    Raises
    ------
    UnsupportedArray
        If it is longer than any that is read, or a title is none that JSON can hold.
    """
    descr = descr_of(dtype)
    if descr is None:
        return None
    try:
        text = json.dumps(descr, separators=(",", ":"))
    except TypeError as error:
        raise UnsupportedArray(f"dtype {dtype} cannot be described: {error}") from error
    if len(text) > LONGEST:  # the dtype itself would make a message as long
        raise UnsupportedArray(
            f"a dtype of {len(dtype.names or ())} fields, which {len(text)} characters describe; {LONGEST} are the "
            "most that is read again: have fewer fields, of several items each, or use upload_pickle"
        )
    return text


def _to_json(dtype: Dtype) -> Any:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_to_json(base), list(shape)]
    if dtype.names is None or dtype.fields is None:
        return dtype.str
    fields = [(name, dtype.fields[name]) for name in dtype.names]
    return {
        "size": dtype.itemsize,
        "fields": [[name, field[1], _to_json(field[0]), *field[2:]] for name, field in fields],
    }


def parse_dtype(text: str, descr: Any = None) -> Dtype:
    """The dtype of a ``dtype.str`` and, for a structured one, of what `descr_of` gave.

    Nothing is evaluated, and no dtype with objects comes out.

    Raises
    ------
    CorruptObject
    UnsupportedArray
        For a dtype that this platform does not have, or of objects.
    """
    if text == stringarrays.NAME:
        return stringarrays.parse_dtype(descr)
    if descr is None:
        if isinstance(text, str) and _OBJECTS.fullmatch(text):
            raise UnsupportedArray(_ADDRESSES)
        return _plain_dtype(text)
    try:
        dtype = _from_json(descr)
    except UnsupportedArray:
        raise  # a field's dtype is another platform's
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError, MemoryError) as error:
        raise CorruptObject(f"descr {reprlib.repr(descr)} describes no dtype: {error}") from error
    if dtype.names is None or dtype.itemsize != _plain_dtype(text).itemsize:
        raise CorruptObject(f"descr {reprlib.repr(descr)} does not fit dtype {text!r:.100}")
    return dtype


def _plain_dtype(text: str) -> Dtype:
    match = _DTYPE.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match["size"]) > _LARGEST_ITEM:
        raise CorruptObject(f"{text!r:.100} is no numpy dtype")
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, OverflowError) as error:
        raise _unknown_dtype(text, match) from error
    if dtype.itemsize != int(match["size"]) * (4 if match["kind"] == "U" else 1):
        raise CorruptObject(f"{text!r} is no numpy dtype")
    return dtype


def _unknown_dtype(text: str, match: re.Match[str]) -> Exception:
    if match["kind"] in "fc" and int(match["size"]) in {12, 16, 24, 32}:
        return UnsupportedArray(
            f"numpy has no dtype {text!r} on this platform (longdouble differs from one to another): "
            "read the array on a platform like that which wrote it"
        )
    return CorruptObject(f"{text!r} is no numpy dtype")


def _from_json(descr: Any) -> Dtype:
    if isinstance(descr, list):
        base, shape = descr
        return np.dtype((_from_json(base), tuple(_count(length) for length in shape)))
    if not isinstance(descr, dict):
        return _plain_dtype(descr)
    names, offsets, formats, titles = [], [], [], []
    for name, offset, descr_of_field, *title in descr["fields"]:
        names.append(name)
        offsets.append(_count(offset))
        formats.append(_from_json(descr_of_field))
        titles.append(title[0] if title else None)
    layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": _count(descr["size"])}
    return np.dtype({**layout, "titles": titles} if any(titles) else layout)  # type: ignore[call-overload, no-any-return]


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_ITEM:
        raise ValueError(f"{value!r:.50} is no length")
    return value

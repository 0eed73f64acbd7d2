"""What the metadata of a raw array tells: written, and read and checked as far as that needs no bytes."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cottoncandy import checksums, codecs, stringarrays
from cottoncandy.dtypes import LONGEST, Dtype, parse_dtype, text_of
from cottoncandy.errors import ChecksumMismatch, CorruptObject, NotAnArray, UnknownCodec, UnsupportedArray

__all__ = ["RESERVED_KEYS", "ArrayDescription", "add_description_checksum", "is_array", "lowered", "read_checksum"]

# The metadata keys that describe an array, in lower case. `descr` and `utf8` are ours; `gzip` is from the oldest
# releases.
_KEYS = ("dtype", "shape", "compression", "order", "gzip", "descr", "utf8")
# The checksum of what describes an array, and what it is of, in this order: a bit that turned in there would give
# other numbers of the right bytes.
_SUM = "xxh3-description"
_SUMMED = ("dtype", "shape", "compression", "order", "descr", "utf8", checksums.KEY)
RESERVED_KEYS = frozenset({*_KEYS, checksums.KEY, _SUM})

_NOT_COMPRESSED = {"false", "none", ""}
_LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)
_SHAPE = re.compile(r"[0-9]{1,19}(,[0-9]{1,19})*", re.ASCII)
# numpy's own bound: the bytes of an array are a C ssize_t
_LARGEST_ARRAY = 2**63 - 1
# Characters of the description of a dtype: longer ones are packed.
_LONG = 1000
# What zlib begins with, at its best, in base64.
_PACKED = re.compile(r"eN[o-r][A-Za-z0-9+/]+={0,2}")


#: How the items of an array run: the last axis the fastest, or the first.
Order = Literal["C", "F"]


class Lowered(dict[str, str]):
    """Metadata with keys in lower case."""


def lowered(metadata: Mapping[str, str]) -> Lowered:
    """Metadata with keys in lower case, in which they are compared: servers change it."""
    if isinstance(metadata, Lowered):
        return metadata
    return Lowered(zip(_lower(tuple(metadata)), map(str.strip, map(str, metadata.values())), strict=True))


# objects that are read one after the other have few different ones
@lru_cache(maxsize=256)
def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([name.lower() for name in names])


def is_array(metadata: Mapping[str, str]) -> bool:
    """Whether an object's metadata tell of a raw array; whether they make sense is looked at when it is read."""
    return bool(lowered(metadata).get("dtype"))


def read_checksum(metadata: Mapping[str, str], where: str) -> str | None:
    """The checksum that stands in an object's metadata; None where there is none.

    Raises
    ------
    CorruptObject
        Naming ``where``, if what stands there is no checksum.
    """
    try:
        return checksums.parse(lowered(metadata).get(checksums.KEY))
    except CorruptObject as error:
        raise CorruptObject(f"{where}: {error}") from None


def add_description_checksum(metadata: dict[str, str]) -> None:
    """Put the checksum of what describes an array to it, all of which is there already."""
    metadata[_SUM] = _description_checksum(metadata)


def _description_checksum(metadata: Mapping[str, str]) -> str:
    # a store may drop what is empty, which therefore is the same as what is missing
    texts = [metadata.get(key) or "" for key in _SUMMED]
    return checksums.of_texts([*texts[:-1], texts[-1].lower()])  # that one is read in whatever case


def _check_description(metadata: Lowered, where: str) -> None:
    told = metadata.get(_SUM)
    if told is not None and told.lower() != _description_checksum(metadata):
        raise ChecksumMismatch(f"{where}: its metadata, which describe the array, are not those that were stored")


@dataclass(frozen=True, slots=True)
class ArrayDescription:
    """What the metadata of a raw array tells.

    Attributes
    ----------
    dtype : numpy.dtype
    shape : tuple of int
    order : str
        ``'C'`` or ``'F'``: the order in which the stored bytes run.
    compression : str or None
        The codec's name; None for bytes as they are.
    utf8 : int or None
        Of text of any width, the bytes that `stringarrays.pack` makes of it; None for all dtypes of a fixed width.
    """

    dtype: Dtype
    shape: tuple[int, ...]
    order: Order
    compression: str | None
    utf8: int | None = None

    @property
    def nbytes(self) -> int:
        """How many bytes the array has, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize if self.utf8 is None else self.utf8

    @property
    def stored(self) -> ArrayDescription:
        """The array of a fixed width that is stored: itself, or the bytes of its text."""
        if self.utf8 is None:
            return self
        return ArrayDescription(np.dtype(np.uint8), (self.utf8,), "C", self.compression)

    def from_stored(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array itself, of the array that was stored.

        Raises
        ------
        CorruptObject
        """
        return stored if self.utf8 is None else stringarrays.unpack(stored, self.shape, self.dtype)

    def metadata(self) -> dict[str, str]:
        """The metadata to store."""
        name = self.dtype.str if self.utf8 is None else stringarrays.NAME
        metadata = _plain_metadata(name, self.shape, self.compression, self.order).copy()
        if self.utf8 is None and self.dtype.names is None:
            return metadata
        descr = text_of(self.dtype)
        if descr is not None:
            metadata["descr"] = _pack(descr)
        if self.utf8 is not None:
            metadata["utf8"] = str(self.utf8)
        return metadata

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], size: int, where: str) -> ArrayDescription:
        """Read the metadata of a stored array, and check it as far as that needs no bytes.

        Parameters
        ----------
        metadata : Mapping of str to str
            Keys in whatever case.
        size : int
            Bytes of the stored object.
        where : str
            How an error names the object.

        Raises
        ------
        NotAnArray
            If the object is no raw array.
        CorruptObject
            If it contradicts itself, or does not fit its size.
        ChecksumMismatch
            If it is not what was stored.
        UnknownCodec
        UnsupportedArray
            If it holds a dtype that this platform does not have.
        """
        metadata = lowered(metadata)
        texts = tuple(map(metadata.get, _KEYS))
        if max(map(len, filter(None, texts)), default=0) > LONGEST:
            raise CorruptObject(f"{where}: its description has more than {LONGEST} characters")
        _check_description(metadata, where)
        try:
            return _read(texts, size)
        except (CorruptObject, UnsupportedArray, UnknownCodec) as error:
            raise type(error)(f"{where}: {error}") from error


# thousands of small arrays have few descriptions
@lru_cache
def _plain_metadata(dtype: str, shape: tuple[int, ...], compression: str | None, order: str) -> dict[str, str]:
    return {
        "dtype": dtype,
        "shape": ",".join(map(str, shape)),
        "compression": compression or "False",
        "order": order,
    }


@lru_cache
def _read(texts: tuple[str | None, ...], size: int) -> ArrayDescription:
    known = {key: text for key, text in zip(_KEYS, texts, strict=True) if text is not None}
    dtype, codec = _read_dtype(known), _read_codec(known)
    description = ArrayDescription(
        dtype, _read_shape(known), _read_order(known, codec), codec, _read_utf8(known, dtype)
    )
    _check_size(description, size)
    return description


def _read_dtype(metadata: Mapping[str, str]) -> Dtype:
    if not metadata.get("dtype"):
        raise NotAnArray("this is no raw array: its metadata has no dtype (use download_object or download_npy_array)")
    text = metadata["dtype"]
    # beside another dtype it is a caller's word, of a release that did not know ours
    is_ours = text.startswith("|V") or text == stringarrays.NAME
    return _parse_texts(text, metadata.get("descr") if is_ours else None)


@lru_cache
def _parse_texts(text: str, descr: str | None) -> Dtype:
    try:
        fields = None if descr is None else json.loads(_unpack(descr))
    except (ValueError, RecursionError, zlib.error) as error:
        raise CorruptObject(f"descr {descr!r:.200} is no JSON") from error
    return parse_dtype(text, fields)


def _pack(text: str) -> str:
    """A long text in fewer characters, all ASCII: stores take about 2,000 of metadata in all."""
    if len(text) <= _LONG:
        return text
    # of names without any pattern it has more characters, and might be longer than what is read
    return min(text, base64.b64encode(zlib.compress(text.encode(), 9)).decode(), key=len)


def _unpack(text: str) -> str:
    if not _PACKED.fullmatch(text):
        return text
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(base64.b64decode(text), LONGEST)
    if not unpacking.eof:
        raise ValueError("it is cut off, or longer than any dtype")
    return unpacked.decode()


def _read_shape(metadata: Mapping[str, str]) -> tuple[int, ...]:
    # a store may drop an empty value: a missing shape is that of a 0-d array
    text = metadata.get("shape", "")
    if not text:
        return ()
    if _SHAPE.fullmatch(text) is None:
        raise CorruptObject(f"{text!r:.200} is no shape")
    return tuple(map(int, text.split(",")))


def _read_order(metadata: Mapping[str, str], codec: str | None) -> Order:
    """The order in which the bytes run.

    0.4.0 takes notice of it where a body is gzip or not compressed. With another codec the bytes run in C order
    whatever it says: it says ``F`` of read-only arrays, which all are that 0.4.0 has downloaded through such a codec.
    """
    order = metadata.get("order", "C").upper()
    if order not in {"C", "F"}:
        raise CorruptObject(f"order is {order!r:.50}, neither 'C' nor 'F'")
    return "F" if order == "F" and (codec is None or codecs.get_codec(codec).fortran) else "C"


def _read_codec(metadata: Mapping[str, str]) -> str | None:
    name = metadata.get("compression")
    if name is None:
        return "gzip" if metadata.get("gzip", "").lower() == "true" else None
    return None if name.lower() in _NOT_COMPRESSED else codecs.get_codec(name).name


def _read_utf8(metadata: Mapping[str, str], dtype: Dtype) -> int | None:
    if not stringarrays.is_text(dtype):
        return None
    text = metadata.get("utf8", "")
    if _LENGTH.fullmatch(text) is None:
        raise CorruptObject(f"utf8 is {text!r:.50}, and no number of bytes")
    return int(text)


def _check_size(description: ArrayDescription, size: int) -> None:
    """Refuse what cannot be, before memory is allocated for it."""
    try:
        np.ndarray((0,) * len(description.shape), np.uint8)
    except ValueError as error:
        raise CorruptObject(f"numpy has no arrays of {len(description.shape)} dimensions") from error
    # numpy leaves out the empty axes when it looks whether a shape is too large
    if math.prod(length or 1 for length in description.shape) * (description.dtype.itemsize or 1) > _LARGEST_ARRAY:
        raise CorruptObject(f"an array of shape {description.shape} and dtype {description.dtype} cannot be")
    if description.utf8 is not None and description.utf8 < math.prod(description.shape) * stringarrays.LENGTH.itemsize:
        raise CorruptObject(f"{description.utf8} bytes are too few for texts of shape {description.shape}")
    if description.compression is None:
        fits, most = size == description.nbytes, size
    else:
        expansion = codecs.get_codec(description.compression).expansion
        most = description.nbytes if expansion is None else size * expansion
        fits = description.nbytes <= most
    if not fits:
        raise CorruptObject(
            f"its metadata tells of {description.nbytes} bytes (shape {description.shape}, dtype {description.dtype}), "
            f"and it holds {'' if description.compression is None else 'at most '}{most}"
        )

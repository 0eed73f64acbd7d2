"""The bytes of a raw array: where they lie in memory, on their way up and down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy import codecs, stringarrays
from cottoncandy.arrayformat.metadata import ArrayDescription, Order
from cottoncandy.dtypes import check_dtype
from cottoncandy.scattered import Bytes, Scattered

__all__ = ["allocate", "array_in", "bytes_of", "describe", "laid_out"]

Array = npt.NDArray[Any]

#: Of dtypes whose memory Python itself sees as bytes.
_CASTS = frozenset("?bBhHiIlLqQfd")
# Bytes: so many are copied before they are sent, where they do not lie in the stored order.
_GATHERED_AT_ONCE = 16 * 2**20


def describe(array: Array, compression: str | None) -> tuple[ArrayDescription, Bytes]:
    """What to store of an array.

    Parameters
    ----------
    array : numpy.ndarray
        Of no subclass.
    compression : str or None
        A codec's name.

    Returns
    -------
    ArrayDescription
        Its `compression` may be another than was asked for: None for an empty array, which 0.4.0 can read in no
        codec but gzip, and the codec for large data where there is one.
    memoryview or Scattered
        The bytes: of the array's own memory, if it can be stored in the order in which it lies; else a copy, or what
        gathers one piece by piece.

    Raises
    ------
    UnsupportedArray
        If the array holds no bytes of its own, or is too large for the codec.
    UnknownCodec
    """
    check_dtype(array.dtype)
    if stringarrays.is_text(array.dtype):
        return _describe_text(array, compression)
    codec = None if compression is None or not array.nbytes else codecs.codec_for(compression, array.nbytes)
    # under all other codecs 0.4.0 reads whatever it finds as C
    keeps_order = codec is None or codec.fortran
    order, view = laid_out(array, keeps_order=keeps_order)
    description = ArrayDescription(array.dtype, array.shape, order, codec.name if codec else None)
    if isinstance(view, Scattered) and not (len(view) > _GATHERED_AT_ONCE and (codec is None or codec.gathers)):
        view = view.gather()
    return description, view


def laid_out(array: Array, *, keeps_order: bool) -> tuple[Order, Bytes]:
    """The order in which the items of an array are to be stored, and their bytes in it, where they lie if that can be.

    Parameters
    ----------
    array : numpy.ndarray
        Of a dtype that holds its bytes itself.
    keeps_order : bool
        Whether it may be that of Fortran.
    """
    order: Order = "F" if keeps_order and array.flags.fnc else "C"
    stored = array.T if order == "F" else array
    return order, bytes_of(stored) if stored.flags.c_contiguous else Scattered(stored)


def _describe_text(array: Array, compression: str | None) -> tuple[ArrayDescription, memoryview]:
    view = stringarrays.pack(array)
    description, _ = describe(np.frombuffer(view, np.uint8), compression)
    return replace(description, dtype=array.dtype, shape=array.shape, utf8=len(view)), view


def bytes_of(array: Array) -> memoryview:
    """The memory of a C-contiguous array, by way of uint8: many dtypes have no buffer of their own."""
    if not array.nbytes:
        return memoryview(bytearray())
    if array.dtype.char in _CASTS and array.dtype.isnative:  # the shorter way, for small arrays
        return array.data.cast("B")
    return array.reshape(-1).view(np.uint8).data


def allocate(description: ArrayDescription) -> tuple[Array, memoryview]:
    """Memory for a stored array.

    Parameters
    ----------
    description : ArrayDescription

    Returns
    -------
    numpy.ndarray
        Writeable, not initialized.
    memoryview
        Its bytes, in the order in which they are stored.
    """
    # np.empty would make one character of a text of none
    array: Array = np.ndarray(description.shape, description.dtype, order=description.order)
    return array, bytes_of(array.T if description.order == "F" else array)


def array_in(view: memoryview, description: ArrayDescription) -> Array:
    """The stored array whose bytes lie in a view.

    Parameters
    ----------
    view : memoryview
        Writeable, as long as the array.
    description : ArrayDescription
    """
    array: Array = np.ndarray(description.shape, description.dtype, view, order=description.order)
    return array

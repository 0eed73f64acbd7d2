"""A .npy file: what its header says of its size, before numpy takes memory for it, and its array. No I/O of its own."""

from __future__ import annotations

import ast
import io
import math
import struct
import tokenize
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from cottoncandy import checksums
from cottoncandy.errors import CorruptObject, CottonCandyError, UnsupportedArray

__all__ = ["expected_size", "header_of", "read_array", "require_size"]

Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]

#: What becomes of pickles: their reader is another.
_PICKLES = "those that you trust are read by download_pickle"
#: Characters of a header: numpy itself reads no longer one.
_LONGEST = 10_000
_LENGTH = struct.Struct("<I")
_PIECE = 2**20
_REPACK = "take numpy.lib.recfunctions.repack_fields(array), or upload_raw_array, which stores it as it is"
#: Bytes up to the end of such a header: of its text, and of the magic, the version and the length before it.
_LARGEST = 4 * _LONGEST + 12
# a parser that is given nonsense, or too much of it, has many words for that
_NONSENSE: tuple[type[Exception], ...] = (
    *(ValueError, SyntaxError, TypeError, LookupError, OverflowError, RecursionError, MemoryError),
    *(struct.error, tokenize.TokenError),
)


def expected_size(file: BinaryIO, of_pickles: str = _PICKLES) -> int:
    """How many bytes a .npy file of numbers has by its header.

    Parameters
    ----------
    file : binary file
        At its beginning.
    of_pickles : str
        What an error says is to be done with Python objects.

    Raises
    ------
    CorruptObject
        If it does not begin with such a header, or holds Python objects, which would be unpickled.
    """
    # no more of it: a header may say that it has gigabytes
    beginning = io.BytesIO(file.read(_LARGEST))
    try:
        version = np.lib.format.read_magic(beginning)
        shape, _, dtype = _READERS[version](beginning)
        nbytes = math.prod(shape) * int(dtype.itemsize)
    except _NONSENSE as error:
        raise CorruptObject(f"its .npy header is damaged: {type(error).__name__}: {error!s:.200}") from error
    if dtype.hasobject:
        raise CorruptObject(f"it holds pickled Python objects: {of_pickles}")
    if any(length < 0 for length in shape) or not 0 <= nbytes < 2**63:
        raise CorruptObject(f"its .npy header tells of a shape {shape!r:.200} that cannot be")
    return int(beginning.tell() + nbytes)


def require_size(file: BinaryIO, size: int, of_pickles: str = _PICKLES) -> None:
    """Hold the header to the size of the file; more may stand behind the array.

    Raises
    ------
    CorruptObject
    """
    expected = expected_size(file, of_pickles)
    if expected > size:
        raise CorruptObject(f"its .npy header tells of {expected} bytes, and there are {size}")


def header_of(array: np.ndarray[Any, Any], describe: Callable[[], str]) -> bytes:
    """What a .npy file has before the bytes of an array: `arrayformat.laid_out` gives these in the order it tells of.

    Raises
    ------
    UnsupportedArray
        With what ``describe`` says of the file, if it cannot tell of the dtype.
    """
    file = _Beginning()
    try:
        np.lib.format.write_array(file, array, allow_pickle=False)
    except _Enough:
        pass
    except ValueError as error:
        reason = f"a .npy file cannot tell of dtype {array.dtype} ({error}): {_REPACK}"
        raise UnsupportedArray(f"{describe()}: {reason}") from error
    return file.header


class _Enough(Exception):
    """The header is there."""


class _Beginning:
    """A file for numpy to write, which has no public function that writes the header in all versions of the format."""

    header = b""

    def write(self, data: bytes, /) -> None:
        if self.header:
            raise _Enough
        self.header = data


def read_array(file: BinaryIO) -> tuple[np.ndarray[Any, Any], str]:
    """The array of a .npy file, and the checksum of the file, which is taken while it is read.

    Raises
    ------
    CorruptObject
    """
    hashed = _Hashed(file)
    try:
        array = np.lib.format.read_array(hashed, allow_pickle=False)
    except CottonCandyError:
        raise  # of what brings the bytes
    except (ValueError, EOFError) as error:
        raise CorruptObject(str(error)) from error
    while hashed.read(_PIECE):  # what stands behind the array is the file's as well
        pass
    return array, hashed.running.hexdigest()


class _Hashed:
    """A file to read; numpy does that some hundred KB at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self.running = checksums.Running()
        self._file = file

    def read(self, count: int = -1, /) -> bytes:
        piece = self._file.read(count)
        self.running.update(piece)
        return piece


def _read_3_0(file: BinaryIO) -> Header:
    """The version that numpy writes for names of fields in any script, and has no public reader for."""
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    if length > _LONGEST:
        raise ValueError(f"a header of {length} characters")
    header = ast.literal_eval(file.read(length).decode())
    return tuple(header["shape"]), bool(header["fortran_order"]), np.lib.format.descr_to_dtype(header["descr"])


_READERS: Any = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): _read_3_0,
}

"""A .npy file: what its header says of its size, before numpy takes memory for it, and its array. No I/O of its own."""

from __future__ import annotations

import ast
import io
import math
import struct
import tokenize
from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from cottoncandy import arrayformat, checksums
from cottoncandy.bodies import BytesLike
from cottoncandy.errors import CorruptObject, UnsupportedArray
from cottoncandy.forks import ForkSafeLock

__all__ = ["begins_one", "check", "expected_size", "header_of", "read_array", "require_size"]

Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]

#: What becomes of Python objects: their reader is another.
_PICKLES = (
    "reading them runs what their writer put into the file: where you trust it, take download_to_file, and "
    "numpy.load(file, allow_pickle=True)"
)
_MAGIC = np.lib.format.MAGIC_PREFIX
#: Characters of a header. numpy reads 10,000 where nobody asks for more, as long ones cost time and memory: so many
#: took half a second and 140 MB.
_LONGEST = 2**20
_LENGTH = struct.Struct("<I")
_PIECE = 2**20
_REPACK = "take numpy.lib.recfunctions.repack_fields(array), or upload_raw_array, which stores it as it is"
#: Bytes that are read at first: most headers have 128.
_FIRST = 2**15
# a parser that is given nonsense, or too much of it, has many words for that
_NONSENSE: tuple[type[Exception], ...] = (
    *(ValueError, SyntaxError, TypeError, LookupError, OverflowError, RecursionError, MemoryError),
    *(struct.error, tokenize.TokenError),
)


def begins_one(file: BinaryIO) -> bool:
    """Whether a file, at its beginning, begins as one of numpy's does."""
    return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX


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
        If it does not begin with such a header.
    UnsupportedArray
        If it holds Python objects, which would be unpickled: how many bytes these have is not in the header.
    """
    head = file.read(_FIRST)
    return _read_header(head + file.read(max(0, _header_size(head) - len(head))), of_pickles).stop


class _Found(NamedTuple):
    """What the beginning of a file tells: the array, and where in the file its bytes start and stop."""

    description: arrayformat.ArrayDescription
    start: int
    stop: int


def _header_size(head: BytesLike) -> int:
    """Bytes up to the end of a header, as it says itself, but no gigabytes; none of what is no .npy file."""
    if bytes(head[: len(_MAGIC)]) != _MAGIC:
        return 0
    start = 10 if bytes(head[6:7]) == b"\1" else 12
    return start + min(int.from_bytes(head[8:start], "little"), 4 * _LONGEST)


def _read_header(head: BytesLike, of_pickles: str) -> _Found:
    beginning = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(beginning)
        with _PARSING:
            shape, is_fortran, dtype = _READERS[version](beginning)
        nbytes = math.prod(shape) * int(dtype.itemsize)
    except _NONSENSE as error:
        raise CorruptObject(f"its .npy header is damaged: {type(error).__name__}: {error!s:.200}") from error
    if dtype.hasobject:
        raise UnsupportedArray(f"it holds pickled Python objects: {of_pickles}")
    if any(length < 0 for length in shape) or not 0 <= nbytes < 2**63:
        raise CorruptObject(f"its .npy header tells of a shape {shape!r:.200} that cannot be")
    description = arrayformat.ArrayDescription(dtype, shape, "F" if is_fortran else "C", None)
    return _Found(description, beginning.tell(), beginning.tell() + nbytes)


def require_size(file: BinaryIO, size: int, of_pickles: str = _PICKLES) -> None:
    """Hold the header to the size of the file; more may stand behind the array.

    Raises
    ------
    CorruptObject
    UnsupportedArray
        If it holds Python objects.
    """
    _require(expected_size(file, of_pickles), size)


def _require(expected: int, size: int) -> None:
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
    if len(file.header) > _LONGEST:
        reason = f"a .npy file whose header has more than {_LONGEST} characters is not read again"
        raise UnsupportedArray(f"{describe()}: {reason}: take upload_raw_array, which stores it as it is")
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


def check(size: int, fill: Callable[[int, memoryview], object], first: int = _FIRST) -> None:
    """Hold a file, if it is a .npy, to what its header tells; more may stand behind the array.

    Parameters
    ----------
    size, fill
        As of `read_array`.
    first : int
        Bytes that are asked for at once.

    Raises
    ------
    CorruptObject
    UnsupportedArray
        If it holds Python objects, of whose bytes the header tells nothing.
    """
    head = _head(size, fill, first)
    if bytes(head[: len(_MAGIC)]) == _MAGIC:
        _require(_read_header(head, _PICKLES).stop, size)


def read_array(size: int, fill: Callable[[int, memoryview], object]) -> tuple[np.ndarray[Any, Any], str]:
    """The array of a .npy file, whose bytes go straight into its memory, and the checksum of the file.

    Parameters
    ----------
    size : int
        Bytes of the file.
    fill : callable
        ``fill(start, view)`` fills the view with the bytes of the file from ``start`` on.

    Raises
    ------
    CorruptObject
    UnsupportedArray
        If it holds Python objects.
    """
    head = _head(size, fill, _FIRST)
    found = _read_header(head, _PICKLES)
    _require(found.stop, size)
    array, view = arrayformat.allocate(found.description)
    data = head[found.start : found.stop]
    view[: len(data)] = data
    if len(view) > len(data):
        fill(len(head), view[len(data) :])
    pieces = chain((head[: found.start], view, head[found.stop :]), _pieces(max(found.stop, len(head)), size, fill))
    return array, checksums.of_pieces(pieces)


def _head(size: int, fill: Callable[[int, memoryview], object], first_bytes: int) -> memoryview:
    """The first bytes of a file: all of its header, and some behind it."""
    head = memoryview(bytearray(min(size, first_bytes)))
    fill(0, head)
    if (end := min(size, _header_size(head))) > len(head):
        first, head = head, memoryview(bytearray(end))
        head[: len(first)] = first
        fill(len(first), head[len(first) :])
    return head


def _pieces(start: int, stop: int, fill: Callable[[int, memoryview], object]) -> Iterator[memoryview]:
    """What stands behind the array is the file's as well."""
    piece = memoryview(bytearray(min(max(stop - start, 0), _PIECE)))
    for begin in range(start, stop, _PIECE):
        part = piece[: stop - begin]
        fill(begin, part)
        yield part


def _read_3_0(file: BinaryIO) -> Header:
    """The version that numpy writes for names of fields in any script, and has no public reader for."""
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    if length > _LONGEST:
        raise ValueError(f"a header of {length} characters")
    header = ast.literal_eval(file.read(length).decode())
    return tuple(header["shape"]), bool(header["fortran_order"]), np.lib.format.descr_to_dtype(header["descr"])


def _of_any_length(read: Any) -> Any:
    # numpy 1.23 has no limit of its own
    return partial(read, max_header_size=_LONGEST) if "max_header_size" in signature(read).parameters else read


# Python 3.11 counts the depth of what is parsed for all threads together, and fails where one parses a literal while
# another one does, as in a callback of the garbage collector: https://github.com/python/cpython/issues/106905
_PARSING = ForkSafeLock()
_READERS: Any = {
    (1, 0): _of_any_length(np.lib.format.read_array_header_1_0),
    (2, 0): _of_any_length(np.lib.format.read_array_header_2_0),
    (3, 0): _read_3_0,
}

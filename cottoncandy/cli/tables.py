"""Tables: a .csv file as an array and back. What is written is what is read again, or it is not written.

Numbers are read as int64 or float64, all else as text: a cell becomes a number only where the number tells all of it.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy.cli.texts import fixed_width
from cottoncandy.errors import CorruptObject, UnsupportedArray

Array = npt.NDArray[Any]
Cells = Sequence[str]

# no `1_000`, which Python takes for a number; and no integer beyond all floats
_NUMBER = re.compile(
    r"\s*[+-]?(?:(?:\d{1,300}(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)\s*", re.ASCII | re.IGNORECASE
)
_INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
# `007` is a name: as a number it would be 7
_PADDED = re.compile(r"\s*[+-]?0\d+\s*", re.ASCII)
_MISSING = {"", "NA", "N/A", "n/a"}
# more than nothing, whatever its exponent says
_SOMETHING = re.compile(r"[^eE]*[1-9]", re.ASCII)
_INT64 = range(-(2**63), 2**63)
#: What numbers and text of each kind are read as again.
_READ_AS = {"b": np.int64, "i": np.int64, "u": np.int64, "f": np.float64, "U": np.str_}


# ---------------------------------------------------------------------- reading
def read_table(path: Path) -> Array:
    """The table of a .csv file.

    Returns
    -------
    array
        Two-dimensional where all are numbers and there is no header, else records, with a field for each column.

    Raises
    ------
    CorruptObject
        If it holds no table.
    """
    rows = _rows_of_one_length(path)
    if _has_header(rows):
        names, *rows = rows
        if not names[0].strip():
            names[:1] = _default_names(1)
        if len({*names}) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise CorruptObject(f"{path}: two columns are named {twice!r}: rename one")
        return _records(names, rows)
    # as one column: its numbers have one dtype
    numbers = _numbers([cell for row in rows for cell in row])
    if numbers is not None:
        return numbers.reshape(len(rows), -1)
    return _records(_default_names(len(rows[0])), rows)


def _rows_of_one_length(path: Path) -> list[list[str]]:
    numbered = list(_rows(path))
    while numbered and not numbered[-1][1]:
        numbered.pop()
    width = next((len(row) for _, row in numbered if row), 0)
    if not width:
        raise CorruptObject(f"{path} is empty: there is no table in it")
    # an empty line is an empty cell where there is one column, and nothing where there are several
    numbered = [(line, row or [""]) for line, row in numbered if row or width == 1]
    for line, row in numbered:
        if len(row) != width:
            raise CorruptObject(
                f"{path}, line {line}: cells in this row: {len(row)}, in the first one: {width}; "
                "put quotes around a cell with a comma in it"
            )
    return [row for _, row in numbered]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row, and the line that it ends in."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except UnicodeDecodeError as error:
            raise CorruptObject(f"{path} is no UTF-8: save it as that: {error}") from error
        except csv.Error as error:
            raise CorruptObject(f"{path}, line {reader.line_num}: {error}") from error


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row has no number and no empty cell, and there are numbers in a column below.

    Its first cell may be empty, as pandas leaves that of its index.
    """
    first, *below = rows
    named = first if first[0].strip() else first[1:]
    if any(_NUMBER.fullmatch(cell) or not cell.strip() for cell in named) or {*named} <= _MISSING:
        return False
    return any(_numbers(column) is not None for column in zip(*below, strict=True))


def _default_names(count: int) -> list[str]:
    return [f"f{index}" for index in range(count)]


def _records(names: Sequence[str], rows: list[list[str]]) -> Array:
    cells = list(zip(*rows, strict=True))
    columns = [np.array(column, np.str_) if (found := _numbers(column)) is None else found for column in cells]
    return _from_columns(names, columns)


def _from_columns(names: Sequence[str], columns: Sequence[Array]) -> Array:
    table = np.empty(len(columns[0]), [(name, column.dtype) for name, column in zip(names, columns, strict=True)])
    for name, column in zip(names, columns, strict=True):
        table[name] = column
    return table


def _numbers(cells: Cells) -> Array | None:
    """The cells as numbers; None where one is none, or none of them is one, or a digit would get lost."""
    given = [cell for cell in cells if cell.strip() not in _MISSING]
    if not given or not all(map(_NUMBER.fullmatch, given)) or any(map(_PADDED.fullmatch, given)):
        return None
    if any(map(_is_beyond_floats, given)):
        return None
    integers = [int(cell) for cell in given if _INTEGER.fullmatch(cell)]
    if len(integers) == len(cells) and min(integers) in _INT64 and max(integers) in _INT64:
        return np.array(integers, np.int64)
    if any(int(float(number)) != number for number in integers):
        return None
    return np.array([math.nan if cell.strip() in _MISSING else float(cell) for cell in cells])


def _is_beyond_floats(number: str) -> bool:
    """Whether a number would be read as one without end, or as none at all: ``1e400``, ``1e-400``."""
    value = float(number)
    return (value == 0 or math.isinf(value)) and _SOMETHING.match(number) is not None


# ---------------------------------------------------------------------- writing
def write_table(path: Path, array: Array) -> None:
    """Write an array as a .csv file, from which `read_table` reads the same: numbers as int64 and float64.

    A one-dimensional array of numbers is a table of one column.

    Raises
    ------
    UnsupportedArray
        If there is no such file.
    """
    table = _as_read(array)
    # records of text alone come back with these names only where there is no header
    names = table.dtype.names or ()
    unnamed = [*names] == _default_names(len(names)) and all(table.dtype[name].kind == "U" for name in names)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([] if unnamed else [names])
        writer.writerows(table.tolist())
    try:
        same = _alike(read_table(path), table)
    except CorruptObject:
        same = False
    if not same:
        raise UnsupportedArray(
            "a .csv would not give this table back: one of no rows, of names above nothing but text, or of text that "
            "reads as a number: get it as .npy"
        )


def _as_read(array: Array) -> Array:
    """The array with the dimensions and the dtypes that it is read with again."""
    names = array.dtype.names
    if names and array.ndim == 1 and all(array[name].ndim == 1 for name in names):
        return _from_columns(names, [_column_as_read(f"the field {name!r}", array[name]) for name in names])
    if array.dtype.kind in "biuf" and array.ndim in {1, 2}:
        return _column_as_read("the array", array if array.ndim == 2 else array[:, None])
    raise UnsupportedArray("a .csv holds one or two dimensions of real numbers, or 1-d records of numbers and text")


def _column_as_read(what: str, column: Array) -> Array:
    column = fixed_width(column, what)
    kind = _READ_AS.get(column.dtype.kind)
    if kind is None:
        raise UnsupportedArray(f"a .csv holds real numbers and text, and {what} is of {column.dtype}: get it as .npy")
    with np.errstate(over="ignore"):
        read: Array = column.astype(kind)
    if not np.array_equal(read, column, equal_nan=read.dtype.kind == "f"):
        raise UnsupportedArray(f"{what} has numbers that neither int64 nor float64 holds: get it as .npy")
    return read


def _alike(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.names != other.dtype.names:
        return False
    pairs = [(one[name], other[name]) for name in one.dtype.names] if one.dtype.names else [(one, other)]
    return all(
        first.dtype.kind == second.dtype.kind and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
        for first, second in pairs
    )

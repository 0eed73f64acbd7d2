"""Data frames as parquet files, and back. No I/O."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

from cottoncandy.errors import CorruptObject, CottonCandyError, UnsupportedArray
from cottoncandy.extras import with_extra

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["EXTRA", "read", "write"]

#: What to install.
EXTRA = "dataframe"


def write(frame: Any, where: str) -> bytes:
    """The parquet file of a data frame of pandas, with its index and dtypes, or of what else arrow takes.

    Raises
    ------
    UnsupportedArray
        If it is no data frame, or holds what parquet cannot: the message names ``where`` it was to go.
    """
    arrow, parquet = _libraries()
    file = io.BytesIO()
    try:
        parquet.write_table(_table(arrow, frame), file, compression="zstd", write_page_checksum=True)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise UnsupportedArray(f"{where}: {type(frame).__name__} cannot be stored as a table: {error}") from error
    return file.getvalue()  # its own memory: no copy is made


def _table(arrow: Any, frame: Any) -> Any:
    if isinstance(frame, arrow.Table):
        return frame
    pandas = sys.modules.get("pandas")  # where it was never imported, nothing is of it
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        return arrow.Table.from_pandas(frame)
    return arrow.table(frame)


def read(file: BinaryIO, columns: Iterable[Any] | None, where: str) -> Any:
    """The arrow table in a seekable parquet file; of some columns, only their bytes are read.

    Raises
    ------
    CorruptObject
        If it is no parquet file.
    KeyError
        For a column that is not there.
    """
    arrow, parquet = _libraries()
    try:
        opened = parquet.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
        names = None if columns is None else _known(opened.schema_arrow.names, columns, where)
        return opened.read(names, use_pandas_metadata=True)
    except CottonCandyError:
        raise  # of the store: some of them are OSErrors too
    except (arrow.ArrowException, OSError) as error:
        raise CorruptObject(f"{where} is no parquet file, or is broken: {error}") from error


def _known(there: list[str], columns: Iterable[Any], where: str) -> list[str]:
    if isinstance(columns, str):
        raise TypeError(f"columns is a list of names: [{columns!r}]")
    names = [str(name) for name in columns]
    if missing := [name for name in names if name not in there]:
        raise KeyError(f"{where} has no columns {missing}; it has {there}")
    return names


def _libraries() -> tuple[ModuleType, ModuleType]:
    return with_extra("pyarrow", EXTRA), with_extra("pyarrow.parquet", EXTRA)

"""Data frames as parquet files, and back. No I/O."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from cottoncandy.errors import CorruptObject, CottonCandyError, UnsupportedArray
from cottoncandy.extras import with_extra

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["EXTRA", "read", "to_pandas", "write"]

#: What to install.
EXTRA = "dataframe"
# The metadata of a parquet file that hold the categories which parquet itself does not: those of all but text, and of
# no rows.
_CATEGORIES = b"cottoncandy categories"
# Arrow's types of which parquet keeps categories itself.
_TEXT = {"string", "large_string", "string_view", "binary", "large_binary", "binary_view"}
# Bytes of the categories of a column: more would make the file's own table, which each reader reads first, too large.
_MOST = 2**20
# Above, not every integer is a float64.
_EXACT = 2**53
_PLAIN_NAMES = (
    "take names that are text, or numbers or times of one kind (frame.columns = frame.columns.astype(str); "
    "frame.rename_axis('name'))"
)


# ---------------------------------------------------------------------- up
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
        table = _table(arrow, frame)
        _write(arrow, parquet, table, file)
        if _is_of_pandas(frame):
            _refuse_others(arrow, parquet, frame, table)
    except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        said = f"{where}: {type(frame).__name__} cannot be stored as a table: {error}"
        raise UnsupportedArray(said + _advice(arrow, frame, error)) from error
    return file.getvalue()  # its own memory: no copy is made


def _table(arrow: Any, frame: Any) -> Any:
    if isinstance(frame, arrow.Table):
        return frame
    if not _is_of_pandas(frame):
        return arrow.table(frame)
    _refuse_attrs(frame.attrs)
    table = arrow.Table.from_pandas(frame)
    if len(frame) and not table.num_columns:
        raise UnsupportedArray("a table without columns keeps no rows: give it its index as a column (reset_index)")
    for told in table.schema.pandas_metadata["columns"]:
        if told["numpy_type"] == "object":  # pandas' own Int64 keeps them
            name = "its index" if told["name"] is None else f"column {told['name']!r}"
            _refuse_rounded(arrow, name, table.column(told["field_name"]).combine_chunks())
    for number, name in enumerate(frame.columns):
        _refuse_other_keys(arrow, name, frame.iloc[:, number], table.schema.field(number).type)
    return table


def _refuse_rounded(arrow: Any, name: str, column: Any) -> None:
    """Refuse large integers beside missing ones: pandas would make floats of them, which hold 53 bits."""
    kind = column.type
    if arrow.types.is_list(kind) or arrow.types.is_large_list(kind):
        _refuse_rounded(arrow, name, column.flatten())
    elif arrow.types.is_struct(kind):
        for field in column.flatten():
            _refuse_rounded(arrow, name, field)
    elif arrow.types.is_integer(kind) and column.null_count:
        least, most = (arrow.compute.min_max(column)[end].as_py() or 0 for end in ("min", "max"))
        if max(-least, most) > _EXACT:
            raise UnsupportedArray(
                f"{name} has numbers above 2**53 beside missing ones, and would come back rounded: make it "
                "whole numbers that may be missing (astype('Int64')), or text"
            )


def _advice(arrow: Any, frame: Any, error: Exception) -> str:
    """What to do where arrow found values of several kinds in one column: it says which column, and no more."""
    if not isinstance(error, (arrow.ArrowInvalid, arrow.ArrowTypeError)) or not _is_of_pandas(frame):
        return ""
    # an index of several kinds becomes a column as well
    mixed = any(column.dtype == object for column in (*(frame.iloc[:, i] for i in range(frame.shape[1])), frame.index))
    return ": make what is mixed in a column text or numbers, as frame['x'] = frame['x'].astype(str)" if mixed else ""


def _is_of_pandas(frame: Any) -> bool:
    pandas = sys.modules.get("pandas")  # where it was never imported, nothing is of it
    return pandas is not None and isinstance(frame, pandas.DataFrame)


def _write(arrow: Any, parquet: Any, table: Any, file: BinaryIO) -> None:
    parquet.write_table(_with_categories(arrow, table), file, compression="zstd", write_page_checksum=True)


def _refuse_others(arrow: Any, parquet: Any, frame: Any, table: Any) -> None:
    """Refuse a frame that would come back with other names or dtypes, or not at all: no rows of it are read back."""
    file = io.BytesIO()
    _write(arrow, parquet, _without_rows(table), file)
    try:
        found = to_pandas(read(file, None, "it"))
    except Exception as error:  # whatever it is, each download would raise it
        raise UnsupportedArray(
            f"it could not be read again ({error}): make columns of such a type others (astype), or {_PLAIN_NAMES}"
        ) from error
    if not found.columns.equals(frame.columns):
        raise UnsupportedArray(f"its columns would be called {found.columns.tolist()!r:.200}: {_PLAIN_NAMES}")
    for before, after in ((frame.columns.names, found.columns.names), (frame.index.names, found.index.names)):
        if list(before) != list(after):
            raise UnsupportedArray(f"an index that is called {list(before)} would be {list(after)}: {_PLAIN_NAMES}")
    for name, before, after in _dtypes(frame, found):
        if not _is_like(before, after):
            raise UnsupportedArray(
                f"{name} would come back as {after!r}, not {before!r:.200}: convert it first (astype)"
            )


def _without_rows(table: Any) -> Any:
    """A table of the same types; an index that is a range must have no rows, too, or its name is left out."""
    metadata = table.schema.metadata
    told = json.loads(metadata[b"pandas"])
    for index in told["index_columns"]:
        if isinstance(index, dict):
            index["stop"] = index["start"]
    return table[:0].replace_schema_metadata(metadata | {b"pandas": json.dumps(told)})


def _dtypes(frame: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """What has a dtype, with the one before and the one after."""
    for name, before, after in zip(frame.columns, frame.dtypes, found.dtypes, strict=True):
        yield f"column {name!r}", before, after
    for before, after in zip(
        *(getattr(each.index, "dtypes", [each.index.dtype]) for each in (frame, found)), strict=True
    ):
        yield "its index", before, after


def _is_like(before: Any, after: Any) -> bool:
    """Whether one dtype can stand for the other; of Python's objects arrow looks at each, and chooses one."""
    if before in (after, "object"):
        return True
    if before == "category" and after == "category":
        return before.ordered == after.ordered and _is_like(before.categories.dtype, after.categories.dtype)
    # of pandas' own, one that is kept in another memory, or names its zone in another way
    return type(before) is type(after) and hasattr(before, "construct_array_type")


def _refuse_attrs(attrs: Mapping[Any, Any]) -> None:
    """Refuse attributes that JSON cannot hold; arrow would leave all of them out."""
    for name, value in attrs.items():
        try:
            json.dumps({name: value})
        except (TypeError, ValueError) as error:
            raise UnsupportedArray(f"attrs[{name!r}] is no JSON ({error}): make it lists, numbers and text") from error


def _refuse_other_keys(arrow: Any, name: Any, column: Iterable[Any], kind: Any) -> None:
    """Refuse dictionaries of which some have other keys: each would come back with those of all."""
    if arrow.types.is_nested(kind) and not all(_fits(arrow, value, kind) for value in column):
        raise UnsupportedArray(
            f"the dictionaries in column {name!r} do not all have the same keys, and would get those of the others: "
            "make each key a column, or store them as text (json.dumps)"
        )


def _fits(arrow: Any, value: Any, kind: Any) -> bool:
    if arrow.types.is_struct(kind) and isinstance(value, dict):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        same = value.keys() == {field.name for field in fields}
        return same and all(_fits(arrow, value[field.name], field.type) for field in fields)
    if arrow.types.is_list(kind) and arrow.types.is_nested(kind.value_type) and isinstance(value, Iterable):
        return all(_fits(arrow, item, kind.value_type) for item in value)
    return True


def _with_categories(arrow: Any, table: Any) -> Any:
    """The table, whose metadata tell the categories that parquet would make plain values, or leave out."""
    told = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if not arrow.types.is_dictionary(kind) or not column.num_chunks:
            continue
        if not len(column) or str(kind.value_type) not in _TEXT:
            categories = column.unify_dictionaries().chunk(0).dictionary
            if categories.nbytes <= _MOST:
                told[name] = _packed(arrow, categories)
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != _CATEGORIES}
    return table.replace_schema_metadata(metadata | ({_CATEGORIES: json.dumps(told)} if told else {}))


def _packed(arrow: Any, array: Any) -> str:
    file = io.BytesIO()
    batch = arrow.record_batch([array], names=["categories"])
    with arrow.ipc.new_stream(file, batch.schema) as stream:
        stream.write_batch(batch)
    return base64.b64encode(file.getvalue()).decode()


# ---------------------------------------------------------------------- down
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
        return _restored(arrow, opened.read(names, use_pandas_metadata=True), opened.metadata.metadata or {})
    except CottonCandyError:
        raise  # of the store: some of them are OSErrors too
    except (arrow.ArrowException, OSError) as error:
        raise CorruptObject(f"{where} is no parquet file, or is broken: {error}") from error


def to_pandas(table: Any) -> Any:
    """A data frame of pandas that can be written into."""
    frame, names = table.to_pandas(), _index_names(table)
    kinds = [field.type for field in table.schema if field.name not in names]
    for number, (dtype, kind) in enumerate(zip(frame.dtypes, kinds, strict=False)):
        if dtype == "category":  # arrow gives its own memory, which is read-only
            frame.isetitem(number, _in_zone(frame.iloc[:, number].array.copy(), kind))
    if frame.index.dtype == "category" and len(names) == 1:
        frame.index = type(frame.index)(
            _in_zone(frame.index.array, table.schema.field(names[0]).type), name=frame.index.name
        )
    return frame


def _index_names(table: Any) -> list[str]:
    """The columns of a table that pandas makes the index."""
    told = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in told if isinstance(name, str) and name in table.schema.names]


def _in_zone(categories: Any, kind: Any) -> Any:
    """Categories with the zone of their times, which arrow leaves out when it makes them pandas'."""
    times, zone = categories.categories, getattr(getattr(kind, "value_type", None), "tz", None)
    if zone is None or getattr(times, "tz", zone) is not None:
        return categories
    return categories.rename_categories(times.tz_localize("UTC").tz_convert(zone))


def _restored(arrow: Any, table: Any, metadata: Mapping[bytes, bytes]) -> Any:
    """The table with the types that it was written with: parquet has no seconds, and categories of text alone."""
    types, categories = _told_types(arrow, metadata), _told_categories(metadata)
    for number, field in enumerate(table.schema):
        as_read = table.column(number)
        column = _as_told(arrow, as_read, types.get(field.name), categories.get(field.name))
        if column is not as_read:
            table = table.set_column(number, field.with_type(column.type), column)
    return table


def _told_types(arrow: Any, metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The types of the columns as arrow had them; none where another program wrote the file."""
    try:
        schema = arrow.ipc.read_schema(arrow.py_buffer(base64.b64decode(metadata[b"ARROW:schema"])))
    except (KeyError, ValueError, OSError, arrow.ArrowException):
        return {}
    times = Counter(schema.names)
    return {field.name: field.type for field in schema if times[field.name] == 1}


def _told_categories(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    try:
        told = json.loads(metadata.get(_CATEGORIES, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _as_told(arrow: Any, column: Any, kind: Any, packed: Any) -> Any:
    """A column as one of that type, if it differs in what parquet does not know."""
    types = arrow.types
    if kind is None or (types.is_dictionary(column.type) and packed is None):
        return column
    if types.is_dictionary(kind):
        return _categorical(arrow, column, kind, _unpacked(arrow, packed))
    is_time = (types.is_timestamp(kind) and types.is_timestamp(column.type)) or types.is_time32(kind)
    return column.cast(kind) if is_time and kind.unit == "s" else column


def _categorical(arrow: Any, column: Any, kind: Any, categories: Any) -> Any:
    """A column of categories, made of its values; where the categories are not told, those that there are, sorted."""
    compute = with_extra("pyarrow.compute", EXTRA)
    values = column.cast(kind.value_type)
    if categories is None:
        found = compute.unique(values).drop_null()
        categories = found.take(compute.sort_indices(found))
    numbers = compute.index_in(values, value_set=categories.cast(kind.value_type)).cast(kind.index_type)
    if numbers.null_count != values.null_count:
        return column  # somebody has changed the values, and left what was told of them
    parts = numbers.chunks or [arrow.array([], kind.index_type)]
    make = arrow.DictionaryArray.from_arrays
    return arrow.chunked_array([make(part, categories, ordered=kind.ordered) for part in parts])


def _unpacked(arrow: Any, packed: Any) -> Any:
    """Categories as `_packed` made them text; None where it is none."""
    try:
        table = arrow.ipc.open_stream(base64.b64decode(packed)).read_all()
        table.validate(full=True)
        return table.column(0).combine_chunks()
    except (TypeError, ValueError, LookupError, OSError, arrow.ArrowException):
        return None


def _known(there: list[str], columns: Iterable[Any], where: str) -> list[str]:
    if isinstance(columns, str):
        raise TypeError(f"columns is a list of names: [{columns!r}]")
    names = [str(name) for name in columns]
    if missing := [name for name in names if name not in there]:
        raise KeyError(f"{where} has no columns {missing}; it has {there}")
    return names


def _libraries() -> tuple[ModuleType, ModuleType]:
    return with_extra("pyarrow", EXTRA), with_extra("pyarrow.parquet", EXTRA)

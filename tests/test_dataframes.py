"""Data frames as parquet files."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import Recorded, Store

from cottoncandy.errors import ConfigurationError, CorruptObject, ObjectNotFound, UnsupportedArray


def everything() -> pd.DataFrame:
    index = pd.MultiIndex.from_product([["a", "ü"], [1, 2]], names=["subject", "run"])
    frame = pd.DataFrame(
        {
            "x": [1.5, np.nan, 3, 4],
            "i": pd.array([1, None, 3, 4], dtype="Int64"),
            "c": pd.Categorical(["u", "v", "u", "w"], ordered=True),
            "t": pd.date_range("2020", periods=4, tz="Europe/Paris").as_unit("us"),
            "s": ["a", "", "ü\0b", "🦉"],
            "b": [True, False, True, True],
            "f": np.arange(4, dtype="f4"),
        },
        index=index,
    )
    frame.attrs["site"] = "Paris"
    return frame


@pytest.mark.stores("local", "moto", "gdrive")
def test_a_frame_comes_back_as_it_went(store: Store) -> None:
    cci, frame = store.interface(), everything()
    cci.upload_dataframe("//sub 01/t.parquet", frame, task="naming")
    pd.testing.assert_frame_equal(cci.download_dataframe("sub 01/t.parquet"), frame)
    assert cci.download_dataframe("sub 01/t.parquet").attrs == {"site": "Paris"}
    pd.testing.assert_frame_equal(cci.download_dataframe("sub 01/t.parquet", columns=["s", "i"]), frame[["s", "i"]])
    body, metadata = store.raw.get("sub 01/t.parquet")
    assert metadata == {"task": "naming"}
    assert pq.read_table(io.BytesIO(body)).to_pandas().equals(frame)  # without a line of our own

    table = cci.download_dataframe("sub 01/t.parquet", as_arrow=True)
    assert isinstance(table, pa.Table)
    cci.upload_dataframe("again", table)
    pd.testing.assert_frame_equal(cci.download_dataframe("again"), frame)
    numbered = pd.DataFrame({0: [1.0], 1: [2.0]})
    for name, other in {"numbered": numbered, "empty": pd.DataFrame()}.items():
        cci.upload_dataframe(name, other)
        pd.testing.assert_frame_equal(cci.download_dataframe(name), other)
    assert cci.download_dataframe("numbered", columns=[1]).to_numpy().tolist() == [[2.0]]
    cci.upload_dataframe("columns", {"a": [1, 2]})
    assert cci.download_dataframe("columns")["a"].tolist() == [1, 2]


@pytest.mark.stores("local")
def test_what_parquet_does_not_know_comes_back(store: Store) -> None:
    cci, days = store.interface(), pd.DatetimeIndex(["2020-01-01", "1700-05-06", None]).as_unit("s")
    frame = pd.DataFrame(
        {
            "seconds": days,
            "there": days.tz_localize("UTC").tz_convert("Europe/Paris"),
            "numbers": pd.Categorical([3, 1, None]),
            "order": pd.Categorical([3, 1, 3], categories=[7, 3, 1], ordered=True),
            "halves": pd.Categorical([1.5, 0.5, None]),
            "truth": pd.Categorical([True, False, True]),
            "moments": pd.Categorical(days),
            "days": pd.Categorical(np.array(["2020-01-02", "2019-01-01", "2020-01-02"], "M8[us]")),
            "words": pd.Categorical(["v", None, "u"], categories=["z", "v", "u"]),
        },
        index=pd.CategoricalIndex([5, 3, 5], name="run"),
    )
    for name, one in {"all": frame, "none": frame[:0], "times": frame.set_index("seconds")}.items():
        cci.upload_dataframe(name, one)
        pd.testing.assert_frame_equal(cci.download_dataframe(name), one)
        pd.testing.assert_frame_equal(cci.download_dataframe(name, columns=["order"]), one[["order"]])
    pd.testing.assert_series_equal(
        pq.read_table(io.BytesIO(store.raw.get("all")[0]))["order"].to_pandas(), pd.Series([3, 1, 3], name="order")
    )
    many = pd.DataFrame({"x": pd.Categorical(np.arange(300_000) % 200_000)})  # more than a file's table should hold
    cci.upload_dataframe("many", many)
    assert len(pq.read_metadata(io.BytesIO(store.raw.get("many")[0])).metadata.get(b"cottoncandy categories", b"")) == 0
    pd.testing.assert_frame_equal(cci.download_dataframe("many"), many)

    table = pa.table({"n": pa.array([3, 1, 3]).dictionary_encode(), "t": pa.array([1, None, 2], pa.time32("s"))})
    cci.upload_dataframe("table", table)
    found = cci.download_dataframe("table", as_arrow=True)
    assert found.equals(table)
    cci.upload_dataframe("empty", pa.table({"w": pa.array(["b", "a"]).dictionary_encode()})[:0])
    assert cci.download_dataframe("empty")["w"].cat.categories.tolist() == ["b", "a"]
    # columns that were exchanged since then, with what was told of the old ones
    cci.upload_dataframe("table", found.set_column(0, "n", pa.array([9, 9, 8])))
    assert cci.download_dataframe("table")["n"].tolist() == [9, 9, 8]
    told = b'{"n": "bm9uZQ=="}'
    for metadata in (told, b"[]", b"{", b'{"n": 3}'):
        file = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({b"cottoncandy categories": metadata}), file)
        cci.upload_object("told", file.getvalue())
        assert cci.download_dataframe("told")["n"].cat.categories.tolist() == [1, 3]


ZONED = pd.to_datetime(["2020-07-01", "2021-01-01", None]).tz_localize("Europe/Berlin")


@pytest.mark.stores("local")
def test_categories_of_times_keep_their_zone(store: Store) -> None:
    cci, zoned = store.interface(), pd.Categorical(ZONED)
    frame = pd.DataFrame({"n": [1, 2, 3], "t": zoned, "o": pd.Categorical(ZONED, ordered=True)})
    for one in (frame, frame[:0], frame.set_index("t"), frame.set_index(["n", "o"])[["t"]].reset_index("o")):
        cci.upload_dataframe("a", one)
        pd.testing.assert_frame_equal(cci.download_dataframe("a"), one)
    cci.upload_dataframe("a", frame)
    assert cci.download_dataframe("a", columns=["o"])["o"].dtype.categories.tz is not None


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    "columns",
    [
        [1, 0],
        [0.5, np.nan],
        ["a", ""],
        pd.date_range("2020", periods=2),
        pd.date_range("2020", periods=2, tz="Europe/Paris"),
        pd.MultiIndex.from_arrays([[1, 2], pd.to_datetime(["2020", "2021"])], names=["i", None]),
        pd.Index(["a", "b"], name="letter"),
    ],
    ids=repr,
)
def test_columns_of_these_names_come_back(store: Store, columns: Any) -> None:
    cci, frame = store.interface(), pd.DataFrame([[1, 2.5]], columns=columns)
    for index in ([7], pd.RangeIndex(3, 4, name="run"), pd.MultiIndex.from_tuples([(1, "a")], names=["i", None])):
        cci.upload_dataframe("a", frame.set_axis(index))
        found = cci.download_dataframe("a")
        pd.testing.assert_frame_equal(found, frame.set_axis(index), check_freq=False)
        assert [*found.index.names, *found.columns.names] == [*frame.set_axis(index).index.names, *frame.columns.names]


@pytest.mark.filterwarnings("ignore:The DataFrame has (non-str index name|column names of mixed type):UserWarning")
@pytest.mark.stores("local")
@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (pd.CategoricalIndex(["x", "y"]), "could not be read again"),
        (pd.interval_range(0, 2), "could not be read again"),
        (pd.period_range("2020", periods=2, freq="D"), "could not be read again"),
        (pd.to_timedelta([1, 2], "s"), "could not be read again"),
        ([True, False], r"its columns would be called \[True, True\]"),
        ([1, "1"], r"its columns would be called \['1', '1'\]"),
        ([1, "a"], r"its columns would be called \['1', 'a'\]"),
    ],
    ids=repr,
)
def test_names_that_would_not_come_back_are_refused(store: Store, columns: Any, why: str) -> None:
    cci = store.interface()
    frame = pd.DataFrame([[1, 2.5]], columns=columns)
    with pytest.raises(UnsupportedArray, match=rf"'bad' in .* cannot be stored as a table: .*{why}.*astype"):
        cci.upload_dataframe("bad", frame)
    plain = pd.DataFrame({"a": [1], "b": [2]})
    for other in (plain.set_axis(pd.Index([1], name=5)), plain.set_axis(pd.RangeIndex(1, name=("x", 1)))):
        with pytest.raises(UnsupportedArray, match=r"'bad' in .*(index that is called|could not be read).*rename_axis"):
            cci.upload_dataframe("bad", other)
    assert not store.raw.keys()
    frame.columns = frame.columns.astype(str) if len({*map(str, columns)}) == 2 else ["a", "b"]
    cci.upload_dataframe("good", frame)
    pd.testing.assert_frame_equal(cci.download_dataframe("good"), frame)


@pytest.mark.stores("local")
def test_a_dtype_that_would_not_come_back_is_refused(store: Store) -> None:
    cci = store.interface()
    zoned = pd.MultiIndex.from_arrays([pd.CategoricalIndex(ZONED[:2]), [1, 2]])
    lists = pd.Series([[1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    for frame, why in (
        (pd.DataFrame({"n": [1, 2]}, index=zoned), "its index would come back as .*astype"),
        (pd.DataFrame({"n": lists}), "could not be read again .*astype"),
    ):
        with pytest.raises(UnsupportedArray, match=rf"'bad' in .*{why}"):
            cci.upload_dataframe("bad", frame)
    assert not store.raw.keys()
    # of Python's objects, and of text kept by Python, arrow makes its own
    same = pd.DataFrame({"o": pd.Series([1, 2], dtype=object), "s": pd.Series(["a", None], dtype="string[python]")})
    cci.upload_dataframe("good", same)
    assert cci.download_dataframe("good")["o"].tolist() == [1, 2]


@pytest.mark.stores("local")
def test_what_comes_back_can_be_written_into(store: Store) -> None:
    cci = store.interface()
    frame = pd.DataFrame({"w": pd.Categorical(["x", "y"]), "n": pd.Categorical([1, 2]), "f": [0.5, 1]}, index=[4, 4])
    cci.upload_dataframe("a", frame)
    found = cci.download_dataframe("a")
    for column, value in (("w", "y"), ("n", 2), ("f", 9.0)):
        found.iloc[0, found.columns.get_loc(column)] = value
    assert found.to_dict("list") == {"w": ["y", "y"], "n": [2, 2], "f": [9.0, 1.0]}


@pytest.mark.stores("local")
def test_what_would_come_back_as_something_else_is_refused(store: Store) -> None:
    cci = store.interface()
    with_array = pd.DataFrame({"x": [1]})
    with_array.attrs = {"unit": "s", "affine": np.eye(2)}
    keys = r"'bad' in .*: the dictionaries in column '?d'? do not all have the same keys"
    for frame, why in (
        (pd.DataFrame({"d": [{"x": 1}, {"y": 2}]}), keys),
        (pd.DataFrame({"d": [[{"x": 1}], np.nan, [{"x": 2}, {}]]}), keys),
        (pd.DataFrame({"d": [{"x": {"a": 1}}, {"x": {"b": 1}}]}), keys),
        (with_array, r"'bad' in .*: attrs\['affine'\] is no JSON"),
        (pd.DataFrame({"x": [2**70]}), r"'bad' in .* cannot be stored as a table: .*too large"),
    ):
        with pytest.raises(UnsupportedArray, match=why):
            cci.upload_dataframe("bad", frame)
    assert not store.raw.keys()
    for same in (
        [{"x": 1, "y": "a"}, None, {"y": "b", "x": 2}],
        [[{"x": 1}], None, [{"x": 2}, {"x": 3}]],
        [[1], [], [2, 3]],
    ):
        frame = pd.DataFrame({"d": same})
        cci.upload_dataframe("good", frame)
        pd.testing.assert_frame_equal(cci.download_dataframe("good"), frame)


def test_some_columns_are_read_alone(recorded: Recorded) -> None:
    cci = recorded.store.interface()
    values = np.random.default_rng(0).standard_normal((40_000, 40))
    frame = pd.DataFrame(values, columns=[f"c{number}" for number in range(40)])
    cci.upload_dataframe("wide", frame)
    size = len(recorded.store.raw.get("wide")[0])
    assert size > 12_000_000
    recorded.proxy.clear()
    some = cci.download_dataframe("wide", columns=["c30", "c3"])
    pd.testing.assert_frame_equal(some, frame[["c30", "c3"]])
    # two of forty columns, the file's first MiB, its table at the end, and whole pages
    assert sum(request.answered for request in recorded.proxy.requests) < 4_000_000
    recorded.proxy.clear()
    pd.testing.assert_frame_equal(cci.download_dataframe("wide"), frame)
    assert sum(request.answered for request in recorded.proxy.requests) < size + 100_000


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": [1, "a"]}),
        pd.DataFrame({"y": [1.5], "x": [object()]}),
        pd.DataFrame({"y": [1, 2]}, index=pd.Index([1, "a"], name="x")),
    ],
    ids=["numbers and text", "objects", "an index"],
)
def test_mixed_objects_are_refused_with_advice(store: Store, frame: pd.DataFrame) -> None:
    with pytest.raises(
        UnsupportedArray, match=r"failed for column x .*: make what is mixed in a column text or numbers"
    ):
        store.interface().upload_dataframe("bad", frame)
    with pytest.raises(UnsupportedArray) as caught:
        store.interface().upload_dataframe("bad", pd.DataFrame({"x": [1 + 2j]}))
    assert "text or numbers" not in str(caught.value)
    assert not store.raw.keys()


@pytest.mark.stores("local")
def test_what_is_no_frame_and_no_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    for frame in (pd.DataFrame({"mixed": [1, "a", {}]}), [1, 2], "text", pd.Series([1]), np.zeros(3), None):
        with pytest.raises(UnsupportedArray, match=r"object 'bad' in local container .* cannot be stored as a table"):
            cci.upload_dataframe("bad", frame)
    assert not store.raw.keys()

    cci.upload_dataframe("good", pd.DataFrame({"x": np.arange(1000.0)}))
    body, _ = store.raw.get("good")
    flipped = bytearray(body)
    flipped[200] ^= 1
    for bad in (b"", b"no parquet, though it is long enough", body[: len(body) // 2], body[:-40], bytes(flipped)):
        cci.upload_object("bad", bad)
        for columns in (None, ["x"]):
            with pytest.raises(CorruptObject, match=r"object 'bad' in .* is no parquet file, or is broken"):
                cci.download_dataframe("bad", columns)
    with pytest.raises(ObjectNotFound):
        cci.download_dataframe("absent")
    with pytest.raises(KeyError, match=r"no columns \['y'\]; it has \['x'\]"):
        cci.download_dataframe("good", columns=["x", "y"])
    with pytest.raises(TypeError, match=r"a list of names: \['x'\]"):
        cci.download_dataframe("good", columns="x")

    for absent in ("pandas", "pyarrow"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, absent, None)
            with pytest.raises(ConfigurationError, match=rf"'{absent}'.*pip install 'cottoncandy\[dataframe\]'"):
                cci.download_dataframe("good")


LARGE = 2**60 + 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([LARGE, None, 3], dtype=object), "Int64"),
        ([[LARGE, None], [3], [4]], "Int64"),
        ([{"a": LARGE}, {"a": None}, {"a": 1}], "Int64"),
    ],
)
def test_whole_numbers_that_would_be_rounded_are_refused(store: Any, values: Any, says: str) -> None:
    cci = store.interface()
    with pytest.raises(UnsupportedArray, match=f"'id' has numbers above .*{says}"):
        cci.upload_dataframe("table", pd.DataFrame({"id": values}))
    assert store.raw.keys() == []


def test_whole_numbers_that_are_kept(store: Any) -> None:
    cci = store.interface()
    frame = pd.DataFrame(
        {
            "kept": pd.array([LARGE, None], dtype="Int64"),
            "whole": [LARGE, 1],
            "kind": pd.Categorical(np.array([LARGE, None], dtype=object)),
        }
    )
    cci.upload_dataframe("table", frame)
    pd.testing.assert_frame_equal(cci.download_dataframe("table"), frame, check_categorical=False)


def test_rows_without_columns_are_refused(store: Any) -> None:
    cci = store.interface()
    with pytest.raises(UnsupportedArray, match="keeps no rows"):
        cci.upload_dataframe("table", pd.DataFrame(index=range(3)))
    cci.upload_dataframe("table", pd.DataFrame(index=["a", "b"]))
    assert cci.download_dataframe("table").index.tolist() == ["a", "b"]

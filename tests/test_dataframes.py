"""Data frames as parquet files."""

from __future__ import annotations

import io
import sys

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

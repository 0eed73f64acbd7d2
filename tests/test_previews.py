"""Pictures of stored arrays: the right kind, of the right values, for few bytes and requests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stores import Recorded, Store

from cottoncandy.datasets import previews
from cottoncandy.errors import UnsupportedArray

MIB = 2**20


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    mpl.use("Agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def preview(cci: Any, array: np.ndarray, compression: Any = False) -> Any:
    cci.upload_raw_array("a", array, compression=compression)
    return cci.open_array("a").preview()


@pytest.mark.stores("local")
def test_the_picture_fits_the_array(store: Store) -> None:
    cci = store.interface()
    numbers = np.random.default_rng(0).standard_normal((4, 5, 6))
    (line,) = preview(cci, numbers[0, 0]).lines
    assert line.get_ydata().tolist() == numbers[0, 0].tolist()
    for array, title, plane in (
        (numbers[0], "a", numbers[0]),
        (numbers, "a[2, :, :]", numbers[2]),
        (np.asfortranarray(numbers), "a[:, :, 3]", numbers[..., 3]),
        (numbers[None].astype(">f4"), "a[0, 2, :, :]", numbers[2].astype("f4")),
        (numbers[0] * 1j, "a", np.abs(numbers[0])),
        (numbers[0] > 0, "a", numbers[0] > 0),
        ((numbers[0] * 100).astype("M8[s]"), "a", (numbers[0] * 100).astype("i8")),
    ):
        ax = preview(cci, array, "Zstd-blocks")
        (image,) = ax.images
        assert ax.get_title() == title
        assert np.array_equal(np.asarray(image.get_array()), plane)
    dates = np.array(["2026-01-01", "NaT"], "M8[D]")
    (line,) = preview(cci, dates).lines
    assert np.array_equal(line.get_ydata(), [20454, np.nan], equal_nan=True)
    assert (line.get_marker(), line.axes.get_ylabel()) == (".", "datetime64[D], as a number")
    assert preview(cci, numbers * 1j).figure.axes[1].get_ylabel() == "absolute value"
    for shape in (3,), (3, 4), (1, 2, 1, 2, 1):
        (said,) = preview(cci, np.full(shape, np.nan)).texts
        assert said.get_text() == "no finite values"
    assert not preview(cci, np.array([np.nan, 1])).texts
    colours = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(np.asarray(preview(cci, colours).images[0].get_array()), colours)
    assert len(preview(cci, numbers.reshape(1, 2, 2, 5, 6)).patches) == 100
    for array in (np.array("text"), np.zeros(0), np.array(3), np.zeros(3, "f4,i4")):
        with pytest.raises(UnsupportedArray):
            preview(cci, array)
    import matplotlib.pyplot as plt

    ax = plt.figure().add_subplot()
    cci.upload_raw_array("b.arr", numbers[0])
    assert cci.get_browser().b_DOT_arr.preview(ax) is ax
    ax.figure.canvas.draw()


def test_little_is_read(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MOST_BYTES", 4 * MIB)
    cci = recorded.store.interface()
    values = np.arange(3 * MIB // 2, dtype="f8")  # 12 MiB
    for compression, shape, rows in ((False, (1536, 1024), 64), ("Zstd-blocks", (1536, 1024), 2), (False, (-1,), 0)):
        stored = values.reshape(shape)
        cci.upload_raw_array("a", stored, compression=compression)
        array = cci.open_array("a")
        recorded.proxy.clear()
        ax = array.preview()
        assert len(recorded.proxy.requests) <= 65
        assert sum(request.answered for request in recorded.proxy.requests) < 4 * MIB
        if rows:
            shown = np.asarray(ax.images[0].get_array())
            assert np.array_equal(shown, stored[:: 1536 // rows])
            assert ax.get_title() == f"a[::{1536 // rows}, :]"
        else:
            places, found = ax.lines[0].get_data()
            assert np.array_equal(places, found, equal_nan=True)
            assert np.isnan(places).sum() == 63
            assert (np.nanmin(places), np.nanmax(places)) == (0, len(values) - 1)


@pytest.mark.stores("local")
def test_all_of_a_large_compressed_array_is_read_on_request_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    cci.upload_raw_array("a", np.random.default_rng(0).standard_normal((300, 300)), compression="Zstd")
    monkeypatch.setattr(previews, "MOST_BYTES", 2**19)
    array = cci.open_array("a")
    with pytest.raises(ValueError, match=r"a is compressed as a whole: a picture needs all of its 6\d\d kB"):
        array.preview()
    assert not array.is_kept
    assert array.preview(whole=True).images
    array._version = replace(array._version, backend=SimpleNamespace(limits=SimpleNamespace(ranges=False)))
    assert array.piece is None


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=6),
    st.sampled_from([1, 8, 64]),
    st.sampled_from("CF"),
    st.booleans(),
)
def test_a_sample_is_small_whatever_the_shape(shape: list[int], itemsize: int, order: str, blocks: bool) -> None:
    array: Any = SimpleNamespace(
        shape=tuple(shape), dtype=np.dtype(f"V{itemsize}"), order=order, piece=2 * MIB if blocks else itemsize
    )
    index = previews.sample(array)
    counts = [
        len(part) if isinstance(part, np.ndarray) else len(range(length)[part]) if isinstance(part, slice) else 1
        for part, length in zip(index, shape, strict=True)
    ]
    assert all(count >= 1 for count in counts)
    assert np.prod(counts, dtype=float) * itemsize <= previews.MOST_BYTES
    assert _runs(index, shape, order) <= (8 if blocks else previews.MOST_PIECES)


@given(st.lists(st.integers(0, 10**4), max_size=6), st.sampled_from("CF"), st.booleans(), st.integers(1, 64), st.data())
def test_what_is_spread_is_few_items_in_few_runs(
    shape: list[int], order: str, blocks: bool, pieces: int, data: st.DataObject
) -> None:
    items = data.draw(st.integers(pieces, 10**5))
    array: Any = SimpleNamespace(shape=tuple(shape), order=order, piece=2 * MIB if blocks else None)
    index = previews.spread(array, items, pieces)
    counts = [len(np.arange(length)[part]) for part, length in zip(index, shape, strict=True)]
    assert np.prod(counts, dtype=float) <= items
    assert all(counts) or 0 in shape
    assert _runs(index, shape, order) <= max(1, min(pieces, 8) if blocks else pieces)
    if np.prod(shape, dtype=float) <= items:
        assert counts == shape


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def _neighbours(start: float, apart: int) -> np.ndarray:
    """Numbers as close to each other as there are, and what is none where they pass the largest."""
    with np.errstate(over="ignore", invalid="ignore"):
        return start + np.arange(9.0) * np.spacing(start) * apart


@given(
    st.lists(FLOATS, min_size=1).map(np.array)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1).map(lambda found: np.array(found, "i8"))
    | st.lists(st.integers(0, 2**64 - 1), min_size=1).map(lambda found: np.array(found, "u8"))
    | st.builds(_neighbours, FLOATS, st.integers(1, 4))
)
@example(_neighbours(np.nextafter(sys.float_info.max, 0), 1))
def test_every_finite_number_is_in_a_bin(values: np.ndarray) -> None:
    values = values[np.isfinite(values)]
    if not values.size:
        return
    counts, edges, start = previews.histogram(values, 12)
    assert counts.sum() == len(values)
    assert len(edges) == len(counts) + 1
    assert np.all(np.diff(edges[[0, -1]] / 4) > 0)
    assert np.all(edges[:-1] <= edges[1:])
    if start == 0 and len(counts) == 12:
        assert edges[0] == pytest.approx(float(values.min()))
        assert edges[-1] == pytest.approx(float(values.max()))
    else:
        assert start == values.min()


@pytest.mark.stores("local")
def test_a_histogram_of_any_numbers(store: Store) -> None:
    cci = store.interface()
    for values, label, bars in (
        (np.full(32, 1e20), "distance from 1e+20", [32]),
        (np.full(32, 2.0), "distance from 2.0", [32]),
        (1.0 + 2.0**-52 * np.repeat([0, 99], 16), "distance from 1.0", [16, *[0] * 98, 16]),
        (np.repeat([0.0, 100.0], 16), "", [16, *[0] * 98, 16]),
        (np.repeat([-1.7e308, 1.7e308], 16), "in units of 1e+300", [16, *[0] * 98, 16]),
        (np.full(32, 1.7e308), "distance from 1.7e+308", [32]),
    ):
        ax = preview(cci, values.reshape(2, 2, 2, 2, 2))
        assert ax.get_xlabel() == label
        assert [bar.get_height() for bar in ax.patches] == bars
        ax.figure.canvas.draw()


def _runs(index: Any, shape: list[int], order: str) -> int:
    """Pieces that lie apart in the stored order."""
    pairs = list(zip(index, shape, strict=True))
    runs, joined = 1, True
    for part, length in pairs if order == "F" else pairs[::-1]:
        if isinstance(part, np.ndarray):
            return int((np.diff(part) > 1).sum()) + 1
        count = len(range(length)[part]) if isinstance(part, slice) else 1
        step = part.step if isinstance(part, slice) else 1
        if not joined or step > 1:
            runs *= count
        joined = joined and count == length
    return runs

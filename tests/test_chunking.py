"""How things are cut: every byte and every item once, in pieces that are as large as was asked for."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cottoncandy import chunking, partsizes
from cottoncandy.backends.base import GIB, MIB, TIB, TransferLimits
from cottoncandy.errors import NotSupported
from cottoncandy.stream import up

S3 = TransferLimits()
DRIVE = TransferLimits(smallest_part=256 * 1024, largest_part=5 * TIB, most_parts=10**9, part_multiple=256 * 1024)
LOCAL = TransferLimits(smallest_part=1, largest_part=2**62, most_parts=10**9)


# ---------------------------------------------------------------------- transfers
@given(size=st.integers(0, 10**6), part=st.integers(1, 10**5))
def test_spans_follow_each_other(size: int, part: int) -> None:
    if size // part > 5000:
        part = size // 5000
    spans = partsizes.spans(size, part)
    assert [start for start, _ in spans] + [size] == [0] + [stop for _, stop in spans]
    assert all(stop - start == part for start, stop in spans[:-1])
    assert all(0 < stop - start <= part for start, stop in spans[-1:])


@pytest.mark.parametrize(
    ("size", "wanted", "limits", "part"),
    [
        (100 * MIB, 32 * MIB, S3, 25 * MIB),
        (96 * MIB + 1, 32 * MIB, S3, 24 * MIB + 1),
        (100 * MIB, MIB, S3, 5 * MIB),
        (100 * MIB, 7 * GIB, S3, 100 * MIB),
        (7 * GIB, 7 * GIB, S3, 3584 * MIB),
        (5 * TIB, 32 * MIB, S3, -(-5 * TIB // 10_000)),
        (100 * MIB, 1_000_000, DRIVE, 4 * 256 * 1024),
        (100, 7, LOCAL, 7),
        (0, 32 * MIB, S3, 5 * MIB),
    ],
)
def test_part_size(size: int, wanted: int, limits: TransferLimits, part: int) -> None:
    assert partsizes.part_size(size, wanted, limits) == part


limits = st.builds(
    TransferLimits,
    smallest_part=st.integers(1, 100),
    largest_part=st.integers(200, 10**6),
    most_parts=st.integers(1, 1000),
    part_multiple=st.integers(1, 50),
)


@given(size=st.integers(0, 10**7), wanted=st.integers(1, 10**7), limits=limits)
def test_parts_keep_to_the_limits(size: int, wanted: int, limits: TransferLimits) -> None:
    try:
        part = partsizes.part_size(size, wanted, limits)
    except NotSupported as error:
        assert "upload_dask_array" in str(error)  # noqa: PT017 - depends on what was drawn
        assert size > limits.most_parts * (limits.largest_part - limits.part_multiple)
        return
    assert limits.smallest_part <= part <= limits.largest_part
    assert part % limits.part_multiple == 0
    assert part * limits.most_parts >= size


def test_what_no_number_of_parts_holds_is_refused() -> None:
    assert partsizes.part_size(10_000 * 5 * GIB, 1, S3) == 5 * GIB
    with pytest.raises(NotSupported, match="10000 parts"):
        partsizes.part_size(10_000 * 5 * GIB + 1, 1, S3)


@pytest.mark.parametrize("wanted", [1, 5 * MIB, 32 * MIB, GIB])
def test_parts_of_a_stream_grow_to_hold_the_largest_object(wanted: int) -> None:
    sizes = list(itertools.islice(partsizes.growing_part_sizes(wanted, S3), S3.most_parts))
    assert sum(sizes) >= 5 * TIB
    assert sizes[0] == max(wanted, 5 * MIB)
    assert sizes == sorted(sizes)
    # what lies in memory stays small beside what was sent
    sent = np.cumsum(sizes)
    assert all(size <= max(wanted, 5 * MIB, 0.05 * before) for size, before in zip(sizes[1:], sent, strict=False))
    assert sizes[-1] < 1.2 * GIB


@pytest.mark.parametrize("most", [1, GIB, 48 * GIB, 100 * GIB, TIB])
def test_parts_of_a_stream_grow_no_more_than_its_length_takes(most: int) -> None:
    sizes = itertools.islice(partsizes.growing_part_sizes(5 * MIB, S3, most), S3.most_parts)
    ends = itertools.accumulate(sizes)
    sent = list(itertools.takewhile(lambda end: end < most, ends))
    largest = max(np.diff(sent, prepend=0), default=5 * MIB)
    assert len(sent) < S3.most_parts
    assert largest <= (5 * MIB if most <= 24 * GIB else 2.1 * most / S3.most_parts)


@pytest.mark.parametrize(("most", "part"), [(GIB, 5), (40 * GIB, 5), (45 * GIB, 6), (90 * GIB, 11), (5 * TIB, 583)])
def test_parts_of_a_stream_whose_length_is_known_are_equal(most: int, part: int) -> None:
    sizes = list(itertools.islice(partsizes.growing_part_sizes(5 * MIB, S3, most), -(-most // (part * MIB))))
    assert max(sizes) == min(sizes) <= part * MIB


@pytest.mark.parametrize("most", [0, 1, 160, GIB, 24 * GIB])
def test_a_stream_that_is_longer_than_was_thought_finds_parts(most: int) -> None:
    sizes = list(itertools.islice(partsizes.growing_part_sizes(5 * MIB, S3, most), S3.most_parts))
    assert sum(sizes) >= 5 * TIB


@given(wanted=st.integers(1, 10**7), limits=limits)
def test_parts_of_a_stream_keep_to_the_limits_and_do_not_end(wanted: int, limits: TransferLimits) -> None:
    for part in itertools.islice(partsizes.growing_part_sizes(wanted, limits), limits.most_parts + 5):
        assert limits.smallest_part <= part <= limits.largest_part
        assert part % limits.part_multiple == 0


@pytest.mark.parametrize("wanted", [1, 4, 16])
def test_fewer_parts_are_sent_at_a_time_where_they_grow(wanted: int) -> None:
    sizes = [5, 5, 5, 8, 8, 14, 15, 16, 40, 40, 3]
    memory = bytes(40 * MIB)
    parts = [(number, memory[: size * MIB], 0) for number, size in enumerate(sizes)]
    for room in (25 * MIB, None):
        runs = up._runs(iter(parts), wanted, room)
        drawn = [(threads, list(run)) for threads, run in runs]
        assert [part for _, run in drawn for part in run] == parts
        for threads, run in drawn:
            most = 25 * MIB // max(len(part) for _, part, _ in run)
            assert threads == (wanted if room is None else min(wanted, max(2, most)))


# ---------------------------------------------------------------------- arrays
shapes = st.lists(st.one_of(st.integers(1, 6), st.integers(0, 40)), max_size=4).map(tuple)


@given(shape=shapes, itemsize=st.integers(0, 20), axis=st.none() | st.integers(-4, 3), buffersize=st.integers(1, 3000))
def test_chunks_tile_the_array(shape: tuple[int, ...], itemsize: int, axis: int | None, buffersize: int) -> None:
    if axis is not None and not -len(shape) <= axis < len(shape):
        axis = 0
    if math.prod(shape) > 5000 and buffersize < 300:
        buffersize = 300
    chunks = chunking.array_chunks(shape, itemsize, axis, buffersize)
    blocks = list(chunking.blocks(chunks))
    assert tuple(map(sum, chunks)) == shape
    assert [block.index for block in blocks] == list(np.ndindex(*map(len, chunks)))
    times = np.zeros(shape, int)
    for block in blocks:
        assert times[block.slices].shape == block.shape
        assert block.shape == tuple(sizes[i] for sizes, i in zip(chunks, block.index, strict=True))
        times[block.slices] += 1
    assert (times == 1).all()


@given(shape=shapes, itemsize=st.integers(0, 20), axis=st.none() | st.integers(-4, 3), buffersize=st.integers(1, 10**5))
def test_chunks_are_small_enough_never_empty_and_no_smaller_than_needed(
    shape: tuple[int, ...], itemsize: int, axis: int | None, buffersize: int
) -> None:
    if axis is not None and not -len(shape) <= axis < len(shape):
        axis = 0
    chunks = chunking.array_chunks(shape, itemsize, axis, buffersize)
    if 0 in shape:
        assert chunks == tuple((length,) for length in shape)
        return
    assert all(size > 0 for sizes in chunks for size in sizes)
    # dask, and others that want one size per axis
    assert all(size == sizes[0] for sizes in chunks for size in sizes[:-1])
    assert all(sizes[-1] <= sizes[0] for sizes in chunks)
    largest = math.prod(sizes[0] for sizes in chunks) * itemsize
    if largest > buffersize:
        assert all(max(sizes) == 1 for i, sizes in enumerate(chunks) if axis is None or i == axis % len(shape))
    if axis is not None:
        assert all(len(sizes) == 1 for i, sizes in enumerate(chunks) if i != axis % len(shape))
    if math.prod(shape) * itemsize <= buffersize:
        assert all(len(sizes) == 1 for sizes in chunks)


@pytest.mark.parametrize(
    ("shape", "axis", "buffersize", "chunks"),
    [
        ((), -1, 100, ()),
        ((), 0, 100, ()),
        ((), None, 100, ()),
        ((1,), -1, 1, ((1,),)),
        ((0,), -1, 100, ((0,),)),
        ((3, 0, 2), 0, 1, ((3,), (0,), (2,))),
        ((10, 60, 100), -1, 100_000, ((10,), (60,), (20,) * 5)),
        ((10, 60, 100), 0, 100_000, ((2,) * 5, (60,), (100,))),
        ((10, 60, 100), -3, 1, ((1,) * 10, (60,), (100,))),
        ((1000, 1000), None, 8 * 10_000, ((100,) * 10, (100,) * 10)),
        ((100, 100, 100), None, 8 * 1000, ((10,) * 10,) * 3),
        ((10**6, 3), None, 8 * 300, ((100,) * 10_000, (3,))),
        ((2, 10**6, 3), None, 8 * 6000, ((2,), (1000,) * 1000, (3,))),
        ((5, 7), None, 1, ((1,) * 5, (1,) * 7)),
    ],
)
def test_chunks(shape: tuple[int, ...], axis: int | None, buffersize: int, chunks: chunking.Chunks) -> None:
    assert chunking.array_chunks(shape, 8, axis, buffersize) == chunks


@given(edge=st.integers(20, 1000), ndim=st.integers(2, 4), items=st.integers(10_000, 10**6))
def test_blocks_are_nearly_isotropic(edge: int, ndim: int, items: int) -> None:
    chunks = chunking.array_chunks((edge,) * ndim, 1, None, items)
    sizes = [axis[0] for axis in chunks]
    assert max(sizes) <= 2 * min(sizes)
    assert math.prod(sizes) >= min(items, edge**ndim) / 2**ndim


@pytest.mark.parametrize(("axis", "shape"), [(2, (3, 4)), (-3, (3, 4)), (1, ()), (-2, ())])
def test_an_axis_that_is_not_there(axis: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"no axis {axis} in an array of {len(shape)} dim"):
        chunking.array_chunks(shape, 8, axis, 100)


def test_an_axis_is_a_whole_number() -> None:
    axis: Any
    for axis in (1.0, (0, 1), "0"):
        with pytest.raises(TypeError, match=f"axis is .* not {re.escape(repr(axis))}"):
            chunking.array_chunks((3, 4), 8, axis, 100)
    assert chunking.array_chunks((3, 4), 8, np.int64(1), 24) == ((3,), (1, 1, 1, 1))


@pytest.mark.parametrize("buffersize", [0, -1])
def test_a_size_that_is_none(buffersize: int) -> None:
    with pytest.raises(ValueError, match="buffersize"):
        chunking.array_chunks((3,), 8, 0, buffersize)


@given(chunks=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple), max_size=3).map(tuple))
def test_empty_chunks_are_left_out(chunks: chunking.Chunks) -> None:
    found = chunking.without_empty(chunks)
    assert tuple(map(sum, found)) == tuple(map(sum, chunks))
    if all(map(sum, chunks)):
        assert [[size for size in sizes if size] for sizes in chunks] == [list(sizes) for sizes in found]
    else:
        assert all(len(sizes) == 1 for sizes in found)


# ---------------------------------------------------------------------- parts of arrays in chunks
@st.composite
def cut_axes(draw: st.DrawFn) -> tuple[tuple[int, ...], chunking.Item]:
    sizes = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=5)))
    length = sum(sizes)
    ends = st.none() | st.integers(-length - 2, length + 2)
    steps = st.sampled_from([None, 1, 2, 3, 7, -1, -2, -5])
    items: list[st.SearchStrategy[chunking.Item]] = [st.builds(slice, ends, ends, steps)]
    if length:
        items += [st.integers(-length, length - 1), st.lists(st.integers(-length, length - 1), max_size=8)]
    return sizes, draw(st.one_of(items))


@given(axis=cut_axes())
def test_picks_make_up_what_numpy_gives(axis: tuple[tuple[int, ...], chunking.Item]) -> None:
    sizes, item = axis
    whole = np.arange(sum(sizes))
    expected = np.atleast_1d(whole[np.array(item, int) if isinstance(item, list) else item])
    found = np.full(len(expected), -1)
    picks = chunking.picks(item, sizes)
    assert [pick.block for pick in picks] == sorted({pick.block for pick in picks})
    for pick in picks:
        start = sum(sizes[: pick.block])
        chunk = whole[start : start + sizes[pick.block]]
        assert pick.count == len(chunk[pick.local]) > 0
        found[pick.target] = chunk[pick.local]
    assert np.array_equal(found, expected)
    if len(picks) == 1 and not picks[0].backward:
        assert np.array_equal(chunk[pick.local], expected)


def test_of_many_chunks_those_that_a_slice_touches_are_looked_at() -> None:
    looked_at = set()

    class Sizes(tuple[int, ...]):
        __slots__ = ()

        def __getitem__(self, block: Any) -> Any:
            looked_at.add(block)
            return super().__getitem__(block)

    picks = chunking.picks(slice(501, 499, -1), Sizes((1,) * 10_000))
    assert [pick.block for pick in picks] == [500, 501]
    assert looked_at == {500, 501}


@pytest.mark.parametrize(
    ("index", "ndim", "items"),
    [
        ((), 2, (slice(None), slice(None))),
        (1, 2, (1, slice(None))),
        ((..., 1), 3, (slice(None), slice(None), 1)),
        ((0, ..., slice(2)), 2, (0, slice(2))),
        ((0, ...), 1, (0,)),
        ((), 0, ()),
        (..., 0, ()),
        (([2, 1], np.int64(3)), 2, ([2, 1], 3)),
        (np.array([2, 1]), 1, ([2, 1],)),
    ],
    ids=str,
)
def test_an_index_is_expanded(index: object, ndim: int, items: tuple[chunking.Item, ...]) -> None:
    assert chunking.expand(index, ndim) == items


@pytest.mark.parametrize(
    "index",
    [
        (1, 2, 3),
        (..., ...),
        (1, 2, ..., 3),
        True,
        [True, False],
        np.array([True, False]),
        ([1], [2]),
        "x",
        1.0,
        [1.5],
        None,
    ],
    ids=str,
)
def test_an_index_that_is_none(index: object) -> None:
    with pytest.raises(IndexError):
        chunking.expand(index, 2)


@pytest.mark.parametrize("item", [3, -4, [0, 3]], ids=str)
def test_what_is_out_of_bounds(item: chunking.Item) -> None:
    with pytest.raises(IndexError, match="out of bounds for an axis of length 3"):
        chunking.picks(item, (2, 1))

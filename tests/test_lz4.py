"""LZ4 blocks that are made slice by slice and unpacked in place: other engines read them, and nothing is guessed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import lz4.block
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cottoncandy import codecs
from cottoncandy.codecs import lz4block
from cottoncandy.errors import CorruptObject

LENGTH = 4
#: Bytes of a slice in these tests.
SLICE = 3000


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lz4block, "SLICE", SLICE)


def _encode(data: bytes) -> bytes:
    return b"".join(codecs.get_codec("LZ4").encode(memoryview(data), 1))  # type: ignore[arg-type]


def _unpack_in_place(body: bytes, nbytes: int) -> bytes:
    way = codecs.get_codec("LZ4").in_place
    assert way is not None
    memory = memoryview(bytearray(b"\xa5") * way.room(len(body), nbytes))
    memory[len(memory) - len(body) :] = body
    way.unpack(memory, len(body), nbytes)
    return bytes(memory[:nbytes])


def _samples(seed: int) -> Iterator[bytes]:
    rng, choice = np.random.default_rng(seed), random.Random(seed)
    for size in (1, 12, 13, SLICE - 1, SLICE, SLICE + 1, SLICE + 12, SLICE + 13, 7 * SLICE + 5):
        yield rng.bytes(size)
        yield bytes(size)
        yield np.cumsum(rng.integers(-3, 4, size // 4 + 1)).astype("f4").tobytes()
        yield rng.integers(0, 2, size).astype("u1").tobytes()
        yield rng.bytes(size) + bytes(size) + rng.bytes(size)
        # literals that look like the token of a last sequence, and like the bytes that go on from one
        token = choice.choice([b"\x50", b"\x60", b"\xe0", b"\xf0", b"\xff", b"\xf0\xff\xff\xff\x00", b"\xf0\x00"])
        pieces = (choice.choice([token * choice.randrange(1, 20), rng.bytes(9), bytes(5)]) for _ in range(size // 9))
        yield b"".join(pieces) + token


@pytest.mark.parametrize("seed", range(20))
def test_one_block_is_made_of_slices(seed: int) -> None:
    for data in _samples(seed):
        body = _encode(data)
        assert int.from_bytes(body[:LENGTH], "little") == len(data)
        assert len(body) - LENGTH <= len(data) + len(data) // 255 + 16
        assert lz4.block.decompress(body[LENGTH:], uncompressed_size=len(data)) == data
        assert _unpack_in_place(body, len(data)) == data


def test_slices_take_little_more_than_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.cumsum(np.random.default_rng(0).integers(-3, 4, 2**19)).astype("f4").tobytes()
    monkeypatch.setattr(lz4block, "SLICE", 2**18)
    whole = lz4.block.compress(data, store_size=False)
    assert len(_encode(data)) - LENGTH < 1.01 * len(whole)


def test_literals_are_not_copied() -> None:
    data = memoryview(np.random.default_rng(0).bytes(10 * SLICE))
    pieces = [memoryview(piece) for piece in lz4block.pack(data)]
    assert max(piece.nbytes for piece in pieces if piece.obj is not data.obj) < SLICE // 10
    assert sum(piece.nbytes for piece in pieces if piece.obj is data.obj) == len(data)


def _scratch(data: bytes) -> memoryview:
    return memoryview(bytearray(len(data) + 13))


def _walk(block: bytes) -> int:
    """Where the last sequence begins, told by all that are before it."""
    token = 0
    while True:
        literals = lz4block._literals(block, token)
        end = literals.start + literals.length
        if end == len(block):
            return token
        follows = end + 2
        if block[token] & 0xF == 0xF:
            while block[follows] == 0xFF:
                follows += 1
            follows += 1
        token = follows


def test_the_last_sequence_is_found_for_certain() -> None:
    several = 0
    for data in (data for seed in range(100, 110) for data in _samples(seed) if len(data) >= 13):
        block = lz4.block.compress(data, store_size=False)
        alike = [t for t in lz4block._tokens_before_the_end(block) if lz4block._reaches_the_end(block, t)]
        several += len(alike) > 1
        assert lz4block._last_sequence(block, _scratch(data)) == _walk(block)
    assert several  # of some, more than one place looks like it


@pytest.mark.parametrize("lure", [b"\x50", b"\xf0\x00", b"\xf0\xff\x05"])
def test_a_last_sequence_of_any_length_is_found(lure: bytes) -> None:
    rng = np.random.default_rng(3)
    for length in (*range(5, 1100), 5000):
        tail = rng.bytes(length)
        for place in (6, 17, 300):
            lured = tail[:-place] + lure + tail[len(tail) - place + len(lure) :] if length > place else tail
            data = bytes(40) + lured
            block = lz4.block.compress(data, store_size=False)
            assert lz4block._last_sequence(block, _scratch(data)) == _walk(block)


def test_a_slice_whose_last_sequence_is_not_found_goes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lz4block, "_last_sequence", lambda block, scratch: 0)
    data = bytes(5 * SLICE)
    body = _encode(data)
    assert len(body) > len(data)
    assert lz4.block.decompress(body[LENGTH:], uncompressed_size=len(data)) == data


@pytest.mark.parametrize("mode", ["default", "fast", "high_compression"])
def test_the_room_is_enough_for_what_others_pack(mode: str) -> None:
    for data in _samples(7):
        block = lz4.block.compress(data * 20, mode=mode, store_size=False)
        assert _unpack_in_place(len(data * 20).to_bytes(LENGTH, "little") + block, len(data * 20)) == data * 20


def test_the_room_is_enough_for_what_the_engine_writes_beyond_a_match() -> None:
    """It copies 32 bytes at a time."""
    rng = np.random.default_rng(4)
    for distance in range(1, 70):
        for repeats in (1, 2, 3):
            for more in (0, 1, 2, 31):
                head = rng.bytes(distance)
                data = head * (repeats + 1) + head[:more] + rng.bytes(int(rng.integers(5, 600)))
                assert _unpack_in_place(_encode(data), len(data)) == data


@cache
def _sample_and_body(seed: int) -> tuple[bytes, bytes]:
    data = list(_samples(seed))[-4]
    return data, _encode(data)


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1), junk=st.binary(max_size=40), cut=st.integers(0, 40), seed=st.integers(0, 9))
def test_a_broken_body_is_told(place: float, junk: bytes, cut: int, seed: int) -> None:
    data, body = _sample_and_body(seed)
    start = int(place * len(body))
    broken = (body[:start] + junk + body[start + len(junk) :])[: len(body) - cut]
    try:
        found = _unpack_in_place(broken, len(data))
    except CorruptObject as error:
        assert "LZ4" in str(error) or "bytes" in str(error)  # noqa: PT017 - LZ4 has no checksum
    else:
        assert len(found) == len(data)


@pytest.mark.parametrize("body", [b"", b"\0", b"\x05\0\0\0", b"\x05\0\0\0\x50hell", b"\x06\0\0\0\x50hello"])
def test_what_ends_too_early_is_told(body: bytes) -> None:
    with pytest.raises(CorruptObject):
        _unpack_in_place(body, 5)


def test_no_memory_is_taken_for_more_than_a_block_can_have() -> None:
    with pytest.raises(CorruptObject, match="behind its end"):
        _unpack_in_place(bytes(2**20), 1000)

"""A moment of the fuzzers in `fuzz.py`."""

from __future__ import annotations

import fuzz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_PLACES = st.floats(0, 1, allow_nan=False)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_strangers_bytes_raise_nothing_else(name: str) -> None:
    target, seeds = fuzz.TARGETS[name]
    for seed in seeds:
        target(seed)

    @settings(max_examples=60)
    @given(
        st.binary(max_size=200)
        | st.tuples(st.sampled_from(seeds), _PLACES, st.binary(max_size=20), st.integers(0, 20)).map(_spliced)
    )
    def fuzzed(data: bytes) -> None:
        target(data)

    fuzzed()


def _spliced(what: tuple[bytes, float, bytes, int]) -> bytes:
    """Honest bytes, of which some are others."""
    seed, place, junk, count = what
    start = int(place * len(seed))
    return seed[:start] + junk + seed[start + count :]

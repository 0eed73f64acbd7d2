"""Metadata as the properties of a Drive file."""

from __future__ import annotations

import numpy as np
import pytest
from drive_store import unpacked
from hypothesis import given
from hypothesis import strategies as st

from cottoncandy.backends.gdrive import properties
from cottoncandy.errors import CorruptObject, NotSupported

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=200)


@given(st.dictionaries(TEXT, TEXT, max_size=8))
def test_metadata_come_back_and_keep_to_the_limits(metadata: dict[str, str]) -> None:
    stored = properties.encode(metadata, "here")
    assert len(stored) <= 30
    assert all(name and len(name.encode()) + len(value.encode()) <= 124 for name, value in stored.items())
    assert properties.decode(stored, "here") == metadata == unpacked(stored)


def test_what_fits_is_there_as_it_is() -> None:
    metadata = {"dtype": "<f8", "shape": "3,5", "exact": "x" * 119}
    assert properties.encode(metadata, "here") == metadata


@pytest.mark.parametrize("name", ["#0", "#", "#x", "n" * 124, ""])
def test_names_that_no_property_has(name: str) -> None:
    metadata = {name: "value", "plain": "1"}
    stored = properties.encode(metadata, "here")
    assert stored["plain"] == "1"
    assert properties.decode(stored, "here") == metadata


def test_many_short_entries_are_put_together() -> None:
    metadata = {f"key{i}": str(i) for i in range(100)}
    assert len(properties.encode(metadata, "here")) <= 30
    assert properties.decode(properties.encode(metadata, "here"), "here") == metadata


def test_a_large_structured_dtype_fits() -> None:
    dtype = np.dtype([(f"field_{i:02}", "<f8", (3,)) for i in range(80)])
    metadata = {"dtype": str(dtype.descr), "shape": "1000", "order": "C", "compression": "False"}
    assert properties.decode(properties.encode(metadata, "here"), "here") == metadata


def test_too_much_is_refused_with_what_to_do() -> None:
    with pytest.raises(NotSupported, match=r"object 'a'.* 5001 bytes.*30 properties of 124 bytes: shorten"):
        properties.encode({"k": "x" * 5000}, "object 'a'")


def test_a_missing_piece_is_noticed() -> None:
    stored = properties.encode({"long": "x" * 500}, "here")
    del stored["#1"]
    with pytest.raises(CorruptObject, match=r"object 'a'.*metadata"):
        properties.decode(stored, "object 'a'")


def test_a_stale_piece_of_longer_metadata_is_passed_over() -> None:
    stored = properties.encode({"long": "x" * 200}, "here") | {"#2": 'xxx"}'}
    assert properties.decode(stored, "here") == {"long": "x" * 200}

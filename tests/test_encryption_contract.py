"""The contract's own suite on an encrypting backend: what lies in the store is decrypted by a second implementation."""

from __future__ import annotations

import pytest
import test_contract
from sealed import DecryptedRaw
from stores import Store

from cottoncandy.backends.base import Backend
from cottoncandy.backends.encrypted.backend import EncryptedBackend
from cottoncandy.backends.encrypted.keys import EncryptionKeys

KEY = bytes(range(32))

# All that has to do with bytes and metadata. Listings, containers and forks pass through.
for _name in (
    "test_put_arrives_whole",
    "test_put_takes_an_arrays_own_memory",
    "test_what_others_wrote_is_read",
    "test_an_object_without_metadata",
    "test_put_replaces_bytes_and_metadata",
    "test_ranges",
    "test_ranges_that_hold_nothing",
    "test_a_reader_fills_buffers_of_any_size",
    "test_read_range_writes_where_it_is_told",
    "test_a_reader_may_be_closed_early_and_twice",
    "test_e_tag_holds_a_read_to_one_version",
    "test_if_absent_never_replaces",
    "test_a_missing_object",
    "test_parts_become_one_object",
    "test_parts_in_threads",
    "test_one_small_part",
    "test_an_aborted_upload_leaves_nothing",
    "test_copy_keeps_bytes_and_metadata",
    "test_copy_of_an_empty_object",
    "test_copy_from_another_container",
    "test_copy_onto_itself_changes_nothing",
    "test_the_stores_own_object",
    "test_errors_and_reprs_name_the_place",
    "test_it_may_be_used_after_close",
    "test_it_pickles",
    "test_many_threads_share_one",
):
    globals()[_name] = getattr(test_contract, _name)

pytestmark = pytest.mark.stores("local", "moto")


@pytest.fixture
def store(place: Store) -> Store:
    return encrypted_store(place)


@pytest.fixture
def backend(store: Store) -> Backend:
    return store.backend()


def encrypted_store(plain: Store) -> Store:
    """The same container, as it is seen with a key."""
    keys, open_plain, second = EncryptionKeys(KEY), plain.backend, plain.second_container
    plain.raw = DecryptedRaw(plain.raw, KEY)
    plain.backend = lambda **changes: EncryptedBackend(open_plain(**changes), keys)  # type: ignore[method-assign]
    plain.second_container = lambda: encrypted_store(second())  # type: ignore[method-assign]
    return plain


def test_metadata_of_any_text_arrives_on_every_store(backend: Backend) -> None:
    metadata = {"shape": "", "With_Case": "caf\u00e9 \U0001f36d", "": "x", "lines": "a\nb"}
    backend.put("name", b"x", metadata)
    assert backend.stat("name").metadata == metadata


def test_listings_tell_what_lies_in_the_store(store: Store, backend: Backend) -> None:
    backend.put("name", b"x" * 100, {"a": "1"})
    head, (listed,), (level,) = backend.stat("name"), backend.list_objects(), backend.list_level()
    assert (head.size, listed.size, level.size, backend.size()) == (100, 128, 128, 128)
    assert head.e_tag == listed.e_tag == level.e_tag
    body, metadata = store.raw.raw.get("name")
    assert len(body) == 128
    assert list(metadata) == ["cc-encryption"]

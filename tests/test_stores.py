"""The test stores themselves: what the other tests build on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kill_soak import access_to
from stores import BOTH_WIRES, QUIRKS, Recorded, Store


def test_put_get_list_delete_behind_the_back(store: Store) -> None:
    assert store.raw.keys() == []
    store.raw.put("exp/a b.arr", b"bytes", {"dtype": "<f8"})
    store.raw.put("exp2", b"")
    assert store.raw.keys() == ["exp/a b.arr", "exp2"]
    assert store.raw.keys("exp/") == ["exp/a b.arr"]
    assert store.raw.get("exp/a b.arr") == (b"bytes", {"dtype": "<f8"})
    store.raw.delete("exp2")
    assert store.raw.keys() == ["exp/a b.arr"]
    with pytest.raises(KeyError):
        store.raw.get("exp2")
    assert store.raw.leftovers() == []


def test_containers_are_apart_and_go_away(store: Store) -> None:
    second = store.second_container()
    store.raw.put("a", b"1")
    assert second.raw.keys() == []
    second.raw.put("b", b"2")
    second.raw.remove()
    second.raw.remove()
    assert store.raw.keys() == ["a"]


@pytest.mark.stores(exclude=["local", "gdrive"])
def test_an_open_upload_is_left_over_and_removed(store: Store) -> None:
    upload = store.raw.client.create_multipart_upload(Bucket=store.container, Key="big")
    assert upload["UploadId"]
    assert store.raw.leftovers() == ["big"]


@pytest.mark.stores("local")
def test_metadata_without_an_object_and_empty_directories_are_left_over(store: Store) -> None:
    store.raw.put("dir/a", b"1", {"shape": "1"})
    (store.raw.root / "dir" / "a").unlink()
    (store.raw.root / "empty").mkdir()
    assert sorted(store.raw.leftovers()) == ["dir/a.meta.json", "empty"]


@pytest.mark.stores(without="no-backslash")
def test_a_backslash_in_a_key(store: Store) -> None:
    _check_key(store, "back\\slash")


@pytest.mark.stores(without="no-newline")
def test_a_line_feed_in_a_key(store: Store) -> None:
    _check_key(store, "line\nfeed")


@pytest.mark.stores(without="no-long-component")
def test_a_long_component_of_a_key(store: Store) -> None:
    _check_key(store, "x" * 256)


def _check_key(store: Store, key: str) -> None:
    store.raw.put(key, b"1")
    assert store.raw.keys() == [key]
    assert store.raw.get(key)[0] == b"1"


def test_metadata_but_for_the_quirks(store: Store) -> None:
    kept = {"plain": "1"}
    kept |= {} if store.has("empty-metadata-lost") else {"empty": ""}
    kept |= {} if store.has("metadata-underscore") else {"under_score": "2"}
    store.raw.put("a", b"1", kept)
    assert store.raw.get("a")[1] == kept


@pytest.mark.stores(without="no-file-and-directory")
def test_a_file_and_a_directory_of_one_name(store: Store) -> None:
    store.raw.put("a/b", b"2")
    store.raw.put("a", b"1")
    assert store.raw.keys() == ["a", "a/b"]


def test_a_misspelt_quirk_is_an_error(store: Store) -> None:
    assert all(store.has(quirk) == (quirk in store.quirks) for quirk in QUIRKS)
    with pytest.raises(ValueError, match="no-backslash"):
        store.has("no-backslashes")


def test_requests_are_recorded_and_raw_access_is_not(recorded: Recorded) -> None:
    store, proxy = recorded
    store.raw.put("a", b"1")
    assert proxy.count() == 0
    assert store.access["endpoint_url"] == proxy.url


PUT = "import cottoncandy; cottoncandy.get_interface(**{!r}).upload_object('theirs', b'x')"


@BOTH_WIRES
def test_whose_connections_lead_to_s3_here_and_in_what_a_test_starts(recorded: Recorded, wire: str) -> None:
    recorded.store.interface().upload_object("mine", b"x")
    subprocess.run([sys.executable, "-c", PUT.format(access_to(recorded.store))], check=True)
    puts = [request for request in recorded.proxy.requests if request.method == "PUT"]
    sent = {request.path.rpartition("/")[2]: "amz-sdk-invocation-id" in request.headers for request in puts}
    assert sent == dict.fromkeys(("mine", "theirs"), wire == "botocore")  # only botocore numbers what it sends

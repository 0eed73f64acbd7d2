"""The test stores themselves: what the other tests build on."""

from __future__ import annotations

import pytest
from stores import Store


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


@pytest.mark.stores(exclude=["local"])
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

"""Listings of S3: the order of bytes on every server, and names as they are."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from operator import attrgetter

import numpy as np
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st
from recorder import Request, Response
from s3_wire import ONCE, before, elsewhere, error
from stores import BOTH_WIRES, Store

from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.backends.s3 import pages
from cottoncandy.backends.s3.listing import in_byte_order
from cottoncandy.errors import TransientError

COMPONENT = st.text(alphabet="ab-.!0\u00e9", min_size=1, max_size=3)
KEYS = st.sets(st.lists(COMPONENT, min_size=1, max_size=4).map("/".join), max_size=40)


def as_directories(keys: set[str]) -> set[str]:
    """Only what a server of directories can hold: `a` and `a/b` not both."""
    return {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}


def by_directory(key: str) -> list[bytes]:
    return [component.encode() for component in key.split("/")]


@given(KEYS, st.sampled_from(["", "a", "a/", "a/b", "-"]))
def test_a_list_by_directories_is_put_into_the_order_of_bytes(keys: set[str], prefix: str) -> None:
    found = sorted((key for key in as_directories(keys) if key.startswith(prefix)), key=by_directory)
    ordered = in_byte_order(found, prefix, str)
    assert list(ordered) == sorted(found, key=str.encode)


@given(KEYS, st.sampled_from(["", "a", "a/", "a/b", "-"]))
def test_a_level_by_directories_too(keys: set[str], prefix: str) -> None:
    found = sorted((key for key in as_directories(keys) if key.startswith(prefix)), key=by_directory)
    level: dict[str, ObjectInfo | ObjectPrefix] = {}
    for key in found:
        slash = key.find("/", len(prefix)) + 1
        level.setdefault(key[:slash] or key, ObjectPrefix(key[:slash]) if slash else ObjectInfo(key, 0))
    assert [entry.key for entry in in_byte_order(iter(level.values()), prefix, attrgetter("key"))] == sorted(
        level, key=str.encode
    )


def test_what_waits_is_no_more_than_a_directory() -> None:
    def keys() -> Iterator[str]:
        yield from ("a/1", "a/2", "a-b", "b/1")
        raise AssertionError("it asked for more than it needed")

    ordered = in_byte_order(keys(), "", str)
    assert [next(ordered) for _ in range(3)] == ["a-b", "a/1", "a/2"]


@pytest.mark.stores("moto", "seaweedfs", "ceph")
@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_pages_are_as_large_as_asked_for(store: Store, page_size: int) -> None:
    keys = ["a/1", "a/2", "a-b", "b%20c", "b c", "b+c"]
    for key in keys:
        store.raw.put(key, b"x")
    with before(store) as (backend, proxy):
        assert [info.key for info in backend.list_objects(page_size=page_size)] == sorted(keys)
        assert {request.query["max-keys"] for request in proxy.requests} == {str(page_size)}
        assert len(proxy.requests) == -(-len(keys) // page_size)
        proxy.clear()
        list(backend.list_objects())
        assert "max-keys" not in proxy.requests[0].query


def test_a_page_may_be_empty_and_not_the_last() -> None:
    found = "<Contents><Key>a</Key><Size>3</Size><ETag>abc</ETag></Contents>"
    pages = [
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t1</NextContinuationToken>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t2</NextContinuationToken>" + found,
        "<IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>",
    ]
    nameless = "<CommonPrefixes><Prefix/></CommonPrefixes><CommonPrefixes><Prefix></Prefix></CommonPrefixes>"

    def hook(request: Request) -> Response:
        token = request.query.get("continuation-token", "t0")
        return Response(200, f"<ListBucketResult>{nameless}{pages[int(token[1])]}</ListBucketResult>".encode())

    with elsewhere(hook) as (backend, _):
        assert list(backend.list_level()) == [ObjectInfo("a", 3, None, '"abc"'), ObjectPrefix("b/")]


# ------------------------------------------------------------------ large branches
FORKED = [
    *(f"data/deep/{branch}/{number:02}" for branch in ("a", "b-b", "b", "\u00e9", "z") for number in range(25)),
    *("data/deep/a-file", "data/deep/b.txt", "data/deep/zz", "data/deep/zzz"),
]
SIBLINGS = ["data-2", "data.txt", "datb"]


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_large_branches_are_listed_side_by_side(store: Store) -> None:
    for key in FORKED + SIBLINGS:
        store.raw.put(key, b"x")
    wanted = sorted(FORKED, key=str.encode)
    with before(store) as (backend, proxy):
        for prefix in ("", "data/", "data/deep/"):
            expected = sorted(FORKED + SIBLINGS, key=str.encode) if not prefix else wanted
            assert [info.key for info in backend.list_objects(prefix, page_size=5)] == expected
        levels = [request for request in proxy.requests if "delimiter" in request.query]
        assert bool(levels) == (store.name != "seaweedfs")
        stopped = backend.list_objects("data/", page_size=5)
        assert [next(stopped).key for _ in range(60)] == wanted[:60]
        stopped.close()  # type: ignore[attr-defined]
        assert not [thread for thread in threading.enumerate() if re.fullmatch(r"cottoncandy(_\d+)?", thread.name)]


@pytest.mark.stores("moto", "ceph")
def test_ranges_of_small_branches_are_listed_side_by_side(store: Store) -> None:
    """Where one range ends and the next one begins, there may be the marker of a directory, and objects beside it."""
    names = [f"{number:02}{letter}" for number in range(25) for letter in ("", "a", "\u00e9", "\U0001f600")]
    keys = [f"data/{name}/{rest}" for name in names for rest in ("", "x", "y/z")]
    for key in keys + SIBLINGS:
        store.raw.put(key, b"x")
    with before(store) as (backend, proxy):
        assert [info.key for info in backend.list_objects("data/", page_size=7)] == sorted(keys, key=str.encode)
        starts = {request.query["start-after"] for request in proxy.requests if "start-after" in request.query}
        assert len(starts) == 7
        # four pages, the level, and a last page of each of eight ranges that is not full
        assert len(proxy.requests) <= -(-len(keys) // 7) + 1 + 8
        proxy.clear()
        stopped = backend.list_objects("data/", page_size=7)
        assert [next(stopped).key for _ in range(28)] == sorted(keys, key=str.encode)[:28]
        stopped.close()  # type: ignore[attr-defined]
        assert len(proxy.requests) == 4
        assert not [thread for thread in threading.enumerate() if re.fullmatch(r"cottoncandy(_\d+)?", thread.name)]


@pytest.mark.stores("moto")
def test_branches_of_few_pages_are_listed_page_by_page(store: Store) -> None:
    keys = [f"data/{number:03}/x" for number in range(45)]
    for key in keys:
        store.raw.put(key, b"x")
    with before(store) as (backend, proxy):
        assert [info.key for info in backend.list_objects("data/", page_size=5)] == keys
        assert len(proxy.requests) == 9 + 1


@pytest.mark.stores("moto")
def test_small_branches_behind_large_ones_cost_no_request_each(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_MOST_BRANCHES", 10)
    keys = [*(f"data/a/{number:02}" for number in range(25)), *(f"data/b{number:02}/x" for number in range(25))]
    for key in keys:
        store.raw.put(key, b"x")
    with before(store) as (backend, proxy):
        assert [info.key for info in backend.list_objects("data/", page_size=5)] == keys
        # four pages, the level, and what is left
        assert len(proxy.requests) <= 4 + 1 + 6


@pytest.mark.stores("moto")
def test_a_failure_in_a_branch_is_raised(store: Store) -> None:
    for key in FORKED:
        store.raw.put(key, b"x")
    fails = partial(_fail_below, "data/deep/z/")
    with before(store, hook=fails, config=Config(retries=ONCE)) as (backend, _):
        listed = backend.list_objects("data/", page_size=5)
        before_it = [key for key in sorted(FORKED, key=str.encode) if key < "data/deep/z/"]
        assert [next(listed).key for _ in before_it] == before_it
        with pytest.raises(TransientError):
            next(listed)


def _fail_below(prefix: str, request: Request) -> Response | None:
    return error("InternalError", 500) if request.query.get("prefix") == prefix else None


# ------------------------------------------------------------------ names that XML cannot hold
@BOTH_WIRES
@pytest.mark.stores("ceph")
@pytest.mark.parametrize("key", ["run\x01/big", "run/b+ g%20\x1f", "run\ufffe/big\uffff"])
def test_a_name_with_a_control_character(store: Store, key: str) -> None:
    """Ceph repeats it with references that XML forbids, as in the answer to who begins an upload."""
    cci, directory = store.interface(), key.rpartition("/")[0]
    backend = cci.backend_interface
    cci.upload_object(key, b"small")
    assert cci.download_object(key) == b"small"
    upload = backend.start_upload(key, {})
    upload.send_part(1, b"x" * 5 * 2**20)
    upload.send_part(2, b"tail")
    backend.start_upload(key, {}).send_part(1, b"left")
    assert [one.key for one in backend.unfinished_uploads(directory)] == [key] * 2
    upload.complete()
    assert store.raw.get(key)[0] == b"x" * 5 * 2**20 + b"tail"
    assert [one.key for one in cci.clean_uploads(older_than=0)] == [key]
    assert store.raw.leftovers() == []
    cci.upload_object(f"{directory}/other", b"x")
    assert sorted(cci.ls(f"{directory}/")) == sorted([f"{directory}/other", key])
    cci.dict2cloud(f"{directory}/tree", {"a": np.arange(3)}, verbose=False)
    assert cci.cloud2dict(f"{directory}/tree", verbose=False)["a"].tolist() == [0, 1, 2]
    cci.rm(directory, recursive=True)
    assert store.raw.keys() == []

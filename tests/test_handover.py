"""URLs for others, and versions of objects."""

from __future__ import annotations

import io
import logging
import pickle
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from stores import BOTH_WIRES, RawBucket, Store

import cottoncandy as cc
from cottoncandy.backends.base import Backend
from cottoncandy.backends.s3.backend import NOT_AT_A_VERSION
from cottoncandy.errors import ConfigurationError, CottonCandyError, CredentialsNotFound, NotSupported, ObjectNotFound

ODD = "a b/x+%41 ü'.npy"


def fetch(store: Store, url: str, body: bytes | None = None) -> bytes:
    """What a plain client gets, which has no keys."""
    request = urllib.request.Request(url, body, method="GET" if body is None else "PUT")
    request.add_header("Content-Type", "application/octet-stream")
    trusted = store.server.ca_bundle if store.server else None
    context = ssl.create_default_context(cafile=trusted) if trusted else None
    with urllib.request.urlopen(request, context=context) as answer:
        return bytes(answer.read())


# ---------------------------------------------------------------------- URLs
@pytest.mark.stores(exclude=["local", "gdrive"])
def test_who_has_the_url_reads_and_writes_without_keys(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    cci = store.interface()
    array = np.arange(1000.0)
    cci.upload_npy_array(ODD, array)
    with caplog.at_level(logging.DEBUG, "cottoncandy"):
        url = cci.get_presigned_url(f"//{ODD}", expires=timedelta(minutes=5))
        assert np.array_equal(np.load(io.BytesIO(fetch(store, url))), array)
        written = cci.get_presigned_url("from outside", method="PUT")
        fetch(store, written, b"\x00bytes")
    assert cci.download_object("from outside") == b"\x00bytes"
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    assert asked["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]  # not the version that newer buckets refuse
    assert asked["X-Amz-Expires"] == ["300"]
    assert store.access["secret_key"] not in url
    assert asked["X-Amz-Signature"][0] not in caplog.text


@BOTH_WIRES
@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_a_url_of_who_pays_says_so(store: Store) -> None:
    """In its query, under its signature: a browser sends no header of Amazon's."""
    cci = store.interface(requester_pays=True)
    for url in (cci.get_presigned_url(ODD, method="put"), cci.get_presigned_url(ODD)):
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
        assert asked["x-amz-request-payer"] == ["requester"]
        assert asked["X-Amz-SignedHeaders"] == ["host"]
        fetched = fetch(store, url, None if store.raw.keys() else b"bytes")
    assert fetched == b"bytes"
    assert "payer" not in store.interface().get_presigned_url(ODD)
    if store.name == "ceph":  # which looks at signatures
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(store, url.replace("x-amz-request-payer=requester", "x-amz-request-payer=somebody"))


@pytest.mark.stores("ceph")
def test_a_url_is_for_one_object_and_one_method_and_ends(store: Store) -> None:
    cci = store.interface()
    for name in ("one", "other"):
        cci.upload_object(name, name)
    url = cci.get_presigned_url("one")
    assert fetch(store, url) == b"one"
    past = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200")
    for broken in (url.replace("/one?", "/other?"), past):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(store, broken)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(store, url, b"not to be written")
    assert cci.download_object("one") == b"one"


@pytest.mark.stores("moto")
def test_what_no_url_is_made_for(store: Store) -> None:
    cci = store.interface()
    for seconds in (0, -1, 0.5, 7 * 24 * 3600 + 1, timedelta(days=8)):
        with pytest.raises(ConfigurationError, match=r"'name' in bucket .* 1 to 604800 seconds"):
            cci.get_presigned_url("name", expires=seconds)
    assert "Expires=604800&" in cci.get_presigned_url("name", expires=timedelta(days=7))
    with pytest.raises(ValueError, match="'get' or 'put', not 'delete'"):
        cci.get_presigned_url("name", method="delete")
    anonymous = store.interface(ACCESS_KEY=None, SECRET_KEY=None, signature_version="unsigned")
    with pytest.raises(CredentialsNotFound, match="without keys no URL"):
        anonymous.get_presigned_url("name")


# ---------------------------------------------------------------------- versions
@pytest.fixture
def versioned(store: Store) -> Store:
    raw = store.raw
    assert isinstance(raw, RawBucket)
    raw.client.put_bucket_versioning(Bucket=raw.bucket, VersioningConfiguration={"Status": "Enabled"})
    return store


@pytest.mark.stores(exclude=["local", "gdrive", "ceph-tls"])
def test_old_versions_are_told_read_and_restored(versioned: Store) -> None:
    cci = versioned.interface()
    name = "sub 01/bold+ü"
    for scan in range(3):
        cci.upload_raw_array(name, np.full(50_000, scan), compression=False, scan=scan)
    cci.upload_object(f"{name}2", b"another")
    cci.rm(name)
    assert not cci.exists_object(name)

    marker, *versions = cci.get_object_versions(f"/{name}")
    assert (marker.is_delete_marker, marker.is_latest, marker.key) == (True, True, name)
    assert [(one.size, one.is_latest, one.is_delete_marker) for one in versions] == [(400_000, False, False)] * 3
    assert len({one.version_id for one in versions}) == len({one.e_tag for one in versions}) == 3
    read = [cci.at_version(one.version_id).download_raw_array(name)[7] for one in versions]
    assert sorted(read) == [0, 1, 2]  # the order is the store's dates', of whole seconds

    first = versions[read.index(0)]
    old = cci.at_version(first.version_id)
    for call in (old.lsdir, lambda: old.glob("*"), lambda: old.ls("*")):
        with pytest.raises(NotSupported, match="nothing else done"):
            call()
    with pytest.raises(ObjectNotFound, match=r"version '.*' of object .*2'"):
        old.download_object(f"{name}2")
    deleted = cci.at_version(marker.version_id)
    assert not deleted.exists_object(name)
    for call in (
        lambda: deleted.download_object(name),
        lambda: deleted.backend_interface.stat(name),
        lambda: cci.restore_version(name, marker.version_id),
    ):
        with pytest.raises(ObjectNotFound, match="version"):
            call()
    dataset = pickle.loads(pickle.dumps(old.open_array(name)))
    assert (dataset[5:9].tolist(), dataset.metadata["scan"], old.exists_object(name)) == ([0] * 4, "0", True)
    assert len(fetch(versioned, old.get_presigned_url(name))) == 400_000

    refused = [
        lambda: old.rm(name),
        lambda: old.upload_object("new", b""),
        lambda: old.cp(name, "new"),
        lambda: old.ls(""),
        lambda: old.dict2cloud("tree", {"a": np.zeros(1)}, verbose=False),
        lambda: old.restore_version(name, first.version_id),
        lambda: old.get_presigned_url(name, method="put"),
        lambda: old.clean_uploads(older_than=0),
        lambda: old.backend_interface.create_container("new"),
        lambda: old.backend_interface.remove_container(str(old.bucket_name)),
        lambda: old.backend_interface.begin_put(name, b"", {}),
        lambda: old.backend_interface.begin_copy(name, "new", 1),
    ]
    upload = cci.backend_interface.start_upload(f"{name}3", {})
    for call in refused:
        with pytest.raises(NotSupported, match="one object can be read"):
            call()
    assert len(cci.get_object_versions(name)) == 4
    assert versioned.raw.leftovers() == [f"{name}3"]
    upload.abort()

    cci.restore_version(name, first.version_id)
    assert np.array_equal(cci.download_raw_array(name), np.zeros(50_000))
    assert versioned.raw.get(name)[1]["scan"] == "0"
    assert len(cci.get_object_versions(name)) == 5
    assert [one.key for one in cci.get_object_versions("sub 01")] == []


@pytest.mark.stores("moto")
def test_what_is_refused_at_a_version_is_named_as_what_it_is(store: Store) -> None:
    cci = store.interface()
    old = cci.at_version("v1")
    bucket, none = f"bucket '{cci.bucket_name}'", "at a version one object can be read, and nothing else done"
    told: dict[str, Callable[[], Any]] = {
        "bucket 'new'": lambda: old.create_bucket("new"),
        "bucket 'other'": lambda: old.backend_interface.remove_container("other"),
        bucket: lambda: old.ls("sub/"),
        f"version 'v1' of object 'a' in {bucket}": lambda: old.upload_object("a", b""),
    }
    for named, call in told.items():
        with pytest.raises(NotSupported) as caught:
            call()
        assert str(caught.value) == f"{named}: {none}"
    assert "new" not in cci.backend_interface.list_containers()


def test_all_of_the_contract_is_read_or_refused_at_a_version() -> None:
    contract = {name for name in vars(Backend) if not name.startswith("_") and callable(getattr(Backend, name))}
    reads = {
        "open",
        "open_version",
        "begin_open",
        "read_range",
        "stat",
        "entry",
        "exists",
        "presigned_url",
        "native_object",
    }
    of_names = {"at", "at_version", "connect", "default_container", "describe", "place", "on_disk", "listed_sizes"}
    looks = {"list_containers", "container_exists", "list_versions", "owner", "native_container", "diagnose"}
    # no key is rotated on S3 itself
    answers = {"answers_later", "has_md5", "gives_way", "refuse_unknown", "rotate_key", "close"}
    assert contract - NOT_AT_A_VERSION == reads | of_names | looks | answers


@pytest.mark.stores("moto")
def test_a_large_version_is_restored_in_parts(versioned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = versioned.interface()
    body = np.random.default_rng(0).bytes(11 * 2**20)
    cci.upload_object("large", body, subject="S01")
    cci.upload_object("large", b"small")
    old = next(one for one in cci.get_object_versions("large") if not one.is_latest)
    monkeypatch.setattr(type(cci.backend_interface), "largest_copy", 2**20)
    monkeypatch.setattr(type(cci.backend_interface), "copy_part", 5 * 2**20)
    cci.restore_version("large", old.version_id)
    assert versioned.raw.get("large") == (body, {"subject": "S01"})
    assert cci.get_object_versions("large")[0].e_tag.endswith('-3"')


@pytest.mark.stores("moto")
def test_without_versioning_there_is_the_one_that_there_is(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("one", b"1")
    (only,) = cci.get_object_versions("one")
    assert (only.size, only.is_latest, only.is_delete_marker) == (1, True, False)
    assert cci.at_version(only.version_id).download_object("one") == b"1"
    with pytest.raises(CottonCandyError, match="version 'none' of object 'one'"):
        cci.restore_version("one", "none")


@pytest.mark.stores("local", "gdrive")
def test_stores_without_say_so(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("one", b"1")
    backend = cci.backend_interface.name
    with pytest.raises(NotSupported, match=f"^the {backend} backend cannot make URLs for others$"):
        cci.get_presigned_url("one")
    for call in (
        lambda: cci.get_object_versions("one"),
        lambda: cci.at_version("1"),
        lambda: cci.restore_version("one", "1"),
    ):
        with pytest.raises(NotSupported, match=f"^the {backend} backend cannot keep versions of objects$"):
            call()
    assert isinstance(cci, cc.interfaces.DefaultInterface)

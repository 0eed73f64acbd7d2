"""Copies inside the store: who may read them, and that they replace nothing that they are not to replace."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorder import RecordingProxy, Request, Response
from s3_wire import MD5_OF_X, amazon, answer_writes, error, operation
from stores import BOTH_WIRES, Store

import cottoncandy as cc
from cottoncandy.backends.base import MIB, WriteOptions
from cottoncandy.errors import ObjectChanged, ObjectExists, TransientError

with_acls = pytest.mark.stores("moto", "ceph", "ceph-tls")
OTHERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


def lets_others_read(store: Store, key: str) -> bool:
    answer = store.raw.client.get_object_acl(Bucket=store.container, Key=key)  # type: ignore[attr-defined]
    return OTHERS in {grant["Grantee"].get("URI") for grant in answer["Grants"]}


COPIES: dict[str, Callable[[Any], Any]] = {
    "cp": lambda cci: cci.cp("from/a", "to/a"),
    "cp of a branch": lambda cci: cci.cp("from", "to"),
    "cp over another": lambda cci: cci.cp("from", "to", overwrite=True),
    "mv": lambda cci: cci.mv("from/a", "to/a"),
    "sync": lambda cci: cci.sync("from", "to"),
    "fs.cp_file": lambda cci: cci.fs.cp_file("from/a", "to/a"),
    "fs.copy": lambda cci: cci.fs.copy("from/a", "to/a"),
}


@with_acls
@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("chosen", [False, True], ids=["by default", "by the user"])
def test_a_copy_of_what_is_private_is_private(
    store: Store, copy: str, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen:
        monkeypatch.setenv("COTTONCANDY_BASIC_DEFAULT_ACL", "authenticated-read")
    cci = store.interface()
    for name in "ab":
        cci.upload_object(f"from/{name}", b"patient", acl="private")
    cci.upload_object("public", b"x")
    assert (lets_others_read(store, "from/a"), lets_others_read(store, "public")) == (False, True)
    COPIES[copy](cci)
    assert store.raw.get("to/a")[0] == b"patient"
    assert not lets_others_read(store, "to/a")


@pytest.mark.stores("moto")
def test_an_old_version_comes_back_private(store: Store) -> None:
    cci = store.interface()
    cci.get_bucket().Versioning().enable()
    cci.upload_object("a", b"patient", acl="private")
    cci.upload_object("a", b"nothing")
    cci.restore_version("a", cci.get_object_versions("a")[1].version_id)
    assert store.raw.get("a")[0] == b"patient"
    assert not lets_others_read(store, "a")


@pytest.mark.stores("ceph", "ceph-tls")  # moto cannot tell the ACL of an upload in parts that came without one
def test_another_key_lets_nobody_in(store: Store) -> None:
    old, new = cc.generate_encryption_key(), cc.generate_encryption_key()
    store.interface(encryption_key=old).upload_object("a", b"patient", acl="private")
    rotating = store.interface(encryption_key=cc.EncryptionKeys(new, old))
    assert rotating.backend_interface.rotate_key("a")
    assert not lets_others_read(store, "a")


ROTATED = pytest.mark.stores("moto", "seaweedfs", "ceph")


@BOTH_WIRES
@ROTATED
@pytest.mark.parametrize("weak", [False, True], ids=["strong", "weak"])
@pytest.mark.parametrize("name", ["a", "a b%20c/\u00e9"])
def test_another_key_destroys_nothing_that_is_written_meanwhile(store: Store, weak: bool, name: str) -> None:
    """Ceph 16 and moto pass over the condition of a copy, and a weak ETag cannot be one."""
    old, new = cc.generate_encryption_key(), cc.generate_encryption_key()
    writer, body = store.interface(encryption_key=old), b"second, and newer"
    writer.upload_object(name, b"first", subject="S01")
    is_written: list[bool] = []

    def hook(request: Request) -> None:
        is_of_name = request.path.endswith(f"/{name}") and request.headers["x-amz-copy-source"]
        if is_of_name and not is_written:  # the last moment before it is copied
            is_written.append(bool(writer.upload_object(name, body, subject="S02")))

    assert store.server is not None
    weakened = {"etag": "W/"} if weak else {}
    rewrite = lambda header, value: weakened.get(header.lower(), "") + value  # noqa: E731
    with RecordingProxy(store.server.endpoint, hook=hook, rewrite=rewrite) as proxy:
        rotating = store.interface(encryption_key=cc.EncryptionKeys(new, old), endpoint_url=proxy.url)
        with pytest.raises(ObjectChanged, match="0 objects were given"):
            rotating.rotate_encryption_key()
        assert is_written
        assert store.raw.keys() == [name]
        assert store.raw.leftovers() == []
        assert writer.download_object(name) == body
        assert rotating.rotate_encryption_key() == 1
    now = store.interface(encryption_key=new)
    assert now.download_object(name) == body
    assert now.download_stream(name).metadata == {"subject": "S02"}
    assert store.raw.keys() == [name]


@ROTATED
def test_what_heeds_a_version_is_asked_no_more_than_once_whether_it_does(store: Store) -> None:
    old, new = cc.generate_encryption_key(), cc.generate_encryption_key()
    writer = store.interface(encryption_key=old)
    for name in "abc":
        writer.upload_object(name, b"body")
    assert store.server is not None
    with RecordingProxy(store.server.endpoint) as proxy:
        rotating = store.interface(encryption_key=cc.EncryptionKeys(new, old), endpoint_url=proxy.url)
        proxy.clear()
        assert rotating.rotate_encryption_key(threads=1) == 3
        assert proxy.count("GET") == 1  # the listing: nothing goes through this machine
        asked = [operation(request) for request in proxy.requests].count("PUT copy")
        assert asked == (1 + 3 if store.name == "seaweedfs" else 1)
    assert store.raw.keys() == ["a", "b", "c"]


def test_amazon_is_not_asked_whether_it_heeds_a_version() -> None:
    def hook(request: Request) -> Response:
        is_object = request.method == "HEAD" and request.path.endswith("/key")
        return Response(200, b"", {"ETag": MD5_OF_X, "Content-Length": "1"}) if is_object else answer_writes(request)

    with amazon(hook) as (backend, proxy):
        backend.copy("key", "key", metadata={"kind": "other"}, e_tag=MD5_OF_X)
        assert [operation(request) for request in proxy.requests] == ["HEAD", "PUT copy"]
        assert proxy.requests[-1].headers["x-amz-copy-source-if-match"] == MD5_OF_X


def in_small_parts(store: Store) -> Any:
    backend = store.backend()
    backend.largest_copy = backend.copy_part = 6 * MIB
    return backend


@BOTH_WIRES
@ROTATED
@pytest.mark.parametrize("size", [5, 7 * MIB], ids=["at once", "in parts"])
@pytest.mark.parametrize("metadata", [None, {"kind": "other"}], ids=["as it is", "other metadata"])
def test_a_copy_keeps_its_tags_and_what_is_said_of_it(store: Store, size: int, metadata: dict[str, str] | None) -> None:
    backend, tags = in_small_parts(store), {"a": "b", "of whom": "S01 + S02"}
    extra = {
        "ContentDisposition": 'attachment; filename="\u00fc\u65e5.txt"',
        "Tagging": urllib.parse.urlencode(tags, quote_via=urllib.parse.quote),
    }
    backend.put("from", bytes(size), {"kind": "test"}, WriteOptions(extra=extra))
    backend.copy("from", "to", metadata=metadata, e_tag=backend.stat("from").e_tag)
    assert store.raw.get("to") == (bytes(size), metadata or {"kind": "test"})
    told = client_of(store).get_object_tagging(Bucket=store.container, Key="to").get("TagSet", [])
    assert {tag["Key"]: tag["Value"] for tag in told} == tags
    kept = [disposition(store, name) for name in ("from", "to")]
    assert kept[1] == kept[0]
    assert store.name == "seaweedfs" or kept[1] == extra["ContentDisposition"].encode()


@ROTATED
def test_what_has_no_tags_is_not_asked_for_them(store: Store) -> None:
    store.raw.put("from", bytes(7 * MIB))
    assert store.server is not None
    with RecordingProxy(store.server.endpoint) as proxy:
        backend = store.backend(endpoint_url=proxy.url)
        backend.largest_copy = backend.copy_part = 6 * MIB
        backend.copy("from", "to")
        assert not any("tagging" in request.query for request in proxy.requests)
    assert store.raw.get("to")[0] == bytes(7 * MIB)


@pytest.mark.stores("moto")
def test_tags_that_cannot_be_read_are_told_of(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    in_small_parts(store).put("from", bytes(7 * MIB), {}, WriteOptions(extra={"Tagging": "a=b"}))
    assert store.server is not None
    refused = lambda request: error("AccessDenied", 403) if "tagging" in request.query else None  # noqa: E731
    with RecordingProxy(store.server.endpoint, hook=refused) as proxy:
        backend = store.backend(endpoint_url=proxy.url)
        backend.largest_copy = backend.copy_part = 6 * MIB
        backend.copy("from", "to")
    assert "'from'" in caplog.text
    assert "AccessDenied" in caplog.text
    assert store.raw.get("to")[0] == bytes(7 * MIB)


@pytest.mark.stores("moto")
def test_tags_are_not_lost_because_the_store_is_busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_RETRY_LONGEST_WAIT", "0.01")
    in_small_parts(store).put("from", bytes(7 * MIB), {}, WriteOptions(extra={"Tagging": "a=b"}))
    assert store.server is not None
    busy = lambda request: error("SlowDown", 503) if "tagging" in request.query else None  # noqa: E731
    with RecordingProxy(store.server.endpoint, hook=busy) as proxy:
        backend = store.backend(endpoint_url=proxy.url)
        backend.largest_copy = backend.copy_part = 6 * MIB
        with pytest.raises(TransientError, match="'from'"):
            backend.copy("from", "to")
    assert store.raw.keys() == ["from"]
    assert store.raw.leftovers() == []


def client_of(store: Store) -> Any:
    return store.raw.client  # type: ignore[attr-defined]


def disposition(store: Store, name: str) -> bytes | None:
    """The header as it is on the wire."""
    url = client_of(store).generate_presigned_url("get_object", {"Bucket": store.container, "Key": name})
    with urllib.request.urlopen(url) as answer:
        value = answer.headers["Content-Disposition"]
    return None if value is None else str(value).encode("latin-1")


@with_acls
def test_what_an_upload_copies_to_its_place_is_as_uploaded(store: Store) -> None:
    cci, private = store.interface(), {"acl": "private"}
    for acl in ({}, private, {}):
        for number in range(2):  # the second one takes the place of the first by copies
            cci.dict2cloud("tree", {"a": np.arange(3.0), "b": np.arange(number)}, verbose=False, **acl)
            cci.upload_sparse_array("sparse", _sparse(number))
        assert lets_others_read(store, "tree/a") is (acl != private)
        assert lets_others_read(store, "sparse/data")


@with_acls
def test_another_writers_tree_comes_to_its_places_for_its_owner_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer was killed when it was all there; who brings it to its places cannot tell who may read it."""
    cci, killed = store.interface(), store.interface()
    cci.dict2cloud("tree", {"a": np.zeros(2)}, verbose=False)
    put, put_of_killed = cci.backend_interface.put, killed.backend_interface.put
    writers = iter([killed])

    class Kill(BaseException): ...

    def dead(*_: Any, **__: Any) -> Any:
        raise Kill

    def put_until_complete(key: str, *arguments: Any, **named: Any) -> Any:
        put_of_killed(key, *arguments, **named)
        if "/complete-" in key:
            monkeypatch.setattr(killed.backend_interface, "delete", dead)
            raise Kill

    def put_then_another_comes(key: str, *arguments: Any, **named: Any) -> Any:
        receipt = put(key, *arguments, **named)
        if "/complete-" in key and (other := next(writers, None)):
            with pytest.raises(Kill):
                other.dict2cloud("tree", {"a": np.ones(2), "b": np.ones(3)}, acl="private", verbose=False)
        return receipt

    monkeypatch.setattr(killed.backend_interface, "put", put_until_complete)
    monkeypatch.setattr(cci.backend_interface, "put", put_then_another_comes)
    versions = iter(["0" * 16, "f" * 16])  # of two that count at the same time, the killed one's is the newest
    monkeypatch.setattr("cottoncandy.interfaces.arrays.tree.new_version", lambda: next(versions))
    cci.dict2cloud("tree", {"a": np.full(2, 2.0)}, verbose=False)

    assert {name: array.tolist() for name, array in store.interface().cloud2dict("tree", verbose=False).items()} == {
        "a": [1.0] * 2,
        "b": [1.0] * 3,
    }
    assert {"tree/a", "tree/b"} <= {*store.raw.keys()}
    assert not lets_others_read(store, "tree/a")
    assert not lets_others_read(store, "tree/b")


def _sparse(number: int) -> Any:
    return pytest.importorskip("scipy.sparse").csr_matrix(np.eye(3) * (number + 1))


@pytest.mark.stores("local", "seaweedfs")  # moto and Ceph 16 pass over If-None-Match in a copy
def test_what_came_since_a_branch_was_listed_is_not_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    for name in ("a", "b", "c"):
        store.raw.put(f"from/{name}", name.encode())
    plan = cci._plan_copy("from", "to", None, None, False, False)
    look = type(plan).require_absent

    def look_too_early(plan: Any) -> None:
        look(plan)
        store.raw.put("to/b", b"theirs")

    monkeypatch.setattr(type(plan), "require_absent", look_too_early)
    with pytest.raises(ObjectExists, match=r"'to/b'.*overwrite=True"):
        cci.mv("from", "to")
    assert store.raw.get("to/b")[0] == b"theirs"
    assert store.raw.keys("from/") == ["from/a", "from/b", "from/c"]


@pytest.mark.parametrize("taken", ["to/b", "to"])
@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_a_branch_replaces_nothing(store: Store, taken: str) -> None:
    cci = store.interface()
    for name in ("from/a", "from/b", "from"):
        store.raw.put(name, name.encode())
    store.raw.put(taken, b"theirs")
    with pytest.raises(ObjectExists, match=f"'{taken}'"):
        cci.cp("from", "to", recursive=True)
    assert store.raw.keys("to") == [taken]
    assert store.raw.get(taken)[0] == b"theirs"

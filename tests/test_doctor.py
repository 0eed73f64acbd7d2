"""`cottoncandy doctor` says the right thing: about stores that work, and about each thing that is wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from lean_faults import ScriptedServer, foreign
from recorder import RecordingProxy, Request, Response
from stores import BOTH_WIRES, Recorded, Store
from test_lean_tls import self_signed

from cottoncandy import get_interface
from cottoncandy.cli import run
from cottoncandy.config import user_file_path
from cottoncandy.doctor import diagnose
from cottoncandy.errors import ServiceError
from cottoncandy.findings import Finding

GOOD = {"versions", "configuration", "uploads", "latency", "throughput", "write"}


def last(findings: Any) -> Finding:
    """The one finding that is no success, which must be the last."""
    found = list(findings)
    assert [finding.check for finding in found[:-1] if finding.level != "ok"] == []
    return found[-1]


def test_a_store_that_works(store: Store) -> None:
    found = list(diagnose(store.backend_name, store.container, **store.arguments))
    levels = {finding.check: finding.level for finding in found}
    assert levels.keys() >= GOOD
    assert "fail" not in levels.values(), found
    known = {"acl", "conditions"} if store.has("no-conditional-put") else {"acl"}
    assert {check for check, level in levels.items() if level != "ok"} <= known, found
    if store.backend_name == "s3":
        said = {finding.check: finding.said for finding in found}
        assert levels.keys() >= {
            "endpoint",
            "clock",
            "credentials",
            "bucket",
            "acl",
            "checksums",
            "conditions",
            "multipart",
        }
        assert ("forgotten" in said["acl"] or "refused" in said["acl"]) == store.has("no-acl")
        assert ("refused" in said["checksums"]) == (store.name == "ceph-tls")
    assert store.raw.keys() == []
    assert store.raw.leftovers() == []


@pytest.mark.stores("seaweedfs", "ceph", "ceph-tls")
def test_what_is_wrong(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(container: str = store.container, **changes: Any) -> Finding:
        return last(diagnose("s3", container, **{**store.arguments, **changes}))

    assert "InvalidAccessKeyId" in of(ACCESS_KEY="WRONG").said
    wrong = of(SECRET_KEY="verywrong")
    assert (wrong.check, wrong.level) == ("credentials", "fail")
    assert "secret key does not fit" in wrong.said
    missing = of("cc-no-such-bucket")
    assert "there is no bucket 'cc-no-such-bucket'" in missing.said
    assert store.container in missing.advice
    if store.name == "ceph-tls":
        assert "certificate is not trusted" in of(verify=None).said
        assert "connection broke" in of(endpoint_url=store.access["endpoint_url"].replace("https", "http")).said
    else:
        assert "does not speak TLS" in of(endpoint_url=store.access["endpoint_url"].replace("http", "https")).said
    pasted = of(endpoint_url=f"{store.access['endpoint_url']}/{store.container}")
    assert pasted.check == "bucket"
    assert f"take '/{store.container}' out of endpoint_url" in pasted.advice
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    late = of()
    assert (late.check, late.level) == ("clock", "fail")
    assert " s ahead of the server's" in late.said
    assert "verywrong" not in repr((wrong, missing, late))


def test_a_wrong_endpoint() -> None:
    def of(url: str) -> Finding:
        return last(diagnose("s3", "bucket", endpoint_url=url, ACCESS_KEY="a", SECRET_KEY="b"))

    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        nobody = of(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert "nothing listens" in nobody.said
    assert "no address is known" in of("http://no-such-host.invalid").said
    assert "no URL" in of("127.0.0.1:9000").said
    for url in ("http://s3..example.org", f"https://{'a' * 64}.example.org"):
        assert f"{url}': no host has this name" in of(url).said
    page = Response(200, b"<html><title>Console</title>", {"Server": "nginx", "Content-Type": "text/html"})
    with RecordingProxy(hook=lambda _: page) as console:
        found = of(console.url)
        assert "does not speak S3" in found.said
        assert "nginx" in found.said
        assert [request.target.partition("?")[0] for request in console.requests] == ["/", "/"]
        assert not any("Authorization" in request.headers for request in console.requests)


def test_a_store_behind_a_path() -> None:
    """As Supabase has one: what else the host has speaks no S3."""
    buckets = b"<ListAllMyBucketsResult><Buckets><Bucket><Name>right</Name></Bucket></Buckets></ListAllMyBucketsResult>"
    answers = {
        "/v1/s3": Response(200, buckets),
        "/v1/s3/": Response(200, buckets),
        "/v1/s3/right": Response(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
        "/v1/s3/wrong": Response(404, b"<Error><Code>NoSuchBucket</Code></Error>"),
    }
    page = Response(404, b"<html></html>", {"Content-Type": "text/html"})

    with RecordingProxy(hook=lambda request: answers.get(request.path, page)) as proxy:
        keys = {"endpoint_url": f"{proxy.url}/v1/s3", "ACCESS_KEY": "a", "SECRET_KEY": "b", "write": False}
        found = {finding.check: finding for finding in diagnose("s3", "right", **keys)}
        assert (found["endpoint"].level, found["bucket"].level) == ("ok", "ok")
        missing = [*diagnose("s3", "wrong", **keys)][-1]
    assert "there is no bucket 'wrong'" in missing.said
    assert "there are: right" in missing.advice


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Callable[..., Finding]]:
    """What is found of a server over TLS; ``set_up`` changes what it accepts."""
    certificate = self_signed(tmp_path / "ours.pem", "127.0.0.1")
    with contextlib.ExitStack() as servers:

        def of(set_up: Callable[[ssl.SSLContext], object] = bool, **changes: Any) -> Finding:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            set_up(context)
            server = servers.enter_context(ScriptedServer(*[foreign()] * 9, tls=context))
            access = {"endpoint_url": server.url, "ACCESS_KEY": "a", "SECRET_KEY": "b", "verify": str(certificate)}
            found = last(diagnose("s3", "bucket", **access | changes))
            assert server.requests == [] or "does not speak S3" in found.said
            return found

        yield of


def test_trouble_with_tls_is_no_reason_to_go_without(tls: Callable[..., Finding], tmp_path: Path) -> None:
    def old(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES256-SHA256")  # of RSA's keys, and ours is none

    def wants_a_certificate(context: ssl.SSLContext) -> None:
        context.load_verify_locations(tmp_path / "ours.pem")
        context.verify_mode = ssl.CERT_REQUIRED

    assert "does not speak S3" in tls().said
    assert "TLS fails there (SSLV3_ALERT_HANDSHAKE_FAILURE)" in tls(old).said
    for set_up in (old, wants_a_certificate):
        found = tls(set_up)
        assert (found.check, found.level) == ("endpoint", "fail")
        assert "a certificate of the client" in found.advice
        assert "http://" not in found.advice
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def hang_up() -> None:
            rude.accept()[0].close()

        with ThreadPoolExecutor() as threads:
            threads.submit(hang_up)
            found = tls(endpoint_url=f"https://127.0.0.1:{rude.getsockname()[1]}")
    assert found.level == "fail"
    assert "http://" not in found.advice


@pytest.mark.parametrize(
    ("address", "days", "trusted", "told"),
    [
        ("127.0.0.2", (-1, 1), True, "the host in endpoint_url is none that the certificate is for"),
        ("127.0.0.1", (-9, -1), True, "has to renew it; or this machine's clock is wrong"),
        ("127.0.0.1", (1, 9), True, "has to renew it; or this machine's clock is wrong"),
        ("127.0.0.1", (-1, 1), False, "name the file of the authority that signed it: verify=, --ca-bundle"),
    ],
)
@BOTH_WIRES
def test_what_a_certificate_is_refused_for(
    tmp_path: Path, address: str, days: tuple[int, int], trusted: bool, told: str
) -> None:
    certificate = self_signed(tmp_path / "theirs.pem", address, days)
    verify = certificate if trusted else self_signed(tmp_path / "ours.pem", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedServer(*[foreign()] * 9, tls=context) as server:
        access = {"endpoint_url": server.url, "ACCESS_KEY": "a", "SECRET_KEY": "b", "verify": str(verify)}
        found = last(diagnose("s3", "bucket", **access))
        with pytest.raises(ServiceError) as caught:
            get_interface("bucket", verbose=False, **access).download_object("x")
    assert told in found.advice
    assert "certificate is not trusted (" in found.said
    assert "the server's certificate is not trusted (" in str(caught.value)
    assert str(caught.value).endswith(f"): {found.advice}")
    assert server.requests == []


def test_a_file_of_authorities_that_cannot_be_read(
    tls: Callable[..., Finding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "words.pem").write_text("no certificate")
    for name in ("empty.pem", "words.pem"):
        found = tls(verify=str(tmp_path / name))
        assert f"{tmp_path / name}': no certificates of authorities can be read there" in found.said
        assert "name a file of certificates" in found.advice
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / name))
        assert str(tmp_path / name) in tls(verify=None).said
    assert "does not speak S3" in tls(verify=False).said  # as for all other requests, the file is nothing then
    assert "not trusted" in tls(verify=str(tmp_path / "folder")).said  # a folder is one of hashed names
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ours.pem"))
    assert "does not speak S3" in tls(verify=None).said


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY"])
def test_a_proxy_is_named_as_it_is_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = f"{name.partition('_')[0].lower()}://store.invalid"
    found = diagnose("s3", "bucket", endpoint_url=url, ACCESS_KEY="a", SECRET_KEY="b")
    (warning,) = [one for one in found if one.level == "warn"]
    assert warning.advice == f"unset {name} to look"


def test_a_clock_and_refusals(recorded: Recorded) -> None:
    """What a server says that moto does not."""
    store, proxy = recorded

    def answer(code: str, status: int = 403) -> Any:
        body = f"<Error><Code>{code}</Code><Message>AKIAKEY</Message></Error>".encode()

        def hook(request: Request) -> Response | None:
            return Response(status, body) if "Authorization" in request.headers else None

        return hook

    def of() -> Finding:
        return last(diagnose("s3", store.container, write=False, **store.arguments))

    for code, check, said in [
        ("RequestTimeTooSkewed", "clock", "the clock is wrong"),
        ("InvalidAccessKeyId", "credentials", "does not know the access key"),
        ("SignatureDoesNotMatch", "credentials", "secret key"),
        ("ExpiredToken", "credentials", "expired"),
        ("AccessDenied", "bucket", "denied"),
        ("NoSuchBucket", "bucket", "there is no bucket"),
    ]:
        proxy.hook = answer(code)
        finding = of()
        assert (finding.check, finding.level) == (check, "fail")
        assert said in finding.said
        assert finding.advice
        assert "AKIAKEY" not in repr(finding)
    for minutes, level in ((2, "warn"), (60, "fail")):
        date = formatdate(time.time() - 60 * minutes, usegmt=True)
        proxy.hook = lambda request, date=date: (
            None if "Authorization" in request.headers else Response(403, b"<Error><Code>x</Code>", {"Date": date})
        )
        found = {one.check: one for one in diagnose("s3", store.container, write=False, **store.arguments)}
        assert found["clock"].level == level
        assert "ahead of the server's" in found["clock"].said
        assert ("bucket" in found) == (level == "warn")

    def refuse_acls(request: Request) -> Response | None:
        body = b"<Error><Code>AccessControlListNotSupported</Code></Error>"
        return Response(400, body) if request.headers.get("x-amz-acl") else None

    proxy.hook = refuse_acls
    found = {one.check: one for one in diagnose("s3", store.container, **store.arguments)}
    assert (found["acl"].level, found["multipart"].level) == ("warn", "ok")
    assert "default_acl False" in found["acl"].advice

    def refuse_writes(request: Request) -> Response | None:
        return Response(403, b"<Error><Code>AccessDenied</Code></Error>") if request.method == "PUT" else None

    proxy.hook = refuse_writes
    finding = last(diagnose("s3", store.container, **store.arguments))
    assert (finding.check, finding.level) == ("write", "fail")
    proxy.hook = None
    proxy.clear()
    assert all(one.level == "ok" for one in diagnose("s3", store.container, write=False, **store.arguments))
    assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
    assert store.raw.keys() == []


def _versions(store: Store) -> list[Any]:
    """All that a bucket keeps, behind our back."""
    client, bucket = store.raw.client, store.raw.bucket  # type: ignore[attr-defined]
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return [entry for page in pages for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))]


def _keep_versions(store: Store, status: str) -> None:
    raw: Any = store.raw
    raw.client.put_bucket_versioning(Bucket=raw.bucket, VersioningConfiguration={"Status": status})


@pytest.mark.stores("moto", "seaweedfs", "ceph")
def test_no_versions_stay(store: Store) -> None:
    _keep_versions(store, "Enabled")
    store.raw.put("data", b"of others")
    store.raw.put("data", b"of others, again")
    key = {"encryption_key": bytes(32)}
    # SeaweedFS takes a DELETE of a marker that a suspended bucket has, and keeps it
    suspended = [] if store.name == "seaweedfs" else [("Suspended", {})]
    for status, changes in (("Enabled", {}), ("Enabled", key), *suspended):
        _keep_versions(store, status)
        found = list(diagnose("s3", store.container, **store.arguments, **changes))
        levels = {one.check: one.level for one in found}
        assert (levels.get("kept"), levels["write"], levels["multipart"]) == (None, "ok", "ok"), found
        assert [entry["Key"] for entry in _versions(store)] == ["data", "data"]


def test_versions_that_may_not_be_deleted_are_told(recorded: Recorded) -> None:
    store, proxy = recorded
    denied = Response(403, b"<Error><Code>AccessDenied</Code></Error>")

    def may_not_delete(request: Request) -> Response | None:
        return denied if request.method == "DELETE" and "versionId" in request.query else None

    def may_not_list(request: Request) -> Response | None:
        return denied if request.method == "GET" and "versions" in request.query else None

    assert {found.level for found in diagnose("s3", store.container, **store.arguments)} <= {"ok", "warn"}
    assert not any("versions" in request.query or "versionId" in request.query for request in proxy.requests)
    _keep_versions(store, "Enabled")
    known: set[str] = set()
    for proxy.hook in (may_not_delete, may_not_list):
        found = list(diagnose("s3", store.container, **store.arguments))
        (finding,) = [one for one in found if (one.check, one.level) == ("kept", "warn")]
        (prefix,) = {entry["Key"].partition("/")[0] for entry in _versions(store)} - known
        known.add(prefix)
        assert finding.said.startswith(f"versions of what was written and deleted stay below '{prefix}/' (16 MiB): ")
        assert "s3:DeleteObjectVersion" in finding.advice
    assert store.raw.keys() == []  # what hides them stays, too


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_LOGIN_ACCESS_KEY", "half")
    assert run(["doctor", "s3://bucket"]) == 1
    assert "secret key is missing" in capfd.readouterr().out
    monkeypatch.delenv("COTTONCANDY_LOGIN_ACCESS_KEY")
    assert run(["doctor", f"local://{tmp_path}/nowhere//"]) == 1
    assert "does not exist" in capfd.readouterr().out
    (tmp_path / "store").mkdir()
    run(["config", "login.access_key", "x"])
    run(["config", "login.secret_key", "veryhidden"])
    user_file_path().chmod(0o644)
    capfd.readouterr()
    assert run(["doctor", f"local://{tmp_path}/store//", "--json", "--read-only"]) == 0
    told = capfd.readouterr().out
    found = {finding["check"]: finding for finding in json.loads(told)}
    assert found["configuration"]["level"] == "warn"
    assert found["configuration"]["advice"].startswith("chmod 600")
    assert "veryhidden" not in told
    assert "write" not in found
    user_file_path().write_text("[basic]\nthreds = 9\n[nowhere]\nx = 1\n")
    monkeypatch.setenv("COTTONCANDY_RETRY_ATEMPTS", "3")
    run(["doctor", f"local://{tmp_path}/store//", "--read-only"])
    said = capfd.readouterr().out
    assert f"nothing reads [basic] threds (near is threads), [nowhere] x of {user_file_path()}" in said
    assert "nothing reads COTTONCANDY_RETRY_ATEMPTS (near is COTTONCANDY_RETRY_ATTEMPTS) of the environment" in said

"""`cottoncandy doctor` says the right thing: about stores that work, and about each thing that is wrong."""

from __future__ import annotations

import json
import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from recorder import RecordingProxy, Request, Response
from stores import Recorded, Store

from cottoncandy.cli import run
from cottoncandy.config import user_file_path
from cottoncandy.doctor import diagnose
from cottoncandy.findings import Finding

GOOD = {"versions", "configuration", "uploads", "latency", "throughput", "write"}


def arguments(store: Store, **changes: Any) -> dict[str, Any]:
    names = {"access_key": "ACCESS_KEY", "secret_key": "SECRET_KEY"}
    return {names.get(name, name): value for name, value in store.access.items()} | changes


def last(findings: Any) -> Finding:
    """The one finding that is no success, which must be the last."""
    found = list(findings)
    assert [finding.check for finding in found[:-1] if finding.level != "ok"] == []
    return found[-1]


def test_a_store_that_works(store: Store) -> None:
    found = list(diagnose(store.backend_name, store.container, **arguments(store)))
    levels = {finding.check: finding.level for finding in found}
    assert levels.keys() >= GOOD
    assert "fail" not in levels.values(), found
    assert {check for check, level in levels.items() if level != "ok"} <= {"acl"}, found
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
        assert ("forgotten" in said["acl"]) == store.has("no-acl")
        assert ("refused" in said["checksums"]) == (store.name == "ceph-tls")
    assert store.raw.keys() == []
    assert store.raw.leftovers() == []


@pytest.mark.stores("seaweedfs", "ceph", "ceph-tls")
def test_what_is_wrong(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(container: str = store.container, **changes: Any) -> Finding:
        return last(diagnose("s3", container, **arguments(store, **changes)))

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
    page = Response(200, b"<html><title>Console</title>", {"Server": "nginx", "Content-Type": "text/html"})
    with RecordingProxy(hook=lambda _: page) as console:
        found = of(console.url)
        assert "does not speak S3" in found.said
        assert "nginx" in found.said
        assert console.count() == 1
        assert "Authorization" not in console.requests[0].headers


def test_a_clock_and_refusals(recorded: Recorded) -> None:
    """What a server says that moto does not."""
    store, proxy = recorded

    def answer(code: str, status: int = 403) -> Any:
        body = f"<Error><Code>{code}</Code><Message>AKIAKEY</Message></Error>".encode()

        def hook(request: Request) -> Response | None:
            return Response(status, body) if "Authorization" in request.headers else None

        return hook

    def of() -> Finding:
        return last(diagnose("s3", store.container, write=False, **arguments(store)))

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
        found = {one.check: one for one in diagnose("s3", store.container, write=False, **arguments(store))}
        assert found["clock"].level == level
        assert "ahead of the server's" in found["clock"].said
        assert ("bucket" in found) == (level == "warn")

    def refuse_acls(request: Request) -> Response | None:
        body = b"<Error><Code>AccessControlListNotSupported</Code></Error>"
        return Response(400, body) if request.headers.get("x-amz-acl") else None

    proxy.hook = refuse_acls
    found = {one.check: one for one in diagnose("s3", store.container, **arguments(store))}
    assert (found["acl"].level, found["multipart"].level) == ("warn", "ok")
    assert "default_acl False" in found["acl"].advice

    def refuse_writes(request: Request) -> Response | None:
        return Response(403, b"<Error><Code>AccessDenied</Code></Error>") if request.method == "PUT" else None

    proxy.hook = refuse_writes
    finding = last(diagnose("s3", store.container, **arguments(store)))
    assert (finding.check, finding.level) == ("write", "fail")
    proxy.hook = None
    proxy.clear()
    assert all(one.level == "ok" for one in diagnose("s3", store.container, write=False, **arguments(store)))
    assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
    assert store.raw.keys() == []


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
    assert "nothing reads [basic] threds, [nowhere] x, COTTONCANDY_RETRY_ATEMPTS" in capfd.readouterr().out

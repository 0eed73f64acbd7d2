"""How the S3 backend comes to its client: endpoint, credentials, configuration, other processes."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.config import Config
from recorder import Request, Response
from s3_wire import ONCE, access_key, amazon, answer_writes, connect, elsewhere, error, region, shown
from stores import BOTH_WIRES, Store

from cottoncandy.backends.s3.settings import is_amazon
from cottoncandy.errors import AccessDenied, ConfigurationError, CottonCandyError, CredentialsNotFound

PROFILES = """\
[profile lab]
region = eu-central-1
[profile keys]
aws_access_key_id = PROFILEKEY
aws_secret_access_key = PROFILESECRET
endpoint_url = {endpoint}
"""
HAVE_CHECKSUMS = "request_checksum_calculation" in Config.OPTION_DEFAULTS
NO_KEYS = {"access_key": None, "secret_key": None}


def client_config(backend: Any) -> Any:
    return backend._bucket.client.meta.config


# ------------------------------------------------------------------ the endpoint
@pytest.mark.parametrize("url", ["127.0.0.1:9000", "s3.example.org", "localhost:9000", "ftp://example.org", "http://"])
def test_an_endpoint_needs_its_scheme(url: str) -> None:
    with pytest.raises(ConfigurationError, match="http:// or https://") as caught:
        connect(url)
    assert url in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "s3.example.org"])
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "COTTONCANDY_LOGIN_ENDPOINT_URL"])
def test_an_endpoint_of_the_environment_needs_it_too(url: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigurationError, match=url):
        connect(None)


@pytest.mark.parametrize("named", ["verify", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_file_of_authorities_that_is_not_there_is_named(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"verify": "nofile.pem"} if named == "verify" else {}
    if not arguments:
        monkeypatch.setenv(named, "nofile.pem")
    for endpoint in ("https://127.0.0.1:9", None):
        with pytest.raises(ConfigurationError, match=f"{named}='nofile.pem'"):
            connect(endpoint, **arguments)
    connect("http://127.0.0.1:9", **arguments).close()  # where nothing is encrypted, none is asked for
    connect("https://127.0.0.1:9", verify=False).close()


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "COTTONCANDY_LOGIN_ENDPOINT_URL"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_an_endpoint_with_a_password_is_refused_and_not_shown(
    scheme: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"{scheme}somebody:hunter2@127.0.0.1:9000")
    with pytest.raises(ConfigurationError) as caught:
        connect(None)
    assert "hunter2" not in shown(caught.value)


def test_an_endpoint_that_boto3_is_told_of_is_not_amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere() as (_, proxy):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        backend = connect(None)
        assert repr(backend) == f"<S3Backend 'bucket' at {proxy.url}>"
        backend.put("key", b"x", {})
        assert proxy.requests[-1].headers["x-amz-acl"] == "authenticated-read"
        if HAVE_CHECKSUMS:
            assert client_config(backend).request_checksum_calculation == "when_required"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.amazonaws.com", True),
        ("https://s3.eu-west-1.amazonaws.com", True),
        ("https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://s3.dualstack.us-west-2.api.aws", True),
        ("https://amazonaws.com.example.org", False),
        ("https://notamazonaws.com", False),
        ("http://127.0.0.1:9000", False),
    ],
)
def test_what_is_amazon(url: str, expected: bool) -> None:
    assert is_amazon(url) is expected


# ------------------------------------------------------------------ arguments
def test_unknown_arguments_are_named() -> None:
    with pytest.raises(ConfigurationError, match="'colour', 'flavour'"):
        connect("http://127.0.0.1:9", flavour="mint", colour="pink")


def test_config_must_be_botocores() -> None:
    with pytest.raises(ConfigurationError, match=r"botocore\.config\.Config, not dict"):
        connect("http://127.0.0.1:9", config={"region_name": "x"})


def test_the_users_config_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_SIGNATURE_VERSION", "s3v4")
    # 60 s and 10 connections are botocore's own defaults, said by the user all the same
    said = {"signature_version": "s3", "connect_timeout": 60, "max_pool_connections": 10, "retries": {"mode": "legacy"}}
    if HAVE_CHECKSUMS:
        said["request_checksum_calculation"] = "when_supported"
    config = client_config(connect("http://127.0.0.1:9", config=Config(**said)))
    assert {name: getattr(config, name) for name in said if name != "retries"} | {"retries": {"mode": "legacy"}} == said
    assert config.retries["mode"] == "legacy"
    assert connect("http://127.0.0.1:9")._bucket.client.meta.config.signature_version == "s3v4"


def test_our_defaults() -> None:
    config = client_config(connect("http://127.0.0.1:9"))
    assert config.max_pool_connections >= 96
    assert config.retries["mode"] == "standard"
    assert config.retries["total_max_attempts"] == 8
    if HAVE_CHECKSUMS:
        assert config.request_checksum_calculation == config.response_checksum_validation == "when_required"
        assert client_config(connect(None)).request_checksum_calculation == "when_supported"


def test_the_environments_retries_and_checksums_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    config = client_config(connect("http://127.0.0.1:9"))
    assert config.retries["mode"] == "adaptive"
    assert config.retries["total_max_attempts"] == 2
    if HAVE_CHECKSUMS:
        assert config.request_checksum_calculation == "when_supported"


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ({}, {}, "us-east-1"),
        ({}, {"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
        ({"region_name": "eu-west-3"}, {"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-west-3"),
        ({"config": Config(region_name="ca-central-1")}, {}, "ca-central-1"),
        ({"profile_name": "lab"}, {}, "eu-central-1"),
    ],
)
def test_the_region_that_is_signed_for(
    arguments: dict[str, Any], environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, aws: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with elsewhere(**arguments) as (backend, proxy):
        backend.put("key", b"x", {})
        assert region(proxy.requests[-1]) == expected


def test_a_bucket_of_another_region_is_followed_on_amazon() -> None:
    def hook(request: Request) -> Response:
        if "eu-west-1" not in request.target:
            headers = {"x-amz-bucket-region": "eu-west-1"}
            return error("PermanentRedirect", 301, headers=headers)
        return answer_writes(request)

    with amazon(hook) as (backend, proxy):
        backend.put("key", b"x", {})
        assert region(proxy.requests[-1]) == "eu-west-1"
        assert "s3.eu-west-1.amazonaws.com" in proxy.requests[-1].target
        assert proxy.requests[-1].body is not None
        assert proxy.requests[-1].body.endswith(b"x") or b"x" in proxy.requests[-1].body


@pytest.mark.parametrize(
    ("config", "start"), [(None, "/bucket/key"), (Config(s3={"addressing_style": "virtual"}), "/key")]
)
def test_ips_are_addressed_by_path_unless_the_user_says_otherwise(config: Config | None, start: str) -> None:
    with elsewhere() as (_, proxy):
        endpoint = proxy.url.replace("127.0.0.1", "localhost")
        changes = {"config": config} if config else {}
        if config:  # `bucket.localhost` need not resolve
            changes["config"] = config.merge(Config(proxies={"http": proxy.url}, retries=ONCE))
        connect(endpoint, **changes).put("key", b"x", {})
        assert proxy.requests[-1].path.startswith(start)


# ------------------------------------------------------------------ credentials
@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """AWS's own configuration file."""
    path = tmp_path / "aws-config"
    path.write_text(PROFILES.format(endpoint="http://127.0.0.1:9"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


def signed_by(**changes: Any) -> str | None:
    with elsewhere(**changes) as (backend, proxy):
        backend.put("key", b"x", {})
        return access_key(proxy.requests[-1])


def test_where_keys_are_looked_for_and_in_which_order(monkeypatch: pytest.MonkeyPatch, aws: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "CHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    assert signed_by(**NO_KEYS) == "CHAIN"
    monkeypatch.setenv("AWS_ACCESS_KEY", "OLDER")
    monkeypatch.setenv("AWS_SECRET_KEY", "S")
    assert signed_by(**NO_KEYS) == "OLDER"
    Path("~/.passwd-s3fs").expanduser().write_text("S3FS:S\nbucket:S3FSBUCKET:S\n")
    assert signed_by(**NO_KEYS) == "S3FSBUCKET"
    assert signed_by(**NO_KEYS, container="another") == "S3FS"
    monkeypatch.setenv("COTTONCANDY_LOGIN_ACCESS_KEY", "OPTION")
    monkeypatch.setenv("COTTONCANDY_LOGIN_SECRET_KEY", "S")
    assert signed_by(**NO_KEYS) == "OPTION"
    assert signed_by(**NO_KEYS, profile_name="keys") == "PROFILEKEY"  # an argument, so it was meant
    assert signed_by(access_key="PASSED", secret_key="S") == "PASSED"


@pytest.mark.parametrize("half", [{"access_key": "AKID", "secret_key": None}, {"access_key": None}])
def test_half_a_pair(half: dict[str, Any]) -> None:
    with pytest.raises(CredentialsNotFound, match=r"pass (ACCESS|SECRET)_KEY too"):
        connect("http://127.0.0.1:9", **half)


def test_a_session_token_goes_with_passed_keys() -> None:
    with elsewhere(aws_session_token="TOKEN") as (backend, proxy):
        backend.put("key", b"x", {})
        assert proxy.requests[-1].headers["x-amz-security-token"] == "TOKEN"
    with pytest.raises(CredentialsNotFound, match="aws_session_token"):
        connect("http://127.0.0.1:9", **NO_KEYS, aws_session_token="TOKEN")


def test_without_any_keys_the_ways_are_told() -> None:
    with elsewhere(**NO_KEYS) as (backend, proxy):
        for call in (lambda: backend.put("key", b"x", {}), lambda: backend.stat("key"), lambda: backend.open("key")):
            with pytest.raises(CredentialsNotFound, match=r"(?s)ACCESS_KEY.*profile_name.*unsigned"):
                call()
        assert not proxy.requests


def test_a_missing_profile(aws: Path) -> None:
    with pytest.raises(ConfigurationError, match="nobody"):
        connect("http://127.0.0.1:9", profile_name="nobody")


@pytest.mark.parametrize(
    "how",
    [
        {"signature_version": "unsigned"},
        {"signature_version": botocore.UNSIGNED},
        {"config": Config(signature_version="unsigned", retries=ONCE)},
        {"config": Config(signature_version=botocore.UNSIGNED, retries=ONCE)},
    ],
)
def test_public_data_needs_no_keys(how: dict[str, Any]) -> None:
    with elsewhere(**NO_KEYS, **how) as (backend, proxy):
        backend.put("key", b"x", {})
        pickle.loads(pickle.dumps(backend)).put("key", b"x", {})
        assert [request.headers["Authorization"] for request in proxy.requests] == [None, None]


def test_the_configuration_may_say_unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_SIGNATURE_VERSION", "unsigned")
    with elsewhere(**NO_KEYS) as (backend, proxy):
        backend.put("key", b"x", {})
        assert proxy.requests[-1].headers["Authorization"] is None


def test_a_signature_version_that_nobody_knows() -> None:
    with pytest.raises(ConfigurationError, match="s3v4, s3, unsigned, not 'unsigne'"):
        connect("http://127.0.0.1:9", signature_version="unsigne")


def test_credentials_that_rotate_are_used_at_the_next_call(aws: Path, tmp_path: Path) -> None:
    script = tmp_path / "keys.py"
    script.write_text(f"""
import datetime, json, pathlib
count = pathlib.Path({str(tmp_path / "count")!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
# botocore asks again when less than ten minutes are left
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
print(json.dumps(dict(Version=1, AccessKeyId=f"KEY{{number}}", SecretAccessKey="S", Expiration=end.isoformat())))
""")
    aws.write_text(f"[profile turning]\ncredential_process = {sys.executable} {script}\n")
    with elsewhere(**NO_KEYS, profile_name="turning") as (backend, proxy):
        for _ in range(3):
            backend.put("key", b"x", {})
        keys = [access_key(request) for request in proxy.requests]
    assert len(set(keys)) == 3
    assert all(key and key.startswith("KEY") for key in keys)


# ------------------------------------------------------------------ nothing is shown
def test_reprs_show_no_keys() -> None:
    backend = connect("http://127.0.0.1:9", aws_session_token="TOKEN")
    connection = backend._bucket.connection
    for thing in (backend, backend._bucket, connection, connection.settings, connection._clients):
        assert not {"AKID", "SECRET", "TOKEN"} & set(repr(thing).replace("'", " ").replace("=", " ").split())
        assert "SECRET" not in repr(thing)
    assert repr(backend) == "<S3Backend 'bucket' at http://127.0.0.1:9>"


@pytest.mark.parametrize("which", ["access_key", "secret_key"])
@pytest.mark.parametrize("where", ["passed", "found"])
def test_a_key_with_a_line_break_is_refused_and_not_shown(
    which: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"access_key": "AKID", "secret_key": "SECRET"} | {which: "FROMCLIPBOARD\r\nx"}
    if where == "found":
        for name, value in keys.items():
            monkeypatch.setenv(f"AWS_{name.upper()}", value)
        keys = NO_KEYS
    with pytest.raises(ConfigurationError, match="copy it again") as caught:
        connect("http://127.0.0.1:9", **keys)
    assert "CLIPBOARD" not in shown(caught.value)


def test_a_session_token_with_a_line_break_is_refused_and_not_shown() -> None:
    token = "FROMCLIPBOARD\n"
    with pytest.raises(ConfigurationError, match=r"session token.*copy it again") as caught:
        connect("http://127.0.0.1:9", aws_session_token=token)
    assert "CLIPBOARD" not in shown(caught.value)


@pytest.mark.parametrize("lean", ["True", "False"])
def test_a_token_with_a_line_break_that_is_found_is_not_logged_or_tried_again(
    lean: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", lean)
    for name, value in {"ACCESS_KEY_ID": "CHAIN", "SECRET_ACCESS_KEY": "SECRET", "SESSION_TOKEN": "S3CR3T\n"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    handler = logging.FileHandler(tmp_path / "log")
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with elsewhere(**NO_KEYS) as (backend, proxy):
            for call in (lambda: backend.put("key", b"x", {}), lambda: backend.container_exists("bucket")):
                with pytest.raises(ConfigurationError, match="character that cannot be sent") as caught:
                    call()
                assert "S3CR3T" not in shown(caught.value)
            assert not proxy.requests
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
    told = (tmp_path / "log").read_text()
    assert "S3CR3T" not in told
    assert "tried again" not in told


@pytest.mark.parametrize("end", ["#part", "?a=b"])
def test_an_endpoint_ends_with_its_path(end: str) -> None:
    with pytest.raises(ConfigurationError, match="more than a host and a path"):
        connect(f"http://127.0.0.1:9/s3{end}")


@pytest.mark.parametrize("lean", ["True", "False"])
def test_who_logs_in_again_is_let_in_at_once(lean: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Programs for single sign-on write keys for some hours into AWS's file."""
    file = tmp_path / "credentials"

    def log_in(name: str) -> None:
        file.write_text(
            f"[default]\naws_access_key_id={name}\naws_secret_access_key=S{name}\naws_session_token=T{name}\n"
        )

    def hook(request: Request) -> Response:
        return answer_writes(request) if access_key(request) == valid else error("ExpiredToken", 400)

    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", lean)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    valid = "OLD"
    log_in("OLD")
    with elsewhere(hook, **NO_KEYS) as (backend, proxy):
        frozen = pickle.dumps(backend)
        there = pickle.loads(frozen)
        for each in (backend, there):
            each.put("key", b"x", {})
        valid = "NEW"
        with pytest.raises(AccessDenied, match="log in again"):
            backend.put("key", b"x", {})
        log_in("NEW")
        proxy.clear()
        for each in (backend, backend, there, pickle.loads(frozen)):
            each.put("key", b"x", {})
        assert [access_key(request) for request in proxy.requests] == ["OLD", "NEW", "NEW", "OLD", "NEW", "NEW"]


def test_a_key_with_a_line_break_that_boto3_finds_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", "False")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "CHAIN\r\nx-injected: 1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    with elsewhere(**NO_KEYS) as (backend, proxy):
        with pytest.raises(CottonCandyError) as caught:
            backend.put("key", b"x", {})
        assert not proxy.requests
    for secret in ("CHAIN", "AWS4-HMAC", "Signature"):
        assert secret not in shown(caught.value)


def test_verbose_boto_logs_without_secrets(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    loggers = [logging.getLogger(name) for name in ("boto3", "botocore")]
    before = [logger.level for logger in loggers]
    monkeypatch.setenv("COTTONCANDY_LOGIN_VERBOSE_BOTO", "True")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "CHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRETOFCHAIN")
    try:
        caplog.set_level(logging.DEBUG)
        with elsewhere(**NO_KEYS) as (backend, _):
            backend.put("key", b"x", {})
        assert any("credentials" in record.message for record in caplog.records)
        assert "SECRETOFCHAIN" not in caplog.text
        assert "Signature" not in caplog.text
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


# ------------------------------------------------------------------ requester pays
@pytest.mark.parametrize("where", [amazon, elsewhere])
@pytest.mark.parametrize("how", ["argument", "configuration"])
def test_requester_pays_is_said_in_every_request(how: str, where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "configuration":
        monkeypatch.setenv("COTTONCANDY_BASIC_REQUESTER_PAYS", "True")
    with where(**({"requester_pays": True} if how == "argument" else {})) as (backend, proxy):
        backend.put("key", b"x", {})
        assert not backend.exists("key")
        backend.stat("there")
        backend.open("there").close()
        list(backend.list_objects())
        backend.delete(["a", "b"])
        backend.delete(["a"])
        backend.copy("there", "key")
        upload = backend.start_upload("key", {})
        upload.send_part(1, b"x")
        upload.complete()
        upload.abort()
        backend.native_object("there").load()
        assert len(proxy.requests) >= 14
        assert {request.headers["x-amz-request-payer"] for request in proxy.requests} == {"requester"}


def test_else_nobody_says_who_pays() -> None:
    with amazon() as (backend, proxy):
        backend.put("key", b"x", {})
        assert proxy.requests[-1].headers["x-amz-request-payer"] is None


# ------------------------------------------------------------------ threads and processes
def test_threads_share_one_client() -> None:
    with elsewhere() as (backend, _):
        backend.close()  # so that all of them want a new one
        barrier = threading.Barrier(8)

        def client(_: int) -> tuple[int, int]:
            barrier.wait()
            backend.put("key", b"x", {})
            return id(backend._bucket.client), id(backend.native_object("there").meta.client)

        with ThreadPoolExecutor(8) as pool:
            clients, natives = zip(*pool.map(client, range(8)), strict=True)
        assert len(set(clients)) == 1
        assert len(set(natives)) == 8  # boto3's resources are not for sharing


def test_backends_of_other_buckets_share_it_too() -> None:
    with elsewhere() as (backend, proxy):
        other = backend.at("other")
        assert other._bucket.client is backend._bucket.client
        other.put("key", b"x", {})
        assert proxy.requests[-1].path == "/other/key"
        assert backend.container == "bucket"


@BOTH_WIRES
def test_a_backend_that_is_gone_has_closed_its_connections() -> None:
    with elsewhere() as (_, proxy):
        backend = connect(proxy.url)
        backend.put("key", b"x", {})
        connection = weakref.ref(backend._bucket.connection)
        del backend
        gc.collect()  # the client refers to itself
        assert connection() is None


def test_a_closed_backend_keeps_no_client() -> None:
    connection = connect("http://127.0.0.1:9000")._bucket.connection
    clients = [weakref.ref(connection.data), weakref.ref(connection.client), weakref.ref(connection.data)]
    connection.close()
    gc.collect()  # botocore's refers to itself
    assert [client() for client in clients] == [None, None, None]


def test_a_closed_backend_works_again() -> None:
    with elsewhere() as (backend, proxy):
        backend.put("key", b"x", {})
        backend.close()
        backend.close()
        backend.put("key", b"x", {})
        assert len(proxy.requests) == 2


def test_without_a_bucket() -> None:
    backend = connect("http://127.0.0.1:9", container=None)
    assert repr(backend) == "<S3Backend None at http://127.0.0.1:9>"
    for call in (
        lambda: backend.stat("key"),
        lambda: backend.put("key", b"", {}),
        lambda: list(backend.list_objects()),
    ):
        with pytest.raises(ConfigurationError, match="no bucket was chosen"):
            call()


def test_a_pickle_holds_passed_keys_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "CHAINKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CHAINSECRET")
    with elsewhere(**NO_KEYS) as (backend, proxy):
        backend.put("key", b"x", {})
        frozen = pickle.dumps(backend)
        assert b"CHAIN" not in frozen
        Path("~/.passwd-s3fs").expanduser().write_text("FILEKEY:FILESECRET\n")
        assert b"FILE" not in pickle.dumps(connect(proxy.url, **NO_KEYS))

        pickle.loads(frozen).put("key", b"x", {})
        assert access_key(proxy.requests[-1]) == "FILEKEY"  # looked for again, on the other side
        passed = pickle.dumps(connect(proxy.url))
        assert b"AKID" in passed
        pickle.loads(passed).put("key", b"x", {})
        assert access_key(proxy.requests[-1]) == "AKID"


def test_what_travels_in_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(user_agent_extra="mine/1", retries=ONCE, s3={"addressing_style": "path"})
    with elsewhere() as (_, proxy):
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        backend = connect(None, config=config, region_name="eu-west-2", requester_pays=True)
        frozen = pickle.dumps(backend)
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        other = pickle.loads(frozen)
        assert repr(other) == repr(backend)
        assert other._bucket.connection._clients is None  # a repr makes no client
        other.put("key", b"x", {})
        request = proxy.requests[-1]
        assert region(request) == "eu-west-2"
        assert request.headers["x-amz-request-payer"] == "requester"
        assert "mine/1" in request.headers["User-Agent"]


def test_pickles_that_are_alike_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere() as (backend, _):
        frozen = pickle.dumps(backend)
        first, second = pickle.loads(frozen), pickle.loads(frozen)
        assert first._bucket.client is second._bucket.client
        monkeypatch.setenv("AWS_CA_BUNDLE", __file__)
        assert pickle.loads(frozen)._bucket.connection is not first._bucket.connection


@pytest.mark.stores("moto", "ceph-tls")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_backend_works_after_a_fork(store: Store) -> None:
    backend = store.backend()
    backend.put("key", b"before", {})
    connection = backend._bucket.connection
    held = threading.Event()
    release = threading.Event()

    def hold_the_lock() -> None:
        with connection._lock:
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold_the_lock)
    holder.start()
    held.wait(60)
    child = os.fork()
    if not child:  # pragma: no cover - another process
        status = 1
        try:
            backend.put("from the child", bytes(backend.stat("key").size), {})
            status = 0
        finally:
            os._exit(status)
    release.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
    assert store.raw.keys() == ["from the child", "key"]
    backend.put("key", b"after", {})


@pytest.mark.stores("moto")
def test_a_backend_works_in_a_new_process(store: Store, tmp_path: Path) -> None:
    (tmp_path / "backend").write_bytes(pickle.dumps(store.backend()))
    code = f"import pickle; pickle.load(open({str(tmp_path / 'backend')!r}, 'rb')).put('key', b'there', {{}})"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
    assert store.raw.get("key")[0] == b"there"

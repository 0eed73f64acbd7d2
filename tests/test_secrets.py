"""Secrets are shown nowhere: not in reprs, logs, errors, notebooks or pickles of keys that were found."""

from __future__ import annotations

import base64
import http.client
import io
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.config import Config
from hostile_s3 import page
from recorder import RecordingProxy, Request, Response
from s3_wire import answer_writes
from stores import BOTH_WIRES

import cottoncandy as cc
from cottoncandy import config, configfiles
from cottoncandy.config import Credentials, Options
from cottoncandy.errors import CottonCandyError
from cottoncandy.fsspecfs import CottonCandyFileSystem
from cottoncandy.redaction import redact, redact_logs

SECRET, TOKEN, CUSTOMER = "SecretSecretSecret/+", "TokenTokenToken==", "customerkeycustomerkeycustomerke"
KEYS = {"ACCESS_KEY": "AKIDAKIDAKID", "SECRET_KEY": SECRET, "aws_session_token": TOKEN}

EXTRA = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER}


@contextmanager
def _everything_logged() -> Iterator[io.StringIO]:
    """The root logger at DEBUG, with a handler of its own, as a user would have it."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _answers(request: Request) -> Response:
    if "list-type" in request.query:
        return page(["a"])
    if request.method == "GET":
        return Response(403, b"<Error><Code>AccessDenied</Code></Error>")
    return answer_writes(request)


def _shown(error: BaseException) -> str:
    """An error with all that hangs on it, and the variables on its way."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    told, following = [*trace.format()], error
    while following is not None:
        told.append(repr(vars(following)))
        following = following.__cause__ or following.__context__  # type: ignore[assignment]
    return "".join(told)


@BOTH_WIRES
def test_logs_and_errors_hold_no_secret(wire: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    told: list[str] = []
    with _everything_logged() as logged:
        with RecordingProxy(hook=_answers) as proxy:
            once = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
            cci = cc.get_interface("bucket", endpoint_url=proxy.url, config=once, verbose=False, **KEYS)
            cci.upload_from_file(tmp_path / "file", "a", ExtraArgs=EXTRA)
            assert cci.glob("*") == ["a"]
            with pytest.raises(CottonCandyError) as refused:
                cci.download_object("a")
        with pytest.raises(CottonCandyError) as gone:
            cci.download_object("a")
        told += [_shown(refused.value), _shown(gone.value)]
    text = logged.getvalue() + "".join(told)
    assert wire == "lean" or "CanonicalRequest" in text  # botocore did log what it does
    signatures = {one.headers.get("Authorization", "").rpartition("Signature=")[2] for one in proxy.requests} - {""}
    assert signatures
    encoded = base64.b64encode(CUSTOMER.encode()).decode()
    for secret in (SECRET, TOKEN, CUSTOMER, encoded, *signatures):
        assert secret not in text, text[max(0, text.index(secret) - 200) :][:300]


@pytest.mark.parametrize("lean", ["True", "False"])
def test_what_a_server_repeats_of_a_request_is_not_kept(lean: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", lean)

    def repeats(request: Request) -> Response:
        told = "".join(f"{name}:{value}\n" for name, value in request.headers.items())
        body = f"<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>{told}</CanonicalRequest></Error>"
        return Response(403, body.encode(), {"Content-Type": "application/xml"})

    with RecordingProxy(hook=repeats) as proxy:
        cci = cc.get_interface(endpoint_url=proxy.url, verbose=False, **KEYS)
        cci.backend_interface = cci.backend_interface.at("bucket")
        for call in (lambda: cci.download_object("a"), lambda: cci.upload_object("a", b"x"), cci.show_buckets):
            with pytest.raises(CottonCandyError) as refused:
                call()
            assert TOKEN not in _shown(refused.value)


def test_what_a_notebook_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.formatters import DisplayFormatter

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDFOUND")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "FOUNDFOUNDFOUND")
    with RecordingProxy(hook=_answers) as proxy:
        passed = cc.get_interface("bucket", endpoint_url=proxy.url, verbose=False, **KEYS)
        found = cc.get_interface("bucket", endpoint_url=proxy.url, verbose=False)
        shown = [DisplayFormatter().format(one)[0] for one in (passed, passed.get_browser(), passed.fs, found)]
        for cci in (passed, found):
            todo, seen = [cci], set()
            while todo:  # what `vars` shows, and all below
                one = todo.pop()
                if id(one) in seen or not type(one).__module__.startswith("cottoncandy"):
                    continue
                seen.add(id(one))
                state = getattr(one, "__dict__", {})
                shown.append(repr(state))
                todo += state.values()
        travelled = pickle.dumps(found)
    text = repr(shown)
    for secret in (SECRET, TOKEN, "FOUNDFOUNDFOUND"):
        assert secret not in text
    assert b"FOUNDFOUNDFOUND" not in travelled
    assert b"AKIDFOUND" not in travelled


KEY = cc.generate_encryption_key()
RAW = base64.b64decode(KEY)


@pytest.mark.parametrize(
    "opening",
    [
        lambda: cc.get_interface("b", "AKIDAKIDAKID", SECRET, "ftp://x", aws_session_token=TOKEN),
        lambda: cc.get_browser("b", "AKIDAKIDAKID", SECRET, "ftp://x", aws_session_token=TOKEN),
        lambda: cc.interfaces.DefaultInterface("b", "AKIDAKIDAKID", SECRET, "ftp://x", aws_session_token=TOKEN),
        lambda: CottonCandyFileSystem("b", "s3", "AKIDAKIDAKID", SECRET, "ftp://x", aws_session_token=TOKEN),
        lambda: CottonCandyFileSystem(bucket="/proc/x/y", backend="local", encryption_key=KEY),
        lambda: cc.get_interface("b", backend="no such", encryption_key=KEY),
        lambda: cc.get_interface("/proc/x/y", backend="local", encryption_key=RAW),
        lambda: cc.get_interface("/proc/x/y", backend="local", encryption_key=bytearray(RAW)),
        lambda: cc.get_interface("some", backend="local", encryption_key=KEY[:40]),
        lambda: cc.get_interface("some", backend="local", encryption_key=RAW[:30]),
        lambda: cc.EncryptionKeys(KEY, KEY[:40]),
        lambda: cc.EncryptionKeys(RAW, RAW[:30]),
        lambda: configured(KEY="no key" + KEY),
        lambda: configured(KEY=KEY, KEY_FILE="/no/such/file"),
    ],
)
def test_what_opens_a_store_shows_no_key_where_variables_are_shown(
    opening: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CottonCandyError) as failed:
        opening()
    shown = _shown(failed.value)  # also of what could not be made
    assert not [secret for secret in (SECRET, TOKEN, KEY[:32], repr(RAW)[2:20]) if secret in shown]


def configured(**options: str) -> object:
    """A store of which the environment has the keys."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            patch.setenv(f"COTTONCANDY_ENCRYPTION_{name}", value)
        del options, name, value
        return cc.get_interface("some", backend="local", verbose=False)


def test_a_hidden_key_is_the_key_and_travels(tmp_path: Path) -> None:
    for key in (KEY, RAW):
        cci = cc.get_interface(str(tmp_path), backend="local", verbose=False, encryption_key=key)
        cci.upload_object("a", b"1")
        assert pickle.loads(pickle.dumps(cci)).download_object("a") == b"1"
    fs = CottonCandyFileSystem(bucket=str(tmp_path), backend="local", encryption_key=KEY)
    assert fs.cat("a") == b"1"
    assert json.loads(fs.to_json())["encryption_key"] == KEY
    assert KEY not in f"{vars(fs)} {fs.storage_options}"


def test_keys_stay_text_and_are_not_shown() -> None:
    keys = Credentials("AKID", SECRET)
    assert keys.secret_key == SECRET
    assert f"{keys.secret_key}" == SECRET
    assert pickle.loads(pickle.dumps(keys)) == keys
    assert SECRET not in f"{keys!r} {vars(keys)!r} {[keys.secret_key]!r}"


@pytest.mark.parametrize(
    "text",
    [
        "x-amz-security-token:S3CR3T\n",
        "AWSPreparedRequest(headers={'Authorization': b'AWS4-HMAC-SHA256 Credential=S3CR3T, Signature=S3CR3T'})",
        "Signature:\nS3CR3T",
        "PUT /a?X-Amz-Credential=S3CR3T%2F2026&X-Amz-Signature=S3CR3T HTTP/1.1",
        '{"access_token": "S3CR3T", "refresh_token": "S3CR3T", "secretAccessKey": "S3CR3T"}',
        "b'<SecretAccessKey>S3CR3T</SecretAccessKey><SessionToken>S3CR3T</SessionToken>'",
        "POST /upload/drive/v3/files?uploadType=resumable&upload_id=S3CR3T HTTP/1.1",
        "grant_type=authorization_code&code=S3CR3T&client_secret=S3CR3T",
        "'x-amz-server-side-encryption-customer-key': 'S3CR3T'",
        "ValueError: Invalid header value b'S3CR3T\\n'",
    ],
)
def test_every_form_is_redacted(text: str) -> None:
    assert "S3CR3T" not in redact(text)
    plain = "SignedHeaders=host;x-amz-security-token, NoSuchKey code: 404 in bucket 'signature', key 'a/b'"
    assert redact(plain) == plain


def test_the_traceback_of_a_record_is_redacted() -> None:
    told, token = io.StringIO(), "S3CR3T\n"
    logger, handler = logging.getLogger("somebody's"), logging.StreamHandler(told)
    logger.addHandler(handler)
    redact_logs([logger.name])
    connection = http.client.HTTPConnection("127.0.0.1")
    connection.putrequest("GET", "/")
    try:
        connection.putheader("x-amz-security-token", token)
    except ValueError:
        logger.exception("Exception received when sending")
    finally:
        logger.removeHandler(handler)
    assert "S3CR3T" not in told.getvalue()
    assert "Invalid header value ***" in told.getvalue()


def test_files_that_others_can_read_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    configfiles._warned.clear()
    path = config.user_file_path()
    Options.load()
    passwd = Path(os.environ["HOME"], ".passwd-s3fs")
    passwd.write_text("AKID:SECRET\n")
    for mode, warned in ((0o600, 0), (0o640, 1), (0o604, 1)):
        configfiles._warned.clear()
        caplog.clear()
        path.write_text("[login]\naccess_key = A\nsecret_key = B\n")
        path.chmod(mode)
        passwd.chmod(mode)
        for _ in range(2):
            Options.load()
            config._s3fs_credentials(passwd, None)
        told = [record.getMessage() for record in caplog.records]
        assert [message.count(f"chmod 600 {name}") for name in (path, passwd) for message in told] == (
            [1, 0, 0, 1] if warned else []
        )
    caplog.clear()
    configfiles._warned.clear()
    path.write_text("[basic]\nthreads = 2\n")  # no keys, no matter
    Options.load()
    assert not caplog.records

"""Signing in to Google: files, the browser, service accounts, and what an error says to do."""

from __future__ import annotations

import json
import pickle
import socket
import stat
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drive_store import QUICK, write_key_file
from fake_drive import FakeDrive
from google.auth.credentials import AnonymousCredentials

from cottoncandy.backends.gdrive import GoogleDriveBackend
from cottoncandy.config import Options
from cottoncandy.errors import ConfigurationError, CredentialsNotFound
from cottoncandy.retry import once

Connect = Callable[..., GoogleDriveBackend]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration's folder."""
    monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", str(tmp_path / "config" / "options.cfg"))
    # the fake's token service is no https
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


@pytest.fixture
def connect(drive: FakeDrive, folder: Path) -> Iterator[Connect]:
    opened = []

    def make(secrets: str | None = None, saved: str | None = None, **arguments: Any) -> GoogleDriveBackend:
        options = Options.load(create=False)
        arguments = {"retry": QUICK, "sign_in_timeout": 20.0} | arguments
        opened.append(GoogleDriveBackend.connect(None, secrets, saved, drive.url, options, **arguments))
        return opened[-1]

    yield make
    for backend in opened:
        backend.close()


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody in front of a browser who agrees; the addresses that the browser was opened at."""
    seen: list[str] = []

    def visit(address: str) -> None:
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert b"authentication flow has completed" in answer.read()

    class Browser:
        def open(self, address: str, new: int = 0, autoraise: bool = True) -> bool:
            seen.append(address)
            threading.Thread(target=visit, args=(address,), daemon=True).start()
            return True

    monkeypatch.setattr(webbrowser, "get", lambda using=None: Browser())
    return seen


def write_secrets(drive: FakeDrive, path: Path) -> None:
    path.write_text(json.dumps(drive.client_secrets()))


def saved_by_an_earlier_sign_in(drive: FakeDrive, path: Path, **changes: Any) -> None:
    saved = json.loads(drive.credentials().to_json()) | {"expiry": "2020-01-01T00:00:00Z"} | changes
    path.write_text(json.dumps(saved))
    path.chmod(0o600)


def works(backend: GoogleDriveBackend) -> bool:
    backend.put("x", b"x", {})
    return backend.exists("x")


# ---------------------------------------------------------------------- the browser
def test_the_first_time_the_browser_opens_and_the_second_time_it_does_not(
    drive: FakeDrive, folder: Path, connect: Connect, person: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_secrets(drive, folder / "client_secrets.json")
    assert works(connect())
    (address,) = person
    assert address.startswith(f"{drive.url}/consent?")
    assert "access_type=offline" in address
    assert "auth%2Fdrive" in address
    saved = folder / "credentials.txt"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert json.loads(saved.read_text())["refresh_token"].startswith("1//")
    drive.tokens.expire_all()
    assert works(connect())
    assert len(person) == 1
    capsys.readouterr()


def test_without_a_browser_the_address_is_printed(
    drive: FakeDrive, folder: Path, connect: Connect, person: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_secrets(drive, folder / "client_secrets.json")
    port = _free_port()
    result: list[bool] = []
    thread = threading.Thread(target=lambda: result.append(works(connect(open_browser=False, port=port))))
    thread.start()
    printed = ""
    deadline = time.monotonic() + 15
    while "/consent?" not in printed and time.monotonic() < deadline:
        time.sleep(0.01)
        printed += capsys.readouterr().out
    address = next(word for word in printed.split() if "/consent?" in word)
    assert f"localhost%3A{port}" in address
    with urllib.request.urlopen(address, timeout=10) as answer:  # elsewhere, through a forwarded port
        answer.read()
    thread.join(15)
    assert result == [True]
    assert person == []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def test_nobody_signs_in(drive: FakeDrive, folder: Path, connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    write_secrets(drive, folder / "client_secrets.json")
    before = time.monotonic()
    with pytest.raises(CredentialsNotFound, match=r"nobody signed in within 0\.3 s.*ssh -L"):
        connect(open_browser=False, sign_in_timeout=0.3)
    assert time.monotonic() - before < 10
    assert not (folder / "credentials.txt").exists()
    capsys.readouterr()


def test_somebody_refuses(
    drive: FakeDrive,
    folder: Path,
    connect: Connect,
    person: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_secrets(drive, folder / "client_secrets.json")
    monkeypatch.setattr(
        drive.tokens,
        "consent",
        lambda query: f"{query['redirect_uri']}?error=access_denied&state={query['state']}",
    )
    with pytest.raises(CredentialsNotFound, match=r"not completed \(access_denied\)"):
        connect()
    capsys.readouterr()


def test_a_taken_port(drive: FakeDrive, folder: Path, connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    write_secrets(drive, folder / "client_secrets.json")
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        with pytest.raises(CredentialsNotFound, match="the sign-in failed"):
            connect(open_browser=False, port=taken.getsockname()[1])


def test_a_folder_that_cannot_be_written(
    drive: FakeDrive,
    folder: Path,
    connect: Connect,
    person: list[str],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_secrets(drive, folder / "client_secrets.json")
    (folder / "not-a-folder").write_text("")
    assert works(connect(saved=str(folder / "not-a-folder" / "credentials.txt")))
    assert "cannot be written" in caplog.text
    capsys.readouterr()


# ---------------------------------------------------------------------- saved credentials
def test_saved_credentials_are_renewed_and_saved_again(drive: FakeDrive, folder: Path, connect: Connect) -> None:
    path = folder / "credentials.txt"
    saved_by_an_earlier_sign_in(drive, path)
    before = json.loads(path.read_text())["token"]
    assert works(connect())
    after = json.loads(path.read_text())
    assert after["token"] != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(folder.glob(".*")) == []
    assert works(connect())
    assert drive.tokens.given == 1


def test_other_file_names(drive: FakeDrive, folder: Path, connect: Connect, tmp_path: Path) -> None:
    saved_by_an_earlier_sign_in(drive, folder / "mine.json")
    saved_by_an_earlier_sign_in(drive, tmp_path / "elsewhere.json")
    assert works(connect(saved="mine.json"))
    assert works(connect(saved=str(tmp_path / "elsewhere.json")))
    (folder / "options.cfg").write_text("[gdrive]\ncredentials = mine.json\n")
    assert works(connect())


def test_what_an_older_release_saved_is_put_aside(
    drive: FakeDrive,
    folder: Path,
    connect: Connect,
    person: list[str],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = {
        "_module": "oauth2client.client",
        "access_token": "ya29.x",
        "refresh_token": "1//x",
        "client_id": "the-client",
        "client_secret": "s",
        "invalid": False,
    }
    (folder / "credentials.txt").write_text(json.dumps(old))
    write_secrets(drive, folder / "client_secrets.json")
    assert works(connect())
    assert json.loads((folder / "credentials.txt.old").read_text()) == old
    assert "older release" in caplog.text
    assert "1//x" not in caplog.text
    assert len(person) == 1
    capsys.readouterr()


def test_a_file_that_others_can_read_is_warned_of(
    drive: FakeDrive, folder: Path, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    saved_by_an_earlier_sign_in(drive, folder / "credentials.txt")
    (folder / "credentials.txt").chmod(0o644)
    connect()
    assert "chmod 600" in caplog.text


def test_nobody_is_asked_to_sign_in_who_is_in_a_hurry(
    drive: FakeDrive, folder: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "client_secrets.json").write_text(json.dumps(drive.client_secrets()))
    monkeypatch.setattr(webbrowser, "get", lambda *_: pytest.fail("a browser is looked for"))
    with pytest.raises(CredentialsNotFound, match="sign in on this machine first"):
        once(connect)


def test_a_sign_in_that_ended(drive: FakeDrive, folder: Path, connect: Connect) -> None:
    saved_by_an_earlier_sign_in(drive, folder / "credentials.txt", refresh_token="1//of-last-week")
    backend = connect()
    with pytest.raises(
        CredentialsNotFound, match=r"invalid_grant.*sign in again: remove the saved.*seven days"
    ) as caught:
        backend.exists("x")
    assert "of-last-week" not in str(caught.value)


# ---------------------------------------------------------------------- what is missing, or wrong
def test_no_files(folder: Path, connect: Connect) -> None:
    with pytest.raises(CredentialsNotFound, match=r"client_secrets\.json: make an OAuth client.*google-drive\.md"):
        connect()


@pytest.mark.parametrize("content", ["", "no json", '["a list"]', '{"web": {}}', '{"installed": {"client_id": "x"}}'])
def test_secrets_that_are_none(folder: Path, connect: Connect, content: str) -> None:
    (folder / "client_secrets.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"client_secrets\.json"):
        connect()


def test_broken_saved_credentials(drive: FakeDrive, folder: Path, connect: Connect) -> None:
    (folder / "credentials.txt").write_text('{"token": "ya29.secret')
    with pytest.raises(ConfigurationError, match=r"credentials\.txt cannot be read as JSON") as caught:
        connect()
    assert "ya29" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://drive.example.org", "ftp://127.0.0.1", "drive", ""])
def test_endpoints_that_are_refused(drive: FakeDrive, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        GoogleDriveBackend.connect(
            None, None, None, endpoint, Options.load(create=False), credentials=drive.credentials()
        )


# ---------------------------------------------------------------------- service accounts, ready-made credentials
@pytest.mark.parametrize("place", ["argument", "secrets", "credentials"])
def test_a_service_account(drive: FakeDrive, folder: Path, connect: Connect, place: str) -> None:
    lab = drive.items.make_drive("lab")
    name = {"argument": "robot.json", "secrets": "client_secrets.json", "credentials": "credentials.txt"}[place]
    write_key_file(drive, folder / name)
    extra = {"service_account": str(folder / name)} if place == "argument" else {}
    backend = connect(drive="lab", **extra)
    assert works(backend)
    assert [item.name for item in drive.inside(lab)] == ["x"]
    clone = pickle.loads(pickle.dumps(backend))
    assert clone.exists("x")
    clone.close()


def test_a_service_account_that_is_none(folder: Path, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "robot.json").write_text('{"type": "service_account"}')
    with pytest.raises(ConfigurationError, match="key file of a service account"):
        connect(service_account=str(tmp_path / "robot.json"))
    with pytest.raises(CredentialsNotFound, match="there is no file"):
        connect(service_account=str(tmp_path / "missing.json"))


def test_credentials_without_a_refresh_token(drive: FakeDrive, connect: Connect) -> None:
    backend = connect(credentials=drive.credentials(refreshable=False))
    assert works(backend)
    drive.tokens.expire_all()
    with pytest.raises(CredentialsNotFound, match="sign in again"):
        backend.exists("x")


def test_anonymous_credentials_are_refused_by_the_service(drive: FakeDrive, connect: Connect) -> None:
    with pytest.raises(CredentialsNotFound):
        connect(credentials=AnonymousCredentials()).exists("x")


def test_netrc_is_left_alone(
    drive: FakeDrive, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert works(connect(credentials=drive.credentials()))
    assert all(request.headers["authorization"].startswith("Bearer ya29.") for request in drive.requests)


# ---------------------------------------------------------------------- pickles
def test_found_credentials_do_not_travel(drive: FakeDrive, folder: Path, connect: Connect) -> None:
    saved_by_an_earlier_sign_in(drive, folder / "credentials.txt")
    backend = connect()
    assert works(backend)
    travelling = pickle.dumps(backend)
    saved = json.loads((folder / "credentials.txt").read_text())
    for name in ("token", "refresh_token", "client_secret"):
        assert saved[name].encode() not in travelling
    clone = pickle.loads(travelling)
    assert clone.exists("x")
    clone.close()
    (folder / "credentials.txt").unlink()
    write_secrets(drive, folder / "client_secrets.json")
    with pytest.raises(CredentialsNotFound, match="sign in on this machine first"):
        pickle.loads(travelling)  # no browser opens on a worker


def test_secrets_are_in_no_repr(drive: FakeDrive, folder: Path, connect: Connect) -> None:
    saved_by_an_earlier_sign_in(drive, folder / "credentials.txt")
    backend = connect()
    assert works(backend)
    given = connect(credentials=drive.credentials())
    for one in (backend, given):
        said = repr(one) + repr(vars(one)) + repr(vars(one._api)) + repr(vars(one._api.wire)) + repr(vars(one._tree))
        for secret in (*drive.tokens._valid, *drive.tokens._refresh, "the-client-secret"):
            assert secret not in said

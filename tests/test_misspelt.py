"""Options that nothing reads: warned of once, and an error where data would lie in plain. No value is shown."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_config import DOCUMENTED

import cottoncandy as cc
from cottoncandy import configfiles
from cottoncandy.cli import run
from cottoncandy.config import Options, user_file_path
from cottoncandy.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _nothing_was_warned_of() -> Iterator[None]:
    configfiles._warned.clear()
    yield
    configfiles._warned.clear()


@pytest.fixture
def user_file() -> Path:
    path = user_file_path()
    path.parent.mkdir(parents=True)
    return path


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return told


# ---------------------------------------------------------------------- of encryption
@pytest.mark.parametrize(
    ("section", "key", "near"),
    [
        ("encryption", "keyfile", "key_file"),
        ("encryption", "required", "require"),
        ("encryption", "passphrase", None),
        ("encrypton", "key_file", "[encryption] key_file"),
        ("Encryption", "require", "[encryption] require"),
        ("encrypt", "key", "[encryption] key"),
    ],
)
def test_a_slip_in_a_file_stores_nothing_in_plain(
    user_file: Path, tmp_path: Path, section: str, key: str, near: str | None
) -> None:
    user_file.write_text(f"[{section}]\n{key} = HIDDEN\n")
    user_file.chmod(0o600)
    with pytest.raises(ConfigurationError) as caught:
        cc.get_interface(str(tmp_path / "plain"), backend="local", verbose=False)
    message = str(caught.value)
    assert message.startswith(
        f"{user_file}: there is no option [{section}] {key}" + (f" (near is {near})" if near else "")
    )
    assert ("near is" in message) is (near is not None)
    assert "HIDDEN" not in message
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ENCRYPTION_KEYFILE", "ENCRYPTION_KEY_FILE"),
        ("ENCRYPTION_REQUIRED", "ENCRYPTION_REQUIRE"),
        ("ENCRYPTON_KEY_FILE", "ENCRYPTION_KEY_FILE"),
        ("ENCRYPT_KEY", "ENCRYPTION_KEY"),
    ],
)
def test_a_slip_in_the_environment_stores_nothing_in_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str, near: str
) -> None:
    monkeypatch.setenv(f"COTTONCANDY_{name}", "HIDDEN")
    (tmp_path / "notes.txt").write_text("slept well")
    assert run(["put", str(tmp_path / "notes.txt"), f"local://{tmp_path}/plain/notes.txt"]) == 1
    said = capfd.readouterr().err
    assert f"the environment: there is no option COTTONCANDY_{name} (near is COTTONCANDY_{near})" in said
    assert "HIDDEN" not in said
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize("line", ["3q2+7wAAQUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=", "AKIAIOSFODNN7EXAMPLE : x"])
def test_a_key_that_is_taken_for_a_name_is_not_shown(user_file: Path, line: str) -> None:
    user_file.write_text(f"[encryption]\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"\[encryption\] \(a name that may be a key\)") as caught:
        Options.load()
    assert line[:5].lower() not in str(caught.value).lower()


# ---------------------------------------------------------------------- of all else
def test_what_is_misspelt_is_warned_of_once(
    user_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user_file.write_text(
        "[basic]\ndefault_buckt = HIDDEN\n[basi]\nthreads = 8\n[s3]\nattempt2 = 1\n[login]\nthreads = 8\n"
    )
    monkeypatch.setenv("COTTONCANDY_RETRY_ATEMPTS", "HIDDEN")
    monkeypatch.setenv("COTTONCANDY_BASI_THREADS", "8")
    monkeypatch.setenv("COTTONCANDY_CONFIGFILE", "mine.cfg")
    Options.load()
    in_file, in_environment = warnings(caplog)
    assert in_file.startswith(
        f"{user_file}: nothing reads [basic] default_buckt (near is default_bucket), "
        "[basi] threads (near is [basic] threads), [s3] attempt2, [login] threads (near is [basic] threads);"
    )
    assert in_environment.startswith(
        "the environment: nothing reads COTTONCANDY_BASI_THREADS (near is COTTONCANDY_BASIC_THREADS), "
        "COTTONCANDY_CONFIGFILE (near is COTTONCANDY_CONFIG_FILE), "
        "COTTONCANDY_RETRY_ATEMPTS (near is COTTONCANDY_RETRY_ATTEMPTS);"
    )
    assert "HIDDEN" not in in_file + in_environment
    Options.load()
    assert warnings(caplog) == []


def test_every_option_of_old_and_new_files_is_known(user_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    new = {section: [key for one, key in Options.load({}).names if one == section] for section in ("basic", "retry")}
    for sections in DOCUMENTED, new:
        lines = (line for section in sections for line in (f"[{section}]", *(f"{key} =" for key in sections[section])))
        user_file.write_text("\n".join(lines))
        Options.load({f"COTTONCANDY_{section}_{key}".upper(): "" for section in sections for key in sections[section]})
    assert warnings(caplog) == []


def test_what_is_said_for_all_sections(user_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    user_file.write_text("[DEFAULT]\nthreads = 8\n[basic]\n[encryption]\n")
    options = Options.load()
    assert options.integer("basic", "threads") == 8
    assert warnings(caplog) == []
    user_file.write_text("[DEFAULT]\nthreds = 8\n[basic]\n[encryption]\n")
    Options.load()
    (said,) = warnings(caplog)
    assert "nothing reads [DEFAULT] threds;" in said


def test_what_others_may_have_named_is_left_alone(
    user_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A section that is named as an installed backend, and variables that are far from ours."""
    info = tmp_path / "site" / "others-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    user_file.write_text("[basics]\nthreads = 8\n")
    monkeypatch.setenv("COTTONCANDY_BASICS_THREADS", "8")
    monkeypatch.setenv("COTTONCANDY_BACKEND", "local")
    monkeypatch.setenv("COTTONCANDY_LAB_NOTES", "x")
    Options.load()
    assert len(warnings(caplog)) == 2
    configfiles._warned.clear()
    (info / "entry_points.txt").write_text("[cottoncandy.backends]\nBasics = memory_backend:MemoryBackend\n")
    monkeypatch.syspath_prepend(str(info.parent))
    importlib.invalidate_caches()
    Options.load()
    assert warnings(caplog) == []


def test_the_command_shows_them(
    user_file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    user_file.write_text("[encryption]\nkeyfile = HIDDEN\n[basic]\nthreads = 3\n")
    monkeypatch.setenv("COTTONCANDY_BASIC_THREDS", "HIDDEN")
    assert run(["config"]) == 0
    shown = capfd.readouterr()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[-2:] == [
        f"[encryption] keyfile nothing reads it; near is key_file {user_file}",
        "COTTONCANDY_BASIC_THREDS nothing reads it; near is COTTONCANDY_BASIC_THREADS the environment",
    ]
    assert run(["config", "--json"]) == 0
    told = capfd.readouterr().out
    found = {"value": None, "from": str(user_file), "read": False, "near": "key_file"}
    assert json.loads(told)["[encryption] keyfile"] == found
    assert "HIDDEN" not in shown.out + shown.err + told
    # one is set in spite of others, which is how the file may be mended
    assert run(["config", "basic.threads", "4"]) == 0
    assert "threads = 4" in user_file.read_text()


def test_the_doctor_looks_no_further(user_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    user_file.write_text("[encryption]\nkeyfile = HIDDEN\n")
    (tmp_path / "store").mkdir()
    assert run(["doctor", f"local://{tmp_path}/store//"]) == 1
    said = capfd.readouterr().out
    assert f"nothing reads [encryption] keyfile (near is key_file) of {user_file}" in said
    assert "HIDDEN" not in said
    assert not any((tmp_path / "store").iterdir())

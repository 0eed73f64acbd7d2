"""Options: where they are looked for, in which order, and what is said when they make no sense."""

from __future__ import annotations

import configparser
import logging
import os
import pickle
import pwd
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import platformdirs
import pytest

import cottoncandy
from cottoncandy import config
from cottoncandy.config import Credentials, Options, Source
from cottoncandy.errors import ConfigurationError, CredentialsNotFound

DOCUMENTED = {
    "login": ["access_key", "secret_key", "endpoint_url", "verbose_boto"],
    "basic": [
        "default_acl",
        "default_bucket",
        "mandatory_bucket_prefix",
        "force_bucket_creation",
        "path_separator",
        "signature_version",
        "threads",
    ],
    "upload_settings": [
        "mpu_use_threshold",
        "mpu_chunksize",
        "dask_chunksize",
        "min_mpu_size",
        "max_put_size",
        "max_mpu_size_TB",
        "max_mpu_parts",
    ],
    "download_settings": ["mpd_use_threshold", "mpd_chunksize"],
    "extensions": ["ccgroup", "ccdataset"],
    "gdrive": ["secrets", "credentials"],
    "compression": ["do_compression", "small_array", "large_array"],
}


@pytest.fixture
def user_file() -> Path:
    """Where the user's file of this test will be; its folder is there, the file is not."""
    path = config.user_file_path()
    path.parent.mkdir(parents=True)
    return path


def shipped() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(config.defaults_path().read_text())
    return parser


# ------------------------------------------------------------------ the defaults
def test_every_documented_option_has_a_default() -> None:
    options = Options.load()
    for section, keys in DOCUMENTED.items():
        for key in keys:
            assert options.find(section, key)[1] is Source.DEFAULTS


def test_documented_values() -> None:
    options = Options.load()
    assert options.text("basic", "default_acl") == "authenticated-read"
    assert options.integer("basic", "threads") == 4
    assert options.text("login", "access_key") is None
    assert options.text("login", "endpoint_url") is None
    assert options.megabytes("upload_settings", "min_mpu_size") == 5 * 2**20
    assert options.flag("compression", "do_compression") is True


def test_an_option_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match=r"no option 'thread' in \[basic\]"):
        Options.load().text("basic", "thread")


# ------------------------------------------------------------------ the user's file
def test_the_place_of_the_users_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert config.user_file_path() == Path(os.environ["XDG_CONFIG_HOME"], "cottoncandy", "options.cfg")
    monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", "~/mine.cfg")
    assert config.user_file_path() == Path(os.environ["HOME"], "mine.cfg")
    monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", str(tmp_path / "new" / "mine.cfg"))
    assert Options.load().folder == tmp_path / "new"
    assert (tmp_path / "new" / "mine.cfg").exists()


def test_a_named_file_that_is_not_there_is_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Options.load()
    assert not caplog.records  # the usual one is made without a word
    path = tmp_path / "mine.cfgg"
    monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", str(path))
    Options.load()
    assert str(path) in caplog.text
    assert "COTTONCANDY_CONFIG_FILE" in caplog.text
    caplog.clear()
    Options.load()
    assert not caplog.records


@pytest.mark.parametrize("home", ["/home/somebody", "", "relative", "~", None])
@pytest.mark.parametrize("base", ["/etc/somebody", "", " ", "relative", "~/config", " /etc", None])
def test_the_folder_is_that_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, home: str | None, base: str | None
) -> None:
    for name, value in (("HOME", home), ("XDG_CONFIG_HOME", base)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("COTTONCANDY_CONFIG_FILE", raising=False)
    try:
        theirs = platformdirs.user_config_path("cottoncandy")
    except RuntimeError:  # of some of its releases, where nobody knows the home
        theirs = Path("~/.config/cottoncandy")
    assert config.user_file_path() == theirs / "options.cfg"


def test_the_file_is_made_on_first_use_for_its_owner_only() -> None:
    path = config.user_file_path()
    assert not path.exists()
    Options.load(create=False)
    assert not path.exists()
    old_mask = os.umask(0)
    try:
        Options.load()
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_file_names_every_option_and_sets_none() -> None:
    Options.load()
    text = config.user_file_path().read_text()
    made = configparser.ConfigParser()
    made.read_string(text)
    assert made.sections() == shipped().sections()
    assert not any(made.options(section) for section in made.sections())
    for section in shipped().sections():
        for key, value in shipped().items(section):
            assert f"\n#{key} = {value}\n" in text.replace("max_mpu_size_TB", "max_mpu_size_tb")


def test_a_line_of_the_file_counts_once_its_hash_is_taken_away() -> None:
    Options.load()
    path = config.user_file_path()
    path.write_text(path.read_text().replace("#threads = 4", "threads = 8"))
    assert Options.load().find("basic", "threads") == ("8", Source.USER_FILE)


def test_the_file_is_never_written_again(user_file: Path) -> None:
    """An older release's file lacks sections: it misses nothing, and loses nothing."""
    old = b"# my comment\r\n[login]\naccess_key = AK\nsecret_key=S%(K\n\n[unknown]\nx = 1\n[basic]\nthreads: 2"
    user_file.write_bytes(old)
    user_file.chmod(0o644)
    before = user_file.stat()
    options = Options.load()
    for section, keys in DOCUMENTED.items():
        for key in keys:
            options.find(section, key)
    assert options.integer("basic", "threads") == 2
    assert options.credentials() == Credentials("AK", "S%(K")
    assert options.text("compression", "large_array") == "Zstd"
    assert user_file.read_bytes() == old
    assert (user_file.stat().st_mtime_ns, user_file.stat().st_mode) == (before.st_mtime_ns, before.st_mode)
    assert list(user_file.parent.iterdir()) == [user_file]


def test_many_at_once_make_one_whole_file() -> None:
    with ThreadPoolExecutor(8) as pool:
        threads = list(pool.map(lambda _: Options.load().integer("basic", "threads"), range(32)))
    assert threads == [4] * 32
    assert config.user_file_path().read_text().count("[compression]") == 1


@pytest.mark.parametrize("place", ["a-file/below", "/proc/cottoncandy", "/dev/null/x"])
def test_a_home_that_cannot_be_written(place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    home = tmp_path / place
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    assert Options.load().integer("basic", "threads") == 4
    assert not os.path.lexists(home)


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, whom no permission stops."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if me == 0:
            os.seteuid(0)


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_home_without_permissions(mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # not in pytest's folder, into which nobody may look
    home = Path(tempfile.mkdtemp())
    try:
        home.chmod(mode)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        with nobody():
            options = Options.load()
            assert options.integer("basic", "threads") == 4
            assert options.credentials() is None
        home.chmod(0o755)
        assert list(home.iterdir()) == []
    finally:
        shutil.rmtree(home)


def test_a_file_that_may_not_be_read_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = folder / "options.cfg"
        path.write_text("[basic]\nthreads = 9\n")
        path.chmod(0o000)
        monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", str(path))
        with nobody(), caplog.at_level(logging.WARNING):
            assert Options.load().integer("basic", "threads") == 4
        assert str(path) in caplog.text
    finally:
        shutil.rmtree(folder)


def test_nobody_knows_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container may run with a user that the system does not know."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.chdir(tmp_path)
    options = Options.load()
    assert options.integer("basic", "threads") == 4
    assert options.credentials() is None
    assert list(tmp_path.iterdir()) == []


def test_a_byte_order_mark_is_no_fault(user_file: Path) -> None:
    user_file.write_bytes(b"\xef\xbb\xbf[basic]\r\nthreads = 7\r\n")
    assert Options.load().integer("basic", "threads") == 7


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\xff\xfe\x00SECRET\xe9", None),
        (b"[login]\nsecret_key = SECRET\xe9\n", None),
        (b"secret_key = SECRET\n", 1),
        (b"[login]\nSECRET\n", 2),
        (b"[login]\nsecret_key = 1\nsecret_key = SECRET\n", 3),
        (b"[login]\n[login]\nsecret_key = SECRET\n", 2),
        (b"[SECRET\nx = 1\n", 1),
    ],
)
def test_a_damaged_file_is_named_but_not_quoted(user_file: Path, content: bytes, line: int | None) -> None:
    user_file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Options.load()
    message = str(caught.value)
    assert str(user_file) in message
    assert "SECRET" not in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    if line:
        assert f"line {line}" in message


# ------------------------------------------------------------------ precedence and values
def test_environment_over_file_over_defaults(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Options.load(create=False).find("upload_settings", "max_mpu_size_TB") == ("5", Source.DEFAULTS)
    user_file.write_text("[upload_settings]\nmax_mpu_size_TB = 6\nMPU_chunkSize = 50%\n")
    assert Options.load().find("upload_settings", "max_mpu_size_TB") == ("6", Source.USER_FILE)
    assert Options.load().find("upload_settings", "mpu_chunksize") == ("50%", Source.USER_FILE)
    monkeypatch.setenv("COTTONCANDY_UPLOAD_SETTINGS_MAX_MPU_SIZE_TB", "7")
    assert Options.load().find("upload_settings", "max_mpu_size_TB") == ("7", Source.ENVIRONMENT)


@pytest.mark.parametrize("nothing", ["False", "false", "None", "none"])
def test_unset_in_the_environment_hides_the_file(
    user_file: Path, monkeypatch: pytest.MonkeyPatch, nothing: str
) -> None:
    user_file.write_text("[login]\nendpoint_url = https://s3.example.org\n")
    monkeypatch.setenv("COTTONCANDY_LOGIN_ENDPOINT_URL", nothing)
    assert Options.load().text("login", "endpoint_url") is None


@pytest.mark.parametrize("nothing", ["", " "])
def test_nothing_behind_an_option_is_as_if_it_were_not_there(user_file: Path, nothing: str) -> None:
    user_file.write_text(
        "[login]\nendpoint_url = https://s3.example.org\n[retry]\nattempts = 3\n"
        f"[basic]\nthreads ={nothing}\nallow_pickle = False\n[integrity]\nchecksum ={nothing}\n"
    )
    told = ("LOGIN_ENDPOINT_URL", "RETRY_ATTEMPTS", "BASIC_ALLOW_PICKLE", "PROGRESS_SHOW", "COMPRESSION_SMALL_ARRAY")
    options = Options.load({f"COTTONCANDY_{name}": nothing for name in told})
    assert options.find("login", "endpoint_url") == ("https://s3.example.org", Source.USER_FILE)
    assert (options.integer("retry", "attempts"), options.integer("basic", "threads")) == (3, 4)
    assert (options.flag("basic", "allow_pickle"), options.flag("integrity", "checksum")) == (False, True)
    assert (options.choice("progress", "show"), options.text("compression", "small_array")) == ("auto", "Blosc")


def test_a_switch_or_a_number_that_is_not_set_has_its_default(user_file: Path) -> None:
    user_file.write_text("[integrity]\nchecksum = None\n[basic]\nthreads = False\nmost_threads = None\n")
    options = Options.load({"COTTONCANDY_PROGRESS_SHOW": "None"})
    assert (options.flag("integrity", "checksum"), options.choice("progress", "show")) == (True, "auto")
    assert (options.integer("basic", "threads"), options.integer("basic", "most_threads")) == (4, 128)


@pytest.mark.parametrize("nothing", ["False", "None", ""])
def test_the_place_that_is_told_is_the_one_that_counts(user_file: Path, nothing: str) -> None:
    user_file.write_text("[basic]\nthreads = 3\nlean_wire = False\nrequester_pays = True\ndefault_bucket = lab\n")
    names = ("THREADS", "LEAN_WIRE", "REQUESTER_PAYS", "DEFAULT_BUCKET")
    options = Options.load({f"COTTONCANDY_BASIC_{name}": nothing for name in names})
    assert options.find("basic", "threads") == ("3", Source.USER_FILE)
    assert options.integer("basic", "threads") == 3
    for key, value in ("lean_wire", "False"), ("requester_pays", "True"):
        told = ("False", Source.ENVIRONMENT) if nothing == "False" else (value, Source.USER_FILE)
        assert options.find("basic", key) == told
        assert options.flag("basic", key) == (told[0] == "True")
    told = (None, Source.ENVIRONMENT) if nothing else ("lab", Source.USER_FILE)
    assert options.find("basic", "default_bucket") == told
    assert options.text("basic", "default_bucket") == told[0]


def test_options_are_read_as_what_they_are() -> None:
    kinds = {"flag": "switch", "choice": "switch", "text": "text"}
    kinds |= dict.fromkeys(["number", "integer", "megabytes"], "number")
    options = Options.load({}, create=False)
    calls = [
        (kinds[call[1]], call[2], call[3])
        for path in Path(config.__file__).parent.rglob("*.py")
        for call in re.finditer(rf'\.({"|".join(kinds)})\("(\w+)", "(\w+)"\)', path.read_text())
    ]
    assert {kind for kind, _, _ in calls} == {"switch", "text", "number"}
    for kind, section, key in calls:
        found = "number" if options.is_number(section, key) else "switch" if options.is_switch(section, key) else "text"
        assert (section, key, found) == (section, key, kind)


def test_options_are_those_of_their_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Options.load()
    monkeypatch.setenv("COTTONCANDY_BASIC_THREADS", "9")
    assert (before.integer("basic", "threads"), Options.load().integer("basic", "threads")) == (4, 9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("yes", True),
        ("ON", True),
        ("1", True),
        ("False", False),
        ("no", False),
        ("0", False),
    ],
)
def test_flags(text: str, value: bool) -> None:
    assert Options.load({"COTTONCANDY_COMPRESSION_DO_COMPRESSION": text}).flag("compression", "do_compression") is value


@pytest.mark.parametrize("text", ["maybe", "2", "Truee"])
def test_bad_flags(text: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"\[compression\] do_compression = '{text}'.*True or False"):
        Options.load({"COTTONCANDY_COMPRESSION_DO_COMPRESSION": text}).flag("compression", "do_compression")


@pytest.mark.parametrize(("text", "size"), [("64", 64 * 2**20), ("0.5", 2**19), (" 1e1 ", 10 * 2**20)])
def test_sizes_are_given_in_mb(text: str, size: int) -> None:
    assert (
        Options.load({"COTTONCANDY_UPLOAD_SETTINGS_MPU_CHUNKSIZE": text}).megabytes("upload_settings", "mpu_chunksize")
        == size
    )


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "-inf", "8 MB", "True", "1e999"])
def test_bad_numbers(text: str) -> None:
    options = Options.load({"COTTONCANDY_BASIC_THREADS": text})
    for ask in (options.number, options.integer, options.megabytes):
        with pytest.raises(ConfigurationError, match=r"\[basic\] threads = .*above 0"):
            ask("basic", "threads")


def test_file_names_are_looked_for_beside_the_users_file() -> None:
    options = Options.load()
    assert options.resolve("client_secrets.json") == config.user_file_path().parent / "client_secrets.json"
    assert options.resolve("/etc/secrets.json") == Path("/etc/secrets.json")
    assert options.resolve("~/secrets.json") == Path(os.environ["HOME"], "secrets.json")


# ------------------------------------------------------------------ keys
@pytest.fixture
def passwd() -> Path:
    return Path(os.environ["HOME"], ".passwd-s3fs")


def test_no_keys_of_ours_leave_it_to_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    assert Options.load().credentials() is None


def test_the_configuration_then_s3fs_then_the_two_old_variables(
    user_file: Path, passwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY", "old")
    monkeypatch.setenv("AWS_SECRET_KEY", "old-secret")
    assert Options.load().credentials() == Credentials("old", "old-secret")
    passwd.write_text("fuse:fuse-secret\n")
    assert Options.load().credentials() == Credentials("fuse", "fuse-secret")
    user_file.write_text("[login]\naccess_key = file\nsecret_key = file-secret\n")
    assert Options.load().credentials() == Credentials("file", "file-secret")
    monkeypatch.setenv("COTTONCANDY_LOGIN_ACCESS_KEY", "environment")
    monkeypatch.setenv("COTTONCANDY_LOGIN_SECRET_KEY", "environment-secret")
    assert Options.load().credentials() == Credentials("environment", "environment-secret")


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ("AK:SK", ("AK", "SK")),
        ("# of the lab\n\n  AK:S+/=%  \nAK2:SK2\n", ("AK", "S+/=%")),
        ("lab:BAK:BSK\nAK:SK\n", ("BAK", "BSK")),
        ("other:BAK:BSK\nAK:SK\n", ("AK", "SK")),
        ("AK:SK\r\n", ("AK", "SK")),
        ("other:BAK:BSK\n", None),
        ("AK:\n:SK\nAK\n\n:\na:b:c:d\n", None),
        ("", None),
    ],
)
def test_the_file_of_s3fs(passwd: Path, content: str, keys: tuple[str, str] | None) -> None:
    passwd.write_text(content)
    assert Options.load().credentials("lab") == (Credentials(*keys) if keys else None)


def test_a_file_of_s3fs_that_is_no_text(passwd: Path) -> None:
    passwd.write_bytes(b"\xff\xfe:\xe9")
    assert Options.load().credentials() is None


@pytest.mark.parametrize(
    ("environ", "place", "missing"),
    [
        ({"COTTONCANDY_LOGIN_ACCESS_KEY": "HIDDEN"}, "[login]", "secret"),
        ({"COTTONCANDY_LOGIN_SECRET_KEY": "HIDDEN"}, "[login]", "access"),
        ({"AWS_ACCESS_KEY": "HIDDEN"}, "AWS_ACCESS_KEY", "secret"),
        ({"AWS_SECRET_KEY": "HIDDEN", "AWS_ACCESS_KEY": ""}, "AWS_SECRET_KEY", "access"),
    ],
)
def test_half_a_pair_says_which_half(environ: dict[str, str], place: str, missing: str) -> None:
    with pytest.raises(CredentialsNotFound, match=f"the {missing} key is missing") as caught:
        Options.load(environ).credentials()
    assert place in str(caught.value)
    assert "HIDDEN" not in str(caught.value)


def test_secrets_are_in_no_repr_and_no_pickle(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file.write_text("[login]\naccess_key = FILE_SECRET\nsecret_key = FILE_SECRET\n[basic]\nthreads = 3\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ENVIRONMENT_SECRET")
    options = Options.load()
    for shown in (repr(options), repr(options.credentials()), str(pickle.dumps(options))):
        assert "SECRET" not in shown
    # where it arrives, what is there counts
    user_file.write_text("[basic]\nthreads = 5\n")
    arrived = pickle.loads(pickle.dumps(options))
    assert arrived.integer("basic", "threads") == 5
    assert arrived.credentials() is None


# ------------------------------------------------------------------ where a wrong value stands
def test_errors_say_where_the_value_stands(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file.write_text("[basic]\nthreads = all\nlean_wire = perhaps\n[progress]\nshow = sometimes\n")
    variables = {"COTTONCANDY_BASIC_THREADS": "many", "COTTONCANDY_PROGRESS_SHOW": "never"}
    for options, threads, show in [
        (Options.load({}), ("all", user_file), ("sometimes", user_file)),
        (Options.load(variables), ("many", "COTTONCANDY_BASIC_THREADS"), ("never", "COTTONCANDY_PROGRESS_SHOW")),
    ]:
        for ask, value, said in (
            (lambda options=options: options.integer("basic", "threads"), threads, "[basic] threads"),
            (lambda options=options: options.choice("progress", "show"), show, "[progress] show"),
            (lambda options=options: options.flag("basic", "lean_wire"), ("perhaps", user_file), "[basic] lean_wire"),
        ):
            with pytest.raises(ConfigurationError) as caught:
                ask()
            assert str(caught.value).startswith(f"{said} = '{value[0]}' (from {value[1]}): give ")


def test_errors_of_what_s3_takes_say_where_the_value_stands(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file.write_text("[basic]\nsignature_version = s3v9\n[login]\nendpoint_url = s3.example.org\n")
    open_s3 = partial(cottoncandy.get_interface, "bucket", "AK", "SK", verbose=False)
    with pytest.raises(ConfigurationError, match=re.escape(f"[login] endpoint_url (from {user_file}): ")):
        open_s3()
    with pytest.raises(ConfigurationError, match=re.escape(f"[basic] signature_version = 's3v9' (from {user_file}): ")):
        open_s3(endpoint_url="http://127.0.0.1:9")
    monkeypatch.setenv("COTTONCANDY_LOGIN_ENDPOINT_URL", "https://me:HIDDEN@s3.example.org")
    with pytest.raises(ConfigurationError, match=r"\(from COTTONCANDY_LOGIN_ENDPOINT_URL\): ") as caught:
        open_s3()
    assert "HIDDEN" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        open_s3(endpoint_url="s3.example.org")
    assert "from" not in str(caught.value)


def test_errors_of_encryption_say_where_the_value_stands(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file.write_text("[encryption]\nrequire = True\n")
    user_file.chmod(0o600)
    open_local = partial(cottoncandy.get_interface, "store", backend="local", verbose=False)
    with pytest.raises(ConfigurationError, match=re.escape(f"[encryption] require = 'True' (from {user_file}), and")):
        open_local()
    monkeypatch.setenv("COTTONCANDY_ENCRYPTION_KEY", "HIDDEN")
    place = "[encryption] key (from COTTONCANDY_ENCRYPTION_KEY): "
    with pytest.raises(ConfigurationError, match=re.escape(place)) as caught:
        open_local()
    assert "HIDDEN" not in str(caught.value)

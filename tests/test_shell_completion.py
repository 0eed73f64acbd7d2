"""Tab, in shells: what it puts into the line is the name that is stored, and it neither runs anything nor waits."""

from __future__ import annotations

import contextlib
import logging
import os
import pty
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cottoncandy.cli.shellwords import Quote, Word, quoted, read, split
from cottoncandy.impatience import soon

ROOT = Path(__file__).parent.parent
# As somebody might store them to do harm, or by a slip.
NAMES = [
    "two words",
    "run $(touch PWNED)",
    "run `touch PWNED`",
    "run;touch PWNED",
    "run&touch PWNED|x>PWNED",
    "it's",
    'a "quoted" one',
    "back\\slash\\n",
    "star*",
    "question?[ab]{c,d}",
    "two\nlines; touch PWNED",
    "a\ttab",
    "$HOME",
    "~",
    "#comment",
    "wow!!ls",
    "comma, and comma,",
    "year=2020:01@host",
    "Ω é\u00a0\u2028x",
    " blank at both ends ",
    "(round) <angle>",
    "^caret%percent+plus",
]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the command in ``bin``, on the directory ``store``."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "cottoncandy"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cottoncandy "$@"\n')
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COTTONCANDY_BACKEND", "local")
    monkeypatch.setenv("COTTONCANDY_BUCKET", str(tmp_path / "store"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return tmp_path


def stored(names: list[str]) -> None:
    """Each name alone in a directory, which a number tells."""
    for number, name in enumerate(names):
        Path(f"store/{number}").mkdir(parents=True)
        Path(f"store/{number}", name).touch()


def typed(shell: list[str], lines: list[str]) -> None:
    """Type lines into a shell at a terminal: each when the one before is done, as its prompt tells."""
    process, terminal = pty.fork()
    if not process:
        os.environ.update(PS1="@READY@", TERM="dumb", HISTFILE="")
        os.execvp(shell[0], shell)
    shown = b""
    try:
        for line in [*lines, "exit\n"]:
            while not shown.rstrip().endswith(b"@READY@"):
                shown += os.read(terminal, 65536)
            shown = b""
            os.write(terminal, line.encode())
        with contextlib.suppress(OSError):  # of a terminal that nobody has any more
            while os.read(terminal, 65536):
                pass
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def in_bash(begun: list[str]) -> list[list[str]]:
    """What the command is called with, where Tab ends what was begun."""
    beginning = [
        'eval "$(cottoncandy completion bash)"\n',
        # a function runs in the place of the command, which the script calls by `env`
        "cottoncandy() { printf '%s\\0' \"$@\" END >> told; }\n",
    ]
    typed(["bash", "--norc", "--noprofile"], beginning + [f"cottoncandy {one}\t\n" for one in begun])
    calls = Path("told").read_bytes().decode().split("END\0")[:-1]
    return [call.split("\0")[:-1] for call in calls]


def test_bash_is_given_names_as_they_are(command: Path) -> None:
    stored(NAMES)
    begun = [f"info {number}/" for number in range(len(NAMES))]
    assert in_bash(begun) == [["info", f"{number}/{name}"] for number, name in enumerate(NAMES)]
    assert not [*command.rglob("PWNED")]


@pytest.mark.parametrize("quote", ["'", '"', "$'"])
def test_bash_goes_on_in_the_quote_that_is_open(command: Path, quote: str) -> None:
    names = ["run $(touch PWNED) `touch PWNED`", 'it\'s "so" \\ !x', "two\nlines"]
    stored(names)
    assert in_bash([f"info {quote}{number}/" for number in range(3)]) == [
        ["info", f"{number}/{name}"] for number, name in enumerate(names)
    ]
    assert not [*command.rglob("PWNED")]


def test_bash_completes_a_word_from_where_it_is(command: Path) -> None:
    names = ["year=2020/old data", "it's there", "a:b@c d"]
    for name in names:
        Path(f"store/{name}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"store/{name}").touch()
    begun = [
        "info year=2020/ol",
        "info year=20",
        r"info it\'s",
        "info 'it'\\''s",
        "info 'it'\"'\"",
        "info a:b@",
        "info a",
    ]
    read_as = [names[0], names[0], names[1], names[1], names[1], names[2], names[2]]
    url = f"local://{command}/store//"
    begun += [f"info {url}it", f"info '{url}it", "info one 2>/dev/null; cottoncandy info y", "put --as=fi"]
    calls = in_bash(begun)
    assert calls[:9] == [["info", name] for name in (*read_as, url + names[1], url + names[1])]
    assert calls[9:] == [["info", "one"], ["info", names[0]], ["put", "--as=file"]]


def test_a_name_is_not_completed_to_an_option(command: Path) -> None:
    Path("store/-r").mkdir(parents=True)
    Path("store/-r/x").touch()
    assert in_bash(["info ", "rm --yes ", "info -- -r/"]) == [
        ["info", "cottoncandy:///-r/x"],
        ["rm", "--yes", "cottoncandy:///-r/x"],
        ["info", "--", "-r/x"],
    ]
    done = subprocess.run(["cottoncandy", "info", "cottoncandy:///-r/x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-r/x" in done.stdout


def test_bash_leaves_the_settings_of_others_alone(command: Path) -> None:
    lines = [
        'before="$COMP_WORDBREAKS$-"; eval "$(cottoncandy completion bash)"\n',
        "cottoncandy info \t\x15\n",
        '[[ "$before" == "$COMP_WORDBREAKS$-" ]] && touch same\n',
    ]
    typed(["bash", "--norc", "--noprofile"], lines)
    assert (command / "same").exists()


def test_words_are_read_as_a_shell_does() -> None:
    texts = [*NAMES, "", "-x", "\x01\x7f", "\udcff\udcfe", "'", "''", '"', "\\", "$", "$'x'"]
    for text in texts:
        for quote in Quote:
            written = f"{quote.value}{quoted(text, quote)}{quote.value[-1:]}"
            assert read(written) == Word(text, Quote.NONE)
            assert split(f"{written} x") == [*([written] if written else []), "x"]
        # in a script, where `!` is nothing special
        said = subprocess.run(["bash", "-c", f"printf %s {quoted(text)}"], check=True, capture_output=True).stdout
        assert said == text.encode("utf-8", "surrogateescape")
    assert split("") == split("  ") == [""]
    assert split("a\t 'b c'd  ") == ["a", "'b c'd", ""]
    assert read("a\\") == Word("a", Quote.NONE)
    assert read(r"$'\x41\101\n\q") == Word("AA\n\\q", Quote.ANSI)


# ---------------------------------------------------------------------- stores that do not answer
@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def asked(address: str) -> tuple[float, subprocess.CompletedProcess[bytes]]:
    """How long Tab takes with a store there, and what comes."""
    environment = {
        "COTTONCANDY_BACKEND": "s3",
        "COTTONCANDY_BUCKET": "lab",
        "COTTONCANDY_LOGIN_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "COMP_LINE": "cottoncandy ls su",
        "COMP_WORD": "su",
        "_COTTONCANDY_COMPLETE": "bash_complete",
    }
    command = [sys.executable, "-m", "cottoncandy"]
    began = time.monotonic()
    done = subprocess.run(command, check=False, env={**os.environ, **environment}, capture_output=True, timeout=60)
    return time.monotonic() - began, done


@pytest.mark.parametrize("lean", ["True", "False"])
def test_tab_gives_up_on_a_store_that_does_not_answer(
    command: Path, silent: str, monkeypatch: pytest.MonkeyPatch, lean: str
) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", lean)
    Path("told.cfg").write_text("[login]\nsecret_key = x\n")  # which others can read: of this the log warns
    monkeypatch.setenv("COTTONCANDY_CONFIG_FILE", "told.cfg")
    for address in (silent, "http://127.0.0.1:1"):
        seconds, done = asked(address)
        assert (done.stdout, done.stderr) == (b"", b"")
        assert seconds < 20  # of which two are waited for: the first retry alone would be after 60


def test_who_is_in_a_hurry_is_told_in_time_or_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    import threading

    from cottoncandy.interrupts import is_cancelled
    from cottoncandy.retry import RetryPolicy

    caplog.set_level(logging.DEBUG)
    until, seen = threading.Event(), threading.Event()

    def hangs() -> str:
        until.wait(60)
        if is_cancelled():
            seen.set()
        return "late"

    def fails() -> str:
        logging.getLogger("cottoncandy").warning("it fails")
        RetryPolicy(sleep=lambda _: pytest.fail("it waits")).start("x").wait(ConnectionError("no"))
        return "once more"

    assert soon(lambda: "in time") == "in time"
    assert soon(hangs, 0.01) is None
    until.set()
    assert seen.wait(60)
    assert soon(fails) is None
    assert not caplog.records
    logging.getLogger("cottoncandy").warning("as before")
    assert len(caplog.records) == 1


def test_what_others_log_meanwhile_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from cottoncandy.parallel import gather

    log = logging.getLogger("cottoncandy")
    first, second, until = threading.Event(), threading.Event(), threading.Event()

    def ask(begun: threading.Event) -> bool:
        begun.set()
        until.wait(60)
        gather(log.warning, ["of the question", "of the question, too"], threads=2)
        return True

    with ThreadPoolExecutor() as threads:
        asked = [threads.submit(soon, lambda begun=begun: ask(begun), 60) for begun in (first, second)]
        assert first.wait(60)
        assert second.wait(60)
        log.warning("of an upload")
        until.set()
        assert all(one.result() for one in asked)
    log.warning("afterwards")
    assert [record.message for record in caplog.records] == ["of an upload", "afterwards"]
    assert logging.root.manager.disable == 0

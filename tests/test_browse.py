"""The terminal browser, driven by keys; what it asks the store for is counted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import Recorded
from textual.widgets import Static

import cottoncandy
from cottoncandy.cli import browserapp, run
from cottoncandy.cli.browserapp import StoreBrowser
from cottoncandy.cli.places import Place
from cottoncandy.cli.sampling import preview


def panel(app: StoreBrowser) -> str:
    return str(app.query_one("#panel", Static).render())


async def test_a_walk(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.upload_raw_array("sub01/bold", np.arange(1000.0), compression=False, scanner="3T")
    cci.upload_object("sub01/[bold]notes.txt", "slept [b]well[/b]")
    cci.upload_object("sub01/deep/er/x", b"\xff\x00\x01")
    cci.upload_object("sub02/x", "x")
    app = StoreBrowser(cci, Place("s3", store.container, ""))
    proxy.clear()
    async with app.run_test() as pilot:

        async def settle(holds: Callable[[], bool]) -> None:
            for _ in range(200):
                await app.workers.wait_for_complete()
                await pilot.pause(0.02)
                if holds():
                    return
            pytest.fail(panel(app))

        root = app.names.root
        await settle(lambda: len(root.children) == 2)
        assert [str(node.label) for node in root.children] == ["sub01/", "sub02/"]
        assert proxy.count() == 1
        await pilot.press("down", "enter")
        await settle(lambda: len(root.children[0].children) == 3)
        assert [str(node.label) for node in root.children[0].children] == ["[bold]notes.txt  17", "bold  7.8K", "deep/"]
        assert proxy.count() == 2
        await pilot.press("down")
        await settle(lambda: "17 bytes" in panel(app))
        assert proxy.count() == 2
        await pilot.press("p")
        await settle(lambda: panel(app).endswith("slept [b]well[/b]"))
        await pilot.press("down", "enter")
        await settle(lambda: "scanner: 3T" in panel(app))
        assert "float64 (1000,)" in panel(app)
        assert re.search(r"last modified  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", panel(app), re.MULTILINE)
        before = proxy.count()
        await pilot.press("p")
        await settle(lambda: "max 999" in panel(app))
        assert "█" in panel(app)
        assert proxy.count() - before <= 2
        await pilot.press("up", "up", "enter", "enter")  # closed, and opened again: what is known is kept
        await pilot.pause()
        store.raw.put("sub01/new", b"")
        await pilot.press("r")
        await settle(lambda: len(root.children[0].children) == 4)
        store.raw.delete("sub02/x")
        await pilot.press("q")
    assert app.return_code == 0


async def _until(pilot: Any, holds: Callable[[], bool]) -> None:
    for _ in range(200):
        await pilot.pause(0.02)
        if holds():
            return
    pytest.fail(panel(pilot.app))


@pytest.mark.parametrize("then", ["p", "enter", ""])
async def test_what_took_long_is_not_shown_over_another_name(tmp_path: Path, monkeypatch: Any, then: str) -> None:
    cci = cottoncandy.get_interface(str(tmp_path), backend="local", verbose=False)
    for name in ("a_slow", "b_fast"):
        cci.upload_raw_array(name, np.arange(10))
    reached, may_go_on, is_over = threading.Event(), threading.Event(), threading.Event()
    slow_threads: list[int] = []

    def slow(cci: Any, name: str) -> str:
        if name == "a_slow":
            slow_threads.append(threading.get_ident())
            reached.set()
            may_go_on.wait(10)
        return preview(cci, name)

    monkeypatch.setattr(browserapp, "preview", slow)
    app = StoreBrowser(cci, Place("local", str(tmp_path), ""))
    hand_over = app.call_from_thread

    def handed_over(*arguments: Any, **named: Any) -> Any:
        given = hand_over(*arguments, **named)
        if threading.get_ident() in slow_threads:
            is_over.set()
        return given

    monkeypatch.setattr(app, "call_from_thread", handed_over)
    async with app.run_test() as pilot:
        await _until(pilot, lambda: len(app.names.root.children) == 2)
        await pilot.press("down", "p")
        await _until(pilot, reached.is_set)
        await pilot.press("down", *([then] if then else []))
        await _until(pilot, lambda: {"p": "█", "enter": "int64", "": "p: preview"}[then] in panel(app))
        may_go_on.set()
        await _until(pilot, is_over.is_set)
        assert panel(app).startswith("b_fast\n")


async def test_the_line_below_the_first_thousand_names_is_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browserapp, "_MOST", 3)
    cci = cottoncandy.get_interface(str(tmp_path), backend="local", verbose=False)
    for number in range(5):
        cci.upload_object(f"many/{number}", b"x")
    app = StoreBrowser(cci, Place("local", str(tmp_path), ""))
    async with app.run_test() as pilot:
        await _until(pilot, lambda: len(app.names.root.children) == 1)
        (many,) = app.names.root.children
        await pilot.press("down", "enter")
        await _until(pilot, lambda: len(many.children) == 4)
        note = many.children[-1]
        app.names.move_cursor(note)
        await pilot.press("enter", "p", "r")
        await _until(pilot, lambda: many.children and many.children[-1] is not note)
        assert str(many.children[-1].label) == "the first 3 are shown"
        assert not any(child.children for child in many.children)


async def test_an_error_ends_nothing(recorded: Recorded) -> None:
    store, _ = recorded
    store.raw.put("x", b"x")
    app = StoreBrowser(store.interface(), Place("s3", store.container, ""))
    async with app.run_test() as pilot:
        for _ in range(200):
            await pilot.pause(0.02)
            if app.names.root.children:
                break
        store.raw.delete("x")
        await pilot.press("down", "enter")
        for _ in range(200):
            await pilot.pause(0.02)
            if "does not exist" in panel(app):
                break
        assert "does not exist" in panel(app)
        assert app.is_running


def test_a_preview_reads_little(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    large = np.arange(3_000_000, dtype="float32").reshape(100, 300, 100)
    for name, array in (("c", large), ("f", np.asfortranarray(large))):
        cci.upload_raw_array(name, array, compression=False)
        proxy.clear()
        assert "max" in preview(cci, name)
        assert sum(request.answered for request in proxy.requests) < large.nbytes / 10
    for array in (np.array(3.5), np.array([]), np.array([np.nan, np.inf]), np.array(["a", "b"])):
        cci.upload_raw_array("small", array)
        assert f"\na sample of {array.size} of {array.size} " in preview(cci, "small")
    cci.upload_object("bytes", bytes(range(256)))
    assert preview(cci, "bytes").startswith("00000000  00 01 02")
    cci.upload_object("text", "é" * 3000)
    assert preview(cci, "text") == "é" * 1024


NANOSECONDS = np.int64(1764532000_000_000_000) + np.arange(1000)


@pytest.mark.parametrize(
    ("values", "least"),
    [
        (np.full(3, 1e20), ["distance from 1e+20", "█ 3"]),
        (NANOSECONDS, ["distance from 1764532000000000000", "       83.25 ████████████████████████████████ 83"]),
        (np.array([1.0, 1.0 + 2**-52]), ["distance from 1.0", "2.035e-16 █"]),
        (np.array([-1e308, 1e308]), ["mean 0 ", "     -1e+308 █", "8.333e+307 █"]),
        (np.array([1.5e308, 1.7e308]), ["mean 1.6e+308", "1.5e+308 █"]),
        (np.array([-(2**63), 2**63 - 1]), ["-9.223e+18 █", "7.686e+18 █"]),
        (np.array([0, 2**64 - 1], "u8"), ["           0 █", "1.691e+19 █"]),
        (np.array([1, 65504], "f2"), ["mean 32752.5", "6.005e+04 █"]),
        (np.array([True, False, True]), ["mean 0.666667", "0.9167 ████████████████████████████████ 2"]),
        (np.array([0.0, np.nan, 12.0]), ["1 are not finite", "          11 █"]),
    ],
)
def test_a_preview_of_any_numbers(tmp_path: Path, values: np.ndarray, least: list[str]) -> None:
    cci = cottoncandy.get_interface(str(tmp_path), backend="local", verbose=False)
    cci.upload_raw_array("a", values)
    text = preview(cci, "a")
    assert all(part in text for part in least), text
    assert sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if "█" in line) == np.isfinite(values).sum()


def test_a_preview_of_many_values_is_of_all_their_places(tmp_path: Path) -> None:
    cci = cottoncandy.get_interface(str(tmp_path), backend="local", verbose=False)
    cci.upload_raw_array("a", np.arange(1_000_000), compression=False)
    assert "min 0   mean 499999   max 999999" in preview(cci, "a")


def test_a_screenshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store" / "sub01").mkdir(parents=True)
    (tmp_path / "store" / "sub01" / "x").write_bytes(b"x")
    assert run(["browse", f"local://{tmp_path}/store//", "--screenshot", str(tmp_path / "shot.svg")]) == 0
    assert "sub01/" in (tmp_path / "shot.svg").read_text()


@pytest.mark.parametrize("absent", ["stdin", "stderr", "all"])
def test_it_is_for_a_terminal(absent: str, tmp_path: Path) -> None:
    """textual asks for the next key without end where there is no terminal, and takes a whole core for it."""
    (tmp_path / "store").mkdir()
    terminal, other_end = os.openpty()
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    if absent != "all":
        streams = {name: streams[name] if name == absent else other_end for name in streams}
    command = [sys.executable, "-m", "cottoncandy", "browse", f"local://{tmp_path}/store//"]
    done = subprocess.run(command, **streams, stdout=subprocess.PIPE, timeout=60, check=False)
    os.close(other_end)
    told = done.stderr if absent != "stdin" else os.read(terminal, 10_000)
    os.close(terminal)
    assert (done.returncode, done.stdout) == (2, b"")
    said = " ".join(told.decode().split())
    assert "browse is for a terminal" in said
    assert "tree and ls -l need none, --screenshot FILE writes a picture" in said


def test_what_serves_it_to_web_pages_needs_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    begun: list[StoreBrowser] = []
    monkeypatch.setattr(StoreBrowser, "run", lambda app, **_: begun.append(app))
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    assert run(["browse", f"local://{tmp_path}/store//"]) == 0
    assert len(begun) == 1


def test_on_a_terminal_it_begins_and_ends_with_q(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "sub01.txt").write_bytes(b"x")
    terminal, other_end = os.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "cottoncandy", "browse", f"local://{tmp_path}/store//"]
    # nothing is drawn on stdout: that may lead elsewhere
    with subprocess.Popen(command, stdin=other_end, stderr=other_end, stdout=subprocess.PIPE) as process:
        os.close(other_end)
        drawn = b""
        while b"sub01.txt" not in drawn:
            drawn += os.read(terminal, 10_000)
        os.write(terminal, b"q")
        ending = threading.Thread(target=_read_all, args=(terminal,))
        ending.start()
        assert process.wait(timeout=60) == 0
        ending.join(60)
    os.close(terminal)


def _read_all(terminal: int) -> None:
    with contextlib.suppress(OSError):  # the other end is closed
        while os.read(terminal, 10_000):
            pass

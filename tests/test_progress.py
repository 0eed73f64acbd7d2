"""Bars: what is counted, by whom, where it is drawn; and nothing of it where nobody looks."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorder import Fault, Request
from stores import Recorded
from tqdm import tqdm

from cottoncandy import progress
from cottoncandy.errors import ConfigurationError, CottonCandyError
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.progress import Progress, counts, current

MIB = 2**20
ROOT = Path(__file__).parent.parent


class Bars:
    """Makes bars that remember all that they were told."""

    def __init__(self) -> None:
        self.made: list[Bar] = []
        self.open = self.most_open = 0

    def __call__(self, **arguments: Any) -> Bar:
        bar = Bar(self, arguments)
        self.made.append(bar)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        return bar

    def take(self) -> list[tuple[str, float | None, float]]:
        """What was shown since: the words, the total, where it ended; all are closed."""
        assert self.open == 0
        shown = [(bar.arguments["desc"], bar.arguments["total"], sum(bar.steps)) for bar in self.made]
        assert self.most_open <= 1
        self.made.clear()
        return shown


class Bar:
    def __init__(self, bars: Bars, arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self.steps: list[float] = []
        self._bars = bars
        self._busy = threading.Lock()

    def update(self, n: float) -> None:
        assert self._busy.acquire(blocking=False), "two threads draw at once"
        self.steps.append(n)
        time.sleep(0)
        self._busy.release()

    def close(self) -> None:
        self._bars.open -= 1


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    monkeypatch.setattr(counts, "_INTERVAL", 0)
    return Bars()


def shown(interface: DefaultInterface, bars: Callable[..., Any], **settings: int) -> DefaultInterface:
    """The interface, whose bars come at once."""
    interface._settings = replace(interface._settings, progress=Progress(bars, delay=0), **settings)
    return interface


PARTS = {"upload_threshold": 6 * MIB, "upload_part": 5 * MIB, "download_threshold": 2 * MIB, "download_part": 2 * MIB}


@pytest.mark.stores("local", "moto")
def test_every_long_call_shows_one_bar_that_ends_where_it_should(store: Any, bars: Bars, tmp_path: Path) -> None:
    cci = shown(store.interface(), bars, **PARTS)
    array = np.random.default_rng(0).integers(0, 255, 7 * MIB, np.uint8)
    cci.upload_raw_array("a", array, compression=False)
    assert np.array_equal(cci.download_raw_array("a"), array)
    assert np.array_equal(cci.download_raw_array("a", out=np.empty(14 * MIB, np.uint8)[::2]), array)
    assert cci.open_array("a")[: 3 * MIB].sum() == array[: 3 * MIB].sum()
    assert cci.download_stream("a").read() == array.tobytes()
    cci.download_to_file("a", tmp_path / "a")
    cci.upload_from_file(tmp_path / "a", "b")
    size = 7.0 * MIB
    assert bars.take() == [
        ("upload a", size, size),
        ("download a", size, size),
        ("download a", size, size),
        ("read a", 3 * MIB, 3 * MIB),
        ("download a", size, size),
        ("download a", size, size),
        ("upload b", size, size),
    ]
    cci.upload_raw_array("z", array ^ 7, compression="Zstd-blocks")
    assert cci.open_array("z")[5:].shape == (7 * MIB - 5,)
    assert np.array_equal(cci.download_raw_array("z"), array ^ 7)
    stored = cci.open_array("z").stored
    up, read, down = bars.take()
    assert up == ("upload z", None, stored)
    assert read[:2] == ("read z", None)
    assert stored * 0.9 < read[2] <= stored
    assert down == ("download z", stored, stored)

    # trees: objects, and the bytes beside them
    tree = {str(i): np.full(1000, i) for i in range(10)} | {"big": array}
    cci.dict2cloud("tree", tree, verbose=False, compression=False)
    assert len(cci.cloud2dict("tree", verbose=False)) == 11
    cci.download_directory("tree", tmp_path / "tree")
    cci.upload_from_directory(tmp_path / "tree", "dir", recursive=True)
    cci.mv("dir", "moved")
    assert len(cci.glob("*")) == 25
    assert cci.verify("tree").ok
    assert cci.verify("a").ok
    cci.rm("moved", recursive=True)
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "1").touch()
    cci.sync(tmp_path / "tree", "synced")
    cci.sync(tmp_path / "few", "synced", delete=True)
    cci.sync("synced", tmp_path / "tree", delete=True)
    cci.upload_dask_array("dask", array.reshape(7, MIB), axis=0, buffersize=2 * MIB)
    words = [
        (desc.split()[0] if "/tree" in desc else desc, total, end)  # a long path is cut
        for desc, total, end in bars.take()
        if not desc.startswith(("list", "read", "compare"))
    ]
    assert words == [
        ("upload tree", 11, 11),
        ("download tree/", 11, 11),
        ("download tree", 11, 11),
        ("upload dir", 11, 11),
        ("copy moved", 11, 11),
        ("delete moved", 11, 11),
        ("verify tree", 11, 11),
        ("verify a", None, size),
        ("delete moved", 11, 11),
        ("transfer", 11, 11),
        ("delete synced/", 10, 10),
        ("delete", 10, 10),
        ("upload dask", 4, 4),
    ]
    import dask.array

    with dask.config.set(scheduler="threads"):
        cci.upload_dask_array("dask", dask.array.from_array(array.reshape(7, MIB), chunks=(2, -1)))
    assert bars.take() == [("upload dask", 4, 4)]


def test_every_listing_counts_the_names_it_finds(store: Any, bars: Bars) -> None:
    cci = shown(store.interface(), bars)
    for name in ("a/1/x", "a/1/y", "a/2/x", "a/3", "b"):
        cci.upload_object(name, b"12")
    bars.made.clear()
    assert cci.get_size() == cci.get_bucket_size() == 10
    assert cci.lsdir("a") == cci.ls("a", limit=None) == ["a/1", "a/2", "a/3"]
    assert cci.ls("a/?/x") == ["a/1/x", "a/2/x"]
    assert len(cci.lsdir()) == len(list(cci.scandir())) == 2
    assert bars.take() == [
        ("list all", None, 5),
        ("list all", None, 5),
        ("list a/", None, 3),
        ("list a", None, 3),
        ("list a/?/x", None, 5),  # three levels are listed
        ("list all", None, 2),
        ("list all", None, 2),
    ]
    assert cci.lsdir("a", limit=1) == ["a/1"]
    next(iter(cci.scandir("a")))
    assert current() is None
    assert bars.open == 0


def test_a_deletion_counts_what_is_deleted(recorded: Recorded, bars: Bars) -> None:
    """And not the names that are drawn before: thousands are cut into batches at once."""
    cci = shown(recorded.store.interface(), bars)
    for number in range(600):
        recorded.store.raw.put(f"a/{number}", b"")
    told, third = list[list[float]](), threading.Event()

    def look(request: Request) -> None:
        if "delete" in request.query:
            told.append([step for bar in bars.made if bar.arguments["desc"] == "delete a" for step in bar.steps])
            if len(told) == 3:
                third.set()
            assert third.wait(30)

    recorded.proxy.hook = look
    cci.rm("a", recursive=True)
    assert len(told) == 3
    assert sum(map(sum, told)) == 0  # all were under way before the first was answered
    steps = bars.made[-1].steps
    assert [step for step in steps if step] == [250, 250, 100]
    assert bars.take() == [("list a/", None, 600), ("delete a", 600, 600)]


@pytest.mark.stores("local", "moto", "gdrive")
def test_a_deletion_ends_where_it_should(store: Any, bars: Bars) -> None:
    cci = shown(store.interface(), bars)
    for number in range(12):
        cci.upload_object(f"a/{number}", b"")
    bars.made.clear()
    cci.rm("a", recursive=True)
    assert [bar for bar in bars.take() if bar[0].startswith("delete")] == [("delete a", 12, 12)]


def test_a_body_that_is_sent_again_counts_once(recorded: Recorded, bars: Bars, wire: str) -> None:
    """And the bar moves while a single request is on its way; bytes that come again count once, too."""
    cci = shown(recorded.store.interface(), bars)
    array = np.random.default_rng(0).integers(0, 255, 8 * MIB, np.uint8)
    broken: list[str] = []

    def once_each(request: Request) -> Fault | None:
        if "/a" in request.path and request.method not in broken:
            broken.append(request.method)
            return Fault("lose") if request.method == "PUT" else Fault("reset", 3 * MIB)
        return None

    recorded.proxy.hook = once_each
    cci.upload_raw_array("a", array, compression=False)
    up = bars.made[0].steps
    assert np.array_equal(cci.download_raw_array("a"), array)
    assert sum(request.method == "PUT" for request in recorded.proxy.requests) == 2
    step = progress.STEP if wire == "lean" else MIB  # what botocore reads at once
    assert min(up) < 0 < max(up) <= step  # back to its beginning; no step as large as the body
    assert len(bars.made[1].steps) >= 16
    assert [end for *_, end in bars.take()] == [8 * MIB] * 2


def test_an_error_and_ctrl_c_close_the_bar(tmp_path: Path, bars: Bars) -> None:
    cci = shown(DefaultInterface(str(tmp_path), None, None, verbose=False, backend="local"), bars)

    def stop(block: bytes) -> Iterator[bytes]:
        yield block
        assert bars.open == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cci._upload("a", stop(bytes(20 * MIB)), {})
    with pytest.raises(CottonCandyError):
        cci.upload_dask_array("a/../b", np.zeros(3))
    assert bars.open == 0
    assert current() is None
    assert len(bars.made) == 1


def test_a_bar_that_breaks_costs_no_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(**_: Any) -> Any:
        raise OSError("the terminal is gone")

    cci = shown(DefaultInterface(str(tmp_path), None, None, verbose=False, backend="local"), broken)
    array = np.arange(2 * MIB)
    cci.upload_raw_array("a", array, compression=False)
    assert np.array_equal(cci.download_raw_array("a"), array)
    assert "the terminal is gone" in caplog.text


def test_a_bar_of_tqdm_whose_end_is_not_known(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(counts, "_INTERVAL", 0)
    with Progress(lambda **how: tqdm(file=screen, **how), delay=0).transfer("upload", "x"):
        count = current()
        assert count is not None
        for _ in range(5):
            count.add(2**20)
    assert not caplog.messages
    assert "5.00MB" in screen.getvalue().split("\r")[-1]


def test_many_threads_draw_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """tqdm itself: whole lines, the last one complete; a name cannot speak to the terminal."""
    from cottoncandy.parallel import for_each

    out = io.StringIO()
    quick = Progress(lambda **how: tqdm(file=out, ascii=True, mininterval=0, **how), delay=0)

    def work(_: int) -> None:
        meter = current()
        assert meter is not None
        for _ in range(50):
            meter.add(MIB // 50)

    with quick.many("upload", "a\x1b[2J" + "b" * 50, 200) as count:
        for_each(count.wrap(work), range(200), 8)
    lines = out.getvalue().strip().split("\r")
    assert all(line.startswith("upload ...") for line in lines if line.strip())
    assert "\x1b[2J" not in out.getvalue()
    assert "100%" in lines[-1]
    assert "200/200" in lines[-1]
    assert "200 MB" in lines[-1]
    assert current() is None


def test_short_and_small_calls_make_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bar before a second has passed; for few bytes not even a count."""
    bars = Bars()
    cci = DefaultInterface(str(tmp_path), None, None, verbose=False, backend="local", progress=bars)
    cci.upload_raw_array("a", np.zeros(MIB), compression=False)
    cci.download_raw_array("a")
    assert bars.made == []
    monkeypatch.setattr(progress, "Count", pytest.fail)
    monkeypatch.setattr(progress, "Call", pytest.fail)
    cci.upload_raw_array("small", np.zeros(1000))
    cci.download_raw_array("small")
    quiet = DefaultInterface(str(tmp_path), None, None, verbose=False, backend="local", progress=False)
    quiet.upload_raw_array("b", np.zeros(MIB), compression=False)
    assert len(quiet.download_raw_array("b")) == MIB
    assert len(quiet.glob("*")) == 3


def test_what_is_said_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(**arguments: Any) -> DefaultInterface:
        return DefaultInterface(str(tmp_path), None, None, verbose=False, backend="local", **arguments)

    assert make()._settings.progress == Progress("auto")
    assert make(progress=False)._settings.progress == Progress(False)
    monkeypatch.setenv("COTTONCANDY_PROGRESS_SHOW", "False")
    assert make()._settings.progress.show is False
    assert make(progress=True)._settings.progress.show is True
    monkeypatch.setenv("COTTONCANDY_PROGRESS_SHOW", "sometimes")
    with pytest.raises(ConfigurationError, match="sometimes"):
        make()
    monkeypatch.delenv("COTTONCANDY_PROGRESS_SHOW")
    # only "none" travels, and no bar of the caller's
    for show, arrives in ((lambda **_: None, "auto"), (True, "auto"), ("auto", "auto"), (False, False)):
        copy = pickle.loads(pickle.dumps(make(progress=show)))
        assert copy._settings.progress == Progress(arrives)
        assert pickle.loads(pickle.dumps(Progress(show))) == Progress(arrives)


PROMPT = """
import sys, threading
sys.path.insert(0, {root!r})
from cottoncandy import progress
print("loaded", "tqdm" in sys.modules)
aside = []
thread = threading.Thread(target=lambda: aside.append(progress.is_interactive()))
thread.start(); thread.join()
print("looks on", progress.is_interactive(), *aside)
"""


@pytest.mark.parametrize(
    ("terminal", "prompt", "looks_on"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_bars_are_for_who_types_at_a_terminal(terminal: bool, prompt: bool, looks_on: bool) -> None:
    code = (
        PROMPT.format(root=str(ROOT)) if not prompt else "import sys; sys.ps1 = '>>> '" + PROMPT.format(root=str(ROOT))
    )
    ours, theirs = os.openpty() if terminal else os.pipe()
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, text=True, check=True)
    os.close(ours)
    os.close(theirs)
    assert done.stdout == f"loaded False\nlooks on {looks_on} False\n"

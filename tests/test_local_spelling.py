"""A directory on a disk that ignores case, or the form of Unicode: a file has one name, and nothing is lost."""

from __future__ import annotations

import os
import pickle
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folding_disk import fold, without_form
from local_files import directories, files, keys

import cottoncandy
from cottoncandy.backends.base import WriteOptions
from cottoncandy.backends.local import LocalBackend
from cottoncandy.errors import CottonCandyError, InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces import DefaultInterface

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "sub/é") for form in ("NFC", "NFD"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    root.mkdir()
    return root


@pytest.fixture
def disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBackend:
    fold(monkeypatch, root)
    return LocalBackend(str(root))


def interface(root: Path) -> DefaultInterface:
    return cottoncandy.get_interface(str(root), backend="local", verbose=False)


def test_an_object_has_the_name_that_stands_on_the_disk(disk: LocalBackend) -> None:
    disk.put("Sub/Bold", b"x", {"a": "b"})
    assert (disk.stat("Sub/Bold").size, disk.exists("Sub/Bold"), keys(disk)) == (1, True, ["Sub/Bold"])
    for other in ("Sub/bold", "sub/Bold", "SUB/BOLD"):
        assert not disk.exists(other)
        with pytest.raises(ObjectNotFound, match=other):
            disk.open(other)
        disk.delete([other])
    assert keys(disk, "sub/") == [entry.key for entry in disk.list_level("sub/")] == []
    assert keys(disk, "Sub/B") == ["Sub/Bold"]
    disk.put("Sub/Bold", b"longer", {})  # itself is replaced
    disk.delete(["Sub/bold", "Sub/Bold"])
    assert keys(disk) == []


@pytest.mark.parametrize(("new", "there"), [("Sub/bold", "Sub/Bold"), ("sub/other", "Sub"), ("sub", "Sub")])
def test_another_spelling_is_refused_and_the_error_names_both(
    disk: LocalBackend, root: Path, new: str, there: str
) -> None:
    disk.put("Sub/Bold", b"x", {"a": "b"})
    before = files(root)
    refused = partial(pytest.raises, InvalidObjectName, match=f"{new}.*there is '{there}'")
    for options in (WriteOptions(), WriteOptions(if_absent=True)):
        with refused():
            disk.put(new, b"yy", {}, options)
        with refused():
            disk.start_upload(new, {}, options)
    with pytest.raises(InvalidObjectName, match="there is"):
        disk.copy("Sub/Bold", new)
    assert files(root) == before
    assert directories(root) == {"Sub"}


def test_nothing_is_lost_by_a_move_to_another_spelling(disk: LocalBackend, root: Path) -> None:
    cci, array = interface(root), np.arange(5.0)
    for name in ("Sub/Bold", "Sub/x", "Sub/y"):
        cci.upload_raw_array(name, array)
    before = files(root)
    for move in (
        lambda: cci.mv("Sub/Bold", "Sub/bold", overwrite=True),
        lambda: cci.mv("Sub/Bold", "Sub/bold"),
        lambda: cci.mv("Sub", "sub", overwrite=True),
        lambda: cci.fs.mv("Sub/Bold", "Sub/bold"),
        lambda: cci.fs.mv("Sub", "sub", recursive=True),
        lambda: cci.rm("sub", recursive=True),
        lambda: cci.rm("Sub/bold"),
    ):
        try:
            move()
        except CottonCandyError as error:
            assert "'" in str(error)  # noqa: PT017 - rm -r of nothing is no error, the others are
        assert files(root) == before
    cci.mv("Sub", "between")
    cci.mv("between", "sub")
    assert cci.ls("sub") == ["sub/Bold", "sub/x", "sub/y"]
    np.testing.assert_array_equal(cci.download_raw_array("sub/Bold"), array)


def test_two_leaves_of_a_tree_are_not_one(disk: LocalBackend, root: Path) -> None:
    cci = interface(root)
    with pytest.raises(InvalidObjectName, match=r"/[Aa]'"):
        cci.dict2cloud("tree", {"A": np.zeros(2), "a": np.ones(3)}, verbose=False)
    assert cci.glob("tree*") == []


def test_of_two_writers_at_a_time_one_is_refused(disk: LocalBackend, root: Path) -> None:
    uploads = [disk.start_upload(key, {}) for key in ("Bold", "bold")]
    for upload in uploads:
        upload.send_part(1, b"x")
    uploads[0].complete()
    with pytest.raises(InvalidObjectName, match="there is 'Bold'"):
        uploads[1].complete()
    uploads[1].abort()
    assert keys(disk) == ["Bold"]
    assert set(files(root)) == {"Bold", "Bold.meta.json"}


def test_what_is_listed_once_is_listed_again_when_it_changed(disk: LocalBackend, root: Path) -> None:
    disk.put("a", b"x", {})
    os.utime(root, (1, 1))  # long ago: its names are remembered
    assert disk.exists("a")
    subprocess.run(["mv", str(root / "a"), str(root / "A")], check=True)
    assert (disk.exists("a"), disk.exists("A")) == (False, True)


def test_no_object_is_taken_for_the_metadata_of_another(disk: LocalBackend) -> None:
    with pytest.raises(InvalidObjectName, match="kept for the metadata"):
        disk.put("x.META.json", b"{}", {})


def test_a_disk_that_keeps_one_spelling_takes_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold(monkeypatch, root, kept=str.lower)
    disk = LocalBackend(str(root))
    with pytest.raises(InvalidObjectName, match="would call it 'sub/bold'"):
        disk.put("Sub/Bold", b"x", {})
    disk.put("sub/bold", b"x", {})
    assert (keys(disk), disk.exists("sub/bold"), disk.exists("Sub/Bold")) == (["sub/bold"], True, False)


def test_the_forms_of_unicode_are_spellings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold(monkeypatch, root, without_form)
    disk = LocalBackend(str(root))
    disk.put(COMPOSED, b"x", {})
    disk.put("sub/A", b"1", {})
    disk.put("sub/a", b"2", {})  # case it tells
    with pytest.raises(InvalidObjectName, match="there is"):
        disk.put(DECOMPOSED, b"y", {})
    disk.delete([DECOMPOSED])
    assert keys(disk) == ["sub/A", "sub/a", COMPOSED]


def test_reading_asks_a_disk_without_writing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "Bold").write_bytes(b"x")
    fold(monkeypatch, root)
    before = root.stat().st_mtime_ns
    disk = pickle.loads(pickle.dumps(LocalBackend(str(root))))
    assert (disk.exists("Bold"), disk.exists("bold")) == (True, False)
    assert root.stat().st_mtime_ns == before


def test_a_disk_that_tells_case_is_asked_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = LocalBackend(str(root))
    disk.put("A", b"1", {})
    disk.put("a", b"22", {})
    assert (disk.stat("A").size, disk.stat("a").size, keys(disk)) == (1, 2, ["A", "a"])
    other = LocalBackend.connect(str(root.parent / "other"))
    other.put("x", b"1", {})
    calls = Counter[str]()
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, partial(count, calls, name, getattr(os, name)))
    disk.put("A", b"1", {})
    disk.stat("A")
    disk.delete(["a"])
    for _ in range(2):
        disk.copy("A", "b", source_container=str(root))
        disk.copy("x", "c", source_container=str(other.path))
        assert calls["listdir"] + calls["scandir"] <= 1  # the other one is asked once, too
    calls.clear()
    disk.copy("x", "c", source_container=str(other.path))
    assert calls["listdir"] + calls["scandir"] == 0
    assert not any(root.glob(".cottoncandy-*"))


def count(calls: Counter[str], name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    calls[name] += 1
    return call(*arguments, **named)

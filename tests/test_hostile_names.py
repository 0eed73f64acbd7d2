"""Names that a foreign server gives: none leads out of the directory that they are downloaded to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostile_s3 import holding, interface

from cottoncandy import diskpaths
from cottoncandy.errors import CottonCandyError, InvalidObjectName

OUTSIDE = [
    *("exp/../escaped", "exp/a/../../escaped", "exp/..", "exp/.", "exp/a/./b", "exp//etc/escaped", "exp/a\0b"),
    *("exp/" + "n" * 256, "exp/" + "é" * 128 + "/x"),
]


def _files(folder: Path) -> dict[str, str]:
    """What lies below a folder, links as what they say."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_text() for path in paths
    }


def _download(how: str, cci: Any, target: Path) -> None:
    if how == "interface":
        cci.download_directory("exp", str(target))
    else:
        cci.fs.get("exp/", str(target), recursive=True)


@pytest.mark.parametrize("how", ["interface", "fsspec"])
def test_nothing_is_written_where_a_name_leads_out(how: str, tmp_path: Path) -> None:
    for number, name in enumerate(OUTSIDE):
        target = tmp_path / str(number) / "deep" / "down"
        # new releases of fsspec look as well, and say ValueError
        with (
            interface(holding("exp/good", name)) as (cci, _),
            pytest.raises(ValueError, match=r"outside|component|NUL"),
        ):
            _download(how, cci, target)
    assert _files(tmp_path) == {}


def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with interface(holding("exp/good", "exp/" + "a/" * 3000 + "x")) as (cci, _):
        for call in (lambda: cci.download_directory("exp", str(tmp_path / "in")), lambda: cci.sync("exp", tmp_path)):
            with pytest.raises(InvalidObjectName, match="its path is too long"):
                call()
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("how", ["interface", "fsspec"])
def test_links_in_the_target_are_not_followed_out_of_it(how: str, tmp_path: Path) -> None:
    real, outside = tmp_path / "real", tmp_path / "outside"
    for folder in (real / "inside", outside):
        folder.mkdir(parents=True)
    (outside / "precious").write_text("mine")
    target = tmp_path / "target"
    target.symlink_to(real)  # the root itself may be a link
    (real / "out").symlink_to(outside)
    (real / "file").symlink_to(outside / "precious")
    (real / "dangling").symlink_to(outside / "new")
    (real / "in").symlink_to(real / "inside")
    before = _files(tmp_path)
    for name in ("out/precious", "out/deep/new", "file", "dangling"):
        held = holding("exp/good", f"exp/{name}")
        with interface(held) as (cci, _), pytest.raises(InvalidObjectName, match="symbolic link"):
            _download(how, cci, target)
        assert _files(tmp_path) == before, name
    with interface(holding("exp/in/x", "exp/y")) as (cci, _):
        _download(how, cci, target)
    assert _files(tmp_path) == before | {"real/inside/x": "x", "real/y": "y"}


@pytest.mark.parametrize("how", ["interface", "fsspec"])
def test_a_link_to_a_file_is_replaced_and_not_written_through(how: str, tmp_path: Path) -> None:
    """What it leads to is another object's file, or the user's own."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "to-mine").symlink_to("mine")
    (tmp_path / "to-x").symlink_to("x")  # nothing is there yet
    (tmp_path / "x2").write_text("old")
    (tmp_path / "to-x2").symlink_to("x2")
    names = ("to-mine", "to-x", "to-x2", "x", "x2")
    with interface(holding(*(f"exp/{name}" for name in names))) as (cci, _):
        _download(how, cci, tmp_path)
        assert _files(tmp_path) == {"mine": "mine"} | {name: name[-1] for name in names}
        assert not any(path.is_symlink() for path in tmp_path.iterdir())
        # one that the user named is followed, as `cp` does
        (tmp_path / "named").symlink_to("mine")
        if how == "interface":
            cci.download_to_file("exp/x", tmp_path / "named")
            (tmp_path / "other").symlink_to("x2")
            cci.download_to_file("exp/x", tmp_path / "other", through_link=False)
            assert ((tmp_path / "x2").read_text(), (tmp_path / "other").is_symlink()) == ("2", False)
        else:
            cci.fs.get("exp/x", str(tmp_path / "named"))
    assert ((tmp_path / "named").readlink(), (tmp_path / "mine").read_text()) == (Path("mine"), "x")


@pytest.mark.parametrize("how", ["interface", "fsspec"])
def test_two_names_that_links_make_one_are_refused(how: str, tmp_path: Path) -> None:
    (tmp_path / "run1").mkdir()
    (tmp_path / "latest").symlink_to("run1")
    with (
        interface(holding("exp/good", "exp/latest/x", "exp/run1/x")) as (cci, _),
        pytest.raises(InvalidObjectName, match="they would be one file"),
    ):
        _download(how, cci, tmp_path)
    assert _files(tmp_path) == {"latest": "run1"}


def test_files_and_directories_in_each_others_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder" / "below").mkdir(parents=True)
    before = _files(tmp_path)
    for names, kind in (
        (["exp/file/a"], NotADirectoryError),
        (["exp/file/a/b/c"], NotADirectoryError),
        (["exp/folder"], IsADirectoryError),
        (["exp/a", "exp/a/b"], InvalidObjectName),  # in a bucket an object may be both
        (["exp/a/b", "exp/a//b"], InvalidObjectName),
    ):
        with interface(holding("exp/0", *names)) as (cci, _), pytest.raises(kind):
            cci.download_directory("exp", str(tmp_path))
        assert _files(tmp_path) == before, names


def test_names_that_a_file_system_takes_for_one(tmp_path: Path) -> None:
    """Where it tells them apart, both are written; else nothing is."""
    names = ["exp/A", "exp/a", "exp/\u00e9", "exp/e\u0301"]
    with interface(holding(*names)) as (cci, _):
        try:
            cci.download_directory("exp", str(tmp_path))
        except InvalidObjectName:
            assert _files(tmp_path) == {}
        else:
            assert set(_files(tmp_path)) == {name.removeprefix("exp/") for name in names}
    for one, other in (("A", "a"), ("x/\u00e9", "x/e\u0301"), ("straße", "STRASSE"), ("a", "A/b")):
        pair = {name: tuple(name.split("/")) for name in (one, other)}
        assert diskpaths.find_clash(pair, lambda path: diskpaths.folded("/".join(path))) == (one, other)
        assert diskpaths.find_clash(pair, "/".join) is None


def test_a_local_store_is_not_left_through_links(tmp_path: Path) -> None:
    import cottoncandy as cc

    real, outside = tmp_path / "real", tmp_path / "outside"
    real.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("theirs")
    root = tmp_path / "root"
    root.symlink_to(real)
    (real / "dir").symlink_to(outside)
    (real / "file").symlink_to(outside / "secret")
    (real / "plain").write_text("x")
    (real / "plain.meta.json").symlink_to(outside / "secret")
    (real / "loop").symlink_to("loop")
    cci = cc.get_interface(str(root), backend="local", verbose=False)
    assert cci.glob("*") == ["plain"]
    assert cci.get_object("plain").metadata == {}
    for name in ("dir/secret", "file", "loop"):
        with pytest.raises(FileNotFoundError):
            cci.download_object(name)
        with pytest.raises((FileNotFoundError, InvalidObjectName)):
            cci.cp("plain", f"{name}/deep", overwrite=True)
    with pytest.raises(CottonCandyError):
        cci.upload_object("dir/new", b"x")
    cci.upload_object("file", b"ours")  # takes the link's place
    assert cci.rm("dir", recursive=True) == {"DeletedCount": 0}
    assert _files(outside) == {"secret": "theirs"}


def test_what_is_printed_of_a_name_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    with interface(holding("exp/\x1b]0;owned\x07\n\x9b2J", "exp/é ü")) as (cci, _):
        cci.search("exp/*")
        cci.ls("exp", verbose=True)
        assert cci.glob("exp/*") == ["exp/\x1b]0;owned\x07\n\x9b2J", "exp/é ü"]
    printed = capsys.readouterr().out
    assert "exp/\\x1b]0;owned\\x07\\n\\x9b2J" in printed
    assert "exp/é ü" in printed
    assert not any((ord(letter) < 32 and letter != "\n") or 127 <= ord(letter) < 160 for letter in printed)
    assert len(printed.splitlines()) == 4

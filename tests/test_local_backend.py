"""What only the local backend has: its files, names, links and directories."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest
from local_files import directories, files, keys, read
from test_config import nobody

from cottoncandy import diskpaths, get_interface
from cottoncandy.backends.base import WriteOptions
from cottoncandy.backends.gdrive.settings import DriveSettings
from cottoncandy.backends.local import LocalBackend, names
from cottoncandy.backends.local.backend import _OF_OTHERS
from cottoncandy.backends.s3.settings import _ARGUMENTS as S3_ARGUMENTS
from cottoncandy.config import Options
from cottoncandy.errors import (
    AccessDenied,
    ConfigurationError,
    ContainerExists,
    ContainerNotEmpty,
    ContainerNotFound,
    CorruptObject,
    CottonCandyError,
    InvalidObjectName,
    ObjectChanged,
    ObjectNotFound,
    ServiceError,
)

ONLY_IF_ABSENT = WriteOptions(if_absent=True)
needs_posix = pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def backend(root: Path) -> LocalBackend:
    return LocalBackend.connect(str(root))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no rights of this kind")
def test_a_directory_that_may_not_be_read_keeps_no_other_from_being_listed() -> None:
    # not in pytest's folder, into which nobody may look
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        backend = LocalBackend.connect(str(root))
        for key in ("locked/a", "open/a", "outer/locked/a"):
            backend.put(key, b"x", {})
        for locked in (root / "locked", root / "outer/locked"):
            locked.chmod(0)
        with nobody():
            assert [entry.key for entry in backend.list_level("")] == ["locked/", "open/", "outer/"]
            assert [entry.key for entry in backend.list_level("outer/")] == ["outer/locked/"]
            for listing in (backend.list_level("locked/"), backend.list_objects(), backend.list_objects("outer/")):
                with pytest.raises(PermissionError, match="locked"):  # none is left out without a word
                    list(listing)
    finally:
        for locked in root.rglob("locked"):
            locked.chmod(0o755)
        shutil.rmtree(root)


def test_metadata_that_no_reader_takes_are_refused(backend: LocalBackend, root: Path) -> None:
    backend.put("a", b"old", {"b": "c"})
    before = files(root)
    too_long = {"note": "v" * 2**24}
    for write in (
        lambda: backend.put("a", b"new", too_long),
        lambda: backend.start_upload("a", too_long),
        lambda: backend.copy("a", "a", metadata=too_long),
        lambda: backend.copy("a", "other", metadata=too_long),
    ):
        with pytest.raises(ServiceError, match=r"object '(a|other)'.* metadata have 16777228 bytes"):
            write()
    assert files(root) == before
    most = {"note": "v" * (2**24 - 12)}
    backend.put("a", b"new", most)
    assert read(backend, "a") == (b"new", most)


@pytest.mark.parametrize(
    "name",
    [
        ".nfs000000000123abcd00000012",
        ".nfs.20051008.4a3b",
        ".fuse_hidden0000001a00000001",
        ".ghost-ntfs-3g-00000000000000000042",
    ],
)
def test_what_the_system_keeps_of_a_removed_file_is_no_object(backend: LocalBackend, root: Path, name: str) -> None:
    backend.put("sub/a", b"1", {})
    (root / "sub" / name).write_bytes(b"the one before")
    (root / "only").mkdir()
    (root / "only" / name).write_bytes(b"the one before")
    assert keys(backend) == ["sub/a"]
    assert [entry.key for entry in backend.list_level("")] == ["sub/"]
    assert [entry.key for entry in backend.list_level("sub/")] == ["sub/a"]
    assert not backend.exists(f"sub/{name}")
    with pytest.raises(InvalidObjectName, match="removed while they are open"):
        backend.put(f"sub/{name}", b"2", {})
    backend.delete([f"sub/{name}"])
    assert (root / "sub" / name).exists()


@pytest.mark.parametrize(
    "key", [".nfs", ".nfs-notes", ".nfsadded", ".fuse_hidden", ".ghost", "nfs000000000123abcd00000012"]
)
def test_names_that_only_look_like_the_system_s_are_objects(backend: LocalBackend, key: str) -> None:
    backend.put(key, b"1", {})
    assert keys(backend) == [key]


def test_an_object_whose_metadata_are_damaged_is_listed_and_removed(backend: LocalBackend, root: Path) -> None:
    backend.put("a", b"123", {})
    backend.put("ab", b"1", {})
    (root / "a.meta.json").write_text("no JSON")
    with pytest.raises(CorruptObject):
        backend.stat("a")
    assert (backend.entry("a").key, backend.entry("a").size) == ("a", 3)
    with pytest.raises(ObjectNotFound):
        backend.entry("b")


@pytest.mark.parametrize("removed", ["", "sub"])
def test_what_was_removed_while_it_was_written_is_told(backend: LocalBackend, root: Path, removed: str) -> None:
    upload = backend.start_upload("sub/a", {})
    upload.send_part(1, b"1")
    shutil.rmtree(root / removed)
    kind, told = (ServiceError, "removed meanwhile") if removed else (ContainerNotFound, "does not exist")
    with pytest.raises(kind, match=told):
        upload.complete()
    upload.abort()
    assert root.exists() == bool(removed)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no rights of this kind")
def test_the_error_names_the_directory_in_which_nothing_may_be_made() -> None:
    root = Path(tempfile.mkdtemp())  # not in pytest's folder, into which nobody may look
    try:
        root.chmod(0o755)
        backend = LocalBackend.connect(str(root))
        backend.put("sub/kept", b"x", {})
        with nobody():
            for key, directory in (("name", root), ("new/name", root), ("sub/name", root / "sub")):
                with pytest.raises(AccessDenied) as refused:
                    backend.put(key, b"x", {})
                assert str(refused.value).endswith(f"look at the rights of {str(directory)!r}")
    finally:
        shutil.rmtree(root)


# ------------------------------------------------------------------ the directory
def test_connect_makes_the_directory(tmp_path: Path) -> None:
    backend = LocalBackend.connect(str(tmp_path / "a/b"), None, None, None, None, region_name="x")
    assert (tmp_path / "a/b").is_dir()
    assert backend.container == backend.path == str(tmp_path / "a/b")
    assert backend.native_container() == tmp_path / "a/b"
    assert backend.list_containers() == [str(tmp_path / "a/b")]


def test_a_relative_directory_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    backend = LocalBackend.connect("data/")
    monkeypatch.chdir("/")
    pickle.loads(pickle.dumps(backend)).put("name", b"x", {})
    assert backend.container == "data/"
    assert backend.path == str(tmp_path / "data")
    assert (tmp_path / "data/name").read_bytes() == b"x"


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert LocalBackend.connect("~/data").path == str(tmp_path / "data")


@pytest.mark.parametrize("name", [None, ""])
def test_a_directory_must_be_named(name: str | None) -> None:
    with pytest.raises(ConfigurationError, match="directory"):
        LocalBackend.connect(name)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_is_no_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(ContainerExists, match="file"):
        LocalBackend.connect(str(tmp_path / name))
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_directory_that_vanished(root: Path, backend: LocalBackend) -> None:
    root.rmdir()
    for act in (
        lambda: backend.put("a", b"", {}),
        lambda: backend.stat("a"),
        lambda: backend.open("a"),
        lambda: keys(backend),
        lambda: backend.copy("a", "b"),
    ):
        with pytest.raises(ContainerNotFound, match="store"):
            act()
    assert not root.exists()
    assert backend.list_containers() == []
    assert backend.delete(["a"]) == 1


# ------------------------------------------------------------------ the files
def test_what_lies_on_the_disk(root: Path, backend: LocalBackend) -> None:
    backend.put("dir/full", b"bytes", {"note": "\u00fc\U0001f36d", "shape": ""})
    backend.put("empty", b"", {})
    on_disk = files(root)
    assert set(on_disk) == {"dir/full", "dir/full.meta.json", "empty", "empty.meta.json"}
    assert on_disk["dir/full"] == b"bytes"
    assert json.loads(on_disk["dir/full.meta.json"].decode("ascii")) == {"note": "\u00fc\U0001f36d", "shape": ""}
    assert (on_disk["empty"], on_disk["empty.meta.json"]) == (b"", b"{}")
    assert backend.stat("dir/full").metadata == {"note": "\u00fc\U0001f36d", "shape": ""}


def test_new_files_have_the_rights_that_the_umask_leaves(root: Path, backend: LocalBackend) -> None:
    old = os.umask(0o027)
    try:
        backend.put("a/b", b"", {})
    finally:
        os.umask(old)
    assert [(root / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b.meta.json")] == [0o750, 0o640, 0o640]


@pytest.mark.parametrize("seconds", [10**14, -(10**12)])
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="few other file systems know such dates")
def test_a_date_that_no_calendar_has(seconds: int) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        backend = LocalBackend.connect(root)
        for key in ("a", "b", "c"):
            backend.put(key, b"x", {})
        os.utime(Path(root, "b"), (seconds, seconds))
        assert Path(root, "b").stat().st_mtime == seconds
        dates = {info.key: info.last_modified for info in backend.list_objects()}
        assert [key for key, date in dates.items() if date is not None] == ["a", "c"]
        assert backend.stat("b").last_modified is None
        assert [entry.key for entry in backend.list_level()] == ["a", "b", "c"]
        with backend.open("b") as reader:
            assert reader.head.size == 1


def test_metadata_that_others_wrote(root: Path, backend: LocalBackend) -> None:
    (root / "plain").write_bytes(b"x")
    assert backend.stat("plain").metadata == {}
    # releases before this one wrote what they were given
    (root / "plain.meta.json").write_text('{\n  "gzip": true,\n  "n": 3,\n  "x": null,\n  "u": "\u00fc"\n}', "utf-8")
    assert backend.stat("plain").metadata == {"gzip": "True", "n": "3", "x": "None", "u": "\u00fc"}
    (root / "plain.meta.json").write_text('{"runs": ["a", "b"], "of": {"n": [1, null]}}')
    assert backend.stat("plain").metadata == {"runs": '["a", "b"]', "of": '{"n": [1, null]}'}


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe\xfd", b"[" * 100_000],
    ids=["empty", "half", "list", "text", "null", "bytes", "deep"],
)
def test_broken_metadata(root: Path, backend: LocalBackend, text: bytes) -> None:
    (root / "name").write_bytes(b"x")
    (root / "name.meta.json").write_bytes(text)
    for act in (backend.stat, backend.open, lambda key: backend.copy(key, "copy")):
        with pytest.raises(CorruptObject, match=r"name\.meta\.json"):
            act("name")
    assert keys(backend) == ["name"]
    backend.put("name", b"y", {"a": "1"})
    assert read(backend, "name") == (b"y", {"a": "1"})


def test_metadata_files_are_no_objects(root: Path, backend: LocalBackend) -> None:
    backend.put("a/b", b"x", {"k": "v"})
    assert keys(backend) == keys(backend, "a/b") == ["a/b"]
    assert keys(backend, "a/b.") == []
    assert not backend.exists("a/b.meta.json")
    with pytest.raises(ObjectNotFound):
        backend.open("a/b.meta.json")
    for act in (
        lambda: backend.put("a/b.meta.json", b"{}", {}),
        lambda: backend.start_upload("a/b.meta.json", {}),
        lambda: backend.copy("a/b", "a/b.meta.json"),
        lambda: backend.put("a/.meta.json", b"{}", {}),
    ):
        with pytest.raises(InvalidObjectName, match=r"\.meta\.json"):
            act()
    backend.delete(["a/b.meta.json"])
    assert read(backend, "a/b") == (b"x", {"k": "v"})
    assert set(files(root)) == {"a/b", "a/b.meta.json"}


def test_owner(backend: LocalBackend) -> None:
    pwd = pytest.importorskip("pwd")
    backend.put("a", b"", {})
    assert backend.owner("a") == pwd.getpwuid(os.getuid()).pw_name
    with pytest.raises(ObjectNotFound):
        backend.owner("b")


@pytest.mark.parametrize("name", ["encription_key", "fsnyc", "endpoint"])
def test_an_argument_that_no_backend_takes(root: Path, name: str) -> None:
    """What is written after a misspelt encryption_key would be plain."""
    with pytest.raises(ConfigurationError, match=f"the local backend takes no '{name}'"):
        get_interface(str(root), backend="local", verbose=False, **{name: "x"})
    assert not root.exists()


def test_the_arguments_of_other_backends_are_passed_over(root: Path) -> None:
    theirs = {*S3_ARGUMENTS, *(field.name for field in fields(DriveSettings))}
    assert theirs == _OF_OTHERS
    assert LocalBackend.connect(str(root), **dict.fromkeys(theirs)).path == str(root)


def test_fsync(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd)))
    if not Path("/proc/self/fd").exists():
        pytest.skip("what is synced is looked up in /proc")
    LocalBackend.connect(str(root)).put("a/b/c", b"x", {})
    assert synced == []
    safe = pickle.loads(pickle.dumps(LocalBackend.connect(str(root), fsync=True)))
    safe.put("a/b/d", b"x", {"k": "v"})
    data, metadata, *others = synced
    assert data.endswith(names.DRAFT)
    assert metadata.endswith(names.PENDING)
    assert others == [str(root / "a/b"), str(root / "a"), str(root)]
    assert read(safe, "a/b/d") == (b"x", {"k": "v"})
    synced.clear()
    monkeypatch.setenv("COTTONCANDY_LOCAL_FSYNC", "True")
    LocalBackend.connect(str(root), options=Options.load(create=False)).put("a/b/e", b"x", {})
    assert len(synced) == 5


# ------------------------------------------------------------------ names
NAMES_THAT_COULD_LEAVE = [
    "..",
    ".",
    "../x",
    "a/../x",
    "a/..",
    "./a",
    "/etc/x",
    "/",
    "//x",
    "a//b",
    "a\0b",
    "",
    "\udcff",
]


@pytest.mark.parametrize("key", NAMES_THAT_COULD_LEAVE)
def test_names_that_could_leave_the_directory(tmp_path: Path, backend: LocalBackend, key: str) -> None:
    (tmp_path / "x").write_bytes(b"outside")
    backend.put("a/b", b"inside", {})
    before = files(tmp_path)
    for act in (
        lambda: backend.stat(key),
        lambda: backend.open(key),
        lambda: backend.exists(key),
        lambda: backend.put(key, b"", {}),
        lambda: backend.start_upload(key, {}),
        lambda: backend.copy(key, "c"),
        lambda: backend.copy("a/b", key),
        lambda: backend.delete([key]),
        lambda: backend.owner(key),
    ):
        with pytest.raises(InvalidObjectName):
            act()
    assert files(tmp_path) == before


@pytest.mark.parametrize("prefix", ["../", "../s", "a/../", "./", "a/./b"])
def test_prefixes_that_could_leave_the_directory(tmp_path: Path, backend: LocalBackend, prefix: str) -> None:
    (tmp_path / "sibling").write_bytes(b"outside")
    with pytest.raises(InvalidObjectName):
        keys(backend, prefix)
    with pytest.raises(InvalidObjectName):
        list(backend.list_level(prefix))


def test_a_prefix_may_begin_with_dots(backend: LocalBackend) -> None:
    backend.put("..a", b"", {})
    assert keys(backend, "..") == keys(backend, ".") == ["..a"]


def test_delete_goes_on_after_a_bad_name(root: Path, backend: LocalBackend) -> None:
    for key in "abc":
        backend.put(key, b"", {})
    with pytest.raises(InvalidObjectName, match="first"):
        backend.delete(["a", "../first", "b", "../second"])
    assert keys(backend) == ["c"]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a/b/c", "is an object"),
        ("a/b/c/d", "is an object"),
        ("a", "directory"),
        ("a/", "directory"),
        ("x" * 246, "too long"),
        ("x" * 256, "too long"),
        ("\u00fc" * 128, "too long"),
        ("x" * 300 + "/a", "too long"),
        ("/".join(["x" * 200] * 30), "too long"),
    ],
)
def test_names_that_no_file_can_have(root: Path, backend: LocalBackend, key: str, reason: str) -> None:
    backend.put("a/b", b"x", {})
    before = files(root)
    for act in (
        lambda: backend.put(key, b"", {}),
        lambda: backend.start_upload(key, {}),
        lambda: backend.copy("a/b", key),
        lambda: backend.put(key, b"", {}, ONLY_IF_ABSENT),
    ):
        with pytest.raises(InvalidObjectName, match=reason):
            act()
    assert not backend.exists(key)
    for act in (backend.stat, backend.open, lambda key: backend.copy(key, "c")):
        with pytest.raises(ObjectNotFound):
            act(key)
    assert backend.delete([key]) == 1
    assert files(root) == before
    assert directories(root) == {"a"}


def test_the_longest_name(root: Path, backend: LocalBackend) -> None:
    backend.put("x" * 245, b"x", {"k": "v"})
    assert read(backend, "x" * 245) == (b"x", {"k": "v"})
    # one that somebody else has put there
    (root / ("y" * 255)).write_bytes(b"y")
    assert read(backend, "y" * 255) == (b"y", {})
    assert backend.delete(["x" * 245, "y" * 255]) == 2
    assert files(root) == {}


def test_a_directory_in_the_place_of_metadata(root: Path, backend: LocalBackend) -> None:
    backend.put("a.meta.json/b", b"x", {})
    assert keys(backend) == ["a.meta.json/b"]
    with pytest.raises(InvalidObjectName):
        backend.put("a", b"y", {})
    assert files(root).keys() == {"a.meta.json/b", "a.meta.json/b.meta.json"}
    backend.delete(["a.meta.json/b"])
    backend.put("a", b"y", {})
    assert read(backend, "a") == (b"y", {})


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
def test_names_that_are_no_text_are_left_out(
    root: Path, backend: LocalBackend, caplog: pytest.LogCaptureFixture
) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_bytes(b"x")
    backend.put("a", b"x", {})
    assert keys(backend) == ["a"]
    assert "no UTF-8" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        "a:b",
        "C:",
        "a\\b",
        "..\\x",
        "a*",
        "a?",
        "a|b",
        "<",
        ">",
        '"',
        "a.",
        "a ",
        "nul",
        "CON.txt",
        "com1",
        "LPT9.a.b",
        "a\nb",
    ],
)
def test_names_that_windows_reserves(name: str) -> None:
    assert diskpaths.is_reserved_on_windows(name)
    assert names.flaw(f"dir/{name}/x", windows=True)
    assert names.flaw(name, windows=False) is None


@pytest.mark.parametrize(
    "name", ["a", ".a", "a.b", "null", "con1", "common", "com", "a b", "\u00e9", "%41", "~", "a+b"]
)
def test_names_that_windows_takes(name: str) -> None:
    assert names.flaw(f"{name}/{name}", windows=True) is None


# ------------------------------------------------------------------ links
@needs_posix
class TestLinks:
    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        (outside / "secret.meta.json").write_text('{"secret": "1"}')
        (outside / "empty").mkdir()
        return outside

    def test_a_link_to_a_file_outside(self, root: Path, backend: LocalBackend, outside: Path) -> None:
        backend.put("dir/real", b"x", {})
        (root / "dir/link").symlink_to(outside / "secret")
        (root / "dir/relative").symlink_to("../../outside/secret")
        before = files(outside)
        for key in ("dir/link", "dir/relative"):
            assert not backend.exists(key)
            with pytest.raises(ObjectNotFound):
                backend.open(key)
            with pytest.raises(ObjectNotFound):
                backend.copy(key, "copy")
            assert backend.delete([key]) == 1
            assert (root / key).is_symlink()
        assert keys(backend) == ["dir/real"]
        assert [entry.key for entry in backend.list_level("dir/")] == ["dir/real"]

        backend.put("dir/link", b"mine", {"k": "v"})
        backend.copy("dir/real", "dir/relative")
        assert read(backend, "dir/link") == (b"mine", {"k": "v"})
        assert not (root / "dir/link").is_symlink()
        assert files(outside) == before

    def test_a_link_to_a_directory_outside(self, root: Path, backend: LocalBackend, outside: Path) -> None:
        backend.put("real", b"x", {})
        (root / "link").symlink_to(outside)
        before, made = files(outside), directories(outside)
        assert keys(backend) == ["real"]
        assert keys(backend, "link/") == keys(backend, "link/s") == []
        assert list(backend.list_level("link/")) == []
        assert not backend.exists("link/secret")
        with pytest.raises(ObjectNotFound):
            backend.open("link/secret")
        for act in (
            lambda: backend.put("link/secret", b"", {}),
            lambda: backend.put("link/new/dir", b"", {}),
            lambda: backend.start_upload("link/secret", {}),
            lambda: backend.copy("real", "link/secret"),
        ):
            with pytest.raises(InvalidObjectName, match="link"):
                act()
        assert backend.delete(["link/secret", "link/empty/x"]) == 2
        assert (files(outside), directories(outside)) == (before, made)

        backend.delete(["real"])
        with pytest.raises(ContainerNotEmpty):
            backend.remove_container(str(root))
        assert (files(outside), directories(outside)) == (before, made)

    def test_metadata_that_is_a_link_outside(self, root: Path, backend: LocalBackend, outside: Path) -> None:
        (root / "name").write_bytes(b"x")
        (root / "name.meta.json").symlink_to(outside / "secret.meta.json")
        assert read(backend, "name") == (b"x", {})
        backend.put("name", b"y", {"k": "v"})
        assert read(backend, "name") == (b"y", {"k": "v"})
        assert json.loads((outside / "secret.meta.json").read_text()) == {"secret": "1"}

    def test_a_link_to_a_file_inside_is_an_object(self, root: Path, backend: LocalBackend) -> None:
        backend.put("store/real", b"x", {"k": "v"})
        (root / "link").symlink_to("store/real")
        (root / "link.meta.json").symlink_to("store/real.meta.json")
        assert keys(backend) == ["link", "store/real"]
        assert read(backend, "link") == (b"x", {"k": "v"})
        backend.put("link", b"y", {})
        assert read(backend, "store/real") == (b"x", {"k": "v"})

        (root / "link2").symlink_to("store/real")
        backend.delete(["link2", "link"])
        assert keys(backend) == ["store/real"]
        assert set(files(root)) == {"store/real", "store/real.meta.json"}

    def test_links_in_a_circle(self, root: Path, backend: LocalBackend) -> None:
        (root / "a").mkdir()
        (root / "a/up").symlink_to("..")
        (root / "self").symlink_to("self")
        (root / "broken").symlink_to("nowhere")
        backend.put("a/x", b"", {})
        assert keys(backend) == ["a/x"]
        assert [backend.exists(key) for key in ("self", "broken", "a/up/a/x")] == [False] * 3

    def test_the_root_may_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "root").symlink_to("real")
        backend = LocalBackend.connect(str(tmp_path / "root"))
        backend.put("a/b", b"x", {"k": "v"})
        (tmp_path / "real/link").symlink_to("a/b")
        assert keys(backend) == ["a/b", "link"]
        assert read(backend, "link")[0] == read(backend, "a/b")[0] == b"x"
        backend.delete(["a/b", "link"])
        assert list((tmp_path / "real").iterdir()) == []
        backend.remove_container(backend.path)
        assert not backend.container_exists(backend.path)

    def test_pipes_are_no_objects(self, root: Path, backend: LocalBackend) -> None:
        os.mkfifo(root / "pipe")
        assert keys(backend) == []
        with pytest.raises(ObjectNotFound):
            backend.open("pipe")  # and does not wait for a writer


# ------------------------------------------------------------------ directories come and go
def test_empty_directories_are_removed(root: Path, backend: LocalBackend) -> None:
    for key in ("a/b/c/1", "a/b/c/2", "a/d/3"):
        backend.put(key, b"", {})
    backend.delete(["a/b/c/1"])
    assert directories(root) == {"a", "a/b", "a/b/c", "a/d"}
    backend.delete(["a/b/c/2"])
    assert directories(root) == {"a", "a/d"}
    backend.delete(["a/d/3"])
    assert directories(root) == set()
    assert root.is_dir()


def test_what_came_before_a_directory_went_is_listed(backend: LocalBackend) -> None:
    """As where a mark is removed, of an upload that has put all in its place."""
    for key in ("-", "a/started", "leaf0"):
        backend.put(key, b"", {})
    listed = backend.list_objects()
    assert next(iter(listed)).key == "-"
    backend.put("leaf1", b"", {})
    backend.delete(["a/started"])
    assert [info.key for info in listed] == ["leaf0", "leaf1"]


def test_what_came_before_a_directory_was_emptied_is_listed(root: Path, backend: LocalBackend) -> None:
    """Its last object is removed first, and then the directory: a listing may come between."""
    for key in ("a/!", "a/.mark/started", "a/x"):
        backend.put(key, b"", {})
    listed = backend.list_objects("a/")
    assert next(listed).key == "a/!"
    backend.put("a/y", b"", {})
    for left in (root / "a" / ".mark").iterdir():
        left.unlink()
    assert [info.key for info in listed] == ["a/x", "a/y"]


def test_what_came_before_an_object_went_is_listed(backend: LocalBackend) -> None:
    """At all levels: a mark in a directory below may go when all is in its place above."""
    for key in ("a/.mark/leaves/x", "a/.mark/leaves/y", "a/z"):
        backend.put(key, b"", {})
    listed = backend.list_objects("a/")
    assert next(listed).key == "a/.mark/leaves/x"
    backend.put("a/y", b"", {})
    backend.delete(["a/z", "a/.mark/leaves/y", "a/.mark/leaves/x"])
    assert [info.key for info in listed] == ["a/y"]


def test_empty_directories_are_looked_at_once(
    root: Path, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        (root / f"x/{number:03}").mkdir(parents=True)
    moment = time.time() - 30
    os.utime(root, (moment, moment))
    os.utime(root / "x", (moment, moment))
    looks, scan = Counter[str](), os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.update([os.fspath(path)]) or scan(path))
    assert list(backend.list_objects()) == []
    assert sum(looks.values()) < 210


def test_empty_directories_are_not_listed(root: Path, backend: LocalBackend) -> None:
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/x.meta.json").write_text("{}")
    assert keys(backend) == []
    assert list(backend.list_level()) == []
    backend.put("a/b", b"x", {})  # nothing is in its way
    assert [entry.key for entry in backend.list_level()] == ["a/"]


def test_a_failed_write_leaves_nothing(root: Path, backend: LocalBackend) -> None:
    with pytest.raises(TypeError):
        backend.put("a/b/c", b"x", {"k": object()})  # type: ignore[dict-item]
    assert list(root.iterdir()) == []
    backend.put("a", b"x", {"k": "v"})
    with pytest.raises(TypeError):
        backend.put("a", b"y", {"k": object()})  # type: ignore[dict-item]
    assert read(backend, "a") == (b"x", {"k": "v"})
    assert set(files(root)) == {"a", "a.meta.json"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a limit on the size of files")
def test_a_full_disk(root: Path, backend: LocalBackend) -> None:
    resource = pytest.importorskip("resource")
    backend.put("a", b"old", {"k": "v"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CottonCandyError, match="'a'") as caught:
            backend.put("a", bytes(300_000), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(caught.value, OSError)
    assert read(backend, "a") == (b"old", {"k": "v"})
    assert set(files(root)) == {"a", "a.meta.json"}


def test_removing_the_directory(root: Path, backend: LocalBackend) -> None:
    (root / "empty/empty").mkdir(parents=True)
    backend.put("a/b", b"", {})
    with pytest.raises(ContainerNotEmpty):
        backend.remove_container(str(root))
    backend.delete(["a/b"])
    (root / "empty/orphan.meta.json").write_text("{}")
    backend.remove_container(str(root))
    assert not root.exists()


@needs_posix
def test_removing_a_directory_spares_what_is_no_object(root: Path, backend: LocalBackend) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(ContainerNotEmpty, match="no objects"):
        backend.remove_container(str(root))
    assert (root / "pipe").exists()


def test_a_very_deep_tree(backend: LocalBackend) -> None:
    key = "/".join("a" * 1200)
    backend.put(key, b"x", {})
    assert keys(backend) == [key]
    assert [entry.key for entry in backend.list_level("a/a/")] == ["a/a/a/"]
    backend.delete([key])
    backend.remove_container(backend.path)


# ------------------------------------------------------------------ versions
def test_a_reader_keeps_its_version(backend: LocalBackend) -> None:
    backend.put("name", b"first" * 100_000, {"v": "1"})
    with backend.open("name") as reader:
        backend.put("name", b"other" * 100_000, {"v": "2"})
        backend.delete(["name"])
        body = bytearray(reader.stop)
        assert reader.readexactly(memoryview(body)) == len(body)
    assert body == b"first" * 100_000
    assert reader.head.metadata == {"v": "1"}


def test_e_tags_are_never_used_twice(backend: LocalBackend) -> None:
    # inodes are used again at once, and the kernel's clock stands still for milliseconds
    seen = [(backend.put("name", b"same", {})["ETag"], backend.stat("name").last_modified) for _ in range(300)]
    assert len({e_tag for e_tag, _ in seen}) == 300
    assert len({written for _, written in seen}) == 300
    assert backend.stat("name").e_tag == seen[-1][0]


def test_e_tag_sees_a_write_in_place(root: Path, backend: LocalBackend) -> None:
    backend.put("name", b"first", {"v": "1"})
    e_tag = backend.stat("name").e_tag
    (root / "name").write_bytes(b"other")  # as older releases do
    with pytest.raises(ObjectChanged):
        backend.open("name", e_tag=e_tag)
    assert read(backend, "name") == (b"other", {"v": "1"})


def test_a_file_that_shrinks_under_a_reader(root: Path, backend: LocalBackend) -> None:
    backend.put("name", b"x" * 100, {})
    with backend.open("name") as reader:
        (root / "name").write_bytes(b"y")
        with pytest.raises(ObjectChanged, match="name"):
            reader.readexactly(memoryview(bytearray(100)))


def test_parts_must_come_in_order(root: Path, backend: LocalBackend) -> None:
    upload = backend.start_upload("name", {})
    for number in (2, 0):
        with pytest.raises(ValueError, match="order"):
            upload.send_part(number, b"x")
    upload.send_part(1, b"x")
    with pytest.raises(ValueError, match="order"):
        upload.send_part(1, b"x")
    upload.abort()
    assert files(root) == {}


def test_an_object_over_two_gib_is_sparse_here(root: Path, backend: LocalBackend) -> None:
    with (root / "large").open("wb") as file:
        file.truncate(3 * 2**30 + 1)
    assert backend.stat("large").size == 3 * 2**30 + 1
    assert backend.read_range("large", 3 * 2**30, memoryview(bytearray(10))) == 1


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="this system copies in one way only")
@pytest.mark.parametrize("size", [100, 10])
def test_a_copy_where_the_kernel_cannot_copy(
    root: Path, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    backend.put("source", b"x" * 100, {})

    def refuse(*_: object) -> None:
        os.truncate(root / "source", size)  # somebody writes into it at this moment
        raise OSError(errno.EXDEV, "as older kernels do")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    if size == 100:
        backend.copy("source", "copy")
        assert read(backend, "copy") == (b"x" * 100, {})
        return
    with pytest.raises(ObjectChanged, match="source"):
        backend.copy("source", "copy")
    assert keys(backend) == ["source"]


@pytest.mark.parametrize("most", [1, 7, 100])
def test_metadata_are_written_whole_where_the_system_takes_some_bytes_at_a_time(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """As it does where the disk is nearly full."""

    class Slow(io.FileIO):
        def write(self, body: object, /) -> int:
            return super().write(memoryview(body)[:most]) or 0  # type: ignore[arg-type]

    monkeypatch.setattr("cottoncandy.backends.local.pair.io.FileIO", Slow)
    metadata = {"note": "x" * 500, "other": "y"}
    backend.put("a", b"z" * 300, metadata)
    assert read(backend, "a") == (b"z" * 300, metadata)

"""Interfaces as a whole: opening, printing, buckets, secrets, processes and threads."""

from __future__ import annotations

import copy
import logging
import multiprocessing
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import Recorded, Store

import cottoncandy
from cottoncandy.errors import (
    AccessDenied,
    ConfigurationError,
    ContainerNotEmpty,
    ContainerNotFound,
    CottonCandyError,
    CredentialsNotFound,
)

SECRET = "a-secret/that+nobody==sees"


# ---------------------------------------------------------------------- opening
def test_open(store: Store) -> None:
    cci = store.interface()
    assert isinstance(cci, cottoncandy.interfaces.DefaultInterface)
    assert cci.bucket_name == (None if store.has("no-containers") else store.container)
    assert store.has("no-containers") or cci.exists_bucket(store.container)
    assert cci.backend_interface.name == store.backend_name
    with pytest.raises(AttributeError):
        cci.bucket_name = "other"


@pytest.mark.stores(exclude=["local"], without="no-containers")
def test_a_bucket_that_is_not_there(store: Store) -> None:
    name = f"{store.container}-none"
    with pytest.raises(ContainerNotFound, match=name) as caught:
        store.interface(bucket_name=name)
    assert "force_bucket_creation" in str(caught.value)
    cci = store.interface(bucket_name=name, force_bucket_creation=True)
    assert cci.bucket_name == name
    cci.upload_object("a", b"x")
    assert store.interface(bucket_name=name).download_object("a") == b"x"
    cci.rm("a")
    cci.rm_bucket(name)


@pytest.mark.stores("moto")
def test_the_configured_bucket_and_endpoint(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_DEFAULT_BUCKET", store.container)
    monkeypatch.setenv("COTTONCANDY_LOGIN_ENDPOINT_URL", store.access["endpoint_url"])
    monkeypatch.setenv("COTTONCANDY_LOGIN_ACCESS_KEY", store.access["access_key"])
    monkeypatch.setenv("COTTONCANDY_LOGIN_SECRET_KEY", store.access["secret_key"])
    cci = cottoncandy.get_interface(verbose=False)
    assert cci.bucket_name == store.container
    cci.upload_object("a", b"x")
    assert store.raw.keys() == ["a"]
    monkeypatch.setenv("COTTONCANDY_BASIC_DEFAULT_BUCKET", f"{store.container}-new")
    monkeypatch.setenv("COTTONCANDY_BASIC_FORCE_BUCKET_CREATION", "True")
    made = cottoncandy.get_interface(verbose=False)
    assert made.exists_bucket(f"{store.container}-new")
    made.rm_bucket(f"{store.container}-new")


@pytest.mark.stores("moto")
def test_by_position_and_by_class(store: Store) -> None:
    access = (store.access["access_key"], store.access["secret_key"], store.access["endpoint_url"])
    cci = cottoncandy.get_interface(store.container, *access, False, False, "s3")
    cci.upload_object("a", b"x")
    interfaces = cottoncandy.interfaces
    for kind in (interfaces.BasicInterface, interfaces.ArrayInterface, interfaces.FileSystemInterface):
        opened = kind(store.container, access[0], access[1], access[2], verbose=False)
        assert opened.download_object("a") == b"x"
        named = kind(store.container, access[0], access[1], endpoint_url=access[2], verbose=False)
        assert named.exists_object("a")


def test_a_local_directory_is_made(tmp_path: Path) -> None:
    cci = cottoncandy.get_interface(str(tmp_path / "new" / "store"), backend="local", verbose=False)
    assert Path(cci.backend_interface.path) == tmp_path / "new" / "store"
    assert (tmp_path / "new" / "store").is_dir()


def test_no_such_backend() -> None:
    with pytest.raises(ConfigurationError, match=r"'ftp'.*local.*s3"):
        cottoncandy.get_interface("x", backend="ftp")


@pytest.mark.stores("ceph")
def test_wrong_keys(store: Store) -> None:
    with pytest.raises(AccessDenied, match=store.container) as caught:
        store.interface(SECRET_KEY=SECRET).download_object("a")
    assert SECRET not in str(caught.value)


def test_half_a_pair_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_LOGIN_SECRET_KEY", SECRET)
    with pytest.raises(CredentialsNotFound) as caught:
        cottoncandy.get_interface("bucket", endpoint_url="http://127.0.0.1:9", verbose=False)
    assert SECRET not in str(caught.value)


def test_importing_does_and_prints_nothing(tmp_path: Path) -> None:
    code = "import sys, cottoncandy; print(sorted(m for m in sys.modules if m in {'boto3', 'numpy', 'scipy', 'dask'}))"
    env = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- printing
def test_verbose_says_which_buckets_there_are(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    cci = store.interface(verbose=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"Current bucket: {cci.bucket_name}"
    if not store.has("no-containers"):
        assert printed[0] == "Available buckets:"
        assert store.container in printed[1:-1]
        cci.show_buckets()
        assert store.container in capsys.readouterr().out.splitlines()


def test_everything_else_is_quiet(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cci = store.interface()
    (tmp_path / "file").write_text("x")
    cci.upload_from_file(tmp_path / "file", "a/file")
    cci.upload_raw_array("a/array", np.arange(5))
    cci.upload_npy_array("a/npy", np.arange(5))
    cci.upload_json("a/json", {})
    cci.upload_pickle("a/pickle", {})
    cci.upload_dask_array("a/dask", np.arange(5))
    cci.dict2cloud("a/tree", {"x": np.arange(5)}, verbose=False)
    cci.download_dask_array("a/dask").compute()
    cci.cloud2dict("a/tree", verbose=False)
    cci.download_directory("a", str(tmp_path / "down"))
    assert cci.exists_object("b") is False
    cci.cp("a/json", "b")
    cci.mv("b", "c")
    cci.rm("c")
    for look in (cci.ls, cci.lsdir, cci.glob):
        look("a")
    cci.get_bucket_size()
    cci.get_browser().a._ls()
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------------- buckets
@pytest.mark.stores(without="no-containers")
def test_change_the_bucket(store: Store) -> None:
    other = store.second_container()
    cci = store.interface()
    cci.upload_object("a", b"1")
    cci.set_bucket(other.container)
    assert cci.bucket_name == other.container
    cci.upload_object("a", b"2")
    assert (store.raw.get("a")[0], other.raw.get("a")[0]) == (b"1", b"2")
    with pytest.raises(ContainerNotFound, match="not-there"):
        cci.set_bucket(f"{store.container}-not-there")
    assert cci.bucket_name == other.container
    assert cci.exists_bucket(f"{store.container}-not-there") is False


@pytest.mark.stores(without="no-containers")
def test_make_and_remove_buckets(store: Store) -> None:
    cci = store.interface()
    name = f"{store.container}-made"
    cci.create_bucket(name)
    assert cci.bucket_name == store.container
    assert cci.exists_bucket(name)
    cci.create_bucket(name)  # it is ours already
    cci.set_bucket(name)
    cci.upload_object("a", b"x")
    with pytest.raises(ContainerNotEmpty, match=name):
        cci.rm_bucket(name)
    assert cci.bucket_name == name
    assert cci.download_object("a") == b"x"
    cci.rm("a")
    cci.set_bucket(store.container)
    cci.rm_bucket(name)
    assert cci.exists_bucket(name) is False
    with pytest.raises(ContainerNotFound, match=name):
        cci.rm_bucket(name)
    assert cci.bucket_name == store.container


@pytest.mark.stores("moto", "ceph")
def test_the_prefix_that_buckets_must_have(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BASIC_MANDATORY_BUCKET_PREFIX", "lab-")
    cci = store.interface()
    name = f"{store.container}-x"
    with pytest.raises(ConfigurationError, match="'lab-'"):
        cci.create_bucket(name)
    assert not cci.exists_bucket(name)
    cci.create_bucket(f"lab-{name}")
    cci.rm_bucket(f"lab-{name}")


@pytest.mark.stores(exclude=["local"], without="no-containers")
def test_the_buckets_own_object(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("a", b"x")
    bucket = cci.get_bucket()
    assert bucket.name == store.container
    assert [found.key for found in bucket.objects.all()] == ["a"]
    assert cci.get_object("a").get()["Body"].read() == b"x"


@pytest.mark.stores("local", "moto")
def test_a_bucket_that_went_away(store: Store) -> None:
    cci = store.interface()
    store.raw.remove()
    for call in (
        lambda: cci.upload_object("a", b"x"),
        lambda: cci.download_object("a"),
        cci.lsdir,
        lambda: cci.glob("*"),
        lambda: cci.upload_raw_array("a", np.arange(3)),
    ):
        with pytest.raises(CottonCandyError) as caught:
            call()
        assert isinstance(caught.value, FileNotFoundError)
        assert store.container in str(caught.value)


@pytest.mark.stores("local")
def test_paths(store: Store) -> None:
    cci = store.interface()
    assert cci.pathjoin("a", "b", "c") == "a/b/c"
    assert cci.pathjoin("a/", "/b//", "c") == "a/b/c"
    assert cci.pathjoin("a") == "a"


# ---------------------------------------------------------------------- secrets
@pytest.fixture
def environment_keys(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An interface whose keys were found in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDFROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return recorded.store.interface(ACCESS_KEY=None, SECRET_KEY=None)


def test_found_keys_are_not_in_a_pickle(environment_keys: Any) -> None:
    cci = environment_keys
    cci.upload_object("a", b"x")
    cci.upload_dask_array("d", np.arange(4))
    pieces = [cci, cci.backend_interface, cci.get_browser(), cci.get_browser().a, cci.download_dask_array("d")]
    for piece in pieces:
        text = pickle.dumps(piece)
        assert SECRET.encode() not in text
        assert b"AKIDFROMENVIRONMENT" not in text
    again = pickle.loads(pickle.dumps(cci))
    assert again.download_object("a") == b"x"


def test_found_keys_may_change(recorded: Recorded, environment_keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the other side of a pickle they are looked up anew."""
    text = pickle.dumps(environment_keys)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHEWORKER")
    again = pickle.loads(text)
    recorded.proxy.clear()
    again.exists_object("a")
    assert "AKIDOFTHEWORKER" in recorded.proxy.requests[-1].headers["Authorization"]


def test_secrets_are_never_shown(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    store, proxy = recorded
    with caplog.at_level(logging.DEBUG, logger="cottoncandy"):
        cci = store.interface(SECRET_KEY=SECRET, verbose=True)
        cci.upload_object("a", b"x")
        cci.upload_raw_array("b", np.arange(3))
        errors = []
        proxy.hook = lambda request: None
        for call in (lambda: cci.download_object("nothing"), lambda: cci.set_bucket("nothing-here")):
            with pytest.raises(CottonCandyError) as caught:
                call()
            errors.append(str(caught.getrepr(style="long", showlocals=False)) + repr(caught.value))
    shown = [
        repr(cci),
        str(cci),
        repr(cci.backend_interface),
        repr(cci._options),
        repr(cci.get_browser()),
        repr(cci.get_bucket()),
    ]
    for text in (*shown, *errors, caplog.text, *capsys.readouterr()):
        assert SECRET not in text
    assert store.container in repr(cci)


@pytest.mark.stores("local", "moto")
def test_copies(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("a", b"x")
    for again in (copy.copy(cci), copy.deepcopy(cci), pickle.loads(pickle.dumps(cci))):
        assert again.download_object("a") == b"x"
        assert again.bucket_name == store.container


# ---------------------------------------------------------------------- processes and threads
def _work(cci: Any, number: int) -> tuple[bool, float]:
    """In another process: read what the parent wrote, write something for it."""
    name = f"from/{number}"
    cci.upload_raw_array(name, np.full(1000, number))
    return cci.exists_object(name), float(cci.download_raw_array("shared").sum())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_other_processes(store: Store, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {method}")
    cci = store.interface()
    shared = np.arange(10_000.0)
    cci.upload_raw_array("shared", shared)
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.starmap(_work, [(cci, number) for number in range(4)])
    assert results == [(True, shared.sum())] * 4
    assert [cci.download_raw_array(f"from/{number}")[0] for number in range(4)] == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.stores("local", "moto", "ceph-tls")
def test_a_connection_is_not_shared_with_a_child(store: Store) -> None:
    """The interface of the parent is used by the child as it is, and by both at the same time."""
    cci = store.interface()
    arrays = {name: np.full(5000, value) for name, value in (("parent", 1.0), ("child", 2.0))}
    for name, array in arrays.items():
        cci.upload_raw_array(name, array, compression=False)

    def read(name: str) -> bool:
        return all(np.array_equal(cci.download_raw_array(name), arrays[name]) for _ in range(20))

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe()
    child = context.Process(target=lambda: sender.send(read("child")))
    child.start()
    assert read("parent")
    assert receiver.poll(60)
    assert receiver.recv()
    child.join()
    assert child.exitcode == 0


def test_in_eight_threads(store: Store) -> None:
    cci = store.interface()
    arrays = [np.random.default_rng(number).standard_normal(3000) for number in range(24)]

    def there_and_back(number: int) -> bool:
        cci.upload_raw_array(f"dir/{number}", arrays[number])
        found = cci.download_raw_array(f"dir/{number}")
        return np.array_equal(found, arrays[number]) and cci.exists_object(f"dir/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(24)))
    assert len(cci.lsdir("dir")) == 24


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("wanted", [{"prefix": "tmp/"}, {"Prefix": "tmp/", "Marker": "b"}, {"Prefix": None}, "tmp/"])
def test_a_filter_that_is_not_understood_gives_nothing(store: Store, wanted: Any) -> None:
    cci = store.interface()
    store.raw.put("keep", b"x")
    for call in (cci.get_bucket_objects, cci.get_objects):
        with pytest.raises(TypeError, match=r"\{'Prefix': 'exp/'\}"):
            call(filter=wanted)
    assert [info.key for info in cci.get_bucket_objects(filter={"Prefix": "ke"})] == ["keep"]


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("threads", ["4", 2.0, 0, -1])
def test_threads_that_are_no_number_are_found_out_at_once(store: Store, threads: Any, tmp_path: Path) -> None:
    """Not by the first large object."""
    cci, array = store.interface(), np.zeros(3)
    cci.upload_raw_array("array", array)
    cci.upload_dask_array("chunks", array)
    cci.dict2cloud("tree", {"a": array}, verbose=False)
    (tmp_path / "file").write_bytes(b"x")
    before = store.raw.keys()
    for call in (
        lambda: cci.upload_raw_array("new", array, threads=threads),
        lambda: cci.upload_from_file(str(tmp_path / "file"), "new", threads=threads),
        lambda: cci.upload_from_directory(str(tmp_path), "new", threads=threads),
        lambda: cci.dict2cloud("new", {"a": array}, verbose=False, threads=threads),
        lambda: cci.upload_dask_array("new", array, threads=threads),
        lambda: cci.upload_dask_array("new", array, compute=False, threads=threads),
        lambda: cci.download_raw_array("array", threads=threads),
        lambda: cci.download_dask_array("chunks", threads=threads),
        lambda: cci.open_array("array", threads=threads),
        lambda: cci.cloud2dict("tree", verbose=False, threads=threads),
    ):
        with pytest.raises(ConfigurationError, match=f"threads={threads!r}: "):
            call()
    assert store.raw.keys() == before


@pytest.mark.stores("local", "moto")
def test_threads_of_a_text_are_found_out_before_a_large_array_is_looked_at(store: Store) -> None:
    """Its checksum is made in several threads, before the upload begins."""
    with pytest.raises(ConfigurationError, match="threads='4': "):
        store.interface().upload_raw_array("new", np.zeros(6_000_000), compression=False, threads="4")
    assert not store.raw.keys()


@pytest.mark.stores("local")
def test_an_argument_of_another_kind_is_named(store: Store) -> None:
    cci, wrong = store.interface(), dict[str, Any](keys=5)
    cci.dict2cloud("tree", {"a": np.zeros(3)}, verbose=False)
    with pytest.raises(TypeError, match=r"keys are .* not 5"):
        cci.cloud2dict("tree", verbose=False, **wrong)
    for size in ("1MB", float("nan"), float("inf"), [1]):
        wrong = {"buffersize": size}
        with pytest.raises((TypeError, ValueError, OverflowError), match=f"buffersize is {re.escape(repr(size))}"):
            cci.upload_dask_array("new", np.zeros(3), **wrong)
    assert cci.glob("*") == ["tree/a"]


@pytest.mark.stores("local")
def test_no_name_is_no_directory(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cci = store.interface()
    assert not cci.exists_bucket("")
    with pytest.raises(ConfigurationError, match="needs a directory"):
        cci.create_bucket("")

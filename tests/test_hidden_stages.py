"""What uploads have beside their trees is in no listing, and goes where the tree goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stores import Recorded, Store
from test_browse import StoreBrowser
from test_cli import Run, cc, ok, on_server

from cottoncandy.cli.places import Place
from cottoncandy.completion import _beginning_so
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.trees import shown_names

__all__ = ["cc"]

pytestmark = pytest.mark.stores("local", "moto", "seaweedfs", "gdrive")
TREE = "st/sub01/res"
STAGE = f"{TREE}/.upload-0123456789abcdef"
LEAF, MARK = f"{STAGE}/leaves/mean", f"{STAGE}/complete-1-2"
# What looks like a stage, and is none.
OTHERS = ["st/.upload-notes", "st/x.upload-0123456789abcdef/y"]
SHOWN = [*OTHERS[:1], f"{TREE}/mean", *OTHERS[1:]]


@pytest.fixture
def cci(store: Store) -> DefaultInterface:
    return killed(store.interface())


def killed(cci: DefaultInterface) -> DefaultInterface:
    """A tree, and what a writer left who was killed before the last leaf of another was sent."""
    cci.dict2cloud(TREE, {"mean": np.ones(2)}, verbose=False)
    cci.upload_raw_array(LEAF, np.full(2, 99.0))
    for name in (f"{STAGE}/started", *OTHERS):
        cci.upload_object(name, b".")
    return cci


def stored(store: Store) -> set[str]:
    return {info.key for info in store.backend().list_objects()}


# ---------------------------------------------------------------------- looking
@pytest.mark.parametrize(
    "look",
    [
        lambda cci: cci.glob("st"),
        lambda cci: cci.glob("*"),
        lambda cci: cci.glob("st/*"),
        lambda cci: cci.glob("st*/*"),
        lambda cci: [info.key for info in cci.find("st")],
        lambda cci: [info.key for info in cci.find("s*")],
        lambda cci: [info.key for info in cci.get_bucket_objects()],
        lambda cci: [info.key for info in cci.get_objects(filter={"Prefix": "st/"})],
        lambda cci: cci.fs.find("st"),
        lambda cci: [name for name in cci.fs.glob("st/**") if cci.fs.isfile(name)],
        lambda cci: [f"{root}/{name}" for root, _, names in cci.fs.walk("st") for name in names],
        lambda cci: cci.get_browser().st._glob(),
    ],
)
def test_no_name_below(cci: DefaultInterface, look: Callable[[DefaultInterface], list[str]]) -> None:
    assert sorted(look(cci)) == SHOWN


@pytest.mark.parametrize(
    "look",
    [
        lambda cci: cci.ls(TREE),
        lambda cci: cci.ls(f"{TREE}/*"),
        lambda cci: cci.ls("st/sub0?/r*/*"),
        lambda cci: cci.lsdir(TREE),
        lambda cci: [entry.key for entry in cci.scandir(TREE)],
        lambda cci: cci.fs.ls(TREE, detail=False),
        lambda cci: cci.fs.glob("st/*/res/*"),
        lambda cci: cci.fs.find(TREE, maxdepth=1),
        lambda cci: cci.glob("st/*/mean"),
        lambda cci: cci.get_browser()[TREE]._ls(),
        lambda cci: _beginning_so(cci, f"{TREE}/"),
    ],
)
def test_none_in_a_directory(cci: DefaultInterface, look: Callable[[DefaultInterface], list[str]]) -> None:
    assert look(cci) == [f"{TREE}/mean"]


def test_none_is_printed(cci: DefaultInterface, capsys: pytest.CaptureFixture[str]) -> None:
    cci.search("st/*")
    cci.show_objects()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("MB ")[1] for line in lines] == [*SHOWN, *SHOWN]


def test_a_stage_that_is_asked_for_is_shown(cci: DefaultInterface) -> None:
    below = [LEAF, f"{STAGE}/started"]
    assert cci.glob(STAGE) == cci.glob(f"{STAGE}/*") == cci.glob(f"{TREE}/.upload-*/*") == below
    assert STAGE in cci.ls(f"{TREE}/.upload-*")  # SeaweedFS goes on to list those that were removed
    assert cci.ls(STAGE) == cci.lsdir(STAGE) == [f"{STAGE}/leaves", f"{STAGE}/started"]
    assert [info.key for info in cci.get_bucket_objects(filter={"Prefix": f"{TREE}/.upload-"})] == below
    assert cci.fs.find(STAGE) == below
    assert float(cci.download_raw_array(LEAF)[0]) == 99


def test_it_takes_no_request_more(recorded: Recorded) -> None:
    cci = killed(recorded.store.interface())
    node = cci.get_browser()[TREE]
    for look in (cci.glob, cci.ls, cci.lsdir, cci.fs.ls, cci.fs.find, lambda _: node._ls()):
        recorded.proxy.clear()
        assert len(look(TREE)) == 1
        assert recorded.proxy.count() == 1, look


def test_a_limit_counts_what_is_shown(cci: DefaultInterface) -> None:
    assert cci.glob(TREE, limit=1) == cci.ls(TREE, limit=1) == cci.lsdir(TREE, limit=1) == [f"{TREE}/mean"]


def test_what_is_stored_counts(cci: DefaultInterface, store: Store) -> None:
    sizes = {info.key: info.size for info in store.backend().list_objects()}
    assert cci.get_bucket_size() == cci.get_size() == cci.fs.du("st") == cci.fs.disk_usage("st") == sum(sizes.values())
    assert cci.fs.du("st", total=False) == sizes
    assert sum(info.size for info in cci.find("st", stages=True)) == sum(sizes.values())
    below = {name: size for name, size in sizes.items() if name.startswith(TREE)}
    assert cci.fs.du(TREE) == cci.fs.du(TREE, maxdepth=4) == sum(below.values())
    assert cci.fs.du(TREE, maxdepth=1) == sizes[f"{TREE}/mean"]


def test_to_measure_takes_one_listing(recorded: Recorded) -> None:
    cci = killed(recorded.store.interface())
    recorded.proxy.clear()
    assert cci.fs.du(TREE) > 0
    assert recorded.proxy.count() == 1


def test_millions_are_tested_once() -> None:
    names = ["a/.upload-0123456789abcdef", "a/.upload-0123456789abcde", ".upload-0123456789abcdef/x", "b"]
    assert list(shown_names(names, "")) == names[1:2] + names[3:]


# ---------------------------------------------------------------------- what goes as a whole
def complete(cci: DefaultInterface) -> None:
    """A tree whose writer was killed when all leaves were there."""
    cci.dict2cloud(TREE, {"mean": np.ones(2)}, verbose=False)
    cci.upload_raw_array(LEAF, np.full(2, 99.0))
    cci.upload_object(MARK[:-1] + "1", b".")


def mean(cci: DefaultInterface, name: str) -> float:
    return float(cci.cloud2dict(name, verbose=False)["mean"][0])


@pytest.mark.parametrize(
    "move",
    [
        lambda cci: cci.cp("st", "new", recursive=True),
        lambda cci: cci.mv("st", "new"),
        lambda cci: cci.fs.copy("st", "new", recursive=True),
        lambda cci: cci.fs.mv("st", "new", recursive=True),
        lambda cci: cci.sync("st", "new"),
    ],
)
def test_a_tree_that_waits_goes_with_its_stage(store: Store, move: Callable[[DefaultInterface], object]) -> None:
    cci = store.interface()
    complete(cci)
    move(cci)
    assert mean(cci, "new/sub01/res") == 99


@pytest.mark.parametrize(
    "download",
    [
        lambda cci, disk: cci.download_directory("st", str(disk)),
        lambda cci, disk: cci.sync("st", disk),
        lambda cci, disk: cci.fs.get("st/", f"{disk}/", recursive=True),
    ],
)
def test_all_of_it_comes_to_disk(
    store: Store, download: Callable[[DefaultInterface, Path], object], tmp_path: Path
) -> None:
    cci = store.interface()
    complete(cci)
    download(cci, tmp_path / "down")
    found = {f"st/{path.relative_to(tmp_path / 'down').as_posix()}" for path in (tmp_path / "down").rglob("*")}
    assert found & stored(store) == stored(store) == {f"{TREE}/mean", LEAF, MARK[:-1] + "1"}


def test_a_mirror_reads_as_what_it_mirrors(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    complete(cci)
    cci.dict2cloud("calm", {"mean": np.zeros(2)}, verbose=False)
    cci.sync("calm", TREE, delete=True, checksum=True)
    assert mean(cci, TREE) == mean(cci, "calm") == 0
    assert {name for name in stored(store) if name.startswith("st/")} == {f"{TREE}/mean"}


@pytest.mark.parametrize("ended", ["sync", "rm"])
def test_what_only_a_mirror_has_of_an_upload_is_told_and_stays(
    store: Store, caplog: pytest.LogCaptureFixture, ended: str
) -> None:
    """It may be of somebody who is at work there; as long as it is there, it may be what readers get."""
    cci = store.interface()
    complete(cci)
    assert told(caplog, lambda: cci.sync("st", "mirror")) == [f"object '{TREE}'"]
    cci.dict2cloud(TREE, {"mean": np.zeros(3)}, verbose=False)
    stage = STAGE.replace("st/", "mirror/")
    before = stored(store)
    assert told(caplog, lambda: cci.sync("st", "mirror")) == ["object 'mirror/sub01/res'"]
    assert f"rm('{stage}/', recursive=True)" in caplog.text
    assert stored(store) == before
    assert len(cci.cloud2dict("mirror/sub01/res", verbose=False)["mean"]) == 2
    if ended == "sync":
        assert told(caplog, lambda: cci.sync("st", "mirror", delete=True)) == []
    else:
        cci.rm(f"{stage}/", recursive=True)
        assert told(caplog, lambda: cci.sync("st", "mirror")) == []
    assert len(cci.cloud2dict("mirror/sub01/res", verbose=False)["mean"]) == 3
    assert {name for name in stored(store) if name.startswith("mirror/")} == {"mirror/sub01/res/mean"}


def told(caplog: pytest.LogCaptureFixture, call: Callable[[], object]) -> list[str]:
    """Where uploads were broken off, as the warnings of a call have it."""
    caplog.clear()
    call()
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return [message.partition(" in ")[0] for message in found if "an upload of a tree was broken off" in message]


def test_files_of_any_name_go_up(store: Store, tmp_path: Path) -> None:
    cci = store.interface()
    (tmp_path / "disk/.upload-0123456789abcdef").mkdir(parents=True)
    (tmp_path / "disk/.upload-0123456789abcdef/mine").write_bytes(b"x")
    assert cci.sync(tmp_path / "disk", "up").transferred == (".upload-0123456789abcdef/mine",)
    assert stored(store) == {"up/.upload-0123456789abcdef/mine"}


@pytest.mark.parametrize(
    "remove",
    [
        lambda cci: cci.rm("st", recursive=True),
        lambda cci: cci.fs.rm("st", recursive=True),
        lambda cci: cci.fs.rm(f"{TREE}/*", recursive=True),
        lambda cci: cci.fs.rm("st/*", recursive=True),
    ],
)
def test_nothing_is_left(store: Store, remove: Callable[[DefaultInterface], object]) -> None:
    cci = store.interface()
    complete(cci)
    remove(cci)
    assert stored(store) == set()


# ---------------------------------------------------------------------- the command
@pytest.mark.stores("local", "moto")
def test_the_command(
    cci: DefaultInterface, store: Store, cc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--backend", "local", "--bucket", store.container]
    if store.name == "moto":
        options = on_server(store)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.access["access_key"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.access["secret_key"])

    def call(command: str, *names: str) -> str:
        return ok(cc(command, *options, *names))

    assert call("ls", "-r", "st").split() == call("ls", "-r", "s*").split() == SHOWN
    assert call("ls", TREE).split() == call("ls", "st/*/res/*").split() == [f"{TREE}/mean"]
    for arguments in (["tree", "st"], ["tree", "st", "-L", "4"], ["info", TREE]):
        assert ".upload-0" not in call(*arguments).replace("x.upload-0", "")
    sizes = {info.key: info.size for info in store.backend().list_objects(f"{TREE}/")}
    rows = [line.split() for line in call("du", TREE).splitlines()]
    assert [(int(size), int(count)) for size, count, _ in rows] == [
        (sizes[LEAF] + 1, 2),
        (sizes[f"{TREE}/mean"], 1),
        (sum(sizes.values()), 3),
    ]
    assert [name for _, _, name in rows[:2]] == [f"{STAGE}/", f"{TREE}/mean"]
    found = json.loads(call("info", TREE, "--json"))
    assert (found["objects"], found["size"]) == (3, sum(sizes.values()))
    assert found["upload"].startswith(f"the tree '{TREE}' is being uploaded, or what a killed upload left: ")
    call("get", "-r", "-q", "st", "got")
    call("get", "-r", "-q", "st/*/re*", "matched")
    for folder in ("got", "matched"):
        arrays = {f"st/{path.relative_to(folder).as_posix()}" for path in Path(folder).rglob("*.npy")}
        assert arrays == {f"{TREE}/mean.npy", f"{LEAF}.npy"}
    assert call("ls", f"{TREE}/.upload-*").split() == [f"{STAGE}/"]
    before = stored(store)
    call("cp", "-r", f"{TREE}/*", "copy/")
    assert {f"copy/{name.removeprefix(TREE)[1:]}" for name in before if name.startswith(TREE)} <= stored(store)
    call("rm", "-r", "-y", f"{TREE}/*", "copy")
    assert stored(store) == set(OTHERS)


@pytest.mark.stores("local")
def test_the_command_gets_and_moves_a_tree_that_only_waits(store: Store, cc: Run) -> None:
    cci, options = store.interface(), ["--backend", "local", "--bucket", store.container]
    complete(cci)
    cci.rm(f"{TREE}/mean")
    ok(cc("get", *options, "-q", TREE, "tree.npz"))
    assert np.load("tree.npz")["mean"].tolist() == [99, 99]
    assert "is a directory: use -r" in cc("mv", *options, TREE, "new").err
    ok(cc("mv", *options, "-q", "-r", TREE, "new"))
    assert mean(cci, "new") == 99


@pytest.mark.stores("local")
def test_the_command_tells_of_what_it_does_not_show(store: Store, cc: Run) -> None:
    cci, options = store.interface(), ["--backend", "local", "--bucket", store.container]
    cci.upload_raw_array(LEAF, np.ones(2))
    listings = [["ls", TREE], ["ls", f"{TREE}/*"], ["ls", "-r", f"{TREE}/*"], ["ls", "-r", f"{TREE}/*/mean"]]
    trees = [["tree", TREE], ["tree", TREE, "-L", "1"]]
    for arguments in (*listings, *trees):
        done = cc(*arguments, *options)
        assert done.code == 0
        assert done.out == (f"local://{store.container}//{TREE}\n" if arguments in trees else "")
        assert f"the tree '{TREE}' is being uploaded, or what a killed upload left" in done.err
    cci.upload_object(MARK[:-1] + "1", b".")
    for arguments in (*listings, *trees):
        assert f"the tree '{TREE}' is stored, and cloud2dict reads it; its leaves wait" in cc(*arguments, *options).err
    assert "cloud2dict reads it" in json.loads(ok(cc("info", TREE, *options, "--json")))["upload"]
    assert ok(cc("du", TREE, *options)).splitlines()[0].endswith(f"2  {STAGE}/")
    assert cc("ls", TREE, *options, "--json").out == "[]\n"
    assert ok(cc("ls", STAGE, *options)).split() == [f"{STAGE}/complete-1-1", f"{STAGE}/leaves/"]
    for arguments in (["ls", f"{TREE}/mean"], ["ls", f"{TREE}/x*"], ["du", f"{TREE}/mean"], ["tree", "sta"]):
        done = cc(*arguments, *options)
        assert done.code == 1
        assert "nothing " in done.err


@pytest.mark.stores("local")
def test_tab(cci: DefaultInterface, store: Store, cc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_BUCKET", store.container)
    from cottoncandy.cli.completing import _level

    assert _level(store.backend(), f"{TREE}/") == [f"{TREE}/mean"]
    assert _level(store.backend(), f"{TREE}/.u") == []
    assert _level(store.backend(), f"{TREE}/.upload-") == [f"{STAGE}/"]


async def test_the_terminal_browser(recorded: Recorded) -> None:
    store = recorded.store
    cci = killed(store.interface())
    cci.rm(OTHERS[0])
    cci.rm(OTHERS[1])
    app = StoreBrowser(cci, Place("s3", store.container, TREE))
    async with app.run_test() as pilot:
        for _ in range(200):
            await app.workers.wait_for_complete()
            await pilot.pause(0.02)
            if app.names.root.children:
                break
        assert [str(node.label).split()[0] for node in app.names.root.children] == ["mean"]

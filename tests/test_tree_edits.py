"""What else is done with trees than dict2cloud and cloud2dict: leaves copied, restored, replaced; branches read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorder import Request
from s3_wire import error
from stores import Recorded, Store
from test_trees import Stopped, stopped

from cottoncandy.errors import AccessDenied, ObjectChanged, ObjectNotFound, TransientError
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.interfaces.arrays import tree, treeupload

Tree = dict[str, Any]


def numbers(tree: Tree) -> Tree:
    """The first number of each leaf."""
    return {name: numbers(leaf) if isinstance(leaf, dict) else int(leaf[0]) for name, leaf in tree.items()}


def leaves(**numbered: Any) -> Tree:
    return {name: leaves(**leaf) if isinstance(leaf, dict) else np.full(3, leaf) for name, leaf in numbered.items()}


def send(cci: DefaultInterface, name: str, **numbered: Any) -> None:
    cci.dict2cloud(name, leaves(**numbered), verbose=False)


def get(cci: DefaultInterface, name: str, **options: Any) -> Tree:
    return numbers(cci.cloud2dict(name, verbose=False, **options))


def killed(store: Store, name: str, monkeypatch: pytest.MonkeyPatch, writes: int, **numbered: Any) -> None:
    """An upload of which nothing gets through any more after so many writes."""
    assert stopped(store.interface(), monkeypatch, writes + 1, leaves(**numbered), name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no writer wait for another, as where each takes long; so each looks again."""
    monkeypatch.setattr(treeupload, "_PATIENCE", 0.0)
    monkeypatch.setattr(treeupload, "_SOON", 0.0)


# ---------------------------------------------------------------------- leaves that are copied, moved, renamed
def test_a_leaf_of_another_tree_is_nobodys(store: Store) -> None:
    cci = store.interface()
    send(cci, "sub01", mask=1, bold=0)
    send(cci, "one", leaf=4)
    cci.mv("sub01/mask", "results/mask")
    cci.cp("one/leaf", "results/leaf")
    send(cci, "results", mean=2)
    send(cci, "results", median=3)
    assert get(cci, "results") == {"mask": 1, "leaf": 4, "median": 3}


def test_a_copy_or_another_name_in_the_same_tree_stays(store: Store) -> None:
    cci = store.interface()
    send(cci, "t", a=1, b=2, c=3)
    cci.cp("t/a", "t/a_before")
    cci.mv("t/b", "t/b_by_hand")
    send(cci, "t", a=4)
    assert get(cci, "t") == {"a": 4, "a_before": 1, "b_by_hand": 2}


@pytest.mark.parametrize("call", ["cp", "mv"])
def test_a_tree_that_was_copied_as_a_whole_is_replaced_as_a_whole(store: Store, call: str) -> None:
    cci = store.interface()
    send(cci, "old", a=1, g={"b": 2, "c": 3})
    getattr(cci, call)("old", "new", recursive=True)
    cci.upload_raw_array("new/own", np.full(3, 7))
    send(cci, "new", a=4, g={"d": 5})
    assert get(cci, "new") == {"a": 4, "g": {"d": 5}, "own": 7}


@pytest.mark.stores("local", "moto")
def test_a_leaf_that_was_copied_here_is_seen_at_each_moment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for writes in range(40):
        cci = store.interface()
        send(cci, "sub01", mask=1, bold=0)
        send(cci, "results", mean=2)
        cci.cp("sub01/mask", "results/mask")
        was_killed = stopped(cci, monkeypatch, writes + 1, leaves(median=3), "results")
        assert get(store.interface(), "results") in ({"mask": 1, "mean": 2}, {"mask": 1, "median": 3})
        store.interface().backend_interface.delete(store.raw.keys())
        if not was_killed:
            break
    assert writes > 5


@pytest.mark.stores("local", "moto")
def test_a_copied_tree_is_replaced_as_a_whole_wherever_that_is_broken_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by the next upload, which finds some of its leaves only."""
    old = {"a": 1, "b": {"x": 1, "y": 1}, "c": 1}
    for writes in range(40):
        cci = store.interface()
        send(cci, "t", **old)
        cci.cp("t", "u", recursive=True)
        was_killed = stopped(cci, monkeypatch, writes + 1, leaves(a=2, b={"x": 2, "w": 2}), "u")
        reader = store.interface()
        found = get(reader, "u")
        assert found in (old, {"a": 2, "b": {"x": 2, "w": 2}})
        assert get(reader, "u/b") == found["b"]
        send(reader, "u", a=3)
        assert get(reader, "u") == {"a": 3}
        reader.backend_interface.delete(store.raw.keys())
        if not was_killed:
            break
    assert writes > 10


# A tree, and one that is broken off when it is to take its place: with other names, the same, and fewer.
REPLACED = [
    ({"a": 1, "b": 1, "g": {"x": 1, "y": 1}}, {"a": 2, "c": 2, "g": {"x": 2}}),
    ({"a": 1, "b": 1, "g": {"x": 1, "y": 1}}, {"a": 2, "b": 2, "g": {"x": 2, "y": 2}}),
    ({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2}),
]


@pytest.mark.stores("local")
@pytest.mark.parametrize("fails", [False, True], ids=["killed", "refused"])
@pytest.mark.parametrize(("old", "new"), REPLACED, ids=["others", "same", "fewer"])
@pytest.mark.parametrize("call", ["cp", "mv", "sync"])
def test_a_copy_of_a_tree_that_waits_is_that_tree_wherever_it_was_broken_off(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, old: Tree, new: Tree, fails: bool
) -> None:
    """And the next tree of the copy's name takes the place of all of it; what is somebody's own stays."""
    for writes in range(40):
        cci = store.interface()
        send(cci, "sub01", mask=7, bold=0)
        send(cci, "t", **old)
        cci.cp("sub01/mask", "t/mask")
        was_killed = broken_off(cci, monkeypatch, writes, leaves(**new), fails)
        reader = store.interface()
        found = get(reader, "t")
        assert found in ({**old, "mask": 7}, {**new, "mask": 7})
        if call == "sync":
            reader.sync("t", "u", delete=True)
        else:
            getattr(reader, call)("t", "u", recursive=True)
        assert get(reader, "u") == found
        assert get(reader, "u", keys="b") == {"b": found["b"]} if "b" in found else True
        send(reader, "u", a=3, d=3)
        assert get(reader, "u") == {"a": 3, "d": 3, "mask": 7}
        reader.backend_interface.delete(store.raw.keys())
        if not was_killed:
            break
    assert writes > (1 if fails else 7)


def broken_off(cci: DefaultInterface, monkeypatch: pytest.MonkeyPatch, writes: int, tree: Tree, fails: bool) -> bool:
    """Upload a tree as t; after so many writes none gets through, or so many copies, and no more."""
    if not fails:
        return stopped(cci, monkeypatch, writes + 1, tree, "t")
    backend, done = cci.backend_interface, count()

    def refused(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(done) >= writes:
                raise AccessDenied("no copies")
            return write(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(backend, "copy", refused(backend.copy))
        patch.setattr(backend, "begin_copy", lambda *arguments, **named: None)
        try:
            cci.dict2cloud("t", tree, verbose=False, threads=1)
        except AccessDenied:
            return True
    return False


@pytest.mark.stores("local")
def test_deletions_that_fail_leave_no_mixture(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    send(cci, "t", a=1, b=1, c=1, d=1)
    cci.cp("t", "u", recursive=True)
    delete = cci.backend_interface.delete

    def some(names: Any, **named: Any) -> Any:
        if "u/b" in (names := list(names)):
            delete(["u/b"])
            raise TransientError("503")
        return delete(names, **named)

    with monkeypatch.context() as patch:
        patch.setattr(cci.backend_interface, "delete", some)
        with pytest.raises(TransientError, match="the tree is stored"):
            send(cci, "u", a=2)
    assert get(cci, "u") == {"a": 2}
    send(cci, "u", a=3)
    assert get(cci, "u") == {"a": 3}
    assert store.raw.keys("u/") == ["u/a"]


def test_a_leaf_is_put_back_from_a_copy_of_the_tree(store: Store) -> None:
    cci = store.interface()
    send(cci, "t", mask=1, bold=2)
    cci.cp("t", "backup", recursive=True)
    send(cci, "t", mask=8, bold=9)
    cci.cp("backup/mask", "t/mask", overwrite=True)
    assert get(cci, "t") == {"mask": 1, "bold": 9}
    assert get(cci, "backup") == {"mask": 1, "bold": 2}
    cci.cp("t", "backup2", recursive=True)
    cci.cp("backup2/bold", "t/bold", overwrite=True)
    send(cci, "t", other=3)
    assert get(cci, "t") == {"other": 3}


@pytest.mark.stores("local", "moto")
def test_of_several_uploads_none_is_read_while_one_is_under_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    send(cci, "t", mask=1, bold=2)
    cci.cp("t", "backup", recursive=True)
    send(cci, "t", mask=8, bold=9)
    cci.cp("backup/mask", "t/mask", overwrite=True)
    killed(store, "t", monkeypatch, 2, mask=3)
    with pytest.raises(ObjectChanged, match="one is under way"):
        get(cci, "t")


# ---------------------------------------------------------------------- after one that was killed
KILLED = pytest.mark.parametrize("writes", [1, 2, 3])


@pytest.mark.stores("local", "moto", "gdrive")
@KILLED
def test_what_changes_in_a_tree_that_was_sent_again_is_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """The mark of the one that was killed stands, and nobody knows that it was."""
    cci = store.interface()
    killed(store, "t", monkeypatch, writes, a=7, b={"x": 7})
    send(cci, "t", a=1, b={"x": 1, "y": 1}, c=1)
    assert get(cci, "t") == {"a": 1, "b": {"x": 1, "y": 1}, "c": 1}
    cci.upload_raw_array("t/a", np.full(3, 42))
    send(cci, "t/b", x=9, z=9)
    found = get(cci, "t")
    assert (found["a"], found["b"]["x"], found["b"]["z"], found["c"]) == (42, 9, 9, 1)
    assert get(cci, "t/b") == {"x": 9, "z": 9}
    send(cci, "t", a=5)
    assert get(cci, "t") == {"a": 5, "b": {"x": 9, "z": 9}}


@pytest.mark.stores("local")
def test_what_is_removed_is_gone_when_nobody_can_be_at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    killed(store, "t", monkeypatch, 1, a=7)
    send(cci, "t", a=1, b=1)
    cci.rm("t/b")
    assert get(cci, "t") == {"a": 1, "b": 1}  # it might be the doing of who failed
    long_ago = time.time() - 2 * 86400
    for path in Path(store.container).rglob("started*"):
        os.utime(path, (long_ago, long_ago))
    assert get(cci, "t") == {"a": 1}


@pytest.mark.stores("local", "moto")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fails", [False, True])
def test_a_rival_that_goes_on_when_the_other_has_settled(
    store: Store, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """It overwrites what has settled, of which readers get what waits; it is whole in the end, or takes all back."""
    rival, other, reader = store.interface(), store.interface(), store.interface()
    put, seen = rival.backend_interface.put, list[Tree]()

    def go_on(key: str, *arguments: Any, **named: Any) -> Any:
        if key == "t/a":
            send(other, "t", a=1, b=1, c=1)
            seen.append(get(reader, "t"))
            assert any(name.endswith("/settled") for name in store.raw.keys("t/"))
        if fails and key == "t/b":
            raise AccessDenied("no room")
        receipt = put(key, *arguments, **named)
        seen.append(get(reader, "t"))
        return receipt

    monkeypatch.setattr(rival.backend_interface, "put", go_on)
    monkeypatch.setattr(rival.backend_interface, "begin_put", lambda *arguments, **named: None)
    new = leaves(a=2, b=2)
    if fails:
        with pytest.raises(AccessDenied):
            rival.dict2cloud("t", new, verbose=False, threads=1)
    else:
        rival.dict2cloud("t", new, verbose=False, threads=1)
    expected = {"a": 1, "b": 1, "c": 1}
    assert all(tree in ({}, expected, {"a": 2, "b": 2}) for tree in seen)
    assert expected in seen
    assert get(reader, "t") == (expected if fails else {"a": 2, "b": 2})
    send(other, "t", d=3)
    assert get(reader, "t") == {"d": 3}
    assert [name for name in store.raw.keys("t/") if ".upload-" in name] == []


def meeting(store: Store, monkeypatch: pytest.MonkeyPatch, put: Callable[..., Any]) -> DefaultInterface:
    """A writer whose leaves are sent one by one, each by a function that is told how."""
    cci = store.interface()
    monkeypatch.setattr(cci.backend_interface, "put", partial(put, cci.backend_interface.put))
    monkeypatch.setattr(cci.backend_interface, "begin_put", lambda *arguments, **named: None)
    return cci


@pytest.mark.stores("local", "moto")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_killed", [False, True])
def test_leaves_that_only_a_rival_has_keep_no_settled_tree_from_being_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    other, reader, found = store.interface(), store.interface(), list[Tree]()

    def go_on(put: Callable[..., Any], key: str, *arguments: Any, **named: Any) -> Any:
        if is_killed and found:
            raise Stopped
        if key == "t/a":
            send(other, "t", a=1, b=1)
        receipt = put(key, *arguments, **named)
        if key == "t/r":
            found.append(get(reader, "t"))
        return receipt

    def stop(*_: Any, **__: Any) -> None:
        raise Stopped

    rival = meeting(store, monkeypatch, go_on)
    if is_killed:
        monkeypatch.setattr(rival.backend_interface, "delete", stop)
    with pytest.raises(Stopped) if is_killed else nullcontext():
        rival.dict2cloud("t", leaves(a=2, r=2, z=2), verbose=False, threads=1)
    assert found[0] == {"a": 1, "b": 1}
    assert get(reader, "t") == ({"a": 1, "b": 1} if is_killed else {"a": 2, "r": 2, "z": 2})


@pytest.mark.stores("local", "moto")
@pytest.mark.usefixtures("impatient")
def test_who_fails_brings_the_tree_that_waited_to_its_places(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other, reader = store.interface(), store.interface()

    def go_on(put: Callable[..., Any], key: str, *arguments: Any, **named: Any) -> Any:
        if key == "t/a":
            send(other, "t", a=1, b=1, c=1)
        if key == "t/b":
            raise AccessDenied("no room")
        return put(key, *arguments, **named)

    with pytest.raises(AccessDenied, match="no room"):
        meeting(store, monkeypatch, go_on).dict2cloud("t", leaves(a=2, b=2), verbose=False, threads=1)
    assert store.raw.keys("t/") == ["t/a", "t/b", "t/c"]
    reader.upload_raw_array("t/b", np.full(3, 42))
    assert get(reader, "t") == {"a": 1, "b": 42, "c": 1}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("edit", ["array", "branch", "removal"])
def test_what_is_written_to_a_settled_tree_is_not_undone_by_who_was_outdone(
    store: Store, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    """Two complete at the same time; the one that readers got has gone, and its leaves were edited."""
    other, reader, new_version = store.interface(), store.interface(), tree.new_version
    send(other, "t", a=0, b={"x": 0}, old=0)

    def go_on(put: Callable[..., Any], key: str, *arguments: Any, **named: Any) -> Any:
        if "/complete-1-" in key:
            monkeypatch.setattr(tree, "new_version", lambda: "f" * 16)  # of two, the higher one counts
            send(other, "t", a=1, b={"x": 1}, c=1)
            monkeypatch.setattr(tree, "new_version", new_version)
            assert get(reader, "t") == {"a": 1, "b": {"x": 1}, "c": 1}
            if edit == "array":
                reader.upload_raw_array("t/a", np.full(3, 42))
            elif edit == "branch":
                send(reader, "t/b", x=42, z=42)
            else:
                reader.rm("t/c")
        return put(key, *arguments, **named)

    monkeypatch.setattr(tree, "new_version", lambda: "0" * 16)
    meeting(store, monkeypatch, go_on).dict2cloud("t", leaves(a=2, b={"x": 2}), verbose=False, threads=1)
    branch = {"x": 2, "z": 42} if edit == "branch" else {"x": 2}
    assert get(reader, "t") == {"a": 2, "b": branch}
    assert not [key for key in store.raw.keys("t/") if ".upload-" in key]


@pytest.mark.parametrize("times", [1, 3])
def test_a_store_that_copies_nothing(recorded: Recorded, times: int) -> None:
    """The new tree is there all the same; the error says so, and no tree before it stays."""
    store, proxy = recorded
    cci = store.interface()
    send(cci, "t", a=1, b=2)
    proxy.hook = lambda request: error("AccessDenied", 403) if "x-amz-copy-source" in request.headers else None
    for number in range(times):
        with pytest.raises(AccessDenied, match=r"^object 't' in .*: the tree is stored, and cloud2dict reads it"):
            send(cci, "t", a=number, c=number)
        assert get(cci, "t") == {"a": number, "c": number}
    assert len({key.split("/")[1] for key in store.raw.keys("t/.upload-")}) == 1
    proxy.hook = None
    send(cci, "t", d=7)
    assert store.raw.keys() == ["t/d"]


@pytest.mark.parametrize("there", [False, True])
def test_an_error_names_what_the_caller_named(recorded: Recorded, there: bool) -> None:
    """And not what it is called until all is there."""
    store, proxy = recorded
    cci = store.interface()
    if there:
        send(cci, "t", a=1)
    for part, name in (("/started", "'t'"), ("leaves/a" if there else "t/a", "'t/a'")):
        proxy.hook = lambda request, part=part: (
            error("AccessDenied", 403) if request.method == "PUT" and request.path.endswith(part) else None
        )
        with pytest.raises(AccessDenied, match=f"object {name} in") as caught:
            send(cci, "t", a=2)
        assert ".upload-" not in str(caught.value)


# ---------------------------------------------------------------------- branches
OLD = {"b": {f"x{i}": i for i in range(4)}, "c": 0}
NEW = {"b": {f"x{i}": 100 + i for i in range(2, 7)}, "c": 1}


@pytest.mark.stores("local", "moto")
def test_a_branch_is_of_one_tree_wherever_an_upload_was_broken_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for writes in range(40):
        cci = store.interface()
        send(cci, "t", **OLD)
        was_killed = stopped(cci, monkeypatch, writes + 1, leaves(**NEW), "t")
        reader = store.interface()
        found = get(reader, "t/b")
        assert found in (OLD["b"], NEW["b"])
        assert {"b": found} == get(reader, "t", keys="b") == {"b": get(reader, "t")["b"]}
        assert get(reader, "t/b", keys="x3") == {"x3": found["x3"]}
        reader.rm("t", recursive=True)
        if not was_killed:
            break
    assert writes > 15


@pytest.mark.stores("local", "moto")
def test_a_branch_of_a_branch_and_one_with_others_objects(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        ("t/b", {"s": {"x": 2, "w": 2}}, lambda cci: send(cci, "t", b={"s": {"x": 1, "y": 1}}, c=0), "t/b", "s"),
        ("t", {"b": {"x": 2, "w": 2}}, lambda cci: cci.upload_raw_array("t/b/own", np.full(3, 7)), "t", "b"),
    ]
    for name, new, prepare, whole, branch in cases:
        for writes in range(40):
            cci = store.interface()
            prepare(cci)
            was_killed = stopped(cci, monkeypatch, writes + 1, leaves(**new), name)
            reader = store.interface()
            assert get(reader, f"{whole}/{branch}") == get(reader, whole)[branch]
            reader.backend_interface.delete(store.raw.keys())
            if not was_killed:
                break
        assert writes > 3


@pytest.mark.stores("local", "moto")
def test_an_upload_of_a_branch_that_was_killed_hides_no_later_tree(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for writes in range(40):
        cci = store.interface()
        send(cci, "t", b={"x": 1, "y": 1}, c=0)
        was_killed = stopped(cci, monkeypatch, writes + 1, leaves(x=2, w=2), "t/b")
        if not was_killed:
            break
        reader = store.interface()
        send(reader, "t", b={"x": 5}, c=5)
        assert int(reader.download_raw_array("t/b/x")[0]) == 5
        found = get(reader, "t")
        assert (found["c"], found["b"]["x"]) == (5, 5)
        assert found["b"].keys() <= {"x", "w"}  # of the branch, what was in its place is of a tree of its own
        assert get(reader, "t/b") == found["b"]
        reader.backend_interface.delete(store.raw.keys())
    assert writes > 5


@pytest.mark.stores("local")
def test_what_a_killed_upload_of_a_branch_left_is_removed_a_day_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cci = store.interface()
    send(cci, "t", b={"x": 1}, c=0)
    assert stopped(cci, monkeypatch, 3, leaves(x=2, w=2), "t/b")
    long_ago = time.time() - 2 * 86400
    for path in Path(store.container).rglob("*"):
        if path.is_file():
            os.utime(path, (long_ago, long_ago))
    send(cci, "t", b={"x": 3}, c=3)
    assert store.raw.keys("t/") == ["t/b/x", "t/c"]


@pytest.mark.stores("local", "moto")
def test_a_branch_of_a_first_tree_that_was_broken_off_is_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(store, "t", monkeypatch, 3, **OLD)
    assert store.raw.keys("t/b/")
    cci = store.interface()
    assert get(cci, "t") == get(cci, "t/b") == {}
    with pytest.raises(KeyError, match="x0"):
        get(cci, "t/b", keys="x0")


@pytest.mark.stores("local", "moto")
def test_a_branch_that_only_the_tree_has_that_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for writes in range(40):
        cci = store.interface()
        send(cci, "t", c=0)
        if not stopped(cci, monkeypatch, writes + 1, leaves(**NEW), "t"):
            break
        reader = store.interface()
        whole = get(reader, "t")
        assert get(reader, "t/b") == whole.get("b", {})
        is_leaf = reader.exists_object("t/c")  # of the old tree
        with pytest.raises(ObjectNotFound, match=r"'t/c' .* is one object") if is_leaf else nullcontext():
            assert get(reader, "t/c") == {}
        reader.rm("t", recursive=True)


# ---------------------------------------------------------------------- what a reader loads
def test_what_others_add_meanwhile_is_all_that_is_loaded(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    send(cci, "t", a=1, b=2, c=3)
    cci.upload_raw_array("t/own", np.full(3, 4))  # so that two listings must agree
    looks = list[Request]()

    def add(request: Request) -> None:
        if "list-type" in request.query and len(looks) < 3:
            looks.append(request)
            store.raw.put(f"t/log{len(looks)}.txt", b"x")

    proxy.hook = add
    proxy.clear()
    assert get(cci, "t") == {"a": 1, "b": 2, "c": 3, "own": 4}
    gets = [request.path for request in proxy.requests if request.method == "GET" and "list-type" not in request.query]
    assert len(gets) == len(set(gets))

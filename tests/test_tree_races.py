"""Two write one tree at the same time: readers get one tree, whole, at each moment, and one of the two at last."""

from __future__ import annotations

import itertools
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from race_soak import Races, Tree, number_of, other_names, same_names
from stores import Store
from turns import Stopped, Turns

from cottoncandy.errors import AccessDenied, ObjectChanged, TransientError
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.interfaces.arrays import treeupload

NAME = "exp/t"
OLD = 9
SEEDS = 5
CASES = pytest.mark.parametrize(
    ("there", "make"),
    [(there, make) for there in (False, True) for make in (same_names, other_names)],
    ids=lambda value: value.__name__ if callable(value) else "there" if value else "absent",
)


def race(store: Store, make: Callable[[int], Tree], seed: int, *, there: bool, lives: dict[int, int]) -> int:
    """Let two write in turns; which of the trees is there then."""
    reader = store.interface()
    old = OLD if there else 0
    if there:
        reader.dict2cloud(NAME, make(OLD), verbose=False)

    def look() -> None:
        with suppress(ObjectChanged):
            assert number_of(reader.cloud2dict(NAME, verbose=False), make) in {old, 1, 2}

    turns = Turns(seed, {1, 2}, look, lives)

    def write(writer: int) -> None:
        try:
            writers[writer].dict2cloud(NAME, make(writer), verbose=False, threads=1)
        except Stopped:
            assert writer in lives
        finally:
            turns.leave(writer)

    writers = {writer: store.interface() for writer in (1, 2)}
    with pytest.MonkeyPatch.context() as patch:
        for writer, cci in writers.items():
            turns.take(cci, writer, patch)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, writers))
    found = number_of(reader.cloud2dict(NAME, verbose=False), make)
    assert_ends(reader, store, make, is_clean=not lives)
    return found


def assert_ends(cci: DefaultInterface, store: Store, make: Callable[[int], Tree], *, is_clean: bool) -> None:
    """The next upload is what is there, and ends what was left, but for that of somebody who may be at work."""
    cci.dict2cloud(NAME, make(3), verbose=False)
    assert number_of(cci.cloud2dict(NAME, verbose=False), make) == 3
    assert not is_clean or ".upload-" not in "".join(store.raw.keys())


@pytest.mark.stores("local")
@CASES
@pytest.mark.parametrize("seed", range(SEEDS))
def test_two_in_turns(store: Store, make: Callable[[int], Tree], seed: int, there: bool) -> None:
    assert race(store, make, seed, there=there, lives={}) in {1, 2}


@pytest.mark.stores("local")
@CASES
@pytest.mark.parametrize("seed", range(SEEDS))
def test_one_of_two_is_killed(store: Store, make: Callable[[int], Tree], seed: int, there: bool) -> None:
    lives = {1: random.Random(seed).randrange(40)}
    assert race(store, make, seed, there=there, lives=lives) in {1, 2}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("make", [same_names, other_names])
def test_another_comes_and_goes_before_the_mark_stands(
    store: Store, make: Callable[[int], Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    cci, other = store.interface(), store.interface()
    backend, put = cci.backend_interface, cci.backend_interface.put

    def put_late(key: str, *arguments: Any, **named: Any) -> Any:
        if key.endswith("/started"):
            other.dict2cloud(NAME, make(1), verbose=False)
        return put(key, *arguments, **named)

    monkeypatch.setattr(backend, "put", put_late)
    cci.dict2cloud(NAME, make(2), verbose=False)
    assert number_of(other.cloud2dict(NAME, verbose=False), make) == 2
    assert ".upload-" not in "".join(store.raw.keys())


@pytest.mark.stores("local", "moto")
def test_who_fails_takes_nothing_of_another_with_him(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's tree came while his own mark was on its way."""
    cci, other = store.interface(), store.interface()
    backend, put = cci.backend_interface, cci.backend_interface.put

    def put_late(key: str, *arguments: Any, **named: Any) -> Any:
        if key.endswith("/started"):
            other.dict2cloud(NAME, same_names(1), verbose=False)
        if key.endswith("leaf1"):
            raise AccessDenied("no room")
        return put(key, *arguments, **named)

    monkeypatch.setattr(backend, "put", put_late)
    monkeypatch.setattr(backend, "begin_put", lambda *arguments, **named: None)
    with pytest.raises(AccessDenied, match="no room"):
        cci.dict2cloud(NAME, same_names(2), verbose=False)
    assert number_of(other.cloud2dict(NAME, verbose=False), same_names) == 1
    assert ".upload-" not in "".join(store.raw.keys())


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("is_last", [True, False])
def test_another_comes_and_goes_before_the_leaves_take_their_places(
    store: Store, is_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has put its leaves in their places; the writer that did not see that removes them nevertheless.

    Also where the other one's tree would be the newest, of two that counted at the same time.
    """
    cci, other = store.interface(), store.interface()
    cci.dict2cloud(NAME, {"a": np.zeros(3)}, verbose=False)
    backend, put = cci.backend_interface, cci.backend_interface.put
    versions = iter(["f" * 16, "0" * 16] if is_last else ["0" * 16, "f" * 16])
    monkeypatch.setattr("cottoncandy.interfaces.arrays.tree.new_version", lambda: next(versions))

    def put_late(key: str, *arguments: Any, **named: Any) -> Any:
        if "/complete-1-" in key:
            other.dict2cloud(NAME, {"b": np.ones(2)}, verbose=False)
        return put(key, *arguments, **named)

    monkeypatch.setattr(backend, "put", put_late)
    cci.dict2cloud(NAME, {"c": np.ones(4)}, verbose=False)
    assert cci.cloud2dict(NAME, verbose=False).keys() == {"c"}
    assert ".upload-" not in "".join(store.raw.keys())


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("is_soon_over", [True, False])
def test_who_found_nobody_looks_again_when_it_took_long(
    store: Store, is_soon_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when the mark is gone, so that nobody finds it any more and leaves his end to this one."""
    monkeypatch.setattr(treeupload, "_SOON", math.inf if is_soon_over else 0.0)
    cci, steps = store.interface(), list[str]()
    look, delete = cci.backend_interface.list_objects, cci.backend_interface.delete

    def noted_look(*arguments: Any, **named: Any) -> Any:
        steps.append("looks")
        return look(*arguments, **named)

    def noted_delete(names: Any, *arguments: Any, **named: Any) -> Any:
        deleted = delete(names, *arguments, **named)
        steps.append("unmarked")
        return deleted

    monkeypatch.setattr(cci.backend_interface, "list_objects", noted_look)
    monkeypatch.setattr(cci.backend_interface, "delete", noted_delete)
    cci.dict2cloud(NAME, {"a": np.ones(3)}, verbose=False)
    assert "".join(steps).endswith("looksunmarked" if is_soon_over else "looksunmarkedlooks")
    assert steps.count("unmarked") == 1


def _leave_to_each_other(
    store: Store, make: Callable[[int], Tree], patch: pytest.MonkeyPatch, *, left: Callable[[DefaultInterface], object]
) -> DefaultInterface:
    """Of two, the later one leaves it to the earlier one, who goes before the mark of the later one is gone."""
    earlier, later = store.interface(), store.interface()
    earlier.dict2cloud(NAME, make(OLD), verbose=False)
    put, delete = earlier.backend_interface.put, later.backend_interface.delete
    counts, goes_on = threading.Event(), threading.Event()

    def put_and_wait(key: str, *arguments: Any, **named: Any) -> Any:
        receipt = put(key, *arguments, **named)
        if "/complete-" in key:
            counts.set()
            assert goes_on.wait(20)
        return receipt

    def delete_late(names: Any, *arguments: Any, **named: Any) -> Any:
        names = list(names)
        if any(name.endswith("/started") for name in names) and not goes_on.is_set():
            goes_on.set()
            writing.result(20)
            left(later)
        return delete(names, *arguments, **named)

    patch.setattr(earlier.backend_interface, "put", put_and_wait)
    patch.setattr(later.backend_interface, "delete", delete_late)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(earlier.dict2cloud, NAME, make(1), verbose=False)
        assert counts.wait(20)
        later.dict2cloud(NAME, make(2), verbose=False)
    return later


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("make", [same_names, other_names])
@pytest.mark.parametrize("meanwhile", ["nothing", "it is ended", "a third tree comes"])
def test_who_has_left_comes_back_where_nobody_is_at_work(
    store: Store, make: Callable[[int], Tree], meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    third, last, seen = store.interface(), 3 if meanwhile == "a third tree comes" else 2, list[int]()

    def left(cci: DefaultInterface) -> None:
        put = cci.backend_interface.put

        def put_late(key: str, *arguments: Any, **named: Any) -> Any:
            if meanwhile == "a third tree comes":
                third.dict2cloud(NAME, make(3), verbose=False)
            elif meanwhile == "it is ended":
                third._come_back(NAME, None, None)
            receipt = put(key, *arguments, **named)
            seen.append(number_of(third.cloud2dict(NAME, verbose=False), make))
            return receipt

        monkeypatch.setattr(cci.backend_interface, "put", put_late)

    _leave_to_each_other(store, make, monkeypatch, left=left)
    assert seen == [last]
    assert number_of(third.cloud2dict(NAME, verbose=False), make) == last
    assert ".upload-" not in "".join(store.raw.keys())


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("call", ["list_objects", "put", "copy"])
def test_who_cannot_come_back_has_stored_his_tree(
    store: Store, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*arguments: Any, **named: Any) -> Any:
        raise TransientError("no answer")

    def left(cci: DefaultInterface) -> None:
        monkeypatch.setattr(cci.backend_interface, call, failing)
        monkeypatch.setattr(cci.backend_interface, "begin_copy", lambda *arguments, **named: None)

    cci = _leave_to_each_other(store, same_names, monkeypatch, left=left)
    assert "waits beside its places" in caplog.text
    monkeypatch.undo()
    assert number_of(cci.cloud2dict(NAME, verbose=False), same_names) == 2
    assert "/started" not in "".join(store.raw.keys())
    assert_ends(cci, store, same_names, is_clean=True)


def _call_at_a_leaf(cci: DefaultInterface, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something done while the interface sends the second of its leaves."""
    backend, put = cci.backend_interface, cci.backend_interface.put

    def put_late(key: str, *arguments: Any, **named: Any) -> Any:
        if key == f"{NAME}/leaf1":
            call()
        return put(key, *arguments, **named)

    monkeypatch.setattr(backend, "put", put_late)
    monkeypatch.setattr(backend, "begin_put", lambda *arguments, **named: None)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("make", [same_names, other_names])
def test_another_waits_for_who_found_nobody(
    store: Store, make: Callable[[int], Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who found nobody does not look again. So who comes later brings his leaves to their places when that one ends."""
    monkeypatch.setattr(treeupload, "_SOON", math.inf)
    monkeypatch.setattr(treeupload, "_PATIENCE", math.inf)
    cci, other = store.interface(), store.interface()
    wait, waits = treeupload.time.sleep, threading.Event()

    def noted_wait(seconds: float) -> None:
        waits.set()
        wait(seconds)

    monkeypatch.setattr(treeupload.time, "sleep", noted_wait)
    with ThreadPoolExecutor(1) as pool:
        writing: list[Any] = []

        def begin() -> None:
            writing.append(pool.submit(other.dict2cloud, NAME, make(2), verbose=False))
            assert waits.wait(20)
            assert number_of(store.interface().cloud2dict(NAME, verbose=False), make) == 2

        _call_at_a_leaf(cci, begin, monkeypatch)
        cci.dict2cloud(NAME, make(1), verbose=False, threads=1)
        writing[0].result()
    assert number_of(cci.cloud2dict(NAME, verbose=False), make) == 2
    assert ".upload-" not in "".join(store.raw.keys())


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("make", [same_names, other_names])
def test_who_took_long_ends_what_another_left(
    store: Store, make: Callable[[int], Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(treeupload, "_SOON", 0.0)
    monkeypatch.setattr(treeupload, "_PATIENCE", 0.0)
    cci, other = store.interface(), store.interface()
    _call_at_a_leaf(cci, lambda: other.dict2cloud(NAME, make(2), verbose=False), monkeypatch)
    cci.dict2cloud(NAME, make(1), verbose=False, threads=1)
    assert number_of(cci.cloud2dict(NAME, verbose=False), make) == 1
    assert ".upload-" not in "".join(store.raw.keys())


@contextmanager
def _sending(store: Store, tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """One sends the first tree, and has come to its leaves; gives what has him end."""
    cci, at_leaf, go = store.interface(), threading.Event(), threading.Event()
    put = cci.backend_interface.put

    def put_late(key: str, *arguments: Any, **named: Any) -> Any:
        if "/.upload-" not in key:
            at_leaf.set()
            assert go.wait(20)
        return put(key, *arguments, **named)

    monkeypatch.setattr(cci.backend_interface, "put", put_late)
    monkeypatch.setattr(cci.backend_interface, "begin_put", lambda *arguments, **named: None)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(cci.dict2cloud, NAME, tree, verbose=False, threads=1)
        assert at_leaf.wait(20)

        def end() -> None:
            go.set()
            writing.result()

        try:
            yield end
        finally:
            go.set()


def _tear_first_look(cci: DefaultInterface, step: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the interface's first listing show what was there before a step of another, and the marks behind it."""
    look, looks = cci.backend_interface.list_objects, [True]

    def look_torn(*arguments: Any, **named: Any) -> Any:
        if not looks:
            return look(*arguments, **named)
        looks.pop()
        plain = [info for info in look(*arguments, **named) if "/.upload-" not in info.key]
        step()
        return iter([*(info for info in look(*arguments, **named) if "/.upload-" in info.key), *plain])

    monkeypatch.setattr(cci.backend_interface, "list_objects", look_torn)


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("make", [same_names, other_names])
def test_a_look_that_shows_two_moments(
    store: Store, make: Callable[[int], Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's leaves were not there yet when their names were looked for, and his mark no more when its was."""
    other = store.interface()
    with _sending(store, make(1), monkeypatch) as end:
        _tear_first_look(other, end, monkeypatch)
        other.dict2cloud(NAME, make(2), verbose=False)
    assert number_of(store.interface().cloud2dict(NAME, verbose=False), make) == 2


@pytest.mark.stores("local")
def test_names_that_a_directory_lists_before_the_mark(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other, scandir, me, waits = store.interface(), os.scandir, threading.get_ident(), [True]

    def slow(path: Any = ".") -> Any:
        if waits and threading.get_ident() == me and Path(os.fspath(path)).name.startswith(".upload-"):
            waits.pop()
            end()
        return scandir(path)

    with _sending(store, {"-1": np.ones(2), "+1": np.ones(2)}, monkeypatch) as end:
        monkeypatch.setattr(os, "scandir", slow)
        other.dict2cloud(NAME, {"-1": np.ones(3), "-2": np.ones(2)}, verbose=False)
    assert not waits
    assert store.interface().cloud2dict(NAME, verbose=False).keys() == {"-1", "-2"}


def met_by_another(store: Store, monkeypatch: pytest.MonkeyPatch, send: Callable[[Callable[[], Any], str], Any]) -> Any:
    """An interface that finds another's object beside its tree, when its leaves are in their places.

    Each of its objects is sent by ``send(put, key)``.
    """
    cci, other = store.interface(), store.interface()
    put = cci.backend_interface.put

    def meet_and_send(key: str, *arguments: Any, **named: Any) -> Any:
        if key == f"{NAME}/leaf1":
            other.upload_raw_array(f"{NAME}/another", np.ones(2))
        return send(partial(put, key, *arguments, **named), key)

    monkeypatch.setattr(treeupload, "_SOON", 0.0)
    monkeypatch.setattr(cci.backend_interface, "put", meet_and_send)
    monkeypatch.setattr(cci.backend_interface, "begin_put", lambda *arguments, **named: None)
    return cci


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("refused", ["/leaves/", "/complete-"])
def test_who_fails_when_he_sends_it_again_leaves_nothing(
    store: Store, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something had come when the leaves were in their places; somebody wrote over one of them."""
    other = store.interface()

    def send(put: Callable[[], Any], key: str) -> Any:
        if refused in key:
            other.upload_raw_array(f"{NAME}/leaf2", np.ones(5))
            raise AccessDenied("no room")
        return put()

    cci = met_by_another(store, monkeypatch, send)
    with pytest.raises(AccessDenied, match="no room"):
        cci.dict2cloud(NAME, same_names(1), verbose=False, threads=1)
    assert store.raw.keys() == [f"{NAME}/another", f"{NAME}/leaf2"]


@pytest.mark.stores("local")
@pytest.mark.parametrize("make", [same_names, other_names])
@pytest.mark.parametrize("fails", [False, True])
def test_who_is_missed_by_a_look_loses_nothing(
    store: Store, make: Callable[[int], Tree], fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, reader, got = store.interface(), store.interface(), list[int]()
    put = other.backend_interface.put

    def put_and_look(key: str, *arguments: Any, **named: Any) -> Any:
        if fails and key.endswith("leaf2"):
            raise AccessDenied("no room")
        receipt = put(key, *arguments, **named)
        got.append(number_of(reader.cloud2dict(NAME, verbose=False), make))
        return receipt

    with _sending(store, make(1), monkeypatch) as end:
        _tear_first_look(other, end, monkeypatch)
        monkeypatch.setattr(other.backend_interface, "put", put_and_look)
        with pytest.raises(AccessDenied) if fails else nullcontext():
            other.dict2cloud(NAME, make(2), verbose=False, threads=1)
    got.append(number_of(reader.cloud2dict(NAME, verbose=False), make))
    assert sorted(set(got[1:])) == ([1] if fails else [1, 2])
    assert got[1:] == sorted(got[1:])


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), TransientError("503")])
def test_leaves_that_cannot_be_removed_do_not_count(
    store: Store, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload fails, and so does its clean-up: the mark stays."""
    cci = store.interface()
    put, delete, puts = cci.backend_interface.put, cci.backend_interface.delete, itertools.count()

    def put_or_fail(key: str, *arguments: Any, **named: Any) -> Any:
        if next(puts) == 3:
            raise failure
        return put(key, *arguments, **named)

    def delete_or_fail(names: Any, *arguments: Any, **named: Any) -> Any:
        names = list(names)
        if not names[0].endswith("/started"):
            raise failure
        return delete(names, *arguments, **named)

    monkeypatch.setattr(cci.backend_interface, "put", put_or_fail)
    monkeypatch.setattr(cci.backend_interface, "delete", delete_or_fail)
    monkeypatch.setattr(cci.backend_interface, "begin_put", lambda *arguments, **named: None)
    with pytest.raises(type(failure)):
        cci.dict2cloud(NAME, same_names(1), verbose=False, threads=1)
    assert len(store.raw.keys()) > 1
    assert store.interface().cloud2dict(NAME, verbose=False) == {}


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("is_written", [False, True])
def test_where_the_answer_to_the_last_mark_is_lost_all_stays(
    store: Store, is_written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree may be there. Leaves in their places do not count, whether or not it is."""
    other = store.interface()

    def send(put: Callable[[], Any], key: str) -> Any:
        if "/complete-" not in key or is_written:
            receipt = put()
        if "/complete-" in key:
            raise TransientError("503")
        return receipt

    cci = met_by_another(store, monkeypatch, send)
    with pytest.raises(TransientError):
        cci.dict2cloud(NAME, same_names(1), verbose=False, threads=1)
    found = other.cloud2dict(NAME, verbose=False)
    assert found.pop("another").tolist() == [1, 1]
    assert number_of(found, same_names) == is_written
    other.dict2cloud(NAME, same_names(2), verbose=False)
    found = other.cloud2dict(NAME, verbose=False)
    assert number_of({name: leaf for name, leaf in found.items() if name != "another"}, same_names) == 2


@pytest.mark.stores("local", "moto")
def test_where_the_answer_to_the_last_mark_is_lost_nobody_waits_for_him(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of his was in its place, so his mark goes: else it would be taken for that of one who is at work."""
    cci = store.interface()
    cci.dict2cloud(NAME, same_names(1), verbose=False)
    put = cci.backend_interface.put

    def put_or_fail(key: str, *arguments: Any, **named: Any) -> Any:
        if "/complete-" in key:
            raise TransientError("503")
        return put(key, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(cci.backend_interface, "put", put_or_fail)
        with pytest.raises(TransientError):
            cci.dict2cloud(NAME, same_names(2), verbose=False)
    assert "/started" not in "".join(store.raw.keys())
    assert number_of(cci.cloud2dict(NAME, verbose=False), same_names) == 1
    cci.dict2cloud(NAME, same_names(3), verbose=False)
    assert number_of(cci.cloud2dict(NAME, verbose=False), same_names) == 3
    assert cci.download_raw_array(f"{NAME}/leaf1").tolist() == [3] * 4


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_tree_that_was_read_does_not_vanish(
    store: Store, when: str, is_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its upload took long, and somebody else is at work: before, or just after the mark is removed."""
    monkeypatch.setattr(treeupload, "_SOON", 0.0)
    cci, reader, got, killed = store.interface(), store.interface(), list[int](), list[bool]()
    put, delete = cci.backend_interface.put, cci.backend_interface.delete

    def look() -> None:
        number = number_of(reader.cloud2dict(NAME, verbose=False), same_names)
        if got[-1:] != [number]:
            got.append(number)

    def another_comes() -> None:
        reader.upload_object(f"{NAME}/.upload-{'1' * 16}/started", b"x")
        reader.upload_raw_array(f"{NAME}/.upload-{'1' * 16}/leaves/leaf0", np.ones(3))

    def put_and_look(key: str, *arguments: Any, **named: Any) -> Any:
        if killed:
            raise Killed
        if when == "before" and key == f"{NAME}/leaf1":
            another_comes()
        receipt = put(key, *arguments, **named)
        look()
        killed.extend([True] * (is_killed and "/leaves/" in key))
        return receipt

    def delete_and_look(*arguments: Any, **named: Any) -> Any:
        if killed:
            raise Killed
        deleted = delete(*arguments, **named)
        if when == "after" and not got.count(1):
            another_comes()
        look()
        return deleted

    monkeypatch.setattr(cci.backend_interface, "put", put_and_look)
    monkeypatch.setattr(cci.backend_interface, "delete", delete_and_look)
    monkeypatch.setattr(cci.backend_interface, "begin_put", lambda *arguments, **named: None)
    with suppress(Killed):
        cci.dict2cloud(NAME, same_names(1), verbose=False, threads=1)
    look()
    assert got == ([0] if is_killed and when == "before" else [0, 1])


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("read", ["keys", "parent", "beside"])
@pytest.mark.parametrize("is_tree_there", [True, False])
def test_what_counts_is_read_while_a_first_tree_is_sent(
    store: Store, read: str, is_tree_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each listing shows a leaf more of it; the tree of another who gave up waiting is there."""
    monkeypatch.setattr(treeupload, "_PATIENCE", 0.0)
    cci, other, version, sent = store.interface(), store.interface(), "1" * 16, itertools.count()
    cci.upload_object(f"{NAME}/.upload-{version}/started", b"x")
    if is_tree_there:
        other.dict2cloud(NAME, {"z1": np.ones(2), "z2": np.ones(3)}, verbose=False)
    else:
        cci.upload_raw_array(f"{NAME}/z1", np.ones(2))
    if read == "beside":
        cci.upload_raw_array(f"{NAME}/beside", np.ones(2))
    look = cci.backend_interface.list_objects

    def look_late(*arguments: Any, **named: Any) -> Any:
        other.upload_raw_array(f"{NAME}/a{next(sent)}", np.ones(2), tree="1-00000000-99", version=version)
        return look(*arguments, **named)

    monkeypatch.setattr(cci.backend_interface, "list_objects", look_late)
    expected = {"z1", "z2"} if is_tree_there else {"z1"}
    if read == "keys":
        assert cci.cloud2dict(NAME, keys=["z1"], verbose=False).keys() == {"z1"}
    elif read == "parent":
        assert cci.cloud2dict("exp", verbose=False)["t"].keys() == expected
    else:
        assert cci.cloud2dict(NAME, verbose=False).keys() == {*expected, "beside"}


@pytest.mark.stores("local")
@pytest.mark.parametrize(("seconds", "beside", "waits"), [(0, "", True), (60, "", False), (0, "leaves/a", False)])
def test_who_is_waited_for(
    store: Store, seconds: int, beside: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one who began long ago, and looks again, or was killed; nor one whose leaves wait, who looks in any case."""
    cci, folder = store.interface(), f"{NAME}/.upload-{'1' * 16}"
    for name in ("started", *([beside] if beside else [])):
        cci.upload_object(f"{folder}/{name}", b"x")
    for path in Path(store.container, folder).rglob("*"):
        os.utime(path, times=(time.time() - seconds,) * 2)
    waited: list[float] = []
    watch = type("Watch", (), {"seconds": property(lambda _: sum(waited))})
    monkeypatch.setattr(treeupload, "_Watch", watch)
    monkeypatch.setattr(treeupload.time, "sleep", waited.append)
    cci.dict2cloud(NAME, same_names(1), verbose=False)
    assert bool(waited) == waits
    assert not waited or treeupload._PATIENCE <= sum(waited) < treeupload._PATIENCE + 1
    assert number_of(cci.cloud2dict(NAME, verbose=False), same_names) == 1


@pytest.mark.stores("local", "moto")
def test_a_reader_who_listed_the_old_tree_misses_no_leaf_of_the_new_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cci, other = store.interface(), store.interface()
    other.dict2cloud(NAME, {"a": np.zeros(3)}, verbose=False)
    new, look = {"a": np.ones(3), "b": np.ones(2)}, cci.backend_interface.list_objects
    writes = [lambda: other.dict2cloud(NAME, new, verbose=False)]

    def look_early(*arguments: Any, **named: Any) -> Any:
        found = list(look(*arguments, **named))
        if writes:
            writes.pop()()
        return iter(found)

    monkeypatch.setattr(cci.backend_interface, "list_objects", look_early)
    assert cci.cloud2dict(NAME, verbose=False).keys() == new.keys()


@pytest.mark.stores("local")
def test_a_store_whose_listings_have_other_e_tags_can_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci = store.interface()
    cci.dict2cloud(NAME, same_names(1), verbose=False)
    look = cci.backend_interface.list_objects
    monkeypatch.setattr(
        cci.backend_interface,
        "list_objects",
        lambda *arguments, **named: (replace(info, e_tag='"of its own"') for info in look(*arguments, **named)),
    )
    assert number_of(cci.cloud2dict(NAME, verbose=False), same_names) == 1


@pytest.mark.stores("local", "moto")
@CASES
def test_two_as_they_come(store: Store, make: Callable[[int], Tree], there: bool) -> None:
    came = Races(store, make, 0, there=there).run(5)
    assert came["at last a new tree"] == 5
    assert not [what for what in came if what.startswith(("MEANWHILE", "a writer's"))]


def _listed_in_steps(store: Store, cci: DefaultInterface, steps: list[Callable[[], object]]) -> Any:
    """Have the keys of the first listings looked up in two halves, with a step of another between them.

    As in a listing of several pages, or of a server that has its keys on several machines.
    """
    look = cci.backend_interface.list_objects

    def look_twice(*arguments: Any, **named: Any) -> Any:
        if not steps:
            return look(*arguments, **named)
        first = [info for info in look(*arguments, **named) if "/.upload-" in info.key]
        steps.pop(0)()
        return iter([*first, *(info for info in look(*arguments, **named) if "/.upload-" not in info.key)])

    return look_twice


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("names", ["abc", "a", "xyz"])
@pytest.mark.parametrize("wanted", [None, ["z"]])
def test_a_listing_that_shows_two_moments(
    store: Store, names: str, wanted: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old leaves are gone, and the new ones not there yet; or not all of them."""
    cci, other = store.interface(), store.interface()
    other.dict2cloud(NAME, {"z": np.zeros(3), "zz": np.zeros(2)}, verbose=False)
    new = {name: np.ones(3) for name in names}
    backend, go, stopped = other.backend_interface, threading.Event(), threading.Event()
    copy = backend.copy

    def slow(source: str, key: str, **named: Any) -> Any:
        if key == f"{NAME}/{max(new)}":
            stopped.set()
            assert go.wait(20)
        return copy(source, key, **named)

    monkeypatch.setattr(backend, "copy", slow)
    monkeypatch.setattr(backend, "begin_copy", lambda *arguments: None)
    with ThreadPoolExecutor(1) as pool:

        def begin() -> None:
            writing.append(pool.submit(other.dict2cloud, NAME, new, verbose=False, threads=1))
            assert stopped.wait(20)

        writing: list[Any] = []
        monkeypatch.setattr(cci.backend_interface, "list_objects", _listed_in_steps(store, cci, [begin]))
        try:
            if wanted and "z" not in new:
                with pytest.raises(KeyError, match="'z'"):
                    cci.cloud2dict(NAME, keys=wanted, verbose=False)
            else:
                found = cci.cloud2dict(NAME, keys=wanted, verbose=False)
                assert sorted(found) == sorted(wanted or new)
                assert all(array.tolist() == [1, 1, 1] for array in found.values())
        finally:
            go.set()
        writing[0].result()


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("beside", [[], ["leaves/leaf0"]])
@pytest.mark.parametrize("lacking", [[{"group/leaf1", "mask"}, {"mask"}], [{"mask"}], [set(same_names(1)), set()]])
def test_a_listing_that_shows_a_part_and_the_mark_of_another(
    store: Store, beside: list[str], lacking: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a directory, when another tree was not all there; then that was, and somebody else began to send one."""
    cci = store.interface()
    cci.dict2cloud(NAME, same_names(1), verbose=False)
    for name in ("started", *beside):
        cci.upload_object(f"{NAME}/.upload-{'1' * 16}/{name}", b"x")
    look, left = cci.backend_interface.list_objects, lacking.copy()

    def look_early(*arguments: Any, **named: Any) -> Any:
        names = left.pop(0) if left else set()
        there = ((info.key.removeprefix(f"{NAME}/"), info) for info in look(*arguments, **named))
        return (info for name, info in there if name not in names and name.partition("/")[0] not in names)

    monkeypatch.setattr(cci.backend_interface, "list_objects", look_early)
    assert number_of(cci.cloud2dict(NAME, verbose=False), same_names) == 1


@pytest.mark.stores("local", "moto")
def test_a_key_that_is_not_there_is_refused_beside_all_that_are(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud(NAME, {"a": np.zeros(3), "b": np.zeros(2)}, verbose=False)
    with pytest.raises(KeyError, match="'c'"):
        cci.cloud2dict(NAME, keys=["a", "b", "c"], verbose=False)


@pytest.mark.stores("local", "moto")
def test_a_tree_that_lacks_a_leaf_is_read(store: Store) -> None:
    """Somebody removed it on purpose, and put something else there."""
    cci = store.interface()
    cci.dict2cloud(NAME, {"a": np.zeros(3), "b": np.zeros(2)}, verbose=False)
    cci.rm(f"{NAME}/a")
    assert cci.cloud2dict(NAME, verbose=False).keys() == {"b"}
    cci.upload_raw_array(f"{NAME}/c", np.ones(2))
    assert cci.cloud2dict(NAME, verbose=False).keys() == {"b", "c"}


@pytest.mark.stores("local", "moto")
def test_a_reader_finds_nothing_while_the_first_tree_is_sent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cci, other, reads = store.interface(), store.interface(), list[Any]()
    backend, put = cci.backend_interface, cci.backend_interface.put

    def put_and_look(key: str, *arguments: Any, **named: Any) -> Any:
        receipt = put(key, *arguments, **named)
        reads.append(other.cloud2dict(NAME, verbose=False))
        return receipt

    monkeypatch.setattr(backend, "put", put_and_look)
    monkeypatch.setattr(backend, "begin_put", lambda *arguments, **named: None)
    cci.dict2cloud(NAME, same_names(1), verbose=False, threads=1)
    assert reads == [{}] * len(reads)
    assert len(reads) > 4

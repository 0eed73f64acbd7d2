"""Ctrl-C at any moment: the old is there or the new, nothing half done stays, and nobody is kept waiting."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from recorder import Request, Response
from stores import BOTH_WIRES, Recorded

from cottoncandy import interrupts
from cottoncandy.allornothing import Parts
from cottoncandy.errors import AccessDenied, ObjectNotFound, TransientError
from cottoncandy.parallel import for_each
from cottoncandy.pools import ahead

#: Seconds, far below the minute for which an answer is waited for and the three for which one tries again.
SOON = 20
TIMEOUT = 60


# Ctrl-C at the moment at which a socket is opened leaves it to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def forgotten_sockets() -> Iterator[None]:
    """No later test is told of them."""
    yield
    gc.collect()


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What a hook waits for that does not answer."""
    event = threading.Event()
    yield event
    event.set()


# ---------------------------------------------------------------------- nothing half done
def small_tree(number: int) -> Any:
    return {f"d{i % 2}": {f"leaf{j}": np.full(10, number) for j in range(2)} for i in range(2)}


def large_tree(number: int) -> Any:
    return {f"leaf{i}": np.full(20_000, number) for i in range(4)}


def sparse(number: int) -> Any:
    return scipy.sparse.csr_matrix(np.full((3, 4), number))


def dense(number: int) -> Any:
    return np.full((4, 5), number)


def first_leaf(tree: Any) -> Any:
    leaf = tree
    while isinstance(leaf, dict):
        assert len(leaf) in {2, 4}  # all of it
        leaf = next(iter(leaf.values()))
    return leaf


# what is uploaded, how, and one number of what is read; the readers raise where there is nothing
KINDS: dict[str, tuple[Callable[[int], Any], Callable[[Any, Any], Any], Callable[[Any], int]]] = {
    "small tree": (
        small_tree,
        lambda cci, tree: cci.dict2cloud("it", tree, verbose=False),
        lambda cci: first_leaf(cci.cloud2dict("it", verbose=False))[0],
    ),
    "large tree": (
        large_tree,
        lambda cci, tree: cci.dict2cloud("it", tree, verbose=False),
        lambda cci: first_leaf(cci.cloud2dict("it", verbose=False))[0],
    ),
    "sparse": (
        sparse,
        lambda cci, array: cci.upload_sparse_array("it", array),
        lambda cci: cci.download_sparse_array("it").toarray()[0, 0],
    ),
    "chunks": (
        dense,
        lambda cci, array: cci.upload_dask_array("it", array, axis=0, buffersize=80),
        lambda cci: cci.download_dask_array("it").compute()[0, 0],
    ),
}


def number_there(cci: Any, read: Callable[[Any], int]) -> int:
    """The number of what readers get; 0 where that is nothing."""
    if not cci.exists_object("it/metadata.json") and not cci.glob("it/*", verbose=False):
        return 0
    try:
        return int(read(cci))
    except (ObjectNotFound, IndexError):
        return 0


def interrupted_at(recorded: Recorded, moment: int, act: Callable[[], object]) -> bool:
    """Act, and press Ctrl-C when the store has the request of this number; whether that was before its end."""
    count = itertools.count(1)

    def hook(_: Request) -> None:
        if next(count) == moment:
            press_ctrl_c()

    recorded.proxy.hook = hook
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        recorded.proxy.hook = None
    return False


@BOTH_WIRES
@pytest.mark.parametrize("kind", [*KINDS])
def test_what_is_new_is_there_or_nothing(recorded: Recorded, kind: str) -> None:
    make, send, read = KINDS[kind]
    store = recorded.store
    for moment in itertools.count(1):
        was_interrupted = interrupted_at(recorded, moment, lambda: send(store.interface(), make(1)))
        if not was_interrupted:
            break
        got = number_there(store.interface(), read)
        assert got in {0, 1}
        if got == 0:
            assert store.raw.keys() == [], moment
        for key in [*store.raw.keys()]:
            store.raw.delete(key)
    assert moment > 4


@pytest.mark.parametrize("kind", [*KINDS])
def test_what_is_replaced_is_the_old_or_the_new(recorded: Recorded, kind: str) -> None:
    make, send, read = KINDS[kind]
    store = recorded.store
    send(store.interface(), make(1))
    plain = sorted(store.raw.keys())
    for moment in itertools.count(1):
        was_interrupted = interrupted_at(recorded, moment, lambda: send(store.interface(), make(2)))
        got = number_there(store.interface(), read)
        assert got in ({1, 2} if was_interrupted else {2}), moment
        if got == 1:
            assert sorted(store.raw.keys()) == plain, moment
        if not was_interrupted:
            break
        send(store.interface(), make(1))
        assert number_there(store.interface(), read) == 1
        plain = sorted(store.raw.keys())
    assert moment > 6


def test_ctrl_c_while_it_is_cleaned_up_behind_a_refusal(recorded: Recorded) -> None:
    """Once is not twice: nothing stays."""
    make, send, _ = KINDS["sparse"]
    store, refused = recorded.store, Response(403, b"<Error><Code>AccessDenied</Code></Error>")
    pressed_at = []
    for moment in itertools.count():
        behind: Iterator[int] = iter(())

        def hook(request: Request, moment: int = moment) -> Response | None:
            nonlocal behind
            if request.method == "PUT" and request.path.endswith("metadata.json"):
                behind = itertools.count()
                return refused
            if next(behind, None) == moment:
                pressed_at.append(request.method)
                press_ctrl_c()
            return None

        recorded.proxy.hook = hook
        with pytest.raises((AccessDenied, KeyboardInterrupt)) as raised:
            send(store.interface(), make(1))
        recorded.proxy.hook = None
        assert store.raw.keys() == [], moment
        assert len(pressed_at) <= moment + 1
        if raised.type is not KeyboardInterrupt:
            break
    assert {"GET", "POST"} <= set(pressed_at)


# ---------------------------------------------------------------------- nobody is kept waiting
def ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("cottoncandy")}


def ended_soon(act: Callable[[], object]) -> bool:
    before, began = ours(), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        act()
    assert ours() <= before
    return time.monotonic() - began < SOON


@pytest.mark.lean_wire("botocore's connections are not ours to break off")
def test_a_server_that_does_not_answer_those_who_read(recorded: Recorded, released: threading.Event) -> None:
    cci = recorded.store.interface()
    cci.dict2cloud("it", {f"leaf{i:02}": np.arange(200_000) for i in range(12)}, verbose=False)
    stalled = itertools.count(1)

    def hook(request: Request) -> None:
        if request.method == "GET" and "leaf" in request.path:
            if next(stalled) == 3:
                press_ctrl_c()
            released.wait(TIMEOUT)

    recorded.proxy.hook = hook
    assert ended_soon(lambda: cci.cloud2dict("it", verbose=False, threads=4))


@BOTH_WIRES
@pytest.mark.parametrize("write", [False, True])
def test_a_server_that_is_too_busy(recorded: Recorded, write: bool) -> None:
    cci = recorded.store.interface()
    tree = {f"leaf{i:02}": np.arange(20_000) for i in range(12)}
    cci.dict2cloud("it", tree, verbose=False, threads=4)
    refused = itertools.count(1)

    def hook(request: Request) -> Response | None:
        if request.method != ("PUT" if write else "GET") or "leaf" not in request.path:
            return None
        if next(refused) == 4:
            press_ctrl_c()
        return Response(503, b"<Error><Code>SlowDown</Code></Error>", {"Retry-After": "25"})

    recorded.proxy.hook = hook
    assert ended_soon(
        lambda: (
            cci.dict2cloud("it", tree, verbose=False, threads=4)
            if write
            else cci.cloud2dict("it", verbose=False, threads=4)
        )
    )


@pytest.mark.lean_wire("botocore's connections are not ours to break off")
def test_who_insists_does_not_wait_for_those_who_write(
    recorded: Recorded, released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    cci, heard = recorded.store.interface(), threading.Event()
    stalled, cancel = itertools.count(1), interrupts.CancelScope.cancel
    monkeypatch.setattr(interrupts.CancelScope, "cancel", lambda scope: (heard.set(), cancel(scope)))

    def hook(request: Request) -> None:
        if request.method == "PUT" and "leaf" in request.path:
            if next(stalled) == 4:
                press_ctrl_c()
                assert heard.wait(TIMEOUT)
                released.wait(0.5)  # as a hand does: the caller waits by then
                press_ctrl_c()
            released.wait(TIMEOUT)

    recorded.proxy.hook = hook
    tree = {f"leaf{i:02}": np.arange(200_000) for i in range(12)}
    assert ended_soon(lambda: cci.dict2cloud("it", tree, verbose=False, threads=4))
    keys = recorded.store.raw.keys()
    assert [key.rpartition("/")[2] for key in keys] == ["started"]
    released.set()
    while len(recorded.store.raw.keys()) < 2:  # they arrive behind the clean-up, and count for nothing
        released.wait(0.01)
    assert recorded.store.interface().cloud2dict("it", verbose=False) == {}


@pytest.mark.lean_wire("botocore's connections are not ours to break off")
def test_a_read_that_begins_when_all_is_cancelled(recorded: Recorded, released: threading.Event) -> None:
    backend = recorded.store.interface().backend_interface
    backend.put("name", b"x", {})
    recorded.proxy.hook = lambda _: released.wait(TIMEOUT) and None
    scope, began = interrupts.CancelScope(), time.monotonic()
    scope.cancel()
    with pytest.raises(TransientError):
        scope.run(lambda: backend.stat("name"))
    assert time.monotonic() - began < SOON


@pytest.mark.lean_wire("botocore's connections are not ours to break off")
def test_a_listing_that_is_read_ahead(recorded: Recorded, released: threading.Event) -> None:
    cci = recorded.store.interface()
    cci.upload_object("name", b"x")

    def stall(_: Request) -> None:
        press_ctrl_c()
        released.wait(TIMEOUT)

    def names() -> Iterator[object]:
        while True:
            yield cci.backend_interface.stat("name")

    recorded.proxy.hook = stall
    assert ended_soon(lambda: list(ahead(names())))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- what else Ctrl-C may mean, and where
def test_a_program_that_only_takes_note_of_it_goes_on(recorded: Recorded, request: pytest.FixtureRequest) -> None:
    wishes: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: wishes.append(number))
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    cci, count = recorded.store.interface(), itertools.count(1)

    def hook(request: Request) -> Response | None:
        if next(count) % 5 == 0:
            press_ctrl_c()
            return Response(503, b"<Error><Code>SlowDown</Code></Error>")
        return None

    recorded.proxy.hook = hook
    cci.dict2cloud("it", large_tree(1), verbose=False)
    assert first_leaf(cci.cloud2dict("it", verbose=False))[0] == 1
    assert wishes


def test_a_refusal_while_ctrl_c_is_put_off_removes_the_parts() -> None:
    removed: list[int] = []

    def refuse() -> None:
        with Parts(lambda: removed.append(1)) as parts, parts.naming():
            press_ctrl_c()
            raise AccessDenied("no")

    with pytest.raises(KeyboardInterrupt):
        refuse()
    assert removed == [1]


def test_a_part_of_the_work_is_not_taken_for_all_of_it() -> None:
    """What fails beside it keeps the rest from being done: who goes on behind that would complete what is not whole."""
    began, failed = threading.Event(), threading.Event()
    completed: list[int] = []

    def inner(number: int) -> None:
        if number == 1:
            began.set()
            assert failed.wait(TIMEOUT)

    def work(item: int) -> None:
        if item == 0:
            assert began.wait(TIMEOUT)
            raise ValueError("the first one")
        for_each(inner, iter(range(1000)), 2)
        completed.append(item)

    class Scope(interrupts.CancelScope):
        def cancel(self) -> None:
            super().cancel()
            failed.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupts, "CancelScope", Scope)
        with pytest.raises(ValueError, match="the first one"):
            for_each(work, [0, 1], 2)
    assert completed == []


def run(script: str) -> str:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=True, cwd=root
    )
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="of POSIX")
def test_a_child_that_another_thread_forks_hears_it() -> None:
    assert (
        run("""
import os, signal, threading
from cottoncandy import interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)
inside, over = threading.Event(), threading.Event()
def fork():
    inside.wait()
    child = os.fork()
    if not child:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            print("goes on", flush=True)
        except KeyboardInterrupt:
            print("interrupted", interrupts.is_cancelled(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    over.set()
threading.Thread(target=fork).start()
with interrupts.put_off():
    inside.set()
    over.wait()
""")
        == "interrupted False\n"
    )


def test_a_program_whose_main_thread_is_not_pythons() -> None:
    assert (
        run("""
import _thread, time
said = []
def work():  # who imports threading first has the thread that it takes for the main one
    try:
        from cottoncandy.interrupts import put_off
        with put_off():
            said.append("works")
    except BaseException as error:
        said.append(repr(error))
_thread.start_new_thread(work, ())
while not said:
    time.sleep(0.01)
print(said[0])
""")
        == "works\n"
    )

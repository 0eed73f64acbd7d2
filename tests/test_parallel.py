"""Bounded threads: order, laziness, the first failure, Ctrl-C."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path

import pytest

from cottoncandy.interrupts import undisturbed
from cottoncandy.parallel import Pace, for_each
from cottoncandy.pools import chained, map_threads

TIMEOUT = 30


def run_for_each(function: Callable[[int], object], items: Iterator[int], threads: int) -> None:
    for_each(function, items, threads)


def run_map(function: Callable[[int], object], items: Iterator[int], threads: int) -> None:
    for _ in map_threads(function, items, threads):
        pass


both = pytest.mark.parametrize("run", [run_for_each, run_map])
any_threads = pytest.mark.parametrize("threads", [0, 1, 2, 7])


@any_threads
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    release = threading.Event()

    def slow_first(item: int) -> int:
        if item == 0 and threads > 1:
            release.wait(TIMEOUT)
        else:
            release.set()
        return item * item

    assert list(map_threads(slow_first, range(50), threads)) == [item * item for item in range(50)]


@any_threads
@both
def test_every_item_once(run: Callable[..., None], threads: int) -> None:
    seen: list[int] = []
    run(seen.append, iter(range(1000)), threads)
    assert sorted(seen) == list(range(1000))


@both
def test_no_items(run: Callable[..., None]) -> None:
    run(pytest.fail, iter(()), 4)


@both
def test_as_many_at_once_as_there_are_threads(run: Callable[..., None]) -> None:
    # each waits for the two others: with fewer threads none would get past
    barrier = threading.Barrier(3, timeout=TIMEOUT)
    run(lambda _: barrier.wait(), iter(range(9)), 3)


@both
def test_never_more_at_once_than_threads(run: Callable[..., None]) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def enter(_: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        os.sched_yield()
        with lock:
            under_way -= 1

    run(enter, iter(range(500)), 3)
    assert 1 <= most <= 3


def test_one_item_needs_no_waiting_thread() -> None:
    before = threading.active_count()
    during: list[int] = []
    for_each(lambda _: during.append(threading.active_count()), [1], 16)
    assert during[0] <= before + 1
    assert threading.active_count() == before


def test_few_items_are_taken_ahead_of_their_results() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = map_threads(abs, items(), 3, window=5)
    assert list(islice(results, 10)) == list(range(1, 11))
    assert taken <= 10 + 5
    results.close()  # type: ignore[attr-defined]


def test_nothing_starts_before_the_first_result_is_asked_for() -> None:
    drawn: list[int] = []
    map_threads(abs, (drawn.append(item) or item for item in [1]), 4)
    assert drawn == []


def test_a_caller_that_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    for result in map_threads(abs, count(1), 4):
        if result == 3:
            break
    gc.collect()
    assert threading.active_count() == before


@any_threads
@both
def test_the_first_failure_is_raised_and_stops_the_rest(run: Callable[..., None], threads: int) -> None:
    called: list[int] = []

    def fail_at_ten(item: int) -> None:
        called.append(item)
        if item == 10:
            raise KeyError("ten")

    with pytest.raises(KeyError, match="ten"):
        run(fail_at_ten, count(), threads)
    # some that were drawn already may run; an endless stream of items ends
    assert len(called) < 10_000


@both
def test_those_under_way_are_waited_for_after_a_failure(run: Callable[..., None]) -> None:
    started, finished = threading.Event(), threading.Event()

    def work(item: int) -> None:
        if item == 0:
            started.set()
            threading.Event().wait(0.2)
            finished.set()
        else:
            started.wait(TIMEOUT)
            raise ValueError(item)

    with pytest.raises(ValueError, match="1"):
        run(work, iter([0, 1]), 2)
    assert finished.is_set()


@both
def test_a_failure_of_the_items_is_raised(run: Callable[..., None]) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("the listing broke")

    with pytest.raises(LookupError, match="the listing broke"):
        run(abs, items(), 4)


@both
def test_keyboard_interrupt_in_a_thread_reaches_the_caller(run: Callable[..., None]) -> None:
    def interrupt(item: int) -> None:
        if item == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupt, count(), 3)


def test_ctrl_c_while_helpers_are_waited_for() -> None:
    """The caller has nothing left to do, and waits: he goes on waiting, and raises it then."""
    ended: list[int] = []

    def work(item: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            ended.append(item)

    both_work = threading.Barrier(2, timeout=TIMEOUT)
    with pytest.raises(KeyboardInterrupt):
        for_each(lambda item: (both_work.wait(), work(item)), [1, 2], 2)
    assert len(ended) == 1


@both
def test_nested_calls_do_not_wait_for_each_other(run: Callable[..., None]) -> None:
    seen: list[int] = []

    def outer(item: int) -> None:
        run(
            lambda inner: run(lambda inmost: seen.append(item + inner + inmost), iter([100, 200]), 2), iter([10, 20]), 2
        )

    run(outer, iter([1, 2]), 2)
    assert sorted(seen) == sorted(i + j + k for i in (1, 2) for j in (10, 20) for k in (100, 200))


@both
def test_items_are_let_go_after_a_failure(run: Callable[..., None]) -> None:
    class Large:
        pass

    items = [Large(), Large(), Large()]
    references = [weakref.ref(item) for item in items]

    def fail(_: object) -> None:
        raise ValueError("no")

    gc.disable()  # no circle may keep a large array until the collector comes by
    try:
        with pytest.raises(ValueError, match="no") as caught:
            run(fail, iter(items), 2)
        del caught
        items.clear()
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()


# `map` not while a thread is being started: the standard library's pool loses sight of it, and it may finish the one
# call that it has begun
INTERRUPTED = """
import signal, sys, threading
from cottoncandy.parallel import for_each
from cottoncandy.pools import map_threads

# a shell lets what it starts in the background ignore it
signal.signal(signal.SIGINT, signal.default_int_handler)
done = []
def work(item):
    if item == 2:  # both threads are there
        print("working", flush=True)
    threading.Event().wait(0.3)
    done.append(item)

try:
    if sys.argv[1] == "map":
        list(map_threads(work, range(10**6), 2))
    else:
        for_each(work, range(10**6), 2)
except KeyboardInterrupt:
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    print("interrupted", len(threads), len(done) < 100)
"""


@pytest.mark.parametrize("call", ["map", "for_each"])
def test_ctrl_c_stops_it_within_a_call(call: str) -> None:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", INTERRUPTED, call]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env={"PYTHONPATH": str(root)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted 0 True\n"
    assert process.returncode == 0


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_at_once_leaves_nothing_done_that_is_not_undone() -> None:
    done: list[int] = []
    undone: list[int] = []

    def act(number: int) -> int:
        interrupt()
        done.append(number)
        return number

    for number in range(200):
        with pytest.raises(KeyboardInterrupt):
            undisturbed(partial(act, number), undone.append)
    assert undone == done == list(range(200))


def test_ctrl_c_is_not_lost_when_the_call_fails_and_not_kept_from_who_insists() -> None:
    def fail() -> None:
        interrupt()
        raise OSError("no connection")

    def insist() -> None:
        interrupt()
        interrupt()
        raise AssertionError("goes on")

    for act in (fail, insist):
        with pytest.raises(KeyboardInterrupt):
            undisturbed(act, lambda _: None)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_that_takes_ctrl_c_for_a_wish_goes_on(request: pytest.FixtureRequest) -> None:
    wishes: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: wishes.append(number))
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    undone: list[None] = []
    assert undisturbed(interrupt, undone.append) is None
    assert wishes == [signal.SIGINT]
    assert undone == []


def test_ctrl_c_is_not_lost_where_the_standard_library_stumbles_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Thread.start` waits for a condition, which makes a RuntimeError of it when it comes at a bad moment."""
    start = threading.Thread.start

    def stumble(thread: threading.Thread) -> None:
        start(thread)
        lock = threading.Lock()
        try:
            raise KeyboardInterrupt
        finally:
            lock.release()

    monkeypatch.setattr(threading.Thread, "start", stumble)
    with pytest.raises(KeyboardInterrupt):
        for_each(lambda _: time.sleep(0.001), range(100), 2)


def test_ctrl_c_while_a_thread_is_started_leaves_none_at_work(request: pytest.FixtureRequest) -> None:
    """The helper is waited for that Ctrl-C hid from who started it."""
    began, ended = [], []
    here = threading.get_ident()

    def at_first_step(*_: object) -> None:
        sys.setprofile(None)
        interrupt()

    def work(item: int) -> None:
        if threading.get_ident() != here:
            began.append(item)
            time.sleep(0.002)
            ended.append(item)

    threading.setprofile(at_first_step)
    request.addfinalizer(lambda: threading.setprofile(None))
    for _ in range(100):
        with pytest.raises(KeyboardInterrupt):
            for_each(work, count(), 2)
        assert sorted(ended) == sorted(began)


# ------------------------------------------------------------------ streams
def numbers(first: int, stop: int, closed: list[int]) -> Generator[int, None, None]:
    try:
        yield from range(first, stop)
    finally:
        closed.append(first)


def test_streams_come_one_behind_the_other() -> None:
    closed: list[int] = []
    found = list(chained((numbers(10 * i, 10 * i + i, closed) for i in range(5)), threads=3, waiting=2))
    assert found == [10, 20, 21, 30, 31, 32, 40, 41, 42, 43]
    assert sorted(closed) == [0, 10, 20, 30, 40]


def test_a_caller_that_stops_early_closes_the_streams() -> None:
    closed: list[int] = []
    stream = chained((numbers(10 * i, 10 * i + 10, closed) for i in range(50)), threads=3, waiting=2)
    assert [next(stream) for _ in range(12)] == list(range(12))
    stream.close()
    assert sorted(closed) == [0, 10, 20, 30]
    assert not [thread for thread in threading.enumerate() if re.fullmatch(r"cottoncandy(_\d+)?", thread.name)]


def test_a_stream_that_is_kept_does_not_keep_the_interpreter_from_its_end() -> None:
    script = """
from itertools import count
from cottoncandy.pools import ahead, chained
kept = [chained(((i for i in count()) for _ in count()), 3, 2), ahead(i for i in count())]
print([next(stream) for stream in kept])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert ended.stdout == "[0, 0]\n"


# ------------------------------------------------------------------ small calls
def test_so_many_threads_as_were_of_use_begin_at_once() -> None:
    pace = Pace()
    pace.took(seconds=0.05, computing=0.001)
    together = threading.Barrier(20, timeout=TIMEOUT)  # no call ends before so many have begun
    for_each(lambda _: together.wait(), range(20), 2, most=20, pace=pace)
    pace.begin()
    assert pace.of_use == 1  # what is not measured again is forgotten
    for_each(lambda _: time.sleep(0.01), range(20), 2, most=20, pace=pace)
    assert pace.of_use > 2

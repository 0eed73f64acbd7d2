"""Small leaves of trees: one request each, whose answers are read later. On the wire, and when it breaks."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import math
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from selectors import DefaultSelector
from typing import Any

import numpy as np
import pytest
from botocore.config import Config
from recorder import Fault, Request, Response
from s3_wire import error
from stores import Recorded

import cottoncandy
from benchmarks.server.running import running
from cottoncandy.backends.s3.lean import connections
from cottoncandy.errors import AccessDenied, ChecksumMismatch, TransientError
from cottoncandy.interfaces.arrays import treeupload
from cottoncandy.pipelines import Begun, Busy, run_ahead

pytestmark = pytest.mark.lean_wire("botocore's connections answer at once")

TREE = {f"{number:02}": np.full(500, float(number)) for number in range(40)}
LARGE = np.arange(20_000.0)


def names(proxy: Any, method: str) -> Counter[str]:
    """How often each leaf was asked for."""
    leaf = (request.path.rpartition("/")[2] for request in proxy.requests if request.method == method)
    return Counter(name for name in leaf if name in TREE or name == "large")


def assert_same_tree(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


# ---------------------------------------------------------------------- on the wire
@pytest.mark.parametrize("compression", [False, True, "Zstd-blocks"])
def test_one_request_each(recorded: Recorded, compression: str | bool) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.dict2cloud("t", TREE, compression=compression, verbose=False)
    assert names(proxy, "PUT") == Counter(dict.fromkeys(TREE, 1))
    proxy.clear()
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)
    assert names(proxy, "GET") == Counter(dict.fromkeys(TREE, 1))
    assert len(proxy.requests) == len(TREE) + 1  # and the listing


@pytest.mark.parametrize("keys", [{}, {"encryption_key": bytes(32)}])
def test_many_are_under_way_at_once(
    recorded: Recorded, keys: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer comes when the twentieth request has; and no more are sent than one is content with."""
    monkeypatch.setattr(connections, "_AT_ONCE", 60)  # however busy the machine is
    store, proxy = recorded
    cci, come, twenty, most = store.interface(**keys), itertools.count(1), threading.Event(), []
    lock, under_way = threading.Lock(), [0]

    def hook(request: Request) -> None:
        if request.method != "PUT" or request.path.rpartition("/")[2] not in TREE:
            return
        with lock:
            under_way[0] += 1
            most.append(under_way[0])
        if next(come) >= 20:
            twenty.set()
        assert twenty.wait(30)
        with lock:
            under_way[0] -= 1

    proxy.hook = hook
    cci.dict2cloud("t", TREE, verbose=False, threads=24)
    proxy.hook = None
    assert 20 <= max(most) <= 24
    proxy.clear()
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)
    assert names(proxy, "GET") == Counter(dict.fromkeys(TREE, 1))


def test_one_thread_means_one_request_at_a_time(recorded: Recorded) -> None:
    store, proxy = recorded
    cci, tree = store.interface(), {"large": LARGE, **TREE}
    cci.dict2cloud("t", tree, verbose=False, threads=1)
    proxy.clear()
    assert_same_tree(cci.cloud2dict("t", verbose=False, threads=1), tree)
    assert len({request.connection for request in proxy.requests if request.method == "GET"}) == 1


def test_large_leaves_among_small_ones(recorded: Recorded) -> None:
    store, proxy = recorded
    cci, tree = store.interface(), {"00": TREE["00"], "large": LARGE, "01": TREE["01"], "empty": np.empty((0, 2))}
    cci.dict2cloud("t", tree, compression=False, verbose=False)
    assert_same_tree(cci.cloud2dict("t", verbose=False), tree)
    assert max(names(proxy, "PUT").values()) == max(names(proxy, "GET").values()) == 1


@pytest.mark.parametrize("more", [{}, {"large": LARGE}])
def test_rivals_are_looked_for_when_the_last_leaf_stands(
    recorded: Recorded, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier look would miss who begins behind it, and writes over some leaves before the others are there."""
    monkeypatch.setattr(treeupload, "_SOON", 0.0)
    store, proxy = recorded
    cci, standing = store.interface(), []

    def hook(request: Request) -> None:
        if request.method == "GET" and "list-type" in request.query:
            standing.append(sum(request.status == 200 for request in proxy.requests if "/t/" in request.path))

    proxy.hook = hook
    tree = {**TREE, **more}
    cci.dict2cloud("t", tree, compression=False, verbose=False)
    # when the mark stands, beside the leaves, when they stand, and when the mark is gone
    assert len(standing) == 4
    assert standing[2] >= len(tree) + 1  # and the mark


@pytest.mark.parametrize("milliseconds", [0, 30])
@pytest.mark.parametrize("at_once", [0.0, 60.0])
def test_over_tls(monkeypatch: pytest.MonkeyPatch, milliseconds: int, at_once: float) -> None:
    """Its own messages, which come when they like, are no answer; and an answer that was looked at is still there."""
    monkeypatch.setattr(connections, "_AT_ONCE", at_once)
    with running(tls=True, workers=1) as server:
        server.create_bucket("trees")
        keys = {"ACCESS_KEY": "key", "SECRET_KEY": "secret"}
        how = {"verify": str(server.authority), "config": Config(read_timeout=20)}
        cci = cottoncandy.get_interface("trees", endpoint_url=server.endpoint, verbose=False, **keys, **how)
        server.set_latency(milliseconds)
        before = server.counts()["requests"]
        for name in ("a", "b", "c"):
            cci.dict2cloud(name, TREE, verbose=False)
            assert_same_tree(cci.cloud2dict(name, verbose=False), TREE)
        assert server.counts()["requests"] - before == 3 * (2 * len(TREE) + 5)


# ---------------------------------------------------------------------- when it breaks
def once(kind: Callable[[Request], bool], verdict: Any, times: int = 1) -> Callable[[Request], Any]:
    left = itertools.count(times, -1)
    return lambda request: verdict if kind(request) and next(left) > 0 else None


SLOW_DOWN = error("SlowDown", 503)
FAULTS = [
    SLOW_DOWN,
    Response(500, b"not XML"),
    Fault("drop"),
    Fault("lose"),
    Fault("reset", 100),
    Fault("truncate", 0),
    Fault("truncate", 100),
    Fault("flip", 100),
]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("name", ["00", "07", "39"])
def test_what_fails_is_done_again(
    recorded: Recorded, fault: Any, times: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, proxy = recorded
    cci = store.interface()
    times = 1 if fault == Fault("flip", 100) else times  # two flips are a ChecksumMismatch
    caplog.set_level(logging.INFO, "cottoncandy")
    proxy.hook = once(lambda request: request.method == "PUT" and request.path.endswith(f"/{name}"), fault, times)
    cci.dict2cloud("t", TREE, compression=False, verbose=False)
    proxy.hook = once(lambda request: request.method == "GET" and request.path.endswith(f"/{name}"), fault, times)
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)
    proxy.hook = None
    assert caplog.records
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)
    assert len(store.raw.keys()) == len(TREE)


def test_an_error_names_the_object_and_nothing_stays(recorded: Recorded) -> None:
    store, proxy = recorded
    cci = store.interface()
    refusal = error("AccessDenied", 403)
    proxy.hook = lambda request: refusal if request.method == "PUT" and request.path.endswith("/23") else None
    with pytest.raises(AccessDenied, match="'t/23'"):
        cci.dict2cloud("t", TREE, verbose=False)
    assert store.raw.keys() == []
    proxy.hook = None
    cci.dict2cloud("t", TREE, compression=False, verbose=False)
    proxy.hook = lambda request: Fault("flip", 9) if request.path.endswith("/23") else None
    with pytest.raises(ChecksumMismatch, match="'t/23'"):
        cci.cloud2dict("t", verbose=False)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_server_without_acls_is_told_once(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """By the mark of the tree, if by nothing before."""
    monkeypatch.setattr(connections, "_AT_ONCE", 60)  # however busy the machine is
    store, proxy = recorded
    cci = store.interface()
    refusal = error("AccessControlListNotSupported", 400)
    proxy.hook = lambda request: refusal if request.headers.get("x-amz-acl") else None
    if is_known:
        cci.upload_raw_array("before", LARGE)
    proxy.clear()
    cci.dict2cloud("t", TREE, verbose=False)
    assert names(proxy, "PUT") == Counter(dict.fromkeys(TREE, 1))
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)


def test_a_server_that_refuses_acls_when_several_are_under_way(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first refusal all is known: those of the others are of what is sent no more."""
    monkeypatch.setattr(connections, "_AT_ONCE", 60)
    store, proxy = recorded
    cci = store.interface()
    refusal = error("AccessControlListNotSupported", 400)
    leaves = set(TREE)
    proxy.hook = lambda request: refusal if request.headers.get("x-amz-acl") and request.path[-2:] in leaves else None
    cci.dict2cloud("t", TREE, verbose=False)
    assert max(names(proxy, "PUT").values()) <= 3
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)


def test_an_answer_that_does_not_come_is_asked_for_again(recorded: Recorded) -> None:
    """After the time that the user gives each answer; the others' answers are taken."""
    store, proxy = recorded
    cci = store.interface(config=Config(read_timeout=3))
    cci.dict2cloud("t", TREE, verbose=False)
    gone = threading.Event()
    first = once(lambda request: request.path.endswith("/11"), True)

    def hook(request: Request) -> None:
        if first(request):
            assert gone.wait(30)

    proxy.hook = hook
    proxy.clear()
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)
    gone.set()
    assert names(proxy, "GET") == Counter({**dict.fromkeys(TREE, 1), "11": 2})


def test_a_slow_write_is_waited_for(recorded: Recorded) -> None:
    """One that is given up may still be done, over what comes after it."""
    store, proxy = recorded
    cci = store.interface()
    proxy.hook = lambda request: Fault("delay", 3) if request.path.endswith("/11") else None
    cci.dict2cloud("t", TREE, verbose=False)
    assert names(proxy, "PUT") == Counter(dict.fromkeys(TREE, 1))


@pytest.mark.parametrize(("options", "requests"), [({}, 2), ({"attempts": 1}, 1)])
def test_what_was_sent_ahead_counts_as_an_attempt(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, options: dict[str, int], requests: int
) -> None:
    """And the server is asked when it says."""
    for name, value in options.items():
        monkeypatch.setenv(f"COTTONCANDY_RETRY_{name.upper()}", str(value))
    store, proxy = recorded
    cci, times = store.interface(), []
    busy = Response(503, SLOW_DOWN.body, {"Retry-After": "1"})

    def hook(request: Request) -> Response | None:
        if not (request.method == "PUT" and request.path.endswith("/11")):
            return None
        times.append(time.monotonic())
        return busy if len(times) == 1 else None

    proxy.hook = hook
    expected = pytest.raises(TransientError, match="'t/11'") if requests == 1 else contextlib.nullcontext()
    with expected:
        cci.dict2cloud("t", TREE, verbose=False)
    assert len(times) == requests
    assert times[-1] - times[0] >= requests - 1


@pytest.mark.parametrize("name", ["00", "20", "39"])
def test_ctrl_c(recorded: Recorded, name: str) -> None:
    store, proxy = recorded
    cci = store.interface()
    cci.dict2cloud("t", {"old": LARGE}, verbose=False)

    def interrupt(request: Request) -> None:
        if request.method == "PUT" and request.path.endswith(f"/{name}"):
            os.kill(os.getpid(), signal.SIGINT)

    proxy.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        cci.dict2cloud("t", TREE, verbose=False)
    proxy.hook = None
    assert_same_tree(cci.cloud2dict("t", verbose=False), {"old": LARGE})
    assert store.raw.keys() == ["t/old"]


def test_ctrl_c_before_the_leaves(recorded: Recorded) -> None:
    store, proxy = recorded
    cci, first = store.interface(), once(lambda request: "list-type" in request.query, True)

    def interrupt(request: Request) -> None:
        if first(request):
            os.kill(os.getpid(), signal.SIGINT)

    proxy.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        cci.dict2cloud("t", TREE, verbose=False)
    assert store.raw.keys() == []
    assert names(proxy, "PUT") == Counter()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("name", ["/started", "list-type"])
def test_a_mark_or_a_look_that_fails_is_done_again(recorded: Recorded, fault: Any, name: str) -> None:
    store, proxy = recorded
    cci = store.interface()
    proxy.hook = once(lambda request: name in f"{request.path}?{request.query}", fault)
    cci.dict2cloud("t", TREE, compression=False, verbose=False)
    proxy.hook = None
    assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)
    assert len(store.raw.keys()) == len(TREE)
    assert names(proxy, "PUT") == Counter(dict.fromkeys(TREE, 1))


# ---------------------------------------------------------------------- in itself
class Pending(Begun[int]):
    """A number, whose answer comes after some seconds, or when it is told to; a negative one fails.

    Something that is no answer comes ``strays`` times before.
    """

    def __init__(self, log: list[Any], number: int, seconds: float = 0.0, strays: int = 0) -> None:
        self.log = log
        self.number = number
        self.strays = strays
        self.here, self.there = socket.socketpair()
        if seconds == math.inf:
            self.until = time.monotonic() + 0.1
        elif seconds:
            threading.Timer(seconds, self.answer).start()
        else:
            self.answer()

    def answer(self) -> None:
        self.there.send(b".")

    def fileno(self) -> int:
        return self.here.fileno()

    def answered(self) -> bool:
        self.strays -= 1
        return self.strays < 0

    def late(self) -> Exception:
        return TimeoutError()

    def result(self) -> int:
        self.log.append(("read", self.number))
        if self.number < 0:
            raise ValueError("no")
        return self.number

    def drop(self) -> None:
        self.log.append(("dropped", self.number))
        self.here.close()
        self.there.close()


def sent(log: list[Any]) -> list[int]:
    return [number for what, number in log if what == "sent"]


def beginning(log: list[Any], seconds: float = 0.0) -> Callable[[int], Pending | None]:
    def begin(number: int) -> Pending | None:
        if not number % 10:
            return None
        log.append(("sent", number))
        return Pending(log, number, seconds)

    return begin


def read(log: list[Any]) -> list[int]:
    return [number for what, number in log if what == "read"]


def test_all_is_read_and_what_cannot_be_begun_is_left() -> None:
    log: list[Any] = []
    assert list(run_ahead(beginning(log), range(1, 35), 4)) == [(10, None), (20, None), (30, None)]
    assert sorted(read(log)) == sent(log) == [n for n in range(1, 35) if n % 10]


def test_who_is_slow_keeps_no_other_waiting() -> None:
    """The first answer comes when all others were read."""
    log: list[Any] = []
    first = Pending(log, 1, seconds=math.inf)
    first.until = None

    def begin(number: int) -> Pending:
        if number == 1:
            return first
        if number == 50:
            first.answer()
        return Pending(log, number)

    assert list(run_ahead(begin, range(1, 51), 2)) == []
    assert sorted(read(log)) == [*range(1, 51)]
    assert read(log)[:48] == [*range(2, 50)]


def test_what_comes_and_is_no_answer_is_waited_through() -> None:
    """As TLS has it: tickets come when they like."""
    log: list[Any] = []
    assert list(run_ahead(lambda number: Pending(log, number, strays=number % 4), range(1, 20), 3)) == []
    assert sorted(read(log)) == [*range(1, 20)]


@pytest.mark.parametrize(("most", "seconds"), [(1, 0.05), (2, 0.05), (3, 0.05), (100, 2.0)])
def test_no_more_than_asked_for_are_under_way(most: int, seconds: float) -> None:
    """But as many, where none is answered before they are sent: which takes some time on a busy machine."""
    log: list[Any] = []
    assert list(run_ahead(beginning(log, seconds=seconds), range(1, 10), most)) == []
    under_way = list(itertools.accumulate({"sent": 1, "read": -1}.get(what, 0) for what, _ in log))
    assert max(under_way) == min(most, 9)


def test_nothing_is_begun_behind_a_failure() -> None:
    log: list[Any] = []
    left = list(run_ahead(beginning(log), [1, 2, -3, 4, 5, 6], 2))
    assert [item for item, _ in left] == [-3, 5, 6]
    assert [type(failure) for _, failure in left] == [ValueError, type(None), type(None)]
    assert sent(log) == [1, 2, -3, 4]
    assert ("dropped", -3) in log


def test_what_is_late_is_dropped_and_left() -> None:
    log: list[Any] = []
    left = list(run_ahead(beginning(log, seconds=math.inf), [1, 2, 3], 3))
    assert [(item, type(failure)) for item, failure in left] == [(number, TimeoutError) for number in (1, 2, 3)]
    assert log == [("sent", 1), ("sent", 2), ("sent", 3), ("dropped", 1), ("dropped", 2), ("dropped", 3)]


def test_who_is_late_is_found_out_while_others_answer() -> None:
    log: list[Any] = []
    first = Pending(log, 1, seconds=math.inf)
    numbers = iter(range(2, 10**6))

    def items() -> Iterator[int]:
        yield 1
        while not any(what == "dropped" and number == 1 for what, number in log):
            yield next(numbers)

    def begin(number: int) -> Pending:
        return first if number == 1 else Pending(log, number)

    left = list(run_ahead(begin, items(), 2))
    assert [(item, type(failure)) for item, failure in left] == [(1, TimeoutError)]


def test_where_no_file_can_be_opened_all_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr("cottoncandy.pipelines.DefaultSelector", refuse)
    assert list(run_ahead(beginning([]), [1, 2], 4)) == [(1, None), (2, None)]


def test_what_cannot_be_watched_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[Any] = []
    register = DefaultSelector.register

    def refuse_third(self: DefaultSelector, begun: Any, events: int) -> Any:
        if begun.number == 3:
            raise OSError(errno.ENOSPC, "too many watches")
        return register(self, begun, events)

    monkeypatch.setattr(DefaultSelector, "register", refuse_third)
    left = list(run_ahead(beginning(log), [1, 2, 3, 4], 8))
    assert [(item, type(failure)) for item, failure in left] == [(3, OSError), (4, type(None))]
    assert sorted(read(log)) == [1, 2]
    assert ("dropped", 3) in log


def limited(log: list[Any], most: int, seconds: float) -> Callable[[int], Pending]:
    """No more than so many connections."""

    def begin(number: int) -> Pending:
        if len(sent(log)) - len(read(log)) >= most:
            raise Busy
        log.append(("sent", number))
        return Pending(log, number, seconds)

    return begin


@pytest.mark.parametrize("most", [1, 3, 40])
def test_where_nothing_more_can_be_begun_it_goes_on_when_something_is_answered(most: int) -> None:
    log: list[Any] = []
    assert list(run_ahead(limited(log, most, 0.001), range(1, 101), 96)) == []
    assert sorted(read(log)) == sent(log) == [*range(1, 101)]


def test_where_nothing_can_be_begun_all_is_left() -> None:
    assert list(run_ahead(limited([], 0, 0), [1, 2, 3], 96)) == [(1, None), (2, None), (3, None)]


def test_far_away_threads_open_the_connections_that_one_thread_uses_then(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it takes long to connect, one thread would open one connection after the other."""
    monkeypatch.setattr(connections, "_AT_ONCE", 0.0)
    store, proxy = recorded
    cci = store.interface()
    for _ in range(2):
        cci.dict2cloud("t", TREE, verbose=False)
        assert_same_tree(cci.cloud2dict("t", verbose=False), TREE)
    assert max(names(proxy, "GET").values()) == 2


class Interrupted(Pending):
    """Ctrl-C comes while the second answer is read; twice, if that is wished."""

    times = 1

    def result(self) -> int:
        for _ in range(self.times if self.number == 2 else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return super().result()


@pytest.mark.parametrize("most", [1, 8])
def test_an_interrupt_leaves_no_write_under_way(most: int) -> None:
    log: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        run_ahead(lambda number: log.append(("sent", number)) or Interrupted(log, number), range(1, 9), most)
    assert sorted(read(log)) == sent(log)
    assert len(sent(log)) == max(2, most)


def test_reads_are_forgotten_at_once() -> None:
    log: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        run_ahead(lambda number: Interrupted(log, number), [1, 2, 3, 4], 8, only_reads=True)
    assert read(log) == [1]
    assert [number for what, number in log if what == "dropped"] == [1, 2, 3, 4]


def test_who_insists_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interrupted, "times", 2)
    log: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        run_ahead(lambda number: Interrupted(log, number), [1, 2, 3, 4], 8)
    assert read(log) == [1]
    assert [number for what, number in log if what == "dropped"] == [1, 2, 3, 4]

"""Memory that passing bytes lie in is used again, and never while somebody holds it."""

from __future__ import annotations

import itertools
import random
import threading
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from stores import Recorded, Store

from cottoncandy.buffers import BufferPool
from cottoncandy.errors import TransientError
from cottoncandy.stream import ObjectSource, TransferSettings
from cottoncandy.stream.up import _gather
from cottoncandy.waits import Waits

MIB = 2**20


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])


def test_what_nobody_holds_is_handed_out_again() -> None:
    pool = BufferPool()
    view = pool.take(1000)
    first = _address(view)
    del view
    for nbytes in (1000, 10, 0, 1000):
        view = pool.take(nbytes)
        assert len(view) == nbytes
        assert not nbytes or _address(view) == first
        del view


@pytest.mark.parametrize(
    "hold",
    [
        lambda view: view,
        lambda view: view[200:300],
        lambda view: memoryview(view[200:])[50:].cast("B"),
        lambda view: np.frombuffer(view, np.uint8)[7:9],
        lambda view: view.obj,
        lambda view: view.obj[5:],
        lambda view: view.obj[6:].view("<u2")[::3],
        lambda view: np.frombuffer(view, "<f4").reshape(10, 25).T,
    ],
)
def test_any_view_holds_it(hold) -> None:  # type: ignore[no-untyped-def]
    pool = BufferPool()
    view = pool.take(1000)
    view[:] = b"a" * 1000
    held = hold(view)
    content = bytes(held)
    del view
    for _ in range(3):
        other = pool.take(1000)
        other[:] = b"b" * 1000
    assert bytes(held) == content


def test_a_larger_one_fits_all_that_come_after_it() -> None:
    pool = BufferPool()
    addresses = set()
    for nbytes in (10, 10_000, *range(9_000, 10_000)):
        view = pool.take(nbytes)
        addresses.add(_address(view))
        del view
    assert len(addresses) <= 2


def test_threads_never_share_one() -> None:
    pool = BufferPool()
    wrong = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        for number in range(2000):
            mine = bytes([seed, number % 256]) * choose.randrange(1, 40)
            view = pool.take(len(mine))
            view[:] = mine
            other = pool.take(5)
            other[:] = b"other"
            if bytes(view) != mine:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(pool._lent) <= 18  # two for each, and one that is taken before another is dropped


@pytest.mark.stores("local", "moto")
def test_the_parts_of_an_object_lie_in_few_buffers(store: Store) -> None:
    content = np.random.default_rng(0).bytes(48 * MIB)
    backend = store.interface().backend_interface
    backend.put("object", content, {})
    threads = 4
    with ObjectSource(backend, "object", TransferSettings()) as source:
        addresses, position = set(), 0
        for part in source.parts(threads):
            assert part == content[position : position + len(part)]
            addresses.add(_address(part))
            position += len(part)
    assert position == len(content)
    # for each connection one, those that wait for the caller, and the one in its hands
    assert len(addresses) <= threads + 4


@pytest.mark.parametrize("keeps_up", [True, False])
def test_more_connections_where_one_does_not_keep_up(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, keeps_up: bool
) -> None:
    monkeypatch.setattr(Waits, "are_few", property(lambda waits: keeps_up or not waits._waited))
    content = np.random.default_rng(0).bytes(55 * MIB)
    store, proxy = recorded
    backend = store.interface().backend_interface
    backend.put("object", content, {})
    proxy.clear()
    with ObjectSource(backend, "object", TransferSettings()) as source, closing(source.parts(4)) as parts:
        assert b"".join(map(bytes, parts)) == content
    ranges = sorted(
        tuple(map(int, request.headers["Range"].removeprefix("bytes=").split("-"))) for request in proxy.requests
    )
    sizes = [stop + 1 - start for start, stop in ranges]
    assert sum(sizes) == len(content)
    assert sizes == [16 * MIB, 32 * MIB, 7 * MIB] if keeps_up else len(sizes) > 50
    assert all(request.headers["If-Match"] for request in proxy.requests[1:])


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("settings", [{}, {"download_threshold": 0}, {"download_part": 1000}])
@pytest.mark.parametrize("threads", [1, 4])
def test_parts_are_the_same_whatever_else_is_read(store: Store, settings: dict[str, int], threads: int) -> None:
    content = np.random.default_rng(0).bytes(20 * MIB)
    backend = store.interface().backend_interface
    backend.put("object", content, {})
    found, other = b"", memoryview(bytearray(100))
    with ObjectSource(backend, "object", TransferSettings(**settings)) as source:
        for part in source.parts(threads):
            found += part
            source.fill(min(len(found), len(content) - len(other)), other, 1)
    assert found == content


def test_to_work_is_not_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, work = [0.0], [0.0]
    clocks = SimpleNamespace(perf_counter=lambda: wall[0], thread_time=lambda: work[0])
    monkeypatch.setattr("cottoncandy.waits.time", clocks)
    waits = Waits()
    with waits:
        wall[0] += 3.0
        work[0] += 3.0
    assert waits.are_few
    with waits:
        wall[0] += 0.9
    assert waits.are_few
    with waits:
        wall[0] += 0.2
    assert not waits.are_few
    wall[0] += 3.0  # of the caller's own
    assert waits.are_few


@pytest.mark.stores("local", "moto")
def test_parts_that_are_kept_stay_as_they_are(store: Store) -> None:
    content = np.random.default_rng(0).bytes(24 * MIB)
    backend = store.interface().backend_interface
    backend.put("object", content, {})
    with ObjectSource(backend, "object", TransferSettings()) as source:
        assert b"".join(list(source.parts(4))) == content


@pytest.mark.parametrize("most", [None, 0, 1, 5, 23, 40, 10**6])
@pytest.mark.parametrize("sizes", [[16], [5, 16, 7], [1]])
def test_parts_are_gathered_whatever_was_thought_to_come(most: int | None, sizes: list[int]) -> None:
    pieces = [bytes([number]) * length for number, length in enumerate((3, 0, 5, 16, 1, 30, 7, 2))]
    parts = list(map(bytes, _gather(pieces, itertools.cycle(sizes), most)))
    assert b"".join(parts) == b"".join(pieces)
    assert all(len(part) == size for part, size in zip(parts[:-1], itertools.cycle(sizes), strict=False))


@pytest.mark.stores("local", "moto")
@pytest.mark.parametrize("after", [0, 1, 3 * MIB, 16 * MIB - 1])
def test_parts_go_on_where_the_opening_answer_breaks(store: Store, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    content = np.random.default_rng(0).bytes(20 * MIB)
    backend = store.interface().backend_interface
    backend.put("object", content, {})
    with ObjectSource(backend, "object", TransferSettings()) as source:
        opened, left = source._reader, [after]
        assert opened is not None
        read = opened.readinto

        def break_off(view: memoryview) -> int:
            if not left[0]:
                raise TransientError("the connection broke")
            count = read(view[: left[0]])
            left[0] -= count
            return count

        monkeypatch.setattr(opened, "readinto", break_off, raising=False)
        assert b"".join(map(bytes, source.parts(4))) == content

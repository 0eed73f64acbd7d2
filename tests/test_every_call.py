"""Every public call on a bad line: the right answer or an error, and nothing that is half, doubled or left over."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import soak
from calls import CHANGES, LOOKS, Call, fill, quietly
from recorder import Fault, Hook, RecordingProxy
from stores import Store, s3_store
from test_objects import small_parts
from weather import Weather, failure, operation

from cottoncandy.errors import CottonCandyError
from cottoncandy.interfaces import DefaultInterface

SEED = 20261123
#: The way to S3, and how many threads.
MODES = [("lean", 4), ("botocore", 1)]


class Field(NamedTuple):
    """A server, a proxy that can break what goes to it, and what the calls that look find there.

    `quiet` is an interface that no fault comes near.
    """

    server: Any
    proxy: RecordingProxy
    filled: Store
    quiet: Any
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def field(request: pytest.FixtureRequest, servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, request.config.getoption("--wire"), 4, tmp_path_factory.mktemp("home"))
        server = servers.get("moto")
        with RecordingProxy(server.endpoint) as proxy:
            store = s3_store(server, proxy.url)
            field = Field(server, proxy, store, store.interface(endpoint_url=server.endpoint), {})
            fill(field.quiet)
            yield field
            store.close()


def _settle(patch: pytest.MonkeyPatch, way: str, threads: int, home: Path) -> None:
    small_parts(patch, 5, 1)
    settings = {"BASIC_LEAN_WIRE": way == "lean", "BASIC_THREADS": threads, "BASIC_MOST_THREADS": 2 * threads - 1}
    waits = {"RETRY_LONGEST_WAIT": 0.002, "RETRY_READ_TIMEOUT": 5}
    for name, value in (settings | waits).items():
        patch.setenv(f"COTTONCANDY_{name}", str(value))
    patch.setenv("HOME", str(home))


def _threads() -> set[str]:
    """What works on; zarr's pool of threads waits for the next call."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith("cottoncandy") and "zarr" not in name}


def test_every_public_call_is_here() -> None:
    public = {name for name in dir(DefaultInterface) if not name.startswith("_")}
    assert public == LOOKS.keys() | CHANGES.keys(), "tests/calls.py needs a line for each public call"


@pytest.mark.parametrize(("way", "threads"), MODES)
def test_calls_that_look(field: Field, way: str, threads: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _settle(monkeypatch, way, threads, tmp_path / "home")
    weather = Weather(SEED, 0.25)
    cci = field.filled.interface()
    field.quiet.set_bucket(field.filled.container)
    for name, act in LOOKS.items():
        if name not in field.expected:
            field.expected[name] = quietly(act, field.quiet, tmp_path / "quiet" / name)
        field.proxy.hook = weather
        found = quietly(act, cci, tmp_path / name)
        if name == "get_presigned_url":
            found = found[0].replace(field.proxy.url, field.server.endpoint), found[1]
        assert found == field.expected[name], name
    assert not _threads()
    assert weather.broken.total() > 20, weather.broken


def _prepared(field: Field, call: Call, disk: Path, cci: Any) -> Store:
    """A fresh bucket with what is there before a call; the interfaces are moved to it. It ends with the server."""
    store = s3_store(field.server, field.proxy.url)
    field.proxy.hook = None
    for one in (field.quiet, cci):
        one.set_bucket(store.container)
    quietly(call.prepare, field.quiet, disk / "before")
    return store


def _state(field: Field, call: Call, store: Store) -> Any:
    """What lies in a bucket."""
    if call.look is not None:
        return call.look(field.quiet)
    return {key: store.raw.get(key) for key in store.raw.keys()}  # noqa: SIM118 - it is no dict


def _quiet_run(field: Field, name: str, disk: Path, cci: Any) -> tuple[Any, Any, Any, list[str]]:
    """What a call answers where nothing fails, what there was before and after it, and its operations; made once."""
    if name not in field.expected:
        store = _prepared(field, CHANGES[name], disk, cci)
        before = _state(field, CHANGES[name], store)
        field.proxy.clear()
        answer = quietly(CHANGES[name].act, cci, disk / "call")
        operations = list(dict.fromkeys(map(operation, field.proxy.requests)))
        field.expected[name] = answer, before, _state(field, CHANGES[name], store), operations
    found: tuple[Any, Any, Any, list[str]] = field.expected[name]
    return found


@pytest.mark.parametrize(("way", "threads"), MODES)
def test_calls_that_change_something(
    field: Field, way: str, threads: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _settle(monkeypatch, way, threads, tmp_path / "home")
    weather, cci = Weather(SEED, 0.25), field.filled.interface()
    for name, call in CHANGES.items():
        expected, _, after, _ = _quiet_run(field, name, tmp_path / "quiet" / name, cci)
        store = _prepared(field, call, tmp_path / name, cci)
        lost = weather.lost_uploads
        field.proxy.hook = weather
        assert quietly(call.act, cci, tmp_path / name / "call") == expected, name
        assert _state(field, call, store) == after, name
        assert len(store.raw.leftovers()) <= weather.lost_uploads - lost, name
    assert not _threads()
    assert weather.broken.total() > 25, weather.broken


def _lasting(failing: str) -> Hook:
    """One operation always fails: what changes something is done all the same, and its answer is lost."""
    fault = failure(503) if failing.startswith(("GET", "HEAD")) or failing == "POST uploads" else Fault("lose")
    return lambda request: fault if operation(request) == failing else None


def test_calls_of_which_one_request_always_fails(
    field: Field, wire: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _settle(monkeypatch, wire, 4, tmp_path / "home")
    monkeypatch.setenv("COTTONCANDY_RETRY_ATTEMPTS", "2")
    seen: list[list[str]] = []  # calls of the same requests fail in the same way
    cci = field.filled.interface()
    for name, call in CHANGES.items():
        expected, before, after, operations = _quiet_run(field, name, tmp_path / "quiet" / name, cci)
        if operations in seen:
            continue
        seen.append(operations)
        for number, failing in enumerate(operations):
            what, disk = f"{name} without {failing}", tmp_path / name / str(number)
            store = _prepared(field, call, disk, cci)
            field.proxy.hook = _lasting(failing)
            with contextlib.suppress(CottonCandyError):
                assert quietly(call.act, cci, disk / "call") == expected, what
            state = _state(field, call, store)
            if call.look is None:
                assert all(value in (before.get(key), after.get(key)) for key, value in state.items()), what
                assert state.keys() >= before.keys() & after.keys(), what
            else:
                assert state in (before, after, None), what
            assert not [key for key in store.raw.leftovers() if name != "clean_uploads"], what
    assert not _threads()


@pytest.mark.parametrize(("way", "threads"), MODES)
def test_a_short_soak(servers: Any, way: str, threads: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A share of what ``python tests/soak.py`` does."""
    _settle(monkeypatch, way, threads, tmp_path)
    done = soak.run_round(servers.get("moto"), 100, SEED, 0.15, threads)
    assert sum(done.broken.values()) > 20
    assert done.retries >= sum(done.broken[kind] for kind in ("drop", "lose", "500", "503"))
    assert not done.unnamed

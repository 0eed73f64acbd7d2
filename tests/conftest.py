"""Fixtures of all tests: an environment of their own, and the stores to run on.

``pytest --stores local,moto`` runs on these only. ``@pytest.mark.stores("moto", "ceph")`` asks for some,
``@pytest.mark.stores(exclude=["local"])`` for all but some, ``@pytest.mark.stores(without="no-acl")`` for those that
do not have a quirk. A server that is not installed skips its tests, except
where CI or COTTONCANDY_TEST_REQUIRE_SERVERS is set: there it fails them.

``pytest --wire botocore`` has S3 reached by botocore's connections instead of our own (`lean_wire`), in each test and
in each process that a test starts. ``@pytest.mark.lean_wire("why")`` is for a test of what only our own do;
``@BOTH_WIRES`` for one that runs on both in any case, ``@pytest.mark.botocore_too("moto")`` for one that does so there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
from drive_store import QUICK
from fake_drive import FakeDrive
from recorder import RecordingProxy
from servers import Pool, ProgramMissing, Server, ServerPool, SharedPool
from stores import STORES, WIRES, Recorded, Store, s3_store, stores_without

from cottoncandy.backends import ending
from cottoncandy.backends.gdrive import GoogleDriveBackend
from cottoncandy.config import Options

Result = TypeVar("Result")

# zarr 3 needs 3.11: of its tests, and of pages that speak of it, nothing can be run before
collect_ignore = ["test_docs.py", "test_zarr.py"] if sys.version_info < (3, 11) else []

_POOL = pytest.StashKey[ServerPool]()
_PATCH = pytest.StashKey[pytest.MonkeyPatch]()
_REQUIRED = os.environ.get("CI", "").lower() in {"1", "true"} or bool(
    os.environ.get("COTTONCANDY_TEST_REQUIRE_SERVERS")
)

# a shared machine is slow at times, and a fresh container for each example would be slower still
hypothesis.settings.register_profile(
    "cottoncandy",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("cottoncandy")


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """What puts Ctrl-C off, or takes its place, gives it back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is before


@pytest.fixture(autouse=True)
def log_is_as_before() -> Iterator[None]:
    """The command sets it up for a process of its own."""
    log = logging.getLogger("cottoncandy")
    level, handlers = log.level, log.handlers.copy()
    yield
    log.setLevel(level)
    log.handlers[:] = handlers


# ------------------------------------------------------------------ which stores
def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stores", help=f"comma-separated, of: {', '.join(STORES)} (default: all)")
    parser.addoption("--wire", choices=WIRES, default=WIRES[0], help="whose connections lead to S3 (default: lean)")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell lets what it starts in the background ignore it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "stores(*names, exclude=(), without=None): the stores to run on; `without` a quirk"
    )
    config.addinivalue_line("markers", "botocore_too(*names): on these stores by botocore's connections as well")
    config.addinivalue_line("markers", "lean_wire(why): of our own connections only; left out on botocore's")
    _take_wire(config.getoption("--wire"), config.stash.setdefault(_PATCH, pytest.MonkeyPatch()))
    shared = getattr(config, "workerinput", {}).get("servers")
    config.stash[_POOL] = SharedPool(*shared) if shared else Pool()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist where to ask for servers."""
    pool = node.config.stash[_POOL]  # type: ignore[attr-defined]
    node.workerinput["servers"] = pool.share()  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_PATCH].undo()
    ending._open.clear()  # what tests left open was in containers that are gone
    if _POOL in config.stash:
        config.stash[_POOL].close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _REQUIRED and "skipped" in terminalreporter.stats:
        terminalreporter.write_line(
            "Skipped tests are failures here (CI or COTTONCANDY_TEST_REQUIRE_SERVERS is set)", red=True
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _REQUIRED and reporter is not None and "skipped" in reporter.stats:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _take_wire(wire: str, patch: pytest.MonkeyPatch) -> None:
    # by the environment: what a test starts takes the same
    if wire != WIRES[0]:
        patch.setenv("COTTONCANDY_BASIC_LEAN_WIRE", "False")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {item for item in items if item.get_closest_marker("lean_wire") and _wire_of(item) != WIRES[0]}
    config.hook.pytest_deselected(items=[*left_out])
    items[:] = [item for item in items if item not in left_out]


def _wire_of(item: pytest.Item) -> str:
    chosen = item.callspec.params.get("wire") if hasattr(item, "callspec") else None
    return chosen or item.config.getoption("--wire")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store_name" not in metafunc.fixturenames:
        return
    names, wire = _chosen(metafunc), metafunc.config.getoption("--wire")
    cases = {name: (name, wire) for name in names}
    cases |= {f"{name}-botocore": (name, "botocore") for name in _botocore_too(metafunc, names) if wire != "botocore"}
    if len(cases) > len(names):
        metafunc.parametrize(("store_name", "wire"), [*cases.values()], ids=[*cases], indirect=["wire"])
    else:
        metafunc.parametrize("store_name", names)


def _botocore_too(metafunc: pytest.Metafunc, names: list[str]) -> list[str]:
    marked = [
        name for marker in metafunc.definition.iter_markers("botocore_too") for name in _check_names([*marker.args])
    ]
    return [name for name in names if name in marked]


def _chosen(metafunc: pytest.Metafunc) -> list[str]:
    option = metafunc.config.getoption("--stores")
    wanted = option.split(",") if option else list(STORES)
    for marker in metafunc.definition.iter_markers("stores"):
        allowed = _allowed(*marker.args, **marker.kwargs)
        wanted = [name for name in wanted if name in allowed]
    return _check_names(wanted)


def _allowed(*names: str, exclude: Iterable[str] = (), without: str | None = None) -> set[str]:
    able = stores_without(without) if without else STORES
    return set(_check_names([*names]) or STORES) & set(able) - set(_check_names([*exclude]))


def _check_names(names: list[str]) -> list[str]:
    if unknown := set(names) - set(STORES):
        raise pytest.UsageError(f"no such store: {', '.join(sorted(unknown))}; there are: {', '.join(STORES)}")
    return names


# ------------------------------------------------------------------ fixtures
@pytest.fixture
def wire(request: pytest.FixtureRequest) -> str:
    """Whose connections lead to S3: of `WIRES`, by `BOTH_WIRES` or by ``--wire``."""
    return getattr(request, "param", None) or request.config.getoption("--wire")


@pytest.fixture(autouse=True)
def _own_environment(wire: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads the developer's files or keys, or asks the network for credentials."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "COTTONCANDY_", "XDG_", "BOTO_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    _take_wire(wire, monkeypatch)
    # seconds; as many tries as ever, without the waits
    monkeypatch.setenv("COTTONCANDY_RETRY_LONGEST_WAIT", "0.02")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> ServerPool:
    """The servers of this session: ``servers.get(name)`` starts one at first use."""
    return request.config.stash[_POOL]


@pytest.fixture
def server(servers: ServerPool) -> Callable[[str], Server]:
    """``server(name)``: a running server. Where it is not installed the test is skipped, or fails in CI."""
    return lambda name: _or_skip(lambda: servers.get(name))


@pytest.fixture
def place(store_name: str, servers: ServerPool, tmp_path: Path) -> Iterator[Store]:
    """A fresh container of each store in turn, by a name that foreign test-suites do not use."""
    store = _or_skip(lambda: STORES[store_name](servers, tmp_path))
    yield store
    store.close()


@pytest.fixture
def store(place: Store) -> Store:
    """A fresh container of each store in turn."""
    return place


@pytest.fixture
def drive() -> Iterator[FakeDrive]:
    """A Google Drive on loopback."""
    with FakeDrive() as drive:
        yield drive
    assert not drive.crashes


@pytest.fixture
def open_drive(drive: FakeDrive) -> Iterator[Callable[..., GoogleDriveBackend]]:
    """``open_drive(**arguments)``: a new backend on it, which knows nothing yet."""
    with contextlib.ExitStack() as opened:

        def connect(container: str | None = None, **arguments: Any) -> GoogleDriveBackend:
            arguments = {"credentials": drive.credentials(), "retry": QUICK} | arguments
            backend = GoogleDriveBackend.connect(
                container, None, None, drive.url, Options.load(create=False), **arguments
            )
            opened.callback(backend.close)
            return backend

        yield connect


@pytest.fixture
def recorded(server: Callable[[str], Server]) -> Iterator[Recorded]:
    """A fresh bucket of moto's server behind a proxy, to count requests on the wire and to break them."""
    running = server("moto")
    with RecordingProxy(running.endpoint) as proxy:
        store = s3_store(running, proxy.url)
        yield Recorded(store, proxy)
        store.close()


def _or_skip(make: Callable[[], Result]) -> Result:
    try:
        return make()
    except ProgramMissing as error:
        if _REQUIRED:
            pytest.fail(f"{error}", pytrace=False)
        pytest.skip(str(error))

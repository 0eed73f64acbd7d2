"""What the clients do: in rounds, each client once in every round, in an order that changes."""

from __future__ import annotations

import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench, say
from benchmarks.clients import CLIENTS, LIMIT, OURS
from benchmarks.process import ClientFailed, Process
from benchmarks.results import Column, Record, Row

ONE = "One array"
PACKED = "One array, compressed"
MANY = "Many small arrays"
LISTING = "Listing and removing"
MEMORY = "Peak memory"

Cell = tuple[Column, Row, Record]


class Workload(ABC):
    """Something that each client does once in a round.

    Attributes
    ----------
    name : str
        As it is told while it runs.
    warms_up : bool
        Whether there is a round before the first, which does not count.
    once : bool
        Whether one round is enough.
    """

    name: str
    warms_up = False
    once = False

    def suits(self, client: str) -> bool:
        """Whether a client takes part."""
        return bool(client)

    def prepare(self, bench: Bench) -> None:  # noqa: B027 - most need nothing
        """Make what all clients need."""

    def finish(self, bench: Bench) -> None:  # noqa: B027 - most leave nothing
        """Take it away."""

    @abstractmethod
    def cells(self, bench: Bench, client: str, number: int) -> Iterator[Cell]:
        """Let a client do it."""

    @abstractmethod
    def columns(self) -> Sequence[Column]:
        """What is measured."""


def run(bench: Bench, workload: Workload) -> None:
    """All rounds of a workload."""
    clients = [client for client in bench.processes if workload.suits(client)]
    spent = dict.fromkeys(clients, 0.0)
    rounds = 1 if workload.once else bench.rounds
    workload.prepare(bench)
    for number in range(-1 if workload.warms_up else 0, rounds):
        say(f"{workload.name}: " + (f"round {number + 1} of {rounds}" if number >= 0 else "warming up"))
        for client in random.Random(number).sample(clients, len(clients)):  # noqa: S311 - no secret
            if spent[client] < bench.seconds:
                seconds = _run_client(bench, workload, client, number)
                spent[client] += seconds if number >= 0 else 0
    workload.finish(bench)


def _run_client(bench: Bench, workload: Workload, client: str, number: int) -> float:
    """One client in one round; gives the seconds it took."""
    spent = 0.0
    try:
        for column, row, record in workload.cells(bench, client, number):
            spent += record.seconds
            if number >= 0:
                bench.results.add(column, row, record)
    except ClientFailed as error:
        say(f"{client} failed: {error}")
        for column in workload.columns():
            bench.results.failures[column, Row(client)] = str(error)
        return bench.seconds
    return spent


def size_text(size: int) -> str:
    """A number of bytes, short."""
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} KB"


@dataclass
class OneArray(Workload):
    """One array up and down.

    Parameters
    ----------
    size : int
        In bytes.
    """

    size: int

    def __post_init__(self) -> None:
        self.name = f"one array of {size_text(self.size)}"
        self.warms_up = self.size < 4 << 20
        # small ones are over before the machine is awake
        self._repeat = 8 if self.size < 1 << 17 else 3 if self.warms_up else 1
        self._up, self._down = (
            Column(ONE, f"{way} {size_text(self.size)}", self.size, "bytes") for way in ("up", "down")
        )

    def columns(self) -> Sequence[Column]:
        """Up and down."""
        return self._up, self._down

    def cells(self, bench: Bench, client: str, number: int) -> Iterator[Cell]:
        """Upload, download; what comes back is compared in the first round."""
        key = bench.key("one", client)
        task = {"key": key, "packing": "", "repeat": self._repeat}
        task |= bench.source("random", self.size)
        process = bench.processes[client]
        yield self._up, Row(client), bench.measure(process, number, do="up", **task)
        check = number <= 0
        yield self._down, Row(client), bench.measure(process, number, do="down", check=check, **task)
        bench.helper.ask(do="remove", key=key)

    def finish(self, bench: Bench) -> None:
        """The array is not needed any more."""
        bench.forget_sources()


@dataclass
class PackedArray(Workload):
    """One array up and down with compression: each client as it comes, or with zstandard by hand.

    Parameters
    ----------
    kind : str
        ``smooth`` or ``random``.
    size : int
        In bytes.
    """

    kind: str
    size: int

    def __post_init__(self) -> None:
        self.name = f"{self.kind} {size_text(self.size)}, compressed"
        label = f"{self.kind} {size_text(self.size)}"
        self._up, self._down = (Column(PACKED, f"{way} {label}", self.size, "bytes") for way in ("up", "down"))

    def suits(self, client: str) -> bool:
        """Those that can compress."""
        return bool(CLIENTS[client].packings)

    def columns(self) -> Sequence[Column]:
        """Up and down."""
        return self._up, self._down

    def cells(self, bench: Bench, client: str, number: int) -> Iterator[Cell]:
        """Upload and download with each kind of compression."""
        key = bench.key("packed", client)
        for packing in CLIENTS[client].packings:
            task = {"key": key, "packing": packing, **bench.source(self.kind, self.size)}
            row, process = Row(client, packing), bench.processes[client]
            yield self._up, row, bench.measure(process, number, do="up", **task)
            yield self._down, row, bench.measure(process, number, do="down", check=number == 0, **task)
            bench.helper.ask(do="remove", key=key)

    def finish(self, bench: Bench) -> None:
        """The array is not needed any more."""
        bench.forget_sources()


@dataclass
class ManyArrays(Workload):
    """Many arrays of 16 KB: each client with its own call for many, or with 16 threads.

    Parameters
    ----------
    count : int
    latency : float
        Milliseconds that each answer of our own server waits.
    """

    count: int
    latency: float = 0

    def __post_init__(self) -> None:
        self.name = f"{self.count} arrays of 16 KB" + (f" at {self.latency:g} ms" if self.latency else "")
        label = f"{self.count} x 16 KB" + (f", {self.latency:g} ms" if self.latency else "")
        self._up, self._down = (Column(MANY, f"{way} {label}", self.count, "arrays") for way in ("up", "down"))

    def suits(self, client: str) -> bool:
        """All; but where answers are late, a few sockets are no limit."""
        return not self.latency or CLIENTS[client].group != LIMIT

    def columns(self) -> Sequence[Column]:
        """Up and down."""
        return self._up, self._down

    def cells(self, bench: Bench, client: str, number: int) -> Iterator[Cell]:
        """Upload all, download all."""
        task = {"key": bench.key("many", client), "count": self.count}
        process = bench.processes[client]
        with self._slowly(bench):
            yield self._up, Row(client), bench.measure(process, number, do="up_many", **task)
            yield self._down, Row(client), bench.measure(process, number, do="down_many", **task)
        bench.helper.ask(do="remove", key=task["key"])

    @contextlib.contextmanager
    def _slowly(self, bench: Bench) -> Iterator[None]:
        if bench.server and self.latency:
            bench.server.set_latency(self.latency)
        try:
            yield
        finally:
            if bench.server and self.latency:
                bench.server.set_latency(bench.latency)


@dataclass
class Listing(Workload):
    """A glob over many keys, and all of them.

    Parameters
    ----------
    count : int
        Of keys, in 200 folders.
    """

    count: int
    warms_up = True

    def __post_init__(self) -> None:
        self.name = f"listing {self.count:,} keys"
        self._glob = Column(LISTING, f"glob {self.count:,}", self.count, "keys")
        self._list = Column(LISTING, f"list {self.count:,}", self.count, "keys")

    def suits(self, client: str) -> bool:
        """Those that list."""
        return CLIENTS[client].lists

    def columns(self) -> Sequence[Column]:
        """The glob and the list."""
        return self._glob, self._list

    def prepare(self, bench: Bench) -> None:
        """Make the keys."""
        bench.helper.ask(do="put_keys", key=bench.key("list"), count=self.count, folders=200)

    def finish(self, bench: Bench) -> None:
        """Remove them."""
        bench.helper.ask(do="remove", key=bench.key("list"))

    def cells(self, bench: Bench, client: str, number: int) -> Iterator[Cell]:
        """Find files 10 to 19 of each folder, then list all."""
        process, top = bench.processes[client], bench.key("list")
        per_folder = self.count // 200
        matching = 200 * max(0, min(per_folder, 20) - 10)
        pattern = f"{top}/*/file01*"
        yield self._glob, Row(client), bench.measure(process, number, do="glob", key=pattern, count=matching)
        yield self._list, Row(client), bench.measure(process, number, do="list", key=top, count=self.count)


@dataclass
class Removing(Workload):
    """A branch of many keys is removed.

    Parameters
    ----------
    count : int
        Of keys, in 20 folders.
    """

    count: int

    def __post_init__(self) -> None:
        self.name = f"removing {self.count:,} keys"
        self._column = Column(LISTING, f"remove {self.count:,}", self.count, "keys")

    def suits(self, client: str) -> bool:
        """Those that remove."""
        return CLIENTS[client].lists

    def columns(self) -> Sequence[Column]:
        """The removal."""
        return (self._column,)

    def cells(self, bench: Bench, client: str, number: int) -> Iterator[Cell]:
        """Make the keys, remove them, and see that they are gone."""
        top = bench.key("remove", client)
        bench.helper.ask(do="put_keys", key=top, count=self.count, folders=20)
        record = bench.measure(bench.processes[client], number, do="remove", key=top)
        bench.helper.ask(do="list", key=top, count=0)
        yield self._column, Row(client), record


@dataclass
class Memory(Workload):
    """The peak of memory of one upload and one download, each in a process that has done nothing but a small one.

    Parameters
    ----------
    size : int
        In bytes.
    """

    size: int
    once = True  # memory varies little

    def __post_init__(self) -> None:
        self.name = f"peak memory with {size_text(self.size)}"
        self._up, self._down = (
            Column(MEMORY, f"{way} {size_text(self.size)}", self.size, "bytes") for way in ("up", "down")
        )

    def suits(self, client: str) -> bool:
        """The libraries; and one of the raw ones."""
        return CLIENTS[client].group != LIMIT or client == f"{LIMIT} x 2"

    def columns(self) -> Sequence[Column]:
        """Up and down."""
        return self._up, self._down

    def cells(self, bench: Bench, client: str, number: int) -> Iterator[Cell]:
        """Two new processes."""
        for packing in ("", "default") if client == OURS else ("",):
            for column, do in ((self._up, "up"), (self._down, "down")):
                with bench.process(client) as process:
                    process.versions()
                    record = self._measure(bench, process, do, packing, number)
                yield column, Row(client, packing), record
            bench.helper.ask(do="remove", key=bench.key("memory", client))

    def _measure(self, bench: Bench, process: Process, do: str, packing: str, number: int) -> Record:
        key = bench.key("memory", process.name)
        small = {"key": f"{key}/warm-{do}", "packing": packing, **bench.source("random", 8 << 10)}
        process.ask(do="up", **small)
        process.ask(do="down", **small)
        task = {"key": f"{key}/{do}", "packing": packing, **bench.source("random", self.size)}
        if do == "down":
            bench.processes[process.name].ask(do="up", **task)
        return bench.measure(process, number, do=do, trim=True, **task)

    def finish(self, bench: Bench) -> None:
        """The array is not needed any more."""
        bench.forget_sources()

"""The bench: a place to store, the clients that are there, arrays to send."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clients import CLIENTS, LIMIT
from benchmarks.place import Place
from benchmarks.process import ClientFailed, Process
from benchmarks.results import Record, Results
from benchmarks.server import LoopbackServer

_BEGAN = time.perf_counter()
#: The client that prepares and cleans up.
_HELPER = f"{LIMIT} x 4"


@dataclass
class Bench:
    """All that a workload needs.

    Attributes
    ----------
    place : Place
    server : LoopbackServer or None
        Our own server; None where the endpoint is somebody's.
    pythons : Mapping
        The interpreter of each client.
    rounds : int
    seconds : float
        A client that has spent so many on one workload sits out its further rounds.
    latency : float
        Milliseconds that each answer of our own server waits.
    """

    place: Place
    server: LoopbackServer | None
    pythons: Mapping[str, str]
    scratch: Path
    rounds: int
    seconds: float
    results: Results
    latency: float = 0
    processes: dict[str, Process] = field(default_factory=dict)

    # ------------------------------------------------------------------ clients
    @contextlib.contextmanager
    def started(self, names: Sequence[str]) -> Iterator[None]:
        """Start the clients; those that cannot are left out, with a line. At the end all keys are removed."""
        with contextlib.ExitStack() as stack:
            for name in dict.fromkeys([_HELPER, *names]):
                self.processes[name] = stack.enter_context(self.process(name))
            for name in list(self.processes):
                self._await(name)
            try:
                yield
            finally:
                self._clean_up()

    def _clean_up(self) -> None:
        if self.server:
            return  # all of it goes with the server
        # whatever came in between, this one is at no other task
        with self.process(_HELPER) as process:
            process.versions()
            process.ask(do="remove", key=self.place.prefix)

    @contextlib.contextmanager
    def process(self, name: str) -> Iterator[Process]:
        """A new process of a client, for as long as the block lasts."""
        process = Process(name, self.pythons[name], self.place, self.scratch)
        try:
            yield process
        finally:
            process.close()

    def _await(self, name: str) -> None:
        try:
            versions = self.processes[name].versions()
        except ClientFailed as error:
            if name == _HELPER:
                raise
            del self.processes[name]
            say(f"left out: {name} ({error}; --python '{name}=PATH' names a Python that has it)")
            self.results.about.setdefault("left out", {})[name] = str(error)
        else:
            if CLIENTS[name].group != LIMIT:
                self.results.about.setdefault("clients", {})[name] = versions

    @property
    def helper(self) -> Process:
        """What prepares and cleans up."""
        return self.processes[_HELPER]

    # ------------------------------------------------------------------ measuring
    def measure(self, process: Process, number: int, **task: Any) -> Record:
        """Let a client do a task; our server counts what reaches it."""
        before = self._counts()
        measured = process.ask(**task)
        counts = {kind: (count - before[kind]) / task.get("repeat", 1) for kind, count in self._counts().items()}
        return Record(number, **measured, requests=counts.get("requests"), bytes_in=counts.get("bytes_in"))

    def _counts(self) -> dict[str, int]:
        return self.server.counts() if self.server else {}

    # ------------------------------------------------------------------ arrays
    def key(self, workload: str, client: str = "") -> str:
        """What the keys of a client begin with: none of them is a folder to another one."""
        return f"{self.place.prefix}/{workload}" + (f"/{client.replace(' ', '-')}" if client else "")

    def source(self, kind: str, size: int) -> dict[str, Any]:
        """The part of a task that names an array: made once, in a file that all clients read."""
        dtype = {"random": "<f8", "smooth": "<f4"}[kind]
        path = self.scratch / f"{kind}-{size}.bin"
        if not path.exists():
            make_array(kind, size).astype(dtype, copy=False).tofile(path)
        return {"source": str(path), "dtype": dtype, "shape": [size // np.dtype(dtype).itemsize]}

    def forget_sources(self) -> None:
        """Remove the files of arrays: they may lie in memory."""
        for path in self.scratch.glob("*.bin"):
            path.unlink()


def make_array(kind: str, size: int) -> np.ndarray[Any, Any]:
    """Noise, or a random walk in small steps as measured signals are: whole numbers as float32."""
    rng = np.random.default_rng(0)
    if kind == "random":
        return rng.standard_normal(size // 8)
    return np.cumsum(rng.integers(-3, 4, size // 4))


def say(line: str) -> None:
    """Tell who waits how it goes."""
    print(f"{time.perf_counter() - _BEGAN:4.0f} s  {line}", file=sys.stderr, flush=True)

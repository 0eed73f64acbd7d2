"""How fast numpy arrays go to an S3 store and back, beside other libraries and beside what sockets can do.

Without --endpoint, a small server is started on this machine. Clients that are not installed are left out; one that is
installed for another Python takes part with --python NAME=PATH. Tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.clients import CLIENTS, LIMIT
from benchmarks.place import Place
from benchmarks.plot import draw
from benchmarks.report import report
from benchmarks.results import Results
from benchmarks.server import LoopbackServer, running
from benchmarks.workloads import Listing, ManyArrays, Memory, OneArray, PackedArray, Removing, Workload, run

_KINDS = ("one", "packed", "many", "listing", "memory")
_BUCKET = "benchmark"
#: Of our own server, which looks at no signature.
_ANY_KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, or read what was measured; print the tables, write the files."""
    arguments = parse_arguments(words)
    # what was started is stopped, and what was written is removed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    results = Results.load(arguments.read) if arguments.read else measure(arguments)
    if arguments.json:
        results.save(arguments.json)
    if arguments.plot:
        draw(results, arguments.plot)
    print(report(results))


# ---------------------------------------------------------------------- arguments
def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure, and where."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    _add_place(parser)
    _add_work(parser)
    add = parser.add_argument_group("output").add_argument
    add("--json", type=Path, metavar="FILE", help="write every measurement to a file")
    add("--plot", type=Path, metavar="FILE", help="draw a picture (SVG; needs matplotlib)")
    add("--read", type=Path, metavar="FILE", help="measure nothing: take what --json wrote")
    arguments = parser.parse_args(words)
    if bool(arguments.endpoint) != bool(arguments.bucket):
        parser.error("--endpoint and --bucket belong together")
    if arguments.endpoint and not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= os.environ.keys():
        parser.error("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if arguments.plot and arguments.plot.suffix != ".svg":
        parser.error("--plot: the picture is an SVG, of which the file's name ends with .svg")
    if unknown := sorted(set(arguments.pythons) - set(CLIENTS)):
        parser.error(f"--python: there is no {unknown[0]}; there are: {', '.join(CLIENTS)}")
    return arguments


def _add_place(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where").add_argument
    add("--endpoint", metavar="URL", help="of a store; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    add("--bucket", help="of that store; all that is stored in it is removed at the end")
    add("--tls", action="store_true", help="our own server speaks https (needs cryptography)")
    add("--latency-ms", type=float, default=0, help="each answer of our own server waits")
    add("--workers", type=int, help="processes of our own server (default: as many as cores, at most 4)")


def _add_work(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what").add_argument
    libraries = [name for name in CLIENTS if CLIENTS[name].group != LIMIT]
    add("--clients", nargs="+", choices=libraries, default=libraries, metavar="NAME", help=", ".join(libraries))
    add("--python", dest="pythons", action=NamedPath, default={}, metavar="NAME=PATH", help="the Python of a client")
    add(
        "--workloads",
        nargs="+",
        choices=_KINDS,
        metavar="KIND",
        help=f"{', '.join(_KINDS)} (default: all; but with --quick no memory)",
    )
    add("--quick", action="store_true", help="less of everything: under a minute")
    add("--sizes", nargs="+", type=float, metavar="MB", help="of single arrays (default: 1/128 1 64 512)")
    add("--packed-size", type=float, metavar="MB", help="of compressed arrays (default: 64)")
    add("--count", type=int, help="of small arrays (default: 500)")
    add("--keys", type=int, help="that are listed; a tenth of them is removed (default: 20000)")
    add("--rounds", type=int, help="default: 5")
    add("--seconds", type=float, help="a client that has spent more on one workload sits out its further rounds")


class NamedPath(argparse.Action):
    """``NAME=PATH``, several times."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        """Keep one of them."""
        name, equals, path = str(values).partition("=")
        if not equals or not Path(path).exists():
            parser.error(f"{option} wants NAME=PATH, with a Python that is there")
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: path})


def sizes_of(arguments: argparse.Namespace) -> dict[str, float]:
    """How much of everything: what was asked for, over what is usual."""
    full = {"packed_size": 64, "count": 500, "keys": 20_000, "rounds": 5, "seconds": 20}
    quick = {"packed_size": 16, "count": 50, "keys": 2_000, "rounds": 3, "seconds": 1}
    usual = quick if arguments.quick else full
    return {name: getattr(arguments, name) or value for name, value in usual.items()}


def workloads(arguments: argparse.Namespace) -> list[Workload]:
    """What is done, in this order."""
    sizes = [
        int(size * 2**20)
        for size in arguments.sizes or ([1 / 128, 1, 32] if arguments.quick else [1 / 128, 1, 64, 512])
    ]
    much = sizes_of(arguments)
    count, keys, packed = int(much["count"]), int(much["keys"]), int(much["packed_size"] * 2**20)
    slow = [] if arguments.quick or arguments.endpoint else [ManyArrays(count, latency=20)]
    work: dict[str, list[Workload]] = {
        "one": [OneArray(size) for size in sizes],
        "packed": [PackedArray("smooth", packed), PackedArray("random", packed)],
        "many": [ManyArrays(count), *slow],
        "listing": [Listing(keys), Removing(keys // 10)],
        "memory": [Memory(sizes[-1])],
    }
    # memory needs new processes, and most libraries take seconds to import
    usual = _KINDS[:-1] if arguments.quick else _KINDS
    return [workload for kind in _KINDS if kind in (arguments.workloads or usual) for workload in work[kind]]


# ---------------------------------------------------------------------- measuring
def measure(arguments: argparse.Namespace) -> Results:
    """Start everything, run the workloads, stop everything."""
    results = Results(about={"machine": machine()})
    much = sizes_of(arguments)
    with contextlib.ExitStack() as stack:
        place, server = stack.enter_context(opened(arguments))
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cottoncandy-bench-", dir=memory_folder()))
        )
        pythons = {name: arguments.pythons.get(name, sys.executable) for name in CLIENTS}
        limits = [name for name, info in CLIENTS.items() if info.group == LIMIT]
        results.about["store"] = "a server on the same machine" if server else "a store elsewhere"
        rounds, seconds = int(much["rounds"]), much["seconds"]
        bench = Bench(place, server, pythons, scratch, rounds, seconds, results, arguments.latency_ms)
        with bench.started([*limits, *arguments.clients]):
            for workload in workloads(arguments):
                run(bench, workload)
    return results


@contextlib.contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[tuple[Place, LoopbackServer | None]]:
    """The place: somebody's, or a server of our own."""
    prefix = f"cottoncandy-benchmark-{secrets.token_hex(4)}"
    if arguments.endpoint:
        yield Place.from_environment(os.environ, arguments.endpoint, arguments.bucket, prefix), None
        return
    with running(tls=arguments.tls, workers=arguments.workers) as server:
        server.create_bucket(_BUCKET)
        server.set_latency(arguments.latency_ms)
        keys = {**_ANY_KEYS, "AWS_CA_BUNDLE": str(server.authority or "")}
        yield Place.from_environment(keys, server.endpoint, _BUCKET, prefix), server


def memory_folder() -> str | None:
    """A folder in memory, where the system has one: reading the arrays is not to wait for a disk."""
    from benchmarks.server.__main__ import memory_folder as folder

    return folder()


def machine() -> str:
    """What this runs on."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"

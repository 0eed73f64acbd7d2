"""``python -m benchmarks.server``: the server by itself, until its input ends."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
from pathlib import Path

from benchmarks.server.counts import Counts
from benchmarks.server.operations import Operations
from benchmarks.server.serving import Worker
from benchmarks.server.storage import Storage


def main() -> None:
    """Start the workers, say where they listen, and wait for the end of the input."""
    arguments = parse_arguments()
    parent = arguments.folder or memory_folder()
    folder = Path(tempfile.mkdtemp(prefix="cottoncandy-benchmark-", dir=parent))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        # the input of the workers is a pipe that ends with this process, however it ends
        alive, held = os.pipe()
        with socket.create_server(("127.0.0.1", arguments.port), backlog=1024) as listening:
            counts = Counts(arguments.workers)
            counts.latency = arguments.latency_ms / 1000
            for number in range(arguments.workers):
                start_worker(number, listening, folder, counts, arguments.certificate, (alive, held))
            scheme = "https" if arguments.certificate else "http"
            print(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}", flush=True)
            sys.stdin.read()
        os.close(held)
        for _ in range(arguments.workers):
            os.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parse_arguments() -> argparse.Namespace:
    """What the server is to be like."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (default: a free one)")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1), help="processes")
    parser.add_argument("--latency-ms", type=float, default=0, help="how long each answer waits")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="PEM of key and certificate: serve over TLS")
    parser.add_argument(
        "--folder", type=Path, help="where the objects lie (default: in memory, where there is /dev/shm)"
    )
    return parser.parse_args()


def memory_folder() -> str | None:
    """A folder in memory; None, for the usual one, where the system has none."""
    shared = "/dev/shm"  # noqa: S108 - a folder of one's own is made in it
    return shared if os.access(shared, os.W_OK) else None


def start_worker(
    number: int,
    listening: socket.socket,
    folder: Path,
    counts: Counts,
    certificate: Path | None,
    lifeline: tuple[int, int],
) -> None:
    """Fork a process that serves as long as this one lives."""
    if os.fork():
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        alive, held = lifeline
        os.close(held)
        counts.be_worker(number)
        worker = Worker(Operations(Storage(folder)), counts, tls_context(certificate))
        worker.serve_in_background(listening)
        os.read(alive, 1)
    finally:
        os._exit(0)


def tls_context(certificate: Path | None) -> ssl.SSLContext | None:
    """How connections are encrypted; None where they are not."""
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


if __name__ == "__main__":
    main()

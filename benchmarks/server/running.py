"""The server as a process of its own, for as long as a block lasts."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: The folder that has the package `benchmarks`.
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class LoopbackServer:
    """A server that runs.

    Attributes
    ----------
    endpoint : str
        Its URL.
    authority : Path or None
        The certificate to trust; None over plain http.
    """

    endpoint: str
    authority: Path | None = None

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket."""
        self._ask("PUT", f"/{bucket}")

    def counts(self) -> dict[str, int]:
        """What it has counted so far: ``requests``, ``bytes_in``, ``bytes_out``."""
        return self._control("")

    def set_latency(self, milliseconds: float) -> None:
        """Let each answer wait from now on."""
        self._control(str(milliseconds))

    def _control(self, command: str) -> dict[str, int]:
        counts: dict[str, int] = json.loads(self._ask("GET", f"/_benchmark/{command}"))
        return counts

    def _ask(self, method: str, path: str) -> bytes:
        with contextlib.closing(_connect(urlsplit(self.endpoint).netloc, self.authority)) as connection:
            connection.request(method, path)
            return connection.getresponse().read()


def _connect(host: str, authority: Path | None) -> http.client.HTTPConnection:
    if authority is None:
        return http.client.HTTPConnection(host)
    import ssl

    return http.client.HTTPSConnection(host, context=ssl.create_default_context(cafile=str(authority)))


@contextlib.contextmanager
def running(*, tls: bool = False, workers: int | None = None) -> Iterator[LoopbackServer]:
    """Start a server; it ends with the block, or with this process.

    Parameters
    ----------
    tls : bool
        Serve over https, with the certificate of an authority that is made for it. It needs `cryptography`.
    workers : int, optional
        How many processes serve.
    """
    options = [] if workers is None else [f"--workers={workers}"]
    trusted = None
    with contextlib.ExitStack() as stack:
        if tls:
            from benchmarks.server.authority import make_certificates

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cottoncandy-authority-"))
            trusted, shown = make_certificates(Path(folder))
            options.append(f"--certificate={shown}")
        process = stack.enter_context(_started(options))
        yield LoopbackServer(process.stdout.readline().strip(), trusted)


@contextlib.contextmanager
def _started(options: list[str]) -> Iterator[Any]:
    command = [sys.executable, "-m", "benchmarks.server", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.communicate()

"""Start a program, wait until it is ready, stop it: what all servers share."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: How long a server may take until it serves. Some seconds on an idle machine.
START_SECONDS = 120
#: How long a server may take to end by itself; its data is thrown away anyway.
STOP_SECONDS = 3
#: Below the ephemeral ports of Linux (32768 on), so that no outgoing connection takes one before the server does.
PORTS = range(12_000, 32_000)


class ProgramMissing(Exception):
    """A server's program is not installed; the message says how to get it."""


@dataclass(frozen=True)
class Server:
    """A running S3 server.

    Attributes
    ----------
    access_key, secret_key : str
        Of the main user, who may do everything.
    alt_access_key, alt_secret_key : str
        Of another user, who owns nothing. Where the server knows no users (moto), any keys.
    ca_bundle : str or None
        What verifies the server's own certificate, when the endpoint is https.
    tls : Server or None
        The same store over https.
    """

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    alt_access_key: str
    alt_secret_key: str
    ca_bundle: str | None = None
    tls: Server | None = None


def find_program(name: str, how_to_get: str) -> str:
    """A program of this virtual environment, or of the system."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise ProgramMissing(f"there is no program {name!r}: {how_to_get}")
    return found


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on."""
    ports: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"there are no {count} free ports in {PORTS}")


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of a server: nothing of the developer's own settings, keys and proxies."""
    return {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "HOME": str(home), "LC_ALL": "C.UTF-8"}


@contextmanager
def running(command: Sequence[str | Path], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, so that Ctrl-C is not for it; ended with all its children."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Poll until the server is ready; fail at once when it ends, with the last lines of its log."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            why = "ended" if process.poll() is not None else f"is not ready after {START_SECONDS} s"
            raise RuntimeError(f"{process.args[0]} {why}; its log ends:\n{log.read_text(errors='replace')[-2000:]}")  # type: ignore[index]
        time.sleep(0.02)


def http_get(url: str) -> str | None:
    """What a URL of this machine answers, be it an error; None where nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return str(response.read(), "utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read(), "utf-8", "replace")
    except OSError:
        return None

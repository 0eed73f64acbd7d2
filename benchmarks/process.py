"""Clients in processes of their own, from the side of who asks."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

from benchmarks.clients import CLIENTS
from benchmarks.place import Place
from benchmarks.server.running import ROOT

#: Seconds; a client that takes longer over one task is ended.
_PATIENCE = 600
#: Seconds that it has to end in.
_LAST_SECONDS = 10


class ClientFailed(Exception):
    """A client could not do what it was asked to."""


class Process:
    """One client, which waits for tasks.

    Parameters
    ----------
    name : str
        Of `CLIENTS`.
    python : str
        The interpreter that has it.
    place : Place
    scratch : Path
        A folder for what the client prints.
    """

    def __init__(self, name: str, python: str, place: Place, scratch: Path) -> None:
        self.name = name
        self._printed = scratch / f"{name.replace(' ', '-')}.log"
        environment = {**place.environment(scratch), **dict(CLIENTS[name].environment)}
        command = [python, "-m", "benchmarks.child", name, place.endpoint, place.bucket, place.prefix]
        with self._printed.open("ab") as printed:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                text=True,
                start_new_session=True,  # Ctrl-C is for who started the run, who ends them all
            )

    def versions(self) -> dict[str, str]:
        """Wait until it is ready; gives the versions of what it consists of.

        Raises
        ------
        ClientFailed
            If it cannot be imported, or cannot connect.
        """
        versions: dict[str, str] = self._receive()["versions"]
        return versions

    def ask(self, **task: Any) -> dict[str, float]:
        """Let it do a task; gives what was measured: ``seconds``, ``cpu`` (seconds) and ``peak`` (bytes).

        Raises
        ------
        ClientFailed
        """
        try:
            print(json.dumps(task), file=self._process.stdin, flush=True)
        except OSError:
            raise ClientFailed(self._last_words()) from None
        measured: dict[str, float] = self._receive()
        return measured

    def _receive(self) -> Any:
        timer = threading.Timer(_PATIENCE, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            timer.cancel()
        if not line:
            raise ClientFailed(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise ClientFailed(answer["error"])
        return answer

    def _last_words(self) -> str:
        lines = self._printed.read_text(errors="replace").splitlines()
        return f"its process ended: {lines[-1] if lines else 'without a word'}"

    def close(self) -> None:
        """End it: its input ends."""
        try:
            self._process.communicate(timeout=_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

"""The backends against a dictionary; the local one with all that lies on the disk."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from backend_model import AgainstADictionary
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test
from local_files import directories, files
from memory_backend import MemoryBackend
from servers import ServerPool
from stores import BOTH_WIRES, STORES, Store

from cottoncandy.backends.base import Backend
from cottoncandy.backends.local import LocalBackend


class Local(AgainstADictionary):
    small_parts = True

    def open(self) -> Backend:
        self.folder = tempfile.TemporaryDirectory()
        return LocalBackend.connect(f"{self.folder.name}/store")

    def end(self) -> None:
        self.folder.cleanup()

    def fits(self, key: str) -> bool:
        return not any(other.startswith(key + "/") or key.startswith(other + "/") for other in self.model)

    @invariant()
    def the_disk_holds_the_model_and_nothing_else(self) -> None:
        if not hasattr(self, "model"):
            return
        root = Path(str(self.backend.location))
        assert set(files(root)) == {name for key in self.model for name in (key, f"{key}.meta.json")}
        assert all(any(key.startswith(f"{name}/") for key in self.model) for name in directories(root))


class Memory(AgainstADictionary):
    def open(self) -> Backend:
        name = f"memory-{uuid.uuid4().hex}"
        MemoryBackend.containers[name] = {}
        return MemoryBackend(name)


def _of_a_store(make: Callable[[], Store]) -> type[RuleBasedStateMachine]:
    class OfAStore(AgainstADictionary):
        def open(self) -> Backend:
            self.store = make()
            return self.store.backend()

        def end(self) -> None:
            assert self.store.raw.leftovers() == []
            self.store.close()

    return OfAStore


def _run(machine: type[RuleBasedStateMachine], examples: int, steps: int = 25, *phases: Phase) -> None:
    phases = phases or tuple(Phase)
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases)
    run_state_machine_as_test(machine, settings=chosen)


def test_the_local_backend() -> None:
    _run(Local, 30)


def test_the_contract_in_memory() -> None:
    _run(Memory, 20)


@BOTH_WIRES
def test_s3_both_ways(servers: ServerPool, tmp_path: Path) -> None:
    _run(
        _of_a_store(lambda: STORES["moto"](servers, tmp_path)), 3, 20, Phase.generate
    )  # to shrink what fails takes many requests


def test_google_drive(servers: ServerPool, tmp_path: Path) -> None:
    _run(_of_a_store(lambda: STORES["gdrive"](servers, tmp_path)), 8, 20, Phase.generate)

"""Two or three write one tree at the same time, one call after the other by chance, while somebody reads it.

Some are killed on the way, and some meet a call that fails. Each object that is deleted is a call of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from memory_backend import MemoryBackend
from race_soak import Tree
from turns import Stopped, Turns

import cottoncandy as cc
from cottoncandy.errors import AccessDenied, ObjectChanged
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.interfaces.arrays import tree, treesettling, treeupload

NAME, CONTAINER, OLD, NEXT, READER = "t", "memory-turns", 9, 5, 4
STEPS = ("put", "copy", "remove", "get", "list_objects")
#: The first ones, and those that once went wrong.
SEEDS = [*range(60), 201, 208, 223, 271, 282, 332, 350, 351, 412, 555, 651, 691, 692]


class OneByOne(MemoryBackend):
    """Deletes one object after the other, so that somebody may look between two of them."""

    def delete(self, keys: Iterable[str], *, trash: bool = False) -> int:
        return sum(self.remove(key) for key in list(keys))

    def remove(self, key: str) -> int:
        return super().delete([key])


def tree_of(number: int, seed: int) -> Tree:
    """One of a writer's own, which shares some names with those of the others."""
    chance = random.Random(f"{number} {seed}")
    leaves: Tree = {f"leaf{i}": np.full(4, number) for i in range(chance.choice([1, 2, 3]))}
    if chance.random() < 0.6:
        leaves["group"] = {f"g{i}": np.full(3, number) for i in range(chance.choice([1, 2, 3]))}
    elif chance.random() < 0.5:
        leaves["group"] = np.full(5, number)
    if chance.random() < 0.5:
        leaves[f"only{number}"] = np.full(2, number)
    return leaves


def told(found: Tree) -> Any:
    """What can be compared."""
    return {name: told(leaf) if isinstance(leaf, dict) else leaf.tolist() for name, leaf in found.items()}


class Race:
    """What is there, who writes, and what comes of it."""

    def __init__(self, folder: Path, seed: int, happens: str) -> None:
        self.chance, self.folder, self.seed, self.happens = random.Random(f"{seed} {happens}"), folder, seed, happens
        self.writers = list(range(1, self.chance.choice([3, 4])))
        self.old = self.chance.choice([0, OLD])
        self.trees = {number: told(tree_of(number, seed)) for number in [OLD, *self.writers]} | {0: {}}
        unlucky, number = self.chance.choice(self.writers), self.chance.randrange(1, 60)
        lives = {unlucky: number} if happens == "a kill" else {}
        ends = number + (1 if self.chance.random() < 0.7 else 1000)
        failures = {unlucky: range(number, ends)} if happens == "a failure" else {}
        self.turns = Turns(seed, {*self.writers, READER}, self._passes, lives, failures)
        self.errors: dict[int, BaseException] = {}
        self.now, self.pace = 1000.0, self.chance.choice([0.001, 0.05, 0.3])

    def _passes(self) -> None:
        self.now += self.pace * self.chance.random()

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    @contextmanager
    def patched(self) -> Iterator[pytest.MonkeyPatch]:
        """Clock and versions by the seed."""
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now, sleep=self._sleep)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(treeupload, "time", clock)
            for module in (tree, treesettling):
                patch.setattr(module, "new_version", lambda: f"{self.chance.getrandbits(64):016x}")
            yield patch

    def interface(self, number: int | None = None, patch: pytest.MonkeyPatch | None = None) -> DefaultInterface:
        """A new one; with a number it waits for its turns."""
        cci = cc.get_interface(str(self.folder), backend="local", verbose=False)
        cci.backend_interface = OneByOne(CONTAINER)
        if number is not None and patch is not None:
            self.turns.take(cci, number, patch, STEPS)
        return cci

    def run(self) -> None:
        """Let all write and read at the same time."""
        MemoryBackend.containers[CONTAINER] = {}
        if self.old:
            self.interface().dict2cloud(NAME, tree_of(OLD, self.seed), verbose=False)
        with self.patched() as patch, ThreadPoolExecutor(len(self.writers) + 1) as pool:
            ready = {number: self.interface(number, patch) for number in [*self.writers, READER]}
            list(pool.map(lambda number: self._take_part(number, ready[number]), ready))

    def _take_part(self, number: int, cci: DefaultInterface) -> None:
        try:
            if number == READER:
                self._read(cci)
            else:
                cci.dict2cloud(NAME, tree_of(number, self.seed), verbose=False, threads=1)
        except (Stopped, AccessDenied) as error:
            self.errors[number] = error
        finally:
            self.turns.leave(number)

    def _read(self, cci: DefaultInterface) -> None:
        """Again and again: what was there once does not vanish."""
        was_there = bool(self.old)
        for _ in range(12):
            try:
                found = self.which(cci)
            except ObjectChanged:
                continue
            assert found or not was_there
            was_there = bool(found)

    def which(self, cci: DefaultInterface) -> int:
        """The number of the tree that is there; it is one of them, whole."""
        found = told(cci.cloud2dict(NAME, verbose=False, threads=1))
        numbers = [number for number, known in self.trees.items() if known == found]
        assert numbers, f"a mixture, or not whole: {found}"
        return numbers[0]

    def left(self) -> list[str]:
        """What lies beside the tree."""
        return [key for key in MemoryBackend.containers[CONTAINER] if ".upload-" in key]


@pytest.fixture
def race(tmp_path: Path) -> Iterator[Callable[[int, str], Race]]:
    yield lambda seed, happens: Race(tmp_path, seed, happens)
    MemoryBackend.containers.pop(CONTAINER, None)


@pytest.mark.parametrize("happens", ["nothing", "a kill", "a failure"])
@pytest.mark.parametrize("seed", SEEDS)
def test_in_turns(race: Callable[[int, str], Race], happens: str, seed: int) -> None:
    one = race(seed, happens)
    one.run()
    cci = one.interface()
    found, returned = one.which(cci), set(one.writers) - one.errors.keys()
    assert found in {*one.writers, one.old}
    assert found != one.old or not returned
    error = one.errors.get(found)
    if isinstance(error, AccessDenied) and not returned:
        assert "the tree is stored" in str(error)
    # the next one is what is there, and clears up; who failed for good looks like one who is at work
    cci.dict2cloud(NAME, tree_of(NEXT, seed), verbose=False)
    assert told(cci.cloud2dict(NAME, verbose=False)) == told(tree_of(NEXT, seed))
    assert happens != "nothing" or not one.left()

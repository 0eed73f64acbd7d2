"""Two write one tree at the same time, over and over, while a third reads it: what is there when both have returned.

    python tests/race_soak.py --stores local,moto --races 200

The delays follow from ``--seed`` and from how fast the store is.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from stores import STORES, Store

from cottoncandy.errors import ObjectChanged, ObjectNotFound
from cottoncandy.interfaces import DefaultInterface

NAME = "exp/t"
Tree = dict[str, Any]


def same_names(number: int) -> Tree:
    """A leaf that all trees share, and others that tell them apart."""
    leaves = {f"leaf{i}": np.full(4, number) for i in range(4)}
    return {**leaves, "mask": np.ones(9), "group": leaves}


def other_names(number: int) -> Tree:
    """Leaves whose names only this tree has, too."""
    return {**same_names(number), f"only{number}": np.full(2, number), f"group{number}": {"x": np.full(3, number)}}


def number_of(tree: Tree, make: Callable[[int], Tree]) -> int:
    """Which tree it is, 0 for none; ValueError for what is none of them, or not whole."""
    if not tree:
        return 0
    number = next((int(leaf[0]) for name, leaf in tree.items() if name.startswith("leaf")), -1)
    if not _alike(tree, make(number)):
        raise ValueError(f"a mixture, or not whole: {tree}")
    return number


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    return not isinstance(one, dict) and not isinstance(other, dict) and np.array_equal(one, other)


class Races:
    """Races in one container, and what came of them."""

    def __init__(self, store: Store, make: Callable[[int], Tree], seed: int, *, there: bool) -> None:
        self.store, self.make, self.there = store, make, there
        self.writers = [store.interface() for _ in range(2)]
        self.reader = store.interface()
        self.chance = random.Random(seed)
        self.window = 0.0
        self.came: Counter[str] = Counter()

    def run(self, races: int) -> Counter[str]:
        self._write(self.writers[0], 9, 0)
        began = time.monotonic()
        self._write(self.writers[0], 9, 0)
        self.window = time.monotonic() - began
        for _ in range(races):
            self._race()
        return self.came

    def _race(self) -> None:
        old = self._begin()
        over = threading.Event()
        delays = self.chance.choice([(0.0, 0.0), (0.0, self.chance.uniform(0, self.window))])
        with ThreadPoolExecutor(3) as pool:
            reading = pool.submit(self._read_until, over, {old, 1, 2})
            writing = [pool.submit(self._write, cci, i, delays[i - 1]) for i, cci in enumerate(self.writers, 1)]
            failures = [one.exception() for one in writing]
            over.set()
            reading.result()
        self.came.update(f"a writer's {type(error).__name__}" for error in failures if error)
        self.came[self._seen()] += 1
        self.came["something left beside it"] += ".upload-" in "".join(self.store.raw.keys())

    def _begin(self) -> int:
        self.reader.backend_interface.delete(self.store.raw.keys())
        old = 9 if self.there else 0
        if old:
            self._write(self.writers[0], old, 0)
        return old

    def _write(self, cci: DefaultInterface, number: int, delay: float) -> None:
        time.sleep(delay)
        cci.dict2cloud(NAME, self.make(number), verbose=False)

    def _read_until(self, over: threading.Event, allowed: set[int]) -> None:
        while not over.is_set():
            try:
                found = number_of(self.reader.cloud2dict(NAME, verbose=False), self.make)
            except (ObjectChanged, ObjectNotFound) as error:
                self.came[f"meanwhile {type(error).__name__}"] += 1
                continue
            except ValueError:
                self.came["MEANWHILE A MIXTURE"] += 1
                continue
            self.came["meanwhile a tree"] += 1
            if found not in allowed:
                self.came["MEANWHILE ANOTHER TREE"] += 1

    def _seen(self) -> str:
        try:
            found = number_of(self.store.interface().cloud2dict(NAME, verbose=False), self.make)
        except ObjectChanged:
            return "AT LAST ObjectChanged"
        except ValueError:
            return "AT LAST A MIXTURE"
        return "at last a new tree" if found in {1, 2} else "AT LAST THE OLD TREE"


def main() -> None:
    from servers import Pool

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default="local,moto")
    parser.add_argument("--races", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    pool = Pool()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, there, make in product(chosen.stores.split(","), (False, True), (same_names, other_names)):
                store = STORES[name](pool, Path(folder))
                came = Races(store, make, chosen.seed, there=there).run(chosen.races)
                told = ", ".join(f"{what} {count}" for what, count in sorted(came.items()))
                print(f"{name}, {'a tree' if there else 'nothing'} there, {make.__name__}: {told}", flush=True)  # noqa: T201
                store.close()
    finally:
        pool.close()


if __name__ == "__main__":
    main()

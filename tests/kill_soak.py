"""Stop a process at random moments while it overwrites arrays: each time the old or the new one is whole.

    python tests/kill_soak.py --stores local,moto,seaweedfs,ceph --moments 50 --signals KILL,INT,TERM

Needs `fork`. The moments follow from ``--seed`` and from how fast the store is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

import cottoncandy
from cottoncandy.backends import ending
from cottoncandy.interfaces import DefaultInterface

Signal = Literal["KILL", "INT", "TERM"]
NAME = "dir/name"
#: Parts of 5 MB: the raw array goes up in two.
SMALL_PARTS = {"COTTONCANDY_UPLOAD_SETTINGS_MPU_CHUNKSIZE": "5", "COTTONCANDY_UPLOAD_SETTINGS_MPU_USE_THRESHOLD": "5"}


# ---------------------------------------------------------------------- what is overwritten
def whole(arrays: list[np.ndarray[Any, Any]]) -> int:
    """The number that all items are; ValueError for a mixture."""
    (number,) = {int(item) for array in arrays for item in np.unique(array)}
    return number


def write_raw(cci: DefaultInterface, number: int) -> None:
    cci.upload_raw_array(NAME, np.full(800_000, number), compression=False)


def write_packed(cci: DefaultInterface, number: int) -> None:
    cci.upload_raw_array(NAME, np.full((number % 3 + 1, 100_000), number), compression="gzip")


def write_chunked(cci: DefaultInterface, number: int) -> None:
    cci.upload_dask_array(NAME, np.full((4 + number % 3, 50_000), number), axis=0, buffersize=400_000)


def write_sparse(cci: DefaultInterface, number: int) -> None:
    import scipy.sparse

    cci.upload_sparse_array(NAME, scipy.sparse.csr_array(np.full((100, 1000 + number % 3), number)))


def write_tree(cci: DefaultInterface, number: int) -> None:
    leaves = {f"only{number % 3}": np.full(5, number), "same": np.full(100, number)}
    cci.dict2cloud(NAME, {**leaves, "group": leaves, "other": {"group": leaves}}, verbose=False)


def read_tree(cci: DefaultInterface) -> int:
    tree = cci.cloud2dict(NAME, verbose=False)
    groups = [tree, tree["group"], tree["other"]["group"]]
    number = whole([group["same"] for group in groups] + [group[f"only{tree['same'][0] % 3}"] for group in groups])
    names = {f"only{number % 3}", "same"}
    return number if set(tree) == names | {"group", "other"} and set(tree["group"]) == names else -1


def read_chunked(cci: DefaultInterface) -> int:
    array = cci.download_dask_array(NAME).compute(scheduler="synchronous")
    return whole([array]) if array.shape[0] == 4 + array[0, 0] % 3 else -1


def read_sparse(cci: DefaultInterface) -> int:
    array = cci.download_sparse_array(NAME)
    return whole([array.toarray()]) if array.shape[1] == 1000 + array.data[0] % 3 else -1


def read_raw(cci: DefaultInterface) -> int:
    return whole([cci.download_raw_array(NAME)])


@dataclass(frozen=True)
class Kind:
    write: Callable[[DefaultInterface, int], None]
    read: Callable[[DefaultInterface], int]


KINDS = {
    "raw": Kind(write_raw, read_raw),
    "packed": Kind(write_packed, read_raw),
    "chunked": Kind(write_chunked, read_chunked),
    "sparse": Kind(write_sparse, read_sparse),
    "tree": Kind(write_tree, read_tree),
}


# ---------------------------------------------------------------------- one after the other is stopped
def soak(access: dict[str, Any], kind: Kind, moments: int, seed: int, how: Signal) -> int:
    """Stop as many writers; how many of them had begun to overwrite, and left the new array."""
    os.environ.update(SMALL_PARTS)
    cci, chance = cottoncandy.get_interface(**access), random.Random(seed)
    number, new = 1, 0
    kind.write(cci, number)
    began = time.monotonic()
    kind.write(cci, number)
    window = 2 * (time.monotonic() - began)
    for _ in range(moments):
        done = stopped_after(chance.uniform(0, window), access, kind, number, how)
        found = kind.read(cci)
        if found not in {done, done + 1}:
            raise ValueError(f"{done} was there, {done + 1} was written, {found} is there now")
        new += found > done
        number = found
    return new


def stopped_after(seconds: float, access: dict[str, Any], kind: Kind, number: int, how: Signal) -> int:
    """Let a process overwrite an array until it is stopped; the number that it had written last."""
    inlet, outlet = os.pipe()
    process = os.fork()
    if not process:
        overwrite(access, kind, number, outlet)
    os.close(outlet)
    with os.fdopen(inlet, "rb") as told:
        told.readline()
        time.sleep(seconds)
        os.kill(process, getattr(signal, f"SIG{how}"))
        os.waitpid(process, 0)
        return max([number, *map(int, told.read().split())])


def overwrite(access: dict[str, Any], kind: Kind, number: int, outlet: int) -> NoReturn:
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        cci = cottoncandy.get_interface(**access)
        os.write(outlet, b"0\n")
        for each in count(number + 1):
            kind.write(cci, each)
            os.write(outlet, b"%d\n" % each)
    threading._shutdown()
    ending._abort_all()  # of the interpreter's exit what is ours, not what the parent has to unwind
    os._exit(0)


# ---------------------------------------------------------------------- as a command
def soak_place(access: dict[str, Any], how: Signal, kinds: list[str], moments: int, seed: int) -> str:
    """Soak some kinds in a container; what came of it."""
    cci, said = cottoncandy.get_interface(**access), []
    for name in kinds:
        new = soak(access, KINDS[name], moments, seed, how)
        removed = len(cci.clean_uploads(older_than=0))
        said.append(f"{name} {moments - new} old, {new} new, {removed} uploads removed")
        if how != "KILL" and removed:
            raise ValueError(f"{name}: {removed} uploads were left by a process that could take them back")
        if left := cci.clean_uploads(older_than=0):
            raise ValueError(f"{left} are left")
        names = [info.key for info in cci.backend_interface.list_objects()]  # also what killed writers of trees left
        cci.backend_interface.delete(names)
    if cci.backend_interface.name == "local":  # empty directories may be left, and metadata of what was being deleted
        cci.rm_bucket(access["bucket_name"])
    return f"{cci.backend_interface.name} {how}: {'; '.join(said)}"


def access_to(store: Any) -> dict[str, Any]:
    """The arguments of `get_interface` that lead to a store of the tests."""
    return store.arguments | {"bucket_name": store.container, "backend": store.backend_name, "verbose": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default="local,moto")
    parser.add_argument("--place", type=json.loads, help="soak here instead: arguments of get_interface, as JSON")
    parser.add_argument("--signals", default="KILL,INT,TERM")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    what = chosen.kinds.split(","), chosen.moments, chosen.seed
    if chosen.place:
        for how in chosen.signals.split(","):
            print(soak_place(chosen.place, how, *what), flush=True)  # noqa: T201 - a command
    else:
        soak_stores(chosen.stores.split(","), chosen.signals.split(","), *what)


def soak_stores(names: list[str], signals: list[Signal], kinds: list[str], moments: int, seed: int) -> None:
    from servers import Pool
    from stores import STORES

    pool = Pool()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, how in product(names, signals):
                store = STORES[name](pool, Path(folder))
                print(name, soak_place(access_to(store), how, kinds, moments, seed), flush=True)  # noqa: T201
                if left := store.raw.leftovers():
                    raise ValueError(f"{left} are left")
                store.close()
    finally:
        pool.close()


if __name__ == "__main__":
    main()

"""An array larger than the memory of any one process goes up from the workers of a cluster, and comes down to them.

dask makes the numbers 0, 1, 2... in chunks, on two workers that are processes of their own. Each chunk goes into the
store from the worker that made it, and is read by the worker that needs it; this process only says what is to be done.
So it stays small however large the array is, and ends with an error where a number is not right, or where it grew.

    python examples/cluster.py                                  4 GB; a directory is the store
    python examples/cluster.py --gigabytes 0.25 --endpoint-url http://localhost:9000 --bucket my-bucket

Keys for S3 come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or wherever else you keep them: the
workers find them there as well. It may be run again: what is there is replaced, and removed at the end.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask.array as da
from distributed import Client, LocalCluster
from place import Arguments, ending_in_words, open_store

from cottoncandy.interfaces import DefaultInterface

NAME = "cluster/numbers"
CHUNK = 64 * 10**6  # bytes
MOST_MEMORY = 300  # MB of this process, most of it for the libraries


def main() -> None:
    """Start the workers, store the numbers, compute on what is stored, compare."""
    arguments = parse_arguments()
    cci = open_store(arguments)
    cluster = LocalCluster(processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with cluster, Client(cluster):
        right = there_and_back(cci, int(arguments.gigabytes * 1e9) // 8)
    cci.rm(NAME, recursive=True)
    peak = peak_memory()
    print(f"peak memory of this process: {peak:.0f} MB")
    sys.exit(not right or peak > MOST_MEMORY)


def parse_arguments() -> argparse.Namespace:
    """How much, and the store to use: a directory, or a bucket of any S3."""
    arguments = Arguments("cluster", __doc__)
    arguments.add_argument("--gigabytes", type=float, default=4.0, help="the size of the array (default: %(default)s)")
    return arguments.read()


def there_and_back(cci: DefaultInterface, count: int) -> bool:
    """Store so many numbers, and see whether what is stored is what was meant."""
    numbers = da.arange(count, chunks=CHUNK // 8, dtype="float64")
    with timed("up", numbers.nbytes):
        cci.upload_dask_array(NAME, numbers, compression=False)
    stored = cci.download_dask_array(NAME)
    with timed("mean", numbers.nbytes):
        mean = stored.mean().compute()
    with timed("difference", numbers.nbytes):
        difference = abs(stored - numbers).max().compute()
    with timed("1,000 of them", 8000):
        few = stored[count // 2 : count // 2 + 1000].compute()
    print(f"mean {mean} of {count:,} numbers in {stored.npartitions} chunks, largest difference {difference}")
    return bool(abs(mean - (count - 1) / 2) <= 1e-9 * count and difference == 0 and few[0] == count // 2)


@contextmanager
def timed(what: str, nbytes: int) -> Iterator[None]:
    """Print how long it took."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    print(f"{what:<14}{nbytes / 1e6:10.3f} MB{seconds:8.2f} s", flush=True)


def peak_memory() -> float:
    """The most memory that this process ever had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; what `resource` tells there begins with the peak of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    with ending_in_words():
        main()

"""The process of one client: tasks come in as lines of JSON, what was measured goes out as lines of JSON.

It is started as ``python -m benchmarks.child NAME ENDPOINT BUCKET PREFIX``, with the Python that has the client.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.clients import CLIENTS, make_client
from benchmarks.clients.base import Array, Client, Like
from benchmarks.place import Place

if TYPE_CHECKING:
    from typing_extensions import Self

#: Numbers of a small array: 16 KB.
SMALL = Like("<f8", (2048,))

Task = dict[str, Any]


def main() -> None:
    """Answer tasks until the input ends."""
    name, endpoint, bucket, prefix = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        tasks = Tasks(make_client(name, Place.from_environment(os.environ, endpoint, bucket, prefix)))
        answer: Task = {"versions": versions(name)}
        gc.freeze()  # what is imported is looked through no more: collecting takes no time any longer
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        answer = {"error": told(error)}
    print(json.dumps(answer), file=answers)
    if "error" not in answer:
        for line in sys.stdin:
            print(json.dumps(tasks.answer(json.loads(line))), file=answers)
    os._exit(0)  # threads of some libraries wait forever


def versions(name: str) -> dict[str, str]:
    """The versions of what a client consists of; of the checkout where nothing is installed."""
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for package in CLIENTS[name].packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "of the checkout"
    return found


def told(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]


class Tasks:
    """What a client is asked to do; each method is one kind of task, and gives the function that is measured."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def answer(self, task: Task) -> Task:
        """Do a task, perhaps several times over; gives the median of what it took."""
        gc.collect()
        if task.get("trim"):
            trim()
        try:
            runs = [self._run(task, number) for number in range(task.get("repeat", 1))]
        except Exception as error:  # noqa: BLE001 - told to who asked
            return {"error": told(error)}
        return {kind: float(np.median([run[kind] for run in runs])) for kind in runs[0]}

    def _run(self, task: Task, number: int) -> dict[str, float]:
        prepare: Callable[[Task, int], Callable[[], Any]] = getattr(self, f"_{task['do']}")
        function = prepare(task, number)
        with Measure() as measured:
            result = function()
        self._check(task, result)
        return measured.numbers

    # ------------------------------------------------------------------ tasks
    def _up(self, task: Task, number: int) -> Callable[[], Any]:
        array = load(task)
        return lambda: self._client.up(f"{task['key']}/{number}", array, task["packing"])

    def _down(self, task: Task, number: int) -> Callable[[], Any]:
        return lambda: self._client.down(f"{task['key']}/{number}", like(task), task["packing"])

    def _up_many(self, task: Task, number: int) -> Callable[[], Any]:
        arrays = small_arrays(task["count"])
        return lambda: self._client.up_many(f"{task['key']}/{number}", arrays)

    def _down_many(self, task: Task, number: int) -> Callable[[], Any]:
        return lambda: self._client.down_many(f"{task['key']}/{number}", SMALL)

    def _glob(self, task: Task, number: int) -> Callable[[], Any]:
        del number
        return lambda: self._client.glob(task["key"])

    def _list(self, task: Task, number: int) -> Callable[[], Any]:
        del number
        return lambda: self._client.list(task["key"])

    def _remove(self, task: Task, number: int) -> Callable[[], Any]:
        del number
        return lambda: self._client.remove(task["key"])

    def _put_keys(self, task: Task, number: int) -> Callable[[], Any]:
        """Many objects of one byte, in folders; only raw sockets do it."""
        del number
        per_folder = task["count"] // task["folders"]
        keys = [f"{task['key']}/d{i // per_folder:03d}/file{i % per_folder:03d}" for i in range(task["count"])]
        client: Any = self._client
        return lambda: client.put_keys(keys, [memoryview(b"x")] * len(keys))

    # ------------------------------------------------------------------ what comes back
    def _check(self, task: Task, result: Any) -> None:
        """Hold a result to what it must be.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if task["do"] == "down":
            check_array(result, like(task), load(task) if task.get("check") else None)
        elif task["do"] == "down_many":
            check_many(result, small_arrays(task["count"]))
        elif task["do"] in {"glob", "list"} and len(result) != task["count"]:
            raise ValueError(f"{len(result)} names instead of {task['count']}")


def like(task: Task) -> Like:
    """What the array of a task is like."""
    return Like(task["dtype"], tuple(task["shape"]))


def load(task: Task) -> Array:
    """The array of a task, in memory of its own."""
    array: Array = np.fromfile(task["source"], task["dtype"]).reshape(task["shape"])
    return array


def small_arrays(count: int) -> dict[str, Array]:
    """Small arrays by name, always the same."""
    rng = np.random.default_rng(0)
    return {f"array{number:04d}": rng.random(SMALL.shape) for number in range(count)}


def check_array(array: Any, expected: Like, data: Array | None) -> None:
    """Whether an array is what it should be, can be written, and has the right numbers."""
    if type(array) is not np.ndarray or array.dtype != expected.dtype or array.shape != expected.shape:
        raise ValueError(f"{type(array).__name__} instead of {expected}")
    if not array.flags.writeable:
        raise ValueError("the array cannot be written")
    if data is not None and not np.array_equal(array, data):
        raise ValueError("the numbers are not the same")


def check_many(arrays: dict[str, Array], expected: dict[str, Array]) -> None:
    """Whether all arrays came back."""
    if sorted(arrays) != sorted(expected):
        raise ValueError(f"{len(arrays)} arrays instead of {len(expected)}")
    for name, array in arrays.items():
        check_array(array, SMALL, expected[name])


class Measure:
    """Time, processor time and the peak of memory of a block."""

    def __enter__(self) -> Self:
        self._memory = reset_peak()
        self._used = processor_seconds()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        seconds = time.perf_counter() - self._began
        used = processor_seconds() - self._used
        self.numbers = {"seconds": seconds, "cpu": used, "peak": max(0, peak_memory() - self._memory)}


def trim() -> None:
    """Give back what was freed, where the C library can: else an array in it takes nothing."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def processor_seconds() -> float:
    """What this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def reset_peak() -> int:
    """Begin a new peak of memory, where the system can; gives what it begins with, in bytes."""
    with suppress(OSError):
        # 5 resets the high-water mark: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The largest resident set so far, in bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # in kilobytes, but on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()

"""How fast and how dense each way is to pack data inside a Blosc buffer, and which one a sample takes.

``python -m benchmarks.ways`` prints a table. Speed is MB of data for each second of one processor's time, the best of
some runs, so that others on the machine count for little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numcodecs import blosc

from cottoncandy.codecs.blosc.format import BLOCK
from cottoncandy.codecs.blosc.ways import WAYS, Way, choose, pack

Array = np.ndarray[Any, Any]
_BYTES, _ROUNDS = 32 * 2**20, 5


def kinds() -> dict[str, Array]:
    """What scientists store, made up; each of about the same number of bytes."""
    rng = np.random.default_rng(0)
    count = _BYTES // 8
    volumes = np.zeros((64, 64, 48, count // 98304), "f4")
    volumes[10:54, 12:50, 8:40] = 1000 + 20 * rng.standard_normal((44, 38, 32, volumes.shape[-1]))
    waves = np.sin(np.linspace(0, 300, 4 * count))
    return {
        "steps, float32": np.cumsum(rng.integers(-3, 4, 2 * count)).astype("f4"),
        "random walk, float64": np.cumsum(rng.standard_normal(count)),
        "waves with noise, int16": (1000 * np.abs(waves) + rng.integers(0, 30, 4 * count)).astype("i2"),
        "brain volumes, float32": volumes.reshape(-1),
        "three decimals, float32": np.round(rng.standard_normal(2 * count), 3).astype("f4"),
        "photograph, uint8": (
            (100 + 80 * np.sin(np.linspace(0, 3000, 8 * count))) + rng.integers(0, 6, 8 * count)
        ).astype("u1"),
        "mask, bool": np.sin(np.linspace(0, 3000, 8 * count)) > 0.3,
        "labels, int64": np.repeat(rng.integers(0, 90, count // 64), 64),
        "sorted numbers, int64": np.sort(rng.integers(0, 10**9, count)),
        "noise, float64": rng.standard_normal(count),
    }


def measure(data: memoryview, itemsize: int, way: Way) -> tuple[float, float, float]:
    """MB/s in and out, and the ratio."""
    size = 2 * BLOCK // itemsize * itemsize
    slices = [data[start : start + size] for start in range(0, len(data), size)]
    packing, packed = _best(lambda: [pack(one, itemsize, way) for one in slices])
    out = memoryview(bytearray(len(data)))

    def unpack() -> None:
        for start, one in zip(range(0, len(data), size), packed, strict=True):
            blosc.decompress(one, out[start : start + size])

    unpacking, _ = _best(unpack)
    megabytes = len(data) / 1e6
    return megabytes / packing, megabytes / unpacking, len(data) / sum(map(len, packed))


def _best(function: Callable[[], Any]) -> tuple[float, Any]:
    seconds = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        result = function()
        seconds.append(time.thread_time() - began)
    return min(seconds), result


def main() -> None:
    """Print the table; the way that the sample takes has a star."""
    blosc.use_threads = False
    heads = [f"{way.compressor.decode()} {way.level}, {('', 'bytes', 'bits')[way.shuffle]}" for way in WAYS]
    print("| MB/s in, out, ratio |", " | ".join(heads), "|")
    print("| --- |", " | ".join(["---"] * len(heads)), "|")
    for name, array in kinds().items():
        data = memoryview(array).cast("B")
        taken = choose(data, array.itemsize)
        cells = [
            "{:.0f}, {:.0f}, {:.4g}".format(*measure(data, array.itemsize, way)) + " \\*" * (way == taken)
            for way in WAYS
        ]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()

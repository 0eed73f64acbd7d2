"""Arrays up and down on a bad line, for as long as you like: ``python tests/soak.py --minutes 5 --seed 1``.

A proxy before moto's server breaks a share of the requests in mixed ways. Each round writes arrays, reads them back,
lists them and deletes them: none may be lost, wrong or doubled, no upload may stay open, and the log must name each
object that was hit. One seed breaks the same requests again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from recorder import RecordingProxy
from servers import Pool, Server
from stores import Store, s3_store
from weather import Weather

log = logging.getLogger("soak")

#: Of `python tests/soak.py`: waits of a thousandth of what they are, as the faults are none of a busy server.
OPTIONS = {"RETRY_LONGEST_WAIT": "0.02", "RETRY_READ_TIMEOUT": "5", "UPLOAD_SETTINGS_MPU_USE_THRESHOLD": "5"}
OPTIONS |= {"UPLOAD_SETTINGS_MPU_CHUNKSIZE": "5", "DOWNLOAD_SETTINGS_MPD_USE_THRESHOLD": "1"}
#: One array of so many is larger than a part, and moves in several.
_LARGE = 100


class _Kept(logging.Handler):
    """What the library logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Round:
    """What one round came to.

    Attributes
    ----------
    arrays : int
    broken : dict
        How many requests were broken, by kind.
    retries : int
        How many lines of the log tell of one.
    unnamed : set of str
        Objects that were hit, and that no line names.
    """

    arrays: int
    broken: dict[str, int]
    retries: int
    unnamed: set[str]


def array_of(number: int, seed: int) -> Any:
    """The array of a number: of any kind, most of them small."""
    rng = np.random.default_rng((seed, number))
    size = 800_000 if number % _LARGE == _LARGE - 1 else int(rng.integers(0, 3000))
    return rng.standard_normal(size).astype(rng.choice(["f8", "f4", "i2", ">f8"]))


def run_round(server: Server, count: int, seed: int, share: float, threads: int) -> Round:
    """Write, read, list and delete so many arrays while this share of the requests is broken.

    Raises
    ------
    AssertionError
        If one is lost, wrong or doubled.
    """
    weather, kept = Weather(seed, share), _Kept()
    library = logging.getLogger("cottoncandy")
    level = library.level
    library.setLevel(logging.INFO)
    library.addHandler(kept)
    try:
        with RecordingProxy(server.endpoint, hook=weather) as proxy:
            store = s3_store(server, proxy.url)
            _work(store, count, seed, threads, weather)
            store.close()
    finally:
        library.removeHandler(kept)
        library.setLevel(level)
    text = "\n".join(kept.lines)
    hit = {key for key in weather.hit if re.fullmatch(r"soak/array\d+", key)}
    return Round(count, dict(weather.broken), len(kept.lines), {key for key in hit if key not in text})


def _work(store: Store, count: int, seed: int, threads: int, weather: Weather) -> None:
    cci = store.interface()
    names = [f"soak/array{number:05d}" for number in range(count)]
    arrays = {f"array{number:05d}": array_of(number, seed) for number in range(count)}
    cci.dict2cloud("soak", arrays, verbose=False, threads=threads)
    assert store.raw.keys() == names, "lost or doubled"
    assert [info.key for info in cci.get_objects()] == names, "a listing is wrong"
    found = cci.cloud2dict("soak", verbose=False, threads=threads)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, name)
    assert len(store.raw.leftovers()) <= weather.lost_uploads, "an upload is open"
    with contextlib.redirect_stdout(io.StringIO()):
        cci.rm("soak", recursive=True)
    assert store.raw.keys() == [], "not all were deleted"


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="go on for so long (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each next one has the next")
    parser.add_argument("--arrays", type=int, default=1000, help="in a round (default: 1000)")
    parser.add_argument("--share", type=float, default=0.1, help="of the requests that are broken (default: 0.1)")
    chosen = parser.parse_args(arguments)
    os.environ.update({f"COTTONCANDY_{name}": value for name, value in OPTIONS.items()})
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    log.setLevel(logging.INFO)
    logging.getLogger("cottoncandy").propagate = False
    pool, end, seed = Pool(), time.monotonic() + 60 * chosen.minutes, chosen.seed
    try:
        while True:
            os.environ["COTTONCANDY_BASIC_LEAN_WIRE"] = str(seed % 3 != 0)
            began = time.monotonic()
            done = run_round(pool.get("moto"), chosen.arrays, seed, chosen.share, threads=1 if seed % 4 == 0 else 8)
            log.info("seed %d, %.1f s: %s", seed, time.monotonic() - began, done)
            if done.unnamed:
                return 1
            seed += 1
            if time.monotonic() > end:
                return 0
    finally:
        pool.close()


if __name__ == "__main__":
    sys.exit(main())

"""A real fMRI scan goes into a store and comes back, and every number is compared.

The scan is ``example4d.nii.gz``, which ships inside nibabel: two volumes of a human head. Its volumes are stored raw
and compressed, its brain mask as a sparse array, the results per slice as a tree, and the affine. Then they are
listed, globbed and browsed; a second process reads all of it back and compares it with the scan, bit for bit.

    python examples/fmri.py                                    a directory is the store
    python examples/fmri.py --endpoint-url http://localhost:9000 --bucket my-bucket

Keys for S3 come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or wherever else you keep them.
It may be run again: what is there is replaced. ``--check`` only does the second process's part.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import Any

import nibabel
import numpy as np
import scipy.sparse
from place import Arguments, ending_in_words, open_store

from cottoncandy.interfaces import DefaultInterface

CODECS = ("gzip", "Zstd")


def main() -> None:
    """Store the scan and let a second process check it; with ``--check``, be that process."""
    arguments = parse_arguments()
    cci = open_store(arguments)
    scan = load_scan()
    if arguments.check:
        sys.exit(check(cci, scan))
    print(f"scan   {scan['volumes'].dtype} {scan['volumes'].shape}, {scan['volumes'].nbytes / 1e6:.2f} MB")
    print(f"store  {cci}\n")
    store(cci, scan)
    look_around(cci)
    second_process = subprocess.run([sys.executable, *sys.argv, "--check"], check=False)
    sys.exit(second_process.returncode)


def parse_arguments() -> argparse.Namespace:
    """The store to use: a directory, or a bucket of any S3."""
    arguments = Arguments("fmri", __doc__)
    arguments.add_argument("--check", action="store_true", help="only read back and compare")
    return arguments.read()


def load_scan() -> dict[str, Any]:
    """The scan, and what is computed from it."""
    with as_file(files("nibabel") / "tests" / "data" / "example4d.nii.gz") as path:
        image = nibabel.load(path)
        volumes = np.asarray(image.dataobj)
    mean, deviation = volumes.mean(axis=-1), volumes.std(axis=-1)
    brain = mean > mean.mean()  # air is dark, and most of the volume
    # signal to noise over time: defined where the signal changes at all
    tsnr = np.divide(mean, deviation, out=np.full_like(mean, np.nan), where=deviation > 0)
    maps = {"mean": mean, "deviation": deviation, "tsnr": tsnr}
    slices = {
        f"slice{z:02d}": {name: values[:, :, z] for name, values in maps.items()} for z in range(volumes.shape[2])
    }
    mask = scipy.sparse.csr_array(brain.reshape(-1, brain.shape[-1]))
    return {"volumes": volumes, "mask": mask, "slices": slices, "affine": image.affine}


def store(cci: DefaultInterface, scan: dict[str, Any]) -> None:
    """Upload everything, with the size and the seconds of each."""

    def timed(label: str, name: str, upload: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        start = time.perf_counter()
        upload(name, *args, **kwargs)
        seconds = time.perf_counter() - start
        size = sum(cci.get_object(key).content_length for key in cci.glob(name))
        print(f"stored {label:<22}{name:<24}{size / 1e6:6.2f} MB{seconds:8.3f} s")

    volumes, mask = scan["volumes"], scan["mask"]
    timed("raw volumes", "fmri/raw.arr", cci.upload_raw_array, volumes, compression=False, subject="example")
    for codec in CODECS:
        timed(f"volumes, {codec}", f"fmri/{codec}.arr", cci.upload_raw_array, volumes, compression=codec)
    timed(f"mask, {mask.nnz} voxels", "fmri/mask", cci.upload_sparse_array, mask)
    timed(f"{len(scan['slices'])} slices", "fmri/slices.grp", cci.dict2cloud, scan["slices"], verbose=False)
    timed("affine", "fmri/affine.arr", cci.upload_raw_array, scan["affine"])


def look_around(cci: DefaultInterface) -> None:
    """List, glob and browse what was stored."""
    print(f"\nls      {', '.join(cci.ls('fmri'))}")
    pattern = "fmri/slices.grp/*/tsnr"
    found = cci.glob(pattern)
    print(f"glob    {pattern}: {len(found)} names, {found[0]} ... {found[-1]}")
    browser = cci.get_browser()
    print(f"browse  {browser.fmri.slices_DOT_grp.slice12}")
    print(f"        {browser.fmri.raw_DOT_arr}\n", flush=True)


def check(cci: DefaultInterface, scan: dict[str, Any]) -> int:
    """Read everything back and compare it with the scan; 1 if anything differs."""
    expected = {f"{codec}.arr": scan["volumes"] for codec in ("raw", *CODECS)} | {"affine.arr": scan["affine"]}
    stored = {name: cci.download_raw_array(f"fmri/{name}") for name in expected}
    mask, slices = cci.download_sparse_array("fmri/mask"), cci.cloud2dict("fmri/slices.grp", verbose=False)
    expected |= parts_of(scan["mask"]) | parts_of(scan["slices"])
    stored |= parts_of(mask) | parts_of(slices)
    different = sorted(name for name in expected | stored if not is_same(expected.get(name), stored.get(name)))
    numbers = sum(array.size for array in expected.values())
    print(f"second process: {len(expected)} arrays, {numbers:,} numbers: {len(different)} arrays differ")
    print("\n".join(different), end="\n" * bool(different))
    return min(len(different), 1)


def parts_of(thing: Any) -> dict[str, np.ndarray]:
    """The arrays that a sparse array or a tree of depth two is made of."""
    if scipy.sparse.issparse(thing):
        return {f"mask.{part}": getattr(thing, part) for part in ("data", "indices", "indptr")}
    return {f"{group}/{name}": array for group, arrays in thing.items() for name, array in arrays.items()}


def is_same(ours: np.ndarray | None, theirs: np.ndarray | None) -> bool:
    """Whether two arrays agree in dtype, shape and every bit."""
    if ours is None or theirs is None:
        return False
    return ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()


if __name__ == "__main__":
    with ending_in_words():
        main()

"""Handwritten digits as a tree of arrays, and in chunks for dask.

scikit-learn's 1,797 digits of 8 x 8 pixels go up twice: as a nested dictionary, one group of arrays for each digit,
and as one array in chunks. Then dask computes on the stored chunks, reading only what it needs, and the results are
compared with what numpy finds in memory.

    python examples/digits.py                                    a directory is the store
    python examples/digits.py --endpoint-url http://localhost:9000 --bucket my-bucket

Keys for S3 come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or wherever else you keep them.
It may be run again: what is there is replaced. ``--check`` only reads what an earlier run stored.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from place import Arguments, ending_in_words, open_store
from sklearn.datasets import load_digits

from cottoncandy.interfaces import DefaultInterface


def main() -> None:
    """Store the digits, compute on what is stored, compare."""
    arguments = parse_arguments()
    cci = open_store(arguments)
    digits = load_digits()
    images, labels = digits.images, digits.target
    if not arguments.check:
        store(cci, images, labels)
    verdicts = {
        "tree: every pixel": tree_is_right(cci, images, labels),
        "dask: sum of all images": sum_is_right(cci, images),
        "dask: covariance of the pixels": covariance_is_right(cci, images),
    }
    for what, right in verdicts.items():
        print(f"{what:<32}{'as in numpy' if right else 'DIFFERS'}")
    sys.exit(not all(verdicts.values()))


def parse_arguments() -> argparse.Namespace:
    """The store to use: a directory, or a bucket of any S3."""
    arguments = Arguments("digits", __doc__)
    arguments.add_argument("--check", action="store_true", help="only read what is stored and compare")
    return arguments.read()


def store(cci: DefaultInterface, images: np.ndarray, labels: np.ndarray) -> None:
    """Upload the digits as a tree and in chunks."""
    print(f"{len(images)} images to {cci}")
    tree = {}
    for digit in range(10):
        chosen = images[labels == digit]
        tree[f"digit{digit}"] = {"images": chosen, "mean": chosen.mean(axis=0)}
    cci.dict2cloud("digits/by_label.grp", tree, verbose=False)
    # chunks of 100 kB along the first axis: some 195 images each
    cci.upload_dask_array("digits/all", images, axis=0, buffersize=100_000)
    print(f"tree:   {len(cci.glob('digits/by_label.grp'))} arrays, as {cci.glob('digits/by_label.grp')[0]}")
    print(f"chunks: {len(cci.glob('digits/all/pt*'))}, and digits/all/metadata.json\n")


def tree_is_right(cci: DefaultInterface, images: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the tree has every image where its label says."""
    tree = cci.cloud2dict("digits/by_label.grp", verbose=False)
    return all(np.array_equal(tree[f"digit{digit}"]["images"], images[labels == digit]) for digit in range(10))


def sum_is_right(cci: DefaultInterface, images: np.ndarray) -> bool:
    """Whether dask finds the same sum: exactly, for pixels are whole numbers."""
    stored = cci.download_dask_array("digits/all")  # nothing of the pixels is read yet
    return np.array_equal(stored.sum(axis=0).compute(), images.sum(axis=0))


def covariance_is_right(cci: DefaultInterface, images: np.ndarray) -> bool:
    """Whether dask finds the same covariance: but for rounding, as the chunks are added up one by one."""
    pixels = cci.download_dask_array("digits/all").reshape(len(images), -1)
    centred = pixels - pixels.mean(axis=0)
    covariance = (centred.T @ centred / (len(images) - 1)).compute()
    return np.allclose(covariance, np.cov(images.reshape(len(images), -1), rowvar=False))


if __name__ == "__main__":
    with ending_in_words():
        main()

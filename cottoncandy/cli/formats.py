"""Files that hold arrays: how each kind is read and written, with the library that it takes. No pickles.

A file of one kind holds one array, of another a nested dictionary of them, as a tree in the store does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy.cli.tables import read_table, write_table
from cottoncandy.errors import ConfigurationError, UnsupportedArray
from cottoncandy.extras import with_library

Array = npt.NDArray[Any]
#: An array's metadata in the store: what its file tells beside it.
Metadata = dict[str, str]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    load : callable
        From a path: an array and its metadata, or a tree and none.
    save : callable
        To a path, with the metadata.
    holds_tree : bool
    """

    load: Callable[[Path], tuple[Any, Metadata]]
    save: Callable[[Path, Any, Mapping[str, str]], None]
    holds_tree: bool = False


def extension(path: str | Path) -> str:
    """The extension of a file's name that tells what it holds; ``''`` where none is known.

    Examples
    --------
    >>> extension('sub01/bold.nii.gz'), extension('notes.txt')
    ('.nii.gz', '')
    """
    name = str(path).lower()
    return next((known for known in FORMATS if name.endswith(known)), "")


# ---------------------------------------------------------------------- numpy
def _load_npy(path: Path) -> tuple[Array, Metadata]:
    return np.load(path, allow_pickle=False, mmap_mode="r"), {}


def _save_npy(path: Path, array: Array, _: Mapping[str, str]) -> None:
    np.save(path, array, allow_pickle=False)


def _load_npz(path: Path) -> tuple[dict[str, Any], Metadata]:
    with np.load(path, allow_pickle=False) as archive:
        tree: dict[str, Any] = {}
        for name in archive.files:
            *folders, last = name.split("/")
            branch = tree
            for folder in folders:
                branch = branch.setdefault(folder, {})
            branch[last] = archive[name]
        return tree, {}


def _save_npz(path: Path, tree: dict[str, Any], _: Mapping[str, str]) -> None:
    with path.open("wb") as file:
        np.savez(file, **_flat(tree))  # a file: the names may be `file` themselves


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


# ---------------------------------------------------------------------- tables
def _load_csv(path: Path) -> tuple[Array, Metadata]:
    return read_table(path), {}


def _save_csv(path: Path, array: Array, _: Mapping[str, str]) -> None:
    write_table(path, array)


# ---------------------------------------------------------------------- other programs' files
def _load_mat(path: Path) -> tuple[dict[str, Any], Metadata]:
    from scipy import io

    try:
        found = io.loadmat(path)
    except NotImplementedError:
        raise ConfigurationError(f"{path} is of MATLAB 7.3, which is HDF5: name it .h5") from None
    return {name: value for name, value in found.items() if not name.startswith("__")}, {}


def _save_mat(path: Path, tree: dict[str, Any], _: Mapping[str, str]) -> None:
    from scipy import io

    io.savemat(str(path), tree)


def _load_h5(path: Path) -> tuple[dict[str, Any], Metadata]:
    h5py = with_library("h5py")

    def read(group: Any) -> dict[str, Any]:
        return {name: read(value) if isinstance(value, h5py.Group) else value[()] for name, value in group.items()}

    with h5py.File(path, "r") as file:
        return read(file), {}


def _save_h5(path: Path, tree: dict[str, Any], _: Mapping[str, str]) -> None:
    with with_library("h5py").File(path, "w") as file:
        for name, array in _flat(tree).items():
            file[name] = array


def _load_nifti(path: Path) -> tuple[Array, Metadata]:
    image = with_library("nibabel").load(path)
    # as text, because metadata is; what scales the stored numbers is applied
    return np.asanyarray(image.dataobj), {"affine": json.dumps(image.affine.tolist(), separators=(",", ":"))}


def _save_nifti(path: Path, array: Array, metadata: Mapping[str, str]) -> None:
    nibabel = with_library("nibabel")
    affine = json.loads(metadata.get("affine", "null"))
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    stored = native.astype(np.uint8) if native.dtype == bool else native
    try:
        image = nibabel.Nifti1Image(stored, np.eye(4) if affine is None else np.array(affine), dtype=stored.dtype)
    except nibabel.spatialimages.HeaderDataError as error:
        raise UnsupportedArray(str(error)) from error
    nibabel.save(image, path)


#: Which files there are; the longer extension comes before the one that it ends with.
FORMATS: dict[str, Format] = {
    ".npy": Format(_load_npy, _save_npy),
    ".npz": Format(_load_npz, _save_npz, holds_tree=True),
    ".csv": Format(_load_csv, _save_csv),
    ".mat": Format(_load_mat, _save_mat, holds_tree=True),
    ".h5": Format(_load_h5, _save_h5, holds_tree=True),
    ".hdf5": Format(_load_h5, _save_h5, holds_tree=True),
    ".nii.gz": Format(_load_nifti, _save_nifti),
    ".nii": Format(_load_nifti, _save_nifti),
}

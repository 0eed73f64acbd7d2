"""Files that hold arrays: how each kind is read and written, with the library that it takes. No pickles.

A file of one kind holds one array, of another a nested dictionary of them, as a tree in the store does.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from cottoncandy import trees
from cottoncandy.cli.tables import read_table, write_table
from cottoncandy.cli.texts import fixed_width
from cottoncandy.errors import ConfigurationError, UnsupportedArray
from cottoncandy.extras import with_library

Array = npt.NDArray[Any]
#: An array's metadata in the store: what its file tells beside it.
Metadata = dict[str, str]

# Names in a message.
_MOST_LISTED = 10
# What scipy writes: of a name that begins otherwise it leaves the array out.
_MAT_NAME = re.compile(r"(?![_0-9])[\0-\xff]{1,63}")


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
    np.save(path, fixed_width(array, "the array"), allow_pickle=False)


def _load_npz(path: Path) -> tuple[dict[str, Any], Metadata]:
    with np.load(path, allow_pickle=False) as archive:
        return trees.nest((name, archive[name]) for name in archive.files), {}


def _save_npz(path: Path, tree: dict[str, Any], _: Mapping[str, str]) -> None:
    # not by np.savez: of an array named as one of its own arguments it makes none
    with zipfile.ZipFile(path, "w") as archive:
        for name, leaf in _leaves(tree).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, leaf, allow_pickle=False)


def _leaves(tree: Mapping[str, Any]) -> dict[str, Array]:
    """The leaves by their names, text of any width as text of one, which numpy can write."""
    return {name: fixed_width(leaf, f"leaf {name!r}") for name, leaf in trees.flatten(tree).items()}


def _listed(names: Sequence[str]) -> str:
    """Some of the names, for a message."""
    more = len(names) - _MOST_LISTED
    return ", ".join(map(repr, names[:_MOST_LISTED])) + (f" and {more} more" if more > 0 else "")


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
    return {name: _from_mat(f"{path}: {name}", value) for name, value in found.items() if not name.startswith("__")}, {}


def _from_mat(what: str, value: Any) -> Any:
    """A struct as a dictionary, and what is an array as it is."""
    if type(value) is np.ndarray and value.dtype.names and value.size == 1:
        return {name: _from_mat(f"{what}.{name}", value[name].item()) for name in value.dtype.names}
    if type(value) is not np.ndarray or value.dtype.hasobject:
        raise UnsupportedArray(
            f"{what} is no array (a cell, an object, a sparse matrix, several structs): leave it out"
        )
    return value


def _save_mat(path: Path, tree: dict[str, Any], _: Mapping[str, str]) -> None:
    from scipy import io

    leaves = _leaves(tree)
    misnamed = [name for name in leaves if not all(map(_MAT_NAME.fullmatch, name.split("/")))]
    if misnamed:
        raise UnsupportedArray(
            "names in a .mat begin with a letter, and have 63 characters of Latin-1 at most: "
            f"rename {_listed(misnamed)}, or get it as .npz or .h5"
        )
    if dates := [name for name, leaf in leaves.items() if leaf.dtype.kind in "mM"]:
        raise UnsupportedArray(f"a .mat holds no dates and no spans of time, as {_listed(dates)}: get it as .npz")
    io.savemat(str(path), trees.nest(leaves.items()), long_field_names=True)


def _load_h5(path: Path) -> tuple[dict[str, Any], Metadata]:
    h5py = with_library("h5py")
    passed_over: list[str] = []

    def read(group: Any, *above: Any) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in group.items():
            place = f"{group.name}/{name}".lstrip("/")
            if isinstance(value, h5py.Dataset):
                tree[name] = _from_h5(h5py, f"{path}: {place}", value)
            elif isinstance(value, h5py.Group) and value not in {group, *above}:
                tree[name] = read(value, group, *above)
            else:  # a type, or a link: to nothing, or to a group that it is in
                passed_over.append(place)
        return tree

    with h5py.File(path, "r") as file:
        tree = read(file)
    if passed_over:
        click.echo(f"cottoncandy: {path}: passed over, since they hold no arrays: {_listed(passed_over)}", err=True)
    return tree, {}


def _from_h5(h5py: Any, what: str, dataset: Any) -> Any:
    text = h5py.check_string_dtype(dataset.dtype)
    if text and text.length is None:
        try:
            return np.array(dataset.asstr()[()], np.str_)
        except UnicodeDecodeError as error:
            raise UnsupportedArray(f"{what} has text that is not of its encoding: {error}") from error
    value = dataset[()]
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.hasobject:
        raise UnsupportedArray(f"{what} is empty, or of references or rows of any length: leave it out")
    return value


def _save_h5(path: Path, tree: dict[str, Any], _: Mapping[str, str]) -> None:
    h5py = with_library("h5py")
    with h5py.File(path, "w") as file:
        for name, leaf in _leaves(tree).items():
            # HDF5 has text of any width, and no dtype of numpy's text
            is_text = leaf.dtype.kind == "U"
            data, dtype = (leaf.astype(object), h5py.string_dtype()) if is_text else (leaf, leaf.dtype)
            try:
                file.create_dataset(name, data=data, dtype=dtype)
            except (TypeError, ValueError) as error:
                raise UnsupportedArray(
                    f"leaf {name!r}, of {leaf.dtype}, is nothing that HDF5 holds: {error}"
                ) from error


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

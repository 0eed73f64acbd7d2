"""Files that hold arrays: how each kind is read and written, with the library that it takes. No pickles.

A file of one kind holds one array, of another a nested dictionary of them, as a tree in the store does.
"""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from cottoncandy import keys, npyfiles, trees
from cottoncandy.cli.streams import tell
from cottoncandy.cli.tables import read_table, write_table
from cottoncandy.cli.texts import fixed_width
from cottoncandy.errors import ConfigurationError, CorruptObject, CottonCandyError, InvalidObjectName, UnsupportedArray
from cottoncandy.extras import with_library

Array = npt.NDArray[Any]
#: An array's metadata in the store: what its file tells beside it.
Metadata = dict[str, str]

# What becomes of Python objects, whose pickles run code when they are read.
_PICKLES = "put the file as it is with --as file"
# Names in a message.
_MOST_LISTED = 10
# What scipy writes: of a name that begins otherwise it leaves the array out.
_MAT_NAME = re.compile(r"(?![_0-9])[\0-\xff]{1,63}")
# Bytes of an item.
_MAT_WIDEST = {"f": 8, "c": 16}


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    read : callable
        From a path: an array and its metadata, or a tree and none.
    write : callable
        To a path, with the metadata.
    holds_tree : bool
    """

    read: Callable[[Path], tuple[Any, Metadata]]
    write: Callable[[Path, Any, Mapping[str, str]], None]
    holds_tree: bool = False

    def load(self, path: Path, called: str | Path | None = None) -> tuple[Any, Metadata]:
        """What is in a file; every error names it.

        Parameters
        ----------
        called : str or Path, optional
            Its name in errors, where it is a copy.

        Raises
        ------
        CorruptObject
            If it is no such file.
        """
        with _naming(called or path, CorruptObject):
            value, metadata = self.read(path)
            # names that no leaf can have are told while the file is known
            if self.holds_tree and not trees.flatten(value):
                raise CorruptObject(f"{path}: no arrays are in it")
            return value, metadata

    def save(self, path: Path, value: Any, metadata: Mapping[str, str], called: Path | None = None) -> None:
        """Write a file.

        Parameters
        ----------
        called : Path, optional
            Its name in errors, where it will be renamed.

        Raises
        ------
        UnsupportedArray
            If such a file does not hold it.
        """
        with _naming(called or path, UnsupportedArray):
            self.write(path, value, metadata)


@contextlib.contextmanager
def _naming(what: str | Path, kind: type[CottonCandyError]) -> Iterator[None]:
    """Name the file, or the leaf, that an error is about, as libraries do not; what they raise becomes ``kind``."""
    try:
        yield
    except CottonCandyError as error:
        if str(error).startswith(str(what)):
            raise
        raise type(error)(f"{what}: {error}") from error
    except MemoryError as error:
        raise MemoryError(f"{what}: {error}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's: a library's has no number
            if kind is CorruptObject and error.filename is None:  # what is written is named where it is replaced
                error.filename = str(what)
            raise
        raise kind(f"{what}: {type(error).__name__}: {error}") from error


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
    with path.open("rb") as file:
        npyfiles.require_size(file, path.stat().st_size, _PICKLES)
    return np.load(path, allow_pickle=False, mmap_mode="r"), {}


def _save_npy(path: Path, array: Array, _: Mapping[str, str]) -> None:
    np.save(path, fixed_width(array, "the array"), allow_pickle=False)


def _load_npz(path: Path) -> tuple[dict[str, Any], Metadata]:
    # not by np.load: it finds the array `x` where one called `x.npy` is asked for
    with zipfile.ZipFile(path) as archive:
        members = {member: _is_npy(archive, member) for member in archive.infolist() if not member.is_dir()}
        _tell_passed_over(path, [member.filename for member, is_npy in members.items() if not is_npy])
        return trees.nest(_npz_leaf(archive, member) for member, is_npy in members.items() if is_npy), {}


def _is_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether a member is to be an array, or, as numpy has it, is one under whatever name."""
    if member.filename.endswith(".npy"):
        return True
    with archive.open(member) as file:
        return npyfiles.begins_one(cast("BinaryIO", file))


def _npz_leaf(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, Array]:
    name = member.filename.removesuffix(".npy")
    with _naming(f"leaf {name!r}", CorruptObject):
        _require_name(name)
        with archive.open(member) as file:
            npyfiles.require_size(cast("BinaryIO", file), member.file_size, _PICKLES)
        with archive.open(member) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            file.read(1)  # behind the last byte, the archive's checksum is looked at
    return name, array


def _require_name(name: str) -> None:
    with contextlib.suppress(InvalidObjectName):
        if keys.clean_object(name) == name.rstrip(keys.SEPARATOR):
            return
    raise InvalidObjectName(f"leaf {name!r} has no name of an object: rename it")


def _save_npz(path: Path, tree: dict[str, Any], _: Mapping[str, str]) -> None:
    leaves = _leaves(tree)
    if found := next((name for name in leaves if f"{name}.npy" in leaves), None):
        raise UnsupportedArray(
            "of two arrays in an .npz, one called as the file of the other, numpy would find one in the place of the "
            f"other: rename {found!r} and {f'{found}.npy'!r}, or get them as .h5"
        )
    # not by np.savez: of an array named as one of its own arguments it makes none
    with zipfile.ZipFile(path, "w") as archive:
        for name, leaf in leaves.items():
            with (
                _naming(f"leaf {name!r}", UnsupportedArray),
                archive.open(f"{name}.npy", "w", force_zip64=True) as file,
            ):
                np.lib.format.write_array(file, leaf, allow_pickle=False)


def _leaves(tree: Mapping[str, Any]) -> dict[str, Array]:
    """The leaves by their names, text of any width as text of one, which numpy can write."""
    return {name: fixed_width(leaf, f"leaf {name!r}") for name, leaf in trees.flatten(tree).items()}


def _tell_passed_over(path: Path, names: Sequence[str]) -> None:
    if names:
        tell(f"cottoncandy: {path}: passed over, since they hold no arrays: {_listed(names)}", err=True)


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
    if refused := {name: reason for name, leaf in leaves.items() if (reason := _not_in_mat(leaf))}:
        first = next(iter(refused.values()))
        found = [name for name, reason in refused.items() if reason == first]
        raise UnsupportedArray(f"a .mat holds no {first}, as {_listed(found)}: get it as .npz")
    # scipy makes a row of one dimension, but of none of its items nothing at all
    shaped = {name: leaf[None] if leaf.shape == (0,) else leaf for name, leaf in leaves.items()}
    io.savemat(str(path), trees.nest(shaped.items()), long_field_names=True)


def _not_in_mat(leaf: Array) -> str:
    """Why a .mat would not give a leaf back, where scipy may write it all the same; ``''`` where it would."""
    kind = leaf.dtype.kind
    if kind in "mM":
        return "dates and no spans of time"
    if kind == "V":  # of several records it makes structs, of which we read none
        return "records and no raw bytes"
    if leaf.dtype.itemsize > _MAT_WIDEST.get(kind, leaf.dtype.itemsize):
        return "numbers of more than 64 bits"
    return _not_in_mat_text(leaf.ravel().tolist()) if kind in "US" else ""


def _not_in_mat_text(items: Sequence[str | bytes]) -> str:
    if not any(items):  # its shape would be lost
        return "text without a character"
    try:
        texts = [item.decode("ascii") if isinstance(item, bytes) else item for item in items]
        "".join(texts).encode()
    except UnicodeDecodeError:
        return "text in bytes that are not ASCII"
    except UnicodeEncodeError:
        return "text with half a character"
    return "text with a NUL" if any("\0" in text for text in texts) else ""


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
    _tell_passed_over(path, passed_over)
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
    try:
        image = with_library("nibabel").load(path)
    except FileNotFoundError:
        if not path.exists():
            raise
        raise ConfigurationError(f"{path}: nibabel finds no file of this name: write its extension small") from None
    # as text, because metadata is; what scales the stored numbers is applied
    return np.asanyarray(image.dataobj), {"affine": json.dumps(image.affine.tolist(), separators=(",", ":"))}


def _save_nifti(path: Path, array: Array, metadata: Mapping[str, str]) -> None:
    nibabel = with_library("nibabel")
    array = fixed_width(array, "the array")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    stored = native.astype(np.uint8) if native.dtype == bool else native
    _require_nifti(nibabel, stored)
    nibabel.save(nibabel.Nifti1Image(stored, _affine(metadata), dtype=stored.dtype), path)


def _require_nifti(nibabel: Any, array: Array) -> None:
    """Ask a header whether it can tell of such an array: a shape that it cannot tell it makes another one."""
    header, refused = nibabel.Nifti1Header(), nibabel.spatialimages.HeaderDataError
    try:
        header.set_data_dtype(array.dtype)
    except refused:
        raise UnsupportedArray(f"a NIfTI image holds no {array.dtype}: get it as .npy") from None
    with contextlib.suppress(refused):
        header.set_data_shape(array.shape)
        if array.size and header.get_data_shape() == array.shape:
            return
    raise UnsupportedArray(
        "a NIfTI image has 1 to 7 dimensions of 1 to 32767, and comes back with them; "
        f"this array is of shape {array.shape}: get it as .npy"
    )


def _affine(metadata: Mapping[str, str]) -> Array:
    text = metadata.get("affine")
    if text is None:
        return np.eye(4)
    try:
        return np.array(json.loads(text), np.float64).reshape(4, 4)
    except (ValueError, TypeError):
        raise CorruptObject(f"its metadata 'affine' is no matrix of 4 x 4: {text!r}") from None


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

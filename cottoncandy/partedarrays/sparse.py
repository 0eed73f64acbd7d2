"""Sparse arrays as named parts, and back. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cottoncandy.errors import CorruptObject, UnsupportedArray
from cottoncandy.partedarrays.form import Form

#: The parts of each format, under the names of scipy's attributes.
PARTS: dict[str, tuple[str, ...]] = {
    "bsr": ("data", "indices", "indptr"),
    "coo": ("row", "col", "data"),
    "csc": ("data", "indices", "indptr"),
    "csr": ("data", "indices", "indptr"),
    "dia": ("data", "offsets"),
}


def take_apart(array: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe a sparse array, and name its parts.

    Formats that hold Python objects (DOK, LIL) are made CSR first.

    Parameters
    ----------
    array : scipy.sparse.sparray or scipy.sparse.spmatrix
        Of two dimensions.

    Returns
    -------
    description : dict
        What goes into ``metadata.json``: ``type``, ``attrs``, ``shape``, and ``container``, a key of ours that
        tells scipy's sparse arrays from its matrices.
    parts : dict of str to numpy.ndarray

    Raises
    ------
    UnsupportedArray
    """
    import scipy.sparse

    if not scipy.sparse.issparse(array):
        raise UnsupportedArray(f"{type(array).__name__} is no scipy.sparse array: use upload_raw_array")
    return _take_apart(array, is_array=isinstance(array, scipy.sparse.sparray))


def _take_apart(array: Any, *, is_array: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    if array.ndim != 2:
        raise UnsupportedArray(f"a sparse array of {array.ndim} dimensions cannot be stored: reshape it to two")
    if array.format not in PARTS:
        array = array.tocsr()
    names = PARTS[array.format]
    description = {
        "type": array.format,
        "attrs": list(names),
        "shape": [int(length) for length in array.shape],
        "container": "array" if is_array else "matrix",
    }
    return description, {name: getattr(array, name) for name in names}


def put_together(description: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """Make a sparse array of its parts: a matrix, or an array where the description says so."""
    import scipy.sparse

    kind = description["type"]
    suffix = "array" if description.get("container") == "array" else "matrix"
    make = getattr(scipy.sparse, f"{kind}_{suffix}")
    # of another byte order scipy's compiled loops take nothing
    data = [parts[name].astype(parts[name].dtype.newbyteorder("="), copy=False) for name in PARTS[kind]]
    arguments: Any = (data[2], (data[0], data[1])) if kind == "coo" else tuple(data)
    try:
        array = make(arguments, shape=tuple(description["shape"]))
        # scipy looks at the ends only, and its compiled loops believe the rest
        if hasattr(array, "check_format"):
            array.check_format(full_check=True)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise CorruptObject(f"the parts do not make a {kind} array: {error}") from error
    return array


FORM = Form("sparse array", "download_sparse_array", PARTS, take_apart, put_together)

"""What a caller gives as a plain array that can be stored, and what makes none. No I/O."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy import dtypes, stringarrays
from cottoncandy.errors import CottonCandyError, UnsupportedArray

__all__ = ["as_array", "gives_arrays", "is_sparse", "tell_lost", "unlabelled", "why_unread"]

log = logging.getLogger(__name__)

_RAGGED = "Make lists of equal lengths, or give each an object of its own; upload_pickle takes what makes no array"
_SPARSE = (
    "scipy.sparse arrays have a call, and names, of their own: upload_sparse_array; or make it dense with toarray()"
)
_CLOSED = ". Its HDF5 file is closed: keep it open until the call is done"
_NULL = (
    "h5py.Empty has a dtype, and no shape and no items: there is no such array. Leave it out, or give "
    "numpy.empty(0, value.dtype)"
)
_FRAME = "a table of columns of several types goes by upload_dataframe; or give a column of it, as numbers or text"


def as_array(value: Any, describe: Callable[[], str], *, fixed_width: bool = False) -> npt.NDArray[Any]:
    """The value as a plain numpy array that can be stored. A mask is not, nor labels of xarray, which is logged.

    Raises
    ------
    UnsupportedArray
        With what ``describe`` says of where the array was to go. For lists of different lengths too, for what numpy
        makes no array of, as its file is closed or for any other reason, and for scipy's sparse arrays; and for text of
        any width, where items must be of a fixed one.
    """
    array = value if type(value) is np.ndarray else _plain(value, describe)
    if fixed_width and stringarrays.is_text(array.dtype):
        reason = "text of any width goes by upload_raw_array, or give a fixed one: astype('U')"
        raise UnsupportedArray(f"{describe()}: {reason}")
    try:
        dtypes.check_dtype(array.dtype)
    except UnsupportedArray as error:
        told = _SPARSE if is_sparse(value) else _FRAME if _is_frame(value) else error
        raise UnsupportedArray(f"{describe()}: {told}") from None
    return array


def gives_arrays(value: Any) -> bool:
    """Whether it is no array, but gives some where it is sliced: a dask array, a dataset of h5py, an array in a store.

    What has no dtype of numpy's is made an array as a whole: pandas has types of its own, and h5py.Empty no items. Nor
    does it give any when its file is closed.
    """
    if isinstance(value, (np.ndarray, np.generic)) or is_sparse(value) or _is_of_pandas(value) or _is_closed(value):
        return False
    return isinstance(getattr(value, "dtype", None), np.dtype) and isinstance(getattr(value, "shape", None), tuple)


def _is_of_pandas(value: Any) -> bool:
    """Whether it is in memory, and sliced by labels: where pandas was never imported, nothing is."""
    module = sys.modules.get("pandas")
    return module is not None and isinstance(value, (module.Series, module.Index))


def _is_closed(value: Any) -> bool:
    """Whether it is of an HDF5 file that is closed: not even its dtype can be asked for."""
    module = sys.modules.get("h5py")
    return module is not None and isinstance(value, (module.Dataset, module.Group)) and not value


def why_unread(value: Any) -> str:
    """What is to be said of an array or group that cannot be read, beside what its library says."""
    return _CLOSED if _is_closed(value) else ""


def tell_lost(value: Any, describe: Callable[[], str]) -> bool:
    """Log what of an object of xarray is not stored, as it is no array; whether there is anything of that.

    Where xarray was never imported, nothing is.
    """
    module = sys.modules.get("xarray")
    kinds = () if module is None else (module.DataArray, module.Dataset, getattr(module, "DataTree", ()))
    if not isinstance(value, kinds):
        return False
    of_variables = any(each.attrs for each in getattr(value, "data_vars", {}).values())
    if not (value.coords or value.attrs or of_variables):
        return False
    advice = "xarray's to_zarr(cci.zarr_store(name)) stores all of it"
    log.warning(
        "%s: the coordinates and attributes of the %s are not stored: %s", describe(), type(value).__name__, advice
    )
    return True


def unlabelled(value: Any, describe: Callable[[], str] | None) -> Any:
    """An array of xarray without what is not stored, which is logged here and no more; all else as it is.

    Without ``describe`` it was told before, of what the array is in.
    """
    module = sys.modules.get("xarray")
    if module is None or not isinstance(value, module.DataArray):
        return value
    if describe is not None:
        tell_lost(value, describe)
    return value.variable


def _is_null(value: Any) -> bool:
    """Whether it is HDF5's null, itself or a dataset of it: numpy would make it an object, or say nothing of use."""
    module = sys.modules.get("h5py")
    if module is None:
        return False
    is_open_dataset = isinstance(value, module.Dataset) and bool(value)
    return isinstance(value, module.Empty) or (is_open_dataset and value.shape is None)


def _is_frame(value: Any) -> bool:
    """Whether it is a table of pandas, polars or another library: each calls it so."""
    return type(value).__name__ == "DataFrame"


def is_sparse(value: Any) -> bool:
    """Whether it is a sparse array: where scipy.sparse was never imported, nothing is."""
    module = sys.modules.get("scipy.sparse")
    return module is not None and module.issparse(value)


def _plain(value: Any, describe: Callable[[], str]) -> npt.NDArray[Any]:
    if _is_null(value):
        raise UnsupportedArray(f"{describe()}: {_NULL}")
    # numpy's own `is_masked` knows no masks of records
    if isinstance(value, np.ma.MaskedArray) and np.count_nonzero(np.ma.getmask(value)):
        log.warning("%s: the mask of the array is not stored: upload_masked_array stores it", describe())
    value = unlabelled(value, describe)
    try:
        return np.asarray(value)
    except CottonCandyError:
        raise  # it is an array that is read from a store
    except (TypeError, ValueError, RuntimeError) as error:
        # the last is of libraries that have an array, and cannot give it: of h5py, or of PyTorch
        advice = f" {_RAGGED}" if "inhomogeneous" in str(error) else why_unread(value)
        raise UnsupportedArray(f"{describe()}: {error}{advice}") from error

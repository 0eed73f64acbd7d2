"""A masked array as named parts, and back. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cottoncandy.errors import CorruptObject, UnsupportedArray
from cottoncandy.partedarrays.form import Form

_PARTS = ("data", "mask", "fill_value")


def take_apart(array: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe a masked array, and name its parts, each of which is a plain array.

    Raises
    ------
    UnsupportedArray
    """
    if not isinstance(array, np.ma.MaskedArray):
        raise UnsupportedArray(f"{type(array).__name__} is no masked array: use upload_raw_array")
    if array is np.ma.masked:  # of which nothing can be asked for that numpy would have to set
        array = np.ma.MaskedArray(array.data, mask=True)
    with np.errstate(all="ignore"):  # numpy's own fill values are too large for some dtypes
        is_default, filling = _is_default(array), np.asarray(array.fill_value, array.dtype)
    description = {
        "type": "masked",
        "attrs": list(_PARTS),
        "shape": list(array.shape),
        "hard_mask": bool(array.hardmask),
        "default_fill_value": is_default,
    }
    return description, dict(zip(_PARTS, (np.ma.getdata(array), np.ma.getmaskarray(array), filling), strict=True))


def _is_default(array: np.ma.MaskedArray[Any, Any]) -> bool:
    """Whether nobody has chosen the fill value: what is made of the array, of another dtype, has that one's default."""
    chosen, usual = np.asarray(array.fill_value), np.asarray(np.ma.default_fill_value(array.dtype))
    if chosen.dtype.kind == "u":  # numpy has one for all integers
        chosen = chosen.astype(usual.dtype)
    return chosen.dtype == usual.dtype and chosen.tobytes() == usual.tobytes()


def put_together(description: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """Make a masked array of its parts, in their own memory."""
    data, mask, filling = (parts[name] for name in _PARTS)
    chosen = None if description.get("default_fill_value") else filling[()]
    try:
        with np.errstate(all="ignore"):  # numpy may look for its own in any case
            return np.ma.MaskedArray(data, mask, fill_value=chosen, hard_mask=bool(description.get("hard_mask")))
    except (np.ma.MAError, ValueError, TypeError) as error:
        raise CorruptObject(f"the parts do not make a masked array: {error}") from error


FORM = Form("masked array", "download_masked_array", {"masked": _PARTS}, take_apart, put_together)

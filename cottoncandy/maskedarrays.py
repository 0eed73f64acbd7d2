"""A masked array as named parts, and back. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cottoncandy.arrayparts import Form
from cottoncandy.errors import CorruptObject, UnsupportedArray

_PARTS = ("data", "mask", "fill_value")


def take_apart(array: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe a masked array, and name its parts, each of which is a plain array.

    Raises
    ------
    UnsupportedArray
    """
    if not isinstance(array, np.ma.MaskedArray):
        raise UnsupportedArray(f"{type(array).__name__} is no masked array: use upload_raw_array")
    description = {
        "type": "masked",
        "attrs": list(_PARTS),
        "shape": list(array.shape),
        "hard_mask": bool(array.hardmask),
    }
    filling = np.asarray(array.fill_value, array.dtype)
    return description, dict(zip(_PARTS, (np.ma.getdata(array), np.ma.getmaskarray(array), filling), strict=True))


def put_together(description: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """Make a masked array of its parts, in their own memory."""
    data, mask, filling = (parts[name] for name in _PARTS)
    try:
        return np.ma.MaskedArray(data, mask, fill_value=filling[()], hard_mask=bool(description.get("hard_mask")))
    except (np.ma.MAError, ValueError, TypeError) as error:
        raise CorruptObject(f"the parts do not make a masked array: {error}") from error


FORM = Form("masked array", {"masked": _PARTS}, take_apart, put_together)

"""Text of any width, as files hold it: they know text of one width only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cottoncandy import stringarrays
from cottoncandy.errors import UnsupportedArray

Array = npt.NDArray[Any]


def fixed_width(array: Array, what: str) -> Array:
    """The array, where it is text of any width as text of one; ``what`` is how an error calls it.

    Raises
    ------
    UnsupportedArray
        If an item is missing, or ends with a NUL: no text of one width tells that.
    """
    if not stringarrays.is_text(array.dtype):
        return array
    items = array.ravel().tolist()
    if not all(isinstance(item, str) and not item.endswith("\0") for item in items):
        raise UnsupportedArray(
            f"{what} is text of which items are missing, or end with a NUL; a file holds neither: "
            "download it from Python, and give them a value"
        )
    return np.array(items, np.str_).reshape(array.shape)

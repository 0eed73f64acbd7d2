"""An array in the store, of which only what is asked for is read.

``dataset`` is what a user holds. ``masks`` tells what an index gives, ``readers`` read a part of an array into memory,
and ``previews`` draw one.
"""

from __future__ import annotations

from cottoncandy.datasets.dataset import Dataset

__all__ = ["Dataset"]

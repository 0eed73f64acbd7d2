"""An array as metadata and bytes, and back: the wire format of raw arrays. No I/O.

Documented in the docs' page on the wire format. What release 0.4.0 wrote is read, and what is written here is read
by it, but for the fields of structured dtypes, which it does not know.
"""

from __future__ import annotations

from cottoncandy.arrayformat.memory import allocate, array_in, bytes_of, describe, laid_out
from cottoncandy.arrayformat.metadata import (
    RESERVED_KEYS,
    ArrayDescription,
    add_description_checksum,
    is_array,
    lowered,
    read_checksum,
)

__all__ = [
    "RESERVED_KEYS",
    "ArrayDescription",
    "add_description_checksum",
    "allocate",
    "array_in",
    "bytes_of",
    "describe",
    "is_array",
    "laid_out",
    "lowered",
    "read_checksum",
]

"""Arrays in chunks: a folder of raw arrays, and a table, written last, that makes one array of them.

`StoredChunks` reads, `ChunkUpload` writes; `graphs`, imported where it is used, hands both to dask.
"""

from __future__ import annotations

from cottoncandy.chunkedarrays.folder import FORGOTTEN, LARGEST_TABLE, ChunkFolder
from cottoncandy.chunkedarrays.reader import StoredChunks
from cottoncandy.chunkedarrays.table import (
    TABLE,
    VERSION,
    ChunkTable,
    chunk_name,
    chunk_number,
    free_numbers,
    version_of,
)
from cottoncandy.chunkedarrays.upload import ChunkFormat, ChunkUpload, Sent

__all__ = [
    "FORGOTTEN",
    "LARGEST_TABLE",
    "TABLE",
    "VERSION",
    "ChunkFolder",
    "ChunkFormat",
    "ChunkTable",
    "ChunkUpload",
    "Sent",
    "StoredChunks",
    "chunk_name",
    "chunk_number",
    "free_numbers",
    "version_of",
]

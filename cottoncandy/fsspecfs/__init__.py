"""Any store as a file system of fsspec: ``cci.fs``, and URLs ``cottoncandy://bucket/name``.

Needs the extra ``fsspec``.
"""

from __future__ import annotations

from cottoncandy.fsspecfs.filesystem import ObjectFileSystem
from cottoncandy.fsspecfs.url import CottonCandyFileSystem
from cottoncandy.fsspecfs.writer import ObjectWriter

__all__ = ["CottonCandyFileSystem", "ObjectFileSystem", "ObjectWriter"]

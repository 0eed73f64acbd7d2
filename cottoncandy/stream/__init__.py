"""One object in motion: threaded parts, both ways.

Up, `upload` sends bytes from where they lie: one request when they are few, else parts in a bounded pool of
threads; on any error the parts are thrown away. Down, `CloudStream` holds one version of an object: one request
brings its metadata and first bytes, the others come as ranges in threads, straight into the caller's memory. It is
a file over an `ObjectSource`, which whole arrays are read from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cottoncandy.stream.settings import TransferSettings
from cottoncandy.stream.source import ObjectSource, read_range
from cottoncandy.stream.up import begin_upload, stream_part_sizes, upload

if TYPE_CHECKING:
    from cottoncandy.stream.file import CloudStream
else:

    def __getattr__(name: str) -> Any:
        """`CloudStream`, which one array needs as little as what it brings along."""
        if name != "CloudStream":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from cottoncandy.stream.file import CloudStream

        return CloudStream


__all__ = [
    "CloudStream",
    "ObjectSource",
    "TransferSettings",
    "begin_upload",
    "read_range",
    "stream_part_sizes",
    "upload",
]

"""One object in motion: threaded parts, both ways.

Up, `upload` sends bytes from where they lie: one request when they are few, else parts in a bounded pool of
threads; on any error the parts are thrown away. Down, `CloudStream` holds one version of an object: one request
brings its metadata and first bytes, the others come as ranges in threads, into the caller's memory. It is
a file over an `ObjectSource`, which whole arrays are read from.
"""

from __future__ import annotations

from cottoncandy.stream.diskbody import file_body, file_pieces, unchanged
from cottoncandy.stream.file import CloudStream
from cottoncandy.stream.settings import TransferSettings
from cottoncandy.stream.smallfiles import begin_fetch, begin_file
from cottoncandy.stream.source import ObjectSource, read_range
from cottoncandy.stream.up import begin_upload, stream_part, stream_part_sizes, upload

__all__ = [
    "CloudStream",
    "ObjectSource",
    "TransferSettings",
    "begin_fetch",
    "begin_file",
    "begin_upload",
    "file_body",
    "file_pieces",
    "read_range",
    "stream_part",
    "stream_part_sizes",
    "unchanged",
    "upload",
]

"""One object in motion: threaded parts, both ways.

Up, `upload` sends bytes from where they lie: one request when they are few, else parts in a bounded pool of
threads; on any error the parts are thrown away. Down, `CloudStream` holds one version of an object: one request
brings its metadata and first bytes, the others come as ranges in threads, straight into the caller's memory.
"""

from __future__ import annotations

from cottoncandy.stream.file import CloudStream
from cottoncandy.stream.settings import TransferSettings
from cottoncandy.stream.up import upload

__all__ = ["CloudStream", "TransferSettings", "upload"]

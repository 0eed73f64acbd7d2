"""The contract between the interfaces and a store.

A `Backend` is bound to one container: a bucket, a directory, a folder. The interfaces call nothing
but what stands here and never ask which backend they have: what differs is data (`TransferLimits`)
or a method that answers with a clear `NotSupported`. Pagination, part receipts, folder ids, metadata
sidecars and foreign error codes stay inside a backend.

To add one, subclass `Backend`, and name the class in the entry-point group ``cottoncandy.backends``.
"""

from __future__ import annotations

from cottoncandy.backends.base.contract import Backend
from cottoncandy.backends.base.facts import (
    GIB,
    MIB,
    TIB,
    BytesLike,
    ObjectHead,
    ObjectInfo,
    ObjectPrefix,
    ObjectVersion,
    Receipt,
    TransferLimits,
    UnfinishedUpload,
    WriteOptions,
)
from cottoncandy.backends.base.moving import MultipartUpload, ObjectReader
from cottoncandy.backends.base.stored import StoredObject

__all__ = [
    "GIB",
    "MIB",
    "TIB",
    "Backend",
    "BytesLike",
    "MultipartUpload",
    "ObjectHead",
    "ObjectInfo",
    "ObjectPrefix",
    "ObjectReader",
    "ObjectVersion",
    "Receipt",
    "StoredObject",
    "TransferLimits",
    "UnfinishedUpload",
    "WriteOptions",
]

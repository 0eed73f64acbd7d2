"""The table beside the parts of an array: a JSON document of our own, with a checksum."""

from __future__ import annotations

import logging

from cottoncandy import checksums
from cottoncandy.arrayformat import is_array, read_checksum
from cottoncandy.backends.base import Backend, Receipt, WriteOptions
from cottoncandy.errors import ChecksumMismatch, CorruptObject, NotAnArray, ObjectNotFound
from cottoncandy.stream import CloudStream, TransferSettings, upload

log = logging.getLogger(__name__)


def store_document(
    backend: Backend, key: str, body: bytes, options: WriteOptions, settings: TransferSettings
) -> Receipt:
    """Upload a document."""
    metadata = {checksums.KEY: checksums.checksum(body)} if settings.checksum else {}
    return upload(backend, key, body, metadata, options, settings)


def load_document(backend: Backend, key: str, settings: TransferSettings, most: int) -> tuple[bytes, str | None]:
    """Download a document and its e_tag; once more, where it arrives damaged.

    Raises
    ------
    ObjectNotFound
    ChecksumMismatch
    CorruptObject
        If it has more than ``most`` bytes: it is no document of ours, and would take many times as much memory.
        NotAnArray, if it is a raw array: a leaf of a tree may have a document's name.
    """
    try:
        return _load(backend, key, settings, most)
    except ObjectNotFound as error:
        hint = (
            "no array of chunks or parts has this name; download_raw_array reads one that is a single object, and "
            "cloud2dict a tree"
        )
        raise ObjectNotFound(f"{error}: {hint}") from error
    except ChecksumMismatch as error:
        log.warning("%s: reading it once more", error)
        return _load(backend, key, settings, most)


def _load(backend: Backend, key: str, settings: TransferSettings, most: int) -> tuple[bytes, str | None]:
    where = backend.describe(key)
    with CloudStream(backend, key, settings, 1) as stream:
        if is_array(stream.metadata):  # its checksum is not that of the bytes that are stored
            raise NotAnArray(f"{where} is a raw array: download_raw_array reads it, and cloud2dict a tree")
        if stream.size > most:
            raise CorruptObject(f"{where} is too large for a table: {most} bytes are the most")
        text, expected = stream.read(), read_checksum(stream.metadata, where)
        try:
            if expected is not None:
                checksums.compare(checksums.checksum(text), expected)
        except ChecksumMismatch as error:
            raise ChecksumMismatch(f"{where}: {error}") from None
        return text, stream.e_tag

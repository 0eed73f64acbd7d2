"""One object of a backend that has no object type of its own."""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cottoncandy.backends.base.facts import ObjectHead

if TYPE_CHECKING:
    from cottoncandy.backends.base.contract import Backend


class StoredObject:
    """One object of a backend that has no object type of its own, with the names of boto3's ``Object``.

    Nothing is fetched before it is asked for.

    Attributes
    ----------
    key : str
    bucket_name : str or None
    """

    def __init__(self, backend: Backend, key: str) -> None:
        self._backend = backend
        self.key = key
        self.bucket_name = backend.container
        self._head: ObjectHead | None = None

    def load(self) -> None:
        """Ask the store for size, date and metadata (again)."""
        self._head = self._backend.stat(self.key)

    @property
    def head(self) -> ObjectHead:
        """What the store tells of the object; asked for once."""
        if self._head is None:
            self._head = self._backend.stat(self.key)
        return self._head

    @property
    def content_length(self) -> int:
        """Bytes."""
        return self.head.size

    size = content_length

    @property
    def last_modified(self) -> datetime | None:
        """When it was written."""
        return self.head.last_modified

    @property
    def e_tag(self) -> str | None:
        """A mark of the content."""
        return self.head.e_tag

    @property
    def metadata(self) -> dict[str, str]:
        """The user metadata."""
        return dict(self.head.metadata)

    def get(self) -> dict[str, Any]:
        """Read it, as boto3 does: ``Body`` is a binary file, beside ``Metadata``, ``ETag`` and others."""
        with self._backend.open(self.key) as reader:
            data = bytearray(reader.stop - reader.start)
            reader.readexactly(memoryview(data))
        head = reader.head
        return {
            "Body": io.BytesIO(data),
            "ContentLength": head.size,
            "ETag": head.e_tag,
            "LastModified": head.last_modified,
            "Metadata": dict(head.metadata),
        }

    def delete(self) -> None:
        """Delete the object."""
        self._backend.delete([self.key])

    def __repr__(self) -> str:
        return f"{self._backend.name}.Object(bucket_name={self.bucket_name!r}, key={self.key!r})"

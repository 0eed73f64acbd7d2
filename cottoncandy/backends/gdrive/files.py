"""An item of Drive, as far as it matters here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cottoncandy.backends.base import ObjectHead, ObjectInfo
from cottoncandy.backends.gdrive import properties

FOLDER = "application/vnd.google-apps.folder"
#: Google Docs, shortcuts, folders: what has no bytes of its own.
_NO_BYTES = "application/vnd.google-apps."
DEFAULT_TYPE = "application/octet-stream"

#: What is asked of each file; in the answer nothing else comes.
FIELDS = (
    "id,name,mimeType,parents,size,md5Checksum,headRevisionId,createdTime,modifiedTime,trashed,explicitlyTrashed,"
    "properties"
)


@dataclass(frozen=True)
class DriveFile:
    """A file, folder, shortcut or Google Doc.

    Attributes
    ----------
    created : str
        As the service writes it: earlier times sort first.
    own_trash : bool
        Whether it was put into the trash itself, and not with its folder.
    """

    id: str
    name: str
    type: str
    parents: tuple[str, ...]
    size: int
    md5: str | None
    revision: str | None
    created: str
    modified: str
    trashed: bool
    own_trash: bool
    properties: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> DriveFile:
        """Read the service's own form, in which numbers are strings and what is not so is missing."""
        return cls(
            id=item["id"],
            name=item.get("name", ""),
            type=item.get("mimeType", DEFAULT_TYPE),
            parents=tuple(item.get("parents", ())),
            size=int(item.get("size", 0)),
            md5=item.get("md5Checksum"),
            revision=item.get("headRevisionId"),
            created=item.get("createdTime", ""),
            modified=item.get("modifiedTime", ""),
            trashed=item.get("trashed", False),
            own_trash=item.get("explicitlyTrashed", item.get("trashed", False)),
            properties={name: value for name, value in item.get("properties", {}).items() if value is not None},
        )

    @property
    def is_folder(self) -> bool:
        """Whether things can lie in it."""
        return self.type == FOLDER

    @property
    def is_object(self) -> bool:
        """Whether it has bytes: a Google Doc and a shortcut have none."""
        return not self.type.startswith(_NO_BYTES)

    @property
    def e_tag(self) -> str:
        """A mark that changes with the bytes and with the metadata."""
        content = self.md5 or self.revision or f"{self.modified}/{self.size}"
        if not self.properties:
            return content
        text = json.dumps(dict(self.properties), sort_keys=True)
        return f"{content}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"

    @property
    def last_modified(self) -> datetime | None:
        """With its time zone."""
        return datetime.fromisoformat(self.modified.replace("Z", "+00:00")) if self.modified else None

    def info(self, key: str) -> ObjectInfo:
        """A listing's facts."""
        return ObjectInfo(key, self.size, self.last_modified, self.e_tag)

    def head(self, key: str, where: str) -> ObjectHead:
        """All facts, with the metadata."""
        metadata = properties.decode(self.properties, where)
        return ObjectHead(key, self.size, self.last_modified, self.e_tag, metadata)


def newest_first(files: Iterable[DriveFile]) -> list[DriveFile]:
    """Objects of one name: the last one made is the object. It is what a writer that knew of no other left."""
    return sorted(files, key=lambda file: (file.created, file.id), reverse=True)


def oldest_first(files: Iterable[DriveFile]) -> list[DriveFile]:
    """Folders of one name: new objects go into the first one made, which others may already have in use."""
    return sorted(files, key=lambda file: (file.created, file.id))

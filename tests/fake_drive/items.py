"""Files, folders and shared drives in memory, with the service's own rules."""

from __future__ import annotations

import hashlib
import itertools
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from fake_drive.errors import ApiError, invalid, not_found

FOLDER = "application/vnd.google-apps.folder"
GOOGLE = "application/vnd.google-apps."
USER = {"kind": "drive#user", "displayName": "Ada Tester", "emailAddress": "ada@example.org", "me": True}
_WRITEABLE = {
    "id",
    "name",
    "mimeType",
    "parents",
    "properties",
    "appProperties",
    "trashed",
    "description",
    "createdTime",
}


def rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Item:
    id: str
    name: str
    type: str
    parent: str | None
    drive: str | None = None
    content: bytes | bytearray | None = None
    properties: dict[str, str] = field(default_factory=dict)
    app_properties: dict[str, str] = field(default_factory=dict)
    created: float = 0.0
    modified: float = 0.0
    trashed: bool = False
    revision: str = ""
    version: int = 1
    sums: tuple[str, str] = ("", "")

    @property
    def created_time(self) -> str:
        return rfc3339(self.created)

    @property
    def modified_time(self) -> str:
        return rfc3339(self.modified)

    def fill(self, content: bytes | bytearray) -> None:
        self.content = content
        self.sums = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
        self.revision = secrets.token_urlsafe(12)


@dataclass
class Lag:
    """For how many seconds searches do not know of what was made or removed; a file is found by its id at once."""

    by_parent: float = 0.0
    by_name: float = 0.0


class Items:
    """All that is on the server."""

    def __init__(self, quota: int | None = None) -> None:
        self.lock = threading.RLock()
        self.root = secrets.token_urlsafe(14)
        self.drives: dict[str, str] = {}
        self.quota = quota
        self.lag = Lag()
        # Whether the account may delete: on a shared drive a content manager may not. And what it does not see at all,
        # which others made: as with the scope drive.file.
        self.may_delete = True
        self.hidden: set[str] = set()
        self.given_ids: set[str] = set()
        self._items: dict[str, Item] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._ghosts: list[tuple[float, Item]] = []
        self._versions = itertools.count(2)
        self._add(Item(self.root, "My Drive", FOLDER, None))

    # ------------------------------------------------------------------ reading
    def real_id(self, file_id: str) -> str:
        return self.root if file_id == "root" else file_id

    def find(self, file_id: str, *, all_drives: bool = True) -> Item:
        item = self._items.get(self.real_id(file_id))
        if item is None or (item.drive and not all_drives):
            raise not_found(file_id)
        return item

    def children(self, parent: str) -> list[Item]:
        return [self._items[child] for child in self._children.get(parent, ())]

    def all(self) -> list[Item]:
        return list(self._items.values())

    def is_trashed(self, item: Item) -> bool:
        while True:
            if item.trashed:
                return True
            if item.parent is None or item.parent not in self._items:
                return False
            item = self._items[item.parent]

    def is_listed(self, item: Item, *, by_name: bool) -> bool:
        lag = max(self.lag.by_parent, self.lag.by_name if by_name else 0.0)
        return time.time() >= item.created + lag

    def ghosts(self) -> Iterator[Item]:
        """What is removed, and still listed."""
        self._ghosts = [ghost for ghost in self._ghosts if ghost[0] > time.time()]
        return (item for _, item in self._ghosts)

    def used(self) -> int:
        return sum(len(item.content or b"") for item in self._items.values())

    def resource(self, item: Item) -> dict[str, Any]:
        """An item in the form of the discovery document's schema ``File``."""
        trashed = self.is_trashed(item)
        facts: dict[str, Any] = {
            "kind": "drive#file",
            "id": item.id,
            "name": item.name,
            "mimeType": item.type,
            "trashed": trashed,
            "explicitlyTrashed": item.trashed,
            "createdTime": item.created_time,
            "modifiedTime": item.modified_time,
            "version": str(item.version),
            "spaces": ["drive"],
        }
        facts |= {"parents": [item.parent]} if item.parent else {}
        facts |= {"driveId": item.drive} if item.drive else {"owners": [USER], "ownedByMe": True}
        facts |= {"properties": dict(item.properties)} if item.properties else {}
        facts |= {"appProperties": dict(item.app_properties)} if item.app_properties else {}
        if item.content is not None:
            facts |= {"size": str(len(item.content)), "quotaBytesUsed": str(len(item.content))}
            facts |= {"md5Checksum": item.sums[0], "sha256Checksum": item.sums[1], "headRevisionId": item.revision}
        return facts

    # ------------------------------------------------------------------ changing
    def give_ids(self, count: int) -> list[str]:
        given = [secrets.token_urlsafe(24) for _ in range(count)]
        self.given_ids.update(given)
        return given

    def make_drive(self, name: str) -> str:
        drive = f"0A{secrets.token_urlsafe(12)}"
        self.drives[drive] = name
        self._add(Item(drive, name, FOLDER, None, drive))
        return drive

    def check_new(self, body: Mapping[str, Any], *, all_drives: bool) -> str:
        """The parent of a file to be made, if it can be."""
        if (file_id := body.get("id")) is not None:
            if file_id in self._items:
                raise ApiError(409, "fileIdInUse", "A file already exists with the provided ID.")
            if file_id not in self.given_ids:
                raise invalid("The provided file ID is not usable.")
        parents = body.get("parents", ["root"])
        if len(parents) != 1:
            raise invalid("A file must have exactly one parent.")
        parent = self.find(parents[0], all_drives=all_drives)
        if parent.type != FOLDER:
            raise ApiError(403, "parentNotAFolder", "The specified parent is not a folder.")
        return parent.id

    def make(self, body: Mapping[str, Any], content: bytes | bytearray | None, *, all_drives: bool) -> Item:
        _check_fields(body)
        parent = self.find(self.check_new(body, all_drives=all_drives))
        kind = body.get("mimeType", "application/octet-stream")
        now = time.time()
        item = Item(
            id=body.get("id") or secrets.token_urlsafe(24),
            name=body.get("name", "Untitled"),
            type=kind,
            parent=parent.id,
            drive=parent.drive,
            created=now,
            modified=now,
        )
        _merge_properties(item, body)
        if not kind.startswith(GOOGLE):
            self._check_quota(len(content or b""))
            item.fill(content or b"")
        self._add(item)
        return item

    def change(
        self, file_id: str, body: Mapping[str, Any], content: bytes | bytearray | None, query: Mapping[str, str]
    ) -> Item:
        """A patch, all or nothing."""
        _check_fields(body, new=False)
        old = self.find(file_id, all_drives=query.get("supportsAllDrives") == "true")
        item = replace(old, properties=dict(old.properties), app_properties=dict(old.app_properties))
        item.name, item.type = body.get("name", item.name), body.get("mimeType", item.type)
        item.trashed = body.get("trashed", item.trashed)
        _merge_properties(item, body)
        if content is not None:
            self._check_quota(len(content) - len(old.content or b""))
            item.fill(content)
        self._move(item, query)
        item.modified = max(time.time(), item.modified)
        item.version = next(self._versions)
        if old.parent is not None:
            self._children[old.parent].pop(old.id, None)
        self._add(item)
        return item

    def _move(self, item: Item, query: Mapping[str, str]) -> None:
        add, remove = query.get("addParents"), query.get("removeParents", "").split(",")
        if add is None:
            return
        parent = self.find(add)
        if item.parent not in remove and parent.id != item.parent:
            raise ApiError(403, "cannotAddParent", "Increasing the number of parents is not allowed")
        item.parent, item.drive = parent.id, parent.drive

    def delete(self, file_id: str) -> None:
        item = self.find(file_id)
        for child in self.children(item.id):
            self.delete(child.id)
        del self._items[item.id]
        if item.parent is not None:
            self._children[item.parent].pop(item.id, None)
        if self.lag.by_parent or self.lag.by_name:
            self._ghosts.append((time.time() + max(self.lag.by_parent, self.lag.by_name), item))

    def _add(self, item: Item) -> None:
        self._items[item.id] = item
        if item.parent is not None:
            self._children.setdefault(item.parent, {})[item.id] = None

    def _check_quota(self, more: int) -> None:
        if self.quota is not None and self.used() + more > self.quota:
            raise ApiError(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")


def _check_fields(body: Mapping[str, Any], *, new: bool = True) -> None:
    writeable = _WRITEABLE if new else _WRITEABLE - {"id", "parents", "createdTime"}
    if wrong := body.keys() - writeable:
        raise ApiError(403, "fieldNotWritable", f"The resource body includes fields not directly writable: {wrong}")


def _merge_properties(item: Item, body: Mapping[str, Any]) -> None:
    for name, own in (("properties", item.properties), ("appProperties", item.app_properties)):
        for key, value in (body.get(name) or {}).items():
            if value is None:
                own.pop(key, None)
                continue
            if not isinstance(value, str) or len(key.encode()) + len(value.encode()) > 124:
                raise invalid(f"property {key}: key and value have more than 124 bytes")
            own[key] = value
        if len(own) > 30:
            raise invalid(f"more than 30 {name}")

"""The methods of the discovery document that are served: their routes and parameters are read from it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from googleapiclient import discovery_cache

from fake_drive import fields, query
from fake_drive.errors import ApiError, invalid
from fake_drive.items import GOOGLE, USER, Item, Items

DOCUMENT = json.loads(discovery_cache.get_static_doc("drive", "v3"))
_FILE_FIELDS = set(DOCUMENT["schemas"]["File"]["properties"])
_ORDERS = {
    "createdTime": lambda item: item.created_time,
    "modifiedTime": lambda item: item.modified_time,
    "recency": lambda item: item.modified_time,
    "name": lambda item: item.name.lower(),
    "folder": lambda item: item.type != f"{GOOGLE}folder",
}
_DEFAULT_FIELDS = "kind,id,name,mimeType"

Query = Mapping[str, str]


def route(http_method: str, path: str) -> tuple[str, str | None]:
    """The method's name, and the id that is in the path."""
    for resource in ("about", "drives", "files"):
        for name, method in DOCUMENT["resources"][resource]["methods"].items():
            pattern = re.sub(r"\{\w+\}", "([^/]+)", method["path"])
            match = re.fullmatch(pattern, path)
            if (
                match
                and method["httpMethod"] == http_method
                and not (match.groups() and match.group(1) == "generateIds")
            ):
                return f"{resource}.{name}", unquote(match.group(1)) if match.groups() else None
    raise ApiError(404, "notFound", f"no method {http_method} {path}")


def check_parameters(method: str, given: Query) -> None:
    """Refuse parameters that the document does not know, and miss those that it requires."""
    resource, name = method.split(".")
    known = DOCUMENT["resources"][resource]["methods"][name].get("parameters", {})
    if unknown := given.keys() - known.keys() - DOCUMENT["parameters"].keys() - {"uploadType", "upload_id"}:
        raise ApiError(400, "invalidParameter", f"unknown parameters: {sorted(unknown)}")
    for key, value in given.items():
        if known.get(key, {}).get("type") == "boolean" and value not in {"true", "false"}:
            raise invalid(f"{key} = {value}")


class Methods:
    """What the service does, but for bytes."""

    def __init__(self, items: Items) -> None:
        self._items = items
        #: A page has no more than this, whatever is asked for.
        self.largest_page = 1000
        self._pages: dict[str, list[Item]] = {}

    def call(self, method: str, target: str | None, given: Query, body: Mapping[str, Any]) -> dict[str, Any] | None:
        found: Callable[[str | None, Query, Mapping[str, Any]], Any] | None
        found = getattr(self, "_" + method.replace(".", "_"), None)
        if found is None:
            raise ApiError(501, "notImplemented", method)
        return found(target, given, body)

    def shown(self, item: Item, given: Query) -> dict[str, Any]:
        mask = fields.parse(given.get("fields", _DEFAULT_FIELDS))
        return fields.select(self._items.resource(item), mask, _FILE_FIELDS)

    def _find(self, target: str | None, given: Query) -> Item:
        return self._items.find(target or "", all_drives=given.get("supportsAllDrives") == "true")

    # ------------------------------------------------------------------ files
    def _files_get(self, target: str | None, given: Query, body: Any) -> dict[str, Any]:
        return self.shown(self._find(target, given), given)

    def _files_create(self, target: None, given: Query, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.shown(self._items.make(body, None, all_drives=given.get("supportsAllDrives") == "true"), given)

    def _files_update(self, target: str, given: Query, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.shown(self._items.change(target, body, None, given), given)

    def _files_delete(self, target: str | None, given: Query, body: Any) -> None:
        if not self._items.may_delete:
            message = "The user does not have sufficient permissions for this file."
            raise ApiError(403, "insufficientFilePermissions", message)
        self._items.delete(self._find(target, given).id)

    def _files_copy(self, target: str | None, given: Query, body: Mapping[str, Any]) -> dict[str, Any]:
        source = self._find(target, given)
        if source.content is None:
            raise ApiError(403, "cannotCopyFile", "This file cannot be copied by the user.")
        merged = {
            "name": f"Copy of {source.name}",
            "mimeType": source.type,
            "parents": [source.parent],
            **body,
            "properties": {**source.properties, **body.get("properties", {})},
        }
        item = self._items.make(merged, source.content, all_drives=given.get("supportsAllDrives") == "true")
        return self.shown(item, given)

    def _files_generateIds(self, target: None, given: Query, body: Any) -> dict[str, Any]:  # noqa: N802
        count = int(given.get("count", 10))
        if not 1 <= count <= 1000:
            raise invalid(f"count = {count}")
        return {"kind": "drive#generatedIds", "space": "drive", "ids": self._items.give_ids(count)}

    def _files_list(self, target: None, given: Query, body: Any) -> dict[str, Any]:
        token = given.get("pageToken")
        if token is not None and token not in self._pages:
            raise invalid("Invalid Value: pageToken")
        found = self._pages[token] if token else self._search(given)
        size = min(int(given.get("pageSize", 100)), self.largest_page)
        answer: dict[str, Any] = {"kind": "drive#fileList", "incompleteSearch": False}
        if len(found) > size:
            answer["nextPageToken"] = secrets.token_urlsafe(16)
            self._pages[answer["nextPageToken"]] = found[size:]
        mask = fields.parse(given.get("fields", f"nextPageToken,files({_DEFAULT_FIELDS})"))
        fields.select({}, mask.get("files", {}), _FILE_FIELDS)
        answer["files"] = [self._items.resource(item) for item in found[:size]]
        return fields.select(answer, mask)

    def _search(self, given: Query) -> list[Item]:
        condition = query.parse(given["q"]) if given.get("q") else None
        both = given.get("supportsAllDrives") == "true" and given.get("includeItemsFromAllDrives") == "true"
        drive = given.get("driveId")
        if (given.get("corpora") == "drive") != (drive is not None) or (drive and not both):
            raise ApiError(403, "teamDrivesParameters", "corpora, driveId and both flags go together")
        found = [item for item in self._candidates(condition) if both or not item.drive]
        return self._ordered([item for item in found if not drive or item.drive == drive], given.get("orderBy"))

    def _candidates(self, condition: query.Condition | None) -> list[Item]:
        parents = condition.parents() if condition else None
        by_name = condition is not None and condition.by_name()
        if parents is None:
            items = self._items.all()
        else:
            for parent in parents:  # the service answers 404 for a folder that it does not know
                self._items.find(parent)
            items = [child for parent in parents for child in self._items.children(self._items.real_id(parent))]
            condition = _with_real_root(condition, self._items)
        items = [item for item in items if item.parent and self._items.is_listed(item, by_name=by_name)]
        items += self._items.ghosts()
        items = [item for item in items if item.id not in self._items.hidden]
        facts = (query.Facts(item, self._items.is_trashed(item)) for item in items)
        return [fact.item for fact in facts if condition is None or condition.holds(fact)]

    def _ordered(self, items: list[Item], order: str | None) -> list[Item]:
        for key in reversed((order or "folder").split(",")):
            name, _, direction = key.strip().partition(" ")
            if name not in _ORDERS:
                raise invalid(f"orderBy = {order}")
            items.sort(key=_ORDERS[name], reverse=direction == "desc")
        return items

    # ------------------------------------------------------------------ about, drives
    def _about_get(self, target: None, given: Query, body: Any) -> dict[str, Any]:
        if "fields" not in given:
            raise ApiError(400, "required", "The 'fields' parameter is required for this method.")
        quota = {"usage": str(self._items.used())}
        quota |= {} if self._items.quota is None else {"limit": str(self._items.quota)}
        return fields.select({"user": USER, "storageQuota": quota}, fields.parse(given["fields"]))

    def _drives_list(self, target: None, given: Query, body: Any) -> dict[str, Any]:
        match = re.fullmatch(r"name = '((?:[^'\\]|\\.)*)'", given["q"]) if "q" in given else None
        wanted = re.sub(r"\\(.)", r"\1", match.group(1)).lower() if match else None
        drives = [
            {"id": drive, "name": name}
            for drive, name in self._items.drives.items()
            if wanted is None or name.lower() == wanted
        ]
        return fields.select({"drives": drives}, fields.parse(given.get("fields", "drives(id,name)")))

    def _drives_get(self, target: str, given: Query, body: Any) -> dict[str, Any]:
        if target not in self._items.drives:
            raise ApiError(404, "notFound", f"Shared drive not found: {target}")
        drive = {"id": target, "name": self._items.drives[target]}
        return fields.select(drive, fields.parse(given.get("fields", "id,name")))


def _with_real_root(condition: query.Condition | None, items: Items) -> query.Condition | None:
    """``root`` is another name of a folder."""
    if isinstance(condition, query.InParents):
        return query.InParents(items.real_id(condition.parent))
    if isinstance(condition, (query.Both, query.Either)):
        left, right = _with_real_root(condition.left, items), _with_real_root(condition.right, items)
        return type(condition)(left, right)
    if isinstance(condition, query.Not):
        return query.Not(_with_real_root(condition.inner, items))
    return condition

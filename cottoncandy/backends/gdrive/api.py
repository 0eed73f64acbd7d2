"""Drive v3 in the words of its discovery document: what can be asked of the service."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import httplib2
from googleapiclient import discovery_cache
from googleapiclient.discovery import build_from_document
from googleapiclient.http import MediaUpload

from cottoncandy import forks
from cottoncandy.backends.gdrive.errors import MayNot
from cottoncandy.backends.gdrive.files import DEFAULT_TYPE, FIELDS, FOLDER, DriveFile
from cottoncandy.backends.gdrive.wire import Answer, Body, Call, Wire
from cottoncandy.errors import ContainerNotFound, ObjectNotFound, ServiceError

log = logging.getLogger(__name__)

#: The most that one page may have.
PAGE = 1000
# Ids to have in store: https://developers.google.com/workspace/drive/api/reference/rest/v3/files/generateIds
_IDS_AT_ONCE = 100
#: Without this, the service says that items of shared drives are not there.
_ALL = {"supportsAllDrives": True}


@lru_cache
def _service(endpoint: str) -> Any:
    """Google's own client. It only writes the requests: each is sent over a connection of ours."""
    document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
    document.pop("mtlsRootUrl", None)
    return build_from_document(document | {"rootUrl": endpoint}, http=httplib2.Http(), requestBuilder=_request)


@lru_cache
def _resource(endpoint: str, name: str) -> Any:
    """The client's ``files`` or ``drives``; it takes 3 ms to make one."""
    return getattr(_service(endpoint), name)()


def _request(
    http: object,  # noqa: ARG001 - the client's own connection is not used
    postproc: object,  # noqa: ARG001
    uri: str,
    method: str = "GET",
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    methodId: str | None = None,  # noqa: N803 - the client's name
    resumable: object = None,  # noqa: ARG001
) -> Call:
    """What the client makes of a request, instead of its `HttpRequest`."""
    return Call(method, uri, methodId or "", dict(headers or {}), body.encode() if body else None)


class _Media(MediaUpload):  # type: ignore[misc]
    """Bytes that are sent by `uploads`: the client only gives the address for them."""

    def mimetype(self) -> str:
        return DEFAULT_TYPE

    def size(self) -> None:
        return None

    def resumable(self) -> bool:
        return True


@dataclass(frozen=True)
class Target:
    """The file that an upload makes or changes.

    Attributes
    ----------
    id : str
        Of a file that is there, or one that the service gave out for a new one.
    is_new : bool
    metadata : Mapping
        What the file is to be but for its bytes, in the service's own form.
    where : str
        For an error's text.
    """

    id: str
    is_new: bool
    metadata: Mapping[str, Any]
    where: str


def quoted(text: str) -> str:
    """A text in a query."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def within(parents: Sequence[str]) -> str:
    """The condition to lie in one of the folders."""
    any_of = " or ".join(f"{quoted(parent)} in parents" for parent in parents)
    return any_of if len(parents) == 1 else f"({any_of})"


class Api:
    """The calls that the backend makes.

    Parameters
    ----------
    wire : Wire
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.endpoint, self.settings = wire.endpoint, wire.settings
        self._drive_id: str | None = None
        self.renew()
        forks.renewed_in_child(self)

    def renew(self) -> None:
        """Have no ids in store: a forked child may not give out its parent's."""
        self._ids: deque[str] = deque()

    @property
    def _files(self) -> Any:
        return _resource(self.endpoint, "files")

    def _json(self, call: Call, where: str) -> dict[str, Any]:
        return self.wire.json(replace(call, where=where))

    # ------------------------------------------------------------------ looking
    def get(self, file_id: str, where: str) -> DriveFile:
        """A file by its id: what no listing shows yet is found so."""
        return DriveFile.from_json(self.resource(file_id, where, FIELDS))

    def resource(self, file_id: str, where: str, fields: str) -> dict[str, Any]:
        """Some fields of a file, as the service has them."""
        return self._json(self._files.get(fileId=file_id, fields=fields, **_ALL), where)

    def find(
        self, query: str, where: str, *, order: str | None = None, page_size: int = PAGE
    ) -> Iterator[list[DriveFile]]:
        """The files that a query finds, by pages; a page may be short, or empty, and not be the last."""
        arguments: dict[str, Any] = {"q": query, "fields": f"nextPageToken,files({FIELDS})", **_ALL}
        arguments |= {"pageSize": page_size, "includeItemsFromAllDrives": True}
        arguments |= {"orderBy": order} if order else {}
        if self.settings.drive is not None:
            arguments |= {"corpora": "drive", "driveId": self.drive_id()}
        token = None
        while True:
            answer = self._json(self._files.list(pageToken=token, **arguments), where)
            yield [DriveFile.from_json(item) for item in answer.get("files", ())]
            token = answer.get("nextPageToken")
            if not token:
                return

    def drive_id(self) -> str:
        """The id of the chosen shared drive, which is the id of its top folder as well.

        Raises
        ------
        ContainerNotFound
            If the account sees no such drive, or two of that name.
        """
        if self._drive_id is None:
            self._drive_id = self._find_drive(self.settings.drive or "")
        return self._drive_id

    def _find_drive(self, drive: str) -> str:
        where, drives = f"shared drive {drive!r}", _resource(self.endpoint, "drives")
        try:
            found: str = self._json(drives.get(driveId=drive, fields="id"), where)["id"]
        except ObjectNotFound:
            call = drives.list(q=f"name = {quoted(drive)}", fields="drives(id,name)", pageSize=100)
            named = [item["id"] for item in self._json(call, where).get("drives", ()) if item["name"] == drive]
            if len(named) != 1:
                problem = "the account sees two of that name: give its id" if named else "the account sees none"
                raise ContainerNotFound(f"{where}: {problem}") from None
            found = named[0]
        return found

    def drive_name(self, drive_id: str, where: str) -> str:
        """The name of a shared drive."""
        call = _resource(self.endpoint, "drives").get(driveId=drive_id, fields="name")
        return str(self._json(call, where)["name"])

    # ------------------------------------------------------------------ changing
    def new_id(self) -> str:
        """An id for a file to be made. With it a request that is sent again, its answer lost, makes no second file."""
        while True:
            try:
                return self._ids.popleft()
            except IndexError:
                call = self._files.generateIds(count=_IDS_AT_ONCE, space="drive")
                self._ids.extend(self._json(call, "new file ids")["ids"])

    def make_folder(self, file_id: str, name: str, parent: str, where: str) -> DriveFile:
        """Make a folder."""
        body = {"id": file_id, "name": name, "mimeType": FOLDER, "parents": [parent]}
        return DriveFile.from_json(self._json(self._files.create(body=body, fields=FIELDS, **_ALL), where))

    def copy(self, source_id: str, body: Mapping[str, Any], where: str) -> DriveFile:
        """Copy a file inside the service."""
        call = self._files.copy(fileId=source_id, body=dict(body), fields=FIELDS, **_ALL)
        return DriveFile.from_json(self._json(call, where))

    def change(self, file_id: str, body: Mapping[str, Any], where: str, **parents: str) -> DriveFile:
        """Change a file, but not its bytes; ``addParents`` and ``removeParents`` move it."""
        call = self._files.update(fileId=file_id, body=dict(body), fields=FIELDS, **parents, **_ALL)
        return DriveFile.from_json(self._json(call, where))

    def trash(self, file_id: str, where: str) -> bool:
        """Put a file into the trash; whether it is gone for ever, which is no error."""
        try:
            self.change(file_id, {"trashed": True}, where)
        except ObjectNotFound:
            return True
        return False

    def delete(self, file_id: str, where: str) -> bool:
        """Delete a file, or a folder with all that is in it; whether that is for ever. One that is gone is no error.

        On a shared drive only managers may: what others delete goes to the trash.
        """
        try:
            self._json(self._files.delete(fileId=file_id, **_ALL), where)
        except ObjectNotFound:
            return True
        except MayNot as refusal:
            log.info("%s goes to the trash: %s", where, refusal)
            return self.trash(file_id, where)
        return True

    # ------------------------------------------------------------------ bytes
    def media(self, file: DriveFile, start: int, stop: int, where: str) -> Answer:
        """Ask for the bytes ``start <= i < stop``."""
        call: Call = self._files.get_media(fileId=file.id, **_ALL)
        wanted = {"accept-encoding": "identity"}
        if (start, stop) != (0, file.size):
            wanted["range"] = f"bytes={start}-{stop - 1}"
        answer = self.wire.open(replace(call, where=where, headers={**call.headers, **wanted}))
        if answer.status == 200 and start > 0:
            answer.close()
            raise ServiceError(f"{where}: the server does not give ranges")
        return answer

    def upload(self, target: Target, kind: str) -> Call:
        """The request that begins an upload of ``kind`` multipart or resumable; its body is the file's metadata."""
        arguments = {"body": dict(target.metadata), "media_body": _Media(), "fields": FIELDS, **_ALL}
        files = self._files
        call: Call = files.create(**arguments) if target.is_new else files.update(fileId=target.id, **arguments)
        # the client knows an upload whose bytes it does not have as a resumable one only
        uri = call.uri.replace("uploadType=resumable", f"uploadType={kind}")
        return replace(call, uri=uri, where=target.where)


def json_part(call: Call) -> Body:
    """The metadata of an upload's request, as a body's beginning."""
    return call.body if isinstance(call.body, Body) else Body.of(call.body or b"{}")

"""Bytes on their way up: with the metadata in one request when they are few, else by a resumable session.

https://developers.google.com/workspace/drive/api/guides/manage-uploads
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import replace

from cottoncandy.backends.gdrive.api import Api, Target, json_part
from cottoncandy.backends.gdrive.errors import wait_for
from cottoncandy.backends.gdrive.files import DriveFile
from cottoncandy.backends.gdrive.wire import Body, Call
from cottoncandy.errors import ChecksumMismatch, CottonCandyError, ObjectExists, ServiceError, TransientError

# bytes of one request, its metadata included: "5 MB or less"
LARGEST_REQUEST = 5_000_000
#: Every chunk of a session but the last is a multiple of this.
CHUNK = 256 * 1024

_DONE = frozenset({200, 201})
_GO_ON = 308
_GONE = frozenset({404, 410})
_RECEIVED = re.compile(r"(?:bytes=)?0-(\d+)")


class SessionLost(TransientError):
    """The service no longer knows an upload session; what was sent is lost."""


def new_md5() -> hashlib._Hash:
    """What the service's checksum is compared with; it guards against accidents, so any platform may have it."""
    return hashlib.md5(usedforsecurity=False)


def send_whole(api: Api, target: Target, view: memoryview) -> DriveFile:
    """Write a file with all its bytes, or leave all as it was.

    Raises
    ------
    ObjectNotFound
        If the file to change, or the folder for a new one, is not there any more.
    ChecksumMismatch
        If the service got other bytes, twice.
    """
    digest = new_md5()
    digest.update(view)
    for _ in range(2):
        file = _send_whole(api, target, view)
        if file.md5 in {None, digest.hexdigest()}:
            return file
        # a new file is there now, so the second time it is changed
        target = replace(target, is_new=False, metadata=_without_place(target))
    raise ChecksumMismatch(f"{target.where}: Google Drive got other bytes than were sent, twice")


def _without_place(target: Target) -> dict[str, object]:
    return {name: value for name, value in target.metadata.items() if name not in {"id", "name", "parents"}}


def _send_whole(api: Api, target: Target, view: memoryview) -> DriveFile:
    call = _related(api, target, view)
    try:
        if len(call.body or b"") <= LARGEST_REQUEST:
            return received(api, target, api.wire.json(call))
        return _by_session(api, target, view)
    except ObjectExists:
        # an earlier try did it, but its answer was lost
        return api.get(target.id, target.where)


def _by_session(api: Api, target: Target, view: memoryview) -> DriveFile:
    retries = api.settings.retry.start(target.where)
    while True:
        session = Session(api, target, len(view))
        try:
            return session.finish(Body.of(view))
        except SessionLost as error:
            wait_for(retries, error, api.settings)
        except BaseException:
            session.cancel()
            raise


def received(api: Api, target: Target, answer: dict[str, object]) -> DriveFile:
    """What an upload answered; asked for where a server answers with less than was asked for."""
    if {"name", "trashed", "createdTime"} <= answer.keys():
        return DriveFile.from_json(answer)
    return api.get(target.id, target.where)


def _related(api: Api, target: Target, view: memoryview) -> Call:
    """One request of two parts, the metadata and the bytes (RFC 2387)."""
    call = api.upload(target, "multipart")
    boundary = secrets.token_hex(16)
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n",
        f"\r\n--{boundary}\r\nContent-Type: {target.metadata['mimeType']}\r\n\r\n",
        f"\r\n--{boundary}--\r\n",
    )
    first, second, last = (text.encode() for text in head)
    body = Body.of(first, *json_part(call).pieces, second, view, last)
    headers = {**call.headers, "content-type": f"multipart/related; boundary={boundary}"}
    return replace(call, headers=headers, body=body)


class Session:
    """A resumable upload. Nothing of it can be seen before `finish`.

    Parameters
    ----------
    api : Api
    target : Target
    size : int, optional
        The bytes in all, where they are known.
    """

    def __init__(self, api: Api, target: Target, size: int | None = None) -> None:
        self._api = api
        self._target = target
        #: How many bytes the service has.
        self.position = 0
        call = api.upload(target, "resumable")
        headers = {**call.headers, "x-upload-content-type": target.metadata["mimeType"]}
        headers |= {} if size is None else {"x-upload-content-length": str(size)}
        with api.wire.open(replace(call, headers=headers)) as answer:
            if "Location" not in answer.headers:
                raise ServiceError(f"{target.where}: the server began no upload session")
            self._uri = answer.headers["Location"]

    def send(self, data: Body) -> None:
        """Send the next bytes: a multiple of `CHUNK`, and not the last ones."""
        if self._send(data, None) is not None:
            raise ServiceError(f"{self._target.where}: the upload ended before all was sent")

    def finish(self, data: Body) -> DriveFile:
        """Send the last bytes, of which there is at least one, and make the file of all."""
        file = self._send(data, self.position + len(data))
        if file is None:
            raise ServiceError(f"{self._target.where}: the upload did not end with its last byte")
        return file

    def _send(self, data: Body, total: int | None) -> DriveFile | None:
        """Send bytes; after each fault, from where the service says that it stands."""
        start, stop = self.position, self.position + len(data)
        retries, asking = self._api.settings.retry.start(self._target.where), False
        while True:
            before = self.position
            try:
                file = self._put(Body.of() if asking else data.part(before - start, len(data)), total, start)
                if file is not None or (self.position == stop and total is None):
                    return file
                self._require_progress(before, stop, asking=asking)
                retries.progressed(self.position - before)
                asking = self.position == stop
            except SessionLost:
                raise
            except TransientError as error:
                wait_for(retries, error, self._api.settings)
                asking = True

    def _require_progress(self, before: int, stop: int, *, asking: bool) -> None:
        if self.position == before and (not asking or before == stop):
            raise TransientError(f"{self._target.where}: Google Drive does not go on with the upload")

    def _put(self, data: Body, total: int | None, start: int) -> DriveFile | None:
        """Send some bytes, or none to ask where the service stands; the file when it is complete."""
        size = "*" if total is None else str(total)
        span = f"{self.position}-{self.position + len(data) - 1}" if len(data) else "*"
        call = Call("PUT", self._uri, self._target.where, {"content-range": f"bytes {span}/{size}"}, data)
        with self._api.wire.once(call, _DONE | _GONE | {_GO_ON}) as answer:
            if answer.status in _GONE:
                raise SessionLost(f"{self._target.where}: Google Drive no longer knows this upload: start it again")
            if answer.status in _DONE:
                return received(self._api, self._target, answer.json())
            match = _RECEIVED.fullmatch(answer.headers.get("Range", ""))
        self.position = int(match.group(1)) + 1 if match else 0
        if self.position < start:
            raise SessionLost(f"{self._target.where}: Google Drive lost bytes that it had: start the upload again")
        return None

    def cancel(self) -> bool:
        """Throw away what was sent, if the service can be reached; whether it could."""
        call = Call("DELETE", self._uri, self._target.where)
        try:
            # 499 is what the service answers when it has done so
            self._api.wire.once(call, _DONE | _GONE | {204, 499}).close()
        except CottonCandyError:
            return False
        return True

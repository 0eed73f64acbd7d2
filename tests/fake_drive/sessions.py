"""Uploads: media, multipart and resumable (https://developers.google.com/workspace/drive/api/guides/manage-uploads)."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fake_drive.errors import ApiError, invalid, not_found
from fake_drive.items import Item, Items

CHUNK = 256 * 1024
#: Of media and multipart uploads.
LARGEST_SIMPLE = 5 * 2**20
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class Session:
    file_id: str | None
    body: dict[str, Any]
    query: dict[str, str]
    size: int | None
    received: bytearray = field(default_factory=bytearray)
    done: Item | None = None


class Sessions:
    """Upload sessions, and the bytes that they have so far."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._open: dict[str, Session] = {}

    def open_ones(self) -> list[Session]:
        return [session for session in self._open.values() if session.done is None]

    def forget_all(self) -> None:
        self._open.clear()

    def begin(self, file_id: str | None, body: dict[str, Any], query: dict[str, str], size: str | None) -> str:
        all_drives = query.get("supportsAllDrives") == "true"
        if file_id is None:
            self._items.check_new(body, all_drives=all_drives)
        else:
            self._items.find(file_id, all_drives=all_drives)
        upload_id = secrets.token_urlsafe(24)
        self._open[upload_id] = Session(file_id, body, query, int(size) if size else None)
        return upload_id

    def find(self, upload_id: str) -> Session:
        session = self._open.get(upload_id)
        if session is None:
            raise not_found("upload session")
        return session

    def cancel(self, upload_id: str) -> None:
        self.find(upload_id)
        del self._open[upload_id]

    def take(self, upload_id: str, content_range: str, data: bytes | bytearray) -> Item | Session:
        """Bytes of a chunk: the file when it is complete, else the session."""
        session = self.find(upload_id)
        if session.done is not None:
            return session.done
        start, total = self._check(session, content_range, len(data))
        session.received += memoryview(data)[len(session.received) - start :] if data else b""
        if total is None or len(session.received) < total:
            return session
        return self._finish(session)

    def take_some(self, upload_id: str, content_range: str, data: bytes | bytearray) -> None:
        """The beginning of a chunk whose connection broke: whole blocks of it are kept."""
        session = self.find(upload_id)
        match = _RANGE.fullmatch(content_range)
        if session.done is None and match and match.group(1) and int(match.group(1)) == len(session.received):
            session.received += data[: len(data) // CHUNK * CHUNK]

    def _check(self, session: Session, content_range: str, length: int) -> tuple[int, int | None]:
        match = _RANGE.fullmatch(content_range or f"bytes 0-{length - 1}/{length}")
        if not match:
            raise invalid(f"Failed to parse Content-Range header {content_range}")
        total = None if match.group(3) == "*" else int(match.group(3))
        if total is not None and session.size is not None and total != session.size:
            raise invalid("the total differs from the one announced")
        if match.group(1) is None:
            return len(session.received), total
        start, stop = int(match.group(1)), int(match.group(2)) + 1
        if stop - start != length or start > len(session.received):
            raise invalid(f"Invalid request: {content_range} with {length} bytes, after {len(session.received)}")
        if stop != total and length % CHUNK:
            raise invalid(f"Invalid request: a chunk of {length} bytes is no multiple of 256 KiB")
        return start, total

    def _finish(self, session: Session) -> Item:
        session.done = self.write(session.file_id, session.body, session.query, session.received)
        session.received = bytearray()
        return session.done

    def write(
        self, file_id: str | None, body: dict[str, Any], query: Mapping[str, str], content: bytes | bytearray
    ) -> Item:
        all_drives = query.get("supportsAllDrives") == "true"
        if file_id is None:
            return self._items.make(body, content, all_drives=all_drives)
        return self._items.change(file_id, body, content, query)

    def write_related(self, file_id: str | None, query: Mapping[str, str], content_type: str, data: bytes) -> Item:
        """One multipart/related body: the metadata, then the bytes."""
        if len(data) > LARGEST_SIMPLE:
            raise ApiError(413, "uploadTooLarge", "The upload is too large.")
        match = re.fullmatch(r'multipart/related;\s*boundary="?([^"]+)"?', content_type)
        if not match:
            raise invalid(f"no multipart/related: {content_type}")
        parts = data.split(b"--" + match.group(1).encode())
        if len(parts) != 4 or parts[0] or parts[3].rstrip() != b"--":
            raise ApiError(400, "badContent", "Malformed multipart body.")
        # Google's own client ends its lines with \n alone
        body, content = (re.sub(rb"\r?\n\Z", b"", _BLANK_LINE.split(part, maxsplit=1)[1]) for part in parts[1:3])
        return self.write(file_id, json.loads(body), query, content)

"""The fake Drive is what Google's own client, with its own transport and media classes, takes for Drive."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httplib2
import pytest
import requests
from fake_drive import FOLDER, FakeDrive, Lag
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient import discovery_cache
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload, build_http

CHUNK = 256 * 1024


@pytest.fixture
def files(drive: FakeDrive) -> Iterator[Any]:
    document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
    document.pop("mtlsRootUrl")
    http: httplib2.Http = build_http()
    service = build_from_document(
        document | {"rootUrl": f"{drive.url}/"}, http=AuthorizedHttp(drive.credentials(), http=http)
    )
    yield service.files()
    http.close()


def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        call.execute()
    return caught.value.status_code, caught.value.error_details[0]["reason"]


def upload(content: bytes, size: int = CHUNK, *, resumable: bool = True) -> MediaIoBaseUpload:
    return MediaIoBaseUpload(io.BytesIO(content), "application/octet-stream", chunksize=size, resumable=resumable)


def names(answer: dict[str, Any]) -> list[str]:
    return [item["name"] for item in answer["files"]]


def test_a_file_goes_up_and_comes_down(files: Any) -> None:
    content = bytes(range(256)) * 3000
    for resumable in (True, False):
        body = {"name": "x", "properties": {"shape": "3"}}
        call = files.create(body=body, media_body=upload(content, resumable=resumable), fields="*")
        made = call.execute()
        assert (made["size"], made["properties"], made["trashed"]) == ("768000", {"shape": "3"}, False)
        target = io.BytesIO()
        download = MediaIoBaseDownload(target, files.get_media(fileId=made["id"]), chunksize=300_000)
        while not download.next_chunk()[1]:
            pass
        assert target.getvalue() == content


def test_chunks_keep_to_256_kib(files: Any) -> None:
    call = files.create(body={"name": "x"}, media_body=upload(bytes(600_000), 250_000))
    with pytest.raises(HttpError, match="no multiple of 256 KiB"):
        call.execute()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name = 'report'", ["Report", "report"]),
        ("name contains 'rep'", ["Report", "report"]),
        ("name contains 'port'", []),
        (r"name = 'it\'s \\ here'", ["it's \\ here"]),
        ("not name = 'report' and trashed = false", ["folder", "it's \\ here"]),
        (f"mimeType = '{FOLDER}' or name = 'REPORT' and trashed = true", ["folder"]),
        ("properties has { key='k' and value='v' }", ["report"]),
        ("'root' in parents and mimeType != 'text/plain'", ["folder", "it's \\ here", "old", "report"]),
        ("(name = 'folder' or name = 'x') and createdTime > '2020-01-01T00:00:00'", ["folder"]),
    ],
)
def test_queries(drive: FakeDrive, files: Any, query: str, found: list[str]) -> None:
    drive.add("report", b"", properties={"k": "v"})
    drive.add("Report", b"", kind="text/plain")
    drive.add("it's \\ here", b"")
    drive.add("folder", kind=FOLDER)
    drive.add("old", b"").trashed = True
    assert sorted(names(files.list(q=query).execute())) == sorted(found)


@pytest.mark.parametrize(
    "query", ["name = ", "name ~ 'x'", "colour = 'red'", "name = 'a' and", "(name = 'a'", "trashed = 'x'"]
)
def test_bad_queries(files: Any, query: str) -> None:
    assert refused(files.list(q=query)) == (400, "invalid")


def test_pages(drive: FakeDrive, files: Any) -> None:
    for i in range(7):
        drive.add(f"{i}", b"", age=100 - i)
    found, call = [], files.list(pageSize=3, orderBy="createdTime desc", fields="nextPageToken,files(name)")
    while call is not None:
        answer = call.execute()
        found.append(names(answer))
        call = files.list_next(call, answer)
    assert found == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


def test_ids_are_taken_once(files: Any) -> None:
    (file_id,) = files.generateIds(count=1).execute()["ids"]
    files.create(body={"id": file_id, "name": "x"}).execute()
    assert refused(files.create(body={"id": file_id, "name": "x"})) == (409, "fileIdInUse")
    assert refused(files.create(body={"id": "made-up", "name": "x"})) == (400, "invalid")


def test_limits_of_properties(files: Any) -> None:
    assert refused(files.create(body={"properties": {"k": "v" * 124}})) == (400, "invalid")
    assert refused(files.create(body={"properties": {f"{i}": "" for i in range(31)}})) == (400, "invalid")
    made = files.create(body={"properties": {"a": "1", "b": "2"}}).execute()
    changed = files.update(fileId=made["id"], body={"properties": {"a": None, "c": "3"}}, fields="properties").execute()
    assert changed["properties"] == {"b": "2", "c": "3"}


def test_trash_and_delete(drive: FakeDrive, files: Any) -> None:
    folder = drive.folder("a")
    inner = drive.put("a/x", b"x")
    files.update(fileId=folder, body={"trashed": True}).execute()
    answer = files.get(fileId=inner.id, fields="trashed,explicitlyTrashed").execute()
    assert answer == {"trashed": True, "explicitlyTrashed": False}
    files.delete(fileId=folder).execute()
    assert refused(files.get(fileId=inner.id)) == (404, "notFound")


def test_shared_drives_need_the_flags(drive: FakeDrive, files: Any) -> None:
    lab = drive.items.make_drive("lab")
    item = drive.add("x", b"x", parent=lab)
    assert refused(files.get(fileId=item.id)) == (404, "notFound")
    assert names(files.list().execute()) == []
    both = {"supportsAllDrives": True, "includeItemsFromAllDrives": True}
    assert names(files.list(corpora="drive", driveId=lab, **both).execute()) == ["x"]
    assert "owners" not in files.get(fileId=item.id, fields="*", supportsAllDrives=True).execute()


def test_what_the_document_does_not_know_is_refused(drive: FakeDrive, files: Any) -> None:
    assert refused(files.list(fields="files(colour)")) == (400, "invalidParameter")
    headers: dict[str, str] = {}
    drive.credentials().apply(headers)
    answer = requests.get(f"{drive.url}/drive/v3/files?colour=red", headers=headers, timeout=10)
    assert "unknown parameters" in answer.json()["error"]["message"]


def test_listings_can_lag_behind(drive: FakeDrive, files: Any) -> None:
    drive.items.lag = Lag(by_parent=0.0, by_name=60.0)
    made = files.create(body={"name": "x"}).execute()
    assert names(files.list(q="name = 'x'").execute()) == []
    assert names(files.list(q="'root' in parents").execute()) == ["x"]
    drive.items.lag = Lag(by_parent=60.0)
    assert names(files.list(q="'root' in parents").execute()) == []
    assert files.get(fileId=made["id"]).execute()["name"] == "x"


def test_tokens_end(drive: FakeDrive, files: Any) -> None:
    drive.tokens.expire_all()
    assert names(files.list().execute()) == []  # after a refresh
    assert drive.tokens.given == 1
    drive.tokens.revoke_all()
    with pytest.raises(Exception, match="invalid_grant"):
        files.list().execute()

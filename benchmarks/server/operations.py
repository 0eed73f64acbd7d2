"""The operations of S3 that the clients use."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from benchmarks.server.connection import Body, Request
from benchmarks.server.errors import S3Error
from benchmarks.server.listing import Listings
from benchmarks.server.storage import SLOT, Span, Storage, StoredObject, etag_of

#: Parts but the last; https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_SMALLEST_PART = 5 << 20
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
#: Headers of an upload that come back with the object.
_KEPT = re.compile(r"x-amz-meta-.*|content-(type|encoding|disposition|language)|cache-control|expires")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes
    ----------
    body : bytes
    length : int or None
        The length of a body that is in a file, or that is only told of.
    file : int
        An open file that holds the body.
    spans : sequence of (int, int)
        Where in the file it lies: offset and length.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    file: int = -1
    spans: Sequence[Span] = ()

    @property
    def size(self) -> int:
        """The length of the body."""
        return len(self.body) if self.length is None else self.length


Operation = Callable[[Request], Answer]


class Operations:
    """What is done on a request; each method is one operation."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._listings = Listings(storage)

    @contextlib.contextmanager
    def answer(self, request: Request) -> Iterator[Answer]:
        """Do what is asked; a file that the answer holds is open within the block."""
        if (request.method, _kind(request)) == ("GET", "object"):
            with self._storage.open(request.bucket, request.key) as stored:
                yield _get_object(request, stored)
        else:
            yield self._operation(request)(request)

    def _operation(self, request: Request) -> Operation:
        name = _OPERATIONS.get((request.method, _kind(request)))
        if name is None or "x-amz-copy-source" in request.headers:
            raise S3Error(501, "NotImplemented", f"{request.method} {request.key} {sorted(request.query)}")
        operation: Operation = getattr(self, name)
        return operation

    # ------------------------------------------------------------------ buckets
    def _create_bucket(self, request: Request) -> Answer:
        self._storage.create_bucket(request.bucket)
        return Answer()

    def _head_bucket(self, request: Request) -> Answer:
        self._storage.bucket(request.bucket)
        return Answer(headers={"x-amz-bucket-region": "us-east-1"})

    def _list_objects(self, request: Request) -> Answer:
        return Answer(body=self._listings.page(request.bucket, request.query))

    def _delete_objects(self, request: Request) -> Answer:
        asked = _document(request.body)
        keys = [found.text or "" for found in asked.iterfind("./{*}Object/{*}Key")]
        self._storage.bucket(request.bucket)
        for key in keys:
            self._storage.delete(request.bucket, key)
        deleted = () if asked.findtext("./{*}Quiet") == "true" else keys
        lines = (f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in deleted)
        return _xml("DeleteResult", lines)

    # ------------------------------------------------------------------ objects
    def _put_object(self, request: Request) -> Answer:
        with self._storage.create(request.bucket, request.key) as writer:
            request.body.copy(writer.write)
            self._check_overwriting(request)
            writer.headers = _kept(request)
        status = self._storage.status(request.bucket, request.key)
        return Answer(headers={"ETag": etag_of(status)} if status else {})

    def _check_overwriting(self, request: Request) -> None:
        status = self._storage.status(request.bucket, request.key)
        _check(request, etag_of(status) if status else None)

    def _head_object(self, request: Request) -> Answer:
        with self._storage.open(request.bucket, request.key) as stored:
            return _described(request, stored)

    def _delete_object(self, request: Request) -> Answer:
        self._storage.bucket(request.bucket)
        self._storage.delete(request.bucket, request.key)
        return Answer(204)

    # ------------------------------------------------------------------ multipart uploads
    def _create_upload(self, request: Request) -> Answer:
        self._storage.bucket(request.bucket)
        name = self._storage.begin_upload(_kept(request))
        return _xml("InitiateMultipartUploadResult", [*_place(request), f"<UploadId>{name}</UploadId>"])

    def _upload_part(self, request: Request) -> Answer:
        number = int(request.query["partNumber"])
        with self._storage.write_part(request.query["uploadId"], number) as writer:
            request.body.copy(writer.write)
        # the tag is the receipt: it tells the length when the upload is completed
        return Answer(headers={"ETag": f'"{writer.size:x}-{number:x}-{secrets.token_hex(8)}"'})

    def _complete_upload(self, request: Request) -> Answer:
        asked = _document(request.body)
        parts = [(part.findtext("{*}PartNumber"), part.findtext("{*}ETag")) for part in asked.iterfind("{*}Part")]
        spans = _spans(parts)
        self._check_overwriting(request)
        etag = self._storage.complete_upload(request.query["uploadId"], request.bucket, request.key, spans)
        return _xml("CompleteMultipartUploadResult", [*_place(request), f"<ETag>{escape(etag)}</ETag>"])

    def _abort_upload(self, request: Request) -> Answer:
        self._storage.abort_upload(request.query["uploadId"])
        return Answer(204)


# ---------------------------------------------------------------------- what is asked
#: The methods of `Operations`, by the method of HTTP and what it is about.
_OPERATIONS = {
    ("PUT", "bucket"): "_create_bucket",
    ("HEAD", "bucket"): "_head_bucket",
    ("GET", "listing"): "_list_objects",
    ("POST", "deletion"): "_delete_objects",
    ("PUT", "object"): "_put_object",
    ("HEAD", "object"): "_head_object",
    ("DELETE", "object"): "_delete_object",
    ("POST", "uploads"): "_create_upload",
    ("PUT", "upload"): "_upload_part",
    ("POST", "upload"): "_complete_upload",
    ("DELETE", "upload"): "_abort_upload",
}
#: Parts of a query that ask for something that is not here.
_STRANGE = {"acl", "tagging", "versioning", "location", "policy", "versions", "attributes"}


def _kind(request: Request) -> str:
    """What a request is about."""
    query = request.query
    if not request.bucket or _STRANGE & query.keys():
        return "nothing here"
    if request.key:
        return "upload" if "uploadId" in query else "uploads" if "uploads" in query else "object"
    return "listing" if query.get("list-type") == "2" else "deletion" if "delete" in query else "bucket"


def _document(body: Body) -> ET.Element:
    try:
        return ET.fromstring(body.read())  # noqa: S314 - from a client of ours
    except ET.ParseError as error:
        raise S3Error(400, "MalformedXML", str(error)) from None


def _kept(request: Request) -> dict[str, str]:
    kept = {name: value for name, value in request.headers.items() if _KEPT.fullmatch(name)}
    encodings = [text.strip() for text in kept.pop("content-encoding", "").split(",")]
    if remaining := [text for text in encodings if text not in {"", "aws-chunked"}]:
        kept["content-encoding"] = ",".join(remaining)
    return kept


def _spans(parts: Iterable[tuple[str | None, str | None]]) -> list[Span]:
    """Where the parts lie that an upload is completed with."""
    spans: list[Span] = []
    for number, etag in parts:
        size, _, rest = (etag or "").strip('"').partition("-")
        if not (number and rest.startswith(f"{int(number):x}-")):
            raise S3Error(400, "InvalidPart", f"part {number} with {etag}")
        if spans and int(number) * SLOT <= spans[-1][0]:
            raise S3Error(400, "InvalidPartOrder", f"part {number}")
        if spans and spans[-1][1] < _SMALLEST_PART:
            raise S3Error(400, "EntityTooSmall", f"the part before {number}")
        spans.append((int(number) * SLOT, int(size, 16)))
    if not spans:
        raise S3Error(400, "MalformedXML", "no part")
    return spans


# ---------------------------------------------------------------------- conditions and ranges
def _check(request: Request, etag: str | None) -> None:
    """Hold a request to what it says about the version that is there."""
    wanted, refused = (request.headers.get(name, "") for name in ("if-match", "if-none-match"))
    if wanted and not _matches(wanted, etag):
        raise S3Error(412, "PreconditionFailed", request.key)
    if refused and request.method not in {"GET", "HEAD"} and _matches(refused, etag):
        raise S3Error(412, "PreconditionFailed", request.key)


def _matches(condition: str, etag: str | None) -> bool:
    named = {text.strip().strip('"') for text in condition.split(",")}
    return etag is not None and (condition == "*" or etag.strip('"') in named)


def _get_object(request: Request, stored: StoredObject) -> Answer:
    condition = request.headers.get("if-none-match", "")
    if condition and _matches(condition, stored.etag):
        return Answer(304, {"ETag": stored.etag})
    return _described(request, stored)


def _described(request: Request, stored: StoredObject) -> Answer:
    """An object, or the range of it that is asked for."""
    _check(request, stored.etag)
    modified = formatdate(stored.status.st_mtime, usegmt=True)
    headers = {**stored.headers, "ETag": stored.etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    headers.setdefault("content-type", "binary/octet-stream")
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None:
        return Answer(200, headers, length=stored.size, file=stored.file, spans=stored.spans)
    start, end = _range(asked, stored.size)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    return Answer(206, headers, length=end - start, file=stored.file, spans=list(stored.between(start, end)))


def _range(asked: re.Match[str], size: int) -> tuple[int, int]:
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last or 0))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise S3Error(416, "InvalidRange", f"{asked[0]} of {size} bytes")
    return start, end


# ---------------------------------------------------------------------- answers
def _xml(root: str, lines: Iterable[str]) -> Answer:
    return Answer(body=f"{_XML}<{root} {_NAMESPACE}>{''.join(lines)}</{root}>".encode())


def _place(request: Request) -> list[str]:
    return [f"<Bucket>{request.bucket}</Bucket>", f"<Key>{escape(request.key)}</Key>"]


def refusal(request: Request, error: S3Error) -> Answer:
    """The answer that an error is."""
    text = f"{_XML}<Error><Code>{error.code}</Code><Message>{escape(str(error))}</Message></Error>"
    return Answer(error.status, body=b"" if request.method == "HEAD" else text.encode())

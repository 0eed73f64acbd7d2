"""How the arguments of boto3's methods become requests, and answers become responses: read from botocore's own model.

What the model does not make plain is refused with `Unserved`, and goes botocore's way.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from cottoncandy.backends.s3.body import Payload
from cottoncandy.backends.s3.lean.answers import Head
from cottoncandy.backends.s3.lean.documents import READERS, parse_time


class Unserved(Exception):
    """The lean way does not serve this call; botocore's way does."""


_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_NOTHING = memoryview(b"")
#: Printable ASCII, without blank and colon.
_METADATA_NAMES = re.compile(r"[!-9;-~]+")


# ------------------------------------------------------------------ arguments
class Call:
    """What the arguments of one call say.

    Attributes
    ----------
    key : str
        Empty for what concerns a bucket.
    query : dict
    headers : dict
    body : memoryview
    """

    __slots__ = ("body", "headers", "key", "query")

    def __init__(self, query: dict[str, str]) -> None:
        self.key = ""
        self.query = query
        self.headers: dict[str, str] = {}
        self.body = _NOTHING


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unserved("a value that is no text")
    return value


def _whole(value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unserved("a value that is no whole number")
    return str(value)


def _flag(value: Any) -> str:
    if not isinstance(value, bool):
        raise Unserved("a value that is neither True nor False")
    return str(value).lower()


_WRITERS: Mapping[str, Callable[[Any], str]] = {"string": _text, "integer": _whole, "long": _whole, "boolean": _flag}


def _put_metadata(call: Call, value: Any) -> None:
    """The headers of user metadata; what botocore would refuse is left for it to refuse."""
    try:
        names, contents = _metadata_names(tuple(value)), "".join(value.values())
    except (AttributeError, TypeError):
        raise Unserved("metadata that is no dict of texts") from None
    if names is None or not contents.isascii():
        raise Unserved("metadata that no header can hold")
    call.headers.update(zip(names, value.values(), strict=True))


# few different ones are used again and again
@lru_cache(maxsize=256)
def _metadata_names(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names of the headers that hold metadata of these names; None where there can be no such header."""
    if not all(map(_METADATA_NAMES.fullmatch, names)):
        return None
    return tuple([f"x-amz-meta-{name}" for name in names])


def _deletion(value: Any) -> memoryview:
    """The XML of DeleteObjects."""
    objects = _entries(value, "Objects", {"Key", "VersionId"}, {"Quiet"})
    quiet = f"<Quiet>{_flag(value['Quiet'])}</Quiet>" if "Quiet" in value else ""
    return _document("Delete", _keys_alone(objects) or _texts("Object", objects), quiet)


def _keys_alone(objects: list[dict[str, Any]]) -> str | None:
    """The XML of objects that are named by their keys alone, escaped all at once; None for what is not that simple."""
    if set().union(*objects) != {"Key"}:
        return None
    try:
        text = "\0".join([entry["Key"] for entry in objects])
    except (KeyError, TypeError):
        return None
    if text.count("\0") >= len(objects):
        return None
    between = "</Key></Object><Object><Key>"
    return f"<Object><Key>{_escape(text).replace(chr(0), between)}</Key></Object>"


def _completion(value: Any) -> memoryview:
    """The XML of CompleteMultipartUpload."""
    return _document("CompleteMultipartUpload", _texts("Part", _entries(value, "Parts", _PART_FIELDS)))


_PART_FIELDS = {
    "ETag",
    "PartNumber",
    "ChecksumCRC32",
    "ChecksumCRC32C",
    "ChecksumCRC64NVME",
    "ChecksumSHA1",
    "ChecksumSHA256",
}


def _entries(
    value: Any, name: str, fields: AbstractSet[str], others: AbstractSet[str] = frozenset()
) -> list[dict[str, str | int]]:
    """The entries of a list, if all that stands in them is known."""
    entries: Any = value.get(name) if isinstance(value, dict) else None
    plain = isinstance(entries, list) and entries and value.keys() <= {name, *others}
    if not plain or not all(isinstance(entry, dict) and entry.keys() <= fields for entry in entries):
        raise Unserved(f"{name} of an unusual form")
    return list(entries)


def _texts(tag: str, entries: list[dict[str, str | int]]) -> str:
    texts = [
        f"<{tag}>{''.join([f'<{name}>{_content(content)}</{name}>' for name, content in entry.items()])}</{tag}>"
        for entry in entries
    ]
    return "".join(texts)


def _document(root: str, content: str, more: str = "") -> memoryview:
    return memoryview(f'<{root} xmlns="{_NAMESPACE}">{content}{more}</{root}>'.encode())


def _content(value: str | int) -> str:
    return _escape(value) if isinstance(value, str) else _whole(value)


def _escape(text: str) -> str:
    # an XML parser makes a line feed of every carriage return that is not escaped
    return html.escape(text, quote=False).replace("\r", "&#xD;").replace("\n", "&#xA;")


def _copied_from(value: Any) -> str:
    """The header that names an object to copy (`botocore.handlers.handle_copy_source_param`)."""
    if not isinstance(value, dict) or not value.keys() <= {"Bucket", "Key", "VersionId"}:
        raise Unserved("a source that is no dict of its names")
    bucket, key = _text(value.get("Bucket")), _text(value.get("Key"))
    if ":" in bucket:
        raise Unserved("an ARN")
    version = f"?versionId={_text(value['VersionId'])}" if "VersionId" in value else ""
    return quote(f"{bucket}/{key}", safe="/~") + version


def _customer_key(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A customer's encryption key as it travels, and its digest (`botocore.handlers.sse_md5`)."""
    key = arguments["SSECustomerKey"]
    raw = key.encode() if isinstance(key, str) else key
    if not isinstance(raw, (bytes, bytearray)):
        raise Unserved("an encryption key that is neither text nor bytes")
    digest = hashlib.md5(raw, usedforsecurity=False).digest()
    return {
        **arguments,
        "SSECustomerKey": base64.b64encode(raw).decode(),
        "SSECustomerKeyMD5": base64.b64encode(digest).decode(),
    }


Place = Callable[[Call, Any], None]


def _put_body(call: Call, body: Any) -> None:
    if isinstance(body, Payload):
        body = body.view
    elif not isinstance(body, (bytes, bytearray, memoryview)):
        raise Unserved("a body that does not lie in memory")
    call.body = memoryview(body).cast("B")


def _put_source(call: Call, source: Any) -> None:
    call.headers["x-amz-copy-source"] = _copied_from(source)


def _in(attribute: str, write: Callable[[Any], Any]) -> Place:
    """Puts a value into an attribute of the call."""
    return lambda call, value: setattr(call, attribute, write(value))


#: Arguments that are more than a header or a part of the query.
_SPECIAL: Mapping[str, Place] = {
    "Key": _in("key", _text),
    "Body": _put_body,
    "Delete": _in("body", _deletion),
    "MultipartUpload": _in("body", _completion),
    "Metadata": _put_metadata,
    "CopySource": _put_source,
}
_PLACES = {"header": "headers", "querystring": "query"}


def _place(name: str, shape: Any) -> Place | None:
    """Where an argument goes; None where the lean way does not know."""
    if name in _SPECIAL:
        return _SPECIAL[name]
    attribute = _PLACES.get(shape.serialization.get("location"))
    write = _WRITERS.get(shape.type_name)
    on_wire = shape.serialization.get("name", name)
    if attribute is None or write is None or on_wire == "Content-Length":
        return None

    def place(call: Call, value: Any) -> None:
        getattr(call, attribute)[on_wire] = write(value)

    return place


# ------------------------------------------------------------------ values of headers
_MONTHS = {"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6}
_MONTHS |= {"Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12}


# listings and objects that were written together have few different ones
@lru_cache(maxsize=256)
def parse_date(text: str) -> datetime:
    """A date in a header: the usual form fast (``Sun, 22 Nov 2026 19:33:06 GMT``), another one as botocore does."""
    try:
        _, day, month, year, clock, zone = text.split(" ")
        hour, minute, second = clock.split(":")
        if zone == "GMT":
            date = (int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second))
            return datetime(*date, tzinfo=timezone.utc)
    except (LookupError, ValueError):
        pass
    return parse_time(text)


_READERS: Mapping[str, Callable[[str], Any]] = {**READERS, "timestamp": parse_date}


def parse_expires(text: str) -> datetime | None:
    """``Expires`` as a date; None where it is none: its writer may say there what he wants, and servers repeat it."""
    try:
        return parse_date(text)
    except (ValueError, OverflowError):
        return None


# ------------------------------------------------------------------ operations
# Amazon sends the head, and spaces, while it is still at work: "HTTP/1.1 200 OK" does not say that it has been done.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html, and of CopyObject
_END_WITH_DOCUMENT = {"CompleteMultipartUpload", "CopyObject"}


class Operation:
    """One operation of S3.

    Attributes
    ----------
    name : str
        As ``GetObject``.
    method : str
        Of HTTP.
    streams : bool
        Whether the answer's body is an object's bytes.
    sends_bytes : bool
        Whether the request's body is.
    only_reads : bool
        Whether the store is afterwards as it was before.
    ends_with_document : bool
        Whether the answer may begin before all is done.
    output_shape
        Of the model.

    Parameters
    ----------
    model
        botocore's `OperationModel`, or one of `OPERATIONS`.
    """

    def __init__(self, model: Any) -> None:
        self.name: str = model.name
        self.method: str = model.http["method"]
        self.streams: bool = model.has_streaming_output
        self.only_reads = self.method in {"GET", "HEAD"}
        self.ends_with_document = self.name in _END_WITH_DOCUMENT
        query = model.http["requestUri"].partition("?")[2]
        self._query = {name: value for name, _, value in (part.partition("=") for part in query.split("&") if part)}
        inputs = model.input_shape.members
        self.sends_bytes = "Body" in inputs
        self._on_key = "Key" in inputs
        self._places = {name: _place(name, shape) for name, shape in inputs.items()}
        outputs = model.output_shape.members if model.output_shape else {}
        self.output_shape = model.output_shape
        self._has_metadata = "Metadata" in outputs
        self._outputs = {
            shape.serialization["name"].lower(): (
                name,
                parse_expires if name == "Expires" else _READERS[shape.type_name],
            )
            for name, shape in outputs.items()
            if shape.serialization.get("location") == "header"
        }

    def read_arguments(self, arguments: Mapping[str, Any]) -> Call:
        """Sort the arguments into the places where they go."""
        call = Call(self._query.copy())
        if "CopySourceSSECustomerKey" in arguments:
            raise Unserved("a key of the source's encryption")
        if "SSECustomerKey" in arguments and "SSECustomerKeyMD5" not in arguments:
            arguments = _customer_key(arguments)
        places = self._places
        for name, value in arguments.items():
            if name == "Key" and type(value) is str:
                call.key = value
            elif name != "Bucket":  # the route was found by it
                place = places.get(name)
                if place is None:
                    raise Unserved(f"an argument {name!r}")
                place(call, value)
        if self._on_key and not call.key:
            raise Unserved("a key that is missing")
        return call

    def response(self, head: Head, failures: int) -> dict[str, Any]:
        """What boto3 would return, from the headers."""
        headers = head.headers
        metadata = _request_ids(headers) if "x-amz-request-id" in headers or "x-amzn-requestid" in headers else {}
        metadata.update(HTTPStatusCode=head.status, HTTPHeaders=headers, RetryAttempts=failures)
        response: dict[str, Any] = {"ResponseMetadata": metadata}
        outputs = self._outputs
        for name, value in headers.items():
            if name in outputs:
                member, read = outputs[name]
                response[member] = read(value)
        if self._has_metadata:
            response["Metadata"] = head.metadata
        if "Expires" in response:
            _note_expires(response, headers["expires"])
        return response


def _note_expires(response: dict[str, Any], text: str) -> None:
    """The text beside the date, or in its place (`botocore.handlers.handle_expires_header`)."""
    if text:
        response["ExpiresString"] = text
    if response["Expires"] is None:
        del response["Expires"]


def _request_ids(headers: Mapping[str, str]) -> dict[str, Any]:
    if "x-amzn-requestid" in headers:
        return {"RequestId": headers["x-amzn-requestid"]}
    return {"RequestId": headers["x-amz-request-id"], "HostId": headers.get("x-amz-id-2", "")}

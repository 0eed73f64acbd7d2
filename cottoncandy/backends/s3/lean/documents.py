"""XML answers, read by the shapes of a model, and errors: as botocore's parsers read them, which take long to load."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET


# https://www.w3.org/TR/xml/#charsets
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
_REFERENCE = re.compile(rb"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,10}));")
#: What stands in the place of what was lost.
LOST = "\ufffd"


class NotXML(ValueError):
    """A body that cannot be read."""


# what is listed together was often written together
@lru_cache(maxsize=1024)
def parse_time(text: str) -> datetime:
    """A date. botocore's parser knows more forms, and takes a hundred times as long."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        from botocore.utils import parse_timestamp

        try:
            parsed: datetime = parse_timestamp(text)
        except (RuntimeError, OverflowError) as error:
            raise ValueError(f"{text!r:.50} is no date") from error
        return parsed


READERS: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": "true".__eq__,
    "timestamp": parse_time,
}


def local_name(element: ET.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def readable(content: bytes) -> bytes:
    """XML without the characters that it may not hold, and without references to them.

    Servers write so what they repeat of a name. The names that count are percent-encoded.
    """
    content = _FORBIDDEN.sub(LOST.encode(), content)
    return _REFERENCE.sub(_if_allowed, content) if b"&#" in content else content


def _if_allowed(reference: re.Match[bytes]) -> bytes:
    code = int(reference[1], 16) if reference[1] else int(reference[2])
    allowed = code in {9, 10, 13} or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000
    return reference[0] if allowed else LOST.encode()


def parse_xml(content: bytes | str) -> ET.Element:
    """The root of XML. The caller has looked that it declares nothing.

    Raises
    ------
    NotXML
    """
    import xml.etree.ElementTree as ET  # only listings and errors need it, and it brings much

    try:
        try:
            return ET.fromstring(content)  # noqa: S314 - it declares nothing
        except ET.ParseError:
            return ET.fromstring(readable(content.encode() if isinstance(content, str) else content))  # noqa: S314
    except (ET.ParseError, ValueError, LookupError) as error:
        raise NotXML(str(error)) from error


def read_document(content: bytes, shape: Any) -> dict[str, Any]:
    """The members of an answer that stand in its body. The caller has looked that it declares nothing.

    Raises
    ------
    NotXML
    """
    try:
        return _structure(parse_xml(content), shape)
    except (ValueError, LookupError) as error:
        raise NotXML(f"an answer that cannot be read: {error}") from error


def _structure(element: ET.Element, shape: Any) -> dict[str, Any]:
    found: dict[str, list[ET.Element]] = {}
    for child in element:
        found.setdefault(local_name(child), []).append(child)
    values: dict[str, Any] = {}
    for name, member in shape.members.items():
        if "location" not in member.serialization and (children := found.get(_on_wire(name, member))):
            values[name] = _value(children, member)
    return values


def _on_wire(name: str, member: Any) -> str:
    inner = member.member.serialization.get("name") if member.type_name == "list" else None
    found: str = inner or member.serialization.get("name", name)
    return found


def _value(children: list[ET.Element], shape: Any) -> Any:
    if shape.type_name == "list":  # S3's are flat, but for those of operations that go botocore's way
        return [_value([child], shape.member) for child in children]
    if shape.type_name == "structure":
        return _structure(children[0], shape)
    return READERS[shape.type_name](children[0].text or "")


# ------------------------------------------------------------------ errors
def read_error(status: int, headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
    """An answer that says no, in the shape of botocore's ``ClientError.response``."""
    metadata: dict[str, Any] = {"HTTPStatusCode": status, "HTTPHeaders": dict(headers)}
    metadata["RequestId"] = headers.get("x-amz-request-id", "")
    metadata["HostId"] = headers.get("x-amz-id-2", "")
    return {"Error": _error(content) or _error_of_status(status), "ResponseMetadata": metadata}


def _error_of_status(status: int) -> dict[str, Any]:
    import http

    known = status in set(http.HTTPStatus)
    return {"Code": str(status), "Message": http.HTTPStatus(status).phrase if known else ""}


def _error(content: bytes) -> dict[str, Any]:
    """What the body tells; nothing where it is none of S3's, as the page of a proxy."""
    try:
        root = parse_xml(content)
    except NotXML:
        return {}
    told = {local_name(child): child.text for child in root if local_name(child) not in {"RequestId", "HostId"}}
    return {"Message": "", "Code": "", **told} if local_name(root) == "Error" else {}

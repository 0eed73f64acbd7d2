"""Answers with status 200 that are no store's: the page of a proxy, or of a network that wants a login."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: What an error says of it.
FOREIGN = "a page in the place of an answer: does a proxy stand between, or a network that wants a login?"
#: Elements without which these answers are none: an empty one would say that all was done.
_ROOTS = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CopyObject": "CopyObjectResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
}
# What may stand before the outermost element, and its beginning; one piece at a time, so that no text takes long.
_BEFORE = re.compile(rb"\s+|\xef\xbb\xbf|<\?.*?\?>|<!--.*?-->|<!doctype[^>]*>", re.IGNORECASE | re.DOTALL)
_ROOT = re.compile(rb"<(?:[\w.-]{1,100}:)?([\w.-]{1,100})")
#: Elements that a page begins with. Some stores tell of XML, too, that it is HTML.
_OF_PAGES = {
    "",
    "a",
    "body",
    "center",
    "div",
    "form",
    "h1",
    "head",
    "html",
    "link",
    "meta",
    "p",
    "script",
    "style",
    "title",
}


def is_foreign(operation: str, headers: Mapping[str, str], content: bytes) -> bool:
    """Whether a body that came with status 200 is no store's, but the page of a proxy, or of a network to log in to.

    All stores that we know of answer a write with an ETag, and put nothing into the body where all is said by headers.
    """
    if not content:
        return False
    root = _root(content)
    if operation in _ROOTS:
        return root != _ROOTS[operation].lower()
    by_type = root in _OF_PAGES and is_html(headers.get("content-type"))
    return (root == "html" or by_type) and "etag" not in headers


def is_html(content_type: str | None) -> bool:
    """Whether a header says that this is HTML."""
    return content_type is not None and content_type.lower().startswith("text/html")


def is_page(content: bytes) -> bool:
    """Whether this is HTML."""
    return _root(content) == "html"


def _root(content: bytes) -> str:
    """The name of the outermost element, in lower case; empty where there is none."""
    start = 0
    while before := _BEFORE.match(content, start):
        start = before.end()
    root = _ROOT.match(content, start)
    return root[1].decode().lower() if root else ""

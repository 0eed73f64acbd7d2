"""Answers with status 200 that are no store's: the page of a proxy, or of a network that wants a login."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: What an error says of it.
FOREIGN = "a page in the place of an answer: does a proxy stand between, or a network that wants a login?"
#: Elements without which these answers are none: an empty one would say that all was done.
_ROOTS = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
}
_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->|<!doctype[^>]*>)*<(?:[\w.-]+:)?([\w.-]+)", re.IGNORECASE | re.DOTALL
)


def is_foreign(operation: str, headers: Mapping[str, str], content: bytes) -> bool:
    """Whether a body that came with status 200 is no store's, but the page of a proxy, or of a network to log in to.

    All stores that we know of answer a write with an ETag, and put nothing into the body where all is said by headers.
    """
    if not content:
        return False
    root = _root(content)
    if operation in _ROOTS:
        return root != _ROOTS[operation].lower()
    by_type = not root and headers.get("content-type", "").lower().startswith("text/html")
    return (root == "html" or by_type) and "etag" not in headers


def is_page(content: bytes) -> bool:
    """Whether this is HTML."""
    return _root(content) == "html"


def _root(content: bytes) -> str:
    """The name of the outermost element, in lower case; empty where there is none."""
    match = _ROOT.match(content)
    return match[1].decode().lower() if match else ""

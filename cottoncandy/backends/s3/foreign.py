"""Answers with status 200 that are not to be believed: errors, and the pages of proxies and networks to log in to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

#: The code of our own errors for answers that are not to be believed.
UNREADABLE = "UnreadableAnswer"
#: What an error says of such an answer.
FOREIGN = "an answer that is no store's: does a proxy stand between, or a network that wants a login?"
#: Operations whose answer is about the bytes of an object, all but these in its headers.
_OF_BYTES = {"GetObject", "HeadObject", "PutObject", "UploadPart"}
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
#: Elements, in lower case, without one of which these answers are none: an empty one would say that all was done, or
#: that nothing is there.
_ROOTS = {
    "CompleteMultipartUpload": {"completemultipartuploadresult"},
    "CopyObject": {"copyobjectresult"},
    "CreateMultipartUpload": {"initiatemultipartuploadresult"},
    "DeleteObjects": {"deleteresult"},
    "ListBuckets": {"listallmybucketsresult"},
    "ListMultipartUploads": {"listmultipartuploadsresult"},
    "ListObjectVersions": {"listversionsresult"},
    "ListObjects": {"listbucketresult"},
    "ListObjectsV2": {"listbucketresult"},
    "UploadPartCopy": {"copypartresult", "copyobjectresult"},  # the second one is S3Proxy's
}
#: Calls that only a parameter tells from a listing of objects, which is what servers answer that do not know them.
_NAMED_BY_PARAMETER = {"ListMultipartUploads", "ListObjectVersions"}
#: Listings that come in pages: one that does not say whether it is the last would be taken for the end.
_PAGED = {"ListMultipartUploads", "ListObjectVersions", "ListObjects", "ListObjectsV2"}
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
        return root not in _ROOTS[operation]
    by_type = root in _OF_PAGES and is_html(headers.get("content-type"))
    return (root == "html" or by_type) and "etag" not in headers


def is_unknown(operation: str, content: bytes) -> bool:
    """Whether a server has listed objects in the place of what it was asked for: it has no such call."""
    return operation in _NAMED_BY_PARAMETER and _root(content) == "listbucketresult"


def is_error(content: bytes) -> bool:
    """Whether a body is S3's XML of an error, which says more than the status 200 that it came with."""
    return _root(content) == "error"


def is_nobodys(operation: str, headers: Mapping[str, str]) -> bool:
    """Whether an answer that says yes to bytes read or written bears no store's mark.

    A store tells a version, or which bytes these are, or something that begins with ``x-amz-``. All that we know of
    tell a version, but a proxy may take that away.

    Parameters
    ----------
    operation : str
    headers : Mapping
        Found by names in lower case, whatever they are when iterated.
    """
    if operation not in _OF_BYTES or headers.get("etag") or headers.get("content-range"):
        return False
    return not any(name.lower().startswith("x-amz-") for name in headers)


def is_open_ended(operation: str, response: Mapping[str, Any]) -> bool:
    """Whether a page of a listing does not say if there is another one."""
    return operation in _PAGED and "IsTruncated" not in response


def contradiction(response: Mapping[str, Any]) -> str | None:
    """How the headers of an object's answer do not fit each other, as where it was cut on its way; None if they do."""
    content_range = response.get("ContentRange")
    if not content_range and response["ResponseMetadata"]["HTTPStatusCode"] == 206:
        return "a part of an object (206), and no Content-Range that says which"
    try:
        if content_range:
            extent(content_range, response.get("ContentLength"))
    except ValueError as error:
        return str(error)
    return None


# objects of one size have the same, all of them; and it is asked twice of each
@lru_cache(maxsize=256)
def extent(content_range: str, length: int | None) -> tuple[int, int | None]:
    """The first byte of a range, and the size of the whole; None where it is not told.

    Parameters
    ----------
    content_range : str
        The header ``Content-Range``.
    length : int or None
        ``Content-Length``, where the answer has one.

    Raises
    ------
    ValueError
        If they make no sense, or contradict each other.
    """
    match = _CONTENT_RANGE.fullmatch(content_range)
    first, last = (int(match[1]), int(match[2])) if match else (0, -1)
    size = int(match[3]) if match and match[3] != "*" else None
    if last < first or (size is not None and last >= size) or length not in {None, last + 1 - first}:
        raise ValueError(f"an answer with Content-Range {content_range!r:.100} and Content-Length {length}")
    return first, size


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

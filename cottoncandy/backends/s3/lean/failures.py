"""What goes wrong on the lean way, said in botocore's own errors: one translation serves both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from cottoncandy.backends.s3.lean.connections import BadAnswer, ClosedEarly
from cottoncandy.backends.s3.lean.documents import read_error

#: Statuses and codes with which S3 sends a request to another region or endpoint; botocore knows how to follow.
_REDIRECT_STATUSES = {301, 302, 307, 308}
_REDIRECT_CODES = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}


#: Of the XML of one answer: a page of 1,000 objects has about 30,000. Each element takes some 100 bytes of memory.
_MOST_TAGS = 500_000


# ------------------------------------------------------------------ no answer, or half of one
def connect_failure(error: OSError, url: str) -> BotoCoreError:
    """No connection."""
    import ssl

    if isinstance(error, TimeoutError):
        return ConnectTimeoutError(endpoint_url=url, error=error)
    if isinstance(error, ssl.SSLError):
        return SSLError(endpoint_url=url, error=error)
    return EndpointConnectionError(endpoint_url=url, error=error)


def exchange_failure(error: OSError | BadAnswer, url: str) -> BotoCoreError:
    """A connection, and no answer on it."""
    if isinstance(error, BadAnswer):
        return HTTPClientError(error=error)
    if _is_timeout(error):
        return ReadTimeoutError(endpoint_url=url, error=error)
    return ConnectionClosedError(endpoint_url=url, error=error)


def is_closing(error: Exception) -> bool:
    """Whether an idle connection that the server has closed shows so."""
    import ssl

    return isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError))


def body_failure(error: OSError | BadAnswer, url: str, count: int, length: int | None) -> BotoCoreError:
    """A body that broke off after ``count`` bytes."""
    if isinstance(error, ClosedEarly) and length is not None:
        return IncompleteReadError(actual_bytes=count, expected_bytes=length)
    if _is_timeout(error):
        return ReadTimeoutError(endpoint_url=url, error=error)
    return ResponseStreamingError(error=error)


def _is_timeout(error: OSError | BadAnswer) -> bool:
    # a timeout that the kernel keeps shows as "try again"
    return isinstance(error, (TimeoutError, BlockingIOError))


# ------------------------------------------------------------------ an answer that says no
#: What an error says of such XML.
EXPLOSIVE = "XML with declarations, or nothing but tags, for which no S3 server has a use"


def may_explode(body: bytes) -> bool:
    """Whether the XML may take far more memory than it has bytes.

    It may declare entities, which can be made to grow without bounds, and no S3 has a use for them: a NUL shows UTF-16
    or UTF-32, which would hide a declaration; all else that expat reads is a superset of ASCII. Or it is all tags.
    """
    return b"<!DOCTYPE" in body or b"\0" in body or (len(body) > _MOST_TAGS and body.count(b"<") > _MOST_TAGS)


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """What botocore makes of an error, in the shape of its ``ClientError.response``."""
    return read_error(status, headers, b"" if may_explode(body) else body)


def is_redirect(parsed: Mapping[str, Any]) -> bool:
    """Whether the request belongs to another region or endpoint."""
    status = parsed["ResponseMetadata"]["HTTPStatusCode"]
    return status in _REDIRECT_STATUSES or parsed["Error"].get("Code") in _REDIRECT_CODES

"""What an answer tells that says no: its code, its status, and what these mean for who asked."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import ClientError


def code_of(error: ClientError) -> str:
    """The error's code; for an answer without a body it is the status, as '404'."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status of the answer; 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def message_of(error: ClientError) -> str:
    """What the server wrote, or nothing."""
    return str(error.response.get("Error", {}).get("Message") or "")


def headers_of(error: ClientError) -> Mapping[str, str]:
    """The headers of the answer, by names in lower case."""
    headers: Mapping[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def was_retried(error: ClientError) -> bool:
    """Whether botocore had sent the request before: the first one may have been done, and its answer lost."""
    return int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0


def is_of_another_region(error: ClientError) -> bool:
    """Whether a redirect is S3's own, which tells the bucket's region; others send on to wherever they want."""
    return bool(headers_of(error).get("x-amz-bucket-region"))


def is_precondition(error: ClientError) -> bool:
    """Whether the condition that came with the request does not hold."""
    return code_of(error) == "PreconditionFailed" or status_of(error) == 412


def is_conflict(error: ClientError) -> bool:
    """Whether another write or deletion was under way, so that it was not looked whether the condition holds."""
    return code_of(error) == "ConditionalRequestConflict"


def is_not_implemented(error: ClientError) -> bool:
    """Whether the server does not know something that was asked."""
    return status_of(error) == 501 or code_of(error) == "NotImplemented"

"""Secrets taken out of what other libraries log: botocore's and Google's log signatures and tokens at DEBUG."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

__all__ = ["Secret", "hidden", "redact", "redact_logs", "with_hidden_keys"]

Value = TypeVar("Value")

_HIDDEN = "***"
# Names of headers, of parameters of URLs and forms, and of members of JSON, whose values are secrets.
_NAMES = (
    *("authorization", "proxy-authorization", "cookie", "x-amz-security-token", "x-amz-s3session-token"),
    r"x-amz-(?:copy-source-)?server-side-encryption-customer-key",
    "(?:copysource)?ssecustomerkey",
    *("x-amz-signature", "x-amz-credential", "awsaccesskeyid", "signature", "upload_id", "assertion"),
    *("secret_?access_?key", "session_?token", "(?:refresh|access|id)_?token", "client_?secret", "private_key"),
    "(?<=[?&])code",
)
_SECRETS = re.compile(
    rf"""(?P<name>(?<![\w-])(?:{"|".join(_NAMES)}))   # the name, in quotes or not
    (?P<between>["']?\s*[:=>]\s*b?["']?)              # a header, a parameter, JSON, XML, or the repr of one
    (?P<secret>[^"'\n&<]+)""",
    re.IGNORECASE | re.VERBOSE,
)

# What http.client says of a header that it does not send.
_REFUSED_HEADER = re.compile(r"(Invalid header (?:name|value) ).*")


class Secret(str):
    """Text that no repr shows: nor that of a dict it is in, nor a traceback that shows variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{_HIDDEN}'"


class _SecretBytes(bytes):
    """Bytes that are not shown either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b'{_HIDDEN}'"


# Arguments of what opens a store, whose values are secrets.
_KEYS = {"ACCESS_KEY", "SECRET_KEY", "encryption_key", "aws_session_token"}


def hidden(value: Value) -> Value:
    """A key as it was given, such that no repr shows it; what is no text or bytes is given back."""
    if isinstance(value, str):
        return cast("Value", Secret(value))
    return cast("Value", _SecretBytes(value)) if isinstance(value, (bytes, bytearray, memoryview)) else value


def with_hidden_keys(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of what opens a store; no repr, and no traceback with variables, shows the keys among them."""
    return {name: hidden(value) if name in _KEYS else value for name, value in arguments.items()}


def redact(text: str) -> str:
    """The text without the secrets that its form gives away.

    Examples
    --------
    >>> redact("GET /a?X-Amz-Signature=0123&x-id=GetObject {'X-Amz-Security-Token': b'FwoG', 'Range': 'bytes=0-1'}")
    "GET /a?X-Amz-Signature=***&x-id=GetObject {'X-Amz-Security-Token': b'***', 'Range': 'bytes=0-1'}"
    """
    text = _REFUSED_HEADER.sub(rf"\g<1>{_HIDDEN}", text)
    return _SECRETS.sub(rf"\g<name>\g<between>{_HIDDEN}", text)


_FORMATTER = logging.Formatter()


class _Redacting(logging.Filter):
    """Lets every record pass, without its secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        clean = redact(told)
        if clean != told:
            record.msg, record.args = clean, ()
        if record.exc_info:
            trace = record.exc_text or _FORMATTER.formatException(record.exc_info)
            record.exc_text = redact(trace)  # handlers take this text where it is there
            if record.exc_text != trace:  # and some make one of their own
                record.exc_info = None
        return True


_REDACTING = _Redacting()


def redact_logs(names: Iterable[str]) -> None:
    """Take secrets out of what these loggers are given. Their levels and handlers stay as they are.

    A filter works on its own logger only, so each is named.
    """
    for name in names:
        logging.getLogger(name).addFilter(_REDACTING)  # which adds it once

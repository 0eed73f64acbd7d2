"""The one door for foreign errors: what Google's servers and libraries say, as errors of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import google.auth.exceptions
import requests
import urllib3.exceptions

from cottoncandy.backends.gdrive.settings import DriveSettings
from cottoncandy.errors import (
    AccessDenied,
    CottonCandyError,
    CredentialsNotFound,
    ObjectExists,
    ObjectNotFound,
    ServiceError,
    TransientError,
)
from cottoncandy.retry import Retries, retry_after


class Busy(TransientError):
    """The service asks to come back later.

    Attributes
    ----------
    retry_after : float or None
        In how many seconds, where it says so.
    """

    retry_after: float | None = None


class MayNot(AccessDenied):
    """The account's role does not allow this to be done to the file."""


class TimedOut(TransientError):
    """Nothing came for so long that the connection counts as broken."""


def wait_for(retries: Retries, error: TransientError, settings: DriveSettings) -> None:
    """Wait until a request may be sent again; raise the error where that makes no sense."""
    idle = max(settings.timeouts) if isinstance(error, TimedOut) else 0.0
    retries.wait(error, getattr(error, "retry_after", None), idle)


SIGN_IN_AGAIN = (
    "sign in again: remove the saved credentials file, and open the interface from a terminal. An app that is 'in "
    "testing' in the Google Cloud console is signed out after seven days"
)

# https://developers.google.com/workspace/drive/api/guides/handle-errors
_RATE_LIMITS = {"rateLimitExceeded", "userRateLimitExceeded"}
_REASONS: dict[str, tuple[type[CottonCandyError], str]] = {
    "storageQuotaExceeded": (
        ServiceError,
        "the Drive is full. A service account owns no storage: give it a shared drive (drive=...)",
    ),
    "dailyLimitExceeded": (ServiceError, "the project's requests of today are used up: go on tomorrow"),
    "teamDriveFileLimitExceeded": (ServiceError, "the shared drive has as many items as it can hold"),
    "cannotDownloadAbusiveFile": (ServiceError, "Google takes the file for malware or spam"),
    "accessNotConfigured": (
        AccessDenied,
        "enable the Google Drive API for the project of the client secrets in the Google Cloud console",
    ),
    "insufficientPermissions": (
        AccessDenied,
        "the sign-in does not cover this (its scopes): sign in again, and grant access to Drive",
    ),
    "insufficientFilePermissions": (
        MayNot,
        "the account may not do this to the file: on a shared drive become a content manager, elsewhere an editor",
    ),
}
_STATUS: dict[int, type[CottonCandyError]] = {
    401: CredentialsNotFound,
    403: AccessDenied,
    404: ObjectNotFound,
    409: ObjectExists,
}
_TRANSIENT_STATUS = {408, 429}
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)


def from_answer(status: int, headers: Mapping[str, str], body: bytes, where: str) -> CottonCandyError:
    """The error that an answer of the service stands for."""
    reason, message = _read(body)
    kind, advice = _REASONS.get(reason, (_STATUS.get(status, ServiceError), ""))
    if reason in _RATE_LIMITS or status in _TRANSIENT_STATUS or status >= 500:
        busy = Busy(_text(where, status, reason, message, "it has been tried several times: try again later"))
        busy.retry_after = retry_after(headers.get("Retry-After"))
        return busy
    if status == 401:
        advice = SIGN_IN_AGAIN
    return kind(_text(where, status, reason, message, advice))


def _text(where: str, status: int, reason: str, message: str, advice: str) -> str:
    said = f"{status} {reason}".rstrip() + (f" ({message})" if message else "")
    return f"{where}: Google Drive answered {said}" + (f": {advice}" if advice else "")


def _read(body: bytes) -> tuple[str, str]:
    """Reason and message of an error's body, empty where it is not Google's JSON."""
    try:
        error = json.loads(body)["error"]
        first: dict[str, Any] = (error.get("errors") or [{}])[0]
        return str(first.get("reason", "")), str(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "", ""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Translate what the libraries below raise.

    Their messages are left out, and so are they as causes: they quote addresses of upload sessions, which open an
    upload to anybody who knows them.
    """
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise ServiceError(f"{where}: no safe connection to the server: {_root(error)}") from _root(error)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise ServiceError(f"{where}: the server's address makes no sense") from _root(error)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, CottonCandyError):
            raise
        kind = TimedOut if isinstance(error, _TIMEOUTS) else TransientError
        raise kind(f"{where}: the connection failed: {_describe(_root(error))}") from _root(error)


@contextmanager
def translated_refresh() -> Iterator[None]:
    """Translate what can go wrong when an access token is asked for."""
    try:
        yield
    except google.auth.exceptions.TransportError as error:
        raise TransientError("Google's sign-in service cannot be reached") from _root(error)
    except google.auth.exceptions.GoogleAuthError as error:
        if getattr(error, "retryable", False):
            raise TransientError("Google's sign-in service failed; it may work later") from None
        # its text may quote the service's answer, but no token: tokens come with success only
        raise CredentialsNotFound(f"Google no longer takes the sign-in ({error.args[0]}): {SIGN_IN_AGAIN}") from None


def _root(error: BaseException) -> BaseException | None:
    """The system's own error at the bottom of it, which knows no address; None where there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and not isinstance(seen, requests.RequestException):
            return seen
        nested = [item for item in seen.args if isinstance(item, BaseException)]
        reasons = (getattr(item, "reason", None) for item in nested)
        nested += [reason for reason in reasons if isinstance(reason, BaseException)]
        seen = nested[-1] if nested else seen.__cause__ or seen.__context__
    return None


def _describe(error: BaseException | None) -> str:
    return "it was closed early" if error is None else f"{type(error).__name__}: {error}"

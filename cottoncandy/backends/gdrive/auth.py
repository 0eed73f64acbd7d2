"""Signing in to Google: files that hold credentials, the browser, and tokens that are renewed in time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import webbrowser
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.auth.transport.requests
import requests
import requests.auth
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials as UserCredentials

from cottoncandy.backends.gdrive import errors
from cottoncandy.backends.gdrive.settings import DriveSettings
from cottoncandy.configfiles import warn_if_public
from cottoncandy.errors import ConfigurationError, CredentialsNotFound
from cottoncandy.forks import ForkSafeLock
from cottoncandy.redaction import redact_logs
from cottoncandy.retry import is_once

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

log = logging.getLogger(__name__)

#: They log tokens, the client's secret and addresses of upload sessions.
_LOGGERS = (
    "google.auth.transport.requests",
    "google_auth_oauthlib.flow",
    "oauthlib.oauth2.rfc6749.clients.base",
    "oauthlib.oauth2.rfc6749.parameters",
    "requests_oauthlib.oauth2_session",
    "urllib3.connectionpool",
)
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_HOW_TO_GET_SECRETS = (
    "make an OAuth client of type 'Desktop app' in the Google Cloud console, and save its JSON there "
    "(docs/google-drive.md shows each step)"
)


class Login(requests.auth.AuthBase):
    """Puts a valid access token on each request, and renews it where it is not; for many threads.

    Parameters
    ----------
    credentials : google.auth.credentials.Credentials
    save_to : Path, optional
        The file that keeps renewed credentials.
    """

    def __init__(self, credentials: Credentials, save_to: Path | None = None) -> None:
        self._credentials = credentials
        self._save_to = save_to
        self._lock = ForkSafeLock()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request, as `requests` asks for."""
        with self._lock:
            if not self._credentials.valid:
                self._refresh()
        self._credentials.apply(request.headers)
        return request

    def renew(self, refused: str | None) -> None:
        """Get a new token, unless another thread has replaced the refused one by now.

        Parameters
        ----------
        refused : str or None
            The ``Authorization`` header that the service did not take.

        Raises
        ------
        CredentialsNotFound, TransientError
        """
        with self._lock:
            current: dict[str, str] = {}
            self._credentials.apply(current)
            if current.get("authorization", current.get("Authorization")) == refused:
                self._refresh()

    def _refresh(self) -> None:
        with errors.translated_refresh(), requests.Session() as session:
            self._credentials.refresh(google.auth.transport.requests.Request(session))
        if self._save_to is not None:
            # only a faster start of the next program is lost
            with contextlib.suppress(OSError):
                _save(self._credentials, self._save_to)


def sign_in(secrets_file: Path, credentials_file: Path, settings: DriveSettings, *, interactive: bool = True) -> Login:
    """Find credentials: those given, a service account's, saved ones, or new ones by the browser.

    Parameters
    ----------
    secrets_file : Path
        The OAuth client (``client_secrets.json``), or the key of a service account.
    credentials_file : Path
        Where the result of a sign-in by the browser is kept.
    settings : DriveSettings
    interactive : bool
        Whether the browser may be used.

    Raises
    ------
    CredentialsNotFound
        With what to do.
    """
    redact_logs(_LOGGERS)
    if settings.credentials is not None:
        return Login(settings.credentials)
    if settings.service_account is not None:
        return Login(_service_account(Path(settings.service_account).expanduser(), settings))
    saved = _saved(credentials_file, settings)
    if saved is not None:
        return Login(saved, credentials_file if isinstance(saved, UserCredentials) else None)
    if _read_json(secrets_file).get("type") == "service_account":
        return Login(_service_account(secrets_file, settings))
    if not interactive or is_once():  # who pressed Tab is not asked to sign in
        raise CredentialsNotFound(
            f"there are no saved credentials in {credentials_file}: sign in on this machine first"
        )
    return _by_browser(secrets_file, credentials_file, settings)


# ---------------------------------------------------------------------- files
def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CredentialsNotFound(f"there is no file {path}: {_HOW_TO_GET_SECRETS}") from None
    except (OSError, ValueError) as error:
        # the parser's message would quote what may be a secret
        raise ConfigurationError(f"{path} cannot be read as JSON ({type(error).__name__})") from None
    return content if isinstance(content, dict) else {}


def _service_account(path: Path, settings: DriveSettings) -> Credentials:
    _read_json(path)
    warn_if_public(path)
    try:
        credentials: Credentials = service_account.Credentials.from_service_account_file(
            str(path), scopes=list(settings.scopes), subject=settings.subject
        )
    except (ValueError, GoogleAuthError):
        raise ConfigurationError(
            f"{path} is no key file of a service account: make one in the Google Cloud console (IAM > Service accounts)"
        ) from None
    return credentials


def _saved(path: Path, settings: DriveSettings) -> Credentials | None:
    """The credentials of an earlier sign-in; None where there are none that serve."""
    if not path.exists():
        return None
    info = _read_json(path)
    if info.get("type") == "service_account":
        return _service_account(path, settings)
    if not {"refresh_token", "client_id", "client_secret"} <= info.keys() or "_module" in info:
        _put_aside(path)
        return None
    warn_if_public(path)
    return UserCredentials(
        info.get("token"),
        refresh_token=info["refresh_token"],
        # as it was written by the sign-in: `from_authorized_user_file` would put Google's own in its place
        token_uri=info.get("token_uri", _TOKEN_URI),
        client_id=info["client_id"],
        client_secret=info["client_secret"],
        scopes=info.get("scopes"),
        quota_project_id=info.get("quota_project_id"),
        expiry=_expiry(info["expiry"]) if "expiry" in info else None,
    )


def _expiry(text: object) -> datetime:
    """When a saved token ends, in UTC without a time zone as google.auth wants it; long ago where it is no date."""
    with contextlib.suppress(ValueError):
        return datetime.strptime(str(text).rstrip("Z").split(".")[0], "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007
    return datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(days=1)


def _put_aside(path: Path) -> None:
    """Make room for new credentials: what older releases saved (PyDrive, oauth2client) does not serve any more."""
    aside = path.with_name(f"{path.name}.old")
    log.warning("%s is of an older release and serves no more: it is kept as %s", path, aside)
    with contextlib.suppress(OSError):
        path.replace(aside)


def _save(credentials: Credentials, path: Path) -> None:
    """Write a user's credentials for their owner only, all at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(credentials.to_json())  # type: ignore[attr-defined]
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


# ---------------------------------------------------------------------- the browser
def _by_browser(secrets_file: Path, credentials_file: Path, settings: DriveSettings) -> Login:
    credentials = _ask(_flow(secrets_file, settings), settings)
    try:
        _save(credentials, credentials_file)
    except OSError as error:
        log.warning("%s cannot be written (%s): you will have to sign in again next time", credentials_file, error)
        return Login(credentials)
    return Login(credentials, credentials_file)


def _flow(secrets_file: Path, settings: DriveSettings) -> Any:
    from google_auth_oauthlib.flow import InstalledAppFlow

    try:
        return InstalledAppFlow.from_client_config(_read_json(secrets_file), list(settings.scopes))
    except ValueError:
        raise ConfigurationError(f"{secrets_file} is no file of an OAuth client: {_HOW_TO_GET_SECRETS}") from None


def _ask(flow: Any, settings: DriveSettings) -> Credentials:
    from oauthlib.oauth2.rfc6749.errors import OAuth2Error

    open_browser = _has_browser() if settings.open_browser is None else settings.open_browser
    try:
        credentials: Credentials = flow.run_local_server(
            port=settings.port,
            open_browser=open_browser,
            timeout_seconds=settings.sign_in_timeout,
            # a refresh token comes only with these
            access_type="offline",
            prompt="consent",
        )
    except AttributeError:  # a time-out is one, in all releases of the library
        raise CredentialsNotFound(
            f"nobody signed in within {settings.sign_in_timeout:g} s. On a machine without a browser, forward a port "
            "to it (ssh -L 8080:localhost:8080) and give port=8080, open_browser=False; or sign in elsewhere and copy "
            "the credentials file"
        ) from None
    except OAuth2Error as error:
        raise CredentialsNotFound(f"the sign-in was not completed ({error.error}): {errors.SIGN_IN_AGAIN}") from None
    except Warning as warning:  # oauthlib's name for other scopes than those asked for
        raise CredentialsNotFound(f"the sign-in granted too little ({warning}): grant all that it asks for") from None
    except (requests.RequestException, webbrowser.Error, OSError) as error:
        raise CredentialsNotFound(f"the sign-in failed ({type(error).__name__}: {error})") from error
    return credentials


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True

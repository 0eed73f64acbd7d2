"""What a caller can choose about Google Drive, beside the two file names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cottoncandy import keys
from cottoncandy.errors import ConfigurationError
from cottoncandy.retry import RetryPolicy

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

GOOGLE = "https://www.googleapis.com/"
#: All of the Drive: ``drive.file`` sees only what this app made, and not what a colleague's made.
SCOPES = ("https://www.googleapis.com/auth/drive",)

#: Seconds that a first wait lasts at most: Google counts requests by the minute.
FIRST_WAIT = 0.5
_FOLDER_ADDRESS = re.compile(r"(?:https://drive\.google\.com/.*/folders/|id:)([\w-]+)")


@dataclass(frozen=True)
class DriveSettings:
    """The further arguments of ``get_interface(backend='gdrive', ...)``.

    Attributes
    ----------
    root : str, optional
        The folder below which all objects are: a path as ``lab/data`` (made by the first write), the address that the
        browser shows for it, or ``id:`` and its id. The whole drive by default.
    drive : str, optional
        A shared drive, by name or id; one's own ("My Drive") by default.
    credentials : google.auth.credentials.Credentials, optional
        Ready-made credentials. They travel in a pickle of the interface.
    service_account : str, optional
        The key file of a service account. It owns no storage: it needs a shared drive, or ``subject``.
    subject : str, optional
        Whom the service account acts for, where the domain's administrator delegated that to it.
    scopes : tuple of str
        What a sign-in asks for.
    open_browser : bool, optional
        Whether a sign-in opens the browser; where it does not, it prints the address to open. By default it does
        where there is one.
    port : int
        Where a sign-in listens on this machine for the browser to come back; any free port by default.
    sign_in_timeout : float
        Seconds that a sign-in waits for the browser.
    timeout : float, optional
        Seconds without a byte after which a connection counts as broken; the configured ``read_timeout`` by default.
    settle : float
        Seconds that a write waits at most until listings show a new object: they lag behind, and other machines
        find objects by listings. 0 does not look.
    retry : RetryPolicy
        When a request is tried again; the configured one by default.
    verify : bool or str
        Whether to check the server's certificate, or the file of the authorities to check it with.
    """

    root: str | None = None
    drive: str | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    service_account: str | None = None
    subject: str | None = None
    scopes: tuple[str, ...] = SCOPES
    open_browser: bool | None = None
    port: int = 0
    sign_in_timeout: float = 300.0
    timeout: float | None = None
    settle: float = 10.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    verify: bool | str = True

    def __post_init__(self) -> None:
        if self.root_id is None and re.match(r"https?://", self.root or ""):
            raise ConfigurationError(
                f"root {self.root!r} is no folder's address: open the folder in the browser, and give the address that "
                "it shows then (https://drive.google.com/drive/folders/...), or 'id:' and the folder's id"
            )

    @property
    def timeouts(self) -> tuple[float, float]:
        """Seconds that are waited for a connection, and for the next byte on it."""
        return self.retry.connect_timeout, self.timeout or self.retry.read_timeout

    @property
    def root_id(self) -> str | None:
        """The id in an address or behind ``id:``; None where `root` is a path."""
        match = _FOLDER_ADDRESS.match(self.root or "")
        return match.group(1) if match else None

    @property
    def root_path(self) -> str:
        """The path of the root folder, ``''`` where it is the whole drive or given by its id."""
        return "" if self.root is None or self.root_id else keys.clean(self.root).rstrip(keys.SEPARATOR)


def checked_endpoint(endpoint_url: str | None) -> str:
    """The service's address, with a ``/`` at its end.

    Raises
    ------
    ConfigurationError
        If it is no address, or the access token would go over the network in the clear.
    """
    if endpoint_url is None:
        return GOOGLE
    address = urlsplit(endpoint_url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ConfigurationError(f"endpoint {endpoint_url!r} is no address: give one as https://drive.example.org")
    if address.scheme == "http" and address.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ConfigurationError(f"endpoint {endpoint_url!r} would show the sign-in to the network: use https")
    return endpoint_url.rstrip("/") + "/"

"""Where requests go: the endpoint of a bucket, and TLS on the way there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cottoncandy.backends.s3.lean.connections import Address
from cottoncandy.backends.s3.lean.operations import Unserved
from cottoncandy.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

#: What botocore allows, without the ARNs (`botocore.handlers.VALID_BUCKET`).
BUCKET_NAME = re.compile(r"[a-zA-Z0-9.\-_]{1,255}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests for a bucket go.

    Attributes
    ----------
    address : Address
    host : str
        The header.
    path : str
        What stands before the key: ``/bucket`` or nothing.
    region : str or None
        Requests are signed for it; None where they are not signed.
    """

    address: Address
    host: str
    path: str
    region: str | None

    @property
    def url(self) -> str:
        """For errors."""
        return f"{'https' if self.address.encrypted else 'http'}://{self.host}{self.path}"


def parse_target(url: str, region: str | None) -> Target:
    """Where an endpoint with a bucket is."""
    parts = urlsplit(url)
    encrypted = parts.scheme == "https"
    port = parts.port or (443 if encrypted else 80)
    if not parts.hostname or parts.query:
        raise Unserved("an unusual endpoint")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # the default port is left out of the header and of what is signed
    host = name if port == (443 if encrypted else 80) else f"{name}:{port}"
    return Target(Address(parts.hostname, port, encrypted), host, parts.path.rstrip("/"), region)


def tls_context(verify: bool | str, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """As botocore makes it: of its kind of `verify`, and of a client's certificate."""
    import ssl

    from botocore.httpsession import create_urllib3_context, get_cert_path

    context: ssl.SSLContext = create_urllib3_context()
    if verify:
        place = str(get_cert_path(verify))  # type: ignore[arg-type]
        try:
            context.load_verify_locations(**{"capath" if Path(place).is_dir() else "cafile": place})
        except OSError as error:  # as of a file that holds something else
            reason = f"verify={place!r}: no certificates of authorities can be read there"
            raise ConfigurationError(f"{reason} ({error})") from error
        context.check_hostname = True
    else:
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context

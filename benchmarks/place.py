"""Where the objects go, and the environment in which clients find it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: Variables by which a client would come to other settings than these.
_LEFT_OUT = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_LEFT_OUT_PREFIXES = ("AWS_ENDPOINT_URL", "COTTONCANDY_")
#: Each library looks for the certificates that it trusts in a variable of its own.
_TRUST = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TENSORSTORE_CA_BUNDLE")


@dataclass(frozen=True)
class Place:
    """A bucket, and what it takes to reach it. It is handed to clients by the environment, never by arguments.

    Attributes
    ----------
    endpoint : str
    bucket : str
    region : str
    access_key, secret_key, token : str
        The token is empty where there is none.
    authority : str
        A file of the certificates to trust; empty for those of the system.
    prefix : str
        All keys begin with it.
    """

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str
    token: str = ""
    authority: str = ""
    prefix: str = ""

    def __repr__(self) -> str:
        return f"<bucket {self.bucket} at {self.endpoint}>"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], endpoint: str, bucket: str, prefix: str = "") -> Place:
        """Take the keys from the standard variables.

        Raises
        ------
        KeyError
            If ``AWS_ACCESS_KEY_ID`` or ``AWS_SECRET_ACCESS_KEY`` is missing.
        """
        return cls(
            endpoint.rstrip("/"),
            bucket,
            environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            environ["AWS_ACCESS_KEY_ID"],
            environ["AWS_SECRET_ACCESS_KEY"],
            environ.get("AWS_SESSION_TOKEN", ""),
            environ.get("AWS_CA_BUNDLE", ""),
            prefix,
        )

    @property
    def is_encrypted(self) -> bool:
        """Whether the endpoint speaks TLS."""
        return self.endpoint.startswith("https:")

    @property
    def host(self) -> str:
        """The host, with its port where there is one."""
        return urlsplit(self.endpoint).netloc

    def environment(self, scratch: Path) -> dict[str, str]:
        """The environment of a client's process: this place, and nothing of the user's own settings.

        Parameters
        ----------
        scratch : Path
            A folder without any settings.
        """
        keys = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(scratch / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(scratch / "no-credentials"),
            "COTTONCANDY_CONFIG_FILE": str(scratch / "options.cfg"),
            "NO_PROXY": "*",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "PYTHONWARNINGS": "ignore",
        }
        if self.token:
            keys["AWS_SESSION_TOKEN"] = self.token
        if self.authority:
            keys.update(dict.fromkeys(_TRUST, self.authority))
        kept = {name: value for name, value in os.environ.items() if not _is_left_out(name)}
        return {**kept, **keys}


def _is_left_out(name: str) -> bool:
    return name.upper() in _LEFT_OUT or name.startswith(_LEFT_OUT_PREFIXES)

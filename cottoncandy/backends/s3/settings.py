"""What an S3 client is made from: the caller's arguments over the configuration, as plain data that pickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore import UNSIGNED

from cottoncandy.backends.base import TransferLimits
from cottoncandy.config import Credentials, Options, Source
from cottoncandy.errors import ConfigurationError, CredentialsNotFound
from cottoncandy.redaction import Secret
from cottoncandy.retry import RetryPolicy

UNSIGNED_TEXT = "unsigned"
#: Arguments of ours that go to boto3's client as they are.
_CLIENT_ARGUMENTS = ("region_name", "api_version", "use_ssl", "verify", "aws_session_token")
_ARGUMENTS = (*_CLIENT_ARGUMENTS, "config", "profile_name", "signature_version", "requester_pays")
#: Amazon's own endpoints, by the ends of their host names.
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_DEFAULTS: dict[str, Any] = {
    # more than the threads of any one call: a connection more costs a socket, one less a handshake each time
    "max_pool_connections": 128,
}
#: Variables that name a file of authorities, in the order in which botocore looks.
_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
#: Checksums that servers other than Amazon's answer with errors, over TLS above all.
_CHECKSUMS = ("request_checksum_calculation", "response_checksum_validation")


@dataclass(frozen=True)
class Settings:
    """All that is needed to make a client, but for credentials that were found and not passed. Plain data.

    Attributes
    ----------
    endpoint_url : str or None
        None leaves it to boto3: ``AWS_ENDPOINT_URL``, a profile, Amazon.
    passed : Credentials or None
        Keys that the caller passed by hand.
    profile_name : str or None
    arguments : dict
        Of boto3's client.
    config : dict
        Of botocore's Config: what is not as it is by default.
    requester_pays : bool
    acl : str or None
        The configured default for what is written.
    acl_chosen : bool
        Whether the user chose it: only then does Amazon get it.
    threads : int
    limits : TransferLimits
    lean_wire : bool
        Whether the calls that move data go over connections of our own, instead of botocore's.
    retry : RetryPolicy
        But for what the caller's Config says of it.
    attempts_chosen : bool
        Whether the user chose the number of tries in the configuration: else boto3's own variables and profiles may.
    """

    endpoint_url: str | None
    passed: Credentials | None
    profile_name: str | None
    arguments: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    requester_pays: bool
    acl: str | None
    acl_chosen: bool
    threads: int
    limits: TransferLimits
    lean_wire: bool
    retry: RetryPolicy
    attempts_chosen: bool

    @classmethod
    def gather(
        cls,
        access_key: str | None,
        secret_key: str | None,
        endpoint_url: str | None,
        options: Options,
        arguments: Mapping[str, Any],
    ) -> Settings:
        """Take what the caller passed, and the rest from the configuration."""
        _check_names(arguments)
        acl, source = options.find("basic", "default_acl")
        pays = arguments.get("requester_pays")
        passed = _passed(access_key, secret_key)
        endpoint_url = checked_endpoint(endpoint_url) or options.read("login", "endpoint_url", checked_endpoint)
        _check_authorities(arguments.get("verify"), endpoint_url)
        retry = RetryPolicy.from_options(options)
        if arguments.get("aws_session_token") and not passed:
            raise CredentialsNotFound("aws_session_token belongs to a pair of keys: pass ACCESS_KEY and SECRET_KEY too")
        return cls(
            endpoint_url=endpoint_url,
            passed=passed,
            profile_name=arguments.get("profile_name"),
            arguments=_client_arguments(arguments),
            config=_config(arguments, options, retry),
            requester_pays=options.flag("basic", "requester_pays") if pays is None else bool(pays),
            acl=acl,
            acl_chosen=source is not Source.DEFAULTS,
            threads=options.integer("basic", "threads"),
            limits=_limits(options),
            lean_wire=options.flag("basic", "lean_wire"),
            retry=retry,
            attempts_chosen=options.find("retry", "attempts")[1] is not Source.DEFAULTS,
        )

    def find_credentials(self, options: Options, bucket: str | None) -> Credentials | None:
        """Keys from the configuration's own places; None where others come first, or boto3 is to look."""
        if self.passed or self.profile_name or self.config.get("signature_version") == UNSIGNED_TEXT:
            return None
        return _checked(options.credentials(bucket))


# ---------------------------------------------------------------------- what the caller says
def _check_names(arguments: Mapping[str, Any]) -> None:
    if unknown := sorted(set(arguments) - set(_ARGUMENTS)):
        raise ConfigurationError(
            f"the s3 backend takes no {', '.join(map(repr, unknown))}; it takes: {', '.join(_ARGUMENTS)}"
        )


def _client_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {name: arguments[name] for name in _CLIENT_ARGUMENTS if arguments.get(name) is not None}
    token = chosen.get("aws_session_token")
    return chosen if token is None else {**chosen, "aws_session_token": Secret(_printable(token, "session token"))}


def _passed(access_key: str | None, secret_key: str | None) -> Credentials | None:
    if not access_key and not secret_key:
        return None
    if not (access_key and secret_key):
        missing = "SECRET_KEY" if access_key else "ACCESS_KEY"
        raise CredentialsNotFound(f"one key of the pair is missing: pass {missing} too, or neither")
    return _checked(Credentials(access_key, secret_key))


def _checked(keys: Credentials | None) -> Credentials | None:
    for key in (keys.access_key, keys.secret_key) if keys else ():
        _printable(key, "access key or the secret key")
    return keys


def _printable(secret: str, what: str) -> str:
    # a line break from the clipboard would end a header, and what follows would be shown in an error
    if not secret.isprintable():
        raise ConfigurationError(f"the {what} holds a line break or the like: copy it again")
    return secret


def checked_endpoint(url: str | None) -> str | None:
    """The URL of an endpoint, if it is one."""
    if not url:
        return None
    if "@" in url:
        raise ConfigurationError("endpoint_url holds a user or password: S3 wants keys instead; take them out")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"endpoint_url {url!r}: {error}") from None
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"endpoint_url {url!r} is no URL: write it with http:// or https:// before the host")
    if not _is_host(parts.hostname):
        raise ConfigurationError(
            f"endpoint_url {url!r}: no host has this name, a part of it between two dots is empty or too long: is a "
            "letter missing?"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"endpoint_url {url!r} holds more than a host and a path: take out what follows")
    return url


def _is_host(name: str) -> bool:
    """Whether a connection can be asked for: those of http.client and urllib3 end with a bare UnicodeError else."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True


def _check_authorities(verify: Any, endpoint_url: str | None) -> None:
    """Refuse a file of authorities that is not there: each connection would fail, and none would tell why."""
    named = {"verify": verify} if verify is not None else {name: os.environ.get(name) for name in _BUNDLES}
    name, place = next(((name, place) for name, place in named.items() if place), ("", None))
    if not isinstance(place, (str, os.PathLike)) or (endpoint_url or "").lower().startswith("http:"):
        return
    if not Path(place).exists():
        raise ConfigurationError(
            f"{name}={os.fspath(place)!r}: there is no such file; it names the certificate authorities that are trusted"
        )


def _config(arguments: Mapping[str, Any], options: Options, retry: RetryPolicy) -> dict[str, Any]:
    """The user's botocore Config over our defaults, as plain data."""
    defaults = {**_DEFAULTS, "connect_timeout": retry.connect_timeout, "read_timeout": retry.read_timeout}
    given = arguments.get("config")
    chosen = defaults if given is None else _merged(given, defaults)
    asked = arguments.get("signature_version") or options.read("basic", "signature_version", _checked_version)
    version = chosen.setdefault("signature_version", _checked_version(asked))
    if version is UNSIGNED or str(version).lower() == UNSIGNED_TEXT:
        chosen["signature_version"] = UNSIGNED_TEXT  # botocore's mark does not pickle
    return chosen


def _checked_version(version: str | None) -> str | None:
    known = ("s3v4", "s3", UNSIGNED_TEXT)
    if isinstance(version, str) and version and version.lower() not in known:
        raise ConfigurationError(f"signature_version is one of {', '.join(known)}, not {version!r}")
    return version or None


def _merged(given: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as botocore has it by default."""
    from botocore.config import Config

    if not isinstance(given, Config):
        raise ConfigurationError(f"config takes a botocore.config.Config, not {type(given).__name__}")
    merged, plain = Config(**defaults).merge(given), Config()
    return {
        name: getattr(merged, name)
        for name in Config.OPTION_DEFAULTS
        if getattr(merged, name, None) != getattr(plain, name, None)
    }


def _limits(options: Options) -> TransferLimits:
    return TransferLimits(
        largest_put=options.megabytes("upload_settings", "max_put_size"),
        smallest_part=options.megabytes("upload_settings", "min_mpu_size"),
        most_parts=options.integer("upload_settings", "max_mpu_parts"),
    )


# ---------------------------------------------------------------------- what a client gets
def with_defaults(settings: Settings, core: Any, *, amazon: bool) -> dict[str, Any]:
    """The Config, with what the user's leaves open and neither the environment nor the profile settles."""
    from botocore.config import Config

    config = settings.config
    scoped = core.get_scoped_config()

    def is_open(name: str, in_config: str) -> bool:
        return in_config not in config and name not in scoped and f"AWS_{name.upper()}" not in os.environ

    options = dict(config)
    if options.get("signature_version") == UNSIGNED_TEXT:
        options["signature_version"] = UNSIGNED
    retries: dict[str, Any] = {"mode": "standard"} if is_open("retry_mode", "retries") else {}
    if is_open("max_attempts", "retries") or (settings.attempts_chosen and "retries" not in config):
        retries["total_max_attempts"] = settings.retry.attempts
    if retries:
        options["retries"] = retries
    if not amazon:
        known = [name for name in _CHECKSUMS if name in Config.OPTION_DEFAULTS]  # botocore >= 1.36
        options.update({name: "when_required" for name in known if is_open(name, name)})
    return options


@lru_cache
def is_amazon(url: str) -> bool:
    """Whether a URL is an endpoint of Amazon's own."""
    return (urlsplit(url).hostname or "").endswith(_AMAZON)

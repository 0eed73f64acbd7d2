"""The lean way without botocore: for an endpoint that is named, and keys that do not change, where nothing else is set.

The keys are named as well, or stand in the environment or the default profile.

botocore and the model of S3 take half a second to load, and Python's garbage collector walks through all of it again
and again. Where it would find nothing but what is known here, it is not loaded: see `find_plainness`. Everything else,
and every call that is not in `OPERATIONS`, goes the ways that know all of botocore's configuration.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from cottoncandy.backends.s3.lean.connections import Connector
from cottoncandy.backends.s3.lean.model import OPERATIONS
from cottoncandy.backends.s3.lean.operations import Operation, Unserved
from cottoncandy.backends.s3.lean.target import BUCKET_NAME, Target, parse_target, tls_context

#: botocore's own, in seconds.
_TIMEOUT = 60
#: Of the environment: what changes nothing for S3 at a named endpoint with keys that are at hand, or is read here.
_HARMLESS_VARIABLES = {
    "AWS_ACCESS_KEY",  # the library's own
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_OUTPUT",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",  # one that is named comes first
    "AWS_ENDPOINT_URL_S3",
    "AWS_EXECUTION_ENV",  # told to Amazon in the User-Agent
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_PAGER",
    "AWS_REGION",  # of other libraries
    "AWS_SDK_LOAD_CONFIG",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "BOTO_DISABLE_CRT",  # which of two signers that sign alike
    # where botocore looks for keys when it has none at hand: clouds set some of them on all of their machines
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_EC2_METADATA_V1_DISABLED",
    "AWS_IMDS_USE_IPV6",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
    "AWS_METADATA_SERVICE_TIMEOUT",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
}
#: The same of the default profile.
_HARMLESS_OPTIONS = {
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "ca_bundle",
    "cli_pager",
    "output",
    "region",
}
#: Of botocore's Config.
_KNOWN_CONFIG = {"connect_timeout", "max_pool_connections", "read_timeout", "region_name", "s3", "signature_version"}
#: What a named endpoint has anyway: the bucket's name in the path.
_SAME_STYLES = (None, {"addressing_style": "path"}, {"addressing_style": "auto"})
#: Of the arguments of boto3's client; `use_ssl` is nothing where the endpoint is named.
_KNOWN_ARGUMENTS = {"aws_session_token", "region_name", "use_ssl", "verify"}
_SIGNERS = {None, "s3v4", "v4", "unsigned"}


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Keys that do not change, as botocore's credentials give them. The repr shows none."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def get_frozen_credentials(self) -> FixedKeys:
        """Themselves."""
        return self


class HeldKeys:
    """Keys that others may take the place of, as botocore's credentials give them. The repr shows none.

    Parameters
    ----------
    keys : FixedKeys
    method : str
        Where they come from: ``'explicit'`` where they were passed.
    """

    def __init__(self, keys: FixedKeys, method: str) -> None:
        self._keys = keys
        self.method = method

    def get_frozen_credentials(self) -> FixedKeys:
        """Those of now."""
        return self._keys

    def take(self, keys: FixedKeys) -> None:
        """Have others from now on."""
        self._keys = keys


@dataclass(frozen=True, slots=True)
class Plainness:
    """All that there is to know where nothing unusual is configured.

    Attributes
    ----------
    endpoint_url : str
    region : str
    keys : FixedKeys or None
        None where requests are not signed.
    found : bool
        Whether the keys are those of the environment or a file, and not passed.
    connect_timeout, read_timeout : float or None
    most_idle : int
    verify : bool or str
    """

    endpoint_url: str
    region: str
    keys: FixedKeys | None
    found: bool
    connect_timeout: float | None
    read_timeout: float | None
    most_idle: int
    verify: bool | str


def find_plainness(
    endpoint_url: str,
    keys: FixedKeys | None,
    config: Mapping[str, Any],
    arguments: Mapping[str, Any],
    environ: Mapping[str, str] = os.environ,
) -> Plainness | None:
    """What botocore would find for an endpoint of others than Amazon; None where it may find more than is known here.

    Parameters
    ----------
    endpoint_url : str
    keys : FixedKeys or None
        None looks for them in the environment, then in the default profile.
    config : Mapping
        Of botocore's Config: what is not as it is by default.
    arguments : Mapping
        Of boto3's client.
    environ : Mapping
    """
    files = _default_profile(environ)
    version = config.get("signature_version")
    known = config.keys() <= _KNOWN_CONFIG and arguments.keys() <= _KNOWN_ARGUMENTS and version in _SIGNERS
    if not known or config.get("s3") not in _SAME_STYLES or files is None or not _is_plain(environ) or _is_hooked():
        return None
    found = None if version == "unsigned" else keys or _keys_of(environ) or _keys_in(files, environ)
    if found is None and version != "unsigned":
        return None
    profile = {**files.config, **files.credentials}
    named = arguments.get("region_name") or config.get("region_name")
    bundle = environ.get("AWS_CA_BUNDLE") or profile.get("ca_bundle") or environ.get("REQUESTS_CA_BUNDLE")
    verify = arguments.get("verify")
    return Plainness(
        endpoint_url=endpoint_url,
        region=named or environ.get("AWS_DEFAULT_REGION") or profile.get("region") or "us-east-1",
        keys=found,
        found=keys is None,
        connect_timeout=config.get("connect_timeout", _TIMEOUT),
        read_timeout=config.get("read_timeout", _TIMEOUT),
        most_idle=config.get("max_pool_connections", 10),
        verify=bundle or True if verify is None else verify,
    )


def find_keys() -> FixedKeys | None:
    """The keys that stand in the environment, or in the default profile, now; None where botocore may mean others."""
    environ = os.environ
    files = _default_profile(environ)
    return _keys_of(environ) or _keys_in(files, environ) if files is not None and _is_plain(environ) else None


def _is_plain(environ: Mapping[str, str]) -> bool:
    if sys.platform != "linux":  # elsewhere the system may name a proxy, too
        import urllib.request

        if urllib.request.getproxies():
            return False
    unknown = (name for name in environ if name.startswith(("AWS_", "BOTO")) and name not in _HARMLESS_VARIABLES)
    proxies = (name for name, value in environ.items() if name.lower().endswith("_proxy") and value)
    return not any(unknown) and all(name.lower() == "no_proxy" for name in proxies)


class _Profile(NamedTuple):
    """The options of botocore's default profile, by the files in which they stand."""

    config: dict[str, str]
    credentials: dict[str, str]


def _default_profile(environ: Mapping[str, str]) -> _Profile | None:
    """The default profile; None where it has more than is known here."""
    config = _section(environ.get("AWS_CONFIG_FILE", "~/.aws/config"), _is_default)
    credentials = _section(environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), "default".__eq__)
    if config is None or credentials is None or not config.keys() | credentials.keys() <= _HARMLESS_OPTIONS:
        return None
    return _Profile(config, credentials)


def _is_default(section: str) -> bool:
    if not section.startswith("profile"):
        return section == "default"
    import shlex

    with suppress(ValueError):
        return shlex.split(section) == ["profile", "default"]
    return False


def _section(path: str, is_meant: Callable[[str], bool]) -> dict[str, str] | None:
    """The options of one section of a file, none where it is not there; None where it is not that simple."""
    parser = configparser.RawConfigParser(default_section="")
    try:
        parser.read_string(Path(os.path.expandvars(path)).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, RuntimeError, ValueError, configparser.Error):
        return None
    sections = [name for name in parser.sections() if is_meant(name)]
    if len(sections) > 1 or parser.has_section(configparser.DEFAULTSECT):  # whose options count for all
        return None
    return dict(parser.items(sections[0])) if sections else {}


def _is_hooked() -> bool:
    """Whether somebody has given all of botocore's clients handlers, as mocks do."""
    handlers = sys.modules.get("botocore.handlers")
    hooks = [handler for _, handler, *_ in getattr(handlers, "BUILTIN_HANDLERS", ())]
    return any(not getattr(hook, "__module__", "").startswith("botocore.") for hook in hooks)


def _keys_of(environ: Mapping[str, str]) -> FixedKeys | None:
    return _pair(environ, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def _keys_in(profile: _Profile, environ: Mapping[str, str]) -> FixedKeys | None:
    """The keys that botocore would find in its files; None where there are none, or it looks elsewhere first."""
    if "AWS_WEB_IDENTITY_TOKEN_FILE" in environ or "AWS_ACCESS_KEY_ID" in environ:
        return None
    # a file that names a key has to name the whole pair
    options = profile.credentials if "aws_access_key_id" in profile.credentials else profile.config
    return _pair(options, "aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def _pair(options: Mapping[str, str], access_name: str, secret_name: str, token_name: str) -> FixedKeys | None:
    access, secret, token = (options.get(name) or "" for name in (access_name, secret_name, token_name))
    if not access or not secret or not (access + secret + token).isprintable():
        return None
    return FixedKeys(access, secret, token or None)


class PlainWiring:
    """What `Wiring` reads from a client of botocore's, where it is plain.

    Parameters
    ----------
    plainness : Plainness
    user_agent : str
    """

    signs_payload = False
    sums_requests = False
    checks_responses = False

    def __init__(self, plainness: Plainness, user_agent: str) -> None:
        self._plainness = plainness
        self.user_agent = user_agent
        self.most_idle = plainness.most_idle
        keys, method = plainness.keys, "found" if plainness.found else "explicit"
        self.credentials = None if keys is None else HeldKeys(keys, method)
        self._routes: dict[tuple[str, str], tuple[Operation, Target]] = {}

    def route(self, name: str, bucket: Any) -> tuple[Operation, Target]:
        """An operation and where it goes, if all that is done for it can be done here."""
        route = self._routes.get((name, bucket))
        if route is None:
            route = self._routes[name, bucket] = self._find_route(name, bucket)
        return route

    def _find_route(self, name: str, bucket: Any) -> tuple[Operation, Target]:
        if not isinstance(bucket, str) or BUCKET_NAME.fullmatch(bucket) is None:
            raise Unserved("an ARN, or no name of a bucket")
        plainness = self._plainness
        region = plainness.region if plainness.keys else None
        return plain_operation(name), parse_target(f"{plainness.endpoint_url.rstrip('/')}/{bucket}", region)

    def error_class(self, code: str | None) -> type[ClientError]:
        """The class in which an error is raised: botocore's own for some codes come with its model."""
        return ClientError

    def leave(self, target: Target) -> None:
        """Nothing: requests that are sent elsewhere go botocore's way."""

    def forget(self) -> None:
        """Nothing."""

    @property
    def connector(self) -> Connector:
        """How to connect."""
        plainness = self._plainness
        tls = partial(tls_context, plainness.verify, None, None)
        return Connector(plainness.connect_timeout, plainness.read_timeout, (), lru_cache(tls))


@lru_cache
def plain_operation(name: str) -> Operation:
    """An operation by the small model."""
    if name not in OPERATIONS:
        raise Unserved(f"{name}, which the small model does not have")
    return Operation(OPERATIONS[name])

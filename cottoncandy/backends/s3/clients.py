"""botocore's clients: what they are made from, and what they are taught. Imported when one is needed."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import botocore.handlers
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader, Loader, create_loader
from botocore.parsers import ResponseParserFactory

from cottoncandy.backends.s3.foreign import is_page
from cottoncandy.backends.s3.lean import EXPLOSIVE, may_explode, parse_expires, readable
from cottoncandy.backends.s3.retrying import BotocoreRetries, client_policy
from cottoncandy.backends.s3.settings import Settings, is_amazon, with_defaults
from cottoncandy.config import Credentials
from cottoncandy.errors import ConfigurationError
from cottoncandy.redaction import redact_logs

#: They log signed requests, with their tokens, and answers that bring keys.
_LOGGERS = (
    *(f"botocore.{name}" for name in ("auth", "awsrequest", "client", "credentials", "endpoint", "handlers", "hooks")),
    *(f"botocore.{name}" for name in ("httpsession", "parsers", "regions", "signers", "tokens", "utils")),
    "urllib3.connectionpool",
)
#: A boto3 low-level S3 client. Its methods are made at run time, so no type says more.
Client = Any


def make_client(settings: Settings, keys: Credentials | None, *, amazon: bool) -> tuple[Client, dict[str, Any]]:
    """A client, and the arguments that it was made with."""
    core = core_session(settings.profile_name)
    config = Config(**with_defaults(settings, core, amazon=amazon))
    arguments = {"endpoint_url": settings.endpoint_url, "config": config, **settings.arguments}
    if keys:
        arguments["aws_access_key_id"] = keys.access_key
        arguments["aws_secret_access_key"] = keys.secret_key
    # without a region nothing can be signed; Amazon answers where a bucket is, and botocore goes there
    named = arguments.get("region_name") or settings.config.get("region_name")
    region = named or core.get_config_variable("region")
    arguments["region_name"] = region or "us-east-1"
    try:
        return core.create_client("s3", **arguments), arguments
    except ValueError as error:  # of what the environment or a profile says
        said = "the endpoint that boto3 was told of is no URL" if "@" in str(error) else error
        raise ConfigurationError(f"S3 client: {said}") from None


def make_resource(settings: Settings, arguments: dict[str, Any]) -> Any:
    """boto3's resource."""
    import boto3  # the client is botocore's: callers that ask for no resource need none of this

    return boto3.Session(botocore_session=core_session(settings.profile_name)).resource("s3", **arguments)


def prepare(client: Client, settings: Settings) -> BotocoreRetries:
    """Teach a client what the settings ask for, and what other servers than Amazon's need."""
    redact_logs(_LOGGERS)
    client.meta.events.register("before-parse.s3", refuse_lies)
    _clean_first(client.meta.events)
    client.meta.events.register_first("choose-signer.s3", sign_urls_as_requests)
    if settings.requester_pays:
        client.meta.events.register("before-call.s3", pay)
        client.meta.events.register("before-sign.s3", pay_by_url)
    if not is_amazon(client.meta.endpoint_url):
        client.meta.events.register("before-call.s3", stay)
        client.meta.events.register("before-sign.s3.DeleteObjects", sum_by_md5)
    return BotocoreRetries(
        client,
        client_policy(settings.retry, client),
        anew=lambda: core_session(settings.profile_name).get_credentials(),
    )


def core_session(profile_name: str | None) -> botocore.session.Session:
    """A session of botocore's that shares the models of the service with all others."""
    core = botocore.session.Session(profile=profile_name)
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    core.register_component("response_parser_factory", _Parsers())
    return core


class _Once(list[str]):
    """A list that takes each entry once: boto3 adds its own folder for every session."""

    def append(self, entry: str) -> None:
        if entry not in self:
            super().append(entry)


#: S3, and what credentials come from.
_SERVICES = {"s3", "s3-control", "sts", "oidc", "portal.sso", "sso", "signin"}


class _PlainFiles(JSONFileLoader):
    """Reads models as plain dicts.

    Python's garbage collector walks through every one of botocore's ordered ones, but not through a dict of texts
    alone: a collection takes half the time, and leaves more in the processor's caches.
    """

    def load_file(self, file_path: str) -> Any:
        """The model in a file; of the endpoints of all of Amazon's services those that S3 and logins need."""
        model = _plain(super().load_file(file_path))
        if Path(file_path).name == "endpoints" and model:
            for partition in model.get("partitions", ()):
                services = partition.get("services", {})
                partition["services"] = {name: services[name] for name in services.keys() & _SERVICES}
        return model


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


@lru_cache
def _loader(data_path: str | None) -> Loader:
    # the models of the service are the same for all: to read them is nine tenths of what it takes to make a client
    paths = _Once(create_loader(data_path).search_paths)
    return Loader(extra_search_paths=paths, file_loader=_PlainFiles(), include_default_search_paths=False)


def pay(params: dict[str, Any], **_: Any) -> None:
    """Say in every request that we pay for it."""
    params["headers"]["x-amz-request-payer"] = "requester"


def pay_by_url(request: Any, **_: Any) -> None:
    """Say so in a URL, too: in its query, as a browser sends no header.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html
    """
    if request.context.get("is_presign_request"):
        request.params = {**(request.params or {}), "x-amz-request-payer": "requester"}


def stay(context: dict[str, Any], **_: Any) -> None:
    """Regions are Amazon's: where another server redirects, botocore would ask for the region without end."""
    context.setdefault("s3_redirect", {})["redirected"] = True


_URLS_BY_V4 = ("v4-query", "s3v4-query")


def sign_urls_as_requests(signature_version: Any, **_: Any) -> str | None:
    """Keep the version 4 for URLs: botocore would take the second one, which newer buckets of Amazon's refuse."""
    return "s3v4-query" if signature_version in _URLS_BY_V4 else None


def sum_by_md5(request: Any, **_: Any) -> None:
    """Older servers want Content-MD5 of a DeleteObjects, where botocore >= 1.36 sends a CRC32 that they do not know."""
    for name in ("x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"):
        if name in request.headers:
            del request.headers[name]
    if "Content-MD5" not in request.headers:
        digest = hashlib.md5(request.data, usedforsecurity=False).digest()
        request.headers["Content-MD5"] = base64.b64encode(digest).decode()


class UnreadableAnswer(BotoCoreError):
    """An answer that makes no sense, or is made to do harm."""

    fmt = "the server's answer is not read: {reason}"


def refuse_lies(response_dict: dict[str, Any], **_: Any) -> None:
    """Let botocore parse no answer that our own way would refuse. Releases before 1.35 do not ask."""
    length = response_dict["headers"].get("content-length", "0")
    if not (length.isdecimal() and len(length) < 19):
        raise UnreadableAnswer(reason=f"content length {length[:100]!r}")
    body = response_dict.get("body")
    if isinstance(body, bytes) and is_page(body):
        response_dict["body"] = b""  # the status tells, and what is tried again looks at the page itself
    elif isinstance(body, bytes) and may_explode(body):
        raise UnreadableAnswer(reason=EXPLOSIVE)


def _clean_first(events: Any) -> None:
    """Have `clean` come before a handler of botocore's own, which takes what it cannot parse for a failure."""
    # private to botocore, which has it at the front of all
    theirs = getattr(botocore.handlers, "_handle_200_error", None)
    if theirs is not None:
        events.unregister("before-parse.s3.*", theirs)
    for handler in filter(None, (clean, theirs)):
        events.register_first("before-parse.s3.*", handler)


def clean(response_dict: dict[str, Any], **_: Any) -> None:
    """Have botocore parse what a server repeats of names that XML cannot hold."""
    if isinstance(response_dict.get("body"), bytes):
        response_dict["body"] = readable(response_dict["body"])


class _Parsers(ResponseParserFactory):
    """Makes botocore's parsers, which meet a date or a number that is none with Python's own errors."""

    def create_parser(self, protocol_name: str) -> Any:
        """A parser that names what cannot be read as what it is: a failure of the server."""
        parser = super().create_parser(protocol_name)
        parse = parser.parse

        def parse_or_tell(response: Any, shape: Any) -> Any:
            _drop_expires(response["headers"])
            try:
                return parse(response, shape)
            except (ValueError, OverflowError, RuntimeError) as error:
                raise UnreadableAnswer(reason=f"{error!s:.200}") from error

        parser.parse = parse_or_tell  # type: ignore[method-assign]
        return parser


def _drop_expires(headers: Any) -> None:
    """Take away an ``Expires`` that is no date: botocore does so itself, but for an empty one, and not before 1.35."""
    if "expires" in headers and parse_expires(headers["expires"]) is None:
        del headers["expires"]


#: The handlers of ours, whose work is done on the lean way too.
KNOWN_HANDLERS = (pay, pay_by_url, stay, sum_by_md5, sign_urls_as_requests, refuse_lies, clean)

"""How boto3 clients are made: credentials, endpoint, configuration. And what an endpoint has taught us.

A `Connection` makes one low-level client, which all threads share, and makes it anew after a fork or a close.
Keys that boto3 finds by itself are never looked at, so credentials that rotate stay fresh.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader, create_loader

from cottoncandy.backends.s3.errors import Door, Place
from cottoncandy.backends.s3.lean import LeanClient
from cottoncandy.backends.s3.settings import Settings, checked_endpoint, is_amazon, with_defaults
from cottoncandy.config import Credentials, Options
from cottoncandy.errors import ConfigurationError

#: A boto3 low-level S3 client. Its methods are made at run time, so no type says more.
Client = Any


@dataclass
class Facts:
    """What an endpoint has taught us by its answers, so that nothing is asked for in vain twice. It only grows."""

    no_acl: bool = False
    no_conditions: bool = False
    no_batches: bool = False
    no_list_v2: bool = False
    buckets_without_acl: set[str] = field(default_factory=set)
    buckets_seen: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Clients:
    """What a connection has made, and what boto3 made it from."""

    client: Client
    data: Client
    amazon: bool
    arguments: Mapping[str, Any] = field(repr=False)


class Connection:
    """The way to one endpoint with one set of credentials.

    Parameters
    ----------
    settings : Settings
    found : Credentials or None
        Keys that were found, not passed: they do not travel.
    bucket : str or None
        For which they were looked for.
    """

    def __init__(self, settings: Settings, found: Credentials | None, bucket: str | None) -> None:
        self.settings = settings
        self.facts = Facts()
        #: What the calls that move data are told about who pays; the others are by an event.
        self.payer: dict[str, str] = {"RequestPayer": "requester"} if settings.requester_pays else {}
        self._credentials = settings.passed or found
        self._bucket = bucket
        self._forget()
        _alive.add(self)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._clients: Clients | None = None
        self._end: weakref.finalize[..., Connection] | None = None
        self._of_thread = threading.local()

    # ------------------------------------------------------------------ clients
    @property
    def client(self) -> Client:
        """The client that all threads share."""
        return self._made().client

    @property
    def data(self) -> Client:
        """The client of the calls that move data: get, put, head, list, upload a part, delete."""
        return (self._clients or self._made()).data

    def _made(self) -> Clients:
        clients = self._clients
        if clients is None:
            with self._lock:
                clients = self._clients = self._clients or self._make_clients()
        return clients

    @property
    def resource(self) -> Any:
        """boto3's resource. One for each thread: they are not made for sharing."""
        resource = getattr(self._of_thread, "resource", None)
        if resource is None:
            import boto3  # the client is botocore's: who asks for no resource needs none of this

            core = _core_session(self.settings.profile_name)
            resource = boto3.Session(botocore_session=core).resource("s3", **self._made().arguments)
            self._prepare(resource.meta.client)
            self._of_thread.resource = resource
        return resource

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        with self._lock:
            self._clients, self._of_thread = None, threading.local()
            if self._end is not None:
                self._end()

    def _make_clients(self) -> Clients:
        endpoint = self.settings.endpoint_url
        with Door(lambda: Place(f"S3 at {endpoint or 'Amazon'}", endpoint or "Amazon")):
            client, arguments = self._new(amazon=endpoint is None or is_amazon(endpoint))
            resolved = client.meta.endpoint_url
            if endpoint is None and not is_amazon(resolved):  # boto3 was told of another one
                checked_endpoint(resolved)
                client, arguments = self._new(amazon=False)
        self._prepare(client)
        data = LeanClient(
            client, known_handlers=(pay, stay, sum_by_md5, sign_urls_as_requests), lean=self.settings.lean_wire
        )
        clients = Clients(client, data, is_amazon(client.meta.endpoint_url), arguments)
        self._end = weakref.finalize(self, _close, clients, os.getpid())
        return clients

    def _new(self, *, amazon: bool) -> tuple[Client, dict[str, Any]]:
        core = _core_session(self.settings.profile_name)
        config = Config(**with_defaults(self.settings.config, core, amazon=amazon))
        arguments = {"endpoint_url": self.settings.endpoint_url, "config": config, **self.settings.arguments}
        if self._credentials:
            arguments["aws_access_key_id"] = self._credentials.access_key
            arguments["aws_secret_access_key"] = self._credentials.secret_key
        # without a region nothing can be signed; Amazon answers where a bucket is, and botocore goes there
        named = arguments.get("region_name") or self.settings.config.get("region_name")
        region = named or core.get_config_variable("region")
        arguments["region_name"] = region or "us-east-1"
        try:
            return core.create_client("s3", **arguments), arguments
        except ValueError as error:  # of what the environment or a profile says
            said = "the endpoint that boto3 was told of is no URL" if "@" in str(error) else error
            raise ConfigurationError(f"S3 client: {said}") from None

    def _prepare(self, client: Client) -> None:
        client.meta.events.register_first("choose-signer.s3", sign_urls_as_requests)
        if self.settings.requester_pays:
            client.meta.events.register("before-call.s3", pay)
        if not is_amazon(client.meta.endpoint_url):
            client.meta.events.register("before-call.s3", stay)
            client.meta.events.register("before-sign.s3.DeleteObjects", sum_by_md5)

    # ------------------------------------------------------------------ what is known of it
    @property
    def address(self) -> str:
        """The URL of the endpoint."""
        return str(self.client.meta.endpoint_url)

    @property
    def shown_address(self) -> str:
        """The same for a repr, which makes no client."""
        found = self._clients.client.meta.endpoint_url if self._clients else "the endpoint that boto3 finds"
        return self.settings.endpoint_url or str(found)

    @property
    def amazon(self) -> bool:
        """Whether the endpoint is one of Amazon's own."""
        return self._made().amazon

    @property
    def acl(self) -> str | None:
        """The default ACL for this endpoint: Amazon gets one only where the user chose it."""
        settings = self.settings
        return settings.acl if settings.acl_chosen or not self._made().amazon else None

    def accepts(self, operation: str, parameter: str) -> bool:
        """Whether the installed botocore knows a parameter of an operation, as ``PutObject``."""
        shape = self.client.meta.service_model.operation_model(operation).input_shape
        return shape is not None and parameter in shape.members

    # ------------------------------------------------------------------ to another process
    def __reduce__(self) -> tuple[Any, ...]:
        # where boto3 was told of an endpoint here, the other side must not end up at Amazon
        endpoint = self.settings.endpoint_url or (None if self.amazon else self.address)
        return _restore, (replace(self.settings, endpoint_url=endpoint), self._bucket)


def _core_session(profile_name: str | None) -> botocore.session.Session:
    core = botocore.session.Session(profile=profile_name)
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
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


def _close(clients: Clients, process: int) -> None:
    """Close what a connection made that is closed or gone; what a child got from its parent is the parent's."""
    if process == os.getpid():
        clients.data.close()
        clients.client.close()


#: All connections of this process, to be made anew in a child.
_alive: weakref.WeakSet[Connection] = weakref.WeakSet()
#: Of those that came by pickle: each task of a dask worker brings its own, and a client takes 0.1 s to make.
_restored: deque[tuple[object, Connection]] = deque(maxlen=8)
_restoring = threading.Lock()


def _restore(settings: Settings, bucket: str | None) -> Connection:
    """The connection with these settings, with keys that are found here; one for all that are alike."""
    found = settings.find_credentials(Options.load(), bucket)
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    token = (settings, found, environment)
    with _restoring:
        for known, connection in _restored:
            if known == token:
                return connection
        connection = Connection(settings, found, bucket)
        _restored.append((token, connection))
        return connection


def _after_fork() -> None:
    # sockets and locks belong to the parent
    global _restoring  # noqa: PLW0603 - another thread of the parent may hold it for ever
    _restoring = threading.Lock()
    for connection in list(_alive):
        connection._forget()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def pay(params: dict[str, Any], **_: Any) -> None:
    """Say in every request that we pay for it."""
    params["headers"]["x-amz-request-payer"] = "requester"


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


def log_boto() -> None:
    """Let botocore tell what it does. At DEBUG it would log signatures, so INFO it is."""
    for name in ("boto3", "botocore"):
        logging.getLogger(name).setLevel(logging.INFO)

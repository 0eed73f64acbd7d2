"""How boto3 clients are made: credentials, endpoint, configuration. And what an endpoint has taught us.

A `Connection` makes one low-level client, which all threads share, and makes it anew after a fork or a close.
Keys that boto3 finds by itself are not looked at, so credentials that rotate stay fresh; but for those that do not, in
the environment and the default profile (`lean.plain`).
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cottoncandy import forks
from cottoncandy.backends.s3.errors import Door, Place
from cottoncandy.backends.s3.lean import FixedKeys, LeanClient, PlainClient, find_plainness, knows
from cottoncandy.backends.s3.settings import Settings, checked_endpoint, is_amazon
from cottoncandy.config import Credentials, Options

#: A boto3 low-level S3 client. Its methods are made at run time, so no type says more.
Client = Any


@dataclass
class Facts:
    """What an endpoint has taught us by its answers, so that nothing is asked for in vain twice. It only grows.

    ``holds_copies`` is whether it heeds the condition to copy one version; None as long as that was not asked.
    """

    no_acl: bool = False
    no_conditions: bool = False
    no_batches: bool = False
    no_list_v2: bool = False
    lists_by_directory: bool = False
    holds_copies: bool | None = None
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
        self.renew()
        forks.renewed_in_child(self)

    def renew(self) -> None:
        """Forget sockets and locks: after a fork they belong to the parent."""
        self._lock = threading.RLock()
        self._clients: Clients | None = None
        self._plain: PlainClient | None = None
        self._ends: list[weakref.finalize[..., Connection]] = []
        self._of_thread = threading.local()

    # ------------------------------------------------------------------ clients
    @property
    def client(self) -> Client:
        """The client that all threads share."""
        return self._made().client

    @property
    def data(self) -> Client:
        """The client of the calls that move data: get, put, head, list, upload a part, delete.

        As long as nobody needs botocore's, and nothing unusual is configured, it is one that does without.
        """
        made = self._clients
        return made.data if made else self._plain or self._begin()

    def _begin(self) -> Client:
        with self._lock:
            self._plain = self._plain or self._make_plain()
        return self._plain or self._made().data

    def _make_plain(self) -> PlainClient | None:
        settings, keys = self.settings, self._credentials
        unusual = not settings.lean_wire or settings.profile_name or settings.requester_pays
        if unusual or settings.endpoint_url is None or self.amazon:
            return None
        fixed = (
            FixedKeys(keys.access_key, keys.secret_key, settings.arguments.get("aws_session_token")) if keys else None
        )
        plainness = find_plainness(settings.endpoint_url, fixed, settings.config, settings.arguments)
        if plainness is None:
            return None
        myself = weakref.proxy(self)  # no circle, which would keep connections open
        policy = settings.retry.with_timeouts(plainness.connect_timeout, plainness.read_timeout)
        plain = PlainClient(plainness, policy, lambda: myself._made().data)  # noqa: SLF001 - its own
        self._ends.append(weakref.finalize(self, _close, os.getpid(), plain))
        return plain

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
            from cottoncandy.backends.s3 import clients

            resource = clients.make_resource(self.settings, dict(self._made().arguments))
            clients.prepare(resource.meta.client, self.settings)
            self._of_thread.resource = resource
        return resource

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        with self._lock:
            self._plain = self._clients = None
            self._of_thread, ends, self._ends = threading.local(), self._ends, []
            for end in ends:
                end()

    def _make_clients(self) -> Clients:
        from cottoncandy.backends.s3 import clients

        endpoint = self.settings.endpoint_url
        make = partial(clients.make_client, self.settings, self._credentials)
        with Door(lambda: Place(f"S3 at {endpoint or 'Amazon'}", endpoint or "Amazon")):
            client, arguments = make(amazon=endpoint is None or is_amazon(endpoint))
            resolved = client.meta.endpoint_url
            if endpoint is None and not is_amazon(resolved):  # boto3 was told of another one
                checked_endpoint(resolved)
                client, arguments = make(amazon=False)
        retries = clients.prepare(client, self.settings)
        headers = {"x-amz-request-payer": "requester"} if self.settings.requester_pays else None
        lean = self.settings.lean_wire
        known = (*clients.KNOWN_HANDLERS, retries.again)
        way: dict[str, Any] = {"policy": retries.policy, "renewal": retries.renewal, "lean": lean}
        data = LeanClient(client, headers=headers, known_handlers=known, **way)
        made = Clients(client, data, is_amazon(client.meta.endpoint_url), arguments)
        self._ends.append(weakref.finalize(self, _close, os.getpid(), data, client))
        return made

    # ------------------------------------------------------------------ what is known of it
    @property
    def address(self) -> str:
        """The URL of the endpoint."""
        return self.settings.endpoint_url or str(self.client.meta.endpoint_url)

    @property
    def shown_address(self) -> str:
        """The same for a repr, which makes no client."""
        found = self._clients.client.meta.endpoint_url if self._clients else "the endpoint that boto3 finds"
        return self.settings.endpoint_url or str(found)

    @property
    def amazon(self) -> bool:
        """Whether the endpoint is one of Amazon's own."""
        endpoint = self.settings.endpoint_url
        return is_amazon(endpoint) if endpoint else self._made().amazon

    @property
    def acl(self) -> str | None:
        """The default ACL for this endpoint: Amazon gets one only where the user chose it."""
        settings = self.settings
        return settings.acl if settings.acl_chosen or not self.amazon else None

    def credentials_source(self) -> str | None:
        """Where the keys come from, in words without a secret; None where there are none."""
        if self.settings.passed:
            return "the call"
        if self._credentials:
            return "the configuration, ~/.passwd-s3fs, or AWS_ACCESS_KEY and AWS_SECRET_KEY"
        from cottoncandy.backends.s3.clients import core_session

        found = core_session(self.settings.profile_name).get_credentials()
        return None if found is None else f"boto3's chain ({found.method})"

    def accepts(self, operation: str, parameter: str) -> bool:
        """Whether a parameter of an operation, as ``PutObject``, is known here, or by the installed botocore."""
        if self._clients is None and self._plain and knows(operation, parameter):
            return True
        shape = self.client.meta.service_model.operation_model(operation).input_shape
        return shape is not None and parameter in shape.members

    # ------------------------------------------------------------------ to another process
    def __reduce__(self) -> tuple[Any, ...]:
        # where boto3 was told of an endpoint here, the other side must not end up at Amazon
        endpoint = self.settings.endpoint_url or (None if self.amazon else self.address)
        return _restore, (replace(self.settings, endpoint_url=endpoint), self._bucket)


def _close(process: int, *clients: Client) -> None:
    """Close what a connection made that is closed or gone; what a child got from its parent is the parent's."""
    if process == os.getpid():
        for client in clients:
            client.close()


#: Of those that came by pickle: each task of a dask worker brings its own, and a client takes 0.1 s to make.
_restored: deque[tuple[object, Connection]] = deque(maxlen=8)
_restoring = forks.ForkSafeLock()
_AWS_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}


def _restore(settings: Settings, bucket: str | None) -> Connection:
    """The connection with these settings, with keys that are found here; one for all that are alike."""
    found = settings.find_credentials(Options.load(), bucket)
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    token = (settings, found, environment, _state_of_files())
    with _restoring:
        for known, connection in _restored:
            if known == token:
                return connection
        connection = Connection(settings, found, bucket)
        _restored.append((token, connection))
        return connection


def _state_of_files() -> list[tuple[int, int] | None]:
    """What tells whether the files in which boto3 looks for keys were written anew."""
    found: list[tuple[int, int] | None] = []
    for variable, usual in _AWS_FILES.items():
        try:
            facts = Path(os.environ.get(variable, usual)).expanduser().stat()
            found.append((facts.st_mtime_ns, facts.st_size))
        except (OSError, RuntimeError):  # the latter where there is no home
            found.append(None)
    return found


def log_boto() -> None:
    """Let botocore tell what it does. At DEBUG it would log signatures, so INFO it is."""
    for name in ("boto3", "botocore"):
        logging.getLogger(name).setLevel(logging.INFO)

"""What a botocore client knows and the lean way needs: endpoints, regions, credentials, timeouts, TLS and the like.

It is read from where botocore keeps it. Much of that is private to botocore: where a release has moved it, or the
client is configured for something unusual, `Unserved` is raised and botocore's own way is taken.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import botocore
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session

from cottoncandy.backends.s3.lean.connections import Connector
from cottoncandy.backends.s3.lean.operations import Operation, Unserved
from cottoncandy.backends.s3.lean.target import BUCKET_NAME, Target, parse_target, tls_context

if TYPE_CHECKING:
    import ssl

Handler = Callable[..., Any]

#: Signers of version 4, as botocore names them.
_SIGNERS = {"v4", "s3v4"}
#: What botocore registers for each client, by module. Of `botocore.stub` and `botocore.retries.adaptive` nothing
#: is known here: with them, botocore's own way is taken.
_BOTOCORE_MODULES = {
    "botocore.client",
    "botocore.handlers",
    "botocore.retries.standard",
    "botocore.retryhandler",
    "botocore.signers",
    "botocore.useragent",
    "botocore.utils",
}
_EVENTS = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "response-received",
    "before-parse",
    "needs-retry",
    "after-call",
    "after-call-error",
)
#: Attempts in botocore's modes of retries, where the configuration names no number.
_ATTEMPTS = {"legacy": 5, "standard": 3}


@contextmanager
def _private() -> Iterator[None]:
    """Around what is private to botocore: where it is gone, or botocore objects, botocore's own way is taken."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, BotoCoreError) as error:
        raise Unserved(f"{type(error).__name__} from botocore") from error


class Wiring:
    """Reads a client.

    Parameters
    ----------
    client
        A boto3 low-level S3 client.
    known_handlers : Collection
        Handlers registered on it that the lean way need not call.
    """

    def __init__(self, client: Any, known_handlers: Collection[Handler]) -> None:
        self._client = client
        self._known = known_handlers
        self._lookups: object = None
        self._routes: dict[tuple[str, str], tuple[Operation, Target]] = {}
        self._left: set[Target] = set()
        with _private():
            self._emitter = client.meta.events._emitter
            self._emitter._handlers.prefix_search("")
            self._session = client._endpoint.http_session
            self._signer = client._request_signer
            self.user_agent: str = client._user_agent_creator.to_string()
            config = client.meta.config
            mode = config.retries["mode"]
        if type(self._session) is not URLLib3Session or mode not in _ATTEMPTS:
            raise Unserved(f"another HTTP session or mode of retries ({mode})")
        self.attempts: int = config.retries.get("total_max_attempts", _ATTEMPTS[mode])
        self.most_idle: int = config.max_pool_connections
        self.signs_payload = bool((config.s3 or {}).get("payload_signing_enabled"))
        self.sums_requests = getattr(config, "request_checksum_calculation", None) == "when_supported"
        self.checks_responses = getattr(config, "response_checksum_validation", None) == "when_supported"

    # ------------------------------------------------------------------ requests
    def route(self, name: str, bucket: Any) -> tuple[Operation, Target]:
        """An operation and where it goes, if all that is done for it can be done here."""
        if not isinstance(bucket, str):
            raise Unserved("no name of a bucket")
        cache = self._emitter._lookup_cache  # a new one after each registration of a handler
        if cache is not self._lookups:
            self._lookups, self._routes = cache, {}
        route = self._routes.get((name, bucket))
        if route is None:
            with _private():
                route = self._find_route(name, bucket)
            self._routes[name, bucket] = route
        return route

    def leave(self, target: Target) -> None:
        """Go there no more: the server has sent us to another region, which botocore is to find."""
        self._left.add(target)
        self.forget()

    def forget(self) -> None:
        """Find all routes anew."""
        self._routes = {}

    @property
    def credentials(self) -> Any:
        """The credentials object of botocore, which refreshes itself."""
        return self._signer._credentials

    def error_class(self, code: str | None) -> type[ClientError]:
        """The class in which botocore raises an error of this code."""
        found: type[ClientError] = self._client.exceptions.from_code(code)
        return found

    def _find_route(self, name: str, bucket: str) -> tuple[Operation, Target]:
        if BUCKET_NAME.fullmatch(bucket) is None:
            raise Unserved("an ARN, or no name of a bucket")
        handlers = (handler for event in _EVENTS for handler in self._handlers(f"{event}.s3.{name}"))
        if any(map(self._is_foreign, handlers)):
            raise Unserved(f"event handlers for {name}")
        model = self._client.meta.service_model.operation_model(name)
        target = self._resolve(bucket, model)
        if target in self._left:
            raise Unserved("a redirection")
        return Operation(model), target

    def _handlers(self, event: str) -> Collection[Handler]:
        found: Collection[Handler] = self._emitter._handlers.prefix_search(event)
        return found

    def _is_foreign(self, handler: Handler) -> bool:
        return handler not in self._known and getattr(handler, "__module__", None) not in _BOTOCORE_MODULES

    def _resolve(self, bucket: str, model: Any) -> Target:
        context = self._context(model)
        arguments = {"Bucket": bucket, "Key": "key"}
        # with it botocore looks for the bucket in the region that an earlier redirection has shown
        self._client.meta.events.emit(
            f"before-parameter-build.s3.{model.name}", params=arguments, model=model, context=context
        )
        # the properties came with botocore 1.33; of what they tell there was nothing before
        url, headers, *properties = self._client._resolve_endpoint_ruleset(model, arguments, context)
        signing = context.get("signing") or {}
        special = any(found.get("backend") for found in properties)
        if headers or special or signing.get("signing_name", "s3") != "s3":
            raise Unserved("a special kind of bucket")
        if self._session._proxy_config.proxy_url_for(url):
            raise Unserved("a proxy")
        return parse_target(url, self._region(model, context, signing.get("region")))

    def _context(self, model: Any) -> dict[str, Any]:
        """What botocore knows of a request when it begins (`BaseClient._make_api_call`)."""
        meta = self._client.meta
        return {
            "client_region": meta.region_name,
            "client_config": meta.config,
            "has_streaming_input": model.has_streaming_input,
            "auth_type": getattr(model, "resolved_auth_type", model.auth_type),
            "auth_options": meta.service_model.metadata.get("auth"),
        }

    def _region(self, model: Any, context: dict[str, Any], region: str | None) -> str | None:
        version = self._signer._choose_signer(model.name, "standard", context)
        if version is botocore.UNSIGNED:
            return None
        region = region or self._signer.region_name
        if version not in _SIGNERS or not region or self.credentials is None:
            raise Unserved("another signature, or nothing to sign with")
        return region

    # ------------------------------------------------------------------ connections
    @property
    def connector(self) -> Connector:
        """How to connect."""
        config = self._client.meta.config
        with _private():
            options = tuple(self._session._socket_options)
        return Connector(config.connect_timeout, config.read_timeout, options, lru_cache(self._tls))

    def _tls(self) -> ssl.SSLContext:
        with _private():
            verify, certificate, key = self._session._verify, self._session._cert_file, self._session._key_file
        return tls_context(verify, certificate, key)

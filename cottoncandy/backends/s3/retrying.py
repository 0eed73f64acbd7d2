"""Which failures of S3 may pass, and one policy for what is tried again: on the lean way, and on botocore's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection

from cottoncandy.backends.s3.body import Payload
from cottoncandy.backends.s3.foreign import (
    FOREIGN,
    UNREADABLE,
    contradiction,
    is_foreign,
    is_nobodys,
    is_open_ended,
    is_unknown,
)
from cottoncandy.backends.s3.refusals import code_of, headers_of, status_of
from cottoncandy.interrupts import put_off
from cottoncandy.retry import Retries, RetryPolicy, retry_after

log = logging.getLogger(__name__)

#: Codes that may differ the next time, whatever the status is: in an answer 200 and for one key among many, there is
#: none. Those of botocore's standard mode (`botocore.retries.standard`), and what S3 documents to pass.
_CODES = {
    "BandwidthLimitExceeded",
    "InternalError",
    "LimitExceededException",
    "OperationAborted",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
_STATUSES = {408, 429}
#: Of 500 and above: what a server cannot do, and a store that is full.
_LASTING_STATUSES = {501, 505, 507}
#: A session token whose time is over; an answer to HEAD has no code, but its status.
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "400"}
#: Seconds: a request that fails so soon after credentials were renewed takes the new ones.
_RENEWED = 5.0
#: Modes of botocore's retries that the policy stands for. `adaptive`, where the user chose it, stays botocore's own.
_MODES = {"legacy": 5, "standard": 3}
#: What the context of a request keeps: its `Retries`, and that it took other credentials once.
_MINE, _SIGNED_ANEW = "cottoncandy-retries", "cottoncandy-signed-anew"


# ------------------------------------------------------------------ which failures pass
def is_passing(code: str, status: int) -> bool:
    """Whether an answer may differ the next time."""
    return code in _CODES or status in _STATUSES or (status >= 500 and status not in _LASTING_STATUSES)


def may_pass(error: Exception) -> bool:
    """Whether it is sensible to send the request again."""
    if isinstance(error, ClientError):
        return is_passing(code_of(error), status_of(error))
    if isinstance(error, SSLError):  # a certificate will not be right the next time
        import ssl

        return isinstance(error.kwargs.get("error"), ssl.SSLEOFError) or "EOF occurred" in str(error)
    if isinstance(error, HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError):
        return False  # what was to be sent, or the address to send it to, makes no sense
    return isinstance(error, (NoConnection, HTTPClientError, IncompleteReadError))


def wait_for(retries: Retries, error: Exception, policy: RetryPolicy) -> None:
    """Wait until the request may be sent again; raise the error where that makes no sense."""
    retries.wait(error, _retry_after(error), _idle(error, policy), _reason(error))


def _retry_after(error: Exception) -> float | None:
    """Seconds that the server asks to wait."""
    if not isinstance(error, ClientError):
        return None
    headers = headers_of(error)
    milliseconds = headers.get("x-amz-retry-after", "")
    if milliseconds.isascii() and milliseconds.isdigit():
        return float(milliseconds) / 1000
    return retry_after(headers.get("retry-after"))


def _idle(error: Exception, policy: RetryPolicy) -> float:
    """Seconds that were waited in vain."""
    if isinstance(error, ConnectTimeoutError):
        return policy.connect_timeout
    return policy.read_timeout if isinstance(error, ReadTimeoutError) else 0.0


def _reason(error: Exception) -> str:
    """How the log tells it: an error's own text may quote what nobody is to read."""
    if isinstance(error, ClientError):
        return f"{code_of(error)} ({status_of(error)})"
    return type(error).__name__


# ------------------------------------------------------------------ credentials that have expired
class Renewal:
    """Renews credentials when the server takes them for expired before we do.

    Parameters
    ----------
    credentials : callable
        Gives botocore's object, or another, as `HeldKeys`, which does not renew itself.
    anew : callable, optional
        Gives what botocore finds now. Somebody may have logged in again, and the keys in a file be others.
    """

    def __init__(self, credentials: Callable[[], Any], anew: Callable[[], Any] | None = None) -> None:
        self._credentials = credentials
        self._anew = anew
        self._lock = threading.Lock()
        self._renewed = -_RENEWED

    def serves(self, error: Exception) -> bool:
        """Whether the request failed for an expired token, and there are other credentials now."""
        if not (isinstance(error, ClientError) and code_of(error) in _EXPIRED):
            return False
        with self._lock:
            return time.monotonic() - self._renewed < _RENEWED or self._renew()

    def _renew(self) -> bool:
        # private to botocore, which renews by the clock alone; keys that do not renew themselves have none of it
        held = self._credentials()
        refresh, lock = (getattr(held, name, None) for name in ("_protected_refresh", "_refresh_lock"))
        try:
            if refresh is not None and lock is not None:
                with lock:
                    refresh(is_mandatory=True)
            elif not self._take_anew(held):
                return False
        except Exception as error:  # noqa: BLE001 - of whatever gives credentials; the server's own answer is raised
            log.warning("the credentials have expired, and could not be renewed (%s)", type(error).__name__)
            return False
        self._renewed = time.monotonic()
        log.info("the credentials had expired: they were renewed")
        return True

    def _take_anew(self, held: Any) -> bool:
        """Take over the keys that are in a file, or in the environment, now; whether they are others."""
        if self._anew is None or getattr(held, "method", "explicit") == "explicit":  # those were passed
            return False
        found = self._anew()
        fresh = found and found.get_frozen_credentials()
        if not fresh or fresh == held.get_frozen_credentials():
            return False
        if hasattr(held, "take"):
            held.take(fresh)
        else:
            held.access_key, held.secret_key, held.token = fresh.access_key, fresh.secret_key, fresh.token
        return True


# ------------------------------------------------------------------ botocore's way
def client_policy(policy: RetryPolicy, client: Any) -> RetryPolicy:
    """The policy, with the number of attempts and the time-outs that the client was made with."""
    config = client.meta.config
    retries: dict[str, Any] = config.retries or {}
    attempts = retries.get("total_max_attempts", _MODES.get(retries.get("mode", ""), policy.attempts))
    return replace(policy.with_timeouts(config.connect_timeout, config.read_timeout), attempts=attempts)


class BotocoreRetries:
    """The policy for what goes botocore's way, in the place of botocore's own.

    Parameters
    ----------
    client
        The botocore client.
    policy : RetryPolicy
    anew : callable, optional
        See `Renewal`.
    """

    def __init__(self, client: Any, policy: RetryPolicy, anew: Callable[[], Any] | None = None) -> None:
        self.policy = policy
        signer = getattr(client, "_request_signer", None)
        self.renewal = Renewal(lambda: getattr(signer, "_credentials", None), anew)
        events = client.meta.events
        if (client.meta.config.retries or {}).get("mode") in _MODES:
            events.unregister("needs-retry.s3", unique_id="retry-config-s3")
            events.register("needs-retry.s3", self.again)
        else:
            events.register_first("needs-retry.s3", _doubted)
        _have_ctrl_c_wait(client)

    def again(
        self,
        attempts: int,
        operation: Any,
        request_dict: Mapping[str, Any],
        response: tuple[Any, dict[str, Any]] | None = None,
        caught_exception: Exception | None = None,
        **_: Any,
    ) -> float | None:
        """Wait, and say that the request is to be sent again; None where it is not."""
        failure = caught_exception or _refusal(operation, response, request_dict.get("body"))
        if failure is None:
            return None
        kept = request_dict["context"]
        if _MINE not in kept:
            kept[_MINE] = self.policy.start(f"{operation.name} {request_dict.get('url', '').partition('?')[0]}")
        if _SIGNED_ANEW not in kept and self.renewal.serves(failure):
            kept[_SIGNED_ANEW] = True
            return 0.0
        if not may_pass(failure):
            return None
        try:
            wait_for(kept[_MINE], failure, self.policy)
        except (BotoCoreError, ClientError, OSError):
            if response is not None:
                response[1]["ResponseMetadata"]["MaxAttemptsReached"] = attempts >= self.policy.attempts
            return None
        return 0.0


def _doubted(
    operation: Any, request_dict: Mapping[str, Any], response: tuple[Any, dict[str, Any]] | None = None, **_: Any
) -> None:
    """Have botocore's own retries see a failure in a yes that is not to be believed."""
    _refusal(operation, response, request_dict.get("body"))


def _have_ctrl_c_wait(client: Any) -> None:
    """Where a request changes something, Ctrl-C waits for the answer."""
    # private to botocore, whose events would hide a request from other handlers that answer it
    session: Any = getattr(getattr(client, "_endpoint", None), "http_session", None)
    send: Any = getattr(session, "send", None)

    def undisturbed(request: Any) -> Any:
        if request.method in {"GET", "HEAD"}:
            return send(request)
        with put_off():
            return send(request)

    if send is not None:
        session.send = undisturbed


def _refusal(operation: Any, response: tuple[Any, dict[str, Any]] | None, body: Any) -> ClientError | None:
    """The error that botocore is about to make of an answer, if it is one."""
    if response is None:
        return None
    name, (http, parsed) = operation.name, response
    if http.status_code < 300 and not operation.has_streaming_output and is_unknown(name, http.content):
        http.status_code, parsed["Error"] = 501, {"Code": "NotImplemented", "Message": f"it does not know {name}"}
    elif http.status_code < 300 and (reason := _doubt(operation, http, parsed, body)):
        http.status_code, parsed["Error"] = 500, {"Code": UNREADABLE, "Message": reason}
        if operation.has_streaming_output:  # nobody is to read it any more
            parsed.pop("Body").close()
    if http.status_code < 300:
        return None
    # of an error that came with a status 200 older releases correct the answer's status alone
    metadata = {**parsed["ResponseMetadata"], "HTTPStatusCode": http.status_code}
    return ClientError({**parsed, "ResponseMetadata": metadata}, name)  # type: ignore[typeddict-item]


def _doubt(operation: Any, http: Any, parsed: Mapping[str, Any], body: Any) -> str | None:
    """Why an answer that says yes is not to be believed, though botocore does; None where it is."""
    if is_nobodys(operation.name, http.headers):
        return FOREIGN
    if operation.has_streaming_output:
        return contradiction(parsed)
    if _in_body(operation) and not http.content:
        # an answer whose length is not told has ended early: botocore would take it for one without fields
        return "the answer is empty"
    if is_foreign(operation.name, http.headers, http.content):
        return FOREIGN
    if is_open_ended(operation.name, parsed):
        return "a page of a listing that does not say whether it is the last"
    return None if _was_sent(http, body) else "the answer came before the whole body was sent"


def _was_sent(http: Any, body: Any) -> bool:
    """Whether all of a body had left when the answer came.

    botocore sends no body where the answer takes the place of ``100 Continue``, which is of a class of its own then;
    and urllib3 forgives a pipe that breaks.
    """
    from botocore.awsrequest import AWSHTTPResponse

    payload = getattr(body, "_raw", body)  # sums and chunks are put around it
    if not isinstance(payload, Payload) or not len(payload):  # for no bytes nobody has to say that they may come
        return True
    return payload.ended and not isinstance(getattr(http.raw, "_original_response", None), AWSHTTPResponse)


def _in_body(operation: Any) -> bool:
    """Whether some of the response stands in the answer's body, as XML."""
    shape = operation.output_shape
    members = {} if shape is None or operation.has_streaming_output else shape.members
    return any("location" not in member.serialization for member in members.values())

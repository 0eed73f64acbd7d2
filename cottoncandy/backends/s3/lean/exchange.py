"""From the arguments of a call to its answer: requests are built, signed, sent, and sent again where that may help."""

from __future__ import annotations

import hashlib
import html
import logging
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from cottoncandy.backends.s3.foreign import FOREIGN, UNREADABLE, is_error, is_foreign, is_nobodys
from cottoncandy.backends.s3.lean.answers import Head, read_head
from cottoncandy.backends.s3.lean.bodies import ResponseBody, open_body
from cottoncandy.backends.s3.lean.checksums import CHECKSUM_ALGORITHM, add_request_checksum, md5_of
from cottoncandy.backends.s3.lean.connections import BadAnswer, Connection, ConnectionPool
from cottoncandy.backends.s3.lean.documents import NotXML
from cottoncandy.backends.s3.lean.failures import (
    EXPLOSIVE,
    connect_failure,
    exchange_failure,
    is_closing,
    is_redirect,
    may_explode,
    parse_error,
)
from cottoncandy.backends.s3.lean.operations import Call, Operation, Unserved
from cottoncandy.backends.s3.lean.request import CHECKSUM_MODE, Request
from cottoncandy.backends.s3.lean.signing import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, Signer
from cottoncandy.backends.s3.lean.talk import enter_scope, talk
from cottoncandy.backends.s3.retrying import Renewal, is_passing, may_pass, wait_for
from cottoncandy.interrupts import is_cancelled, put_off
from cottoncandy.pipelines import FAILED, Begun, Busy
from cottoncandy.retry import RetryPolicy

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Bytes of an error that are read; S3's have less than one thousand.
_LARGEST_ERROR = 2**20
#: Bytes of XML that are read: a thousand keys of 1,024 bytes, thrice as long when encoded, and twice over.
_LARGEST_DOCUMENT = 2**23
_UNREADABLE_DOCUMENT = "<Error><Code>%s</Code><Message>%s</Message></Error>"
#: Of characters that travel as they are.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9/_.~-]*")


class Answer:
    """An answer that says yes, its body not yet read.

    Attributes
    ----------
    request : Request
    head : Head
    body : ResponseBody
    failures : int
        How often the request has failed before.
    """

    __slots__ = ("_exchange", "body", "failures", "head", "request")

    def __init__(self, exchange: Exchange, request: Request, head: Head, body: ResponseBody, failures: int) -> None:
        self._exchange = exchange
        self.request = request
        self.head = head
        self.body = body
        self.failures = failures

    def response(self) -> dict[str, Any]:
        """What the headers say, in boto3's words. Where they make no sense, that is a failure of the server."""
        if is_nobodys(self.request.operation.name, self.head.headers):
            raise self.unreadable(FOREIGN)
        try:
            return self.request.operation.response(self.head, self.failures)
        except (ValueError, OverflowError) as error:
            raise self.unreadable(str(error)) from error

    def document(self, parse: Callable[[bytes], Result]) -> Result:
        """What a parser makes of the body. An error in it, or one that cannot be read, is a failure of the server."""
        with self.body:
            content = self.body.read(_LARGEST_DOCUMENT)
        self.refuse_body(content)
        try:
            if not may_explode(content):
                return parse(content)
        except NotXML as error:
            raise self.unreadable(str(error)) from error
        raise self.unreadable(EXPLOSIVE)

    def refuse_body(self, content: bytes) -> None:
        """Raise what passes where the body is an error, or no store's: whatever the status says, nothing was done."""
        if is_error(content):
            raise self.error(500, content)
        if is_foreign(self.request.operation.name, self.head.headers, content):
            raise self.unreadable(FOREIGN)

    def unreadable(self, reason: str) -> ClientError:
        """Close the body of an answer that is not to be believed; the error, which may pass."""
        self.body.close()
        return self.error(500, (_UNREADABLE_DOCUMENT % (UNREADABLE, html.escape(reason))).encode())

    def error(self, status: int, body: bytes) -> ClientError:
        """The error that botocore would raise if the answer had this status and body."""
        return self._exchange.error(self.request, status, self.head.headers, body, self.failures)


class Exchange:
    """Calls operations of S3 over connections of its own.

    Parameters
    ----------
    wiring : Wiring or PlainWiring
        Where requests go, and all that is configured.
    headers : Mapping
        Go with every request.
    policy : RetryPolicy
    renewal : Renewal, optional
        Of the credentials that have expired.
    """

    def __init__(
        self, wiring: Any, headers: Mapping[str, str], policy: RetryPolicy, renewal: Renewal | None = None
    ) -> None:
        self._wiring = wiring
        self._headers = headers
        self._policy = policy
        self._renewal = renewal or Renewal(lambda: wiring.credentials)
        self._signer = Signer(wiring.credentials)
        self._pool = ConnectionPool(wiring.connector, wiring.most_idle)
        self._fixed_lines = f"User-Agent: {wiring.user_agent}\r\nAccept-Encoding: identity\r\n\r\n"

    def call(self, name: str, arguments: Mapping[str, Any], read: Callable[[Answer], Result]) -> Result:
        """Send a request until there is an answer that can be read, or it makes no sense to go on.

        Raises
        ------
        Unserved
            Where botocore's way is to be taken: nothing was done.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
        """
        request = self._prepare(name, arguments)
        failed = FAILED.get()
        if failed and isinstance(failed[0], (BotoCoreError, ClientError)):
            failure = failed.pop()  # it was sent ahead: that was the first attempt
            if may_pass(failure):
                return self._retry(request, read, failure)
            # a refusal may be of what is asked no more by now, as an ACL
        try:
            return self._attempt(request, read, 0)
        except (BotoCoreError, ClientError) as error:
            return self._retry(request, read, error)

    def is_ready(self, of_use: int) -> bool:
        """Whether it is of use to `begin` what is to be sent."""
        return self._pool.is_ready(of_use)

    def begin(self, name: str, arguments: Mapping[str, Any], read: Callable[[Answer], Result]) -> Sent[Result]:
        """Send a request, once; its answer is read later.

        Raises
        ------
        Unserved, Busy
            Nothing was sent.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
        """
        request = self._prepare(name, arguments)
        if not self._pool.is_at_hand(request.target.address):
            raise Busy("no connection at hand")
        head = self._head_of(request)
        try:
            connection = self._pool.take(request.target.address)
        except OSError as error:
            raise connect_failure(error, request.url) from error
        enter_scope(connection, only_reads=request.operation.only_reads)
        try:
            connection.send(head, request.body)
        except OSError as error:
            raise self.broken(request, connection, error) from error
        except BaseException:
            connection.close()
            raise
        return Sent(self, request, connection, read, self._pool.read_timeout)

    def broken(self, request: Request, connection: Connection, error: OSError | BadAnswer) -> Exception:
        """What is raised where what was sent ahead is not answered: what counts as an attempt, or `Unread`."""
        connection.close()
        if is_closing(error) and connection.reused and not connection.buffered:
            log.info("%s %s: an idle connection was closed: sent again", request.operation.name, request.url)
            return Unread()
        return exchange_failure(error, request.url)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._pool.close()

    # ------------------------------------------------------------------ requests
    def _prepare(self, name: str, arguments: Mapping[str, Any]) -> Request:
        operation, target = self._wiring.route(name, arguments.get("Bucket"))
        call = operation.read_arguments(arguments)
        key = call.key if _PLAIN_KEY.fullmatch(call.key) else quote(call.key, safe="/~")
        path = f"{target.path}/{key}" if key else target.path or "/"
        query = _query(call.query) if call.query else ""
        headers = call.headers = {"Host": target.host, **call.headers, **self._headers}
        payload = self._describe_body(operation, call)
        if not "".join(headers.values()).isprintable():
            raise Unserved("a header with a line break or the like")  # which botocore refuses
        return Request(operation, target, path, query, headers, call.body, payload)

    def _describe_body(self, operation: Operation, call: Call) -> str:
        """Add the headers that describe the body; what the signature is to say of it."""
        wiring, headers, body = self._wiring, call.headers, call.body
        if operation.method == "GET":
            if operation.streams and wiring.checks_responses:
                headers.setdefault(CHECKSUM_MODE, "ENABLED")
            return EMPTY_PAYLOAD
        if operation.name == "DeleteObjects":  # servers older than 2022 know no other sum
            headers.setdefault("Content-MD5", md5_of(body))
        elif operation.sends_bytes and (wiring.sums_requests or CHECKSUM_ALGORITHM in headers):
            add_request_checksum(headers, body, by_default=wiring.sums_requests)
        if operation.method == "PUT" and len(body) and not wiring.signs_payload:
            return UNSIGNED_PAYLOAD
        return hashlib.sha256(body).hexdigest()

    def _head_of(self, request: Request) -> bytes:
        method, path, query, region = request.operation.method, request.path, request.query, request.target.region
        if region is None:
            lines = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
        else:
            lines = self._signer.sign(method, path, query, region, request.payload, request.headers)
        if method not in {"GET", "HEAD"}:
            lines += f"Content-Length: {len(request.body)}\r\n"
        where = f"{path}?{query}" if query else path
        return f"{method} {where} HTTP/1.1\r\n{lines}{self._fixed_lines}".encode()

    # ------------------------------------------------------------------ answers
    def _retry(self, request: Request, read: Callable[[Answer], Result], failure: Exception) -> Result:
        """Go on after a first failure."""
        retries, renewed = self._policy.start(f"{request.operation.name} {request.url}"), 0
        while True:
            if not renewed and self._renewal.serves(failure):
                renewed = 1  # signed anew, it is taken at once
            elif may_pass(failure):
                wait_for(retries, failure, self._policy)
            else:
                raise failure
            try:
                return self._attempt(request, read, retries.failures + renewed)
            except (BotoCoreError, ClientError) as error:
                failure = error

    def _attempt(
        self, request: Request, read: Callable[[Answer], Result], failures: int, sent: Connection | None = None
    ) -> Result:
        """Send a request, unless it was sent over a connection before, and read the answer."""
        if not request.operation.ends_with_document:
            return self._attempt_once(request, read, failures, sent)
        with put_off():
            return self._attempt_once(request, read, failures, sent)

    def _attempt_once(
        self, request: Request, read: Callable[[Answer], Result], failures: int, sent: Connection | None
    ) -> Result:
        if sent is None:
            connection, head, again = self._exchange(request)
            failures += again
        else:
            connection, head = sent, self._head_to(request, sent)
        try:
            body = open_body(connection, request.operation.method, head, request, self._pool.give)
        except BadAnswer as error:
            connection.close()
            raise exchange_failure(error, request.url) from error
        if head.status < 300:
            return read(Answer(self, request, head, body, failures))
        with body:
            raise self.error(request, head.status, head.headers, body.read(_LARGEST_ERROR), failures)

    def read_answer(self, request: Request, sent: Connection, read: Callable[[Answer], Result]) -> Result:
        """Read the answer to a request that was sent."""
        return self._attempt(request, read, 0, sent)

    def _head_to(self, request: Request, sent: Connection) -> Head:
        try:
            return read_head(sent)
        except (OSError, BadAnswer) as error:
            raise self.broken(request, sent, error) from error
        except BaseException:
            sent.close()
            raise

    def _exchange(self, request: Request) -> tuple[Connection, Head, int]:
        """Send a request; the connection, the answer's head, and how often it was sent again."""
        head, fresh = self._head_of(request), False
        while True:
            try:
                connection = self._pool.take(request.target.address, fresh=fresh)
            except OSError as error:
                raise connect_failure(error, request.url) from error
            try:
                return connection, talk(connection, request, head), int(fresh)
            except (OSError, BadAnswer) as error:
                connection.close()
                if not (is_closing(error) and connection.reused and not connection.buffered) or is_cancelled():
                    raise exchange_failure(error, request.url) from error
                fresh = True  # the server has closed an idle connection, and most likely not seen the request
                log.info("%s %s: an idle connection was closed: sent again", request.operation.name, request.url)
            except BaseException:
                connection.close()
                raise

    def error(
        self, request: Request, status: int, headers: Mapping[str, str], body: bytes, failures: int
    ) -> ClientError:
        """What botocore would raise for an answer."""
        operation = request.operation
        parsed: Any = parse_error(status, headers, body)
        if is_redirect(parsed):
            self._wiring.leave(request.target)
            raise Unserved("a redirection")
        if operation.method == "HEAD" and status == 400:
            self._wiring.forget()
            raise Unserved("a refusal without a word, which may be a redirection")
        code, metadata = parsed["Error"].get("Code"), parsed["ResponseMetadata"]
        metadata["RetryAttempts"] = failures
        if is_passing(code, status) and failures + 1 >= self._policy.attempts:
            metadata["MaxAttemptsReached"] = True
        kind: type[ClientError] = self._wiring.error_class(code)
        return kind(parsed, operation.name)


class Unread(Exception):
    """The server closed a connection before it read the request: that is no attempt."""


class Sent(Begun[Result]):
    """A request that was sent over a connection, which is its own until the answer is read."""

    def __init__(
        self,
        exchange: Exchange,
        request: Request,
        connection: Connection,
        read: Callable[[Answer], Result],
        timeout: float | None,
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._connection = connection
        self._read = read
        self.until = None if timeout is None else time.monotonic() + timeout
        self._taken = False

    def fileno(self) -> int:
        """The connection's socket."""
        return self._connection.fileno()

    def answered(self) -> bool:
        """Whether the server has sent something, or closed."""
        return self._connection.has_news()

    def late(self) -> Exception:
        """ReadTimeoutError: nothing came for the time that one waits for an answer."""
        return exchange_failure(TimeoutError("no answer"), self._request.url)

    def result(self) -> Result:
        """Read the answer.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, Unread
        """
        self._taken = True
        return self._exchange.read_answer(self._request, self._connection, self._read)

    def drop(self) -> None:
        """Close the connection, unless the answer was read: then it is another one's by now."""
        if not self._taken:
            self._connection.close()


def _query(parameters: Mapping[str, str]) -> str:
    return "&".join([f"{_quote(name)}={_quote(value)}" for name, value in sorted(parameters.items())])


# the names of parameters, and most of their values, are always the same
@lru_cache(maxsize=256)
def _quote(text: str) -> str:
    return quote(text, safe="-_.~")

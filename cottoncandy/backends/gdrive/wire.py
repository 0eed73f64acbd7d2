"""Requests on the wire: connections that no two threads share, a fresh token on each request, retries."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from cottoncandy import forks
from cottoncandy.backends.base import BytesLike
from cottoncandy.backends.gdrive import errors
from cottoncandy.backends.gdrive.auth import Login
from cottoncandy.backends.gdrive.settings import DriveSettings
from cottoncandy.errors import ServiceError, TransientError
from cottoncandy.interrupts import put_off_if

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_SUCCESS = frozenset({200, 201, 204, 206})
# One read from a connection: urllib3 copies what it reads, so this bounds the copy.
_READ_SIZE = 2**20


@dataclass(frozen=True)
class Body:
    """A request's body in pieces, which are sent from where they lie, and can be sent again."""

    pieces: Sequence[memoryview]

    @classmethod
    def of(cls, *pieces: BytesLike) -> Body:
        """The body made of these, one behind the other."""
        return cls([memoryview(piece).cast("B") for piece in pieces])

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __iter__(self) -> Iterator[memoryview]:
        return (piece for piece in self.pieces if len(piece))

    def part(self, start: int, stop: int) -> Body:
        """The bytes ``start <= i < stop`` of it."""
        parts, offset = [], 0
        for piece in self.pieces:
            parts.append(piece[max(0, start - offset) : max(0, stop - offset)])
            offset += len(piece)
        return Body(parts)


@dataclass(frozen=True)
class Call:
    """One request to the service.

    Attributes
    ----------
    where : str
        What it is about, for an error's text.
    """

    method: str
    uri: str = field(repr=False)  # the address of an upload session is a secret
    where: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | bytes | None = field(default=None, repr=False)


class Answer:
    """An answer whose body is still to be read. Close it: its connection waits for the next request."""

    def __init__(self, response: requests.Response, give_back: Callable[[], None], where: str) -> None:
        self._response = response
        self._give_back: Callable[[], None] | None = give_back
        self._where = where
        self.status = response.status_code
        self.headers = response.headers
        #: The token that was sent.
        self.authorization = response.request.headers.get("Authorization")

    def readinto(self, buffer: memoryview) -> int:
        """Fill (a part of) the buffer, of which the answer must have more bytes."""
        with errors.translated(self._where):
            data: bytes = self._response.raw.read(min(len(buffer), _READ_SIZE))
        if not data:
            raise TransientError(f"{self._where}: the answer ended early")
        buffer[: len(data)] = data
        return len(data)

    def read(self) -> bytes:
        """The whole body."""
        with errors.translated(self._where):
            body = self._response.content
        length = self.headers.get("Content-Length", "")
        # urllib3 before 2.0 does not mind
        if length.isdigit() and "Content-Encoding" not in self.headers and len(body) < int(length):
            raise TransientError(f"{self._where}: the answer ended early")
        return body

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty one."""
        body = self.read()
        if not body:
            return {}
        try:
            content: dict[str, Any] = self._response.json()
        except ValueError:
            raise ServiceError(f"{self._where}: the answer is no JSON: is this a Google Drive server?") from None
        return content

    def close(self) -> None:
        """Give the connection back; one with unread bytes is dropped."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            self._response.close()
            give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Wire:
    """Sends calls.

    Parameters
    ----------
    login : Login
    endpoint : str
        The service's address.
    settings : DriveSettings
    """

    def __init__(self, login: Login, endpoint: str, settings: DriveSettings) -> None:
        self._login = login
        self.endpoint = endpoint
        self.settings = settings
        self.renew()
        forks.renewed_in_child(self)

    def renew(self) -> None:
        """Leave the connections to those who have them: a forked child its parent's."""
        self._idle: deque[requests.Session] = deque()

    def json(self, call: Call) -> dict[str, Any]:
        """Send a call, several times if need be; the JSON that it answers."""

        def send() -> dict[str, Any]:
            with self.once(call) as answer:
                return answer.json()

        return self._retrying(call.where, send)

    def open(self, call: Call) -> Answer:
        """Send a call, several times if need be; the answer, with its body still to be read."""
        return self._retrying(call.where, lambda: self.once(call))

    def _retrying(self, where: str, action: Callable[[], Result]) -> Result:
        """Do something again while it fails in a way that may pass."""
        retries = self.settings.retry.start(where)
        while True:
            try:
                return action()
            except TransientError as error:
                errors.wait_for(retries, error, self.settings)

    def once(self, call: Call, accept: Collection[int] = _SUCCESS) -> Answer:
        """Send a call once, but for a token that has ended meanwhile.

        Parameters
        ----------
        call : Call
        accept : collection of int
            The statuses that are no error.
        """
        answer = self._send(call)
        if answer.status == 401:
            answer.close()
            self._login.renew(answer.authorization)
            answer = self._send(call)
        if answer.status in accept:
            return answer
        with answer:
            raise errors.from_answer(answer.status, answer.headers, answer.read(), call.where)

    def _send(self, call: Call) -> Answer:
        session, idle = self._take()
        try:
            # else the service might still do what an interrupted request asked for, after the clean-up
            with errors.translated(call.where), put_off_if(call.method != "GET"):
                response = session.request(
                    call.method,
                    call.uri,
                    headers=dict(call.headers),
                    data=call.body or None,  # type: ignore[arg-type] # memoryviews serve as well
                    timeout=self.settings.timeouts,
                    # Google's 308 means "go on", and is no redirection
                    allow_redirects=call.method == "GET",
                    stream=True,
                )
        except BaseException:
            session.close()
            raise
        return Answer(response, lambda: idle.append(session), call.where)

    # ------------------------------------------------------------------ connections
    def _take(self) -> tuple[requests.Session, deque[requests.Session]]:
        """A session that nobody else has in use, and where it goes after."""
        idle = self._idle
        try:
            return idle.pop(), idle
        except IndexError:
            return self._new_session(), idle

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.auth = self._login
        # proxies and certificates from the environment, once: requests would look for them at each request
        found = session.merge_environment_settings(self.endpoint, {}, True, self.settings.verify, None)
        session.proxies, session.verify = found["proxies"], found["verify"]
        session.trust_env = False
        return session

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

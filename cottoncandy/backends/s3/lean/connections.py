"""Connections of our own: kept alive, in one exchange at a time, pooled last in, first out.

A request goes out in one piece, a large body straight from the caller's memory; an answer's body comes straight
into it.
"""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cottoncandy import forks, progress

if TYPE_CHECKING:
    import ssl

    from cottoncandy.interrupts import CancelScope

#: Bytes that are asked for where it is not known how many will come: a head, and a small body with it.
RECEIVE = 2**16
#: A body up to this size is copied behind its head, to leave in one packet.
SMALL_BODY = 2**16
# Bytes of a large request that are held back until all others have gone: one record of TLS.
_LAST = 2**14
#: Connections without which one thread does not do what threads do; and with which it does in any case.
_ENOUGH = (8, 64)
_NOTHING = memoryview(b"")
#: Seconds to connect that nobody need do something else meanwhile.
_AT_ONCE = 0.002
#: With it the kernel fills a whole buffer in one call. Not on Windows: there a timeout makes a socket non-blocking.
_WAIT_FOR_ALL = socket.MSG_WAITALL if os.name == "posix" else 0


class Address(NamedTuple):
    """Where to connect to."""

    host: str
    port: int
    encrypted: bool


class ClosedEarly(ConnectionError):
    """The server closed the connection where more was to come."""


class BadAnswer(Exception):
    """What came is no HTTP."""


class Connection:
    """One socket, with the bytes that were received and not yet read.

    Attributes
    ----------
    address : Address
    reused : bool
        Whether an exchange was completed on it before.
    """

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self.address = address
        self.reused = False
        self.home: object = None  # where the pool that made it kept its idle ones
        self._scope: CancelScope | None = None
        self._user: weakref.ref[object] | None = None
        self._socket = sock
        self._flags = 0 if address.encrypted else _WAIT_FOR_ALL
        self._received = b""
        self._at = 0
        # How much of the last piece of a request has gone, and what has come behind it. Lists, as C fills them: Ctrl-C
        # comes before a call of `send` or `recv` or behind the note of what it gave, never in between. (`sendall` looks
        # for Ctrl-C once more when all has gone.)
        self._gone: list[int] = []
        self._came: list[bytes] = []
        self._last = _NOTHING
        self._poll = select.poll() if hasattr(select, "poll") else None  # not on Windows
        if self._poll is not None:
            self._poll.register(sock, select.POLLIN)

    def send(self, head: bytes, body: memoryview) -> None:
        """Send a request; a large body from where it lies."""
        self.send_first(head, body)
        self.send_last()

    def send_first(self, head: bytes, body: memoryview) -> None:
        """Send a request but for its last piece, without which no server does anything: all of a small one."""
        self._gone.clear()
        self._came.clear()
        if not self.holds_back(body):
            self._last = memoryview(head + body)
            return
        self._last = body[-_LAST:]
        self._socket.sendall(head)
        sent = progress.sent_counter()
        step, stop = len(body) if sent is None else progress.STEP, len(body) - _LAST
        for start in range(0, stop, step):
            piece = body[start : min(start + step, stop)]
            self._socket.sendall(piece)
            if sent is not None:
                sent(start + len(piece))

    def holds_back(self, body: memoryview) -> bool:
        """Whether a body goes out in more than one piece. TLS may be kept from Ctrl-C only for what goes at once."""
        return len(body) > (_LAST if self.address.encrypted else SMALL_BODY)

    def send_last(self) -> None:
        """Send the last piece."""
        while (gone := sum(self._gone)) < len(self._last):
            self._gone.extend(map(self._socket.send, (self._last[gone:],)))

    def read_until(self, mark: bytes, limit: int) -> bytes:
        """What comes before the mark, which is taken as well; `BadAnswer` where more than ``limit`` bytes do."""
        while (end := self._received.find(mark, self._at)) < 0 and len(self._received) - self._at <= limit:
            self._came[:] = map(self._socket.recv, (RECEIVE,))
            (received,) = self._came
            if not received:
                raise ClosedEarly("the server closed the connection")
            self._received = self._received[self._at :] + received
            self._at = 0
        if not 0 <= end - self._at <= limit:
            raise BadAnswer(f"more than {limit} bytes before {mark!r}")
        found = self._received[self._at : end]
        self._at = end + len(mark)
        return found

    def read_into(self, view: memoryview) -> int:
        """Put what comes into the view, at least a byte of it; 0 at the end of the connection."""
        count = min(len(view), len(self._received) - self._at)
        if not count:
            return self._socket.recv_into(view, 0, self._flags)
        view[:count] = memoryview(self._received)[self._at : self._at + count]
        self._at += count
        return count

    def received(self, count: int) -> bytes:
        """The next bytes, of which it is known that they were received already."""
        self._at += count
        return self._received[self._at - count : self._at]

    def skip(self, count: int) -> bool:
        """Pass over bytes, if all of them were received already."""
        if count > self.buffered:
            return False
        self._at += count
        return True

    @property
    def buffered(self) -> int:
        """How many bytes were received and not yet read."""
        return len(self._received) - self._at

    def has_news(self) -> bool:
        """Whether the server has sent something, or closed: on an idle connection either makes it useless."""
        if self.buffered:
            return True
        if not self.address.encrypted:
            return self._is_readable()
        while self._is_readable():
            if self._took_something():
                return True
        return False

    def _is_readable(self) -> bool:
        if self._poll is None:
            return bool(select.select([self._socket], [], [], 0)[0])
        return bool(self._poll.poll(0))

    def _took_something(self) -> bool:
        """Whether what came is more than a part of TLS itself, as tickets are, which come when they like."""
        import ssl

        sock = self._socket
        timeout = sock.gettimeout()
        sock.settimeout(0)
        try:
            received = sock.recv(RECEIVE)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True  # the next read raises it
        finally:
            sock.settimeout(timeout)
        self._received, self._at = self._received[self._at :] + received, 0
        return True

    def fileno(self) -> int:
        """The socket's number, for `select`."""
        return self._socket.fileno()

    @property
    def is_awaited(self) -> bool:
        """Whether a request has gone whole, and nothing of its final answer has come."""
        if not self._gone or sum(self._gone) < len(self._last):
            return False
        return all(map(_is_interim, [*self._came, self._received[self._at :]]))

    def was_told_to_wait(self) -> None:
        """What was read was no answer yet: what came is what is left of it."""
        self._came[:] = (self._received[self._at :],)

    def wait(self) -> None:
        """Until the server answers, or leaves; of no use for anything else afterwards."""
        with suppress(OSError):
            self._socket.recv(1)

    def begin(self, scope: CancelScope, *, only_reads: bool) -> None:
        """Have the scope break off the exchange that begins, if that is cancelled before its end."""
        self._scope = scope
        scope.begin(self, only_reads=only_reads)

    def close_with(self, user: object) -> None:
        """Close when this object is forgotten, unless the exchange has ended before.

        Where it is in a circle of references, the socket closes itself.
        The object has no `__del__` for that: it would be called each time, and Ctrl-C that comes in there is lost.
        """
        self._user = weakref.ref(user, self._forgotten)

    def _forgotten(self, _: weakref.ref[object]) -> None:
        self.close()

    def end(self) -> None:
        """The exchange is complete, or the connection is closed."""
        self._user = None
        self._gone.clear()
        self._last = _NOTHING  # an idle connection holds no memory of a caller's
        if self._scope is not None:
            self._scope.end(self)
            self._scope = None

    def break_off(self) -> None:
        """Have a thread that waits for the server find the connection closed."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS would say good-bye first

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self.end()
        self._socket.close()


def _is_interim(received: bytes) -> bool:
    """Whether that is nothing, or an answer like ``100 Continue`` and nothing else."""
    return not received or (received.startswith(b"HTTP/1.1 1") and received.count(b"HTTP/1.1 ") == 1)


@dataclass(frozen=True)
class Connector:
    """How connections are made.

    Attributes
    ----------
    connect_timeout, read_timeout : float or None
        Seconds; None waits for ever.
    options : Sequence
        Socket options, as `socket.socket.setsockopt` takes them.
    tls : callable
        Gives the TLS context, always the same one; called when the first encrypted connection is made. No
        `functools.cached_property`: before Python 3.12 one holds a lock meanwhile, which a forked child inherits.
    """

    connect_timeout: float | None
    read_timeout: float | None
    options: Sequence[tuple[int, int, int | bytes]]
    tls: Callable[[], ssl.SSLContext]

    def connect(self, address: Address) -> Connection:
        """Open a connection; an encrypted one with its handshake done."""
        sock = socket.create_connection((address.host, address.port), self.connect_timeout)
        try:
            for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *self.options):
                sock.setsockopt(*option)
            if address.encrypted:
                sock = self.tls().wrap_socket(sock, server_hostname=address.host)
            self._limit_waits(sock, address)
        except BaseException:
            sock.close()
            raise
        return Connection(sock, address)

    def _limit_waits(self, sock: socket.socket, address: Address) -> None:
        """Set the timeouts; in the kernel where we can: Python's own cost a `poll` for every call.

        OpenSSL would take the kernel's for a reason to go on waiting, so an encrypted socket has Python's.
        """
        if self.read_timeout is None or address.encrypted or os.name != "posix":
            sock.settimeout(self.read_timeout)
            return
        fraction, whole = math.modf(self.read_timeout)
        limit = struct.pack("ll", int(whole), int(fraction * 1e6))  # struct timeval
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


class ConnectionPool:
    """The idle connections. Threads may share it; a forked process makes connections of its own.

    Parameters
    ----------
    connector : Connector
    most_idle : int
        How many connections to one address are kept.
    """

    def __init__(self, connector: Connector, most_idle: int) -> None:
        self._connector = connector
        self._most_idle = most_idle
        self._idle: dict[Address, deque[Connection]] = {}
        self._took = 0.0  # seconds, to connect when it went best
        forks.renewed_in_child(self)

    def take(self, address: Address, *, fresh: bool = False) -> Connection:
        """A connection for one exchange: an idle one that still stands, else a new one."""
        idle = self._idle.get(address)
        while idle and not fresh:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                break
            # the server may have taken leave; or said more than was asked, which would be the answer to what comes next
            if not connection.has_news():
                return connection
            connection.close()
        home = self._idle
        home.setdefault(address, deque())
        began = time.monotonic()
        connection = self._connector.connect(address)
        took = time.monotonic() - began
        self._took = min(self._took or took, took)
        connection.home = home
        return connection

    @property
    def read_timeout(self) -> float | None:
        """Seconds that an answer is waited for; None for ever."""
        return self._connector.read_timeout

    def is_ready(self, of_use: int) -> bool:
        """Whether one thread finds about so many connections: they are idle, or it takes no time to connect.

        Else it would open one after the other, where threads open as many as they are at a time.
        """
        fewest, most = _ENOUGH
        return self._took < _AT_ONCE or sum(map(len, self._idle.values())) >= min(max(of_use, fewest), most)

    def is_at_hand(self, address: Address) -> bool:
        """Whether `take` gives a connection at once: one that is idle, or because it took no time up to now."""
        return self._took < _AT_ONCE or bool(self._idle.get(address))

    def give(self, connection: Connection) -> None:
        """Take a connection back whose exchange is complete."""
        connection.end()
        home = self._idle
        idle = home.get(connection.address) if connection.home is home else None
        if idle is None or connection.buffered or len(idle) >= self._most_idle:
            connection.close()
            return
        connection.reused = True
        idle.append(connection)

    def close(self) -> None:
        """Close the idle connections, and those in use when they come back."""
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            while connections:
                connections.pop().close()

    def renew(self) -> None:
        """What it holds is the parent's: closing it here says nothing to the server."""
        self.close()

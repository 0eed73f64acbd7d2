"""One request and the head of its answer over one connection, also where Ctrl-C comes, or the answer too early."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cottoncandy.backends.s3.lean.answers import Head, read_head
from cottoncandy.backends.s3.lean.connections import BadAnswer, Connection
from cottoncandy.backends.s3.lean.request import Request
from cottoncandy.interrupts import Insistence, current_scope, put_off, wait_in_spite


def enter_scope(connection: Connection, *, only_reads: bool) -> None:
    """Let Ctrl-C, where somebody cleans up behind it, break off what is only read."""
    scope = current_scope()
    if scope is not None:
        connection.begin(scope, only_reads=only_reads)


def talk(connection: Connection, request: Request, head: bytes) -> Head:
    """Send a request and read the head of its answer.

    Where something is changed, Ctrl-C waits for the answer: else the server might still do
    something after the clean-up. With a part of a request it does nothing.
    """
    try:
        return _talk(connection, request, head)
    except Insistence:
        raise
    except KeyboardInterrupt:
        if connection.is_awaited and not request.operation.only_reads:
            wait_in_spite(connection.wait)
        raise


def _talk(connection: Connection, request: Request, head: bytes) -> Head:
    is_sent, only_reads = True, request.operation.only_reads
    if connection.holds_back(request.body):
        enter_scope(connection, only_reads=True)  # and what has not been sent whole, which may take long
        is_sent = _is_sent(connection, partial(connection.send_first, head, request.body))
    else:
        connection.send_first(head, request.body)  # nothing yet
    enter_scope(connection, only_reads=only_reads)
    if only_reads or not connection.address.encrypted:
        return _answer(connection, is_sent=is_sent and _is_sent(connection, connection.send_last))
    # TLS is Python in part: there Ctrl-C might come before a connection takes note of what was sent, or came
    with put_off():
        return _answer(connection, is_sent=is_sent and _is_sent(connection, connection.send_last))


def _is_sent(connection: Connection, send: Callable[[], None]) -> bool:
    """Send a piece of a request; False where the server has answered before it was sent whole."""
    try:
        send()
    except OSError:
        # a server that refuses a request may answer and close before it has read the whole body
        if not connection.has_news():
            raise
        return False
    return True


def _answer(connection: Connection, *, is_sent: bool) -> Head:
    try:
        head = read_head(connection)
    except (OSError, BadAnswer):
        connection.close()  # nobody waits there any more, be it for Ctrl-C that was put off
        raise
    if is_sent:
        return head
    if head.status < 300:
        raise BadAnswer(f"status {head.status} before the whole body was sent")
    return head._replace(keep_alive=False)

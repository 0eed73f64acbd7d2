"""Heads of the answers of HTTP/1.1, read strictly: what is no plain answer is an error, never a guess.

Source: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from cottoncandy.backends.s3.lean.connections import BadAnswer, Connection

#: Bytes of a head at most: what `http.client` takes for a single line.
LARGEST_HEAD = 2**16
#: S3 sends one, `100 Continue`; a server that never comes to the point is not waited for.
_MOST_INTERIM = 16
_METADATA = "x-amz-meta-"
_BEFORE = len(_METADATA)
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([0-9]{3})(?: .*)?", re.DOTALL)
_NAME = re.compile(r"[^\s:]+")
_FIELD = re.compile(r"[^\s:]+:[^\r\n]*")


class HeadNames(NamedTuple):
    """The names of the headers of an answer.

    Attributes
    ----------
    lower : tuple of str
        All, in lower case.
    metadata : tuple of tuple of str
        Those of the user's metadata, without their prefix as the server spells them, and in lower case as they are.
    repeated : bool
        Whether one is there more than once.
    """

    lower: tuple[str, ...]
    metadata: tuple[tuple[str, str], ...]
    repeated: bool


# the answers of a server to one operation have few different ones
@lru_cache(maxsize=256)
def names_of(names: tuple[str, ...]) -> HeadNames | None:
    """What there is to know of the names of headers; None where one of them is no name."""
    if not all(map(_NAME.fullmatch, names)):
        return None
    lower = tuple([name.lower() for name in names])
    metadata = [(name[_BEFORE:], low) for name, low in zip(names, lower, strict=True) if low.startswith(_METADATA)]
    return HeadNames(lower, tuple(metadata), len(set(lower)) < len(lower))


class Head(NamedTuple):
    """The head of an answer.

    Attributes
    ----------
    status : int
    headers : dict
        By lower-case name; the values of a repeated one are joined by commas.
    names : HeadNames
        The names as they came.
    keep_alive : bool
        Whether the connection may be used again.
    """

    status: int
    headers: dict[str, str]
    names: HeadNames
    keep_alive: bool

    @property
    def metadata(self) -> dict[str, str]:
        """The ``x-amz-meta-`` headers without that prefix, spelled as the server spells them."""
        headers = self.headers
        return {name: headers[lower] for name, lower in self.names.metadata}


def read_head(connection: Connection) -> Head:
    """Read the head of the final answer; interim ones (1xx) are passed over, some of them."""
    for _ in range(_MOST_INTERIM):
        head = parse_head(connection.read_until(b"\r\n\r\n", LARGEST_HEAD))
        if head.status >= 200:
            return head
        connection.was_told_to_wait()
    raise BadAnswer(f"{_MOST_INTERIM} interim answers, and no final one")


def parse_head(raw: bytes) -> Head:
    """Parse a head, given without the blank line that ends it."""
    text = raw.decode("latin-1")
    first, *lines = text.split("\r\n")
    status_line = _read_status_line(first)
    # no line ends in another way; what has no colon has no value
    strict = text.count("\n") == text.count("\r") == len(lines)
    spelled, values = [], []
    for line in lines:
        name, colon, value = line.partition(":")
        strict = strict and bool(colon)
        spelled.append(name)
        values.append(value.strip())
    names = names_of(tuple(spelled))
    if status_line is None or names is None or not strict:
        raise BadAnswer(f"no head of HTTP/1: {_first_wrong_line(first, lines)[:100]!r}")
    headers = _joined(names.lower, values) if names.repeated else dict(zip(names.lower, values, strict=True))
    version, status = status_line
    connection = headers.get("connection")
    keep_alive = version == 1 if connection is None else _keeps_alive(version, connection.lower())
    return Head(status, headers, names, keep_alive)


@lru_cache(maxsize=64)
def _read_status_line(line: str) -> tuple[int, int] | None:
    """The minor version of HTTP/1, and the status."""
    match = _STATUS_LINE.fullmatch(line)
    return (int(match[1]), int(match[2])) if match else None


def _keeps_alive(version: int, connection: str) -> bool:
    return "close" not in connection if version == 1 else "keep-alive" in connection


def _first_wrong_line(first: str, lines: list[str]) -> str:
    if not _STATUS_LINE.fullmatch(first) or "\n" in first or "\r" in first:
        return first
    wrong = (line for line in lines if "\n" in line or "\r" in line or not _FIELD.fullmatch(line))
    return next(wrong, first)


def _joined(names: tuple[str, ...], values: list[str]) -> dict[str, str]:
    """The headers where one is repeated."""
    headers: dict[str, str] = {}
    for name, value in zip(names, values, strict=True):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers

"""Partial responses: ``nextPageToken,files(id,owners(displayName))``, ``a/b`` and ``*``."""

from __future__ import annotations

import re
from typing import Any

from fake_drive.errors import ApiError

Mask = dict[str, Any]

_TOKEN = re.compile(r"[\w*]+|[(),/]")


def parse(text: str) -> Mask:
    """A mask as nested dictionaries; an empty one takes all."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text.replace(" ", ""):
        raise _bad(text)
    mask, rest = _fields(tokens, text)
    if rest:
        raise _bad(text)
    return mask


def _bad(text: str) -> ApiError:
    return ApiError(400, "invalidParameter", f"Invalid field selection {text}")


def _fields(tokens: list[str], text: str) -> tuple[Mask, list[str]]:
    mask: Mask = {}
    while True:
        if not tokens or tokens[0] in "(),/":
            raise _bad(text)
        name, inner = tokens[0], {}
        tokens = tokens[1:]
        if tokens and tokens[0] == "/":
            inner, tokens = _path(tokens[1:], text)
        elif tokens and tokens[0] == "(":
            inner, tokens = _fields(tokens[1:], text)
            if not tokens or tokens[0] != ")":
                raise _bad(text)
            tokens = tokens[1:]
        mask.setdefault(name, {}).update(inner)
        if not tokens or tokens[0] != ",":
            return mask, tokens
        tokens = tokens[1:]


def _path(tokens: list[str], text: str) -> tuple[Mask, list[str]]:
    if not tokens:
        raise _bad(text)
    name, tokens = tokens[0], tokens[1:]
    if tokens and tokens[0] == "/":
        inner, tokens = _path(tokens[1:], text)
        return {name: inner}, tokens
    return {name: {}}, tokens


def select(value: Any, mask: Mask, known: set[str] | None = None) -> Any:
    """What the mask leaves of a value. A name that the schema does not know is an error."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [select(item, mask, known) for item in value]
    if known is not None and (unknown := mask.keys() - known):
        raise _bad(min(unknown))
    return {name: select(value[name], inner) for name, inner in mask.items() if name in value}

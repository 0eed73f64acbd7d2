"""The ``q`` of files.list: https://developers.google.com/workspace/drive/api/guides/ref-search-terms."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fake_drive.errors import ApiError

if TYPE_CHECKING:
    from fake_drive.items import Item

_TOKEN = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|(<=|>=|!=|[=<>(){}])|([A-Za-z]+))")
_TIMES = {"createdTime", "modifiedTime"}


@dataclass(frozen=True)
class Facts:
    """What a condition looks at."""

    item: Item
    trashed: bool


class Condition(ABC):
    @abstractmethod
    def holds(self, facts: Facts) -> bool: ...

    def parents(self) -> set[str] | None:
        """The folders to which all matches are limited; None where they are not."""
        return None

    def by_name(self) -> bool:
        """Whether the search needs the index of names."""
        return False


@dataclass(frozen=True)
class Term(Condition):
    field: str
    operator: str
    value: str

    def by_name(self) -> bool:
        return self.field == "name"

    def holds(self, facts: Facts) -> bool:
        item = facts.item
        if self.field == "name":
            return self._compare(item.name.lower(), self.value.lower())
        if self.field == "mimeType":
            return self._compare(item.type, self.value)
        if self.field == "trashed":
            return self._compare(str(facts.trashed).lower(), self.value)
        return self._compare(item.created_time if self.field == "createdTime" else item.modified_time, self.value)

    def _compare(self, found: str, wanted: str) -> bool:
        if self.operator == "contains":
            # of names: the beginning of a word only
            return any(found[match.start() :].startswith(wanted) for match in re.finditer(r"\b\w", found))
        return {
            "=": found == wanted,
            "!=": found != wanted,
            "<": found < wanted,
            "<=": found <= wanted,
            ">": found > wanted,
            ">=": found >= wanted,
        }[self.operator]


@dataclass(frozen=True)
class InParents(Condition):
    parent: str

    def holds(self, facts: Facts) -> bool:
        return facts.item.parent == self.parent

    def parents(self) -> set[str] | None:
        return {self.parent}


@dataclass(frozen=True)
class HasProperty(Condition):
    field: str
    key: str
    value: str

    def holds(self, facts: Facts) -> bool:
        return getattr(facts.item, self.field).get(self.key) == self.value


@dataclass(frozen=True)
class Both(Condition):
    left: Condition
    right: Condition

    def holds(self, facts: Facts) -> bool:
        return self.left.holds(facts) and self.right.holds(facts)

    def parents(self) -> set[str] | None:
        left, right = self.left.parents(), self.right.parents()
        return left & right if left is not None and right is not None else left or right

    def by_name(self) -> bool:
        return self.left.by_name() or self.right.by_name()


@dataclass(frozen=True)
class Either(Condition):
    left: Condition
    right: Condition

    def holds(self, facts: Facts) -> bool:
        return self.left.holds(facts) or self.right.holds(facts)

    def parents(self) -> set[str] | None:
        left, right = self.left.parents(), self.right.parents()
        return left | right if left is not None and right is not None else None

    def by_name(self) -> bool:
        return self.left.by_name() or self.right.by_name()


@dataclass(frozen=True)
class Not(Condition):
    inner: Condition

    def holds(self, facts: Facts) -> bool:
        return not self.inner.holds(facts)

    def by_name(self) -> bool:
        return self.inner.by_name()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if not match:
                raise self.bad()
            quoted, symbol, word = match.groups()
            kind = "text" if quoted is not None else "symbol" if symbol else "word"
            self._tokens.append((kind, re.sub(r"\\(.)", r"\1", quoted) if kind == "text" else symbol or word))
            position = match.end()

    def bad(self) -> ApiError:
        return ApiError(400, "invalid", f"Invalid Value: q = {self._text}")

    def parse(self) -> Condition:
        condition = self._either()
        if self._tokens:
            raise self.bad()
        return condition

    def _next(self, *wanted: str, kind: str | None = None) -> str:
        if not self._tokens:
            raise self.bad()
        found_kind, value = self._tokens.pop(0)
        if (wanted and (found_kind == "text" or value not in wanted)) or (kind and found_kind != kind):
            raise self.bad()
        return value

    def _is(self, *values: str) -> bool:
        return bool(self._tokens) and self._tokens[0][0] != "text" and self._tokens[0][1] in values

    def _either(self) -> Condition:
        left = self._both()
        while self._is("or"):
            self._next()
            left = Either(left, self._both())
        return left

    def _both(self) -> Condition:
        left = self._one()
        while self._is("and"):
            self._next()
            left = Both(left, self._one())
        return left

    def _one(self) -> Condition:
        if self._is("not"):
            self._next()
            return Not(self._one())
        if self._is("("):
            self._next()
            inner = self._either()
            self._next(")")
            return inner
        if self._tokens and self._tokens[0][0] == "text":
            parent = self._next()
            self._next("in")
            self._next("parents")
            return InParents(parent)
        return self._term()

    def _term(self) -> Condition:
        field = self._next("name", "mimeType", "trashed", "properties", "appProperties", *_TIMES)
        if field in {"properties", "appProperties"}:
            return self._property(field)
        if field == "trashed":
            return Term(field, self._next("=", "!="), self._next("true", "false"))
        operators = ("=", "!=", "<", "<=", ">", ">=") if field in _TIMES else ("=", "!=", "contains")
        return Term(field, self._next(*operators), self._next(kind="text"))

    def _property(self, field: str) -> Condition:
        for wanted in ("has", "{", "key", "="):
            self._next(wanted)
        key = self._next(kind="text")
        for wanted in ("and", "value", "="):
            self._next(wanted)
        value = self._next(kind="text")
        self._next("}")
        return HasProperty("properties" if field == "properties" else "app_properties", key, value)


def parse(text: str) -> Condition:
    return _Parser(text).parse()

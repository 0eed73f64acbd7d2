"""Arrays that are stored as a few named parts and a table that describes them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cottoncandy.errors import CorruptObject

# Of an upload: what `new_version` gives.
_VERSION = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of array that is stored in parts.

    Attributes
    ----------
    name : str
        How an error calls it.
    reader : str
        The call of an interface that reads it.
    parts : Mapping of str to tuple of str
        The names of the parts of each ``type`` that a table may tell.
    take_apart : callable
        Describes an array, and names its parts.
    put_together : callable
        Makes the array of its description and its parts.
    """

    name: str
    reader: str
    parts: Mapping[str, tuple[str, ...]]
    take_apart: Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]
    put_together: Callable[[Mapping[str, Any], Mapping[str, Any]], Any]

    def part_names(self, description: Any) -> dict[str, str]:
        """The parts that a description says there are, and the names that they lie under.

        Raises
        ------
        CorruptObject
            If it describes no such array.
        """
        kind = description.get("type") if isinstance(description, dict) else None
        if not isinstance(kind, str) or kind not in self.parts:
            raise CorruptObject(f"describes no {self.name}: type {kind!r}")
        shape, staged = description.get("shape"), description.get("parts", {})
        if not _is_shape(shape) or not isinstance(staged, dict):
            raise CorruptObject(f"describes no {self.name}: shape {shape!r:.200}, parts {staged!r:.200}")
        names = {name: str(staged.get(name, name)) for name in self.parts[kind]}
        for name, place in names.items():
            # a table is not trusted to name other objects
            if place != name and not (place.startswith(f"{name}-") and self.is_staged(place)):
                raise CorruptObject(f"describes no {self.name}: part {name!r} cannot lie under {place!r:.200}")
        return names

    def is_staged(self, name: str) -> bool:
        """Whether a name may be that of a staged part, which a writer left behind."""
        part, _, version = name.partition("-")
        return self.is_part(part) and _VERSION.fullmatch(version) is not None

    def is_part(self, name: str) -> bool:
        """Whether a part of some type has this name."""
        return any(name in parts for parts in self.parts.values())


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and all(type(length) is int and 0 <= length < 2**63 for length in shape)


def staged_name(part: str, version: str) -> str:
    """Where a part lies until it takes the place of the one that it replaces."""
    return f"{part}-{version}"

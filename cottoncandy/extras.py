"""Optional libraries: imported where they are used, with an error that tells how to get them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from cottoncandy.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BACKENDS", "foreign_backends", "loaded_kinds", "with_extra", "with_library"]

#: The entry points of the backends of other distributions.
BACKENDS = "cottoncandy.backends"


def foreign_backends() -> Iterable[EntryPoint]:
    """The backends that other installed distributions bring."""
    from importlib.metadata import entry_points  # reads all that is installed: only where a name is none of ours

    return entry_points(group=BACKENDS)


def loaded_kinds(places: Iterable[tuple[str, str]]) -> tuple[type[BaseException], ...]:
    """Of modules and the errors that they raise, those that are loaded: what is not has raised none."""
    # another thread may be about to load one
    found = (getattr(sys.modules.get(module), kind, None) for module, kind in places)
    return tuple(kind for kind in found if kind is not None)


def with_extra(module: str, extra: str) -> ModuleType:
    """Import a module that is there, or works, where an optional extra of ours is installed.

    Raises
    ------
    ConfigurationError
        If the extra is not installed.
    """
    return _imported(module, f"'cottoncandy[{extra}]'")


def with_library(name: str) -> ModuleType:
    """Import a library that the user brings along.

    Raises
    ------
    ConfigurationError
        If it is not installed.
    """
    return _imported(name)


def _imported(module: str, what: str | None = None) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("cottoncandy"):
            raise
        told = f"this needs {missing!r}, which is not installed: pip install {what or missing}"
        raise ConfigurationError(told) from error

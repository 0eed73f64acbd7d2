"""The stores that cottoncandy can speak to, by name; a backend's module is imported when it is first used."""

from __future__ import annotations

from importlib import import_module

from cottoncandy.backends.base import Backend
from cottoncandy.errors import ConfigurationError
from cottoncandy.extras import BACKENDS, foreign_backends

__all__ = ["ENTRY_POINT_GROUP", "backend_class", "backend_names"]

#: Where another distribution names its `Backend` subclasses.
ENTRY_POINT_GROUP = BACKENDS

_BUILT_IN = {
    "s3": "cottoncandy.backends.s3:S3Backend",
    "local": "cottoncandy.backends.local:LocalBackend",
    "gdrive": "cottoncandy.backends.gdrive:GoogleDriveBackend",
}


def backend_names() -> list[str]:
    """What ``get_interface(backend=...)`` takes: our own names, and those of installed entry points."""
    return sorted({*_BUILT_IN, *(point.name for point in foreign_backends())})


def backend_class(name: str) -> type[Backend]:
    """The class behind a backend's name.

    Raises
    ------
    ConfigurationError
        If there is none, or its libraries are not installed.
    """
    if name in _BUILT_IN:
        return _import_built_in(name)
    for point in (point for point in foreign_backends() if point.name == name):
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Backend)):
            raise ConfigurationError(f"entry point {point.value!r} is no subclass of Backend")
        return loaded
    raise ConfigurationError(f"no backend {name!r}; there are: {', '.join(backend_names())}")


def _import_built_in(name: str) -> type[Backend]:
    module, _, attribute = _BUILT_IN[name].partition(":")
    try:
        loaded: type[Backend] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("cottoncandy"):
            raise
        raise ConfigurationError(f"backend {name!r} needs {error.name!r}: pip install 'cottoncandy[{name}]'") from error
    return loaded

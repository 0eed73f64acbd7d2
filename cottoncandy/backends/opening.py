"""The one way to a container: the backend of a name, its default container, and encryption around it."""

from __future__ import annotations

from typing import Any, Literal

from cottoncandy.backends import backend_class
from cottoncandy.backends.base import Backend
from cottoncandy.backends.encrypted.keys import KeySource, gather_keys
from cottoncandy.config import Options
from cottoncandy.errors import ConfigurationError


def open_backend(
    name: str,
    container: str | None,
    options: Options,
    *,
    ACCESS_KEY: str | None = None,  # noqa: N803 - the name in get_interface
    SECRET_KEY: str | None = None,  # noqa: N803 - the name in get_interface
    endpoint_url: str | None = None,
    encryption_key: KeySource | Literal[False] | None = None,
    look_only: bool = False,
    **kwargs: Any,
) -> Backend:
    """Make the backend of a container; None is the one that the options name.

    Parameters
    ----------
    name : str
        As ``get_interface(backend=...)`` takes it.
    container : str or None
    options : Options
    ACCESS_KEY, SECRET_KEY, endpoint_url, encryption_key
        As in `cottoncandy.get_interface`.
    look_only : bool
        Make nothing that is not there.
    **kwargs
        Of the backend.
    """
    kind = backend_class(name)
    container = kind.default_container(options) if container is None else container
    own = {**kind.look_only, **kwargs} if look_only else kwargs
    connected = kind.connect(container, ACCESS_KEY, SECRET_KEY, endpoint_url, options, **own)
    return encrypted(connected, encryption_key, options)


def encrypted(backend: Backend, key: KeySource | Literal[False] | None, options: Options) -> Backend:
    """The backend, encrypting where there is a key.

    Parameters
    ----------
    backend : Backend
    key : KeySource, False or None
        None takes the keys of the configuration, if there are any; False none.
    options : Options

    Raises
    ------
    ConfigurationError
        If the keys are none, or there is none and ``[encryption] require`` asks for one.
    """
    keys = None if key is False else gather_keys(key, options)
    require = options.flag("encryption", "require")
    if keys is not None:
        from cottoncandy.backends.encrypted.backend import EncryptedBackend

        return EncryptedBackend(backend, keys, require=require)
    if require and key is None:
        asks = options.describe("encryption", "require")
        raise ConfigurationError(f"{asks}, and there is no key: set [encryption] key_file")
    return backend

"""Whether a backend encrypts."""

from __future__ import annotations

from typing import Literal

from cottoncandy.backends.base import Backend
from cottoncandy.backends.encrypted.keys import KeySource, gather_keys
from cottoncandy.config import Options
from cottoncandy.errors import ConfigurationError


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
        raise ConfigurationError("[encryption] require = True, and there is no key: set [encryption] key_file")
    return backend

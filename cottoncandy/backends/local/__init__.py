"""A directory as a store: object ``KEY`` is the file ``ROOT/KEY``, its metadata ``ROOT/KEY.meta.json``."""

from __future__ import annotations

from cottoncandy.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]

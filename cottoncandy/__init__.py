"""Sugar for object storage, for people who compute."""

from __future__ import annotations

__version__ = "0.5.0"

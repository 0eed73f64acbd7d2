"""The ``cottoncandy`` command: a store from the shell.

Each group of commands is a module that is imported when one of them runs, so that help and completion are quick.
"""

from __future__ import annotations

from cottoncandy.cli.app import main, run

__all__ = ["main", "run"]

"""The interfaces that users hold."""

from __future__ import annotations

from typing import Any

from cottoncandy.interfaces.arrays import ArrayInterface
from cottoncandy.interfaces.basic import BasicInterface, InterfaceObject
from cottoncandy.interfaces.filesystem import FileSystemInterface
from cottoncandy.redaction import hidden, with_hidden_keys

__all__ = ["ArrayInterface", "BasicInterface", "DefaultInterface", "FileSystemInterface", "InterfaceObject"]


class DefaultInterface(FileSystemInterface, ArrayInterface, BasicInterface):
    """Arrays, files and a file system in one: what `cottoncandy.get_interface` gives.

    The parameters are those of `BasicInterface`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = (args[0:1] + tuple(map(hidden, args[1:3])) + args[3:]), with_hidden_keys(kwargs)
        super().__init__(*args, **kwargs)

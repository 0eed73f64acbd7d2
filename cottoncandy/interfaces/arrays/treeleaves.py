"""The leaves of a tree on their way to the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from cottoncandy import trees
from cottoncandy.backends.base import Receipt
from cottoncandy.pipelines import SMALL, Begun, Prepared

#: Sends the array of a name to a place; or makes the request that does so later, if that is wished.
Send = Callable[[str, str, bool], Any]


@dataclass(frozen=True)
class TreeUpload:
    """One call of `dict2cloud`.

    Attributes
    ----------
    stage : Stage
        What it has beside the leaves while it is at work.
    arrays : Mapping
        The leaves by the names of their objects.
    send : callable
    threads : int or None
    acl : str or None
    """

    stage: trees.Stage
    arrays: Mapping[str, npt.NDArray[Any]]
    send: Send
    threads: int | None
    acl: str | None

    @property
    def largest(self) -> int:
        """Bytes of the largest leaf."""
        return max((array.nbytes for array in self.arrays.values()), default=0)


class Leaves:
    """The leaves of an upload, and the places that they go to.

    Parameters
    ----------
    upload : TreeUpload
    places : Mapping of str to str
        By the names of the leaves.
    """

    def __init__(self, upload: TreeUpload, places: Mapping[str, str]) -> None:
        self._upload = upload
        self._places = places

    def send(self, key: str) -> None:
        """Send a leaf, and wait until it is there."""
        self._upload.send(key, self._places[key], False)

    def begin(self, key: str) -> Begun[Receipt] | None:
        """Send a leaf whose answer is read later; None where it is too large for that, or the store does not do it."""
        prepared = self._prepare(key)
        return None if prepared is None else prepared.begin()

    def _prepare(self, key: str) -> Prepared[Receipt] | None:
        if self._upload.arrays[key].nbytes > SMALL:
            return None
        prepared: Prepared[Receipt] | None = self._upload.send(key, self._places[key], True)
        return prepared

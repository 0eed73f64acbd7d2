"""What concerns one file or object alone: it is told when all others have been transferred."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from cottoncandy.errors import ContainerNotFound, CottonCandyError, CredentialsNotFound, TransientError
from cottoncandy.syncing.trees import Branch, Disk

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: The store is gone, or the way to it: so will be the others.
_OF_ALL = (TransientError, ContainerNotFound, CredentialsNotFound, ConnectionError, TimeoutError)
#: What the system says where no other file can be written, or opened.
_OF_ALL_FILES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}


class Failures:
    """What failed, by its name in the source.

    Parameters
    ----------
    source : Disk or Branch
    known : Mapping of str to Exception
        What is known to fail before it is tried.

    Attributes
    ----------
    gone : set of str
        What the source has no more: as if it had not been listed, it is no failure.
    """

    def __init__(self, source: Disk | Branch, known: Mapping[str, Exception]) -> None:
        self.gone: set[str] = set()
        self._source = source
        # not the errors themselves: with their tracebacks they would keep the bytes of each body
        self._told: dict[str, tuple[type[Exception], str]] = {}
        for name, error in known.items():
            self._add(name, error)

    def _add(self, name: str, error: Exception) -> None:
        self._told[name] = (type(error), _text(error, self._source.describe(name)))
        log.info("%s", self._told[name][1])

    def apart(self, function: Callable[[str], Result]) -> Callable[[str], Result | None]:
        """The same function, for which a failure that concerns one name alone is noted; it gives None then."""

        def tried(name: str) -> Result | None:
            try:
                return function(name)
            except (CottonCandyError, OSError) as error:
                if _concerns_all(error):
                    raise
                if isinstance(error, (FileNotFoundError, NotADirectoryError)) and self._source.lacks(name):
                    self.gone.add(name)
                else:
                    self._add(name, error)
                return None

        return tried

    @property
    def without_result(self) -> set[str]:
        """What failed, or is gone."""
        return self.gone | self._told.keys()

    def require_none(self) -> None:
        """Raise the first failure, in the order of names, and say how many others there are."""
        if self._told:
            kind, text = self._told[min(self._told)]
            raise kind(f"{text} (and {len(self._told) - 1} more)" if len(self._told) > 1 else text)


def _concerns_all(error: Exception) -> bool:
    # the store may be on a disk, too, and tell what the system said
    codes = {getattr(one, "errno", None) for one in (error, error.__cause__)}
    return isinstance(error, _OF_ALL) or not codes.isdisjoint(_OF_ALL_FILES)


def _text(error: Exception, place: str) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    told = text if place in text else f"{place}: {text}"
    # names that are no text can be written to no file and no terminal
    return told.encode(errors="backslashreplace").decode()

"""Parts of one thing, which an object that is written last makes one: all of them count, or none stays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cottoncandy.errors import ConfigurationError, CottonCandyError, ObjectExists, TransientError
from cottoncandy.interrupts import put_off, put_off_if, shielded

if TYPE_CHECKING:
    from typing_extensions import Self

    from cottoncandy.backends.base import MultipartUpload

__all__ = ["Parts", "give_up", "logging_failures"]

log = logging.getLogger(__name__)


@contextmanager
def logging_failures() -> Iterator[None]:
    """Remove parts of an upload that failed; the error that tells why is the first one, and others are logged."""
    try:
        yield
    except ConfigurationError as error:
        log.debug("no part was sent: %s", error)  # where no request can be made, none was made before
    except CottonCandyError as error:
        log.warning("parts of an upload that failed could not be removed: %s", error)


def give_up(upload: MultipartUpload, where: str) -> None:
    """Abort an upload that failed, so that no part stays behind; the error that tells why is the first one."""
    try:
        upload.abort()
    except CottonCandyError as error:
        log.warning("%s: the parts already sent could not be removed: %s", where, error)


class Parts:
    """A context in which parts are sent, and named last. What fails before, or is interrupted, is removed.

    Parameters
    ----------
    discard : callable
        Removes them.

    Attributes
    ----------
    may_be_named : bool
        Whether they may count: then they stay.

    Examples
    --------
    >>> with Parts(lambda: print('removed')) as parts:
    ...     with parts.naming():
    ...         print('the table is written')
    the table is written
    """

    def __init__(self, discard: Callable[[], object]) -> None:
        self._discard = discard
        self.may_be_named = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not self.may_be_named:
            # Ctrl-C, for the first time, waits for that; behind Ctrl-C it drops it
            with put_off_if(issubclass(kind, Exception)), shielded():
                self._discard()

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Write what names them. Ctrl-C waits for that: an interrupted caller has all of it, or nothing."""
        with put_off(), shielded():  # a large table would be broken off, too, and might be there for all that is known
            self.may_be_named = True
            try:
                yield
            except TransientError:
                raise  # only the answer may have been lost
            except ObjectExists:
                raise  # the names of the parts are those of another's
            except CottonCandyError:
                self.may_be_named = False
                raise

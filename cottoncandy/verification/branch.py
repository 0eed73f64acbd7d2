"""A branch: its objects, several at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, islice

from cottoncandy import keys
from cottoncandy.backends.base import Backend
from cottoncandy.chunkedarrays.names import LARGEST_TABLE
from cottoncandy.documents import load_document
from cottoncandy.errors import (
    ContainerNotFound,
    CorruptObject,
    CottonCandyError,
    CredentialsNotFound,
    ObjectChanged,
    ObjectNotFound,
    TransientError,
)
from cottoncandy.parallel import for_each, gather
from cottoncandy.stream import ObjectSource, TransferSettings
from cottoncandy.verification import folders
from cottoncandy.verification.objects import FIRST, check_object
from cottoncandy.verification.report import Findings, VerifyReport

log = logging.getLogger(__name__)

# Names that are listed beforehand, to know how many there are: a larger branch has no end that is known, and takes no
# more memory.
_KNOWN = 100_000
# How often an object is read that does not fit, or that is replaced under our hands.
_ATTEMPTS = 2


def verify_branch(backend: Backend, name: str, settings: TransferSettings, few: int, most: int) -> VerifyReport:
    """Read the object of a name, if there is one, and all below the name; hold each to its checksum.

    Parameters
    ----------
    backend : Backend
    name : str
        A clean name; ``''`` for all of the container.
    settings : TransferSettings
    few, most : int
        Objects at a time, and up to how many while they are small.

    Raises
    ------
    ObjectNotFound
        If there is neither.
    """
    findings = Findings(f"{keys.as_directory(name)!r} in {backend.describe()}")

    def look(key: str) -> None:
        _Look(backend, key, settings, findings).look()

    progress, label, names = settings.progress, name or "all", _names(backend, name)
    first = list(islice(progress.through("list", label, names), _KNOWN))
    total = len(first) if len(first) < _KNOWN else None
    # of one array, which may be large, its bytes; of many the objects
    one = progress.transfer("verify", label) if total == 1 else nullcontext()
    with one, progress.many("verify", label, total) as count:
        for_each(count.wrap(look), chain(first, names), few, most=most)
    return findings.report()


def _names(backend: Backend, name: str) -> Iterator[str]:
    found = not name
    if name and not name.endswith(keys.SEPARATOR) and backend.exists(name):
        found = True
        yield name
    for info in backend.list_objects(keys.as_directory(name)):
        found = True
        yield info.key
    if not found:  # a mistyped name is not in order
        raise ObjectNotFound(f"{backend.describe(name)} does not exist, and nothing is below that name")


class _Look:
    """One object that is looked at."""

    def __init__(self, backend: Backend, key: str, settings: TransferSettings, findings: Findings) -> None:
        self._backend = backend
        self._key = key
        self._settings = settings
        self._findings = findings

    def look(self) -> None:
        """Read it; once more where it does not fit."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._read()
            except ObjectNotFound:
                return  # it was removed since it was listed
            except (CorruptObject, ObjectChanged) as error:
                if attempt == _ATTEMPTS:
                    self._damaged(self._key, error)
                else:
                    log.info("%s: %s: reading it once more", self._backend.describe(self._key), error)
            except folders.UNREADABLE as error:
                self._findings.unreadable(self._key, self._reason(error))
                return
            except (TransientError, ContainerNotFound, CredentialsNotFound):
                raise  # the store is gone: so will be the others
            except CottonCandyError as error:
                self._damaged(self._key, error)
                return
            else:
                return

    def _read(self) -> None:
        with ObjectSource(self._backend, self._key, self._settings, FIRST) as source:
            check_object(source, self._findings)
            may_be_table = folders.may_be_table(source.head)
        if may_be_table:
            self._look_at_parts()

    def _look_at_parts(self) -> None:
        """Look for the parts that a table names; again where the table is another one by then."""
        text = self._table()
        while damaged := self._damaged_parts(text):
            before, text = text, self._table()
            if text == before:
                break
        for name, reason in damaged:
            self._findings.damaged(name, reason)

    def _table(self) -> bytes:
        return load_document(self._backend, self._key, self._settings, LARGEST_TABLE)[0]

    def _damaged_parts(self, text: bytes) -> list[tuple[str, str]]:
        parts = list(folders.parts_of(self._key, text))
        reasons = gather(lambda part: folders.part_damage(self._backend, part), parts, self._settings.threads)
        return [(part.places[0], reason) for part, reason in zip(parts, reasons, strict=True) if reason]

    def _damaged(self, name: str, error: CottonCandyError) -> None:
        self._findings.damaged(name, self._reason(error))

    def _reason(self, error: CottonCandyError) -> str:
        """What an error tells, without the name of this object."""
        where = self._backend.describe(self._key)
        return str(error).removeprefix(f"{where}: ").removeprefix(f"{where} ")

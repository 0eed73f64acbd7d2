"""Arrays that are folders of parts: a table, written last, makes them one array."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from cottoncandy import keys
from cottoncandy.allornothing import Parts, logging_failures
from cottoncandy.backends.base import Receipt
from cottoncandy.chunkedarrays.names import LARGEST_TABLE, TABLE, version_at
from cottoncandy.errors import ChecksumMismatch, CorruptObject, CottonCandyError, InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.arrays.raw import RawArrays
from cottoncandy.interrupts import shielded

# Bytes: no store that we know refuses a shorter name for its length.
_SHORT = 255


def _told(reason: str, name: str, place: str) -> str:
    needed = len(place.encode())
    if needed <= _SHORT:
        return reason
    return (
        f"until all is there, a name is needed that is {needed - len(name.encode())} bytes longer, {needed} in all: "
        f"{reason}. Take a shorter name; where it is to replace another, removing that one first helps, too"
    )


class FolderArrays(RawArrays):
    """What arrays of several objects share: all of a new array is seen, or nothing of it."""

    def _all_or_none(self, parts: Iterable[str]) -> Parts:
        """Remove the parts when something fails before a table names them."""
        return Parts(lambda: self._discard(parts))

    @contextmanager
    def _in_stead_of(self, name: str, place: str) -> Iterator[None]:
        """Name what the caller named, where the store fails at what lies elsewhere until all is there."""
        describe = self.backend_interface.describe
        try:
            yield
        except InvalidObjectName as error:
            if place == name:
                raise
            reason = str(error).removeprefix(f"{describe(place)}: ")
            raise InvalidObjectName(f"{describe(name)}: {_told(reason, name, place)}") from error
        except CottonCandyError as error:
            if place == name or describe(place) not in str(error):
                raise
            raise type(error)(str(error).replace(describe(place), describe(name))) from error

    def _publish(
        self, directory: str, table: str, parts: Parts, acl: str | None = None, *, if_absent: bool = False
    ) -> Receipt:
        """Write the table: from here on, readers get the new array."""
        with parts.naming():
            return self._write_table(keys.join(directory, TABLE), table.encode(), acl, if_absent=if_absent)

    def _write_table(self, name: str, body: bytes, acl: str | None, *, if_absent: bool = False) -> Receipt:
        from cottoncandy.documents import store_document

        options = replace(self._write_options(acl), if_absent=if_absent)
        return store_document(self.backend_interface, name, body, options, self._settings)

    def _table_in(self, directory: str) -> bytes | None:
        """The text of the table in a directory; None where nothing is called so, or what is too large for a table."""
        from cottoncandy.documents import load_document

        key = keys.join(directory, TABLE)
        try:
            return load_document(self.backend_interface, key, self._settings, LARGEST_TABLE)[0]
        except ChecksumMismatch:
            raise
        except (ObjectNotFound, CorruptObject):
            return None

    def _of_upload(self, version: str, directory: str, paths: Collection[str]) -> Iterator[str]:
        """Those of these objects that are of an upload, when they are asked for: another's may lie there by then.

        Of thousands few may have been sent: a listing tells which are there at all.
        """
        paths = [info.key for info in self._listed(keys.as_directory(directory)) if info.key in paths]
        versions = self._gather(self._version_at, paths, None, "look at")
        yield from (path for path, found in zip(paths, versions, strict=True) if found == version)

    def _version_at(self, path: str) -> str | None:
        return version_at(self.backend_interface, path)

    def _discard(self, parts: Iterable[str]) -> bool:
        """Remove parts of an array that failed; the error that tells why is the first one. Whether they are gone."""
        with logging_failures(), shielded():
            self.backend_interface.delete(parts)
            return True
        return False  # type: ignore[unreachable] # mypy does not see that failures end there

"""What a verification found."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from operator import attrgetter

#: How many damaged objects a repr names.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of an object.

    Attributes
    ----------
    name : str
        The object's name in its container.
    reason : str
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class Damage(Finding):
    """An object that is not as it was stored: its ``name`` in the container, and the ``reason``."""

    __slots__ = ()


class Unreadable(Finding):
    """An object that cannot be looked at from here; where there are its key and its codec, it can.

    Its ``name`` in the container, and the ``reason``.
    """

    __slots__ = ()


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    Attributes
    ----------
    where : str
        The branch and its container.
    checked : int
        Objects whose bytes are those that were stored, by their checksums.
    without_checksum : tuple of str
        Arrays that have none, in the order of their names: 0.4.0's, and those that were stored with
        ``checksum = False``. They were read and unpacked without an error.
    unreadable : tuple of Unreadable
        Objects that cannot be looked at from here, in the order of their names: none of the keys opens them, or what
        they are packed with, or made of, is not known here. Verify them where they can be read.
    unchecked : int
        Other objects: files, json, pickles...
    damaged : tuple of Damage
        In the order of their names. What is missing of an array in several objects is damaged, too.
    nbytes : int
        Of all objects that were read to their end.

    Examples
    --------
    >>> cci.dict2cloud('sub01', {'bold': arr, 'mask': arr > 0}, verbose=False)
    >>> report = cci.verify('sub01')
    >>> report
    <verified 'sub01/' in local container 'my_store': 2 checked, 0 damaged, 0 without checksum, 0 unchecked>
    >>> report.ok
    True
    """

    where: str
    checked: int
    without_checksum: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    unchecked: int
    damaged: tuple[Damage, ...]
    nbytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing that could be looked at is damaged."""
        return not self.damaged

    def __str__(self) -> str:
        """Counts, and a line for each damaged object."""
        return "\n".join([self._counts(), *map(str, self.damaged)])

    def __repr__(self) -> str:
        lines = [f"<verified {self.where}: {self._counts()}", *map(str, self.damaged[:_SHOWN])]
        if len(self.damaged) > _SHOWN:
            lines.append(f"and {len(self.damaged) - _SHOWN} more")
        return "\n  ".join(lines) + ">"

    def _counts(self) -> str:
        without = len(self.without_checksum)
        unreadable = f", {len(self.unreadable)} not readable here" if self.unreadable else ""
        return (
            f"{self.checked} checked, {len(self.damaged)} damaged, {without} without checksum, "
            f"{self.unchecked} unchecked{unreadable}"
        )


class Findings:
    """A report that several threads write."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._checked = self._unchecked = self._nbytes = 0
        self._without: list[str] = []
        self._unreadable: list[Unreadable] = []
        self._damaged: dict[str, Damage] = {}

    def checked(self, nbytes: int) -> None:
        """An object is as it was stored."""
        with self._lock:
            self._checked += 1
            self._nbytes += nbytes

    def without_checksum(self, name: str, nbytes: int) -> None:
        """An array could be read, and nothing tells whether it is as it was stored."""
        with self._lock:
            self._without.append(name)
            self._nbytes += nbytes

    def unreadable(self, name: str, reason: str) -> None:
        """An object can be read elsewhere, but not here."""
        with self._lock:
            self._unreadable.append(Unreadable(name, reason))

    def unchecked(self) -> None:
        """An object has nothing that it could be held to."""
        with self._lock:
            self._unchecked += 1

    def damaged(self, name: str, reason: str) -> None:
        """An object is damaged, or missing. The first reason counts."""
        with self._lock:
            self._damaged.setdefault(name, Damage(name, reason))

    def report(self) -> VerifyReport:
        """All of it."""
        damaged = tuple(self._damaged[name] for name in sorted(self._damaged))
        without = tuple(sorted(self._without))
        unreadable = tuple(sorted(self._unreadable, key=attrgetter("name")))
        return VerifyReport(self._where, self._checked, without, unreadable, self._unchecked, damaged, self._nbytes)

"""Which names take part, and what was done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cottoncandy import keys
from cottoncandy.backends.base import MIB


@dataclass(frozen=True)
class SyncReport:
    """What `sync` did, or with ``dry_run`` would do. Names are relative to the two trees.

    Attributes
    ----------
    transferred : tuple of str
        What was new or differed.
    deleted : tuple of str
        What only the destination had.
    skipped : tuple of str
        Links to directories, or that lead out of the directory or nowhere; pipes and devices.
    unchanged : int
        How many were alike.
    nbytes : int
        Of what was transferred.
    dry_run : bool
    """

    transferred: tuple[str, ...]
    deleted: tuple[str, ...]
    skipped: tuple[str, ...]
    unchanged: int
    nbytes: int
    dry_run: bool = False

    def __str__(self) -> str:
        done, moved = "would be " if self.dry_run else "", f"({self.nbytes / MIB:.1f} MB)"
        counts = f"{len(self.transferred)} {done}transferred {moved}, {len(self.deleted)} {done}deleted"
        return f"{counts}, {self.unchanged} unchanged"


def selection(include: str | Iterable[str], exclude: str | Iterable[str]) -> Callable[[str], bool]:
    """A test of which names take part: those that fit one of ``include``, where there are any, and none of ``exclude``.

    As in `fnmatch`, ``*`` matches ``/`` too; a pattern without ``/`` may fit the last component alone.

    Examples
    --------
    >>> takes = selection(include=["*.npy", "sub01/*"], exclude=["*.tmp"])
    >>> takes("sub01/notes.txt"), takes("sub02/a.npy"), takes("sub02/a.txt"), takes("sub01/x.tmp")
    (True, True, False, False)
    """
    wanted, unwanted = _matchers(include), _matchers(exclude)
    return lambda name: (not wanted or _fits(name, wanted)) and not _fits(name, unwanted)


_Matcher = tuple[Callable[[str], bool], bool]


def _matchers(patterns: str | Iterable[str]) -> list[_Matcher]:
    listed = [patterns] if isinstance(patterns, str) else patterns
    return [(keys.matcher(pattern), keys.SEPARATOR not in pattern) for pattern in listed]


def _fits(name: str, matchers: Sequence[_Matcher]) -> bool:
    return any(matches(name) or (last and matches(keys.basename(name))) for matches, last in matchers)

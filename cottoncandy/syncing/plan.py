"""Which names take part, and what was done with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cottoncandy import keys
from cottoncandy.backends.base import MIB
from cottoncandy.syncing.failures import Failures


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
        Links to directories, or that lead out of the directory or nowhere; pipes and devices; objects with a body
        whose names end with ``/``, which no file can have (``/`` alone is that of the tree itself).
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


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes
    ----------
    sizes : Mapping of str to int
        What takes part of the source, and its bytes.
    moved : list of str
        What is new or differs.
    after : Collection of str
        What may have a place only when ``extra`` is gone.
    extra : list of str
        What is to be deleted.
    alike : int
        How many need nothing.
    failures : Failures
    """

    sizes: Mapping[str, int]
    moved: list[str]
    after: Collection[str]
    extra: list[str]
    alike: int
    failures: Failures

    def in_the_way(self, names: Iterable[str]) -> list[str]:
        """What of ``extra`` is where these are to be."""
        below, above = (
            tuple(f"{name}{keys.SEPARATOR}" for name in names),
            {p for name in names for p in keys.parents(name)},
        )
        return [name for name in self.extra if name.startswith(below) or name in above]

    def report(self, skipped: Iterable[str], *, dry_run: bool) -> SyncReport:
        """What was done."""
        moved = [name for name in self.moved if name not in self.failures.gone]
        nbytes = sum(self.sizes[name] for name in moved)
        return SyncReport(tuple(moved), tuple(self.extra), tuple(skipped), self.alike, nbytes, dry_run)


def without_place(names: Collection[str], extra: Collection[str], there: Iterable[str]) -> set[str]:
    """The names that have no place yet: a file, or a directory of such, that is to be deleted is where they are to be.

    Parameters
    ----------
    names : Collection of str
        What the source has.
    extra : Collection of str
        What is to be deleted from the destination.
    there : iterable of str
        All that the destination has.

    Examples
    --------
    >>> sorted(without_place({"a", "b", "c/x"}, {"a/x", "a/y/z", "b/x", "c"}, ["a/x", "a/y/z", "b/x", "b/kept", "c"]))
    ['a', 'c/x']
    """
    extra = set(extra)
    if not extra:
        return set()
    emptied = {parent for name in extra for parent in keys.parents(name)}
    others = (*names, *(name for name in there if name not in extra))
    kept = {parent for name in others for parent in keys.parents(name)}
    below = {name for name in names if not extra.isdisjoint(keys.parents(name))}
    return below | (emptied.intersection(names) - kept)


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

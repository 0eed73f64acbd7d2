"""What a synchronization asks of its two ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Any

from cottoncandy.parallel import number_of_threads
from cottoncandy.pipelines import Begun
from cottoncandy.stream import TransferSettings
from cottoncandy.syncing.trees import Branch, Disk


class Pair(ABC):
    """A source and a destination.

    Attributes
    ----------
    origin, goal : Disk or Branch
        The source, and the destination.
    settings : TransferSettings
    checksum : bool
        Whether contents are compared, and not times.
    gone : list of str
        What vanished from it while it was listed.
    unlisted : dict of str to OSError
        What of it could not be listed; a directory ends with ``/``.
    threads : int or None
        For each file. None for as many of those of the settings as have room in little memory.
    """

    def __init__(
        self, origin: Disk | Branch, goal: Disk | Branch, settings: TransferSettings, *, checksum: bool
    ) -> None:
        self.origin, self.goal = origin, goal
        self.settings, self.checksum = settings, checksum
        self.gone: list[str] = []
        self.unlisted: dict[str, OSError] = {}
        self.threads: int | None = 1

    @property
    @abstractmethod
    def skipped(self) -> list[str]:
        """What one of the two has and takes no part, when both are listed."""

    @abstractmethod
    def source(self) -> dict[str, int]:
        """The names in the source, and their sizes."""

    @abstractmethod
    def target(self) -> Iterable[str]:
        """The names in the destination."""

    def share(self, threads: int | None, files: int) -> None:
        """Give each of so many files its share of the threads: of the caller's own number, or of those configured."""
        each = max(1, number_of_threads(threads, self.settings.threads) // max(1, files))
        self.settings = replace(self.settings, threads=each)
        self.threads = None if threads is None else each

    def require_apart(self, takes: Callable[[str], bool], names: Iterable[str]) -> None:  # noqa: B027 - mostly so
        """Refuse a destination that is inside of the source, or the other way round: what is done to one changes both.

        Parameters
        ----------
        takes : callable
            Which names take part.
        names : iterable of str
            Those that do, of both.

        Raises
        ------
        InvalidObjectName
        """

    @abstractmethod
    def check(self, names: Iterable[str]) -> dict[str, Exception]:
        """Which of the names cannot be in the destination, and why.

        Raises
        ------
        InvalidObjectName
            If one would leave a directory, or two would be one file: then none is to be trusted.
        """

    def same(self, name: str) -> bool:
        """Whether what both have is alike."""
        try:
            return self._same(name)
        except FileNotFoundError:  # one of the two has vanished: the transfer tells which
            return False

    @abstractmethod
    def _same(self, name: str) -> bool: ...

    def hangs_on(self, name: str, others: Container[str]) -> bool:  # noqa: ARG002 - only files on disk do
        """Whether what the destination has becomes other when that is done to others which is to be done."""
        return False

    @abstractmethod
    def transfer(self, name: str) -> None:
        """Put what the source has into the destination."""

    def begin(self, name: str) -> Begun[Any] | None:  # noqa: ARG002 - it is of use for small ones
        """Begin with a transfer that is done with one request; None where `transfer` is to do it."""
        return None

    def tell_of_uploads(self, deleted: Container[str]) -> None:  # noqa: B027 - nobody reads trees on disk
        """Log what uploads of trees keep beside their places, where it decides what readers of the destination get.

        Parameters
        ----------
        deleted : container of str
            What is to be deleted from the destination.
        """

    def is_emptied(self, name: str, extra: Container[str]) -> bool:
        """Whether nothing is in the place of a name when what is to be deleted is gone."""
        return self.goal.has_only(name, extra)

    def delete(self, names: list[str]) -> None:
        """Delete from the destination."""
        self.goal.delete(names, self.settings.progress)

    def clean_up(self) -> None:  # noqa: B027 - mostly so
        """Remove what killed runs have left in the destination."""

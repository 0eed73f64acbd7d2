"""Where a listing goes on, page by page: a server that repeats itself would be asked for ever."""

from __future__ import annotations

from collections.abc import Hashable

from cottoncandy.errors import ServiceError


class Positions:
    """The positions of the pages so far.

    Parameters
    ----------
    where : str
        What is listed, for errors.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._seen: set[Hashable] = set()

    def go_on(self, position: Hashable) -> None:
        """Note where the next page begins.

        Raises
        ------
        ServiceError
            If there is none, or it has been there.
        """
        if not position or position in self._seen:
            raise self.endless()
        self._seen.add(position)

    def endless(self) -> ServiceError:
        """The error for a listing that comes to no end."""
        return ServiceError(f"{self._where}: S3 gave a listing without an end")

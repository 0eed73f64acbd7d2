"""Uploads that nobody has ended."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from operator import attrgetter

from cottoncandy import keys
from cottoncandy.backends.base import UnfinishedUpload
from cottoncandy.interfaces.basic.core import InterfaceCore

_BEFORE_ALL = datetime.min.replace(tzinfo=timezone.utc)


class Unfinished(InterfaceCore):
    """What processes leave that are killed while they upload."""

    def clean_uploads(
        self, prefix: str = "", older_than: timedelta | float = timedelta(days=1), dry_run: bool = False
    ) -> list[UnfinishedUpload]:
        """Throw away the parts of uploads that were never ended.

        An upload that fails, or that Ctrl-C ends, takes its parts back itself. A process that is killed cannot: nobody
        sees the parts that it has sent, but S3 counts their bytes. Objects are not touched.

        Parameters
        ----------
        prefix : str
            A name: uploads to it, and to names below it; all of the bucket by default.
        older_than : datetime.timedelta or float
            How long ago they began, at least; a number is seconds, 0 or more. S3 cannot tell an upload that is under
            way from one that is dead: with 0, no other process may be uploading below that name.
        dry_run : bool
            Throw nothing away: only tell what would be.

        Returns
        -------
        list of UnfinishedUpload
            What was thrown away, by name: ``key``, and ``started``, a `datetime.datetime` or None. Empty for a store
            that drops such parts by itself, as Google Drive does.

        Raises
        ------
        ValueError
            If ``older_than`` is negative, or no number at all (nan).

        Examples
        --------
        >>> cci.clean_uploads('sub01', older_than=3600)
        []
        """
        if not isinstance(older_than, (timedelta, int, float)):
            raise TypeError(f"older_than is a timedelta or seconds, not {older_than!r}")
        age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        if not age >= 0:
            raise ValueError(f"older_than is 0 seconds or more, not {older_than!r}")
        # the store's clock may be ahead of ours: no age at all means all of them
        latest = _ago(age) if age else None
        found = [upload for upload in self._unfinished(prefix) if _is_before(upload, latest)]
        if not dry_run:
            self._for_each(UnfinishedUpload.abort, found, None, "clean", prefix)
        return found

    def _unfinished(self, name: str) -> list[UnfinishedUpload]:
        """Those to an object of that name, or below it; ordered by name, and the oldest first."""
        below = keys.as_directory(name)
        found = self.backend_interface.unfinished_uploads(below.rstrip(keys.SEPARATOR))
        ours = (upload for upload in found if f"{upload.key}/".startswith(below))
        return sorted(sorted(ours, key=lambda upload: upload.started or _BEFORE_ALL), key=attrgetter("key"))


def _ago(seconds: float) -> datetime:
    try:
        return datetime.now(timezone.utc) - timedelta(seconds=seconds)
    except OverflowError:  # before there were any dates
        return _BEFORE_ALL


def _is_before(upload: UnfinishedUpload, latest: datetime | None) -> bool:
    return latest is None or (upload.started is not None and upload.started <= latest)

"""What a file tells of the object that it is."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from cottoncandy.backends.base import ObjectInfo
from cottoncandy.backends.local import names, tree


def facts_of(file: os.stat_result) -> tuple[int, datetime | None, str]:
    """Size, date and version."""
    return file.st_size, _date(file.st_mtime), names.version(file)


def _date(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):  # a file may be of the year 3170843, or -5000
        return None


def info_of(entry: tree.Entry) -> ObjectInfo | None:
    """What a listing tells; None of what was removed since its directory was read."""
    try:
        return ObjectInfo(entry.key, *facts_of(os.stat(entry.path)))
    except FileNotFoundError:
        return None

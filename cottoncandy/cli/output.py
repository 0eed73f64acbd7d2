"""What a command prints: lines for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import Any

from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.cli.streams import is_terminal, takes, tell

_UNITS = "BKMGTP"


def print_json(value: Any) -> None:
    """Print one JSON document; where the output's encoding does not know all of it, with JSON's own escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    if not takes(sys.stdout, text):
        text = json.dumps(value, indent=2, default=_plain)
    for part in text.split("\n") if is_terminal(sys.stdout) else [text]:
        tell(part)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")


def as_record(entry: ObjectInfo | ObjectPrefix) -> dict[str, Any]:
    """An entry of a listing, for JSON."""
    if isinstance(entry, ObjectPrefix):
        return {"name": entry.key, "type": "directory"}
    facts = {"size": entry.size, "last_modified": entry.last_modified, "e_tag": entry.e_tag}
    return {"name": entry.key, "type": "object", **facts}


def size_text(size: int, *, human: bool) -> str:
    """Bytes as a number, or as people read it.

    Examples
    --------
    >>> [size_text(size, human=True) for size in (999, 1536, 5 * 2**30)]
    ['999', '1.5K', '5.0G']
    """
    if not human or size < 1024:
        return str(size)
    # 10 bits a unit; what would be shown as 1024.0 is one of the next
    power = min(len(_UNITS) - 1, (int(size * 1024 / 1023.95).bit_length() - 1) // 10)
    return f"{size / 1024**power:.1f}{_UNITS[power]}"


def date_text(date: datetime | None) -> str:
    """A date in local time, as long as all others."""
    return date.astimezone().strftime("%Y-%m-%d %H:%M:%S") if date else "-" * 19


def long_line(entry: ObjectInfo | ObjectPrefix, *, human: bool) -> str:
    """A line of ``ls -l``: size, date, name."""
    if isinstance(entry, ObjectPrefix):
        return f"{'-':>12}  {date_text(None)}  {entry.key}"
    return f"{size_text(entry.size, human=human):>12}  {date_text(entry.last_modified)}  {entry.key}"

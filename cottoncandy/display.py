"""What is stored as a table in a notebook. Pure functions: facts in, text and HTML out.

Names and metadata are whatever somebody wrote into a bucket: all of it is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import datetime

__all__ = ["ROWS", "counted", "date", "facts", "size", "table"]

#: Rows of a table; more are counted.
ROWS = 25
# Characters of a value of metadata.
_LONG = 200
# Characters that turn the direction of the text around them, so that a name reads as another: their escapes are shown.
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F])

# Colours are those of the page, so that a dark theme stays dark.
_STYLE = (
    "border-collapse:collapse;font-size:0.9em;color:inherit;background:transparent",
    "text-align:left;padding:2px 12px 2px 0;color:inherit;background:transparent;border:none;vertical-align:top",
    "border-bottom:1px solid rgba(128,128,128,0.5)",
)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """HTML of a table; columns that are empty in all rows are left out."""
    rows = [list(row) for row in rows]
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [_row("th", [head[i] for i in kept], _STYLE[2])] if kept and any(head) else []
    lines += [_row("td", [row[i] for i in kept]) for row in rows]
    body = f'<table style="{_STYLE[0]}">{"".join(lines)}</table>' if lines else ""
    below = f'<div style="opacity:0.7">{_plain(note)}</div>' if note else ""
    return f'<div><div style="margin-bottom:4px"><b>{_plain(title)}</b></div>{body}{below}</div>'


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """HTML of what is known of one thing."""
    return table(title, ("", ""), pairs)


def _row(cell: str, values: Sequence[str], style: str = "") -> str:
    cells = "".join(f'<{cell} style="{_STYLE[1]}">{_plain(value)}</{cell}>' for value in values)
    return f'<tr style="background:transparent;{style}">{cells}</tr>'


def _plain(text: str) -> str:
    shown = text if len(text) <= _LONG else f"{text[:_LONG]}..."
    shown = "".join(_escape(c) if ord(c) in _TURNING or not c.isprintable() else c for c in shown)
    return html.escape(shown)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def size(nbytes: int | None) -> str:
    """Bytes in a unit that reads well.

    Examples
    --------
    >>> size(999), size(2_621_440), size(None)
    ('999 B', '2.5 MB', '')
    """
    if nbytes is None:
        return ""
    value, units = float(nbytes), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1024, next(units)
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"


def date(moment: datetime | None) -> str:
    """A date as it is read where we are."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def counted(count: int, what: str, *, complete: bool = True) -> str:
    """So many things, or more than that.

    Examples
    --------
    >>> counted(1, 'name'), counted(1000, 'name', complete=False)
    ('1 name', '1,000+ names')
    """
    return f"{count:,}{'' if complete else '+'} {what}{'' if count == 1 else 's'}"

"""Results as tables of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.results import Column, Results, Row
from benchmarks.workloads import LISTING, MANY, MEMORY, ONE, PACKED

#: Below so many bytes a time says more than a rate.
_SMALL = 1 << 17

_NOTES = {
    ONE: "MB/s of the array, or milliseconds. In brackets: how many times as fast as raw sockets, and as the fastest "
    "other library; medians of the quotients within each round. The limit is the best of 1, 2 and 4 sockets.",
    PACKED: "MB/s of the array before it is compressed; in brackets: how many times as fast as the fastest other "
    "library.",
    MANY: "Seconds; in brackets: how many times as fast as raw sockets (where answers do not wait), and as the "
    "fastest other library.",
    LISTING: "Seconds; in brackets: how many times as fast as the fastest other library.",
    MEMORY: "In sizes of the array, above what the process had before; a download holds its result, which is 1.00.",
}


def report(results: Results) -> str:
    """All tables, what was left out and what failed."""
    sections: list[str] = []
    for name in results.tables():
        columns = results.columns(name)
        cell = memory_cell if name == MEMORY else speed_cell
        sections.append(f"### {name}\n\n{_NOTES[name]}\n\n{table(results, columns, cell)}")
        if name != MEMORY and (counted := table(results, columns, requests_cell)):
            sections.append(f"Requests:\n\n{counted}")
        if name == PACKED and (stored := table(results, columns[::2], stored_cell)):
            sections.append(f"How many times smaller it is stored:\n\n{stored}")
    return "\n\n".join([*sections, "\n".join(about(results))]) + "\n"


def about(results: Results) -> Iterator[str]:
    """What the numbers are of."""
    yield f"{results.about.get('machine', 'an unknown machine')}; {results.about.get('store', '')}"
    for name, versions in results.about.get("clients", {}).items():
        yield f"- {name}: " + ", ".join(f"{package} {version}" for package, version in versions.items())
    for name, why in results.about.get("left out", {}).items():
        yield f"- left out: {name} ({why})"
    told: set[tuple[str, str]] = set()
    for (column, row), error in results.failures.items():
        if (row.text, error) not in told:
            yield f"- failed: {row.text}, {column.table}, {column.name}: {error}"
        told.add((row.text, error))


# ---------------------------------------------------------------------- tables
Cell = Callable[[Results, Column, Row], str]


def table(results: Results, columns: Sequence[Column], cell: Cell) -> str:
    """A table of Markdown with a line for each client; empty where no cell has anything."""
    lines = [(name, [cell(results, column, row) for column in columns]) for name, row in shown_rows(results, columns)]
    filled = [f"| {name} | {' | '.join(texts)} |" for name, texts in lines if any(texts)]
    if not filled:
        return ""
    head = f"| | {' | '.join(column.name for column in columns)} |"
    return "\n".join([head, "| --- |" + " ---: |" * len(columns), *filled])


def shown_rows(results: Results, columns: Sequence[Column]) -> Iterator[tuple[str, Row]]:
    """The rows with their names; raw sockets are one row, which stands for the fastest number of them."""
    rows = results.rows(columns)
    limits = [row for row in rows if row.is_limit]
    if limits:
        yield "*raw sockets*", limits[0]
    for row in rows:
        if not row.is_limit:
            yield row.text, row


def speed_cell(results: Results, column: Column, row: Row) -> str:
    """What it took, and how that is to others."""
    row = (results.limit(column) or row) if row.is_limit else row
    seconds = results.median(column, row)
    if seconds is None:
        return "failed" if (column, row) in results.failures else ""
    limit = None if row.is_limit else results.limit(column)
    ratios = [results.ratio(column, row, other) for other in (limit, results.best_other(column, row))]
    known = ", ".join(f"{ratio:.2f}" for ratio in ratios if ratio is not None)
    return speed(column, seconds) + (f" ({known})" if known else "")


def speed(column: Column, seconds: float) -> str:
    """A time or a rate, as it reads best."""
    if column.unit != "bytes":
        return f"{seconds:.3f}"
    if column.amount < _SMALL:
        return f"{seconds * 1e3:.2f} ms"
    return f"{column.amount / seconds / 1e6:,.0f}"


def requests_cell(results: Results, column: Column, row: Row) -> str:
    """How many requests reached our server."""
    return "" if row.is_limit else number(results.median(column, row, "requests"))


def stored_cell(results: Results, column: Column, row: Row) -> str:
    """How many times smaller what was sent is than the array."""
    sent = results.median(column, row, "bytes_in")
    return f"{column.amount / sent:.2f}" if sent else ""


def memory_cell(results: Results, column: Column, row: Row) -> str:
    """The peak in sizes of the array."""
    peak = results.median(column, row, "peak")
    if peak is None:
        return "failed" if (column, row) in results.failures else ""
    return f"{peak / column.amount:.2f}"


def number(value: Any) -> str:
    """A whole number, or nothing."""
    return "" if value is None else f"{value:,.0f}"

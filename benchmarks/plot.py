"""One picture of the results, for people who do not read tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.clients import CLIENTS, LIMIT, OURS
from benchmarks.results import Column, Results
from benchmarks.workloads import LISTING, MANY, ONE, PACKED

_OUR_COLOUR, _THEIR_COLOUR, _TEXT_COLOUR = "#d6336c", "#b8c0cc", "#333333"
_CAPTION = "Longer is faster. Dotted: raw sockets, which is what the machine can do."
_MOST_PANELS = 8
_PER_ROW = 4


def draw(results: Results, path: Path) -> None:
    """Draw bars of what each library moves in a second, and a line for raw sockets."""
    import matplotlib as mpl

    mpl.use("svg")
    # text as text, and the same file for the same results
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cottoncandy", "font.size": 8})
    from matplotlib import pyplot as plt

    columns = chosen(results)
    rows = -(-len(columns) // _PER_ROW)
    clients = shown_clients(results, columns)
    figure, axes = plt.subplots(
        rows, min(_PER_ROW, len(columns)), figsize=(10, 0.6 + rows * (0.7 + 0.19 * len(clients))), squeeze=False
    )
    for axis, column in zip(axes.flat, columns, strict=False):
        panel(axis, results, column, clients)
    for axis in axes.flat[len(columns) :]:
        axis.set_visible(False)
    for axis in axes[:, 1:].flat:
        axis.set_yticklabels([])
    figure.text(0.005, 0.01, _CAPTION, fontsize=7, color=_TEXT_COLOUR)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, metadata={"Date": None, "Title": "How fast arrays go to a store and back"})
    plt.close(figure)
    # lines that end in blanks are no good neighbours in a repository
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def chosen(results: Results) -> Sequence[Column]:
    """The panels: the largest array, a compressed one, many small ones, listings."""
    whole = results.columns(ONE)[-2:]
    packed = [column for column in results.columns(PACKED) if "smooth" in column.name]
    many = results.columns(MANY)[:2]
    listed = [column for column in results.columns(LISTING) if not column.name.startswith("list")]
    return [*whole, *packed, *many, *listed][:_MOST_PANELS]


def shown_clients(results: Results, columns: Sequence[Column]) -> list[str]:
    """The libraries that have a bar: ours first."""
    found = {row.client for row in results.rows(columns)}
    return [name for name, info in CLIENTS.items() if name in found and info.group != LIMIT]


def panel(axis: Any, results: Results, column: Column, clients: Sequence[str]) -> None:
    """One group of bars."""
    rates = [rate(results, column, client) for client in clients]
    colours = [_OUR_COLOUR if client == OURS else _THEIR_COLOUR for client in clients]
    bars = axis.barh(range(len(clients)), rates, color=colours, height=0.75)
    axis.bar_label(bars, [f"{value:,.0f}" if value else "" for value in rates], padding=2, fontsize=7)
    axis.set_yticks(range(len(clients)), clients)
    axis.invert_yaxis()
    axis.set_title(title(column), fontsize=8, color=_TEXT_COLOUR)
    limit = results.limit(column)
    fastest = rate_of(column, results.median(column, limit)) if limit else 0
    if fastest:
        axis.axvline(fastest, color=_TEXT_COLOUR, linestyle=":", linewidth=1, zorder=0)
    axis.set_xlim(0, max([*rates, fastest, 1]) * 1.22)
    axis.set_xticks([])
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


def rate(results: Results, column: Column, client: str) -> float:
    """What a client moves in a second, with the kind of compression that is its fastest; 0 where it has no number."""
    rows = [row for row in results.rows([column]) if row.client == client]
    fastest = results.fastest(column, rows)
    return rate_of(column, results.median(column, fastest)) if fastest else 0


def rate_of(column: Column, seconds: float | None) -> float:
    """MB, arrays or keys in a second."""
    return column.amount / seconds / (1e6 if column.unit == "bytes" else 1) if seconds else 0


def title(column: Column) -> str:
    """What a panel shows."""
    way, _, what = column.name.partition(" ")
    words = {"up": "upload", "down": "download"}.get(way, way)
    what = f"{what.removeprefix('smooth ')}, compressed" if column.table == PACKED else what
    return f"{words} {what}\n{'MB' if column.unit == 'bytes' else column.unit} per second"

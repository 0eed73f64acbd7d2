"""What was measured, and what follows from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.clients import CLIENTS, LIMIT


class Column(NamedTuple):
    """One thing that every client does.

    Attributes
    ----------
    table : str
        The table that it is in.
    name : str
    amount : float
        How much is done: of ``unit``.
    unit : str
        ``bytes``, ``arrays`` or ``keys``.
    """

    table: str
    name: str
    amount: float
    unit: str


class Row(NamedTuple):
    """A client, and the kind of compression where there is one."""

    client: str
    packing: str = ""

    @property
    def text(self) -> str:
        """As it is shown."""
        return f"{self.client}, {self.packing}" if self.packing else self.client

    @property
    def is_limit(self) -> bool:
        """Whether it is what cannot be passed."""
        return CLIENTS[self.client].group == LIMIT


class Record(NamedTuple):
    """One measurement: seconds, and bytes of memory; requests and bytes where our own server counted."""

    round: int
    seconds: float
    cpu: float
    peak: float
    requests: float | None = None
    bytes_in: float | None = None


@dataclass
class Results:
    """Records by column and row.

    Attributes
    ----------
    about : dict
        The machine, the versions, what was left out.
    failures : dict
        Why a cell has no number.
    """

    about: dict[str, Any] = field(default_factory=dict)
    cells: dict[tuple[Column, Row], list[Record]] = field(default_factory=dict)
    failures: dict[tuple[Column, Row], str] = field(default_factory=dict)

    def add(self, column: Column, row: Row, record: Record) -> None:
        """Keep a record."""
        self.cells.setdefault((column, row), []).append(record)

    # ------------------------------------------------------------------ what there is
    def columns(self, table: str) -> list[Column]:
        """The columns of a table, as they were measured."""
        return list(dict.fromkeys(column for column, _ in self._keys() if column.table == table))

    def tables(self) -> list[str]:
        """The names of the tables."""
        return list(dict.fromkeys(column.table for column, _ in self._keys()))

    def rows(self, columns: Iterable[Column]) -> list[Row]:
        """The rows of some columns, in the order of the clients."""
        wanted = set(columns)
        found = dict.fromkeys(row for column, row in self._keys() if column in wanted)
        order = list(CLIENTS)
        return sorted(found, key=lambda row: order.index(row.client))

    def _keys(self) -> Iterator[tuple[Column, Row]]:
        yield from self.cells
        yield from self.failures

    # ------------------------------------------------------------------ what follows
    def median(self, column: Column, row: Row, of: str = "seconds") -> float | None:
        """The median over rounds; None where nothing was measured."""
        numbers = [getattr(record, of) for record in self.cells.get((column, row), ())]
        known = [number for number in numbers if number is not None]
        return statistics.median(known) if known else None

    def ratio(self, column: Column, row: Row, other: Row | None) -> float | None:
        """How many times as fast as another one: the median of the quotients within each round."""
        if other is None:
            return None
        theirs = {record.round: record.seconds for record in self.cells[column, other]}
        own = self.cells.get((column, row), ())
        quotients = [theirs[record.round] / record.seconds for record in own if record.round in theirs]
        return statistics.median(quotients) if quotients else None

    def limit(self, column: Column) -> Row | None:
        """The number of connections with which raw sockets were fastest."""
        return self.fastest(column, [row for row in self.rows([column]) if row.is_limit])

    def best_other(self, column: Column, row: Row) -> Row | None:
        """The fastest of the other libraries."""
        rows = [other for other in self.rows([column]) if not other.is_limit and other.client != row.client]
        return None if row.is_limit else self.fastest(column, rows)

    def fastest(self, column: Column, rows: Iterable[Row]) -> Row | None:
        """The one with the smallest median."""
        timed = [(seconds, row) for row in rows if (seconds := self.median(column, row)) is not None]
        return min(timed)[1] if timed else None

    # ------------------------------------------------------------------ as a file
    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        cells = [
            {"column": column._asdict(), "row": row._asdict(), "records": [record._asdict() for record in records]}
            for (column, row), records in self.cells.items()
        ]
        failures = [
            {"column": column._asdict(), "row": row._asdict(), "error": error}
            for (column, row), error in self.failures.items()
        ]
        path.write_text(json.dumps({"about": self.about, "cells": cells, "failures": failures}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote."""
        saved = json.loads(path.read_text())
        results = cls(about=saved["about"])
        for cell in saved["cells"]:
            records = [Record(**record) for record in cell["records"]]
            results.cells[Column(**cell["column"]), Row(**cell["row"])] = records
        for failure in saved["failures"]:
            results.failures[Column(**failure["column"]), Row(**failure["row"])] = failure["error"]
        return results

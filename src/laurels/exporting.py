"""
What leaves Laurels as CSV or as JSON lines: who unlocked what, every entry of the ledger, every event.

Rows are written as they are read, on one snapshot of the database, so memory does not grow with their number. Exported
events can be imported again.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Literal, TextIO

import msgspec
from sqlalchemy import select

from laurels.core.periods import format_instant
from laurels.store import reads
from laurels.store.tables import journal, unlocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Select

    from laurels.engine import Engine
    from laurels.protocols import Progress

What = Literal["achievements", "entries", "events"]
Format = Literal["csv", "jsonl"]

ROWS_AT_A_TIME = 1_000
TIMES = frozenset({"time", "unlocked_at"})


def export(engine: Engine, what: What, form: Format, out: TextIO, progress: Progress) -> int:
    """Write every row of one kind, led by a line of names in CSV, and return how many there were."""
    step = progress(f"Exporting {what}", "rows")
    query = _QUERIES[what]
    write = _writer(form, list(query.selected_columns.keys()), out)
    count = 0
    with engine.read() as connection:
        for count, row in enumerate(_rows(connection, query), start=1):
            write(row)
            if count % ROWS_AT_A_TIME == 0:
                step(count, None)
    step(count, count)
    return count


def _rows(connection: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    """Yield rows by name, with times as text."""
    found = connection.execute(query, execution_options={"yield_per": ROWS_AT_A_TIME})
    for row in found.mappings():
        yield {name: format_instant(value) if name in TIMES else value for name, value in row.items()}


def _writer(form: Format, names: list[str], out: TextIO) -> Callable[[dict[str, Any]], object]:
    if form == "csv":
        lines = csv.DictWriter(out, names, lineterminator="\n")
        lines.writeheader()
        return lines.writerow
    encode = msgspec.json.Encoder().encode

    def write(row: dict[str, Any]) -> None:
        if "data" in row:  # It is JSON already; an event without any has none.
            data = row.pop("data")
            row |= {} if data is None else {"data": msgspec.Raw(data.encode())}
        out.write(encode(row).decode() + "\n")

    return write


_entries = reads.entries.c

#: Each kind's rows, in an order that an index gives: nothing has to be sorted in memory.
_QUERIES: dict[What, Select[Any]] = {
    "achievements": select(unlocks.c.user_id, unlocks.c.achievement, unlocks.c.times, unlocks.c.unlocked_at).order_by(
        unlocks.c.user_id, unlocks.c.achievement, unlocks.c.times
    ),
    "entries": select(
        _entries.user_id,
        _entries.time,
        _entries.unit,
        _entries.amount,
        _entries.balance,
        _entries.kind,
        _entries.rule,
        _entries.actor_id,
        _entries.request_id,
        _entries.source,
        _entries.reason,
        _entries.version,
        _entries.line,
    ).order_by(_entries.seq),
    "events": select(
        journal.c.request_id.label("id"),
        journal.c.type,
        journal.c.user_id.label("user"),
        journal.c.time,
        journal.c.data,
    )
    .where(journal.c.user_id == journal.c.actor_id, journal.c.type.not_like(":%"))
    .order_by(journal.c.seq),
}

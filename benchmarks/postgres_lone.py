"""How long one request takes on PostgreSQL when nothing else is going on, beside its statements sent by hand."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest import mock

import psycopg

import laurels
from benchmarks._community import DATABASE, QUICK, asked_scale, populate
from benchmarks._postgres import create_database, running_server
from benchmarks._report import Figure, report
from benchmarks._workload import events
from laurels.store.postgres import WRITER_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._community import Scale
    from laurels import Event
    from tests.services import PostgresServer

TURNS = 10  # In which the engine and the statements alternate.


@dataclass
class Statement:
    """What the store sent: a statement with its parameters, or rows by COPY."""

    query: Any
    parameters: Any = None
    copied: list[Any] = field(default_factory=list)
    is_copy: bool = False


def main() -> None:
    """Measure and report."""
    scale = asked_scale(__doc__)
    with running_server() as server:
        populate(server, scale.users)
        figures = lone_requests(server, scale)
    report("postgres_lone", figures, keep=scale is not QUICK)


def lone_requests(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return the median wait for one event, with the engine and bare."""
    stream = list(events(2 * scale.lone, users=scale.users, starts_at=None))
    for name in ("to_learn", "by_engine", "by_hand"):
        create_database(server, name, template=DATABASE)
    sent = statements(server.url("to_learn"), stream)
    engine_waits: list[float] = []
    bare_waits: list[float] = []
    options = f"{WRITER_OPTIONS} -c application_name=bare"
    with (
        laurels.open(server.url("by_engine")) as engine,
        psycopg.connect(server.url("by_hand"), options=options) as connection,
    ):
        for turn in range(TURNS):
            turns = slice(turn * len(stream) // TURNS, (turn + 1) * len(stream) // TURNS)
            engine_waits += [waited(engine.record, event) for event in stream[turns]]
            bare_waits += [waited(send, connection, each) for each in sent[turns]]
    engine_waits, bare_waits = engine_waits[scale.lone :], bare_waits[scale.lone :]  # The first half is to get warm.
    return [
        Figure(
            figure="wait for one event with nothing else going on, p50, against its statements bare",
            value=1000 * median(engine_waits),
            unit="ms",
            floor=1000 * median(bare_waits),
            ratio=median(engine_waits) / median(bare_waits),
            target="<= 2.5 x",
            method=f"{len(engine_waits):,} events from one thread, {scale.users:,} users uniform; the same statements "
            f"with the same rows by psycopg from one thread, in {TURNS} turns; p99 "
            f"{1000 * quantiles(engine_waits, n=100)[98]:.2f} and {1000 * quantiles(bare_waits, n=100)[98]:.2f} ms",
        )
    ]


def waited(do: Any, *arguments: object) -> float:
    """Return how many seconds a call took."""
    started = perf_counter()
    do(*arguments)
    return perf_counter() - started


def statements(url: str, stream: list[Event]) -> list[list[Statement]]:
    """Record events one by one and return what the store sent for each."""
    sent: list[list[Statement]] = []

    class Listening(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **how: Any) -> Listening:
            sent[-1].append(Statement(query, params))
            return super().execute(query, params, **how)

        @contextmanager
        def copy(self, statement: Any, *arguments: Any, **how: Any) -> Iterator[Any]:
            rows: list[Any] = []
            sent[-1].append(Statement(statement, copied=rows, is_copy=True))
            with super().copy(statement, *arguments, **how) as copy:
                yield mock.Mock(write=rows.append, write_row=rows.append)
                write_all(copy, rows)

    sent.append([])
    with mock.patch("psycopg.Cursor", Listening), laurels.open(url, lanes=1) as engine:
        sent.clear()
        for event in stream:
            sent.append([])
            engine.record(event)
    return sent


def send(connection: psycopg.Connection[Any], sent: list[Statement]) -> None:
    """Send statements in one transaction and read their answers."""
    with connection.transaction(), connection.cursor() as cursor:
        for statement in sent:
            if statement.is_copy:
                with cursor.copy(statement.query) as copy:
                    write_all(copy, statement.copied)
            else:
                cursor.execute(statement.query, statement.parameters, prepare=True)
                if cursor.description:
                    cursor.fetchall()


def write_all(copy: psycopg.Copy, rows: list[Any]) -> None:
    """Write rows, or what the store has already made text of."""
    for row in rows:
        (copy.write if isinstance(row, bytes | str) else copy.write_row)(row)


if __name__ == "__main__":
    main()

"""Events a second into SQLite with the full `community.toml`: in batches, one by one, and the same rows without any rules."""

from __future__ import annotations

import statistics
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING
from unittest import mock

from benchmarks._report import Figure, report
from benchmarks._workload import events
import laurels
from laurels.store.sqlite import SqliteStore, SqliteTransaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laurels import Event

BATCH = 500
WARM = 10_000
EVENTS = 20_000
SINGLES = 2_000
USERS = 1_000
ROUNDS = 3
CHUNK = 250  # What the importers hand over at a time.

Statement = tuple[str, list[tuple[object, ...]]]


def main() -> None:
    """Measure and report."""
    rounds = [one_round(number) for number in range(1, ROUNDS + 1)]
    batched, singles, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
    by_singles = statistics.median(b / s for b, s, _ in rounds)
    by_floor = statistics.median(b / f for b, _, f in rounds)
    waits = lone_caller_waits()
    method = (
        f"median of {ROUNDS} interleaved rounds, {USERS:,} users uniform with ten events a day, {WARM:,} events before, synchronous=FULL, "
        "committed rows counted"
    )
    report(
        "sqlite",
        [
            Figure(
                figure=f"events per second, batches of {BATCH}",
                value=batched,
                unit="events/s",
                floor=singles,
                ratio=by_singles,
                target=">= 5 x one commit each",
                method=f"{EVENTS:,} events against {SINGLES:,} one by one; {method}",
            ),
            Figure(
                figure="the same against the same rows without rules",
                value=batched,
                unit="events/s",
                floor=floor,
                ratio=by_floor,
                target=">= 0.6 x",
                method=f"the engine's own rows, written by executemany in the same batches; {method}",
            ),
            Figure(
                figure="a lone caller beside a batch importer, p99",
                value=1000 * statistics.quantiles(waits, n=100)[98],
                unit="ms",
                target="<= 100 ms",
                method=f"{len(waits)} single events, 5 ms apart, while another thread imports in chunks of {CHUNK}",
            ),
        ],
    )


def one_round(seed: int) -> tuple[float, float, float]:
    """Return events a second in batches, one by one, and as bare rows."""
    stream = list(events(WARM + EVENTS + SINGLES, users=USERS, seed=seed))
    warm, measured, one_by_one = stream[:WARM], stream[WARM : WARM + EVENTS], stream[WARM + EVENTS :]
    logged: list[list[Statement]] = []
    with fresh() as url, written(logged), laurels.open(url, catalog="community") as engine:
        record_all(engine, warm + measured)  # Only to learn the rows.
    with fresh() as url, laurels.open(url, catalog="community") as engine:
        record_all(engine, warm)
        started = perf_counter()
        record_all(engine, measured)
        batched = committed(engine, WARM, EVENTS) / (perf_counter() - started)
        started = perf_counter()
        for event in one_by_one:
            engine.record(event)
        singles = committed(engine, WARM + EVENTS, SINGLES) / (perf_counter() - started)
    return batched, singles, EVENTS / replay(logged)


def record_all(engine: laurels.Engine, stream: list[Event]) -> None:
    """Record in batches."""
    for start in range(0, len(stream), BATCH):
        engine.record(stream[start : start + BATCH])


def committed(engine: laurels.Engine, before: int, sent: int) -> int:
    """Return how many different requests came to the journal, which must be as many as were sent."""
    with engine.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM journal WHERE user_id = actor_id").scalar() or 0
    assert found - before == sent, f"{found - before} committed, {sent} sent"
    return sent


@contextmanager
def written(log: list[list[Statement]]) -> Iterator[None]:
    """Keep every batch of rows that a transaction writes."""
    save, many = SqliteTransaction.save, SqliteTransaction._many

    def logged_save(self: SqliteTransaction, *arguments: object) -> None:
        log.append([])
        save(self, *arguments)

    def logged_many(self: SqliteTransaction, statement: str, rows: list[tuple[object, ...]]) -> None:
        log[-1].append((statement, list(rows)))
        many(self, statement, rows)

    with mock.patch.object(SqliteTransaction, "save", logged_save), mock.patch.object(
        SqliteTransaction, "_many", logged_many
    ):
        yield


def replay(log: list[list[Statement]]) -> float:
    """Return the seconds that the same rows take with nothing but SQLite: no rules, no reading."""
    with fresh() as url:
        store = SqliteStore(url)
        for place, batch in enumerate(log):
            if place == WARM // BATCH:
                started = perf_counter()
            with store.write() as transaction:
                for statement, rows in batch:
                    if rows:
                        transaction._driver.executemany(statement, rows)
        took = perf_counter() - started
        store.close()
    return took


def lone_caller_waits() -> list[float]:
    """Return how long each of some hundred single events waited beside an importer."""
    stream = events(200_000, users=USERS, seed=9)
    singles = list(events(300, users=USERS, seed=10))
    waits, done = [], threading.Event()
    with fresh() as url, laurels.open(url, catalog="community") as engine:

        def bulk() -> None:
            while not done.is_set():
                engine.record([next(stream) for _ in range(CHUNK)])

        importer = threading.Thread(target=bulk)
        importer.start()
        for event in singles:
            started = perf_counter()
            engine.record(event)
            waits.append(perf_counter() - started)
            sleep(0.005)
        done.set()
        importer.join()
    return waits


@contextmanager
def fresh() -> Iterator[str]:
    """Give the address of a database that does not exist yet, on the disk of this folder."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".run-") as folder:
        yield f"sqlite:///{folder}/bench.db"


if __name__ == "__main__":
    main()

"""Events a second into SQLite with `community.toml`: in batches, one by one, and the same rows without rules."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import threading
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING
from unittest import mock

import msgspec

import laurels
from benchmarks._report import Figure, report
from benchmarks._workload import events
from laurels.lanes import collection_held_off
from laurels.store.sqlite import SqliteStore, SqliteTransaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import SpawnProcess
    from multiprocessing.synchronize import Event as Event_

    from laurels import Event

BATCHES = (500, 1_000)
WARM = 60_000
EVENTS = 20_000
SINGLES = 2_000
USERS = 500
ROUNDS = 3
CHUNK = 250  # What the importers hand over at a time.

Statement = tuple[str, list[tuple[object, ...]]]


def main() -> None:
    """Measure and report."""
    figures = [figure for batch in BATCHES for figure in batch_figures(batch)]
    by_thread, by_process = (lone_caller_waits(in_another_process=other) for other in (False, True))
    for where, waits in (("a thread", by_thread), ("another process", by_process)):
        figures.append(
            Figure(
                figure=f"a lone caller beside a batch importer in {where}, p99",
                value=1000 * statistics.quantiles(waits, n=100)[98],
                unit="ms",
                target="<= 100 ms",
                method=f"{len(waits)} single events, 5 ms apart, beside an import in chunks of {CHUNK}",
            )
        )
    report("sqlite", figures)


def batch_figures(batch: int) -> list[Figure]:
    """Return what batches of one size come to, beside one commit each and beside the same rows without rules."""
    rounds = [one_round(number, batch) for number in range(1, ROUNDS + 1)]
    batched, *floors = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = [statistics.median(row[0] / row[column] for row in rounds) for column in (1, 2, 3)]
    against = [
        ("one commit each", ">= 5 x", f"{EVENTS:,} events against {SINGLES:,} one by one"),
        (
            "the same rows written by hand, without rules",
            ">= 0.6 x",
            "keys asked for, documents decoded and encoded, data encoded, the engine's own rows written by executemany",
        ),
        ("bare rows, ready made", "", "the writes alone, nothing read, decoded or encoded"),
    ]
    return [
        Figure(
            figure=f"events per second in batches of {batch}, against {what}",
            value=batched,
            unit="events/s",
            floor=floor,
            ratio=ratio,
            target=target,
            method=f"{how}; median of {ROUNDS} interleaved rounds, {USERS:,} users uniform with ten events a day, "
            f"{WARM:,} events before, synchronous=FULL, committed rows counted",
        )
        for (what, target, how), floor, ratio in zip(against, floors, ratios, strict=True)
    ]


def one_round(seed: int, batch: int) -> tuple[float, float, float, float]:
    """Return events a second in batches, one by one, as rows written by hand, and as bare rows."""
    stream = list(events(WARM + EVENTS + SINGLES, users=USERS, seed=seed))
    warm, measured, one_by_one = stream[:WARM], stream[WARM : WARM + EVENTS], stream[WARM + EVENTS :]
    logged: list[list[Statement]] = []
    with fresh() as url, logged_into(logged), laurels.open(url, catalog="community") as engine:
        record_all(engine, warm + measured, batch)  # Only to learn the rows.
    with fresh() as url, laurels.open(url, catalog="community") as engine:
        record_all(engine, warm, batch)
        started = perf_counter()
        record_all(engine, measured, batch)
        batched = committed(engine, WARM, EVENTS) / (perf_counter() - started)
        started = perf_counter()
        for event in one_by_one:
            engine.record(event)
        singles = committed(engine, WARM + EVENTS, SINGLES) / (perf_counter() - started)
    by_hand, bare = (EVENTS / replay(logged, stream, batch, by_hand=by_hand) for by_hand in (True, False))
    return batched, singles, by_hand, bare


def record_all(engine: laurels.Engine, stream: list[Event], batch: int) -> None:
    """Record in batches."""
    for start in range(0, len(stream), batch):
        engine.record(stream[start : start + batch])


def committed(engine: laurels.Engine, before: int, sent: int) -> int:
    """Return how many different requests came to the journal, which must be as many as were sent."""
    with engine.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM journal WHERE user_id = actor_id").scalar() or 0
    assert found - before == sent, f"{found - before} committed, {sent} sent"
    return sent


@contextmanager
def logged_into(log: list[list[Statement]]) -> Iterator[None]:
    """Keep every statement of every batch, with the keys it asks for or the rows it writes."""
    load, rows, many = SqliteTransaction.load, SqliteTransaction._rows, SqliteTransaction._many

    def logged_load(self: SqliteTransaction, *arguments: object) -> object:
        log.append([])
        return load(self, *arguments)

    def logged_rows(self: SqliteTransaction, statement: str, *parameters: object) -> list[object]:
        if log:
            log[-1].append((statement, [parameters]))
        return rows(self, statement, *parameters)

    def logged_many(self: SqliteTransaction, statement: str, values: list[tuple[object, ...]]) -> None:
        log[-1].append((statement, list(values)))
        many(self, statement, values)

    with (
        mock.patch.object(SqliteTransaction, "load", logged_load),
        mock.patch.object(SqliteTransaction, "_rows", logged_rows),
        mock.patch.object(SqliteTransaction, "_many", logged_many),
    ):
        yield


def replay(log: list[list[Statement]], stream: list[Event], batch: int, *, by_hand: bool) -> float:
    """
    Return the seconds that the measured batches' rows take without rules.

    Bare, it is nothing but the writes, every row ready made. By hand, it is what a program without rules has to do for
    the same rows: ask for states and known ids, decode and encode the documents, encode the events' data, write.
    """
    with fresh() as url:
        store = SqliteStore(url)
        for place, statements in enumerate(log):
            if place == WARM // batch:
                started = perf_counter()
            with collection_held_off, store.write() as transaction:
                if by_hand:
                    for event in stream[place * batch : (place + 1) * batch]:
                        body = msgspec.json.encode([event.type, event.data])
                        blake2b(body, digest_size=16).digest()
                for statement, rows in statements:
                    if statement.lstrip().startswith("SELECT"):
                        found = transaction._rows(statement, *rows[0]) if by_hand else []
                        if statement.startswith("SELECT user_id, state"):
                            documents = [msgspec.json.decode(state) for _, state in found]
                            [msgspec.json.encode(document).decode() for document in documents]
                    elif rows:
                        transaction._driver.executemany(statement, rows)
        took = perf_counter() - started
        store.close()
    return took


def lone_caller_waits(*, in_another_process: bool) -> list[float]:
    """Return how long each of some hundred single events waited beside an importer, in another thread or process."""
    waits = []
    spawning = multiprocessing.get_context("spawn")
    done = spawning.Event()
    with fresh() as url, laurels.open(url, catalog="community") as engine:
        importer: threading.Thread | SpawnProcess
        if in_another_process:
            importer = spawning.Process(target=import_as_another_program, args=(url, done))
        else:
            importer = threading.Thread(target=import_until, args=(engine, done))
        importer.start()
        sleep(2)  # Until it is at work, also where a program has to start.
        for event in events(300, users=USERS, seed=10):
            started = perf_counter()
            engine.record(event)
            waits.append(perf_counter() - started)
            sleep(0.005)
        done.set()
        importer.join()
    return waits


def import_as_another_program(url: str, done: Event_) -> None:
    """Import with an engine of its own."""
    with laurels.open(url) as engine:
        import_until(engine, done)


def import_until(engine: laurels.Engine, done: Event_) -> None:
    """Import events in chunks until told to stop."""
    stream = events(1_000_000, users=USERS, seed=9)
    while not done.is_set():
        engine.record([next(stream) for _ in range(CHUNK)])


@contextmanager
def fresh() -> Iterator[str]:
    """Give the address of a database that does not exist yet, on the disk of this folder."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".run-") as folder:
        yield f"sqlite:///{folder}/bench.db"


if __name__ == "__main__":
    main()

"""Events a second into PostgreSQL with `community.toml`, beside what pgbench does without an engine; and their cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import laurels
from benchmarks import _floors
from benchmarks._community import DATABASE, QUICK, asked_scale, populate
from benchmarks._postgres import checkpoint, create_database, number, running_server
from benchmarks._report import Figure, report
from benchmarks._workload import events, from_one
from benchmarks._writers import WRITERS, Recorded, record, submit

if TYPE_CHECKING:
    from benchmarks._community import Scale
    from tests.services import PostgresServer

AGAINST = [
    ("an award as one transaction of seven statements", ">= 4 x"),
    ("an award as one statement, prepared", ">= 2 x"),
    ("an award as one statement, planned each time", ""),
    ("the engine's own rows in batches", ">= 0.25 x"),
]
#: Rounds that come first, for the bytes of the log.
LOG_ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round came to: of each floor the events a second, and the server's processor time of one (µs)."""

    floors: list[float]
    floors_us: list[float]
    recorded: Recorded


def main() -> None:
    """Measure and report."""
    scale = asked_scale(__doc__)
    with running_server() as server:
        populate(server, scale.users)
        log = log_bytes(server, scale)  # First, as a large run before it would have a checkpoint fall into it.
        figures = [*throughput(server, scale), *log, *row_bytes(server)]
    report("postgres", figures, keep=scale is not QUICK)


def throughput(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return events a second beside each floor, and what an event costs."""
    transaction, statement = _floors.conventional(server, scale.users)
    own_rows = _floors.own_rows(server, DATABASE, scale.users)
    found = [transaction, statement, replace(statement, protocol="simple"), own_rows]
    floors = [_floors.with_best_clients(server, floor, scale.trial_s) for floor in found]
    rounds = [one_round(server, scale, floors, LOG_ROUNDS + round_) for round_ in range(scale.rounds)]
    method = (
        f"median of {scale.rounds} interleaved rounds; {WRITERS} processes recording {scale.measured:,} events each "
        f"after {scale.warm:,} to warm up; {scale.users:,} users uniform, a quarter of the events concern a second one;"
        f" pgbench for {scale.floor_s} s; server's defaults; committed rows counted"
    )
    rates = [
        Figure(
            figure=f"events per second, against {what}",
            value=median(one.recorded.rate for one in rounds),
            unit="events/s",
            floor=median(one.floors[place] for one in rounds),
            ratio=median(one.recorded.rate / one.floors[place] for one in rounds),
            target=target,
            method=f"{method}; {floors[place].clients[0]} clients, "
            f"{median(one.floors_us[place] for one in rounds):.0f} µs of the server's processors for each",
        )
        for place, (what, target) in enumerate(AGAINST)
    ]
    return rates + costs(rounds)


def one_round(server: PostgresServer, scale: Scale, floors: list[_floors.Floor], round_: int) -> Round:
    """Measure each floor and then the engine, each after a checkpoint."""
    rates, cpu_us = [], []
    for floor in floors:
        checkpoint(server)
        rate, cost = _floors.rate(server, floor, scale.floor_s)
        rates.append(rate)
        cpu_us.append(1e6 * cost.server_cpu_s / (rate * scale.floor_s))
    checkpoint(server)
    recorded = record(server, server.url(DATABASE), scale.works(round_))
    return Round(floors=rates, floors_us=cpu_us, recorded=recorded)


def costs(rounds: list[Round]) -> list[Figure]:
    """Return the processor time of an event on either side."""
    return [
        Figure(
            figure="processor time of an event in Python",
            value=median(one.recorded.python_cpu_us for one in rounds),
            unit="µs",
            method="of the writers' processes, in the same runs",
        ),
        Figure(
            figure="processor time of an event in PostgreSQL, against the engine's own rows in batches",
            value=median(one.recorded.server_cpu_us for one in rounds),
            unit="µs",
            floor=median(one.floors_us[-1] for one in rounds),
            ratio=median(one.recorded.server_cpu_us / one.floors_us[-1] for one in rounds),
            method="of all the server's processes, in the same runs",
        ),
    ]


def log_bytes(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return how much an event adds to the server's log; the first change of each page adds the whole page."""
    url = server.url(DATABASE)
    few = replace(scale, measured=scale.measured // 10)
    checkpoint(server)
    warm = record(server, url, few.works(0))
    cold = record(server, url, few.works(1), when_warm=partial(checkpoint, server))
    return [
        Figure(
            figure=f"bytes of the server's log for an event, {when}",
            value=one.cost.wal_bytes / one.events,
            unit="bytes",
            method=f"{one.events:,} events, {scale.users:,} users uniform, full_page_writes on",
        )
        for when, one in (("pages warm", warm), ("just after a checkpoint", cold))
    ]


def row_bytes(server: PostgresServer) -> list[Figure]:
    """Return how large documents and journal rows are."""
    url = server.url(DATABASE)
    heavy = create_database(server, "heavy")
    with laurels.open(heavy, catalog="community") as engine:
        submit(engine, list(events(2_000, users=2, pairs=from_one)))
    return [
        Figure(
            figure="a user's document",
            value=number(url, "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY length(state)) FROM laurels.users"),
            unit="bytes",
            method="median; ten events a day for a week",
        ),
        Figure(
            figure="a heavy user's document",
            value=number(heavy, "SELECT max(length(state)) FROM laurels.users"),
            unit="bytes",
            method="2,000 events in 100 days",
        ),
        Figure(
            figure="a journal row",
            value=number(url, "SELECT avg(pg_column_size(journal.*)) FROM laurels.journal"),
            unit="bytes",
            method="mean, without its entries in three indexes",
        ),
    ]


if __name__ == "__main__":
    main()

"""Events a second into PostgreSQL with `community.toml`, beside what pgbench does without an engine; and their cost."""

from __future__ import annotations

import statistics
from argparse import ArgumentParser
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import laurels
from benchmarks import _floors
from benchmarks._postgres import checkpoint, create_database, number, query, running_server
from benchmarks._report import Figure, report
from benchmarks._workload import events, from_one
from benchmarks._writers import WRITERS, Recorded, Work, record, submit

if TYPE_CHECKING:
    from tests.services import PostgresServer

DATABASE = "laurels_bench"
SEEDS = 1_000
EVENTS_BEFORE = 60  # That each user has a history of: six days of ten.


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a run is."""

    users: int = 100_000
    rounds: int = 3
    floor_s: int = 10
    trial_s: int = 4  # For finding the best number of clients.
    warm: int = 30_000
    measured: int = 100_000


QUICK = Scale(users=2_000, rounds=1, floor_s=1, trial_s=1, warm=500, measured=1_000)


def main() -> None:
    """Measure and report."""
    scale = asked_scale(__doc__)
    with running_server() as server:
        populate(server, scale.users)
        figures = [*throughput(server, scale), *log_bytes(server, scale), *row_bytes(server)]
    report("postgres", figures, keep=scale is not QUICK)


def asked_scale(description: str | None) -> Scale:
    """Return the scale that the command line asks for."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small and once: shows that it runs, measures nothing")
    return QUICK if parser.parse_args().quick else Scale()


def populate(server: PostgresServer, users: int) -> str:
    """Create the engine's database with users who have a history of six days each, and return its address."""
    url = create_database(server, DATABASE)
    seeds = min(SEEDS, users)
    with laurels.open(url, catalog="community") as engine:
        submit(engine, list(events(seeds * EVENTS_BEFORE, users=seeds, seed=0)))
    query(
        url,
        "INSERT INTO laurels.users (user_id, version, state)"
        " SELECT 'user-' || lpad((right(user_id, 7)::int + %s * copy)::text, 7, '0'), version, state"
        " FROM laurels.users, generate_series(1, %s) AS copy",
        seeds,
        users // seeds - 1,
    )
    query(url, "VACUUM ANALYZE")
    return url


def works(scale: Scale, round_: int) -> list[Work]:
    """Return what the writers do in one round: a day of its own, after all that was before."""
    return [
        Work(seed=WRITERS * round_ + one, warm=scale.warm, measured=scale.measured, users=scale.users, day=5 + round_)
        for one in range(1, WRITERS + 1)
    ]


# --- Throughput -------------------------------------------------------------------------------------------------------


def throughput(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return events a second beside each floor, and what an event costs."""
    url = server.url(DATABASE)
    found = [*_floors.conventional(server, scale.users), _floors.own_rows(server, DATABASE, scale.users)]
    floors = [_floors.with_best_clients(server, floor, scale.trial_s) for floor in found]
    rates: list[list[float]] = []
    recorded: list[Recorded] = []
    floor_costs_us: list[float] = []
    for round_ in range(1, scale.rounds + 1):
        row = []
        for floor in floors:
            checkpoint(server)
            rate, cost = _floors.rate(server, floor, scale.floor_s)
            row.append(rate)
        floor_costs_us.append(1e6 * cost.server_cpu_s / (rate * scale.floor_s))
        checkpoint(server)
        recorded.append(record(server, url, works(scale, round_)))
        rates.append(row)
    against = [
        ("an award as one transaction of seven statements", ">= 4 x"),
        ("an award as one statement", ">= 2 x"),
        ("the engine's own rows in batches", ">= 0.25 x"),
    ]
    method = (
        f"median of {scale.rounds} interleaved rounds; {WRITERS} processes recording {scale.measured:,} events each "
        f"after {scale.warm:,}; {scale.users:,} users uniform, a quarter of the events concern a second one; floors by "
        f"pgbench for {scale.floor_s} s; server's defaults; committed rows counted"
    )
    return [
        Figure(
            figure=f"events per second, against {what}",
            value=statistics.median(one.rate for one in recorded),
            unit="events/s",
            floor=statistics.median(row[place] for row in rates),
            ratio=statistics.median(one.rate / row[place] for one, row in zip(recorded, rates, strict=True)),
            target=target,
            method=f"{method}; {floors[place].clients[0]} clients",
        )
        for place, (what, target) in enumerate(against)
    ] + [
        Figure(
            figure="processor time of an event in Python",
            value=statistics.median(1e6 * one.python_cpu_s / one.events for one in recorded),
            unit="µs",
            method="of the writers' processes, in the same runs",
        ),
        Figure(
            figure="processor time of an event in PostgreSQL, against its own rows in batches",
            value=statistics.median(1e6 * one.cost.server_cpu_s / one.events for one in recorded),
            unit="µs",
            floor=statistics.median(floor_costs_us),
            ratio=statistics.median(
                1e6 * one.cost.server_cpu_s / one.events / floor
                for one, floor in zip(recorded, floor_costs_us, strict=True)
            ),
            method="of all the server's processes, in the same runs",
        ),
    ]


# --- Bytes ------------------------------------------------------------------------------------------------------------


def log_bytes(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return how much an event adds to the server's log: whole pages, when they are the first changes of them."""
    url = server.url(DATABASE)
    few = replace(scale, measured=scale.measured // 10)
    checkpoint(server)
    warm = record(server, url, works(few, scale.rounds + 1))
    cold = record(server, url, works(few, scale.rounds + 2), when_warm=partial(checkpoint, server))
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

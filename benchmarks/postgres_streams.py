"""Streams that are not uniform, into PostgreSQL: all about one user, skewed, and sent once more."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import _floors
from benchmarks._community import DATABASE, QUICK, asked_scale, populate
from benchmarks._postgres import checkpoint, number, running_server
from benchmarks._report import Figure, report
from benchmarks._workload import REACTIONS, from_one, skewed, to_one
from benchmarks._writers import WRITERS, record

if TYPE_CHECKING:
    from benchmarks._community import Scale
    from benchmarks._writers import Work
    from tests.services import PostgresServer

DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def main() -> None:
    """Measure and report."""
    scale = asked_scale(__doc__)
    with running_server() as server:
        url = populate(server, scale.users)
        figures = [*one_user(server, scale), *skew(server, scale), *duplicates(server, scale)]
        figures.append(
            Figure(
                figure="deadlocks in all of this",
                value=number(url, DEADLOCKS),
                unit="deadlocks",
                target="0",
                method="as PostgreSQL counts them",
            )
        )
    report("postgres_streams", figures, keep=scale is not QUICK)


def one_user(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return events a second that all concern one user, beside pgbench with one user."""
    floors = [
        _floors.with_best_clients(server, floor, scale.trial_s) for floor in _floors.conventional(server, users=1)
    ]
    against: list[tuple[float, ...]] = []
    theirs: list[float] = []
    to_them: list[float] = []
    for round_ in range(scale.rounds):
        against.append(tuple(_floors.rate(server, floor, scale.floor_s)[0] for floor in floors))
        theirs.append(rate(server, [replace(work, pairs=from_one) for work in scale.works(2 * round_)]))
        others = scale.works(2 * round_ + 1)
        to_them.append(rate(server, [replace(work, pairs=to_one, mix=REACTIONS) for work in others]))
    return [
        Figure(
            figure=f"events per second, {what}, against awards to one user as one {floor} each",
            value=median(rates),
            unit="events/s",
            floor=median(row[place] for row in against),
            ratio=median(one / row[place] for one, row in zip(rates, against, strict=True)),
            target=target,
            method=f"median of {scale.rounds} interleaved rounds of {WRITERS} processes with {scale.measured:,} events "
            f"each; pgbench with {floors[place].clients[0]} clients",
        )
        for rates, what in ((theirs, "all of one user"), (to_them, "all others' reactions to one user"))
        for place, (floor, target) in enumerate((("transaction", ">= 10 x"), ("statement", "")))
    ]


def skew(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return events a second of users drawn by Zipf's law, beside users drawn uniformly."""
    first = 2 * scale.rounds
    pairs = [
        (
            rate(server, scale.works(first + 2 * round_)),
            rate(server, [replace(work, pairs=skewed) for work in scale.works(first + 2 * round_ + 1)]),
        )
        for round_ in range(scale.rounds)
    ]
    return [
        Figure(
            figure="events per second of users drawn by Zipf's law, against uniform",
            value=median(zipf for _, zipf in pairs),
            unit="events/s",
            floor=median(uniform for uniform, _ in pairs),
            ratio=median(zipf / uniform for uniform, zipf in pairs),
            target=">= 1 x",
            method=f"median of {scale.rounds} interleaved rounds, {scale.users:,} users, exponent 1",
        )
    ]


def duplicates(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Return duplicates a second, beside fresh events: each writer's own events, sent once more."""
    first = 4 * scale.rounds
    pairs = []
    for round_ in range(scale.rounds):
        fresh = rate(server, scale.works(first + 2 * round_))
        again = replace(scale, warm=scale.measured).works(first + 2 * round_ + 1)
        pairs.append((fresh, rate(server, [replace(work, repeated=True) for work in again])))
    return [
        Figure(
            figure="duplicates per second, against fresh events",
            value=median(repeated for _, repeated in pairs),
            unit="events/s",
            floor=median(fresh for fresh, _ in pairs),
            ratio=median(repeated / fresh for fresh, repeated in pairs),
            target=">= 2 x",
            method=f"median of {scale.rounds} interleaved rounds, {scale.users:,} users uniform",
        )
    ]


def rate(server: PostgresServer, works: list[Work]) -> float:
    """Return events a second, after a checkpoint."""
    checkpoint(server)
    return record(server, server.url(DATABASE), works).rate


if __name__ == "__main__":
    main()

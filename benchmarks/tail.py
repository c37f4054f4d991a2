"""What it costs the writers that somebody follows the journal beside them: at most 3 %."""

from __future__ import annotations

import statistics
from contextlib import contextmanager, nullcontext
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import laurels
from benchmarks._postgres import cpu_seconds, create_database, running_server
from benchmarks._processes import started
from benchmarks._report import Figure, report
from benchmarks._writers import WRITERS, Work, record
from laurels.store import tail
from laurels.worker import BUSY_PAUSE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection as Pipe

    from tests.services import PostgresServer

ROUNDS = 10
USERS = 20_000
WARM = 2_000
EVENTS = 20_000  # Of each writer, in each half of a round.


def main() -> None:
    """Measure and report."""
    with running_server() as server:
        url = create_database(server, "tail")
        laurels.open(url, catalog="community").close()
        rate(server, url, 0)  # To have met most users.
        shares: list[float] = []
        rounds = [one_round(server, url, number, shares) for number in range(1, ROUNDS + 1)]
    alone, followed = (statistics.median(column) for column in zip(*rounds, strict=True))
    costs = sorted(100 * (1 - after / before) for before, after in rounds)
    report(
        "tail",
        [
            Figure(
                figure="a subscriber to the journal with nothing to do costs its writers",
                value=statistics.median(costs),
                unit="%",
                target="<= 3 %",
                method=f"{ROUNDS} pairs, either half first in turns; the median of {[round(cost, 1) for cost in costs]}"
                f"; each half {WRITERS * EVENTS:,} events by {WRITERS} writers, {USERS:,} users uniform; a "
                f"process asks every {1000 * BUSY_PAUSE_S:.0f} ms up to where the journal is final",
            ),
            Figure(
                figure="events per second beside a subscriber, against without",
                value=followed,
                unit="events/s",
                floor=alone,
                ratio=followed / alone,
                method="medians of the same rounds",
            ),
            Figure(
                figure="processor time of the subscriber and its server process, beside writers",
                value=100 * statistics.median(shares),
                unit="% of a core",
                method="median of the same rounds",
            ),
        ],
    )


def one_round(server: PostgresServer, url: str, number: int, shares: list[float]) -> tuple[float, float]:
    """Return events a second without and with a subscriber, which adds its share of a core to `shares`."""
    halves = {}
    for half in (0, 1):
        is_followed = (number + half) % 2 == 0
        with subscriber(url, shares) if is_followed else nullcontext():
            halves[is_followed] = rate(server, url, 2 * number + half)
    return halves[False], halves[True]


def rate(server: PostgresServer, url: str, place: int) -> float:
    """Return how many events a second the writers record; `place` makes the events new ones."""
    works = [Work(seed=WRITERS * place + writer, warm=WARM, measured=EVENTS, users=USERS) for writer in range(WRITERS)]
    return record(server, url, works).rate


@contextmanager
def subscriber(url: str, shares: list[float]) -> Iterator[None]:
    """Follow the journal in another process, which has begun."""
    with started(follow, url) as following:
        following.recv()
        yield
        following.send("over")
        shares.append(following.recv())


def follow(url: str, pipe: Pipe) -> None:
    """Ask up to where the journal is final until told to end, and say what share of a core that took."""
    with laurels.open(url) as engine:
        connection = engine.watch()
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        followed = tail.Tail()
        pipe.send("begun")
        started, before = perf_counter(), process_time() + cpu_seconds(backend)
        while not pipe.poll(BUSY_PAUSE_S):
            followed.settled(connection)
        share = (process_time() + cpu_seconds(backend) - before) / (perf_counter() - started)
        assert followed.settled(connection) > 0
        tail.close(connection)
    pipe.send(share)


if __name__ == "__main__":
    main()

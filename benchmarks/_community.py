"""A community in PostgreSQL for engines to work on: a hundred thousand users, each with a history of six days."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import laurels
from benchmarks._postgres import create_database, query
from benchmarks._workload import events
from benchmarks._writers import WRITERS, Work, submit

if TYPE_CHECKING:
    from tests.services import PostgresServer

DATABASE = "community"
FOUNDERS = 1_000
EVENTS_BEFORE = 60
DAYS_BEFORE = 6


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a run is: events are for each writer."""

    users: int = 100_000
    rounds: int = 3
    floor_s: int = 10
    trial_s: int = 4  # For finding the best number of clients; 0 for not looking.
    warm: int = 30_000
    measured: int = 100_000
    lone: int = 500

    def works(self, round_: int) -> list[Work]:
        """Return what the writers do in one round; no two rounds have an event in common."""
        return [
            Work(seed=WRITERS * round_ + writer, warm=self.warm, measured=self.measured, users=self.users)
            for writer in range(1, WRITERS + 1)
        ]


QUICK = Scale(users=100, rounds=1, floor_s=1, trial_s=0, warm=300, measured=500, lone=50)


def asked_scale(description: str | None) -> Scale:
    """Return the scale that the command line asks for."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small and once: shows that it runs, measures nothing")
    return QUICK if parser.parse_args().quick else Scale()


def history_begins_at() -> datetime:
    """Return when the community's history began, which ends where this day begins."""
    return datetime.combine(datetime.now(UTC), time.min, UTC) - timedelta(days=DAYS_BEFORE)


def populate(server: PostgresServer, users: int) -> str:
    """Create the engine's database and return its address. A thousand founders act; all others are copies of them."""
    url = create_database(server, DATABASE)
    founders = min(FOUNDERS, users)
    with laurels.open(url, catalog="community") as engine:
        submit(engine, list(events(founders * EVENTS_BEFORE, users=founders, seed=0, starts_at=history_begins_at())))
    query(
        url,
        "INSERT INTO laurels.users (user_id, version, state)"
        " SELECT 'user-' || lpad((right(user_id, 7)::int + %s * copy)::text, 7, '0'), version, state"
        " FROM laurels.users, generate_series(1, %s) AS copy",
        founders,
        users // founders - 1,
    )
    query(url, "VACUUM ANALYZE")
    return url

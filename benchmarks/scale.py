"""What an event costs in Python and PostgreSQL with ten thousand users, a hundred thousand, a million, ten million."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks._community import DATABASE, FOUNDERS, populate
from benchmarks._postgres import checkpoint, create_database, query, running_server
from benchmarks._report import Figure, report
from benchmarks._results import keep_lines
from benchmarks._writers import WRITERS, Recorded, Work, record

if TYPE_CHECKING:
    from tests.services import PostgresServer

JOURNAL_ROWS = 2
WARM_MAX = 1_000_000
COPIED = "'user-' || lpad((right(user_id, 7)::int + %s * copy)::text, 7, '0')"
COPY_USERS = (
    f"INSERT INTO laurels.users (user_id, version, state) SELECT {COPIED}, version, state"
    " FROM generate_series(1, %s) AS copy, laurels.users"
)
COPY_JOURNAL = (
    "INSERT INTO laurels.journal (user_id, version, actor_id, request_id, type, time, recorded_at, revision,"
    " fingerprint, day, groups, data, touched, changes, skipped)"
    f" SELECT {COPIED}, version, CASE actor_id WHEN user_id THEN {COPIED} ELSE actor_id END, request_id, type, time,"
    " recorded_at, revision, fingerprint, day, groups, data, touched, changes, skipped"
    " FROM generate_series(1, %s) AS copy, (SELECT journal.* FROM laurels.journal JOIN laurels.users USING (user_id)"
    " WHERE journal.version > users.version - %s) AS newest"
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many users, the smallest first, and how much is recorded for each; events are for each writer."""

    users: tuple[int, ...]
    rounds: int = 3
    warm: int = 10_000
    measured: int = 20_000
    touched_first: int = 20_000

    def touched_before(self, users: int) -> int:
        """Return how many events each writer records beforehand, so that most pages were changed by some event."""
        return max(self.touched_first, min(users * 3 // 10, WARM_MAX) // WRITERS)


QUICK = Sizes(users=(1_000, 2_000, 3_000), rounds=1, warm=200, measured=500, touched_first=500)
PROMISED = {1_000_000: "<= 1.5 x", 10_000_000: "<= 2 x"}


def main() -> None:
    """Measure and report."""
    sizes = asked_sizes()
    with running_server() as server:
        keep_pages_warm(server)
        populate(server, FOUNDERS)
        for users in sizes.users:
            enlarge(server, users)
            record(server, server.url(name(users)), works(sizes, users, 0, sizes.touched_before(users)))
        rounds = [
            {users: one_round(server, sizes, users, round_) for users in sizes.users}
            for round_ in range(1, 1 + sizes.rounds)
        ]
    costs = {
        users: (
            median(one[users].python_cpu_us for one in rounds),
            median(one[users].server_cpu_us for one in rounds),
        )
        for users in sizes.users
    }
    report("scale", figures(sizes, costs, rounds), keep=sizes is not QUICK)
    if sizes is not QUICK:
        keep_lines(
            "scale",
            {
                "together": [(users, python + postgres) for users, (python, postgres) in costs.items()],
                "PostgreSQL": [(users, postgres) for users, (_, postgres) in costs.items()],
                "Python": [(users, python) for users, (python, _) in costs.items()],
            },
        )


def asked_sizes() -> Sizes:
    """Return the sizes that the command line asks for."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="ten million users too: some 50 GB of disk, half an hour")
    parser.add_argument("--quick", action="store_true", help="small and once: shows that it runs, measures nothing")
    asked = parser.parse_args()
    return QUICK if asked.quick else Sizes(users=(10_000, 100_000, 1_000_000, *([10_000_000] if asked.long else [])))


def keep_pages_warm(server: PostgresServer) -> None:
    """Let no checkpoint come between: after one, how often a page is met decides what an event costs."""
    query(server.url(), "ALTER SYSTEM SET checkpoint_timeout = '1h'")
    query(server.url(), "ALTER SYSTEM SET max_wal_size = '16GB'")
    query(server.url(), "SELECT pg_reload_conf()")


def name(users: int) -> str:
    """Return the name of the database with so many users."""
    return f"users_{users}"


def enlarge(server: PostgresServer, users: int) -> None:
    """Create a database with copies of the founders, each with a founder's document and newest journal rows."""
    url = create_database(server, name(users), template=DATABASE)
    copies = users // FOUNDERS - 1
    query(url, COPY_JOURNAL, FOUNDERS, FOUNDERS, copies, JOURNAL_ROWS)
    query(url, COPY_USERS, FOUNDERS, copies)
    query(url, "VACUUM ANALYZE")
    checkpoint(server)


def works(sizes: Sizes, users: int, round_: int, events: int) -> list[Work]:
    """Return what the writers do in a round, which has a day of its own."""
    return [
        Work(seed=WRITERS * round_ + writer, warm=sizes.warm, measured=events, users=users)
        for writer in range(1, WRITERS + 1)
    ]


def one_round(server: PostgresServer, sizes: Sizes, users: int, round_: int) -> Recorded:
    """Record with so many users."""
    return record(server, server.url(name(users)), works(sizes, users, round_, sizes.measured))


def figures(sizes: Sizes, costs: dict[int, tuple[float, float]], rounds: list[dict[int, Recorded]]) -> list[Figure]:
    """Return what an event costs with each number of users, beside the smallest."""
    least = sizes.users[0]
    cheapest = sum(costs[least])
    return [
        Figure(
            figure=f"processor time of an event, {users:,} users" + ("" if users == least else f", against {least:,}"),
            value=sum(costs[users]),
            unit="µs",
            floor=None if users == least else cheapest,
            ratio=None if users == least else sum(costs[users]) / cheapest,
            target=PROMISED.get(users, ""),
            method=f"Python {costs[users][0]:.0f} µs and PostgreSQL {costs[users][1]:.0f} µs, medians of "
            f"{sizes.rounds} interleaved rounds of {WRITERS * sizes.measured:,} events by {WRITERS} writers, "
            f"{median(one[users].rate for one in rounds):,.0f} events/s and "
            f"{median(one[users].cost.wal_bytes / one[users].events for one in rounds):,.0f} bytes of log an event; "
            f"{users:,} users uniform, copies of {FOUNDERS:,} with a week's history: document and the newest "
            f"{JOURNAL_ROWS} journal rows; {WRITERS * sizes.touched_before(users):,} events before, no checkpoint "
            "since (`checkpoint_timeout` and `max_wal_size` raised, all else the server's defaults)",
        )
        for users in sizes.users
    ]


if __name__ == "__main__":
    main()

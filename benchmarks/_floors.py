"""
What pgbench does with the statements in `floors/`: the speed that PostgreSQL has without an engine.

Rows are counted in the tables before and after; what pgbench claims is not asked.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._postgres import create_database, metered, number, query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks._postgres import Cost
    from tests.services import PostgresServer

FLOORS = Path(__file__).parent / "floors"
#: Journal rows that an event has, on average: a quarter of the events concern a second user.
ROWS_PER_EVENT = 1.25
BATCH_ROWS = 250


@dataclass(frozen=True, kw_only=True)
class Floor:
    """
    A pgbench script in a database, how its rows are counted and how many make an event, and how many clients.

    `protocol` is how pgbench sends statements: `prepared` is the fastest, `simple` what it does unless told.
    """

    script: str
    database: str
    counted: str
    variables: Mapping[str, int]
    clients: Sequence[int]
    rows_per_event: float = 1.0
    protocol: str = "prepared"


def conventional(server: PostgresServer, users: int) -> tuple[Floor, Floor]:
    """Return an award in one transaction, and in one statement, both in a database of so many users."""
    name = f"conventional_{users}"
    url = create_database(server, name)
    query(url, (FLOORS / "conventional_schema.sql").read_text())
    query(
        url,
        "INSERT INTO balances SELECT 'user-' || (10000000 + number), unit, 0"
        " FROM generate_series(0, %s) AS number, unnest(ARRAY['xp', 'coin']) AS unit",
        users - 1,
    )
    query(url, "VACUUM ANALYZE")
    transaction = Floor(
        script="transaction.sql",
        database=name,
        counted="SELECT count(*) FROM idempotency_keys",
        variables={"users": users},
        clients=(8, 16, 32) if users > 1 else (1, 2, 4, 8),  # Who all want one row only stand in line.
    )
    return transaction, replace(transaction, script="statement.sql")


def own_rows(server: PostgresServer, template: str, users: int) -> Floor:
    """Return the engine's own rows in batches, in a copy of its database, with the sizes found there."""
    url = create_database(server, "own_rows", template=template)
    [(changes, data)] = query(
        url,
        "SELECT avg(length(changes))::int, avg(length(data)) FILTER (WHERE actor_id = user_id)::int"
        " FROM laurels.journal",
    )
    return Floor(
        script="own_rows.sql",
        database="own_rows",
        counted="SELECT count(*) FROM laurels.journal",
        variables={
            "users": users,
            "batch": BATCH_ROWS,
            "changes_bytes": changes,
            "data_bytes": data,
            "front_bytes": 512,
        },
        clients=(2, 3, 4),
        rows_per_event=ROWS_PER_EVENT,
    )


def with_best_clients(server: PostgresServer, floor: Floor, seconds: int) -> Floor:
    """Return the floor with the number of clients that it is fastest with in trials of so many seconds."""
    if not seconds:
        return replace(floor, clients=floor.clients[:1])
    best = max(floor.clients, key=lambda clients: rate(server, replace(floor, clients=[clients]), seconds)[0])
    return replace(floor, clients=[best])


def rate(server: PostgresServer, floor: Floor, seconds: int) -> tuple[float, Cost]:
    """Return how many events a second were committed, and what all of them cost together."""
    url = server.url(floor.database)
    before = number(url, floor.counted)
    with metered(server) as cost:
        _pgbench(server, floor, seconds)
    rows = number(url, floor.counted) - before
    assert rows > 0, f"{floor.script} committed nothing"
    return rows / floor.rows_per_event / seconds, cost


def _pgbench(server: PostgresServer, floor: Floor, seconds: int) -> None:
    (clients,) = floor.clients
    command: list[str | Path] = [
        server.binaries / "pgbench",
        "--no-vacuum",
        "--protocol",
        "prepared",
        "--time",
        str(seconds),
    ]
    command += ["--client", str(clients), "--jobs", str(min(clients, 2)), "--file", FLOORS / floor.script]
    command += [word for name, given in floor.variables.items() for word in ("--define", f"{name}={given}")]
    run = subprocess.run([*command, server.url(floor.database)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "number of failed transactions: 0 " in run.stdout, run.stdout

"""A PostgreSQL server with the settings it comes with, on the disk of this folder, and what work on it costs."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from tests.services import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(kw_only=True)
class Cost:
    """What a piece of work took: seconds by the clock, of the server's processors, and bytes of its log."""

    seconds: float = 0.0
    server_cpu_s: float = 0.0
    wal_bytes: int = 0


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server with its defaults: `fsync` and `synchronous_commit` on, 128 MB of shared buffers."""
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".run-") as folder:
        Path(folder).chmod(0o755)  # As root the server is `nobody`, who must come in.
        with PostgresServer(Path(folder) / "data") as server:
            yield server


def create_database(server: PostgresServer, name: str, *, template: str = "template0") -> str:
    """Create a database, a copy of `template`, and return its address."""
    query(server.url(), f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return server.url(name)


def query(url: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Execute one statement in a transaction of its own, where it needs one, and return its rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def number(url: str, statement: str, *parameters: object) -> int:
    """Return the only value of the only row, a number, rounded."""
    [(only,)] = query(url, statement, *parameters)
    rounded: int = round(only)
    return rounded


def checkpoint(server: PostgresServer) -> None:
    """Write everything to the tables' files; the next change of each page carries the whole page into the log."""
    query(server.url(), "CHECKPOINT")


@contextmanager
def metered(server: PostgresServer) -> Iterator[Cost]:
    """Give a cost that is filled in at the end."""
    cost = Cost()
    wal, cpu, started = _wal_bytes(server), cpu_seconds(server.pid), perf_counter()
    yield cost
    cost.seconds = perf_counter() - started
    cost.server_cpu_s = cpu_seconds(server.pid) - cpu
    cost.wal_bytes = _wal_bytes(server) - wal


def _wal_bytes(server: PostgresServer) -> int:
    return number(server.url(), "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")


class _Times(NamedTuple):
    parent: int
    own_s: float
    ended_children_s: float


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of a process, of its living children, and of those that have ended."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            times = _times(folder / "stat")
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked; its parent has its seconds.
        if int(folder.name) == pid:
            total += times.own_s + times.ended_children_s
        elif times.parent == pid:
            total += times.own_s
    return total


def _times(stat: Path) -> _Times:
    """Read what proc(5) calls ppid, utime + stime and cutime + cstime; the name before them may hold anything."""
    fields = stat.read_text().rpartition(")")[2].split()
    parent, ticks = int(fields[1]), [int(field) for field in fields[11:15]]
    return _Times(parent, sum(ticks[:2]) / TICKS_A_SECOND, sum(ticks[2:]) / TICKS_A_SECOND)

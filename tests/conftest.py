"""What tests share: an engine on a fresh database, with a clock that the test sets."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import make_url

import laurels
from laurels.catalog_file import parse_catalog
from laurels.store.sqlite import SqliteStore
from tests.databases import PostgresDatabases
from tests.services import FAST, PostgresServer, ValkeyServer

# How long anything takes says something about the machine: a busy one must not fail a test.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

#: The examples' dates lie before this, so none of them is in the future.
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

#: The base of the examples: quadratic levels, base 100, no bonus, users and catalog in UTC.
BASE = """
[catalog]
name = "Examples"
timezone = "UTC"
on_revoke = "take"
[levels]
curve = { kind = "quadratic", base = 100, max = 100 }
bonus_xp = 0
"""


class Clock:
    """The time now, as the test says."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


def until(happens: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something happens, and fail if it never does."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


OpenEngine = Callable[..., laurels.Engine]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the schema and nothing else, to copy: migrating one for each test would take too long."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    SqliteStore(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=[pytest.param("sqlite_url", id="sqlite"), pytest.param("postgres_url", id="postgresql")])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the test's own; whatever asks for it runs on each kind."""
    return str(request.getfixturevalue(request.param))


#: For tests in which a database has next to no part, and which a second one would only make take twice as long.
on_sqlite_alone = pytest.mark.parametrize("database_url", [pytest.param("sqlite_url", id="sqlite")], indirect=True)


@pytest.fixture
def sqlite_url(empty_database: Path, tmp_path: Path) -> str:
    path = tmp_path / "laurels.db"
    shutil.copy(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture
def open_engine(database_url: str, clock: Clock) -> Iterator[OpenEngine]:
    """
    Open the test's database: `open_engine(toml)` under a catalog written in TOML, `open_engine()` under its own.

    The text is the whole catalog; begin it with BASE for the base of the examples.
    """
    opened: list[laurels.Engine] = []

    def open_one(toml: str | None = None) -> laurels.Engine:
        engine = laurels.open(database_url, catalog=None if toml is None else parse_catalog(toml), clock=clock)
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        engine.close()


# --- Servers, started when the first test asks for one; each xdist worker has its own ---------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """
    The URL of a PostgreSQL server: the one in LAURELS_TEST_POSTGRES_URL, or our own.

    With one that was given, run `-n 0`: the journal is final only behind every open transaction of a server, so that
    test processes on the same one would have to wait for each other's before their boards are what they expect.
    """
    if given := os.environ.get("LAURELS_TEST_POSTGRES_URL"):
        yield given
        return
    with PostgresServer(settings=FAST) as server:
        yield server.url()


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator[PostgresDatabases]:
    databases = PostgresDatabases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(postgres_databases: PostgresDatabases) -> Iterator[str]:
    """The URL of a PostgreSQL database of the test's own, with our schema and nothing else."""
    url = postgres_databases.lend()
    yield url
    postgres_databases.take_back(url)


@pytest.fixture(scope="session")
def redis_server(worker_id: str) -> Iterator[str]:
    """The URL of a Redis database: from the one in LAURELS_TEST_REDIS_URL one for each xdist worker, or on our own."""
    if given := os.environ.get("LAURELS_TEST_REDIS_URL"):
        url, worker = make_url(given), 0 if worker_id == "master" else int(worker_id.removeprefix("gw"))
        yield url.set(database=str(int(url.database or 0) + worker)).render_as_string(hide_password=False)
        return
    with ValkeyServer() as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis database. Whatever was in it is deleted."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture(scope="session")
def redis_cluster_server() -> Iterator[str]:
    """The URL of a Redis cluster of one node that owns every slot, always our own."""
    with ValkeyServer(cluster=True) as server:
        yield server.url


@pytest.fixture
def redis_cluster_url(redis_cluster_server: str) -> str:
    """The URL of an empty Redis cluster."""
    with redis.Redis.from_url(redis_cluster_server) as client:
        client.flushdb()
    return redis_cluster_server

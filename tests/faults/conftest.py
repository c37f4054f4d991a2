"""What fault tests share: a server that may be killed, databases on it, and load that is audited when it ends."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest

import laurels
from tests.faults.audit import audit
from tests.faults.faults import Database, Scene
from tests.faults.fleet import Fleet
from tests.services import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    UnderLoad = Callable[..., AbstractContextManager[Fleet]]

_numbers = count()


@pytest.fixture(scope="session")
def killable_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server with its own defaults: what was committed is on disk. Never one that is given."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def prepared_database(killable_server: PostgresServer) -> Iterator[str]:
    """A database with the schema and a catalog, to copy: making one for each test would take too long."""
    with Database(killable_server, "prepared") as found:
        laurels.open(found.direct_url).close()
        yield found.name


@pytest.fixture
def database(killable_server: PostgresServer, prepared_database: str) -> Iterator[Database]:
    with Database(killable_server, f"faults_{next(_numbers)}", prepared_database) as found:
        yield found


@pytest.fixture
def bare_database(killable_server: PostgresServer) -> Iterator[Database]:
    with Database(killable_server, f"faults_{next(_numbers)}") as found:
        yield found


@pytest.fixture
def under_load(tmp_path: Path) -> UnderLoad:
    """
    Write to a database while something happens to it; at the end everything that was answered must be there.

    The body starts when the writers are answered. They must be answered again after it, and finish what they sent.
    """

    @contextmanager
    def run(url: str, direct_url: str | None = None, *, writers: int = 2, options: tuple[str, ...] = ()):
        with Fleet(url, tmp_path, writers=writers, options=options) as fleet:
            before = fleet.pace()
            yield fleet
            after = fleet.pace()
        with laurels.open(direct_url or url) as engine:
            found = audit(engine, fleet.notes)
        print(f"\nbefore {before}, after {after}\n{found}\n{dict(fleet.tallies)}")  # noqa: T201  shown by pytest -rP
        assert found.problems == []

    return run


@pytest.fixture
def postgres_under_load(database: Database, under_load: UnderLoad) -> Callable[..., AbstractContextManager[Scene]]:
    """The same for writers on PostgreSQL, whom the body can do harm."""

    @contextmanager
    def run(**options):
        with under_load(database.url, database.direct_url, **options) as fleet:
            yield Scene(database=database, fleet=fleet)

    return run

"""What tests share: an engine on a fresh database, with a clock that the test sets."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import laurels
from laurels.catalog_file import parse_catalog
from laurels.store.sqlite import SqliteStore

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


@pytest.fixture
def database_url(empty_database: Path, tmp_path: Path) -> str:
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

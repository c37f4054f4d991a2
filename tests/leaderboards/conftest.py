"""The same engine on every place where boards are kept: two databases, and Redis alone and as a cluster beside one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import laurels
from laurels.catalog_file import parse_catalog
from tests.conftest import Clock, OpenEngine

PLACES = ["sqlite", "postgresql", "redis", "redis-cluster", "postgresql-redis"]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def board_urls(place: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """What `laurels.open` takes to keep boards in this place: the database's URL, and that of Redis if there is one."""
    urls = {"url": request.getfixturevalue("postgres_url" if "postgresql" in place else "sqlite_boards_url")}
    if "redis" in place:
        urls["redis"] = request.getfixturevalue("redis_cluster_url" if "cluster" in place else "redis_url")
    return urls


@pytest.fixture
def sqlite_boards_url(empty_database, tmp_path) -> str:
    path = tmp_path / "laurels.db"
    path.write_bytes(empty_database.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def open_engine(board_urls: dict[str, str], clock: Clock) -> Iterator[OpenEngine]:
    """Open the test's database with its boards where `place` says, under a catalog written in TOML or its own."""
    opened: list[laurels.Engine] = []

    def open_one(toml: str | None = None) -> laurels.Engine:
        catalog = None if toml is None else parse_catalog(toml)
        engine = laurels.open(**board_urls, catalog=catalog, clock=clock)
        # What another engine recorded is to be seen at once too.
        engine.projector.look_s = 0.0
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        engine.close()

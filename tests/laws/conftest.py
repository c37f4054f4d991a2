"""
How many examples the laws try, and fresh databases for those that need one.

By default a law tries few examples, always the same ones, so that a run says something of the code and not of luck.
`pytest tests/laws --hypothesis-profile thorough` tries twenty times as many, and new ones each time.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import PostgresDatabases

TIMES_MORE = 20
#: How many databases one example of a law uses at most.
IN_USE_MAX = 2

settings.register_profile("thorough")


def examples(number: int) -> settings:
    """Return the settings of a law that tries so many examples by default."""
    is_thorough = settings.get_current_profile_name() == "thorough"
    return settings(
        max_examples=number * (TIMES_MORE if is_thorough else 1),
        derandomize=not is_thorough,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


NewDatabase = Callable[[], str]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Return a function that returns the URL of an empty database, as often as a law's examples ask for one."""
    new: NewDatabase = request.getfixturevalue(f"new_{request.param}_database")
    return new


@pytest.fixture(scope="session")
def new_sqlite_database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    folder, numbers = tmp_path_factory.mktemp("laws"), count()

    def new() -> str:
        path = folder / f"{next(numbers)}.db"
        shutil.copy(empty_database, path)
        return f"sqlite:///{path}"

    return new


@pytest.fixture(scope="session")
def new_postgresql_database(postgres_databases: PostgresDatabases) -> NewDatabase:
    lent: deque[str] = deque()

    def new() -> str:
        if len(lent) == IN_USE_MAX:
            postgres_databases.take_back(lent.popleft())
        lent.append(postgres_databases.lend())
        return lent[-1]

    return new

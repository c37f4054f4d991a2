"""A service on a database of the test's own, behind a real server on loopback, and clients with keys of every scope."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

import laurels
from laurels import keys
from laurels.http import create_app
from laurels.settings import Settings

ACTOR = "tests"


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port of loopback for as long as the block lasts; yield its address."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture
def engine(database_url: str) -> Iterator[laurels.Engine]:
    """An engine under the community catalog, on each kind of database."""
    with laurels.open(database_url) as engine:
        yield engine


@pytest.fixture
def service_settings() -> Settings:
    """How the service under test is set; a test that wants it otherwise overrides this fixture."""
    return Settings()


@pytest.fixture
def url(engine: laurels.Engine, service_settings: Settings) -> Iterator[str]:
    """The address of a service on the test's engine."""
    with serving(create_app(engine, service_settings)) as found:
        yield found


Client = Callable[..., httpx.Client]


@pytest.fixture
def client(engine: laurels.Engine, url: str) -> Iterator[Client]:
    """Make clients: `client("read")` has a key with that scope, `client(token=…)` a token, `client()` nothing."""
    opened: list[httpx.Client] = []

    def make(*scopes: str, token: str | None = None) -> httpx.Client:
        if scopes:
            token = keys.create(engine, "test", scopes, actor=ACTOR).key
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        opened.append(httpx.Client(base_url=url, headers=headers, timeout=30))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def api(client: Client) -> httpx.Client:
    """A client that may do everything."""
    return client("admin")


@dataclass(frozen=True, slots=True)
class Standing:
    """A service on SQLite that several tests use one after the other, each with users of its own."""

    engine: laurels.Engine
    url: str
    key: str
    api: httpx.Client

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def standing(database: Path, settings: Settings) -> Iterator[Standing]:
    """Serve a database for as long as the block lasts."""
    with laurels.open(f"sqlite:///{database}") as engine, serving(create_app(engine, settings)) as url:
        key = keys.create(engine, "test", ["admin"], actor=ACTOR).key
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as api:
            yield Standing(engine, url, key, api)


@pytest.fixture(scope="session")
def shared(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """One service for all tests of a process that need none of their own: starting one takes longer than they do."""
    path = tmp_path_factory.mktemp("shared") / "laurels.db"
    shutil.copy(empty_database, path)
    with standing(path, Settings()) as found:
        yield found


_SERVICE = """
import sys, uvicorn, laurels
from laurels import keys
from laurels.http import create_app
with laurels.open(sys.argv[1]) as engine:
    print(keys.create(engine, "test", ["admin"], actor="tests").key, flush=True)
    uvicorn.run(create_app(engine), fd=int(sys.argv[2]), log_config=None, access_log=False)
"""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A service in a process of its own."""

    url: str
    key: str
    pid: int


@contextmanager
def serving_elsewhere(database_url: str) -> Iterator[Elsewhere]:
    """Serve a database in another process for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        command = [sys.executable, "-c", _SERVICE, database_url, str(listening.fileno())]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[listening.fileno()]) as service:
            try:
                assert service.stdout is not None
                key = service.stdout.readline().strip()
                yield Elsewhere(f"http://127.0.0.1:{listening.getsockname()[1]}", key, service.pid)
            finally:
                service.terminate()


_people = count(1)


@pytest.fixture
def user() -> str:
    """The id of a user whom no other test knows."""
    return f"user {next(_people)} of this process"

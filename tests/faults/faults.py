"""
What production does to a database and its writers, one function for each. Every one asserts that it struck.

`FAULTS` names those that the long form draws from.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import psycopg

from tests.faults.fleet import RECOVERY_S
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.faults.fleet import Fleet, Writer
    from tests.services import PostgresServer

#: The role that writers have: an ordinary one, which may be limited.
ROLE = "app"
STEP_S = 0.02
FAULT_S = 1.0
FROZEN_S = 0.3
LOST_TRANSACTIONS = 5


class Database:
    """A database of its own on a server, its owner an ordinary role, reached by writers through a proxy."""

    def __init__(self, server: PostgresServer, name: str, template: str = "template1") -> None:
        self.server = server
        self.name = name
        with self.admin("postgres") as admin:
            if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
                admin.execute(f"CREATE ROLE {ROLE} LOGIN")
            admin.execute(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template}")
        self.proxy = Proxy(server.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.close()
        with self.admin("postgres") as admin:
            admin.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    @property
    def url(self) -> str:
        """Where writers reach it: through the proxy."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.proxy.port}/{self.name}"

    @property
    def direct_url(self) -> str:
        """Where nothing lies in between."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.server.port}/{self.name}"

    @contextmanager
    def admin(self, database: str | None = None) -> Iterator[psycopg.Connection]:
        """Connect as superuser, whom no setting of the server stops."""
        options = "-c statement_timeout=0 -c default_transaction_read_only=off -c search_path=laurels"
        url = self.server.url(database or self.name)
        with psycopg.connect(url, autocommit=True, options=options) as connection:
            yield connection

    def terminate(self) -> int:
        """Kill the backends of all writers; return how many."""
        with self.admin() as admin:
            found = admin.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s AND usename = %s",
                [self.name, ROLE],
            ).fetchone()
        assert found
        return int(found[0])

    @contextmanager
    def altered(self, what: str, change: str, back: str) -> Iterator[None]:
        """`ALTER` something, and back, also where what happens meanwhile goes wrong."""
        with self.admin() as admin:
            admin.execute(f"ALTER {what} {change}")
            admin.execute("SELECT pg_reload_conf()")
            try:
                yield
            finally:
                admin.execute(f"ALTER {what} {back}")
                admin.execute("SELECT pg_reload_conf()")

    @contextmanager
    def logs(self, text: str) -> Iterator[Callable[[], bool]]:
        """Assert that the server's log says something new before the end; the body may ask whether it has."""
        start = self.server.log.stat().st_size

        def said() -> bool:
            with self.server.log.open("rb") as log:
                log.seek(start)
                return text.encode() in log.read()

        yield said
        _wait_until(said)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where a fault strikes: a database, those who write to it, and the dice that choose among them."""

    database: Database
    fleet: Fleet
    dice: random.Random = field(default_factory=lambda: random.Random(1))

    def any_writer(self) -> Writer:
        return self.dice.choice(self.fleet.writers)


# --- What dies --------------------------------------------------------------------------------------------------------


def kill_a_writer(scene: Scene) -> None:
    """SIGKILL one of the writers, and start it again."""
    writer = scene.any_writer()
    writer.kill()
    writer.start()


def kill_backends(scene: Scene) -> None:
    """Terminate every connection of the writers."""
    with scene.database.logs("terminating connection due to administrator command"):
        assert scene.database.terminate()


def restart_the_server(scene: Scene) -> None:
    """Stop the server at once, without a checkpoint, and start it again."""
    with scene.database.logs("database system was not properly shut down"):
        scene.database.server.restart(at_once=True)


# --- What is between --------------------------------------------------------------------------------------------------


def cut_connections(scene: Scene) -> None:
    """Cut every connection, wherever its client is."""
    scene.database.proxy.cut()


def cut_after_some_bytes(scene: Scene) -> None:
    """Cut a connection in the middle of what it carries."""
    proxy = scene.database.proxy
    proxy.cut_after(scene.dice.randrange(30_000))
    _wait_until(lambda: not proxy.cuts_later)


def lose_answers_to_commits(scene: Scene) -> None:
    """Let the server commit, and cut the connection before the client hears of it."""
    proxy = scene.database.proxy
    until = proxy.lost + LOST_TRANSACTIONS
    proxy.lose_answers(LOST_TRANSACTIONS)
    _wait_until(lambda: proxy.lost == until)


def lose_commits(scene: Scene) -> None:
    """Cut the connection before the server is told to commit."""
    proxy = scene.database.proxy
    until = proxy.lost + LOST_TRANSACTIONS
    proxy.lose_commits(LOST_TRANSACTIONS)
    _wait_until(lambda: proxy.lost == until)


def delay_everything(scene: Scene) -> None:
    """Let everything arrive late."""
    scene.database.proxy.delay_s = scene.dice.uniform(0.005, 0.05)
    time.sleep(FAULT_S)
    scene.database.proxy.delay_s = 0.0


def swallow_everything(scene: Scene) -> None:
    """Let nothing arrive for a while; then let it, or cut the connections."""
    proxy = scene.database.proxy
    proxy.swallows = True
    time.sleep(FAULT_S)
    if scene.dice.random() < 0.5:
        proxy.cut()
    proxy.swallows = False


# --- What is short or refused -----------------------------------------------------------------------------------------


def run_out_of_connections(scene: Scene) -> None:
    """Allow the writers' role fewer connections than one writer wants, and make all of them connect anew."""
    database = scene.database
    with (
        database.logs("too many connections for role"),
        database.altered(f"ROLE {ROLE}", "CONNECTION LIMIT 2", "CONNECTION LIMIT -1"),
    ):
        database.terminate()
        time.sleep(FAULT_S)


def shorten_statement_timeout(scene: Scene) -> None:
    """Give every statement a millisecond."""
    database = scene.database
    with (
        database.logs("due to statement timeout"),
        database.altered("SYSTEM", "SET statement_timeout = '1ms'", "RESET statement_timeout"),
    ):
        time.sleep(FAULT_S)


def turn_read_only(scene: Scene) -> None:
    """Refuse writes for a while, as a server does that others have left."""
    database = scene.database
    with (
        database.logs("in a read-only transaction"),
        database.altered("SYSTEM", "SET default_transaction_read_only = on", "RESET default_transaction_read_only"),
    ):
        time.sleep(FAULT_S)


def leave_old_sessions_read_only(scene: Scene) -> None:
    """Fail over so that who is connected stays where nothing can be written, while new connections find the new one."""
    database = scene.database
    with (
        database.logs("in a read-only transaction"),
        database.altered(
            f"ROLE {ROLE}", "SET default_transaction_read_only = on", "RESET default_transaction_read_only"
        ),
    ):
        database.terminate()
        time.sleep(FAULT_S)


# --- Who is in the way ------------------------------------------------------------------------------------------------


def hold_users(scene: Scene) -> None:
    """Hold half of all users in a transaction that takes its time."""
    with scene.database.admin() as admin, admin.transaction():
        admin.execute("SELECT 1 FROM users WHERE hashtext(user_id) % 2 = 0 ORDER BY user_id FOR UPDATE")
        time.sleep(FAULT_S)


def make_a_deadlock(scene: Scene) -> None:
    """Want what a batch holds while it wants what we hold, until a batch was chosen to give way, if not only it."""
    with scene.database.logs("STATEMENT:  COPY journal") as a_batch_gave_way, scene.database.admin() as admin:
        admin.execute("SET deadlock_timeout = '3s'")  # Batches look after one, but each only once.
        while not a_batch_gave_way():
            with suppress(psycopg.errors.DeadlockDetected):
                _stand_in_the_way(admin)


def _stand_in_the_way(admin: psycopg.Connection) -> None:
    """Keep the journal from being written, then want every user."""
    with admin.transaction():
        admin.execute("LOCK TABLE journal IN SHARE MODE")
        time.sleep(STEP_S)
        admin.execute("SELECT 1 FROM users FOR UPDATE")


def freeze_a_writer(scene: Scene) -> None:
    """Stop a writer in the middle of whatever it does, and let it go on later."""
    writer = scene.any_writer()
    writer.freeze()
    time.sleep(FAULT_S)
    writer.thaw()


def freeze_a_writer_for_too_long(scene: Scene) -> None:
    """Stop a writer inside a transaction, until the server ends that; others get its users."""
    database = scene.database
    with (
        database.logs("due to idle-in-transaction timeout") as said,
        database.altered(
            "SYSTEM", "SET idle_in_transaction_session_timeout = '100ms'", "RESET idle_in_transaction_session_timeout"
        ),
    ):
        while not said():
            writer = scene.any_writer()
            writer.freeze()
            time.sleep(FROZEN_S)
            writer.thaw()
            time.sleep(scene.dice.uniform(0, FROZEN_S))


#: How often the long form draws each.
FAULTS: Mapping[Callable[[Scene], None], int] = {
    kill_a_writer: 30,
    kill_backends: 30,
    restart_the_server: 10,
    cut_connections: 6,
    cut_after_some_bytes: 6,
    lose_answers_to_commits: 6,
    lose_commits: 4,
    delay_everything: 2,
    swallow_everything: 2,
    run_out_of_connections: 2,
    shorten_statement_timeout: 2,
    turn_read_only: 2,
    leave_old_sessions_read_only: 2,
    hold_users: 2,
    make_a_deadlock: 2,
    freeze_a_writer: 2,
    freeze_a_writer_for_too_long: 2,
}
#: Those that the long form counts.
KILLS = (kill_a_writer, kill_backends, restart_the_server)


def _wait_until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RECOVERY_S
    while not happens():
        assert time.monotonic() < deadline, "the fault did not strike"
        time.sleep(STEP_S)

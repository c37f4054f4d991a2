"""
A database server in memory and the store on it: what is committed, who holds which lock, and what goes wrong.

The transactions are the engine's own Batch with its own statements. What is committed lies in a private SQLite database
in memory, which does nothing here but answer queries; all that makes a server a server is below, where the dice can
reach it. A transaction keeps what it writes to itself until its commit, which everybody sees at once. Before every
statement others may run, and the connection may be lost: before the commit, or after it, when only the answer is.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace

from msgspec.json import encode
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from laurels.core.errors import Unavailable
from laurels.store import tail
from laurels.store.batch import Batch, Key
from laurels.store.sqlite import SqliteStore, _joined
from tests.simulation.scheduler import Process

LOCK_TIMEOUT_S = 0.5
JOURNAL = "journal (user_id, "

Lock = str | tuple[str, ...]


@dataclass
class Faults:
    """How likely it is that a connection is lost before a statement, and in the middle of a commit."""

    at_statement: float = 0.0
    at_commit: float = 0.0


class Server:
    """
    What is committed, and who holds which lock. There is one at a time.

    `pause` is where others run; it takes what to wait for, and for how many seconds. With `one_writer` a transaction
    holds everything from its begin to its end, as on SQLite.
    """

    def __init__(self, pause: Callable[..., None], dice: Random, *, one_writer: bool = False) -> None:
        self.pause = pause
        self.dice = dice
        self.one_writer = one_writer
        self.faults = Faults()
        self.locks: dict[Lock, MemoryTransaction] = {}
        self.open: list[MemoryTransaction] = []
        self.lost_commits = 0
        self.last_seq = 0
        self.incarnation = object()
        self._last_xid = 0
        self.database = _database().renew()
        self.engine = _database().engine

    @property
    def horizon(self) -> int:
        """The oldest transaction id that is still open, or the next to be drawn."""
        return min((transaction.xid for transaction in self.open), default=self._last_xid + 1)

    def draw_xid(self) -> int:
        """Draw a transaction id."""
        self._last_xid += 1
        return self._last_xid

    def draw_seq(self) -> int:
        """Draw a place in the journal, which is never given back."""
        self.last_seq += 1
        return self.last_seq

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple]:
        """Ask what is committed."""
        return self.database.execute(statement, parameters).fetchall()

    def notice_death(self, process: Process) -> None:
        """End what a dead process left open, as a server does when it finds the connection closed."""
        self._end([transaction for transaction in self.open if transaction.process is process])

    def crash(self) -> None:
        """End everything, and give out again the numbers and ids that nobody committed."""
        self._end(list(self.open))
        ((self.last_seq,),) = self.query("SELECT coalesce(max(seq), 0) FROM journal")
        self._last_xid -= self.dice.choice((0, 1, 3))
        self.incarnation = object()

    def _end(self, transactions: Sequence[MemoryTransaction]) -> None:
        for transaction in transactions:
            self.lost_commits += transaction.is_committing
            if transaction.is_committing and self.dice.random() < 0.5:  # Its COMMIT had arrived.
                transaction.apply()
            else:
                transaction.end()


class MemoryStore:
    """The store of one process, on a server that others use as well."""

    def __init__(self, server: Server, process: Process) -> None:
        self.lanes = 1 if server.one_writer else server.dice.choice((1, 2, 3))
        self._server = server
        self._process = process

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._server.pause()
        with self._server.engine.connect() as connection:
            yield _Watched(connection, self._server)

    @contextmanager
    def write(self) -> Iterator[MemoryTransaction]:
        server = self._server
        if server.one_writer:
            server.pause(lambda: not server.open)
        with server.engine.connect() as connection:
            transaction = MemoryTransaction(connection, server, self._process)
            try:
                yield transaction
                transaction.commit()
            finally:
                if not self._process.is_dead:  # Else the server has yet to notice.
                    transaction.end()

    @contextmanager
    def join(self, connection: MemoryTransaction) -> Iterator[MemoryTransaction]:
        kept = len(connection.writes)
        try:
            yield connection
        except BaseException:
            del connection.writes[kept:]
            raise

    def close(self) -> None:
        pass


class DirectStore:
    """The store that a projector uses: its transactions read what they wrote, so each happens all at once."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._server.pause()
        with self._server.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[SimpleNamespace]:
        self._server.pause()
        with self._server.engine.connect() as connection, in_one(self._server.database):
            yield SimpleNamespace(connection=connection)


class MemoryTransaction(Batch):
    """One write transaction: what it writes is kept here until it commits."""

    def __init__(self, connection: Connection, server: Server, process: Process) -> None:
        self.connection = _Kept(connection, server, self)
        self.process = process
        self.xid = server.draw_xid()
        self.is_committing = False
        self.writes: list[tuple[str, Sequence[Sequence[object]]]] = []
        self._server = server
        server.open.append(self)

    # --- Locks --------------------------------------------------------------------------------------------------------

    def lock(self, user_ids: Collection[str], *, waiting_for: Collection[str] = ()) -> Collection[str]:
        if self._server.one_writer:
            return ()
        wanted = sorted(user_ids)
        for user_id in wanted:
            if user_id in waiting_for:
                self._wait_for(user_id, LOCK_TIMEOUT_S)
        self._make_users(wanted)
        self._statement()
        return [user_id for user_id in wanted if not self._take(user_id)]

    def _make_users(self, user_ids: Sequence[str]) -> None:
        """Make rows with empty documents, in a transaction of its own, which others see at once."""
        self._statement()
        rows = [(user_id,) for user_id in user_ids]
        self._server.database.executemany("INSERT INTO users VALUES (?, 0, '') ON CONFLICT DO NOTHING", rows)

    def lock_catalog(self) -> None:
        self._wait_for(("catalog",))

    def _places(self, codes: Sequence[str]) -> dict[str, int]:
        for code in codes:
            self._wait_for(("place", code))
        self.writes.append(("INSERT INTO achiever_counts VALUES (?, 0) ON CONFLICT DO NOTHING", [(c,) for c in codes]))
        known = self._rows("SELECT achievement, taken FROM achiever_counts")
        return dict.fromkeys(codes, 0) | dict(known)

    def _wait_for(self, lock: Lock, timeout: float | None = None) -> None:
        self._statement()
        if not self._take(lock):
            self._server.pause(lambda: lock not in self._server.locks, timeout)
            self._check_open()
            self._take(lock)

    def _take(self, lock: Lock) -> bool:
        return self._server.locks.setdefault(lock, self) is self

    # --- Statements ---------------------------------------------------------------------------------------------------

    def _documents(self, user_ids: Collection[str]) -> dict[str, str]:
        keys = [(user_id,) for user_id in user_ids]
        statement = "SELECT u.user_id, u.state FROM {keys} JOIN users AS u ON u.user_id = k.a WHERE u.state <> ''"
        return dict(self._rows(statement, keys))

    def _rows(self, statement: str, keys: Sequence[Key] | None = None) -> list:
        if keys == []:
            return []
        self._statement()
        if keys is None:
            return self._server.query(statement)
        return self._server.query(_joined(statement, len(keys[0])), [encode(keys).decode()])

    def _change(self, statement: str, keys: Sequence[Key]) -> None:
        if keys:
            self._statement()
            self.writes.append((_joined(statement, len(keys[0])), [[encode(keys).decode()]]))

    def _insert(self, table: str, rows: Sequence[Key]) -> None:
        if not rows:
            return
        self._statement()
        if table.startswith(JOURNAL):
            table = table.replace(JOURNAL, "journal (seq, user_id, ")
            rows = [(self._server.draw_seq(), *row) for row in rows]
        places = ", ".join("?" * len(rows[0]))
        self.writes.append((f"INSERT INTO {table} VALUES ({places})", rows))

    def _save_documents(self, documents: Sequence[tuple[str, int, str]]) -> None:
        self._statement()
        self.writes.append(("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", documents))

    def _statement(self) -> None:
        """Let others run before the next statement; the connection may be lost meanwhile."""
        self._server.pause()
        self._check_open()
        if self._server.dice.random() < self._server.faults.at_statement:
            self._lose()

    # --- The end ------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Make everything visible at once; the connection may be lost before that, or before the answer arrives."""
        self.is_committing = True
        self._server.pause()
        self._check_open()
        is_lost = self._server.dice.random() < self._server.faults.at_commit
        self._server.lost_commits += is_lost
        if is_lost and self._server.dice.random() < 0.5:
            self._lose()
        self.apply()
        self._server.pause()
        if is_lost:
            raise _lost()

    def apply(self) -> None:
        """Do what a commit does."""
        with in_one(self._server.database) as database:
            for statement, rows in self.writes:
                database.executemany(statement, rows)
        self.end()

    def end(self) -> None:
        """Forget what was not committed, and let go of what was locked."""
        if self in self._server.open:
            self._server.open.remove(self)
            for lock in [lock for lock, owner in self._server.locks.items() if owner is self]:
                del self._server.locks[lock]

    def _lose(self) -> None:
        self.end()
        raise _lost()

    def _check_open(self) -> None:
        if self not in self._server.open:
            raise _lost()


@contextmanager
def in_one(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Write all that is executed, or nothing."""
    database.execute("BEGIN")
    try:
        yield database
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _lost() -> Unavailable:
    return Unavailable("database_unreachable", "The connection was lost.", passes=True)


class _Watched:
    """A connection whose statements others can run between, and which answers the tail as PostgreSQL does."""

    def __init__(self, connection: Connection, server: Server) -> None:
        self._connection = connection
        self._server = server
        self._answers = {
            tail._LAST_VALUE: lambda: server.last_seq,
            tail._HORIZON: lambda: server.horizon,
            tail._DRAW: lambda: (server.horizon, server.draw_xid()),  # The snapshot is taken before its own id.
        }
        #: Another one after a crash: that is how a client hears of it.
        self.connection = SimpleNamespace(dbapi_connection=server.incarnation)
        self.dialect = connection.dialect if server.one_writer else SimpleNamespace(name="postgresql")

    def execute(self, statement, parameters=None):
        self._server.pause()
        if answer := self._answers.get(statement):
            return SimpleNamespace(one=answer)
        return self._connection.execute(statement, parameters)

    def scalar(self, statement):
        self._server.pause()
        return answer() if (answer := self._answers.get(statement)) else self._connection.scalar(statement)

    def scalars(self, statement):
        self._server.pause()
        return self._connection.scalars(statement)

    def commit(self):
        self._server.pause()


class _Kept(_Watched):
    """A transaction's connection: what it is to write is kept until the commit."""

    def __init__(self, connection: Connection, server: Server, transaction: MemoryTransaction) -> None:
        super().__init__(connection, server)
        self._transaction = transaction

    def execute(self, statement, parameters=None):
        if not statement.is_dml:
            return super().execute(statement, parameters)
        self._transaction._statement()
        compiled = statement.compile(dialect=self._connection.dialect)
        values = compiled.params
        self._transaction.writes.append((str(compiled), [[values[name] for name in compiled.positiontup]]))
        return None


# --- The database that answers queries --------------------------------------------------------------------------------


class _Database:
    """SQLite's connection and SQLAlchemy on top of it, which keeps for all runs the statements it has compiled."""

    def __init__(self) -> None:
        self.engine = create_engine("sqlite://", creator=lambda: self.connection, poolclass=StaticPool)
        self.connection: sqlite3.Connection

    def renew(self) -> sqlite3.Connection:
        """Begin with an empty database."""
        self.engine.dispose()
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.connection.deserialize(_empty())
        return self.connection


@cache
def _database() -> _Database:
    return _Database()


@cache
def _empty() -> bytes:
    """An empty database with the schema, as it lies in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.db")
        SqliteStore(f"sqlite:///{path}").close()
        copy = sqlite3.connect(":memory:")
        with sqlite3.connect(path) as file:
            file.backup(copy)
        file.close()
        image = bytearray(copy.serialize())
        copy.close()
    image[18:20] = b"\x01\x01"  # In memory there is no write-ahead log.
    return bytes(image)

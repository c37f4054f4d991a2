"""
The store on SQLite: one file, one writer at a time, any number of processes.

WAL with `synchronous=FULL`: what was answered is on disk. A write takes the lock at once (`BEGIN IMMEDIATE`), loads
what it touches in a statement per table, and writes in a statement per table; JSON carries the keys of a batch into
SQL.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from laurels.core.errors import InvalidInput, Unavailable
from laurels.core.requests import shown
from laurels.store import schema
from laurels.store.batch import Batch, Key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    from laurels.protocols import ForeignConnection

BUSY_TIMEOUT_S = 30.0
#: They are opened when they are needed first, and kept.
CONNECTIONS_MAX = 25
#: SQLite's own wait grows to 100 ms a step and starves a lone writer beside a busy one; a short even step does not.
BUSY_STEP_S = 0.001
#: Pages in the log before they are copied into the file: pages that batches change again and again are copied once.
WAL_PAGES_MAX = 8_192
BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_encode = msgspec.json.Encoder().encode


class SqliteStore:
    """
    A database file: any number of readers beside one writer.

    Raises Unavailable for a file that is locked, read-only, not a database, or of another program or a newer version.
    """

    #: There is one writer at a time anyway.
    lanes = 1

    def __init__(self, url: str, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.url = _file_url(url)
        if not create and not _is_there(Path(self.url.database or "")):
            raise Unavailable(
                "database_missing",
                f"There is no database at {self.url.database}. `laurels init` makes one; `--database` names another.",
            )
        self._busy_timeout_s = busy_timeout_s
        self._engine: Engine = create_engine(self._driver_url(), pool_size=CONNECTIONS_MAX, max_overflow=0)
        event.listen(self._engine, "connect", self._configure)
        event.listen(self._engine, "begin", self._begin)
        try:
            with translated(self.url):
                schema.prepare(self._engine)
                self._keep_log()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up every connection."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading, on one snapshot of the file."""
        with translated(self.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[SqliteTransaction]:
        """Open a write transaction, committed at the end and rolled back by an exception."""
        with (
            translated(self.url),
            self._engine.connect().execution_options(laurels_write=True) as connection,
            connection.begin(),
        ):
            yield SqliteTransaction(connection)

    def join(self, connection: ForeignConnection) -> NoReturn:  # noqa: ARG002
        """Raise InvalidInput: a transaction of another connection holds the whole file."""
        raise InvalidInput(
            "connection_unsupported",
            "On SQLite, requests are recorded on Laurels' own connection; `connection` is for PostgreSQL.",
            "connection",
        )

    def _driver_url(self) -> URL:
        return self.url.set(drivername="sqlite+pysqlite")

    def _keep_log(self) -> None:
        """Let the file keep a write-ahead log from now on: only here, so that no other program's file is changed."""
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            if driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                self._wait_for(driver, "PRAGMA journal_mode = WAL")

    def _configure(self, connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        assert isinstance(connection, sqlite3.Connection)
        connection.isolation_level = None  # Transactions begin where we say so.
        connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout_s * 1000)}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
        connection.execute("PRAGMA temp_store = MEMORY")

    def _begin(self, connection: Connection) -> None:
        if not connection.get_execution_options().get("laurels_write"):
            connection.exec_driver_sql("BEGIN")
            return
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._wait_for(driver, "BEGIN IMMEDIATE")

    def _wait_for(self, driver: sqlite3.Connection, statement: str) -> None:
        """Execute a statement that others' locks hold up; some SQLite would not wait for at all."""
        deadline = time.monotonic() + self._busy_timeout_s
        driver.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    driver.execute(statement)
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF not in BUSY_CODES or time.monotonic() > deadline:
                        raise
                    time.sleep(BUSY_STEP_S)
                else:
                    return
        finally:
            driver.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout_s * 1000)}")


class SqliteTransaction(Batch):
    """One write transaction, which holds the file's write lock: nobody else writes, so no user is ever busy."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver

    def lock(self, user_ids: Collection[str], *, waiting_for: Collection[str] = ()) -> Collection[str]:  # noqa: ARG002
        """Return nobody: all are free for who holds the write lock."""
        return ()

    def lock_catalog(self) -> None:
        """Do nothing: the write lock keeps everybody else off."""

    def _documents(self, user_ids: Collection[str]) -> dict[str, str]:
        statement = "SELECT u.user_id, u.state FROM {keys} JOIN users AS u ON u.user_id = k.a"
        return dict(self._rows(statement, [(user_id,) for user_id in user_ids]))

    def _rows(self, statement: str, keys: Sequence[Key] | None = None) -> list[Any]:
        if keys is None:
            return self._driver.execute(statement).fetchall()
        if not keys:
            return []
        return self._driver.execute(_joined(statement, len(keys[0])), [_encode(keys).decode()]).fetchall()

    def _change(self, statement: str, keys: Sequence[Key]) -> None:
        if keys:
            self._driver.execute(_joined(statement, len(keys[0])), [_encode(keys).decode()])

    def _insert(self, table: str, rows: Sequence[Key]) -> None:
        if rows:
            places = ", ".join("?" * len(rows[0]))
            self._driver.executemany(f"INSERT INTO {table} VALUES ({places})", rows)

    def _save_documents(self, documents: Sequence[tuple[str, int, str]]) -> None:
        self._driver.executemany(
            "INSERT INTO users VALUES (?, ?, ?)"
            " ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, state = excluded.state",
            documents,
        )

    def _places(self, codes: Sequence[str]) -> dict[str, int]:
        self._driver.executemany(
            "INSERT INTO achiever_counts VALUES (?, 0) ON CONFLICT DO NOTHING", [(code,) for code in codes]
        )
        return dict(
            self._rows(
                "SELECT achievement, taken FROM {keys} JOIN achiever_counts ON achievement = k.a",
                [(code,) for code in codes],
            )
        )


@cache
def _joined(statement: str, columns: int) -> str:
    """Return a statement with the table of its keys, which come as a JSON array of arrays."""
    names = ", ".join(f"value ->> {place} AS {name}" for place, name in enumerate("abcd"[:columns]))
    return statement.replace("{keys}", f"(SELECT {names} FROM json_each(?)) AS k")


def _file_url(url: str) -> URL:
    """Return a database URL that names a file."""
    try:
        parsed = make_url(url)
        name = os.fsencode(parsed.database or "")
    except (ArgumentError, UnicodeEncodeError):
        name = b""
    if name in (b"", b":memory:") or b"\0" in name or parsed.host:
        raise InvalidInput(
            "unknown_database",
            f"{shown(url)} names no file, and Laurels keeps its data in a file: sqlite:///FILE. A full path has a "
            "slash of its own: sqlite:////FILE.",
            "url",
        )
    return parsed


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn what SQLite and SQLAlchemy raise into errors that name the file and the way out."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        known = UNAVAILABLE.get(code)
        if known is None:
            raise
        name, advice, retryable = known
        if code == sqlite3.SQLITE_CANTOPEN:
            advice = _why_not_opened(Path(url.database or ""))
        raise Unavailable(name, f"{url.database}: {cause}. {advice}", retryable=retryable) from error
    except UnicodeEncodeError as error:
        raise InvalidInput("invalid_text", f"{shown(error.object)} holds a surrogate: it is no text.") from None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True  # It may not be looked at; opening it says so.


def _why_not_opened(path: Path) -> str:
    try:
        if path.is_dir():
            return "It is a folder: name a file in it."
        if not path.parent.is_dir():
            return f"There is no folder {path.parent}: make it first, or name another."
    except OSError:
        pass  # Not even that may be looked at.
    return "May this user read and write the file and its folder?"


#: SQLite's primary result codes that a caller can do something about.
UNAVAILABLE: Mapping[int, tuple[str, str, bool]] = {
    sqlite3.SQLITE_BUSY: ("database_busy", "Another process has held the write lock for too long; try again.", True),
    sqlite3.SQLITE_LOCKED: ("database_busy", "Another connection has held the lock for too long; try again.", True),
    sqlite3.SQLITE_READONLY: ("database_read_only", "Make the file and its folder writable for this user.", False),
    sqlite3.SQLITE_CANTOPEN: ("database_unreadable", "", False),
    sqlite3.SQLITE_PERM: ("database_unreadable", "May this user read and write the file?", False),
    sqlite3.SQLITE_FULL: ("database_full", "The disk or its quota is full; nothing was recorded. Make room.", True),
    sqlite3.SQLITE_IOERR: ("database_io_error", "The disk refused: is there room, and is it healthy?", True),
    sqlite3.SQLITE_NOTADB: ("database_foreign", "This file is no SQLite database; choose another.", False),
    sqlite3.SQLITE_CORRUPT: ("database_corrupt", "The file is damaged; restore it from a backup.", False),
}

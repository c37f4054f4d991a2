"""
The store on PostgreSQL 15 and later: any number of writers, in any number of processes.

A batch locks the documents of its users in the order of their ids and passes over those whom another batch holds, so
batches never wait for each other and never deadlock. It writes documents by one flat statement over arrays and journal
rows by COPY. All tables are in a schema of their own, `laurels`, so the application's database will do.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from laurels.core.errors import InvalidInput, LaurelsError, Unavailable
from laurels.core.requests import shown
from laurels.store import schema
from laurels.store.batch import Batch, Key
from laurels.store.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

    from laurels.protocols import ForeignConnection

#: How long a batch waits for users whom others have held through several batches.
LOCK_TIMEOUT_MS = 250
#: How long a request in the application's own transaction waits for its users.
JOINED_LOCK_TIMEOUT_MS = 5_000
#: They are opened when they are needed first, and kept: to open one takes longer than most reads.
READERS_MAX = 25
POOL_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10
#: A server that is gone without a word is noticed in half a minute and not after two hours; a given URL may differ.
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
#: Between the values of a column that travels as one text: no id and no JSON text holds a control character.
SEPARATOR = "\x1f"
#: Plans are made once, for keys that find their rows by index, also while a table is young and its statistics are not.
WRITER_OPTIONS = (
    f"-c search_path={SCHEMA} -c default_transaction_isolation=read\\ committed -c plan_cache_mode=force_generic_plan"
    " -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c enable_material=off -c jit=off"
    # A process that is frozen, or gone without a word, holds users for so long and no longer.
    " -c idle_in_transaction_session_timeout=60s"
    " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)
READER_OPTIONS = (
    f"-c search_path={SCHEMA} -c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on"
    " -c jit=off"
)


class PostgresStore:
    """
    A database of a PostgreSQL server.

    Raises Unavailable for a server that cannot be reached or a database that cannot be used.
    """

    def __init__(self, url: str, *, create: bool = True, lanes: int = 1) -> None:
        self.url = _server_url(url)
        self.lanes = lanes
        # A lane's connection, the one that makes its new users, and what is written outside of lanes.
        self._writers = _engine(self.url, WRITER_OPTIONS, pool_size=2 * lanes + 2, max_overflow=10)
        self._readers = _engine(self.url, READER_OPTIONS, pool_size=READERS_MAX, max_overflow=0, pool_pre_ping=True)
        try:
            with translated(self.url):
                schema.prepare(self._writers, create=create)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up every connection."""
        self._writers.dispose()
        self._readers.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading, on one snapshot of the database."""
        with translated(self.url), self._readers.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[PostgresTransaction]:
        """Open a write transaction, committed at the end and rolled back by an exception."""
        with translated(self.url), self._writing() as (connection, driver):
            batches = connection.info["laurels_batches"] = connection.info.get("laurels_batches", 0) + 1
            if batches.bit_count() == 1:  # Plans made for a small table are made again when it has grown.
                driver.execute("DISCARD PLANS")
            yield PostgresTransaction(driver, self._make_users, connection)

    @contextmanager
    def join(self, connection: ForeignConnection) -> Iterator[PostgresTransaction]:
        """
        Take part in the application's transaction. An error undoes what was done here and nothing before it.

        Raises InvalidInput for what is no connection to PostgreSQL.
        """
        driver = _driver_of(connection)
        cursor = psycopg.Cursor(driver, row_factory=tuple_row)
        with translated(self.url):
            # Also begins the application's transaction if need be: what follows is a savepoint in it.
            (isolation, *before), *_ = cursor.execute(
                "SELECT current_setting('transaction_isolation'), current_setting('search_path'),"
                " current_setting('lock_timeout')"
            )
            if isolation != "read committed":
                raise InvalidInput(
                    "connection_unsupported",
                    f"The connection's transaction is {isolation!r}, so it does not see what others committed since it "
                    "began; recording needs one that is 'read committed'.",
                    "connection",
                )
            with driver.transaction():
                cursor.execute("SELECT set_config('search_path', %s, true)", [SCHEMA])
                yield PostgresTransaction(driver, self._make_users, lock_timeout_ms=JOINED_LOCK_TIMEOUT_MS)
                cursor.execute(
                    "SELECT set_config('search_path', %s, true), set_config('lock_timeout', %s, true)", before
                )

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, psycopg.Connection[Any]]]:
        """
        Begin a transaction on a connection for writing, and hand out SQLAlchemy's and psycopg's side of it.

        Connections that were lost, or that a failover left at a server which takes no writes, are all given up: those
        that wait in the pool are no better.
        """
        with self._writers.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            try:
                with connection.begin():
                    yield connection, driver
            except (psycopg.Error, DBAPIError) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                if driver.closed or isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
                    connection.invalidate()
                    self._writers.dispose()
                raise

    def _make_users(self, user_ids: Sequence[str]) -> None:
        """
        Make rows for users who have none, with empty documents, and commit them at once.

        Two batches that make the same user wait for each other here, where neither holds anything the other needs.
        """
        with self._writing() as (_, driver):
            cursor = psycopg.Cursor(driver, row_factory=tuple_row)
            cursor.execute("SET LOCAL synchronous_commit = off")  # The batch's own commit brings it to the disk.
            cursor.execute(
                "INSERT INTO users SELECT u.user_id, 0, '' FROM"
                f" unnest({_ARRAY}) AS u(user_id) ORDER BY u.user_id ON CONFLICT DO NOTHING",
                [SEPARATOR.join(sorted(user_ids))],
            )


class PostgresTransaction(Batch):
    """One write transaction, which holds the users it locked."""

    def __init__(
        self,
        driver: psycopg.Connection[Any],
        make_users: Callable[[Sequence[str]], None],
        connection: Connection | None = None,
        *,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    ) -> None:
        if connection is not None:
            self.connection = connection
        self._cursor = psycopg.Cursor(driver, row_factory=tuple_row)
        self._make_users = make_users
        self._lock_timeout_ms = lock_timeout_ms
        self._locked: dict[str, str] = {}

    def lock(self, user_ids: Collection[str], *, waiting_for: Collection[str] = ()) -> Collection[str]:
        """Lock users until the end, and make those who are new; return those whom others hold."""
        wanted = set(user_ids) - self._locked.keys()
        if waiting_for:
            self._wait_for(wanted.intersection(waiting_for))
            wanted -= self._locked.keys()
        if wanted:
            self._lock(wanted, "SKIP LOCKED")
            wanted -= self._locked.keys()
        if wanted and (new := self._make_new(wanted)):
            self._lock(new, "SKIP LOCKED")
            wanted -= self._locked.keys()
        return wanted

    def lock_catalog(self) -> None:
        """Keep others from applying a catalog until the end; reading it goes on."""
        self._cursor.execute("LOCK TABLE catalog_revisions IN SHARE ROW EXCLUSIVE MODE")

    def _wait_for(self, user_ids: Collection[str]) -> None:
        """
        Lock users, waiting a moment for each; if one is held longer, none.

        Comes first in a batch: who waits must hold nobody whom others may wait for.
        """
        self._make_new(user_ids)
        self._cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{self._lock_timeout_ms}ms"])
        try:
            with self._cursor.connection.transaction():
                self._lock(user_ids, "")
        except psycopg.errors.LockNotAvailable:
            pass

    def _make_new(self, user_ids: Collection[str]) -> list[str]:
        """Make those of the users who are not there, and return them."""
        new = list(set(user_ids).difference(user_id for (user_id,) in self._select_users("user_id", user_ids)))
        if new:
            self._make_users(new)
        return new

    def _lock(self, user_ids: Collection[str], how: str) -> None:
        self._locked.update(self._select_users("user_id, state", user_ids, f"ORDER BY user_id FOR NO KEY UPDATE {how}"))

    def _select_users(self, columns: str, user_ids: Iterable[str], how: str = "") -> list[Any]:
        statement = f"SELECT {columns} FROM users WHERE user_id = ANY({_ARRAY}) {how}"
        return self._cursor.execute(statement, [SEPARATOR.join(user_ids)], prepare=True).fetchall()

    def _documents(self, user_ids: Collection[str]) -> dict[str, str]:
        documents = ((user_id, self._locked.get(user_id)) for user_id in user_ids)
        return {user_id: document for user_id, document in documents if document}

    def _rows(self, statement: str, keys: Sequence[Key] | None = None) -> list[Any]:
        if keys is None:
            return self._cursor.execute(statement, prepare=True).fetchall()
        if not keys:
            return []
        return self._cursor.execute(_joined(statement, len(keys[0])), _columns(keys), prepare=True).fetchall()

    def _change(self, statement: str, keys: Sequence[Key]) -> None:
        if keys:
            self._cursor.execute(_joined(statement, len(keys[0])), _columns(keys), prepare=True)

    def _insert(self, table: str, rows: Sequence[Key]) -> None:
        if rows:
            with self._cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

    def _save_documents(self, documents: Sequence[tuple[str, int, str]]) -> None:
        self._change(
            "UPDATE users SET version = CAST(k.b AS bigint), state = k.c FROM {keys} WHERE users.user_id = k.a",
            documents,
        )
        assert not documents or self._cursor.rowcount == len(documents)

    def _places(self, codes: Sequence[str]) -> dict[str, int]:
        keys = [(code,) for code in codes]
        self._change("INSERT INTO achiever_counts SELECT k.a, 0 FROM {keys} ON CONFLICT DO NOTHING", keys)
        return dict(
            self._rows(
                "SELECT achievement, taken FROM {keys} JOIN achiever_counts ON achievement = k.a"
                " ORDER BY achievement FOR UPDATE OF achiever_counts",
                keys,
            )
        )


_ARRAY = "string_to_array(%s, U&'\\001F')"


@cache
def _joined(statement: str, columns: int) -> str:
    """Return a statement with the table of its keys, each column of which comes as one text."""
    # A column of one empty text makes an empty array.
    names = "abcd"[:columns]
    selected = ", ".join(f"coalesce({name}, '') AS {name}" for name in names)
    arrays = ", ".join([_ARRAY] * columns)
    keys = f"(SELECT {selected} FROM unnest({arrays}) AS u({', '.join(names)})) AS k"
    return statement.replace("{keys}", keys)


def _columns(keys: Sequence[Key]) -> list[str]:
    return [
        SEPARATOR.join(column if isinstance(column[0], str) else map(str, column)) for column in zip(*keys, strict=True)
    ]


def _engine(url: URL, options: str, **pool: Any) -> Engine:
    given = url.query.get("options", "")
    return create_engine(
        url,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={
            **{name: url.query.get(name, value) for name, value in KEEPALIVE.items()},
            "options": f"{options} {given if isinstance(given, str) else ' '.join(given)}".strip(),
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": url.query.get("application_name", "laurels"),
        },
        **pool,
    )


def _server_url(url: str) -> URL:
    """Return a URL that names a database of a PostgreSQL server."""
    try:
        parsed = make_url(re.sub(r"^postgres(ql)?(\+psycopg)?:", "postgresql+psycopg:", url))
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or not (parsed.database or parsed.query):
        raise InvalidInput(
            "unknown_database", "The address names no database: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.", "url"
        )
    return parsed


def _driver_of(connection: ForeignConnection) -> psycopg.Connection[Any]:
    """Return psycopg's connection under what the application handed over."""
    found: object = connection
    if not isinstance(found, psycopg.Connection | Connection) and hasattr(found, "connection"):
        inner = found.connection  # A Session of SQLAlchemy's makes one; other frameworks keep theirs there.
        found = inner() if callable(inner) else inner
    if isinstance(found, Connection):
        if not found.in_transaction():
            found.begin()  # What is done below SQLAlchemy would not begin one, and its commit would do nothing.
        found = found.connection.driver_connection
    if not isinstance(found, psycopg.Connection):
        raise InvalidInput(
            "connection_unsupported",
            f"{type(connection).__name__} is no connection to PostgreSQL by psycopg 3, nor one of SQLAlchemy's on it.",
            "connection",
        )
    return found


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn what psycopg and SQLAlchemy raise into errors that name the database and the way out."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(
            "database_busy", f"All connections were in use for {POOL_TIMEOUT_S:g} s; try again.", retryable=True
        ) from error
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        found = _unavailable(cause, url)
        if found is None:
            raise
        raise found from error
    except UnicodeEncodeError as error:
        raise InvalidInput("invalid_text", f"{shown(error.object)} holds a surrogate: it is no text.") from None


def _unavailable(error: object, url: URL) -> LaurelsError | None:
    """Return what a caller can do about an error of the server or of the way to it; None where nothing."""
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    known = UNAVAILABLE.get(state) or UNAVAILABLE.get(state[:2])
    if known is None and isinstance(error, psycopg.OperationalError):
        known = UNAVAILABLE[""]  # The connection was lost, or never came to be.
    if known is None:
        return None
    name, advice, passes = known
    where = f"{url.host or 'the local server'}/{url.database or ''}"
    message = " ".join(str(error).split("\n", 1)[0].split())
    return Unavailable(name, f"{where}: {message}. {advice}", passes=passes)


#: By SQLSTATE, or its class: the code, what to do, and whether it passes by itself.
UNAVAILABLE: Mapping[str, tuple[str, str, bool]] = {
    "": ("database_unreachable", "Is the server running, and may it be reached from here?", True),
    "08": ("database_unreachable", "The connection was lost.", True),
    "25P03": ("database_timeout", "The server ended a transaction in which too little happened; try again.", True),
    "25P04": ("database_timeout", "The server's transaction_timeout is shorter than this took; try again.", True),
    "25006": ("database_read_only", "The server takes no writes, as after a failover; try again.", True),
    "3F000": ("database_missing", "`laurels init` makes Laurels' tables in it.", False),
    "42P01": ("database_missing", "`laurels init` makes Laurels' tables in it.", False),
    "40001": ("database_conflict", "Another transaction was faster; try again.", True),
    "40P01": ("database_conflict", "It and another transaction waited for each other; try again.", True),
    "42501": ("database_refused", "Give the user the right to do so, or use another.", False),
    "53100": ("database_full", "The server's disk is full; nothing was recorded. Make room.", True),
    "53": ("database_busy", "The server is short of something; try again.", True),
    "55P03": ("user_busy", "Somebody else holds it; try again.", True),
    "57014": ("database_timeout", "The server's statement_timeout is shorter than this took; try again.", True),
    "57": ("database_unreachable", "The server is stopping or starting.", True),
    "58": ("database_io_error", "The server's disk refused: is there room, and is it healthy?", True),
    "XX001": ("database_corrupt", "The server's files are damaged; restore them from a backup.", False),
}

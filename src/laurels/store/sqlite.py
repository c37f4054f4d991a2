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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple
from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from laurels.core import history
from laurels.core.changes import Change, CurrencyCredited, Outcome, Skip, addressed
from laurels.core.decide import Context, Recorded, States
from laurels.core.errors import InvalidInput, Unavailable
from laurels.core.periods import from_datetime
from laurels.core.quests import stored_run
from laurels.core.requests import shown
from laurels.core.state import UserState
from laurels.store import schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    from laurels.core.catalog import Catalog
    from laurels.core.decide import Decision, RequestKey, Touches

BUSY_TIMEOUT_S = 30.0
#: SQLite's own wait grows to 100 ms a step and starves a lone writer beside a busy one; a short even step does not.
BUSY_STEP_S = 0.001
#: Pages in the log before they are copied into the file: pages that batches change again and again are copied once.
WAL_PAGES_MAX = 8_192
BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_INSERT_JOURNAL = """
INSERT INTO journal (user_id, version, actor_id, request_id, type, time, recorded_at, revision, fingerprint, day,
groups,                      data, touched, changes, skipped) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_encode = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(UserState).decode
_decode_changes = msgspec.json.Decoder(list[Change]).decode
_decode_skips = msgspec.json.Decoder(tuple[Skip, ...]).decode
_decode_touched = msgspec.json.Decoder(list[tuple[str, int]]).decode


class SqliteStore:
    """
    A database file: any number of readers beside one writer.

    Raises Unavailable for a file that is locked, read-only, not a database, or of another program or a newer version.
    """

    def __init__(self, url: str, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.url = _file_url(url)
        if not create and not _is_there(Path(self.url.database or "")):
            raise Unavailable(
                "database_missing",
                f"There is no database at {self.url.database}. `laurels init` makes one; `--database` names another.",
            )
        self._busy_timeout_s = busy_timeout_s
        self._engine: Engine = create_engine(self._driver_url(), pool_size=5, max_overflow=20)
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


class SqliteTransaction:
    """One write transaction: load what requests touch, write what was decided."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver

    def revision(self) -> int:
        """Return the number of the current catalog revision, 0 for none."""
        return int(self._rows("SELECT coalesce(max(revision), 0) FROM catalog_revisions")[0][0])

    def load(self, touched: Touches, keys: Collection[RequestKey], catalog: Catalog) -> Context:
        """Load everything that deciding these requests needs to know, in a statement per table."""
        context = Context()
        documents = dict(
            self._rows(
                "SELECT user_id, state FROM users WHERE user_id IN (SELECT value FROM json_each(?))",
                list(touched.users),
            )
        )
        context.states = States(documents)
        self._load_recorded(context, [key for key in keys if key[0] in context.states])
        if touched.claims:
            context.claims = self._claims([key for key in touched.claims if key[0] in context.states])
        if catalog.limited:
            taken = dict(self._rows("SELECT achievement, taken FROM achiever_counts"))
            limits = {code: catalog.achievements[code].max_achievers or 0 for code in catalog.limited}
            context.places = {code: limit - taken.get(code, 0) for code, limit in limits.items()}
        if touched.holds or touched.refunded or touched.quests:
            self._load_past(context, touched)
        return context

    def remember(self, context: Context, user_ids: Iterable[str], catalog: Catalog) -> None:
        """Give the context the memories of users with late requests, and their documents what they had forgotten."""
        for user_id in user_ids:
            state = context.states.get(user_id)
            if state is None:
                context.memories[user_id] = history.Memory()
                continue
            rows = self._rows("SELECT time, changes FROM journal WHERE user_id = ? ORDER BY version", user_id)
            runs = self._rows("SELECT quest, period, completed_at FROM quest_runs WHERE user_id = ?", user_id)
            context.memories[user_id] = history.remember(
                state,
                ((at, _decode_changes(changes)) for at, changes in rows),
                (
                    (quest, stored_run(catalog.quests[quest], period, completed_at))
                    for quest, period, completed_at in runs
                    if quest in catalog.quests
                ),
            )

    def save(self, decisions: Sequence[Decision], states: States) -> None:
        """Write what was decided: journal, documents, and the rows of what is rare."""
        documents = []
        for user_id in {row.user_id for decision in decisions for row in decision.rows}:
            state = states[user_id]
            history.forget(state)
            documents.append((user_id, state.version, _encode(state).decode()))
        self._many(
            "INSERT INTO users VALUES (?, ?, ?)"
            " ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, state = excluded.state",
            documents,
        )
        self._many(_INSERT_JOURNAL, [astuple(row) for decision in decisions for row in decision.rows])
        self._save_rare(decisions)

    # --- Loading ------------------------------------------------------------------------------------------------------

    def _load_recorded(self, context: Context, keys: Iterable[RequestKey]) -> None:
        rows = self._rows(
            "SELECT j.actor_id, j.request_id, j.fingerprint, j.touched, j.changes, j.skipped FROM json_each(?) AS k"
            " JOIN journal AS j ON j.actor_id = k.value ->> 0 AND j.request_id = k.value ->> 1"
            " WHERE j.user_id = j.actor_id",
            list(keys),
        )
        for actor, request_id, fingerprint, touched, changes, skipped in rows:
            shown = addressed(actor, _decode_changes(changes))
            for user_id, version in _decode_touched(touched) if touched else ():
                found = self._rows("SELECT changes FROM journal WHERE user_id = ? AND version = ?", user_id, version)
                for (others,) in found:
                    shown += addressed(user_id, _decode_changes(others))
            outcome = Outcome(
                user_id=actor,
                event_id=request_id,
                status="applied",
                changes=tuple(shown),
                skipped=_decode_skips(skipped) if skipped else (),
            )
            context.recorded[actor, request_id] = Recorded(fingerprint, outcome)

    def _claims(self, keys: Iterable[tuple[str, str, str, str]]) -> set[tuple[str, str, str, str]]:
        return set(
            self._rows(
                "SELECT c.user_id, c.scope, c.actor, c.value FROM json_each(?) AS k JOIN claims AS c"
                " ON c.user_id = k.value ->> 0 AND c.scope = k.value ->> 1"
                " AND c.actor = k.value ->> 2 AND c.value = k.value ->> 3",
                list(keys),
            )
        )

    def _load_past(self, context: Context, touched: Touches) -> None:
        """Load what a wallet or quest command names: closed holds, spends to refund, claimed runs."""
        for user_id, hold in touched.holds:
            for (ended,) in self._rows(
                "SELECT ended FROM holds WHERE user_id = ? AND hold = ? AND ended IS NOT NULL", user_id, hold
            ):
                context.past.closed_holds[user_id, hold] = ended
        self._load_recorded(context, touched.refunded - context.recorded.keys())
        for key in touched.refunded:
            refunds = self._rows(
                "SELECT changes FROM journal WHERE user_id = ? AND actor_id = user_id AND type = ':refund'"
                " AND data ->> 'request' = ?",
                *key,
            )
            context.past.refunded[key] = sum(
                change.amount
                for (changes,) in refunds
                for change in _decode_changes(changes)
                if isinstance(change, CurrencyCredited) and change.kind == "refund"
            )
        for user_id, quest in touched.quests:
            rows = self._rows(
                "SELECT period FROM quest_runs WHERE user_id = ? AND quest = ? AND claimed_at IS NOT NULL",
                user_id,
                quest,
            )
            context.claimed[user_id, quest] = frozenset(period for (period,) in rows)

    # --- Writing ------------------------------------------------------------------------------------------------------

    def _save_rare(self, decisions: Sequence[Decision]) -> None:
        """Write what most requests do not cause: notifications, claims, unlocks, quest runs, holds, places taken."""
        drafts = [pair for decision in decisions for pair in decision.rare]
        self._many(
            "INSERT INTO notifications VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            [
                (
                    user_id,
                    n.number,
                    n.type,
                    n.title,
                    n.message,
                    n.image,
                    _encode(n.data).decode(),
                    from_datetime(n.created_at),
                )
                for decision in decisions
                for user_id, n in decision.notifications
            ],
        )
        self._many(
            "INSERT INTO claims VALUES (?, ?, ?, ?)",
            [(draft.user_id, c.scope, c.actor, c.value) for draft, _ in drafts for c in draft.claims],
        )
        self._many(
            "INSERT INTO unlocks VALUES (?, ?, ?, ?, ?, ?)",
            [
                (draft.user_id, u.achievement, u.times, from_datetime(u.unlocked_at), row.recorded_at, row.version)
                for draft, row in drafts
                for u in draft.unlocked
            ],
        )
        self._many(
            "INSERT INTO quest_runs VALUES (?, ?, ?, ?, ?)",
            [
                (draft.user_id, record.quest, record.period, record.completed_at, record.claimed_at)
                for draft, _ in drafts
                for record in draft.quest_records
                if record.completed_at is not None
            ],
        )
        self._many(
            "UPDATE quest_runs SET claimed_at = ? WHERE user_id = ? AND quest = ? AND period = ?",
            [
                (record.claimed_at, draft.user_id, record.quest, record.period)
                for draft, _ in drafts
                for record in draft.quest_records
                if record.completed_at is None
            ],
        )
        opened = [(draft.user_id, draft.opened_hold) for draft, _ in drafts if draft.opened_hold is not None]
        self._many(
            "INSERT INTO holds VALUES (?, ?, ?, ?, ?, NULL)",
            [(user_id, hold.id, hold.currency, hold.amount, hold.expires_at) for user_id, hold in opened],
        )
        self._many(
            "UPDATE holds SET ended = ? WHERE user_id = ? AND hold = ?",
            [(how, draft.user_id, hold_id) for draft, _ in drafts for hold_id, how in draft.closed_holds],
        )
        self._many(
            "INSERT INTO achiever_counts VALUES (?, 1) ON CONFLICT DO UPDATE SET taken = taken + 1",
            [(code,) for draft, _ in drafts for code in draft.places_taken],
        )

    # --- Statements ---------------------------------------------------------------------------------------------------

    def _rows(self, statement: str, *parameters: object) -> list[Any]:
        """Run a query; a list among the parameters travels as JSON."""
        bound = [_encode(value).decode() if isinstance(value, list) else value for value in parameters]
        return self._driver.execute(statement, bound).fetchall()

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._driver.executemany(statement, rows)


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

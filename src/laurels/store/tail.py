"""
Reading the journal behind its writers: up to where it is final, and who alone may project it.

On PostgreSQL rows become visible in the order of commits, not of `seq`, so a reader who goes by the largest number it
sees steps over a transaction that is still open. `Tail` says up to where no row can come any more. It rests on one
habit of writers: they lock their users before they write the journal, so a transaction has its id before it draws its
first `seq`. On SQLite there is one writer at a time, and what is committed is final.

A lease is an advisory lock that lives as long as the connection that took it: a projector that dies loses it at once.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from laurels.core.errors import Unavailable
from laurels.store.tables import journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine, Row
    from sqlalchemy.engine.interfaces import DBAPIConnection

CHUNK_ROWS = 2_000
#: Places in the sequence that wait to become final at the same time; with one, a long transaction would delay twice.
PENDING_MAX = 16
#: What a projection waits out: a database, or a Redis, that is away.
AWAY = (Unavailable, OperationalError, InterfaceError)

_LAST_VALUE = text("SELECT pg_sequence_last_value(pg_get_serial_sequence('journal', 'seq')::regclass)")
#: A server that hears nothing from a machine which vanished would keep its lease for two hours.
_KEEPALIVE = text("SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3")
#: In this order: the statement's snapshot is taken first, and its own id drawn after it.
_DRAW = text(
    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon, pg_current_xact_id()::text::bigint AS own"
)
_HORIZON = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
#: Only transactions that have an id hold the horizon; readers, however old their snapshots, do not.
_OLDEST = text(
    """
    SELECT pid, application, age_s FROM (
        SELECT pid, application_name AS application, backend_xid AS xid,
               extract(epoch FROM clock_timestamp() - xact_start)::float AS age_s
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
        UNION ALL
        SELECT NULL, 'prepared transaction ' || gid, transaction,
               extract(epoch FROM clock_timestamp() - prepared)::float
        FROM pg_prepared_xacts
    ) AS open ORDER BY age(xid) DESC LIMIT 1
    """
)
_TRY_LEASE = text("SELECT pg_try_advisory_lock(hashtextextended('laurels:' || :projection, 0))")
_GIVE_BACK = text("SELECT pg_advisory_unlock_all()")


class _Pending(NamedTuple):
    """A place in the sequence, the transaction id drawn after it was read, and when (monotonic seconds)."""

    seq: int
    xid: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The open transaction that keeps the journal from becoming final; `pid` is None for a prepared one."""

    pid: int | None
    application: str
    age_s: float


class Tail:
    """
    Up to where the journal is final, as seen through a connection on which each statement is a transaction of its own.

    `watch` opens such connections. On another one the tail begins anew: a server that crashed gives out again numbers
    and ids that it had given out before and nobody committed, and only a broken connection tells.
    """

    def __init__(self) -> None:
        self._final = 0
        self._settled = 0
        self._pending: deque[_Pending] = deque()
        self._seen_through: DBAPIConnection | None = None

    @property
    def seen(self) -> int:
        """Return the largest `seq` that was drawn as far as the tail knows, final or not, a row or not."""
        return self._pending[-1].seq if self._pending else self._final

    @property
    def final(self) -> int:
        """Return up to which `seq` no row can come any more."""
        return self._final

    @property
    def waits(self) -> bool:
        """Whether it knows of numbers that may still become rows."""
        return bool(self._pending)

    def settled(self, connection: Connection) -> int:
        """
        Return the `seq` of the last row up to which the journal is final.

        A row's, and not the last number's that was drawn: numbers of transactions that came to nothing are drawn again
        after a crash, and a cursor outside of the database would step over the rows that get them.
        """
        driver = connection.connection.dbapi_connection
        if driver is not self._seen_through:
            self._seen_through, self._final, self._settled = driver, 0, 0
            self._pending.clear()
        if connection.dialect.name == "sqlite":
            self._final = self._settled = connection.scalar(select(func.max(journal.c.seq))) or 0
            connection.commit()  # The next look is to see more, and a snapshot that stays open swells the log.
        elif self._moves(connection):
            last_row = select(func.max(journal.c.seq)).where(journal.c.seq <= self._final)
            self._settled = connection.scalar(last_row) or 0
        return self._settled

    def settled_soon(self, connection: Connection, *, wait_s: float, pause_s: float) -> int:
        """Return the same after waiting, for so long at most, until all that was there at the start is final."""
        settled, deadline = self.settled(connection), time.monotonic() + wait_s
        goal = self.seen
        while self.final < goal and time.monotonic() < deadline:
            time.sleep(pause_s)
            settled = self.settled(connection)
        return settled

    def _moves(self, connection: Connection) -> bool:
        """Look where the sequence and the oldest open transaction are; return whether more is final now."""
        last: int = connection.scalar(_LAST_VALUE) or 0
        before = self._final
        if last > self.seen and len(self._pending) < PENDING_MAX:
            horizon, own = connection.execute(_DRAW).one()
            self._pending.append(_Pending(last, own, time.monotonic()))
        elif self._pending:
            horizon = connection.scalar(_HORIZON)
        while self._pending and self._pending[0].xid <= horizon:
            self._final = self._pending.popleft().seq
        return self._final > before

    def holding_back(self, connection: Connection, *, longer_than_s: float = 0.0) -> Holder | None:
        """Return the oldest open transaction if the tail has waited for it so long; on SQLite there is none."""
        waited_s = time.monotonic() - self._pending[0].since if self._pending else 0.0
        if not self._pending or waited_s < longer_than_s:
            return None
        oldest = connection.execute(_OLDEST).one_or_none()
        if oldest is None:
            return None
        # Of other people's transactions the server may not tell the age; it is at least what was waited.
        return Holder(pid=oldest.pid, application=oldest.application or "", age_s=oldest.age_s or waited_s)


def chunks(
    connection: Connection, *columns: ColumnElement[object], after: int, settled: int, rows_max: int = CHUNK_ROWS
) -> Iterator[Sequence[Row[tuple[object, ...]]]]:
    """Yield the journal's rows between two places, the first excluded, in order of `seq`: each row `seq`, *columns."""
    while after < settled:
        query = select(journal.c.seq, *columns).where(journal.c.seq > after, journal.c.seq <= settled)
        rows = connection.execute(query.order_by(journal.c.seq).limit(rows_max)).all()
        if not rows:
            return
        yield rows
        after = rows[-1].seq


def watch(database: Engine) -> Connection:
    """Return a connection for a tail and its lease: one of its own, each statement a transaction of its own."""
    connection = database.connect()
    if database.dialect.name == "postgresql":
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(_KEEPALIVE)
    return connection


def close(connection: Connection) -> None:
    """Close what `watch` opened, and with it the lease, also when the server is not there any more."""
    if connection.dialect.name == "postgresql" and not connection.invalidated:
        with suppress(DBAPIError):
            connection.execute(_GIVE_BACK)
    connection.invalidate()  # Back in the pool, it would begin other things with these settings.
    connection.close()


def take_lease(connection: Connection, projection: str) -> bool:
    """
    Try to become the one who brings a projection forward, for as long as this connection lives; do not wait.

    On SQLite the write lock is the lease, and everybody has it who gets that.
    """
    return connection.dialect.name == "sqlite" or bool(connection.scalar(_TRY_LEASE, {"projection": projection}))

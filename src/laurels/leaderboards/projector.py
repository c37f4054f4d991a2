"""
The boards as a projection of the journal: every score on every board, brought forward from where it stands.

A board's cursor is kept beside its scores and moves with them in one atomic step, so every journal row counts exactly
once. A board whose definition changed, or which is new, starts from nothing and is filled from the journal.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from sqlalchemy import select, text

from laurels.core.changes import Change, contributions
from laurels.leaderboards import sql
from laurels.leaderboards.scores import Part, Scores, add_score
from laurels.leaderboards.sql import UNFILLED
from laurels.store.tables import journal
from laurels.store.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import Connection

    from laurels.core.catalog import Catalog, Leaderboard
    from laurels.protocols import Leaderboards, Store

T = TypeVar("T")

#: The name under which the lease on the boards is taken.
PROJECTION = "boards"
STEP_ROWS = 2_000
#: How long to wait for open transactions: who projects on purpose, and who only wants to read.
SETTLE_S, READER_WAITS_S, POLL_S = 2.0, 0.1, 0.005
#: The same lease that a worker takes for as long as it lives (tail.py), for one transaction.
_TRY_TURN = text("SELECT pg_try_advisory_xact_lock(hashtextextended('laurels:' || :projection, 0))")
_decode_changes = msgspec.json.Decoder(list[Change]).decode
_decode_groups = msgspec.json.Decoder(dict[str, str]).decode


class Leg(NamedTuple):
    """A part of the way: the boards that stand furthest behind, from where, and where the next ones stand."""

    boards: tuple[Leaderboard, ...]
    start: int
    end: int


class Told(NamedTuple):
    """What a stretch of the journal means: scores by board, up to which row, and how many rows were read."""

    scores: Mapping[str, Scores]
    end: int
    rows: int


def next_leg(at: Mapping[str, int], catalog: Catalog, settled: int) -> Leg | None:
    """Return which boards to bring forward next, and how far together; None where all stand at `settled`."""
    start = min(at.values(), default=settled)
    if start >= settled:
        return None
    boards = tuple(catalog.leaderboards[code] for code, seq in at.items() if seq == start)
    return Leg(boards, start, min((seq for seq in at.values() if seq > start), default=settled))


def read_leg(connection: Connection, catalog: Catalog, leg: Leg, rows_max: int) -> Told:
    """Read at most `rows_max` rows of the journal, once for all boards of a leg."""
    query = select(journal.c.seq, journal.c.user_id, journal.c.time, journal.c.day, journal.c.groups, journal.c.changes)
    query = query.where(journal.c.seq > leg.start, journal.c.seq <= leg.end).order_by(journal.c.seq).limit(rows_max)
    rows = connection.execute(query).all()
    scores: dict[str, Scores] = {board.code: {} for board in leg.boards}
    by_metric = _by_metric(leg.boards)
    for row in rows:
        member_of = _decode_groups(row.groups) if row.groups else {}
        for metric, delta, value in contributions(_decode_changes(row.changes)):
            for board in by_metric.get(metric, ()):
                part = Part(row.user_id, row.time, row.day, member_of, delta, value)
                add_score(scores[board.code], board, catalog, part)
    return Told(scores, rows[-1].seq if len(rows) == rows_max else leg.end, len(rows))


def _by_metric(boards: Iterable[Leaderboard]) -> Mapping[str, list[Leaderboard]]:
    found: dict[str, list[Leaderboard]] = {}
    for board in boards:
        found.setdefault(board.metric, []).append(board)
    return found


def advance(connection: Connection, catalog: Catalog, settled: int, rows_max: int) -> int:
    """
    Bring the boards in the database that are furthest behind forward, in the caller's transaction.

    Returns how many journal rows were read: at most `rows_max`, and none past where the next board stands. Whoever else
    tries this meanwhile waits, so nothing counts twice.
    """
    at = sql.positions(connection, catalog, held=True)
    for code, seq in at.items():
        if seq == UNFILLED:
            sql.clear(connection, code)
            at[code] = 0
    leg = next_leg(at, catalog, settled)
    if leg is None:
        sql.move_cursors(connection, [catalog.leaderboards[c] for c, s in at.items() if s == settled], catalog, settled)
        return 0
    told = read_leg(connection, catalog, leg, rows_max)
    sql.write_scores(connection, catalog, told.scores)
    sql.move_cursors(connection, leg.boards, catalog, told.end)
    return told.rows


class Projector:
    """
    Brings the boards forward behind the journal, and puts questions to them.

    Whoever holds the lease calls `step`; without a worker, those who read do it for themselves, if nobody is at it.
    """

    def __init__(self, store: Store, catalog: Callable[[], Catalog]) -> None:
        self._store = store
        self._catalog = catalog
        self._tail = Tail()
        self._tail_in_use = threading.Lock()

    def step(self, settled: int, *, leased: bool = True) -> int:
        """
        Bring the boards forward by some rows, to `settled` at most; return how many, 0 where nothing is left to do.

        A caller without the lease gets 0 too where somebody else has it.
        """
        if self.behind(settled) == 0:
            return 0
        with self._store.write() as transaction:
            connection = transaction.connection
            if leased or _take_turn(connection):
                return advance(connection, self._catalog(), settled, STEP_ROWS)
        return 0

    def behind(self, settled: int) -> int:
        """Return how many rows of the journal up to `settled` some board does not show yet."""
        with self._store.read() as connection:
            at = sql.positions(connection, self._catalog())
        return max(0, settled - min((max(seq, 0) for seq in at.values()), default=settled))

    def project(self, step: Callable[[int, int | None], object] | None = None) -> int:
        """Bring the boards up to what was recorded before, telling `step` of it; return how many rows that took."""
        done, settled = 0, self._settled(wait_s=SETTLE_S)
        while rows := self.step(settled, leased=False):
            done += rows
            if step is not None:
                step(done, done + self.behind(settled))
        return done

    def ask(self, question: Callable[[Leaderboards], T]) -> T:
        """Put a question, after bringing the boards forward if that is for readers to do."""
        settled = self._settled(wait_s=READER_WAITS_S)
        while self.step(settled, leased=False):
            pass
        with self._store.read() as connection:
            return question(sql.SqlLeaderboards(connection))

    def rebuild(self) -> None:
        """Let every board start from nothing."""
        with self._store.write() as transaction:
            sql.forget(transaction.connection)

    def _settled(self, *, wait_s: float) -> int:
        """Return up to where the journal is final; wait a moment for what is not yet."""
        with self._tail_in_use, self._store.read() as opened:
            is_sqlite = opened.dialect.name == "sqlite"
            connection = opened if is_sqlite else opened.execution_options(isolation_level="AUTOCOMMIT")
            deadline = time.monotonic() + wait_s
            settled = self._tail.settled(connection)
            while self._tail.waits and time.monotonic() < deadline:
                time.sleep(POLL_S)
                settled = self._tail.settled(connection)
        return settled


def _take_turn(connection: Connection) -> bool:
    """Try to be the one who projects until the transaction ends; on SQLite that is whoever holds the write lock."""
    return connection.dialect.name == "sqlite" or bool(connection.scalar(_TRY_TURN, {"projection": PROJECTION}))

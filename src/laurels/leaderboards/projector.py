"""
The boards as a projection of the journal: every score on every board, brought forward from where it stands.

A board's cursor is kept beside its scores and moves with them in one atomic step, so every journal row counts exactly
once. A board whose definition changed, or which is new, starts from nothing and is filled from the journal.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from sqlalchemy import select, text

from laurels.core.changes import Change, contributions
from laurels.core.errors import Unavailable
from laurels.leaderboards import sql
from laurels.leaderboards.kept import NotServing, State, stamp
from laurels.leaderboards.memo import Memo
from laurels.leaderboards.scores import Part, Scores, add_score
from laurels.leaderboards.sql import UNFILLED
from laurels.store.tables import journal
from laurels.store.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from sqlalchemy import Connection

    from laurels.core.catalog import Catalog, Leaderboard
    from laurels.leaderboards.redis import RedisBoards
    from laurels.leaderboards.scores import StandingRow
    from laurels.protocols import Leaderboards, Observer, Store

T = TypeVar("T")
log = logging.getLogger("laurels")

#: The name under which the lease on the boards is taken.
PROJECTION = "boards"
STEP_ROWS = 2_000
#: How long to wait for open transactions: who projects on purpose, and who only wants to read.
SETTLE_S, READER_WAITS_S, POLL_S = 2.0, 0.1, 0.005
LOOK_S = 0.2
#: Beside Redis, the boards in the database follow so long after the last time if they lag by a few rows, and in any
#: case when they lag by many: in one stride to where the journal ends when it begins.
STRIDE_S, STRIDE_ROWS, STRIDE_ROWS_MAX = 30.0, 50_000, 10_000_000
#: How often to compare who is hidden, and how old a mark must be that the database does not know.
RECONCILE_S, RECONCILE_AFTER_S = 10.0, 60.0
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
    for _, user_id, at, day, groups, changes in rows:
        member_of = _decode_groups(groups) if groups else {}
        for metric, delta, value in contributions(_decode_changes(changes)):
            for board in by_metric.get(metric, ()):
                part = Part(user_id, at, day, member_of, delta, value)
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

    Returns how many journal rows were read, at most `rows_max` and none past where the next board stands; 0 where
    nothing is left. Whoever else tries this meanwhile waits, so nothing counts twice.
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
    return told.rows or 1  # A stretch without rows is a step too.


class Projector:
    """
    Brings the boards forward behind the journal, and puts questions to them.

    Whoever holds the lease calls `step`; without a worker, those who read do it for themselves, if nobody is at it.
    With Redis the boards are there. Those in the database follow in big strides: from them an empty Redis is filled.
    """

    def __init__(self, store: Store, catalog: Callable[[], Catalog], boards: RedisBoards | None = None) -> None:
        #: With Redis, how often a reader looks for what others recorded; what its own process did it sees at once.
        self.look_s = LOOK_S
        self.observer: Observer | None = None
        self._store = store
        self._catalog = catalog
        self._boards = boards
        self._tail = Tail()
        self._tail_in_use = threading.Lock()
        self._memo = Memo()
        self._known: tuple[Catalog, str] | None = None
        self._looked_at = self._reconciled_at = float("-inf")
        self._stride_due = time.monotonic() + STRIDE_S  # Who has just started has other things to do.
        self._stride_to: int | None = None
        self._recorded = False
        self._noticed = threading.Event()

    # --- Going forward ------------------------------------------------------------------------------------------------

    def step(self, settled: int, *, leased: bool = True) -> int:
        """
        Bring the boards forward by some rows, to `settled` at most; return how many, 0 where nothing is left to do.

        A caller without the lease gets 0 too where somebody else has it.
        """
        if self.observer is None:
            return self._step(settled, leased=leased)
        began_at = time.time_ns()
        done = self._step(settled, leased=leased)
        if done:
            self.observer.projected(done, began_at)
        return done

    def _step(self, settled: int, *, leased: bool) -> int:
        if self._boards is None:
            return self._step_database(settled, leased=leased)
        with self._store.read() as connection:
            if leased or _take_turn(connection):
                return self._step_redis(connection, self._boards, settled)
        return 0

    def behind(self, settled: int) -> int:
        """Return how many rows of the journal up to `settled` some board does not show yet."""
        if self._boards is None:
            return self._database_behind(settled)
        catalog, epoch = self._look()
        states = {code: self._boards.state(code) for code in catalog.leaderboards}
        return _distance(_positions(states, catalog, epoch), settled)

    def project(self, step: Callable[[int, int | None], object] | None = None) -> int:
        """Bring the boards up to what was recorded before, telling `step` of it; return how many rows that took."""
        done, settled = 0, self._settled(wait_s=SETTLE_S)
        while settled is not None and (rows := self.step(settled, leased=False)):
            done += rows
            if step is not None:
                step(done, done + self.behind(settled))
        return done

    def notice(self) -> None:
        """Take notice that this process recorded something, which it will want to see on the boards."""
        self._recorded = True
        self._noticed.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until this process records something, for so long at most."""
        self._noticed.wait(timeout_s)
        self._noticed.clear()

    def rebuild(self) -> None:
        """Let every board start from nothing, in the database and wherever the journal's boards are kept."""
        with self._store.write() as transaction:
            sql.forget(transaction.connection)

    def _step_database(self, settled: int, *, leased: bool) -> int:
        if self._database_behind(settled) == 0:
            return 0
        with self._store.write() as transaction:
            if leased or _take_turn(transaction.connection):
                return advance(transaction.connection, self._catalog(), settled, STEP_ROWS)
        return 0

    def _database_behind(self, settled: int) -> int:
        catalog = self._catalog()  # Before: who holds a connection and waits for a second one may wait for ever.
        with self._store.read() as connection:
            return _distance(sql.positions(connection, catalog), settled)

    def _step_redis(self, connection: Connection, boards: RedisBoards, settled: int) -> int:
        """Take a step in Redis: bring boards forward, or fill one that is empty from the database's."""
        catalog, epoch = self._look()
        states = {code: boards.state(code) for code in catalog.leaderboards}
        at = _positions(states, catalog, epoch)
        empty = next((board for board in catalog.leaderboards.values() if at[board.code] == UNFILLED), None)
        if empty is not None:
            return self._build(boards, empty, catalog, epoch)
        self._reconcile(connection, boards, catalog)
        done = _forward(connection, boards, catalog, states, settled)
        return done + (self._stride(settled) if done < STEP_ROWS else 0)

    def _stride(self, settled: int) -> int:
        """Let the boards in the database follow by a step, where a stride is under way or due; return by how many."""
        if self._stride_to is None:
            if time.monotonic() < self._stride_due:
                return 0
            self._stride_due = time.monotonic() + STRIDE_S
            if STRIDE_ROWS < self._database_behind(settled) <= STRIDE_ROWS_MAX:
                return 0
            self._stride_to = settled
        done = self._step_database(self._stride_to, leased=True)
        if done == 0:
            self._stride_to, self._stride_due = None, time.monotonic() + STRIDE_S
        return done

    def _build(self, boards: RedisBoards, board: Leaderboard, catalog: Catalog, epoch: str) -> int:
        """Fill a board in Redis from one snapshot of the database, which knows up to which journal row it is right."""
        with self._store.read() as snapshot:
            seq = sql.positions(snapshot, catalog)[board.code]
            of = stamp(board, catalog, epoch)
            state: State | None = boards.begin(board.code, of, hidden=sql.opted_out(snapshot))
            known = () if seq == UNFILLED else sql.standings_of(snapshot, board.code)
            for ranking, rows in known:
                state = state and boards.fill(board, state, ranking, rows)
        if state is not None:
            boards.finish(board.code, state, max(0, seq))
        return 1

    def _reconcile(self, connection: Connection, boards: RedisBoards, catalog: Catalog) -> None:
        """Hide and show in Redis who is, and is not, opted out in the database, where the two came apart."""
        if time.monotonic() - self._reconciled_at < RECONCILE_S:
            return
        opted_out = sql.opted_out(connection)
        for board in catalog.leaderboards.values():
            since = boards.hidden(board.code)
            for user_id in opted_out - since.keys():
                boards.set_hidden(board, user_id, is_hidden=True)
            # Users are hidden before that is committed: who was hidden a moment ago is not yet in the database.
            for user_id in since.keys() - opted_out:
                if time.time() - since[user_id] > RECONCILE_AFTER_S:
                    boards.set_hidden(board, user_id, is_hidden=False)
        self._reconciled_at = time.monotonic()

    # --- Answering ----------------------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Leaderboards], T], *, is_asked_often: bool = False) -> T:
        """
        Put a question, after bringing the boards forward if that is for readers to do.

        To see whether an answer still holds takes about as long as one answer, so it pays for what is asked often.
        """
        if self._boards is None:
            self._catch_up()
            with self._store.read() as connection:
                answers: Leaderboards = sql.SqlLeaderboards(connection)
                if is_asked_often:
                    answers = self._memo.at(sql.place(connection), answers)
                return question(answers)
        if self._recorded or time.monotonic() - self._looked_at > self.look_s:
            self._recorded = False
            self._catch_up()
        in_redis = self._boards.leaderboards(self._stamp_of)
        try:
            return question(self._memo.at(self._place_in_redis(self._boards), in_redis) if is_asked_often else in_redis)
        except NotServing:
            self._known = None
            self._catch_up()
            return question(in_redis)

    def check(self) -> None:
        """Raise Unavailable where boards are kept in Redis, and that is away."""
        if self._boards is not None:
            for code in self._catalog().leaderboards:
                self._boards.state(code)

    def hide(self, user_id: str) -> None:
        """Hide a user from the boards in Redis. Raises Unavailable where Redis is away."""
        if self._boards is not None:
            for board in self._catalog().leaderboards.values():
                self._boards.set_hidden(board, user_id, is_hidden=True)

    def show(self, user_id: str) -> None:
        """Show a user on the boards in Redis again; where Redis is away, the projection does so later."""
        if self._boards is None:
            return
        with self._store.read() as connection:
            if user_id in sql.opted_out(connection):
                return  # Again, meanwhile.
        try:
            for board in self._catalog().leaderboards.values():
                self._boards.set_hidden(board, user_id, is_hidden=False)
        except Unavailable as error:
            log.warning("user_shown_later", extra={"reason": error.code})

    def kept_in_redis(self) -> dict[str, tuple[int, list[StandingRow]]]:
        """Return, for each board in Redis, up to which journal row it is filled, and all it holds."""
        if self._boards is None:
            return {}
        return {code: self._boards.rows(board) for code, board in self._catalog().leaderboards.items()}

    def close(self) -> None:
        """Give up the connections to Redis."""
        if self._boards is not None:
            self._boards.close()

    def _catch_up(self) -> None:
        """Bring the boards forward to what is final, unless somebody else is there to do it."""
        settled = self._settled(wait_s=READER_WAITS_S)
        while settled is not None and self.step(settled, leased=False):
            pass
        self._looked_at = time.monotonic()

    def _place_in_redis(self, boards: RedisBoards) -> Hashable:
        """Return where all boards in Redis stand: at the same place every question about them has the same answer."""
        catalog = self._catalog()
        return tuple((self._stamp_of(board), boards.state(code)) for code, board in catalog.leaderboards.items())

    def _stamp_of(self, board: Leaderboard) -> str:
        known = self._known  # Another thread may forget it at any moment.
        if known is None:
            known = self._look()
        return stamp(board, *known)

    def _look(self) -> tuple[Catalog, str]:
        """Return the catalog and the database's epoch as they are now."""
        catalog = self._catalog()
        with self._store.read() as connection:
            epoch = sql.epoch(connection)
        self._known = known = (catalog, epoch)
        return known

    def _settled(self, *, wait_s: float) -> int | None:
        """Return up to where the journal is final, after a moment for what is not yet; None where a worker is at it."""
        with self._store.read() as opened:
            if opened.dialect.name == "sqlite":
                return Tail().settled(opened)
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            if not _take_turn(connection):
                return None
            with self._tail_in_use:
                deadline = time.monotonic() + wait_s
                settled = self._tail.settled(connection)
                while self._tail.waits and time.monotonic() < deadline:
                    time.sleep(POLL_S)
                    settled = self._tail.settled(connection)
            return settled


def _positions(states: Mapping[str, State], catalog: Catalog, epoch: str) -> dict[str, int]:
    """Return how far each board in Redis has come; UNFILLED for one of another epoch or definition."""
    return {
        code: state.seq if state.stamp == stamp(catalog.leaderboards[code], catalog, epoch) else UNFILLED
        for code, state in states.items()
    }


def _distance(at: Mapping[str, int], settled: int) -> int:
    return max(0, settled - min((max(seq, 0) for seq in at.values()), default=settled))


def _forward(
    connection: Connection, boards: RedisBoards, catalog: Catalog, states: Mapping[str, State], settled: int
) -> int:
    """Bring the boards in Redis that are furthest behind forward; a board serves from when it has come to the end."""
    leg = next_leg({code: state.seq for code, state in states.items()}, catalog, settled)
    if leg is None:
        for code, state in states.items():
            if not state.serves:
                boards.write(catalog.leaderboards[code], catalog, state, {}, state.seq, serve=True)
        return 0
    told = read_leg(connection, catalog, leg, STEP_ROWS)
    for board in leg.boards:
        serve = told.end >= settled
        boards.write(board, catalog, states[board.code], told.scores[board.code], told.end, serve=serve)
    return told.rows or 1


def _take_turn(connection: Connection) -> bool:
    """Try to be the one who projects until the transaction ends; on SQLite that is whoever holds the write lock."""
    return connection.dialect.name == "sqlite" or bool(connection.scalar(_TRY_TURN, {"projection": PROJECTION}))

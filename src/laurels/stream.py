"""
The journal as it grows: every change in order, told to who listens, from any place on.

A `Follower` looks at the journal in a thread of its own for as long as somebody listens, and hands on the rows that
became final. `changes_after` reads what a listener missed. Both go by the same order, that of `seq`, so that the places
at which changes stand (`Position`) mean the same to every process and stay what they are.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, get_args

import msgspec
from sqlalchemy import func, select

from laurels.core.changes import Change, addressed, as_json
from laurels.core.errors import InvalidInput, Unavailable
from laurels.store import tail
from laurels.store.tables import journal
from laurels.store.tail import AWAY, Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Row

    from laurels.engine import Engine

#: The types that a change can have outside.
TYPES: tuple[str, ...] = tuple(change.type for change in get_args(Change) if change.type)
#: How many rows go together: so many are told in a few milliseconds, and nobody else waits for longer.
ROWS_MAX = 200
#: Between two looks while something happens, between two while nothing does, and while the database is away.
BUSY_PAUSE_S = 0.05
IDLE_PAUSE_S = 0.2
AWAY_PAUSE_S = 0.5
#: How often it is looked whether a look that was handed on was taken, or whether nobody wants it any more.
TAKEN_S = 0.5
#: A place behind every change of a row.
ROW_END = 2**31 - 1

#: How a position is written.
POSITION = r"[0-9]{1,18}(\.[0-9]{1,9})?"

_is_position = re.compile(POSITION).fullmatch
_decode_changes = msgspec.json.Decoder(list[Change]).decode
_encode = msgspec.json.Encoder().encode

log = logging.getLogger("laurels.stream")


class Position(NamedTuple):
    """
    A place in the journal: behind the first `place` changes of the row `seq`, and behind all rows before it.

    Written `42.3`, or `42` behind the whole row.
    """

    seq: int
    place: int = ROW_END

    @property
    def rows_before(self) -> int:
        """Return the `seq` up to which whole rows lie before it."""
        return self.seq if self.place == ROW_END else self.seq - 1

    def __str__(self) -> str:
        return str(self.seq) if self.place == ROW_END else f"{self.seq}.{self.place}"


def position_of(text: str) -> Position:
    """Return the position that a text names. Raises InvalidInput `invalid_position`."""
    if _is_position(text) is None:
        raise InvalidInput(
            "invalid_position",
            f"{text!r:.60} is no place in the journal: give the `id` of the last change that came, or 0 to begin with "
            "the first there is.",
            "Last-Event-ID",
        )
    seq, _, place = text.partition(".")
    return Position(int(seq), int(place) if place else ROW_END)


class Told(NamedTuple):
    """One change, where it stands, and the text in which it is told."""

    position: Position
    user_id: str
    type: str
    text: bytes


def told(seq: int, user_id: str, changes: str) -> list[Told]:
    """Return what a row of the journal tells, in the form of Server-Sent Events."""
    return [
        Told(
            Position(seq, place),
            user_id,
            change.type,
            b"id: %d.%d\nevent: %s\ndata: %s\n\n" % (seq, place, change.type.encode(), _encode(as_json(change))),
        )
        for place, change in enumerate(addressed(user_id, _decode_changes(changes)), 1)
    ]


def changes_after(engine: Engine, position: Position, *, end: int, user_id: str | None) -> tuple[list[Told], Position]:
    """
    Return the changes behind a position, of one user or of everybody, and the position behind the last row of theirs.

    No more than a few hundred rows of them, and none of the rows after `end`, which lies behind the position given and
    is the position returned when there are no more.
    """
    with engine.read() as connection:
        rows = _rows_after(connection, position.rows_before, end, user_id)
    found = [each for row in rows for each in told(*row) if each.position > position]
    return found, Position(rows[-1][0] if len(rows) == ROWS_MAX else end)


def _rows_after(connection: Connection, after: int, end: int, user_id: str | None) -> Sequence[Row[int, str, str]]:
    c = journal.c
    query = select(c.seq, c.user_id, c.changes).where(c.seq <= end).limit(ROWS_MAX)
    if user_id is None:
        return connection.execute(query.where(c.seq > after).order_by(c.seq)).all()
    # By version, which follows `seq`: there is an index on it, and nobody else's rows are read.
    before = select(c.version).where(c.user_id == user_id, c.seq <= after).order_by(c.version.desc()).limit(1)
    since = connection.scalar(before) or 0
    return connection.execute(query.where(c.user_id == user_id, c.version > since).order_by(c.version)).all()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """
    What a look at the journal found: the rows that became final since the one before, in order.

    A look with many rows comes in parts, all but the last under the number of the look before. `end` is the `seq` up to
    which everything was told now, None while nobody can say: then a foreign transaction has been open for as long as
    the follower looks. `last` is the largest `seq` there is a row of, `drawn` the largest that can be anywhere; None
    where that is not known.
    """

    number: int
    rows: Sequence[tuple[int, str, str]] = ()
    end: int | None
    last: int = 0
    drawn: int | None = None


class Follower:
    """
    Follows the journal from its end on, in a thread of its own, and tells of every look, also of those in vain.

    `tell` is called in that thread with a Look, or with what went wrong where the database is away, and with what to
    set when that was taken: nothing more is told before. What becomes final while the database is away is told when it
    is back. None is told last, where a mistake of ours or a schema that is not ours any more ends it.
    """

    def __init__(
        self, engine: Engine, tell: Callable[[Follower, Look | Unavailable | None, threading.Event], None]
    ) -> None:
        self._engine = engine
        self._tell = tell
        self._tail = Tail()
        self._connection: Connection | None = None
        self._woken = threading.Event()
        self._stopping = False
        self._is_away = False
        self._end: int | None = None
        self.begun = 0
        self._thread = threading.Thread(target=self._run, name="laurels-stream", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def look(self) -> None:
        """Look soon. The next look that begins has the number `begun` + 1."""
        self._woken.set()

    def stop(self) -> None:
        """End, without waiting for it."""
        self._stopping = True
        self._woken.set()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    def _run(self) -> None:
        pause_s = BUSY_PAUSE_S
        try:
            while not self._stopping:
                self._woken.clear()
                self.begun += 1
                moved = self._attempt()
                if moved is None:
                    pause_s = AWAY_PAUSE_S
                else:
                    pause_s = BUSY_PAUSE_S if moved or self._tail.waits else min(2 * pause_s, IDLE_PAUSE_S)
                self._woken.wait(pause_s)
        except Exception:
            log.exception("stream_failed")
            self._hand_on(None)
        finally:
            self._disconnect()

    def _attempt(self) -> bool | None:
        """Look, and return whether there was anything new; None where the database is away."""
        try:
            moved = self._look()
        except AWAY as error:
            self._disconnect()
            if not self._is_away:
                log.warning("stream_interrupted", extra={"reason": str(error).split("\n", 1)[0]})
            self._is_away = True
            self._hand_on(
                error
                if isinstance(error, Unavailable)
                else Unavailable("database_unreachable", "The database is away; try again.", retryable=True)
            )
            return None
        if self._is_away:
            log.info("stream_resumed")
        self._is_away = False
        return moved

    def _look(self) -> bool:
        connection, number = self._connect(), self.begun
        settled = self._tail.settled(connection)
        drawn = None if self._tail.waits else self._tail.seen
        if self._end is None:
            # Of what was recorded before somebody listened nothing is told, but where that ends must be known first.
            last = connection.scalar(select(func.max(journal.c.seq))) or 0
            connection.commit()
            if settled or not self._tail.waits:
                self._end = settled
            self._hand_on(Look(number=number, end=self._end, last=last, drawn=drawn))
            return True
        began = self._end
        columns = (journal.c.user_id, journal.c.changes)
        for rows in tail.chunks(connection, *columns, after=began, settled=settled, rows_max=ROWS_MAX):
            self._end = rows[-1].seq
            found = [(row.seq, row.user_id, row.changes) for row in rows]
            self._hand_on(Look(number=number - 1, rows=found, end=self._end))
        connection.commit()
        self._hand_on(Look(number=number, end=self._end, last=self._end, drawn=drawn))
        return self._end > began

    def _hand_on(self, found: Look | Unavailable | None) -> None:
        taken = threading.Event()
        self._tell(self, found, taken)
        while not self._stopping and not taken.wait(TAKEN_S):
            pass

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.watch()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            tail.close(self._connection)
        self._connection = None

"""
The standings as a projection of the journal: every score on every board, brought forward from where it stands.

A board's cursor is kept beside its standings and moves in the same transaction, so every journal row counts exactly
once. A board whose definition changed, or which is new, starts from nothing and is filled from the journal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from laurels.core import periods
from laurels.core.changes import Change, contributions
from laurels.store.tables import cursors, journal, standings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection

    from laurels.core.catalog import Catalog, Leaderboard
    from laurels.core.periods import Instant

_decode_changes = msgspec.json.Decoder(list[Change]).decode
_decode_groups = msgspec.json.Decoder(dict[str, str]).decode

#: Where a board stands that holds nothing yet, or what it held before it was redefined.
UNFILLED = -1


@dataclass(slots=True)
class Score:
    """What some journal rows add to one standing: a sum, or the best value; and when that was reached."""

    amount: int
    reached_at: Instant


#: One board's scores by period key, value of its group (empty for all users), and user.
Scores = dict[tuple[str, str, str], Score]


def rows_behind(connection: Connection, catalog: Catalog) -> int:
    """Return how many rows of the journal some board does not show yet."""
    end = connection.scalar(select(func.coalesce(func.max(journal.c.seq), 0))) or 0
    at = positions(connection, catalog)
    return end - min((max(seq, 0) for seq in at.values()), default=end)


def forget(connection: Connection) -> None:
    """Let every board start from nothing."""
    connection.execute(delete(cursors).where(cursors.c.projection.like("board:%")))


def advance(connection: Connection, catalog: Catalog, rows_max: int) -> int:
    """
    Bring the boards that are furthest behind forward, in the caller's transaction.

    Returns how many journal rows were read: at most `rows_max`, and none past where the next board stands.
    """
    at = positions(connection, catalog)
    for code, seq in at.items():
        if seq == UNFILLED:
            connection.execute(delete(standings).where(standings.c.board == code))
            at[code] = 0
    start = min(at.values(), default=0)
    boards = [catalog.leaderboards[code] for code, seq in at.items() if seq == start]
    query = select(journal.c.seq, journal.c.user_id, journal.c.time, journal.c.day, journal.c.groups, journal.c.changes)
    query = query.where(journal.c.seq > start).order_by(journal.c.seq).limit(rows_max)
    following = min((seq for seq in at.values() if seq > start), default=None)
    if following is not None:
        query = query.where(journal.c.seq <= following)
    rows = connection.execute(query).all()
    scores: dict[str, Scores] = {board.code: {} for board in boards}
    for _, user_id, time, day, groups, document in rows:
        member_of = _decode_groups(groups) if groups else {}
        for metric, delta, value in contributions(_decode_changes(document)):
            for board in boards:
                if board.metric == metric:
                    add_score(scores[board.code], board, catalog, Part(user_id, time, day, member_of, delta, value))
    for board in boards:
        _upsert(connection, board, catalog, scores[board.code])
    read_all = len(rows) < rows_max and following is not None
    end: int = following if read_all else rows[-1].seq if rows else start  # type: ignore[assignment]
    _keep(connection, boards, catalog, end)
    return len(rows)


@dataclass(frozen=True, slots=True)
class Part:
    """One user's part in one journal row, as far as one metric is concerned."""

    user_id: str
    time: Instant
    day: int
    member_of: Mapping[str, str]
    delta: int
    value: int


def add_score(scores: Scores, board: Leaderboard, catalog: Catalog, part: Part) -> None:
    """
    Add a part to every period and group it counts in.

    A sum that does not move is no change; a value always counts.
    """
    keeps_best = catalog.metric_kind(board.metric) == "max"
    if not keeps_best and part.delta == 0:
        return
    groups = [""]
    if board.group is not None and board.group in part.member_of:
        groups.append(part.member_of[board.group])
    for kind in board.periods:
        for group in groups:
            key = (_period_key(kind, part.day), group, part.user_id)
            known = scores.get(key)
            if known is None:
                scores[key] = Score(part.value if keeps_best else part.delta, part.time)
            elif not keeps_best:
                known.amount += part.delta
                known.reached_at = max(known.reached_at, part.time)
            elif (part.value, -part.time) > (known.amount, -known.reached_at):
                known.amount, known.reached_at = part.value, part.time


@lru_cache(maxsize=4096)
def _period_key(kind: periods.PeriodKind, day: int) -> str:
    return periods.period_key(kind, periods.period_label(kind, day))


def _upsert(connection: Connection, board: Leaderboard, catalog: Catalog, scores: Scores) -> None:
    """Bring standings forward: a sum is reached with its last change, the best value when it was first submitted."""
    if not scores:
        return
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(standings)
    new, old = insert.excluded, standings.c
    first_base = case((new.period == "all", 1), else_=0) if board.metric == "level" else 0  # Level 1 is a gift.
    if catalog.metric_kind(board.metric) == "max":
        reached_at = case(
            (new.score > old.score, new.reached_at),
            (new.score == old.score, _smaller(new.reached_at, old.reached_at)),
            else_=old.reached_at,
        )
        values = {"score": _larger(new.score, old.score), "reached_at": reached_at}
    else:
        values = {
            "score": old.score + new.score - first_base,
            "reached_at": _larger(new.reached_at, old.reached_at),
        }
    connection.execute(
        insert.on_conflict_do_update(index_elements=[old.board, old.period, old.member_of, old.user_id], set_=values),
        [row._asdict() for row in standing_rows(board, scores)],
    )


class StandingRow(NamedTuple):
    """A row of the table of standings, in the order of its key."""

    board: str
    period: str
    member_of: str
    user_id: str
    score: int
    reached_at: Instant


def standing_rows(board: Leaderboard, scores: Scores) -> Iterator[StandingRow]:
    """Yield the standings of users who had none before."""
    by_time = board.ties == "first"
    base = 1 if board.metric == "level" else 0
    for (period, group, user_id), score in scores.items():
        amount = score.amount + (base if period == "all" else 0)
        yield StandingRow(board.code, period, group, user_id, amount, score.reached_at if by_time else 0)


def _larger(left: ColumnElement[int], right: ColumnElement[int]) -> ColumnElement[int]:
    return case((left > right, left), else_=right)


def _smaller(left: ColumnElement[int], right: ColumnElement[int]) -> ColumnElement[int]:
    return case((left < right, left), else_=right)


def _definition(board: Leaderboard, catalog: Catalog) -> str:
    """Return what a board's standings depend on; names and prizes can change without filling it anew."""
    kind = catalog.metric_kind(board.metric)
    return json.dumps([board.metric, kind, sorted(board.periods), board.ties == "first", board.group])


def positions(connection: Connection, catalog: Catalog) -> dict[str, int]:
    """Return how far each board of the catalog has come; UNFILLED for one that is new or was redefined."""
    stored = {
        row.projection: row for row in connection.execute(select(cursors).where(cursors.c.projection.like("board:%")))
    }
    at = {}
    for code, board in catalog.leaderboards.items():
        row = stored.get(f"board:{code}")
        at[code] = UNFILLED if row is None or row.definition != _definition(board, catalog) else row.seq
    return at


def _keep(connection: Connection, boards: Iterable[Leaderboard], catalog: Catalog, seq: int) -> None:
    for board in boards:
        name = f"board:{board.code}"
        connection.execute(delete(cursors).where(cursors.c.projection == name))
        connection.execute(cursors.insert().values(projection=name, definition=_definition(board, catalog), seq=seq))

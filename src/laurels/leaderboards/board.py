"""
What readers ask of one leaderboard in one of its periods: the top, somebody's rank, who is around them.

Ranks are counted over the users who are listed: whoever had a change in the period and has not opted out. Equal scores
stand in the order of user ids (on `first` boards: of who got there first), so pages never overlap.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_, select

from laurels.core import periods
from laurels.core.errors import InvalidInput
from laurels.core.requests import check_id, check_limit, check_position, read_instant, shown
from laurels.store import reads
from laurels.store.tables import profiles, standings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Row

    from laurels.core.catalog import Catalog, Leaderboard
    from laurels.core.periods import Instant, PeriodKind


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """
    The period of a board: its bounds by the catalog's zone, and whether it is still running.

    It is `open` until `ends_at`, then `closing`: users elsewhere are still in it, and late events count.
    """

    kind: PeriodKind
    key: str
    starts_at: datetime | None
    ends_at: datetime | None
    status: Literal["open", "closing", "final"]
    late_events: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of a board. `movement` is the rank in the period before minus the rank now: positive is up.

    It is None for all time, and for who was not listed then.
    """

    rank: int
    user_id: str
    display_name: str | None
    level: int
    score: int
    movement: int | None


class Board:
    """One leaderboard in one period, and one value of its group if it is split by one. Reading it changes nothing."""

    def __init__(
        self,
        board: Leaderboard,
        catalog: Catalog,
        read: Callable[[], AbstractContextManager[Connection]],
        *,
        kind: PeriodKind,
        label: int,
        group: str,
        now: Instant,
    ) -> None:
        self.code = board.code
        self._board = board
        self._catalog = catalog
        self._read = read
        self._kind = kind
        self._label = label
        self._group = group
        self._now = now

    @classmethod
    def of(
        cls,
        board: Leaderboard,
        catalog: Catalog,
        read: Callable[[], AbstractContextManager[Connection]],
        *,
        period: str | None,
        at: str | datetime | None,
        group: str,
        now: Instant,
    ) -> Board:
        """
        Return the board in a kind of period, at a key or an instant.

        Raises InvalidInput for one it does not have.
        """
        kind = next((known for known in board.periods if known == (period or "alltime")), None)
        if kind is None:
            asked = f"a {period!r:.40} board" if period else "an all-time board; name a period"
            raise InvalidInput(
                "unknown_period", f"{board.code!r} has not {asked}: it has {', '.join(board.periods)}.", "period"
            )
        if group and board.group is None:
            raise InvalidInput("unknown_group", f"{board.code!r} is not split by a group.", "group")
        return cls(board, catalog, read, kind=kind, label=_label(kind, at, catalog.zone, now), group=group, now=now)

    @property
    def period(self) -> Period:
        """Return which period this is, and whether it is still running."""
        starts_at, ends_at = periods.period_bounds(self._kind, self._label, self._catalog.zone)
        return Period(
            kind=self._kind,
            key=periods.period_key(self._kind, self._label),
            starts_at=None if starts_at is None else periods.to_datetime(starts_at),
            ends_at=None if ends_at is None else periods.to_datetime(ends_at),
            status="open" if ends_at is None or self._now < ends_at else "closing",
        )

    @property
    def total(self) -> int:
        """Return how many users are listed."""
        with self._read() as connection:
            return self._total(connection)

    def top(self, limit: int = 10, offset: int = 0) -> list[Standing]:
        """Return `limit` lines from the top, after the first `offset`."""
        check_limit(limit)
        check_position(offset, "offset")
        with self._read() as connection:
            return self._lines(connection, offset, limit)

    def rank(self, user_id: str) -> int | None:
        """Return a user's rank, None for one who is not listed."""
        check_id(user_id, "user")
        with self._read() as connection:
            found = self._standing(connection, self._label, user_id)
            return None if found is None else self._rank(connection, self._label, found)

    def around(self, user_id: str, count: int = 5) -> list[Standing]:
        """Return `count` lines with the user in the middle, shifted at the ends; none for one who is not listed."""
        check_id(user_id, "user")
        check_limit(count, "count")
        with self._read() as connection:
            found = self._standing(connection, self._label, user_id)
            if found is None:
                return []
            before = self._count(connection, self._label, self._stands_before(found))
            start = max(0, min(before - count // 2, self._total(connection) - count))
            return self._lines(connection, start, count)

    # --- Statements ---------------------------------------------------------------------------------------------------

    def _lines(self, connection: Connection, offset: int, limit: int) -> list[Standing]:
        order = [standings.c.score.desc(), standings.c.reached_at, standings.c.user_id]
        query = select(standings.c.user_id, standings.c.score, standings.c.reached_at)
        rows = connection.execute(
            query.where(self._listed(self._label)).order_by(*order).offset(offset).limit(limit)
        ).all()
        if not rows:
            return []
        ranks = self._ranks(connection, rows, offset)
        users = [row.user_id for row in rows]
        names = reads.display_names(connection, users)
        states = reads.states(connection, users)
        return [
            Standing(
                rank=rank,
                user_id=row.user_id,
                display_name=names.get(row.user_id),
                level=states[row.user_id].value("level"),
                score=row.score,
                movement=self._movement(connection, row.user_id, rank),
            )
            for row, rank in zip(rows, ranks, strict=True)
        ]

    def _ranks(self, connection: Connection, rows: Sequence[Row[str, int, int]], offset: int) -> list[int]:
        """Return the ranks of rows that follow each other, counting only for the first."""
        ranks = [self._rank(connection, self._label, rows[0]) if offset else 1]
        for place, (before, row) in enumerate(pairwise(rows), start=offset + 2):
            if self._board.ties == "first":
                ranks.append(place)
            elif row.score == before.score:
                ranks.append(ranks[-1])
            else:
                ranks.append(ranks[-1] + 1 if self._board.ties == "dense" else place)
        return ranks

    def _rank(self, connection: Connection, label: int, row: Row[str, int, int]) -> int:
        match self._board.ties:
            case "standard":
                return 1 + self._count(connection, label, standings.c.score > row.score)
            case "dense":
                query = select(func.count(standings.c.score.distinct())).where(self._listed(label))
                return 1 + (connection.scalar(query.where(standings.c.score > row.score)) or 0)
            case "first":
                return 1 + self._count(connection, label, self._stands_before(row))

    def _movement(self, connection: Connection, user_id: str, rank: int) -> int | None:
        if self._kind == "alltime":
            return None
        before = self._standing(connection, self._label - 1, user_id)
        return None if before is None else self._rank(connection, self._label - 1, before) - rank

    def _standing(self, connection: Connection, label: int, user_id: str) -> Row[str, int, int] | None:
        query = select(standings.c.user_id, standings.c.score, standings.c.reached_at)
        return connection.execute(query.where(self._listed(label), standings.c.user_id == user_id)).one_or_none()

    def _total(self, connection: Connection) -> int:
        return self._count(connection, self._label)

    def _count(self, connection: Connection, label: int, *conditions: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(standings).where(self._listed(label), *conditions)
        return connection.scalar(query) or 0

    def _stands_before(self, row: Row[str, int, int]) -> ColumnElement[bool]:
        """Return the condition on those who stand before a row, equal scores included."""
        c = standings.c
        return or_(
            c.score > row.score,
            and_(c.score == row.score, c.reached_at < row.reached_at),
            and_(c.score == row.score, c.reached_at == row.reached_at, c.user_id < row.user_id),
        )

    def _listed(self, label: int) -> ColumnElement[bool]:
        hidden = select(profiles.c.user_id).where(profiles.c.opted_out == 1)
        return and_(
            standings.c.board == self.code,
            standings.c.period == periods.period_key(self._kind, label),
            standings.c.member_of == self._group,
            standings.c.user_id.not_in(hidden),
        )


def _label(kind: PeriodKind, at: str | datetime | None, zone: str, now: Instant) -> int:
    """Return the period's label, from its key, an instant, or now."""
    if isinstance(at, str):
        try:
            return periods.parse_period_key(kind, at)
        except ValueError as key_error:
            try:
                instant = periods.parse_instant(at)
            except ValueError:
                raise InvalidInput("invalid_period", str(key_error), "at") from None
    else:
        instant = now if at is None else read_instant(at, "at")
    try:
        return periods.period_label(kind, periods.local_day(instant, zone, 0))
    except OverflowError:
        raise InvalidInput("invalid_period", f"{shown(at)} is too far away for a period.", "at") from None

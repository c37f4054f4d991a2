"""
What readers ask of one leaderboard in one of its periods: the top, somebody's rank, who is around them.

Where the rankings are kept is not its business (`Leaderboards` in protocols.py answers); it says which one is meant,
and adds what a line shows beside a rank: the user's name and level, and the movement since the period before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from laurels.core import periods
from laurels.core.errors import InvalidInput
from laurels.core.periods import PeriodKind
from laurels.core.requests import check_id, check_limit, check_position, read_instant, shown
from laurels.protocols import Ranking
from laurels.store import reads

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from laurels.core.catalog import Leaderboard
    from laurels.core.periods import Instant
    from laurels.protocols import Leaderboards, Place


class Ask(Protocol):
    """Where boards are asked: brings them forward as far as that is this process's to do, and puts the question."""

    def __call__(self, question: Callable[[Leaderboards], T]) -> T:
        """Return the question's answer."""
        ...


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Which lines of which board are wanted: `limit` after the first `offset`, or with a user in the middle."""

    code: str
    period: str | None
    at: str | None
    group: str
    limit: int
    offset: int
    around: str | None


class Lines(NamedTuple):
    """Some lines of a board in a period, and how many users are listed in all."""

    period: Period
    total: int
    items: list[Standing]


class _Answer(NamedTuple):
    """Lines as the rankings have them, and the ranks in the period before of those who had one."""

    places: list[Place]
    before: Mapping[str, int]


class Board:
    """One leaderboard in one period, and one value of its group if it is split by one. Reading it changes nothing."""

    def __init__(
        self,
        board: Leaderboard,
        zone: str,
        ask: Ask,
        read: Callable[[], AbstractContextManager[Connection]],
        *,
        kind: PeriodKind,
        label: int,
        group: str,
        now: Instant,
    ) -> None:
        self.code = board.code
        self._zone = zone
        self._ask = ask
        self._read = read
        self._kind = kind
        self._label = label
        self._ranking = Ranking(board, periods.period_key(kind, label), group)
        self._now = now

    @classmethod
    def of(
        cls,
        board: Leaderboard,
        zone: str,
        ask: Ask,
        read: Callable[[], AbstractContextManager[Connection]],
        *,
        period: str | None,
        at: str | datetime | None,
        group: str,
        now: Instant,
    ) -> Board:
        """
        Return the board in a kind of period, at a key or an instant in the catalog's zone.

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
        return cls(board, zone, ask, read, kind=kind, label=_label(kind, at, zone, now), group=group, now=now)

    @property
    def period(self) -> Period:
        """Return which period this is, and whether it is still running."""
        starts_at, ends_at = periods.period_bounds(self._kind, self._label, self._zone)
        return Period(
            kind=self._kind,
            key=self._ranking.period,
            starts_at=None if starts_at is None else periods.to_datetime(starts_at),
            ends_at=None if ends_at is None else periods.to_datetime(ends_at),
            status="open" if ends_at is None or self._now < ends_at else "closing",
        )

    @property
    def total(self) -> int:
        """Return how many users are listed."""
        return self._ask(lambda boards: boards.total(self._ranking))

    def top(self, limit: int = 10, offset: int = 0) -> list[Standing]:
        """Return `limit` lines from the top, after the first `offset`."""
        check_limit(limit)
        check_position(offset, "offset")
        return self._shown(lambda boards: boards.page(self._ranking, offset, limit))

    def rank(self, user_id: str) -> int | None:
        """Return a user's rank, None for one who is not listed."""
        check_id(user_id, "user")
        return self._ask(lambda boards: boards.ranks(self._ranking, [user_id])).get(user_id)

    def around(self, user_id: str, count: int = 5) -> list[Standing]:
        """Return `count` lines with the user in the middle, shifted at the ends; none for one who is not listed."""
        check_id(user_id, "user")
        check_limit(count, "count")
        return self._shown(lambda boards: boards.around(self._ranking, user_id, count))

    def _shown(self, question: Callable[[Leaderboards], list[Place]]) -> list[Standing]:
        (items,) = _standings([self._ask(lambda boards: self._with_ranks_before(boards, question(boards)))], self._read)
        return items

    def excerpt(self, boards: Leaderboards, wanted: Excerpt) -> tuple[int, _Answer]:
        """Return how many users are listed, and some lines, from where rankings are kept."""
        if wanted.around is None:
            places = boards.page(self._ranking, wanted.offset, wanted.limit)
        else:
            places = boards.around(self._ranking, wanted.around, wanted.limit)
        return boards.total(self._ranking), self._with_ranks_before(boards, places)

    def _with_ranks_before(self, boards: Leaderboards, places: list[Place]) -> _Answer:
        if self._kind == "alltime" or not places:
            return _Answer(places, {})
        before = self._ranking._replace(period=periods.period_key(self._kind, self._label - 1))
        return _Answer(places, boards.ranks(before, [place.user_id for place in places]))


def lines(
    wanted: Sequence[tuple[Board, Excerpt]], ask: Ask, read: Callable[[], AbstractContextManager[Connection]]
) -> list[Lines]:
    """Return lines of several boards: all rankings are one question, and all names are looked up at once."""
    found = ask(lambda boards: [board.excerpt(boards, excerpt) for board, excerpt in wanted])
    items = _standings([answer for _, answer in found], read)
    return [Lines(board.period, total, some) for (board, _), (total, _), some in zip(wanted, found, items, strict=True)]


def _standings(
    answers: Sequence[_Answer], read: Callable[[], AbstractContextManager[Connection]]
) -> list[list[Standing]]:
    """Return lines as they are shown, with names and levels."""
    users = {place.user_id for answer in answers for place in answer.places}
    with read() as connection:
        known = reads.names_and_levels(connection, users)
    return [
        [
            Standing(
                rank=rank,
                user_id=user_id,
                display_name=known[user_id][0],
                level=known[user_id][1],
                score=score,
                movement=before[user_id] - rank if user_id in before else None,
            )
            for rank, user_id, score in places
        ]
        for places, before in answers
    ]


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

"""
What the journal means for the boards: which scores a user's part moves, and what becomes of a score. Pure.

A step collects what many journal rows add to each standing, so a standing is read and written once however often it
moved; `reached` is then its score as a whole number of its own, whatever it was before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from laurels.core import periods
from laurels.core.periods import Instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from laurels.core.catalog import Catalog, Leaderboard

#: Redrawn when what is kept of a board changes, so that every board fills itself anew.
EDITION = 2


#: Whose standing in which ranking of a board: the period's key, the group's value (empty for all), the user.
Key = tuple[str, str, str]
#: A score as it is kept, and when it was reached; 0 on boards whose ties are not broken by that.
Standing = tuple[int, Instant]


@dataclass(slots=True)
class Score:
    """What some journal rows add to one standing: a sum, or the best value; and when that was reached."""

    amount: int
    reached_at: Instant


#: What some journal rows add to one board.
Scores = dict[Key, Score]


class Part(NamedTuple):
    """One user's part in one journal row, as far as one metric is concerned."""

    user_id: str
    time: Instant
    day: int
    member_of: Mapping[str, str]
    delta: int
    value: int


class StandingRow(NamedTuple):
    """A row of the table of standings, in the order of its key."""

    board: str
    period: str
    member_of: str
    user_id: str
    score: int
    reached_at: Instant


def definition(board: Leaderboard, catalog: Catalog) -> str:
    """Return what a board's scores and ranks depend on; names and prizes can change without filling it anew."""
    kind = catalog.metric_kind(board.metric)
    return json.dumps([EDITION, board.metric, kind, sorted(board.periods), board.ties, board.group])


def add_score(scores: Scores, board: Leaderboard, catalog: Catalog, part: Part) -> None:
    """
    Add a part to every period and group it counts in.

    A sum that does not move is no change; a value always counts.
    """
    user_id, at, day, member_of, delta, value = part
    keeps_best = catalog.metric_kind(board.metric) == "max"
    if not keeps_best and delta == 0:
        return
    amount = value if keeps_best else delta
    groups = _NO_GROUP if board.group is None or board.group not in member_of else ("", member_of[board.group])
    for period in _period_keys(board.periods, day):
        for group in groups:
            key = (period, group, user_id)
            known = scores.get(key)
            if known is None:
                scores[key] = Score(amount, at)
            elif not keeps_best:
                known.amount += amount
                known.reached_at = max(known.reached_at, at)
            elif (amount, -at) > (known.amount, -known.reached_at):
                known.amount, known.reached_at = amount, at


_NO_GROUP = ("",)


@lru_cache(maxsize=4096)
def _period_keys(kinds: tuple[periods.PeriodKind, ...], day: int) -> tuple[str, ...]:
    return tuple(periods.period_key(kind, periods.period_label(kind, day)) for kind in kinds)


def reached(
    scores: Scores, before: Mapping[Key, Standing], board: Leaderboard, catalog: Catalog
) -> Iterator[tuple[Key, Standing]]:
    """Yield what standings become: a sum is reached with its last change, a best value when it was first submitted."""
    keeps_best = catalog.metric_kind(board.metric) == "max"
    by_time = board.ties == "first"
    gift = 1 if board.metric == "level" else 0  # Level 1 is nobody's gain, and part of the level.
    for key, score in scores.items():
        amount, reached_at = score.amount, score.reached_at if by_time else 0
        old = before.get(key)
        if keeps_best:
            if old is not None and (old[0], -old[1]) > (amount, -reached_at):
                amount, reached_at = old
        elif old is not None:
            amount, reached_at = amount + old[0], max(reached_at, old[1])
        elif key[0] == "all":
            amount += gift
        yield key, (amount, reached_at)


def ranks_in_order(ties: str, first: int, place: int, scores: Sequence[int]) -> list[int]:
    """Return the ranks of lines that follow each other, from the first's rank and its place (1 is the top)."""
    ranks = [first]
    for number, (above, score) in enumerate(pairwise(scores), start=place + 1):
        if ties == "first":
            ranks.append(number)
        elif score == above:
            ranks.append(ranks[-1])
        else:
            ranks.append(ranks[-1] + 1 if ties == "dense" else number)
    return ranks


def first_place_around(place: int, count: int, total: int) -> int:
    """Return how many stand before the first of `count` lines around somebody before whom `place` stand."""
    return max(0, min(place - count // 2, total - count))

"""
Answers that were given already, for as long as the boards stand where they stood.

Many readers want the same few lines. Between two steps of the projection the database would look them up again and
again for each of them, with several statements each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from laurels.protocols import Place, Ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from laurels.protocols import Leaderboards

T = TypeVar("T")
#: What is kept at most, so that memory stays in bounds: so many answers, none about more users than this.
ANSWERS_MAX = 500
USERS_MAX = 100


class Memo:
    """The answers that were true at the last place where the boards were asked; at another it begins anew."""

    def __init__(self) -> None:
        self._kept: tuple[Hashable, dict[Hashable, object]] = None, {}

    def at(self, place: Hashable, boards: Leaderboards) -> Leaderboards:
        """Return what answers from memory where the boards stand at the same place as before, and else asks them."""
        kept = self._kept  # Read and set in one step each: other threads ask too, some of them at another place.
        if kept[0] != place:
            kept = self._kept = place, {}
        return _Remembering(kept[1], boards)


class _Remembering:
    """Boards at one place: what was asked before is not asked again."""

    def __init__(self, answers: dict[Hashable, object], boards: Leaderboards) -> None:
        self._answers = answers
        self._boards = boards

    def total(self, ranking: Ranking) -> int:
        """Return how many users are listed."""
        return self._once(("total", *_name(ranking)), 1, lambda: self._boards.total(ranking))

    def page(self, ranking: Ranking, offset: int, limit: int) -> list[Place]:
        """Return `limit` lines from the top, after the first `offset`."""
        key = ("page", *_name(ranking), offset, limit)
        return self._once(key, limit, lambda: self._boards.page(ranking, offset, limit))

    def around(self, ranking: Ranking, user_id: str, count: int) -> list[Place]:
        """Return `count` lines with the user in the middle, shifted at the ends; none for one who is not listed."""
        key = ("around", *_name(ranking), user_id, count)
        return self._once(key, count, lambda: self._boards.around(ranking, user_id, count))

    def ranks(self, ranking: Ranking, user_ids: Sequence[str]) -> dict[str, int]:
        """Return the ranks of those of these users who are listed."""
        key = ("ranks", *_name(ranking), *user_ids)
        return self._once(key, len(user_ids), lambda: self._boards.ranks(ranking, user_ids))

    def _once(self, key: Hashable, users: int, ask: Callable[[], T]) -> T:
        known = self._answers.get(key)
        if known is not None:
            return cast("T", known)
        found = ask()
        if users <= USERS_MAX:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            self._answers[key] = found
        return found


def _name(ranking: Ranking) -> tuple[str, str, str]:
    return ranking.board.code, ranking.period, ranking.member_of

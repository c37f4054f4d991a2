"""Rankings worked out the long way, to hold every place where boards are kept against."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """A user's standing; whoever got there first stands above on `first` boards only."""

    user: str
    score: int
    reached: int


def ranking(lines, ties):
    """Rank, user and score of each, best first."""
    order = sorted(lines, key=lambda line: (-line.score, line.reached if ties == "first" else 0, line.user))
    scores = [line.score for line in order]
    match ties:
        case "standard":
            ranks = [1 + scores.index(score) for score in scores]
        case "dense":
            different = sorted(set(scores), reverse=True)
            ranks = [1 + different.index(score) for score in scores]
        case "first":
            ranks = range(1, len(order) + 1)
    return [(rank, line.user, line.score) for rank, line in zip(ranks, order, strict=True)]


def around(ranked, user, count):
    """The lines around somebody, shifted at the ends."""
    place = [line[1] for line in ranked].index(user)
    start = max(0, min(place - count // 2, len(ranked) - count))
    return ranked[start : start + count]

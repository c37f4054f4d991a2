"""Boards as the sum of what moved (4.4, 9.1 to 9.3)."""

from __future__ import annotations

from tests.laws.model.calendar import period_key
from tests.laws.model.quests import metric_kind


def standings(world, metric, kind, ties="standard") -> list[tuple[int, str, int]]:
    """
    Rank, user and score of everybody listed, by the users' whole history, in one period by its key; `all` for all time.

    `kind` is the kind of period and its key, such as ("weekly", "2026-W10").
    """
    found = []
    for user_id, user in world["users"].items():
        score = score_of(world["tree"], user, metric, *kind)
        if score is not None and not user["opted_out"]:
            found.append((-score[0], score[1] if ties == "first" else 0, user_id))
    found.sort()
    scores = [score for score, _, _ in found]
    ranks = {
        "standard": lambda place: scores.index(scores[place]) + 1,
        "dense": lambda place: len(set(scores[: place + 1])),
        "first": lambda place: place + 1,
    }[ties]
    return [(ranks(place), user_id, -score) for place, (score, _, user_id) in enumerate(found)]


def score_of(tree, user, metric, kind, key):
    """Score and when it was reached, or None for who is not listed (9.1 to 9.3)."""
    best = metric_kind(metric, tree) == "max"
    moves = [
        entry
        for entry in user["moves"]
        if entry["metric"] == metric and (best or entry["amount"]) and key in ("all", period_key(kind, entry["day"]))
    ]
    if not moves:
        return None
    if best:
        score = max(entry["amount"] for entry in moves)
        return score, min(entry["at"] for entry in moves if entry["amount"] == score)
    base = 1 if metric == "level" and key == "all" else 0
    return base + sum(entry["amount"] for entry in moves), max(entry["at"] for entry in moves)

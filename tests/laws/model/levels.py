"""Which level XP reaches, and what reaching it pays (5)."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from tests.laws.model.ledger import award_xp, move, pay, tell, value


def level_of(tree, xp) -> int:
    reached = 1
    for level in range(2, top_level(tree) + 1):
        if threshold(tree["levels"]["curve"], level) <= xp:
            reached = level
    return reached


def top_level(tree) -> int:
    curve = tree["levels"]["curve"]
    return len(curve["thresholds"]) if curve["kind"] == "table" else curve["max"]


def threshold(curve, level) -> int:
    match curve["kind"]:
        case "linear":
            return curve["base"] * (level - 1)
        case "quadratic":
            return curve["base"] * (level - 1) ** 2
        case "exponential":
            factor = Fraction(str(curve["factor"]))
            return sum(floor(curve["base"] * factor ** (step - 2)) for step in range(2, level + 1))
    return curve["thresholds"][level - 1]


def next_level(part) -> bool:
    user, levels = part["user"], part["tree"]["levels"]
    level, reached = value(user, "level"), level_of(part["tree"], value(user, "xp"))
    if reached == level:
        return False
    if reached < level:
        tell(part, "level.lost", level=level)
        move(part, "level", -1)
        return True
    level += 1
    titles = [(int(number), at["title"]) for number, at in levels["at"].items() if int(number) <= level]
    move(part, "level", 1)
    tell(part, "level.reached", level=level, title=max(titles)[1] if titles else None)
    if level not in user["levels_paid"]:
        user["levels_paid"].add(level)
        award_xp(part, levels["bonus_xp"], f"level:{level}")
        pay(part, [levels["reward"], levels["at"].get(str(level), {}).get("reward", {})], f"level:{level}")
    return True

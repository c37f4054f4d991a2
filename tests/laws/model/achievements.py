"""Achievements that are due, and how far along the others are (8)."""

from __future__ import annotations

from fractions import Fraction

from tests.laws.model.calendar import is_open
from tests.laws.model.ledger import move, pay, skip, tell, value


def times_earned(achievement, values) -> int:
    quotients = [values.get(metric, 0) // target for metric, target in achievement.get("when", {}).items()]
    if achievement.get("any"):
        quotients.append(max(values.get(metric, 0) // target for metric, target in achievement["any"].items()))
    times = min(quotients, default=1)
    return times if achievement.get("repeatable") else min(times, 1)


def next_achievement(work, part) -> bool:
    for achievement in part["tree"]["achievements"]:
        if is_looked_at(part, achievement) and is_due(part, achievement):
            reason = no_place(work, part, achievement)
            if reason is None:
                unlock(work, part, achievement)
                return True
            note_refusal(work, part, achievement, reason)
    return False


def is_looked_at(part, achievement) -> bool:
    """When the request changed one of its metrics or unlocked a prerequisite (8.1)."""
    metrics = achievement.get("when", {}).keys() | achievement.get("any", {}).keys()
    return bool(metrics & part["moved"] or part["unlocked"].intersection(achievement.get("requires", ())))


def is_due(part, achievement) -> bool:
    user = part["user"]
    held = user["unlocks"].get(achievement["code"], {"times": 0})["times"]
    return (
        achievement.get("enabled", True)
        and times_earned(achievement, user["values"]) > held
        and all(code in user["unlocks"] for code in achievement.get("requires", ()))
        and is_open(achievement, part["at"])
    )


def no_place(work, part, achievement) -> str | None:
    if "max_achievers" not in achievement or achievement["code"] in part["user"]["unlocks"]:
        return None
    if part["user"]["opted_out"]:
        return "opted_out"
    taken = work["world"]["places"].get(achievement["code"], 0)
    return "not_available" if taken >= achievement["max_achievers"] else None


def note_refusal(work, part, achievement, reason) -> None:
    """Told once (8.3). Choice: once for each of the two reasons."""
    told, code = part["user"]["told"], achievement["code"]
    if told.get(code) != reason:
        told[code] = reason
        skip(work, f"achievement:{code}", reason, part["user_id"])


def unlock(work, part, achievement) -> None:
    user, code = part["user"], achievement["code"]
    is_first = code not in user["unlocks"]
    times = 1 if is_first else user["unlocks"][code]["times"] + 1
    metrics = achievement.get("when", {}).keys() | achievement.get("any", {}).keys()
    causes = [user["changed_at"][metric] for metric in metrics if metric in user["changed_at"]]
    # Choice: a prerequisite counts with its own date of unlock, so that none is unlocked before what it stands on.
    causes += [user["unlocks"][required]["unlocked_at"] for required in achievement.get("requires", ())]
    user["unlocks"][code] = {"times": times, "unlocked_at": max(causes)}
    part["unlocked"].add(code)
    rarity = achievement.get("rarity", "common")
    tell(part, "achievement.unlocked", achievement=code, rarity=rarity, times=times, unlocked_at=max(causes))
    if is_first:
        move(part, "achievements", 1)
        places = work["world"]["places"]
        places[code] = places.get(code, 0) + 1
    defaults = part["tree"].get("defaults", {}).get("achievement_reward", {})
    pay(part, [defaults, achievement.get("reward", {})], f"achievement:{code}")


def progress(achievement, values) -> tuple[int, int]:
    parts = [(min(values.get(metric, 0), target), target) for metric, target in achievement.get("when", {}).items()]
    alternatives = [
        (min(values.get(metric, 0), target), target) for metric, target in sorted(achievement.get("any", {}).items())
    ]
    if alternatives:
        parts.append(max(alternatives, key=lambda pair: Fraction(*pair)))
    return sum(reached for reached, _ in parts), sum(target for _, target in parts)


def note_achievement(part, achievement) -> None:
    """
    8.6. Choices: nothing below 0 is progress, and none is noted of what is held already or cannot be had now.

    Nor where no metric rose: the share can, when the best alternative falls behind another one with a lower target.
    """
    user, before = part["user"], part["values_before"]
    if achievement.get("secret") or achievement["code"] in user["unlocks"]:
        return
    if not achievement.get("enabled", True) or not is_open(achievement, part["at"]):
        return
    metrics = achievement.get("when", {}).keys() | achievement.get("any", {}).keys()
    if not any(value(user, metric) > before.get(metric, 0) for metric in metrics):
        return
    reached, target = progress(achievement, user["values"])
    reached_before, target_before = progress(achievement, before)
    if 10 * reached // target > max(10 * reached_before // target_before, 0):
        tell(part, "achievement.progressed", achievement=achievement["code"], value=reached, target=target)

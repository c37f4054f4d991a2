"""Law 6. Folding an outcome's public changes over the old profile gives the new one."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from laurels import Outcome
from laurels.core.changes import as_json
from tests.laws.conftest import examples
from tests.laws.play import cuts, play
from tests.laws.strategies import catalog_trees, parsed, streams
from tests.laws.world import World


def nobody() -> dict:
    """The profile of one to whom nothing has happened yet."""
    return {
        "xp": 0,
        "level": 1,
        "available": defaultdict(int),
        "held": defaultdict(int),
        "metrics": defaultdict(int),
        "streaks": {},
        "unlocks": {},
        "quests": {},
    }


SIGNS = {"currency.credited": 1, "currency.debited": -1, "currency.held": -1, "currency.released": 1}


def fold(profile: dict, change: dict) -> None:
    """Bring a profile forward by one change, from nothing but what the change says."""
    match change:
        case {"type": "xp.awarded", "total": total}:
            profile["xp"] = profile["metrics"]["xp"] = total
        case {"type": "level.reached", "level": level}:
            profile["level"] = profile["metrics"]["level"] = level
        case {"type": "level.lost", "level": level}:
            profile["level"] = profile["metrics"]["level"] = level - 1
        case {"type": "metric.changed", "metric": metric, "value": value}:
            profile["metrics"][metric] = value
        case {"currency": currency, "amount": amount, "balance": balance}:
            assert profile["available"][currency] + SIGNS[change["type"]] * amount == balance
            profile["available"][currency] = balance
            count_money(profile, change)
        case {"type": "achievement.unlocked", "achievement": code, "times": times}:
            profile["metrics"]["achievements"] += code not in profile["unlocks"]
            profile["unlocks"][code] = times
        case {"type": "quest.completed", "quest": code, "period": period}:
            profile["metrics"]["quests"] += 1
            profile["quests"][code, period] = "completed"
        case {"type": "quest.claimed", "quest": code, "period": period}:
            assert profile["quests"][code, period] == "completed"
            profile["quests"][code, period] = "claimed"
        case {"type": "streak.extended", "streak": code}:
            streak = profile["streaks"].setdefault(code, {"last": change["label"]})
            streak |= {"length": change["current"], "longest": change["longest"], "freezes": change["freezes"]}
            streak["last"] = max(streak["last"], change["label"])
            profile["metrics"][f"streak.{code}"] = change["longest"]


def count_money(profile: dict, change: dict) -> None:
    currency, amount = change["currency"], change["amount"]
    match change["type"], change.get("kind"):
        case "currency.held", _:
            profile["held"][currency] += amount
        case "currency.released", _:
            profile["held"][currency] -= amount
        case _, "earn":
            profile["metrics"][f"earned.{currency}"] += amount
        case _, "spend" | "capture":
            profile["metrics"][f"spent.{currency}"] += amount
        case _, "refund":
            profile["metrics"][f"spent.{currency}"] -= amount


def profile_in(world: World, user_id: str) -> dict:
    """What the engine keeps of a user, in the words of the fold."""
    state = world.state(user_id)
    return {
        "xp": state.value("xp"),
        "level": state.value("level"),
        "available": state.balances,
        "held": {currency: held for currency in state.balances if (held := state.held(currency))},
        "metrics": state.metrics,
        "streaks": {
            code: {
                "length": streak.runs[-1].length,
                "longest": streak.longest,
                "freezes": streak.freezes,
                "last": streak.runs[-1].last,
            }
            for code, streak in state.streaks.items()
        },
        "unlocks": state.unlocks,
        "quests": {
            (quest, period): "claimed" if "claimed_at" in row else "completed"
            for (owner, quest, period), row in world.quest_runs.items()
            if owner == user_id
        },
    }


def without_zeros(profile: dict) -> dict:
    """A best value of 0 is known though nothing says so: the first value counts as it is."""
    sums = {name: {key: value for key, value in profile[name].items() if value} for name in ("held", "metrics")}
    return {**profile, **sums}


@examples(150)
@given(st.data())
def test_law_6_folding_changes_over_the_old_profile_gives_the_new_one(data):
    tree = data.draw(catalog_trees(), label="catalog")
    world = World(parsed(tree))
    stream = data.draw(streams(tree), label="stream")
    profiles: dict[str, dict] = defaultdict(nobody)
    for answer in play(world, stream, data.draw(cuts(stream), label="cuts")):
        if isinstance(answer, Outcome) and answer.status == "applied":
            for change in answer.changes:
                fold(profiles[change.user_id], as_json(change))
    for user_id in world.documents:
        assert without_zeros(profiles[user_id]) == without_zeros(profile_in(world, user_id))

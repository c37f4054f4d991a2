"""The engine against a plain dict model of the SEMANTICS: for every request the same outcome, word by word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurels.core import changes
from laurels.core.changes import as_json
from laurels.core.errors import LaurelsError
from laurels.core.periods import from_datetime
from laurels.core.profile import profile_of
from tests.laws import model
from tests.laws.conftest import examples
from tests.laws.strategies import LONG, USUAL, Setting, catalog_trees, parsed, streams
from tests.laws.world import World

#: What programs outside see of each change; the rest is the engine's own.
FIELDS = {
    "xp.awarded": {"amount", "total", "rule"},
    "level.reached": {"level", "title"},
    "level.lost": {"level"},
    "currency.credited": {"currency", "amount", "balance", "rule", "kind"},
    "currency.debited": {"currency", "amount", "balance", "rule", "kind"},
    "currency.held": {"currency", "amount", "balance"},
    "currency.released": {"currency", "amount", "balance"},
    "metric.changed": {"metric", "value"},
    "achievement.progressed": {"achievement", "value", "target"},
    "achievement.unlocked": {"achievement", "rarity", "times", "unlocked_at"},
    "quest.accepted": {"quest", "period"},
    "quest.progressed": {"quest", "period", "value", "target"},
    "quest.completed": {"quest", "period"},
    "quest.claimed": {"quest", "period"},
    "streak.extended": {"streak", "length"},
    "streak.frozen": {"streak"},
    "streak.broken": {"streak", "length", "missed", "freezes"},
}


def told(answer) -> dict | str:
    """What a caller hears from the engine, in the model's words."""
    if isinstance(answer, LaurelsError):
        return answer.code
    return {
        "status": answer.status,
        "changes": [told_of(change) for change in answer.changes],
        "skipped": [
            {
                "rule": skip.rule,
                "reason": skip.reason,
                "user_id": skip.user_id,
                "retry_at": None if skip.retry_at is None else from_datetime(skip.retry_at),
                "metric": skip.metric,
            }
            for skip in answer.skipped
        ],
    }


def told_of(change: changes.Change) -> dict:
    found = as_json(change)
    if "unlocked_at" in found:
        found["unlocked_at"] = from_datetime(found["unlocked_at"])
    return {name: found[name] for name in ("type", "user_id", *FIELDS[change.type])}


def told_by_model(world, step) -> dict | str:
    try:
        return model.record(world, step.request, step.now)
    except model.Refused as refused:
        return refused.args[0]


def assert_they_agree(tree, stream) -> None:
    """Play a stream to the engine, one by one, and to the model, and compare what they tell and what they end with."""
    world, expected = World(parsed(tree)), model.new_world(tree)
    for step in stream:
        if isinstance(step, Setting):
            world.set(step.user, **step.fields)
            model.set_user(expected, step.user, step.fields)
        else:
            assert told(world.submit([step])[0]) == told_by_model(expected, step), step
    assert world.documents.keys() == expected["users"].keys()
    for user_id, user in expected["users"].items():
        profile = profile_of(user_id, world.state(user_id), world.catalog, stream[-1].now)
        assert (profile.xp, profile.level) == (model.value(user, "xp"), user["values"]["level"])
        assert profile.metrics == dict.fromkeys(profile.metrics, 0) | user["values"]
        assert profile.achievements.unlocked == len(user["unlocks"])


@pytest.mark.parametrize("history", [pytest.param(USUAL, id="of-some"), pytest.param(LONG, id="of-one-for-long")])
@examples(150)
@given(data=st.data())
def test_the_engine_tells_what_the_model_tells(history, data):
    tree = data.draw(catalog_trees(), label="catalog")
    assert_they_agree(tree, data.draw(streams(tree, history), label="stream"))

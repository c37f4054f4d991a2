"""
Law 5. Rewards cascade until nothing changes, each thing once, every level passed reported in order; a catalog that
could pay itself for ever is refused.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laurels import CatalogInvalid, Outcome
from tests.laws import model
from tests.laws.conftest import examples
from tests.laws.play import one_by_one, play
from tests.laws.strategies import SHORT, Asked, catalog_trees, parsed, rewards, streams, targets
from tests.laws.world import World

CASCADE_CPU_S = 20


@pytest.fixture(autouse=True)
def endless_cascades_fail() -> Iterator[None]:
    """Turn a cascade that never ends into a failure: thousands of times the processor time that an example takes."""

    def give_up(*_):
        raise AssertionError("the cascade does not end")

    before = signal.signal(signal.SIGVTALRM, give_up)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@examples(100)
@given(st.data())
def test_law_5_after_a_request_nothing_that_it_made_due_is_left_to_give(data):
    tree = data.draw(catalog_trees(), label="catalog")
    world = World(parsed(tree))
    for step in data.draw(streams(tree), label="stream"):
        answers = play(world, [step])
        if isinstance(step, Asked) and isinstance(answers[0], Outcome):
            for user_id in {change.user_id for change in answers[0].changes}:
                assert due(tree, world, user_id) == []


def due(tree, world: World, user_id: str) -> list[str]:
    """What a user's values earn by the catalog's tree and the user does not hold."""
    state = world.state(user_id)
    values = {"level": 1, **state.metrics}
    found = [] if values["level"] == model.level_of(tree, values.get("xp", 0)) else ["level"]
    for achievement in tree["achievements"]:
        code = achievement["code"]
        held = state.unlocks.get(code, 0)
        if (
            achievement.get("enabled", True)
            and "from" not in achievement  # Looked at only when a metric moves inside the window.
            and "until" not in achievement
            and set(achievement.get("requires", ())) <= state.unlocks.keys()
            and model.times_earned(achievement, values) > held
            and (held or not is_refused(achievement, world, state))
        ):
            found.append(code)
    goals_of = {quest["code"]: sorted(quest["goals"].items()) for quest in tree["quests"]}
    for code, run in state.quests.items():
        met = all(count >= target for count, (_, target) in zip(run.counts, goals_of[code], strict=True))
        if met and not run.is_completed:
            found.append(code)
    return found


def is_refused(achievement, world: World, state) -> bool:
    places = achievement.get("max_achievers")
    return places is not None and (state.opted_out or world.taken[achievement["code"]] >= places)


@examples(100)
@given(st.data())
def test_law_5_each_thing_is_given_once_and_every_level_in_order(data):
    tree = data.draw(catalog_trees(), label="catalog")
    world = World(parsed(tree))
    stream = data.draw(streams(tree), label="stream")
    answers = play(world, stream, one_by_one(stream))
    outcomes = [one for one in answers if isinstance(one, Outcome) and one.status == "applied"]
    given_ = Counter(
        (change.user_id, change.type, getattr(change, "achievement", None) or change.quest, turn(change))
        for outcome in outcomes
        for change in outcome.changes
        if change.type in ("achievement.unlocked", "quest.completed", "quest.claimed")
    )
    assert max(given_.values(), default=1) == 1
    for user_id in world.documents:
        changes = [change for outcome in outcomes for change in outcome.changes if change.user_id == user_id]
        levels = [1] + [
            change.level - (change.type == "level.lost")
            for change in changes
            if change.type in ("level.reached", "level.lost")
        ]
        assert {abs(after - before) for before, after in pairwise(levels)} <= {1}
        assert levels[-1] == world.state(user_id).value("level")
        paid = Counter(
            (change.rule, change.type)
            for change in changes
            if getattr(change, "rule", "").startswith("level:") and change.type == "currency.credited"
        )
        assert max(paid.values(), default=1) <= len(tree["currencies"])


def turn(change) -> object:
    """Which time of an achievement, or which run of a quest."""
    return change.times if change.type == "achievement.unlocked" else change.period


@st.composite
def greedy_trees(draw) -> dict:
    """Catalogs in which more pays for more than may, most of which must therefore be refused."""
    tree = draw(catalog_trees())
    greed = st.sampled_from([5, 30, 100, 1000])
    if draw(st.booleans()):
        tree["levels"]["bonus_xp"] = draw(greed)
    if draw(st.booleans()):
        tree["levels"]["reward"]["xp"] = draw(greed)
    for code in ("G0", "G1"):
        metric = draw(st.sampled_from(sorted(targets)))
        target = draw(st.integers(1, 5))
        tree["achievements"].append(
            {"code": code, "when": {metric: target}, "repeatable": True, "reward": draw(rewards)}
        )
    for code in ("H0", "H1"):
        goals = {draw(st.sampled_from(["quests", "xp", "earned.coin", "achievements"])): draw(st.integers(1, 9))}
        quest = {"code": code, "type": "special", "goals": goals, "reward": draw(rewards), "max_completions": 1000}
        tree["quests"].append(quest)
    return tree


@examples(60)
@given(st.data())
def test_law_5_a_catalog_that_is_accepted_never_pays_itself_for_ever(data):
    tree = data.draw(greedy_trees(), label="catalog")
    try:
        world = World(parsed(tree))
    except CatalogInvalid:
        assume(False)
    signal.setitimer(signal.ITIMER_VIRTUAL, CASCADE_CPU_S)
    stream = data.draw(streams(tree, SHORT), label="stream")
    answers = play(world, stream, one_by_one(stream))
    top = model.top_level(tree)
    for answer in answers:
        if isinstance(answer, Outcome):
            levels = Counter(change.user_id for change in answer.changes if change.type == "level.reached")
            quests = Counter((c.user_id, c.quest) for c in answer.changes if c.type == "quest.completed")
            assert max(levels.values(), default=0) < top
            assert max(quests.values(), default=0) <= 1


@pytest.mark.parametrize(
    ("part", "cycle"),
    [
        pytest.param({"levels": {"curve": {"kind": "linear", "base": 10}, "bonus_xp": 10}}, "level:3", id="levels"),
        pytest.param(
            {"achievements": [{"code": "A", "when": {"xp": 10}, "repeatable": True, "reward": {"xp": 1}}]},
            "achievement:A -> xp -> achievement:A",
            id="xp",
        ),
        pytest.param(
            {"achievements": [{"code": "A", "when": {"achievements": 1}, "repeatable": True, "reward": {"coin": 1}}]},
            "achievement:A -> achievements -> achievement:A",
            id="achievements",
        ),
    ],
)
def test_law_5_a_catalog_that_pays_itself_for_ever_is_refused_and_the_cycle_named(part, cycle):
    with pytest.raises(CatalogInvalid, match=cycle):
        parsed({"catalog": {"name": "Greedy"}, "currencies": {"coin": {}}, **part})

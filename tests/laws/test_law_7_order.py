"""
Law 7. The same requests in the same order per user, one by one or in batches or through many engines: the same final
state, to the byte. And whatever the order of arrival: the same metrics, boards, quests and streaks.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

import laurels
from laurels import Event
from laurels.core.periods import period_key, period_label, to_datetime
from laurels.store.tables import journal
from tests.conftest import Clock
from tests.laws.conftest import examples
from tests.laws.play import apply, batches, cuts, documents_of, one_by_one, play, stamped, without_expiry
from tests.laws.strategies import (
    LONG,
    METRICS,
    SHORT,
    USERS,
    USUAL,
    ZONES,
    Asked,
    Setting,
    catalog_trees,
    events,
    parsed,
    streams,
)
from tests.laws.world import World


@pytest.mark.parametrize("history", [pytest.param(USUAL, id="of-some"), pytest.param(LONG, id="of-one-for-long")])
@examples(100)
@given(data=st.data())
def test_law_7_batches_of_any_cut_leave_the_same_documents(history, data):
    tree = data.draw(catalog_trees(), label="catalog")
    stream = without_expiry(data.draw(streams(tree, history), label="stream"))
    alone, world = World(parsed(tree)), World(parsed(tree))
    play(alone, stream, one_by_one(stream))
    play(world, stream, data.draw(cuts(stream), label="cuts"))
    assert world.documents == alone.documents


@examples(100)
@given(st.data())
def test_law_7_users_who_have_nothing_to_do_with_each_other_may_be_mixed_in_any_order(data):
    """But for limited achievements, whose places go by the order of arrival (8.3)."""
    tree = data.draw(catalog_trees(), label="catalog")
    for achievement in tree["achievements"]:
        achievement.pop("max_achievers", None)
    here = without_expiry(data.draw(streams(tree, SHORT), label="here"))
    there = [renamed(step) for step in without_expiry(data.draw(streams(tree, SHORT), label="there"))]
    alone, world = World(parsed(tree)), World(parsed(tree))
    play(alone, [*here, *there], one_by_one([*here, *there]))
    mixed = data.draw(mixtures(here, there), label="mixed")
    play(world, mixed, data.draw(cuts(mixed), label="cuts"))
    assert world.documents == alone.documents


def renamed(step: Asked | Setting) -> Asked | Setting:
    """The same among other users."""
    if isinstance(step, Setting):
        return step._replace(user=other(step.user))
    request = step.request
    if isinstance(request, Event):
        data = {**request.data, "to": other(request.data["to"])} if "to" in request.data else request.data
        return step._replace(
            request=Event(request.type, user=other(request.user), id=request.id, time=request.time, data=data)
        )
    names = {name: other(getattr(request, name)) for name in ("user", "to") if hasattr(request, name)}
    return step._replace(request=msgspec.structs.replace(request, **names))


def other(user: object) -> object:
    return f"other {user}" if str(user) in USERS else user


@st.composite
def mixtures(draw, here: list, there: list) -> list:
    """Two streams as one, each in its own order; what is recorded in between has its own time."""
    sides = draw(st.permutations(["here"] * len(here) + ["there"] * len(there)))
    queues = {"here": iter(here), "there": iter(there)}
    return [next(queues[side]) for side in sides]


@examples(8)
@given(st.data())
def test_law_7_several_engines_on_one_file_leave_the_documents_of_one(new_database, data):
    tree = data.draw(catalog_trees(), label="catalog")
    stream = stamped(data.draw(streams(tree), label="stream"))
    clock, catalog = Clock(to_datetime(stream[-1].now)), parsed(tree)
    with laurels.open(new_database(), catalog=catalog, clock=clock) as alone:
        apply(alone, stream)
        expected = documents_of(alone)
    url = new_database()
    with (
        laurels.open(url, catalog=catalog, clock=clock) as one,
        laurels.open(url, clock=clock) as two,
        laurels.open(url, clock=clock) as three,
    ):
        for batch in batches(stream, data.draw(cuts(stream), label="cuts")):
            apply(data.draw(st.sampled_from([one, two, three])), batch)
        assert documents_of(one) == expected


# --- In any order of arrival ------------------------------------------------------------------------------------------


@st.composite
def orderless_trees(draw) -> dict:
    """
    Catalogs whose results are a function of the set of events, and of nothing else.

    What is left out follows the order of arrival by design (P1, P2):

    - limits, cooldowns, `once_per`: the first one recorded is paid, which may be worth more or lie in another period;
    - negative amounts: what was passed on the way up stays, so the way matters;
    - freezes: a day that was frozen when the gap showed stays so;
    - windows and limited places of achievements: they are due at the own time, and by the turn, of the last step;
    - quests that ask for a level, a prerequisite, an acceptance, a cooldown or several runs: a request counts by what
      was there before it, and surplus is dropped; and those on built-in metrics, which move at the time of a last step;
    - commands, claims, settings: they happen when they are recorded.
    """
    tree = draw(catalog_trees())
    for rule in tree["rules"]:
        for name in ("limit", "once_per", "once_by"):
            rule.pop(name, None)
        rule["xp"] = abs(rule["xp"])
        rule["metrics"] |= {"posts": 1} if "posts" in rule["metrics"] else {}
    for achievement in tree["achievements"]:
        for name in ("from", "until", "max_achievers"):
            achievement.pop(name, None)
    tree["quests"] = [
        {name: quest[name] for name in quest.keys() & {"code", "type", "reward", "from", "until"}}
        | {"goals": {draw(st.sampled_from(sorted(METRICS))): draw(st.integers(1, 4))}}
        for quest in tree["quests"]
    ]
    for streak in tree["streaks"]:
        streak.pop("freezes", None)
    ties = ["standard", "dense"]
    tree["leaderboards"] = [
        {
            "code": metric,
            "metric": metric,
            "periods": list(kinds),
            "ties": draw(st.sampled_from([*ties, "first"] if kinds is ALL_KINDS else ties)),
        }
        for metric, kinds in BOARDS.items()
    ]
    return tree


ALL_KINDS = ("daily", "weekly", "monthly", "alltime")
#: Boards by metric. What is new to a user (`tags`) and how long a run is by then depend on the order within a period,
#: and bonuses and rewards count at the own time of a last step: of those it is the values of all time that do not.
BOARDS = dict.fromkeys(["posts", "words", "best"], ALL_KINDS) | dict.fromkeys(
    ["tags", "xp", "level", "quests", "achievements", "earned.coin", "streak.login"], ("alltime",)
)


@st.composite
def sets_of_events(draw, size: int = 24) -> list[Asked]:
    """Events with an own time each, and nothing negative in them; all reach the engine at the same instant."""
    now = draw(st.sampled_from([day * 86_400_000_000 for day in (20_530, 20_540)]))
    made = [draw(events(now, f"r{number}")) for number in range(draw(st.integers(1, size)))]
    return stamped([Asked(now, event) for event in made if event.data.get("n") != -4])


def settled(state) -> dict:
    """What must not depend on the order of arrival."""
    return {
        "metrics": state.metrics,
        "balances": state.balances,
        "unlocks": state.unlocks,
        "completions": state.completions,
        "quests": {code: (run.label, run.is_completed or run.counts) for code, run in state.quests.items()},
        "streaks": {code: (streak.runs, streak.longest) for code, streak in state.streaks.items()},
    }


@examples(150)
@given(st.data())
def test_law_7_metrics_quests_and_streaks_do_not_depend_on_the_order_of_arrival(data):
    tree = data.draw(orderless_trees(), label="catalog")
    arrived = data.draw(sets_of_events(), label="events")
    zones = {user: data.draw(st.sampled_from(ZONES)) for user in USERS}
    worlds = [World(parsed(tree)), World(parsed(tree))]
    for world, order in zip(worlds, (arrived, data.draw(st.permutations(arrived), label="shuffled")), strict=True):
        for user, zone in zones.items():
            world.set(user, zone=zone)
        play(world, order, data.draw(cuts(order)))
    one, other_ = ({user: settled(world.state(user)) for user in world.documents} for world in worlds)
    assert one == other_


@examples(8)
@given(st.data())
def test_law_7_boards_do_not_depend_on_the_order_of_arrival(new_database, data):
    tree = data.draw(orderless_trees(), label="catalog")
    arrived = data.draw(sets_of_events(), label="events")
    shuffled = data.draw(st.permutations(arrived), label="shuffled")
    assert boards(new_database(), tree, arrived) == boards(new_database(), tree, shuffled)


def boards(url: str, tree: dict, arrived: list[Asked]) -> dict:
    """Every board in every period in which anything happened, after recording events in one call."""
    clock = Clock(to_datetime(arrived[0].now)) if arrived else Clock()
    with laurels.open(url, catalog=parsed(tree), clock=clock) as engine:
        engine.record([step.request for step in arrived])
        with engine.read() as connection:
            days = set(connection.scalars(select(journal.c.day)))
        keys = {kind: {period_key(kind, period_label(kind, day)) for day in days} for kind in ALL_KINDS}
        return {
            (code, kind, key): engine.leaderboard(code, period=kind, at=key).top(100)
            for code, kinds in BOARDS.items()
            for kind in kinds
            for key in keys[kind]
        }

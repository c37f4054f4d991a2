"""
Law 3. No increment is lost and nothing is spent twice, under any interleaving of threads and processes; and none of
them hears of a deadlock.

Each race is judged twice: by what must add up, and by playing the same requests once more, alone and in the order in
which the journal says that they were recorded: that must leave every document as the race left it, to the byte.
"""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import laurels
from laurels import AwardXp, Credit, Event, Outcome, Spend, Transfer
from laurels.core.periods import from_datetime
from tests.conftest import NOW, Clock
from tests.laws.conftest import examples
from tests.laws.play import documents_of, order_of, stamped, without_expiry
from tests.laws.senders import answer_to, send
from tests.laws.strategies import MUCH, Asked, catalog_trees, parsed, streams
from tests.laws.world import World

SENDERS = 3
#: Whatever users get in each other's way with: a limited place, a limit, claims, a quest, a streak, and money.
TREE = {
    "catalog": {"name": "Races"},
    "currencies": {"coin": {}},
    "levels": {"curve": {"kind": "linear", "base": 50}, "bonus_xp": 5, "reward": {"coin": 1}},
    "metrics": {"posts": {}, "tags": {}},
    "rules": [
        {"id": "post", "on": "post", "xp": 10, "metrics": {"posts": 1, "tags": {"distinct": "data.tag"}}},
        {"id": "first", "on": "post", "xp": 3, "limit": {"times": 2, "per": "day"}},
        {"id": "liked", "on": "like", "to": "data.to", "reward": {"coin": 2}, "once_per": "data.post"},
    ],
    "achievements": [
        {"code": "PIONEER", "when": {"posts": 3}, "max_achievers": 1, "reward": {"xp": 20}},
        {"code": "TENS", "when": {"posts": 10}, "repeatable": True, "reward": {"coin": 1}},
    ],
    "quests": [{"code": "daily", "type": "daily", "goals": {"posts": 3}, "reward": {"xp": 7}}],
    "streaks": [{"code": "posting", "on": "post", "bonus": {"xp_per_step": 2, "max_xp": 6}}],
}
USERS = ("ada", "bob", "cyd")

Race = Callable[[str, list[list]], list[list]]


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(SENDERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module", params=["threads", "processes"])
def race(request) -> Race:
    """Send plans at once, each by a thread of its own on one engine, or by a process of its own; return the answers."""
    if request.param == "processes":
        pool = request.getfixturevalue("processes")
        return lambda url, plans: list(pool.map(send, [url] * len(plans), plans))
    return race_of_threads


def race_of_threads(url: str, plans: list[list]) -> list[list]:
    with laurels.open(url, clock=Clock()) as engine, ThreadPoolExecutor(len(plans)) as pool:
        return list(pool.map(lambda plan: [answer_to(engine, request) for request in plan], plans))


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    url = new_database()
    laurels.open(url, catalog=parsed(TREE), clock=Clock()).close()
    return url


def judge(url: str, plans: list[list], tree: dict = TREE) -> None:
    """Play what was recorded once more, one by one in the journal's order, and compare the documents."""
    requests = {(request.user, request.id): request for plan in plans for request in plan}
    world = World(parsed(tree))
    with laurels.open(url, clock=Clock()) as engine:
        for key in order_of(engine):
            world.record([requests[key]], from_datetime(NOW))
        assert documents_of(engine) == world.documents


def applied(answers: list[list], kind: type = object) -> list:
    return [one for told in answers for one in told if isinstance(one, Outcome) and one.status == "applied"]


def test_law_3_no_increment_is_lost(race, url):
    """O1: 300 awards of 10 XP to one user."""
    plans = [[AwardXp(user="ada", id=f"{s}-{n}", amount=10) for n in range(100)] for s in range(SENDERS)]
    race(url, plans)
    judge(url, plans)
    with laurels.open(url, clock=Clock()) as engine:
        awarded = sum(entry.amount for entry in engine.user("ada").ledger(unit="xp", limit=1000) if entry.rule == "")
    assert awarded == 3_000


def test_law_3_nothing_is_spent_twice(race, url):
    """O2: 90 spends of 10 from a balance of 50."""
    send(url, [Credit(user="ada", id="pay", currency="coin", amount=50)])
    spends = [[Spend(user="ada", id=f"{s}-{n}", currency="coin", amount=10) for n in range(30)] for s in range(SENDERS)]
    answers = race(url, spends)
    codes = Counter("spent" if isinstance(one, Outcome) else one for told in answers for one in told)
    assert codes == {"spent": 5, "insufficient_funds": 85}
    with laurels.open(url, clock=Clock()) as engine:
        assert engine.profile("ada").balances["coin"].available == 0


def test_law_3_money_that_changes_hands_in_circles_stays_the_same_sum(race, url):
    """Every sender pays in another direction, so that locks in the order of arrival would wait for each other."""
    send(url, [Credit(user=user, id="pay", currency="coin", amount=20) for user in USERS])
    plans = [
        [
            Transfer(user=USERS[(s + n) % 3], to=USERS[(s + n * 2 + 1) % 3], id=f"{s}-{n}", currency="coin", amount=5)
            for n in range(40)
            if (s + n) % 3 != (s + n * 2 + 1) % 3
        ]
        for s in range(SENDERS)
    ]
    answers = race(url, plans)
    assert {one for told in answers for one in told if not isinstance(one, Outcome)} <= {"insufficient_funds"}
    with laurels.open(url, clock=Clock()) as engine:
        balances = [engine.profile(user).balances["coin"].available for user in USERS]
    assert sum(balances) == 60
    assert min(balances) >= 0


def test_law_3_whatever_is_sent_at_once_ends_as_if_it_had_come_one_after_the_other(race, url):
    plans = [mixed_plan(random.Random(sender), sender) for sender in range(SENDERS)]
    answers = race(url, plans)
    assert {one for told in answers for one in told if isinstance(one, str)} <= {"insufficient_funds", "unknown_user"}
    judge(url, plans)
    pioneers = [
        change.user_id
        for outcome in applied(answers)
        for change in outcome.changes
        if change.type == "achievement.unlocked" and change.achievement == "PIONEER"
    ]
    assert len(pioneers) == 1


@examples(5)
@given(data=st.data())
def test_law_3_any_catalog_and_any_requests_end_as_if_they_had_come_one_after_the_other(race, new_database, data):
    tree = data.draw(catalog_trees(), label="catalog")
    stream = stamped(without_expiry(data.draw(streams(tree, MUCH), label="stream")))
    once = {(s.request.user, s.request.id): s.request for s in reversed(stream) if isinstance(s, Asked)}
    plans: list[list] = [[] for _ in range(SENDERS)]
    for request in reversed(once.values()):
        plans[data.draw(st.integers(0, SENDERS - 1))].append(request)
    url = new_database()
    laurels.open(url, catalog=parsed(tree), clock=Clock()).close()
    race(url, plans)
    judge(url, plans, tree)


def mixed_plan(dice: random.Random, sender: int) -> list:
    """Events and commands of all users, with ids that no other sender uses."""
    plan = []
    for number in range(60):
        user, to = dice.sample(USERS, 2)
        about = {"user": user, "id": f"{sender}-{number}"}
        plan.append(
            dice.choice(
                [
                    Event("post", **about, data={"tag": dice.choice("abc")}),
                    Event("post", **about, data={"tag": dice.choice("abc")}),
                    Event("like", **about, data={"to": to, "post": dice.choice("pq")}),
                    Transfer(**about, to=to, currency="coin", amount=1),
                    Spend(**about, currency="coin", amount=1),
                ]
            )
        )
    return plan


def test_law_2_senders_of_the_same_requests_at_once_all_hear_the_same(race, url):
    requests = mixed_plan(random.Random(7), 0)
    send(url, [Credit(user=user, id="pay", currency="coin", amount=1_000) for user in USERS])
    plans = [random.Random(sender).sample(requests, len(requests)) for sender in range(SENDERS)]
    answers = race(url, plans)
    told: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in (one for heard in answers for one in heard):
        assert isinstance(outcome, Outcome)
        told.setdefault((outcome.user_id, outcome.event_id), []).append(outcome)
    for outcomes in told.values():
        assert sorted(outcome.status for outcome in outcomes) == ["applied", "duplicate", "duplicate"]
        assert len({msgspec.json.encode(msgspec.structs.replace(one, status="applied")) for one in outcomes}) == 1
    judge(url, [requests, [Credit(user=user, id="pay", currency="coin", amount=1_000) for user in USERS]])

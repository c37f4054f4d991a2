"""
What the service that Laurels replaces got wrong, row by row (BEHAVIOURS 1): each with the figure it must show.

Some rows are shown under a catalog without level bonuses, so that the figure is the plain one; the others under
`community.toml`, which carries the original's numbers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

import laurels
from tests.behaviours.processes import said, start
from tests.conftest import BASE
from tests.semantics.telling import told

#: No bonus and no reward for levels: the sum is what was awarded.
PLAIN = (
    BASE
    + """
[currencies.sparkle]
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily", "weekly", "monthly", "alltime"]
"""
)

AWARDS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import laurels
url, name, number = sys.argv[1:]
with laurels.open(url) as engine, ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda n: engine.award_xp("ada", 10, request_id=f"{name}-{n}"), range(int(number))))
"""

SPENDS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import laurels
url, name, number = sys.argv[1:]
def spend(n):
    try:
        engine.wallet("ada").spend("sparkle", 10, request_id=f"{name}-{n}")
    except laurels.InsufficientFunds as refusal:
        return f"{refusal.code} {refusal.available}"
    return "spent"
with laurels.open(url) as engine, ThreadPoolExecutor(8) as threads:
    print(*threads.map(spend, range(int(number))), sep="\\n")
"""


@pytest.fixture
def plain(open_engine):
    return open_engine(PLAIN)


@pytest.fixture
def community(open_engine):
    return open_engine()


def at_once(times, do):
    """Do something so many times in sixteen threads; return what came back, in the order of the numbers given."""
    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(do, range(times)))


def post(number, time=None, user="ada"):
    return laurels.Event("post.created", user=user, id=f"post-{number}", time=time)


def lines(board):
    return [(line.rank, line.user_id, line.score) for line in board]


# --- O1, O2: races ----------------------------------------------------------------------------------------------------


def test_o1_a_thousand_awards_at_once_through_threads_are_all_there(plain):
    at_once(1_000, lambda n: plain.award_xp("ada", 10, request_id=f"a{n}"))

    assert plain.profile("ada").xp == 10_000
    assert [entry.balance for entry in plain.user("ada").ledger(limit=1_001)] == list(range(10_000, 0, -10))


def test_o1_a_thousand_awards_at_once_through_processes_are_all_there(plain, database_url):
    others = [start(AWARDS, database_url, name, 250) for name in ("one", "two", "three")]
    at_once(250, lambda n: plain.award_xp("ada", 10, request_id=f"four-{n}"))
    for other in others:
        said(other)

    assert plain.profile("ada").xp == 10_000
    assert [entry.balance for entry in plain.user("ada").ledger(limit=1_001)] == list(range(10_000, 0, -10))


def test_o2_of_a_hundred_spends_at_once_through_threads_the_money_pays_five(plain):
    plain.wallet("ada").credit("sparkle", 50, request_id="credit")

    def spend(number):
        try:
            plain.wallet("ada").spend("sparkle", 10, request_id=f"s{number}")
        except laurels.InsufficientFunds as refusal:
            return refusal.code
        return "spent"

    answers = at_once(100, spend)

    assert (answers.count("spent"), answers.count("insufficient_funds")) == (5, 95)
    assert plain.profile("ada").balances["sparkle"].available == 0


def test_o2_of_a_hundred_spends_at_once_through_processes_the_money_pays_five(plain, database_url):
    plain.wallet("ada").credit("sparkle", 50, request_id="credit")

    answers = [line for other in [start(SPENDS, database_url, n, 25) for n in range(4)] for line in said(other)]

    assert answers.count("spent") == 5
    assert len([answer for answer in answers if answer.startswith("insufficient_funds")]) == 95
    assert plain.profile("ada").balances["sparkle"].available == 0


# --- O3: a quest is rewarded once -------------------------------------------------------------------------------------

QUEST = (
    BASE
    + """
[currencies.sparkle]
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
metrics = { posts = 1 }
[[quests]]
code = "three-posts"
type = "daily"
goals = { posts = 3 }
reward = { sparkle = 7 }
"""
)


@pytest.mark.parametrize("threads", [pytest.param(False, id="one-by-one"), pytest.param(True, id="at-once")])
def test_o3_a_quest_of_three_is_rewarded_once_by_ten_steps(open_engine, threads):
    engine = open_engine(QUEST)

    (at_once if threads else _one_by_one)(10, lambda n: engine.record(post(n)))

    assert [entry.amount for entry in engine.user("ada").ledger(unit="sparkle")] == [7]
    assert engine.profile("ada").metrics["quests"] == 1


def _one_by_one(times, do):
    for number in range(times):
        do(number)


# --- O4, O5: boards ---------------------------------------------------------------------------------------------------

DAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


def award(engine, user, amount, number=1):
    engine.award_xp(user, amount, request_id=f"award-{number}")


def test_o4_the_daily_board_ranks_by_what_was_earned_that_day(plain, clock):
    clock.now = DAY - timedelta(days=1)
    award(plain, "ada", 5_000)
    clock.now = DAY
    award(plain, "ada", 10, 2)
    award(plain, "bob", 30)

    assert lines(plain.leaderboard("xp", period="daily").top()) == [(1, "bob", 30), (2, "ada", 10)]
    assert lines(plain.leaderboard("xp").top()) == [(1, "ada", 5_010), (2, "bob", 30)]


def test_o4_the_daily_board_is_gone_with_its_day(plain, clock):
    clock.now = DAY
    award(plain, "ada", 10)
    assert plain.leaderboard("xp", period="daily").total == 1

    clock.advance(days=1)

    assert plain.leaderboard("xp", period="daily").top() == []
    assert lines(plain.leaderboard("xp", period="daily", at="2026-03-02").top()) == [(1, "ada", 10)]


def test_o4_a_board_asked_for_ten_gives_ten_after_it_was_asked_for_three(plain):
    for number in range(12):
        award(plain, f"user-{number:02}", 100 - number)

    assert len(plain.leaderboard("xp", period="daily").top(3)) == 3
    assert [line.rank for line in plain.leaderboard("xp", period="daily").top(10)] == list(range(1, 11))


def test_o5_a_board_asks_when_xp_was_earned_and_not_when_users_came(plain, clock):
    clock.now = DAY - timedelta(days=40)
    award(plain, "old-and-active", 1)
    clock.now = DAY
    award(plain, "old-and-active", 20, 2)
    plain.user("new-and-idle").set(display_name="New")

    for period in ("daily", "weekly", "monthly"):
        assert lines(plain.leaderboard("xp", period=period).top()) == [(1, "old-and-active", 20)]


# --- O6 to O8: levels -------------------------------------------------------------------------------------------------


def test_o6_the_bonus_of_a_level_is_added_and_logged_with_its_total(community):
    community.award_xp("ada", 100, request_id="a")

    assert community.profile("ada").xp == 200
    assert [(e.amount, e.balance, e.rule) for e in community.user("ada").ledger(unit="xp")] == [
        (100, 200, "level:2"),
        (100, 100, ""),
    ]


def test_o6_the_bonus_of_a_level_can_raise_the_level_again(open_engine):
    engine = open_engine(PLAIN.replace("bonus_xp = 0", "bonus_xp = 100"))

    outcome = engine.award_xp("ada", 300, request_id="a")

    assert told(outcome) == [
        "xp +300 = 300", "level 2", "xp +100 = 400 by level:2", "level 3", "xp +100 = 500 by level:3"
    ]  # fmt: skip


REWARDS = (
    BASE
    + """
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
metrics = { posts = 1 }
[[achievements]]
code = "TWO"
when = { posts = 2 }
reward = { xp = 70 }
[[quests]]
code = "one"
type = "daily"
goals = { posts = 1 }
reward = { xp = 60 }
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily", "alltime"]
"""
)


def test_o7_xp_of_quests_and_achievements_counts_for_levels_statistics_and_boards(open_engine):
    engine = open_engine(REWARDS)

    engine.record([post(1), post(2)])

    profile = engine.profile("ada")
    assert (profile.xp, profile.level, profile.metrics["xp"], profile.metrics["level"]) == (130, 2, 130, 2)
    assert lines(engine.leaderboard("xp", period="daily").top()) == [(1, "ada", 130)]
    assert lines(engine.leaderboard("xp").top()) == [(1, "ada", 130)]


def test_o8_every_level_passed_at_once_is_rewarded(open_engine):
    engine = open_engine(PLAIN.replace("bonus_xp = 0", "reward = { sparkle = 50 }"))

    outcome = engine.award_xp("ada", 2_500, request_id="a")

    assert [change.level for change in outcome.changes if change.type == "level.reached"] == [2, 3, 4, 5, 6]
    assert engine.profile("ada").balances["sparkle"].available == 250


# --- O9, O10: what must not be paid -----------------------------------------------------------------------------------


def test_o9_the_same_source_pays_once(plain):
    first = plain.award_xp("ada", 50, source="post", source_id="post-42", request_id="a")
    second = plain.award_xp("ada", 50, source="post", source_id="post-42", request_id="b")

    assert plain.profile("ada").xp == 50
    assert (first.skipped, [skip.reason for skip in second.skipped]) == ((), ["already_counted"])


def test_o9_the_same_event_pays_once(community):
    events = [post(1), post(1)]

    outcomes = [*community.record(events), community.record(post(1))]

    assert [outcome.status for outcome in outcomes] == ["applied", "duplicate", "duplicate"]
    assert community.profile("ada").metrics["posts"] == 1


def test_o10_spending_less_than_nothing_is_refused(plain):
    plain.wallet("ada").credit("sparkle", 20, request_id="c")

    with pytest.raises(laurels.InvalidInput) as refusal:
        plain.wallet("ada").spend("sparkle", -1_000, request_id="s")

    assert refusal.value.code == "invalid_amount"
    assert plain.profile("ada").balances["sparkle"].available == 20


# --- O11: notifications -----------------------------------------------------------------------------------------------


def test_o11_ten_level_ups_at_once_give_exactly_the_ten_notifications_of_what_was_committed(open_engine):
    engine = open_engine(PLAIN.replace('kind = "quadratic"', 'kind = "linear"'))
    heard = []
    engine.on("level.reached", lambda change: heard.append(change.level))

    at_once(10, lambda n: engine.award_xp("ada", 100, request_id=f"a{n}"))

    notified = [n.data["level"] for n in reversed(engine.user("ada").notifications())]
    assert notified == list(range(2, 12))
    assert sorted(heard) == notified


def test_o11_what_is_rolled_back_notifies_nobody(plain):
    heard = []
    plain.on("*", heard.append)
    plain.award_xp("ada", 1, request_id="a")
    level_up = laurels.AwardXp(user="ada", id="b", amount=100)
    refused = laurels.Spend(user="ada", id="c", currency="sparkle", amount=1)

    with pytest.raises(laurels.InsufficientFunds):
        plain.record([level_up, refused])

    assert (plain.user("ada").notifications(), plain.profile("ada").level) == ([], 1)
    assert [change.type for change in heard] == ["xp.awarded"]


# --- O12 to O14: what is counted --------------------------------------------------------------------------------------


def test_o12_premium_earned_is_counted_every_time(community):
    for number, amount in enumerate((5, 7, 11)):
        community.wallet("ada").credit("premium", amount, request_id=f"c{number}")
    community.wallet("ada").spend("premium", 3, request_id="s")

    balance = community.profile("ada").balances["premium"]
    assert (balance.available, balance.lifetime_earned, balance.lifetime_spent) == (20, 23, 3)


def test_o13_an_achievement_for_a_level_is_like_any_other(community):
    """With its reward of 25 XP and 50 sparkle points, its notification, and its place in every statistic."""
    outcome = community.award_xp("ada", 9_000, request_id="a")

    paid = [line.split(" = ")[0] for line in told(outcome) if line.endswith("by achievement:LEVEL_10")]
    assert "LEVEL_10 unlocked" in told(outcome)
    assert paid == ["xp +25", "sparkle +50"]
    assert [n.title for n in community.user("ada").notifications() if n.data.get("achievement") == "LEVEL_10"] == [
        "Double Digits"
    ]
    profile = community.profile("ada")
    unlocked = {view.achievement for view in community.user("ada").achievements() if view.unlocked}
    assert unlocked == {"LEVEL_10", "XP_1000", "FOUNDING_MEMBER"}
    assert (profile.achievements.unlocked, profile.metrics["achievements"]) == (3, 3)
    assert profile.achievements.points == 25 + 10 + 500
    assert lines(community.leaderboard("achievements").top()) == [(1, "ada", 3)]


EVERY_METRIC = (
    BASE
    + """
[currencies.gold]
[metrics]
posts = {}
best = {}
tags = {}
[[rules]]
id = "post"
on = "post.created"
xp = 10
reward = { gold = 10 }
metrics = { posts = 1, best = { max = "data.score" }, tags = { distinct = "data.tags" } }
[[streaks]]
code = "writing"
on = "post.created"
[[achievements]]
code = "first"
when = { posts = 1 }
[[quests]]
code = "today"
type = "daily"
goals = { posts = 1 }
"""
)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("posts", 2),
        ("best", 7),
        ("tags", 3),
        ("xp", 20),
        ("level", 1),
        ("achievements", 1),
        ("quests", 2),
        ("earned.gold", 20),
        ("spent.gold", 4),
        ("streak.writing", 2),
    ],
)
def test_o14_there_is_progress_on_every_metric(open_engine, metric, expected):
    """An achievement that asks for 100 of it, after two posts on two days and a spend."""
    engine = open_engine(f'{EVERY_METRIC}[[achievements]]\ncode = "HUNDRED"\nwhen = {{ "{metric}" = 100 }}\n')
    for day, data in enumerate(({"score": 7, "tags": ["a", "b"]}, {"score": 3, "tags": ["b", "c"]}), start=1):
        time = datetime(2026, 3, day, tzinfo=UTC)
        engine.record(laurels.Event("post.created", user="ada", id=f"p{day}", time=time, data=data))
    engine.wallet("ada").spend("gold", 4, request_id="s")

    [view] = [view for view in engine.user("ada").achievements() if view.achievement == "HUNDRED"]
    assert (view.value, view.target) == (expected, 100)

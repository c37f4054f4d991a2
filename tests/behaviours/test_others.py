"""
What other engines got wrong (BEHAVIOURS 2), as far as the tests of the semantics do not show it already.

Days, limits, boards and idempotency have their lettered tests in tests/semantics; undoing, the closing of periods and
delivery to other systems come with what does them.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

import laurels
from laurels.catalog_file import parse_catalog
from laurels.importers.events import EventsFile
from laurels.importers.loading import Tally, import_events
from tests.conftest import BASE
from tests.databases import contents
from tests.semantics.telling import told

WORLD = (
    BASE
    + """
[currencies.sparkle]
[metrics]
posts = {}
comments = {}
words = {}
[[rules]]
id = "post"
on = "post.created"
xp = 10
metrics = { posts = 1, words = "data.words" }
[[rules]]
id = "comment"
on = "comment.created"
xp = 5
metrics = { comments = 1 }
[[achievements]]
code = "HELLO"
name = "Hello"
any = { posts = 1, comments = 1 }
reward = { sparkle = 7 }
"""
)


@pytest.fixture
def engine(open_engine):
    return open_engine(WORLD)


def event(kind, number, user="ada", time=None, **data):
    return laurels.Event(f"{kind}.created", user=user, id=f"{kind}-{number}", time=time, data=data or None)


def together(*doings):
    """Do several things at the same moment, each in a thread of its own; return what came back or was raised."""
    barrier = Barrier(len(doings))

    def when_all_are_there(do):
        barrier.wait()
        try:
            return do()
        except laurels.LaurelsError as error:
            return error

    with ThreadPoolExecutor(len(doings)) as threads:
        return list(threads.map(when_all_are_there, doings))


# --- Races and money --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engines", [1, 2], ids=["one-process", "two-on-one-file"])
def test_two_events_at_once_that_each_unlock_it_unlock_it_once_and_both_keep_the_rest(open_engine, engines):
    opened = [open_engine(WORLD) for _ in range(engines)]
    for number in range(10):
        user = f"user-{number}"
        outcomes = together(
            lambda user=user: opened[0].record(event("post", 1, user)),
            lambda user=user: opened[-1].record(event("comment", 1, user)),
        )

        unlocks = [
            change for outcome in outcomes for change in outcome.changes if change.type == "achievement.unlocked"
        ]
        profile = opened[0].profile(user)
        assert [change.achievement for change in unlocks] == ["HELLO"]
        assert [n.title for n in opened[0].user(user).notifications()] == ["Hello"]
        assert (profile.xp, profile.balances["sparkle"].available) == (15, 7)


@pytest.mark.parametrize("engines", [1, 2], ids=["one-process", "two-on-one-file"])
def test_of_many_purchases_at_once_with_money_for_one_exactly_one_is_made(open_engine, engines):
    opened = [open_engine(WORLD) for _ in range(engines)]
    opened[0].wallet("ada").credit("sparkle", 99, request_id="c")

    answers = together(
        *(
            lambda n=n: opened[n % engines].wallet("ada").spend("sparkle", 50, request_id=f"order-{n}")
            for n in range(16)
        )
    )

    assert [answer.code for answer in answers if isinstance(answer, laurels.LaurelsError)] == [
        "insufficient_funds"
    ] * 15
    assert opened[0].profile("ada").balances["sparkle"].available == 49


def test_transfers_in_a_circle_at_once_neither_lock_each_other_out_nor_make_money(engine):
    people = ["ada", "bob", "eve"]
    for user in people:
        engine.wallet(user).credit("sparkle", 100, request_id="c")

    together(
        *(
            lambda n=n: engine.wallet(people[n % 3]).transfer("sparkle", n, to=people[(n + 1) % 3], request_id=f"t{n}")
            for n in range(1, 13)
        )
    )

    assert sum(engine.profile(user).balances["sparkle"].available for user in people) == 300


def test_a_reward_and_its_record_are_committed_together_or_not_at_all(engine):
    engine.record(event("post", 1))
    before = contents(engine)
    refused = laurels.Spend(user="ada", id="s", currency="sparkle", amount=1_000)

    with pytest.raises(laurels.InsufficientFunds):
        engine.record([event("comment", 1, "bob"), event("post", 2), refused])

    assert contents(engine) == before


def test_a_purchase_that_could_not_be_delivered_is_given_back_once(engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 50, request_id="c")
    wallet.spend("sparkle", 50, request_id="order-7")

    statuses = [wallet.refund("order-7", request_id="not-delivered").status for _ in range(3)]
    with pytest.raises(laurels.InvalidInput, match="0 are left to refund"):
        wallet.refund("order-7", request_id="not-delivered-either")

    assert statuses == ["applied", "duplicate", "duplicate"]
    assert wallet.spend("sparkle", 50, request_id="order-8").status == "applied"


def test_what_happens_to_an_events_data_after_it_was_handed_over_does_not_reach_the_record(engine):
    data = {"words": 5}
    mine = laurels.Event("post.created", user="ada", id="p1", data=data)
    future = engine.submit(mine)
    data["words"] = 5_000
    future.result()

    assert engine.profile("ada").metrics["words"] == 5
    assert engine.user("ada").request("p1").data == {"words": 5}


def test_a_listener_that_fails_or_records_disturbs_nobody(engine):
    def fail(change):
        raise RuntimeError(change)

    engine.on("achievement.unlocked", fail)
    engine.on("achievement.unlocked", lambda change: engine.award_xp(change.user_id, 1, request_id="from-listener"))

    assert engine.record(event("post", 1)).status == "applied"
    assert engine.record(event("post", 1)).status == "duplicate"
    assert engine.profile("ada").xp == 11


# --- Days -------------------------------------------------------------------------------------------------------------

DAYS = (
    WORLD
    + """
[[quests]]
code = "three-a-day"
type = "daily"
goals = { posts = 3 }
[[streaks]]
code = "writing"
on = "post.created"
freezes = { initial = 1, max = 1 }
"""
)


def day(number):
    return datetime(2026, 3, number, 12, tzinfo=UTC)


def test_a_daily_quest_starts_at_0_also_for_who_was_away(open_engine, clock):
    engine = open_engine(DAYS)
    clock.now = day(1)
    engine.record([event("post", n) for n in range(2)])

    clock.now = day(20)
    today = engine.user("ada").quests()[0]
    assert (today.period, today.value, today.status) == ("2026-03-20", 0, "available")

    engine.record(event("post", 2))
    today = engine.user("ada").quests()[0]
    assert (today.period, today.value, today.status) == ("2026-03-20", 1, "in_progress")


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param([5], (1, 1), id="not-before-the-first-day"),
        pytest.param([5, 4], (2, 1), id="not-by-the-day-before"),
        pytest.param([5, 2], (1, 1), id="not-by-an-earlier-day-out-of-reach"),
        pytest.param([5, 10, 10], (1, 1), id="not-where-it-cannot-help"),
        pytest.param([5, 7], (2, 0), id="for-exactly-one-missed-day"),
        pytest.param([5, 7, 9], (1, 0), id="once"),
    ],
)
def test_a_freeze_is_burned_only_where_it_saves_a_streak(open_engine, clock, days, expected):
    engine = open_engine(DAYS)
    clock.now = day(max(days))
    engine.record([event("post", n, time=day(number)) for n, number in enumerate(days)])

    streak = engine.profile("ada").streaks["writing"]
    assert (streak.length, streak.freezes) == expected


def test_a_freeze_that_could_not_help_says_why(open_engine, clock):
    engine = open_engine(DAYS)
    engine.record(event("post", 1, time=day(5)))
    [broken] = [c for c in engine.record(event("post", 2, time=day(8))).changes if c.type == "streak.broken"]
    assert (broken.length, broken.missed, broken.freezes) == (1, 2, 1)


def test_a_streak_has_the_same_value_for_every_viewer(open_engine, clock):
    """What counts is the day of the user, not that of the server or of who looks."""
    engine = open_engine(DAYS)
    engine.user("ada").set(timezone="Pacific/Auckland")
    engine.record([event("post", n, time=day(n) + timedelta(hours=14)) for n in (1, 2, 3)])
    clock.now = day(3) + timedelta(hours=15)

    other = open_engine()
    assert engine.profile("ada").streaks == other.profile("ada").streaks
    assert engine.profile("ada").streaks["writing"].length == 3
    assert [profile.streaks for profile in other.profiles()] == [engine.profile("ada").streaks]


# --- Catalogs ---------------------------------------------------------------------------------------------------------


def test_what_was_earned_stays_when_its_rule_or_achievement_is_edited_disabled_or_removed(engine):
    engine.record(event("post", 1))
    before = engine.profile("ada")

    for edited in (
        WORLD.replace("xp = 10", "xp = 1"),
        WORLD.replace('id = "post"', 'id = "post"\nenabled = false').replace("any =", "enabled = false\nany ="),
        WORLD[: WORLD.index("[[rules]]")],
    ):
        engine.apply_catalog(parse_catalog(edited))
        after = engine.profile("ada")
        assert (after.xp, after.balances, after.achievements.unlocked) == (before.xp, before.balances, 1)


def test_a_disabled_rule_or_achievement_never_awards(engine):
    engine.apply_catalog(
        parse_catalog(
            WORLD.replace('id = "post"', 'id = "post"\nenabled = false').replace("any =", "enabled = false\nany =")
        )
    )
    assert told(engine.record(event("post", 1))) == []
    assert told(engine.record(event("comment", 1))) == ["xp +5 = 5 by comment", "comments = 1"]


def test_a_rule_that_names_what_nothing_defines_keeps_the_catalog_in_force(engine):
    with pytest.raises(laurels.CatalogInvalid, match="did you mean 'posts'"):
        engine.apply_catalog(parse_catalog(WORLD.replace("posts = 1", "post = 1")))
    assert engine.catalog.revision == 1


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([1] * 1_000, id="thousand-of-1"),
        pytest.param([333, 333, 334], id="three-thirds"),
        pytest.param([7] * 143, id="past-it-with-the-last"),
    ],
)
def test_progress_that_reaches_the_end_in_small_steps_unlocks(open_engine, steps):
    engine = open_engine(WORLD + '[[achievements]]\ncode = "NOVEL"\nwhen = { words = 1000 }\n')

    outcomes = engine.record([event("post", n, words=words) for n, words in enumerate(steps)])

    unlocked = [n for n, outcome in enumerate(outcomes) for line in told(outcome) if line == "NOVEL unlocked"]
    assert unlocked == [len(steps) - 1]


def test_one_award_over_three_levels_reports_three_levels_in_order_after_the_xp(engine):
    assert told(engine.award_xp("ada", 900, request_id="a")) == ["xp +900 = 900", "level 2", "level 3", "level 4"]


# --- History ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(open_engine):
    """Ada's history: each of twelve posts has several lines, of XP and of two currencies."""
    engine = open_engine(
        BASE.replace("bonus_xp = 0", "bonus_xp = 3\nreward = { gold = 2, amber = 1 }")
        + """
[currencies.gold]
[currencies.amber]
[[rules]]
id = "post"
on = "post.created"
xp = 60
reward = { gold = 1, amber = 1 }
"""
    )
    engine.record([event("post", n) for n in range(12)])
    return engine


def pages(read, position):
    """Read page after page until one is empty; `position` says where the next one goes on."""
    found, before = [], None
    while page := read(before=before):
        found += page
        before = position(page[-1])
    return found


@pytest.mark.parametrize("unit", [None, "xp", "gold"])
@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_a_ledger_pages_past_page_1_without_losing_or_repeating_a_line(history, unit, limit):
    ada = history.user("ada")
    everything = ada.ledger(unit=unit, limit=1_000)

    paged = pages(lambda before: ada.ledger(unit=unit, limit=limit, before=before), lambda entry: entry.position)

    assert paged == everything
    assert len(everything) > 12


def test_a_ledger_page_is_not_moved_by_what_is_recorded_meanwhile(history):
    ada = history.user("ada")
    first = ada.ledger(limit=4)
    expected = ada.ledger(limit=8)[4:]
    history.record(event("post", 12))
    assert ada.ledger(limit=4, before=first[-1].position) == expected


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_an_inbox_pages_past_page_1_also_when_only_what_is_unread_is_asked_for(history, limit):
    ada = history.user("ada")
    ada.mark_read(up_to=1)
    for unread in (False, True):
        everything = ada.notifications(unread=unread, limit=1_000)
        paged = pages(
            lambda before, unread=unread: ada.notifications(unread=unread, limit=limit, before=before),
            lambda notification: notification.number,
        )
        assert paged == everything
        assert (1 in [n.number for n in everything]) is not unread


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_search_for_users_pages_past_page_1(engine, limit):
    names = [f"{kind}-{number}" for kind in ("cat", "dog") for number in range(6)]
    engine.record([event("post", 1, name) for name in names])

    found, after = [], ""
    while page := engine.users(containing="dog", after=after, limit=limit):
        found += page
        after = page[-1]

    assert found == [f"dog-{number}" for number in range(6)]


# --- Imports ----------------------------------------------------------------------------------------------------------


def silent(what, unit):
    return lambda done, total: None


def test_an_import_repeated_changes_nothing(open_engine, tmp_path):
    engine = open_engine()
    path = tmp_path / "events.jsonl"
    posts = [
        {"id": str(n), "type": "post.created", "user": f"user-{n % 9}", "time": f"2026-03-{n % 28 + 1:02}T10:00:00Z"}
        for n in range(600)
    ]
    path.write_text("\n".join(map(json.dumps, posts)))
    tallies = []
    for _ in range(2):
        tally = Tally(pytest.fail)
        with EventsFile(path) as file:
            import_events(engine, file, tally, silent)
        tallies.append((tally.recorded, tally.repeated, tally.left_out, contents(engine)))

    first, second = tallies
    assert first[:3] == (600, 0, 0)
    assert second[:3] == (0, 600, 0)
    assert second[3] == first[3]

"""Achievements (SEMANTICS 8): every lettered example, and each rule with numbers of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count, permutations
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import laurels
from laurels.store.batch import Batch
from tests.conftest import BASE

IDS = count()

WORLD = (
    BASE
    + """
[currencies.sparkle]
[metrics]
posts = {}
comments = {}
words = {}
score = {}
tags = {}
[[rules]]
id = "post"
on = "post"
xp = 1
metrics = { posts = 1, words = "data.words", score = { max = "data.score" }, tags = { distinct = "data.tags" } }
[[rules]]
id = "comment"
on = "comment"
metrics = { comments = 1 }
[[streaks]]
code = "login"
on = "login"
"""
)


def achievement(code, **settings):
    """An achievement as TOML; strings among its settings stand as they are, times are of 2026 and in UTC."""
    lines = [f'[[achievements]]\ncode = "{code}"']
    for name, value in settings.items():
        text = at(value).isoformat() if name in ("from_", "until") else str(value).lower() if value is True else value
        lines.append(f"{name.rstrip('_')} = {text}")
    return "\n".join(lines) + "\n"


def at(text):
    """The instant written `03-01`, `03-01T09:00` or in full; of 2026, at noon, in UTC where nothing else is said."""
    text = text if text[4] == "-" else f"2026-{text}"
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


def event(kind="post", time="03-01", user="ada", **data):
    return laurels.Event(kind, user=user, id=f"{kind}-{next(IDS)}", time=at(time), data=data)


def do(engine, kind, *times, user="ada", **data):
    """One event of a kind at each of these times, each recorded by itself; the outcomes."""
    return [engine.record(event(kind, time, user, **data)) for time in times]


def post(engine, *times, user="ada", **data):
    return do(engine, "post", *times, user=user, **data)


def unlocked(outcomes):
    """What these outcomes unlocked: `CODE`, and `CODE 2` when it was for the second time."""
    changes = [change for outcome in outcomes for change in outcome.changes if change.type == "achievement.unlocked"]
    return [change.achievement if change.times == 1 else f"{change.achievement} {change.times}" for change in changes]


def notes(outcomes):
    """The progress that was reported: value of target, by outcome."""
    return [
        [f"{c.value}/{c.target}" for c in outcome.changes if c.type == "achievement.progressed"] for outcome in outcomes
    ]


def skips(outcome):
    return [(skip.user_id, skip.rule, skip.reason, skip.retry_at) for skip in outcome.skipped]


def held(engine, user="ada"):
    """How often the user holds each achievement."""
    return {view.achievement: view.times for view in engine.user(user).achievements() if view.unlocked}


def unlocked_at(engine, code, user="ada"):
    return next(view.unlocked_at for view in engine.user(user).achievements() if view.achievement == code)


# --- The lettered examples --------------------------------------------------------------------------------------------


def test_8a_every_tenth_of_the_way_is_a_note_and_the_last_is_the_unlock(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 10 }"))
    outcomes = post(engine, *["03-01"] * 10)
    assert notes(outcomes) == [[f"{posts}/10"] for posts in range(1, 10)] + [[]]
    assert unlocked(outcomes[:9]) == []
    assert unlocked(outcomes[9:]) == ["WRITER"]


def test_8a_a_target_of_100_gives_a_note_at_every_tenth(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 100 }"))
    given_at = [note for note in notes(engine.record([event() for _ in range(100)])) if note]
    assert given_at == [[f"{posts}/100"] for posts in range(10, 100, 10)]


def test_8a_a_leap_over_several_tenths_is_one_note(open_engine):
    engine = open_engine(WORLD + achievement("NOVELIST", when="{ words = 100 }"))
    assert notes(post(engine, "03-01", words=5) + post(engine, "03-01", words=25)) == [[], ["30/100"]]


def test_8a_no_part_counts_beyond_its_target(open_engine):
    engine = open_engine(WORLD + achievement("BOTH", when="{ posts = 10, comments = 5 }"))
    engine.record([event() for _ in range(12)] + [event("comment") for _ in range(3)])
    view = engine.user("ada").achievements()[0]
    assert (view.value, view.target, view.unlocked) == (13, 15, False)


@pytest.mark.parametrize("order", ["VERIFIED WRITER", "WRITER VERIFIED"])
def test_8b_a_prerequisite_unlocks_what_waited_for_it_whatever_the_order(open_engine, order):
    both = {
        "VERIFIED": achievement("VERIFIED", when="{ comments = 1 }"),
        "WRITER": achievement("WRITER", when="{ posts = 10 }", requires='["VERIFIED"]'),
    }
    engine = open_engine(WORLD + "".join(both[code] for code in order.split()))
    assert unlocked(post(engine, *["03-01"] * 12)) == []
    assert unlocked(do(engine, "comment", "03-02")) == ["VERIFIED", "WRITER"]


def test_8c_a_repeatable_one_unlocks_for_every_multiple(open_engine):
    engine = open_engine(
        WORLD.replace("posts = 1,", 'posts = "data.posts",')
        + achievement("TEN", when="{ posts = 10 }", repeatable=True, reward="{ sparkle = 3 }")
    )
    outcome = post(engine, "03-01", posts=25)
    assert unlocked(outcome) == ["TEN", "TEN 2"]
    assert engine.profile("ada").balances["sparkle"].available == 6
    assert unlocked(post(engine, "03-01", posts=5)) == ["TEN 3"]
    assert held(engine) == {"TEN": 3}
    assert engine.profile("ada").balances["sparkle"].available == 9


def test_8c_two_at_once_for_the_last_place(open_engine):
    engine = open_engine(WORLD + achievement("FIRST", when="{ posts = 1 }", max_achievers=1))
    start = Barrier(2)

    def race(user):
        start.wait()
        return engine.record(event(user=user))

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(race, ["ada", "bob"]))
    assert [outcome.status for outcome in outcomes] == ["applied", "applied"]
    assert unlocked(outcomes) == ["FIRST"]
    winner, loser = sorted(outcomes, key=lambda outcome: not unlocked([outcome]))
    assert skips(winner) == []
    assert skips(loser) == [(loser.user_id, "achievement:FIRST", "not_available", None)]
    assert [engine.profile(user).xp for user in ("ada", "bob")] == [1, 1]
    assert [len(engine.user(outcome.user_id).notifications()) for outcome in (winner, loser)] == [1, 0]


def test_8c_with_no_places_nobody_ever_gets_it(open_engine):
    engine = open_engine(WORLD + achievement("NEVER", when="{ posts = 1 }", max_achievers=0))
    outcome = engine.record(event())
    assert unlocked([outcome]) == []
    assert skips(outcome) == [("ada", "achievement:NEVER", "not_available", None)]


def test_8d_a_backdated_last_step_does_not_antedate_the_unlock(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 10 }"))
    outcomes = post(engine, *[f"03-0{day}" for day in range(1, 10)], "02-01")
    assert unlocked(outcomes[-1:]) == ["WRITER"]
    assert unlocked_at(engine, "WRITER") == at("03-09")


def test_8d_a_last_step_that_is_late_by_a_moment_is_dated_with_the_latest(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 2 }"))
    outcomes = post(engine, "03-05T10:00:00.500", "03-05T10:00:00")
    assert unlocked(outcomes[-1:]) == ["WRITER"]
    assert unlocked_at(engine, "WRITER") == at("03-05T10:00:00.500")


def test_8d_of_many_late_in_a_batch_only_who_unlocks_has_the_journal_read(open_engine, monkeypatch):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 2 }"))
    looked_up = []
    remember = Batch.remember

    def noted(self, context, user_ids, catalog):
        looked_up.append(set(user_ids))
        remember(self, context, user_ids, catalog)

    monkeypatch.setattr(Batch, "remember", noted)
    for user in ("ada", "bob", "carol", "dave"):
        do(engine, "comment", "03-05", user=user)
    for user in ("ada", "bob", "carol"):
        post(engine, "03-04", user=user)
    engine.record([event(time="03-01", user=user) for user in ("ada", "dave")])
    assert looked_up == [{"ada"}]
    engine.record([event(time="03-01", user=user) for user in ("bob", "carol", "dave")])
    # Where two ask, others may: so all who are late are looked up at once, and not one after the other.
    assert looked_up[1:] == [{"bob"}, {"bob", "carol", "dave"}]
    assert {unlocked_at(engine, "WRITER", user) for user in ("ada", "bob", "carol")} == {at("03-04")}


@pytest.mark.parametrize(
    ("tenth", "expected"),
    [
        pytest.param("03-09T23:59", ["WRITER"], id="inside-though-recorded-later"),
        pytest.param("03-10T00:00", [], id="until-is-outside"),
    ],
)
def test_8d_a_window_is_one_of_own_times(open_engine, clock, tenth, expected):
    clock.now = at("03-12")
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 10 }", until="03-10T00:00"))
    assert unlocked(post(engine, *["03-05"] * 9, tenth)) == expected


# --- 8.1 When one is due ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "doing", "expected"),
    [
        pytest.param({"when": "{ posts = 2, comments = 1 }"}, "pp", [], id="all-of-when-not-some"),
        pytest.param({"when": "{ posts = 2, comments = 1 }"}, "cpp", ["IT"], id="all-of-when"),
        pytest.param({"any": "{ posts = 2, comments = 1 }"}, "p", [], id="none-of-any"),
        pytest.param({"any": "{ posts = 2, comments = 1 }"}, "pc", ["IT"], id="one-of-any"),
        pytest.param({"when": "{ posts = 1 }", "any": "{ posts = 3, comments = 1 }"}, "c", [], id="any-without-when"),
        pytest.param({"when": "{ posts = 1 }", "any": "{ posts = 3, comments = 1 }"}, "pp", [], id="when-without-any"),
        pytest.param({"when": "{ posts = 1 }", "any": "{ posts = 3, comments = 1 }"}, "cp", ["IT"], id="when-and-any"),
        pytest.param({"when": "{ posts = 1 }", "any": "{ posts = 3, comments = 1 }"}, "ppp", ["IT"], id="or-the-other"),
        pytest.param({"when": "{ posts = 1 }", "enabled": "false"}, "pp", [], id="disabled"),
        pytest.param({"when": "{ posts = 3 }"}, "pppppp", ["IT"], id="once"),
    ],
)
def test_it_is_due_when_all_of_when_and_one_of_any_are_reached(open_engine, settings, doing, expected):
    engine = open_engine(WORLD + achievement("IT", **settings))
    outcomes = [engine.record(event({"p": "post", "c": "comment"}[letter])) for letter in doing]
    assert unlocked(outcomes) == expected
    assert unlocked(outcomes[:-1]) == ([] if len(doing) < 4 else expected)


@pytest.mark.parametrize(
    ("when", "kind", "data", "needed"),
    [
        pytest.param("{ xp = 4 }", "post", {}, 4, id="xp"),
        pytest.param("{ level = 2 }", "post", {}, 100, id="level"),
        pytest.param("{ level = 1 }", "post", {}, 100, id="level-1-is-looked-at-when-it-changes"),
        pytest.param("{ score = 80 }", "post", {"score": 80}, 1, id="a-best-score"),
        pytest.param("{ tags = 3 }", "post", {"tags": ["a", "b", "c", "a"]}, 1, id="different-values"),
        pytest.param('{ "streak.login" = 1 }', "login", {}, 1, id="a-streak"),
        pytest.param("{ achievements = 1 }", "comment", {}, 2, id="achievements"),
        pytest.param("{ quests = 1 }", "comment", {}, 3, id="quests"),
        pytest.param('{ "earned.sparkle" = 7 }', "comment", {}, 3, id="earned"),
    ],
)
def test_thresholds_may_read_every_metric(open_engine, when, kind, data, needed):
    engine = open_engine(
        WORLD
        + achievement("IT", when=when)
        + achievement("OTHER", when="{ comments = 2 }")
        + '[[quests]]\ncode = "talk"\ngoals = { comments = 3 }\nreward = { sparkle = 7 }\n'
    )
    outcomes = engine.record([event(kind, "03-01", **data) for _ in range(needed)])
    assert [place for place, outcome in enumerate(outcomes, 1) if "IT" in unlocked([outcome])] == [needed]


def test_values_are_totals_also_from_before_the_window(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 5 }", from_="06-01T08:00", until="06-10T08:00"))
    assert unlocked(post(engine, *["05-01"] * 7, "06-01T07:59:59")) == []
    assert unlocked(post(engine, "06-01T08:00")) == ["WRITER"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param("06-01T07:59:59", [], id="before"),
        pytest.param("06-01T08:00", ["WRITER"], id="from"),
        pytest.param("06-10T07:59:59", ["WRITER"], id="last"),
        pytest.param("06-10T08:00", [], id="until"),
    ],
)
def test_a_window_is_half_open(open_engine, time, expected):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 1 }", from_="06-01T08:00", until="06-10T08:00"))
    assert unlocked(post(engine, time)) == expected


def test_it_is_looked_at_only_when_one_of_its_metrics_changes(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 2 }", from_="06-01T08:00"))
    post(engine, "05-01", "05-01")
    assert unlocked(do(engine, "comment", "06-02") + do(engine, "login", "06-02")) == []
    assert unlocked(post(engine, "06-02")) == ["WRITER"]


@pytest.mark.parametrize("order", ["".join(order) for order in permutations("ABCD")])
def test_chains_of_prerequisites_unlock_in_one_outcome_whatever_the_order(open_engine, order):
    chain = {
        "A": achievement("A", when="{ posts = 1 }", requires='["B", "C"]'),
        "B": achievement("B", when="{ comments = 1 }", requires='["D"]'),
        "C": achievement("C", when="{ posts = 2 }"),
        "D": achievement("D", when="{ words = 9 }"),
    }
    engine = open_engine(WORLD + "".join(chain[code] for code in order))
    assert unlocked(do(engine, "comment", "03-01") + post(engine, "03-01")) == []
    outcome = post(engine, "03-02", words=9)
    assert sorted(unlocked(outcome)) == ["A", "B", "C", "D"]
    assert unlocked(outcome)[-1] == "A"
    assert unlocked(outcome).index("D") < unlocked(outcome).index("B")


def test_those_due_together_unlock_in_catalog_order_and_each_is_paid_at_once(open_engine):
    engine = open_engine(
        WORLD
        + achievement("SECOND", when="{ posts = 2 }", reward="{ xp = 3 }")
        + achievement("BOTH", any="{ posts = 2, words = 1 }", reward="{ xp = 4, sparkle = 1 }")
        + achievement("LATE", when="{ xp = 9 }")
        + achievement("ALSO", when="{ score = 1 }", reward="{ xp = 5 }")
    )
    post(engine, "03-01")
    told = [
        getattr(change, "achievement", "") or getattr(change, "rule", "") or change.metric
        for change in post(engine, "03-01", score=1)[0].changes
    ]
    assert told == [
        "post", "posts", "score",
        "SECOND", "achievement:SECOND", "BOTH", "achievement:BOTH", "achievement:BOTH",
        "LATE", "ALSO", "achievement:ALSO",
    ]  # fmt: skip


def test_a_metric_that_fell_and_rises_again_unlocks_nothing_twice(open_engine):
    engine = open_engine(WORLD + achievement("NOVELIST", when="{ words = 50 }", reward="{ xp = 20 }"))
    outcomes = [post(engine, "03-01", words=words)[0] for words in (60, -40, 40)]
    assert unlocked(outcomes) == ["NOVELIST"]
    assert held(engine) == {"NOVELIST": 1}


# --- 8.2 When it was unlocked -----------------------------------------------------------------------------------------


def test_only_what_changed_its_own_metrics_dates_an_unlock(open_engine):
    engine = open_engine(WORLD + achievement("TALKER", when="{ comments = 3 }"))
    do(engine, "comment", "04-02", "04-07")
    post(engine, "05-30", "06-30")
    do(engine, "comment", "04-04")
    assert unlocked_at(engine, "TALKER") == at("04-07")


def test_a_change_that_was_none_dates_nothing(open_engine):
    engine = open_engine(WORLD + achievement("STAR", when="{ score = 50, comments = 1 }"))
    post(engine, "04-02", score=90)
    post(engine, "04-20", score=60)
    post(engine, "04-22", words=0)
    do(engine, "comment", "04-01")
    assert unlocked_at(engine, "STAR") == at("04-02")


def test_the_latest_of_all_its_metrics_dates_an_unlock_of_either_kind(open_engine):
    engine = open_engine(WORLD + achievement("EITHER", when="{ words = 1 }", any="{ posts = 2, comments = 1 }"))
    post(engine, "04-09", words=1)
    do(engine, "comment", "04-03")
    assert unlocked_at(engine, "EITHER") == at("04-09")


def test_the_request_that_unlocked_a_prerequisite_dates_what_waited_for_it(open_engine):
    engine = open_engine(
        WORLD
        + achievement("WRITER", when="{ posts = 3 }", requires='["VERIFIED"]')
        + achievement("VERIFIED", when="{ comments = 1 }")
    )
    post(engine, "04-01", "04-02", "04-03")
    do(engine, "comment", "04-17")
    assert unlocked_at(engine, "WRITER") == at("04-17")


def test_an_early_prerequisite_does_not_date_what_came_after_it(open_engine):
    engine = open_engine(
        WORLD
        + achievement("WRITER", when="{ posts = 3 }", requires='["VERIFIED"]')
        + achievement("VERIFIED", when="{ comments = 1 }")
    )
    do(engine, "comment", "04-02")
    post(engine, "04-11", "04-12", "04-05")
    assert unlocked_at(engine, "WRITER") == at("04-12")


def test_the_outcome_says_when_it_was_unlocked(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 2 }", rarity='"epic"'))
    change = post(engine, "04-11", "04-05")[1].changes[-1]
    assert (change.type, change.achievement, change.rarity, change.times) == (
        "achievement.unlocked",
        "WRITER",
        "epic",
        1,
    )
    assert change.unlocked_at == at("04-11")


@given(days=st.lists(st.integers(1, 28), min_size=4, max_size=12), together=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_unlock_is_dated_by_the_latest_own_time_so_far_in_any_order_of_arrival(writers, days, together):
    user = f"user-{next(IDS)}"
    events = [event("post", f"05-{day:02}", user) for day in days]
    for batch in [events] if together else [[one] for one in events]:
        writers.record(batch)
    assert unlocked_at(writers, "WRITER", user) == at(f"05-{max(days[:4]):02}")


@pytest.fixture
def writers(open_engine):
    return open_engine(WORLD + achievement("WRITER", when="{ posts = 4 }"))


# --- 8.3 Limited places -----------------------------------------------------------------------------------------------


def test_places_go_by_the_order_of_commit_not_of_own_times(open_engine):
    engine = open_engine(WORLD + achievement("PIONEER", when="{ posts = 1 }", max_achievers=2))
    outcomes = [post(engine, time, user=user)[0] for user, time in [("c", "05-03"), ("a", "05-02"), ("b", "05-01")]]
    assert [unlocked([outcome]) for outcome in outcomes] == [["PIONEER"], ["PIONEER"], []]
    assert [skips(outcome) for outcome in outcomes] == [[], [], [("b", "achievement:PIONEER", "not_available", None)]]


def test_two_in_one_batch_for_the_last_place(open_engine):
    engine = open_engine(
        WORLD + achievement("PIONEER", when="{ posts = 2 }", max_achievers=1, reward="{ sparkle = 9 }")
    )
    outcomes = engine.record([event(user=user) for user in ("bob", "ada", "ada", "bob")])
    assert unlocked(outcomes) == unlocked(outcomes[2:3]) == ["PIONEER"]
    assert skips(outcomes[3]) == [("bob", "achievement:PIONEER", "not_available", None)]
    assert [engine.profile(user).balances["sparkle"].available for user in ("ada", "bob")] == [9, 0]


def test_ten_at_once_for_three_places_from_two_processes(open_engine):
    toml = WORLD + achievement("PIONEER", when="{ posts = 1 }", max_achievers=3)
    engines = [open_engine(toml), open_engine(toml)]
    start = Barrier(10)

    def race(number):
        start.wait()
        return engines[number % 2].record(event(user=f"user-{number}"))

    with ThreadPoolExecutor(10) as threads:
        outcomes = list(threads.map(race, range(10)))
    assert unlocked(outcomes) == ["PIONEER"] * 3
    assert sum(len(outcome.skipped) for outcome in outcomes) == 7
    assert sum(engines[0].profile(f"user-{number}").achievements.unlocked for number in range(10)) == 3


def test_thirty_submitted_together_for_five_places(open_engine):
    engine = open_engine(WORLD + achievement("PIONEER", when="{ posts = 2 }", max_achievers=5))
    futures = [engine.submit(event(user=f"user-{number % 30}")) for number in range(60)]
    outcomes = [future.result() for future in futures]
    assert unlocked(outcomes) == ["PIONEER"] * 5
    assert sum(len(outcome.skipped) for outcome in outcomes) == 25


def test_the_loser_hears_of_it_once(open_engine):
    engine = open_engine(WORLD + achievement("PIONEER", when="{ posts = 2 }", max_achievers=1))
    engine.record([event(user="bob"), event(user="bob")])
    assert [len(outcome.skipped) for outcome in post(engine, *["05-01"] * 4)] == [0, 1, 0, 0]


def test_the_loser_hears_of_it_when_a_prerequisite_makes_it_due(open_engine):
    engine = open_engine(
        WORLD
        + achievement("PIONEER", when="{ posts = 1 }", requires='["VERIFIED"]', max_achievers=0)
        + achievement("VERIFIED", when="{ comments = 1 }")
    )
    outcomes = post(engine, "05-01", "05-01") + do(engine, "comment", "05-01") + post(engine, "05-01")
    assert [len(outcome.skipped) for outcome in outcomes] == [0, 0, 1, 0]


def test_the_loser_hears_of_it_when_the_window_makes_it_due(open_engine):
    engine = open_engine(WORLD + achievement("PIONEER", when="{ posts = 2 }", max_achievers=0, from_="05-02T00:00"))
    outcomes = post(engine, "05-01", "05-01", "05-01", "05-02", "05-02")
    assert [len(outcome.skipped) for outcome in outcomes] == [0, 0, 0, 1, 0]


def test_the_loser_keeps_everything_else(open_engine):
    engine = open_engine(
        WORLD
        + achievement("PIONEER", when="{ posts = 1 }", max_achievers=0, reward="{ xp = 500 }")
        + achievement("FIRST", when="{ posts = 1 }", reward="{ xp = 50 }")
    )
    outcome = engine.record(event())
    assert (outcome.status, unlocked([outcome])) == ("applied", ["FIRST"])
    assert engine.profile("ada").xp == 51


def test_without_a_number_there_is_a_place_for_everyone(open_engine):
    engine = open_engine(WORLD + achievement("FIRST", when="{ posts = 1 }"))
    assert len(unlocked(engine.record([event(user=f"user-{n}") for n in range(40)]))) == 40


def test_a_repeatable_one_takes_one_place_for_all_its_times(open_engine):
    engine = open_engine(WORLD + achievement("TEN", when="{ words = 10 }", repeatable=True, max_achievers=2))
    assert unlocked(post(engine, "05-01", words=35)) == ["TEN", "TEN 2", "TEN 3"]
    assert unlocked(post(engine, "05-01", words=10, user="bob")) == ["TEN"]
    assert unlocked(post(engine, "05-01", words=10, user="cleo")) == []
    assert unlocked(post(engine, "05-01", words=5)) == ["TEN 4"]


def test_who_opted_out_gets_no_place_and_every_other_achievement(open_engine):
    engine = open_engine(
        WORLD
        + achievement("PIONEER", when="{ posts = 1 }", max_achievers=1)
        + achievement("FIRST", when="{ posts = 1 }")
    )
    engine.user("ada").set(opted_out=True)
    outcomes = post(engine, "05-01", "05-01")
    assert unlocked(outcomes) == ["FIRST"]
    assert [skips(outcome) for outcome in outcomes] == [[("ada", "achievement:PIONEER", "opted_out", None)], []]
    assert unlocked(post(engine, "05-01", user="bob")) == ["PIONEER", "FIRST"]


def test_a_place_stays_taken_when_its_holder_opts_out(open_engine):
    engine = open_engine(WORLD + achievement("PIONEER", when="{ posts = 1 }", max_achievers=1))
    post(engine, "05-01")
    engine.user("ada").set(opted_out=True)
    assert unlocked(post(engine, "05-01", user="bob")) == []
    assert held(engine) == {"PIONEER": 1}


def test_who_opts_in_again_gets_a_place_that_is_left_at_the_next_step(open_engine):
    engine = open_engine(WORLD + achievement("PIONEER", when="{ posts = 1 }", max_achievers=1))
    engine.user("ada").set(opted_out=True)
    post(engine, "05-01")
    engine.user("ada").set(opted_out=False)
    assert unlocked(post(engine, "05-01")) == ["PIONEER"]


# --- 8.4 Repeatable ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "doing", "expected"),
    [
        pytest.param({"when": "{ posts = 2, words = 10 }"}, [(4, 39)], ["IT", "IT 2"], id="the-fewest-of-when"),
        pytest.param({"when": "{ posts = 2, words = 10 }"}, [(9, 9), (1, 21)], ["IT", "IT 2", "IT 3"], id="later"),
        pytest.param({"any": "{ posts = 2, words = 10 }"}, [(3, 47)], ["IT", "IT 2", "IT 3", "IT 4"], id="most-of-any"),
        pytest.param({"any": "{ posts = 2, words = 10 }"}, [(4, 0), (1, 20)], ["IT", "IT 2"], id="any-not-the-sum"),
        pytest.param(
            {"when": "{ posts = 2 }", "any": "{ words = 10, comments = 1 }"}, [(7, 25)], ["IT", "IT 2"], id="both"
        ),
        pytest.param(
            {"when": "{ posts = 2 }", "any": "{ words = 10, comments = 1 }"}, [(7, 55)], ["IT", "IT 2", "IT 3"], id="or"
        ),
    ],
)
def test_times_are_the_fewest_of_when_and_the_most_of_any(open_engine, thresholds, doing, expected):
    engine = open_engine(
        WORLD.replace("posts = 1,", 'posts = "data.posts",')
        + achievement("IT", **thresholds, repeatable=True, reward="{ sparkle = 2 }")
    )
    outcomes = [post(engine, "05-01", posts=posts, words=words)[0] for posts, words in doing]
    assert unlocked(outcomes) == expected
    assert held(engine) == {"IT": len(expected)}
    assert engine.profile("ada").balances["sparkle"].available == 2 * len(expected)
    assert engine.profile("ada").metrics["achievements"] == 1


def test_times_never_fall(open_engine):
    engine = open_engine(WORLD + achievement("TEN", when="{ words = 10 }", repeatable=True))
    outcomes = [post(engine, "05-01", words=words)[0] for words in (25, -20, 19, 5, 1)]
    assert [unlocked([outcome]) for outcome in outcomes] == [["TEN", "TEN 2"], [], [], [], ["TEN 3"]]


# --- 8.5 Secret, points -----------------------------------------------------------------------------------------------


def test_a_secret_one_gives_no_notes_and_unlocks_like_any_other(open_engine):
    engine = open_engine(WORLD + achievement("HIDDEN", when="{ posts = 4 }", secret=True))
    outcomes = post(engine, *["05-01"] * 4)
    assert notes(outcomes) == [[], [], [], []]
    assert unlocked(outcomes) == ["HIDDEN"]


@pytest.mark.parametrize(
    ("rarity", "points"),
    [
        ("common", 10),
        ("uncommon", 25),
        ("rare", 50),
        ("epic", 100),
        ("legendary", 250),
        ("mythic", 1000),
        ("limited_edition", 500),
        ("seasonal", 200),
    ],
)
def test_each_code_is_worth_the_points_of_its_rarity_once(open_engine, rarity, points):
    engine = open_engine(
        WORLD
        + achievement("IT", when="{ posts = 2 }", rarity=f'"{rarity}"', repeatable=True)
        + achievement("OTHER", when="{ posts = 3 }")
        + achievement("TO_COME", when="{ posts = 9 }")
    )
    post(engine, *["05-01"] * 2)
    assert engine.profile("ada").achievements == laurels_count(unlocked=1, points=points)
    post(engine, *["05-01"] * 3)
    assert engine.profile("ada").achievements == laurels_count(unlocked=2, points=points + 10)


def laurels_count(*, unlocked, points):
    return laurels.core.profile.AchievementCount(unlocked=unlocked, total=3, points=points)


# --- 8.6 Progress -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "steps", "expected"),
    [
        pytest.param(3, [1, 1], [["1/3"], ["2/3"]], id="fewer-than-ten-steps"),
        pytest.param(7, [1, 1, 1, 1, 1, 1], [[f"{n}/7"] for n in range(1, 7)], id="a-target-that-ten-does-not-divide"),
        pytest.param(15, [1, 1, 1, 1, 1], [[], ["2/15"], ["3/15"], [], ["5/15"]], id="uneven-tenths"),
        pytest.param(1000, [99, 1, 99, 1], [[], ["100/1000"], [], ["200/1000"]], id="not-before-the-tenth"),
        pytest.param(50, [4, 45], [[], ["49/50"]], id="one-note-for-nine-tenths"),
        pytest.param(50, [20, -10, 4, 1], [["20/50"], [], [], ["15/50"]], id="falling-says-nothing"),
        pytest.param(20, [-5, 6, 1], [[], [], ["2/20"]], id="from-below-zero"),
    ],
)
def test_a_note_is_given_when_another_tenth_is_done(open_engine, target, steps, expected):
    engine = open_engine(WORLD + achievement("NOVELIST", when=f"{{ words = {target} }}"))
    assert notes([post(engine, "05-01", words=step)[0] for step in steps]) == expected


def test_progress_of_several_parts_is_that_of_their_sum(open_engine):
    engine = open_engine(WORLD + achievement("BOTH", when="{ comments = 5, words = 15 }"))
    outcomes = [post(engine, "05-01", words=40)[0], *do(engine, "comment", *["05-01"] * 5)]
    assert notes(outcomes) == [["15/20"], ["16/20"], [], ["18/20"], [], []]
    assert unlocked(outcomes) == ["BOTH"]


def test_of_alternatives_the_best_counts(open_engine):
    engine = open_engine(WORLD + achievement("EITHER", when="{ comments = 10 }", any="{ posts = 4, words = 100 }"))
    post(engine, "05-01", words=60)
    view = engine.user("ada").achievements()[0]
    assert (view.value, view.target) == (60, 110)
    post(engine, "05-01", "05-01", words=1)
    view = engine.user("ada").achievements()[0]
    assert (view.value, view.target) == (3, 14)


def test_a_request_that_unlocks_gives_no_note_of_what_it_unlocked_and_others_come_last(open_engine):
    engine = open_engine(
        WORLD
        + achievement("FAR", when="{ posts = 10 }")
        + achievement("NEAR", when="{ posts = 1 }", reward="{ xp = 5 }")
        + achievement("RICH", when="{ xp = 40 }")
    )
    outcome = engine.record(event())
    assert [change.type for change in outcome.changes] == [
        "xp.awarded",
        "metric.changed",
        "achievement.unlocked",
        "xp.awarded",
        "achievement.progressed",
        "achievement.progressed",
    ]
    assert notes([outcome]) == [["1/10", "6/40"]]


def test_what_waits_for_a_prerequisite_is_noted_up_to_its_target_and_no_further(open_engine):
    engine = open_engine(
        WORLD
        + achievement("WRITER", when="{ posts = 2 }", requires='["VERIFIED"]')
        + achievement("VERIFIED", when="{ comments = 1 }")
    )
    assert notes(post(engine, *["05-01"] * 4)) == [["1/2"], ["2/2"], [], []]


def test_a_note_is_the_same_for_a_duplicate(open_engine):
    engine = open_engine(WORLD + achievement("WRITER", when="{ posts = 2 }"))
    sent = event()
    first, again = engine.record(sent), engine.record(sent)
    assert (again.status, again.changes) == ("duplicate", first.changes)


def test_one_request_unlocks_a_repeatable_achievement_a_thousand_times_at_most(open_engine):
    """A single odd number must not keep the engine busy for ever; the rest comes with the next requests."""
    engine = open_engine(
        BASE
        + '[metrics]\nwords = {}\n[[rules]]\nid = "r"\non = "post.created"\nmetrics = { words = "data.words" }\n'
        + '[[achievements]]\ncode = "MORE"\nwhen = { words = 10 }\nrepeatable = true\n'
    )

    def times(number, words):
        event = laurels.Event("post.created", user="ada", id=number, data={"words": words})
        return [change.times for change in engine.record(event).changes if change.type == "achievement.unlocked"]

    assert times("1", 10_500) == list(range(1, 1_001))
    assert times("2", 1) == list(range(1_001, 1_051))
    assert len(times("3", 2**53 - 1 - 10_501)) == 1_000

"""Quests (SEMANTICS 7): every lettered example, and each rule with numbers of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import laurels
from laurels import LaurelsError
from tests.conftest import BASE

IDS = count()
ONCE = ["special", "seasonal", "achievement", "community", "creator"]

WORLD = (
    BASE
    + """
[currencies.sparkle]
[metrics]
posts = {}
words = {}
score = {}
tags = {}
comments = {}
[[rules]]
id = "post"
on = "post"
metrics = { posts = 1, words = "data.words", score = { max = "data.score" }, tags = { distinct = "data.tags" } }
[[rules]]
id = "comment"
on = "comment"
xp = 10
reward = { sparkle = 2 }
metrics = { comments = 1 }
[[streaks]]
code = "login"
on = "login"
bonus = { xp_per_step = 5, max_xp = 100 }
"""
)


def quest(goals, code="q", **settings):
    """A quest as TOML; a time among its settings is one of 2026 and in UTC."""
    lines = [f'[[quests]]\ncode = "{code}"\ngoals = {{ {goals} }}']
    for name, value in settings.items():
        if name in ("from_", "until"):
            lines.append(f"{name.rstrip('_')} = {at(value).isoformat()}")
        else:
            is_text = isinstance(value, str) and value not in ("true", "false") and value[0] not in "[{"
            lines.append(f'{name} = "{value}"' if is_text else f"{name} = {value}")
    return "\n".join(lines) + "\n"


def at(text):
    """The instant written `03-01`, `03-01T09:00` or in full; of 2026, at noon, in UTC where nothing else is said."""
    text = text if text[4] == "-" else f"2026-{text}"
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


def do(engine, kind, *times, user="ada", **data):
    """One event of a kind at each of these times, each recorded by itself; the outcomes."""
    return [
        engine.record(laurels.Event(kind, user=user, id=f"{kind}-{next(IDS)}", time=at(time), data=data))
        for time in times
    ]


def post(engine, *times, user="ada", **data):
    return do(engine, "post", *times, user=user, **data)


@contextmanager
def the_time_is(clock, time):
    now, clock.now = clock.now, at(time)
    yield
    clock.now = now


def accept(engine, clock, time, code="q", user="ada"):
    with the_time_is(clock, time):
        return engine.user(user).quest(code).accept(request_id=f"accept-{next(IDS)}")


def claim(engine, clock, time, code="q", user="ada", period=None):
    with the_time_is(clock, time):
        return engine.user(user).quest(code).claim(request_id=f"claim-{next(IDS)}", period=period)


def refusal(call, *arguments, **named):
    """The code with which a call is refused."""
    with pytest.raises(LaurelsError) as refused:
        call(*arguments, **named)
    return refused.value.code


def completed(outcomes, code="q"):
    """The periods of the runs that these outcomes completed."""
    changes = [change for outcome in outcomes for change in outcome.changes]
    return [change.period for change in changes if change.type == "quest.completed" and change.quest == code]


def paid(outcomes, code="q"):
    changes = [change for outcome in outcomes for change in outcome.changes]
    return sum(c.amount for c in changes if c.type == "xp.awarded" and c.rule == f"quest:{code}")


def runs(engine, clock, now, code="q", user="ada"):
    """The user's runs of a quest as a reader sees them at a time: `claimed 3/3` by period."""
    with the_time_is(clock, now):
        views = [view for view in engine.user(user).quests() if view.quest == code]
    return {view.period: f"{view.status} {view.value}/{view.target}" for view in views}


# --- The lettered examples --------------------------------------------------------------------------------------------


def test_7a_a_quest_is_completed_once_in_its_window(open_engine):
    engine = open_engine(WORLD + quest("posts = 3", type="daily", reward="{ xp = 40 }"))
    outcomes = post(engine, *[f"03-01T{hour:02}:00" for hour in range(8, 18)])
    assert completed(outcomes) == ["2026-03-01"]
    assert paid(outcomes) == engine.profile("ada").xp == 40


def test_7a_a_daily_quest_begins_anew_each_day(open_engine):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", reward="{ xp = 40 }"))
    outcomes = post(engine, "03-01T08:00", "03-01T20:00", "03-02T08:00")
    assert completed(outcomes) == ["2026-03-01", "2026-03-02"]
    assert paid(outcomes) == 80


def test_7b_a_late_event_completes_the_quest_of_its_own_day_once(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", reward="{ xp = 30 }"))
    assert completed(post(engine, "03-03")) == ["2026-03-03"]
    assert engine.profile("ada").xp == 30
    assert completed(post(engine, "03-03T18:00")) == []
    assert engine.profile("ada").xp == 30


def test_7c_a_sunday_belongs_to_the_week_that_ends_that_day(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 3", type="weekly"))
    post(engine, "02-28", "03-01", "03-02")
    assert runs(engine, clock, "03-02T23:00") == {"2026-W10": "in_progress 1/3", "2026-W09": "expired 2/3"}


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param("03-01T09:59", [], id="before-acceptance"),
        pytest.param("03-01T10:00", ["2026-03-01"], id="from-acceptance"),
        pytest.param("03-01T11:59:59", ["2026-03-01"], id="inside-the-limit"),
        pytest.param("03-01T12:00:00", [], id="when-time-is-up"),
    ],
)
def test_7d_a_time_limit_runs_from_acceptance_by_the_events_own_time(open_engine, clock, time, expected):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", time_limit="2h"))
    engine.award_xp("ada", 1, request_id="1")
    accept(engine, clock, "03-01T10:00")
    assert completed(post(engine, time)) == expected


def test_7d_a_cooldown_crosses_midnight(open_engine):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", cooldown="12h"))
    outcomes = post(engine, "03-01T23:50", "03-02T00:10", "03-02T11:49:59", "03-02T11:50")
    assert [completed([outcome]) for outcome in outcomes] == [["2026-03-01"], [], [], ["2026-03-02"]]


def test_7e_the_request_that_reaches_the_level_does_not_count(open_engine, clock):
    engine = open_engine(
        WORLD.replace("metrics = { posts", "xp = 20\nmetrics = { posts")
        + quest("posts = 4", type="daily", level_required=2)
    )
    post(engine, *[f"03-01T0{hour}:00" for hour in range(1, 6)])
    assert engine.profile("ada").level == 2
    assert runs(engine, clock, "03-01T05:30") == {"2026-03-01": "available 0/4"}
    post(engine, "03-01T06:00")
    assert runs(engine, clock, "03-01T06:30") == {"2026-03-01": "in_progress 1/4"}


def test_7e_what_was_completed_can_be_claimed_weeks_later_and_once(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", claim="manual", reward="{ xp = 30 }"))
    post(engine, "03-01")
    assert engine.profile("ada").xp == 0
    outcome = claim(engine, clock, "03-20")
    assert [(change.quest, change.period) for change in outcome.changes if change.type == "quest.claimed"] == [
        ("q", "2026-03-01")
    ]
    assert paid([outcome]) == engine.profile("ada").xp == 30
    assert refusal(claim, engine, clock, "03-20") == "already_claimed"
    assert refusal(claim, engine, clock, "03-20", period="2026-03-01") == "already_claimed"
    assert engine.profile("ada").xp == 30


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_7f_a_quest_on_completed_quests_completes_in_the_same_outcome(open_engine, order):
    quests = {"a": quest("posts = 1", "a", type="daily"), "b": quest("quests = 1", "b", type="daily")}
    engine = open_engine(WORLD + "".join(quests[code] for code in order))
    outcomes = post(engine, "03-01T08:00", "03-01T09:00")
    assert [completed([outcome], "a") for outcome in outcomes] == [["2026-03-01"], []]
    assert [completed([outcome], "b") for outcome in outcomes] == [["2026-03-01"], []]
    assert engine.profile("ada").metrics["quests"] == 2


# --- 7.1 Types and windows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "period"),
    [("daily", "2026-04-30"), ("weekly", "2026-W18"), ("monthly", "2026-04"), *((kind, "once") for kind in ONCE)],
)
def test_every_type_counts_what_one_user_does_in_its_window(open_engine, kind, period):
    bounds = {"from_": "2026-01-01T00:00", "until": "2026-12-01T00:00"}
    engine = open_engine(WORLD + quest("posts = 2", type=kind, **(bounds if kind == "seasonal" else {})))
    engine.user("ada").set(timezone="America/Bogota", day_starts_at=6)  # The day is UTC's from 11:00 on.
    first = post(engine, "05-01T10:00")
    others = post(engine, "05-01T10:30", user="bob")
    assert completed(first + others) == []
    assert completed(post(engine, "05-01T10:59:59")) == [period]


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly", *ONCE])
@pytest.mark.parametrize(
    ("time", "counts"),
    [
        pytest.param("06-10T07:59:59", False, id="before"),
        pytest.param("06-10T08:00", True, id="from"),
        pytest.param("06-10T15:59:59", True, id="last"),
        pytest.param("06-10T16:00", False, id="until"),
    ],
)
def test_from_and_until_bound_every_type(open_engine, kind, time, counts):
    engine = open_engine(WORLD + quest("posts = 1", type=kind, from_="06-10T08:00", until="06-10T16:00"))
    assert bool(completed(post(engine, time))) is counts


def test_a_window_of_a_periodic_quest_is_the_part_of_it_inside_the_bounds(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="weekly", from_="06-10T08:00", until="06-16T16:00"))
    post(engine, "06-10T09:00", "06-16T09:00")
    bounds = {view.period: (view.starts_at, view.ends_at) for view in engine.user("ada").quests()}
    assert bounds["2026-W24"] == (at("06-10T08:00"), at("06-15T00:00"))
    assert bounds["2026-W25"] == (at("06-15T00:00"), at("06-16T16:00"))


def test_a_single_window_is_open_where_it_has_no_bound(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="creator"))
    assert completed(post(engine, "1970-01-01T00:00", "11-22T11:00")) == ["once"]
    view = engine.user("ada").quests()[0]
    assert (view.starts_at, view.ends_at) == (None, None)


def test_a_disabled_quest_counts_nothing(open_engine):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", enabled="false"))
    assert completed(post(engine, "03-01")) == []


# --- 7.2 Acceptance ---------------------------------------------------------------------------------------------------


def test_a_quest_to_be_accepted_counts_nothing_before(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="daily", accept="manual"))
    post(engine, "06-01T07:00", "06-01T07:30")
    assert runs(engine, clock, "06-01T08:30") == {"2026-06-01": "available 0/2"}
    outcome = accept(engine, clock, "06-01T09:00")
    assert [(c.type, c.quest, c.period) for c in outcome.changes] == [("quest.accepted", "q", "2026-06-01")]
    assert runs(engine, clock, "06-01T09:00") == {"2026-06-01": "available 0/2"}
    assert completed(post(engine, "06-01T08:59:59", "06-01T09:00", "06-01T09:30")) == ["2026-06-01"]


def test_acceptance_holds_for_one_window(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="weekly", accept="manual"))
    engine.user("ada").set(timezone="UTC")
    accept(engine, clock, "06-04")
    assert completed(post(engine, "06-08", "06-07T23:59")) == ["2026-W23"]
    accept(engine, clock, "06-09")
    assert completed(post(engine, "06-09")) == ["2026-W24"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param("06-01T23:59:59", ["2026-06-01"], id="before-midnight"),
        pytest.param("06-02T00:00", [], id="the-window-ends-before-the-limit"),
    ],
)
def test_a_run_ends_with_its_window_though_the_time_limit_does_not(open_engine, clock, time, expected):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", time_limit="3h"))
    engine.user("ada").set(timezone="UTC")
    accept(engine, clock, "06-01T22:00")
    assert completed(post(engine, time)) == expected


def test_a_run_ends_with_until_though_the_time_limit_does_not(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="special", time_limit="3h", until="06-01T11:00"))
    engine.user("ada").set(timezone="UTC")
    accept(engine, clock, "06-01T10:00")
    assert completed(post(engine, "06-01T11:00")) == []
    assert completed(post(engine, "06-01T10:59:59")) == ["once"]


def test_a_run_whose_time_is_up_can_be_accepted_again_from_0(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 3", type="daily", time_limit="1h30m"))
    engine.user("ada").set(timezone="UTC")
    accept(engine, clock, "06-01T09:00")
    post(engine, "06-01T09:00", "06-01T09:00")
    assert runs(engine, clock, "06-01T10:29") == {"2026-06-01": "in_progress 2/3"}
    assert runs(engine, clock, "06-01T10:30") == {"2026-06-01": "expired 2/3"}
    accept(engine, clock, "06-01T10:30")
    assert runs(engine, clock, "06-01T10:30") == {"2026-06-01": "available 0/3"}
    outcomes = post(engine, "06-01T10:29", "06-01T10:30", "06-01T11:00", "06-01T12:00")
    assert completed(outcomes) == []
    assert completed(post(engine, "06-01T11:59:59")) == ["2026-06-01"]


def test_a_late_event_finds_the_run_that_was_accepted_windows_ago(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="daily", time_limit="4h"))
    engine.user("ada").set(timezone="UTC")
    for day in range(1, 7):
        accept(engine, clock, f"06-0{day}T10:00")
        post(engine, f"06-0{day}T11:00")
    assert completed(post(engine, "06-01T09:59", "06-01T14:00", "06-08T10:00")) == []
    assert completed(post(engine, "06-01T10:00", "06-02T13:59")) == ["2026-06-01", "2026-06-02"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param({"accept": "manual", "level_required": 2}, "quest_locked", id="level"),
        pytest.param({"accept": "manual", "requires": '["first"]'}, "quest_locked", id="prerequisite"),
        pytest.param({"accept": "manual", "until": "06-01T10:00"}, "quest_not_available", id="over"),
        pytest.param({"accept": "manual", "from_": "06-01T10:01"}, "quest_not_available", id="to-come"),
        pytest.param({"accept": "manual", "enabled": "false"}, "quest_not_available", id="disabled"),
    ],
)
def test_a_quest_that_cannot_run_now_cannot_be_accepted(open_engine, clock, settings, code):
    engine = open_engine(WORLD + quest("posts = 1", "first", type="special") + quest("posts = 1", **settings))
    engine.user("ada").set(timezone="UTC")
    assert refusal(accept, engine, clock, "06-01T10:00") == code


def test_accepting_what_no_catalog_has_or_for_nobody_is_refused(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", accept="manual"))
    assert refusal(accept, engine, clock, "06-01T10:00") == "unknown_user"
    engine.user("ada").set(timezone="UTC")
    assert refusal(accept, engine, clock, "06-01T10:00", "p") == "unknown_quest"


# --- 7.3 What counts --------------------------------------------------------------------------------------------------


def test_a_window_before_the_quest_existed_counts_unless_from_says_otherwise(open_engine):
    engine = open_engine(
        WORLD
        + quest("posts = 1", "old", type="monthly")
        + quest("posts = 1", "new", type="monthly", from_="2026-01-01")
    )
    outcomes = post(engine, "2024-02-29")
    assert (completed(outcomes, "old"), completed(outcomes, "new")) == (["2024-02"], [])


def test_all_goals_must_be_met_in_the_same_window(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2, comments = 1, words = 50", type="daily"))
    post(engine, "06-01", "06-01", words=30)
    do(engine, "comment", "06-02")
    assert completed(post(engine, "06-02", "06-02", words=20)) == []
    assert runs(engine, clock, "06-03") == {
        "2026-06-03": "available 0/53",
        "2026-06-02": "expired 43/53",
        "2026-06-01": "expired 52/53",
    }
    assert completed(do(engine, "comment", "06-01T23:00")) == ["2026-06-01"]


def test_a_request_counts_only_if_the_prerequisite_was_completed_before_it(open_engine):
    engine = open_engine(
        WORLD
        + quest("posts = 2", "after", type="daily", requires='["first", "second"]')
        + quest("posts = 1", "first", type="special", claim="manual")
        + quest("posts = 2", "second", type="special")
    )
    outcomes = post(engine, *["06-01"] * 4)
    assert [completed([outcome], "first") for outcome in outcomes] == [["once"], [], [], []]
    assert [completed([outcome], "second") for outcome in outcomes] == [[], ["once"], [], []]
    assert [completed([outcome], "after") for outcome in outcomes] == [[], [], [], ["2026-06-01"]]


def test_what_the_completing_request_pays_does_not_count_for_a_quest_that_it_unlocks(open_engine, clock):
    engine = open_engine(
        WORLD
        + quest("quests = 1", "after", type="daily", requires='["first"]')
        + quest("posts = 1", "first", type="daily")
    )
    assert completed(post(engine, "06-01"), "after") == []
    assert runs(engine, clock, "06-01", "after") == {"2026-06-01": "available 0/1"}
    assert completed(post(engine, "06-02"), "after") == ["2026-06-02"]


LOGINS = [("login", 1), ("login", 2), ("login", 3)]


@pytest.mark.parametrize(
    ("goal", "doing", "expected"),
    [
        pytest.param("xp = 30", [("comment", 1), ("comment", 1), ("comment", 1)], [0, 0, 1], id="xp"),
        pytest.param("xp = 26", LOGINS, [0, 0, 0], id="bonuses-of-25"),
        pytest.param("xp = 25", LOGINS, [0, 0, 1], id="bonuses-are-xp"),
        pytest.param("level = 2", [("award", 100), ("award", 300)], [0, 1], id="levels-gained"),
        pytest.param("level = 3", [("award", 900)], [1], id="three-levels-at-once"),
        pytest.param("achievements = 2", [("comment", 1), ("post", 1), ("post", 1)], [0, 0, 1], id="achievements"),
        pytest.param("quests = 2", [("comment", 1), ("post", 1), ("post", 1)], [0, 0, 1], id="quests"),
        pytest.param(
            '"earned.sparkle" = 5', [("comment", 1), ("spend", 2), ("comment", 1), ("credit", 1)], [0, 0, 0, 1],
            id="earned-and-never-less",
        ),
        pytest.param('"spent.sparkle" = 3', [("credit", 9), ("spend", 2), ("spend", 1)], [0, 0, 1], id="spent"),
        pytest.param('"streak.login" = 3', [("login", 1), ("login", 3), ("login", 2)], [0, 0, 1], id="streak"),
    ],
)  # fmt: skip
def test_goals_may_read_what_is_built_in(open_engine, clock, goal, doing, expected):
    engine = open_engine(
        WORLD
        + quest(goal, type="monthly")
        + quest("comments = 1", "helper-1", type="daily")
        + quest("posts = 2", "helper-2", type="daily")
        + '[[achievements]]\ncode = "TALKER"\nwhen = { comments = 1 }\n'
        + '[[achievements]]\ncode = "WRITER"\nwhen = { posts = 2 }\n'
    )
    with the_time_is(clock, "07-20"):
        outcomes = [perform(engine, kind, number) for kind, number in doing]
    assert [len(completed([outcome])) for outcome in outcomes] == expected


def perform(engine, kind, number):
    """A command of an amount, or an event on a day of July."""
    request_id = f"command-{next(IDS)}"
    match kind:
        case "award":
            return engine.award_xp("ada", number, request_id=request_id)
        case "credit":
            return engine.wallet("ada").credit("sparkle", number, request_id=request_id)
        case "spend":
            return engine.wallet("ada").spend("sparkle", number, request_id=request_id)
        case _:
            return do(engine, kind, f"07-{number:02}")[0]


def test_a_streak_goal_takes_the_best_length_seen_in_the_window(open_engine):
    engine = open_engine(WORLD + quest('"streak.login" = 5', type="weekly"))
    days = [f"06-{day:02}" for day in range(3, 10)]  # Wednesday to the next Tuesday: 5 long on Sunday, 6 on Monday.
    assert [completed([outcome]) for outcome in do(engine, "login", *days)] == [
        [], [], [], [], ["2026-W23"], ["2026-W24"], []
    ]  # fmt: skip


def test_a_goal_on_a_best_score_takes_the_best_of_its_window(open_engine, clock):
    engine = open_engine(WORLD + quest("score = 70", type="daily"))
    assert completed(post(engine, "06-01", score=95)) == ["2026-06-01"]
    assert completed(post(engine, "06-02", score=65)) == []
    assert runs(engine, clock, "06-02T13:00")["2026-06-02"] == "in_progress 65/70"
    assert completed(post(engine, "06-02", score=40)) == []
    assert runs(engine, clock, "06-02T13:00")["2026-06-02"] == "in_progress 65/70"
    assert completed(post(engine, "06-02", score=70)) == ["2026-06-02"]


def test_4c_a_goal_on_different_values_counts_those_of_its_window(open_engine):
    engine = open_engine(WORLD + quest("tags = 3", type="weekly"))
    post(engine, "06-05", tags=["python", "sql"])
    outcomes = post(engine, "06-08", tags=["python", "sql", "python"]) + post(engine, "06-09", tags="python")
    assert completed(outcomes) == []
    assert completed(post(engine, "06-10", tags="rust")) == ["2026-W24"]
    assert completed(post(engine, "06-04", tags="rust")) == ["2026-W23"]


def test_a_falling_sum_moves_a_goal_back(open_engine):
    engine = open_engine(WORLD + quest("words = 100", type="daily"))
    assert completed(post(engine, "06-01", words=90) + post(engine, "06-01", words=-20)) == []
    assert completed(post(engine, "06-01", words=29)) == []
    assert completed(post(engine, "06-01", words=1)) == ["2026-06-01"]


instants = st.integers(0, 70 * 24 * 60 - 1).map(lambda minute: at("05-01T00:00") + timedelta(minutes=minute))


@given(
    doing=st.lists(st.tuples(instants, st.sampled_from("abcde"), st.integers(1, 9)), min_size=1, max_size=30),
    alone=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_quests_do_not_depend_on_the_order_of_arrival(many_quests, doing, alone):
    user = f"user-{next(IDS)}"
    many_quests.user(user).set(timezone="America/New_York", day_starts_at=5)
    events = [
        laurels.Event("post", user=user, id=str(n), time=time, data={"tags": tag, "score": score})
        for n, (time, tag, score) in enumerate(doing)
    ]
    outcomes = [many_quests.record(event) for event in events] if alone else many_quests.record(events)
    for code, (kind, met) in EXPECTED.items():
        windows = defaultdict(list)
        for time, tag, score in doing:
            windows[window(kind, time)].append((tag, score))
        expected = Counter(period for period, done in windows.items() if met(done))
        assert Counter(completed(outcomes, code)) == expected
    assert many_quests.profile(user).xp == sum(paid(outcomes, code) for code in EXPECTED)


#: Quests by code: the type, and what done in one window meets their goal.
EXPECTED = {
    "posts": ("daily", lambda done: len(done) >= 2),
    "tags": ("weekly", lambda done: len({tag for tag, _ in done}) >= 3),
    "score": ("monthly", lambda done: max(score for _, score in done) >= 8),
    "both": ("weekly", lambda done: len(done) >= 3 and max(score for _, score in done) >= 6),
}


@pytest.fixture
def many_quests(open_engine):
    return open_engine(
        WORLD
        + quest("posts = 2", "posts", type="daily", reward="{ xp = 3 }")
        + quest("tags = 3", "tags", type="weekly", reward="{ xp = 20 }")
        + quest("score = 8", "score", type="monthly", reward="{ xp = 100 }")
        + quest("posts = 3, score = 6", "both", type="weekly", claim="manual", reward="{ xp = 1000 }")
    )


def window(kind, time):
    """The key of the window, for a user in New York whose days begin at 5."""
    day = (time.astimezone(ZoneInfo("America/New_York")).replace(tzinfo=None) - timedelta(hours=5)).date()
    match kind:
        case "daily":
            return day.isoformat()
        case "weekly":
            return "{0.year}-W{0.week:02}".format(day.isocalendar())
        case "monthly":
            return day.isoformat()[:7]


# --- Windows that the document no longer holds ------------------------------------------------------------------------

LATER = [f"06-{day:02}" for day in range(10, 20)]


def test_a_late_event_goes_on_counting_where_an_old_window_stopped(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 4", type="daily"))
    post(engine, "06-01", "06-01", *LATER)
    assert runs(engine, clock, "06-20")["2026-06-01"] == "expired 2/4"
    assert completed(post(engine, "06-01T15:00")) == []
    assert runs(engine, clock, "06-20")["2026-06-01"] == "expired 3/4"
    assert completed(post(engine, "06-01T16:00", "06-01T17:00")) == ["2026-06-01"]
    assert runs(engine, clock, "06-20")["2026-06-01"] == "claimed 4/4"


def test_an_old_window_completed_before_is_not_completed_again(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", reward="{ xp = 7 }"))
    post(engine, "06-01", *LATER)
    assert completed(post(engine, "06-01T15:00", "06-12T15:00", "06-09")) == ["2026-06-09"]
    assert engine.profile("ada").xp == 7 * 12


def test_an_old_window_remembers_which_values_it_has_seen(open_engine):
    engine = open_engine(WORLD + quest("tags = 3", type="daily"))
    post(engine, "06-01", tags=["a", "b"])
    post(engine, *LATER, tags="z")
    assert completed(post(engine, "06-01T15:00", "06-01T16:00", tags="b")) == []
    assert completed(post(engine, "06-01T17:00", tags="c")) == ["2026-06-01"]


def test_an_old_window_remembers_how_often_it_was_completed(open_engine):
    engine = open_engine(WORLD + quest("posts = 2", type="daily", max_completions=3))
    post(engine, *["06-01"] * 3, *LATER)
    outcomes = post(engine, *["06-01T15:00"] * 5)
    assert [completed([outcome]) for outcome in outcomes] == [["2026-06-01#2"], [], ["2026-06-01#3"], [], []]


def test_old_windows_read_as_they_were_left(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="daily", max_completions=3, claim="manual"))
    post(engine, *["06-01"] * 5, *["06-02"] * 2, "06-03", *LATER)
    claim(engine, clock, "06-20")
    shown = runs(engine, clock, "06-20")
    assert {period: status for period, status in shown.items() if period < "2026-06-10"} == {
        "2026-06-03": "expired 1/2",
        "2026-06-02": "completed 2/2",
        "2026-06-01#3": "expired 1/2",
        "2026-06-01#2": "completed 2/2",
        "2026-06-01": "claimed 2/2",
    }


def test_an_old_window_knows_the_cooldown_of_the_one_before(open_engine):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", cooldown="6h"))
    post(engine, "06-01T22:00", *LATER)
    assert completed(post(engine, "06-02T03:59")) == []
    assert completed(post(engine, "06-02T04:00")) == ["2026-06-02"]


# --- 7.4 Completions and cooldowns ------------------------------------------------------------------------------------


def test_further_runs_of_a_window_are_numbered_and_start_at_0(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="weekly", max_completions=3, reward="{ xp = 11 }"))
    outcomes = post(engine, *[f"06-0{day}" for day in range(1, 8)])
    assert [completed([outcome]) for outcome in outcomes] == [
        [], ["2026-W23"], [], ["2026-W23#2"], [], ["2026-W23#3"], []
    ]  # fmt: skip
    assert paid(outcomes) == 33
    assert completed(post(engine, "06-08", "06-08")) == ["2026-W24"]
    assert runs(engine, clock, "06-08T13:00") == {
        "2026-W24": "claimed 2/2",
        "2026-W23#3": "claimed 2/2",
        "2026-W23#2": "claimed 2/2",
        "2026-W23": "claimed 2/2",
    }


def test_surplus_is_not_carried_over_and_one_request_completes_one_run(open_engine, clock):
    engine = open_engine(WORLD + quest("words = 100", type="daily", max_completions=5))
    assert completed(post(engine, "06-01T10:00", words=350)) == ["2026-06-01"]
    assert completed(post(engine, "06-01T11:00", words=60)) == []
    assert runs(engine, clock, "06-01T12:00")["2026-06-01#2"] == "in_progress 60/100"
    assert completed(post(engine, "06-01T12:00", words=340)) == ["2026-06-01#2"]


def test_a_further_run_counts_from_the_completion_by_own_times(open_engine):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", max_completions=9))
    assert completed(post(engine, "06-01T10:00")) == ["2026-06-01"]
    assert completed(post(engine, "06-01T09:59:59")) == []
    assert completed(post(engine, "06-01T10:00:01")) == ["2026-06-01#2"]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param(["06-01T10:00", "06-01T11:29:59", "06-01T11:30"], [1, 0, 1], id="inside-one-window"),
        pytest.param(["06-01T23:00", "06-02T00:29:59", "06-02T00:30"], [1, 0, 1], id="over-midnight"),
        pytest.param(["06-01T23:00", "06-02T00:30", "06-02T00:10"], [1, 1, 0], id="late-and-inside"),
        pytest.param(["06-02T10:00", "06-01T23:00", "06-01T23:30"], [1, 1, 0], id="a-window-before"),
    ],
)
def test_nothing_counts_for_a_cooldown_after_each_completion(open_engine, times, expected):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", cooldown="1h30m", max_completions=2))
    assert [len(completed([outcome])) for outcome in post(engine, *times)] == expected


def test_a_late_event_inside_the_cooldown_does_not_count_for_a_run_that_began_after_it(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="daily", cooldown="12h"))
    post(engine, "06-01T21:00", "06-01T22:00", "06-02T10:00")
    assert runs(engine, clock, "06-02T11:00")["2026-06-02"] == "in_progress 1/2"
    assert completed(post(engine, "06-02T09:59:59")) == []
    assert runs(engine, clock, "06-02T11:00")["2026-06-02"] == "in_progress 1/2"
    assert completed(post(engine, "06-02T10:30")) == ["2026-06-02"]


class Model:
    """A daily quest run by run, from the words of 7.3 and 7.4: nothing is ever forgotten."""

    def __init__(self, goal, most, cooldown):
        self.goal, self.most, self.cooldown = goal, most, timedelta(minutes=cooldown)
        self.windows: dict[str, list[int]] = defaultdict(list)  # What each run of a window has counted.
        self.counts_from: dict[str, datetime] = {}
        self.completions: list[datetime] = []

    def post(self, time):
        """The run that a post completes, if any."""
        if any(done <= time < done + self.cooldown for done in self.completions):
            return []
        day = time.date().isoformat()
        runs = self.windows[day]
        if time < self.counts_from.get(day, time) or (len(runs) == self.most and runs[-1] == self.goal):
            return []
        if not runs or runs[-1] == self.goal:
            runs.append(0)
        runs[-1] += 1
        if runs[-1] < self.goal:
            return []
        self.completions.append(time)
        self.counts_from[day] = time + self.cooldown
        return [day if len(runs) == 1 else f"{day}#{len(runs)}"]


@pytest.mark.parametrize("cooldown", [0, 45, 16 * 60, 3 * 24 * 60], ids="cooldown-{}-minutes".format)
@given(
    minutes=st.lists(st.integers(0, 8 * 24 * 12 - 1).map(lambda step: 5 * step), min_size=1, max_size=60),
    size=st.sampled_from([1, 7, 100]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_runs_and_cooldowns_are_those_of_the_model_in_any_order_and_batch(repeated, cooldown, minutes, size):
    user, model = f"user-{next(IDS)}", Model(2, 3, cooldown)
    times = [at("05-01T00:00") + timedelta(minutes=minute) for minute in minutes]
    events = [laurels.Event("post", user=user, id=str(n), time=time, data={}) for n, time in enumerate(times)]
    batches = [events[first : first + size] for first in range(0, len(events), size)]
    outcomes = [outcome for batch in batches for outcome in repeated.record(batch)]
    assert [completed([outcome]) for outcome in outcomes] == [model.post(time) for time in times]


@pytest.fixture
def repeated(open_engine, cooldown):
    limit = {"cooldown": f"{cooldown}m"} if cooldown else {}
    return open_engine(WORLD + quest("posts = 2", type="daily", max_completions=3, **limit))


def test_a_cooldown_of_days_holds_over_weeks(open_engine):
    engine = open_engine(WORLD + quest("posts = 1", type="weekly", cooldown="3d"))
    outcomes = post(engine, "06-07T12:00", "06-08T12:00", "06-10T11:59:59", "06-10T12:00")
    assert [completed([outcome]) for outcome in outcomes] == [["2026-W23"], [], [], ["2026-W24"]]


def test_acceptance_waits_for_the_cooldown_too(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", accept="manual", cooldown="2h", max_completions=2))
    engine.user("ada").set(timezone="UTC")
    accept(engine, clock, "06-01T09:00")
    post(engine, "06-01T09:00")
    assert refusal(accept, engine, clock, "06-01T10:59:59") == "quest_not_available"
    accept(engine, clock, "06-01T11:00")
    assert completed(post(engine, "06-01T11:00")) == ["2026-06-01#2"]
    assert refusal(accept, engine, clock, "06-01T20:00") == "quest_not_available"


# --- 7.5 Claims -------------------------------------------------------------------------------------------------------


@pytest.fixture
def claimable(open_engine):
    return open_engine(
        WORLD
        + quest("posts = 2", type="daily", claim="manual", max_completions=2, reward="{ xp = 30, sparkle = 4 }")
        + '[[leaderboards]]\ncode = "xp"\nmetric = "xp"\nperiods = ["daily"]\n'
    )


def test_an_automatic_quest_is_completed_and_claimed_and_paid_in_one_outcome(open_engine):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", reward="{ xp = 30, sparkle = 4 }"))
    told = [(change.type, getattr(change, "rule", "")) for change in post(engine, "06-01")[0].changes]
    assert told == [
        ("metric.changed", ""),
        ("quest.completed", ""),
        ("quest.claimed", ""),
        ("xp.awarded", "quest:q"),
        ("currency.credited", "quest:q"),
    ]


def test_a_manual_quest_is_paid_when_it_is_claimed_with_the_claims_own_time(claimable, clock):
    post(claimable, "06-01", "06-01")
    assert runs(claimable, clock, "06-03T09:00")["2026-06-01"] == "completed 2/2"
    told = [(change.type, getattr(change, "rule", "")) for change in claim(claimable, clock, "06-05T10:00").changes]
    assert told == [("quest.claimed", ""), ("xp.awarded", "quest:q"), ("currency.credited", "quest:q")]
    assert {entry.time for entry in claimable.user("ada").ledger()} == {at("06-05T10:00")}
    assert claimable.leaderboard("xp", period="daily", at="2026-06-05").rank("ada") == 1
    assert claimable.leaderboard("xp", period="daily", at="2026-06-01").total == 0
    assert runs(claimable, clock, "06-05T10:00")["2026-06-01"] == "claimed 2/2"


def test_a_claim_takes_the_oldest_run_whatever_the_order_of_completion(claimable, clock):
    post(claimable, *["06-10"] * 2, *["06-02"] * 4, *["05-31"] * 2, *LATER)
    claims = [claim(claimable, clock, "06-20") for _ in range(4)]
    claimed = [change.period for outcome in claims for change in outcome.changes if change.type == "quest.claimed"]
    assert claimed == ["2026-05-31", "2026-06-02", "2026-06-02#2", "2026-06-10"]
    assert claimable.profile("ada").xp == 120


def test_a_claim_may_name_its_period(claimable, clock):
    post(claimable, *["06-01"] * 4, *["06-02"] * 2)
    outcome = claim(claimable, clock, "06-20", period="2026-06-01#2")
    assert [change.period for change in outcome.changes if change.type == "quest.claimed"] == ["2026-06-01#2"]
    assert refusal(claim, claimable, clock, "06-20", period="2026-06-01#2") == "already_claimed"
    assert refusal(claim, claimable, clock, "06-20", period="2026-06-03") == "quest_not_completed"
    outcome = claim(claimable, clock, "06-20")
    assert [change.period for change in outcome.changes if change.type == "quest.claimed"] == ["2026-06-01"]


def test_the_same_claim_sent_twice_pays_once(claimable, clock):
    post(claimable, "06-01T07:00", "06-01T07:00")
    first = claimable.user("ada").quest("q").claim(request_id="once")
    again = claimable.user("ada").quest("q").claim(request_id="once")
    assert (first.status, again.status, again.changes) == ("applied", "duplicate", first.changes)
    assert claimable.profile("ada").xp == 30


@pytest.mark.parametrize(
    ("posts", "code"),
    [
        pytest.param(0, "quest_not_completed", id="nothing-done"),
        pytest.param(1, "quest_not_completed", id="half-done"),
        pytest.param(2, "already_claimed", id="claimed"),
    ],
)
def test_a_claim_with_nothing_to_take_says_why(claimable, clock, posts, code):
    claimable.user("ada").set(timezone="UTC")
    post(claimable, *["06-01T07:00"] * posts)
    if posts == 2:
        claim(claimable, clock, "06-01T09:00")
    assert refusal(claim, claimable, clock, "06-01T10:00") == code


def test_a_further_run_that_is_not_completed_cannot_be_claimed(claimable, clock):
    post(claimable, *["06-01T07:00"] * 3)
    claim(claimable, clock, "06-01T09:00")
    assert refusal(claim, claimable, clock, "06-01T10:00") == "quest_not_completed"
    post(claimable, "06-01T08:00")
    assert claim(claimable, clock, "06-01T11:00").changes[0].period == "2026-06-01#2"


def test_a_locked_quest_cannot_be_claimed(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", claim="manual", level_required=2))
    post(engine, "06-01T07:00")
    assert refusal(claim, engine, clock, "06-01T10:00") == "quest_locked"
    assert refusal(claim, engine, clock, "06-01T10:00", "none") == "unknown_quest"
    assert refusal(claim, engine, clock, "06-01T10:00", user="bob") == "unknown_user"


def test_an_automatic_quest_leaves_nothing_to_claim(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="daily"))
    post(engine, "06-01T07:00")
    assert refusal(claim, engine, clock, "06-01T13:00") == "already_claimed"


def test_what_was_completed_can_be_claimed_and_is_paid_when_the_quest_is_gone(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 1", type="daily", claim="manual", reward="{ xp = 30 }"))
    post(engine, "06-01")
    engine = open_engine(WORLD + quest("posts = 1", "other"))
    outcome = claim(engine, clock, "11-22T13:00")
    assert [change.period for change in outcome.changes if change.type == "quest.claimed"] == ["2026-06-01"]
    assert paid([outcome]) == 30


# --- 7.6 Statuses -----------------------------------------------------------------------------------------------------


def test_a_quest_goes_through_its_statuses_as_a_reader_looks(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="daily", claim="manual", level_required=2))
    engine.award_xp("ada", 99, request_id="1")
    assert runs(engine, clock, "06-01T09:00") == {"2026-06-01": "locked 0/2"}
    engine.award_xp("ada", 1, request_id="2")
    assert runs(engine, clock, "06-01T10:00") == {"2026-06-01": "available 0/2"}
    post(engine, "06-01T10:00")
    assert runs(engine, clock, "06-01T11:00") == {"2026-06-01": "in_progress 1/2"}
    assert runs(engine, clock, "06-02T00:00") == {"2026-06-02": "available 0/2", "2026-06-01": "expired 1/2"}
    post(engine, "06-01T23:00")
    assert runs(engine, clock, "06-02T09:00") == {"2026-06-02": "available 0/2", "2026-06-01": "completed 2/2"}
    claim(engine, clock, "06-02T10:00")
    assert runs(engine, clock, "06-02T11:00") == {"2026-06-02": "available 0/2", "2026-06-01": "claimed 2/2"}


def test_a_single_window_expires_when_it_is_over(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="special", until="06-01T12:00"))
    post(engine, "06-01T07:00")
    assert runs(engine, clock, "06-01T11:59:59") == {"once": "in_progress 1/2"}
    assert runs(engine, clock, "06-01T12:00") == {"once": "expired 1/2"}
    assert completed(post(engine, "06-01T08:00")) == ["once"]
    assert runs(engine, clock, "06-01T13:00") == {"once": "claimed 2/2"}


def test_a_quest_waits_locked_for_its_prerequisite(open_engine, clock):
    engine = open_engine(WORLD + quest("comments = 1", "first") + quest("posts = 1", requires='["first"]'))
    engine.user("ada").set(timezone="UTC")
    assert runs(engine, clock, "06-01") == {"once": "locked 0/1"}
    do(engine, "comment", "06-01")
    assert runs(engine, clock, "06-01") == {"once": "available 0/1"}


def test_a_periodic_quest_that_is_over_shows_its_last_window(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="weekly", from_="06-03T08:00", until="06-15T00:00"))
    engine.user("ada").set(timezone="UTC")
    assert runs(engine, clock, "08-01") == {"2026-W24": "expired 0/2"}
    assert [view.ends_at for view in engine.user("ada").quests()] == [at("06-15T00:00")]


def test_looking_at_quests_writes_nothing(open_engine, clock):
    engine = open_engine(WORLD + quest("posts = 2", type="daily"))
    post(engine, "06-01T07:00")
    before = engine.user("ada").ledger(), engine.user("ada").notifications()
    for now in ("06-02", "06-09", "06-01T09:00"):
        runs(engine, clock, now)
    assert (engine.user("ada").ledger(), engine.user("ada").notifications()) == before
    assert completed(post(engine, "06-01T08:00")) == ["2026-06-01"]


# --- Progress ---------------------------------------------------------------------------------------------------------


def test_a_quest_reports_each_tenth_of_the_way_once(open_engine):
    engine = open_engine(WORLD + quest("posts = 15, comments = 5", type="weekly"))
    outcomes = post(engine, *["06-01"] * 15) + do(engine, "comment", *["06-02"] * 5)
    notes = [(c.value, c.target) for o in outcomes for c in o.changes if c.type == "quest.progressed"]
    assert notes == [(value, 20) for value in range(2, 20, 2)]


def test_a_request_reports_one_step_of_a_quest_however_long_and_none_when_it_completes(open_engine):
    engine = open_engine(WORLD + quest("words = 200", type="daily"))
    outcomes = [post(engine, "06-01", words=words)[0] for words in (19, 1, 99, 0, -60, 50, 10, 81)]
    notes = [[c.value for c in o.changes if c.type == "quest.progressed"] for o in outcomes]
    # Falling says nothing; rising over the same tenth again is progress again.
    assert notes == [[], [20], [119], [], [], [109], [], []]

"""Leaderboards (SEMANTICS 9, without revoking and closing): the lettered examples, and each rule with other numbers."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import laurels
from laurels import LaurelsError
from tests.conftest import BASE

IDS = count()
#: Days with nothing on them or on the day before.
DAYS = (datetime(1990, 1, 2, tzinfo=UTC) + timedelta(days=3 * number) for number in count())
ALL_PERIODS = ["daily", "weekly", "monthly", "alltime"]
LARGEST = 2**53 - 1

WORLD = (
    BASE
    + """
[currencies.sparkle]
[metrics]
points = {}
score = {}
tags = {}
[[rules]]
id = "game"
on = "game"
metrics = { points = "data.points", score = { max = "data.score" }, tags = { distinct = "data.tags" } }
[[rules]]
id = "post"
on = "post"
xp = 10
[[streaks]]
code = "login"
on = "login"
"""
)


def board(metric, *, code="board", periods=ALL_PERIODS, **settings):
    """A leaderboard as TOML."""
    lines = [f'[[leaderboards]]\ncode = "{code}"\nmetric = "{metric}"\nperiods = {periods}']
    return "\n".join([*lines, *(f'{name} = "{value}"' for name, value in settings.items())]) + "\n"


def at(text):
    """The instant written `03-01`, `03-01T09:00` or in full; of 2026, at noon, in UTC where nothing else is said."""
    text = text if text[4] == "-" else f"2026-{text}"
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


def play(engine, user, *doing, kind="game"):
    """Events at times with their data, such as ("03-01", {"points": 5}); a bare number is points."""
    return engine.record(
        [
            laurels.Event(
                kind,
                user=user,
                id=f"{kind}-{next(IDS)}",
                time=at(time),
                data={"points": data} if type(data) is int else data,
            )
            for time, data in doing
        ]
    )


def score(engine, points, time="03-01"):
    """Users with their points, all at the same time."""
    for user, amount in points.items():
        play(engine, user, (time, amount))


def lines(standings):
    """`1 ada 50` for each line."""
    return [f"{line.rank} {line.user_id} {line.score}" for line in standings]


def users(standings):
    return [line.user_id for line in standings]


def shown(engine, period="alltime", at=None, code="board", **which):
    return lines(engine.leaderboard(code, period=period, at=at, **which).top(100))


# --- 9.1 Periods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "key", "zone", "starts", "ends"),
    [
        pytest.param("daily", "2026-03-01", "UTC", "2026-03-01T00:00", "2026-03-02T00:00", id="9d-daily"),
        pytest.param("weekly", "2026-W09", "UTC", "2026-02-23T00:00", "2026-03-02T00:00", id="9d-weekly"),
        pytest.param("monthly", "2026-03", "UTC", "2026-03-01T00:00", "2026-04-01T00:00", id="9d-monthly"),
        pytest.param("alltime", "all", "UTC", None, None, id="9d-all-time"),
        pytest.param("daily", "2026-10-25", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00", id="25-hours"),
        pytest.param("weekly", "2026-W14", "America/New_York", "2026-03-30T04:00", "2026-04-06T04:00", id="new-york"),
        pytest.param("monthly", "2026-04", "Asia/Kolkata", "2026-03-31T18:30", "2026-04-30T18:30", id="kolkata"),
    ],
)
def test_9d_a_period_begins_and_ends_in_the_catalogs_zone(open_engine, period, key, zone, starts, ends):
    engine = open_engine(WORLD.replace('timezone = "UTC"', f'timezone = "{zone}"') + board("points"))
    found = engine.leaderboard("board", period=period, at=key).period
    assert (found.kind, found.key) == (period, key)
    assert (found.starts_at, found.ends_at) == (starts and at(starts), ends and at(ends))


@pytest.mark.parametrize(
    ("now", "status"),
    [("2026-03-01T23:59:59", "open"), ("2026-03-02T00:00", "closing"), ("2026-03-02T09:59:59", "closing")],
)
def test_9d_a_period_is_open_until_it_ends_and_then_waits_for_zones_to_the_west(open_engine, clock, now, status):
    clock.now = at(now)
    engine = open_engine(WORLD + board("points"))
    engine.user("ada").set(timezone="Pacific/Honolulu")
    assert engine.leaderboard("board", period="daily", at="2026-03-01").period.status == status


def test_9d_an_all_time_board_stays_open(open_engine):
    assert open_engine(WORLD + board("points")).leaderboard("board").period.status == "open"


def test_9d_a_late_event_counts_in_its_own_periods(open_engine, clock):
    clock.now = at("03-02T03:00")
    engine = open_engine(WORLD + board("points"))
    play(engine, "ada", ("03-02T02:00", 7))
    clock.now = at("03-02T04:00")
    play(engine, "ada", ("03-01", 5))
    assert shown(engine, "daily", "2026-03-01") == ["1 ada 5"]
    assert shown(engine, "daily", "2026-03-02") == ["1 ada 7"]
    assert shown(engine, "weekly", "2026-W09") == ["1 ada 5"]
    assert shown(engine, "monthly", "2026-03") == shown(engine) == ["1 ada 12"]


@pytest.mark.parametrize(
    ("now", "zone", "keys"),
    [
        pytest.param("2026-11-22T12:00", "UTC", ["2026-11-22", "2026-W47", "2026-11", "all"], id="utc"),
        pytest.param("2026-11-30T23:00", "Asia/Tokyo", ["2026-12-01", "2026-W49", "2026-12", "all"], id="tokyo"),
        pytest.param(
            "2027-01-01T04:59", "America/New_York", ["2026-12-31", "2026-W53", "2026-12", "all"], id="new-york"
        ),
    ],
)
def test_the_current_period_is_the_one_in_the_catalogs_zone(open_engine, clock, now, zone, keys):
    clock.now = at(now)
    engine = open_engine(WORLD.replace('timezone = "UTC"', f'timezone = "{zone}"') + board("points"))
    assert [engine.leaderboard("board", period=period).period.key for period in ALL_PERIODS] == keys


def test_a_period_can_be_picked_by_its_key_or_by_an_instant_in_it(open_engine):
    engine = open_engine(WORLD + board("points"))
    score(engine, {"ada": 3}, "03-01")
    for moment in ("2026-W09", at("02-23T00:00"), at("03-01T23:59"), "2026-02-28T12:00:00+02:00"):
        assert shown(engine, "weekly", moment) == ["1 ada 3"]
    assert shown(engine, "weekly", at("03-02T00:00")) == []


def test_a_score_counts_in_the_users_own_day_week_and_month(open_engine):
    engine = open_engine(WORLD + board("points"))
    engine.user("tokyo").set(timezone="Asia/Tokyo")
    engine.user("la").set(timezone="America/Los_Angeles")
    engine.user("night").set(day_starts_at=5)
    score(engine, {"tokyo": 1, "la": 2, "night": 4, "utc": 8}, "05-31T23:00")
    score(engine, {"night": 16}, "06-01T04:59")
    assert shown(engine, "daily", "2026-05-31") == ["1 night 20", "2 utc 8", "3 la 2"]
    assert shown(engine, "daily", "2026-06-01") == ["1 tokyo 1"]
    assert shown(engine, "weekly", "2026-W22") == ["1 night 20", "2 utc 8", "3 la 2"]
    assert shown(engine, "weekly", "2026-W23") == ["1 tokyo 1"]
    assert shown(engine, "monthly", "2026-06") == ["1 tokyo 1"]


def test_a_change_of_zone_moves_nothing_that_was_recorded(open_engine):
    engine = open_engine(WORLD + board("points"))
    score(engine, {"ada": 5}, "05-31T23:00")
    engine.user("ada").set(timezone="Asia/Tokyo")
    score(engine, {"ada": 6}, "05-31T23:30")
    assert shown(engine, "daily", "2026-05-31") == ["1 ada 5"]
    assert shown(engine, "daily", "2026-06-01") == ["1 ada 6"]
    assert shown(engine) == ["1 ada 11"]


def test_what_an_event_pays_on_the_way_counts_at_its_own_time(open_engine):
    engine = open_engine(
        WORLD.replace("bonus_xp = 0", "bonus_xp = 40").replace("xp = 10", "xp = 90")
        + '[[achievements]]\ncode = "RICH"\nwhen = { xp = 90 }\nreward = { xp = 20 }\n'
        + '[[quests]]\ncode = "q"\ntype = "daily"\ngoals = { achievements = 1 }\nreward = { xp = 7 }\n'
        + board("xp")
    )
    play(engine, "ada", ("03-01", {}), kind="post")
    assert shown(engine, "daily", "2026-03-01") == shown(engine) == ["1 ada 157"]
    assert shown(engine, "daily") == []


def test_all_time_is_the_current_value(open_engine):
    engine = open_engine(WORLD + board("xp") + board("points", code="points"))
    engine.award_xp("ada", 70, request_id="1")
    engine.wallet("ada").adjust("xp", -200, request_id="2")
    play(engine, "ada", ("03-01", 9), ("03-02", -30), ("03-03", 4))
    assert shown(engine) == [f"1 ada {engine.profile('ada').xp}"] == ["1 ada -130"]
    assert shown(engine, code="points") == [f"1 ada {engine.profile('ada').metrics['points']}"] == ["1 ada -17"]


# --- What the metric makes of it (4.4) --------------------------------------------------------------------------------


def test_4a_a_board_on_a_best_score_shows_the_best_of_each_period(open_engine):
    engine = open_engine(WORLD + board("score"))
    play(engine, "ada", ("03-01", {"score": 70}), ("03-01", {"score": 90}), ("03-02", {"score": 80}))
    assert shown(engine) == shown(engine, "daily", "2026-03-01") == ["1 ada 90"]
    assert shown(engine, "daily", "2026-03-02") == ["1 ada 80"]
    play(engine, "ada", ("03-02", {"score": 85}), ("03-01", {"score": 60}), ("03-03", {"score": -4}))
    assert shown(engine, "daily", "2026-03-01") == ["1 ada 90"]
    assert shown(engine, "daily", "2026-03-02") == shown(engine, "weekly", "2026-W10") == ["1 ada 85"]
    assert shown(engine, "daily", "2026-03-03") == ["1 ada -4"]


def test_a_best_score_may_be_below_zero(open_engine):
    engine = open_engine(WORLD + board("score"))
    play(engine, "ada", ("03-01", {"score": -9}), ("03-01", {"score": -7}), ("03-02", {"score": -8}))
    assert shown(engine) == shown(engine, "daily", "2026-03-01") == ["1 ada -7"]
    assert shown(engine, "daily", "2026-03-02") == ["1 ada -8"]


def test_4c_a_board_on_different_values_counts_those_new_to_the_user(open_engine):
    engine = open_engine(WORLD + board("tags"))
    play(engine, "ada", ("02-25", {"tags": ["python"]}), ("03-03", {"tags": ["python", "python", "sql"]}))
    play(engine, "ada", ("03-04", {"tags": "sql"}))
    assert shown(engine, "weekly", "2026-W10") == ["1 ada 1"]
    assert shown(engine, "daily", "2026-03-04") == []
    assert shown(engine) == ["1 ada 2"]


def test_a_board_on_level_counts_levels_gained_and_all_time_the_level(open_engine):
    engine = open_engine(WORLD.replace("xp = 10", "xp = 10\nmetrics = { points = 1 }") + board("level"))
    play(engine, "ada", *[("03-01", {})] * 41, kind="post")
    play(engine, "ada", *[("03-05", {})] * 50, kind="post")
    play(engine, "bob", *[("03-05", {})] * 9, kind="post")
    assert shown(engine, "daily", "2026-03-01") == ["1 ada 2"]
    assert shown(engine, "daily", "2026-03-05") == ["1 ada 1"]
    assert shown(engine, "monthly", "2026-03") == ["1 ada 3"]
    assert engine.profile("ada").level == 4
    assert shown(engine) == ["1 ada 4"]


def test_a_level_lost_and_regained_leaves_the_boards_right(open_engine, clock):
    engine = open_engine(WORLD + board("level"))
    for day, amount in [("06-01", 450), ("06-02", -200), ("06-03", 700)]:
        clock.now = at(day)
        if amount == 450:
            engine.award_xp("ada", amount, request_id=day)
        else:
            engine.wallet("ada").adjust("xp", amount, request_id=day)
        assert shown(engine) == [f"1 ada {engine.profile('ada').level}"]
    daily = [shown(engine, "daily", f"2026-06-0{day}") for day in (1, 2, 3)]
    assert daily == [["1 ada 2"], ["1 ada -1"], ["1 ada 2"]]


def test_a_board_on_a_streak_shows_the_longest_run_seen(open_engine):
    engine = open_engine(WORLD + board("streak.login"))
    play(engine, "ada", *[(f"05-{day:02}", {}) for day in (1, 2, 3, 4, 8, 9)], kind="login")
    assert shown(engine) == shown(engine, "monthly", "2026-05") == ["1 ada 4"]
    assert shown(engine, "weekly", "2026-W19") == ["1 ada 4"]
    assert [shown(engine, "daily", f"2026-05-0{day}") for day in (3, 5, 8)] == [["1 ada 3"], [], ["1 ada 1"]]
    play(engine, "ada", ("05-05", {}), ("05-06", {}), ("05-07", {}), kind="login")
    assert shown(engine) == ["1 ada 9"]
    assert shown(engine, "daily", "2026-05-07") == ["1 ada 9"]


def test_boards_on_what_is_earned_spent_achieved_and_completed(open_engine, clock):
    metrics = ["earned.sparkle", "spent.sparkle", "achievements", "quests"]
    engine = open_engine(
        WORLD
        + '[[achievements]]\ncode = "TEN"\nwhen = { points = 10 }\nreward = { sparkle = 6 }\nrepeatable = true\n'
        + '[[quests]]\ncode = "q"\ntype = "daily"\ngoals = { points = 5 }\nreward = { sparkle = 1 }\n'
        + "".join(board(metric, code=metric) for metric in metrics)
    )
    play(engine, "ada", ("11-20", 20), ("11-21", 5))
    engine.wallet("ada").credit("sparkle", 50, request_id="1")
    engine.wallet("ada").spend("sparkle", 30, request_id="2")
    engine.wallet("ada").refund("2", 10, request_id="3")
    engine.wallet("ada").transfer("sparkle", 5, to="bob", request_id="4")
    engine.wallet("ada").hold("sparkle", 8, request_id="5")
    engine.wallet("ada").capture("5", 3, request_id="6")
    engine.wallet("ada").adjust("sparkle", 1000, request_id="7")
    found = {
        metric: [shown(engine, "daily", day, code=metric) for day in ("2026-11-20", "2026-11-22")] for metric in metrics
    }
    assert found == {
        "earned.sparkle": [["1 ada 13"], ["1 ada 50"]],
        "spent.sparkle": [[], ["1 ada 23"]],
        "achievements": [["1 ada 1"], []],
        "quests": [["1 ada 1"], []],
    }
    earned = engine.profile("ada").balances["sparkle"].lifetime_earned
    assert shown(engine, code="earned.sparkle") == [f"1 ada {earned}"] == ["1 ada 64"]
    assert shown(engine, code="quests") == ["1 ada 2"]


# --- 9.2 Order and ties -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ties", "ranks"),
    [("standard", [1, 1, 3, 3, 5]), ("dense", [1, 1, 2, 2, 3]), ("first", [1, 2, 3, 4, 5])],
)
def test_9a_equal_scores_are_ranked_by_the_boards_policy(open_engine, ties, ranks):
    engine = open_engine(WORLD + board("points", ties=ties))
    score(engine, {"a": 50, "b": 50, "c": 30, "d": 30, "e": 10})
    found = engine.leaderboard("board", period="daily", at="2026-03-01")
    assert [line.rank for line in found.top(5)] == ranks
    assert [found.rank(user) for user in "abcde"] == ranks
    assert [line.score for line in found.top(5)] == [50, 50, 30, 30, 10]


@pytest.mark.parametrize(
    ("ties", "ranks"),
    [("standard", [1, 2, 2, 2, 5, 6]), ("dense", [1, 2, 2, 2, 3, 4]), ("first", [1, 2, 3, 4, 5, 6])],
)
def test_zero_and_less_are_ranked_like_any_score(open_engine, ties, ranks):
    engine = open_engine(WORLD + board("points", ties=ties))
    score(engine, {"f": -70, "e": -1, "c": 6, "a": 9, "b": 6, "d": 6})
    play(engine, "e", ("03-01", 1))
    found = engine.leaderboard("board", period="daily", at="2026-03-01")
    assert [(line.user_id, line.score) for line in found.top(9)] == [
        ("a", 9), ("b", 6), ("c", 6), ("d", 6), ("e", 0), ("f", -70),
    ]  # fmt: skip
    assert [line.rank for line in found.top(9)] == [found.rank(user) for user in "abcdef"] == ranks


def test_equal_scores_stand_in_the_order_of_ids_by_code_points(open_engine):
    engine = open_engine(WORLD + board("points"))
    ids = ["a", "Z", "é", "Ω", "\uff01", "\U0001f600", "a b", "a-b", "1", "10", "2"]
    score(engine, dict.fromkeys(reversed(ids), 5))
    assert users(engine.leaderboard("board").top(20)) == sorted(ids)


def test_9b_on_a_first_board_stands_above_who_got_there_first(open_engine):
    engine = open_engine(WORLD + board("points", ties="first"))
    play(engine, "a", ("03-01T09:00", 10), ("03-01T10:00", 10))
    play(engine, "b", ("03-01T09:30", 20))
    assert shown(engine) == ["1 b 20", "2 a 20"]
    play(engine, "b", ("03-01T11:00", -5), ("03-01T12:00", 5))
    assert shown(engine) == ["1 a 20", "2 b 20"]
    play(engine, "a", ("03-01T08:00", 5))
    play(engine, "b", ("03-01T12:30", 5))
    assert shown(engine) == ["1 a 25", "2 b 25"]
    play(engine, "a", ("03-01T18:00", 0))
    assert shown(engine) == ["1 a 25", "2 b 25"]


def test_who_got_there_first_is_asked_period_by_period(open_engine):
    engine = open_engine(WORLD + board("points", ties="first"))
    play(engine, "a", ("03-01T09:00", 10), ("03-02T10:00", 10))
    play(engine, "b", ("03-01T11:00", 10), ("03-02T08:00", 10))
    assert shown(engine, "daily", "2026-03-01") == ["1 a 10", "2 b 10"]
    assert shown(engine, "daily", "2026-03-02") == ["1 b 10", "2 a 10"]
    assert shown(engine) == ["1 b 20", "2 a 20"]


def test_a_best_score_was_reached_when_it_was_first_set_whatever_arrives_first(open_engine):
    engine = open_engine(WORLD + board("score", ties="first"))
    play(engine, "a", ("03-01T12:00", {"score": 40}), ("03-01T15:00", {"score": 40}), ("03-01T18:00", {"score": 39}))
    play(engine, "b", ("03-01T14:00", {"score": 40}))
    assert shown(engine) == ["1 a 40", "2 b 40"]
    play(engine, "b", ("03-01T11:00", {"score": 40}))
    assert shown(engine) == ["1 b 40", "2 a 40"]
    play(engine, "b", ("03-01T20:00", {"score": 41}))
    play(engine, "a", ("03-01T21:00", {"score": 41}))
    assert shown(engine) == ["1 b 41", "2 a 41"]


def test_who_got_there_at_the_same_instant_stands_by_id_with_ranks_of_their_own(open_engine):
    engine = open_engine(WORLD + board("points", ties="first"))
    score(engine, {"c": 5, "a": 5, "b": 5})
    assert shown(engine) == ["1 a 5", "2 b 5", "3 c 5"]


@pytest.mark.parametrize("ties", ["standard", "dense", "first"])
def test_adding_0_moves_nothing(open_engine, ties):
    engine = open_engine(WORLD + board("points", ties=ties))
    play(engine, "a", ("03-01T09:00", 10))
    play(engine, "b", ("03-01T10:00", 10))
    found = engine.leaderboard("board")
    before = found.top(10), found.total
    play(engine, "a", ("03-01T11:00", 0))
    play(engine, "c", ("03-01T11:00", 0))
    found = engine.leaderboard("board")
    assert (found.top(10), found.total) == before
    assert found.rank("c") is None


def test_the_largest_number_is_exact_and_more_is_refused(open_engine):
    engine = open_engine(WORLD + board("points"))
    score(engine, {"a": LARGEST - 1, "b": LARGEST, "c": -LARGEST, "d": LARGEST - 2})
    play(engine, "d", ("03-01", 1))
    assert shown(engine) == [f"1 b {LARGEST}", f"2 a {LARGEST - 1}", f"2 d {LARGEST - 1}", f"4 c -{LARGEST}"]
    with pytest.raises(LaurelsError, match="2\\^53") as refused:
        play(engine, "b", ("03-01", 1))
    assert refused.value.code == "amount_out_of_range"
    assert engine.leaderboard("board").rank("b") == 1


# --- 9.3 Who is listed ------------------------------------------------------------------------------------------------


def test_who_had_a_change_is_listed_though_it_sums_to_0(open_engine):
    engine = open_engine(WORLD + board("points"))
    play(engine, "ada", ("03-01", 5), ("03-01", -5))
    play(engine, "bob", ("03-02", 5))
    assert shown(engine, "daily", "2026-03-01") == ["1 ada 0"]
    assert shown(engine) == ["1 bob 5", "2 ada 0"]


def test_who_had_none_is_not_listed_and_has_no_rank(open_engine):
    engine = open_engine(WORLD + board("points"))
    score(engine, {"ada": 5})
    engine.user("bob").set(display_name="Bob")
    found = engine.leaderboard("board")
    for nobody in ("bob", "unknown", "Ada"):
        assert (found.rank(nobody), found.around(nobody, 3)) == (None, [])
    assert (found.total, found.rank("ada")) == (1, 1)
    other_day = engine.leaderboard("board", period="daily", at="2026-03-02")
    assert (other_day.total, other_day.rank("ada"), other_day.top(3)) == (0, None, [])


def test_a_line_names_the_user_with_level_and_score(open_engine):
    engine = open_engine(WORLD + board("xp"))
    engine.award_xp("ada", 450, request_id="1")
    engine.user("ada").set(display_name="Ada L.")
    line = engine.leaderboard("board").top(1)[0]
    assert (line.rank, line.user_id, line.display_name, line.level, line.score) == (1, "ada", "Ada L.", 3, 450)


# --- 9.4 Around, movement, pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "number", "expected"),
    [
        pytest.param("c", 3, "bcd", id="9c-in-the-middle"),
        pytest.param("a", 3, "abc", id="9c-at-the-top"),
        pytest.param("e", 3, "cde", id="9c-at-the-end"),
        pytest.param("c", 4, "abcd", id="9c-an-even-number"),
        pytest.param("b", 5, "abcde", id="all"),
        pytest.param("d", 9, "abcde", id="more-than-there-are"),
        pytest.param("d", 1, "d", id="alone"),
        pytest.param("d", 2, "cd", id="one-above"),
        pytest.param("b", 4, "abcd", id="shifted-down"),
        pytest.param("d", 4, "bcde", id="not-shifted"),
    ],
)
@pytest.mark.parametrize("ties", ["standard", "dense", "first"])
def test_9c_around_gives_as_many_lines_with_the_user_in_the_middle(open_engine, ties, user, number, expected):
    engine = open_engine(WORLD + board("points", ties=ties))
    score(engine, {"e": 10, "d": 30, "b": 50, "c": 30, "a": 50})
    found = engine.leaderboard("board")
    around = found.around(user, number)
    assert "".join(users(around)) == expected
    assert around == [line for line in found.top(5) if line.user_id in expected]


def test_9c_movement_is_the_rank_before_minus_the_rank_now(open_engine):
    engine = open_engine(WORLD + board("points"))
    score(engine, {"a": 50, "b": 40, "c": 30, "d": 20, "e": 10}, "03-01")
    score(engine, {"a": 90, "e": 80, "new": 70, "b": 1}, "03-02")
    found = engine.leaderboard("board", period="daily", at="2026-03-02")
    assert {line.user_id: line.movement for line in found.top(9)} == {"a": 0, "e": 3, "new": None, "b": -2}
    assert [line.movement for line in found.around("e", 1)] == [3]
    assert {line.movement for line in engine.leaderboard("board").top(9)} == {None}


@pytest.mark.parametrize(
    ("period", "before", "now", "key"),
    [
        pytest.param("weekly", "2026-12-31", "2027-01-04", "2027-W01", id="week-53-to-1"),
        pytest.param("monthly", "2026-12-31", "2027-01-01", "2027-01", id="december-to-january"),
        pytest.param("daily", "2028-02-29", "2028-03-01", "2028-03-01", id="leap-day"),
    ],
)
def test_movement_looks_at_the_period_just_before(open_engine, clock, period, before, now, key):
    clock.now = at("2028-04-01")
    engine = open_engine(WORLD + board("points", ties="dense"))
    score(engine, {"a": 9, "b": 9, "c": 5}, before)
    score(engine, {"a": 1, "b": 2, "c": 3}, now)
    found = engine.leaderboard("board", period=period, at=key)
    assert {line.user_id: line.movement for line in found.top(9)} == {"c": 1, "b": -1, "a": -2}


def test_no_movement_over_a_period_without_the_user(open_engine):
    engine = open_engine(WORLD + board("points"))
    for day in ("03-01", "03-03"):
        score(engine, {"ada": 5}, day)
    assert [line.movement for line in engine.leaderboard("board", period="daily", at="2026-03-03").top(1)] == [None]


@pytest.fixture
def boards(open_engine):
    """A daily board for each policy on ties, all on the same points."""
    policies = [board("points", code=ties, periods=["daily"], ties=ties) for ties in ("standard", "dense", "first")]
    return open_engine(WORLD + "".join(policies))


games = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(-2, 2), st.integers(0, 23)), max_size=40)


@given(games=games, day_before=games, hidden=st.sets(st.sampled_from("abcdefgh"), max_size=3), size=st.integers(1, 9))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_ranks_surroundings_and_movement_are_those_of_a_plain_sorted_list(
    boards, games, day_before, hidden, size
):
    day = next(DAYS)
    record_games(boards, day - timedelta(days=1), day_before)
    record_games(boards, day, games)
    for user in "abcdefgh":
        boards.user(user).set(opted_out=user in hidden)
    for ties in ("standard", "dense", "first"):
        found = boards.leaderboard(ties, period="daily", at=day)
        before = {user: rank for rank, user, _ in ranking(day_before, hidden, ties)}
        expected = ranking(games, hidden, ties)
        pages = [found.top(size, offset) for offset in range(0, len(expected) + 1, size)]
        listed = [(line.rank, line.user_id, line.score, line.movement) for page in pages for line in page]
        assert listed == [
            (rank, user, score, before[user] - rank if user in before else None) for rank, user, score in expected
        ]
        assert found.total == len(expected)
        for place, (rank, user, _) in enumerate(expected):
            start = max(0, min(place - size // 2, len(expected) - size))
            assert found.rank(user) == rank
            assert users(found.around(user, size)) == [user for _, user, _ in expected[start : start + size]]


def record_games(engine, day, games):
    engine.record(
        [
            laurels.Event("game", user=user, id=f"{day:%j%Y}-{n}", time=day.replace(hour=hour), data={"points": points})
            for n, (user, points, hour) in enumerate(games)
        ]
    )


def ranking(games, hidden, ties):
    """Rank, user and score of everyone whose points moved and who is not hidden, best first."""
    moves = [game for game in games if game[1] != 0 and game[0] not in hidden]
    scores, reached = defaultdict(int), defaultdict(int)
    for user, points, hour in moves:
        scores[user] += points
        reached[user] = max(reached[user], hour) if ties == "first" else 0
    order = sorted(scores, key=lambda user: (-scores[user], reached[user], user))
    better = {user: [other for other in order if scores[other] > scores[user]] for user in order}
    match ties:
        case "standard":
            ranks = [1 + len(better[user]) for user in order]
        case "dense":
            ranks = [1 + len({scores[other] for other in better[user]}) for user in order]
        case "first":
            ranks = range(1, len(order) + 1)
    return [(rank, user, scores[user]) for rank, user in zip(ranks, order, strict=True)]


def test_a_board_in_hand_shows_what_was_recorded_since(boards):
    found = boards.leaderboard("standard", period="daily", at="2026-03-01")
    score(boards, {"a": 2, "b": 3})
    assert (lines(found.top(9)), found.total, found.rank("a"), users(found.around("a", 1))) == (
        ["1 b 3", "2 a 2"], 2, 2, ["a"],
    )  # fmt: skip


def test_reading_a_board_changes_nothing(boards):
    score(boards, {"a": 2, "b": 2, "c": 1})
    found = boards.leaderboard("dense", period="daily", at="2026-03-01")
    first = found.top(9), found.around("b", 2), found.total
    for _ in range(3):
        found.rank("nobody"), found.top(2, 1), found.around("c", 2)
    assert (found.top(9), found.around("b", 2), found.total) == first


# --- 9.6 Boards added later -------------------------------------------------------------------------------------------


def test_a_board_added_later_is_filled_from_the_journal(open_engine):
    engine = open_engine(WORLD)
    engine.user("ada").set(timezone="Asia/Tokyo")
    play(engine, "ada", ("05-31T20:00", {"points": 5, "score": 40, "tags": ["a", "b"]}))
    play(engine, "bob", ("05-31T20:00", {"points": 5, "score": 30, "tags": ["a"]}), ("06-01", {"score": 10}))
    play(engine, "bob", *[("06-01", {})] * 11, kind="post")
    play(engine, "bob", ("06-01", {}), ("06-02", {}), kind="login")
    metrics = ["points", "score", "tags", "level", "streak.login", "xp"]
    engine = open_engine(WORLD + "".join(board(metric, code=metric) for metric in metrics))
    assert {metric: shown(engine, code=metric) for metric in metrics} == {
        "points": ["1 ada 5", "1 bob 5"],
        "score": ["1 ada 40", "2 bob 30"],
        "tags": ["1 ada 2", "2 bob 1"],
        "level": ["1 bob 2"],
        "streak.login": ["1 bob 2"],
        "xp": ["1 bob 110"],
    }
    assert shown(engine, "daily", "2026-06-01", code="score") == ["1 ada 40", "2 bob 10"]
    assert shown(engine, "monthly", "2026-05", code="points") == ["1 bob 5"]


def test_a_board_filled_later_is_the_one_that_was_there_all_along(open_engine):
    engine = open_engine(WORLD + board("points", ties="first"))
    play(engine, "a", ("03-01T09:00", 10), ("03-02T10:00", -3), ("03-01T07:00", 1))
    play(engine, "b", ("03-01T09:30", 11), ("03-01T11:00", 0))
    engine = open_engine(WORLD + board("points", ties="first") + board("points", code="later", ties="first"))
    keys = [("daily", "2026-03-01"), ("daily", "2026-03-02"), ("weekly", "2026-W09"), ("alltime", "all")]
    for period, key in keys:
        assert shown(engine, period, key, code="later") == shown(engine, period, key)
    play(engine, "a", ("03-02", 50))
    assert shown(engine, code="later") == shown(engine) == ["1 a 58", "2 b 11"]


def test_a_board_with_another_metric_starts_anew(open_engine):
    play(open_engine(WORLD + board("points")), "ada", ("03-01", {"points": 5, "score": 80}))
    assert shown(open_engine(WORLD + board("score"))) == ["1 ada 80"]


def test_another_policy_on_ties_holds_for_what_is_there(open_engine):
    engine = open_engine(WORLD + board("points"))
    play(engine, "a", ("03-01T12:00", 5))
    play(engine, "b", ("03-01T11:00", 5))
    assert shown(open_engine(WORLD + board("points", ties="first"))) == ["1 b 5", "2 a 5"]


def test_a_board_that_was_away_and_returns_has_missed_nothing(open_engine):
    score(open_engine(WORLD + board("points")), {"ada": 5})
    score(open_engine(WORLD), {"ada": 6, "bob": 7})
    assert shown(open_engine(WORLD + "[currencies.gold]\n" + board("points"))) == ["1 ada 11", "2 bob 7"]


def test_another_process_on_the_same_file_sees_the_same_board(open_engine):
    toml = WORLD + board("points")
    first, second = open_engine(toml), open_engine(toml)
    score(first, {"ada": 5})
    assert shown(second) == ["1 ada 5"]
    score(second, {"ada": 2, "bob": 9})
    assert shown(first) == shown(second) == ["1 bob 9", "2 ada 7"]


# --- 9.7 Groups and opting out ----------------------------------------------------------------------------------------


def test_9e_a_change_counts_for_the_group_of_that_moment(open_engine):
    engine = open_engine(WORLD + board("points", group="team"))
    engine.user("ada").set(groups={"team": "red"})
    score(engine, {"ada": 10})
    engine.user("ada").set(groups={"team": "blue"})
    score(engine, {"ada": 5})
    assert shown(engine, group="red") == ["1 ada 10"]
    assert shown(engine, group="blue") == ["1 ada 5"]
    assert shown(engine) == ["1 ada 15"]


def test_the_group_is_that_of_recording_also_for_late_events(open_engine):
    engine = open_engine(WORLD + board("points", group="team"))
    engine.user("ada").set(groups={"team": "red"})
    score(engine, {"ada": 10}, "03-10")
    engine.user("ada").set(groups={"team": "blue"})
    score(engine, {"ada": 5}, "03-10T09:00")
    assert shown(engine, "daily", "2026-03-10", group="red") == ["1 ada 10"]
    assert shown(engine, "daily", "2026-03-10", group="blue") == ["1 ada 5"]


def test_a_board_of_a_group_ranks_its_members_alone(open_engine):
    engine = open_engine(WORLD + board("points", group="team", ties="dense"))
    teams = {"a": "red", "b": "blue", "c": "red", "d": "red", "e": "blue"}
    for user, team in teams.items():
        engine.user(user).set(groups={"team": team, "city": "Oslo"})
    engine.user("f").set(groups={"city": "Oslo"})
    score(engine, {"a": 9, "b": 8, "c": 7, "d": 7, "e": 6, "f": 5})
    red = engine.leaderboard("board", group="red")
    assert lines(red.top(9)) == ["1 a 9", "2 c 7", "2 d 7"]
    assert (red.total, red.rank("d"), red.rank("b"), users(red.around("d", 2))) == (3, 2, None, ["c", "d"])
    assert shown(engine, group="blue") == ["1 b 8", "2 e 6"]
    assert shown(engine, group="green") == []
    assert shown(engine)[-1] == "5 f 5"


def test_movement_stays_inside_the_group(open_engine):
    engine = open_engine(WORLD + board("points", group="team"))
    for user, team in {"a": "red", "b": "blue", "c": "red"}.items():
        engine.user(user).set(groups={"team": team})
    score(engine, {"a": 3, "b": 2, "c": 1}, "03-01")
    score(engine, {"a": 1, "b": 2, "c": 3}, "03-02")
    red = engine.leaderboard("board", period="daily", at="2026-03-02", group="red")
    assert {line.user_id: line.movement for line in red.top(9)} == {"c": 1, "a": -1}


def test_a_board_split_by_a_group_later_knows_the_groups_of_then(open_engine):
    engine = open_engine(WORLD)
    engine.user("ada").set(groups={"team": "red"})
    score(engine, {"ada": 10})
    engine.user("ada").set(groups={"team": "blue"})
    score(engine, {"ada": 5})
    engine = open_engine(WORLD + board("points", group="team"))
    assert (shown(engine, group="red"), shown(engine, group="blue")) == (["1 ada 10"], ["1 ada 5"])


@pytest.mark.parametrize(
    ("ties", "before", "after"),
    [
        ("standard", ["1 a 9", "1 b 9", "3 c 5", "4 d 3"], ["1 a 9", "2 c 5", "3 d 3"]),
        ("dense", ["1 a 9", "1 b 9", "2 c 5", "3 d 3"], ["1 a 9", "2 c 5", "3 d 3"]),
        ("first", ["1 a 9", "2 b 9", "3 c 5", "4 d 3"], ["1 a 9", "2 c 5", "3 d 3"]),
    ],
)
def test_opting_out_closes_ranks_at_once_and_back_restores_all(open_engine, ties, before, after):
    engine = open_engine(WORLD + board("points", ties=ties))
    score(engine, {"a": 9, "b": 9, "c": 5, "d": 3})
    assert shown(engine) == before
    engine.user("b").set(opted_out=True)
    for period, key in [("daily", "2026-03-01"), ("weekly", "2026-W09"), ("alltime", "all")]:
        found = engine.leaderboard("board", period=period, at=key)
        assert lines(found.top(9)) == after
        assert (found.total, found.rank("b"), found.around("b", 3), found.rank("d")) == (3, None, [], 3)
        assert users(found.around("c", 3)) == ["a", "c", "d"]
    engine.user("b").set(opted_out=False)
    assert shown(engine) == before


def test_what_is_earned_in_private_counts_on_the_way_back(open_engine):
    engine = open_engine(WORLD + board("points"))
    score(engine, {"a": 9, "b": 5})
    engine.user("b").set(opted_out=True)
    score(engine, {"b": 7})
    assert engine.profile("b").metrics["points"] == 12
    assert shown(engine) == ["1 a 9"]
    engine.user("b").set(opted_out=False)
    assert shown(engine) == shown(engine, "daily", "2026-03-01") == ["1 b 12", "2 a 9"]


def test_who_opted_out_is_missing_from_the_ranks_before_too(open_engine):
    engine = open_engine(WORLD + board("points"))
    score(engine, {"a": 9, "b": 5}, "03-01")
    score(engine, {"b": 5}, "03-02")
    found = engine.leaderboard("board", period="daily", at="2026-03-02")
    assert [line.movement for line in found.top(9)] == [1]
    engine.user("a").set(opted_out=True)
    assert [line.movement for line in found.top(9)] == [0]


# --- What is no board -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("which", "code"),
    [
        pytest.param({"code": "bord"}, "unknown_leaderboard", id="no-such-board"),
        pytest.param({"code": "board", "period": "yearly"}, "unknown_period", id="no-such-period"),
        pytest.param({"code": "board", "period": "monthly"}, "unknown_period", id="not-on-this-board"),
        pytest.param(
            {"code": "board", "period": "weekly", "at": "2026-11"}, "invalid_period", id="a-key-of-another-kind"
        ),
        pytest.param(
            {"code": "board", "period": "weekly", "at": "2026-W54"}, "invalid_period", id="a-week-that-is-none"
        ),
        pytest.param({"code": "board", "at": at("03-01").replace(tzinfo=None)}, "naive_time", id="a-naive-time"),
        pytest.param({"code": "board", "group": "red"}, "unknown_group", id="not-split"),
    ],
)
def test_a_board_that_is_not_there_is_refused_by_name(open_engine, which, code):
    engine = open_engine(WORLD + board("points", periods=["weekly", "alltime"]))
    with pytest.raises(LaurelsError) as refused:
        engine.leaderboard(**which)
    assert refused.value.code == code


@pytest.mark.parametrize("page", [(0, 0), (-1, 0), (5, -1)])
def test_a_page_has_lines_and_begins_somewhere(open_engine, page):
    engine = open_engine(WORLD + board("points"))
    with pytest.raises(LaurelsError) as refused:
        engine.leaderboard("board").top(*page)
    assert refused.value.code == "invalid_limit"

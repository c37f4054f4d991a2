"""What readers ask of the engine beside profiles and boards: days of streaks, old requests, many users at once."""

from datetime import datetime

import pytest

import laurels
from laurels.core.errors import InvalidInput, Unknown
from laurels.store import reads
from tests.conftest import BASE

STREAKS = (
    BASE
    + """
[[streaks]]
code = "daily"
on = "came"
freezes = { initial = 1, max = 2 }
[[streaks]]
code = "weekly"
on = "came"
every = "week"
[[leaderboards]]
code = "xp"
metric = "xp"
"""
)


def came(engine, *days, user="ada"):
    """Let somebody come at noon on these days of November 2026."""
    for day in days:
        time = f"2026-11-{day:02}T12:00:00+00:00"
        engine.record(laurels.Event("came", user=user, id=f"d{day}", time=datetime.fromisoformat(time)))


def statuses(engine, code="daily", **options):
    return [day.status for day in engine.user("ada").streak_days(code, **options)]


def test_the_days_of_a_streak_are_met_frozen_missed_or_open(open_engine):
    engine = open_engine(STREAKS)
    came(engine, 14, 15, 17, 20, 21)
    assert statuses(engine, count=9) == [
        "met",  # 14
        "met",
        "frozen",
        "met",
        "missed",  # 18
        "missed",
        "met",
        "met",
        "open",  # 22, today
    ]
    assert [day.day for day in engine.user("ada").streak_days("daily", count=2)] == ["2026-11-21", "2026-11-22"]
    came(engine, 22)
    assert statuses(engine, count=2) == ["met", "met"]


def test_days_are_known_however_many_runs_ago_they_were(open_engine):
    engine = open_engine(STREAKS)
    days = [1, 2, 5, 8, 11, 14, 17, 20]  # Two missed between each: one freeze does not help.
    came(engine, *days)
    expected = ["met" if day in days else "missed" for day in range(1, 22)]
    assert statuses(engine, count=22) == [*expected, "open"]


def test_a_day_that_no_clock_showed_is_excused(open_engine, clock):
    """2011-12-30 was skipped in Apia."""
    engine = open_engine(STREAKS)
    engine.user("ada").set(timezone="Pacific/Apia")
    clock.now = datetime.fromisoformat("2011-12-31T12:00:00+14:00")
    for number, day in enumerate((29, 31)):
        zone = "-10:00" if day == 29 else "+14:00"
        time = datetime.fromisoformat(f"2011-12-{day}T12:00:00{zone}")
        engine.record(laurels.Event("came", user="ada", id=f"{number}", time=time))
    assert statuses(engine, count=3) == ["met", "excused", "met"]


def test_weeks_of_a_streak_are_named_by_their_keys(open_engine):
    engine = open_engine(STREAKS)
    came(engine, 1, 9)
    weeks = engine.user("ada").streak_days("weekly", count=4)
    assert [(week.day, week.status) for week in weeks] == [
        ("2026-W44", "met"),
        ("2026-W45", "missed"),
        ("2026-W46", "met"),
        ("2026-W47", "open"),
    ]


def test_somebody_without_a_streak_has_missed_every_day_but_today(open_engine):
    engine = open_engine(STREAKS)
    engine.user("ada").set()
    assert statuses(engine, count=3) == ["missed", "missed", "open"]


def test_an_unknown_streak_is_named_with_the_nearest(open_engine):
    engine = open_engine(STREAKS)
    came(engine, 1)
    with pytest.raises(Unknown, match=r"unknown streak 'dayly'; did you mean 'daily'\?"):
        engine.user("ada").streak_days("dayly")


def test_a_request_can_be_read_again(open_engine, clock):
    engine = open_engine(STREAKS)
    time = datetime.fromisoformat("2026-11-01T12:00:00+01:00")
    engine.record(laurels.Event("came", user="ada", id="r", time=time, data={"from": "Rome"}))
    stored = engine.user("ada").request("r")
    assert (stored.type, stored.time, stored.recorded_at, stored.revision) == ("came", time, clock.now, 1)
    assert stored.data == {"from": "Rome"}
    with pytest.raises(Unknown, match="'ada' has no request 'x'"):
        engine.user("ada").request("x")


def test_profiles_come_in_the_order_of_ids_with_what_is_set(open_engine):
    engine = open_engine(STREAKS)
    for user in ("cy", "ada", "Bob"):
        came(engine, 1, user=user)
    engine.user("ada").set(display_name="Ada", avatar_url="https://example.org/a.png")
    assert [of.user_id for of in engine.profiles()] == ["Bob", "ada", "cy"]
    assert engine.profiles(after="Bob", limit=1) == [engine.profile("ada")]
    assert engine.profiles(containing="zzz") == []


def test_many_users_are_named_at_once_and_nothing_else_of_them_changes(open_engine):
    engine = open_engine(STREAKS)
    came(engine, 1)
    engine.user("bob").set(avatar_url="https://example.org/b.png", opted_out=True, display_name="Robert")
    assert engine.name_users({"ada": "Ada", "bob": "Bob", "nobody": "Nobody"}) == 2
    named = [(of.user_id, of.display_name, of.avatar_url, of.opted_out) for of in engine.profiles()]
    assert named == [("ada", "Ada", None, False), ("bob", "Bob", "https://example.org/b.png", True)]
    with pytest.raises(InvalidInput, match="display_name"):
        engine.name_users({"ada": "A\x00a"})


def test_boards_filled_anew_are_the_same(open_engine):
    engine = open_engine(STREAKS)
    engine.award_xp("ada", 50, request_id="x")
    before = engine.leaderboard("xp").top()
    assert engine.rebuild_boards() == 1
    assert engine.leaderboard("xp").top() == before


def test_the_first_catalog_is_for_a_new_database_only(tmp_path):
    url = f"sqlite:///{tmp_path}/first.db"
    with laurels.open(url, first_catalog="stackexchange") as engine:
        assert engine.catalog.name == "Stack Exchange"
    with laurels.open(url, first_catalog="community") as engine:
        assert (engine.catalog.name, engine.catalog.revision) == ("Stack Exchange", 1)


def test_a_level_is_read_from_the_beginning_of_a_document_as_from_all_of_it(open_engine):
    engine = open_engine()
    engine.award_xp("ada", 100_000, request_id="r1")
    engine.user("ada").set(display_name="Ada")
    engine.user("bob").set(timezone="Europe/Berlin")
    with engine.read() as connection:
        found = reads.names_and_levels(connection, ["ada", "bob", "nobody"])
    assert found == {"ada": ("Ada", engine.profile("ada").level), "bob": (None, 1)}
    assert engine.profile("ada").level > 1

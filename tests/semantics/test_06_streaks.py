"""Days and streaks (SEMANTICS 6): every lettered example, and the rules against a model that goes day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count, groupby
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import laurels
from laurels.core.periods import zone_exists
from tests.conftest import BASE, on_sqlite_alone

IDS = count()
MARCH = date(2026, 3, 1)

#: One engine serves all examples of a property: each takes users of its own.
one_engine = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def login_streak(*, every="day", bonus="{ xp_per_step = 5, max_xp = 100 }", freezes="{}"):
    return (
        BASE
        + f"""
[[streaks]]
code = "login"
on = ["user.login"]
every = "{every}"
bonus = {bonus}
freezes = {freezes}
"""
    )


def at(text):
    """The instant written `03-01`, `03-01T09:00` or in full; of 2026, at noon, in UTC where nothing else is said."""
    text = text if text[4] == "-" else f"2026-{text}"
    return datetime.fromisoformat(text if "T" in text else f"{text}T12:00").replace(tzinfo=UTC)


def log_in(engine, *times, user="ada"):
    """One login at each of these times, each recorded by itself; the outcomes."""
    return [
        engine.record(laurels.Event("user.login", user=user, id=f"login-{next(IDS)}", time=at(time))) for time in times
    ]


def log_in_on(engine, clock, user, day):
    """A login at noon of a day counted from 1 March, recorded no earlier than that: the clock never goes back."""
    clock.now = max(clock.now, noon(day))
    return engine.record(laurels.Event("user.login", user=user, id=f"login-{next(IDS)}", time=noon(day)))


def noon(day):
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=day)


def story(outcomes):
    """What happened to streaks: `3` for a run that is 3 long now, and breaks and freezes in words."""
    told = []
    for change in (change for outcome in outcomes for change in outcome.changes):
        match change.type:
            case "streak.extended":
                told.append(str(change.length))
            case "streak.frozen":
                told.append("frozen")
            case "streak.broken":
                told.append(f"broken {change.length}, missed {change.missed}, freezes {change.freezes}")
    return told


def streak_of(engine, clock, on, user="ada", code="login"):
    """The streak as a reader sees it at a time."""
    clock.now = at(on)
    return engine.profile(user).streaks[code]


def streak_xp(outcomes):
    return sum(c.amount for o in outcomes for c in o.changes if c.type == "xp.awarded" and c.rule == "streak:login")


def owed(length, step, cap):
    """B(n), step by step."""
    return sum(min(n * step, cap) for n in range(2, length + 1))


# --- 6.1 Days, weeks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day_starts_at", "instant", "expected"),
    [
        pytest.param("Europe/Berlin", 0, "2026-03-28T22:59:59", "2026-03-28", id="before-23-hours"),
        pytest.param("Europe/Berlin", 0, "2026-03-28T23:00", "2026-03-29", id="first-of-23-hours"),
        pytest.param("Europe/Berlin", 0, "2026-03-29T21:59:59", "2026-03-29", id="last-of-23-hours"),
        pytest.param("Europe/Berlin", 0, "2026-03-29T22:00", "2026-03-30", id="after-23-hours"),
        pytest.param("Europe/Berlin", 0, "2026-10-24T22:00", "2026-10-25", id="first-of-25-hours"),
        pytest.param("Europe/Berlin", 0, "2026-10-25T22:59:59", "2026-10-25", id="last-of-25-hours"),
        pytest.param("Europe/Berlin", 0, "2026-10-25T23:00", "2026-10-26", id="after-25-hours"),
        pytest.param("Europe/Berlin", 4, "2026-03-28T02:59:59", "2026-03-27", id="before-4"),
        pytest.param("Europe/Berlin", 4, "2026-03-28T03:00", "2026-03-28", id="from-4"),
        pytest.param("Europe/Berlin", 4, "2026-03-29T01:59:59", "2026-03-28", id="until-4-of-the-short-day"),
        pytest.param("Europe/Berlin", 4, "2026-03-29T02:00", "2026-03-29", id="from-4-of-the-short-day"),
        pytest.param("America/St_Johns", 0, "2010-11-07T02:15", "2010-11-06", id="23-45-for-the-first-time"),
        pytest.param("America/St_Johns", 0, "2010-11-07T02:45", "2010-11-07", id="23-15-for-the-second-time"),
    ],
)
def test_6a_a_local_day_lasts_until_the_next_one_begins(open_engine, zone, day_starts_at, instant, expected):
    engine = open_engine(login_streak())
    engine.user("ada").set(timezone=zone, day_starts_at=day_starts_at)
    log_in(engine, instant)
    assert engine.profile("ada").streaks["login"].last_day == expected


@pytest.mark.parametrize(
    ("zone", "day_starts_at", "instant", "expected"),
    [
        pytest.param("UTC", 4, "2026-03-02T02:00", "2026-W09", id="6a-monday-before-the-day-starts"),
        pytest.param("UTC", 4, "2026-03-02T04:00", "2026-W10", id="monday-when-the-day-starts"),
        pytest.param("UTC", 0, "2027-01-01T12:00", "2026-W53", id="6a-new-year-in-the-old-years-week"),
        pytest.param("Asia/Tokyo", 0, "2027-01-03T15:00", "2027-W01", id="sunday-in-utc-is-monday-in-tokyo"),
        pytest.param("America/Los_Angeles", 0, "2027-01-04T07:59", "2026-W53", id="monday-in-utc-is-sunday-there"),
    ],
)
def test_6a_a_week_is_the_iso_week_of_the_local_day(open_engine, clock, zone, day_starts_at, instant, expected):
    clock.now = at("2027-02-01")
    engine = open_engine(login_streak(every="week"))
    engine.user("ada").set(timezone=zone, day_starts_at=day_starts_at)
    log_in(engine, instant)
    assert engine.profile("ada").streaks["login"].last_day == expected


@on_sqlite_alone
def test_every_zone_places_an_instant_on_the_day_that_its_clock_showed_last(open_engine):
    engine = open_engine(login_streak())
    # The hours around which much of the world changes its clocks, and a plain one.
    instants = [at("2026-03-29T00:50"), at("2026-10-25T01:10"), at("2026-11-01T07:20"), at("2026-06-30T10:40")]
    events, expected = [], {}
    for place, zone in enumerate(sorted(name for name in available_timezones() if zone_exists(name))):
        hour, instant = 7 * place % 24, instants[place % 4]
        engine.user(zone).set(timezone=zone, day_starts_at=hour)
        events.append(laurels.Event("user.login", user=zone, id="login", time=instant))
        expected[zone] = latest_date_shown(instant, ZoneInfo(zone), hour)
    engine.record(events)
    found = {zone: engine.profile(zone).streaks["login"].last_day for zone in expected}
    assert found == expected


def latest_date_shown(instant, zone, day_starts_at):
    """The latest date, up to the instant, on a clock that runs `day_starts_at` hours behind the zone's."""
    shown = (instant - timedelta(minutes=15 * step) for step in range(100))
    return max(
        (i.astimezone(zone).replace(tzinfo=None) - timedelta(hours=day_starts_at)).date() for i in shown
    ).isoformat()


def test_the_zone_is_the_users_when_the_event_is_recorded_and_stored_days_stay(open_engine, clock):
    engine = open_engine(login_streak())
    log_in(engine, "2026-06-10T23:30")
    engine.user("ada").set(timezone="Asia/Tokyo")
    assert streak_of(engine, clock, "2026-06-10T23:45").last_day == "2026-06-10"
    log_in(engine, "2026-06-10T23:40")
    assert streak_of(engine, clock, "2026-06-10T23:45").last_day == "2026-06-11"


# --- 6.2 Runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "times", "expected"),
    [
        pytest.param("America/New_York", ["2026-03-07T14:00", "2026-03-08T12:30"], ["1", "2"], id="09-00-then-08-30"),
        pytest.param(
            "Europe/Berlin", ["2017-03-24", "2017-03-26", "2017-03-27"],
            ["1", "broken 1, missed 1, freezes 0", "1", "2"],
            id="a-change-of-clocks-is-no-day",
        ),
        pytest.param("Pacific/Apia", ["2011-12-29T12:00", "2011-12-30T12:00"], ["1", "2"], id="a-day-that-never-was"),
        pytest.param("UTC", [f"2026-03-01T{hour:02}:00" for hour in range(10, 20)], ["1"], id="ten-logins-in-a-day"),
    ],
)  # fmt: skip
def test_6b_days_are_calendar_days_in_the_users_zone(open_engine, zone, times, expected):
    engine = open_engine(login_streak())
    engine.user("ada").set(timezone=zone)
    assert story(log_in(engine, *times)) == expected


def test_6b_ten_logins_in_a_day_earn_no_bonus(open_engine):
    engine = open_engine(login_streak())
    log_in(engine, *[f"03-01T{hour:02}:00" for hour in range(10, 20)])
    assert engine.profile("ada").xp == 0


def test_6c_a_late_day_joins_two_runs_and_pays_what_is_owed_now(open_engine, clock):
    engine = open_engine(login_streak())
    in_order = log_in(engine, "03-01", "03-02", "03-03", "03-05", "03-06")
    assert story(in_order) == ["1", "2", "3", "broken 3, missed 1, freezes 0", "1", "2"]
    assert engine.profile("ada").xp == 35
    late = log_in(engine, "03-04")
    assert story(late) == ["6"]
    assert streak_xp(late) == 65
    assert engine.profile("ada").xp == 100
    shown = streak_of(engine, clock, "03-06")
    assert (shown.length, shown.longest, shown.last_day) == (6, 6, "2026-03-06")


def test_an_older_run_repaired_changes_only_the_longest_and_the_bonus(open_engine, clock):
    engine = open_engine(login_streak(bonus="{ xp_per_step = 3, max_xp = 8 }"))
    log_in(engine, "04-01", "04-02", "04-04", "04-05", "04-20", "04-21")
    before = engine.profile("ada").xp
    late = log_in(engine, "04-03")
    assert story(late) == ["5"]
    assert streak_xp(late) == engine.profile("ada").xp - before == owed(5, 3, 8) - 2 * owed(2, 3, 8)
    shown = streak_of(engine, clock, "04-21")
    assert (shown.length, shown.longest) == (2, 5)
    assert engine.profile("ada").metrics["streak.login"] == 5


def test_a_second_login_of_a_day_says_nothing_also_when_it_is_late(open_engine):
    engine = open_engine(login_streak())
    log_in(engine, "05-01", "05-02", "05-05")
    assert story(log_in(engine, "05-02T01:00", "05-05T23:59:59")) == []


def test_all_patterns_of_a_streak_qualify_for_the_actor_alone(open_engine):
    engine = open_engine(
        BASE + '[[streaks]]\ncode = "active"\non = ["post.*", "user.login"]\n'
        '[[rules]]\nid = "like"\non = "post.liked"\nto = "data.author"\nxp = 1\n'
    )
    engine.record(laurels.Event("post.liked", user="bob", id="1", time=at("05-01"), data={"author": "ada"}))
    engine.record(laurels.Event("post", user="bob", id="2", time=at("05-02")))
    engine.record(laurels.Event("user.login", user="bob", id="3", time=at("05-02")))
    assert engine.profile("bob").streaks["active"].longest == 2
    assert engine.profile("ada").streaks["active"].longest == 0


@pytest.fixture
def plain(open_engine):
    """Streaks without freezes: step 2 pays 6, every further one 8."""
    return open_engine(login_streak(bonus="{ xp_per_step = 3, max_xp = 8 }"))


@on_sqlite_alone
@given(days=st.lists(st.integers(0, 24), min_size=1, max_size=20))
@one_engine
def test_without_freezes_the_order_of_arrival_changes_neither_length_nor_longest_nor_bonus(plain, clock, days):
    user = f"user-{next(IDS)}"
    met: set[int] = set()
    for day in days:
        outcome = log_in_on(plain, clock, user, day)
        expected = [] if day in met else [len(run_around(day, met | {day}))]
        assert [int(told) for told in story([outcome]) if told.isdigit()] == expected
        met.add(day)
    lengths = [len(run) for run in runs_of(met)]
    shown = shown_on(plain, clock, user, max(met))
    assert (shown.length, shown.longest) == (lengths[-1], max(lengths))
    assert plain.profile(user).xp == sum(owed(length, 3, 8) for length in lengths)


def runs_of(days):
    """The days in a row, run by run."""
    numbered = groupby(enumerate(sorted(days)), lambda pair: pair[1] - pair[0])
    return [[day for _, day in run] for _, run in numbered]


def run_around(day, days):
    return next(run for run in runs_of(days) if day in run)


def shown_on(engine, clock, user, day):
    """What a reader sees of a user's streak at noon of a day; the clock is back where it was afterwards."""
    now, clock.now = clock.now, noon(day)
    shown = engine.profile(user).streaks["login"]
    clock.now = now
    return shown


# --- 6.3, 6.4 Freezes -------------------------------------------------------------------------------------------------

TWO = "{ initial = 1, max = 2 }"
EARNED = "{ max = 2, earn_every = 7 }"


@pytest.mark.parametrize(
    ("freezes", "times", "expected", "length", "left", "xp"),
    [
        pytest.param(TWO, ["03-01", "03-02", "03-03", "03-05"], ["1", "2", "3", "frozen", "4"], 4, 0, 45, id="6d"),
        pytest.param(
            TWO, ["03-01", "03-02", "03-03", "03-05", "03-04"], ["1", "2", "3", "frozen", "4", "5"], 5, 1, 70,
            id="6d-a-late-event-gives-the-freeze-back",
        ),
        pytest.param(
            TWO, ["03-01", "03-02", "03-03", "03-06"], ["1", "2", "3", "broken 3, missed 2, freezes 1", "1"], 1, 1, 25,
            id="6e-too-few-so-none-is-spent",
        ),
        pytest.param(
            TWO, ["03-01", "03-02", "03-03", "03-06", "03-04"],
            ["1", "2", "3", "broken 3, missed 2, freezes 1", "1", "frozen", "5"], 5, 0, 70,
            id="6e-a-late-event-narrows-the-gap",
        ),
        pytest.param(
            TWO, ["03-01", "03-02", "03-03", "03-06", "03-05"],
            ["1", "2", "3", "broken 3, missed 2, freezes 1", "1", "frozen", "5"], 5, 0, 70,
            id="a-late-event-narrows-the-gap-from-its-other-end",
        ),
        pytest.param(
            "{ initial = 2, max = 2 }", ["03-01", "03-02", "03-07", "03-05"],
            ["1", "2", "broken 2, missed 4, freezes 2", "1", "frozen", "2"], 2, 1, 20,
            id="a-gap-still-too-wide-costs-nothing",
        ),
        pytest.param(
            "{ initial = 2, max = 2 }", ["03-01", "03-02", "03-06", "03-04"],
            ["1", "2", "broken 2, missed 3, freezes 2", "1", "frozen", "frozen", "4"], 4, 0, 45,
            id="one-late-day-between-two-gaps",
        ),
        pytest.param(
            EARNED, [*[f"03-{day:02}" for day in range(1, 8)], "03-09", "03-11"],
            [*"1234567", "frozen", "8", "broken 8, missed 1, freezes 0", "1"], 1, 0, 175,
            id="6f-earned-spent-and-gone",
        ),
        pytest.param(
            EARNED, [f"03-{day:02}" for day in range(1, 22)], [str(day) for day in range(1, 22)],
            21, 2, owed(21, 5, 100),
            id="6f-never-above-max",
        ),
        pytest.param(
            "{ initial = 3, max = 3 }", ["03-01", "03-05"], ["1", "frozen", "2"], 2, 0, 10,
            id="a-gap-of-as-many-days-as-there-are-freezes",
        ),
        pytest.param(
            "{ initial = 1, max = 4 }", ["03-01", "03-03", "03-02"], ["1", "frozen", "2", "3"], 3, 1, 25,
            id="one-freeze-covers-one-day",
        ),
        pytest.param(
            "{ initial = 1, max = 1 }", ["03-05", "03-03", "03-01"], ["1", "frozen", "2", "1"], 2, 0, 10,
            id="a-gap-before-the-latest-run-is-covered-as-far-as-freezes-go",
        ),
    ],
)  # fmt: skip
def test_freezes_cover_the_days_missed_before_the_latest_run(
    open_engine, clock, freezes, times, expected, length, left, xp
):
    engine = open_engine(login_streak(freezes=freezes))
    assert story(log_in(engine, *times)) == expected
    shown = streak_of(engine, clock, max(times))
    assert (shown.length, shown.freezes) == (length, left)
    assert engine.profile("ada").xp == xp


def test_6f_the_longest_run_stays_when_the_streak_breaks(open_engine, clock):
    engine = open_engine(login_streak(freezes=EARNED))
    log_in(engine, *[f"03-{day:02}" for day in range(1, 8)], "03-09", "03-11")
    shown = streak_of(engine, clock, "03-11")
    assert (shown.length, shown.longest) == (1, 8)
    assert engine.profile("ada").metrics["streak.login"] == 8


def test_6f_a_week_streak_breaks_over_a_week_without_an_event(open_engine):
    engine = open_engine(login_streak(every="week"))
    assert story(log_in(engine, "03-01", "03-02", "03-16")) == ["1", "2", "broken 2, missed 1, freezes 0", "1"]


@pytest.mark.parametrize(
    ("times", "expected", "left"),
    [
        pytest.param(["04-05", "04-06", "04-12"], ["1", "2"], 1, id="sunday-monday-and-its-sunday"),
        pytest.param(["04-05", "04-13"], ["1", "frozen", "2"], 0, id="a-freeze-covers-a-week"),
        pytest.param(["04-05", "04-20"], ["1", "broken 1, missed 2, freezes 1", "1"], 1, id="not-two"),
        pytest.param(["04-05", "04-13", "04-06"], ["1", "frozen", "2", "3"], 1, id="a-late-week-gives-it-back"),
        pytest.param(["2026-12-31", "2027-01-03", "2027-01-04"], ["1", "2"], 1, id="week-53-goes-on-in-january"),
    ],
)
def test_a_week_streak_counts_iso_weeks(open_engine, clock, times, expected, left):
    clock.now = at("2027-02-01")
    engine = open_engine(login_streak(every="week", freezes="{ initial = 1, max = 1 }"))
    assert story(log_in(engine, *times)) == expected
    assert engine.profile("ada").streaks["login"].freezes == left


def test_no_freeze_is_spent_on_an_older_run(open_engine, clock):
    engine = open_engine(login_streak(freezes="{ max = 5, earn_every = 3 }"))
    log_in(engine, "05-04", "05-06", "05-20", "05-21", "05-22")
    assert streak_of(engine, clock, "05-22").freezes == 1
    assert story(log_in(engine, "05-03")) == ["2"]
    shown = streak_of(engine, clock, "05-22")
    assert (shown.length, shown.freezes) == (3, 1)


def test_joining_runs_earns_the_freezes_that_the_longer_run_is_worth(open_engine, clock):
    engine = open_engine(login_streak(freezes="{ max = 5, earn_every = 4 }"))
    log_in(engine, "05-01", "05-02", "05-03", "05-05", "05-06")
    assert streak_of(engine, clock, "05-06").freezes == 0
    log_in(engine, "05-04")
    assert streak_of(engine, clock, "05-06").freezes == 1


class Model:
    """A streak as 6.2 to 6.5 say it, as two sets of days and nothing else; every question is asked of all days."""

    def __init__(self, initial, most, earn_every, step, cap):
        self.met: set[int] = set()
        self.frozen: set[int] = set()
        self.freezes = min(initial, most)
        self.most, self.earn_every, self.step, self.cap = most, earn_every, step, cap
        self.longest = self.xp = 0

    def runs(self):
        return runs_of(self.met | self.frozen)

    def length(self, run):
        return sum(day in self.met for day in run)

    def log_in(self, day):
        """The story of a login on a day."""
        if day in self.met:
            return []
        told = []
        earned, owed_before = self.earned(), self.owed()
        newest = not self.met or day > max(self.met)
        last = self.runs()[-1] if self.met else []
        back = day in self.frozen
        self.frozen.discard(day)
        self.met.add(day)
        if newest and self.met != {day}:
            missed = set(range(last[-1] + 1, day))
            covered = self.cover(missed)
            if covered:
                told.append("frozen")
            elif missed:
                told.append(f"broken {self.length(last)}, missed {len(missed)}, freezes {self.freezes}")
        elif not newest and not back:
            told += ["frozen"] * self.mend(day)
        if back:
            self.freezes = min(self.most, self.freezes + 1)
        self.freezes = max(self.freezes, min(self.most, self.freezes + self.earned() - earned))
        self.xp += self.owed() - owed_before
        length = self.length(run_around(day, self.met | self.frozen))
        self.longest = max(self.longest, length)
        return [*told, str(length)]

    def mend(self, day):
        """Cover what a late day leaves missed after itself, then before itself, where that lengthens the latest run."""
        covered = 0
        runs = self.runs()
        place = next(place for place, run in enumerate(runs) if day in run)
        if place == len(runs) - 2 and day == runs[place][-1]:
            covered += self.cover(set(range(day + 1, runs[-1][0])))
        runs = self.runs()
        if len(runs) > 1 and day == runs[-1][0]:
            covered += self.cover(set(range(runs[-2][-1] + 1, day)))
        return covered

    def cover(self, missed):
        if not missed or len(missed) > self.freezes:
            return False
        self.freezes -= len(missed)
        self.frozen |= missed
        return True

    def earned(self):
        return sum(self.length(run) // self.earn_every for run in self.runs()) if self.earn_every else 0

    def owed(self):
        return sum(owed(self.length(run), self.step, self.cap) for run in self.runs())


FREEZES = [
    pytest.param((1, 2, 0), id="given-only"),
    pytest.param((0, 3, 4), id="earned-only"),
    pytest.param((2, 3, 5), id="both"),
    pytest.param((0, 0, 2), id="none-can-be-kept"),
]


@pytest.fixture
def freezing(open_engine, freezes):
    initial, most, earn_every = freezes
    return open_engine(
        login_streak(
            bonus="{ xp_per_step = 4, max_xp = 30 }",
            freezes=f"{{ initial = {initial}, max = {most}, earn_every = {earn_every} }}",
        )
    )


@on_sqlite_alone
@pytest.mark.parametrize("freezes", FREEZES)
@given(days=st.lists(st.integers(0, 22), min_size=1, max_size=24))
@one_engine
def test_freezes_are_spent_earned_and_given_back_as_the_model_does(freezing, freezes, clock, days):
    model, user = Model(*freezes, 4, 30), f"user-{next(IDS)}"
    for day in days:
        assert story([log_in_on(freezing, clock, user, day)]) == model.log_in(day)
    shown = shown_on(freezing, clock, user, max(days))
    found = (shown.length, shown.longest, shown.freezes, freezing.profile(user).xp)
    assert found == (model.length(model.runs()[-1]), model.longest, model.freezes, model.xp)


@on_sqlite_alone
@pytest.mark.parametrize("freezes", FREEZES)
@given(days=st.lists(st.integers(0, 30), min_size=2, max_size=24, unique=True))
@one_engine
def test_a_late_day_never_shortens_a_streak_and_pays_what_the_runs_are_owed(freezing, freezes, clock, days):
    user, latest, before = f"user-{next(IDS)}", -1, (0, 0, 0)
    for day in days:
        log_in_on(freezing, clock, user, day)
        is_late, latest = day < latest, max(day, latest)
        shown = shown_on(freezing, clock, user, latest)
        now = (shown.length, shown.longest, freezing.profile(user).xp)
        assert now[1] >= before[1]
        assert now[2] >= before[2]
        assert now[0] >= before[0] or not is_late
        before = now


@pytest.mark.parametrize("freezes", FREEZES)
@given(
    late=st.lists(st.integers(0, 44), min_size=1, max_size=30),
    step=st.integers(2, 4),
    size=st.sampled_from([1, 6, 100]),
)
@one_engine
def test_runs_that_the_document_forgets_come_back_for_late_days(freezing, freezes, clock, late, step, size):
    model, user = Model(*freezes, 4, 30), f"user-{next(IDS)}"
    clock.now = max(clock.now, noon(44))
    days = [*range(0, 45, step), *late]
    events = [laurels.Event("user.login", user=user, id=str(n), time=noon(day)) for n, day in enumerate(days)]
    batches = [events[first : first + size] for first in range(0, len(events), size)]
    outcomes = [outcome for batch in batches for outcome in freezing.record(batch)]
    assert [story([outcome]) for outcome in outcomes] == [model.log_in(day) for day in days]
    assert freezing.profile(user).xp == model.xp
    assert freezing.profile(user).streaks["login"].longest == model.longest


def test_a_week_run_that_the_document_forgets_comes_back_for_a_late_week(open_engine):
    engine = open_engine(login_streak(every="week", bonus="{ xp_per_step = 7, max_xp = 50 }"))
    mondays = [date(2025, 1, 6) + timedelta(weeks=week) for week in range(0, 40, 2)]
    log_in(engine, *[day.isoformat() for day in mondays])
    assert engine.profile("ada").xp == 0
    late = log_in(engine, "2025-01-15", "2025-01-29")
    assert story(late) == ["3", "5"]
    assert streak_xp(late) == owed(5, 7, 50)


# --- 6.5 Bonus --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "cap", "totals"),
    [
        pytest.param(5, 100, [0, 10, 25, 45, 70, 100, 135], id="as-in-the-original"),
        pytest.param(7, 20, [0, 14, 34, 54, 74], id="capped-from-the-third-step"),
        pytest.param(9, 4, [0, 4, 8, 12], id="capped-from-the-second"),
        pytest.param(6, 12, [0, 12, 24, 36], id="cap-met-exactly"),
        pytest.param(0, 100, [0, 0, 0], id="none"),
    ],
)
def test_step_n_pays_n_times_xp_per_step_up_to_the_cap(open_engine, step, cap, totals):
    engine = open_engine(login_streak(bonus=f"{{ xp_per_step = {step}, max_xp = {cap} }}"))
    found = []
    for day in range(1, len(totals) + 1):
        log_in(engine, f"06-{day:02}")
        found.append(engine.profile("ada").xp)
    assert found == totals


def test_6_5_step_20_and_later_pay_100(open_engine):
    engine = open_engine(login_streak())
    outcomes = log_in(engine, *[(MARCH + timedelta(days=day)).isoformat() for day in range(23)])
    assert [streak_xp([outcome]) for outcome in outcomes[17:]] == [90, 95, 100, 100, 100, 100]


def test_without_a_cap_every_step_pays_more(open_engine):
    engine = open_engine(login_streak(bonus="{ xp_per_step = 50 }"))
    assert streak_xp(log_in(engine, "06-01", "06-02", "06-03")) == 250


# --- 6.6 Travel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        pytest.param(
            ("America/Los_Angeles", "03-11T03:00"), ("Asia/Tokyo", "03-12T00:00"), ["1", "2"], id="6g-east-over-a-label"
        ),
        pytest.param(
            ("America/Los_Angeles", "03-11T03:00"), ("Asia/Tokyo", "03-14T00:00"),
            ["1", "broken 1, missed 2, freezes 0", "1"], id="6g-east-and-two-days-missed",
        ),
        pytest.param(
            ("Asia/Tokyo", "03-11T00:00"), ("America/Los_Angeles", "03-12T03:00"), ["1"], id="6g-west-to-the-same-day"
        ),
        pytest.param(
            ("Pacific/Honolulu", "06-10T20:00"), ("Pacific/Auckland", "06-11T13:00"), ["1", "2"],
            id="east-over-a-label-that-the-old-zone-knows",
        ),
        pytest.param(
            ("Pacific/Honolulu", "06-10T20:00"), ("Pacific/Auckland", "06-12T13:00"),
            ["1", "broken 1, missed 1, freezes 0", "1"], id="the-smallest-of-three-gaps-counts",
        ),
        pytest.param(
            ("Pacific/Auckland", "06-11T13:00"), ("Pacific/Honolulu", "06-13T08:00"), ["1"], id="west-for-a-whole-day"
        ),
        pytest.param(
            ("Pacific/Auckland", "06-11T13:00"), ("Pacific/Honolulu", "06-13T10:00"), ["1", "2"],
            id="west-to-the-next-day",
        ),
        pytest.param(
            ("Pacific/Auckland", "06-11T13:00"), ("Pacific/Honolulu", "06-14T10:00"),
            ["1", "broken 1, missed 1, freezes 0", "1"], id="west-and-a-day-missed-by-every-clock",
        ),
        pytest.param(
            ("Europe/Berlin", "06-10T12:00"), ("Europe/Berlin", "06-12T12:00"),
            ["1", "broken 1, missed 1, freezes 0", "1"], id="no-travel-no-excuse",
        ),
    ],
)  # fmt: skip
def test_after_travel_a_day_is_missed_only_by_the_labels_and_both_zones(open_engine, first, then, expected):
    engine = open_engine(login_streak())
    outcomes = []
    for zone, time in (first, then):
        engine.user("ada").set(timezone=zone)
        outcomes += log_in(engine, time)
    assert story(outcomes) == expected


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        pytest.param((0, "06-10T12:00"), (12, "06-12T11:00"), ["1", "2"], id="a-later-day-start"),
        pytest.param((12, "06-10T11:00"), (0, "06-11T12:00"), ["1", "2"], id="an-earlier-day-start"),
        pytest.param((12, "06-10T11:00"), (0, "06-12T13:00"), ["1", "broken 1, missed 1, freezes 0", "1"], id="missed"),
    ],
)
def test_another_start_of_the_day_is_a_change_of_zone(open_engine, first, then, expected):
    engine = open_engine(login_streak())
    outcomes = []
    for hour, time in (first, then):
        engine.user("ada").set(day_starts_at=hour)
        outcomes += log_in(engine, time)
    assert story(outcomes) == expected


def test_freezes_cover_only_the_days_that_travel_leaves_missed(open_engine, clock):
    engine = open_engine(login_streak(freezes="{ initial = 1, max = 1 }"))
    engine.user("ada").set(timezone="Pacific/Honolulu")
    log_in(engine, "06-10T20:00")
    engine.user("ada").set(timezone="Pacific/Auckland")
    assert story(log_in(engine, "06-12T13:00")) == ["frozen", "2"]
    assert streak_of(engine, clock, "06-12T13:00").freezes == 0


FAR_APART = [
    "Pacific/Kiritimati",
    "Pacific/Auckland",
    "Asia/Kolkata",
    "Europe/Berlin",
    "America/St_Johns",
    "America/Los_Angeles",
    "Pacific/Honolulu",
    "Etc/GMT+12",
]


@on_sqlite_alone
@given(
    hops=st.lists(
        st.tuples(st.sampled_from(FAR_APART), st.sampled_from([0, 4, 12, 23]), st.integers(1, 20)),
        min_size=2,
        max_size=10,
    )
)
@one_engine
def test_no_travel_breaks_the_streak_of_who_comes_every_20_hours(plain, clock, hops):
    user, time = f"user-{next(IDS)}", at("03-27T10:00")
    for zone, hour, hours in hops:
        plain.user(user).set(timezone=zone, day_starts_at=hour)
        clock.now = time = time + timedelta(hours=hours)
        told = story([plain.record(laurels.Event("user.login", user=user, id=f"login-{next(IDS)}", time=time))])
        assert [part for part in told if part.startswith("broken")] == []
    clock.now = time + timedelta(hours=20)
    for zone, hour, _ in hops[:3]:
        plain.user(user).set(timezone=zone, day_starts_at=hour)
        assert plain.profile(user).streaks["login"].length > 0


def test_a_day_excused_by_travel_can_still_be_met_late(open_engine):
    engine = open_engine(login_streak())
    engine.user("ada").set(timezone="America/Los_Angeles")
    log_in(engine, "03-11T03:00")
    engine.user("ada").set(timezone="Asia/Tokyo")
    assert story(log_in(engine, "03-12T00:00", "03-11T10:00")) == ["2", "3"]


def test_an_old_run_keeps_what_travel_excused(open_engine):
    engine = open_engine(login_streak())
    engine.user("ada").set(timezone="America/Los_Angeles")
    log_in(engine, "03-11T03:00")
    engine.user("ada").set(timezone="Asia/Tokyo")
    log_in(engine, "03-12T00:00", *[f"04-{day:02}" for day in range(1, 30, 2)])
    assert story(log_in(engine, "03-13T00:00", "03-09T00:00")) == ["3", "4"]


def test_weeks_travel_like_days(open_engine):
    engine = open_engine(login_streak(every="week"))
    engine.user("ada").set(timezone="America/Los_Angeles")
    log_in(engine, "03-02T04:00")  # Sunday evening there: W09
    engine.user("ada").set(timezone="Asia/Tokyo")
    # Monday of W12 in Tokyo and Sunday of W11 in Los Angeles: two weeks by the labels, one by each of the zones.
    assert story(log_in(engine, "03-15T16:00")) == ["broken 1, missed 1, freezes 0", "1"]


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        pytest.param("Pacific/Apia", "2011-12-29T20:00", "2011-12-30T20:00", id="samoa-2011"),
        pytest.param("Pacific/Fakaofo", "2011-12-29T20:00", "2011-12-30T20:00", id="tokelau-2011"),
        pytest.param("Pacific/Kwajalein", "1993-08-20T20:00", "1993-08-21T20:00", id="kwajalein-1993"),
    ],
)
def test_a_day_of_no_length_is_not_missed_and_costs_no_freeze(open_engine, clock, zone, before, after):
    engine = open_engine(login_streak(freezes="{ initial = 2, max = 2 }"))
    engine.user("ada").set(timezone=zone)
    assert story(log_in(engine, before, after)) == ["1", "2"]
    assert streak_of(engine, clock, after).freezes == 2


# --- 6.7 Reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freezes", "now", "expected"),
    [
        pytest.param(0, "07-02T23:59:59", 2, id="on-the-day"),
        pytest.param(0, "07-03T23:59:59", 2, id="the-next-day-is-not-missed-yet"),
        pytest.param(0, "07-04T00:00", 0, id="one-whole-day-missed"),
        pytest.param(2, "07-05T23:59:59", 2, id="two-covered"),
        pytest.param(2, "07-06T00:00", 0, id="three-are-not"),
    ],
)
def test_the_length_is_shown_while_freezes_cover_the_whole_days_missed(open_engine, clock, freezes, now, expected):
    engine = open_engine(login_streak(freezes=f"{{ initial = {freezes}, max = 2 }}"))
    log_in(engine, "07-01", "07-02")
    shown = streak_of(engine, clock, now)
    assert (shown.length, shown.longest, shown.last_day, shown.freezes) == (expected, 2, "2026-07-02", freezes)


def test_reading_a_broken_streak_neither_breaks_it_nor_spends_a_freeze(open_engine, clock):
    engine = open_engine(login_streak(freezes="{ initial = 1, max = 1 }"))
    log_in(engine, "07-01", "07-02")
    assert [streak_of(engine, clock, day).length for day in ("07-04", "07-09", "07-04")] == [2, 0, 2]
    assert story(log_in(engine, "07-04")) == ["frozen", "3"]


def test_reading_goes_by_the_users_own_day(open_engine, clock):
    engine = open_engine(login_streak())
    engine.user("ada").set(timezone="America/New_York", day_starts_at=3)
    log_in(engine, "07-01")
    assert [streak_of(engine, clock, now).length for now in ("07-03T06:59", "07-03T07:00")] == [1, 0]


def test_a_day_of_no_length_is_not_missed_by_a_reader_either(open_engine, clock):
    engine = open_engine(login_streak())
    engine.user("ada").set(timezone="Pacific/Apia")
    log_in(engine, "2011-12-29T20:00")
    readings = [
        streak_of(engine, clock, now).length for now in ("2011-12-30T12:00", "2011-12-31T09:59", "2011-12-31T10:00")
    ]
    assert readings == [1, 1, 0]


def test_travel_does_not_make_a_reader_see_a_day_missed_that_no_event_would(open_engine, clock):
    engine = open_engine(login_streak())
    engine.user("ada").set(timezone="America/Los_Angeles")
    log_in(engine, "03-11T03:00")
    engine.user("ada").set(timezone="Asia/Tokyo")
    assert streak_of(engine, clock, "03-12T00:00").length == 1
    assert streak_of(engine, clock, "03-14T00:00").length == 0


def test_who_never_came_has_no_streak(open_engine):
    engine = open_engine(login_streak(freezes="{ initial = 2, max = 3 }"))
    engine.user("ada").set(timezone="UTC")
    shown = engine.profile("ada").streaks["login"]
    assert (shown.length, shown.longest, shown.last_day, shown.freezes) == (0, 0, None, 2)

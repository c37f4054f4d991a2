"""SEMANTICS 2: how often a rule pays, and when it pays again."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

import laurels
from tests.conftest import BASE, OpenEngine
from tests.semantics.telling import at, skipped, xp_paid

PAID = 10


def limited(limit: str, base: str = BASE) -> str:
    return base + f'[[rules]]\nid = "post"\non = "post.created"\nxp = {PAID}\nlimit = {{ {limit} }}\n'


def post(engine: laurels.Engine, time: str, user: str = "ada") -> str | None:
    """Post at a time: `paid`, or the reason it was not and when it would be."""
    outcome = engine.record(laurels.Event("post.created", user=user, id=f"post {time}", time=at(time)))
    if not outcome.skipped:
        assert xp_paid(outcome) == PAID
        return "paid"
    ((rule, reason, retry_at),) = skipped(outcome)
    assert (rule, outcome.changes) == ("post", ())
    return f"{reason}, {retry_at}"


# --- 2.1 Windows ------------------------------------------------------------------------------------------------------


def test_2a_a_day_of_23_hours_ends_when_it_ends(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day"'))
    engine.user("ada").set(timezone="Europe/Berlin")

    assert post(engine, "2026-03-29T00:30Z") == "paid"
    assert post(engine, "2026-03-29T21:30Z") == "limit_reached, 2026-03-29T22:00:00Z"
    assert post(engine, "2026-03-29T22:00Z") == "paid"


def test_2b_a_late_event_counts_in_its_own_day(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day"'))

    assert post(engine, "2026-03-02T10:00Z") == "paid"
    assert post(engine, "2026-03-02T09:00Z") == "limit_reached, 2026-03-03T00:00:00Z"
    assert post(engine, "2026-02-20T09:00Z") == "paid"


def test_2b_the_next_chance_lies_behind_days_that_are_used_already(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day"'))
    assert post(engine, "2026-03-03T10:00Z") == "paid"
    assert post(engine, "2026-03-02T10:00Z") == "paid"

    assert post(engine, "2026-03-02T09:00Z") == "limit_reached, 2026-03-04T00:00:00Z"


@pytest.mark.parametrize(
    ("per", "times"),
    [
        pytest.param(
            "week",
            [
                ("2026-03-01T23:00Z", "paid"),
                ("2026-03-02T01:00Z", "paid"),
                ("2026-03-08T12:00Z", "limit_reached, 2026-03-09T00:00:00Z"),
            ],
            id="2d-iso-weeks",
        ),
        pytest.param(
            "month",
            [("2026-01-31T09:00Z", "paid"), ("2026-01-31T10:00Z", "limit_reached, 2026-02-01T00:00:00Z")],
            id="2d-a-month-that-ends",
        ),
        pytest.param(
            "month",
            [
                ("2024-02-01T00:00Z", "paid"),
                ("2024-02-29T23:59:59.999999Z", "limit_reached, 2024-03-01T00:00:00Z"),
                ("2024-03-01T00:00Z", "paid"),
            ],
            id="february-of-a-leap-year",
        ),
        pytest.param(
            "hour",
            [
                ("2026-05-05T10:59:59.999999Z", "paid"),
                ("2026-05-05T11:00:00Z", "paid"),
                ("2026-05-05T11:30:00Z", "limit_reached, 2026-05-05T12:00:00Z"),
                ("2026-05-05T10:00:00Z", "limit_reached, 2026-05-05T12:00:00Z"),
            ],
            id="clock-hours",
        ),
        pytest.param(
            "week",
            [
                ("2025-12-28T23:00Z", "paid"),
                ("2025-12-29T00:00Z", "paid"),
                ("2026-01-04T23:00Z", "limit_reached, 2026-01-05T00:00:00Z"),
            ],
            id="the-week-that-holds-new-year",
        ),
        pytest.param(
            "ever",
            [
                ("2026-05-05T10:00Z", "paid"),
                ("2026-06-05T10:00Z", "limit_reached, None"),
                ("1999-01-01T00:00Z", "limit_reached, None"),
            ],
            id="ever",
        ),
    ],
)
def test_2d_uses_are_counted_in_the_window_of_the_events_own_time(open_engine: OpenEngine, per, times):
    engine = open_engine(limited(f'times = 1, per = "{per}"'))

    for time, expected in times:
        assert (time, post(engine, time)) == (time, expected)


def test_an_hour_is_the_utc_clock_hour_also_where_clocks_differ_by_45_minutes(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "hour"'))
    engine.user("ada").set(timezone="Asia/Kathmandu")  # UTC+05:45

    assert post(engine, "2026-05-05T10:05Z") == "paid"
    assert post(engine, "2026-05-05T10:50Z") == "limit_reached, 2026-05-05T11:00:00Z"


@pytest.mark.parametrize(
    ("per", "zone", "starts", "before", "first", "retry_at"),
    [
        pytest.param("day", "UTC", 4, "2026-03-02T03:59Z", "2026-03-02T04:00Z", "2026-03-03T04:00:00Z", id="day-at-4"),
        pytest.param(
            "week", "UTC", 4, "2026-03-02T03:59Z", "2026-03-02T04:00Z", "2026-03-09T04:00:00Z", id="week-at-4"
        ),
        pytest.param(
            "month", "UTC", 4, "2026-03-01T03:59Z", "2026-03-01T04:00Z", "2026-04-01T04:00:00Z", id="month-at-4"
        ),
        pytest.param(
            "day",
            "America/New_York",
            0,
            "2026-11-01T03:59Z",
            "2026-11-01T04:00Z",
            "2026-11-02T05:00:00Z",
            id="a-day-of-25-hours",
        ),
        pytest.param(
            "month",
            "Asia/Tokyo",
            0,
            "2026-02-28T14:59Z",
            "2026-02-28T15:00Z",
            "2026-03-31T15:00:00Z",
            id="month-in-tokyo",
        ),
    ],
)
def test_days_weeks_and_months_are_the_recipients_own(
    open_engine: OpenEngine, per, zone, starts, before, first, retry_at
):
    engine = open_engine(limited(f'times = 1, per = "{per}"'))
    engine.user("ada").set(timezone=zone, day_starts_at=starts)

    assert post(engine, before) == "paid"
    assert post(engine, first) == "paid"
    assert post(engine, first.replace("Z", ":01Z")) == f"limit_reached, {retry_at}"


def test_the_zone_that_counts_is_the_recipients_and_not_the_actors(open_engine: OpenEngine):
    engine = open_engine(
        BASE + '[[rules]]\nid = "liked"\non = "like"\nto = "data.author"\nxp = 2\nlimit = { times = 1, per = "day" }\n'
    )
    engine.user("ada").set(timezone="Asia/Tokyo")
    engine.user("bob").set(timezone="America/Los_Angeles")

    def like(number: int, time: str) -> list[tuple[str, str, str | None]]:
        event = laurels.Event("like", user="bob", id=f"l{number}", time=at(time), data={"author": "ada"})
        return skipped(engine.record(event))

    assert like(1, "2026-05-05T14:30Z") == []
    assert like(2, "2026-05-05T14:59Z") == [("liked", "limit_reached", "2026-05-05T15:00:00Z")]
    assert like(3, "2026-05-05T15:00Z") == []


def test_uses_are_counted_for_each_recipient_and_each_rule(open_engine: OpenEngine):
    engine = open_engine(
        limited('times = 1, per = "day"')
        + '[[rules]]\nid = "twice"\non = "post.created"\nxp = 1\nlimit = { times = 2, per = "day" }\n'
    )

    def xp_of(user: str, number: int) -> int:
        return xp_paid(engine.record(laurels.Event("post.created", user=user, id=f"p{number}")))

    assert [xp_of("ada", n) for n in range(3)] == [11, 1, 0]
    assert [xp_of("bob", n) for n in range(3)] == [11, 1, 0]


def test_several_uses_fit_in_a_window(open_engine: OpenEngine):
    engine = open_engine(limited('times = 3, per = "day"'))

    days = ["2026-05-05T00:00Z", "2026-05-05T23:59Z", "2026-05-05T12:00Z", "2026-05-05T13:00Z", "2026-05-06T00:00Z"]

    assert [post(engine, day) for day in days] == [
        "paid",
        "paid",
        "paid",
        "limit_reached, 2026-05-06T00:00:00Z",
        "paid",
    ]


def test_2e_the_same_day_label_met_again_after_moving_west_gives_no_second_credit(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day"'))
    engine.user("ada").set(timezone="Asia/Tokyo")
    assert post(engine, "2026-03-10T20:00Z") == "paid"

    engine.user("ada").set(timezone="America/Los_Angeles")

    assert post(engine, "2026-03-11T16:00Z") == "limit_reached, 2026-03-12T07:00:00Z"
    assert post(engine, "2026-03-12T07:00Z") == "paid"


def test_moving_east_loses_no_day(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day"'))
    engine.user("ada").set(timezone="Pacific/Honolulu")
    assert post(engine, "2026-03-11T09:00Z") == "paid"  # The 10th there.

    engine.user("ada").set(timezone="Pacific/Auckland")

    assert post(engine, "2026-03-11T09:30Z") == "paid"  # The 11th there.
    assert post(engine, "2026-03-11T11:00Z") == "paid"  # The 12th.


# --- 2.2 Cooldowns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param("2026-05-05T12:09:59Z", "cooldown, 2026-05-05T12:10:00Z", id="2c-a-second-too-soon"),
        pytest.param("2026-05-05T12:10:00Z", "paid", id="2c-exactly-the-cooldown-after"),
        pytest.param("2026-05-05T11:55:00Z", "cooldown, 2026-05-05T12:10:00Z", id="2c-late-and-too-soon-before"),
        pytest.param("2026-05-05T11:50:00Z", "paid", id="2c-exactly-the-cooldown-before"),
        pytest.param("2026-05-05T12:00:00Z", "cooldown, 2026-05-05T12:10:00Z", id="the-same-instant"),
        pytest.param("2026-05-05T12:09:59.999999Z", "cooldown, 2026-05-05T12:10:00Z", id="a-microsecond-too-soon"),
        pytest.param("2026-05-05T11:50:00.000001Z", "cooldown, 2026-05-05T12:10:00Z", id="a-microsecond-too-late"),
        pytest.param("2026-05-04T12:00:00Z", "paid", id="a-day-before"),
    ],
)
def test_2c_a_use_blocks_the_cooldown_on_both_sides(open_engine: OpenEngine, time, expected):
    engine = open_engine(limited('cooldown = "10m"'))
    engine.record(laurels.Event("post.created", user="ada", id="first", time=at("2026-05-05T12:00:00Z")))

    assert post(engine, time) == expected


def test_a_late_event_between_two_uses_has_to_fit_between_them(open_engine: OpenEngine):
    engine = open_engine(limited('cooldown = "30m"'))
    assert [post(engine, f"2026-05-05T{time}Z") for time in ("10:00", "10:50", "12:00")] == ["paid"] * 3

    assert post(engine, "2026-05-05T10:25Z") == "cooldown, 2026-05-05T11:20:00Z"
    assert post(engine, "2026-05-05T11:20Z") == "paid"
    assert post(engine, "2026-05-05T11:40Z") == "cooldown, 2026-05-05T12:30:00Z"


def test_a_cooldown_goes_over_the_end_of_a_day(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day", cooldown = "2h"'))
    assert post(engine, "2026-05-05T23:00Z") == "paid"

    assert post(engine, "2026-05-06T00:30Z") == "cooldown, 2026-05-06T01:00:00Z"
    assert post(engine, "2026-05-06T01:00Z") == "paid"


# --- 2.3 When it can be earned again ----------------------------------------------------------------------------------


def test_retry_at_passes_limit_and_cooldown_both(open_engine: OpenEngine):
    engine = open_engine(limited('times = 2, per = "day", cooldown = "3h"'))
    for time in ("2026-05-05T20:00Z", "2026-05-05T23:30Z"):
        assert post(engine, time) == "paid"

    # Midnight frees the day, but the cooldown lasts until 02:30.
    assert post(engine, "2026-05-05T23:45Z") == "cooldown, 2026-05-06T02:30:00Z"
    # Nothing is near at 10:00, but the day is full until midnight.
    assert post(engine, "2026-05-05T10:00Z") == "limit_reached, 2026-05-06T02:30:00Z"


def test_retry_at_steps_over_every_use_that_is_known(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day", cooldown = "5h"'))
    for time in ("2026-05-05T12:00Z", "2026-05-06T04:00Z", "2026-05-07T23:00Z"):
        assert post(engine, time) == "paid"

    # Full: the 5th, 6th and 7th. On the 8th the use at 23:00 blocks until 04:00.
    assert post(engine, "2026-05-05T02:00Z") == "limit_reached, 2026-05-08T04:00:00Z"


def test_retry_at_in_the_past_means_now(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day"'))
    post(engine, "2019-05-05T12:00Z")

    assert post(engine, "2019-05-05T13:00Z") == "limit_reached, 2019-05-06T00:00:00Z"


@pytest.mark.parametrize("limit", ['times = 1, per = "ever"', 'times = 1, per = "ever", cooldown = "1h"'])
def test_retry_at_is_null_for_ever(open_engine: OpenEngine, limit):
    engine = open_engine(limited(limit))
    post(engine, "2026-05-05T12:00Z")

    assert post(engine, "2026-05-06T12:00Z") == "limit_reached, None"


def test_retry_at_is_null_where_a_cooldown_hides_a_limit_for_ever(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "ever", cooldown = "1h"'))
    post(engine, "2026-05-05T12:00Z")

    assert post(engine, "2026-05-05T12:30Z") == "cooldown, None"


# --- 2.4 Exact at any age ---------------------------------------------------------------------------------------------


def test_a_use_many_windows_back_still_counts(open_engine: OpenEngine):
    """The user's document keeps eight days; what came before is read from the journal."""
    engine = open_engine(limited('times = 1, per = "day"'))
    for day in range(1, 31):
        if day not in (4, 5):
            assert post(engine, f"2026-04-{day:02}T12:00Z") == "paid"

    assert post(engine, "2026-04-02T08:00Z") == "limit_reached, 2026-04-04T00:00:00Z"
    assert post(engine, "2026-04-04T08:00Z") == "paid"
    assert post(engine, "2026-04-04T09:00Z") == "limit_reached, 2026-04-05T00:00:00Z"
    assert post(engine, "2026-04-05T09:00Z") == "paid"
    assert post(engine, "2026-04-05T10:00Z") == "limit_reached, 2026-05-01T00:00:00Z"
    assert post(engine, "2026-03-31T10:00Z") == "paid"


def test_a_cooldown_many_uses_back_still_counts(open_engine: OpenEngine):
    engine = open_engine(limited('cooldown = "10m"'))
    for hour in range(24):
        assert post(engine, f"2026-04-01T{hour:02}:00Z") == "paid"

    assert post(engine, "2026-04-01T02:05Z") == "cooldown, 2026-04-01T02:10:00Z"
    assert post(engine, "2026-04-01T02:55Z") == "cooldown, 2026-04-01T03:10:00Z"
    assert post(engine, "2026-04-01T02:30Z") == "paid"
    assert post(engine, "2026-04-01T02:25Z") == "cooldown, 2026-04-01T02:40:00Z"


def test_answers_about_the_past_are_the_same_in_one_batch(open_engine: OpenEngine):
    engine = open_engine(limited('times = 1, per = "day"'))
    days = [f"2026-04-{day:02}T12:00Z" for day in range(1, 21)]
    late = ["2026-04-01T13:00Z", "2026-03-01T13:00Z", "2026-04-05T13:00Z"]

    outcomes = engine.record(
        [laurels.Event("post.created", user="ada", id=time, time=at(time)) for time in [*days, *late]]
    )

    assert [xp_paid(outcome) for outcome in outcomes] == [PAID] * 20 + [0, PAID, 0]
    assert skipped(outcomes[-3]) == [("post", "limit_reached", "2026-04-21T00:00:00Z")]


BERLIN = ZoneInfo("Europe/Berlin")
HALF_HOUR = timedelta(minutes=30)
LABELS = {
    "hour": lambda time: time.replace(minute=0),
    "day": lambda time: time.astimezone(BERLIN).date(),
    "week": lambda time: time.astimezone(BERLIN).isocalendar()[:2],
    "month": lambda time: (time.astimezone(BERLIN).year, time.astimezone(BERLIN).month),
}


@pytest.mark.parametrize(
    ("per", "days", "times", "cooldown"),
    [
        pytest.param("hour", 4, 1, timedelta(0), id="one-an-hour"),
        pytest.param("hour", 3, 2, timedelta(hours=4), id="two-an-hour-hours-apart"),
        pytest.param("day", 21, 1, timedelta(0), id="one-a-day"),
        pytest.param("day", 21, 2, timedelta(hours=5), id="two-a-day-hours-apart"),
        pytest.param("day", 40, 3, timedelta(hours=30), id="a-cooldown-longer-than-the-day"),
        pytest.param("week", 100, 2, timedelta(days=2), id="two-a-week-days-apart"),
        pytest.param("month", 400, 3, timedelta(days=6), id="three-a-month-days-apart"),
        pytest.param("month", 400, 1, timedelta(0), id="one-a-month"),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_stream_in_any_order_meets_a_limit_like_a_list_of_all_uses(
    open_engine: OpenEngine, per, days, times, cooldown, seed
):
    """Half hours of a span that holds a change of clocks, in any order and in batches, against the plain definition."""
    dice = random.Random(seed)
    cooldown_text = f', cooldown = "{cooldown // timedelta(hours=1)}h"' if cooldown else ""
    engine = open_engine(limited(f'times = {times}, per = "{per}"{cooldown_text}'))
    engine.user("ada").set(timezone="Europe/Berlin")
    start = datetime(2025, 10, 20, tzinfo=UTC)
    asked = [start + HALF_HOUR * dice.randrange(days * 48) for _ in range(120)]
    events = [laurels.Event("post.created", user="ada", id=str(number), time=time) for number, time in enumerate(asked)]

    outcomes = []
    while len(outcomes) < len(events):
        size = dice.choice([1, 1, 2, 7])
        outcomes += engine.record(events[len(outcomes) : len(outcomes) + size])

    label = LABELS[per]
    span = [start + HALF_HOUR * number for number in range((days + 60) * 48)]
    starts = [after for before, after in pairwise(span) if label(before) != label(after)]
    uses: list[datetime] = []

    def is_allowed(time: datetime) -> bool:
        in_window = sum(label(use) == label(time) for use in uses)
        return in_window < times and all(abs(use - time) >= cooldown for use in uses)

    for time, outcome in zip(asked, outcomes, strict=True):
        if is_allowed(time):
            uses.append(time)
            assert (outcome.event_id, outcome.skipped) == (outcome.event_id, ())
        else:
            later = sorted({*starts, *(use + cooldown for use in uses)})
            expected = next(candidate for candidate in later if candidate > time and is_allowed(candidate))
            assert (outcome.event_id, [skip.retry_at for skip in outcome.skipped]) == (outcome.event_id, [expected])

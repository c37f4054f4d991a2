"""SEMANTICS 14: which times are accepted, and what they mean."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest

import laurels
from laurels.core.periods import parse_instant, to_datetime
from tests.conftest import BASE, NOW, Clock, OpenEngine
from tests.semantics.telling import at, told

CATALOG = (
    BASE
    + """
[[rules]]
id = "post"
on = "post.created"
xp = 1
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily"]
"""
)


@pytest.fixture
def engine(open_engine: OpenEngine) -> laurels.Engine:
    return open_engine(CATALOG)


def post(time: datetime | None, number: int = 1) -> laurels.Event:
    return laurels.Event("post.created", user="ada", id=f"p{number}", time=time)


def code_of(attempt, *arguments) -> str:
    with pytest.raises(laurels.LaurelsError) as refusal:
        attempt(*arguments)
    return refusal.value.code


def recorded_time(engine: laurels.Engine) -> datetime:
    return engine.user("ada").ledger()[0].time


# --- 14.1 Times -------------------------------------------------------------------------------------------------------


def test_without_a_time_it_is_the_time_of_recording(engine: laurels.Engine, clock: Clock):
    clock.now = at("2026-05-05T10:11:12.131415Z")

    engine.record(post(None))

    assert recorded_time(engine) == clock.now


def test_commands_happen_when_they_are_recorded(engine: laurels.Engine, clock: Clock):
    clock.now = at("2026-05-05T10:11:12Z")

    engine.award_xp("ada", 5, request_id="r1")

    assert recorded_time(engine) == clock.now


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(datetime(2026, 3, 1, 10, 0), id="14a-no-zone"),  # noqa: DTZ001
        pytest.param(datetime(1969, 1, 1), id="no-zone-and-too-early"),  # noqa: DTZ001
        pytest.param(datetime(2400, 1, 1), id="no-zone-and-in-the-future"),  # noqa: DTZ001
    ],
)
def test_14a_a_time_without_zone_is_refused(engine: laurels.Engine, time):
    assert code_of(engine.record, post(time)) == "naive_time"


class _NoOffset(tzinfo):
    def utcoffset(self, when: datetime | None) -> None:
        return None


def test_a_zone_that_knows_no_offset_is_no_zone(engine: laurels.Engine):
    assert code_of(engine.record, post(datetime(2026, 3, 1, tzinfo=_NoOffset()))) == "naive_time"


@pytest.mark.parametrize("time", ["2026-03-01T10:00:00Z", 1_772_359_200, at("2026-03-01T10:00Z").date(), True, "now"])
def test_what_is_no_time_is_refused(engine: laurels.Engine, time):
    with pytest.raises(laurels.InvalidInput):
        engine.record(post(time))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z", id="14a-second-60"),
        pytest.param("2016-12-31T23:59:60.75Z", "2016-12-31T23:59:59.999999Z", id="second-60-and-a-fraction"),
        pytest.param("2017-01-01T00:59:60+01:00", "2016-12-31T23:59:59.999999Z", id="second-60-elsewhere"),
        pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z", id="utc"),
        pytest.param("2026-03-01t10:00:00z", "2026-03-01T10:00:00Z", id="small-letters"),
        pytest.param("2026-03-01T10:00:00+05:45", "2026-03-01T04:15:00Z", id="east"),
        pytest.param("2026-03-01T10:00:00-11:30", "2026-03-01T21:30:00Z", id="west"),
        pytest.param("2026-03-01T10:00:00-00:00", "2026-03-01T10:00:00Z", id="unknown-local-offset"),
        pytest.param("2026-03-01T10:00:00.1234567Z", "2026-03-01T10:00:00.123456Z", id="finer-is-cut"),
        pytest.param("2026-03-01T10:00:00.9999999999Z", "2026-03-01T10:00:00.999999Z", id="cut-and-not-rounded"),
        pytest.param("2026-03-01T10:00:00.5Z", "2026-03-01T10:00:00.5Z", id="one-digit"),
        pytest.param("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z", id="cut-before-1970"),
    ],
)
def test_14a_rfc_3339_is_read_to_the_microsecond(text, expected):
    assert to_datetime(parse_instant(text)) == at(expected)


@pytest.mark.parametrize("text", ["2026-03-01T10:00:00", "2016-12-31T23:59:60"])
def test_14a_a_text_without_offset_names_no_instant(text):
    with pytest.raises(ValueError, match="no UTC offset"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "2026-03-01T10:00Z",
        "2026-02-30T10:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T10:00:61Z",
        "2026-03-01T10:00:00+24:00",
        "2026-03-01T10:00:00 Z",
        "20260301T100000Z",
        "",
    ],
)
def test_what_is_not_rfc_3339_is_no_time(text):
    with pytest.raises(ValueError, match="is not a"):
        parse_instant(text)


def test_14a_a_leap_second_falls_on_the_day_that_it_ends(engine: laurels.Engine):
    engine.record(post(to_datetime(parse_instant("2016-12-31T23:59:60Z"))))

    assert [row.score for row in engine.leaderboard("xp", period="daily", at="2016-12-31").top()] == [1]
    assert engine.leaderboard("xp", period="daily", at="2017-01-01").top() == []


def test_any_offset_means_the_same_instant(engine: laurels.Engine):
    engine.record(post(datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-9, minutes=-30)))))

    assert recorded_time(engine) == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert engine.leaderboard("xp", period="daily", at="2026-03-02").total == 1


def test_an_offset_with_seconds_is_an_instant_too(engine: laurels.Engine):
    local_mean_time = timezone(timedelta(minutes=53, seconds=28))

    engine.record(post(datetime(1970, 1, 1, 1, 0, tzinfo=local_mean_time)))

    assert recorded_time(engine) == datetime(1970, 1, 1, 0, 6, 32, tzinfo=UTC)


# --- 14.2 The range ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        pytest.param(timedelta(minutes=4), "applied", id="14a-four-minutes"),
        pytest.param(timedelta(minutes=5), "applied", id="exactly-five-minutes"),
        pytest.param(timedelta(minutes=5, microseconds=1), "time_in_future", id="a-microsecond-more"),
        pytest.param(timedelta(minutes=6), "time_in_future", id="14a-six-minutes"),
        pytest.param(timedelta(days=365_000), "time_in_future", id="a-thousand-years"),
    ],
)
def test_14a_the_future_is_refused_beyond_five_minutes(engine: laurels.Engine, ahead, expected):
    event = post(NOW + ahead)

    if expected == "applied":
        assert engine.record(event).status == "applied"
        assert recorded_time(engine) == NOW + ahead
    else:
        assert code_of(engine.record, event) == expected


def test_the_future_is_measured_in_instants_and_not_by_the_clock_on_the_wall(engine: laurels.Engine):
    east = timezone(timedelta(hours=14))

    assert engine.record(post(NOW.astimezone(east))).status == "applied"
    assert code_of(engine.record, post(NOW.replace(tzinfo=timezone(timedelta(hours=-1))), 2)) == "time_in_future"


def test_what_was_in_the_future_can_be_sent_again_later(engine: laurels.Engine, clock: Clock):
    event = post(NOW + timedelta(hours=1))
    assert code_of(engine.record, event) == "time_in_future"

    clock.advance(minutes=55)

    assert engine.record(event).status == "applied"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param("1969-12-31T23:59:59Z", "time_too_early", id="14a-a-second-before-1970"),
        pytest.param("1969-12-31T23:59:59.999999Z", "time_too_early", id="a-microsecond-before-1970"),
        pytest.param("1970-01-01T00:30:00+01:00", "time_too_early", id="1970-by-the-wall-and-1969-in-utc"),
        pytest.param("0001-01-01T00:00:00+14:00", "invalid_time", id="before-the-first-year"),
        pytest.param("1970-01-01T00:00:00Z", "applied", id="the-first-instant"),
        pytest.param("1969-12-31T19:00:00-05:00", "applied", id="1969-by-the-wall-and-1970-in-utc"),
        pytest.param("1999-12-31T23:59:59Z", "applied", id="long-ago"),
    ],
)
def test_14a_nothing_is_older_than_1970(engine: laurels.Engine, time, expected):
    event = post(at(time))

    if expected == "applied":
        assert told(engine.record(event)) == ["xp +1 = 1 by post"]
        assert recorded_time(engine) == at(time)
    else:
        assert code_of(engine.record, event) == expected


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati", "Asia/Kathmandu"])
def test_the_first_and_the_last_instant_fall_on_a_day_in_every_zone(engine: laurels.Engine, zone):
    engine.user("ada").set(timezone=zone, day_starts_at=23)

    for number, time in enumerate((datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(minutes=5))):
        assert engine.record(post(time, number)).status == "applied"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param(NOW + timedelta(minutes=6), "time_in_future", id="in-the-future"),
        pytest.param(datetime(1969, 12, 31, tzinfo=UTC), "time_too_early", id="too-early"),
        pytest.param(datetime(2026, 3, 1), "naive_time", id="naive"),  # noqa: DTZ001
    ],
)
def test_one_time_that_is_refused_refuses_the_whole_batch_and_says_which(engine: laurels.Engine, time, expected):
    batch = [post(NOW, 1), post(NOW - timedelta(days=1), 2), post(time, 3), post(NOW, 4)]

    with pytest.raises(laurels.InvalidInput, match=r"\[2\]") as refusal:
        engine.record(batch)

    assert refusal.value.code == expected
    assert list(engine.users()) == []
    assert {outcome.status for outcome in engine.record([*batch[:2], batch[3]])} == {"applied"}


def test_late_events_count_where_they_belong(engine: laurels.Engine):
    """P1: the own time places them, in any order of arrival."""
    for number, day in enumerate(("2026-03-05", "2026-03-01", "2019-07-31", "2026-03-05")):
        engine.record(post(at(f"{day}T12:00Z"), number))

    boards = {
        day: [row.score for row in engine.leaderboard("xp", period="daily", at=day).top()]
        for day in ("2026-03-05", "2026-03-01", "2019-07-31", "2026-11-22")
    }
    assert boards == {"2026-03-05": [2], "2026-03-01": [1], "2019-07-31": [1], "2026-11-22": []}

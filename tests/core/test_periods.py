"""Local days, weeks, months and their keys: the worked examples, and laws that hold in every IANA zone."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurels.core.periods import (
    NaiveTime,
    day_start,
    first_day_of_month,
    first_day_of_week,
    format_instant,
    from_datetime,
    is_empty_day,
    local_day,
    month_of_day,
    parse_instant,
    parse_period_key,
    period_bounds,
    period_key,
    period_label,
    to_datetime,
    week_of_day,
    window_label,
    window_start,
    zone_exists,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3_600 * SECOND
ZONES = sorted(name for name in available_timezones() if zone_exists(name))

zones = st.sampled_from(ZONES)
day_starts = st.integers(0, 23)
instants = st.integers(parse_instant("1969-01-01T00:00:00Z"), parse_instant("2100-01-01T00:00:00Z"))
days = st.integers(-2, 47_000)  # 1969-12-30 is where instant 0 falls far in the west when days start at 23
kinds = st.sampled_from(["daily", "weekly", "monthly"])


def day_of(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def date_of(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def date_shown(at: int, zone: str, day_starts_at: int) -> date:
    """The date on the zone's clock, had it been set back by the hours at which the day starts."""
    return (to_datetime(at).astimezone(ZoneInfo(zone)) - timedelta(hours=day_starts_at)).date()


# --- Local days: the worked examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "zone", "day_starts_at", "starts", "ends"),
    [
        pytest.param(
            "2026-03-29", "Europe/Berlin", 0, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", id="6a-23-hours"
        ),
        pytest.param(
            "2026-10-25", "Europe/Berlin", 0, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", id="6a-25-hours"
        ),
        pytest.param("2026-03-28", "Europe/Berlin", 4, "2026-03-28T03:00:00Z", "2026-03-29T02:00:00Z", id="6a-from-4"),
        pytest.param(
            "2026-03-29", "Europe/Berlin", 2, "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", id="starts-in-a-gap"
        ),
        pytest.param(
            "2026-10-25", "Europe/Berlin", 2, "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z", id="starts-in-a-fold"
        ),
        pytest.param(
            "2010-11-07",
            "America/St_Johns",
            0,
            "2010-11-07T02:30:00Z",
            "2010-11-08T03:30:00Z",
            id="set-back-over-midnight",
        ),
        pytest.param(
            "2018-11-04", "America/Sao_Paulo", 0, "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z", id="midnight-skipped"
        ),
        pytest.param(
            "2011-12-29", "Pacific/Apia", 0, "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", id="before-no-day"
        ),
        pytest.param("2011-12-30", "Pacific/Apia", 0, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", id="no-day"),
        pytest.param(
            "2011-12-30", "Pacific/Apia", 4, "2011-12-30T10:00:00Z", "2011-12-30T14:00:00Z", id="four-hours-of-no-day"
        ),
        pytest.param(
            "1972-01-07", "Africa/Monrovia", 0, "1972-01-07T00:44:30Z", "1972-01-08T00:00:00Z", id="offset-of-seconds"
        ),
    ],
)
def test_a_day_lasts_from_the_first_instant_that_shows_it_to_the_next_day(day, zone, day_starts_at, starts, ends):
    label = day_of(day)
    assert (
        format_instant(day_start(label, zone, day_starts_at)),
        format_instant(day_start(label + 1, zone, day_starts_at)),
    ) == (starts, ends)


@pytest.mark.parametrize(
    ("at", "zone", "day_starts_at", "expected"),
    [
        pytest.param("2010-11-07T02:29:59Z", "America/St_Johns", 0, "2010-11-06", id="6a-23:59-for-the-first-time"),
        pytest.param("2010-11-07T02:45:00Z", "America/St_Johns", 0, "2010-11-07", id="6a-23:15-for-the-second-time"),
        pytest.param("2011-12-30T09:59:59.999999Z", "Pacific/Apia", 0, "2011-12-29", id="last-before-the-date-line"),
        pytest.param("2011-12-30T10:00:00Z", "Pacific/Apia", 0, "2011-12-31", id="first-past-the-date-line"),
        pytest.param("2011-12-30T10:00:00Z", "Pacific/Apia", 4, "2011-12-30", id="past-the-date-line-before-4"),
        pytest.param("1970-01-01T00:00:00Z", "America/Los_Angeles", 0, "1969-12-31", id="west-of-the-epoch"),
        pytest.param("1966-03-01T12:00:00Z", "Africa/Monrovia", 0, "1966-03-01", id="before-1970"),
        pytest.param("2026-03-10T20:00:00Z", "Asia/Tokyo", 0, "2026-03-11", id="2e-Tokyo"),
        pytest.param("2026-03-11T16:00:00Z", "America/Los_Angeles", 0, "2026-03-11", id="2e-Los-Angeles"),
        pytest.param("2016-12-31T23:59:60Z", "UTC", 0, "2016-12-31", id="14a-leap-second"),
    ],
)
def test_an_instant_falls_on_one_local_day(at, zone, day_starts_at, expected):
    assert period_key("daily", local_day(parse_instant(at), zone, day_starts_at)) == expected


@pytest.mark.parametrize(
    ("at", "day_starts_at", "expected"),
    [
        pytest.param("2026-03-02T01:00:00Z", 4, "2026-W09", id="6a-Monday-2:00-is-still-Sunday"),
        pytest.param("2026-03-02T03:00:00Z", 4, "2026-W10", id="Monday-4:00"),
        pytest.param("2027-01-01T12:00:00Z", 0, "2026-W53", id="6a-New-Year-in-the-old-week"),
        pytest.param("2024-12-30T12:00:00Z", 0, "2025-W01", id="old-year-in-the-new-week"),
    ],
)
def test_a_week_is_the_iso_week_of_the_local_day(at, day_starts_at, expected):
    day = local_day(parse_instant(at), "Europe/Berlin", day_starts_at)
    assert period_key("weekly", period_label("weekly", day)) == expected


@pytest.mark.parametrize(
    ("day", "zone", "day_starts_at", "expected"),
    [
        pytest.param("2011-12-29", "Pacific/Apia", 0, False, id="Apia-before"),
        pytest.param("2011-12-30", "Pacific/Apia", 0, True, id="Apia-skipped"),
        pytest.param("2011-12-30", "Pacific/Apia", 4, False, id="Apia-skipped-but-four-hours"),
        pytest.param("2011-12-31", "Pacific/Apia", 0, False, id="Apia-after"),
        pytest.param("1993-08-21", "Pacific/Kwajalein", 0, True, id="Kwajalein-skipped"),
        pytest.param("2026-03-29", "Europe/Berlin", 0, False, id="23-hours"),
    ],
)
def test_only_a_date_the_zone_skipped_is_an_empty_day(day, zone, day_starts_at, expected):
    assert is_empty_day(day_of(day), zone, day_starts_at) is expected


# --- Windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "at", "zone", "expected"),
    [
        pytest.param("day", "2026-03-29T21:30:00Z", "Europe/Berlin", "2026-03-29T22:00:00Z", id="2a-a-23-hour-day"),
        pytest.param("day", "2026-03-02T09:00:00Z", "UTC", "2026-03-03T00:00:00Z", id="2b"),
        pytest.param("week", "2026-03-01T23:00:00Z", "UTC", "2026-03-02T00:00:00Z", id="2d-Sunday"),
        pytest.param("week", "2026-03-08T12:00:00Z", "UTC", "2026-03-09T00:00:00Z", id="2d-next-Sunday"),
        pytest.param("month", "2026-01-31T12:00:00Z", "UTC", "2026-02-01T00:00:00Z", id="2d-month"),
        pytest.param("month", "2026-12-31T12:00:00Z", "UTC", "2027-01-01T00:00:00Z", id="over-new-year"),
        pytest.param("day", "2026-03-11T16:00:00Z", "America/Los_Angeles", "2026-03-12T07:00:00Z", id="2e"),
        pytest.param("day", "2011-12-29T12:00:00Z", "Pacific/Apia", "2011-12-30T10:00:00Z", id="empty-day-follows"),
        pytest.param(
            "hour", "2026-03-01T10:59:59Z", "Asia/Kolkata", "2026-03-01T11:00:00Z", id="hours-are-those-of-utc"
        ),
    ],
)
def test_the_next_window_starts_where_this_one_ends(window, at, zone, expected):
    label = window_label(window, parse_instant(at), zone, 0)
    assert format_instant(window_start(window, label + 1, zone, 0)) == expected


def test_ever_is_one_window_without_a_start():
    assert {
        window_label("ever", parse_instant(at), "UTC", 0) for at in ("1970-01-01T00:00:00Z", "2026-03-01T10:00:00Z")
    } == {0}
    with pytest.raises(ValueError, match="neither start nor end"):
        window_start("ever", 0, "UTC", 0)


@given(st.sampled_from(["hour", "day", "week", "month"]), instants, zones, day_starts)
def test_every_instant_lies_inside_its_window(window, at, zone, day_starts_at):
    label = window_label(window, at, zone, day_starts_at)
    assert window_start(window, label, zone, day_starts_at) <= at < window_start(window, label + 1, zone, day_starts_at)


# --- Periods and their keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "key", "zone", "day_starts_at", "starts", "ends"),
    [
        pytest.param("daily", "2026-03-01", "UTC", 0, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", id="9d-closing"),
        pytest.param(
            "daily", "2026-03-01", "Pacific/Honolulu", 0, "2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", id="9d-final"
        ),
        pytest.param(
            "daily", "2026-03-01", "Pacific/Honolulu", 4, "2026-03-01T14:00:00Z", "2026-03-02T14:00:00Z", id="9d-from-4"
        ),
        pytest.param("weekly", "2026-W09", "UTC", 0, "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z", id="week"),
        pytest.param(
            "monthly", "2026-03", "Europe/Berlin", 0, "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", id="month"
        ),
    ],
)
def test_a_period_is_bounded_by_the_zone_and_the_day_start(kind, key, zone, day_starts_at, starts, ends):
    first, end = period_bounds(kind, parse_period_key(kind, key), zone, day_starts_at)
    assert (format_instant(first), format_instant(end)) == (starts, ends)


def test_all_time_has_one_label_one_key_and_no_bounds():
    assert period_label("alltime", day_of("2026-03-01")) == parse_period_key("alltime", "all") == 0
    assert period_key("alltime", 0) == "all"
    assert period_bounds("alltime", 0, "UTC") == (None, None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("daily", "2026-11-22"), ("weekly", "2026-W47"), ("monthly", "2026-11"), ("alltime", "all")],
)
def test_a_period_is_written_as_people_write_it(kind, expected):
    assert period_key(kind, period_label(kind, day_of("2026-11-22"))) == expected


@given(kinds, days)
def test_a_key_reads_back_as_the_label_it_was_written_for(kind, day):
    label = period_label(kind, day)
    assert parse_period_key(kind, period_key(kind, label)) == label


@pytest.mark.parametrize(
    ("kind", "key", "advice"),
    [
        pytest.param("daily", "2026-02-29", "a date such as 2026-11-22", id="no-such-date"),
        pytest.param("daily", "20260301", "a date such as 2026-11-22", id="basic-format"),
        pytest.param("daily", "2026-W09-7", "a date such as 2026-11-22", id="week-date"),
        pytest.param("daily", "2026-3-1", "a date such as 2026-11-22", id="no-zeros"),
        pytest.param("daily", "٢٠٢٦-03-01", "a date such as 2026-11-22", id="other-digits"),
        pytest.param("daily", "", "a date such as 2026-11-22", id="empty"),
        pytest.param("daily", "2026-W09", "a date such as 2026-11-22", id="a-week-for-a-day"),
        pytest.param("daily", "0001-01-01", "a date such as 2026-11-22", id="long-before-1970"),
        pytest.param("daily", "9999-12-31", "a date such as 2026-11-22", id="the-end-of-the-calendar"),
        pytest.param("weekly", "2025-W53", "an ISO week such as 2026-W47", id="no-such-week"),
        pytest.param("weekly", "2026-W00", "an ISO week such as 2026-W47", id="week-0"),
        pytest.param("weekly", "2026-w09", "an ISO week such as 2026-W47", id="lower-case"),
        pytest.param("monthly", "2026-13", "a month such as 2026-11", id="month-13"),
        pytest.param("monthly", "2026-11-22", "a month such as 2026-11", id="a-day-for-a-month"),
        pytest.param("alltime", "ever", "Write all", id="another-word-for-all"),
    ],
)
def test_a_text_that_is_no_key_is_refused_with_advice(kind, key, advice):
    with pytest.raises(ValueError, match=advice):
        parse_period_key(kind, key)


# --- Laws in every zone -----------------------------------------------------------------------------------------------


@given(instants, zones, day_starts)
def test_an_instant_lies_between_the_start_of_its_day_and_of_the_next(at, zone, day_starts_at):
    day = local_day(at, zone, day_starts_at)
    assert day_start(day, zone, day_starts_at) <= at < day_start(day + 1, zone, day_starts_at)


@given(instants, st.integers(0, 60 * HOUR), zones, day_starts)
def test_a_later_instant_never_falls_on_an_earlier_day(at, later_by, zone, day_starts_at):
    assert local_day(at, zone, day_starts_at) <= local_day(at + later_by, zone, day_starts_at)


@given(instants, zones, day_starts)
def test_a_day_starts_under_its_own_date_and_the_clock_never_runs_ahead_of_it(at, zone, day_starts_at):
    day = local_day(at, zone, day_starts_at)
    assert date_shown(day_start(day, zone, day_starts_at), zone, day_starts_at) == date_of(day)
    assert date_shown(at, zone, day_starts_at) <= date_of(day)


@given(days)
def test_weeks_and_months_are_those_of_the_calendar(day):
    shown = date_of(day)
    year, week, _ = shown.isocalendar()
    assert period_key("weekly", week_of_day(day)) == f"{year}-W{week:02}"
    assert period_key("monthly", month_of_day(day)) == f"{shown:%Y-%m}"
    assert date_of(first_day_of_week(week_of_day(day))) == shown - timedelta(days=shown.weekday())
    assert date_of(first_day_of_month(month_of_day(day))) == shown.replace(day=1)


def clock_seconds(utc_seconds: int, zone: ZoneInfo) -> int:
    """What the zone's clock shows, as if it were UTC."""
    shown = (EPOCH + timedelta(seconds=utc_seconds)).astimezone(zone)
    return (shown.replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)


@pytest.mark.parametrize("day_starts_at", [0, 1, 4, 23])
@pytest.mark.parametrize(
    ("zone", "around"),
    [
        pytest.param("Africa/Cairo", "2010-08-11", id="Cairo-forward-in-Ramadan"),
        pytest.param("Africa/Casablanca", "2026-02-15", id="Casablanca-negative-summer-time"),
        pytest.param("Africa/Monrovia", "1972-01-07", id="Monrovia-44-minutes-30"),
        pytest.param("America/Havana", "2026-03-08", id="Havana-midnight-skipped"),
        pytest.param("America/Sao_Paulo", "2019-02-17", id="Sao-Paulo-back-to-23:00"),
        pytest.param("America/Scoresbysund", "2024-03-31", id="Scoresbysund-new-zone-and-summer-at-once"),
        pytest.param("America/St_Johns", "1988-04-03", id="St-Johns-two-hours"),
        pytest.param("America/St_Johns", "2010-11-07", id="St-Johns-at-00:01"),
        pytest.param("Antarctica/Casey", "2020-10-04", id="Casey-three-hours-at-00:01"),
        pytest.param("Antarctica/Troll", "2026-10-25", id="Troll-two-hours"),
        pytest.param("Asia/Pyongyang", "2018-05-05", id="Pyongyang-half-an-hour"),
        pytest.param("Australia/Lord_Howe", "2026-04-05", id="Lord-Howe-half-an-hour"),
        pytest.param("Pacific/Apia", "2011-12-30", id="Apia-no-30-December"),
        pytest.param("Pacific/Kwajalein", "1969-10-01", id="Kwajalein-23-hours-back"),
        pytest.param("Pacific/Kwajalein", "1993-08-21", id="Kwajalein-no-21-August"),
    ],
)
def test_days_agree_with_watching_the_clock(zone, around, day_starts_at):
    """Watch it every 30 seconds for four days: the day is the furthest the clock has come, moved by the day's start."""
    start = (day_of(around) - 2) * 86_400
    furthest = clock_seconds(start, ZoneInfo(zone))
    for second in range(start, start + 4 * 86_400, 30):
        furthest = max(furthest, clock_seconds(second, ZoneInfo(zone)))
        assert local_day(second * SECOND, zone, day_starts_at) == (furthest - day_starts_at * 3_600) // 86_400


History = tuple[tuple[int, int], ...]
"""Since when (UTC seconds) a zone has had which offset (seconds)."""


def offset_seconds(utc_seconds: int, zone: ZoneInfo) -> int:
    return clock_seconds(utc_seconds, zone) - utc_seconds


def offset_history(zone: ZoneInfo) -> History:
    """From 2005 to 2027; a pair of changes within one week may be missed, and none is known."""
    first, end, week = day_of("2005-01-01") * 86_400, day_of("2028-01-01") * 86_400, 7 * 86_400
    sampled = [(second, offset_seconds(second, zone)) for second in range(first, end, week)]
    history = [sampled[0]]
    for (low, before), (high, after) in pairwise(sampled):
        if before != after:
            changed = bisect_right(
                range(low, high), False, key=lambda second: offset_seconds(second, zone) != history[-1][1]
            )
            history.append((low + changed, after))
    return tuple(history)


@cache
def distinct_histories() -> dict[History, str]:
    """One zone for each; links and namesakes behave alike."""
    return {offset_history(ZoneInfo(name)): name for name in ZONES}


def first_showing(clock: int, history: History) -> int:
    """By the definition, segment by segment: the first second whose clock shows this or later."""
    ends = [since for since, _ in history[1:]] + [2**63]
    return next(
        max(since, clock - offset)
        for (since, offset), end in zip(history, ends, strict=True)
        if max(since, clock - offset) < end
    )


def days_around_changes(history: History) -> Iterator[int]:
    for since, _ in history[1:]:
        yield from range(since // 86_400 - 2, since // 86_400 + 3)


@pytest.mark.parametrize("day_starts_at", [0, 2, 4])
def test_days_start_by_the_definition_around_every_change_of_every_zone(day_starts_at):
    wrong = [
        (zone, period_key("daily", day))
        for history, zone in distinct_histories().items()
        for day in days_around_changes(history)
        if day_start(day, zone, day_starts_at) != first_showing(day * 86_400 + day_starts_at * 3_600, history) * SECOND
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly"])
def test_one_period_has_one_key_for_every_instant_in_it_in_every_zone(kind):
    wrong = []
    for history, zone in distinct_histories().items():
        for label in {period_label(kind, day) for day in days_around_changes(history)}:
            first, end = period_bounds(kind, label, zone)
            inside = {first, *range(first, end, 5 * HOUR), end - 1} if first < end else set()
            keys = {period_key(kind, period_label(kind, local_day(at, zone, 0))) for at in inside}
            if keys - {period_key(kind, label)}:
                wrong.append((zone, keys))
    assert wrong == []


# --- Zones ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "Asia/Calcutta"]
)
def test_an_iana_name_is_a_zone(name):
    assert zone_exists(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "Europe", "europe/berlin", "Europe/Berlin ", "../UTC", "/usr/share/zoneinfo/UTC", "Europe/../UTC",
     "UTC\0", "posix/UTC", "right/UTC", "localtime", "+01:00", "CEST", "Mars/Olympus"],
)  # fmt: skip
def test_anything_else_is_no_zone(name):
    assert not zone_exists(name)


# --- Instants ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("1970-01-01T00:00:00Z", 0, id="epoch"),
        pytest.param("1969-12-31T23:59:59Z", -SECOND, id="before-1970"),
        pytest.param("1970-01-01T01:00:00+01:00", 0, id="east"),
        pytest.param("1969-12-31T18:30:00-05:30", 0, id="west"),
        pytest.param("1970-01-01T00:00:00-00:00", 0, id="offset-of-minus-zero"),
        pytest.param("1970-01-01t00:00:01z", SECOND, id="lower-case"),
        pytest.param("1970-01-01 00:00:01Z", SECOND, id="a-space-for-T"),
        pytest.param("1970-01-01T00:00:00.5Z", 500_000, id="tenths"),
        pytest.param("1970-01-01T00:00:00.000001Z", 1, id="microsecond"),
        pytest.param("1970-01-01T00:00:00.0000019999Z", 1, id="finer-is-cut"),
        pytest.param("1970-01-01T00:00:60Z", 60 * SECOND - 1, id="second-60"),
        pytest.param("1970-01-01T00:00:60.75Z", 60 * SECOND - 1, id="second-60-and-a-fraction"),
        pytest.param("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999, id="the-last"),
        pytest.param("0001-01-01T00:00:00Z", -62_135_596_800_000_000, id="the-first"),
    ],
)
def test_an_rfc_3339_time_is_an_exact_number_of_microseconds(text, expected):
    assert parse_instant(text) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        pytest.param("", "is not an RFC 3339 time", id="empty"),
        pytest.param("yesterday", "is not an RFC 3339 time", id="a-word"),
        pytest.param("1772359200", "is not an RFC 3339 time", id="a-number"),
        pytest.param("2026-03-01", "is not an RFC 3339 time", id="a-date"),
        pytest.param("2026-03-01T10:00Z", "is not an RFC 3339 time", id="no-seconds"),
        pytest.param("20260301T100000Z", "is not an RFC 3339 time", id="basic-format"),
        pytest.param("2026-03-01T24:00:00Z", "is not an RFC 3339 time", id="hour-24"),
        pytest.param("2026-03-01T10:00:61Z", "is not an RFC 3339 time", id="second-61"),
        pytest.param("2026-03-01T10:00:00 02:00", "is not an RFC 3339 time", id="a-plus-lost-in-a-URL"),
        pytest.param("2026-03-01T10:00:00+0200", "is not an RFC 3339 time", id="offset-without-colon"),
        pytest.param("2026-03-01T10:00:00+02:99", "is not an RFC 3339 time", id="offset-of-99-minutes"),
        pytest.param("2026-03-01T10:00:00.Z", "is not an RFC 3339 time", id="no-digits-of-a-fraction"),
        pytest.param("2026-03-01T10:00:00Z\n", "is not an RFC 3339 time", id="a-line-end"),
        pytest.param("٢٠٢٦-03-01T10:00:00Z", "is not an RFC 3339 time", id="other-digits"),
        pytest.param("2026-02-29T10:00:00Z", "is not a time", id="no-such-date"),
        pytest.param("9999-12-31T23:59:59-01:00", "outside the years", id="past-9999"),
        pytest.param("0001-01-01T00:00:00+01:00", "outside the years", id="before-1"),
    ],
)
def test_any_other_text_is_refused_as_a_time(text, advice):
    with pytest.raises(ValueError, match=advice) as refusal:
        parse_instant(text)
    assert refusal.type is ValueError


@pytest.mark.parametrize("text", ["2026-03-01T10:00:00", "2026-03-01 10:00:00.5", "2016-12-31T23:59:60"])
def test_a_text_without_offset_is_a_naive_time(text):  # 14a
    with pytest.raises(NaiveTime, match="has no UTC offset"):
        parse_instant(text)


def test_a_datetime_without_zone_is_a_naive_time():
    with pytest.raises(NaiveTime, match="2026-03-01T10:00:00 has no UTC offset"):
        from_datetime(datetime.fromisoformat("2026-03-01T10:00:00"))


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param(datetime(2026, 3, 1, 10, tzinfo=UTC), "2026-03-01T10:00:00Z", id="utc"),
        pytest.param(
            datetime(2026, 3, 1, 10, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            "2026-03-01T04:15:00Z",
            id="fixed",
        ),
        pytest.param(
            datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), "2026-10-25T00:30:00Z", id="first-of-two"
        ),
        pytest.param(
            datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
            "2026-10-25T01:30:00Z",
            id="second-of-two",
        ),
        pytest.param(datetime(2026, 3, 1, 10, 0, 0, 120, tzinfo=UTC), "2026-03-01T10:00:00.000120Z", id="microseconds"),
    ],
)
def test_an_aware_datetime_is_written_in_utc_without_needless_digits(time, expected):
    assert format_instant(from_datetime(time)) == expected


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_survive_every_form_they_take(time):
    at = from_datetime(time)
    assert to_datetime(at) == time
    assert to_datetime(at).tzinfo is UTC
    assert parse_instant(format_instant(at)) == at

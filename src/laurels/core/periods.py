"""
Where an instant falls on a user's own calendar: the local day, its ISO week and month, and the keys people see.

All of it is counted in whole numbers. An *instant* is microseconds since 1970-01-01T00:00:00Z. A *label* names a
stretch of time and is no instant: an hour is the UTC clock hour counted from instant 0, a day is counted from
1970-01-01, a week is the ISO week counted from the one that holds 1970-01-01, a month is counted from January 1970.
The next stretch always has the label + 1.

A local day begins at the first instant at which the zone's clock shows its date at `day_starts_at` (an hour, 0 to 23)
or later, and lasts until the next one begins. So days touch, never overlap and never come back when the clock is set
back over midnight; a date that a zone skipped is a day without length.
"""

import re
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Literal, TypeAlias, assert_never
from zoneinfo import ZoneInfo, available_timezones

Instant: TypeAlias = int
Window = Literal["hour", "day", "week", "month", "ever"]
PeriodKind = Literal["daily", "weekly", "monthly", "alltime"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)
_SECOND_US = 1_000_000
_HOUR_US = 3_600 * _SECOND_US
_DAY_US = 24 * _HOUR_US
#: The last instant that a datetime can name.
INSTANT_MAX: Instant = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:)([0-5]\d|60)(\.\d+)?(Z|z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?",
    re.ASCII,
)

# --- Instants ---------------------------------------------------------------------------------------------------------


class NaiveTime(ValueError):
    """A time without a UTC offset, which names no instant."""


def from_datetime(time: datetime) -> Instant:
    """Raises NaiveTime without a UTC offset, ValueError outside the years 1 to 9999 in UTC."""
    if time.tzinfo is UTC:
        return (time - _EPOCH) // _MICROSECOND
    if time.utcoffset() is None:
        raise NaiveTime(f"The time {time.isoformat()} has no UTC offset. Add one: Z for UTC, or such as +01:00.")
    try:
        return (time.astimezone(UTC) - _EPOCH) // _MICROSECOND
    except OverflowError:
        raise ValueError(f"The time {time.isoformat()} lies outside the years 1 to 9999 in UTC.") from None


def to_datetime(at: Instant) -> datetime:
    """Aware, in UTC."""
    return _EPOCH + at * _MICROSECOND


def parse_instant(text: str) -> Instant:
    """
    Read an RFC 3339 time; digits finer than a microsecond are cut and second 60 reads as 59.999999.

    Raises NaiveTime if only the offset is missing, else ValueError.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-03-01T10:00:00Z or 2026-03-01T10:00:00+01:00.")
    day, minute, second, fraction, offset = match.groups(default="")
    if second == "60":
        second, fraction = "59", ".999999"
    try:
        time = datetime.fromisoformat(f"{day}T{minute}{second}{fraction[:7]}{offset.upper()}")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {error}.") from None
    return from_datetime(time)


def format_instant(at: Instant) -> str:
    """RFC 3339 in UTC with Z; six digits of fraction, or none when it is zero."""
    return to_datetime(at).isoformat().removesuffix("+00:00") + "Z"


# --- Zones and local days ---------------------------------------------------------------------------------------------


def zone_exists(name: str) -> bool:
    """Whether the machine's IANA database has this zone, spelled exactly so."""
    return name in _zone_names()


def local_day(at: Instant, zone: str, day_starts_at: int) -> int:
    """The label of the local day that holds the instant."""
    utc_day = at // _DAY_US
    return utc_day - 2 + bisect_right(_starts_around(utc_day, zone, day_starts_at), at)


def day_start(day: int, zone: str, day_starts_at: int) -> Instant:
    """The first instant of a local day; that of the following day if this one has no length."""
    return _starts_around(day, zone, day_starts_at)[1]


def is_empty_day(day: int, zone: str, day_starts_at: int) -> bool:
    """Whether no instant falls on the day, as on 2011-12-30 in Pacific/Apia: nobody can have missed it."""
    _, start, end = _starts_around(day, zone, day_starts_at)
    return start == end


@lru_cache(maxsize=16_384)
def _starts_around(day: int, zone: str, day_starts_at: int) -> tuple[Instant, Instant, Instant]:
    """
    The starts of the local days `day - 1`, `day` and `day + 1`.

    UTC offsets stay below 24 hours, so each instant of the UTC day `day` lies between the starts of the local days
    `day - 2` and `day + 2`: these three starts are all it takes to place it.
    """
    info = _zone_info(zone)
    before, start, after = (
        _first_instant_showing(timedelta(days=label, hours=day_starts_at), info) for label in (day - 1, day, day + 1)
    )
    return before, start, after


def _first_instant_showing(clock: timedelta, info: ZoneInfo) -> Instant:
    """The first instant at which the zone's clock, told as time since 1970-01-01T00:00:00, shows this or later."""
    wall = (_EPOCH + clock).replace(tzinfo=info)
    seconds = _whole_seconds(clock)
    latest = seconds - _offset_seconds(wall)
    earliest = seconds - _offset_seconds(wall.replace(fold=1))
    if latest <= earliest:  # A time shown twice: fold=0 is the first of the two.
        return latest * _SECOND_US
    # A time that was skipped: the clock was set forward somewhere between the two readings of it.
    span = range(earliest, latest)
    skipped_at = bisect_left(span, seconds, key=lambda second: _clock_seconds(second, info))
    return (earliest + skipped_at) * _SECOND_US


def _clock_seconds(utc_seconds: int, info: ZoneInfo) -> int:
    return utc_seconds + _offset_seconds((_EPOCH + timedelta(seconds=utc_seconds)).astimezone(info))


def _offset_seconds(time: datetime) -> int:
    offset = time.utcoffset()
    assert offset is not None
    return _whole_seconds(offset)


def _whole_seconds(span: timedelta) -> int:
    return span.days * 86_400 + span.seconds


@cache  # ZoneInfo itself keeps only eight zones; names it does not know are not cached.
def _zone_info(zone: str) -> ZoneInfo:
    return ZoneInfo(zone)


@cache
def _zone_names() -> frozenset[str]:
    # Some systems list a link to the machine's own zone, which means something else on each machine.
    return frozenset(available_timezones() - {"localtime"})


# --- Weeks and months -------------------------------------------------------------------------------------------------


def week_of_day(day: int) -> int:
    """The label of the ISO week (from Monday) that holds the day."""
    return (day + 3) // 7


def first_day_of_week(week: int) -> int:
    """The label of its Monday."""
    return week * 7 - 3


def month_of_day(day: int) -> int:
    """The label of the calendar month that holds the day."""
    found = _date(day)
    return (found.year - 1970) * 12 + found.month - 1


def first_day_of_month(month: int) -> int:
    """The label of its 1st."""
    return date(1970 + month // 12, month % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL


def _date(day: int) -> date:
    return date.fromordinal(day + _EPOCH_ORDINAL)


# --- Windows, in which limits count -----------------------------------------------------------------------------------


def window_label(window: Window, at: Instant, zone: str, day_starts_at: int) -> int:
    """The label of the window that holds the instant; `ever` has the one label 0."""
    match window:
        case "hour":
            return at // _HOUR_US
        case "day":
            return local_day(at, zone, day_starts_at)
        case "week":
            return week_of_day(local_day(at, zone, day_starts_at))
        case "month":
            return month_of_day(local_day(at, zone, day_starts_at))
        case "ever":
            return 0
        case _:
            assert_never(window)


def window_start(window: Window, label: int, zone: str, day_starts_at: int) -> Instant:
    """The first instant of the window; it ends where that of `label + 1` starts. Raises ValueError for `ever`."""
    match window:
        case "hour":
            return label * _HOUR_US
        case "day":
            return day_start(label, zone, day_starts_at)
        case "week":
            return day_start(first_day_of_week(label), zone, day_starts_at)
        case "month":
            return day_start(first_day_of_month(label), zone, day_starts_at)
        case "ever":
            raise ValueError("The window 'ever' has neither start nor end.")
        case _:
            assert_never(window)


# --- Periods, which people see and address ----------------------------------------------------------------------------

_WINDOW_OF_PERIOD: dict[PeriodKind, Window] = {"daily": "day", "weekly": "week", "monthly": "month", "alltime": "ever"}
_KEY_HINTS: dict[PeriodKind, str] = {
    "daily": "a date such as 2026-11-22",
    "weekly": "an ISO week such as 2026-W47",
    "monthly": "a month such as 2026-11",
    "alltime": "all",
}
_KEY_TO_FIRST_DAY: dict[PeriodKind, str] = {"daily": "", "weekly": "-1", "monthly": "-01"}
_KEY_YEARS = range(1969, 9999)  # 1970 began in 1969 west of Greenwich; the end of 9999 is beyond datetime.


@lru_cache(maxsize=4_096)
def period_label(kind: PeriodKind, day: int) -> int:
    """The label of the period that holds the local day: a day, week or month label, 0 for all time."""
    match kind:
        case "daily":
            return day
        case "weekly":
            return week_of_day(day)
        case "monthly":
            return month_of_day(day)
        case "alltime":
            return 0
        case _:
            assert_never(kind)


@lru_cache(maxsize=4_096)
def period_key(kind: PeriodKind, label: int) -> str:
    """How people and URLs write the period: `2026-11-22`, `2026-W47`, `2026-11` or `all`."""
    match kind:
        case "daily":
            return _date(label).isoformat()
        case "weekly":
            year, week, _ = _date(first_day_of_week(label)).isocalendar()
            return f"{year:04}-W{week:02}"
        case "monthly":
            return _date(first_day_of_month(label)).isoformat()[:7]
        case "alltime":
            return "all"
        case _:
            assert_never(kind)


def parse_period_key(kind: PeriodKind, key: str) -> int:
    """The label that `period_key` writes as this key. Raises ValueError for any other text."""
    label = _label_written(kind, key)
    if label is None:
        raise ValueError(f"{key!r} is not a {kind} period. Write {_KEY_HINTS[kind]}.")
    return label


def period_bounds(
    kind: PeriodKind, label: int, zone: str, day_starts_at: int = 0
) -> tuple[Instant, Instant] | tuple[None, None]:
    """The first instant of the period and the first one after it; None and None for all time."""
    if kind == "alltime":
        return None, None
    window = _WINDOW_OF_PERIOD[kind]
    return window_start(window, label, zone, day_starts_at), window_start(window, label + 1, zone, day_starts_at)


def _label_written(kind: PeriodKind, key: str) -> int | None:
    if kind == "alltime":
        return 0 if key == "all" else None
    try:
        first = date.fromisoformat(key + _KEY_TO_FIRST_DAY[kind])
    except ValueError:
        return None
    label = period_label(kind, first.toordinal() - _EPOCH_ORDINAL)
    # fromisoformat reads more spellings than the one that is a key: 20261122, 2026-W47-7.
    return label if first.year in _KEY_YEARS and period_key(kind, label) == key else None

"""What an instant is on a user's own calendar (6.1, 14), and whether something is open then."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3600 * SECOND
DURATIONS = {"m": 60 * SECOND, "h": HOUR, "d": 24 * HOUR}


def instant(text) -> int:
    return instant_of(datetime.fromisoformat(text))


def instant_of(time) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def duration(text) -> int:
    """`1d12h` in µs."""
    total, digits = 0, ""
    for character in text:
        if character.isdigit():
            digits += character
        else:
            total, digits = total + int(digits) * DURATIONS[character], ""
    return total


def is_open(entry, at) -> bool:
    return ("from" not in entry or at >= instant(entry["from"])) and (
        "until" not in entry or at < instant(entry["until"])
    )


def clock(at, zone) -> datetime:
    return (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))


@lru_cache(maxsize=100_000)
def local_day(at, zone, day_starts_at) -> date:
    """The latest day that the clock has shown at `day_starts_at` or later: clocks that go back do not bring it back."""
    shown = clock(at, zone)
    latest = shown.replace(tzinfo=None)
    if clock(at - 3 * HOUR, zone).utcoffset() != shown.utcoffset():
        latest = max(clock(at - minute * 60 * SECOND, zone).replace(tzinfo=None) for minute in range(181))
    return (latest - timedelta(hours=day_starts_at)).date()


def period_key(kind, day) -> str:
    match kind:
        case "daily":
            return day.isoformat()
        case "weekly":
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        case "monthly":
            return day.isoformat()[:7]
    return "once"


def window_label(per, at, user) -> str:
    day = local_day(at, user["zone"], user["day_starts_at"])
    match per:
        case "hour":
            return f"hour {at // HOUR}"
        case "ever":
            return "ever"
    return period_key({"day": "daily", "week": "weekly", "month": "monthly"}[per], day)


def window_end(per, at, user) -> int:
    """The first instant with a later label, by halving: labels only grow while zone and day start stay."""
    if per == "hour":
        return (at // HOUR + 1) * HOUR
    label, low, high = window_label(per, at, user), at, at + 40 * 24 * HOUR
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if window_label(per, middle, user) == label else (low, middle)
    return high

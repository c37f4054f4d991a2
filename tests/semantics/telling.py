"""Outcomes in short words, so that what a test expects reads like the example it stands for."""

from datetime import datetime
from functools import singledispatch

from laurels.core.changes import (
    AchievementProgressed,
    AchievementUnlocked,
    CurrencyCredited,
    CurrencyDebited,
    CurrencyHeld,
    CurrencyReleased,
    LevelLost,
    LevelReached,
    MetricChanged,
    Outcome,
    QuestAccepted,
    QuestClaimed,
    QuestCompleted,
    QuestProgressed,
    StreakBroken,
    StreakExtended,
    StreakFrozen,
    XpAwarded,
)
from laurels.core.periods import format_instant, from_datetime

#: `at("2026-03-01T10:00Z")`: an instant.
at = datetime.fromisoformat


def told(outcome: Outcome, *types: str) -> list[str]:
    """
    Say what happened, a line for each change in order; those of other users than the actor are led by their name.

    With `types` (`xp.awarded`, …) only changes of these.
    """
    return [
        line(change) if change.user_id == outcome.user_id else f"{change.user_id}: {line(change)}"
        for change in outcome.changes
        if not types or change.type in types
    ]


def skipped(outcome: Outcome) -> list[tuple[str, str, str | None]]:
    """Say what did not happen: rule, reason, and when it can be earned again."""
    return [
        (skip.rule, skip.reason, None if skip.retry_at is None else format_instant(from_datetime(skip.retry_at)))
        for skip in outcome.skipped
    ]


def xp_paid(outcome: Outcome) -> int:
    """Return the XP that all users got."""
    return sum(change.amount for change in outcome.changes if isinstance(change, XpAwarded))


@singledispatch
def line(change: object) -> str:
    """Say one change in a few words."""
    raise TypeError(change)


@line.register
def _(change: XpAwarded) -> str:
    return f"xp {change.amount:+} = {change.total}{_by(change.rule)}"


@line.register
def _(change: LevelReached) -> str:
    return f"level {change.level}"


@line.register
def _(change: LevelLost) -> str:
    return f"level {change.level} lost"


@line.register
def _(change: CurrencyCredited) -> str:
    return f"{change.currency} +{change.amount} = {change.balance}{_by(change.rule)}"


@line.register
def _(change: CurrencyDebited) -> str:
    return f"{change.currency} -{change.amount} = {change.balance}{_by(change.rule)}"


@line.register
def _(change: CurrencyHeld) -> str:
    return f"{change.currency} -{change.amount} = {change.balance} held"


@line.register
def _(change: CurrencyReleased) -> str:
    return f"{change.currency} +{change.amount} = {change.balance} released"


@line.register
def _(change: MetricChanged) -> str:
    return f"{change.metric} = {change.value}"


@line.register
def _(change: AchievementUnlocked) -> str:
    return f"{change.achievement} unlocked"


@line.register
def _(change: AchievementProgressed) -> str:
    return f"{change.achievement} {change.value}/{change.target}"


@line.register
def _(change: QuestAccepted | QuestCompleted | QuestClaimed) -> str:
    return f"{change.quest} {change.period} {change.type.removeprefix('quest.')}"


@line.register
def _(change: QuestProgressed) -> str:
    return f"{change.quest} {change.period} {change.value}/{change.target}"


@line.register
def _(change: StreakExtended | StreakFrozen | StreakBroken) -> str:
    return f"{change.streak} {change.length} {change.type.removeprefix('streak.')}"


def _by(rule: str) -> str:
    return f" by {rule}" if rule else ""

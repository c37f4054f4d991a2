"""
What a request caused: changes, one thing each that happened to one user, and skips, what did not happen and why.

The same structs are the journal's stored form (short arrays, led by a tag of one or two letters) and what callers get.
`user_id` stands last and is empty in the journal, whose rows name their user already; `addressed` fills it in.
Changes whose `type` is empty are bookkeeping: stored, because undoing and late events need them, but never shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
from msgspec.structs import asdict, force_setattr

from laurels.core.state import QuestRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EntryKind = Literal["earn", "spend", "transfer", "hold", "capture", "release", "refund", "reversal", "adjust"]
SkipReason = Literal[
    "limit_reached", "cooldown", "already_counted", "self_action", "condition_false", "not_available", "opted_out"
]


class XpAwarded(msgspec.Struct, frozen=True, array_like=True, tag="x", gc=False):
    """XP moved by `amount` (negative when taken) to `total`; `rule` says what paid it, empty for a command."""

    type: ClassVar[str] = "xp.awarded"
    amount: int
    total: int
    rule: str
    kind: EntryKind = "earn"
    user_id: str = ""


class LevelReached(msgspec.Struct, frozen=True, array_like=True, tag="l", gc=False):
    """A level was reached; every level passed is reported, in order."""

    type: ClassVar[str] = "level.reached"
    level: int
    title: str | None
    user_id: str = ""


class LevelLost(msgspec.Struct, frozen=True, array_like=True, tag="ll", gc=False):
    """XP fell below what `level` needs. Nothing that the level paid is taken."""

    type: ClassVar[str] = "level.lost"
    level: int
    user_id: str = ""


class CurrencyCredited(msgspec.Struct, frozen=True, array_like=True, tag="c", gc=False):
    """`amount` came in; `balance` is what is available afterwards."""

    type: ClassVar[str] = "currency.credited"
    currency: str
    amount: int
    balance: int
    rule: str
    kind: EntryKind = "earn"
    user_id: str = ""


class CurrencyDebited(msgspec.Struct, frozen=True, array_like=True, tag="d", gc=False):
    """`amount` (positive) went out; `balance` is what is available afterwards."""

    type: ClassVar[str] = "currency.debited"
    currency: str
    amount: int
    balance: int
    rule: str
    kind: EntryKind = "spend"
    user_id: str = ""


class CurrencyHeld(msgspec.Struct, frozen=True, array_like=True, tag="h", gc=False):
    """`amount` was set aside for the hold; it is no longer available but still the user's."""

    type: ClassVar[str] = "currency.held"
    currency: str
    amount: int
    balance: int
    hold: str
    user_id: str = ""


class CurrencyReleased(msgspec.Struct, frozen=True, array_like=True, tag="r", gc=False):
    """A hold ended (released, captured or expired) and all of its `amount` is available again."""

    type: ClassVar[str] = "currency.released"
    currency: str
    amount: int
    balance: int
    hold: str
    user_id: str = ""


class MetricChanged(msgspec.Struct, frozen=True, array_like=True, tag="m", gc=False):
    """A metric now stands at `value`; `delta` is by how much it moved."""

    type: ClassVar[str] = "metric.changed"
    metric: str
    value: int
    delta: int
    user_id: str = ""


class AchievementProgressed(msgspec.Struct, frozen=True, array_like=True, tag="ap", gc=False):
    """Another tenth of the way to an achievement is done."""

    type: ClassVar[str] = "achievement.progressed"
    achievement: str
    value: int
    target: int
    user_id: str = ""


class AchievementUnlocked(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    """An achievement was unlocked, for the `times`-th time; `unlocked_at` is the own time of its last cause."""

    type: ClassVar[str] = "achievement.unlocked"
    achievement: str
    rarity: str
    times: int
    unlocked_at: datetime
    user_id: str = ""


class QuestAccepted(msgspec.Struct, frozen=True, array_like=True, tag="qa", gc=False):
    """A quest run began by acceptance."""

    type: ClassVar[str] = "quest.accepted"
    quest: str
    period: str
    user_id: str = ""


class QuestProgressed(msgspec.Struct, frozen=True, array_like=True, tag="qp", gc=False):
    """Another tenth of the way to a quest's goals is done."""

    type: ClassVar[str] = "quest.progressed"
    quest: str
    period: str
    value: int
    target: int
    user_id: str = ""


class QuestCompleted(msgspec.Struct, frozen=True, array_like=True, tag="qc", gc=False):
    """All goals of a quest run were met."""

    type: ClassVar[str] = "quest.completed"
    quest: str
    period: str
    user_id: str = ""


class QuestClaimed(msgspec.Struct, frozen=True, array_like=True, tag="ql", gc=False):
    """The reward of a completed run was paid; its payments follow."""

    type: ClassVar[str] = "quest.claimed"
    quest: str
    period: str
    user_id: str = ""


class StreakExtended(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """
    A new qualifying day (or week) `label` belongs to a run of `length` now.

    `current` is the length of the latest run and `longest` the best ever, after this; `freezes` are those left.
    `bridged` are labels between runs that count as not missed: days of no length, and days skipped by a change of zone.
    """

    type: ClassVar[str] = "streak.extended"
    streak: str
    length: int
    label: int
    current: int
    longest: int
    freezes: int
    bridged: tuple[int, ...] = ()
    user_id: str = ""


class StreakFrozen(msgspec.Struct, frozen=True, array_like=True, tag="sf"):
    """Freezes covered the missed days `labels`; `length` is that of the run they saved."""

    type: ClassVar[str] = "streak.frozen"
    streak: str
    length: int
    labels: tuple[int, ...]
    freezes: int
    user_id: str = ""


class StreakBroken(msgspec.Struct, frozen=True, array_like=True, tag="sb", gc=False):
    """A run of `length` ended: `missed` days are more than the `freezes` at hand could cover."""

    type: ClassVar[str] = "streak.broken"
    streak: str
    length: int
    missed: int
    freezes: int
    user_id: str = ""


class RuleUsed(msgspec.Struct, frozen=True, array_like=True, tag="u", gc=False):
    """Bookkeeping: a limited rule was used in the window `label`."""

    type: ClassVar[str] = ""
    rule: str
    label: int
    user_id: str = ""


class ClaimTaken(msgspec.Struct, frozen=True, array_like=True, tag="k", gc=False):
    """Bookkeeping: a value was counted for the first time (`once_per`, `distinct`, `source_id`)."""

    type: ClassVar[str] = ""
    scope: str
    actor: str
    value: str
    user_id: str = ""


class ScoreSubmitted(msgspec.Struct, frozen=True, array_like=True, tag="b", gc=False):
    """Bookkeeping: a `max` metric was given a value that is not its best ever, but may be the best of its period."""

    type: ClassVar[str] = ""
    metric: str
    value: int
    user_id: str = ""


class QuestLeft(msgspec.Struct, frozen=True, array_like=True, tag="q", gc=False):
    """Bookkeeping: how a quest run stands in a window that is not the newest, for events that come late to it."""

    type: ClassVar[str] = ""
    quest: str
    run: QuestRun
    user_id: str = ""


Change = (
    XpAwarded
    | LevelReached
    | LevelLost
    | CurrencyCredited
    | CurrencyDebited
    | CurrencyHeld
    | CurrencyReleased
    | MetricChanged
    | AchievementProgressed
    | AchievementUnlocked
    | QuestAccepted
    | QuestProgressed
    | QuestCompleted
    | QuestClaimed
    | StreakExtended
    | StreakFrozen
    | StreakBroken
    | RuleUsed
    | ClaimTaken
    | ScoreSubmitted
    | QuestLeft
)


class Skip(msgspec.Struct, frozen=True, array_like=True):
    """
    Something that did not happen: which `rule`, for which user, the `reason`, and when it can be earned again.

    `retry_at` is null where time alone changes nothing. `detail` says more where there is more to say, `metric` names
    the metric that a rule could not change.
    """

    rule: str
    reason: SkipReason
    user_id: str
    retry_at: datetime | None = None
    detail: str | None = None
    metric: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one request caused, for everyone it touched: the actor's changes first, then other users' by user id.

    `status` is `applied` the first time and `duplicate` whenever the same request comes again.
    """

    user_id: str
    event_id: str
    status: Literal["applied", "duplicate"]
    changes: tuple[Change, ...]
    skipped: tuple[Skip, ...]


def contributions(changes: Iterable[Change]) -> Iterator[tuple[str, int, int]]:
    """Yield what changes mean for metrics (4.4): which, by how much a sum moved, the value that was submitted."""
    for change in changes:
        match change:
            case XpAwarded(amount=amount):
                yield "xp", amount, 0
            case MetricChanged(metric=metric, value=value, delta=delta):
                yield metric, delta, value
            case ScoreSubmitted(metric=metric, value=value):
                yield metric, 0, value
            case LevelReached():
                yield "level", 1, 0
            case LevelLost():
                yield "level", -1, 0
            case CurrencyCredited(currency=currency, amount=amount, kind="earn"):
                yield f"earned.{currency}", amount, 0
            case CurrencyCredited(currency=currency, amount=amount, kind="refund"):
                yield f"spent.{currency}", -amount, 0
            case CurrencyDebited(currency=currency, amount=amount, kind="spend" | "capture"):
                yield f"spent.{currency}", amount, 0
            case AchievementUnlocked(times=1):
                yield "achievements", 1, 0
            case QuestCompleted():
                yield "quests", 1, 0
            case StreakExtended(streak=streak, length=length):
                yield f"streak.{streak}", 0, length
            case _:
                pass


def addressed(user_id: str, changes: list[Change]) -> list[Change]:
    """Return the changes that callers see, each naming its user."""
    shown = []
    for change in changes:
        if change.type:
            force_setattr(change, "user_id", user_id)  # Built a moment ago and not yet shared: filled in, not changed.
            shown.append(change)
    return shown


def as_json(change: Change) -> dict[str, Any]:
    """Return a change as programs outside see it: its `type`, its user, then what it says."""
    fields = asdict(change)
    return {"type": change.type, "user_id": fields.pop("user_id"), **fields}


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as programs outside see it."""
    return {
        "event_id": outcome.event_id,
        "status": outcome.status,
        "changes": [as_json(change) for change in outcome.changes],
        "skipped": [asdict(skip) for skip in outcome.skipped],
    }

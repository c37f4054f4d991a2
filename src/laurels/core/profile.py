"""What a reader sees of one user: the state, as of an instant, under a catalog. Reading changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from laurels.core import periods, streaks, wallet
from laurels.core.catalog import POINTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laurels.core.catalog import Catalog
    from laurels.core.periods import Instant
    from laurels.core.state import UserState


class LevelProgress(msgspec.Struct, frozen=True):
    """XP of this level and of the next (None at the highest), and the fraction of the way, floored to 4 decimals."""

    current_xp: int
    next_xp: int | None
    fraction: float


class Balance(msgspec.Struct, frozen=True):
    """One currency: what can be spent, what holds keep, and what was ever earned and spent."""

    available: int
    held: int
    lifetime_earned: int
    lifetime_spent: int


class StreakView(msgspec.Struct, frozen=True):
    """
    A streak as of now: 0 once freezes cannot cover what is missed.

    `last_day` is a date, or a week such as 2026-W09.
    """

    length: int
    longest: int
    last_day: str | None
    freezes: int


class AchievementCount(msgspec.Struct, frozen=True):
    """How many different achievements are unlocked, of how many, and the points they are worth."""

    unlocked: int
    total: int
    points: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One user, with every currency, metric and streak of the catalog."""

    user_id: str
    timezone: str
    day_starts_at: int
    display_name: str | None
    avatar_url: str | None
    groups: dict[str, str]
    opted_out: bool
    xp: int
    level: int
    title: str | None
    perks: tuple[str, ...]
    level_progress: LevelProgress
    balances: dict[str, Balance]
    metrics: dict[str, int]
    streaks: dict[str, StreakView]
    achievements: AchievementCount


def profile_of(
    user_id: str,
    state: UserState,
    catalog: Catalog,
    now: Instant,
    *,
    display_name: str | None = None,
    avatar_url: str | None = None,
) -> Profile:
    """Return what a reader sees of a user at `now`."""
    level = state.value("level")
    held = {**{code: Balance(0, 0, 0, 0) for code in catalog.currencies}, **_balances(state, now)}
    return Profile(
        user_id=user_id,
        timezone=state.zone,
        day_starts_at=state.day_starts_at,
        display_name=display_name,
        avatar_url=avatar_url,
        groups=dict(state.groups),
        opted_out=state.opted_out,
        xp=state.value("xp"),
        level=level,
        title=catalog.levels.title(level),
        perks=catalog.levels.perks(level),
        level_progress=level_progress(state.value("xp"), level, catalog.levels.thresholds),
        balances=held,
        metrics=_metrics(state, catalog),
        streaks={code: _streak(code, state, catalog, now) for code in {**catalog.streaks, **state.streaks}},
        achievements=AchievementCount(
            unlocked=len(state.unlocks),
            total=sum(1 for a in catalog.achievements.values() if a.enabled or a.code in state.unlocks),
            points=sum(
                POINTS[catalog.achievements[code].rarity] for code in state.unlocks if code in catalog.achievements
            ),
        ),
    )


def level_progress(xp: int, level: int, thresholds: tuple[int, ...]) -> LevelProgress:
    """Return how far between its level and the next this XP is; below the level it is 0, at the highest 1."""
    current = thresholds[min(level, len(thresholds)) - 1]
    if level >= len(thresholds):
        return LevelProgress(current, None, 1.0)
    following = thresholds[level]
    share = 10_000 * (xp - current) // (following - current)
    return LevelProgress(current, following, min(max(share, 0), 10_000) / 10_000)


def _balances(state: UserState, now: Instant) -> dict[str, Balance]:
    found = {}
    for currency in sorted(state.balances):
        free = wallet.available(state, currency, now)
        held = state.balances[currency] + state.held(currency) - free
        found[currency] = Balance(free, held, state.value("earned." + currency), state.value("spent." + currency))
    return found


def _metrics(state: UserState, catalog: Catalog) -> dict[str, int]:
    declared = dict.fromkeys([*catalog.metrics, "xp", "level", "achievements", "quests"], 0)
    money = {f"{kind}.{code}": 0 for code in catalog.currencies for kind in ("earned", "spent")}
    runs = {f"streak.{code}": 0 for code in catalog.streaks}
    names: Mapping[str, int] = {**declared, **money, **runs, **dict.fromkeys(state.metrics, 0)}
    return {name: state.value(name) for name in sorted(names)}


def _streak(code: str, state: UserState, catalog: Catalog, now: Instant) -> StreakView:
    streak, rule = state.streaks.get(code), catalog.streaks.get(code)
    if streak is None:
        freezes = min(rule.freezes_initial, rule.freezes_max) if rule is not None else 0
        return StreakView(0, 0, None, freezes)
    every = "day" if rule is None else rule.every
    kind: periods.PeriodKind = "daily" if every == "day" else "weekly"
    length = streaks.shown_length(streak, every, now, state.zone, state.day_starts_at)
    return StreakView(length, streak.longest, periods.period_key(kind, streak.runs[-1].last), streak.freezes)

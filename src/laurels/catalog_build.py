"""
The tables of a valid catalog file as the Catalog that deciding reads.

Arrays stay in the order of the file, tables are ordered by code, so that TOML and key-sorted JSON act alike. Disabled
rules and boosts are left out. Disabled currencies, achievements and quests stay known; such a currency is paid nowhere.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from laurels.core.catalog import (
    Achievement,
    Boost,
    Catalog,
    Currency,
    Effect,
    EventType,
    Leaderboard,
    LevelAt,
    Levels,
    Limit,
    Metric,
    Prize,
    Quest,
    Reward,
    Rule,
    Streak,
    Threshold,
)
from laurels.core.conditions import Path, compile_condition, compile_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laurels.catalog_tree import (
        AchievementTable,
        BoostTable,
        CatalogFile,
        LeaderboardTable,
        LevelsTable,
        LimitTable,
        MetricChange,
        QuestTable,
        RuleTable,
        StreakTable,
    )


def build(file: CatalogFile, source: str) -> Catalog:
    """Return the catalog that a file without mistakes describes. `source` is its canonical text."""
    pay = _Pay(file)
    return Catalog(
        name=file.catalog.name,
        zone=file.catalog.timezone,
        on_revoke=file.catalog.on_revoke,
        on_harder=file.catalog.on_harder,
        announce_retroactive=file.catalog.announce_retroactive,
        levels=_levels(file.levels, pay),
        events={
            code: EventType(type=code, fields=dict(sorted(t.data.items()))) for code, t in sorted(file.events.items())
        },
        currencies={
            code: Currency(code=code, name=_name(table.name, code), enabled=table.enabled)
            for code, table in sorted(file.currencies.items())
        },
        metrics=_metrics(file),
        rules=tuple(_rule(table, pay) for table in file.rules if table.enabled),
        boosts=tuple(_boost(table, pay) for table in file.boosts if table.enabled),
        achievements={table.code: _achievement(table, pay) for table in file.achievements},
        quests={table.code: _quest(table, pay) for table in file.quests},
        streaks={table.code: _streak(table) for table in file.streaks},
        leaderboards={table.code: _leaderboard(table, pay) for table in file.leaderboards},
        source=source,
    )


class _Pay:
    """Rewards without the currencies that are no longer earned, and with the defaults."""

    def __init__(self, file: CatalogFile) -> None:
        self._earned = frozenset(code for code, currency in file.currencies.items() if currency.enabled)
        self.each_achievement = self.reward(file.defaults.achievement_reward)
        self.each_quest = self.reward(file.defaults.quest_reward)

    def reward(self, amounts: Mapping[str, int]) -> Reward:
        return Reward(xp=amounts.get("xp", 0), currencies=self.currencies(amounts))

    def currencies(self, amounts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
        return tuple((code, amount) for code, amount in sorted(amounts.items()) if code in self._earned and amount)

    def factors(self, factors: Mapping[str, Fraction]) -> dict[str, Fraction]:
        return {code: factor for code, factor in sorted(factors.items()) if code in self._earned}


def _name(name: str | None, code: str) -> str:
    return code if name is None else name


def _thresholds(targets: Mapping[str, int]) -> tuple[Threshold, ...]:
    return tuple(Threshold(metric=metric, target=target) for metric, target in sorted(targets.items()))


def _levels(table: LevelsTable, pay: _Pay) -> Levels:
    return Levels(
        thresholds=table.curve.thresholds(),
        bonus_xp=table.bonus_xp,
        reward=pay.reward(table.reward),
        at={
            number: LevelAt(title=at.title, perks=tuple(at.perks), reward=pay.reward(at.reward))
            for number, at in sorted((int(number), at) for number, at in table.at.items())
        },
    )


def _metrics(file: CatalogFile) -> dict[str, Metric]:
    """A metric's kind is how rules change it; disabled rules too, since what users have must not change its meaning."""
    kinds = {metric: change.kind for rule in file.rules for metric, change in rule.metrics.items()}
    return {
        code: Metric(code=code, name=_name(table.name, code), kind=kinds.get(code, "add"), was=table.was)
        for code, table in sorted(file.metrics.items())
    }


def _rule(table: RuleTable, pay: _Pay) -> Rule:
    return Rule(
        id=table.id,
        on=tuple(table.on),
        when=None if table.when is None else compile_condition(table.when),
        to=_path(table.to),
        allow_self=table.allow_self,
        once_per=_path(table.once_per),
        once_by_anyone=table.once_by == "anyone",
        limit=None if table.limit is None else _limit(table.limit),
        xp=table.xp,
        reward=pay.currencies(table.reward),
        effects=tuple(_effect(metric, change) for metric, change in sorted(table.metrics.items())),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else compile_path(text)


def _limit(table: LimitTable) -> Limit:
    return Limit(times=table.times or 0, per=table.per, cooldown=table.cooldown or 0)


def _effect(metric: str, change: MetricChange) -> Effect:
    operand = change.operand
    if isinstance(operand, str):
        return Effect(metric=metric, kind=change.kind, path=compile_path(operand))
    return Effect(metric=metric, kind=change.kind, amount=operand)


def _boost(table: BoostTable, pay: _Pay) -> Boost:
    return Boost(
        id=table.id,
        on=tuple(table.on),
        starts_at=table.from_,
        ends_at=table.until,
        xp=None if table.xp is None else Fraction(table.xp),
        reward=pay.factors({code: Fraction(factor) for code, factor in table.reward.items()}),
        stacking=table.stacking,
        rounding=table.rounding,
    )


def _achievement(table: AchievementTable, pay: _Pay) -> Achievement:
    return Achievement(
        code=table.code,
        name=_name(table.name, table.code),
        description=table.description,
        icon=table.icon,
        image=table.image,
        category=table.category,
        rarity=table.rarity,
        when=_thresholds(table.when),
        any=_thresholds(table.any),
        requires=tuple(dict.fromkeys(table.requires)),
        reward=pay.each_achievement.plus(pay.reward(table.reward)),
        secret=table.secret,
        max_achievers=table.max_achievers,
        starts_at=table.from_,
        ends_at=table.until,
        repeatable=table.repeatable,
        enabled=table.enabled,
    )


def _quest(table: QuestTable, pay: _Pay) -> Quest:
    return Quest(
        code=table.code,
        name=_name(table.name, table.code),
        description=table.description,
        icon=table.icon,
        image=table.image,
        category=table.category,
        type=table.type,
        goals=_thresholds(table.goals),
        reward=pay.each_quest.plus(pay.reward(table.reward)),
        claim=table.claim,
        accept=table.accept or ("auto" if table.time_limit is None else "manual"),
        level_required=table.level_required,
        requires=tuple(dict.fromkeys(table.requires)),
        max_completions=table.max_completions,
        cooldown=table.cooldown or 0,
        time_limit=table.time_limit or 0,
        starts_at=table.from_,
        ends_at=table.until,
        enabled=table.enabled,
    )


def _streak(table: StreakTable) -> Streak:
    bonus, freezes = table.bonus, table.freezes
    return Streak(
        code=table.code,
        name=_name(table.name, table.code),
        on=tuple(table.on),
        every=table.every,
        xp_per_step=bonus.xp_per_step if bonus else 0,
        max_xp=bonus.max_xp if bonus else 0,
        freezes_initial=freezes.initial if freezes else 0,
        freezes_max=freezes.max if freezes else 0,
        freezes_earn_every=freezes.earn_every if freezes else 0,
    )


def _leaderboard(table: LeaderboardTable, pay: _Pay) -> Leaderboard:
    return Leaderboard(
        code=table.code,
        name=_name(table.name, table.code),
        metric=table.metric,
        periods=tuple(table.periods),
        ties=table.ties,
        group=table.group,
        late=table.late,
        prizes=tuple(
            Prize(first_rank=prize.ranks[0], last_rank=prize.ranks[1], reward=pay.reward(prize.reward))
            for prize in table.prizes
        ),
    )

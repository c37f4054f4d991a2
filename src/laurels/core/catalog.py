"""
What the operator configured, as immutable data, indexed for deciding: by event type, by metric, by prerequisite.

`catalog_file.py` makes a Catalog from TOML or JSON text and is where mistakes are found; what stands here is taken as
right. Amounts are whole numbers, factors exact fractions, times instants (µs), paths and conditions compiled.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from laurels.core.nearest import unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from fractions import Fraction

    from laurels.core.conditions import Condition, Path
    from laurels.core.periods import Instant, PeriodKind, Window

Rarity = Literal["common", "uncommon", "rare", "epic", "legendary", "mythic", "limited_edition", "seasonal"]
MetricKind = Literal["add", "max", "distinct"]
QuestType = Literal["daily", "weekly", "monthly", "special", "achievement", "seasonal", "community", "creator"]
Policy = Literal["take", "keep"]

#: What an achievement of each rarity adds to a profile's points, once per code.
POINTS: Mapping[Rarity, int] = {
    "common": 10,
    "uncommon": 25,
    "rare": 50,
    "epic": 100,
    "legendary": 250,
    "mythic": 1000,
    "limited_edition": 500,
    "seasonal": 200,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """XP, then currencies in the order of their codes."""

    xp: int = 0
    currencies: tuple[tuple[str, int], ...] = ()

    def plus(self, other: Reward) -> Reward:
        """Return both rewards as one."""
        amounts = dict(self.currencies)
        for currency, amount in other.currencies:
            amounts[currency] = amounts.get(currency, 0) + amount
        return Reward(xp=self.xp + other.xp, currencies=tuple(sorted(amounts.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """A declared event type, with the fields of its `data` and their types."""

    type: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Currency:
    """A currency. A disabled one is no longer earned by rules and rewards; what is there can be spent."""

    code: str
    name: str
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAt:
    """What one level has besides what every level has."""

    title: str | None = None
    perks: tuple[str, ...] = ()
    reward: Reward = Reward()


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """`thresholds[n]` is the XP that level n + 1 needs; the first is 0, and their number is the highest level."""

    thresholds: tuple[int, ...]
    bonus_xp: int = 0
    reward: Reward = Reward()
    at: Mapping[int, LevelAt] = field(default_factory=dict)

    def level(self, xp: int) -> int:
        """Return the level that this much XP reaches: at least 1, at most the highest."""
        return bisect_right(self.thresholds, xp) or 1

    def reward_at(self, level: int) -> Reward:
        """Return what reaching a level pays besides its bonus XP."""
        return self.reward.plus(self.at[level].reward) if level in self.at else self.reward

    def title(self, level: int) -> str | None:
        """Return the title at a level: that of the highest level up to it that has one."""
        titled = [number for number, at in self.at.items() if number <= level and at.title is not None]
        return self.at[max(titled)].title if titled else None

    def perks(self, level: int) -> tuple[str, ...]:
        """Return all perks up to a level, in the order in which they are reached."""
        return tuple(perk for number in sorted(self.at) if number <= level for perk in self.at[number].perks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A whole number per user. `kind` says how it grows; `name` is for people; `was` is its code before a renaming."""

    code: str
    name: str
    kind: MetricKind
    was: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a rule does to one metric: a fixed amount, or what stands at a path of the event's data."""

    metric: str
    kind: MetricKind
    amount: int = 0
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How often a rule pays one user: `times` in each window `per`, and not within `cooldown` µs of another use."""

    times: int = 0
    per: Window = "ever"
    cooldown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An event type and a condition -> XP, currency and metric changes for the actor, or for the user at `to`."""

    id: str
    on: tuple[str, ...]
    when: Condition | None = None
    to: Path | None = None
    allow_self: bool = False
    once_per: Path | None = None
    once_by_anyone: bool = False
    limit: Limit | None = None
    xp: int = 0
    reward: tuple[tuple[str, int], ...] = ()
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Boost:
    """Factors on what event rules pay, for events of some types whose own time lies in [starts_at, ends_at)."""

    id: str
    on: tuple[str, ...]
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    xp: Fraction | None = None
    reward: Mapping[str, Fraction] = field(default_factory=dict)
    stacking: Literal["compound", "additive", "highest"] = "compound"
    rounding: Literal["floor", "half_up", "ceil"] = "floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A metric and the value it must reach, at least 1."""

    metric: str
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Achievement:
    """Unlocked when all of `when` and, where given, one of `any` are reached; see SEMANTICS 8."""

    code: str
    name: str
    description: str = ""
    icon: str = ""
    image: str = ""
    category: str = ""
    rarity: Rarity = "common"
    when: tuple[Threshold, ...] = ()
    any: tuple[Threshold, ...] = ()
    requires: tuple[str, ...] = ()
    reward: Reward = Reward()
    secret: bool = False
    max_achievers: int | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    repeatable: bool = False
    enabled: bool = True

    @property
    def metrics(self) -> frozenset[str]:
        """Return every metric that a threshold of it reads."""
        return frozenset(threshold.metric for threshold in self.when + self.any)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quest:
    """Goals counted inside the quest's own window; see SEMANTICS 7. Durations in µs."""

    code: str
    name: str
    description: str = ""
    icon: str = ""
    image: str = ""
    category: str = ""
    type: QuestType = "special"
    goals: tuple[Threshold, ...]
    reward: Reward = Reward()
    claim: Literal["auto", "manual"] = "auto"
    accept: Literal["auto", "manual"] = "auto"
    level_required: int = 1
    requires: tuple[str, ...] = ()
    max_completions: int = 1
    cooldown: int = 0
    time_limit: int = 0
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    enabled: bool = True

    #: The kind of its windows; all but the periodic types have one window, for all time.
    period: PeriodKind = field(init=False)
    #: Whether anybody may do it at any time: it asks for no level, no other quest, and no date.
    is_free: bool = field(init=False)
    #: What each goal asks for, and all of them together.
    targets: tuple[int, ...] = field(init=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        """Derive, once, what is asked for with every event."""
        is_periodic = self.type in ("daily", "weekly", "monthly")
        object.__setattr__(self, "period", self.type if is_periodic else "alltime")
        is_bound = self.level_required > 1 or self.requires or self.starts_at is not None or self.ends_at is not None
        object.__setattr__(self, "is_free", not is_bound)
        object.__setattr__(self, "targets", tuple(goal.target for goal in self.goals))
        object.__setattr__(self, "total", sum(self.targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Days or weeks in a row with an event of one of these types; see SEMANTICS 6."""

    code: str
    name: str = ""
    on: tuple[str, ...]
    every: Literal["day", "week"] = "day"
    xp_per_step: int = 0
    max_xp: int = 0
    freezes_initial: int = 0
    freezes_max: int = 0
    freezes_earn_every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prize:
    """A reward for every listed user ranked first_rank to last_rank when a period is final."""

    first_rank: int
    last_rank: int
    reward: Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """Users ranked by one metric, in one or several kinds of period; see SEMANTICS 9."""

    code: str
    name: str = ""
    metric: str
    periods: tuple[PeriodKind, ...] = ("alltime",)
    ties: Literal["standard", "dense", "first"] = "standard"
    group: str | None = None
    late: Literal["refuse", "adjust"] = "refuse"
    prizes: tuple[Prize, ...] = ()


@dataclass(frozen=True, slots=True)
class Matches:
    """
    What one event type sets off, in catalog order.

    `naming` rules pay another user, `counting_once` ones need claims. `unknown` says so where the catalog declares its
    event types and this is none of them.
    """

    rules: tuple[Rule, ...]
    naming: tuple[Rule, ...]
    counting_once: tuple[Rule, ...]
    boosts: tuple[Boost, ...]
    streaks: tuple[Streak, ...]
    unknown: str | None


@dataclass(frozen=True, slots=True)
class Ladder:
    """
    The achievements that read one metric.

    `plain` need this metric alone and are sorted by `targets`, so that those within reach are a prefix, whose codes
    are at its length in `within`; `others` have several thresholds or repeat. `marks` are the values at which another
    tenth of a plain one is done, with its index.
    """

    targets: tuple[int, ...]
    plain: tuple[Achievement, ...]
    within: tuple[frozenset[str], ...]
    others: tuple[Achievement, ...]
    marks: tuple[int, ...]
    marked: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """One numbered revision of everything that is configured. `source` is the canonical text it was made from."""

    name: str
    levels: Levels
    zone: str = "UTC"
    on_revoke: Policy = "take"
    on_harder: Policy = "keep"
    announce_retroactive: Literal["silent", "summary", "each"] = "summary"
    events: Mapping[str, EventType] = field(default_factory=dict)
    currencies: Mapping[str, Currency] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    boosts: tuple[Boost, ...] = ()
    achievements: Mapping[str, Achievement] = field(default_factory=dict)
    quests: Mapping[str, Quest] = field(default_factory=dict)
    streaks: Mapping[str, Streak] = field(default_factory=dict)
    leaderboards: Mapping[str, Leaderboard] = field(default_factory=dict)
    source: str = ""
    revision: int = 0

    def metric_kind(self, metric: str) -> MetricKind:
        """Return how a metric grows, built-in or declared."""
        if metric in self.metrics:
            return self.metrics[metric].kind
        return "max" if metric.startswith("streak.") else "add"

    @cached_property
    def matches(self) -> MatchesFor:
        """Return the lookup from an event type to what it sets off."""
        return MatchesFor(self)

    @cached_property
    def ladders(self) -> Mapping[str, Ladder]:
        """Return the enabled achievements by the metrics they read."""
        enabled = [achievement for achievement in self.achievements.values() if achievement.enabled]
        metrics = sorted({metric for achievement in enabled for metric in achievement.metrics})
        return {metric: _ladder(metric, enabled) for metric in metrics}

    @cached_property
    def dependents(self) -> Mapping[str, tuple[Achievement, ...]]:
        """Return, by code, the enabled achievements that require it."""
        codes = {code for achievement in self.achievements.values() for code in achievement.requires}
        return {
            code: tuple(a for a in self.achievements.values() if a.enabled and code in a.requires) for code in codes
        }

    @cached_property
    def achievement_order(self) -> Mapping[str, int]:
        """Return each achievement's place in the catalog."""
        return {code: place for place, code in enumerate(self.achievements)}

    @cached_property
    def limited(self) -> tuple[str, ...]:
        """Return the codes of achievements with a limited number of achievers, sorted."""
        return tuple(sorted(code for code, a in self.achievements.items() if a.enabled and a.max_achievers is not None))

    @cached_property
    def goals_on(self) -> Mapping[str, tuple[tuple[Quest, int, MetricKind], ...]]:
        """Return, by metric, the goals of enabled quests on it: quest, the goal's place, how the metric grows."""
        goals: dict[str, list[tuple[Quest, int, MetricKind]]] = {}
        for quest in self.quests.values():
            for place, goal in enumerate(quest.goals if quest.enabled else ()):
                goals.setdefault(goal.metric, []).append((quest, place, self.metric_kind(goal.metric)))
        return {metric: tuple(found) for metric, found in goals.items()}


class MatchesFor:
    """Event type -> Matches. Remembered for a bounded number of types, since undeclared ones come from outside."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, event_type: str) -> Matches:
        catalog = self._catalog
        rules = tuple(rule for rule in catalog.rules if matches_type(rule.on, event_type))
        return Matches(
            rules=rules,
            naming=tuple(rule for rule in rules if rule.to is not None),
            counting_once=tuple(rule for rule in rules if rule.once_per is not None or _counts_different(rule)),
            boosts=tuple(boost for boost in catalog.boosts if matches_type(boost.on, event_type)),
            streaks=tuple(streak for streak in catalog.streaks.values() if matches_type(streak.on, event_type)),
            unknown=unknown("event type", event_type, catalog.events)
            if catalog.events and event_type not in catalog.events
            else None,
        )


def matches_type(patterns: Iterable[str], event_type: str) -> bool:
    """Say whether an event type is one of these; `post.*` is any type that begins with `post.`."""
    return any(event_type.startswith(p[:-1]) if p.endswith("*") else event_type == p for p in patterns)


def _counts_different(rule: Rule) -> bool:
    return any(effect.kind == "distinct" for effect in rule.effects)


def _ladder(metric: str, achievements: Iterable[Achievement]) -> Ladder:
    readers = [achievement for achievement in achievements if metric in achievement.metrics]
    plain = [a for a in readers if len(a.when) == 1 and not a.any and not a.repeatable]
    plain.sort(key=lambda achievement: achievement.when[0].target)  # Stable: equal targets stay in catalog order.
    targets = tuple(achievement.when[0].target for achievement in plain)
    marks = sorted(
        {(-(-target * tenth // 10), place) for place, target in enumerate(targets) for tenth in range(1, 11)}
        - {(0, place) for place in range(len(plain))}
    )
    return Ladder(
        targets=targets,
        plain=tuple(plain),
        within=tuple(frozenset(a.code for a in plain[:length]) for length in range(len(plain) + 1)),
        others=tuple(achievement for achievement in readers if achievement not in plain),
        marks=tuple(value for value, _ in marks),
        marked=tuple(place for _, place in marks),
    )

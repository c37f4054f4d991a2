"""
What the entries of a catalog must be to each other: names that exist, windows that open, rewards that end.

Every check yields findings and goes on. Entries come with their index in the file, because those that could not be read
are left out, and names come apart from them, because what could not be read is there all the same.

A catalog cannot pay itself for ever. In the cascade of one request each level and each plain achievement comes once and
each quest is completed at most once, so quests that feed each other stop too. What could still run is refused here:
levels that pay for the next level, and repeatable achievements that read what rewards change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from laurels.catalog_tree import ExponentialCurve
from laurels.core.catalog import matches_type
from laurels.core.nearest import nearest, unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from laurels.catalog_tree import (
        AchievementTable,
        BoostTable,
        CatalogFile,
        LeaderboardTable,
        LevelsTable,
        MetricChange,
        MetricTable,
        QuestTable,
        RuleTable,
        StreakTable,
    )

Loc: TypeAlias = tuple[str | int, ...]
BUILT_IN = ("xp", "level", "achievements", "quests")
_CYCLES_MAX = 100

_EntryT = TypeVar("_EntryT")
Indexed: TypeAlias = Sequence[tuple[int, _EntryT]]


class Finding(NamedTuple):
    """One mistake: the keys and indexes that lead to it, and what is wrong."""

    loc: Loc
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that a file gives. None where the table that gives them is no table, so that nothing can be said."""

    events: Collection[str] | None
    currencies: Collection[str] | None
    metrics: Collection[str] | None
    achievements: Collection[str] | None
    quests: Collection[str] | None
    streaks: Collection[str] | None

    @property
    def readable_metrics(self) -> Collection[str] | None:
        """Return everything that a threshold or a board may read."""
        if self.metrics is None or self.currencies is None or self.streaks is None:
            return None
        sums = [f"{what}.{currency}" for currency in self.currencies for what in ("earned", "spent")]
        return {*BUILT_IN, *self.metrics, *sums, *(f"streak.{code}" for code in self.streaks)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What could be read of a file; arrays with each entry's index in it, no levels if their curve is wrong."""

    file: CatalogFile
    levels: LevelsTable | None
    rules: Indexed[RuleTable]
    boosts: Indexed[BoostTable]
    achievements: Indexed[AchievementTable]
    quests: Indexed[QuestTable]
    streaks: Indexed[StreakTable]
    leaderboards: Indexed[LeaderboardTable]


def findings(entries: Entries, names: Names) -> Iterator[Finding]:
    """Yield everything that is wrong between entries, in no particular order."""
    file = entries.file
    yield from _currencies(file.currencies)
    yield from _metrics(file.metrics, names)
    yield from _reward(("defaults", "achievement_reward"), file.defaults.achievement_reward, names)
    yield from _reward(("defaults", "quest_reward"), file.defaults.quest_reward, names)
    if entries.levels is not None:
        yield from _levels(entries.levels, names)
    yield from _rules(entries, names)
    yield from _boosts(entries.boosts, names)
    yield from _achievements(entries, names)
    yield from _quests(entries, names)
    yield from _streaks(entries.streaks, names)
    yield from _leaderboards(entries.leaderboards, names)


# --- What several kinds of entries have -------------------------------------------------------------------------------


def _named(loc: Loc, kind: str, name: str, known: Collection[str] | None) -> Iterator[Finding]:
    if known is not None and name not in known:
        yield Finding(loc, unknown(kind, name, known))


def _twice(section: str, field: str, codes: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, code in codes:
        if first.setdefault(code, index) != index:
            message = f"{code!r} is already the {field} of {section}[{first[code]}]; each has its own"
            yield Finding((section, index, field), message)


def _reward(loc: Loc, reward: Mapping[str, int], names: Names, *, xp: bool = True) -> Iterator[Finding]:
    currencies = names.currencies
    for unit, amount in reward.items():
        if unit == "xp":
            if not xp:
                yield Finding((*loc, unit), "is no currency; write xp beside reward, not in it")
            continue
        if currencies is not None and unit not in currencies:
            yield Finding((*loc, unit), unknown("currency", unit, [*currencies, "xp"] if xp else currencies))
        if amount < 0:
            yield Finding((*loc, unit), f"must be at least 0, not {amount}: only XP can be taken by a reward")


def _thresholds(loc: Loc, thresholds: Mapping[str, int], names: Names) -> Iterator[Finding]:
    for metric in thresholds:
        yield from _named((*loc, metric), "metric", metric, names.readable_metrics)


def _event_types(loc: Loc, patterns: Sequence[str], names: Names) -> Iterator[Finding]:
    if not names.events:
        return
    for place, pattern in enumerate(patterns):
        if any(matches_type([pattern], event) for event in names.events):
            continue
        if pattern.endswith("*"):
            groups = {f"{event.rpartition('.')[0]}.*" for event in names.events if "." in event}
            yield Finding((*loc, place), unknown("group of event types", pattern, groups))
        else:
            yield Finding((*loc, place), unknown("event type", pattern, names.events))


def _window(loc: Loc, from_: int | None, until: int | None) -> Iterator[Finding]:
    if from_ is not None and until is not None and from_ >= until:
        yield Finding((*loc, "until"), "must be later than from")


def _requires(
    section: str, entries: Indexed[AchievementTable] | Indexed[QuestTable], known: Collection[str] | None
) -> Iterator[Finding]:
    kind = section.removesuffix("s")
    first: dict[str, tuple[int, AchievementTable | QuestTable]] = {}
    for index, entry in entries:
        first.setdefault(entry.code, (index, entry))
    for index, entry in entries:
        for place, code in enumerate(entry.requires):
            yield from _named((section, index, "requires", place), kind, code, known)
    for cycle in _cycles({code: entry.requires for code, (_, entry) in first.items()}):
        start = cycle.index(min(cycle, key=lambda code: first[code][0]))
        circle = [*cycle[start:], *cycle[: start + 1]]
        message = f"requires itself, so nobody can ever get it: {' -> '.join(circle)}"
        yield Finding((section, first[circle[0]][0], "requires"), message)


def _cycles(requires: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """Yield A, B for A requires B requires A; each code in one cycle at most, and no more cycles than anybody reads."""
    graph = {code: list(dict.fromkeys(codes)) for code, codes in requires.items()}
    for _ in range(_CYCLES_MAX):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle = error.args[1][:0:-1]
            yield cycle
            for code in cycle:
                graph[code] = []
        else:
            return


# --- Currencies, metrics, levels --------------------------------------------------------------------------------------


def _currencies(currencies: Iterable[str]) -> Iterator[Finding]:
    if "xp" in currencies:
        yield Finding(("currencies", "xp"), "xp is built in and no currency; give the currency another code")


def _metrics(metrics: Mapping[str, MetricTable], names: Names) -> Iterator[Finding]:
    for code, metric in metrics.items():
        loc = ("metrics", code)
        if code in BUILT_IN:
            yield Finding(loc, f"{code} is built in; give the metric another code")
        if metric.was is not None and metric.was in (*BUILT_IN, *(names.metrics or ())):
            message = f"{metric.was!r} is still a metric; was names one that is no longer declared"
            yield Finding((*loc, "was"), message)


def _levels(levels: LevelsTable, names: Names) -> Iterator[Finding]:
    yield from _reward(("levels", "reward"), levels.reward, names)
    thresholds = levels.curve.thresholds()
    for number, at in levels.at.items():
        loc = ("levels", "at", number)
        yield from _reward((*loc, "reward"), at.reward, names)
        if int(number) > len(thresholds):
            yield Finding(loc, f"there is no level {number}: the curve ends at level {len(thresholds)}")
        if number == "1" and at.reward:
            yield Finding((*loc, "reward"), "is never paid: everybody begins at level 1")
    uneven = list(_not_rising(levels, thresholds))
    yield from uneven or _self_paying_levels(levels, thresholds)


def _not_rising(levels: LevelsTable, thresholds: Sequence[int]) -> Iterator[Finding]:
    by_table = levels.curve.kind == "table"
    given = levels.curve.max
    if by_table and given is not None and given != len(thresholds):
        yield Finding(
            ("levels", "curve", "max"), f"is {given}, but there are {len(thresholds)} thresholds; leave it out"
        )
    if thresholds[0] != 0:
        yield Finding(("levels", "curve", "thresholds", 0), f"must be 0, not {thresholds[0]}: level 1 needs no XP")
    for place, (xp, next_xp) in enumerate(pairwise(thresholds)):
        if next_xp <= xp:
            loc: Loc = ("levels", "curve", "thresholds", place + 1)
            if isinstance(levels.curve, ExponentialCurve):
                loc = ("levels", "curve", "factor")
            yield Finding(
                loc, f"level {place + 2} needs {next_xp} XP, which is not more than level {place + 1} needs ({xp})"
            )
            if not by_table:
                return


def _self_paying_levels(levels: LevelsTable, thresholds: Sequence[int]) -> Iterator[Finding]:
    """Yield one finding for the first level that pays for the next; it says how many more do."""
    paying = []
    for level in range(2, len(thresholds)):
        at = levels.at.get(str(level))
        own = (at.reward.get("xp", 0) if at else 0) + levels.bonus_xp + levels.reward.get("xp", 0)
        width = thresholds[level] - thresholds[level - 1]
        if own >= width:
            paying.append((level, own, width))
    if not paying:
        return
    level, own, width = paying[0]
    more = f" The same holds for {len(paying) - 1} more levels." if len(paying) > 1 else ""
    yield Finding(
        _most_xp(levels, level),
        f"level {level} pays {own} XP by itself, but level {level + 1} is only {width} XP away and would be reached"
        f" for nothing (level:{level} -> xp -> level:{level + 1}). Pay less, or make the curve steeper.{more}",
    )


def _most_xp(levels: LevelsTable, level: int) -> Loc:
    at = levels.at.get(str(level))
    parts: dict[Loc, int] = {
        ("levels", "bonus_xp"): levels.bonus_xp,
        ("levels", "reward", "xp"): levels.reward.get("xp", 0),
        ("levels", "at", str(level), "reward", "xp"): at.reward.get("xp", 0) if at else 0,
    }
    return max(parts, key=lambda loc: parts[loc])


# --- Rules and boosts -------------------------------------------------------------------------------------------------


def _rules(entries: Entries, names: Names) -> Iterator[Finding]:
    yield from _twice("rules", "id", ((index, rule.id) for index, rule in entries.rules))
    for index, rule in entries.rules:
        loc = ("rules", index)
        yield from _event_types((*loc, "on"), rule.on, names)
        yield from _reward((*loc, "reward"), rule.reward, names, xp=False)
        yield from _rule_options(loc, rule)
        yield from _rule_metrics(loc, rule, names)
        yield from _Data(entries.file, rule).findings(loc)
    yield from _kinds(entries.rules)


def _rule_options(loc: Loc, rule: RuleTable) -> Iterator[Finding]:
    if rule.once_by == "anyone" and rule.once_per is None:
        yield Finding(
            (*loc, "once_per"), "missing: once_by = 'anyone' needs a value that counts once, such as 'data.post'"
        )
    if rule.allow_self and rule.to is None:
        yield Finding((*loc, "to"), "missing: without it the rule pays the actor, and allow_self has no meaning")
    limit = rule.limit
    if limit is not None and limit.times is None and (limit.cooldown is None or "per" in limit.model_fields_set):
        yield Finding((*loc, "limit"), 'says no number of times; write such as { times = 1, per = "day" }')


def _rule_metrics(loc: Loc, rule: RuleTable, names: Names) -> Iterator[Finding]:
    for metric in rule.metrics:
        if metric in BUILT_IN:
            instead = "write xp = … beside metrics" if metric == "xp" else "declare another metric"
            yield Finding((*loc, "metrics", metric), f"{metric} is built in and not changed by rules; {instead}")
        else:
            yield from _named((*loc, "metrics", metric), "metric", metric, names.metrics)


def _kinds(rules: Indexed[RuleTable]) -> Iterator[Finding]:
    words = {"add": "added to", "max": "given its maximum", "distinct": "counting different values"}
    first: dict[str, tuple[str, MetricChange]] = {}
    for index, rule in rules:
        for metric, change in rule.metrics.items():
            by, before = first.setdefault(metric, (rule.id, change))
            if before.kind != change.kind:
                message = (
                    f"{metric} is {words[before.kind]} by rule {by!r}, but {words[change.kind]} here; use two metrics"
                )
                yield Finding(("rules", index, "metrics", metric), message)


def _boosts(boosts: Indexed[BoostTable], names: Names) -> Iterator[Finding]:
    yield from _twice("boosts", "id", ((index, boost.id) for index, boost in boosts))
    for index, boost in boosts:
        loc = ("boosts", index)
        yield from _event_types((*loc, "on"), boost.on, names)
        yield from _reward((*loc, "reward"), dict.fromkeys(boost.reward, 0), names, xp=False)
        yield from _window(loc, boost.from_, boost.until)
        if boost.xp is None and not boost.reward:
            yield Finding(loc, "boosts nothing; give it xp = 2.0 or reward = { sparkle = 1.5 }")


# --- Fields of the event's data ---------------------------------------------------------------------------------------

_QUOTED = re.compile(r"//[^\n\r]*|\"{3}.*?\"{3}|'{3}.*?'{3}|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL)
_READ = re.compile(r"(?<![\w.])data((?:\.[A-Za-z_]\w*)+)(?!\w*\()", re.ASCII)
_NAMED = frozenset({"string", "int", "number", "any"})
_COUNTED = _NAMED | {"list"}
_NUMBERS = frozenset({"int", "number", "any"})


class _Data:
    """
    What a rule reads of its events' data, against the declared fields.

    What is not declared is allowed unless it looks misspelled, and everything is if any of the events declares nothing.
    """

    def __init__(self, file: CatalogFile, rule: RuleTable) -> None:
        self._rule = rule
        events = [event for event in file.events if matches_type(rule.on, event)]
        declared = [file.events[event].data for event in events]
        self._known = bool(declared) and all(declared)
        self._events = " or ".join(events)
        self._types: dict[str, set[str]] = {}
        for name, kind in ((name, kind) for data in declared for name, kind in data.items()):
            self._types.setdefault(name, set()).add(kind)

    def findings(self, loc: Loc) -> Iterator[Finding]:
        """Yield what is wrong with the rule's paths and condition."""
        if not self._known:
            return
        rule = self._rule
        if rule.when is not None:
            for match in _READ.finditer(_QUOTED.sub(" ", rule.when)):
                yield from self._field((*loc, "when"), match[1][1:])
        for field, path in (("to", rule.to), ("once_per", rule.once_per)):
            if path is not None:
                yield from self._typed((*loc, field), path, _NAMED, "a text or a whole number")
        for metric, change in rule.metrics.items():
            if isinstance(change.operand, str):
                fit, wanted = (_COUNTED, "values to count") if change.kind == "distinct" else (_NUMBERS, "a number")
                yield from self._typed((*loc, "metrics", metric), change.operand, fit, wanted)

    def _typed(self, loc: Loc, path: str, fit: Collection[str], wanted: str) -> Iterator[Finding]:
        name = path.removeprefix("data.")
        missing = list(self._field(loc, name))
        yield from missing
        types = self._types.get(name, set())
        if not missing and types and types.isdisjoint(fit):
            yield Finding(loc, f"needs {wanted}, but {path} is declared as {' or '.join(sorted(types))}")

    def _field(self, loc: Loc, name: str) -> Iterator[Finding]:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            start = ".".join(parts[:length])
            types = self._types.get(start)
            if types and length < len(parts) and types.isdisjoint({"object", "any"}):
                yield Finding(loc, f"data.{start} is declared as {' or '.join(sorted(types))} and has no fields")
            if types:
                return
        meant = nearest(name, self._types)
        if meant is not None and not meant.startswith(f"{name}."):
            message = f"no field {name!r} is declared for {self._events}; did you mean {meant!r}? If not, declare it"
            yield Finding(loc, message)


# --- Achievements and quests ------------------------------------------------------------------------------------------


def _achievements(entries: Entries, names: Names) -> Iterator[Finding]:
    achievements = entries.achievements
    yield from _twice("achievements", "code", ((index, achievement.code) for index, achievement in achievements))
    yield from _requires("achievements", achievements, names.achievements)
    default = entries.file.defaults.achievement_reward
    for index, achievement in achievements:
        loc = ("achievements", index)
        yield from _thresholds((*loc, "when"), achievement.when, names)
        yield from _thresholds((*loc, "any"), achievement.any, names)
        yield from _reward((*loc, "reward"), achievement.reward, names)
        yield from _window(loc, achievement.from_, achievement.until)
        if not (achievement.when or achievement.any or achievement.requires):
            yield Finding((*loc, "when"), "missing: say what it is for, such as when = { posts = 10 }")
        if achievement.repeatable:
            yield from _repeatable(loc, achievement, default)


def _repeatable(loc: Loc, achievement: AchievementTable, default: Mapping[str, int]) -> Iterator[Finding]:
    if not (achievement.when or achievement.any):
        yield Finding((*loc, "when"), "missing: a repeatable achievement repeats with the multiples of a target")
    if not any((*default.values(), *achievement.reward.values())):
        return
    source = "" if achievement.reward else " (the one in defaults.achievement_reward)"
    for field, thresholds in (("when", achievement.when), ("any", achievement.any)):
        for metric in thresholds:
            if metric in BUILT_IN or metric.startswith("earned."):
                name = f"achievement:{achievement.code}"
                yield Finding(
                    (*loc, field, metric),
                    f"could pay itself for ever: {name} -> {metric} -> {name}. A repeatable achievement with a"
                    f" reward{source} may not read {metric}; read another metric, or do not repeat it",
                )


def _quests(entries: Entries, names: Names) -> Iterator[Finding]:
    quests = entries.quests
    yield from _twice("quests", "code", ((index, quest.code) for index, quest in quests))
    yield from _requires("quests", quests, names.quests)
    top = None if entries.levels is None else len(entries.levels.curve.thresholds())
    for index, quest in quests:
        loc = ("quests", index)
        yield from _thresholds((*loc, "goals"), quest.goals, names)
        yield from _reward((*loc, "reward"), quest.reward, names)
        yield from _window(loc, quest.from_, quest.until)
        if quest.type == "seasonal":
            missing = [field for field, value in (("from", quest.from_), ("until", quest.until)) if value is None]
            for field in missing:
                yield Finding((*loc, field), "missing: a seasonal quest has a first and a last day")
        if quest.time_limit is not None and quest.accept == "auto":
            yield Finding(
                (*loc, "accept"), 'time_limit counts from acceptance; write accept = "manual" or leave it out'
            )
        if top is not None and quest.level_required > top:
            yield Finding(
                (*loc, "level_required"), f"there is no level {quest.level_required}: the curve ends at {top}"
            )


# --- Streaks and leaderboards -----------------------------------------------------------------------------------------


def _streaks(streaks: Indexed[StreakTable], names: Names) -> Iterator[Finding]:
    yield from _twice("streaks", "code", ((index, streak.code) for index, streak in streaks))
    for index, streak in streaks:
        loc = ("streaks", index)
        yield from _event_types((*loc, "on"), streak.on, names)
        freezes = streak.freezes
        if freezes is not None and freezes.initial > freezes.max:
            message = f"must be at most max, which is {freezes.max}, not {freezes.initial}"
            yield Finding((*loc, "freezes", "initial"), message)


def _leaderboards(boards: Indexed[LeaderboardTable], names: Names) -> Iterator[Finding]:
    yield from _twice("leaderboards", "code", ((index, board.code) for index, board in boards))
    for index, board in boards:
        loc = ("leaderboards", index)
        yield from _named((*loc, "metric"), "metric", board.metric, names.readable_metrics)
        for place, period in enumerate(board.periods):
            if period in board.periods[:place]:
                yield Finding((*loc, "periods", place), f"{period!r} is listed twice")
        if board.prizes and set(board.periods) == {"alltime"}:
            message = "prizes would never be paid, since all time never ends; add daily, weekly or monthly"
            yield Finding((*loc, "periods"), message)
        yield from _prizes(loc, board, names)


def _prizes(loc: Loc, board: LeaderboardTable, names: Names) -> Iterator[Finding]:
    ranges: list[tuple[int, int]] = []
    for place, prize in enumerate(board.prizes):
        first, last = prize.ranks
        ranks: Loc = (*loc, "prizes", place, "ranks")
        yield from _reward((*loc, "prizes", place, "reward"), prize.reward, names)
        if first > last:
            yield Finding(ranks, f"must be the first and the last rank, so [{last}, {first}], not [{first}, {last}]")
        shared = [(a, b) for a, b in ranges if first <= b and a <= last]
        if shared:
            yield Finding(ranks, f"overlaps ranks [{shared[0][0]}, {shared[0][1]}] of another prize; each rank has one")
        ranges.append((first, last))

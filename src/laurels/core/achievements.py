"""
Which achievements are due, and how far along are the others? (SEMANTICS 8)

An achievement is looked at when a request changes one of its metrics or unlocks a prerequisite. Those within reach on a
metric are a prefix of its ladder, so a catalog of hundreds costs what the few concerned cost.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from laurels.core import periods
from laurels.core.changes import AchievementProgressed, AchievementUnlocked, Skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from laurels.core.catalog import Achievement, Catalog
    from laurels.core.draft import Draft
    from laurels.core.periods import Instant


#: So late is no later than now: several processes that record for one user differ by as much.
MOMENT_US = 1_000_000
#: One odd number in an event can be a quadrillion multiples of a target. What goes beyond this comes with the next
#: request that changes one of the achievement's metrics.
UNLOCKS_A_REQUEST_MAX = 1_000


def unlock_first(draft: Draft, catalog: Catalog, places: dict[str, int], skips: list[Skip]) -> bool:
    """
    Unlock the first achievement that is due, in catalog order, and pay it; False if none is.

    `places` says how many are left of each limited one and is taken from; who is due but gets none hears of it once.
    """
    for achievement in _candidates(draft, catalog):
        if not _is_due(draft, achievement):
            continue
        refusal = _refusal(draft, achievement, places)
        if refusal is None:
            _unlock(draft, achievement, places)
            return True
        refused = draft.state.refused
        if refused.get(achievement.code) != refusal.reason:
            refused[achievement.code] = refusal.reason
            skips.append(refusal)
    draft.dirty.clear()
    return False


def note_progress(draft: Draft, catalog: Catalog) -> None:
    """Report, once for each achievement still to come, that another tenth of the way was made by this request."""
    ladders = catalog.ladders
    state = draft.state
    found: dict[str, Achievement] = {}
    for metric, before in draft.before.items():
        ladder = ladders.get(metric)
        if ladder is None:
            continue
        marks, value = ladder.marks, state.metrics[metric]
        if value <= before:
            continue
        first = bisect_right(marks, before)
        if first < len(marks) and marks[first] <= value:
            for place in ladder.marked[first : bisect_right(marks, value, first)]:
                found[ladder.plain[place].code] = ladder.plain[place]
        for achievement in ladder.others:
            if achievement.code not in state.unlocks and _moved_on(draft, achievement):
                found[achievement.code] = achievement
    for achievement in _in_order(found, catalog) if found else ():
        if achievement.code not in state.unlocks and not achievement.secret and _is_open(draft, achievement):
            draft.changes.append(AchievementProgressed(achievement.code, *progress(achievement, state.value)))


def progress(achievement: Achievement, value_of: Callable[[str], int]) -> tuple[int, int]:
    """Return value and target: the sums over `when`, plus those of the best alternative (8.6)."""
    if len(achievement.when) == 1 and not achievement.any:
        part = achievement.when[0]
        return min(value_of(part.metric), part.target), part.target
    value = target = 0
    for part in achievement.when:
        value += min(value_of(part.metric), part.target)
        target += part.target
    if achievement.any:
        best = max(achievement.any, key=lambda part: min(value_of(part.metric) / part.target, 1.0))
        value += min(value_of(best.metric), best.target)
        target += best.target
    return value, target


def _candidates(draft: Draft, catalog: Catalog) -> Iterable[Achievement]:
    """Return, in catalog order, what may have become due since last time."""
    ladders = catalog.ladders
    metrics, unlocks = draft.state.metrics, draft.state.unlocks
    found: dict[str, Achievement] = {}
    for metric in draft.dirty:
        ladder = ladders.get(metric)
        if ladder is None:
            continue
        reached = bisect_right(ladder.targets, metrics[metric])
        if reached and not unlocks.keys() >= ladder.within[reached]:
            found.update((a.code, a) for a in ladder.plain[:reached] if a.code not in unlocks)
        for achievement in ladder.others:
            if achievement.repeatable or achievement.code not in unlocks:
                found[achievement.code] = achievement
    for unlocked in draft.unlocked:
        for achievement in catalog.dependents.get(unlocked.achievement, ()):
            if achievement.repeatable or achievement.code not in unlocks:
                found[achievement.code] = achievement
    return _in_order(found, catalog) if found else ()


def _in_order(found: Mapping[str, Achievement], catalog: Catalog) -> Iterable[Achievement]:
    if len(found) < 2:  # noqa: PLR2004
        return found.values()
    return sorted(found.values(), key=lambda achievement: catalog.achievement_order[achievement.code])


def _is_due(draft: Draft, achievement: Achievement) -> bool:
    unlocks = draft.state.unlocks
    if achievement.repeatable and len(draft.unlocked) >= UNLOCKS_A_REQUEST_MAX:
        return False
    return (
        _times(achievement, draft.state.value) > unlocks.get(achievement.code, 0)
        and all(code in unlocks for code in achievement.requires)
        and _is_open(draft, achievement)
    )


def _times(achievement: Achievement, value_of: Callable[[str], int]) -> int:
    """Return how often it is earned by these values: at most once unless it repeats (8.4)."""
    times = [value_of(part.metric) // part.target for part in achievement.when]
    if achievement.any:
        times.append(max(value_of(part.metric) // part.target for part in achievement.any))
    fewest = min(times, default=1)  # One that only requires others is earned with the last of them.
    return fewest if achievement.repeatable else min(fewest, 1)


def _is_open(draft: Draft, achievement: Achievement) -> bool:
    return (achievement.starts_at is None or draft.at >= achievement.starts_at) and (
        achievement.ends_at is None or draft.at < achievement.ends_at
    )


def _refusal(draft: Draft, achievement: Achievement, places: dict[str, int]) -> Skip | None:
    if achievement.max_achievers is None or achievement.code in draft.state.unlocks:
        return None
    rule = "achievement:" + achievement.code
    if draft.state.opted_out:
        return Skip(rule, "opted_out", draft.user_id)
    if places.get(achievement.code, 0) < 1:
        return Skip(rule, "not_available", draft.user_id, detail=f"all {achievement.max_achievers} places are taken")
    return None


def _unlock(draft: Draft, achievement: Achievement, places: dict[str, int]) -> None:
    state, code = draft.state, achievement.code
    times = state.unlocks.get(code, 0) + 1
    unlocked_at = _caused_at(draft, achievement)
    state.unlocks[code] = times
    if draft.memory is not None:
        draft.memory.unlock_times[code] = unlocked_at
    if achievement.max_achievers is not None and times == 1:
        places[code] -= 1
        draft.places_taken.append(code)
    change = AchievementUnlocked(code, achievement.rarity, times, periods.to_datetime(unlocked_at))
    draft.changes.append(change)
    draft.unlocked.append(change)
    if times == 1:
        draft.add("achievements", 1)
    draft.pay(achievement.reward, "achievement:" + code)


def _caused_at(draft: Draft, achievement: Achievement) -> Instant:
    """
    Return the latest own time among the requests that changed one of its metrics or unlocked a prerequisite (8.2).

    That is the request's own time, unless the user has been further: then the journal knows. It is not asked for a
    moment: where several processes record for one user, requests come late by milliseconds all the time.
    """
    if draft.at >= draft.state.latest_at - MOMENT_US:
        return max(draft.at, draft.state.latest_at)
    memory = draft.recall()
    causes = [memory.metric_times[metric] for metric in achievement.metrics if metric in memory.metric_times]
    causes += [memory.unlock_times[code] for code in achievement.requires if code in memory.unlock_times]
    return max(causes, default=draft.at)


def _moved_on(draft: Draft, achievement: Achievement) -> bool:
    """Say whether another tenth of the way was made by this request. Coming back to 0 is none of it."""
    value, target = progress(achievement, draft.state.value)
    before, target_before = progress(achievement, draft.value_before)
    return 10 * value // target > max(10 * before // target_before, 0)

"""
Which run of days (or weeks) does an event belong to now, and what is owed for it? (SEMANTICS 6)

A streak is a function of the set of qualifying days and of the days that freezes covered. A new day joins what it
touches; a gap that it shows beside the latest run is covered by freezes if there are enough; the bonus is what all
runs are owed now less what they were owed before, so the order of arrival does not matter and nothing is paid twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from laurels.core import periods
from laurels.core.changes import StreakBroken, StreakExtended, StreakFrozen
from laurels.core.state import Run, Streak

if TYPE_CHECKING:
    from laurels.core import catalog
    from laurels.core.draft import Draft
    from laurels.core.periods import Instant


Every = Literal["day", "week"]
DayStatus = Literal["met", "frozen", "excused", "missed"]
LOOKED_AT_DAYS_MAX = 400  # Beyond every freeze: whether one of so many days had no length makes no difference.


def qualify(draft: Draft, rule: catalog.Streak) -> None:
    """Count the event's own day or week for a streak; a second event of the same day does nothing."""
    state = draft.state
    streak = state.streaks.get(rule.code)
    if streak is None:
        freezes = min(rule.freezes_initial, rule.freezes_max)
        streak = state.streaks[rule.code] = Streak([], freezes, 0, draft.at, state.zone, state.day_starts_at)
    label = _label(rule.every, draft.at, state.zone, state.day_starts_at)
    runs = streak.runs
    place = _place(runs, label)
    home = runs[place] if place < len(runs) and runs[place].first <= label else None
    if streak.has_older and home is None and place < len(runs):
        draft.recall()  # A day before a run may join two, and then the document keeps one more of those before.
    if home is not None and label not in home.frozen and label not in home.bridged:
        _note_seen(streak, draft)
        return

    area = slice(max(0, place - 1), place + 2)
    owed_before, earned_before = _totals(runs[area], rule)
    if home is not None:
        _fill(streak, home, label, rule)
        run, around = home, runs[area]
    else:
        run, around = _insert(streak, place, label, draft, rule)
        runs[area] = around
    owed_now, earned_now = _totals(around, rule)
    _note_seen(streak, draft)
    _add_freezes(streak, earned_now - earned_before, rule)
    streak.longest = max(streak.longest, run.length)
    draft.changes.append(
        StreakExtended(
            rule.code, run.length, label, runs[-1].length, streak.longest, streak.freezes, tuple(run.bridged)
        )
    )
    draft.submit("streak." + rule.code, run.length)
    draft.award_xp(owed_now - owed_before, "streak:" + rule.code)


def owed(length: int, rule: catalog.Streak) -> int:
    """Return B(n), what a run of n days is owed in all: step k, from the second on, pays k x xp_per_step, capped."""
    step, cap = rule.xp_per_step, rule.max_xp
    if length < 2 or step <= 0:  # noqa: PLR2004  the first day pays nothing
        return 0
    rising = max(1, min(length, cap // step))  # The last step that is not above the cap; step 1 is left out below.
    return step * (rising * (rising + 1) // 2 - 1) + cap * (length - rising)


def shown_length(streak: Streak, every: Every, at: Instant, zone: str, day_starts_at: int) -> int:
    """Return the length that a reader sees at an instant: 0 once freezes cannot cover the whole days missed since."""
    latest = streak.runs[-1]
    missed = _missed_since(streak, every, at, zone, day_starts_at)
    return latest.length if len(missed) <= streak.freezes else 0


def status_of(streak: Streak, label: int) -> DayStatus:
    """Return what became of a day (or week) of a streak; the document must not have forgotten it."""
    for run in streak.runs:
        if run.first <= label <= run.last:
            if label in run.frozen:
                return "frozen"
            return "excused" if label in run.bridged else "met"
    return "missed"


def _label(every: Every, at: Instant, zone: str, day_starts_at: int) -> int:
    day = periods.local_day(at, zone, day_starts_at)
    return day if every == "day" else periods.week_of_day(day)


def _place(runs: list[Run], label: int) -> int:
    """Return the index of the first run that ends at `label` or later; late days are rare, so look from the end."""
    place = len(runs)
    while place and runs[place - 1].last >= label:
        place -= 1
    return place


def _totals(runs: list[Run], rule: catalog.Streak) -> tuple[int, int]:
    """Return what some runs are owed in all, and how many freezes they earned."""
    every = rule.freezes_earn_every
    return sum(owed(run.length, rule) for run in runs), sum(run.length // every for run in runs) if every else 0


def _add_freezes(streak: Streak, number: int, rule: catalog.Streak) -> None:
    if number > 0:
        streak.freezes = max(streak.freezes, min(rule.freezes_max, streak.freezes + number))


def _fill(streak: Streak, run: Run, label: int, rule: catalog.Streak) -> None:
    """Let a day inside a run qualify after all; the freeze that covered it comes back."""
    if label in run.frozen:
        run.frozen.remove(label)
        _add_freezes(streak, 1, rule)
    else:
        run.bridged.remove(label)


def _note_seen(streak: Streak, draft: Draft) -> None:
    """Remember when and where the latest event was, on whatever day; a change of zone is measured from there."""
    if draft.at > streak.seen_at:
        streak.seen_at, streak.zone, streak.day_starts_at = draft.at, draft.state.zone, draft.state.day_starts_at


def _insert(streak: Streak, place: int, label: int, draft: Draft, rule: catalog.Streak) -> tuple[Run, list[Run]]:
    """
    Put a day outside every run among its neighbours; return its run, and all the runs that stand there now.

    The gap after it comes first: only a run that is joined to the latest one may spend freezes on the gap before.
    """
    runs = streak.runs
    left = runs[place - 1] if place else None
    right = runs[place] if place < len(runs) else None
    run, before, after = Run(label, label), [], []
    is_latest = right is None
    if right is not None:
        missed = _missed(run, right, draft, rule.every)
        if not missed or (right is runs[-1] and len(missed) <= streak.freezes):
            run = _join(streak, run, right, missed, draft, rule)
            is_latest = right is runs[-1]
        else:
            after = [right]
    after += runs[place + 1 : place + 2]
    if left is not None:
        if right is None:
            missed = _missed_since(streak, rule.every, draft.at, draft.state.zone, draft.state.day_starts_at)
        else:
            missed = _missed(left, run, draft, rule.every)
        if not missed or (is_latest and len(missed) <= streak.freezes):
            run = _join(streak, left, run, missed, draft, rule)
        else:
            before = [left]
            if right is None:
                draft.changes.append(StreakBroken(rule.code, left.length, len(missed), streak.freezes))
    return run, [*before, run, *after]


def _missed(left: Run, right: Run, draft: Draft, every: Every) -> list[int]:
    """Return the labels between two runs that somebody could have met."""
    return _meetable(left.last + 1, right.first, every, draft.state.zone, draft.state.day_starts_at)


def _missed_since(streak: Streak, every: Every, at: Instant, zone: str, day_starts_at: int) -> list[int]:
    """
    Return the labels missed between the latest run and an instant.

    After a change of zone only as many count as are missed by the labels, by the old zone and by the new one.
    """
    last = streak.runs[-1].last
    old, new = (streak.zone, streak.day_starts_at), (zone, day_starts_at)
    missed = _meetable(last + 1, _label(every, at, *new), every, *new)
    if not missed or old == new:
        return missed
    by_old = _meetable(last + 1, _label(every, at, *old), every, *old)
    by_new = _meetable(_label(every, streak.seen_at, *new) + 1, _label(every, at, *new), every, *new)
    smallest = min(len(missed), len(by_old), len(by_new))
    return missed[len(missed) - smallest :]


def _meetable(first: int, end: int, every: Every, zone: str, day_starts_at: int) -> list[int]:
    """Return the labels of a gap without the days that have no length: those nobody can miss."""
    labels = range(first, end)
    if every == "week" or len(labels) > LOOKED_AT_DAYS_MAX:
        return list(labels)
    return [label for label in labels if not periods.is_empty_day(label, zone, day_starts_at)]


def _join(streak: Streak, left: Run, right: Run, missed: list[int], draft: Draft, rule: catalog.Streak) -> Run:
    """Join two runs: freezes cover what was missed between them, the rest of the gap nobody could meet."""
    if missed:
        streak.freezes -= len(missed)
        draft.changes.append(StreakFrozen(rule.code, left.length, tuple(missed), streak.freezes))
    bridged = [label for label in range(left.last + 1, right.first) if label not in missed]
    return Run(
        left.first,
        right.last,
        sorted(left.frozen + missed + right.frozen),
        sorted(left.bridged + bridged + right.bridged),
    )

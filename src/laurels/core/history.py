"""
What a user's document forgets, when a late request needs it back, and how it comes back from the journal.

Whatever could grow for ever is kept in its newest part: three windows and eight uses of each limited rule, three runs
of each streak, one window of each quest. A request in order never needs more. A late one that does raises Forgotten;
the shell then loads the user's whole journal and decides again, so the answer is exact at any age.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from laurels.core.changes import (
    AchievementUnlocked,
    QuestCompleted,
    QuestLeft,
    RuleUsed,
    StreakExtended,
    StreakFrozen,
    contributions,
)
from laurels.core.periods import from_datetime
from laurels.core.state import QuestRun, Run, UserState, Uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from laurels.core.changes import Change
    from laurels.core.periods import Instant

WINDOWS_KEPT = 3
USES_KEPT = 8
RUNS_KEPT = 3
COMPLETIONS_KEPT = 8


class Forgotten(Exception):
    """
    A late request needs what the user's document no longer holds.

    No failure: load the user's memory, decide again.
    """

    def __init__(self, user_id: str) -> None:
        super().__init__(user_id)
        self.user_id = user_id


@dataclass(slots=True)
class Memory:
    """
    What a user's document does not hold, put together from the journal for a batch with late requests.

    `metric_times` are the latest own times at which metrics changed, `unlock_times` those of unlocks, `windows` the
    runs of quests in windows before the newest.
    """

    metric_times: dict[str, Instant] = field(default_factory=dict)
    unlock_times: dict[str, Instant] = field(default_factory=dict)
    windows: dict[tuple[str, int], QuestRun] = field(default_factory=dict)

    def note_change(self, metric: str, at: Instant) -> None:
        """Remember that a metric changed."""
        self.metric_times[metric] = max(at, self.metric_times.get(metric, at))


def remember(
    state: UserState, rows: Iterable[tuple[Instant, Sequence[Change]]], runs: Iterable[tuple[str, QuestRun]]
) -> Memory:
    """
    Return a user's memory, and give the document all its uses and runs back.

    `rows` are the own times and changes of the user's whole journal in order of version, `runs` the completed quest
    runs.
    """
    memory = Memory()
    uses: dict[str, Uses] = {}
    days: dict[str, _Days] = {}
    best: dict[str, int] = {}
    completed_at: dict[str, list[Instant]] = {}
    for at, changes in rows:
        for metric, delta, value in contributions(changes):
            if delta or value > best.get(metric, -1):
                memory.note_change(metric, at)
                best[metric] = max(value, best.get(metric, value))
        for change in changes:
            match change:
                case RuleUsed():
                    used = uses.setdefault(change.rule, Uses())
                    used.windows[change.label] = used.windows.get(change.label, 0) + 1
                    insort(used.times, at)
                case StreakExtended():
                    known = days.setdefault(change.streak, _Days())
                    known.met.add(change.label)
                    known.bridged.update(change.bridged)
                case StreakFrozen():
                    days.setdefault(change.streak, _Days()).frozen.update(change.labels)
                case AchievementUnlocked():
                    memory.unlock_times[change.achievement] = from_datetime(change.unlocked_at)
                case QuestLeft():
                    memory.windows[change.quest, change.run.label] = change.run
                case QuestCompleted():
                    insort(completed_at.setdefault(change.quest, []), at)
                case _:
                    pass
    for code in state.completed_at:
        state.completed_at[code] = completed_at.get(code, [])
    for rule, known_uses in uses.items():
        kept = state.uses.setdefault(rule, Uses())
        kept.windows = known_uses.windows if kept.windows else {}
        kept.times = known_uses.times if kept.times else []
    for code, known in days.items():
        if code in state.streaks:
            state.streaks[code].runs = known.runs()
            state.streaks[code].has_older = False
    for quest, run in runs:
        there = memory.windows.get((quest, run.label))
        if there is None or run.number >= there.number:
            memory.windows[quest, run.label] = run
    return memory


def forget(state: UserState) -> None:
    """Cut the document back to what it keeps."""
    for uses in state.uses.values():
        if len(uses.windows) > WINDOWS_KEPT:
            uses.windows = {label: uses.windows[label] for label in sorted(uses.windows)[-WINDOWS_KEPT:]}
        del uses.times[:-USES_KEPT]
    for streak in state.streaks.values():
        if len(streak.runs) > RUNS_KEPT:
            del streak.runs[:-RUNS_KEPT]
            streak.has_older = True
    for times in state.completed_at.values():
        del times[:-COMPLETIONS_KEPT]


@dataclass(slots=True)
class _Days:
    """The labels of one streak: those met, those frozen when they were missed, those that count as not missed."""

    met: set[int] = field(default_factory=set)
    frozen: set[int] = field(default_factory=set)
    bridged: set[int] = field(default_factory=set)

    def runs(self) -> list[Run]:
        """Return the runs that these labels make."""
        frozen = self.frozen - self.met
        bridged = self.bridged - self.met - frozen
        runs: list[Run] = []
        for label in sorted(self.met | frozen | bridged):
            if not runs or label > runs[-1].last + 1:
                runs.append(Run(label, label))
            run = runs[-1]
            run.last = label
            if label in frozen:
                run.frozen.append(label)
            elif label in bridged:
                run.bridged.append(label)
        return runs

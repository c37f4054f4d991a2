"""
What a user's document forgets, when a late event needs it back, and how it comes back from the journal.

Whatever could grow for ever is kept in its newest part: eight windows and uses of each limited rule, eight runs of each
streak, three windows of each quest. An event in order never needs more. A late one that does gets all of it back first, and
the answer is exact at any age.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from laurels.core import periods
from laurels.core.changes import RuleUsed, StreakExtended, StreakFrozen
from laurels.core.state import Quest, QuestRun, Run, UserState, Uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from laurels.core.catalog import Catalog
    from laurels.core.changes import Change
    from laurels.core.periods import Instant
    from laurels.core.requests import Request

USES_KEPT = 8
RUNS_KEPT = 8
QUEST_WINDOWS_KEPT = 3
COMPLETIONS_KEPT = 8

#: A quest and the label of one of its windows.
QuestWindow = tuple[str, int]


@dataclass(slots=True)
class Wanted:
    """What late events need back for one user: the journal, and some windows of quests."""

    journal: bool = False
    windows: set[QuestWindow] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether anything is wanted."""
        return self.journal or bool(self.windows)


def want(wanted: Wanted, state: UserState, request: Request, catalog: Catalog) -> None:
    """Add what a late request, one before the user's latest, needs to know of the user beyond the document."""
    day = periods.local_day(request.at, state.zone, state.day_starts_at)
    for code, quest in state.quests.items():
        if code in catalog.quests and len(quest.windows) >= QUEST_WINDOWS_KEPT:
            label = periods.period_label(catalog.quests[code].period, day)
            if label < min(quest.windows):
                wanted.windows.add((code, label))
    if request.command is not None or wanted.journal:
        return
    matches = catalog.matches.of(request.type)
    for rule in matches.rules:
        uses = state.uses.get(rule.id)
        if rule.limit is None or uses is None:
            continue
        label = periods.window_label(rule.limit.per, request.at, state.zone, state.day_starts_at)
        older_window = len(uses.windows) >= USES_KEPT and label < min(uses.windows)
        older_use = len(uses.times) >= USES_KEPT and request.at - rule.limit.cooldown < uses.times[0]
        wanted.journal |= older_window or older_use
    for streak in matches.streaks:
        known = state.streaks.get(streak.code)
        label = day if streak.every == "day" else periods.week_of_day(day)
        wanted.journal |= known is not None and known.has_older and label < known.runs[0].first


def remember_journal(state: UserState, rows: Iterable[tuple[Instant, Sequence[Change]]]) -> None:
    """Put back every use and every run, from all of the user's own times and changes."""
    uses: dict[str, Uses] = {}
    met: dict[str, set[int]] = {}
    frozen: dict[str, set[int]] = {}
    bridged: dict[str, set[int]] = {}
    for at, changes in rows:
        for change in changes:
            if isinstance(change, RuleUsed):
                used = uses.setdefault(change.rule, Uses())
                used.windows[change.label] = used.windows.get(change.label, 0) + 1
                used.times.append(at)
            elif isinstance(change, StreakExtended):
                met.setdefault(change.streak, set()).add(change.label)
                bridged.setdefault(change.streak, set()).update(change.bridged)
            elif isinstance(change, StreakFrozen):
                frozen.setdefault(change.streak, set()).update(change.labels)
    for rule, known in uses.items():
        kept = state.uses.setdefault(rule, Uses())
        kept.windows = known.windows
        kept.times = sorted(known.times) if kept.times else []
    for code, labels in met.items():
        if code in state.streaks:
            covered = frozen.get(code, set()) - labels
            state.streaks[code].runs = _runs(labels, covered, bridged[code] - labels - covered)
            state.streaks[code].has_older = False


def remember_window(state: UserState, code: str, label: int, run: QuestRun | None, times: Iterable[Instant]) -> None:
    """Put back one window of a quest, if it ever counted anything, and the own times of all completions."""
    quest = state.quests.setdefault(code, Quest())
    if run is not None:
        quest.windows[label] = run
    quest.times = sorted(times)


def forget(state: UserState, catalog: Catalog) -> list[tuple[str, int, QuestRun]]:
    """Cut the document back to what it keeps; return the quest windows that must be stored elsewhere."""
    for uses in state.uses.values():
        if len(uses.windows) > USES_KEPT:
            uses.windows = {label: uses.windows[label] for label in sorted(uses.windows)[-USES_KEPT:]}
        del uses.times[:-USES_KEPT]
    for streak in state.streaks.values():
        if len(streak.runs) > RUNS_KEPT:
            del streak.runs[:-RUNS_KEPT]
            streak.has_older = True
    evicted = []
    for code, quest in state.quests.items():
        if quest.times:
            known = catalog.quests.get(code)
            del quest.times[: -COMPLETIONS_KEPT if known is not None and known.cooldown else None]
        if code in catalog.quests and len(quest.windows) > QUEST_WINDOWS_KEPT:
            for label in sorted(quest.windows)[:-QUEST_WINDOWS_KEPT]:
                evicted.append((code, label, quest.windows.pop(label)))  # noqa: PERF401  popping and noting
    return evicted


def _runs(met: set[int], frozen: set[int], bridged: set[int]) -> list[Run]:
    runs: list[Run] = []
    for label in sorted(met | frozen | bridged):
        if not runs or label > runs[-1].last + 1:
            runs.append(Run(label, label))
        run = runs[-1]
        run.last = label
        if label in frozen:
            run.frozen.append(label)
        elif label in bridged:
            run.bridged.append(label)
    return runs

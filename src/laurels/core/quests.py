"""
Which quest runs does a request count for, which does it complete, and what may be accepted or claimed? (SEMANTICS 7)

A quest counts inside its own window: the user's local day, ISO week or month, or all the time from its start to its
end. A window holds one run at a time; further ones start at 0 after the cooldown.
"""

from __future__ import annotations

from bisect import insort
from operator import ge
from typing import TYPE_CHECKING, Literal

from laurels.core import periods
from laurels.core.catalog import Reward
from laurels.core.changes import QuestAccepted, QuestClaimed, QuestCompleted, QuestLeft, QuestProgressed
from laurels.core.draft import Draft, QuestRecord
from laurels.core.errors import Conflict, Unknown
from laurels.core.history import COMPLETIONS_KEPT
from laurels.core.nearest import unknown
from laurels.core.state import QuestRun, Unclaimed

if TYPE_CHECKING:
    from laurels.core import commands
    from laurels.core.catalog import Catalog, Quest
    from laurels.core.periods import Instant
    from laurels.core.state import UserState

QuestStatus = Literal["locked", "available", "in_progress", "completed", "claimed", "expired"]


def complete_first(draft: Draft, catalog: Catalog) -> bool:
    """Count what moved since last time; complete the first quest fulfilled, in catalog order, or return False."""
    if draft.moves:
        _count(draft, catalog)
    fulfilled = draft.fulfilled
    if not fulfilled:
        return False
    code = next(iter(fulfilled)) if len(fulfilled) == 1 else next(code for code in catalog.quests if code in fulfilled)
    _complete(draft, fulfilled.pop(code))
    return True


def _count(draft: Draft, catalog: Catalog) -> None:
    """Add what moved to the runs that this request counts for."""
    moves, draft.moves = draft.moves, []
    goals_on, runs = catalog.goals_on, draft.quest_runs
    for metric, amount, values in moves:
        if metric not in goals_on:
            continue
        for quest, place, kind in goals_on[metric]:
            code = quest.code
            run = runs[code] if code in runs else _run_of(draft, quest)
            if run is None or code in draft.completed:
                continue
            if kind == "add":
                run.counts[place] += amount
            elif kind == "max":
                run.counts[place] = max(run.counts[place], amount)
            else:
                run.counts[place] = _see(run, metric, values, quest.targets[place])
            if run.counts[place] >= quest.targets[place] and is_fulfilled(run, quest):
                draft.fulfilled[code] = quest
            elif draft.fulfilled:
                draft.fulfilled.pop(code, None)


def _run_of(draft: Draft, quest: Quest) -> QuestRun | None:
    """Return the run that this request counts for, looked up once, with what it stood at remembered."""
    code = quest.code
    run = _counting_run(draft, quest)
    draft.quest_runs[code] = run
    if run is not None:
        if len(run.counts) != len(quest.targets):  # The catalog's goals were edited while it ran.
            run.counts = (run.counts + [0] * len(quest.targets))[: len(quest.targets)]
        draft.quest_progress[code] = progress(run, quest)
        if run is not draft.state.quests[code]:
            draft.changes.append(QuestLeft(code, run))  # Written when the request is decided: what it stands at then.
    return run


def _see(run: QuestRun, metric: str, values: tuple[str, ...], target: int) -> int:
    """Note different values, no more of them than the goal asks for, and return how many there are."""
    if run.seen is None:
        run.seen = {}
    seen = run.seen.setdefault(metric, [])
    seen += [value for value in values if value not in seen][: target - len(seen)]
    return len(seen)


def _complete(draft: Draft, quest: Quest) -> None:
    """Complete a fulfilled run, and claim it at once unless that is the user's to do."""
    state, code = draft.state, quest.code
    run = draft.quest_runs[code]
    assert run is not None
    key = run_key(quest, run.label, run.number)
    run.completed_at = draft.at
    state.completions[code] = state.completions.get(code, 0) + 1
    if quest.cooldown:
        insort(state.completed_at.setdefault(code, []), draft.at)
    draft.completed.add(code)
    draft.changes.append(QuestCompleted(code, key))
    draft.add("quests", 1)
    auto = quest.claim == "auto"
    draft.quest_records.append(QuestRecord(code, key, draft.at, draft.at if auto else None))
    if auto:
        draft.changes.append(QuestClaimed(code, key))
        draft.pay(quest.reward, "quest:" + code)
    else:
        state.unclaimed.setdefault(code, []).append(Unclaimed(key, quest.reward.xp, quest.reward.currencies))


def note_progress(draft: Draft, catalog: Catalog) -> None:
    """Report, once for each quest counted and not completed by this request, that another tenth of the way was made."""
    counted = draft.quest_progress
    for code in counted if len(counted) == 1 else [code for code in catalog.quests if code in counted]:
        if code in draft.completed:
            continue
        before, quest, run = counted[code], catalog.quests[code], draft.quest_runs[code]
        assert run is not None
        value = progress(run, quest)
        if value > before and 10 * value // quest.total > max(10 * before // quest.total, 0):
            key = run_key(quest, run.label, run.number)
            draft.changes.append(QuestProgressed(code, key, value, quest.total))


def accept(command: commands.AcceptQuest, draft: Draft, catalog: Catalog) -> None:
    """Start a run of a quest that counts from acceptance. Raises Unknown or Conflict before anything changed."""
    quest = _known(command.quest, catalog)
    if not quest.enabled or not _is_open(quest, draft.at):
        raise Conflict("quest_not_available", f"Quest {quest.code!r} is not open now.")
    if quest.accept == "auto":
        raise Conflict("quest_not_available", f"Quest {quest.code!r} runs by itself; there is nothing to accept.")
    if not is_unlocked(draft, quest):
        raise Conflict("quest_locked", _why_locked(quest, draft.state))
    label = _label(quest, draft)
    run = _window(draft, quest, label)
    number = 1
    if run is not None and run.is_completed:
        if run.number >= quest.max_completions or draft.at < run.completed_at + quest.cooldown:
            raise Conflict(
                "quest_not_available", f"Quest {quest.code!r} is completed and cannot be accepted again yet."
            )
        number = run.number + 1
    elif run is not None:
        if not run.until or draft.at < run.until:
            raise Conflict("quest_already_accepted", f"Quest {quest.code!r} is running already.")
        number = run.number
    if _cools_down(draft, quest):
        raise Conflict("quest_not_available", f"Quest {quest.code!r} cannot be accepted again yet.")
    until = draft.at + quest.time_limit if quest.time_limit else 0
    _open_window(draft, quest, QuestRun(label, number, [0] * len(quest.goals), draft.at, until))
    draft.changes.append(QuestAccepted(quest.code, run_key(quest, label, number)))


def claim(command: commands.ClaimQuest, draft: Draft, catalog: Catalog, claimed: frozenset[str]) -> None:
    """
    Pay a completed run: the oldest unclaimed one, or that of `period`; `claimed` are the keys claimed before.

    Raises Unknown or Conflict before anything changed. What was completed can be claimed for ever.
    """
    unclaimed = draft.state.unclaimed.get(command.quest, [])
    waiting = [run for run in unclaimed if command.period in (None, run.period)]
    if waiting:
        oldest = min(waiting, key=_in_order)
        unclaimed.remove(oldest)
        draft.quest_records.append(QuestRecord(command.quest, oldest.period, None, draft.at))
        draft.changes.append(QuestClaimed(command.quest, oldest.period))
        draft.pay(Reward(xp=oldest.xp, currencies=oldest.currencies), "quest:" + command.quest)
        return
    quest = _known(command.quest, catalog)
    run = draft.state.quests.get(command.quest)  # The current run is the newest there is, also before today's begins.
    current = run_key(quest, run.label, run.number) if run is not None else run_key(quest, _label(quest, draft), 1)
    wanted = command.period or current
    if wanted in claimed or (wanted == current and run is not None and run.is_completed):
        raise Conflict("already_claimed", f"Quest {quest.code!r} of {wanted} is claimed already.")
    if not is_unlocked(draft, quest):
        raise Conflict("quest_locked", _why_locked(quest, draft.state))
    raise Conflict("quest_not_completed", f"Quest {quest.code!r} of {wanted} is not completed.")


def is_unlocked(draft: Draft, quest: Quest) -> bool:
    """Say whether level and prerequisites were met before this request, which is when they must be (7.3)."""
    if quest.level_required > 1 and draft.value_before("level") < quest.level_required:
        return False
    return not quest.requires or all(_completions_before(draft, code) > 0 for code in quest.requires)


def run_key(quest: Quest, label: int, number: int) -> str:
    """Return how a run is named: its period, `once` for all time, and `#2` and so on for further runs."""
    period = "once" if quest.period == "alltime" else periods.period_key(quest.period, label)
    return period if number == 1 else f"{period}#{number}"


def label_of(quest: Quest, key: str) -> int:
    """Return the label of the window that a run's key names."""
    return 0 if quest.period == "alltime" else periods.parse_period_key(quest.period, key.partition("#")[0])


def nearest_window(quest: Quest, draft: Draft) -> int:
    """Return the label of the current window; of the first before the quest begins, of the last once it is over."""
    at = draft.at
    if quest.ends_at is not None:
        at = min(at, quest.ends_at - 1)
    if quest.starts_at is not None:
        at = max(at, quest.starts_at)
    return periods.period_label(quest.period, periods.local_day(at, draft.state.zone, draft.state.day_starts_at))


def bounds(quest: Quest, label: int, state: UserState) -> tuple[Instant | None, Instant | None]:
    """Return when a window of the quest starts and ends for a user; None where it is open."""
    starts_at, ends_at = periods.period_bounds(quest.period, label, state.zone, state.day_starts_at)
    starts = [at for at in (starts_at, quest.starts_at) if at is not None]
    ends = [at for at in (ends_at, quest.ends_at) if at is not None]
    return max(starts, default=None), min(ends, default=None)


def status(quest: Quest, run: QuestRun, key: str, draft: Draft) -> QuestStatus:
    """Return how a run stands at the draft's instant. Reading is all it takes: expiry is nothing that happens (7.6)."""
    if run.is_completed:
        waits = any(waiting.period == key for waiting in draft.state.unclaimed.get(quest.code, ()))
        return "completed" if waits else "claimed"
    _, ends_at = bounds(quest, run.label, draft.state)
    if (ends_at is not None and draft.at >= ends_at) or (run.until and draft.at >= run.until):
        return "expired"
    if not is_unlocked(draft, quest):
        return "locked"
    return "in_progress" if any(run.counts) else "available"


def stored_run(quest: Quest, key: str, completed_at: Instant) -> QuestRun:
    """Return a completed run from what its row says."""
    _, _, number = key.partition("#")
    return QuestRun(label_of(quest, key), int(number or 1), list(quest.targets), completed_at=completed_at)


def _completions_before(draft: Draft, code: str) -> int:
    return draft.state.completions.get(code, 0) - (code in draft.completed)


def _counting_run(draft: Draft, quest: Quest) -> QuestRun | None:
    """Return the run that a request counts for, opened if need be; None where its own time lies in no run."""
    at = draft.at
    if quest.cooldown and _cools_down(draft, quest):
        return None
    label = periods.period_label(quest.period, draft.day)
    run = draft.state.quests.get(quest.code)
    if run is None or run.label != label:
        run = _window(draft, quest, label)
    number, counts_from = 1, 0
    if run is not None:
        if run.completed_at < 0:
            counts = run.counts_from <= at and (not run.until or at < run.until)
            return run if counts and (quest.is_free or _is_allowed(draft, quest)) else None
        if run.number >= quest.max_completions or at < run.completed_at + quest.cooldown:
            return None
        number, counts_from = run.number + 1, run.completed_at + quest.cooldown
    if quest.accept == "manual" or not (quest.is_free or _is_allowed(draft, quest)):
        return None
    run = QuestRun(label, number, [0] * len(quest.targets), counts_from)
    _open_window(draft, quest, run)
    return run


def _is_allowed(draft: Draft, quest: Quest) -> bool:
    return _is_open(quest, draft.at) and is_unlocked(draft, quest)


def _window(draft: Draft, quest: Quest, label: int) -> QuestRun | None:
    """Return the newest run in a window of the quest; a window before the newest one has to be remembered."""
    run = draft.state.quests.get(quest.code)
    if run is None or run.label < label:
        return None
    return run if run.label == label else draft.recall().windows.get((quest.code, label))


def _open_window(draft: Draft, quest: Quest, run: QuestRun) -> None:
    """Begin a run: in the user's document if its window is the newest, which puts the run there aside."""
    code = quest.code
    there = draft.state.quests.get(code)
    if there is not None and there.label > run.label:
        draft.recall().windows[code, run.label] = run
        return
    if there is not None and there.label < run.label:
        if draft.memory is not None:
            draft.memory.windows[code, there.label] = there
        if not there.is_completed:  # A completed one has a row already.
            draft.changes.append(QuestLeft(code, there))
    draft.state.quests[code] = run


def progress(run: QuestRun, quest: Quest) -> int:
    """Return how much of `quest.total` a run has: the sum over its goals, none counted beyond its target."""
    if len(quest.targets) == 1:
        return min(run.counts[0], quest.total)
    return sum(map(min, run.counts, quest.targets))


def is_fulfilled(run: QuestRun, quest: Quest) -> bool:
    """Say whether every goal is met."""
    return all(map(ge, run.counts, quest.targets))


def _label(quest: Quest, draft: Draft) -> int:
    return periods.period_label(quest.period, draft.day)


def _is_open(quest: Quest, at: Instant) -> bool:
    return (quest.starts_at is None or at >= quest.starts_at) and (quest.ends_at is None or at < quest.ends_at)


def _cools_down(draft: Draft, quest: Quest) -> bool:
    completed = draft.state.completed_at.get(quest.code, [])
    if len(completed) >= COMPLETIONS_KEPT and draft.at < completed[0]:
        draft.recall()  # Gives the list its older times back.
    return any(time <= draft.at < time + quest.cooldown for time in completed)


def _in_order(run: Unclaimed) -> tuple[str, int]:
    period, _, number = run.period.partition("#")
    return period, int(number or 1)


def _known(code: str, catalog: Catalog) -> Quest:
    if code not in catalog.quests:
        raise Unknown("unknown_quest", unknown("quest", code, catalog.quests))
    return catalog.quests[code]


def _why_locked(quest: Quest, state: UserState) -> str:
    missing = [code for code in quest.requires if not state.completions.get(code)]
    needs = [f"level {quest.level_required}"] if state.value("level") < quest.level_required else []
    return f"Quest {quest.code!r} is locked: it needs {', '.join(needs + missing)} first."

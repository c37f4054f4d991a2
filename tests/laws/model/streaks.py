"""Days and weeks in a row: the set of qualifying ones and of those covered (6.2 to 6.6)."""

from __future__ import annotations

from itertools import chain

from tests.laws.model.calendar import local_day
from tests.laws.model.ledger import award_xp, part_of, submit, tell
from tests.laws.model.rules import is_on


def apply_streaks(work, event) -> None:
    for streak in work["world"]["tree"]["streaks"]:
        if is_on(streak["on"], event.type):
            qualify(part_of(work, event.user), streak)


def streak_label(streak, at, zone, day_starts_at) -> int:
    day = local_day(at, zone, day_starts_at).toordinal()
    return (day - 1) // 7 if streak.get("every") == "week" else day


def runs_of(known) -> list[list[int]]:
    """Days next to each other, be they met, frozen or bridged, oldest run first."""
    runs: list[list[int]] = []
    for label in sorted(known["met"] | known["frozen"] | known["bridged"]):
        if runs and label == runs[-1][-1] + 1:
            runs[-1].append(label)
        else:
            runs.append([label])
    return runs


def length(known, run) -> int:
    return len(known["met"].intersection(run))


def qualify(part, streak) -> None:
    user, at = part["user"], part["at"]
    freezes = streak.get("freezes", {})
    place = (user["zone"], user["day_starts_at"])
    fresh = {"met": set(), "frozen": set(), "bridged": set(), "freezes": freezes.get("initial", 0), "longest": 0}
    known = user["streaks"].setdefault(streak["code"], fresh)
    label = streak_label(streak, at, *place)
    if label in known["met"]:
        if label == max(known["met"]):
            known["seen"] = max(known["seen"], (at, place))
        return
    owed_before, earned_before = totals(known, streak)
    if label in known["frozen"]:
        known["frozen"].remove(label)
        give_freezes(known, streak, 1)
    known["bridged"].discard(label)
    show_gaps(part, streak, known, label)
    known["met"].add(label)
    run = next(run for run in runs_of(known) if label in run)
    if label == max(known["met"]):
        known["seen"] = (at, place)
    owed_now, earned_now = totals(known, streak)
    give_freezes(known, streak, earned_now - earned_before)
    reached = length(known, run)
    known["longest"] = max(known["longest"], reached)
    tell(part, "streak.extended", streak=streak["code"], length=reached)
    submit(part, f"streak.{streak['code']}", reached)
    award_xp(part, owed_now - owed_before, f"streak:{streak['code']}")


def give_freezes(known, streak, number) -> None:
    known["freezes"] = max(known["freezes"], min(streak.get("freezes", {}).get("max", 0), known["freezes"] + number))


def totals(known, streak) -> tuple[int, int]:
    """What all runs are owed, and the freezes that they earned (6.4, 6.5)."""
    bonus, every = streak.get("bonus", {}), streak.get("freezes", {}).get("earn_every", 0)
    lengths = [length(known, run) for run in runs_of(known)]
    steps = chain.from_iterable(range(2, one + 1) for one in lengths)
    owed = sum(min(step * bonus.get("xp_per_step", 0), bonus.get("max_xp", 0)) for step in steps)
    return owed, sum(one // every for one in lengths) if every else 0


def show_gaps(part, streak, known, label) -> None:
    """
    Cover the days missed right before or after a new day, if that lengthens the latest run (6.3).

    Choice: the gap after the day comes first, since only then may it stand in the latest run itself.
    """
    if label in known["met"] | known["frozen"]:
        return
    runs = runs_of(known)
    earlier = [run for run in runs if run[-1] < label]
    later = [run for run in runs if run[0] > label]
    first = label
    if later:
        missed = set(range(label + 1, later[0][0]))
        if len(later) > 1 or not cover(part, streak, known, missed):
            return
        first = label
    if earlier:
        missed = set(range(earlier[-1][-1] + 1, first))
        if not later:
            missed = excuse_travel(part, streak, known, label, missed)
        if not cover(part, streak, known, missed) and not later:
            lost = length(known, earlier[-1])
            tell(
                part, "streak.broken", streak=streak["code"], length=lost, missed=len(missed), freezes=known["freezes"]
            )


def cover(part, streak, known, missed) -> bool:
    if len(missed) > known["freezes"]:
        return False
    if missed:
        known["freezes"] -= len(missed)
        known["frozen"] |= missed
        tell(part, "streak.frozen", streak=streak["code"])
    return True


def excuse_travel(part, streak, known, label, missed) -> set:
    """
    After a move a day is missed only by the labels, by the old zone and by the new one (6.6).

    Choice: of the labels in between, those right before the new day are the missed ones.
    """
    seen_at, old = known["seen"]
    new = (part["user"]["zone"], part["user"]["day_starts_at"])
    if old == new:
        return missed
    by_old = streak_label(streak, part["at"], *old) - max(known["met"]) - 1
    by_new = label - streak_label(streak, seen_at, *new) - 1
    smallest = max(0, min(len(missed), by_old, by_new))
    excused = set(sorted(missed)[: len(missed) - smallest])
    if missed - excused and len(missed - excused) > known["freezes"]:
        return missed - excused
    known["bridged"] |= excused
    return missed - excused

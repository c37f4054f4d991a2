"""
Laurels as a plain dict: what the SEMANTICS say, written down once more without any regard for speed.

It reads a catalog's tree as it stands in the file, knows nothing of the engine, and recomputes from all that ever
happened wherever that is simpler: days of a streak are a set, uses of a limit a list, a board the sum of a user's whole
history. Numbers in brackets are sections of SEMANTICS.md; where those leave a choice, `Choice:` says which was taken.

A world is `{"tree", "users", "claims", "places", "requests"}`. `record` brings it forward and returns what a caller is
told.
"""

from __future__ import annotations

import copy
import json

from laurels.core.events import Event
from tests.laws.model.achievements import next_achievement, note_achievement, times_earned
from tests.laws.model.boards import standings
from tests.laws.model.calendar import instant_of, period_key
from tests.laws.model.commands import decide_command
from tests.laws.model.ledger import Refused, part_of, user_of, value, whole_numbers
from tests.laws.model.levels import level_of, next_level, top_level
from tests.laws.model.quests import next_quest, note_quest
from tests.laws.model.rules import apply_rules
from tests.laws.model.streaks import apply_streaks

__all__ = [
    "Refused",
    "level_of",
    "new_world",
    "period_key",
    "record",
    "set_user",
    "standings",
    "times_earned",
    "top_level",
    "value",
]


def new_world(tree) -> dict:
    return {"tree": tree, "users": {}, "claims": set(), "places": {}, "requests": {}}


def set_user(world, user_id, fields) -> None:
    user_of(world, user_id).update(fields)


def record(world, asked, now) -> dict:
    """Record one request at an instant: `{"status", "changes", "skipped"}`; Refused leaves the world alone."""
    key = (asked.user, asked.id)
    known = world["requests"].get(key)
    if known is not None:
        if known["content"] != content(asked):
            raise Refused("request_id_reused")
        return {**known["outcome"], "status": "duplicate"}
    before = copy.deepcopy({name: world[name] for name in ("users", "claims", "places")})
    try:
        outcome = decide(world, asked, now)
    except Refused:
        world.update(before)
        raise
    world["requests"][key] = {"content": content(asked), "asked": asked, "outcome": outcome}
    return outcome


def content(asked) -> str:
    """What a repeated request must have in common with the first: all but the time, as JSON values (12.2)."""
    if isinstance(asked, Event):
        return json.dumps([asked.type, whole_numbers(asked.data)], sort_keys=True)
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return json.dumps([type(asked).__name__, fields], sort_keys=True)


def decide(world, asked, now) -> dict:
    is_timed = isinstance(asked, Event) and asked.time is not None
    at = instant_of(asked.time) if is_timed else now
    work = {"world": world, "at": at, "now": now, "parts": {}, "skipped": []}
    if isinstance(asked, Event):
        part_of(work, asked.user)
        apply_rules(work, asked)
        apply_streaks(work, asked)
    else:
        decide_command(work, asked)
    actor, *others = [asked.user, *sorted(work["parts"].keys() - {asked.user})]
    for user_id in (actor, *others):
        cascade(work, work["parts"][user_id])
    changes = [change for user_id in (actor, *others) for change in work["parts"][user_id]["changes"]]
    return {"status": "applied", "changes": changes, "skipped": work["skipped"]}


def cascade(work, part) -> None:
    """The next level; else the first achievement due; else the first quest fulfilled; until nothing applies (1.2)."""
    while next_level(part) or next_achievement(work, part) or next_quest(part):
        pass
    for achievement in part["tree"]["achievements"]:
        note_achievement(part, achievement)
    for quest in part["tree"]["quests"]:
        note_quest(part, quest)

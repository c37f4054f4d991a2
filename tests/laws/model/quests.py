"""Quest runs in their windows: a list of what moved in each, counted from the start every time (7)."""

from __future__ import annotations

from itertools import chain

from tests.laws.model.calendar import duration, is_open, local_day, period_key
from tests.laws.model.ledger import Refused, move, pay, tell


def quest_key(part, quest) -> tuple[str, str]:
    day = local_day(part["at"], part["user"]["zone"], part["user"]["day_starts_at"])
    return quest["code"], period_key(quest["type"], day)


def run_name(key, number) -> str:
    return key[1] if number == 1 else f"{key[1]}#{number}"


def is_unlocked(part, quest) -> bool:
    """Level and prerequisites were met before this request (7.3)."""
    level = part["values_before"]["level"]
    return level >= quest.get("level_required", 1) and part["completed_before"].issuperset(quest.get("requires", ()))


def cools_down(part, quest) -> bool:
    times = [at for code, _, at in part["user"]["completed"] if code == quest["code"]]
    return any(at <= part["at"] < at + duration(quest.get("cooldown", "0m")) for at in times)


def current_run(part, quest):
    """The run that this request counts for; opened where it runs by itself."""
    key, at = quest_key(part, quest), part["at"]
    if not quest.get("enabled", True) or not is_open(quest, at) or not is_unlocked(part, quest):
        return None
    if cools_down(part, quest):
        return None
    runs = part["user"]["runs"].setdefault(key, [])
    if runs and runs[-1]["completed_at"] is None:
        run = runs[-1]
        return run if run["from"] <= at and (run["until"] is None or at < run["until"]) else None
    if is_accepted(quest) or len(runs) >= quest.get("max_completions", 1):
        return None
    starts = runs[-1]["completed_at"] + duration(quest.get("cooldown", "0m")) if runs else 0
    if at < starts:
        return None
    runs.append(
        {"name": run_name(key, len(runs) + 1), "from": starts, "until": None, "completed_at": None, "moves": []}
    )
    return runs[-1]


def is_accepted(quest) -> bool:
    return quest.get("accept") == "manual" or "time_limit" in quest


def count_moves(part) -> None:
    """Count what moved for the run that the request counts for; what comes after its completion is surplus (7.4)."""
    moves, part["uncounted"] = part["uncounted"], []
    for entry in moves:
        for quest in part["tree"]["quests"]:
            if entry["metric"] in quest["goals"]:
                count_for_quest(part, quest, entry)


def count_for_quest(part, quest, entry) -> None:
    code = quest["code"]
    if code not in part["counted"]:
        run = current_run(part, quest)
        part["counted"][code] = (run, quest_progress(quest, part["tree"], run)[0] if run else 0)
    run, _ = part["counted"][code]
    if run is not None and run["completed_at"] is None:
        run["moves"].append(entry)


def goal_value(metric, tree, run) -> int:
    """What a run has of one goal: the sum, the best value or the number of different values in it (4.4)."""
    moves = [entry for entry in run["moves"] if entry["metric"] == metric]
    match metric_kind(metric, tree):
        case "max":
            return max([0, *(entry["amount"] for entry in moves)])
        case "distinct":
            return len(set(chain.from_iterable(entry["seen"] for entry in moves)))
    return sum(entry["amount"] for entry in moves)


def metric_kind(metric, tree) -> str:
    if metric.startswith("streak."):
        return "max"
    changes = [rule["metrics"][metric] for rule in tree["rules"] if metric in rule.get("metrics", {})]
    return next(iter(changes[0])) if changes and isinstance(changes[0], dict) else "add"


def quest_progress(quest, tree, run) -> tuple[int, int]:
    reached = sum(min(goal_value(metric, tree, run), target) for metric, target in quest["goals"].items())
    return reached, sum(quest["goals"].values())


def next_quest(part) -> bool:
    count_moves(part)
    for quest in part["tree"]["quests"]:
        run, _ = part["counted"].get(quest["code"], (None, 0))
        if run is None or run["completed_at"] is not None:
            continue
        if all(goal_value(metric, part["tree"], run) >= target for metric, target in quest["goals"].items()):
            complete(part, quest, run)
            return True
    return False


def complete(part, quest, run) -> None:
    code, user = quest["code"], part["user"]
    run["completed_at"] = part["at"]
    user["completed"].append((code, run["name"], part["at"]))
    part["completed"].add(code)
    tell(part, "quest.completed", quest=code, period=run["name"])
    move(part, "quests", 1)
    if quest.get("claim", "auto") == "auto":
        pay_quest(part, quest, run["name"])
    else:
        user["unclaimed"].append((code, run["name"]))


def pay_quest(part, quest, name) -> None:
    tell(part, "quest.claimed", quest=quest["code"], period=name)
    defaults = part["tree"].get("defaults", {}).get("quest_reward", {})
    pay(part, [defaults, quest.get("reward", {})], f"quest:{quest['code']}")


def note_quest(part, quest) -> None:
    run, before = part["counted"].get(quest["code"], (None, 0))
    if run is None or quest["code"] in part["completed"]:
        return
    reached, target = quest_progress(quest, part["tree"], run)
    if 10 * reached // target > max(10 * before // target, 0):
        tell(part, "quest.progressed", quest=quest["code"], period=run["name"], value=reached, target=target)


def accept(part, code) -> None:
    """Start a run (7.2). Choice: a run that goes on cannot be accepted again, one whose time is up can."""
    quest = next(quest for quest in part["tree"]["quests"] if quest["code"] == code)
    at, key = part["at"], quest_key(part, quest)
    if not quest.get("enabled", True) or not is_open(quest, at) or not is_accepted(quest):
        raise Refused("quest_not_available")
    if not is_unlocked(part, quest):
        raise Refused("quest_locked")
    runs = part["user"]["runs"].setdefault(key, [])
    if runs and runs[-1]["completed_at"] is None:
        if runs[-1]["until"] is None or at < runs[-1]["until"]:
            raise Refused("quest_already_accepted")
        runs.pop()
    if len(runs) >= quest.get("max_completions", 1) or cools_down(part, quest):
        raise Refused("quest_not_available")
    if runs and at < runs[-1]["completed_at"] + duration(quest.get("cooldown", "0m")):
        raise Refused("quest_not_available")
    until = at + duration(quest["time_limit"]) if "time_limit" in quest else None
    name = run_name(key, len(runs) + 1)
    runs.append({"name": name, "from": at, "until": until, "completed_at": None, "moves": []})
    tell(part, "quest.accepted", quest=code, period=name)


def claim(part, code) -> None:
    """Take the reward of the oldest run that waits for it (7.5). Choice: the current run is the newest there is."""
    user = part["user"]
    quest = next(quest for quest in part["tree"]["quests"] if quest["code"] == code)
    waiting = [name for owner, name in user["unclaimed"] if owner == code]
    if waiting:
        name = min(waiting, key=lambda one: (one.partition("#")[0], int(one.partition("#")[2] or 1)))
        user["unclaimed"].remove((code, name))
        return pay_quest(part, quest, name)
    windows = [(key, runs) for key, runs in user["runs"].items() if key[0] == code and runs]
    if windows and max(windows)[1][-1]["completed_at"] is not None:
        raise Refused("already_claimed")
    raise Refused("quest_not_completed" if is_unlocked(part, quest) else "quest_locked")

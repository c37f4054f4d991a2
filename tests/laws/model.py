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
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from math import ceil, floor
from zoneinfo import ZoneInfo

from laurels.core import commands
from laurels.core.events import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3600 * SECOND
DURATIONS = {"m": 60 * SECOND, "h": HOUR, "d": 24 * HOUR}


class Refused(Exception):
    """A request that is not recorded; its only argument is the error's code."""


def new_world(tree) -> dict:
    return {"tree": tree, "users": {}, "claims": set(), "places": {}, "requests": {}}


def new_user(world) -> dict:
    return {
        "zone": world["tree"]["catalog"]["timezone"],
        "day_starts_at": 0,
        "opted_out": False,
        "values": {"level": 1},
        "changed_at": {},
        "levels_paid": {1},
        "balances": {},
        "holds": {},
        "uses": {},
        "seen": {},
        "streaks": {},
        "unlocks": {},
        "told": {},
        "runs": {},
        "completed": [],
        "unclaimed": [],
        "moves": [],
    }


def user_of(world, user_id) -> dict:
    return world["users"].setdefault(user_id, new_user(world))


def set_user(world, user_id, fields) -> None:
    user_of(world, user_id).update(fields)


# --- Requests (12) ----------------------------------------------------------------------------------------------------


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


def whole_numbers(value):
    """1 and 1.0 are the same JSON number."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: whole_numbers(inner) for key, inner in value.items()}
        case list():
            return [whole_numbers(inner) for inner in value]
    return value


def decide(world, asked, now) -> dict:
    at = now
    if isinstance(asked, Event) and asked.time is not None:
        at = (asked.time - EPOCH) // timedelta(microseconds=1)
    work = {"world": world, "at": at, "now": now, "parts": {}, "skipped": []}
    if isinstance(asked, Event):
        decide_event(work, asked)
    else:
        decide_command(work, asked)
    actor, *others = [asked.user, *sorted(work["parts"].keys() - {asked.user})]
    for user_id in (actor, *others):
        cascade(work, work["parts"][user_id])
    changes = [change for user_id in (actor, *others) for change in work["parts"][user_id]["changes"]]
    return {"status": "applied", "changes": changes, "skipped": work["skipped"]}


def part_of(work, user_id) -> dict:
    """What happens to one user in this request, with what the user's values were before it."""
    part = work["parts"].get(user_id)
    if part is None:
        user = user_of(work["world"], user_id)
        part = work["parts"][user_id] = {
            "user_id": user_id,
            "user": user,
            "tree": work["world"]["tree"],
            "at": work["at"],
            "now": work["now"],
            "changes": [],
            "moved": set(),
            "unlocked": set(),
            "completed": set(),
            "counted": {},
            "values_before": dict(user["values"]),
            "completed_before": {code for code, _, _ in user["completed"]},
        }
    return part


def tell(part, change_type, **fields) -> None:
    part["changes"].append({"type": change_type, "user_id": part["user_id"], **fields})


def skip(work, rule, reason, user_id, retry_at=None, metric=None) -> None:
    work["skipped"].append({"rule": rule, "reason": reason, "user_id": user_id, "retry_at": retry_at, "metric": metric})


def value(user, metric) -> int:
    return user["values"].get(metric, 0)


def move(part, metric, amount, seen=()) -> None:
    """Move a metric that sums up (or counts different values); quests and boards hear of it with the user's own day."""
    user = part["user"]
    if amount:
        user["values"][metric] = value(user, metric) + amount
        note_change(part, metric)
    note_move(part, metric, amount, seen)


def submit(part, metric, number) -> None:
    """Submit a value to a metric that keeps the best; the first counts as it is (4.2)."""
    user = part["user"]
    if metric not in user["values"] or number > user["values"][metric]:
        user["values"][metric] = number
        note_change(part, metric)
    note_move(part, metric, number, ())


def note_change(part, metric) -> None:
    part["moved"].add(metric)
    changed_at = part["user"]["changed_at"]
    changed_at[metric] = max(changed_at.get(metric, part["at"]), part["at"])


def note_move(part, metric, amount, seen) -> None:
    day = local_day(part["at"], part["user"]["zone"], part["user"]["day_starts_at"])
    entry = {"metric": metric, "amount": amount, "seen": seen, "at": part["at"], "day": day}
    part["user"]["moves"].append(entry)
    for quest in part["tree"]["quests"]:
        if metric in quest["goals"]:
            count_for_quest(part, quest, entry)


# --- Money and XP (10) ------------------------------------------------------------------------------------------------


def award_xp(part, amount, rule) -> None:
    if amount:
        move(part, "xp", amount)
        tell(part, "xp.awarded", amount=amount, total=value(part["user"], "xp"), rule=rule)


def post(part, currency, amount) -> int:
    """Move what is available. Choice: what expired holds kept of it is entered first, so that balances count it."""
    for hold in expired_holds(part, currency):
        end_hold(part, hold, "expired")
    return enter(part, currency, amount)


def enter(part, currency, amount) -> int:
    balances = part["user"]["balances"]
    balances[currency] = balances.get(currency, 0) + amount
    return balances[currency]


def credit(part, currency, amount, rule, kind="earn") -> None:
    if not amount:
        return
    if kind == "earn":
        move(part, f"earned.{currency}", amount)
    if kind == "refund":
        move(part, f"spent.{currency}", -amount)
    balance = post(part, currency, amount)
    tell(part, "currency.credited", currency=currency, amount=amount, balance=balance, rule=rule, kind=kind)


def debit(part, currency, amount, kind) -> None:
    if kind in ("spend", "capture"):
        move(part, f"spent.{currency}", amount)
    balance = post(part, currency, -amount)
    tell(part, "currency.debited", currency=currency, amount=amount, balance=balance, rule="", kind=kind)


def end_hold(part, hold, how) -> None:
    hold["ended"] = how
    balance = enter(part, hold["currency"], hold["amount"])
    tell(part, "currency.released", currency=hold["currency"], amount=hold["amount"], balance=balance)


def pay(part, rewards, rule) -> None:
    """Pay the sum of some rewards: XP, then currencies by code; what is disabled is not earned (13.4)."""
    total = {}
    for reward in rewards:
        for unit, amount in reward.items():
            total[unit] = total.get(unit, 0) + amount
    award_xp(part, total.pop("xp", 0), rule)
    for currency in sorted(total):
        if is_earned(part["tree"], currency):
            credit(part, currency, total[currency], rule)


def is_earned(tree, currency) -> bool:
    return tree["currencies"][currency].get("enabled", True)


def decide_command(work, asked) -> None:
    world = work["world"]
    if asked.user not in world["users"] and not isinstance(asked, commands.AwardXp | commands.Credit):
        raise Refused("unknown_user")
    part = part_of(work, asked.user)
    match asked:
        case commands.AwardXp():
            if counts_once(work, asked, "xp"):
                award_xp(part, asked.amount, "")
        case commands.Credit():
            if counts_once(work, asked, asked.currency):
                check_earned(part, asked.currency)
                credit(part, asked.currency, asked.amount, "")
        case commands.Adjust(unit="xp"):
            award_xp(part, asked.amount, "")
        case commands.Adjust():
            if asked.amount > 0:
                credit(part, asked.unit, asked.amount, "", "adjust")
            else:
                take(part, asked.unit, -asked.amount, "adjust")
        case commands.Spend():
            take(part, asked.currency, asked.amount, "spend")
        case commands.Transfer():
            take(part, asked.currency, asked.amount, "transfer")
            credit(part_of(work, asked.to), asked.currency, asked.amount, "", "transfer")
        case commands.Hold():
            set_aside(part, asked)
        case commands.Capture() | commands.Release():
            finish_hold(part, asked)
        case commands.Refund():
            refund(work, part, asked)
        case commands.AcceptQuest():
            accept(part, asked.quest)
        case commands.ClaimQuest():
            claim(part, asked.quest)


def counts_once(work, asked, unit) -> bool:
    """The same source pays once, whatever the request's id (3.5)."""
    key = (asked.user, f"source {unit}", asked.source, asked.source_id)
    if asked.source_id is None:
        return True
    if key in work["world"]["claims"]:
        skip(work, asked.source, "already_counted", asked.user)
        return False
    work["world"]["claims"].add(key)
    return True


def check_earned(part, currency) -> None:
    if not is_earned(part["tree"], currency):
        raise Refused("currency_disabled")


def expired_holds(part, currency) -> list[dict]:
    holds = part["user"]["holds"].values()
    return [
        hold for hold in holds if hold["currency"] == currency and not hold["ended"] and has_expired(hold, part["now"])
    ]


def has_expired(hold, now) -> bool:
    return hold["expires_at"] is not None and hold["expires_at"] <= now


def check_funds(part, currency, amount) -> None:
    free = sum(hold["amount"] for hold in expired_holds(part, currency))
    if amount > part["user"]["balances"].get(currency, 0) + free:
        raise Refused("insufficient_funds")


def take(part, currency, amount, kind) -> None:
    check_funds(part, currency, amount)
    debit(part, currency, amount, kind)


def set_aside(part, asked) -> None:
    if asked.expires_at is not None and asked.expires_at <= part["now"]:
        raise Refused("invalid_time")
    check_funds(part, asked.currency, asked.amount)
    balance = post(part, asked.currency, -asked.amount)
    part["user"]["holds"][asked.id] = {
        "currency": asked.currency,
        "amount": asked.amount,
        "expires_at": asked.expires_at,
        "ended": None,
    }
    tell(part, "currency.held", currency=asked.currency, amount=asked.amount, balance=balance)


def finish_hold(part, asked) -> None:
    hold = part["user"]["holds"].get(asked.hold)
    if hold is None:
        raise Refused("unknown_hold")
    if hold["ended"] == "expired" or (not hold["ended"] and has_expired(hold, part["now"])):
        raise Refused("hold_expired")
    if hold["ended"]:
        raise Refused("hold_closed")
    amount = getattr(asked, "amount", None) or hold["amount"]
    if amount > hold["amount"]:
        raise Refused("invalid_amount")
    for expired in expired_holds(part, hold["currency"]):
        end_hold(part, expired, "expired")
    end_hold(part, hold, "captured" if isinstance(asked, commands.Capture) else "released")
    if isinstance(asked, commands.Capture):
        debit(part, hold["currency"], amount, "capture")


def refund(work, part, asked) -> None:
    found = work["world"]["requests"].get((asked.user, asked.request))
    if found is None:
        raise Refused("unknown_request")
    if not isinstance(found["asked"], commands.Spend | commands.Capture):
        raise Refused("not_refundable")
    spent = next(change for change in found["outcome"]["changes"] if change["type"] == "currency.debited")
    left = spent["amount"] - found.get("refunded", 0)
    amount = left if asked.amount is None else asked.amount
    if amount > left or amount == 0:
        raise Refused("invalid_amount")
    found["refunded"] = found.get("refunded", 0) + amount
    credit(part, spent["currency"], amount, "", "refund")


# --- Rules (1.4, 2, 3, 4) ---------------------------------------------------------------------------------------------


def decide_event(work, event) -> None:
    part_of(work, event.user)
    tree = work["world"]["tree"]
    for rule in tree["rules"]:
        if rule.get("enabled", True) and is_on(rule["on"], event.type):
            apply_rule(work, rule, event)
    for streak in tree["streaks"]:
        if is_on(streak["on"], event.type):
            qualify(part_of(work, event.user), streak)


def is_on(patterns, event_type) -> bool:
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(p in ("*", event_type) or (p.endswith(".*") and event_type.startswith(p[:-1])) for p in patterns)


def at_path(event, path):
    return event.data.get(path.removeprefix("data."))


def as_text(found) -> str | None:
    """A string or whole number counts as its text; nothing else counts (3.2)."""
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else None


def is_user_id(text) -> bool:
    return text is not None and text != "" and text == text.strip()


def is_true(condition, event) -> bool:
    """The four conditions that random catalogs use."""
    data = event.data
    match condition:
        case "data.n > 2":
            return isinstance(data.get("n"), int | float) and data["n"] is not True and data["n"] > 2
        case "data.ok":
            return data.get("ok") is True
        case "!has(data.to) || data.to != user":
            return "to" not in data or data["to"] != event.user
        case "data.missing > 3 || type == 'like'":
            return event.type == "like"
    raise AssertionError(condition)


def apply_rule(work, rule, event) -> None:
    """The first thing against a rule is its one skip, and then it uses nothing up (1.4)."""
    actor, claims = event.user, work["world"]["claims"]
    if "when" in rule and not is_true(rule["when"], event):
        return skip(work, rule["id"], "condition_false", actor)
    recipient = as_text(at_path(event, rule["to"])) if "to" in rule else actor
    if not is_user_id(recipient):
        return skip(work, rule["id"], "not_available", actor)
    once = as_text(at_path(event, rule["once_per"])) if "once_per" in rule else None
    if "once_per" in rule and once is None:
        return skip(work, rule["id"], "not_available", recipient)
    if "to" in rule and recipient == actor and not rule.get("allow_self"):
        return skip(work, rule["id"], "self_action", recipient)
    key = (recipient, rule["id"], None if rule.get("once_by") == "anyone" else actor, once)
    if once is not None and key in claims:
        return skip(work, rule["id"], "already_counted", recipient)
    user = work["world"]["users"].get(recipient) or new_user(work["world"])
    limit, uses = rule.get("limit"), user["uses"].get(rule["id"], [])
    reason = refusal(limit, uses, work["at"], user)
    if reason is not None:
        return skip(work, rule["id"], reason, recipient, next_allowed(limit, uses, work["at"], user))
    part = part_of(work, recipient)
    if limit is not None:
        label = window_label(limit.get("per", "ever"), work["at"], user)
        part["user"]["uses"].setdefault(rule["id"], []).append((work["at"], label))
    if once is not None:
        claims.add(key)
    return carry_out(work, rule, event, part)


def carry_out(work, rule, event, part) -> None:
    tree = work["world"]["tree"]
    active = [boost for boost in tree["boosts"] if is_on(boost["on"], event.type) and is_open(boost, work["at"])]
    award_xp(part, boosted(rule["xp"], [(boost, boost.get("xp")) for boost in active]), rule["id"])
    for currency, amount in sorted(rule.get("reward", {}).items()):
        if is_earned(tree, currency):
            factors = [(boost, boost.get("reward", {}).get(currency)) for boost in active]
            credit(part, currency, boosted(amount, factors), rule["id"])
    for metric, change in sorted(rule.get("metrics", {}).items()):
        change_metric(work, rule, event, part, metric, change)


def is_open(entry, at) -> bool:
    return ("from" not in entry or at >= instant(entry["from"])) and (
        "until" not in entry or at < instant(entry["until"])
    )


def boosted(amount, offers) -> int:
    """The product of compound boosts, the sum of additive ones, the largest of the others; rounded once (1.5)."""
    applying = [(boost, Fraction(str(factor))) for boost, factor in offers if factor is not None]
    if amount <= 0 or not applying:
        return amount
    by = {kind: [factor for boost, factor in applying if boost["stacking"] == kind] for kind in STACKING}
    exact = Fraction(amount)
    for factor in by["compound"]:
        exact *= factor
    exact *= sum(by["additive"]) if by["additive"] else 1
    exact *= max(by["highest"]) if by["highest"] else 1
    match applying[0][0]["rounding"]:
        case "floor":
            return floor(exact)
        case "ceil":
            return ceil(exact)
    return floor(exact + Fraction(1, 2))


STACKING = ("compound", "additive", "highest")


def change_metric(work, rule, event, part, metric, change) -> None:
    """4.1: missing or null leaves a metric alone, what is no whole number leaves it alone and is skipped."""
    kind, operand = next(iter(change.items())) if isinstance(change, dict) else ("add", change)
    found = at_path(event, operand) if isinstance(operand, str) else operand
    counted = whole_numbers(found)
    if kind == "distinct":
        counted = [as_text(one) for one in (found if isinstance(found, list) else [found])]
    if found is None:
        return
    if None in counted if kind == "distinct" else isinstance(counted, bool) or not isinstance(counted, int):
        skip(work, rule["id"], "not_available", part["user_id"], metric=metric)
        return
    before = value(part["user"], metric)
    if kind == "distinct":
        see(part, metric, counted)
    elif kind == "max":
        submit(part, metric, counted)
    elif counted:
        move(part, metric, counted)
    after = value(part["user"], metric)
    if after != before:
        tell(part, "metric.changed", metric=metric, value=after)


def see(part, metric, texts) -> None:
    """Different values count once for the user (3.3), and again in each quest run (4.4)."""
    known = part["user"]["seen"].setdefault(metric, set())
    new = set(texts) - known
    known |= new
    move(part, metric, len(new), tuple(texts))


# --- Limits (2) -------------------------------------------------------------------------------------------------------


def refusal(limit, uses, at, user) -> str | None:
    if limit is None:
        return None
    if any(abs(at - used) < duration(limit.get("cooldown", "0m")) for used, _ in uses):
        return "cooldown"
    if "times" in limit:
        label = window_label(limit["per"], at, user)
        if sum(1 for _, used in uses if used == label) >= limit["times"]:
            return "limit_reached"
    return None


def next_allowed(limit, uses, at, user) -> int | None:
    """The first instant from `at` on that passes: after a cooldown, or at the start of a window (2.3)."""
    cooldown = duration(limit.get("cooldown", "0m"))
    per = limit.get("per", "ever")
    while refusal(limit, uses, at, user) is not None:
        after = [used + cooldown for used, _ in uses if used + cooldown > at]
        if refusal(limit, uses, at, user) == "limit_reached":
            if per == "ever":
                return None
            after.append(window_end(per, at, user))
        at = min(after)
    return at


# --- Days (6.1) -------------------------------------------------------------------------------------------------------


def instant(text) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def duration(text) -> int:
    """`1d12h` in µs."""
    total, digits = 0, ""
    for character in text:
        if character.isdigit():
            digits += character
        else:
            total, digits = total + int(digits) * DURATIONS[character], ""
    return total


def clock(at, zone) -> datetime:
    return (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))


@lru_cache(maxsize=100_000)
def local_day(at, zone, day_starts_at) -> date:
    """The latest day that the clock has shown at `day_starts_at` or later: clocks that go back do not bring it back."""
    shown = clock(at, zone)
    latest = shown.replace(tzinfo=None)
    if clock(at - 3 * HOUR, zone).utcoffset() != shown.utcoffset():
        latest = max(clock(at - minute * 60 * SECOND, zone).replace(tzinfo=None) for minute in range(181))
    return (latest - timedelta(hours=day_starts_at)).date()


def window_label(per, at, user) -> str:
    day = local_day(at, user["zone"], user["day_starts_at"])
    match per:
        case "hour":
            return f"hour {at // HOUR}"
        case "ever":
            return "ever"
    return period_key({"day": "daily", "week": "weekly", "month": "monthly"}[per], day)


def window_end(per, at, user) -> int:
    """The first instant with a later label, by halving: labels only grow while zone and day start stay."""
    if per == "hour":
        return (at // HOUR + 1) * HOUR
    label, low, high = window_label(per, at, user), at, at + 40 * 24 * HOUR
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if window_label(per, middle, user) == label else (low, middle)
    return high


def period_key(kind, day) -> str:
    match kind:
        case "daily":
            return day.isoformat()
        case "weekly":
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        case "monthly":
            return day.isoformat()[:7]
    return "once"


# --- Streaks (6) ------------------------------------------------------------------------------------------------------


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


# --- Levels (5) -------------------------------------------------------------------------------------------------------


def level_of(tree, xp) -> int:
    reached = 1
    for level in range(2, top_level(tree) + 1):
        if threshold(tree["levels"]["curve"], level) <= xp:
            reached = level
    return reached


def top_level(tree) -> int:
    curve = tree["levels"]["curve"]
    return len(curve["thresholds"]) if curve["kind"] == "table" else curve["max"]


def threshold(curve, level) -> int:
    match curve["kind"]:
        case "linear":
            return curve["base"] * (level - 1)
        case "quadratic":
            return curve["base"] * (level - 1) ** 2
        case "exponential":
            factor = Fraction(str(curve["factor"]))
            return sum(floor(curve["base"] * factor ** (step - 2)) for step in range(2, level + 1))
    return curve["thresholds"][level - 1]


def next_level(part) -> bool:
    user, levels = part["user"], part["tree"]["levels"]
    level, reached = value(user, "level"), level_of(part["tree"], value(user, "xp"))
    if reached == level:
        return False
    if reached < level:
        tell(part, "level.lost", level=level)
        move(part, "level", -1)
        return True
    level += 1
    titles = [(int(number), at["title"]) for number, at in levels["at"].items() if int(number) <= level]
    move(part, "level", 1)
    tell(part, "level.reached", level=level, title=max(titles)[1] if titles else None)
    if level not in user["levels_paid"]:
        user["levels_paid"].add(level)
        award_xp(part, levels["bonus_xp"], f"level:{level}")
        pay(part, [levels["reward"], levels["at"].get(str(level), {}).get("reward", {})], f"level:{level}")
    return True


# --- The cascade (1.2) ------------------------------------------------------------------------------------------------


def cascade(work, part) -> None:
    while next_level(part) or next_achievement(work, part) or next_quest(part):
        pass
    for achievement in part["tree"]["achievements"]:
        note_achievement(part, achievement)
    for quest in part["tree"]["quests"]:
        note_quest(part, quest)


# --- Achievements (8) -------------------------------------------------------------------------------------------------


def times_earned(achievement, values) -> int:
    quotients = [values.get(metric, 0) // target for metric, target in achievement.get("when", {}).items()]
    if achievement.get("any"):
        quotients.append(max(values.get(metric, 0) // target for metric, target in achievement["any"].items()))
    times = min(quotients, default=1)
    return times if achievement.get("repeatable") else min(times, 1)


def next_achievement(work, part) -> bool:
    for achievement in part["tree"]["achievements"]:
        if is_looked_at(part, achievement) and is_due(part, achievement):
            reason = no_place(work, part, achievement)
            if reason is None:
                unlock(work, part, achievement)
                return True
            note_refusal(work, part, achievement, reason)
    return False


def is_looked_at(part, achievement) -> bool:
    """When the request changed one of its metrics or unlocked a prerequisite (8.1)."""
    metrics = achievement.get("when", {}).keys() | achievement.get("any", {}).keys()
    return bool(metrics & part["moved"] or part["unlocked"].intersection(achievement.get("requires", ())))


def is_due(part, achievement) -> bool:
    user = part["user"]
    held = user["unlocks"].get(achievement["code"], {"times": 0})["times"]
    return (
        achievement.get("enabled", True)
        and times_earned(achievement, user["values"]) > held
        and all(code in user["unlocks"] for code in achievement.get("requires", ()))
        and is_open(achievement, part["at"])
    )


def no_place(work, part, achievement) -> str | None:
    if "max_achievers" not in achievement or achievement["code"] in part["user"]["unlocks"]:
        return None
    if part["user"]["opted_out"]:
        return "opted_out"
    taken = work["world"]["places"].get(achievement["code"], 0)
    return "not_available" if taken >= achievement["max_achievers"] else None


def note_refusal(work, part, achievement, reason) -> None:
    """Told once (8.3). Choice: once for each of the two reasons."""
    told, code = part["user"]["told"], achievement["code"]
    if told.get(code) != reason:
        told[code] = reason
        skip(work, f"achievement:{code}", reason, part["user_id"])


def unlock(work, part, achievement) -> None:
    user, code = part["user"], achievement["code"]
    is_first = code not in user["unlocks"]
    times = 1 if is_first else user["unlocks"][code]["times"] + 1
    metrics = achievement.get("when", {}).keys() | achievement.get("any", {}).keys()
    causes = [user["changed_at"][metric] for metric in metrics if metric in user["changed_at"]]
    # Choice: a prerequisite counts with its own date of unlock, so that none is unlocked before what it stands on.
    causes += [user["unlocks"][required]["unlocked_at"] for required in achievement.get("requires", ())]
    user["unlocks"][code] = {"times": times, "unlocked_at": max(causes)}
    part["unlocked"].add(code)
    rarity = achievement.get("rarity", "common")
    tell(part, "achievement.unlocked", achievement=code, rarity=rarity, times=times, unlocked_at=max(causes))
    if is_first:
        move(part, "achievements", 1)
        places = work["world"]["places"]
        places[code] = places.get(code, 0) + 1
    defaults = part["tree"].get("defaults", {}).get("achievement_reward", {})
    pay(part, [defaults, achievement.get("reward", {})], f"achievement:{code}")


def progress(achievement, values) -> tuple[int, int]:
    parts = [(min(values.get(metric, 0), target), target) for metric, target in achievement.get("when", {}).items()]
    alternatives = [
        (min(values.get(metric, 0), target), target) for metric, target in sorted(achievement.get("any", {}).items())
    ]
    if alternatives:
        parts.append(max(alternatives, key=lambda pair: Fraction(*pair)))
    return sum(reached for reached, _ in parts), sum(target for _, target in parts)


def note_achievement(part, achievement) -> None:
    """8.6. Choices: nothing below 0 is progress, and none is noted of what is held already or cannot be had now."""
    user = part["user"]
    if achievement.get("secret") or achievement["code"] in user["unlocks"]:
        return
    if not achievement.get("enabled", True) or not is_open(achievement, part["at"]):
        return
    reached, target = progress(achievement, user["values"])
    before, target_before = progress(achievement, part["values_before"])
    if target and 10 * reached // target > max(10 * before // target_before, 0):
        tell(part, "achievement.progressed", achievement=achievement["code"], value=reached, target=target)


# --- Quests (7) -------------------------------------------------------------------------------------------------------


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


def count_for_quest(part, quest, entry) -> None:
    """Count a move for the one run that the request counts for; what comes after its completion is surplus (7.4)."""
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


# --- Boards (9) -------------------------------------------------------------------------------------------------------


def standings(world, metric, kind, ties="standard") -> list[tuple[int, str, int]]:
    """
    Rank, user and score of everybody listed, by the users' whole history, in one period by its key; `all` for all time.

    `kind` is the kind of period and its key, such as ("weekly", "2026-W10").
    """
    found = []
    for user_id, user in world["users"].items():
        score = score_of(world["tree"], user, metric, *kind)
        if score is not None and not user["opted_out"]:
            found.append((-score[0], score[1] if ties == "first" else 0, user_id))
    found.sort()
    scores = [score for score, _, _ in found]
    ranks = {
        "standard": lambda place: scores.index(scores[place]) + 1,
        "dense": lambda place: len(set(scores[: place + 1])),
        "first": lambda place: place + 1,
    }[ties]
    return [(ranks(place), user_id, -score) for place, (score, _, user_id) in enumerate(found)]


def score_of(tree, user, metric, kind, key):
    """Score and when it was reached, or None for who is not listed (9.1 to 9.3)."""
    best = metric_kind(metric, tree) == "max"
    moves = [
        entry
        for entry in user["moves"]
        if entry["metric"] == metric and (best or entry["amount"]) and key in ("all", period_key(kind, entry["day"]))
    ]
    if not moves:
        return None
    if best:
        score = max(entry["amount"] for entry in moves)
        return score, min(entry["at"] for entry in moves if entry["amount"] == score)
    base = 1 if metric == "level" and key == "all" else 0
    return base + sum(entry["amount"] for entry in moves), max(entry["at"] for entry in moves)

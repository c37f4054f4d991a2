"""Rules with their conditions, claims, limits, boosts and effects (1.4, 1.5, 2, 3, 4)."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from tests.laws.model.calendar import duration, is_open, window_end, window_label
from tests.laws.model.ledger import (
    award_xp,
    credit,
    is_earned,
    move,
    new_user,
    part_of,
    skip,
    submit,
    tell,
    value,
    whole_numbers,
)


def apply_rules(work, event) -> None:
    for rule in work["world"]["tree"]["rules"]:
        if rule.get("enabled", True) and is_on(rule["on"], event.type):
            apply_rule(work, rule, event)


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


STACKING = ("compound", "additive", "highest")


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

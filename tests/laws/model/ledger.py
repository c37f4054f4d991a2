"""One user's part in one request: metrics, XP and money, and what the caller is told of them (4, 10.1)."""

from __future__ import annotations

from tests.laws.model.calendar import local_day


class Refused(Exception):
    """A request that is not recorded; its only argument is the error's code."""


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
            "uncounted": [],
            "counted": {},
            "unlocked": set(),
            "completed": set(),
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
    part["uncounted"].append(entry)


def award_xp(part, amount, rule) -> None:
    if amount:
        move(part, "xp", amount)
        tell(part, "xp.awarded", amount=amount, total=value(part["user"], "xp"), rule=rule)


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


def post(part, currency, amount) -> int:
    """Move what is available. Choice: what expired holds kept of it is entered first, so that balances count it."""
    for hold in expired_holds(part, currency):
        end_hold(part, hold, "expired")
    return enter(part, currency, amount)


def enter(part, currency, amount) -> int:
    balances = part["user"]["balances"]
    balances[currency] = balances.get(currency, 0) + amount
    return balances[currency]


def end_hold(part, hold, how) -> None:
    hold["ended"] = how
    balance = enter(part, hold["currency"], hold["amount"])
    tell(part, "currency.released", currency=hold["currency"], amount=hold["amount"], balance=balance)


def expired_holds(part, currency) -> list[dict]:
    holds = part["user"]["holds"].values()
    return [
        hold for hold in holds if hold["currency"] == currency and not hold["ended"] and has_expired(hold, part["now"])
    ]


def has_expired(hold, now) -> bool:
    return hold["expires_at"] is not None and hold["expires_at"] <= now


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

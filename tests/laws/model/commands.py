"""What an application asks for: awards, the wallet, quests accepted and claimed (3.5, 10)."""

from __future__ import annotations

from laurels.core import commands
from tests.laws.model.ledger import (
    Refused,
    award_xp,
    credit,
    debit,
    end_hold,
    expired_holds,
    has_expired,
    is_earned,
    part_of,
    post,
    skip,
    tell,
)
from tests.laws.model.quests import accept, claim


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

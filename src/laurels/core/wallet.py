"""
What does a command do to XP and currency? (SEMANTICS 10)

Everything is checked first, so a refused command changes nothing. Only a sum that leaves its range is found on the way:
see `decide`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from laurels.core import commands
from laurels.core.changes import CurrencyDebited
from laurels.core.errors import Conflict, InsufficientFunds, InvalidInput, Unknown
from laurels.core.nearest import unknown
from laurels.core.state import OpenHold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laurels.core.catalog import Currency
    from laurels.core.changes import Outcome
    from laurels.core.commands import WalletCommand
    from laurels.core.draft import Draft
    from laurels.core.periods import Instant
    from laurels.core.state import UserState


class Past:
    """What earlier requests left behind that a wallet command may name, loaded for those that do."""

    __slots__ = ("closed_holds", "outcomes", "refunded")

    def __init__(self) -> None:
        self.closed_holds: dict[tuple[str, str], str] = {}
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self.refunded: dict[tuple[str, str], int] = {}


def available(state: UserState, currency: str, now: Instant) -> int:
    """Return what can be spent at an instant: holds past their time count as released."""
    lapsed = sum(hold.amount for hold in state.holds if hold.currency == currency and hold.has_expired(now))
    return state.balances.get(currency, 0) + lapsed


def carry_out(
    command: WalletCommand, draft: Draft, receiver: Draft | None, currencies: Mapping[str, Currency], past: Past
) -> None:
    """
    Do what a wallet command asks; `receiver` is the other side of a transfer.

    Raises InsufficientFunds, Unknown (currency, hold, request), Conflict (hold closed or expired, currency disabled) or
    InvalidInput (more than is there to capture or refund) before anything changed.
    """
    match command:
        case commands.Credit():
            _check_earnable(command.currency, currencies)
            draft.credit(command.currency, command.amount, "")
        case commands.Adjust():
            _adjust(command, draft, currencies)
        case commands.Spend():
            _check_funds(draft, command.currency, command.amount, currencies)
            draft.debit(command.currency, command.amount, "spend")
        case commands.Transfer():
            assert receiver is not None
            _check_funds(draft, command.currency, command.amount, currencies)
            draft.debit(command.currency, command.amount, "transfer")
            receiver.credit(command.currency, command.amount, "", "transfer")
        case commands.Hold():
            _hold(command, draft, currencies)
        case commands.Capture():
            _capture(command, draft, past)
        case commands.Release():
            draft.end_hold(_open_hold(draft, command.hold, past), "released")
        case commands.Refund():
            _refund(command, draft, past)
        case _:
            assert_never(command)


def _adjust(command: commands.Adjust, draft: Draft, currencies: Mapping[str, Currency]) -> None:
    if command.unit == "xp":
        draft.award_xp(command.amount, "", "adjust")
        return
    _check_known(command.unit, currencies)
    if command.amount > 0:
        draft.credit(command.unit, command.amount, "", "adjust")
    else:
        _check_funds(draft, command.unit, -command.amount, currencies)
        draft.debit(command.unit, -command.amount, "adjust")


def _hold(command: commands.Hold, draft: Draft, currencies: Mapping[str, Currency]) -> None:
    if command.expires_at is not None and command.expires_at <= draft.now:
        raise InvalidInput("invalid_time", "A hold must expire in the future.", "expires_at")
    _check_funds(draft, command.currency, command.amount, currencies)
    draft.hold(OpenHold(command.id, command.currency, command.amount, command.expires_at or 0))


def _capture(command: commands.Capture, draft: Draft, past: Past) -> None:
    hold = _open_hold(draft, command.hold, past)
    amount = hold.amount if command.amount is None else command.amount
    if amount > hold.amount:
        raise InvalidInput(
            "invalid_amount", f"{amount} cannot be captured from a hold of {hold.amount} {hold.currency}.", "amount"
        )
    draft.end_hold(hold, "captured")
    draft.debit(hold.currency, amount, "capture")


def _refund(command: commands.Refund, draft: Draft, past: Past) -> None:
    key = (draft.user_id, command.request)
    spent = _spending(key, past)
    left = spent.amount - past.refunded.get(key, 0)
    amount = left if command.amount is None else command.amount
    if amount > left or amount == 0:
        raise InvalidInput(
            "invalid_amount",
            f"{command.amount or spent.amount} cannot be given back: of the {spent.amount} {spent.currency} of request "
            f"{command.request!r}, {left} are left to refund.",
            "amount",
        )
    draft.credit(spent.currency, amount, "", "refund")
    past.refunded[key] = past.refunded.get(key, 0) + amount


def _spending(key: tuple[str, str], past: Past) -> CurrencyDebited:
    outcome = past.outcomes.get(key)
    if outcome is None:
        raise Unknown("unknown_request", f"{key[0]!r} has no request {key[1]!r}, so there is nothing to refund.")
    for change in outcome.changes:
        if isinstance(change, CurrencyDebited) and change.user_id == key[0] and change.kind in ("spend", "capture"):
            return change
    raise InvalidInput("not_refundable", f"Request {key[1]!r} is no spend or capture of {key[0]!r}.", "request")


def _open_hold(draft: Draft, hold_id: str, past: Past) -> OpenHold:
    for hold in draft.state.holds:
        if hold.id == hold_id:
            if hold.has_expired(draft.now):
                raise Conflict("hold_expired", f"Hold {hold_id!r} has expired; its {hold.amount} are available again.")
            return hold
    how = past.closed_holds.get((draft.user_id, hold_id))
    if how is None:
        raise Unknown("unknown_hold", f"{draft.user_id!r} has no hold {hold_id!r}.")
    code = "hold_expired" if how == "expired" else "hold_closed"
    raise Conflict(code, f"Hold {hold_id!r} was {how} already.")


def _check_funds(draft: Draft, currency: str, amount: int, currencies: Mapping[str, Currency]) -> None:
    _check_known(currency, currencies)
    there = available(draft.state, currency, draft.now)
    if amount > there:
        raise InsufficientFunds(draft.user_id, currency, amount, there)


def _check_earnable(currency: str, currencies: Mapping[str, Currency]) -> None:
    _check_known(currency, currencies)
    if not currencies[currency].enabled:
        raise Conflict("currency_disabled", f"{currency} is no longer earned; what is there can be spent.")


def _check_known(currency: str, currencies: Mapping[str, Currency]) -> None:
    if currency not in currencies:
        raise Unknown("unknown_currency", unknown("currency", currency, currencies))

"""
What does an event earn by the rules, for the actor or for another user? (SEMANTICS 1.4, 2, 3, 4)

A rule is checked in a fixed order, and the first thing against it is its one skip; a skipped rule does nothing and uses
nothing up.
"""

from __future__ import annotations

from bisect import insort
from fractions import Fraction
from hashlib import blake2b
from math import ceil, floor, prod
from typing import TYPE_CHECKING, Any

from laurels.core import periods
from laurels.core.changes import ClaimTaken, RuleUsed, Skip
from laurels.core.conditions import MISSING
from laurels.core.history import USES_KEPT, WINDOWS_KEPT
from laurels.core.requests import is_id
from laurels.core.state import AMOUNT_MAX, Uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from laurels.core.catalog import Boost, Effect, Limit, Rule
    from laurels.core.draft import Draft
    from laurels.core.periods import Instant
    from laurels.core.requests import Request
    from laurels.core.state import UserState

#: Recipient, scope, actor, value: something that counts once. See `ClaimTaken`.
ClaimKey = tuple[str, str, str, str]

CLAIM_CHARACTERS_MAX = 100
_HALF = Fraction(1, 2)


def recipient_of(rule: Rule, request: Request) -> str | None:
    """Return the user whom a rule pays, or None if the event does not name one."""
    if rule.to is None:
        return request.actor
    named = counted_value(rule.to.get(request.data))
    return named if named is not None and is_id(named) else None


def counted_value(value: object) -> str | None:
    """Return a value that can be counted once as text: 7 and "7" are the same. None for anything else."""
    if isinstance(value, str):
        return value
    number = whole_number(value)
    return None if number is None else str(number)


def whole_number(value: object) -> int | None:
    """Return a JSON value as a whole number, 3.0 as 3; None for anything else."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    return None


def claim_key(recipient: str, scope: str, actor: str, value: str) -> ClaimKey:
    """Return the key of something that counts once; a long value goes by its hash."""
    if len(value) > CLAIM_CHARACTERS_MAX:
        value = "#" + blake2b(value.encode(), digest_size=64).hexdigest()
    return recipient, scope, actor, value


def claims_of(rule: Rule, request: Request) -> list[ClaimKey]:
    """Return everything a rule would count once for this event."""
    recipient = recipient_of(rule, request)
    if recipient is None:
        return []
    keys = []
    value = _once_value(rule, request)
    if value is not None:
        keys.append(_once_key(rule, request, recipient, value))
    for effect in rule.effects:
        if effect.kind == "distinct":
            values = _different_values(effect, request) or ()
            keys += [claim_key(recipient, ":" + effect.metric, "", value) for value in values]
    return keys


def apply_rule(
    rule: Rule, request: Request, boosts: Sequence[Boost], claims: set[ClaimKey], draft_of: Callable[[str], Draft]
) -> Iterable[Skip]:
    """
    Do what a rule does for this event, and return what it did not do.

    `claims` are those taken so far and grows; `draft_of` gives the draft of a user.
    """
    if rule.when is not None:
        detail = rule.when.check(request.data, request.actor, request.type)
        if detail is not None:
            return (Skip(rule.id, "condition_false", request.actor, detail=detail),)
    recipient = request.actor if rule.to is None else recipient_of(rule, request)
    if recipient is None:
        return (Skip(rule.id, "not_available", request.actor, detail=_no_value(rule.to, "user")),)
    key = None
    if rule.once_per is not None:
        value = _once_value(rule, request)
        if value is None:
            return (Skip(rule.id, "not_available", recipient, detail=_no_value(rule.once_per, "value to count once")),)
        key = _once_key(rule, request, recipient, value)
    if rule.to is not None and recipient == request.actor and not rule.allow_self:
        return (Skip(rule.id, "self_action", recipient),)
    if key is not None and key in claims:
        return (Skip(rule.id, "already_counted", recipient),)
    draft = draft_of(recipient)
    if rule.limit is not None:
        refused = _refused(rule, rule.limit, draft)
        if refused is not None:
            return (refused,)
        _use(rule, rule.limit, draft)
    if key is not None:
        take_claim(draft, key, claims)
    return _pay(rule, request, boosts, claims, draft)


def take_claim(draft: Draft, key: ClaimKey, claims: set[ClaimKey]) -> None:
    """Count something once, until the request that did is undone."""
    claims.add(key)
    claim = ClaimTaken(*key[1:])
    draft.claims.append(claim)
    draft.changes.append(claim)


def _pay(rule: Rule, request: Request, boosts: Sequence[Boost], claims: set[ClaimKey], draft: Draft) -> Iterable[Skip]:
    if boosts:
        draft.award_xp(_boosted(rule.xp, [(b, b.xp) for b in boosts]), rule.id)
        for currency, amount in rule.reward:
            draft.credit(currency, _boosted(amount, [(b, b.reward.get(currency)) for b in boosts]), rule.id)
    else:
        draft.award_xp(rule.xp, rule.id)
        for currency, amount in rule.reward:
            draft.credit(currency, amount, rule.id)
    skips = []
    for effect in rule.effects:
        skip = _change_metric(rule, effect, request, claims, draft)
        if skip is not None:
            skips.append(skip)
    return skips


def _change_metric(rule: Rule, effect: Effect, request: Request, claims: set[ClaimKey], draft: Draft) -> Skip | None:
    if effect.path is None:
        if effect.kind == "add":
            draft.change_metric(effect.metric, effect.amount)
        else:
            draft.submit_score(effect.metric, effect.amount)
        return None
    value = effect.path.get(request.data)
    if value is None or value is MISSING:
        return None
    if effect.kind == "distinct":
        return _see_values(rule, effect, request, claims, draft)
    number = whole_number(value)
    if number is None or abs(number) > AMOUNT_MAX:
        return _unfit(rule, effect, draft, value)
    if effect.kind == "add":
        draft.change_metric(effect.metric, number)
    else:
        draft.submit_score(effect.metric, number)
    return None


def _see_values(rule: Rule, effect: Effect, request: Request, claims: set[ClaimKey], draft: Draft) -> Skip | None:
    values = _different_values(effect, request)
    if values is None:
        assert effect.path is not None
        return _unfit(rule, effect, draft, effect.path.get(request.data))
    new = 0
    for value in values:
        key = claim_key(draft.user_id, ":" + effect.metric, "", value)
        if key not in claims:
            take_claim(draft, key, claims)
            new += 1
    draft.see(effect.metric, values, new)
    return None


def _different_values(effect: Effect, request: Request) -> tuple[str, ...] | None:
    """
    Return the different values that stand at the effect's path, a list's elements each; None if any cannot count.

    What is missing or null, also in a list, is nothing to count.
    """
    assert effect.path is not None
    found = effect.path.get(request.data)
    if found is MISSING:
        return ()
    elements = found if isinstance(found, list | tuple) else [found]
    values = [counted_value(value) for value in elements if value is not None]
    if None in values:
        return None
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _unfit(rule: Rule, effect: Effect, draft: Draft, value: object) -> Skip:
    assert effect.path is not None
    wanted = "a value to count" if effect.kind == "distinct" else "a whole number up to 2^53 - 1"
    detail = f"{effect.path.text} is {value!r:.40}, not {wanted}"
    return Skip(rule.id, "not_available", draft.user_id, detail=detail, metric=effect.metric)


def _no_value(path: Any, wanted: str) -> str:
    return f"{path.text} holds no {wanted}"


def _once_value(rule: Rule, request: Request) -> str | None:
    return None if rule.once_per is None else counted_value(rule.once_per.get(request.data))


def _once_key(rule: Rule, request: Request, recipient: str, value: str) -> ClaimKey:
    return claim_key(recipient, rule.id, "" if rule.once_by_anyone else request.actor, value)


# --- Boosts -----------------------------------------------------------------------------------------------------------


def active_boosts(boosts: Iterable[Boost], at: Instant) -> list[Boost]:
    """Return the boosts whose time an event's own time lies in."""
    return [
        boost
        for boost in boosts
        if (boost.starts_at is None or at >= boost.starts_at) and (boost.ends_at is None or at < boost.ends_at)
    ]


def _boosted(amount: int, offers: list[tuple[Boost, Fraction | None]]) -> int:
    """Multiply a positive amount by the boosts that have a factor for it; exact until one rounding at the end."""
    factors = [(boost, factor) for boost, factor in offers if factor is not None]
    if amount <= 0 or not factors:
        return amount
    compound = prod(factor for boost, factor in factors if boost.stacking == "compound")
    added = [factor for boost, factor in factors if boost.stacking == "additive"]
    highest = [factor for boost, factor in factors if boost.stacking == "highest"]
    exact = amount * compound * (sum(added) if added else 1) * (max(highest) if highest else 1)
    match factors[0][0].rounding:
        case "floor":
            return floor(exact)
        case "half_up":
            return floor(exact + _HALF)
        case "ceil":
            return ceil(exact)


# --- Limits -----------------------------------------------------------------------------------------------------------


def _refused(rule: Rule, limit: Limit, draft: Draft) -> Skip | None:
    uses = draft.state.uses.get(rule.id)
    if uses is None:
        return None
    at, label = draft.at, _label(limit, draft.at, draft.state)
    if _is_older(uses, limit, at, label):
        draft.recall()  # Gives the document its older uses back.
    if limit.cooldown and any(abs(at - time) < limit.cooldown for time in uses.times):
        reason = "cooldown"
    elif limit.times and uses.windows.get(label, 0) >= limit.times:
        reason = "limit_reached"
    else:
        return None
    retry_at = _next_allowed(limit, uses, at, draft.state)
    return Skip(
        rule.id,
        reason,  # type: ignore[arg-type]
        draft.user_id,
        retry_at=None if retry_at is None else periods.to_datetime(retry_at),
    )


def _is_older(uses: Uses, limit: Limit, at: Instant, label: int) -> bool:
    """Say whether the answer may lie in uses before those that the document keeps."""
    return (len(uses.windows) >= WINDOWS_KEPT and label < min(uses.windows)) or (
        len(uses.times) >= USES_KEPT and at - limit.cooldown < uses.times[0]
    )


def _next_allowed(limit: Limit, uses: Uses, at: Instant, state: UserState) -> Instant | None:
    """Return the first instant from `at` on that passes limit and cooldown, knowing all uses so far; None for never."""
    while True:
        close = [time for time in uses.times if limit.cooldown and abs(at - time) < limit.cooldown]
        if close:
            at = max(close) + limit.cooldown
            continue
        label = _label(limit, at, state)
        if not limit.times or uses.windows.get(label, 0) < limit.times:
            return at
        if limit.per == "ever":
            return None
        at = max(at + 1, periods.window_start(limit.per, label + 1, state.zone, state.day_starts_at))


def _use(rule: Rule, limit: Limit, draft: Draft) -> None:
    uses = draft.state.uses.setdefault(rule.id, Uses())
    label = _label(limit, draft.at, draft.state)
    if limit.times:
        uses.windows[label] = uses.windows.get(label, 0) + 1
    if limit.cooldown:
        insort(uses.times, draft.at)
    draft.changes.append(RuleUsed(rule.id, label))


def _label(limit: Limit, at: Instant, state: UserState) -> int:
    return periods.window_label(limit.per, at, state.zone, state.day_starts_at)

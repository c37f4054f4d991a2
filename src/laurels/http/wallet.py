"""XP and currencies that the application itself moves: awards, spending, holds, transfers, refunds."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from pydantic import BeforeValidator, WithJsonSchema
from starlette.responses import Response

from laurels.core import commands
from laurels.core.changes import Outcome, outcome_as_json
from laurels.core.errors import Unknown
from laurels.core.requests import read_instant
from laurels.http.auth import Admin, Wallet
from laurels.http.service import service_of
from laurels.http.wire import (
    Amount,
    Body,
    Code,
    HoldOut,
    IdempotencyKey,
    PublicOutcome,
    SignedAmount,
    UserId,
    answers,
    opaque,
    parts_of,
    reply_once,
)
from laurels.importers.events import time_of

router = APIRouter(prefix="/v1", tags=["wallet"], default_response_class=Response)
OUTCOME = answers(PublicOutcome, description="What it caused. Repeated, the same, with `Idempotent-Replayed: true`.")
HELD = answers(HoldOut, status=201, description="The hold, whose `id` captures and releases it.")


class Award(Body):
    """How much, and for what. With `source_id` the same source pays once, whatever the request's id."""

    amount: Amount
    source: str = ""
    source_id: str | None = None
    reason: str | None = None


class Adjustment(Body):
    """By how much a balance is corrected; neither earned nor spent."""

    amount: SignedAmount
    source: str = ""
    source_id: str | None = None
    reason: str | None = None


class Spending(Body):
    """How much is spent, and on what."""

    amount: Amount
    reason: str | None = None


Instant = Annotated[
    datetime | None,
    BeforeValidator(lambda text: time_of(text, "expires_at")),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]


class Holding(Body):
    """How much is set aside, and until when; without `expires_at` until it is captured or released."""

    amount: Amount
    expires_at: Instant = None
    reason: str | None = None


class Part(Body):
    """How much of it; all that is left if not given."""

    amount: Amount | None = None
    reason: str | None = None


class Reasoned(Body):
    """Why."""

    reason: str | None = None


class Moving(Body):
    """Who gives how much of what to whom."""

    from_: str
    to: str
    currency: str
    amount: Amount
    reason: str | None = None

    model_config = Body.model_config | {"alias_generator": lambda name: name.rstrip("_")}


@router.post("/users/{user_id}/xp", summary="Award XP", responses=OUTCOME)
async def award_xp(request: Request, caller: Wallet, user_id: UserId, key: IdempotencyKey, body: Award) -> Response:
    """Give XP outside of any rule. A user who is not there is made."""
    return await _done(request, commands.AwardXp(user=user_id, id=key, **body.model_dump()))


@router.post("/users/{user_id}/xp/adjust", summary="Adjust XP", responses=OUTCOME)
async def adjust_xp(
    request: Request, caller: Admin, user_id: UserId, key: IdempotencyKey, body: Adjustment
) -> Response:
    """Correct XP by an amount of either sign."""
    command = commands.Adjust(user=user_id, id=key, unit="xp", **body.model_dump())
    return await _done(request, command, actor=caller.name)


@router.post("/users/{user_id}/wallet/{currency}/credit", summary="Credit a currency", responses=OUTCOME)
async def credit(
    request: Request, caller: Wallet, user_id: UserId, currency: Code, key: IdempotencyKey, body: Award
) -> Response:
    """Give currency, which counts as earned. A user who is not there is made."""
    return await _done(request, commands.Credit(user=user_id, id=key, currency=currency, **body.model_dump()))


@router.post("/users/{user_id}/wallet/{currency}/spend", summary="Spend a currency", responses=OUTCOME)
async def spend(
    request: Request, caller: Wallet, user_id: UserId, currency: Code, key: IdempotencyKey, body: Spending
) -> Response:
    """Take currency that is there; 409 `insufficient_funds` says what is `available`."""
    return await _done(request, commands.Spend(user=user_id, id=key, currency=currency, **body.model_dump()))


@router.post("/users/{user_id}/wallet/{currency}/adjust", summary="Adjust a currency", responses=OUTCOME)
async def adjust(
    request: Request, caller: Admin, user_id: UserId, currency: Code, key: IdempotencyKey, body: Adjustment
) -> Response:
    """Correct a balance by an amount of either sign."""
    command = commands.Adjust(user=user_id, id=key, unit=currency, **body.model_dump())
    return await _done(request, command, actor=caller.name)


@router.post("/users/{user_id}/wallet/{currency}/holds", summary="Hold a currency", responses=HELD, status_code=201)
async def hold(
    request: Request, caller: Wallet, user_id: UserId, currency: Code, key: IdempotencyKey, body: Holding
) -> Response:
    """Set currency aside until it is captured, released, or past `expires_at`."""
    until = None if body.expires_at is None else read_instant(body.expires_at, "expires_at")
    outcome = await recorded(
        request,
        commands.Hold(
            user=user_id, id=key, currency=currency, amount=body.amount, expires_at=until, reason=body.reason
        ),
    )
    held = HoldOut(
        id=opaque(user_id, key),  # Two users may use the same request id.
        user_id=user_id,
        currency=currency,
        amount=body.amount,
        expires_at=body.expires_at,
        outcome=outcome_as_json(msgspec.structs.replace(outcome, status="applied")),
    )
    return reply_once(outcome, held, 201)


@router.post("/holds/{hold_id}/capture", summary="Capture a hold", responses=OUTCOME)
async def capture(
    request: Request, caller: Wallet, hold_id: Code, key: IdempotencyKey, body: Part | None = None
) -> Response:
    """Spend a hold or a part of it; the rest is free again. 409 `hold_closed` or `hold_expired` where it is over."""
    user_id, hold = _held(hold_id)
    asked = body or Part()
    return await _done(
        request, commands.Capture(user=user_id, id=key, hold=hold, amount=asked.amount, reason=asked.reason)
    )


@router.post("/holds/{hold_id}/release", summary="Release a hold", responses=OUTCOME)
async def release(
    request: Request, caller: Wallet, hold_id: Code, key: IdempotencyKey, body: Reasoned | None = None
) -> Response:
    """Give all of a hold back to its owner."""
    user_id, hold = _held(hold_id)
    return await _done(request, commands.Release(user=user_id, id=key, hold=hold, reason=body.reason if body else None))


@router.post("/transfers", summary="Transfer a currency", responses=OUTCOME)
async def transfer(request: Request, caller: Wallet, key: IdempotencyKey, body: Moving) -> Response:
    """Move currency from one user to another; the request is the giver's."""
    given = body.model_dump()
    return await _done(request, commands.Transfer(user=given.pop("from_"), id=key, **given))


@router.post("/users/{user_id}/requests/{request_id}/refund", summary="Refund a spend", responses=OUTCOME)
async def refund(
    request: Request, caller: Wallet, user_id: UserId, request_id: Code, key: IdempotencyKey, body: Part | None = None
) -> Response:
    """Give back a spend or a capture, or a part of it; never more than is left of it."""
    asked = body or Part()
    return await _done(
        request,
        commands.Refund(user=user_id, id=key, request=request_id, amount=asked.amount, reason=asked.reason),
    )


def _held(named: str) -> tuple[str, str]:
    """Return whose hold it is, and its request's id. Raises Unknown `unknown_hold`."""
    found = parts_of(named, tuple[str, str])
    if found is None:
        raise Unknown("unknown_hold", f"There is no hold {named!r:.80}; give the `id` that its request returned.")
    return found


async def _done(request: Request, command: commands.AnyCommand, *, actor: str = "") -> Response:
    return reply_once(await recorded(request, command, actor=actor))


async def recorded(request: Request, command: commands.AnyCommand, *, actor: str = "") -> Outcome:
    """Record a command and return what it caused, after the commit; no thread waits for it meanwhile."""
    return await asyncio.wrap_future(service_of(request).engine.submit(command, wait=False, actor=actor))

"""Quests: how far a user is, accepting those that wait for it, claiming what was completed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from laurels.core.catalog import QuestType
from laurels.core.commands import AcceptQuest, ClaimQuest
from laurels.core.quests import QuestStatus
from laurels.handles import QuestView
from laurels.http.auth import ReadOrUser, WalletOrUser
from laurels.http.service import service_of
from laurels.http.wallet import OUTCOME, recorded
from laurels.http.wire import (
    Body,
    Code,
    Cursor,
    IdempotencyKey,
    Limit,
    Page,
    UserId,
    answers,
    offset_paged,
    reply,
    reply_once,
)

router = APIRouter(prefix="/v1/users/{user_id}/quests", tags=["quests"], default_response_class=Response)


class Claim(Body):
    """Which run's reward is claimed; the oldest one's that waits if not given."""

    period: str | None = None


@router.get("", summary="Read a user's quests", responses=answers(Page[QuestView]))
def read_quests(
    request: Request,
    caller: ReadOrUser,
    user_id: UserId,
    status: Annotated[QuestStatus | None, Query(description="Only runs in this state.")] = None,
    type: Annotated[QuestType | None, Query(description="Only quests of this type.")] = None,  # noqa: A002  its name
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List the runs of every quest, in the catalog's order, the current one of each first."""
    found = [
        view
        for view in service_of(request).engine.user(user_id).quests()
        if status in (None, view.status) and type in (None, view.type)
    ]
    return reply(offset_paged(found, limit, cursor))


@router.post("/{code}/accept", summary="Accept a quest", responses=OUTCOME)
async def accept_quest(
    request: Request, caller: WalletOrUser, user_id: UserId, code: Code, key: IdempotencyKey
) -> Response:
    """Start a quest that counts from acceptance."""
    return reply_once(await recorded(request, AcceptQuest(user=user_id, id=key, quest=code)))


@router.post("/{code}/claim", summary="Claim a quest's reward", responses=OUTCOME)
async def claim_quest(
    request: Request, caller: WalletOrUser, user_id: UserId, code: Code, key: IdempotencyKey, body: Claim | None = None
) -> Response:
    """Take the reward of a completed run; 409 `quest_not_completed` or `already_claimed` where there is none."""
    period = None if body is None else body.period
    return reply_once(await recorded(request, ClaimQuest(user=user_id, id=key, quest=code, period=period)))

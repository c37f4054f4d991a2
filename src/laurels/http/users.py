"""Users: who they are, what they have, what happened to them and why."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from laurels.core.notifications import Notification
from laurels.core.profile import Profile
from laurels.core.requests import check_id
from laurels.handles import Activity, Stats
from laurels.http.auth import Admin, Read, ReadOrUser, WalletOrUser
from laurels.http.direct import Direct
from laurels.http.service import service_of
from laurels.http.wire import Body, Cursor, Limit, Page, UserId, answers, opaque, paged, position_in, reply
from laurels.store.reads import Entry

router = APIRouter(prefix="/v1/users", tags=["users"], default_response_class=Response)


class UserSettings(Body):
    """What can be set of a user; what is not given stays as it is."""

    timezone: str = "UTC"
    day_starts_at: int = 0
    groups: dict[str, str] = Field(default_factory=dict)
    opted_out: bool = False
    display_name: str | None = None
    avatar_url: str | None = None


class ReadMark(Body):
    """Up to which number notifications were read; all of them where it is not given."""

    up_to: int | None = None


class Marked(msgspec.Struct, frozen=True):
    """How many notifications were unread until now."""

    marked: int


@router.get("", summary="List users", responses=answers(Page[Profile]))
def list_users(
    request: Request,
    caller: Read,
    query: Annotated[str, Query(max_length=255, description="Part of an id or of a display name.")] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Response:
    """List users by id, with their profiles."""
    engine = service_of(request).engine
    (after,) = position_in(cursor, tuple[str]) or ("",)
    found = engine.profiles(after=after, containing=query, limit=limit + 1)
    return reply(paged(found, limit, lambda last: opaque(last.user_id)))


async def read_user(request: Request, caller: ReadOrUser, user_id: UserId) -> Response:
    """Return a user's profile: level, balances, metrics, streaks, settings."""
    check_id(user_id, "user")
    return reply(await service_of(request).profiles.ask(user_id))


router.add_api_route(
    "/{user_id}", read_user, summary="Read a user", responses=answers(Profile), route_class_override=Direct
)


@router.put("/{user_id}", summary="Set a user", responses=answers(Profile))
def set_user(request: Request, caller: Admin, user_id: UserId, body: UserSettings) -> Response:
    """Set what is given and leave the rest; a user who is not there is made."""
    given: dict[str, Any] = body.model_dump(exclude_unset=True)
    return reply(service_of(request).engine.user(user_id).set(**given, actor=caller.name))


@router.get("/{user_id}/ledger", summary="Read a user's ledger", responses=answers(Page[Entry]))
def read_ledger(
    request: Request,
    caller: ReadOrUser,
    user_id: UserId,
    unit: Annotated[str | None, Query(description="`xp` or a currency; all of them if not given.")] = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Response:
    """List a user's entries, the newest first: amounts of XP and currency, and the balance after each."""
    before = position_in(cursor, tuple[int, int])
    found = service_of(request).engine.user(user_id).ledger(unit=unit, before=before, limit=limit + 1)
    return reply(paged(found, limit, lambda last: opaque(*last.position)))


@router.get("/{user_id}/notifications", summary="Read a user's notifications", responses=answers(Page[Notification]))
def read_notifications(
    request: Request,
    caller: ReadOrUser,
    user_id: UserId,
    unread: Annotated[bool, Query(description="Only those not read yet.")] = False,  # noqa: FBT002  a parameter of a URL
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Response:
    """List a user's notifications, the newest first."""
    (before,) = position_in(cursor, tuple[int]) or (None,)
    found = service_of(request).engine.user(user_id).notifications(unread=unread, before=before, limit=limit + 1)
    return reply(paged(found, limit, lambda last: opaque(last.number)))


@router.post("/{user_id}/notifications/read", summary="Mark notifications as read", responses=answers(Marked))
def mark_notifications(
    request: Request, caller: WalletOrUser, user_id: UserId, body: ReadMark | None = None
) -> Response:
    """Mark notifications as read: all, or those up to a number. Again, it changes nothing."""
    up_to = None if body is None else body.up_to
    return reply(Marked(service_of(request).engine.user(user_id).mark_read(up_to=up_to)))


@router.get("/{user_id}/stats", summary="Read a user's statistics", responses=answers(Stats))
def read_stats(request: Request, caller: ReadOrUser, user_id: UserId) -> Response:
    """Return what a user did in all: requests, active days, XP, by type of event; since when, and until when."""
    return reply(service_of(request).engine.user(user_id).stats())


@router.get("/{user_id}/activity", summary="Read a user's days", responses=answers(Page[Activity]))
def read_activity(
    request: Request, caller: ReadOrUser, user_id: UserId, limit: Limit = 50, cursor: Cursor = ""
) -> Response:
    """List the days on which something happened to a user, the latest first, and what each of them earned."""
    (before,) = position_in(cursor, tuple[str]) or (None,)
    found = service_of(request).engine.user(user_id).activity(before=before, limit=limit + 1)
    return reply(paged(found, limit, lambda last: opaque(last.day)))

"""Achievements: which there are, who has them, and which a user shows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from laurels.core.catalog import POINTS, Rarity
from laurels.core.errors import Unknown
from laurels.core.nearest import unknown
from laurels.core.periods import to_datetime
from laurels.handles import AchievementView
from laurels.http.auth import ReadOrUser, WalletOrUser
from laurels.http.service import service_of
from laurels.http.wire import (
    Body,
    Code,
    Cursor,
    Limit,
    Page,
    UserId,
    answers,
    offset_paged,
    opaque,
    paged,
    position_in,
    reply,
)
from laurels.store import reads

if TYPE_CHECKING:
    from laurels.core.catalog import Achievement, Catalog
    from laurels.http.auth import Caller

router = APIRouter(prefix="/v1", tags=["achievements"], default_response_class=Response)


class AchievementInfo(msgspec.Struct, frozen=True, kw_only=True):
    """
    An achievement as the catalog has it.

    Of a secret one, users' tokens see neither name nor description until it is unlocked.
    """

    code: str
    name: str
    description: str
    icon: str
    image: str
    category: str
    rarity: Rarity
    points: int
    secret: bool
    repeatable: bool
    requires: tuple[str, ...]
    max_achievers: int | None
    enabled: bool


class Unlocker(msgspec.Struct, frozen=True, kw_only=True):
    """Who unlocked an achievement, and when."""

    user_id: str
    display_name: str | None
    unlocked_at: datetime


class Showing(Body):
    """Whether it is shown before others, and at which place; lower ones come first."""

    showcased: bool = True
    order: int = 0


@router.get("/achievements", summary="List achievements", responses=answers(Page[AchievementInfo]))
def list_achievements(
    request: Request,
    caller: ReadOrUser,
    category: Annotated[str | None, Query(description="Only those of this category.")] = None,
    rarity: Annotated[Rarity | None, Query(description="Only those of this rarity.")] = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List the achievements of the catalog, in its order."""
    engine = service_of(request).engine
    catalog = engine.catalog
    known = _unlocked(request, caller)
    found = [
        _info(one, is_hidden=one.secret and caller.user_id is not None and one.code not in known)
        for one in catalog.achievements.values()
        if category in (None, one.category) and rarity in (None, one.rarity)
    ]
    return reply(offset_paged(found, limit, cursor))


@router.get("/achievements/{code}", summary="Read an achievement", responses=answers(AchievementInfo))
def read_achievement(request: Request, caller: ReadOrUser, code: Code) -> Response:
    """Return one achievement of the catalog."""
    one = _of_catalog(service_of(request).engine.catalog, code)
    is_hidden = one.secret and caller.user_id is not None and code not in _unlocked(request, caller)
    return reply(_info(one, is_hidden=is_hidden))


@router.get("/achievements/{code}/unlockers", summary="List who has it", responses=answers(Page[Unlocker]))
def list_unlockers(
    request: Request, caller: ReadOrUser, code: Code, limit: Limit = 50, cursor: Cursor = ""
) -> Response:
    """List who unlocked an achievement, the first one first. Who opted out is not among them."""
    engine = service_of(request).engine
    _of_catalog(engine.catalog, code)
    after = position_in(cursor, tuple[int, str])
    with engine.read() as connection:
        found = reads.unlockers(connection, code, after=after, limit=limit + 1)
        names = reads.display_names(connection, [unlock.user_id for unlock in found])
    page = paged(found, limit, lambda last: opaque(last.unlocked_at, last.user_id))
    items = [
        Unlocker(
            user_id=unlock.user_id,
            display_name=names.get(unlock.user_id),
            unlocked_at=to_datetime(unlock.unlocked_at),
        )
        for unlock in page.items
    ]
    return reply(Page(items, page.next_cursor))


@router.get(
    "/users/{user_id}/achievements", summary="Read a user's achievements", responses=answers(Page[AchievementView])
)
def read_achievements(
    request: Request,
    caller: ReadOrUser,
    user_id: UserId,
    status: Annotated[Literal["unlocked", "locked"] | None, Query(description="Only these.")] = None,
    category: Annotated[str | None, Query(description="Only those of this category.")] = None,
    rarity: Annotated[Rarity | None, Query(description="Only those of this rarity.")] = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List every achievement with how far a user is; those the user shows come first, in the user's order."""
    found = [
        _hidden(view) if view.secret and not view.unlocked and caller.user_id is not None else view
        for view in service_of(request).engine.user(user_id).achievements()
        if (status is None or view.unlocked == (status == "unlocked"))
        and category in (None, view.category)
        and rarity in (None, view.rarity)
    ]
    found.sort(key=lambda view: (not view.showcased, view.order or 0))
    return reply(offset_paged(found, limit, cursor))


@router.patch("/users/{user_id}/achievements/{code}", summary="Show an achievement", responses=answers(AchievementView))
def show_achievement(request: Request, caller: WalletOrUser, user_id: UserId, code: Code, body: Showing) -> Response:
    """Show an unlocked achievement before others, or no longer."""
    user = service_of(request).engine.user(user_id)
    return reply(user.showcase(code, showcased=body.showcased, order=body.order))


def _of_catalog(catalog: Catalog, code: str) -> Achievement:
    if code not in catalog.achievements:
        raise Unknown("unknown_achievement", unknown("achievement", code, catalog.achievements))
    return catalog.achievements[code]


def _unlocked(request: Request, caller: Caller) -> set[str]:
    """Return what a user who calls has unlocked; nothing for a key, which sees everything anyway."""
    if caller.user_id is None:
        return set()
    with service_of(request).engine.read() as connection:
        return {unlock.achievement for unlock in reads.unlocks_of(connection, caller.user_id)}


def _info(one: Achievement, *, is_hidden: bool) -> AchievementInfo:
    return AchievementInfo(
        code=one.code,
        name="" if is_hidden else one.name,
        description="" if is_hidden else one.description,
        icon="" if is_hidden else one.icon,
        image="" if is_hidden else one.image,
        category=one.category,
        rarity=one.rarity,
        points=POINTS[one.rarity],
        secret=one.secret,
        repeatable=one.repeatable,
        requires=one.requires,
        max_achievers=one.max_achievers,
        enabled=one.enabled,
    )


def _hidden(view: AchievementView) -> AchievementView:
    return msgspec.structs.replace(view, name="", description="", icon="", image="", value=0)

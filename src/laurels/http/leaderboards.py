"""Leaderboards: the top, a page, the lines around a user, in any period."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from laurels.core.periods import PeriodKind
from laurels.core.requests import check_id, check_position
from laurels.http.auth import ReadOrUser
from laurels.http.direct import Direct
from laurels.http.service import service_of
from laurels.http.wire import Code, Cursor, Limit, Page, answers, opaque, position_in, reply
from laurels.leaderboards.board import Excerpt, Period, Standing

router = APIRouter(prefix="/v1/leaderboards", tags=["leaderboards"], default_response_class=Response)


class BoardInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A leaderboard as the catalog has it."""

    code: str
    name: str
    metric: str
    periods: tuple[PeriodKind, ...]
    ties: str
    group: str | None


class BoardPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a board in one period; `total` is how many users are listed in all."""

    code: str
    period: Period
    total: int
    items: list[Standing]
    next_cursor: str | None


@router.get("", summary="List leaderboards", responses=answers(Page[BoardInfo]))
def list_leaderboards(request: Request, caller: ReadOrUser) -> Response:
    """List the leaderboards of the catalog."""
    items = [
        BoardInfo(
            code=board.code,
            name=board.name,
            metric=board.metric,
            periods=board.periods,
            ties=board.ties,
            group=board.group,
        )
        for board in service_of(request).engine.catalog.leaderboards.values()
    ]
    return reply(Page(items, None))


async def read_leaderboard(
    request: Request,
    caller: ReadOrUser,
    code: Code,
    period: Annotated[PeriodKind | None, Query(description="Which kind of period; all time if not given.")] = None,
    at: Annotated[str | None, Query(description="A period's key, such as 2026-W47, or an instant in it.")] = None,
    group: Annotated[str, Query(description="Of a board that is split by a group: of which.")] = "",
    around: Annotated[str | None, Query(description="A user to stand in the middle.")] = None,
    limit: Limit = 10,
    cursor: Cursor = "",
) -> Response:
    """Return the lines of a board from the top, or around a user."""
    (offset,) = position_in(cursor, tuple[int]) or (0,)
    check_position(offset, "offset")
    if around is not None:
        check_id(around, "user")
    wanted = Excerpt(code=code, period=period, at=at, group=group, limit=limit, offset=offset, around=around)
    lines = await service_of(request).boards.ask(wanted)
    following = offset + len(lines.items)
    more = around is None and lines.items and following < lines.total
    told: dict[str, Any] = {"code": code, "period": lines.period, "total": lines.total, "items": lines.items}
    return reply(BoardPage(**told, next_cursor=opaque(following) if more else None))


router.add_api_route(
    "/{code}",
    read_leaderboard,
    summary="Read a leaderboard",
    responses=answers(BoardPage),
    route_class_override=Direct,
)

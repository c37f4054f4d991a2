"""The live stream: what happens to users, as it happens, as Server-Sent Events that can be resumed anywhere."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import APIRouter, Header, Query, Request
from pydantic import WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.responses import Response

from laurels.core.errors import InvalidInput
from laurels.core.nearest import unknown
from laurels.core.requests import ID_CHARACTERS_MAX, check_id
from laurels.http.auth import ReadOrUser
from laurels.http.hub import Listener
from laurels.http.problems import Refused
from laurels.http.service import service_of
from laurels.http.wire import answers
from laurels.stream import POSITION, TYPES, position_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from laurels.http.hub import Hub

MEDIA_TYPE = "text/event-stream"
#: How soon a browser comes again, in ms. No empty line follows, which some clients would take for an event.
OPENING = b"retry: 2000\n"
#: A listener that takes nothing for so long is gone without having said so.
PATIENCE_S = 60

LAST_EVENT_ID = (
    "Go on behind the change with this `id`; 0 begins with the first there is. Without it the stream begins with what "
    "happens next."
)
#: What `types` may name: types, and all of a group, such as `quest.*`.
PATTERNS = (*TYPES, *sorted({f"{name.partition('.')[0]}.*" for name in TYPES}))

log = logging.getLogger("laurels.http")
router = APIRouter(prefix="/v1/stream", tags=["stream"])


class ServerSentEvent(msgspec.Struct, frozen=True):
    """An event of the stream, as clients take it apart; `data` is the change, in JSON."""

    id: str
    event: str
    data: str


@router.get(
    "",
    summary="Follow what happens",
    response_class=Response,
    responses=answers(
        ServerSentEvent,
        description="Server-Sent Events without an end: `id` is the change's place in the journal, `event` its type, "
        "`data` the change. `Laurels-Position` is where the stream begins.",
        media_type=MEDIA_TYPE,
    ),
)
async def follow_changes(
    request: Request,
    caller: ReadOrUser,
    user_id: Annotated[
        str | None, Query(min_length=1, max_length=ID_CHARACTERS_MAX, description="Of one user alone, not of all.")
    ] = None,
    types: Annotated[
        list[Annotated[str, WithJsonSchema({"type": "string", "enum": list(PATTERNS)})]],
        Query(description="Changes of these types alone; all if none is given."),
    ] = [],  # noqa: B006  FastAPI makes a new one for each call
    last_event_id: Annotated[
        str,
        Header(alias="Last-Event-ID", description=LAST_EVENT_ID),
        WithJsonSchema({"type": "string", "pattern": rf"^({POSITION})?$"}),
    ] = "",
) -> Response:
    """
    Send every change as soon as it is final, each once, in the order of the journal; resume with the last `id` seen.

    A user's token gets the changes of that user alone.
    """
    if caller.user_id is not None:
        if user_id not in (None, caller.user_id):
            raise Refused(403, "forbidden", "A user's token follows what happens to that user alone.")
        user_id = caller.user_id
    if user_id is not None:
        check_id(user_id, "user_id")
    hub = service_of(request).hub
    position = position_of(last_event_id) if last_event_id else None
    return _Stream(hub, Listener(hub, caller, position=position, user_id=user_id, types=_meant(types)))


def _meant(names: list[str]) -> frozenset[str] | None:
    """Return the types that are named, None for all of them."""
    for name in names:
        if name not in PATTERNS:
            raise InvalidInput("unknown_type", unknown("type of change", name, PATTERNS), "types")
    wanted = {name for name in TYPES if name in names or f"{name.partition('.')[0]}.*" in names}
    return frozenset(wanted) if names else None


class _Stream(Response):
    """What a listener gets, for as long as they listen."""

    media_type = MEDIA_TYPE

    def __init__(self, hub: Hub, listener: Listener) -> None:
        # Proxies are not to gather it, nor anybody to keep it.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send until the listener leaves or the hub ends the stream."""
        listener = self._listener
        leaving = asyncio.create_task(_left(receive))
        leaving.add_done_callback(lambda _: listener.end())
        try:
            await self._hub.enter(listener)
            self.headers["Laurels-Position"] = str(listener.position)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": OPENING, "more_body": True})
            while piece := await listener.piece():
                async with asyncio.timeout(PATIENCE_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            log.info("listener_given_up", extra={"caller": listener.caller.name})
        finally:
            self._hub.leave(listener)
            leaving.cancel()


async def _left(receive: Receive) -> None:
    """Wait until the other side is gone."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except HTTPException:  # It sends a body, and one that cannot be read.
        return

"""The live stream: what happens to users, as it happens, as Server-Sent Events that can be resumed anywhere."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Query, Request
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
from laurels.stream import TYPES, position_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from laurels.http.hub import Hub

MEDIA_TYPE = "text/event-stream"
#: How soon a browser comes again, in ms. No empty line follows, which some clients would take for an event.
OPENING = b"retry: 2000\n"
#: A listener that takes nothing for so long is gone without having said so.
PATIENCE_S = 60

log = logging.getLogger("laurels.http")
router = APIRouter(prefix="/v1/stream", tags=["stream"])


@router.get(
    "",
    summary="Follow what happens",
    response_class=Response,
    responses=answers(
        str,
        description="Server-Sent Events without an end: `id` is the change's place in the journal, `event` its type, "
        "`data` the change. `Laurels-Position` is where the stream begins.",
        media_type=MEDIA_TYPE,
    ),
)
async def follow_changes(
    request: Request,
    caller: ReadOrUser,
    user_id: Annotated[
        str | None, Query(max_length=ID_CHARACTERS_MAX, description="Of one user alone; all if not given.")
    ] = None,
    types: Annotated[
        list[str] | None,
        Query(description="Changes of these types alone.", json_schema_extra={"items": {"enum": list(TYPES)}}),
    ] = None,
    last_event_id: Annotated[
        str,
        Header(
            alias="Last-Event-ID",
            description="Go on behind the change with this `id`; 0 begins with the first there is. Without it the "
            "stream begins with what happens next.",
        ),
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
    for name in types or ():
        if name not in TYPES:
            raise InvalidInput("unknown_type", unknown("type of change", name, TYPES), "types")
    hub = service_of(request).hub
    position = position_of(last_event_id) if last_event_id else None
    wanted = frozenset(types) if types else None
    return _Stream(hub, Listener(hub, caller, position=position, user_id=user_id, types=wanted))


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

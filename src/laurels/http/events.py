"""Events: what users did. One, a batch, CloudEvents, or a stream of lines that may be as long as you like."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from laurels.core.changes import outcome_as_json
from laurels.core.errors import InvalidInput
from laurels.http import cloudevents, ndjson
from laurels.http.auth import Ingest
from laurels.http.bodies import LINES, NDJSON, essence
from laurels.http.direct import Direct
from laurels.http.problems import Refused
from laurels.http.service import service_of
from laurels.http.wire import Outcomes, answers, reply
from laurels.importers.events import event_of, json_of

if TYPE_CHECKING:
    from concurrent.futures import Future

    from laurels.core.changes import Outcome
    from laurels.core.events import Event

EVENTS_MAX = 1_000
JSON = "application/json"
LARGE_BYTES = 128 * 1024


router = APIRouter(prefix="/v1", tags=["events"], route_class=Direct)


@router.post(
    "/events",
    summary="Record events",
    response_class=Response,
    responses=answers(Outcomes, description="All of them were recorded, or had been before."),
    openapi_extra={"parameters": cloudevents.REQUEST_PARAMETERS, "requestBody": cloudevents.REQUEST_BODY},
)
async def record_events(request: Request, caller: Ingest) -> Response:
    """
    Record one event, up to a thousand together or not at all, or any number as NDJSON in order.

    An event with an id that its user already has is a `duplicate` and changes nothing. The answer comes after the
    commit. 503 with `Retry-After` means that nothing was recorded.
    """
    media_type = essence(request.headers.get("content-type", ""))
    if media_type in LINES:
        return ndjson.answer(request, service_of(request).engine)
    body = await request.body()
    if len(body) < LARGE_BYTES:
        return _reply(await asyncio.wrap_future(_submit(request, media_type, body)))
    # Others are not to wait for it.
    outcomes = await asyncio.wrap_future(await asyncio.to_thread(_submit, request, media_type, body))
    return await asyncio.to_thread(_reply, outcomes)


def _submit(request: Request, media_type: str, body: bytes) -> Future[list[Outcome]]:
    """Hand what a body says over to be recorded. Raises InvalidInput, which says of which event."""
    events, is_one = _events(request, media_type, body)
    try:
        return service_of(request).engine.submit(events, wait=False)
    except InvalidInput as error:
        if not is_one:
            error.path = f"events{error.path}" if error.path.startswith("[") else f"events[0].{error.path}"
        raise


def _reply(outcomes: list[Outcome]) -> Response:
    return reply({"outcomes": [outcome_as_json(outcome) for outcome in outcomes]})


def _events(request: Request, media_type: str, body: bytes) -> tuple[list[Event], bool]:
    """Return the events that a body holds, and whether it is one by itself."""
    if media_type == cloudevents.STRUCTURED:
        return [cloudevents.of_object(json_of(body, "unreadable"), "")], True
    if media_type == cloudevents.BATCH:
        return cloudevents.of_batch(json_of(body, "unreadable"), EVENTS_MAX), False
    if "ce-specversion" in request.headers:  # Other modes may repeat such headers, so this comes after them.
        return [cloudevents.of_headers(request.headers, media_type, body)], True
    if media_type != JSON:
        raise Refused(
            415,
            "unsupported_media_type",
            f"{media_type or 'Nothing'!r:.60} is no form in which events come: {JSON}, {cloudevents.STRUCTURED}, "
            f"{cloudevents.BATCH}, {NDJSON}, or a CloudEvent in ce-… headers.",
            {"Accept-Post": f"{JSON}, {cloudevents.STRUCTURED}, {cloudevents.BATCH}, {NDJSON}"},
        )
    found = json_of(body, "unreadable")
    if not isinstance(found, dict) or "events" not in found:
        return [event_of(found)], True
    events = found["events"]
    if not isinstance(events, list) or set(found) != {"events"}:
        raise InvalidInput("invalid_event", "a batch is an object with `events`, a list, and nothing else", "events")
    check_count(len(events))
    return [event_of(one, f"events[{place}]") for place, one in enumerate(events)], False


def check_count(events: int) -> None:
    """Raise InvalidInput unless so many events can come together."""
    if not 1 <= events <= EVENTS_MAX:
        raise InvalidInput("batch_too_large", f"1 to {EVENTS_MAX:,} events go together, not {events:,}.", "events")

"""Webhooks: who is told of changes over HTTP, what was delivered to them, and delivering it again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, cast

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.responses import Response

from laurels.core.errors import InvalidInput
from laurels.core.requests import read_instant
from laurels.http.auth import Admin
from laurels.http.service import service_of
from laurels.http.wire import Body, Code, Cursor, Limit, Page, answers, opaque, paged, position_in, reply
from laurels.importers.events import time_of
from laurels.webhooks import deliveries, endpoints
from laurels.webhooks.addresses import URL_CHARACTERS_MAX, Addresses
from laurels.webhooks.deliveries import Delivery, Status
from laurels.webhooks.endpoints import PATTERNS, TYPES_MAX, USERS_MAX, Endpoint, EndpointSettings, EndpointWithSecret

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], default_response_class=Response)

Url = Annotated[str, Field(max_length=URL_CHARACTERS_MAX, json_schema_extra={"format": "uri"})]
Types = Annotated[
    list[str],
    Field(max_length=TYPES_MAX, description=f"Which changes; none means all. Known: {', '.join(PATTERNS)}."),
]
Users = Annotated[list[str], Field(max_length=USERS_MAX, description="Of which users; none means of all.")]
Since = Annotated[
    datetime | None,
    BeforeValidator(lambda text: time_of(text, "since")),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]
Description = Annotated[str, Field(max_length=endpoints.DESCRIPTION_CHARACTERS_MAX)]


class EndpointWanted(Body):
    """Where to send messages, and of what."""

    url: Url
    types: Types = Field(default_factory=list)
    users: Users = Field(default_factory=list)
    description: Description = ""


class EndpointChanges(Body):
    """What to change; the rest stays as it is."""

    url: Url = ""
    types: Types = Field(default_factory=list)
    users: Users = Field(default_factory=list)
    description: Description = ""
    enabled: bool = True


class SecretRotation(Body):
    """How many seconds the secret before signs beside the new one."""

    overlap_s: Annotated[int, Field(ge=0, le=endpoints.OVERLAP_S_MAX)] = 86_400


class RedeliveryWanted(Body):
    """One delivery by its id, however it went; or all since then that failed or were dropped."""

    delivery_id: str | None = None
    since: Since = None


class Redelivery(msgspec.Struct, frozen=True):
    """How many messages wait to be sent again."""

    queued: int


@router.get("", summary="List webhooks", responses=answers(Page[Endpoint]))
def list_webhooks(request: Request, caller: Admin) -> Response:
    """List all webhooks."""
    return reply(Page(endpoints.every(service_of(request).engine), None))


@router.post(
    "",
    summary="Make a webhook",
    status_code=201,
    responses=answers(EndpointWithSecret, 201, "The webhook, with its secret, shown this once."),
)
def create_webhook(request: Request, caller: Admin, body: EndpointWanted) -> Response:
    """Make a webhook: its URL is told of what is recorded from now on, in messages signed with its secret."""
    engine = service_of(request).engine
    return reply(endpoints.create(engine, _addresses(request), actor=caller.name, **body.model_dump()), 201)


@router.get("/{webhook_id}", summary="Read a webhook", responses=answers(Endpoint))
def read_webhook(request: Request, caller: Admin, webhook_id: Code) -> Response:
    """Return a webhook, and how much waits for it."""
    return reply(endpoints.one(service_of(request).engine, webhook_id))


@router.patch("/{webhook_id}", summary="Change a webhook", responses=answers(Endpoint))
def change_webhook(request: Request, caller: Admin, webhook_id: Code, body: EndpointChanges) -> Response:
    """
    Change what is given. Enabled again, or given another URL, a webhook is sent at once what waits for it.

    What was recorded while it was not enabled it is not told of.
    """
    engine, given = service_of(request).engine, cast("EndpointSettings", body.model_dump(exclude_unset=True))
    return reply(endpoints.change(engine, _addresses(request), webhook_id, given, actor=caller.name))


@router.delete("/{webhook_id}", summary="Remove a webhook", responses=answers(Endpoint))
def remove_webhook(request: Request, caller: Admin, webhook_id: Code) -> Response:
    """Remove a webhook, and all that waits for it."""
    return reply(endpoints.remove(service_of(request).engine, webhook_id, actor=caller.name))


@router.post(
    "/{webhook_id}/rotate-secret",
    summary="Rotate a webhook's secret",
    responses=answers(EndpointWithSecret, description="The webhook, with its new secret, shown this once."),
)
def rotate_webhook_secret(
    request: Request, caller: Admin, webhook_id: Code, body: SecretRotation | None = None
) -> Response:
    """Make a new secret. For a while every message is signed with both, so that the receiver can change over."""
    overlap_s = (body or SecretRotation()).overlap_s
    engine = service_of(request).engine
    return reply(endpoints.rotate_secret(engine, webhook_id, overlap_s=overlap_s, actor=caller.name))


@router.get("/{webhook_id}/deliveries", summary="List deliveries", responses=answers(Page[Delivery]))
def list_deliveries(
    request: Request,
    caller: Admin,
    webhook_id: Code,
    status: Annotated[Status | None, Query(description="Only those.")] = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Response:
    """List the messages to a webhook, the newest first, each with all attempts to deliver it."""
    before = position_in(cursor, tuple[int, int])
    engine = service_of(request).engine
    endpoints.one(engine, webhook_id)
    with engine.read() as connection:
        found = deliveries.page(connection, webhook_id, status=status, before=before, limit=limit + 1)
    return reply(paged(found, limit, lambda last: opaque(last.position, last.place)))


@router.post("/{webhook_id}/redeliver", summary="Deliver again", responses=answers(Redelivery))
def redeliver(request: Request, caller: Admin, webhook_id: Code, body: RedeliveryWanted) -> Response:
    """Send one delivery again, or all since a time that failed or were dropped; under the ids that they had."""
    if (body.delivery_id is None) == (body.since is None):
        raise InvalidInput("invalid_redelivery", "Say which: a `delivery_id`, or `since` when.")
    service = service_of(request)
    queued = deliveries.redeliver(
        service.engine,
        webhook_id,
        delivery_id=body.delivery_id,
        since=None if body.since is None else read_instant(body.since, "since"),
        backlog_max=service.settings.webhooks_backlog_max,
        actor=caller.name,
    )
    return reply(Redelivery(queued))


def _addresses(request: Request) -> Addresses:
    return Addresses(allow_private=service_of(request).settings.webhooks_allow_private)

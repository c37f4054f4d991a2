"""Health: whether the process lives, whether it can do its work, and what it counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from laurels.core.errors import LaurelsError
from laurels.http.service import service_of
from laurels.http.wire import answers, reply
from laurels.store import schema

router = APIRouter(tags=["health"], default_response_class=Response)


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """
    Whether calls can be served, and what is missing: `database`, `schema`, `recording` or `redis`, each with why.

    Without Redis everything but leaderboards is served, so that alone leaves `ready` true.
    """

    ready: bool
    missing: dict[str, str]


@router.get("/healthz", summary="Is it alive?", responses=answers(Alive))
async def read_health() -> Response:
    """Say that the process lives; whatever else is away."""
    return reply(Alive("ok"))


@router.get(
    "/readyz", summary="Is it ready?", responses=answers(Readiness) | answers(Readiness, 503, "Calls cannot be served.")
)
def read_readiness(request: Request) -> Response:
    """Say whether calls can be served; 503 with what is missing where they cannot."""
    service, missing = service_of(request), dict[str, str]()
    engine = service.engine
    with _noted(missing, "database"), engine.read() as connection:
        engine.catalog_in(connection)
        found = schema.version(connection)
        if found < schema.HEAD:
            missing["schema"] = f"The database has schema {found}, older than {schema.HEAD}: it was put back, perhaps."
    with _noted(missing, "recording"):
        engine.check()
    ready = not missing
    if service.settings.redis_url and "database" not in missing:
        with _noted(missing, "redis"):
            engine.projector.check()
    return reply(Readiness(ready, missing), 200 if ready else 503)


@contextmanager
def _noted(missing: dict[str, str], what: str) -> Iterator[None]:
    """Note an error of the engine's as what is missing."""
    try:
        yield
    except LaurelsError as error:
        missing[what] = str(error)


@router.get(
    "/metrics",
    summary="What does it count?",
    responses={200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def read_metrics(request: Request) -> Response:
    """Tell what Prometheus asks for, of all processes that serve together."""
    text, media_type = service_of(request).telemetry.exposition(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": media_type})

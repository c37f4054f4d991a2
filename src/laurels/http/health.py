"""Health: whether the process lives, and whether it can do its work."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from laurels.core.errors import LaurelsError
from laurels.http.service import service_of
from laurels.http.wire import answers, reply

router = APIRouter(tags=["health"], default_response_class=Response)


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether calls can be served, and what is missing where they cannot."""

    ready: bool
    missing: dict[str, str]


@router.get("/healthz", summary="Is it alive?", responses=answers(Alive))
async def read_health() -> Response:
    """Say that the process lives; whatever else is away."""
    return reply(Alive("ok"))


@router.get("/readyz", summary="Is it ready?", responses=answers(Readiness))
def read_readiness(request: Request) -> Response:
    """Say whether the database (and Redis, where given) answer; 503 with what is missing where they do not."""
    missing: dict[str, str] = {}
    engine = service_of(request).engine
    try:
        with engine.read() as connection:
            engine.catalog_in(connection)
    except LaurelsError as error:
        missing["database"] = str(error)
    return reply(Readiness(not missing, missing), 503 if missing else 200)

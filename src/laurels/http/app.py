"""The application: its routes, what stands before them, and the OpenAPI document that describes them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

import laurels
from laurels.http import (
    achievements,
    administration,
    background,
    catalog,
    events,
    health,
    leaderboards,
    pages,
    problems,
    quests,
    stream,
    users,
    wallet,
    webhooks,
)
from laurels.http.auth import KeyRing, Tokens
from laurels.http.bodies import NDJSON, Bodies
from laurels.http.direct import Ahead, Direct
from laurels.http.document import document
from laurels.http.gate import Gate
from laurels.http.hub import Hub
from laurels.http.limits import Limiter
from laurels.http.service import Service
from laurels.http.telemetry import Calls, Sampler, Telemetry
from laurels.settings import read_settings
from laurels.webhooks.deliverer import Deliverer
from laurels.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from laurels.engine import Engine
    from laurels.settings import Settings

DESCRIPTION = """
XP and levels, currencies with a provable ledger, achievements, quests, streaks and leaderboards: exactly once, and
explained. Every write is a request with an id of yours, and safe to repeat; every answer comes after the commit.
"""
#: What fits into one packet is not made smaller.
GZIP_BYTES_MIN = 1_400
RESOURCES = (
    events,
    users,
    wallet,
    quests,
    achievements,
    leaderboards,
    stream,
    catalog,
    webhooks,
    administration,
    health,
)


def create_app(engine: Engine, settings: Settings | None = None) -> FastAPI:
    """
    Return the ASGI application on an engine, to be served or to be mounted into another application.

    The engine stays its owner's to close. `settings` are those in force where none are given. Mounted, it needs its
    lifespan run by the application it is mounted into (see the guide); what is missing without is the work that goes on
    by itself: leaderboards on PostgreSQL and in Redis, the live stream, webhooks.
    """
    settings = settings or read_settings()
    keys = KeyRing(engine)
    hub = Hub(engine, keys, heartbeat_s=settings.stream_heartbeat_s, lasts_s_max=settings.stream_lasts_s_max)
    service = Service(
        engine=engine,
        settings=settings,
        keys=keys,
        tokens=Tokens(settings),
        limiter=Limiter(settings),
        hub=hub,
        telemetry=Telemetry(engine, hub),
    )
    engine.observe(service.telemetry)
    app = FastAPI(
        title="Laurels",
        version=laurels.__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name,
        middleware=_middleware(service),
        # FastAPI's own telemetry would tell paths and queries, and with them who asked for what; ours does not.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.laurels = service
    problems.install(app)
    for resource in RESOURCES:
        app.include_router(resource.router)
    pages.install(app)
    app.openapi = lambda: document(app, _TAGS)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run what goes on by itself for as long as the application does."""
    service: Service = app.state.laurels
    loops: list[background.Loop] = [Sampler(service.telemetry)]
    if service.settings.serve_works:
        service.telemetry.deliverer = deliverer = Deliverer(service.engine, service.settings)
        loops += [Worker(service.engine), deliverer]
    async with background.running(loops, wake=service.engine.projector.notice):
        yield
    await service.close()


def _middleware(service: Service) -> list[Middleware]:
    """Return what every call passes, the outermost first."""
    settings = service.settings
    found = [
        Middleware(Calls, telemetry=service.telemetry),
        Middleware(Gate, service=service),
        Middleware(
            Packing,
            minimum_size=GZIP_BYTES_MIN,
            compresslevel=5,
            exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, NDJSON),  # A line is to be read as it comes.
        ),
        Middleware(Bodies, bytes_max=settings.body_bytes_max, pause_s_max=settings.body_pause_s_max),
        Middleware(Ahead, routes=_DIRECT),
    ]
    origins = settings.cors_origins.split()
    if origins:  # A browser asks what it may before it sends any key, so this stands before the gate.
        cors = Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID"],
            expose_headers=[
                "ETag",
                "Idempotent-Replayed",
                "Laurels-Position",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "X-Request-Id",
            ],
            max_age=600,
        )
        found.insert(1, cors)
    return found


class Packing(GZipMiddleware):
    """Packs what is read; what a write answers is small, and what stands in its way adds up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, with an answer that is packed if it is large and its sender unpacks."""
        packs = scope["type"] == "http" and scope["method"] == "GET"
        await (super().__call__ if packs else self.app)(scope, receive, send)


_DIRECT = [route for resource in RESOURCES for route in resource.router.routes if isinstance(route, Direct)]
_TAGS = [{"name": resource.router.tags[0], "description": resource.__doc__} for resource in RESOURCES]

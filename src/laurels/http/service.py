"""What one running service holds: the engine, the keys it knows, and how it was told to behave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from laurels.engine import Engine
    from laurels.http.auth import KeyRing, Tokens
    from laurels.http.hub import Hub
    from laurels.http.limits import Limiter
    from laurels.http.telemetry import Telemetry
    from laurels.settings import Settings


@dataclass(slots=True, kw_only=True)
class Service:
    """The parts that routes use; there is one for each application, in its state."""

    engine: Engine
    settings: Settings
    keys: KeyRing
    tokens: Tokens
    limiter: Limiter
    telemetry: Telemetry
    hub: Hub

    def stop(self) -> None:
        """Let end what would not end by itself; safe to call from signal handlers and other threads."""
        self.hub.close()

    async def close(self) -> None:
        """Give up what the parts hold; the engine is its owner's to close."""
        await self.hub.closed()
        await self.keys.close()
        await self.limiter.close()


def service_of(connection: HTTPConnection) -> Service:
    """Return the service that a request came to."""
    service: Service = connection.app.state.laurels
    return service

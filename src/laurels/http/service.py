"""What one running service holds: the engine, the keys it knows, and how it was told to behave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from laurels.handles import unknown_user
from laurels.http.gathering import Gathering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import HTTPConnection

    from laurels.core.profile import Profile
    from laurels.engine import Engine
    from laurels.http.auth import KeyRing, Tokens
    from laurels.http.hub import Hub
    from laurels.http.limits import Limiter
    from laurels.http.telemetry import Telemetry
    from laurels.leaderboards.board import Excerpt, Lines
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
    profiles: Gathering[str, Profile] = field(init=False)
    boards: Gathering[Excerpt, Lines] = field(init=False)

    def __post_init__(self) -> None:
        self.profiles = Gathering(self._profiles)
        self.boards = Gathering(self.engine.excerpts)

    def _profiles(self, user_ids: Sequence[str]) -> list[Profile | Exception]:
        found = self.engine.profiles_of(user_ids)
        return [found.get(user_id) or unknown_user(user_id) for user_id in user_ids]

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

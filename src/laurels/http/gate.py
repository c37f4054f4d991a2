"""
The gate every call of `/v1` passes: who is it, and is there room? Nothing of a body is read before.

Plain ASGI, so that a stream is not held up and a refusal costs next to nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders

from laurels.http.problems import problem
from laurels.http.wire import SLASH

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from laurels.http.auth import Caller
    from laurels.http.service import Service

AUTHORIZATION = b"authorization"
API = "/v1"
_ESCAPED = b"%2f"


class Gate:
    """Lets known callers through to `/v1`, with who they are in the scope; everybody to everything else."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 429, or pass the call on."""
        # Not every server gives the path as it came; without it an escaped slash parts the path as any other.
        if scope["type"] == "http" and _ESCAPED in (scope.get("raw_path") or b"").lower():
            scope["path"] = unquote(re.sub("%2f", SLASH, scope["raw_path"].decode("latin-1"), flags=re.IGNORECASE))
        if scope["type"] != "http" or not _is_api(scope):
            await self._app(scope, receive, send)
            return
        caller = await self._caller(scope)
        if caller is None:
            refusal = problem(
                401,
                "unauthorized",
                "This takes a key that is good: Authorization: Bearer lrl_…. `laurels keys create` makes one.",
                headers={"WWW-Authenticate": 'Bearer realm="laurels"'},
            )
            await refusal(scope, receive, send)
            return
        is_within, headers = self._service.limiter.take(caller)
        if not is_within:
            refusal = problem(429, "rate_limited", "Too many calls with this key; wait a little.", headers=headers)
            await refusal(scope, receive, send)
            return
        scope["laurels.caller"] = caller

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, send_with_headers if headers else send)

    async def _caller(self, scope: Scope) -> Caller | None:
        given = [value for name, value in scope["headers"] if name == AUTHORIZATION]
        scheme, _, credentials = (given[0].decode("latin-1") if len(given) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not credentials:
            return None
        return await self._service.keys.caller_of(credentials) or self._service.tokens.caller_of(credentials)


def _is_api(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path == API or path.startswith(API + "/")

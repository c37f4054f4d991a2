"""
The gate every call of `/v1` passes: who is it, and is there room? Nothing of a body is read before.

Plain ASGI, so that a stream is not held up and a refusal costs next to nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from starlette.datastructures import MutableHeaders

from laurels.core.errors import LaurelsError
from laurels.http.bodies import path_of
from laurels.http.problems import Refused, of_error, of_refusal, problem
from laurels.http.wire import SLASH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from laurels.http.auth import Caller
    from laurels.http.service import Service

AUTHORIZATION = b"authorization"
API = "/v1"
_ESCAPED_SLASH = re.compile(b"%2f", re.IGNORECASE)


class Gate:
    """Lets known callers through to `/v1`, with who they are in the scope; everybody to everything else."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 429, or pass the call on."""
        if scope["type"] != "http" or not _is_api(scope):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
            is_within, headers = await self._service.limiter.take(caller)
            if is_within:
                _unescape(scope)
        except Refused as refused:
            await of_refusal(refused)(scope, receive, send)
            return
        except LaurelsError as error:  # The database is away, so nobody can say who is good.
            await of_error(error)(scope, receive, send)
            return
        if not is_within:
            await _too_many(headers)(scope, receive, send)
            return
        scope["laurels.caller"] = caller

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, send_with_headers if headers else send)

    async def _caller(self, scope: Scope) -> Caller:
        """Return who calls. Raises Refused 401 for nobody we know."""
        given = [value for name, value in scope["headers"] if name == AUTHORIZATION]
        scheme, _, credentials = (given[0].decode("latin-1") if len(given) == 1 else "").partition(" ")
        is_bearer = scheme.lower() == "bearer" and credentials != ""
        if is_bearer:
            caller = await self._service.keys.caller_of(credentials) or self._service.tokens.caller_of(credentials)
            if caller is not None:
                return caller
        error = ', error="invalid_token"' if is_bearer else ""
        raise Refused(
            401,
            "unauthorized",
            "This takes a key that is good: Authorization: Bearer lrl_…. `laurels keys create` makes one.",
            {"WWW-Authenticate": f'Bearer realm="laurels"{error}'},
        )


def _is_api(scope: Scope) -> bool:
    path = path_of(scope)
    return path == API or path.startswith(API + "/")


def _unescape(scope: Scope) -> None:
    """
    Let the path be what was escaped in it, with SLASH for a slash that belongs to an id.

    Raises Refused for what is no text: servers would replace it, and two users would be the same. Not every server
    gives the path as it came; without it an escaped slash parts the path as any other.
    """
    given: bytes = scope.get("raw_path") or b""
    if b"%" not in given:
        return
    try:
        pieces = [unquote_to_bytes(piece).decode() for piece in _ESCAPED_SLASH.split(given)]
    except UnicodeDecodeError:
        raise Refused(400, "unreadable", "What is escaped in the path is not UTF-8.") from None
    if any(SLASH in piece for piece in pieces):
        raise Refused(422, "invalid_id", "The path holds a control character, which no id may.")
    scope["path"] = SLASH.join(pieces)


def _too_many(headers: Mapping[str, str]) -> Response:
    return problem(429, "rate_limited", "Too many calls with this key; wait a little.", headers=headers)

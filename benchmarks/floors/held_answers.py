"""Answers that stay open and never say anything, by the same server: what a connection costs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

HEADERS = [(b"content-type", b"text/event-stream")]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer and wait until the other side is gone."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    if scope["path"] != "/v1/stream":
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": b"retry: 2000\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass

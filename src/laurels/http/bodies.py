"""
What may come in as a body: unpacked if it is gzipped, bounded in size and in how long it takes to come.

A stream of events (NDJSON) may be as long as it likes; it is read piece by piece.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from laurels.http.problems import Refused, of_refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NDJSON = "application/x-ndjson"
GZIP_WINDOW = 16 + zlib.MAX_WBITS
#: So much is unpacked at once, whatever a kilobyte of zeros may become.
PIECE_BYTES = 64 * 1024


class Bodies:
    """Bounds every body that comes in; whoever reads one too large or too slow meets Refused 413 or 408."""

    def __init__(self, app: ASGIApp, *, bytes_max: int, pause_s_max: float) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._pause_s_max = pause_s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on with a body that keeps the bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_stream = headers.get("content-type", "").partition(";")[0].strip().lower() == NDJSON
        coding = headers.get("content-encoding", "identity").strip().lower()
        refused = self._refusal(headers, coding, is_stream=is_stream)
        if refused is not None:
            await of_refusal(refused)(scope, receive, send)
            return
        body = _Body(receive, self._pause_s_max, gzipped=coding != "identity")
        read_bytes = 0
        if coding != "identity":
            shown = MutableHeaders(scope=scope)
            del shown["content-encoding"], shown["content-length"]

        async def receive_bounded() -> Message:
            nonlocal read_bytes
            message = await body.receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > self._bytes_max and not is_stream:
                raise self._too_large()
            return message

        await self._app(scope, receive_bounded, send)

    def _refusal(self, headers: Headers, coding: str, *, is_stream: bool) -> Refused | None:
        """Return what the headers alone refuse."""
        if coding not in {"gzip", "x-gzip", "identity"}:
            detail = f"Bodies come as they are or gzipped, not {coding!r:.40}."
            return Refused(415, "unsupported_encoding", detail, {"Accept-Encoding": "gzip"})
        if not is_stream and coding == "identity" and int(headers.get("content-length", "0")) > self._bytes_max:
            return self._too_large()
        return None

    def _too_large(self) -> Refused:
        return Refused(
            413, "body_too_large", f"The body is larger than {self._bytes_max:,} bytes. Send less at once, or NDJSON."
        )


class _Body:
    """A request's body, piece by piece."""

    def __init__(self, receive: Receive, pause_s_max: float, *, gzipped: bool) -> None:
        self._receive = receive
        self._pause_s_max = pause_s_max
        self._unpack = zlib.decompressobj(GZIP_WINDOW) if gzipped else None
        self._packed = b""
        self._came_last = False
        self._ended = False

    async def receive(self) -> Message:
        """Return the next piece, unpacked; after the last, what the connection tells."""
        if self._ended:
            return await self._receive()
        if self._packed:
            return self._piece()
        try:
            async with asyncio.timeout(self._pause_s_max):
                message = await self._receive()
        except TimeoutError:
            raise Refused(
                408, "body_too_slow", f"Nothing of the body came for {self._pause_s_max:g} s.", {"Connection": "close"}
            ) from None
        if message["type"] != "http.request":
            return message
        self._came_last = not message.get("more_body", False)
        if self._unpack is None:
            self._ended = self._came_last
            return message
        self._packed = message.get("body", b"")
        return self._piece()

    def _piece(self) -> Message:
        assert self._unpack is not None
        try:
            piece = self._unpack.decompress(self._packed, PIECE_BYTES)
        except zlib.error as error:
            raise Refused(400, "unreadable", f"The body is no gzip that can be unpacked: {error}.") from None
        self._packed = self._unpack.unconsumed_tail
        if self._unpack.unused_data:
            raise Refused(400, "unreadable", "Something follows the gzipped body.")
        self._ended = self._came_last and not self._packed
        if self._ended and not self._unpack.eof:
            raise Refused(400, "unreadable", "The gzipped body breaks off.")
        return {"type": "http.request", "body": piece, "more_body": not self._ended}

"""
What may come in as a body: unpacked if it is gzipped, bounded in size and in how long it takes to come.

A stream of events (NDJSON) may be as long as it likes; it is read piece by piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from laurels.http.problems import Refused, of_refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NDJSON = "application/x-ndjson"
#: By other names the same.
LINES = frozenset({NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines"})
GZIP_WINDOW = 16 + zlib.MAX_WBITS
#: So much is unpacked at once, whatever a kilobyte of zeros may become.
PIECE_BYTES = 64 * 1024
#: Where much may come: events and catalogs. Everything else is a few fields, and of a large body full of fields that
#: nobody knows it would take seconds to tell all that is wrong.
LARGE = ("/v1/events", "/v1/catalog")
EVENTS = LARGE[0]
FIELDS_BYTES_MAX = 128 * 1024
#: Who sends a body more slowly than this on the whole, after a first pause, is not waited for.
BYTES_A_SECOND_MIN = 1_024


def essence(media_type: str) -> str:
    """Return a media type without its parameters, in lower case."""
    return media_type.partition(";")[0].strip().lower()


def path_of(scope: Scope) -> str:
    """Return the path of a call inside of the application, wherever that is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


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
        path = path_of(scope)
        is_stream = essence(headers.get("content-type", "")) in LINES and path == EVENTS
        bytes_max = self._bytes_max if path.startswith(LARGE) else min(self._bytes_max, FIELDS_BYTES_MAX)
        coding = headers.get("content-encoding", "identity").strip().lower()
        refused = _refusal(headers, coding, None if is_stream else bytes_max)
        if refused is not None:
            await of_refusal(refused)(scope, receive, send)
            return
        body = _Body(receive, self._pause_s_max, gzipped=coding != "identity", is_stream=is_stream)
        read_bytes = 0
        if coding != "identity":
            shown = MutableHeaders(scope=scope)
            del shown["content-encoding"], shown["content-length"]

        async def receive_bounded() -> Message:
            nonlocal read_bytes
            message = await body.receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > bytes_max and not is_stream:
                raise _too_large(bytes_max)
            return message

        with contextlib.suppress(ClientDisconnect):  # There is nobody to tell.
            await self._app(scope, receive_bounded, send)


def _refusal(headers: Headers, coding: str, bytes_max: int | None) -> Refused | None:
    """Return what the headers alone refuse; without a bound a stream comes."""
    if coding not in {"gzip", "x-gzip", "identity"}:
        detail = f"Bodies come as they are or gzipped, not {coding!r:.40}."
        return Refused(415, "unsupported_encoding", detail, {"Accept-Encoding": "gzip"})
    if bytes_max is not None and coding == "identity" and int(headers.get("content-length", "0")) > bytes_max:
        return _too_large(bytes_max)
    return None


def _too_large(bytes_max: int) -> Refused:
    return Refused(
        413, "body_too_large", f"The body is larger than {bytes_max:,} bytes. Send less at once; events may be NDJSON."
    )


class _Body:
    """A request's body, piece by piece."""

    def __init__(self, receive: Receive, pause_s_max: float, *, gzipped: bool, is_stream: bool) -> None:
        self._receive = receive
        self._pause_s_max = pause_s_max
        self._is_stream = is_stream
        self._unpack = zlib.decompressobj(GZIP_WINDOW) if gzipped else None
        self._packed = b""
        self._came_last = False
        self._ended = False
        self._began_s = asyncio.get_running_loop().time()
        self._came_bytes = 0

    async def receive(self) -> Message:
        """Return the next piece, unpacked; after the last, what the connection tells."""
        if self._ended:
            return await self._receive()
        if self._packed:
            await asyncio.sleep(0)  # A little may unpack to much, and others want their turn.
            return self._piece()
        message = await self._next()
        if message["type"] != "http.request":
            return message
        self._came_last = not message.get("more_body", False)
        if self._unpack is None:
            self._ended = self._came_last
            return message
        self._packed = message.get("body", b"")
        return self._piece()

    async def _next(self) -> Message:
        """Return what comes next. Raises Refused 408 when nothing does, or too little on the whole."""
        until_s = asyncio.get_running_loop().time() + self._pause_s_max
        if not self._is_stream:
            until_s = min(until_s, self._began_s + self._pause_s_max + self._came_bytes / BYTES_A_SECOND_MIN)
        try:
            async with asyncio.timeout_at(until_s):
                message = await self._receive()
        except TimeoutError:
            raise Refused(
                408,
                "body_too_slow",
                f"Nothing of the body came for {self._pause_s_max:g} s, or it comes too slowly.",
                {"Connection": "close"},
            ) from None
        self._came_bytes += len(message.get("body", b""))
        return message

    def _piece(self) -> Message:
        assert self._unpack is not None
        try:
            piece = self._unpack.decompress(self._packed, PIECE_BYTES)
        except zlib.error as error:
            raise Refused(400, "unreadable", f"The body is no gzip that can be unpacked: {error}.") from None
        self._packed = self._unpack.unconsumed_tail or self._unpack.unused_data
        self._ended = self._came_last and not self._packed
        if self._ended and not self._unpack.eof:
            raise Refused(400, "unreadable", "The gzipped body breaks off.")
        if self._unpack.eof and self._packed:  # Another member follows, as in files that were joined.
            self._unpack = zlib.decompressobj(GZIP_WINDOW)
        return {"type": "http.request", "body": piece, "more_body": not self._ended}

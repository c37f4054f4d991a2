"""
A stream of events, one JSON object a line, as long as you like: committed in order in batches, answered line by line.

Answers are sent while lines still come in. Many clients read nothing until they have sent everything, so what they do
not take yet waits in a temporary file: memory stays flat, and neither side ever waits for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from laurels.core.changes import outcome_as_json
from laurels.core.errors import InvalidInput, LaurelsError
from laurels.http.bodies import NDJSON
from laurels.http.problems import of_error, of_refusal
from laurels.importers.events import LINE_BYTES_MAX, parse_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from fastapi import Request
    from starlette.types import Receive, Scope, Send

    from laurels.core.changes import Outcome
    from laurels.core.events import Event
    from laurels.engine import Engine

BATCH_LINES = 500
BATCH_BYTES = 2**20
LINES_WAITING_MAX = 2 * BATCH_LINES
MEMORY_BYTES = 2**20
PIECE_BYTES = 64 * 1024
#: An answer that a client does not take for so long is given up; what was committed stays.
PATIENCE_S = 300

_encode = msgspec.json.Encoder().encode

Line = tuple[int, bytes]


def answer(request: Request, engine: Engine) -> Response:
    """Return the answer to a stream of events, which reads them as it is sent."""
    return _Answer(request, engine)


class _Answer(Response):
    """Outcomes, one a line, each after its commit; at the first line that is refused `{line, problem}`, and the end."""

    media_type = NDJSON

    def __init__(self, request: Request, engine: Engine) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._request = request
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  the request reads
        """Record what comes in, and answer."""
        with SpooledTemporaryFile(max_size=MEMORY_BYTES) as file:
            outbox = _Outbox(file)
            recording = asyncio.create_task(self._record(outbox))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async with contextlib.aclosing(outbox.pieces()) as pieces:
                    async for piece in pieces:
                        async with asyncio.timeout(PATIENCE_S):
                            await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                recording.cancel()
                with contextlib.suppress(asyncio.CancelledError, ClientDisconnect):
                    await recording

    async def _record(self, outbox: _Outbox) -> None:
        """Record every line up to the first that is refused; the rest is read and left."""
        number = 0
        try:
            async for lines in _batches(self._request.stream()):
                done, problem = await asyncio.to_thread(_record, self._engine, lines)
                number = lines[-1][0]
                outbox.put(done)
                if problem:
                    outbox.put(problem)
                    break
        except HTTPException as refused:  # It comes too slowly, or is damaged.
            outbox.put(_problem(number + 1, of_refusal(refused)))
        except ClientDisconnect:
            pass
        finally:
            outbox.close()
        with contextlib.suppress(ClientDisconnect, HTTPException):
            async for _ in self._request.stream():  # Or the client, which still sends, would never see the answer.
                pass


class _Outbox:
    """What waits to be sent: a file that is written at its end and read from its beginning."""

    def __init__(self, file: SpooledTemporaryFile[bytes]) -> None:
        self._file = file
        self._sent = 0
        self._written = 0
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, text: bytes) -> None:
        """Add to what is to be sent."""
        self._file.seek(self._written)
        self._written += self._file.write(text)
        self._changed.set()

    def close(self) -> None:
        """Say that nothing more comes."""
        self._closed = True
        self._changed.set()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield what is to be sent, until it is closed and all of it was."""
        while True:
            while self._sent < self._written:
                self._file.seek(self._sent)
                piece = self._file.read(PIECE_BYTES)
                self._sent += len(piece)
                yield piece
            self._sent = self._written = 0  # What was sent takes no more place.
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()


async def _batches(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[Line]]:
    """Yield the lines that have come so far, with their numbers, as many as go into one commit."""
    lines: asyncio.Queue[Line | None] = asyncio.Queue(LINES_WAITING_MAX)
    reading = asyncio.create_task(_read_lines(pieces, lines))
    try:
        while True:
            line = await lines.get()
            batch: list[Line] = []
            size = 0
            while line is not None:
                batch.append(line)
                size += len(line[1])
                if len(batch) >= BATCH_LINES or size >= BATCH_BYTES or lines.empty():
                    break
                line = lines.get_nowait()
            if batch:
                yield batch
            if line is None:
                break
        await reading  # Which says why it ended early, if it did.
    finally:
        reading.cancel()


async def _read_lines(pieces: AsyncIterator[bytes], lines: asyncio.Queue[Line | None]) -> None:
    """Put the lines that are not blank into a queue, and None at the end, whatever it is."""
    rest, number = b"", 0
    try:
        async for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                number += 1
                if line and not line.isspace():
                    await lines.put((number, line))
            if len(rest) > LINE_BYTES_MAX:  # It will be refused for its length, and nothing after it looked at.
                break
        if rest and not rest.isspace():
            await lines.put((number + 1, rest))
    finally:
        await lines.put(None)


def _record(engine: Engine, lines: Sequence[Line]) -> tuple[bytes, bytes]:
    """Record lines together; return their outcomes as lines, and a line for the first that is refused."""
    events: list[tuple[int, Event]] = []
    problem = b""
    for number, line in lines:
        try:
            events.append((number, parse_event(line)))
        except InvalidInput as error:
            problem = _problem(number, of_error(error))
            break
    if not events:
        return b"", problem
    try:
        return _lines(engine.record([event for _, event in events])), problem
    except LaurelsError:  # Something in it is refused: one by one it shows which, and what comes before it counts.
        pass
    done: list[Outcome] = []
    for number, event in events:
        try:
            done.append(engine.record(event))
        except LaurelsError as error:
            return _lines(done), _problem(number, of_error(error))
    return _lines(done), problem


def _lines(outcomes: Sequence[Outcome]) -> bytes:
    return b"".join(_encode(outcome_as_json(outcome)) + b"\n" for outcome in outcomes)


def _problem(number: int, told: Response) -> bytes:
    return _encode({"line": number, "problem": msgspec.Raw(told.body)}) + b"\n"

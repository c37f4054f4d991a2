"""
A stream of events, one JSON object a line, as long as you like: committed in order in batches, answered line by line.

Answers are sent while lines still come in. Many clients read nothing until they have sent everything, so what they do
not take yet waits in a temporary file: memory stays flat, and neither side ever waits for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from codecs import BOM_UTF8
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from laurels.core.changes import outcome_as_json
from laurels.core.errors import InvalidInput, LaurelsError, Unavailable
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
MEMORY_BYTES = 2**20
PIECE_BYTES = 64 * 1024
#: Once everything has come, an answer of which nothing is taken for so long is given up; what was committed stays.
PATIENCE_S = 300
#: Where too much waits to be recorded already, this waits too, and with it who sends.
OVERLOADED_PAUSE_S = 0.05

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
            sending = asyncio.create_task(self._send(outbox, send))
            try:
                await recording
                while not sending.done():
                    taken = outbox.sent
                    await asyncio.wait([sending], timeout=PATIENCE_S)
                    if outbox.sent == taken:
                        break
            finally:
                recording.cancel()
                sending.cancel()
                await asyncio.gather(recording, sending, return_exceptions=True)

    async def _record(self, outbox: _Outbox) -> None:
        """Record every line up to the first that is refused; the rest is read and left."""
        pieces = self._request.stream()
        number = 0
        try:
            async with contextlib.aclosing(_batches(pieces)) as batches:
                async for lines in batches:
                    if await _record(self._engine, lines, outbox):
                        break
                    number = lines[-1][0]
            async for _ in pieces:  # Some clients would take the end of the answer for a lost connection.
                pass
        except HTTPException as refused:  # It comes too slowly, or is damaged.
            outbox.put(_problem(number + 1, of_refusal(refused)))
        except ClientDisconnect:
            pass
        outbox.close()

    async def _send(self, outbox: _Outbox, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for piece in outbox.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _Outbox:
    """What waits to be sent: a file that is written at its end and read from its beginning."""

    def __init__(self, file: SpooledTemporaryFile[bytes]) -> None:
        self._file = file
        self._read = 0
        self._written = 0
        self._changed = asyncio.Event()
        self._closed = False
        #: How many pieces were taken.
        self.sent = 0

    def put(self, text: bytes) -> None:
        """Add to what is to be sent."""
        self._file.seek(self._written)
        self._written += self._file.write(text)
        self._changed.set()

    def close(self) -> None:
        """Say that nothing more comes."""
        self._closed = True
        self._changed.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent, until it is closed and all of it was."""
        while True:
            while self._read < self._written:
                self._file.seek(self._read)
                piece = self._file.read(min(PIECE_BYTES, self._written - self._read))  # Behind it is what was sent.
                self._read += len(piece)
                yield piece
                self.sent += 1
            self._read = self._written = 0  # What was sent takes no more place.
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()


async def _batches(pieces: AsyncIterator[bytes]) -> AsyncGenerator[list[Line]]:
    """Yield the lines that have come so far and are not blank, with their numbers, as many as go into one commit."""
    rest, number = b"", 0
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:  # It will be refused for its length, and nothing after it looked at.
            whole.append(rest)
            rest = b""
        batch: list[Line] = []
        for line in whole:
            number += 1
            if line and not line.isspace():
                batch.append((number, line))
                if len(batch) == BATCH_LINES:
                    yield batch
                    batch = []
        if batch:
            yield batch
    if rest and not rest.isspace():
        yield [(number + 1, rest)]


async def _record(engine: Engine, lines: Sequence[Line], outbox: _Outbox) -> bool:
    """Record lines up to the first that is refused, and tell what each of them came to; say whether one was refused."""
    events, problem = await asyncio.to_thread(_parsed, lines)
    together = len(events)
    while events:
        together = min(together, len(events))
        try:
            outcomes = await _recorded(engine, [event for _, event in events[:together]])
        except LaurelsError as error:
            if together == 1 or isinstance(error, Unavailable):
                problem = _problem(events[0][0], of_error(error))
                break
            together = (together + 1) // 2  # One of them is refused; those before it count.
        else:
            outbox.put(await asyncio.to_thread(_told, outcomes))
            events = events[together:]
    outbox.put(problem)
    return problem != b""


async def _recorded(engine: Engine, events: list[Event]) -> list[Outcome]:
    while True:
        try:
            return await asyncio.wrap_future(engine.submit(events, wait=False))
        except Unavailable as error:
            if error.code != "overloaded":
                raise
        await asyncio.sleep(OVERLOADED_PAUSE_S)


def _parsed(lines: Sequence[Line]) -> tuple[list[tuple[int, Event]], bytes]:
    """Return the events up to the first line that is none, with their lines' numbers, and what is said of that line."""
    events: list[tuple[int, Event]] = []
    for number, line in lines:
        try:
            events.append((number, parse_event(line.removeprefix(BOM_UTF8) if number == 1 else line)))
        except InvalidInput as error:
            return events, _problem(number, of_error(error))
    return events, b""


def _told(outcomes: Sequence[Outcome]) -> bytes:
    return b"".join(_encode(outcome_as_json(outcome)) + b"\n" for outcome in outcomes)


def _problem(number: int, told: Response) -> bytes:
    return _encode({"line": number, "problem": msgspec.Raw(told.body)}) + b"\n"

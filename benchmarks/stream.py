"""Ten thousand who listen to one process: what each costs while nothing happens, and how soon each hears what does."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, cast

import httpx
import jwt
import uvloop

import laurels
from benchmarks._postgres import cpu_seconds, create_database, running_server
from benchmarks._report import Figure, report
from benchmarks.service import Program, resident_bytes, serving
from laurels import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.service import Running

LISTENERS = 10_000
QUICK = 300
EVENTS = 200
WARM_EVENTS = 20
#: How many connect at the same time, as browsers do that lost their server.
TOGETHER = 200
#: Long enough for each to hear a heartbeat.
IDLE_S = 20.0
SECRET = "a secret of the benchmark's, thirty-two bytes"
FLOOR = ("uvicorn", "benchmarks.floors.held_answers:app", "--no-access-log", "--log-level", "warning")


@dataclass(frozen=True, kw_only=True)
class Held:
    """What it took to hold so many streams open."""

    empty_bytes: int
    held_bytes: int
    connecting_s: float
    idle_cpu: float
    heartbeats: int
    waits_s: Sequence[float]


def main() -> None:
    """Measure and report."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few listeners: shows that it runs, measures nothing")
    is_quick = parser.parse_args().quick
    count = QUICK if is_quick else LISTENERS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # Ours, and those of the servers that we start.
    with running_server() as server:
        url = create_database(server, "stream")
        with laurels.open(url) as engine:
            key = keys.create(engine, "bench", ["ingest", "read"], actor="bench").key
        environment = {"LAURELS_DATABASE_URL": url, "LAURELS_TOKEN_KEY": SECRET}
        with serving(Program(command=("laurels", "serve"), environment=environment)) as running:
            ours = uvloop.run(hold(running, count, key))
    with serving(Program(command=FLOOR, environment={})) as running:
        floor = uvloop.run(hold(running, count, None))
    report("stream", figures(count, ours, floor), keep=not is_quick)


def figures(count: int, ours: Held, floor: Held) -> list[Figure]:
    """Return what came out."""
    each, bare = ((one.held_bytes - one.empty_bytes) / count for one in (ours, floor))
    ninety_ninth = quantiles(ours.waits_s, n=100)[98]
    return [
        Figure(
            figure=f"memory of a process to which {count:,} listen",
            value=ours.held_bytes / 1e6,
            unit="MB",
            floor=floor.held_bytes / 1e6,
            ratio=ours.held_bytes / floor.held_bytes,
            method=f"resident set of `laurels serve` on PostgreSQL, {IDLE_S:g} s after {count:,} connections over "
            "loopback, each with the token of a user of its own; before them "
            f"{ours.empty_bytes / 1e6:.0f} MB; the floor is the same server with an application that only holds them",
        ),
        Figure(
            figure="memory of a listener",
            value=each / 1e3,
            unit="KB",
            floor=bare / 1e3,
            ratio=each / bare,
            method="the difference, for each; the kernel's buffers are not in it",
        ),
        Figure(
            figure=f"processor time of a process to which {count:,} listen while nothing happens",
            value=100 * ours.idle_cpu,
            unit="% of a core",
            method=f"over {IDLE_S:g} s, in which {ours.heartbeats:,} heartbeats came; everybody had connected in "
            f"{ours.connecting_s:.1f} s",
        ),
        Figure(
            figure="wait from posting an event to hearing of it, p99",
            value=1e3 * ninety_ninth,
            unit="ms",
            method=f"{len(ours.waits_s)} events, one after the other, each of one of {count:,} listeners drawn evenly, "
            f"after {WARM_EVENTS} to warm up; p50 {1e3 * median(ours.waits_s):.0f} ms, "
            f"slowest {1e3 * max(ours.waits_s):.0f} ms",
        ),
    ]


class Listening(asyncio.Protocol):
    """A listener: notes what came, and when."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.heartbeats = 0
        self.is_open = False
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.heard: asyncio.Future[float] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self.transport = cast("asyncio.Transport", transport)
        self.is_open = True
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Look what came."""
        if not self.begun.done() and b"retry:" in data:
            self.begun.set_result(None)
        self.heartbeats += data.count(b"\r\n:\n\r\n")
        if b"data:" in data and not self.heard.done():
            self.heard.set_result(time.perf_counter())

    def connection_lost(self, error: Exception | None) -> None:
        """Tell that the stream ended."""
        self.is_open = False
        for one in (self.begun, self.heard):
            if not one.done():
                one.set_exception(ConnectionError(f"A stream ended: {error}"))
                one.exception()  # Whoever waits gets it; nobody else need know.


async def hold(running: Running, count: int, key: str | None) -> Held:
    """Listen so many times, wait, record events; without a key there is nothing to record them with."""
    await listen(running, 1)
    empty_bytes = resident_bytes(running.pid)
    started = time.perf_counter()
    listeners: list[Listening] = []
    while len(listeners) < count:
        listeners += await listen(running, min(TOGETHER, count - len(listeners)), first=len(listeners))
    connecting_s = time.perf_counter() - started
    began, before = time.perf_counter(), cpu_seconds(running.pid)
    await asyncio.sleep(IDLE_S)
    idle_cpu = (cpu_seconds(running.pid) - before) / (time.perf_counter() - began)
    held_bytes = resident_bytes(running.pid)
    heartbeats = sum(listener.heartbeats for listener in listeners)
    waits_s = [] if key is None else await waits(running, listeners, key)
    assert all(listener.is_open for listener in listeners), "A stream ended."
    for listener in listeners:
        listener.transport.abort()
    return Held(
        empty_bytes=empty_bytes,
        held_bytes=held_bytes,
        connecting_s=connecting_s,
        idle_cpu=idle_cpu,
        heartbeats=heartbeats,
        waits_s=waits_s,
    )


async def listen(running: Running, count: int, *, first: int = 0) -> list[Listening]:
    """Open so many streams at the same time, each of a user of its own, and wait until all of them have begun."""
    loop = asyncio.get_running_loop()
    requests = [stream_request(f"user-{number}") for number in range(first, first + count)]
    connecting = (loop.create_connection(lambda ask=ask: Listening(ask), "127.0.0.1", running.port) for ask in requests)
    found = [protocol for _, protocol in await asyncio.gather(*connecting)]
    await asyncio.wait_for(asyncio.gather(*(listener.begun for listener in found)), 60)
    return found


def stream_request(user_id: str) -> bytes:
    """Return the bytes that ask for a user's stream."""
    token = jwt.encode({"sub": user_id}, SECRET, algorithm="HS256")
    return f"GET /v1/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def waits(running: Running, listeners: Sequence[Listening], key: str) -> list[float]:
    """Record events one after the other, and return how long each took to be heard of."""
    drawn = random.Random(1).sample(range(len(listeners)), min(WARM_EVENTS + EVENTS, len(listeners)))
    headers = {"Authorization": f"Bearer {key}"}
    found = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", headers=headers) as client:
        for number in drawn:
            posted = time.perf_counter()
            event = {"id": "bench", "type": "post.created", "user": f"user-{number}"}
            (await client.post("/v1/events", json=event)).raise_for_status()
            found.append(await asyncio.wait_for(listeners[number].heard, 10) - posted)
    return found[WARM_EVENTS:]


if __name__ == "__main__":
    main()

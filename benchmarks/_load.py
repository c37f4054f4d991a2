"""
Clients of a service, in a process of their own: requests made beforehand, on connections that stay open.

They share the machine with what they measure, so they do next to nothing: write bytes, and find the end of the answer.
What they take of the processors is reported. No request is sent twice, and an answer other than 200 ends the run.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections import deque
from dataclasses import dataclass
from itertools import accumulate, count, repeat, takewhile
from statistics import quantiles
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Protocol, cast

import msgspec
import uvloop

from benchmarks._processes import started
from benchmarks._workload import events, user_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

#: How often the clients look whose time has come, where calls come by the clock.
TICK_S = 0.001
OK = b"HTTP/1.1 200 "
LENGTH = b"\r\ncontent-length: "


class Requests(Protocol):
    """What is asked, again and again; it goes to the clients' process as it is."""

    def made(self, count: int) -> Iterator[bytes]:
        """Yield so many requests, none of them twice."""
        ...


@dataclass(frozen=True, kw_only=True)
class Posts:
    """Events, one in a request or several together."""

    token: str
    seed: int
    users: int
    together: int = 1

    def made(self, count: int) -> Iterator[bytes]:
        """Yield so many requests; events say when they happened as little as most programs do."""
        head = f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n".encode()
        head += b"Content-Type: application/json\r\nContent-Length: "
        found = [
            {"id": event.id, "type": event.type, "user": event.user, **({"data": event.data} if event.data else {})}
            for event in events(count * self.together, users=self.users, seed=self.seed, starts_at=None)
        ]
        for first in range(0, len(found), self.together):
            some = found[first : first + self.together]
            body = msgspec.json.encode(some[0] if self.together == 1 else {"events": some})
            yield b"%s%d\r\n\r\n%s" % (head, len(body), body)


@dataclass(frozen=True, kw_only=True)
class Gets:
    """Pages drawn evenly; `{user}` in a path is somebody drawn evenly as well."""

    token: str
    paths: Sequence[str]
    seed: int
    users: int

    def made(self, count: int) -> Iterator[bytes]:
        """Yield so many requests."""
        dice = random.Random(self.seed)
        for _ in range(count):
            path = dice.choice(self.paths).format(user=user_id(dice.randrange(self.users)))
            yield f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()


@dataclass(frozen=True, kw_only=True)
class Calls:
    """
    What clients do: how many there are, for how long they call, first to get warm, and at most so often a second.

    By `rate` calls come at random instants, so many a second on average, whatever became of those before: who waits is
    counted from the instant that was drawn. Without it each client calls again as soon as it was answered.
    """

    port: int
    requests: Requests
    clients: int
    warm_s: float
    measured_s: float
    rate_max: int
    rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What calls came to: how many there were, also while getting warm, and of those measured the time and the cost."""

    warm: int
    measured: int
    seconds: float
    cpu_s: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.measured / self.seconds

    @property
    def cpu_share(self) -> float:
        """How much of one core the clients took themselves."""
        return self.cpu_s / self.seconds


def call(calls: Calls, *, when_warm: Callable[[], object] = lambda: None) -> Answered:
    """Let clients call, and return what came of it; `when_warm` is done just before what is measured."""
    with started(_call, calls) as pipe:
        pipe.recv()
        when_warm()
        pipe.send("go")
        answered: Answered = pipe.recv()
    return answered


def _call(calls: Calls, pipe: Connection) -> None:
    requests = deque(calls.requests.made(int(calls.rate_max * (calls.warm_s + calls.measured_s))))
    gc.freeze()
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        clients = runner.run(_connected(calls, requests))
        warm, _ = runner.run(clients.call(calls.warm_s, calls.rate))
        pipe.send("warm")
        pipe.recv()
        cpu_s = process_time()
        waits, seconds = runner.run(clients.call(calls.measured_s, calls.rate))
        cpu_s = process_time() - cpu_s
    in_hundredths = quantiles(waits, n=100)
    pipe.send(
        Answered(
            warm=len(warm),
            measured=len(waits),
            seconds=seconds,
            cpu_s=cpu_s,
            p50_ms=1000 * in_hundredths[49],
            p99_ms=1000 * in_hundredths[98],
        )
    )


async def _connected(calls: Calls, requests: deque[bytes]) -> _Clients:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(_Client, "127.0.0.1", calls.port) for _ in range(calls.clients)]
    return _Clients([client for _, client in made], requests)


class _Clients:
    """All clients together: who is free, whose instant has come, and how long those who were answered had waited."""

    def __init__(self, clients: list[_Client], requests: deque[bytes]) -> None:
        self._free = clients
        self._size = len(clients)
        self._requests = requests
        self._due: deque[float] = deque()
        self._waits: list[float] = []
        self._until = self._ended_at = float("-inf")
        self._failure = ""
        for client in clients:
            client.all = self

    async def call(self, seconds: float, rate: float | None) -> tuple[list[float], float]:
        """Call for so long; return every call's wait, and how long it took until the last of them was answered."""
        self._waits = []
        started = perf_counter()
        if rate is None:
            self._until = started + seconds
            self._due = deque(repeat(started, self._size))
        else:
            dice = random.Random()  # Another draw each time: what is reported must not hang on one.
            steps = (dice.expovariate(rate) for _ in count())
            self._due = deque(takewhile(lambda at: at < started + seconds, accumulate(steps, initial=started)))
        while self._due or len(self._free) < self._size:
            while self._free and self._due and self._due[0] <= perf_counter():
                self._send(self._free.pop(), self._due.popleft())
            await asyncio.sleep(TICK_S if rate else 20 * TICK_S)
            if self._failure:
                raise SystemExit(self._failure)
        return self._waits, self._ended_at - started

    def answered(self, client: _Client, since: float) -> None:
        """Count a call, and let the client go on where there is more to call."""
        now = perf_counter()
        self._waits.append(now - since)
        if self._due and self._due[0] <= now:
            self._send(client, self._due.popleft())
        elif now < self._until:
            self._send(client, now)
        else:
            self._ended_at = now
            self._free.append(client)

    def fail(self, why: str) -> None:
        """End the run; the first reason is the one to know."""
        self._failure = self._failure or why

    def _send(self, client: _Client, since: float) -> None:
        if self._requests:
            client.send(self._requests.popleft(), since)
        else:
            self.fail("There were more calls than `rate_max` allows for.")


class _Client(asyncio.Protocol):
    """One connection, with one call under way at a time."""

    def __init__(self) -> None:
        self.all: _Clients | None = None
        self._write: Callable[[bytes], None] | None = None
        self._since = 0.0
        self._answer = b""
        self._length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write to."""
        self._write = cast("asyncio.WriteTransport", transport).write  # Which uvloop's is without saying so.

    def connection_lost(self, error: Exception | None) -> None:
        """Fail: servers do not end connections that are in use."""
        if self._since and self.all is not None:
            self.all.fail(f"The connection ended ({error}) after {self._answer!r:.200}.")

    def send(self, request: bytes, since: float) -> None:
        """Call; it was due at `since`."""
        assert self._write is not None
        self._since, self._answer, self._length = since, b"", 0
        self._write(request)

    def data_received(self, data: bytes) -> None:
        """Find the end of the answer."""
        assert self.all is not None
        self._answer += data
        if not self._length:
            head, end, _ = self._answer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(OK) or LENGTH not in head:
                self.all.fail(f"The answer was {self._answer!r:.1000}.")
                return
            length = head.partition(LENGTH)[2].partition(b"\r\n")[0]
            self._length = len(head) + len(end) + int(length)
        if len(self._answer) >= self._length:
            since, self._since = self._since, 0.0
            self.all.answered(self, since)

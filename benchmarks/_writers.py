"""Processes that record events, each with an engine of its own, and what they and the server took for it."""

from __future__ import annotations

import gc
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import laurels
from benchmarks._postgres import metered, number
from benchmarks._processes import started
from benchmarks._workload import MIX, events, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from benchmarks._postgres import Cost
    from benchmarks._workload import Pairs
    from laurels import Event
    from tests.services import PostgresServer

WRITERS = 2
WINDOW = 10_000  # Events that a writer has under way at once, at most.
JOURNALED = "SELECT count(*) FROM laurels.journal WHERE user_id = actor_id AND seq > %s"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one writer records: some events to get warm, then those that are measured."""

    seed: int
    warm: int
    measured: int
    users: int
    pairs: Pairs = uniform
    mix: Sequence[tuple[str, int]] = tuple(MIX)
    repeated: bool = False  # Measured is what was recorded to get warm, sent once more.

    def stream(self) -> tuple[list[Event], list[Event]]:
        """Return the events to get warm with, and those to measure."""
        drawn = list(
            events(
                self.warm + self.measured,
                users=self.users,
                seed=self.seed,
                starts_at=None,  # Now: writers that stamp their own would differ more than people do.
                pairs=self.pairs,
                mix=self.mix,
            )
        )
        warm, measured = drawn[: self.warm], drawn[self.warm :]
        return (warm, warm[: self.measured]) if self.repeated else (warm, measured)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a number of events took, by all writers together."""

    events: int
    cost: Cost
    python_cpu_s: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.cost.seconds

    @property
    def python_cpu_us(self) -> float:
        """Processor time of an event in the writers."""
        return 1e6 * self.python_cpu_s / self.events

    @property
    def server_cpu_us(self) -> float:
        """Processor time of an event in the server."""
        return 1e6 * self.cost.server_cpu_s / self.events


def record(
    server: PostgresServer, url: str, works: Sequence[Work], *, when_warm: Callable[[], object] | None = None
) -> Recorded:
    """Let writers record at the same time, after all are warm, and count what came to the journal."""
    with ExitStack() as stack:
        pipes = [stack.enter_context(started(_write, url, work)) for work in works]
        for pipe in pipes:
            pipe.recv()
        if when_warm is not None:
            when_warm()
        before = number(url, "SELECT max(seq) FROM laurels.journal")
        with metered(server) as cost:
            for pipe in pipes:
                pipe.send("go")
            python_cpu_s = sum(pipe.recv() for pipe in pipes)
        sent = sum(work.measured for work in works)
        found = number(url, JOURNALED, before)
    assert found == sum(0 if work.repeated else work.measured for work in works), f"{found} committed of {sent}"
    return Recorded(events=sent, cost=cost, python_cpu_s=python_cpu_s)


def _write(url: str, work: Work, pipe: Connection) -> None:
    """Say when it is warm, record when told to, and say how many processor seconds that took."""
    warm, measured = work.stream()
    gc.freeze()  # The events are the benchmark's, and no collection should look at them.
    with laurels.open(url) as engine:
        submit(engine, warm)
        pipe.send(perf_counter())
        pipe.recv()
        before = process_time()
        submit(engine, measured)
        pipe.send(process_time() - before)


def submit(engine: laurels.Engine, stream: Sequence[Event]) -> None:
    """Record events as they come, a window of them under way at a time, and see each answered."""
    under_way = deque(engine.submit(event) for event in stream[:WINDOW])
    for event in stream[WINDOW:]:
        under_way.popleft().result()
        under_way.append(engine.submit(event))
    for future in under_way:
        future.result()

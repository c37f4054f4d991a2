"""How fast the core decides: states in hand, the full `community.toml`; and what 200 idle achievements cost."""

from __future__ import annotations

import gc
import statistics
from dataclasses import replace
from time import perf_counter

from benchmarks._report import Figure, report
from benchmarks._workload import events
from laurels.catalog_file import load_catalog
from laurels.core.catalog import Achievement, Catalog, Metric, Threshold
from laurels.core.decide import Context, decide
from laurels.core.periods import from_datetime
from laurels.core.requests import Request, receive

EVENTS = 60_000
WARM = 20_000
USERS = 200
ROUNDS = 7


def main() -> None:
    """Measure and report."""
    catalog = load_catalog("community")
    crowded = with_idle_achievements(catalog, 200)
    stream = list(events(EVENTS, users=USERS))
    now = from_datetime(stream[-1].time)
    requests = [receive(event, now) for event in stream]
    plain, heavy, doors = [], [], []
    for _ in range(ROUNDS):
        plain.append(rate(requests, catalog))
        heavy.append(rate(requests, crowded))
        doors.append(door_rate(stream, now))
    slower = statistics.median(1 - there / here for here, there in zip(plain, heavy, strict=True))
    report(
        "core",
        [
            Figure(
                figure="events decided per second",
                value=max(plain),
                unit="events/s",
                target=">= 40,000",
                method=f"decide alone, {EVENTS - WARM:,} events after {WARM:,} to warm up, {USERS:,} users with ten a "
                f"day, one core, best of {ROUNDS} runs (median {statistics.median(plain):,.0f})",
            ),
            Figure(
                figure="slower with 200 achievements that no event touches",
                value=100 * slower,
                unit="%",
                target="< 10 %",
                method=f"median of {ROUNDS} pairs of runs, in turn",
            ),
            Figure(
                figure="requests checked at the door per second",
                value=max(doors),
                unit="events/s",
                method="receive alone: ids, time, data as JSON, fingerprint",
            ),
        ],
    )


def rate(requests: list[Request], catalog: Catalog) -> float:
    """Return how many requests a second are decided, states in hand."""
    context = Context()
    for request in requests[:WARM]:
        decide(context, request, catalog, request.at)
    gc.collect()
    gc.disable()
    started = perf_counter()
    for request in requests[WARM:]:
        decide(context, request, catalog, request.at)
    took = perf_counter() - started
    gc.enable()
    return (len(requests) - WARM) / took


def door_rate(stream: list, now: int) -> float:
    """Return how many events a second are checked."""
    started = perf_counter()
    for event in stream:
        receive(event, now)
    return len(stream) / (perf_counter() - started)


def with_idle_achievements(catalog: Catalog, count: int) -> Catalog:
    """Return the catalog with achievements on metrics that no event of the stream changes."""
    metrics = {f"idle_{n}": Metric(code=f"idle_{n}", name="Idle", kind="add") for n in range(20)}
    idle = {
        f"IDLE_{n}": Achievement(
            code=f"IDLE_{n}", name="Idle", when=(Threshold(metric=f"idle_{n % 20}", target=n + 1),)
        )
        for n in range(count)
    }
    return replace(catalog, metrics={**catalog.metrics, **metrics}, achievements={**catalog.achievements, **idle})


if __name__ == "__main__":
    main()

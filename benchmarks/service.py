"""Laurels over HTTP: events in, profiles and boards out, beside pgbench and a service with an ORM; waits and memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx

import laurels
from benchmarks import _floors
from benchmarks._community import DATABASE, QUICK, asked_scale, populate
from benchmarks._load import Calls, Gets, Posts, call
from benchmarks._postgres import checkpoint, cpu_seconds, create_database, number, query, running_server
from benchmarks._report import Figure, report
from benchmarks._writers import JOURNALED
from laurels import keys
from tests.services import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks._community import Scale
    from benchmarks._load import Answered, Requests
    from tests.services import PostgresServer

ROOT = Path(__file__).parents[1]
START_S = 30.0
IDLE_S = 3.0
WARM_S = 2.0
TOGETHER = 100
#: Clients that call again as soon as they were answered, and how many calls a second are more than can be answered.
ONE = {"clients": 256, "rate_max": 12_000}
MANY = {"clients": 16, "rate_max": 500}
ORM = {"clients": 32, "rate_max": 3_000}
READS = {"clients": 32, "rate_max": 20_000}
#: The first ten of each board that the catalog has, in each of its periods.
BOARDS = [
    f"/v1/leaderboards/{code}?period={period}&limit=10"
    for code in ("xp", "sparkle", "achievements", "posts")
    for period in ("daily", "weekly", "monthly", "alltime")
]
LAURELS = ("laurels", "serve")
BASELINE = ("uvicorn", "benchmarks.floors.orm_service:app", "--no-access-log", "--log-level", "warning")
BASELINE_TOKEN = "baseline"
BASELINE_COUNTED = "SELECT count(*) FROM idempotency_keys"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A service: how it is started, and with how many processes it is fastest."""

    command: Sequence[str]
    environment: Mapping[str, str]
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Running:
    """A service that runs."""

    port: int
    pid: int


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What came of calls, and the processor seconds they took in the service and in PostgreSQL."""

    answered: Answered
    service_cpu_s: float
    postgres_cpu_s: float

    @property
    def service_cpu_us(self) -> float:
        """Processor time of a call in the service."""
        return 1e6 * self.service_cpu_s / self.answered.measured

    @property
    def postgres_cpu_us(self) -> float:
        """Processor time of a call in PostgreSQL."""
        return 1e6 * self.postgres_cpu_s / self.answered.measured


@dataclass(kw_only=True)
class Bench:
    """The servers, and the two services on them."""

    server: PostgresServer
    scale: Scale
    laurels: Program
    baseline: Program
    token: str
    seeds: Iterator[int] = field(default_factory=lambda: iter(range(1_000, 1_000_000)))

    def calls(self, running: Running, requests: Requests, how: Mapping[str, int], *, seconds: float = 0) -> Calls:
        """Return what clients do for as long as a floor is measured, or for so many seconds."""
        measured_s = seconds or self.scale.floor_s
        return Calls(port=running.port, requests=requests, warm_s=min(WARM_S, measured_s), measured_s=measured_s, **how)

    def measured(self, running: Running, calls: Calls) -> Stretch:
        """Let clients call, and look what the servers take meanwhile."""
        before: list[float] = []
        pids = (running.pid, self.server.pid)
        answered = call(calls, when_warm=lambda: before.extend(map(cpu_seconds, pids)))
        service, postgres = (cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True))
        return Stretch(answered=answered, service_cpu_s=service, postgres_cpu_s=postgres)

    def events(self, together: int, running: Running, *, seconds: float = 0, rate: float | None = None) -> Stretch:
        """Post events, so many in each call, and count what came to the journal."""
        url = self.server.url(DATABASE)
        posts = Posts(token=self.token, seed=next(self.seeds), users=self.scale.users, together=together)
        before = number(url, "SELECT max(seq) FROM laurels.journal")
        calls = self.calls(running, posts, ONE if together == 1 else MANY, seconds=seconds)
        found = self.measured(running, replace(calls, rate=rate))
        committed = number(url, JOURNALED, before)
        answered = together * (found.answered.warm + found.answered.measured)
        assert committed == answered, f"{committed} committed, {answered} answered"
        return found

    def awards(self, running: Running, *, seconds: float = 0) -> Stretch:
        """Post events to the service with an ORM, and count what it stored."""
        url = self.server.url(BASELINE_TOKEN)
        posts = Posts(token=BASELINE_TOKEN, seed=next(self.seeds), users=self.scale.users)
        before = number(url, BASELINE_COUNTED)
        found = self.measured(running, self.calls(running, posts, ORM, seconds=seconds))
        committed = number(url, BASELINE_COUNTED) - before
        answered = found.answered.warm + found.answered.measured
        assert committed == answered, f"{committed} committed, {answered} answered"
        return found

    def reads(self, running: Running, paths: Sequence[str]) -> Stretch:
        """Get pages, of users drawn evenly; what was answered is all there is to count."""
        gets = Gets(token=self.token, paths=paths, seed=next(self.seeds), users=self.scale.users)
        return self.measured(running, self.calls(running, gets, READS))


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round came to, in events a second."""

    transaction: float
    baseline: Stretch
    one: Stretch
    many: Stretch


def main() -> None:
    """Measure and report."""
    scale = asked_scale(__doc__)
    with running_server() as server, ValkeyServer() as valkey:
        bench = prepared(server, valkey, scale)
        figures = [idle_memory(bench), *throughput(bench), *reading(bench)]
    report("service", figures, keep=scale is not QUICK)


def prepared(server: PostgresServer, valkey: ValkeyServer, scale: Scale) -> Bench:
    """Make the databases of both services, with the same users."""
    url = populate(server, scale.users)
    with laurels.open(url) as engine:
        key = keys.create(engine, "bench", ["ingest", "read"], actor="bench").key
    ours = Program(command=LAURELS, environment={"LAURELS_DATABASE_URL": url, "LAURELS_REDIS_URL": valkey.url})
    theirs = Program(command=BASELINE, environment={"DATABASE_URL": baseline_database(server, scale.users)})
    bench = Bench(server=server, scale=scale, laurels=ours, baseline=theirs, token=key)
    if scale.trial_s:
        bench.laurels = with_best_workers(ours, lambda running: bench.events(1, running, seconds=scale.trial_s))
        bench.baseline = with_best_workers(theirs, lambda running: bench.awards(running, seconds=scale.trial_s))
    return bench


def baseline_database(server: PostgresServer, users: int) -> str:
    """Make the database of the service with an ORM, every user known, and return its address."""
    url = create_database(server, BASELINE_TOKEN)
    make_tables = [sys.executable, "-m", "benchmarks.floors.orm_service"]
    subprocess.run(make_tables, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, check=True)
    query(url, "INSERT INTO users SELECT 'user-' || lpad(n::text, 7, '0') FROM generate_series(0, %s) AS n", users - 1)
    query(url, "INSERT INTO balances SELECT id, unit, 0 FROM users, unnest(ARRAY['xp', 'coin']) AS unit")
    query(url, "VACUUM ANALYZE")
    return url


def with_best_workers(program: Program, tried: Callable[[Running], Stretch]) -> Program:
    """Return the program with as many processes as answer most calls."""
    rates = {}
    for workers in range(1, (os.cpu_count() or 1) + 1):
        with serving(replace(program, workers=workers)) as running:
            rates[workers] = tried(running).answered.rate
    return replace(program, workers=max(rates, key=rates.__getitem__))


@contextmanager
def serving(program: Program) -> Iterator[Running]:
    """Start a service the way its users do, wait until it answers, and end it as they do."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", *program.command, "--port", str(port), "--workers", str(program.workers)]
    environment = {**os.environ, **program.environment}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            if not answers(f"http://127.0.0.1:{port}/openapi.json", process):
                log.seek(0)
                raise SystemExit(f"{' '.join(command)} does not answer:\n{log.read().decode()[-3_000:]}")
            yield Running(port=port, pid=process.pid)
        finally:
            process.terminate()


def answers(page: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait for a page; return whether it came."""
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        with suppress(httpx.TransportError):
            return httpx.get(page).is_success
        time.sleep(0.05)
    return False


def idle_memory(bench: Bench) -> Figure:
    """Return how large a service is that has answered and has nothing to do."""
    with serving(replace(bench.laurels, workers=1)) as running:
        client = httpx.Client(base_url=f"http://127.0.0.1:{running.port}")
        with client:
            client.get("/v1/users/user-0000001", headers={"Authorization": f"Bearer {bench.token}"}).raise_for_status()
        time.sleep(IDLE_S)
        resident = resident_bytes(running.pid)
    return Figure(
        figure="memory of an idle service",
        value=resident / 1e6,
        unit="MB",
        target="< 150 MB",
        method=f"resident set of `laurels serve` with one worker on PostgreSQL and Redis, {IDLE_S:g} s after it started"
        " and answered a call",
    )


def resident_bytes(pid: int) -> int:
    """Return the resident set of a process and of its children."""
    page = os.sysconf("SC_PAGE_SIZE")
    own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(resident_bytes(int(child)) for child in children)


# --- Events in --------------------------------------------------------------------------------------------------------


def throughput(bench: Bench) -> list[Figure]:
    """Return events a second beside each floor, what they cost, and how long they wait at half of that."""
    transaction, _ = _floors.conventional(bench.server, bench.scale.users)
    floor = _floors.with_best_clients(bench.server, transaction, bench.scale.trial_s)
    rounds = [one_round(bench, floor) for _ in range(bench.scale.rounds)]
    return [*rates(bench, rounds, floor), *costs(rounds), waits(bench, rounds)]


def one_round(bench: Bench, floor: _floors.Floor) -> Round:
    """Measure pgbench, the service with an ORM and Laurels one after the other, each after a checkpoint."""
    checkpoint(bench.server)
    transaction, _ = _floors.rate(bench.server, floor, bench.scale.floor_s)
    checkpoint(bench.server)
    with serving(bench.baseline) as running:
        baseline = bench.awards(running)
    checkpoint(bench.server)
    with serving(bench.laurels) as running:
        one, many = bench.events(1, running), bench.events(TOGETHER, running)
    return Round(transaction=transaction, baseline=baseline, one=one, many=many)


def rates(bench: Bench, rounds: list[Round], floor: _floors.Floor) -> list[Figure]:
    """Return events a second, one and many in a call, each against pgbench and against the service with an ORM."""
    scale = bench.scale
    method = (
        f"median of {scale.rounds} interleaved rounds of {scale.floor_s} s; {scale.users:,} users uniform, each event "
        "under all rules of community.toml, answered after its commit; server's defaults, committed rows counted; "
    )
    floors = [
        (
            "an award as one transaction of seven statements",
            [one.transaction for one in rounds],
            (">= 1 x", ">= 3 x"),
            f"pgbench with {floor.clients[0]} clients",
        ),
        (
            "a service with an ORM",
            [one.baseline.answered.rate for one in rounds],
            (">= 15 x", ">= 40 x"),
            f"floors/orm_service.py, {bench.baseline.workers} workers, {ORM['clients']} clients",
        ),
    ]
    ours = [
        ("one in a call", [one.one.answered for one in rounds], 1, ONE),
        (f"{TOGETHER} in a call", [one.many.answered for one in rounds], TOGETHER, MANY),
    ]
    return [
        Figure(
            figure=f"events per second, {how}, against {what}",
            value=median(together * each.rate for each in answered),
            unit="events/s",
            floor=median(against),
            ratio=median(together * each.rate / other for each, other in zip(answered, against, strict=True)),
            target=targets[place],
            method=f"{method}{bench.laurels.workers} workers, {clients['clients']} clients on open connections, who "
            f"took {median(each.cpu_share for each in answered):.0%} of one core; {by}",
        )
        for place, (how, answered, together, clients) in enumerate(ours)
        for what, against, targets, by in floors
    ]


def costs(rounds: list[Round]) -> list[Figure]:
    """Return the processor time of an event in the service and in PostgreSQL, beside the service with an ORM."""
    return [
        Figure(
            figure=f"processor time of an event, {how}",
            value=median((of(one).service_cpu_us + of(one).postgres_cpu_us) / together for one in rounds),
            unit="µs",
            floor=median(one.baseline.service_cpu_us + one.baseline.postgres_cpu_us for one in rounds),
            method="of the service and PostgreSQL, of which the latter "
            f"{median(of(one).postgres_cpu_us / together for one in rounds):.0f} µs; the floor is with an ORM",
        )
        for how, together, of in [
            ("one in a call", 1, lambda one: one.one),
            (f"{TOGETHER} in a call", TOGETHER, lambda one: one.many),
        ]
    ]


def waits(bench: Bench, rounds: list[Round]) -> Figure:
    """Return how long an event waits for its answer at half of the peak rate, however many are under way."""
    rate = median(one.one.answered.rate for one in rounds) / 2
    with serving(bench.laurels) as running:
        found = [bench.events(1, running, rate=rate).answered for _ in range(bench.scale.rounds)]
    return Figure(
        figure="wait for one event at half of the peak rate, p99",
        value=median(one.p99_ms for one in found),
        unit="ms",
        target="<= 100 ms",
        method=f"{rate:,.0f} a second at random instants, from which each wait counts; median of {bench.scale.rounds} "
        f"runs of {bench.scale.floor_s} s; p50 {median(one.p50_ms for one in found):.1f} ms, "
        f"slowest p99 {max(one.p99_ms for one in found):.1f} ms",
    )


# --- Pages out --------------------------------------------------------------------------------------------------------


def reading(bench: Bench) -> list[Figure]:
    """Return how many profiles and boards a second of one core's time gives, the boards in Redis and in PostgreSQL."""
    for redis in (bench.laurels.environment["LAURELS_REDIS_URL"], None):
        with laurels.open(bench.server.url(DATABASE), redis=redis) as engine:
            engine.project()
    ours = replace(bench.laurels, workers=1)
    without_redis = replace(ours, environment={**ours.environment, "LAURELS_REDIS_URL": ""})
    return [
        read_figure("profiles", bench, ours, ["/v1/users/{user}"]),
        read_figure("boards, in Redis,", bench, ours, BOARDS),
        read_figure("boards, in PostgreSQL,", bench, without_redis, BOARDS),
    ]


def read_figure(what: str, bench: Bench, program: Program, paths: Sequence[str]) -> Figure:
    """Return how many calls a second of processor time of the service's answers, in the best of the runs."""
    with serving(program) as running:
        runs = [bench.reads(running, paths) for _ in range(bench.scale.rounds)]
    best = min(runs, key=lambda one: one.service_cpu_us)
    return Figure(
        figure=f"{what} read per second of one core",
        value=1e6 / best.service_cpu_us,
        unit="reads/s",
        target=">= 3,000 reads/s",
        method=f"best of {len(runs)} runs of {bench.scale.floor_s} s, {READS['clients']} clients, one worker: "
        f"{best.answered.rate:,.0f} a second by the clock; {best.service_cpu_us:.0f} µs of the service and "
        f"{best.postgres_cpu_us:.0f} µs of PostgreSQL for each; p99 {best.answered.p99_ms:.0f} ms",
    )


if __name__ == "__main__":
    main()

"""Minutes of recording into PostgreSQL while a worker keeps the leaderboards in Redis: how fast, and how far behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import deque
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing.connection import wait
from statistics import mean, median, quantiles
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import psycopg

import laurels
from benchmarks import _floors
from benchmarks._community import DATABASE, populate
from benchmarks._postgres import checkpoint, cpu_seconds, create_database, metered, number, running_server
from benchmarks._processes import started
from benchmarks._report import Figure, report
from benchmarks._results import Lines, keep_lines
from benchmarks._workload import events
from benchmarks._writers import JOURNALED, WINDOW, WRITERS, submit
from laurels.catalog_file import load_catalog, parse_catalog
from laurels.doctor import examine
from laurels.leaderboards.redis import RedisBoards
from tests.services import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection as Pipe

    from laurels import Event
    from laurels.core.catalog import Catalog
    from tests.services import PostgresServer

SAMPLE_S = 0.25
LEVEL_WITHIN_S = 120.0
EVENTS_A_SECOND_MAX = 20_000  # More than a writer can record.
OLDEST_UNSHOWN = "SELECT recorded_at FROM laurels.journal WHERE seq > %s ORDER BY seq LIMIT 1"


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a run is: with the board of XP, with all, and what comes before; warm events are each writer's."""

    users: int = 100_000
    seconds: int = 300
    all_boards_s: int = 60
    warm: int = 30_000
    trial_s: int = 4
    floor_s: int = 10


QUICK = Length(users=2_000, seconds=6, all_boards_s=4, warm=1_000, trial_s=1, floor_s=1)


@dataclass(frozen=True, kw_only=True)
class Sustained:
    """What one stretch came to: processor seconds by who spent them, and (second, seconds behind) all along."""

    events: int
    seconds: float
    cpu_s: dict[str, float]
    behind: list[tuple[float, float]]

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def main() -> None:
    """Measure and report."""
    length = asked_length()
    with running_server() as server:
        populate(server, length.users)
        transaction, _ = _floors.conventional(server, length.users)
        floor = _floors.with_best_clients(server, transaction, length.trial_s)
        floors = [award_rate(server, floor, length)]
        one = sustained(server, "xp_board", xp_only(), length)
        floors.append(award_rate(server, floor, length))
        every = sustained(server, "all_boards", load_catalog("community"), replace(length, seconds=length.all_boards_s))
    keep = length.users != QUICK.users
    report(
        "sustained",
        [
            *figures("the `xp` board", one, floors, length, is_promised=True),
            *figures("all boards", every, floors, length),
        ],
        keep=keep,
    )
    if keep:
        keep_lines("sustained", lines(one, every))


def asked_length() -> Length:
    """Return how long the command line wants the run to be."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=Length.seconds, help="how long to record with the xp board")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it runs, measures nothing")
    asked = parser.parse_args()
    return QUICK if asked.quick else Length(seconds=asked.seconds)


def award_rate(server: PostgresServer, floor: _floors.Floor, length: Length) -> float:
    """Return how many awards a second pgbench commits, one in each transaction."""
    checkpoint(server)
    return _floors.rate(server, floor, length.floor_s)[0]


def xp_only() -> Catalog:
    """Return the bundled catalog without its other boards."""
    tree = json.loads(load_catalog("community").source)
    tree["leaderboards"] = [board for board in tree["leaderboards"] if board["code"] == "xp"]
    return parse_catalog(json.dumps(tree), format="json")


# --- One stretch ------------------------------------------------------------------------------------------------------


def sustained(server: PostgresServer, name: str, catalog: Catalog, length: Length) -> Sustained:
    """Record beside a worker, in a database and a Redis of its own; then see that nothing is lost on the way."""
    url = create_database(server, name, template=DATABASE)
    laurels.open(url, catalog=catalog).close()
    with (
        ValkeyServer() as valkey,
        following(url, valkey.url, list(catalog.leaderboards)) as behind_s,
        worker(url, valkey.url) as worker_pid,
        ExitStack() as stack,
    ):
        pipes = [stack.enter_context(started(write, url, length, 1 + place)) for place in range(WRITERS)]
        for pipe in pipes:
            pipe.recv()
        wait_until_level(behind_s)
        checkpoint(server)
        before = number(url, "SELECT max(seq) FROM laurels.journal")
        cpu = {"the worker": -cpu_seconds(worker_pid), "Redis": -cpu_seconds(valkey.pid)}
        with metered(server) as cost:
            for pipe in pipes:
                pipe.send("go")
            behind, told = watch(pipes, behind_s)
        wait_until_level(behind_s)
        cpu["the worker"] += cpu_seconds(worker_pid)
        cpu["Redis"] += cpu_seconds(valkey.pid)
        recorded = sum(count for count, _ in told)
        found = number(url, JOURNALED, before)
        assert found == recorded, f"{found} committed of {recorded}"
        check_boards(url, valkey.url)
    cpu |= {"the writers": sum(cpu_s for _, cpu_s in told), "PostgreSQL": cost.server_cpu_s}
    return Sustained(events=recorded, seconds=cost.seconds, cpu_s=cpu, behind=behind)


def watch(
    pipes: Sequence[Pipe], behind_s: Callable[[], float]
) -> tuple[list[tuple[float, float]], list[tuple[int, float]]]:
    """Look how far behind the boards are until every writer has said what it did; return both."""
    started, waiting = perf_counter(), list(pipes)
    behind: list[tuple[float, float]] = []
    told: list[tuple[int, float]] = []
    while waiting:
        behind.append((perf_counter() - started, behind_s()))
        wait(waiting, timeout=SAMPLE_S)
        for pipe in [pipe for pipe in waiting if pipe.poll()]:
            told.append(pipe.recv())
            waiting.remove(pipe)
    return behind, told


@contextmanager
def following(database: str, boards_url: str, codes: Sequence[str]) -> Iterator[Callable[[], float]]:
    """Give what tells how far the boards are behind: how long ago the oldest row that they lack was recorded."""
    with psycopg.connect(database, autocommit=True) as connection, closing(RedisBoards(boards_url)) as boards:

        def behind_s() -> float:
            cursor = min(boards.state(code).seq for code in codes)
            row = connection.execute(OLDEST_UNSHOWN, (cursor,)).fetchone()
            return 0.0 if row is None else time.time() - row[0] / 1_000_000

        yield behind_s


def wait_until_level(behind_s: Callable[[], float]) -> None:
    """Wait until the boards show everything."""
    deadline = perf_counter() + LEVEL_WITHIN_S
    while behind_s():
        assert perf_counter() < deadline, f"the boards do not come level within {LEVEL_WITHIN_S} s"
        time.sleep(SAMPLE_S)


@contextmanager
def worker(database: str, boards: str) -> Iterator[int]:
    """Run `laurels worker`, as anybody would, and end it in order."""
    settings = {"LAURELS_DATABASE_URL": database, "LAURELS_REDIS_URL": boards}
    command = [sys.executable, "-m", "laurels", "worker", "--json"]
    with subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
    assert process.returncode == 0, f"the worker ended with {process.returncode}"


def write(url: str, length: Length, seed: int, pipe: Pipe) -> None:
    """Record events, made on the way; say when it is warm, and at the end how many in how many processor seconds."""
    stream = events(
        length.warm + length.seconds * EVENTS_A_SECOND_MAX,
        users=length.users,
        seed=seed,
        starts_at=None,
    )
    with laurels.open(url) as engine:
        submit(engine, list(islice(stream, length.warm)))
        pipe.send("warm")
        pipe.recv()
        before = process_time()
        count = submit_for(engine, stream, length.seconds)
        pipe.send((count, process_time() - before))


def submit_for(engine: laurels.Engine, stream: Iterator[Event], seconds: float) -> int:
    """Record events for so long, a window of them under way at a time; return how many, each of them answered."""
    deadline, count = perf_counter() + seconds, 0
    under_way = deque(engine.submit(event) for event in islice(stream, WINDOW))
    while perf_counter() < deadline:
        under_way.popleft().result()
        count += 1
        under_way.append(engine.submit(next(stream)))
    for future in under_way:
        future.result()
    return count + len(under_way)


# --- The boards -------------------------------------------------------------------------------------------------------


def check_boards(database: str, boards_url: str) -> None:
    """
    Let the doctor hold every score in Redis against the journal.

    What else it finds is not ours: most users are copies, with a document and no journal of their own before the run.
    """
    with laurels.open(database, redis=boards_url) as engine:
        found = examine(engine, silently)
    assert found.laws["boards"] == 0, [finding for finding in found.findings if finding.law == "boards"]


def silently(what: str, unit: str) -> Callable[[int, int | None], None]:  # noqa: ARG001  it says nothing
    """Show no progress."""
    return lambda _done, _total: None


# --- Reporting --------------------------------------------------------------------------------------------------------


def figures(
    what: str, one: Sustained, floors: list[float], length: Length, *, is_promised: bool = False
) -> list[Figure]:
    """Return what one stretch came to."""
    behind = [seconds for _, seconds in one.behind]
    *_, p99 = quantiles(behind, n=100, method="inclusive")
    method = (
        f"{one.events:,} events in {one.seconds:.0f} s by {WRITERS} processes that make them on the way, "
        f"{length.users:,} users uniform, `laurels worker` beside them; committed rows counted; every score in Redis "
        "held against the journal by the doctor at the end"
    )
    return [
        Figure(
            figure=f"events per second with {what} in Redis, against an award as one transaction",
            value=one.rate,
            unit="events/s",
            floor=mean(floors),
            ratio=one.rate / mean(floors),
            target=">= 3 x" if is_promised else "",
            method=f"{method}; pgbench for {length.floor_s} s before and after the `xp` board's run",
        ),
        Figure(
            figure=f"{what} behind the journal, most",
            value=max(behind),
            unit="s",
            target="<= 2 s" if is_promised else "",
            method=f"age of the oldest committed row not on the board, asked every {SAMPLE_S} s; "
            f"median {median(behind):.2f} s",
        ),
        Figure(
            figure=f"{what} behind the journal, p99",
            value=p99,
            unit="s",
            method="of the same samples",
        ),
        *(
            Figure(
                figure=f"processor time of an event with {what}, {who}",
                value=1e6 * cpu_s / one.events,
                unit="µs",
                method="in the same run",
            )
            for who, cpu_s in one.cpu_s.items()
        ),
    ]


def lines(one: Sustained, every: Sustained) -> Lines:
    """Return the most that either was behind in each second."""
    drawn: Lines = {}
    for name, stretch in (("the xp board", one), ("all boards", every)):
        most: dict[int, float] = {}
        for second, behind in stretch.behind:
            most[int(second)] = max(behind, most.get(int(second), 0.0))
        drawn[name] = [(float(second), behind) for second, behind in most.items()]
    return drawn


if __name__ == "__main__":
    main()

"""
Programs that are killed while they write (`kill -9`): what was answered is there, the rest once or not at all.

The programs write as fast as they can, so that some write is always under way; which one the kill hits is not ours to
say, and what must hold does not depend on it.
"""

from __future__ import annotations

import time
from collections import Counter

import pytest
from sqlalchemy import text

import laurels
from laurels.doctor import examine
from laurels.importers.events import EventsFile
from laurels.importers.loading import Tally, import_events
from tests.behaviours.processes import start

THREADS = 4

WRITE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
import laurels
url, name = sys.argv[1:]
def write(thread):
    for number in count():
        event_id = f"{name}-{thread}-{number}"
        data = {"target": event_id, "author": "ada"}
        engine.record(laurels.Event("reaction.added", user=f"user-{thread}", id=event_id, data=data))
        print(event_id + "\\n", end="", flush=True)
        if number % 10 == 0:
            engine.leaderboard("xp").top(3)
with laurels.open(url) as engine, ThreadPoolExecutor(4) as threads:
    list(threads.map(write, range(4)))
"""

OPEN = """
import sys
import alembic.command
import laurels.store.sqlite
import laurels.engine
print("ready", flush=True)
sys.stdin.readline()
laurels.engine.open(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""

IMPORT = """
import sys
from pathlib import Path
import laurels
from laurels.importers.events import EventsFile
from laurels.importers.loading import Tally, import_events
def progress(what, unit):
    return lambda done, total: print(done, flush=True)
with laurels.open(sys.argv[1]) as engine, EventsFile(Path(sys.argv[2])) as file:
    import_events(engine, file, Tally(print), progress)
"""


def silent(what, unit):
    return lambda done, total: None


def kill(process):
    """Kill a program and return every whole line that it still said."""
    process.kill()
    said = process.stdout.read()  # With what was read ahead for readline; communicate() alone would lose it.
    process.communicate(timeout=60)
    return said.split("\n")[:-1]


def recorded(engine):
    """How often each request stands in the journal as its actor's."""
    query = text("SELECT request_id FROM journal WHERE actor_id = user_id")
    with engine.read() as connection:
        return Counter(connection.scalars(query))


def findings(engine):
    """What the doctor finds, with the boards brought up to date first."""
    engine.project()
    return examine(engine, silent).findings


def test_what_a_killed_program_was_answered_is_there_once_and_another_goes_on_undisturbed(open_engine, database_url):
    engine = open_engine()
    answered: list[str] = []
    for number in range(3):
        one, other = (start(WRITE, database_url, f"{name}{number}") for name in ("one", "other"))
        answered += [one.stdout.readline().rstrip() for _ in range(30 + 10 * number)]
        answered += kill(one)
        answered += [other.stdout.readline().rstrip() for _ in range(30)]
        answered += kill(other)
        assert findings(engine) == []

    there = recorded(engine)
    assert set(there.values()) == {1}
    assert set(answered) <= there.keys()
    assert len(there) - len(answered) <= 2 * 3 * THREADS
    assert engine.profile("ada").metrics["reactions_received"] == len(there)

    again = [
        laurels.Event("reaction.added", user=f"user-{i.split('-')[1]}", id=i, data={"target": i, "author": "ada"})
        for i in answered
    ]
    assert {outcome.status for outcome in engine.record(again)} == {"duplicate"}


@pytest.mark.parametrize("wait_ms", [0, 4, 15, 40])
def test_a_program_killed_while_it_makes_a_database_leaves_one_that_opens(tmp_path, wait_ms):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    program = start(OPEN, url)
    assert program.stdout.readline() == "ready\n"
    program.stdin.write("\n")
    program.stdin.flush()
    time.sleep(wait_ms / 1000)
    kill(program)

    with laurels.open(url) as engine:
        engine.award_xp("ada", 5, request_id="a")
        assert (engine.profile("ada").xp, engine.catalog.revision) == (5, 1)
        assert findings(engine) == []


def test_an_import_that_was_killed_goes_on_where_it_was_and_counts_nothing_twice(open_engine, database_url, tmp_path):
    path = tmp_path / "events.jsonl"
    lines = [f'{{"id": "{n}", "type": "post.created", "user": "user-{n % 7}"}}\n' for n in range(3_000)]
    path.write_text("".join(lines))
    engine = open_engine()
    for _ in range(2):
        program = start(IMPORT, database_url, path)
        program.stdout.readline()
        kill(program)

    tally = Tally(pytest.fail)
    with EventsFile(path) as file:
        import_events(engine, file, tally, silent)

    assert (tally.recorded + tally.repeated, tally.left_out) == (3_000, 0)
    assert tally.repeated > 0
    assert sum(engine.profile(user).metrics["posts"] for user in engine.users()) == 3_000
    assert findings(engine) == []

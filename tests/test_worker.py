"""
The worker: one of any number brings the boards forward, whatever dies, goes away or is in the way.

Workers that are killed are programs of their own, started as people start them; the others run in threads.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import count

import psycopg
import pytest
from typer.testing import CliRunner

import laurels
from laurels import terminal, worker
from laurels.catalog_file import parse_catalog
from laurels.cli import app
from laurels.core.errors import Unavailable
from laurels.doctor import examine
from laurels.leaderboards import projector
from laurels.store.tail import Holder
from laurels.worker import HeldBack, Interrupted, LeaseHeldElsewhere, LeaseTaken, Projected, Resumed, Worker
from tests.behaviours.processes import SOURCE
from tests.conftest import until
from tests.services import PostgresServer, ValkeyServer

CATALOG = """
[catalog]
name = "Posts"
[[rules]]
id = "post"
on = "post"
xp = 10
[[rules]]
id = "like"
on = "like"
to = "data.author"
xp = 1
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily", "alltime"]
"""


def post(number, user="ada"):
    return laurels.Event("post", user=user, id=f"post-{number}")


def silent(what, unit):
    return lambda done, total: None


def scores(engine):
    """What the boards hold, without anybody bringing them forward."""
    with engine.read() as connection:
        query = "SELECT user_id, score FROM standings WHERE period = 'all' ORDER BY user_id"
        return dict(connection.exec_driver_sql(query).fetchall())


class Running:
    """A worker in a thread of its own, with everything it told."""

    def __init__(self, engine):
        self.told = []
        self.worker = Worker(engine, self.told.append)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        with self.worker:
            self.worker.run()

    def has_told(self, kind):
        return any(isinstance(each, kind) for each in self.told)

    def stop(self):
        self.worker.stop()
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


@contextmanager
def running(engine):
    one = Running(engine)
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def postgres_engine(postgres_url):
    with laurels.open(postgres_url, catalog=parse_catalog(CATALOG)) as engine:
        yield engine


# --- One pass ---------------------------------------------------------------------------------------------------------


def test_one_pass_brings_the_boards_up_to_everything_recorded_before_and_the_next_has_nothing_to_do(open_engine):
    engine = open_engine(CATALOG)
    engine.record([post(number, user=f"user-{number % 3}") for number in range(9)])
    with Worker(engine) as one:
        done = one.run_once()
        assert (done.lease, done.rows, done.behind, done.held_back) == (True, 9, 0, None)
        assert scores(engine) == {"user-0": 30, "user-1": 30, "user-2": 30}
        assert one.run_once().rows == 0


def test_a_pass_takes_several_steps_where_there_is_much_to_do(open_engine, monkeypatch):
    monkeypatch.setattr(projector, "STEP_ROWS", 10)
    engine = open_engine(CATALOG)
    engine.record([post(number) for number in range(35)])
    with Worker(engine) as one:
        assert one.run_once().rows == 35


def test_a_pass_leaves_to_a_running_worker_what_is_its_to_do(postgres_engine):
    with Worker(postgres_engine) as one, Worker(postgres_engine) as other:
        assert one.run_once().lease
        postgres_engine.record(post(1))
        done = other.run_once()
        assert (done.lease, done.rows) == (False, 0)
        one.close()
        assert other.run_once().rows == 1


def test_a_pass_leaves_what_an_open_transaction_holds_back_and_names_that(postgres_engine, postgres_url, monkeypatch):
    monkeypatch.setattr(worker, "SETTLE_S", 0.1)
    with psycopg.connect(postgres_url, application_name="nightly report") as foreign:
        foreign.execute("SELECT pg_current_xact_id()")
        postgres_engine.record([post(1), post(2)])
        with Worker(postgres_engine) as one:
            done = one.run_once()
            assert (done.rows, done.behind) == (0, 2)
            assert (done.held_back.pid, done.held_back.application) == (foreign.info.backend_pid, "nightly report")
            foreign.rollback()
            assert one.run_once().rows == 2


# --- Running ----------------------------------------------------------------------------------------------------------


def test_a_running_worker_shows_what_is_recorded_meanwhile_and_stops_when_told(open_engine):
    engine = open_engine(CATALOG)
    with running(engine) as one:
        for number in range(5):
            engine.record(post(number))
        until(lambda: scores(engine) == {"ada": 50})
    assert one.told[0] == LeaseTaken(behind=one.told[0].behind)
    assert sum(each.rows for each in one.told if isinstance(each, Projected)) == 5


def test_one_worker_projects_and_another_takes_over_when_it_stops(postgres_engine):
    with running(postgres_engine) as one:
        until(lambda: one.told)
        with running(postgres_engine) as other:
            until(lambda: other.has_told(LeaseHeldElsewhere))
            one.stop()
            until(lambda: other.has_told(LeaseTaken))
            postgres_engine.record(post(1))
            until(lambda: scores(postgres_engine) == {"ada": 10})
    assert not one.has_told(Projected)


def test_two_that_both_believe_they_hold_the_lease_count_nothing_twice(postgres_engine, monkeypatch):
    monkeypatch.setattr(worker.tail, "take_lease", lambda connection, projection: True)
    monkeypatch.setattr(projector, "STEP_ROWS", 7)
    with running(postgres_engine), running(postgres_engine):
        for number in range(300):
            postgres_engine.submit(post(number, user=f"user-{number % 5}"))
        until(lambda: sum(scores(postgres_engine).values()) >= 3000)
    assert scores(postgres_engine) == {f"user-{number}": 600 for number in range(5)}


def test_a_lease_that_is_lost_with_its_connection_is_told_and_taken_again(postgres_engine, postgres_url):
    with running(postgres_engine) as one, psycopg.connect(postgres_url, autocommit=True) as admin:
        until(lambda: one.told)
        holder = (
            "SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()"
        )
        assert admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({holder}) AS held").fetchall() == [(True,)]
        until(lambda: one.has_told(Resumed))
        postgres_engine.record(post(1))
        until(lambda: scores(postgres_engine) == {"ada": 10})
    assert [type(each) for each in one.told][:4] == [LeaseTaken, Interrupted, LeaseTaken, Resumed]


def test_a_running_worker_names_the_transaction_that_holds_it_back_once(postgres_engine, postgres_url, monkeypatch):
    monkeypatch.setattr(worker, "HELD_BACK_S", 0.1)
    monkeypatch.setattr(worker, "TELL_EVERY_S", 0.05)
    with running(postgres_engine) as one, psycopg.connect(postgres_url, application_name="nightly report") as foreign:
        foreign.execute("SELECT pg_current_xact_id()")
        postgres_engine.record(post(1))
        until(lambda: one.has_told(HeldBack))
        time.sleep(0.3)
        foreign.rollback()
        until(lambda: one.has_told(Projected))
    (held_back,) = [each for each in one.told if isinstance(each, HeldBack)]
    assert (held_back.behind, held_back.holder.application) == (1, "nightly report")


def test_a_worker_waits_for_a_database_that_went_away_and_goes_on_when_it_is_back():
    with (
        PostgresServer() as server,
        laurels.open(server.url(), catalog=parse_catalog(CATALOG)) as engine,
        running(engine) as one,
    ):
        until(lambda: one.has_told(LeaseTaken))
        engine.record(post(1))
        until(lambda: scores(engine) == {"ada": 10})
        server.stop(at_once=True)
        until(lambda: one.has_told(Interrupted))
        server.start()
        until(lambda: one.has_told(Resumed))
        engine.record(post(2))
        until(lambda: scores(engine) == {"ada": 20})
    assert len([each for each in one.told if isinstance(each, Interrupted)]) == 1


def test_a_worker_waits_for_a_redis_that_went_away_and_fills_it_again_when_it_comes_back_empty(postgres_url):
    def top():
        try:
            return [(each.user_id, each.score) for each in engine.leaderboard("xp").top(3)]
        except Unavailable as away:
            return away.code

    with (
        ValkeyServer() as server,
        laurels.open(postgres_url, catalog=parse_catalog(CATALOG), redis=server.url) as engine,
        running(engine) as one,
    ):
        engine.record(post(1))
        until(lambda: top() == [("ada", 10)])
        server.stop()
        until(lambda: one.has_told(Interrupted))
        engine.record(post(2))
        assert top() == "boards_unavailable"
        server.start()
        until(lambda: one.has_told(Resumed))
        until(lambda: top() == [("ada", 20)])
    (interrupted,) = [each for each in one.told if isinstance(each, Interrupted)]
    assert "Redis" in interrupted.reason


# --- Programs ---------------------------------------------------------------------------------------------------------


class Program:
    """`laurels worker --json`, as people start it."""

    def __init__(self, url, **settings):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "laurels", "worker", "--json", "--database", url],
            env={**os.environ, "PYTHONPATH": str(SOURCE), **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.told.append(json.loads(line))

    def has_told(self, event):
        return any(each["event"] == event for each in self.told)

    def end(self, how):
        """Send it a signal and return its exit code."""
        self._process.send_signal(how)
        code = self._process.wait(timeout=60)
        self._reader.join(timeout=60)
        self._process.stdout.close()
        return code


@contextmanager
def recording(engine):
    """Record as fast as it goes, a third of it for two users at once."""
    over = threading.Event()

    def record():
        for number in count():
            if over.is_set():
                return
            fan, author = f"user-{number % 40}", f"user-{number * 7 % 40}"
            events = [post(number, user=fan)]
            if number % 3 == 0:
                events.append(laurels.Event("like", user=fan, id=f"like-{number}", data={"author": author}))
            engine.record(events)

    threads = [threading.Thread(target=record)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


KILLS = 2


def kill_workers_while_recording(engine, start_program):
    """Kill whichever program projects, start another, and so on; then end all in peace, and look at what is there."""
    programs = [start_program(), start_program()]
    with recording(engine):
        for _ in range(KILLS):
            until(lambda: any(each.has_told("projected") for each in programs), 60)
            leader = next(each for each in programs if each.has_told("projected"))
            assert leader.end(signal.SIGKILL) == -signal.SIGKILL
            programs.remove(leader)
            programs.append(start_program())
        until(lambda: any(each.has_told("projected") for each in programs), 60)
    until(lambda: all(each.told for each in programs), 60)
    assert [program.end(signal.SIGTERM) for program in programs] == [0, 0]

    with Worker(engine) as last:
        assert last.run_once().behind == 0
    report = examine(engine, silent)
    assert report.findings == []
    assert report.rows > 0


def test_when_the_worker_is_killed_another_takes_over_and_the_boards_are_what_the_journal_says(
    open_engine, database_url
):
    kill_workers_while_recording(open_engine(CATALOG), lambda: Program(database_url))


def test_boards_in_redis_survive_killed_workers_too(postgres_url, redis_url):
    with laurels.open(postgres_url, catalog=parse_catalog(CATALOG), redis=redis_url) as engine:
        kill_workers_while_recording(engine, lambda: Program(postgres_url, LAURELS_REDIS_URL=redis_url))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_program_ends_in_peace_when_it_is_asked_to(how, open_engine, database_url):
    open_engine(CATALOG)
    program = Program(database_url)
    until(lambda: program.told)
    assert program.end(how) == 0
    assert program.told == [{"event": "lease_taken", "projection": "boards", "behind": 0}]


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run `laurels worker` with these arguments, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, ["worker", *arguments], prog_name="laurels")


def test_the_command_says_what_one_pass_did(command, open_engine, database_url):
    open_engine(CATALOG).record([post(1), post(2)])
    done = command("--once", "--database", database_url)
    assert (done.exit_code, done.stdout.strip()) == (
        0,
        "The leaderboards are up to date: 2 rows of the journal came on to them.",
    )
    again = command("--once", "--json", "--database", database_url, "--now", "2026-11-22T12:00:00Z")
    told = json.loads(again.stdout)
    assert told.pop("webhooks")["delivered"] == 0
    assert told == {"lease": True, "rows": 0, "behind": 0, "held_back": None}


def test_the_command_says_whose_transaction_holds_it_back(command, postgres_engine, postgres_url, monkeypatch):
    monkeypatch.setattr(worker, "SETTLE_S", 0.1)
    with psycopg.connect(postgres_url, application_name="nightly report") as foreign:
        foreign.execute("SELECT pg_current_xact_id()")
        postgres_engine.record(post(1))
        done = command("--once", "--database", postgres_url)
        pid = foreign.info.backend_pid
    said = " ".join(done.stdout.split())
    assert f"1 cannot yet: process {pid} (nightly report) has kept a transaction open for 0:00:0" in said


def test_the_command_leaves_the_work_to_the_worker_that_has_it(command, postgres_engine, postgres_url):
    with Worker(postgres_engine) as one:
        one.run_once()
        done = command("--once", "--database", postgres_url)
    assert (done.exit_code, done.stdout.strip()) == (
        0,
        "Another worker projects the leaderboards; there was nothing to do.",
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--now", "2026-03-01T10:00:00Z"], "give --once too", id="a-time-for-ever"),
        pytest.param(["--once", "--now", "noon"], "'noon' is not an RFC 3339 time", id="no-time"),
        pytest.param(["--once", "--now", "2026-03-01T10:00:00"], "no UTC offset", id="no-offset"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(command, arguments, complaint):
    done = command(*arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (LeaseTaken(behind=0), "Projecting the leaderboards, which are up to date"),
        (LeaseTaken(behind=1234), "Projecting the leaderboards, 1,234 rows behind the journal"),
        (LeaseHeldElsewhere(), "Standing by: another worker projects the leaderboards"),
        (Projected(rows=1, behind=0), "1 row projected, up to date"),
        (Projected(rows=2000, behind=30), "2,000 rows projected, 30 to go"),
        (
            HeldBack(behind=2, holder=Holder(pid=7, application="psql", age_s=75)),
            "2 rows cannot be shown yet: process 7 (psql) has kept a transaction open for 0:01:15",
        ),
        (
            HeldBack(behind=2, holder=Holder(pid=None, application="prepared transaction x", age_s=75)),
            "2 rows cannot be shown yet: prepared transaction x has kept a transaction open for 0:01:15",
        ),
        (Interrupted(reason="connection refused"), "Waiting: connection refused"),
        (Resumed(after_s=3.2), "Going on after 3.2 s"),
    ],
)
def test_what_a_worker_tells_is_a_line(told, line):
    assert terminal.told(told).plain[10:] == line


def test_what_a_worker_tells_is_logged_with_its_facts(caplog):
    caplog.set_level(logging.INFO, "laurels.worker")
    worker.log_told(Projected(rows=5, behind=0))
    (record,) = caplog.records
    assert (record.message, record.projection, record.rows, record.behind) == ("projected", "boards", 5, 0)

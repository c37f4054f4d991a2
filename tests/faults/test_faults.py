"""
Hard to kill: writers under load on real databases, and what production does to them, in short.

After each fault everything that was answered is there once, as it was answered; nothing is there that was not sent; the
doctor finds nothing, and the writers go on. `./run test -rP tests/faults` shows how fast. The long form is
`python -m tests.faults --kills 200`.
"""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import laurels
from tests.faults import faults
from tests.faults.fleet import SOURCE, Fleet
from tests.faults.writer import USERS, digest_of
from tests.services import ValkeyServer

BRIEFLY_S = 0.3


# --- What dies --------------------------------------------------------------------------------------------------------


def test_writers_that_are_killed_and_start_again_lose_and_repeat_nothing(postgres_under_load):
    with postgres_under_load() as scene:
        for _ in range(3):
            faults.kill_a_writer(scene)
            scene.fleet.pace(window_s=BRIEFLY_S)


def test_backends_that_are_killed_take_nothing_with_them(postgres_under_load):
    with postgres_under_load() as scene:
        for _ in range(3):
            faults.kill_backends(scene)
            scene.fleet.pace(window_s=BRIEFLY_S)


def test_a_server_that_is_killed_comes_back_with_everything_it_promised(postgres_under_load):
    with postgres_under_load() as scene:
        for _ in range(2):
            faults.restart_the_server(scene)
            scene.fleet.pace(window_s=BRIEFLY_S)


def test_writers_that_are_killed_while_they_make_the_database_leave_one_that_others_finish(
    bare_database, under_load, tmp_path
):
    dice = random.Random(1)
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Fleet(bare_database.url, folder) as fleet:
            time.sleep(dice.uniform(0.5, 1.5))
            for writer in fleet.writers:
                writer.kill()
    with under_load(bare_database.url, bare_database.direct_url):
        pass
    with laurels.open(bare_database.direct_url) as engine:
        assert engine.catalog.revision == 1


# --- What is between --------------------------------------------------------------------------------------------------


def test_a_transaction_whose_commit_or_its_answer_is_lost_counts_once(postgres_under_load):
    with postgres_under_load() as scene:
        faults.lose_answers_to_commits(scene)
        faults.lose_commits(scene)


@pytest.fixture
def engine_behind_proxy(database):
    """An engine on an existing user, and its line to the server."""
    with laurels.open(database.url) as engine:
        engine.award_xp("ada", 1, request_id="first")
        yield engine


def test_a_caller_hears_nothing_of_an_answer_to_a_commit_that_was_lost(engine_behind_proxy, database):
    database.proxy.lose_answers(1)
    outcome = engine_behind_proxy.award_xp("ada", 5, request_id="a")
    assert (outcome.status, engine_behind_proxy.profile("ada").xp, database.proxy.lost) == ("applied", 6, 1)


def test_what_another_process_recorded_after_a_lost_commit_is_what_happened(engine_behind_proxy, database):
    with laurels.open(database.direct_url) as other, ThreadPoolExecutor(1) as threads:
        database.proxy.lose_commits(1)
        asked = threads.submit(engine_behind_proxy.award_xp, "ada", 5, request_id="a")
        while not (database.proxy.lost or asked.done()):
            time.sleep(0.001)
        other.award_xp("ada", 100, request_id="b")
        recorded = other.award_xp("ada", 5, request_id="a")
        assert digest_of([asked.result()]) == digest_of([recorded])


def test_connections_may_be_cut_at_any_byte(postgres_under_load):
    with postgres_under_load() as scene:
        for _ in range(4):
            faults.cut_connections(scene)
            faults.cut_after_some_bytes(scene)


def test_a_line_that_is_slow_or_swallows_everything_for_a_while_only_takes_time(postgres_under_load):
    with postgres_under_load() as scene:
        faults.delay_everything(scene)
        faults.swallow_everything(scene)


# --- What is short or refused -----------------------------------------------------------------------------------------


def test_more_threads_than_connections_wait_their_turn_and_are_told_to_try_again(postgres_under_load):
    with postgres_under_load(writers=1, options=("--threads", "40")) as scene:
        faults.run_out_of_connections(scene)


def test_statements_that_are_given_no_time_are_tried_again_until_they_are(postgres_under_load):
    with postgres_under_load() as scene:
        faults.shorten_statement_timeout(scene)


def wait_in_a_transaction(engine, seconds):
    """Let the server wait inside a transaction, or, if it would not have it, wait ourselves."""
    with engine.write() as transaction:
        transaction.connection.exec_driver_sql(f"SELECT pg_sleep({seconds})")
        time.sleep(seconds)
        transaction.connection.exec_driver_sql("SELECT 1")


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [
        pytest.param("statement_timeout", 5, id="statement"),
        pytest.param("transaction_timeout", 5, id="transaction"),
        pytest.param("idle_in_transaction_session_timeout", 1, id="idle-in-transaction"),
    ],
)
def test_every_timeout_of_the_server_is_an_error_that_passes(setting, seconds, database):
    with database.admin() as admin:
        if admin.execute("SELECT 1 FROM pg_settings WHERE name = %s", [setting]).fetchone() is None:
            pytest.skip(f"this server has no {setting}")
    url = f"{database.direct_url}?options=-c%20{setting}%3D200ms"
    with laurels.open(url) as engine, pytest.raises(laurels.Unavailable) as raised:
        wait_in_a_transaction(engine, seconds)
    assert raised.value.passes


def test_whoever_is_gone_without_a_word_is_noticed_in_half_a_minute(database):
    with laurels.open(database.direct_url) as engine, engine.write() as transaction:
        shown = [
            transaction.connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("idle_in_transaction_session_timeout", "tcp_keepalives_idle")
        ]
        driver = transaction.connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            shown.append(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
    assert shown == ["1min", "10", 10]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.turn_read_only, id="all-sessions"),
        pytest.param(faults.leave_old_sessions_read_only, id="sessions-of-the-old-server"),
    ],
)
def test_a_failover_to_a_server_that_takes_no_writes_is_waited_out(fault, postgres_under_load):
    with postgres_under_load() as scene:
        fault(scene)


# --- Who is in the way ------------------------------------------------------------------------------------------------


def test_users_held_by_strangers_hold_up_nobody_else(postgres_under_load):
    with postgres_under_load(options=("--patience", "0.5")) as scene:
        faults.hold_users(scene)


def test_a_deadlock_with_a_stranger_reaches_no_caller(postgres_under_load):
    with postgres_under_load() as scene:
        faults.make_a_deadlock(scene)
        scene.fleet.look()
    assert scene.fleet.tallies["retried: database_conflict"] == 0


def test_a_writer_that_stands_still_for_a_while_goes_on_where_it_was(postgres_under_load):
    with postgres_under_load() as scene:
        faults.freeze_a_writer(scene)


def test_a_writer_that_stood_still_until_the_server_gave_its_users_to_others_tries_again(postgres_under_load):
    with postgres_under_load() as scene:
        faults.freeze_a_writer_for_too_long(scene)


# --- Redis ------------------------------------------------------------------------------------------------------------


@contextmanager
def working(url, redis_url):
    """`laurels worker` on a database and a Redis, a program of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "laurels", "worker", "--json", "--database", url],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "LAURELS_REDIS_URL": redis_url},
        stdout=subprocess.PIPE,
    )
    try:
        process.stdout.readline()  # It is at work, or stands by.
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def watching_the_total(engine):
    """Ask again and again how many users a board has. Nobody leaves it, so it never shrinks; it may be away."""
    ending, seen, away = threading.Event(), [], []

    def watch():
        while not ending.wait(0.01):
            try:
                seen.append(engine.leaderboard("xp").total)
            except laurels.Unavailable as error:
                away.append(error)

    with ThreadPoolExecutor(1) as threads:
        watched = threads.submit(watch)
        try:
            yield
        finally:
            ending.set()
        watched.result()
    assert seen == sorted(seen)
    assert all(error.retryable for error in away)


def tops(engine):
    """What every board shows in every period."""
    return {
        (board.code, period): [(line.rank, line.user_id, line.score) for line in shown.top(len(USERS))]
        for board in engine.catalog.leaderboards.values()
        for period in board.periods
        for shown in [engine.leaderboard(board.code, period=period)]
    }


def test_a_redis_that_is_emptied_killed_or_away_costs_ranks_for_a_while_and_nothing_else(database, under_load):
    with (
        ValkeyServer() as redis,
        laurels.open(database.direct_url, redis=redis.url) as engine,
        laurels.open(database.direct_url) as without,
    ):
        with (
            working(database.direct_url, redis.url) as worker,
            under_load(database.url, database.direct_url, options=("--redis", redis.url)) as fleet,
            watching_the_total(engine),
        ):
            redis.restart()
            fleet.pace()
            worker.kill()
            redis.stop()
            fleet.pace()
            redis.start()
            with working(database.direct_url, redis.url):
                fleet.pace()
                database.terminate()
                redis.restart()
                fleet.pace()
        engine.project()
        without.project()
        assert tops(engine) == tops(without)


# --- The clock and SQLite ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["postgres", "sqlite"])
def urls(request):
    """Where writers reach a new database and where others do, on either store."""
    if request.param == "sqlite":
        return (request.getfixturevalue("sqlite_url"),) * 2
    database = request.getfixturevalue("database")
    return database.url, database.direct_url


def test_a_clock_that_is_set_forward_and_back_by_hours_confuses_nobody(urls, under_load):
    with under_load(*urls, options=("--clock-steps", "30")) as fleet:
        fleet.pace()


def test_writers_on_sqlite_that_are_killed_and_start_again_lose_and_repeat_nothing(sqlite_url, under_load):
    with under_load(sqlite_url) as fleet:
        for number in range(4):
            writer = fleet.writers[number % 2]
            writer.kill()
            writer.start()
            fleet.pace(window_s=BRIEFLY_S)


def test_a_file_that_a_quota_keeps_from_growing_refuses_what_is_new_until_there_is_room(
    sqlite_url, under_load, tmp_path
):
    # SQLite knows of a full disk; a quota is an error of the disk to it.
    with under_load(sqlite_url) as fleet:
        for writer in fleet.writers:
            writer.limit_files((tmp_path / "laurels.db-wal").stat().st_size)
        fleet.wait_until(lambda: fleet.tallies["retried: database_io_error"] > 3 * len(fleet.writers))
        for writer in fleet.writers:
            writer.limit_files()

"""
Hard to kill: writers under load on real databases, and what production does to them, in short.

After each fault everything that was answered is there once, as it was answered; nothing is there that was not sent; the
doctor finds nothing, and the writers go on. `./run test -rP tests/faults` shows how fast. The long form is
`python -m tests.faults --kills 200`.
"""

import random
import time

import pytest

import laurels
from tests.faults import faults
from tests.faults.fleet import Fleet

BRIEFLY_S = 0.3


# --- What dies --------------------------------------------------------------------------------------------------------


def test_writers_that_are_killed_and_start_again_lose_and_repeat_nothing(postgres_under_load):
    with postgres_under_load() as scene:
        for _ in range(3):
            faults.kill_a_writer(scene)
            scene.fleet.pace(window_s=BRIEFLY_S)


def test_backends_that_are_killed_take_nothing_with_them(postgres_under_load):
    with postgres_under_load() as scene:
        for _ in range(5):
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


# --- The clock and SQLite ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["postgres", "sqlite"])
def urls(request):
    """Where writers reach a new database and where others do, on either store."""
    if request.param == "sqlite":
        return (request.getfixturevalue("database_url"),) * 2
    database = request.getfixturevalue("database")
    return database.url, database.direct_url


def test_a_clock_that_is_set_forward_and_back_by_hours_confuses_nobody(urls, under_load):
    with under_load(*urls, options=("--clock-steps", "30")):
        pass


def test_writers_on_sqlite_that_are_killed_and_start_again_lose_and_repeat_nothing(database_url, under_load):
    with under_load(database_url) as fleet:
        for number in range(4):
            writer = fleet.writers[number % 2]
            writer.kill()
            writer.start()
            fleet.pace(window_s=BRIEFLY_S)


def test_a_file_that_a_quota_keeps_from_growing_refuses_what_is_new_until_there_is_room(
    database_url, under_load, tmp_path
):
    # SQLite knows of a full disk; a quota is an error of the disk to it.
    with under_load(database_url) as fleet:
        for writer in fleet.writers:
            writer.limit_files((tmp_path / "laurels.db-wal").stat().st_size)
        fleet.wait_until(lambda: fleet.tallies["retried: database_io_error"] > 3 * len(fleet.writers))
        for writer in fleet.writers:
            writer.limit_files()

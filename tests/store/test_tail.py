"""
The tail of the journal: what it calls final stays as it is, whatever is still being written.

Writers here do what the engine's lanes do as far as the tail is concerned: they lock their users, then write the
journal, in transactions that take their time and sometimes come to nothing.
"""

import random
import threading
import time
from contextlib import contextmanager
from itertools import groupby

import psycopg
import pytest
from sqlalchemy import create_engine, func, select

import laurels
from laurels.store import tail
from laurels.store.schema import SCHEMA
from laurels.store.tables import journal
from tests.services import FAST, PostgresServer

SEARCH_PATH = f"-c search_path={SCHEMA}"
WRITERS = 8
USERS = [f"user-{number}" for number in range(30)]
TRANSACTIONS = 60

INSERT = """
INSERT INTO journal
    (user_id, version, actor_id, request_id, type, time, recorded_at, revision, fingerprint, day, changes)
VALUES (%(user)s, %(version)s, %(user)s, %(request)s, 'test', 0, 0, 1, '', 0, '[]')
"""


def connect(url, **options):
    return psycopg.connect(url, options=SEARCH_PATH, **options)


def write(connection, user, version):
    """Write a row of the journal; its user is locked first, so the transaction has an id before the row has a seq."""
    connection.execute("SELECT 1 FROM users WHERE user_id = %s FOR NO KEY UPDATE", [user])
    connection.execute(INSERT, {"user": user, "version": version, "request": f"{user}-{version}"})


@contextmanager
def watching(url):
    """A connection as the tail wants it."""
    database = create_engine(
        url.replace("postgresql:", "postgresql+psycopg:", 1), connect_args={"options": SEARCH_PATH}
    )
    connection = tail.watch(database)
    yield connection
    tail.close(connection)
    database.dispose()


@pytest.fixture
def journal_url(postgres_url):
    """A database with our tables and some users, who have no rows in the journal yet."""
    laurels.open(postgres_url).close()
    with connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO users VALUES (%s, 0, '')", [(user,) for user in USERS])
    return postgres_url


@pytest.fixture
def open_tail(journal_url):
    with watching(journal_url) as connection:
        yield lambda: Followed(tail.Tail(), connection)


class Followed:
    """A tail and its connection."""

    def __init__(self, of, connection):
        self._tail, self._connection = of, connection

    def settled(self):
        return self._tail.settled(self._connection)

    def holding_back(self, **options):
        return self._tail.holding_back(self._connection, **options)


def last_seq(url):
    with connect(url) as connection:
        return connection.execute("SELECT max(seq) FROM journal").fetchone()[0]


# --- One open transaction ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "rows"), [("commit", 2), ("rollback", 1)])
def test_a_row_is_final_when_every_transaction_before_it_has_ended(end, rows, journal_url, open_tail):
    followed = open_tail()
    with connect(journal_url) as slow, connect(journal_url) as quick:
        write(slow, USERS[0], 1)
        write(quick, USERS[1], 1)
        quick.commit()
        assert last_seq(journal_url) == 2
        assert [followed.settled() for _ in range(3)] == [0, 0, 0]

        getattr(slow, end)()
        assert followed.settled() == 2

    with watching(journal_url) as connection:
        read = [row for chunk in tail.chunks(connection, after=0, settled=2) for row in chunk]
    assert len(read) == rows


def test_what_is_written_while_the_tail_waits_is_final_once_its_own_transactions_have_ended(journal_url, open_tail):
    followed = open_tail()
    with connect(journal_url) as first, connect(journal_url) as second:
        write(first, USERS[0], 1)
        assert followed.settled() == 0
        write(second, USERS[1], 1)
        assert followed.settled() == 0
        first.commit()
        assert followed.settled() == 1
        second.commit()
        assert followed.settled() == 2


def test_the_tail_ends_with_a_row_since_numbers_that_came_to_nothing_may_be_drawn_again(journal_url, open_tail):
    followed = open_tail()
    with connect(journal_url) as writer:
        write(writer, USERS[0], 1)
        writer.commit()
        write(writer, USERS[0], 2)
        writer.rollback()
    assert [followed.settled() for _ in range(2)] == [1, 1]
    assert (followed._tail.final, followed._tail.waits) == (2, False)


def test_a_reader_with_an_old_snapshot_holds_nothing_back(journal_url, open_tail):
    followed = open_tail()
    with connect(journal_url) as reader, connect(journal_url) as writer:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM journal")
        write(writer, USERS[0], 1)
        writer.commit()
        assert followed.settled() == 1
        assert followed.holding_back() is None


def test_the_journals_numbers_are_drawn_one_by_one_since_a_connections_stock_of_them_would_come_out_of_order(
    journal_url,
):
    query = "SELECT seqcache FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence('journal', 'seq')::regclass"
    with connect(journal_url) as connection:
        assert connection.execute(query).fetchone() == (1,)


def test_a_tail_that_has_nothing_to_wait_for_uses_up_no_transaction_ids(journal_url, open_tail):
    with connect(journal_url) as writer:
        write(writer, USERS[0], 1)
    followed = open_tail()
    followed.settled()

    def next_id():
        with connect(journal_url, autocommit=True) as connection:
            return connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()[0]

    before = next_id()
    assert {followed.settled() for _ in range(50)} == {1}
    assert next_id() - before < 50


def test_an_open_transaction_that_holds_the_tail_back_is_named_with_its_age(journal_url, open_tail):
    followed = open_tail()
    with (
        connect(journal_url, application_name="nightly report") as foreign,
        connect(journal_url) as writer,
    ):
        foreign.execute("SELECT pg_current_xact_id()")
        assert followed.holding_back() is None
        write(writer, USERS[0], 1)
        writer.commit()
        assert followed.settled() == 0

        holder = followed.holding_back()
        assert (holder.pid, holder.application) == (foreign.info.backend_pid, "nightly report")
        assert 0 < holder.age_s < 60
        assert followed.holding_back(longer_than_s=60) is None

        foreign.rollback()
        assert followed.settled() == 1
        assert followed.holding_back() is None


def test_through_another_connection_a_tail_trusts_nothing_that_it_knew(journal_url, open_tail):
    """A server that crashed may give out numbers and transaction ids once more."""
    followed = open_tail()
    with connect(journal_url) as first, connect(journal_url) as foreign:
        write(first, USERS[0], 1)
        first.commit()
        assert followed.settled() == 1
        foreign.execute("SELECT pg_current_xact_id()")
        with watching(journal_url) as other:
            assert followed._tail.settled(other) == 0
            foreign.rollback()
            assert followed._tail.settled(other) == 1


def test_a_prepared_transaction_that_nobody_ends_is_named_too():
    with PostgresServer(settings={**FAST, "max_prepared_transactions": "2"}) as server:
        laurels.open(server.url()).close()
        with connect(server.url(), autocommit=True) as connection, watching(server.url()) as watched:
            connection.execute("BEGIN")
            connection.execute("SELECT pg_current_xact_id()")
            connection.execute("PREPARE TRANSACTION 'forgotten'")
            write(connection, "ada", 1)
            followed = Followed(tail.Tail(), watched)
            assert followed.settled() == 0
            holder = followed.holding_back()
            assert (holder.pid, holder.application) == (None, "prepared transaction forgotten")
            connection.execute("ROLLBACK PREPARED 'forgotten'")
            assert followed.settled() == 1


def test_however_long_a_transaction_is_open_few_places_wait(journal_url, open_tail):
    followed = open_tail()
    with connect(journal_url) as foreign, connect(journal_url, autocommit=True) as writer:
        foreign.execute("SELECT pg_current_xact_id()")
        for version in range(1, 40):
            write(writer, USERS[0], version)
            assert followed.settled() == 0
        assert len(followed._tail._pending) == tail.PENDING_MAX
        foreign.rollback()
        assert followed.settled() == tail.PENDING_MAX
        assert followed.settled() == 39


# --- Many writers -----------------------------------------------------------------------------------------------------


class Versions:
    """The next version of each user, who is locked for as long as somebody writes for them: as in the engine."""

    def __init__(self):
        self.written = dict.fromkeys(USERS, 0)


def write_for_a_while(url, seed, versions):
    """Write in transactions of random length, with one statement or several, some of which are rolled back."""
    dice = random.Random(seed)
    with connect(url) as connection:
        for _ in range(TRANSACTIONS):
            users = sorted(dice.sample(USERS, dice.randint(1, 3)))
            connection.execute(
                "SELECT 1 FROM users WHERE user_id = ANY(%s) ORDER BY user_id FOR NO KEY UPDATE", [users]
            )
            for user in users:
                write(connection, user, versions.written[user] + 1)
                time.sleep(dice.choice([0, 0, 0.002, 0.01]))
            if dice.random() < 0.2:
                connection.rollback()
            else:
                for user in users:
                    versions.written[user] += 1
                connection.commit()


def read_settled(connection):
    followed = tail.Tail()
    return lambda: followed.settled(connection)


def read_whatever_is_there(connection):
    """The naive reader: whatever the largest number is that it sees."""
    return lambda: connection.scalar(select(func.coalesce(func.max(journal.c.seq), 0)))


def follow(url, upto, is_over):
    """Read the journal behind its writers until they are done, and return what was seen, in the order of reading."""
    seen, after = [], 0
    with watching(url) as connection:
        end = upto(connection)
        while True:
            last_round = is_over()
            settled = end()
            for chunk in tail.chunks(
                connection, journal.c.user_id, journal.c.version, after=after, settled=settled, rows_max=7
            ):
                seen += chunk
            after = settled
            if last_round and settled >= last_seq(url):
                return seen
            time.sleep(0.002)


def seen_beside_writers(url, upto, also=()):
    versions = Versions()
    targets = [lambda seed=seed: write_for_a_while(url, seed, versions) for seed in range(WRITERS)]
    writers = [threading.Thread(target=target) for target in [*targets, *also]]
    for writer in writers:
        writer.start()
    seen = follow(url, upto, lambda: not any(writer.is_alive() for writer in writers))
    for writer in writers:
        writer.join()
    return seen


def in_the_journal(url):
    with connect(url) as connection:
        return connection.execute("SELECT seq, user_id, version FROM journal ORDER BY seq").fetchall()


def record_for_a_while(url):
    """Record with an engine of its own, for users of its own and others' authors."""
    with laurels.open(url) as engine:
        answers = [
            engine.submit(
                laurels.Event(
                    "reaction.added", user=f"fan-{n % 7}", id=f"e{n}", data={"target": f"p{n}", "author": "ada"}
                )
            )
            for n in range(600)
        ]
        for answer in answers:
            answer.result()


def test_beside_many_writers_every_row_is_seen_once_in_order_of_the_journal_and_of_its_user(journal_url):
    seen = seen_beside_writers(journal_url, read_settled, also=[lambda: record_for_a_while(journal_url)])

    assert [tuple(row) for row in seen] == in_the_journal(journal_url)
    of_users = sorted(((row.user_id, row.version) for row in seen), key=lambda row: row[0])
    for _user, rows in groupby(of_users, key=lambda row: row[0]):
        versions = [version for _, version in rows]
        assert versions == list(range(1, len(versions) + 1))


def test_a_reader_who_goes_by_the_largest_number_misses_rows(journal_url):
    """The test above can fail."""
    seen = seen_beside_writers(journal_url, read_whatever_is_there)
    assert {row.seq for row in seen} < {seq for seq, _, _ in in_the_journal(journal_url)}


# --- Leases -----------------------------------------------------------------------------------------------------------


def test_one_connection_at_a_time_holds_a_lease(journal_url):
    with watching(journal_url) as one, watching(journal_url) as other:
        assert tail.take_lease(one, "boards")
        assert not tail.take_lease(other, "boards")
        assert tail.take_lease(other, "webhooks")


def test_a_lease_is_lost_with_its_connection(journal_url):
    with watching(journal_url) as other:
        with watching(journal_url) as one:
            tail.take_lease(one, "boards")
        assert within_seconds(10, lambda: tail.take_lease(other, "boards"))


def within_seconds(seconds, happens):
    """Whether something happens soon; the server takes a moment to notice that a connection is gone."""
    deadline = time.monotonic() + seconds
    while not (happened := happens()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return happened


# --- SQLite -----------------------------------------------------------------------------------------------------------


def test_on_sqlite_whatever_is_committed_is_final_and_everybody_who_may_write_may_project(tmp_path):
    with laurels.open(f"sqlite:///{tmp_path / 'laurels.db'}") as engine, engine.read() as connection:
        followed = tail.Tail()
        assert followed.settled(connection) == 0
        connection.commit()
        engine.award_xp("ada", 5, request_id="a")
        engine.award_xp("ada", 5, request_id="b")
        assert followed.settled(connection) == 2
        assert followed.holding_back(connection) is None
        assert tail.take_lease(connection, "boards")

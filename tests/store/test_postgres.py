"""PostgreSQL: the application's own transaction, users whom others hold, lost connections, tables split by user."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

import laurels
from laurels import Event
from laurels.catalog_file import parse_catalog
from laurels.core.errors import Conflict, InvalidInput, Unavailable
from laurels.doctor import examine
from tests.conftest import BASE

POSTS = (
    BASE
    + """
[currencies.coin]
[metrics]
posts = {}
[[rules]]
id = "post"
on = "post.created"
xp = 10
metrics = { posts = 1 }
[[rules]]
id = "like"
on = "post.liked"
to = "data.author"
xp = 2
once_per = "data.post"
[[achievements]]
code = "PIONEER"
name = "Pioneer"
when = { posts = 1 }
max_achievers = 3
"""
)


def post(user, number):
    return Event("post.created", user=user, id=f"post-{number}")


@pytest.fixture
def engine(postgres_url):
    with laurels.open(postgres_url, catalog=parse_catalog(POSTS), busy_timeout_s=2) as opened:
        yield opened


@pytest.fixture
def application(postgres_url):
    """The application's own connection, with a table of its own that has a name of ours."""
    with psycopg.connect(postgres_url, row_factory=dict_row) as connection:
        connection.execute("CREATE TABLE users (name text)")
        connection.commit()
        yield connection


@pytest.fixture
def sqlalchemy_engine(postgres_url):
    made = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    yield made
    made.dispose()


# --- In the application's own transaction -----------------------------------------------------------------------------


def test_with_psycopg_a_post_and_its_points_are_committed_together(engine, application):
    application.execute("INSERT INTO users VALUES ('Ada')")
    outcome = engine.record(post("ada", 1), connection=application)
    assert outcome.status == "applied"
    with pytest.raises(laurels.LaurelsError):
        engine.profile("ada")
    application.commit()
    assert engine.profile("ada").xp == 10


def test_with_psycopg_a_post_and_its_points_vanish_together(engine, application):
    application.execute("INSERT INTO users VALUES ('Ada')")
    engine.record(post("ada", 1), connection=application)
    application.rollback()
    with pytest.raises(laurels.LaurelsError) as caught:
        engine.profile("ada")
    assert caught.value.code == "unknown_user"
    assert application.execute("SELECT count(*) AS n FROM users").fetchone() == {"n": 0}
    assert engine.record(post("ada", 1)).status == "applied"  # Its id stayed free.


@pytest.mark.parametrize(("end", "xp"), [("commit", 10), ("rollback", None)])
@pytest.mark.parametrize("first", [True, False], ids=["as the first thing", "after a statement of the application's"])
def test_with_sqlalchemy_points_share_the_transaction(engine, application, sqlalchemy_engine, first, end, xp):
    with sqlalchemy_engine.connect() as connection:
        if not first:
            connection.execute(text("INSERT INTO users VALUES ('Ada')"))
        engine.record(post("ada", 1), connection=connection)
        if first:
            connection.execute(text("INSERT INTO users VALUES ('Ada')"))
        getattr(connection, end)()
    found = engine.profile("ada").xp if "ada" in engine.users() else None
    rows = application.execute("SELECT count(*) AS n FROM users").fetchone()["n"]
    assert (found, rows) == (xp, 1 if xp else 0)


def test_a_session_of_sqlalchemys_will_do(engine, sqlalchemy_engine):
    with Session(sqlalchemy_engine) as session:
        engine.record([post("ada", 1), post("bob", 1)], connection=session)
        session.commit()
    assert [engine.profile(user).xp for user in ("ada", "bob")] == [10, 10]


def test_what_is_refused_undoes_nothing_of_the_applications(engine, application):
    engine.record(post("ada", 1))
    application.execute("INSERT INTO users VALUES ('Ada')")
    with pytest.raises(laurels.InsufficientFunds):
        engine.record(laurels.Spend(user="ada", id="s", currency="coin", amount=5), connection=application)
    with pytest.raises(Conflict):
        engine.record(Event("post.created", user="ada", id="post-1", data={"other": 1}), connection=application)
    application.commit()
    assert application.execute("SELECT name FROM users").fetchall() == [{"name": "Ada"}]


def test_the_connection_is_given_back_as_it_was(engine, application):
    def settings():
        names = ("search_path", "lock_timeout")
        return [application.execute(f"SHOW {name}").fetchone()[name] for name in names]

    application.execute("SET LOCAL lock_timeout = '7s'")
    before = settings()
    engine.record(post("ada", 1), connection=application)
    assert settings() == before
    with pytest.raises(laurels.InsufficientFunds):
        engine.record(laurels.Spend(user="ada", id="s", currency="coin", amount=5), connection=application)
    assert settings() == before


def test_beside_busy_lanes_on_the_same_users_nothing_is_lost(engine, postgres_url):
    users = [f"user-{number}" for number in range(5)]
    rounds = 30

    def application(number):
        with psycopg.connect(postgres_url) as connection:
            for place in range(rounds):
                engine.record(post(users[(number + place) % 5], f"app-{number}-{place}"), connection=connection)
                (connection.rollback if place % 3 == 2 else connection.commit)()

    with ThreadPoolExecutor(4) as pool:
        applications = [pool.submit(application, number) for number in range(4)]
        futures = [engine.submit(post(users[number % 5], f"lane-{number}")) for number in range(600)]
        for future in [*applications, *futures]:
            future.result(60)
    # Two of three rounds were committed: 4 applications, 20 rounds each, and 600 posts through the lanes.
    assert sum(engine.profile(user).xp for user in users) == 10 * (4 * 20 + 600)


@pytest.mark.parametrize("connection", [object(), "postgresql://"], ids=["anything", "a text"])
def test_what_is_no_connection_is_refused(engine, connection):
    with pytest.raises(InvalidInput) as caught:
        engine.record(post("ada", 1), connection=connection)
    assert caught.value.code == "connection_unsupported"


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_a_transaction_that_sees_the_past_is_refused(engine, application, level):
    application.isolation_level = level
    with pytest.raises(InvalidInput) as caught:
        engine.record(post("ada", 1), connection=application)
    assert caught.value.code == "connection_unsupported"
    application.rollback()


def test_sqlite_takes_no_connection(tmp_path):
    with laurels.open(f"sqlite:///{tmp_path}/a.db") as engine, pytest.raises(InvalidInput) as caught:
        engine.record(post("ada", 1), connection=object())
    assert caught.value.code == "connection_unsupported"


# --- Users whom others hold -------------------------------------------------------------------------------------------


def hold(connection, user):
    connection.execute("SELECT 1 FROM laurels.users WHERE user_id = %s FOR UPDATE", [user])


def test_nobody_waits_for_a_user_whom_somebody_else_holds(engine, application):
    engine.record([post("ada", 0), post("bob", 0)])
    hold(application, "ada")
    held = [engine.submit(post("ada", number)) for number in (1, 2)]
    liked = engine.submit(Event("post.liked", user="bob", id="like-1", data={"author": "ada", "post": "p"}))
    behind = engine.submit(post("bob", 9))  # Comes after the like, which waits for Ada.
    others = [engine.submit(post(f"user-{number}", 1)) for number in range(50)]
    wait(others, 10)
    assert all(future.done() for future in others)
    assert not any(future.done() for future in [*held, liked, behind])
    application.rollback()
    for future in [*held, liked, behind]:
        future.result(10)
    with engine.read() as connection:
        order = connection.exec_driver_sql(
            "SELECT request_id FROM journal WHERE actor_id = user_id AND user_id IN ('ada', 'bob')"
            " ORDER BY user_id, version"
        ).scalars()
        assert list(order) == ["post-0", "post-1", "post-2", "post-0", "like-1", "post-9"]


def test_a_user_who_is_held_too_long_is_busy(engine, application):
    engine.record(post("ada", 0))
    hold(application, "ada")
    with pytest.raises(Unavailable) as caught:
        engine.record(post("ada", 1))
    assert (caught.value.code, caught.value.retryable) == ("user_busy", True)
    application.rollback()
    assert engine.record(post("ada", 1)).status == "applied"


def test_settings_of_a_user_who_is_held_are_refused_and_overwrite_nothing(engine, application):
    """Written without the lock, they would take the user back to before what the holder records."""
    engine.record(post("ada", 0))
    hold(application, "ada")
    with pytest.raises(Unavailable) as caught:
        engine.user("ada").set(timezone="Europe/Berlin")
    assert (caught.value.code, caught.value.retryable) == ("user_busy", True)
    application.rollback()
    assert engine.profile("ada").timezone == "UTC"
    assert engine.user("ada").set(timezone="Europe/Berlin").timezone == "Europe/Berlin"


def test_a_batch_of_many_waits_for_its_users_in_order(engine, application):
    engine.record([post(f"user-{number}", 0) for number in range(20)])
    hold(application, "user-7")
    together = engine.record
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(together, [post(f"user-{number}", 1) for number in range(20)])
        time.sleep(0.3)
        assert not future.done()
        application.rollback()
        assert [outcome.status for outcome in future.result(10)] == ["applied"] * 20


def test_engines_that_want_each_others_users_never_deadlock(postgres_url):
    """Batches over the same users in opposite orders, from two processes' worth of engines."""
    users = [f"user-{number}" for number in range(30)]
    with laurels.open(postgres_url, catalog=parse_catalog(POSTS)) as one, laurels.open(postgres_url) as other:

        def record(engine, name, order):
            for place in range(10):
                engine.record([post(user, f"{name}-{place}") for user in order])

        threads = [
            threading.Thread(target=record, args=(one, "one", users)),
            threading.Thread(target=record, args=(other, "other", users[::-1])),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.profile(user).xp for user in users] == [200] * 30
        with one.read() as connection:
            query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            assert connection.exec_driver_sql(query).scalar() == 0


def test_limited_places_go_to_as_many_as_there_are_whoever_asks(postgres_url):
    with laurels.open(postgres_url, catalog=parse_catalog(POSTS)) as one, laurels.open(postgres_url) as other:
        both = ((one, "a"), (other, "b"))
        futures = [engine.submit(post(f"{name}-{n}", 1)) for n in range(40) for engine, name in both]
        outcomes = [future.result(30) for future in futures]
        unlocked = sum(change.type == "achievement.unlocked" for outcome in outcomes for change in outcome.changes)
        refused = sum(skip.rule == "achievement:PIONEER" for outcome in outcomes for skip in outcome.skipped)
        assert (unlocked, refused) == (3, 77)


# --- Users who are not there yet --------------------------------------------------------------------------------------


def test_a_user_exists_only_when_a_request_was_recorded(engine):
    with pytest.raises(laurels.LaurelsError) as caught:
        engine.wallet("ghost").spend("coin", 1, request_id="s")
    assert caught.value.code == "unknown_user"
    assert "ghost" not in engine.users()
    with pytest.raises(laurels.LaurelsError):
        engine.user("ghost").ledger()
    assert engine.record(post("ghost", 1)).status == "applied"
    assert engine.users() == ["ghost"]


def test_doctor_passes_over_a_user_who_was_made_for_a_request_that_never_came(engine, application):
    engine.record(post("ada", 1))
    application.execute("INSERT INTO laurels.users VALUES ('ghost', 0, '')")
    application.commit()
    report = examine(engine, lambda *_: lambda *_: None)
    assert (report.healthy, report.users) == (True, 1)


# --- Connections that are lost ----------------------------------------------------------------------------------------


def cut_all(application):
    application.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    application.commit()


def test_after_a_lost_connection_recording_and_reading_go_on(engine, application):
    engine.record(post("ada", 1))
    cut_all(application)
    assert engine.record(post("ada", 2)).status == "applied"
    cut_all(application)
    assert engine.profile("ada").xp == 20


def test_an_answer_that_was_lost_after_the_commit_is_found_again(engine, application, monkeypatch):
    """The first commit goes through, and the connection breaks before the engine hears of it."""
    store = engine._store
    real, calls = store.write, []

    @contextmanager
    def write_and_lose_the_answer():
        with real() as transaction:
            yield transaction
        calls.append(1)
        if len(calls) == 1:
            raise Unavailable("database_unreachable", "The connection was lost.", passes=True)

    monkeypatch.setattr(store, "write", write_and_lose_the_answer)
    outcome = engine.record(post("ada", 1))
    assert (len(calls), outcome.status, outcome.changes[0].amount) == (2, "applied", 10)
    assert engine.profile("ada").xp == 10


def test_a_server_that_does_not_come_back_is_a_clear_error(tmp_path):
    with pytest.raises(Unavailable) as caught:
        laurels.open("postgresql://nobody@127.0.0.1:9/none", busy_timeout_s=0)
    assert caught.value.code == "database_unreachable"
    assert "127.0.0.1/none" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"database": "no_such_database"}, 'database "no_such_database" does not exist'),
        ({"username": "no_such_user"}, 'role "no_such_user" does not exist'),
    ],
    ids=["database", "user"],
)
def test_an_address_that_cannot_be_right_says_so(postgres_url, change, why):
    with pytest.raises(Unavailable) as caught:
        laurels.open(make_url(postgres_url).set(**change).render_as_string(hide_password=False))
    assert caught.value.code == "database_unreachable"
    assert why in str(caught.value)


def test_a_database_without_our_tables_is_not_made_unasked(engine, postgres_url, application):
    engine.close()
    application.execute("DROP SCHEMA laurels CASCADE")
    application.commit()
    with pytest.raises(Unavailable) as caught:
        laurels.open(postgres_url, create=False)
    assert caught.value.code == "database_missing"
    laurels.open(postgres_url).close()

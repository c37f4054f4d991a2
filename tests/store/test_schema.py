"""The schema: its migrations add up to the tables in the code, and opening again changes nothing."""

import secrets
import sqlite3

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

import laurels
from laurels.store import schema
from laurels.store.sqlite import SqliteStore
from laurels.store.tables import metadata


def test_the_migrations_add_up_to_the_tables(database_url):
    with laurels.open(database_url) as engine, engine.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    # The key of the journal on SQLite is an index on PostgreSQL, which one table for both cannot say.
    index = [("remove_index", "ix_journal_seq")] if connection.dialect.name == "postgresql" else []
    assert [(kind, what.name) for kind, what, *_ in differences] == index


def test_the_newest_migration_is_the_one_the_program_expects():
    config = Config()
    config.set_main_option("script_location", "laurels:store/migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_what_is_answered_is_on_disk(sqlite_url):
    store = SqliteStore(sqlite_url)
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    store.close()


def test_opening_again_migrates_nothing(database_url, monkeypatch):
    monkeypatch.setattr(schema, "_upgrade", lambda *_: pytest.fail("nothing is to be upgraded"))
    laurels.open(database_url).close()


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_all_that_it_holds(tmp_path):
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    config = Config()
    config.set_main_option("script_location", "laurels:store/migrations")
    with create_engine(f"sqlite:///{old}").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    event = laurels.Event("post.created", user="ada", id="1", data={"words": 10})
    with laurels.open(f"sqlite:///{new}") as engine:
        engine.record(event)
        earned = engine.profile("ada").xp
    with sqlite3.connect(old) as connection:
        connection.execute("ATTACH ? AS new", [str(new)])
        for table in ("users", "journal", "claims", "unlocks", "quest_runs", "catalog_revisions", "facts"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
    connection.close()
    with laurels.open(f"sqlite:///{old}") as engine:
        assert engine.record(event).status == "duplicate"
        assert [line.score for line in engine.leaderboard("xp").top(2)] == [earned]


def test_on_postgresql_a_user_who_may_not_make_schemas_can_be_given_one(postgres_databases):
    url = make_url(postgres_databases.lend())
    role = f"app_{secrets.token_hex(4)}"
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute("DROP SCHEMA laurels CASCADE")
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.commit()
        app = url.set(username=role).render_as_string(hide_password=False)
        with pytest.raises(laurels.Unavailable) as caught:
            laurels.open(app)
        assert caught.value.code == "database_refused"
        connection.execute(f"CREATE SCHEMA laurels AUTHORIZATION {role}")
        connection.commit()
        with laurels.open(app) as engine:
            engine.award_xp("ada", 5, request_id="1")
            assert engine.profile("ada").xp == 5


def test_each_database_has_an_epoch_of_its_own(tmp_path):
    epochs = set()
    for name in ("one", "two"):
        laurels.open(f"sqlite:///{tmp_path}/{name}.db").close()
        with sqlite3.connect(tmp_path / f"{name}.db") as connection:
            epochs |= set(connection.execute("SELECT value FROM facts WHERE name = 'epoch'").fetchall())
    assert len(epochs) == 2


def test_an_ordinary_event_writes_two_rows(open_engine):
    """The user's document and the journal's row: everything else is rare."""
    engine = open_engine('[metrics]\na = {}\n[[rules]]\nid = "r"\non = "a.b"\nxp = 1\nmetrics = { a = 1 }\n')
    engine.record(laurels.Event("a.b", user="ada", id="1"))
    counts = {}
    with engine.read() as connection:
        for table in metadata.tables:
            counts[table] = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
    own = {table: rows for table, rows in counts.items() if rows and table not in ("facts", "catalog_revisions")}
    assert own == {"users": 1, "journal": 1}

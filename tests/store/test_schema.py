"""The schema: its migrations add up to the tables in the code, and opening again changes nothing."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

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

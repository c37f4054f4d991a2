"""
Is this database ours, and is its schema the one this program knows? Creates or upgrades it where it is not.

Alembic and its migrations are imported only when there is something to migrate, so that opening stays fast.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlalchemy import inspect, select, text

from laurels.core.errors import Unavailable
from laurels.store.tables import facts

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: The newest migration; a test holds it against the folder.
HEAD = "0005"
#: Where the tables are in a PostgreSQL database, which may be the application's own.
SCHEMA = "laurels"
#: Tables that a database has, at any version, if it is ours.
OURS = {"alembic_version", "catalog_revisions", "journal"}


def prepare(engine: Engine, *, create: bool = True) -> None:
    """
    Bring the schema up to date, creating it in an empty database unless `create` is False.

    Raises Unavailable `database_newer` for a schema that this program does not know, `database_foreign` for a database
    that holds other tables and none of ours.
    """
    with engine.connect() as connection:
        found = _version(connection)
    if found == HEAD:
        return
    if found is None and not create:
        raise Unavailable(
            "database_missing", f"Laurels has no tables in {engine.url.database}. `laurels init` makes them."
        )
    with engine.execution_options(laurels_write=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('laurels:schema'))"))
            if not inspect(connection).has_schema(SCHEMA):  # Who may not make one may use one that was made before.
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        found = _version(connection)  # Another process may have been here while this one waited for the lock.
        if found != HEAD:
            _upgrade(connection, found)


def version(connection: Connection) -> str:
    """Return which schema a database of ours has."""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def _version(connection: Connection) -> str | None:
    names = inspect(connection).get_table_names()
    if OURS.issubset(names):
        return version(connection)
    if names:
        raise Unavailable(
            "database_foreign",
            f"{connection.engine.url.database} holds tables that are not Laurels' ({', '.join(names[:3])}). "
            "Give Laurels a database of its own.",
        )
    return None


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command  # noqa: PLC0415  slow to import, and needed once in a database's life
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "laurels:store/migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise Unavailable(
            "database_newer",
            f"{connection.engine.url.database} has schema {found}, which this version of Laurels does not know (it "
            f"knows {HEAD}). Upgrade Laurels, or open the database with the version that wrote it.",
        )
    command.upgrade(config, "head")
    if connection.scalar(select(facts.c.value).where(facts.c.name == "epoch")) is None:
        connection.execute(facts.insert().values(name="epoch", value=secrets.token_hex(16)))

"""
Empty PostgreSQL databases for tests, made when needed and used again.

Making one copies three hundred files, which on a busy file system takes half a second; deleting the rows that a test
left takes a few milliseconds. So a database that comes back is emptied, unless the test did more to it than write rows.
"""

from __future__ import annotations

import secrets
from itertools import count

import psycopg
from sqlalchemy.engine import make_url

import laurels
from laurels.store.postgres import PostgresStore
from laurels.store.schema import SCHEMA
from laurels.store.tables import metadata

#: Deleted rows stay in the files until somebody vacuums, which nobody does here.
KEPT_BYTES_MAX = 4_000_000

#: What was made in the database (the server's own objects have lower numbers), where it lies and how it is set.
_SHAPE = f"""
SELECT string_agg(concat_ws(' ', oid, relname, relnatts, relfilenode, relhastriggers, reloptions), E'\n' ORDER BY oid),
    (SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting AS setting
     JOIN pg_database ON pg_database.oid = setting.setdatabase WHERE datname = current_database()),
    (SELECT string_agg(version_num, ' ') FROM {SCHEMA}.alembic_version),
    (SELECT string_agg(concat_ws(' ', name, value), ' ' ORDER BY name) FROM {SCHEMA}.facts)
FROM pg_class WHERE oid >= 16384
"""
_BYTES = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 't')"
_TABLES = f"""
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname = '{SCHEMA}' AND tablename NOT IN ('alembic_version', 'facts')
"""
_END_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class PostgresDatabases:
    """Databases on one server, each with our schema and nothing else."""

    def __init__(self, server: str) -> None:
        self._server = make_url(server)
        self._connection = psycopg.connect(server, autocommit=True)
        self._names = (f"laurels_test_{secrets.token_hex(4)}_{number}" for number in count())
        self._made: set[str] = set()
        self._free: list[str] = []
        self._template = self._create("template0")
        PostgresStore(self._template).close()
        with psycopg.connect(self._template) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()
            self._tables = [table for (table,) in connection.execute(_TABLES)]

    def lend(self) -> str:
        """Return the URL of an empty database."""
        return self._free.pop() if self._free else self._create(make_url(self._template).database)

    def take_back(self, url: str) -> None:
        """Empty a database for the next, whoever is still connected to it, or remove it."""
        if self._emptied(url):
            self._free.append(url)
        else:
            self._drop(url)

    def close(self) -> None:
        """Remove all that were made."""
        for url in sorted(self._made):
            self._drop(url)
        self._connection.close()

    def _emptied(self, url: str) -> bool:
        # A test may have set the database to give statements no time.
        with psycopg.connect(url, autocommit=True, options="-c statement_timeout=0") as connection:
            connection.execute(_END_OTHERS)
            used = connection.execute(_BYTES).fetchone()
            if connection.execute(_SHAPE).fetchone() != self._shape or not used or used[0] > KEPT_BYTES_MAX:
                return False
            deletions = "".join(f"DELETE FROM {table};" for table in self._tables)
            connection.execute(f"{deletions} SELECT setval(seqrelid, seqstart, false) FROM pg_sequence")
        return True

    def _create(self, template: str | None) -> str:
        name = next(self._names)
        self._connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        url = self._server.set(database=name).render_as_string(hide_password=False)
        self._made.add(url)
        return url

    def _drop(self, url: str) -> None:
        self._connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")
        self._made.remove(url)


def contents(engine: laurels.Engine) -> dict[str, list[str]]:
    """Return every row of a database, by table."""
    with engine.read() as connection:
        rows = {table.name: sorted(map(repr, connection.execute(table.select()))) for table in metadata.sorted_tables}
    # On PostgreSQL somebody new has a row to lock before there is a document to put into it.
    return rows | {"users": [row for row in rows["users"] if not row.endswith(", '')")]}

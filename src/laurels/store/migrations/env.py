"""Alembic's entry: the connection is handed over by `schema.py`, which holds the write lock and commits."""

from alembic import context

from laurels.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()

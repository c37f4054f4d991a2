"""A request is found by its user, who is its actor: with the user in every unique key, tables can be split by it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the index anew, with the user in the actor's place; on the rows it holds, they are the same."""
    op.drop_index("ux_journal_request", "journal")
    op.create_index(
        "ux_journal_request",
        "journal",
        ["user_id", "request_id"],
        unique=True,
        sqlite_where=sa.text("user_id = actor_id"),
        postgresql_where=sa.text("user_id = actor_id"),
    )

"""Who is told of changes over HTTP, and every message to them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "webhook_endpoints",
        sa.Column("endpoint_id", CODE, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column(
            "types", sa.Text(), nullable=False, comment="JSON: types of changes and patterns of them; none for all"
        ),
        sa.Column("users", sa.Text(), nullable=False, comment="JSON: user ids; none for all"),
        sa.Column("secret", sa.Text(), nullable=False, comment="as it is: messages are signed with it"),
        sa.Column("old_secret", sa.Text(), comment="signs too until old_secret_until"),
        sa.Column("old_secret_until", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), comment="null while messages are sent"),
        sa.Column("disabled_why", CODE, comment="asked, or gone: it answered 410"),
        sa.Column("after", sa.BigInteger(), nullable=False, comment="the journal row after which it is told"),
        sa.Column("dropped", sa.BigInteger(), nullable=False, comment="how many messages a full backlog has cost it"),
        sa.Column("claimed_by", CODE, comment="which process sends to it, until claimed_until"),
        sa.Column("claimed_until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_webhook_endpoints")),
        comment="Who is told of changes over HTTP",
    )
    op.create_table(
        "deliveries",
        sa.Column("endpoint_id", CODE, nullable=False),
        sa.Column(
            "seq",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the journal row that the message is made of",
        ),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False, comment="which of its changes"),
        sa.Column("message_id", CODE, nullable=False, comment="what receivers know the message by"),
        sa.Column("type", CODE, nullable=False, comment="the change's type"),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("status", CODE, nullable=False, comment="pending, delivered, failed or dropped"),
        sa.Column("due_at", sa.BigInteger(), comment="while pending: not to be tried before"),
        sa.Column("tries", sa.Integer(), nullable=False, comment="how many of the schedule's are used up"),
        sa.Column("attempts", sa.Text(), nullable=False, comment="JSON: when, and what came of it"),
        sa.PrimaryKeyConstraint("endpoint_id", "seq", "place", name=op.f("pk_deliveries")),
        comment="A projection of the journal: every message to every endpoint and how it went, but not what it says",
        sqlite_with_rowid=False,
    )
    op.create_index("ux_deliveries_message", "deliveries", ["endpoint_id", "message_id"], unique=True)
    op.create_index(
        "ix_deliveries_pending",
        "deliveries",
        ["endpoint_id", "seq", "place"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )

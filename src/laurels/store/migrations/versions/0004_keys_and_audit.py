"""Keys of programs that call over HTTP, the log of what administrators did, and the achievements that users show."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "api_keys",
        sa.Column("key_id", CODE, nullable=False, comment="the part of a key that may be shown"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the whole key"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), comment="null for never; a rotated key's end of overlap"),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger(), comment="to the minute"),
        sa.Column("replaced_by", CODE, comment="the key that it was rotated into"),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        comment="Who may call: keys are not stored, only what proves them",
    )
    op.create_table(
        "audit_log",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="a key's id, or `cli`"),
        sa.Column("action", CODE, nullable=False, comment="such as key.created"),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False, comment="JSON; never a secret"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_log")),
        sqlite_autoincrement=True,
        comment="Every administrative act",
    )
    op.create_table(
        "showcases",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("achievement", CODE, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "achievement", name=op.f("pk_showcases")),
        comment="Which achievements users show first",
        sqlite_with_rowid=False,
    )

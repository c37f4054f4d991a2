"""A histogram of every ranking's scores, so that a rank counts no rows; boards fill themselves anew to have one."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the counts beside the standings."""
    op.create_table(
        "standing_counts",
        sa.Column("board", CODE, nullable=False),
        sa.Column("period", CODE, nullable=False),
        sa.Column("member_of", CODE, nullable=False),
        sa.Column(
            "level",
            sa.SmallInteger(),
            autoincrement=False,
            nullable=False,
            comment="1 and 2: coarse and fine buckets of scores; 3: single scores",
        ),
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "users", sa.BigInteger(), nullable=False, comment="with a score in this bucket, who opted out included"
        ),
        sa.Column(
            "scores",
            sa.BigInteger(),
            nullable=False,
            comment="different ones in it; 0 on boards that need no such number",
        ),
        sa.PrimaryKeyConstraint("board", "period", "member_of", "level", "bucket", name=op.f("pk_standing_counts")),
        comment="How scores are spread, so that a rank is a sum over buckets; see buckets.py",
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "70"},
    )

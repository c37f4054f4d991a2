"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The ledger: a line for every amount of XP or currency; `line` orders those of one request. See changes.py for the
# arrays.
ENTRIES_SQLITE = """
CREATE VIEW entries AS
SELECT user_id, version, line,
       CASE tag WHEN 'x' THEN 'xp' ELSE change ->> 1 END AS unit,
       CASE WHEN tag = 'x' THEN change ->> 1 WHEN tag IN ('d', 'h') THEN -(change ->> 2) ELSE change ->> 2 END AS
       amount, CASE tag WHEN 'x' THEN change ->> 2 ELSE change ->> 3 END AS balance,
       CASE tag WHEN 'x' THEN change ->> 4 WHEN 'h' THEN 'hold' WHEN 'r' THEN 'release' ELSE change ->> 5 END AS kind,
       CASE WHEN tag = 'x' THEN change ->> 3 WHEN tag IN ('c', 'd') THEN change ->> 4 ELSE '' END AS rule,
       actor_id, request_id, source, reason, time, day, seq
FROM (SELECT j.user_id, j.version, c.key AS line, c.value AS change, c.value ->> 0 AS tag, j.actor_id, j.request_id,
             CASE WHEN j.type LIKE ':%' THEN j.data ->> 'source' END AS source,
             CASE WHEN j.type LIKE ':%' THEN j.data ->> 'reason' END AS reason,
             j.time, j.day, j.seq
      FROM journal AS j, json_each(j.changes) AS c)
WHERE tag IN ('x', 'c', 'd', 'h', 'r')
"""
ENTRIES_POSTGRESQL = """
CREATE VIEW entries AS
SELECT user_id, version, line,
       CASE tag WHEN 'x' THEN 'xp' ELSE change ->> 1 END AS unit,
       CASE WHEN tag = 'x' THEN (change ->> 1)::bigint WHEN tag IN ('d', 'h') THEN -(change ->> 2)::bigint
            ELSE (change ->> 2)::bigint END AS amount,
       CASE tag WHEN 'x' THEN (change ->> 2)::bigint ELSE (change ->> 3)::bigint END AS balance,
       CASE tag WHEN 'x' THEN change ->> 4 WHEN 'h' THEN 'hold' WHEN 'r' THEN 'release' ELSE change ->> 5 END AS kind,
       CASE WHEN tag = 'x' THEN change ->> 3 WHEN tag IN ('c', 'd') THEN change ->> 4 ELSE '' END AS rule,
       actor_id, request_id, source, reason, time, day, seq
FROM (SELECT j.user_id, j.version, c.line - 1 AS line, c.change, c.change ->> 0 AS tag, j.actor_id, j.request_id,
             CASE WHEN j.type LIKE ':%' THEN j.data::json ->> 'source' END AS source,
             CASE WHEN j.type LIKE ':%' THEN j.data::json ->> 'reason' END AS reason,
             j.time, j.day, j.seq
      FROM journal AS j, json_array_elements(j.changes::json) WITH ORDINALITY AS c(change, line)) AS lines
WHERE tag IN ('x', 'c', 'd', 'h', 'r')
"""
BALANCES = """
CREATE VIEW balances AS
SELECT user_id, unit, sum(amount) AS balance, count(*) AS entries FROM entries GROUP BY user_id, unit
"""


def upgrade() -> None:
    """Create every table and view."""
    _create_users()
    _create_journal()
    _create_claims()
    _create_unlocks()
    _create_quest_runs()
    _create_notifications()
    _create_holds()
    _create_achiever_counts()
    _create_profiles()
    _create_standings()
    _create_cursors()
    _create_catalog_revisions()
    _create_facts()
    if op.get_bind().dialect.name == "sqlite":
        op.execute(ENTRIES_SQLITE)
    else:
        # Room in each page keeps new versions of a row beside the old (HOT); out of line a document costs 9 KB of log.
        op.execute("ALTER TABLE users SET (fillfactor = 70)")
        op.execute("ALTER TABLE users ALTER COLUMN state SET STORAGE MAIN")
        op.execute(ENTRIES_POSTGRESQL)
    op.execute(BALANCES)


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
        comment="One row per user: everything deciding needs to know, as one document",
        sqlite_with_rowid=False,
    )


def _create_journal() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    numbered = [] if on_sqlite else [sa.Identity(always=True)]
    key: list[sa.Constraint] = [
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_journal")),
        sa.UniqueConstraint("user_id", "version", name=op.f("uq_journal_user_id")),
    ]
    op.create_table(
        "journal",
        sa.Column("seq", NUMBER, *numbered, autoincrement=True, nullable=False),
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="1, 2, 3 … per user, without gaps"),
        sa.Column("actor_id", CODE, nullable=False),
        sa.Column("request_id", CODE, nullable=False),
        sa.Column("type", CODE, nullable=False, comment="the event's type, or a command's name led by a colon"),
        sa.Column("time", sa.BigInteger(), nullable=False, comment="the request's own time"),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="the catalog revision it was decided under"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False, comment="the user's local day, as of recording"),
        sa.Column("groups", sa.Text(), nullable=True, comment="the user's groups, as of recording"),
        sa.Column("data", sa.Text(), nullable=True, comment="actor's row only: the event's data, or the command"),
        sa.Column(
            "touched",
            sa.Text(),
            nullable=True,
            comment="actor's row only: [user, version] of every other row of the request",
        ),
        sa.Column("changes", sa.Text(), nullable=False, comment="what happened to this user; see changes.py"),
        sa.Column("skipped", sa.Text(), nullable=True, comment="actor's row only: what did not happen, and why"),
        *(key if on_sqlite else key[1:]),
        comment="All requests with what they caused, a row for each user touched",
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ux_journal_request",
        "journal",
        ["actor_id", "request_id"],
        unique=True,
        sqlite_where=sa.text("user_id = actor_id"),
        postgresql_where=sa.text("user_id = actor_id"),
    )
    if not on_sqlite:
        op.create_index("ix_journal_seq", "journal", ["seq"])


def _create_claims() -> None:
    op.create_table(
        "claims",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column(
            "scope",
            CODE,
            nullable=False,
            comment="a rule's id; `:METRIC` for different values; `:source:UNIT` for awards",
        ),
        sa.Column("actor", CODE, nullable=False),
        sa.Column("value", CODE, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "scope", "actor", "value", name=op.f("pk_claims")),
        comment="What counts once and has been counted",
        sqlite_with_rowid=False,
    )


def _create_unlocks() -> None:
    op.create_table(
        "unlocks",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("achievement", CODE, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("unlocked_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="the journal row whose request unlocked it"),
        sa.PrimaryKeyConstraint("user_id", "achievement", "times", name=op.f("pk_unlocks")),
        comment="Every unlock, a row for each time",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_unlocks_achievement", "unlocks", ["achievement", "unlocked_at", "user_id"], unique=False)


def _create_quest_runs() -> None:
    op.create_table(
        "quest_runs",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("quest", CODE, nullable=False),
        sa.Column("period", CODE, nullable=False, comment="the window's key, with #2 and so on for further runs"),
        sa.Column("completed_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True, comment="null while the reward waits for its user"),
        sa.PrimaryKeyConstraint("user_id", "quest", "period", name=op.f("pk_quest_runs")),
        comment="Every quest run that was completed",
        sqlite_with_rowid=False,
    )


def _create_notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("type", CODE, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "number", name=op.f("pk_notifications")),
        comment="Every user's inbox, numbered",
        sqlite_with_rowid=False,
    )


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("hold", CODE, nullable=False),
        sa.Column("currency", CODE, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False, comment="0 for never"),
        sa.Column("ended", CODE, nullable=True, comment="captured, released or expired; null while it is open"),
        sa.PrimaryKeyConstraint("user_id", "hold", name=op.f("pk_holds")),
        comment="Every hold, open and ended",
        sqlite_with_rowid=False,
    )


def _create_achiever_counts() -> None:
    op.create_table(
        "achiever_counts",
        sa.Column("achievement", CODE, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("achievement", name=op.f("pk_achiever_counts")),
        comment="How many places of each limited achievement are taken",
        sqlite_with_rowid=False,
    )


def _create_profiles() -> None:
    op.create_table(
        "profiles",
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("avatar_url", sa.Text(), nullable=True),
        sa.Column("opted_out", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_profiles")),
        comment="What only readers need to know of a user",
    )
    op.create_index(
        "ix_profiles_opted_out",
        "profiles",
        ["user_id"],
        unique=False,
        sqlite_where=sa.text("opted_out = 1"),
        postgresql_where=sa.text("opted_out = 1"),
    )


def _create_standings() -> None:
    op.create_table(
        "standings",
        sa.Column("board", CODE, nullable=False),
        sa.Column("period", CODE, nullable=False, comment="the period's key, such as 2026-W47, or all"),
        sa.Column(
            "member_of", CODE, nullable=False, comment="the value of the board's group; empty for boards without"
        ),
        sa.Column("user_id", CODE, nullable=False),
        sa.Column("score", sa.BigInteger(), nullable=False),
        sa.Column("reached_at", sa.BigInteger(), nullable=False, comment="0 on boards whose ties are not broken by it"),
        sa.PrimaryKeyConstraint("board", "period", "member_of", "user_id", name=op.f("pk_standings")),
        comment="A projection of the journal: every score on every board",
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_standings_rank",
        "standings",
        ["board", "period", "member_of", sa.literal_column("score DESC"), "reached_at", "user_id"],
        unique=False,
    )


def _create_cursors() -> None:
    op.create_table(
        "cursors",
        sa.Column("projection", CODE, nullable=False),
        sa.Column(
            "definition", sa.Text(), nullable=False, comment="what it projects; when that changes it starts anew"
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="the last journal row it holds"),
        sa.PrimaryKeyConstraint("projection", name=op.f("pk_cursors")),
    )


def _create_catalog_revisions() -> None:
    op.create_table(
        "catalog_revisions",
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="canonical JSON"),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_catalog_revisions")),
        comment="Every catalog that was ever current",
    )


def _create_facts() -> None:
    op.create_table(
        "facts",
        sa.Column("name", CODE, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
        comment="What the database knows of itself, such as its epoch",
    )

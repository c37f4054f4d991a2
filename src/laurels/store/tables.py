"""
The tables, shared by SQLite and PostgreSQL.

An ordinary event writes two rows: the user's state, and the journal's row. What is rare has rows of its own, written
in the same transaction; `entries` and `balances` are views of the journal; `standings` is a projection of it. Every
table of users has `user_id` in every unique key, so that it can be split by user. Times are instants (µs), days labels
counted from 1970-01-01, documents JSON text. Ids and codes are compared by bytes: SQLite does so anyway, PostgreSQL is
told to.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import PrimaryKeyConstraint

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

#: Text compared by bytes.
Code = String().with_variant(String(collation="C"), "postgresql")
#: A sequence number or instant; SQLite numbers rows by itself only in a column that is called INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

users = Table(
    "users",
    metadata,
    Column("user_id", Code, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    sqlite_with_rowid=False,
    comment="One row per user: everything deciding needs to know, as one document",
)

journal = Table(
    "journal",
    metadata,
    # On PostgreSQL only an index: there user and version are the key.
    Column("seq", Number, primary_key=True, autoincrement=True),
    Column("user_id", Code, nullable=False),
    Column("version", BigInteger, nullable=False, comment="1, 2, 3 … per user, without gaps"),
    Column("actor_id", Code, nullable=False),
    Column("request_id", Code, nullable=False),
    Column("type", Code, nullable=False, comment="the event's type, or a command's name led by a colon"),
    Column("time", BigInteger, nullable=False, comment="the request's own time"),
    Column("recorded_at", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False, comment="the catalog revision it was decided under"),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("day", Integer, nullable=False, comment="the user's local day, as of recording"),
    Column("groups", Text, comment="the user's groups, as of recording"),
    Column("data", Text, comment="actor's row only: the event's data, or the command"),
    Column("touched", Text, comment="actor's row only: [user, version] of every other row of the request"),
    Column("changes", Text, nullable=False, comment="what happened to this user; see changes.py"),
    Column("skipped", Text, comment="actor's row only: what did not happen, and why"),
    UniqueConstraint("user_id", "version"),
    sqlite_autoincrement=True,
    comment="All requests with what they caused, a row for each user touched",
)
Index(
    "ux_journal_request",
    journal.c.user_id,
    journal.c.request_id,
    unique=True,
    sqlite_where=journal.c.user_id == journal.c.actor_id,
    postgresql_where=journal.c.user_id == journal.c.actor_id,
)

claims = Table(
    "claims",
    metadata,
    Column("user_id", Code),
    Column("scope", Code, comment="a rule's id; `:METRIC` for different values; `:source:UNIT` for awards"),
    Column("actor", Code),
    Column("value", Code),
    PrimaryKeyConstraint("user_id", "scope", "actor", "value"),
    sqlite_with_rowid=False,
    comment="What counts once and has been counted",
)

unlocks = Table(
    "unlocks",
    metadata,
    Column("user_id", Code),
    Column("achievement", Code),
    Column("times", Integer),
    Column("unlocked_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, comment="the journal row whose request unlocked it"),
    PrimaryKeyConstraint("user_id", "achievement", "times"),
    Index("ix_unlocks_achievement", "achievement", "unlocked_at", "user_id"),
    sqlite_with_rowid=False,
    comment="Every unlock, a row for each time",
)

quest_runs = Table(
    "quest_runs",
    metadata,
    Column("user_id", Code),
    Column("quest", Code),
    Column("period", Code, comment="the window's key, with #2 and so on for further runs"),
    Column("completed_at", BigInteger, nullable=False),
    Column("claimed_at", BigInteger, comment="null while the reward waits for its user"),
    PrimaryKeyConstraint("user_id", "quest", "period"),
    sqlite_with_rowid=False,
    comment="Every quest run that was completed",
)

notifications = Table(
    "notifications",
    metadata,
    Column("user_id", Code),
    Column("number", Integer),
    Column("type", Code, nullable=False),
    Column("title", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("read_at", BigInteger),
    PrimaryKeyConstraint("user_id", "number"),
    sqlite_with_rowid=False,
    comment="Every user's inbox, numbered",
)

holds = Table(
    "holds",
    metadata,
    Column("user_id", Code),
    Column("hold", Code),
    Column("currency", Code, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, comment="0 for never"),
    Column("ended", Code, comment="captured, released or expired; null while it is open"),
    PrimaryKeyConstraint("user_id", "hold"),
    sqlite_with_rowid=False,
    comment="Every hold, open and ended",
)

achiever_counts = Table(
    "achiever_counts",
    metadata,
    Column("achievement", Code, primary_key=True),
    Column("taken", Integer, nullable=False),
    sqlite_with_rowid=False,
    comment="How many places of each limited achievement are taken",
)

profiles = Table(
    "profiles",
    metadata,
    Column("user_id", Code, primary_key=True),
    Column("display_name", Text),
    Column("avatar_url", Text),
    Column("opted_out", SmallInteger, nullable=False),
    comment="What only readers need to know of a user",
)
Index(
    "ix_profiles_opted_out",
    profiles.c.user_id,
    sqlite_where=profiles.c.opted_out == 1,
    postgresql_where=profiles.c.opted_out == 1,
)

standings = Table(
    "standings",
    metadata,
    Column("board", Code),
    Column("period", Code, comment="the period's key, such as 2026-W47, or all"),
    Column("member_of", Code, comment="the value of the board's group; empty for boards without"),
    Column("user_id", Code),
    Column("score", BigInteger, nullable=False),
    Column("reached_at", BigInteger, nullable=False, comment="0 on boards whose ties are not broken by it"),
    PrimaryKeyConstraint("board", "period", "member_of", "user_id"),
    sqlite_with_rowid=False,
    comment="A projection of the journal: every score on every board",
)
Index(
    "ix_standings_rank",
    standings.c.board,
    standings.c.period,
    standings.c.member_of,
    standings.c.score.desc(),
    standings.c.reached_at,
    standings.c.user_id,
)

standing_counts = Table(
    "standing_counts",
    metadata,
    Column("board", Code),
    Column("period", Code),
    Column("member_of", Code),
    Column(
        "level",
        SmallInteger,
        autoincrement=False,
        comment="1 and 2: coarse and fine buckets of scores; 3: single scores",
    ),
    Column("bucket", BigInteger, autoincrement=False),
    Column("users", BigInteger, nullable=False, comment="with a score in this bucket, who opted out included"),
    Column("scores", BigInteger, nullable=False, comment="different ones in it; 0 on boards that need no such number"),
    PrimaryKeyConstraint("board", "period", "member_of", "level", "bucket"),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "70"},
    comment="How scores are spread, so that a rank is a sum over buckets; see buckets.py",
)

cursors = Table(
    "cursors",
    metadata,
    Column("projection", Code, primary_key=True),
    Column("definition", Text, nullable=False, comment="what it projects; when that changes it starts anew"),
    Column("seq", BigInteger, nullable=False, comment="the last journal row it holds"),
)

catalog_revisions = Table(
    "catalog_revisions",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False, comment="canonical JSON"),
    Column("applied_at", BigInteger, nullable=False),
    comment="Every catalog that was ever current",
)

facts = Table(
    "facts",
    metadata,
    Column("name", Code, primary_key=True),
    Column("value", Text, nullable=False),
    comment="What the database knows of itself, such as its epoch",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Code, primary_key=True, comment="the part of a key that may be shown"),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False, comment="JSON"),
    Column("secret_hash", LargeBinary, nullable=False, comment="SHA-256 of the whole key"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, comment="null for never; a rotated key's end of overlap"),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger, comment="to the minute"),
    Column("replaced_by", Code, comment="the key that it was rotated into"),
    comment="Who may call: keys are not stored, only what proves them",
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, comment="a key's id, or `cli`"),
    Column("action", Code, nullable=False, comment="such as key.created"),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False, comment="JSON; never a secret"),
    sqlite_autoincrement=True,
    comment="Every administrative act",
)

showcases = Table(
    "showcases",
    metadata,
    Column("user_id", Code),
    Column("achievement", Code),
    Column("place", Integer, nullable=False),
    PrimaryKeyConstraint("user_id", "achievement"),
    sqlite_with_rowid=False,
    comment="Which achievements users show first",
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("endpoint_id", Code, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("types", Text, nullable=False, comment="JSON: types of changes and patterns of them; none for all"),
    Column("users", Text, nullable=False, comment="JSON: user ids; none for all"),
    Column("secret", Text, nullable=False, comment="as it is: messages are signed with it"),
    Column("old_secret", Text, comment="signs too until old_secret_until"),
    Column("old_secret_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger, comment="null while messages are sent"),
    Column("disabled_why", Code, comment="asked, or gone: it answered 410"),
    Column("after", BigInteger, nullable=False, comment="the journal row after which it is told"),
    Column("dropped", BigInteger, nullable=False, comment="how many messages a full backlog has cost it"),
    Column("claimed_by", Code, comment="which process sends to it, until claimed_until"),
    Column("claimed_until", BigInteger),
    comment="Who is told of changes over HTTP",
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("endpoint_id", Code),
    Column("seq", BigInteger, autoincrement=False, comment="the journal row that the message is made of"),
    Column("place", Integer, autoincrement=False, comment="which of its changes"),
    Column("message_id", Code, nullable=False, comment="what receivers know the message by"),
    Column("type", Code, nullable=False, comment="the change's type"),
    Column("recorded_at", BigInteger, nullable=False),
    Column("status", Code, nullable=False, comment="pending, delivered, failed or dropped"),
    Column("due_at", BigInteger, comment="while pending: not to be tried before"),
    Column("tries", Integer, nullable=False, comment="how many of the schedule's are used up"),
    Column("attempts", Text, nullable=False, comment="JSON: when, and what came of it"),
    PrimaryKeyConstraint("endpoint_id", "seq", "place"),
    Index("ux_deliveries_message", "endpoint_id", "message_id", unique=True),
    sqlite_with_rowid=False,
    comment="A projection of the journal: every message to every endpoint and how it went, but not what it says",
)
Index(
    "ix_deliveries_pending",
    deliveries.c.endpoint_id,
    deliveries.c.seq,
    deliveries.c.place,
    sqlite_where=deliveries.c.due_at.is_not(None),
    postgresql_where=deliveries.c.due_at.is_not(None),
)

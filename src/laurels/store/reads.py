"""What readers ask of the tables, the same on every database. Each function is one question on an open connection."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import BigInteger, Integer, Text, case, column, func, select, table, tuple_

from laurels.core.changes import Change, Outcome, QuestLeft, Skip, addressed
from laurels.core.notifications import Notification
from laurels.core.periods import to_datetime
from laurels.core.state import QuestRun, UserState
from laurels.store.tables import (
    catalog_revisions,
    journal,
    notifications,
    profiles,
    quest_runs,
    showcases,
    unlocks,
    users,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    from laurels.core.periods import Instant

_decode_changes = msgspec.json.Decoder(list[Change]).decode
_decode_skips = msgspec.json.Decoder(tuple[Skip, ...]).decode
_decode_touched = msgspec.json.Decoder(list[tuple[str, int]]).decode
_decode_state = msgspec.json.Decoder(UserState).decode

#: On PostgreSQL a new user's row is made before the first request is decided, and empty until that is committed.
EXISTS = users.c.state != ""

entries = table(
    "entries",
    column("user_id", Text),
    column("version", BigInteger),
    column("line", Integer),
    column("unit", Text),
    column("amount", BigInteger),
    column("balance", BigInteger),
    column("kind", Text),
    column("rule", Text),
    column("actor_id", Text),
    column("request_id", Text),
    column("source", Text),
    column("reason", Text),
    column("time", BigInteger),
    column("day", Integer),
    column("seq", BigInteger),
)


class _Metrics(msgspec.Struct, array_like=True):
    """The beginning of a user's state, as much as a level takes; what follows is passed over."""

    version: int
    latest_at: int
    metrics: dict[str, int]


_decode_metrics = msgspec.json.Decoder(_Metrics).decode


class StoredProfile(msgspec.Struct, frozen=True):
    """What only readers need to know of a user."""

    display_name: str | None = None
    avatar_url: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a user's ledger: an amount of XP or currency and the balance after it."""

    unit: str
    amount: int
    balance: int
    kind: str
    rule: str
    actor_id: str
    request_id: str
    source: str | None
    reason: str | None
    time: datetime
    version: int
    line: int

    @property
    def position(self) -> tuple[int, int]:
        """Where it stands in its user's ledger: later entries are greater."""
        return self.version, self.line


class StoredUnlock(msgspec.Struct, frozen=True):
    """An unlock: which achievement, for the how manieth time, and when its cause happened."""

    user_id: str
    achievement: str
    times: int
    unlocked_at: Instant


class StoredRun(msgspec.Struct, frozen=True):
    """A quest run that was completed."""

    quest: str
    period: str
    completed_at: Instant
    claimed_at: Instant | None


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    A recorded request: when it happened, when and under which catalog it was decided.

    `data` of a command is all of it.
    """

    type: str
    time: datetime
    recorded_at: datetime
    revision: int
    data: dict[str, Any] | None


class Revision(msgspec.Struct, frozen=True):
    """A catalog revision: its number and its canonical text."""

    revision: int
    source: str


def state(connection: Connection, user_id: str) -> UserState | None:
    """Return a user's state, or None for an unknown user."""
    document = connection.scalar(select(users.c.state).where(users.c.user_id == user_id))
    return _decode_state(document) if document else None


def states(connection: Connection, user_ids: Collection[str]) -> Mapping[str, UserState]:
    """Return the states of those users that exist."""
    rows = connection.execute(select(users.c.user_id, users.c.state).where(users.c.user_id.in_(user_ids), EXISTS))
    return {user_id: _decode_state(document) for user_id, document in rows}


def stored_profile(connection: Connection, user_id: str) -> StoredProfile:
    """Return what is set of a user's name and picture."""
    query = select(profiles.c.display_name, profiles.c.avatar_url).where(profiles.c.user_id == user_id)
    row = connection.execute(query).one_or_none()
    return StoredProfile(*row) if row is not None else StoredProfile()


def stored_profiles(connection: Connection, user_ids: Collection[str]) -> Mapping[str, StoredProfile]:
    """Return what is set of each of these users' names and pictures, also where that is nothing."""
    columns = (profiles.c.user_id, profiles.c.display_name, profiles.c.avatar_url)
    rows = connection.execute(select(*columns).where(profiles.c.user_id.in_(user_ids)))
    found = {user_id: StoredProfile(name, avatar) for user_id, name, avatar in rows}
    return {user_id: found.get(user_id, StoredProfile()) for user_id in user_ids}


def display_names(connection: Connection, user_ids: Collection[str]) -> Mapping[str, str | None]:
    """Return the names of those users that have set one."""
    query = select(profiles.c.user_id, profiles.c.display_name).where(profiles.c.user_id.in_(user_ids))
    return {row.user_id: row.display_name for row in connection.execute(query)}


def names_and_levels(connection: Connection, user_ids: Collection[str]) -> Mapping[str, tuple[str | None, int]]:
    """Return the names and levels of those users that exist."""
    query = select(users.c.user_id, profiles.c.display_name, users.c.state).where(users.c.user_id.in_(user_ids), EXISTS)
    rows = connection.execute(query.outerjoin(profiles, profiles.c.user_id == users.c.user_id))
    return {user_id: (name, _decode_metrics(document).metrics.get("level", 1)) for user_id, name, document in rows}


def user_ids(connection: Connection, *, after: str = "", containing: str = "", limit: int) -> Sequence[str]:
    """Return ids in order, from the one after `after` on; `containing` also looks at display names."""
    query = select(users.c.user_id).where(users.c.user_id > after, EXISTS).order_by(users.c.user_id).limit(limit)
    if containing:
        pattern = "%" + containing.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = query.outerjoin(profiles, profiles.c.user_id == users.c.user_id).where(
            users.c.user_id.ilike(pattern, escape="\\") | profiles.c.display_name.ilike(pattern, escape="\\")
        )
    return connection.scalars(query).all()


def user_count(connection: Connection) -> int:
    """Return how many users there are."""
    return connection.scalar(select(func.count()).select_from(users).where(EXISTS)) or 0


def ledger(
    connection: Connection,
    user_id: str,
    *,
    unit: str | None = None,
    before: tuple[int, int] | None = None,
    limit: int,
) -> list[Entry]:
    """Return a user's entries, newest first; `before` is the position from which on they were read already."""
    query = select(entries).where(entries.c.user_id == user_id)
    if unit is not None:
        query = query.where(entries.c.unit == unit)
    if before is not None:
        query = query.where(tuple_(entries.c.version, entries.c.line) < before)
    rows = connection.execute(query.order_by(entries.c.version.desc(), entries.c.line.desc()).limit(limit)).mappings()
    return [_entry(row) for row in rows]


def unlocks_of(connection: Connection, user_id: str) -> list[StoredUnlock]:
    """Return a user's unlocks, oldest first."""
    query = _unlock_columns().where(unlocks.c.user_id == user_id)
    order = (unlocks.c.unlocked_at, unlocks.c.version, unlocks.c.achievement, unlocks.c.times)
    return [StoredUnlock(*row) for row in connection.execute(query.order_by(*order))]


def quest_runs_of(connection: Connection, user_id: str) -> list[StoredRun]:
    """Return a user's completed quest runs, by quest and period."""
    columns = (quest_runs.c.quest, quest_runs.c.period, quest_runs.c.completed_at, quest_runs.c.claimed_at)
    query = select(*columns).where(quest_runs.c.user_id == user_id).order_by(quest_runs.c.quest, quest_runs.c.period)
    return [StoredRun(*row) for row in connection.execute(query)]


def quest_runs_left(connection: Connection, user_id: str) -> dict[tuple[str, int], QuestRun]:
    """Return, by quest and window, the runs that a user never completed in windows before the newest."""
    left = journal.c.changes.like('%["q",%')
    query = select(journal.c.changes).where(journal.c.user_id == user_id, left).order_by(journal.c.version)
    return {
        (change.quest, change.run.label): change.run
        for changes in connection.scalars(query)
        for change in _decode_changes(changes)
        if isinstance(change, QuestLeft)
    }


def notifications_of(
    connection: Connection, user_id: str, *, unread: bool = False, before: int | None = None, limit: int
) -> list[Notification]:
    """Return a user's notifications, newest first; `before` is the number from which on they were read already."""
    query = select(notifications).where(notifications.c.user_id == user_id)
    if unread:
        query = query.where(notifications.c.read_at.is_(None))
    if before is not None:
        query = query.where(notifications.c.number < before)
    rows = connection.execute(query.order_by(notifications.c.number.desc()).limit(limit)).mappings()
    return [
        Notification(
            number=row["number"],
            type=row["type"],
            title=row["title"],
            message=row["message"],
            image=row["image"],
            data=msgspec.json.decode(row["data"]),
            created_at=to_datetime(row["created_at"]),
            read_at=None if row["read_at"] is None else to_datetime(row["read_at"]),
        )
        for row in rows
    ]


def changes_of(connection: Connection, user_id: str) -> Iterator[tuple[Instant, list[Change]]]:
    """Yield the own times and changes of a user's whole journal, in order of version."""
    query = select(journal.c.time, journal.c.changes).where(journal.c.user_id == user_id).order_by(journal.c.version)
    return ((at, _decode_changes(changes)) for at, changes in connection.execute(query))


def request_of(connection: Connection, user_id: str, request_id: str) -> StoredRequest | None:
    """Return what a request of a user was, None for one that is not in the journal."""
    columns = (journal.c.type, journal.c.time, journal.c.recorded_at, journal.c.revision, journal.c.data)
    query = select(*columns).where(
        journal.c.actor_id == user_id, journal.c.request_id == request_id, journal.c.user_id == user_id
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return StoredRequest(
        type=row.type,
        time=to_datetime(row.time),
        recorded_at=to_datetime(row.recorded_at),
        revision=row.revision,
        data=None if row.data is None else msgspec.json.decode(row.data),
    )


def outcome_of(connection: Connection, user_id: str, request_id: str) -> Outcome | None:
    """Return what a request caused, for everyone it touched; None for one that is not in the journal."""
    columns = (journal.c.touched, journal.c.changes, journal.c.skipped)
    query = select(*columns).where(
        journal.c.actor_id == user_id, journal.c.request_id == request_id, journal.c.user_id == user_id
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    shown = addressed(user_id, _decode_changes(row.changes))
    for other, version in _decode_touched(row.touched) if row.touched else ():
        theirs = select(journal.c.changes).where(journal.c.user_id == other, journal.c.version == version)
        for changes in connection.scalars(theirs):
            shown += addressed(other, _decode_changes(changes))
    return Outcome(
        user_id=user_id,
        event_id=request_id,
        status="applied",
        changes=tuple(shown),
        skipped=_decode_skips(row.skipped) if row.skipped else (),
    )


def requests_by_type(connection: Connection, user_id: str) -> list[tuple[str, int, Instant, Instant]]:
    """Return, by type, how many requests a user made, and the own times of the earliest and the latest."""
    c = journal.c
    query = select(c.type, func.count(), func.min(c.time), func.max(c.time)).group_by(c.type).order_by(c.type)
    return [(*row,) for row in connection.execute(query.where(c.user_id == user_id, c.actor_id == user_id))]


def active_day_count(connection: Connection, user_id: str) -> int:
    """Return on how many days a user did something."""
    c = journal.c
    query = select(func.count(c.day.distinct())).where(c.user_id == user_id, c.actor_id == user_id)
    return connection.scalar(query) or 0


def days_of(connection: Connection, user_id: str, *, before: int | None, limit: int) -> list[tuple[int, int]]:
    """Return the days with anything in a user's journal, the latest first, and how many of their requests each has."""
    c = journal.c
    own = func.sum(case((c.actor_id == user_id, 1), else_=0))
    query = select(c.day, own).where(c.user_id == user_id).group_by(c.day).order_by(c.day.desc()).limit(limit)
    if before is not None:
        query = query.where(c.day < before)
    return [(day, int(count)) for day, count in connection.execute(query)]


def totals_of(connection: Connection, user_id: str, *, first: int, last: int) -> dict[tuple[int, str], int]:
    """Return by day and unit what a user's entries of some days add up to."""
    c = entries.c
    query = select(c.day, c.unit, func.sum(c.amount)).where(c.user_id == user_id, c.day >= first, c.day <= last)
    return {(day, unit): int(total) for day, unit, total in connection.execute(query.group_by(c.day, c.unit))}


def showcased(connection: Connection, user_id: str) -> dict[str, int]:
    """Return the achievements that a user shows first, and their places."""
    query = select(showcases.c.achievement, showcases.c.place).where(showcases.c.user_id == user_id)
    return {row.achievement: row.place for row in connection.execute(query)}


def unlockers(
    connection: Connection, achievement: str, *, after: tuple[Instant, str] | None, limit: int
) -> list[StoredUnlock]:
    """Return who unlocked an achievement for the first time, the earliest first; who opted out is left out."""
    c = unlocks.c
    opted_out = select(profiles.c.user_id).where(profiles.c.opted_out == 1)
    query = _unlock_columns().where(c.achievement == achievement, c.times == 1, c.user_id.not_in(opted_out))
    if after is not None:
        query = query.where(tuple_(c.unlocked_at, c.user_id) > after)
    return [StoredUnlock(*row) for row in connection.execute(query.order_by(c.unlocked_at, c.user_id).limit(limit))]


def current_revision(connection: Connection) -> Revision | None:
    """Return the newest catalog revision, or None where none was ever applied."""
    columns = (catalog_revisions.c.revision, catalog_revisions.c.source)
    query = select(*columns).order_by(catalog_revisions.c.revision.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Revision(*row)


def current_revision_number(connection: Connection) -> int:
    """Return the number of the newest catalog revision, 0 where none was ever applied."""
    return connection.scalar(select(func.max(catalog_revisions.c.revision))) or 0


def revision_of(connection: Connection, source: str) -> int | None:
    """Return the newest revision that has this very content, or None if it was never one."""
    query = select(func.max(catalog_revisions.c.revision)).where(catalog_revisions.c.source == source)
    revision: int | None = connection.scalar(query)
    return revision


def _entry(row: RowMapping) -> Entry:
    fields = {name: row[name] for name in Entry.__struct_fields__}
    return Entry(**{**fields, "time": to_datetime(row["time"])})


def _unlock_columns() -> Any:
    return select(unlocks.c.user_id, unlocks.c.achievement, unlocks.c.times, unlocks.c.unlocked_at)

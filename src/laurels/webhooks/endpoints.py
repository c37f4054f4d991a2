"""
Endpoints: who is told of changes, of which, and by what secret they know that it is us.

Secrets are stored as they are, since every message is signed with them. They are shown when they are made and never
again.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypedDict, get_args
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Row, delete, func, select, text, update

from laurels.audit import note
from laurels.core.changes import Change
from laurels.core.errors import InvalidInput, Unknown
from laurels.core.nearest import unknown
from laurels.core.periods import to_datetime
from laurels.core.requests import check_id, check_text, is_id
from laurels.store.tables import deliveries, journal, webhook_endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy import Connection

    from laurels.engine import Engine
    from laurels.webhooks.addresses import Addresses

SECRET_PREFIX = "whsec_"  # noqa: S105  of the standard
SECRET_BYTES = 32
ID_BYTES = 9
OVERLAP_S_MAX = 90 * 86_400
DESCRIPTION_CHARACTERS_MAX = 500
#: Filters are looked at for every change.
TYPES_MAX, USERS_MAX = 100, 1_000

#: Everything that a webhook can tell of.
CHANGE_TYPES: tuple[str, ...] = tuple(change.type for change in get_args(Change) if change.type)
_GROUPS = tuple(sorted({kind.partition(".")[0] for kind in CHANGE_TYPES}))
PATTERNS = (*CHANGE_TYPES, *(f"{group}.*" for group in _GROUPS))

_LAST_DRAWN = text("SELECT pg_sequence_last_value(pg_get_serial_sequence('journal', 'seq')::regclass)")
_table = webhook_endpoints.c


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who is told of changes. No types, or no users, means all of them.

    `waiting` is how many messages are not delivered yet, `dropped` how many were lost to a backlog that was full.
    `disabled_why` is `asked`, or `gone` where it answered 410. Until `old_secret_until` the secret before signs too.
    """

    id: str
    url: str
    description: str
    types: tuple[str, ...]
    users: tuple[str, ...]
    enabled: bool
    disabled_why: Literal["asked", "gone"] | None
    created_at: datetime
    old_secret_until: datetime | None
    waiting: int
    dropped: int


class EndpointWithSecret(Endpoint, frozen=True, kw_only=True):
    """An endpoint whose secret was just made; it is shown this once."""

    secret: str


class EndpointSettings(TypedDict, total=False):
    """What of an endpoint can be set."""

    url: str
    description: str
    types: Sequence[str]
    users: Sequence[str]
    enabled: bool


class Listener(msgspec.Struct, frozen=True):
    """What telling an endpoint of changes needs to know."""

    endpoint_id: str
    types: frozenset[str]
    users: frozenset[str]
    after: int

    def wants(self, change_type: str, user_id: str) -> bool:
        """Whether it asked for changes of this type and user."""
        if self.users and user_id not in self.users:
            return False
        return not self.types or change_type in self.types or f"{change_type.partition('.')[0]}.*" in self.types


def create(
    engine: Engine,
    addresses: Addresses,
    url: str,
    *,
    actor: str,
    types: Sequence[str] = (),
    users: Sequence[str] = (),
    description: str = "",
) -> EndpointWithSecret:
    """
    Make an endpoint, which is told of what is recorded from now on.

    Raises InvalidInput for a URL that webhooks do not go to, and for types that no change has.
    """
    settings: EndpointSettings = {"url": url, "types": types, "users": users, "description": description}
    values = _checked(addresses, settings)
    endpoint_id, secret, now = f"wh_{secrets.token_hex(ID_BYTES)}", _new_secret(), engine.now()
    with engine.write() as transaction:
        connection = transaction.connection
        connection.execute(
            webhook_endpoints.insert().values(
                endpoint_id=endpoint_id,
                secret=secret,
                created_at=now,
                after=_last_drawn(connection),
                dropped=0,
                **values,
            )
        )
        note(connection, now, actor, "webhook.created", endpoint_id, _noted(settings))
        return _with_secret(_endpoint(_row(connection, endpoint_id), 0), secret)


def every(engine: Engine) -> list[Endpoint]:
    """Return all endpoints, the oldest first."""
    waiting = select(deliveries.c.endpoint_id, func.count()).where(deliveries.c.due_at.is_not(None))
    with engine.read() as connection:
        counts = {row[0]: row[1] for row in connection.execute(waiting.group_by(deliveries.c.endpoint_id))}
        rows = connection.execute(select(webhook_endpoints).order_by(_table.created_at, _table.endpoint_id))
        return [_endpoint(row, counts.get(row.endpoint_id, 0)) for row in rows]


def one(engine: Engine, endpoint_id: str) -> Endpoint:
    """Return an endpoint. Raises Unknown `unknown_webhook`."""
    with engine.read() as connection:
        return _endpoint(_row(connection, endpoint_id), waiting(connection, endpoint_id))


def change(
    engine: Engine, addresses: Addresses, endpoint_id: str, settings: EndpointSettings, *, actor: str
) -> Endpoint:
    """
    Change what is given of `url`, `types`, `users`, `description` and `enabled`, from what is told next on.

    One that is enabled again, or given another URL, is sent at once what waits for it. What was recorded while it was
    not enabled it is not told of. Raises as `create` does, and Unknown.
    """
    values = _checked(addresses, settings)
    with engine.write() as transaction:
        connection, now = transaction.connection, engine.now()
        before = held(connection, endpoint_id)
        enabled = settings.get("enabled")
        if enabled is True and before.disabled_at is not None:
            values |= {"disabled_at": None, "disabled_why": None, "after": _last_drawn(connection)}
        elif enabled is False and before.disabled_at is None:
            values |= {"disabled_at": now, "disabled_why": "asked"}
        if values:
            connection.execute(update(webhook_endpoints).where(_table.endpoint_id == endpoint_id).values(values))
            note(connection, now, actor, "webhook.changed", endpoint_id, _noted(settings))
        if "url" in values or "after" in values:  # What went wrong before says nothing about what is there now.
            mine = (deliveries.c.endpoint_id == endpoint_id, deliveries.c.due_at > now)
            connection.execute(update(deliveries).where(*mine).values(due_at=now, tries=0))
        return _endpoint(_row(connection, endpoint_id), waiting(connection, endpoint_id))


def remove(engine: Engine, endpoint_id: str, *, actor: str) -> Endpoint:
    """Remove an endpoint and all that waits for it; return what it was. Raises Unknown."""
    with engine.write() as transaction:
        connection = transaction.connection
        removed = _endpoint(held(connection, endpoint_id), waiting(connection, endpoint_id))
        connection.execute(delete(deliveries).where(deliveries.c.endpoint_id == endpoint_id))
        connection.execute(delete(webhook_endpoints).where(_table.endpoint_id == endpoint_id))
        note(connection, engine.now(), actor, "webhook.removed", endpoint_id, _noted({"url": removed.url}))
    return removed


def rotate_secret(engine: Engine, endpoint_id: str, *, overlap_s: int, actor: str) -> EndpointWithSecret:
    """Give an endpoint a new secret; for `overlap_s` seconds the one before signs too. Raises Unknown."""
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        raise InvalidInput("invalid_overlap", f"The overlap is 0 to {OVERLAP_S_MAX} seconds.", "overlap_s")
    with engine.write() as transaction:
        connection, now, secret = transaction.connection, engine.now(), _new_secret()
        before = held(connection, endpoint_id)
        values = {"secret": secret, "old_secret": before.secret, "old_secret_until": now + overlap_s * 1_000_000}
        connection.execute(update(webhook_endpoints).where(_table.endpoint_id == endpoint_id).values(values))
        note(connection, now, actor, "webhook.secret_rotated", endpoint_id, {"overlap_s": overlap_s})
        return _with_secret(_endpoint(_row(connection, endpoint_id), waiting(connection, endpoint_id)), secret)


def listeners(connection: Connection) -> list[Listener]:
    """Return those who are to be told of changes now."""
    query = select(_table.endpoint_id, _table.types, _table.users, _table.after).where(_table.disabled_at.is_(None))
    return [
        Listener(
            row.endpoint_id,
            frozenset(msgspec.json.decode(row.types)),
            frozenset(msgspec.json.decode(row.users)),
            row.after,
        )
        for row in connection.execute(query.order_by(_table.endpoint_id))
    ]


def waiting(connection: Connection, endpoint_id: str) -> int:
    """Return how many messages wait to be delivered to an endpoint."""
    query = select(func.count()).where(deliveries.c.endpoint_id == endpoint_id, deliveries.c.due_at.is_not(None))
    return connection.scalar(query) or 0


def held(connection: Connection, endpoint_id: str) -> Row[Any]:
    """Return an endpoint's row, which nobody else changes until the transaction ends. Raises Unknown."""
    return _row(connection, endpoint_id, held=True)


def _row(connection: Connection, endpoint_id: str, *, held: bool = False) -> Row[Any]:
    query = select(webhook_endpoints).where(_table.endpoint_id == endpoint_id)
    row = None
    if is_id(endpoint_id):  # Not every text can be asked for.
        row = connection.execute(query.with_for_update() if held else query).one_or_none()
    if row is None:
        raise Unknown("unknown_webhook", f"There is no webhook {endpoint_id!r:.80}.")
    return row


def _checked(addresses: Addresses, settings: EndpointSettings) -> dict[str, object]:
    """Return the settings that are given as they are stored. Raises InvalidInput for what cannot be."""
    values: dict[str, object] = {}
    if "url" in settings:
        addresses.check(settings["url"])
        values["url"] = settings["url"]
    if settings.get("description"):
        check_text(settings["description"], "description", DESCRIPTION_CHARACTERS_MAX)
    if "description" in settings:
        values["description"] = settings["description"]
    if "types" in settings:
        for place, pattern in enumerate(settings["types"]):
            if pattern not in PATTERNS:
                raise InvalidInput("unknown_type", unknown("type of change", pattern, PATTERNS), f"types[{place}]")
        values["types"] = msgspec.json.encode(list(dict.fromkeys(settings["types"]))).decode()
    if "users" in settings:
        for place, user_id in enumerate(settings["users"]):
            check_id(user_id, f"users[{place}]")
        values["users"] = msgspec.json.encode(list(dict.fromkeys(settings["users"]))).decode()
    return values


def _noted(settings: EndpointSettings) -> dict[str, object]:
    """Return what the audit log says of settings: of a URL the host, as the rest may be a secret of the receiver's."""
    noted: dict[str, object] = {name: value for name, value in settings.items() if name in {"types", "enabled"}}
    if "url" in settings:
        noted["host"] = urlsplit(settings["url"]).netloc
    if "users" in settings:
        noted["users"] = len(settings["users"])
    return noted


def _last_drawn(connection: Connection) -> int:
    """Return a place in the journal before everything that is recorded later."""
    query = _LAST_DRAWN if connection.dialect.name == "postgresql" else select(func.max(journal.c.seq))
    return connection.scalar(query) or 0


def _new_secret() -> str:
    return SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _endpoint(row: Row[Any], waiting: int) -> Endpoint:
    return Endpoint(
        id=row.endpoint_id,
        url=row.url,
        description=row.description,
        types=tuple(msgspec.json.decode(row.types)),
        users=tuple(msgspec.json.decode(row.users)),
        enabled=row.disabled_at is None,
        disabled_why=row.disabled_why,
        created_at=to_datetime(row.created_at),
        old_secret_until=None if row.old_secret_until is None else to_datetime(row.old_secret_until),
        waiting=waiting,
        dropped=row.dropped,
    )


def _with_secret(endpoint: Endpoint, secret: str) -> EndpointWithSecret:
    return EndpointWithSecret(secret=secret, **msgspec.structs.asdict(endpoint))

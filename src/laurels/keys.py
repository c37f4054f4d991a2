"""
API keys: made, found again by what they prove, rotated with an overlap, revoked.

A key is `lrl_ID_SECRETCHECK`: the id may be shown, 256 bits of secret may not, and the check tells a mistyped key from
a wrong one without asking the database. Stored is its SHA-256: with so much entropy nothing slower is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
from sqlalchemy import select, update

from laurels.audit import note
from laurels.core.errors import Conflict, InvalidInput, Unknown
from laurels.core.nearest import unknown
from laurels.core.periods import format_instant, to_datetime
from laurels.core.requests import check_text, is_id, read_instant
from laurels.store.tables import api_keys

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, RowMapping

    from laurels.core.periods import Instant
    from laurels.engine import Engine

PREFIX = "lrl"
Scope = Literal["ingest", "wallet", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ID_CHARACTERS = 12
SECRET_CHARACTERS = 43  # 62^43 is 256 bits.
CHECK_CHARACTERS = 6
OVERLAP_S_MAX = 90 * 86_400

_ALPHABET = string.digits + string.ascii_letters


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """
    What may be told of a key. `scopes` are what it may do; `admin` is everything.

    `last_used_at` is exact to the minute.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaced_by: str | None


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made: `key` is shown this once and stored nowhere."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    key: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What a process keeps of a key to know it by: its hash, what it may do, until when."""

    key_id: str
    secret_hash: bytes
    scopes: frozenset[str]
    expires_at: Instant | None
    last_used_at: Instant

    def holds(self, key: str, now: Instant) -> bool:
        """Whether this is the key, and still good."""
        return hmac.compare_digest(self.secret_hash, _hash(key)) and not self.is_over(now)

    def is_over(self, now: Instant) -> bool:
        """Whether the key has expired."""
        return self.expires_at is not None and now >= self.expires_at


def key_id_of(key: str) -> str | None:
    """Return the id that stands in a key, None for what was never one."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != PREFIX or len(key_id) != ID_CHARACTERS or len(secret) != SECRET_CHARACTERS + CHECK_CHARACTERS:
        return None
    return key_id if key.isascii() and key[-CHECK_CHARACTERS:] == _check(key[:-CHECK_CHARACTERS]) else None


def proofs(connection: Connection) -> dict[str, Proof]:
    """Return the proofs of all keys that were not revoked, by id."""
    rows = connection.execute(select(api_keys).where(api_keys.c.revoked_at.is_(None))).mappings()
    return {
        row["key_id"]: Proof(
            row["key_id"],
            bytes(row["secret_hash"]),
            frozenset(msgspec.json.decode(row["scopes"])),
            row["expires_at"],
            row["last_used_at"] or 0,
        )
        for row in rows
    }


def create(
    engine: Engine,
    name: str,
    scopes: Collection[str],
    *,
    actor: str,
    expires_at: datetime | None = None,
) -> NewKey:
    """
    Make a key. Raises InvalidInput for a scope that there is not, and for an end that has come already.

    `actor` is who does it, for the audit log: a key's id or `cli`.
    """
    checked, now = _checked(name, scopes), engine.now()
    ends_at = None if expires_at is None else read_instant(expires_at, "expires_at")
    if ends_at is not None and ends_at <= now:
        raise InvalidInput("time_in_past", f"{format_instant(ends_at)} is over already.", "expires_at")
    with engine.write() as transaction:
        made = _insert(transaction.connection, name, checked, now, ends_at)
        note(transaction.connection, now, actor, "key.created", made.id, {"name": name, "scopes": checked})
    return made


def create_first(engine: Engine) -> NewKey | None:
    """Make an admin key if there was never any; None if there was. Two processes that start at once make one."""
    with engine.write() as transaction:
        transaction.lock_catalog()  # The one lock that every process takes in turn.
        if transaction.connection.scalar(select(api_keys.c.key_id).limit(1)) is not None:
            return None
        made = _insert(transaction.connection, "first", ("admin",), engine.now(), None)
        note(transaction.connection, engine.now(), "serve", "key.created", made.id, {"name": "first"})
    return made


def every(engine: Engine) -> list[Key]:
    """Return all keys, the oldest first, those revoked too."""
    with engine.read() as connection:
        rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id)).mappings()
        return [_key(row) for row in rows]


def rotate(engine: Engine, key_id: str, *, overlap_s: int, actor: str) -> NewKey:
    """
    Make a key that may do the same, for as long, and let the old one live for `overlap_s` seconds more.

    Raises Unknown `unknown_key`, and Conflict `key_revoked` or `key_rotated` for one that is gone or going already.
    """
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        raise InvalidInput("invalid_overlap", f"The overlap is 0 to {OVERLAP_S_MAX} seconds.", "overlap_s")
    with engine.write() as transaction:
        connection, now = transaction.connection, engine.now()
        old = _living(connection, key_id, now)
        lasts = None if old["expires_at"] is None else old["expires_at"] - old["created_at"]
        scopes = tuple(msgspec.json.decode(old["scopes"]))
        made = _insert(connection, old["name"], scopes, now, None if lasts is None else now + lasts)
        ends_at = now + overlap_s * 1_000_000
        connection.execute(
            update(api_keys)
            .where(api_keys.c.key_id == key_id)
            .values(expires_at=min(ends_at, old["expires_at"] or ends_at), replaced_by=made.id)
        )
        note(connection, now, actor, "key.rotated", key_id, {"into": made.id, "overlap_s": overlap_s})
    return made


def revoke(engine: Engine, key_id: str, *, actor: str) -> Key:
    """Revoke a key at once: every process refuses it within a second. Again, it changes nothing."""
    with engine.write() as transaction:
        connection, now = transaction.connection, engine.now()
        row = _row(connection, key_id)
        if row["revoked_at"] is None:
            connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(revoked_at=now))
            note(connection, now, actor, "key.revoked", key_id, {"name": row["name"]})
        return _key(_row(connection, key_id))


def used(engine: Engine, key_id: str, at: Instant) -> None:
    """Write down that a key was used; of several processes the latest counts."""
    last = api_keys.c.last_used_at
    with engine.write() as transaction:
        transaction.connection.execute(
            update(api_keys).where(api_keys.c.key_id == key_id, (last < at) | last.is_(None)).values(last_used_at=at)
        )


def _checked(name: str, scopes: Collection[str]) -> tuple[Scope, ...]:
    check_text(name, "name")
    if not scopes:
        raise InvalidInput("unknown_scope", f"A key needs a scope: {', '.join(SCOPES)}.", "scopes")
    for scope in scopes:
        if scope not in SCOPES:
            raise InvalidInput("unknown_scope", unknown("scope", str(scope), SCOPES), "scopes")
    return tuple(scope for scope in SCOPES if scope in scopes)


def _insert(
    connection: Connection, name: str, scopes: tuple[Scope, ...], now: Instant, expires_at: Instant | None
) -> NewKey:
    key_id, key = _new_key()
    connection.execute(
        api_keys.insert().values(
            key_id=key_id,
            name=name,
            scopes=msgspec.json.encode(scopes).decode(),
            secret_hash=_hash(key),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return NewKey(
        id=key_id,
        name=name,
        scopes=scopes,
        created_at=to_datetime(now),
        expires_at=None if expires_at is None else to_datetime(expires_at),
        key=key,
    )


def _living(connection: Connection, key_id: str, now: Instant) -> RowMapping:
    row = _row(connection, key_id)
    if row["revoked_at"] is not None or (row["expires_at"] is not None and row["expires_at"] <= now):
        raise Conflict("key_revoked", f"The key {key_id} was revoked or has expired; make a new one.")
    if row["replaced_by"] is not None:
        raise Conflict("key_rotated", f"The key {key_id} was rotated into {row['replaced_by']} already.")
    return row


def _row(connection: Connection, key_id: str) -> RowMapping:
    row = None
    if is_id(key_id):  # Not every text can be asked for.
        row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).mappings().one_or_none()
    if row is None:
        raise Unknown("unknown_key", f"There is no key {key_id!r}. `laurels keys list` shows them.")
    return row


def _key(row: RowMapping) -> Key:
    return Key(
        id=row["key_id"],
        name=row["name"],
        scopes=tuple(msgspec.json.decode(row["scopes"])),
        created_at=to_datetime(row["created_at"]),
        replaced_by=row["replaced_by"],
        **{
            name: None if row[name] is None else to_datetime(row[name])
            for name in ("expires_at", "revoked_at", "last_used_at")
        },
    )


def _new_key() -> tuple[str, str]:
    """Return the id of a key, and the key."""
    key_id = _random(ID_CHARACTERS)
    start = f"{PREFIX}_{key_id}_{_random(SECRET_CHARACTERS)}"
    return key_id, start + _check(start)


def _random(characters: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(characters))


def _check(start: str) -> str:
    number, found = zlib.crc32(start.encode()), ""
    for _ in range(CHECK_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        found += _ALPHABET[digit]
    return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()

"""The audit log: every administrative act, who did it and to what, written in the act's own transaction."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from laurels.core.periods import to_datetime
from laurels.store.tables import audit_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from laurels.core.periods import Instant


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One administrative act: `actor` is a key's id, `cli` or `serve`; `detail` never holds a secret."""

    number: int
    at: datetime
    actor: str
    action: str
    target: str
    detail: dict[str, Any]


def note(
    connection: Connection, at: Instant, actor: str, action: str, target: str, detail: Mapping[str, object]
) -> None:
    """Write an act down; it is there when the transaction that does it commits."""
    connection.execute(
        audit_log.insert().values(
            at=at, actor=actor, action=action, target=target, detail=msgspec.json.encode(detail).decode()
        )
    )


def acts(connection: Connection, *, before: int | None = None, limit: int) -> list[Act]:
    """Return what was done, the latest first; `before` is the number from which on it was read already."""
    query = select(audit_log).order_by(audit_log.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_log.c.number < before)
    return [
        Act(
            number=row["number"],
            at=to_datetime(row["at"]),
            actor=row["actor"],
            action=row["action"],
            target=row["target"],
            detail=msgspec.json.decode(row["detail"]),
        )
        for row in connection.execute(query).mappings()
    ]

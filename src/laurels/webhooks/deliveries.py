"""
Deliveries: one for each change and endpoint that wants it, in the journal's order, and how it went.

A delivery refers to a journal row and to a place among its changes; what the message says is made from there when it is
sent, so nothing is stored twice. Deliveries are a projection: they come into being in one transaction with its cursor,
so every change makes one and no more. The process that sends to an endpoint claims it for a moment; whoever dies with
a claim leaves it to run out, and what it had sent but not written down is sent again under the same id.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Row, and_, delete, func, select, tuple_, update

from laurels.audit import note
from laurels.core.changes import Change, addressed, as_json
from laurels.core.errors import Conflict, Unknown
from laurels.core.periods import format_instant, to_datetime
from laurels.core.requests import is_id
from laurels.store.tables import cursors, deliveries, journal, webhook_endpoints
from laurels.webhooks import endpoints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from laurels.core.periods import Instant
    from laurels.engine import Engine
    from laurels.webhooks.endpoints import Listener

PROJECTION = "webhooks"
STEP_ROWS = 2_000
#: So many messages are sent under one claim, or as many as fit into so short a time.
TURN_MESSAGES = 20
TURN_S = 0.25
#: A claim outlasts a turn and the longest attempt in it.
CLAIM_US = 30_000_000
#: So much is remembered of a delivery that was tried again and again.
ATTEMPTS_KEPT = 20
PRUNED_ROWS = 1_000

#: How long to wait after the first attempt that failed, the second, …: the schedule of Standard Webhooks.
SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Waits are longer by up to so much, so that those who failed together do not come back together.
JITTER = 0.1
RETRY_AFTER_S_MAX = 86_400

Status = Literal["pending", "delivered", "failed", "dropped"]

_table = deliveries.c
_endpoint = webhook_endpoints.c
_is_pending = _table.due_at.is_not(None)
_decode_changes = msgspec.json.Decoder(list[Change]).decode
_encode = msgspec.json.Encoder().encode


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deliver: the response's status code, or the error that kept one from coming."""

    at: datetime
    response: int | None
    error: str | None
    duration_ms: int


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """
    One message to one endpoint; `id` is the `webhook-id` that the receiver knows it by.

    `position` is the journal row it tells of, `place` which of the row's changes. `dropped` is a message that was lost
    to a full backlog.
    """

    id: str
    type: str
    position: int
    place: int
    recorded_at: datetime
    status: Status
    next_attempt_at: datetime | None
    attempts: tuple[Attempt, ...]


class Message(NamedTuple):
    """A message as it is sent. `body` is None where the journal no longer holds what it told of."""

    seq: int
    place: int
    message_id: str
    body: bytes | None
    tries: int


class Turn(NamedTuple):
    """What one process may send to an endpoint now, one after the other; `secrets` all sign."""

    endpoint_id: str
    claim: str
    url: str
    secrets: tuple[str, ...]
    messages: tuple[Message, ...]


class Tried(NamedTuple):
    """What came of one message: an attempt, when to try again (None: never), and whether the endpoint is gone."""

    message: Message
    attempt: Attempt
    status: Status
    due_at: Instant | None
    is_gone: bool = False


class Projected(NamedTuple):
    """How many rows of the journal were read, and how many messages they made and cost."""

    rows: int
    queued: int
    dropped: int


def next_attempt(tries: int, now: Instant, *, dice: float, retry_after_s: float = 0) -> Instant | None:
    """
    Return when to try again after so many attempts that failed; None: give up.

    `dice` is between 0 and 1. Source of the schedule: Standard Webhooks 1.0, "Deliverability and reliability".
    """
    if tries > len(SCHEDULE_S):
        return None
    wait_s = max(SCHEDULE_S[tries - 1], min(retry_after_s, RETRY_AFTER_S_MAX))
    return now + int(wait_s * (1 + JITTER * dice) * 1_000_000)


# --- From the journal -------------------------------------------------------------------------------------------------


def project(engine: Engine, settled: int, *, backlog_max: int) -> Projected:
    """Make deliveries of the journal's rows up to `settled`, a few thousand at most, from where the cursor stands."""
    with engine.read() as connection:
        listeners = endpoints.listeners(connection)
        start = max(_cursor(connection) or 0, min((listener.after for listener in listeners), default=settled))
        rows = _journal_rows(connection, start, settled) if start < settled else ()
    if not rows:
        return Projected(0, 0, 0)
    made = [made for row in rows for made in _messages(row, listeners)]
    with engine.write() as transaction:
        # Also where nothing was made: a filter that changes later is about what is recorded later.
        return _write(transaction.connection, made, rows[-1].seq, len(rows), backlog_max)


def _cursor(connection: Connection, *, held: bool = False) -> int | None:
    query = select(cursors.c.seq).where(cursors.c.projection == PROJECTION)
    return connection.scalar(query.with_for_update() if held else query)


def _journal_rows(connection: Connection, start: int, settled: int) -> Sequence[Row[*tuple[Any, ...]]]:
    j = journal.c
    columns = (j.seq, j.user_id, j.actor_id, j.request_id, j.recorded_at, j.changes)
    query = select(*columns).where(j.seq > start, j.seq <= settled).order_by(j.seq).limit(STEP_ROWS)
    return connection.execute(query).all()


def _messages(row: Row[Any], listeners: Sequence[Listener]) -> Iterator[dict[str, object]]:
    """Yield the deliveries that a journal row makes."""
    for place, change in enumerate(addressed(row.user_id, _decode_changes(row.changes))):
        wanting = [
            listener for listener in listeners if row.seq > listener.after and listener.wants(change.type, row.user_id)
        ]
        message_id = _message_id(row, place, change) if wanting else ""
        for listener in wanting:
            yield {
                "endpoint_id": listener.endpoint_id,
                "seq": row.seq,
                "place": place,
                "message_id": message_id,
                "type": change.type,
                "recorded_at": row.recorded_at,
                "status": "pending",
                "due_at": row.recorded_at,
                "tries": 0,
                "attempts": "[]",
            }


def _message_id(row: Row[Any], place: int, change: Change) -> str:
    """
    Return what receivers know a message by: the same for the same change, whenever and by whomever it is sent.

    Made of what it tells and not of its number in the journal, which means something else after a restore.
    """
    told = _encode((row.actor_id, row.request_id, row.user_id, place, change))
    return f"msg_{blake2b(told, digest_size=15).hexdigest()}"


def _write(
    connection: Connection, made: Sequence[dict[str, object]], end: int, rows: int, backlog_max: int
) -> Projected:
    """Write deliveries, unless another process was faster, and drop the oldest of those that are too many."""
    at = _cursor(connection, held=True)
    if at is None:
        connection.execute(cursors.insert().values(projection=PROJECTION, definition="1", seq=end))
    elif at < end:
        connection.execute(update(cursors).where(cursors.c.projection == PROJECTION).values(seq=end))
    made = [one for one in made if at is None or one["seq"] > at]  # type: ignore[operator]
    wanted = {str(one["endpoint_id"]) for one in made}
    query = select(_endpoint.endpoint_id).where(_endpoint.endpoint_id.in_(wanted)).order_by(_endpoint.endpoint_id)
    there = list(connection.scalars(query.with_for_update()))  # It may have been removed meanwhile.
    made = [one for one in made if one["endpoint_id"] in there]
    if made:
        connection.execute(deliveries.insert(), made)
    dropped = sum(_drop(connection, endpoint_id, backlog_max) for endpoint_id in there)
    return Projected(rows, len(made), dropped)


def _drop(connection: Connection, endpoint_id: str, backlog_max: int) -> int:
    """Drop the oldest messages of a backlog that is too long; return how many."""
    excess = endpoints.waiting(connection, endpoint_id) - backlog_max
    if excess <= 0:
        return 0
    mine = and_(_table.endpoint_id == endpoint_id, _is_pending)
    query = select(_table.seq, _table.place).where(mine).order_by(_table.seq, _table.place)
    last = connection.execute(query.offset(excess - 1).limit(1)).one()
    oldest = and_(mine, tuple_(_table.seq, _table.place) <= tuple_(last.seq, last.place))
    connection.execute(update(deliveries).where(oldest).values(status="dropped", due_at=None))
    counted = {"dropped": _endpoint.dropped + excess}
    connection.execute(update(webhook_endpoints).where(_endpoint.endpoint_id == endpoint_id).values(counted))
    return excess


# --- To the endpoints -------------------------------------------------------------------------------------------------


def due(connection: Connection, now: Instant, limit: int) -> list[str]:
    """Return the endpoints that have something to be sent now, those first who have waited longest."""
    d = deliveries.alias("d")
    first = select(d.c.due_at).where(d.c.endpoint_id == _endpoint.endpoint_id, d.c.due_at.is_not(None))
    head = first.order_by(d.c.seq, d.c.place).limit(1).scalar_subquery()
    query = select(_endpoint.endpoint_id).where(_endpoint.disabled_at.is_(None), _is_free(now), head <= now)
    return list(connection.scalars(query.order_by(head, _endpoint.endpoint_id).limit(limit)))


def claim(engine: Engine, endpoint_id: str) -> Turn | None:
    """Claim an endpoint and return what is to be sent to it now; None where that is nothing, or another's to do."""
    now, token = engine.now(), secrets.token_hex(8)
    mine = and_(_endpoint.endpoint_id == endpoint_id, _endpoint.disabled_at.is_(None), _is_free(now))
    with engine.write() as transaction:
        connection = transaction.connection
        held = connection.execute(select(webhook_endpoints).where(mine).with_for_update()).one_or_none()
        messages = () if held is None else tuple(_due_messages(connection, endpoint_id, now))
        if held is None or not messages:
            return None
        values = {"claimed_by": token, "claimed_until": now + CLAIM_US}
        connection.execute(update(webhook_endpoints).where(mine).values(values))
    signing = [held.secret]
    if held.old_secret is not None and now < held.old_secret_until:
        signing.append(held.old_secret)
    return Turn(endpoint_id, token, held.url, tuple(signing), messages)


def finish(engine: Engine, turn: Turn, tried: Iterable[Tried]) -> None:
    """Write down what came of a turn, and let others have the endpoint."""
    with engine.write() as transaction:
        connection = transaction.connection
        try:
            held = endpoints.held(connection, turn.endpoint_id)
        except Unknown:
            return  # It was removed meanwhile, with all that was known of it.
        values: dict[str, object] = {}
        is_ours = held.claimed_by == turn.claim
        if is_ours:
            values = {"claimed_by": None, "claimed_until": None}
        for one in tried:
            _mark(connection, turn.endpoint_id, one, is_ours=is_ours)
            if one.is_gone and held.disabled_at is None:
                values |= {"disabled_at": engine.now(), "disabled_why": "gone"}
        if values:
            connection.execute(
                update(webhook_endpoints).where(_endpoint.endpoint_id == turn.endpoint_id).values(values)
            )


def _is_free(now: Instant) -> Any:
    return _endpoint.claimed_until.is_(None) | (_endpoint.claimed_until <= now)


def _due_messages(connection: Connection, endpoint_id: str, now: Instant) -> Iterator[Message]:
    """Yield the messages from the head of the queue that are due; none after one that is not."""
    j = journal.c
    query = (
        select(deliveries, j.user_id, j.actor_id, j.request_id, j.time, j.changes)
        .select_from(deliveries.outerjoin(journal, j.seq == _table.seq))
        .where(_table.endpoint_id == endpoint_id, _is_pending)
        .order_by(_table.seq, _table.place)
        .limit(TURN_MESSAGES)
    )
    for row in connection.execute(query):
        if row.due_at > now:
            return
        yield Message(row.seq, row.place, row.message_id, _body(row), row.tries)


def _body(row: Row[Any]) -> bytes | None:
    """Return what a message says; None where the journal no longer holds the change that it told of."""
    changes = [] if row.changes is None else addressed(row.user_id, _decode_changes(row.changes))
    if row.place >= len(changes):
        return None
    told = as_json(changes[row.place])
    return _encode(
        {
            "type": told["type"],
            "timestamp": format_instant(row.time),
            "data": {
                **told,
                "actor_id": row.actor_id,
                "request_id": row.request_id,
                "position": row.seq,
                "recorded_at": format_instant(row.recorded_at),
            },
        }
    )


def _mark(connection: Connection, endpoint_id: str, tried: Tried, *, is_ours: bool) -> None:
    """Write one attempt down; a failure that is told late does not undo what another process achieved meanwhile."""
    at = and_(_table.endpoint_id == endpoint_id, _table.seq == tried.message.seq, _table.place == tried.message.place)
    row = connection.execute(select(_table.attempts, _table.due_at).where(at)).one_or_none()
    if row is None:
        return  # The log forgot it.
    known = msgspec.json.decode(row.attempts, type=list[Attempt])
    values: dict[str, object] = {"attempts": _encode([*known, tried.attempt][-ATTEMPTS_KEPT:]).decode()}
    if tried.status == "delivered" or (is_ours and row.due_at is not None):
        values |= {"status": tried.status, "due_at": tried.due_at, "tries": tried.message.tries + 1}
    connection.execute(update(deliveries).where(at).values(values))


# --- For people -------------------------------------------------------------------------------------------------------


def page(
    connection: Connection,
    endpoint_id: str,
    *,
    status: Status | None = None,
    before: tuple[int, int] | None = None,
    limit: int,
) -> list[Delivery]:
    """Return an endpoint's deliveries, the newest first; `before` is the place from which on they were read already."""
    query = select(deliveries).where(_table.endpoint_id == endpoint_id)
    if status is not None:
        query = query.where(_table.status == status)
    if before is not None:
        query = query.where(tuple_(_table.seq, _table.place) < tuple_(*before))
    rows = connection.execute(query.order_by(_table.seq.desc(), _table.place.desc()).limit(limit))
    return [
        Delivery(
            id=row.message_id,
            type=row.type,
            position=row.seq,
            place=row.place,
            recorded_at=to_datetime(row.recorded_at),
            status=row.status,
            next_attempt_at=None if row.due_at is None else to_datetime(row.due_at),
            attempts=msgspec.json.decode(row.attempts, type=tuple[Attempt, ...]),
        )
        for row in rows
    ]


def redeliver(
    engine: Engine,
    endpoint_id: str,
    *,
    delivery_id: str | None = None,
    since: Instant | None = None,
    backlog_max: int,
    actor: str,
) -> int:
    """
    Put back into the queue one delivery, however it went, or all since an instant that failed or were dropped.

    Returns how many; at most as many as the backlog has room for, the oldest first. Raises Unknown for a webhook or a
    delivery that is not there, Conflict `webhook_disabled` for an endpoint that nothing is sent to.
    """
    with engine.write() as transaction:
        connection = transaction.connection
        held = endpoints.held(connection, endpoint_id)
        if held.disabled_at is not None:
            raise Conflict("webhook_disabled", f"Nothing is sent to {endpoint_id}; enable it first.")
        query = select(_table.seq, _table.place).where(_table.endpoint_id == endpoint_id)
        if delivery_id is not None:
            query = query.where(_table.message_id == (delivery_id if is_id(delivery_id) else ""))
        else:
            lost = _table.status.in_(("failed", "dropped"))
            query = query.where(_table.recorded_at >= since, lost).order_by(_table.seq, _table.place)
        room = max(0, backlog_max - endpoints.waiting(connection, endpoint_id))
        found = [tuple(row) for row in connection.execute(query.limit(room if delivery_id is None else 1))]
        if delivery_id is not None and not found:
            raise Unknown("unknown_delivery", f"{endpoint_id} has no delivery {delivery_id!r:.80}.")
        again = {"status": "pending", "due_at": engine.now(), "tries": 0}
        for seq, place in found:
            at = and_(_table.endpoint_id == endpoint_id, _table.seq == seq, _table.place == place)
            connection.execute(update(deliveries).where(at).values(again))
        detail = {"delivery_id": delivery_id, "since": None if since is None else format_instant(since)}
        note(connection, engine.now(), actor, "webhook.redelivered", endpoint_id, {**detail, "count": len(found)})
    return len(found)


def prune(engine: Engine, before: Instant) -> int:
    """Forget deliveries that are over and were recorded before an instant; return how many."""
    forgotten = 0
    with engine.read() as connection:
        endpoint_ids = list(connection.scalars(select(_endpoint.endpoint_id)))
    for endpoint_id in endpoint_ids:
        oldest = select(_table.seq, _table.place).where(_table.endpoint_id == endpoint_id)
        oldest = oldest.order_by(_table.seq, _table.place).limit(PRUNED_ROWS)
        over = and_(
            _table.endpoint_id == endpoint_id,
            _table.due_at.is_(None),
            _table.recorded_at < before,
            tuple_(_table.seq, _table.place).in_(oldest),
        )
        removed = PRUNED_ROWS
        while removed == PRUNED_ROWS:
            with engine.write() as transaction:
                removed = transaction.connection.execute(delete(deliveries).where(over)).rowcount
            forgotten += removed
    return forgotten


def counts(connection: Connection) -> tuple[int, int]:
    """Return how many messages wait to be delivered, and how many were dropped, for all endpoints together."""
    waiting = connection.scalar(select(func.count()).where(_is_pending))
    dropped = connection.scalar(select(func.sum(_endpoint.dropped)))
    return int(waiting or 0), int(dropped or 0)

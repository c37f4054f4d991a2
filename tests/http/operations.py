"""The operations of the OpenAPI document, and a call of each that does something, for tests that must forget none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import select

import laurels
from laurels.http.wire import opaque
from laurels.store.tables import metadata

USER = "ada"
#: What path parameters are in the calls; `ready` makes those that must be there.
NAMES = {
    "user_id": USER,
    "currency": "sparkle",
    "hold_id": opaque(USER, "hold"),
    "request_id": "spend",
}
#: A hold can be given back once, so it is another that is captured.
NAMES_OF = {"release": {"hold_id": opaque(USER, "another hold")}}
#: What stands in the body of each write, by operation. Those without a body need none here.
BODIES: dict[str, Any] = {
    "record_events": {"id": "e1", "type": "post.created", "user": USER, "data": {"published": True}},
    "set_user": {"display_name": "Ada"},
    "mark_notifications": {},
    "award_xp": {"amount": 50, "source": "tests"},
    "adjust_xp": {"amount": -1},
    "credit": {"amount": 7},
    "spend": {"amount": 3},
    "adjust": {"amount": 2},
    "hold": {"amount": 4},
    "capture": {"amount": 5},
    "release": {"reason": "Changed their mind"},
    "refund": {"amount": 1},
    "transfer": {"from": USER, "to": "bob", "currency": "sparkle", "amount": 2},
    "show_achievement": {"showcased": True, "order": 3},
    "check_catalog": {"catalog": {"name": "Checked"}},
    "apply_catalog": {"catalog": {"name": "Applied"}},
    "create_key": {"name": "another", "scopes": ["read"]},
    "rotate_key": {"overlap_s": 60},
    "claim_quest": {},
    "create_webhook": {"url": "http://127.0.0.1:9/hook"},
    "change_webhook": {"description": "Changed"},
    "rotate_webhook_secret": {"overlap_s": 60},
    "redeliver": {"since": "2026-01-01T00:00:00Z"},
}


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    id: str
    method: str
    path: str
    declared: dict[str, Any] = field(repr=False, hash=False, compare=False)

    @property
    def roles(self) -> set[str]:
        """Scopes of which one suffices, and `user` where a user's token may."""
        return {role for one in self.declared.get("security", ()) for roles in one.values() for role in roles}

    @property
    def is_once(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return any(parameter["name"] == "Idempotency-Key" for parameter in self.declared.get("parameters", ()))

    def url(self, **names: str) -> str:
        return self.path.format_map(_Names(NAMES | NAMES_OF.get(self.id, {}) | names))

    def call(self, client: httpx.Client, *, body: Any = None, headers: dict[str, str] | None = None, **names: str):
        """Call it and return the answer; of an answer without an end its beginning."""
        given = {"Idempotency-Key": f"key-{self.id}"} if self.is_once else {}
        body = BODIES.get(self.id) if body is None else body
        with client.stream(
            self.method, self.url(**names), timeout=5, json=body, headers=given | (headers or {})
        ) as answer:
            if not answer.headers["content-type"].startswith("text/event-stream"):
                answer.read()
        return answer


class _Names(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "x"


def operations(document: dict[str, Any]) -> list[Operation]:
    return [
        Operation(declared["operationId"], method.upper(), path, declared)
        for path, methods in document["paths"].items()
        for method, declared in methods.items()
    ]


def of_api(document: dict[str, Any]) -> list[Operation]:
    return [one for one in operations(document) if one.path.startswith("/v1/")]


def ready(engine: laurels.Engine) -> None:
    """Let there be what the calls are about: users with a balance, a spend, and holds."""
    for user in (USER, "bob"):
        engine.wallet(user).credit("sparkle", 100, reason="Tests", request_id="credit")
    engine.wallet(USER).spend("sparkle", 9, request_id="spend")
    engine.wallet(USER).hold("sparkle", 20, request_id="hold")
    engine.wallet(USER).hold("sparkle", 1, request_id="another hold")


def stored(engine: laurels.Engine) -> dict[str, list[Any]]:
    """Everything in the database but when keys were last used, which calls may move."""
    with engine.read() as connection:
        return {table.name: list(_rows(connection, table)) for table in metadata.sorted_tables}


def _rows(connection: Any, table: Any) -> Iterator[Any]:
    columns = [column for column in table.columns if column.name != "last_used_at"]
    yield from sorted(map(repr, connection.execute(select(*columns))))

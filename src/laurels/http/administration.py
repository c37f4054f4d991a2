"""Administration: the keys that programs call with, and the log of every administrative act."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from laurels import audit, keys
from laurels.audit import Act
from laurels.http.auth import Admin
from laurels.http.service import service_of
from laurels.http.wallet import Instant
from laurels.http.wire import (
    Body,
    Code,
    Cursor,
    Limit,
    Page,
    answers,
    offset_paged,
    opaque,
    paged,
    position_in,
    reply,
)
from laurels.keys import Key, NewKey

router = APIRouter(prefix="/v1", tags=["administration"], default_response_class=Response)


class KeyWanted(Body):
    """A key to be made: a name to know it by, and what it may do."""

    name: str
    scopes: list[keys.Scope] = Field(min_length=1)
    expires_at: Instant = None


class Rotation(Body):
    """How many seconds the old key stays good beside the new one."""

    overlap_s: Annotated[int, Field(ge=0, le=keys.OVERLAP_S_MAX)] = 86_400


@router.get("/keys", summary="List keys", responses=answers(Page[Key]))
def list_keys(request: Request, caller: Admin, limit: Limit = 50, cursor: Cursor = "") -> Response:
    """List all keys, those revoked too, the oldest first. No secret is among it: none is stored."""
    return reply(offset_paged(keys.every(service_of(request).engine), limit, cursor))


@router.post(
    "/keys",
    summary="Make a key",
    status_code=201,
    responses=answers(NewKey, 201, "The key, shown this once."),
)
def create_key(request: Request, caller: Admin, body: KeyWanted) -> Response:
    """Make a key. Other processes know it within a second."""
    made = keys.create(
        service_of(request).engine, body.name, body.scopes, actor=caller.name, expires_at=body.expires_at
    )
    return reply(made, 201)


@router.post(
    "/keys/{key_id}/rotate",
    summary="Rotate a key",
    status_code=201,
    responses=answers(NewKey, 201, "The new key, shown this once."),
)
def rotate_key(request: Request, caller: Admin, key_id: Code, body: Rotation | None = None) -> Response:
    """Make a key that may do the same, for as long; the old one stays good for a while: nobody is locked out."""
    overlap_s = (body or Rotation()).overlap_s
    return reply(keys.rotate(service_of(request).engine, key_id, overlap_s=overlap_s, actor=caller.name), 201)


@router.delete("/keys/{key_id}", summary="Revoke a key", responses=answers(Key))
def revoke_key(request: Request, caller: Admin, key_id: Code) -> Response:
    """Revoke a key: every process refuses it within a second."""
    return reply(keys.revoke(service_of(request).engine, key_id, actor=caller.name))


@router.get("/audit", summary="Read the audit log", responses=answers(Page[Act]))
def read_audit_log(request: Request, caller: Admin, limit: Limit = 50, cursor: Cursor = "") -> Response:
    """List what was done with admin keys or on the command line, and by whom, the latest first."""
    (before,) = position_in(cursor, tuple[int]) or (None,)
    with service_of(request).engine.read() as connection:
        found = audit.acts(connection, before=before, limit=limit + 1)
    return reply(paged(found, limit, lambda last: opaque(last.number)))

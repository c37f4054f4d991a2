"""
The OpenAPI document: what the routes declare, the shapes of their answers, and the problems that most of them share.

Which problems a call can meet follows from what it takes, so that no route can forget one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from laurels.http import wire
from laurels.http.problems import MEDIA_TYPE, ProblemDetails

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastapi import FastAPI

PROBLEMS = {
    400: "`unreadable`: the body is no JSON, or what is escaped no UTF-8. `idempotency_key_missing`: it needs one.",
    401: "`unauthorized`: no key, or one that is wrong, revoked or expired.",
    403: "`forbidden`: a key without the scope, or the token of another user.",
    404: "`unknown_user`, `unknown_currency`, `unknown_request`, …: there is no such thing.",
    409: "`request_id_reused`, `insufficient_funds` (with `available`), `hold_closed`, `already_claimed`, …: "
    "the state does not allow it; nothing was recorded.",
    412: "`catalog_moved`: what `If-Match` names is no longer in force.",
    413: "`body_too_large`.",
    415: "`unsupported_media_type`, `unsupported_encoding`.",
    422: "`invalid_request`, `invalid_amount`, `invalid_id`, …: `errors` says what is wrong where.",
    429: "`rate_limited`: too many calls with this key.",
    503: "`database_busy`, `overloaded`, …: not now. Repeat it with the same id, which is safe.",
}
RETRY_AFTER = {"Retry-After": {"description": "In how many seconds to try again.", "schema": {"type": "integer"}}}
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` where the same request was answered before; this is that answer.",
        "schema": {"type": "string", "const": "true"},
    }
}
RETRIED = (429, 503)


def document(app: FastAPI, tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the document of an application; it is drawn once."""
    if app.openapi_schema is None:
        drawn = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=[dict(tag) for tag in tags],
        )
        for path, operations in drawn["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        components = drawn.setdefault("components", {})
        problem = wire.schema_of(ProblemDetails)
        components["responses"] = {_name(status): _response(status, problem) for status in PROBLEMS}
        components.setdefault("schemas", {}).update(wire.components)
        app.openapi_schema = drawn
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Write into an operation which problems it can meet, and that a repeated request says so."""
    responses = operation["responses"]
    headers = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}
    if "Idempotency-Key" in headers:
        for status in set(responses) - {"default"}:
            responses[status]["headers"] = REPLAYED
    for status in _problems(path, method, operation, headers):
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}


def _problems(path: str, method: str, operation: Mapping[str, Any], headers: set[str]) -> Iterator[int]:
    if "security" in operation:
        yield from (401, 403, 429, 503)
    if "requestBody" in operation or operation.get("parameters"):
        yield from (400, 422)
    if "requestBody" in operation:
        yield from (413, 415)
    if "{" in path:
        yield 404
    if method != "get":
        yield 409
    if "If-Match" in headers:
        yield 412


def _name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def _response(status: int, problem: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": problem}}}
    return told | {"headers": RETRY_AFTER} if status in RETRIED else told

"""
What goes wrong, as `application/problem+json` (RFC 9457): one shape for every error, whoever raised it.

`Refused` is what HTTP itself refuses (no key, wrong media type, too large); everything else is a LaurelsError, whose
class says which status it is.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from laurels.core.errors import (
    CatalogInvalid,
    Conflict,
    InsufficientFunds,
    InvalidInput,
    LaurelsError,
    Problem,
    Unavailable,
    Unknown,
)
from laurels.core.requests import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
#: What is unreadable rather than invalid, and the like: codes of InvalidInput that are not 422.
STATUS_OF_CODE = {
    "unreadable": HTTPStatus.BAD_REQUEST,
    "idempotency_key_missing": HTTPStatus.BAD_REQUEST,
    "user_erased": HTTPStatus.CONFLICT,
}
STATUS_OF_CLASS = (
    (Unknown, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (CatalogInvalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)

#: What the framework calls an empty header; its length is checked as that of a list once its text was looked at.
NOT_GIVEN = {"missing", "too_short"}

log = logging.getLogger("laurels.http")


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    An error (RFC 9457). `code` is stable and made for programs, `detail` is made for people.

    `errors` says what is wrong where in a body; `available` is what there is, where it was not enough.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[Problem, ...] = ()
    available: int | None = None


class Refused(HTTPException):
    """What HTTP itself refuses, before anything was asked of the engine."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, *, path: str = ""
    ) -> None:
        super().__init__(status, detail, None if headers is None else dict(headers))
        self.code = code
        self.path = path


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[Problem] = (),
    available: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that tells of a problem."""
    told = ProblemDetails(
        type=f"urn:laurels:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=tuple(errors),
        available=available,
    )
    return Response(msgspec.json.encode(told), status, headers, MEDIA_TYPE)


def of_error(error: LaurelsError) -> Response:
    """Return the answer for an error of the engine's."""
    status = STATUS_OF_CODE.get(error.code) or next(
        (status for kind, status in STATUS_OF_CLASS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR
    )
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    errors: Sequence[Problem] = ()
    if isinstance(error, CatalogInvalid):
        errors = error.problems
    elif isinstance(error, InvalidInput) and error.path:
        errors = [Problem(error.path, str(error.args[0]))]
    available = error.available if isinstance(error, InsufficientFunds) else None
    return problem(status, error.code, str(error), errors=errors, available=available, headers=headers)


def of_refusal(error: HTTPException) -> Response:
    """Return the answer for what HTTP refuses: ours with its code, the framework's with the status's name."""
    if not isinstance(error, Refused):
        is_body = error.status_code == HTTPStatus.BAD_REQUEST  # The one thing the framework calls so.
        code = "unreadable" if is_body else HTTPStatus(error.status_code).name.lower()
        return problem(error.status_code, code, error.detail, headers=error.headers)
    errors = [Problem(error.path, error.detail)] if error.path else []
    return problem(error.status_code, error.code, error.detail, errors=errors, headers=error.headers)


def of_invalid(error: RequestValidationError) -> Response:
    """Return the answer for parameters or a body of the wrong shape: all that is wrong, each with its place."""
    if isinstance(error.body, bytes):  # The framework leaves so what does not say that it is JSON.
        return problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must come as JSON, and say so: Content-Type: application/json.",
            headers={"Accept": "application/json"},
        )
    found = error.errors()
    for one in found:
        if one["type"] == "json_invalid":
            reason = f"The body is no JSON that can be read: {one['ctx']['error']}."
            return problem(HTTPStatus.BAD_REQUEST, "unreadable", reason)
    if any(one["loc"] == ("header", "Idempotency-Key") and one["type"] in NOT_GIVEN for one in found):
        return problem(
            HTTPStatus.BAD_REQUEST,
            "idempotency_key_missing",
            "This moves something, so it needs an Idempotency-Key header: an id of yours that makes it safe to repeat.",
        )
    if any(one["loc"] == ("body",) and one["type"] == "missing" for one in found):
        return problem(HTTPStatus.BAD_REQUEST, "unreadable", "This needs a body: an object in JSON.")
    errors = [Problem(_place(one["loc"]), _said(one)) for one in found]
    detail = "; ".join(f"{one.path}: {one.message}" if one.path else one.message for one in errors[:5])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, errors=errors)


def answer_to(error: Exception) -> Response:
    """Return the answer for an error of the engine's, a refusal, or parameters of the wrong shape."""
    match error:
        case LaurelsError():
            return of_error(error)
        case HTTPException():
            return of_refusal(error)
        case RequestValidationError():
            return of_invalid(error)
        case _:
            raise error


def install(app: FastAPI) -> None:
    """Let every error of the application's be told in this shape."""
    app.add_exception_handler(LaurelsError, _tell)
    app.add_exception_handler(HTTPException, _tell_refusal)
    app.add_exception_handler(RequestValidationError, _tell)
    app.add_exception_handler(Exception, _tell_failure)


async def _tell(_request: Request, error: Exception) -> Response:
    return answer_to(error)


async def _tell_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND and not isinstance(error, Refused):
        error.detail = f"There is nothing at {shown(request.url.path)}; /docs shows what there is."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # A path has a route for each method, of which the framework names the first alone.
        methods = request.app.openapi()["paths"].get(request.scope["route"].path, {"get": None})
        allowed = ", ".join(method.upper() for method in methods)
        error = Refused(405, "method_not_allowed", f"Here goes {allowed}, not {request.method}.", {"Allow": allowed})
    return of_refusal(error)


async def _tell_failure(request: Request, error: Exception) -> Response:
    call_id = request.scope["laurels.call_id"]
    log.error("call_failed", exc_info=error, extra={"call_id": call_id})
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "Something broke that is not your request's fault. A write may or may not have happened: repeat it with the "
        "same id, which is safe.",
        headers={"X-Request-Id": call_id},
    )


def _place(location: Sequence[int | str]) -> str:
    """Return where a value stands: `amount`, `groups.team`, `events[3].time`; a header or parameter by its name."""
    shown = ""
    for step in location[1:] if location and location[0] in {"body", "query", "path", "header"} else location:
        shown += f"[{step}]" if isinstance(step, int) else f".{step}"
    return shown.removeprefix(".")


def _said(one: Mapping[str, Any]) -> str:
    return str(one["msg"]).removeprefix("Value error, ")

"""The catalog: what is earned for what. Reading, checking and applying it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from laurels.catalog_file import Format, parse_catalog
from laurels.core.errors import CatalogInvalid, InvalidInput, Problem
from laurels.http.auth import Admin, Read
from laurels.http.bodies import essence
from laurels.http.problems import Refused
from laurels.http.service import service_of
from laurels.http.wire import answers, reply

if TYPE_CHECKING:
    from laurels.core.catalog import Catalog
    from laurels.http.auth import Caller

router = APIRouter(prefix="/v1/catalog", tags=["catalog"])
JSON = "application/json"
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            # Not even that it is an object: whatever is wrong with it is what a check is there to tell.
            JSON: {
                "schema": {"description": "The catalog's tree, an object; `laurels catalog schema` has its schema."}
            },
            "application/toml": {"schema": {"type": "string", "description": "The catalog file as it is."}},
        },
    }
}


class CheckedCatalog(msgspec.Struct, frozen=True):
    """Whether a catalog could be applied, and every mistake in it."""

    valid: bool
    problems: tuple[Problem, ...]


class AppliedCatalog(msgspec.Struct, frozen=True):
    """Which revision of the catalog is in force."""

    revision: int
    name: str


@router.get(
    "",
    summary="Read the catalog",
    response_class=Response,
    responses=answers(dict[str, Any], description="The catalog's tree, as it was applied; `ETag` names the revision.")
    | {304: {"description": "What `If-None-Match` names is still in force."}},
)
def read_catalog(
    request: Request,
    caller: Read,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="Tags of what you have already.")
    ] = None,
) -> Response:
    """Return the catalog in force; 304 where `If-None-Match` names it."""
    current = service_of(request).engine.catalog
    headers = {"ETag": _tag(current), "Laurels-Revision": str(current.revision)}
    if if_none_match is not None and _names(if_none_match, current):
        return Response(status_code=304, headers=headers)
    return Response(current.source.encode(), 200, headers, JSON)


@router.put(
    "",
    summary="Apply a catalog",
    response_class=Response,
    responses=answers(AppliedCatalog),
    openapi_extra=BODY,
)
async def apply_catalog(
    request: Request,
    caller: Admin,
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="The tag of what you read and changed.")
    ] = None,
) -> Response:
    """
    Put a catalog into force: what is recorded from then on is decided under it, in every process.

    With `If-Match` only if the catalog in force is the one it names, else 412. The same catalog again changes nothing.
    """
    given = await _given(request)
    return await run_in_threadpool(_apply, request, caller, given, if_match)


@router.post(
    "/check",
    summary="Check a catalog",
    response_class=Response,
    responses=answers(CheckedCatalog, description="Whether it could be applied; nothing is."),
    openapi_extra=BODY,
)
async def check_catalog(request: Request, caller: Admin) -> Response:
    """Find every mistake in a catalog; nothing is applied."""
    try:
        await _given(request)
    except CatalogInvalid as invalid:
        return reply(CheckedCatalog(valid=False, problems=invalid.problems))
    return reply(CheckedCatalog(valid=True, problems=()))


async def _given(request: Request) -> Catalog:
    """Return the catalog in a body. Raises CatalogInvalid with every mistake."""
    media_type = essence(request.headers.get("content-type", ""))
    formats: dict[str, Format] = {JSON: "json", "application/toml": "toml"}
    if media_type not in formats:
        raise Refused(415, "unsupported_media_type", f"A catalog comes as {' or '.join(formats)}.")
    try:
        text = (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("unreadable", f"The body is not UTF-8 text: {error}.") from None
    return await run_in_threadpool(parse_catalog, text, format=formats[media_type])


def _apply(request: Request, caller: Caller, given: Catalog, if_match: str | None) -> Response:
    engine = service_of(request).engine

    def check(current: Catalog) -> None:
        if if_match is not None and not _names(if_match, current):
            raise Refused(
                412,
                "catalog_moved",
                f"The catalog in force is {_tag(current)}, revision {current.revision}. Read it again first.",
                {"ETag": _tag(current)},
            )

    applied = engine.apply_catalog(given, actor=caller.name, check=check)
    current = engine.catalog
    return reply(AppliedCatalog(applied, current.name), headers={"ETag": _tag(current)})


def _tag(catalog: Catalog) -> str:
    """Return the entity tag of a catalog: of its revision, as the same content may come back."""
    return f'"{catalog.revision}-{hashlib.sha256(catalog.source.encode()).hexdigest()[:16]}"'


def _names(header: str, catalog: Catalog) -> bool:
    """Whether a list of entity tags names a catalog; `*` names any."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or _tag(catalog) in tags

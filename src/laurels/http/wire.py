"""
The shapes that travel: what callers send, what they get, and how the OpenAPI document comes to know both.

Requests are pydantic models, which tell everything that is wrong with a body at once. Answers are the engine's own
structs, encoded by msgspec; their schemas are drawn from the very same structs, so that the document cannot differ.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args
from urllib.parse import unquote_to_bytes

import msgspec
from fastapi import Header, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema
from starlette.responses import Response

from laurels.core.changes import Change, Outcome, Skip, outcome_as_json
from laurels.core.nearest import unknown
from laurels.core.requests import ID_CHARACTERS_MAX, is_id
from laurels.core.state import AMOUNT_MAX
from laurels.http.problems import MEDIA_TYPE, ProblemDetails, Refused

T = TypeVar("T")
PAGE_MAX = 1_000

# --- What callers send ------------------------------------------------------------------------------------------------


class Body(BaseModel):
    """What every body has in common: a field that nobody knows is a mistake, and nothing is turned into something."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _as_utf8(text: str) -> str:
    """Return a header's text, which servers read as Latin-1, as the UTF-8 that it was sent in."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        raise ValueError("what is not ASCII must be UTF-8") from None


#: An amount is checked by the engine, whose errors say more than those of a schema.
Amount = Annotated[Any, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": AMOUNT_MAX})]
SignedAmount = Annotated[
    Any, WithJsonSchema({"type": "integer", "minimum": -AMOUNT_MAX, "maximum": AMOUNT_MAX, "not": {"const": 0}})
]
IdempotencyKey = Annotated[
    str,
    AfterValidator(_as_utf8),
    Header(
        alias="Idempotency-Key",
        description="The request's id, of the user whom it is about: the same again does nothing again.",
        min_length=1,
        max_length=ID_CHARACTERS_MAX,
    ),
]
#: Stands for a slash inside of an id while a path is taken apart; no id holds a control character.
SLASH = "\x1f"


def with_slashes(text: str) -> str:
    """Return what stands in a path as it was meant."""
    return text.replace(SLASH, "/")


UserId = Annotated[
    str,
    Path(min_length=1, max_length=ID_CHARACTERS_MAX, description="The user; a slash in an id is %2F."),
    AfterValidator(with_slashes),
]
#: A code, or another id, in a path.
Code = Annotated[
    str,
    Path(min_length=1, max_length=1_000, description="A slash is %2F."),
    AfterValidator(with_slashes),
]
Cursor = Annotated[str, Query(description="`next_cursor` of the page before; empty for the first page.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many at most.")]


def check_request(request: Request) -> None:
    """
    Raise Refused for what no route looks at: two ids for one request, and parameters of a query that nobody knows.

    A typing mistake must not silently mean the default.
    """
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise Refused(400, "unreadable", "There is more than one Idempotency-Key.")
    query = request.scope["query_string"]
    if not query:
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise Refused(400, "unreadable", "What is escaped in the query is not UTF-8.") from None
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            raise Refused(422, "unknown_parameter", unknown("parameter", name, known), path=name)


# --- What they get ----------------------------------------------------------------------------------------------------


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list, and where to go on; `next_cursor` is null at the end."""

    items: Sequence[T]
    next_cursor: str | None


class HoldOut(msgspec.Struct, frozen=True, kw_only=True):
    """Currency set aside. `id` names it in later calls; it is not the request's id, which others may use as well."""

    id: str
    user_id: str
    currency: str
    amount: int
    expires_at: datetime | None
    outcome: Any


def _outside(struct: type[msgspec.Struct], fields: Sequence[tuple[str, Any]], tag: str | None = None) -> Any:
    """Return a struct's shape outside: an object, where the journal keeps a short array."""
    field = None if tag is None else "type"
    said = {"__doc__": struct.__doc__}
    return msgspec.defstruct(struct.__name__, fields, kw_only=True, namespace=said, tag=tag, tag_field=field)


def _fields(struct: type[msgspec.Struct], *, without: str = "") -> list[tuple[str, Any]]:
    return [(field.name, field.type) for field in msgspec.structs.fields(struct) if field.name != without]


PublicChange: Any = Union[  # noqa: UP007  made of a list
    tuple(
        _outside(change, [("user_id", str), *_fields(change, without="user_id")], change.type)
        for change in get_args(Change)
        if change.type
    )
]
PublicSkip: Any = _outside(Skip, _fields(Skip))
PublicOutcome: Any = _outside(
    Outcome,
    [
        ("event_id", str),
        ("status", Literal["applied", "duplicate"]),
        ("changes", list[PublicChange]),
        ("skipped", list[PublicSkip]),
    ],
)


class Outcomes(msgspec.Struct, frozen=True):
    """What each event caused, in their order."""

    outcomes: list[PublicOutcome]


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer; structs are encoded as they are."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def reply_once(outcome: Outcome, value: object = None, status: int = 200) -> Response:
    """Return what a request caused; a repeated one gets what the first one got, and a header that says so."""
    replayed = outcome.status == "duplicate"
    told = outcome_as_json(msgspec.structs.replace(outcome, status="applied") if replayed else outcome)
    return reply(told if value is None else value, status, {"Idempotent-Replayed": "true"} if replayed else None)


# --- The OpenAPI document ---------------------------------------------------------------------------------------------

_REFERENCE = "#/components/schemas/{name}"
#: The schemas of everything that some route answers with, by name.
components: dict[str, Any] = {}


def schema_of(shape: Any) -> dict[str, Any]:
    """Return the schema of a shape, and keep those it refers to for the document's components."""
    (schema,), referred = msgspec.json.schema_components((shape,), ref_template=_REFERENCE)
    components.update(referred)
    return schema


def answers(shape: Any, status: int = 200, description: str = "Done.", media_type: str = "application/json") -> Any:
    """Return what a route declares of its answers: one shape where all is well, a problem otherwise."""
    return {
        status: {"description": description, "content": {media_type: {"schema": schema_of(shape)}}},
        "default": {
            "description": "What went wrong.",
            "content": {MEDIA_TYPE: {"schema": schema_of(ProblemDetails)}},
        },
    }


# --- Cursors ----------------------------------------------------------------------------------------------------------


def opaque(*parts: object) -> str:
    """Return values as a text that means nothing to those who pass it on."""
    return urlsafe_b64encode(msgspec.json.encode(parts)).decode().rstrip("=")


def parts_of(text: str, shape: type[T]) -> T | None:
    """Return what `opaque` made a text of, a tuple of the shape given; None for any other text."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=shape)
    except (ValueError, msgspec.MsgspecError):
        return None


def paged(found: Sequence[T], limit: int, cursor: Callable[[T], str]) -> Page[T]:
    """Return a page of what was found, which is one more than the page holds where there is more."""
    items = found[:limit]
    return Page(items, cursor(items[-1]) if len(found) > limit else None)


def offset_paged(found: Sequence[T], limit: int, cursor: str) -> Page[T]:
    """Return a page of a list that is at hand in full."""
    (offset,) = position_in(cursor, tuple[int]) or (0,)
    following = offset + limit
    return Page(found[offset:following], opaque(following) if following < len(found) else None)


def position_in(cursor: str, shape: type[T]) -> T | None:
    """
    Return the place that a cursor names, a tuple of the shape given; None for an empty cursor.

    Raises Refused 422 `invalid_cursor` for one that is none of ours, or of another list.
    """
    if not cursor:
        return None
    found = parts_of(cursor, shape)
    if isinstance(found, tuple) and all(is_id(one) or (type(one) is int and 0 <= one <= AMOUNT_MAX) for one in found):
        return found
    detail = "This is no cursor of this list: give `next_cursor` as it came."
    raise Refused(422, "invalid_cursor", detail, path="cursor")

"""
CloudEvents 1.0 over HTTP as Laurels' events: `subject` is the user, `source#id` the request's id.

Structured (one object), batched (a list of them) and binary (attributes in `ce-…` headers, the data as the body).
Extension attributes are allowed and left alone, as the specification asks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from laurels.core.errors import InvalidInput
from laurels.core.events import Event
from laurels.core.requests import shown
from laurels.http.bodies import essence
from laurels.http.wire import components
from laurels.importers.events import json_of, time_of

if TYPE_CHECKING:
    from collections.abc import Mapping

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
VERSION = "1.0"
PREFIX = "ce-"
REQUIRED = ("specversion", "id", "source", "type", "subject")

_backslashed = re.compile(r"\\(.)")


def of_headers(headers: Mapping[str, str], media_type: str, body: bytes) -> Event:
    """Return the event of a request in binary mode. Raises InvalidInput."""
    found: dict[str, Any] = {
        name: _unescaped(headers[PREFIX + name], name) for name in (*REQUIRED, "time") if PREFIX + name in headers
    }
    if body:
        if not _is_json(media_type):
            raise _not_json(media_type, "")
        found["data"] = json_of(body, "unreadable")
    return of_object(found, "")


def of_batch(found: object, events_max: int) -> list[Event]:
    """Return the events of a batch, which may be empty. Raises InvalidInput."""
    if not isinstance(found, list):
        raise InvalidInput("invalid_event", "a batch of CloudEvents is a list of them", "events")
    if len(found) > events_max:
        raise InvalidInput(
            "batch_too_large", f"At most {events_max:,} events go together, not {len(found):,}.", "events"
        )
    return [of_object(one, f"events[{place}]") for place, one in enumerate(found)]


def of_object(found: object, path: str) -> Event:
    """Return the event that a CloudEvent in JSON is. Raises InvalidInput with what is missing or not understood."""
    if not isinstance(found, dict):
        raise InvalidInput("invalid_event", f"a CloudEvent is an object with {', '.join(REQUIRED)}", path)
    missing = [name for name in REQUIRED if found.get(name) in (None, "")]
    if missing:
        raise InvalidInput(
            "invalid_event", f"{', '.join(missing)} missing: `subject` is the user", _at(path, missing[0])
        )
    for name in REQUIRED:
        if not isinstance(found[name], str):
            raise InvalidInput("invalid_event", f"{shown(found[name])} is not text", _at(path, name))
    if found["specversion"] != VERSION:
        raise InvalidInput(
            "invalid_event", f"{shown(found['specversion'])} is not {VERSION}, which is known", _at(path, "specversion")
        )
    if "data_base64" in found:
        raise _not_json("data_base64", path)
    data_type = found.get("datacontenttype")
    if data_type is not None and not (isinstance(data_type, str) and _is_json(data_type)):
        raise _not_json(data_type, path)
    return Event(
        found["type"],
        user=found["subject"],
        id=f"{found['source']}#{found['id']}",
        time=time_of(found.get("time"), _at(path, "time")),
        data=found.get("data"),
    )


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_json(media_type: str) -> bool:
    kind = essence(media_type)
    return kind == "application/json" or kind.endswith("+json")


def _not_json(found: object, path: str) -> InvalidInput:
    return InvalidInput("invalid_data", f"An event's data is a JSON object, not {shown(found)}.", _at(path, "data"))


def _unescaped(value: str, name: str) -> str:
    """Return what a header says: unquoted, as older senders quote, then percent-decoded once."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _backslashed.sub(r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("ascii")).decode()
    except UnicodeError:
        raise InvalidInput(
            "invalid_event", "What is not printable ASCII is percent-encoded UTF-8 in a header.", name
        ) from None


def _shape(name: str, schema: dict[str, Any]) -> dict[str, str]:
    """Return a reference to a schema, which the document then holds by its name."""
    components[name] = schema
    return {"$ref": f"#/components/schemas/{name}"}


_EVENT = {
    "type": "object",
    "description": "What a user did.",
    "required": ["id", "type", "user"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 255, "description": "Yours; safe to send again."},
        "type": {"type": "string", "pattern": "^[a-z0-9_.]{1,100}$", "examples": ["post.created"]},
        "user": {"type": "string", "minLength": 1, "maxLength": 255},
        "time": {"type": ["string", "null"], "format": "date-time", "description": "When; now if absent."},
        "data": {"type": ["object", "null"], "additionalProperties": True},
    },
}
_CLOUD_EVENT = {
    "type": "object",
    "description": "What a user did, as a CloudEvent (1.0) in JSON.",
    "required": list(REQUIRED),
    "additionalProperties": True,
    "properties": {
        "specversion": {"const": VERSION},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "type": {"type": "string", "pattern": "^[a-z0-9_.]{1,100}$"},
        "subject": {"type": "string", "minLength": 1, "maxLength": 255, "description": "The user."},
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {"type": ["string", "null"], "pattern": r"^(application/json|[^;]+\+json)\s*(;.*)?$"},
        "data": {"type": ["object", "null"], "additionalProperties": True},
    },
}
_EVENTS = {
    "type": "object",
    "description": "What users did, all of it recorded or nothing.",
    "required": ["events"],
    "additionalProperties": False,
    "properties": {"events": {"type": "array", "minItems": 1, "maxItems": 1_000, "items": _shape("Event", _EVENT)}},
}
_EXAMPLE = {
    "specversion": VERSION,
    "id": "42",
    "source": "https://app.example/posts",
    "type": "post.created",
    "subject": "ada",
}
#: What the OpenAPI document says of what `POST /v1/events` takes.
REQUEST_PARAMETERS = [
    {
        "name": "Content-Encoding",
        "in": "header",
        "description": "`gzip` where the body is packed.",
        "schema": {"type": "string", "enum": ["gzip", "identity"]},
    }
]
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"oneOf": [_shape("Event", _EVENT), _shape("EventBatch", _EVENTS)]}},
        STRUCTURED: {"schema": _shape("CloudEvent", _CLOUD_EVENT)},
        # Without a schema: makers of clients cannot tell a list from the other bodies, and would take none at all.
        BATCH: {"example": [{name: _EXAMPLE[name] for name in REQUIRED}]},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line, any number."}},
    },
}

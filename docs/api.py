"""The reference of the HTTP API, drawn from the OpenAPI document that the service itself gives."""

# ruff: noqa: INP001  a script beside the page it makes, not a package

from __future__ import annotations

import json
import tempfile
from functools import cache
from typing import TYPE_CHECKING, Any

import laurels
from laurels.http import create_app
from laurels.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

JSON = "application/json"
PAGE = "Page_"
#: What has a page of its own. A union of that many shapes is one of changes.
CHANGES, CHANGES_MIN = "[change](outcomes.md)", 4

_NAMES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
_FORMATS = {"date-time": "time", "uri": "address", "uri-reference": "address"}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of a service with no settings."""
    with tempfile.TemporaryDirectory() as folder, laurels.open(f"sqlite:///{folder}/laurels.db") as engine:
        return create_app(engine, Settings()).openapi()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every call: its method, its path, and what the document says of it."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def calls() -> str:
    """Return every call of the service, by what it is about."""
    parts = []
    for tag in document()["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}")
        parts += [_call(*each) for each in operations() if each[2]["tags"] == [tag["name"]]]
    return "\n\n".join(parts)


def shapes() -> str:
    """Return the fields of everything that goes in and comes out, but for changes and pages of lists."""
    schemas = document()["components"]["schemas"]
    changes = {name for schema in schemas.values() for name in _members(schema)}
    shown = sorted(name for name in schemas if name not in changes and not name.startswith(PAGE))
    return "\n\n".join(_shape(name, schemas[name]) for name in shown)


def _call(method: str, path: str, operation: dict[str, Any]) -> str:
    said = " ".join(operation["description"].split())
    parts = [f"### `{method} {path}`", f"{said}\n{_who(operation)}"]
    rows = [
        (f"`{one['name']}`", one["in"], _parameter(one["schema"]), "" if one.get("required") else "no", _text(one))
        for one in operation.get("parameters", [])
    ]
    if rows:
        parts.append(_table(("parameter", "in", "value", "needed", ""), rows))
    if "requestBody" in operation:
        parts.append(f"Body: {_contents(operation['requestBody'])}.")
    parts += [
        f"Answer, {status}: {_contents(answer)}. {answer['description'].removeprefix('Done.')}".rstrip()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    ]
    return "\n\n".join(parts)


def _who(operation: dict[str, Any]) -> str:
    """Return who may call."""
    if "security" not in operation:
        return "Takes no key."
    scopes = next(iter(operation["security"][0].values()))
    keys = " or ".join(f"`{scope}`" for scope in scopes if scope != "user")
    return f"Takes a key with {keys}, or a user's token." if "user" in scopes else f"Takes a key with {keys}."


def _contents(of: dict[str, Any]) -> str:
    """Return what a body may be: a shape where it is JSON, else by its media types."""
    schemas = {kind: content.get("schema", {}) for kind, content in of.get("content", {}).items()}
    shown = _value(schemas[JSON]).removesuffix(" or null") if list(schemas) == [JSON] else ""
    return (shown or " or ".join(f"`{kind}`" for kind in schemas)) + ("" if of.get("required", True) else ", or none")


def _shape(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = [
        (f"`{field}`", _value(value), " ".join(("" if field in needed else "May be left out.", _text(value))).strip())
        for field, value in schema.get("properties", {}).items()
    ]
    table = _table(("field", "value", ""), rows) if rows else _value(schema)
    return f"### `{name}`\n\n{_text(schema)}\n\n{table}"


def _text(schema: dict[str, Any]) -> str:
    return " ".join(schema.get("description", "").split())


def _parameter(schema: dict[str, Any]) -> str:
    """Return what a parameter may be; that a parameter need not be given is said elsewhere."""
    default = schema.get("default")
    shown = "" if default in (None, "", []) else f", `{json.dumps(default)}` if not given"
    return _value(schema).removesuffix(" or null") + shown


def _value(schema: dict[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name.startswith(PAGE):
            return f"page of {_value({'$ref': name.removeprefix(PAGE).rstrip('_')})}"
        return f"[`{name}`](#{name.lower()})"
    if len(list(_members(schema, only_own=True))) >= CHANGES_MIN:
        return CHANGES
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(map(_value, schema[union])))
    if "const" in schema or "enum" in schema:
        return " ".join(f"`{text}`" for text in schema.get("enum", [schema.get("const")]))
    kinds = schema.get("type", "any JSON")
    return " or ".join(_kind(kind, schema) for kind in (kinds if isinstance(kinds, list) else [kinds]))


def _kind(kind: str, schema: dict[str, Any]) -> str:
    match kind:
        case "array":
            return f"list of {_value(schema['items'])}" if schema.get("items") else "list"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {_value(inner)}" if isinstance(inner, dict) and inner else "object"
        case "string":
            return _FORMATS.get(schema.get("format", ""), "text")
        case "integer" if "minimum" in schema and "maximum" in schema:
            return f"whole number, {int(schema['minimum'])} to {int(schema['maximum'])}"
        case _:
            return _NAMES.get(kind, kind)


def _members(schema: Any, *, only_own: bool = False) -> Iterator[str]:
    """Yield the names of the shapes in unions of changes."""
    if isinstance(schema, dict):
        union = [each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", []) if "$ref" in each]
        if len(union) >= CHANGES_MIN:
            yield from union
        if not only_own:
            for inner in schema.values():
                yield from _members(inner)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(header)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

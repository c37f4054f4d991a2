"""What is wrong with a catalog file, in plain words and with its place: pydantic's errors and our own findings."""

from __future__ import annotations

import json
import re
from functools import reduce
from operator import getitem
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel

from laurels.catalog_checks import Finding
from laurels.catalog_tree import CatalogFile
from laurels.core.errors import Problem
from laurels.core.nearest import nearest, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from laurels.catalog_checks import Loc

_ARRAYS = ("rules", "boosts", "achievements", "quests", "streaks", "leaderboards")
_WANTED = {
    "int_type": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_SHOWN_LENGTH_MAX = 40
_SHOWN_BITS_MAX = 100
_UNQUOTED = ("int_type", "bool_type")


def in_tree(loc: Loc, tree: Any) -> Loc:
    """Return the part of a place that stands in the tree; what follows is missing there, or a mark of pydantic's."""
    node = tree
    for depth, part in enumerate(loc):
        here = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if not here:
            return loc[:depth]
        node = node[part]
    return loc


def without_kind(loc: Loc) -> Loc:
    """Return pydantic's place without the kind of curve that it puts between a curve and its fields."""
    return (*loc[:2], *loc[3:]) if loc[:2] == ("levels", "curve") else loc


def finding_of(error: ErrorDetails, tree: dict[str, Any]) -> Finding:
    """Say in plain words what pydantic found."""
    whole, given, context = error["loc"], error["input"], error.get("ctx", {})
    loc = in_tree(without_kind(whole), tree)
    match error["type"]:
        case "missing":
            description = _field(_table_at(whole[:-1]), str(whole[-1])).description or ""
            return Finding((*loc, whole[-1]), f"missing ({description[:1].lower()}{description[1:].rstrip('.,')})")
        case "extra_forbidden":
            return Finding(loc, unknown("field", str(whole[-1])[:60], _field_names(_table_at(whole[:-1]))))
        case "literal_error":
            return Finding(loc, _one_of(given, context["expected"]))
        case "union_tag_invalid":
            return Finding((*loc, "kind"), _one_of(context["tag"], context["expected_tags"]))
        case "union_tag_not_found":
            return Finding((*loc, "kind"), "missing: one of linear, quadratic, exponential, table")
        case "string_unicode":
            return Finding(loc, "holds half of a character that is written in two (a lone surrogate)")
        case "value_error":
            return Finding(loc, str(context["error"]))
        case kind if kind in _WANTED:
            quoted = "; write it without quotes" if kind in _UNQUOTED and isinstance(given, str) else ""
            return Finding(loc, f"must be {_WANTED[kind]}, not {shown(given)}{quoted}")
        case kind:
            return Finding(loc, _out_of_bounds(kind, given, context))


def _out_of_bounds(kind: str, given: Any, context: dict[str, Any]) -> str:
    match kind:
        case "greater_than_equal":
            return f"must be at least {context['ge']:,}, not {shown(given)}"
        case "less_than_equal":
            return f"must be at most {context['le']:,}, not {shown(given)}"
        case "too_short" if context["min_length"] == 1:
            return "must not be empty"
        case "too_short" | "too_long":
            bound = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']:,}"
            return f"must have {bound} values, not {context['actual_length']:,}"
        case "string_too_long":
            return f"must be at most {context['max_length']:,} characters long, not {len(given):,}"
        case _:
            return f"cannot be read ({kind})"


def _one_of(given: Any, expected: str) -> str:
    names = re.findall(r"'([^']*)'", expected)
    found = nearest(given, names) if isinstance(given, str) else None
    return f"must be one of {', '.join(names)}, not {shown(given)}" + (f"; did you mean {found!r}?" if found else "")


def shown(value: Any) -> str:
    """Return a value of the file as a message shows it: short."""
    match value:
        case bool() | None:
            return json.dumps(value)
        case str():
            return repr(value if len(value) <= _SHOWN_LENGTH_MAX else value[: _SHOWN_LENGTH_MAX - 1] + "…")
        case dict():
            return "a table"
        case list():
            return "a list"
        case int() if value.bit_length() > _SHOWN_BITS_MAX:
            return "a number far beyond it"
        case _:
            return f"{value}"[:_SHOWN_LENGTH_MAX]


def problems_of(found: Iterable[Finding], tree: dict[str, Any]) -> list[Problem]:
    """Return the findings in the order of the file, each with the name of the entry that its path counts to."""
    ordered = sorted(found, key=lambda finding: _position(finding.loc, tree))
    return [Problem(_path(_given(loc, tree)), message + _entry_named(loc, tree)) for loc, message in ordered]


def _given(loc: Loc, tree: dict[str, Any]) -> Loc:
    """Return the place as the file has it: where we count the types in `on`, it may have a plain one."""
    found = in_tree(loc, tree)
    return loc if isinstance(reduce(getitem, found, cast("Any", tree)), dict) else found


def _position(loc: Loc, tree: Any) -> list[int]:
    position: list[int] = []
    node = tree
    for part in loc:
        match node:
            case dict():
                position.append(list(node).index(part) if part in node else len(node))
                node = node.get(part)
            case list():
                position.append(int(part))
                node = node[int(part)]
            case _:
                break
    return position


def _path(loc: Loc) -> str:
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            name = part[:60]
            path += "." + (name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False))
    return path.removeprefix(".")


def _entry_named(loc: Loc, tree: dict[str, Any]) -> str:
    match loc:
        case (str(section), int(index), *field) if section in _ARRAYS and field not in (["id"], ["code"]):
            entry = tree[section][index]
            name = (entry.get("id") or entry.get("code")) if isinstance(entry, dict) else None
            return f" ({section.removesuffix('s')} {name[:60]!r})" if isinstance(name, str) else ""
        case _:
            return ""


def _table_at(loc: Loc) -> type[BaseModel]:
    """Return the model of the table that pydantic found at a place."""
    kind: Any = CatalogFile
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _bare(_field(kind, str(part)).annotation)
        elif get_origin(kind) in (dict, list):
            kind = _bare(get_args(kind)[-1])
        else:
            kind = next(curve for curve in get_args(kind) if get_args(_field(curve, "kind").annotation) == (part,))
    assert isinstance(kind, type)
    assert issubclass(kind, BaseModel)
    return kind


def _bare(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    present = [inner for inner in get_args(kind) if inner is not NoneType]
    return present[0] if get_origin(kind) is UnionType and len(present) == 1 else kind


def _field(table: type[BaseModel], name: str) -> FieldInfo:
    return next(field for code, field in table.model_fields.items() if (field.alias or code) == name)


def _field_names(table: type[BaseModel]) -> list[str]:
    return [field.alias or code for code, field in table.model_fields.items()]

"""
TOML or JSON text -> Catalog, with every mistake reported at once: where it is, what is wrong, which name was meant.

Reading goes on behind a mistake: a field with a wrong value is left out, then an entry that cannot be without it, and
what remains is checked. So a typo in one rule does not hide another in an achievement.
"""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal, InvalidOperation
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from laurels.catalog_build import build
from laurels.catalog_checks import Entries, Finding, Names, findings
from laurels.catalog_problems import finding_of, in_tree, problems_of, shown, without_kind
from laurels.catalog_tree import CatalogFile
from laurels.core.errors import CatalogInvalid, Problem
from laurels.core.nearest import nearest, unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from laurels.catalog_checks import Loc
    from laurels.core.catalog import Catalog

Format = Literal["toml", "json"]
CATALOG_BYTES_MAX = 4 * 2**20

_BUNDLED = resources.files("laurels") / "catalogs"

_Node: TypeAlias = Any  # What TOML or JSON can hold: tables, lists, text, numbers, times.
_EntryT = TypeVar("_EntryT", bound=BaseModel)


def parse_catalog(text: str, *, format: Format = "toml", source_name: str = "catalog") -> Catalog:  # noqa: A002
    """
    Return the catalog that a text describes.

    Raises CatalogInvalid with all its problems; `source_name` is what the message calls the text. The `source` of the
    catalog is the same for texts that mean the same, and is itself JSON that can be parsed here.
    """
    tree = _without_nested_names(_tree(text, format, source_name))
    file, found = _read(tree)
    if found:
        raise CatalogInvalid(source_name, problems_of(found, tree))
    content = file.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return build(file, json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def load_catalog(path_or_name: str | Path) -> Catalog:
    """
    Return the catalog in a `.toml` or `.json` file, or the bundled one of a name, such as `community`.

    Raises CatalogInvalid, also for a file that is not there or cannot be read.
    """
    path, name = Path(path_or_name), str(path_or_name)
    if path.suffix in (".toml", ".json"):
        try:
            with path.open("rb") as file:
                content = file.read(CATALOG_BYTES_MAX + 1)
        except (OSError, ValueError) as error:  # ValueError: a path with U+0000
            raise _unreadable(name, f"cannot be read: {getattr(error, 'strerror', error)}") from None
        return parse_catalog(
            _text(content, name), format="json" if path.suffix == ".json" else "toml", source_name=name
        )
    return parse_catalog(bundled_text(name), source_name=name)


def bundled_catalogs() -> tuple[str, ...]:
    """Return the names of the catalogs that come with Laurels, sorted."""
    names = (file.name for file in _BUNDLED.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def bundled_text(name: str) -> str:
    """Return a bundled catalog as it is written, with its comments. Raises CatalogInvalid for any other name."""
    bundled = bundled_catalogs()
    if name not in bundled:
        raise _unreadable(name, f"{unknown('bundled catalog', name, bundled)} (or name a .toml or .json file)")
    return (_BUNDLED / f"{name}.toml").read_text("utf-8")


def catalog_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a catalog file, with a description of every field, for editors."""
    schema = CatalogFile.model_json_schema(by_alias=True, schema_generator=_Schema)
    event = schema["$defs"]["EventTable"]
    event["additionalProperties"] = {"$ref": "#/$defs/EventTable"}  # [events.post.created] is [events."post.created"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Laurels catalog"}


class _Schema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """A title made from the field's own name says nothing."""
        return False


# --- Text to tree -----------------------------------------------------------------------------------------------------


def _unreadable(source_name: str, message: str, place: str = "file") -> CatalogInvalid:
    return CatalogInvalid(source_name, [Problem(place, message)])


def _text(content: bytes, source_name: str) -> str:
    if len(content) > CATALOG_BYTES_MAX:
        raise _unreadable(source_name, f"is larger than {CATALOG_BYTES_MAX // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(source_name, "is not UTF-8 text; save it as UTF-8", f"line {line}") from None


def _tree(text: str, format: Format, source_name: str) -> dict[str, _Node]:  # noqa: A002
    if len(text) > CATALOG_BYTES_MAX:
        raise _unreadable(source_name, f"is longer than {CATALOG_BYTES_MAX // 2**20} Mi characters")
    try:
        tree = tomllib.loads(text, parse_float=_decimal) if format == "toml" else _json(text)
    except RecursionError:
        raise _unreadable(source_name, "is nested too deep for a catalog") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _unreadable(source_name, f"is no JSON: {error.msg}", place) from None
    except ValueError as error:
        raise CatalogInvalid(source_name, [_toml_problem(str(error), text)]) from None
    if not isinstance(tree, dict):
        raise _unreadable(source_name, f"must be an object of tables such as rules, not {shown(tree)}")
    return tree


def _json(text: str) -> _Node:
    return json.loads(text, parse_float=_decimal, parse_constant=_decimal, object_pairs_hook=_each_once)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"the number {text[:40]} is out of range") from None


def _each_once(pairs: list[tuple[str, _Node]]) -> dict[str, _Node]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"the field {twice[:60]!r} is given twice in one object")
    for name in table:
        if not name.isprintable() and any("\ud800" <= character <= "\udfff" for character in name):
            raise ValueError(f"the field {name[:60]!r} holds half of a character that is written in two")
    return table


_TOML_HINTS = {
    "Cannot overwrite a value": "this is given twice",
    "Invalid value": "this is no value; text stands in quotes, and true and false are written small",
    "Invalid statement": "a line is a [table] or a name = value; only letters, digits, - and _ need no quotes in names",
    "Expected newline or end of document after a statement": "the statement should end before this",
}


def _toml_problem(reason: str, text: str) -> Problem:
    """Say where and why a text is no TOML; `reason` is tomllib's, which ends with the place."""
    found = re.fullmatch(r"(.*) \(at (?:(line (\d+), column \d+)|(end of document))\)", reason, re.DOTALL)
    if found is None:
        return Problem("file", reason)
    reason, place, line, end = found.groups()
    excerpt = f": {text.split(chr(10))[int(line) - 1].strip()[:80]}" if line else ""
    return Problem(place or end, f"is no TOML, {_TOML_HINTS.get(reason, reason)}{excerpt}")


# --- One way of writing -----------------------------------------------------------------------------------------------

_NAME_PARTS_MAX = 50
_NAMES_WITH_DOTS = {"achievements": ("when", "any"), "quests": ("goals",)}


def _without_nested_names(tree: dict[str, _Node]) -> dict[str, _Node]:
    """Return the tree as if names with dots stood in quotes; TOML reads `earned.sparkle = 5` as a table in a table."""
    tree = dict(tree)
    if isinstance(tree.get("events"), dict):
        tree["events"] = dict(_event_tables(tree["events"]))
    for section, fields in _NAMES_WITH_DOTS.items():
        if isinstance(tree.get(section), list):
            tree[section] = [_with_joined(entry, fields) for entry in tree[section]]
    return tree


def _event_tables(tables: dict[str, _Node], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, _Node]]:
    for name, table in tables.items():
        longer = {key: value for key, value in table.items() if _is_part(key, value)} if isinstance(table, dict) else {}
        if not longer or depth == _NAME_PARTS_MAX:
            yield prefix + name, _with_joined(table, ("data",))
            continue
        own = {key: value for key, value in table.items() if key not in longer}
        if own:
            yield prefix + name, _with_joined(own, ("data",))
        yield from _event_tables(longer, f"{prefix}{name}.", depth + 1)


def _is_part(name: str, table: _Node) -> bool:
    """Whether this is the next part of an event type's name, not a field (perhaps misspelled) of the one so far."""
    return name != "data" and isinstance(table, dict) and all(isinstance(value, dict) for value in table.values())


def _with_joined(table: _Node, fields: Collection[str]) -> _Node:
    if not isinstance(table, dict):
        return table
    return {name: _joined(value) if name in fields else value for name, value in table.items()}


def _joined(table: _Node, depth: int = 1) -> _Node:
    """Return a table with the names of tables in it joined by dots; a name given in both ways stays, to be refused."""
    if not isinstance(table, dict):
        return table
    joined = {name: value for name, value in table.items() if not isinstance(value, dict)}
    for name, value in table.items():
        if isinstance(value, dict):
            inner = _joined(value, depth + 1) if depth < _NAME_PARTS_MAX else {}
            longer = {f"{name}.{part}": found for part, found in inner.items()}
            joined |= longer if longer and joined.keys().isdisjoint(longer) else {name: value}
    return joined


# --- Tree to file, and what is wrong with it --------------------------------------------------------------------------

_CUT_MAX = 4
_FINDINGS_MAX = 1_000  # Nobody reads more, and looking for the nearest name takes its time.
_TABLES_OF_PAIRS = frozenset({"when", "any", "goals", "reward", "metrics"})


def _read(tree: dict[str, _Node]) -> tuple[CatalogFile, list[Finding]]:
    """Return what can be read of a tree, and everything that is wrong with it."""
    removed: set[Loc] = set()
    found: list[Finding] = []
    for depth in (4, 3, 2, 1, 0):
        part, indexes = _without(tree, removed)
        try:
            file = CatalogFile.model_validate(part)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
            if not removed:
                found = [finding_of(error, tree) for error in errors]
            removed |= {_wrong_part(_original(error["loc"], indexes), tree, depth) for error in errors}
        else:
            break
    more = (
        finding
        for finding in findings(_entries(file, indexes, removed), _names(tree))
        if not any(finding.loc[: len(loc)] == loc or loc[: len(finding.loc)] == finding.loc for loc in removed)
    )
    return file, [*found, *islice(more, _FINDINGS_MAX)]


def _without(tree: dict[str, _Node], removed: Collection[Loc]) -> tuple[dict[str, _Node], dict[str, list[int]]]:
    """Return the tree without what stands at these places, and which entries of its arrays are left."""

    def rest(node: _Node, *loc: str | int) -> _Node:
        if not isinstance(node, dict):
            return node
        left = {key: value for key, value in node.items() if (*loc, key) not in removed}
        return {key: rest(value, *loc, key) for key, value in left.items()} if len(loc) < _CUT_MAX else left

    part = rest(tree)
    indexes = {}
    for section, array in part.items():
        if isinstance(array, list):
            indexes[section] = [index for index in range(len(array)) if (section, index) not in removed]
            part[section] = [rest(array[index], section, index) for index in indexes[section]]
    return part, indexes


def _wrong_part(loc: Loc, tree: dict[str, _Node], depth: int) -> Loc:
    """Return what has to be left out for an error: one pair of a table of pairs, else a field, then more each time."""
    found = in_tree(without_kind(loc), tree)
    is_pair = len(found) >= _CUT_MAX and found[2] in _TABLES_OF_PAIRS
    return found[:depth] if is_pair else found[: min(depth, _CUT_MAX - 1)]


def _original(loc: Loc, indexes: dict[str, list[int]]) -> Loc:
    match loc:
        case (str(section), int(index), *rest) if section in indexes:
            return section, indexes[section][index], *rest
        case _:
            return loc


def _entries(file: CatalogFile, indexes: dict[str, list[int]], removed: Collection[Loc]) -> Entries:
    def indexed(section: str, entries: Sequence[_EntryT]) -> Sequence[tuple[int, _EntryT]]:
        return list(zip(indexes.get(section, ()), entries, strict=True))

    return Entries(
        file=file,
        levels=None if ("levels",) in removed else file.levels,
        rules=indexed("rules", file.rules),
        boosts=indexed("boosts", file.boosts),
        achievements=indexed("achievements", file.achievements),
        quests=indexed("quests", file.quests),
        streaks=indexed("streaks", file.streaks),
        leaderboards=indexed("leaderboards", file.leaderboards),
    )


def _names(tree: dict[str, _Node]) -> Names:
    """Return the names in a tree, also those of entries that are wrong and of tables whose own name is misspelled."""
    misspelled = {nearest(key, CatalogFile.model_fields): key for key in tree.keys() - CatalogFile.model_fields.keys()}
    sections = {section: tree[key] for section, key in misspelled.items() if section is not None} | tree

    def keys(section: str) -> Collection[str] | None:
        table = sections.get(section, {})
        return frozenset(table) if isinstance(table, dict) else None

    def codes(section: str) -> Collection[str] | None:
        array = sections.get(section, [])
        if not isinstance(array, list):
            return None
        found = [entry.get("code") for entry in array if isinstance(entry, dict)]
        return frozenset(code for code in found if isinstance(code, str))

    return Names(
        events=keys("events"),
        currencies=keys("currencies"),
        metrics=keys("metrics"),
        achievements=codes("achievements"),
        quests=codes("quests"),
        streaks=codes("streaks"),
    )

"""
The parts of the documentation that are made from the program itself.

`python docs/generate.py` brings the pages up to date; a test holds them against it. A part stands in its page between
`<!-- generated: KIND SUBJECT -->` and `<!-- end -->`, with prose by hand around it. The picture of the demo is the
demo's own output, of one fixed day.
"""

# ruff: noqa: INP001  a script beside the pages it writes, not a package

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer
from msgspec import Struct, UnsetType
from rich.console import Console

if not __package__:  # Started as a script: Python looks beside it only.
    sys.path.insert(0, str(Path(__file__).parents[1]))

import laurels
from benchmarks import _page
from docs import api, examples
from laurels import catalog_tree, cli, demo, handles, terminal
from laurels.core import catalog, changes, notifications, profile
from laurels.core.commands import Command
from laurels.leaderboards import board
from laurels.settings import Settings, variable
from laurels.store import reads
from laurels.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
PAGES = sorted(DOCS.rglob("*.md"))
#: Pages that a reader follows from their beginning; see `examples.py`.
FOLLOWED = (DOCS.parent / "README.md", DOCS / "tutorial.md")
PICTURE = DOCS / "images/demo.svg"
PICTURE_DAY = date(2026, 11, 22)
PICTURE_WIDTH = 112
SIGNATURE_LENGTH_MAX = 100

_PART = re.compile(r"(<!-- generated: (\w+) ?(\S*) -->\n).*?(<!-- end -->)", re.DOTALL)
#: Rich's pictures ask another site for a font; ours show themselves in whatever monospace font there is.
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def updated(page: str) -> str:
    """Return a page's text with all its generated parts as the program is now."""
    return _PART.sub(lambda found: f"{found[1]}\n{_KINDS[found[2]](found[3]).strip()}\n\n{found[4]}", page)


def without_parts(page: str) -> str:
    """Return what of a page is written by hand."""
    return _PART.sub("", page)


def picture() -> str:
    """Return the demo's output of a fixed seed and day as SVG."""
    screen = Console(width=PICTURE_WIDTH, record=True, file=io.StringIO(), force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        tour = demo.build(f"sqlite:///{folder}/demo.db", demo.SEED, quietly, today=PICTURE_DAY)
    *parts, _what_to_type_next = terminal.tour(tour, "laurels")
    for part in parts:
        screen.print(part)
        screen.print()
    return _FONT.sub("", screen.export_svg(title="laurels demo"))


def main() -> None:
    """Write what is out of date, and say so; with --outputs, also what the commands in README and tutorial print."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        _write(page, text, updated(text))
    for page in FOLLOWED if "--outputs" in sys.argv else ():
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            _write(page, text, examples.refreshed(text, examples.Folder(Path(folder))))
    _write(PICTURE, PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else "", picture())


def _write(file: Path, before: str, after: str) -> None:
    if before != after:
        file.write_text(after, encoding="utf-8")
        sys.stdout.write(f"{file.relative_to(DOCS.parent)} was brought up to date\n")


def quietly(_what: str, _unit: str) -> Callable[[int, int | None], None]:
    """Show no progress."""
    return lambda _done, _total: None


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(header)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: object) -> str:
    return f"`{text}`"


def _on_a_line(text: str | None) -> str:
    return " ".join((text or "").split())


# --- The catalog ------------------------------------------------------------------------------------------------------

#: The kinds of values in `catalog_tree.py`, in the words of the page's section on values.
_VALUES = {
    "Amount": "whole number",
    "AmountOrPath": "whole number or path",
    "Code": "code",
    "ConditionText": "condition",
    "Count": "whole number, at least 0",
    "Duration": "duration",
    "EventPatterns": "event type, pattern, or a list of them",
    "EventType": "event type",
    "Factor": "number",
    "Line": "text",
    "PathText": "path",
    "Positive": "whole number, at least 1",
    "Prose": "text of several lines",
    "Reward": "amounts",
    "Symbol": "name",
    "Thresholds": "targets",
    "Time": "time",
    "Zone": "time zone",
    "bool": "true or false",
    "int": "whole number",
}


def _catalog_section(section: str) -> str:
    """Return the fields of one section of the file, then those of the tables in it."""
    field = catalog_tree.CatalogFile.model_fields[section]
    models = _models(field.annotation)
    return "\n\n".join(part for model in models for part in _model_tables(model, section))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the tables in an annotation, such as the one in `dict[Symbol, MetricTable]`."""
    if inspect.isclass(annotation) and issubclass(annotation, catalog_tree.Table):
        return [] if annotation is catalog_tree.MetricChange else [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _model_tables(model: type[BaseModel], path: str) -> Iterator[str]:
    rows = [_field_row(model, name, field) for name, field in model.model_fields.items()]
    yield f"{inspect.getdoc(model)}\n\n" + _table(("field", "value", "default", ""), rows)
    for name, field in model.model_fields.items():
        inner = f"{path}.{field.alias or name}"
        for table in _models(field.annotation):
            first, *rest = _model_tables(table, inner)
            kind = (
                f' with `kind = "{_literals(table.model_fields["kind"])[0]}"`' if "kind" in table.model_fields else ""
            )
            yield f"### `{inner}`{kind}\n\n{first}"
            yield from rest


def _field_row(model: type[BaseModel], name: str, field: FieldInfo) -> tuple[str, ...]:
    value = ast.parse(_annotation(model, name), mode="eval").body
    default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
    return _code(field.alias or name), _value(value), default, field.description or ""


def _annotation(model: type, name: str) -> str:
    """Return a field's annotation as it is written: the names in it say more than the types behind them."""
    return next(kind.__annotations__[name] for kind in model.__mro__ if name in kind.__annotations__)


def _value(node: ast.expr) -> str:
    """Return what an annotation means for who writes a catalog."""
    match node:
        case ast.BinOp(left=left, right=ast.Constant(value=None)):
            return _value(left)
        case ast.Name(id=name) if name in _VALUES:
            return _VALUES[name]
        case ast.Name(id=name) if name.endswith("Table") or name == "Curve":
            return "table"
        case ast.Name(id="MetricChange"):
            return "metric change"
        case ast.Name(id=name):
            return _one_of(_literals(getattr(catalog_tree, name)))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=names):
            return _one_of(ast.literal_eval(ast.unparse(names)))
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *_])):
            return _value(first)
        case ast.Subscript(value=ast.Name(id="list"), slice=ast.Name(id=name)) if name.endswith("Table"):
            return "list of tables"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, ast.Name(id=name)])) if name.endswith(
            "Table"
        ):
            return "table of tables"
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return f"list of: {_value(inner)}"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, inner])):
            return f"table of: {_value(inner)}"
        case _:
            raise AssertionError(ast.unparse(node))


def _literals(kind: Any) -> tuple[str, ...]:
    """Return the texts that a `Literal`, or something annotated with one, allows."""
    annotation = getattr(kind, "annotation", kind)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(found for inner in get_args(annotation) if (found := _literals(inner)))


def _one_of(names: str | tuple[str, ...]) -> str:
    return " ".join(_code(name) for name in ((names,) if isinstance(names, str) else names))


def _default(value: Any) -> str:
    match value:
        case None | "":
            return ""
        case bool():
            return _code(str(value).lower())
        case dict() | list():
            return _code(json.dumps(value)) if value else ""
        case str() | int() | float():
            return _code(value)
        case _:
            return "see below"


# --- Commands, settings -----------------------------------------------------------------------------------------------


_EXAMPLE = re.compile(r"\[dim\](.*?)\[/\]", re.DOTALL)


def _commands(_: str) -> str:
    """Return every command with its help, its usage and its options."""
    return "\n\n".join(_command(path, command) for path, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command of the program with what is typed for it, such as `laurels users show`."""
    return _under("laurels", typer.main.get_command(cli.app))


def _under(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _under(f"{path} {name}", inner)


def _command(path: str, command: Any) -> str:
    context = typer.Context(command, info_name=path)
    text = re.sub(_EXAMPLE, "", command.help).strip()
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [(param.required, param.get_help_record(context)) for param in command.params]
    rows = [(_code(_plain_type(what)), help_ or "") for _, (what, help_) in records]
    shown = "\n".join(" ".join(line.split()) for line in (usage, *examples_of(command)))
    return f"## `{path}`\n\n{text}\n\n```text\n{shown}\n```\n\n" + (_table(("", ""), rows) if rows else "")


def _plain_type(what: str) -> str:
    return (
        what.replace(" <bool>", "").replace("<str>", "TEXT").replace("<int>", "NUMBER").replace("<int range>", "NUMBER")
    )


def examples_of(command: Any) -> list[str]:
    """Return the examples in a command's help, which are dimmed there."""
    return [found[1] for found in re.finditer(_EXAMPLE, command.help)]


def _settings(_: str) -> str:
    rows = [
        (_code(name), _code(variable(name)), _default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return _table(("in laurels.toml", "variable", "default", ""), rows)


# --- Python -----------------------------------------------------------------------------------------------------------

_MODULES = (laurels, handles, board, profile, notifications, reads)


def _python(name: str) -> str:
    """Return what a public name says of itself, how it is called, what it carries; of a class, its methods too."""
    thing = next(getattr(module, name) for module in _MODULES if hasattr(module, name))
    text = inspect.getdoc(thing) or ""
    if not inspect.isclass(thing):
        return _documented(name, _call(name, thing), text)
    if issubclass(thing, Command) or thing is laurels.Event:
        return _documented(name, _call(name, thing), text)
    if issubclass(thing, Struct):
        rows = [(_code(field), _code(_annotation(thing, field))) for field in thing.__struct_fields__]
        return _documented(name, "", f"{text}\n\n{_table(('field', 'type'), rows)}")
    methods = [] if issubclass(thing, Exception) else list(_methods(thing))
    return "\n\n".join([_documented(name, "", text), *methods])


def _methods(kind: type) -> Iterator[str]:
    for name, value in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            signature = f"{name}: {inspect.signature(value.fget).return_annotation}"  # type: ignore[arg-type]
            yield _documented(name, signature, inspect.getdoc(value) or "", level=4)
        elif inspect.isfunction(value):
            yield _documented(name, _call(name, value), inspect.getdoc(value) or "", level=4)


def _call(name: str, thing: Callable[..., object]) -> str:
    """Return how something is called; what is given by name stands behind a star."""
    signature = inspect.signature(thing)
    by_place, by_name = [], []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        default = "" if parameter.default is parameter.empty else f"={_shown(parameter.default)}"
        (by_name if parameter.kind is parameter.KEYWORD_ONLY else by_place).append(parameter.name + default)
    parameters = by_place + (["*", *by_name] if by_name else [])
    returned = signature.return_annotation
    answer = "" if returned in (signature.empty, None, "None") else f" -> {returned}"
    line = f"{name}({', '.join(parameters)}){answer}"
    if len(line) <= SIGNATURE_LENGTH_MAX:
        return line
    inner = ",\n    ".join(parameters)
    return f"{name}(\n    {inner},\n){answer}"


def _shown(value: object) -> str:
    return "UNSET" if isinstance(value, UnsetType) else repr(value)


def _documented(name: str, signature: str, text: str, *, level: int = 3) -> str:
    shown = f"```python\n{signature}\n```\n\n" if signature else ""
    return f"{'#' * level} `{name}`\n\n{shown}{text}".rstrip()


# --- Changes, tables --------------------------------------------------------------------------------------------------


def _changes(_: str) -> str:
    """Return what every change that callers see carries."""
    rows = []
    for change in get_args(changes.Change):
        if change.type:
            carried = [_code(field) for field in change.__struct_fields__ if field != "user_id"]
            rows.append((_code(change.type), " ".join(carried), _on_a_line(inspect.getdoc(change))))
    return _table(("type", "fields, besides `user_id`", ""), rows)


def _tags(_: str) -> str:
    """Return the stored form of every change: its tag, then its fields in their order."""
    rows = [
        (_code(change.__struct_config__.tag), change.type and _code(change.type), " ".join(change.__struct_fields__))
        for change in get_args(changes.Change)
    ]
    return _table(("tag", "type", "fields"), rows)


def _points(_: str) -> str:
    return _table(("rarity", "points"), [(_code(rarity), str(points)) for rarity, points in catalog.POINTS.items()])


def _tables(_: str) -> str:
    """Return every table with its columns."""
    parts = []
    for table in metadata.sorted_tables:
        keys = ", ".join(_code(column.name) for column in table.primary_key.columns)
        rows = [(_code(c.name), "" if not c.nullable else "may be null", c.comment or "") for c in table.columns]
        text = f"{table.comment}. " if table.comment else ""
        parts.append(f"### `{table.name}`\n\n{text}Primary key: {keys}.\n\n" + _table(("column", "", ""), rows))
    return "\n\n".join(parts)


_KINDS: dict[str, Callable[[str], str]] = {
    **_page.PARTS,
    "catalog": _catalog_section,
    "changes": _changes,
    "calls": lambda _: api.calls(),
    "commands": _commands,
    "points": _points,
    "python": _python,
    "settings": _settings,
    "shapes": lambda _: api.shapes(),
    "tables": _tables,
    "tags": _tags,
}

if __name__ == "__main__":
    main()

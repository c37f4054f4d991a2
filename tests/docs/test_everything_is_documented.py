"""What programs and people can meet is in the documentation, and the documentation has nothing else."""

import ast
import re
from pathlib import Path

import pytest

import laurels
from docs import api, generate
from laurels.core import errors
from laurels.settings import Settings, variable
from laurels.store import postgres, sqlite

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
SOURCES = sorted((ROOT / "src/laurels").rglob("*.py"))
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}


def page(name):
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", laurels.__all__)
def test_every_public_name_is_on_the_python_page(name):
    assert re.search(rf"^### `{name}`$", page("python"), re.MULTILINE) or f"`laurels.{name}`" in page("python")


@pytest.mark.parametrize("path", [path for path, _ in generate.commands()])
def test_every_command_is_on_the_page_of_the_command_line(path):
    assert f"## `{path}`\n" in page("cli")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_on_its_page(name):
    assert f"| `{name}` | `{variable(name)}` |" in page("settings")


def codes_in(source):
    """The codes of the errors that a module raises; a code that was put in a variable is looked up there."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    named = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named.setdefault(node.targets[0].id, []).append(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and raises(node.func):
            values = named.get(node.args[0].id, []) if isinstance(node.args[0], ast.Name) else [node.args[0]]
            yield from (text for value in values for text in texts_of(value))


def raises(function):
    match function:
        case ast.Name(id=name):
            return name in ERRORS
        case ast.Attribute(attr="__init__", value=ast.Call(func=ast.Name(id="super"))):
            return True
        case _:
            return False


def texts_of(value):
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=otherwise):
            yield from (*texts_of(body), *texts_of(otherwise))


def test_every_error_code_is_on_the_page_of_errors_and_no_other():
    raised = {code for source in SOURCES for code in codes_in(source) if re.fullmatch(r"[a-z]+(_[a-z]+)+", code)}
    raised |= {code for store in (postgres, sqlite) for code, _, _ in store.UNAVAILABLE.values()}
    documented = set(re.findall(r"^\| `([a-z_]+)` \| `[A-Z]", page("errors"), re.MULTILINE))
    assert documented == raised


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_class_is_on_the_page_of_errors(name):
    assert f"`{name}`" in page("errors") or f"`laurels.{name}`" in page("errors")


@pytest.mark.parametrize(("method", "path"), [pytest.param(m, p, id=f"{m} {p}") for m, p, _ in api.operations()])
def test_every_call_is_on_the_page_of_http(method, path):
    assert f"### `{method} {path}`\n" in page("http")


def refusals_in(source):
    """The codes that a module of the service answers with, which are no class of error."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="Refused" | "problem"), args=[_, ast.Constant(value=str(code)), *_]):
                yield code


def test_every_code_of_http_is_on_the_page_of_errors():
    answered = {code for source in (ROOT / "src/laurels/http").glob("*.py") for code in refusals_in(source)}
    documented = set(re.findall(r"^\| `([a-z_]+)` \| [0-9]{3} \|", page("errors"), re.MULTILINE))
    assert {"unauthorized", "rate_limited", "internal_error"} < answered
    assert answered <= documented
    assert documented - answered == {"not_found", "overloaded"}  # The framework's and the engine's.

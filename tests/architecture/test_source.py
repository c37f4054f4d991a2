"""House rules of the source, as tests: short functions, a purpose in each module, documented names, no junk drawers."""

import ast
import statistics
from pathlib import Path

import laurels

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src/laurels").rglob("*.py"))
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P90_MAX = 35
JUNK_DRAWERS = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers", "base"}


def test_functions_are_short():
    """None over 70 lines, nine in ten at most 35; `./run test -rP tests/architecture` shows the figures."""
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in [*MODULES, ROOT / "run"]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    p90 = statistics.quantiles(lengths.values(), n=10)[-1]
    print(f"{len(lengths)} functions, median {statistics.median(lengths.values()):.0f} lines, p90 {p90:.0f}")  # noqa: T201
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}
    assert p90 <= FUNCTION_LINES_P90_MAX


def test_every_module_says_what_it_is_for():
    silent = [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_no_module_is_a_junk_drawer():
    named = {path: {*path.stem.split("_"), path.parent.name} for path in MODULES}
    assert [path for path, words in named.items() if words & JUNK_DRAWERS] == []


def test_public_names_are_sorted():
    """Constants, classes, then functions, each by the alphabet: the order that ruff gives them."""
    in_order = sorted(laurels.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert list(laurels.__all__) == in_order


def test_public_names_are_documented():
    texts = {name: getattr(laurels, name).__doc__ or "" for name in laurels.__all__}
    # A dataclass without a docstring is given its signature for one.
    assert [name for name, text in texts.items() if not text or text.startswith(f"{name}(")] == []

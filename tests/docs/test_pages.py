"""The pages hold together: links lead somewhere, what is generated is up to date, the tests they name exist."""

import re
import sys
from pathlib import Path

import pytest

from docs import generate

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", ROOT / "CONTRIBUTING.md", *generate.PAGES]
SOURCES = [*(ROOT / "src/laurels").rglob("*.py"), ROOT / "run"]

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

MADE_BY_READERS = {"catalog.toml", "laurels.toml", "shop.py"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    """The anchors of a page's headings, as pages on the web name them."""
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in HEADING.findall(prose(page)))
    return {re.sub(r"\s+", "-", text) for text in plain}


def is_address(target):
    return target.startswith("https://")


def leads_nowhere(page, target):
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return not file.exists() or (bool(anchor) and anchor not in anchors(file))


@each_page
def test_every_link_leads_somewhere(page):
    targets = [target for _, target in LINK.findall(prose(page))] + IMAGE.findall(prose(page))
    assert [target for target in targets if not is_address(target) and leads_nowhere(page, target)] == []


@each_page
def test_a_link_named_for_a_function_leads_to_the_file_that_has_it(page):
    named = re.findall(r"\[`(?:\w+\.)?((?!py`)\w+)`\]\(([^)\s]+\.py)\)", prose(page))
    assert [(name, target) for name, target in named if not defines(page.parent / target, name)] == []


def defines(source, name):
    return re.search(rf"^\s*(?:(?:async )?def|class) {name}\b", source.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", generate.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page):
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", prose(page))
    assert [name for name in named if f"def {name}(" not in tests] == []


@each_page
def test_every_file_that_a_page_names_exists(page):
    """Such as `core/rules.py`: from the page, the repository, the package or its core."""
    folders = [page.parent, ROOT, ROOT / "src/laurels", ROOT / "src/laurels/core", ROOT / "src/laurels/catalogs"]
    named = set(re.findall(r"`([\w/]+\.(?:py|md|toml))`", prose(page))) - MADE_BY_READERS
    assert {name for name in named if not any((folder / name).exists() for folder in folders)} == set()


@pytest.mark.parametrize("page", generate.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_generated_parts_are_up_to_date(page):
    text = page.read_text(encoding="utf-8")
    assert generate.updated(text) == text, f"run: {sys.executable} docs/generate.py"


def test_the_picture_shows_what_the_demo_shows():
    shown = generate.PICTURE.read_text(encoding="utf-8")
    assert generate.picture() == shown, f"run: {sys.executable} docs/generate.py"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    pages = [str(page.relative_to(generate.DOCS)) for page in generate.PAGES]
    assert [page for page in pages if f'"{page}"' not in navigation] == []


def test_decisions_are_numbered_without_a_gap_and_listed():
    decisions = sorted((generate.DOCS / "decisions").glob("0*.md"))
    listed = LINK.findall((generate.DOCS / "decisions/index.md").read_text(encoding="utf-8"))
    assert [page.name[:4] for page in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    assert listed == [(page.name[:4], page.name) for page in decisions]


@pytest.mark.parametrize(
    "decision", sorted((generate.DOCS / "decisions").glob("0*.md")), ids=lambda page: page.name[:4]
)
def test_a_decision_says_context_decision_consequences_and_alternatives_on_one_page(decision):
    text = decision.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
    assert len(text.split()) <= 450


def test_every_module_has_its_place_in_the_architecture_or_is_found_from_there():
    """Whoever looks for a module by the architecture's list of layers finds its package."""
    layers = (generate.DOCS / "architecture.md").read_text(encoding="utf-8").partition("## One event")[0]
    modules = {path.relative_to(ROOT / "src/laurels").parts[0].removesuffix(".py") for path in SOURCES[:-1]}
    named = set(re.findall(r"[a-z_*]+", layers))
    families = {name.removesuffix("*") for name in named if name.endswith("*")}
    lost = {m for m in modules if m not in named and not any(m.startswith(family) for family in families if family)}
    assert lost - {"__init__", "__main__", "catalogs"} == set()


@each_page
def test_no_page_names_a_place_on_somebodys_machine(page):
    assert re.findall(r"(?<![\w.])/(?:root|home|work|tmp|Users)/", page.read_text(encoding="utf-8")) == []

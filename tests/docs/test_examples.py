"""What the pages tell readers to do works, and comes out as they say."""

import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text, update

import laurels
from docs import examples, generate
from laurels import keys
from laurels.catalog_file import bundled_text, parse_catalog
from laurels.settings import Settings
from laurels.store.tables import api_keys
from tests.importers.dump import question, up, user, write_dump

ROOT = Path(__file__).parents[2]
CATALOG_PAGE = (ROOT / "docs/reference/catalog.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *generate.PAGES]
COMMANDS = {tuple(path.split()) for path, _ in generate.commands()}
#: The one in the examples; ids of keys are drawn by chance.
KEY_ID = "4fT0qPzRm81x"
GROUPS = {path[:2] for path in COMMANDS if len(path) > 2}


def blocks(page, language):
    return [block.text for block in examples.blocks(page) if block.language == language]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_a_reader_who_follows_the_page_sees_what_it_shows(page, tmp_path):
    """If the program is right and the page is not: docs/generate.py --outputs."""
    differences = list(examples.differences((ROOT / page).read_text(encoding="utf-8"), examples.Folder(tmp_path)))
    assert not differences, "\n\n".join(differences)


@pytest.mark.parametrize("curl", [pytest.param(shutil.which("curl"), id="curl"), pytest.param(None, id="stand-in")])
def test_a_reader_who_follows_the_page_of_http_sees_what_it_shows(tmp_path, curl):
    reader = examples.Folder(tmp_path, curl=curl)
    token_key, origin = "known to our backend and to Laurels", "https://kitchen.example"
    with reader.serving(LAURELS_TOKEN_KEY=token_key, LAURELS_CORS_ORIGINS=origin):
        differences = list(examples.differences((ROOT / "docs/http.md").read_text(encoding="utf-8"), reader))
    assert not differences, "\n\n".join(differences)


def test_what_the_page_of_http_shows_of_the_example_is_in_it():
    example = (ROOT / "examples/fastapi_app.py").read_text(encoding="utf-8").splitlines()
    shown = blocks((ROOT / "docs/http.md").read_text(encoding="utf-8"), "python")[-1]
    assert [line for line in shown.splitlines() if line not in example] == []


def test_the_examples_of_the_catalog_page_make_one_catalog():
    catalog = parse_catalog("\n".join(blocks(CATALOG_PAGE, "toml")))
    assert [rule.id for rule in catalog.rules] == ["post-create", "first-post-of-day", "reaction-received"]


def test_the_commands_of_the_catalog_page_work(tmp_path):
    (tmp_path / "catalog.toml").write_text("\n".join(blocks(CATALOG_PAGE, "toml")), encoding="utf-8")
    assert list(examples.differences(CATALOG_PAGE, examples.Folder(tmp_path))) == []


def test_the_settings_file_of_the_settings_page_can_be_read(tmp_path, monkeypatch):
    [block] = blocks((ROOT / "docs/reference/settings.md").read_text(encoding="utf-8"), "toml")
    (tmp_path / "laurels.toml").write_text(block)
    monkeypatch.chdir(tmp_path)
    assert Settings().model_dump(include={"database_url", "busy_timeout_s"}) == {
        "database_url": "sqlite:///laurels.db",
        "busy_timeout_s": 30.0,
    }


def test_the_python_of_the_reference_runs():
    """What is written by hand; what is generated are signatures, which do not run."""
    by_hand = generate.without_parts((ROOT / "docs/reference/python.md").read_text(encoding="utf-8"))
    names = {}
    for block in blocks(by_hand, "python"):
        exec(block, names)
    assert names["catalog"].name == "Mine"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what the examples of the command line assume: a database, a key, a catalog, a history, a dump."""
    path = tmp_path_factory.mktemp("examples")
    with laurels.open(f"sqlite:///{path}/laurels.db") as engine:
        for person in ("ada", "mira"):
            engine.record(laurels.Event("post.created", user=person, id="post-1", data={"words": 120}))
        made = keys.create(engine, "shop", ["read"], actor="tests").id
        with engine.write() as transaction:
            transaction.connection.execute(update(api_keys).where(api_keys.c.key_id == made).values(key_id=KEY_ID))
    (path / "catalog.toml").write_text(bundled_text("community"), encoding="utf-8")
    line = b'{"id": "h1", "type": "user.login", "user": "ben", "time": "2026-03-01T10:00:00Z"}\n'
    (path / "history.jsonl.gz").write_bytes(gzip.compress(line))
    write_dump(path / "astronomy", users=[user(1)], posts=[question(1)], votes=[up(1, post=1)])
    return examples.Folder(path)


@pytest.mark.parametrize(
    "command", [example for _, command in generate.commands() for example in generate.examples_of(command)]
)
def test_the_examples_of_the_command_line_work(command, folder):
    if command.startswith("laurels serve"):  # It goes on until it is told to stop; which port is free, nobody knows.
        with folder.serving(command.replace("8080", "0")):
            return
    code, lines = folder.run(command)
    assert code == 0, "\n".join(lines)


def test_the_questions_in_sql_have_answers(folder):
    questions = blocks((ROOT / "docs/reference/data.md").read_text(encoding="utf-8"), "sql")
    database = create_engine(f"sqlite:///{folder.path}/laurels.db")
    with database.connect() as connection:
        answers = [len(connection.execute(text(question)).all()) for question in questions]
    database.dispose()
    assert len(answers) == 5
    assert all(answers)


def test_the_way_back_that_the_page_of_upgrades_shows_loses_nothing_that_was_recorded(database_url, tmp_path):
    event = laurels.Event("post.created", user="ada", id="1")
    with laurels.open(database_url) as engine:
        keys.create(engine, "shop", ["read"], actor="tests")
        engine.record(event)
    [way_back] = blocks((ROOT / "docs/upgrading.md").read_text(encoding="utf-8"), "sql")
    is_postgres = database_url.startswith("postgresql:")
    database = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with database.begin() as connection:
        for statement in (*(["SET search_path = laurels"] if is_postgres else []), *way_back.split(";\n")[:-1]):
            connection.execute(text(statement))
    left = set(inspect(database).get_table_names(schema="laurels" if is_postgres else None))
    database.dispose()
    assert left == tables_of("0003", tmp_path)
    with laurels.open(database_url) as engine:
        assert engine.record(event).status == "duplicate"
        assert keys.every(engine) == []


def tables_of(version, tmp_path):
    """The tables of a schema of before."""
    config = Config()
    config.set_main_option("script_location", "laurels:store/migrations")
    database = create_engine(f"sqlite:///{tmp_path}/before.db")
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    found = set(inspect(database).get_table_names())
    database.dispose()
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page):
    """Such as `laurels users show` and `./run test`."""
    page_text = page.read_text(encoding="utf-8")
    usage = subprocess.run([sys.executable, ROOT / "run"], capture_output=True, text=True, check=True).stdout
    known = {line.split()[0] for line in usage.splitlines() if line.startswith("  ")}
    assert {name for name in re.findall(r"\./run ([a-z]+)", page_text) if name not in known} == set()

    typed = re.findall(r"(?:`|^\$ |^)laurels ((?:[a-z]+ ?)+)", page_text, re.MULTILINE)
    paths = {("laurels", *words.split()) for words in typed}
    assert {
        path for path in paths - GROUPS if not any(path[: len(command)] == command for command in COMMANDS)
    } == set()
